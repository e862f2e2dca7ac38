"""`pyharmony.segmentation`: the network in NumPy, masks, edges, methods, people, cut-outs, annotations."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

import pyharmony
from pyharmony import segmentation
from pyharmony.errors import ArgumentError, DataError, DTypeError, MaskError, MaskWarning, ShapeError, WeightsError
from pyharmony.io import Picture
from pyharmony.learn import data
from pyharmony.runs import batch
from pyharmony.segmentation import Session, _clicks, _edges, _methods, _prompts, _segment, heads, layers, people
from pyharmony.segmentation import masks as masks_module
from pyharmony.segmentation._closer import closer, windows_of
from pyharmony.segmentation._edges import at_full_size
from pyharmony.segmentation._matting import soft_alpha
from pyharmony.segmentation._network import NetworkCutter, Prompts
from pyharmony.segmentation._thin import with_thin_piece
from pyharmony.segmentation.heads import Head
from pyharmony.segmentation.layers import Layer, sampled
from pyharmony.segmentation.masks import layers_of

from .. import skips
from ..shared import ROOT, load_script, runners

pytestmark = [pytest.mark.networks, pytest.mark.usefixtures("one_torch_thread")]

#: A picture of 120 x 90 pixels with a red box and a blue disc before green.
BOX, DISC = (20, 15, 40, 50), (85, 45, 22)


def scene() -> np.ndarray:
    y, x = np.mgrid[:90, :120]
    picture = np.full((90, 120, 3), (60, 150, 70), np.uint8)
    picture[BOX[1] : BOX[1] + BOX[3], BOX[0] : BOX[0] + BOX[2]] = (200, 40, 30)
    picture[np.hypot(x - DISC[0], y - DISC[1]) < DISC[2]] = (40, 60, 210)
    noise = np.random.default_rng(0).normal(0, 4, picture.shape)
    image: np.ndarray = (picture + noise).clip(0, 255).astype(np.uint8)
    return image


def box_mask() -> np.ndarray:
    mask = np.zeros((90, 120), bool)
    mask[BOX[1] : BOX[1] + BOX[3], BOX[0] : BOX[0] + BOX[2]] = True
    return mask


def iou(mask: np.ndarray, expected: np.ndarray) -> float:
    mask = mask >= 128
    return np.count_nonzero(mask & expected) / max(1, np.count_nonzero(mask | expected))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns weights of a small network of clicks that has seen nothing, its norms as if it had."""
    return written(tmp_path_factory.mktemp("weights") / "clicks.safetensors")


@pytest.fixture(scope="module")
def featured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns such weights with features of EfficientNet-Lite0."""
    return written(tmp_path_factory.mktemp("weights") / "clicks.safetensors", features="efficientnet-lite0")


@pytest.fixture(scope="module")
def edged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns such weights to which edges come in."""
    return written(tmp_path_factory.mktemp("weights") / "clicks.safetensors", edges=True)


