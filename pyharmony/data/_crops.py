"""Squares of photographs, in their own pixels, for networks that are shown details."""

from __future__ import annotations

import numpy as np

from .. import _checks
from ..errors import DataError
from ._dataset import Dataset, RandomSamples, Sample


class Crops(RandomSamples):
    """Squares of photographs at places that are drawn, under `target`; nothing is resized where they are large enough.

    The numbers drawn for a sample depend on seed, epoch and its number alone.

    Args:
        photos: samples with `image` (or `target`).
        size: the side of the squares. A photograph with a shorter side gives a square of that side, enlarged to `size`.
        per_photo: the number of squares of each photograph.
        seed: the seed of all that is drawn.

    Raises:
        ArgumentError, DTypeError: size, per_photo or seed is out of range or no number.

    Example:
        >>> from pyharmony import data
        >>> crops = data.Crops(data.Photos("photos"), size=16, per_photo=4)
        >>> len(crops), crops[0]["target"].shape
        (8, (16, 16, 3))
    """

    def __init__(self, photos: Dataset, *, size: int = 256, per_photo: int = 1, seed: int = 0) -> None:
        self.size = int(_checks.number(size, "size", low=8, accepts="8 or more"))
        super().__init__(photos, range(len(photos)), per_photo, seed)

    def at_epoch(self, epoch: int) -> Crops:
        """Returns squares of the same photographs at other places, which are different in every epoch."""
        return self._at_epoch(epoch)

    def _load(self, index: int) -> Sample:
        sample = self.photos[index // self._per]
        image = sample.get("target", sample.get("image"))
        if image is None:
            raise DataError(f"{self.names[index]}: expected an image, there is {', '.join(sample)}")
        random = self._random(index)
        height, width = image.shape[:2]
        side = min(height, width, self.size)
        top, left = int(random.integers(height - side + 1)), int(random.integers(width - side + 1))
        square = np.ascontiguousarray(image[top : top + side, left : left + side])
        if side < self.size:
            from PIL import Image

            square = np.array(Image.fromarray(square).resize((self.size, self.size), Image.Resampling.BICUBIC))
        return {"name": self.names[index], "target": square}
