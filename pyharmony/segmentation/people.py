"""People: instance segmentation of the people in an image, with a box for each person and one for the head.

The network predicts in one pass where heads are, their sizes, and the extents of the people (`networks.models.clicks`,
`Clicks.heads`). Clicks at the head and the chest, which are generated here, then segment each person, in a box of that
extent. If the cutter has poses (`_poses`), their masks refine those of people, and people are also detected by a pose
without a head.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .._arrays import Bools, Box, Float32, Float64, Pixels
from .._images.planes import connected_parts, gaussian, grown
from .._images.region import Region
from .._images.sizes import resized
from .._images.threads import in_threads
from ..ops.distance import distance_inside
from ..reference.luma import LUMA
from ._clicks import sigmoid
from ._network import NetworkCutter, Prompts, distinct, limited
from ._poses import EYES, MOUTH, NOSE, POSED, Pose, Square
from .heads import FAINT, Head, both, corners, rectangle_of
from .layers import Layer, around_both, box_of, connected, covered, iou, sampled, value_at

__all__ = ["SURE", "around_person", "head_in", "head_of", "least_sure"]

#: The least confidence of the head of a person: in the photos of groups of `benchmarks/layouts.json` 0.4 detects one
#: more head of 163, and five more false ones.
SURE = 0.42
#: Masks belong to one person if they share at least so much of the smaller one.
_SAME_PERSON_SHARE = 0.6
#: The side of the grid on which masks are compared.
_GRID_SIDE = 128
#: The value of the map of people above which people are there, 0 to 1.
_PEOPLE = 0.5
#: The least depth of a region of people without a mask, in the mask's longer sides.
_MIN_REGION_DEPTH = 0.025
#: The largest number of heads among which the foremost is chosen, the largest first.
_COMPARED = 8
#: The least size of the foremost head, as a share of that of the largest one.
_MIN_FOREMOST_SIZE = 0.3
#: The blur in pixels up to which a face is in focus: most are below it in photos of 640 pixels.
_FOCUSED = 1.25
#: The exponent of the ratio of the sharpest face's blur to that of a face, by which its size is multiplied.
_UNFOCUSED = 4
#: The least side of a face whose blur is estimated, in pixels, and its half axes, as shares of the head's sides.
_FACE_SIDE, _IN_FACE = 8, 0.42
#: The least slope of an edge, in levels for each pixel, the least number of them, and the quantile of their ratios.
_MIN_EDGE_SLOPE, _MIN_EDGES, _RATIO_QUANTILE = 2.5, 12, 0.7
#: The height of a person whom the lower border hardly crops, in heads.
_UNCROPPED_HEADS = 6.0
#: The share of a person whom the border at a side may crop.
_SIDE_CROP_SHARE = 0.6
#: The width of the half-covered rim of a person's mask, in pixels of the mask.
_MASK_RIM_PIXELS = 2
#: The exponent of a mask's area in the ranking of masks, for scores of the network.
_AREA_EXPONENT = 0.5
#: The exponent of a mask's area in the ranking of masks, for expected intersections over union.
RATED = 0.1
#: The logits of the network's mask are clipped at this value, and divided by it.
_MAX_OWN_LOGIT = 3.0
#: The logits of the masks of poses are clipped at this value, and divided by it.
_POSES = 4.0
#: The weights of both in their sum: the network's, and those of poses.
_WEIGHTS = 1.0, 1.4
#: The factor of that sum in the logit of the result.
_LOGITS = 3.0
#: The least mean of the people map in a pose's mask with which the pose is used.
MIN_POSE_PEOPLE = 0.2
#: The least mean of the people map in a pose's mask with which the pose is that of a person without a head.
_MIN_NEW_POSE_PEOPLE = 0.3
#: The likelihood that people could stand in a scene below which it may be a close-up of objects.
_NEAR_VIEW = 0.35
#: The least mean of the people map in the mask of a pose without a head in such an image.
_MIN_NEAR_VIEW_PEOPLE = 0.5
#: The least score of a detection that needs no people map: poses are found in 2 of 188 photos without people.
_MIN_DETECTION_SCORE = 0.9
#: The least share of the image in which the people map alone is a detection of a person.
_MIN_PEOPLE_SHARE = 0.02
#: The least mean of the people map there.
_MIN_PEOPLE_MEAN = 0.8
#: The least confidence of the head of a person whose part a mask may be.
_PLAIN_HEAD = 0.3
#: The least share of a part that is in the mask of the whole person; it covers less than this share of that mask.
_PART = 0.85
#: The side of the square around a mask in which a pose is estimated, in the mask's longer sides.
_SQUARE = 1.25
#: The largest distance of a pose's nose from the middle of the same person's head, in the head's longer sides.
_NOSE = 0.8
#: The height of a head, in distances from the eyes to the mouth.
_FACE = 4.0
#: The width of a head, in its heights.
_ROUND = 0.8
#: The least gain in intersection over union with a pose's mask with which another mask than the first is refined.
_MIN_IOU_GAIN = 0.05
#: The margin around a combined mask, in its sides.
_MARGIN = 0.1
#: The share of a silhouette's height, from the top, in which the neck is searched for.
_NECK_SEARCH_SHARE = 0.55
#: The largest width of a neck, in the largest widths above and below it.
_MAX_NECK_RATIO = 0.85
#: The height of a head without a neck, in heights of a standing person.
_STANDING = 1 / 7.5
#: The height of a head without a neck of a person who does not stand, in its widths.
_HEAD = 1.3
#: The margin around the predicted body of a person within which the mask may extend, in the body's sides.
_BEYOND_BODY = 0.25


class Person(NamedTuple):
    """One person: the mask and the box of the head."""

    layer: Layer
    head: Box


def people_of(cutter: NetworkCutter) -> list[Person]:
    """Returns the people of an image, the largest first."""
    heads = heads_of_people(cutter)
    layers = [layer._replace(score=head.sure) for layer, head in zip(_cut_outs(cutter, heads), heads, strict=True)]
    regions = [sampled(layer, cutter.whole, (_GRID_SIDE, _GRID_SIDE)) > 0.5 for layer in layers]
    indices: list[int] = []
    for i, region in enumerate(regions):
        least = np.count_nonzero(region)
        # Two heads with nearly the same mask cannot be separated: the first one gets the mask.
        if least and all(
            np.count_nonzero(region & regions[k]) < _SAME_PERSON_SHARE * min(least, np.count_nonzero(regions[k]))
            for k in indices
        ):
            indices.append(i)
    indices.sort(key=lambda i: -np.count_nonzero(regions[i]))
    return [Person(layers[i], _whole_pixels(corners(heads[i].box))) for i in indices]


def heads_of_people(cutter: NetworkCutter) -> list[Head]:
    """Returns the heads of all people who get a mask, those with a pose first, which win if two share a mask."""
    heads = [head for head in apart_from_torsos(cutter) if head.sure >= SURE]
    if cutter.poses is None:
        return heads
    poses = [pose for pose in cutter.poses.all_poses() if not any(_is_of(pose, head) for head in heads)]
    # Close-ups of milk cartons and suitcases resemble people without a head.
    least = _MIN_NEAR_VIEW_PEOPLE if poses and cutter.standable() < _NEAR_VIEW else _MIN_NEW_POSE_PEOPLE
    new = [_head_by(cutter, pose) for pose in poses if among_people(cutter, pose, least)]
    heads += [head for head in new if head is not None]
    return sorted(heads, key=lambda head: _pose_of(cutter, head) is None)


def apart_from_torsos(cutter: NetworkCutter) -> list[Head]:
    """Returns the detected heads, without those on the torso of a person whose head is above.

    A print, a buckle or a hand before the chest resembles a head; a child in front of a person has a pose, too. On 425
    photos with heads drawn by hand this removes three false heads and no true one.
    """
    heads = cutter.heads()
    poses = [] if cutter.poses is None or not heads else cutter.poses.all_poses()
    own = [min((head for head in heads if _is_of(pose, head)), key=lambda head: _from_nose(pose, head), default=None)
           for pose in poses]  # fmt: skip
    return [head for head in heads if head in own
            or not any(pose.score >= POSED and pose.has_on_torso(head.middle) for pose in poses)]  # fmt: skip


def foremost(cutter: NetworkCutter, heads: Sequence[Head]) -> Head:
    """Returns the head of a large, sharp and whole person who overlaps others little.

    The nearest person has the largest head. Its size is reduced if others are sharper, since photographers focus on
    whom they mean; if the image's border crops the person; by the share of the mask that others cover, too; and by the
    number of others' heads in it.
    """
    height, width = cutter.picture.shape[:2]
    blurs = [max(_FOCUSED, _blur(cutter.picture, head)) for head in heads]
    sizes = {
        head: head.sure * head.box[2] * head.box[3] * _visible(head, width, height) * (min(blurs) / blur) ** _UNFOCUSED
        for head, blur in zip(heads, blurs, strict=True)
    }
    order = sorted(heads, key=lambda head: -sizes[head])[:_COMPARED]
    regions: dict[Head, Bools] = {}
    best, most = order[0], _MIN_FOREMOST_SIZE * sizes[order[0]]
    for head in order:
        if sizes[head] <= most:
            break
        near = [one for one in order if one is not head and both(corners(one.body), corners(head.body)) > 0]
        if not near:
            return head
        missing = [one for one in (head, *near) if one not in regions]
        for one, layer in zip(missing, _cut_outs(cutter, missing), strict=True):
            regions[one] = sampled(layer, cutter.whole, (_GRID_SIDE, _GRID_SIDE)) > 0.5
        own, theirs = regions[head], np.logical_or.reduce([regions[one] for one in near])
        free = int(np.count_nonzero(own & ~theirs)) / max(1, int(np.count_nonzero(own)))
        places = [(int(y * _GRID_SIDE / height), int(x * _GRID_SIDE / width)) for x, y in (one.middle for one in near)]
        worth = sizes[head] * free**2 / (1 + sum(bool(own[place]) for place in places))
        if worth > most:
            best, most = head, worth
    return best


def _visible(head: Head, width: int, height: int) -> float:
    """Returns the share of a person that is in an image of a width and height, roughly, from 0.3 to 1."""
    left, top, right, bottom = corners(head.box)
    if left <= 1 or top <= 1 or right >= width - 1 or bottom >= height - 1:
        return 0.3
    left, _, right, bottom = corners(head.body)
    share = 1.0 if bottom < height - 1 else min(1.0, head.body[3] / (_UNCROPPED_HEADS * head.box[3]))
    return max(0.3, share * (_SIDE_CROP_SHARE if left <= 1 or right >= width - 1 else 1.0))


def _blur(picture: Pixels, head: Head) -> float:
    """Returns the blur of the edges in a face, the standard deviation of a Gaussian in pixels; 0 with too few edges.

    It is the ratio of their slopes under a narrow and a wide Gaussian, which is larger for sharper edges (Zhuo and Sim,
    "Defocus Map Estimation From a Single Image", Pattern Recognition 2011).
    """
    x, y, wide, high = head.box
    region = Region(int(y), math.ceil(y + high), int(x), math.ceil(x + wide)).overlap(Region.whole(picture.shape[:2]))
    if min(region.shape) < _FACE_SIDE:
        return 0.0
    gray = (region.of(picture) @ np.array(LUMA)).astype(np.float32)
    near, far = (np.hypot(*np.gradient(gaussian(gray, deviation))) for deviation in (1.0, 2.0))
    rows, columns = np.mgrid[region.y0 : region.y1, region.x0 : region.x1] + 0.5
    # The border of the face is that of what is behind it.
    inside = np.hypot((columns - x) / wide - 0.5, (rows - y) / high - 0.5) <= _IN_FACE
    inside &= near > max(_MIN_EDGE_SLOPE, near[inside].max(initial=0) / 4)
    if np.count_nonzero(inside) < _MIN_EDGES:
        return 0.0
    squared = float(np.quantile(near[inside] / far[inside], _RATIO_QUANTILE)) ** 2
    return math.sqrt(max(0.0, 4 - squared) / max(squared - 1, 1e-3))


def around_person(head: Head, width: int, height: int) -> tuple[int, int, int, int]:
    """Returns a rectangle of whole pixels around a person, with a margin, to which the mask is limited."""
    x, y, wide, high = head.body
    left, top = max(0, math.floor(x - _BEYOND_BODY * wide)), max(0, math.floor(y - _BEYOND_BODY * high))
    right, bottom = math.ceil(x + (1 + _BEYOND_BODY) * wide), math.ceil(y + (1 + _BEYOND_BODY) * high)
    return left, top, min(width, right) - left, min(height, bottom) - top


def as_far_as_pose(cutter: NetworkCutter, head: Head) -> Head:
    """Returns a head with its body extended to the mask of the person's pose, if there is one."""
    pose = _pose_of(cutter, head)
    if pose is None or pose.score < POSED or not among_people(cutter, pose, MIN_POSE_PEOPLE):
        return head
    box = box_of(_combined(cutter, None, [pose]))
    if box is None:
        return head
    return head._replace(body=rectangle_of(around_both(corners(head.body), box)))


