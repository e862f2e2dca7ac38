"""Boxes of objects, inside always as corners (x0, y0, x1, y1): their checks, and the formats of other libraries."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import _checks
from ..._arrays import NumpyArray
from ..._warnings import quiet, warn
from ...errors import DTypeError, PyHarmonyWarning

#: The argument with the corners of boxes.
BOXES = "boxes_xyxy"


def count_of(boxes: Any, name: str) -> int:
    """Returns the number of boxes of an array, a list or a tuple."""
    if not isinstance(boxes, (np.ndarray, list, tuple)) or (isinstance(boxes, np.ndarray) and not boxes.ndim):
        raise DTypeError(f"{name}: {type(boxes).__name__}, expected an array [N, 4], or a list or tuple of boxes")
    return len(boxes)


def rows_of(boxes: Any) -> NumpyArray:
    """Returns boxes as an array [N, 4]."""
    array = boxes if isinstance(boxes, np.ndarray) else np.asarray([tuple(box) for box in boxes], np.float64)
    return array.reshape(0, 4) if array.size == 0 else array


def check(boxes: Any, name: str, shape: tuple[int, int]) -> None:
    """Refuses boxes that are none of a picture [H, W], and warns of one that is partly outside."""
    with quiet(PyHarmonyWarning):  # that it is clipped, which no box from before is here
        corners = _checks.checked_boxes(boxes, name, shape[::-1], corners=True)
    if len(corners):
        outside = np.abs(corners - rows_of(boxes)).max(1)
        if outside.max() > 1:
            i = int(outside.argmax())
            what = f"{tuple(rows_of(boxes)[i].tolist())} is partly outside of the picture"
            warn(f"{name}[{i}]: {what} of {shape[1]} x {shape[0]} pixels, expected x0, y0, x1, y1 in pixels of it")


def corners_of(boxes: NumpyArray, form: str) -> NumpyArray:
    """Returns the corners of boxes [N, 4] of a format: 'XYXY', 'XYWH', or 'CXCYWH', with the centre."""
    if form == "XYXY":
        return boxes
    corners = boxes.copy()
    if form == "CXCYWH":
        corners[:, :2] = boxes[:, :2] - boxes[:, 2:] / 2
    corners[:, 2:] = corners[:, :2] + boxes[:, 2:]
    return corners


def of_corners(corners: NumpyArray, form: str) -> NumpyArray:
    """Returns corners [N, 4] as boxes of a format, see `corners_of`."""
    if form == "XYXY":
        return corners
    boxes = corners.copy()
    boxes[:, 2:] = corners[:, 2:] - corners[:, :2]
    if form == "CXCYWH":
        boxes[:, :2] = corners[:, :2] + boxes[:, 2:] / 2
    return boxes
