"""The composite of `pyharmony demo`: somebody of one photograph stands in another."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import _temporary
from .._jobs.failures import writing
from .._jobs.task import check_new
from ..errors import PyHarmonyWarning
from ._console import Console
from ._pictures import IMAGES, Pixels, load

#: The photograph with the subject, and the one that it is put into.
SUBJECT, BACKGROUND = "astronaut", "rocket"
#: How large the subject becomes, and where the left edge of its photograph lies; its lower edge is that of the
#: background, since the photograph's frame cuts the subject there.
SCALE, LEFT = 0.66, 10


class Look(NamedTuple):
    """A look at the subject: the part of the photograph that is seen, clicks on the subject and beside it, and the part
    of the mask that the look says; boxes are (left, top, right, bottom)."""

    seen: tuple[int, int, int, int]
    on: tuple[tuple[int, int], ...]
    beside: tuple[tuple[int, int], ...]
    said: tuple[int, int, int, int]


#: The whole, and closer looks at the head and at both sides, where the edge is told more finely.
LOOKS = (
    Look(
        (0, 0, 512, 512),
        ((225, 100), (130, 300), (60, 400), (270, 420), (430, 420), (490, 470)),
        ((480, 100), (20, 200), (374, 272), (14, 290), (6, 430)),
        (0, 0, 512, 512),
    ),
    Look(
        (90, 0, 380, 260),
        ((225, 100), (225, 190), (130, 215), (295, 225)),
        ((120, 20), (350, 20), (140, 130), (345, 150), (272, 150)),
        (100, 0, 350, 190),
    ),
    Look((250, 150, 512, 412), ((300, 270), (420, 380)), ((400, 200), (372, 280)), (300, 190, 512, 330)),
    Look((0, 150, 200, 400), ((100, 300), (60, 370)), ((14, 290), (20, 180)), (0, 165, 130, 400)),
)


def cut_out(photo: Pixels) -> Pixels:
    """Returns the mask of the subject, [H, W] uint8, by clicks."""
    import pyharmony

    mask: Pixels | None = None
    for look in LOOKS:
        left, top, right, bottom = look.seen
        clicks = [(x - left, y - top) for x, y in (*look.on, *look.beside)]
        labels = [1] * len(look.on) + [0] * len(look.beside)
        part = np.s_[top:bottom, left:right]
        known = None if mask is None else mask[part]
        found = pyharmony.segment(photo[part], points=clicks, labels=labels, mask=known).mask
        if mask is None:
            mask = found.copy()
            continue
        x0, y0, x1, y1 = look.said
        mask[y0:y1, x0:x1] = found[y0 - top : y1 - top, x0 - left : x1 - left]
    assert mask is not None  # noqa: S101  # there are looks
    return mask


def page(photo: Pixels, background: Pixels, result: Pixels, margin: int = 6) -> Any:
    """Returns a PIL image with the two photographs above one another, and the composite beside them."""
    from PIL import Image

    height, width = result.shape[:2]
    # Both photographs get a width at which they are as high as the composite together.
    wide = round((height - margin) / sum(x.shape[0] / x.shape[1] for x in (photo, background)))
    whole = Image.new("RGB", (wide + margin + width, height), "white")
    top = 0
    for one in (photo, background):
        small = Image.fromarray(one).resize((wide, round(wide * one.shape[0] / one.shape[1])), Image.Resampling.LANCZOS)
        whole.paste(small, (0, top))
        top += small.height + margin
    whole.paste(Image.fromarray(result), (wide + margin, 0))
    return whole


def run(output: Path, overwrite: bool, console: Console) -> dict[str, Any]:
    """Makes the composite, and returns what is to be told of it."""
    from PIL import Image

    import pyharmony

    from ..io import Picture, write, write_layers

    paths = {name: output / f"together{suffix}" for name, suffix in
             (("picture", ".png"), ("page", ".jpg"), ("layers", ".ora"), ("recipe", ".json"))}  # fmt: skip
    paths["animation"] = output / "before_and_after.webp"
    for path in paths.values():
        check_new(path, overwrite)
    photo, background = (load(IMAGES / f"{name}.jpg") for name in (SUBJECT, BACKGROUND))
    at = (LEFT, background.shape[0] - SCALE * photo.shape[0])
    with warnings.catch_warnings():
        # What is to be said of it stands in the record.
        warnings.simplefilter("ignore", PyHarmonyWarning)
        result, info = pyharmony.compose(
            photo, background, masks=cut_out(photo), people=[], at=at, scale=SCALE, return_info=True
        )
    laid = Image.fromarray(background)
    size = round(SCALE * photo.shape[1]), round(SCALE * photo.shape[0])
    laid.paste(Image.fromarray(photo).resize(size, Image.Resampling.LANCZOS), (LEFT, background.shape[0] - size[1]))
    with writing(str(output)):
        write(Picture(result), paths["picture"], overwrite=overwrite)
        write(Picture(np.asarray(page(photo, background, result))), paths["page"], overwrite=overwrite, quality=88)
        write_layers(paths["layers"], info.layers, result, overwrite=overwrite)
        _temporary.write_text(paths["recipe"], json.dumps(info.recipe))
        frames = [laid, Image.fromarray(result)]
        frames[0].save(
            paths["animation"], save_all=True, append_images=frames[1:], duration=1500, loop=0, quality=80, method=4
        )
    seconds = info.seconds["all"]
    console.note(f"{paths['picture']}: {result.shape[1]} x {result.shape[0]}, {SUBJECT} before {BACKGROUND}, "
                 f"{seconds:.2f} s; its layers are in {paths['layers'].name}")  # fmt: skip
    told = {"seconds": seconds, "steps": dict(info.seconds), "reasons": list(info.subjects[0].reasons)}
    return {name: str(path) for name, path in paths.items()} | told