def plainly_there(cutter: NetworkCutter) -> Head | None:
    """Returns a head estimated from a silhouette in the people map, for a person without head and pose; else None.

    The detectors miss people who turn away, are cropped, or wear something over the head. Such a person counts if the
    region of the people map is large and certain, and the mask of a click in its middle shows people.
    """
    where = cutter.people()
    (height, width), (rows, columns) = cutter.picture.shape[:2], where.shape
    numbers = connected_parts(where > _PEOPLE)
    areas = np.bincount(numbers.ravel(), minlength=2)[1:]
    region = numbers == 1 + int(areas.argmax())
    if areas.max() < _MIN_PEOPLE_SHARE * where.size or where[region].mean() < _MIN_PEOPLE_MEAN:
        return None
    row, column = divmod(int(distance_inside(np.pad(region, 1))[1:-1, 1:-1].argmax()), columns)
    place = (column + 0.5) * width / columns - 0.5, (row + 0.5) * height / rows - 0.5
    around = box_of(Layer(cutter.whole, region.astype(np.float32), 0.0))
    layer = cutter.quickly(Prompts([place], [1], around))
    body = box_of(layer)
    if body is None or not _layer_shows_people(cutter, layer):
        return None
    return Head(rectangle_of(head_of(layer)), rectangle_of(body), float(where[region].mean()))


