"""Operations on NumPy and torch arrays: images [H, W, C], and tensors [N, C, H, W] of network layers."""

from __future__ import annotations

from .._checks import SolveInfo
from .._public import publish
from .color_grid import color_grid
from .color_map import Affine, Curves, Exp, Light, Log, Lut, color_map
from .color_stats import ColorStats, RegionStats, color_stats
from .gaussian_poisson import gaussian_poisson
from .instance_norm import instance_norm
from .partial_conv import MaskPlan, mask_plan, partial_conv2d
from .poisson import PoissonSequence, PoissonSolver, poisson
from .spectral_norm import spectral_norm
from .tiles import gaussian_poisson_tiles

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

publish(globals())
