"""Keeping: the region of a photograph in which somebody stands who is not in the base, and a contour that cuts nobody.

Where two aligned photographs differ, somebody, or something else, is in one of them. Three things say in which: a
network that knows people; edges, since the contour of a silhouette has one in the photograph in which somebody stands,
and the place goes on across it in the other; and colours that the place around has not. They vote, and the best region
is a minimal cut whose contour runs where the photographs agree, as in Agarwala et al., "Interactive Digital
Photomontage", 2004. Masks that the caller gave are taken in place of votes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .._images.planes import closed, connected_parts, grown, opened, shrunk
from .._images.region import bounding_box
from .._images.sizes import resized
from ..errors import NO_REASON, Reason
from ..segmentation import METHODS
from ._light import differing
from ._planes import Bools, Box, Float32, Pixels, blurred, highest, slopes, smoothed
from ._seam import cut

_GAP = 0.012  # the widest gap that is closed between places that differ, in longer sides
_LEAST = 0.0015  # the least area of a part that gets a closer look, as a share of the frame
_MOST = 10  # the most parts that get a closer look
_AROUND = 0.5  # the surroundings that a closer look adds to a part, both sides together, in sides of the part
_NARROW = 0.75  # the least width of a closer look, in its heights
#: How much a look at the whole photograph counts beside a closer one.
_WHOLE = 0.3
#: The width of a contour's surroundings for which its edges speak, in longer sides.
_REACH = 0.02
#: How much edges count at least, where the network sees nobody.
_FLOOR = 0.15
#: The width over which votes are taken together, in longer sides.
_NEAR = 0.012
_VOTE = 0.2  # the gain of taking a pixel that votes fully for the photograph
_DEAD = 0.04  # the dead zone of votes: by so much they shrink towards 0
_AREA = 0.003  # the cost of each pixel that is taken
_CLEAR = 0.25  # the vote above which people count as a difference; it counts fully at twice as much
_ANY = 15.0  # the difference at which such a vote counts fully, in levels; a change of light may cause as much
_SAMPLES = 120  # the samples of background colours along the longer side
_FARTHER = 200.0  # the colour difference that a distance of one longer side counts as, in levels
_STRANGE = 1.0  # the weight of votes by colours that the background has nowhere
_UNCLEAR = 30.0  # the sum of both distances from background colours at which such a vote is halved, in levels
_CONTOUR = 0.03  # the cost of a contour for each pixel where the photographs agree
_LIKE = 6.0  # the largest difference at which they agree, in levels
_UNLIKE = 40.0  # the levels above that at which a contour costs 1 more
_CHEAPER = 0.3  # the share by which a full edge of either photograph lowers the cost of a difference
_EDGE = 20.0  # the gradient of a full edge, in levels for each pixel
#: What a contour costs at least inside of a silhouette.
_INSIDE = 2.0
_PEOPLE = 0.12  # the least mean probability of people in a part that is taken
_SMALL = 0.001  # the least area of a part, or of a photograph's people, as a share of the frame
#: How surely people must be who are seen in a photograph.
_SEEN = 0.5
#: Masks that share so much of their union are of people who stand in the same place.
_SAME = 0.5
#: By how much lower feet must be for somebody to be nearer, in heights of the photograph.
_NEARER = 0.01
#: The residual from which on the same thing may lie two pixels apart, in pixels.
_LOOSE = 0.3
_RIM = 0.002  # the margin around the base's people in which nothing is taken, in longer sides
_BEYOND = 0.05  # the largest distance from the selected people at which anything is taken, in longer sides
#: The share of a person that must be taken.
_VISIBLE = 0.2
#: A contour at most so many pixels before the end of a photograph is there because of that.
_BEFORE = 2
#: The share of a contour across what differs from which on it is told.
_TOLD = 0.05


class View(NamedTuple):
    """A photograph in the frame of the base, small.

    Attributes:
        levels: [h, w, 3].
        people: how surely people are at each place, 0 to 1, [h, w].
        persons: masks of each person, if the caller has given them, [h, w] each; else None.
    """

    levels: Float32
    people: Float32
    persons: Sequence[Bools] | None


class Part(NamedTuple):
    """A part of a photograph that is not in the base.

    Attributes:
        region: where it is, [h, w].
        box: the part of the frame around it.
        people: how surely it shows people, 0 to 1.
        crossing: the share of its contour at which the photographs differ.
        taken: whether it is taken.
        reason: why not, or what may be wrong with it, in a few words; else empty.
    """

    region: Bools
    box: Box
    people: float
    crossing: float
    taken: bool
    reason: Reason


class Costs(NamedTuple):
    """What it costs to take parts of a photograph; lengths are in longer sides.

    Attributes:
        ended: the length along which the photograph ends within somebody who is taken.
        contour: the length of the contour, each place by how much the photographs differ there.
        lost: what speaks for either photograph and is not heard, as the length of a contour that costs as much.
        missed: how many people with a mask are not taken, though nobody of the base is the same; without masks, the
            share of the photograph's people who are seen in it alone and are not taken.
    """

    ended: float
    contour: float
    lost: float
    missed: float


class Choice(NamedTuple):
    """What is taken of a photograph.

    Attributes:
        parts: those that are, from left to right, and people who are not.
        costs: what that costs.
        unlike: where the photographs show something else, so that colours of one say nothing about the other, [h, w].
        silhouettes: where somebody, or something, is that is not in both, without gaps, [h, w].
        differs: the share of the frame in which they differ.
    """

    parts: list[Part]
    costs: Costs
    unlike: Bools
    silhouettes: Bools
    differs: float

    @property
    def taken(self) -> list[Part]:
        """The parts that are taken."""
        return [part for part in self.parts if part.taken]


def people_in(image: Pixels) -> Float32:
    """Returns how surely people are at each place of a picture [H, W, 3], 0 to 1, as a network sees it, small."""
    likelihood: Float32 = METHODS["clicks"].opened(image).people()
    return likelihood


def chosen(base: View, photo: View, visible: Bools, occupied: Bools, slack: int) -> Choice:
    """Returns what is to be taken of a photograph.

    Args:
        visible: where the photograph shows the frame, [h, w].
        occupied: where people stand who were taken from another photograph, [h, w].
        slack: how far apart the same thing may lie, in pixels.
    """
    longer = max(visible.shape)
    differs, exact = differing(base.levels, photo.levels, visible, slack)
    unlike = opened(closed(differs > 0.5, 1), 1)
    silhouette = closed(unlike, max(1, round(_GAP * longer)))
    crossing = _crossing(base, photo, exact, silhouette)
    has_persons = photo.persons is not None
    in_order = has_persons and base.persons is not None
    people, (sure, vote) = (base.people, photo.people), (differs, photo.people - base.people)
    if not in_order:
        people = _closer(base, photo, unlike)
        sure, vote = _votes(base, photo, people, differs, exact, visible)
    inside, outside, same = _constraints(base, photo, in_order)
    if has_persons:
        # What is far from everybody who was given is nobody's.
        outside |= ~grown(inside, max(1, round(_BEYOND * longer)))
    outside |= occupied | ~visible
    taking = np.float32(_AREA) - np.float32(_VOTE) * sure * vote
    region = cut(crossing, taking, inside & visible, outside)
    parts = _parts(region, people[1], sure, visible, inside)
    missed_parts = _missed(photo, same, parts)
    region = np.logical_or.reduce([part.region for part in parts if part.taken] or [np.zeros(visible.shape, bool)])
    left = float(len(missed_parts) - len(same)) if has_persons else _left(base, photo, sure, region)
    costs = _costs(region, crossing, taking, visible, silhouette, left)
    share = float(sure[visible].mean()) if visible.any() else 0.0
    return Choice(parts + missed_parts, costs, (sure > 0.5) | (exact > _UNLIKE / 2), silhouette, share)


def slack_of(residual: float) -> int:
    """Returns how far apart the same thing may lie after aligning, in pixels, by the residual in pixels."""
    return 1 + int(residual > _LOOSE)


def _left(base: View, photo: View, sure: Float32, region: Bools) -> float:
    """Returns the share of a photograph's people who are seen in it alone and are not in the region that is taken."""
    people = photo.people > _SEEN
    alone = people & (base.people <= _SEEN) & (sure > 0.5)
    if people.mean() < _SMALL:
        return 0.0
    return int(np.count_nonzero(alone & ~region)) / int(np.count_nonzero(people))


