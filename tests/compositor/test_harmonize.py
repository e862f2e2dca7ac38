"""Harmonisation: the promises of every method, the work of each of them, guards, networks and sequences."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import subprocess
import sys
import tracemalloc
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import pyharmony as ph
from pyharmony import _shipped, color, errors, ops
from pyharmony._images.sizes import fitted
from pyharmony.harmonization import (
    METHODS,
    ColorMap,
    HarmonizeInfo,
    _guards,
    _judged,
    _lalonde_efros,
    _statistics,
    _xue,
)
from pyharmony.harmonization._fit import fit
from pyharmony.harmonization._guards import Care
from pyharmony.harmonization._maps import IDENTITY, lattice, table_of
from pyharmony.harmonization._scene import Scene, reduced, scene_of
from pyharmony.harmonization._transport import transport_plan
from pyharmony.io import Picture

from ..shared import GUARDED, ROOT

pytestmark = [pytest.mark.chains, GUARDED]

METHODS_WITHOUT_WEIGHTS = tuple(name for name in METHODS if name != "auto")


def composite(height: int = 120, width: int = 160, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Returns a photograph of noise on slopes with a warmer, darker object in it, and its soft mask."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / np.array([height, width])[:, None, None]
    picture = np.stack([90 + 60 * x, 100 + 50 * y, 120 + 40 * x * y], -1) + random.normal(0, 12, (height, width, 3))
    inside = np.clip((0.28 - np.hypot(y - 0.5, x - 0.45)) * 20, 0, 1)
    other = np.stack([70 + 90 * y, 60 + 50 * x, 45 + 30 * y], -1) + random.normal(0, 15, (height, width, 3))
    picture += inside[..., None] * (other - picture)
    return picture.clip(0, 255).astype(np.uint8), np.rint(255 * inside).astype(np.uint8)


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    return composite()


class Maps(NamedTuple):
    affine: Any
    curves: Any
    grid: Any


def network(models: Any, function: Any, maps: Any = None) -> Any:
    """Returns a model that applies the given function to its image, [N, 3, H, W] in [0, 1]."""
    model = models.create("dovenet_lite", width=4).eval()

    class Substitute(type(model)):  # type: ignore[misc]
        def forward(self, composite: Any, mask: Any) -> Any:
            return function(composite)

    if maps is not None:
        Substitute.maps = lambda self, composite, mask: maps(composite, mask)
    model.__class__ = Substitute
    return model


def darker(picture: Any) -> Any:
    """Returns x under another light: an affine map with a bend."""
    return 0.75 * picture + 0.1 * picture * picture + 0.03


# The promises of every method


@pytest.mark.parametrize("method", METHODS_WITHOUT_WEIGHTS)
def test_the_background_stays_to_the_bit_and_the_object_changes(method: str, pair: Any) -> None:
    image, mask = pair
    before = image.copy(), mask.copy()
    result, info = ph.harmonize(image, mask, method=method, return_info=True)
    assert (image == before[0]).all() and (mask == before[1]).all()
    assert result.dtype == image.dtype and result.shape == image.shape
    assert (result[mask == 0] == image[mask == 0]).all()
    assert (result[mask == 255] != image[mask == 255]).any(-1).mean() > 0.9
    assert isinstance(info, HarmonizeInfo) and info.method == method and info.weights is None and info.device == "cpu"
    assert 0.25 <= info.confidence <= 1 and info.milliseconds > 0
    assert (result == info.map.apply(image, mask)).all()
    # No method wrecks anything: the mean of the object moves by no more than the guard allows.
    change = np.abs(result.astype(float) - image)[mask == 255].max(-1).mean()
    assert 1 < change <= 255 * (_guards._MAX_MEAN_CHANGE + 0.01)


@pytest.mark.parametrize("method", METHODS_WITHOUT_WEIGHTS)
def test_the_object_comes_nearer_to_the_background(method: str, pair: Any) -> None:
    image, mask = pair
    expected = image[mask == 0].mean(0)
    result = ph.harmonize(image, mask, method=method)
    before, after = (np.linalg.norm(x[mask == 255].mean(0) - expected) for x in (image, result))
    assert after < before
    free = ph.harmonize(image, mask, method=method, guard=False)
    assert np.linalg.norm(free[mask == 255].mean(0) - expected) < after


def test_the_kind_of_the_image_comes_back(pair: Any, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    image, mask = pair
    expected = ph.harmonize(image, mask, method="mkl")

    def file(array: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(array).save(buffer, "PNG")
        return buffer.getvalue()

    for name, array in (("image", image), ("mask", mask)):
        (tmp_path / f"{name}.png").write_bytes(file(array))
    for a, m in (
        (Image.fromarray(image), Image.fromarray(mask)),
        (tmp_path / "image.png", tmp_path / "mask.png"),
        (str(tmp_path / "image.png"), mask),
        (file(image), file(mask)),
        (io.BytesIO(file(image)), io.BytesIO(file(mask))),
    ):
        result = ph.harmonize(a, m, method="mkl")
        assert type(result) is Image.Image
        assert (np.asarray(result) == expected).all()
    result = ph.harmonize(Picture(pixels=image), mask, method="mkl")
    assert type(result) is Picture and (result.pixels == expected).all()
    tensor = ph.harmonize(torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(mask), method="mkl")
    assert isinstance(tensor, torch.Tensor) and (tensor.permute(1, 2, 0).numpy() == expected).all()
    assert ph.harmonize(image, mask, method="mkl", out=tmp_path / "out.png") == tmp_path / "out.png"
    assert (np.asarray(Image.open(tmp_path / "out.png")) == expected).all()
    ph.save(image.astype(np.uint16) * 257, tmp_path / "deep.png")
    deep = ph.harmonize(tmp_path / "deep.png", mask, method="mkl")
    assert type(deep) is np.ndarray and deep.dtype == np.uint16
    assert np.abs(deep / 257 - expected).max() <= 1


@pytest.mark.parametrize("method", METHODS_WITHOUT_WEIGHTS)
def test_every_dtype_has_the_same_colours(method: str, pair: Any) -> None:
    image, mask = pair
    expected = ph.harmonize(image, mask, method=method)
    for dtype, white in (("uint16", 65535), ("float16", 1), ("float32", 1), ("float64", 1)):
        pixels = (image / 255 * white).astype(dtype)
        result = ph.harmonize(pixels, mask, method=method)
        assert result.dtype == np.dtype(dtype)
        assert (result[mask == 0] == pixels[mask == 0]).all()
        # float16 has 11 bits, and the statistics of its colours round likewise.
        assert np.abs(result.astype(float) / white * 255 - expected).max() <= (1.5 if dtype == "float16" else 1.0)


def test_masks_of_every_kind_say_the_same(pair: Any) -> None:
    image, mask = pair
    hard = mask > 127
    expected = ph.harmonize(image, hard, method="reinhard")
    for any_mask in (hard * np.uint8(255), hard * np.uint16(65535), hard.astype(np.float32), Image.fromarray(hard)):
        assert (ph.harmonize(image, any_mask, method="reinhard") == expected).all()


def test_a_soft_mask_mixes(pair: Any) -> None:
    image, mask = (x.astype(np.float64) / 255 for x in pair)
    result, info = ph.harmonize(image, mask, method="mkl", return_info=True)
    whole = info.map.apply(image)
    # The table is interpolated in float32.
    assert np.abs(result - (image + mask[..., None] * (whole - image))).max() < 1e-6


def test_strength_scales_the_change(pair: Any) -> None:
    image, mask = (x.astype(np.float64) / 255 for x in pair)
    full, half, none = (ph.harmonize(image, mask, method="mkl", strength=s) for s in (1.0, 0.5, 0.0))
    assert (none == image).all()
    assert np.abs(half - (full + image) / 2).max() < 1e-6
    # Beyond 1 it goes on, up to the end of the range where the map is a table.
    twice = ph.harmonize(image, mask, method="mkl", strength=2.0)
    expected = (2 * full - image).clip(0, 1)
    assert np.abs(twice - expected).mean() < 1e-3 < np.abs(twice - full).mean() and twice.max() <= 1 + 1e-6
    info = ph.harmonize(image, mask, method="mkl", strength=0, return_info=True)[1]
    assert info.method == "copy" and info.map.is_identity


def test_layouts_and_strides(pair: Any) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    image, mask = pair
    expected = ph.harmonize(image, mask, method="mkl")
    assert (ph.harmonize(image[None], mask, method="mkl")[0] == expected).all()
    both = ph.harmonize(np.stack([image, image[::-1]]), np.stack([mask, mask[::-1]]), method="mkl")
    assert (both[0] == expected).all() and (both[1] == ph.harmonize(image[::-1], mask[::-1], method="mkl")).all()
    strided = np.ascontiguousarray(image[..., ::-1])[..., ::-1]
    assert (ph.harmonize(strided, mask, method="mkl") == expected).all()
    batch = ph.harmonize(torch.from_numpy(image).permute(2, 0, 1)[None], torch.from_numpy(mask), method="mkl")
    assert (batch[0].permute(1, 2, 0).numpy() == expected).all()
    small = image[:80, :90], mask[:80, :90]
    listed = ph.harmonize([image, small[0]], [mask, small[1]], method="mkl")
    assert (listed[0] == expected).all() and (listed[1] == ph.harmonize(*small, method="mkl")).all()
    with pytest.raises(errors.ShapeError, match=r"numpy.moveaxis\(x, -3, -1\)"):
        ph.harmonize(np.moveaxis(image, -1, 0), mask, method="mkl")


@pytest.mark.parametrize("method", METHODS_WITHOUT_WEIGHTS)
def test_a_grey_image_stays_grey_and_takes_the_light(method: str, pair: Any) -> None:
    image, mask = pair
    grey = image[..., 1]
    result = ph.harmonize(grey, mask, method=method)
    assert result.shape == grey.shape and result.dtype == np.uint8
    assert (result[mask == 0] == grey[mask == 0]).all()
    expected = grey[mask == 0].mean()
    assert abs(result[mask == 255].mean() - expected) < abs(grey[mask == 255].mean() - expected)
    assert (ph.harmonize(grey[..., None], mask, method=method)[..., 0] == result).all()


def test_alpha_multiplies_the_mask_and_is_kept(pair: Any) -> None:
    image, mask = pair
    alpha = np.full(mask.shape, 255, np.uint8)
    alpha[:, :70], alpha[:, 70:75] = 0, 100
    rgba = np.concatenate([image, alpha[..., None]], -1)
    result = ph.harmonize(rgba, mask, method="mkl")
    assert (result[..., 3] == alpha).all()
    still = (mask == 0) | (alpha == 0)
    assert (result[still] == rgba[still]).all()
    assert (result[~still] != rgba[~still]).any()
    # Transparent pixels say nothing of the background: not even NaN there matters.
    floats = rgba.astype(np.float32) / 255
    floats[alpha == 0, :3] = np.nan
    of_floats = ph.harmonize(floats, mask, method="mkl")
    assert np.isfinite(of_floats[alpha > 0]).all()
    assert np.abs(of_floats[alpha > 0] * 255 - result[alpha > 0]).max() <= 1


def test_out_may_be_the_image_itself(pair: Any) -> None:
    image, mask = pair
    expected = ph.harmonize(image, mask, method="xue")
    target = np.empty_like(image)
    assert ph.harmonize(image, mask, method="xue", out=target) is target
    assert (target == expected).all()
    own = image.copy()
    assert ph.harmonize(own, mask, method="xue", out=own) is own
    assert (own == expected).all()


def test_bright_floats_stay_bright(pair: Any) -> None:
    image, mask = pair
    bright = image.astype(np.float32) / 255
    bright[40:60, 60:80] += 4
    for method in ("mkl", "reinhard"):
        result = ph.harmonize(bright, mask, method=method)
        assert (result[mask == 0] == bright[mask == 0]).all()
        assert result[45:55, 65:75].min() > 3.5


@pytest.mark.parametrize("method", METHODS_WITHOUT_WEIGHTS)
def test_nothing_to_go_by_is_a_copy_and_never_a_black_picture(method: str, pair: Any) -> None:
    image, mask = pair
    dot = np.zeros_like(mask)
    dot[50, 60] = 255
    for name, m, reason in (
        ("no object", np.zeros_like(mask), "mask is zero everywhere"),
        ("all object", np.full_like(mask, 255), "there is no background"),
        ("tiny object", dot, "the object is too small"),
        ("tiny background", 255 - dot, "the background is too small"),
    ):
        with pytest.warns(errors.UnchangedWarning, match=f"^nothing was harmonized: .*({reason}|larger than light)"):
            result, info = ph.harmonize(image, m, method=method, return_info=True)
        assert (result == image).all(), name
        assert info.method == "copy" and info.confidence < 0.25 and info.map.is_identity, name
        assert reason in info.reason or "larger than light" in info.reason, name
        with pytest.warns(errors.PyHarmonyWarning, match="nothing was harmonized|the estimate has low confidence"):
            free = ph.harmonize(image, m, method=method, guard=False)
        assert free.mean() > 0.4 * image.mean(), name


@pytest.mark.filterwarnings("ignore::pyharmony.errors.MaskWarning", "ignore::pyharmony.errors.UnchangedWarning")
def test_an_object_that_vanishes_in_the_reduced_picture_is_too_small(models: Any) -> None:
    image = np.full((3100, 3100, 3), 90, np.uint8)
    mask = np.zeros((3100, 3100), np.uint8)
    mask[7, 9] = 2
    for method in ("mkl", "lalonde_efros", network(models, darker)):
        result, info = ph.harmonize(image, mask, method=method, guard=False, return_info=True)
        assert (result == 90).all() and info.method == "copy" and info.reason == "the object is too small"


@pytest.mark.filterwarnings("ignore:the estimate has low confidence:pyharmony.errors.ConfidenceWarning")
@pytest.mark.filterwarnings("ignore::pyharmony.errors.UnchangedWarning")
@pytest.mark.parametrize("method", METHODS_WITHOUT_WEIGHTS)
@pytest.mark.parametrize("guard", [True, False])
def test_flat_regions_do_no_harm(method: str, guard: bool) -> None:
    """Flat regions have no spread to divide by; the result stays flat and near the two colours."""
    image = np.full((64, 64, 3), (120, 110, 100), np.uint8)
    mask = np.zeros((64, 64), np.uint8)
    mask[16:48, 16:48] = 255
    image[mask > 0] = (100, 100, 110)
    for a in (image, np.where(mask[..., None] > 0, np.uint8(0), image), np.where(mask[..., None] > 0, image, 255)):
        result = ph.harmonize(a.astype(np.uint8), mask, method=method, guard=guard)
        assert (result[mask == 0] == a[mask == 0]).all()
        assert len(np.unique(result[mask > 0], axis=0)) == 1
        low, high = sorted((a[0, 0].astype(int), a[32, 32].astype(int)), key=lambda x: x.sum())
        assert (result[32, 32] >= low.min() - 40).all() and (result[32, 32] <= high.max() + 40).all()


@pytest.mark.parametrize("odd", [0, 1, 3])
@pytest.mark.parametrize("method", ["reinhard", "mkl", "match_histogram"])
def test_an_object_of_one_colour_is_shifted(method: str, odd: int) -> None:
    """To the mean of the background, and so is one with a pixel that differs by a little, which is noise."""
    image = np.random.default_rng(5).integers(60, 200, (80, 100, 3)).astype(np.uint8)
    mask = np.zeros((80, 100), np.uint8)
    mask[20:60, 30:70] = 255
    image[mask > 0] = 120, 90, 60
    image[40, 50] += np.uint8(odd)
    result = ph.harmonize(image, mask, method=method, guard=False)
    assert (
        np.abs(result[mask > 0].mean(0) - image[mask == 0].mean(0)).max() < 10
    )  # reinhard's mean is that of logarithms
    assert result[mask > 0].std(0).max() < 0.5 and np.ptp(result[mask > 0].astype(int), axis=0).max() <= 3 * odd
    # A background of one colour gives its own, and no more than rounding is left of the object's.
    image[mask == 0] = 100, 130, 90
    image[mask > 0] = np.random.default_rng(6).integers(60, 200, (1600, 3))
    colours = ph.harmonize(image, mask, method=method, guard=False)[mask > 0]
    assert np.abs(colours.mean(0) - [100, 130, 90]).max() < 3 and colours.std(0).max() < 3


@pytest.mark.parametrize("method", [*METHODS_WITHOUT_WEIGHTS, "network"])
def test_tiles_have_the_bits_of_the_whole(method: str, pair: Any, models: Any) -> None:
    image, mask = pair
    method_or_model = network(models, darker) if method == "network" else method
    result, info = ph.harmonize(image, mask, method=method_or_model, return_info=True)
    assert info.method != "copy"
    tiles = np.empty_like(image)
    for y, x in itertools.product(range(0, 120, 50), range(0, 160, 64)):
        part = slice(y, y + 50), slice(x, x + 64)
        tiles[part] = info.map.apply(image[part], mask[part], origin=(x, y), frame=image.shape[:2])
    assert (tiles == result).all()
    with pytest.raises(errors.ArgumentError, match="is not inside"):
        info.map.apply(image, mask, origin=(1, 0), frame=image.shape[:2])


@pytest.mark.covering(1)
@pytest.mark.parametrize("method", METHODS_WITHOUT_WEIGHTS)
def test_the_bits_do_not_depend_on_threads(method: str, threads: int, pair: Any) -> None:
    result = ph.harmonize(*pair, method=method)
    ph.set_num_threads(1)
    assert (ph.harmonize(*pair, method=method) == result).all()


def test_the_bits_do_not_depend_on_the_threads_of_numpy() -> None:
    """NumPy adds large products in another order if it shares them among threads."""
    code = """
