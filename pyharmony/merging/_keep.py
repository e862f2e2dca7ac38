"""Selection: the region of a photo with people who are not in the base, with a contour that crosses nobody.

Where two aligned photos differ, one of them shows a person or another object. Three votes estimate which: a network
that detects people; edges, since the contour of a silhouette is an edge in the photo that shows the person, while the
background continues across it in the other; and colours that do not occur in the surrounding background. The best
region is a minimal cut whose contour is where the photos agree, as in Agarwala et al., "Interactive Digital
Photomontage", 2004. Masks that the caller passes replace the votes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .._arrays import Bools, Box, Float32, Pixels
from .._images.planes import closed, connected_parts, grown, opened, shrunk
from .._images.region import bounding_box
from .._images.sizes import resized
from ..errors import NO_REASON, Reason
from ..segmentation import METHODS
from ._light import differences
from ._planes import blurred, highest, slopes, smoothed
from ._seam import cut

_GAP = 0.012  # the widest gap between differing places that is closed, in longer sides
_MIN_WINDOW_PART = 0.0015  # the least area of a part that is segmented in a window, as a share of the frame
_MAX_WINDOW_PARTS = 10  # the largest number of such parts
_WINDOW_MARGIN = 0.5  # the margins of a window around a part, both sides together, in sides of the part
_MIN_WINDOW_WIDTH = 0.75  # the least width of a window, in its heights
#: The weight of the people map of the whole photo relative to that of a window.
_WHOLE_PHOTO_WEIGHT = 0.3
#: The width of a contour's neighbourhood that gets its edges' vote, in longer sides.
_REACH = 0.02
#: The least weight of the votes by edges and colours, where the network detects nobody.
_FLOOR = 0.15
#: The width over which votes are averaged, in longer sides.
_VOTE_WIDTH = 0.012
_VOTE = 0.2  # the gain of including a pixel that votes fully for the photo
_DEAD_ZONE = 0.04  # the dead zone of votes: they are reduced by so much towards 0
_AREA = 0.003  # the cost of each included pixel
_MIN_CLEAR_VOTE = 0.25  # the vote above which people count as a difference; it counts fully at twice as much
_FULL_VOTE_LEVELS = (
    15.0  # the difference at which such a vote counts fully, in levels; a change of light may cause as much
)
_SAMPLES = 120  # the samples of background colours along the longer side
_COLOR_DISTANCE_LEVELS = 200.0  # the colour difference that is equivalent to a distance of one longer side, in levels
_FOREIGN_COLOR_WEIGHT = 1.0  # the weight of votes by colours that do not occur in the background
_HALF_WEIGHT_LEVELS = (
    30.0  # the sum of both distances from background colours at which such a vote is halved, in levels
)
_CONTOUR = 0.03  # the cost of a contour for each pixel where the photos agree
_FREE_LEVELS = 6.0  # the largest difference at which they agree, in levels
_UNIT_COST_LEVELS = 40.0  # the levels above that at which a contour costs 1 more
_EDGE_DISCOUNT = 0.3  # the share by which a full edge of either photo lowers the cost of a difference
_FULL_EDGE_GRADIENT = 20.0  # the gradient of a full edge, in levels for each pixel
#: The least cost of a contour inside of a silhouette.
_MIN_SILHOUETTE_COST = 2.0
_PEOPLE = 0.12  # the least mean probability of people in a part that is added
_MIN_PART_SHARE = 0.001  # the least area of a part, or of a photo's people, as a share of the frame
#: The probability above which a pixel shows people.
_MIN_PEOPLE_PROBABILITY = 0.5
#: The least intersection over union of masks of people in the same place.
_SAME_PERSON_IOU = 0.5
#: The least height of the feet of a nearer person below those of another, in heights of the photo.
_MIN_FEET_OFFSET = 0.01
#: The residual from which on the largest misalignment is two pixels, in pixels.
_TWO_PIXEL_RESIDUAL = 0.3
_BASE_PEOPLE_MARGIN = 0.002  # the margin around the base's people in which nothing is added, in longer sides
_MAX_ADDED_DISTANCE = 0.05  # the largest distance from the selected people at which anything is added, in longer sides
#: The least share of a person that must be added.
_VISIBLE = 0.2
#: The least ratio of the probability that both show people in a place to that of the base, where both do.
_AS_LIKELY = 2 / 3
_MIN_BEHIND_SHARE = 0.01  # the least area of people in the place of others, as a share of the frame
_PLACE_TAKEN = Reason("place-taken", "a person of the base is in the same place")
#: The distance from the border of a photo within which a contour counts as caused by it, in pixels.
_BORDER_PIXELS = 2
#: The share of a contour across differences from which on there is a reason.
_MIN_REPORTED_SHARE = 0.05


class View(NamedTuple):
    """A photo in the frame of the base, small."""

    levels: Float32  # [h, w, 3]
    people: Float32  # the people map, [h, w] in [0, 1]
    persons: Sequence[Bools] | None  # masks of each person, [h, w] each, if the caller passed them; else None


class Part(NamedTuple):
    """A part of a photo that is not in the base."""

    region: Bools  # its mask, [h, w]
    box: Box  # its bounding box in the frame
    people: float  # the mean probability of people in it, 0 to 1
    crossing: float  # the share of its contour at which the photos differ
    taken: bool  # whether it is added to the base
    reason: Reason  # why it is not, or what may be wrong with it, in a few words; else empty


class Costs(NamedTuple):
    """The costs of adding parts of a photo; lengths are in longer sides."""

    ended: float  # the length along which the photo crops an added person
    contour: float  # the length of the contour, weighted by the difference of the photos at each place
    lost: float  # the rejected votes for either photo, as the length of a contour of the same cost
    #: The number of people with a mask who are not added, except those in the place of a person of the base; without
    #: masks, the share of the photo's people who are visible in it only and are not added.
    missed: float


class Choice(NamedTuple):
    """The parts of a photo that are added to the base."""

    parts: list[Part]  # the added parts, from left to right, and people who are not added
    costs: Costs  # the costs of adding them
    unlike: Bools  # where the photos show different objects, so that their colours are not comparable, [h, w]
    silhouettes: Bools  # the silhouettes of people and objects that are not in both, without gaps, [h, w]
    differs: float  # the share of the frame in which the photos differ

    @property
    def taken(self) -> list[Part]:
        """The parts that are added."""
        return [part for part in self.parts if part.taken]


def people_in(image: Pixels) -> Float32:
    """Returns the people map of an image [H, W, 3], 0 to 1, at a smaller size, by the network of clicks."""
    likelihood: Float32 = METHODS["clicks"].opened(image).people()
    return likelihood


def choose(base: View, photo: View, visible: Bools, occupied: Bools, slack: int) -> Choice:
    """Returns the parts of a photo to add to the base; slack: the largest misalignment, in pixels.

    visible, occupied: the pixels that the photo covers, and those of people who were added from another, [h, w].
    """
    longer = max(visible.shape)
    differs, exact = differences(base.levels, photo.levels, visible, slack)
    unlike = opened(closed(differs > 0.5, 1), 1)
    silhouette = closed(unlike, max(1, round(_GAP * longer)))
    crossing = _crossing(base, photo, exact, silhouette)
    has_persons = photo.persons is not None
    in_order = has_persons and base.persons is not None
    people, (sure, vote) = (base.people, photo.people), (differs, photo.people - base.people)
    if not in_order:
        people = _refined_people(base, photo, unlike)
        sure, vote = _votes(base, photo, people, differs, exact, visible)
    inside, outside, same = _constraints(base, photo, in_order)
    if has_persons:
        # Regions far from all masks of the caller are excluded.
        outside |= ~grown(inside, max(1, round(_MAX_ADDED_DISTANCE * longer)))
    outside |= occupied | ~visible
    taking = np.float32(_AREA) - np.float32(_VOTE) * sure * vote
    region = cut(crossing, taking, inside & visible, outside)
    parts = _parts(region, people[1], sure, visible, inside)
    missed_parts = _missed_people(photo, same, parts) if has_persons else _people_behind(base, photo, silhouette, parts)
    region = np.logical_or.reduce([part.region for part in parts if part.taken] or [np.zeros(visible.shape, bool)])
    left = float(len(missed_parts) - len(same)) if has_persons else _missed_share(base, photo, sure, region)
    costs = _costs(region, crossing, taking, visible, silhouette, left)
    share = float(sure[visible].mean()) if visible.any() else 0.0
    return Choice(parts + missed_parts, costs, (sure > 0.5) | (exact > _UNIT_COST_LEVELS / 2), silhouette, share)


def slack_of(residual: float) -> int:
    """Returns the largest misalignment in pixels, by the residual in pixels."""
    return 1 + int(residual > _TWO_PIXEL_RESIDUAL)


def _missed_share(base: View, photo: View, sure: Float32, region: Bools) -> float:
    """Returns the share of a photo's people who are visible in it only and are not in the added region."""
    people = photo.people > _MIN_PEOPLE_PROBABILITY
    alone = people & (base.people <= _MIN_PEOPLE_PROBABILITY) & (sure > 0.5)
    if people.mean() < _MIN_PART_SHARE:
        return 0.0
    return int(np.count_nonzero(alone & ~region)) / int(np.count_nonzero(people))


