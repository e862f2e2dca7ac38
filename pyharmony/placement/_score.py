"""Candidates for a place, and what speaks for each: sums over rectangles by summed-area tables, weighed and added."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .._images.planes import connected_parts
from ..reference.luma import LUMA
from ..segmentation.layers import Pixels
from ._crowd import NEARER, Crowd, nearness, off_the_line
from .subject import OPPOSITE, Bools, Float, Subject

#: The number of columns that the middle of the head is tried in.
_COLUMNS = 48
#: The number of rows that it is tried in.
_ROWS = 14
#: How far rows go above the heads that are there, in heads.
_ABOVE = 1.3
#: How far they go below them, in heads.
_BELOW = 1.8
#: Sizes that are tried, as factors of the one that the people show.
RESIZED = (0.595, 0.707, 0.841, 1.0, 1.189, 1.414, 1.682)
#: Finer factors that are tried about a place, ...
FINER = (0.87, 0.93, 1.0, 1.07, 1.15)
#: ... and shifts of it, in steps of the columns.
SHIFTS = (-0.33, 0.0, 0.33)
#: Factors of the size that are tried where nobody shows it.
_FREE_SIZES = (0.7, 0.85, 1.0, 1.15)
#: The rows in which feet or a base are tried there, as shares of the height.
_BASES = (0.72, 0.8, 0.86, 0.91, 0.95, 0.98)
#: Where nobody is there, the row of somebody's head, as a share of the picture's height: its median in the
#: photographs of `tools/annotations/heads.json` whose split is train, of 64 people who are alone and cut at the bottom
#: 0.29 (half of them within 0.22 to 0.35), of 35 who are whole 0.26.
_HEAD_ROW = 0.3
#: The least and greatest height of a head there if the person is cut at the bottom, as shares of the image's height.
_HEADS = 1 / 6, 0.4
#: The least and greatest height of a person there who is not cut, as shares of the image's height.
_BODIES = 1 / 3, 2 / 3
#: The greatest height and width of a thing, as shares of those of the image.
_LARGEST = 0.5
#: By how many octaves any of these sizes may differ.
_FROM_FIT = 1.0
#: How far somebody who is cut at the bottom may be lower than the picture's edge, as shares of the part that is seen.
_LOWER = (0.0, 0.12, 0.25, 0.4)
#: How many sizes an octave are tried of a person near the camera, cut at the bottom.
_AN_OCTAVE = 4
#: The greatest height of the head of such a person, as a share of the image's height.
_NEAREST = 1 / 3
#: The share of a face that may be covered.
FACE = 0.02
#: The share of the own head that may be hidden.
HIDDEN = 0.3
#: Below this likelihood nobody could stand in what a photograph shows, see `Session.standable`: of photographs of train
#: 93 of 100 in which people could are above it, and 3 of 100 others (`tools/scenes.py`). A dwarf on a desk is worse
#: than a reason too many.
_STANDABLE = 0.6
#: Who is covered by more than this share counts as covered.
_COVERS = 0.05
#: The standard deviation of the size of heads about the one that their row says, in octaves.
_SPREAD = 0.15
#: So many heads above the others' feet are as bad as more.
_OFF = 2.5
#: So many heads from the frame are as good as more.
_FAR = 3.0
#: How far a head reaches to either side of its middle, in its heights.
_WIDE = 0.4
#: So many heads of room are as good as more.
_ROOM = 2.5
#: Heads of those who are equally near are at most so many times as high as that of the median.
_ALIKE = 1.5
#: From which enlargement on an object looks soft.
_SOFT = 1.5
#: By how much of it a size may be above the largest one and be that.
_ROUNDING = 1e-9
#: The largest exponent: beyond it the exponential of a number is too large.
_EXPONENT = 700.0
#: The margin that a head keeps to the frame, in its heights.
_MARGIN = 0.15
#: How far the ground under somebody who stands goes below the feet, in heads.
_UNDER = 1.2
#: How far it goes above the feet, in heads.
_OVER = 0.5
#: How far it goes to each side of the feet, in heads.
_ASIDE = 1.5
#: The least height of a head that this is measured by, in pixels of the small image.
_LEAST_HEAD = 3.0
#: The least area of the ground that has to be seen, in pixels of the small image.
_LEAST_SEEN = 4.0
#: By how many levels the sky is more blue than red at least.
_BLUE = 25.0
#: By how many levels the luma of the sky differs from pixel to pixel at most.
_SMOOTH = 6.0
#: How far the ground at feet reaches above and below them, in heads.
_ABOUT = (0.1, 0.4)
#: Luma and the two opponent chromas of red, green and blue; and by how much the ground under people differs from one
#: to another in these, in the deviation of luma, and in its differences across and down: standard deviations of the
#: photographs of `tools/annotations/heads.json` whose split is train.
_OPPONENT = np.array([LUMA, [0.5, -0.5, 0.0], [0.25, 0.25, -0.5]])
_VARIES = np.array([48.0, 12.0, 16.7, 17.1, 3.7, 4.4])
#: Differences above it are no stronger: shoes and shadows have edges, too.
_STEP = 32.0
#: How unlike the nearest of the others' ground may be without being worse, as the mean of the six in these deviations:
#: of 217 people there three quarters are below 0.46 and one in thirty is above 1.2, of random places of their size
#: beside them half are above 0.54.
_LIKE = 0.5
#: From this unlikeness on ground is no worse.
_UNLIKE = 1.5

#: Somebody of so many heads or fewer who is cut at the bottom may be before anything; everybody else has to stand
#: somewhere in the scene.
_BUST = 3.8

#: What a unit of each term is worth, for people among people: learned from half of the layouts of real photographs of
#: `benchmarks/layouts.json`, by `benchmarks/placement.py fit`.
AMONG_PEOPLE = {
    "scale": -0.07,
    "smaller": -3.56,
    "head_line": -1.31,
    "off": -4.99,
    "high": -1.06,
    "margin": 0.58,
    "room": 0.87,
    "border": -1.33,
    "covers": -0.62,
    "behind": -3.08,
}
#: The same by judgement: drawn scenes do not tell it. That of the ground is a little less than the -1.7 that a logistic
#: regression gives between people of the photographs of `_VARIES` and random places near them.
JUDGED = {"ground": -1.4, "resolution": -1.0, "light": -0.5, "others": -6.0, "sky": -3.0, "no_scene": -3.0}
#: The same where nobody is there, or the object is no person.
ALONE = {
    "body_overlap": -3.0,
    "hidden": -2.0,
    "scale": -1.0,
    "thirds": -2.0,
    "clutter": -1.5,
    "border": -2.0,
    "off": -3.0,
}

#: What the terms add up to at people's own places in photographs, in the median: of 89 among others, in the layouts
#: that the weights are learned from.
_OWN_PLACE = 0.0
#: The same of 151 who are alone, in the photographs of `tools/annotations/heads.json` whose split is train, as if each
#: were as large as is usual.
_OWN_PLACE_ALONE = -0.75


class Candidates(NamedTuple):
    """Places for an object, each an array [N]: the middle of the anchor (head, or all of it), how high that is,
    how far its size is from the expected one in octaves, and whether it is flipped."""

    x: Float
    y: Float
    size: Float
    octaves: Float
    flip: Bools

    def __len__(self) -> int:
        return len(self.x)

    def taken(self, index: npt.NDArray[np.intp]) -> Candidates:
        x, y, size, octaves, flip = self
        return Candidates(x[index], y[index], size[index], octaves[index], flip[index])


class Ground(NamedTuple):
    """The picture: its size, the people, and sums of their masks, of their faces, of edges, of other people and of
    the sky, at a smaller size; of what the background looks like where nobody is, and what that is below the others,
    [F, 6]; and how likely it is that somebody could stand there at all, 0 to 1."""

    size: tuple[int, int]
    crowd: Crowd
    people: Float
    faces: Float
    edges: Float
    others: Float
    sky: Float
    appearance: Float
    floors: Float
    light: float
    shades: tuple[float, float]
    standable: float = 1.0


def table_of(planes: npt.NDArray[np.generic]) -> Float:
    """Returns the summed-area tables [P, h + 1, w + 1] of planes [P, h, w]."""
    table = np.zeros((len(planes), planes.shape[1] + 1, planes.shape[2] + 1))
    table[:, 1:, 1:] = planes.astype(np.float64).cumsum(1).cumsum(2)
    return table


def sums(table: Float, rectangles: Float, size: tuple[int, int]) -> Float:
    """Returns sums [P, …] over rectangles […, 4] in pixels of a picture of a size; beyond it is 0."""
    height, width = table.shape[1] - 1, table.shape[2] - 1
    x = np.clip(np.rint(rectangles[..., 0::2] * (width / size[0])), 0, width).astype(np.intp)
    y = np.clip(np.rint(rectangles[..., 1::2] * (height / size[1])), 0, height).astype(np.intp)
    flat = table.reshape(len(table), -1)
    first, last = y[..., 0] * (width + 1), y[..., 1] * (width + 1)
    result = np.take(flat, last + x[..., 1], 1)
    result -= np.take(flat, first + x[..., 1], 1)
    result -= np.take(flat, last + x[..., 0], 1)
    result += np.take(flat, first + x[..., 0], 1)
    return result


def looks_of(small: Pixels, people: Bools) -> Float:
    """Returns the planes [7, h, w] by which pieces of ground are compared, 0 where people are.

    They are luma and two opponent chromas, the square of luma, its differences across and down, and 1.

    Args:
        small: the picture at a smaller size, [h, w, 3].
        people: where people are, [h, w].
    """
    colours = small.astype(np.float64) @ _OPPONENT.T
    luma = colours[..., 0]
    across, down = np.zeros((2, *luma.shape))
    across[:, 1:-1], down[1:-1] = np.abs(luma[:, 2:] - luma[:, :-2]) / 2, np.abs(luma[2:] - luma[:-2]) / 2
    planes = [*np.moveaxis(colours, 2, 0), luma**2, across.clip(0, _STEP), down.clip(0, _STEP), np.ones_like(luma)]
    return np.stack(planes) * ~people


def sky_of(small: Pixels) -> Bools:
    """Returns where the sky is, or smooth water below it: what is blue, smooth and connected to the upper edge, [h, w].

    A grey sky is not told from walls and snow.

    Args:
        small: the picture at a smaller size, [h, w, 3].
    """
    colours = small.astype(np.float64)
    luma, blue = colours @ _OPPONENT[0], colours[..., 2] - colours[..., 0]
    steps = np.zeros_like(luma)
    steps[:, 1:] = np.abs(np.diff(luma, axis=1))
    steps[1:] = np.maximum(steps[1:], np.abs(np.diff(luma, axis=0)))
    numbers = connected_parts((blue >= _BLUE) & (colours[..., 2] >= colours[..., 1]) & (steps <= _SMOOTH))
    return np.asarray((numbers > 0) & np.isin(numbers, numbers[0]))


def feet_of(boxes: Float, sizes: Float) -> Float:
    """Returns the rectangles [N, 4] about the lower ends of boxes [N, 4] of people whose heads have these heights."""
    left, _, right, bottom = boxes.T
    return np.stack([left, bottom - _ABOUT[0] * sizes, right, bottom + _ABOUT[1] * sizes], 1)


def floors_of(appearance: Float, boxes: Float, sizes: Float, size: tuple[int, int]) -> Float:
    """Returns what the ground below and beside the feet looks like, [N, 6]; NaN where it is not seen.

    It is the mean of luma and of two chromas, the deviation of luma, and its mean differences across and down, each
    over what it varies by.

    Args:
        appearance: the summed-area tables of `looks_of`.
        boxes: who stands there, [N, 4] in pixels of the picture.
        sizes: the heights of their heads, [N].
        size: width and height of the picture.
    """
    left, _, right, feet = boxes.T
    head = np.maximum(sizes, _LEAST_HEAD * max(size) / max(appearance.shape[1:]))
    parts = [
        (left - 0.25 * head, feet, right + 0.25 * head, feet + _UNDER * head),
        (left - _ASIDE * head, feet - _OVER * head, left, feet),
        (right, feet - _OVER * head, right + _ASIDE * head, feet),
    ]
    totals = sums(appearance, np.stack([np.stack(part, 1) for part in parts], 1), size).sum(2)
    means = totals[:-1] / np.where(totals[-1] >= _LEAST_SEEN, totals[-1], np.nan)
    means[3] = np.sqrt((means[3] - means[0] ** 2).clip(0))
    return np.asarray((means / _VARIES[:, None]).T)


def candidates(subject: Subject, ground: Ground, flips: tuple[bool, ...], scale: float | None = None) -> Candidates:
    """Returns places on a grid, of a given size, or of that which the people there or the object's own picture say."""
    width, height = ground.size
    crowd = ground.crowd
    left, top, right, bottom = subject.anchor
    # How far the object goes beyond the middle of the anchor, in its heights.
    high = bottom - top
    below = (subject.box[3] - (top + bottom) / 2) / high
    tall = (subject.box[3] - subject.box[1]) / high
    columns = (np.arange(_COLUMNS) + 0.5) * width / _COLUMNS
    is_cut = "bottom" in subject.cut
    most = subject.most * high
    grids: list[tuple[Float, Float, Float, Float]] = []

    def add(x: Float, y: Float, size: Float, octaves: Float | float = 0.0) -> None:
        grids.append((x, y, size, np.broadcast_to(octaves, x.shape)))

    def expected(x: Float, y: Float) -> Float:
        return crowd.size_at(x, y, height) if scale is None else np.full(len(x), scale * high)

    def add_at_most(x: Float, y: Float, size: Float) -> None:
        add(x, y, size.clip(max=most), np.log2(size.clip(max=most) / size))

    if len(crowd) and subject.head is not None:
        _, rows = crowd.middles()
        typical = float(np.median(crowd.sizes))
        upright = np.linspace(rows.min() - _ABOVE * typical, rows.max() + _BELOW * typical, _ROWS)
        x, upright_rows = (v.ravel() for v in np.meshgrid(columns, upright))
        y = _row_at(x, upright_rows, crowd)
        add_at_most(x, y, expected(x, y))
        row = np.full(_COLUMNS, height / 2.0)
        all_over = np.full(_COLUMNS, np.inf)
        hides = subject.is_hidden and np.isfinite(off_the_line(crowd, columns, row, all_over, subject.tall)).all()
        for lower in _LOWER if is_cut else ():
            size = np.full(_COLUMNS, typical if scale is None else scale * high)
            for _ in range(3):
                y = height - (below - lower * tall) * size.clip(max=most)
                size = expected(columns, y)
            add_at_most(columns, y, size)
            if lower == 0 and scale is None and not hides:
                line = _row_at(columns, np.median(rows), crowd)
                for nearer in _nearer(size.clip(max=most), (line, height), below):
                    nearer = nearer.clip(max=most)
                    add(columns, height - below * nearer, nearer)
        # Where something hides those who are there, the same may hide the object.
        if hides:
            size = np.full(_COLUMNS, typical if scale is None else scale * high)
            for _ in range(3):
                row = row + off_the_line(crowd, columns, row, all_over, subject.tall)
                y = row - below * size.clip(max=most)
                size = expected(columns, y)
            add_at_most(columns, y, size)
    else:
        for base, lower in [(1.0, lower) for lower in _LOWER] if is_cut else [(base, 0.0) for base in _BASES]:
            fit = (min(_fit(subject, ground.size, base), subject.most) if scale is None else scale) * high
            for factor in _FREE_SIZES if scale is None else (1.0,):
                size = np.full(_COLUMNS, fit * factor)
                row = base * height + lower * tall * size
                add(columns, row - below * size, size, float(np.log2(factor)))
    x, y, size, octaves = (np.concatenate(parts) for parts in zip(*grids))
    many = len(flips)
    return Candidates(
        np.tile(x, many), np.tile(y, many), np.tile(size, many), np.tile(octaves, many), np.repeat(flips, len(x))
    )


