"""Bases: the cost of each photo as the base to which people of the others are added, by which the best is chosen.

The people to add are selected for every pair of photos as in the merge, on smaller images. In a good base the added
people are neither cropped nor cut nor outside of its frame. So the choice depends on the photos, not on their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .._arrays import Float32, Float64
from .._images.levels import colour_levels
from .._images.sizes import fitted
from .._images.threads import in_threads
from ._align import Alignment
from ._keep import Costs, choose, slack_of
from ._photos import Photo
from ._planes import coverage
from ._views import VIEW_SIDE, ViewCache, between, on_base, smaller

#: The longer side of the images on which bases are compared.
_COMPARED_SIDE = 400
_PEOPLE = 0.5  # the probability above which a pixel shows people who should be inside the frame
_MIN_PEOPLE_SHARE = 0.002  # the least share of a photo's pixels that counts as people
#: The cost of a length along which a photo crops an added person, per longer side; as much as a contour across them.
_CROPPED_COST = 2.0
#: The cost of a base with half the longer side of the largest photo.
_HALF = 0.1


@dataclass(frozen=True)
class MergeBase:
    """The cost of a photo as the base.

    Lengths are in longer sides of the base, summed over all other photos.

    Attributes:
        left_out: the number of photos that do not show its scene.
        ended: the length along which a photo crops an added person, and the base extends beyond.
        contour: the length of contours, weighted by the difference of the photos at each place.
        lost: the rejected votes for a photo or for the base, as lengths of contour of the same cost.
        beyond: the people outside of the frame of the base, as a share of their photo's people.
        missed: people who are visible in one photo only and are not added, as the same share; with masks, the number
            of those who are not added because a nearer person of the base is there.
        smaller: the logarithm to base 2 of the ratio of the largest photo's longer side to its own.
        allowed: whether it may be the base: in colour, if any photo is, and of the shape of an array in out.
        cost: ended twice, contour, lost, beyond and missed once, and a tenth of smaller. Of those that leave the
            fewest photos out, the one of the least cost is the base.

    Example:
        >>> from pyharmony import merging
        >>> base = merging.MergeBase(0, ended=0.2, contour=0.4, lost=0.05, beyond=0.0, missed=0.0, smaller=1.0)
        >>> base.cost
        0.95
    """

    left_out: int
    ended: float
    contour: float
    lost: float
    beyond: float
    missed: float
    smaller: float
    allowed: bool = True

    @property
    def cost(self) -> float:
        """The weighted sum of the terms."""
        lengths = _CROPPED_COST * self.ended + self.contour + self.lost
        return round(lengths + self.beyond + self.missed + _HALF * self.smaller, 4)


def bases_of(
    photos: Sequence[Photo], candidate_numbers: Sequence[int], cache: ViewCache, align: bool
) -> tuple[MergeBase, ...]:
    """Returns the cost of each photo as the base; the photos are in one dtype and in the colours of one of them."""

    def fill_cache(photo: Photo) -> None:
        size, levels = fitted(photo.size, VIEW_SIDE), colour_levels(photo.colours)
        cache.view(photo, size, levels)
        if align:
            cache.features(photo, size, levels)

    in_threads(fill_cache, photos)
    pairs = [(base, photo) for base in photos for photo in photos if photo is not base]
    costs = in_threads(lambda pair: _pair_costs(pair[0], pair[1], cache, align), pairs)
    longest = max(max(photo.size) for photo in photos)
    bases = []
    for base in photos:
        own = [cost for (one, _), cost in zip(pairs, costs) if one is base]
        valid_costs = [cost for cost in own if cost is not None]
        totals = {name: round(sum(getattr(costs, name) for costs, _ in valid_costs), 4) for name in Costs._fields}
        beyond = round(sum(share for _, share in valid_costs), 4)
        halves = round(float(np.log2(longest / max(base.size))), 4)
        left_out, is_candidate = len(own) - len(valid_costs), base.number in candidate_numbers
        bases.append(MergeBase(left_out=left_out, beyond=beyond, smaller=halves, allowed=is_candidate, **totals))
    return tuple(bases)


def best_of(bases: Sequence[MergeBase]) -> int:
    """Returns the number of the best base of those that are allowed, the first one of several equally good ones."""
    candidate_numbers = [i for i, base in enumerate(bases) if base.allowed]
    if all(bases[i].left_out == len(bases) - 1 for i in candidate_numbers):
        # No two photos show one scene: nothing is merged, and the first photo does not change.
        return candidate_numbers[0]
    return min(candidate_numbers, key=lambda i: (bases[i].left_out, bases[i].cost, i))


def _pair_costs(base: Photo, photo: Photo, cache: ViewCache, align: bool) -> tuple[Costs, float] | None:
    """Returns the costs of adding a photo to a base, and the share of its people outside of the base's frame.

    None: it does not show the scene of the base.
    """
    sizes = fitted(base.size, VIEW_SIDE), fitted(photo.size, VIEW_SIDE)
    alignment = Alignment(np.eye(3))
    if align:
        alignment = cache.alignment(base, photo, sizes)
        if alignment.reason:
            return None
    views = [cache.view(one, size) for one, size in zip((base, photo), sizes)]
    # Both have the resolution of the images on which people are selected.
    small = [fitted(one.size, min(_COMPARED_SIDE, max(base.size))) for one in (base, photo)]
    own, other = (smaller(view, size) for view, size in zip(views, small))
    matrix = between(alignment, base, photo, (small[0], small[1]))
    other_view, visible = on_base(other, matrix, small[0])
    residual = alignment.residual * small[1][0] / photo.size[0]
    choice = choose(own, other_view, visible, np.zeros(visible.shape, bool), slack_of(residual))
    return choice.costs, _beyond(other.people, matrix, small[0])


def _beyond(people: Float32, matrix: Float64, size: tuple[int, int]) -> float:
    """Returns the share of a photo's people [h, w] that a base of a size does not show; matrix: from the base to it."""
    where = people > _PEOPLE
    if where.mean() < _MIN_PEOPLE_SHARE:
        return 0.0
    height, width = where.shape
    inverse = np.linalg.inv(matrix)
    inside = coverage(size, inverse / inverse[2, 2], (0, 0, width, height))
    return float(np.count_nonzero(where & ~inside) / np.count_nonzero(where))
