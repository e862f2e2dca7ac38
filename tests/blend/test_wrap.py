"""Periodic borders: a blend across them is the blend of the image turned so that they are elsewhere."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pyharmony import blend
from pyharmony.errors import ArgumentError, MaskError
from pyharmony.typing import Wrap

from ..shared import FLOODS

pytestmark = [FLOODS]

NEEDS_TORCH = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")
BLENDS = ("alpha", "gaussian_poisson", pytest.param("gp_gan", marks=NEEDS_TORCH), "laplacian", "poisson")
EDITS: dict[str, dict[str, Any]] = {
    "detail_boost": {}, "illumination_change": {}, "inpaint": {}, "texture_flattening": {},
}  # fmt: skip


def waves(height: int, width: int, seed: int = 0, dtype: str = "uint8") -> np.ndarray:
    """Returns a periodic image [height, width, 3] without a visible border."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / np.reshape([height, width], (2, 1, 1))
    image = np.full((height, width, 3), 0.5)
    for k in range(1, 5):
        phases = rng.uniform(0, 2 * np.pi, (2, 3))
        across, down = 2 * np.pi * k * x[..., None] + phases[0], 2 * np.pi * k * y[..., None] + phases[1]
        image += 0.08 * (np.sin(across) + np.cos(down))
    return np.rint(255 * image).astype(np.uint8) if dtype == "uint8" else image.astype(dtype)


