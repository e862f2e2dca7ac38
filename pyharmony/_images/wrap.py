"""Periodic borders: images whose opposite borders touch, such as panoramas of 360 degrees and tiles of textures.

A periodic axis is continued at both ends, around the source, so that a blend reads there what is beyond the border. If
the mask leaves a pixel of the axis free, the pixels that change are between pixels that do not, and the result is that
of the periodic image. If not, the continuation is so long that its ends have no effect: an error there falls by
exp(-pi d / h) over a distance d, for a mask of height h between pixels that do not change (Laplace's equation).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._arrays import Bools, NumpyArray, is_array, to_numpy
from .._checks import DEFAULT_TOLERANCE
from ..errors import ArgumentError, MaskError
from .frame import Frame, FrameItem, Infos, layout
from .region import STRIP, bounding_box

#: The largest error at the far end of a continuation, in levels.
_MAX_END_ERROR = 1000


class _Axis(NamedTuple):
    """A periodic axis and its continuation.

    Attributes:
        indices: the pixels of the image in the continuation.
        back: the pixels of the continuation that are the image.
        start: the first pixel of the source in the continuation.
        has_source: whether the source is as long as the image, and periodic too.
        is_full: whether the mask leaves no pixel of the axis free; there are no copies of the object then.
    """

    indices: npt.NDArray[np.intp]
    back: npt.NDArray[np.intp]
    start: float
    has_source: bool
    is_full: bool


def run(frame: Frame, work: Callable[..., Infos], wrap: str, beside: Mapping[str, Any]) -> Infos:
    """Runs a blend on a frame with periodic axes, and returns its infos.

    Args:
        frame: the images, whose result is written.
        work: the blend, of a frame and of further images by name.
        wrap: one of `Wrap`.
        beside: these further images and settings; those of dst's height and width are continued too.

    Raises:
        ArgumentError: a source is longer than dst along a periodic axis.
        MaskError: a mask covers all of dst.
    """
    infos: Infos = []
    for item, result in zip(frame.items(), layout(frame.result, "out")[0], strict=True):
        maps = {name: _map_of(x, item.number) for name, x in beside.items()}
        values, own = _blended(item, functools.partial(_run_on, frame, work), wrap, maps)
        result[...] = values
        infos += own
    return infos


def _run_on(
    frame: Frame, work: Callable[..., Infos], item: FrameItem, maps: Mapping[str, Any]
) -> tuple[NumpyArray, Infos]:
    """Runs a blend on other images in place of an item of a frame; returns the result [H, W, C] and its infos."""
    own = frame.like(item)
    infos = work(own, **maps)
    return np.asarray(own.result), infos


def _map_of(x: Any, index: int) -> Any:
    """Returns a further image of an item as a numpy array [H, W] or [H, W, C]; other settings are unchanged."""
    if not is_array(x):
        return x
    return to_numpy(x, "map") if x.ndim == 2 else layout(x, "base")[0][index]


def _blended(
    item: FrameItem, blend: Callable[..., tuple[NumpyArray, Infos]], wrap: str, maps: Mapping[str, Any]
) -> tuple[NumpyArray, Infos]:
    """Returns the blend of an item with periodic axes, and its infos."""
    src, dst, mask, at = item.src, item.dst, item.mask, item.at
    inside = _inside(dst if src is None else src, mask)
    axes = {axis: _continued(item, inside, axis) for axis in (0, 1) if "yx"[axis] in wrap}
    weight = maps.get("color_weight")
    if (
        inside.all()
        and all(axis.has_source for axis in axes.values())
        and not (weight is not None and np.max(weight) > 0)
    ):
        raise MaskError(f"mask: covers all of the image, and with wrap={wrap!r} nothing is fixed; leave a row at zero")

    def continued(x: Any, of_source: bool = False) -> Any:
        for number, axis in axes.items():
            if isinstance(x, np.ndarray) and (axis.has_source or not of_source):
                x = x.take(axis.indices, number)
        return x

    if any(axis.has_source for axis in axes.values()):
        mask = continued(np.where(inside, np.uint8(255), np.uint8(0)) if mask is None else mask, True)
        for number, axis in axes.items():
            if axis.has_source and not axis.is_full:
                # The copies of the object beyond the image change nothing in it.
                copies = np.delete(np.arange(len(axis.indices)), axis.back)
                mask[(slice(None), copies) if number else copies] = 0
    start = [axes[axis].start if axis in axes else at[1 - axis] for axis in (1, 0)]
    continuation = item._replace(
        src=continued(src, True), dst=continued(dst), mask=mask, valid=continued(item.valid), at=(start[0], start[1])
    )
    result, infos = blend(continuation, {name: continued(x) for name, x in maps.items()})
    for number, axis in axes.items():
        result = result.take(axis.back, number)
    return result, infos


def _continued(item: FrameItem, inside: Bools, axis: int) -> _Axis:
    """Returns the continuation of an axis of an item's dst."""
    length, own, start = item.dst.shape[axis], inside.shape[axis] * item.scale, item.at[1 - axis]
    if own > length:
        raise ArgumentError(
            f"src: {own:g} pixels {'wide' if axis else 'high'} in dst, expected at most the {length} of dst, whose "
            "borders wrap joins"
        )
    has_source = own == length and item.scale == 1 and start == 0
    free = np.asarray(~inside.any(1 - axis))
    is_full, margin = has_source and not free.any(), length // 2
    first = _middle_of_gap(free) if has_source else math.floor(start + own / 2 - length / 2)
    if is_full:
        # At a border, or a strip from it that counts as inside, nothing is fixed: the mask is as good as twice as high.
        box = bounding_box(inside)
        first_line, end_line = (box.y0, box.y1) if axis else (box.x0, box.x1)
        at_border = min(first_line, inside.shape[1 - axis] - end_line) <= STRIP
        heights = math.log(_MAX_END_ERROR / DEFAULT_TOLERANCE[item.dst.dtype.name]) / math.pi * (1 + at_border)
        margin = length if inside.all() else math.ceil(heights * (end_line - first_line))
    indices = np.arange(first - margin, first + length + margin) % length
    back = margin + (np.arange(length) - first) % length
    return _Axis(indices, back, 0.0 if has_source else start - first + margin, has_source, is_full)


def _inside(own: NumpyArray, mask: NumpyArray | None) -> Bools:
    """Returns where a mask [h, w], or without one the alpha of an image [h, w, C], is above 0."""
    if mask is not None:
        return np.asarray(mask > 0)
    return np.asarray(own[..., 3] > 0) if own.shape[2] == 4 else np.ones(own.shape[:2], bool)


def _middle_of_gap(free: Bools) -> int:
    """Returns the middle of the longest run of free pixels, which may continue from the last to the first."""
    best = longest = run = 0
    for index, is_free in enumerate(np.tile(free, 2).tolist()):
        run = run + 1 if is_free else 0
        if longest < run <= len(free):
            best, longest = index - run // 2, run
    return best % len(free)
