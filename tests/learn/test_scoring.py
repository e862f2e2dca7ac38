"""`realism_score` and `harmony_score`: kinds of images and masks, refusals, what shipped weights can tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pyharmony
from pyharmony import errors
from pyharmony.cli._pictures import IMAGES, load
from pyharmony.errors import PyHarmonyError
from pyharmony.learn import data

torch = pytest.importorskip("torch", reason="torch is not installed")

from pyharmony.learn import evaluation
from pyharmony.networks import models

pytestmark = [pytest.mark.networks, pytest.mark.usefixtures("one_torch_thread")]


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    return models.create("realism_cnn", "small", regions=8).eval()


@pytest.fixture(scope="module")
def picture() -> Any:
    return load(IMAGES / "coffee.jpg")[:80, :120, :3].copy()


@pytest.fixture(scope="module")
def mask() -> Any:
    y, x = np.mgrid[:80, :120]
    return np.where(((y - 40) / 25) ** 2 + ((x - 50) / 35) ** 2 < 1, np.uint8(255), np.uint8(0))


@pytest.fixture(scope="module")
def encoder() -> Any:
    torch.manual_seed(0)
    return models.create("style_encoder", "small", size=63, masked_pool=True, decay=500.0).eval()


def harmony(image: Any, mask: Any, **options: Any) -> float:
    return pyharmony.harmony_score(image, mask, device="cpu", **options)


def score(image: Any, mask: Any = None, **options: Any) -> float:
    return pyharmony.realism_score(image, mask, device="cpu", **options)


def test_it_is_what_the_network_says(model: Any, picture: Any, mask: Any) -> None:
    small = data.resize_sample({"image": picture, "mask": mask}, model.config.size)
    x = torch.from_numpy(small["image"]).permute(2, 0, 1)[None] / 127.5 - 1
    m = torch.from_numpy(small["mask"])[None, None] / 255
    with torch.no_grad():
        assert score(picture, mask, network=model) == pytest.approx(float(model(x, m)), abs=1e-6)
        assert score(picture, network=model) == pytest.approx(float(model(x)), abs=1e-6)
    judge = evaluation.judge(model, device="cpu")
    assert judge(picture, picture, mask)[0]["realism"] == score(picture, mask, network=model)


#: Images and masks that both scores refuse.
REFUSED_INPUTS = [
    (lambda p, m: (p[..., :2], m), errors.ShapeError, r"image: shape \[80, 120, 2\] has 2 channels, expected"),
    (lambda p, m: (p > 3, m), errors.DTypeError, "image: dtype bool"),
    (lambda p, m: (p / np.float32(0), m), errors.ArgumentError, "image: "),
    (lambda p, m: (p, m[:-1]), errors.ShapeError, r"mask: shape \[79, 120\], expected \[80, 120\]"),
    (lambda p, m: (p, m.astype(float)), errors.MaskError, "mask: values from 0 to 255"),
]


def test_another_network_is_refused(picture: Any) -> None:
    with pytest.raises(errors.ArgumentError, match="network: dovenet_lite, expected realism_cnn"):
        score(picture, network=models.create("dovenet_lite", width=4))
    with pytest.raises(errors.WeightsError, match="there is no such file"):
        score(picture, network="none.safetensors")


def test_the_weights_that_come_with_it_separate(data_dir: Path) -> None:
    """On photographs that they were not trained on, most composites score below their photograph."""
    photos = data.Manifest(data_dir / "pairs_open", "test", ("image", "mask"))
    below, same = [], []
    for sample in data.Synthesis(photos, size=128, seed=3, per_photo=2):
        real, pasted = (score(sample[role], sample["mask"]) for role in ("target", "composite"))
        assert 0 <= pasted <= 1
        below.append(pasted < real)
        # A change that was done and undone makes no composite.
        again = np.rint(255 * (np.rint(255 * (sample["target"] / 255) ** 0.7) / 255) ** (1 / 0.7)).astype(np.uint8)
        same.append(abs(score(np.where(sample["mask"][..., None] > 0, again, sample["target"]), sample["mask"]) - real))
    assert np.mean(below) > 0.6 and np.median(same) < 0.01


def test_harmony_is_by_the_distance_of_the_codes(encoder: Any, picture: Any, mask: Any) -> None:
    small = data.resize_sample({"image": picture, "mask": mask}, 63)
    x = torch.from_numpy(small["image"]).permute(2, 0, 1)[None] / 127.5 - 1
    m = torch.from_numpy(small["mask"])[None, None] / 255
    with torch.no_grad():
        distance = float((encoder(x, m) - encoder(x, 1 - m)).norm())
    assert distance > 1e-4
    score_of_picture = harmony(picture, mask, network=encoder)
    assert score_of_picture == pytest.approx(np.exp(-500 * distance), rel=1e-3)
    assert harmony(picture, 255 - mask, network=encoder) == pytest.approx(score_of_picture, rel=1e-3)
    judge = evaluation.judge(encoder, device="cpu")
    assert judge(picture, picture, mask)[0]["verification"] == score_of_picture


def test_harmony_of_a_bargainnet_has_the_published_factor(picture: Any, mask: Any) -> None:
    torch.manual_seed(0)
    net = models.create("bargainnet", width=4, encoder_width=4).eval()
    small = data.resize_sample({"image": picture, "mask": mask}, 256)
    x = torch.from_numpy(small["image"]).permute(2, 0, 1)[None] / 127.5 - 1
    m = torch.from_numpy(small["mask"])[None, None] / 255
    with torch.no_grad():
        distance = float((net.encoder(x, m) - net.encoder(x, 1 - m)).norm())
    assert harmony(picture, mask, network=net) == pytest.approx(np.exp(-0.04212 * distance), rel=1e-6)


def test_harmony_sees_each_region_alone(encoder: Any, mask: Any) -> None:
    """An image of one colour agrees with itself where codes are means over the region; one of two colours does not."""
    flat = np.full((*mask.shape, 3), 120, np.uint8)
    two = np.where(mask[..., None] > 0, np.uint8(200), flat)
    assert harmony(two, mask, network=encoder) < harmony(flat, mask, network=encoder)


@pytest.mark.parametrize("name", ["realism", "harmony"])
def test_kinds_of_pictures_say_the_same(
    name: str, model: Any, encoder: Any, picture: Any, mask: Any, tmp_path: Path
) -> None:
    network = model if name == "realism" else encoder

    def scored(image: Any, mask_: Any, weights: Any = network) -> float:
        return score(image, mask_, network=weights) if name == "realism" else harmony(image, mask_, network=weights)

    expected = scored(picture, mask)
    pyharmony.save(picture, tmp_path / "p.png")
    pyharmony.save(mask, tmp_path / "m.png")
    before = picture.copy(), mask.copy()
    for kind in (
        picture.astype(np.float32) / 255,
        picture.astype(np.uint16) * 257,
        torch.from_numpy(picture).permute(2, 0, 1),
        np.asfortranarray(picture),
        tmp_path / "p.png",
        (tmp_path / "p.png").read_bytes(),
        Image.fromarray(picture),
        pyharmony.io.read(tmp_path / "p.png"),
    ):
        assert scored(kind, mask) == expected, type(kind)
    masks = (mask > 0, mask / 255, mask[..., None], torch.from_numpy(mask), tmp_path / "m.png", Image.fromarray(mask))
    for mask_ in masks:
        assert scored(picture, mask_) == expected, type(mask_)
    models.save(network, tmp_path / "w.safetensors")
    assert scored(picture, mask, tmp_path / "w.safetensors") == expected
    grey, bright = picture[..., 1], picture / 128
    assert scored(grey, mask) == scored(np.repeat(grey[..., None], 3, 2), mask)
    assert scored(bright, mask) == scored(np.clip(bright, 0, 1), mask)
    assert np.array_equal(picture, before[0]) and np.array_equal(mask, before[1])


@pytest.mark.parametrize(
    ("name", "change", "kind", "says"),
    [
        *((name, *case) for name in ("realism", "harmony") for case in REFUSED_INPUTS),
        ("realism", lambda p, m: (p, m * 0), errors.MaskError, "mask is empty at 32 x 32 pixels"),
        ("realism", lambda p, m: (b"no picture", m), errors.DecodeError, "image"),
        ("realism", lambda p, m: (None, m), errors.DTypeError, "image: NoneType"),
        ("harmony", lambda p, m: (p, None), errors.DTypeError, "mask: NoneType"),
        ("harmony", lambda p, m: (p, m * 0), errors.MaskError, "mask is empty at 63 x 63 pixels"),
        ("harmony", lambda p, m: (p, m * 0 + 255), errors.MaskError, "mask: full at 63 x 63 pixels"),
    ],
)
def test_what_scores_refuse(
    name: str, model: Any, encoder: Any, picture: Any, mask: Any, change: Any, kind: type, says: str
) -> None:
    with np.errstate(all="ignore"):
        image, mask_ = change(picture, mask)
    with pytest.raises(kind, match=says) as error:
        score(image, mask_, network=model) if name == "realism" else harmony(image, mask_, network=encoder)
    assert isinstance(error.value, PyHarmonyError)


def test_an_object_that_the_convolutions_cut_off_is_refused(picture: Any) -> None:
    """At 64 pixels the convolutions without padding leave the last row out."""
    encoder = models.create("style_encoder", "small", size=64).eval()
    picture = np.ascontiguousarray(picture[:64, :64])
    last = np.zeros((64, 64), np.uint8)
    last[-1] = 255
    with pytest.raises(errors.MaskError, match="mask: empty at 64 x 64 pixels, within the network's field of view"):
        harmony(picture, last, network=encoder)
    last[-2] = 255
    assert 0 < harmony(picture, last, network=encoder) <= 1


def test_weights_that_know_no_harmony_are_refused(picture: Any, mask: Any) -> None:
    says = "network: realism_cnn cannot estimate harmony, expected attention_unet, bargainnet, colorgrid, "
    with pytest.raises(errors.ArgumentError, match=says):
        harmony(picture, mask, network="realism-small")
    features = models.create("style_encoder", "small_features")
    with pytest.raises(errors.ArgumentError, match="network: style_encoder of kind='features' cannot estimate harmony"):
        harmony(picture, mask, network=features)
    with pytest.raises(errors.ArgumentError, match="kind='features' has no score"):
        features.harmony(torch.zeros(1, 3, 64, 64), torch.ones(1, 1, 64, 64))
    with pytest.raises(errors.WeightsError, match="there is no such file"):
        harmony(picture, mask, network="none.safetensors")
    for name in ("size", "decay"):
        with pytest.raises(errors.ArgumentError, match=f"{name}: 0, expected"):
            models.create("style_encoder", **{name: 0})


@pytest.mark.parametrize("levels", [0, 8, 24])
def test_harmony_by_what_a_network_would_change(picture: Any, mask: Any, levels: int) -> None:
    model: Any = models.create("colorgrid", "small").eval()
    with torch.no_grad():
        model.experts[0].last.bias[3:12:4] = levels / 255 / model.config.stages
    assert harmony(picture, mask, network=model) == pytest.approx(0.5 ** (levels / 8), rel=1e-4)
    for empty, says in ((mask * 0, "mask is empty|mask: empty"), (mask * 0 + 255, "mask: full")):
        with pytest.raises(errors.MaskError, match=says):
            harmony(picture, empty, network=model)


def test_a_recoloured_object_has_less_harmony(picture: Any, mask: Any) -> None:
    """The weights that come with pyharmony say so in every light."""
    whole = harmony(picture, mask)
    for gains in ((1.5, 1.0, 0.7), (0.6, 0.6, 0.6), (0.7, 1.0, 1.5)):
        changed = np.where(mask[..., None] > 0, (picture * np.array(gains)).clip(0, 255), picture).astype(np.uint8)
        assert harmony(changed, mask) < whole


def test_colours_of_a_region_are_added_to_its_code(picture: Any, mask: Any) -> None:
    """At first the code is the region's means and deviations, whatever is outside and wherever it lies."""
    torch.manual_seed(0)
    encoder = models.create("style_encoder", "small", regions=8, masked_pool=True, size=64).eval()
    small = data.resize_sample({"image": picture, "mask": mask}, 64)
    x = torch.from_numpy(small["image"]).permute(2, 0, 1)[None] / 127.5 - 1
    m = torch.from_numpy(small["mask"])[None, None] / 255
    with torch.no_grad():
        code = encoder(x, m)
        assert float(code.abs().max()) > 1e-3
        torch.testing.assert_close(encoder(torch.where(m > 0, x, -x), m), code)
        torch.testing.assert_close(encoder(x.flip(2), m.flip(2)), code, rtol=1e-4, atol=1e-5)
        assert float((encoder(x / 2, m) - code).abs().max()) > 1e-3
    for options in ({"space": "hsv"}, {"kind": "features"}):
        with pytest.raises(
            errors.ArgumentError, match=r"regions: 8, with kind=.* expected kind='code' and space='rgb'"
        ):
            models.create("style_encoder", regions=8, **options)
