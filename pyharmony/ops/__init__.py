"""The operations on arrays [H, W, C], numpy or torch."""

from .gaussian_poisson import gaussian_poisson
from .poisson import PoissonSolver, poisson

__all__ = ["PoissonSolver", "gaussian_poisson", "poisson"]