@pytest.fixture(scope="module")
def finding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns such weights with a part that finds heads."""
    return written(tmp_path_factory.mktemp("weights") / "clicks.safetensors", finder=8)


def written(path: Path, **settings: Any) -> Path:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from pyharmony.networks import models

    torch.manual_seed(0)
    model = models.create("clicks", preset="small", **settings)
    for name, tensor in model.state_dict().items():
        if name.endswith("running_mean"):
            tensor.normal_(0, 0.2)
        elif name.endswith("running_var"):
            tensor.uniform_(0.3, 2)
        elif "norms.1.weight" in name or name.startswith("beside") and name.endswith("norm.weight"):
            tensor.normal_(0.5, 0.2)
    models.save(model, path)
    return path


# The network


@pytest.mark.parametrize("which", ["weights", "featured", "edged"])
def test_the_network_in_numpy_is_the_one_in_torch(which: str, request: pytest.FixtureRequest) -> None:
    weights: Path = request.getfixturevalue(which)
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from pyharmony.networks import models
    from pyharmony.networks.models.clicks import prompt_of

    model = models.load(weights).eval()
    network = _clicks.parsed(weights.read_bytes(), str(weights))
    random = np.random.default_rng(1)
    # The last image is smaller than those that the network is made for.
    for points, labels, side in (
        ([(10.0, 20.0), (40.5, 3.25), (50.0, 60.0)], [1, 0, 1], 64), ([], [], 64), ([(0.0, 31.0)], [1], 32)
    ):  # fmt: skip
        image = random.random((side, side, 3), np.float32)
        last = random.random((side, side), np.float32) if len(points) > 1 else None
        prompt = _clicks.prompt_of(image, points, labels, last)
        planes = torch.from_numpy(image.transpose(2, 0, 1)[None].copy())
        at = torch.tensor([points or [(0.0, 0.0)]])
        theirs = prompt_of(
            planes, at, torch.tensor([labels or [-1]]), None if last is None else torch.from_numpy(last)[None, None]
        )
        assert np.abs(theirs[0].permute(1, 2, 0).numpy() - prompt).max() < 2e-6
        with torch.no_grad():
            expected = model(planes, theirs)
        cut = network.cut(image, prompt)
        assert np.abs(expected.logits[0].numpy() - cut.logits).max() < 2e-5 * float(expected.logits.abs().max())
        assert np.abs(expected.people[0, 0].numpy() - cut.people).max() < 2e-5 * float(expected.people.abs().max())
        assert np.abs(expected.scores[0].numpy() - cut.scores).max() < 1e-5
        terms = network.feature_terms(image)
        assert len(terms) == (5 if which == "featured" else 0)
        assert np.array_equal(network.cut(image, prompt, terms).logits, cut.logits)


def test_features_count(featured: Path) -> None:
    network = _clicks.parsed(featured.read_bytes(), "x")
    image = np.random.default_rng(1).random((64, 64, 3), np.float32)
    prompt = _clicks.prompt_of(image, [(3, 3)], [1])
    nothing = [np.zeros_like(x) for x in network.feature_terms(image)]
    assert np.abs(network.cut(image, prompt).logits - network.cut(image, prompt, nothing).logits).max() > 1e-3


@pytest.mark.parametrize("size", [(64, 64), (40, 33), (7, 5)])
def test_the_colour_at_a_click_is_a_weighted_sum(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    image = rng.random((*size, 3), np.float32)
    for _ in range(50):
        weights = np.zeros(size, np.float32)
        top, left = (int(rng.integers(0, side)) for side in size)
        weights[top : top + 9, left : left + 12] = rng.random(weights[top : top + 9, left : left + 12].shape)
        expected = np.tensordot(weights.astype(np.float64), image, 2)
        np.testing.assert_allclose(_clicks._weighted_sum(weights, image), expected, rtol=1e-5)


def test_further_clicks_draw_their_masks_by_the_same_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    large, resized_from = np.repeat(np.repeat(scene(), 8, 0), 8, 1), []
    resize = _edges.resized
    monkeypatch.setattr(_edges, "resized", lambda x, *size: resized_from.append(x.shape) or resize(x, *size))
    session = segmentation.Session(large)
    x, y = DISC[0] * 8, DISC[1] * 8
    answers = [session.click(x, y), session.click(x + 30, y), session.click(x, y + 30)]
    resized_from.clear()
    first_masks = [one[0] for one in answers for _ in range(2)]
    kinds = {layers_of(one)[0].box for one in answers}
    assert sum(len(shape) == 3 for shape in resized_from) <= len(kinds)
    for one, first, second in zip(answers, first_masks[::2], first_masks[1::2], strict=True):
        assert np.array_equal(first, second)
        assert np.array_equal(first, at_full_size(large, layers_of(one)[0]))


def test_edges_are_the_steepest_of_the_channels_gradients() -> None:
    image = np.zeros((4, 5, 3), np.float32)
    image[:, 3:, 0], image[2:, :, 1] = 0.5, 0.25
    edges = _clicks.edges_of(image)[..., 0]
    across = np.array([0, 0, 0.5, 0.5, 0], np.float32)
    down = np.array([0, 0.25, 0.25, 0], np.float32)
    assert np.array_equal(edges, np.maximum(across, down[:, None]))
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from pyharmony.networks.models.clicks import edges_of

    noise = np.random.default_rng(1).random((6, 7, 3), np.float32)
    theirs = edges_of(torch.from_numpy(noise.transpose(2, 0, 1)[None].copy()))
    assert np.abs(theirs[0, 0].numpy() - _clicks.edges_of(noise)[..., 0]).max() < 1e-6


def test_a_network_with_edges_starts_from_one_without(weights: Path, edged: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from pyharmony import errors
    from pyharmony.networks import models

    before, wide = models.load(weights).eval(), models.create("clicks", "small", edges=True).eval()
    wide.start_from(before)
    image, prompt = torch.rand(1, 3, 64, 64), torch.rand(1, 7, 64, 64)
    with torch.no_grad():
        right, wide_cut = before(image, prompt), wide(image, prompt)
        assert (wide_cut.logits - right.logits).abs().max() < 1e-5 * right.logits.abs().max()
        wide.down[0].conv.weight[:, -1] = 1
        assert (wide(image, prompt).logits - right.logits).abs().max() > 1e-3
    with pytest.raises(errors.WeightsError, match="start: weights for other settings than the model's"):
        models.create("clicks", "small").start_from(models.load(edged))


def test_features_of_a_view_are_found_once(featured: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = _clicks.parsed(featured.read_bytes(), "x")
    calls: list[int] = []
    feature_terms = _clicks.Network.feature_terms
    monkeypatch.setattr(_clicks.Network, "feature_terms", lambda self, x: calls.append(1) or feature_terms(self, x))
    cutter = NetworkCutter(network, scene())
    first = cutter.cut(Prompts(points=[(40, 40)], labels=[1]))
    views = len(calls)
    assert 0 < views <= 3
    again = cutter.cut(Prompts(points=[(40, 40)], labels=[1]))
    assert len(calls) == views
    assert np.array_equal(first[0].values, again[0].values)


def test_efficientnet_is_the_published_one() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from torch.nn import functional

    from pyharmony.networks.models import _efficientnet

    torch.manual_seed(0)
    state: dict[str, Any] = {}

    def convolution(name: str, norm: str, before: int, after: int, kernel: int, groups: int = 1) -> None:
        state[f"{name}.weight"] = (
            torch.randn(after, before // groups, kernel, kernel) / (before // groups) ** 0.5 / kernel
        )
        for part in ("weight", "bias", "running_mean", "running_var"):
            state[f"{norm}.{part}"] = torch.rand(after) + (0.5 if part in ("weight", "running_var") else -0.5)

    convolution("_conv_stem", "_bn0", 3, 32, 3)
    for i, (before, inside, after, kernel, _) in enumerate(_efficientnet.BLOCKS):
        own = f"_blocks.{i}"
        if inside != before:
            convolution(f"{own}._expand_conv", f"{own}._bn0", before, inside, 1)
        convolution(f"{own}._depthwise_conv", f"{own}._bn1", inside, inside, kernel, inside)
        convolution(f"{own}._project_conv", f"{own}._bn2", inside, after, 1)

    def applied(x: Any, name: str, norm: str, stride: int = 1, groups: int = 1) -> Any:
        weight = state[f"{name}.weight"]
        kernel, side = weight.shape[2], x.shape[2]
        more = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        x = functional.pad(x, (more // 2, more - more // 2) * 2)
        x = functional.conv2d(x, weight, stride=stride, groups=groups)
        mean, var, scale, bias = (state[f"{norm}.{x}"] for x in ("running_mean", "running_var", "weight", "bias"))
        return functional.batch_norm(x, mean, var, scale, bias, eps=1e-3)

    image = torch.rand(1, 3, 64, 96) * 2 - 1
    x = applied(image, "_conv_stem", "_bn0", 2).clip(0, 6)
    expected = []
    for i, (before, inside, after, _, stride) in enumerate(_efficientnet.BLOCKS):
        own, y = f"_blocks.{i}", x
        if inside != before:
            y = applied(y, f"{own}._expand_conv", f"{own}._bn0").clip(0, 6)
        y = applied(y, f"{own}._depthwise_conv", f"{own}._bn1", stride, inside).clip(0, 6)
        y = applied(y, f"{own}._project_conv", f"{own}._bn2")
        x = x + y if stride == 1 and before == after else y
        expected.append(x)
    network = _efficientnet.EfficientNetLite0()
    network.load_state_dict(_efficientnet.published(state))
    outputs = network(image)
    assert [x.shape[2] for x in outputs] == [32, 16, 8, 4, 2]
    for level, features in zip(_efficientnet.LEVELS, outputs, strict=True):
        assert (features - expected[level]).abs().max() < 1e-5 * expected[level].abs().max()
    with pytest.raises(WeightsError, match="_bn0"):
        _efficientnet.published({})


def test_weights_of_something_else_are_refused(weights: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(weights.read_bytes()[:3000])
    with pytest.raises(WeightsError, match=r"bad\.safetensors"):
        segmentation.trained(bad)
    with pytest.raises(FileNotFoundError):
        segmentation.trained(tmp_path / "none.safetensors")


def test_counters_may_be_left_out_and_nothing_else(weights: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    safetensors = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
    from pyharmony.networks import models

    whole = weights.read_bytes()
    packed = load_script("tools/presets.py").packed(whole)
    arrays, packed_arrays = safetensors.load(whole), safetensors.load(packed)
    counters = {key for key in arrays if key.endswith("num_batches_tracked")}
    assert (
        counters and packed_arrays.keys() == arrays.keys() - counters and len(packed) < len(whole) - 64 * len(counters)
    )
    assert all(
        packed_arrays[key].dtype == arrays[key].dtype and torch.equal(packed_arrays[key], arrays[key])
        for key in packed_arrays
    )
    # Both networks answer as before, and a model that is filled counts from 0.
    image = np.random.default_rng(1).random((64, 64, 3), np.float32)
    prompt = _clicks.prompt_of(image, [(10, 20)], [1])
    ours, theirs = (_clicks.parsed(data, "x").cut(image, prompt) for data in (packed, whole))
    assert np.array_equal(ours.logits, theirs.logits) and np.array_equal(ours.scores, theirs.scores)
    planes = [torch.from_numpy(np.moveaxis(x, 2, 0)[None].copy()) for x in (image, prompt)]
    with_counter = models.create("clicks", preset="small").eval()
    with_counter.get_buffer("down.0.norm.num_batches_tracked").fill_(7)
    models.load(packed, model=with_counter)
    for model in (models.load(packed), with_counter):
        assert torch.equal(model(*planes).logits, models.load(whole)(*planes).logits)
        assert not any(model.state_dict()[key].any() for key in counters)

    def refused(drop: str, data: bytes) -> None:
        state = safetensors.load(data)
        del state[drop]
        metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
        less = safetensors.save(state, metadata)
        with pytest.raises(WeightsError, match=f"{drop} missing"):
            models.load(less)
        if not drop.endswith("num_batches_tracked"):
            with pytest.raises(WeightsError, match="damaged"):
                _clicks.parsed(less, "x")

    for drop in ("down.0.norm.running_var", "score.bias", "place"):
        refused(drop, whole)
        refused(drop, packed)
    # A file that counts has all counters.
    refused("down.0.norm.num_batches_tracked", whole)


def test_a_damaged_network_says_so(weights: Path) -> None:
    network = _clicks.parsed(weights.read_bytes(), "x")
    network.tensors["masks.bias"][:] = np.nan
    image = np.zeros((64, 64, 3), np.float32)
    with pytest.raises(WeightsError, match="NaN or infinities"):
        network.cut(image, _clicks.prompt_of(image, [(3, 3)], [1]))


class Reds:
    """Stands for a network that sees what is red, where it is clicked or was before, and else nothing."""

    size, finder = 64, ()

    def __init__(self) -> None:
        self.calls = 0

    def feature_terms(self, image: np.ndarray) -> list[np.ndarray]:
        return []

    def cut(self, image: np.ndarray, prompt: np.ndarray, features: Sequence[np.ndarray]) -> _clicks.Cut:
        self.calls += 1
        red = np.where(image[..., 0] > image[..., 1] + 0.3, np.float32(8), np.float32(-8))
        has_click = prompt[..., 0].max() > 0.5 or prompt[..., 6].any()
        nothing = np.full_like(red, -8)
        logits = np.stack([red if has_click else nothing, nothing, nothing])
        return _clicks.Cut(logits, np.array([0.9, 0.2, 0.1], np.float32), nothing)


def reds(height: int, width: int, box: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    picture = np.full((height, width, 3), 120, np.uint8)
    inside = np.zeros((height, width), bool)
    inside[box[1] : box[1] + box[3], box[0] : box[0] + box[2]] = True
    picture[inside] = (220, 30, 30)
    return picture, inside


def test_a_second_look_is_finer() -> None:
    picture, inside = reds(700, 900, (400, 300, 37, 29))
    network = Reds()
    (layer, *_) = NetworkCutter(network, picture).cut(Prompts([(418.0, 314.0)], [1]))  # type: ignore[arg-type]
    # Each look is at the picture and at its mirror image.
    assert network.calls == 4 and layer.box[2] - layer.box[0] < 150
    assert iou(at_full_size(picture, layer), inside) > 0.95
    filling, _ = reds(90, 120, (5, 5, 110, 80))
    network.calls = 0
    NetworkCutter(network, filling).cut(Prompts([(60.0, 45.0)], [1]))  # type: ignore[arg-type]
    assert network.calls == 2


def test_a_quick_look_is_one_look_at_a_box_and_its_surroundings() -> None:
    picture, inside = reds(700, 900, (400, 300, 37, 29))
    network = Reds()
    cutter = NetworkCutter(network, picture)  # type: ignore[arg-type]
    layer = cutter.quickly(Prompts([(418.0, 314.0)], [1], (396, 296, 441, 333)))
    assert network.calls == 1 and layer.box[2] - layer.box[0] < 150
    assert iou(at_full_size(picture, layer), inside) > 0.95
    # What fills the picture is as near as can be, and without a box all of it is seen.
    for box in ((10, 10, 890, 690), None):
        assert cutter.quickly(Prompts([(418.0, 314.0)], [1], box)).box == (0, 0, 900, 700)
    assert network.calls == 3


def combed() -> tuple[np.ndarray, np.ndarray, Layer]:
    """Returns a picture of a red comb, where it is, and a mask of it in which its teeth are one."""
    picture, inside = reds(300, 400, (100, 100, 180, 60))
    for x in range(100, 280, 20):
        picture[160:180, x : x + 12], inside[160:180, x : x + 12] = (220, 30, 30), True
    # A red part that is apart belongs to something else.
    picture[60:90, 150:200] = (220, 30, 30)
    rough = np.zeros((30, 40), np.float32)
    rough[10:18, 10:28] = 1
    return picture, inside, Layer((0, 0, 400, 300), rough, 0.7)


def test_a_closer_look_shows_thin_parts() -> None:
    picture, inside, rough = combed()
    network = Reds()
    layer = closer(NetworkCutter(network, picture), rough, Prompts([(190.0, 130.0)], [1]))  # type: ignore[arg-type]
    before, after = (at_full_size(np.zeros_like(picture), layer) for layer in (rough, layer))
    assert 0 < network.calls <= 4 and layer.score == rough.score
    assert iou(after, inside) > iou(before, inside) + 0.02
    assert after[174, 205] > 200 and after[174, 216] < before[174, 216]
    # Only what is near the contour and part of what was inside may change.
    assert not after[60:90, 150:200].any()
    assert (after[115:145, 115:265] == 255).all()


def test_a_closer_look_that_sees_something_else_does_not_count() -> None:
    picture, _, rough = combed()
    cutter = NetworkCutter(Reds(), np.ascontiguousarray(picture[..., [1, 0, 2]]))  # type: ignore[arg-type]
    layer = closer(cutter, rough, Prompts([(190.0, 130.0)], [1]))
    box = (80, 80, 300, 220)
    assert np.abs(sampled(layer, box, (220, 140)) - sampled(rough, box, (220, 140))).mean() < 0.03
    # Nor does one after which a click is no longer explained, and what is small was seen closely enough.
    cutter = NetworkCutter(Reds(), picture)  # type: ignore[arg-type]
    assert closer(cutter, rough, Prompts([(190.0, 130.0), (216.0, 176.0)], [1, 1])) is rough
    assert closer(cutter, rough._replace(box=(0, 0, 40, 30)), Prompts()).values is rough.values


@pytest.mark.parametrize("box", [(10, 20, 50, 60), (0, 0, 400, 300), (0, 100, 400, 130), (399, 0, 400, 300)])
def test_windows_cover_an_object_in_few_looks(box: tuple[int, int, int, int]) -> None:
    coverage = np.zeros((300, 400), bool)
    windows = windows_of(box, 400, 300)
    for left, top, right, bottom in windows:
        assert 0 <= left < right <= 400 and 0 <= top < bottom <= 300
        coverage[top:bottom, left:right] = True
    assert coverage[box[1] : box[3], box[0] : box[2]].all() and len(windows) <= 4


def test_an_alpha_is_made_from_a_closer_look_and_a_mask_is_not() -> None:
    picture, _, rough = combed()
    session = segmentation.Session(picture, method=_methods.Method("reds", "", lambda x: NetworkCutter(Reds(), x)))  # type: ignore[arg-type]
    masks = session.segment(points=(190, 130))
    layer = closer(session._cutter, masks._layers[0], session._steps[0][0])
    assert np.array_equal(masks.alpha(), soft_alpha(picture, layer)) and np.array_equal(masks.alpha(0), masks.alpha())
    assert np.array_equal(masks.mask, at_full_size(picture, masks._layers[0]))


class Nested(Reds):
    """Sees the middle, more, and all of what is red; the scores of a look that shows much else beside it are others.

    The last two that it sees from near are taken for one, so that one of those seen from afar is in the answer.
    """

    SHARES: ClassVar = {True: (0.45, 0.75, 0.9), False: (0.3, 0.97, 1.0)}

    def __init__(self, scores: Sequence[float], far: float) -> None:
        super().__init__()
        self.scores, self.far = np.array(scores, np.float32), np.float32(far)

    def cut(self, image: np.ndarray, prompt: np.ndarray, features: Sequence[np.ndarray]) -> _clicks.Cut:
        answer = super().cut(image, prompt, features)
        y, x = (np.flatnonzero((answer.logits[0] > 0).any(axis)) for axis in (1, 0))
        logits, far = np.full_like(answer.logits, -8), len(y) < self.size // 2
        for plane, share in zip(logits, self.SHARES[far], strict=True):
            down, across = (round(0.5 * (1 - share) * len(side)) for side in (y, x))
            plane[y[0] + down : y[-1] + 1 - down, x[0] + across : x[-1] + 1 - across] = 8
        return answer._replace(logits=logits, scores=self.scores * self.far if far else self.scores)


@pytest.mark.parametrize("scores", [(0.5, 0.8, 0.7), (0.3, 0.2, 0.4), (0.9, 0.6, 0.3)])
@pytest.mark.parametrize("far", [0.5, 1, 1.1])
def test_the_best_comes_first_and_areas_tell_part_from_whole(
    scores: Sequence[float], far: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, inside = reds(256, 256, (60, 70, 80, 88))
    network = Nested(scores, far)
    monkeypatch.setattr(_methods._clicks, "network", lambda weights: network)
    session = segmentation.Session(picture)
    masks = session.click(100, 114)
    assert network.calls > 2 and len(masks) == 3
    assert list(masks.scores) == sorted(masks.scores, reverse=True)
    areas = [int((masks[i] >= 128).sum()) for i in range(len(masks))]
    assert masks.areas == pytest.approx(areas, rel=0.1)
    smallest, middle, largest = (masks[i] >= 128 for i in np.argsort(masks.areas))
    assert np.count_nonzero(smallest) < np.count_nonzero(middle) < np.count_nonzero(largest)
    assert np.count_nonzero(largest & ~inside) < 0.05 * np.count_nonzero(inside)
    # Who means the whole says so, and it comes first whatever its score.
    choice = session.choose(int(np.argmax(masks.areas)))
    assert np.array_equal(choice.mask >= 128, largest) and choice.areas[0] == max(masks.areas)


class Sided(Reds):
    """Takes what lies farther right for more red than it is."""

    def feature_terms(self, image: np.ndarray) -> list[np.ndarray]:
        return []

    def cut(self, image: np.ndarray, prompt: np.ndarray, features: Sequence[np.ndarray]) -> _clicks.Cut:
        answer = super().cut(image, prompt, features)
        return answer._replace(logits=answer.logits + np.linspace(-4, 4, image.shape[1], dtype=np.float32))


def test_a_mirror_image_has_the_opposite_errors() -> None:
    picture, _ = reds(64, 64, (20, 24, 30, 20))
    prompts = Prompts([(40.0, 30.0)], [1])
    (fair, *_), (leaning, *_) = (NetworkCutter(x, picture).cut(prompts) for x in (Reds(), Sided()))  # type: ignore[arg-type]
    np.testing.assert_allclose(leaning.values, fair.values, atol=1e-5)


def test_a_box_that_is_drawn_is_looked_into() -> None:
    picture, inside = reds(400, 400, (180, 160, 60, 90))
    (layer, *_) = NetworkCutter(Reds(), picture).cut(Prompts(box=(170, 150, 250, 260)))  # type: ignore[arg-type]
    assert layer.box[2] - layer.box[0] < 200
    assert iou(at_full_size(picture, layer), inside) > 0.95


def test_what_lies_beyond_a_box_is_not_meant() -> None:
    picture, inside = reds(400, 400, (100, 150, 200, 40))
    network = Reds()
    cutter = NetworkCutter(network, picture)  # type: ignore[arg-type]
    box = (90, 130, 190, 210)
    (layer, *_) = cutter.cut(Prompts(box=box))
    # It looks at the box and its mirror image, and once more at what it found; each look is widened.
    count, network.calls = network.calls, 0
    mask = at_full_size(picture, layer) >= 128
    visible = inside.copy()
    visible[:, box[2] :] = False
    # A box may be drawn a little too small.
    assert not mask[:, box[2] + 6 :].any() and iou(255 * mask.astype(np.uint8), visible) > 0.95
    # Further clicks in the box stay there, and one beyond it says that more is meant.
    for x, wider in ((120.0, False), (280.0, True)):
        (again, *_) = cutter.cut(Prompts([(x, 170.0)], [1], box), layer)
        mask = at_full_size(picture, again) >= 128
        assert bool(mask[:, box[2] + 6 :].any()) == wider
    assert count == 2 * 2 + 2 and network.calls > 0


def test_a_look_that_an_object_leaves_is_widened() -> None:
    """What was found of a long thing is a part of it; the next click sees where it goes on."""
    picture, inside = reds(400, 400, (180, 100, 40, 240))
    part = np.zeros((64, 64), np.float32)
    part[16:24, 29:35] = 1
    first_layer = Layer((0, 0, 400, 400), part, 0.5)
    network = Reds()
    (layer, *_) = NetworkCutter(network, picture).cut(Prompts([(200.0, 175.0)], [1]), first_layer)  # type: ignore[arg-type]
    near = layers.box_of(first_layer)
    assert network.calls == 2 and near is not None and layer.box[3] > near[3] + 40
    visible = inside.copy()
    visible[: layer.box[1]] = visible[layer.box[3] :] = False
    assert iou(at_full_size(picture, layer), visible) > 0.9


# Masks


def test_what_is_clicked_stays_and_what_floats_goes() -> None:
    values = np.zeros((40, 40), np.float32)
    values[5:15, 5:15] = values[25:35, 25:35] = 1
    layer = Layer((0, 0, 80, 80), values, 0.5)
    inside = layers.connected(layer, [(20, 20)]).values > 0.5
    assert inside[10, 10] and not inside[30, 30]
    assert ((layers.connected(layer, [(79, 0)]).values > 0.5) == (values > 0.5)).all()


def test_a_mask_is_sampled_where_it_lies() -> None:
    random = np.random.default_rng(0)
    layer = Layer((10, 20, 42, 36), random.random((8, 16), np.float32), 1.0)
    assert np.allclose(layers.sampled(layer, layer.box, (16, 8)), layer.values, atol=1e-6)
    whole = layers.sampled(layer, (0, 0, 64, 64), (64, 64))
    assert not whole[:20].any() and not whole[:, :10].any() and not whole[36:].any() and not whole[:, 42:].any()
    assert abs(whole[20:36, 10:42].mean() - layer.values.mean()) < 0.02
    assert layers.iou(layer, layer) == 1 and layers.box_of(layer._replace(values=np.zeros((8, 16)))) is None


def test_edges_follow_the_picture() -> None:
    y, x = np.mgrid[:300, :400]
    inside = np.hypot(x - 190, y - 140) < 90
    picture = np.where(inside[..., None], np.uint8(210), np.uint8(70)).repeat(3, 2)
    coarse = np.asarray(Image.fromarray(inside).resize((50, 38), Image.Resampling.BILINEAR), np.float32)
    layer = Layer((0, 0, 400, 300), coarse, 1.0)
    alpha = at_full_size(picture, layer).astype(float) / 255
    plain = np.asarray(Image.fromarray(coarse).resize((400, 300), Image.Resampling.BILINEAR))
    assert np.abs(alpha - inside).mean() < 0.35 * np.abs(plain - inside).mean()
    assert alpha[140, 190] == 1 and alpha[5, 5] == 0


# What is asked for


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({}, ArgumentError, "points: no prompt"),
        (
            {"points": (120, 5)},
            ArgumentError,
            r"points: \(120, 5\) is outside of the image, expected 0 to 119, 0 to 89",
        ),
        ({"points": (5, -0.6)}, ArgumentError, "outside"),
        ({"points": "here"}, DTypeError, "expected \\(x, y\\) in pixels"),
        ({"points": [(5, 5)], "labels": [0]}, ArgumentError, "no prompt on the object"),
        ({"points": [(5, 5)], "labels": [1, 0]}, ShapeError, "labels: 2 labels for 1 points"),
        ({"points": [(5, 5)], "labels": [2]}, ArgumentError, r"labels\[0\]: 2"),
        ({"points": [(5, 5), (5,)]}, ArgumentError, r"points\[1\]: \(5,\), expected \(x, y\) in pixels"),
        ({"box": (130, 5, 20, 20)}, ArgumentError, "is outside of an image of 120 x 90 pixels"),
        ({"box": (5, 5, 0, 20)}, ArgumentError, "is outside"),
        ({"box": (5, 5, 20)}, ArgumentError, "box: "),
        ({"box": (5, 5, float("nan"), 20)}, ArgumentError, "finite"),
        ({"scribble": []}, ArgumentError, "scribble: empty"),
        ({"scribble": [(5, 5), (500, 5)]}, ArgumentError, r"scribble\[1\]"),
        ({"mask": np.zeros((90, 120), np.uint8)}, ArgumentError, "mask: empty"),
        ({"mask": np.zeros((9, 12), np.uint8)}, ShapeError, "mask: "),
        ({"mask": np.full((90, 120), 3.0)}, MaskError, "mask: "),
        ({"all_people": True, "points": (5, 5)}, ArgumentError, "all_people: "),
        (
            {"points": (5, 5), "method": "magic"},
            ArgumentError,
            "method: 'magic', expected one of 'auto', 'clicks-imagenet'",
        ),
    ],
)
def test_what_cannot_be_is_refused(weights: Path, options: dict[str, Any], error: type, says: str) -> None:
    with pytest.raises(error, match=says):
        pyharmony.segment(scene(), **{"method": segmentation.trained(weights), **options})


def test_every_kind_of_image_has_the_same_answer(weights: Path, tmp_path: Path) -> None:
    method, picture = segmentation.trained(weights), scene()
    expected = pyharmony.segment(picture, points=(40, 40), method=method)
    Image.fromarray(picture).save(tmp_path / "scene.png")
    pictures: list[Any] = [tmp_path / "scene.png", Image.fromarray(picture), Picture(picture)]
    pictures += [picture.astype(np.float32) / 255, picture.astype(np.uint16) * 257]
    for one in pictures:
        assert np.array_equal(pyharmony.segment(one, points=(40, 40), method=method).mask, expected.mask)
    assert expected.mask.shape == (90, 120) and expected.mask.dtype == np.uint8 and expected.method == "trained"
    assert len(expected) == len(expected.scores) == len(expected.boxes) <= 3 and expected.heads == ()
    assert all(np.array_equal(expected[i], expected[i]) for i in range(len(expected)))
    assert pyharmony.segment(picture[..., 0], points=(40, 40), method=method).mask.shape == (90, 120)


def test_one_colour_and_nothing_found_are_said(finding: Path) -> None:
    masks = pyharmony.segment(np.full((40, 50, 3), 9, np.uint8), points=(3, 3), method=segmentation.trained(finding))
    assert len(masks) == 0 and not masks.mask.any() and "one colour" in masks.reason
    people = pyharmony.segment(np.full((40, 50, 3), 9, np.uint8), all_people=True, method=segmentation.trained(finding))
    assert len(people) == 0 and people.reason == "no person was found"


def test_a_session_goes_on_and_back() -> None:
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    session = segmentation.Session(scene(), method="grabcut")
    with pytest.raises(ArgumentError, match="click: outside of the object"):
        session.click(3, 3, add=False)
    first = session.click(40, 40)
    second = session.click(85, 45, add=False)
    assert second.mask[45, 85] == 0 and iou(second.mask, box_mask()) > 0.9
    assert session.undo() is first and session.undo() is None and session.undo() is None
    masks = session.scribble([(30, 25), (50, 55)])
    assert iou(masks.mask, box_mask()) > 0.9
    assert iou(session.segment(box=BOX).mask, box_mask()) > 0.9
    with pytest.raises(ArgumentError, match="method: 'grabcut' does not detect people"):
        session.people()


@pytest.mark.parametrize(("method", "package"), [("grabcut", "cv2"), ("random_walker", "skimage")])
def test_what_a_method_makes_better_stays_in_its_box(method: str, package: str) -> None:
    pytest.importorskip(package, reason=skips.not_installed(package))
    cutter = segmentation.METHODS[method].opened(scene())
    y, x = np.mgrid[:90, :120]
    both = box_mask() | (np.hypot(x - DISC[0], y - DISC[1]) < DISC[2])
    layer = Layer((0, 0, 120, 90), both.astype(np.float32), 0.9)
    # The disc is beyond the box that is drawn, until a click says that it is meant, too.
    box = (BOX[0] - 2, BOX[1] - 2, BOX[0] + BOX[2] + 2, BOX[1] + BOX[3] + 2)
    nothing: list[tuple[float, float]] = []
    for points, expected in ((nothing, box_mask()), ([(40.0, 40.0), (85.0, 45.0)], both)):
        (better, *_) = cutter.refined(Prompts(points, [1] * len(points), box), layer)
        assert iou(at_full_size(scene(), better), expected) > 0.9


def test_another_mask_can_be_the_one_that_is_meant(weights: Path) -> None:
    session = segmentation.Session(scene(), method=segmentation.trained(weights))
    with pytest.raises(ArgumentError, match="index: 0, the last answer has 0 masks"):
        session.choose(0)
    first = session.click(40, 40)
    assert len(first) > 1
    choice = session.choose(1)
    assert np.array_equal(choice.mask, first[1]) and choice.scores[:2] == (first.scores[1], first.scores[0])
    assert session.undo() is None


# Methods


@pytest.mark.parametrize(("method", "package"), [("grabcut", "cv2"), ("random_walker", "skimage")])
def test_methods_without_a_network_cut_out_what_is_plain(method: str, package: str) -> None:
    pytest.importorskip(package, reason=skips.not_installed(package))
    coarse = np.zeros((90, 120), np.uint8)
    coarse[19:62, 23:57] = 255
    for prompt in ({"box": (BOX[0] - 4, BOX[1] - 4, BOX[2] + 8, BOX[3] + 8)}, {"mask": coarse}, {"points": (40, 40)}):
        if method == "grabcut" or "points" not in prompt:
            masks = pyharmony.segment(scene(), method=method, **prompt)
            assert iou(masks.mask, box_mask()) > 0.85, prompt


@pytest.mark.parametrize(("second", "package"), [("grabcut", "cv2"), ("random_walker", "skimage")])
def test_a_method_goes_on_from_what_the_default_found(
    second: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(package, reason=skips.not_installed(package))
    name = f"{segmentation.DEFAULT}+{second}"
    method = segmentation.METHODS[name]
    assert (
        method.weights == segmentation.DEFAULT and not method.detects_people and segmentation.DEFAULT in method.summary
    )
    # The network leaves out the right rim of the box, and what comes after it sees by colours where the box ends.
    part = np.zeros((90, 120), np.float32)
    part[BOX[1] : BOX[1] + BOX[3], BOX[0] : BOX[0] + BOX[2] - 4] = 1
    first = [Layer((0, 0, 120, 90), part, 0.8), Layer((0, 0, 120, 90), part * 0.9, 0.3)]
    calls: list[tuple[str, Prompts, Any]] = []
    monkeypatch.setattr(_methods._clicks, "network", lambda weights: calls.append((weights, Prompts(), None)))
    monkeypatch.setattr(NetworkCutter, "cut", lambda self, *arguments: calls.append(("cut", *arguments)) or first)
    session = segmentation.Session(scene(), method=name)
    masks = session.click(40, 40)
    assert [one[0] for one in calls] == [segmentation.DEFAULT, "cut"] and calls[1][2] is None
    assert masks.method == name and masks.scores == (0.8, 0.3)
    assert iou(255 * part, box_mask()) == pytest.approx(0.9) and iou(masks.mask, box_mask()) > 0.95
    assert np.array_equal(masks[1], at_full_size(scene(), first[1]))
    # The next click hands the better mask to the network.
    session.click(50, 40)
    assert calls[2][2] is masks._layers[0]


def test_a_session_of_a_reduced_image_answers_in_pixels_of_the_larger_one() -> None:
    """Both of its sides are larger, by factors that differ a little, as where blocks of pixels became one."""
    small, size = scene(), (358, 270)
    across, down = 120 / 358, 90 / 270
    reduced, session = segmentation.Session(small), segmentation.Session(small, at=size)
    assert (reduced.size, session.size) == ((120, 90), size) and repr(
        session
    ) == "Session(358x270, clicks-imagenet, 0 answers)"

    def same(mine: segmentation.Masks, theirs: segmentation.Masks) -> None:
        assert mine.scores == theirs.scores and len(mine) and mine.size == size
        for layer, own in zip(masks_module.layers_of(mine), masks_module.layers_of(theirs), strict=True):
            assert np.array_equal(layer.values, own.values)
            assert layer.box == tuple(round(v / side) for v, side in zip(own.box, (across, down, across, down)))
        refined, own = masks_module.refined_layer(mine), masks_module.refined_layer(theirs)
        assert np.array_equal(refined.values, own.values)
        enlarged = np.asarray(Image.fromarray(theirs.mask).resize(size, Image.Resampling.BILINEAR))
        for mask in (mine.mask, mine[0], mine.alpha(), mine.alpha(0)):
            assert mask.shape == (270, 358) and iou(mask, enlarged >= 128) > 0.9
        x, y, wide, high = mine.boxes[0]
        assert not mine.mask[:, : max(0, x - 6)].any() and not mine.mask[: max(0, y - 6)].any()
        assert [mask.shape for mask in mine.reduced((150, 130))] == [(130, 150)] * len(mine)
        assert mine.areas[0] == pytest.approx(theirs.areas[0] / across / down, rel=0.03)

    def own(x: float, y: float) -> tuple[float, float]:
        return (x + 0.5) * across - 0.5, (y + 0.5) * down - 0.5

    same(session.click(120, 120), reduced.click(*own(120, 120)))
    same(session.click(5, 260, add=False), reduced.click(*own(5, 260), add=False))
    last = len(reduced.click(*own(100, 100))) - 1
    same(session.click(100, 100), reduced.choose(0))
    same(session.choose(last), reduced.choose(last))
    before = session.undo()
    assert before is not None and before.size == size
    reduced.undo()
    line = [(80, 100), (130, 150)]
    same(session.scribble(line), reduced.scribble([own(x, y) for x, y in line]))
    box = (30.0, 60.0, 150.0, 120.0)
    same(session.segment(box=box), reduced.segment(box=(30 * across, 60 * down, 150 * across, 120 * down)))
    points = [(120, 120), (5, 260)]
    prompts = {"points": [own(*point) for point in points], "labels": [1, 0]}
    same(session.segment(points=points, labels=[1, 0]), reduced.segment(**prompts))
    mask = np.zeros((270, 358), np.uint8)
    mask[60:180, 60:180] = 255
    coarse = np.asarray(Image.fromarray(mask).resize((120, 90), Image.Resampling.BILINEAR, reducing_gap=3.0))
    same(session.segment(mask=mask), reduced.segment(mask=coarse))
    assert session.shows_people(mask) == reduced.shows_people(coarse)
    assert session.other_people([], (200, 150)).shape == (150, 200) and session.posture(mask) is None
    with pytest.raises(ArgumentError, match=r"click: \(358, 3\) is outside of the image, expected 0 to 357, 0 to 269"):
        session.click(358, 3)
    mask[:] = 0
    mask[100, 100] = 255
    with pytest.raises(ArgumentError, match="mask: empty"):
        session.segment(mask=mask)


def test_people_of_a_reduced_image_are_in_pixels_of_the_larger_one(monkeypatch: pytest.MonkeyPatch) -> None:
    head = heads.Head((30.0, 6.0, 9.0, 12.0), (24.0, 3.0, 30.0, 60.0), 0.7)
    layer = Layer((12, 3, 60, 63), np.ones((8, 8), np.float32), 0.7)
    posture = segmentation.Posture(head.box, 63.0, None)
    monkeypatch.setattr(_segment, "apart_from_torsos", lambda cutter: [head])
    monkeypatch.setattr(_segment, "heads_of_people", lambda cutter: [head])
    monkeypatch.setattr(_segment, "as_far_as_pose", lambda cutter, one: one)
    monkeypatch.setattr(_segment, "foremost", lambda cutter, several: several[0])
    monkeypatch.setattr(_segment, "people_of", lambda cutter: [people.Person(layer, (30, 6, 39, 18))])
    monkeypatch.setattr(_segment, "posture_of", lambda cutter, mask: posture)
    session = segmentation.Session(scene(), at=(240, 180))
    larger = heads.Head((60.0, 12.0, 18.0, 24.0), (48.0, 6.0, 60.0, 120.0), 0.7)
    assert session.heads() == (larger,) and session.foremost() == larger
    masks = session.people()
    assert masks.heads == (larger.box,) and masks.boxes == ((24, 6, 96, 120),) and masks.mask.shape == (180, 240)
    assert session.posture(np.ones((90, 120), bool)) == posture.scaled(2)


@pytest.mark.parametrize("at", [(119, 90), (120, 89.5), (120, float("inf")), (120, float("nan")), 120, (1, 2, 3)])
def test_the_size_of_the_larger_image_is_checked(at: Any) -> None:
    with pytest.raises(ArgumentError, match=r"at: .*, expected \(width, height\) of at least \(120, 90\)"):
        segmentation.Session(scene(), at=at)


def test_the_page_and_the_docs_name_every_method() -> None:
    folder = Path(pyharmony.__file__).parent
    text = (folder / "serve" / "static" / "names.js").read_text("utf-8")
    words = text.split("export const CUTTERS = {")[1].split("\n};")[0]
    assert set(re.findall(r'^  "?([\w+-]+)"?: \[', words, re.MULTILINE)) == {"auto", *segmentation.METHODS}
    page = (ROOT / "docs" / "segment.md").read_text("utf-8")
    table = page.split("## Methods")[1].split("None of the last two")[0]
    assert set(re.findall(r'`"([\w+-]+)"`', table)) == {"auto", *segmentation.METHODS}


def test_a_method_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_methods.importlib.util, "find_spec", lambda name: None)
    assert "cv2 is missing" in segmentation.METHODS["grabcut"].missing
    with pytest.raises(ImportError, match="skimage is missing, random_walker needs it"):
        pyharmony.segment(scene(), points=(5, 5), method="random_walker")
    monkeypatch.setattr(_methods._shipped, "every", list)
    with pytest.raises(WeightsError, match="weights clicks"):
        pyharmony.segment(scene(), points=(5, 5))


def test_a_click_is_a_pair_and_several_are_a_list_of_them() -> None:
    """The same name and forms as in `compose`."""
    expected = Prompts([(40.0, 30.0)], [1], None, None)
    for points in ((40, 30), [40, 30], [(40, 30)], np.array([40, 30]), np.array([[40, 30]]), (np.array([40, 30]),)):
        assert _prompts.prompts_of((120, 90), points=points) == expected
    two = _prompts.prompts_of((120, 90), points=[(40, 30), (5, 6)], labels=[1, 0])
    assert (two.points, two.labels) == ([(40.0, 30.0), (5.0, 6.0)], [1, 0])
    for points, says in (
        ((400, 3), r"points: \(400, 3\) is outside"),
        ([(1, 1), (400, 3)], r"points\[1\]: \(400, 3\) is outside"),
        ((1, 2, 3), r"points\[0\]: 1, expected \(x, y\)"),
        (7, r"points: 7, expected \(x, y\)"),
    ):
        with pytest.raises(ArgumentError, match=says):
            _prompts.prompts_of((120, 90), points=points)


class Colours:
    """Exports a pair like Segment Anything's, whose masks are all places of the clicked colour."""

    @staticmethod
    def pair(folder: Path, planes: bool) -> tuple[Path, Path]:
        files = folder / "encoder.onnx", folder / "decoder.onnx"
        for file, network in zip(files, Colours.exported(planes), strict=True):
            file.write_bytes(network)
        return files

    @staticmethod
    @functools.cache
    def exported(planes: bool) -> tuple[bytes, bytes]:
        torch = pytest.importorskip("torch", reason="torch is not installed")
        pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
        pytest.importorskip("onnxscript", reason="onnxscript is not installed")

        class Encoder(torch.nn.Module):  # type: ignore[misc]
            def forward(self, x: Any) -> Any:
                if not planes:
                    x = torch.cat([x.permute(2, 0, 1)[None] / 64, torch.zeros(1, 3, 32, 128)], 2)
                return torch.nn.functional.avg_pool2d(x, 4)

        class Decoder(torch.nn.Module):  # type: ignore[misc]
            def forward(self, e: Any, coords: Any, labels: Any, mask: Any, has: Any, size: Any) -> Any:
                at = (coords[0] / 4).long().clamp(0, 31)
                colours = e[0][:, at[:, 1], at[:, 0]]
                apart = (e[0][:, None] - colours[:, :, None, None]).square().sum(0).sqrt()
                far = torch.where((labels[0] == 1)[:, None, None], apart, torch.full_like(apart, 9.0)).amin(0)
                logits = 20 * (1 - far)[None, None] + 0 * mask * has + 0 * size.sum()
                both = torch.cat([logits - 40, logits], 1)
                return both, torch.tensor([[0.2, 0.9]]) + 0 * has.sum(), both

        first = torch.zeros(1, 3, 128, 128) if planes else torch.zeros(96, 128, 3)
        inputs = (
            torch.zeros(1, 3, 32, 32), torch.zeros(1, 2, 2), torch.zeros(1, 2),
            torch.zeros(1, 1, 32, 32), torch.zeros(1), torch.zeros(2)
        )  # fmt: skip
        names = ["image_embeddings", "point_coords", "point_labels", "mask_input", "has_mask_input", "orig_im_size"]
        encoder = torch.onnx.export(Encoder(), (first,), input_names=["image"], dynamo=True, verbose=False)
        count = torch.export.Dim("count", min=1, max=64)
        decoder = torch.onnx.export(
            Decoder(), inputs, input_names=names,
            output_names=["masks", "iou_predictions", "low_res_masks"], dynamo=True, verbose=False,
            dynamic_shapes=({}, {1: count}, {1: count}, {}, {}, {})
        )  # fmt: skip
        return encoder.model_proto.SerializeToString(), decoder.model_proto.SerializeToString()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("planes", [True, pytest.param(False, marks=pytest.mark.full)])
