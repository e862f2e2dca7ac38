"""The blends: images of any kind in, the destination's kind out, and nothing changed that should not."""

from __future__ import annotations

import inspect
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyharmony
from pyharmony import blend
from pyharmony._images import region
from pyharmony.blend import _pyramid as pyramid_blend
from pyharmony.errors import ArgumentError, DTypeError, MaskError, ShapeError, UnchangedWarning
from pyharmony.reference import gaussian_poisson as gp_reference
from pyharmony.reference import poisson as poisson_reference

from ..blends import BLENDS, GRADIENTS, NETWORKS, TABLE, gaussian_poisson_of
from ..shared import DTYPES, FLOODS, closed, image_stays

RANGE = {"uint8": 255, "uint16": 65535, "float16": 1, "float32": 1, "float64": 1}
#: The error of each dtype's default tolerance, and its rounding, in 8-bit levels.
LEVELS = {
    "uint8": 0.25 + 0.5,
    "uint16": 0.004 + 0.5 * 255 / 65535,
    "float16": 0.025 + 255 * 2.0**-11,
    "float32": 0.025 + 255 * 2.0**-23,
    "float64": 1e-6,
}


def call(name: str, *args: Any, **options: Any) -> Any:
    return getattr(blend, name)(*args, **options)


def cast(image: np.ndarray, dtype: str) -> np.ndarray:
    """Returns an image in [0, 1] in a dtype and its range."""
    if np.dtype(dtype).kind == "u":
        return np.rint(image * RANGE[dtype]).astype(dtype)
    return image.astype(dtype)


def smooth(rng: np.random.Generator, height: int, width: int, channels: int = 3) -> np.ndarray:
    """Returns a photograph's stand-in in [0.1, 0.9]: waves, an edge and some noise."""
    y, x = np.mgrid[:height, :width]
    image = np.empty((height, width, channels))
    for c in range(channels):
        a, b, p, q = rng.uniform(0.02, 0.2, 2).tolist() + rng.uniform(0, 6, 2).tolist()
        image[..., c] = 0.5 + 0.15 * np.sin(a * y + p) + 0.15 * np.sin(b * x + q)
    image += 0.05 * (rng.random(3)[:channels] if channels <= 3 else 0.5) * (x > width * rng.random())[..., None]
    return np.clip(image + 0.02 * rng.standard_normal(image.shape), 0.1, 0.9)


def ellipse(height: int, width: int, share: float = 0.35) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return ((y - 0.5 * (height - 1)) / (share * height)) ** 2 + ((x - 0.5 * (width - 1)) / (share * width)) ** 2 < 1


def largest_step(image: np.ndarray, mask: np.ndarray, level: float = 1.0) -> float:
    """Returns the largest difference between neighbours on the two sides of the contour, in 8-bit levels."""
    x = image.astype(np.float64) / level * 255
    across_h, across_v = mask[:, 1:] != mask[:, :-1], mask[1:] != mask[:-1]
    return max(np.abs(np.diff(x, axis=1))[across_h].max(), np.abs(np.diff(x, axis=0))[across_v].max())


