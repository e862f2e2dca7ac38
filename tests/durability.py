"""A run of many images whose processes are killed, whose disk becomes full, and some of whose files are damaged.

`python -m tests.durability 5000 30` takes the size of the issue; tests/runs/test_batch.py a smaller one.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE = (96, 72)
#: What may be wrong with a picture or its mask.
DAMAGES = ("truncated", "empty", "text", "no mask", "label map", "floor", "another size")


@dataclass
class Trial:
    """The events of a run, and its results."""

    runs: int
    killed_parents: int
    killed_workers: int
    full_disks: int
    seconds: float
    again_seconds: float
    rows: dict[str, dict[str, str]]


def make(folder: Path, count: int, damaged: float, seed: int) -> dict[str, str]:
    """Writes pictures and masks, and returns the names of the damaged ones with what is wrong with them."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    wrong: dict[str, str] = {}
    width, height = SIZE
    for number in range(count):
        name = f"{number % 7}/{number:05}.png" if number % 3 else f"{number:05}.png"
        image, mask = folder / "images" / name, folder / "masks" / name
        image.parent.mkdir(exist_ok=True)
        mask.parent.mkdir(exist_ok=True)
        pixels = rng.integers(40, 200, (height // 8, width // 8, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
        pixels[0, :16] = np.array([255 * (number >> bit & 1) for bit in range(16)], np.uint8)[:, None]
        inside = np.zeros((height, width), np.uint8)
        inside[24:60, 20 : 40 + number % 40] = 255
        pixels[inside > 0] = pixels[inside > 0] // 2
        damage = ""
        if number >= count - round(damaged * count):  # these are shuffled among the others by their names
            damage = DAMAGES[number % len(DAMAGES)]
            wrong[name] = damage
        if damage == "label map":
            inside //= 85
        elif damage == "floor":
            inside[inside == 0] = 3
        elif damage == "another size":
            inside = inside[:40]
        Image.fromarray(pixels).save(image)
        if damage != "no mask":
            Image.fromarray(inside).save(mask)
        if damage == "truncated":
            image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])
        elif damage in ("empty", "text"):
            image.write_bytes(b"" if damage == "empty" else b"not an image")
    return wrong


def number_of(pixels: np.ndarray) -> int:
    """Returns the number that `make` has drawn into a picture."""
    return sum(int(pixels[0, bit, 0] > 127) << bit for bit in range(16))


