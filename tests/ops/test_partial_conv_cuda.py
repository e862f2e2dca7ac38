"""Partial convolution on a device: its kernels and the layers around them, run by the emulator in several orders."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pyharmony import _native, ops
from pyharmony.errors import ArgumentError, DTypeError, MaskError, ShapeError

torch = pytest.importorskip("torch", reason="torch is not installed")

from pyharmony.ops import _native_torch
from pyharmony.ops import _partial_conv_calls_torch as calls
from pyharmony.ops import _partial_conv_cuda_torch as device
from pyharmony.ops import _partial_conv_torch as backend

from ..cuda_arrays import far_apart
from .test_partial_conv import CASES, Case, a_mask, arrays, check_layer

HOST_LAUNCH = {"device": -1, "stream": 0}
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
FORMATS = (torch.contiguous_format, torch.channels_last)
#: Layers for tests of kernels: a shape whose packs are whole, and one that has none.
SHAPES = ((2, 16, 12, 10), (2, 5, 7, 9))


@pytest.fixture(autouse=True)
def _known(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tells the checker of the memory that kernels get by its address alone, and keeps it for the test."""
    emulator = request.getfixturevalue("emulator") if "emulator" in request.fixturenames else None
    memory_blocks: list[Any] = []
    if emulator is not None and emulator.checked:
        make = _native_torch.scratch

        def made(nbytes: int, like: Any) -> Any:
            memory_blocks.append(make(nbytes, like))
            emulator.register_memory(memory_blocks[-1].data_ptr(), memory_blocks[-1].numel())
            return memory_blocks[-1]

        monkeypatch.setattr(_native_torch, "scratch", made)
    yield
    for memory in memory_blocks:
        emulator.forget_memory(memory.data_ptr())