def disc(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    inside = ((y - height / 2 + 0.5) / (0.42 * height)) ** 2 + ((x - width / 2 + 0.5) / (0.42 * width)) ** 2 < 1
    return np.where(inside, np.uint8(255), np.uint8(0))


def turned(image: np.ndarray, down: int, across: int) -> np.ndarray:
    return np.roll(image, (down, across), (0, 1))


@pytest.mark.parametrize("name", BLENDS)
@pytest.mark.parametrize(("wrap", "at"), [("x", (100, 20)), ("x", (-21, 20)), ("y", (30, 60)), ("xy", (103, 58))])
def test_an_object_across_the_border_is_blended_as_in_the_middle(name: str, wrap: str, at: tuple[int, int]) -> None:
    dst, src, mask = waves(80, 120), waves(36, 44, 1), disc(36, 44)
    function = getattr(blend, name)
    middle = 22 if "y" in wrap else at[1], 38 if "x" in wrap else at[0]
    move = middle[0] - at[1], middle[1] - at[0]
    expected = turned(function(src, turned(dst, *move), mask, at=(middle[1], middle[0])), -move[0], -move[1])
    assert np.array_equal(function(src, dst, mask, at=at, wrap=wrap), expected)
    assert not np.array_equal(function(src, dst, mask, at=at), expected)


@pytest.mark.parametrize("name", [*BLENDS, *EDITS])
def test_images_of_one_size_are_turned_together(name: str) -> None:
    dst, src = waves(64, 96), waves(64, 96, 1)
    mask = np.zeros((64, 96), np.uint8)
    mask[16:44, 30:66] = disc(28, 36)
    function = getattr(blend, name)
    images = [dst] if name in EDITS else [src, dst]
    expected = turned(function(*images, mask), 0, 50)
    result = function(*(turned(x, 0, 50) for x in images), turned(mask, 0, 50), wrap="x")
    if name == "detail_boost":  # its base has the image's width
        assert np.abs(result.astype(int) - expected).max() <= 1
    else:
        assert np.array_equal(result, expected)


def periodic(src: np.ndarray, dst: np.ndarray, mask: np.ndarray, wrap: str) -> np.ndarray:
    """Returns the solution of Poisson's equation on an image [H, W] with periodic axes, by a dense matrix."""
    height, width = mask.shape
    numbers = np.arange(mask.size).reshape(mask.shape)
    matrix, right = np.eye(mask.size), dst.ravel().copy()
    for y, x in np.argwhere(mask):
        row = numbers[y, x]
        matrix[row, row] = right[row] = 0
        for down, across in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            v, u = y + down, x + across
            if ("y" not in wrap and not 0 <= v < height) or ("x" not in wrap and not 0 <= u < width):
                continue
            v, u = v % height, u % width
            share = 1.0 if mask[v, u] else 0.5
            matrix[row, row] += 1
            matrix[row, numbers[v, u]] -= 1
            right[row] += share * (src[y, x] - src[v, u]) + (1 - share) * (dst[y, x] - dst[v, u])
    return np.linalg.solve(matrix, right).reshape(mask.shape)


@pytest.mark.parametrize(("wrap", "rows"), [("x", slice(5, 14)), ("x", slice(0, 12)), ("y", slice(5, 14))])
def test_a_band_around_the_image_has_the_periodic_solution(wrap: Wrap, rows: slice) -> None:
    rng = np.random.default_rng(3)
    src, dst, mask = rng.random((20, 24)), rng.random((20, 24)), np.zeros((20, 24), bool)
    mask[rows] = True
    if wrap == "y":
        src, dst, mask = (np.ascontiguousarray(x.T) for x in (src, dst, mask))
    result = blend.poisson(src, dst, mask, wrap=wrap)
    assert np.abs(result - periodic(src, dst, mask, wrap)).max() < 1e-6 / 255
    assert np.abs(result - blend.poisson(src, dst, mask)).max() > 0.01


@pytest.mark.parametrize("name", ["gaussian_poisson", "poisson"])
@pytest.mark.parametrize("move", [1, 37])
def test_a_band_does_not_depend_on_where_the_border_is(name: str, move: int) -> None:
    dst, src = waves(96, 160, 0, "float32"), waves(96, 160, 1, "float32")
    mask = np.zeros((96, 160), np.uint8)
    mask[:40] = 255
    function = getattr(blend, name)
    first = function(src, dst, mask, wrap="x")
    second = function(*(turned(x, 0, move) for x in (src, dst, mask)), wrap="x")
    # Levels of a pyramid are halved from the border on.
    assert np.abs(turned(second, 0, -move) - first).max() < (0.05 if name == "poisson" else 0.5) / 255


def test_a_tile_is_seamless_as_before() -> None:
    dst, src, mask = waves(60, 60), waves(30, 30, 1), disc(30, 30)
    tile = blend.poisson(src, dst, mask, at=(45, 45), wrap="xy").astype(int)
    steps = [np.abs(np.diff(np.tile(tile, (2, 2, 1)), axis=axis)).max(1 - axis) for axis in (0, 1)]
    # The steps across the borders of the tile are no larger than those within it.
    assert all(step[59].max() <= np.delete(step, 59, 0).max() for step in steps)


def test_kinds_batches_and_outputs_are_those_of_any_blend(tmp_path: Path) -> None:
    dst, src, mask = waves(60, 90), waves(30, 30, 1), disc(30, 30)
    expected = blend.poisson(src, dst, mask, at=(75, 15), wrap="x")
    out = np.empty_like(dst)
    assert blend.poisson(src, dst, mask, at=(75, 15), wrap="x", out=out) is out and np.array_equal(out, expected)
    pair = blend.poisson(np.stack([src] * 2), np.stack([dst, dst[::-1]]), mask, at=[(75, 15), (-15, 15)], wrap="x")
    assert np.array_equal(pair[0], expected) and not np.array_equal(pair[1], expected)
    image = blend.poisson(src, Image.fromarray(dst), mask, at=(75, 15), wrap="x")
    assert isinstance(image, Image.Image) and np.array_equal(np.asarray(image), expected)
    path = tmp_path / "blend.png"
    blend.poisson(src, dst, mask, at=(75, 15), wrap="x", out=path)
    assert np.array_equal(np.asarray(Image.open(path)), expected)
    torch = pytest.importorskip("torch", reason="torch is not installed")
    first, second, third = (torch.from_numpy(np.moveaxis(x, -1, 0).copy()) for x in (src, dst, expected))
    assert torch.equal(blend.poisson(first, second, torch.from_numpy(mask), at=(75, 15), wrap="x"), third)


def test_fractions_scales_alpha_and_unknown_pixels_cross_the_border() -> None:
    dst, src = waves(60, 90), np.dstack([waves(30, 30, 1), disc(30, 30)])
    valid = np.full((60, 90), 255, np.uint8)
    valid[20:24, :3] = 0
    move = 40
    expected = blend.poisson(src, turned(dst, 0, move), at=(30.4, 11.5), scale=1.3, dst_valid=turned(valid, 0, move))
    result = blend.poisson(src, dst, at=(30.4 - move, 11.5), wrap="x", scale=1.3, dst_valid=valid)
    assert np.abs(result.astype(int) - turned(expected, 0, -move)).max() <= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"wrap": "z"}, "wrap: 'z'"),
        ({"wrap": "x", "scale": 4.0, "at": (0, 0)}, "src: 120 pixels wide in dst, expected at most the 90 of dst"),
        ({"wrap": "y", "scale": 2.5, "at": (0, 0)}, "src: 75 pixels high in dst, expected at most the 60 of dst"),
    ],
)
def test_what_cannot_be_periodic_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        blend.poisson(waves(30, 30, 1), waves(60, 90), disc(30, 30), **options)


def test_a_mask_that_fixes_nothing_is_refused_and_colours_fix_it() -> None:
    dst, src = waves(32, 40), waves(32, 40, 1)
    with pytest.raises(MaskError, match="mask: covers all of the image, and with wrap='xy' nothing is fixed"):
        blend.poisson(src, dst, wrap="xy")
    result = blend.poisson(src, dst, wrap="xy", color_weight=0.5)
    again = blend.poisson(turned(src, 5, 9), turned(dst, 5, 9), wrap="xy", color_weight=0.5)
    assert np.abs(turned(again, -5, -9).astype(int) - result).max() <= 1
    for name in ("gaussian_poisson", *(["gp_gan"] if find_spec("torch") else [])):
        with pytest.raises(ArgumentError, match="wrap: 'x' with preserve_background=False"):
            getattr(blend, name)(src, dst, disc(32, 40), wrap="x", preserve_background=False)
