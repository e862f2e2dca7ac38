"""albumentations' transform, in the way of version 2 and of AlbumentationsX, which sample parameters differently."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import albumentations as A
import numpy as np

from ..._arrays import NumpyArray
from ...errors import ArgumentError, DTypeError, PyHarmonyError, ShapeError
from ._bank import Bank, Donor
from ._boxes import corners_of
from ._copy_paste import CopyPaste
from ._labels import Update

#: The names of albumentations' formats other than corners.
_FORMS = {"coco": "XYWH", "yolo": "CXCYWH", "cxcywh": "CXCYWH"}


class _Transform(A.DualTransform):  # type: ignore[misc]
    """Pastes objects: everything is computed with the parameters, of which each target takes its part."""

    _targets = A.CopyAndPaste._targets if hasattr(A, "CopyAndPaste") else A.Mosaic._targets

    def __init__(self, paste: CopyPaste, p: float, metadata_key: str) -> None:
        super().__init__(p=p)
        self.paste, self.metadata_key = paste, metadata_key

    def __repr__(self) -> str:
        return f"for_albumentations({self.paste}, p={self.p}, metadata_key={self.metadata_key!r})"

    def _computed(self, data: Mapping[str, Any], index: int) -> dict[str, Any]:
        """Returns the parameters of a call: the picture, its boxes and its masks."""
        if data.get("mask") is not None:
            raise ArgumentError("mask: a semantic map, which is not updated; pass the masks of objects as masks")
        image = data["image"]
        processor = self.get_processor("bboxes")
        fields = [] if processor is None else list(processor.params.label_fields or [])
        rows = None if data.get("bboxes") is None else np.asarray(data["bboxes"])
        masks = _stacked(data.get("masks"), image.shape[:2])
        metadata = data.get(self.metadata_key)
        donors = None
        if metadata is not None:
            rectangles = self.paste.bank is None or self.paste.bank.rectangles
            each = [_donor(one, f"{self.metadata_key}[{i}]: ", processor) for i, one in enumerate(metadata)]
            donors = Bank(each, rectangles=rectangles) if each else []
        if donors is not None and not len(donors):
            return {"pasted": image, "pasted_boxes": data.get("bboxes"), "pasted_masks": data.get("masks")}
        boxes = None if rows is None else _in_pixels(rows, image.shape)
        result, update = self.paste._pasted(image, boxes, None, masks, index, donors, False, "bboxes")
        return {
            "pasted": result,
            "pasted_boxes": None if rows is None else self._rows(rows, update, fields, processor, image.shape),
            "pasted_masks": None if masks is None else _like_masks(update.objects.masks, data["masks"]),
        }

    def _rows(
        self, rows: NumpyArray, update: Update, fields: list[str], processor: Any, shape: tuple[int, ...]
    ) -> NumpyArray:
        """Returns the boxes of albumentations, shares of the sides, with a column for each label field."""
        boxes = update.objects.boxes / np.array([shape[1], shape[0], shape[1], shape[0]])
        columns = [boxes.astype(np.float32)]
        between = rows.shape[1] - 4 - len(fields) if len(rows) else 0
        if between:
            columns.append(np.concatenate([rows[update.keep, 4 : 4 + between], np.zeros((len(update.new), between))]))
        for i, field in enumerate(fields):
            old = []
            if len(rows):
                restored = processor.label_manager.restore_field("bboxes", field, rows[:, 4 + between + i])
                old = [np.asarray(restored).reshape(-1)[k].item() for k in update.keep]
            new = [_label(one.label, field, fields) for one in update.new]
            if old or new:
                columns.append(np.asarray(processor.label_manager.process_field("bboxes", field, [*old, *new])))
            else:
                columns.append(np.zeros((0, 1)))
        # A box that keeps its place keeps its bits.
        result = np.concatenate([np.asarray(column, np.float32) for column in columns], 1)
        occluded = {one.row for one in update.occluded if one.box is not None}
        for row, index in enumerate(update.keep):
            if index not in occluded:
                result[row, :4] = rows[index, :4]
        return result

    def apply(self, img: Any, pasted: Any = None, **params: Any) -> Any:
        return pasted

    def apply_to_bboxes(self, bboxes: Any, pasted_boxes: Any = None, **params: Any) -> Any:
        return pasted_boxes

    def apply_to_masks(self, masks: Any, pasted_masks: Any = None, **params: Any) -> Any:
        return pasted_masks

    def apply_to_mask(self, mask: Any, **params: Any) -> Any:
        return mask

    def apply_to_keypoints(self, keypoints: Any, **params: Any) -> Any:
        return keypoints


if hasattr(A.DualTransform, "sample_parameters"):
    from albumentations.core.transform_params import SampledParams

    class AlbumentationsTransform(_Transform):
        """See `for_albumentations`."""

        def sample_parameters(self, params: Any, data: Any, targets: Any, sampling: Any) -> Any:
            return SampledParams(params=self._computed(data, sampling.py_random.getrandbits(62)))

else:

    class AlbumentationsTransform(_Transform):  # type: ignore[no-redef]
        """See `for_albumentations`."""

        @property
        def targets_as_params(self) -> list[str]:
            return ["image"]

        def get_params_dependent_on_data(self, params: Any, data: Any) -> dict[str, Any]:
            return self._computed(data, self.py_random.getrandbits(62))


def _donor(one: Any, owner: str, processor: Any) -> Donor:
    """Returns a donor from albumentations' metadata."""
    if not isinstance(one, Mapping) or "image" not in one:
        raise DTypeError(f"{owner}expected a dictionary with 'image', and 'mask' or 'bbox'")
    image, mask = np.asarray(one["image"]), one.get("mask")
    label = one.get("bbox_labels")
    if mask is not None:
        return Donor(image, np.asarray(mask) > 0, label=label, name=owner.removesuffix(": "))
    if one.get("bbox") is None or processor is None:
        raise ArgumentError(f"{owner}without 'mask', expected 'bbox' and a Compose with bbox_params")
    form = getattr(processor.params, "coord_format", None) or processor.params.format
    try:
        box = _corners(np.asarray(one["bbox"], np.float64).reshape(-1)[:4], form, image.shape)
    except PyHarmonyError as error:
        raise error.within(owner) from None
    return Donor(image, box_xyxy=box, label=label, name=owner.removesuffix(": "))


