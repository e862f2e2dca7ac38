"""Augmentation of photographs before making composites: changes of light, inverted, borrowed and reshaped masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ... import _checks, color
from ...errors import UnusableSample
from ._dataset import Dataset, RandomSamples, Sample, image_of, numbers_with_masks

#: The least and largest share of the photograph that a borrowed mask may cover.
_MASK_SHARES = (0.02, 0.7)
_TRIES = 8
#: The strength of the noise that moves an outline, relative to a blurred mask of 0 to 1.
_OUTLINE_NOISE = 0.15


class Varied(RandomSamples):
    """Augmented photographs: in another light, with inverted masks, or with masks of other photographs.

    Sample i uses the photograph with mask i // per_photo, unless it is `borrowed`; its random numbers depend only on
    seed, epoch and i.

    Args:
        photos: samples with `image` (or `target`) and optionally `mask`.
        retouched: the share of the samples with changed light of object and background alike
            (`pyharmony.color.retouch`, at half its range).
        inverted: the share of the samples whose background is the object.
        borrowed: the share of the samples that use a photograph with the mask of another one, resized to it and
            mirrored half of the time; photographs without a mask are preferred. Such an object has no real contour,
            so a network learns which colours go together, but not what objects look like.
        reshaped: the share of the samples whose mask's outline is moved by some pixels: wider, tighter and rougher,
            like masks drawn by hand.
        with_masks: the indices of the photographs that have a mask; None: all are read now to find out.
        per_photo: the number of samples per photograph.
        seed: the seed of all random numbers.

    Raises:
        ArgumentError: a share is outside 0 to 1, or borrowed is above 0 and no sample has a mask.

    Example:
        >>> from pyharmony import data
        >>> varied = data.Varied(data.Photos("photos"), retouched=1.0, per_photo=3)
        >>> len(varied), varied[0]["image"].shape
        (6, (24, 32, 3))
    """

    @_checks.kinds
    def __init__(
        self,
        photos: Dataset,
        *,
        retouched: float = 0.5,
        inverted: float = 0.0,
        borrowed: float = 0.0,
        reshaped: float = 0.0,
        with_masks: Sequence[int] | None = None,
        per_photo: int = 1,
        seed: int = 0,
    ) -> None:
        shares = {"retouched": retouched, "inverted": inverted, "borrowed": borrowed, "reshaped": reshaped}
        self._retouched, self._inverted, self._borrowed, self._reshaped = (
            _checks.number(value, name, high=1.0, accepts="0 to 1") for name, value in shares.items()
        )
        self._masked, others = numbers_with_masks(photos, with_masks)
        self._others = others or self._masked
        super().__init__(photos, self._masked, per_photo, seed)

    def _load(self, index: int) -> Sample:
        random = self._random(index)
        shares = random.random(3)
        borrows = shares[0] < self._borrowed
        photo = self._others[int(random.integers(len(self._others)))] if borrows else self._masked[index // self._per]
        sample = dict(self.photos[photo]) | {"name": self.names[index]}
        image = image_of(sample, self.names[index])
        if borrows:
            sample["mask"] = self._mask(image.shape[:2], self.names[index], random)
        if self._reshaped and random.random() < self._reshaped:
            sample["mask"] = reshaped_mask(sample["mask"], random)
        # The inverse of a mask of the whole image would be empty.
        if shares[1] < self._inverted and sample["mask"].min() < 128:
            sample["mask"] = 255 - sample["mask"]
        if shares[2] < self._retouched:
            light = color.Retouching.draw(random, 0.5)
            sample["target" if "target" in sample else "image"] = color.retouch(image, parameters=light)[0]
        return sample

    def _mask(self, shape: tuple[int, int], name: str, random: np.random.Generator) -> Any:
        """Returns the mask of another sample, at this size."""
        from PIL import Image

        for _ in range(_TRIES):
            mask = self.photos[self._masked[int(random.integers(len(self._masked)))]]["mask"]
            if random.integers(2):
                mask = mask[:, ::-1]
            height, width = shape
            resized = np.array(Image.fromarray(np.ascontiguousarray(mask)).resize((width, height)))
            if _MASK_SHARES[0] <= np.count_nonzero(resized >= 128) / resized.size <= _MASK_SHARES[1]:
                return resized
        raise UnusableSample(
            f"{name}: no mask in {_TRIES} tries covers {_MASK_SHARES[0]:.0%} to {_MASK_SHARES[1]:.0%} of it"
        )


def reshaped_mask(mask: npt.NDArray[np.uint8], random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Returns a binary mask [H, W] with another outline: a level set of its blurred self plus smooth noise.

    The blur is 0.6 to 2.4 % of the longer side. If almost nothing or everything would be inside, the mask is unchanged.
    """
    from PIL import Image, ImageFilter

    height, width = mask.shape
    radius = max(height, width) * float(random.choice([0.006, 0.012, 0.024]))
    blurred = np.asarray(Image.fromarray(mask).filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255
    waves = int(random.choice([8, 16, 32]))
    noise = Image.fromarray(random.standard_normal((waves, waves)).astype(np.float32))
    smooth = np.asarray(noise.resize((width, height), Image.Resampling.BICUBIC))
    edge = 4 * blurred * (1 - blurred)
    inside = blurred + _OUTLINE_NOISE * edge * smooth > random.uniform(0.2, 0.8)
    share = np.count_nonzero(inside) / inside.size
    return np.where(inside, np.uint8(255), np.uint8(0)) if _MASK_SHARES[0] <= share <= _MASK_SHARES[1] else mask
