"""Makes pictures of README.md and docs: recipes.md, color.md, augment.md, harmonize.md, and large ones of gallery.md.

`together.jpg` is that of `pyharmony demo`. The large ones of the gallery are made by the
commands that the page shows, from the photographs of the package and of `docs/images/photos`: docs/images/LICENSES.md
says whose they are. Names of pictures make those alone.

python docs/make_images.py [augment|edit|light|pairs [NAME...]]
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont, ImageOps

import pyharmony
from pyharmony import blend, color, edits
from pyharmony.cli._app import app
from pyharmony.cli._pictures import PAIRS as PACKAGED
from pyharmony.cli._pictures import load as read
from pyharmony.learn import augment

Pixels = npt.NDArray[np.uint8]

IMAGES = Path(__file__).parent / "images"
PHOTOS = IMAGES.resolve() / "photos"
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


def augmented() -> list[list[tuple[str, Pixels]]]:
    """Photographs with pasted objects and their boxes, a blend in each row, as rows of (caption, pixels)."""
    bank = augment.Bank(
        [
            augment.Donor(PICTURES / "cat.png", PICTURES / "cat_mask.png", label="cat"),
            augment.Donor(PICTURES / "cowgirl.jpg", box_xyxy=(200, 60, 400, 640), label="woman"),
            augment.Donor(PICTURES / "astronaut.jpg", box_xyxy=(60, 0, 430, 512), label="woman"),
            augment.Donor(PICTURES / "coffee.jpg", box_xyxy=(140, 70, 460, 350), label="cup"),
        ]
    )
    photos = [(load(name), corner) for name, corner in (("colorado.jpg", 180), ("pier.jpg", 20), ("rocket.jpg", 20))]
    table, font = [], ImageFont.load_default(11)
    for row, method in enumerate(("alpha", "poisson", "gaussian_poisson")):
        paste = augment.CopyPaste(bank, n=(2, 4), blend=method, size=(0.15, 0.6), inside=0.7, seed=7)
        table.append([])
        for column, (photo, top) in enumerate(photos):
            scene = Image.fromarray(photo[top : top + 400]).resize((360, 225), Image.Resampling.LANCZOS)
            result = paste(np.asarray(scene), boxes_xyxy=[], labels=[], index=3 * row + column)
            picture = Image.fromarray(result["image"])
            draw = ImageDraw.Draw(picture)
            for (x0, y0, x1, y1), label in zip(result["boxes_xyxy"], result["labels"], strict=True):
                draw.rectangle((x0, y0, x1 - 1, y1 - 1), outline=(255, 230, 0))
                draw.text((x0 + 3, y0 + 1), label, fill=(255, 230, 0), font=font)
            table[-1].append((method if column == 0 else "", np.asarray(picture)))
    return table


def edited() -> list[list[tuple[str, Pixels]]]:
    """A photograph, a simulated AI edit of it, and the edit applied; below, the changes and what differs, 8 times."""
    photo = np.asarray(photograph("desk"))
    edit = np.asarray(photograph("desk_edit"))
    result, info = edits.apply_edit(photo, edit, return_info=True)

    def difference(image: Pixels) -> Pixels:
        return np.clip(8 * np.abs(image.astype(int) - photo), 0, 255).astype(np.uint8)

    table = [
        [("photograph", photo), ("AI edit (simulated): shifted, recoloured, soft", edit), ("apply_edit", result)],
        [
            ("what was changed", edits.show_changes(result, info)), ("edit - photograph, x 8", difference(edit)),
            ("result - photograph, x 8", difference(result)),
        ],
    ]  # fmt: skip
    size = (400, 299)
    return [
        [(caption, np.asarray(Image.fromarray(x).resize(size, Image.Resampling.LANCZOS))) for caption, x in row]
        for row in table
    ]


def lit() -> list[list[tuple[str, Pixels]]]:
    """A cup from under a lamp in daylight, as it was, and without and with the light of both photographs."""
    cup, jetty = load("coffee.jpg"), np.asarray(pyharmony.load(PHOTOS / "jetty.jpg"))
    points = [(300, 200), (180, 230), (420, 210), (300, 330), (170, 90), (480, 330), (120, 330), (150, 380)]
    masks = pyharmony.segment(cup, points=points, labels=[1, 1, 1, 1, 0, 0, 0, 0])
    options: dict[str, Any] = {"masks": masks.mask, "at": (250, 150), "scale": 0.6, "angle": 0}
    both, info = pyharmony.compose(cup, jetty, **options, return_info=True)
    recipe: Any = json.loads(json.dumps(info.recipe))
    recipe["subjects"][0]["harmonize"]["light"] = None
    pictures = {
        "under a lamp": cup,
        "harmonized": pyharmony.compose(cup, jetty, recipe=recipe),
        "with the light of both": both,
    }
    fitted = [ImageOps.fit(Image.fromarray(picture), (400, 267)) for picture in pictures.values()]
    return [[(caption, np.asarray(picture)) for caption, picture in zip(pictures, fitted, strict=True)]]


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


def blended() -> list[list[tuple[str, Pixels]]]:
    """The cut-outs of the package, pasted, and by the blend that suits each."""
    blends = {
        "patch": ("gaussian_poisson", {}),
        "cat": ("poisson", {"gradients": "monochrome"}),
        "launch": ("poisson", {"gradients": "mixed"}),
    }
    rows: list[list[tuple[str, Pixels]]] = [[], []]
    for pair in PACKAGED:
        src, dst, mask = (read(path) for path in pair.files)
        name, options = blends[pair.name]
        x0, y0, x1, y1 = pair.view
        pasted = blend.alpha(src, dst, (mask > 127).astype(np.uint8) * 255, at=pair.at)
        result = getattr(blend, name)(src, dst, mask, at=pair.at, **options)
        for row, text, picture in zip(rows, ("pasted", name), (pasted, result), strict=True):
            row.append((text, picture[y0:y1, x0:x1]))
    return rows


class Pair(NamedTuple):
    """A large picture of the gallery: two photographs of its command, and the close-up (x, y, w, h)."""

    src: str
    dst: str
    near: tuple[int, int, int, int]


#: The width of a picture, and the largest height of its photographs.
WIDTH, HEIGHT = 1200, 580
PAIRS = {
    "camp": Pair("catch", "camp", (60, 222, 250, 100)),
    "pier": Pair("coat", "pier", (150, 278, 440, 144)),
    "skyline": Pair("astronaut", "skyline", (130, 206, 640, 171)),
    "street": Pair("coat", "street", (95, 228, 190, 150)),
    "roofs": Pair("hat", "roofs", (240, 128, 400, 130)),
    "market": Pair("bananas", "market", (400, 306, 240, 108)),
    "vase": Pair("vase", "jetty", (60, 210, 290, 105)),
    "desk": Pair("cup", "desk", (360, 272, 280, 125)),
    "mural": Pair("waves", "bricks", (560, 90, 200, 130)),
    "visit": Pair("leaving", "reading", (400, 290, 300, 101)),
    "counter": Pair("walking", "standing", (385, 240, 320, 108)),
    "yard": Pair("lilies", "concrete", (250, 14, 220, 124)),
}


def photograph(name: str) -> Image.Image:
    """Returns a photograph of the package or of `docs/images/photos`."""
    path = next(one for one in (PHOTOS / f"{name}.jpg", Path(PICTURES) / f"{name}.jpg") if one.exists())
    return Image.open(path).convert("RGB")


def panels(src: Image.Image, dst: Image.Image, result: Image.Image, near: tuple[int, int, int, int]) -> Image.Image:
    """Returns before and after side by side; source and close-up are below them, or beside them if they are upright."""
    width = (WIDTH - MARGIN) // 2
    height = min(HEIGHT, round(width * dst.height / dst.width))
    wide = min(width, round(height * dst.width / dst.height))
    before, after = (x.resize((wide, height), Image.Resampling.LANCZOS) for x in (dst, result))
    x, y, w, h = near
    detail = result.crop((x, y, x + w, y + h))
    beside = wide < 0.8 * width
    if beside:
        rest = (WIDTH - 2 * (wide + MARGIN), (height - MARGIN) // 2)
        sizes, places = (rest, rest), ((2 * (wide + MARGIN), 0), (2 * (wide + MARGIN), height - rest[1]))
        whole = height
    else:
        below = round(0.75 * height)
        left = min(width, round(below * src.width / src.height))
        sizes = ((left, below), (WIDTH - left - MARGIN, below))
        places = ((0, height + MARGIN), (left + MARGIN, height + MARGIN))
        whole = height + MARGIN + below
    page = Image.new("RGB", (WIDTH, whole), "white")
    page.paste(before, (0, 0))
    page.paste(after, (wide + MARGIN, 0))
    for part, size, place in zip((src, detail), sizes, places, strict=True):
        page.paste(ImageOps.fit(part, size, Image.Resampling.LANCZOS), place)
    return page


def commands() -> dict[str, str]:
    """Returns the commands of docs/gallery.md, by the names of what they write."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", (IMAGES.parent / "gallery.md").read_text(), re.M | re.S)
    return {match[1]: block for block in blocks if (match := re.search(r".*-o (\w+)\.png", block, re.S))}


