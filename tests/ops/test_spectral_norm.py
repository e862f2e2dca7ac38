"""Op spectral_norm and its layers, against the definition, torch's own two forms, and what training relies on."""

from __future__ import annotations

import copy
import importlib.util
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from pyharmony import _device, _native
from pyharmony.errors import ArgumentError, DTypeError, ShapeError
from pyharmony.ops import spectral_norm
from pyharmony.reference import spectral_norm as reference

from ..shared import ROOT, pickled

HAS_TORCH = importlib.util.find_spec("torch") is not None
if HAS_TORCH:
    import torch
    from torch import nn

    from pyharmony.networks.nn import SpectralNormGroup
    from pyharmony.networks.nn import spectral_norm as normed
    from pyharmony.ops import _native_torch

needs_torch = pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")
ORDERS = ("legacy", "parametrization")
EPS = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}
rng = partial(np.random.default_rng)


class Case(NamedTuple):
    shape: tuple[int, ...]
    dim: int = 0
    memory: str = "contiguous"  # or channels_last, gaps


#: Shapes: vectors and tails of every width, one row or column, transposed, more than one tile and chunk either way.
CASES = [
    Case((7, 5)),
    Case((1, 9)),
    Case((300, 1)),
    Case((1, 1)),
    Case((40, 130), 1),
    Case((5, 1, 7)),
    Case((64, 3, 3, 3)),
    Case((20, 37, 3, 3), 1),
    Case((24, 40, 4, 4), 1),
    Case((6, 5, 2, 3, 2), 1),
    Case((33, 16, 3, 3), 0, "channels_last"),
    Case((16, 20, 3, 3), 1, "channels_last"),
    Case((31, 6, 3), 0, "gaps"),
    Case((140, 2100)),
]
NAMES = ["x".join(map(str, c.shape)) + f"-{c.dim}-{c.memory}" for c in CASES]


def weight_of(case: Case, dtype: str) -> np.ndarray[Any, Any]:
    w = rng(math.prod(case.shape)).standard_normal(case.shape).astype("float32" if dtype == "bfloat16" else dtype)
    if case.memory == "channels_last":
        w = np.moveaxis(np.ascontiguousarray(np.moveaxis(w, 1, -1)), -1, 1)
    elif case.memory == "gaps":
        wide = np.zeros((*case.shape[:-1], 2 * case.shape[-1]), w.dtype)
        wide[..., ::2] = w
        w = wide[..., ::2]
    return w


