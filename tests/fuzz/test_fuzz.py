"""Hostile inputs of every kind: each is accepted or refused by an error of ours, soon and in little memory.

`make fuzz` runs a million; here a few of each target, and the engine itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from tests.shared import need

need("cv2", "tifffile", "imagecodecs", "google_crc32c", "fastapi")

from tests.fuzz import engine, targets
from tests.fuzz.targets import TARGETS, Target

pytestmark = pytest.mark.house

#: The inputs of a target in a short run; of images more, as there are many formats.
SHORT_RUNS = dict.fromkeys(TARGETS, 300) | {"images": 2000, "layers": 700, "recipes": 100}


def checked(name: str, inputs: int, seed: int, folder: Path) -> engine.Outcome:
    with engine.cleaned():
        outcome = engine.run(name, inputs, seed=seed, out=folder)
    assert not outcome.failures, outcome.failures[:5]
    return outcome


@pytest.mark.parametrize("name", TARGETS)
def test_hostile_inputs(name: str, tmp_path: Path) -> None:
    outcome = checked(name, SHORT_RUNS[name], 1, tmp_path)
    assert outcome.inputs == SHORT_RUNS[name]
    # Both ways are taken: some changes harm nothing, others harm the file.
    assert outcome.accepted > outcome.inputs / 50
    if name != "bodies":  # a body's error is caught, since several operations take it
        assert outcome.refused > outcome.inputs / 50


def test_seeds_are_small_and_made_by_code() -> None:
    with engine.cleaned():
        sizes = {name: sum(map(len, target.seeds())) for name, target in TARGETS.items() if name != "images"}
    assert sum(sizes.values()) < 200_000, sizes


def test_inputs_that_once_went_wrong() -> None:
    """They are refused, or taken, but for errors of another kind."""
    surrogate = '{"src": "a.png", "dst": "b.png", "mask": "c.png", "name": "\\ud800"}'
    huge = '{"src": "a.png", "dst": "b.png", "mask": "c.png", "tolerance": 1' + "0" * 400 + "}"
    recipe = '{"schema": "pyharmony.recipe/1", "a": ' + "[" * 100_000
    inputs = {"tables": [f"j{surrogate}", f"j{huge}"], "recipes": [recipe]}
    with engine.cleaned():
        for name, texts in inputs.items():
            for text in texts:
                with contextlib.suppress(*targets.accepted_errors()):
                    TARGETS[name].call(text.encode())


def test_an_input_follows_from_its_number() -> None:
    target = TARGETS["tars"]
    with engine.cleaned():
        seeds = target.seeds()
        for index in (0, 3, 1000):
            assert engine.input_of(target, seeds, 5, index) == engine.input_of(target, seeds, 5, index)
        assert engine.input_of(target, seeds, 5, 1000) != engine.input_of(target, seeds, 6, 1000)


def wrong(data: bytes) -> None:
    kind = data[0] % 6
    if kind == 1:
        raise KeyError("an error of another kind")
    if kind == 2:
        os.kill(os.getpid(), signal.SIGSEGV)
    if kind == 3:
        np.ones(1 << 28)  # 2 GB
    if kind == 4:
        while True:
            pass
    if kind == 5:
        raise FileNotFoundError("refused")


def test_the_engine_tells_crashes_errors_memory_and_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seeds = [bytes([kind]) for kind in range(6)]
    target = Target("wrong", lambda: seeds, wrong, lambda data, *_: data, seconds=0.2, megabytes=200)
    monkeypatch.setitem(targets.TARGETS, "wrong", target)
    outcome = engine.run("wrong", 6, out=tmp_path)
    errors = {failure["index"]: failure["error"] for failure in outcome.failures}
    assert sorted(errors) == [1, 2, 3, 4]
    assert errors[1].startswith("KeyError")
    assert errors[2] == f"the process ended with {-signal.SIGSEGV}"
    assert "MemoryError" in errors[3]
    assert errors[4].startswith("TimeOut")
    assert (outcome.accepted, outcome.refused) == (1, 1)
    assert (tmp_path / "wrong-0-2.bin").read_bytes() == b"\2"


def test_a_process_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(data: bytes) -> None:
        if data == b"b":
            time.sleep(60)  # takes no CPU time

    seeds = [b"a", b"b", b"c"]
    target = Target("hang", lambda: seeds, hang, lambda data, *_: data, seconds=0.05)
    monkeypatch.setitem(targets.TARGETS, "hang", target)
    outcome = engine.run("hang", 3)
    assert [failure["index"] for failure in outcome.failures] == [1]
    assert "hung" in outcome.failures[0]["error"]
    assert outcome.accepted == 2
