"""`ops.poisson` on thin, sparse and ragged masks: the tolerance is kept or a warning says so, and bounds are bounds."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.sparse.linalg as sparse_linalg

from pyharmony import _arrays, _checks
from pyharmony.ops import PoissonSolver, gaussian_poisson, poisson
from pyharmony.reference import gaussian_poisson as gp_definition

from ..equations import matrix

TOLERANCE = _checks.DEFAULT_TOLERANCE


def unit(dtype: str) -> float:
    """Returns the value of an 8-bit level."""
    return _arrays.VALUE_RANGE[dtype] / 255


# ---- the answer, independently --------------------------------------------------------------------------------------


def padding(axis: int, after: bool) -> list[tuple[int, int]]:
    """Returns the padding of an image [H, W, C] by a row or column of zeros."""
    return [(0, 0) if k != axis else (0, 1) if after else (1, 0) for k in range(3)]


def operator(x: Any, weight: Any) -> Any:
    """Returns (L + weight) x on the whole image, in x's precision."""
    y = weight[..., None] * x
    for axis in (0, 1):
        step = np.diff(x, axis=axis)
        y = y - np.pad(step, padding(axis, after=True)) + np.pad(step, padding(axis, after=False))
    return y


def exact(src: Any, dst: Any, mask: Any, *, gradients: str = "source", weight: Any = 0.0) -> tuple[Any, float]:
    """Solves the definition's equation by sparse LU; also returns its last correction by a residual of more digits."""
    src, dst, mask = (np.asarray(a, np.float64) for a in (src, dst, mask))
    unknown = mask > 0
    x = dst.astype(np.longdouble)
    if not unknown.any():
        return x, 0.0
    plane = np.broadcast_to(np.asarray(weight, np.float64), mask.shape)
    wide = [a.astype(np.longdouble) for a in (src, dst, mask)]
    b = plane[..., None] * wide[0]
    for axis, field in zip((1, 0), gp_definition.edge_field(*wide, gradients), strict=True):
        b = b - np.pad(field, padding(axis, after=True)) + np.pad(field, padding(axis, after=False))
    factors = sparse_linalg.splu(matrix(unknown, plane))
    correction = 0.0
    for _ in range(4):
        r = (b - operator(x, plane.astype(np.longdouble)))[unknown]
        step = factors.solve(r.astype(np.float64))
        x[unknown] += step
        correction = float(np.abs(step).max())
    return x, correction


# ---- what has to hold -----------------------------------------------------------------------------------------------


@dataclass
class Case:
    """A problem, and its description."""

    mask: Any
    src: Any
    dst: Any
    tolerance: float | None = None
    weight: Any = 0.0
    gradients: str = "source"

    def check(self, solve: Callable[..., Any] = poisson) -> tuple[float, float, bool]:
        """Returns error and bound in 8-bit levels, and whether a warning was given; asserts what must hold of them."""
        dtype = self.src.dtype.name
        options = {"gradients": self.gradients, "color_weight": self.weight, "tolerance": self.tolerance}
        with warnings.catch_warnings(record=True) as records:
            warnings.simplefilter("always")
            out, info = solve(self.src, self.dst, self.mask, return_info=True, **options)
        answer, own = exact(self.src, self.dst, self.mask, gradients=self.gradients, weight=self.weight)
        size = max(float(np.abs(answer).max()), _arrays.VALUE_RANGE[dtype])
        if dtype.startswith("u"):
            answer = np.clip(answer, 0, _arrays.VALUE_RANGE[dtype])
            rounding = 0.5 / unit(dtype)
        else:
            rounding = float(np.finfo(dtype).eps) * size / unit(dtype)
        rounding += own / unit(dtype) + 1e-12
        error = float(np.abs(out - answer).max()) / unit(dtype)
        limit = TOLERANCE[dtype] if self.tolerance is None else self.tolerance
        assert own <= 1e-3 * limit * unit(dtype), f"the judge is not exact enough: {own}"
        assert math.isfinite(info.max_error), f"bound {info.max_error}"
        assert error <= info.max_error + rounding, f"error {error}, bound {info.max_error}"
        assert records or error <= limit + rounding, f"error {error}, tolerance {limit}, {info.iterations} iterations"
        return error, info.max_error, bool(records)


