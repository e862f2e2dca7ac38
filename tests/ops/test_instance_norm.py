"""Op instance_norm and its layer: the definition in any layout and dtype, gradients of any order, torch's numbers."""

from __future__ import annotations

import copy
import importlib.util
import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from pyharmony import ops
from pyharmony.errors import ArgumentError, DTypeError, ShapeError
from pyharmony.reference import instance_norm as reference

HAS_TORCH = importlib.util.find_spec("torch") is not None
if HAS_TORCH:
    import torch
    import torch.nn.functional as F
    from torch.nn import InstanceNorm2d as TorchInstanceNorm2d

    from pyharmony.networks.nn import InstanceNorm2d
    from pyharmony.networks.nn.instance_norm import _no_device
    from pyharmony.ops import _instance_norm_torch as backend

needs_torch = pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")

#: Vectors and tails of every width, one channel, tiles of rows that are not full, more than one run of a plane.
SHAPES = ((2, 3, 1, 2), (2, 5, 3, 5), (3, 1, 5, 1), (2, 40, 9, 7), (1, 70, 33, 19), (1, 2, 127, 127), (2, 513, 8, 9))
SLOPES = (None, 0.2, 0.0)
LAYOUTS = ("planar", "channels-last")
EPS = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}


@pytest.fixture(autouse=True)
def _one_thread_of_torch() -> Iterator[None]:
    """Gives torch one thread: on small tensors several wait for each other."""
    if not HAS_TORCH:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def array(shape: tuple[int, ...], seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal(shape) * 3 + 1


def in_layout(x: np.ndarray[Any, Any], layout: str) -> np.ndarray[Any, Any]:
    return x if layout == "planar" else np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def real(dtype: str) -> float:
    return EPS["float64" if dtype == "float64" else "float32"]


def close(result: Any, exact: np.ndarray[Any, Any], size: Any, dtype: str) -> None:
    """Asserts that found is exact but for roundings of the terms, which are of `size`, and one of the result.

    Sums are those of at least 16 lanes (4 of a channel) with at most 128 terms each. As a random walk the mean of 128
    is off by (128 / 3)^0.5 < 7 roundings of a value that may be 3 standard deviations large; a few passes of such
    means and products are below 64.
    """
    result = np.asarray(result, np.float64)
    assert result.shape == exact.shape
    # The smallest float16 are off by half a step of 2^-24.
    rounding = 2 * EPS[dtype] * np.abs(exact) + (2.0**-25 if dtype == "float16" else 0)
    limit = 64 * real(dtype) * size + rounding
    assert (np.abs(result - exact) <= limit).all(), float((np.abs(result - exact) / limit).max())


def sizes(x: Any, grad: Any = 0.0, pull: Any = 0.0) -> tuple[Any, Any, Any, Any]:
    """Returns the sizes of the terms in y, dx, and the two second gradients."""
    h, r = (np.abs(a) for a in reference.normalise(x))
    g, u = (np.abs(a).max((2, 3), keepdims=True) if np.ndim(a) else a for a in (grad, pull))
    return 1 + h, r * g * (1 + h), r * u * (1 + h), r**2 * g * u * (3 + 3 * h)


# ---- the definition, arrays of NumPy --------------------------------------------------------------------------------


@needs_torch
@pytest.mark.parametrize("slope", SLOPES)
@pytest.mark.parametrize("shape", SHAPES[:4], ids=str)
def test_the_definition_is_torchs(shape: tuple[int, ...], slope: float | None) -> None:
    """In float64 they agree, with gradients of both orders by torch's own."""
    x, grad, pull = (torch.tensor(array(shape, seed), requires_grad=True) for seed in range(3))
    y = F.instance_norm(x)
    y = y if slope is None else F.leaky_relu(y, slope)
    (dx,) = torch.autograd.grad(y, x, grad, create_graph=True)
    actual = (y, dx, *torch.autograd.grad(dx, (grad, x), pull))
    inputs = [a.detach().numpy() for a in (x, grad, pull)]
    options = {"negative_slope": 1.0 if slope is None else slope}
    exact = (
        reference.instance_norm(inputs[0], **options),
        reference.gradient(*inputs[:2], **options),
        *reference.second_gradient(*inputs, **options),
    )
    for a, b, size in zip(actual, exact, sizes(*inputs)):
        # torch sums in an order of its own, and each of both is off as `close` says.
        assert (np.abs(a.detach().numpy() - b) <= 256 * EPS["float64"] * size * (1 + size)).all()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_arrays_follow_the_definition(simd: str, shape: tuple[int, ...], dtype: str, layout: str) -> None:
    x = in_layout(array(shape).astype(dtype), layout)
    copy_of_x = x.copy()
    for slope in SLOPES:
        y = ops.instance_norm(x, negative_slope=slope)
        assert y.dtype == x.dtype and y.strides == x.strides
        close(y, reference.instance_norm(x, negative_slope=1.0 if slope is None else slope), sizes(x)[0], dtype)
    np.testing.assert_array_equal(x, copy_of_x)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_eps_is_added_to_the_variance(layout: str) -> None:
    x = in_layout(array((2, 3, 6, 7)) * 1e-3, layout)
    close(ops.instance_norm(x, eps=0.5), reference.instance_norm(x, eps=0.5), sizes(x)[0], "float64")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("value", [0.0, 0.1, -777.7, 60000.0])
def test_equal_values_give_zero(simd: str, layout: str, dtype: str, value: float) -> None:
    for shape in ((1, 3, 127, 127), (2, 20, 3, 5)):
        assert not ops.instance_norm(in_layout(np.full(shape, value, dtype), layout), eps=1e-12).any()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("offset", [1e4, -3e6])
def test_a_large_mean_costs_no_digits(simd: str, layout: str, offset: float) -> None:
    """The definition takes the same float32 values, whose own rounding is not the norm's."""
    x = in_layout((array((2, 20, 61, 67)) + offset).astype(np.float32), layout)
    close(ops.instance_norm(x), reference.instance_norm(x), sizes(x)[0], "float32")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_pixel_far_from_all_others_costs_no_digits(simd: str, layout: str) -> None:
    """Distances are taken from the first pixel of a run: as the only large one it is the worst choice."""
    x = array((1, 20, 50, 50)).astype(np.float32)
    x[..., 0, 0] += 1e4
    x = in_layout(x, layout)
    h, _ = reference.normalise(x)
    # Terms of the sums are as large as the largest distance.
    close(ops.instance_norm(x), reference.instance_norm(x), 1 + np.abs(h) + np.abs(h).max(), "float32")


def test_memory_with_gaps_and_turned_around() -> None:
    wide = array((2, 12, 18, 20)).astype(np.float32)
    for x in (wide[:, ::2], wide[..., ::-1], wide[:, :, 3:9, 1:8], wide.transpose(1, 0, 3, 2), wide[:1, :, :, :1]):
        np.testing.assert_array_equal(ops.instance_norm(x), ops.instance_norm(np.ascontiguousarray(x)))
    x = np.broadcast_to(wide[:1], wide.shape)
    np.testing.assert_array_equal(ops.instance_norm(x), ops.instance_norm(x.copy()))


def test_not_finite_values_stay_in_their_plane() -> None:
    x = array((2, 3, 8, 8)).astype(np.float32)
    expected = ops.instance_norm(x)
    for value in (np.nan, np.inf):
        x[1, 2, 3, 4] = value
        y = ops.instance_norm(x)
        assert np.isnan(y[1, 2]).all()
        np.testing.assert_array_equal(y[0], expected[0])
        np.testing.assert_array_equal(y[1, :2], expected[1, :2])


X = np.ones((2, 3, 4, 5), np.float32)


@pytest.mark.parametrize(
    ("x", "options", "error", "message"),
    [
        (X[0], {}, ShapeError, r"x: shape \[3, 4, 5\], expected \[N, C, H, W\]"),
        (X[:0], {}, ShapeError, r"x: shape \[0, 3, 4, 5\]"),
        (X[..., :1, :1], {}, ShapeError, r"x: shape \[2, 3, 1, 1\] has one pixel"),
        (X.astype(np.int64), {}, DTypeError, "x: dtype int64 is not supported"),
        ([[1.0]], {}, DTypeError, "x: list, expected"),
        (X, {"eps": 0}, ArgumentError, "eps: 0, expected a number above 0"),
        (X, {"eps": float("nan")}, ArgumentError, "eps: nan"),
        (X, {"negative_slope": -0.1}, ArgumentError, "negative_slope: -0.1"),
        (X, {"negative_slope": "0.2"}, DTypeError, "negative_slope: str"),
    ],
)
def test_bad_arguments(x: Any, options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ops.instance_norm(x, **options)
    if HAS_TORCH and isinstance(x, np.ndarray):
        with pytest.raises(error, match=message):
            ops.instance_norm(torch.from_numpy(x), **options)


# ---- tensors --------------------------------------------------------------------------------------------------------


def tensor(x: np.ndarray[Any, Any], dtype: str, layout: str) -> Any:
    form = torch.contiguous_format if layout == "planar" else torch.channels_last
    return torch.from_numpy(x).to(getattr(torch, dtype)).contiguous(memory_format=form)


def wide(x: Any) -> np.ndarray[Any, Any]:
    return x.detach().double().cpu().numpy()


def follows_the_definition(shape: Any, dtype: str, layout: str, place: Callable[[Any], Any] = lambda x: x) -> None:
    """Asserts y and both gradients of a tensor where place puts it, with every slope."""
    x, grad, pull = (place(tensor(array(shape, seed), dtype, layout)).requires_grad_() for seed in range(3))
    inputs = [wide(a) for a in (x, grad, pull)]
    form = torch.contiguous_format if layout == "planar" else torch.channels_last
    # The slope of a value within rounding of zero would be either.
    signs = wide(ops.instance_norm(x)) > 0
    assert (signs == (reference.normalise(inputs[0])[0] > 0)).all()
    for slope in SLOPES:
        options = {"negative_slope": 1.0 if slope is None else slope}
        y = ops.instance_norm(x, negative_slope=slope)
        (dx,) = torch.autograd.grad(y, x, grad, create_graph=True)
        actual = (y, dx, *torch.autograd.grad(dx, (grad, x), pull))
        exact = (
            reference.instance_norm(inputs[0], **options),
            reference.gradient(*inputs[:2], **options),
            *reference.second_gradient(*inputs, **options),
        )
        for a, b, size in zip(actual, exact, sizes(*inputs)):
            assert a.dtype == x.dtype and a.is_contiguous(memory_format=form)
            close(wide(a), b, size, dtype)


@needs_torch
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", list(EPS))
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_tensors_follow_the_definition(shape: tuple[int, ...], dtype: str, layout: str) -> None:
    follows_the_definition(shape, dtype, layout)


@needs_torch
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_on_every_instruction_set(simd: str, dtype: str, layout: str) -> None:
    for shape in SHAPES[:5]:
        follows_the_definition(shape, dtype, layout)


@needs_torch
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("slope", [None, 0.3, 0.0])
@pytest.mark.parametrize("shape", [(2, 3, 3, 5), (1, 20, 2, 3)], ids=str)
def test_gradients_of_three_orders(shape: tuple[int, ...], slope: float | None, layout: str) -> None:
    x = tensor(array(shape), "float64", layout).requires_grad_()

    def call(x: Any) -> Any:
        return ops.instance_norm(x, negative_slope=slope, eps=0.1)

    assert torch.autograd.gradcheck(call, (x,), fast_mode=True)
    assert torch.autograd.gradgradcheck(call, (x,), fast_mode=True)

    def gradient(x: Any) -> Any:
        return torch.autograd.grad(call(x).sin().sum(), x, create_graph=True)[0]

    assert torch.autograd.gradgradcheck(gradient, (x,), fast_mode=True)


@needs_torch
def test_tensors_of_any_strides_and_gradients_in_another_format() -> None:
    x = torch.randn(2, 12, 18, 20).requires_grad_()
    for view in (x[:, ::2], x[:, :, 3:9, 1:8], x.transpose(0, 1), x[:1].expand(3, -1, -1, -1)):
        y = ops.instance_norm(view, negative_slope=0.2)
        assert torch.equal(y, ops.instance_norm(view.contiguous(), negative_slope=0.2))
        grad = torch.randn_like(y)
        plain, by_format = (torch.autograd.grad(y, x, g, retain_graph=True)[0]
                         for g in (grad, grad.contiguous(memory_format=torch.channels_last)))  # fmt: skip
        assert torch.equal(plain, by_format)


@needs_torch
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_bits_do_not_depend_on_threads(dtype: str, layout: str, each_thread_count: Any) -> None:
    x, grad, pull = (tensor(array((3, 40, 61, 67), seed), dtype, layout).requires_grad_() for seed in range(3))

    def call() -> list[Any]:
        y = ops.instance_norm(x, negative_slope=0.2)
        (dx,) = torch.autograd.grad(y, x, grad, create_graph=True)
        return [y, dx, *torch.autograd.grad(dx, (grad, x), pull)]

    first, *others = each_thread_count(call)
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(first, other))


# ---- operators, the compiler ----------------------------------------------------------------------------------------


@pytest.mark.networks
@needs_torch
def test_operators_keep_to_the_rules_of_torch() -> None:
    x, grad, pull = (
        tensor(array((2, 3, 4, 5), seed), "float64", "channels-last").requires_grad_() for seed in range(3)
    )
    _, stats = backend.run(x, 0.2, 1e-5)
    library = torch.ops.pyharmony
    torch.library.opcheck(library.instance_norm, (x, 0.2, 1e-5))
    torch.library.opcheck(library.instance_norm_gradient, (x, stats, grad, 0.2))
    plain = [a.detach() for a in (x, stats, grad, pull)]
    torch.library.opcheck(library.instance_norm_second_gradient, (*plain, 0.2))
    assert torch.autograd.gradgradcheck(lambda v: library.instance_norm(v, 0.2, 0.1)[0], (x,), fast_mode=True)


@needs_torch
@pytest.mark.networks
def test_the_compiler_sees_one_graph() -> None:
    layer = InstanceNorm2d(6, negative_slope=0.2)
    x = tensor(array((2, 6, 9, 9)), "float32", "channels-last").requires_grad_()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    y, result = layer(x), compiled(x)
    assert torch.equal(result, y)
    assert torch.equal(*(torch.autograd.grad(v.square().sum(), x)[0] for v in (result, y)))
    # Only a GPU's input asks for the device, whose answer the graph has to take as a constant.
    ask = torch.compile(lambda v: v + 1 if _no_device() else v, backend="eager", fullgraph=True)
    assert torch.equal(ask(x), x + 1 if _no_device() else x)
    torch.compiler.reset()


# ---- the layer ------------------------------------------------------------------------------------------------------


@needs_torch
@pytest.mark.parametrize("slope", SLOPES)
def test_the_layer_is_torchs(slope: float | None) -> None:
    layer, theirs = InstanceNorm2d(5, 1e-3, slope), TorchInstanceNorm2d(5, 1e-3)
    assert isinstance(layer, TorchInstanceNorm2d)
    assert layer.state_dict() == theirs.state_dict() == {}
    layer.load_state_dict(theirs.state_dict())
    assert not list(layer.parameters()) and not list(layer.buffers())
    x = torch.randn(2, 5, 6, 7)
    expected = theirs(x) if slope is None else F.leaky_relu(theirs(x), slope)
    for mode in (True, False):
        np.testing.assert_allclose(layer.train(mode)(x), expected, atol=1e-5)
    assert torch.equal(layer(x[0]), layer(x)[0])
    buffer = io.BytesIO()
    torch.save(copy.deepcopy(layer), buffer)
    buffer.seek(0)
    with torch.serialization.safe_globals([InstanceNorm2d]):
        assert torch.equal(torch.load(buffer, weights_only=True)(x), layer(x))
    more = "" if slope is None else f", negative_slope={slope}"
    assert repr(layer) == f"InstanceNorm2d(5, eps=0.001{more})"


@needs_torch
def test_the_layer_without_kernels_is_composed(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = InstanceNorm2d(4, negative_slope=0.2), torch.randn(2, 4, 9, 8)
    y = layer(x)
    assert layer(x.to("meta")).shape == x.shape
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    monkeypatch.setattr(backend, "run", lambda *_: pytest.fail("a kernel"))
    torch.testing.assert_close(layer(x), y, rtol=1e-5, atol=1e-5)


@needs_torch
def test_bad_layers() -> None:
    for options, message in (({"eps": 0}, "eps: 0"), ({"negative_slope": -1}, "negative_slope: -1")):
        with pytest.raises(ArgumentError, match=message):
            InstanceNorm2d(3, **options)
    layer = InstanceNorm2d(3)
    for shape in ((1, 4, 5, 5), (4, 5, 5), (3, 5), (1, 1, 3, 5, 5)):
        with pytest.raises(ShapeError, match=r"expected \[N, 3, H, W\]"):
            layer(torch.ones(shape))
    with pytest.raises(ShapeError, match="has one pixel"):
        layer(torch.ones(2, 3, 1, 1))
