"""Makes the images and masks of `pyharmony/cli/images` that are of scikit-image's bundled photographs.

The files it writes are part of the repository, so this runs only when a cut-out or mask is to
change. It needs scikit-image and opencv-python-headless.

    python examples/make_images.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image
from skimage import data

Pixels = npt.NDArray[np.uint8]

IMAGES = Path(__file__).parent.parent / "pyharmony" / "cli" / "images"

# The outlines are drawn by hand, (x, y) in the photograph's own pixels.
CAT_FACE = (
    (62, 30), (45, 60), (40, 120), (55, 165), (90, 205), (140, 240), (190, 268), (235, 282), (280, 280), (320, 255),
    (348, 215), (362, 180), (370, 130), (366, 80), (350, 45), (320, 18), (260, 10), (180, 8), (110, 10),
)  # fmt: skip
PATCH_CENTRE, PATCH_AXES = (171, 385), (38, 37)
LAUNCH_BOX = (230, 100, 450, 427)


def polygon(shape: tuple[int, ...], points: Any) -> Pixels:
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.array(points, np.int32)], 255)
    return mask


def ellipse(shape: tuple[int, ...], centre: tuple[int, int], axes: tuple[int, int]) -> Pixels:
    mask = np.zeros(shape[:2], np.uint8)
    cv2.ellipse(mask, centre, axes, 0, 0, 360, 255, -1)
    return mask


def refine(photo: Pixels, outline: Pixels, *, sure: int, reach: int) -> Pixels:
    """Runs GrabCut between the outline shrunk by `sure` pixels and the outline grown by `reach`."""

    def disc(radius: int) -> Pixels:
        return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)).astype(np.uint8)

    labels = np.full(outline.shape, cv2.GC_BGD, np.uint8)
    labels[cv2.dilate(outline, disc(reach)) > 0] = cv2.GC_PR_BGD
    labels[outline > 0] = cv2.GC_PR_FGD
    labels[cv2.erode(outline, disc(sure)) > 0] = cv2.GC_FGD
    cv2.setRNGSeed(0)
    bgr, models = np.ascontiguousarray(photo[..., ::-1]), [np.zeros((1, 65)) for _ in range(2)]
    cv2.grabCut(bgr, labels, None, *models, 5, cv2.GC_INIT_WITH_MASK)
    found = np.where((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD), 255, 0).astype(np.uint8)
    return cv2.morphologyEx(cv2.morphologyEx(found, cv2.MORPH_OPEN, disc(3)), cv2.MORPH_CLOSE, disc(5)).astype(np.uint8)


def save(
    name: str, photo: Pixels, mask: Pixels, box: tuple[int, int, int, int], size: tuple[int, int], soft: float
) -> None:
    """Cuts box = (x0, y0, x1, y1) out, resizes it to (width, height) and softens the mask's edge."""
    x0, y0, x1, y1 = box
    cut = cv2.resize(photo[y0:y1, x0:x1], size, interpolation=cv2.INTER_AREA)
    m = cv2.resize(mask[y0:y1, x0:x1], size, interpolation=cv2.INTER_AREA)
    m = cv2.GaussianBlur(m, (0, 0), soft)
    m[m < 5] = 0
    m[[0, -1]] = 0
    m[:, [0, -1]] = 0
    Image.fromarray(cut).save(IMAGES / f"{name}.png", optimize=True)
    Image.fromarray(m).save(IMAGES / f"{name}_mask.png", optimize=True)


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    astronaut, cat, rocket = data.astronaut(), data.chelsea(), data.rocket()
    for name, photo in (("astronaut", astronaut), ("coffee", data.coffee())):
        Image.fromarray(photo).save(IMAGES / f"{name}.jpg", quality=92, subsampling=0, optimize=True)

    Image.fromarray(rocket).save(IMAGES / "rocket.jpg", quality=82, optimize=True)

    # The mission patch, with a ring of the suit's cloth around it.
    disc = refine(astronaut, ellipse(astronaut.shape, PATCH_CENTRE, PATCH_AXES), sure=4, reach=1)
    ring = cv2.dilate(disc, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9)))
    save("patch", astronaut, ring, (122, 336, 222, 436), (86, 79), soft=1.5)

    # The cat's face, foreshortened like the surface of the coffee it goes on.
    face = refine(cat, polygon(cat.shape, CAT_FACE), sure=10, reach=4)
    save("cat", cat, face & polygon(cat.shape, CAT_FACE), (0, 0, 451, 300), (162, 81), soft=2.0)

    # The launch pad with its sky, to be a reflection: a soft oval about the rocket.
    oval = ellipse(rocket.shape, (327, 264), (57, 148))
    save("launch", rocket, oval, LAUNCH_BOX, (100, 148), soft=3.0)


if __name__ == "__main__":
    main()