def _costs(
    region: Bools, crossing: Float32, taking: Float32, visible: Bools, silhouette: Bools, missing: float
) -> Costs:
    """Returns the costs of an added region, [h, w]; see `choose` and `cut` for the planes."""
    # Differences are 0 beyond a photo, so a silhouette ends a little before its border, where a contour may be.
    longer, inner, silhouette = (
        max(region.shape),
        shrunk(visible, _BORDER_PIXELS),
        grown(silhouette, _BORDER_PIXELS + 1),
    )
    contour, ended_length = 0.0, 0
    for axis in (0, 1):
        first, second = (slice(None),) * axis + (slice(1, None),), (slice(None),) * axis + (slice(None, -1),)
        border = region[first] != region[second]
        shown_there = inner[first] & inner[second]
        contour += float(np.minimum(crossing[first], crossing[second])[border & shown_there].sum())
        ended_length += int(np.count_nonzero(border & ~shown_there & (silhouette[first] | silhouette[second])))
    rejected = np.maximum(np.where(region, taking, -taking), 0)[visible]
    return Costs(ended_length / longer, contour / longer, float(rejected.sum()) / longer, missing)


def _crossing(base: View, photo: View, exact: Float32, silhouette: Bools) -> Float32:
    """Returns the cost of a contour at each place."""
    cost = highest(np.clip((exact - np.float32(_FREE_LEVELS)) * np.float32(1 / _UNIT_COST_LEVELS), 0, 1), 2)
    # Gaps in a silhouette, where a person has the colours of the background, are not cheap for a contour.
    cost = np.maximum(cost, np.float32(_MIN_SILHOUETTE_COST) * silhouette)
    edges = np.maximum(*(slopes(blurred(view.levels, 0.7)) for view in (base, photo)))
    cheaper = np.float32(_EDGE_DISCOUNT) * np.minimum(edges * np.float32(1 / _FULL_EDGE_GRADIENT), 1)
    return np.asarray(np.float32(_CONTOUR) + cost * (1 - cheaper), np.float32)