def ones(height: int, width: int, *pixels: Any) -> Any:
    mask = np.ones((height, width), np.float32)
    for at in pixels:
        mask[at] = 0
    return mask


def images(kind: str, shape: tuple[int, int], dtype: str, rng: Any, channels: int = 1) -> tuple[Any, Any]:
    """Returns flat images, a constant apart; noise; or both. Their answers range from smooth to rough."""
    full = _arrays.VALUE_RANGE[dtype]
    size = (*shape, channels)
    src = np.zeros(size) if kind == "flat" else rng.random(size) * (1.0 if kind == "noise" else 0.2)
    dst = rng.random(size) if kind == "noise" else src + 0.8 if kind == "flat" else src + 0.6
    pair = (src * full, dst * full)
    return tuple(np.rint(a).astype(dtype) if dtype.startswith("u") else a.astype(dtype) for a in pair)  # type: ignore[return-value]


# ---- the masks that were found ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_transposed", [False, True])
@pytest.mark.parametrize("height", [800, 4000])
def test_a_strip_with_one_known_pixel_is_as_light_as_it(height: int, is_transposed: bool) -> None:
    mask = ones(height, 2, (0, 0))
    src, dst = np.zeros((height, 2, 1), np.uint8), np.full((height, 2, 1), 204, np.uint8)
    if is_transposed:
        mask, src, dst = mask.T.copy(), *(np.ascontiguousarray(a.transpose(1, 0, 2)) for a in (src, dst))
    out, info = poisson(src, dst, mask, return_info=True)
    assert np.array_equal(poisson(src, dst, mask), np.full_like(dst, 204))
    assert np.array_equal(out, np.full_like(dst, 204))
    assert info.max_error <= TOLERANCE["uint8"]


def known_plus(n: int) -> Any:
    return ones(n, n, (n // 2, slice(n // 2 - 2, n // 2 + 3)), (slice(n // 2 - 2, n // 2 + 3), n // 2))


REGRESSIONS = {
    "4000x3, a row known": (ones(4000, 3, 0), "float32", None),
    "4000x17": (ones(4000, 17, (0, 0)), "uint8", None),
    "65000x3": (ones(65000, 3, (0, 0)), "uint8", None),
    "3x900": (ones(3, 900, (0, 0)), "float64", 1e-3),
    "100x100, a cross known": (known_plus(100), "float64", 1e-3),
    "256x256": (ones(256, 256, (0, 0)), "float64", 1e-6),
}


WAYS = (("noise", True), ("flat", True), ("flat", False), ("noise", False))


@pytest.mark.large
@pytest.mark.parametrize(
    ("name", "kind", "is_transposed"),
    [
        pytest.param(name, *way, marks=() if way == WAYS[number % 4] else pytest.mark.full)
        for number, name in enumerate(REGRESSIONS)
        for way in WAYS
    ],
)
def test_few_known_pixels_within_tolerance_and_bound(name: str, kind: str, is_transposed: bool) -> None:
    mask, dtype, tolerance = REGRESSIONS[name]
    mask = np.ascontiguousarray(mask.T) if is_transposed else mask
    src, dst = images(kind, mask.shape, dtype, np.random.default_rng(0))
    _, bound, has_warned = Case(mask, src, dst, tolerance).check()
    assert not has_warned
    assert bound <= (TOLERANCE[dtype] if tolerance is None else tolerance)


LARGE_SHAPES = ((12000, 129), (512, 512), (200, 2000))
DTYPES = ("uint8", "float32", "float64")


@pytest.mark.large
@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        pytest.param(shape, dtype, marks=() if LARGE_SHAPES.index(shape) == DTYPES.index(dtype) else pytest.mark.full)
        for shape in LARGE_SHAPES
        for dtype in DTYPES
    ],
)
def test_few_known_pixels_in_large_images(shape: tuple[int, int], dtype: str) -> None:
    """The answer is known without a solve, since src is a constant apart from dst."""
    mask = ones(*shape, (0, 0))
    src, dst = images("flat", shape, dtype, np.random.default_rng(0))
    out, info = poisson(src, dst, mask, return_info=True)
    error = float(np.abs(out.astype(np.float64) - dst).max()) / unit(dtype)
    assert error <= TOLERANCE[dtype]
    assert error <= info.max_error + 1e-9
    if shape == (512, 512):
        assert info.max_error <= TOLERANCE[dtype]


