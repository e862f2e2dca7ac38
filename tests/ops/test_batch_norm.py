"""The batch norm that is trained with its activation in one pass: torch's numbers, gradients of any order."""

from __future__ import annotations

import copy
import importlib.util
from typing import Any

import numpy as np
import pytest

from pyharmony._native import native
from pyharmony.errors import DTypeError
from pyharmony.reference import instance_norm as reference

if importlib.util.find_spec("torch") is None:
    pytest.skip("torch is not installed", allow_module_level=True)

import torch
from torch.nn import functional

from pyharmony import _arrays, _native
from pyharmony.networks.nn import BatchNorm2d, InstanceNorm2d
from pyharmony.ops import _batch_norm_torch as backend
from pyharmony.ops import _native_torch

#: Vectors and tails of every width, one channel, one pixel, tiles of rows that are not full.
SHAPES = ((2, 3, 1, 2), (4, 40, 1, 1), (3, 1, 5, 1), (2, 40, 9, 7), (1, 70, 33, 19), (2, 513, 8, 9), (5, 16, 64, 64))
SLOPES = (None, 0.2, 0.0)


def case(shape: tuple[int, ...], slope: float | None, dtype: Any = torch.float32) -> tuple[BatchNorm2d, Any, Any]:
    """Returns a layer with any scale and shift, an input, channels-last, and a gradient of the result."""
    rng = np.random.default_rng(0)
    x, pull = (torch.from_numpy(rng.standard_normal(shape) * 3 + k).to(dtype) for k in (5, 0))
    layer = BatchNorm2d(shape[1], negative_slope=slope).to(dtype)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(rng.standard_normal(shape[1])))
        layer.bias.copy_(torch.from_numpy(rng.standard_normal(shape[1])))
    return layer, x.contiguous(memory_format=torch.channels_last), pull


