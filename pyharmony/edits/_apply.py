"""Puts AI edits back into their photograph."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from .. import _arrays, _checks, _reprs
from .._arrays import VALUE_RANGE, Bools, Float64, Pixels
from .._cuda import is_device_array
from .._images.call import DST_AS_SRC, Call, Item, open_item
from .._images.frame import Frame, Infos, Job, as_images, luma
from .._images.kinds import OneImage, checked_image, in_colours, in_kind_of, warn_of_gradients
from .._images.levels import colour_levels, in_levels, mask_levels, opened, rounded
from .._images.region import bounding_box, check_finite
from .._images.sizes import resized
from .._warnings import quiet, warn
from ..errors import (
    NO_REASON,
    ArgumentError,
    DTypeError,
    PyHarmonyError,
    PyHarmonyWarning,
    Reason,
    ShapeError,
    UnchangedWarning,
)
from ..io import Picture
from ..io.provenance import composite_of
from ..io.shown import WithInfo
from ..matching import match_grain
from ..typing import ImageLike, MaskLike, OutLike
from ._analysis import MIN_SIDE, Analysis, analysed
from ._extend import extended
from ._planes import translation
from ._render import Drawer, softened
from ._space import Space, space_of
from ._tone import Tone

_ROWS = 256  # that are recoloured at once
#: The pixels of the view over which a change fades into the original.
_FADE_WIDTH = 2.4
#: The share of the visible view from which on everything counts as changed.
_RESTYLED_SHARE = 0.75
#: The least agreement of an edit of the same picture; it is at most 0.06 between others.
_MIN_AGREEMENT = 0.12
#: The share of the rest that differs too, from which on everything counts as changed.
_UNEXPLAINED_SHARE = 0.22
#: The mean change of colours from which on the whole picture is in another light, in levels, if it is uneven as well,
#: or if fewer points agree than this.
_RELIT_LEVELS, _RELIT_AGREEMENT = 20.0, 0.6
#: The share of what the mask excludes where both pictures have to show the same, for the rest to be believed.
_MIN_CONFIRMED_SHARE = 0.5
#: The mean change of colours from which on the result's warning says that they were undone, in levels.
_RECOLOURED_LEVELS = 12.0
#: The largest difference of the channels of a grey picture, in levels; compression may leave more in a few pixels.
_GREY_LEVELS = 3
#: The margin around a change in which the grain of the original is measured, in pixels.
_GRAIN_MARGIN = 96
_ORIGINAL_OR_EDIT, _UPSCALES = ("original", "edit"), ("lanczos", "srgan")
#: The share of an edit's frame beyond the original from which on it is an outpainting.
_OUTPAINTED_SHARE = 0.08
_EXTEND_HINT = "frame='edit' extends the result to it"


@dataclass(frozen=True)
class EditChange:
    """A part of an edit that differs on purpose from its original.

    Attributes:
        box: its bounding rectangle (x, y, width, height) in the original.
        share: its share of the original's area, 0 to 1.
        applied: whether it is in the result.

    Example:
        >>> from pyharmony import edits
        >>> edits.EditChange((10, 20, 30, 60), 0.01, True).applied
        True
    """

    box: tuple[int, int, int, int]
    share: float
    applied: bool


@dataclass(frozen=True, repr=False)
class EditInfo(_reprs.Line):
    """A record of an edit that was applied.

    Attributes:
        changes: what was changed, the largest first; the numbers of `changes` are its indices.
        share: the share of the original, 0 to 1, that the result has from the edit.
        matrix: [3, 3], maps (x, y, 1) of the original to the edit, up to a factor; the middle of the first pixel is
            (0, 0).
        motion: the largest motion of a corner of the original that was undone, beyond the scale and the crop, in pixels
            of the original; 0: none was confirmed.
        agreement: the share of the compared points at which both show the same, 0 to 1: near 0.3 for two pictures that
            have nothing in common.
        color_change: the mean difference of colours where nothing was changed, in 8-bit levels; undone by default.
        mask: the share of each pixel of the result that is from the edit, [H, W] uint8.
        reason: why nothing was applied, so that the result is a copy of the original; else empty.
        seconds: the wall time.
        at: (x, y), the position of the original's first pixel in the result; not (0, 0) only for the frame of an edit
            that shows more.

    Example:
        >>> from pyharmony import edits
        >>> info = edits.EditInfo((), 0.0, np.eye(3), 0.0, 0.9, 1.5, np.zeros((4, 6), np.uint8))
        >>> len(info.changes), info.motion
        (0, 0.0)
    """

    changes: tuple[EditChange, ...]
    share: float
    matrix: Float64
    motion: float
    agreement: float
    color_change: float
    mask: Pixels
    reason: Reason = NO_REASON
    seconds: float = 0.0
    at: tuple[int, int] = (0, 0)


def apply_edit(
    original: ImageLike,
    edited: ImageLike | Sequence[ImageLike],
    mask: MaskLike | None = None,
    *,
    changes: Sequence[int] | None = None,
    align: bool = True,
    colors: Literal["original", "edit"] = "original",
    frame: Literal["original", "edit"] = "original",
    sharpness: bool = True,
    grain: bool = True,
    upscale: Literal["lanczos", "srgan"] = "lanczos",
    keep_gps: bool = False,
    out: OutLike | None = None,
    return_info: bool = False,
) -> Any:
    """Puts what an AI edit changed on purpose back into its photograph; every other pixel stays as it was.

    Models that edit images return a whole new picture: shifted, scaled, recoloured, softened, and small. This finds
    what was changed on purpose, without a mask or a prompt; undoes the motion and the drift of colours by what both
    pictures have in common; gives the changes the sharpness and the grain of the photograph; and draws them into it at
    its full size. docs/apply-edit.md describes the steps and their sources. It needs no network.

    Args:
        original: the photograph, [H, W] or [H, W, C] (torch: [C, H, W]) or of another kind that `pyharmony.blend`
            accepts. Its alpha is kept.
            A batch of arrays [N, H, W, C] (torch: [N, C, H, W]) are frames with an edit each.
        edited: the edit, of any of these kinds, depth and size; or a list of edits of the same original, each of which
            is compared with the original, later ones on top. Where its alpha is below one half it counts as unchanged.
            Of a batch the first frame decides on motion and colours for all, so that nothing flickers.
        mask: the part of the original that may change, [H, W], soft; of any kind that `pyharmony.blend` accepts. None:
            all of it.
        changes: the changes to apply, by their indices in `EditInfo.changes`; None: all of them. For one edit only.
        align: whether motion is undone; False: the edit shows the whole original, to the pixel.
        colors: 'original': the drift of colours is undone; 'edit': the whole result gets the colours of the edit, so
            that pixels outside of the changes do not stay as they were.
        frame: 'original': the result has the frame of the original; 'edit': it is extended to that of an edit which
            shows more, an outpainting, with the original in its place, on its own pixels.
        sharpness: whether the changes get the sharpness of the original.
        grain: whether the changes get the grain of the original.
        upscale: how the changes of an edit with fewer pixels than the original are enlarged: by a windowed sinc, or by
            the network of `pyharmony.super_resolve`, which adds details.
        keep_gps: whether the result keeps the GPS position of an original that is read from a file or PIL image.
        out: an array like the original to write into; or a path or open binary file, see `pyharmony.blend`.
        return_info: whether to return an EditInfo too; for a list of edits and for a batch a list of them.

    Returns:
        The result, in the kind, layout, shape and dtype of the original, or (result, info). Outside of `EditInfo.mask`
        it is the original, bit for bit. If nothing was changed it is a copy, with an UnchangedWarning; if the colours
        of the whole picture were changed, a PyHarmonyWarning says so.

    Raises:
        ArgumentError: the edit shows another picture (code 'other-picture'), or all of it was changed, as by a
            restyle ('everything-changed', 'relit'), without a mask; changes has a number that no change has; an image
            contains NaN or infinities; out shares memory with an image.
        ShapeError, DTypeError, MaskError: an image or the mask has a shape, dtype or values that are not accepted.
        DecodeError: a file is not an image.

    Example:
        >>> import pyharmony
        >>> random = np.random.default_rng(0)
        >>> photo = random.integers(60, 200, (30, 40, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
        >>> edit = np.clip(photo * 1.05 + 4, 0, 255)  # the colours drift everywhere
        >>> edit[100:160, 120:200] = (250, 30, 30)
        >>> result, info = pyharmony.apply_edit(photo, edit.astype(np.uint8), return_info=True)
        >>> len(info.changes), info.changes[0].box, bool((result[:90] == photo[:90]).all())
        (1, (119, 99, 82, 62), True)
    """
    start = time.perf_counter()
    _checks.flags(align=align, sharpness=sharpness, grain=grain, keep_gps=keep_gps, return_info=return_info)
    _checks.one_of(colors, "colors", _ORIGINAL_OR_EDIT)
    _checks.one_of(frame, "frame", _ORIGINAL_OR_EDIT)
    _checks.one_of(upscale, "upscale", _UPSCALES)
    several = isinstance(edited, (list, tuple))
    every = list(edited) if isinstance(edited, (list, tuple)) else [edited]
    if not every:
        raise ArgumentError("edited: an empty list, expected an edit, or a list of one or more")
    image: Any = original
    is_batch = _arrays.is_array(image) and image.ndim == 4 and not several
    numbers = _checked_numbers(changes, several or is_batch)
    to_file = out is not None and not (_arrays.is_array(out) or is_device_array(out))
    if frame == "edit":
        _check_frame(several or is_batch, out, to_file, colors)
    with _as_original():
        image = opened(original, "original", keep_gps=bool(keep_gps))
        if to_file:
            open_item(Item(DST_AS_SRC, image, None, None, 1.0, out, {}), keep_gps=False)
        if is_batch:
            warn_of_gradients({"original": original})
        own = _own(as_images(original, "original")[0] if is_batch else image, original)
    _check_size(own.pixels, "original")
    edits = _frames_of(original, edited, own) if is_batch else [
        _checked_edit(one, f"edited[{i}]" if several else "edited", own) for i, one in enumerate(every)
    ]  # fmt: skip
    names = [edit.name for edit in edits]
    limit = None if mask is None else mask_levels(mask, *own.pixels.shape[:2])
    infos: list[EditInfo] = []
    drawers: list[Drawer] = []

    def work(checked: Frame) -> Infos:
        for number, one in enumerate(every):
            checked.keep_apart(one, f"edited[{number}]" if several else "edited")
        jobs = list(checked.jobs())
        # Each edit is of the original, or each of its own frame.
        jobs = jobs if is_batch else jobs * len(edits)
        analyses: list[Analysis] = []
        doubts: list[ArgumentError | None] = []
        for job, edit in zip(jobs, edits, strict=True):
            check_finite(job.dst, "image")
            like = analyses[0] if is_batch and analyses else None
            levels, pixels = colour_levels(job.dst), colour_levels(edit.pixels)
            analyses.append(analysed(levels, pixels, edit.alpha, edit.space, align=bool(align), limit=limit, like=like))
            doubts.append(_doubt(analyses[-1], edit.name))
            # A mask says what shall change, but not in another picture.
            if (doubt := doubts[-1]) is not None and (limit is None or doubt.code == "other-picture"):
                raise doubt
            if doubt is not None and analyses[-1].confirmed < _MIN_CONFIRMED_SHARE:
                whole = analyses[-1].visible
                analyses[-1] = replace(analyses[-1], region=whole, numbers=whole.astype(np.int32))
        for job in jobs if is_batch else jobs[:1]:
            job.start()
            if colors == "edit":
                _recolour(job, analyses[0].toward_edit, edits[0].space)
        for job, edit, analysis, doubt in zip(jobs, edits, analyses, doubts, strict=True):
            ground = job.dst if colors == "original" else job.out.copy()
            # Where all pixels differ, drift and blur cannot be told from the edit.
            is_sure = doubt is None or analysis.confirmed >= _MIN_CONFIRMED_SHARE
            matches = (colors == "original" and is_sure, bool(sharpness) and doubt is None)
            drawers.append(Drawer(ground, edit.pixels, analysis, edit.space, *matches, upscale))
            infos.append(_applied(job, drawers[-1], numbers, limit, bool(grain), start))
        answer: Any = infos if is_batch else infos[-1:]
        return answer

    call = Call("apply_edit", DST_AS_SRC, image, keep_gps=keep_gps, out=None if to_file else out, device="cpu")
    # The call has warned about the original already.
    with _as_original(), quiet(PyHarmonyWarning):
        result = call.run(work, tell=lambda info: None)
    if frame == "edit":
        result, infos[0] = _in_frame_of_edit(result, own, infos[0], drawers[0])
    _tell(infos, names, drawers, colors)
    picture = result if isinstance(result, Picture) else None
    if to_file and picture is None:
        picture = Picture(as_images(result, "original")[0])
    if picture is not None and (applied := [one for one, info in zip(every, infos) if not info.reason]):
        picture = composite_of(picture, [original, *applied], with_ai=True)
    result = in_kind_of(original, result, picture, out if to_file else None)
    return WithInfo((result, infos if several or is_batch else infos[0])) if return_info else result


@contextlib.contextmanager
def _as_original() -> Iterator[None]:
    """Gives errors about the image of a call the name of this one's argument."""
    try:
        yield
    except PyHarmonyError as error:
        if error.argument != "image":
            raise
        raise error.within("", "original") from error.__cause__


def _own(image: Any, original: Any) -> OneImage:
    """Returns the original, which is an array or a Picture."""
    one = checked_image(image, "original")
    return OneImage(original, one.pixels, one.picture)


def _checked_numbers(changes: Any, several: bool) -> list[int] | None:
    """Returns the numbers of the changes to apply; None: all."""
    if changes is None:
        return None
    if several:
        raise ArgumentError("changes: numbers for several edits, expected None, or one edit")
    is_list = isinstance(changes, Sequence) and not isinstance(changes, (str, bytes))
    if not is_list and not (isinstance(changes, np.ndarray) and changes.ndim == 1):
        raise DTypeError(f"changes: {type(changes).__name__}, expected None or a list of numbers from 0")
    return [_checks.whole(number, f"changes[{i}]") for i, number in enumerate(changes)]


def _check_size(pixels: Any, name: str) -> None:
    """Refuses an image that is too small to be compared."""
    height, width = pixels.shape[:2]
    if min(height, width) < MIN_SIDE:
        text = f"{name}: {width} x {height} pixels, expected at least {MIN_SIDE} on each side"
        raise ShapeError(text, code="too-small")


class _Edit(NamedTuple):
    """An edit, and how its colours are brought to those of the original."""

    name: str
    pixels: Any  # its colours, [h, w, C]
    alpha: Pixels | None  # the levels of its alpha, [h, w], if it has any that is not opaque
    space: Space


def _frames_of(original: Any, edited: Any, own: OneImage) -> list[_Edit]:
    """Returns the edits of the frames of a batch."""
    if not (_arrays.is_array(edited) and edited.ndim == 4 and len(edited) == len(original)):
        shape = list(edited.shape) if _arrays.is_array(edited) else type(edited).__name__
        raise ShapeError(f"edited: {shape}, expected a batch of {len(original)} frames as original")
    return [_checked_edit(one, f"edited[{i}]", own) for i, one in enumerate(as_images(edited, "edited"))]


def _checked_edit(edited: Any, name: str, own: OneImage) -> _Edit:
    """Returns an edit in the original's colour space."""
    image = checked_image(edited, name)
    space = space_of(own, image)
    pixels = image.pixels if space.original != space.edit else in_colours(image, own, name)
    _check_size(pixels, name)
    colours, alpha = pixels[..., : min(pixels.shape[2], 3)], None
    if own.pixels.shape[2] == 1 and colours.shape[2] == 3:
        colours = rounded(luma(colours, np.float32)[..., :1], colours.dtype)
    if pixels.shape[2] == 4:
        alpha = in_levels(np.nan_to_num(pixels[..., 3]))
        if not (alpha > 127).any():
            text = f"{name}: its alpha is below one half everywhere, expected an edit that shows something"
            raise ArgumentError(text)
        if (alpha == 255).all():
            alpha = None
    _checks.finite(colours if alpha is None else np.where(alpha[..., None] > 0, colours, 0), name)
    return _Edit(name, np.nan_to_num(colours) if colours.dtype.kind == "f" else colours, alpha, space)


def _doubt(analysis: Analysis, name: str) -> ArgumentError | None:
    """Returns the error for an edit of which not much can be told: another picture, or one that differs everywhere."""
    agreement = analysis.registration.agreement
    if agreement < _MIN_AGREEMENT:
        return ArgumentError(
            f"{name}: it shows another picture, or all of it in another style: {agreement:.0%} of the points agree",
            code="other-picture", hint="pass the picture that was edited as original", agreement=agreement,
        )  # fmt: skip
    share, rest = analysis.share, analysis.unexplained
    hint = "pass the part that shall change as mask, or take the edit as it is"
    if share > _RESTYLED_SHARE or rest > _UNEXPLAINED_SHARE:
        every = share + (1 - share) * rest
        text = f"{name}: all of the picture was changed, {every:.0%} of it differs, as by another style"
        return ArgumentError(text, code="everything-changed", hint=hint, share=every)
    # A large change of colours is believed if most of the picture confirms it.
    if analysis.colour_change > _RELIT_LEVELS and (rest > _UNEXPLAINED_SHARE / 2 or agreement < _RELIT_AGREEMENT):
        text = f"{name}: the light of the whole picture was changed, by {analysis.colour_change:.0f} levels, unevenly"
        return ArgumentError(text, code="relit", hint=hint, levels=analysis.colour_change)
    return None


def _applied(
    job: Job, drawer: Drawer, numbers: list[int] | None, limit: Pixels | None, grain: bool, start: float
) -> EditInfo:
    """Draws the changes of an edit into the result, and returns the record of it."""
    analysis = drawer.analysis
    count = int(analysis.numbers.max())
    for i, number in enumerate(numbers or ()):
        if number >= count:
            accepts = ("none: nothing was changed", "0: there is one change")
            expected = accepts[count] if count < len(accepts) else f"a number from 0 to {count - 1}"
            raise ArgumentError(f"changes[{i}]: {number}, expected {expected}")
    applied = np.zeros(count + 1, bool)
    applied[1:] = True if numbers is None else np.isin(np.arange(count), numbers)
    if limit is not None:
        applied &= np.isin(np.arange(count + 1), analysis.numbers[resized(limit, analysis.size) > 0])
    mask = np.zeros(job.shape, np.uint8)
    drawer.draw(softened(applied[analysis.numbers], _FADE_WIDTH), limit, job.out, mask)
    if grain and mask.any():
        _add_grain(job, mask)
    reason = NO_REASON
    if not mask.any():
        reason = Reason("nothing-changed", "nothing was changed on purpose")
        if not count and analysis.beyond > _OUTPAINTED_SHARE:
            text = f"nothing was changed within it, and {analysis.beyond:.0%} of the edit lies beyond it"
            reason = Reason("outpainted", text, hint=_EXTEND_HINT)
        elif not count and drawer.enlarges:
            reason = Reason("enlarged", "the edit is the original with more pixels, and nothing was changed on purpose")
        elif not count and analysis.sharper:
            reason = Reason("enhanced", "the edit is the original made sharper, and nothing was changed on purpose")
        if count:
            text = "no change was asked for" if limit is None else "no change that was asked for lies in the mask"
            reason = Reason("no-change-chosen", text)
    return EditInfo(
        changes=tuple(_change(analysis, number, bool(applied[number]), job.shape) for number in range(1, count + 1)),
        share=float(mask.mean() / 255),
        matrix=drawer.matrix,
        motion=analysis.registration.motion * max(job.shape) / max(analysis.size),
        agreement=analysis.registration.agreement,
        color_change=analysis.colour_change,
        mask=mask,
        reason=reason,
        seconds=time.perf_counter() - start,
    )


def _change(analysis: Analysis, number: int, applied: bool, shape: tuple[int, int]) -> EditChange:
    """Returns the record of a change."""
    region: Bools = analysis.numbers == number
    x, y = shape[1] / analysis.size[0], shape[0] / analysis.size[1]
    box = bounding_box(region)
    left, top = int(box.x0 * x), int(box.y0 * y)
    right, bottom = min(shape[1], int(np.ceil(box.x1 * x))), min(shape[0], int(np.ceil(box.y1 * y)))
    return EditChange((left, top, right - left, bottom - top), float(region.mean()), applied)


def _add_grain(job: Job, mask: Pixels) -> None:
    """Gives the part under a mask the grain of what is around it."""
    box = bounding_box(mask > 0)
    rows = slice(max(0, box.y0 - _GRAIN_MARGIN), box.y1 + _GRAIN_MARGIN)
    part = rows, slice(max(0, box.x0 - _GRAIN_MARGIN), box.x1 + _GRAIN_MARGIN)
    values = np.ascontiguousarray(job.out[part])
    with quiet(PyHarmonyWarning):
        job.out[part] = match_grain(values, mask[part]).reshape(values.shape)


def _recolour(job: Job, tone: Tone, space: Space) -> None:
    """Gives all of the result the colours of an edit."""
    height, width = job.shape
    scale = np.float32(VALUE_RANGE[job.dst.dtype.name] / 255)
    for first in range(0, height, _ROWS):
        last = min(first + _ROWS, height)
        values = job.dst[first:last].astype(np.float32) / scale
        if values.shape[2] == 1:
            values = values.repeat(3, 2)
        mapped = space.to_original(tone.apply(space.to_edit(values), (0, first, width, last), (width, height)))
        if job.dst.shape[2] == 1:
            mapped = mapped.mean(2, keepdims=True)
        _arrays.round_into(mapped * scale, job.out[first:last])


def _check_frame(several: bool, out: Any, to_file: bool, colors: str) -> None:
    """Refuses arguments that the frame of an edit is not for."""
    if several:
        raise ArgumentError("frame: 'edit' for several edits, expected one edit")
    if out is not None and not to_file:
        raise ArgumentError("out: an array, expected None, a path or an open binary file with frame='edit'")
    if colors == "edit":
        raise ArgumentError("colors: 'edit' with frame='edit', expected 'original': that result is the edit itself")


def _in_frame_of_edit(result: Any, own: OneImage, info: EditInfo, drawer: Drawer) -> tuple[Any, EditInfo]:
    """Returns a result and its record in the frame of the edit."""
    pixels = result.pixels if isinstance(result, Picture) else as_images(result, "original")[0]
    whole = extended(pixels, info.mask, drawer)
    if whole.pixels.shape == pixels.shape:
        return result, info
    x, y = whole.at
    image = own.like(whole.pixels)
    if own.picture is not None:
        image = replace(own.picture, pixels=whole.pixels, format=None)
    matrix = info.matrix @ translation(-x, -y)
    boxes = tuple(replace(one, box=(one.box[0] + x, one.box[1] + y, *one.box[2:])) for one in info.changes)
    share = float(whole.mask.mean() / 255)
    return image, replace(
        info, mask=whole.mask, at=whole.at, matrix=matrix, changes=boxes, share=share, reason=NO_REASON
    )


def _tell(infos: Sequence[EditInfo], names: Sequence[str], drawers: Sequence[Drawer], colors: str) -> None:
    """Warns of edits that did nothing, that show more, and of changes of colours that were undone."""
    for info, name, drawer in zip(infos, names, drawers, strict=True):
        beyond = drawer.analysis.beyond
        if not info.reason and info.mask.shape == drawer.original.shape[:2] and beyond > _OUTPAINTED_SHARE:
            text = f"{name}: {beyond:.0%} of it lies beyond the original, and is not in the result"
            warn(PyHarmonyWarning(text, code="outpainted", hint=_EXTEND_HINT))
        if info.reason:
            warn(UnchangedWarning.because(f"{name}: nothing was applied: ", info.reason))
        differ = f"{name}: the colours of the whole picture differ by {info.color_change:.0f} levels"
        if drawer.match_colours and info.color_change > _RECOLOURED_LEVELS:
            text, hint = f"{differ}, which was undone", "colors='edit' takes them"
            warn(PyHarmonyWarning(text, code="recolored", hint=hint, levels=info.color_change))
        elif colors == "original" and info.color_change > _RECOLOURED_LEVELS:
            text = f"{differ}, unevenly: within the mask they stay those of the edit"
            warn(PyHarmonyWarning(text, code="relit", levels=info.color_change))
        if not info.reason and _is_grey(drawer.analysis.edit_view) and not _is_grey(drawer.analysis.view):
            warn(PyHarmonyWarning(f"{name}: it is grey, and so are its changes in a coloured original", code="grey"))


def _is_grey(view: Pixels) -> bool:
    """Returns whether a picture [h, w, 3] has no colours, but for those that compression leaves."""
    view = view[::4, ::4].astype(np.int16)
    return bool(np.quantile(view.max(2) - view.min(2), 0.99) <= _GREY_LEVELS)
