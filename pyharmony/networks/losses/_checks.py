"""Checks of the arguments of losses."""

from __future__ import annotations

from torch import Tensor

from ...errors import ArgumentError, ShapeError


def check_pair(output: Tensor, target: Tensor, name: str = "output") -> None:
    """Raises if two images or feature maps [N, C, H, W] differ in shape."""
    if output.ndim != 4:
        raise ShapeError(f"{name}: shape {list(output.shape)}, expected [N, C, H, W]")
    if output.shape != target.shape:
        raise ShapeError(f"target: shape {list(target.shape)}, expected that of {name}, {list(output.shape)}")


def check_mask(mask: Tensor, image: Tensor) -> None:
    """Raises if a mask is not [N, 1, H, W] like an image, or [1, 1, H, W]."""
    expected = (1, *image.shape[2:])
    if mask.ndim != 4 or tuple(mask.shape[1:]) != expected or mask.shape[0] not in (1, image.shape[0]):
        raise ShapeError(f"mask: shape {list(mask.shape)}, expected {[image.shape[0], *expected]}")


def check_rgb(image: Tensor, name: str) -> None:
    if image.ndim != 4 or image.shape[1] != 3:
        raise ShapeError(f"{name}: shape {list(image.shape)}, expected [N, 3, H, W]")


def check_codes(**codes: Tensor) -> None:
    """Raises if codes [N, D] differ in shape."""
    first = next(iter(codes.values()))
    for name, code in codes.items():
        if code.ndim != 2 or code.shape != first.shape:
            raise ShapeError(f"{name}: shape {list(code.shape)}, expected [N, D], the same for all codes")


def check_positive(value: float, name: str) -> None:
    """Raises if a number is not above 0, or too large for float32."""
    if not 0 < value < 3.4e38:
        raise ArgumentError(f"{name}: {value!r}, expected more than 0, at most 3.4e38")
