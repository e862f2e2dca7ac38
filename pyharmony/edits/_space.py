"""The colour spaces of an original and its edit.

They are compared in that of the edit: an edit of a photograph with a wider gamut comes back with the colours clipped
that its own space lacks, and compared in the photograph's space each of these would be a change.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._arrays import Float32
from .._images.kinds import OneImage
from ..io import Picture, convert


class Space(NamedTuple):
    """The profiles of an original and its edit; both None where their colours need no conversion."""

    original: bytes | None = None
    edit: bytes | None = None

    def to_edit(self, levels: Any) -> Float32:
        """Returns levels [h, w, 3] of the original in the space of the edit, as float32."""
        return self._converted(levels, self.original, self.edit)

    def to_original(self, levels: Any) -> Float32:
        """Returns levels [h, w, 3] of the edit in the space of the original, as float32."""
        return self._converted(levels, self.edit, self.original)

    def _converted(self, levels: Any, source: bytes | None, target: bytes | None) -> Float32:
        if source == target:
            return np.asarray(levels, np.float32)
        pixels = np.rint(np.clip(levels, 0, 255) * np.float32(257)).astype(np.uint16)
        like = Picture(np.zeros((1, 1, 3), np.uint16), target)
        return convert(Picture(pixels, source), like, "edited").pixels.astype(np.float32) / np.float32(257)


#: The same space for both.
SAME_SPACE = Space()


def space_of(original: OneImage, edited: OneImage) -> Space:
    """Returns the spaces of two images; an array is in that of the other, and grey is not converted."""
    first, second = original.picture, edited.picture
    if first is None or second is None or 1 in (original.pixels.shape[2], edited.pixels.shape[2]):
        return SAME_SPACE
    return Space(first.profile, second.profile)