def digests(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        str(path.relative_to(folder)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*")) if path.is_file()
    }  # fmt: skip


def preload(folder: Path) -> Path:
    """Compiles the library that makes a disk full."""
    library = folder / "full_disk.so"
    source = Path(__file__).parent / "native" / "full_disk.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


def children_of(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in text.split()]


def torture(
    folder: Path,
    count: int,
    kills: int,
    *,
    full: int,
    seed: int,
    pause: tuple[float, float],
    more: Sequence[str] = (),
) -> Trial:
    """Runs `pyharmony batch harmonize` to its end through kills and full disks, and once again."""
    rng = random.Random(seed)  # noqa: S311
    source, output, flag = folder / "in", folder / "out", folder / "full"
    environment = {
        **os.environ, "LD_PRELOAD": str(preload(folder)), "FULL_DISK_FLAG": str(flag), "FULL_DISK_FOLDER": str(output),
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    command = [sys.executable, "-m", "pyharmony", "batch", "harmonize", str(source), "-o", str(output)]
    command += ["--method", "reinhard", "--jobs", "2", "--time-limit", "60", "--json", *more]
    trial = Trial(0, 0, 0, 0, 0.0, 0.0, {})
    events = ["parent"] * (kills // 2) + ["worker"] * (kills - kills // 2) + ["full"] * full
    rng.shuffle(events)
    start = time.monotonic()
    while True:
        trial.runs += 1
        again = ["--resume"] if (output / ".pyharmony-batch").is_dir() and trial.runs > 1 else []
        log = open(folder / "log", "wb")  # noqa: SIM115
        process = subprocess.Popen([*command, *again], env=environment, stdout=subprocess.PIPE, stderr=log)
        while process.poll() is None and events:
            time.sleep(rng.uniform(*pause))
            workers = children_of(process.pid)
            if process.poll() is not None or not workers:
                continue
            event = events[-1]
            if event == "worker":
                os.kill(rng.choice(workers), signal.SIGKILL)
                trial.killed_workers += 1
            elif event == "parent":
                process.kill()
                process.wait()
                trial.killed_parents += 1
            else:
                flag.touch()
                process.wait(60)
                flag.unlink()
                trial.full_disks += 1
            events.pop()
        answer = process.communicate()[0]
        log.close()
        if process.returncode == 5 and not events:
            break
        if process.returncode == 5:
            raise AssertionError(f"the run ended before {len(events)} of its events: {answer.decode()[:2000]}")
        if process.returncode not in (-9, 4):
            raise AssertionError(f"exit code {process.returncode}: {(folder / 'log').read_text()[-2000:]}")
    trial.seconds = time.monotonic() - start
    start = time.monotonic()
    completed = subprocess.run([*command, "--resume"], env=environment, capture_output=True)
    trial.again_seconds = time.monotonic() - start
    assert completed.returncode == 5, completed.stderr.decode()[-2000:]
    results = Path(json.loads(completed.stdout)["results"])
    for row in rows_of(results):
        assert row["name"] not in trial.rows, row["name"]
        trial.rows[row["name"]] = row
    return trial


def run_once(folder: Path, output: Path, kill_at: int, *more: str) -> tuple[int, int, str]:
    """Runs a batch whose parent is killed before a write to its output, 0 for none.

    Returns its exit code, the number of its writes if it was not killed, and what it reports.
    """
    count_file = folder / "count"
    environment = {
        **os.environ, "LD_PRELOAD": str(folder / "full_disk.so"), "FULL_DISK_FOLDER": str(output),
        "KILL_AT": str(kill_at), "KILL_COUNT": str(count_file), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    command = [sys.executable, "-m", "pyharmony", "batch", "harmonize", str(folder / "in"), "-o", str(output)]
    command += ["--method", "reinhard", "--jobs", "1", "--json", "--results", f"{output}.csv", *more]
    process = subprocess.run(command, env=environment, capture_output=True, text=True)
    return (
        process.returncode,
        int(count_file.read_text()) if count_file.exists() else 0,
        process.stdout + process.stderr,
    )


def rows_of(results: Path) -> list[dict[str, Any]]:
    if results.suffix == ".csv":
        with open(results, encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    import pyarrow.parquet

    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(results).to_pylist()
    return rows


def check(folder: Path, trial: Trial, count: int, wrong: dict[str, str], output: Path | None = None) -> None:
    """Raises unless every picture is there once, as a whole output of its own or as an error."""
    output = output or folder / "out"
    rows = trial.rows
    assert len(rows) == count
    assert {name for name, row in rows.items() if row["status"] == "failed"} == set(wrong)
    assert {row["status"] for name, row in rows.items() if name not in wrong} == {"done"}
    outs = [row["output"] for row in rows.values() if row["status"] == "done"]
    assert len(set(outs)) == len(outs) == count - len(wrong)
    files = {str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()}
    files -= {name for name in files if name.startswith((".pyharmony-batch/", "results.", "errors.jsonl"))}
    assert files == set(outs), files ^ set(outs)
    for name, row in rows.items():
        if row["status"] != "done":
            assert row["error"] and row["message"], row
            continue
        data = (output / row["output"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == row["sha256"] and len(data) == int(row["bytes"]), name
        with Image.open(output / row["output"]) as picture:
            assert number_of(np.asarray(picture)) == int(Path(name).stem), name
    errors = [json.loads(line) for line in (output / "errors.jsonl").read_text().splitlines()]
    assert {error["name"] for error in errors} == set(wrong)


def check_shards(folder: Path, trial: Trial, count: int, wrong: dict[str, str], size: int) -> None:
    """Raises unless every picture is there once, in the shard that the results name, or as an error."""
    output, rows = folder / "out", trial.rows
    assert len(rows) == count and {name for name, row in rows.items() if row["status"] == "failed"} == set(wrong)
    shards = sorted(output.glob("*.tar"))
    assert [int(shard.stem) for shard in shards] == list(range(-(-(count - len(wrong)) // size)))
    names: list[str] = []
    for shard in shards:
        with tarfile.open(shard) as archive:
            files = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
        assert len(files) == 2 * size or shard == shards[-1]
        for key in (name for name in files if name.endswith(".json")):
            name = json.loads(files[key])["name"]
            data = files[f"{Path(key).stem}.png"]
            names.append(name)
            assert hashlib.sha256(data).hexdigest() == rows[name]["sha256"] and int(rows[name]["shard"]) == int(
                shard.stem
            )
            with Image.open(io.BytesIO(data)) as picture:
                assert number_of(np.asarray(picture)) == int(Path(name).stem), name
    assert len(set(names)) == len(names) == count - len(wrong)
    assert not list(output.rglob("*.png")) and not list(output.rglob("*.part"))


def main() -> None:
    count, kills = int(sys.argv[1]), int(sys.argv[2])
    folder = Path(tempfile.mkdtemp())
    try:
        wrong = make(folder / "in", count, 0.05, 1)
        before = digests(folder / "in")
        trial = torture(folder, count, kills, full=2, seed=1, pause=(0.3, 1.5))
        check(folder, trial, count, wrong)
        assert digests(folder / "in") == before
        print(
            f"{count:,} pictures, {trial.killed_parents} parents and {trial.killed_workers} workers killed, "
            f"{trial.full_disks} full disks, {trial.runs} runs, {trial.seconds:.0f} s; {len(wrong)} failed; "
            f"again in {trial.again_seconds:.1f} s"
        )
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
