"""The table of operations: the type of the body of each request, and the call of the library that runs it.

An operation is a type of body and a function `run(body, desk)`, which runs in a worker. Its path, its description and
its checks follow from the type.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

from .._calls import COMPOSE
from ..errors import RunError
from ..runs._jobs.failures import Code, likely_record, verdict_record, with_code, with_codes
from ._bodies import (
    EACH,
    LOOKS,
    ApplyEditBody,
    BlendBody,
    Body,
    ComposeBody,
    CutoutBody,
    EditBody,
    ExportBody,
    HarmonizeBody,
    LayersBody,
    LiveBody,
    MergeBody,
    ModeBody,
    OpenBody,
    PaintBody,
    PlaceBody,
    RemoveBody,
    SegmentBody,
    plain,
)
from ._ids import PictureId
from ._tree import Sizes

if TYPE_CHECKING:
    from ..io import Picture
    from ..placement import Placement
    from ._desk import Desk

MAX_JSON = 128_000  # the largest body of most operations, in bytes
MAX_JSON_OF_POINTS = 1_000_000  # the largest body with points, in bytes
MAX_JSON_OF_RECIPE = 4_000_000  # the largest body with a recipe, in bytes


@dataclass(frozen=True)
class Operation:
    """An operation.

    Attributes:
        name: its name, also in its path.
        about: a description in a sentence.
        body: the type of the request's body.
        run: runs it in a worker, and returns a `_answers.Result` as JSON, with `Desk.record_of` for images.
        shares: the field with the image that the worker caches, so that the next such job is run by the same worker.
        max_json: the largest body in bytes.
        is_single_use: whether its result is read once, and deleted after it was sent.
        exports: whether its result has full size and no time limit, unless it is a preview.
    """

    name: str
    about: str
    body: type[Body]
    run: Callable[[Any, Desk], dict[str, Any]]
    shares: str = ""
    max_json: int = MAX_JSON
    is_single_use: bool = False
    exports: bool = False


def _on_proxies(body: Body, desk: Desk) -> dict[str, Any]:
    """Returns the options that depend on the size of an image, for its proxy."""
    result: dict[str, Any] = {}
    for option in body.call.options:
        if option.unit:
            value = getattr(body, option.name)
            above, _, below = option.unit.partition("/")
            if value is None and below and getattr(body, "at", None) is not None:
                value = option.neutral
            if value is not None:
                factors = desk.factor(getattr(body, above)), desk.factor(getattr(body, below)) if below else 1.0
                result[option.name] = _times(value, *factors)
    return result


def _times(value: Any, factor: float, divisor: float) -> Any:
    """Returns a number, or each number of a list, multiplied and divided."""
    if isinstance(value, (list, tuple)):
        return type(value)(_times(one, factor, divisor) for one in value)
    return value * factor / divisor


def _options_of(body: Body, desk: Desk) -> dict[str, Any]:
    """Returns the options that a request sets, in pixels of the images that are read, with masks in place of ids."""
    values = body.options()
    if body.preview:
        values |= _on_proxies(body, desk)

    def read(value: Any, name: str) -> Any:
        if isinstance(value, list):
            return [read(one, name) for one in value]
        return desk.read(value, name, body.preview) if isinstance(value, PictureId) else value

    return {name: read(value, name) for name, value in values.items()}


# ---- blend, edit and harmonize ----


def _run_mode(body: ModeBody, desk: Desk) -> dict[str, Any]:
    call = body.call
    primary = cast(PictureId, getattr(body, call.primary))
    changes: dict[str, Any] = {"format": body.model_dump()["format"] or desk.format_for(primary, body.preview)}
    if body.preview:
        changes |= _on_proxies(body, desk)
    request = body.model_copy(update=changes)
    result, mask = desk.new(), desk.new(".png")
    task = request.task(lambda id: desk.path(id, body.preview), result, mask)
    record = desk.run_task(task)
    of = record[call.primary]
    size = {"width": of["width"] * task.upscale, "height": of["height"] * task.upscale}
    info = {call.chooser: task.mode, "unchanged": record["unchanged"], "ms": record["ms"]}
    info |= with_codes("warning", record["warnings"])
    if "harmonize" in record:
        info["harmonize"] = {**record["harmonize"], "reason_code": record["harmonize"]["reason"].code}
    answer = {"picture": desk.record_of(result, changes["format"], of["channels"], of["dtype"], **size), "info": info}
    if task.save_mask is not None:
        answer["mask"] = desk.record_of(mask, "png", 1, "uint8", **size)
    return answer


# ---- segment ----

#: The longer side of the reduced masks of a segmentation.
_THUMB = 256


def _segment(body: SegmentBody, desk: Desk) -> dict[str, Any]:
    import numpy as np

    from .._images.sizes import fitted
    from ..io import Picture
    from ..segmentation.masks import doubts_of

    session = desk.session(body.picture, body.preview, body.method)
    factor = desk.factor(body.picture) if body.preview else 1.0
    with desk.phase("segment", 1, 2):
        segments = (
            session.people()
            if body.all_people
            else session.after([_scaled(step, factor, desk, body) for step in body.steps])
        )
    with desk.phase("encode", 2, 2):
        every = body.every or body.all_people

        def saved(mask: Any) -> dict[str, Any]:
            return desk.write(Picture(mask[..., None]), "png")

        draw = segments.alpha if body.alpha else segments.__getitem__
        drawn = [draw(i) for i in range(len(segments) if every else min(1, len(segments)))]
        size = fitted(segments.size, _THUMB)
        thumbs = [saved(mask) for mask in segments.reduced(size)] if body.thumbs else []
        masks: list[dict[str, Any]] = []
        for i, (score, box) in enumerate(zip(segments.scores, segments.boxes, strict=True)):
            one: dict[str, Any] = {"score": round(score, 4), "box": [value / factor for value in box]}
            if segments.heads:
                one["head"] = [value / factor for value in segments.heads[i]]
            if every:
                one["mask"] = saved(drawn[i])
            if thumbs:
                one |= {"thumb": thumbs[i], "area": segments.areas[i] / factor**2}
            masks.append(one)
        doubts = () if body.all_people else doubts_of(segments)
        info = {"method": segments.method, **with_code(segments.reason), **with_codes("doubt", doubts)}
        # People are one mask together; of the masks of a prompt the first is the best.
        whole = saved(functools.reduce(np.maximum, drawn if body.all_people else drawn[:1])) if drawn else None
        answer = {"mask": whole, "masks": masks, "info": info}
        if body.all_people:
            answer["other_people"] = saved(session.other_people(segments))
        return answer


def _scaled(step: Any, factor: float, desk: Desk, body: SegmentBody) -> dict[str, Any]:
    """Returns a step in pixels of the processed image, the centre of whose first pixel is 0 too."""

    def at(value: float) -> float:
        return (value + 0.5) * factor - 0.5

    result: dict[str, Any] = step.model_dump()
    if step.kind == "click":
        result |= {"x": at(step.x), "y": at(step.y)}
    elif step.kind in ("scribble", "lasso"):
        result["line"] = [(at(x), at(y)) for x, y in step.line]
        if result.get("tolerance"):
            result["tolerance"] *= factor
    elif step.kind == "box":
        result["box"] = [value * factor for value in step.box]
    elif step.kind in ("mask", "combine"):
        result["mask"] = desk.path(step.mask, body.preview)
    return result


# ---- paint, cutout, export ----


def _paint(body: PaintBody, desk: Desk) -> dict[str, Any]:
    import numpy as np

    from .. import io
    from .._images.levels import in_levels, picture_levels
    from ..io.masks import mask_of
    from ..segmentation.masks import alpha_within
    from ._strokes import paint_stroke

    size, factor = desk.sizes[body.picture], 1.0
    wide, high = size.width, size.height
    if body.preview:
        (wide, high), factor = size.proxy, size.factor
    with desk.phase("decode", 1, 3):
        mask = np.zeros((high, wide), np.uint8)
        if body.mask is not None:
            mask = np.array(in_levels(mask_of(desk.read(body.mask, "mask", body.preview), "mask")))
            if mask.shape != (high, wide):
                sizes = f"{mask.shape[1]} x {mask.shape[0]}, and picture is {wide} x {high}"
                raise RunError(f"mask: {sizes} (width x height), expected equal sizes", Code.INPUT)
    with desk.phase("paint", 2, 3):
        for stroke in body.strokes:
            line = [((x + 0.5) * factor - 0.5, (y + 0.5) * factor - 0.5) for x, y in stroke.line]
            if stroke.edge:
                region = np.zeros_like(mask)
                paint_stroke(region, line, stroke.width * factor)
                photo = desk.proxy(body.picture) if body.preview else desk.photo(body.picture)
                mask = np.array(alpha_within(picture_levels(photo, "picture"), mask, region))
            else:
                paint_stroke(mask, line, stroke.width * factor, add=stroke.add)
    with desk.phase("encode", 3, 3):
        return {"mask": desk.write(io.Picture(mask[..., None]), "png")}


def _cutout(body: CutoutBody, desk: Desk) -> dict[str, Any]:
    from ..segmentation import cutout

    with desk.phase("decode", 1, 3):
        picture = desk.read(body.picture, "picture", body.preview)
    with desk.phase("cut out", 2, 3):
        mask = desk.read(body.mask, "mask", body.preview)
        result = cutout(picture, mask, crop_to_mask=body.crop_to_mask, keep_background=body.keep_background)
    with desk.phase("encode", 3, 3):
        return {"picture": desk.write(result, body.format)}


def _export(body: ExportBody, desk: Desk) -> dict[str, Any]:
    import dataclasses

    import numpy as np

    from .. import io
    from ..io.provenance import add_history

    with desk.phase("decode", 1, 2):
        picture = desk.read(body.picture, "picture", body.preview, keep_gps=body.keep_gps)
        history = desk.history(body.pictures(), "export")
        if body.sources or history.steps:
            composite = bool(body.sources) or history.composite
            packet = add_history(picture.xmp, *history, composite=composite, with_ai=history.with_ai)
            picture = dataclasses.replace(picture, xmp=packet)
        if body.crop is not None:
            picture = _cropped(picture, body.crop, desk.factor(body.picture) if body.preview else 1.0)
        if body.depth is not None:
            pixel = np.zeros((1, 1, picture.pixels.shape[2]), np.uint8 if body.depth == 8 else np.uint16)
            xmp, picture = picture.xmp, io.convert(picture, io.Picture(pixel, picture.profile))
            picture = dataclasses.replace(picture, xmp=xmp)
    with desk.phase("encode", 2, 2):
        return {"picture": desk.write(picture, body.format, body.quality)}


def _cropped(picture: Picture, crop: tuple[int, int, int, int], factor: float) -> Picture:
    """Returns a rectangle (x, y, width, height) of a picture that is reduced by a factor."""
    import dataclasses

    height, width = picture.pixels.shape[:2]
    x, y, wide, high = (round(value * factor) for value in crop)
    if not (wide >= 1 and high >= 1 and 0 <= x <= width - wide and 0 <= y <= height - high):
        size = f"{round(width / factor)} x {round(height / factor)}"
        raise RunError(f"crop: {list(crop)}, expected x, y, width, height within {size} pixels", Code.USAGE)
    return dataclasses.replace(picture, pixels=picture.pixels[y : y + high, x : x + wide].copy())


# ---- place, compose ----


def _place(body: Any, desk: Desk) -> dict[str, Any]:
    from ..placement import place

    own, within = (desk.factor(id) if body.preview else 1.0 for id in (body.subject, body.background))
    arguments = body.call.arguments(_options_of(body, desk))
    with desk.phase("place", 1, 1):
        photos = (desk.read(getattr(body, name), name, body.preview) for name in ("subject", "background"))
        places = place(*photos, **arguments)
    size = desk.sizes[body.subject]
    return {"places": [_place_of(one, size, own, within) for one in places]}


def _place_of(place: Placement, size: Sizes, own: float = 1.0, within: float = 1.0) -> dict[str, Any]:
    """Returns a place in pixels of full size.

    own, within: the ratios of processed to full size, of the subject, whose full size is `size`, and of the background.
    """
    # The centre of the first pixel is 0, so a half is added before scaling and subtracted after it.
    x, y, scale = (place.x + 0.5) / within - 0.5, (place.y + 0.5) / within - 0.5, place.scale * own / within
    return {
        "at": [x - (size.width * scale - 1) / 2, y - (size.height * scale - 1) / 2],
        "scale": scale,
        "angle": place.angle,
        "flip": place.flip,
        "behind": list(place.behind),
        "box": [value / within for value in place.box],
        "score": place.score,
        "terms": dict(place.terms),
        **with_code(place.reason),
        **likely_record(place.usable, place.doubts),
    }


def _compose(body: Any, desk: Desk) -> dict[str, Any]:
    import dataclasses

    from ..composition import compose
    from ..composition.subjects import in_rows
    from ..io.provenance import add_history

    body.check()
    with desk.phase("decode", 1, 3):
        photos: list[Any] = [desk.photo(one.picture) for one in body.subjects]
        background = desk.photo(body.background, body.keep_gps)
    arguments: dict[str, Any] = {"recipe": body.recipe, "keep_gps": body.keep_gps}
    if body.recipe is None:
        options = body.options([name for name in COMPOSE.by_name if name not in EACH])
        if body.people is not None:
            options["people"] = [desk.read(id, "people") for id in body.people]
        for name in EACH:
            options[name] = [plain(getattr(one, name)) for one in body.subjects]
        options["mask"] = [None if one.mask is None else desk.read(one.mask, "mask") for one in body.subjects]
        photos, arguments = in_rows(photos, COMPOSE.arguments(options, len(body.subjects), True))
    side = desk.memory.proxy_side if body.preview else None
    with desk.phase("compose", 2, 3), desk.collected_warnings() as warnings:
        composite, info = compose(photos, background, side=side, return_info=True, **arguments)
        # Its history names its sources, when it is exported.
        composite = dataclasses.replace(composite, xmp=background.xmp)
    with desk.phase("encode", 3, 3):
        record: dict[str, Any] = {"seconds": dict(info.seconds), **with_codes("warning", warnings), "subjects": []}
        record |= verdict_record(info)
        for one in info.subjects:
            about = {name: getattr(one, name) for name in ("x", "y", "scale", "angle", "flip")}
            record["subjects"].append({**about, "box": list(one.box), **with_codes("reason", one.reasons)})
        format = body.format or desk.format_for(body.background, body.preview)
        answer: dict[str, Any] = {"picture": desk.write(composite, format, body.quality), "info": record}
        if body.recipe is None and body.k > 1:
            size = desk.sizes[body.subjects[0].picture]
            answer["places"] = [_place_of(one, size) for one in info.subjects[0].places]
        if body.layers:
            xmp = add_history(composite.xmp, *desk.history(body.pictures(), "compose"))
            answer["openraster"] = desk.write_layers(info.layers, dataclasses.replace(composite, xmp=xmp))
        return {**answer, "recipe": desk.write_json(info.recipe)}


# ---- layers and live, for pages ----


def _layers(body: Any, desk: Desk) -> dict[str, Any]:
    from ._live import layers

    body.check()
    values = body.options(LOOKS)
    # There is one subject: options that each has are lists of one.
    values |= {name: [values[name]] for name in EACH if name in values}
    return layers(body, COMPOSE.arguments(values), desk)


def _live(body: LiveBody, desk: Desk) -> dict[str, Any]:
    from ._live import live

    return live(body, desk)


# ---- merge, apply-edit ----


def _merge(body: Any, desk: Desk) -> dict[str, Any]:
    from ..merging import merge

    with desk.phase("decode", 1, 3):
        photos = [desk.read(id, "picture", body.preview, body.keep_gps) for id in body.photos]
        options = _options_of(body, desk)
        people, base_index = options.pop("people", None), options.pop("base", None)
    with desk.phase("merge", 2, 3), desk.collected_warnings() as warnings:
        chosen: Any = "auto" if base_index is None else base_index
        arguments = body.call.arguments(options)
        merged, info = merge(photos, base=chosen, people=people, return_info=True, **arguments)
    base = body.photos[info.base]
    with desk.phase("encode", 3, 3):
        factor = desk.factor(base) if body.preview else 1.0
        record: dict[str, Any] = {"seconds": info.seconds, **with_codes("warning", warnings), **with_code(info.reason)}
        record |= verdict_record(info)
        record |= {"base": info.base, "bases": [{**asdict(one), "cost": one.cost} for one in info.bases], "photos": []}
        for one in info.photos:
            parts = [
                {"box": [value / factor for value in part.box], "people_share": part.people_share,
                 "people": part.people_share, "crossing": part.crossing, "taken": part.taken,
                 **with_code(part.reason)}
                for part in one.parts
            ]  # fmt: skip
            about = {"inliers": one.inliers, "residual": one.residual, "differs": one.differs}
            record["photos"].append({**about, **with_code(one.reason), "parts": parts})
        format = body.format or desk.format_for(base, body.preview)
        return {"picture": desk.write(merged, format, body.quality), "info": record}


def _apply_edit(body: Any, desk: Desk) -> dict[str, Any]:
    import numpy as np

    from ..edits import apply_edit
    from ..io import Picture

    with desk.phase("decode", 1, 3):
        original = desk.read(body.original, "original", body.preview, body.keep_gps)
        # An edit is small, and its details are needed: it is never reduced.
        edits = [desk.read(id, "edited") for id in body.edited]
        options = _options_of(body, desk)
    with desk.phase("apply", 2, 3), desk.collected_warnings() as warnings:
        edited = edits[0] if len(edits) == 1 else edits
        result, info = apply_edit(original, edited, return_info=True, **body.call.arguments(options))
    with desk.phase("encode", 3, 3):
        factor = desk.factor(body.original) if body.preview else 1.0
        infos = info if isinstance(info, list) else [info]
        record: dict[str, Any] = {"seconds": infos[-1].seconds, **with_codes("warning", warnings), "edits": []}
        for one in infos:
            changes = [
                {"box": [value / factor for value in change.box], "share": change.share, "applied": change.applied}
                for change in one.changes
            ]
            about = {"share": one.share, "motion": one.motion / factor, "color_change": one.color_change}
            record["edits"].append({**about, "agreement": one.agreement, **with_code(one.reason), "changes": changes})
        format = body.format or desk.format_for(body.original, body.preview)
        changed = desk.write(Picture(np.maximum.reduce([one.mask for one in infos])[..., None]), "png")
        return {"picture": desk.write(result, format, body.quality), "mask": changed, "info": record}


def _remove(body: Any, desk: Desk) -> dict[str, Any]:
    from ..edits import remove

    with desk.phase("decode", 1, 3):
        picture = desk.read(body.image, "image", body.preview, body.keep_gps)
        options = _options_of(body, desk)
    with desk.phase("remove", 2, 3), desk.collected_warnings() as warnings:
        result, info = remove(picture, return_info=True, **body.call.arguments(options))
    with desk.phase("encode", 3, 3):
        record = {"share": info.share, **with_codes("warning", warnings), **with_code(info.reason)}
        format = body.format or desk.format_for(body.image, body.preview)
        return {"picture": desk.write(result, format, body.quality), "info": record}


#: The operations by name.
OPERATIONS: Mapping[str, Operation] = {
    operation.name: operation
    for operation in (
        Operation("blend", "Blends one image into another under a mask.", BlendBody, _run_mode, exports=True),
        Operation("edit", "Inpaints, evens out the light, flattens texture or boosts detail.", EditBody, _run_mode,
                  exports=True),
        Operation("harmonize", "Gives an object the light and colour of its surroundings.", HarmonizeBody, _run_mode,
                  exports=True),
        Operation("segment", "Segments the object of a prompt, or all people.", SegmentBody, _segment, "picture",
                  MAX_JSON_OF_POINTS),
        Operation("paint", "Paints into a mask with a brush, at the image's full size.", PaintBody, _paint,
                  max_json=MAX_JSON_OF_POINTS),
        Operation("place", "Estimates the best places for a person or an object in an image.", PlaceBody, _place),
        Operation("compose", "Segments, places, matches and blends, in one call.", ComposeBody, _compose,
                  max_json=MAX_JSON_OF_RECIPE, exports=True),
        Operation("merge", "Merges photos of one scene into one with everyone.", MergeBody, _merge, exports=True),
        Operation("apply-edit", "Puts what an AI edit changed back into its photograph.", ApplyEditBody, _apply_edit,
                  exports=True),
        Operation("remove", "Takes something away, and continues what is around it.", RemoveBody, _remove,
                  exports=True),
        Operation("layers", "Composes on proxies, and returns the layers over the background.", LayersBody, _layers,
                  "background"),
        Operation("live", "Blends layers at a place, for a page on which they are dragged.", LiveBody, _live,
                  "background", is_single_use=True),
        Operation("cutout", "Writes the object under a mask with transparency.", CutoutBody, _cutout, exports=True),
        Operation("export", "Writes an image in another format or depth.", ExportBody, _export, exports=True),
    )
}  # fmt: skip


def _open(body: OpenBody, desk: Desk) -> dict[str, Any]:
    return desk.open_upload(body.picture)


#: An internal operation: it reads an uploaded image, and creates its proxy.
OPEN = Operation("open", "Reads an image and creates its proxy.", OpenBody, _open)


def operation_of(name: str) -> Operation:
    """Returns an operation, also the internal one."""
    return OPEN if name == OPEN.name else OPERATIONS[name]
