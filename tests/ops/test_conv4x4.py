"""Convolutions of 4 x 4 weights in training: every way is the definition, gradients of any order, torch's numbers."""

from __future__ import annotations

import copy
import importlib.util
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyharmony._native import native
from pyharmony.reference import conv4x4 as reference

if importlib.util.find_spec("torch") is None:
    pytest.skip("torch is not installed", allow_module_level=True)

import torch
import torch.nn.functional as F

import pyharmony.networks.nn
from pyharmony import _arrays
from pyharmony.ops import conv4x4

#: The unit roundoff of float32.
UNIT = 2.0**-24
#: Minimal filtering adds and subtracts values up to eight times as large as the sums that it gives; 500 units of the
#: largest sum of sizes in the image are four times the largest error of 2,000 random cases.
GROWTH = 500
WAYS = ("filtered", "rows", "spread")

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def random(*shape: int, seed: int = 0) -> Any:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def close(result: Any, exact: np.ndarray, sizes: np.ndarray) -> None:
    assert result.dtype == torch.float32
    assert np.abs(result.detach().numpy() - exact).max() <= GROWTH * UNIT * sizes.max()


@pytest.mark.parametrize("way", WAYS)
@given(
    images=st.integers(1, 3), inner=st.integers(1, 40), outer=st.integers(1, 40), height=st.integers(4, 21),
    width=st.integers(4, 21), stride=st.integers(1, 2), padding=st.integers(0, 3), last=st.booleans(),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_every_way_is_the_definition(way, images, inner, outer, height, width, stride, padding, last, seed):
    stride = 1 if way == "spread" else stride
    x = random(images, inner, height, width, seed=seed)
    weight, bias = random(outer, inner, 4, 4, seed=seed + 1), random(outer, seed=seed + 2)
    if last:
        x, weight = (t.contiguous(memory_format=torch.channels_last) for t in (x, weight))
    y = conv4x4.conv(x, weight, bias, stride, padding, way)
    exact = reference.conv(x, weight, stride, padding) + bias.numpy()[:, None, None]
    close(y, exact, reference.conv(x.abs(), weight.abs(), stride, padding))
    if way != "spread":
        back = conv4x4.conv_transpose(y, weight, None, stride, padding, way)
        exact = reference.conv_transpose(y, weight, stride, padding)
        close(back, exact, reference.conv_transpose(y.abs(), weight.abs(), stride, padding))


@pytest.mark.parametrize("gradient_of", ["input", "weight", "both"])
@pytest.mark.parametrize(
    ("way", "transposed", "stride"),
    [("spread", False, 1), *((way, t, s) for way in ("filtered", "rows") for t in (False, True) for s in (1, 2))],
)
def test_gradients_are_those_of_the_definition(way, transposed, stride, gradient_of):
    x, weight, bias = random(2, 20, 18, 14), random(17, 20, 4, 4, seed=1), random(17, seed=2)
    if transposed:
        x, bias = random(2, 17, 9, 7), random(20, seed=2)
    x.requires_grad_(gradient_of != "weight")
    for tensor in (weight, bias):
        tensor.requires_grad_(gradient_of != "input")
    convolve, theirs = (conv4x4.conv_transpose, F.conv_transpose2d) if transposed else (conv4x4.conv, F.conv2d)
    y = convolve(x, weight, bias, stride, 1, way)
    pull = random(*y.shape, seed=3)
    y.backward(pull)
    doubles = [t.detach().double().requires_grad_(t.requires_grad) for t in (x, weight, bias)]
    theirs(*doubles, stride=stride, padding=1).backward(pull.double())
    for ours, exact in zip((x, weight, bias), doubles, strict=True):
        assert (ours.grad is None) == (exact.grad is None)
        if exact.grad is not None:
            assert (ours.grad.double() - exact.grad).abs().max() <= 2e-5 * exact.grad.abs().max()
            assert ours.grad.shape == ours.shape


@pytest.mark.parametrize("transposed", [False, True])
def test_gradients_of_gradients_are_torchs(transposed):
    x, weight = random(2, 16, 12, 12), random(16, 16, 4, 4, seed=1)

    def penalty(convolve: Any, x: Any, weight: Any) -> Any:
        x, weight = (t.clone().requires_grad_() for t in (x, weight))
        y = convolve(x, weight)
        (slope,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        return torch.autograd.grad(slope.square().mean(), (x, weight))

    ours = conv4x4.conv_transpose if transposed else conv4x4.conv
    theirs = F.conv_transpose2d if transposed else F.conv2d
    results = penalty(lambda x, w: ours(x, w, None, 2, 1, "filtered"), x, weight)
    exact = penalty(lambda x, w: theirs(x, w, stride=2, padding=1), x.double(), weight.double())
    for a, b in zip(results, exact, strict=True):
        assert (a.double() - b).abs().max() <= 1e-5 * b.abs().max()


@pytest.mark.parametrize("way", WAYS)
def test_instruction_sets_agree_and_threads_change_no_bit(simd, way, each_thread_count):
    x, weight = random(3, 33, 21, 19), random(18, 33, 4, 4, seed=1)

    def call() -> list[Any]:
        leaves = [t.clone().requires_grad_() for t in (x, weight)]
        y = conv4x4.conv(*leaves, None, 1, 1, way)
        y.backward(torch.ones_like(y))
        return [y.detach(), *(t.grad for t in leaves)]

    first, *others = each_thread_count(call)
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    close(first[0], reference.conv(x, weight, 1, 1), reference.conv(x.abs(), weight.abs(), 1, 1))


def test_results_do_not_depend_on_the_runs_of_tiles(monkeypatch):
    from pyharmony.ops import _conv4x4_torch as backend

    x, weight = random(2, 16, 40, 36), random(16, 16, 4, 4, seed=1)
    whole = conv4x4.conv(x, weight, None, 2, 1, "filtered")
    monkeypatch.setattr(backend, "_RUN_BYTES", 1)
    monkeypatch.setattr(backend, "_RUN_TILES", 7)
    sizes = reference.conv(x.abs(), weight.abs(), 2, 1)
    close(conv4x4.conv(x, weight, None, 2, 1, "filtered"), whole.numpy(), sizes)
    back = conv4x4.conv_transpose(whole, weight, None, 2, 1, "filtered")
    close(
        back, reference.conv_transpose(whole, weight, 2, 1), reference.conv_transpose(whole.abs(), weight.abs(), 2, 1)
    )


LAYERS = {
    "filtered": (pyharmony.networks.nn.Conv2d(16, 24, 4, 2, 1), (2, 16, 36, 36)),
    "rows": (pyharmony.networks.nn.Conv2d(16, 24, 4, 2, 1), (1, 16, 12, 12)),
    "spread": (pyharmony.networks.nn.Conv2d(24, 1, 4, 1, 1), (2, 24, 15, 15)),
    "whole": (pyharmony.networks.nn.Conv2d(8, 5, 4), (3, 8, 4, 4)),
    "few": (pyharmony.networks.nn.Conv2d(3, 16, 4, 2, 1), (2, 3, 32, 32)),
    "transposed": (pyharmony.networks.nn.ConvTranspose2d(32, 16, 4, 2, 1), (2, 32, 20, 20)),
    "transposed, small": (pyharmony.networks.nn.ConvTranspose2d(32, 16, 4, 2, 1), (1, 32, 5, 5)),
    "transposed, few": (pyharmony.networks.nn.ConvTranspose2d(32, 3, 4, 2, 1), (2, 32, 20, 20)),
    "from one pixel": (pyharmony.networks.nn.ConvTranspose2d(12, 7, 4), (3, 12, 1, 1)),
    "no batch": (pyharmony.networks.nn.Conv2d(16, 24, 4, 2, 1), (16, 36, 36)),
    "other kernel": (pyharmony.networks.nn.Conv2d(16, 24, 3, 2, 1), (2, 16, 36, 36)),
    "same": (pyharmony.networks.nn.Conv2d(16, 24, 4, padding="same"), (2, 16, 20, 20)),
    "reflected": (pyharmony.networks.nn.Conv2d(16, 24, 4, 2, 1, padding_mode="reflect"), (2, 16, 36, 36)),
}


@pytest.mark.covering(1)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")  # what torch's costs
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_torchs_in_training_and_evaluation(name, last):
    layer, shape = copy.deepcopy(LAYERS[name][0]), LAYERS[name][1]
    torch.manual_seed(0)
    layer.reset_parameters()
    if last:
        layer.to(memory_format=torch.channels_last)
    theirs = copy.deepcopy(layer)
    theirs.__class__ = torch.nn.ConvTranspose2d if "transpose" in name or "from" in name else torch.nn.Conv2d
    x = random(*shape)
    exact_layer = copy.deepcopy(theirs).double()
    exact = exact_layer(x.double())
    result = layer(x)
    assert result.shape == exact.shape
    assert (result.double() - exact).abs().max() <= 1e-5 * exact.abs().max()
    result.square().sum().backward()
    exact_gradients = torch.autograd.grad(exact.square().sum(), exact_layer.parameters())
    # The sums of the absolute values of each gradient's terms bound the rounding error of a gradient near zero.
    sizes = torch.autograd.grad(exact_layer(x.double().abs()), exact_layer.parameters(), 2 * exact.detach().abs())
    for ours, exact_gradient, size in zip(layer.parameters(), exact_gradients, sizes, strict=True):
        assert (ours.grad.double() - exact_gradient).abs().max() <= 3e-6 * size.max()
    layer.eval()
    assert torch.equal(layer(x), theirs.eval()(x))
    assert layer.state_dict().keys() == theirs.state_dict().keys()


def test_a_layer_refuses_what_torchs_refuses():
    with pytest.raises(RuntimeError, match="channels"):
        pyharmony.networks.nn.Conv2d(16, 24, 4, 2, 1)(random(2, 15, 36, 36))
    with pytest.raises(RuntimeError, match=r"[Kk]ernel size"):
        pyharmony.networks.nn.Conv2d(16, 24, 4)(random(2, 16, 3, 36))


def test_autocast_and_other_dtypes_are_torchs():
    layer = pyharmony.networks.nn.Conv2d(16, 24, 4, 2, 1)
    x = random(2, 16, 36, 36)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    assert layer.double()(x.double()).dtype == torch.float64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stride": 3}, "stride: 3, expected 1 or 2"),
        ({"padding": 4}, "padding: 4, expected 0 to 3"),
        ({"first": 3}, "first: 3 and 2 tiles, of 4"),
        ({"tiles": (25, 2, 4, 5)}, r"tiles: expected \[25, tiles, 4, 6\]"),
        ({"tiles": (24, 2, 4, 6)}, "tiles: expected float32 "),
        ({"dtype": torch.float64}, "image: dtype float64, expected float32"),
        ({"planar": True}, "image: expected .* channels-last without gaps"),
    ],
)
def test_native_calls_refuse_what_does_not_fit(change, message):
    image = torch.zeros(1, 6, 16, 16, dtype=change.get("dtype", torch.float32))
    if not change.get("planar"):
        image = image.contiguous(memory_format=torch.channels_last)
    tiles = torch.zeros(change.get("tiles", (25, 2, 4, 6)))
    with pytest.raises(ValueError, match=message):
        native.winograd_input(
            _arrays.tensor_view(image), _arrays.tensor_view(tiles, writable=True), change.get("first", 0),
            change.get("stride", 2), change.get("padding", 1), 1.0,
        )  # fmt: skip
