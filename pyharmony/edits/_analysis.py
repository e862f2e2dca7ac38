"""The comparison of an edit with its original, in a view of at most `VIEW_SIDE` pixels: what is the same, what not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .._arrays import Bools, Float64, Pixels
from .._images.planes import closed, connected_parts, shrunk
from .._images.sizes import fitted, resized
from ..ops.warp import warp
from ._blur import blur_of
from ._change import changed, difference
from ._planes import grey, planes_of, texture
from ._register import Registration, register, searched, starts_of
from ._space import SAME_SPACE, Space
from ._tone import Tone, fit_tone

Numbers = npt.NDArray[np.int32]

#: The longer side of a view, in pixels.
VIEW_SIDE = 640
#: The least side of an image, and of its view.
MIN_SIDE = 24
#: The longer side of the small view in which what is the same is found first.
_COARSE_VIEW_SIDE = 256
#: The agreement below which other places and scales are searched.
_SEARCH_AGREEMENT = 0.3
#: The least share of the picture outside of the part that may change, for motion and colours to be that one's.
_MIN_UNCHANGED_SHARE = 0.1
#: The levels by which a margin of one colour may differ from it, and the share of its pixels that may differ by more.
_MARGIN_LEVELS, _MARGIN_SPECKS = 12, 0.08
_SHARPER_WEIGHT = 0.15  # the weight of the finest band from which on an edit is sharper than its original
#: The radius within which parts are one change, as a share of the longer side.
_JOIN_RADIUS = 0.012


@dataclass(frozen=True)
class Analysis:
    """The comparison of an edit with its original."""

    size: tuple[int, int]  # the width and height of the view
    view: Pixels  # of the original in the edit's colour space, [h, w, 3]
    edit_view: Pixels  # the edit as it looks in it, [h, w, 3]
    registration: Registration
    visible: Bools  # the pixels of the view that the edit shows, [h, w]
    same: Bools  # those that surely show the same
    tone: Tone
    region: Bools  # those that were changed on purpose
    numbers: Numbers  # the number of the change of each pixel, from 1, the largest first; 0: none; int32 [h, w]
    colour_change: float  # the mean change of colours that the tone undoes, in levels
    beyond: float  # the share of the edit's frame that lies outside of the original's and is no margin of one colour
    sharper: bool  # whether the edit has more fine detail than its original where they show the same
    confirmed: float  # the share of what the limit excludes where both show the same, 0 to 1; 0 without a limit

    @property
    def share(self) -> float:
        """The share of what the edit shows that was changed, 0 to 1."""
        return _count(self.region) / max(1, _count(self.visible))

    @property
    def unexplained(self) -> float:
        """The share of the rest that differs too, though by too little to be a change, 0 to 1."""
        rest = _count(self.visible) - _count(self.region)
        return 1 - _count(self.same) / max(1, rest)

    @property
    def toward_edit(self) -> Tone:
        """The map of the original's colours to those of the edit."""
        return fit_tone(self.edit_view, self.view, self.same)


def analysed(
    original: Pixels, edited: Pixels, alpha: Pixels | None = None, space: Space = SAME_SPACE, *, align: bool = True,
    limit: Pixels | None = None, like: Analysis | None = None,
) -> Analysis:  # fmt: skip
    """Returns the comparison of an edit with its original, both [H, W, 3] levels, of any sizes.

    space: their colour spaces.
    alpha: that of the edit, [H, W] levels; where it is below one half the edit shows nothing.
    limit: the part of the original that may change, [H, W] levels: motion and colours are those of the rest.
    like: that of another frame of the same sizes, whose registration and colours hold for this one too.
    """
    size = fitted((original.shape[1], original.shape[0]), VIEW_SIDE, least=MIN_SIDE)
    view = np.rint(space.to_edit(resized(original, size))).astype(np.uint8)
    starts = starts_of(size, (original.shape[1], original.shape[0]), (edited.shape[1], edited.shape[0]))
    unchanged = np.ones(view.shape[:2], bool) if limit is None else resized(limit, size) < 1
    is_limited = limit is not None and float(unchanged.mean()) > _MIN_UNCHANGED_SHARE
    if not is_limited:
        unchanged[...] = True
    registration = register(view, edited, starts, align, unchanged) if like is None else like.registration
    if align and like is None and registration.agreement < _SEARCH_AGREEMENT:
        other = register(view, edited, [searched(view, edited)], unchanged=unchanged)
        if other.agreement > registration.agreement:
            registration = other
    edit_view, visible = _through(edited, registration, size)
    if alpha is not None:
        opaque = warp(resized(alpha, registration.start.size), registration.matrix, size) > 127
        visible &= shrunk(opaque, 2)
    tone, same = _small_tone(view, edit_view, visible & unchanged, None if like is None else like.tone)
    if like is None:
        tone = fit_tone(view, edit_view, same, tone)
    mapped = tone.apply(edit_view)
    own, other_planes = planes_of(view), planes_of(mapped)
    blur = blur_of(own[1:2], other_planes[1:2], same)
    blurred = [blur.apply(plane) for plane in own]
    differs = difference(blurred, other_planes, edit_view, texture(grey(view)), same)
    region = changed(differs, visible)
    same = differs.unchanged(visible) & ~region
    shift = np.abs(mapped[same] - edit_view[same]).mean() if same.any() else 0.0
    sharper = bool(blur.weights[0] > _SHARPER_WEIGHT)
    return Analysis(
        size, view, edit_view, registration, visible, same, tone, region, _numbered(region), float(shift),
        _beyond(edited, registration, size), sharper,
        _count(same & unchanged) / max(1, _count(visible & unchanged)) if is_limited else 0.0,
    )  # fmt: skip