def _fit(subject: Subject, size: tuple[int, int], base: float) -> float:
    """Returns how much larger an object becomes where nobody says it.

    Somebody becomes as large as a camera sees them that has their head in the usual row; a thing keeps its size.

    Args:
        subject: the object.
        size: width and height of the picture.
        base: the row that the object ends in, as a share of the height.
    """
    width, height = size
    share = min(height / subject.size[1], width / subject.size[0])
    if any(subject.cut >= pair for pair in OPPOSITE):
        # Only as large as in its own picture both edges are beyond the frame.
        return share
    left, top, right, bottom = subject.box
    full = width / (right - left)
    if subject.head is None:
        return min(share, _LARGEST * height / (bottom - top), _LARGEST * full)
    (_, top, _, bottom), sizes = (subject.head, _HEADS) if "bottom" in subject.cut else (subject.box, _BODIES)
    least, most = (size * height / (bottom - top) for size in sizes)
    below = subject.box[3] - (subject.head[1] + subject.head[3]) / 2
    return float(np.clip((base - _HEAD_ROW) * height / below, min(least, full), most))


def no_larger(subject: Subject, places: Candidates) -> Candidates:
    """Returns those of candidates at which an object is no larger than it may be."""
    left, top, right, bottom = subject.anchor
    return places.taken(np.flatnonzero(places.size <= subject.most * (bottom - top) * (1 + _ROUNDING)))