import hashlib, numpy as np, pyharmony
from tests.compositor.test_harmonize import composite
image, mask = (np.repeat(np.repeat(x, 4, 0), 4, 1) for x in composite())
print(hashlib.sha256(pyharmony.harmonize(image / np.float32(255), mask).tobytes()).hexdigest())
"""
    digests = set()
    for count in "12":
        variables = {**os.environ, "OPENBLAS_NUM_THREADS": count, "OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count}
        call = [sys.executable, "-W", "ignore", "-c", code]
        process = subprocess.run(call, env=variables, cwd=ROOT, check=True, capture_output=True, text=True)
        digests.add(process.stdout.strip())
    assert len(digests) == 1


@pytest.mark.filterwarnings("ignore::pyharmony.errors.UnchangedWarning")
def test_memory_stays_below_the_image() -> None:
    image, mask = composite(1200, 1600)
    for method in ("mkl", "xue"):
        ph.harmonize(image[:64, :64], mask[:64, :64], method=method)
        tracemalloc.start()
        _, info = ph.harmonize(image, mask, method=method, return_info=True)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # The memory is for the result, and for what does not grow with the image: the reduced image and the work on it.
        assert peak < image.nbytes + 64e6
        assert info.peak_bytes < min(peak, 40e6)


# Behaviour at the edge, for every method and for networks


#: Networks that are tested too: one that gives an image, one that gives a colour map, and a residual generator.
TESTED_METHODS = (*METHODS_WITHOUT_WEIGHTS, "dovenet_lite", "colorgrid", "dovenet")


@pytest.fixture(params=TESTED_METHODS)
def method(request: pytest.FixtureRequest) -> Any:
    """Returns a method; for a network a model with weights that change colours, as trained ones do."""
    if request.param in METHODS_WITHOUT_WEIGHTS:
        return request.param
    torch = pytest.importorskip("torch", reason="torch is not installed")
    request.getfixturevalue("one_torch_thread")
    from pyharmony.networks import models

    torch.manual_seed(0)
    if request.param == "dovenet_lite":
        return network(models, darker)
    if request.param == "colorgrid":
        model = models.create("colorgrid", "small").eval()
        bias = model.experts[0].last.bias
    else:
        model = models.create("dovenet", size=32, width=2, discriminator_width=2, residual=True).eval()
        bias = model.generator.unet.last.bias
    with torch.no_grad():
        bias.normal_(std=0.02)
    return model


@pytest.mark.parametrize("guard", [True, False])
def test_without_object_or_background_there_is_no_black_picture(method: Any, guard: bool, pair: Any) -> None:
    image, mask = pair
    statistics = isinstance(method, str)
    dot = np.zeros_like(mask)
    dot[50, 60] = 255
    for m, whole in ((np.zeros_like(mask), True), (np.full_like(mask, 255), guard or statistics), (dot, guard)):
        with pytest.warns(errors.PyHarmonyWarning) as records:
            result, info = ph.harmonize(image, m, method=method, guard=guard, return_info=True)
        assert records[0].category is (errors.UnchangedWarning if info.method == "copy" else errors.ConfidenceWarning)
        assert (result[m == 0] == image[m == 0]).all() and result.mean() > 0.4 * image.mean()
        if whole:  # as documented a copy
            assert (result == image).all() and info.method == "copy" and info.map.is_identity and info.reason


@pytest.mark.filterwarnings("ignore:the estimate has low confidence:pyharmony.errors.ConfidenceWarning")
@pytest.mark.filterwarnings("ignore::pyharmony.errors.UnchangedWarning")
@pytest.mark.covering(1)
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2), (3, 90)])
def test_the_smallest_images_come_back(method: Any, shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(90, 200, (*shape, 3)).astype(np.uint8)
    half = np.zeros(shape, np.uint8)
    half.reshape(-1)[::2] = 255
    for mask, guard in itertools.product((half, np.full(shape, 255, np.uint8)), (True, False)):
        result = ph.harmonize(image, mask, method=method, guard=guard)
        assert result.shape == image.shape and (result[mask == 0] == image[mask == 0]).all()
        # A method may say anything of a pixel or two alone; the guard leaves them as they are.
        assert not guard or result.mean() > 60


@pytest.mark.filterwarnings("ignore::pyharmony.errors.UnchangedWarning")
def test_grey_and_four_channels(method: Any, pair: Any) -> None:
    image, mask = pair
    grey = image[..., 1]
    of_three = ph.harmonize(np.stack([grey] * 3, -1), mask, method=method)
    result = ph.harmonize(grey, mask, method=method)
    assert result.shape == grey.shape and (result[mask == 0] == grey[mask == 0]).all()
    luma = of_three.astype(float) @ np.array([0.299, 0.587, 0.114])
    assert np.abs(result - luma).max() <= 2
    alpha = np.full((*mask.shape, 1), 255, np.uint8)
    rgba = ph.harmonize(np.concatenate([image, alpha], -1), mask, method=method)
    assert (rgba[..., 3] == 255).all() and (rgba[..., :3] == ph.harmonize(image, mask, method=method)).all()
    alpha[:, :70] = 0
    holes = ph.harmonize(np.concatenate([image, alpha], -1), mask, method=method)
    still = (alpha[..., 0] == 0) | (mask == 0)
    assert (holes[..., 3:] == alpha).all() and (holes[still, :3] == image[still]).all()
    assert holes[~still, :3].min(0).max() > 0


@pytest.mark.covering(1)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinities_are_refused(method: Any, bad: float, pair: Any) -> None:
    image, mask = (x.astype(np.float32) / 255 for x in pair)
    for y, x in ((0, 0), (60, 72)):  # outside, and inside of the object
        damaged = image.copy()
        damaged[y, x, 1] = bad
        with pytest.raises(errors.ArgumentError, match=rf"image: {bad} at pixel \(y={y}, x={x}\), channel 1"):
            ph.harmonize(damaged, mask, method=method)
    with pytest.raises(errors.MaskError, match="mask: "):
        ph.harmonize(image, np.where(mask > 0, np.float32(bad), mask), method=method)
    rgba = np.concatenate([image, np.ones((*mask.shape, 1), np.float32)], -1)
    rgba[:5, :5] = (bad, bad, bad, 0)
    assert np.isfinite(ph.harmonize(rgba, mask, method=method)[rgba[..., 3] > 0]).all()


# Errors


def test_errors_name_the_argument(pair: Any) -> None:
    image, mask = pair
    for options, kind, says in (
        ({"mask": None}, errors.MaskError, "mask: None, expected the mask of the object"),
        ({"mask": mask[:-1]}, errors.ShapeError, "mask: shape"),
        ({"mask": (mask > 0).astype(np.uint8)}, errors.MaskError, "largest value 1"),
        ({"strength": 2.5}, errors.ArgumentError, "strength: 2.5, expected a number from 0 to 2"),
        ({"guard": "yes"}, errors.DTypeError, "guard: 'yes', expected True or False"),
        ({"device": "tpu"}, errors.ArgumentError, "device: 'tpu'"),
        ({"image": image > 3}, errors.DTypeError, "image: dtype bool"),
        ({"image": np.zeros((120, 160, 2), np.uint8)}, errors.ShapeError, "image: shape"),
    ):
        arguments = {"image": image, "mask": mask, "method": "mkl", **options}
        with pytest.raises(kind, match=says):
            ph.harmonize(arguments.pop("image"), arguments.pop("mask"), **arguments)
    floats = image.astype(np.float32) / 255
    floats[7, 11, 2] = np.nan
    with pytest.raises(errors.ArgumentError, match=r"image: nan at pixel \(y=7, x=11\), channel 2"):
        ph.harmonize(floats, mask, method="mkl")


def test_one_failure_of_a_list_takes_no_other_along(pair: Any) -> None:
    image, mask = pair
    results = ph.harmonize([image, image > 3, image], mask, method="mkl", errors="return")
    assert isinstance(results[1], errors.DTypeError)
    assert (results[0] == results[2]).all() and (results[0] == ph.harmonize(image, mask, method="mkl")).all()


def test_what_is_no_method_is_refused(pair: Any, models: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(errors.ArgumentError, match="method: 'rheinhard', expected one of 'auto', 'reinhard'"):
        ph.harmonize(*pair, method="rheinhard")
    with pytest.raises(errors.DTypeError, match="method: int, expected one of"):
        ph.harmonize(*pair, method=3)
    with pytest.raises(errors.ArgumentError, match="method: realism_cnn does not harmonize"):
        ph.harmonize(*pair, method=models.create("realism_cnn", "small"))
    with pytest.raises(errors.WeightsError, match="there is no such file"):
        ph.harmonize(*pair, method=tmp_path / "none.safetensors")
    monkeypatch.setattr(_shipped, "every", list)
    with pytest.raises(errors.WeightsError, match="'auto' needs the weights colorgrid, which this pyharmony lacks"):
        ph.harmonize(*pair)


# Transfers of statistics


def test_reinhard_unguarded_is_that_of_the_colours(pair: Any) -> None:
    """Unguarded, it is the transfer of colours but for the table of 33 colours a side, whose steps are 8 levels."""
    image, mask = pair
    for method in ("reinhard", "mkl", "match_histogram"):
        result = ph.harmonize(image, mask, method=method, guard=False)
        expected = getattr(color, method)(image, image, mask, 255 - mask)
        assert np.abs(result.astype(float) - expected).mean() < 0.5
        assert np.quantile(np.abs(result.astype(float) - expected)[mask == 255], 0.99) <= 3


def test_luminance_and_temperature_are_those_of_the_background(pair: Any) -> None:
    image, mask = pair
    hard = (mask > 127).astype(np.uint8) * 255
    free = ph.harmonize(image, hard, method="luminance_temperature", guard=False)

    def lightness(a: np.ndarray, where: np.ndarray) -> Any:
        return color.rgb_to_lab(a[where] / 255)[:, 0].mean()

    expected = lightness(image, hard == 0)
    assert abs(lightness(free, hard > 0) - expected) < 0.2 * abs(lightness(image, hard > 0) - expected)


@pytest.mark.filterwarnings("ignore:the estimate has low confidence:pyharmony.errors.ConfidenceWarning")
@pytest.mark.filterwarnings("ignore::pyharmony.errors.UnchangedWarning")
def test_clipped_highlights_stay_neutral_under_the_guard() -> None:
    random = np.random.default_rng(0)
    image = np.rint(random.normal((90, 110, 160), 20, (96, 96, 3))).clip(0, 255).astype(np.uint8)  # a blue evening
    mask = np.zeros((96, 96), np.uint8)
    mask[24:72, 24:72] = 255
    image[24:72, 24:72] = np.rint(random.normal((200, 150, 110), 30, (48, 48, 3))).clip(0, 255)
    image[40:46, 40:46] = 255
    for method in ("reinhard", "mkl", "luminance_temperature", "match_histogram"):
        guarded, free = (ph.harmonize(image, mask, method=method, guard=g)[42, 42].astype(int) for g in (True, False))
        assert np.ptp(guarded) <= 2, method
        if method == "reinhard":
            assert np.ptp(free) > 15  # what would come of it


def test_the_table_of_a_method_is_near_its_function() -> None:
    """Tetrahedral interpolation of 33 colours a side is near the function itself."""
    shift = np.array([0.3, -0.05, 0.1])
    table = table_of(lambda x: color.lalphabeta_to_rgb(color.rgb_to_lalphabeta(x) + shift))
    colors = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    exact = color.lalphabeta_to_rgb(color.rgb_to_lalphabeta(colors / 255) + shift).clip(0, 1) * 255
    difference = np.abs(table.apply(colors).astype(float) - exact)
    assert difference.mean() < 0.5 and difference.max() < 4
    assert (ColorMap(table=lattice().reshape(33, 33, 33, 3)).apply(colors) == colors).all()


# Lalonde and Efros


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_the_transport_is_the_cheapest(n: int, m: int, seed: int) -> None:
    from scipy.optimize import linprog

    random = np.random.default_rng(seed)
    supply, demand = random.dirichlet(np.ones(n)), random.dirichlet(np.ones(m))
    if seed % 3 == 0 and n == m:  # degenerate
        supply = demand = np.full(n, 1 / n)
    cost = random.integers(0, 5, (n, m)).astype(float) if seed % 2 else random.random((n, m))
    flow = transport_plan(supply, demand, cost)
    assert flow.min() >= 0
    assert np.abs(flow.sum(1) - supply).max() < 1e-10 and np.abs(flow.sum(0) - demand).max() < 1e-10
    rows = np.kron(np.eye(n), np.ones(m))
    columns = np.kron(np.ones(n), np.eye(m))
    best = linprog(cost.ravel(), A_eq=np.vstack([rows, columns]), b_eq=np.concatenate([supply, demand])).fun
    assert abs((flow * cost).sum() - best) < 1e-9


def test_lalonde_and_efros_move_each_cluster_to_its_own() -> None:
    """Two colours of each get the cheapest pairing, damped by exp(-d² / 75²) a component."""
    image = np.zeros((64, 64, 3), np.uint8)
    mask = np.zeros((64, 64), np.uint8)
    mask[:, :32] = 255
    image[:32, :32], image[32:, :32] = (60, 50, 50), (200, 190, 180)
    image[:32, 32:], image[32:, 32:] = (185, 190, 200), (75, 75, 85)
    result = ph.harmonize(image, mask, method="lalonde_efros", guard=False)
    lab = color.rgb_to_lab(image / 255)
    centres = np.stack([lab[0, 0], lab[40, 0]])
    shift = np.stack([lab[40, 40] - lab[0, 0], lab[0, 40] - lab[40, 0]])
    shift *= np.exp(-((shift / 75) ** 2))
    for y, which in ((0, 0), (40, 1)):
        expected = color.lab_to_rgb(centres[which] + shift[which]) * 255  # of two clusters the nearer one counts
        assert np.abs(result[y, 0] - expected).max() < 2
    assert (result[:, 32:] == image[:, 32:]).all()


def test_clusters_are_where_the_colours_are() -> None:
    random = np.random.default_rng(1)
    true = np.array([[20.0, 0, 0], [60, 30, -20], [90, -10, 40]])
    colors = np.concatenate([c + random.normal(0, 0.5, (n, 3)) for c, n in zip(true, (100, 200, 50), strict=True)])
    centres, share = _lalonde_efros.clusters(colors, np.ones(350), 3)
    order = np.argsort(centres[:, 0])
    assert np.abs(centres[order] - true).max() < 0.3
    assert np.allclose(share[order], [100 / 350, 200 / 350, 50 / 350])
    few, weight = _lalonde_efros.clusters(np.repeat(true, 4, 0), np.ones(12))
    assert len(few) == 3 and np.allclose(weight, 1 / 3)


# Xue and others


def test_the_offset_is_the_one_that_most_agree_on() -> None:
    assert _xue.offset(np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0, 0.0]), -10, 10) == 1.0
    assert _xue.offset(np.array([0.0, 0.0, 0.0]), np.array([0.0, 0.0, 0.0]), -10, 10) == 0.0
    # Held to the range, a large offset costs less than it would.
    assert _xue.offset(np.array([-1.0, -5.0, -4.0]), np.array([-3.0, -9.0, -8.0]), -9, 0) == 4.0


def test_the_curve_of_contrast() -> None:
    x = np.linspace(0, 1.2, 121)
    assert np.allclose(_xue.s_curve(x, 0.5, 0.3), x)
    for alpha in (0.4, 0.45, 0.55, 0.6):
        y = _xue.s_curve(x, alpha, 0.3)
        assert (np.diff(y) > 0).all() and np.allclose(y[[0, 30, 100]], [0, 0.3, 1], atol=1e-12)
        assert (y[15] < x[15]) == (alpha > 0.5) == (y[60] > x[60])
    # The curve is the quadratic Bezier curve of its three points.
    t = np.linspace(0, 1, 11)
    points = 2 * t * (1 - t) * 0.6 + t * t, 2 * t * (1 - t) * 0.4 + t * t
    assert np.allclose(_xue._bezier(points[0], 0.6), points[1])


def test_xue_matches_what_it_measures(pair: Any) -> None:
    image, mask = pair
    hard = (mask > 127).astype(np.uint8) * 255
    result = ph.harmonize(image, hard, method="xue", guard=False)
    inside, outside = _xue.regions(scene_of(image, hard, None, image.shape[:2]))
    of = [_xue.features(color.srgb_to_linear(a[where] / 255.0)) for a, where in
          ((image, inside), (image, outside), (result, inside))]  # fmt: skip
    ours, theirs, matched = of
    for name in ("luminance", "temperature", "saturation"):
        before, after = (np.abs(getattr(x, name) - getattr(theirs, name)).sum() for x in (ours, matched))
        assert after < before, name
    grey = color.srgb_to_linear(np.full((1, 3), 0.5))
    assert np.allclose(_xue.saturated(grey, 3.0), grey) and np.allclose(_xue.warmed(grey, 0.0), grey)
    assert _xue.warmed(grey, 40)[0, 0] > _xue.warmed(grey, 40)[0, 2]


@pytest.mark.filterwarnings("ignore::pyharmony.errors.UnchangedWarning")
def test_an_object_of_fewer_than_500_pixels_is_left_to_itself_by_xue(pair: Any) -> None:
    image, _ = pair
    mask = np.zeros(image.shape[:2], np.uint8)
    mask[50:70, 50:70] = 255
    for guard in (True, False):
        result, info = ph.harmonize(image, mask, method="xue", guard=guard, return_info=True)
        assert (result == image).all() and info.reason == "the object is too small"


# The reduced image


def test_a_picture_that_is_small_enough_is_seen_as_it_is(pair: Any) -> None:
    image, mask = pair
    scene = scene_of(image, mask, None, fitted(image.shape[:2], 512))
    assert np.array_equal(scene.image, image.astype(np.float32) / 255)
    assert np.array_equal(scene.mask, mask.astype(np.float32) / 255)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 40), st.integers(1, 40))
def test_the_reduced_picture_keeps_slopes_and_means(height: int, width: int, rows: int, columns: int) -> None:
    y, x = np.mgrid[:height, :width]
    slope = ((y + 0.5) / height + (x + 0.5) / width)[..., None] / 2
    small = reduced(slope, (rows, columns))
    assert small.shape == (rows, columns, 1) and small.dtype == np.float32
    assert slope.min() - 1e-6 <= small.min() and small.max() <= slope.max() + 1e-6
    assert abs(small.mean() - slope.mean()) < 0.04  # the filter is a triangle, cut at borders
    flat = reduced(np.full((height, width, 3), 77, np.uint8), (rows, columns))
    assert np.allclose(flat, 77 / 255, atol=1e-6)


def test_a_large_picture_is_the_mean_of_its_blocks() -> None:
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (640, 960, 3), np.uint8)
    small = reduced(image, (64, 96))
    assert abs(small.mean() - image.mean() / 255) < 1e-3
    planes = (Image.fromarray(np.float32(image[..., c])) for c in range(3))
    pillow = np.stack([np.asarray(p.resize((96, 64), Image.Resampling.BILINEAR)) for p in planes], -1) / 255
    assert np.abs(small - pillow).max() < 0.03
    for other in (image.astype(np.uint16) * 257, image.astype(np.float32) / 255):
        assert np.abs(reduced(other, (64, 96)) - small).max() < 1.5 / 255
    holes = np.zeros((640, 960), bool)
    holes[:320] = True
    image[:320] = 255
    below = reduced(image, (64, 96), holes)
    assert np.abs(below[33:] - reduced(image, (64, 96))[33:]).max() < 1e-6
    assert below[31:33].mean() < 0.6  # the white above the edge weighs nothing


# Networks


def test_a_network_is_carried_to_the_full_size(models: Any) -> None:
    """A change of light that a network makes at 256 x 256 pixels is the same at any size, without its blur."""
    image, mask = composite(300, 420)
    result, info = ph.harmonize(image, mask, method=network(models, darker), guard=False, return_info=True)
    assert info.method == info.weights == "dovenet_lite" and info.confidence > 0.9
    expected = darker(image / 255) * 255
    assert np.abs(result[mask == 255] - expected[mask == 255]).max() <= 2
    assert np.abs(result[mask == 255] - expected[mask == 255]).mean() < 0.5
    assert (result[mask == 0] == image[mask == 0]).all()
    by_hand = ops.color_grid(image, mask, affine=info.map.affine, curves=info.map.curves, grid=info.map.grid)
    assert (result == by_hand).all()


def test_a_network_changes_every_kind_of_image_alike(models: Any) -> None:
    image, mask = composite(100, 140)
    model = network(models, darker)
    expected = ph.harmonize(image, mask, method=model, guard=False)
    for dtype, white in (("uint16", 65535), ("float16", 1), ("float32", 1), ("float64", 1)):
        pixels = (image / 255 * white).astype(dtype)
        result = ph.harmonize(pixels, mask, method=model, guard=False)
        assert result.dtype == np.dtype(dtype) and (result[mask == 0] == pixels[mask == 0]).all()
        assert np.abs(result.astype(float) / white * 255 - expected).max() <= 1
    rgba = np.concatenate([image, np.full((100, 140, 1), 200, np.uint8)], -1)
    result = ph.harmonize(rgba, mask > 250, method=model, guard=False)
    assert (result[..., 3] == 200).all() and (result[mask <= 250] == rgba[mask <= 250]).all()
    grey = image[..., 0]
    light = ph.harmonize(grey, mask, method=model, guard=False)
    darkened = darker(grey[mask == 255] / 255) * 255
    assert light.shape == grey.shape and np.abs(light[mask == 255] - darkened).max() <= 2
    pair = np.stack([image, image[:, ::-1]]), np.stack([mask, mask[:, ::-1]])
    batch = ph.harmonize(*pair, method=model, guard=False)
    assert (batch[0] == expected).all() and np.abs(batch[1][:, ::-1].astype(int) - expected).max() <= 1


def square(side: int = 64, low: int = 16, high: int = 48) -> np.ndarray:
    mask = np.zeros((side, side), np.uint8)
    mask[low:high, low:high] = 255
    return mask


def test_a_guarded_network_sees_other_masks_and_the_mirror_image() -> None:
    random = np.random.default_rng(0)
    picture = random.random((32, 40, 3)).astype(np.float32)
    mask = np.zeros((32, 40), np.float32)
    mask[0:9, 10:20] = mask[20, 30] = 1
    scene = Scene(picture, mask)
    (alone,) = _judged.views_of(scene, Care.UNGUARDED, gives_maps=True)
    assert alone is scene
    assert len(_judged.views_of(scene, Care.AGREED, gives_maps=False)) == 2
    same, mirrored, wider, tighter = _judged.views_of(scene, Care.CAUTIOUS, gives_maps=True)
    assert same is scene and (mirrored.mask[:, ::-1] == mask).all() and (mirrored.image[:, ::-1] == picture).all()
    # A pixel away in each of eight directions; where the object touches the frame of the image, it does so tighter too.
    assert wider.mask.sum() == 10 * 12 + 9 and wider.mask[9, 9] == wider.mask[19, 29] == 1
    assert tighter.mask.sum() == 8 * 8 and tighter.mask[0, 11] == 1 == tighter.mask[7, 18]
    few, hole = np.zeros_like(mask), np.ones_like(mask)
    few[5:10, 5:10], hole[5:10, 5:10] = 1, 0
    views = [_judged.views_of(Scene(picture, m), Care.AGREED, gives_maps=True) for m in (few, hole)]
    assert (views[0][3].mask == few).all() and views[0][2].mask.sum() == 49
    assert (views[1][2].mask == hole).all() and (1 - views[1][3].mask).sum() == 49


def test_what_is_made_of_a_change_falls_with_what_answers_differ_by() -> None:
    assert _guards.agreement(0.1, 0.0, 5.0, 0.0) == 1 == _guards.agreement(0.0, 0.0, 5.0, 0.0)
    assert _guards.agreement(0.1, 0.3, 0.0, 0.0) == 1 and _guards.agreement(0.0, 0.1, 1.0, 0.0) == 0
    assert _guards.agreement(0.1, 0.05, 4.0, 0.0) == pytest.approx(0.5)
    assert _guards.agreement(0.1, 0.05, 4.0, 51.0) == pytest.approx(1 / 6)
    assert _guards.agreement(0.0, 0.0, 0.0, 2.0) == 0
    assert [_guards.share_of(p) for p in (0.0, 0.25, 1.0)] == [0, 0, 1]
    assert _guards.share_of(0.5) == pytest.approx(1 / 3)
    changes = np.linspace(0, 60, 6001)
    for apart, noise in ((5.0, 0.0), (0.0, 255 * 8.0), (3.0, 255 * 4.0)):
        shares = np.array([c * _guards.share_of(_guards.agreement(c, apart, 3.0, noise)) for c in changes])
        assert (np.diff(shares) >= 0).all() and np.diff(shares).max() < 0.05 and shares[-1] > 50


@pytest.mark.filterwarnings("ignore::pyharmony.errors.UnchangedWarning")
@pytest.mark.parametrize("cautious", [False, True])
@pytest.mark.parametrize("boost", [1.0, 1.5])
def test_a_network_of_maps_makes_what_its_views_agree_on(models: Any, cautious: bool, boost: float) -> None:
    """The four answers are 30, 30, 30 + 2 x 9 and 30 - 9 levels."""
    import torch

    from pyharmony._header import Calibration

    image, mask = np.full((64, 64, 3), 100, np.uint8), square()

    def maps(picture: Any, inside: Any) -> Maps:
        side = inside.flatten(1).sum(1).sqrt() / 4  # the network sees four of its pixels for one of the image
        change = (30 + 9 * torch.where(side > 32.25, 2.0, torch.where(side < 31.75, -1.0, 0.0))) / 255
        affine = torch.eye(3, 4).repeat(len(picture), 1, 1)
        affine[:, :, 3] += change[:, None]
        return Maps(affine, None, None)

    model = network(models, None, maps)
    model.calibration = Calibration(doubt=2.0, caution=6.0, boost=boost)
    free, free_info = ph.harmonize(image, mask, method=model, guard=False, return_info=True)
    assert (free[mask > 0] == 130).all() and free_info.change == free_info.asked
    result, info = ph.harmonize(image, mask, method=model, cautious=cautious, return_info=True)
    answers = np.array([30, 30, 48, 21])
    agreed = answers.mean() ** 2 / (answers.mean() ** 2 + (6 if cautious else 2) * answers.var())
    full_change = boost * answers.mean()
    change = full_change * (agreed - 0.25) / 0.75
    assert info.change == pytest.approx(change, abs=0.01) and info.asked == pytest.approx(full_change, abs=0.01)
    assert np.abs(result[mask > 0] - 100 - change).max() <= 0.51 and (result[mask == 0] == 100).all()
    assert info.confidence == pytest.approx(agreed, abs=1e-3)
    assert info.reason == ("" if agreed > 0.9 else "the network contradicts itself on other views of the image")
    assert info.held_back == (change < full_change - 0.5)
    frames = ph.harmonization.harmonize_frames([image], [mask], method=model, cautious=cautious)
    assert (next(frames) == result).all()
    model.calibration = Calibration(boost=boost)
    plain = ph.harmonize(image, mask, method=model, cautious=cautious)
    assert np.abs(plain[mask > 0] - 100 - boost * answers.mean()).max() <= 0.51
    # By 30 levels all views may be wrong alike.
    model.calibration = Calibration(boost=boost, noise=30.0)
    less, info = ph.harmonize(image, mask, method=model, cautious=cautious, return_info=True)
    agreed = answers.mean() ** 2 / (answers.mean() ** 2 + 900)
    assert info.change == pytest.approx(boost * answers.mean() * (agreed - 0.25) / 0.75, abs=0.01)
    assert info.reason == "the network's change is so small that it may be an error" and info.held_back
    model.calibration = Calibration(doubt=100.0, caution=100.0)
    left, info = ph.harmonize(image, mask, method=model, cautious=cautious, return_info=True)
    assert (left == image).all() and info.method == "copy" and info.confidence < 0.25 and info.held_back


def test_maps_of_the_mirror_image_are_mirrored_back(models: Any) -> None:
    import torch

    grid = np.zeros((4, 4, 2, 3, 4))
    grid[:, :, :, :, 3] = np.linspace(-0.1, 0.1, 4)[:, None, None]
    one = ColorMap(grid=grid)
    image = composite(40, 60)[0]
    assert (one.mirrored().apply(image[:, ::-1])[:, ::-1] == one.apply(image)).all()
    assert ColorMap(affine=np.eye(3, 4)).mirrored().is_identity

    def maps(picture: Any, inside: Any) -> Maps:
        """Returns a slope that goes with the picture, whose red rises to the right."""
        sign = torch.sign(picture[:, 0, :, -1].mean(1) - picture[:, 0, :, 0].mean(1))
        identity = torch.eye(3, 4).repeat(len(picture), 1, 1)
        return Maps(identity, None, torch.from_numpy(grid).float() * sign[:, None, None, None, None, None])

    image = np.full((64, 64, 3), 120, np.uint8)
    image[..., 0] = np.linspace(100, 140, 64).astype(np.uint8)
    from pyharmony._header import Calibration

    model = network(models, None, maps)
    model.calibration = Calibration(doubt=1e3, caution=1e3)
    both = [ph.harmonize(image, square(), method=model, guard=guard) for guard in (True, False)]
    assert np.abs(both[0].astype(int) - both[1]).max() <= 1 and (both[1] != image).any()


def test_caution_is_the_guards(pair: Any) -> None:
    with pytest.raises(errors.ArgumentError, match="cautious: True with guard=False"):
        ph.harmonize(*pair, method="mkl", guard=False, cautious=True)
    with pytest.raises(errors.ArgumentError, match="cautious: True with guard=False"):
        ph.harmonization.harmonize_frames([pair[0]], [pair[1]], method="mkl", guard=False, cautious=True)
    with pytest.raises(errors.DTypeError, match="cautious: 'yes', expected True or False"):
        ph.harmonize(*pair, method="mkl", cautious="yes")
    assert (ph.harmonize(*pair, method="mkl", cautious=True) == ph.harmonize(*pair, method="mkl")).all()


def test_skin_is_a_box_of_chroma() -> None:
    skin = np.array([[224, 172, 140], [140, 90, 70], [255, 219, 172]], np.float64)
    others = np.array([[60, 90, 200], [40, 25, 18], [128, 128, 128], [40, 160, 60], [255, 255, 255]], np.float64)
    assert _guards.is_skin(skin).all() and not _guards.is_skin(others).any()
    assert (_guards.is_skin(skin.reshape(1, 3, 3)) == [[True] * 3]).all()


def test_the_hue_of_skin_turns_little_where_views_disagree() -> None:
    picture = np.zeros((64, 64, 3), np.float32)
    picture[:] = (0.3, 0.4, 0.7)
    picture[16:32, 16:48] = np.array([224, 172, 140], np.float32) / 255
    mask = np.zeros((64, 64), np.float32)
    mask[16:48, 16:48] = 1
    scene = Scene(picture, mask)
    greener, lighter = (np.clip(picture + np.float32(x), 0, 1) for x in ((0, 0.1, 0), (0.02, 0.02, 0.02)))

    def turned(after: np.ndarray, share: float) -> float:
        angles = []
        for x in (picture, picture + share * (after - picture)):
            a, b = color.rgb_to_lab(x[16:32, 16:48].reshape(-1, 3).astype(np.float64))[:, 1:].mean(0)
            angles.append(np.degrees(np.arctan2(b, a)))
        return abs(float(angles[1] - angles[0]))

    assert turned(greener, 1.0) > 10 and turned(lighter, 1.0) < 3
    keeping = _guards.keeping_skin
    for share, most in ((0.0, 3), (0.5, 6), (0.7, 10)):
        part = keeping(1.0, share, scene, greener)
        assert 0 < part < 1 and turned(greener, part) == pytest.approx(most, abs=0.1)
        assert keeping(part / 2, share, scene, greener) == part / 2
    assert keeping(1.0, 1.0, scene, greener) == 1 == keeping(1.0, 0.0, scene, lighter)
    below = np.zeros_like(mask)
    below[32:48, 16:48] = 1  # nothing of the object is skin
    assert keeping(0.7, 0.0, Scene(picture, below), greener) == 0.7
    assert keeping(0.7, 0.0, Scene(picture, mask * 0), greener) == 0.7


def test_skin_is_kept_by_guarded_calls_whose_views_disagree(models: Any) -> None:
    import torch

    from pyharmony._header import Calibration

    image, mask = np.full((64, 64, 3), 60, np.uint8), square()
    image[mask > 0] = (224, 172, 140)

    def maps(picture: Any, inside: Any) -> Maps:
        affine = torch.eye(3, 4).repeat(len(picture), 1, 1)
        affine[:, 1, 3] = 0.06 * torch.where(inside.flatten(1).sum(1).sqrt() > 129, 1.4, 1.0)
        return Maps(affine, None, None)

    model = network(models, None, maps)

    def made(**settings: float) -> Any:
        model.calibration = Calibration(**settings)
        return ph.harmonize(image, mask, method=model)[30, 30].astype(int) - image[30, 30]

    share = _guards.share_of(1 / (1 + 10 * np.var([1, 1, 1.4, 1]) / 1.1**2))
    assert made()[1] == pytest.approx(0.06 * 1.1 * 255, abs=1)
    assert 0 < made(doubt=10.0, caution=10.0)[1] < 0.9 * share * 0.06 * 1.1 * 255


def test_the_fit_follows_place_and_luma() -> None:
    image, mask = composite(128, 128)
    scene = scene_of(image, mask, None, (128, 128))
    y = np.linspace(-1, 1, 128)[:, None, None]
    luma = (scene.image @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
    expected = (scene.image * (1 + 0.15 * y) + 0.1 * luma * (1 - luma)).astype(np.float32)
    color_map, explained = fit(scene, expected)
    assert explained > 0.98
    inside = scene.mask > 0.5
    assert np.abs(color_map.apply(scene.image) - expected)[inside].mean() < 0.5 / 255
    same, all_of_it = fit(scene, scene.image)
    assert all_of_it == 1 and np.abs(same.apply(scene.image) - scene.image).max() < 1e-5


def test_maps_of_a_network_are_applied_exactly(models: Any) -> None:
    import torch

    random = np.random.default_rng(0)
    affine = np.eye(3, 4) + random.normal(0, 0.03, (3, 4))
    curves, grid = random.normal(0, 0.03, (3, 3, 6)), random.normal(0, 0.02, (4, 4, 4, 3, 4))
    grid = (grid + grid[:, ::-1]) / 2  # the same in the mirror

    def maps(picture: Any, mask: Any) -> Maps:
        assert picture.shape[1:] == (3, 256, 256) and mask.shape[1:] == (1, 256, 256) and float(picture.min()) >= 0
        return Maps(*(torch.from_numpy(np.stack([x] * len(picture))).float() for x in (affine, curves, grid)))

    image, mask = composite(200, 310)
    result, info = ph.harmonize(image, mask, method=network(models, None, maps), guard=False, return_info=True)
    expected = ops.color_grid(
        image, mask, affine=affine.astype(np.float32), curves=curves.astype(np.float32), grid=grid.astype(np.float32)
    )
    assert info.method == "dovenet_lite" and info.confidence > 0.9
    assert (result == expected).all()
    plain = network(models, None, lambda p, m: Maps(maps(p, m).affine, maps(p, m).curves, None))
    assert (ph.harmonize(image, mask, method=plain)[mask == 0] == image[mask == 0]).all()


@pytest.mark.parametrize(
    ("name", "config"), [("dovenet", {"size": 32}), ("pix2pix", {"generator": "unet_64", "mask": True})]
)
def test_maps_of_a_residual_generator_are_enlarged(models: Any, name: str, config: dict[str, Any]) -> None:
    """A residual generator's affine map of each pixel is linear between pixels, on the image in [-1, 1]."""
    import torch

    from pyharmony.networks.models._blocks import apply_maps

    model = models.create(name, width=2, discriminator_width=2, residual=True, **config).eval()
    net = model.generator.unet if name == "dovenet" else model.generator.net
    with torch.no_grad():
        net.last.bias.normal_(std=0.05)
        net.last.weight.normal_(std=0.02)
    image, mask = composite(150, 90)
    result, info = ph.harmonize(image, mask, method=model, guard=False, return_info=True)
    side = model.config.size
    assert info.map.grid is not None and info.map.grid.shape == (side, side, 1, 3, 4)
    scene = scene_of(image, mask, None, (side, side))
    inside = torch.from_numpy(scene.mask >= 0.5).float()[None, None]
    with torch.no_grad():
        maps = model.generator.maps(torch.from_numpy(scene.image).permute(2, 0, 1)[None] * 2 - 1, inside)
        maps = torch.nn.functional.interpolate(maps, (150, 90), mode="bilinear")
        whole = torch.from_numpy(image).permute(2, 0, 1)[None] / 127.5 - 1
        expected = apply_maps(maps, whole, torch.from_numpy(mask)[None, None] / 255)[0].permute(1, 2, 0).numpy()
    assert np.abs(result - (expected + 1) * 127.5).max() < 0.51


