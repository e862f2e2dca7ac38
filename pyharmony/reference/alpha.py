"""Alpha compositing, in float64 NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def alpha(src: Any, dst: Any, mask: Any) -> npt.NDArray[np.float64]:
    """Returns m src + (1 - m) dst [H, W, C] where m [H, W], from 0 to 1, is above zero; elsewhere dst, even NaN."""
    s, d, m = (np.asarray(x, np.float64) for x in (src, dst, mask))
    result = d.copy()
    inside = m > 0
    weight = m[inside][:, None]
    result[inside] = weight * s[inside] + (1 - weight) * d[inside]
    return result
