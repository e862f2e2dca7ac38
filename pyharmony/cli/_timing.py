"""The work of `pyharmony bench`."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import _checks, blend, get_num_threads, set_num_threads, simd_level
from ..errors import RunError
from ..runs._jobs.failures import Code
from . import _facts, _pictures
from ._console import Console, table

SIZES = {"480p": (854, 480), "720p": (1280, 720), "1080p": (1920, 1080), "4K": (3840, 2160)}
FPIE_ITERATIONS = 1000
_MAX_PIXELS = 64_000_000  # pixels


@dataclass
class Contestant:
    """One tool on one problem, with its times."""

    name: str
    call: Callable[[], Any]
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    result: Any = None
    unrounded: Callable[[], Any] | None = None  # the result on the mask in 8-bit levels, as floats

    def run(self) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        self.result = self.call()
        self.cpu.append(time.process_time() - cpu)
        self.wall.append(time.perf_counter() - wall)


def sizes_of(text: str) -> dict[str, tuple[int, int]]:
    """Returns width and height of each size by its name."""
    sizes = {}
    for name in text.split(","):
        numbers = re.fullmatch(r"(\d+)x(\d+)", name)
        width, height = (int(numbers[1]), int(numbers[2])) if numbers else SIZES.get(name, (0, 0))
        if min(width, height) < 8 or width * height > _MAX_PIXELS:
            raise RunError(
                f"--sizes: {name!r}, expected {', '.join(SIZES)} or WxH from 8x8 to 64 million pixels", Code.USAGE
            )
        sizes[name] = width, height
    return sizes


def peers_of(text: str | None) -> tuple[list[str], dict[str, str]]:
    """Returns the tools that are installed, and the reasons why others are not used."""
    here, missing = [], {}
    for name in dict.fromkeys((text or "").split(",")) if text else ():
        if name not in ("cv2", "fpie"):
            raise RunError(f"--against: {name!r}, expected cv2, fpie or both", Code.USAGE)
        try:
            importlib.import_module("fpie.process" if name == "fpie" else name)
            here.append(name)
        except ImportError as error:
            missing[name] = str(error)
    return here, missing


@contextlib.contextmanager
def _prints_to_stderr() -> Iterator[None]:
    """Redirects the output of other tools to stderr, including that of native code."""
    sys.stdout.flush()
    stdout_copy = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(stdout_copy, 1)
        os.close(stdout_copy)


def run(modes: list[str], sizes: str, against: str | None, rounds: int, threads: int | None, console: Console) -> None:
    problems = sizes_of(sizes)
    with _prints_to_stderr():
        peers, missing = peers_of(against)
    if threads is not None:
        set_num_threads(threads)
    threads = get_num_threads()
    rows: list[dict[str, Any]] = []
    if "gp-gan" in modes and importlib.util.find_spec("torch") is None:
        modes = [mode for mode in modes if mode != "gp-gan"]
        missing["gp-gan"] = "torch, which it needs, is not installed"
    for name, reason in missing.items():
        console.note(f"omitted: {name} ({reason})")
    with _prints_to_stderr(), console.progress(len(modes) * len(problems), "measuring") as advance:
        for size, (width, height) in problems.items():
            src, dst = (_pictures.photograph(name, height, width) for name in ("coffee", "astronaut"))
            mask = _pictures.blob(height, width)
            exact = None
            for mode in modes:
                contestants = [_ours(mode, src, dst, mask)]
                if mode == "poisson":
                    contestants += [_PEERS[name](src, dst, mask, threads) for name in peers]
                    if exact is None:
                        exact = 255 * blend.poisson(src / 255.0, dst / 255.0, mask)
                for contestant in contestants:
                    contestant.run()  # warm-up; only the following runs are measured
                    contestant.wall.clear()
                    contestant.cpu.clear()
                for _ in range(rounds):
                    for contestant in contestants:
                        contestant.run()
                truth = exact[mask] if mode == "poisson" and exact is not None else None
                rows += [_row(c, mode, size, contestants[0], truth, mask) for c in contestants]
                advance()
    console.result(
        status="ok",
        processor=_facts.processor(),
        instruction_set=simd_level(),
        threads=threads,
        rounds=rounds,
        rows=rows,
        missing=missing,
    )
    console.report(_tables(rows, threads, rounds))


def _row(contestant: Contestant, mode: str, size: str, ours: Contestant, truth: Any, mask: Any) -> dict[str, Any]:
    error = None
    if truth is not None:
        # Peers round and clip to 8 bits inside; the error of ours is measured before that, as in README.
        unrounded = contestant.unrounded
        error = np.abs(contestant.result[mask] - np.clip(truth, 0, 255) if unrounded is None else unrounded() - truth)
    return {
        "op": mode,
        "size": size,
        "name": contestant.name,
        "wall_ms": round(1e3 * statistics.median(contestant.wall), 3),
        "cpu_ms": round(1e3 * statistics.median(contestant.cpu), 3),
        "ratio": round(statistics.median(a / b for a, b in zip(contestant.wall, ours.wall, strict=True)), 3),
        "error_median": None if error is None else round(float(np.median(error)), 3),
        "error_max": None if error is None else round(float(error.max()), 3),
    }


def _tables(rows: list[dict[str, Any]], threads: int, rounds: int) -> str:
    cells = [["blend", "size", "", "wall ms", "CPU ms", "ratio", "median error", "largest"]]
    for row in rows:
        errors = ["" if row[f"error_{kind}"] is None else f"{row[f'error_{kind}']:.3g}" for kind in ("median", "max")]
        times = [f"{row['wall_ms']:.1f}", f"{row['cpu_ms']:.1f}", f"{row['ratio']:.2f}"]
        cells.append([row["op"], row["size"], row["name"], *times, *errors])
    how = f"medians of {rounds}, {threads} threads, {simd_level()}; images of three 8-bit channels"
    return f"{_facts.processor()}: {how}\n\n{table(cells)}"


def _ours(mode: str, src: Any, dst: Any, mask: Any) -> Contestant:
    function = getattr(blend, mode.replace("-", "_"))

    def unrounded() -> Any:
        """Returns the result at the tolerance of 8 bits."""
        src_, dst_ = (x.astype(np.float32) / np.float32(255) for x in (src, dst))
        answer = function(src_, dst_, mask, tolerance=_checks.DEFAULT_TOLERANCE["uint8"])[mask]
        return answer.astype(np.float64) * 255

    contestant = Contestant("pyharmony", lambda: function(src, dst, mask))
    contestant.unrounded = unrounded if mode == "poisson" else None
    return contestant


def _seamless_clone(src: Any, dst: Any, mask: Any, threads: int) -> Contestant:
    cv2: Any = importlib.import_module("cv2")
    cv2.setNumThreads(threads)
    inside = mask.astype(np.uint8) * 255
    x, y, width, height = cv2.boundingRect(inside)
    centre = x + width // 2, y + height // 2  # the centre that does not move the source

    def call() -> Any:
        return cv2.seamlessClone(src, dst, inside, centre, cv2.NORMAL_CLONE)

    return Contestant(f"cv2.seamlessClone {cv2.__version__}", call)


def _fpie(src: Any, dst: Any, mask: Any, threads: int) -> Contestant:
    process: Any = importlib.import_module("fpie.process")
    fastest_first = ("openmp", "taichi-cpu", "numba", "gcc", "numpy")
    backend = next(name for name in fastest_first if name in process.ALL_BACKEND)
    inside = mask.astype(np.uint8) * 255

    def call() -> Any:
        solver = process.EquProcessor(gradient="src", backend=backend, n_cpu=threads)
        solver.reset(src, inside, dst, (0, 0), (0, 0))
        solver.sync()
        return solver.step(FPIE_ITERATIONS)[0]

    return Contestant(f"fpie {_facts.version_of('fpie')}, {backend}, {FPIE_ITERATIONS} iterations", call)


_PEERS = {"cv2": _seamless_clone, "fpie": _fpie}
