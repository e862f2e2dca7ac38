"""Gradients of `ops.gaussian_poisson` and `ops.poisson`, and both in torch's compiler."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from pyharmony import _checks, errors, ops
from pyharmony.reference.gaussian_poisson import gaussian_poisson as exact_gaussian_poisson
from pyharmony.reference.poisson import poisson as exact_poisson

torch = pytest.importorskip("torch", reason="torch is not installed")

from pyharmony.ops import _gaussian_poisson_inverse_torch as operators

from ..shared import ROOT

pytestmark = [
    pytest.mark.filterwarnings("error::RuntimeWarning"),
    # torch's compiler tells users of Python 3.13.0 of the next one.
    pytest.mark.filterwarnings("ignore:Guards may run slower on Python 3.13.0:RuntimeWarning"),
]

GRADIENTS = ("source", "average", "monochrome", "mixed")
METHODS = ("auto", "chebyshev", "dct", "multigrid")
NAMES = ("gaussian_poisson", "gaussian_poisson_inverse", "gaussian_poisson_links", "poisson")


def images(shape: tuple[int, ...], dtype: Any = None, count: int = 3) -> list[Any]:
    """Returns images of noise that require grad."""
    rng = np.random.default_rng(sum(shape))
    return [torch.tensor(rng.random(shape), dtype=dtype or torch.float64, requires_grad=True) for _ in range(count)]


def plane(kind: str, height: int, width: int) -> Any:
    m = torch.tensor(np.random.default_rng(height * width).random((height, width)))
    return {"soft": m * (m > 0.3), "hard": m > 0.5, "full": torch.ones_like(m), "none": torch.zeros_like(m)}[kind]


def weight_map(height: int, width: int, low: float = 0.2) -> Any:
    return low + torch.rand(height, width, generator=torch.Generator().manual_seed(1))


def gradients(f: Callable[..., Any], inputs: list[Any], g: Any) -> list[Any]:
    return [np.asarray(x) for x in torch.autograd.grad(f(*inputs), inputs, g)]


# ---- the gradient ---------------------------------------------------------------------------------------------------

# A result is off by tolerance / 255 = 4e-9 at most, so a difference quotient with a step of 0.01 by 4e-7; the
# equation is linear, so nothing else speaks against so long a step.
check = partial(torch.autograd.gradcheck, eps=1e-2, atol=1e-5)
check_twice = partial(torch.autograd.gradgradcheck, eps=1e-2, atol=1e-5, fast_mode=True)


@pytest.mark.covering(1)
@pytest.mark.parametrize("pinned", [False, True])
@pytest.mark.parametrize("weight", [1.0, 0.05, 0.0, "map", "map with zeros", "map of zeros"])
@pytest.mark.parametrize("shape", [(5, 7, 3), (5, 7), (2, 4, 5, 2), (1, 6, 1), (6, 1, 2)], ids=str)
def test_gaussian_poisson_is_differentiated(shape: tuple[int, ...], weight: Any, pinned: bool) -> None:
    h, w = shape[:2] if len(shape) < 4 else shape[1:3]
    if isinstance(weight, str):
        weight = weight_map(h, w) * {"map": 1, "map with zeros": torch.arange(w) % 3 > 0, "map of zeros": 0}[weight]
    for kind in ("soft", "hard", "full", "none"):
        mask = plane(kind, h, w)
        blend = partial(ops.gaussian_poisson, mask=mask, color_weight=weight, preserve_background=pinned)
        assert check(lambda s, d, b: blend(s, d, base=b), images(shape), fast_mode=True)  # noqa: B023


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("weight", [1.0, 0.01])
def test_every_method_is_differentiated_entry_by_entry(method: str, weight: float) -> None:
    def blend(s: Any, d: Any, b: Any) -> Any:
        return ops.gaussian_poisson(s, d, plane("soft", 4, 5), b, color_weight=weight, method=method, sigma=0.7)

    assert check(blend, images((4, 5, 1)))
    assert check_twice(blend, images((4, 5, 1)))


@pytest.mark.parametrize("contour", ["half", "full"])
@pytest.mark.parametrize("mode", GRADIENTS)
@pytest.mark.parametrize("weight", [0.0, 0.3, "map"])
@pytest.mark.parametrize("shape", [(5, 7, 3), (5, 7), (2, 4, 5, 2)], ids=str)
def test_poisson_is_differentiated(shape: tuple[int, ...], weight: Any, mode: str, contour: str) -> None:
    h, w = shape[:2] if len(shape) < 4 else shape[1:3]
    weight = weight_map(h, w) if weight == "map" else weight
    # The choice of an edge changes beyond a small step, whose quotient is less exact: 4e-9 / 1e-4.
    small = {"eps": 1e-4, "atol": 1e-4} if mode == "mixed" else {}
    for kind in ("soft", "hard", "none"):
        paste = partial(ops.poisson, mask=plane(kind, h, w), color_weight=weight, gradients=mode, contour=contour)
        assert check(lambda s, d: paste(s, d), images(shape, count=2), fast_mode=True, **small)  # noqa: B023
        assert check(lambda s, d, b: paste(s, d, base=b), images(shape), fast_mode=True, **small)  # noqa: B023


@pytest.mark.parametrize("contour", ["half", "full"])
@pytest.mark.parametrize("mode", GRADIENTS)
def test_poisson_twice(mode: str, contour: str) -> None:
    mask = plane("soft", 5, 7)
    paste = partial(ops.poisson, mask=mask, color_weight=0.3, gradients=mode, contour=contour)
    assert check_twice(lambda s, d, b: paste(s, d, base=b), images((5, 7, 3)))


def test_one_mask_an_item() -> None:
    mask = torch.stack([plane("soft", 4, 5), plane("none", 4, 5), plane("full", 4, 5)])
    for pinned in (False, True):
        for weight in (0.0, 0.5):
            blend = partial(ops.gaussian_poisson, mask=mask, color_weight=weight, preserve_background=pinned)
            assert check(lambda s, d, b: blend(s, d, base=b), images((3, 4, 5, 2)), fast_mode=True)  # noqa: B023
    assert check(lambda s, d: ops.poisson(s, d, mask, color_weight=0.5), images((3, 4, 5, 2), count=2), fast_mode=True)


@pytest.mark.parametrize("kind", ["bool", "uint8", "uint16", "float16", "[H, W, 1]"])
def test_every_kind_of_mask(kind: str) -> None:
    soft = plane("soft", 5, 7)
    mask: Any = {
        "bool": lambda: soft > 0,
        "uint8": lambda: (soft * 255).to(torch.uint8),
        "uint16": lambda: (soft * 65535).to(torch.int32).to(torch.uint16),
        "float16": lambda: soft.half(),
        "[H, W, 1]": lambda: soft[..., None],
    }[kind]()
    for pinned in (False, True):
        blend = partial(ops.gaussian_poisson, mask=mask, color_weight=0.0, preserve_background=pinned)
        assert check(lambda s, d, b: blend(s, d, base=b), images((5, 7, 1)), fast_mode=True)  # noqa: B023
    mixed = partial(ops.poisson, mask=mask, gradients="mixed")
    assert check(mixed, images((5, 7, 1), count=2), eps=1e-4, atol=1e-4, fast_mode=True)


CASES = {
    "rectangle": ("gaussian_poisson", dict(color_weight=1.0)),
    "rectangle, weight 0.05": ("gaussian_poisson", dict(color_weight=0.05)),
    "rectangle, weight 0": ("gaussian_poisson", dict(color_weight=0.0)),
    "as published": ("gaussian_poisson", dict(color_weight=0.5, sigma=1.5, as_published=True)),
    "pinned": ("gaussian_poisson", dict(color_weight=1.0, preserve_background=True)),
    "pinned, map": ("gaussian_poisson", dict(color_weight="map", preserve_background=True)),
    "poisson": ("poisson", dict()),
    "poisson, weight": ("poisson", dict(color_weight=0.3)),
    "poisson, average": ("poisson", dict(color_weight=0.3, gradients="average")),
    "poisson, monochrome": ("poisson", dict(gradients="monochrome")),
    "poisson, full contour": ("poisson", dict(color_weight=0.3, contour="full")),
    "poisson, average, full contour": ("poisson", dict(gradients="average", contour="full")),
}


@pytest.mark.covering(1)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_equal_to_the_transposed_definition(name: str, dtype: str) -> None:
    """Columns of the Jacobian are the definition's results for images of one lit value."""
    op, options = CASES[name]
    shape = (4, 5, 2)
    mask = plane("soft", *shape[:2]).float()
    weights = weight_map(*shape[:2])
    options = {k: weights if v == "map" else v for k, v in options.items()}
    inputs = images(shape, getattr(torch, dtype))
    g = torch.randn(shape, generator=torch.Generator().manual_seed(3)).to(inputs[0].dtype)
    if op == "poisson":
        actual = gradients(lambda s, d, b: ops.poisson(s, d, mask, base=b, **options), inputs, g)
        exact: Any = lambda s, d, b: exact_poisson(s, d, mask.numpy(), base=b, **options)  # noqa: E731
    else:
        actual = gradients(lambda s, d, b: ops.gaussian_poisson(s, d, mask, b, **options), inputs, g)
        exact = lambda s, d, b: exact_gaussian_poisson(s, d, mask.numpy(), b, **options)  # noqa: E731
    black = np.zeros(shape)
    share = _checks.DEFAULT_TOLERANCE[dtype] / 255
    for k, gradient in enumerate(actual):
        want = np.empty(shape)
        for at in np.ndindex(shape):
            lit = [black, black, black]
            lit[k] = np.zeros(shape)
            lit[k][at] = 1
            want[at] = (exact(*lit) * g.numpy()).sum()
        # The tolerance, relative, and the rounding of differences of values no larger than these.
        limit = share * g.abs().max() + 8 * np.finfo(dtype).eps * max(np.abs(want).max(), g.abs().max())
        assert np.abs(gradient - want).max() <= limit


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("weight", [1.0, 0.36, 0.022, 1e-3, 0.0])
@pytest.mark.parametrize("op", ["rectangle", "pinned", "poisson"])
def test_float32_is_as_exact_as_it_promises_whatever_the_scale(op: str, weight: float, scale: float) -> None:
    """No gradient is off by more than tolerance / 255 of the largest incoming one."""
    shape = (97, 131, 3)
    y, x = np.mgrid[: shape[0], : shape[1]]
    mask = torch.tensor(np.hypot(y - 48, x - 70) < 40)
    g = torch.randn(shape, generator=torch.Generator().manual_seed(5)) * scale
    # Gradients of one sign are tried too: with small weights their y is the largest.
    for incoming in (g, torch.full_like(g, scale)):
        by_dtype = {}
        for dtype in (torch.float32, torch.float64):
            inputs = [x.detach().to(dtype).requires_grad_() for x in images(shape, torch.float32)]

            def blend(s: Any, d: Any, b: Any) -> Any:
                if op == "poisson":
                    return ops.poisson(s, d, mask, base=b, color_weight=weight)
                return ops.gaussian_poisson(s, d, mask, b, color_weight=weight, preserve_background=op == "pinned")

            by_dtype[dtype] = gradients(blend, inputs, incoming.to(dtype))
        largest = float(incoming.abs().max())
        share = _checks.DEFAULT_TOLERANCE["float32"] / 255
        for single, double in zip(by_dtype[torch.float32], by_dtype[torch.float64]):
            rounding = 8 * 2.0**-23 * max(largest, np.abs(double).max())
            assert np.abs(single - double).max() <= share * largest + rounding