def _cut_outs(cutter: NetworkCutter, heads: Sequence[Head]) -> list[Layer]:
    """Returns the masks of people by their heads."""
    return in_threads(lambda head: _cut_out(cutter, head), heads)


def _cut_out(cutter: NetworkCutter, head: Head) -> Layer:
    """Returns the mask of a person, by clicks at the head and the chest in a box of the person's extent."""
    points = head.clicks(len(cutter.picture))
    layer = cutter.quickly(Prompts(points, [1] * len(points), _whole_pixels(corners(head.body))))
    return with_poses(cutter, layer, _pose_of(cutter, head), [head.middle])


def _pose_of(cutter: NetworkCutter, head: Head) -> Pose | None:
    """Returns the pose of the person with a head."""
    poses = [] if cutter.poses is None else [pose for pose in cutter.poses.all_poses() if _is_of(pose, head)]
    return min(poses, key=lambda pose: _from_nose(pose, head), default=None)


def _from_nose(pose: Pose, head: Head) -> float:
    """Returns the distance of the middle of a head from the nose of a pose, in pixels."""
    return math.dist(pose.points[NOSE, :2] - 0.5, head.middle)


def _is_of(pose: Pose, head: Head) -> bool:
    """Returns whether a pose and a head belong to one person."""
    return _from_nose(pose, head) <= _NOSE * max(head.box[2:])


