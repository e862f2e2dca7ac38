"""Masks: the masks that a method returns, drawn at the size of its image or of a larger one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from .._arrays import Box, Pixels
from .._images.levels import levels_of_shares
from .._images.sizes import fitted, resized
from .._images.threads import in_threads
from .._verdict import mask_doubts
from ..errors import Reason
from ..io.shown import page, png
from ._edges import Copies, at_full_size
from ._matting import alpha_within, soft_alpha
from ._prompts import size_within
from .layers import Layer, covered

__all__ = ["Masks", "alpha_within", "doubts_of", "layer_mask", "layers_of", "refined_layer", "rough_mask"]


#: The longer side of the images by which a notebook displays masks.
_DISPLAY_SIDE = 320


Parts = tuple[tuple[Pixels, bool], ...]
"""Masks of an image that are added to an object (True), or removed (False), in order."""


@dataclass(frozen=True)
class Masks:
    """The masks of an image, the best first: up to three for prompts, or one for each person, the largest first.

    `masks[i]` is one of them, [H, W] uint8, and len(masks) their number. Masks for prompts are in falling order of
    their scores, except that the first one may be the one that was chosen or, after one click on a person, the likely
    mask of all of that person. After a correcting click those come first that agree with all clicks and keep what was
    right before. `areas` orders them from part to whole.

    Attributes:
        scores: for each of the masks the expected intersection over union with the object, 0 to 1.
        boxes: for each of them its bounding rectangle (x, y, width, height).
        heads: for each person the rectangle of the head, in whole pixels of the image that was segmented; empty for
            prompts.
        method: the name of the method that ran.
        reason: why there is no mask, or why it may not be the intended one, in a few words; else empty.
    """

    scores: tuple[float, ...]
    boxes: tuple[Box, ...]
    heads: tuple[tuple[float, float, float, float], ...]
    method: str
    reason: Reason
    _image: Pixels
    _layers: tuple[Layer, ...]
    _size: tuple[int, int] | None = None
    _refine: Callable[[int], Layer] | None = field(default=None, repr=False, compare=False)
    _mask: Pixels | None = None
    _copies: Copies | None = field(default=None, repr=False, compare=False)
    #: Masks of the image that are added to each of the masks, or removed, in order.
    _parts: Parts = field(default=(), repr=False)
    _drawn: tuple[Layer, ...] = field(default=(), repr=False)  # the layers without them, if there are any

    def __repr__(self) -> str:
        width, height = self.size
        count = f"{len(self)} {'mask' if len(self) == 1 else 'masks'}"
        scores = f", scores {', '.join(f'{score:.2f}' for score in self.scores)}" if self.scores else ""
        reason = f", {self.reason!r}" if self.reason else ""
        return f"Masks({count} of {width}x{height}, {self.method}{scores}{reason})"

    def _repr_html_(self) -> str:
        """Returns the image with everything outside darkened, for each of the masks, as HTML for a notebook."""
        size = fitted(self.size, _DISPLAY_SIDE)
        small = resized(self._image, size)
        darkened = [small * (0.2 + 0.8 / 255 * mask[..., None]) for mask in self.reduced(size)] if len(self) else []
        return page(repr(self), *(png(np.rint(image).astype(np.uint8)) for image in darkened))

    @property
    def size(self) -> tuple[int, int]:
        """The width and height of the masks, those of the image.

        Example:
            >>> image = np.zeros((60, 80, 3), np.uint8)
            >>> image[20:40, 30:50] = 200
            >>> pyharmony.segment(image, points=(40, 30)).size
            (80, 60)
        """
        return self._size or (self._image.shape[1], self._image.shape[0])

    @property
    def mask(self) -> Pixels:
        """The best mask, or all people together, [H, W] uint8, 0 outside and 255 inside, soft at the edge."""
        if self._mask is None:
            copies = self._copies_at_size()
            layers = self._layers if self.heads else drawn_layers(self)[:1]
            masks = (at_full_size(copies, layer) for layer in layers)
            mask = next(masks, None)
            mask = np.zeros(copies.picture.shape[:2], np.uint8) if mask is None else mask
            for other in masks:
                np.maximum(mask, other, out=mask)
            mask = self._with_parts(mask)
            # The mask is drawn once, at its first use.
            object.__setattr__(self, "_mask", mask)
            return mask
        return self._mask

    @property
    def areas(self) -> tuple[int, ...]:
        """The number of pixels of each mask, accurate to some hundredths, by which masks go from part to whole.

        Example:
            >>> image = np.zeros((60, 80, 3), np.uint8)
            >>> image[20:40, 30:50] = 200
            >>> found = pyharmony.segment(image, points=(40, 30))
            >>> from_part_to_whole = [found[i] for i in np.argsort(found.areas)]
        """
        return tuple(round(covered(layer)) for layer in self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def __getitem__(self, index: int) -> Pixels:
        return self._with_parts(at_full_size(self._copies_at_size(), drawn_layers(self)[index]))

    def alpha(self, index: int | None = None) -> Pixels:
        """Returns the alpha of a cut-out, [H, W] uint8: how far each pixel near the contour belongs to the object.

        It is more accurate than a mask at soft edges, such as hair, and at thin parts, and takes a little longer: the
        network segments windows along the contour once more. `cutout` uses it.

        Args:
            index: the index of a mask; None: the best, or all people together.

        Raises:
            IndexError: there is no such mask.

        Example:
            >>> image = np.zeros((60, 80, 3), np.uint8)
            >>> image[20:40, 30:50] = 200
            >>> pyharmony.segment(image, points=(40, 30)).alpha().shape
            (60, 80)
        """
        image = self._image_at_size()
        if index is not None:
            return self._with_parts(soft_alpha(image, refined_layer(self, index)))
        alpha = np.zeros(image.shape[:2], np.uint8)
        for i in range(len(self) if self.heads else min(1, len(self))):
            np.maximum(alpha, soft_alpha(image, refined_layer(self, i)), out=alpha)
        return self._with_parts(alpha)

    def reduced(self, size: tuple[int, int]) -> list[Pixels]:
        """Returns all masks as [h, w] uint8 at a smaller size (width, height), without computing the large ones.

        Raises:
            ArgumentError: the size has no pixels, or is larger than the image's.

        Example:
            >>> image = np.zeros((60, 80, 3), np.uint8)
            >>> image[20:40, 30:50] = 200
            >>> [mask.shape for mask in pyharmony.segment(image, points=(40, 30)).reduced((40, 30))][0]
            (30, 40)
        """
        image = resized(self._image, size_within(size, self.size))
        return in_threads(lambda layer: self._with_parts(layer_mask(image, layer, self.size)), drawn_layers(self))

    def _with_parts(self, mask: Pixels) -> Pixels:
        """Returns a mask, of the image's size or a smaller one, with the parts added and removed."""
        for part, is_added in self._parts:
            levels = resized(part, mask.shape[::-1])
            mask = np.maximum(mask, levels) if is_added else np.minimum(mask, 255 - levels)
        return mask

    def _image_at_size(self) -> Pixels:
        """Returns the image at the size of the masks."""
        return resized(self._image, self.size)

    def _copies_at_size(self) -> Copies:
        """Returns that image with its copies: those of the session, unless it is resized."""
        image = self._image_at_size()
        return self._copies if self._copies is not None and self._copies.picture is image else Copies(image)