def test_a_pair_like_sams(tmp_path: Path, planes: bool) -> None:
    method = segmentation.sam(*Colours.pair(tmp_path, planes))
    session = segmentation.Session(scene(), method=method)
    masks = session.click(40, 40)
    assert iou(masks.mask, box_mask()) > 0.9 and masks.scores[0] == pytest.approx(0.9) and masks.method == "sam"
    disc = np.hypot(*(np.mgrid[:90, :120][::-1] - np.array(DISC[:2])[:, None, None])) < DISC[2]
    assert iou(session.segment(points=(85, 45)).mask, disc) > 0.85
    with pytest.raises(
        WeightsError, match=r"encoder\.onnx: the network has no input image_embeddings, .*; expected a decoder"
    ):
        pyharmony.segment(
            scene(), points=(4, 4), method=segmentation.sam(tmp_path / "decoder.onnx", tmp_path / "encoder.onnx")
        )
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match=r"bad\.onnx: not an ONNX network"):
        pyharmony.segment(scene(), points=(4, 4), method=segmentation.sam(tmp_path / "bad.onnx", tmp_path / "bad.onnx"))
    with pytest.raises(FileNotFoundError, match="encoder: "):
        segmentation.sam(tmp_path / "none.onnx", tmp_path / "decoder.onnx")


