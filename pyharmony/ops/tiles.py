"""The Gaussian-Poisson equation for images that do not fit in memory; see docs/gaussian_poisson.md."""

from __future__ import annotations

import math
import numbers
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import _arrays, _checks
from .._arrays import NumpyArray
from .._checks import SolveInfo
from .._native import native
from ..errors import ArgumentError, DTypeError, ShapeError
from ..reference.gaussian_poisson import gaussian_taps
from ..typing import SlicedArray, SlicedT
from .gaussian_poisson import MAX_REFERENCE_SIGMA, MAX_SIGMA, REFERENCE_SIGMAS

__all__ = ["LEAST_TILED_WEIGHT", "Images", "gaussian_poisson_tiles", "tile_sides", "tiles_of"]

#: The least weight for tiles; smaller ones need large margins around a tile.
LEAST_TILED_WEIGHT = 0.25
_MAX_STEPS = 400
_DTYPES = ("uint8", "uint16", "float16", "float32")
#: The default tolerance is at least this number times the smallest error that float32 can prove.
_ROUNDING_MARGIN = 1.5
_BAND = 256  # the number of rows that are checked together before the solve
_SAMPLES = 64


def gaussian_poisson_tiles(
    src: SlicedArray,
    dst: SlicedArray,
    mask: SlicedArray,
    base: SlicedArray,
    out: SlicedT,
    *,
    tile: int | tuple[int, int] = 1024,
    color_weight: float | SlicedArray = 1.0,
    sigma: float = 0.5,
    as_published: bool = False,
    preserve_background: bool = False,
    tolerance: float | None = None,
    return_info: bool = False,
) -> Any:
    """Solves the Gaussian-Poisson equation of an image that does not fit in memory, tile by tile.

    The result is bit-identical to ``gaussian_poisson(method='chebyshev')`` for any tile size. A step of the
    Chebyshev iteration reads one neighbour on each side, so each tile is read with a margin of the number of
    steps plus one pixel, and then has the whole image's values; the number of steps and the
    proven error are those of the whole image.

    Args:
        src, dst, base: [H, W] or [H, W, C] of equal shape, with ``shape``, ``dtype`` and slices
            ``x[y0:y1, x0:x1]`` that numpy.asarray accepts: numpy.memmap, h5py, zarr and the like. src
            and dst have one dtype of uint8, uint16, float16 and float32, base the same or float32.
        mask: [H, W], read likewise; bool, uint8 or uint16 scaled by their range, or floats in [0, 1].
        out: an array like dst, but not dst itself; its slices are assigned to.
        tile: rows and columns that are solved at once, or one number for both. The memory is that of a
            few such tiles with their margins.
        color_weight: a number of at least 0.25, or a map [H, W] of floats, an array like mask. With
            smaller weights every pixel depends on the whole image.
        sigma, as_published, preserve_background: see `gaussian_poisson`.
        tolerance: the largest error allowed, in 8-bit levels (1/255 of the value range), before rounding
            to the dtype. None: 0.25 for uint8, 0.025 for float16 and float32, 0.004 for uint16, or the
            smallest that float32 proves where that is more (0.02 for uint16 at the least weights).
        return_info: also return a SolveInfo, with a proven bound of the error.

    Returns:
        out, or (out, SolveInfo).

    Raises:
        ShapeError, DTypeError, MaskError, ArgumentError: an argument is not accepted; the message names
            it, what was given and what is accepted. out may have been written to in part.

    Warns:
        RuntimeWarning: the tolerance was not proven.

    Example:
        >>> from pyharmony import ops
        >>> dst, src = np.full((64, 64, 3), 60, np.uint8), np.full((64, 64, 3), 200, np.uint8)
        >>> mask = np.zeros((64, 64), np.uint8)
        >>> mask[16:48, 16:48] = 255
        >>> out = np.empty_like(dst)
        >>> result = ops.gaussian_poisson_tiles(src, dst, mask, dst, out, tile=32)
        >>> result is out, out[32, 32].tolist()
        (True, [60, 60, 60])
    """
    start = time.perf_counter()
    _checks.flags(as_published=as_published, preserve_background=preserve_background, return_info=return_info)
    images = Images(src, dst, mask, base, out)
    rows, columns = tile_sides(tile)
    if as_published:
        width = _checks.number(sigma, "sigma", high=MAX_REFERENCE_SIGMA, accepts=REFERENCE_SIGMAS)
    else:
        width = _checks.number(sigma, "sigma", high=MAX_SIGMA, accepts=f"0 to {MAX_SIGMA} pixels")
    w0, w1 = gaussian_taps(width, normalize=not as_published)
    weight, low, high = _weight(color_weight, images.shape)
    excess = [((w0 + 2 * w1) ** 2 - 8 * w1 * w1) * c - 8 * max(0.0, c * w0 * w1 - 1) for c in (low, high)]
    if min(excess) <= 0:
        raise ArgumentError(
            f"color_weight: {high:g} with sigma {width:g}, for which no error can be proven tile by tile; pass a sigma "
            "of at most 0.5, or a smaller weight"
        )
    dtype = images.dtype
    unit = _arrays.VALUE_RANGE[dtype] / 255
    limit = _checks.tolerance(tolerance, dtype)
    images.check_mask()
    corner = images.read(slice(0, 1), slice(0, 1))
    options = {"w0": w0, "w1": w1, "preserve_background": bool(preserve_background)}

    def solver_to(levels: float) -> Any:
        return native.ChebyshevTiles(
            images.shape,
            *(_arrays.view(corner[k], k) for k in ("src", "dst", "base")),
            map=weight is not None,
            least_weight=low,
            most_weight=high,
            range=size,
            tolerance=levels * unit,
            max_steps=_MAX_STEPS,
            **options,
        )

    size = images.range()
    solver = solver_to(limit)
    if tolerance is None and limit * unit < _ROUNDING_MARGIN * solver.rounding:
        limit = _ROUNDING_MARGIN * solver.rounding / unit
        solver = solver_to(limit)
    complete = False
    with native.Memory() as memory:
        while not complete:
            for y, x in tiles_of(images.shape, rows, columns):
                _solve_tile(solver, images, y, x, weight, low, options)
            complete = solver.finish()
    stats = solver.result()
    if not stats["converged"]:
        warnings.warn(
            f"gaussian_poisson_tiles: the error is only known to be below {stats['max_error'] / unit:.3g} levels, "
            f"tolerance {limit:.3g}",
            RuntimeWarning,
            stacklevel=2,
        )
    if not return_info:
        return out
    return out, SolveInfo(
        method="chebyshev",
        iterations=stats["steps"],
        residual=stats["residual"] / unit,
        max_error=stats["max_error"] / unit,
        device="cpu",
        milliseconds=(time.perf_counter() - start) * 1e3,
        peak_bytes=memory.peak,
        clipped=float(stats["clipped"] and stats["clipped"] / images.values_inside(bool(preserve_background))),
    )


