"""The pictures of `pyharmony demo`: an edit put back, people of one photo in the light of another, a merge."""

from __future__ import annotations

import importlib.util
import json
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import _install, _temporary
from .._arrays import Pixels
from .._calls import flag
from ..runs._jobs.failures import writing
from ..runs._jobs.task import check_new
from ._console import Console
from ._pictures import IMAGES, load

if TYPE_CHECKING:
    from ..composition import ComposeInfo


class Scene(NamedTuple):
    """Two photos, and the arguments of `compose` by which a person of the first is inserted into the second."""

    subject: str
    background: str
    arguments: dict[str, Any]

    def options(self) -> str:
        """Returns the arguments as options of the command."""
        values: dict[str, Any] = {}
        for name, value in self.arguments.items():
            values |= {f"{name}_{key}": one for key, one in value.items()} if isinstance(value, dict) else {name: value}
        texts = {k: "" if v is True else "=" + ",".join(f"{x:g}" for x in np.ravel(v)) for k, v in values.items()}
        return " ".join(flag(key) + text for key, text in texts.items())


#: From a street after sunset to a low sun, at a place that is estimated, and from a meadow to a pier at dusk.
SCENES = (
    Scene("hat", "roofs", {
        "points": (260, 420), "beside": (188, 285), "adjust": {"exposure": -0.4, "temperature": 35, "saturation": 1.1},
    }),
    Scene("coat", "pier", {
        "points": (128, 160), "at": (190, 20), "scale": 0.88, "angle": 0,
        "adjust": {"exposure": -0.3, "temperature": -15},
        "shadow": {"tip": (320, 415), "softness": 6, "contact": 358, "under": 0.8},
    }),
)  # fmt: skip
#: A photograph and an AI edit of it, and two photos of one room.
EDIT, MERGE = ("desk.jpg", "desk_edit.jpg"), ("reading.jpg", "leaving.jpg")
#: The arguments of a plain paste of the cut-out.
PASTE_ARGUMENTS: dict[str, Any] = {"harmonize": None, "sharpness": 0.0, "grain": 0.0, "shadow": None, "adjust": None}
WIDTH = 1280  # the width of a page, in pixels
MARGIN = 6  # the gap between the images of a page, in pixels


class Composite(NamedTuple):
    """A composite and its sources; pasted is the cut-out alone at the same place; seconds is the time of `compose`."""

    photo: Pixels
    background: Pixels
    pasted: Pixels
    result: Pixels
    info: ComposeInfo
    seconds: float


def composite_of(scene: Scene) -> Composite:
    """Returns the composite of a scene."""
    import pyharmony

    photo, background = (load(IMAGES / f"{name}.jpg") for name in (scene.subject, scene.background))
    start = time.perf_counter()
    result, info = pyharmony.compose(photo, background, return_info=True, **scene.arguments)
    seconds = time.perf_counter() - start
    plain = {**info.recipe, "subjects": [{**info.recipe["subjects"][0], **PASTE_ARGUMENTS}]}
    pasted = pyharmony.compose(photo, background, recipe=plain)
    return Composite(photo, background, pasted, result, info, seconds)


def page(composites: Sequence[Composite]) -> Any:
    """Returns a PIL image with a row for each composite: both photos, the subject pasted, and the composite."""
    from PIL import Image

    def scaled(pixels: Pixels, width: float, height: float) -> Any:
        return Image.fromarray(pixels).resize((round(width), round(height)), Image.Resampling.LANCZOS)

    rows: list[Any] = []
    for one in composites:
        # Widths as shares of the row's height: both photos together are as high as the composite.
        shares = 1 / sum(x.shape[0] / x.shape[1] for x in (one.photo, one.background)), *(
            x.shape[1] / x.shape[0] for x in (one.pasted, one.result))  # fmt: skip
        height = round((WIDTH - 2 * MARGIN + shares[0] * MARGIN) / sum(shares))
        wide = shares[0] * (height - MARGIN)
        upper, lower = (scaled(x, wide, wide * x.shape[0] / x.shape[1]) for x in (one.photo, one.background))
        pasted = scaled(one.pasted, shares[1] * height, height)
        row = Image.new("RGB", (WIDTH, height), "white")
        row.paste(upper, (0, 0))
        row.paste(lower, (0, height - lower.height))
        row.paste(pasted, (upper.width + MARGIN, 0))
        left = upper.width + pasted.width + 2 * MARGIN
        row.paste(scaled(one.result, WIDTH - left, height), (left, 0))
        rows.append(row)
    sheet = Image.new("RGB", (WIDTH, sum(row.height for row in rows) + MARGIN * (len(rows) - 1)), "white")
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height + MARGIN
    return sheet


