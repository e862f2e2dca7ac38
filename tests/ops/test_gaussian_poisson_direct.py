"""Every way of `gaussian_poisson` beside SciPy's direct solution: thin images, tiny and huge weights, every dtype."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.sparse.linalg as linalg

from pyharmony import _arrays, _checks, ops
from pyharmony.reference import gaussian_poisson as definition

from ..equations import matrix
from ..shared import DTYPES, to_dtype

METHODS = ("auto", "auto", "chebyshev", "dct", "multigrid")
#: The weights drawn, but for a few that are 0: from far below what float32 can tell from 0 to the largest accepted.
WEIGHTS = 1e-9, 9.9e5


@dataclass
class Case:
    """One random solve: its arrays and options."""

    src: Any
    dst: Any
    mask: Any
    base: Any
    weight: Any
    options: dict[str, Any]

    def solve(self, return_info: bool) -> tuple[Any, list[str]]:
        """Returns what the op returns, and the texts of the warnings."""
        with warnings.catch_warnings(record=True) as records:
            warnings.simplefilter("always")
            result = ops.gaussian_poisson(
                self.src, self.dst, self.mask, self.base, color_weight=self.weight, return_info=return_info,
                **self.options,
            )  # fmt: skip
        return result, [str(warning.message) for warning in records]

    def told(self) -> str:
        weight = (
            self.weight if isinstance(self.weight, float) else f"map {self.weight.min():.3g}–{self.weight.max():.3g}"
        )
        return f"{self.dst.dtype} {list(self.dst.shape)} weight {weight} {self.options}"


def random_case(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    dtype = str(rng.choice(DTYPES))
    shape = [(1, 300), (300, 1), (12, 12), (40, 40), (3, 300), (90, 5)][rng.integers(6)]
    h, w = (int(rng.integers(1, n + 1)) for n in shape)
    channels = int(rng.integers(1, 4))

    def image() -> Any:
        x = rng.random((h, w, channels))
        if rng.random() < 0.4:
            x = np.cumsum(np.cumsum(x - 0.5, 0), 1)
            x = (x - x.min()) / max(np.ptp(x), 1e-9)
        if rng.random() < 0.2:
            x = np.rint(x)
        return to_dtype(x, dtype)

    src, dst, base = image(), image(), image()
    mask = rng.random((h, w)) if rng.random() < 0.5 else (rng.random((h, w)) < 0.6).astype(np.float64)
    weight: Any = float(np.exp(rng.uniform(*np.log(WEIGHTS)))) if rng.random() < 0.85 else 0.0
    pinned = bool(rng.random() < 0.35)
    method = str(rng.choice(METHODS))
    if rng.random() < 0.2 and method != "dct":
        weight = weight * rng.random((h, w)) ** 3
        if rng.random() < 0.3 and method != "chebyshev":
            weight[rng.random((h, w)) < 0.3] = 0
    if method == "dct":
        pinned = False
    if method == "chebyshev" and not np.min(weight) > 0:
        method = "auto"
    sigma = float(rng.choice([0.0, 0.3, 0.5, 0.5, 0.8]))
    tolerance = None if rng.random() < 0.8 else float(np.exp(rng.uniform(np.log(1e-7), 0)))
    options = {"method": method, "preserve_background": pinned, "sigma": sigma, "tolerance": tolerance}
    if rng.random() < 0.15:
        options["as_published"] = True
    if rng.random() < 0.15:
        options["gradient_kernel"] = str(rng.choice(list(definition.GRADIENT_KERNELS)))
    if dtype not in ("float32", "float64") and rng.random() < 0.3:
        base = base.astype(rng.choice(["float32", "float64"]))
        base += rng.random(base.shape).astype(base.dtype)
    return Case(src, dst, mask, base, weight, options)


def direct_solution(case: Case) -> Any:
    """Returns x [H, W, C] by SciPy's sparse LU in float64, refined with residuals in extended precision."""
    h, w, channels = case.dst.shape
    src, dst, base = (x.astype(np.longdouble) for x in (case.src, case.dst, case.base))
    mask = case.mask.astype(np.longdouble)
    weight = np.broadcast_to(np.asarray(case.weight, np.float64), (h, w))
    w0, w1 = definition.gaussian_taps(case.options["sigma"], not case.options.get("as_published", False))
    unknown = (mask > 0) | (not case.options["preserve_background"])
    if not unknown.any():
        return dst
    free = unknown.all() and not weight.any()  # nothing fixes the mean: it is that of base
    b = (
        definition.divergence(
            *definition.edge_field(src, dst, mask, gradient_kernel=case.options.get("gradient_kernel", "normal"))
        )
        + weight[..., None] * base
    )
    solved = unknown.ravel().copy()
    x = np.where(unknown[..., None], base, dst)
    if free:
        solved[0] = False
    if not solved.any():
        return x
    lu = linalg.splu(matrix(solved.reshape(h, w), weight, w0, w1))
    for _ in range(8):
        r = (b - definition.apply_operator(x, weight, w0, w1)).reshape(h * w, channels)[solved]
        e = lu.solve(np.ascontiguousarray(r, np.float64))
        flat = x.reshape(h * w, channels)
        flat[solved] += e
        x = flat.reshape(h, w, channels)
        if np.abs(e).max() <= 1e-17 * max(1.0, float(np.abs(x).max())):
            break
    if unknown.all():  # the rows sum to the mean, which the residual leaves to rounding where the weights are tiny
        c = (np.ones((h, w)) if free else weight).astype(np.longdouble)[..., None]
        gain = 1.0 if free else (np.longdouble(w0) + 2 * np.longdouble(w1)) ** 2
        x = x + ((c * base).sum((0, 1)) / gain - (c * x).sum((0, 1))) / c.sum()
    return x


