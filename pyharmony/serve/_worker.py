"""A worker: a process that reads jobs from its stdin and reports on its stdout, in JSON, a message per line.

The service kills it to end a job. It decodes untrusted images and has no connection to a client.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import json
import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from .. import _native, _shipped, get_device
from ..errors import RunError
from ..runs._jobs.failures import Code, as_failure, finite, record_of
from ._confinement import gpu_files
from ._desk import Desk, Memory, without_paths
from ._history import History
from ._operations import operation_of
from ._text import MAX_ANSWER, limited_message
from ._tree import DISK_FULL, Sizes, Tree, is_full

#: The largest number of characters of a record for the log.
_LOGGED = 20_000


class Channel:
    """The channel to the service."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._lock = stream, threading.Lock()

    def send(self, event: str, **fields: Any) -> None:
        """Sends a message; RunError: it is too long for the service."""
        line = json.dumps({"event": event, **fields}, default=_plain).encode() + b"\n"
        if len(line) > MAX_ANSWER:
            what = (
                f"the result takes {len(line):,} bytes, expected at most {MAX_ANSWER:,}; request less or a smaller size"
            )
            raise RunError(what, Code.RESOURCES, "AnswerTooLarge")
        with self._lock:
            self._stream.write(line)
            self._stream.flush()


class _RecordSender(logging.Handler):
    """A handler that sends the records of the library to the service."""

    def __init__(self, channel: Channel, tree: Tree) -> None:
        super().__init__()
        self.channel, self.tree = channel, tree

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):
            # The end of a long one has the cause.
            message = without_paths(self.format(record)[-_LOGGED:], self.tree.folder)
            self.channel.send("log", level=record.levelno, message=message)


def main(confinement: Mapping[str, str]) -> None:
    """Runs a worker; its arguments are the folder of the run, the largest image in pixels and the side of proxies.

    confinement: what `_confinement.confine` achieved.
    """
    folder, max_pixels, proxy_side = sys.argv[-3:]
    tree, memory = Tree(Path(folder)), Memory(int(max_pixels), int(proxy_side))
    # Libraries print to stderr instead, so that they do not interrupt the messages.
    channel = Channel(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.umask(0o077)
    logging.getLogger("pyharmony").addHandler(_RecordSender(channel, tree))
    inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(inbox,), daemon=True).start()
    _warm()
    channel.send("ready", confinement=confinement)
    while True:
        message = inbox.get()
        _do(message, tree, memory, channel)


def _listen(inbox: queue.SimpleQueue[dict[str, Any]]) -> None:
    """Reads messages; if the service has ended, the process exits at once, even during a job."""
    for line in sys.stdin.buffer:
        inbox.put(json.loads(line))
    os._exit(0)


def _warm() -> None:
    """Imports the modules of most jobs, so that the first one does not wait for it."""
    for name in ("blend", "harmonization", "io", "segmentation"):
        importlib.import_module(f"pyharmony.{name}")
    for name in ("ImageCms", "JpegImagePlugin", "PngImagePlugin"):
        importlib.import_module(f"PIL.{name}")
    # A confined driver may fail where those of other programs work, which a result from the CPU would not show.
    if get_device() != "cpu" and hasattr(_native.native, "cuda") and gpu_files() and (why := _native.cuda_status()):
        logging.getLogger("pyharmony.serve").warning("a worker computes without this machine's GPU: %s", why)


def _do(message: dict[str, Any], tree: Tree, memory: Memory, channel: Channel) -> None:
    job = message["job"]

    def report_phase(name: str, step: int, steps: int) -> None:
        channel.send("phase", job=job, name=name, step=step, steps=steps)

    sizes = {id: Sizes(*size) for id, size in message["sizes"].items()}
    histories = {id: History.of(history) for id, history in message["histories"].items()}
    try:
        operation = operation_of(message["operation"])
        body = operation.body.model_validate_json(message["body"])
        with _shipped.noted() as weights:
            result = operation.run(body, Desk(tree, memory, job, sizes, report_phase, histories, weights))
        channel.send("done", job=job, result=finite(result), weights=weights)
    except Exception as error:
        failure = RunError(DISK_FULL, Code.RESOURCES, "full") if is_full(error) else as_failure(error)
        unexpected = not isinstance(error, RunError) and failure.exit_code == Code.UNEXPECTED
        text = without_paths(str(failure), tree.folder)
        if unexpected and not isinstance(error, ImportError):
            logging.getLogger("pyharmony.serve").exception("a job failed unexpectedly")
            text = "unexpected error; the log of the service has details"
        fields = {"code": None, "argument": None, **record_of(failure), "message": limited_message(text)}
        channel.send("failed", job=job, error=fields)


def _plain(x: Any) -> Any:
    return x.item() if hasattr(x, "item") else str(x)
