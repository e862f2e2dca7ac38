"""Alignment: estimates the homography between two photos of a scene from features.

OpenCV detects SIFT features (Lowe, "Distinctive Image Features from Scale-Invariant Keypoints", 2004), matches them by
the ratio test, and estimates the homography by MAGSAC (Barath et al., "MAGSAC++", 2020). This module decides whether
the photos show one scene.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .._arrays import Bools, Float32, Float64, Pixels
from .._images.sizes import fitted
from ..errors import NO_REASON, Reason
from ._planes import mapped, opencv, rescaled

#: The longer side of the image in which features are detected, in pixels.
_FEATURE_SIDE = 1200
#: The largest number of features.
_FEATURES = 4000
#: The contrast threshold of OpenCV's SIFT.
_CONTRAST = 0.01
#: The largest ratio of the distances of a feature's best and second best match.
_RATIO = 0.8
_MAX_REPROJECTION_ERROR = 3.0  # the largest reprojection error of an agreeing pair, in pixels of the small image
_HYPOTHESES = 20_000  # the largest number of hypotheses of the robust estimation
#: Fewer inliers than `_AGREE` plus `_SHARE` of all pairs are rejected (Brown and Lowe, "Recognising Panoramas", 2003).
_AGREE = 10  # pairs
_SHARE = 0.1  # of all pairs
_MIN_HULL_SHARE = 0.2  # the least area of the inliers' convex hull, relative to that of all features in the overlap
_ZOOM = 3.0  # the largest ratio of scales between two photos, either way
_COVERS = 0.25  # the least share of the base that the other photo must cover


class Features(NamedTuple):
    """Features of a photo."""

    size: tuple[int, int]  # its width and height
    factors: tuple[float, float]  # the factors by which it was resized, across and down
    points: Float64  # the features' places (x, y) in its resized pixels, [N, 2]
    descriptors: Float32  # their descriptors, [N, 128]


class Alignment(NamedTuple):
    """The alignment of a photo to the base."""

    matrix: Float64  # [3, 3], maps (x, y, 1) of the base to the photo, up to a factor
    inliers: int = 0  # the number of pairs of features that agree with it
    residual: float = 0.0  # the median of their reprojection errors, in pixels of the photo
    reason: Reason = NO_REASON  # why the photos do not show one scene, in a few words; else empty


def features(levels: Pixels, hidden_region: Bools) -> Features:
    """Returns the features of a photo [H, W, 3] outside of `hidden_region`, a region of it at any size."""
    cv2 = opencv()
    height, width = levels.shape[:2]
    size = fitted((width, height), _FEATURE_SIDE)
    small = cv2.cvtColor(cv2.resize(levels, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    visible = np.where(hidden_region, np.uint8(0), np.uint8(255))
    visible = cv2.resize(visible, size, interpolation=cv2.INTER_NEAREST)
    detector = cv2.SIFT_create(_FEATURES, contrastThreshold=_CONTRAST)
    keypoints, descriptors = detector.detectAndCompute(small, visible)
    points = np.array([one.pt for one in keypoints], np.float64).reshape(-1, 2)
    if descriptors is None:
        descriptors = np.empty((0, 128), np.float32)
    # RootSIFT, as in Arandjelović and Zisserman, "Three things everyone should know", 2012.
    descriptors = np.sqrt(descriptors / np.maximum(descriptors.sum(1, keepdims=True), np.float32(1e-6)))
    return Features((width, height), (size[0] / width, size[1] / height), points, descriptors)


def alignment_of(base: Features, photo: Features) -> Alignment:
    """Returns the alignment of a photo to the base, or the reason why there is none."""
    cv2 = opencv()
    a, b = _pairs(base, photo)
    count = len(a)
    if count < _AGREE:
        reason = Reason("few-features", f"only {count} of its features match some of the other")
        return Alignment(np.eye(3), reason=reason)
    matrix, mask = cv2.findHomography(
        a, b, cv2.USAC_MAGSAC, _MAX_REPROJECTION_ERROR, maxIters=_HYPOTHESES, confidence=0.99999
    )
    inside = np.zeros(count, bool) if matrix is None else mask.ravel() > 0
    agree = int(inside.sum())
    if matrix is None or agree < _AGREE + _SHARE * count:
        reason = Reason("few-agree", f"only {agree} of {count} pairs of features agree")
        return Alignment(np.eye(3), agree, reason=reason)
    homography = rescaled(matrix, _inverse(base.factors), _inverse(photo.factors))
    reason = _implausible(homography, base.size, photo.size) or _local(base, a[inside], matrix, photo)
    distance = np.linalg.norm(mapped(matrix, a[inside]) - b[inside], axis=1)
    return Alignment(homography, agree, float(np.median(distance)) / photo.factors[0], reason)


def _inverse(factors: tuple[float, float]) -> tuple[float, float]:
    return 1 / factors[0], 1 / factors[1]


def _pairs(first: Features, second: Features) -> tuple[Float64, Float64]:
    """Returns the places [N, 2] of matching features, in both photos."""
    if min(len(first.points), len(second.points)) < 2:
        return np.empty((0, 2)), np.empty((0, 2))
    cv2 = opencv()
    matches = cv2.BFMatcher(cv2.NORM_L2).knnMatch(first.descriptors, second.descriptors, k=2)
    good = [
        (best.queryIdx, best.trainIdx) for best, next_best in matches if best.distance < _RATIO * next_best.distance
    ]
    numbers: npt.NDArray[np.intp] = np.array(good, np.intp).reshape(-1, 2)
    return first.points[numbers[:, 0]], second.points[numbers[:, 1]]


def _implausible(matrix: Float64, size: tuple[int, int], other: tuple[int, int]) -> Reason:
    """Returns the reason why a homography from the base to a photo is implausible; empty if it is not."""
    width, height = size
    at = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float64)
    last = at @ matrix[2, :2] + matrix[2, 2]
    if not np.isfinite(matrix).all() or (last * last[0] <= 0).any() or abs(last).max() > 2 * abs(last).min():
        return Reason("too-different", "the viewpoints are too different")
    corners = mapped(matrix, at)
    before, after = corners - np.roll(corners, 1, 0), np.roll(corners, -1, 0) - corners
    if (before[:, 0] * after[:, 1] <= before[:, 1] * after[:, 0]).any():
        return Reason("mirrored", "one would be mirrored")
    x, y = corners[:, 0], corners[:, 1]
    area = 0.5 * float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))
    zoom = math.sqrt(area / (width * height)) * max(size) / max(other)
    if not 1 / _ZOOM < zoom < _ZOOM:
        return Reason("other-size", f"one would be {max(zoom, 1 / zoom):.1f} times as large as the other")
    grid = np.stack(np.meshgrid(np.linspace(0, width - 1, 16), np.linspace(0, height - 1, 16)), -1)
    if _within(mapped(matrix, grid), other).mean() < _COVERS:
        return Reason("little-in-common", "the overlap is too small")
    return NO_REASON


def _within(points: Float64, size: tuple[int, int]) -> Bools:
    """Returns which points [..., 2] are in an image (width, height)."""
    return np.asarray((points > -0.5).all(-1) & (points < np.array(size) - 0.5).all(-1))


def _local(base: Features, agreeing: Float64, matrix: Float64, photo: Features) -> Reason:
    """Returns the reason for inliers that cover only a small part of the overlap; else an empty one."""
    width, height = (round(n * factor) for n, factor in zip(photo.size, photo.factors))
    common = base.points[_within(mapped(matrix, base.points), (width, height))]
    is_widespread = _hull(agreeing) >= _MIN_HULL_SHARE * _hull(common)
    return NO_REASON if is_widespread else Reason("small-part", "only a small part of the overlap matches")


def _hull(points: Float64) -> float:
    """Returns the area of the convex hull of points [N, 2]."""
    cv2 = opencv()
    return float(cv2.contourArea(cv2.convexHull(points.astype(np.float32))))
