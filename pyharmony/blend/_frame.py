"""One frame for source, mask and destination: what every blend does before and after its own work.

A `Frame` takes the caller's arrays as they are, checks them, and lays each source over its
destination. A `Job` is one such pair as numpy [H, W, C] views; the blends read crops of it and
write into its target. Regions are in pixels of the destination.
"""

from __future__ import annotations

import dataclasses
import numbers
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _arrays, _checks
from .._arrays import Array, NumpyArray
from ..errors import ArgumentError, DTypeError, ShapeError
from ..ops.pyramid import downsample, halve_mask, upsample
from ._memory import Memory

CHANNELS = (1, 3, 4)


def direct_info(method: str) -> _checks.SolveInfo:
    """What a blend reports that solves nothing, such as 'copy' where no pixel is inside."""
    return _checks.SolveInfo(method, 0, 0.0, 0.0, "cpu", 0.0, 0)


def timed(info: _checks.SolveInfo, start: float, job: Job) -> _checks.SolveInfo:
    """info with the wall time since start and the memory of the whole item."""
    return dataclasses.replace(info, milliseconds=(time.perf_counter() - start) * 1e3, peak_bytes=job.memory.peak)


@dataclass(frozen=True)
class Region:
    """Rows y0..y1 and columns x0..x1, ends excluded."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def empty(self) -> bool:
        return self.y0 >= self.y1 or self.x0 >= self.x1

    @property
    def shape(self) -> tuple[int, int]:
        return self.y1 - self.y0, self.x1 - self.x0

    def expand(self, pixels: int, shape: Sequence[int]) -> Region:
        """With that many pixels around it, as far as an image of that shape has them."""
        return Region(
            max(self.y0 - pixels, 0),
            min(self.y1 + pixels, shape[0]),
            max(self.x0 - pixels, 0),
            min(self.x1 + pixels, shape[1]),
        )

    def overlap(self, other: Region) -> Region:
        return Region(max(self.y0, other.y0), min(self.y1, other.y1), max(self.x0, other.x0), min(self.x1, other.x1))

    def contains(self, other: Region) -> bool:
        return self.overlap(other) == other

    def of(self, array: NumpyArray, origin: tuple[int, int] = (0, 0)) -> NumpyArray:
        """The view of an array whose first pixel is at origin (y, x)."""
        return array[self.y0 - origin[0] : self.y1 - origin[0], self.x0 - origin[1] : self.x1 - origin[1]]


@dataclass
class Job:
    """One source over one destination.

    Attributes:
        src: colours [h, w, C], cut to what lies inside dst.
        dst: colours [H, W, C].
        mask: [h, w], that of the caller times the alpha of src.
        holes: [h, w] bool, where src has no colour because its alpha is zero; None where it has
            colour everywhere.
        placed: where src lies in dst.
        shift: (y, x) of the first pixel of the caller's src in dst.
        bbox: the smallest region that holds every mask pixel above zero; may be empty.
        out: colours [H, W, C] of the result, unwritten.
        out_alpha, dst_alpha: [H, W], where dst has alpha.
        memory: what the blend of this item holds beside the caller's arrays.
    """

    src: NumpyArray
    dst: NumpyArray
    mask: NumpyArray
    holes: NumpyArray | None
    placed: Region
    shift: tuple[int, int]
    bbox: Region
    out: NumpyArray
    out_alpha: NumpyArray | None
    dst_alpha: NumpyArray | None
    memory: Memory

    @property
    def shape(self) -> tuple[int, int]:
        return self.dst.shape[0], self.dst.shape[1]

    @property
    def real(self) -> type:
        """The float type for work on this dtype."""
        return np.float64 if self.dst.dtype == np.float64 else np.float32

    @property
    def in_place(self) -> bool:
        """Whether out is dst itself."""
        return bool(self.out.__array_interface__["data"] == self.dst.__array_interface__["data"])

    def start(self) -> NumpyArray:
        """out, now a copy of dst."""
        if not self.in_place:
            self.out[...] = self.dst
            if self.out_alpha is not None:
                self.out_alpha[...] = self.dst_alpha
        return self.out

    def dst_of(self, region: Region) -> NumpyArray:
        """dst over a region, in memory apart from out: a solve reads it again after it has written."""
        part = region.of(self.dst)
        return part.copy() if self.in_place else part

    def mask_of(self, region: Region) -> NumpyArray:
        """The mask over a region of dst: a view of the caller's where src covers it."""
        if self.placed.contains(region):
            return region.of(self.mask, (self.placed.y0, self.placed.x0))
        result = self.memory.hold(np.zeros(region.shape, self.mask.dtype))
        common = self.placed.overlap(region)
        if not common.empty:
            common.of(result, (region.y0, region.x0))[...] = common.of(self.mask, (self.placed.y0, self.placed.x0))
        return result

    def src_of(self, region: Region) -> NumpyArray:
        """The source over a region of dst: a view of the caller's where it has colour all over.

        Elsewhere src goes on as dst plus the difference that the two have at the nearest pixel
        of src, so that an edge that leaves src has the gradient of dst; in float32 (float64 for
        that dtype) and the unit of dst.
        """
        origin = self.placed.y0, self.placed.x0
        common = self.placed.overlap(region)
        holes = None if self.holes is None else common.of(self.holes, origin)
        if holes is not None and not holes.any():
            holes = None
        if holes is None and common == region:
            return region.of(self.src, origin)
        known = self.memory.hold(common.of(self.src, origin).astype(self.real))
        difference = self.memory.hold(known - common.of(self.dst))
        if holes is not None:
            difference = _fill(difference, holes, self.memory)
            np.add(common.of(self.dst), difference, out=known, where=holes[..., None])
        if common == region:
            return known
        around = (
            (common.y0 - region.y0, region.y1 - common.y1),
            (common.x0 - region.x0, region.x1 - common.x1),
            (0, 0),
        )
        result = self.memory.hold(np.pad(difference, around, mode="edge"))
        result += region.of(self.dst)
        common.of(result, (region.y0, region.x0))[...] = known
        return result

    def check_finite(self, region: Region, mask: NumpyArray | None = None) -> None:
        """Refuses NaN and Inf in what a blend reads of src and dst inside a region: all of it, or near a mask."""
        common = self.placed.overlap(region)
        origin = self.placed.y0, self.placed.x0
        source = common.of(self.src, origin)
        holes = None if self.holes is None else common.of(self.holes, origin)
        near = None if mask is None else common.of(mask, (region.y0, region.x0))
        if holes is not None and source.dtype.kind == "f":
            self.memory.touch(source.nbytes)
        check_finite(source, "src", (common.y0 - self.shift[0], common.x0 - self.shift[1]), skip=holes, mask=near)
        check_finite(region.of(self.dst), "dst", (region.y0, region.x0), mask=mask)


