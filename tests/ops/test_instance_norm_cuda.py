"""Instance norm on a device: its kernels run by the emulator in several orders, and on a GPU where there is one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pyharmony import _native, ops
from pyharmony.errors import DTypeError
from pyharmony.reference import instance_norm as reference

torch = pytest.importorskip("torch", reason="torch is not installed")

from pyharmony.networks.nn import InstanceNorm2d
from pyharmony.ops import _native_torch

from ..shared import captured
from .test_instance_norm import LAYOUTS, array, close, follows_the_definition, in_layout, sizes, tensor

DTYPES = ("float32", "float16", "bfloat16")
#: Shapes: packs and none, warps and blocks, several strips, planes and channels that do not fill their blocks.
SHAPES = ((2, 3, 1, 2), (3, 5, 3, 5), (1, 24, 16, 8), (1, 3, 47, 45), (2, 36, 20, 30), (1, 1, 130, 150))


@pytest.fixture
def on_emulator(emulator: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Takes tensors of the CPU for tensors on the emulator's device."""
    monkeypatch.setattr(_native, "device_module", lambda: emulator)
    monkeypatch.setattr(_native_torch, "on_device", lambda x: True)
    return emulator


@pytest.fixture
def gpu(device_module: Any) -> Any:
    if not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device")
    return device_module


# ---- the emulator ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_kernels_follow_the_definition(on_emulator: Any, shape: Any, dtype: str, layout: str) -> None:
    follows_the_definition(shape, dtype, layout)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_constants_large_means_and_a_far_pixel(on_emulator: Any, layout: str) -> None:
    for shape in ((1, 3, 60, 50), (2, 20, 3, 5)):
        for value in (0.1, -777.7):
            assert not ops.instance_norm(torch.from_numpy(in_layout(np.full(shape, value, np.float32), layout))).any()
    x = array((1, 4, 50, 50)).astype(np.float32)
    far = x.copy()
    far[..., 0, 0] += 1e4
    for values in (x + np.float32(1e4), far):
        h = np.abs(reference.normalise(values)[0])
        y = ops.instance_norm(torch.from_numpy(in_layout(values, layout)))
        # Terms of the sums are as large as the largest distance from the first pixel.
        close(y, reference.instance_norm(values), 1 + h + h.max(), "float32")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_that_is_not_aligned_to_packs(on_emulator: Any, layout: str) -> None:
    x = tensor(array((1, 8, 12, 12)), "float32", layout)
    wide = torch.empty(x.numel() + 1)[1:]
    shifted = wide.as_strided(x.shape, x.stride()).copy_(x)
    assert shifted.data_ptr() % 16
    close(ops.instance_norm(shifted), reference.instance_norm(x), sizes(x)[0], "float32")


def test_nothing_is_read_on_the_host(on_emulator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("item", "tolist", "__float__", "__bool__", "__int__", "numpy", "cpu"):
        monkeypatch.setattr(torch.Tensor, name, lambda *_: pytest.fail("a value was read"))
    for layout in (torch.contiguous_format, torch.channels_last):
        x = torch.randn(2, 4, 9, 9).contiguous(memory_format=layout).requires_grad_()
        y = ops.instance_norm(x, negative_slope=0.2)
        (g,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        g.square().sum().backward()


def test_inputs_of_kernels_are_checked(on_emulator: Any) -> None:
    x, stats, scratch = torch.randn(2, 4, 6, 6), torch.empty(2, 4, 3), torch.empty(0, dtype=torch.uint8)
    on = _native_torch.calls_for(x, "instance_norm")

    def run(x: Any, y: Any, stats: Any = stats, eps: float = 1e-5, writable: bool = True) -> None:
        on_emulator.instance_norm(
            on.view(x), eps, 1.0, on.view(y, writable=writable), on.view(stats, writable=True),
            workspace=on.view(scratch), device=-1, stream=0,
        )  # fmt: skip

    out, last = torch.empty_like(x), x.contiguous(memory_format=torch.channels_last)
    for message, call in (
        ("x: neither", lambda: run(torch.empty(2, 4, 6, 12)[..., ::2], out)),
        ("y: not of the shape, dtype and layout", lambda: run(x, last)),
        ("y: not of the shape", lambda: run(x, out.half())),
        ("y: read-only", lambda: run(x, out, writable=False)),
        ("stats: expected contiguous float32", lambda: run(x, out, stats.double())),
        ("stats: expected", lambda: run(x, out, torch.empty(2, 3, 3))),
        ("eps: 0", lambda: run(x, out, eps=0.0)),
        ("workspace: 0 bytes", lambda: run(last, torch.empty_like(last))),
        ("dtype float64", lambda: run(x.double(), out.double(), stats.double())),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            call()


# ---- a GPU ----------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [*SHAPES, (2, 64, 128, 128), (1, 2, 511, 513)], ids=str)
def test_on_a_gpu(gpu: Any, shape: Any, dtype: str, layout: str) -> None:
    follows_the_definition(shape, dtype, layout, lambda x: x.cuda())


@pytest.mark.gpu
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_step_can_be_captured_in_a_graph(gpu: Any, layout: str) -> None:
    layer = InstanceNorm2d(40, negative_slope=0.2)
    x = tensor(array((2, 40, 61, 67)), "float32", layout).cuda().requires_grad_()

    def step() -> list[Any]:
        y = layer(x)
        (g,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        return [y, g, *torch.autograd.grad(g.square().sum(), x)]

    graph, result = captured(step)
    for seed in (1, 2):
        with torch.no_grad():
            x.copy_(tensor(array(tuple(x.shape), seed), "float32", layout))
        graph.replay()
        torch.cuda.synchronize()
        assert all(torch.equal(a, b) for a, b in zip(result, step(), strict=True))


@pytest.mark.gpu
def test_a_call_runs_on_the_callers_stream_and_does_not_wait(gpu: Any) -> None:
    x = torch.randn(2, 8, 64, 64, device="cuda")
    expected = ops.instance_norm(x)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(400_000_000)
        result = ops.instance_norm(x.clone())
        assert not stream.query()
    stream.synchronize()
    assert torch.equal(result, expected)


@pytest.mark.gpu
def test_float64_is_not_for_kernels_and_the_layer_composes_it(gpu: Any) -> None:
    x = torch.randn(1, 3, 9, 9, device="cuda", dtype=torch.float64)
    with pytest.raises(DTypeError, match="float64 is not supported on a GPU"):
        ops.instance_norm(x)
    torch.testing.assert_close(InstanceNorm2d(3)(x), torch.nn.functional.instance_norm(x))
