"""Makes the pictures of docs/gallery.md and docs/which-blend.md from photographs with open licences.

A row of the gallery, `docs/images/gallery`, is a cut-out pasted (left) and as pyharmony puts it there (right). A row of
`docs/images/which` is a cut-out pasted, put there by what is wrong for it, and by what is right.

The rows are part of the repository; the photographs are not. They lie in the folder that PYHARMONY_DATA names (default
`../shared/data`), and in scikit-image; docs/images/LICENSES.md says whose they are. It needs scikit-image, OpenCV and
torch.

    python examples/gallery.py
"""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from make_images import ellipse, polygon, refine
from PIL import Image
from skimage import data

from pyharmony import blend, harmonize

Pixels = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]

ROOT = Path(__file__).resolve().parent.parent
PHOTOS = Path(os.environ.get("PYHARMONY_DATA", ROOT.parent / "shared" / "data"))
IMAGES = ROOT / "docs" / "images"
#: The width and height of a panel of a row.
PANEL = (420, 280)
#: The file of a photograph.
PHOTO = "photos_open/images/{}.jpg"

# The outlines are drawn by hand, (x, y) in the pixels of the photograph, or of the part of it that is cut.
ASTRONAUT = (
    (155, 85), (158, 60), (172, 38), (195, 22), (222, 15), (250, 18), (275, 30), (292, 50), (300, 75), (299, 95),
    (290, 115), (278, 124), (270, 132), (262, 150), (257, 172), (275, 190), (293, 210), (303, 230), (318, 240),
    (335, 258), (350, 280), (356, 300), (361, 330), (362, 347), (395, 344), (425, 345), (450, 355), (470, 372),
    (485, 395), (496, 425), (498, 455), (506, 462), (511, 475), (511, 511), (26, 511), (22, 480), (26, 440),
    (22, 410), (20, 390), (28, 340), (38, 290), (45, 265), (65, 245), (95, 225), (112, 212), (113, 195), (119, 175),
    (135, 160), (155, 151), (175, 149), (185, 152), (186, 138), (178, 130), (165, 122), (156, 105),
)  # fmt: skip
OTTER_BOX, OTTER_SIZE = (1150, 500, 3840, 1700), (1345, 600)
OTTER = (
    (18, 92), (25, 78), (50, 66), (100, 57), (160, 57), (215, 66), (265, 80), (300, 102), (325, 135), (350, 170),
    (390, 200), (430, 228), (480, 243), (540, 248), (620, 240), (700, 232), (780, 228), (850, 232), (890, 242),
    (930, 268), (965, 300), (1000, 345), (1035, 382), (1070, 368), (1110, 350), (1160, 342), (1200, 350), (1218, 375),
    (1215, 395), (1185, 430), (1140, 470), (1090, 500), (1040, 510), (985, 505), (935, 515), (900, 548), (880, 560),
    (800, 568), (700, 560), (620, 548), (540, 540), (500, 530), (460, 518), (445, 505), (420, 490), (385, 500),
    (345, 502), (310, 485), (300, 465), (265, 452), (220, 448), (180, 448), (172, 436), (200, 432), (250, 430),
    (245, 415), (215, 390), (190, 350), (170, 310), (160, 270), (158, 235), (140, 215), (100, 190), (60, 160),
    (35, 140), (20, 110),
)  # fmt: skip
SPOON = ((395, 66), (424, 66), (424, 90), (412, 115), (395, 110))


def photo(name: str) -> Image.Image:
    return Image.open(PHOTOS / name).convert("RGB")


def resized(image: Image.Image, size: tuple[int, int], box: Box | None = None) -> Pixels:
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS, box=box))


def soft(mask: Pixels) -> Pixels:
    """Gives a hard mask an edge of two pixels that lies inside of it: nothing of the old background comes along."""
    blurred = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.4)
    return np.clip((blurred - 110) * 255 / 140, 0, 255).astype(np.uint8)