def check_finite(
    x: NumpyArray,
    name: str,
    origin: tuple[int, int] = (0, 0),
    *,
    skip: NumpyArray | None = None,
    mask: NumpyArray | None = None,
) -> None:
    """Refuses NaN and Inf in x [h, w, C], a crop whose first pixel is at origin, where skip is not set."""
    if x.dtype.kind == "f":
        if skip is not None:
            x = np.where(skip[..., None], 0, x)
        _checks.finite(x, name, mask, origin)


def _fill(x: NumpyArray, holes: NumpyArray, memory: Memory) -> NumpyArray:
    """x [h, w, C] continued smoothly into its holes; next to x by the mean of the neighbours there."""
    if holes.all():
        return memory.hold(np.zeros_like(x))
    value = memory.hold(np.where(holes[..., None], 0, x).astype(np.float32, copy=False))
    present = ~holes
    levels = []
    while not present.all():
        levels.append((value, memory.hold(present)))
        total = memory.hold(halve_mask(present))
        value = memory.hold(downsample(value, 0.0))
        present = total > 0
        value /= np.where(present, total, 1)[..., None]
    for finer, present in reversed(levels):
        doubled = memory.hold(upsample(value, present.shape))
        np.copyto(doubled, finer, where=present[..., None])
        value = doubled
    result: NumpyArray = memory.hold(value.astype(x.dtype, copy=False))
    np.copyto(result, x, where=~holes[..., None])
    _meet_neighbours(result, holes, memory)
    return result


def _meet_neighbours(x: NumpyArray, holes: NumpyArray, memory: Memory) -> None:
    """Gives pixels of holes [h, w] beside pixels of x [h, w, C] the mean of those."""
    padded = np.pad(holes, 1, constant_values=True)
    beside = ~(padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:])
    ys, xs = np.nonzero(holes & beside)
    total = np.zeros((len(ys), x.shape[2]), x.dtype)
    count = np.zeros((len(ys), 1), x.dtype)
    memory.touch(2 * padded.nbytes + 3 * total.nbytes + 6 * ys.nbytes)
    for dy, dx in ((0, -1), (0, 1), (-1, 0), (1, 0)):
        there = ~padded[ys + 1 + dy, xs + 1 + dx]
        total[there] += x[ys[there] + dy, xs[there] + dx]
        count[there] += 1
    x[ys, xs] = total / count