def _refined_people(base: View, photo: View, unlike: Bools) -> tuple[Float32, Float32]:
    """Returns the people maps of both photos, refined in windows where they differ, [h, w] each."""
    boxes = _windows(unlike)
    likelihoods = []
    for view in (base, photo):
        total, weight = (
            np.float32(_WHOLE_PHOTO_WEIGHT) * view.people,
            np.full(unlike.shape, np.float32(_WHOLE_PHOTO_WEIGHT)),
        )
        image = np.rint(view.levels).astype(np.uint8)
        for left, top, right, bottom in boxes:
            part = people_in(np.ascontiguousarray(image[top:bottom, left:right]))
            total[top:bottom, left:right] += resized(part, (right - left, bottom - top))
            weight[top:bottom, left:right] += 1
        likelihoods.append(view.people if view.persons is not None else total / weight)
    return likelihoods[0], likelihoods[1]


def _windows(unlike: Bools) -> list[Box]:
    """Returns the windows of the frame around differing parts, in which people are segmented again."""
    height, width = unlike.shape
    boxes: list[Box] = []
    for region in _largest(closed(unlike, max(1, round(_GAP * max(height, width))))):
        left, top, right, bottom = bounding_box(region).box
        high = (1 + _WINDOW_MARGIN) * (bottom - top)
        wide = max((1 + _WINDOW_MARGIN) * (right - left), _MIN_WINDOW_WIDTH * high)
        x, y = (left + right) / 2, (top + bottom) / 2
        left, top = max(0, round(x - wide / 2)), max(0, round(y - high / 2))
        right, bottom = min(width, round(x + wide / 2)), min(height, round(y + high / 2))
        if min(right - left, bottom - top) >= 16:
            boxes.append((left, top, right, bottom))
    return boxes


