"""Candidates for placements, and the terms of their scores, as sums over rectangles by summed-area tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .._arrays import Bools, Float64, Pixels
from ..reference.luma import LUMA
from ..segmentation.surroundings import Surroundings
from ._crowd import MIN_NEARER_HEADS, Crowd, off_the_line
from .subject import OPPOSITE, Subject

#: The number of columns of the grid of candidates, for the middle of the head.
_COLUMNS = 48
#: The number of its rows.
_ROWS = 14
#: The extent of the rows above the existing heads, in heads.
_HEADS_ABOVE = 1.3
#: Their extent below them, in heads.
_HEADS_BELOW = 1.8
#: The factors of the size that are tried, relative to the one that is expected among the people.
RESIZED = (0.595, 0.707, 0.841, 1.0, 1.189, 1.414, 1.682)
#: The finer factors of the size that are tried near a candidate, ...
FINER_SIZES = (0.87, 0.93, 1.0, 1.07, 1.15)
#: ... and the shifts, in steps of the columns.
SHIFTS = (-0.33, 0.0, 0.33)
#: The factors of the size that are tried in a background without people.
_FREE_SIZES = (0.7, 0.85, 1.0, 1.15)
#: The rows of feet that are tried there, as shares of the height, and those of a thing's base in addition.
_BASES, _THING_BASES = (0.72, 0.8, 0.86, 0.91, 0.95, 0.98), (0.46, 0.56, 0.65)
#: The least and greatest height of a thing there, and its greatest width, as shares of the image's sides: nobody would
#: see a smaller one; the same of people who are whole, and of the heads of others.
_THING_SHARES, _BODIES, _HEADS = (0.035, 0.85), (1 / 3, 2 / 3), (1 / 6, 0.4)
#: The row of a person's head there: the median in `tools/annotations/heads.json` is 0.29 for 64 people cropped at the
#: bottom and 0.26 for 35 who are whole.
_HEAD_ROW = 0.3
#: The greatest height and width of an object of unknown size, as shares of those of the image.
_MAX_OBJECT_SHARE = 0.5
#: The largest deviation from any of these sizes, in octaves.
_FROM_FIT = 1.5
#: The shares of the visible part of a person cropped at the bottom that may be beyond the lower border.
_BEYOND_BORDER_SHARES = (0.0, 0.12, 0.25, 0.4)
#: The number of sizes per octave that are tried for a person near the camera, cropped at the bottom.
_AN_OCTAVE = 4
#: The greatest height of the head of such a person, as a share of the image's height.
_MAX_HEAD_SHARE = 1 / 3
#: The largest share of a face that may be covered.
FACE = 0.02
#: The largest share of the object's head that may be occluded.
HIDDEN = 0.3
#: The least likelihood that people could stand in the scene, see `Session.standable`: of photos of train 93 of 100 in
#: which they could are above it, and 3 of 100 others (`tools/scenes.py`). Placing a tiny person on a desk is worse than
#: an unnecessary reason.
_STANDABLE = 0.6
#: The least covered share of a person with which the term `covers` counts.
_COVERS = 0.05
#: The standard deviation of the size of heads about the one that is expected at their row, in octaves, and of things.
_SPREAD, _THING_SPREAD = 0.15, 0.35
#: The largest value of the height above the line of the others' feet, in heads.
_MAX_FEET_OFFSET = 2.5
#: The largest value of the distance from the left and right border, in heads.
_MAX_MARGIN_HEADS = 3.0
#: The half width of a head, in its heights.
_HALF_HEAD_WIDTH = 0.4
#: The largest value of the room next to a head, in heads.
_ROOM = 2.5
#: The largest height of the heads of people at the same distance, in heights of the median head.
_MAX_HEAD_RATIO = 1.5
#: The scale above which an object is blurred.
_MAX_SHARP_SCALE = 1.5
#: The relative tolerance of the largest size.
_ROUNDING = 1e-9
#: The largest exponent whose exponential is computed.
_EXPONENT = 700.0
#: The least distance of a head from the border, in its heights.
_MARGIN = 0.15
#: The extent below the feet of the region of ground under a standing person, in heads.
_GROUND_BELOW_HEADS = 1.2
#: Its extent above the feet, in heads.
_GROUND_ABOVE_HEADS = 0.5
#: Its extent to each side of the feet, in heads.
_GROUND_SIDE_HEADS = 1.5
#: The least height of a head by which this is measured, in pixels of the small image.
_MIN_HEAD_PIXELS = 3.0
#: The least visible area of the ground, in pixels of the small image.
_MIN_GROUND_PIXELS = 4.0
#: The matrix from red, green and blue to luma and two opponent chromas; and the standard deviations of the ground under
#: people in these, in the deviation of luma, and in its differences across and down, between people in the photos of
#: `tools/annotations/heads.json` whose split is train.
_OPPONENT = np.array([LUMA, [0.5, -0.5, 0.0], [0.25, 0.25, -0.5]])
_VARIES = np.array([48.0, 12.0, 16.7, 17.1, 3.7, 4.4])
#: Larger differences of luma are clipped: shoes and shadows have edges, too.
_STEP = 32.0
#: The largest distance from the most similar ground of others without a penalty, as the mean of the six in these
#: deviations: of 217 people there three quarters are below 0.46 and one in thirty is above 1.2, of random places
#: of their size near them half are above 0.54.
_FREE_GROUND_DISTANCE = 0.5
#: The distance from which on the penalty does not grow.
_MAX_GROUND_DISTANCE = 1.5

#: A person of so many heads or fewer who is cropped at the bottom fits any background; all others have to stand in the
#: scene.
_BUST = 3.8

#: The weights of the terms for a person among people: learned from half of the layouts of real photos of
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
#: Weights that were set by hand, since synthetic scenes do not determine them. That of the ground is a little less than
#: the -1.7 of a logistic regression between people of the photos of `_VARIES` and random places near them.
MANUAL_WEIGHTS = {"ground": -1.4, "resolution": -1.0, "light": -0.5, "others": -6.0, "surface": -3.0, "no_scene": -3.0}
#: The weights in a background without people, or for an object that is not a person.
WEIGHTS_WITHOUT_PEOPLE = {
    "body_overlap": -3.0,
    "hidden": -2.0,
    "scale": -1.0,
    "thirds": -2.0,
    "clutter": -1.5,
    "border": -2.0,
    "off": -3.0,
}

#: The median of the sum of terms at people's own places in photos: of 89 among others, in the layouts from which the
#: weights are learned.
_OWN_PLACE = 0.0
#: The same for 151 people who are alone, in the photos of `tools/annotations/heads.json` whose split is train, each at
#: the usual size.
_OWN_PLACE_ALONE = -0.75


class Candidates(NamedTuple):
    """Candidates for placements, each field an array [N]: the middle of the anchor (the head or the whole object), its
    height, the deviation of its size from the expected one in octaves, and whether it is mirrored."""

    x: Float64
    y: Float64
    size: Float64
    octaves: Float64
    flip: Bools

    def __len__(self) -> int:
        return len(self.x)

    def select(self, index: npt.NDArray[np.intp]) -> Candidates:
        x, y, size, octaves, flip = self
        return Candidates(x[index], y[index], size[index], octaves[index], flip[index])


class Ground(NamedTuple):
    """The background: its size and people; tables of their masks, their faces, edges, other people and the appearance
    of the background without people, at a smaller size; the appearance of the ground under the people, [F, 6]; what it
    shows; and the likelihood that people could stand in the scene, 0 to 1."""

    size: tuple[int, int]
    crowd: Crowd
    people: Float64
    faces: Float64
    edges: Float64
    others: Float64
    appearance: Float64
    floors: Float64
    shades: tuple[float, float]
    surroundings: Surroundings
    standable: float = 1.0


def table_of(planes: npt.NDArray[np.generic]) -> Float64:
    """Returns the summed-area tables [P, h + 1, w + 1] of planes [P, h, w]."""
    table = np.zeros((len(planes), planes.shape[1] + 1, planes.shape[2] + 1))
    table[:, 1:, 1:] = planes.astype(np.float64).cumsum(1).cumsum(2)
    return table


def sums(table: Float64, rectangles: Float64, size: tuple[int, int]) -> Float64:
    """Returns sums [P, …] over rectangles […, 4] in pixels of an image of a size; beyond it values are 0."""
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


def appearance_of(small: Pixels, people: Bools) -> Float64:
    """Returns the planes [7, h, w] by which pieces of ground of a small image [h, w, 3] are compared, 0 on people.

    They are luma and two opponent chromas, the square of luma, its differences across and down, and 1.
    """
    colours = small.astype(np.float64) @ _OPPONENT.T
    luma = colours[..., 0]
    across, down = np.zeros((2, *luma.shape))
    across[:, 1:-1], down[1:-1] = np.abs(luma[:, 2:] - luma[:, :-2]) / 2, np.abs(luma[2:] - luma[:-2]) / 2
    planes = [*np.moveaxis(colours, 2, 0), luma**2, across.clip(0, _STEP), down.clip(0, _STEP), np.ones_like(luma)]
    return np.stack(planes) * ~people


def floors_of(appearance: Float64, boxes: Float64, sizes: Float64, size: tuple[int, int]) -> Float64:
    """Returns the appearance of the ground below and beside the feet of people, [N, 6]; NaN if it is not visible.

    It is the mean of luma and of two chromas, the deviation of luma, and its mean differences across and down, each
    divided by its standard deviation between people.

    appearance: the summed-area tables of `appearance_of`.
    boxes, sizes: the boxes of standing people, [N, 4], and the heights of their heads, [N], in pixels of the image.
    """
    left, _, right, feet = boxes.T
    head = np.maximum(sizes, _MIN_HEAD_PIXELS * max(size) / max(appearance.shape[1:]))
    parts = [
        (left - 0.25 * head, feet, right + 0.25 * head, feet + _GROUND_BELOW_HEADS * head),
        (left - _GROUND_SIDE_HEADS * head, feet - _GROUND_ABOVE_HEADS * head, left, feet),
        (right, feet - _GROUND_ABOVE_HEADS * head, right + _GROUND_SIDE_HEADS * head, feet),
    ]
    totals = sums(appearance, np.stack([np.stack(part, 1) for part in parts], 1), size).sum(2)
    means = totals[:-1] / np.where(totals[-1] >= _MIN_GROUND_PIXELS, totals[-1], np.nan)
    means[3] = np.sqrt((means[3] - means[0] ** 2).clip(0))
    return np.asarray((means / _VARIES[:, None]).T)


def candidates(subject: Subject, ground: Ground, flips: tuple[bool, ...], scale: float | None = None) -> Candidates:
    """Returns candidates on a grid, of a given size, or of the size expected from the people or the object's photo."""
    width, height = ground.size
    crowd = ground.crowd
    left, top, right, bottom = subject.anchor
    # The extent of the object below the middle of the anchor, in the anchor's heights.
    high = bottom - top
    below = (subject.box[3] - (top + bottom) / 2) / high
    tall = (subject.box[3] - subject.box[1]) / high
    columns = (np.arange(_COLUMNS) + 0.5) * width / _COLUMNS
    is_cut = "bottom" in subject.cut
    most = subject.most * high
    grids: list[tuple[Float64, Float64, Float64, Float64]] = []

    def add(x: Float64, y: Float64, size: Float64, octaves: Float64 | float = 0.0) -> None:
        grids.append((x, y, size, np.broadcast_to(octaves, x.shape)))

    def expected(x: Float64, y: Float64) -> Float64:
        return crowd.size_at(x, y, height) if scale is None else np.full(len(x), scale * high)

    def add_at_most(x: Float64, y: Float64, size: Float64) -> None:
        add(x, y, size.clip(max=most), np.log2(size.clip(max=most) / size))

    if len(crowd) and subject.head is not None:
        _, rows = crowd.middles()
        typical = float(np.median(crowd.sizes))
        upright = np.linspace(rows.min() - _HEADS_ABOVE * typical, rows.max() + _HEADS_BELOW * typical, _ROWS)
        x, upright_rows = (v.ravel() for v in np.meshgrid(columns, upright))
        y = _row_at(x, upright_rows, crowd)
        add_at_most(x, y, expected(x, y))
        row = np.full(_COLUMNS, height / 2.0)
        all_over = np.full(_COLUMNS, np.inf)
        hides = subject.is_hidden and np.isfinite(off_the_line(crowd, columns, row, all_over, subject.tall)).all()
        for lower in _BEYOND_BORDER_SHARES if is_cut else ():
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
        # An object that occludes the people there may occlude the new one, too.
        if hides:
            size = np.full(_COLUMNS, typical if scale is None else scale * high)
            for _ in range(3):
                row = row + off_the_line(crowd, columns, row, all_over, subject.tall)
                y = row - below * size.clip(max=most)
                size = expected(columns, y)
            add_at_most(columns, y, size)
    else:
        bases = _BASES if subject.head is not None else _BASES + _THING_BASES
        for base, lower in (
            [(1.0, lower) for lower in _BEYOND_BORDER_SHARES] if is_cut else [(base, 0.0) for base in bases]
        ):
            usual = _usual(subject, ground, columns, base) if scale is None else np.full(_COLUMNS, scale * high)
            shares = _THING_SHARES if subject.head is None else _HEADS if is_cut else _BODIES
            least, greatest = (share * height / (1.0 if is_cut else tall) for share in shares)
            fit = usual.clip(min(least, most), min(greatest, most)) if scale is None else usual
            for factor in _FREE_SIZES if scale is None else (1.0,):
                size = fit * factor
                row = base * height + lower * tall * size
                add(columns, row - below * size, size, np.log2(size / (usual if subject.head is None else fit)))
    x, y, size, octaves = (np.tile(np.concatenate(parts), len(flips)) for parts in zip(*grids))
    return Candidates(x, y, size, octaves, np.repeat(flips, len(x) // len(flips)))


def _usual(subject: Subject, ground: Ground, x: Float64, base: float) -> Float64:
    """Returns the usual heights [N] of an object's anchor in a background without people, with the base in columns x.

    A person has the head in the usual row, and a thing the height of its kind; others keep the size in their own photo.

    base: the row of the object's lower end, as a share of the height.
    """
    width, height = ground.size
    left, top, right, bottom = subject.anchor
    share = min(height / subject.size[1], width / subject.size[0])
    if any(subject.cut >= pair for pair in OPPOSITE) or not subject.thing.heads:
        # Opposite edges are outside of the background only at the size that the object has in its own photo.
        if not any(subject.cut >= pair for pair in OPPOSITE):
            sides = subject.box[2] - subject.box[0], subject.box[3] - subject.box[1]
            share = min(share, *(_MAX_OBJECT_SHARE * side / own for side, own in zip(ground.size, sides)))
        return np.full(len(x), share * (bottom - top))
    if subject.head is not None:  # the scale of the scene was no better, by the eye
        return np.full(len(x), (base - _HEAD_ROW) * height * (bottom - top) / (subject.box[3] - (top + bottom) / 2))
    size = subject.thing.heads * height * ground.surroundings.head_at(x / width, np.full(len(x), base))
    return np.minimum(size, _THING_SHARES[1] * width * (bottom - top) / (subject.box[2] - subject.box[0]))


def no_larger(subject: Subject, places: Candidates) -> Candidates:
    """Returns the candidates at which an object is not larger than its largest scale."""
    left, top, right, bottom = subject.anchor
    return places.select(np.flatnonzero(places.size <= subject.most * (bottom - top) * (1 + _ROUNDING)))


def usual_size(subject: Subject, ground: Ground, x: float, y: float, base: float) -> float:
    """Returns the usual height of an object's anchor whose middle is at a place of the background, its end in a row."""
    if len(ground.crowd) and subject.head is not None:
        return float(ground.crowd.size_at(np.array([x]), np.array([y]), ground.size[1])[0])
    return float(_usual(subject, ground, np.array([x]), base / ground.size[1])[0])


def _row_at(x: Float64, upright: npt.ArrayLike, crowd: Crowd) -> Float64:
    """Returns the rows of the image at columns x that have the given rows in the upright image."""
    angle = np.radians(crowd.roll)
    return np.asarray((upright + x * np.sin(angle)) / np.cos(angle))


def _nearer(size: Float64, rows: tuple[Float64, float], below: float) -> list[Float64]:
    """Returns heights of heads [N] of a person nearer than others and cropped at the bottom, from small to large.

    A camera at eye level has all heads on one line, at any distance. rows: that line, [N], and the lower border.
    size: the height of the head at the distance of the others, [N].
    below: the extent of the object below the middle of its head, in heads.
    """
    line, height = rows
    octaves = np.log2(np.minimum((height - line) / below, _MAX_HEAD_SHARE * height).clip(size) / size)
    steps = math.ceil(_AN_OCTAVE * float(octaves.max()))
    return [size * 2 ** (octaves * step / steps) for step in range(1, steps + 1)]


def around(places: Candidates, factors: Sequence[float], steps: Sequence[float], ground: Ground) -> Candidates:
    """Returns copies of candidates at other sizes, shifted by steps of the grid's columns."""
    step = ground.size[0] / _COLUMNS
    sizes, shifts = (v.ravel() for v in np.meshgrid(factors, steps))
    repeated = places.select(np.repeat(np.arange(len(places)), len(sizes)))
    sizes, shifts = np.tile(sizes, len(places)), np.tile(shifts, len(places))
    octaves = repeated.octaves + np.log2(sizes)
    return Candidates(repeated.x + shifts * step, repeated.y, repeated.size * sizes, octaves, repeated.flip)


def joined(first: Candidates, second: Candidates) -> Candidates:
    """Returns the concatenation of both groups of candidates."""
    return Candidates(*(np.concatenate(pair) for pair in zip(first, second)))


def rectangles(subject: Subject, places: Candidates) -> tuple[Float64, Float64]:
    """Returns the bands [N, B, 4] and the anchors [N, 4] of an object at candidates, in pixels of the background."""
    left, top, right, bottom = subject.anchor
    middle, scale = ((left + right) / 2, (top + bottom) / 2), places.size / (bottom - top)
    every = np.concatenate([subject.bands, [subject.anchor]])
    x0, x1 = every[:, 0] - middle[0], every[:, 2] - middle[0]
    flipped = places.flip[:, None]
    first, last = np.where(flipped, -x1, x0), np.where(flipped, -x0, x1)
    x, y, scale = places.x[:, None], places.y[:, None], scale[:, None]
    rows = every[:, 1] - middle[1], every[:, 3] - middle[1]
    boxes = np.stack([x + scale * first, y + scale * rows[0], x + scale * last, y + scale * rows[1]], 2)
    return boxes[:, :-1], boxes[:, -1]


def in_front(ground: Ground, places: Candidates) -> Bools:
    """Returns which people are in front of an object at candidates, [P, N]."""
    crowd = ground.crowd
    near = crowd.depth_at(places.x, places.y, places.size)
    front = crowd.depth()[:, None] > near + MIN_NEARER_HEADS * places.size
    front[crowd.masked :] = False
    return np.asarray(front)


def terms_of(subject: Subject, ground: Ground, places: Candidates) -> tuple[dict[str, Float64], Bools]:
    """Returns the terms of candidates, each [N], and whether they keep the rules about faces and the head, [N]."""
    width, height = ground.size
    crowd = ground.crowd
    bands, head = rectangles(subject, places)
    area = ((bands[..., 2] - bands[..., 0]) * (bands[..., 3] - bands[..., 1])).sum(1)
    visible_area = _visible_areas(bands, ground.size).sum(1)
    high, wide = head[:, 3] - head[:, 1], head[:, 2] - head[:, 0]
    head_seen = _visible_areas(head, ground.size) / (high * wide)
    terms: dict[str, Float64] = {}
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
        # Faces of people behind the object must stay visible; people in front of it may cover the object instead.
        faces = sums(ground.faces, bands, ground.size).sum(2) / ground.faces[:, -1, -1][:, None].clip(1)
        is_allowed &= np.where(front, 0.0, faces).max(0) <= FACE
        over = sums(ground.people, head, ground.size) / (high * wide * unit)
        terms["hidden"] = np.where(front, over, 0.0).sum(0)
        is_allowed &= terms["hidden"] <= HIDDEN if subject.head is not None else True
    terms["covers"] = np.where(terms["body_overlap"] > _COVERS, 1.0, 0.0)
    terms["behind"] = np.where(terms["hidden"] > FACE, 1.0, 0.0)
    terms["scale"] = (places.octaves / (_THING_SPREAD if subject.head is None else _SPREAD)) ** 2
    terms["smaller"] = (-places.octaves).clip(0)
    terms |= _among(subject, ground, places, bands[:, -1, 3])
    terms["ground"] = _unlike(subject, ground, places, bands)
    is_bust = "bottom" in subject.cut and subject.tall <= _BUST
    no_scene = subject.head is not None and not is_bust and ground.standable < _STANDABLE
    terms["no_scene"] = np.full(len(places), float(no_scene))
    terms["surface"] = _surface(subject, ground, bands[:, -1])
    terms["clutter"] = sums(ground.edges, bands, ground.size).sum((0, 2)) / (visible_area * unit).clip(1)
    # These people have neither masks to be put in front nor known faces.
    terms["others"] = sums(ground.others, bands, ground.size).sum((0, 2)) / (visible_area * unit).clip(1)
    margin = np.minimum(head[:, 0], width - head[:, 2]) / high
    terms["margin"] = (margin * high / _others_size(subject, ground, high)).clip(0, _MAX_MARGIN_HEADS)
    terms["border"] = (_MARGIN - np.minimum(margin, head[:, 1] / high)).clip(0, 1)
    terms["off"] = 1 - visible_area / area
    terms["thirds"] = np.minimum(np.abs(places.x / width - 1 / 3), np.abs(places.x / width - 2 / 3))
    left, top, right, bottom = subject.anchor
    terms["resolution"] = np.log2((places.size / (bottom - top) / _MAX_SHARP_SCALE).clip(1))
    terms["light"] = np.abs(np.where(places.flip, -1, 1) * ground.shades[0] - ground.shades[1])
    return terms, is_allowed


def _surface(subject: Subject, ground: Ground, ends: Float64) -> Float64:
    """Returns how likely the lower ends [N, 4] of an object are on nothing on which it can stand, [N], 0 to 1.

    Where others stand people can stand, and what flies or is cropped at the bottom stands nowhere.
    """
    if "bottom" in subject.cut or not subject.thing.surfaces:
        return np.zeros(len(ends))
    width, height = ground.size
    x, y = (ends[:, 0] + ends[:, 2]) / (2 * width), ends[:, 3] / height
    if subject.head is None:
        return 1 - ground.surroundings.share_at(x, y, subject.thing.surfaces)
    boxes, _ = ground.crowd.standing(ground.size)
    feet = (boxes[:, 0] + boxes[:, 2]) / (2 * width), boxes[:, 3] / height
    own, taken = (ground.surroundings.share_at(*at, ("sky", "water")) for at in ((x, y), feet))
    return (own - taken.max(initial=0)).clip(0)


def _visible_areas(boxes: Float64, size: tuple[int, int]) -> Float64:
    """Returns the areas of the parts of boxes [..., 4] inside an image of a size (width, height)."""
    inside = np.clip(boxes, 0, [*size, *size])
    return np.asarray((inside[..., 2] - inside[..., 0]).clip(0) * (inside[..., 3] - inside[..., 1]).clip(0))


def goodness(total: float, among: bool) -> float:
    """Returns the score of a placement, 0 to 1: the logistic of its sum of terms, relative to people's own places.

    among: whether the object is a person among people.
    """
    usual = _OWN_PLACE if among else _OWN_PLACE_ALONE
    return 1 / (1 + math.exp(min(usual - total, _EXPONENT)))


def _unlike(subject: Subject, ground: Ground, places: Candidates, bands: Float64) -> Float64:
    """Returns how far the ground under an object differs from that under the most similar other person, [N].

    It is 0 for an object that does not stand, without other standing people, and for ground that is not visible.
    """
    if subject.head is None or "bottom" in subject.cut or not len(ground.floors):
        return np.zeros(len(places))
    boxes = np.stack([bands[..., 0].min(1), bands[:, 0, 1], bands[..., 2].max(1), bands[:, -1, 3]], 1)
    floors = floors_of(ground.appearance, boxes, places.size, ground.size)
    apart = np.abs(floors[:, None] - ground.floors).mean(2).min(1)
    return np.asarray(
        np.where(np.isnan(apart), 0.0, apart - _FREE_GROUND_DISTANCE).clip(
            0, _MAX_GROUND_DISTANCE - _FREE_GROUND_DISTANCE
        )
    )


def _among(subject: Subject, ground: Ground, places: Candidates, bottom: Float64) -> dict[str, Float64]:
    """Returns the terms of a person among people, in heads.

    They are the distance of the head from the line of the others' heads, the height of the feet above theirs, and the
    free distance from the head to the next one or the border.
    """
    crowd = ground.crowd
    terms = dict.fromkeys(("head_line", "high", "room"), np.zeros(len(places)))
    if not len(crowd) or subject.head is None:
        return terms
    columns, rows = crowd.middles()
    x, y = crowd.upright(places.x, places.y)
    line = _line(columns, rows - crowd.sizes / 2, x, places.size, crowd)
    # Heads at one distance have their tops on a line; that of a nearer person has its middle on it.
    unit = _others_size(subject, ground, places.size)
    terms["head_line"] = np.abs((y - unit / 2) - line) / places.size
    beside = (np.abs(x[:, None] - columns) - _HALF_HEAD_WIDTH * crowd.sizes).min(1)
    beside = np.minimum(beside, np.minimum(places.x, ground.size[0] - places.x))
    terms["room"] = (beside / unit).clip(0, _ROOM)
    columns, rows, _ = crowd.ground()
    if len(columns) and ("bottom" not in subject.cut or subject.is_hidden):
        x, y = crowd.upright(places.x, bottom)
        terms["high"] = ((_line(columns, rows, x, places.size, crowd) - y) / places.size).clip(0, _MAX_FEET_OFFSET)
    return terms


def _others_size(subject: Subject, ground: Ground, size: Float64) -> Float64:
    """Returns the heights of heads [N], limited for a person near the camera to those at the others' distance.

    The room next to such a person, who is cropped at the bottom, is measured in these: in own heads it would be small.
    """
    if not len(ground.crowd) or "bottom" not in subject.cut:
        return size
    return np.minimum(size, _MAX_HEAD_RATIO * float(np.median(ground.crowd.sizes)))


def _line(columns: Float64, rows: Float64, x: Float64, size: Float64, crowd: Crowd) -> Float64:
    """Returns the mean row of all people at columns x [N], weighted by a Gaussian of their distances.

    size: the height of the object's head there, [N]: the weights of a nearer person are wider.
    """
    far = 4 * size.clip(float(np.median(crowd.sizes)))
    weights = np.exp(-0.5 * ((x[:, None] - columns) / far[:, None]) ** 2) + 1e-6
    return np.asarray((weights * rows).sum(1) / weights.sum(1))