@pytest.mark.parametrize("settings", [{"width": 4}, {"encoder": "vit", "token_width": 8, "layers": 1, "hidden": 8}])
def test_maps_of_a_pct_net_are_applied_exactly(models: Any, settings: dict[str, Any]) -> None:
    """Its maps, linear between the reduced image's pixels, act on the full size; at its own they give its image."""
    import torch

    model = models.create("pct_net", size=32, **settings).eval()
    with torch.no_grad():
        model.last.weight.normal_(std=0.15)
        model.last.bias.normal_(std=0.05)
    image, mask = composite(150, 90)
    result, info = ph.harmonize(image, mask, method=model, guard=False, return_info=True)
    assert info.map.affine is None and info.map.curves is None and info.map.grid.shape == (32, 32, 1, 3, 4)
    scene = scene_of(image, mask, None, (32, 32))
    hard = torch.from_numpy(scene.mask >= 0.5).float()[None, None]
    with torch.no_grad():
        change = model.transforms(torch.from_numpy(scene.image).permute(2, 0, 1)[None], hard).shared
    change = torch.nn.functional.interpolate(change.double(), (150, 90), mode="bilinear")[0]
    change = change.permute(1, 2, 0).reshape(150, 90, 3, 4).numpy()
    x, m = image / 255, mask[..., None] / 255
    mapped = (x + (change[..., :3] @ x[..., None])[..., 0] + change[..., 3]).clip(0, 1)
    expected = 255 * (x + m * (mapped - x))
    assert np.abs(result - expected).max() < 0.51 and np.abs(result.astype(int) - image).max() > 10
    assert (result[mask == 0] == image[mask == 0]).all()
    tile = info.map.apply(image[40:70, 20:60], mask[40:70, 20:60], origin=(20, 40), frame=(150, 90))
    assert (tile == result[40:70, 20:60]).all()

    small, inside = composite(32, 32)
    inside = np.where(inside >= 128, np.uint8(255), np.uint8(0))
    with torch.no_grad():
        own = model(torch.from_numpy(small).permute(2, 0, 1)[None] / 255, torch.from_numpy(inside)[None, None] / 255)
    own = own[0].permute(1, 2, 0).numpy() * 255
    small_result = ph.harmonize(small, inside, method=model, guard=False)
    assert np.abs(small_result - np.where(inside[..., None] > 0, own, small)).max() < 0.51


