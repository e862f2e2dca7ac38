"""Poses of people: detects the people of an image and estimates 33 points and a mask of each, without prompts.

A detector runs on the whole image and predicts for each person a box around the head, the middle of the hips, and the
person's extent from there. The network of landmarks then runs on an upright square around each of them. Both are
MediaPipe's, see `_pose_network`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .._arrays import Float32, Float64, Pixels
from .._images.levels import shares_of
from .._images.sizes import block_means, resized
from .._images.threads import check_ended, in_threads
from ._clicks import sigmoid
from ._pose_network import Networks, networks
from .heads import area, both

#: The least score of a detection, 0 to 1.
_DETECTED = 0.25
#: The least score of a pose, 0 to 1.
POSED = 0.5
#: The least intersection over union of boxes of one person.
_SAME_BOX_IOU = 0.3
#: For each grid of anchors of the detector: the distance between them, and the number of boxes at each.
_PLACES = ((8, 2), (16, 2), (32, 6))
#: The side of the square around a person, in distances from the hips to the farthest point of the body.
_SQUARE_SIDE = 2.5
#: Poses whose noses are nearer than this share of the longer torso are of one person.
_NOSES = 0.3
#: The largest absolute logit of a mask.
_LOGITS = 20.0
#: The largest number of image pixels for one pixel of a network's input; beyond it the image is reduced first.
_MAX_REDUCTION = 2

# The numbers of points; those of the mouth are its corners.
NOSE = 0
EYES = (2, 5)
MOUTH = (9, 10)
SHOULDERS = (11, 12)
HIPS = (23, 24)


class Square(NamedTuple):
    """A square of an image: the middle (x, y) and the side in pixels, where the first pixel begins at (0, 0).

    turn: its rotation, from x to y, in radians.
    """

    x: float
    y: float
    side: float
    turn: float

    def matrix(self, count: int) -> Float64:
        """Returns the matrix [2, 3] from places in a view of so many pixels a side to places in the image."""
        scale = self.side / count
        cos, sin = math.cos(self.turn) * scale, math.sin(self.turn) * scale
        linear = np.array([[cos, -sin], [sin, cos]])
        start = np.array([self.x, self.y]) - linear @ np.full(2, count / 2)
        return np.concatenate([linear, start[:, None]], 1)


class Pose(NamedTuple):
    """The pose of a person in an image."""

    score: float  # the confidence that a person is in the square, 0 to 1
    #: [33, 4]: x and y in pixels, the first pixel begins at (0, 0); the likelihoods that the point is visible and that
    #: it is in the square, 0 to 1.
    points: Float64
    square: Square  # the part of the image on which the network ran
    logits: Float32  # the mask of that part, [S, S]
    detected: float  # the detector's confidence, 0 to 1; 0 if the square is not one of its detections

    def place(self, numbers: Sequence[int]) -> Float64:
        """Returns the mean (x, y) of some points."""
        return self.points[list(numbers), :2].mean(0)

    @property
    def torso(self) -> float:
        """The distance of the middles of shoulders and hips, in pixels."""
        return float(np.hypot(*(self.place(SHOULDERS) - self.place(HIPS))))

    def mask(self, box: tuple[float, float, float, float], size: tuple[int, int]) -> Float32:
        """Returns the logits of the mask over a box of the image at a size (width, height), -20 to 20."""
        from PIL import Image

        linear = self.square.matrix(len(self.logits))
        back = np.linalg.inv(linear[:, :2])
        step = np.diag([(box[2] - box[0]) / size[0], (box[3] - box[1]) / size[1]])
        rows = np.concatenate([back @ step, (back @ (np.array(box[:2]) - linear[:, 2]))[:, None]], 1)
        # Pillow fills the outside of an image with zeros.
        image = Image.fromarray(self.logits.clip(-_LOGITS, _LOGITS) + np.float32(_LOGITS))
        view = image.transform(size, Image.Transform.AFFINE, rows.ravel().tolist(), Image.Resampling.BILINEAR)
        return np.asarray(view) - np.float32(_LOGITS)

    def has_on_torso(self, point: tuple[float, float]) -> bool:
        """Returns whether a place (x, y) is between shoulders and hips."""
        ends = self.points[[*SHOULDERS, *reversed(HIPS)], :2] - 0.5
        along, off = np.roll(ends, -1, 0) - ends, np.array(point) - ends
        sides = along[:, 0] * off[:, 1] - along[:, 1] * off[:, 0]
        return bool((sides > 0).all() or (sides < 0).all())

    def covers(self, point: tuple[float, float]) -> bool:
        """Returns whether the mask covers a place (x, y); the middle of the first pixel is (0, 0)."""
        return bool(self.mask((point[0], point[1], point[0] + 1, point[1] + 1), (1, 1))[0, 0] > 0)


class _Detection(NamedTuple):
    """A detected person: a score, the box of the head, and the square around the person."""

    score: float
    values: Float64

    @property
    def box(self) -> tuple[float, float, float, float]:
        left, top, right, bottom = self.values[:4].tolist()
        return left, top, right, bottom

    @property
    def square(self) -> Square:
        x, y, end_x, end_y = self.values[4:8].tolist()
        turn = math.pi / 2 - math.atan2(y - end_y, end_x - x)
        side = max(1.0, _SQUARE_SIDE * math.hypot(end_x - x, end_y - y))
        return Square(x, y, side, math.remainder(turn, 2 * math.pi))


class Poses:
    """The poses of an image [H, W, 3] of uint8, each of them computed at its first use."""

    def __init__(self, picture: Pixels) -> None:
        self._picture = picture
        self._squares: dict[Square, float] | None = None
        self._poses: dict[Square, Pose] = {}
        self._all_poses: list[Pose] | None = None

    def all_poses(self) -> list[Pose]:
        """Returns the poses of all people in falling order of their scores, one for each person."""
        squares = [*self._detections()]
        if self._all_poses is None:
            self._all_poses = _distinct(in_threads(self.of, squares))
        return [*self._all_poses]

    def at(self, points: Sequence[tuple[float, float]]) -> Pose | None:
        """Returns the pose of the highest score whose mask covers all places (x, y); None without any."""
        near = [square for square in self._detections() if all(_inside(square, point) for point in points)]
        poses = [pose for pose in in_threads(self.of, near) if pose.score >= POSED and all(map(pose.covers, points))]
        return max(poses, key=lambda pose: pose.score, default=None)

    def of(self, square: Square) -> Pose:
        """Returns the pose of the person in a square."""
        pose = self._poses.get(square)
        if pose is None:
            check_ended()
            detected = self._detections().get(square, 0.0)
            pose = self._poses[square] = _pose(networks(), self._picture, square, detected)
        return pose

    def _detections(self) -> dict[Square, float]:
        """Returns the squares around all detected people, each with its score, in falling order of the scores."""
        # A call that finds the squares in the cache uses the weights too, and `networks` notes that use.
        weights = networks()
        if self._squares is None:
            check_ended()
            self._squares = {one.square: one.score for one in _detect(weights, self._picture)}
        return self._squares


def _distinct(poses: Sequence[Pose]) -> list[Pose]:
    """Returns the poses with sufficient scores, one for each person, in falling order of the scores."""
    people: list[Pose] = []
    for pose in sorted((pose for pose in poses if pose.score >= POSED), key=lambda pose: -pose.score):
        nose = pose.points[NOSE, :2]
        if all(math.dist(nose, one.points[NOSE, :2]) > _NOSES * max(pose.torso, one.torso) for one in people):
            people.append(pose)
    return people


def _inside(square: Square, point: tuple[float, float]) -> bool:
    """Returns whether a place (x, y) is in a square; the middle of the image's first pixel is (0, 0)."""
    linear = square.matrix(1)
    at = np.linalg.solve(linear[:, :2], np.array(point) + 0.5 - linear[:, 2])
    return bool(((at >= 0) & (at <= 1)).all())


