"""Optimisation steps on a GPU compared with published ones: DoveNet's, with its gradient penalty.

Ours run eager and captured in CUDA graphs, in float32 with TF32 and in bfloat16; the published step runs eager,
unchanged and under autocast. cuDNN selects its algorithms by trial for all.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import bench_training_steps as cpu
import peers_cuda
import pytest
from measure import Ledger
from measure_cuda import add, interleave, ratio

import pyharmony

pytestmark = pytest.mark.gpu

OURS = f"pyharmony {pyharmony.__version__}"
GROUP = "a training step of DoveNet on the GPU, with penalty"
WIDTH = 64
ROUNDS = 20
#: The batches of the figures.
FIGURE_BATCHES = (1, 8)


@pytest.fixture(autouse=True)
def _fast_convolutions(gpu: Any) -> Iterator[None]:
    flags = gpu.backends.cudnn.flags(enabled=True, benchmark=True, deterministic=False, allow_tf32=True)
    before = gpu.backends.cuda.matmul.allow_tf32
    gpu.backends.cuda.matmul.allow_tf32 = True
    with flags:
        yield
    gpu.backends.cuda.matmul.allow_tf32 = before


def captured(step: Any, batch: dict[str, Any]) -> Any:
    return step.capture(batch)


@pytest.mark.parametrize("images", [*(pytest.param(n, marks=pytest.mark.first) for n in FIGURE_BATCHES), 32])
def bench_dovenet(gpu: Any, ledger: Ledger, images: int) -> None:
    """Reports ours in bfloat16, captured, compared with the published step in its own precision."""
    batch = cpu.batch_of(images, peers_cuda.DEVICE)
    step = cpu.published(WIDTH, batch, last=True)

    def autocast() -> Any:
        with gpu.autocast(gpu.device(peers_cuda.DEVICE).type, gpu.bfloat16):
            return step()

    calls = {"published, TF32": step, "published, bf16": autocast}
    for dtype, name in (("float32", "TF32"), ("bfloat16", "bf16")):
        mine = cpu.ours(WIDTH, device=peers_cuda.DEVICE, dtype=dtype)
        calls[f"ours, {name}, eager"] = functools.partial(mine, batch)
        calls[f"ours, {name}, captured"] = functools.partial(captured(mine, batch), batch)
    timings = interleave(calls, rounds=ROUNDS, eager=tuple(calls))
    for name, timing in timings.items():
        if name.endswith("captured"):
            timing.mode = "graph"
        mine = name.startswith("ours")
        fastest = None if mine else timings[f"ours, {name.removeprefix('published, ')}, captured"]
        add(
            ledger, GROUP, f"batch {images}", name.replace("ours", "training.steps"), timing,
            version=OURS if mine else str(gpu.__version__), ours=fastest,
        )  # fmt: skip
    if images in FIGURE_BATCHES:
        gain = ratio(timings["published, TF32"], timings["ours, bf16, captured"])
        ledger.figure(f"dovenet_step_{images}", gain)
