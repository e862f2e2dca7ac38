"""Worker processes on this machine: each item is computed to an end, even if its worker dies, hangs or grows."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import selectors
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ...errors import RunError
from .._jobs.failures import Code
from ._sources import Item
from ._worker import Order
from .operations import ListSettings, Settings

__all__ = ["Item", "ListSettings", "Order", "Outcome", "Pool", "Settings", "Stopped"]

_log = logging.getLogger("pyharmony.runs.batch")

#: The code of a worker. Modules are imported from this process's paths, not from the current folder.
_CODE = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from pyharmony.runs.batch._worker import main
main()
"""
#: The items that a worker has at a time: one in each of its phases, and one that waits.
_WINDOW = 4
#: A worker gets no further item while the inputs of those that it has are larger, in bytes.
_MAX_PENDING_BYTES = 32_000_000
#: How often a worker may die with the same item alone before the item has failed.
_MAX_DEATHS = 2
#: How often an item is tried with less memory: alone, then in tiles.
_MAX_MEMORY_STEPS = 2
_TICK = 0.05  # the seconds between two looks at times and memory
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
#: The number of workers that may die one after the other without an item, as when none can start.
_MAX_STILLBORN = 3


@dataclass(frozen=True)
class Outcome:
    """The end of an item: its record, or its error."""

    number: int
    record: dict[str, Any]
    is_error: bool


@dataclass
class _Trial:
    """An item in the pool.

    Attributes:
        deaths: how often a worker died, or was killed, while it worked on the item alone.
        alone: whether nothing else may run beside it, so that it is known which item is at fault.
        seconds: the time of its past phases; since: when the current one began.
        is_late: whether its worker is killed because it took too long.
    """

    order: Order
    deaths: int = 0
    alone: bool = False
    seconds: float = 0.0
    since: float | None = None
    is_late: bool = False

    def worked(self, now: float) -> float:
        return self.seconds + (0.0 if self.since is None else now - self.since)


@dataclass(eq=False)
class _Process:
    process: subprocess.Popen[bytes]
    trials: dict[int, _Trial] = field(default_factory=dict)
    ready: bool = False
    buffer: bytes = b""
    why: str = ""
    error: dict[str, Any] | None = None
    heard: float = field(default_factory=time.monotonic)

    @property
    def has_room(self) -> bool:
        return not self.trials or sum(trial.order.bytes for trial in self.trials.values()) < _MAX_PENDING_BYTES

    def send(self, line: str) -> bool:
        assert self.process.stdin is not None  # noqa: S101
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except OSError:  # it died; what it had is tried again when its stdout ends
            return False
        return True

    def kill(self, why: str) -> None:
        self.why = self.why or why
        self.process.kill()

    def memory(self) -> int:
        """Returns the resident memory in bytes; 0 where it cannot be read."""
        try:
            with open(f"/proc/{self.process.pid}/statm", "rb") as file:
                return int(file.read().split()[1]) * _PAGE
        except (OSError, IndexError, ValueError):
            return 0


class Stopped(RunError):
    """The run must end: the disk is full or read-only. Items that were begun are pending again."""