def _corners(box: NumpyArray, form: str, shape: tuple[int, ...]) -> tuple[float, ...]:
    """Returns a box of one of albumentations' formats as x0, y0, x1, y1 in pixels."""
    height, width = shape[:2]
    whole = np.array([width, height, width, height], np.float64)
    if len(box) != 4:
        raise ShapeError(f"bbox: {len(box)} numbers, expected 4")
    pixels = box * whole if form in ("albumentations", "yolo", "cxcywh") and box.max() <= 1 else box
    return tuple(corners_of(pixels[None], _FORMS.get(form, "XYXY"))[0].tolist())


def _label(label: Any, field: str, fields: list[str]) -> Any:
    if isinstance(label, Mapping):
        if field not in label:
            raise ArgumentError(f"bbox_labels: without {field!r}, expected a value for each of {', '.join(fields)}")
        return label[field]
    if label is None or len(fields) > 1:
        raise ArgumentError(f"labels: a donor with {label!r}, expected a dictionary with {', '.join(fields)}")
    return label


def _in_pixels(rows: NumpyArray, shape: tuple[int, ...]) -> NumpyArray:
    boxes = rows[:, :4] if rows.size else np.zeros((0, 4))
    return np.asarray(boxes, np.float64) * np.array([shape[1], shape[0], shape[1], shape[0]])


def _stacked(masks: Any, shape: tuple[int, int]) -> NumpyArray | None:
    """Returns masks as uint8 [N, H, W]."""
    if masks is None:
        return None
    if not len(masks):
        return np.zeros((0, *shape), np.uint8)
    stack = masks if isinstance(masks, np.ndarray) else np.stack([np.asarray(mask) for mask in masks])
    return stack[..., 0] if stack.ndim == 4 else stack


def _like_masks(masks: NumpyArray, like: Any) -> Any:
    """Returns masks [N, H, W] as albumentations passed them: an array, [N, H, W] or [N, H, W, 1], or a list."""
    if isinstance(like, np.ndarray):
        return masks[..., None] if like.ndim == 4 else masks
    return type(like)(masks)
