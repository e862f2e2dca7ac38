"""The product of the matting Laplacian, one of some 60 in a matte, compared with a sparse matrix of SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy
from measure import Ledger, interleave
from scipy import sparse

import pyharmony
from pyharmony.ops import matting

GROUP = "the product of the matting Laplacian"
SIZE, WIDTH = (336, 448), 8


def bench_matting(benchmark: Any, ledger: Ledger) -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    band = np.abs(np.hypot(y - SIZE[0] / 2, x - SIZE[1] / 2) - 120) < WIDTH
    count = int(band.sum())
    weights = rng.random((25, count), np.float32)
    memory, values = matting.framed(SIZE)
    values[...] = rng.random(SIZE, np.float32)
    steps = np.array([down * SIZE[1] + across for down in range(-2, 3) for across in range(-2, 3)])
    columns = np.flatnonzero(band) + steps[:, None]
    rows = np.broadcast_to(np.arange(count), columns.shape)
    matrix = sparse.csr_matrix((weights.ravel(), (rows.ravel(), columns.ravel())), (count, values.size))
    flat = values.ravel()
    timings = interleave(
        benchmark, lambda: matting.product(band, weights, memory), {"scipy": lambda: matrix @ flat}, rounds=50
    )
    problem = f"{SIZE[1]} x {SIZE[0]}, {count} rows"
    ledger.add(GROUP, problem, "pyharmony.ops.matting.product", timings["ours"], version=pyharmony.__version__)
    difference = np.abs(timings["ours"].result - timings["scipy"].result).max()
    ledger.add(
        GROUP, problem, "scipy.sparse.csr_matrix", timings["scipy"], against=timings["ours"], version=scipy.__version__,
        note=f"differs by up to {difference:.1g}",
    )  # fmt: skip
