"""ultralytics' transform. Its labels bring the class of their instances along, so nothing of it is imported."""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..._arrays import NumpyArray
from ...errors import ArgumentError
from ._copy_paste import CopyPaste
from ._labels import check_share


class UltralyticsTransform:
    """Pastes objects into a picture and updates its labels; see `for_ultralytics`."""

    def __init__(self, paste: CopyPaste, p: float) -> None:
        self.paste, self.p = paste, check_share(p, "p")

    def __repr__(self) -> str:
        return f"for_ultralytics({self.paste}, p={self.p})"

    def __call__(self, labels: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(labels, Mapping) or not {"img", "cls", "instances"} <= labels.keys():
            raise ArgumentError("labels: expected ultralytics' dictionary with 'img', 'cls' and 'instances'")
        if labels.get("semantic_mask") is not None:
            raise ArgumentError("labels: with 'semantic_mask', which is not updated; expected none")
        if self.p < 1 and random.random() >= self.p:  # noqa: S311
            return labels
        index = random.getrandbits(62)
        image = labels["img"].copy()
        height, width = image.shape[:2]
        old = copy.deepcopy(labels["instances"])
        form, normalized = old._bboxes.format, old.normalized
        old.convert_bbox(format="xyxy")
        old.denormalize(width, height)
        masks = _masks(old.segments, len(old), height, width) if len(old.segments) else None
        pixels = image[..., ::-1] if image.ndim == 3 and image.shape[2] == 3 else image
        _, update = self.paste._pasted(
            pixels, np.asarray(old.bboxes, np.float64), np.asarray(labels["cls"]), masks, index, None, True, "instances"
        )
        parts, keep = update.objects, update.keep
        segments = old.segments
        if masks is not None:
            segments = _segments(old.segments, keep, {one.row for one in update.occluded}, parts.masks)
        keypoints = old.keypoints
        if keypoints is not None:
            keypoints = np.concatenate(
                [keypoints[keep], np.zeros_like(keypoints, shape=(len(update.new), *keypoints.shape[1:]))]
            )
        new = type(old)(parts.boxes.astype(np.float32), segments, keypoints, bbox_format="xyxy", normalized=False)
        new.convert_bbox(format=form)
        if normalized:
            new.normalize(width, height)
        labels["img"], labels["cls"], labels["instances"] = image, parts.labels, new
        return labels


def _masks(segments: NumpyArray, count: int, height: int, width: int) -> NumpyArray:
    """Returns a mask [N, H, W] of each outline, with the pixels that ultralytics' own masks have."""
    import cv2

    masks = np.zeros((count, height, width), np.uint8)
    for mask, outline in zip(masks, segments, strict=True):
        cv2.fillPoly(mask, [np.asarray(outline, np.int32)], 1)
    return masks


def _segments(old: NumpyArray, keep: list[int], occluded: set[int], masks: NumpyArray) -> NumpyArray:
    """Returns outlines [N, P, 2] of the objects that stay and of the new ones."""
    points = old.shape[1] if old.ndim == 3 and old.shape[1] else 1000
    result = np.empty((len(masks), points, 2), np.float32)
    for row, mask in enumerate(masks):
        same = row < len(keep) and keep[row] not in occluded
        result[row] = old[keep[row]] if same else _outline(mask, points)
    return result


def _outline(mask: NumpyArray, points: int) -> NumpyArray:
    """Returns an outline [P, 2] of a mask; parts of it are joined by lines that go there and back."""
    import cv2

    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    parts = sorted((contour[:, 0].astype(np.float32) for contour in contours), key=len, reverse=True)
    start = parts[0][:1]
    line = np.concatenate([piece for part in parts for piece in (part, part[:1], start)])
    # Of its pixels, so that with as many points as pixels the outline encloses the mask exactly.
    return line[np.rint(np.linspace(0, len(line) - 1, points)).astype(int)]
