"""Partial convolution on a GPU: `make gpu-check` runs these tests. The emulator tests the kernels everywhere else."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from pyharmony import ops
from pyharmony.errors import DTypeError, MaskError
from pyharmony.networks.nn import PartialConv2d
from pyharmony.ops import _partial_conv_cuda_torch as device

from ..shared import captured
from .test_partial_conv import CASES, Case, check_layer
from .test_partial_conv_rows import ARITHMETIC, MASKS, ROWS, check_rows, error_of

pytestmark = pytest.mark.gpu
torch = pytest.importorskip("torch", reason="torch is not installed")


@pytest.fixture(autouse=True)
def _exact(device_module: Any) -> Any:
    """Turns TF32 off, whose roundings are not those of float32."""
    if not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device")
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


@pytest.mark.parametrize("last", [False, True], ids=["planar", "channels-last"])
@pytest.mark.parametrize("kind", ["hard", "soft", "zeros", "none"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_layer_and_its_gradients_follow_the_definition(case: Case, kind: str, last: bool) -> None:
    memory = torch.channels_last if last else torch.contiguous_format
    for planes, dtype in itertools.product((1, case.shape[1]), (torch.float32, torch.float16, torch.bfloat16)):
        check_layer(case, kind, planes, dtype, memory, torch.tensor(0.7, device="cuda"), "cuda")


@pytest.mark.parametrize("name", ARITHMETIC)
@pytest.mark.parametrize("case", ROWS, ids=str)
def test_a_layer_by_rows_and_its_gradients_follow_the_definition(case: Case, name: str) -> None:
    dtype = ARITHMETIC[name]
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=True):
        for i, kind in enumerate(MASKS):
            check_rows(case, i, kind, dtype, error_of(dtype), "cuda")


@pytest.fixture(params=["composed", "dense", "rows"])
def method(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Returns a plan's method, with layers composed of torch's calls or not."""
    monkeypatch.setattr(device, "COMPOSED_IMAGES", 8 if request.param == "composed" else 0)
    return "dense" if request.param == "composed" else request.param


@pytest.fixture
def net() -> Any:
    """Returns three layers, of which the first has no whole pieces; the others follow the method of their plan."""
    torch.manual_seed(0)
    sizes = ((3, 64, 0), (64, 96, 1), (96, 8, 0))
    layers = [PartialConv2d(a, b, 3, 2, padding=p, bias=p > 0) for a, b, p in sizes]
    return torch.nn.ModuleList(layers).cuda().to(memory_format=torch.channels_last)


def run(net: Any, x: Any, mask: Any, method: Any = "dense") -> Any:
    for layer, plan in zip(net, ops.mask_plan(mask, net, method=method), strict=True):
        x, _ = layer(x, plan=plan, negative_slope=0.2)
    return x


def pictures(seed: int) -> tuple[Any, Any]:
    torch.manual_seed(seed)
    x = torch.randn(2, 3, 70, 90, device="cuda").contiguous(memory_format=torch.channels_last)
    return x, torch.rand(2, 1, 70, 90, device="cuda") < 0.1


def test_the_bits_are_the_same_every_time(net: Any, method: Any) -> None:
    x, mask = pictures(1)
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False, allow_tf32=False):
        results = []
        for _ in range(2):
            net.zero_grad(set_to_none=True)
            y = run(net, x, mask, method)
            y.square().sum().backward()
            results.append([y, *(p.grad for p in net.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_a_step_can_be_captured_in_a_graph(net: Any, method: Any) -> None:
    buffers = [a.clone() for a in pictures(1)]

    def step() -> list[Any]:
        y = run(net, *buffers, method)
        return [y, *torch.autograd.grad(y.square().sum(), list(net.parameters()))]

    graph, result = captured(step)
    for seed in (1, 2):  # another mask has another plan, which is in the graph
        for a, b in zip(buffers, pictures(seed), strict=True):
            a.copy_(b)
        graph.replay()
        torch.cuda.synchronize()
        for a, b in zip(result, step(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4 * float(b.abs().max()))


def test_a_call_runs_on_the_callers_stream_and_does_not_wait(net: Any, method: Any) -> None:
    x, mask = pictures(3)
    expected = run(net, x, mask, method)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(400_000_000)
        result = run(net, x.clone(), mask.clone(), method)
        assert not stream.query()
    stream.synchronize()
    # Few images are composed of torch's calls on the default stream, whose roundings are others.
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-4)


def test_a_plan_is_that_of_the_processor(net: Any) -> None:
    _, mask = pictures(4)
    for values in (mask, mask.float(), mask.expand(2, 3, 70, 90)):
        for a, b in zip(ops.mask_plan(values, net), ops.mask_plan(values.cpu(), net), strict=True):
            assert torch.equal(a.ratio.cpu(), b.ratio) and torch.equal(a.count.cpu(), b.count)
            assert torch.equal(a.rows.cpu(), b.rows) and torch.equal(a.mask_out.cpu(), b.mask_out)


def test_clear_errors(net: Any) -> None:
    x, mask = pictures(5)
    with pytest.raises(MaskError, match="outside"):
        net[0](x, 2.0 * mask)
    with pytest.raises(DTypeError, match="mask: a tensor on cpu, expected one on cuda:0 like x"):
        net[0](x, mask.cpu())
    with pytest.raises(DTypeError, match="plan: for a mask on the CPU"):
        net[0](x, plan=ops.mask_plan(mask.cpu(), net)[0])
    with pytest.raises(DTypeError, match="float64 is not supported on a GPU"):
        net[0].double()(x.double(), mask)
