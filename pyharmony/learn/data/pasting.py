"""The core of pasting objects into training images: draws of sizes, blends in levels, and files saved again."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np

from ..._arrays import Pixels

__all__ = ["as_jpeg", "between", "blended"]


def between(ends: tuple[float, float], random: np.random.Generator) -> float:
    """Returns a log-uniform random number between two ends."""
    return math.exp(random.uniform(math.log(ends[0]), math.log(ends[1])))


def blended(first: Pixels, second: Pixels, share: Any) -> Pixels:
    """Returns images blended with this share of the second, a number or an array of float32, rounded to levels."""
    mixed = first + share * (second.astype(np.float32) - first)
    return np.rint(mixed).astype(np.uint8)


def as_jpeg(image: Pixels, quality: int) -> Pixels:
    """Returns an image [H, W, 3] as it is after being saved as JPEG of this quality."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file).convert("RGB"))
