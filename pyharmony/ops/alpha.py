"""Alpha compositing inside a mask.

See `pyharmony.reference.alpha` for the definition. Not public: used by `pyharmony.blend`, which checks the arguments.
"""

from __future__ import annotations

from .. import _arrays
from .._arrays import NumpyArray
from .._native import native

__all__ = ["alpha"]


def alpha(
    src: NumpyArray,
    dst: NumpyArray,
    mask: NumpyArray,
    out: NumpyArray,
    *,
    origin: tuple[int, int] = (0, 0),
    ramp: NumpyArray | None = None,
    keep: bool = False,
) -> None:
    """Writes ``m * src + (1 - m) * dst`` into out where mask is above zero, m being the mask in [0, 1] times the ramp.

    Args:
        src: [h, w, C] of out's dtype, or floats in its unit: float64 if out is, else float32.
        dst: [H, W, C], like src.
        mask: [h, w], bool, uint8 or uint16 scaled by their range, or floats in [0, 1].
        out: [H, W, C] of an image dtype; may be dst itself. Integers are rounded half to even and clipped.
        origin: the pixel (y, x) of dst under the first pixel of src and mask, which lie inside dst.
        ramp: [h, w] float32.
        keep: whether out keeps its values where the mask is zero; else it gets those of dst, which has its dtype.
    """
    src, dst, mask, target = (_arrays.aligned(x) for x in (src, dst, mask, out))
    native.alpha(
        _arrays.view(src, "src"), _arrays.view(dst, "dst"), _arrays.view(mask, "mask"), *origin,
        None if ramp is None else _arrays.view(ramp, "ramp"), _arrays.view(target, "out", writable=True), keep,
    )  # fmt: skip
    if target is not out:
        out[...] = target
