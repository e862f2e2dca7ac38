"""Bases: what each photograph would cost as the one that the others are added to, so that the best one is chosen.

Who is to be taken over is decided for every photograph beside every other one as it is for the merge, on smaller
images. A good base is one into which everybody fits: their photographs do not end within them, nobody is cut, its frame
holds them. So the choice depends on the photographs and not on their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .._images.levels import colour_levels
from .._images.sizes import fitted
from .._images.threads import in_threads
from ._align import Alignment
from ._keep import Costs, chosen, slack_of
from ._photos import Photo
from ._planes import Float, Float32, shown
from ._views import SIDE, ViewCache, between, laid, smaller

#: The longer side of the images by which bases are compared.
_SIDE = 400
_PEOPLE = 0.5  # the probability above which a pixel shows people whom the frame should hold
_LEAST = 0.002  # the least share of a photograph's pixels that counts as people
#: What it costs that a photograph ends within somebody, for a longer side; as much as a contour inside of somebody.
_ENDED = 2.0
#: What it costs that a base has half the longer side of the largest photograph.
_HALF = 0.1


@dataclass(frozen=True)
class MergeBase:
    """What a photograph would cost as the base.

    Lengths are in longer sides of the base, and those of all other photographs are added up.

    Attributes:
        left_out: how many photographs do not show its place.
        ended: the length along which a photograph ends within somebody who is taken over, and the base goes on.
        contour: the length of contours, each place by how much the photographs differ there.
        lost: what speaks for a photograph and is not taken, and for the base and is not kept, as lengths of contour
            that would pay for it.
        beyond: the people that the frame of the base does not hold, as the share of their photograph's people.
        missed: people who are seen in a photograph alone and are not taken over, as the same share, and how many with
            a mask are not, since the base has somebody nearer there.
        smaller: how many times half as large as that of the largest photograph its longer side is.
        allowed: whether it may be the base: in colour, if any photograph is, and of the shape of an array in out.
        cost: ended twice, contour, lost, beyond and missed once, and a tenth of smaller. Of those that leave the
            fewest photographs out, the one that costs least is the base.

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
        """The sum of what counts, each by its weight."""
        lengths = _ENDED * self.ended + self.contour + self.lost
        return round(lengths + self.beyond + self.missed + _HALF * self.smaller, 4)


def bases_of(
    photos: Sequence[Photo], candidate_numbers: Sequence[int], cache: ViewCache, align: bool
) -> tuple[MergeBase, ...]:
    """Returns what each photograph would cost as the base.

    Args:
        photos: in one dtype and in the colours of one of them.
        candidate_numbers: the numbers of those that may be the base.
        cache: what is seen of them, which is noted here.
        align: whether they are to be aligned.
    """

    def look(photo: Photo) -> None:
        size, levels = fitted(photo.size, SIDE), colour_levels(photo.colours)
        cache.view(photo, size, levels)
        if align:
            cache.features(photo, size, levels)

    in_threads(look, photos)
    pairs = [(base, photo) for base in photos for photo in photos if photo is not base]
    costs = in_threads(lambda pair: _compared(pair[0], pair[1], cache, align), pairs)
    longest = max(max(photo.size) for photo in photos)
    bases = []
    for base in photos:
        own = [cost for (one, _), cost in zip(pairs, costs) if one is base]
        valid_costs = [cost for cost in own if cost is not None]
        totals = {
            name: round(sum(getattr(costs, name) for costs, _ in valid_costs), 4)
            for name in ("ended", "contour", "lost", "missed")
        }
        beyond = round(sum(share for _, share in valid_costs), 4)
        halves = round(float(np.log2(longest / max(base.size))), 4)
        left_out, is_candidate = len(own) - len(valid_costs), base.number in candidate_numbers
        bases.append(MergeBase(left_out=left_out, beyond=beyond, smaller=halves, allowed=is_candidate, **totals))
    return tuple(bases)


def best_of(bases: Sequence[MergeBase]) -> int:
    """Returns the number of the best base of those that are allowed, the first one of several as good."""
    candidate_numbers = [i for i, base in enumerate(bases) if base.allowed]
    if all(bases[i].left_out == len(bases) - 1 for i in candidate_numbers):
        # No two show one place: nothing is merged, and the first photograph stays as it is.
        return candidate_numbers[0]
    return min(candidate_numbers, key=lambda i: (bases[i].left_out, bases[i].cost, i))


def _compared(base: Photo, photo: Photo, cache: ViewCache, align: bool) -> tuple[Costs, float] | None:
    """Returns what it costs to add a photograph to a base, and how much of its people is beyond the base's frame.

    None: it does not show the place of the base.
    """
    sizes = fitted(base.size, SIDE), fitted(photo.size, SIDE)
    alignment = Alignment(np.eye(3))
    if align:
        alignment = cache.alignment(base, photo, sizes)
        if alignment.reason:
            return None
    views = [cache.view(one, size) for one, size in zip((base, photo), sizes)]
    # Both show things as large as they do in the images by which is decided what is taken.
    small = [fitted(one.size, min(_SIDE, max(base.size))) for one in (base, photo)]
    own, other = (smaller(view, size) for view, size in zip(views, small))
    matrix = between(alignment, base, photo, (small[0], small[1]))
    other_view, visible = laid(other, matrix, small[0])
    residual = alignment.residual * small[1][0] / photo.size[0]
    choice = chosen(own, other_view, visible, np.zeros(visible.shape, bool), slack_of(residual))
    return choice.costs, _beyond(other.people, matrix, small[0])


def _beyond(people: Float32, matrix: Float, size: tuple[int, int]) -> float:
    """Returns the share of a photograph's people that a base does not show.

    Args:
        people: how surely they are at each place of the photograph, [h, w].
        matrix: takes pixels of the base to those of the photograph.
        size: that of the base.
    """
    where = people > _PEOPLE
    if where.mean() < _LEAST:
        return 0.0
    height, width = where.shape
    inverse = np.linalg.inv(matrix)
    inside = shown(size, inverse / inverse[2, 2], (0, 0, width, height))
    return float(np.count_nonzero(where & ~inside) / np.count_nonzero(where))
