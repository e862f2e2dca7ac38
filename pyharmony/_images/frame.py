"""The frame of source, mask and destination: the steps that every blend takes before and after its own work.

A `Frame` checks the caller's arrays and places each source over its destination. A `Job` is one such pair as numpy [H,
W, C] views; the blends read crops of it and write into its target. Regions are in pixels of the destination.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .. import _arrays, _checks
from .._arrays import Array, NumpyArray
from .._cuda import DeviceArray, Place, attempt, describe, is_device_array, name_of
from .._native import native
from ..errors import ArgumentError, DTypeError, MaskError, Reason, ShapeError
from ..ops.images_cuda import batch_of, unsupported
from ..reference.luma import LUMA
from .fill import fill
from .ground import Ground, warn_of_erased
from .limit import MaskFacts, limit_change, mask_facts, warn_of_faint
from .region import Region, check_finite, close_strips, to_border
from .source import lay_mask, place, place_scaled
from .threads import copied

CHANNELS = (1, 3, 4)
LARGEST_COORDINATE = 1 << 31  # pixels; a position beyond this is refused
_LARGEST_SCALE = 1e6  # one pixel of src then covers any image


@functools.lru_cache(16)
def direct_info(method: str, clipped: float = 0.0) -> _checks.SolveInfo:
    """Returns the report of a blend without a solve, such as 'copy' if no pixel is inside."""
    return _checks.SolveInfo(method, 0, 0.0, 0.0, "cpu", 0.0, 0, clipped=clipped)


def luma(x: NumpyArray, real: type) -> NumpyArray:
    """Returns the luma of an image [h, w, C] in each of its channels; the mean if it does not have three channels."""
    weights: NumpyArray = np.array(LUMA if x.shape[2] == 3 else [1 / x.shape[2]] * x.shape[2], real)
    return np.broadcast_to((x.astype(real) @ weights)[..., None], x.shape)


def lay_over_alpha(mask: NumpyArray, below: NumpyArray, out: NumpyArray) -> None:
    """Writes the alpha m + (1 - m) a of an object with mask m [h, w] over an alpha a into out, where m is above 0.

    below: the alpha a [h, w], of out's dtype; it may be out itself.
    """
    white, inside = _arrays.VALUE_RANGE[out.dtype.name], mask > 0
    share = mask.astype(np.float64) / _arrays.VALUE_RANGE.get(mask.dtype.name, 1.0)
    known = np.where(below > 0, below, 0)  # NaN counts as 0
    _arrays.round_into(share * white + (1 - share) * known, out, where=inside)


def store(values: NumpyArray, out: NumpyArray, inside: NumpyArray) -> float:
    """Writes values [h, w, C], which are modified, into out where inside [h, w], rounded to its dtype.

    Returns the share of them that was clipped.
    """
    where = inside[..., None]
    clipped = _arrays.count_clipped(values, out.dtype, where)
    _arrays.round_into(values, out, where=where)
    return clipped / int(max(np.count_nonzero(inside), 1) * out.shape[2])


Infos = list[_checks.SolveInfo]


@dataclass(frozen=True)
class WeightMap:
    """A map of color_weight [N, H, W] on a device, with its range."""

    values: DeviceArray
    least: float
    most: float


@dataclass
class Crop:
    """The arrays that a solve reads and writes over a region of dst.

    On the CPU images are [h, w, C] and masks and maps [h, w]; on a device they are [N, h, w, C] and [N, h, w].
    """

    place: Place | None  # the device of all arrays; None: the CPU
    region: Region  # the region of the arrays in dst
    src: Any
    dst: Any
    mask: Any
    base: Any
    weight: Any  # color_weight, a number or a map; on a device a `WeightMap`
    #: Returns the array to write the result into over a part of the region; on the CPU it contains dst.
    target: Callable[[Region], Any]
    unit: float  # the value of white in the images
    ground: Any = None  # the colours that the result stays near where its mask is soft; on a device dst
    own_mask: Any = None  # the mask that determines how near; mask itself is 1 where dst is unknown
    #: A separate array for the result over the region if pixels of dst are unknown; else None.
    apart: NumpyArray | None = None
    fetched: bool = False  # whether the result is copied to the CPU, so that the call waits for the device anyway

    def on(self, place: Place, out: DeviceArray) -> Crop:
        """Returns a copy of this crop on a device, whose result goes into `out`."""

        def take(a: NumpyArray, name: str) -> DeviceArray:
            return place.take(a[None], name)

        weight = self.weight
        if not isinstance(weight, float):
            weight = np.ascontiguousarray(weight, np.float32)
            weight = WeightMap(take(weight, "color_weight"), float(weight.min()), float(weight.max()))
        return dataclasses.replace(
            self,
            place=place,
            src=take(self.src, "src"),
            dst=take(self.dst, "dst"),
            mask=take(self.mask, "mask"),
            base=None if self.base is None else take(self.base, "base"),
            weight=weight,
            target=lambda part: part.of(out, self.region.origin),
            fetched=True,
        )


class FrameItem(NamedTuple):
    """The images of an item of a frame, as numpy arrays [H, W, C] and [H, W].

    Attributes:
        number: that of the item in its batch.
        src, dst: the source, None if dst is edited, and the destination.
        mask, valid: the mask of src, and where dst is known; None: everywhere.
        at, scale: the position (x, y) of src in dst, and the factor of its size.
    """

    number: int
    src: NumpyArray | None
    dst: NumpyArray
    mask: NumpyArray | None
    valid: NumpyArray | None
    at: tuple[float, float]
    scale: float


#: A function that solves over a crop and writes into its target.
Solve = Callable[[Crop], Infos]


@dataclass
class Job:
    """One source over one destination."""

    item: int  # the index of the pair in its batch
    place: Place | None  # the device on which crops are solved; None: the CPU
    #: Colours [h, w, C], cropped to the part inside dst; floats in dst's unit if `at` moves it by a fraction of a
    #: pixel.
    src: NumpyArray
    dst: NumpyArray  # colours [H, W, C]
    mask: NumpyArray  # [h, w], the caller's mask times the alpha of src
    #: [h, w] bool, where src has no colour because its alpha is zero; None if it has colour everywhere.
    holes: NumpyArray | None
    src_region: Region  # the region of src in dst
    shift: tuple[int, int]  # the position (y, x) of the first pixel of the caller's src in dst
    bbox: Region  # the smallest region with all pixels of the mask above zero; may be empty
    out: NumpyArray  # colours [H, W, C] of the result, not written yet
    #: out_alpha, dst_alpha: [H, W], if dst has alpha.
    out_alpha: NumpyArray | None
    dst_alpha: NumpyArray | None
    keep_alpha: bool  # whether the alpha of dst stays under the object
    ground: Ground  # the colours of dst where they are known, and their replacement elsewhere
    facts: MaskFacts  # of mask
    strips: bool = False  # whether strips between the mask and dst's border count as inside; see `to_border`

    @property
    def soft(self) -> bool:
        """Whether a pixel of the mask is neither zero nor fully inside."""
        return self.facts.soft

    @property
    def shape(self) -> tuple[int, int]:
        return self.dst.shape[0], self.dst.shape[1]

    @property
    def real(self) -> type:
        """The float type to compute in for dst's dtype."""
        return np.float64 if self.dst.dtype == np.float64 else np.float32

    @property
    def in_place(self) -> bool:
        """Whether out is dst itself."""
        return bool(self.out.__array_interface__["data"] == self.dst.__array_interface__["data"])

    def begin(self) -> None:
        """Copies dst into out, after a check that its values are finite where it has colour; for calls on an image."""
        check_finite(self.dst, "image", skip=self.holes)
        self.start()

    def start(self) -> NumpyArray:
        """Copies dst into out and returns out."""
        if not self.in_place:
            copied(self.dst, self.out)
            self.start_alpha()
        return self.out

    def start_alpha(self) -> None:
        """Copies the alpha of dst, if it has any, into that of the result."""
        if self.out_alpha is not None and not self.in_place:
            self.out_alpha[...] = self.dst_alpha

    def finish_alpha(self) -> None:
        """Lays the object over the alpha of dst, if dst has any and it is not kept."""
        if self.out_alpha is not None and self.dst_alpha is not None and not self.keep_alpha:
            box = self.bbox
            lay_over_alpha(self.mask_of(box), box.of(self.dst_alpha), box.of(self.out_alpha))

    def unchanged(self) -> Infos:
        """Makes the result a copy of dst."""
        self.start()
        return [direct_info("copy")]

    def to_border(self) -> Job:
        """Returns this job with the strips of `close_strips` inside its mask, if a pixel of dst remains outside."""
        job = dataclasses.replace(self, bbox=to_border(self.bbox, self.shape), strips=True)
        everything = job.bbox.shape == self.shape and job.mask_of(job.bbox).min() > 0
        return self if everything else job

    def covered(self, mask: NumpyArray) -> bool:
        """Returns whether a mask over a region that contains bbox is above zero in every pixel of dst."""
        return self.bbox.shape == self.shape and bool(mask.min() > 0)

    def crop(
        self,
        region: Region,
        mask: NumpyArray,
        weight: float | NumpyArray = 0.0,
        base: NumpyArray | None = None,
        *,
        monochrome: bool = False,
        hide: bool = False,
    ) -> Crop:
        """Returns the inputs of a solve over a region; weight and base are color_weight and an image over dst.

        Where dst is unknown inside the mask, or everywhere inside with hide, it is replaced by src, or by its luma if
        that is the guidance (monochrome), plus the difference between the two around it; and the mask becomes 1. So the
        gradients there are those of the guidance.
        """
        if base is not None:
            base = region.of(base)
            check_finite(base, "base", region.origin)
        src, dst, own_mask = self.src_of(region), self.dst_of(region), mask
        ground, unknown, apart = dst, self.ground.unknown(region), None
        if unknown is not None:
            apart = np.empty(dst.shape, self.dst.dtype)
            _arrays.round_into(dst.copy(), apart)
        if unknown is not None or hide:
            inside = mask > 0
            unknown = inside if hide or unknown is None else unknown & inside
            if unknown.any():
                guide = luma(src, self.real) if monochrome else src
                difference = np.subtract(dst, guide, dtype=self.real)
                # NaN next to the pixels of the solve must not be extrapolated.
                absent = unknown | ~np.isfinite(difference).all(2)
                dst = fill(difference, absent)
                dst += guide
                np.copyto(dst, ground, where=~unknown[..., None])
                mask = mask.copy()
                mask[unknown] = mask.dtype.type(_arrays.VALUE_RANGE.get(mask.dtype.name, 1))
        return Crop(
            place=None,
            region=region,
            src=src,
            dst=dst,
            mask=mask,
            unit=_arrays.VALUE_RANGE[self.dst.dtype.name],
            ground=ground,
            own_mask=own_mask,
            apart=apart,
            base=base,
            weight=weight if isinstance(weight, float) else region.of(weight),
            target=lambda part: part.of(self.start()) if apart is None else part.of(apart, region.origin),
        )

    def solved(self, crop: Crop, solve: Solve, *, name: str, everywhere: bool = False, only_on_cpu: str = "") -> Infos:
        """Solves over a crop: on the device of the call if possible, else on the CPU.

        name: the blend's name, for messages.
        everywhere: whether the result is written where the mask is zero, too.
        only_on_cpu: the reason why the kernels on a device cannot be used for this call; empty if they can.
        """
        place = self.place
        if place is not None:
            only_on_cpu = unsupported(self.dst.dtype.name, "dst") or only_on_cpu
            if only_on_cpu and place.required:
                raise ArgumentError(only_on_cpu)
            if not only_on_cpu:
                inside = True if everywhere else (crop.mask > 0)[..., None]
                infos = attempt(place, name, lambda: self._solved_on(place, crop, solve, inside))
                if infos is not NotImplemented:
                    return self._limited(crop, infos, everywhere)
        infos = solve(crop)
        if crop.apart is not None:
            np.copyto(crop.region.of(self.start()), crop.apart, where=everywhere or (crop.own_mask > 0)[..., None])
        return self._limited(crop, infos, everywhere)

    def _limited(self, crop: Crop, infos: Infos, everywhere: bool) -> Infos:
        """Limits the result where the mask is soft to its distance from dst, and returns infos."""
        if self.soft and not everywhere:
            limit_change(crop.src, crop.ground, crop.own_mask, crop.region.of(self.out))
        return infos

    def _solved_on(self, place: Place, crop: Crop, solve: Solve, inside: NumpyArray | bool) -> Infos:
        """Solves a copy of the crop on a device, and writes the result where `inside` is True."""
        _, out = place.empty((1, *crop.dst.shape), self.dst.dtype)
        infos = solve(crop.on(place, out))
        np.copyto(crop.region.of(self.start()), place.fetch(out)[0], where=inside)
        return infos

    @property
    def leaves_source(self) -> bool:
        """Whether an edge at the contour may lead to a pixel outside src; it has the gradient of dst."""
        return self.holes is not None or not self.src_region.contains(self.bbox.expand(1, self.shape))

    def warn_of_erased(self, *, hard: bool = True) -> None:
        """Warns if dst looks as if an object had been erased under the mask.

        hard: whether the blend reads dst under a hard mask if src extends beyond the contour.
        """
        if (hard or self.soft or self.leaves_source) and not self.bbox.empty and self.ground.unknown(self.bbox) is None:
            warn_of_erased(self.dst, self.mask, self.src_region, self.bbox)

    def warn_of_flooded(self) -> None:
        """Warns if the colours at the contour have flooded the object in the result."""
        if not self.bbox.empty:
            from .flooded import warn_of_flooded

            warn_of_flooded(self.src, self.out, self.mask, self.src_region, self.bbox)

    def dst_of(self, region: Region) -> NumpyArray:
        """Returns dst over a region, in memory apart from out, because a solve reads it again after writing.

        If pixels of dst are unknown they are floats in its unit, see `Ground`.
        """
        part, unknown = self.ground.of(region)
        return part.copy() if unknown is None and self.in_place else part

    def mask_of(self, region: Region) -> NumpyArray:
        """Returns the mask over a region of dst: a view of the caller's mask if src covers the region."""
        if self.src_region.contains(region):
            result = region.of(self.mask, self.src_region.origin)
        else:
            result = np.zeros(region.shape, self.mask.dtype)
            common = self.src_region.overlap(region)
            common.of(result, region.origin)[...] = common.of(self.mask, self.src_region.origin)
        return close_strips(result, region, self.shape) if self.strips else result

    def src_of(self, region: Region) -> NumpyArray:
        """Returns src over a region of dst: a view of the caller's if src has colour in the whole region.

        Otherwise src is extended by dst plus the difference between the two at the nearest pixel of src, so that an
        edge that leaves src has the gradient of dst; the values are float32 (float64 for that dtype) in the unit of
        dst. If src does not overlap the region, the result is dst.
        """
        origin, common = self.src_region.origin, self.src_region.overlap(region)
        if common.empty:
            return self.ground.of(region)[0]
        holes = None if self.holes is None else common.of(self.holes, origin)
        if holes is not None and not holes.any():
            holes = None
        if holes is None and common == region:
            return region.of(self.src, origin)
        values = common.of(self.src, origin).astype(self.real)
        whole, corner = self.ground.of(region)[0], region.origin
        below = common.of(whole, corner)
        difference = values - below
        if holes is not None:
            difference = fill(difference, holes)
            np.add(below, difference, out=values, where=holes[..., None])
        if common == region:
            return values
        rows, columns = (common.y0 - region.y0, region.y1 - common.y1), (common.x0 - region.x0, region.x1 - common.x1)
        result = np.pad(difference, (rows, columns, (0, 0)), mode="edge")
        result += whole
        common.of(result, corner)[...] = values
        return result

    def check_finite(self, region: Region, mask: NumpyArray | None = None, *, hide: bool = False) -> None:
        """Refuses NaN and Inf in the pixels of src and dst that a blend reads in a region: all, or those near mask.

        With hide, dst is not read inside the mask, unless src ends at the contour.
        """
        origin, common = self.src_region.origin, self.src_region.overlap(region)
        source = common.of(self.src, origin)
        holes = None if self.holes is None else common.of(self.holes, origin)
        near = None if mask is None else common.of(mask, region.origin)
        check_finite(source, "src", (common.y0 - self.shift[0], common.x0 - self.shift[1]), skip=holes, mask=near)
        skip = self.ground.unknown(region)
        if hide and not self.leaves_source:
            inside = self.mask_of(region) > 0
            skip = inside if skip is None else inside | skip
        check_finite(region.of(self.dst), "dst", region.origin, skip=skip, mask=mask)


