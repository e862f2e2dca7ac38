"""Op color_grid on a GPU: affine map, curves and a 16 x 16 x 8 grid of uint8, compared with torch's composition.

torch's is measured eager and compiled, each captured in a CUDA graph like ours, and compared with a copy of the same
bytes. A training step of float32 is compared with its composition as well.
"""

from __future__ import annotations

import functools
import statistics
from typing import Any

import peers_color_grid
import peers_cuda
import problems_cuda
import pytest
from measure import Ledger
from measure_cuda import OURS, add, interleave, on_cpu, ratio

from pyharmony import ops

pytestmark = pytest.mark.gpu

GROUP = "colour grid on the GPU"
STEP = (32, 256, 256)  # images, height, width


@pytest.mark.parametrize("size", [pytest.param("8K", marks=pytest.mark.first), "4K", "1080p"])
def bench_map(gpu: Any, ledger: Ledger, size: str) -> None:
    t = problems_cuda.tensors(size, "uint8")
    height = t.shape[0]
    color_map = peers_color_grid.random_map()
    parts = {name: gpu.from_numpy(part).to(peers_cuda.DEVICE) for name, part in color_map.parts.items()}
    image, mask, out = t.dst, t.mask, gpu.empty_like(t.dst)
    nbytes = 2 * image.numel() + mask.numel()
    theirs = peers_color_grid.on_torch(color_map, peers_cuda.DEVICE)
    compiled = peers_cuda.compiled(peers_color_grid.with_torch)
    calls = {
        "ours": functools.partial(ops.color_grid, image, mask, out=out, **parts),
        "torch": functools.partial(peers_color_grid.with_torch, image, mask, 0, height, theirs),
        "compiled": functools.partial(compiled, image, mask, 0, height, theirs),
        "copy": peers_cuda.copy_of(nbytes),
    }
    with gpu.inference_mode():
        timings = interleave(calls, rounds=20)
        expected = calls["torch"]().int()
    apart = int((calls["ours"]().int() - expected).abs().max())
    row = functools.partial(add, ledger, GROUP, t.name)
    row("ops.color_grid, uint8", timings["ours"], version=OURS, copy=timings["copy"], nbytes=nbytes, error=apart)
    for name, words in (("torch", "grid_sample"), ("compiled", "grid_sample, compiled")):
        row(words, timings[name], version=str(gpu.__version__), ours=timings["ours"])
    row("copy of the same bytes", timings["copy"], version="", ours=timings["ours"], nbytes=nbytes)
    _, pixels, weights, _ = t.numpy()
    row(
        "pyharmony on the CPU, uint8", on_cpu(lambda: ops.color_grid(pixels, weights, **color_map.parts)),
        version=OURS,
    )  # fmt: skip
    if size == "8K":
        ledger.figure("color_grid_ms", statistics.median(timings["ours"].cold))
        ledger.figure("color_grid_v_compiled", ratio(timings["compiled"], timings["ours"]))


def bench_step(gpu: Any, ledger: Ledger) -> None:
    """Times forward and backward of a batch in which every image has its own map, as in training."""
    from pyharmony.ops import _color_grid_torch

    gpu.manual_seed(0)
    count, height, width = STEP
    image, mask = gpu.rand((*STEP, 3), device=peers_cuda.DEVICE), gpu.rand(STEP, device=peers_cuda.DEVICE)
    color_map = peers_color_grid.random_map()
    parts = [
        gpu.from_numpy(part).to(peers_cuda.DEVICE)[None].repeat(count, *[1] * part.ndim).requires_grad_()
        for part in color_map.parts.values()
    ]

    def step(call: Any) -> Any:
        return gpu.autograd.grad(call().square().mean(), parts)

    frame = [0, 0, height, width]
    names = dict(zip(color_map.parts, parts, strict=True))
    composed = peers_cuda.compiled(_color_grid_torch.composed)
    calls = {
        "ours": lambda: step(lambda: ops.color_grid(image, mask, **names)),
        "torch": lambda: step(lambda: _color_grid_torch.composed(image, mask, *parts, frame)),
        "compiled": lambda: step(lambda: composed(image, mask, *parts, frame)),
    }
    timings = interleave(calls, rounds=10)
    row = functools.partial(add, ledger, GROUP, f"{count} x {height}² x 3 float32, forward + backward")
    row("ops.color_grid", timings["ours"], version=OURS)
    for name, words in (("torch", "composed of gathers"), ("compiled", "composed of gathers, compiled")):
        row(words, timings[name], version=str(gpu.__version__), ours=timings["ours"])
