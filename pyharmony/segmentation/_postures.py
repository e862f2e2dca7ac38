"""Postures: the row of a segmented person's feet, and that of the seat, estimated from the points of a pose.

A silhouette cannot distinguish a child from an adult hidden below the waist by a table, or a sitting person from a
standing one.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from .._arrays import Bools, Pixels, Rectangle
from .._images.region import bounding_box
from .._images.sizes import resized
from ._network import NetworkCutter
from ._poses import EYES, HIPS, MOUTH, POSED, SHOULDERS, Pose, Square
from .heads import rectangle_of
from .layers import iou_of_regions
from .people import MIN_POSE_PEOPLE, among_people, head_around_face, mostly_people

#: The side of the grid on which masks are compared.
_GRID_SIDE = 128
#: The least intersection over union of a pose's mask and another mask with which the pose belongs to that mask.
_POSE_MASK_IOU = 0.4
#: The side of the square around a mask in which a pose is estimated once more, in the mask's longer sides.
_SQUARE = 1.25
# The numbers of points; those of the feet are ankles, heels and toes.
_KNEES = (25, 26)
_FEET = (27, 28, 29, 30, 31, 32)
#: The least score with which a point is visible, 0 to 1.
_MIN_POINT_SCORE = 0.5
#: The largest distance from a mask at which a point belongs to it, in torsos.
_MAX_POINT_DISTANCE = 0.15
#: The largest height of the lowest point of the feet below the end of a mask that ends at the feet, in torsos.
_LACKS = 0.2
#: The largest height of the end of such a mask below that point, where skis are, in torsos.
_MAX_END_BELOW = 0.4
#: The knees of a sitting person are less than so many torsos below the hips. Of 19 people in photos whose knees are
#: visible, two who sit or ride a horse are at 0.07 and 0.48, and 17 who stand, ski or are astride a bicycle from 0.56
#: on; a crouching person counts as sitting.
_SITS = 0.5
#: The least height of the shoulders above the hips of a sitting person, in torsos.
_UPRIGHT = 0.6


class Posture(NamedTuple):
    """The posture of a segmented person, in pixels of the image.

    Attributes:
        head: the rectangle (x, y, width, height) of the head.
        feet: the row below the lowest pixel of a person who is visible down to the feet; None if no foot is in the
            mask, because the image's border or another object hides it.
        seat: the row of the hips of a sitting person; None if the person does not sit or the knees are not visible.

    Example:
        >>> from pyharmony import segmentation
        >>> standing = segmentation.Posture(head=(40.0, 20.0, 30.0, 40.0), feet=320.0, seat=None)
        >>> standing.scaled(0.5).feet
        160.0
    """

    head: Rectangle
    feet: float | None
    seat: float | None

    def scaled(self, factor: float) -> Posture:
        """Returns the posture in an image whose sides are so many times as long.

        Example:
            >>> from pyharmony import segmentation
            >>> segmentation.Posture((4.0, 2.0, 3.0, 4.0), None, 20.0).scaled(2.0)
            Posture(head=(8.0, 4.0, 6.0, 8.0), feet=None, seat=40.0)
        """
        x, y, wide, high = (factor * v for v in self.head)
        feet, seat = (None if row is None else factor * row for row in (self.feet, self.seat))
        return Posture((x, y, wide, high), feet, seat)


def pose_in(cutter: NetworkCutter, mask: Pixels) -> Pose | None:
    """Returns the pose of the person under a mask [h, w] of 0 to 255 of the whole image; None if no pose fits it."""
    if cutter.poses is None:
        return None
    height, width = cutter.picture.shape[:2]
    region = resized(mask, (_GRID_SIDE, _GRID_SIDE)) > 127
    box = bounding_box(region)
    if box.empty:
        return None

    def shared(pose: Pose) -> float:
        return iou_of_regions(pose.mask(cutter.whole, (_GRID_SIDE, _GRID_SIDE)) > 0, region)

    best = max(cutter.poses.all_poses(), key=shared, default=None)
    if best is not None and shared(best) >= _POSE_MASK_IOU and among_people(cutter, best, MIN_POSE_PEOPLE):
        return best
    # The detector misses many people who are small or occluded by others.
    left, right = box.x0 * width / _GRID_SIDE, box.x1 * width / _GRID_SIDE
    top, bottom = box.y0 * height / _GRID_SIDE, box.y1 * height / _GRID_SIDE
    side = _SQUARE * max(right - left, bottom - top)
    near = cutter.poses.of(Square((left + right) / 2, (top + bottom) / 2, side, 0.0))
    is_theirs = near.score >= POSED and shared(near) >= _POSE_MASK_IOU and among_people(cutter, near, MIN_POSE_PEOPLE)
    return near if is_theirs else None


def shows_people(cutter: NetworkCutter, mask: Pixels) -> bool:
    """Returns whether a mask [h, w] of 0 to 255 covers mostly people, by the people map or by a pose."""
    where = cutter.people()
    by_map = mostly_people(where, resized(mask, (where.shape[1], where.shape[0])) > 127)
    return by_map or pose_in(cutter, mask) is not None


def posture_of(cutter: NetworkCutter, mask: Pixels) -> Posture | None:
    """Returns the posture of the person under a mask [h, w] of 0 to 255; None if no pose fits the mask."""
    pose = pose_in(cutter, mask)
    if pose is None:
        return None
    factor = cutter.picture.shape[0] / len(mask)
    inside = mask > 127
    end = bounding_box(inside).y1 * factor
    seat = None
    knees = [i for i in _KNEES if _is_in(pose, i, inside, factor)]
    if knees:
        hips = float(pose.place(HIPS)[1])
        upright = hips - float(pose.place(SHOULDERS)[1]) >= _UPRIGHT * pose.torso
        if upright and pose.place(knees)[1] - hips < _SITS * pose.torso:
            seat = min(hips, end)
    head = rectangle_of(head_around_face(pose.place(EYES), pose.place(MOUTH)))
    return Posture(head, end if _ends_at_feet(pose, inside, end, factor) else None, seat)


def _ends_at_feet(pose: Pose, inside: Bools, end: float, factor: float) -> bool:
    """Returns whether a mask [h, w] that ends at a row of the image ends at visible feet."""
    height = len(inside) * factor
    feet = [i for i in _FEET if pose.points[i, 2] >= _MIN_POINT_SCORE and pose.points[i, 1] < height]
    if not any(_is_in(pose, i, inside, factor) for i in feet):
        return False
    lowest = float(pose.points[feet, 1].max())
    # Toes below the mask are missing from it.
    return lowest - _LACKS * pose.torso <= end <= lowest + _MAX_END_BELOW * pose.torso


def _is_in(pose: Pose, number: int, inside: Bools, factor: float) -> bool:
    """Returns whether a point is visible and in a mask [h, w] or near it; factor: image pixels for each mask pixel."""
    x, y, visible, _ = pose.points[number]
    near = _MAX_POINT_DISTANCE * pose.torso
    high, wide = inside.shape
    if visible < _MIN_POINT_SCORE or not (0 <= x < wide * factor and 0 <= y < high * factor):
        return False
    rows = slice(max(0, int((y - near) / factor)), math.ceil((y + near) / factor) + 1)
    columns = slice(max(0, int((x - near) / factor)), math.ceil((x + near) / factor) + 1)
    return bool(inside[rows, columns].any())