@pytest.mark.parametrize("pinned", [False, True])
@pytest.mark.parametrize("weight", [1.0, 0.01, 0.0])
def test_the_inverse_is_symmetric(weight: float, pinned: bool) -> None:
    """For all u and v, <A^-1 u, v> = <u, A^-1 v>."""
    shape, generator = (97, 131, 2), torch.Generator().manual_seed(7)
    u, v = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    y, x = np.mgrid[: shape[0], : shape[1]]
    mask = torch.tensor(np.hypot(y - 48, x - 70) < 40)
    levels = 1e-6

    def inverse(g: Any) -> Any:
        return operators.inverse(g, mask, None, weight, 0.5, False, pinned, levels, 0, True)

    one, other = (inverse(u) * v).sum(), (u * inverse(v)).sum()
    # Each value is within levels / 255 max |g| / 16; errors add up over all pixels at worst.
    limit = 2 * levels / 255 / 16 * u.abs().max() * v.abs().max() * u.numel()
    assert abs(one - other) <= limit


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("weight", [0.0, 0.7, "map"])
@pytest.mark.parametrize("shape", [(37, 23, 3), (9, 8), (2, 1, 5, 2), (5, 1, 1)], ids=str)
def test_links_by_tensors_are_those_of_the_kernel(shape: tuple[int, ...], weight: Any, half: bool) -> None:
    h, w = shape[:2] if len(shape) < 4 else shape[1:3]
    y, src, dst = (x.detach() for x in images(shape))
    color_map, number = (weight_map(h, w), 0.0) if weight == "map" else (None, weight)
    for kind in ("soft", "hard"):
        links = partial(operators.links, y, plane(kind, h, w), color_map)
        rest = (number, 0.6, False, half, False, True)
        black = torch.zeros_like(src)
        kernel = links([], *rest)
        # Edges count where the first of a pair is the stronger: all, and two complements less what is left of none.
        everywhere = links([src, black], *rest)
        in_parts = links([src, dst], *rest) + links([dst, src], *rest) - links([black, dst], *rest)
        # There are fewer than 40 operations on values of at most 8 + 0.7 of them.
        limit = 40 * 16 * np.finfo(np.float64).eps
        assert (everywhere - kernel).abs().max() <= limit
        assert (in_parts - kernel).abs().max() <= limit


