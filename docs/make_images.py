"""Makes the pictures of README.md, docs/recipes.md and docs/color.md from those of the package.

`together.jpg` and `before_and_after.webp` are those of `pyharmony demo`.

python docs/make_images.py
"""

from __future__ import annotations

import shutil
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

import pyharmony
from pyharmony import blend, color
from pyharmony.cli._app import app

Pixels = npt.NDArray[np.uint8]

IMAGES = Path(__file__).parent / "images"
PICTURES: Any = files("pyharmony") / "cli" / "images"
MARGIN, CAPTION = 6, 20


def load(name: str) -> Pixels:
    return np.asarray(pyharmony.load(PICTURES / name))


def pair(src: str, dst: str, at: tuple[int, int], view: tuple[int, int]) -> tuple[tuple[Any, ...], dict[str, Any], Any]:
    """The images of a blend, where it lies, and the part of the photograph to show, 180 x 140 pixels."""
    x, y = view
    return (load(f"{src}.png"), load(dst), load(f"{src}_mask.png")), {"at": at}, np.s_[y : y + 140, x : x + 180]


def rows() -> list[list[tuple[str, Pixels]]]:
    """Rows of what is wrong and what helps, as (caption, pixels)."""
    cat, cat_at, cat_view = pair("cat", "coffee.jpg", (208, 113), (190, 95))
    rim, rim_at, rim_view = pair("patch", "coffee.jpg", (150, 120), (105, 90))
    launch, launch_at, launch_view = pair("launch", "astronaut.jpg", (358, 364), (332, 364))
    return [
        [
            ("1  poisson", blend.poisson(*cat, **cat_at)[cat_view]),
            ("color_weight=0.02", blend.poisson(*cat, **cat_at, color_weight=0.02)[cat_view]),
            ("2  poisson", blend.poisson(*rim, **rim_at)[rim_view]),
            ("color_weight=0.05", blend.poisson(*rim, **rim_at, color_weight=0.05)[rim_view]),
        ],
        [
            ('3  gradients="mixed"', blend.poisson(*rim, **rim_at, gradients="mixed")[rim_view]),
            ('gradients="source"', blend.poisson(*rim, **rim_at)[rim_view]),
            ("4  alpha", blend.alpha(*launch, **launch_at)[launch_view]),
            ('poisson, gradients="mixed"', blend.poisson(*launch, **launch_at, gradients="mixed")[launch_view]),
        ],
    ]


def transfers() -> list[list[tuple[str, Pixels]]]:
    """A photograph after each of the colour transfers, as rows of (caption, pixels)."""
    image, reference = (
        np.asarray(Image.fromarray(load(f"{name}.jpg")).resize((180, 120), Image.Resampling.LANCZOS, box=box))
        for name, box in (("coffee", (0, 0, 600, 400)), ("astronaut", (0, 20, 512, 361)))
    )
    luts = [color.random_lut(seed) for seed in range(8)]
    return [
        [
            ("image", image),
            ("reference", reference),
            ("reinhard", color.reinhard(image, reference)),
            ("mkl", color.mkl(image, reference)),
            ("fecker", color.fecker(image, reference)),
        ],
        [
            ("idt", color.idt(image, reference)),
            ("luminance_temperature", color.luminance_temperature(image, reference)),
            ("shift_temperature, -80", color.shift_temperature(image, -80)),
            ("lut_mix, random", color.lut_mix(image, luts, rng=4)),
            ("retouch, random", color.retouch(image, rng=2)[0]),
        ],
    ]


def save(table: list[list[tuple[str, Pixels]]], name: str, *, pairs: bool) -> None:
    """A page of rows of pictures of one size; with pairs a gap after every second."""
    height, width = table[0][0][1].shape[:2]
    columns = len(table[0])
    gaps = columns // 2 if pairs else 0
    size = (columns * (width + MARGIN) + (1 + gaps) * MARGIN, len(table) * (height + CAPTION + MARGIN) + MARGIN)
    page = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(13)
    for i, row in enumerate(table):
        for j, (caption, pixels) in enumerate(row):
            x = MARGIN + j * (width + MARGIN) + (j // 2 * MARGIN if pairs else 0)
            y = MARGIN + i * (height + CAPTION + MARGIN)
            draw.text((x, y), caption, fill="black", font=font)
            page.paste(Image.fromarray(pixels), (x, y + CAPTION))
    page.save(IMAGES / name, quality=88, subsampling=0)


def main() -> None:
    save(rows(), "wrong_and_right.jpg", pairs=True)
    save(transfers(), "color.jpg", pairs=False)
    with tempfile.TemporaryDirectory() as folder:
        app(["demo", "-o", folder, "--quiet", "--overwrite"], standalone_mode=False)
        for name in ("together.jpg", "before_and_after.webp"):
            shutil.copy(Path(folder) / name, IMAGES / name)


if __name__ == "__main__":
    main()