def scaled(pixels: Pixels, mask: Pixels, height: int) -> tuple[Pixels, Pixels]:
    size = round(pixels.shape[1] * height / pixels.shape[0]), height
    return resized(Image.fromarray(pixels), size), resized(Image.fromarray(mask), size)


def frame(picture: Pixels, bottom: int) -> Pixels:
    """Returns a rectangle with soft edges, as one cuts with scissors; bottom is the margin below."""
    mask = np.zeros(picture.shape[:2], np.uint8)
    mask[8 : picture.shape[0] - bottom, 8:-8] = 255
    return cv2.GaussianBlur(mask, (0, 0), 3).astype(np.uint8)


def astronaut() -> tuple[Pixels, Pixels]:
    picture = data.astronaut()
    return picture, soft(refine(picture, polygon(picture.shape, ASTRONAUT), sure=6, reach=3))


def runner() -> tuple[Pixels, Pixels]:
    """Returns the mask drawn of him, without the leaves behind him that it has at the edge: he wears nothing green."""
    part = np.s_[120:612, 158:436]
    picture = np.asarray(photo("pairs_open/images/coco_000872_0.jpg"))[part]
    mask = np.asarray(Image.open(PHOTOS / "pairs_open/masks/coco_000872_0.png").convert("L"))[part]
    red, green, blue = np.moveaxis(picture.astype(np.int16), -1, 0)
    leaves = (green > red + 4) & (green > blue + 4)
    mask = np.where(cv2.dilate(leaves.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0, 0, mask).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    return picture, soft(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)).astype(np.uint8))


def cup() -> tuple[Pixels, Pixels]:
    """Returns the cup with its saucer, whose lower rim is convex."""
    picture = data.coffee()
    outline = ellipse(picture.shape, (278, 227), (201, 160)) | ellipse(picture.shape, (290, 113), (118, 95))
    mask = refine(picture, outline | polygon(picture.shape, SPOON), sure=5, reach=3)
    rim = np.argwhere(mask[200:] > 0)[:, ::-1].astype(np.int32) + np.int32([0, 200])
    mask |= polygon(picture.shape, cv2.convexHull(rim)[:, 0])
    return picture, soft(mask)


def otter() -> tuple[Pixels, Pixels]:
    picture = resized(photo("highres_open/oakland_zoo_otters.jpg"), OTTER_SIZE, OTTER_BOX)
    return picture, soft(refine(picture, polygon(picture.shape, OTTER), sure=8, reach=5))


def placed(mask: Pixels, at: tuple[int, int], shape: tuple[int, ...]) -> Pixels:
    """Returns the mask in the frame of the image that its object is put into."""
    page = Image.new("L", (shape[1], shape[0]))
    page.paste(Image.fromarray(mask), at)
    return np.asarray(page)


def harmonized(
    cut: tuple[Pixels, Pixels], place: str, box: Box, height: int, at: tuple[int, int]
) -> tuple[Pixels, Pixels]:
    """Lays a cut-out of that height over a part of a photograph, 840 pixels wide: as it is, and harmonised."""
    dst = resized(photo(place), (840, 560), box)
    src, mask = scaled(*cut, height)
    before = blend.alpha(src, dst, mask, at=at)
    return before, harmonize(before, placed(mask, at, dst.shape))


def mural() -> tuple[Pixels, Pixels, Pixels]:
    """Returns a wood print pasted on a wall, harmonised, and blended: the joints of the bricks show through."""
    wall = resized(Image.fromarray(np.rot90(data.brick())), (840, 840))[:560]
    dst = np.clip(wall[..., None] * np.array([1.12, 0.98, 0.86]), 0, 255).astype(np.uint8)
    src = resized(photo("photos_open/images/budgie_ocean_waves.jpg"), (520, 330), (40, 0, 608, 360))
    mask = frame(src, bottom=8)
    at = (160, 115)
    pasted = blend.alpha(src, dst, mask, at=at)
    blended = blend.poisson(src, dst, mask, at=at, gradients="mixed", color_weight=0.02)
    return pasted, harmonize(pasted, placed(mask, at, dst.shape)), blended


