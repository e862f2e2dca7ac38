"""Convolutions with 4 x 4 weights, and transposed ones, for training on a CPU. Not public, see `pyharmony.networks.nn`.

See `pyharmony.reference.conv4x4` for the definition.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

__all__ = ["conv", "conv_transpose", "way_of"]

Way = Literal["filtered", "rows", "spread"]

_CHANNELS = 16  # the least number of channels of either side for which minimal filtering is faster
_TILES = 32  # the least number of tiles of 4 x 4 outer pixels for which it is faster
#: The largest number of output channels computed by folding products together.
_MAX_FOLDED_CHANNELS = 4


def way_of(
    images: int, sides: Sequence[int], inner: int, outer: int, stride: int, *, transposed: bool = False
) -> Way | None:
    """Returns the fastest way to convolve a number of images with channels `inner` to `outer`; None: torch's own.

    sides: the sides of the outer images, the results of a convolution or the inputs of a transposed one.
    """
    if min(inner, outer) >= _CHANNELS:
        return "filtered" if images * math.prod(-(-side // 4) for side in sides) >= _TILES else "rows"
    return "spread" if stride == 1 and outer <= _MAX_FOLDED_CHANNELS and not transposed else None


def conv(x: Any, weight: Any, bias: Any, stride: int, padding: int, way: Way) -> Any:
    """Returns the convolution of x, equal to torch's conv2d, with gradients of any order.

    Args:
        x, weight, bias: float32 on the CPU, [N, C, H, W] of any memory format, [K, C, 4, 4], and [K] or None.
        stride, padding: 1 or 2, and 0 to 3 rows and columns of zeros on each side.
        way: 'filtered', by Winograd's minimal filtering; 'rows', by windows as rows of a matrix; 'spread', for stride
            1, by products of pixels that are folded together.

    Returns:
        [N, K, h, w], channels-last. Its bits do not depend on the number of our threads; torch multiplies matrices.
    """
    from ._conv4x4_torch import WAYS, apply_conv

    return apply_conv(x, weight, bias, stride, padding, WAYS[way], False)


def conv_transpose(y: Any, weight: Any, bias: Any, stride: int, padding: int, way: Way) -> Any:
    """Returns the transposed convolution of y [N, K, h, w] by weight [K, C, 4, 4], equal to torch's conv_transpose2d.

    The arguments are those of `conv`; 'spread' is not supported.
    """
    from ._conv4x4_torch import WAYS, apply_conv

    return apply_conv(y, weight, bias, stride, padding, WAYS[way], True)