@pytest.fixture
def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns src and dst of so little contrast that no blend floods or clips, and a mask."""
    rng = np.random.default_rng(7)
    src, dst = (0.25 + 0.5 * smooth(rng, 90, 110) for _ in range(2))
    return src, dst, ellipse(90, 110)


# ---- the promises of the call, for every blend -------------------------------------------------


def test_no_blend_is_missing_in_the_table() -> None:
    shared = {"src", "dst", "mask", "at", "dst_valid", "decontaminate", "keep_alpha", "out", "return_info"}
    public = {name for name in blend.__all__ if shared <= inspect.signature(getattr(blend, name)).parameters.keys()}
    assert public == {*TABLE, *NETWORKS}


@pytest.mark.parametrize("name", BLENDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_each_blend_follows_its_definition(name, dtype, scene):
    src, dst, hard = cast(scene[0][:40, :50], dtype), cast(scene[1][:40, :50], dtype), ellipse(40, 50)
    ramp = np.clip(1.4 - np.hypot(*np.mgrid[-1.2:1.2:40j, -1.2:1.2:50j]), 0, 1)
    for mask in (hard, hard * 0.5, *([ramp] if name not in GRADIENTS else [])):
        limit = np.where(mask < 1, mask * RANGE[dtype], np.inf)[..., None]
        expected = np.clip(TABLE[name].definition(src, dst, mask), dst - limit, dst + limit)
        assert np.abs(call(name, src, dst, mask) - expected).max() / RANGE[dtype] * 255 <= LEVELS[dtype] + 255 * 1e-6


@pytest.mark.parametrize("name", BLENDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_outside_the_mask_the_destination_stays_bit_for_bit(name, dtype, scene):
    src, dst = cast(scene[0], dtype), cast(scene[1], dtype)
    soft = np.clip(scene[2] * 0.7 + 0.2 * scene[0][..., 0] * scene[2], 0, 1).astype(np.float32)
    for mask in (scene[2], soft):
        result = call(name, src, dst, mask)
        assert result.dtype == dst.dtype
        assert result.shape == dst.shape
        np.testing.assert_array_equal(result[mask == 0], dst[mask == 0])
        assert (result[mask > 0] != dst[mask > 0]).any()


@pytest.mark.parametrize("name", BLENDS)
def test_inputs_are_never_changed(name, scene):
    src, dst, mask = cast(scene[0], "uint8"), cast(scene[1], "uint8"), scene[2]
    for array in (src, dst, mask):
        array.flags.writeable = False
    before = src.copy(), dst.copy(), mask.copy()
    call(name, src, dst, mask)
    call(name, src, dst, mask, at=(3, -5))
    for array, copy in zip((src, dst, mask), before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("name", BLENDS)
def test_every_mask_dtype_says_the_same(name, scene):
    src, dst, inside = cast(scene[0], "uint8"), cast(scene[1], "uint8"), scene[2]
    expected = call(name, src, dst, inside)
    for mask in (
        inside * np.uint8(255),
        inside * np.uint16(65535),
        *(inside.astype(dtype) for dtype in ("float16", "float32", "float64")),
        inside[..., None],
    ):
        np.testing.assert_array_equal(call(name, src, dst, mask), expected)


@pytest.mark.parametrize("name", BLENDS)
def test_layouts_and_batches(name, scene):
    src, dst, mask = cast(scene[0], "uint8"), cast(scene[1], "uint8"), scene[2]
    colour = call(name, src, dst, mask)
    grey = call(name, src[..., 0], dst[..., 0], mask)
    assert grey.shape == (90, 110)
    np.testing.assert_array_equal(call(name, src[..., :1], dst[..., :1], mask)[..., 0], grey)
    other = call(name, dst, src, mask[::-1])
    both = call(name, np.stack([src, dst]), np.stack([dst, src]), np.stack([mask, mask[::-1]]))
    np.testing.assert_array_equal(both, np.stack([colour, other]))
    shared = call(name, np.stack([src, src]), np.stack([dst, dst]), mask)
    np.testing.assert_array_equal(shared, np.stack([colour, colour]))


@pytest.mark.parametrize("name", BLENDS)
def test_strides_do_not_matter(name, scene):
    src, dst, mask = cast(scene[0], "uint8"), cast(scene[1], "uint8"), scene[2]
    expected = call(name, src, dst, mask)
    flipped = [np.ascontiguousarray(a[::-1, :, ::-1])[::-1, :, ::-1] for a in (src, dst)]
    planar = [np.moveaxis(np.ascontiguousarray(np.moveaxis(a, -1, 0)), 0, -1) for a in (src, dst)]
    np.testing.assert_array_equal(call(name, *flipped, np.asfortranarray(mask)), expected)
    np.testing.assert_array_equal(call(name, *planar, mask), expected)


@pytest.mark.parametrize("name", BLENDS)
def test_out_is_written_and_returned(name, scene):
    src, dst, mask = cast(scene[0], "uint8"), cast(scene[1], "uint8"), scene[2]
    expected = call(name, src, dst, mask)
    out = np.zeros((90, 110, 6), np.uint8)[..., ::2]
    assert call(name, src, dst, mask, out=out) is out
    np.testing.assert_array_equal(out, expected)
    in_place = dst.copy()
    assert call(name, src, in_place, mask, out=in_place) is in_place
    np.testing.assert_array_equal(in_place, expected)


@pytest.mark.parametrize("name", GRADIENTS)
@pytest.mark.parametrize("dtype", ["uint8", "float64"])
@pytest.mark.parametrize("weight", [0.01, 1.0])
def test_in_place_is_the_same_blend(name, dtype, weight):
    """A soft mask takes gradients of dst inside it, which the solve must still see when it has written there."""
    rng = np.random.default_rng(3)
    src, dst = (cast(rng.random((200, 210, 3)), dtype) for _ in range(2))
    y, x = np.mgrid[:200, :210]
    mask = np.clip(1.5 - np.hypot(y - 100, x - 105) / 60, 0, 1)
    expected, info = call(name, src, dst, mask, color_weight=weight, return_info=True)
    result, in_place = call(name, src, dst, mask, color_weight=weight, return_info=True, out=dst)
    assert result is dst
    np.testing.assert_array_equal(dst, expected)
    assert in_place.max_error == info.max_error


@pytest.mark.parametrize("name", BLENDS)
def test_info_comes_with_the_same_blend(name, scene):
    src, dst, mask = cast(scene[0], "uint8"), cast(scene[1], "uint8"), scene[2]
    result, info = call(name, src, dst, mask, return_info=True)
    np.testing.assert_array_equal(result, call(name, src, dst, mask))
    assert info.milliseconds > 0
    assert (info.peak_bytes > 0) == (name != "alpha")  # which needs no scratch
    assert info.device == "cpu"
    if name not in GRADIENTS:  # nothing is solved
        assert (info.method, info.iterations, info.residual, info.max_error) == (name, 0, 0, 0)
    else:
        assert info.iterations > 0
        assert info.max_error <= 0.25
    infos = call(name, src[None], dst[None], mask, return_info=True)[1]
    assert [i.method for i in infos] == [info.method]


@pytest.mark.parametrize("name", BLENDS)
def test_results_do_not_depend_on_threads(name):
    rng = np.random.default_rng(2)
    src, dst = (cast(smooth(rng, 300, 320), "uint8") for _ in range(2))
    before = pyharmony.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 5):
            pyharmony.set_num_threads(threads)
            results.append(call(name, src, dst, ellipse(300, 320)))
    finally:
        pyharmony.set_num_threads(before)
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize("name", BLENDS)
def test_calls_may_run_at_once(name, scene):
    src, dst, mask = cast(scene[0], "uint8"), cast(scene[1], "uint8"), scene[2]
    expected = call(name, src, dst, mask)
    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(lambda _: call(name, src, dst, mask), range(8)):
            np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("name", BLENDS)
def test_torch_tensors_stay_torch(name, scene):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    src, dst, mask = cast(scene[0], "uint8"), cast(scene[1], "uint8"), scene[2]
    expected = call(name, src, dst, mask)
    s, d = (torch.from_numpy(np.ascontiguousarray(np.moveaxis(a, -1, 0))) for a in (src, dst))
    result = call(name, s, d, torch.from_numpy(mask))
    assert isinstance(result, torch.Tensor)
    assert result.dtype == torch.uint8
    np.testing.assert_array_equal(np.moveaxis(result.numpy(), 0, -1), expected)
    masks = torch.from_numpy(mask)[None, None].expand(2, 1, -1, -1)
    batch = call(name, torch.stack([s, s]), torch.stack([d, d]), masks)
    assert batch.shape == (2, 3, 90, 110)
    np.testing.assert_array_equal(batch[1].numpy(), result.numpy())


# ---- placing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BLENDS)
@pytest.mark.parametrize("at", [(20, 15), (-13, 8), (70, 60), (4, -20), (-10, -10)])
def test_a_source_lands_at_its_place(name, at, scene):
    """The result is that of pasting the source into a frame first, wherever the mask stays inside the source."""
    src, dst = cast(scene[0][:50, :60], "float32"), cast(scene[1], "float32")
    mask = np.pad(ellipse(38, 48, 0.5), 6)
    x, y = at
    frame, inside = np.pad(dst, ((50, 50), (60, 60), (0, 0)), mode="edge"), np.zeros((190, 230), bool)
    frame[50 + y : 100 + y, 60 + x : 120 + x] = src
    inside[50 + y : 100 + y, 60 + x : 120 + x] = mask
    frame, inside = frame[50:140, 60:170], inside[50:140, 60:170]
    result = call(name, src, dst, mask, at=at)
    changed = closed(inside) if name in GRADIENTS else inside
    np.testing.assert_array_equal(result[~changed], dst[~changed])
    if name in ("alpha", "poisson"):
        expected = call(name, frame, dst, inside)
        np.testing.assert_allclose(result, expected, rtol=0, atol=2 * LEVELS["float32"] / 255)
    np.testing.assert_array_equal(call(name, src, dst, mask, at=(np.float32(x), np.int64(y))), result)


def test_the_object_does_not_shift():
    """The edges of the object stay where alpha compositing puts them, whatever its place."""
    src = np.full((64, 64), 90, np.uint8)
    src[20:44, 24:40] = 200
    dst = np.full((150, 170), 90, np.uint8)
    for at in ((0, 0), (37, 51), (106, 86), (-10, -10)):
        frame = blend.alpha(src, dst, at=at).astype(float)
        for name in (name for name in BLENDS if not TABLE[name].relights):
            result = call(name, src, dst, np.pad(np.ones((56, 56), bool), 4), at=at).astype(float)
            for axis in (0, 1):
                steps, expected = np.abs(np.diff(result, axis=axis)), np.abs(np.diff(frame, axis=axis))
                strong = expected == 110
                assert strong.any()
                assert steps[strong].min() > 50
                assert steps[~strong].max() < 35


@pytest.mark.parametrize("name", BLENDS)
def test_nothing_inside_gives_a_copy(name, scene):
    src, dst = cast(scene[0], "uint8"), cast(scene[1], "uint8")
    for options in ({"mask": np.zeros((90, 110), bool)}, {"at": (110, 0)}, {"at": (0, -1000)}):
        with pytest.warns(UnchangedWarning, match="nothing was blended"):
            result, info = call(name, src, dst, **options, return_info=True)
        assert info.method == "copy"
        assert result is not dst
        assert not np.shares_memory(result, dst)
        np.testing.assert_array_equal(result, dst)


@FLOODS
@pytest.mark.parametrize("contour", ["half", "full"])
def test_edges_that_leave_the_source_take_the_gradient_of_the_destination(contour):
    rng = np.random.default_rng(3)
    src, dst = smooth(rng, 12, 15), smooth(rng, 30, 40)
    x, y = 9, 7
    frame = dst.copy()
    frame[y : y + 12, x : x + 15] = src
    mask = np.zeros((30, 40))
    mask[y : y + 12, x : x + 15] = 1
    for i in range(12):  # the ring around the source: src_i + dst_j - dst_i
        for j, k in ((x - 1, x), (x + 15, x + 14)):
            frame[y + i, j] = src[i, k - x] + dst[y + i, j] - dst[y + i, k]
    for j in range(15):
        for i, k in ((y - 1, y), (y + 12, y + 11)):
            frame[i, x + j] = src[k - y, j] + dst[i, x + j] - dst[k, x + j]
    expected = poisson_reference.poisson(frame, dst, mask, contour=contour)
    result = blend.poisson(src, dst, at=(x, y), contour=contour)
    np.testing.assert_allclose(result, expected, rtol=0, atol=LEVELS["float64"] / 255)


# ---- alpha channels -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", BLENDS)
def test_the_alpha_of_the_source_multiplies_the_mask(name, scene):
    rng = np.random.default_rng(5)
    src, dst = cast(scene[0], "uint8"), cast(scene[1], "uint8")
    alpha = np.where(scene[2], 255, 40).astype(np.uint8)
    rgba = np.dstack([src, alpha])
    options = TABLE[name].determined
    fixed = {"decontaminate": False}
    np.testing.assert_array_equal(call(name, rgba, dst, **options, **fixed), call(name, src, dst, alpha, **options))
    mask = rng.random((90, 110)).astype(np.float32) * scene[2]
    product = mask * (alpha / np.float32(255))
    np.testing.assert_array_equal(call(name, rgba, dst, mask, **fixed), call(name, src, dst, product))


@pytest.mark.parametrize("name", BLENDS)
def test_the_alpha_of_the_destination_is_kept_on_request(name, scene):
    src, dst = cast(scene[0], "uint8"), cast(scene[1], "uint8")
    alpha = np.random.default_rng(6).integers(1, 256, (90, 110, 1)).astype(np.uint8)  # at 0 dst is unknown
    result = call(name, src, np.concatenate([dst, alpha], 2), scene[2], keep_alpha=True)
    np.testing.assert_array_equal(result[..., 3:], alpha)
    np.testing.assert_array_equal(result[..., :3], call(name, src, dst, scene[2]))


@pytest.mark.parametrize("name", BLENDS)
@pytest.mark.parametrize(("at", "green"), [(None, 0), ((0.5, 0.25), 1)])
def test_what_alpha_hides_leaves_no_halo(name, at, green):
    """A cut-out lies over black or green, which is no colour: nothing of it comes through, between pixels neither."""
    rgba = np.zeros((80, 90, 4), np.float32)
    rgba[..., 1] = green
    rgba[ellipse(80, 90)] = (0.6, 0.6, 0.6, 1)
    result = call(name, rgba, np.full((80, 90, 3), 0.4, np.float32), at=at)
    assert result.min() > 0.4 - 1.5 / 255
    assert result.max() < 0.6 + 1.5 / 255


# ---- parts of a pixel, soft edges ---------------------------------------------------------------


@pytest.mark.parametrize("at", [(0.25, 0.5), (7.75, -3.5), (-11.5, 60.125), (4, 0.5)])
def test_a_part_of_a_pixel_moves_colours_by_it(at):
    """The cubic is exact on ramps, also where they are bent once."""
    x, y = at
    yy, xx = np.mgrid[:40, :50].astype(np.float64)
    src = (0.2 + 0.004 * xx + 0.006 * yy - 0.00003 * xx * xx)[..., None] * [1, 0.5, 0.25]
    dst = np.zeros((70, 80, 3))
    mask = np.zeros((40, 50))
    mask[4:-4, 4:-4] = 1
    result = blend.alpha(src, dst, mask, at=at)
    yd, xd = np.mgrid[:70, :80] - np.array([y, x])[:, None, None]
    whole = (yd >= 4) & (yd <= 35) & (xd >= 4) & (xd <= 45)
    assert whole.any()
    expected = (0.2 + 0.004 * xd + 0.006 * yd - 0.00003 * xd * xd)[..., None] * [1, 0.5, 0.25]
    np.testing.assert_allclose(result[whole], expected[whole], atol=1e-7)  # the mask is float32
    outside = (yd <= 3) | (yd >= 36) | (xd <= 3) | (xd >= 46)
    assert not result[outside].any()


def test_a_part_of_a_pixel_covers_by_area():
    white, black = np.ones((6, 9, 1), np.float32), np.zeros((20, 30, 1), np.float32)
    result = blend.alpha(white, black, at=(4.25, 5.5))[..., 0]
    np.testing.assert_allclose(result.sum(), 54, rtol=1e-6)
    np.testing.assert_allclose(result[8, 3:15], [0, 0.75, 1, 1, 1, 1, 1, 1, 1, 1, 0.25, 0][: 15 - 3], atol=1e-6)
    np.testing.assert_allclose(result[4:13, 8], [0, 0.5, 1, 1, 1, 1, 1, 0.5, 0], atol=1e-6)


@pytest.mark.parametrize("name", BLENDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_part_of_a_pixel_changes_nothing_outside(name, dtype, scene):
    src, dst = cast(scene[0], dtype), cast(scene[1], dtype)
    result = call(name, src, dst, scene[2], at=(20.5, -30.25))
    inside = np.zeros((90, 110), bool)
    frame = np.pad(scene[2], 1)
    frame = frame[1:, 1:] | frame[:-1, 1:] | frame[1:, :-1] | frame[:-1, :-1]
    inside[: 91 - 31, 20:] = frame[31:, : 110 - 20]
    inside = closed(inside) if name in GRADIENTS else inside
    np.testing.assert_array_equal(result[~inside], dst[~inside])
    assert (result[inside] != dst[inside]).any()
    assert np.isfinite(result).all()


def soft_disc(size: int, softness: float) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return np.clip((0.35 * size - np.hypot(y, x)) / softness + 0.5, 0, 1)


@pytest.mark.parametrize("name", BLENDS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_the_old_background_does_not_come_along(name, dtype):
    """The soft edge of a grey disc, cut from black, has colours that are part black; the blend has none of them."""
    alpha = soft_disc(96, 5)
    rgba = cast(np.dstack([0.8 * alpha] * 3 + [alpha]), dtype)
    dst = cast(np.full((96, 96, 3), 0.9), dtype)
    result = call(name, rgba, dst) / RANGE[dtype]
    # From an alpha of 0.99 a colour counts as the object's own: 1 % of black may be in it.
    assert result.min() > 0.99 * 0.8 - 1 / 255
    assert (call("alpha", rgba, dst, decontaminate=False) / RANGE[dtype]).min() < 0.7


def test_clean_edges_and_glass_stay_as_they_are():
    alpha = soft_disc(96, 5)
    clean = cast(np.dstack([np.full((96, 96, 3), 0.8), alpha]), "uint8")
    dst = cast(np.full((96, 96, 3), 0.3), "uint8")
    np.testing.assert_array_equal(blend.alpha(clean, dst), blend.alpha(clean, dst, decontaminate=False))
    rng = np.random.default_rng(1)
    glass = rng.integers(0, 256, (96, 96, 4), np.uint8)
    glass[..., 3] = 120
    glass[:8, :, 3] = 255
    np.testing.assert_array_equal(blend.alpha(glass, dst)[20:], blend.alpha(glass, dst, decontaminate=False)[20:])


def test_the_cleaned_edge_does_not_depend_on_how_the_cut_out_is_cropped() -> None:
    y, x = np.mgrid[:600, :2200]
    src = np.empty((600, 2200, 4), np.uint8)
    src[..., :3] = np.stack([x % 256, y % 256, (x + y) % 256], 2)
    src[..., 3] = 255 * np.clip((70 - np.hypot(x - 300, y - 200)) / 30, 0, 1)
    dst = np.full((600, 2200, 3), 90, np.uint8)
    whole = blend.alpha(src, dst)
    assert np.abs(whole.astype(int) - blend.alpha(src, dst, decontaminate=False)).max() > 20
    cropped = np.ascontiguousarray(src[120:280, 220:380])
    np.testing.assert_array_equal(blend.alpha(cropped, dst, at=(220, 120)), whole)


def test_nan_in_a_soft_edge_is_named():
    rgba = np.dstack([np.full((96, 96, 3), 0.8), soft_disc(96, 5)]).astype(np.float32)
    y, x = np.argwhere((rgba[..., 3] > 0) & (rgba[..., 3] < 1))[0]
    rgba[y, x, 1] = np.nan
    with pytest.raises(ArgumentError, match=rf"src: nan at pixel \(y={y}, x={x}\), channel 1"):
        blend.alpha(rgba, rgba[..., :3].copy() * 0)


# ---- seams, brightness, borders -----------------------------------------------------------------


UNIFORM_PAIR = (np.full((200, 240), 178.0), np.full((200, 240), 76.0))
RAMPS = (
    np.add.outer(0.1 * np.arange(200), 20 + 0.5 * np.arange(240)),
    np.add.outer(-0.3 * np.arange(200), 200 + 0.1 * np.arange(240)),
)


@FLOODS
@pytest.mark.parametrize("pair", [UNIFORM_PAIR, RAMPS], ids=["flat", "ramps"])
@pytest.mark.parametrize("shape", ["ellipse", "inner rectangle", "to the border", "all but a frame"])
def test_the_default_call_leaves_no_seam(pair, shape):
    """The largest step across the contour is at most 1.5 levels above that of the exact membrane."""
    mask = ellipse(200, 240)
    if shape != "ellipse":
        mask = np.zeros((200, 240), bool)
        region = {
            "inner rectangle": np.s_[31:170, 45:180],
            "to the border": np.s_[:130, 77:],
            "all but a frame": np.s_[1:-1, 1:-1],
        }[shape]
        mask[region] = True
    src, dst = (np.repeat(a[..., None], 3, 2) / 255 for a in pair)
    membrane = blend.poisson(src, dst, mask, tolerance=1e-3)
    bound = largest_step(membrane, mask) + 1.5
    assert largest_step(blend.gaussian_poisson(src, dst, mask), mask) <= bound
    assert largest_step(blend.gaussian_poisson(cast(src, "uint8"), cast(dst, "uint8"), mask), mask, 255) <= bound + 1
    assert largest_step(blend.laplacian(src, dst, mask), mask) <= max(bound, 2)


@pytest.mark.parametrize("name", BLENDS)
@pytest.mark.parametrize("value", [0, 76, 255])
def test_constants_stay(name, value):
    image = np.full((130, 150, 3), value, np.uint8)
    everywhere = np.ones((130, 150), bool)
    for mask in (ellipse(130, 150), everywhere):
        options = TABLE[name].determined if mask.all() else {}
        expected = TABLE[name].definition(image, image, mask) if TABLE[name].relights else image
        np.testing.assert_array_equal(call(name, image, image, mask, **options), np.rint(expected))


@pytest.mark.parametrize("preserve_background", [True, False])
def test_a_pyramid_of_ten_levels_does_not_brighten(monkeypatch, preserve_background):
    monkeypatch.setattr(region, "COARSEST_SIDE", 1)
    solves = []
    solve = pyramid_blend.solve_gaussian_poisson
    monkeypatch.setattr(pyramid_blend, "solve_gaussian_poisson", lambda *a, **k: solves.append(k) or solve(*a, **k))
    image = np.full((520, 530, 1), 200, np.uint8)
    options = {"mask": ellipse(520, 530, 0.49), "preserve_background": preserve_background}
    result, _ = blend.gaussian_poisson(image, image, **options, return_info=True)
    assert len(solves) >= 10
    np.testing.assert_array_equal(result, image)
    np.testing.assert_array_equal(blend.gaussian_poisson(image, image, **options), image)


def test_borders_are_not_darkened():
    """The paper's whole image, doubled through the pyramid, is as bright along its border as inside."""
    image = np.full((300, 280, 3), 0.5, np.float32)
    result = blend.gaussian_poisson(image, image, ellipse(300, 280), preserve_background=False)
    np.testing.assert_allclose(result, 0.5, rtol=0, atol=LEVELS["float32"] / 255)