def layout(x: Any, name: str) -> tuple[Any, bool]:
    """Returns an image or batch, in any layout that blends accept, as [N, H, W, C], and whether it is a batch.

    The result is a DeviceArray if x is on a device, else a numpy array.
    """
    there, torch = (False, False) if isinstance(x, np.ndarray) else (is_device_array(x), _arrays.is_torch(x))
    a: Any = describe(x, name) if there else _arrays.to_numpy(x, name)
    layouts = "[C, H, W] or [B, C, H, W]" if torch else "[H, W], [H, W, C] or [N, H, W, C]"
    if a.ndim not in (2, 3, 4):
        raise ShapeError(f"{name}: shape {list(a.shape)}, expected {layouts} with 1, 3 or 4 channels")
    _checks.image_form(a.shape, name_of(a.dtype) if there else _arrays.dtype_name(a), name, (2, 3, 4))
    batch, shape = a.ndim == 4, a.shape
    if torch and a.ndim > 2:
        a = a.transpose((*range(a.ndim - 3), -2, -1, -3))
    if there:
        a = batch_of(a)
    else:
        a = a[..., None] if a.ndim == 2 else a
        a = a if batch else a[None]
    if a.shape[-1] not in CHANNELS:
        first, last = (-1, -3) if torch else (-3, -1)
        fix = "pyharmony.ops accepts any number of channels"
        if shape[first] in CHANNELS:
            fix = "channels come first: x.movedim(-1, -3)" if torch else "channels come last: numpy.moveaxis(x, -3, -1)"
        raise ShapeError(
            f"{name}: shape {list(shape)} has {shape[last]} channels, expected {layouts} with 1, 3 or 4; {fix}"
        )
    return a, batch


