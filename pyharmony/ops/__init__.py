"""Array operations, one module an op."""

from __future__ import annotations

from .poisson import PoissonSolver, poisson

__all__ = ["PoissonSolver", "poisson"]