def among_people(cutter: NetworkCutter, pose: Pose, least: float) -> bool:
    """Returns whether the people map confirms a pose, or its detection is certain enough without it."""
    return pose.detected >= _MIN_DETECTION_SCORE or people_in(cutter, pose) >= least


def people_in(cutter: NetworkCutter, pose: Pose) -> float:
    """Returns the mean of the people map in the mask of a pose; 0 if the mask is empty."""
    where = cutter.people()
    inside = pose.mask(cutter.whole, (where.shape[1], where.shape[0])) > 0
    return float(where[inside].mean()) if inside.any() else 0.0


def _head_by(cutter: NetworkCutter, pose: Pose) -> Head | None:
    """Returns the head of a person by a pose; None if the head or the mask is outside of the image."""
    height, width = cutter.picture.shape[:2]
    left, top, right, bottom = head_around_face(pose.place(EYES), pose.place(MOUTH))
    box = max(0.0, left), max(0.0, top), min(width, right), min(height, bottom)
    body = box_of(_combined(cutter, None, [pose]))
    if body is None or box[0] >= box[2] or box[1] >= box[3]:
        return None
    return Head(rectangle_of(box), rectangle_of(around_both(box, body)), pose.score)


def head_around_face(eyes: Float64, mouth: Float64) -> tuple[float, float, float, float]:
    """Returns the box of a head by the middles (x, y) of the eyes and of the mouth."""
    high = max(1.0, _FACE * math.dist(eyes, mouth))
    x, y = (float(v) for v in (eyes + mouth) / 2)
    return x - _ROUND * high / 2, y - high / 2, x + _ROUND * high / 2, y + high / 2