def _through(edited: Pixels, registration: Registration, size: tuple[int, int]) -> tuple[Pixels, Bools]:
    """Returns the edit as it looks in the view of its original, and the pixels that it shows."""
    other = resized(edited, registration.start.size)
    if other.shape[1::-1] == size and not registration.motion and np.array_equal(registration.matrix, np.eye(3)):
        return other, np.ones(size[::-1], bool)
    values = warp(other, registration.matrix, size)
    visible = coverage(registration.matrix, size, registration.start.size)
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8), visible if visible.all() else shrunk(visible, 2)


def _beyond(edited: Pixels, registration: Registration, size: tuple[int, int]) -> float:
    """Returns the share of an edit's frame that lies outside of its original's; 0 for margins of one colour."""
    other = registration.start.size
    outside = ~coverage(np.asarray(np.linalg.inv(registration.matrix), np.float64), other, size)
    # Beside the original both are mixed.
    colours = resized(edited, other)[shrunk(outside, 2)].astype(np.int16)
    if not len(colours):
        return 0.0
    away = np.abs(colours - np.median(colours, 0)).max(1)
    return float(outside.mean()) if (away > _MARGIN_LEVELS).mean() > _MARGIN_SPECKS else 0.0


def coverage(matrix: Float64, size: tuple[int, int], other: tuple[int, int]) -> Bools:
    """Returns which pixels of a view an image of another size covers, through a homography."""
    x, y = np.arange(size[0], dtype=np.float32), np.arange(size[1], dtype=np.float32)[:, None]
    m = matrix.astype(np.float32)
    last = m[2, 0] * x + m[2, 1] * y + m[2, 2]
    inside: Bools = last > 0
    for row, length in zip(m[:2], other, strict=True):
        at = row[0] * x + row[1] * y + row[2]
        inside &= (at >= np.float32(-0.3) * last) & (at <= np.float32(length - 0.7) * last)
    return inside


def _small_tone(view: Pixels, edit_view: Pixels, visible: Bools, known: Tone | None) -> tuple[Tone, Bools]:
    """Returns a first map of colours and where both show the same, from small copies, in which blur does not count.

    known: the map, if it is decided already.
    """
    size = fitted((view.shape[1], view.shape[0]), _COARSE_VIEW_SIDE, least=MIN_SIDE)
    own, other = resized(view, size), resized(edit_view, size)
    opaque = visible if size == view.shape[1::-1] else resized(visible.astype(np.uint8) * np.uint8(255), size) > 254
    planes, slopes = planes_of(own), texture(grey(own))
    tone, same = None, opaque
    for _ in range(2):
        tone = known or fit_tone(own, other, same, tone)
        differs = difference(planes, planes_of(tone.apply(other)), other, slopes, same)
        unchanged = differs.unchanged(opaque)
        if _count(unchanged) < 0.02 * unchanged.size:
            break
        same = unchanged
    assert tone is not None  # noqa: S101
    whole = (
        same if size == view.shape[1::-1] else resized(same.astype(np.uint8) * np.uint8(255), view.shape[1::-1]) > 254
    )
    return tone, whole & visible


def _count(region: Bools) -> int:
    return int(np.count_nonzero(region))


def _numbered(region: Bools) -> Numbers:
    """Returns the number of the change of each pixel; parts near each other are one change, the largest is 1."""
    near = closed(region, max(1, round(_JOIN_RADIUS * max(region.shape))))
    numbers = np.where(region, connected_parts(near), 0)
    areas = np.bincount(numbers.ravel())
    areas[0] = 0
    order = np.argsort(-areas, kind="stable")
    ranks = np.zeros(len(areas), np.int32)
    count = np.count_nonzero(areas)
    ranks[order[:count]] = np.arange(1, count + 1)
    return ranks[numbers]