@pytest.mark.parametrize("name", BLENDS)
def test_masks_may_touch_every_border(name, scene):
    src, dst = cast(scene[0], "uint8"), cast(scene[1], "uint8")
    for cut in (np.s_[:40], np.s_[50:], np.s_[:, :55], np.s_[:, 60:], np.s_[30:60]):
        mask = np.zeros((90, 110), bool)
        mask[cut] = True
        result = call(name, src, dst, mask)
        np.testing.assert_array_equal(result[~mask], dst[~mask])


@pytest.mark.parametrize("name", GRADIENTS)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("gap", [1, 2, 3, 4])
def test_strips_beside_the_border_count_as_inside(name, dtype, cut, gap, scene):
    """Strips of up to three pixels are as if the mask went to the border; wider ones, and holes, stay as they are."""
    src, dst = (cast(image[:60, :70], dtype) for image in scene[:2])
    mask = np.zeros((60, 70), np.float32)
    mask[25 : 60 - gap, gap:50] = 1
    mask[30, gap:50] = 0.4
    mask[31, gap:50] = 0
    wide = mask.copy()
    if gap <= 3:
        wide[60 - gap :, gap:50] = wide[60 - gap - 1, gap:50]
        wide[:, :gap] = wide[:, gap, None]
    np.testing.assert_array_equal(wide, closed(mask))
    box, at = (np.s_[25 : 60 - gap, gap:50], (gap, 25)) if cut else (np.s_[:], None)
    result = call(name, src[box], dst, mask[box], at=at)
    np.testing.assert_array_equal(result[wide == 0], dst[wide == 0])
    assert (result != dst).any(-1)[mask == 0].any() == (gap <= 3)
    if not cut:
        np.testing.assert_array_equal(result, call(name, src, dst, wide))
        if name == "gaussian_poisson":
            out = np.zeros_like(dst)
            np.testing.assert_array_equal(blend.gaussian_poisson_tiles(src, dst, mask, out, tile=16), result)
    for plain in set(BLENDS) - set(GRADIENTS):
        np.testing.assert_array_equal(call(plain, src[box], dst, mask[box], at=at)[mask == 0], dst[mask == 0])


