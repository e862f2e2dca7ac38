"""Alpha from rough masks: known edges come back, and what is sure stays as it is."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import pyharmony
from pyharmony import segmentation
from pyharmony.ops import matting
from pyharmony.reference import matting as reference
from pyharmony.segmentation import masks
from pyharmony.segmentation._edges import at_full_size
from pyharmony.segmentation._matting import soft_alpha
from pyharmony.segmentation.layers import Layer

pytestmark = pytest.mark.chains

Values = npt.NDArray[np.float64]


def scene(height: int = 300, width: int = 360) -> tuple[npt.NDArray[np.uint8], Values]:
    """Returns an image by the equation of compositing, and its alpha: a disc with an edge that is 8 pixels wide."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    away = np.hypot(y - 0.5 * height, x - 0.5 * width) - 0.3 * height
    alpha = np.clip(0.5 - away / 8, 0, 1)
    shade = 20 * np.sin(x / 37) + 15 * np.cos(y / 29)
    above = np.stack([180 + shade, 90 + 0.5 * shade, 60 - shade], -1)
    below = np.stack([60 + 0.3 * shade, 110 - shade, 150 + shade], -1)
    image = alpha[..., None] * above + (1 - alpha[..., None]) * below
    return np.rint(image).astype(np.uint8), alpha