def usual_size(subject: Subject, ground: Ground, x: float, y: float) -> float:
    """Returns how high the anchor of an object usually is whose middle is at a place of the picture."""
    left, top, right, bottom = subject.anchor
    if len(ground.crowd) and subject.head is not None:
        return float(ground.crowd.size_at(np.array([x]), np.array([y]), ground.size[1])[0])
    return _fit(subject, ground.size, 1.0) * (bottom - top)


def _row_at(x: Float, upright: npt.ArrayLike, crowd: Crowd) -> Float:
    """Returns the rows of the picture at columns x that are these rows upright."""
    angle = np.radians(crowd.roll)
    return np.asarray((upright + x * np.sin(angle)) / np.cos(angle))


def _nearer(size: Float, rows: tuple[Float, float], below: float) -> list[Float]:
    """Returns the heights of heads [N] of somebody nearer than others, who is cut at the bottom, from small to large.

    A camera at the height of eyes sees all heads on one line, whatever their distance.

    Args:
        size: how high the head is as far away as others, [N].
        rows: that line, [N], and the lower edge of the picture.
        below: how many heads the object goes beyond the middle of its own.
    """
    line, height = rows
    octaves = np.log2(np.minimum((height - line) / below, _NEAREST * height).clip(size) / size)
    steps = math.ceil(_AN_OCTAVE * float(octaves.max()))
    return [size * 2 ** (octaves * step / steps) for step in range(1, steps + 1)]


