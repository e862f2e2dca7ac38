"""torchvision's transform."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ..._arrays import is_pil
from ...errors import ArgumentError, DeviceError, DTypeError, ShapeError
from ._boxes import corners_of, of_corners
from ._copy_paste import CopyPaste
from ._labels import check_share

#: The modes of PIL images whose arrays are pictures.
_MODES = ("L", "RGB", "I;16", "F")


class TorchvisionTransform:
    """Pastes objects into a picture and updates its target; see `for_torchvision`."""

    def __init__(self, paste: CopyPaste, p: float) -> None:
        self.paste, self.p = paste, check_share(p, "p")

    def __repr__(self) -> str:
        return f"for_torchvision({self.paste}, p={self.p})"

    def __call__(self, *inputs: Any) -> Any:
        if self.p < 1 and float(torch.rand(())) >= self.p:
            return inputs if len(inputs) > 1 else inputs[0]
        index = int(torch.randint(1 << 62, ()))
        if len(inputs) == 1 and isinstance(inputs[0], Mapping):
            sample = inputs[0]
            key = next((key for key in ("image", "img", "images") if key in sample), "image")
            if key not in sample:
                raise ArgumentError(f"image: a sample of {', '.join(map(repr, sample))}, expected the key 'image'")
            image, target = self._applied(sample[key], {k: v for k, v in sample.items() if k != key}, index)
            return {**dict.fromkeys(sample), **target, key: image}
        if len(inputs) == 1 and isinstance(inputs[0], (tuple, list)):
            return type(inputs[0])(self._several(list(inputs[0]), index))
        return self._several(list(inputs), index) if len(inputs) > 1 else self._several(list(inputs), index)[0]

    forward = __call__

    def _several(self, inputs: list[Any], index: int) -> tuple[Any, ...]:
        """Returns a picture, a target, and what else there is, which is not changed."""
        has_target = len(inputs) > 1 and isinstance(inputs[1], Mapping)
        image, target = self._applied(inputs[0], inputs[1] if has_target else {}, index)
        return (image, target, *inputs[2:]) if has_target else (image, *inputs[1:])

    def _applied(self, image: Any, target: Mapping[str, Any], index: int) -> tuple[Any, dict[str, Any]]:
        result, pixels = _writable(image)
        arrays = {key: _array(value, key) for key, value in target.items()}
        boxes = target.get("boxes")
        if boxes is not None:
            arrays["boxes"] = corners_of(arrays["boxes"], _format(boxes))
        output = self.paste._sample({**arrays, "image": pixels}, index, None, True, "boxes")
        if boxes is not None:
            output["boxes"] = of_corners(output["boxes"], _format(boxes))
        updated = {k: v if output[k] is arrays[k] else _back(output[k], v) for k, v in target.items()}
        return _finished(image, result, pixels), updated


def _writable(image: Any) -> tuple[Any, Any]:
    """Returns a copy of a picture, and its pixels [H, W, C] as a view of the copy."""
    if is_pil(image):
        # The array of a palette's image has its indices, which are no colours.
        opaque = image.convert("RGB") if image.mode == "P" and "transparency" not in image.info else image
        if opaque.mode not in _MODES:
            clear = " with transparency" if image.mode == "P" else ""
            accepts = f"one of {', '.join(_MODES)}, or P without transparency"
            raise DTypeError(
                f"image: a PIL image of mode {image.mode}{clear}, expected {accepts}",
                hint="image.convert('RGB') is one",
            )
        pixels = np.array(opaque)
        return pixels, pixels
    if not isinstance(image, torch.Tensor):
        raise DTypeError(f"image: {type(image).__name__}, expected a tensor [C, H, W] or a PIL image")
    if image.device.type != "cpu":
        raise DeviceError(f"image: on {image.device}, expected a tensor on the CPU, as in a data loader's worker")
    if image.ndim not in (2, 3):
        raise ShapeError(f"image: shape {list(image.shape)}, expected one picture [C, H, W]")
    copy = image.detach().clone()
    planes = _plain(copy).numpy()
    return copy, planes if planes.ndim == 2 else np.moveaxis(planes, 0, -1)


def _finished(image: Any, copy: Any, pixels: Any) -> Any:
    if not is_pil(image):
        return copy
    from PIL import Image

    return Image.fromarray(pixels)


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.as_subclass(torch.Tensor)


def _array(value: Any, key: str) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    if value.device.type != "cpu":
        raise DeviceError(f"{key}: on {value.device}, expected a tensor on the CPU, as in a data loader's worker")
    return _plain(value.detach()).numpy()


def _back(value: Any, like: Any) -> Any:
    """Returns an array in the kind of the tensor that it was made of, with its metadata."""
    if not isinstance(like, torch.Tensor):
        return value
    tensor = torch.from_numpy(np.ascontiguousarray(value))
    if type(like) is torch.Tensor:
        return tensor
    from torchvision import tv_tensors

    return tv_tensors.wrap(tensor, like=like)


def _format(boxes: Any) -> str:
    """Returns the name of the format of boxes; plain tensors have corners."""
    form = getattr(boxes, "format", None)
    name = "XYXY" if form is None else str(getattr(form, "value", form))
    if name not in ("XYXY", "XYWH", "CXCYWH"):
        raise ArgumentError(f"boxes: of the format {name}, expected XYXY, XYWH or CXCYWH")
    return name