def _costs(
    region: Bools, crossing: Float32, taking: Float32, visible: Bools, silhouette: Bools, missing: float
) -> Costs:
    """Returns what a region costs that is taken, [h, w]; see `chosen` and `cut` for the planes."""
    # Where nothing is known, nothing differs: a silhouette ends a little before, and a contour may run there.
    longer, inner, silhouette = max(region.shape), shrunk(visible, _BEFORE), grown(silhouette, _BEFORE + 1)
    contour, ended_length = 0.0, 0
    for axis in (0, 1):
        first, second = (slice(None),) * axis + (slice(1, None),), (slice(None),) * axis + (slice(None, -1),)
        border = region[first] != region[second]
        shown_there = inner[first] & inner[second]
        contour += float(np.minimum(crossing[first], crossing[second])[border & shown_there].sum())
        ended_length += int(np.count_nonzero(border & ~shown_there & (silhouette[first] | silhouette[second])))
    unheard = np.maximum(np.where(region, taking, -taking), 0)[visible]
    return Costs(ended_length / longer, contour / longer, float(unheard.sum()) / longer, missing)


def _crossing(base: View, photo: View, exact: Float32, silhouette: Bools) -> Float32:
    """Returns what a contour costs at each place."""
    cost = highest(np.clip((exact - np.float32(_LIKE)) * np.float32(1 / _UNLIKE), 0, 1), 2)
    # Gaps in a silhouette, where somebody looks like what is behind, are no place for a contour.
    cost = np.maximum(cost, np.float32(_INSIDE) * silhouette)
    edges = np.maximum(*(slopes(blurred(view.levels, 0.7)) for view in (base, photo)))
    cheaper = np.float32(_CHEAPER) * np.minimum(edges * np.float32(1 / _EDGE), 1)
    return np.asarray(np.float32(_CONTOUR) + cost * (1 - cheaper), np.float32)


