"""The composites of `pyharmony demo`: a person of one photo in another, segmented by one click."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import _shipped, _temporary
from .._arrays import Pixels
from .._images.region import bounding_box
from ..runs._jobs.failures import writing
from ..runs._jobs.task import check_new
from ._console import Console
from ._pictures import IMAGES, load

if TYPE_CHECKING:
    from ..composition import ComposeInfo


class Scene(NamedTuple):
    """Two photos, and the click (x, y) on the person in the first who is inserted into the second."""

    subject: str
    background: str
    click: tuple[int, int]


#: By day, and at dusk.
SCENES = (Scene("cowgirl", "colorado", (294, 271)), Scene("coat", "pier", (128, 160)))
#: The arguments of a plain paste of the cut-out.
PASTE_ARGUMENTS: dict[str, Any] = {"harmonize": None, "sharpness": 0.0, "grain": 0.0, "shadow": None}
WIDTH = 1280  # the width of a page, in pixels
MARGIN = 6  # the gap between the images of a page, in pixels


class Composite(NamedTuple):
    """A composite and its sources.

    pasted is the cut-out at the same place, without match, shadow and grain; networks has the SHA-256 of the weights
    that were used; seconds is the time that `compose` took.
    """

    photo: Pixels
    background: Pixels
    pasted: Pixels
    result: Pixels
    info: ComposeInfo
    networks: dict[str, str]
    seconds: float


def composite_of(scene: Scene) -> Composite:
    """Returns the composite of a scene: one click and the defaults."""
    import pyharmony

    photo, background = (load(IMAGES / f"{name}.jpg") for name in (scene.subject, scene.background))
    start = time.perf_counter()
    with _shipped.noted() as networks:
        result, info = pyharmony.compose(photo, background, points=scene.click, return_info=True)
    seconds = time.perf_counter() - start
    plain = {**info.recipe, "subjects": [{**info.recipe["subjects"][0], **PASTE_ARGUMENTS}]}
    pasted = pyharmony.compose(photo, background, recipe=plain)
    return Composite(photo, background, pasted, result, info, dict(sorted(networks.items())), seconds)


def close_up(composite: Composite) -> Pixels:
    """Returns the upper half of the subject in a composite, with a little around it."""
    box = bounding_box(composite.info.subjects[0].mask >= 128)
    half = (box.shape[0] - 1) // 2
    top, middle = box.y0, (box.x0 + box.x1 - 1) // 2
    left, right = max(0, middle - half // 2), middle + half // 2
    part: Pixels = composite.result[max(0, top - half // 8) : top + half, left:right]
    return part


def page(composites: Sequence[Composite]) -> Any:
    """Returns a PIL image with a row for each composite: both photos, the composite, and a close-up of it."""
    from PIL import Image

    def scaled(pixels: Pixels, width: float, height: float) -> Any:
        return Image.fromarray(pixels).resize((round(width), round(height)), Image.Resampling.LANCZOS)

    rows: list[Any] = []
    for one in composites:
        near = close_up(one)
        # Widths as shares of the row's height: both photos together are as high as the composite.
        shares = 1 / sum(x.shape[0] / x.shape[1] for x in (one.photo, one.background)), *(
            x.shape[1] / x.shape[0] for x in (one.result, near))  # fmt: skip
        height = round((WIDTH - 2 * MARGIN + shares[0] * MARGIN) / sum(shares))
        wide = shares[0] * (height - MARGIN)
        upper, lower = (scaled(x, wide, wide * x.shape[0] / x.shape[1]) for x in (one.photo, one.background))
        whole = scaled(one.result, shares[1] * height, height)
        row = Image.new("RGB", (WIDTH, height), "white")
        row.paste(upper, (0, 0))
        row.paste(lower, (0, height - lower.height))
        row.paste(whole, (upper.width + MARGIN, 0))
        left = upper.width + whole.width + 2 * MARGIN
        row.paste(scaled(near, WIDTH - left, height), (left, 0))
        rows.append(row)
    sheet = Image.new("RGB", (WIDTH, sum(row.height for row in rows) + MARGIN * (len(rows) - 1)), "white")
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height + MARGIN
    return sheet


def run(output: Path, overwrite: bool, console: Console) -> dict[str, Any]:
    """Writes the composites and returns their records."""
    from PIL import Image

    from ..io import Picture, write, write_layers

    page_path, animation = output / "together.jpg", output / "before_and_after.webp"
    suffixes = {"picture": ".png", "layers": ".ora", "recipe": ".json"}
    paths = [{key: output / f"{scene.background}{suffix}" for key, suffix in suffixes.items()} for scene in SCENES]
    for file in (page_path, animation, *(file for group in paths for file in group.values())):
        check_new(file, overwrite)
    composites = [composite_of(scene) for scene in SCENES]
    records = []
    with writing(str(output)):
        for scene, one, path in zip(SCENES, composites, paths, strict=True):
            write(Picture(one.result), path["picture"], overwrite=overwrite)
            write_layers(path["layers"], one.info.layers, one.result, overwrite=overwrite)
            _temporary.write_text(path["recipe"], json.dumps(one.info.recipe))
            subject = one.info.subjects[0]
            spot = subject.placement
            assert spot is not None  # noqa: S101  # the place is estimated, not passed
            console.note(f"{path['picture']}: {one.result.shape[1]} x {one.result.shape[0]}, one click at "
                         f"{scene.click[0]}, {scene.click[1]} in {scene.subject}.jpg, {one.seconds:.2f} s; its layers "
                         f"are in {path['layers'].name}")  # fmt: skip
            place = {"score": spot.score, "scale": spot.scale, "angle": spot.angle}
            records.append({**{key: str(file) for key, file in path.items()}, "seconds": round(one.seconds, 3),
                            "click": scene.click, "steps": {**one.info.seconds, **subject.seconds}, "place": place,
                            "reasons": list(subject.reasons), "networks": one.networks})  # fmt: skip
        write(Picture(np.asarray(page(composites))), page_path, overwrite=overwrite, quality=80)
        # At dusk, when the light differs most from that of the subject's photo.
        frames = [Image.fromarray(frame) for frame in (composites[-1].pasted, composites[-1].result)]
        frames[0].save(animation, save_all=True, append_images=frames[1:], duration=1500, loop=0, quality=80, method=4)
    return {"page": str(page_path), "animation": str(animation), "composites": records}
