"""Makes the pictures of README.md, docs/recipes.md, color.md and augment.md, and the large ones of docs/gallery.md.

`together.jpg` and `before_and_after.webp` are those of `pyharmony demo`. The large ones of the gallery are made by the
commands that the page shows, from the photographs of the package and from those in the folder that PYHARMONY_DATA names
(default `../shared/data`), which are not part of the repository: docs/images/LICENSES.md says whose they are. The print
on bricks needs scikit-image too, and the merges the video that PYHARMONY_VIDEO names, whose frames they are. Names of
pictures make those alone.

python docs/make_images.py [augment|pairs [NAME...]]
"""

from __future__ import annotations

import os
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
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

import pyharmony
from pyharmony import augment, blend, color
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


class Pair(NamedTuple):
    """A large picture of the gallery: its photographs by the names of its command, and the close-up (x, y, w, h)."""

    src: str
    dst: str
    photos: dict[str, str]
    near: tuple[int, int, int, int]


DATA = Path(os.environ.get("PYHARMONY_DATA", IMAGES.parent.parent.parent / "shared" / "data"))
#: The width of a picture, the largest height of its photographs, and the largest width of a photograph for a command.
WIDTH, HEIGHT, WIDEST = 1200, 580, 1280
PAIRS = {
    "colorado": Pair("cowgirl.jpg", "colorado.jpg", {}, (340, 120, 240, 160)),
    "camp": Pair(
        "catch.jpg", "camp.jpg",
        {
            "catch.jpg": "photos_open/images/coco_000000328238.jpg",
            "camp.jpg": "photos_open/images/coco_000000239857.jpg",
        },
        (60, 222, 250, 100),
    ),
    "pier": Pair("coat.jpg", "pier.jpg", {}, (310, 86, 240, 80)),
    "skyline": Pair(
        "astronaut.jpg", "skyline.jpg", {"skyline.jpg": "highres_open/singaporean_cityscape.jpg"}, (130, 206, 640, 171)
    ),
    "game": Pair(
        "cowgirl.jpg", "game.jpg", {"game.jpg": "photos_open/images/coco_000000360452.jpg"}, (120, 165, 270, 82)
    ),
    "street": Pair(
        "cowgirl.jpg", "street.jpg", {"street.jpg": "photos_open/images/coco_000000313588.jpg"}, (120, 215, 190, 150)
    ),
    "roofs": Pair(
        "hat.jpg", "roofs.jpg",
        {
            "hat.jpg": "photos_open/images/coco_000000257896.jpg",
            "roofs.jpg": "photos_open/images/budgie_beacon_street_sunset.jpg",
        },
        (240, 118, 400, 100),
    ),
    "market": Pair(
        "bananas.jpg", "market.jpg",
        {
            "bananas.jpg": "photos_open/images/coco_000000389812.jpg",
            "market.jpg": "masks_open/images/coco_000000490629.jpg",
        },
        (400, 306, 240, 108),
    ),
    "vase": Pair(
        "vase.jpg", "jetty.jpg",
        {
            "vase.jpg": "pairs_open/images/coco_000030_0.jpg",
            "jetty.jpg": "photos_open/images/elementary_jonas_nilsson_lee.jpg",
        },
        (60, 210, 290, 105),
    ),
    "desk": Pair(
        "cup.jpg", "desk.jpg",
        {"cup.jpg": "pairs_open/images/coco_000127_1.jpg", "desk.jpg": "photos_open/images/coco_000000516008.jpg"},
        (360, 272, 280, 125),
    ),
    "mural": Pair("waves.png", "bricks.png", {}, (560, 90, 200, 130)),
    "visit": Pair("leaving.png", "reading.png", {}, (400, 290, 300, 101)),
    "counter": Pair("walking.png", "standing.png", {}, (385, 240, 320, 108)),
    "yard": Pair(
        "lilies.png", "concrete.jpg", {"concrete.jpg": "photos_open/images/coco_000000210299.jpg"}, (250, 14, 220, 124)
    ),
}  # fmt: skip

