"""Merges photos of one scene."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .. import _arrays, _checks, _reprs
from .._arrays import VALUE_RANGE, Float32, Float64, NumpyArray, Pixels, round_into
from .._cuda import is_device_array
from .._images.call import DST_AS_SRC, Call, Item, open_item
from .._images.frame import Frame, Infos, Job, as_images, size_of
from .._images.kinds import in_kind_of
from .._images.levels import colour_levels, levels_of_shares, opened
from .._images.sizes import fitted, resized
from .._public import former_field, naming_keywords
from .._verdict import MERGED, told, verdict_of
from .._warnings import warn
from ..errors import NO_REASON, ArgumentError, PyHarmonyWarning, Reason, UnchangedWarning
from ..io import Picture
from ..io.provenance import composite_of
from ..io.shown import WithInfo
from ..segmentation import Masks
from ..typing import ImageLike, MaskLike, OutLike
from ._align import Alignment
from ._base import MergeBase, bases_of, best_of
from ._keep import Choice, Costs, Part, choose, slack_of
from ._light import FOOT, correction, gains_of
from ._photos import AUTO, Photo, checked_photos, people_of_each, photo_of
from ._planes import blurred, coverage, opencv, warped
from ._views import VIEW_SIDE, ViewCache, between, on_base

_CONTOUR_SIGMA = 0.8  # the standard deviation of the blur of a contour, in pixels of the small images
_SLOPE_FACTOR = 2.0  # the factor by which the slope of the blurred edge is raised
#: The margin around an added part, in pixels of the small images.
_PART_MARGIN = 4
#: The number of rows that are blended at once.
_ROWS = 256


@naming_keywords
@dataclass(frozen=True)
class MergedPart:
    """A part of a photo that was added to the base, or a person who was not.

    Attributes:
        box: its bounding rectangle (x, y, width, height) in the result.
        people_share: the mean probability of people in it, 0 to 1.
        crossing: the share of its contour, 0 to 1, along which the photos show different objects: near 0 for a person
            alone, and more for one who touches or covers a person of the base.
        taken: whether it was added.
        reason: why it was not, or what may be wrong with it, in a few words; else empty.

    Example:
        >>> from pyharmony import merging
        >>> merging.MergedPart((10, 20, 30, 60), 0.9, 0.0, True).reason
        ''
    """

    box: tuple[int, int, int, int]
    people_share: float
    crossing: float
    taken: bool
    reason: Reason = NO_REASON
    people = former_field("people", "people_share")


@dataclass(frozen=True, repr=False)
class MergedPhoto(_reprs.Line):
    """A photo of a merge.

    Attributes:
        matrix: [3, 3], maps (x, y, 1) of the base to the photo, up to a factor; the middle of the first pixel is
            (0, 0).
        inliers: the number of pairs of features that agree with it; 0 for the base and without alignment.
        residual: the median of their reprojection errors, in pixels of the photo.
        gains: the factors of the channels from the exposure of the photo to that of the base.
        differs: the share of the frame, 0 to 1, in which the photo and the base show different objects.
        mask: the share of each pixel of the result that is from the photo, [H, W] uint8; 0 for the base.
        parts: the added parts, from left to right, and people who were not added.
        reason: why the photo was left out, in a few words; else empty.

    Example:
        >>> from pyharmony import merging
        >>> from pyharmony.errors import Reason
        >>> reason = Reason("other-place", "it does not show the scene of photos[0], only 5 of 23 pairs agree")
        >>> nowhere = np.zeros((120, 160), np.uint8)
        >>> photo = merging.MergedPhoto(np.eye(3), 5, 0.0, (1.0, 1.0, 1.0), 0.0, nowhere, (), reason)
        >>> photo.inliers, photo.parts
        (5, ())
    """

    matrix: Float64
    inliers: int
    residual: float
    gains: tuple[float, ...]
    differs: float
    mask: Pixels
    parts: tuple[MergedPart, ...]
    reason: Reason = NO_REASON


@dataclass(frozen=True, repr=False)
class MergeInfo(_reprs.Line):
    """A record of a merge.

    Attributes:
        base: the number of the base.
        photos: the record of each photo, including the base.
        reason: why nothing was added, so that the result is a copy of the base, in a few words; else empty.
        seconds: the wall time.
        bases: the cost of each photo as the base, if it was chosen; else empty.
        usable: how likely everybody is complete and nothing is doubled, 0 to 1; None if nothing was added.
        doubts: what speaks against that, with hints, the weightiest first.

    Example:
        >>> from pyharmony import merging
        >>> info = merging.MergeInfo(0, (), "no other photo has people who are not in the base", 1.5)
        >>> info.reason.split()[-1]
        'base'
    """

    base: int
    photos: tuple[MergedPhoto, ...]
    reason: Reason
    seconds: float
    bases: tuple[MergeBase, ...] = ()
    usable: float | None = None
    doubts: tuple[Reason, ...] = ()

    @property
    def verdict(self) -> Reason:
        """The verdict in words, with what would help: its code is 'not-usable' or 'doubtful'; empty if usable."""
        return told(self.usable, self.doubts, "merged photo")


def merge(
    photos: Sequence[ImageLike],
    *,
    base: int | Literal["auto"] = "auto",
    people: Sequence[Masks | MaskLike | Sequence[MaskLike] | None] | None = None,
    align: bool = True,
    keep_gps: bool = False,
    out: OutLike | None = None,
    return_info: bool = False,
) -> Any:
    """Merges photos of one scene with different people into one photo with all of them.

    The photos are taken from about the same position, on a tripod or handheld. They are aligned by features, adapted to
    the exposure of the base, and compared; people who are in another photo and not in the base are added, with a
    contour along which the photos agree. The background around them gets the colours of the base as in Poisson
    blending, the people only its light. docs/merging.md describes the steps and their sources. It needs OpenCV.

    Args:
        photos: two or more images, each [H, W] or [H, W, C] (torch: [C, H, W]) or of another kind that
            `pyharmony.blend` accepts; arrays have one dtype and number of colours, sizes may differ. Other kinds are
            converted to the colours of the base. Their alpha is ignored, that of the base is kept.
        base: the number of the photo to which the others are added; 'auto': the one to which people of the others can
            be added with the fewest of them cropped, covered or left out, whatever the order, see MergeBase. A grey
            one only if all are, and with an array in out one of its shape.
        people: for each photo its people: None, and they are detected; the result of `pyharmony.segment`; a mask
            [H, W] of all of them; or a list with a mask of each, which may be empty. Masks have the photo's size and
            are of any kind that `pyharmony.blend` accepts. Of people who overlap the one with the lower feet is in
            front, if the masks of both photos are passed; else those of the base are.
        align: whether the photos are aligned; False: they are aligned already, to the pixel.
        keep_gps: whether the result keeps the GPS position of a base that is read from a file or PIL image.
        out: an array like the base to write into; or a path or open binary file, see `pyharmony.blend`.
        return_info: whether to return a MergeInfo too.

    Returns:
        The merged image, in the kind, layout, shape and dtype of the base, or (image, info). Outside of the added parts
        it is the base, bit for bit. A photo that does not show the scene of the base is left out, with a
        PyHarmonyWarning. If nobody is added it is a copy, with an UnchangedWarning.

    Raises:
        ArgumentError: there are fewer than two photos; base is not the number of one; one has another size with
            align=False; one contains NaN or infinities; out shares memory with one.
        ShapeError, DTypeError, MaskError: an image or a mask has a shape, dtype or values that are not accepted.
        DecodeError: a file is not an image.
        ImportError: OpenCV is not installed.
        WeightsError: people are to be detected, and the weights of the network are missing or damaged.

    Example:
        >>> from pyharmony import merging
        >>> random = np.random.default_rng(0)
        >>> place = random.integers(60, 200, (30, 40, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
        >>> first, second, person = place.copy(), place.copy(), np.zeros((240, 320), bool)
        >>> person[100:220, 40:90] = True
        >>> second[person] = (250, 0, 0)
        >>> result = merging.merge([first, second], base=0, people=[[], [person]])
        >>> int(np.abs(result.astype(int) - second).max()) < 10
        True
    """
    start = time.perf_counter()
    _checks.flags(align=align, keep_gps=keep_gps, return_info=return_info)
    # A file is written after the merge, when the sources of the result are known.
    to_file = out is not None and not (_arrays.is_array(out) or is_device_array(out))
    every = checked_photos(photos, base)
    people_of_photos = people_of_each(people, len(every))
    opencv()
    # All arguments are checked before anything is computed.
    images = [opened(image, f"photos[{i}]", keep_gps=bool(keep_gps)) for i, image in enumerate(every)]
    if to_file:
        open_item(Item(DST_AS_SRC, images[0], None, None, 1.0, out, {}), keep_gps=False)
    number = 0 if base == AUTO else int(base)
    own, *others = _with_base(number, images, people_of_photos, bool(align))
    cache = ViewCache()
    bases: tuple[MergeBase, ...] = ()
    if base == AUTO:
        bases = bases_of([own, *others], _possible_bases(images, out), cache, bool(align))
        number = best_of(bases)
        if number != own.number:
            before = [own, *others]
            own, *others = _with_base(number, images, people_of_photos, bool(align))
            if not all(np.may_share_memory(before[one.number].colours, one.colours) for one in (own, *others)):
                # The photos have other levels in the colours of this base.
                cache = ViewCache()
            del before
    target = images[number]
    infos: list[MergeInfo] = []

    def work(frame: Frame) -> Infos:
        for photo in others:
            frame.keep_apart(every[photo.number], photo.name)
        (job,) = frame.jobs()
        merger = _Merger(job, own, bool(align), cache)
        job.start()
        for photo in others:
            merger.add(photo)
        infos.append(dataclasses.replace(merger.info(len(every), start), bases=bases))
        answer: Any = infos
        return answer

    call = Call("merge", DST_AS_SRC, target, keep_gps=keep_gps, out=None if to_file else out, device="cpu")
    result = call.run(work, tell=lambda info: None)
    (info,) = infos
    for i, one in enumerate(info.photos):
        name = f"photos[{i}]"
        if one.reason:
            text = f"{name} was left out: {one.reason}"
            warn(PyHarmonyWarning(text, code="left-out", photo=name, why=one.reason))
        for part in one.parts:
            if part.taken and part.reason:
                warn(PyHarmonyWarning.because(f"{name}: check what was added at {part.box}, ", part.reason))
            elif part.reason.code == "place-taken" and people is None:
                warn(PyHarmonyWarning.because(f"{name}: not added at {part.box}, ", part.reason))
    if info.verdict.code == "not-usable":
        warn(PyHarmonyWarning.because("", info.verdict))
    if info.reason:
        warn(UnchangedWarning.because("nothing was merged: ", info.reason))
    picture = result if isinstance(result, Picture) else None
    if to_file and picture is None:
        picture = Picture(as_images(result, "photos")[0])
    parts = [i for i, one in enumerate(info.photos) if i == number or any(part.taken for part in one.parts)]
    if picture is not None and len(parts) > 1:
        picture = composite_of(picture, [every[i] for i in parts])
    result = in_kind_of(every[number], result, picture, out if to_file else None)
    return WithInfo((result, info)) if return_info else result


def _with_base(number: int, images: Sequence[Any], people: Sequence[Any], align: bool) -> list[Photo]:
    """Returns the photos, the base first, the others in its colours and in their order."""
    target = images[number]
    own = photo_of(number, target, people[number])
    photos = [own]
    for i, image in enumerate(images):
        if i == number:
            continue
        photo = photo_of(i, image, people[i], own, target if isinstance(target, Picture) else None)
        if not align and photo.size != own.size:
            sizes = f"{size_of(photo.colours.shape)} pixels, expected {size_of(own.colours.shape)} like {own.name}"
            raise ArgumentError(f"{photo.name}: {sizes} (width x height) with align=False")
        photos.append(photo)
    return photos


def _possible_bases(images: Sequence[Any], out: Any) -> list[int]:
    """Returns the numbers of the possible bases: those in colour, if any is; those of out's shape, if any is."""
    every = list(range(len(images)))
    shape = getattr(out, "shape", None)
    if shape is not None and (fitting := [i for i in every if getattr(images[i], "shape", None) == shape]):
        return fitting
    if any(isinstance(image, Picture) for image in images):
        pixels = [image.pixels if isinstance(image, Picture) else as_images(image, "photos")[0] for image in images]
        return [i for i in every if pixels[i].shape[2] >= 3] or every
    return every


class _Merger:
    """The base, to which photos are added one after the other."""

    def __init__(self, job: Job, base: Photo, align: bool, cache: ViewCache) -> None:
        self.job, self.base, self.align, self.cache = job, base, align, cache
        self.size = fitted(base.size, VIEW_SIDE)
        #: The factors of the small image, across and down.
        self.factors = self.size[0] / base.size[0], self.size[1] / base.size[1]
        self.view = cache.view(base, self.size)
        #: The mask of the people who were added.
        self.occupied = np.zeros(self.size[::-1], bool)
        self.photos: dict[int, MergedPhoto] = {}
        #: The costs of adding people of each photo.
        self.costs: list[Costs] = []

    def add(self, photo: Photo) -> None:
        """Adds people of a photo, if it shows the scene of the base."""
        size = fitted(photo.size, max(self.size))
        own = self.cache.view(photo, size)
        alignment = Alignment(np.eye(3))
        if self.align:
            alignment = self.cache.alignment(self.base, photo, (self.size, size))
        if alignment.reason:
            base, why = self.base.name, str(alignment.reason)
            reason = Reason("other-place", f"it does not show the scene of {base}, {why}", base=base, why=why)
            self.photos[photo.number] = self._record(alignment, reason=reason)
            return
        other_view, visible = on_base(own, between(alignment, self.base, photo, (self.size, size)), self.size)
        gains = gains_of(self.view.levels, other_view.levels, visible & ~self.occupied)
        residual = alignment.residual * size[0] / photo.size[0]
        choice = choose(self.view, other_view, visible, self.occupied, slack_of(residual))
        self.costs.append(choice.costs)
        mask = np.zeros(self.job.shape, np.uint8)
        for part in choice.taken:
            levels, fitting = other_view.levels * gains.astype(np.float32), visible & ~choice.unlike
            light = correction(self.view.levels, levels, fitting, part.region, choice.silhouettes)
            self._blend_part(photo, alignment.matrix, gains, part, light, mask)
        self.photos[photo.number] = self._record(alignment, gains, choice, mask)
        if choice.taken:
            # Further photos are compared with the result so far.
            region = np.logical_or.reduce([part.region for part in choice.taken])
            now = resized(colour_levels(self.job.out), self.size).astype(np.float32)
            self.view = self.view._replace(levels=now, people=np.where(region, other_view.people, self.view.people))
            self.occupied |= region & choice.unlike

    def _blend_part(
        self, photo: Photo, matrix: Float64, gains: Float64, part: Part, light: Float32, mask: Pixels
    ) -> None:
        """Blends a part of a photo into the result, and its weight into `mask`.

        light: the logarithms of factors that fit the part to the base, over the small image.
        """
        height, width = self.job.shape
        left, top, right, bottom = part.box
        x0, x1 = max(0, int((left - _PART_MARGIN) / self.factors[0])), int((right + _PART_MARGIN) / self.factors[0]) + 1
        y0, y1 = max(0, int((top - _PART_MARGIN) / self.factors[1])), int((bottom + _PART_MARGIN) / self.factors[1]) + 1
        x1, y1 = min(width, x1), min(height, y1)
        edge = blurred(part.region, _CONTOUR_SIGMA)
        unit = VALUE_RANGE[photo.colours.dtype.name]
        foot = np.float32(FOOT * unit / 255)
        for first in range(y0, y1, _ROWS):
            last = min(first + _ROWS, y1)
            size, box = (x1 - x0, last - first), (x0, first, x1, last)
            place = (
                x0 * self.factors[0], first * self.factors[1],
                min(x1 * self.factors[0], self.size[0]), min(last * self.factors[1], self.size[1]),
            )  # fmt: skip
            soft = (resized(edge, size, place) - np.float32(0.5)) * np.float32(_SLOPE_FACTOR) + np.float32(0.5)
            soft[~coverage(photo.size, matrix, box)] = 0
            covers = levels_of_shares(soft)
            values: NumpyArray = warped(photo.colours, matrix, box).astype(self.job.real)
            for channel in range(values.shape[2]):
                factor = np.exp(resized(np.ascontiguousarray(light[..., channel]), size, place))
                values[..., channel] = (values[..., channel] * self.job.real(gains[channel]) + foot) * factor - foot
            if photo.colours.dtype.kind == "u":
                values.clip(0, unit, out=values)
            target = self.job.out[first:last, x0:x1]
            weight = covers[..., None] * self.job.real(1 / 255)
            round_into(weight * values + (1 - weight) * target, target, where=covers[..., None] > 0)
            np.maximum(mask[first:last, x0:x1], covers, out=mask[first:last, x0:x1])

    def _record(
        self, alignment: Alignment, gains: Float64 | None = None, choice: Choice | None = None,
        mask: Pixels | None = None, reason: Reason = NO_REASON,
    ) -> MergedPhoto:  # fmt: skip
        """Returns the record of a photo; with no other arguments that of the base."""
        factors = np.ones(3) if gains is None else gains
        return MergedPhoto(
            matrix=alignment.matrix,
            inliers=alignment.inliers,
            residual=alignment.residual,
            gains=tuple(float(gain) for gain in factors[: self.job.dst.shape[2]]),
            differs=choice.differs if choice else 0.0,
            mask=np.broadcast_to(np.uint8(0), self.job.shape) if mask is None else mask,
            parts=tuple(self._merged_part(part) for part in choice.parts) if choice else (),
            reason=reason,
        )

    def _merged_part(self, part: Part) -> MergedPart:
        left, top, right, bottom = part.box
        x, y = round(left / self.factors[0]), round(top / self.factors[1])
        box = (x, y, round(right / self.factors[0]) - x, round(bottom / self.factors[1]) - y)
        return MergedPart(box, round(part.people, 3), round(part.crossing, 3), part.taken, part.reason)

    def info(self, count: int, start: float) -> MergeInfo:
        """Returns the record of a merge of so many photos that began at a time."""
        own = self._record(Alignment(np.eye(3)))
        photos = tuple(self.photos.get(i, own) for i in range(count))
        reason = NO_REASON
        if not any(part.taken for photo in photos for part in photo.parts):
            reason = Reason("nobody-else", "no other photo has people who are not in the base")
            if all(photo.reason for i, photo in enumerate(photos) if i != self.base.number):
                reason = Reason("no-common-place", "no other photo shows the scene of the base")
        total = {name: sum(getattr(costs, name) for costs in self.costs) for name in Costs._fields}
        facts = {"ended": math.sqrt(total["ended"]), "contour": math.sqrt(total["contour"]), "missed": total["missed"]}
        usable, doubts = (None, ()) if reason else verdict_of(facts, table=MERGED)
        return MergeInfo(self.base.number, photos, reason, time.perf_counter() - start, usable=usable, doubts=doubts)