# ---- how it behaves -------------------------------------------------------------------------------------------------


def call(op: str, s: Any, d: Any, b: Any, mask: Any, **options: Any) -> Any:
    if op == "poisson":
        return ops.poisson(s, d, mask, base=b, color_weight=0.5, **options)
    if op == "solver":
        return ops.PoissonSolver(mask, 0.5).solve(s, d, base=b, **options)
    return ops.gaussian_poisson(s, d, mask, b, **options)


each_op = pytest.mark.parametrize("op", ["gaussian_poisson", "poisson", "solver"])


@each_op
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_result_is_that_of_a_call_without_gradients(op: str, dtype: str) -> None:
    inputs, mask = images((20, 23, 3), getattr(torch, dtype)), plane("soft", 20, 23)
    before = [x.detach().clone() for x in (*inputs, mask)]
    plain = call(op, *(x.detach() for x in inputs), mask)
    with torch.no_grad():
        assert not call(op, *inputs, mask).requires_grad
    out, info = call(op, *inputs, mask, return_info=True)
    assert torch.equal(out, plain)
    assert out.requires_grad
    assert info.method in METHODS
    assert info.max_error <= _checks.DEFAULT_TOLERANCE[dtype]
    out.sum().backward()
    for x, b in zip((*inputs, mask), before):
        assert torch.equal(x.detach(), b)
        assert out.data_ptr() != x.data_ptr()
    for x in inputs:
        assert x.grad is not None
        assert x.grad.dtype == x.dtype
        assert x.grad.shape == x.shape