def test_a_new_pct_net_leaves_the_picture(models: Any) -> None:
    image, mask = composite(100, 140)
    result, info = ph.harmonize(image, mask, method=models.create("pct_net", size=32, width=4), return_info=True)
    assert (result == image).all() and info.map.is_identity


def test_what_a_network_cannot_be_trusted_with_is_left_as_it_is(models: Any) -> None:
    import torch

    from pyharmony._header import Calibration

    image, mask = composite(256, 256)
    noise = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    slope = torch.linspace(-0.3, 0.3, 256)
    for reason, function in {
        "the change is larger than light explains": lambda x: x * 0,
        "the network's change is none of colours": lambda x: x + 0.4 * ((noise + noise.flip(3)) / 2 - 0.5),
        "the network contradicts itself on other views of the image": lambda x: x + slope + 0.03,
    }.items():
        model = network(models, function)
        model.calibration = Calibration(doubt=4.0, caution=4.0)
        with pytest.warns(errors.UnchangedWarning, match=f"^nothing was harmonized: .*{reason}"):
            result, info = ph.harmonize(image, mask, method=model, return_info=True)
        assert (result == image).all() and info.confidence < 0.25 and info.method == "copy"
        assert info.reason == reason
        # Only the guard looks at other views of the image.
        context: Any = nullcontext() if "views" in reason else pytest.warns(errors.ConfidenceWarning, match=reason)
        with context:
            free = ph.harmonize(image, mask, method=model, guard=False)
        assert (free != image).any() and (free[mask == 0] == image[mask == 0]).all()
    with pytest.raises(errors.WeightsError, match="dovenet_lite returns NaN"):
        ph.harmonize(image, mask, method=network(models, lambda x: x / 0 - x / 0))


