"""The colour transfers between regions, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from . import fecker, idt, luminance_temperature, match_histogram, mkl, reinhard, xiao_ma

__all__ = ["TRANSFERS"]

#: The transfers that recolour an object like that of another photograph: those of iHarmony4, and similar ones.
TRANSFERS: Mapping[str, Callable[..., Any]] = {
    transfer.__name__: transfer
    for transfer in (reinhard, xiao_ma, fecker, idt, mkl, luminance_temperature, match_histogram)
}