@pytest.fixture
def on_emulator(emulator: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Takes tensors of the CPU for tensors on the emulator's device."""
    monkeypatch.setattr(_native, "device_module", lambda: emulator)
    monkeypatch.setattr(backend, "on_device", lambda x: True)
    monkeypatch.setattr(device, "COMPOSED_IMAGES", 0)
    device._cached_ones.cache_clear()
    yield emulator
    device._cached_ones.cache_clear()


@pytest.fixture
def composed(on_emulator: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Composes layers of few images of torch's calls, and fails where a function of autograd computes one."""
    monkeypatch.setattr(device, "COMPOSED_IMAGES", 8)
    monkeypatch.setattr(backend, "_apply", lambda *_: pytest.fail("a function of autograd"))
    return on_emulator


def view(emulator: Any, x: Any, writable: bool = False) -> Any:
    if x is None:
        return None
    dtype = str(x.dtype).removeprefix("torch.")
    return emulator.ArrayView(x.data_ptr(), dtype, tuple(x.shape), tuple(x.stride()), writable)


def random(shape: Any, dtype: Any, form: Any = torch.contiguous_format, seed: int = 0) -> Any:
    x = torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).to(dtype)
    return x.contiguous(memory_format=form) if x.ndim == 4 else x


def maps(shape: Any, groups: int = 1, soft: bool = False, seed: int = 1) -> tuple[Any, Any]:
    """Returns a ratio, and the new mask that belongs to it: zero together."""
    rng = np.random.default_rng(seed)
    n, _, h, w = shape
    valid = rng.random((n, groups, h, w)) < 0.6
    ratio = torch.from_numpy((valid * rng.uniform(1, 9, valid.shape)).astype(np.float32))
    coverage = valid * (rng.random(valid.shape) if soft else 1)
    return ratio, torch.from_numpy(coverage.astype(np.float32)) if soft else torch.from_numpy(valid)


def scratch(nbytes: int) -> tuple[Any, tuple[int, int]]:
    memory = _native_torch.scratch(nbytes, torch.empty(0))
    return memory, (memory.data_ptr(), nbytes)


def eps(dtype: Any) -> float:
    """Returns the error of a rounding to a dtype and of the few of float32 before it."""
    return float(torch.finfo(dtype).eps) + 8 * float(torch.finfo(torch.float32).eps)


def by_channel(x: Any, channels: int) -> Any:
    return x.double().repeat_interleave(channels // x.shape[1], 1)


# ---- plans ----------------------------------------------------------------------------------------------------------

CHAINS: dict[str, Any] = {
    "dovenet": ((2, 1, 67, 130), [(3, 2)] * 4),
    "padding": ((1, 1, 40, 33), [(7, 2, 3), (5, 1, 2, 2), ((1, 3), 1, (0, 4), 3)]),
    "wide dilation": ((1, 1, 37, 90), [((2, 3), 1, (0, 20), (1, 40)), ((3, 35), 1, 17)]),
    "small": ((3, 1, 1, 1), [(1,)]),
    "planes": ((2, 6, 9, 70), [(3, 2, 1), (3, 1, 1)]),
    "groups": ((2, 6, 9, 70), [(3, 2, 1, 1, 3), (3, 1, 1, 1, 3)]),
    "too many bits": ((1, 40, 70, 200), [(3, 2), (3, 2, 1)]),
    "too many bits of groups": ((1, 48, 70, 180), [(3, 2, 1, 1, 2), (3, 2, 1, 1, 2)]),
}


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("name", CHAINS)
def test_a_plan_is_that_of_the_processor(emulator: Any, name: str, soft: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    shape, layers = CHAINS[name]
    rng = np.random.default_rng(0)
    for share, dtype in (
        (0.1, torch.float32),
        (0.02, torch.bool if not soft else torch.float16),
        (0.0, torch.bfloat16),
    ):
        values = rng.random(shape)
        mask = torch.from_numpy(np.where(values < share, values / max(share, 1e-9) if soft else 1.0, 0.0)).to(dtype)
        expected = ops.mask_plan(mask, layers, soft=soft)
        with monkeypatch.context() as patch:
            patch.setattr(_native, "device_module", lambda: emulator)
            patch.setattr(backend, "on_device", lambda x: True)
            plans = ops.mask_plan(mask, layers, soft=soft)
            for a, b in zip(plans, expected, strict=True):
                assert a.on_device and (a.groups, a.channels, a.window) == (b.groups, b.channels, b.window)
                assert torch.equal(a.rows, b.rows)
                assert a.share == b.share
                assert torch.equal(a.mask_in, b.mask_in) or soft
                # Sums of soft values are in float32, S / u is one more rounding; counts are exact.
                depth = b.size if soft else 0
                for x, y in ((a.count, b.count), (a.ratio, b.ratio), (a.mask_out.float(), b.mask_out.float())):
                    assert x.dtype == torch.float32 and x.shape == y.shape
                    torch.testing.assert_close(x, y.float(), rtol=(depth + 2) * 2.0**-23 if depth else 0, atol=0)
                assert a.mask_out.dtype == mask.dtype


def test_masks_of_any_strides(on_emulator: Any) -> None:
    values = torch.from_numpy(np.random.default_rng(3).random((2, 3, 21, 96)) < 0.1)
    layers = [(3, 2, 1), (3, 1, 1)]
    expected = ops.mask_plan(values, layers)
    wide = torch.zeros(2, 3, 23, 200, dtype=torch.bool)
    wide[:, :, 1:22, 3:195:2] = values
    for mask in (
        values.contiguous(memory_format=torch.channels_last), wide[:, :, 1:22, 3:195:2],
        values.transpose(2, 3).contiguous().transpose(2, 3), values.half(), values.float()[..., :96],
    ):  # fmt: skip
        for a, b in zip(ops.mask_plan(mask, layers), expected, strict=True):
            assert torch.equal(a.ratio, b.ratio) and torch.equal(a.rows, b.rows)
    one = values[:1, :1].expand(2, 3, 21, 96)
    assert torch.equal(ops.mask_plan(one, layers)[1].ratio, ops.mask_plan(one.contiguous(), layers)[1].ratio)


def test_a_complement_and_a_mask_that_changes_afterwards(on_emulator: Any) -> None:
    mask = torch.zeros(1, 1, 12, 12)
    mask[..., :5] = 1
    plan = ops.mask_plan(mask, [(3, 2, 1)])
    mask.fill_(7)
    assert float(plan[0].mask_in.sum()) == 60
    assert torch.equal(plan.complement()[0].mask_in, 1 - plan[0].mask_in)
    assert "12" not in repr(plan[0]) and "6 x 6" in repr(plan[0])


def test_values_of_masks_are_looked_at(on_emulator: Any) -> None:
    for shape in ((2, 1, 20, 70), (1, 40, 70, 200)):
        for value, soft, message in (
            (0.5, False, "between 0 and 1"), (1.5, True, "outside"), (-0.5, False, "outside"),
            (float("nan"), True, "outside"),
        ):  # fmt: skip
            mask = torch.ones(shape)
            mask[-1, -1, 3, 68] = value
            with pytest.raises(MaskError, match=message):
                ops.mask_plan(mask, [(3,)], soft=soft)


# ---- passes over tensors --------------------------------------------------------------------------------------------


def premask(emulator: Any, x: Any, mask: Any, out: Any = None, value: float = 1.0, scale: Any = None) -> None:
    """Multiplies x by a mask, into another tensor or in place with a factor."""
    x_view = view(emulator, x)
    described = emulator.PartialConvCalls(x_view, x_view, None, None, x_view, view(emulator, scale))
    if out is None:
        address = 0 if scale is None else scale.data_ptr()
        described.mask_gradient(view(emulator, mask), x.data_ptr(), value, address, *HOST_LAUNCH.values())
    else:
        described.premask(view(emulator, mask), x.data_ptr(), out.data_ptr(), *HOST_LAUNCH.values())


@pytest.mark.parametrize("form", FORMATS, ids=["planar", "channels-last"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_premask(emulator: Any, dtype: Any, shape: Any, form: Any) -> None:
    n, c, h, w = shape
    rng = np.random.default_rng(2)
    for planes, images, soft in itertools.product((1, c), (1, n), (False, True)):
        mask = torch.from_numpy(rng.random((images, planes, h, w)).astype(np.float32))
        mask = mask * (mask < 0.6) if soft else mask < 0.5
        x = random(shape, dtype, form)
        expected = x.double() * mask.double()
        x[torch.broadcast_to(mask == 0, shape)] = float("nan")  # what is in holes does not matter
        for layout in FORMATS:
            m, out = mask.contiguous(memory_format=layout), torch.full_like(x, float("nan"))
            premask(emulator, x, m, out)
            torch.testing.assert_close(out.double(), expected, rtol=eps(dtype), atol=eps(dtype) * 1e-3)
        premask(emulator, x, m, None, 0.7, torch.tensor([1.5], dtype=dtype))
        torch.testing.assert_close(x.double(), expected * 0.7 * 1.5, rtol=eps(dtype), atol=eps(dtype) * 1e-3)
    premask(emulator, x, None, None, 2.0)
    torch.testing.assert_close(x.double(), expected * 0.7 * 3, rtol=2 * eps(dtype), atol=eps(dtype) * 1e-3)


def epilogue(
    emulator: Any, y: Any, ratio: Any, coverage: Any = None, bias: Any = None, value: float = 1.0, scale: Any = None,
    slope: float = 1.0,
) -> None:  # fmt: skip
    """Computes the pass after a convolution, in place."""
    described = emulator.PartialConvCalls(*(view(emulator, t) for t in (None, y, bias, scale)))
    addresses = [0 if t is None else t.data_ptr() for t in (bias, scale)]
    maps_ = view(emulator, ratio), view(emulator, coverage)
    described.epilogue(*maps_, y.data_ptr(), addresses[0], value, addresses[1], slope, *HOST_LAUNCH.values())


@pytest.mark.parametrize("form", FORMATS, ids=["planar", "channels-last"])
@pytest.mark.parametrize("shape", [*SHAPES, (1, 40, 130, 8), (3, 6, 1, 1)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_epilogue(emulator: Any, dtype: Any, shape: Any, form: Any) -> None:
    n, c, h, w = shape
    acc, bias = random(shape, dtype, form), random((c,), dtype, seed=5)
    scale = torch.tensor(1.5)
    for groups, soft, images, slope in (
        (1, False, n, 0.2),
        (1, True, 1, 1.0),
        (c // 2 if c % 2 == 0 else c, True, n, 0.0),
    ):
        ratio, coverage = maps((images, c, h, w), groups, soft)
        t = 0.7 * 1.5 * acc.double() * by_channel(ratio, c) + bias.double()[:, None, None] * by_channel(coverage, c)
        expected = torch.where(t > 0, t, slope * t)
        y = acc.clone()
        y[torch.broadcast_to(by_channel(ratio, c) == 0, shape)] = float("nan")
        epilogue(emulator, y, ratio, coverage if soft else None, bias, 0.7, scale, slope)
        # An fma costs half a rounding of the dtype, and one of the products' sizes in float32.
        size = float(t.abs().max()) + float(bias.abs().max())
        torch.testing.assert_close(y.double(), expected, rtol=eps(dtype), atol=4 * 2.0**-23 * size)


@pytest.mark.parametrize("form", FORMATS, ids=["planar", "channels-last"])
@pytest.mark.parametrize("shape", [*SHAPES, (1, 40, 130, 8)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_gradient_of_the_epilogue(emulator: Any, dtype: Any, shape: Any, form: Any) -> None:
    n, c, h, w = shape
    grad, y = random(shape, dtype, form), random(shape, dtype, form, seed=6)
    for groups, soft, images, slope in ((1, False, n, 0.2), (1, True, 1, 1.0), (c, True, n, 0.0)):
        ratio, coverage = maps((images, c, h, w), groups, soft)
        g = grad.double() * torch.where(y > 0, 1.0, slope).double()
        h_, offset = torch.full_like(grad, float("nan")), torch.full((c,), float("nan"), dtype=dtype)
        described = emulator.PartialConvCalls(None, view(emulator, grad), view(emulator, offset), None)
        memory = torch.empty(described.workspace, dtype=torch.uint8)
        described.epilogue_grad(
            view(emulator, ratio), view(emulator, coverage) if soft else None, grad.data_ptr(),
            y.data_ptr() if slope != 1 else 0, 0.7, 0, slope, h_.data_ptr(), offset.data_ptr(), memory.data_ptr(),
            *HOST_LAUNCH.values(),
        )  # fmt: skip
        expected = g * by_channel(ratio, c) * 0.7
        torch.testing.assert_close(h_.double(), expected, rtol=eps(dtype), atol=1e-7)
        terms = (g * by_channel(coverage, c)).abs().sum((0, 2, 3)).max()
        expected_offset = (g * by_channel(coverage, c)).sum((0, 2, 3))
        atol = float(terms) * n * h * w * 2.0**-24
        torch.testing.assert_close(offset.double(), expected_offset, rtol=eps(dtype), atol=atol)


@pytest.mark.parametrize("axis", range(4), ids=["items", "channels", "rows", "columns"])
def test_offsets_beyond_two_gigavalues(on_emulator: Any, axis: int) -> None:
    """Tests far strides of masks."""
    emulator, (n, c, h, w) = on_emulator, (2, 3, 9, 10)

    def far(x: Any, axis: int = axis) -> Any:
        return torch.from_numpy(far_apart(x.numpy(), axis, emulator))

    mask = torch.from_numpy(np.random.default_rng(3).random((n, c, h, w)) < 0.4)
    layers = [(3, 2, 1), (3, 1, 1)]
    for values, soft in ((mask, False), (mask.float(), False), (mask.half() / 2, True)):
        for a, b in zip(*(ops.mask_plan(m, layers, soft=soft) for m in (far(values), values)), strict=True):
            assert torch.equal(a.ratio, b.ratio) and torch.equal(a.rows, b.rows)

    one = mask[:, :1].contiguous()
    x = random((n, c, h, w), torch.float32, seed=1)
    # Positions of a mask have one step.
    flat = far(one.flatten(2), min(axis, 2))
    image, plane, position = flat.stride()
    far_mask = flat.as_strided(one.shape, (image, plane, w * position, position))
    results = []
    for m_in in (one, far_mask):
        masked = torch.empty(n, c, h, w)
        premask(emulator, x, m_in, masked)
        results.append(masked)
    assert torch.equal(*results)
    if axis > 1:
        with pytest.raises(ValueError, match="mask: gaps between its rows"):
            premask(emulator, x, far(one), masked)


# ---- layers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["hard", "soft", "zeros", "none"])
@pytest.mark.parametrize("case", [CASES[0], CASES[1], CASES[3], CASES[7]], ids=str)
def test_a_layer_and_its_gradients_follow_the_definition(on_emulator: Any, case: Case, kind: str) -> None:
    forms = itertools.cycle(itertools.product((0.7, torch.tensor(0.7)), FORMATS))
    for (planes, dtype), (scale, memory) in zip(itertools.product((1, case.shape[1]), DTYPES), forms, strict=False):
        check_layer(case, kind, planes, dtype, memory, scale)


def penalty(case: Case, dtype: Any, method: Any = "auto", tensors: int = 3) -> list[Any]:
    """Returns a loss of gradients of a layer, and the gradients of that; two tensors are x and the weight."""
    inputs = [torch.tensor(a, dtype=dtype, requires_grad=True) for a in arrays(case)[:tensors]]
    scale = torch.tensor(0.7, dtype=dtype, requires_grad=True)
    layer = (case.kernel, case.stride, case.padding, case.dilation, case.groups)
    plan = ops.mask_plan(torch.tensor(a_mask("hard", case, 1), dtype=dtype), [layer], method=method)[0]
    more = {"groups": case.groups, "scale": scale, "negative_slope": 0.3, **case.window}
    y, _ = ops.partial_conv2d(*inputs, plan=plan, **more)
    first = torch.autograd.grad((y * torch.sin(y)).sum(), [*inputs[:2], scale], create_graph=True)
    loss = sum((g * g).sum() for g in first)
    return [loss, *torch.autograd.grad(loss, [*inputs, scale])]


@pytest.mark.parametrize("case", [CASES[1], CASES[3]], ids=str)
def test_second_derivatives_are_those_of_the_processor(
    emulator: Any, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = penalty(case, torch.float64)
    monkeypatch.setattr(_native, "device_module", lambda: emulator)
    monkeypatch.setattr(backend, "on_device", lambda x: True)
    for a, b in zip(penalty(case, torch.float32), expected, strict=True):
        # Each of five passes has sums of `depth` products in float32, which add up to the largest value.
        depth = int(np.prod(case.weight[1:])) * case.outputs
        torch.testing.assert_close(a.double(), b, rtol=0, atol=5 * depth * 2.0**-23 * float(b.detach().abs().max()))


def value_and_gradients(leaves: list[Any], mask: Any, more: dict[str, Any]) -> list[Any]:
    """Returns a layer of the first two leaves, and the gradients of all."""
    x, weight = leaves[:2]
    y, _ = ops.partial_conv2d(x, weight, None, mask, **more)
    return [y, *torch.autograd.grad(y, leaves, random(y.shape, y.dtype, seed=3))]


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("scale", [None, 0.5, torch.tensor([0.7]), torch.tensor(0.7, dtype=torch.float16)], ids=str)
@pytest.mark.parametrize("case", [CASES[0], CASES[1], CASES[3], CASES[8]], ids=str)
def test_a_composed_layer_is_that_of_the_kernels(
    composed: Any, case: Case, scale: Any, soft: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for (planes, dtype), form in zip(itertools.product((1, case.shape[1]), DTYPES), itertools.cycle(FORMATS)):
        if planes > 1 and case.groups > 1:
            continue  # each group has a ratio
        values = a_mask("soft" if soft else "hard", case, planes)
        mask = None if scale == 0.5 and not soft else torch.tensor(values, dtype=torch.float32)
        x, weight = (torch.tensor(a, dtype=dtype).contiguous(memory_format=form) for a in arrays(case)[:2])
        if mask is not None:
            x[torch.broadcast_to(mask == 0, case.shape)] = float("nan")
        if dtype != torch.float32:
            scale = None  # with a scale, half floats are not composed
        factor = scale.clone() if isinstance(scale, torch.Tensor) else scale
        leaves = [x, weight, *([factor] if isinstance(factor, torch.Tensor) else [])]
        for leaf in leaves:
            leaf.requires_grad_()
        more = {"groups": case.groups, "soft": soft, "scale": factor, "negative_slope": 0.2, **case.window}
        results = value_and_gradients(leaves, mask, more)
        with monkeypatch.context() as patch:
            patch.setattr(device, "COMPOSED_IMAGES", 0)
            patch.setattr(backend, "_apply", lambda function, *inputs: function.apply(*inputs))
            expected = value_and_gradients(leaves, mask, more)
        assert results[0].stride() == expected[0].stride()
        for a, b in zip(results, expected, strict=True):
            assert a.dtype == b.dtype
            # Ratio, their product and its activation are rounded to the dtype; a scale's gradient adds the values.
            size = float(b.detach().abs().max()) * (1 if a.ndim > 1 else results[0].numel() ** 0.5)
            torch.testing.assert_close(a, b, rtol=0, atol=8 * eps(dtype) * size)


def test_second_derivatives_of_a_composed_layer(composed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES[1]
    results = penalty(case, torch.float32, tensors=2)
    monkeypatch.undo()
    for a, b in zip(results, penalty(case, torch.float64, tensors=2), strict=True):
        depth = int(np.prod(case.weight[1:])) * case.outputs
        torch.testing.assert_close(a.double(), b, rtol=0, atol=5 * depth * 2.0**-23 * float(b.detach().abs().max()))


def test_which_layers_are_composed(composed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def chosen(
        shape: Any, bias: Any = None, method: Any = "auto", groups: int = 1, planes: int = 1, scale: Any = 1.0,
        dtype: torch.dtype = torch.float32,
    ) -> bool:  # fmt: skip
        mask = torch.ones(1, planes, *shape[2:]) > 0
        plan = ops.mask_plan(mask, [(3, 1, 1, 1, groups)], method=method)[0]
        return device.is_composed(torch.empty(shape, device="meta", dtype=dtype), bias, scale, plan)

    assert chosen((7, 8, 16, 16)) and chosen((7, 8, 16, 16), method="dense") and chosen((1, 8, 16, 16), groups=4)
    assert not chosen((8, 8, 16, 16)) and not chosen((1, 8, 1024, 512)) and chosen((1, 8, 1024, 511))
    assert not chosen((1, 8, 16, 16), torch.ones(8)) and not chosen((1, 8, 16, 16), method="rows")
    assert not chosen((1, 8, 16, 16), groups=4, planes=8) and not chosen((1, 512, 16, 16), planes=512)
    # Half floats have no room for a scale and its gradient.
    assert chosen((1, 8, 16, 16), scale=2.0) and chosen((1, 8, 16, 16), scale=torch.tensor(0.7))
    for scale in (2.0, torch.tensor(1.0)):
        assert not chosen((1, 8, 16, 16), scale=scale, dtype=torch.float16)
    assert chosen((1, 8, 16, 16), dtype=torch.bfloat16)
    with torch.inference_mode():
        assert not chosen((1, 8, 16, 16))
    monkeypatch.setattr(_native_torch, "where_of", lambda x: (0, 7))  # a stream, as of a capture and its warm-up
    assert not chosen((1, 8, 16, 16))


def test_a_plan_that_was_cached_in_inference_mode_serves_gradients(
    on_emulator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "COMPOSED_IMAGES", 8)
    x, weight = torch.randn(1, 8, 9, 9), torch.randn(16, 8, 3, 3)
    with torch.inference_mode():
        expected, _ = ops.partial_conv2d(x, weight, padding=1)
    y, _ = ops.partial_conv2d(x, weight.requires_grad_(), padding=1)
    assert torch.equal(y, expected) and torch.autograd.grad(y.sum(), weight)[0].isfinite().all()
    plan = ops.mask_plan(torch.ones(1, 1, 9, 9) > 0, [(3, 1, 1)])[0]
    with torch.inference_mode():
        assert plan.ratio.is_inference()
    y, _ = ops.partial_conv2d(x, weight, plan=plan, padding=1)
    assert torch.autograd.grad(y.sum(), weight)[0].isfinite().all()


def test_a_new_mask_may_be_changed_before_the_gradients(composed: Any) -> None:
    x, weight = torch.randn(1, 8, 9, 9), torch.randn(16, 8, 3, 3, requires_grad=True)
    mask = torch.ones(1, 1, 9, 9) > 0
    mask[..., :4] = False
    want = torch.autograd.grad(ops.partial_conv2d(x, weight, None, mask)[0].sum(), weight)[0]
    y, new_mask = ops.partial_conv2d(x, weight, None, mask)
    new_mask.logical_not_()
    torch.testing.assert_close(torch.autograd.grad(y.sum(), weight)[0], want, rtol=0, atol=0)


@pytest.mark.parametrize("method", ["auto", "rows", "composed"])
def test_nothing_that_a_call_needs_is_read_on_the_host(
    on_emulator: Any, method: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forward and backward run with a plan, or a mask of bools, with a scale on the device, as in a capture."""
    if method == "composed":
        monkeypatch.setattr(device, "COMPOSED_IMAGES", 8)
    case = Case((2, 16, 13, 11), 24, stride=(2, 2)) if method == "rows" else CASES[0]
    x, weight, bias = (torch.tensor(a, dtype=torch.float32, requires_grad=True) for a in arrays(case))
    bias = None if method == "composed" else bias
    scale = torch.tensor(0.7, requires_grad=True)
    mask = torch.tensor(a_mask("hard", case, 1) > 0)
    for name in ("item", "tolist", "__float__", "__bool__", "__int__", "numpy", "cpu"):
        monkeypatch.setattr(torch.Tensor, name, lambda *_: pytest.fail("a value was read"))
    plan = ops.mask_plan(mask, [(3, 2)], method="rows" if method == "rows" else "auto")[0]
    for mask_options in ({"mask": mask}, {"plan": plan}, {}):
        for factor in (scale, 0.5):
            y, _ = ops.partial_conv2d(x, weight, bias, stride=2, scale=factor, negative_slope=0.2, **mask_options)
            (g,) = torch.autograd.grad(y.sum(), x, create_graph=True)
            (g * g).sum().backward()
    # Values of a mask of floats are not looked at in a capture.
    monkeypatch.setattr(_native_torch, "is_capturing", lambda x: True)
    ops.partial_conv2d(x, weight, bias, mask.float(), stride=2)
    ops.partial_conv2d(x, weight, bias, stride=2, padding=1)
    assert device._cached_ones.cache_info().currsize <= 1


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("scale", [None, 0.5, torch.tensor(0.7), torch.tensor(0.7, dtype=torch.float16)], ids=str)
@pytest.mark.parametrize("slope", [None, 0.2])
def test_a_layer_that_is_described_once_has_the_same_bits(
    on_emulator: Any, monkeypatch: pytest.MonkeyPatch, soft: bool, scale: Any, slope: Any
) -> None:
    monkeypatch.setattr(calls, "_described", calls.Memory())
    monkeypatch.setattr(device, "_checked", calls.Memory())
    views: list[int] = []
    counts: dict[str, int] = {}
    view_of = _native_torch.Calls.view

    def counting(*arguments: Any, **options: Any) -> Any:
        counts["count"] = counts.get("count", 0) + 1
        return view_of(*arguments, **options)

    weight, bias = torch.randn(8, 2, 3, 3), torch.randn(8)
    for _ in range(3):
        # A new plan, as in each step of a training, needs no new description.
        x, mask = torch.randn(2, 2, 9, 8), torch.rand(2, 1, 9, 8)
        plan = ops.mask_plan(mask if soft else mask > 0.5, [(3, 2, 1)], soft=soft)[0]
        call = functools.partial(
            ops.partial_conv2d, x, weight, bias, plan=plan, stride=2, padding=1, scale=scale, negative_slope=slope
        )
        with torch.no_grad(), monkeypatch.context() as patch:
            patch.setattr(calls, "_described", calls.Memory())
            expected = call()
        with torch.no_grad(), monkeypatch.context() as patch:
            patch.setattr(_native_torch.Calls, "view", counting)
            results = call()
        views.append(counts.pop("count", 0))
        parameter = weight.clone().requires_grad_()
        y, _ = ops.partial_conv2d(x, parameter, bias, plan=plan, stride=2, padding=1, scale=scale, negative_slope=slope)
        assert all(torch.equal(a, b) for a, b in zip((*results, y), (*expected, expected[0]), strict=True))
        assert torch.autograd.grad(y.sum(), parameter)[0].isfinite().all()
    assert views[0] > 0 and views[1:] == [0, 0]
    assert len(calls._described._values) == 1 and len(device._checked._values) == 1


@pytest.mark.parametrize("form", FORMATS, ids=["planar", "channels-last"])
@pytest.mark.parametrize("kind", ["hard", "soft", "planes", "none"])
@pytest.mark.parametrize("scale", [None, 0.5, torch.tensor(0.7), torch.tensor(0.7, dtype=torch.float16)], ids=str)
@pytest.mark.parametrize("slope", [None, 0.2])
def test_gradients_that_are_described_once_have_the_same_bits(
    on_emulator: Any, slope: float | None, scale: Any, kind: str, form: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "_gradients", calls.Memory())
    real, views = _native_torch.Calls.view, []

    def counting(self: Any, x: Any, **options: Any) -> Any:
        views.append(x)
        return real(self, x, **options)

    rng = torch.Generator().manual_seed(3)
    rounds = []
    for _ in range(3):
        x, weight, bias = (torch.randn(shape, generator=rng) for shape in ((2, 8, 13, 12), (16, 8, 3, 3), (16,)))
        inputs = [x.contiguous(memory_format=form), weight.contiguous(memory_format=form), bias]
        leaf_scale = scale.clone() if isinstance(scale, torch.Tensor) and scale.dtype == torch.float32 else scale
        for leaf in (*inputs, *([leaf_scale] if leaf_scale is not scale else [])):
            leaf.requires_grad_()
        leaves = [*inputs, *([leaf_scale] if leaf_scale is not scale else [])]
        mask = torch.rand(2, 8 if kind == "planes" else 1, 13, 12, generator=rng)
        mask = mask if kind == "soft" else mask > 0.5
        plan = None if kind == "none" else ops.mask_plan(mask, [(3, 2, 1)], soft=kind == "soft", method="dense")[0]
        y, _ = ops.partial_conv2d(*inputs, plan=plan, stride=2, padding=1, scale=leaf_scale, negative_slope=slope)
        grad = torch.randn(y.shape, generator=rng)
        # All gradients, and those of some alone.
        for some in (leaves, [leaves[0]], [leaves[1]], [leaves[2]], leaves[:2]):
            views.clear()
            with monkeypatch.context() as patch:
                patch.setattr(_native_torch.Calls, "view", counting)
                actual = torch.autograd.grad(y, some, grad, retain_graph=True)
            rounds.append(len(views))
            with monkeypatch.context() as patch:
                patch.setattr(calls, "_gradients", calls.Memory())
                expected = torch.autograd.grad(y, some, grad, retain_graph=True)
            assert all(torch.equal(a, b) for a, b in zip(actual, expected, strict=True))
            assert all(a.stride() == b.stride() for a, b in zip(actual, expected, strict=True))
    # Tensors are described once: the last of the five needs the description of the weight's gradient alone.
    assert all(rounds[:4]) and not any(rounds[4:])
    assert len(calls._gradients._values) == 4


def test_gradients_of_other_forms_are_described_apart(on_emulator: Any) -> None:
    x, weight = torch.randn(2, 8, 9, 9, requires_grad=True), torch.randn(16, 8, 3, 3, requires_grad=True)
    plan = ops.mask_plan(torch.rand(2, 1, 9, 9) > 0.5, [(3, 1, 1)], method="dense")[0]
    y, _ = ops.partial_conv2d(x, weight, plan=plan, padding=1, negative_slope=0.2)
    whole = torch.randn(2, 16, 9, 18)
    for grad in (whole[..., ::2], whole[..., ::2].contiguous(memory_format=torch.channels_last), torch.ones(1).expand(
        2, 16, 9, 9), torch.complex(whole, whole)[..., ::2].conj().imag):  # fmt: skip
        same = grad.resolve_neg().contiguous()
        for a, b in zip(*(torch.autograd.grad(y, (x, weight), g, True) for g in (grad, same)), strict=True):
            assert torch.equal(a, b)
    strided = torch.randn(2, 8, 9, 18)[..., ::2].requires_grad_()
    y, _ = ops.partial_conv2d(strided, weight, plan=plan, padding=1)
    dense = strided.detach().contiguous().requires_grad_()
    z, _ = ops.partial_conv2d(dense, weight, plan=plan, padding=1)
    actual, expected = (torch.autograd.grad(a.sum(), (b, weight)) for a, b in ((y, strided), (z, dense)))
    assert all(torch.equal(a, b) for a, b in zip(actual, expected, strict=True))


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x[:, :, ::2, ::2],
        lambda x: x.contiguous(memory_format=torch.channels_last)[:, :, :9, :9],
        lambda x: x[:, :, :9, :9].bfloat16(),
        lambda x: torch.complex(x, x)[:, :, :9, :9].conj().imag,
    ],
    ids=["gaps", "last", "bfloat16", "negative"],
)
def test_other_forms_of_x_are_described_apart(on_emulator: Any, make: Any) -> None:
    whole = torch.randn(2, 8, 18, 18)
    weight, plan = torch.randn(16, 8, 3, 3), ops.mask_plan(torch.rand(2, 1, 9, 9) > 0.5, [(3, 1, 1)])[0]
    for x in (whole[:, :, :9, :9].contiguous(), make(whole), make(whole)):
        result, _ = ops.partial_conv2d(x, weight.to(x.dtype), plan=plan, padding=1)
        expected, _ = ops.partial_conv2d(x.resolve_neg().contiguous(), weight.to(x.dtype), plan=plan, padding=1)
        torch.testing.assert_close(result, expected)


def test_a_bias_and_a_scale_that_torch_negates_when_they_are_read(on_emulator: Any) -> None:
    x, weight, bias, scale = torch.randn(2, 8, 9, 9), torch.randn(16, 8, 3, 3), torch.randn(16), torch.tensor(0.7)
    plan = ops.mask_plan(torch.rand(2, 1, 9, 9) > 0.5, [(3,)])[0]
    lazy = torch._neg_view(bias), torch._neg_view(scale)
    y, _ = ops.partial_conv2d(x, weight, lazy[0], plan=plan, scale=lazy[1])
    expected, _ = ops.partial_conv2d(x, weight, -bias, plan=plan, scale=-scale)
    assert torch.equal(y, expected)


def test_a_form_that_was_right_makes_no_wrong_argument_right(on_emulator: Any) -> None:
    x, weight = torch.randn(1, 3, 8, 8), torch.randn(4, 3, 3, 3)
    plan = ops.mask_plan(torch.ones(1, 1, 8, 8) > 0, [(3,)])[0]
    ops.partial_conv2d(x, weight, plan=plan, scale=2.0)
    for wrong in (
        {"stride": True}, {"soft": 0}, {"groups": True}, {"padding": 1}, {"scale": float("nan")}, {"scale": "one"},
        {"bias": torch.ones(3)}, {"bias": torch.ones(4).double()},
    ):  # fmt: skip
        with pytest.raises((ArgumentError, DTypeError, ShapeError, ValueError)):
            ops.partial_conv2d(x, weight, plan=plan, **{"scale": 2.0, **wrong})
    with pytest.raises((DTypeError, ShapeError)):
        ops.partial_conv2d(x.half(), weight, plan=plan, scale=2.0)


def test_clear_errors(on_emulator: Any) -> None:
    x, weight, mask = torch.randn(1, 3, 8, 8), torch.randn(4, 3, 3, 3), torch.ones(1, 1, 8, 8)
    with pytest.raises(DTypeError, match="float64 is not supported on a GPU"):
        ops.partial_conv2d(x.double(), weight.double(), None, mask)
    with pytest.raises(ShapeError, match="does not broadcast"):
        ops.partial_conv2d(x, weight, None, mask[..., 1:])
    with pytest.raises(ShapeError, match="smaller than the window of layer 1"):
        ops.mask_plan(mask, [(7,), (7,)])
    with pytest.raises(MaskError, match="outside"):
        ops.partial_conv2d(x, weight, None, 2 * mask)
    with pytest.raises(ValueError, match="at most 32"):
        ops.mask_plan(mask, [(1,)] * 33)
    plan = ops.mask_plan(mask.numpy(), [(3,)])[0]
    with pytest.raises(DTypeError, match="plan: for a mask on the CPU"):
        ops.partial_conv2d(x, weight, None, plan=plan)


def test_inputs_of_kernels_are_checked(emulator: Any) -> None:
    x = torch.randn(2, 4, 6, 6)
    ratio, bits = maps(x.shape)
    for message, arguments in (
        ("y: neither", (torch.empty(2, 4, 6, 12)[..., ::2], ratio)),
        ("ratio: not", (x, ratio[..., 1:])),
        ("ratio: dtype", (x, ratio.half())),
        ("cover: dtype", (x, ratio, bits.half())),
        ("bias: 3 values", (x, ratio, None, x[0, 0, 0, :3])),
        ("dtype float64", (x.double(), ratio)),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            epilogue(emulator, *arguments)