def error_of(out: Any, x: Any) -> float:
    """Returns the largest error of a result in 8-bit levels, without that of rounding to its dtype."""
    level = _arrays.VALUE_RANGE[out.dtype.name] / 255
    if out.dtype.kind == "u":
        x = np.clip(x, 0, _arrays.VALUE_RANGE[out.dtype.name])
        rounding: Any = 0.5
    else:
        rounding = np.maximum(np.spacing(np.abs(out)), np.spacing(np.abs(x.astype(out.dtype)))) / np.longdouble(2)
    return float(np.maximum(np.abs(out.astype(np.longdouble) - x) - rounding, 0).max() / level)


def faults_of(case: Case) -> list[str]:
    """Returns what the solve of a case promised and did not keep, without a proof and with one."""
    x = direct_solution(case)
    out, warnings_of_result = case.solve(return_info=False)
    (proven, info), warned_of_bound = case.solve(return_info=True)
    tolerance = case.options["tolerance"] or _checks.DEFAULT_TOLERANCE[out.dtype.name]
    faults = []
    for result, warnings_of_it in ((out, warnings_of_result), (proven, warned_of_bound)):
        error = error_of(result, x)
        if error > tolerance and not warnings_of_it:
            faults.append(f"{info.method}: error {error:.3g} levels, tolerance {tolerance:.3g}, no warning")
    if error > info.max_error:
        faults.append(f"{info.method}: error {error:.3g} levels, bound {info.max_error:.3g}")
    return [f"{case.told()}, {fault}" for fault in faults]


#: Each block is 50 solves; the short form runs 150, sanitizers 50, the long form 3,000.
BLOCKS = [
    0, *(pytest.param(block, marks=pytest.mark.large) for block in (1, 2)),
    *(pytest.param(block, marks=pytest.mark.full) for block in range(3, 60)),
]  # fmt: skip


@pytest.mark.parametrize("block", BLOCKS)
def test_random_solves_keep_their_tolerance_and_their_bound(block: int) -> None:
    """Each is within its tolerance or warns of it, and its error is within its bound."""
    faults = [fault for seed in range(50 * block, 50 * block + 50) for fault in faults_of(random_case(seed))]
    assert not faults, "\n".join(faults)


def picture(shape: tuple[int, int], dtype: str, seed: int) -> Any:
    return to_dtype(np.random.default_rng(seed).random((*shape, 1)), dtype)


@pytest.mark.parametrize(
    ("dtype", "shape", "weight", "method", "more"),
    [
        ("float32", (4, 3), 2.2e-6, "dct", {"gradient_kernel": "sobel"}),
        ("float32", (7, 43), 1e-6, "dct", {"gradient_kernel": "roberts"}),
        ("float16", (3, 282), 0.0, "dct", {}),
        ("uint16", (3, 300), 0.0, "auto", {}),
        ("uint8", (1, 295), 3.5e-6, "chebyshev", {}),
        ("float32", (24, 2), 1.5e-9, "multigrid", {}),
        ("uint16", (20, 30), 4720.0, "auto", {}),
        ("uint16", (20, 30), 4720.0, "multigrid", {}),
        ("uint16", (20, 30), 4720.0, "chebyshev", {}),
    ],
)
def test_weights_that_float32_cannot_tell(
    dtype: str, shape: tuple[int, int], weight: float, method: str, more: dict[str, Any]
) -> None:
    for seed in range(4):
        src, dst, base = (picture(shape, dtype, 3 * seed + k) for k in range(3))
        mask = np.random.default_rng(seed).random(shape)
        options = {"method": method, "preserve_background": False, "sigma": 0.5, "tolerance": None, **more}
        assert not faults_of(Case(src, dst, mask, base, weight, options))


@pytest.mark.parametrize("pinned", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_maps_that_hardly_fix_the_mean(dtype: str, pinned: bool) -> None:
    """Weights far below every other eigenvalue, and zeros among them; a mask above 0 everywhere has no known pixel."""
    for seed, shape in enumerate([(2, 25), (21, 14), (1, 40), (34, 1), (60, 50)]):
        rng = np.random.default_rng(seed)
        src, dst, base = (picture(shape, dtype, 3 * seed + k) for k in range(3))
        weight = 10.0 ** rng.uniform(-16, -6, shape) * (rng.random(shape) < 0.7)
        options = {"method": "auto", "preserve_background": pinned, "sigma": 0.5, "tolerance": None}
        case = Case(src, dst, 0.1 + 0.9 * rng.random(shape), base, weight, options)
        assert not faults_of(case) and not case.solve(return_info=True)[1]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16"])
def test_the_bound_counts_the_rounding_of_the_result(dtype: str) -> None:
    """Where base is nearly src, the solution is src and a correction so small that only their sum is rounded."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        shape = (90, 120, 3)
        src, dst = (to_dtype(1 - 0.3 * rng.random(shape), dtype) for _ in range(2))
        base = src + rng.uniform(-5e-4, 5e-4, shape) * _arrays.VALUE_RANGE[dtype]
        mask = 1 - 0.001 * rng.random(shape[:2])
        mask[0] = 0
        options = {"method": "multigrid", "preserve_background": True, "sigma": 0.3, "tolerance": None}
        assert not faults_of(Case(src, dst, mask, base, 4720.0 * 2.0**seed, options))