def _closer(base: View, photo: View, unlike: Bools) -> tuple[Float32, Float32]:
    """Returns how surely people are in both photographs, where they differ by closer looks, [h, w] each."""
    boxes = _looks(unlike)
    likelihoods = []
    for view in (base, photo):
        total, weight = np.float32(_WHOLE) * view.people, np.full(unlike.shape, np.float32(_WHOLE))
        image = np.rint(view.levels).astype(np.uint8)
        for left, top, right, bottom in boxes:
            part = people_in(np.ascontiguousarray(image[top:bottom, left:right]))
            total[top:bottom, left:right] += resized(part, (right - left, bottom - top))
            weight[top:bottom, left:right] += 1
        likelihoods.append(view.people if view.persons is not None else total / weight)
    return likelihoods[0], likelihoods[1]


def _looks(unlike: Bools) -> list[Box]:
    """Returns the parts of the frame to be looked at closely, around what differs."""
    height, width = unlike.shape
    boxes: list[Box] = []
    for region in _largest(closed(unlike, max(1, round(_GAP * max(height, width))))):
        left, top, right, bottom = bounding_box(region).box
        high = (1 + _AROUND) * (bottom - top)
        wide = max((1 + _AROUND) * (right - left), _NARROW * high)
        x, y = (left + right) / 2, (top + bottom) / 2
        look = (max(0, round(x - wide / 2)), max(0, round(y - high / 2)),
                min(width, round(x + wide / 2)), min(height, round(y + high / 2)))  # fmt: skip
        if min(look[2] - look[0], look[3] - look[1]) >= 16:
            boxes.append(look)
    return boxes


def _largest(region: Bools) -> list[Bools]:
    """Returns the largest connected parts of a region, without small ones."""
    numbers = connected_parts(region)
    areas = np.bincount(numbers.ravel())[1:]
    order = np.argsort(-areas, kind="stable")[:_MOST]
    return [numbers == i + 1 for i in order if areas[i] >= _LEAST * region.size]


def _votes(
    base: View, photo: View, people: tuple[Float32, Float32], differs: Float32, exact: Float32, visible: Bools
) -> tuple[Float32, Float32]:
    """Returns how surely each place shows something else, and for which photograph it speaks: from -1, the base, to 1.

    people tells how surely people are in both; for differs and exact see `differing`.
    """
    vote = people[1] - people[0]
    # In another light much differs; that somebody is in one photograph only then tells more.
    telling = np.clip((np.abs(vote) - np.float32(_CLEAR)) * np.float32(1 / _CLEAR), 0, 1)
    sure = np.maximum(differs, telling * np.minimum(exact * np.float32(1 / _ANY), 1))
    worth = np.maximum(np.maximum(*people), np.float32(_FLOOR))
    first, second = (_foreign(view.levels, sure > 0.5, visible) for view in (base, photo))
    strange = np.float32(_STRANGE) * (second - first) / (second + first + np.float32(_UNCLEAR))
    vote = vote + (_leaning(base.levels, photo.levels, sure > 0.5) + strange) * worth
    near = _NEAR * max(sure.shape)
    vote = smoothed(vote * sure, near) / np.maximum(smoothed(sure, near), np.float32(0.05))
    return sure, np.sign(vote) * np.maximum(0, np.abs(vote) - np.float32(_DEAD))


def _leaning(base: Float32, photo: Float32, unlike: Bools) -> Float32:
    """Returns in which photograph the contour of what differs has edges, [h, w]: from -1, the base, to 1."""
    contour = grown(unlike, 1) & ~shrunk(unlike, 1)
    first, second = (slopes(blurred(levels, 0.7)) for levels in (base, photo))
    width = _REACH * max(unlike.shape)
    more = smoothed(np.where(contour, second - first, 0), width)
    total = smoothed(np.where(contour, second + first + 1, 0), width)
    return np.asarray(more / np.maximum(total, np.float32(1e-4)), np.float32)


