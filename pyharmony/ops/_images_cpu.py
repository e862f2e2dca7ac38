"""Images and masks for solves on the CPU, and the results of solves."""

from __future__ import annotations

from typing import Any

from .. import _arrays, _checks
from .._arrays import NumpyArray
from .._checks import SolveInfo


def pair_of(src: Any, dst: Any) -> tuple[NumpyArray, NumpyArray]:
    """Returns the validated src and dst as [H, W, C] or [N, H, W, C]."""
    source, target = (_checks.image(x, name, dims=(2, 3, 4)) for x, name in ((src, "src"), (dst, "dst")))
    _checks.same_dtype(source, "src", target, "dst")
    _checks.same_shape(source, "src", target, "dst")
    return source, target


def batch_of(a: NumpyArray) -> NumpyArray:
    """Returns [H, W, C] or [N, H, W, C] as [N, H, W, C]."""
    return a if a.ndim == 4 else a[None]


def masks_of(mask: Any, target: NumpyArray) -> list[NumpyArray]:
    """Returns a validated mask for each item of a target, or one for all."""
    height, width = target.shape[-3:-1]
    planes = _arrays.to_numpy(mask, "mask")
    each = target.ndim == 4 and planes.shape == target.shape[:3]
    return [_checks.mask(plane, "mask", height, width) for plane in (planes if each else [planes])]


def deliver(call: Any, result: NumpyArray, infos: list[SolveInfo]) -> Any:
    """Returns a result in the shape and kind of dst, with the infos of its items if they are requested."""
    image = _arrays.like_kind(result.reshape(tuple(call.dst.shape)), call.dst)
    if not call.return_info:
        return image
    return image, infos if call.dst.ndim == 4 else infos[0]