def _layout(x: Any, name: str) -> tuple[NumpyArray, bool]:
    """An image or batch of the layouts that blends take as numpy [N, H, W, C], and whether it is a batch."""
    a = _arrays.to_numpy(x, name)
    torch = _arrays.is_torch(x)
    layouts = "[C, H, W] or [B, C, H, W]" if torch else "[H, W], [H, W, C] or [N, H, W, C]"
    if a.ndim not in (2, 3, 4):
        raise ShapeError(f"{name}: shape {list(a.shape)}, expected {layouts} with 1, 3 or 4 channels")
    a = _checks.image(x, name, dims=(2, 3, 4))
    if torch and x.ndim > 2:
        a = np.moveaxis(a, -3, -1)
    if a.shape[-1] not in CHANNELS:
        first, last = (-1, -3) if torch else (-3, -1)
        fix = "pyharmony.ops takes any number of channels"
        if x.shape[first] in CHANNELS:
            fix = "channels come first: x.movedim(-1, -3)" if torch else "channels come last: numpy.moveaxis(x, -3, -1)"
        raise ShapeError(
            f"{name}: shape {list(x.shape)} has {x.shape[last]} channels, expected {layouts} with 1, 3 or 4; {fix}"
        )
    batch = a.ndim == 4
    return (a if batch else a[None]), batch


def _masks(mask: Any, count: int, height: int, width: int, batch: bool) -> list[NumpyArray]:
    """The mask of each item [h, w]; one for all of a batch, or one each."""
    a = _arrays.to_numpy(mask, "mask")
    if _arrays.is_torch(mask):
        if a.ndim == 4 and a.shape[1] == 1:
            a = a[:, 0]
        elif a.shape == (1, height, width):
            a = a[0]
    elif a.ndim == 4 and a.shape[3] == 1:
        a = a[..., 0]
    if batch and a.shape == (count, height, width):
        return [_checks.mask(m, "mask", height, width) for m in a]
    return [_checks.mask(a, "mask", height, width)] * count


def _position(at: Any) -> tuple[int, int]:
    """at as integers (x, y)."""
    accepts = "expected None or (x, y), the whole pixels where the first pixel of src lands in dst"
    try:
        x, y = at
    except (TypeError, ValueError):
        raise ArgumentError(f"at: {at!r}, {accepts}") from None
    for value in (x, y):
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
            raise DTypeError(f"at: {at!r}, {accepts}")
        if not float(value).is_integer():
            raise ArgumentError(f"at: {at!r}, {accepts}")
    return int(x), int(y)


def as_float(mask: NumpyArray) -> NumpyArray:
    """A mask of any dtype as float32 in [0, 1]."""
    scale = np.float32(_arrays.VALUE_RANGE.get(mask.dtype.name, 1.0))
    return np.divide(mask, scale, dtype=np.float32, casting="same_kind")


def bounding_box(mask: NumpyArray) -> Region:
    """The smallest region of a mask [h, w] that holds every pixel above zero."""
    m = mask.view(np.uint8) if mask.dtype == np.bool_ else mask
    rows = np.flatnonzero(m.max(axis=1))
    if rows.size == 0:
        return Region(0, 0, 0, 0)
    columns = np.flatnonzero(m[rows[0] : rows[-1] + 1].max(axis=0))
    return Region(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)