def vectors_of(case: Case, dtype: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    rows = case.shape[case.dim]
    u, v = (rng(rows + i).standard_normal(n) for i, n in enumerate((rows, math.prod(case.shape) // rows)))
    real = "float64" if dtype == "float64" else "float32"
    return (u / np.linalg.norm(u)).astype(real), (v / np.linalg.norm(v)).astype(real)


def tolerance(m: np.ndarray[Any, Any], sigma: float, n: int, dtype: str) -> float:
    """Returns the relative error of vectors and sigma.

    Each of 2 n + 1 products with M has sums of rows or cols terms. Their roundings, as often up as down, are worth
    sqrt(terms) of one, of size |M|_F at most beside sigma; 4 standard deviations are allowed.
    """
    real = EPS["float64" if dtype == "float64" else "float32"]
    return 4 * (2 * n + 1) * math.sqrt(sum(m.shape)) * real * max(np.linalg.norm(m) / abs(sigma), 1)


class Answer(NamedTuple):
    weight: np.ndarray[Any, Any]
    sigma: float
    u: np.ndarray[Any, Any]
    v: np.ndarray[Any, Any]
    tolerance: float


def answer(case: Case, w: np.ndarray[Any, Any], dtype: str, order: str, n: int, eps: float = 1e-12) -> Answer:
    u, v = vectors_of(case, dtype)
    exact = reference.spectral_norm(w, u, v, dim=case.dim, n=n, order=order, eps=eps)
    return Answer(*exact, tolerance(reference.matrix(w, case.dim), exact[1], n, dtype))


def compare(result: tuple[Any, Any, Any, Any], exact: Answer, dtype: str) -> None:
    """Compares W / sigma, sigma, u and v."""
    weight, sigma, u, v = (np.asarray(x, np.float64) for x in result)
    assert abs(sigma - exact.sigma) <= exact.tolerance * abs(exact.sigma)
    assert np.abs(u - exact.u).max() <= exact.tolerance
    assert np.abs(v - exact.v).max() <= exact.tolerance
    # A smallest float16 that is not normal is off by half a step of 2^-24.
    rounding = 2 * EPS[dtype] * np.abs(exact.weight) + (2.0**-25 if dtype == "float16" else 0)
    assert (np.abs(weight - exact.weight) <= exact.tolerance * np.abs(exact.weight) + rounding).all()


# ---- the op on NumPy's arrays ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("n", [0, 1, 3])
def test_arrays_follow_the_definition(simd: str, order: str, dtype: str, n: int) -> None:
    """All weights go in one call; n = 0 is eval mode."""
    weights = [weight_of(case, dtype) for case in CASES]
    us, vs = zip(*(vectors_of(case, dtype) for case in CASES))
    copies = [w.copy() for w in weights]
    sigmas, outs = spectral_norm(
        weights, us, vs, order=order, n_power_iterations=max(n, 1), update=n > 0, dims=[c.dim for c in CASES],
        normalized=True,
    )  # fmt: skip
    assert sigmas.dtype == ("float64" if dtype == "float64" else "float32")
    for case, w, keep, out, sigma, u, v in zip(CASES, weights, copies, outs, sigmas, us, vs):
        np.testing.assert_array_equal(w, keep)
        compare((out, sigma, u, v), answer(case, w, dtype, order, n), dtype)


def test_the_least_length_bounds_what_divides() -> None:
    case = CASES[0]
    w = weight_of(case, "float64") * 1e-7
    for order in ORDERS:
        u, v = vectors_of(case, "float64")
        sigmas, outs = spectral_norm([w], [u], [v], eps=1e-3, order=order, normalized=True)
        compare((outs[0], sigmas[0], u, v), answer(case, w, "float64", order, 1, eps=1e-3), "float64")


def test_the_same_bits_for_any_number_of_threads(threads: int) -> None:
    def run() -> list[Any]:
        weights = [weight_of(case, "float32") for case in CASES]
        us, vs = zip(*(vectors_of(case, "float32") for case in CASES))
        dims = [case.dim for case in CASES]
        sigmas, outs = spectral_norm(weights, us, vs, dims=dims, n_power_iterations=2, normalized=True)
        return [sigmas, *outs, *us, *vs]

    mine = run()
    before = _native.get_num_threads()
    _device.set_num_threads(1)
    try:
        alone = run()
    finally:
        _device.set_num_threads(before)
    for a, b in zip(mine, alone):
        np.testing.assert_array_equal(a, b)


def test_converges_to_the_largest_singular_value() -> None:
    w = rng(3).standard_normal((30, 40))
    u, v = rng(4).standard_normal(30), rng(5).standard_normal(40)
    sigma = spectral_norm([w], [u], [v], n_power_iterations=2000)[0]
    np.testing.assert_allclose(sigma, np.linalg.svd(w, compute_uv=False)[0], rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("layout", ["a byte further", "a field"])
def test_memory_that_is_not_aligned(dtype: str, layout: str) -> None:
    """Items between multiples of their size, such as those of a structured array, are read and updated as any."""

    def moved(x: Any) -> Any:
        if layout == "a field":
            records = np.zeros(x.shape, [("x", x.dtype), ("flag", "u1")])
            records["x"] = x
            return records["x"]
        memory = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
        memory[...] = x
        return memory

    case = Case((5, 7))
    w, (u, v) = weight_of(case, dtype), vectors_of(case, dtype)
    others = [moved(x) for x in (w, u, v)]
    sigmas, (out,) = spectral_norm([w], [u], [v], n_power_iterations=2, normalized=True)
    moved_sigmas, (moved_out,) = spectral_norm(*([x] for x in others), n_power_iterations=2, normalized=True)
    np.testing.assert_array_equal(moved_sigmas, sigmas)
    for one, other in zip((w, u, v, out), (*others, moved_out)):
        np.testing.assert_array_equal(other, one)


def test_a_zero_weight_is_an_error_and_changes_nothing() -> None:
    us, vs = [np.ones(3, np.float32)] * 2, [np.ones(4, np.float32)] * 2
    us, vs = [u.copy() for u in us], [v.copy() for v in vs]
    with pytest.raises(ArgumentError, match=r"weights\[1\]: its spectral norm is zero"):
        spectral_norm([np.ones((3, 4), np.float32), np.zeros((3, 4), np.float32)], us, vs)
    assert all((x == 1).all() for x in (*us, *vs))


W, U, V = np.ones((3, 4), np.float32), np.ones(3, np.float32), np.ones(4, np.float32)
FIXED = np.ones(3, np.float32)
FIXED.flags.writeable = False


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (([], [], []), {}, ArgumentError, "us, vs: 0 and 0 for 0 weights"),
        (([W], [U, U], [V]), {}, ArgumentError, "us, vs: 2 and 1 for 1 weights"),
        (([W], [V], [V]), {}, ShapeError, r"us\[0\]: shape \[4\], expected \[3\]"),
        (([W], [U], [U]), {}, ShapeError, r"vs\[0\]: shape \[3\], expected \[4\]"),
        (([U], [U], [U]), {}, ShapeError, r"weights\[0\]: shape \[3\], expected at least two axes"),
        (([W[:, :0]], [U], [V]), {}, ShapeError, r"weights\[0\]: shape \[3, 0\]"),
        (([W.astype(int)], [U], [V]), {}, DTypeError, r"weights\[0\]: int64"),
        (([[1.0]], [U], [V]), {}, DTypeError, r"weights\[0\]: list"),
        (([W], [FIXED], [V]), {}, ArgumentError, r"us\[0\]: read-only"),
        (([W], [U], [V]), {"n_power_iterations": 0}, ArgumentError, "n_power_iterations: 0, expected a whole number"),
        (([W], [U], [V]), {"n_power_iterations": 1.5}, DTypeError, "n_power_iterations: float 1.5"),
        (([W], [U], [V]), {"eps": 0}, ArgumentError, "eps: 0, expected a number above 0"),
        (([W], [U], [V]), {"eps": math.nan}, ArgumentError, "eps: nan"),
        (([W], [U], [V]), {"order": "new"}, ArgumentError, "order: 'new'"),
        (([W], [U], [V]), {"update": 1}, DTypeError, "update: 1"),
        (([W], [U], [V]), {"dims": 2}, ArgumentError, r"dims\[0\]: 2, expected -2 to 1"),
        (([W], [U], [V]), {"dims": [0, 0]}, ArgumentError, "dims: 2 numbers, expected one for each of 1 weights"),
    ],
)
def test_bad_arguments(arguments: Any, options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        spectral_norm(*arguments, **options)


# ---- the op on tensors: the CPU, the emulated kernels, a GPU --------------------------------------------------


def tensor(array: np.ndarray[Any, Any], dtype: str) -> Any:
    return torch.from_numpy(array).to(getattr(torch, dtype))


@needs_torch
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
@pytest.mark.parametrize("n", [0, 1, 2])
def test_tensors_follow_the_definition(place: Any, request: Any, order: str, dtype: str, n: int) -> None:
    if dtype == "float64" and "processor" not in request.node.name:
        w = place(torch.ones(2, 2, dtype=torch.float64))
        if w.is_cuda:
            with pytest.raises(DTypeError, match="on a device"):
                spectral_norm([w], [w[0]], [w[0]])
        return
    weights = [place(tensor(weight_of(case, dtype), dtype)).requires_grad_() for case in CASES]
    us, vs = ([place(torch.from_numpy(x)) for x in xs] for xs in zip(*(vectors_of(case, dtype) for case in CASES)))
    sigmas, outs = spectral_norm(
        weights, us, vs, order=order, n_power_iterations=max(n, 1), update=n > 0, dims=[c.dim for c in CASES],
        normalized=True,
    )  # fmt: skip
    grads = [torch.randn_like(w) for w in weights]
    pulls = torch.linspace(-1, 1, len(CASES), dtype=sigmas.dtype, device=sigmas.device)
    actual = torch.autograd.grad([sigmas, *outs], weights, [pulls, *grads])
    for i, case in enumerate(CASES):
        numbers = partial(lambda x: x.detach().cpu().double().numpy())
        w, g = numbers(weights[i]), numbers(grads[i])
        exact = answer(case, w, dtype, order, n)
        compare((numbers(outs[i]), numbers(sigmas[i]), numbers(us[i]), numbers(vs[i])), exact, dtype)
        expected = reference.gradient(w, exact.u, exact.v, g, float(pulls[i]), dim=case.dim)
        # The gradient is G / sigma, and <G, W> / sigma^2 by u and v, whose relative errors add up; |<G, W>| <= |G| |W|.
        size = np.abs(g) / abs(exact.sigma) + abs(pulls[i].item())
        size = size + np.linalg.norm(g) * np.linalg.norm(w) / exact.sigma**2
        assert (
            np.abs(numbers(actual[i]) - expected) <= 4 * exact.tolerance * size + 2 * EPS[dtype] * np.abs(expected)
        ).all()


@pytest.fixture
def on_emulator(emulator_module: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Takes tensors of the CPU for tensors of the emulator's device, also where a group's calls are kept."""
    pytest.importorskip("torch", reason="torch is not installed")
    from pyharmony.ops import _spectral_norm_torch

    monkeypatch.setattr(_native, "device_module", lambda: emulator_module)
    for room in (_native_torch, _spectral_norm_torch):
        monkeypatch.setattr(room, "on_device", lambda x: True)
    yield emulator_module
    if emulator_module.checked:
        assert emulator_module.reports() == []


def group_of(order: Any, **options: Any) -> tuple[Any, Any]:
    from pyharmony.networks.nn import SpectralNormGroup

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ConvTranspose2d(8, 5, 2), torch.nn.Linear(6, 4))
    return model, SpectralNormGroup(model, order=order, **options)


@needs_torch
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("n", [1, 2])
def test_a_call_that_is_kept_has_the_bits_of_one_that_is_described(on_emulator: Any, order: Any, n: int) -> None:
    results = []
    for keeps in (True, False):
        _, group = group_of(order, n_power_iterations=n)
        tensors: list[Any] = []
        for _ in range(3):
            if not keeps:
                group._pool.updates.find = group._pool.updates.add = lambda *_: None
            group.update()
            weights = [part.weight for part in group._parts]
            grads = torch.autograd.grad([w.square().sum() for w in group.weights] + [group.sigmas.sum()], weights)
            tensors += [*(w.detach().clone() for w in group.weights), group.sigmas.detach(), *grads]
            tensors += [x.clone() for part in group._parts for x in part.vectors]
        results.append(tensors)
        assert any(how.iterations == n for how, *_ in group._pool.updates._known) == keeps
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@needs_torch
@pytest.mark.parametrize("order", ORDERS)
def test_an_update_without_gradients_has_the_same_bits(on_emulator: Any, order: Any) -> None:
    """It calls no function of autograd; what it returns can be used with gradients later."""
    results = []
    for mode in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        model, group = group_of(order)
        tensors: list[Any] = []
        for _ in range(3):
            with mode():
                group.update()
                assert all(w.requires_grad == (mode is torch.enable_grad) for w in group.weights)
                tensors += [*(w.detach().clone() for w in group.weights), group.sigmas.detach().clone()]
                tensors += [x.clone() for part in group._parts for x in part.vectors]
        results.append(tensors)
        with torch.enable_grad():
            loss = model[0](torch.ones(1, 3, 5, 5)).sum()
        assert torch.autograd.grad(loss, group._parts[0].weight)[0].isfinite().all()
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(other, results[0], strict=True))


@needs_torch
def test_an_update_of_all_layers_is_one_native_call(on_emulator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, group = group_of("legacy")
    group.update()

    class Counting:
        def __init__(self) -> None:
            self.names: list[str] = []

        def __getattr__(self, name: str) -> Any:
            self.names.append(name)
            return getattr(on_emulator, name)

    module = Counting()
    monkeypatch.setattr(_native, "device_module", lambda: module)
    before = on_emulator.launch_count()
    group.update()
    assert on_emulator.launch_count() - before == 3  # columns, rows and the end, for all layers
    assert "ArrayView" not in module.names and "spectral_norm" not in module.names


@needs_torch
@pytest.mark.parametrize(
    "change",
    [
        lambda model: setattr(model[0].weight_orig, "data", model[0].weight_orig.data.clone()),
        lambda model: setattr(model[0].weight_orig, "data", torch.randn(8, 3, 3, 3).permute(0, 1, 3, 2)),
        lambda model: setattr(model[0].weight_orig, "data", torch.randn(16, 3, 3, 3)[::2]),
        lambda model: model[0].weight_orig.data.mul_(2),
        lambda model: setattr(model[0], "weight_u", torch.nn.functional.normalize(torch.randn(8), dim=0)),
        lambda model: model.bfloat16(),
        lambda model: model.half().float(),
    ],
    ids=["moved", "other strides", "with gaps", "values", "u", "bfloat16", "there and back"],
)
def test_a_call_is_described_again_when_a_tensor_is_another_one(on_emulator: Any, change: Any) -> None:
    model, group = group_of("legacy")
    group.update()
    torch.manual_seed(1)
    change(model)
    tensors = [[x.detach().clone() for x in xs] for xs in zip(*((part.weight, *part.vectors) for part in group._parts))]
    group.update()
    group.update()
    weights, us, vs = tensors
    for _ in range(2):
        sigmas, outs = spectral_norm(
            weights, us, vs, order="legacy", dims=[part.dim for part in group._parts], normalized=True
        )
    assert torch.equal(group.sigmas, sigmas)
    assert all(torch.equal(a, b) for a, b in zip(group.weights, outs, strict=True))


def small(count: int = 3) -> tuple[list[Any], list[Any], list[Any], list[int]]:
    generator = torch.Generator().manual_seed(0)
    draw = partial(torch.randn, generator=generator, dtype=torch.float64)
    weights = [draw(4, 3, 2), draw(3, 5), draw(4, 2, 2, 2).to(memory_format=torch.channels_last)][:count]
    sizes = [(4, 6), (5, 3), (4, 8)]
    us, vs = [draw(rows) for rows, _ in sizes[:count]], [draw(cols) for _, cols in sizes[:count]]
    return [w.requires_grad_() for w in weights], us, vs, [0, 1, 0][:count]


@needs_torch
@pytest.mark.parametrize("normalized", [True, False])
def test_gradients_of_both_orders(normalized: bool) -> None:
    weights, us, vs, dims = small()

    def call(*weights: Any) -> Any:
        result = spectral_norm(weights, us, vs, dims=dims, update=False, normalized=normalized)
        return (result[0], *result[1]) if normalized else result

    assert torch.autograd.gradcheck(call, weights)
    assert torch.autograd.gradgradcheck(call, weights)


@pytest.mark.networks
@needs_torch
def test_the_operators_keep_their_promises_to_the_compiler() -> None:
    weights, us, vs, dims = small()
    ops = torch.ops.pyharmony
    forward = (weights, us, vs, dims, 1, 1e-12, True, True)
    torch.library.opcheck(ops.spectral_norm.default, forward)
    sigmas, state, outs = ops.spectral_norm(*forward)
    sigmas, state, outs = sigmas.detach(), state.detach(), [out.detach().requires_grad_() for out in outs]
    pulls = torch.ones_like(sigmas).requires_grad_()
    torch.library.opcheck(ops.spectral_norm_gradient.default, (weights, outs, sigmas, pulls, state, dims))


@needs_torch
def test_a_weight_must_not_change_between_forward_and_backward() -> None:
    weights, us, vs, dims = small(1)
    loss = spectral_norm(weights, us, vs, dims=dims).sum()
    with torch.no_grad():
        weights[0].mul_(2)
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


# ---- layers: torch's own forms --------------------------------------------------------------------------------------

if HAS_TORCH:
    THEIRS = {"legacy": nn.utils.spectral_norm, "parametrization": nn.utils.parametrizations.spectral_norm}
    LAYERS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
        "Linear": (lambda: nn.Linear(17, 9), (4, 17)),
        "Conv1d": (lambda: nn.Conv1d(3, 5, 3), (2, 3, 8)),
        "Conv2d": (lambda: nn.Conv2d(4, 6, 3, groups=2), (2, 4, 7, 6)),
        "Conv3d": (lambda: nn.Conv3d(2, 5, 2), (1, 2, 4, 5, 3)),
        "ConvTranspose1d": (lambda: nn.ConvTranspose1d(3, 5, 3), (2, 3, 8)),
        "ConvTranspose2d": (lambda: nn.ConvTranspose2d(4, 6, 4, 2), (2, 4, 5, 6)),
        "ConvTranspose3d": (lambda: nn.ConvTranspose3d(2, 5, 2), (1, 2, 4, 5, 3)),
    }
else:
    THEIRS, LAYERS = {}, {}


class Critic(nn.Module if HAS_TORCH else object):  # type: ignore[misc]
    """A small discriminator of three kinds of layers; the last one is not normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.LeakyReLU(0.2), nn.ConvTranspose2d(8, 6, 4, 2, 1), nn.Tanh()
        )
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(6 * 12 * 12, 5), nn.Softplus(), nn.Linear(5, 1))

    def forward(self, x: Any) -> Any:
        return self.head(self.body(x))

    def normalised(self) -> list[Any]:
        return [self.body[0], self.body[2], self.head[1]]


def critic() -> Any:
    torch.manual_seed(0)
    return Critic()


def pictures(seed: int, dtype: Any = None) -> Any:
    return torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(seed)).to(dtype)


def gradients(model: Any) -> dict[tuple[int, ...], Any]:
    return {tuple(p.shape): p.grad for p in model.parameters()}


#: The error: both take float32 sums of up to 900 terms in different orders: 30 roundings of 6e-8, and a model of three.
CLOSE = {"rtol": 1e-5, "atol": 5e-6}


@needs_torch
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", list(LAYERS))
def test_a_layer_is_that_of_torch(order: str, kind: str) -> None:
    """Copied vectors give the same after each of three forwards and in eval mode, in float64: 1e-6 is no rounding."""
    make, shape = LAYERS[kind]
    theirs = THEIRS[order](make().double(), n_power_iterations=2)
    ours = normed(make().double(), n_power_iterations=2, order=order)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(shape, dtype=torch.float64)
    for i in range(4):
        if i == 3:
            theirs.eval(), ours.eval()
        a, b = theirs(x), ours(x)
        torch.testing.assert_close(b, a, rtol=1e-6, atol=1e-9)
        for model in (theirs, ours):
            model.zero_grad()
        a.square().sum().backward()
        b.square().sum().backward()
        for p in theirs.parameters():
            same = next(r for r in ours.parameters() if r.shape == p.shape)
            torch.testing.assert_close(same.grad, p.grad, rtol=1e-6, atol=1e-9)
    for key, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[key], value, rtol=1e-6, atol=1e-9)


@needs_torch
@pytest.mark.parametrize("order", ORDERS)
def test_the_first_vectors_are_those_of_torch(order: str) -> None:
    layers = []
    for wrap in (THEIRS[order], partial(normed, order=order)):
        torch.manual_seed(7)
        layers.append(wrap(nn.Linear(30, 20)))
    for key, value in layers[0].state_dict().items():
        # There are sixteen iterations, each with sums of 30 terms.
        torch.testing.assert_close(layers[1].state_dict()[key], value, rtol=1e-4, atol=1e-6)


@needs_torch
@pytest.mark.parametrize("form_of_file", ORDERS)
@pytest.mark.parametrize("loaded", ORDERS)
def test_state_dicts_go_both_ways(form_of_file: str, loaded: str) -> None:
    """Saved by torch or by us in either form, they are loaded by us in either form, and by torch in its own."""
    theirs = critic()
    for layer in theirs.normalised():
        THEIRS[form_of_file](layer)
    # One update: with the first vectors, which are random, the norm is a sum that nearly cancels, and rounding shows.
    theirs(pictures(0))
    ours = critic()
    SpectralNormGroup(ours, modules=ours.normalised(), order=loaded)
    assert ours.load_state_dict(theirs.state_dict()).missing_keys == []
    state = ours.state_dict()
    form = critic()
    for layer in form.normalised():
        THEIRS[loaded](layer)
    assert set(state) == set(form.state_dict())
    form.load_state_dict(state)
    for model in (theirs, ours, form):
        model.eval()
    x = pictures(1)
    torch.testing.assert_close(ours(x), theirs(x), **CLOSE)
    torch.testing.assert_close(form(x), theirs(x), **CLOSE)


# ---- groups in training ---------------------------------------------------------------------------------------------


@needs_torch
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("fold", [False, True])
def test_a_group_does_what_torch_does_layer_by_layer(order: str, fold: bool) -> None:
    """Outputs, gradients and vectors agree in two steps of training, with one update in each."""
    theirs, ours = critic(), critic()
    for layer in theirs.normalised():
        THEIRS[order](layer)
    SpectralNormGroup(ours, modules=ours.normalised(), order=order, fold=fold)
    ours.load_state_dict(theirs.state_dict())
    for step in range(2):
        for model in (theirs, ours):
            torch.optim.SGD(model.parameters(), 0.01).zero_grad()
            model.zero_grad()
        a, b = theirs(pictures(step)), ours(pictures(step))
        torch.testing.assert_close(b, a, **CLOSE)
        a.square().sum().backward()
        b.square().sum().backward()
        expected = gradients(theirs)
        for shape, grad in gradients(ours).items():
            torch.testing.assert_close(grad, expected[shape], **CLOSE)
        for model in (theirs, ours):
            torch.optim.SGD(model.parameters(), 0.01).step()


@needs_torch
@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize("backward", ["once", "each"])
def test_real_and_fake_share_the_update_of_a_step(backward: str, fold: bool) -> None:
    """The gradient of D(real) - D(fake) in one backward, or in two, is that of one W / sigma used twice."""
    model = critic().double()
    group = SpectralNormGroup(model, modules=model.normalised(), fold=fold)
    real, fake = pictures(1, torch.float64), pictures(2, torch.float64)
    a, b = model(real).mean(), model(fake).mean()
    us = [layer.weight_u.clone() for layer in model.normalised()]
    if backward == "once":
        (a - b).backward()
    else:
        a.backward()
        (-b).backward()
    assert all(torch.equal(u, layer.weight_u) for u, layer in zip(us, model.normalised()))
    # W / (u^T M v) of torch's own operations gives the same.
    plain = critic().double()
    overrides = {}
    originals = []
    for path, layer, mine in zip(group.names, plain.normalised(), model.normalised()):
        w = layer.weight.detach().requires_grad_()
        dim = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
        m = w.movedim(dim, 0).flatten(1)
        overrides[f"{path}.weight"] = w / torch.dot(mine.weight_u, m @ mine.weight_v)
        originals.append(w)
    call = partial(torch.func.functional_call, plain, overrides)
    (call(real).mean() - call(fake).mean()).backward()
    for w, layer in zip(originals, model.normalised()):
        torch.testing.assert_close(layer.weight_orig.grad, w.grad, rtol=1e-9, atol=1e-12)


@needs_torch
@pytest.mark.parametrize("fold", [False, True])
def test_a_gradient_penalty_goes_through_the_norm_twice(fold: bool) -> None:
    def penalty(model: Any) -> Any:
        x = pictures(3, torch.float64).requires_grad_()
        (slope,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
        return (slope.flatten(1).norm(dim=1) - 1).square().mean()

    theirs, ours = critic().double(), critic().double()
    for layer in theirs.normalised():
        nn.utils.spectral_norm(layer)
    SpectralNormGroup(ours, modules=ours.normalised(), fold=fold)
    ours.load_state_dict(theirs.state_dict())
    a, b = penalty(theirs), penalty(ours)
    torch.testing.assert_close(b, a, rtol=1e-9, atol=0)
    a.backward()
    b.backward()
    expected = gradients(theirs)
    for shape, grad in gradients(ours).items():
        if grad is not None:
            torch.testing.assert_close(grad, expected[shape], rtol=1e-8, atol=1e-12)


@needs_torch
@pytest.mark.parametrize("update", ["step", "forward"])
def test_when_vectors_are_updated(update: str) -> None:
    model = critic()
    group = SpectralNormGroup(model, modules=model.normalised(), update=update)
    optimizer = torch.optim.Adam(model.parameters())

    def changed(do: Callable[[], Any]) -> bool:
        before = [layer.weight_u.clone() for layer in model.normalised()]
        do()
        after = [layer.weight_u for layer in model.normalised()]
        changes = [not torch.equal(a, b) for a, b in zip(before, after)]
        assert len(set(changes)) == 1
        return changes[0]

    def forward() -> Any:
        return model(pictures(0))

    assert changed(forward)
    assert changed(forward) == (update == "forward")
    forward().sum().backward()
    optimizer.step()
    assert changed(forward)
    assert changed(group.update)
    with torch.no_grad():
        assert changed(forward) == (update == "forward")
    assert forward().requires_grad
    model.eval()
    assert not changed(forward)
    assert not changed(group.update)
    model.train()
    model.body.eval()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1.5)
    before = [layer.weight_u.clone() for layer in model.normalised()]
    forward()
    changes = [not torch.equal(a, layer.weight_u) for a, layer in zip(before, model.normalised())]
    assert changes == [False, False, True]


@needs_torch
@pytest.mark.parametrize("kind", ["Adam", "AdamW", "SGD"])
def test_updates_of_fused_optimizers_are_seen(kind: str) -> None:
    """Such optimizers' kernels do not count what they change."""
    model = critic()
    SpectralNormGroup(model, modules=model.normalised())
    optimizer = getattr(torch.optim, kind)(model.parameters(), lr=0.1, fused=True)
    model(pictures(0)).sum().backward()
    before = [layer.weight_u.clone() for layer in model.normalised()]
    optimizer.step()
    model(pictures(0))
    assert not any(torch.equal(u, layer.weight_u) for u, layer in zip(before, model.normalised()))


@needs_torch
@pytest.mark.parametrize("fold", [False, True])
def test_some_layers_are_updated_alone(fold: bool) -> None:
    """The others keep what they have, and gradients go through the update that each pass saw."""
    model = critic().double()
    group = SpectralNormGroup(model, modules=model.normalised(), fold=fold)
    layer_of_model, rest = model.normalised()[1], [0, 2]
    x = pictures(1, torch.float64)
    first = model(x).sum()
    alone = torch.autograd.grad(first, [layer.weight_orig for layer in model.normalised()], retain_graph=True)
    sigmas, values = group.sigmas.clone(), group.weights
    before = [layer.weight_u.clone() for layer in model.normalised()]
    group.update([layer_of_model])
    changes = [not torch.equal(u, layer.weight_u) for u, layer in zip(before, model.normalised())]
    assert changes == [False, True, False]
    assert [bool(same) for same in group.sigmas == sigmas] == [True, False, True]
    assert all(group.weights[i] is values[i] for i in rest)
    expected = torch.dot(
        layer_of_model.weight_u, layer_of_model.weight_orig.transpose(0, 1).flatten(1) @ layer_of_model.weight_v
    )
    torch.testing.assert_close(group.sigmas[1], expected, rtol=1e-12, atol=0)
    second = model(x).sum()
    assert not torch.equal(first, second)
    later = torch.autograd.grad(second, [layer.weight_orig for layer in model.normalised()])
    first.backward()
    for layer, gradient in zip(model.normalised(), alone):
        torch.testing.assert_close(layer.weight_orig.grad, gradient, rtol=1e-12, atol=0)
    assert not torch.equal(later[1], alone[1])
    with pytest.raises(ArgumentError, match="modules: a Linear without a norm of this group"):
        group.update([layer_of_model, nn.Linear(2, 2)])


@needs_torch
def test_frozen_weights_get_no_gradient() -> None:
    """In the generator's step requires_grad is switched off between two forwards."""
    model = critic()
    SpectralNormGroup(model, modules=model.normalised())
    model(pictures(0)).sum().backward()
    model.zero_grad()
    model.requires_grad_(False)
    x = pictures(1).requires_grad_()
    model(x).sum().backward()
    assert x.grad is not None and all(p.grad is None for p in model.parameters())
    model.requires_grad_(True)
    model(x).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@needs_torch
def test_the_norm_can_be_folded_elsewhere() -> None:
    model = critic().double()
    group = SpectralNormGroup(model, modules=model.normalised())
    inverse, sigmas = group.inverse_sigmas, group.sigmas
    torch.testing.assert_close(inverse * sigmas, torch.ones_like(sigmas))
    assert group.names == ["body.0", "body.2", "head.1"]
    inverse.sum().backward()
    layer = model.normalised()[0]
    outer = torch.outer(layer.weight_u, layer.weight_v).reshape(layer.weight_orig.shape)
    torch.testing.assert_close(layer.weight_orig.grad, -outer * inverse[0].detach() ** 2)
    for weight, part, part_sigma in zip(group.weights, model.normalised(), sigmas):
        torch.testing.assert_close(weight, part.weight_orig * (1 / part_sigma), rtol=1e-12, atol=0)


@pytest.mark.networks
@needs_torch
@pytest.mark.covering(1)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("update", ["step", "forward"])
def test_compiled_models(order: str, update: str) -> None:
    theirs, ours = critic(), critic()
    for layer in theirs.normalised():
        THEIRS[order](layer)
    SpectralNormGroup(ours, modules=ours.normalised(), update=update, order=order)
    ours.load_state_dict(theirs.state_dict())
    compiled = torch.compile(ours, backend="aot_eager", fullgraph=update == "forward")
    for step in range(3):
        for model in (theirs, ours):
            model.zero_grad()
        a, b = theirs(pictures(step)), compiled(pictures(step))
        torch.testing.assert_close(b, a, **CLOSE)
        a.square().sum().backward()
        b.square().sum().backward()
        expected = gradients(theirs)
        for shape, grad in gradients(ours).items():
            torch.testing.assert_close(grad, expected[shape], **CLOSE)
        with torch.no_grad():
            for model in (theirs, ours):
                for p in model.parameters():
                    p.sub_(0.01 * p.grad)
    torch.compiler.reset()


#: An update has sigma as |W v|, one without an iteration as u^T W v: a few roundings of each layer apart, on scores
#: whose terms are at most 1.
SAME_NORMS = {"rtol": 32 * EPS["float32"], "atol": 32 * EPS["float32"]}


@needs_torch
@pytest.mark.parametrize("duplicate", [copy.deepcopy, pickled])
def test_models_are_copied_with_their_norms(duplicate: Callable[[Any], Any]) -> None:
    model = critic()
    SpectralNormGroup(model, modules=model.normalised())
    model(pictures(0)).sum().backward()
    twin = duplicate(model)
    torch.testing.assert_close(twin(pictures(1)), model(pictures(1)), **SAME_NORMS)
    with torch.no_grad():
        for p in twin.parameters():
            p.mul_(2)
    twin(pictures(1))
    assert not torch.equal(twin.body[0].weight_u, model.body[0].weight_u)


@needs_torch
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_models_of_other_dtypes(dtype: str) -> None:
    """Sums are float32 there too: sigma is off by the rounding of the weights and vectors alone."""
    model, exact = critic(), critic().double()
    group, truth = (SpectralNormGroup(m, modules=m.normalised()) for m in (model, exact))
    exact.load_state_dict(model.state_dict())
    kind = getattr(torch, dtype)
    model.to(kind)
    for m in (model, exact):
        m.eval()
    assert model(pictures(0, kind)).dtype == kind
    assert all(w.dtype == kind for w in group.weights)
    # Weights, u and v are rounded to the dtype, each term of u^T M v three times; |u| |M|_F |v| bounds their size.
    limits = [4 * (EPS[dtype] + EPS["float32"]) * math.sqrt(3) * float(w.detach().norm()) for w in truth.weights]
    for sigma, exactly, limit in zip(group.sigmas.double(), truth.sigmas, limits):
        assert abs(sigma - exactly) <= limit * abs(exactly)


@needs_torch
def test_memory_is_used_again_and_never_while_it_is_needed() -> None:
    model = critic()
    group = SpectralNormGroup(model, modules=model.normalised())
    group.update()
    first = [w.data_ptr() for w in group.weights]
    group.update()
    assert [w.data_ptr() for w in group.weights] == first
    weights, values = group.weights, [w.detach().clone() for w in group.weights]
    group.update()
    assert not set(first) & {w.data_ptr() for w in group.weights}
    assert all(torch.equal(a, b) for a, b in zip(weights, values))


def train(update: str, batch: Callable[[int], Any], wrap: Callable[[Any], Any] = lambda model: model) -> Any:
    model = critic().double()
    SpectralNormGroup(model, modules=model.normalised(), update=update)
    wrapped = wrap(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    for step in range(3):
        optimizer.zero_grad()
        wrapped(batch(step)).square().mean().backward()
        optimizer.step()
    return model.state_dict()


DDP = """
import sys, torch, torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from tests.ops.test_spectral_norm import pictures, train
rank, store = int(sys.argv[1]), sys.argv[2]
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method="file://" + store, rank=rank, world_size=2)
batch = lambda step: pictures(2 * step + rank, torch.float64)
states = {update: train(update, batch, DistributedDataParallel) for update in ("step", "forward")}
if rank == 0:
    torch.save(states, store + ".pt")
dist.barrier()
dist.destroy_process_group()
"""


@pytest.mark.full
@needs_torch
def test_two_processes_train_as_one(tmp_path: Path) -> None:
    """DistributedDataParallel over gloo, with half of the batch each, gives what one process gives with all of it."""
    root = ROOT
    environment = {**os.environ, "PYTHONPATH": str(root), "GLOO_SOCKET_IFNAME": "lo"}
    store = str(tmp_path / "store")
    ranks = [
        subprocess.Popen([sys.executable, "-c", DDP, str(rank), store], cwd=root, env=environment) for rank in range(2)
    ]

    def both(step: int) -> Any:
        return torch.cat([pictures(2 * step + rank, torch.float64) for rank in range(2)])

    alone = {update: train(update, both) for update in ("step", "forward")}
    assert [process.wait(timeout=120) for process in ranks] == [0, 0]
    states = torch.load(store + ".pt", weights_only=True)
    for update, state in alone.items():
        for key, value in state.items():
            torch.testing.assert_close(states[update][key], value, rtol=1e-9, atol=1e-12)


# ---- what is refused ------------------------------------------------------------------------------------------------


def zeroed() -> Any:
    layer = nn.Linear(3, 4)
    nn.init.zeros_(layer.weight)
    return layer


def twice(first: str) -> Any:
    wrap = {"ours": lambda layer: normed(layer), **THEIRS}[first]
    return wrap(nn.Linear(3, 4))


@needs_torch
@pytest.mark.parametrize(
    ("layer", "options", "error", "message"),
    [
        (lambda: nn.Linear(3, 4), {"n_power_iterations": 0}, ArgumentError, "n_power_iterations: 0"),
        (lambda: nn.Linear(3, 4), {"eps": -1e-12}, ArgumentError, "eps: -1e-12"),
        (lambda: nn.Linear(3, 4), {"eps": 0.0}, ArgumentError, "eps: 0"),
        (lambda: nn.Linear(3, 4), {"order": "old"}, ArgumentError, "order: 'old'"),
        (lambda: nn.Linear(3, 4), {"dim": 2}, ArgumentError, "dim: 2, expected a whole number from -2 to 1"),
        (lambda: nn.Linear(3, 4), {"dim": 0.5}, DTypeError, "dim: float 0.5"),
        (lambda: nn.Linear(3, 4), {"name": "bias"}, ShapeError, r"bias: shape \[4\]"),
        (
            lambda: nn.Linear(3, 4),
            {"name": "kernel"},
            ArgumentError,
            "name: 'kernel' is not an initialised parameter of Linear",
        ),
        (lambda: nn.LazyLinear(3), {}, ArgumentError, "name: 'weight' is not an initialised parameter"),
        (zeroed, {}, ArgumentError, "all zeros"),
        (lambda: twice("ours"), {}, ArgumentError, "has a spectral norm already"),
        (lambda: twice("legacy"), {}, ArgumentError, "has a spectral norm already"),
        (lambda: twice("parametrization"), {}, ArgumentError, "has a spectral norm already"),
    ],
)
def test_bad_layers(layer: Callable[[], Any], options: Any, error: type[Exception], message: str) -> None:
    made_layer = layer()
    keys = set(made_layer.state_dict()) if not isinstance(made_layer, nn.LazyLinear) else None
    with pytest.raises(error, match=message):
        normed(made_layer, **options)
    assert keys is None or set(made_layer.state_dict()) == keys


@needs_torch
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"update": "epoch"}, ArgumentError, "update: 'epoch'"),
        ({"fold": 1}, DTypeError, "fold: 1"),
        ({"name": "kernel"}, ArgumentError, "no layer with a parameter 'kernel'"),
        ({"modules": []}, ArgumentError, "no layer"),
    ],
)
def test_bad_groups(options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        SpectralNormGroup(critic(), **options)


@needs_torch
def test_a_group_refuses_what_is_not_its_models() -> None:
    with pytest.raises(ArgumentError, match="a Linear that is not in model"):
        SpectralNormGroup(critic(), modules=[nn.Linear(2, 2)])
    model = critic()
    normed(model.head[1])
    with pytest.raises(ArgumentError, match=r"head\.1: weight has a spectral norm already"):
        SpectralNormGroup(model)
    assert "weight" in model.body[0]._parameters


@needs_torch
def test_weights_that_become_zero_are_named() -> None:
    model = critic()
    SpectralNormGroup(model, modules=model.normalised())
    with torch.no_grad():
        model.head[1].weight_orig.zero_()
    with pytest.raises(ArgumentError, match=r"head\.1\.weight: its spectral norm is zero"):
        model(pictures(0))


@needs_torch
def test_tensors_of_two_kinds_or_places_are_refused() -> None:
    w, u, v = torch.ones(3, 4), torch.ones(3), torch.ones(4)
    with pytest.raises(DTypeError, match="expected one kind"):
        spectral_norm([w], [u], [np.ones(4, np.float32)])
    with pytest.raises(DTypeError, match=r"weights\[0\]: torch.int64"):
        spectral_norm([w.long()], [u], [v])
