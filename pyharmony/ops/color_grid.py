"""An affine map of colours, curves and a slice of a bilateral grid in one pass, mixed in by a mask.

See `pyharmony.reference.color_grid` for the definition.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _arrays, _checks, _cuda
from .._arrays import NumpyArray
from .._native import native
from ..errors import ArgumentError, DTypeError, ShapeError
from ..typing import Array, ArrayT

#: The most rows and columns of a grid, its deepest, the most knots of curves, and the longest side of a frame.
MAX_CELLS, MAX_DEPTH, MAX_KNOTS, MAX_FRAME = 256, 64, 256, (1 << 24) - 1

#: The parts of a map: the axes behind those of the batch, and what they may be.
PARTS = {
    "affine": (2, "[3, 4]"),
    "curves": (3, f"[3, 3, K] with K from 2 to {MAX_KNOTS}"),
    "grid": (5, f"[Gh, Gw, D, 3, 4] with Gh and Gw from 1 to {MAX_CELLS}, D from 1 to {MAX_DEPTH}"),
}


def _fits(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a part without the axis of the batch may have this shape."""
    if name == "affine":
        return shape == (3, 4)
    if name == "curves":
        return shape[:2] == (3, 3) and 2 <= shape[2] <= MAX_KNOTS
    in_range = all(1 <= n <= high for n, high in zip(shape, (MAX_CELLS, MAX_CELLS, MAX_DEPTH), strict=False))
    return in_range and shape[3:] == (3, 4)


def part_form(shape: Sequence[int], name: str, count: int | None) -> None:
    """Refuses what a part of a map cannot be by its shape; count is that of a batch, None of one image."""
    ndim, accepts = PARTS[name]
    given = tuple(shape)
    batch = len(given) == ndim + 1 and count is not None
    if not (batch or len(given) == ndim) or not _fits(name, given[-ndim:]):
        raise ShapeError(
            f"{name}: shape {list(given)}, expected {accepts}" + ("" if count is None else ", or [N, ...]")
        )
    if batch and given[0] != count:
        raise ShapeError(f"{name}: shape {list(given)} is of {given[0]} maps, and image of {count} images")


@dataclass(frozen=True)
class Frame:
    """Where an image lies in the frame of its grid.

    Attributes:
        x0, y0: its first pixel.
        height, width: of the frame.
    """

    x0: int
    y0: int
    height: int
    width: int

    @property
    def values(self) -> tuple[int, int, int, int]:
        return self.x0, self.y0, self.height, self.width


def _pair(x: Any, name: str, accepts: str) -> tuple[int, int]:
    try:
        first, second = (operator.index(n) for n in x)
    except (TypeError, ValueError):
        raise ArgumentError(f"{name}: {x!r}, expected {accepts}") from None
    return first, second


def frame_of(origin: Any, frame: Any, height: int, width: int) -> Frame:
    """The frame of an image of that size, checked."""
    x0, y0 = _pair(origin, "origin", "(x, y), whole numbers of pixels")
    if frame is None:
        frame = (y0 + height, x0 + width)
        if (x0, y0) != (0, 0):
            raise ArgumentError(f"frame: None with origin {(x0, y0)}, expected (H, W) of the whole image")
    rows, columns = _pair(frame, "frame", "(H, W), whole numbers of pixels")
    if min(x0, y0) < 0 or x0 + width > columns or y0 + height > rows:
        raise ArgumentError(
            f"frame: ({rows}, {columns}) does not hold an image of {height} x {width} pixels at origin {(x0, y0)}"
        )
    if max(rows, columns) > MAX_FRAME:
        raise ArgumentError(f"frame: ({rows}, {columns}), expected sides of at most {MAX_FRAME}")
    return Frame(x0, y0, rows, columns)


def image_form(shape: Sequence[int], dtype: str) -> None:
    """Refuses what image cannot be by its shape and dtype."""
    if dtype == "bool":
        raise DTypeError("image: a bool image; convert it to uint8 (0 and 255) or float32 first")
    if dtype not in _arrays.IMAGE_DTYPES:
        raise DTypeError(f"image: dtype {dtype} is not supported, use one of {', '.join(_arrays.IMAGE_DTYPES)}")
    if len(shape) not in (3, 4) or shape[-1] != 3:
        raise ShapeError(f"image: shape {list(shape)}, expected [H, W, 3] or [N, H, W, 3]")
    if 0 in shape:
        raise ShapeError(f"image: shape {list(shape)} has no pixels")