def _largest(region: Bools) -> list[Bools]:
    """Returns the largest connected parts of a region, without small ones."""
    numbers = connected_parts(region)
    areas = np.bincount(numbers.ravel())[1:]
    order = np.argsort(-areas, kind="stable")[:_MAX_WINDOW_PARTS]
    return [numbers == i + 1 for i in order if areas[i] >= _MIN_WINDOW_PART * region.size]


def _votes(
    base: View, photo: View, people: tuple[Float32, Float32], differs: Float32, exact: Float32, visible: Bools
) -> tuple[Float32, Float32]:
    """Returns the certainty that places show different objects, and votes from -1, for the base, to 1, for the photo.

    people: the people maps of both; for differs and exact see `differences`.
    """
    vote = people[1] - people[0]
    # A change of light causes differences in many places; there the difference of the people maps is more reliable.
    telling = np.clip((np.abs(vote) - np.float32(_MIN_CLEAR_VOTE)) * np.float32(1 / _MIN_CLEAR_VOTE), 0, 1)
    sure = np.maximum(differs, telling * np.minimum(exact * np.float32(1 / _FULL_VOTE_LEVELS), 1))
    worth = np.maximum(np.maximum(*people), np.float32(_FLOOR))
    first, second = (_colour_distances(view.levels, sure > 0.5, visible) for view in (base, photo))
    strange = np.float32(_FOREIGN_COLOR_WEIGHT) * (second - first) / (second + first + np.float32(_HALF_WEIGHT_LEVELS))
    vote = vote + (_edge_votes(base.levels, photo.levels, sure > 0.5) + strange) * worth
    near = _VOTE_WIDTH * max(sure.shape)
    vote = smoothed(vote * sure, near) / np.maximum(smoothed(sure, near), np.float32(0.05))
    return sure, np.sign(vote) * np.maximum(0, np.abs(vote) - np.float32(_DEAD_ZONE))


def _edge_votes(base: Float32, photo: Float32, unlike: Bools) -> Float32:
    """Returns votes by edges along the contour of differing regions, [h, w]: from -1, for the base, to 1."""
    contour = grown(unlike, 1) & ~shrunk(unlike, 1)
    first, second = (slopes(blurred(levels, 0.7)) for levels in (base, photo))
    width = _REACH * max(unlike.shape)
    more = smoothed(np.where(contour, second - first, 0), width)
    total = smoothed(np.where(contour, second + first + 1, 0), width)
    return np.asarray(more / np.maximum(total, np.float32(1e-4)), np.float32)


