"""`ops.poisson` under all weights from 0 to 1e6 and maps of them: no tolerance is missed without a warning."""

from __future__ import annotations

import warnings
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import scipy.sparse.linalg as sparse_linalg

from pyharmony import _arrays, _checks
from pyharmony.ops import poisson
from pyharmony.reference import gaussian_poisson as gp_definition

from ..equations import matrix
from ..shared import DTYPES

RANGE = _arrays.VALUE_RANGE
LONG_DOUBLE = np.longdouble


def right_hand_side(src: Any, dst: Any, mask: Any, gradients: str, contour: str, real: Any) -> Any:
    """Returns b - L dst outside the mask, at the unknown pixels, [H, W, C]; the terms of weights are not in it."""
    src, dst, mask = (x.astype(real) for x in (src, dst, mask))
    b = gp_definition.divergence(*gp_definition.edge_field(src, dst, mask, gradients, contour=contour))
    boundary = np.where((mask > 0)[..., None], real(0), dst)
    return b - _laplace(boundary)


def _laplace(x: Any) -> Any:
    """Returns L x, from differences, in the dtype of x."""
    result = np.zeros_like(x)
    for axis in (0, 1):
        d = np.diff(x, axis=axis)
        first, last = [slice(None)] * 3, [slice(None)] * 3
        first[axis], last[axis] = slice(None, -1), slice(1, None)
        result[tuple(first)] -= d
        result[tuple(last)] += d
    return result


def refined(b: Any, unknown: Any, weight: Any, base: Any, dst: Any) -> Any:
    """Returns the solution to about 1e-15 of its size: residuals are extended, and a mean that only weights fix is set.

    Where every pixel is unknown, the rows of the equation sum to sum(weight (x - base)) = 0.
    """
    c = np.broadcast_to(np.asarray(weight, LONG_DOUBLE), unknown.shape)[..., None]
    # A weight of about 1e-4 more makes the factorisation safe; each refinement leaves a small share of its error.
    whole = bool(unknown.all())
    extra = 1e-6 if whole and float(c.max()) < 1e-3 else 0.0
    factors = sparse_linalg.splu(matrix(unknown, np.asarray(c[..., 0], np.float64) + extra))
    x = np.where(unknown[..., None], base.astype(LONG_DOUBLE), dst.astype(LONG_DOUBLE))
    inside = np.where(unknown[..., None], x, LONG_DOUBLE(0))
    steps = []
    for _ in range(60):
        r = b + c * (base - inside) - _laplace(inside)
        step = np.zeros_like(inside)
        step[unknown] = factors.solve(np.asarray(r[unknown], np.float64))
        inside += step
        if whole and float(c.max()) > 0:
            inside += (c * (base - inside)).sum((0, 1)) / c.sum()
        steps.append(float(np.abs(step).max()))
        if steps[-1] <= 1e-17 * float(np.abs(inside).max()):
            break
    return np.where(unknown[..., None], inside, dst)


def rational(case: dict[str, Any], base: Any) -> Any:
    """Returns the solution in rational arithmetic, rounded once; not for luma, whose weights are rounded."""
    images = [np.vectorize(lambda v: Fraction(float(v)), otypes=[object])(case[k]) for k in ("src", "dst")]
    src, dst, mask, base = *images, case["mask"], base.astype(np.float64)
    h, w = mask.shape
    c = np.broadcast_to(np.asarray(case["color_weight"], np.float64), mask.shape)
    at = [tuple(map(int, p)) for p in np.argwhere(mask > 0)]
    index = {p: k for k, p in enumerate(at)}
    rows: list[dict[int, Fraction]] = []
    sides: list[Any] = []
    for i, j in at:
        near = [(y, x) for y, x in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)) if 0 <= y < h and 0 <= x < w]
        weight = Fraction(float(c[i, j]))
        side = np.array([weight * Fraction(float(v)) for v in base[i, j]], object)
        for p in near:
            m, n = Fraction(float(mask[i, j])), Fraction(float(mask[p]))
            share = max(m, n) if case["contour"] == "full" else (m + n) / 2
            own, other = src[i, j] - src[p], dst[i, j] - dst[p]
            guide = own
            if case["gradients"] == "average":
                guide = (own + other) / 2
            elif case["gradients"] == "mixed" and (other**2).sum() > (own**2).sum():
                guide = other
            side = side + share * guide + (1 - share) * other
            if p not in index:
                side = side + dst[p]
        rows.append({**{index[p]: Fraction(-1) for p in near if p in index}, index[i, j]: len(near) + weight})
        sides.append(side)
    for k in range(len(at)):
        for m in range(k + 1, len(at)):
            if k in rows[m]:
                factor = rows[m].pop(k) / rows[k][k]
                for column in [column for column in rows[k] if column > k]:
                    rows[m][column] = rows[m].get(column, Fraction(0)) - factor * rows[k][column]
                sides[m] = sides[m] - factor * sides[k]
    result = case["dst"].astype(np.float64)
    for k in reversed(range(len(at))):
        terms = [value * sides[column] for column, value in rows[k].items() if column > k]
        sides[k] = (sides[k] - sum(terms)) / rows[k][k]
        result[at[k]] = [float(v) for v in sides[k]]
    return result