class Pool:
    """Worker processes.

    Args:
        settings: those of the run, with the limits of an item.
        jobs: the number of processes.
    """

    def __init__(self, settings: Settings, jobs: int) -> None:
        self.settings, self.jobs = settings, jobs
        self._processes: list[_Process] = []
        self._selector = selectors.DefaultSelector()
        self._again: deque[_Trial] = deque()
        self._stillborn = 0

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the processes at once."""
        for process in self._processes:
            process.kill("closed")
        for process in list(self._processes):
            self._forget(process)
        self._selector.close()

    def outcomes(self, orders: Iterable[Order]) -> Iterator[Outcome]:
        """Yields the outcome of every item, in the order in which they end; items are taken as they are needed.

        Raises:
            Stopped: the disk is full or read-only.
            RunError: the workers do not start.
        """
        source = iter(orders)
        is_empty = False
        while True:
            while len(self._processes) < self.jobs and not (is_empty and not self._again and not self._running):
                self._start()
            is_empty = self._hand_out(source, is_empty)
            if is_empty and not self._again and not self._running:
                return
            for key, _ in self._selector.select(_TICK):
                yield from self._read(key.data)
            self._check_limits()

    @property
    def _running(self) -> int:
        return sum(len(process.trials) for process in self._processes)

    def _start(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.settings.threads)}
        process = subprocess.Popen(  # noqa: S603  # this Python, with the code above
            [sys.executable, "-c", _CODE, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        worker = _Process(process)
        self._processes.append(worker)
        assert process.stdout is not None  # noqa: S101
        os.set_blocking(process.stdout.fileno(), False)
        self._selector.register(process.stdout, selectors.EVENT_READ, worker)
        is_list = isinstance(self.settings, ListSettings)
        worker.send(json.dumps([is_list, dataclasses.asdict(self.settings)]))

    def _hand_out(self, source: Iterator[Order], is_empty: bool) -> bool:
        """Gives items to the workers that have room; returns whether the source is empty."""
        if self._again and self._again[0].alone:
            idle = next((one for one in self._processes if one.ready), None)
            if self._running == 0 and idle is not None:
                self._give(idle, self._again.popleft())
            return is_empty
        if any(trial.alone for one in self._processes for trial in one.trials.values()):
            return is_empty
        # Evenly: no worker has two items where another has none, or has not started.
        window = _WINDOW if all(process.ready for process in self._processes) else 1
        for count in range(window):
            for process in self._processes:
                if process.ready and not process.why and len(process.trials) == count and process.has_room:
                    if self._again:
                        if self._again[0].alone:
                            return is_empty
                        self._give(process, self._again.popleft())
                        continue
                    order = None if is_empty else next(source, None)
                    if order is None:
                        return True
                    self._give(process, _Trial(order))
        return is_empty

    def _give(self, process: _Process, trial: _Trial) -> None:
        process.trials[trial.order.number] = trial
        trial.seconds, trial.since, process.heard = 0.0, None, time.monotonic()
        process.send(trial.order.to_json())

    def _read(self, process: _Process) -> Iterator[Outcome]:
        """Handles what a worker has written."""
        assert process.process.stdout is not None  # noqa: S101
        try:
            data = process.process.stdout.read(1 << 16)
        except BlockingIOError:
            return
        if data is None:
            return
        if not data:
            yield from self._died(process)
            return
        process.heard = time.monotonic()
        *lines, process.buffer = (process.buffer + data).split(b"\n")
        for line in lines:
            yield from self._handle(process, json.loads(line))

    def _handle(self, process: _Process, message: dict[str, Any]) -> Iterator[Outcome]:
        number = message["number"]
        if number < 0:
            process.ready = message.get("phase") == "ready"
            process.error = message.get("error")
            return
        self._stillborn = 0
        if "phase" in message:
            trial, now = process.trials[number], time.monotonic()
            trial.seconds = trial.worked(now)
            trial.since = now if message["phase"] else None
            return
        trial = process.trials.pop(number)
        if message.get("memory"):
            process.kill("closed")  # it may hold what was allocated; what else it has is tried again
        if message.get("stops"):
            raise Stopped(message["error"]["message"], Code.RESOURCES, "disk", "disk-full")
        if message.get("memory") and trial.order.step < _MAX_MEMORY_STEPS:
            self._retry(trial, with_less_memory=True)
        elif "error" in message:
            yield Outcome(number, message["error"], True)
        else:
            if trial.order.step:
                message["record"]["tried"] = trial.order.step + 1
            yield Outcome(number, message["record"], False)

    def _retry(self, trial: _Trial, *, with_less_memory: bool = False) -> None:
        trial.alone = True
        trial.order = dataclasses.replace(trial.order, step=trial.order.step + with_less_memory)
        self._again.append(trial)

    def _died(self, process: _Process) -> Iterator[Outcome]:
        """Handles the end of a worker: what it worked on is tried again alone, what waited is tried again."""
        code = process.process.wait()
        trials, why = list(process.trials.values()), process.why
        self._forget(process)
        if not trials and why != "closed":
            self._stillborn += 1
            if self._stillborn >= _MAX_STILLBORN * self.jobs:
                error = process.error or {"message": f"exit status {code}"}
                what = f"more than {self.settings.max_memory:,} bytes" if why == "memory" else error["message"]
                raise RunError(f"the workers do not start: {what}", Code.UNEXPECTED, "workers")
        for trial in trials:
            order = trial.order
            if why == "time" and trial.is_late:
                message = f"{order.item.name}: took longer than {self.settings.time_limit:g} s"
                yield Outcome(order.number, {"kind": "timeout", "message": message, "exit_code": Code.RESOURCES}, True)
            elif why in ("time", "closed") + ("",) * (trial.since is None) and not trial.alone:
                self._again.appendleft(trial)
            elif why == "memory" and (trial.alone or len(trials) == 1):
                if order.step < _MAX_MEMORY_STEPS:
                    self._retry(trial, with_less_memory=True)
                else:
                    text = f"{order.item.name}: needs more than {self.settings.max_memory or 0:,} bytes of memory"
                    error = {"kind": "out_of_memory", "message": text, "exit_code": Code.RESOURCES}
                    yield Outcome(order.number, error, True)
            else:
                trial.deaths += trial.alone
                _log.info("%s: its worker ended with status %d", order.item.name, code)
                if trial.deaths < _MAX_DEATHS:
                    self._retry(trial)
                else:
                    text = f"{order.item.name}: its worker process died {trial.deaths + 1} times, status {code}"
                    error = {"kind": "worker_died", "message": text, "exit_code": Code.UNEXPECTED}
                    yield Outcome(order.number, error, True)

    def _check_limits(self) -> None:
        """Kills workers whose item takes too long, or which grow too large."""
        limit, most = self.settings.time_limit, self.settings.max_memory
        now = time.monotonic()
        for process in self._processes:
            late = max(process.trials.values(), key=lambda trial: trial.worked(now), default=None)
            if limit is not None and late is not None and max(late.worked(now), now - process.heard) > limit:
                # A process that is silent, as when it is stopped, may not have begun with an item.
                late.is_late = late.worked(now) > limit
                process.kill("time" if late.is_late else "silent")
            elif most is not None and process.memory() > most:
                process.kill("memory")

    def _forget(self, process: _Process) -> None:
        for stream in (process.process.stdin, process.process.stdout):
            assert stream is not None  # noqa: S101
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(stream)
            with contextlib.suppress(OSError):
                stream.close()
        process.process.wait()
        self._processes.remove(process)
