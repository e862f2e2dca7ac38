"""Measures runs of many images: processes, engines, and a loop over a folder.

    python benchmarks/batch.py run      # a quarter of an hour on two cores, which should be idle
    python benchmarks/batch.py report   # the table, into docs/many-pictures.md

Pictures of 2 megapixels, JPEG to JPEG, of the photographs that come with pyharmony. The ways take turns; a way's rate
is that of its best round, with the start of processes, and without that of a cluster.
"""

from __future__ import annotations

import importlib.util
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from records import Record, commands_of
from tables import write_json

from pyharmony import set_num_threads
from pyharmony.cli._pictures import blob, photograph
from pyharmony.runs import batch

RECORD = Record("batch", "many-pictures.md")
SIZE = (1224, 1632)
COUNT, ROUNDS = 240, 2
#: What others are compared with; a process alone uses some of another core, to decode and encode.
ONE_CORE = "1 process, on one core"


def make(folder: Path) -> None:
    """Writes photographs with a recoloured object each, and masks."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    height, width = SIZE
    inside = np.zeros(SIZE, np.bool_)
    inside[height // 4 : height * 3 // 4, width // 4 : width * 3 // 4] = blob(height // 2, width // 2)
    Image.fromarray(np.where(inside, np.uint8(255), np.uint8(0))).save(folder / "masks/0.png")
    photos = [photograph(name, height, width) for name in ("coffee", "astronaut")]
    rng = np.random.default_rng(0)
    for number in range(COUNT):
        pixels = np.roll(photos[number % 2], rng.integers(0, width), 1)
        factors = rng.uniform(0.6, 1.2, 3)
        pixels[inside] = np.clip(pixels[inside] * factors, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"images/{number:04}.jpg", quality=90)
        if number:
            os.link(folder / "masks/0.png", folder / f"masks/{number:04}.png")
    os.rename(folder / "masks/0.png", folder / "masks/0000.png")


#: The largest relative errors of the time left, from a twentieth to half of a run.
estimate_errors: list[float] = []


def ways(source: Path) -> dict[str, Callable[[Path], None]]:
    def local(jobs: int) -> Callable[[Path], None]:
        def run(output: Path) -> None:
            steps: list[tuple[float, batch.Progress]] = []
            check(
                batch.run(
                    "harmonize", source, output, jobs=jobs,
                    progress=lambda now: steps.append((time.perf_counter(), now)),
                )
            )  # fmt: skip
            end = steps[-1][0]
            early = [(end - at, now.seconds_left) for at, now in steps if COUNT / 20 <= now.done <= COUNT / 2]
            estimate_errors.append(max(abs(left - actual) / actual for actual, left in early))

        return run

    def on_one_core(output: Path) -> None:
        """Runs one process, whose threads share a core."""
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(cores)})
        try:
            local(1)(output)
        finally:
            os.sched_setaffinity(0, cores)

    def ray(output: Path) -> None:
        check(batch.run("harmonize", source, output, jobs=2, engine="ray"))

    def loop(output: Path) -> None:
        command = [
            sys.executable,
            "-m",
            "pyharmony",
            "harmonize",
            str(source),
            "-o",
            str(output),
            "--threads",
            "1",
            "-q",
        ]
        subprocess.run(command, check=True)

    every = {
        ONE_CORE: on_one_core,
        "1 process": local(1),
        "2 processes": local(2),
        "`pyharmony harmonize FOLDER`": loop,
    }
    if importlib.util.find_spec("ray"):
        every["Ray, 2 actors"] = ray
    return every


def check(report: batch.Report) -> None:
    if report.counts["done"] != COUNT:
        raise SystemExit(f"{report.counts}: {report.errors[:3]}")


def cpu() -> float:
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in usage)


def run() -> None:
    set_num_threads(1)
    seconds: dict[str, list[float]] = {}
    cpu_seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder / "in")
        for number in range(ROUNDS):
            for way, call in ways(folder / "in").items():
                output = folder / "out"
                if "Ray" in way:
                    start_cluster()
                start, before = time.perf_counter(), cpu()
                call(output)
                seconds.setdefault(way, []).append(time.perf_counter() - start)
                cpu_seconds.setdefault(way, []).append(cpu() - before)
                print(f"round {number + 1}, {way}: {COUNT / seconds[way][-1]:.1f} pictures a second", flush=True)
                shutil.rmtree(output)
    result = {"count": COUNT, "cores": os.cpu_count(), "seconds": seconds, "cpu_seconds": cpu_seconds}
    result["estimate_errors"] = estimate_errors
    write_json(RECORD.path, result)


def start_cluster() -> None:
    import ray

    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False)


def report() -> None:
    result: dict[str, Any] = RECORD.read()
    count, best = result["count"], {way: min(every) for way, every in result["seconds"].items()}
    lines = [
        f"`pyharmony batch harmonize` of {count} pictures of 2 megapixels, JPEG to JPEG, one thread a process, on "
        f"{result['cores']} cores; the best of {ROUNDS} rounds, with the start of the processes, without that of Ray's "
        "cluster:",
        "",
        "| | pictures a second | times one process on one core |",
        "|---|---|---|",
    ]
    for way, seconds in best.items():
        lines.append(f"| {way} | {count / seconds:.1f} | {best[ONE_CORE] / seconds:.2f} |")
    lines.append("")
    lines.append(
        "Between a twentieth and half of a run the time left was wrong by at most "
        f"{max(result['estimate_errors']):.0%}."
    )
    RECORD.tell("\n".join(lines))


def main() -> None:
    parser, commands = commands_of(__doc__)
    commands.add_parser("run")
    commands.add_parser("report")
    {"run": run, "report": report}[parser.parse_args().command]()


if __name__ == "__main__":
    main()