@each_op
def test_what_needs_no_gradient_gets_none_and_changes_no_other(op: str) -> None:
    mask, g = plane("soft", 9, 11), torch.rand(9, 11, 3)
    everything = gradients(lambda s, d, b: call(op, s, d, b, mask), images((9, 11, 3), torch.float32), g)
    for k, want in enumerate(everything):
        inputs = images((9, 11, 3), torch.float32)
        for j, x in enumerate(inputs):
            x.requires_grad_(j == k)
        call(op, *inputs, mask).backward(g)
        assert np.array_equal(inputs[k].grad, want)
        assert [x.grad is None for x in inputs] == [j != k for j in range(3)]


def test_base_of_poisson_is_src_where_there_is_none() -> None:
    mask, g = plane("soft", 9, 11), torch.rand(9, 11, 3, dtype=torch.float64)
    s, d = images((9, 11, 3), count=2)
    same = gradients(lambda s, d: ops.poisson(s, d, mask, color_weight=0.5, base=s), [s, d], g)
    none = gradients(lambda s, d: ops.poisson(s, d, mask, color_weight=0.5), [s, d], g)
    for one, other in zip(same, none):
        # The right-hand sides of the two forms round differently.
        assert np.abs(one - other).max() <= 1e-13


@each_op
def test_strides_do_not_matter(op: str) -> None:
    mask = plane("soft", 9, 11)
    plain = images((9, 11, 3), torch.float32)
    planar = [x.detach().permute(2, 0, 1).contiguous().requires_grad_() for x in plain]

    def moved(*xs: Any) -> Any:
        return call(op, *(x.permute(1, 2, 0) for x in xs), mask.T.contiguous().T)

    ones = torch.ones(1).expand(9, 11, 3)
    want = gradients(lambda *xs: call(op, *xs, mask), plain, ones.contiguous())
    for one, other in zip(gradients(moved, planar, ones), want):
        assert np.array_equal(one.transpose(1, 2, 0), other)


