"""Multiband blending: the bands of a Laplacian pyramid, each faded over a width of its own scale.

See `pyharmony.reference.laplacian` for the definition. Not public: used by `pyharmony.blend`, which checks arguments.
"""

from __future__ import annotations

from .. import _arrays
from .._arrays import NumpyArray
from .._native import native

__all__ = ["laplacian"]


def laplacian(
    src: NumpyArray, dst: NumpyArray, mask: NumpyArray, out: NumpyArray, *, levels: int, adapt: bool = False
) -> int:
    """Writes dst plus the faded bands of src - dst into out where mask is above zero.

    Args:
        src: [H, W, C] of at most 4 channels, of an image dtype and in out's unit.
        dst: [H, W, C], like src.
        mask: [H, W], bool, uint8 or uint16 scaled by their range, or floats in [0, 1].
        out: [H, W, C] of an image dtype; may be dst itself. Integers are rounded half to even and clipped.
        levels: the number of halvings, at most.
        adapt: whether to halve only as long as the coarsest band has its full weight in a quarter of the mask.

    Returns:
        The number of values that were clipped.
    """
    src, dst, mask, target = (_arrays.aligned(x) for x in (src, dst, mask, out))
    clipped: int = native.laplacian(
        _arrays.view(src, "src"), _arrays.view(dst, "dst"), _arrays.view(mask, "mask"), levels, adapt,
        _arrays.view(target, "out", writable=True),
    )  # fmt: skip
    if target is not out:
        out[...] = target
    return clipped
