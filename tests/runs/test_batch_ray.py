"""The engine of Ray, on a cluster of this machine whose actors are killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from .. import durability
from ..shared import need

need("ray")

pytestmark = [pytest.mark.house, pytest.mark.slow]

#: Ray keeps state in a process: each test has one of its own.
SCRIPT = """
import json, os, signal, sys, threading, time
from pathlib import Path
from pyharmony import batch
from tests.runs.test_batch_ray import actors

source, output, jobs, kills = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
killed = []

def kill():
    while len(killed) < kills:
        time.sleep(0.2)
        # Once it has begun to write, and one that was not killed before.
        living = [pid for pid in actors() if pid not in killed]
        if living and any(Path(output).rglob("*.png")):
            os.kill(living[0], signal.SIGKILL)
            killed.append(living[0])

threading.Thread(target=kill, daemon=True).start()
report = batch.run("harmonize", source, output, options={"method": "reinhard"}, jobs=jobs, engine="ray")
answer = {"counts": report.counts, "killed": len(killed), "results": str(report.results)}
Path(output, "answer.json").write_text(json.dumps(answer))  # Ray writes to stdout too
"""


def actors() -> list[int]:
    """Returns the processes of the actors of this process's cluster."""
    pids = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if name.startswith("ray::") and "Operator" in name:
            pids.append(int(folder.name))
    return pids


@pytest.mark.parametrize(("jobs", "kills"), [(2, 1), (1, 1)])
def test_an_actor_that_is_killed_loses_nothing(jobs: int, kills: int, tmp_path: Path) -> None:
    count = 100
    wrong = durability.make(tmp_path / "in", count, 0.05, seed=4)
    before = durability.digests(tmp_path / "in")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_TMPDIR": "/tmp", "PYTHONPATH": os.getcwd()}  # noqa: S108
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), tmp_path / "in", tmp_path / "out", str(jobs), str(kills)],
        env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr[-3000:]
    answer = json.loads((tmp_path / "out/answer.json").read_text())
    (tmp_path / "out/answer.json").unlink()
    assert answer["killed"] == kills
    assert answer["counts"] == {"pending": 0, "done": count - len(wrong), "failed": len(wrong), "skipped": 0}
    trial = durability.Trial(1, 0, 0, 0, 0.0, 0.0, {})
    trial.rows = {row["name"]: row for row in durability.rows_of(Path(answer["results"]))}
    durability.check(tmp_path, trial, count, wrong)
    assert durability.digests(tmp_path / "in") == before