@pytest.mark.parametrize("name", GRADIENTS)
def test_strips_stay_where_nothing_else_is_known(name, scene):
    src, dst = cast(scene[0], "uint8"), cast(scene[1], "uint8")
    mask = np.pad(np.ones((84, 104), bool), 3)
    result = call(name, src, dst, mask)
    np.testing.assert_array_equal(result[~mask], dst[~mask])
    mask[40, 50] = False
    result = call(name, src, dst, mask)
    np.testing.assert_array_equal(result[40, 50], dst[40, 50])
    assert (result != dst).any(-1)[[0, 0, -1, -1], [0, -1, 0, -1]].all()
    out = np.zeros_like(dst)
    if name == "gaussian_poisson":
        np.testing.assert_array_equal(blend.gaussian_poisson_tiles(src, dst, mask, out, tile=16), result)


@pytest.mark.filterwarnings("ignore::pyharmony.errors.ClippedWarning", "ignore::pyharmony.errors.UnchangedWarning")
@pytest.mark.parametrize("name", BLENDS)
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (1, 300), (300, 1), (2, 2), (3, 5)])
def test_tiny_images(name, size):
    rng = np.random.default_rng(8)
    src, dst = (rng.integers(0, 256, (*size, 3)).astype(np.uint8) for _ in range(2))
    options = TABLE[name].determined
    full = call(name, src, dst, **options)
    assert full.shape == dst.shape
    mask = np.ones(size, bool)
    mask[0, 0] = False
    np.testing.assert_array_equal(call(name, src, dst, mask, **options)[~mask], dst[~mask])