def _detect(both_networks: Networks, picture: Pixels) -> list[_Detection]:
    """Returns the detected people in falling order of their scores."""
    height, width = picture.shape[:2]
    side = both_networks.detector.side
    factor = side / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    left, top = (side - size[0]) // 2, (side - size[1]) // 2
    # The padding around the image is black.
    view = np.full((side, side, 3), -1, np.float32)
    view[top : top + size[1], left : left + size[0]] = resized(picture, size) * np.float32(1 / 127.5) - 1
    outputs = both_networks.detector(view)
    detected: list[_Detection] = []
    for (stride, count), boxes, logits in zip(_PLACES, outputs["boxes"], outputs["scores"], strict=True):
        scores = sigmoid(logits.reshape(-1))
        values = boxes.reshape(len(scores), -1, 2).astype(np.float64)
        for i in np.flatnonzero(scores >= _DETECTED).tolist():
            row, column = divmod(i // count, len(boxes))
            middle = (np.array([column, row]) + 0.5) * stride
            # A middle, a size, and points: the first is the middle of the hips, the second the farthest one.
            at, half = values[i, 0] + middle, values[i, 1] / 2
            places = np.stack([at - half, at + half, *(values[i, 2:4] + middle)]) - (left, top)
            detected.append(_Detection(float(scores[i]), (places * (width / size[0], height / size[1])).ravel()))
    return _merged(detected)


def _merged(detected: Sequence[_Detection]) -> list[_Detection]:
    """Returns one detection for each person: the mean of those that overlap the best one, weighted by their scores."""
    left, people = sorted(detected, key=lambda one: -one.score), []
    while left:
        first = left[0]
        overlaps = [one is first or _overlap(one.box, first.box) > _SAME_BOX_IOU for one in left]
        group = [one for one, same in zip(left, overlaps, strict=True) if same]
        scores = np.array([one.score for one in group])
        values = np.average([one.values for one in group], axis=0, weights=scores)
        people.append(_Detection(first.score, values))
        left = [one for one, same in zip(left, overlaps, strict=True) if not same]
    return people


def _overlap(first: Sequence[float], second: Sequence[float]) -> float:
    """Returns the intersection over union of two boxes."""
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
    """Returns a square of an image as the network's input, [S, S, 3] in [0, 1]; black beyond the image."""
    from PIL import Image

    height, width = picture.shape[:2]
    matrix = square.matrix(side)
    every = max(1, int(square.side / side / _MAX_REDUCTION))
    ends = matrix[:, :2] @ np.array([[0, side, 0, side], [0, 0, side, side]]) + matrix[:, 2:]
    # Only the part that the square needs is reduced.
    sides = zip(ends, (width, height), strict=True)
    left, top = (max(0, min(math.floor(v.min()), end - 1) - every) for v, end in sides)
    right, bottom = (max(start + 1, math.ceil(v.max()) + every) for v, start in zip(ends, (left, top), strict=True))
    image = Image.fromarray(block_means(picture[top:bottom, left:right], every))
    rows = np.concatenate([matrix[:, :2], matrix[:, 2:] - [[left], [top]]], 1) / every
    view = image.transform((side, side), Image.Transform.AFFINE, rows.ravel().tolist(), Image.Resampling.BILINEAR)
    return shares_of(np.asarray(view))