def torchs(layer: BatchNorm2d, x: Any) -> tuple[Any, Any]:
    """Returns torch's layer in float64, and its result with the activation behind it."""
    theirs = torch.nn.BatchNorm2d(layer.num_features, layer.eps, layer.momentum).double()
    theirs.load_state_dict(layer.state_dict())
    y = theirs(x)
    return theirs, y if layer.negative_slope is None else functional.leaky_relu(y, layer.negative_slope)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("slope", SLOPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_results_gradients_and_statistics_are_torchs(simd, shape, slope, dtype):
    layer, x, pull = case(shape, slope, getattr(torch, dtype))
    x.requires_grad_()
    exact_x = x.detach().double().requires_grad_()
    theirs, exact = torchs(layer, exact_x)
    y = layer(x)
    assert type(y.grad_fn).__name__ == "BatchNormBackward"
    unit = 2.0**-24 if dtype == "float32" else 2.0**-51  # torch's own sums err by as much
    # The sums of a channel are of `count` products; sums in runs keep their errors far below the bound.
    count = x.numel() // shape[1]
    assert (y.double() - exact).abs().max() <= 40 * unit * (1 + exact.abs().max())
    ours = torch.autograd.grad(y, (x, layer.weight, layer.bias), pull)
    others = torch.autograd.grad(exact, (exact_x, theirs.weight, theirs.bias), pull.double())
    sizes = (others[0].abs().max() + 1, *(count**0.5 * other.abs().max() + count for other in others[1:]))
    for a, b, size in zip(ours, others, sizes, strict=True):
        assert (a.double() - b).abs().max() <= 200 * unit * size
    for name in ("running_mean", "running_var"):
        a, b = getattr(layer, name).double(), getattr(theirs, name)
        assert (a - b).abs().max() <= 20 * unit * (1 + b.abs().max())
    assert layer.num_batches_tracked == theirs.num_batches_tracked == 1


@pytest.mark.parametrize("slope", SLOPES)
def test_gradients_of_any_order_are_those_of_the_formula(slope):
    layer, x, pull = case((3, 12, 7, 5), slope, torch.float64)

    def formula(x: Any) -> Any:
        variance, mean = torch.var_mean(x, (0, 2, 3), unbiased=False, keepdim=True)
        h = (x - mean) / (variance + layer.eps).sqrt()
        y = layer.weight[:, None, None] * h + layer.bias[:, None, None]
        return y if slope is None else functional.leaky_relu(y, slope)

    results = []
    for forward in (layer, formula):
        leaf = x.clone().requires_grad_()
        g = pull.clone().requires_grad_()
        (dx,) = torch.autograd.grad(forward(leaf), leaf, g, create_graph=True)
        (second,) = torch.autograd.grad(dx.square().sum(), leaf, create_graph=True)
        results.append([dx, second, *torch.autograd.grad(second.square().sum(), (leaf, g))])
    for a, b in zip(*results, strict=True):
        assert (a - b).abs().max() <= 1e-9 * b.abs().max()


def test_threads_change_no_bit(each_thread_count):
    def call() -> list[Any]:
        layer, x, pull = case((3, 33, 40, 30), 0.2)
        x.requires_grad_()
        y = layer(x)
        y.backward(pull)
        return [y.detach(), x.grad, layer.weight.grad, layer.bias.grad, layer.running_var]

    first, *others = each_thread_count(call)
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("slope", SLOPES)
def test_what_the_pass_does_not_take_is_torchs(slope):
    layer, x, _ = case((2, 12, 8, 8), slope)
    planar = x.contiguous()
    result = copy.deepcopy(layer)(x)
    assert (copy.deepcopy(layer)(planar) - result).abs().max() < 1e-5
    with torch.autocast("cpu", torch.bfloat16):
        assert copy.deepcopy(layer)(x.bfloat16()).dtype == torch.bfloat16
    layer(x)
    layer.eval()
    exact = functional.batch_norm(x, layer.running_mean, layer.running_var, layer.weight, layer.bias, eps=layer.eps)
    exact = exact if slope is None else functional.leaky_relu(exact, slope)
    assert torch.equal(layer(x), exact)


def test_a_layer_is_a_batch_norm_of_torch():
    layer = BatchNorm2d(4, momentum=0.3, negative_slope=0.2)
    assert isinstance(layer, torch.nn.BatchNorm2d)
    assert layer.state_dict().keys() == torch.nn.BatchNorm2d(4).state_dict().keys()
    assert repr(layer) == "BatchNorm2d(4, eps=1e-05, momentum=0.3, negative_slope=0.2)"
    with pytest.raises(DTypeError, match="negative_slope"):
        BatchNorm2d(4, negative_slope="0.2")
    one = torch.rand(1, 4, 1, 1).contiguous(memory_format=torch.channels_last)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        layer(one)
    with pytest.raises(RuntimeError, match=r"running_mean|channels"):
        layer(torch.rand(2, 5, 3, 3))


@pytest.mark.parametrize("slope", [1.0, 0.2])
def test_the_definition(slope):
    layer, x, pull = case((3, 7, 5, 4), slope, torch.float64)
    scale, shift = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    x.requires_grad_()
    y = layer(x)
    np.testing.assert_allclose(
        y.detach(), reference.batch_norm(x.detach(), scale, shift, negative_slope=slope), atol=1e-12
    )
    y.backward(pull)
    exact = reference.batch_norm_gradient(x.detach(), scale, shift, pull, negative_slope=slope)
    for a, b in zip((x.grad, layer.weight.grad, layer.bias.grad), exact, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-11)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["batch", "instance", "instance, planar"])