def test_the_batch_norms_of_a_network_take_the_statistics_of_the_picture(models: Any, tmp_path: Path) -> None:
    """The statistics are of each image alone, the guard's mirrored one too; the file's model stays as it was."""
    import copy

    import torch

    model = models.create("pix2pix", "residual", width=4, discriminator_width=2).eval()
    with torch.no_grad():
        model.generator.net.last.weight.normal_(std=0.03)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
    models.save(model, tmp_path / "p.safetensors")
    by_hand = copy.deepcopy(model)
    batches: list[int] = []

    class Own(torch.nn.Module):
        def __init__(self, norm: Any) -> None:
            super().__init__()
            self.norm = norm

        def forward(self, x: Any) -> Any:
            batches.append(x.shape[0])
            centred = x - x.mean((0, 2, 3), keepdim=True)
            x = centred / (centred.square().mean((0, 2, 3), keepdim=True) + self.norm.eps).sqrt()
            x = x * self.norm.weight[:, None, None] + self.norm.bias[:, None, None]
            slope = self.norm.negative_slope
            return x if slope is None else torch.nn.functional.leaky_relu(x, slope)

    for norms in (by_hand.generator.net.down_norm, by_hand.generator.net.up_norm):
        for i, norm in enumerate(norms):
            norms[i] = Own(norm)
    image, mask = composite(150, 90)
    for options in ({"guard": False}, {"guard": True}):
        running = ph.harmonize(image, mask, method=tmp_path / "p.safetensors", **options)
        result, info = ph.harmonize(
            image, mask, method=tmp_path / "p.safetensors", batch_statistics=True, return_info=True, **options
        )
        assert (result != running).any()
        assert (ph.harmonize(image, mask, method=tmp_path / "p.safetensors", **options) == running).all()
    plain = ph.harmonize(image, mask, method=tmp_path / "p.safetensors", batch_statistics=True, guard=False)
    expected = ph.harmonize(image, mask, method=by_hand, guard=False)
    assert set(batches) == {1}
    assert np.abs(plain.astype(int) - expected).max() <= 1
    (frame,) = ph.harmonization.harmonize_frames(
        [image], [mask], method=tmp_path / "p.safetensors", batch_statistics=True, guard=False
    )
    assert (frame == plain).all()


