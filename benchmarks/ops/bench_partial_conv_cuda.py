"""Op partial_conv on a GPU: the local encoder of DoveNet's discriminator, compared with layers in torch calls.

Both are measured eager, captured in CUDA graphs, and by torch.compile. Both networks are channels-last, the mask has
one plane; ours gets it as bools, whose values need no check. Products of rows alone are measured beside a kernel in
Triton that does the same, forward, where Triton is installed.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import statistics
from typing import Any

import bench_partial_conv as cpu
import measure_cuda
import peers_cuda
import pytest
from measure import Ledger
from measure_cuda import GpuTiming, add, interleave, ratio

import pyharmony
from pyharmony import ops
from pyharmony.networks.nn import PartialConv2d

pytestmark = pytest.mark.gpu

OURS = f"pyharmony {pyharmony.__version__}"
GROUP = "partial convolution on the GPU, DoveNet's local encoder at 256²"
#: The case of the goals: few images, where launches decide.
GOAL_IMAGES = (1, 8)
FIGURE = 0.15  # the share of the mask


def eager_ratio(slow: GpuTiming, fast: GpuTiming) -> float:
    return statistics.median(a / b for a, b in zip(slow.eager, fast.eager, strict=True))


def run_rows(net: Any, x: Any, mask: Any) -> Any:
    for layer, plan in zip(net, ops.mask_plan(mask, net, method="rows"), strict=True):
        x, _ = layer(x, plan=plan, negative_slope=cpu.SLOPE)
    return x


def calls(torch: Any, images: int, share: float, dtype: Any, backward: bool, planes: int = 1) -> dict[str, Any]:
    last = torch.channels_last
    mask = cpu.disc(images, share, planes, dtype).to(peers_cuda.DEVICE)
    x = torch.randn(images, 3, 256, 256).to(peers_cuda.DEVICE, dtype, memory_format=last)

    def net(kind: Any, **options: Any) -> Any:
        return cpu.encoder(kind, dtype, last, **options).to(peers_cuda.DEVICE)

    ours = net(PartialConv2d, multi_channel=planes > 1)
    calls_by_name = {
        "ours": cpu.step(cpu.run_ours, ours, x, mask > 0, backward),
        "rows": cpu.step(run_rows, ours, x, mask > 0, backward),
        "composed": cpu.step(cpu.run_composed, net(cpu.Composed), x, mask, backward),
    }
    if x.is_cuda and planes == 1 and not backward and importlib.util.find_spec("triton") is not None:
        peer = functools.partial(importlib.import_module("peers_partial_conv").run, slope=cpu.SLOPE)
        calls_by_name["triton"] = cpu.step(peer, ours, x, mask > 0, backward)
    if not measure_cuda.FIRST_ONLY:
        compiled = peers_cuda.compiled(cpu.run_composed)
        calls_by_name["compiled"] = cpu.step(compiled, net(cpu.Composed), x, mask, backward)
    return calls_by_name


def measure(torch: Any, ledger: Ledger, problem: str, **options: Any) -> dict[str, GpuTiming]:
    calls_by_name = calls(torch, **options)
    timings = interleave(calls_by_name)
    expected = calls_by_name["composed"]().float()
    row = functools.partial(add, ledger, GROUP, problem)

    def apart(name: str) -> str:
        error = float((calls_by_name[name]().float() - expected).abs().max() / expected.abs().max())
        return f"apart by {error:.1g} of the largest"

    row("nn.PartialConv2d", timings["ours"], version=OURS, note=apart("ours"))
    row('the same, method="rows"', timings["rows"], version=OURS, note=apart("rows"))
    if "triton" in timings:
        version = str(importlib.import_module("triton").__version__)
        row("by rows in Triton", timings["triton"], version=version, ours=timings["rows"], note=apart("triton"))
    for name, words in (("composed", "composed of torch's calls"), ("compiled", "the same, torch.compile")):
        row(words, timings.get(name), version=str(torch.__version__), ours=timings["ours"])
    return timings


@pytest.mark.parametrize(
    ("images", "share"),
    [
        pytest.param(images, share, marks=[pytest.mark.first] if images in GOAL_IMAGES and share == FIGURE else [])
        for share in (0.05, FIGURE, 1.0)
        for images in (*GOAL_IMAGES, 32)
    ],
)
def bench_masks(gpu: Any, ledger: Ledger, images: int, share: float) -> None:
    """Reports the minimum over both dtypes, forward and forward + backward, for few images and a mask of 15 %."""
    eager, graph = [], []
    for dtype, name in ((gpu.float32, "fp32"), (gpu.bfloat16, "bf16")):
        for backward, what in ((False, "forward"), (True, "forward + backward")):
            problem = f"{name}, {share:.0%}, batch {images}, {what}"
            timings = measure(gpu, ledger, problem, images=images, share=share, dtype=dtype, backward=backward)
            eager.append(eager_ratio(timings["composed"], timings["ours"]))
            graph.append(ratio(timings["composed"], timings["ours"]))
    if share == FIGURE and images in GOAL_IMAGES:
        for key, values in (("partial_conv_v_eager", eager), ("partial_conv_v_graph", graph)):
            ledger.figure(key, min([*values, ledger.figures.get(key, values[0])]))


def bench_multi_channel_masks(gpu: Any, ledger: Ledger) -> None:
    """Times masks with a plane for each channel."""
    measure(
        gpu, ledger, "fp32, 15 %, three planes, batch 8, forward + backward", images=8, share=0.15, dtype=gpu.float32,
        backward=True, planes=3,
    )  # fmt: skip