def one_image(x: Any, name: str) -> Any:
    """Returns one image, in any layout that blends accept, as [H, W, C]; a batch is refused."""
    images, batch = layout(x, name)
    if batch:
        raise ShapeError(f"{name}: shape {list(x.shape)}, a batch, expected one image; call the function for each")
    return images[0]


def as_images(x: Any, name: str) -> list[NumpyArray]:
    """Returns the items [H, W, C] of an image or batch as views of the same memory."""
    return list(layout(x, name)[0])


class _Facts:
    """The facts of masks, each of which is read once: for its check, and for the blend if that uses all of it."""

    def __init__(self) -> None:
        self._last: tuple[NumpyArray, MaskFacts] | None = None

    def largest(self, mask: NumpyArray) -> int:
        """Returns the largest value of a mask [h, w] of integers."""
        self._last = mask, mask_facts(mask)
        return self._last[1].largest

    def of(self, mask: NumpyArray) -> MaskFacts:
        """Returns the facts of a mask."""
        if self._last is not None and _memory_of(self._last[0]) == _memory_of(mask):
            return self._last[1]
        return mask_facts(mask)


def _memory_of(a: NumpyArray) -> tuple[Any, ...]:
    """Returns the dtype, the shape, the strides and the address of an array."""
    return a.dtype, a.shape, a.strides, a.__array_interface__["data"][0]