def around(places: Candidates, factors: Sequence[float], steps: Sequence[float], ground: Ground) -> Candidates:
    """Returns candidates again at other sizes, and moved by steps of the grid's columns."""
    step = ground.size[0] / _COLUMNS
    sizes, shifts = (v.ravel() for v in np.meshgrid(factors, steps))
    repeated = places.taken(np.repeat(np.arange(len(places)), len(sizes)))
    sizes, shifts = np.tile(sizes, len(places)), np.tile(shifts, len(places))
    return Candidates(
        repeated.x + shifts * step, repeated.y, repeated.size * sizes, repeated.octaves + np.log2(sizes), repeated.flip
    )


def joined(first: Candidates, second: Candidates) -> Candidates:
    """Returns the candidates of both."""
    return Candidates(*(np.concatenate(pair) for pair in zip(first, second)))


def rectangles(subject: Subject, places: Candidates) -> tuple[Float, Float]:
    """Returns the bands [N, B, 4] and the anchors [N, 4] of an object at places, in pixels of the picture."""
    left, top, right, bottom = subject.anchor
    middle, scale = ((left + right) / 2, (top + bottom) / 2), places.size / (bottom - top)
    every = np.concatenate([subject.bands, [subject.anchor]])
    x0, x1 = every[:, 0] - middle[0], every[:, 2] - middle[0]
    flipped = places.flip[:, None]
    first, last = np.where(flipped, -x1, x0), np.where(flipped, -x0, x1)
    boxes = np.stack(
        [
            places.x[:, None] + scale[:, None] * first,
            places.y[:, None] + scale[:, None] * (every[:, 1] - middle[1]),
            places.x[:, None] + scale[:, None] * last,
            places.y[:, None] + scale[:, None] * (every[:, 3] - middle[1]),
        ],
        2,
    )
    return boxes[:, :-1], boxes[:, -1]


