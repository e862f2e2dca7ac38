"""A worker process: it reads items as lines of JSON from stdin, and writes their progress and records to stdout.

Three threads decode the next item, compute this one, and encode the last one. A worker ends when its stdin is closed,
whatever it is doing: its parent is gone, and a later run may have begun.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from .._jobs.failures import Code, as_failure, causes, finite, record_of
from .._jobs.runner import Work
from ._folder import STOPPING, Mark
from ._sources import Item
from .operations import ListOperation, ListSettings, Operation, Settings, operation_of

#: The kinds of errors after which an item is tried with less memory.
_MEMORY = ("OutOfMemory", "MemoryError", "OutOfMemoryError", "DeviceMemoryError")

_log = logging.getLogger("pyharmony.runs.batch")


@dataclasses.dataclass(frozen=True)
class Order:
    """An item for a worker.

    Attributes:
        replaces: whether any file at its output may be replaced; else only one of this run.
        bytes: the size of its inputs.
        step: how often it has been tried with less memory.
        files: the files at its output that the run has written.
    """

    number: int
    item: Item
    replaces: bool
    bytes: int = 0
    step: int = 0
    files: Sequence[Mark] = ()

    @classmethod
    def of_json(cls, text: str) -> Order:
        values = json.loads(text)
        files = tuple(Mark(*file) for file in values["files"])
        return cls(**{**values, "item": Item(**values["item"]), "files": files})

    def to_json(self) -> str:
        return json.dumps({**vars(self), "item": vars(self.item)})


def _stops(error: BaseException) -> bool:
    """Returns whether an error, or one of its causes, is that of a full or read-only disk."""
    return any(isinstance(one, OSError) and one.errno in STOPPING for one in causes(error))


def _or_end(work: Callable[[], None]) -> None:
    """Calls a function; an error in it ends the process, whose items would wait for ever."""
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(int(Code.UNEXPECTED))


class _Pipeline:
    """The three threads of a worker."""

    def __init__(self, operation: Operation | ListOperation, send: Callable[[dict[str, Any]], None]) -> None:
        self.operation, self.send = operation, send
        self.orders: queue.Queue[Order] = queue.Queue()
        self._decoded: queue.Queue[tuple[Order, Work]] = queue.Queue(1)
        self._computed: queue.Queue[tuple[Order, Work]] = queue.Queue(1)

    def run(self) -> None:
        for step in (self._decode, self._encode):
            threading.Thread(target=_or_end, args=(step,), daemon=True).start()
        while True:
            order, work = self._decoded.get()
            if self._done(order, "compute", self.operation.compute, order, work) is not None:
                self._computed.put((order, work))

    def _decode(self) -> None:
        while True:
            order = self.orders.get()
            work = self._done(order, "decode", self.operation.decode, order)
            if work is not None:
                self._decoded.put((order, work[0]))

    def _encode(self) -> None:
        while True:
            order, work = self._computed.get()
            record = self._done(order, "encode", self.operation.encode, order, work)
            if record is not None:
                self.send({"number": order.number, "record": finite(record[0])})

    def _done(self, order: Order, phase: str, call: Callable[..., Any], *arguments: Any) -> tuple[Any] | None:
        """Returns the result of a phase, or None after an error, which is sent."""
        self.send({"number": order.number, "phase": phase})
        try:
            result = (call(*arguments),)
        except Exception as error:
            _log.debug("%s: %s", order.item.name, phase, exc_info=error)
            self.send({
                "number": order.number, "error": finite(record_of(as_failure(error))), "stops": _stops(error),
                "memory": as_failure(error).kind in _MEMORY,
            })  # fmt: skip
            return None
        if phase != "encode":  # its record follows
            self.send({"number": order.number, "phase": ""})
        return result


def main() -> None:
    """Runs a worker."""
    # The terminal sends Ctrl-C to all processes; the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # nothing else may write there
    lines = iter(sys.stdin)
    is_list, values = json.loads(next(lines))
    settings = ListSettings(**values) if is_list else Settings(**values)
    writing = threading.Lock()

    def send(message: dict[str, Any]) -> None:
        with writing:
            try:
                results.write(json.dumps(message) + "\n")
                results.flush()
            except BrokenPipeError:  # the parent has ended
                os._exit(0)

    try:
        operation = operation_of(settings)
    except Exception as error:
        send({"number": -1, "error": record_of(as_failure(error))})
        sys.exit(int(Code.UNEXPECTED))
    pipeline = _Pipeline(operation, send)
    send({"number": -1, "phase": "ready"})

    def read() -> None:
        for line in lines:
            pipeline.orders.put(Order.of_json(line))
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    pipeline.run()