def a_weight(rng: Any, shape: tuple[int, int], full: bool) -> Any:
    """Returns a number from 0 to 1e6, or a map of them; above 0 somewhere if the mask has no known pixel."""
    kind = rng.integers(0, 9)
    number = float(min(10 ** rng.uniform(*((-16, 0) if rng.random() < 0.6 else (-308, 6))), 1e6))
    if kind < 4:
        return [number, number, 1e6, 5e-324][kind]
    if kind == 4 and not full:
        return 0.0
    plane = np.full(shape, number)
    if kind == 5:  # one pixel alone
        plane[:] = 0
        plane[rng.integers(shape[0]), rng.integers(shape[1])] = number
    elif kind == 6:
        plane = 10 ** rng.uniform(-16, 6, shape)
    elif kind == 7:
        plane *= rng.random(shape)
        plane[:, : shape[1] // 2] = 0
    elif kind == 8:
        plane = 10 ** rng.uniform(-300, rng.uniform(-20, 6), shape)
    plane = np.minimum(plane, 1e6).astype(np.float64 if rng.random() < 0.7 else np.float32)
    return plane if plane.any() else number


def a_case(seed: int, largest: int) -> dict[str, Any]:
    """Returns the arguments of a solve, dst's dtype among them; half of the masks have no known pixel."""
    rng = np.random.default_rng([60, seed])
    h, w = (int(n) for n in rng.integers(1, largest + 1, 2))
    dtype = DTYPES[seed % 5]
    full = rng.random() < 0.5
    mask = rng.random((h, w)) * 0.9 + 0.1 if rng.random() < 0.5 else np.ones((h, w))
    if not full:
        kind = rng.integers(0, 3)
        if kind == 0:
            mask[rng.integers(h), rng.integers(w)] = 0
        elif kind == 1:
            mask[rng.random((h, w)) < 0.3] = 0
        else:
            mask[: h // 2] = 0
        full = bool(mask.all())
    channels = int(rng.integers(1, 4))
    spread = 0.1 if dtype.startswith("u") else 1.0  # integers must not clip
    ramp = np.linspace(0.4, 0.6, w)[None, :, None]
    images = [ramp + spread * (rng.random((h, w, channels)) - 0.5) for _ in range(3)]
    src, dst, base = (np.rint(x * RANGE[dtype]).astype(dtype) if dtype[0] == "u" else x.astype(dtype) for x in images)
    weight = a_weight(rng, (h, w), full)
    return {
        "src": src, "dst": dst, "mask": mask, "color_weight": weight, "base": None if rng.random() < 0.3 else base,
        "gradients": _checks.GRADIENTS[rng.integers(4)], "contour": _checks.CONTOURS[rng.integers(2)],
        "tolerance": None if rng.random() < 0.8 else float(10 ** rng.uniform(-8, 1)), "return_info": rng.random() < 0.5,
    }  # fmt: skip


def check(case: dict[str, Any], solution: Any) -> bool:
    """Raises if a solve misses its tolerance, or its bound the error, without a warning; returns whether it warned."""
    dtype = case["dst"].dtype.name
    level = RANGE[dtype] / 255
    options = {key: case[key] for key in ("base", "color_weight", "gradients", "contour", "tolerance", "return_info")}
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        result: Any = poisson(case["src"], case["dst"], case["mask"], **options)
    out, info = result if case["return_info"] else (result, None)
    has_warned = any(issubclass(w.category, RuntimeWarning) for w in record)
    tolerance = _checks.tolerance(case["tolerance"], dtype)
    size = float(max(1e-300, np.abs(solution).max(), np.abs(case["src"]).max()))
    rounding = {"uint8": 0.5, "uint16": 0.5, "float16": 2.0**-11 * size, "float32": 2.0**-23 * size}.get(dtype, 0.0)
    rounding = (rounding + 1e-14 * size) / level
    error = float(np.abs(out.astype(np.float64) - solution).max()) / level
    description = {k: v for k, v in case.items() if k not in ("src", "dst", "mask", "base")}
    assert np.isfinite(error), description
    assert has_warned or error <= tolerance + rounding, (error, tolerance, info, case["dst"].shape, description)
    if info is not None:
        assert error - rounding <= info.max_error or (has_warned and np.isnan(info.max_error)), (
            error,
            info,
            description,
        )
    return has_warned


def run_cases(seeds: range) -> int:
    """Checks small images beside rational arithmetic, and larger ones; returns how many solves warned."""
    count = 0
    for seed in seeds:
        small = seed % 4 == 0
        case = a_case(seed, 5 if small else 40)
        unknown = case["mask"] > 0
        if not unknown.any():
            continue
        base = case["src"] if case["base"] is None else case["base"]
        b = right_hand_side(case["src"], case["dst"], case["mask"], case["gradients"], case["contour"], LONG_DOUBLE)
        solution = np.asarray(refined(b, unknown, case["color_weight"], base, case["dst"]), np.float64)
        if small and case["gradients"] != "monochrome":
            true = rational(case, base)
            assert np.abs(solution - true).max() <= 1e-13 * np.abs(true).max(), seed
        count += check(case, solution)
    return count


@pytest.mark.slow
def test_no_weight_misses_a_tolerance_in_silence() -> None:
    """The solves of sixty weights, maps and masks, in every dtype."""
    run_cases(range(961, 962))  # the least weight of all, 5e-324, whose reciprocal is infinite
    count = run_cases(range(60))
    assert count <= 6, "tolerances that can be reached are missed"


@pytest.mark.full
@pytest.mark.parametrize("part", range(10))
def test_no_weight_of_three_thousand_misses_a_tolerance_in_silence(part: int) -> None:
    run_cases(range(300 * part, 300 * (part + 1)))