def run(output: Path, overwrite: bool, console: Console) -> None:
    """Writes the pictures, the photos that they are of, and how each is repeated."""
    import pyharmony

    from ..io import Picture, write, write_layers

    photos = output / "photos"
    page_path, edit, merged = (output / name for name in ("together.jpg", "cup.png", "visit.png"))
    suffixes = {"picture": ".png", "layers": ".ora", "recipe": ".json"}
    paths = [{key: output / f"{scene.background}{suffix}" for key, suffix in suffixes.items()} for scene in SCENES]
    copies = [photos / name for name in (*EDIT, *MERGE, *(f"{name}.jpg" for scene in SCENES for name in scene[:2]))]
    for file in (page_path, edit, merged, *copies, *(file for group in paths for file in group.values())):
        check_new(file, overwrite)
    with writing(str(output)):
        photos.mkdir(parents=True, exist_ok=True)
        for copy in copies:
            copy.write_bytes((IMAGES / copy.name).read_bytes())

    program = "pyharmony" if shutil.which("pyharmony") else f"{sys.executable} -m pyharmony"

    def note(path: Path, text: str, words: str, *names: str) -> None:
        files = (shlex.quote(str(photos / name)) for name in names)
        console.note(f"{path}: {text}: {program} {words.format(*files)} -o {path.name}")

    with writing(str(output)):
        pyharmony.apply_edit(*(photos / name for name in EDIT), out=edit)
    note(edit, "an edit in its photograph, which is otherwise the same", "apply-edit {} {}", *EDIT)
    composites = [composite_of(scene) for scene in SCENES]
    records = []
    with writing(str(output)):
        for scene, one, path in zip(SCENES, composites, paths, strict=True):
            write(Picture(one.result), path["picture"], overwrite=overwrite)
            write_layers(path["layers"], one.info.layers, one.result, overwrite=overwrite)
            _temporary.write_text(path["recipe"], json.dumps(one.info.recipe))
            subject = one.info.subjects[0]
            text = f"{one.seconds:.2f} s, layers in {path['layers'].name}"
            note(path["picture"], text, f"compose {{}} {{}} {scene.options()}", *(f"{name}.jpg" for name in scene[:2]))
            records.append({**{key: str(file) for key, file in path.items()}, "seconds": round(one.seconds, 3),
                            "options": scene.options(), "steps": {**one.info.seconds, **subject.seconds},
                            "reasons": list(subject.reasons)})  # fmt: skip
        write(Picture(np.asarray(page(composites))), page_path, overwrite=overwrite, quality=75)
    # Installed without extras, which are not needed for the others, the pictures are all but this one.
    merges = importlib.util.find_spec("cv2") is not None
    if merges:
        with writing(str(output)):
            pyharmony.merge([photos / name for name in MERGE], out=merged)
        note(merged, "everyone of two photos in one", "merge {} {}", *MERGE)
    else:
        console.note(f"{merged}: not written, `pyharmony merge` needs OpenCV: {_install.hint('segment')}")
    console.note(f"open {page_path}: photos, the person pasted, and with the light of the other photo")
    console.result(
        status="ok", page=str(page_path), edit=str(edit), merge=str(merged) if merges else None, photos=str(photos),
        composites=records,
    )  # fmt: skip