def test_a_dropout_in_the_pass(simd, kind, dtype):
    layer, x, pull = case((3, 20, 9, 7), 0.2, getattr(torch, dtype))
    if kind != "batch":
        layer = InstanceNorm2d(20, negative_slope=0.2)
        x = x.contiguous() if "planar" in kind else x
    plain = copy.deepcopy(layer)
    x.requires_grad_()
    torch.manual_seed(5)
    y = layer(x, 0.25)
    torch.manual_seed(5)
    assert torch.equal(y, layer(x, 0.25))
    full = plain(x)
    survivors = y != 0
    assert torch.equal(survivors | (full == 0), survivors)
    assert 0.7 < survivors.double().mean() < 0.8
    assert (y - torch.where(survivors, full / 0.75, 0)).abs().max() <= 1e-6 * full.abs().max()
    factor = survivors / 0.75
    (dx,) = torch.autograd.grad(y, x, pull, create_graph=True)
    (exact,) = torch.autograd.grad(full, x, pull * factor, create_graph=True)
    assert (dx - exact).abs().max() <= 1e-5 * exact.abs().max()
    second, other = (torch.autograd.grad(d.square().sum(), x)[0] for d in (dx, exact))
    assert (second - other).abs().max() <= 1e-4 * other.abs().max()


def test_no_dropout_and_all_of_it():
    layer, x, _ = case((2, 12, 8, 8), 0.2)
    assert torch.equal(layer(x, 0.0), layer(x))
    assert not layer(x, 1.0).any()


@pytest.mark.parametrize("drop", [0.0, 0.5])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 24, 16, 8), (3, 36, 20, 30), (2, 5, 70, 40)], ids=str)
def test_kernels_follow_the_cpu(emulator, monkeypatch, shape, dtype, drop):
    _, x, pull = case(shape, 0.2)
    scale, shift = torch.linspace(-1, 2, shape[1]), torch.linspace(-0.5, 0.5, shape[1])
    x, pull = (t.to(getattr(torch, dtype)).contiguous(memory_format=torch.channels_last) for t in (x, pull))
    dropped = backend.DropoutMask.random(x, drop)
    # A device may round a value near the activation's corner to its other side: of many values some are so near.
    slope = 0.2 if x.numel() < 2_000 else 1.0
    results = []
    for on_device in (False, True):
        if on_device:
            monkeypatch.setattr(_native, "device_module", lambda: emulator)
            monkeypatch.setattr(_native_torch, "on_device", lambda x: True)
        y, stats = backend.run(x, scale, shift, slope, 1e-5, dropped)
        results.append([y, stats, *backend.run_gradient(x, stats, scale, shift, pull, slope, dropped)])
    unit = {"float32": 2.0**-22, "float16": 2.0**-10, "bfloat16": 2.0**-7}[dtype]
    for a, b in zip(*results, strict=True):
        # The gradients of scale and shift are sums of a value of each position.
        terms = x.numel() // shape[1] if a.ndim == 1 else 1
        assert (a.double() - b.double()).abs().max() <= 2 * unit * (terms + a.double().abs().max())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": 5}, r"scale: expected contiguous float32 \[6\]"),
        ({"planar": True}, "expected .* channels-last without gaps"),
        ({"keep": (2, 6, 4, 5)}, "keep: not uint8 of the shape and layout of x"),
        ({"stats": (2, 6, 3)}, r"stats: expected contiguous float32 \[1, 6, 3\]"),
    ],
)
def test_native_calls_refuse_what_does_not_fit(change, message):
    x = torch.zeros(2, 6, 4, 4).contiguous(memory_format=torch.channels_last)
    if change.get("planar"):
        x = x.contiguous()
    scale, shift = torch.ones(change.get("scale", 6)), torch.zeros(6)
    stats = torch.zeros(change.get("stats", (1, 6, 3)))
    y = torch.zeros_like(x)
    keep = torch.ones(change.get("keep", x.shape), dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    view = _arrays.tensor_view
    with pytest.raises(ValueError, match=message):
        native.batch_norm(
            view(x), view(scale), view(shift), 1e-5, 0.2, view(y, writable=True), view(stats, writable=True),
            keep=view(keep),
        )  # fmt: skip