def with_poses(cutter: NetworkCutter, layer: Layer, pose: Pose | None, points: Sequence[tuple[float, float]]) -> Layer:
    """Returns the mask of a person at points, refined by the detected pose and another one; unchanged without poses."""
    own = box_of(layer)
    if cutter.poses is None or own is None:
        return layer
    poses = [] if pose is None else [pose]
    if poses or _layer_shows_people(cutter, layer):
        side = _SQUARE * max(own[2] - own[0], own[3] - own[1])
        poses.append(cutter.poses.of(Square((own[0] + own[2]) / 2, (own[1] + own[3]) / 2, side, 0.0)))
    poses = [one for one in poses if one.score >= POSED]
    poses = [one for one in poses if all(map(one.covers, points)) and among_people(cutter, one, MIN_POSE_PEOPLE)]
    return connected(_combined(cutter, layer, poses), points) if poses else layer


def _combined(cutter: NetworkCutter, layer: Layer | None, poses: Sequence[Pose]) -> Layer:
    """Returns the weighted mean of the network's mask and those of poses, or of the latter alone."""
    whole, side = cutter.whole, cutter.network.size

    def mixed(box: Box, size: int) -> Float32:
        masks = [pose.mask(box, (size, size)).clip(-_POSES, _POSES) for pose in poses]
        logits: Float32 = np.stack(masks).mean(0, np.float32) * np.float32(_WEIGHTS[1] / _POSES)
        if layer is not None:
            values = sampled(layer, box, (size, size)).clip(1e-6, 1 - 1e-6)
            logits += np.log(values / (1 - values)).clip(-_MAX_OWN_LOGIT, _MAX_OWN_LOGIT) * np.float32(
                _WEIGHTS[0] / _MAX_OWN_LOGIT
            )
        return sigmoid(logits * np.float32(_LOGITS))

    left, top, right, bottom = box_of(Layer(whole, mixed(whole, _GRID_SIDE), 0.0)) or whole
    _, _, width, height = whole
    across = math.ceil(max(_MARGIN * (right - left), 2 * width / _GRID_SIDE))
    down = math.ceil(max(_MARGIN * (bottom - top), 2 * height / _GRID_SIDE))
    box = max(0, left - across), max(0, top - down), min(width, right + across), min(height, bottom + down)
    return Layer(box, mixed(box, side), 0.0 if layer is None else layer.score)


