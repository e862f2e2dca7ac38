"""Poses of people: who is in a picture, with 33 points and a mask of each, without a click.

A detector sees the whole picture and tells of each person a box around the head, the middle of the hips, and how far
the person goes from there. The network of landmarks then sees an upright square around each of them. Both are
MediaPipe's, see `_pose_network`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .._images.levels import shares_of
from .._images.sizes import resized
from .._images.threads import check_ended, in_threads
from ._clicks import sigmoid
from ._pose_network import Networks, networks
from .heads import area, both
from .layers import Float32, Pixels

#: The least score of a detection, 0 to 1.
_DETECTED = 0.25
#: The least score of a pose, 0 to 1.
POSED = 0.5
#: Boxes of one person share so much of their union.
_SAME = 0.3
#: For each group of places that the detector looks at: how far they are apart, and how many boxes each tells of.
_PLACES = ((8, 2), (16, 2), (32, 6))
#: The side of the square around a person, in distances from the hips to the farthest end.
_AROUND = 2.5
#: Poses whose noses are nearer than this share of the longer torso are of one person.
_NOSES = 0.3
#: Logits of masks beyond this are as sure as it.
_LOGITS = 20.0
#: How many pixels of the picture become one that the network sees, at most; beyond this the picture is reduced first.
_FINER = 2

#: The number of the point of the nose.
NOSE = 0
#: The numbers of the points of the eyes.
EYES = (2, 5)
#: The numbers of the points of the corners of the mouth.
MOUTH = (9, 10)
#: The numbers of the points of the shoulders.
SHOULDERS = (11, 12)
#: The numbers of the points of the hips.
HIPS = (23, 24)

Float = npt.NDArray[np.float64]


class Square(NamedTuple):
    """A square of a picture: the middle (x, y) and the side in pixels, where the first pixel begins at (0, 0).

    turn: the angle by which it is turned, from x to y.
    """

    x: float
    y: float
    side: float
    turn: float

    def matrix(self, count: int) -> Float:
        """Returns [2, 3], which takes places of a view of so many pixels a side to those of the picture."""
        scale = self.side / count
        cos, sin = math.cos(self.turn) * scale, math.sin(self.turn) * scale
        linear = np.array([[cos, -sin], [sin, cos]])
        start = np.array([self.x, self.y]) - linear @ np.full(2, count / 2)
        return np.concatenate([linear, start[:, None]], 1)


class Pose(NamedTuple):
    """Somebody in a picture.

    Attributes:
        score: how sure it is that somebody is in the square, 0 to 1.
        points: [33, 4]: x and y in pixels, the first pixel begins at (0, 0); how likely each is to be seen and to be in
            the square, 0 to 1.
        square: the part of the picture that was looked at.
        logits: the mask of that part, [S, S].
        detected: how sure the detector is, 0 to 1; 0 where it did not name the square.
    """

    score: float
    points: Float
    square: Square
    logits: Float32
    detected: float

    def place(self, numbers: Sequence[int]) -> Float:
        """Returns the mean (x, y) of some points."""
        return self.points[list(numbers), :2].mean(0)

    @property
    def torso(self) -> float:
        """The distance of the middles of shoulders and hips, in pixels."""
        return float(np.hypot(*(self.place(SHOULDERS) - self.place(HIPS))))

    def mask(self, box: tuple[float, float, float, float], size: tuple[int, int]) -> Float32:
        """Returns the logits of the mask over a box of the picture at a size (width, height), -20 to 20."""
        from PIL import Image

        linear = self.square.matrix(len(self.logits))
        back = np.linalg.inv(linear[:, :2])
        step = np.diag([(box[2] - box[0]) / size[0], (box[3] - box[1]) / size[1]])
        rows = np.concatenate([back @ step, (back @ (np.array(box[:2]) - linear[:, 2]))[:, None]], 1)
        # Pillow puts zeros around an image.
        image = Image.fromarray(self.logits.clip(-_LOGITS, _LOGITS) + np.float32(_LOGITS))
        view = image.transform(size, Image.Transform.AFFINE, rows.ravel().tolist(), Image.Resampling.BILINEAR)
        return np.asarray(view) - np.float32(_LOGITS)

    def has_on_torso(self, point: tuple[float, float]) -> bool:
        """Returns whether a place (x, y) lies between shoulders and hips."""
        ends = self.points[[*SHOULDERS, *reversed(HIPS)], :2] - 0.5
        along, off = np.roll(ends, -1, 0) - ends, np.array(point) - ends
        sides = along[:, 0] * off[:, 1] - along[:, 1] * off[:, 0]
        return bool((sides > 0).all() or (sides < 0).all())

    def covers(self, point: tuple[float, float]) -> bool:
        """Returns whether the mask covers a place (x, y); the middle of the first pixel is (0, 0)."""
        return bool(self.mask((point[0], point[1], point[0] + 1, point[1] + 1), (1, 1))[0, 0] > 0)


class _Detected(NamedTuple):
    """What the detector tells of: a score, the box of a head, and the square around the person."""

    score: float
    values: Float

    @property
    def box(self) -> tuple[float, float, float, float]:
        left, top, right, bottom = self.values[:4].tolist()
        return left, top, right, bottom

    @property
    def square(self) -> Square:
        x, y, end_x, end_y = self.values[4:8].tolist()
        turn = math.pi / 2 - math.atan2(y - end_y, end_x - x)
        side = max(1.0, _AROUND * math.hypot(end_x - x, end_y - y))
        return Square(x, y, side, math.remainder(turn, 2 * math.pi))


class Poses:
    """The poses of a picture [H, W, 3] of uint8; each is looked for when somebody asks first."""

    def __init__(self, picture: Pixels) -> None:
        self._picture = picture
        self._squares: dict[Square, float] | None = None
        self._poses: dict[Square, Pose] = {}
        self._everybody: list[Pose] | None = None

    def everybody(self) -> list[Pose]:
        """Returns the poses of all people, the surest first, each of them once."""
        squares = [*self._detections()]
        if self._everybody is None:
            self._everybody = _distinct(in_threads(self.of, squares))
        return [*self._everybody]

    def at(self, points: Sequence[tuple[float, float]]) -> Pose | None:
        """Returns the surest pose whose mask covers all places (x, y); None where no such person was detected."""
        near = [square for square in self._detections() if all(_inside(square, point) for point in points)]
        poses = [pose for pose in in_threads(self.of, near) if pose.score >= POSED and all(map(pose.covers, points))]
        return max(poses, key=lambda pose: pose.score, default=None)

    def of(self, square: Square) -> Pose:
        """Returns the pose of whoever is in a square."""
        pose = self._poses.get(square)
        if pose is None:
            check_ended()
            detected = self._detections().get(square, 0.0)
            pose = self._poses[square] = _pose(networks(), self._picture, square, detected)
        return pose

    def _detections(self) -> dict[Square, float]:
        """Returns the squares around all people whom the detector tells of, the surest first, with how sure it is."""
        # Whoever asks for the answers of before uses the weights, too, which is noted.
        weights = networks()
        if self._squares is None:
            check_ended()
            self._squares = {one.square: one.score for one in _detected(weights, self._picture)}
        return self._squares


def _distinct(poses: Sequence[Pose]) -> list[Pose]:
    """Returns those of poses that are sure, one for each person, the surest first."""
    people: list[Pose] = []
    for pose in sorted((pose for pose in poses if pose.score >= POSED), key=lambda pose: -pose.score):
        nose = pose.points[NOSE, :2]
        if all(math.dist(nose, one.points[NOSE, :2]) > _NOSES * max(pose.torso, one.torso) for one in people):
            people.append(pose)
    return people


def _inside(square: Square, point: tuple[float, float]) -> bool:
    """Returns whether a place (x, y) is in a square; the middle of the picture's first pixel is (0, 0)."""
    linear = square.matrix(1)
    at = np.linalg.solve(linear[:, :2], np.array(point) + 0.5 - linear[:, 2])
    return bool(((at >= 0) & (at <= 1)).all())