def masks_of(
    mask: Any, count: int, height: int, width: int, batch: bool, name: str = "mask", facts: _Facts | None = None
) -> list[NumpyArray]:
    """Returns the mask [h, w] of each item; the caller passes one mask for a whole batch, or one for each item."""
    read = {} if facts is None else {"largest": facts.largest}
    a = _arrays.to_numpy(mask, name)
    if _arrays.is_torch(mask):
        if a.ndim == 4 and a.shape[1] == 1:
            a = a[:, 0]
        elif a.shape == (1, height, width):
            a = a[0]
    elif a.ndim == 4 and a.shape[3] == 1:
        a = a[..., 0]
    if batch and a.shape == (count, height, width):
        return [_checks.mask(m, name, height, width, **read) for m in a]
    return [_checks.mask(a, name, height, width, **read)] * count


def position_of(at: Any, of: str = "src in dst") -> tuple[float, float]:
    """Returns `at`, the position of the first pixel `of` one image in another, as finite numbers (x, y)."""
    accepts = f"expected None or (x, y), the position of the first pixel of {of}"
    if _arrays.is_array(at):
        at = _arrays.to_numpy(at, "at").tolist()
    x, y = _checks.two_numbers(at, "at", accepts)
    if not (abs(x) < LARGEST_COORDINATE and abs(y) < LARGEST_COORDINATE):
        raise ArgumentError(f"at: {_checks.shortened(at)}, {accepts}; finite and below {LARGEST_COORDINATE} in size")
    return float(x), float(y)