def test_the_statistics_of_what_has_no_batch_norm_are_refused(models: Any) -> None:
    image, mask = composite(64, 80)
    for method, says in (
        ("mkl", "'mkl' runs no network"),
        ("auto", "colorgrid has no batch norms"),
        (models.create("dovenet", width=2, discriminator_width=2), "its norm is 'instance'"),
    ):
        with pytest.raises(errors.ArgumentError, match=f"batch_statistics: .*{says}"):
            ph.harmonize(image, mask, method=method, batch_statistics=True)
    with pytest.raises(errors.DTypeError, match="batch_statistics: 1, expected True or False"):
        ph.harmonize(image, mask, method="mkl", batch_statistics=1)


@pytest.mark.filterwarnings("ignore:the estimate has low confidence:pyharmony.errors.ConfidenceWarning")
@pytest.mark.filterwarnings("ignore::pyharmony.errors.UnchangedWarning")
def test_weights_of_a_file(models: Any, tmp_path: Path) -> None:
    import torch

    image, mask = composite(64, 80)
    path = tmp_path / "lite.safetensors"
    first, second = (models.create("dovenet_lite", width=4) for _ in range(2))
    models.save(first, path, part="generator")
    results = [ph.harmonize(image, mask, method=m, guard=False) for m in (first.eval(), path, str(path))]
    assert (results[0] == results[1]).all() and (results[0] == results[2]).all()
    assert (results[0] != image).any()
    models.save(second, path)
    os.utime(path, ns=(1, 1))
    assert (ph.harmonize(image, mask, method=path, guard=False) != results[0]).any()  # not the one of before
    data = bytearray(path.read_bytes())
    data[8] = 0
    path.write_bytes(data)
    with pytest.raises(errors.WeightsError, match="damaged"):
        ph.harmonize(image, mask, method=path)
    models.save(first, path)
    if not torch.cuda.is_available():
        assert (ph.harmonize(image, mask, method=path, guard=False, device="cuda") == results[0]).all()
        ph.set_device("auto", strict=True)
        try:
            with pytest.raises(errors.DeviceError, match="'cuda'"):
                ph.harmonize(image, mask, method=path, device="cuda")
        finally:
            ph.set_device("auto")
    assert ph.harmonize(image, mask, method=path, device="cpu", return_info=True)[1].device == "cpu"


