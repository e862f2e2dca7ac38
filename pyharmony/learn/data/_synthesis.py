"""Synthetic composites: the object of a photograph is recoloured, and the photograph is the target."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ... import _checks, color
from ..._arrays import Pixels
from ..._warnings import warn
from ...color.transfers import TRANSFERS
from ...errors import ArgumentError, DataError, PyHarmonyError, UnusableSample
from ...typing import SynthesisMethod
from ._dataset import Dataset, RandomSamples, Sample, error_text, resize_sample
from .pasting import between, blended

#: The methods that change colours without another photograph.
CHANGES = ("lut_mix", "retouch", "brightness_contrast", "temperature")

#: All methods, in the order in which they are drawn.
METHODS = (*TRANSFERS, *CHANGES)

#: The range of a transfer's strength, drawn for each composite; at full strength the original is lost.
STRENGTHS = (0.5, 1.0)

#: The limits of the fMSE between composite and photograph, in squared 8-bit levels: smaller changes teach nothing,
#: larger ones make the object unrecognisable.
RANGE = (20.0, 2600.0)

_TRIES = 8
#: The least number of rows and columns of a transfer's reference, which is subsampled by an integer step.
_REFERENCE = 256
_LUTS = 4


class Synthesis(RandomSamples):
    """Composites of photographs with masks, computed when they are read.

    Sample i uses photograph i // per_photo; its random numbers depend only on seed and i. Samples have `composite`,
    `target`, the photograph, `mask`, and `recipe`, a dict of the method and the random numbers. Outside the mask
    composite and target are equal.

    Args:
        photos: samples with `image` (or `target`) and `mask`.
        methods: the names from `METHODS` to draw from, equally likely, or a mapping to their weights. None: half
            `lut_mix`, half the others; for a single photograph only those without a reference.
        per_photo: the number of composites per photograph.
        size: the side, see `resize_sample`; None: the size of the photographs. A JPEG of a folder or a manifest that is
            at least twice as wide and as high is decoded at a reduced size, so that its colours differ slightly.
        seed: the seed of all random numbers.
        limits: the range of the fMSE between composite and photograph. Composites outside are drawn again, up to eight
            times; then the nearest to the limits is used, and its recipe contains its fMSE.
        severity: the range of the largest fMSE of each composite, drawn log-uniformly: as often from 20 to 40 as from
            1,000 to 2,000; a composite above it is blended with the photograph. None: all are unchanged, most of them
            with glaring colours.
        unchanged: the share of the composites that equal the photograph, from which networks learn to leave matching
            colours unchanged. Their fMSE is 0, independently of the limits.

    Raises:
        ArgumentError: an argument is out of range, or a method is unknown.

    Example:
        >>> from pyharmony import data
        >>> composites = data.Synthesis(data.Photos("photos"), per_photo=2)
        >>> len(composites), sorted(composites[0])
        (4, ['composite', 'mask', 'name', 'recipe', 'target'])
    """

    @_checks.kinds
    def __init__(
        self,
        photos: Dataset,
        methods: SynthesisMethod | Sequence[SynthesisMethod] | Mapping[SynthesisMethod, float] | None = None,
        *,
        per_photo: int = 1,
        size: int | None = None,
        seed: int = 0,
        limits: tuple[float, float] = RANGE,
        severity: tuple[float, float] | None = None,
        unchanged: float = 0.0,
    ) -> None:
        super().__init__(photos, range(len(photos)), per_photo, seed)
        self.size = None if size is None else int(_checks.number(size, "size", low=8, accepts="8 or more"))
        weights = _weights(methods, len(photos))
        self._methods = list(weights)
        self._shares = np.array(list(weights.values())) / sum(weights.values())
        self.limits = float(limits[0]), float(limits[1])
        if not 0 <= self.limits[0] < self.limits[1]:
            raise ArgumentError(f"limits: {limits}, expected two numbers, 0 <= low < high")
        self.severity = None if severity is None else (float(severity[0]), float(severity[1]))
        if self.severity and not 0 < self.severity[0] <= self.severity[1]:
            raise ArgumentError(f"severity: {severity}, expected two positive numbers, low <= high")
        self.unchanged = _checks.number(unchanged, "unchanged", high=1.0, accepts="0 to 1")
        if any(m in TRANSFERS for m in self._methods) and len(photos) < 2:
            raise ArgumentError(f"photos: {len(photos)}, but a colour transfer needs another photograph")

    def _load(self, index: int) -> Sample:
        photo = self._photo(index // self._per)
        target, mask = photo["target"], photo["mask"]
        random = self._random(index)
        best: Sample | None = None
        least, trouble = math.inf, ""
        for _ in range(_TRIES):
            method = self._methods[int(random.choice(len(self._methods), p=self._shares))]
            try:
                composite, parameters = self._changed(method, target, mask, index // self._per, random)
            except (PyHarmonyError, OSError) as error:  # the object vanishes at this size, or a reference is bad
                trouble = f"{method}: {error_text(error)}"
                continue
            fmse = _foreground_error(composite, target, mask)
            beyond = max(self.limits[0] - fmse, fmse - self.limits[1], 0.0)
            if beyond < least:
                recipe = {"photo": photo["name"], "method": method, **parameters, "fmse": fmse}
                best = {"name": self.names[index], "composite": composite, "target": target, "mask": mask}
                best["recipe"], least = recipe, beyond
            if not beyond:
                break
        if best is None:
            raise UnusableSample(f"{self.names[index]}: no composite in {_TRIES} tries; the last, {trouble}")
        return self._weakened(best, random)

    def _weakened(self, sample: Sample, random: np.random.Generator) -> Sample:
        """Applies `severity` and `unchanged` to a sample."""
        full_fmse, most = sample["recipe"]["fmse"], math.inf
        if self.severity:
            most = between(self.severity, random)
        if self.unchanged and random.random() < self.unchanged:
            most = 0.0
        if full_fmse <= most:
            return sample
        share = math.sqrt(most / full_fmse)
        sample["composite"] = blended(sample["target"], sample["composite"], share)
        fmse = _foreground_error(sample["composite"], sample["target"], sample["mask"])
        sample["recipe"] |= {"share": share, "fmse": fmse}
        return sample

    def _photo(self, index: int) -> dict[str, Any]:
        sample = self.photos[index] if self.size is None else self.photos._load_for(index, self.size)
        image = sample.get("target", sample.get("image"))
        if image is None or "mask" not in sample:
            name, there = self.photos.names[index], ", ".join(sample)
            raise DataError(f"{name}: has {there}, expected an image and its mask")
        photo = {"name": self.photos.names[index], "target": image, "mask": sample["mask"]}
        return photo if self.size is None else resize_sample(photo, self.size)

    def _changed(
        self, method: str, image: Pixels, mask: Pixels, index: int, random: np.random.Generator
    ) -> tuple[Pixels, dict[str, Any]]:
        if method in TRANSFERS:
            other = int(random.integers(len(self.photos) - 1))
            other += other >= index
            strength = float(random.uniform(*STRENGTHS))
            recipe: dict[str, Any] = {"reference": self.photos.names[other], "strength": strength}
            reference, its_mask = _fewer(self._photo(other))
            options: dict[str, Any] = {"seed": int(random.integers(2**31))} if method == "idt" else {}
            composite = TRANSFERS[method](image, reference, mask, its_mask, strength=strength, **options)
            return composite, recipe | options
        if method == "lut_mix":
            luts = [color.random_lut(random) for _ in range(_LUTS)]
            weights = random.dirichlet(np.ones(_LUTS))
            return color.lut_mix(image, luts, mask, weights=weights), {"weights": weights.tolist()}
        if method == "retouch":
            composite, parameters = color.retouch(image, mask, rng=random)
            return composite, {"parameters": vars(parameters)}
        if method == "brightness_contrast":
            change = {"brightness": float(random.uniform(-0.2, 0.2)), "contrast": float(random.uniform(-0.4, 0.6))}
            return color.brightness_contrast(image, mask, **change), change
        shift = float(random.choice([-1, 1]) * random.uniform(25, 100))
        return color.shift_temperature(image, shift, mask), {"mired": shift}


def _weights(methods: Any, photos: int) -> dict[str, float]:
    if methods is None:
        others = [m for m in (METHODS if photos > 1 else CHANGES) if m != "lut_mix"]
        return {"lut_mix": 0.5, **dict.fromkeys(others, 0.5 / len(others))}
    if isinstance(methods, str):
        methods = [methods]
    weights = (
        dict(methods)
        if isinstance(methods, Mapping)
        else dict.fromkeys(_checks.several(methods, "methods", "a list of methods"), 1.0)
    )
    for name, weight in weights.items():
        if name not in METHODS:
            raise ArgumentError(f"methods: {name!r}, expected some of {', '.join(METHODS)}")
        _checks.number(weight, f"methods[{name!r}]")
    if not sum(weights.values()):
        raise ArgumentError(f"methods: {methods!r}, expected at least one weight above 0")
    return {name: float(weight) for name, weight in weights.items() if weight}


def _foreground_error(composite: Pixels, target: Pixels, mask: Pixels) -> float:
    inside = mask >= 128
    count = np.count_nonzero(inside)
    if not count:
        return 0.0
    difference = np.maximum(composite, target) - np.minimum(composite, target)
    if count != np.count_nonzero(mask):  # there is no difference where the mask is zero
        difference[~inside] = 0
    flat = difference.ravel().astype(np.float32)
    return float(np.dot(flat, flat)) / (3 * count)


def _fewer(photo: dict[str, Any]) -> tuple[Pixels, Pixels]:
    """Returns evenly spaced pixels of a photograph and its mask; all pixels if none of these are inside."""
    image, mask = photo["target"], photo["mask"]
    step = max(1, min(mask.shape) // _REFERENCE)
    fewer = mask[::step, ::step]
    return (image[::step, ::step], fewer) if fewer.any() else (image, mask)


class PairComposites(Dataset):
    """Pairs of one scene, as for the training of GP-GAN: part of one image is pasted into the other, the target.

    Both are resized so that their smaller side is load_size, and cropped to crop_size x crop_size at a common random
    position. Samples have `composite`, `target` and `mask`, uint8.

    Args:
        pairs: samples with `src` and `dst`, such as `AlignedScenes.pairs(count)`.
        load_size, crop_size: the sizes in pixels, the second no larger than the first.
        ratio: the side of the pasted square relative to crop_size; for a free shape, that of its box.
        mask: 'square', centred, as published; 'free', an irregular union of ellipses at a random position.
        seed: the seed of all random numbers.

    Source: Wu et al., "GP-GAN: Towards Realistic High-Resolution Image Blending", ACM MM 2019.

    Raises:
        ArgumentError: an argument is out of range.

    Example:
        >>> from pyharmony import data
        >>> composites = data.PairComposites(data.AlignedScenes("scenes").pairs(5), load_size=32, crop_size=32)
        >>> composites[0]["composite"].shape
        (32, 32, 3)
    """

    @_checks.kinds
    def __init__(
        self,
        pairs: Dataset,
        *,
        load_size: int = 64,
        crop_size: int = 64,
        ratio: float = 0.5,
        mask: Literal["square", "free"] = "square",
        seed: int = 0,
    ) -> None:
        self.pairs, self.names = pairs, pairs.names
        self.load_size = int(_checks.number(load_size, "load_size", low=8, accepts="8 or more"))
        self.crop_size = int(_checks.number(crop_size, "crop_size", low=8, accepts="8 or more"))
        if self.crop_size > self.load_size:
            raise ArgumentError(f"crop_size: {crop_size}, expected at most load_size, {load_size}")
        self.ratio = _checks.number(ratio, "ratio", high=1.0, accepts="a number above 0, at most 1")
        self.side = int(self.crop_size * self.ratio)
        if not self.side:
            raise ArgumentError(f"ratio: {ratio}, too small for {crop_size} pixels")
        _checks.one_of(mask, "mask", ("square", "free"))
        self.mask, self.seed = mask, _checks.whole(seed, "seed")

    @property
    def groups(self) -> Sequence[str]:
        return self.pairs.groups

    def _load(self, index: int) -> Sample:
        pair = self.pairs[index]
        random = np.random.default_rng((self.seed, index))
        place = random.random(2)
        src, dst = (self._cropped(pair[role], place) for role in ("src", "dst"))
        mask = self._square() if self.mask == "square" else self._free(random)
        composite = np.where(mask[..., None] > 0, src, dst)
        return {"name": self.names[index], "composite": composite, "target": dst, "mask": mask}

    def _cropped(self, image: Pixels, place: npt.NDArray[np.float64]) -> Pixels:
        from PIL import Image

        height, width = image.shape[:2]
        scale = self.load_size / min(height, width)
        size = max(self.load_size, math.ceil(width * scale)), max(self.load_size, math.ceil(height * scale))
        resized = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
        top, left = (int(p * (n - self.crop_size + 1)) for p, n in zip(place, resized.shape[:2]))
        return np.ascontiguousarray(resized[top : top + self.crop_size, left : left + self.crop_size])

    def _square(self) -> Pixels:
        mask = np.zeros((self.crop_size, self.crop_size), np.uint8)
        start = (self.crop_size - self.side) // 2
        mask[start : start + self.side, start : start + self.side] = 255
        return mask

    def _free(self, random: np.random.Generator) -> Pixels:
        """Returns a union of ellipses inside a box of `side` pixels."""
        y, x = np.mgrid[: self.crop_size, : self.crop_size] + 0.5
        top, left = random.uniform(0, self.crop_size - self.side, 2)
        mask = np.zeros((self.crop_size, self.crop_size), np.uint8)
        for _ in range(int(random.integers(2, 6))):
            a, b = random.uniform(0.15, 0.5, 2) * self.side
            turn = random.uniform(0, np.pi)
            tall = np.hypot(a * np.sin(turn), b * np.cos(turn))
            wide = np.hypot(a * np.cos(turn), b * np.sin(turn))
            cy = top + random.uniform(tall, self.side - tall)
            cx = left + random.uniform(wide, self.side - wide)
            u = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)
            v = (y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)
            mask[(u / a) ** 2 + (v / b) ** 2 <= 1] = 255
        if not mask.any():
            mask[self.crop_size // 2, self.crop_size // 2] = 255
        return mask


class CopyPaste(PairComposites):
    """The old name of `PairComposites`, which this release still takes, with a warning.

    `pyharmony.learn.augment.CopyPaste`, which pastes objects of a bank, is another class.

    Example:
        >>> from pyharmony import data
        >>> issubclass(data.CopyPaste, data.PairComposites)
        True
    """

    @functools.wraps(PairComposites.__init__)  # type: ignore[misc]  # it has the signature of the new class
    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        other = "since augment.CopyPaste is another class; the next release does not take the old name"
        warn(f"data.CopyPaste: it is called data.PairComposites now, {other}", DeprecationWarning)
