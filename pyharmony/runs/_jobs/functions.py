"""The functions of the calls on the images of a task: each returns the results by their roles, and their figures."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import blend
from ..._arrays import VALUE_RANGE
from ..._calls import APPLY_EDIT, COMPOSE, HINTS, SHADOW, SUPER_RESOLVE
from ..._calls.batches import SYNTH
from ...errors import ConfidenceWarning, PyHarmonyWarning, Reason, RunError, UnchangedWarning
from .failures import Code, check_usable, verdict_record

if TYPE_CHECKING:
    from ...io import Picture
    from ...typing import Device
    from .runner import Work

Warn = Callable[[Reason], None]
Results = dict[str, "Picture"]


@contextlib.contextmanager
def collected(work: Work, warn: Warn) -> Iterator[None]:
    """Passes the library's warnings on, with the names of files in them, and notes whether the result is a copy."""
    with warnings.catch_warnings(record=True) as recorded:
        warnings.simplefilter("always", PyHarmonyWarning)
        yield
    work.is_copy = any(issubclass(one.category, UnchangedWarning) for one in recorded)
    # The warnings of harmonize are reported with its figures.
    others = (UnchangedWarning, ConfidenceWarning) if work.task.kind.harmonizes else ()
    for one in recorded:
        if isinstance(one.message, PyHarmonyWarning) and not isinstance(one.message, others):
            warn(Reason(one.message.code, work.task.words.of(one.message)))


def run_mode(work: Work, warn: Warn, device: Device | None, has_solve: bool) -> Results:
    """Computes a blend, an edit or a harmonisation, and the steps after it.

    has_solve: whether the record gets measurements of a solve.
    """
    task, pictures, record = work.task, work.pictures, work.record
    with work.phase(task.kind.phase), collected(work, warn):
        result, info = _mode_on(work, device, has_solve)
    mask: Any = None
    is_harmonized = task.harmonize is not None and not work.is_copy
    if task.save_mask is not None or is_harmonized:
        place = {name: task.arguments[name] for name in ("at", "scale") if name in task.arguments}
        images: list[Any] = [pictures.get(name) for name in task.kind.inputs]
        mask = blend.placed_mask(*images, **place)
        # Every format can store 8 bits.
        from ..._images.levels import in_levels

        mask = dataclasses.replace(mask, pixels=in_levels(mask.pixels))
    if is_harmonized:
        with work.phase("harmonize"):
            result, changed = _harmonized(work, result, mask, device)
        record["harmonize"] = _harmonize_figures(changed, (task.harmonize or {}).get("guard", True))
    record["unchanged"] = work.is_copy
    if task.kind.harmonizes:
        record["harmonize"] = _harmonize_figures(info, task.arguments.get("guard", True))
    elif info is not None:
        names = ("method", "iterations", "max_error", "residual", "device", "peak_bytes", "reason", "clipped")
        record["solve"] = {name: getattr(info, name) for name in names}
    work.figures = {name: record[name] for name in ("unchanged", "harmonize") if name in record}
    work.pictures = {}
    if task.upscale != 1:
        with work.phase("upscale"), task.failures("upscale"):
            from ...upscaling import super_resolve

            result = super_resolve(result, task.upscale)
    return {"": result} if task.save_mask is None else {"": result, "mask": mask}


def _mode_on(work: Work, device: Device | None, has_solve: bool) -> tuple[Any, Any]:
    """Returns the result of the mode's function, and its info if there is one."""
    task, pictures = work.task, work.pictures
    arguments = dict(task.arguments)
    arguments |= {name: pictures[name] for name in ("dst_valid", "base") if name in pictures}
    if "color_weight" in pictures:
        arguments["color_weight"] = _scaled(pictures["color_weight"], task.weight_scale)
    images: list[Any] = [pictures.get(name) for name in task.kind.inputs]
    with task.failures():
        if task.kind.harmonizes:
            from ...harmonization import harmonize

            arguments |= {name: pictures[name] for name in HINTS if name in pictures}
            return harmonize(*images, return_info=True, device=device, **arguments)
        function = getattr(blend, task.mode.replace("-", "_"))
        if has_solve:
            result, info = function(*images, return_info=True, **arguments)
            return result, info
        return function(*images, **arguments), None


def _harmonized(work: Work, picture: Picture, mask: Picture, device: Device | None) -> tuple[Picture, Any]:
    """Harmonizes the blended image."""
    from ...harmonization import harmonize

    with work.task.failures("harmonize"), warnings.catch_warnings():
        warnings.simplefilter("ignore", PyHarmonyWarning)  # reported with its figures
        options: dict[str, Any] = {"device": device, **(work.task.harmonize or {})}
        return harmonize(picture, mask, return_info=True, **options)


def _scaled(picture: Picture, scale: float | None) -> Picture:
    """Returns a map as floats, with white as `scale`."""
    if scale is None:
        return picture
    pixels = picture.pixels
    values = pixels.astype(np.float32) / np.float32(VALUE_RANGE[pixels.dtype.name])
    if values.shape[2] == 4:  # alpha multiplies the values, as in a mask, unless it is 1 everywhere
        values = values[..., :3] if (values[..., 3] == 1).all() else values[..., 3:]
    return dataclasses.replace(picture, pixels=values * np.float32(scale), format=None)