def _colour_distances(levels: Float32, unlike: Bools, visible: Bools) -> Float32:
    """Returns the distance of the colour of each place of a photo from the colours of the background, in levels.

    The background is where the photos are not `unlike`, and both are visible.
    """
    height, width = unlike.shape
    step = max(1, round(max(height, width) / _SAMPLES))
    rows, columns = np.mgrid[step // 2 : height : step, step // 2 : width : step]
    colours = blurred(levels, step / 2)[rows, columns]
    # Distances in the image count like differences of colour.
    apart = np.float32(_COLOR_DISTANCE_LEVELS / max(height, width))
    all_of_it = np.concatenate([colours, np.stack([rows, columns], -1) * apart], -1).reshape(-1, 5).astype(np.float32)
    is_unlike = unlike[rows, columns].ravel()
    place = all_of_it[(visible & ~grown(unlike, step))[rows, columns].ravel()]
    distances = np.zeros(len(all_of_it), np.float32)
    if len(place):
        own, squares = all_of_it[is_unlike], np.square(place).sum(1)
        # The term of squared distances that does not depend on the background sample is added last.
        parts = np.array_split(own, 1 + len(own) * len(place) // 10**7)
        least = [(squares - 2 * part @ place.T).min(1) for part in parts]
        distances[is_unlike] = np.sqrt(np.maximum(np.concatenate(least) + np.square(own).sum(1), 0))
    return resized(distances.reshape(rows.shape), (width, height))


def _constraints(base: View, photo: View, in_order: bool) -> tuple[Bools, Bools, list[int]]:
    """Returns the regions that masks of people include and exclude, [h, w] each.

    The third value has the numbers of the people in the same place as a person of the base, who are not added.
    in_order: whether the person with lower feet is in front; else all people of the base are.
    """
    shape = photo.people.shape
    inside, same, own = np.zeros(shape, bool), [], list(base.persons or ())
    outside = np.logical_or.reduce([*own, inside])
    if own:
        outside = grown(outside, max(1, round(_BASE_PEOPLE_MARGIN * max(shape))))
    for number, person in enumerate(photo.persons or ()):
        if any(_share(person, other) > _SAME_PERSON_IOU for other in own):
            same.append(number)
            continue
        feet = bounding_box(person).y1 - 1
        before = [o for o in own if not in_order or feet <= bounding_box(o).y1 - 1 + _MIN_FEET_OFFSET * shape[0]]
        visible = person & ~np.logical_or.reduce([*before, np.zeros(shape, bool)])
        inside |= visible
        outside &= ~visible
    return inside, outside, same


def _share(first: Bools, second: Bools) -> float:
    """Returns the intersection over union of two regions."""
    return int(np.count_nonzero(first & second)) / max(1, int(np.count_nonzero(first | second)))


def _parts(region: Bools, people: Float32, sure: Float32, visible: Bools, inside: Bools) -> list[Part]:
    """Returns the connected parts of a region, from left to right; those without people are not added.

    Parts that contain people by masks, inside, are always added.
    """
    numbers = connected_parts(region)
    parts = []
    for number in range(1, int(numbers.max()) + 1):
        part = numbers == number
        weight = sure * part
        total = float(weight.sum())
        is_prompted = bool((part & inside).any())
        if total < _MIN_PART_SHARE * part.size and not is_prompted:
            continue
        likely = float((weight * people).sum()) / max(total, 1e-6)
        # The border of the frame is not part of the contour.
        contour = part & ~shrunk(part, 1)
        length = max(1, int(np.count_nonzero(contour)))
        end_contour = contour & ~shrunk(visible, 1) & (sure > 0.5)
        crossing = int(np.count_nonzero(contour & (sure > 0.5))) / length
        is_taken, reason = is_prompted or likely >= _PEOPLE, NO_REASON
        if not is_taken:
            reason = Reason("no-people", "no people are detected in it")
        elif np.count_nonzero(end_contour) > _MIN_REPORTED_SHARE * length:
            reason = Reason("cut-by-frame", "the photo crops it, another base may show more")
        elif crossing > _MIN_REPORTED_SHARE:
            reason = Reason("touches-base", "it touches or covers an object that is in the base only")
        parts.append(Part(part, bounding_box(part).box, likely, crossing, is_taken, reason))
    return sorted(parts, key=lambda part: part.box[0])


def _people_behind(base: View, photo: View, silhouette: Bools, parts: Sequence[Part]) -> list[Part]:
    """Returns people of a photo without masks of whom none is added, since the base has others in the same place."""
    if any(part.taken for part in parts):
        return []
    both = np.minimum(base.people, photo.people)
    numbers = connected_parts(silhouette)
    missed_parts = []
    for number in range(1, int(numbers.max()) + 1):
        region = numbers == number
        least = max(_PEOPLE, _AS_LIKELY * float(base.people[region].mean()))
        if region.mean() >= _MIN_BEHIND_SHARE and both[region].mean() >= least:
            likely = float(photo.people[region].mean())
            missed_parts.append(Part(region, bounding_box(region).box, likely, 0.0, False, _PLACE_TAKEN))
    return missed_parts


def _missed_people(photo: View, same: Sequence[int], parts: Sequence[Part]) -> list[Part]:
    """Returns people of a photo who are not added."""
    missed_parts = []
    for number, person in enumerate(photo.persons or ()):
        area = np.count_nonzero(person)
        visible = sum(np.count_nonzero(part.region & person) for part in parts if part.taken)
        if not area or (number not in same and visible >= _VISIBLE * area):
            continue
        hidden = Reason("hidden-there", "the base shows the same there, or a nearer person")
        reason = _PLACE_TAKEN if number in same else hidden
        missed_parts.append(Part(person, bounding_box(person).box, 1.0, 0.0, False, reason))
    return missed_parts