def mask_form(shape: Sequence[int], dtype: str, image: Sequence[int]) -> None:
    """Refuses what mask cannot be by its shape and dtype."""
    if dtype not in _arrays.MASK_DTYPES:
        raise DTypeError(f"mask: dtype {dtype} is not supported, use one of {', '.join(_arrays.MASK_DTYPES)}")
    if tuple(shape) not in (tuple(image[:-1]), tuple(image[-3:-1])):
        sizes = " or ".join(str(list(size)) for size in dict.fromkeys([tuple(image[:-1]), tuple(image[-3:-1])]))
        raise ShapeError(f"mask: shape {list(shape)}, expected {sizes}; masks are never resized")


def _mask(mask: Any, image: NumpyArray) -> NumpyArray | None:
    """A mask as [N, H, W], or None."""
    if mask is None:
        return None
    m = _arrays.to_numpy(mask, "mask")
    mask_form(m.shape, _arrays.dtype_name(m), image.shape)
    height, width = image.shape[-3:-1]
    _checks.mask(m.reshape(-1, width), "mask", m.size // width, width)  # its values
    count = image.shape[0] if image.ndim == 4 else 1
    return m if m.ndim == 3 else np.broadcast_to(m, (count, height, width))


def _part(x: Any, name: str, image: NumpyArray) -> NumpyArray | None:
    """A part of a map with an axis of the batch, in the type that the kernels calculate in; or None."""
    if x is None:
        return None
    real = np.float64 if image.dtype == np.float64 else np.float32
    if _arrays.is_torch(x):  # NumPy has no bfloat16
        x = x.detach().double() if real is np.float64 else x.detach().float()
        x = _arrays.to_numpy(x, name)
    try:
        a = np.ascontiguousarray(x, real)
    except (TypeError, ValueError) as error:
        raise DTypeError(f"{name}: {type(x).__name__}, expected an array of numbers") from error
    part_form(a.shape, name, image.shape[0] if image.ndim == 4 else None)
    if not np.isfinite(a).all():
        raise ArgumentError(f"{name}: holds NaN or an infinity, expected finite numbers")
    return a if a.ndim == PARTS[name][0] + 1 else a[None]


def parts_of(image: NumpyArray, affine: Any, curves: Any, grid: Any) -> tuple[Any, Any, Any, int]:
    """The parts as kernels take them, contiguous or None, and the rows of the grid."""
    a, c, g = (_part(x, name, image) for name, x in (("affine", affine), ("curves", curves), ("grid", grid)))
    return a, _flat(c, 3), _flat(g, 5), 1 if g is None else g.shape[1]


def _flat(x: Any, ndim: int) -> Any:
    """Curves as [M, 9, K], a grid as [M Gh, Gw, D, 12]."""
    if x is None:
        return None
    return x.reshape(len(x), 9, -1) if ndim == 3 else x.reshape(-1, *x.shape[2:4], 12)


def optional_view(x: NumpyArray | None, name: str) -> Any:
    return None if x is None else _arrays.view(x, name)


def as_batch(a: NumpyArray) -> NumpyArray:
    return a if a.ndim == 4 else a[None]


def _target(out: Any, image: NumpyArray) -> NumpyArray:
    """Where the result goes."""
    if out is None:
        return np.empty(image.shape, image.dtype)
    a = _arrays.to_numpy(out, "out", writable=True)
    if a.shape != image.shape or a.dtype != image.dtype:
        raise ShapeError(
            f"out: {a.dtype.name} of shape {list(a.shape)}, expected {image.dtype.name} of {list(image.shape)} as image"
        )
    if not a.flags.writeable:
        raise ArgumentError("out: read-only, expected memory that may be written")
    same = a.ctypes.data == image.ctypes.data and a.strides == image.strides
    if not same and np.may_share_memory(a, image):
        raise ArgumentError("out: overlaps image, expected image itself or other memory")
    return a


def color_grid(
    image: ArrayT,
    mask: Array | None = None,
    *,
    grid: Array | None = None,
    affine: Array | None = None,
    curves: Array | None = None,
    origin: tuple[int, int] = (0, 0),
    frame: tuple[int, int] | None = None,
    out: Array | None = None,
) -> ArrayT:
    """image + mask · (f(image) - image) for an affine map with curves, and a map that varies with place and luma.

    f(x) = affine [x; 1] + curves(x) + grid(place, luma) [x; 1], with x in [0, 1] (integers divided by their range) and
    the grid interpolated linearly along its three axes. f(x) may not lie further outside [0, 1] than x: colours of
    [0, 1] stay there, brighter ones of floats are held to what they were, and the identity changes nothing.
    Calculated in float32, of float64 images in float64, in one pass, without memory of the size of the image. Results
    are the same to the bit for any number of threads, and for tiles with an origin and a frame. Gradients of any order
    flow to a tensor image of floats, its mask and the parts of the map.

    Runs where image is: on a CUDA device with kernels on the current stream, which take all image dtypes but float64;
    mask and map have to be there as well, and their values are not read.

    Args:
        image: [H, W, 3] or [N, H, W, 3], any image dtype and strides.
        mask: [H, W] or [N, H, W], bool, uint8 or uint16 scaled by their range, or floats in [0, 1]; None: ones.
        grid: [Gh, Gw, D, 3, 4], an affine map for each cell of the frame and of luma, added to `affine`; Gh and Gw from
            1 to 256, D from 1 to 64. None: zero.
        affine: [3, 4]. None: [I | 0].
        curves: [3, 3, K], of each result (first) and each channel of the image the values at K equal steps from 0 to 1,
            linear between, K from 2 to 256; channels beyond [0, 1] have the value of the end. None: zero.
        origin: (x, y) of image in the frame.
        frame: (H, W) of the whole image, whose sides the grid spans, at most 2^24 - 1. None: those of image.
        out: where the result goes: like image, or image itself. None: new memory.

        Each part of the map may have N in front, one for each image of a batch.

    Returns:
        Of image's kind, shape and dtype, integers rounded half to even and clamped. Where the mask is zero it is image,
        bit for bit. A pixel with NaN in image is NaN.

    Raises:
        ShapeError, DTypeError, MaskError: image, mask, a part of the map or out is none that fits.
        ArgumentError: a part of the map is not finite, image does not lie in the frame, out overlaps it.
        DeviceError: arrays are in different places, or their device cannot be used.

    Source: Gharbi et al., "Deep Bilateral Learning for Real-Time Image Enhancement", 2017, section 3.3 (the grid).

    Example:
        >>> from pyharmony import ops
        >>> image = np.full((4, 4, 3), 100, np.uint8)
        >>> affine = np.array([[0.5, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]], np.float32)
        >>> ops.color_grid(image, affine=affine)[0, 0].tolist()
        [50, 100, 100]
    """
    if _arrays.in_graph(image, mask, grid, affine, curves):
        from . import _color_grid_torch

        of_tensors: Any = _color_grid_torch.color_grid
        return of_tensors(image, mask, affine, curves, grid, origin, frame, out)
    given = {"image": image, "mask": mask, "affine": affine, "curves": curves, "grid": grid, "out": out}
    place = _cuda.place_of(given, None) if any(_cuda.is_device_array(x) for x in given.values()) else None
    if place is not None:
        from . import _color_grid_cuda

        return _color_grid_cuda.color_grid(place, image, mask, affine, curves, grid, origin, frame, out)
    a = _arrays.to_numpy(image, "image")
    image_form(a.shape, _arrays.dtype_name(a))
    m = _mask(mask, a)
    at = frame_of(origin, frame, *a.shape[-3:-1])
    parts = parts_of(a, affine, curves, grid)
    result = _target(out, a)
    run(as_batch(a), m, parts, at, as_batch(result))
    given_out: Any = out
    return _arrays.like_kind(result, image) if out is None else given_out


def run(image: NumpyArray, mask: NumpyArray | None, parts: Any, place: Frame, out: NumpyArray) -> None:
    """The native call, of what is checked already; out may be image."""
    affine, curves, grid, rows = parts
    native.color_grid(
        _arrays.view(image, "image"), optional_view(mask, "mask"), optional_view(affine, "affine"),
        optional_view(curves, "curves"), optional_view(grid, "grid"), rows, place.values,
        _arrays.view(out, "out", writable=True),
    )  # fmt: skip


def run_gradient(arrays: Any, place: Frame, grad: NumpyArray, needs: Any) -> list[NumpyArray | None]:
    """Gradients of image, mask, affine, curves and grid, of each image of the batch; None where none is needed."""
    image, mask, *parts = arrays
    batch = as_batch(image)
    count, height, width = batch.shape[:3]
    real = np.float64 if image.dtype == np.float64 else np.float32
    m = None if mask is None else mask if mask.ndim == 3 else np.broadcast_to(mask, (count, height, width))
    affine, curves, grid, rows = parts_of(image, *parts)
    shapes = [(count, height, width), *(None if x is None else (count, *x.shape[-PARTS[name][0] :])
              for x, name in zip(parts, PARTS, strict=True))]  # fmt: skip
    made = [np.empty(batch.shape, image.dtype) if needs[0] else None]
    made += [np.empty(shape, real) if need and shape else None for shape, need in zip(shapes, needs[1:], strict=True)]
    views = [
        None if x is None else _arrays.view(x.reshape(-1) if i > 1 else x, "gradient", writable=True)
        for i, x in enumerate(made)
    ]
    native.color_grid_gradient(
        _arrays.view(batch, "image"), optional_view(m, "mask"), optional_view(affine, "affine"),
        optional_view(curves, "curves"), optional_view(grid, "grid"), rows, place.values,
        _arrays.view(as_batch(grad), "grad"), *views,
    )  # fmt: skip
    return made