# ---- each blend ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_alpha_is_its_formula(dtype, scene):
    src, dst = cast(scene[0], dtype), cast(scene[1], dtype)
    mask = np.random.default_rng(9).random((90, 110)).astype(np.float32)
    exact = src * np.float64(1) * mask[..., None] + dst * np.float64(1) * (1 - mask.astype(np.float64))[..., None]
    rounding = 0.5 if np.dtype(dtype).kind == "u" else float(np.finfo(dtype).eps)
    np.testing.assert_allclose(
        blend.alpha(src, dst, mask).astype(np.float64), exact, rtol=0, atol=rounding + 4e-7 * RANGE[dtype]
    )
    np.testing.assert_array_equal(blend.alpha(src, dst), src)
    np.testing.assert_array_equal(blend.alpha(src, dst, scene[2]), np.where(scene[2][..., None], src, dst))


def test_alpha_rounds_half_to_even():
    src, dst = np.array([[1, 2, 3, 255]], np.uint8), np.array([[0, 1, 2, 254]], np.uint8)
    half = np.full((1, 4), 0.5)
    np.testing.assert_array_equal(blend.alpha(src, dst, half), [[0, 2, 2, 254]])


@pytest.mark.filterwarnings("ignore:.* where 0 is black and 1 is white:pyharmony.errors.PyHarmonyWarning")
def test_floats_are_not_clipped():
    src, dst = np.full((70, 70, 3), 7.5, np.float32), np.full((70, 70, 3), -2.25, np.float32)
    np.testing.assert_array_equal(blend.alpha(src, dst), src)
    np.testing.assert_allclose(blend.laplacian(src, dst), src, rtol=1e-6)
    np.testing.assert_allclose(blend.gaussian_poisson(src, dst, preserve_background=False), src, atol=1e-3)


def test_feather_ramps_inside_the_mask():
    """It follows the exact distance to the contour, which lies half a pixel before the nearest pixel outside."""
    mask = ellipse(60, 70)
    mask[30, 35] = False
    ones, zeros = np.ones((60, 70)), np.zeros((60, 70))
    outside = np.argwhere(~mask)
    distance = np.zeros((60, 70))
    for y, x in np.argwhere(mask):
        distance[y, x] = np.sqrt(((outside - (y, x)) ** 2).sum(1).min())
    for feather in (0.5, 1, 6.5, 40, 1e4):
        expected = np.where(mask, np.clip((distance - 0.5) / feather, 0, 1), 0)
        np.testing.assert_allclose(blend.alpha(ones, zeros, mask, feather=feather), expected, atol=1e-6)


def test_feather_takes_the_border_of_the_image_for_no_contour():
    ones, zeros = np.ones((30, 40)), np.zeros((30, 40))
    np.testing.assert_array_equal(blend.alpha(ones, zeros, feather=5), ones)
    mask = np.arange(40) >= 10
    expected = np.clip((np.arange(40) - 9 - 0.5) / 5, 0, 1)
    blended = blend.alpha(ones, zeros, np.broadcast_to(mask, (30, 40)), feather=5)
    np.testing.assert_allclose(blended, np.broadcast_to(expected, (30, 40)), atol=1e-6)
    soft = blend.alpha(ones, zeros, np.broadcast_to(mask * 0.5, (30, 40)), feather=5)
    np.testing.assert_allclose(soft, 0.5 * blended, atol=1e-6)


def test_laplacian_keeps_the_object_and_fades_at_the_contour():
    rng = np.random.default_rng(10)
    src, dst = smooth(rng, 256, 256), smooth(rng, 256, 256)
    mask = ellipse(256, 256, 0.45)
    result = blend.laplacian(src, dst, mask, levels=3)
    deep = ellipse(256, 256, 0.2)
    np.testing.assert_allclose(result[deep], src[deep], atol=1e-5)
    step = np.abs(result - dst)[mask & ~ellipse(256, 256, 0.445)]
    assert step.max() < 0.2 * np.abs(src - dst)[mask].max()
    np.testing.assert_allclose(blend.laplacian(src, dst), src, atol=1e-5)


