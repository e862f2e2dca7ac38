"""The arguments and outcomes common to `gaussian_poisson` and `poisson`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from .. import _checks
from .._checks import SolveInfo
from .._native import native


@dataclass
class SolveCall:
    """The arguments of a solve by the op `op`, checked except for arrays, color_weight and tolerance."""

    op: ClassVar[str]

    src: Any
    dst: Any
    mask: Any
    base: Any
    color_weight: Any
    tolerance: float | None
    return_info: bool

    @property
    def arrays(self) -> dict[str, Any]:
        """The arrays by name; the first one determines the kind of the result."""
        color_map = _checks.map_or_none(self.color_weight)
        return {"dst": self.dst, "src": self.src, "mask": self.mask, "base": self.base, "color_weight": color_map}


@dataclass
class Outcome:
    """The outcome of a solve of one image, in the unit of its dtype.

    Attributes:
        clipped: the number of values clipped when they were stored, on the CPU.
        estimate: the estimate of the error by which the solve stopped; NaN if the method has none.
        peak_bytes: the scratch memory of a solve on a device.
    """

    method: str
    iterations: int
    residual: float
    max_error: float
    clipped: int = 0
    estimate: float = math.nan
    peak_bytes: int = 0

    def info(self, level: float, milliseconds: float, device: str = "cpu", values: int = 1) -> SolveInfo:
        """Returns the public info in 8-bit levels, each of the value `level`; values: the number of solved ones."""
        return SolveInfo(
            method=self.method,
            iterations=self.iterations,
            residual=self.residual / level,
            max_error=self.max_error / level,
            device=device,
            milliseconds=milliseconds,
            peak_bytes=self.peak_bytes,
            clipped=float(self.clipped / max(values, 1)) if device == "cpu" else math.nan,
        )


def measured(solve: Callable[[], SolveInfo], measures: bool, held: int = 0) -> SolveInfo:
    """Returns the info of a solve on the CPU, if it is to be measured with its memory and that which it held before."""
    if not measures:
        return solve()
    with native.Memory() as memory:
        info = solve()
    return replace(info, peak_bytes=held + memory.peak)
