"""The rows of the matting Laplacian and 60 steps of conjugate gradients, compared with those of SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy
from measure import Ledger, interleave
from scipy import sparse
from scipy.sparse.linalg import cg

import pyharmony
from pyharmony.ops import matting

GROUP = "the equations of matting"
SIZE, WIDTH, STEPS = (336, 448), 8, 60
RIDGE = 2e-5


def ring() -> tuple[Any, Any, Any]:
    """Returns random colours, a band along a circle, and values to start from."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    band = np.abs(np.hypot(y - SIZE[0] / 2, x - SIZE[1] / 2) - 120) < WIDTH
    return rng.random((*SIZE, 3), np.float32), band, rng.random(SIZE, np.float32)


def bench_rows(benchmark: Any, ledger: Ledger) -> None:
    guide, band, _ = ring()
    timings = interleave(benchmark, lambda: matting.rows(guide, band, RIDGE), {}, rounds=50)
    problem = f"{SIZE[1]} x {SIZE[0]}, {int(band.sum())} rows"
    ledger.add(GROUP, problem, "pyharmony.ops.matting.rows", timings["ours"], version=pyharmony.__version__)


def bench_steps(benchmark: Any, ledger: Ledger) -> None:
    guide, band, start = ring()
    count = int(band.sum())
    weights, pull = matting.rows(guide, band, RIDGE), np.full(count, 1e-3, np.float32)
    weights[12] += pull
    away = np.array([down * SIZE[1] + across for down in range(-2, 3) for across in range(-2, 3)])
    columns = np.flatnonzero(band) + away[:, None]
    rows = np.broadcast_to(np.arange(count), columns.shape)
    whole = sparse.csr_matrix((weights.ravel(), (rows.ravel(), columns.ravel())), (count, start.size))
    matrix, right = whole[:, band.ravel()], pull * start[band] - whole @ np.where(band, 0, start).ravel()
    scale = sparse.diags_array(1 / weights[12])
    timings = interleave(
        benchmark,
        lambda: matting.solution(band, weights, pull, start, steps=STEPS)[band],
        {"scipy": lambda: cg(matrix, right, start[band], rtol=0, maxiter=STEPS, M=scale)[0]},
        rounds=50,
    )
    problem = f"{SIZE[1]} x {SIZE[0]}, {count} rows, {STEPS} steps"
    ledger.add(GROUP, problem, "pyharmony.ops.matting.solution", timings["ours"], version=pyharmony.__version__)
    difference = np.abs(timings["ours"].result - timings["scipy"].result).max()
    ledger.add(
        GROUP, problem, "scipy.sparse.linalg.cg", timings["scipy"], against=timings["ours"], version=scipy.__version__,
        note=f"differs by up to {difference:.1g}",
    )  # fmt: skip