@FLOODS
@pytest.mark.parametrize("gradients", ["source", "mixed", "average", "monochrome"])
@pytest.mark.parametrize("contour", ["half", "full"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_poisson_follows_the_definition(dtype, contour, gradients):
    rng = np.random.default_rng(11)
    src, dst, mask = cast(smooth(rng, 40, 50), dtype), cast(smooth(rng, 40, 50), dtype), ellipse(40, 50)
    expected = poisson_reference.poisson(src, dst, mask, gradients=gradients, contour=contour)
    if np.dtype(dtype).kind == "u":
        expected = np.clip(expected, 0, RANGE[dtype])
    result, info = blend.poisson(src, dst, mask, gradients=gradients, contour=contour, return_info=True)
    error = np.abs(result - expected).max() / RANGE[dtype] * 255
    assert error <= LEVELS[dtype]
    assert info.residual >= 0


@FLOODS
@pytest.mark.parametrize("weight", [1.0, 0.05, 0.0])
@pytest.mark.parametrize("kernel", ["normal", "sobel"])
def test_gaussian_poisson_takes_the_full_contour(weight, kernel):
    """One level, whose base is given; beyond what a soft mask allows it is cut off."""
    rng = np.random.default_rng(14)
    src, dst, base = (smooth(rng, 40, 50) for _ in range(3))
    y, x = np.mgrid[:40, :50]
    soft = np.clip(1.5 - np.hypot(y - 20, x - 25) / 10, 0, 1)
    for mask in (ellipse(40, 50).astype(float), soft):
        options = {"color_weight": weight, "gradient_kernel": kernel, "contour": "full"}
        result, info = blend.gaussian_poisson(src, dst, mask, base=base, return_info=True, **options)
        exact = gp_reference.gaussian_poisson(src, dst, mask, base, preserve_background=True, **options)
        reach = np.where((mask > 0) & (mask < 1), mask, np.inf)[..., None]
        assert np.abs(result - np.clip(exact, dst - reach, dst + reach)).max() * 255 <= max(info.max_error, 1e-9)
        half = blend.gaussian_poisson(src, dst, mask, base=base, **{**options, "contour": "half"})
        assert np.abs(result - half).max() > 1e-5
    # Through a pyramid, nothing of dst under a hard mask counts.
    src, dst, inside = smooth(rng, 150, 170), smooth(rng, 150, 170), ellipse(150, 170)
    results = []
    for value in (0.5, np.nan):
        ground = np.where(inside[..., None], value, dst)
        results.append(
            blend.gaussian_poisson(src, ground, inside, contour="full", color_weight=weight, gradient_kernel=kernel)
        )
    np.testing.assert_array_equal(*results)
    with pytest.raises(ArgumentError, match="contour: 'whole', expected one of 'half', 'full'"):
        blend.gaussian_poisson(src, dst, inside, contour="whole")


def test_poisson_keeps_colours_where_it_is_told_to():
    rng = np.random.default_rng(12)
    src, dst, mask = smooth(rng, 40, 50), smooth(rng, 40, 50), ellipse(40, 50)
    weight = 0.05 + rng.random((40, 50))
    expected = poisson_reference.poisson(src, dst, mask, color_weight=weight.astype(np.float32))
    np.testing.assert_allclose(blend.poisson(src, dst, mask, color_weight=weight), expected, atol=1e-6)
    assert blend.poisson(src, dst, color_weight=0.1).shape == (40, 50, 3)


@FLOODS
@pytest.mark.parametrize("preserve_background", [True, False])
@pytest.mark.parametrize("base", ["membrane", "copy-paste", "image", "map"])
def test_gaussian_poisson_follows_the_definition(base, preserve_background):
    rng = np.random.default_rng(13)
    src, dst, mask = smooth(rng, 97, 131), smooth(rng, 97, 131), ellipse(97, 131, 0.5)
    mask[[0, -1], 60] = mask[48, [0, -1]] = True  # spans the image, so that the work does too
    mask = closed(mask)
    weight: Any = 0.3 + rng.random((97, 131)).astype(np.float32) if base == "map" else 1.0
    image = smooth(rng, 97, 131)
    given_base = {"copy-paste": "copy-paste", "image": image}.get(base)
    definition_base = "membrane" if given_base is None else given_base
    expected = gaussian_poisson_of(src, dst, mask, definition_base, weight, preserve_background)
    result = blend.gaussian_poisson(
        src, dst, mask, base=given_base, color_weight=weight, preserve_background=preserve_background
    )
    # Two coarse levels to 0.004 levels each and one to 1e-6, colours in float32 between them; at
    # weight 1 and less a level passes errors of its base on by at most their size.
    assert np.abs(result - expected).max() * 255 <= 2 * 0.004 + 255 * 1e-5


def test_gaussian_poisson_with_nothing_known_keeps_the_source(scene):
    src, dst = cast(scene[0], "float32"), cast(scene[1], "float32")
    np.testing.assert_allclose(blend.gaussian_poisson(src, dst).mean(), src.mean(), atol=2 / 255)


def test_the_tolerance_is_that_of_the_finest_solve(scene):
    src, dst, mask = cast(scene[0], "float32"), cast(scene[1], "float32"), scene[2]
    for tolerance in (0.25, 0.02):
        info = blend.gaussian_poisson(src, dst, mask, tolerance=tolerance, return_info=True)[1]
        assert info.max_error <= tolerance
    infos = blend.gaussian_poisson(src[None], dst[None], mask, return_info=True)[1]
    assert isinstance(infos, list)
    assert len(infos) == 1


def test_gp_gan_results_are_met(data_dir):
    """GP-GAN's script wrote them, with copy-paste colours; they are compared away from the places where it differs.

    It samples the mask at the nearest pixel of 64 x 64, which moves the contour, and squashes the
    image to a square, which the second case shows as a whole.
    """
    vectors = np.load(data_dir / "gp_reference" / "gp_reference_vectors.npz")
    close = {}
    for case in ("p128", "p150x200"):
        src, dst, mask, expected = (vectors[f"{case}__{k}"] for k in ("src", "dst", "mask", "final_u8"))
        result = blend.gaussian_poisson(
            src / 255, dst / 255, mask, base="copy-paste", as_published=True, preserve_background=False
        )
        error = np.abs(np.floor(result * 255) - expected).max(-1)
        inside = mask > 127
        far = np.ones_like(inside)
        for dy in range(-6, 7):
            for dx in range(-6, 7):
                far &= np.roll(inside, (dy, dx), (0, 1)) == inside
        far[:6] = far[-6:] = far[:, :6] = far[:, -6:] = False
        close[case] = (error[far] <= 3).mean()
    assert close["p128"] == 1
    assert close["p150x200"] > 0.85


# ---- any input ----------------------------------------------------------------------------------


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    size = st.integers(1, 300)
    height, width = draw(size), draw(size)
    framed = draw(st.booleans())
    h, w = (height, width) if framed else (draw(size), draw(size))
    return {
        "name": draw(st.sampled_from(BLENDS)),
        "dst": (height, width),
        "src": (h, w),
        "at": None if framed else (draw(st.integers(-w - 2, width + 2)), draw(st.integers(-h - 2, height + 2))),
        "part": (0.0, 0.0) if framed else draw(st.sampled_from([(0.0, 0.0), (0.5, 0.25), (0.0, 0.75), (0.125, 0.0)])),
        "dtype": draw(st.sampled_from(DTYPES)),
        "channels": (draw(st.sampled_from([1, 3])), draw(st.booleans()), draw(st.booleans())),
        "mask": draw(st.sampled_from([None, "bool", "uint8", "uint16", "float16", "float32", "float64"])),
        "shape": draw(st.sampled_from(["blob", "noise", "soft", "full", "empty", "pixel"])),
        "layout": draw(st.sampled_from(["plain", "flipped", "sliced", "planar"])),
        "seed": draw(st.integers(0, 2**16)),
    }


def laid_out(image: np.ndarray, layout: str) -> np.ndarray:
    if layout == "flipped":
        return np.ascontiguousarray(image[::-1, ::-1])[::-1, ::-1]
    if layout == "sliced":
        wide = np.zeros((2 * image.shape[0], 3 * image.shape[1], *image.shape[2:]), image.dtype)
        wide[::2, ::3] = image
        return wide[::2, ::3]
    if layout == "planar":
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(image, -1, 0)), 0, -1)
    return image


