"""Gaussian-Poisson blending of images that do not fit in memory."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import _arrays, _checks
from .._arrays import NumpyArray
from .._images.call import solved
from .._images.frame import direct_info
from .._images.limit import limit_change, mask_facts, warn_of_faint
from .._images.region import STRIP, Region, bounding_box, close_strips, covered_by, regions_of, to_border
from .._native import native
from .._warnings import warn
from ..errors import Reason, ShapeError, UnchangedWarning
from ..ops.gaussian_poisson import MAX_SIGMA
from ..ops.pyramid import MAX_SMOOTH_SIGMA, downsample, halve_mask, meet_known, upsample
from ..ops.tiles import LEAST_TILED_WEIGHT, Images, tile_sides, tiles_of
from ..ops.tiles import gaussian_poisson_tiles as solve_tiles
from ..typing import PathLike, SlicedArray, SlicedT
from ._pyramid import coarse_tolerance_of, first_base
from ._solve import Level, solve_gaussian_poisson

#: Levels of at most this many pixels are stored in memory, larger ones in files.
IN_MEMORY = 1 << 21
_BAND = 128  # the rows that are halved at once
_REACH = 6  # the margin of an upsampled part: 3 pixels to match known ones, 4 for the cubic; it has to be even


def gaussian_poisson_tiles(
    src: SlicedArray,
    dst: SlicedArray,
    mask: SlicedArray,
    out: SlicedT,
    *,
    tile: int | tuple[int, int] = 1024,
    color_weight: float = 1.0,
    sigma: float = 0.5,
    smooth_sigma: float = 1.0,
    preserve_background: bool = True,
    tolerance: float | None = None,
    folder: PathLike | None = None,
    return_info: bool = False,
) -> Any:
    """Computes `gaussian_poisson` tile by tile, with the same result, for images that do not fit in memory.

    The pyramid's levels are stored in separate files, float32, some 12 bytes per pixel of the mask's box in
    all, and each is solved in tiles (`pyharmony.ops.gaussian_poisson_tiles`), bit-identical to a
    solve of the whole level.

    Args:
        src, dst, mask, out: arrays of equal height and width with ``shape``, ``dtype`` and slices, such as
            numpy.memmap, h5py and zarr: [H, W] or [H, W, C], of uint8, uint16, float16 or float32;
            mask [H, W], see `pyharmony.blend`. out is another array like dst, and is written to.
        tile: the rows and columns that are solved at once, or one number for both.
        color_weight: how strongly colours are pulled to the base, the membrane; a number of at least 0.25.
        sigma, smooth_sigma, preserve_background, tolerance: see `gaussian_poisson`.
        folder: the folder for the temporary files of the levels. None: the system's folder for temporary files.
        return_info: whether to return the SolveInfo of the finest level, too.

    Returns:
        out, or (out, info).

    Raises:
        PyHarmonyError: see `pyharmony.blend`.

    Example:
        >>> from pyharmony import blend
        >>> dst = np.full((64, 64, 3), 60, np.uint8)
        >>> src = dst + 100
        >>> mask = np.zeros((64, 64), np.uint8)
        >>> mask[16:48, 16:48] = 255
        >>> out = np.lib.format.open_memmap("result.npy", "w+", dst.dtype, dst.shape)
        >>> result = blend.gaussian_poisson_tiles(src, dst, mask, out, tile=32)
        >>> result is out, result[32, 32].tolist()
        (True, [60, 60, 60])
    """
    start = time.perf_counter()
    _checks.flags(preserve_background=preserve_background, return_info=return_info)
    images = Images(src, dst, mask, dst, out)
    if len(dst.shape) == 3 and dst.shape[2] not in (1, 3):
        raise ShapeError(
            f"dst: shape {list(dst.shape)}, expected 1 or 3 channels; alpha is a mask here, and "
            "pyharmony.ops supports any number of channels"
        )
    tile_sides(tile)
    options = {
        "sigma": _checks.number(sigma, "sigma", high=MAX_SIGMA, accepts=f"0 to {MAX_SIGMA} pixels"),
        "preserve_background": bool(preserve_background),
        "color_weight": _checks.number(
            color_weight,
            "color_weight",
            low=LEAST_TILED_WEIGHT,
            high=_checks.MAX_COLOR_WEIGHT,
            accepts=f"a number of at least {LEAST_TILED_WEIGHT:g}; below it each pixel depends on the whole image",
        ),
    }
    smoothing = _checks.number(smooth_sigma, "smooth_sigma", high=MAX_SMOOTH_SIGMA, accepts="a number from 0 to 16")
    limit = _checks.tolerance(tolerance, images.dtype)
    images.check_mask()
    bbox = _bounding_box(mask, images.shape)
    _warn_of_faint(mask, bbox)
    closed_mask = _ClosedMask(mask)
    if to_border(bbox, images.shape).shape != images.shape or _OutsideMask(closed_mask).anywhere():
        mask, bbox = closed_mask, to_border(bbox, images.shape)
    regions = [Region(0, 0, 0, 0)]
    if not (bbox.empty and preserve_background):
        regions = regions_of(bbox, images.shape, not preserve_background)
    _copy_around(images, regions[0])
    if regions[0].empty:
        reason = Reason("mask-empty", "mask is zero everywhere", mask="mask")
        warn(UnchangedWarning.because("nothing was blended: ", reason))
        return (out, dataclasses.replace(direct_info("copy"), reason=reason)) if return_info else out
    within = None if folder is None else _checks.folder(folder, "folder")
    with tempfile.TemporaryDirectory(dir=within) as place, native.Memory() as memory:
        pyramid = _Pyramid(images, (src, dst, mask, out), regions, Path(place), smoothing)
        info = pyramid.solve(tile, limit, tolerance, options)
    if preserve_background:
        _limit(src, dst, mask, out, bbox)
    milliseconds = (time.perf_counter() - start) * 1e3
    info = dataclasses.replace(info, milliseconds=milliseconds, peak_bytes=memory.peak)
    if warning := solved("blended")(info):
        warn(warning)
    return (out, info) if return_info else out


class _View:
    """A view of a region of an array, as an array [h, w, C] or [h, w]."""

    def __init__(self, array: Any, region: Region, *, image: bool) -> None:
        self._array, self._region = array, region
        self._image = image
        self.dtype = np.dtype(array.dtype)
        self.shape = (*region.shape, *((1,) if image and len(array.shape) == 2 else array.shape[2:]))

    def _there(self, region: Region) -> Region:
        return _moved(region, self._region.y0, self._region.x0)

    def __getitem__(self, key: tuple[slice, slice]) -> NumpyArray:
        part = np.asarray(self._there(_region_of(key, self.shape)).of(self._array))
        return part[..., None] if self._image and part.ndim == 2 else part

    def __setitem__(self, key: tuple[slice, slice], values: NumpyArray) -> None:
        y0, y1, x0, x1 = dataclasses.astuple(self._there(_region_of(key, self.shape)))
        self._array[y0:y1, x0:x1] = values[..., 0] if len(self._array.shape) == 2 else values

    def part(self, region: Region) -> _View:
        return _View(self._array, self._there(region), image=self._image)

    def whole(self) -> NumpyArray:
        return self[slice(0, self.shape[0]), slice(0, self.shape[1])]


def _region_of(key: tuple[slice, slice], shape: Sequence[int]) -> Region:
    """Returns the region of an array of this shape that two slices select."""
    (y0, y1, _), (x0, x1, _) = (k.indices(n) for k, n in zip(key, shape, strict=False))
    return Region(y0, y1, x0, x1)


def _moved(region: Region, y: int, x: int) -> Region:
    return Region(region.y0 + y, region.y1 + y, region.x0 + x, region.x1 + x)


class _ClosedMask:
    """A mask including the strips of `close_strips`."""

    def __init__(self, mask: Any) -> None:
        self._mask, self.shape, self.dtype = mask, tuple(mask.shape), np.dtype(mask.dtype)

    def __getitem__(self, key: tuple[slice, slice]) -> NumpyArray:
        part = _region_of(key, self.shape)
        # A pixel of a strip gets a value at most STRIP pixels away, in each direction.
        around = part.expand(STRIP, self.shape)
        return part.of(close_strips(np.asarray(around.of(self._mask)), around, self.shape), (around.y0, around.x0))


class _OutsideMask:
    """An array that is True where a mask is zero."""

    def __init__(self, mask: Any) -> None:
        self._mask, self.shape, self.dtype = mask, mask.shape, np.dtype(bool)

    def __getitem__(self, key: tuple[slice, slice]) -> NumpyArray:
        return np.asarray(self._mask[key]) == 0

    def anywhere(self) -> bool:
        height, width = self.shape
        return any(self[slice(y, y + _BAND), slice(0, width)].any() for y in range(0, height, _BAND))


class _UpsampledColors:
    """The upsampled colours of a level, adjusted to match the known pixels of the finer one."""

    def __init__(self, coarse: _View, shape: tuple[int, int], dst: _View, known_share: _View | None) -> None:
        self._coarse, self._dst, self._known_share = coarse, dst, known_share
        self.shape, self.dtype = (*shape, coarse.shape[2]), np.dtype(np.float32)

    def __getitem__(self, key: tuple[slice, slice]) -> NumpyArray:
        part = _region_of(key, self.shape)
        under = part.expand(_REACH, self.shape).halved()
        around = covered_by([part, under], self.shape[:2])
        colours = upsample(np.ascontiguousarray(under.of(self._coarse)), around.shape)
        if self._known_share is not None:
            meet_known(colours, around.of(self._dst), np.ascontiguousarray(around.of(self._known_share)))
        return part.of(colours, (around.y0, around.x0))


class _Pyramid:
    """The levels of `pyharmony.blend._gaussian_poisson`, in memory or in files."""

    def __init__(
        self, images: Images, arrays: Sequence[Any], regions: list[Region], place: Path, smoothing: float
    ) -> None:
        src, dst, mask, self._out = arrays
        self._regions, self._place, self._smoothing = regions, place, smoothing
        self._frame = covered_by(regions, images.shape)
        self._unit = _arrays.VALUE_RANGE[images.dtype]
        known_share = _View(_OutsideMask(mask), self._frame, image=False)
        parts = [_View(x, self._frame, image=True) for x in (src, dst)]
        self._levels = [[*parts, _View(mask, self._frame, image=False), known_share]]
        self._anything_known = False
        for k in range(1, len(regions)):
            self._levels.append(self._halve(k, self._levels[-1]))
        if len(regions) == 1:
            self._anything_known = bool(known_share.whole().any())

    def _array(self, name: str, shape: tuple[int, ...]) -> Any:
        if shape[0] * shape[1] <= IN_MEMORY:
            return np.zeros(shape, np.float32)
        return np.memmap(self._place / name, np.float32, "w+", shape=shape)

    def _halve(self, k: int, finer: list[_View]) -> list[_View]:
        """Returns src, dst, mask and the known share of level k, computed band by band."""
        height, width = finer[0].shape[:2]
        shape = (height + 1) // 2, (width + 1) // 2
        result = [self._array(f"{k}-{i}", (*shape, *part.shape[2:])) for i, part in enumerate(finer)]
        reach = int(4 * self._smoothing + 0.5) + 2 & ~1
        for y in range(0, height, _BAND):
            stop = min(y + _BAND, height)
            top, bottom = max(y - reach, 0), min(stop + reach, height)
            rows = slice(y // 2, (stop + 1) // 2)
            inner = slice((y - top) // 2, (y - top) // 2 + rows.stop - rows.start)
            for i in (0, 1):
                band = finer[i][slice(top, bottom), slice(0, width)]
                if k == 1:
                    _checks.finite(band, ("src", "dst")[i], None, (self._frame.y0 + top, self._frame.x0))
                result[i][rows] = downsample(band, self._smoothing)[inner]
            for i in (2, 3):
                band = finer[i][slice(y, stop), slice(0, width)]
                self._anything_known |= i == 3 and k == 1 and bool(band.any())
                result[i][rows] = halve_mask(band)
        whole = Region(0, shape[0], 0, shape[1])
        return [_View(a, whole, image=i < 2) for i, a in enumerate(result)]

    def solve(self, tile: Any, limit: float, tolerance: float | None, options: dict[str, Any]) -> _checks.SolveInfo:
        count = len(self._regions) - 1
        coarse_tolerance, unit = coarse_tolerance_of(limit), self._unit
        last = self._levels[-1]
        src, dst, mask, known_share = (part.whole() for part in last)
        level = Level(src, dst, mask, known_share, 0.0)
        only_src = not self._anything_known
        colours: Any = first_base(level, None, only_src, coarse_tolerance, unit, None, coarse=count > 0)
        for k in range(count, -1, -1):
            region = self._regions[k]
            source, ground, inside, _ = self._parts(region, k)
            if k > 0 and not isinstance(self._levels[k][0]._array, np.memmap):
                result = np.empty((*region.shape, ground.shape[2]), np.float32)
                solve_gaussian_poisson(
                    Level(source.whole(), ground.whole(), inside.whole(), None, options["color_weight"]),
                    np.asarray(colours[slice(0, region.shape[0]), slice(0, region.shape[1])]),
                    result,
                    sigma=options["sigma"],
                    pinned=options["preserve_background"],
                    tolerance=coarse_tolerance,
                    unit=unit,
                )
            else:
                into: Any = _View(self._out, region, image=True)
                if k > 0:
                    into = self._array(f"{k}-x", (*region.shape, ground.shape[2]))
                allowed = tolerance if k == 0 else coarse_tolerance * unit
                result, info = solve_tiles(
                    source, ground, inside, colours, into, tile=tile, tolerance=allowed, return_info=True, **options
                )
            if k > 0:
                finer = self._regions[k - 1]
                coarse = _View(result, _moved(finer.halved(), -region.y0, -region.x0), image=True)
                meets = options["preserve_background"] and self._anything_known
                below = self._parts(finer, k - 1)
                colours = _UpsampledColors(coarse, finer.shape, below[1], below[3] if meets else None)
        return info

    def _parts(self, region: Region, k: int) -> list[_View]:
        """Returns the views of level k over a region; its first stored pixel is that of the frame."""
        local = _moved(region, -(self._frame.y0 >> k), -(self._frame.x0 >> k))
        return [part.part(local) for part in self._levels[k]]


def _bounding_box(mask: Any, shape: tuple[int, int]) -> Region:
    bbox = Region(shape[0], 0, shape[1], 0)
    for y in range(0, shape[0], _BAND):
        box = bounding_box(np.asarray(mask[y : y + _BAND, 0 : shape[1]]))
        if not box.empty:
            bbox = Region(
                min(bbox.y0, box.y0 + y), max(bbox.y1, box.y1 + y), min(bbox.x0, box.x0), max(bbox.x1, box.x1)
            )
    return Region(0, 0, 0, 0) if bbox.empty else bbox


def _warn_of_faint(mask: Any, box: Region) -> None:
    rows = range(box.y0, box.y1, _BAND)
    facts = [mask_facts(np.asarray(mask[y : min(y + _BAND, box.y1), box.x0 : box.x1])) for y in rows]
    warn_of_faint(sum(f.inside for f in facts), sum(f.faint for f in facts), np.dtype(mask.dtype).name, "mask")


def _limit(src: Any, dst: Any, mask: Any, out: Any, box: Region) -> None:
    """Limits the change of dst in out to the mask's share of the range, where it is soft, band by band."""
    for y in range(box.y0, box.y1, _BAND):
        band = Region(y, min(y + _BAND, box.y1), box.x0, box.x1)
        mask_band = np.asarray(mask[band.y0 : band.y1, band.x0 : band.x1])
        if mask_facts(mask_band).soft:
            source, ground, result = (_View(x, band, image=True).whole() for x in (src, dst, out))
            result = np.array(result)
            limit_change(source, ground, mask_band, result)
            _View(out, band, image=True)[slice(0, band.shape[0]), slice(0, band.shape[1])] = result


def _copy_around(images: Images, region: Region) -> None:
    """Copies dst to out, except for the tiles inside the region."""
    for rows, columns in tiles_of(images.shape, 1024, 1024):
        if not region.contains(Region(rows.start, rows.stop, columns.start, columns.stop)):
            images.write(rows, columns, images.read_dst(rows, columns))