def flowers() -> tuple[Pixels, Pixels]:
    """Solves a strip of a photograph with a stem, cut out as a rectangle, into another."""
    dst = resized(photo("photos_open/images/wp_northern_buttercups_flowers.jpg"), (840, 560), (0, 0, 555, 370))
    src = resized(photo("photos_open/images/wp_dallas_creek_square.jpg"), (334, 560), (240, 0, 594, 594))
    mask = frame(src, bottom=0)
    return blend.alpha(src, dst, mask, at=(10, 0)), blend.poisson(src, dst, mask, at=(10, 0))


def rows() -> dict[str, tuple[Pixels, Pixels]]:
    """Returns before and after, by the name of the file."""
    photos = "photos_open/images/"
    return {
        "astronaut": harmonized(
            astronaut(), photos + "budgie_high_trestle_trail.jpg", (0, 0, 640, 427), 450, (200, 110)
        ),
        "runner": harmonized(runner(), photos + "budgie_extreme_desert_hike.jpg", (0, 160, 400, 427), 320, (40, 220)),
        "cup": harmonized(cup(), photos + "elementary_jonas_nilsson_lee.jpg", (20, 0, 620, 400), 330, (150, 215)),
        "otter": harmonized(otter(), photos + "elementary_sunset_by_the_pier.jpg", (0, 0, 640, 427), 215, (190, 330)),
        "mural": mural()[::2],
        "flowers": flowers(),
    }


def thing() -> tuple[Pixels, Pixels, Pixels]:
    """Returns the cup of the gallery pasted, blended by its gradients, and harmonised."""
    dst = resized(photo(PHOTO.format("elementary_jonas_nilsson_lee")), (840, 560), (20, 0, 620, 400))
    src, mask = scaled(*cup(), 330)
    pasted = blend.alpha(src, dst, mask, at=(150, 215))
    lit = harmonize(pasted, placed(mask, (150, 215), dst.shape))
    return pasted, blend.gaussian_poisson(src, dst, mask, at=(150, 215)), lit


def sky() -> tuple[Pixels, Pixels, Pixels]:
    """Returns a night sky above a canyon at dusk: pasted, harmonised, and blended by its gradients."""
    dst, src = (
        resized(photo(PHOTO.format(f"pop_{n}")), (840, 560)) for n in ("jad_limcaco_183877", "jared_evans_119758")
    )
    mask = np.zeros((560, 840), np.uint8)
    mask[:120] = 255
    pasted = blend.alpha(src, dst, mask)
    return pasted, harmonize(pasted, mask), blend.gaussian_poisson(src, dst, mask)


def join() -> tuple[Pixels, Pixels, Pixels]:
    """Returns two photographs side by side: cut, blended by gradients, and by bands of frequencies."""
    dst, src = (
        resized(photo(PHOTO.format(name)), (840, 560))
        for name in ("budgie_extreme_desert_hike", "elementary_sunset_by_the_pier")
    )
    mask = np.zeros((560, 840), np.uint8)
    mask[:, 420:] = 255
    return blend.alpha(src, dst, mask), blend.poisson(src, dst, mask), blend.laplacian(src, dst, mask)


def choices() -> dict[str, tuple[Pixels, Pixels, Pixels]]:
    """Returns pasted, what fails and what helps, by the name of the file."""
    return {"thing": thing(), "print": mural(), "sky": sky(), "join": join()}


def main() -> None:
    for folder, table in (("gallery", rows()), ("which", choices())):
        (IMAGES / folder).mkdir(parents=True, exist_ok=True)
        for name, panels in table.items():
            row = np.hstack([resized(Image.fromarray(panel), PANEL) for panel in panels])
            Image.fromarray(row).save(IMAGES / folder / f"{name}.jpg", quality=84, optimize=True, progressive=True)


if __name__ == "__main__":
    main()