def drawn_mask(rng: np.random.Generator, shape: str, height: int, width: int) -> np.ndarray:
    if shape == "blob":
        return ellipse(height, width, rng.uniform(0.1, 0.7)).astype(float)
    if shape == "noise":
        return (rng.random((height, width)) < 0.5).astype(float)
    if shape == "soft":
        return np.clip(rng.random((height, width)) * 1.5 - 0.25, 0, 1)
    mask = np.full((height, width), float(shape == "full"))
    if shape == "pixel":
        mask[rng.integers(height), rng.integers(width)] = 1
    return mask


@pytest.mark.filterwarnings("ignore::pyharmony.errors.MaskWarning", "ignore::pyharmony.errors.UnchangedWarning")
@given(case=cases())
def test_anything_is_right_or_the_documented_error(case):
    rng = np.random.default_rng(case["seed"])
    colours, src_alpha, dst_alpha = case["channels"]
    alphas = [colours == 3 and a for a in (src_alpha, dst_alpha)]
    src, dst = (
        laid_out(cast(rng.random((*case[k], colours + a)), case["dtype"]), case["layout"])
        for k, a in zip(("src", "dst"), alphas, strict=True)
    )
    value = drawn_mask(rng, case["shape"], *case["src"])
    mask = None if case["mask"] is None else value > 0.5 if case["mask"] == "bool" else cast(value, case["mask"])
    before = src.copy(), dst.copy()
    frame = np.zeros(case["dst"])
    inside = np.ones(case["src"]) if mask is None else mask.astype(float)
    if alphas[0]:
        inside = inside * (src[..., 3] > 0)
    x, y = case["at"] or (0, 0)
    at = None if case["at"] is None else (x + case["part"][0], y + case["part"][1])
    for axis, part in enumerate(reversed(case["part"])):
        if part:
            more = [(1, 0) if a == axis else (0, 0) for a in (0, 1)]
            inside = np.maximum(np.pad(inside, more), np.pad(inside, [pair[::-1] for pair in more]))
    ys, xs = (np.arange(n) + o for n, o in zip(inside.shape, (y, x), strict=True))
    iy, ix = (np.flatnonzero((a >= 0) & (a < m)) for a, m in zip((ys, xs), case["dst"], strict=True))
    frame[np.ix_(ys[iy], xs[ix])] = inside[np.ix_(iy, ix)]
    ones = mask is not None and mask.dtype.kind == "u" and mask.size > 1 and mask.max() == 1
    if ones or (TABLE[case["name"]].determined and frame.min() > 0):
        with pytest.raises(MaskError, match="mask"):
            call(case["name"], src, dst, mask, at=at)
        return
    result = call(case["name"], src, dst, mask, at=at)
    assert result.shape == dst.shape
    assert result.dtype == dst.dtype
    assert np.isfinite(result).all()
    np.testing.assert_array_equal(src, before[0])
    np.testing.assert_array_equal(dst, before[1])
    outside = (closed(frame) if case["name"] in GRADIENTS else frame) == 0
    np.testing.assert_array_equal(result[outside], dst[outside])


# ---- bad input ----------------------------------------------------------------------------------

IMAGE = np.zeros((8, 9, 3), np.uint8)
FLOATS = np.zeros((8, 9, 3), np.float32)
NAN = FLOATS.copy()
NAN[3, 4, 1] = np.nan
INNER_MASK = np.zeros((8, 9), bool)
INNER_MASK[2:6, 2:7] = True

BAD_CALLS = [
    ((IMAGE, FLOATS), {}, DTypeError, "src: dtype uint8 differs from dst float32"),
    ((IMAGE, IMAGE > 0), {}, DTypeError, "dst: dtype bool"),
    ((IMAGE.astype(np.int32), IMAGE), {}, DTypeError, "src: dtype int32"),
    (([[1]], IMAGE), {}, DTypeError, "src: a list, expected one image; or pass dst as a list too"),
    ((3, IMAGE), {}, DTypeError, "src: int, expected a numpy.ndarray, a torch.Tensor, a PIL image, a path"),
    ((IMAGE[:4], IMAGE), {}, ShapeError, r"src: 9 x 4 pixels and dst 9 x 8 \(width x height\); pass at=\(x, y\)"),
    ((np.moveaxis(IMAGE, -1, 0), IMAGE), {}, ShapeError, "channels come last: numpy.moveaxis"),
    ((np.zeros((8, 9, 5), np.uint8), IMAGE), {}, ShapeError, "5 channels.*pyharmony.ops"),
    ((IMAGE[..., 0], IMAGE), {}, ShapeError, "src: 1 channels, but dst has 3"),
    ((IMAGE[None], IMAGE), {}, ShapeError, "as many sources as destinations"),
    ((IMAGE[:0], IMAGE), {}, ShapeError, "src: .* has no pixels"),
    ((IMAGE[0, 0], IMAGE), {}, ShapeError, r"src: shape \[3\], expected"),
    ((IMAGE, IMAGE, INNER_MASK.astype(np.uint8)), {}, MaskError, "pass `mask > 0`"),
    ((IMAGE, IMAGE, INNER_MASK * 1.5), {}, MaskError, r"mask: values from 0 to 1.5"),
    ((IMAGE, IMAGE, INNER_MASK * np.nan), {}, MaskError, "mask: values from nan"),
    ((IMAGE, IMAGE, INNER_MASK[:4]), {}, ShapeError, r"mask: shape \[4, 9\], expected \[8, 9\]"),
    ((IMAGE, IMAGE, INNER_MASK.astype(np.int64)), {}, DTypeError, "mask: dtype int64"),
    ((NAN, FLOATS, INNER_MASK), {}, ArgumentError, r"src: nan at pixel \(y=3, x=4\), channel 1"),
    ((FLOATS, NAN, INNER_MASK), {}, ArgumentError, r"dst: nan at pixel \(y=3, x=4\), channel 1"),
    ((IMAGE, IMAGE), {"at": (0, 1e300)}, ArgumentError, r"at: \(0, 1e\+300\), expected None or \(x, y\)"),
    ((IMAGE, IMAGE), {"at": 3}, ArgumentError, "at: 3"),
    ((IMAGE, IMAGE), {"at": (True, 0)}, DTypeError, "at:"),
    ((IMAGE, IMAGE), {"at": ("1", 0)}, DTypeError, "at:"),
    ((IMAGE, IMAGE), {"at": (float("inf"), 0)}, ArgumentError, "at:"),
    ((IMAGE, IMAGE), {"out": FLOATS.copy()}, DTypeError, "out: dtype float32, expected that of dst, uint8"),
    ((IMAGE, IMAGE), {"out": np.zeros((8, 9, 4), np.uint8)}, ShapeError, "out: shape"),
    ((np.dstack([FLOATS, FLOATS[..., :1] + 2]), FLOATS), {}, MaskError, "the alpha of src: values from 2 to 2"),
]