def pairs(names: list[str]) -> None:
    """Runs each command of the gallery, or those of these names, and writes its picture."""
    (IMAGES / "pairs").mkdir(exist_ok=True)
    run = f'pyharmony() {{ "{sys.executable}" -m pyharmony "$@"; }}\nimages="{PICTURES}" photos="{PHOTOS}"\n'
    with tempfile.TemporaryDirectory() as folder:
        blocks = commands()
        for word in names or list(blocks):
            subprocess.run(["bash", "-ec", run + blocks[word]], cwd=folder, check=True)  # noqa: S603, S607
            src, dst, near = PAIRS[word]
            result = Image.open(Path(folder) / f"{word}.png").convert("RGB")
            page = panels(photograph(src), photograph(dst), result, near)
            page.save(IMAGES / "pairs" / f"{word}.webp", quality=82, method=6)


def main() -> None:
    part, names = sys.argv[1:2], sys.argv[2:]
    if part in ([], ["augment"]):
        save(augmented(), "augment.jpg", pairs=False)
    if part in ([], ["edit"]):
        save(edited(), "edit.webp", pairs=False)
    if part in ([], ["light"]):
        save(lit(), "light.webp", pairs=False)
    if part in (["augment"], ["edit"], ["light"]):
        return
    pairs(names)
    if part:
        return
    save(rows(), "wrong_and_right.jpg", pairs=True)
    save(transfers(), "color.jpg", pairs=False)
    save(blended(), "before_after.jpg", pairs=False)
    with tempfile.TemporaryDirectory() as folder:
        app(["demo", "-o", folder, "--quiet", "--overwrite"], standalone_mode=False)
        shutil.copy(Path(folder) / "together.jpg", IMAGES)


if __name__ == "__main__":
    main()
