"""Partial convolution: the definition for any mask, layer, dtype and layout; gradients of any order; clear errors."""

from __future__ import annotations

import itertools
import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from pyharmony import ops
from pyharmony.errors import ArgumentError, DTypeError, MaskError, ShapeError
from pyharmony.reference import partial_conv as reference

torch = pytest.importorskip("torch", reason="torch is not installed")

from pyharmony.networks.nn import PartialConv2d
from pyharmony.ops import _partial_conv_torch as backend

pytestmark = pytest.mark.usefixtures("one_torch_thread")


@dataclass(frozen=True)
class Case:
    """One layer: the shape of x, outputs, window, groups."""

    shape: tuple[int, int, int, int]
    outputs: int
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def window(self) -> dict[str, tuple[int, int]]:
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}

    @property
    def weight(self) -> tuple[int, ...]:
        return (self.outputs, self.shape[1] // self.groups, *self.kernel)

    def __str__(self) -> str:
        return f"{self.shape}-{self.kernel}-s{self.stride}-p{self.padding}-d{self.dilation}-g{self.groups}"


CASES = (
    Case((2, 3, 9, 11), 5, stride=(2, 2)),
    Case((2, 4, 8, 7), 6, kernel=(3, 2), stride=(1, 2), padding=(1, 1), dilation=(2, 1)),
    Case((1, 70, 7, 9), 130, stride=(2, 2), padding=(1, 1)),
    Case((2, 4, 7, 7), 6, padding=(2, 2), groups=2),
    Case((3, 5, 6, 6), 4, kernel=(1, 1)),
    Case((2, 2, 3, 3), 3, kernel=(3, 3)),
    Case((1, 1, 1, 1), 1, kernel=(1, 1)),
    Case((2, 6, 5, 4), 6, kernel=(2, 3), padding=(1, 2), groups=6),
    Case((1, 3, 10, 10), 2, kernel=(5, 5), stride=(3, 3), padding=(2, 2), dilation=(1, 2)),
)
MASKS = ("hard", "soft", "ones", "zeros", "one pixel", "border")
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def a_mask(kind: str, case: Case, planes: int, seed: int = 0) -> np.ndarray:
    """Returns a mask [N, planes, H, W] of float64."""
    n, _, h, w = case.shape
    m = np.random.default_rng(seed).random((n, planes, h, w))
    if kind == "hard":
        return (m < 0.3) * 1.0
    if kind == "soft":
        return m * (m < 0.4)
    if kind == "one pixel":
        m = np.zeros_like(m)
        m[-1, -1, h // 2, w // 3] = 1
        return m
    if kind == "border":
        m = np.zeros_like(m)
        m[:, :, 0] = m[:, :, :, -1] = 1
        return m
    return np.full_like(m, kind == "ones")


def arrays(case: Case, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns x, weight and bias."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal(case.shape), rng.standard_normal(case.weight), rng.standard_normal(case.outputs)


def wide(x: Any) -> np.ndarray:
    return x.detach().double().cpu().numpy()


def naive(x: Any, weight: Any, bias: Any, mask: Any, case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Loops over windows, straight from the paper."""
    n, _, h, w = x.shape
    o, each, kh, kw = weight.shape
    oh, ow = reference.out_size(x.shape, case.kernel, **case.window)
    m = np.broadcast_to(mask, x.shape if mask.shape[1] > 1 else mask.shape)
    y, coverage = np.zeros((n, o, oh, ow)), np.zeros((n, o, oh, ow))
    for i, k, r, c in itertools.product(range(n), range(o), range(oh), range(ow)):
        g = k // (o // case.groups)
        total = total_known = size = 0.0
        for ch, a, b in itertools.product(range(each), range(kh), range(kw)):
            yy = r * case.stride[0] - case.padding[0] + a * case.dilation[0]
            xx = c * case.stride[1] - case.padding[1] + b * case.dilation[1]
            inside = 0 <= yy < h and 0 <= xx < w
            channel = g * each + ch
            value = m[i, channel if m.shape[1] > 1 else 0, yy, xx] if inside else 0.0
            if m.shape[1] > 1 or ch == 0:
                total_known, size = total_known + value, size + 1
            if inside:
                total += weight[k, ch, a, b] * x[i, channel, yy, xx] * value
        if total_known > 0:
            coverage[i, k, r, c] = min(total_known, 1)
            y[i, k, r, c] = total * size / total_known * min(total_known, 1) + bias[k] * min(total_known, 1)
    return y, coverage


def bound(case: Case, dtype: Any, depth: int) -> float:
    """Returns the error for values of size 1 and sums of `depth` products, each of them rounded: 8 sigma of a sum."""
    eps = torch.finfo(dtype).eps
    # float16 and bfloat16 are summed in float32, but rounded as operand, product, result; ratios reach S.
    size = case.kernel[0] * case.kernel[1] * case.weight[1]
    return 8 * eps * size * (depth**0.5 + 4)


@pytest.fixture(params=["rows", "dense"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Selects each of the two ways to run a layer, whatever the mask."""
    monkeypatch.setattr(backend, "_MAX_ACTIVE_SHARE", 2.0 if request.param == "rows" else -1.0)
    monkeypatch.setattr(backend, "_FEW_ROWS", 1 << 40 if request.param == "rows" else -1)
    return request.param


# ---- the definition -------------------------------------------------------------------------------------------------


@pytest.mark.covering(1)
@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("case", [case for case in CASES if case.shape[1] < 70], ids=str)
def test_the_definition_is_the_paper(case: Case, kind: str) -> None:
    x, weight, bias = arrays(case)
    for planes in (1, case.shape[1]):
        mask = a_mask(kind, case, planes)
        y, coverage = reference.partial_conv2d(x, weight, bias, mask, groups=case.groups, **case.window)
        expected, new = naive(x, weight, bias, mask, case)
        np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(np.repeat(coverage, case.outputs // coverage.shape[1], 1), new, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("kind", [*MASKS, "none"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_numpy_follows_the_definition(case: Case, kind: str, dtype: Any) -> None:
    x, weight, bias = arrays(case)
    depth = int(np.prod(case.weight[1:]))
    for planes in (1, case.shape[1]):
        mask = None if kind == "none" else a_mask(kind, case, planes).astype(dtype)
        inputs = [a.astype(dtype) for a in (x, weight, bias)]
        more = {"groups": case.groups, "scale": 0.7, "negative_slope": 0.2, **case.window}
        y, coverage = ops.partial_conv2d(*inputs, mask, soft=kind == "soft", **more)
        expected, new = reference.partial_conv2d(*inputs, mask, **more)
        assert y.dtype == dtype
        atol = bound(case, getattr(torch, np.dtype(dtype).name), depth)
        np.testing.assert_allclose(y.astype(np.float64), expected, rtol=0, atol=atol)
        wide = np.repeat(new, coverage.shape[1] // new.shape[1], 1)
        np.testing.assert_allclose(coverage.astype(np.float64), wide, atol=float(np.finfo(dtype).eps))
        assert coverage.shape[1] == (1 if mask is None or mask.shape[1] == 1 else case.outputs)


def check_layer(case: Case, kind: str, planes: int, dtype: Any, memory: Any, scale: Any, place: str = "cpu") -> None:
    """Compares a layer, its new mask and its gradients, of the scale too if it is a tensor, with the definition."""
    tensors = [torch.tensor(a, dtype=dtype, device=place) for a in arrays(case)]
    tensors[:2] = [t.contiguous(memory_format=memory) for t in tensors[:2]]
    real = torch.float64 if dtype == torch.float64 else torch.float32
    mask = None if kind == "none" else torch.tensor(a_mask(kind, case, planes), dtype=real, device=place)
    inputs = [*tensors, *([scale.clone()] if isinstance(scale, torch.Tensor) else [])]
    for leaf in inputs:
        leaf.requires_grad_()
    exact = [wide(t) for t in tensors]
    factor = float(scale)
    more = {"groups": case.groups, "negative_slope": 0.2, **case.window}
    y, new = ops.partial_conv2d(*tensors, mask, scale=scale if len(inputs) == 3 else inputs[3], soft=True, **more)
    assert y.is_contiguous(memory_format=memory) and y.dtype == dtype
    values = np.ones((1, 1, *case.shape[2:])) if mask is None else wide(mask)
    expected, coverage = reference.partial_conv2d(*exact, values, scale=factor, **more)
    np.testing.assert_allclose(
        wide(new), np.repeat(coverage, new.shape[1] // coverage.shape[1], 1), rtol=1e-6, atol=1e-6
    )
    depth = int(np.prod(case.weight[1:]))
    np.testing.assert_allclose(wide(y), expected, rtol=0, atol=bound(case, dtype, depth))
    g = torch.tensor(np.random.default_rng(7).standard_normal(y.shape), dtype=dtype, device=place)
    # The slope at values within the tolerance of zero is either of the two: those of y are taken.
    g1 = wide(g) * np.where(wide(y) > 0, 1, 0.2)
    where = {"groups": case.groups, **case.window}
    dw = reference.weight_grad(exact[0], g1, values, case.weight, **where)
    gradients = (
        factor * reference.input_grad(g1, exact[1], values, case.shape, **where),
        factor * dw,
        (g1 * np.repeat(coverage, case.outputs // coverage.shape[1], 1)).sum((0, 2, 3)),
        (dw * exact[1]).sum(),
    )
    windows = y.shape[0] * y.shape[2] * y.shape[3]
    depths = (case.outputs * 9, windows, windows, windows * depth * case.outputs)
    for a, b, sums in zip(torch.autograd.grad(y, inputs, g), gradients, depths, strict=False):
        limit = bound(case, dtype, sums) * max(1.0, np.abs(b).max())
        np.testing.assert_allclose(wide(a), b, rtol=0, atol=limit)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("last", [False, True], ids=["planar", "channels-last"])
@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_torch_follows_the_definition(case: Case, kind: str, last: bool, dtype: Any, path: str) -> None:
    memory = torch.channels_last if last else torch.contiguous_format
    for planes in (1, case.shape[1]) if case.shape[1] < 70 else (1,):
        check_layer(case, kind, planes, dtype, memory, torch.tensor(0.7, dtype=dtype))


# ---- gradients ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("multi", [False, True], ids=["single", "multi"])
@pytest.mark.parametrize("kind", ["hard", "soft", "ones", "zeros"])
@pytest.mark.parametrize("case", [CASES[0], CASES[1], CASES[3], CASES[8]], ids=str)
def test_gradients_of_both_orders(case: Case, kind: str, multi: bool, path: str) -> None:
    x, weight, bias = (torch.tensor(a, requires_grad=True) for a in arrays(case))
    scale = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor(a_mask(kind, case, case.shape[1] if multi else 1))

    def call(*inputs: Any) -> Any:
        *tensors, factor = inputs
        more = {"groups": case.groups, "soft": True, **case.window}
        return ops.partial_conv2d(*tensors, mask, scale=factor, negative_slope=0.3, **more)[0]

    assert torch.autograd.gradcheck(call, (x, weight, bias, scale), fast_mode=True)
    assert torch.autograd.gradgradcheck(call, (x, weight, bias, scale), fast_mode=True)


# ---- operators, the compiler ----------------------------------------------------------------------------------------


@pytest.mark.networks
def test_operators_keep_to_the_rules_of_torch() -> None:
    case = CASES[1]
    x, weight, bias = (torch.tensor(a, requires_grad=True) for a in arrays(case))
    g = torch.randn(reference.partial_conv2d(*arrays(case), **case.window)[0].shape, dtype=torch.float64)
    mask = torch.tensor(a_mask("hard", case, 1))
    layer = [[*case.kernel, *case.stride, *case.padding, *case.dilation], 1, False]
    library = torch.ops.pyharmony
    scale = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    torch.library.opcheck(library.partial_conv, (x, weight, bias, scale, mask, *layer, 1.0, 0.2))
    torch.library.opcheck(
        library.partial_conv_input_grad, (g.clone().requires_grad_(), weight, mask, *layer, list(case.shape))
    )
    torch.library.opcheck(
        library.partial_conv_weight_grad, (x, g.clone().requires_grad_(), mask, *layer, list(case.weight))
    )
    torch.library.opcheck(library.partial_conv_mask, (mask, *layer))

    def call(*inputs: Any) -> Any:
        return library.partial_conv(*inputs, mask, *layer, 1.0, 0.3)

    assert torch.autograd.gradgradcheck(call, (x, weight, bias, scale), fast_mode=True)


@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`:UserWarning")
@pytest.mark.networks
@pytest.mark.parametrize("multi", [False, True], ids=["single", "multi"])
def test_the_compiler_sees_one_graph(multi: bool) -> None:
    torch.manual_seed(0)
    layer = PartialConv2d(4, 6, 3, 2, 1, multi_channel=multi)
    x, scale = torch.randn(2, 4, 9, 9, requires_grad=True), torch.tensor(0.5, requires_grad=True)
    mask = (torch.rand(2, 4 if multi else 1, 9, 9) > 0.5).float()
    plan = ops.mask_plan(mask, [layer])

    def call(x: Any, scale: Any, mask: Any, plan: Any) -> Any:
        return layer(x, mask, plan, scale=scale, negative_slope=0.2)

    compiled = torch.compile(call, backend="aot_eager", fullgraph=True)
    for masks in ((mask, None), (None, plan[0]), (None, None)):
        inputs = (x, scale, *layer.parameters())
        y, coverage = call(x, scale, *masks)
        result, new = compiled(x, scale, *masks)
        assert torch.equal(result, y) and torch.equal(new.bool(), coverage.bool())
        pairs = (torch.autograd.grad(v.square().sum(), inputs) for v in (result, y))
        # Sums over 50 windows and 2 x 81 pixels are taken in another order.
        for a, b in zip(*pairs):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_autocast_runs_in_its_type() -> None:
    layer, x = PartialConv2d(3, 4, 3), torch.randn(1, 3, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = layer(x)
    assert y.dtype == torch.bfloat16
    (y.float().sum()).backward()
    assert layer.weight.grad.dtype == torch.float32


# ---- bits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [False, True], ids=["planar", "channels-last"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bits_do_not_depend_on_threads(dtype: Any, last: bool, path: str, each_thread_count: Any) -> None:
    torch.manual_seed(0)
    memory = torch.channels_last if last else torch.contiguous_format
    x = torch.randn(3, 20, 61, 67).to(dtype, memory_format=memory).requires_grad_()
    weight = torch.randn(48, 20, 3, 3).to(dtype, memory_format=memory).requires_grad_()
    bias = torch.randn(48, dtype=dtype, requires_grad=True)
    mask = torch.rand(3, 1, 61, 67) < 0.1

    def call() -> list[Any]:
        y, new = ops.partial_conv2d(x, weight, bias, mask, stride=2, padding=1, negative_slope=0.2)
        return [y, new, *torch.autograd.grad(y, (x, weight, bias), torch.ones_like(y) + y.detach())]

    first, *others = each_thread_count(call)
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(first, other))


def test_every_instruction_set_follows_the_definition(simd: str) -> None:
    for case, kind in itertools.product(CASES[:4], ("hard", "soft")):
        inputs = [a.astype(np.float32) for a in arrays(case)]
        mask = a_mask(kind, case, 1).astype(np.float32)
        more = {"groups": case.groups, **case.window}
        y, _ = ops.partial_conv2d(*inputs, mask, soft=True, **more)
        expected, _ = reference.partial_conv2d(*inputs, mask, **more)
        np.testing.assert_allclose(y, expected, rtol=0, atol=bound(case, torch.float32, int(np.prod(case.weight[1:]))))


# ---- plans ----------------------------------------------------------------------------------------------------------

CHAIN = ((3, 2, 1), (3, 1, 0, 2), ((2, 3), (1, 2), (0, 1)))


@pytest.mark.parametrize("kind", ["numpy", "torch"])
@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
def test_a_plan_is_its_layers_one_by_one(soft: bool, kind: str) -> None:
    mask = np.random.default_rng(0).random((2, 1, 33, 29)).astype(np.float32)
    mask = mask * (mask < 0.1) if soft else (mask < 0.05).astype(np.float32)
    mask_ = mask if kind == "numpy" else torch.tensor(mask)
    plan = ops.mask_plan(mask_, CHAIN, soft=soft)
    other = plan.complement()
    assert len(plan) == len(CHAIN) == len(list(other))
    assert type(plan[0].ratio) is type(mask_)
    for chain, start in ((plan, mask), (other, 1 - mask)):
        current = start.astype(np.float64)
        for layer in chain:
            w = layer.window
            ratio, coverage = reference.ratio(current, w.kernel_size, w.stride, w.padding, w.dilation)
            np.testing.assert_allclose(np.asarray(layer.ratio), ratio, rtol=1e-6)
            np.testing.assert_allclose(np.asarray(layer.mask_out), coverage, rtol=1e-6)
            np.testing.assert_array_equal(np.asarray(layer.rows), np.flatnonzero(ratio))
            counts = np.asarray(layer.count)
            valid = counts > 0
            np.testing.assert_allclose((layer.size / counts[valid]) * coverage[valid], ratio[valid], rtol=1e-6)
            assert layer.share == pytest.approx(valid.mean())
            current = np.asarray(layer.mask_out, np.float64)


def test_a_plan_names_the_method_of_its_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    layer = PartialConv2d(16, 24, 3, padding=1)
    masks = {share: torch.rand(1, 1, 40, 40) < share for share in (0.01, 0.9)}
    x = torch.randn(1, 16, 40, 40)

    def chosen(share: float, method: Any) -> bool:
        choices: list[bool] = []
        with monkeypatch.context() as patch:
            decide = backend.Layer.by_rows
            patch.setattr(backend.Layer, "by_rows", lambda *a: choices.append(decide(*a)) or choices[-1])
            plan = ops.mask_plan(masks[share], [layer], method=method)
            assert plan.complement()[0].method == plan[0].method == method
            results.append(layer(x, plan=plan[0])[0])
        return choices[0]

    results: list[Any] = []
    assert [chosen(0.01, method) for method in ("auto", "rows", "dense")] == [True, True, False]
    assert [chosen(0.9, method) for method in ("auto", "rows", "dense")] == [False, True, False]
    for a, b in ((results[1], results[2]), (results[4], results[5])):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=144 * 2.0**-23 * float(a.detach().abs().max()))
    with pytest.raises(ArgumentError, match="method: 'sparse', expected one of 'auto', 'rows', 'dense'"):
        ops.mask_plan(masks[0.9], [layer], method="sparse")  # type: ignore[arg-type]


def test_one_mask_serves_a_batch_and_both_ways() -> None:
    torch.manual_seed(0)
    net = [PartialConv2d(3, 8, 3, 2), PartialConv2d(8, 70, 3, 2)]
    x, mask = torch.randn(4, 3, 21, 21), torch.rand(1, 1, 21, 21) < 0.1
    for plan, m in ((ops.mask_plan(mask, net), mask), (ops.mask_plan(mask, net).complement(), ~mask)):
        a = b = x
        current = m.expand(4, -1, -1, -1)
        for layer, part in zip(net, plan):
            a, new = layer(a, plan=part)
            b, current = layer(b, current)
            assert torch.equal(a, b) and torch.equal(new.expand(4, -1, -1, -1), current)


def test_a_plan_does_not_change_with_the_mask() -> None:
    mask = np.ones((1, 1, 6, 6), np.float32)
    plan = ops.mask_plan(mask, [(3,)])
    mask[:] = 0
    assert plan[0].mask_in.min() == 1 and plan.complement()[0].mask_in.max() == 0


def test_a_copy_of_a_plan_has_its_own_memory() -> None:
    x, weight = torch.randn(2, 3, 9, 9), torch.randn(4, 3, 3, 3, requires_grad=True)
    plan = ops.mask_plan(torch.rand(2, 1, 9, 9) > 0.7, [(3,)])
    y, _ = ops.partial_conv2d(x, weight, plan=plan[0])
    expected = torch.autograd.grad(y.sum(), weight)
    other = pickle.loads(pickle.dumps(plan))  # noqa: S301  # of this test
    assert other[0].where[0] != plan[0].where[0] and other[0].index_address != plan[0].index_address
    del plan
    y, _ = ops.partial_conv2d(x, weight, plan=other[0])
    assert all(torch.equal(a, b) for a, b in zip(expected, torch.autograd.grad(y.sum(), weight)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_that_are_kept_are_those_that_are_gathered_again(dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "_FEW_ROWS", 1 << 40)
    x, mask = torch.randn(2, 2, 12, 12).to(dtype), torch.rand(2, 1, 12, 12) > 0.5
    weight = torch.randn(4, 2, 5, 5).to(dtype).requires_grad_()
    results = []
    for most in (0, 1 << 20):
        monkeypatch.setattr(backend, "_KEPT_BYTES", most)
        y, _ = ops.partial_conv2d(x, weight, None, mask, padding=2)
        saved_tensor = y.grad_fn.saved_tensors[-1]
        assert (saved_tensor is not None) == (most > 0)
        results += torch.autograd.grad(y.float().square().sum(), weight)
    assert torch.equal(*results)


def test_mask_dtypes_say_the_same() -> None:
    x, weight = torch.randn(2, 3, 8, 8), torch.randn(4, 3, 3, 3)
    hard = torch.rand(2, 1, 8, 8) > 0.5
    expected, _ = ops.partial_conv2d(x, weight, None, hard)
    for dtype in DTYPES:
        y, new = ops.partial_conv2d(x, weight, None, hard.to(dtype))
        assert torch.equal(y, expected) and new.dtype == dtype
    assert torch.equal(
        ops.partial_conv2d(x, weight, None, hard[0, 0])[0], ops.partial_conv2d(x, weight, None, hard[:1])[0]
    )


# ---- what users rely on ---------------------------------------------------------------------------------------------


def test_without_holes_it_is_a_convolution() -> None:
    layer, x = PartialConv2d(3, 70, 3, 2), torch.randn(2, 3, 31, 31)
    for mask in (None, torch.ones(2, 1, 31, 31)):
        y, new = layer(x, mask)
        torch.testing.assert_close(y, torch.conv2d(x, layer.weight, layer.bias, 2), rtol=1e-5, atol=1e-5)
        assert new.bool().all()


def test_what_is_in_a_hole_does_not_matter(path: str) -> None:
    mask = torch.rand(2, 1, 12, 12) > 0.5
    for planes in (1, 3):
        m = mask.expand(-1, planes, -1, -1)
        x = torch.randn(2, 3, 12, 12)
        weight = torch.randn(4, 3, 3, 3, requires_grad=True)
        results = []
        for values in (x, x.masked_fill(~mask, float("nan"))):
            y, _ = ops.partial_conv2d(values, weight, None, m)
            results.append((y, *torch.autograd.grad(y.square().sum(), weight)))
        assert all(torch.equal(a, b) for a, b in zip(*results))


def test_inputs_are_not_modified_and_strides_do_not_matter(path: str) -> None:
    big = torch.randn(2, 10, 20, 20)
    x = big[:, 1::3, ::2, 3:15].flip(3)
    weight = torch.randn(3, 3, 4, 5).permute(3, 0, 1, 2)
    mask = (torch.rand(20, 12) > 0.5)[::2]
    copies = [t.clone() for t in (big, weight, mask)]
    y, _ = ops.partial_conv2d(x, weight, None, mask, padding=1)
    expected, _ = ops.partial_conv2d(x.contiguous(), weight.contiguous(), None, mask.contiguous(), padding=1)
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)
    assert all(torch.equal(a, b) for a, b in zip(copies, (big, weight, mask)))


def test_the_layer_holds_what_conv2d_holds() -> None:
    """The common implementation keeps the last mask and uses it again in silence."""
    ours, theirs = PartialConv2d(3, 8, 3, padding=1), torch.nn.Conv2d(3, 8, 3, padding=1)
    assert list(ours.state_dict()) == list(theirs.state_dict()) == ["weight", "bias"]
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(1, 3, 9, 9)
    fresh = ours(x)[0]
    before = dict(vars(ours))
    ours(x, torch.zeros(1, 1, 9, 9))
    assert vars(ours) == before and torch.equal(ours(x)[0], fresh)
    torch.manual_seed(3)
    a = PartialConv2d(3, 8, 3)
    torch.manual_seed(3)
    assert torch.equal(a.weight, torch.nn.Conv2d(3, 8, 3).weight)


def test_one_plane_is_taken_for_all_channels_by_a_layer_of_several() -> None:
    layer, x = PartialConv2d(3, 5, 3, multi_channel=True), torch.randn(2, 3, 9, 9)
    mask = torch.rand(2, 1, 9, 9) > 0.5
    y, new = layer(x, mask)
    again, _ = layer(x, mask.expand(-1, 3, -1, -1))
    assert torch.equal(y, again) and new.shape == y.shape
    assert repr(layer).endswith("multi_channel=True)")


# ---- errors ---------------------------------------------------------------------------------------------------------

X, W, B, M = (
    np.ones((2, 3, 8, 8), np.float32),
    np.ones((4, 3, 3, 3), np.float32),
    np.ones(4, np.float32),
    np.ones((8, 8)),
)
PLAN = ops.mask_plan(M, [(3,), (3,)])


@pytest.mark.parametrize(
    ("error", "says", "arguments"),
    [
        (ShapeError, "mask: shape .* does not broadcast to x", {"mask": np.ones((2, 1, 8, 7))}),
        (ShapeError, "mask: shape .* does not broadcast to x", {"mask": np.ones((3, 1, 8, 8))}),
        (ShapeError, "mask: shape .* does not broadcast to x", {"mask": np.ones((2, 2, 8, 8))}),
        (ShapeError, r"mask: shape \[8\], expected", {"mask": np.ones(8)}),
        (MaskError, "mask: values outside", {"mask": M * 1.5}),
        (MaskError, "mask: values outside", {"mask": M * -1.0, "soft": True}),
        (MaskError, "mask: values outside", {"mask": M * np.nan, "soft": True}),
        (MaskError, "mask: values between 0 and 1; pass soft=True", {"mask": M * 0.5}),
        (DTypeError, "mask: dtype uint8", {"mask": M.astype(np.uint8)}),
        (DTypeError, "mask: list", {"mask": [[1]]}),
        (DTypeError, "mask: Tensor, expected the kind of x", {"mask": torch.ones(8, 8)}),
        (ShapeError, "with groups 1 does not fit the 3 channels", {"weight": np.ones((4, 2, 3, 3), "f")}),
        (ShapeError, "weight: shape .* with groups 3", {"weight": np.ones((4, 1, 3, 3), "f"), "groups": 3}),
        (ShapeError, "weight: shape", {"weight": np.ones((4, 3), "f")}),
        (ShapeError, "bias: shape", {"bias": np.ones(3, "f")}),
        (DTypeError, "bias: dtype float64, expected that of x, float32", {"bias": np.ones(4)}),
        (DTypeError, "weight: dtype float64, expected that of x, float32", {"weight": W.astype(np.float64)}),
        (DTypeError, "weight: Tensor, expected the kind of x", {"weight": torch.ones(4, 3, 3, 3)}),
        (DTypeError, "x: dtype int32", {"x": X.astype(np.int32)}),
        (ShapeError, "x: shape", {"x": X[0]}),
        (ShapeError, r"x: \[2, 8\] is smaller", {"x": X[:, :, :2]}),
        (ArgumentError, "stride: 0", {"stride": 0}),
        (ArgumentError, "stride: 1.5", {"stride": 1.5}),
        (ArgumentError, "padding: 'same'", {"padding": "same"}),
        (ArgumentError, r"dilation: \(1, 2, 3\)", {"dilation": (1, 2, 3)}),
        (ArgumentError, "groups: 0", {"groups": 0}),
        (ArgumentError, "negative_slope: -1.0", {"negative_slope": -1.0}),
        (ArgumentError, "scale: nan", {"scale": float("nan")}),
        (ArgumentError, "plan: not accepted with mask", {"mask": M, "plan": PLAN[0]}),
        (ArgumentError, "plan: MaskPlan, expected one layer", {"plan": PLAN}),
        (ShapeError, "plan: for a mask", {"plan": PLAN[1]}),
        (ShapeError, "plan: for Window", {"plan": PLAN[0], "stride": 2}),
    ],
)  # fmt: skip
def test_bad_input_is_named(error: type[Exception], says: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(error, match=says):
        ops.partial_conv2d(**{"x": X, "weight": W, "bias": B, **arguments})


@pytest.mark.parametrize(
    ("error", "says", "mask", "layers"),
    [
        (ArgumentError, "layers: empty", M, []),
        (ArgumentError, r"layers\[1\]: 3, expected a layer", M, [(3,), 3]),
        (ArgumentError, r"layers\[0\]: kernel_size: 0", M, [(0,)]),
        (ShapeError, "smaller than the window of layer 1", M, [(7,), (3,)]),
        (ShapeError, "channels, not divisible by groups", np.ones((1, 3, 8, 8)), [(3, 1, 0, 1, 2)]),
        (MaskError, "values between", M * 0.5, [(3,)]),
    ],
)
def test_bad_plans_are_named(error: type[Exception], says: str, mask: Any, layers: Any) -> None:
    with pytest.raises(error, match=says):
        ops.mask_plan(mask, layers)


def test_bad_tensors_are_named() -> None:
    x, weight = torch.ones(1, 3, 8, 8), torch.ones(4, 3, 3, 3)
    with pytest.raises(DTypeError, match="weight: dtype bfloat16, expected that of x, float32"):
        ops.partial_conv2d(x, weight.bfloat16())
    with pytest.raises(DTypeError, match="x: a tensor on meta, expected one on the CPU"):
        ops.partial_conv2d(x.to("meta"), weight)
    with pytest.raises(ShapeError, match="scale: shape"):
        ops.partial_conv2d(x, weight, scale=torch.ones(2))
    with pytest.raises(ShapeError, match="expected one plane, or a layer with multi_channel=True"):
        PartialConv2d(3, 4, 3)(x, torch.ones(1, 3, 8, 8))


@pytest.mark.parametrize("padding", [10**9, (1 << 62, 0), 10**30, 16_000_000, 30_000])
def test_padding_beyond_the_numbers_of_rows_is_refused(padding: Any) -> None:
    x, weight = np.ones((1, 3, 8, 8), np.float32), np.ones((2, 3, 3, 3), np.float32)
    with pytest.raises(ArgumentError, match=r"padding: .* expected (below 2\^31|an integer from 0 to 16777215)"):
        ops.partial_conv2d(x, weight, padding=padding)
    with pytest.raises(ArgumentError, match="padding: "):
        ops.mask_plan(np.ones((8, 8), bool), [(3, 1, padding)])
