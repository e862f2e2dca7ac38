"""Pastes three cut-outs into photographs with every blend and writes the pictures.

    python examples/demo.py [-o artifacts/demo]

Writes a picture a pair and blend, `before_after.jpg` (pasted, and blended with the choice that suits the pair) and
`sheet.png` (every blend side by side, at 1:1).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from pyharmony import blend

Pixels = npt.NDArray[np.uint8]

IMAGES = Path(__file__).parent / "images"


@dataclass(frozen=True)
class Pair:
    """A cut-out with its mask, the photograph it goes into, and where its pixel (0, 0) lands."""

    name: str
    background: str
    at: tuple[int, int]
    view: tuple[int, int, int, int]  # x0, y0, x1, y1: the part of the photograph that the sheets show
    best: str


PAIRS = (
    Pair("patch", "coffee", (86, 180), (50, 10, 350, 310), "gaussian_poisson"),
    Pair("cat", "coffee", (208, 113), (140, 0, 440, 300), "poisson_monochrome"),
    Pair("launch", "astronaut", (358, 364), (212, 212, 512, 512), "poisson_mixed"),
)

BLENDS: dict[str, Callable[..., Any]] = {
    "alpha": blend.alpha,
    "laplacian": blend.laplacian,
    "poisson": blend.poisson,
    "poisson_mixed": lambda *a, **k: blend.poisson(*a, gradients="mixed", **k),
    "poisson_monochrome": lambda *a, **k: blend.poisson(*a, gradients="monochrome", **k),
    "gaussian_poisson": blend.gaussian_poisson,
}
#: Those that solve an equation, and so have an error.
SOLVED = ("poisson", "poisson_mixed", "poisson_monochrome", "gaussian_poisson")


def load(name: str) -> Pixels:
    return np.asarray(Image.open(IMAGES / name))


def paste(src: Pixels, dst: Pixels, mask: Pixels, at: tuple[int, int]) -> Pixels:
    """The cut-out laid on the photograph with a hard edge, as scissors and glue would."""
    result, (x, y), (h, w) = dst.copy(), at, mask.shape
    result[y : y + h, x : x + w][mask > 127] = src[mask > 127]
    return result


def best_ms(call: Callable[..., Any], *images: Pixels, at: tuple[int, int], repeats: int = 3) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call(*images, at=at)
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def sheet(rows: list[list[tuple[str, Pixels]]], margin: int = 6, caption: int = 22) -> Image.Image:
    """Rows of captioned pictures of equal size."""
    height, width = rows[0][0][1].shape[:2]
    columns = max(len(row) for row in rows)
    page = Image.new(
        "RGB",
        (columns * (width + margin) + margin, len(rows) * (height + caption + margin) + margin),
        "white",
    )
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(14)
    for i, row in enumerate(rows):
        for j, (text, picture) in enumerate(row):
            x, y = margin + j * (width + margin), margin + i * (height + caption + margin)
            draw.text((x + 2, y + 2), text, fill="black", font=font)
            page.paste(Image.fromarray(picture), (x, y + caption))
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("artifacts/demo"), help="default: %(default)s")
    output: Path = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)

    everything: list[list[tuple[str, Pixels]]] = []
    before: list[tuple[str, Pixels]] = []
    after: list[tuple[str, Pixels]] = []
    for pair in PAIRS:
        src, mask, dst = load(f"{pair.name}.png"), load(f"{pair.name}_mask.png"), load(f"{pair.background}.jpg")
        x0, y0, x1, y1 = pair.view
        pasted = paste(src, dst, mask, pair.at)
        row = [("pasted", pasted[y0:y1, x0:x1])]
        for name, call in BLENDS.items():
            error = ""
            if name in SOLVED:
                result, info = call(src, dst, mask, at=pair.at, return_info=True)
                error = f", max_error {info.max_error:.3f}/255 ({info.method})"
            else:
                result = call(src, dst, mask, at=pair.at)
            ms = best_ms(call, src, dst, mask, at=pair.at)
            file = output / f"{pair.name}_{name}.png"
            Image.fromarray(result).save(file)
            print(f"{file}: {dst.shape[1]} x {dst.shape[0]}, {ms:.1f} ms{error}")
            row.append((name, result[y0:y1, x0:x1]))
        everything.append(row)
        before.append(row[0])
        after.append(next(entry for entry in row if entry[0] == pair.best))

    sheet(everything).save(output / "sheet.png")
    sheet([before, after]).save(output / "before_after.jpg", quality=90, subsampling=0)
    print(f"{output / 'sheet.png'}, {output / 'before_after.jpg'}: all of them side by side")


if __name__ == "__main__":
    main()
