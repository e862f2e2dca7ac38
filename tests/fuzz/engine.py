"""Runs inputs in a process of their own, under limits, and keeps those that go wrong.

Input `index` of a target follows from its number and the seed of the run alone. The process writes the number of the
input at hand into shared memory, so that whoever waits for it knows which input crashed or hung it, and starts the
next process behind it.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import logging
import mmap
import os
import resource
import shutil
import signal
import struct
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz import targets
from tests.fuzz.targets import Target

#: The inputs after which a process is replaced, so that what it keeps does not add up.
_INPUTS_OF_A_PROCESS = 5000
#: The number of the input at hand, and how many were accepted and refused.
_STATE = struct.Struct("<qqq")
_MAX_TRACE = 4000


class TimeOut(BaseException):
    """An input took longer than it may; no handler of the library catches it."""


@dataclass
class Outcome:
    """The counts of a run: inputs that were accepted and refused, and what went wrong, with the files of the inputs."""

    accepted: int = 0
    refused: int = 0
    seconds: float = 0.0
    failures: list[dict[str, Any]] = field(default_factory=list)

    @property
    def inputs(self) -> int:
        return self.accepted + self.refused + len(self.failures)


def input_of(target: Target, seeds: list[bytes], seed: int, index: int) -> bytes:
    """Returns an input; the first ones are the seeds themselves."""
    if index < len(seeds):
        return seeds[index]
    number = int.from_bytes(target.name.encode()[:8], "little")
    rng = np.random.default_rng([seed, number, index])
    return target.mutate(seeds[int(rng.integers(len(seeds)))], seeds, rng)


def run(
    name: str, inputs: int, *, seed: int = 0, first: int = 0, seconds: float | None = None, out: Path | None = None
) -> Outcome:
    """Runs inputs of a target, beginning with number `first`, until there are so many or the seconds are over."""
    target = targets.TARGETS[name]
    seeds = target.seeds()
    outcome, start, index = Outcome(), time.monotonic(), first
    end = None if seconds is None else start + seconds
    state = mmap.mmap(-1, _STATE.size)
    while index < first + inputs and (end is None or time.monotonic() < end):
        last = min(first + inputs, index + _INPUTS_OF_A_PROCESS)
        _STATE.pack_into(state, 0, index, 0, 0)
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            _child(target, seeds, seed, index, last, end, state, writing)
        os.close(writing)
        status, hung = _waited(child, state, target)
        with os.fdopen(reading, "rb") as file:
            output = file.read()
        at, accepted, refused = _STATE.unpack_from(state)
        outcome.accepted += accepted
        outcome.refused += refused
        for line in output.decode(errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                outcome.failures.append(json.loads(line))
        index = at
        if status:
            how = "hung, and was killed" if hung else f"ended with {status}"
            outcome.failures.append({"target": name, "seed": seed, "index": at, "error": f"the process {how}"})
            index = at + 1
    outcome.seconds = time.monotonic() - start
    for failure in outcome.failures:
        _keep(failure, input_of(target, seeds, seed, failure["index"]), out)
    return outcome


def _waited(child: int, state: mmap.mmap, target: Target) -> tuple[int, bool]:
    """Returns the status of a process, after it was killed if an input took far too long."""
    pause, at, since = 0.0005, -1, time.monotonic()
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status), False
        number = _STATE.unpack_from(state)[0]
        if number != at:
            at, since = number, time.monotonic()
        elif time.monotonic() - since > 30 * target.seconds:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return -signal.SIGKILL, True
        time.sleep(pause)
        pause = min(2 * pause, 0.05)


def _keep(failure: dict[str, Any], data: bytes, out: Path | None) -> None:
    if out is None:
        return
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{failure['target']}-{failure['seed']}-{failure['index']}.bin"
    path.write_bytes(data)
    failure["file"] = str(path)
    path.with_suffix(".json").write_text(json.dumps(failure, indent=1))


def _status(key: str) -> int:
    """Returns a figure of this process in kB."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key))


def _child(
    target: Target, seeds: list[bytes], seed: int, index: int, last: int, end: float | None, state: mmap.mmap, pipe: int
) -> None:
    """Runs inputs in this process, and ends it."""
    status = 1
    try:
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        faulthandler.disable()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        errors = targets.accepted_errors()
        # AddressSanitizer reserves terabytes of addresses, which these limits count.
        sanitized = "libasan" in os.environ.get("LD_PRELOAD", "")
        target.call(seeds[0])  # what is imported and kept is not of one input
        before = _status("VmData")
        if not sanitized:
            limit = (before << 10) + (target.megabytes << 20)
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

        def late(*_: object) -> None:
            raise TimeOut

        signal.signal(signal.SIGVTALRM, late)
        accepted = refused = 0
        for number in range(index, last):
            if end is not None and time.monotonic() > end:
                last = number
                break
            _STATE.pack_into(state, 0, number, accepted, refused)
            data = input_of(target, seeds, seed, number)
            try:
                signal.setitimer(signal.ITIMER_VIRTUAL, target.seconds * (8 if sanitized else 1))
                try:
                    target.call(data)
                finally:
                    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
                accepted += 1
            except errors:
                refused += 1
            except BaseException as error:
                text = "".join(traceback.format_exception(error))[-_MAX_TRACE:]
                record = {
                    "target": target.name,
                    "seed": seed,
                    "index": number,
                    "error": f"{type(error).__name__}: {error}"[:300],
                }
                os.write(pipe, json.dumps({**record, "traceback": text}).encode() + b"\n")
        _STATE.pack_into(state, 0, last, accepted, refused)
        status = 0
    except BaseException:
        os.write(2, traceback.format_exc()[-_MAX_TRACE:].encode())
    finally:
        os._exit(status)


@contextlib.contextmanager
def cleaned() -> Iterator[None]:
    """Removes the files of inputs afterwards."""
    try:
        yield
    finally:
        shutil.rmtree(targets.folder(), ignore_errors=True)
        targets.folder.cache_clear()


def part(name: str, inputs: int, first: int, seed: int, seconds: float | None, out: Path) -> dict[str, Any]:
    """Runs a part of a target's inputs in a process of its own; returns the outcome with the name."""
    with cleaned():
        outcome = run(name, inputs, seed=seed, first=first, seconds=seconds, out=out)
    return {"target": name, **vars(outcome)}