@pytest.mark.filterwarnings("ignore")
def test_a_picture_is_embedded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyharmony.segmentation import _onnx

    ran: list[str] = []
    run = _onnx._OnnxNetwork.run

    def counted(network: Any, inputs: dict[str, Any]) -> dict[str, Any]:
        ran.append(network.file.stem)
        return run(network, inputs)

    monkeypatch.setattr(_onnx._OnnxNetwork, "run", counted)
    session = segmentation.Session(scene(), method=segmentation.sam(*Colours.pair(tmp_path, True)))
    assert ran == ["encoder"]
    session.click(40, 40)
    session.click(45, 50)
    session.click(85, 45, add=False)
    assert ran == ["encoder", *["decoder"] * 3]


@pytest.mark.filterwarnings("ignore")
def test_a_network_of_what_stands_out(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")

    class NotGreen(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return 40 * (0.45 - x[:, 1:2])

    file = tmp_path / "salient.onnx"
    torch.onnx.export(NotGreen(), (torch.zeros(1, 3, 64, 64),), str(file), dynamo=True, verbose=False)
    method = segmentation.salient(file, mean=(0, 0, 0), std=(1, 1, 1))
    session = segmentation.Session(scene(), method=method)
    assert iou(session.click(40, 40).mask, box_mask()) > 0.9
    assert session.segment(box=BOX).boxes[0][0] == pytest.approx(BOX[0], abs=3)
    nothing = session.segment(points=(4, 4))
    assert len(nothing) == 0 and nothing.reason
    mask = session.click(40, 40).mask
    assert np.array_equal(session.click(4, 4).mask, mask)  # beside another click it changes nothing
    with pytest.raises(ArgumentError, match=r"std: .*three numbers above 0"):
        segmentation.salient(file, std=(1, 0, 1))


def network(path: Path, inputs: dict[str, list[Any]], outputs: dict[str, Any], nodes: Sequence[Any] = ()) -> Path:
    """Writes an ONNX network whose outputs are given arrays, or made by nodes where they are a shape."""
    from onnx import TensorProto, helper, numpy_helper, save

    constants = {name: value for name, value in outputs.items() if isinstance(value, np.ndarray)}
    tensors = [numpy_helper.from_array(value, f"{name}_value") for name, value in constants.items()]
    copies = [helper.make_node("Identity", [f"{name}_value"], [name]) for name in constants]
    kinds = {name: helper.np_dtype_to_tensor_dtype(value.dtype) for name, value in constants.items()}
    graph = helper.make_graph(
        [*nodes, *copies],
        "graph",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [
            helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), getattr(value, "shape", value))
            for name, value in outputs.items()
        ],
        tensors,
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def endless() -> list[Any]:
    """Returns the nodes of a loop of 2^62 rounds over what a network is given."""
    from onnx import TensorProto, helper, numpy_helper

    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["goes_on"]), helper.make_node("Mul", ["x", "x"], ["y"])],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, None),
        ],
    )
    rounds = helper.make_node("Constant", [], ["rounds"], value=numpy_helper.from_array(np.array(2**62)))
    true = helper.make_node("Constant", [], ["true"], value=numpy_helper.from_array(np.array(True)))
    return [rounds, true, helper.make_node("Loop", ["rounds", "true", "image"], ["plane"], body=body)]


PLANE = np.full((1, 1, 8, 8), 0.7, np.float32)
IMAGE = {"image": [1, 3, 8, 8]}
WRONG_SALIENT: dict[str, tuple[Any, Any, str]] = {
    "no input": ({}, PLANE, "takes no input; expected an image"),
    "three axes": ({"image": [3, 8, 8]}, PLANE, r"takes 3 axes; expected one of \[1, 3, S, S\]"),
    "large sides": ({"image": [1, 3, 2**40, 2**40]}, PLANE, "does not accept its inputs"),
    "other channels": ({"image": [1, 5, 8, 8]}, PLANE, "does not accept its inputs"),
    "NaN": (IMAGE, PLANE * np.nan, "gives NaN or infinities in plane"),
    "words": (IMAGE, np.array([["a"]], object), "gives plane of object; expected one plane"),
    "no pixels": (IMAGE, PLANE[..., :0], r"plane of shape \[.*0\]; expected one plane"),
    "a number": (IMAGE, PLANE[0, 0, 0, 0], r"gives plane of shape \[\]; expected one plane"),
    "many planes": (IMAGE, np.tile(PLANE, (1, 9, 1, 1)), r"of shape \[1, 9, 8, 8\]"),
    "a long plane": (IMAGE, np.zeros((1, 5000), np.float32), r"of shape \[1, 5000\]"),
}


@pytest.mark.parametrize("name", WRONG_SALIENT)
def test_a_wrong_network_of_what_stands_out_is_named(tmp_path: Path, name: str) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    inputs, plane, says = WRONG_SALIENT[name]
    method = segmentation.salient(network(tmp_path / "net.onnx", inputs, {"plane": np.asarray(plane)}))
    with pytest.raises(WeightsError, match=rf"net\.onnx: the network .*{says}"):
        pyharmony.segment(scene(), points=[(40, 40)], method=method)


ENCODER: tuple[dict[str, Any], dict[str, Any]] = (
    {"image": [1, 3, 32, 32]},
    {"embedding": np.zeros((1, 4, 8, 8), np.float32)},
)
DECODER_INPUTS: dict[str, Any] = {
    "image_embeddings": [1, 4, 8, 8],
    "point_coords": [1, None, 2],
    "point_labels": [1, None],
    "mask_input": [1, 1, 16, 16],
    "has_mask_input": [1],
}
ANSWER = {"low_res_masks": np.ones((1, 2, 16, 16), np.float32), "iou_predictions": np.array([[0.5, 0.9]], np.float32)}
#: The inputs and outputs of a decoder, or of an encoder, that are wrong.
WRONG_DECODERS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "other outputs": (DECODER_INPUTS, {"masks": PLANE}, "gives masks; expected low_res_masks and iou_predictions"),
    "flat masks": (
        DECODER_INPUTS, {**ANSWER, "low_res_masks": np.ones((16, 16), np.float32)},
        r"gives low_res_masks of shape \[16, 16\]; expected masks \[1, N, h, w\]"
    ),
    "words": (
        DECODER_INPUTS, {**ANSWER, "low_res_masks": np.full((1, 2, 2, 2), "a", object)},
        "gives low_res_masks of object"
    ),
    "NaN": (
        DECODER_INPUTS, {**ANSWER, "low_res_masks": np.full((1, 2, 16, 16), np.nan, np.float32)},
        "gives NaN or infinities in low_res_masks"
    ),
    "a flat score": (
        DECODER_INPUTS, {**ANSWER, "iou_predictions": np.array([0.5, 0.9], np.float32)},
        r"gives iou_predictions of shape \[2\]"
    ),
    "other scores": (
        DECODER_INPUTS, {**ANSWER, "iou_predictions": np.ones((1, 3), np.float32)}, "gives 2 masks and 3 scores"
    ),
    "many masks": (
        DECODER_INPUTS,
        {"low_res_masks": np.ones((1, 99, 4, 4), np.float32), "iou_predictions": np.ones((1, 99), np.float32)},
        "gives 99 masks and 99 scores; expected as many of both, at most 16"
    )
}  # fmt: skip
WRONG_ENCODERS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "no input": ({}, ENCODER[1], "takes no input; expected an image"),
    "two axes": ({"image": [32, 32]}, ENCODER[1], r"takes 2 axes; expected an encoder of \[1, 3, S, S\] or \[H"),
    "flat": (
        ENCODER[0], {"embedding": np.zeros((4, 8), np.float32)},
        r"gives embedding of shape \[4, 8\]; expected an embedding \[1, C, h, w\]"
    )
}  # fmt: skip


@pytest.mark.parametrize(
    ("which", "name"), [*(("decoder", x) for x in WRONG_DECODERS), *(("encoder", x) for x in WRONG_ENCODERS)]
)
def test_a_wrong_pair_is_named(tmp_path: Path, which: str, name: str) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    inputs, outputs, says = (WRONG_DECODERS if which == "decoder" else WRONG_ENCODERS)[name]
    pair: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {"encoder": ENCODER, "decoder": (DECODER_INPUTS, ANSWER)}
    files = [network(tmp_path / f"{key}.onnx", *value) for key, value in {**pair, which: (inputs, outputs)}.items()]
    with pytest.raises(WeightsError, match=rf"{which}\.onnx: the network {says}"):
        pyharmony.segment(scene(), points=[(40, 40)], method=segmentation.sam(*files))


