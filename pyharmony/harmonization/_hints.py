"""The hints of a caller: the original scene of an object, and a reference for its light."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _checks
from .._arrays import Float32, NumpyArray
from .._images.frame import Frame, layout, masks_of
from .._images.region import check_finite
from ..errors import ArgumentError, MaskError, ShapeError
from ._judged import hardened
from ._scene import Scene, reduced, scene_of

SCENE_SIDE = 256  # the side, in pixels, of the scenes from which colours are taken
_MAX_COLORS = 1024  # the largest number of colours taken from a scene
#: The share of a mask in a pixel up to which the pixel is outside of it.
_MAX_OUTSIDE_SHARE = 0.01
#: The fractional parts of its multiples are evenly spread for any number of them.
_GOLDEN = (5**0.5 - 1) / 2


class Source(NamedTuple):
    """The original scene of an object."""

    colors: Float32  # [P, 3] in [0, 1], outside the object
    image: Float32  # [SCENE_SIDE, SCENE_SIDE, 3] in [0, 1]
    #: [SCENE_SIDE, SCENE_SIDE], where the image shows the scene: neither the object nor transparent pixels.
    where: npt.NDArray[np.bool_]


class Hints(NamedTuple):
    """The hints of a caller about the light of one image."""

    source: Source | None  # the original scene of the object; None: unknown
    reference: Float32 | None  # colours [P, 3] in [0, 1] of an object with the same light; None: unknown


@dataclass(frozen=True)
class FrameHints:
    """The hints of a call, by the number of the item."""

    sources: Sequence[Source | None]  # the original scenes of the objects
    references: Sequence[NumpyArray | None]  # masks [H, W] in the frame of the image

    def of_item(self, item: int) -> bool:
        """Returns whether there are hints for an item."""
        return self.sources[item] is not None or self.references[item] is not None

    def hints(self, item: int, scene: Scene, holes: NumpyArray | None) -> Hints:
        """Returns the hints of an item; scene: of `SCENE_SIDE` x `SCENE_SIDE` pixels, with a hard mask; holes: its
        pixels without colour.
        """
        mask = self.references[item]
        if mask is None:
            return Hints(self.sources[item], None)
        inside = hardened(Scene(scene.image, reduced(mask[..., None], (SCENE_SIDE, SCENE_SIDE))[..., 0])).mask
        where = (inside > 0) & (scene.mask == 0) & _has_color(holes, inside.shape)
        if not where.any():
            raise MaskError("reference_mask: inside mask, expected a region outside of the object")
        return Hints(self.sources[item], _spread(scene.image, where))


def frame_hints(frame: Frame, source: Any, source_mask: Any, reference_mask: Any) -> FrameHints:
    """Returns the hints of a frame, whose arguments are checked; see `pyharmony.harmonize`."""
    count = len(frame.dst)
    if source is None and source_mask is not None:
        raise ArgumentError("source_mask: passed without source, expected the original photo of the object as source")
    sources: list[Source | None] = [None] * count
    references: list[NumpyArray | None] = [None] * count
    if source is not None:
        frame.keep_apart(source, "source")
        images, batch = layout(source, "source")
        if batch and (not frame.batch or len(images) != count):
            items = f"{count} images" if frame.batch else "one image"
            raise ShapeError(f"source: a batch of {len(images)} for {items}; expected one photo, or as many")
        masks: Sequence[NumpyArray | None] = [None] * len(images)
        if source_mask is not None:
            rows, columns = images[0].shape[:2]
            masks = masks_of(source_mask, len(images), rows, columns, batch, "source_mask")
        scenes = [_source(image, mask) for image, mask in zip(images, masks, strict=True)]
        sources = [*scenes] if batch else [*scenes * count]
    if reference_mask is not None:
        references = [*masks_of(reference_mask, count, *frame.shape, frame.batch, "reference_mask")]
        if any(mask is not None and not mask.any() for mask in references):
            raise MaskError("reference_mask: zero everywhere, expected a region whose light the object should have")
    return FrameHints(sources, references)


def _source(image: NumpyArray, mask: NumpyArray | None) -> Source:
    """Returns the scene of a photo [H, W, C] outside of a mask."""
    holes = image[..., 3] == 0 if image.shape[2] == 4 else None
    colors = image[..., : min(image.shape[2], 3)]
    check_finite(colors, "source", skip=holes)
    _checks.warn_of_range(colors, "source")
    nowhere = np.broadcast_to(np.zeros((), bool), image.shape[:2])
    scene = scene_of(colors, nowhere if mask is None else mask, holes, (SCENE_SIDE, SCENE_SIDE))
    # A pixel that the object covers in part contains some of its colour.
    where = (scene.mask <= _MAX_OUTSIDE_SHARE) & _has_color(holes, scene.mask.shape)
    if not where.any():
        raise MaskError("source_mask: covers all opaque pixels of source, expected some outside")
    return Source(_spread(scene.image, where), scene.image, where)


def _has_color(holes: NumpyArray | None, size: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Returns where a scene has colours of the image."""
    if holes is None:
        return np.ones(size, bool)
    out: npt.NDArray[np.bool_] = reduced(~holes[..., None], (SCENE_SIDE, SCENE_SIDE))[..., 0] >= 0.5
    return out


def _spread(image: Float32, where: npt.NDArray[np.bool_]) -> Float32:
    """Returns the colours [P, 3] of pixels of a region: all, or `_MAX_COLORS` that are evenly spread."""
    places = np.flatnonzero(where)
    if len(places) > _MAX_COLORS:
        places = places[(np.arange(_MAX_COLORS) * _GOLDEN % 1 * len(places)).astype(np.intp)]
    return image.reshape(-1, 3).take(places, 0)
