"""The command line: whole processes, cold, from file to file."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import peers
import problems
import pytest
from measure import Ledger, Timing, ratio

import pyharmony

OURS = pyharmony.__version__
ROOT = Path(__file__).resolve().parents[2]
#: Width, height, and the required seconds.
SIZES = {"1080p": (1920, 1080, 1.0), "12 megapixels": (4000, 3000, 3.0), "50 megapixels": (8688, 5792, 10.0)}
PEAK_GB = 3.0
THREADS = "2"

# A small intermediate process, since the peak memory of a child starts at that of its parent.
MEASURE = """
import json, os, resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
wall = time.perf_counter() - start
use = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"code": code, "wall": wall, "cpu": use.ru_utime + use.ru_stime, "peak": use.ru_maxrss * 1024}))
"""

SEAMLESS_CLONE = """
import sys
import cv2
cv2.setNumThreads(2)
src, dst = (cv2.imread(name) for name in sys.argv[1:3])
mask = cv2.imread(sys.argv[3], cv2.IMREAD_GRAYSCALE)
x, y, w, h = cv2.boundingRect(mask)
result = cv2.seamlessClone(src, dst, mask, (x + w // 2, y + h // 2), cv2.NORMAL_CLONE)
cv2.imwrite(sys.argv[4], result, [cv2.IMWRITE_JPEG_QUALITY, 95])
"""


class Process:
    """A command that is run repeatedly, each time in a new process."""

    def __init__(self, *command: str | Path) -> None:
        self.command = [sys.executable, "-c", MEASURE, sys.executable, *map(str, command)]
        self.timing = Timing()
        self.peak = 0.0

    def run(self) -> None:
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        process = subprocess.run(self.command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
        measured = json.loads(process.stdout)
        assert measured["code"] == 0, process.stderr
        self.timing.wall.append(measured["wall"])
        self.timing.cpu.append(measured["cpu"])
        self.peak = max(self.peak, measured["peak"])


def run_in_turn(benchmark: Any, ours: Process, others: list[Process], rounds: int) -> None:
    """Runs one warm-up round, which loads files into the cache, and then `rounds`."""

    def before() -> None:
        for other in others:
            other.run()

    benchmark.pedantic(ours.run, setup=before, rounds=rounds, iterations=1, warmup_rounds=1)
    for process in (ours, *others):
        del process.timing.wall[0], process.timing.cpu[0]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


def files(folder: Path, width: int, height: int) -> tuple[Path, Path, Path]:
    """Returns two photographs as JPEG and a mask over 40 % as PNG."""
    from PIL import Image

    paths = tuple(folder / f"{name}_{width}.{kind}" for name, kind in (("src", "jpg"), ("dst", "jpg"), ("mask", "png")))
    if not paths[0].exists():
        for path, name in zip(paths, ("coffee", "astronaut"), strict=False):
            Image.fromarray(problems.photograph(name, height, width)).save(path, quality=92)
        Image.fromarray(problems.blob(height, width)).convert("L").save(paths[2])
    return paths[0], paths[1], paths[2]


@pytest.mark.parametrize("mode", ["poisson", "gaussian-poisson"])
@pytest.mark.parametrize("size", SIZES)
def bench_file_to_file(benchmark: Any, ledger: Ledger, folder: Path, size: str, mode: str) -> None:
    width, height, seconds = SIZES[size]
    src, dst, mask = files(folder, width, height)
    arguments = ("--mode", mode, "--threads", THREADS, "--overwrite", "--quiet")
    ours = Process("-m", "pyharmony", "blend", src, dst, mask, "-o", folder / "out.jpg", *arguments)
    others = {}
    # At 50 megapixels it takes half a minute and more.
    if mode == "poisson" and width < 8000 and ledger.available(peers.SEAMLESS_CLONE):
        others["cv2.seamlessClone"] = Process("-c", SEAMLESS_CLONE, src, dst, mask, folder / "cv2.jpg")
    run_in_turn(benchmark, ours, list(others.values()), rounds=5 if width < 8000 else 3)

    group = "command line, JPEG to JPEG, cold process, blob of 40 %"
    ledger.add(
        group, size, f"pyharmony blend --mode {mode}", ours.timing, version=OURS,
        note=f"{ours.peak / 1e9:.2f} GB at its peak",
    )  # fmt: skip
    for name, other in others.items():
        ledger.add(
            group, size, f"a script with {name}", other.timing, version=str(peers.SEAMLESS_CLONE.version),
            against=ours.timing, note=f"{other.peak / 1e9:.2f} GB at its peak; imread and imwrite",
        )  # fmt: skip
        if width < 4000:
            faster = ratio(other.timing, ours.timing, "cpu")
            ledger.target(f"pyharmony blend, {size}, v. a script with {name}", faster, 1.0, None, "x")
    wall = ours.timing.summary()["wall_ms"] / 1e3
    ledger.target(f"pyharmony blend --mode {mode}, {size}", wall, seconds, None, "s", higher_is_better=False)
    if size.startswith("50"):
        ledger.target(
            f"pyharmony blend --mode {mode}, {size}, peak memory", ours.peak / 1e9, PEAK_GB, None, "GB",
            higher_is_better=False,
        )  # fmt: skip


def bench_help(benchmark: Any, ledger: Ledger) -> None:
    ours = Process("-m", "pyharmony", "--help")
    run_in_turn(benchmark, ours, [], rounds=9)
    ledger.add("command line, cold process", "--help", "pyharmony --help", ours.timing, version=OURS)
    wall = ours.timing.summary()["wall_ms"] / 1e3
    ledger.target("pyharmony --help", wall, 0.3, 0.12, "s", higher_is_better=False)


def bench_version(benchmark: Any, ledger: Ledger) -> None:
    ours, numpy = Process("-m", "pyharmony", "--version"), Process("-c", "import numpy")
    run_in_turn(benchmark, ours, [numpy], rounds=9)
    ledger.add("command line, cold process", "--version", "pyharmony --version", ours.timing, version=OURS)
    ledger.add(
        "command line, cold process", "--version", "Python, importing NumPy", numpy.timing, version=np.__version__,
        against=ours.timing,
    )  # fmt: skip
    beyond = statistics.median(a - b for a, b in zip(ours.timing.cpu, numpy.timing.cpu, strict=True))
    ledger.target("pyharmony --version beyond importing NumPy", beyond, 0.1, None, "s", higher_is_better=False)