def _harmonize_figures(info: Any, guard: bool) -> dict[str, Any]:
    """Returns the record of the harmonisation."""
    names = ("method", "weights", "confidence", "reason", "change", "asked", "device", "peak_bytes")
    return {**{name: getattr(info, name) for name in names}, "held_back": bool(guard and info.held_back)}


# ---- calls without modes: from a work and its options to the results and what the record repeats of their infos ----

_Answer = tuple[Results, dict[str, Any]]


def _compose(work: Work, options: dict[str, Any]) -> _Answer:
    from ...composition import compose
    from ...io.provenance import composite_over

    subject, background = work.pictures["subject"], work.pictures["background"]
    if "mask" in work.pictures:
        options["mask"] = [work.pictures["mask"]]
    result, info = compose(subject, background, return_info=True, **COMPOSE.arguments(options))
    one = info.subjects[0]
    figures = {"box": list(one.box), "scale": round(one.scale, 4), "reasons": list(one.reasons), **verdict_record(info)}
    if not options.get("anyway"):
        check_usable(info, work.task.files["subject"], "anyway")
    return {"": composite_over(result, background, work.sources("subject", "background"))}, figures


def _apply_edit(work: Work, options: dict[str, Any]) -> _Answer:
    from ...edits import apply_edit
    from ...io.provenance import composite_over

    original, edited = work.pictures["original"], work.pictures["edited"]
    arguments = APPLY_EDIT.arguments(options)
    result, info = apply_edit(original, edited, work.pictures.get("mask"), return_info=True, **arguments)
    if not info.reason:
        result = composite_over(result, original, work.sources("original", "edited"))
    return {"": result}, {
        "changes": len(info.changes), "share": round(info.share, 4), "reason": str(info.reason),
    }  # fmt: skip


def _segment(work: Work, options: dict[str, Any]) -> _Answer:
    from ... import segmentation
    from .prompts import object_of, prompted

    image = work.pictures["image"]
    session = segmentation.Session(image, method=options.pop("method", "auto"))
    if "mask" in work.pictures:
        options["mask"] = work.pictures["mask"]
    all_people = options.pop("all_people", False)
    form = {name: options.pop(name, False) for name in ("mask_only", "keep_background")}
    masks = session.people() if all_people else prompted(session, options)
    if not len(masks):
        raise RunError(f"{work.task.files['image']}: {masks.reason}", Code.INPUT, "nothing_found")
    figures = {"score": round(float(masks.scores[0]), 4), "count": len(masks), "reason": str(masks.reason)}
    return {"": object_of(image, masks.alpha(None), **form)}, figures


def _shadow(work: Work, options: dict[str, Any]) -> _Answer:
    from ...shadows import shadow

    image, mask = work.pictures["image"], work.pictures["mask"]
    result, info = shadow(image, mask, return_info=True, **SHADOW.arguments(options))
    if info.reason:
        raise RunError(f"{work.task.files['image']}: {info.reason}", Code.INPUT, "nothing_drawn")
    return {"": result}, {"strength": round(info.strength, 4)}


def _super_resolve(work: Work, options: dict[str, Any]) -> _Answer:
    from ...upscaling import super_resolve

    method = options.pop("method", "auto")
    if work.step > 1:
        options["tile"] = min(options.get("tile", 256), 64)
    arguments = SUPER_RESOLVE.arguments(options)
    result, info = super_resolve(work.pictures["image"], method=method, return_info=True, **arguments)
    return {"": result}, {"method": info.method, "scale": info.scale}


def _synth(work: Work, options: dict[str, Any]) -> _Answer:
    from ... import io
    from ...learn import data
    from ...learn.data.single import SinglePhoto

    method, name = options.get("method"), work.task.name
    # The name is part of the seed, so that an item does not depend on its place in the run.
    salt = int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:4], "big")
    photo = SinglePhoto(name, work.pictures["image"], work.pictures["mask"], work.whole)
    seed = options.get("seed", 0) * (1 << 32) + salt
    sample = data.Synthesis(photo, [method] if method else None, size=options.get("size"), seed=seed)[0]
    roles = {role: io.Picture(_with_channels(sample[role])) for role in SYNTH.roles}
    return roles, {"recipe": {key: value for key, value in sample["recipe"].items() if key != "photo"}}


def _with_channels(pixels: Any) -> Any:
    return pixels if pixels.ndim == 3 else pixels[..., None]


_FUNCTIONS: dict[str, Callable[[Work, dict[str, Any]], _Answer]] = {
    "apply-edit": _apply_edit,
    "compose": _compose,
    "segment": _segment,
    "shadow": _shadow,
    "super-resolve": _super_resolve,
    "synth": _synth,
}


def run_call(work: Work, warn: Warn) -> Results:
    """Computes a call that has no modes."""
    with collected(work, warn), work.task.failures():
        results, work.figures = _FUNCTIONS[work.task.kind.command](work, dict(work.task.arguments))
    work.record |= work.figures
    work.pictures = {}
    return results
