"""The mix of two arrays by a share, in float64 NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np


def mix(a: Any, b: Any, share: Any) -> Any:
    """Returns b + share (a - b)."""
    a, b, share = (np.asarray(x, np.float64) for x in (a, b, share))
    return b + share * (a - b)
