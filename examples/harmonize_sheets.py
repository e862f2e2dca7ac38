"""Contact sheets of what people paste, to be looked at: composites as they are, and as `harmonize` makes them.

    python examples/harmonize_sheets.py [--out artifacts/sheets] [--size 360]

Writes `real_<n>.jpg`, forty composites that others made, and `own_<n>.jpg`, twenty cut-outs of one photograph clean
before another, whose photograph `source=` knows. Both are drawn by a fixed seed.

Reads the shared data, which `$PYHARMONY_DATA` points to (default ../shared/data beside the repository).
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

import pyharmony
from pyharmony import blend
from pyharmony._arrays import Pixels
from pyharmony.cli._sheets import fitted, sheet
from pyharmony.errors import PyHarmonyWarning
from pyharmony.learn import data

ROOT = Path(__file__).resolve().parent.parent
SEED = 21
REAL, OWN, ROWS = 40, 20, 5
#: The height of a pasted object as a share of the picture's, and by how many pixels its rim is taken off.
HEIGHTS, RIM = (0.45, 0.7), 2
#: The surroundings that are shown, as a share of the object's sides.
MARGIN = 0.4


def resized(image: Pixels, height: int) -> Pixels:
    width = max(round(image.shape[1] * height / image.shape[0]), 1)
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))


def view_of(mask: Pixels) -> tuple[slice, slice]:
    """Returns where a mask's object is, and its surroundings."""
    found = []
    for axis in (1, 0):
        at = np.flatnonzero((mask > 127).any(axis))
        margin = round(MARGIN * (at[-1] - at[0] + 1))
        found.append(slice(max(0, at[0] - margin), at[-1] + 1 + margin))
    return found[0], found[1]


def pasted(photo: Pixels, mask: Pixels, ground: Pixels, share: float) -> tuple[Pixels, Pixels]:
    """Returns a photograph's object before another photograph, at the middle of its lower border, and its mask."""
    y, x = (np.flatnonzero((mask > 127).any(axis)) for axis in (1, 0))
    box = np.s_[y[0] : y[-1] + 1, x[0] : x[-1] + 1]
    height = min(round(share * ground.shape[0]), round(0.9 * ground.shape[1] * (y[-1] - y[0] + 1) / (x[-1] - x[0] + 1)))
    cut, inside = resized(photo[box], height), resized(mask[box], height)
    inside = np.pad(np.asarray(Image.fromarray(inside).filter(ImageFilter.MinFilter(2 * RIM + 1))), ((1, 0), (1, 1)))
    cut = np.pad(cut, ((1, 0), (1, 1), (0, 0)), mode="edge")
    at = (ground.shape[1] - cut.shape[1]) // 2, ground.shape[0] - cut.shape[0]
    whole = np.zeros(ground.shape[:2], np.uint8)
    whole[at[1] :, at[0] : at[0] + cut.shape[1]] = inside
    return blend.alpha(cut, ground, inside, at=at, feather=1.0), whole


def real(root: Path) -> Iterator[tuple[str, Pixels, Pixels, dict[str, Any]]]:
    """Yields name, composite, mask and what `harmonize` is told beside, of composites that others made."""
    every = data.Manifest(root / "research_only" / "real_composites", "test", ("composite", "mask"))
    for i in np.random.default_rng(SEED).choice(len(every), REAL, replace=False):
        image = every[int(i)]["composite"]
        mask = Image.fromarray(every[int(i)]["mask"]).resize(image.shape[1::-1], Image.Resampling.BILINEAR)
        yield every.names[i], image, np.asarray(mask), {}


def own(root: Path) -> Iterator[tuple[str, Pixels, Pixels, dict[str, Any]]]:
    """Yields the same of cut-outs before photographs that they do not come from."""
    objects = data.Manifest(root / "pairs_open", "test", ("image", "mask"))
    grounds, draw = data.Manifest(root / "photos_open", "test", ("image",)), np.random.default_rng(SEED)
    chosen = (draw.choice(len(every), OWN, replace=False).tolist() for every in (objects, grounds))
    for i, j in zip(*chosen, strict=True):
        photo, mask = objects[i]["image"], objects[i]["mask"]
        image, where = pasted(photo, mask, grounds[j]["image"], draw.uniform(*HEIGHTS))
        yield f"{objects.names[i]} in {grounds.names[j]}", image, where, {"source": photo, "source_mask": mask}


def row(name: str, image: Pixels, mask: Pixels, hints: dict[str, Any], side: int) -> list[tuple[str, Pixels]]:
    """Returns the captioned images of a composite."""
    calls: dict[str, dict[str, Any]] = {"default": {}, "cautious": {"cautious": True}}
    if hints:
        calls["source"] = hints
    view = view_of(mask)
    cells = [(name[:48], fitted(image[view], side))]
    for title, options in calls.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PyHarmonyWarning)
            made, info = pyharmony.harmonize(image, mask, return_info=True, **options)
        cells.append((f"{title}: {info.change:.1f} levels of {info.asked:.1f}", fitted(made[view], side)))
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("artifacts/sheets"), help="default: %(default)s")
    parser.add_argument("--size", type=int, default=360, help="pixels of an image's side; default: %(default)s")
    arguments = parser.parse_args()
    root = Path(os.environ.get("PYHARMONY_DATA") or ROOT.parent / "shared" / "data")
    if not root.is_dir():
        raise SystemExit(f"{root}: shared data not found; set PYHARMONY_DATA to its folder")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for kind, samples in (("real", real(root)), ("own", own(root))):
        rows = [row(*sample, arguments.size) for sample in samples]
        for first in range(0, len(rows), ROWS):
            path = arguments.out / f"{kind}_{first // ROWS + 1}.jpg"
            sheet(rows[first : first + ROWS]).save(path, quality=90)
            print(path)


if __name__ == "__main__":
    main()
