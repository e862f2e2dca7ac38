"""Checks of the settings and inputs of networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...errors import ArgumentError, ShapeError

__all__ = [
    "check_choice",
    "check_fields",
    "check_flag",
    "check_image",
    "check_like",
    "check_mask",
    "check_share",
    "check_smallest",
    "check_statistics",
    "check_whole",
]


def check_image(x: Tensor, name: str, channels: int, multiple: int = 1, size: int | None = None) -> None:
    """Raises if x is not a float batch [N, channels, H, W] with sides that are multiples of `multiple`, or `size`."""
    if x.ndim != 4 or x.shape[1] != channels:
        raise ShapeError(f"{name}: shape {list(x.shape)}, expected [N, {channels}, H, W]")
    if not x.is_floating_point():
        raise ArgumentError(f"{name}: dtype {x.dtype}, expected a float type")
    height, width = x.shape[2:]
    if size is not None and (height, width) != (size, size):
        raise ShapeError(f"{name}: {height}x{width} pixels, expected {size}x{size}")
    if height % multiple or width % multiple or not height or not width:
        raise ShapeError(f"{name}: {height}x{width} pixels, expected multiples of {multiple}")


def check_code(code: Tensor, image: Tensor, length: int) -> None:
    """Raises if a code is not [N, length] for N images."""
    if tuple(code.shape) != (image.shape[0], length):
        raise ShapeError(f"code: shape {list(code.shape)}, expected [{image.shape[0]}, {length}]")


def check_smallest(x: Tensor, name: str, smallest: int) -> None:
    """Raises if an image [N, C, H, W] has a side below smallest."""
    if min(x.shape[2:]) < smallest:
        raise ShapeError(f"{name}: {x.shape[2]}x{x.shape[3]} pixels, expected {smallest} or more")


def check_mask(mask: Tensor, image: Tensor, name: str = "mask") -> None:
    """Raises if mask is not [N, 1, H, W] like image, or has values outside [0, 1]."""
    expected = (image.shape[0], 1, *image.shape[2:])
    if tuple(mask.shape) != expected:
        raise ShapeError(f"{name}: shape {list(mask.shape)}, expected {list(expected)}")
    # A compiled or captured step cannot read values, and the meta device has none.
    if torch.compiler.is_compiling() or mask.is_meta or mask.is_cuda and torch.cuda.is_current_stream_capturing():
        return
    low, high = (float(v) for v in torch.aminmax(mask)) if mask.numel() else (0.0, 1.0)
    if not (low >= 0 and high <= 1):
        raise ArgumentError(f"{name}: values {low:.6g} to {high:.6g}, expected 0 to 1")


def check_statistics(x: Tensor, name: str, training: bool, halvings: int) -> None:
    """Raises if a batch norm in training would get one value per feature, which it maps to 0."""
    height, width = (-(-side // 2**halvings) for side in x.shape[2:])
    if training and x.shape[0] * height * width == 1:
        raise ShapeError(
            f"{name}: one sample of {x.shape[2]}x{x.shape[3]} pixels leaves a batch norm one value per feature; "
            "training needs more or larger samples"
        )


def check_like(x: Tensor, other: Tensor, name: str, other_name: str) -> None:
    """Raises if the shape of x is not that of other."""
    if x.shape != other.shape:
        raise ShapeError(f"{name}: shape {list(x.shape)}, expected that of {other_name}, {list(other.shape)}")


def check_fields(config: object, check: Callable[..., None], *names: str, **options: object) -> None:
    """Checks the values of these fields of a configuration, passing options to the check."""
    for name in names:
        check(getattr(config, name), name, **options)


def check_flag(value: object, name: str) -> None:
    if not isinstance(value, bool):
        raise ArgumentError(f"{name}: {value!r}, expected True or False")


def check_choice(value: object, name: str, choices: Sequence[object]) -> None:
    if isinstance(value, bool) or value not in choices:
        raise ArgumentError(f"{name}: {value!r}, expected one of {', '.join(map(repr, choices))}")


# Limits for untrusted files.
MAX_WHOLE = 1 << 20  # the largest number of channels, side in pixels and the like
MAX_LAYERS = 256  # the largest number of layers


def check_whole(value: object, name: str, low: int = 1, high: int = MAX_WHOLE) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ArgumentError(f"{name}: {value!r}, expected a whole number of at least {low}")
    if value > high:
        text = str(value) if value < 1 << 64 else f"a number of {value.bit_length()} bits"
        raise ArgumentError(f"{name}: {text}, expected at most {high}")


def check_layers(value: object, name: str, low: int = 1) -> None:
    """Raises if value is not a number of layers or of passes through them."""
    check_whole(value, name, low, MAX_LAYERS)


def check_positive(value: object, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise ArgumentError(f"{name}: {value!r}, expected a number above 0")


def check_widths(value: object, name: str, length: int | None = None) -> None:
    if not isinstance(value, tuple) or not 2 <= len(value) <= MAX_LAYERS:
        what = value if not isinstance(value, tuple) or len(value) < 2 else f"{len(value)} numbers"
        raise ArgumentError(f"{name}: {what!r}, expected a tuple of 2 to {MAX_LAYERS} whole numbers")
    for i, item in enumerate(value):
        check_whole(item, f"{name}[{i}]")
    if length is not None and len(value) != length:
        raise ArgumentError(f"{name}: {value!r}, expected {length} numbers")


def check_share(value: object, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise ArgumentError(f"{name}: {value!r}, expected 0 <= {name} < 1")