def _detected(both_networks: Networks, picture: Pixels) -> list[_Detected]:
    """Returns whom the detector tells of, the surest first."""
    height, width = picture.shape[:2]
    side = both_networks.detector.side
    factor = side / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    left, top = (side - size[0]) // 2, (side - size[1]) // 2
    # What is beside the picture is black.
    view = np.full((side, side, 3), -1, np.float32)
    view[top : top + size[1], left : left + size[0]] = resized(picture, size) * np.float32(1 / 127.5) - 1
    outputs = both_networks.detector(view)
    detected: list[_Detected] = []
    for (stride, count), boxes, logits in zip(_PLACES, outputs["boxes"], outputs["scores"], strict=True):
        scores = sigmoid(logits.reshape(-1))
        values = boxes.reshape(len(scores), -1, 2).astype(np.float64)
        for i in np.flatnonzero(scores >= _DETECTED).tolist():
            row, column = divmod(i // count, len(boxes))
            middle = (np.array([column, row]) + 0.5) * stride
            # A middle, a size, and points: the first is the middle of the hips, the second the farthest end.
            at, half = values[i, 0] + middle, values[i, 1] / 2
            places = np.stack([at - half, at + half, *(values[i, 2:4] + middle)]) - (left, top)
            detected.append(_Detected(float(scores[i]), (places * (width / size[0], height / size[1])).ravel()))
    return _merged(detected)


def _merged(detected: Sequence[_Detected]) -> list[_Detected]:
    """Returns one for each person: the mean of those that overlap the surest, by their scores."""
    left, people = sorted(detected, key=lambda one: -one.score), []
    while left:
        first = left[0]
        alike = [one is first or _overlap(one.box, first.box) > _SAME for one in left]
        group = [one for one, same in zip(left, alike, strict=True) if same]
        scores = np.array([one.score for one in group])
        values = np.average([one.values for one in group], axis=0, weights=scores)
        people.append(_Detected(first.score, values))
        left = [one for one, same in zip(left, alike, strict=True) if not same]
    return people


def _overlap(first: Sequence[float], second: Sequence[float]) -> float:
    """Returns the share of the union of two boxes that both cover."""
    common = both(first, second)
    union = area(first) + area(second) - common
    return common / union if union > 0 else 0.0


def _pose(both_networks: Networks, picture: Pixels, square: Square, detected: float) -> Pose:
    side = both_networks.landmarks.side
    outputs = both_networks.landmarks(_view(picture, square, side))
    points = outputs["points"][0].reshape(-1, 5)[:33].astype(np.float64)
    matrix = square.matrix(side)
    places = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    points = np.concatenate([places, sigmoid(points[:, 3:].astype(np.float32))], 1)
    return Pose(float(sigmoid(outputs["score"][0]).reshape(())), points, square, outputs["mask"][0][..., 0], detected)


def _view(picture: Pixels, square: Square, side: int) -> Float32:
    """Returns a square of a picture as the network sees it, [S, S, 3] in [0, 1]; black beside the picture."""
    from PIL import Image

    height, width = picture.shape[:2]
    matrix = square.matrix(side)
    every = max(1, int(square.side / side / _FINER))
    ends = matrix[:, :2] @ np.array([[0, side, 0, side], [0, 0, side, side]]) + matrix[:, 2:]
    # Pillow takes a copy of what it is given: it gets the part that the square needs.
    left, top = (
        max(0, min(math.floor(v.min()), end - 1) - every) for v, end in zip(ends, (width, height), strict=True)
    )
    right, bottom = (max(start + 1, math.ceil(v.max()) + every) for v, start in zip(ends, (left, top), strict=True))
    image = Image.fromarray(np.ascontiguousarray(picture[top:bottom, left:right]))
    if every > 1:
        image = image.reduce(every)
    rows = np.concatenate([matrix[:, :2], matrix[:, 2:] - [[left], [top]]], 1) / every
    view = image.transform((side, side), Image.Transform.AFFINE, rows.ravel().tolist(), Image.Resampling.BILINEAR)
    return shares_of(np.asarray(view))