# The short form of 65000x3 is among the few known pixels above.
@pytest.mark.large
@pytest.mark.parametrize(
    "shape",
    [*(pytest.param(shape, marks=pytest.mark.full) for shape in ((30000, 3), (65000, 3))), (1, 65000), (63470, 1)],
)
def test_bounds_of_the_longest_ways_are_finite(shape: tuple[int, int]) -> None:
    mask = ones(*shape, (0, 0))
    src, dst = images("flat", shape, "float32", np.random.default_rng(0))
    out, info = poisson(src, dst, mask, return_info=True)
    error = float(np.abs(out - dst).max()) * 255
    assert error <= info.max_error + 1e-4
    assert info.max_error <= TOLERANCE["float32"]


def test_a_bound_that_cannot_be_had_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    class Hierarchy:
        unknowns, bytes = 1, 0

        def solve(self, *images: Any, **options: Any) -> dict[str, Any]:
            return {
                "converged": True, "iterations": 3, "estimate": 0.0, "residual": 0.0, "max_error": math.inf,
                "clipped": 0,
            }  # fmt: skip

    module = importlib.import_module("pyharmony.ops._poisson_cpu")
    monkeypatch.setattr(module, "hierarchy_of", lambda mask, weight: Hierarchy())
    src, dst = images("flat", (4, 5), "uint8", np.random.default_rng(0))
    with pytest.warns(RuntimeWarning, match=r"no bound of the error could be proven.*A w = 1"):
        _, info = poisson(src, dst, ones(4, 5, 0), return_info=True)
    assert math.isnan(info.max_error)