def positions_of(at: Any, count: int, batch: bool, of: str = "src in dst") -> list[tuple[float, float]]:
    """Returns `at` as finite numbers (x, y) for each of count items: one position for all, or [count, 2]."""
    pairs = at_of_items(at)
    if pairs is None:
        return [position_of(at, of)] * count
    if not batch or len(pairs) != count:
        beside = f"a batch of {count}" if batch else "one image"
        raise ShapeError(f"at: {len(pairs)} positions for {beside}; expected one (x, y), or one for each item")
    return [position_of(pair, of) for pair in pairs]


def at_of_items(at: Any) -> list[Any] | None:
    """Returns the positions of several items as a list, from a list of pairs or an array [N, 2]; None for a single."""
    if _arrays.is_array(at):
        return list(_arrays.to_numpy(at, "at").tolist()) if at.ndim == 2 else None
    # One position is a pair of numbers, so several are recognised by the pairs or None among them.
    if isinstance(at, (list, tuple)) and any(x is None or isinstance(x, (list, tuple, np.ndarray)) for x in at):
        return list(at)
    return None


def scale_of(scale: Any) -> float:
    """Returns the checked factor of src's size."""
    accepts = f"a number above 0 and at most {_LARGEST_SCALE:g}, the factor of src's size"
    value = _checks.number(scale, "scale", high=_LARGEST_SCALE, accepts=accepts)
    if value == 0:
        raise ArgumentError(f"scale: 0, expected {accepts}")
    return value


def scaled(length: int, scale: float) -> int:
    """Returns the number of pixels that a side of src has at a scale."""
    return length if scale == 1 else max(1, round(length * scale))


def size_of(shape: tuple[int, ...]) -> str:
    """Returns the text for (height, width), width first: '640 x 480' for (480, 640)."""
    return f"{shape[1]} x {shape[0]}"


_MASK_AT = Reason("mask-at", "masks are never resized; for a part of the image pass at=(x, y), its first pixel there")


def sizes_differ(src: tuple[int, ...], dst: tuple[int, ...], scale: float) -> ShapeError:
    """Returns the error about two sizes, (height, width), that are not equal."""
    at_scale = "" if scale == 1 else f", {size_of((scaled(src[0], scale), scaled(src[1], scale)))} at scale {scale:g},"
    text = f"src: {size_of(src)} pixels{at_scale} and dst {size_of(dst)} (width x height)"
    return ShapeError(text, code="sizes-differ", hint="pass at=(x, y), the position of its first pixel")