def test_those_that_the_wrong_networks_differ_from_cut_out(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    for inputs in (DECODER_INPUTS, {**DECODER_INPUTS, "mask_input": []}):  # a file need not say the size of its masks
        files = network(tmp_path / "encoder.onnx", *ENCODER), network(tmp_path / "decoder.onnx", inputs, ANSWER)
        masks = pyharmony.segment(scene(), points=[(40, 40)], method=segmentation.sam(*files))
        assert masks.scores == (pytest.approx(0.9),)
    plane = network(tmp_path / "net.onnx", IMAGE, {"plane": PLANE})
    method = segmentation.salient(plane)
    assert (pyharmony.segment(scene(), points=[(40, 40)], method=method).mask > 127).all()


def test_a_network_that_does_not_end_is_stopped(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    file = network(tmp_path / "net.onnx", IMAGE, {"plane": [1, 3, 8, 8]}, endless())
    with pytest.raises(WeightsError, match=r"net\.onnx: the network took longer than 0\.5 s; it was stopped"):
        pyharmony.segment(scene(), points=[(40, 40)], method=segmentation.salient(file, limit=0.5))
    with pytest.raises(ArgumentError, match="limit: 0, expected a number of seconds above 0, at most 86400"):
        segmentation.salient(file, limit=0)
    with pytest.raises(ArgumentError, match=r"limit: 1e\+10"):
        segmentation.salient(file, limit=1e10)


def declared(sides: Sequence[int], data: str | None = None, values: bytes = b"") -> Any:
    """Returns a tensor of these sides whose values, or the file of its values, may be others."""
    from onnx import TensorProto

    tensor = TensorProto(name="weight", data_type=TensorProto.FLOAT, dims=sides, raw_data=values)
    if data is not None:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=data)
    return tensor


def weighted(path: Path, tensor: Any, nested: bool) -> Path:
    """Writes a network that adds a tensor to a plane; nested: the tensor is in a graph of a node."""
    from onnx import TensorProto, helper, save

    constants = [helper.make_node("Constant", [], ["weight"], value=tensor)] if nested else []
    plane = helper.make_tensor_value_info("plane", TensorProto.FLOAT, None)
    nodes = [*constants, helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1]),
             helper.make_node("ReduceMean", ["weight"], ["add"], keepdims=0),
             helper.make_node("Add", ["mean", "add"], ["plane"])]  # fmt: skip
    if nested:
        body = helper.make_graph(nodes, "body", [], [plane])
        true = helper.make_tensor("true", TensorProto.BOOL, [], [True])
        nodes = [helper.make_node("Constant", [], ["always"], value=true),
                 helper.make_node("If", ["always"], ["plane"], then_branch=body, else_branch=body)]  # fmt: skip
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8])
    graph = helper.make_graph(nodes, "graph", [image], [plane], [] if nested else [tensor])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


OUTSIDE_MESSAGE = r"its data are in '{}', expected a file in the folder of the network"
#: The sides of a tensor, the file that its values are in, those in the network itself, and what is wrong.
WEIGHTS: dict[str, tuple[Sequence[int], str | None, bytes, str]] = {
    "in the file": ([2, 2], None, bytes(16), ""),
    "beside it": ([16, 64], "weights.bin", b"", ""),
    "above it": ([16, 64], "../secret.bin", b"", OUTSIDE_MESSAGE.format(r"\.\./secret\.bin")),
    "by a link": ([16, 64], "link.bin", b"", OUTSIDE_MESSAGE.format(r"link\.bin")),
    "by a link to a folder": ([16, 64], "up/secret.bin", b"", OUTSIDE_MESSAGE.format(r"up/secret\.bin")),
    "absolute": ([16, 64], "/dev/zero", b"", OUTSIDE_MESSAGE.format("/dev/zero")),
    "nowhere": ([16, 64], "none.bin", b"", OUTSIDE_MESSAGE.format(r"none\.bin")),
    "in memory": ([16, 64], "*/_ORT_MEM_ADDR_/*", b"", OUTSIDE_MESSAGE.format(r"\*/_ORT_MEM_ADDR_/\*")),
    "of no values": ([100_000, 100_000], None, b"", r"a tensor of 10,000,000,000 values has \d+ bytes of data"),
    "of few values": ([50_000, 40_000], "weights.bin", b"", "a tensor of 2,000,000,000 values has"),
    "of negative sides": ([-5], None, bytes(16), "a tensor of 18,446,744,073,709,551,611 values has"),
    "of sides beyond all numbers": ([2**62] * 9, None, bytes(16), "a tensor of 18,446,744,073,709,551,616 values has"),
}


@pytest.mark.parametrize("nested", [False, True], ids=["initializer", "nested"])
@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_a_network_declares_are_there(tmp_path: Path, name: str, nested: bool) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    folder = tmp_path / "networks"
    folder.mkdir()
    for path in (tmp_path / "secret.bin", folder / "weights.bin"):
        path.write_bytes(bytes(4096))
    (folder / "link.bin").symlink_to("../secret.bin")
    (folder / "up").symlink_to("..")
    sides, data, values, says = WEIGHTS[name]
    file = weighted(folder / "net.onnx", declared(sides, data, values), nested)
    if not says:
        pyharmony.segment(scene(), points=[(40, 40)], method=segmentation.salient(file))
        return
    with pytest.raises(WeightsError, match=rf"net\.onnx: not an ONNX network that runs here: {says}"):
        pyharmony.segment(scene(), points=[(40, 40)], method=segmentation.salient(file))


def test_a_network_has_a_size_that_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    from pyharmony.segmentation import _onnx_file

    (tmp_path / "weights.bin").write_bytes(bytes(4096))
    file = weighted(tmp_path / "net.onnx", declared([16, 64], "weights.bin"), False)
    size = file.stat().st_size + 4096
    monkeypatch.setattr(_onnx_file, "LIMIT", size)
    pyharmony.segment(scene(), points=[(40, 40)], method=segmentation.salient(file))
    for limit in (size - 1, 99):
        monkeypatch.setattr(_onnx_file, "LIMIT", limit)
        with pytest.raises(WeightsError, match=rf"with its weights, expected at most {limit:,}"):
            pyharmony.segment(scene(), points=[(40, 40)], method=segmentation.salient(file))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"nothing", "wire type 6 of a field, expected 0, 1, 2 or 5"),
        (b"\x3a\x7f", "a field is longer than the message that contains it"),
        (b"\x3a" + b"\xff" * 20, "a number is not terminated"),
        (b"\x3a", "a number is not terminated"),
        (b"", ""),
    ],
)
def test_what_is_no_onnx_file_is_refused(tmp_path: Path, data: bytes, says: str) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    (tmp_path / "net.onnx").write_bytes(data)
    with pytest.raises(WeightsError, match=rf"net\.onnx: not an ONNX network that runs here: {says}"):
        pyharmony.segment(scene(), points=[(40, 40)], method=segmentation.salient(tmp_path / "net.onnx"))


# People


class Figures:
    """Stands for the network: two figures, of which a look gives one, or a part."""

    poses, whole = None, (0, 0, 300, 200)

    def __init__(self, *sure: float) -> None:
        self.picture = np.zeros((200, 300, 3), np.uint8)
        self.masks = [figure(60), figure(210)]
        self.sure = sure or (0.9, 0.5)
        self.prompt_list: list[Prompts] = []

    def people(self) -> np.ndarray:
        return np.maximum(*self.masks).astype(np.float32)

    def heads(self) -> list[Head]:
        boxes = ((40, 17, 40, 50), (190, 17, 40, 50))
        return [Head(box, (box[0] - 20, 17, 80, 183), sure) for box, sure in zip(boxes, self.sure, strict=True)]

    def quickly(self, prompts: Prompts) -> Layer:
        self.prompt_list.append(prompts)
        mask = self.masks[0] if prompts.points[0][0] < 135 else self.masks[1]
        return Layer((0, 0, 300, 200), mask.astype(np.float32), 0.9)


def figure(x: int) -> np.ndarray:
    """Returns the silhouette of somebody with a head, a neck and shoulders."""
    rows, columns = np.mgrid[:200, :300]
    head = np.hypot(columns - x, (rows - 40) * 0.85) < 20
    neck = (abs(columns - x) < 8) & (rows > 50) & (rows < 75)
    body = (abs(columns - x) < 38) & (rows >= 70)
    mask: np.ndarray = head | neck | body
    return mask


def test_people_are_cut_out_one_by_one_by_their_heads() -> None:
    figures = Figures()
    result = people.people_of(figures)  # type: ignore[arg-type]
    assert len(result) == 2
    for person, mask, head, sure in zip(result, figures.masks, figures.heads(), (0.9, 0.5), strict=True):
        assert np.array_equal(person.layer.values > 0.5, mask) and person.layer.score == sure
        assert person.head == (head.box[0], 17, head.box[0] + 40, 67)
    # Clicks fall on the head and on the chest, and the box is that of the person.
    first, _ = sorted(figures.prompt_list, key=lambda prompts: prompts.points)
    assert first == Prompts([(59.5, 41.5), (59.5, 111.5)], [1, 1], (20, 17, 100, 200))


def test_who_is_foremost_is_large_and_apart() -> None:
    figures: Any = Figures(0.9, 0.8)
    first, second = figures.heads()
    # They are far from one another, so nobody has to be cut out: the larger one it is.
    assert people.foremost(figures, [second, first]) == first and not figures.prompt_list
    third = Head((140, 20, 30, 40), (110, 20, 120, 180), 0.8)
    # The third one's mask is the second's, and so the first is foremost even where both others are larger.
    small = Head((45, 17, 30, 40), (20, 17, 100, 183), 0.9)
    large = Head((190, 17, 45, 60), (150, 17, 120, 183), 0.9)
    assert people.foremost(figures, [large, third, small]) == small
    assert len(figures.prompt_list) == 3
    # Nobody whose head is less than a third of the largest is.
    tiny = Head((45, 17, 12, 15), (20, 17, 60, 183), 0.9)
    assert people.foremost(figures, [large, third, tiny]) == large
    assert segmentation.Session(np.zeros((60, 80, 3), np.uint8)).foremost() is None


def faces(*blurs: float) -> np.ndarray:
    """Returns a picture with the edges of two faces at the places of `Figures`, each with a blur in pixels."""
    from pyharmony._images.planes import gaussian

    sharp = np.kron(np.random.default_rng(5).integers(40, 220, (25, 38)), np.ones((8, 8)))[:200, :300]
    halves = [gaussian(sharp, blur) if blur else sharp for blur in blurs]
    gray = np.concatenate([halves[0][:, :135], halves[1][:, 135:]], 1)
    return np.repeat(gray.astype(np.uint8)[..., None], 3, 2)


def test_a_sharp_and_whole_person_is_foremost() -> None:
    figures: Any = Figures()
    near = Head((30, 17, 60, 75), (15, 17, 100, 180), 0.9)
    far = Head((200, 30, 24, 30), (180, 30, 60, 165), 0.9)
    # The larger one wins, unless the smaller one alone is in focus; all in front, or all out of focus, are alike.
    for blurs, wins in (((0, 0), near), ((4, 0), far), ((6, 1), far), ((0, 4), near), ((5, 5), near), ((1, 0), near)):
        figures.picture = faces(*blurs)
        assert people.foremost(figures, [far, near]) == people.foremost(figures, [near, far]) == wins, blurs
    # A head that the border crops, or a body that it crops at the side and below, counts less.
    figures.picture = faces(0, 0)
    whole = Head((200, 30, 32, 40), (170, 30, 90, 165), 0.9)
    for body, head, is_last in (
        ((0, 17, 90, 183), (20, 17, 48, 60), True),
        ((15, 17, 100, 183), (20, 17, 48, 60), False),
        ((0, 0, 90, 180), (0, 0, 44, 55), True),
    ):
        cropped = Head(head, body, 0.9)
        assert (people.foremost(figures, [cropped, whole]) == whole) == is_last


def test_somebody_whom_the_map_of_people_alone_tells_of_is_plainly_there(monkeypatch: pytest.MonkeyPatch) -> None:
    figures: Any = Figures()
    figures.masks = [figure(60), np.zeros((200, 300), bool)]
    head = people.plainly_there(figures)
    assert head is not None and head.sure == 1
    assert head.extent == (23, 17, 75, 183) and abs(head.middle[0] - 60) < 2 and 17 < head.middle[1] < 60
    (prompts,) = figures.prompt_list
    assert figure(60)[round(prompts.points[0][1]), round(prompts.points[0][0])] and prompts.box == (23, 17, 98, 200)
    # Who has a head or a pose comes before whom the map alone tells of, and nobody is where it is faint or small.
    session = segmentation.Session(np.indices((200, 300)).sum(0).astype(np.uint8))
    where = figure(60).astype(np.float32)
    monkeypatch.setattr(NetworkCutter, "people", lambda self: where)
    monkeypatch.setattr(NetworkCutter, "quickly", lambda self, prompts: figures.quickly(prompts))
    monkeypatch.setattr(NetworkCutter, "heads", lambda self: [])
    monkeypatch.setattr(session._cutter, "poses", None)
    assert session.foremost() == head
    monkeypatch.setattr(NetworkCutter, "heads", lambda self: Figures().heads()[1:])
    assert session.foremost() == Figures().heads()[1]
    monkeypatch.setattr(NetworkCutter, "heads", lambda self: [])
    where = figure(60) * np.float32(0.6)
    assert session.foremost() is None
    where = np.zeros((200, 300), np.float32)
    where[90:110, 50:70] = 1
    assert session.foremost() is None


def test_who_is_hardly_there_is_not_cut_out() -> None:
    figures = Figures(0.9, 0.2)
    assert len(people.people_of(figures)) == 1  # type: ignore[arg-type]


def test_two_heads_with_one_mask_are_one_person() -> None:
    figures = Figures()
    figures.masks = [figure(60), figure(62)]
    assert [person.layer.score for person in people.people_of(figures)] == [0.9]  # type: ignore[arg-type]
    assert heads.shared((0, 0, 10, 10), (5, 0, 15, 10)) == 0.5
    assert heads.shared((0, 0, 10, 10), (10, 0, 15, 10)) == 0
    assert heads.shared((0, 0, 10, 10), (2, 2, 6, 6)) == 1


