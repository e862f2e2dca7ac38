"""Views: photos as small images, on which all decisions are made, and their warping to the base."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._arrays import Bools, Float32, Float64, Pixels
from .._images.levels import colour_levels
from .._images.planes import grown
from .._images.sizes import resized
from ._align import Alignment, Features, alignment_of, features
from ._keep import View, people_in
from ._photos import Photo
from ._planes import coverage, rescaled, warped

#: The longer side of the images on which people are selected.
VIEW_SIDE = 800
_HIDDEN = 0.5  # the probability of people above which a pixel is masked for features
_HIDDEN_MARGIN = 6  # the margin around such pixels, in pixels of the small image

Size = tuple[int, int]
"""A width and a height."""


class ViewCache:
    """A cache of views, features and alignments of photos, each computed once."""

    def __init__(self) -> None:
        self._views: dict[tuple[int, Size], View] = {}
        self._features: dict[tuple[int, Size], Features] = {}
        self._alignments: dict[tuple[int, Size, int, Size], Alignment] = {}

    def view(self, photo: Photo, size: Size, levels: Pixels | None = None) -> View:
        """Returns a view of a photo at a size."""
        key = photo.number, size
        if key not in self._views:
            small = resized(colour_levels(photo.colours) if levels is None else levels, size)
            view_levels = small.astype(np.float32)
            if photo.persons is None:
                self._views[key] = View(view_levels, resized(people_in(small), size), None)
            else:
                self._views[key] = _with_persons(view_levels, photo.persons)
        return self._views[key]

    def features(self, photo: Photo, size: Size, levels: Pixels | None = None) -> Features:
        """Returns the features of a photo outside of the people that are detected in the view of a size."""
        key = photo.number, size
        if key not in self._features:
            if levels is None:
                levels = colour_levels(photo.colours)
            hidden_region = grown(self.view(photo, size, levels).people > _HIDDEN, _HIDDEN_MARGIN)
            self._features[key] = features(levels, hidden_region)
        return self._features[key]

    def alignment(self, base: Photo, photo: Photo, sizes: tuple[Size, Size]) -> Alignment:
        """Returns the alignment of a photo to a base, by the features with the views of two sizes."""
        key = base.number, sizes[0], photo.number, sizes[1]
        if key not in self._alignments:
            self._alignments[key] = alignment_of(self.features(base, sizes[0]), self.features(photo, sizes[1]))
        return self._alignments[key]


def smaller(view: View, size: Size) -> View:
    """Returns a view at a smaller size."""
    if view.people.shape == size[::-1]:
        return view
    levels = resized(view.levels, size)
    if view.persons is None:
        return View(levels, resized(view.people, size), None)
    return _with_persons(levels, view.persons)


def _with_persons(levels: Float32, persons: Sequence[Bools]) -> View:
    """Returns a view with people from masks of any size."""
    height, width = levels.shape[:2]
    regions = [resized(one.astype(np.uint8) * np.uint8(255), (width, height)) > 127 for one in persons]
    union = np.logical_or.reduce([*regions, np.zeros((height, width), bool)])
    return View(levels, union.astype(np.float32), regions)


def on_base(view: View, matrix: Float64, size: Size) -> tuple[View, Bools]:
    """Returns a view warped to a base of a size, by the homography to the view, and the mask of pixels it covers."""
    whole = (0, 0, *size)
    height, width = view.people.shape
    visible = coverage((width, height), matrix, whole)
    levels = warped(view.levels, matrix, whole).clip(0, 255)
    people = warped(view.people, matrix, whole).clip(0, 1) * visible
    persons = None
    if view.persons is not None:
        persons = [(warped(p.astype(np.float32), matrix, whole) > 0.5) & visible for p in view.persons]
    return View(levels, people, persons), visible


def between(alignment: Alignment, base: Photo, photo: Photo, sizes: tuple[Size, Size]) -> Float64:
    """Returns the homography from the base's view to that of a photo, whose sizes are `sizes`."""
    factors = [(small[0] / one.size[0], small[1] / one.size[1]) for small, one in zip(sizes, (base, photo))]
    return rescaled(alignment.matrix, factors[0], factors[1])
