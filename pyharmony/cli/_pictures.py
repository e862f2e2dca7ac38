"""The images that come with the package, see images/LICENSES.md."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .._arrays import Pixels

IMAGES = Path(__file__).parent / "images"


@dataclass(frozen=True)
class Pair:
    """A cut-out with its mask, its background photo, and the position of its pixel (0, 0) there."""

    name: str
    background: str
    at: tuple[int, int]
    view: tuple[int, int, int, int]  # x0, y0, x1, y1: the part of the photograph that the gallery shows

    @property
    def files(self) -> tuple[Path, Path, Path]:
        """The files of src, dst and mask."""
        return IMAGES / f"{self.name}.png", IMAGES / f"{self.background}.jpg", IMAGES / f"{self.name}_mask.png"


PAIRS = (
    Pair("patch", "coffee", (86, 180), (50, 10, 350, 310)),
    Pair("cat", "coffee", (208, 113), (140, 0, 440, 300)),
    Pair("launch", "astronaut", (358, 364), (212, 212, 512, 512)),
)


def load(path: Path) -> Pixels:
    """Loads an image as [H, W, C], or a mask as [H, W]."""
    from ..io import read

    pixels: Any = read(path).pixels
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels


def photograph(name: str, height: int, width: int) -> Pixels:
    """Returns a photo [height, width, 3], extended by mirroring, which preserves the detail of real pixels."""
    picture = load(IMAGES / f"{name}.jpg")
    h, w = picture.shape[:2]
    rows, columns = (np.abs((np.arange(n) + m // 3) % (2 * m) - m + 0.5).astype(np.intp) for n, m in
                     ((height, h), (width, w)))  # fmt: skip
    mirrored: Pixels = picture[rows][:, columns]
    return mirrored


def blob(height: int, width: int) -> npt.NDArray[np.bool_]:
    """Returns a lobed region over some 40 % of an image, away from its border."""
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    angle = np.arctan2(y, x)
    inside: npt.NDArray[np.bool_] = np.hypot(x, y) < 0.71 * (1 + 0.12 * np.cos(3 * angle) + 0.07 * np.sin(5 * angle))
    return inside