def test_the_planes_of_the_network_are_heads() -> None:
    planes = np.full((16, 16, 9), -9, np.float32)
    planes[..., 1:3] = 0
    # In sides of the picture: a head of 0.125 x 0.25, somebody who goes 0.1 to the left and right and 0.75 down.
    sizes = np.log([0.125, 0.25, 0.1, 0.125, 0.1, 0.75])
    planes[4, 8, 0], planes[4, 8, 1:3], planes[4, 8, 3:] = 2, (0.5, -0.25), sizes
    # The one beside is less sure, and so is the same head two places on; one at the border is cut by it.
    planes[4, 9, 0], planes[4, 9, 3:] = 1, sizes
    planes[4, 10, 0], planes[4, 10, 1:3], planes[4, 10, 3:] = 0, (-1.2, 0), sizes
    planes[15, 0, 0], planes[15, 0, 3:] = -1, sizes
    first, last = heads.heads_of(planes, 320, 160)
    assert first.sure == pytest.approx(1 / (1 + np.exp(-2))) and last.sure == pytest.approx(1 / (1 + np.exp(1)))
    assert first.box == pytest.approx((9 * 20 - 20, 4.25 * 10 - 20, 40, 40))
    assert first.body == pytest.approx((180 - 32, 42.5 - 20, 64, 137.5)) and first.middle == pytest.approx((179.5, 42))
    assert first.clicks(160) == [pytest.approx((179.5, 42)), pytest.approx((179.5, 98))]
    # The chest is beyond the picture.
    assert len(first.clicks(90)) == 1
    assert last.box == pytest.approx((0, 135, 30, 25)) and last.body == pytest.approx((0, 135, 42, 25))
    planes[...] = -9
    assert heads.heads_of(planes, 320, 160) == []


def test_a_head_counts_where_people_are_and_once() -> None:
    assert heads.quarters(70, 7) == [(0, 0, 40, 4), (30, 0, 70, 4), (0, 3, 40, 7), (30, 3, 70, 7)]
    assert heads.quarters(1, 1) == [(0, 0, 1, 1)] * 4
    person, lamp = Head((40, 10, 20, 20), (20, 10, 60, 80), 0.9), Head((150, 10, 20, 20), (140, 10, 40, 80), 0.8)
    where = np.zeros((50, 100), np.float32)
    where[:, :40] = 0.5
    assert heads.among_people([person, lamp], where, 200, 100) == [person]
    # In the picture they lie where the part does; one that a border within the picture cuts is left to another part.
    part = 100.0, 0.0, 300.0, 100.0
    at_border = Head((0, 10, 20, 20), (0, 10, 40, 80), 0.9)
    assert heads.in_picture([person, at_border], part, 300, 200) == [Head((140, 10, 20, 20), (120, 10, 60, 80), 0.9)]
    assert heads.in_picture([at_border], (0.0, 0.0, 200.0, 100.0), 300, 200) == [at_border]
    # Of two looks the surer one tells of the head, and both of how far the person goes.
    near, longer = Head((42, 12, 20, 20), (30, 12, 40, 50), 0.95), lamp._replace(sure=0.5)
    assert heads.merged([[person, lamp], [near]]) == [near._replace(body=(20, 10, 60, 80)), lamp]
    inside = Head((45, 12, 8, 8), (40, 12, 20, 40), 0.7)
    assert heads.merged([[person], [], [inside, longer]]) == [person, longer]


def test_heads_are_looked_for_in_quarters_too() -> None:
    class Far:
        """Sees a head in what is red from 9 pixels on, and people in what is not black."""

        size, finder = 64, (True,)

        def feature_terms(self, image: np.ndarray) -> list[np.ndarray]:
            return []

        def crowd(self, image: np.ndarray, features: Sequence[np.ndarray]) -> _clicks.Crowd:
            planes = np.full((16, 16, 9), -9, np.float32)
            rows, columns = np.nonzero(image[..., 0] > 0.9)
            if len(rows) >= 9:
                planes[int(rows.mean()) // 4, int(columns.mean()) // 4] = (
                    3,
                    0,
                    0,
                    *np.log([0.1, 0.1, 0.1, 0.1, 0.1, 0.1]),
                )
            return _clicks.Crowd(np.where(image.max(2) > 0.1, np.float32(8), np.float32(-8)), planes)

    picture = np.full((280, 280, 3), 60, np.uint8)
    picture[216:228, 60:72] = (255, 0, 0)
    cutter: Any = NetworkCutter(Far(), picture)  # type: ignore[arg-type]
    (head,) = cutter.heads()
    assert np.allclose(head.middle, (66, 222), atol=6) and head.box[2] == pytest.approx(16)
    # Half as large it is seen in a quarter alone, and no longer where nobody is.
    picture[216:228, 60:72] = 60
    picture[220:231, 60:71] = (255, 0, 0)
    cutter = NetworkCutter(Far(), picture)  # type: ignore[arg-type]
    assert [one.sure for one in cutter.heads()] == [pytest.approx(1 / (1 + np.exp(-3)))]
    picture[picture == 60] = 0
    assert NetworkCutter(Far(), picture).heads() == []  # type: ignore[arg-type]


def test_one_click_at_a_part_of_somebody_means_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = dataclasses.replace(segmentation.METHODS["clicks-imagenet"], scored=None)
    session, whole = segmentation.Session(np.indices((200, 300)).sum(0).astype(np.uint8), method=plain), figure(60)
    part = whole.copy()
    part[80:] = False
    score, where = 0.55, whole.astype(np.float32)

    def cut(self: NetworkCutter, prompts: Prompts, last: Layer | None = None) -> list[Layer]:
        return [Layer((0, 0, 300, 200), x.astype(np.float32), s) for x, s in ((part, 0.6), (whole, score))]

    monkeypatch.setattr(NetworkCutter, "cut", cut)
    monkeypatch.setattr(NetworkCutter, "people", lambda self: where)

    def is_whole(**prompts: Any) -> bool:
        return bool(session.segment(**prompts).areas[0] == np.count_nonzero(whole))

    assert is_whole(points=(60, 40)) and session.segment(points=(60, 40)).scores == (0.55, 0.6)
    # Who points twice, or draws a box, says how much is meant.
    assert not is_whole(points=[(60, 40), (60, 50)]) and not is_whole(points=(60, 40), box=(30, 10, 60, 80))
    assert not is_whole(box=(30, 10, 60, 80)) and not is_whole(mask=part)
    score = 0.1
    assert not is_whole(points=(60, 40))
    score, where = 0.55, np.zeros((200, 300), np.float32)
    assert not is_whole(points=(60, 40))


@pytest.mark.parametrize(("score", "is_held"), [(0.65, False), (0.75, True)])
def test_what_a_person_holds_is_meant_where_that_is_far_likelier(
    monkeypatch: pytest.MonkeyPatch, score: float, is_held: bool
) -> None:
    session, whole = segmentation.Session(np.indices((200, 300)).sum(0).astype(np.uint8)), figure(60)
    thing = np.zeros_like(whole)
    thing[60:80, 50:70] = True
    person, held = (Layer((0, 0, 300, 200), mask.astype(np.float32), 0.5) for mask in (whole, thing))
    monkeypatch.setattr(NetworkCutter, "cut", lambda self, prompts, last: [person, held])
    monkeypatch.setattr(_segment, "posed", lambda cutter, layers, prompts: [person._replace(), held])
    monkeypatch.setattr(
        Session,
        "_rated",
        lambda self, weights, layers, prompts: [person._replace(score=0.5), held._replace(score=score)],
    )
    masks = session.segment(points=(60, 70))
    assert masks.areas[0] == np.count_nonzero(thing if is_held else whole) and len(masks) == 2
    # Whoever draws a box around the person means the person.
    assert session.segment(points=(60, 70), box=(30, 10, 60, 120)).areas[0] > np.count_nonzero(thing)


def test_a_part_of_somebody_is_theirs_where_the_map_of_people_agrees() -> None:
    figures: Any = Figures(0.9, 0.2)
    figures.plain_heads = figures.heads
    cap, whole = figure(60), figure(60)
    cap[40:] = False

    def of(part: np.ndarray, point: tuple[int, int] = (60, 30)) -> Layer | None:
        return people.wearer(figures, Layer((0, 0, 300, 200), part.astype(np.float32), 0.9), point)

    layer = of(cap)
    assert layer is not None and np.array_equal(layer.values > 0.5, whole)
    # What is as large as the person, goes on beyond them, or was clicked beside them is no part.
    beyond = cap.copy()
    beyond[10:40, 60:140] = True
    assert of(whole) is None and of(beyond) is None and of(cap, (22, 30)) is None and of(np.zeros_like(cap)) is None
    # Neither is what nobody is sure about.
    sleeve = figure(210)
    sleeve[:150] = False
    assert of(sleeve, (210, 170)) is None
    figures.people = lambda: np.zeros((50, 75), np.float32)
    assert of(cap) is None


def test_a_click_at_a_cap_gives_the_person_first_and_the_cap_next(monkeypatch: pytest.MonkeyPatch) -> None:
    session, whole = segmentation.Session(np.where(figure(60), 200, 50).astype(np.uint8)), figure(60)
    cap = whole.copy()
    cap[50:] = False
    figures: Any = Figures(0.9, 0.2)
    box = (0, 0, 300, 200)
    monkeypatch.setattr(NetworkCutter, "cut", lambda *_: [Layer(box, cap.astype(np.float32), 0.9)])
    monkeypatch.setattr(NetworkCutter, "people", lambda self: whole.astype(np.float32))
    monkeypatch.setattr(NetworkCutter, "plain_heads", lambda self: figures.heads())
    monkeypatch.setattr(NetworkCutter, "quickly", lambda self, prompts: figures.quickly(prompts))
    monkeypatch.setattr(session._cutter, "poses", None)
    assert session.segment(points=(60, 42)).areas == (np.count_nonzero(whole), np.count_nonzero(cap))
    # Two clicks say how much is meant.
    assert session.segment(points=[(60, 36), (60, 42)]).areas == (np.count_nonzero(cap),)


def test_the_head_of_an_object_is_the_surest_in_its_mask() -> None:
    mask = figure(210) * np.uint8(255)
    head = people.head_in(Figures().heads(), mask)
    assert head is not None and head.box[0] == 190
    assert people.head_in(Figures().heads(), np.zeros_like(mask)) is None


def test_masks_at_a_smaller_size_are_the_large_ones_reduced() -> None:
    image = np.full((480, 640, 3), 40, np.uint8)
    image[120:360, 200:420] = (220, 160, 90)
    masks = segmentation.segment(image, points=(310, 240))
    small = masks.reduced((160, 120))
    assert len(small) == len(masks) > 0
    for index, one in enumerate(small):
        large = masks[index].reshape(120, 4, 160, 4).mean((1, 3))
        assert one.shape == (120, 160)
        assert ((one >= 128) == (large >= 128)).mean() > 0.98
    for size in ((0, 10), (641, 480)):
        with pytest.raises(ArgumentError, match=r"size: .* expected \(width, height\) from \(1, 1\) to \(640, 480\)"):
            masks.reduced(size)


def test_where_others_are_of_whom_none_was_found() -> None:
    picture = scene()
    session = segmentation.Session(picture)

    class Known:
        def people(self) -> np.ndarray:
            return np.maximum(figure(60), figure(210)).astype(np.float32)

    mask = people.other_people(Known(), [figure(60).astype(np.uint8) * 255], (300, 200))  # type: ignore[arg-type]
    assert mask.dtype == np.uint8 and not mask[:, :130].any()
    assert ((mask > 0) == figure(210))[:, 150:].all()
    assert not people.other_people(Known(), [figure(x).astype(np.uint8) * 255 for x in (60, 210)], (300, 200)).any()  # type: ignore[arg-type]
    assert session.other_people([], (40, 30)).shape == (30, 40)
    with pytest.raises(ArgumentError, match=r"size: .*expected \(width, height\)"):
        session.other_people([], (0, 4))
    with pytest.raises(ShapeError, match="mask"):
        session.other_people([np.zeros((5, 5), np.uint8)], (40, 30))
    assert not segmentation.Session(np.zeros((60, 80, 3), np.uint8)).other_people([], (40, 30)).any()
    with pytest.raises(ArgumentError, match="method: 'grabcut' does not detect people"):
        segmentation.Session(picture, method="grabcut").other_people([], (40, 30))


def test_the_network_names_its_people(weights: Path, finding: Path) -> None:
    cutter = NetworkCutter(_clicks.parsed(weights.read_bytes(), "x"), scene())
    where = cutter.people()
    assert where.shape == (64, 64) and 0 <= where.min() <= where.max() <= 1 and cutter.heads() == []
    masks = pyharmony.segment(scene(), all_people=True, method=segmentation.trained(finding))
    assert len(masks) == len(masks.heads) == len(masks.boxes)
    for call in (segmentation.Session.people, segmentation.Session.heads):
        with pytest.raises(ArgumentError, match="method: 'trained' does not detect people"):
            call(segmentation.Session(scene(), method=segmentation.trained(weights)))