# ---- maps of weights ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 1), (5, 4), (40, 3)])
def test_float64_maps_of_weights_keep_their_digits(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    weight = rng.random(shape) * 0.1 + 0.01
    mask = np.ones(shape, np.float32)
    src, dst = images("noise", shape, "float64", rng)
    base = dst[::-1].copy()
    out, info = poisson(src, dst, mask, color_weight=weight, base=base, tolerance=1e-9, return_info=True)
    factors = sparse_linalg.splu(matrix(mask > 0, weight))
    b = gp_definition.divergence(*gp_definition.edge_field(src, dst, mask.astype(np.float64), "source"))
    answer = factors.solve((b + weight[..., None] * base).reshape(-1)).reshape(out.shape)
    error = float(np.abs(out - answer).max()) * 255
    assert error <= 1e-9
    assert error <= info.max_error + 255 * 4e-15
    assert poisson(src, dst, mask, color_weight=weight.astype(np.float32), base=base).shape == out.shape


def test_float64_maps_of_weights_in_gaussian_poisson() -> None:
    rng = np.random.default_rng(4)
    shape = (12, 9)
    weight = rng.random(shape) * 0.2 + 0.05
    src, dst = images("noise", shape, "float64", rng)
    mask = ones(*shape)
    out, info = gaussian_poisson(src, dst, mask, src, color_weight=weight, tolerance=1e-8, return_info=True)
    answer = gp_definition.gaussian_poisson(src, dst, mask, src, color_weight=weight)
    error = float(np.abs(out - answer).max()) * 255
    assert error <= 1e-8
    # The definition ends at a residual of 1e-14, of values around 1; the smallest weight is the smallest eigenvalue.
    assert error <= info.max_error + 255 * 1e-14 / weight.min()


# ---- masks of all kinds ---------------------------------------------------------------------------------------------


def random_mask(shape: tuple[int, int], rng: Any) -> Any:
    """Returns a mask with one known pixel to all but one, in the ways that leave a solver least to hold on to."""
    h, w = shape
    kind = rng.integers(8)
    mask = np.ones(shape, np.float32)
    if kind == 0:  # one known, at a corner or anywhere
        mask[(0, 0) if rng.random() < 0.5 else (rng.integers(h), rng.integers(w))] = 0
    elif kind == 1:  # an end of the longer side
        mask[(slice(None), 0) if w > h else (0, slice(None))] = 0
    elif kind == 2:  # a few, up to a hundred
        count = int(10 ** (2 * rng.random()))
        mask[rng.integers(h, size=count), rng.integers(w, size=count)] = 0
    elif kind == 3:  # a share, from one in ten thousand to nearly all
        mask[rng.random(shape) < 10 ** (-4 * rng.random())] = 0
    elif kind == 4:  # one unknown to a few
        mask[:] = 0
        count = int(10 ** (1.5 * rng.random()))
        mask[rng.integers(h, size=count), rng.integers(w, size=count)] = 1
    elif kind == 5:  # ragged rows, open at one side
        reach = np.minimum(np.cumsum(rng.integers(-2, 3, h)) + w // 2, w)
        mask[np.arange(w) >= np.maximum(reach, 1)[:, None]] = 0
        mask[0, 0] = 0
    elif kind == 6:  # noise at one end, nothing known at the other
        part = np.s_[: max(h // 3, 1)] if h >= w else np.s_[:, : max(w // 3, 1)]
        mask[part] = rng.random(mask[part].shape) < 0.7
    else:  # a soft contour at one end
        length = max(h, w)
        ramp = np.clip(np.arange(length) / max(length * rng.random(), 1), 0, 1) ** 2
        mask *= (ramp[:, None] if h >= w else ramp[None]).astype(np.float32)
    if not mask.any():
        mask[-1, -1] = 1
    if mask.all():
        mask[0, 0] = 0
    return mask


def random_case(seed: int, most_pixels: int) -> Case:
    rng = np.random.default_rng(seed)
    short = int(np.exp(rng.random() * np.log(48)))
    long = int(np.exp(rng.random() * np.log(min(65000, most_pixels // short))))
    shape = (max(long, 2), short) if rng.random() < 0.5 else (short, max(long, 2))
    mask = random_mask(shape, rng)
    dtype = str(rng.choice(["uint8", "float32", "float64"]))
    gradients = str(rng.choice(["source", "source", "mixed", "average"]))
    channels = int(rng.choice([1, 1, 2]))
    src, dst = images(str(rng.choice(["flat", "noise", "both"])), shape, dtype, rng, channels)
    tolerance = None
    if rng.random() < 0.4:
        tolerance = {"uint8": 0.25, "float32": 0.025, "float64": 1e-3}[dtype] * 10 ** (2 * rng.random() - 1)
    weight: Any = 0.0
    draw = rng.random()
    if draw < 0.2:
        weight = 10 ** (-6 * rng.random())
    elif draw < 0.4:
        weight = 10 ** (-4 * rng.random()) * rng.random(shape) ** 3
        weight[rng.random(shape) < 0.2] = 0
        weight = weight.astype(np.float32) if rng.random() < 0.5 else weight
    return Case(mask, src, dst, tolerance, weight, gradients)


@pytest.mark.parametrize("seed", range(150))
def test_random_thin_sparse_and_ragged_masks(seed: int) -> None:
    random_case(seed, most_pixels=6000).check()


@pytest.mark.full
@pytest.mark.parametrize("part", range(30))
def test_three_thousand_thin_sparse_and_ragged_masks(part: int) -> None:
    for seed in range(1000 + 100 * part, 1100 + 100 * part):
        try:
            random_case(seed, most_pixels=200_000).check()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


def test_a_sequence_keeps_its_tolerance_on_a_strip() -> None:
    mask = ones(2000, 3, 0)
    film = PoissonSolver(mask).sequence()
    for i in range(4):
        src, dst = images("both", mask.shape, "float32", np.random.default_rng(i))
        dst += np.float32(0.05 * i)
        answer, _ = exact(src, dst, mask)
        out, info = film.solve(src, dst, return_info=True)
        error = float(np.abs(out - answer).max()) * 255
        assert error <= TOLERANCE["float32"]
        assert error <= info.max_error + 1e-4
