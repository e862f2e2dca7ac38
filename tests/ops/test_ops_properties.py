"""The solves of `pyharmony.ops` on any shape, dtype, layout and mask are right, or raise the documented error.

Small problems are compared with the float64 definition, larger ones through the residual that the
definition's operator gives and the bound that it proves.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyharmony
from pyharmony import ops
from pyharmony._arrays import VALUE_RANGE
from pyharmony._checks import DEFAULT_TOLERANCE
from pyharmony.errors import ArgumentError, DTypeError, MaskError, ShapeError
from pyharmony.reference import gaussian_poisson as definition

from ..shared import DTYPES

MASK_DTYPES = ("bool", *DTYPES)
LAYOUTS = ("plain", "flipped", "sliced", "planar", "offset")
GRADIENTS = ("source", "mixed", "average", "monochrome")
WEIGHTS = (0.0, 1e-3, 0.02, 0.15, 1.0, 4.0, "map", "map with zeros")

#: The number of pixels up to which the definition is solved, in about 50 ms.
MAX_SOLVED_PIXELS = 500


@dataclass(repr=False)
class Problem:
    """Arguments of an op: images [H, W], [H, W, C] or [N, H, W, C], masks [H, W] or [N, H, W]."""

    src: Any
    dst: Any
    mask: Any
    base: Any
    weight: Any
    tolerance: float | None
    drawn: str

    def __repr__(self) -> str:
        return f"Problem({self.drawn}, tolerance={self.tolerance})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))

    @property
    def images(self) -> tuple[Any, ...]:
        return self.src, self.dst, self.mask, self.base

    @property
    def levels(self) -> float:
        return DEFAULT_TOLERANCE[self.dst.dtype.name] if self.tolerance is None else self.tolerance

    def inside(self) -> Any:
        """Returns the masks in [0, 1] as [N, H, W], one for each image."""
        items = self.dst.shape[0] if self.dst.ndim == 4 else 1
        share = self.mask.astype(np.float64) / VALUE_RANGE.get(self.mask.dtype.name, 1.0)
        return np.broadcast_to(share, (items, *share.shape[-2:]))

    def refused(self) -> bool:
        """Returns whether the mask is taken for a mistake, as an integer one with 1 as its largest value: MaskError."""
        planes = self.mask if self.mask.ndim == 3 else self.mask[None]
        return self.mask.dtype.kind == "u" and any(m.size > 1 and m.max() == 1 for m in planes)


def laid_out(x: Any, layout: str) -> Any:
    """Returns the same values in another order in memory, or starting inside an allocation."""
    if layout == "flipped":
        return np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1]
    if layout == "sliced":
        wide = np.zeros((2 * x.shape[0], 3 * x.shape[1], *x.shape[2:]), x.dtype)
        wide[::2, ::3] = x
        return wide[::2, ::3]
    if layout == "planar":
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, -1, 0)), 0, -1)
    if layout == "offset":
        flat = np.zeros(x.size + 1, x.dtype)
        flat[1:] = x.ravel()
        return flat[1:].reshape(x.shape)
    return x


def cast(x: Any, dtype: str) -> Any:
    return np.rint(x * VALUE_RANGE[dtype]).astype(dtype) if dtype.startswith("u") else x.astype(dtype)


def picture(rng: np.random.Generator, kind: str, shape: tuple[int, ...]) -> Any:
    if kind == "constant":
        return np.full(shape, rng.random())
    if kind == "noise":
        return rng.random(shape)
    y, x = np.ogrid[: shape[-3], : shape[-2]]
    shade = 0.5 + 0.25 * np.sin(y / 9 + rng.random()) * np.cos(x / 7) + 0.2 * (x > shape[-2] * rng.random())
    return np.broadcast_to(shade[..., None], shape) + 0.02 * rng.random(shape)


def mask_values(rng: np.random.Generator, kind: str, height: int, width: int) -> Any:
    y, x = np.mgrid[:height, :width]
    r = np.hypot((y - height * rng.random()) / height, (x - width * rng.random()) / width)
    mask = np.full((height, width), float(kind == "full"))
    if kind == "blob":
        return (r < rng.uniform(0.1, 0.6)).astype(float)
    if kind == "soft":
        return np.clip(1.3 - 2 * r, 0, 1)
    if kind == "noise":
        return (rng.random((height, width)) < rng.random()).astype(float)
    if kind == "pixel":
        mask[rng.integers(height), rng.integers(width)] = 1
    if kind == "lines":
        mask[:: rng.integers(1, 5)] = 1
        mask[:, :: rng.integers(2, 9)] = 0
    return mask


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    size = st.integers(1, draw(st.sampled_from([22, 300])))
    height, width, seed = draw(size), draw(size), draw(st.integers(0, 2**16))
    channels = draw(st.sampled_from([None, 1, 2, 3, 4, 5]))
    items = draw(st.sampled_from([None, None, 1, 2])) if channels else None
    dtype, base_dtype = draw(st.sampled_from(DTYPES)), draw(st.sampled_from([None, "float32", "float64"]))
    kind = draw(st.sampled_from(["noise", "smooth", "constant"]))
    mask_dtype = draw(st.sampled_from(MASK_DTYPES))
    mask_kind = draw(st.sampled_from(["blob", "soft", "noise", "pixel", "lines", "full", "empty"]))
    each = items is not None and draw(st.booleans())
    weight = draw(st.sampled_from(WEIGHTS))
    layouts = [draw(st.sampled_from(LAYOUTS)) for _ in range(5)]

    rng = np.random.default_rng(seed)
    shape = (height, width, channels or 1) if items is None else (items, height, width, channels)
    images = [cast(picture(rng, kind, shape), dtype) for _ in range(3)]
    images[2] = images[2].astype(base_dtype or dtype)
    src, dst, base = (laid_out(x if channels else x[..., 0], layout) for x, layout in zip(images, layouts))
    planes = [mask_values(rng, mask_kind, height, width) for _ in range(items if each else 1)]
    values = np.stack(planes) if each else planes[0]
    mask = laid_out(values > 0.5 if mask_dtype == "bool" else cast(values, mask_dtype), layouts[3])
    weights: Any = weight
    if isinstance(weight, str):
        floor = 0.05 if weight == "map" else -0.4
        weights = laid_out(np.maximum(rng.random((height, width)) + floor, 0).astype(np.float32), layouts[4])
    return Problem(
        src=src, dst=dst, mask=mask, base=base, weight=weights,
        tolerance=draw(st.sampled_from([None, None, 0.25, 0.01])),
        drawn=f"{dst.shape} {dtype} of {kind}, {mask_dtype} mask {mask.shape} of {mask_kind}, base {base.dtype}, "
        f"weight {weight}, {layouts}, seed {seed}",
    )  # fmt: skip


def run(op: Any, problem: Problem, *args: Any, **options: Any) -> tuple[Any, list[Any]]:
    """Returns the result and its infos, and asserts what holds whatever the answer is."""
    before = [x.copy() for x in problem.images]
    for x in problem.images:
        x.flags.writeable = False
    options |= dict(color_weight=problem.weight, tolerance=problem.tolerance)
    out, info = op(problem.src, problem.dst, problem.mask, *args, return_info=True, **options)
    dst = problem.dst
    assert isinstance(out, np.ndarray)
    assert (out.shape, out.dtype) == (dst.shape, dst.dtype)
    assert np.isfinite(out).all() and out.flags.c_contiguous
    assert not any(np.shares_memory(out, x) for x in problem.images)
    for x, copy in zip(problem.images, before, strict=True):
        assert np.array_equal(x, copy)
    # Other layouts and another number of threads give the same bits.
    plain = [np.array(x, order="C") for x in (problem.src, dst, problem.mask, *args)]
    if "base" in options:
        options["base"] = np.array(options["base"], order="C")
    threads = pyharmony.get_num_threads()
    pyharmony.set_num_threads(1)
    try:
        assert np.array_equal(op(*plain, **options), out)
    finally:
        pyharmony.set_num_threads(threads)
    infos = info if isinstance(info, list) else [info]
    assert len(infos) == (dst.shape[0] if dst.ndim == 4 else 1)
    return out, infos


def check(
    problem: Problem, out: Any, infos: list[Any], *, base: Any, pinned: bool, w0: float, w1: float,
    gradients: str = "source", stopped_by_bound: bool,
) -> None:  # fmt: skip
    """Checks the answer against the definition: its solution, or its residual and the bound that this proves."""
    dtype = problem.dst.dtype.name
    level = VALUE_RANGE[dtype] / 255

    def batch(x: Any) -> Any:
        return (x if x.ndim == 4 else x[None] if x.ndim == 3 else x[None, ..., None]).astype(np.float64)

    for src, dst, ground, x, mask, info in zip(
        batch(problem.src), batch(problem.dst), batch(base), batch(out), problem.inside(), infos, strict=True
    ):
        unknown = (mask > 0) | (not pinned)
        assert np.array_equal(x[~unknown], dst[~unknown])
        height, width = mask.shape
        if np.isinf(info.max_error):  # nothing is proven where weights are zero and A has positive entries
            assert w1 > 0
            assert np.min(problem.weight) == 0 < np.max(problem.weight)
        elif stopped_by_bound:
            assert info.max_error <= problem.levels * (1 + 1e-9), info
        else:
            # The solve stops on an estimate, and the bound that is proven afterwards may be a little above it;
            # with no weight it holds the rounding of a residual over the least eigenvalue, (pi / n)^2.
            n = max(height, width)
            slack = 16 * 2.0**-52 * 255 * np.sqrt(height * width) * (n / np.pi) ** 2
            assert info.max_error <= 1.25 * problem.levels + slack, info
        if not unknown.any():
            continue
        weight = np.broadcast_to(np.asarray(problem.weight, np.float64), (height, width))
        fixed = weight.min() == weight.max() and not pinned
        # Integers and float16 are rounded from float32.
        step = {"uint8": 2.0**-23, "uint16": 2.0**-23, "float16": 2.0**-11, "float32": 2.0**-23, "float64": 1e-12}[
            dtype
        ]
        half = 0.5 if dtype.startswith("u") else 0.0
        if fixed or height * width <= MAX_SOLVED_PIXELS:
            truth = solution(src, dst, mask, ground, problem.weight, w0, w1, pinned, gradients)
            rounding = half + step * max(1.0, float(np.abs(truth).max()))
            clipped = np.clip(truth, 0, VALUE_RANGE[dtype]) if dtype.startswith("u") else truth
            error = float(np.abs(clipped - x)[unknown].max())
            assert error <= problem.levels * level + rounding, (error / level, info)
            assert error <= info.max_error * level * (1 + 1e-9) + rounding, (error / level, info)
        elif dtype in ("float32", "float64"):
            b = definition.divergence(*definition.edge_field(src, dst, mask, gradients)) + weight[..., None] * ground
            r = (b - definition.apply_operator(x, weight, w0, w1))[unknown]
            # A row of A sums to at most 16 + 2 weight in absolute value; x is off by its rounding.
            rounding = step * max(1.0, float(np.abs(x).max())) * (16 + 2 * weight.max())
            assert np.abs(r).max() <= info.residual * level * (1 + 1e-6) + 2 * rounding, info


def solution(
    src: Any, dst: Any, mask: Any, base: Any, weight: Any, w0: float, w1: float, pinned: bool, gradients: str
) -> Any:
    sigma = 0.0 if w1 == 0 else 1 / np.sqrt(2 * np.log(w0 / w1))
    return definition.gaussian_poisson(
        src, dst, mask, base, color_weight=weight, sigma=sigma, preserve_background=pinned, gradients=gradients
    )


def least_weight(problem: Problem) -> float:
    return float(np.min(problem.weight))


@given(
    problem=problems(),
    pinned=st.booleans(),
    sigma=st.sampled_from([0.0, 0.3, 0.5, 0.8]),
    method=st.sampled_from(["auto", "auto", "chebyshev", "dct", "multigrid"]),
)
def test_gaussian_poisson(problem: Problem, pinned: bool, sigma: float, method: str) -> None:
    options = dict(sigma=sigma, preserve_background=pinned, method=method)
    if problem.refused():
        with pytest.raises(MaskError, match=r"^mask: "):
            run(ops.gaussian_poisson, problem, problem.base, **options)
        return
    solved = [m for m in problem.inside() if not pinned or m.any()]
    varying = np.min(problem.weight) < np.max(problem.weight)
    is_refused = bool(solved) and {
        "dct": varying or (pinned and any(m.min() == 0 for m in solved)),
        "chebyshev": least_weight(problem) == 0,
    }.get(method, False)
    with warnings.catch_warnings(record=True) as records:
        warnings.simplefilter("always")
        if is_refused:
            with pytest.raises(ArgumentError, match=r"^method: "):
                run(ops.gaussian_poisson, problem, problem.base, **options)
            return
        out, infos = run(ops.gaussian_poisson, problem, problem.base, **options)
    w0, w1 = definition.gaussian_taps(sigma)
    # A method that was asked for may fall short, and then says so.
    assert not records or method != "auto", records[0].message
    if records:
        return
    check(
        problem, out, infos, base=problem.base, pinned=pinned, w0=w0, w1=w1,
        stopped_by_bound=least_weight(problem) >= 0.02,
    )  # fmt: skip


@given(problem=problems(), gradients=st.sampled_from(GRADIENTS), base=st.booleans())
@pytest.mark.filterwarnings("error")
def test_poisson(problem: Problem, gradients: str, base: bool) -> None:
    options = dict(gradients=gradients) | (dict(base=problem.base) if base else {})
    inside = problem.inside()
    nothing_known = np.max(problem.weight) == 0 and (inside > 0).all((1, 2)).any()
    if problem.refused() or nothing_known:
        with pytest.raises(MaskError, match=r"^mask: "):
            run(ops.poisson, problem, **options)
        return
    out, infos = run(ops.poisson, problem, **options)
    check(
        problem, out, infos, base=problem.base if base else problem.src, pinned=True, w0=1.0, w1=0.0,
        gradients=gradients, stopped_by_bound=False,
    )  # fmt: skip
    if problem.mask.ndim == 2:
        solver = ops.PoissonSolver(problem.mask, problem.weight)
        given_base = problem.base if base else None
        again = solver.solve(
            problem.src, problem.dst, gradients=gradients, base=given_base, tolerance=problem.tolerance
        )
        assert np.array_equal(again, out)


@pytest.mark.parametrize("seed", [677, 1313, 1625, 2933, 3679])
@pytest.mark.parametrize("tolerance", [1e-4, 1e-6])
def test_poisson_near_the_rounding_of_float32(seed: int, tolerance: float) -> None:
    """Small problems in which the corrections in float32 lose most are solved."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 23, 2)
    kinds = ("noise", "smooth", "constant"), ("blob", "soft", "noise", "pixel", "lines")
    src, dst = (picture(rng, kinds[0][seed % 3], (height, width, 1)) for _ in range(2))
    mask = mask_values(rng, kinds[1][seed // 3 % 5], height, width)
    weights = (0.0, 1e-3, 0.15, np.maximum(rng.random((height, width)) - 0.4, 0).astype(np.float32))
    weight = weights[rng.integers(4)]
    truth = solution(src, dst, mask, src, weight, 1.0, 0.0, True, "source")
    out = ops.poisson(src, dst, mask, color_weight=weight, tolerance=tolerance)
    assert np.abs(out - truth).max() * 255 <= tolerance


def spoiled(problem: Problem, what: str, rng: np.random.Generator) -> tuple[dict[str, Any], type[Exception], str]:
    """Returns arguments of which one is wrong, the documented error, and the argument that it names."""
    name = ("src", "dst", "base")[rng.integers(3)]
    args: dict[str, Any] = dict(zip(("src", "dst", "mask", "base"), problem.images, strict=True))
    args |= dict(color_weight=problem.weight, tolerance=problem.tolerance)
    # src and base are held against dst.
    blamed = "src" if name == "dst" else name
    if what == "size":
        args[name] = np.repeat(args[name], 2, axis=-2 if args[name].ndim > 2 else 1)
        return args, ShapeError, blamed
    if what == "dtype":
        args[name] = args[name].astype("int32")
        return args, DTypeError, name
    if what == "bool":
        args[name] = args[name] > 0
        return args, DTypeError, name
    if what == "nothing":
        args[name] = args[name][:0]
        return args, ShapeError, name
    if what == "mask size":
        args["mask"] = np.repeat(args["mask"], 2, axis=-1)
        return args, ShapeError, "mask"
    if what == "mask dtype":
        args["mask"] = args["mask"].astype("int64")
        return args, DTypeError, "mask"
    if what == "mask range":
        args["mask"] = args["mask"].astype("float32") + rng.choice([-1.5, 1.5, np.nan])
        return args, MaskError, "mask"
    if what == "weight":
        args["color_weight"] = [-0.1, float("nan"), float("inf")][rng.integers(3)]
        return args, ArgumentError, "color_weight"
    if what == "tolerance":
        args["tolerance"] = [0.0, -1.0, float("nan"), float("inf")][rng.integers(4)]
        return args, ArgumentError, "tolerance"
    args |= {k: args[k].astype("float32") for k in ("src", "dst", "base")}  # not finite
    at = tuple(rng.integers(n) for n in args[name].shape)
    args[name][at] = rng.choice([np.nan, np.inf, -np.inf])
    args["mask"] = np.ones(args["mask"].shape, bool)
    args["color_weight"] = 0.5
    return args, ArgumentError, name


SPOILS = (
    "size", "dtype", "bool", "nothing", "mask size", "mask dtype", "mask range", "weight", "tolerance", "not finite",
)  # fmt: skip


@given(
    problem=problems(), what=st.sampled_from(SPOILS), pinned=st.booleans(), seed=st.integers(0, 99), op=st.booleans()
)
def test_bad_input(problem: Problem, what: str, pinned: bool, seed: int, op: bool) -> None:
    if problem.refused():
        problem.mask = problem.mask > 0
    if not op and np.max(problem.weight) == 0:  # a mask all over would be wrong too
        problem.weight = 0.5
    args, error, name = spoiled(problem, what, np.random.default_rng(seed))
    options = dict(preserve_background=pinned) if op else {}
    with pytest.raises(error, match=f"^{name}: "):
        (ops.gaussian_poisson if op else ops.poisson)(**args, **options)