def test_heads_by_numpy_are_those_by_torch(finding: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from pyharmony.networks import models

    image = np.random.default_rng(3).random((64, 64, 3), dtype=np.float32)
    with torch.no_grad():
        right = models.load(finding).eval().heads(torch.from_numpy(image.transpose(2, 0, 1).copy())[None])
    heads = _clicks.parsed(finding.read_bytes(), "x").crowd(image).heads
    assert heads is not None and heads.shape == (16, 16, 9)
    assert np.abs(heads - right[0].numpy().transpose(1, 2, 0)).max() < 1e-4 * max(1.0, float(right.abs().max()))


def test_where_people_could_stand_by_numpy_is_that_by_torch(tmp_path: Path, featured: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from pyharmony.networks import models

    path = written(tmp_path / "clicks.safetensors", features="efficientnet-lite0", scene=True)
    image = np.random.default_rng(3).random((64, 64, 3), dtype=np.float32)
    planes = torch.from_numpy(image.transpose(2, 0, 1).copy())[None]
    model = models.load(path).eval()
    with torch.no_grad():
        right = model.scenes(planes).sigmoid()
    network = _clicks.parsed(path.read_bytes(), "x")
    assert abs(network.standable(image) - float(right)) < 1e-5
    picture = np.rint(image * 255).astype(np.uint8)
    assert abs(segmentation.Session(picture, method=segmentation.trained(path)).standable() - float(right)) < 1e-3
    # The answer is 1 where it cannot be told.
    assert segmentation.Session(picture, method=segmentation.trained(featured)).standable() == 1
    assert segmentation.Session(np.zeros((9, 9, 3), np.uint8)).standable() == 1
    with pytest.raises(ArgumentError, match="method: 'grabcut' does not detect people"):
        segmentation.Session(picture, method="grabcut").standable()
    with pytest.raises(ArgumentError, match="scene: False"):
        models.load(featured).scenes(planes)
    with pytest.raises(ArgumentError, match="scene: True, but features is ''"):
        models.create("clicks", preset="small", scene=True)


def test_the_weights_that_come_with_it_tell_where_people_could_stand() -> None:
    photos = Path(pyharmony.__file__).parent / "cli" / "images"
    standable = {name: segmentation.Session(photos / f"{name}.jpg").standable() for name in ("colorado", "coffee")}
    assert standable["colorado"] > 0.9 and standable["coffee"] < 0.1


def test_the_weights_that_come_with_it_find_people() -> None:
    photo = Path(pyharmony.__file__).parent / "cli" / "images" / "astronaut.jpg"
    session = segmentation.Session(photo)
    (head, *_) = session.heads()
    x, y = head.middle
    assert abs(x - 224) < 30 and abs(y - 115) < 40 and head.sure > people.SURE and 100 < head.box[3] < 280
    masks = session.people()
    assert len(masks) == 1 and masks[0][115, 224] > 200 and masks[0][300, 224] > 200 and masks[0][20, 20] < 50
    for name in ("coffee.jpg", "rocket.jpg"):
        assert len(pyharmony.segment(photo.with_name(name), all_people=True)) == 0
    for least in (0.1, 1.5, "0.5", True):
        with pytest.raises(ArgumentError, match=r"least: .*expected a number from 0\.15 to 1"):
            session.heads(least)  # type: ignore[arg-type]


def test_the_weights_that_come_with_it_cut_out_what_is_clicked() -> None:
    photo = Path(pyharmony.__file__).parent / "cli" / "images" / "astronaut.jpg"
    session = segmentation.Session(photo)
    assert session.method == "clicks-imagenet"
    masks = session.click(224, 300)  # the suit
    assert 0.2 < (masks.mask >= 128).mean() < 0.75 and masks.mask[300, 224] == 255 and masks.mask[5, 500] == 0
    for x, y in ((224, 115), (150, 420)):
        masks = session.click(x, y)
    assert masks.mask[115, 224] > 200 and masks.mask[420, 150] > 200 and masks.mask[40, 480] < 50
    answers = pyharmony.segment(scene(), points=(40, 40))  # the box, and the box with the disc beside it
    assert max(iou(answers[i], box_mask()) for i in range(len(answers))) > 0.9


def test_a_click_at_the_sky_is_answered_by_a_guess_that_says_so() -> None:
    images = Path(pyharmony.__file__).parent / "cli" / "images"
    session = segmentation.Session(images / "rocket.jpg")
    assert "the mask is a guess" in session.click(150, 50).reason
    assert session.segment(points=(320, 240)).reason == ""
    assert pyharmony.segment(images / "astronaut.jpg", points=(224, 300)).reason == ""
    grey = np.full((90, 120, 3), 128, np.uint8) + np.random.default_rng(0).integers(0, 3, (90, 120, 3), np.uint8)
    masks = pyharmony.segment(grey, points=(60, 45))
    assert masks.mask.shape == (90, 120) and ("guess" in masks.reason or "nothing" in masks.reason)


# Cut-outs


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_cut_out_has_the_colours_of_the_object_alone(dtype: str) -> None:
    white = {"uint8": 255, "uint16": 65535, "float32": 1.0}[dtype]
    y, x = np.mgrid[:80, :100]
    share = np.clip(30 - np.hypot(x - 50, y - 40), 0, 4) / 4
    colours = np.array([0.8, 0.2, 0.1]), np.array([0.1, 0.3, 0.9])
    image = (share[..., None] * colours[0] + (1 - share[..., None]) * colours[1]) * white
    image = np.rint(image).astype(dtype) if dtype != "float32" else image.astype(dtype)
    mask = np.rint(share * 255).astype(np.uint8)
    cutout = segmentation.cutout(image, mask)
    assert cutout.shape == (80, 100, 4) and cutout.dtype == dtype
    soft = (mask > 20) & (mask < 235)
    before, after = (np.abs(a[soft][:, :3] / white - colours[0]).mean() for a in (image, cutout))
    assert after < 0.2 * before
    assert np.abs(cutout[..., 3] / white - mask / 255).max() < 0.003
    assert segmentation.cutout(image, mask, crop_to_mask=True).shape == (59, 59, 4)


def test_a_cut_out_of_a_file_keeps_what_it_says_of_itself(tmp_path: Path) -> None:
    Image.fromarray(scene()).save(tmp_path / "scene.png", dpi=(300, 300))
    cutout = segmentation.cutout(tmp_path / "scene.png", box_mask())
    assert (cutout.mode, cutout.size) == ("RGBA", (120, 90)) and cutout.info["dpi"][0] == pytest.approx(300, 0.01)
    picture = segmentation.cutout(pyharmony.io.read(tmp_path / "scene.png"), box_mask())
    assert isinstance(picture, Picture) and picture.pixels.shape == (90, 120, 4)
    assert picture.dpi[0] == pytest.approx(300, 0.01)
    with pytest.raises(ArgumentError, match="with crop_to_mask=True expected a pixel above 0"):
        segmentation.cutout(scene(), np.zeros((90, 120), bool), crop_to_mask=True)
    with pytest.raises(ShapeError, match="mask"):
        segmentation.cutout(scene(), np.zeros((9, 12), bool))


# Annotations


@pytest.mark.parametrize("seed", range(3))
def test_runs_come_back(seed: int) -> None:
    random = np.random.default_rng(seed)
    mask = random.random((23, 31)) < (0.5, 0.02, 1.0)[seed]
    runs = data.encode_segmentation(mask)
    assert np.array_equal(data.decode_segmentation(json.loads(json.dumps(runs)), 23, 31) > 0, mask)
    assert np.array_equal(data.decode_segmentation(data.encode_segmentation(~mask), 23, 31) > 0, ~mask)


def test_runs_of_no_mask_are_refused() -> None:
    with pytest.raises(DTypeError, match="mask: dtype int64"):
        data.encode_segmentation(np.zeros((3, 4), np.int64))
    with pytest.raises(DTypeError, match="mask: list"):
        data.encode_segmentation([[1]])
    with pytest.raises(MaskError, match="mask: values from 0 to 255, expected floats in"):
        data.encode_segmentation(np.diag([255.0, 0]))
    with pytest.raises(MaskError, match="mask: uint8 with largest value 1"):
        data.encode_segmentation(np.eye(3, dtype=np.uint8))
    with pytest.warns(MaskWarning, match="mask: uint8 with largest value 7"):
        data.encode_segmentation(np.eye(3, dtype=np.uint8) * 7)
    for shape in ((3, 4, 1), (3, 4, 3), (4,), (0, 4)):
        with pytest.raises(ShapeError, match="mask: shape"):
            data.encode_segmentation(np.zeros(shape, bool))


def test_runs_are_of_what_is_above_one_half_in_any_mask() -> None:
    half = np.linspace(0, 1, 42).reshape(6, 7)
    runs = data.encode_segmentation(half > 0.5)
    for mask in (
        half,
        half.astype(np.float32),
        (half * 255).round().astype(np.uint8),
        (half * 65535).astype(np.uint16),
    ):
        assert data.encode_segmentation(mask) == runs


def annotations(folder: Path) -> Path:
    """Writes two pictures and annotations with boxes, of which one has no picture."""
    Image.fromarray(scene()).save(folder / "a.png")
    table = {
        "images": [
            {"id": 1, "file_name": "a.png", "height": 90, "width": 120},
            {"id": 2, "file_name": "none.png", "height": 90, "width": 120},
            {"id": 3, "file_name": "../a.png", "height": 90, "width": 120},
        ],
        "annotations": [
            {"id": 7, "image_id": 1, "category_id": 1, "bbox": [BOX[0] - 3, BOX[1] - 3, BOX[2] + 6, BOX[3] + 6]},
            {"id": 8, "image_id": 2, "category_id": 1, "bbox": [1, 1, 5, 5]},
            {"id": 9, "image_id": 5, "category_id": 1, "bbox": [1, 1, 5, 5]},
        ],
        "categories": [{"id": 1, "name": "box"}],
    }
    (folder / "boxes.json").write_text(json.dumps(table))
    return folder / "boxes.json"


def test_boxes_of_annotations_get_masks(tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    calls: list[int] = []
    table, problems = data.boxes_to_masks(
        annotations(tmp_path), tmp_path, method="grabcut", progress=lambda: calls.append(1)
    )
    first, second, _ = table["annotations"]
    assert iou(data.decode_segmentation(first["segmentation"], 90, 120), box_mask()) > 0.95
    assert abs(first["area"] - BOX[2] * BOX[3]) < 60 and "segmentation" not in second and len(calls) == 3
    assert [p.name for p in problems] == ["none.png", "../a.png", "5"] and "is outside" in problems[1].message
    (tmp_path / "none.json").write_text("[]")
    with pytest.raises(DataError, match="no list 'images', expected COCO"):
        data.boxes_to_masks(tmp_path / "none.json", tmp_path, method="grabcut")


def test_annotations_become_a_folder_to_train_on(tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    Image.fromarray(scene()).save(photos / "a.png")
    x, y, across, down = BOX
    table = {
        "images": [{"id": 1, "file_name": "a.png", "height": 90, "width": 120}],
        "annotations": [
            {
                "id": 7,
                "image_id": 1,
                "category_id": 2,
                "segmentation": [[x, y, x + across - 1, y, x + across - 1, y + down - 1, x, y + down - 1]],
            }
        ],
        "categories": [{"id": 2, "name": "object"}],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(table))
    tool = load_script("tools/annotated.py")
    for folder in ("images", "masks"):
        (out / folder).mkdir(parents=True)
    entries = tool.written(tmp_path / "annotations.json", photos, out)
    (out / "manifest.json").write_text(json.dumps({"entries": entries}))
    (sample,) = data.Manifest(out, "train")
    assert sample["name"] == "a_7" and iou(sample["mask"], box_mask()) == 1
    assert data.Manifest(out).categories == ["object"]


def test_each_of_several_masks_becomes_a_pair_to_train_on(tmp_path: Path) -> None:
    """Masks of one photograph share its copy; one without a mask, and one that lies elsewhere, are read too."""
    tool = load_script("tools/annotated.py")
    root, out, more = tmp_path / "open", tmp_path / "out", tmp_path / "open" / "more"
    for folder in (root, more, out / "images", out / "masks"):
        folder.mkdir(parents=True)
    for name in ("a.png", "b.png", "rembg_c.png"):
        Image.fromarray(scene()).save(root / name)
    halves = np.zeros((2, 90, 120), np.uint8)
    halves[0, :, :60], halves[1, :, 60:] = 255, 255
    for path, mask in ((root / "a_m1.png", halves[0]), (root / "a_m2.png", halves[1]), (more / "b_x1.png", halves[0])):
        Image.fromarray(mask).save(path)
    animal = {"split": "train", "category": "animal"}
    entries = [
        {"file": "a.png", "role": "photo", "pair": "a", **animal},
        {"file": "a_m1.png", "role": "mask", "pair": "a", **animal},
        {"file": "a_m2.png", "role": "mask", "pair": "a", **animal, "category": "person"},
        {"file": "b.png", "role": "photo", "pair": "b", "split": "val", "category": "landscape"},
        {"file": "rembg_c.png", "role": "photo", "pair": "rembg_c", **animal},
    ]
    (root / "manifest.json").write_text(json.dumps({"entries": entries}))
    entry = {"file": "b_x1.png", "role": "mask", "pair": "b", "photo": "../b.png", "split": "val", "category": "tool"}
    (more / "manifest.json").write_text(json.dumps({"entries": [entry]}))
    pairs = tool.separated(root, out) + tool.separated(more, out)
    (out / "manifest.json").write_text(json.dumps({"entries": pairs}))
    train, val = (data.Manifest(out, split) for split in ("train", "val"))
    assert train.names == ["a_m1", "a_m2"] and train.categories == ["animal", "person"]
    for sample, mask in zip(train, halves, strict=True):
        np.testing.assert_array_equal(sample["mask"], mask)
        np.testing.assert_array_equal(sample["image"], scene())
    assert val.names == ["b", "b_x1"] and ["mask" in sample for sample in val] == [False, True]
    assert sorted(path.name for path in (out / "images").iterdir()) == ["a.png", "b.png"]


def test_all_masks_of_the_open_data_can_be_trained_on(tmp_path: Path, data_dir: Path) -> None:
    tool = load_script("tools/annotated.py")
    folders = [data_dir / "masks_open", data_dir / "masks_open" / "more_masks"]
    if not all((folder / "manifest.json").is_file() for folder in folders):
        pytest.skip("shared data not found")
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    (tmp_path / "manifest.json").write_text(
        json.dumps({"entries": [entry for folder in folders for entry in tool.separated(folder, tmp_path)]})
    )
    counts = {}
    for split in ("train", "val", "test"):
        pairs = data.Manifest(tmp_path, split)
        counts[split] = sum("mask" in entry for entry in pairs.entries)
        masked = next(i for i, entry in enumerate(pairs.entries) if "mask" in entry)
        assert pairs[masked]["mask"].any() and pairs[masked]["mask"].shape == pairs[masked]["image"].shape[:2]
    listed = [json.loads((folder / "manifest.json").read_text())["entries"] for folder in folders]
    splits = [entry["split"] for entries in listed for entry in entries if entry["role"] == "mask"]
    assert counts == {split: splits.count(split) for split in counts} and counts["train"] > 800


def test_the_masks_that_we_drew_are_whole() -> None:
    table = json.loads((ROOT / "tools/annotations/photos_open.json").read_text())
    images = {image["id"]: image for image in table["images"]}
    assert len(images) == len(table["images"]) > 100
    for annotation in table["annotations"]:
        image = images[annotation["image_id"]]
        for polygon in annotation["segmentation"]:
            assert len(polygon) >= 6 and len(polygon) % 2 == 0
            assert min(polygon) >= 0 and max(polygon[::2]) <= image["width"] and max(polygon[1::2]) <= image["height"]


def test_the_heads_that_we_drew_are_in_their_photographs() -> None:
    table = json.loads((ROOT / "tools/annotations/heads.json").read_text())["photographs"]
    layouts = {entry["photo"] for entry in json.loads((ROOT / "benchmarks/layouts.json").read_text())["layouts"]}
    names = {entry["photo"] for entry in table}
    assert len(names) == len(table) > 400 and not names & layouts
    for entry in table:
        boxes = [box for person in entry["people"] for box in (person["head"], person["body"]) if box is not None]
        for left, top, right, bottom in [*boxes, *entry["ignore"]]:
            assert 0 <= left < right <= 100 and 0 <= top < bottom <= 100


def test_a_mask_without_pixels_is_refused() -> None:
    session = segmentation.Session(np.zeros((60, 80, 3), np.uint8))
    for call in (session.posture, session.shows_people):
        with pytest.raises(ShapeError, match=r"mask: .*expected \[60, 80\]"):
            call(np.zeros((0, 0), np.uint8))


def test_a_mask_is_a_guess_where_no_answer_is_sure() -> None:
    sure, unsure = (Layer((0, 0, 8, 8), np.ones((8, 8), np.float32), score) for score in (0.7, 0.3))
    assert "the mask is a guess" in _segment.reason_of([unsure])
    # Of a person the whole comes first, and how much is meant is open.
    assert _segment.reason_of([unsure, sure]) == ""


# ---- what was cut away ---------------------------------------------------------------------------------


def noisy() -> tuple[np.ndarray, np.ndarray]:
    """Returns a photo whose background is noise, which no file compresses, and a soft mask of its disc."""
    y, x = np.mgrid[:120, :160]
    far = np.hypot(y - 60, x - 80)
    image = np.random.default_rng(3).integers(0, 256, (120, 160, 3), np.uint8)
    image[far < 34] = 200, 40, 40
    return image, (np.clip(32 - far, 0, 4) / 4 * 255).astype(np.uint8)


def left_under(file: Path) -> np.ndarray:
    """Returns the colours that a file holds under alpha 0."""
    pixels = np.asarray(Image.open(file))
    assert pixels.shape[-1] == 4 and (pixels[..., 3] == 0).any() and (pixels[..., 3] == 255).any()
    return pixels[pixels[..., 3] == 0][:, :3]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_nothing_is_left_under_a_cut_out(dtype: str) -> None:
    image, mask = noisy()
    white = {"uint8": 255, "uint16": 65535}.get(dtype, 1)
    image = (image / 255 * white).astype(dtype)
    for crop in (False, True):
        result = segmentation.cutout(image, mask, crop_to_mask=crop)
        assert (result[..., 3] == 0).any() and not result[result[..., 3] == 0].any()
    cutout = segmentation.cutout(image, mask, keep_background=True)
    np.testing.assert_array_equal(cutout[mask == 0][:, :3], image[mask == 0])
    np.testing.assert_array_equal(cutout[mask > 0], segmentation.cutout(image, mask)[mask > 0])
    grey = segmentation.cutout(image[..., 0], mask)
    assert not grey[grey[..., 3] == 0].any()


@pytest.mark.parametrize("door", ["cutout", "segment", "batch"])
@pytest.mark.parametrize("suffix", [".png", ".webp", ".tiff"])
def test_what_was_cut_away_is_not_in_the_file(door: str, suffix: str, tmp_path: Path) -> None:
    if door != "cutout":
        pytest.importorskip("cv2", reason="OpenCV is not installed")
    image, mask = noisy()
    photo, out = tmp_path / "photo.png", tmp_path / f"out{suffix}"
    Image.fromarray(image).save(photo)

    def write(keep: bool) -> Path:
        if door == "cutout":
            pyharmony.io.write(segmentation.cutout(pyharmony.io.read(photo), mask, keep_background=keep), out)
        elif door == "segment":
            more = ["--keep-background"] if keep else []
            arguments = [str(photo), "--points", "80,60", "--method", "grabcut", "--box", "40,20,80,80"]
            call, _ = runners("segment")
            call(*arguments, *more, "-o", str(out), "--overwrite")
        else:
            options = {"points": [[80, 60]], "box": [40, 20, 80, 80], "method": "grabcut", "keep_background": keep}
            photos, folder = tmp_path / "photos", tmp_path / f"batch-{keep}"
            photos.mkdir(exist_ok=True)
            Image.fromarray(image).save(photos / "photo.png")
            report = batch.run("segment", photos, folder, options=options, format=suffix[1:])
            assert report.counts["done"] == 1
            return next(folder.glob(f"*{suffix}"))
        return out

    left = left_under(write(False))
    # Lossy compression spreads the contour's colours a little.
    assert (left > 0).any(1).mean() < 0.1 if suffix == ".webp" else not left.any()
    assert left_under(write(True)).mean() > 100


def outline(mask: np.ndarray, grown: float) -> list[tuple[float, float]]:
    """Returns the corners of the rectangle around a mask, moved outwards by some pixels."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    left, top, right, bottom = columns[0] - grown, rows[0] - grown, columns[-1] + grown, rows[-1] + grown
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


@pytest.mark.parametrize("method", ["auto", "grabcut"])
def test_a_lasso_segments_what_it_surrounds(method: str) -> None:
    line = outline(box_mask(), 5)
    rough = segmentation.segment(scene(), lasso=line, tolerance=0, method=method)
    assert iou(rough.mask, box_mask()) < 0.75
    assert iou(segmentation.segment(scene(), lasso=line, tolerance=8, method=method).mask, box_mask()) > 0.95


def test_the_contour_stays_within_its_tolerance() -> None:
    distant = np.zeros((90, 120), bool)
    distant[20:70, 30:110] = True  # across the box and the disc
    near = np.zeros_like(distant)
    near[26:64, 36:104] = True
    mask = segmentation.segment(scene(), mask=distant, tolerance=4).mask
    assert (mask[near] >= 128).all()
    beyond = np.ones_like(distant)
    beyond[12:78, 22:118] = False
    assert not (mask[beyond] >= 128).any()
    assert iou(segmentation.segment(scene(), mask=distant, tolerance=0).mask, distant) == 1


def test_a_part_by_a_lasso_is_added_and_removed() -> None:
    session = segmentation.Session(scene())
    before = session.click(40, 40).mask
    y, x = np.mgrid[:90, :120]
    disc = np.hypot(x - DISC[0], y - DISC[1]) < DISC[2]
    both = session.lasso(outline(disc, 3), tolerance=6)
    assert iou(both.mask, box_mask() | disc) > 0.93 and both.reason == ""
    less = session.lasso(outline(disc, 6), add=False, tolerance=0)
    assert iou(less.mask, before >= 128) > 0.95
    nothing = session.lasso([(0, 0), (119, 0), (119, 89), (0, 89)], add=False, tolerance=0)
    assert not nothing.mask.any() and nothing.reason.code == "nothing-left"
    session.undo(), session.undo()
    assert np.array_equal(session.undo().mask, before)  # type: ignore[union-attr]


def test_masks_are_added_and_removed() -> None:
    stem, hole = np.zeros((90, 120), bool), np.zeros((90, 120), bool)
    stem[64:85, 39:42] = True
    hole[30:40, 30:40] = True
    plain = segmentation.segment(scene(), points=(40, 40)).mask
    masks = segmentation.segment(scene(), points=(40, 40), include=stem, exclude=[hole])
    expected = (plain >= 128) | stem
    expected[hole] = False
    for mask in (masks.mask, masks.alpha(), masks[0], *masks.reduced((120, 90))):
        assert iou(mask, expected) > 0.96 and (mask[stem] == 255).all() and not mask[hole].any()
    assert iou(segmentation.segment(scene(), mask=stem, tolerance=0, include=hole).mask, stem | hole) == 1
    smaller = segmentation.Session(scene(), at=(240, 180))
    large = np.kron(stem, np.ones((2, 2), bool))
    assert iou(smaller.combine(large).mask, large) == 1


def test_sums_change_no_pixel_elsewhere_and_keep_every_candidate() -> None:
    session, corner = segmentation.Session(ROOT / "pyharmony/cli/images/astronaut.jpg"), np.zeros((512, 512), bool)
    before = session.click(230, 120)
    old_masks, alpha = [before[i] for i in range(len(before))], before.alpha()
    corner[:8, :8] = True
    for add in (True, False):
        masks = session.combine(corner, add=add)
        assert len(masks) == len(before) > 1 and masks.scores == before.scores
        for mask, old in zip([masks.alpha(), *(masks[i] for i in range(len(masks)))], [alpha, *old_masks]):
            assert np.array_equal(mask, np.where(corner, np.uint8(255 * add), old))
    assert np.array_equal(session.choose(1).mask, np.where(corner, np.uint8(0), old_masks[1]))
    thin = np.zeros((900, 1200), bool)
    thin[450:453, 100:1000] = True
    line = segmentation.segment(np.kron(scene(), np.ones((10, 10, 1), np.uint8)), mask=thin, tolerance=0)
    assert line.areas[0] == pytest.approx(2700, rel=0.05) and line.boxes[0] == pytest.approx((100, 450, 900, 3), abs=1)


def test_after_everything_was_removed_all_begins_anew() -> None:
    session = segmentation.Session(scene())
    session.click(40, 40)
    assert not session.combine(np.ones((90, 120), bool), add=False).mask.any()
    with pytest.raises(ArgumentError, match="expected a click on the object first"):
        session.click(10, 10, add=False)
    with pytest.raises(ArgumentError, match="mask: removed, and there is no mask"):
        session.combine(box_mask(), add=False)
    disc = session.click(DISC[0], DISC[1]).mask
    assert np.array_equal(disc, segmentation.segment(scene(), points=DISC[:2]).mask)


def test_an_outline_in_which_a_method_sees_nothing_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    session = segmentation.Session(scene())
    before = session.click(40, 40)
    monkeypatch.setattr(session._cutter, "cut", lambda prompts, last=None: [])
    masks = session.lasso([(80, 70), (110, 70), (110, 85), (80, 85)], tolerance=4)
    assert masks.reason.code == "nothing-there" and np.array_equal(masks.mask, before.mask)


def test_a_shape_needs_no_colours() -> None:
    for tolerance in (None, 0):
        masks = segmentation.segment(np.zeros_like(scene()), lasso=outline(box_mask(), 0), tolerance=tolerance)
        assert iou(masks.mask, box_mask()) > 0.9 and masks.reason == ""


def test_a_click_without_effect_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    session = segmentation.Session(scene())
    layer = layers_of(session.click(40, 40))[0]
    monkeypatch.setattr(session._cutter, "cut", lambda prompts, last=None: [layer])
    assert session.click(42, 40).reason == ""  # it was inside before
    assert session.click(85, 45).reason.code == "no-effect"
    monkeypatch.undo()
    assert session.click(85, 45).reason == ""


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: segmentation.segment(scene(), lasso=[(1, 1), (5, 5)]), "lasso: 2 points, expected at least three"),
        (lambda: segmentation.segment(scene(), lasso=[(1, 1), (5, 5), (9, 9)]), "lasso: encloses no pixel"),
        (lambda: segmentation.segment(scene(), lasso=[(1, 1), (500, 5), (9, 9)]), r"lasso\[1\]: \(500, 5\) is outside"),
        (lambda: segmentation.segment(scene(), points=(4, 4), tolerance=2), "tolerance: 2 without a mask"),
        (lambda: segmentation.segment(scene(), mask=box_mask(), tolerance=-1), "tolerance: -1"),
        (lambda: segmentation.segment(scene(), points=(4, 4), include=box_mask() & False), "include: empty"),
        (lambda: segmentation.Session(scene()).combine(box_mask(), add=False), "mask: removed, and there is no mask"),
        (lambda: segmentation.segment(scene(), all_people=True, exclude=box_mask()), "all_people: True together"),
        (lambda: segmentation.segment(scene(), points=(4, 4), exclude=box_mask()[::2, ::2]), "exclude: shape"),
        (lambda: segmentation.Session(scene()).combine(box_mask()[::2, ::2]), "mask: shape"),
    ],
)
def test_shapes_that_mean_nothing_are_refused(call: Any, says: str) -> None:
    with pytest.raises((ArgumentError, ShapeError), match=says):
        call()


def thin_scene(shape: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns a picture of 480 pixels, the region of its red object, and that of a pole of it, or of a slit in it."""
    y, x = np.mgrid[:480, :480]
    if shape == "pole":
        part = (abs(x - 240) < 2) & (y >= 195) & (y < 430)
        region = (np.hypot(x - 240, y - 130) < 70) | part
    else:
        radius = np.hypot(x - 240, y - 240)
        part = (abs(x - 240) < 5) & (y > 240) & (radius < 139)
        region = (radius < 140) & ~part
    picture = np.where(region[..., None], (200, 60, 40), (90, 150, 80))
    noise = np.random.default_rng(0).normal(0, 5, picture.shape)
    return (picture + noise).clip(0, 255).astype(np.uint8), region, part


def test_a_click_on_a_thin_pole_adds_all_of_it_for_good() -> None:
    image, region, pole = thin_scene("pole")
    session = segmentation.Session(image)
    assert (session.click(240, 130).mask[pole] >= 128).mean() < 0.1
    masks = session.click(240, 330)
    for mask in (masks.mask, masks.alpha()):
        assert (mask[pole] >= 128).mean() > 0.95 and iou(mask, region) > 0.99
    session.click(200, 130)
    later = session.click(60, 130, add=False)
    assert (later.mask[pole] >= 128).mean() > 0.95 and iou(later.alpha(), region) > 0.99


def test_a_click_in_a_slit_removes_nothing_beside_it() -> None:
    image, region, slit = thin_scene("slit")
    session = segmentation.Session(image)
    before = session.click(150, 240).mask >= 128
    assert before[slit].mean() > 0.95
    masks = session.click(240, 310, add=False)
    assert masks.reason == "" and (masks.mask[slit] >= 128).mean() < 0.7
    assert (masks.mask[region & before] >= 128).mean() > 0.995


def test_a_piece_that_is_thicker_elsewhere_is_not_thin() -> None:
    values, old = np.zeros((100, 100), np.float32), np.zeros((100, 100), np.float32)
    old[40:80, 10:40] = 1
    values[50:54, 40:60] = 1  # an arm of the object
    thin = layers.Layer((0, 0, 100, 100), np.maximum(values, old), 0.8)
    thick = thin._replace(values=thin.values.copy())
    thick.values[20:90, 60:95] = 1  # the arm ends in another thing
    before, nothing = thin._replace(values=old), [thin._replace(values=old)]
    for answer, is_thin in ((thin, True), (thick, False)):
        masks = with_thin_piece(before, nothing, (50, 51), True, lambda *_, answer=answer: [answer], (100, 100))
        assert len(masks) == 1 + is_thin and (masks[0].values[51, 50] > 0.5) == is_thin
    assert len(with_thin_piece(before, nothing, (20, 60), True, lambda *_: [thin], (100, 100))) == 1  # it is inside


def test_a_certain_part_that_is_narrower_than_the_uncertain_band_keeps_its_alpha() -> None:
    image, region, pole = thin_scene("pole")
    layer = layers.Layer((0, 0, 480, 480), region.astype(np.float32), 1.0)
    assert soft_alpha(image, layer)[pole].mean() > 240
