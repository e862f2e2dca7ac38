"""Square crops of photographs at full resolution, for networks that need detail."""

from __future__ import annotations

import numpy as np

from ... import _checks
from ._dataset import Dataset, RandomSamples, Sample, image_of


class Crops(RandomSamples):
    """Random square crops of photographs, under `target`; not resized unless the photograph is too small.

    The random numbers of a sample depend only on seed, epoch and its index.

    Args:
        photos: samples with `image` (or `target`).
        size: the side of the squares. If a side of the photograph is shorter, the square has that side and is enlarged.
        per_photo: the number of squares per photograph.
        seed: the seed of all random numbers.

    Raises:
        ArgumentError, DTypeError: size, per_photo or seed is out of range or not a number.

    Example:
        >>> from pyharmony import data
        >>> crops = data.Crops(data.Photos("photos"), size=16, per_photo=4)
        >>> len(crops), crops[0]["target"].shape
        (8, (16, 16, 3))
    """

    @_checks.kinds
    def __init__(self, photos: Dataset, *, size: int = 256, per_photo: int = 1, seed: int = 0) -> None:
        self.size = int(_checks.number(size, "size", low=8, accepts="8 or more"))
        super().__init__(photos, range(len(photos)), per_photo, seed)

    def _load(self, index: int) -> Sample:
        image = image_of(self.photos[index // self._per], self.names[index])
        random = self._random(index)
        height, width = image.shape[:2]
        side = min(height, width, self.size)
        top, left = int(random.integers(height - side + 1)), int(random.integers(width - side + 1))
        square = np.ascontiguousarray(image[top : top + side, left : left + side])
        if side < self.size:
            from PIL import Image

            square = np.array(Image.fromarray(square).resize((self.size, self.size), Image.Resampling.BICUBIC))
        return {"name": self.names[index], "target": square}