class Images:
    """The image arguments [H, W, C] and the mask, read in parts."""

    def __init__(self, src: Any, dst: Any, mask: Any, base: Any, out: Any) -> None:
        self._arrays = {"src": src, "dst": dst, "base": base}
        self._mask, self._out = mask, out
        for x, name in ((src, "src"), (dst, "dst"), (mask, "mask"), (base, "base"), (out, "out")):
            if not all(hasattr(x, a) for a in ("shape", "dtype", "__getitem__")):
                raise DTypeError(f"{name}: {type(x).__name__}, expected an array with shape, dtype and slices")
        self.dtype = np.dtype(dst.dtype).name
        whole = tuple(int(n) for n in dst.shape)
        if len(whole) not in (2, 3) or 0 in whole:
            raise ShapeError(f"dst: shape {list(whole)}, expected [H, W] or [H, W, C] with pixels")
        for x, name in ((src, "src"), (base, "base"), (out, "out")):
            if tuple(x.shape) != whole:
                raise ShapeError(f"{name}: shape {list(x.shape)} differs from dst {list(whole)}")
        if tuple(mask.shape) != whole[:2]:
            raise ShapeError(f"mask: shape {list(mask.shape)}, expected {list(whole[:2])}; masks are never resized")
        self.shape = whole[0], whole[1]
        for name, accepted in (
            ("dst", _DTYPES),
            ("src", (self.dtype,)),
            ("base", (self.dtype, "float32")),
            ("out", (self.dtype,)),
        ):
            x = out if name == "out" else self._arrays[name]
            if np.dtype(x.dtype).name not in accepted:
                raise DTypeError(f"{name}: dtype {np.dtype(x.dtype).name}, expected {' or '.join(accepted)}")
        _arrays.check_dtype(np.dtype(mask.dtype).name, "mask", _arrays.MASK_DTYPES)
        for x, name in ((src, "src"), (dst, "dst"), (mask, "mask"), (base, "base")):
            if isinstance(x, np.ndarray) and isinstance(out, np.ndarray) and np.may_share_memory(x, out):
                raise ArgumentError(f"out: shares memory with {name}; pass another array")

    def read(self, rows: slice, columns: slice) -> dict[str, NumpyArray]:
        """Returns the images [h, w, C] and the mask [h, w] of some rows and columns."""
        images = {name: self._image(name, rows, columns) for name in self._arrays}
        return {**images, "mask": np.asarray(self._mask[rows, columns])}

    def read_dst(self, rows: slice, columns: slice) -> NumpyArray:
        return self._image("dst", rows, columns)

    def _image(self, name: str, rows: slice, columns: slice) -> NumpyArray:
        part = np.asarray(self._arrays[name][rows, columns])
        return part[..., None] if part.ndim == 2 else part

    def write(self, rows: slice, columns: slice, values: NumpyArray) -> None:
        self._out[rows, columns] = values if len(self._out.shape) == 3 else values[..., 0]

    def values_inside(self, pinned: bool) -> int:
        """Returns the number of solved values: those where the mask is above zero, or all."""
        height, width = self.shape
        bands = range(0, height if pinned else 0, _BAND)
        inside = sum(np.count_nonzero(np.asarray(self._mask[y : y + _BAND, 0:width])) for y in bands)
        return (inside if pinned else height * width) * math.prod(self._out.shape[2:])

    def check_mask(self) -> None:
        """Checks the conditions on the values of the whole mask."""
        largest, labels, name = 0, "", np.dtype(self._mask.dtype).name
        for y in range(0, self.shape[0], _BAND):
            part = np.asarray(self._mask[y : y + _BAND, 0 : self.shape[1]])
            if name in ("uint8", "uint16"):
                largest, labels = max(largest, int(part.max())), labels or _checks.labels_in(part)
            elif name != "bool":
                _checks.mask(part, "mask", *part.shape)
        if largest:
            _checks.mask_levels(largest, name, "mask", lambda: labels)

    def range(self) -> float:
        """Returns the largest magnitude of dst's values, for the number of steps; floats are sampled on a grid."""
        dst = self._arrays["dst"]
        if np.dtype(dst.dtype).kind == "u":
            return float(_arrays.VALUE_RANGE[self.dtype])
        step = [max(1, n // _SAMPLES) for n in self.shape]
        largest = 0.0
        for y in range(step[0] // 2, self.shape[0], step[0]):
            row = np.asarray(dst[y : y + 1, 0 : self.shape[1]])[:, step[1] // 2 :: step[1]].astype(np.float64)
            largest = max(largest, float(np.fmax.reduce(np.abs(row), axis=None, initial=0.0)))
        return largest


def tile_sides(tile: Any) -> tuple[int, int]:
    """Returns the validated rows and columns of a tile."""
    sides = tile if isinstance(tile, (tuple, list)) else (tile, tile)
    accepts = "expected a number of pixels, at least 16, or (rows, columns)"
    if len(sides) != 2 or not all(isinstance(n, numbers.Integral) and not isinstance(n, bool) for n in sides):
        raise DTypeError(f"tile: {_checks.shortened(tile)}, {accepts}")
    if min(sides) < 16:
        raise ArgumentError(f"tile: {_checks.shortened(tile)}, {accepts}")
    return int(sides[0]), int(sides[1])


def _weight(x: Any, shape: tuple[int, int]) -> tuple[Any, float, float]:
    """Returns the map or None, and the smallest and the largest weight."""
    accepts = f"a finite number of at least {LEAST_TILED_WEIGHT:g}"
    advice = "; with smaller ones each pixel depends on the whole image, use gaussian_poisson"
    if isinstance(x, numbers.Real):
        weight = _checks.number(
            x, "color_weight", low=LEAST_TILED_WEIGHT, high=_checks.MAX_COLOR_WEIGHT, accepts=accepts + advice
        )
        return None, weight, weight
    if not all(hasattr(x, a) for a in ("shape", "dtype", "__getitem__")) or np.dtype(x.dtype).kind != "f":
        raise DTypeError(f"color_weight: {type(x).__name__}, expected {accepts}, or a map of floats")
    if tuple(x.shape) != shape:
        raise ShapeError(f"color_weight: a map of shape {list(x.shape)}, expected {list(shape)}")
    low, high = np.inf, -np.inf
    for y in range(0, shape[0], _BAND):
        part = np.asarray(x[y : y + _BAND, 0 : shape[1]])
        low, high = min(low, float(part.min())), max(high, float(part.max()))
        if (
            not (part >= np.float32(LEAST_TILED_WEIGHT)).all() or not high <= _checks.MAX_COLOR_WEIGHT
        ):  # NaN is refused too
            raise ArgumentError(
                f"color_weight: values from {float(part.min()):g} to {float(part.max()):g}, expected {accepts}{advice}"
            )
    if low == high:
        return None, low, high
    return x, float(np.float32(low)), float(np.float32(high))


def tiles_of(shape: tuple[int, int], rows: int, columns: int) -> Iterator[tuple[slice, slice]]:
    """Yields rows and columns of each tile of an image of that shape."""
    for y in range(0, shape[0], rows):
        for x in range(0, shape[1], columns):
            yield slice(y, min(y + rows, shape[0])), slice(x, min(x + columns, shape[1]))


def _solve_tile(
    solver: Any, images: Images, y: slice, x: slice, weight: Any, least: float, options: dict[str, Any]
) -> None:
    """Solves and writes one tile."""
    halo = solver.steps + 1
    rows = slice(max(y.start - halo, 0), min(y.stop + halo, images.shape[0]))
    columns = slice(max(x.start - halo, 0), min(x.stop + halo, images.shape[1]))
    parts = images.read(rows, columns)
    crop = None if weight is None else np.ascontiguousarray(weight[rows, columns], np.float32)
    inner = slice(y.start - rows.start, y.stop - rows.start), slice(x.start - columns.start, x.stop - columns.start)
    result = np.empty((y.stop - y.start, x.stop - x.start, parts["dst"].shape[2]), parts["dst"].dtype)
    if options["preserve_background"] and not (parts["mask"][inner] > 0).any():
        result[...] = parts["dst"][inner]
    else:
        finite = solver.run(
            *(_arrays.view(parts[k], k) for k in ("src", "dst", "mask", "base")),
            weight_map=None if crop is None else _arrays.view(crop, "color_weight"),
            weight=least,
            y0=inner[0].start,
            x0=inner[1].start,
            out=_arrays.view(result, "out", writable=True),
            **options,
        )
        if not finite:
            region = parts["mask"] if options["preserve_background"] else None
            for name in ("src", "dst", "base"):
                _checks.finite(parts[name], name, region, (rows.start, columns.start))
    images.write(y, x, result)
