"""Contact sheets of the shared blending pairs: every blend side by side, and its contour enlarged, to be looked at.

    python examples/sheets.py [--out artifacts/sheets]

Writes two images a pair: `<pair>.png`, every blend at 1:1, and `<pair>_contour.png`, four times enlarged, a row a
place on the contour. Prints for each blend what it changed outside the mask and its steps across the contour, in 8-bit
levels beyond the gradient that was asked for there; the exact membrane, in float64, is what a solve can do at best.

Reads `blending/` of the shared data, which `$PYHARMONY_DATA` points to (default ../shared/data beside the repository).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pyharmony import blend
from pyharmony._arrays import Pixels
from pyharmony._images.region import Region, close_strips
from pyharmony.cli._sheets import sheet

ROOT = Path(__file__).resolve().parent.parent
MARGIN = 60
PLACES, CROP, ZOOM = 5, 56, 4
BLENDS: dict[str, Callable[..., Pixels]] = {
    "alpha": blend.alpha,
    "laplacian": blend.laplacian,
    "poisson": blend.poisson,
    "poisson_mixed": lambda *a, **k: blend.poisson(*a, gradients="mixed", **k),
    "poisson_monochrome": lambda *a, **k: blend.poisson(*a, gradients="monochrome", **k),
    "gaussian_poisson": blend.gaussian_poisson,
}
CLOSE_UPS = ("alpha", "laplacian", "poisson", "gaussian_poisson")


def load(file: Path, mode: str) -> Pixels:
    return np.asarray(Image.open(file).convert(mode))


def inner_edge(inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Returns the pixels inside with a 4-neighbour outside."""
    padded = np.pad(inside, 1, mode="edge")
    return inside & ~(padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:])


def places(inside: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Returns points (y, x) of the contour, far from each other and from the image's border."""
    half = CROP // 2
    edge = inner_edge(inside)
    edge[:half] = edge[-half:] = edge[:, :half] = edge[:, -half:] = False
    points = np.argwhere(edge)
    chosen = list(points[:1])
    while 0 < len(chosen) < PLACES:
        distance = np.min([((points - p) ** 2).sum(1) for p in chosen], axis=0)
        chosen.append(points[int(distance.argmax())])
    return [(int(y), int(x)) for y, x in chosen]


def overview(src: Pixels, dst: Pixels, mask: Pixels, results: dict[str, Pixels]) -> Image.Image:
    y, x = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    view = np.s_[max(0, y[0] - MARGIN) : y[-1] + MARGIN, max(0, x[0] - MARGIN) : x[-1] + MARGIN]
    row = [("pasted", np.where(mask[..., None] > 127, src, dst)[view])]
    row += [(name, image[view]) for name, image in results.items()]
    return sheet([row[:4], row[4:]])


def contour(dst: Pixels, mask: Pixels, results: dict[str, Pixels]) -> Image.Image:
    """Draws a row a place: dst, the blends, and the last of them with the contour marked."""
    marked = results[CLOSE_UPS[-1]].copy()
    marked[inner_edge(mask > 0)] = (255, 0, 0)
    pictures = {"dst": dst, **{name: results[name] for name in CLOSE_UPS}, "contour": marked}
    rows = []
    for y, x in places(mask > 0):
        crop = np.s_[y - CROP // 2 : y + CROP // 2, x - CROP // 2 : x + CROP // 2]
        rows.append([(name, image[crop].repeat(ZOOM, 0).repeat(ZOOM, 1)) for name, image in pictures.items()])
    return sheet(rows)


def steps(result: npt.NDArray[Any], src: Pixels, dst: Pixels, mask: Pixels) -> npt.NDArray[np.float64]:
    """Returns |(x_i - x_j) - the wanted difference| of the edges across the contour, in the unit of uint8."""
    x, s, d = (a.astype(np.float64) for a in (result, src, dst))
    inside, share = mask > 0, mask / 255.0
    found = []
    for axis in (0, 1):
        across = np.diff(inside.astype(np.int8), axis=axis) != 0
        a = np.take(share, range(1, share.shape[axis]), axis) + np.take(share, range(share.shape[axis] - 1), axis)
        wanted = a[..., None] / 2 * np.diff(s, axis=axis) + (1 - a[..., None] / 2) * np.diff(d, axis=axis)
        found.append(np.abs(np.diff(x, axis=axis) - wanted)[across].ravel())
    return np.concatenate(found)


def report(name: str, image: npt.NDArray[Any], src: Pixels, dst: Pixels, mask: Pixels) -> None:
    found, changed = steps(image, src, dst, mask), int((image != dst)[mask == 0].sum())
    print(
        f"  {name:20} outside {changed}, steps: median {np.median(found):5.1f}, "
        f"95 % {np.percentile(found, 95):5.1f}, largest {found.max():5.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("artifacts/sheets"), help="default: %(default)s")
    out: Path = parser.parse_args().out
    data = Path(os.environ.get("PYHARMONY_DATA") or ROOT.parent / "shared" / "data") / "blending"
    if not data.is_dir():
        raise SystemExit(f"{data}: shared data not found; set PYHARMONY_DATA to its folder")
    out.mkdir(parents=True, exist_ok=True)
    for folder in sorted(p for p in data.iterdir() if (p / "mask.png").exists()):
        src, dst = load(folder / "src.jpg", "RGB"), load(folder / "dst.jpg", "RGB")
        mask = load(folder / "mask.png", "L")
        mask = close_strips(mask, Region(0, mask.shape[0], 0, mask.shape[1]), mask.shape)
        results = {name: call(src, dst, mask) for name, call in BLENDS.items()}
        overview(src, dst, mask, results).save(out / f"{folder.name}.png")
        contour(dst, mask, results).save(out / f"{folder.name}_contour.png")
        print(f"{out / folder.name}.png, _contour.png: {dst.shape[1]} x {dst.shape[0]}")
        for name in CLOSE_UPS:
            report(name, results[name], src, dst, mask)
        doubles = src.astype(np.float64), dst.astype(np.float64)
        report("exact membrane", 255 * blend.poisson(*(a / 255 for a in doubles), mask), src, dst, mask)
        smooth = 255 * blend.gaussian_poisson(*(a / 255 for a in doubles), mask)
        report("gaussian_poisson f64", smooth, src, dst, mask)


if __name__ == "__main__":
    main()
