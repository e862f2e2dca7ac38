"""The operations on arrays, numpy or torch: pictures [H, W, C], and tensors [N, C, H, W] of layers."""

from __future__ import annotations

from .._checks import SolveInfo
from .gaussian_poisson import gaussian_poisson
from .partial_conv import LayerPlan, MaskPlan, mask_plan, partial_conv2d
from .poisson import PoissonSequence, PoissonSolver, poisson
from .spectral_norm import spectral_norm
from .tiles import gaussian_poisson_tiles

__all__ = [
    "LayerPlan",
    "MaskPlan",
    "PoissonSequence",
    "PoissonSolver",
    "SolveInfo",
    "gaussian_poisson",
    "gaussian_poisson_tiles",
    "mask_plan",
    "partial_conv2d",
    "poisson",
    "spectral_norm",
]