def rough(alpha: Values, times: int = 3, shift: tuple[int, int] = (0, 0)) -> Layer:
    """Returns a hard mask of what alpha covers, moved by pixels, each of whose pixels is so many of the image's."""
    height, width = alpha.shape
    offset_mask = np.roll(alpha > 0.5, shift, (0, 1))
    small = Image.fromarray(offset_mask.astype(np.uint8) * 255).resize(
        (width // times, height // times), Image.Resampling.BOX
    )
    return Layer((0, 0, width, height), np.asarray(small, np.float32) / 255, 1.0)


def error(alpha_of_mask: Any, alpha: Values) -> float:
    """Returns the mean error of 255 near the edge."""
    near = (alpha > 0) & (alpha < 1)
    for axis in (0, 1):
        near = near | np.roll(near, 6, axis) | np.roll(near, -6, axis)
    return float(np.abs(alpha_of_mask.astype(np.float64) - 255 * alpha)[near].mean())


@pytest.mark.parametrize("shift", [(0, 0), (3, 0), (0, -3), (2, 2)])
def test_an_edge_comes_back_from_a_mask_that_is_off(shift: tuple[int, int]) -> None:
    image, alpha = scene()
    layer = rough(alpha, shift=shift)
    off = error(soft_alpha(image, layer), alpha)
    assert off < 12
    assert off < 0.75 * error(at_full_size(image, layer), alpha)


def test_strands_beyond_a_mask_are_found() -> None:
    image = np.full((240, 240, 3), (40, 90, 160), np.uint8)
    image[90:200, 60:180] = (200, 60, 50)
    # A strand of hair, of which the mask has nothing.
    image[86:90, 117:122] = (200, 60, 50)
    inside = np.zeros((80, 80), np.float32)
    inside[30:67, 20:60] = 1
    layer = Layer((0, 0, 240, 240), inside, 1.0)
    alpha = soft_alpha(image, layer)
    assert alpha[87, 119] > 150 and alpha[87, 105] < 60
    assert at_full_size(image, layer)[87, 119] < 100


def test_what_is_sure_stays() -> None:
    image, alpha = scene()
    result = soft_alpha(image, rough(alpha))
    y, x = np.mgrid[:300, :360]
    away = np.hypot(y - 150, x - 180) - 90
    assert (result[away < -30] == 255).all() and (result[away > 30] == 0).all()


@pytest.mark.parametrize("values", [np.zeros((8, 8)), np.ones((8, 8))])
def test_a_mask_without_a_contour_is_all_or_nothing(values: Any) -> None:
    image, _ = scene(60, 80)
    alpha = soft_alpha(image, Layer((10, 5, 70, 50), values.astype(np.float32), 1.0))
    assert (alpha[5:50, 10:70] == 255 * values[0, 0]).all()
    alpha[5:50, 10:70] = 0
    assert not alpha.any()


def test_without_colours_the_mask_decides() -> None:
    _, alpha = scene()
    result = soft_alpha(np.full((300, 360, 3), 128, np.uint8), rough(alpha))
    assert error(result, alpha) < error(255 * (alpha > 0.5), alpha)
    assert result[150, 180] == 255 and result[5, 5] == 0


@pytest.mark.parametrize("side", ["top", "left", "bottom", "right"])
def test_an_edge_may_meet_the_frame(side: str) -> None:
    y, x = np.mgrid[:150, :200]
    wide = {"top": y < 4, "left": x < 4, "bottom": y >= 146, "right": x >= 196}[side] | (np.hypot(y - 75, x - 100) < 30)
    image = np.where(wide[..., None], np.uint8(200), np.uint8(60)).repeat(3, 2)
    layer = Layer((0, 0, 200, 150), wide[::2, ::2].astype(np.float32), 1.0)
    alpha = soft_alpha(image, layer)
    assert np.abs(alpha / 255 - wide).mean() < 0.01


@pytest.mark.parametrize("shape", [(1, 1), (2, 9), (3, 3), (1, 40), (5, 4)])
def test_tiny_images(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    values = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    assert soft_alpha(image, Layer((0, 0, shape[1], shape[0]), values, 1.0)).shape == shape


def test_it_is_the_same_each_time_and_for_other_strides() -> None:
    image, alpha = scene()
    layer, before = rough(alpha), image.copy()
    result = soft_alpha(image, layer)
    rotated = np.ascontiguousarray(image[::-1])[::-1]
    assert np.array_equal(result, soft_alpha(image, layer)) and np.array_equal(result, soft_alpha(rotated, layer))
    assert np.array_equal(image, before)


def test_noise_stays_finite() -> None:
    image = np.random.default_rng(1).integers(0, 256, (90, 120, 3), np.uint8)
    values = np.random.default_rng(2).random((30, 40), np.float32)
    alpha = soft_alpha(image, Layer((0, 0, 120, 90), values, 1.0))
    assert alpha.shape == (90, 120) and alpha.min() < 128 < alpha.max()


def test_twelve_megapixels_take_little_memory() -> None:
    image, alpha = (np.ascontiguousarray(x.repeat(10, 0).repeat(11, 1)) for x in scene())
    layer = rough(alpha, 16)
    tracemalloc.start()
    result = soft_alpha(image, layer)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert result.shape == (3000, 3960) and error(result, alpha) < 40
    assert peak < 100e6


# Who uses it


def test_a_cut_out_of_what_was_found_has_it() -> None:
    image, alpha = scene()
    layer = rough(alpha, shift=(3, 0))
    answer = masks.Masks((0.9,), ((0, 0, 1, 1),), (), "auto", "", image, (layer,))
    expected = soft_alpha(image, layer)
    assert np.array_equal(answer.alpha(), expected) and np.array_equal(answer.alpha(0), expected)
    with pytest.raises(IndexError):
        answer.alpha(1)
    cut = segmentation.cutout(image, answer)
    assert np.array_equal(cut[..., 3], expected)
    assert np.array_equal(answer.mask, at_full_size(image, layer))
    # What is given as a mask is taken as it is.
    assert np.array_equal(segmentation.cutout(image, answer.mask)[..., 3], answer.mask)


def test_all_people_together() -> None:
    image, alpha = scene()
    layers = rough(alpha, shift=(0, 60)), rough(alpha, shift=(0, -60))
    rectangles = ((0, 0, 1, 1),) * 2
    answer = masks.Masks((0.9, 0.8), rectangles, rectangles, "auto", "", image, layers)
    assert np.array_equal(answer.alpha(), np.maximum(answer.alpha(0), answer.alpha(1)))


def test_it_is_drawn_at_other_sizes() -> None:
    image, alpha = scene()
    small = np.asarray(Image.fromarray(image).resize((180, 150), Image.Resampling.BOX))
    result = masks.layer_mask(small, rough(alpha, shift=(3, 0)), (360, 300), soft=True)
    assert error(result, alpha.reshape(150, 2, 180, 2).mean((1, 3))) < 15


def test_composites_have_it_and_previews_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    image, _ = scene()
    background = np.full((300, 400, 3), 90, np.uint8)
    options: dict[str, Any] = {"at": (20, 10), "scale": 1.0, "shadow": False, "blend": "alpha", "harmonize": None}
    options |= {"grain": 0, "sharpness": 0, "return_info": True}
    calls: list[Any] = []

    def spied(picture: Any, layer: Layer) -> Any:
        calls.append(soft_alpha(picture, layer))
        return calls[-1]

    monkeypatch.setattr("pyharmony.segmentation.masks.soft_alpha", spied)
    _, info = pyharmony.compose(image, background, points=[(180, 150)], **options)
    (alpha,) = calls
    rows, columns = (np.flatnonzero(alpha.any(axis)) for axis in (1, 0))
    own_mask = info.subjects[0].mask
    assert np.array_equal(own_mask[10 + rows[0] : 11 + rows[-1], 20 + columns[0] : 21 + columns[-1]],
                          alpha[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])  # fmt: skip
    pyharmony.compose(image, background, recipe=info.recipe, side=200)
    assert len(calls) == 1


# The equations and their solution


SHAPES = [(1, 1), (1, 9), (2, 5), (3, 3), (7, 4), (33, 20), (60, 90)]


def problem(size: tuple[int, int], share: float) -> tuple[Any, Any, Any]:
    """Returns a guide, a band that covers a share of it, and values to start from."""
    rng = np.random.default_rng(3)
    guide = np.clip(np.cumsum(rng.normal(0, 0.1, (*size, 3)), 1) + 0.5, 0, 1).astype(np.float32)
    band = rng.random(size) < share
    return guide, band, np.where(band, rng.random(size), rng.random(size) < 0.5).astype(np.float32)


def whole_rows(guide: Any, band: Any, ridge: float) -> Any:
    """Returns rows by sums over all windows at once, in float32 where the op has it."""
    height, width = band.shape
    planes = np.zeros((height, width, 5, 5), np.float32)
    parts = [guide[y : height - 2 + y, x : width - 2 + x].astype(np.float64) for y, x in np.ndindex(3, 3)]
    off = np.stack(parts) - sum(parts) / 9
    square = [[sum(off[..., a] * off[..., b]) / 9 + (ridge / 9 if a == b else 0) for b in range(3)] for a in range(3)]
    first = np.sqrt(square[0][0])
    down, far = square[0][1] / first, square[0][2] / first
    second = np.sqrt(square[1][1] - down**2)
    beside = (square[1][2] - far * down) / second
    third = np.sqrt(square[2][2] - far**2 - beside**2)
    white = [off[..., 0] / first, (off[..., 1] - down * (off[..., 0] / first)) / second]
    white.append((off[..., 2] - far * white[0] - beside * white[1]) / third)
    r, g, b = (plane.astype(np.float32) for plane in white)
    for one, (y, x) in enumerate(np.ndindex(3, 3)):
        for other, (v, u) in enumerate(np.ndindex(3, 3)):
            alike = r[one] * r[other] + g[one] * g[other] + b[one] * b[other]
            share = np.float32(one == other) - (1 + alike) * np.float32(1 / 9)
            planes[y : height - 2 + y, x : width - 2 + x, 2 + v - y, 2 + u - x] += share
    return planes[band].reshape(-1, 25).T


@pytest.mark.parametrize("size", SHAPES)
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_rows_have_the_bits_of_sums_over_all_windows(size, share, simd):
    guide, band, _ = problem(size, share)
    row_blocks = matting.rows(guide, band, 2e-5)
    assert row_blocks.shape == (25, int(band.sum())) and row_blocks.dtype == np.float32
    if min(size) >= 3:
        np.testing.assert_array_equal(row_blocks, whole_rows(guide, band, 2e-5))
    # The colours are exact in float64: what is off is the rounding of shares, and of at most nine that are added.
    exact = reference.rows(guide, band, 2e-5)
    np.testing.assert_allclose(
        row_blocks, exact.reshape(row_blocks.shape), rtol=0, atol=9 * 8 * float(np.finfo(np.float32).eps)
    )


def test_rows_of_views_and_of_flat_colours() -> None:
    guide, band, _ = problem((33, 20), 0.4)
    expected = matting.rows(guide, band, 2e-5)
    mirrored = np.ascontiguousarray(guide[::-1, ::-1])[::-1, ::-1]
    planes = np.ascontiguousarray(guide.transpose(2, 0, 1)).transpose(1, 2, 0)
    for one in (mirrored, planes, np.dstack([guide, guide])[..., :3]):
        np.testing.assert_array_equal(matting.rows(one, np.asfortranarray(band), 2e-5), expected)
    flat = matting.rows(np.full_like(guide, 0.3), np.ones_like(band), 2e-5)
    # Without colours a window says that alpha is its mean.
    np.testing.assert_allclose(flat[12].reshape(band.shape)[2:-2, 2:-2], 8, atol=1e-5)
    np.testing.assert_allclose(flat.sum(0), 0, atol=1e-5)


def steps_in_numpy(band: Any, weights: Any, pull: Any, start: Any, steps: int, solved: float) -> Any:
    """Returns the result of the steps in float32, with scalar products that are added in float64."""
    places = np.argwhere(band)

    def times(values: Any) -> Any:
        framed, total = np.pad(values, 2), np.zeros(len(places), np.float32)
        for k in range(25):
            total += weights[k] * framed[places[:, 0] + k // 5, places[:, 1] + k % 5]
        return total

    def dot(a: Any, b: Any) -> float:
        return float((a * b).sum(dtype=np.float64))

    x, values, scale = start[band], np.zeros_like(start), 1 / weights[12]
    residual = pull * x - times(start)
    along = scale * residual
    size = dot(residual, along)
    for _ in range(steps):
        if size == 0 or size < solved:
            break
        values[band] = along
        product = times(values)
        step = np.float32(size / dot(along, product))
        x += step * along
        residual -= step * product
        nearer = scale * residual
        before, size = size, dot(residual, nearer)
        along = nearer + np.float32(size / before) * along
    result = start.copy()
    result[band] = x
    return result


@pytest.mark.parametrize("size", [*SHAPES, (150, 130)])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_steps_have_the_bits_of_numpy(size, share, simd, threads):
    guide, band, start = problem(size, share)
    weights = matting.rows(guide, band, 2e-5)
    pull = np.random.default_rng(4).uniform(1e-3, 1, weights.shape[1]).astype(np.float32)
    weights[12] += pull
    for steps, solved in ((0, 0.0), (1, 0.0), (20, 1e-10)):
        result = matting.solution(band, weights, pull, start, steps=steps, solved=solved)
        np.testing.assert_array_equal(result, steps_in_numpy(band, weights, pull, start, steps, solved))
    np.testing.assert_array_equal(result[~band], start[~band])


@pytest.mark.parametrize("size", [(1, 1), (5, 4), (17, 23)])
@pytest.mark.parametrize("share", [0.3, 1.0])
def test_many_steps_reach_the_solution(size, share, simd):
    guide, band, start = problem(size, share)
    weights, pull = matting.rows(guide, band, 2e-5), np.full(int(band.sum()), 0.2, np.float32)
    weights[12] += pull
    result = matting.solution(band, weights, pull, start, steps=2000, solved=1e-14)
    np.testing.assert_allclose(result, reference.solution(band, weights, pull, start), rtol=0, atol=1e-5)


def test_other_arrays_are_refused() -> None:
    guide, band = np.zeros((4, 5, 3), np.float32), np.ones((4, 5), bool)
    for wrong, message in (
        ((guide.astype(np.float64), band), "guide: dtype float64, expected float32"),
        ((guide[:3], band), r"guide: shape \[3, 5, 3\], expected \[4, 5, 3\]"),
        ((guide, band.astype(np.uint8)), r"band: expected a contiguous array \[h, w\] of bool"),
    ):
        with pytest.raises(ValueError, match=message):
            matting.rows(*wrong, 2e-5)
    with pytest.raises(ValueError, match="ridge: 0, expected above 0"):
        matting.rows(guide, band, 0.0)
    weights, pull, start = matting.rows(guide, band, 2e-5), np.ones(20, np.float32), np.zeros((4, 5), np.float32)
    for arrays, message in (
        ((band, weights[:3], pull, start), "weights: 60 values of float32, expected 500 of float32, contiguous"),
        ((band, weights, pull[:7], start), "pull: 7 values of float32, expected 20 of float32"),
        ((band, weights, pull, start.astype(np.float64)), "start: 20 values of float64, expected 20 of float32"),
    ):
        with pytest.raises(ValueError, match=message):
            matting.solution(*arrays, steps=3)
