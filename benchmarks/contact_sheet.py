"""Crops at the contour of every blend of the shared photographs, to be looked at.

    python benchmarks/contact_sheet.py [--out artifacts/sheets]

One picture a set of src, dst and mask, a row a place: dst, each blend, and the last blend with the
contour marked, pixels enlarged. Prints by how much each blend misses the differences across the
contour that it was asked for, and how many values outside the mask it changed.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pyharmony import blend

Pixels = npt.NDArray[Any]
BLENDS = ("alpha", "laplacian", "poisson", "gaussian_poisson")
PLACES, CROP, ZOOM = 5, 56, 4


def inner_edge(inside: Pixels) -> Pixels:
    """Pixels inside with a 4-neighbour outside."""
    padded = np.pad(inside, 1, mode="edge")
    return inside & ~(padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:])


def places(inside: Pixels) -> list[tuple[int, int]]:
    """Points of the contour, far from each other and from the image's border."""
    half = CROP // 2
    edge = inner_edge(inside)
    edge[:half] = edge[-half:] = edge[:, :half] = edge[:, -half:] = False
    points = np.argwhere(edge)
    chosen = list(points[:1])
    while 0 < len(chosen) < PLACES:
        distance = np.min([((points - p) ** 2).sum(1) for p in chosen], axis=0)
        chosen.append(points[int(distance.argmax())])
    return [(int(y), int(x)) for y, x in chosen]


def miss(result: Pixels, src: Pixels, dst: Pixels, inside: Pixels) -> Pixels:
    """|(x_i - x_j) - the mean of the same differences of src and dst| of the edges across the contour."""
    x, s, d = (a.astype(np.float64) for a in (result, src, dst))
    found = []
    for axis in (0, 1):
        across = np.diff(inside.astype(np.int8), axis=axis) != 0
        wanted = (np.diff(s, axis=axis) + np.diff(d, axis=axis)) / 2
        found.append(np.abs(np.diff(x, axis=axis) - wanted)[across].ravel())
    return np.concatenate(found)


def make(name: str, src: Pixels, dst: Pixels, mask: Pixels, file: Path) -> None:
    inside = mask > 0
    results = {b: getattr(blend, b)(src, dst, mask) for b in BLENDS}
    marked = results[BLENDS[-1]].copy()
    marked[inner_edge(inside)] = (255, 0, 0)
    rows = []
    for y, x in places(inside):
        crop = np.s_[y - CROP // 2 : y + CROP // 2, x - CROP // 2 : x + CROP // 2]
        rows.append(np.concatenate([image[crop] for image in (dst, *results.values(), marked)], 1))
    if rows:
        sheet = Image.fromarray(np.concatenate(rows))
        sheet.resize((sheet.width * ZOOM, sheet.height * ZOOM), Image.Resampling.NEAREST).save(file)
    for b, image in results.items():
        off = miss(image, src, dst, inside)
        changed = int((image != dst)[~inside].sum())
        print(f"{name:26} {b:17} median {np.median(off):5.1f}  95% {np.percentile(off, 95):5.1f}  outside {changed}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("artifacts/sheets"), help="default: %(default)s")
    out: Path = parser.parse_args().out
    data = Path(os.environ.get("PYHARMONY_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    if not (data / "blending").is_dir():
        raise SystemExit(f"{data}: shared data not found; set PYHARMONY_DATA to its folder")
    out.mkdir(parents=True, exist_ok=True)
    for folder in sorted(p for p in (data / "blending").iterdir() if (p / "mask.png").exists()):
        src, dst = (np.asarray(Image.open(folder / f"{k}.jpg").convert("RGB")) for k in ("src", "dst"))
        mask = np.asarray(Image.open(folder / "mask.png").convert("L"))
        make(folder.name, src, dst, mask, out / f"{folder.name}_contour.png")


if __name__ == "__main__":
    main()