@each_op
def test_a_batch_is_its_items(op: str) -> None:
    mask, inputs = plane("soft", 9, 11), images((3, 9, 11, 3), torch.float32)
    # The scales of the items differ, and the tolerance holds for each item.
    g = torch.rand(3, 9, 11, 3) * torch.tensor([1e-6, 1.0, 1e6]).reshape(3, 1, 1, 1)
    batch_gradients = gradients(lambda *xs: call(op, *xs, mask), inputs, g)
    for k in range(3):
        items = [x.detach()[k].clone().requires_grad_() for x in inputs]
        for one, other in zip(gradients(lambda *xs: call(op, *xs, mask), items, g[k]), batch_gradients):
            assert np.array_equal(one, other[k])


def test_arrays_beside_tensors() -> None:
    s, d, b = images((9, 11, 3), torch.float32)
    mask, weights = plane("soft", 9, 11).numpy(), weight_map(9, 11).numpy()
    mask.setflags(write=False)
    out = ops.gaussian_poisson(s, d.detach(), mask[::-1], b.detach().numpy(), color_weight=weights[:, ::-1])
    out.sum().backward()
    assert s.grad is not None
    assert d.grad is None
    with pytest.raises(errors.ArgumentError, match="dst: ndarray, so the result would have no graph"):
        ops.gaussian_poisson(s, d.detach().numpy(), mask, b)


def test_base_may_have_a_dtype_of_its_own() -> None:
    s, d = images((9, 11, 3), torch.float16, count=2)
    base = images((9, 11, 3), torch.float32)[0]
    ops.gaussian_poisson(s, d, plane("soft", 9, 11), base).sum().backward()
    assert (s.grad.dtype, base.grad.dtype) == (torch.float16, torch.float32)


@each_op
def test_a_gradient_that_is_not_finite_goes_on(op: str) -> None:
    """torch.amp.GradScaler expects it to."""
    inputs, mask = images((2, 9, 11, 3), torch.float32), plane("soft", 9, 11)
    for bad in (np.nan, np.inf):
        g = torch.rand(2, 9, 11, 3)
        g[1, 4, 5, 0] = bad
        for x in gradients(lambda *xs: call(op, *xs, mask), inputs, g):
            assert np.isfinite(x[0]).all()
            assert not np.isfinite(x[1]).all()
    for x in gradients(lambda *xs: call(op, *xs, mask), inputs, torch.zeros(2, 9, 11, 3)):
        assert not x.any()


def test_a_solver_that_is_gone_is_not_needed() -> None:
    """Its set-up is reused, and kept, while the graph lives; a compiled graph sets up its own."""
    mask, (s, d) = plane("soft", 9, 11), images((9, 11, 3), count=2)
    g = torch.rand(9, 11, 3, dtype=torch.float64)
    want = gradients(lambda s, d: ops.poisson(s, d, mask), [s, d], g)

    def paste(s: Any, d: Any) -> Any:
        out = ops.PoissonSolver(mask).solve(s, d)
        gc.collect()
        return out

    for one, other in zip(gradients(paste, [s, d], g), want):
        assert np.array_equal(one, other)


