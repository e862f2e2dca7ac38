"""Timing on a GPU: events around each run, interleaved, with a cold and a warm second-level cache."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import peers_cuda
from measure import Ledger

import pyharmony

OURS = f"pyharmony {pyharmony.__version__}"
ROUNDS = 50
#: Set by `--first`: few rounds, without the CPU and without peers that no reported quantity needs.
FIRST_ONLY = False
FEW_ROUNDS = 20
IMAGE_SIDES = (64, 128, 256, 512, 1024, 2048, 4096)
_FLUSH_BYTES = 256 << 20  # several times the cache of any GPU
_PAUSE_CYCLES = 400_000  # about 0.2 ms: work after it is enqueued before it ends


@dataclass
class GpuTiming:
    """Milliseconds of each round, and how the call was run."""

    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    eager: list[float] = field(default_factory=list)
    mode: str = ""


def spread(values: list[float]) -> tuple[float, float]:
    """Returns median and interquartile range."""
    if len(values) < 3:
        return (statistics.median(values), 0.0) if values else (float("nan"), 0.0)
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return middle, high - low


def captured(call: Callable[[], Any]) -> tuple[Callable[[], Any], str]:
    """Returns the replay of a CUDA graph of the call, or the call itself and the reason."""
    import torch

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            result = call()
    except Exception as error:
        torch.cuda.synchronize()
        return call, f"eager ({type(error).__name__} in a capture)"

    def replay(result: Any = result) -> Any:
        graph.replay()
        return result

    return replay, "graph"


def interleave(
    calls: dict[str, Callable[[], Any]], *, rounds: int = ROUNDS, eager: tuple[str, ...] = ()
) -> dict[str, GpuTiming]:
    """Runs the calls in turn: in each round each once cold and once warm, from a graph if it can be captured.

    `GpuTiming.eager` is the wall time of the call from Python, until its work is done. `eager` names calls that are
    not to be captured.
    """
    import torch

    rounds = min(rounds, FEW_ROUNDS) if FIRST_ONLY else rounds
    flush = torch.empty(_FLUSH_BYTES, dtype=torch.uint8, device=peers_cuda.DEVICE)
    timings, runs = {}, {}
    for name, call in calls.items():
        timings[name] = GpuTiming()
        runs[name], timings[name].mode = (call, "eager") if name in eager else captured(call)

    def timed(run: Callable[[], Any]) -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        return float(start.elapsed_time(end))

    for i in range(rounds + 2):
        for name, run in runs.items():
            flush.fill_(i % 7)
            torch.cuda._sleep(_PAUSE_CYCLES)
            cold = timed(run)
            run()
            torch.cuda._sleep(_PAUSE_CYCLES)
            warm = timed(run)
            if i >= 2:
                timings[name].cold.append(cold)
                timings[name].warm.append(warm)
        if i < 12:
            for name, call in calls.items():
                begin = time.perf_counter()
                call()
                torch.cuda.synchronize()
                if i >= 2:
                    timings[name].eager.append(1000 * (time.perf_counter() - begin))
    return timings


def ratio(slow: GpuTiming, fast: GpuTiming) -> float:
    """Returns the median of the rounds' ratios of cold times."""
    return statistics.median(x / y for x, y in zip(slow.cold, fast.cold, strict=True))


def wall(calls: dict[str, Callable[[], Any]], mode: str, rounds: int) -> dict[str, GpuTiming]:
    """Times calls that end when their work is done, in turn, after two warm-up rounds."""
    timings = {name: GpuTiming(mode=mode) for name in calls}
    for i in range(rounds + 2):
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            if i >= 2:
                timings[name].eager.append(1000 * (time.perf_counter() - begin))
    for timing in timings.values():
        timing.cold = timing.warm = timing.eager
    return timings


def on_cpu(call: Callable[[], Any]) -> GpuTiming | None:
    """Times a call on NumPy arrays by the CPU kernels, with all threads; skipped with `--first`."""
    if FIRST_ONLY:
        return None

    def run() -> None:
        pyharmony.set_device("cpu")
        try:
            call()
        finally:
            pyharmony.set_device("auto")

    return wall({"cpu": run}, f"CPU, {pyharmony.get_num_threads()} threads", 3)["cpu"]


@dataclass
class GpuRow:
    """One contestant on one problem. Errors are in 8-bit levels.

    Attributes:
        nbytes: the smallest number of bytes read and written: arguments and result.
        gb_per_s: these bytes over the cold time.
        copy_share: the time of a copy of as many bytes, over this one's.
    """

    group: str
    problem: str
    name: str
    version: str
    ours: bool
    cold_ms: float
    cold_iqr_ms: float
    warm_ms: float
    warm_iqr_ms: float
    eager_ms: float
    rounds: int
    mode: str
    nbytes: int | None = None
    gb_per_s: float | None = None
    copy_share: float | None = None
    times_ours: float | None = None
    error: float | None = None
    note: str = ""


def add(
    ledger: Ledger, group: str, problem: str, name: str, timing: GpuTiming | None, *, version: str,
    ours: GpuTiming | None = None, copy: GpuTiming | None = None, nbytes: int | None = None,
    error: float | None = None, note: str = "",
) -> None:  # fmt: skip
    """Adds a row; ours is our timing to compare with, None makes it a row of ours.

    Without a timing there is no row.
    """
    if timing is None:
        return
    cold, warm = spread(timing.cold), spread(timing.warm)
    row = GpuRow(
        group, problem, name, version, ours is None, *cold, *warm, spread(timing.eager)[0], len(timing.cold),
        timing.mode, nbytes, None if nbytes is None else nbytes / cold[0] / 1e6,
        None if copy is None else ratio(copy, timing), None if ours is None else ratio(timing, ours),
        error, note,
    )  # fmt: skip
    ledger.gpu_rows.append(asdict(row))


def numpy_to_numpy(ledger: Ledger, what: str, problem: Callable[[int], Callable[[str], Any]]) -> None:
    """Adds rows of calls on NumPy arrays, with both transfers; the last one reports the size from which the GPU pays.

    Args:
        what: the measured work, in words.
        problem: returns for a side the call, whose argument is its device.
    """
    pays = None
    for side in IMAGE_SIDES:
        call = problem(side)
        calls = {device: functools.partial(call, device) for device in ("cuda", "cpu")}
        timings = wall(calls, "NumPy to NumPy", 10 if side < 4096 else 3)
        for device, timing in timings.items():
            add(ledger, "NumPy to NumPy", f"{side} x {side} x 3, {what}", f"pyharmony, {device}", timing, version=OURS)
        if ratio(timings["cpu"], timings["cuda"]) < 1:
            pays = None
        elif pays is None:
            pays = side
    ledger.gpu_rows[-1]["note"] = (
        f"{what}: the GPU pays from {pays} x {pays}" if pays else f"{what}: it never pays here"
    )
