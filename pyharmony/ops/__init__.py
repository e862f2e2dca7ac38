"""Operations on NumPy and torch arrays: images [H, W, C], and tensors [N, C, H, W] of network layers."""

from __future__ import annotations

from .._checks import SolveInfo
from .._public import publish

__all__ = [
    "Affine",
    "ColorStats",
    "Curves",
    "Exp",
    "Light",
    "Log",
    "Lut",
    "MaskPlan",
    "PoissonSequence",
    "PoissonSolver",
    "RegionStats",
    "SolveInfo",
    "color_grid",
    "color_map",
    "color_stats",
    "gaussian_poisson",
    "gaussian_poisson_tiles",
    "instance_norm",
    "mask_plan",
    "partial_conv2d",
    "poisson",
    "spectral_norm",
]

HOMES = (
    {name: name for name in __all__ if name != "SolveInfo"}
    | dict.fromkeys(("Affine", "Curves", "Exp", "Light", "Log", "Lut"), "color_map")
    | dict.fromkeys(("ColorStats", "RegionStats"), "color_stats")
    | dict.fromkeys(("MaskPlan", "mask_plan", "partial_conv2d"), "partial_conv")
    | dict.fromkeys(("PoissonSequence", "PoissonSolver"), "poisson")
    | {"gaussian_poisson_tiles": "tiles"}
)
publish(globals(), homes=HOMES)