def whole_first(cutter: NetworkCutter, layers: Sequence[Layer], power: float = _AREA_EXPONENT) -> list[Layer]:
    """Returns the masks for one click, the best first; on a person, the one that is likely the whole person.

    A click at a face may mean the face; most users who click at a person mean the whole person. power: the exponent of
    a mask's area in the ranking.
    """
    first = max(layers, key=lambda layer: layer.score * covered(layer) ** power)
    if first is layers[0] or not _layer_shows_people(cutter, first):
        return [*layers]
    return [first, *(layer for layer in layers if layer is not first)]


def wearer(cutter: NetworkCutter, part: Layer, point: tuple[float, float]) -> Layer | None:
    """Returns the mask of the person of whom a mask is a part, such as a cap or a sleeve; None if there is none.

    The person's head must be plainly visible, and the person larger than the part.
    """
    own, people = box_of(part), Layer(cutter.whole, cutter.people(), 0.0)
    for head in cutter.plain_heads():
        left, top, right, bottom = corners(head.body)
        if head.sure < _PLAIN_HEAD or not (left <= point[0] + 0.5 < right and top <= point[1] + 0.5 < bottom):
            continue
        layer = _cut_out(cutter, head)
        body = box_of(layer)
        if own is None or body is None or value_at(layer, point) <= 0.5:
            continue
        box = around_both(own, body)
        small, inside = (sampled(one, box, (_GRID_SIDE, _GRID_SIDE)) > 0.5 for one in (part, layer))
        common = int(np.count_nonzero(small & inside))
        is_part = _PART * np.count_nonzero(small) <= common < _PART * np.count_nonzero(inside)
        if common and is_part and sampled(people, box, (_GRID_SIDE, _GRID_SIDE))[small].mean() > MIN_POSE_PEOPLE:
            return layer
    return None


def posed(cutter: NetworkCutter, layers: Sequence[Layer], prompts: Prompts) -> list[Layer]:
    """Returns the first masks for clicks on a person, preceded by one that poses refine."""
    points = prompts.inside
    if cutter.poses is None or not layers:
        return [*layers]
    pose = cutter.poses.at(points)
    own = _most_like(cutter, layers, pose)
    better = with_poses(cutter, own, pose, points)
    if better is own:
        return [*layers]
    return distinct([*([better] if prompts.limit is None else limited([better], prompts.limit)), *layers])


def _most_like(cutter: NetworkCutter, layers: Sequence[Layer], pose: Pose | None) -> Layer:
    """Returns the first of a person's masks, or one that is clearly more similar to the mask of the pose."""
    if pose is None or not among_people(cutter, pose, MIN_POSE_PEOPLE):
        return layers[0]
    whole = _combined(cutter, None, [pose])
    shares = [iou(layer, whole) for layer in layers]
    best = int(np.argmax(shares))
    return layers[best] if shares[best] > shares[0] + _MIN_IOU_GAIN else layers[0]


def _layer_shows_people(cutter: NetworkCutter, layer: Layer) -> bool:
    """Returns whether a mask covers mostly people."""
    where = cutter.people()
    return mostly_people(where, sampled(layer, cutter.whole, (where.shape[1], where.shape[0])) > 0.5)


def mostly_people(where: Float32, inside: Bools) -> bool:
    """Returns whether the mean of the people map in a region is above a threshold."""
    return bool(inside.any() and where[inside].mean() > _PEOPLE)


def head_in(heads: Sequence[Head], mask: Pixels, factor: float = 1.0) -> Head | None:
    """Returns the first of the heads whose middle is in a mask [h, w] of 0 to 255; None without any.

    factor: mask pixels for each pixel of the image.
    """
    for head in heads:
        x, y = ((v + 0.5) * factor - 0.5 for v in head.middle)
        if mask[min(max(round(y), 0), len(mask) - 1), min(max(round(x), 0), mask.shape[1] - 1)] > 127:
            return head
    return None


