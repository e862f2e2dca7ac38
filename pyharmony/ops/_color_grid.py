"""Checks of the arguments of `color_grid`, and the frame of a grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from .. import _arrays, _checks
from ..errors import ArgumentError, PyHarmonyError, ShapeError

MAX_CELLS = 256  # the largest number of rows, and of columns, of a grid
MAX_DEPTH = 64  # the largest depth of a grid, in levels of luma
MAX_KNOTS = 256  # the largest number of knots of a curve
MAX_FRAME = (1 << 24) - 1  # the longest side of a frame, in pixels

#: The parts of a map: the number of axes after the batch axis, and the accepted shapes.
PARTS = {
    "affine": (2, "[3, 4]"),
    "curves": (3, f"[3, 3, K] with K from 2 to {MAX_KNOTS}"),
    "grid": (5, f"[Gh, Gw, D, 3, 4] with Gh and Gw from 1 to {MAX_CELLS}, D from 1 to {MAX_DEPTH}"),
}


def _fits(name: str, shape: tuple[int, ...]) -> bool:
    """Returns whether this shape is valid for a part without a batch axis."""
    if name == "affine":
        return shape == (3, 4)
    if name == "curves":
        return shape[:2] == (3, 3) and 2 <= shape[2] <= MAX_KNOTS
    in_range = all(1 <= n <= high for n, high in zip(shape, (MAX_CELLS, MAX_CELLS, MAX_DEPTH), strict=False))
    return in_range and shape[3:] == (3, 4)


def part_form(shape: Sequence[int], name: str, count: int | None) -> None:
    """Raises if the shape of a map's part is invalid; count is the number of images of a batch, None for one image."""
    ndim, accepts = PARTS[name]
    dims = tuple(shape)
    batch = len(dims) == ndim + 1 and count is not None
    if not (batch or len(dims) == ndim) or not _fits(name, dims[-ndim:]):
        raise ShapeError(f"{name}: shape {list(dims)}, expected {accepts}" + ("" if count is None else ", or [N, ...]"))
    if batch and dims[0] != count:
        raise ShapeError(f"{name}: shape {list(dims)} has {dims[0]} maps, expected {count} as image has")


def flattened(parts: Sequence[Any]) -> tuple[list[Any], int]:
    """Returns contiguous parts with a batch axis for kernels, and the number of rows of the grid.

    Curves are reshaped to [M, 9, K], and a grid to [M Gh, Gw, D, 12].
    """
    affine, curves, grid = parts
    if curves is not None:
        curves = curves.reshape((curves.shape[0], 9, curves.shape[3]))
    if grid is None:
        return [affine, curves, None], 1
    maps, rows, *cells = grid.shape[:4]
    return [affine, curves, grid.reshape((maps * rows, *cells, 12))], rows


class Frame(NamedTuple):
    """The position (x0, y0) of an image's first pixel in the frame of its grid, and the size of the frame."""

    x0: int
    y0: int
    height: int
    width: int


def _pair(x: Any, name: str, accepts: str) -> tuple[int, int]:
    try:
        first, second = (_checks.whole(n, name, low=-(1 << 62)) for n in _checks.several(x, name, accepts))
    except (PyHarmonyError, ValueError):
        raise ArgumentError(f"{name}: {_checks.shortened(x)}, expected {accepts}") from None
    return first, second


def frame_of(origin: Any, frame: Any, height: int, width: int) -> Frame:
    """Returns the validated frame of an image of that size."""
    x0, y0 = _pair(origin, "origin", "(x, y), whole numbers of pixels")
    if frame is None:
        frame = (y0 + height, x0 + width)
        if (x0, y0) != (0, 0):
            raise ArgumentError(f"frame: None with origin {(x0, y0)}, expected (H, W) of the whole image")
    rows, columns = _pair(frame, "frame", "(H, W), whole numbers of pixels")
    if min(x0, y0) < 0 or x0 + width > columns or y0 + height > rows:
        raise ArgumentError(
            f"frame: ({rows}, {columns}) does not contain an image of {height} x {width} pixels at origin {(x0, y0)}"
        )
    if max(rows, columns) > MAX_FRAME:
        raise ArgumentError(f"frame: ({rows}, {columns}), expected sides of at most {MAX_FRAME}")
    return Frame(x0, y0, rows, columns)


def image_form(shape: Sequence[int], dtype: str) -> None:
    """Raises if the shape or dtype of an image is invalid."""
    _checks.image_dtype(dtype, "image")
    if len(shape) not in (3, 4) or shape[-1] != 3:
        raise ShapeError(f"image: shape {list(shape)}, expected [H, W, 3] or [N, H, W, 3]")
    if 0 in shape:
        raise ShapeError(f"image: shape {list(shape)} has no pixels")


def mask_form(shape: Sequence[int], dtype: str, image: Sequence[int]) -> None:
    """Raises if the shape or dtype of a mask is invalid."""
    _arrays.check_dtype(dtype, "mask", _arrays.MASK_DTYPES)
    if tuple(shape) not in (tuple(image[:-1]), tuple(image[-3:-1])):
        sizes = " or ".join(str(list(size)) for size in dict.fromkeys([tuple(image[:-1]), tuple(image[-3:-1])]))
        raise ShapeError(f"mask: shape {list(shape)}, expected {sizes}; masks are never resized")


def out_form(out: Any, image: Any, overlaps: bool) -> None:
    """Raises if the array for the result is not like image, or overlaps it."""
    if out.shape != image.shape or out.dtype != image.dtype:
        raise ShapeError(
            f"out: {out.dtype.name} of shape {list(out.shape)}, "
            f"expected {image.dtype.name} of {list(image.shape)} as image"
        )
    if overlaps:
        raise ArgumentError("out: overlaps image, expected image itself or other memory")
