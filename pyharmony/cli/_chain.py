"""The composite of `pyharmony demo`: somebody of one photograph stands in another."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import _shipped, _temporary
from .._jobs.failures import writing
from .._jobs.task import check_new
from ..errors import PyHarmonyWarning
from ._console import Console
from ._pictures import IMAGES, Pixels, load

if TYPE_CHECKING:
    from ..composition import ComposeInfo
    from ..placement import Placement

#: The photograph with the subject, and the one that it is put into.
SUBJECT, BACKGROUND = "astronaut", "rocket"
#: How many of the best places are looked at, and the part of the background that is to be seen, the rocket, as (left,
#: top, right, bottom): of these places, the one that covers least of it is taken.
PLACES, SHOWN = 3, (310, 125, 335, 410)


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


class Made(NamedTuple):
    """A composite, and how it came about.

    Attributes:
        photo, background: the photographs.
        before: the photograph laid on the background as it is, at the same place.
        result: the composite.
        info: what is known of it.
        places: the best places, of which it has the one with `number`.
        networks: the SHA-256 of the weights that ran, by their names.
        seconds: how long each step took.
    """

    photo: Pixels
    background: Pixels
    before: Pixels
    result: Pixels
    info: ComposeInfo
    places: Sequence[Placement]
    number: int
    networks: dict[str, str]
    seconds: dict[str, float]


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


def chosen(places: Sequence[Placement], mask: Pixels) -> int:
    """Returns the number of the place at which a subject covers the least of what is to be seen."""
    x, y = np.meshgrid(np.arange(SHOWN[0], SHOWN[2]), np.arange(SHOWN[1], SHOWN[3]))
    shown = np.stack([x.ravel(), y.ravel(), np.ones(x.size)])

    def covered(spot: Placement) -> int:
        back = np.linalg.inv(np.vstack([spot.matrix, [0, 0, 1]])) @ shown
        column, row = np.rint(back[:2]).astype(int)
        inside = (column >= 0) & (row >= 0) & (column < mask.shape[1]) & (row < mask.shape[0])
        return int(np.count_nonzero(mask[row[inside], column[inside]] > 127))

    return min(range(len(places)), key=lambda i: covered(places[i]))


def made() -> Made:
    """Returns the composite: cut out, placed, matched, on its ground and blended."""
    import pyharmony

    photo, background = (load(IMAGES / f"{name}.jpg") for name in (SUBJECT, BACKGROUND))
    with warnings.catch_warnings(), _shipped.noted() as networks:
        # What is to be said of it stands in the record.
        warnings.simplefilter("ignore", PyHarmonyWarning)
        start = time.perf_counter()
        mask = cut_out(photo)
        seconds = {"cut": round(time.perf_counter() - start, 4)}
        result, info = pyharmony.compose(photo, background, masks=mask, people=[], k=PLACES, return_info=True)
        seconds["place"] = info.seconds["place"]
        places = info.subjects[0].places
        number = chosen(places, mask)
        if number:
            recipe = info.others[number - 1]
            result, info = pyharmony.compose(photo, background, recipe=recipe, return_info=True)
        seconds |= info.subjects[0].seconds
        # The photograph as it is, at that place.
        plain: dict[str, Any] = {"harmonize": None, "sharpness": 0.0, "grain": 0.0, "shadow": False, "people": []}
        whole = np.full(photo.shape[:2], 255, np.uint8)
        before = pyharmony.compose(photo, background, masks=whole, at=places[number], behind=(), **plain)
    return Made(photo, background, before, result, info, places, number, dict(sorted(networks.items())), seconds)


def run(output: Path, overwrite: bool, console: Console) -> dict[str, Any]:
    """Makes the composite, and returns what is to be told of it."""
    from PIL import Image

    from ..io import Picture, write, write_layers

    paths = {name: output / f"together{suffix}" for name, suffix in
             (("picture", ".png"), ("page", ".jpg"), ("layers", ".ora"), ("recipe", ".json"))}  # fmt: skip
    paths["animation"] = output / "before_and_after.webp"
    for path in paths.values():
        check_new(path, overwrite)
    start = time.perf_counter()
    one = made()
    seconds = time.perf_counter() - start
    result, info = one.result, one.info
    with writing(str(output)):
        write(Picture(result), paths["picture"], overwrite=overwrite)
        shown = page(one.photo, one.background, result)
        write(Picture(np.asarray(shown)), paths["page"], overwrite=overwrite, quality=88)
        write_layers(paths["layers"], info.layers, result, overwrite=overwrite)
        _temporary.write_text(paths["recipe"], json.dumps(info.recipe))
        frames = [Image.fromarray(frame) for frame in (one.before, result)]
        frames[0].save(
            paths["animation"], save_all=True, append_images=frames[1:], duration=1500, loop=0, quality=80, method=4
        )
    spot = one.places[one.number]
    clicks = sum(len(look.on) + len(look.beside) for look in LOOKS)
    which = f"number {one.number + 1} of {len(one.places)} places covers the least of it"
    by_hand = [
        f"{clicks} clicks in {len(LOOKS)} looks at the photograph, which say who is meant",
        f"that nobody is in the {BACKGROUND}'s photograph",
        f"the part of it that is to be seen: {which}",
    ]
    size = f"{result.shape[1]} x {result.shape[0]}"
    console.note(f"{paths['picture']}: {size}, {SUBJECT} before {BACKGROUND}, {seconds:.2f} s; its layers are in "
                 f"{paths['layers'].name}")  # fmt: skip
    console.note(f"the place was found, with scale {spot.scale:.2f} and a turn of {spot.angle:.1f} degrees")
    if info.subjects[0].shadow is None:
        console.note("no shadow: the photograph ends where the astronaut does, so no feet are seen")
    console.note("given by hand: " + "; ".join(by_hand))
    told = {
        "seconds": round(seconds, 3), "steps": one.seconds, "reasons": list(info.subjects[0].reasons),
        "place": {"score": spot.score, "scale": spot.scale, "angle": spot.angle, "number": one.number + 1},
        "by_hand": by_hand, "networks": one.networks,
    }  # fmt: skip
    return {name: str(path) for name, path in paths.items()} | told
