"""Op partial_conv: the local encoder of DoveNet's discriminator, compared with partial convolutions in torch calls.

Peers run as fast as torch allows: channels-last if that is faster, the mask of one plane broadcast, its ratio
without gradients. Both formats are measured and the faster one counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from measure import Ledger, Timing, interleave, ratio

import pyharmony
from pyharmony import ops

torch = pytest.importorskip("torch", reason="torch is not installed")

import torch.nn.functional as F  # noqa: E402

from pyharmony.networks.nn import PartialConv2d  # noqa: E402

pytestmark = pytest.mark.usefixtures("two_threads_of_torch")

OURS = pyharmony.__version__
GROUP = "partial convolution, DoveNet's local encoder at 256²"
CHANNELS = (3, 64, 128, 256, 512, 512, 512, 512)
STRIDES = (2, 2, 2, 2, 2, 2, 1)
SLOPE = 0.2


class Composed(torch.nn.Conv2d):
    """Partial convolution as its authors define it, in torch calls, without caching between calls."""

    def forward(self, x: Any, mask: Any) -> tuple[Any, Any]:  # type: ignore[override]
        with torch.no_grad():
            # The authors' kernel of ones has a plane for each channel of the mask, and each output.
            outputs = 1 if mask.shape[1] == 1 else self.out_channels
            ones = torch.ones(outputs, mask.shape[1], *self.kernel_size, dtype=mask.dtype, device=mask.device)
            count = F.conv2d(mask, ones, None, self.stride, self.padding, self.dilation)
            scale = ones[0].numel() / (count + 1e-8)
            count = torch.clamp(count, 0, 1)
            scale = scale * count
        raw = F.conv2d(x * mask, self.weight, self.bias, self.stride, self.padding, self.dilation)
        if self.bias is None:
            return raw * scale, count
        bias = self.bias.view(1, -1, 1, 1)
        return ((raw - bias) * scale + bias) * count, count


def disc(images: int, share: float, planes: int, dtype: Any, size: int = 256) -> Any:
    y, x = torch.meshgrid(*[torch.arange(size) - size / 2 + 0.5] * 2, indexing="ij")
    distance = x * x + y * y
    mask = distance <= distance.flatten().kthvalue(max(1, int(share * size * size))).values
    return mask.to(dtype).expand(images, planes, size, size).contiguous()


def encoder(kind: Any, dtype: Any, memory: Any, **options: Any) -> Any:
    torch.manual_seed(0)
    layers = [kind(CHANNELS[i], CHANNELS[i + 1], 3, STRIDES[i], 0, bias=i == 0, **options) for i in range(len(STRIDES))]
    return torch.nn.ModuleList(layers).to(dtype, memory_format=memory)


def run_ours(net: Any, x: Any, mask: Any) -> Any:
    for layer, part in zip(net, ops.mask_plan(mask, net)):
        x, _ = layer(x, plan=part, negative_slope=SLOPE)
    return x


def run_composed(net: Any, x: Any, mask: Any) -> Any:
    for layer in net:
        x, mask = layer(x, mask)
        x = F.leaky_relu(x, SLOPE)
    return x


def run_plain(net: Any, x: Any, mask: Any) -> Any:
    for layer in net:
        x = F.leaky_relu(layer(x), SLOPE)
    return x


def step(run: Callable[..., Any], net: Any, x: Any, mask: Any, backward: bool) -> Callable[[], Any]:
    def once() -> Any:
        if not backward:
            with torch.no_grad():
                return run(net, x, mask)
        net.zero_grad(set_to_none=True)
        y = run(net, x, mask)
        y.backward(torch.ones_like(y))
        return y.detach()

    return once


def best(timings: dict[str, Timing], names: list[str]) -> str:
    return min(names, key=lambda name: min(timings[name].cpu))


def compare(benchmark: Any, peers: dict[str, tuple[Any, Any]], *, images: int, share: float, dtype: Any,
            backward: bool, planes: int = 1, rounds: int = 7) -> tuple[dict[str, Timing], str]:  # fmt: skip
    """Times ours, channels-last, beside each peer in both formats; the timings, and the fastest of the peers."""
    mask, image = disc(images, share, planes, dtype), torch.randn(images, 3, 256, 256).to(dtype)
    calls = {}
    for name, (kind, run) in peers.items():
        for form, memory in (("channels-last", torch.channels_last), ("planar", torch.contiguous_format)):
            x = image.contiguous(memory_format=memory)
            calls[f"{name}, {form}"] = step(run, encoder(kind, dtype, memory), x, mask, backward)
    ours = encoder(PartialConv2d, dtype, torch.channels_last, multi_channel=planes > 1)
    x = image.contiguous(memory_format=torch.channels_last)
    timings = interleave(benchmark, step(run_ours, ours, x, mask, backward), calls, rounds=rounds)
    return timings, best(timings, list(calls))


def report(ledger: Ledger, problem: str, timings: dict[str, Timing], fastest: str) -> float:
    ledger.add(GROUP, problem, "pyharmony.nn.PartialConv2d", timings["ours"], version=OURS)
    exact, result = timings[fastest].result.float(), timings["ours"].result.float()
    apart = float((exact - result).abs().max() / exact.abs().max())
    ledger.add(
        GROUP, problem, f"torch, {fastest}", timings[fastest], against=timings["ours"], version=torch.__version__,
        note=f"apart by {apart:.1g} of the largest",
    )  # fmt: skip
    return ratio(timings[fastest], timings["ours"], "cpu")


COMPOSED = {"composed": (Composed, run_composed)}


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "step"])
@pytest.mark.parametrize("images", [1, 2, 8])
@pytest.mark.parametrize("share", [0.05, 0.15, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def bench_masks(benchmark: Any, ledger: Ledger, dtype: Any, share: float, images: int, backward: bool) -> None:
    rounds = 3 if images == 8 else 7
    timings, fastest = compare(
        benchmark, COMPOSED, images=images, share=share, dtype=dtype, backward=backward, rounds=rounds
    )
    name = f"{'fp32' if dtype == torch.float32 else 'bf16'}, {share:.0%}, batch {images}"
    gain = report(ledger, f"{name}, {'forward + backward' if backward else 'forward'}", timings, fastest)
    if (dtype, share, images, backward) == (torch.float32, 0.15, 2, True):
        ledger.target("partial_conv: 15 % mask, forward + backward, batch 2, v. composed", gain, 1.8, 3.0, "x")


def bench_dense_masks(benchmark: Any, ledger: Ledger) -> None:
    """Times masks of ones beside the same layers of torch.nn.Conv2d."""
    timings, fastest = compare(
        benchmark, {"Conv2d": (torch.nn.Conv2d, run_plain)}, images=2, share=1.0, dtype=torch.float32, backward=True
    )
    gain = report(ledger, "fp32, ones, batch 2, forward + backward, v. Conv2d", timings, fastest)
    ledger.target("partial_conv: masks of ones, time v. torch.nn.Conv2d", 1 / gain, 1.15, 1.05, "x",
                  higher_is_better=False)  # fmt: skip


def bench_multi_channel_masks(benchmark: Any, ledger: Ledger) -> None:
    """Times a plane for each channel; the composed convolution sums it with a kernel of ones for each output."""
    timings, fastest = compare(benchmark, COMPOSED, images=2, share=0.15, dtype=torch.float32, backward=True, planes=3)
    gain = report(ledger, "fp32, 15 %, three planes, batch 2, forward + backward", timings, fastest)
    ledger.target("partial_conv: masks of several channels v. composed", gain, 1.8, None, "x")


def bench_compiled(benchmark: Any, ledger: Ledger) -> None:
    """Times the composed convolutions through torch.compile."""
    mask, image = disc(2, 0.15, 1, torch.float32), torch.randn(2, 3, 256, 256)
    x = image.contiguous(memory_format=torch.channels_last)
    compiled = torch.compile(run_composed)
    calls = {"compiled, channels-last": step(
        compiled, encoder(Composed, torch.float32, torch.channels_last), x, mask, True)}  # fmt: skip
    ours = encoder(PartialConv2d, torch.float32, torch.channels_last)
    timings = interleave(benchmark, step(run_ours, ours, x, mask, True), calls, rounds=5)
    report(ledger, "fp32, 15 %, batch 2, forward + backward, v. compiled", timings, next(iter(calls)))