def test_what_has_no_gradient_says_so() -> None:
    s, d, b = images((9, 11, 3), torch.float32)
    mask, weights = plane("soft", 9, 11), weight_map(9, 11)
    whole = [(x.detach() * 255).to(torch.uint8) for x in (s, d)]
    cases: list[tuple[str, Callable[[], Any]]] = [
        ("mask: requires grad", lambda: ops.poisson(s, d, mask.clone().requires_grad_())),
        ("mask: requires grad", lambda: call("gaussian_poisson", *whole, b.detach(), weights.requires_grad_())),
        ("color_weight: requires grad", lambda: ops.poisson(s, d, mask, color_weight=weights.requires_grad_())),
        ("base: requires grad, but a rounded result in torch.uint8", lambda: call("gaussian_poisson", *whole, b, mask)),
        ("gradient_kernel: 'sobel', but src", lambda: ops.gaussian_poisson(s, d, mask, b, gradient_kernel="sobel")),
        ("a sequence of frames", lambda: ops.PoissonSolver(mask).sequence().solve(s, d)),
    ]
    for message, f in cases:
        with pytest.raises(errors.ArgumentError, match=message):
            f()
    out = ops.gaussian_poisson(s.detach(), d.detach(), mask, b, gradient_kernel="sobel")
    assert torch.autograd.grad(out.sum(), b)[0].isfinite().all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"method": "fast"}, errors.ArgumentError, "method: 'fast'"),
        ({"method": 3}, errors.ArgumentError, "method: 3"),
        ({"sigma": "wide"}, errors.DTypeError, "sigma: str 'wide'"),
        ({"sigma": 2.0}, errors.ArgumentError, "sigma: 2"),
        ({"color_weight": -1.0}, errors.ArgumentError, "color_weight: -1"),
        ({"color_weight": torch.ones(3, 3)}, errors.ShapeError, "color_weight: a map of shape"),
        ({"tolerance": 0.0}, errors.ArgumentError, "tolerance: 0"),
        ({"gradient_kernel": "canny"}, errors.ArgumentError, "gradient_kernel: 'canny'"),
    ],
)
def test_errors_are_those_of_the_op(options: dict[str, Any], error: type[Exception], message: str) -> None:
    s, d, b = images((9, 11, 3), torch.float32)
    with pytest.raises(error, match=message):
        ops.gaussian_poisson(s, d, plane("soft", 9, 11), b, **options)
    with pytest.raises(errors.ShapeError, match="src: shape"):
        ops.gaussian_poisson(s[:5], d, plane("soft", 9, 11), b)