def channels_differ(src: Any, of_src: int, of_dst: int) -> str:
    """Returns the message about different numbers of channels, with the remedy."""
    remedy = ""
    if _arrays.is_torch(src):
        if of_src == 1:
            remedy = "; src.expand(..., 3, -1, -1) of it has three equal channels"
        elif of_dst == 1:
            remedy = "; dst.expand(..., 3, -1, -1) of it has three equal channels"
    elif of_src == 1:
        remedy = f"; numpy.stack([src{'' if src.ndim == 2 else '[..., 0]'}] * 3, -1) has three equal channels"
    elif of_dst == 1:
        remedy = "; numpy.stack([dst] * 3, -1) of a grey dst [H, W] has three equal channels"
    return f"src: {of_src} channels, but dst has {of_dst}; expected equal numbers, not counting alpha{remedy}"


def _size_of_mask(mask: Any) -> tuple[int, int]:
    """Returns the height and width of a mask whose size is its own."""
    shape = tuple(mask.shape)
    if len(shape) > 2 and not _arrays.is_torch(mask) and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) < 2 or not all(shape):
        raise ShapeError(f"mask: shape {list(mask.shape)}, expected [H, W] with pixels")
    return int(shape[-2]), int(shape[-1])


class AnyFrame:
    """A frame on the CPU or on a device."""

    name: str  # the name of dst in messages
    dst: Any  # the destinations [N, H, W, C]
    batch: bool  # whether the caller passed a batch
    result: Any  # the result of the blend, in dst's kind, layout and dtype

    @property
    def dtype(self) -> str:
        return str(self.dst.dtype.name)

    @property
    def shape(self) -> tuple[int, int]:
        """The (H, W) of dst."""
        return self.dst.shape[1], self.dst.shape[2]


