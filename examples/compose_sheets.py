"""Contact sheets of composites by the default chain, before and after, to be looked at.

    python examples/compose_sheets.py [--out artifacts/sheets] [--size 360]

Writes `pairs_<n>.jpg`, the largest person or thing of each photograph of `app_open` and `research_only/app` in each
other of them, and `people_<n>.jpg`, twenty pairs of people of `photos_open` that are drawn by a fixed seed. A row is a
composite: both photographs, the subject at its place as it is, and as `compose` draws it. Nothing is given by hand.
Prints a line for each, with what `compose` says of it.

Reads the shared data, which `$PYHARMONY_DATA` points to (default ../shared/data beside the repository).
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import pyharmony
from pyharmony._arrays import Pixels
from pyharmony.cli._sheets import fitted, sheet
from pyharmony.errors import PyHarmonyError, PyHarmonyWarning

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("app_open", "research_only/app")
SEED, PEOPLE, ROWS = 23, 20, 6
#: What a recipe says of a subject that is laid at its place as it is.
PLAIN: dict[str, Any] = {"harmonize": None, "sharpness": 0.0, "grain": 0.0, "shadow": None, "reflection": None}


def entries(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "manifest.json").read_text("utf-8"))["entries"]
    return found


def pairs(root: Path) -> Iterator[tuple[Path, Path]]:
    """Yields every photograph of the folders with every other one, which it is put into."""
    files = [root / name / entry["file"] for name in FOLDERS for entry in entries(root / name)]
    yield from itertools.permutations(files, 2)


def people(root: Path) -> Iterator[tuple[Path, Path]]:
    """Yields pairs of photographs of people that nothing was trained on, each photograph once."""
    folder = root / "photos_open"
    wanted = {"role": "photo", "category": "person", "split": "test"}
    files = [folder / one["file"] for one in entries(folder) if wanted.items() <= one.items()]
    order = np.random.default_rng(SEED).permutation(len(files))[: 2 * PEOPLE]
    yield from ((files[i], files[j]) for i, j in zip(order[::2], order[1::2]))


def load(path: Path) -> Pixels:
    return np.asarray(Image.open(path).convert("RGB"))


def row(subject: Path, background: Path, side: int) -> list[tuple[str, Pixels]]:
    """Returns the captioned images of a composite, and prints what is said of it."""
    own, scene = load(subject), load(background)
    cells = [(f"{one.parent.name}/{one.name}"[-44:], fitted(load(one), side)) for one in (subject, background)]
    name = f"{subject.name} in {background.name}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PyHarmonyWarning)
        try:
            made, info = pyharmony.compose(own, scene, return_info=True)
        except PyHarmonyError as error:
            print(f"{name}: {error}", flush=True)
            return [*cells, (str(error)[:44], fitted(scene, side))]
        plain = {**info.recipe, "subjects": [{**info.recipe["subjects"][0], **PLAIN}]}
        before = pyharmony.compose(own, scene, recipe=plain)
    one = info.subjects[0]
    score = "no score" if one.placement is None else f"score {one.placement.score:.2f}"
    parts = [score, f"scale {one.scale:.2f}", f"behind {0 if one.placement is None else one.placement.z}"]
    parts += ["no shadow" if one.shadow is None else "shadow"]
    print(f"{name}: {'; '.join([*parts, *one.reasons])}", flush=True)
    return [*cells, ("before: " + ", ".join(parts[:2]), fitted(before, side)),
            ("after: " + ", ".join(parts[2:]), fitted(made, side))]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("artifacts/sheets"), help="default: %(default)s")
    parser.add_argument("--size", type=int, default=360, help="pixels of an image's side; default: %(default)s")
    arguments = parser.parse_args()
    root = Path(os.environ.get("PYHARMONY_DATA") or ROOT.parent / "shared" / "data")
    if not root.is_dir():
        raise SystemExit(f"{root}: shared data not found; set PYHARMONY_DATA to its folder")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for kind, every in (("people", people(root)), ("pairs", pairs(root))):
        for number in itertools.count(1):
            rows = [row(*pair, arguments.size) for pair in itertools.islice(every, ROWS)]
            if not rows:
                break
            path = arguments.out / f"{kind}_{number}.jpg"
            sheet(rows).save(path, quality=90)
            print(path, flush=True)


if __name__ == "__main__":
    main()