def least_sure(has_posture: bool) -> float:
    """Returns the least confidence of a head: a faint one is no better than that of a posture, if there is one."""
    return SURE if has_posture else FAINT


def other_people(cutter: NetworkCutter, masks: Sequence[Pixels], size: tuple[int, int]) -> Pixels:
    """Returns the region of people without a mask, [h, w] of 0 or 255, at a size (width, height).

    masks: the masks of people, [h, w] of 0 to 255.
    """
    left = resized(cutter.people(), size) > _PEOPLE
    for mask in masks:
        left &= ~grown(mask > 127, _MASK_RIM_PIXELS, corners=False)
    # Regions that are thinner than a head are rims of masks.
    numbers, least = connected_parts(left), _MIN_REGION_DEPTH * max(size)
    depth = distance_inside(np.pad(left, 1))[1:-1, 1:-1]
    deep = [number for number in range(1, int(numbers.max()) + 1) if depth[numbers == number].max() >= least]
    return np.isin(numbers, deep).astype(np.uint8) * np.uint8(255)


def head_of(layer: Layer) -> Box:
    """Returns the box of the head of a person, estimated from the silhouette."""
    body = box_of(layer) or layer.box
    rows = 128
    columns = max(8, round(rows * (body[2] - body[0]) / (body[3] - body[1])))
    region = sampled(layer, body, (columns, rows)) > 0.5
    left, top, right, bottom = _silhouettes_head(region)
    across, down = (body[2] - body[0]) / columns, (body[3] - body[1]) / rows
    left, right = (round(body[0] + x * across) for x in (left, right))
    top, bottom = (round(body[1] + y * down) for y in (top, bottom))
    left, top = min(max(left, body[0]), body[2] - 1), min(max(top, body[1]), body[3] - 1)
    return left, top, min(max(right, left + 1), body[2]), min(max(bottom, top + 1), body[3])


def _whole_pixels(box: Sequence[float]) -> Box:
    """Returns the smallest box of whole pixels around another."""
    return math.floor(box[0]), math.floor(box[1]), math.ceil(box[2]), math.ceil(box[3])


def _silhouettes_head(region: Bools) -> tuple[int, int, int, int]:
    """Returns the box of the head of a silhouette [H, W], down to the neck, where it is narrower than above and below.

    Without a neck, as under long hair, the height is that of a standing person's head, or follows from the width.
    """
    rows, columns = region.shape
    first, last = _longest_runs(region)
    widths = np.convolve(last - first, np.full(5, 0.2), "same")
    nonempty = np.flatnonzero(last > first)
    if not len(nonempty):
        return 0, 0, columns, rows
    top, end = int(nonempty[0]), int(_NECK_SEARCH_SHARE * rows)
    bottom = 0
    widest = np.maximum.accumulate(widths[top:end])
    narrow = np.flatnonzero(widths[top:end] < _MAX_NECK_RATIO * widest)
    if len(narrow):
        start = top + int(narrow[0])
        neck = start + int(widths[start : start + rows // 8].argmin())
        if widths[neck : neck + rows // 4].max() > widths[neck] / _MAX_NECK_RATIO:
            bottom = neck
    if bottom <= top:
        width = widths[top : top + max(2, rows // 8)].max()
        standing = rows > 2 * columns
        bottom = top + max(2, round(_STANDING * rows if standing else min(_HEAD * width, rows / 2)))
    part = slice(top, max(bottom, top + 1))
    inside = last[part] > first[part]
    return int(first[part][inside].min()), top, int(last[part][inside].max()), bottom


def _longest_runs(region: Bools) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Returns the start and end of the longest run in each row of a region [H, W]; twice 0 for an empty row."""
    first, last = np.zeros(len(region), np.intp), np.zeros(len(region), np.intp)
    for y, row in enumerate(region):
        steps = np.diff(np.concatenate([[0], row.astype(np.int8), [0]]))
        starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
        if len(starts):
            longest = int((ends - starts).argmax())
            first[y], last[y] = starts[longest], ends[longest]
    return first, last