class Frame(AnyFrame):
    """The checked arguments of a blend; src is None for an edit of dst, which is then called image in messages.

    place is the device on which crops are solved; None: the CPU. measures: whether infos have the memory of each item.
    """

    def __init__(
        self,
        src: Array | None,
        dst: Array,
        mask: Array | None,
        at: Any,
        out: Array | None,
        *,
        scale: Any = 1.0,
        decontaminate: bool = True,
        dst_valid: Array | None = None,
        place: Place | None = None,
        keep_alpha: bool = False,
        measures: bool = False,
    ) -> None:
        self._place, self.measures, self._keep_alpha = place, measures, keep_alpha or src is None
        self.name, source = ("image", "image") if src is None else ("dst", "src")
        itself = src is None
        src = dst if src is None else src
        if not itself:
            self._src, batch = layout(src, source)
        self.dst, self.batch = layout(dst, self.name)
        if itself:
            self._src, batch = self.dst, self.batch
        s, d = self._src.shape, self.dst.shape
        _checks.same_dtype(self._src, "src", self.dst, "dst")
        if batch != self.batch or s[0] != d[0]:
            raise ShapeError(
                f"src: shape {list(src.shape)} and dst {list(dst.shape)}; a batch needs as many sources as destinations"
            )
        if min(s[3], 3) != min(d[3], 3):
            raise ShapeError(channels_differ(src, s[3], d[3]))
        self._scale = scale_of(scale)
        if at is None and (scaled(s[1], self._scale), scaled(s[2], self._scale)) != d[1:3]:
            raise sizes_differ(s[1:3], d[1:3], self._scale)
        of = "mask in image" if itself else "src in dst"
        positions = [(0.0, 0.0)] * s[0] if at is None else positions_of(at, s[0], batch, of)
        #: The whole part (y, x) of each item's position, and the fraction.
        self._shifts = [(math.floor(y), math.floor(x)) for x, y in positions]
        self._fractions = [(y - math.floor(y), x - math.floor(x)) for x, y in positions]
        self._decontaminate = decontaminate
        for item, name in ((self._src, source), *(() if itself else ((self.dst, self.name),))):
            _checks.warn_of_range(item, name)
        self._facts = _Facts()
        self._mask: list[NumpyArray] | None = None
        self._src_masks: list[NumpyArray] | None = None
        if itself and at is not None and mask is not None:
            h, w = _size_of_mask(mask)
            self._src_masks = masks_of(mask, s[0], h, w, batch)
            mask_at = functools.cache(lambda i, shift, fraction: lay_mask(masks[i], (d[1], d[2]), shift, fraction))
            masks = self._src_masks
            same = len({id(m) for m in masks}) == 1
            places = zip(self._shifts, self._fractions, strict=True)
            self._mask = [mask_at(0 if same else i, *where) for i, where in enumerate(places)]
            self._shifts, self._fractions = [(0, 0)] * s[0], [(0.0, 0.0)] * s[0]
        elif mask is not None:
            try:
                self._mask = self._src_masks = masks_of(mask, s[0], s[1], s[2], batch, facts=self._facts)
            except ShapeError as error:
                if not itself or error.code != "wrong-size":
                    raise
                raise ShapeError(f"mask: {error.text}", code=error.code, hint=_MASK_AT, **error.details) from None
        if s[3] == 4 and self._src.dtype.kind == "f":
            for item in self._src:
                _checks.mask(item[..., 3], f"the alpha of {source}", s[1], s[2])
        self._valid = None if dst_valid is None else masks_of(dst_valid, d[0], d[1], d[2], batch, "dst_valid")
        if self._valid is not None and not all(valid.any() for valid in self._valid):
            raise MaskError("dst_valid: zero everywhere, so that all of dst is unknown; expected a value above zero")
        if self._valid is not None and self.dst.shape[3] == 4:
            for valid, item in zip(self._valid, self.dst):
                opaque = item[..., 3] > 0
                if opaque.any() and not (opaque & (valid > 0)).any():
                    raise MaskError(
                        "dst_valid: zero wherever the alpha of dst is above zero, so all of dst is unknown; expected "
                        "both above zero somewhere"
                    )
        self._dst_argument, self._inputs = dst, [(mask, "mask")] if src is dst else [(src, "src"), (mask, "mask")]
        self._inputs.append((dst_valid, "dst_valid"))
        self._out = out
        self.result = self._take_out(out)
        self._results, _ = layout(self.result, "out")

    def items(self) -> list[FrameItem]:
        """Returns the images of each item."""
        items = []
        for i, (src, dst) in enumerate(zip(self._src, self.dst, strict=True)):
            mask, valid = (None if masks is None else masks[i] for masks in (self._mask, self._valid))
            (y, x), (fy, fx) = self._shifts[i], self._fractions[i]
            source = None if self.name == "image" else src
            items.append(FrameItem(i, source, dst, mask, valid, (x + fx, y + fy), self._scale))
        return items

    def like(self, item: FrameItem) -> Frame:
        """Returns a frame of other images, with the settings of this one."""
        edits = item.src is None
        return Frame(
            item.src, item.dst, item.mask, None if edits else item.at, None, scale=1.0 if edits else item.scale,
            decontaminate=self._decontaminate, dst_valid=item.valid, place=self._place, keep_alpha=self._keep_alpha,
            measures=self.measures,
        )  # fmt: skip

    def _take_out(self, out: Array | None) -> Array:
        like = _arrays.to_numpy(self._dst_argument, self.name)
        if out is None:
            return _arrays.like_kind(np.empty_like(like, subok=False), self._dst_argument)
        a = _arrays.to_numpy(out, "out", writable=True)
        if _arrays.is_torch(out) != _arrays.is_torch(self._dst_argument):
            raise DTypeError(
                f"out: {type(out).__name__}, expected the kind of {self.name}, {type(self._dst_argument).__name__}"
            )
        _checks.out_like(a, "out", like, self.name)
        for other, name in self._inputs:
            self.keep_apart(other, name)
        return out

    def keep_apart(self, other: Any, name: str) -> None:
        """Refuses an `out` that shares memory with another argument."""
        if self._out is None or not _arrays.is_array(other):
            return
        if np.may_share_memory(_arrays.to_numpy(self._out, "out"), _arrays.to_numpy(other, name)):
            raise ArgumentError(f"out: shares memory with {name}; pass another array")

    def color_weight(self, x: Any) -> Any:
        """Returns color_weight over dst: a number, or a map of which blends take crops."""
        self.keep_apart(x, "color_weight")
        return _checks.color_weight(x, *self.shape)

    def images_like_dst(self, x: Any, name: str) -> Any:
        """Returns the colours [H, W, C] of each item of another image in dst's frame, indexed by `Job.item`."""
        a, _ = layout(x, name)
        _checks.same_dtype(a, name, self.dst, "dst")
        if a.shape[:3] != self.dst.shape[:3] or min(a.shape[3], 3) != min(self.dst.shape[3], 3):
            raise _checks.wrong_size(name, tuple(x.shape), tuple(self._dst_argument.shape), like="that of dst, ")
        return [item[..., : min(a.shape[3], 3)] for item in a]

    def jobs(self) -> Iterator[Job]:
        """Yields the job of each item, in order."""
        for i, (src, dst, out) in enumerate(zip(self._src, self.dst, self._results, strict=True)):
            colours = min(dst.shape[2], 3)
            src_mask = None if self._mask is None else self._mask[i]
            shift, fraction = self._shifts[i], self._fractions[i]
            real = np.float64 if dst.dtype == np.float64 else np.float32
            options: dict[str, Any] = {"real": real, "decontaminate": self._decontaminate}
            if self._scale == 1:
                source = place(src, src_mask, self.shape, shift, fraction, **options)
            else:
                position = shift[0] + fraction[0], shift[1] + fraction[1]
                source = place_scaled(src, src_mask, self.shape, position, self._scale, **options)
            src_region, mask = source.src_region, source.mask
            facts = self._facts.of(mask)
            has_alpha = dst.shape[2] == 4
            dst_alpha = dst[..., 3] if has_alpha else None
            valid = None if self._valid is None else self._valid[i]
            yield Job(
                item=i,
                place=self._place,
                src=source.colours,
                dst=dst[..., :colours],
                mask=mask,
                holes=source.holes,
                src_region=src_region,
                shift=shift,
                bbox=facts.box if facts.box.empty else facts.box.moved(*src_region.origin),
                out=out[..., :colours],
                out_alpha=out[..., 3] if has_alpha else None,
                dst_alpha=dst_alpha,
                keep_alpha=self._keep_alpha,
                ground=Ground(dst[..., :colours], dst_alpha if self.name == "dst" else None, valid),
                facts=facts,
            )

    def each(self, blend: Callable[[Any], Any], *, boxes: bool = True) -> Infos:
        """Runs a blend on every item and returns their infos, each with the time and memory of the whole item.

        The memory is that of arrays and native calls on the CPU, without what was there before and that of torch.
        boxes is False if the blend does not need `Job.bbox`, for which it would have to wait for a device.
        """
        infos: Infos = []
        jobs = self.jobs()
        while len(infos) < len(self.dst):
            with native.Memory() if self.measures else contextlib.nullcontext() as memory:
                job = next(jobs)
                start = time.perf_counter()
                if job.soft:
                    source = "src" if self.name == "dst" else self.name
                    name = f"the alpha of {source}" if self._mask is None else "mask"
                    height, width = (length * self._scale for length in self._src[job.item].shape[:2])
                    tiny = f"{self._scale:g} reduces {source} to {width:.2g} x {height:.2g} pixels"
                    tiny = tiny if min(height, width) < 1 else ""
                    warn_of_faint(job.facts.inside, job.facts.faint, job.mask.dtype.name, name, tiny)
                info = blend(job)
                if isinstance(info, list):
                    (info,) = info
                if info.method != "copy":
                    job.finish_alpha()
            milliseconds = (time.perf_counter() - start) * 1e3
            reason = self._why_nothing(job.item) if info.method == "copy" and job.bbox.empty else info.reason
            peak = 0 if memory is None else memory.peak
            infos.append(object.__new__(type(info)))  # dataclasses.replace takes longer than to measure
            vars(infos[-1]).update(vars(info), milliseconds=milliseconds, peak_bytes=peak, reason=reason)
        return infos

    def _why_nothing(self, item: int) -> Reason:
        """Returns the reason why no pixel of an item is inside."""
        mask, src = None if self._src_masks is None else self._src_masks[item], self._src[item]
        alpha = src[..., 3] if src.shape[2] == 4 else None
        source = "src" if self.name == "dst" else self.name
        if mask is not None and not mask.any():
            return Reason("mask-empty", "mask is zero everywhere", mask="mask")
        if alpha is not None and not alpha.any():
            return Reason("alpha-empty", f"the alpha of {source} is zero everywhere", image=source)
        if (
            mask is not None
            and alpha is not None
            and mask.shape == alpha.shape
            and not ((mask > 0) & (alpha > 0)).any()
        ):
            text = f"mask is zero wherever {source} is not transparent"
            return Reason("mask-off-alpha", text, mask="mask", image=source)
        size = size_of(self.shape)
        return Reason("outside", f"the object lies outside {self.name} ({size})", image=self.name, size=size)