def layers_of(masks: Masks) -> tuple[Layer, ...]:
    """Returns the layers of masks, in pixels of the masks' size."""
    return masks._layers


def doubts_of(masks: Masks) -> tuple[Reason, ...]:
    """Returns what speaks against the first mask of a prompt, with hints, the weightiest first."""
    return mask_doubts(masks._layers[0].values, len(masks)) if len(masks) else ()


def drawn_layers(masks: Masks) -> tuple[Layer, ...]:
    """Returns the layers from which masks are drawn, before parts are added and removed."""
    return masks._drawn or masks._layers


def refined_layer(masks: Masks, index: int = 0) -> Layer:
    """Returns the layer from which the alpha of a mask is drawn, refined by a network in windows along the contour."""
    return drawn_layers(masks)[index] if masks._refine is None else masks._refine(index)


def layer_mask(image: Pixels, layer: Layer, size: tuple[int, int], *, soft: bool = False) -> Pixels:
    """Returns the mask of a layer over an image [h, w, 3], of 0 to 255.

    size: the width and height of the image whose pixels the layer's box is in; the given image may be smaller.
    soft: whether to compute alpha for a cut-out, which takes longer, as `Masks.alpha` does.
    """
    height, width = image.shape[:2]
    box = _scaled(layer, size, (width, height))
    # A mask that is smaller than a pixel here disappears.
    if box[0] == box[2] or box[1] == box[3]:
        return np.zeros((height, width), np.uint8)
    return (soft_alpha if soft else at_full_size)(image, layer._replace(box=box))


def rough_mask(layer: Layer, size: tuple[int, int], to: tuple[int, int]) -> Pixels:
    """Returns the mask of a layer in an image of a size, of 0 to 255 at another size, not following its edges."""
    left, top, right, bottom = _scaled(layer, size, to)
    mask = np.zeros(to[::-1], np.uint8)
    if left < right and top < bottom:
        mask[top:bottom, left:right] = levels_of_shares(resized(layer.values, (right - left, bottom - top)))
    return mask


def _scaled(layer: Layer, size: tuple[int, int], to: tuple[int, int]) -> Box:
    """Returns the box of a layer in an image of another size."""
    across, down = to[0] / size[0], to[1] / size[1]
    left, top, right, bottom = layer.box
    return round(left * across), round(top * down), round(right * across), round(bottom * down)