def _foreign(levels: Float32, unlike: Bools, visible: Bools) -> Float32:
    """Returns how far the colour of each place of a photograph is from all colours of the place around, in levels.

    The place is where the photographs are not `unlike`, and both show anything.
    """
    height, width = unlike.shape
    step = max(1, round(max(height, width) / _SAMPLES))
    rows, columns = np.mgrid[step // 2 : height : step, step // 2 : width : step]
    colours = blurred(levels, step / 2)[rows, columns]
    # A place farther away counts like a colour that is less alike.
    apart = np.float32(_FARTHER / max(height, width))
    all_of_it = np.concatenate([colours, np.stack([rows, columns], -1) * apart], -1).reshape(-1, 5).astype(np.float32)
    is_unlike = unlike[rows, columns].ravel()
    place = all_of_it[(visible & ~grown(unlike, step))[rows, columns].ravel()]
    distances = np.zeros(len(all_of_it), np.float32)
    if len(place):
        own, squares = all_of_it[is_unlike], np.square(place).sum(1)
        # Of each distance, the part that does not depend on the sample of the place is added last.
        least = [
            (squares - 2 * part @ place.T).min(1) for part in np.array_split(own, 1 + len(own) * len(place) // 10**7)
        ]
        distances[is_unlike] = np.sqrt(np.maximum(np.concatenate(least) + np.square(own).sum(1), 0))
    return resized(distances.reshape(rows.shape), (width, height))


def _constraints(base: View, photo: View, in_order: bool) -> tuple[Bools, Bools, list[int]]:
    """Returns what people put into the region and what they keep out of it, [h, w] each.

    The third value has the numbers of those who stand where somebody of the base stands, and stay away.

    Args:
        in_order: whether the one with the lower feet is in front; else everybody of the base is.
    """
    shape = photo.people.shape
    inside, same, own = np.zeros(shape, bool), [], list(base.persons or ())
    outside = np.logical_or.reduce([*own, inside])
    if own:
        outside = grown(outside, max(1, round(_RIM * max(shape))))
    for number, person in enumerate(photo.persons or ()):
        if any(_share(person, other) > _SAME for other in own):
            same.append(number)
            continue
        before = [o for o in own if not in_order or _feet(person) <= _feet(o) + _NEARER * shape[0]]
        visible = person & ~np.logical_or.reduce([*before, np.zeros(shape, bool)])
        inside |= visible
        outside &= ~visible
    return inside, outside, same


def _share(first: Bools, second: Bools) -> float:
    """Returns the share of the union of two regions that both cover."""
    return int(np.count_nonzero(first & second)) / max(1, int(np.count_nonzero(first | second)))


def _feet(person: Bools) -> int:
    """Returns the lowest row of a mask; -1 if it is empty."""
    return bounding_box(person).y1 - 1


def _parts(region: Bools, people: Float32, sure: Float32, visible: Bools, inside: Bools) -> list[Part]:
    """Returns the connected parts of a region, from left to right; those that show nobody are not taken.

    Where people were given or clicked, inside, somebody is shown.
    """
    numbers = connected_parts(region)
    parts = []
    for number in range(1, int(numbers.max()) + 1):
        part = numbers == number
        weight = sure * part
        total = float(weight.sum())
        is_prompted = bool((part & inside).any())
        if total < _SMALL * part.size and not is_prompted:
            continue
        likely = float((weight * people).sum()) / max(total, 1e-6)
        # The border of the frame is no contour.
        contour = part & ~shrunk(part, 1)
        length = max(1, int(np.count_nonzero(contour)))
        end_contour = contour & ~shrunk(visible, 1) & (sure > 0.5)
        crossing = int(np.count_nonzero(contour & (sure > 0.5))) / length
        is_taken, reason = is_prompted or likely >= _PEOPLE, NO_REASON
        if not is_taken:
            reason = Reason("no-people", "it does not look like people")
        elif np.count_nonzero(end_contour) > _TOLD * length:
            reason = Reason("cut-by-frame", "the photograph ends within it, another base may show more")
        elif crossing > _TOLD:
            reason = Reason("touches-base", "it touches or covers something that is in the base only")
        parts.append(Part(part, bounding_box(part).box, likely, crossing, is_taken, reason))
    return sorted(parts, key=lambda part: part.box[0])


def _missed(photo: View, same: Sequence[int], parts: Sequence[Part]) -> list[Part]:
    """Returns people of a photograph who are not taken."""
    missed_parts = []
    for number, person in enumerate(photo.persons or ()):
        area = np.count_nonzero(person)
        if not area:
            continue
        if number in same:
            reason = Reason("place-taken", "somebody of the base stands in the same place")
        elif sum(np.count_nonzero(part.region & person) for part in parts if part.taken) >= _VISIBLE * area:
            continue
        else:
            reason = Reason("hidden-there", "the base shows the same there, or somebody who is nearer")
        missed_parts.append(Part(person, bounding_box(person).box, 1.0, 0.0, False, reason))
    return missed_parts
