"""The common code of the transfers: validated images, statistics of a region, and the map inside a mask."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _checks
from .._arrays import VALUE_RANGE, Float64, NumpyArray
from .._images.kinds import OneImage, checked_image, checked_mask, in_colours
from .._images.region import as_float
from ..errors import ArgumentError, MaskError, ShapeError
from ..ops.color_map import Stage, bounds, encode, share
from ..ops.color_map import run as run_map
from ..ops.color_stats import RegionStats
from ..ops.color_stats import run as run_stats

__all__ = ["Region"]


#: A channel or direction with a spread below this is not scaled; 1 is white.
NO_SPREAD = 1e-4


@dataclass(frozen=True, eq=False)
class Region:
    """The pixels of an image [H, W, 3] inside a mask."""

    image: NumpyArray
    mask: NumpyArray | None
    name: str
    original: OneImage | None = None  # the image of any kind whose kind the result gets; None: an array [H, W, 3]

    def stats(self, stages: Sequence[Stage] = (), bins: int = 0, low: Any = 0.0, high: Any = 1.0) -> RegionStats:
        """Returns the statistics of the region's colours after stages."""
        encoded, _memory = encode(stages)
        try:
            stats = run_stats(self.image, self.mask, encoded, bins, bounds(low, high, ""), False).foreground
        except ArgumentError as error:
            raise ArgumentError(f"{self.name}: NaN or infinities where the mask is above zero") from error
        if stats.weight == 0:
            mask = "mask" if self.name == "image" else f"{self.name}_mask"
            raise MaskError(f"{mask}: zero everywhere; expected a pixel above zero")
        return stats

    @functools.cached_property
    def places(self) -> npt.NDArray[np.intp]:
        """The flat indices of the pixels above zero, in row-major order."""
        if self.mask is None:
            return np.arange(self.image.shape[0] * self.image.shape[1])
        return np.flatnonzero(self.mask > 0)

    @functools.cached_property
    def pixels(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """The colours [N, 3], 1 for white, and the weights [N] of the pixels above zero."""
        colors = self.image.reshape(-1, 3).take(self.places, 0).astype(np.float32)
        colors /= np.float32(VALUE_RANGE[self.image.dtype.name])
        if self.mask is None:
            return colors, np.ones(len(colors), np.float32)
        weights = self.mask.reshape(-1).take(self.places).astype(np.float32)
        return colors, weights / np.float32(VALUE_RANGE.get(self.mask.dtype.name, 1.0))

    def mapped(self, stages: Sequence[Stage], strength: float) -> NumpyArray:
        """Returns the image [H, W, 3] with its colours inside the mask mapped."""
        encoded, _memory = encode(stages)
        out = np.array(self.image, order="C")
        if strength > 0:
            run_map(self.image, encoded, self.mask, strength, out)
        return out

    def map(self, stages: Sequence[Stage], strength: float) -> Any:
        """Returns the image with its colours inside the mask mapped, in the kind of the original."""
        return self._like_original(self.mapped(stages, strength))

    def replace(self, colors: npt.NDArray[Any], strength: float) -> Any:
        """Returns the image with colours [N, 3] in place of `pixels`, blended by mask and strength."""
        out = np.array(self.image, order="C")
        if strength > 0:
            before, weights = self.pixels
            amount = (np.float32(strength) * weights)[:, None]
            mixed = np.where(amount == 1, colors, amount * colors + (1 - amount) * before)
            if out.dtype.kind == "u":
                high = np.float32(VALUE_RANGE[out.dtype.name])
                mixed = np.rint((mixed * high).clip(0, high))
            out.reshape(-1, 3)[self.places] = mixed.astype(out.dtype)
        return self._like_original(out)

    def _like_original(self, colors: NumpyArray) -> Any:
        if self.original is None:
            return colors
        alpha = self.original.pixels[..., 3:]
        return self.original.like(np.concatenate([colors, alpha], 2) if alpha.size else colors)


def region(image: Any, mask: Any, name: str = "image", like: Region | None = None) -> Region:
    """Returns the region of an image of any kind, in the colour profile of another; its alpha multiplies the mask."""
    original = checked_image(image, name)
    if original.pixels.shape[2] == 1:
        raise ShapeError(f"{name}: shape {list(np.shape(original.pixels))}, a grey image; expected colours, [H, W, 3]")
    pixels = original.pixels if like is None or like.original is None else in_colours(original, like.original, name)
    height, width = pixels.shape[:2]
    mask_name = "mask" if name == "image" else f"{name}_mask"
    m = None if mask is None else checked_mask(mask, mask_name, height, width)
    if pixels.shape[2] == 4:
        alpha = _checks.mask(pixels[..., 3], f"the alpha of {name}", height, width)
        if alpha.min() < VALUE_RANGE[alpha.dtype.name]:
            m = alpha if m is None else as_float(m) * as_float(alpha)
    if m is not None and not m.any():
        raise MaskError(f"{mask_name}: zero everywhere; expected a pixel above zero")
    _checks.finite(pixels[..., :3], name, m)
    return Region(pixels[..., :3], m, name, original)


def regions(image: Any, reference: Any, mask: Any, reference_mask: Any, strength: Any) -> tuple[Region, Region, float]:
    """Returns the two regions of a transfer, and its strength."""
    target = region(image, mask)
    return target, region(reference, reference_mask, "reference", target), share(strength, "strength")


def generator(seed: Any, name: str) -> np.random.Generator:
    """Returns seed if it is a numpy generator, or a generator seeded by a whole number."""
    if isinstance(seed, np.random.Generator):
        return seed
    accepts = "a numpy.random.Generator or a whole number of at least 0"
    return np.random.default_rng(_checks.whole(seed, name, accepts=accepts))


def map_about(matrix: Float64, before: Float64, after: Float64) -> Float64:
    """Returns the matrix [A | b] of the map A (x - before) + after."""
    return np.column_stack([matrix, after - matrix @ before])