@pytest.mark.parametrize("name", ["colorgrid", "dovenet", "dovenet_lite"])
def test_damaged_weights_are_an_error_and_no_picture(models: Any, name: str, tmp_path: Path) -> None:
    import torch

    image, mask = composite(64, 80)
    config = {"colorgrid": {"preset": "small"}, "dovenet": {"size": 32, "width": 2, "discriminator_width": 2}}
    model = models.create(name, **config.get(name, {"width": 4})).eval()
    path = tmp_path / "weights.safetensors"
    models.save(model, path)
    good = path.read_bytes()
    cuts = (0, 4, 8, len(good) // 2, len(good) - 1)
    damaged = [*(good[:n] for n in cuts), b"no weights at all", bytes(len(good)), good + b"more"]
    for content in damaged:
        path.write_bytes(content)
        for guard in (True, False):
            with pytest.raises(errors.WeightsError, match=r"weights\.safetensors"):
                ph.harmonize(image, mask, method=path, guard=guard)
    # No file is written of a model with NaN; the model itself is refused too.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(float("nan"))
    for guard in (True, False):
        with pytest.raises(errors.WeightsError, match=f"{name} returns NaN"):
            ph.harmonize(image, mask, method=model, guard=guard)


def test_auto_is_the_network_that_comes_with_pyharmony(
    models: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from pyharmony import _shipped

    model = models.create("colorgrid", "small").eval()
    with torch.no_grad():
        model.experts[0].last.bias[3::4][:3] = -0.03
    file = tmp_path / "colorgrid.safetensors"
    models.save(model, file, dtype="float16")
    entry = {
        **dict.fromkeys(("summary", "licence", "trained_on"), ""),
        "open_data": True,
        "name": "colorgrid",
        "model": "colorgrid",
        "task": "harmonize",
        "file": file.name,
        "bytes": file.stat().st_size,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
    (tmp_path / "manifest.json").write_text(json.dumps({"format": 1, "weights": [entry]}))
    monkeypatch.setattr(_shipped, "FOLDER", tmp_path)
    image, mask = composite(100, 140)
    result, info = ph.harmonize(image, mask, return_info=True)
    assert info.method == "auto" and info.weights == "colorgrid" and info.confidence > 0.9
    assert (result == ph.harmonize(image, mask, method=models.load(file))).all()
    assert (result == ph.harmonize(image, mask, method="colorgrid")).all()
    assert (result.astype(int) - image)[mask == 255].mean() == pytest.approx(-0.03 * 2 * 255, abs=0.5)  # twice
    # The map does to the small image what the network itself makes of it.
    small, inside = composite(32, 32)
    hard = (inside >= 128) * np.uint8(255)
    with torch.no_grad():
        outputs = model(torch.from_numpy(small).permute(2, 0, 1)[None] / 255, torch.from_numpy(hard)[None, None] / 255)
    harmonized = ph.harmonize(small, hard, guard=False)
    assert np.abs(harmonized - outputs[0].permute(1, 2, 0).numpy() * 255).max() < 0.6
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(errors.WeightsError, match="damaged, its SHA-256"):
        ph.harmonize(image, mask)


@pytest.mark.filterwarnings("ignore::pyharmony.errors.UnchangedWarning")
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("attention_unet", {"width": 4}),
        ("bargainnet", {"width": 4, "encoder_width": 4}),
        ("dovenet", {"width": 4, "discriminator_width": 4}),
        ("pix2pix", {"mask": True, "width": 4, "discriminator_width": 4}),
        ("pix2pix_selfie", {"preset": "small"}),
        ("unet3plus", {"width": 4, "branch": 4}),
    ],
)
def test_every_harmonizing_network_runs(models: Any, name: str, settings: dict[str, Any]) -> None:
    image, mask = composite(72, 90)
    model = models.create(name, **settings).eval()
    result, info = ph.harmonize(image, mask, method=model, guard=False, return_info=True)
    assert info.method == name and (result[mask == 0] == image[mask == 0]).all() and (result != image).any()
    assert result[mask == 255].max() > 0  # never a black image
    assert (ph.harmonize(image, np.full_like(mask, 255), method=model) == image).all()  # no background to go by


# Sequences


def sequence(count: int, step: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    pairs = [composite(64, 80, seed) for seed in range(count)]
    return [(p[0].astype(int) + step * i).clip(0, 255).astype(np.uint8) for i, p in enumerate(pairs)], [
        p[1] for p in pairs
    ]


def test_maps_of_a_sequence_move_slowly() -> None:
    frames, masks = sequence(4)
    alone = [ph.harmonize(f, m, method="mkl", return_info=True)[1].map for f, m in zip(frames, masks, strict=True)]
    results = list(ph.harmonization.harmonize_frames(frames, masks, method="mkl", smoothing=0.75, return_info=True))
    expected = alone[0].table
    for i, (frame, mask) in enumerate(zip(frames, masks, strict=True)):
        expected = expected if i == 0 else 0.75 * expected + 0.25 * alone[i].table
        result, info = results[i]
        assert np.allclose(info.map.table, expected, atol=1e-12)
        assert (result == info.map.apply(frame, mask)).all()
    none = list(ph.harmonization.harmonize_frames(frames, masks, method="mkl", smoothing=0))
    assert all((a == ph.harmonize(f, m, method="mkl")).all() for a, f, m in zip(none, frames, masks, strict=True))


@pytest.mark.filterwarnings("ignore::pyharmony.errors.UnchangedWarning")
def test_a_cut_starts_anew_and_a_frame_without_trust_goes_on() -> None:
    frames, masks = sequence(4)
    frames[2], frames[3] = frames[2] // 3, frames[3] // 3
    results = list(ph.harmonization.harmonize_frames(frames, masks, method="mkl", return_info=True))
    alone = ph.harmonize(frames[2], masks[2], method="mkl", return_info=True)[1].map
    assert np.array_equal(results[2][1].map.table, alone.table)
    assert not np.array_equal(
        results[1][1].map.table, ph.harmonize(frames[1], masks[1], method="mkl", return_info=True)[1].map.table
    )
    dot = np.zeros_like(masks[1])
    dot[30, 30] = 255
    dot_results = list(ph.harmonization.harmonize_frames(frames[:2], [masks[0], dot], method="mkl", return_info=True))
    assert (
        np.array_equal(dot_results[1][1].map.table, dot_results[0][1].map.table) and dot_results[1][1].confidence < 0.25
    )
    assert (dot_results[1][0][dot == 0] == frames[1][dot == 0]).all()
    first = next(iter(ph.harmonization.harmonize_frames(frames, [dot] * 4, method="mkl")))
    assert (first == frames[0]).all()


def test_a_sequence_is_read_as_it_goes() -> None:
    frames, masks = sequence(3)
    read = []

    def source() -> Any:
        for i, frame in enumerate(frames):
            read.append(i)
            yield frame

    results = ph.harmonization.harmonize_frames(source(), masks, method="reinhard")
    assert read == []
    next(results)
    assert read == [0]
    assert len(list(results)) == 2
    with pytest.raises(errors.ShapeError, match="masks: more than frames"):
        list(ph.harmonization.harmonize_frames(frames[:2], masks, method="reinhard"))
    with pytest.raises(errors.ShapeError, match="frames: more than masks"):
        list(ph.harmonization.harmonize_frames(frames, masks[:2], method="reinhard"))
    for smoothing in (1.0, -0.1):
        with pytest.raises(errors.ArgumentError, match="smoothing"):
            ph.harmonization.harmonize_frames(frames, masks, method="reinhard", smoothing=smoothing)
    with pytest.raises(errors.DTypeError, match="frames: str, expected a sequence"):
        ph.harmonization.harmonize_frames("video.mp4", masks, method="reinhard")


# Maps


def test_maps_are_mixed(pair: Any) -> None:
    image, mask = pair
    random = np.random.default_rng(0)
    grid = ColorMap(np.eye(3, 4) + random.normal(0, 0.05, (3, 4)), random.normal(0, 0.05, (3, 3, 4)))
    table = ColorMap(table=(lattice() ** 1.2).reshape(33, 33, 33, 3))
    floats = image.astype(np.float64) / 255
    for one in (grid, table):
        half = one.scaled(0.5).apply(floats, mask)
        assert np.abs(half - (one.apply(floats, mask) + floats) / 2).max() < 1e-6
        assert one.scaled(1) is one and one.scaled(0).is_identity and not one.is_identity
        assert one.mixed(IDENTITY, 1).is_identity
        back = one.mixed(IDENTITY, 0.25).apply(floats)
        assert np.abs(back - (0.75 * one.apply(floats) + 0.25 * floats)).max() < 1e-6
    with pytest.raises(errors.ShapeError, match="a table and a map without one"):
        grid.mixed(table, 0.5)
    with pytest.raises(errors.ShapeError, match="curves of shape"):
        grid.mixed(ColorMap(curves=np.zeros((3, 3, 5))), 0.5)


def test_confidence_falls_where_there_is_less_to_go_by() -> None:
    picture = np.full((64, 64, 3), 0.5, np.float32)
    confidences = []
    for side in (2, 4, 6, 8, 20):
        mask = np.zeros((64, 64), np.float32)
        mask[:side, :side] = 1
        confidences.append(_guards.region_confidence(Scene(picture, mask))[0])
    assert confidences == sorted(confidences) and confidences[0] == 0 and confidences[-1] == 1
    whole = Scene(picture, np.ones((64, 64), np.float32))
    for sign in (-1, 1):
        changes = [_guards.change_confidence(whole, picture + sign * x)[0] for x in (0.0, 0.2, 0.3, 0.4, 0.5)]
        assert changes == sorted(changes, reverse=True) and changes[1] == 1 and changes[-1] == 0
    dark = Scene(picture / 5, whole.mask)
    assert _guards.change_confidence(dark, dark.image * 0)[0] == 0  # a small change, and yet all the light
    assert _statistics.STATISTICS_SIDE == 512