@pytest.mark.parametrize("name", BLENDS)
@pytest.mark.parametrize(("args", "options", "error", "message"), BAD_CALLS)
def test_bad_input(name, args, options, error, message):
    with pytest.raises(error, match=message):
        call(name, *args, **options)


@pytest.mark.parametrize("name", BLENDS)
def test_out_must_not_share_memory(name):
    buffer = np.zeros((16, 9, 3), np.uint8)
    with pytest.raises(ArgumentError, match="out: shares memory with src"):
        call(name, buffer[:8], IMAGE, out=buffer[4:12])
    with pytest.raises(ArgumentError, match="out: shares memory with dst"):
        call(name, IMAGE, buffer[:8], out=buffer[4:12])
    frozen = np.zeros_like(IMAGE)
    frozen.flags.writeable = False
    with pytest.raises(ArgumentError, match="out: the array is read-only"):
        call(name, IMAGE, IMAGE, out=frozen)


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("alpha", {"feather": -1}, ArgumentError, "feather: -1"),
        ("alpha", {"feather": "wide"}, DTypeError, "feather: str"),
        ("laplacian", {"levels": -1}, ArgumentError, "levels: -1"),
        ("laplacian", {"levels": 2.5}, DTypeError, "levels: float 2.5"),
        ("poisson", {"gradients": "maximum"}, ArgumentError, "gradients: 'maximum', expected one of 'source'"),
        ("poisson", {"contour": "soft"}, ArgumentError, "contour: 'soft', expected one of 'half', 'full'"),
        ("poisson", {"color_weight": -1}, ArgumentError, "color_weight: -1"),
        ("poisson", {"tolerance": 0}, ArgumentError, "tolerance: 0"),
        ("gaussian_poisson", {"base": "membrane"}, ArgumentError, "base: 'membrane', expected None, 'copy-paste' or"),
        ("gaussian_poisson", {"base": FLOATS}, DTypeError, "base: dtype float32 differs from dst uint8"),
        ("gaussian_poisson", {"base": IMAGE[:4]}, ShapeError, r"base: shape \[4, 9, 3\]"),
        ("gaussian_poisson", {"sigma": 1}, ArgumentError, "sigma: 1"),
        ("gaussian_poisson", {"smooth_sigma": 99}, ArgumentError, "smooth_sigma: 99"),
        ("gaussian_poisson", {"color_weight": np.zeros((3, 3))}, ShapeError, r"color_weight: a map of shape \[3, 3\]"),
        ("gaussian_poisson", {"as_published": True}, ArgumentError, "preserve_background=False"),
    ],
)
def test_bad_options(name, options, error, message):
    with pytest.raises(error, match=message):
        call(name, IMAGE, IMAGE, INNER_MASK, **options)


def test_poisson_needs_something_known():
    with pytest.raises((MaskError, ArgumentError), match="color_weight"):
        blend.poisson(IMAGE, IMAGE)


def test_nan_is_named_by_its_place_in_the_callers_array():
    src = np.pad(NAN, ((5, 5), (6, 6), (0, 0)))
    for name in BLENDS:
        with pytest.raises(ArgumentError, match=r"src: nan at pixel \(y=8, x=10\), channel 1"):
            call(name, src, FLOATS, np.pad(INNER_MASK, ((5, 5), (6, 6))), at=(-6, -5))


def test_nan_that_is_not_read_is_no_error():
    dst = FLOATS.copy()
    dst[0, 0] = np.nan
    for name in ("alpha", "poisson"):
        result = call(name, FLOATS + 1, dst, INNER_MASK)
        np.testing.assert_array_equal(result[~INNER_MASK], dst[~INNER_MASK])


# ---- the house ----------------------------------------------------------------------------------


def test_poisson_passes_its_images_on_by_forty_calls_at_most(scene):
    """Each call of a function of the package that an image is passed to is one that a reader of the blend follows."""
    src, dst, mask = cast(scene[0], "uint8"), cast(scene[1], "uint8"), scene[2]
    # Without return_info it takes one native call.
    stays = image_stays(lambda: call("poisson", src, dst, mask, return_info=True), {src.shape})
    assert 20 < stays.total() <= 40, stays.most_common()


def test_the_import_is_light_and_the_names_are_functions():
    root = Path(blend.__file__).parents[2]
    code = (
        "import numpy, sys, time; start = time.process_time(); import pyharmony.blend as b; "
        "print(time.process_time() - start); "
        "assert not {'torch', 'cupy', 'cv2', 'scipy'} & set(sys.modules); "
        "a = numpy.zeros((4, 4)); m = numpy.eye(4); "
        f"[[getattr(b, name)(a, a, m) for _ in range(2)] for name in {BLENDS}]; "
        "assert all(callable(getattr(b, name)) for name in b.__all__)"
    )
    process = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize("kernel", ["sobel", "scharr", "prewitt", "roberts"])
def test_gaussian_poisson_takes_gradient_kernels(kernel, scene):
    """An image that needs no halving, with its base given, is one solve, which reads no more than around the mask."""
    src, dst, mask = (a[20:80, 20:80] for a in scene)
    mask = closed(mask)
    options = dict(color_weight=0.3, preserve_background=True, gradient_kernel=kernel)
    expected = gp_reference.gaussian_poisson(src, dst, mask, src, **options)
    np.testing.assert_allclose(blend.gaussian_poisson(src, dst, mask, base=src, **options), expected, atol=1e-8)
    smaller = np.zeros_like(mask)
    smaller[20:31, 25:40] = mask[20:31, 25:40]
    expected = gp_reference.gaussian_poisson(src, dst, smaller, src, **options)
    np.testing.assert_allclose(blend.gaussian_poisson(src, dst, smaller, base=src, **options), expected, atol=1e-8)
    with pytest.raises(ArgumentError, match="gradient_kernel: 'laplace', expected one of"):
        blend.gaussian_poisson(src, dst, mask, gradient_kernel="laplace")


@pytest.mark.filterwarnings("ignore::pyharmony.errors.ClippedWarning", "ignore::pyharmony.errors.UnchangedWarning")
@pytest.mark.parametrize("at", [(-30, 2), (60, 60), (3, -20.5)])
def test_a_source_beside_dst_changes_no_gradient(at: tuple[float, float]) -> None:
    """With preserve_background=False the image is still solved, from its own gradients and colours."""
    dst = np.random.default_rng(4).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    same = blend.gaussian_poisson(dst[:20, :20], dst, at=at)
    solved = blend.gaussian_poisson(dst[:20, :20], dst, at=at, preserve_background=False)
    assert np.array_equal(same, dst)
    assert np.array_equal(solved, blend.gaussian_poisson(dst, dst, np.zeros((40, 50), bool), preserve_background=False))


def test_the_placed_mask_is_rounded_to_the_nearest_level():
    mask = np.full((1, 3), 0.45, np.float32)
    assert blend.placed_mask(np.zeros((1, 3, 3), np.uint8), np.zeros((1, 3, 3), np.uint8), mask).tolist() == [[115] * 3]
