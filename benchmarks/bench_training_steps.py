"""Optimisation steps beside those that were published: DoveNet's, with its gradient penalty, pictures in memory.

Both networks at 256², all of it in one process. The published step runs in both memory formats, and the faster one
counts. --full measures larger batches and the full width.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from measure import Ledger, Timing, interleave

import pyharmony

torch = pytest.importorskip("torch", reason="torch is not installed")

import operations  # noqa: E402
from bench_partial_conv import best, disc  # noqa: E402
from published_dovenet import PublishedStep  # noqa: E402

from pyharmony import models  # noqa: E402
from pyharmony.training import steps  # noqa: E402

OURS = pyharmony.__version__
GROUP = "a training step of DoveNet at 256², 15 % mask"


@pytest.fixture(autouse=True)
def _two_threads_of_torch() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def batch_of(images: int, device: Any = "cpu") -> dict[str, Any]:
    torch.manual_seed(0)
    pictures = {name: torch.rand(images, 3, 256, 256) * 2 - 1 for name in ("composite", "target")}
    return {name: x.to(device) for name, x in {**pictures, "mask": disc(images, 0.15, 1, torch.float32)}.items()}


def ours(width: int, penalty: bool = True, device: Any = "cpu", **settings: Any) -> Any:
    torch.manual_seed(0)
    model = models.create("dovenet", width=width, discriminator_width=width).to(device)
    return steps.create(model, gradient_penalty=10.0 if penalty else 0.0, **settings)


def published(width: int, batch: dict[str, Any], penalty: bool = True, last: bool = False) -> Callable[[], Any]:
    torch.manual_seed(0)
    step = PublishedStep(width, batch["mask"].device, gradient_penalty=penalty)
    memory = torch.channels_last if last else torch.contiguous_format
    for net in (step.generator, step.discriminator):
        net.to(memory_format=memory)
    pictures = [batch[name].contiguous(memory_format=memory) for name in ("composite", "target", "mask")]
    return lambda: step(*pictures)


def both_orders(slow: Timing, fast: Timing) -> float:
    """The median ratio of runs that are neighbours, whichever came first."""
    pairs = [*zip(slow.cpu, fast.cpu, strict=True), *zip(slow.cpu[1:], fast.cpu)]
    return statistics.median(a / b for a, b in pairs)


def compare(
    benchmark: Any, ledger: Ledger, *, images: int, width: int = 16, penalty: bool = True, dtype: str = "float32",
    rounds: int = 5,
) -> float:  # fmt: skip
    """The ratio of CPU times to the faster of the published step's formats."""
    batch = batch_of(images)
    step = ours(width, penalty, dtype=dtype)
    mine = lambda: step(batch)  # noqa: E731
    theirs = {
        f"published, {'channels-last' if last else 'planar'}": published(width, batch, penalty, last)
        for last in (False, True)
    }
    timings = interleave(benchmark, mine, theirs, rounds=rounds)
    fastest = best(timings, list(theirs))
    problem = f"{'fp32' if dtype == 'float32' else 'bf16'}, width {width}, batch {images}"
    problem += "" if penalty else ", no penalty"
    for name, call, against in (("training.steps", mine, None), (fastest, theirs[fastest], timings["ours"])):
        by_torch, native = operations.count(call)
        note = f"{sum(by_torch.values()):,} operations of torch"
        note += f", {sum(native.values()):,} native calls" if native else ""
        timing = timings["ours"] if against is None else timings[name]
        ledger.add(
            GROUP, problem, name, timing, version=OURS if against is None else torch.__version__, against=against,
            note=note,
        )  # fmt: skip
    return both_orders(timings[fastest], timings["ours"])


def bench_dovenet(benchmark: Any, ledger: Ledger) -> None:
    gain = compare(benchmark, ledger, images=4)
    ledger.target("DoveNet's training step, width 16, batch 4, with penalty, v. published", gain, 1.3, 2.0, "x")


def bench_dovenet_without_penalty(benchmark: Any, ledger: Ledger) -> None:
    compare(benchmark, ledger, images=4, penalty=False)


@pytest.mark.parametrize("images", [1, 8, pytest.param(32, marks=pytest.mark.full)])
def bench_dovenet_batches(benchmark: Any, ledger: Ledger, images: int) -> None:
    compare(benchmark, ledger, images=images, rounds=3)


@pytest.mark.full
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def bench_dovenet_whole(benchmark: Any, ledger: Ledger, dtype: str) -> None:
    compare(benchmark, ledger, images=1, width=64, dtype=dtype, rounds=3)