class StepFrame(Frame):
    """The frame of a step of a call that has opened and checked the arrays: an edit of one of them.

    image: [H, W, C], without alpha.
    mask: [h, w], of the object; `at` is the position (x, y) of its first pixel in the image.
    out: like image; it may be image itself.
    """

    def __init__(self, image: NumpyArray, mask: NumpyArray, at: tuple[int, int], out: NumpyArray) -> None:
        self.name, self.batch, self.dst, self.result, self.measures = "image", False, image[None], out, True
        self._src, self._scale, self._src_masks, self._out = self.dst, 1.0, [mask], None
        self._laid_mask = lay_mask(mask, self.shape, at[::-1], (0.0, 0.0))
        self._mask = [self._laid_mask]

    def jobs(self) -> Iterator[Job]:
        """Yields the job of the step."""
        (image,), mask = self.dst, self._laid_mask
        facts = mask_facts(mask)
        yield Job(
            item=0,
            place=None,
            src=image,
            dst=image,
            mask=mask,
            holes=None,
            src_region=Region.whole(self.shape),
            shift=(0, 0),
            bbox=facts.box,
            out=self.result,
            out_alpha=None,
            dst_alpha=None,
            keep_alpha=True,
            ground=Ground(image, None, None),
            facts=facts,
        )