#: Frames of the video of the merges, by their numbers from 0.
FRAMES = {"reading.png": 139, "leaving.png": 858, "standing.png": 1158, "walking.png": 1350}


def frames(folder: Path) -> None:
    """Writes the frames of the merges."""
    import cv2

    video = cv2.VideoCapture(os.environ["PYHARMONY_VIDEO"])
    for number in range(max(FRAMES.values()) + 1):
        _, frame = video.read()
        for name, wanted in FRAMES.items():
            if wanted == number:
                cv2.imwrite(str(folder / name), frame)


def write_photo(photo: str, path: Path) -> None:
    """Copies a photograph, reduced if it is wider than WIDEST."""
    image = Image.open(DATA / photo)
    if image.width <= WIDEST:
        shutil.copy(DATA / photo, path)
        return
    size = (WIDEST, round(image.height * WIDEST / image.width))
    image.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(path, quality=95)


def write_print(name: str, photo: str, size: tuple[int, int], box: tuple[int, int, int, int] | None) -> None:
    """Writes a part of a photograph as a print, NAME.png, and the mask of a rectangle with soft edges."""
    image = Image.open(DATA / photo).convert("RGB").resize(size, Image.Resampling.LANCZOS, box=box)
    image.save(f"{name}.png")
    mask = Image.new("L", size)
    mask.paste(255, (8, 8, size[0] - 8, size[1] - 8))
    mask.filter(ImageFilter.GaussianBlur(3)).save(f"{name}_mask.png")


def prints(folder: Path) -> None:
    """Writes the prints, the flowers foreshortened as on the ground, and a wall in the colour of bricks."""
    from skimage import data  # type: ignore[import-untyped]

    wall = Image.fromarray(np.rot90(data.brick())).resize((840, 840), Image.Resampling.LANCZOS).crop((0, 0, 840, 560))
    warm = np.clip(np.asarray(wall)[..., None] * np.array([1.12, 0.98, 0.86]), 0, 255).astype(np.uint8)
    Image.fromarray(warm).save(folder / "bricks.png")
    write_print(f"{folder}/waves", "photos_open/images/budgie_ocean_waves.jpg", (520, 330), (40, 0, 608, 360))
    write_print(f"{folder}/lilies", "photos_open/images/wp_botany_flowers_closeup.jpg", (360, 200), None)


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
    return {match[1]: block for block in blocks if (match := re.search(r"-o (\w+)\.png", block))}


def pairs(names: list[str]) -> None:
    """Runs each command of the gallery where its photographs are, or those of these names, and writes its picture."""
    (IMAGES / "pairs").mkdir(exist_ok=True)
    run = f'pyharmony() {{ "{sys.executable}" -m pyharmony "$@"; }}\n'
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in PICTURES.iterdir():
            if path.suffix == ".jpg":
                shutil.copy(path, folder)
        prints(folder)
        blocks = commands()
        for word in names or list(blocks):
            pair = PAIRS[word]
            for file, photo in pair.photos.items():
                write_photo(photo, folder / file)
            if pair.dst in FRAMES:
                frames(folder)
            subprocess.run(["bash", "-ec", run + blocks[word]], cwd=folder, check=True)  # noqa: S603, S607
            src, dst, result = (
                Image.open(folder / file).convert("RGB") for file in (pair.src, pair.dst, f"{word}.png")
            )
            panels(src, dst, result, pair.near).save(IMAGES / "pairs" / f"{word}.webp", quality=82, method=6)


def main() -> None:
    part, names = sys.argv[1:2], sys.argv[2:]
    if part != ["pairs"]:
        save(augmented(), "augment.jpg", pairs=False)
    if part == ["augment"]:
        return
    pairs(names)
    if part:
        return
    save(rows(), "wrong_and_right.jpg", pairs=True)
    save(transfers(), "color.jpg", pairs=False)
    with tempfile.TemporaryDirectory() as folder:
        app(["demo", "-o", folder, "--quiet", "--overwrite"], standalone_mode=False)
        for name in ("together.jpg", "before_and_after.webp"):
            shutil.copy(Path(folder) / name, IMAGES / name)


if __name__ == "__main__":
    main()