@pytest.mark.house
def test_what_asks_for_no_gradient_loads_nothing() -> None:
    code = (
        "import sys, numpy as np; from pyharmony import ops\n"
        "x, m = np.zeros((9, 11, 3), np.float32), np.eye(9, 11, dtype=np.float32)\n"
        "ops.gaussian_poisson(x, x, m, x); ops.poisson(x, x, m); ops.PoissonSolver(m).solve(x, x)\n"
        "assert 'torch' not in sys.modules\n"
        "import torch\n"
        "ops.poisson(*map(torch.from_numpy, (x, x, m)))\n"
        "assert not [name for name in sys.modules if name.startswith('pyharmony.') and name.endswith('_torch')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


# ---- torch's operators and its compiler -----------------------------------------------------------------------------


@pytest.mark.networks
def test_operators_are_what_torch_asks_of_them() -> None:
    s, d, b = images((5, 7, 3), torch.float32)
    mask, plain = plane("soft", 5, 7), [x.detach() for x in (s, d)]
    op = torch.ops.pyharmony
    samples = [
        (op.gaussian_poisson, (s, d, mask, b, None, 1.0, 0.5, False, "normal", False, "auto", None)),
        (op.gaussian_poisson, (s, d, mask, b, weight_map(5, 7), 0.0, 0.5, False, "normal", True, "auto", None)),
        (op.poisson, (s, d, mask, None, None, 0.0, "monochrome", "full", None, 0)),
        (op.poisson, (s, d, mask, b, None, 1.0, "mixed", "half", 1e-4, 0)),
        (op.gaussian_poisson_inverse, (s, mask, None, 0.0, 0.5, False, False, 1e-4, 0, True)),
        (op.gaussian_poisson_links, (s, mask, None, [], 1.0, 0.5, False, True, False, False)),
        (op.gaussian_poisson_links, (s, mask, weight_map(5, 7), plain, 0.0, 0.5, False, False, True, True)),
    ]
    assert {overload.__name__ for overload, _ in samples} == set(NAMES)
    for overload, arguments in samples:
        assert set(torch.library.opcheck(overload, arguments).values()) == {"SUCCESS"}


def compiled_like_eager(f: Callable[..., Any], inputs: list[Any], backend: str = "aot_eager", **options: Any) -> None:
    torch._dynamo.reset()
    eager, compiled = f(*inputs), torch.compile(f, fullgraph=True, backend=backend, **options)(*inputs)
    assert torch.equal(eager, compiled)
    if not eager.requires_grad:
        return
    leaves = [x for x in inputs if x.requires_grad]
    g = torch.rand(eager.shape, generator=torch.Generator().manual_seed(9)).to(eager.dtype)
    for one, other in zip(torch.autograd.grad(compiled, leaves, g), torch.autograd.grad(eager, leaves, g)):
        # The compiler may join what is around the solves, in another rounding.
        assert (one - other).abs().max() <= 8 * torch.finfo(one.dtype).eps * other.abs().max()


WEIGHTS = {"number": 0.7, "none": 0.0, "map": weight_map(9, 11), "tensor": torch.tensor(0.4)}


@pytest.mark.networks
@pytest.mark.covering(1)
@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("pinned", [False, True])
def test_gaussian_poisson_is_compiled(weight: str, pinned: bool) -> None:
    mask, options = plane("soft", 9, 11), dict(color_weight=WEIGHTS[weight], preserve_background=pinned)
    compiled_like_eager(
        lambda s, d, b: ops.gaussian_poisson(2 * s, d, mask, b, **options) + 1, images((9, 11, 3), torch.float32)
    )


@pytest.mark.networks
@pytest.mark.covering(1)
@pytest.mark.parametrize("mode", GRADIENTS)
@pytest.mark.parametrize("with_solver", [False, True])
def test_poisson_is_compiled(with_solver: bool, mode: str) -> None:
    mask, solver = plane("soft", 9, 11), ops.PoissonSolver(plane("soft", 9, 11))
    solve = solver.solve if with_solver else partial(ops.poisson, mask=mask)
    inputs = images((9, 11, 3), torch.float32, count=2)
    compiled_like_eager(lambda s, d: solve(2 * s, d, gradients=mode) + 1, inputs)


@pytest.mark.full
@pytest.mark.networks
def test_compiled_in_other_ways() -> None:
    mask, inputs = plane("soft", 9, 11), images((9, 11, 3), torch.float32)
    array = mask.numpy()

    def blend(s: Any, d: Any, b: Any, m: Any = mask) -> Any:
        return ops.gaussian_poisson(s, d, m, b)

    compiled_like_eager(blend, inputs, dynamic=True)
    compiled_like_eager(lambda *xs: blend(*xs, m=array), inputs)
    compiled_like_eager(blend, [x.detach() for x in inputs])
    compiled_like_eager(blend, [(x.detach() * 255).to(torch.uint8) for x in inputs])
    compiled_like_eager(blend, images((2, 9, 11, 3), torch.float16))
    # Numbers become symbols when they change.
    torch._dynamo.reset()
    f = torch.compile(lambda s, w: ops.poisson(s, s, mask, color_weight=w, base=s), fullgraph=True, backend="aot_eager")
    for w in (0.3, 0.4):
        assert torch.equal(f(inputs[0], w), ops.poisson(inputs[0], inputs[0], mask, color_weight=w, base=inputs[0]))
        f(inputs[0], w).sum().backward()


@pytest.mark.full
def test_compiled_before_it_was_ever_called() -> None:
    """The operators are made while the compiler traces."""
    code = (
        "import torch; from pyharmony import ops\n"
        "s = torch.rand(9, 11, 3, requires_grad=True); m = torch.rand(9, 11)\n"
        "f = torch.compile(lambda s: ops.gaussian_poisson(s, s, m, s), fullgraph=True, backend='aot_eager')\n"
        "f(s).sum().backward(); assert s.grad is not None"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.full
@pytest.mark.filterwarnings("ignore:dynamo_pgo force disabled")
def test_the_whole_compiler() -> None:
    mask = plane("soft", 9, 11)
    # Plain C++ will do, and to try what the CPU's vectors can takes the compiler several seconds.
    settings = {"force_disable_caches": True, "cpp.vec_isa_ok": False}
    with torch._inductor.config.patch(settings):
        compiled_like_eager(
            lambda s, d, b: ops.gaussian_poisson(2 * s, d, mask, b).square() + 1,
            images((9, 11, 3), torch.float32),
            backend="inductor",
        )