def in_front(ground: Ground, places: Candidates) -> Bools:
    """Returns who stands before an object at places, [P, N]."""
    crowd = ground.crowd
    near = nearness(crowd, places.x, places.y, places.size)
    front = crowd.depth()[:, None] > near + NEARER * places.size
    front[crowd.masked :] = False
    return np.asarray(front)


def terms_of(subject: Subject, ground: Ground, places: Candidates) -> tuple[dict[str, Float], Bools]:
    """Returns the terms of places, each [N], and which places are allowed, [N]: no face covered, the own head seen."""
    width, height = ground.size
    crowd = ground.crowd
    bands, head = rectangles(subject, places)
    areas = (bands[..., 2] - bands[..., 0]) * (bands[..., 3] - bands[..., 1])
    area = areas.sum(1)
    inside = np.clip(bands, 0, [width, height, width, height])
    visible_area = ((inside[..., 2] - inside[..., 0]).clip(0) * (inside[..., 3] - inside[..., 1]).clip(0)).sum(1)
    inside = np.clip(head, 0, [width, height, width, height])
    high, wide = head[:, 3] - head[:, 1], head[:, 2] - head[:, 0]
    head_seen = (inside[:, 2] - inside[:, 0]).clip(0) * (inside[:, 3] - inside[:, 1]).clip(0) / (high * wide)
    terms: dict[str, Float] = {}
    is_allowed = head_seen > 0.85 if subject.head is not None else visible_area > 0.5 * area
    if not len(crowd) or subject.head is None:
        is_allowed &= np.abs(places.octaves) <= _FROM_FIT
    pixels = ground.people.shape[1] - 1, ground.people.shape[2] - 1
    unit = pixels[0] * pixels[1] / (height * width)
    terms["body_overlap"] = terms["hidden"] = np.zeros(len(places))
    if len(crowd):
        front = in_front(ground, places)
        overlaps = sums(ground.people, bands, ground.size).sum(2)
        total = ground.people[:, -1, -1][:, None].clip(1)
        terms["body_overlap"] = np.where(front, 0.0, overlaps / total).max(0)
        # A face is left whole, whoever it belongs to; those in front cover the object instead.
        faces = sums(ground.faces, bands, ground.size).sum(2) / ground.faces[:, -1, -1][:, None].clip(1)
        is_allowed &= np.where(front, 0.0, faces).max(0) <= FACE
        over = sums(ground.people, head, ground.size) / (high * wide * unit)
        terms["hidden"] = np.where(front, over, 0.0).sum(0)
        is_allowed &= terms["hidden"] <= HIDDEN if subject.head is not None else True
    terms["covers"] = np.where(terms["body_overlap"] > _COVERS, 1.0, 0.0)
    terms["behind"] = np.where(terms["hidden"] > FACE, 1.0, 0.0)
    terms["scale"] = (places.octaves / _SPREAD) ** 2
    terms["smaller"] = (-places.octaves).clip(0)
    terms |= _among(subject, ground, places, bands[:, -1, 3])
    terms["ground"] = _unlike(subject, ground, places, bands)
    is_bust = "bottom" in subject.cut and subject.tall <= _BUST
    no_scene = subject.head is not None and not is_bust and ground.standable < _STANDABLE
    terms["no_scene"] = np.full(len(places), float(no_scene))
    terms["sky"] = np.zeros(len(places))
    if subject.head is not None and "bottom" not in subject.cut:
        feet = feet_of(bands[:, -1], high)
        inside = np.clip(feet, 0, [width, height, width, height])
        total = ((inside[:, 2] - inside[:, 0]).clip(0) * (inside[:, 3] - inside[:, 1]).clip(0) * unit).clip(1)
        terms["sky"] = (sums(ground.sky, feet, ground.size)[0] / total).clip(max=1)
    terms["clutter"] = sums(ground.edges, bands, ground.size).sum((0, 2)) / (visible_area * unit).clip(1)
    # Nobody of these can be left in front, nor is it known where their faces are.
    terms["others"] = sums(ground.others, bands, ground.size).sum((0, 2)) / (visible_area * unit).clip(1)
    margin = np.minimum(head[:, 0], width - head[:, 2]) / high
    terms["margin"] = (margin * high / _others_size(subject, ground, high)).clip(0, _FAR)
    terms["border"] = (_MARGIN - np.minimum(margin, head[:, 1] / high)).clip(0, 1)
    terms["off"] = 1 - visible_area / area
    terms["thirds"] = np.minimum(np.abs(places.x / width - 1 / 3), np.abs(places.x / width - 2 / 3))
    left, top, right, bottom = subject.anchor
    terms["resolution"] = np.log2((places.size / (bottom - top) / _SOFT).clip(1))
    terms["light"] = np.abs(np.where(places.flip, -1, 1) * ground.shades[0] - ground.shades[1])
    return terms, is_allowed