class Frame:
    """The checked arguments of a blend.

    Raises:
        ShapeError, DTypeError, MaskError, ArgumentError: as the blends document them.
    """

    def __init__(self, src: Array, dst: Array, mask: Array | None, at: Any, out: Array | None) -> None:
        self._src, batch = _layout(src, "src")
        self._dst, self.batch = _layout(dst, "dst")
        s, d = self._src.shape, self._dst.shape
        _checks.same_dtype(self._src, "src", self._dst, "dst")
        if batch != self.batch or s[0] != d[0]:
            raise ShapeError(
                f"src: shape {list(src.shape)} beside dst {list(dst.shape)}; "
                "a batch needs as many sources as destinations"
            )
        if min(s[3], 3) != min(d[3], 3):
            raise ShapeError(f"src: {s[3]} channels beside {d[3]} of dst; expected equal numbers, alpha apart")
        if at is None and s[1:3] != d[1:3]:
            raise ShapeError(
                f"src: {s[1]} x {s[2]} pixels beside {d[1]} x {d[2]} of dst; "
                "pass at=(x, y), where its first pixel lands"
            )
        self._x, self._y = (0, 0) if at is None else _position(at)
        self._mask = None if mask is None else _masks(mask, s[0], s[1], s[2], batch)
        if s[3] == 4 and self._src.dtype.kind == "f":
            for item in self._src:
                _checks.mask(item[..., 3], "the alpha of src", s[1], s[2])
        self._given_dst, self._inputs = dst, [(src, "src"), (mask, "mask")]
        self._target = self._take_out(out)

    @property
    def dtype(self) -> str:
        return self._dst.dtype.name

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of dst."""
        return self._dst.shape[1], self._dst.shape[2]

    def _take_out(self, out: Array | None) -> Array:
        given = _arrays.to_numpy(self._given_dst, "dst")
        if out is None:
            return _arrays.like_kind(np.empty_like(given, subok=False), self._given_dst)
        a = _arrays.to_numpy(out, "out")
        if _arrays.is_torch(out) != _arrays.is_torch(self._given_dst):
            raise DTypeError(f"out: {type(out).__name__}, expected the kind of dst, {type(self._given_dst).__name__}")
        if a.dtype != given.dtype:
            raise DTypeError(f"out: dtype {a.dtype.name}, expected that of dst, {given.dtype.name}")
        if a.shape != given.shape:
            raise ShapeError(f"out: shape {list(a.shape)}, expected that of dst, {list(given.shape)}")
        if not a.flags.writeable:
            raise ArgumentError("out: the array is read-only")
        same = a.__array_interface__["data"][0] == given.__array_interface__["data"][0] and a.strides == given.strides
        if not same and np.may_share_memory(a, given):
            raise ArgumentError("out: shares memory with dst without being dst; pass dst itself or another array")
        for other, name in self._inputs:
            self.keep_apart(out, other, name)
        return out

    @staticmethod
    def keep_apart(out: Array | None, other: Any, name: str) -> None:
        """Refuses an out that shares memory with another argument."""
        if out is None or not (isinstance(other, np.ndarray) or _arrays.is_torch(other)):
            return
        if np.may_share_memory(_arrays.to_numpy(out, "out"), _arrays.to_numpy(other, name)):
            raise ArgumentError(f"out: shares memory with {name}; pass another array")

    def images_like_dst(self, x: Any, name: str) -> list[NumpyArray]:
        """Another image in dst's frame, for each item the colours [H, W, C]."""
        a, _ = _layout(x, name)
        _checks.same_dtype(a, name, self._dst, "dst")
        if a.shape[:3] != self._dst.shape[:3] or min(a.shape[3], 3) != min(self._dst.shape[3], 3):
            raise ShapeError(f"{name}: shape {list(x.shape)}, expected that of dst, {list(self._given_dst.shape)}")
        return [item[..., : min(a.shape[3], 3)] for item in a]

    def jobs(self) -> Iterator[Job]:
        """Each item, in order."""
        results, _ = _layout(self._target, "out")
        h, w = self._src.shape[1:3]
        height, width = self.shape
        placed = Region(self._y, self._y + h, self._x, self._x + w).overlap(Region(0, height, 0, width))
        if placed.empty:
            placed = Region(0, 0, 0, 0)
        for i, (src, dst, out) in enumerate(zip(self._src, self._dst, results, strict=True)):
            memory = Memory()
            mask = None if self._mask is None else placed.of(self._mask[i], (self._y, self._x))
            source = placed.of(src, (self._y, self._x))
            holes = None
            if src.shape[2] == 4:
                alpha = source[..., 3]
                holes = memory.hold(alpha == 0)
                if mask is None:
                    mask = alpha
                else:
                    mask, scaled = as_float(mask), as_float(alpha)
                    memory.touch(scaled.nbytes)
                    mask *= scaled
                    memory.hold(mask)
            elif mask is None:
                mask = memory.hold(np.ones(placed.shape, bool))
            colours = min(dst.shape[2], 3)
            box = bounding_box(mask) if mask.size else Region(0, 0, 0, 0)
            if not box.empty:
                box = Region(box.y0 + placed.y0, box.y1 + placed.y0, box.x0 + placed.x0, box.x1 + placed.x0)
            has_alpha = dst.shape[2] == 4
            yield Job(
                src=source[..., :colours],
                dst=dst[..., :colours],
                mask=mask,
                holes=holes,
                placed=placed,
                shift=(self._y, self._x),
                bbox=box,
                out=out[..., :colours],
                out_alpha=out[..., 3] if has_alpha else None,
                dst_alpha=dst[..., 3] if has_alpha else None,
                memory=memory,
            )

    def result(self) -> Array:
        """What the blend returns, in dst's kind, layout and dtype."""
        return self._target

    def result_and_info(self, infos: list[_checks.SolveInfo], return_info: bool) -> Any:
        if not return_info:
            return self._target
        return self._target, infos if self.batch else infos[0]


def write(values: NumpyArray, out: NumpyArray, where: NumpyArray | bool = True) -> None:
    """values into out: rounded half to even and held in range for integers, converted for floats.

    values are changed.
    """
    if out.dtype.kind == "u":
        np.rint(values, out=values)
        np.clip(values, 0, np.iinfo(out.dtype).max, out=values)
    np.copyto(out, values, casting="unsafe", where=where)