def goodness(total: float, among: bool) -> float:
    """Returns how good a place is, 0 to 1: the logistic of what its terms add up to, over that of people's own places.

    Args:
        total: the sum of the terms.
        among: whether the object is a person among people.
    """
    usual = _OWN_PLACE if among else _OWN_PLACE_ALONE
    return 1 / (1 + math.exp(min(usual - total, _EXPONENT)))


def _unlike(subject: Subject, ground: Ground, places: Candidates, bands: Float) -> Float:
    """Returns how unlike what others stand on the ground is that an object stands on at places, [N].

    It is 0 for who does not stand, where nobody is seen to stand, and where the ground is not seen.
    """
    if subject.head is None or "bottom" in subject.cut or not len(ground.floors):
        return np.zeros(len(places))
    boxes = np.stack([bands[..., 0].min(1), bands[:, 0, 1], bands[..., 2].max(1), bands[:, -1, 3]], 1)
    floors = floors_of(ground.appearance, boxes, places.size, ground.size)
    apart = np.abs(floors[:, None] - ground.floors).mean(2).min(1)
    return np.asarray(np.where(np.isnan(apart), 0.0, apart - _LIKE).clip(0, _UNLIKE - _LIKE))


def _among(subject: Subject, ground: Ground, places: Candidates, bottom: Float) -> dict[str, Float]:
    """Returns terms among people, in heads.

    They are how far a head is from the line of the others' heads, how far above theirs the feet are, and how much room
    is beside the head before the next one or the frame.
    """
    crowd = ground.crowd
    terms = dict.fromkeys(("head_line", "high", "room"), np.zeros(len(places)))
    if not len(crowd) or subject.head is None:
        return terms
    columns, rows = crowd.middles()
    x, y = crowd.upright(places.x, places.y)
    line = _line(columns, rows - crowd.sizes / 2, x, places.size, crowd)
    # The tops of the heads of people at one distance are on a line; of somebody nearer the middle of the head is on it.
    unit = _others_size(subject, ground, places.size)
    terms["head_line"] = np.abs((y - unit / 2) - line) / places.size
    beside = (np.abs(x[:, None] - columns) - _WIDE * crowd.sizes).min(1)
    beside = np.minimum(beside, np.minimum(places.x, ground.size[0] - places.x))
    terms["room"] = (beside / unit).clip(0, _ROOM)
    columns, rows, _ = crowd.ground()
    if len(columns) and ("bottom" not in subject.cut or subject.is_hidden):
        x, y = crowd.upright(places.x, bottom)
        terms["high"] = ((_line(columns, rows, x, places.size, crowd) - y) / places.size).clip(0, _OFF)
    return terms


def _others_size(subject: Subject, ground: Ground, size: Float) -> Float:
    """Returns how high a head of a size [N] is at most as far away as others, [N].

    The room beside somebody near who is cut at the bottom is told in such heads: in their own they would have little.
    """
    if not len(ground.crowd) or "bottom" not in subject.cut:
        return size
    return np.minimum(size, _ALIKE * float(np.median(ground.crowd.sizes)))


def _line(columns: Float, rows: Float, x: Float, size: Float, crowd: Crowd) -> Float:
    """Returns the mean row at columns x [N]: of all people, who count less the farther they are.

    size: how high the head of the object is there, [N]: who is near is beside more people than who is far away.
    """
    far = 4 * size.clip(float(np.median(crowd.sizes)))
    weights = np.exp(-0.5 * ((x[:, None] - columns) / far[:, None]) ** 2) + 1e-6
    return np.asarray((weights * rows).sum(1) / weights.sum(1))
