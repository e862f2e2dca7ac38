"""A run: the items of a source, computed by an engine, with every step in the ledger."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.util
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .. import _checks, _temporary
from .._jobs.failures import Code, Failure, reading, writing
from .._version import __version__
from ..errors import ArgumentError
from ..typing import PathLike
from ._ledger import DONE, FAILED, RUNNING, SKIPPED, Entry, Ledger
from ._packing import Packer
from ._results import write_errors, write_results
from ._sources import Item, identity, items_of
from ._worker import Order
from .operations import CALLS, Settings, outputs_of, wanted_by
from .pool import Outcome, Pool

#: The folder of the ledgers inside the output folder.
FOLDER = ".pyharmony-batch"
_CHUNK = 64  # the items that are claimed at once

OnExist = Literal["error", "skip", "overwrite"]
Engine = Literal["local", "ray"]


@dataclass(frozen=True)
class Progress:
    """How far a run is, without items that were done in earlier runs.

    Attributes:
        done, total: the number of items that ended, and of all.
        failed: the number of those that failed.
        rate: the items per second since the first one ended; 0 before the second.
        seconds_left: the estimated time left, by the sizes of files; infinite before the second item.
    """

    done: int
    total: int
    failed: int
    rate: float
    seconds_left: float


@dataclass(frozen=True)
class Report:
    """The result of `run`.

    Attributes:
        counts: the number of items by status: 'done', 'failed', 'skipped' and 'pending'.
        errors: the first hundred errors; each has `name`, `kind`, `message` and `inputs`.
        results: the path of the table of results.
        changed: the items whose files or options had changed since an earlier run, and were computed again.
    """

    counts: dict[str, int]
    errors: list[dict[str, Any]]
    results: Path
    changed: int


def run(
    operation: str,
    source: PathLike,
    output: PathLike,
    *,
    options: Mapping[str, Any] | None = None,
    others: Mapping[str, PathLike] | None = None,
    format: str | None = None,
    quality: int = 95,
    keep_gps: bool = False,
    engine: Engine = "local",
    jobs: int = 1,
    threads: int = 1,
    device: str = "cpu",
    resume: bool = False,
    retry_failed: bool = False,
    restart: bool = False,
    shard: tuple[int, int] = (1, 1),
    per_shard: int | None = None,
    on_exist: OnExist = "error",
    time_limit: float | None = None,
    max_memory: int | None = None,
    max_pixels: str | None = None,
    results: PathLike | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Report:
    """Runs an operation on many images, so that nothing is lost whenever a process, or the machine, ends.

    Every item ends as one output or one error. Outputs get their names when they are complete; what was done is in a
    ledger, OUTPUT/.pyharmony-batch, from which a run is continued. Inputs are never written or deleted.

    Args:
        operation: 'compose', 'blend', 'harmonize', 'segment', 'shadow', 'super-resolve' or 'synth'.
        source: a folder of images, with those below it; a table .csv, .jsonl or .parquet with a column for each input
            and option and, optionally, `out` and `name`; or a .tar file, or a folder of these, in the layout of
            WebDataset.
        output: the folder of outputs, which is made; it is neither in the source folder nor around it.
        options: options of the operation, by name, as its command has them; those of a row replace them.
        others: for inputs other than the first, a file for all items, or a folder with a file for each, by its stem.
        format: the format of outputs; None: that of the input, and PNG where that cannot store the result.
        quality: 1 to 100, for JPEG, WebP and AVIF.
        keep_gps: whether to keep the GPS position in the metadata.
        engine: 'local', processes of this machine; or 'ray', actors of a Ray cluster.
        jobs: the number of worker processes.
        threads: the threads of each.
        device: 'cpu', 'cuda' or 'auto'.
        resume: whether to continue the run in output.
        retry_failed: whether items that failed are tried again.
        restart: whether to begin again, replacing what an earlier run wrote.
        shard: (i, n): the i-th of n parts of the items, 1 to n, for n runs side by side into one folder.
        per_shard: the number of outputs in a .tar file, in the layout of WebDataset; None: outputs are files.
        on_exist: what to do where a file exists that is not of this run: 'error', 'skip' or 'overwrite'.
        time_limit: the longest time for an item in seconds; then it has failed. None: any.
        max_memory: the largest memory of a worker process in bytes. An item that needs more is tried alone, then in
            tiles, and then has failed. None: any.
        max_pixels: the largest number of pixels of an image, such as '64M'; None: 256M.
        results: the table of results, .parquet or .csv; None: OUTPUT/results, .parquet if pyarrow is installed.
        progress: called after each item.

    Returns:
        The numbers of items by status, and the first errors. All errors are in OUTPUT/errors.jsonl.

    Raises:
        ArgumentError: an argument is not accepted.
        Failure: the source cannot be read, the disk is full, output has another run, or workers do not start; its
            message says what to do.

    Example:
        >>> from pyharmony import batch
        >>> report = batch.run("harmonize", "composites", "harmonized")
        >>> report.counts["done"], report.counts["failed"]
        (2, 0)
    """
    _checks.flags(resume=resume, retry_failed=retry_failed, restart=restart, keep_gps=keep_gps)
    _checks.one_of(operation, "operation", tuple(CALLS))
    _checks.one_of(engine, "engine", ("local", "ray"))
    _checks.one_of(on_exist, "on_exist", ("error", "skip", "overwrite"))
    jobs, threads = (_checks.whole(value, name, low=1) for value, name in ((jobs, "jobs"), (threads, "threads")))
    part, parts = shard
    if not 1 <= part <= parts:
        raise ArgumentError(f"shard: {shard}, expected (i, n) with 1 <= i <= n")
    if per_shard is not None:
        _checks.whole(per_shard, "per_shard", low=1)
    root, target = Path(source), Path(output)
    _check_apart(root, target)
    tag = "" if parts == 1 else f"-{part}-of-{parts}"
    files = target if per_shard is None else target / FOLDER / f"files{tag}"
    settings = Settings(
        operation=operation, output=str(files), options=dict(options or {}), format=format or "", quality=quality,
        keep_gps=keep_gps, max_pixels=max_pixels, threads=threads, device=device, max_memory=max_memory,
        time_limit=time_limit,
    )  # fmt: skip
    with writing(str(target)):
        (target / FOLDER).mkdir(parents=True, exist_ok=True)
    suffix = ".parquet" if importlib.util.find_spec("pyarrow") else ".csv"
    table = Path(results) if results is not None else target / f"results{tag}{suffix}"
    if table.suffix not in (".parquet", ".csv"):
        raise ArgumentError(f"results: {table}, expected a path that ends in .parquet or .csv")
    prefix = f"{tag[1:]}-" if tag else ""
    ledger = Ledger(target / FOLDER / f"ledger{tag}.sqlite")
    try:
        _begin(ledger, settings, (part, parts), per_shard, prefix, resume=resume, restart=restart)
        with_paths = {name: Path(path) for name, path in (others or {}).items()}
        changed = ledger.plan(_entries(root, target, settings, with_paths, (part, parts)))
        _sweep(ledger, settings)
        ledger.reopen(failed=retry_failed)
        try:
            if per_shard is None:
                _work(ledger, settings, engine, jobs, on_exist, progress)
            else:
                with Packer(ledger, settings, target, per_shard, prefix) as packer:
                    _work(ledger, settings, engine, jobs, on_exist, progress, packer)
                    packer.pack(all=True)
        except BaseException:
            # What is known so far, if the disk has room for it.
            with contextlib.suppress(Failure):
                ledger.reopen(failed=False)
                write_results(ledger, table)
                write_errors(ledger, target / f"errors{tag}.jsonl")
            raise
        write_results(ledger, table)
        errors = write_errors(ledger, target / f"errors{tag}.jsonl")
        counts = ledger.counts()
    finally:
        ledger.close()
    del counts["running"]
    return Report(counts, errors, table, changed)


def _check_apart(source: Path, output: Path) -> None:
    """Refuses an output folder from which or into which outputs could become inputs."""
    root = source if source.is_dir() else None
    if root is None:
        return
    inside, around = Path(os.path.realpath(output)), Path(os.path.realpath(root))
    if inside.is_relative_to(around) or around.is_relative_to(inside):
        raise Failure(f"{output}: is in the source folder or around it, expected a folder elsewhere", Code.USAGE)


def _sweep(ledger: Ledger, settings: Settings) -> None:
    """Removes the unfinished files of items that were being computed when a run was killed."""
    outs = (out for _, _, _, item, _ in ledger.rows(RUNNING) for out in outputs_of(settings, item["out"]))
    for folder in {os.path.dirname(out) for out in outs}:
        _temporary.sweep(Path(folder))


def _begin(
    ledger: Ledger, settings: Settings, shard: tuple[int, int], per_shard: int | None, prefix: str, *,
    resume: bool, restart: bool,
) -> None:  # fmt: skip
    """Describes a new run, or checks that a run to continue is this one."""
    facts = {
        "operation": settings.operation, "options": json.loads(json.dumps(settings.options)),
        "format": settings.format, "quality": settings.quality, "keep_gps": settings.keep_gps,
        "weights": _weights(settings.options), "shard": list(shard), "per_shard": per_shard, "version": __version__,
    }  # fmt: skip
    before = ledger.facts()
    folder = ledger.path.parent.parent
    if before and not (resume or restart):
        left = ledger.counts()
        text = f"{left['done']:,} items are done, {left['failed']:,} failed, {left['pending'] + left['running']:,} left"
        raise Failure(f"{folder}: has a run: {text}; --resume continues it, --restart begins again", Code.USAGE)
    if before and resume:
        for name, value in facts.items():
            if before.get(name) != value:
                text = f"the run has {name} {json.dumps(before.get(name))}, this one {json.dumps(value)}"
                raise Failure(f"{folder}: {text}; --restart begins again, replacing what it wrote", Code.USAGE)
    if before and restart:
        Packer(ledger, settings, folder, 1, prefix).remove()
        ledger.forget()
    ledger.describe(facts)
    ledger.commit(now=True)


def _weights(options: Mapping[str, Any]) -> dict[str, str]:
    """Returns the SHA-256 of the files of weights among options; weights that come with pyharmony have its version."""
    weights = {}
    for name in ("model", "generator"):
        path = options.get(name)
        if path is not None and os.path.isfile(path):
            with reading(f"{name}: {path}"):
                weights[name] = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return weights


def _entries(
    source: Path, output: Path, settings: Settings, others: Mapping[str, Path], shard: tuple[int, int]
) -> Iterator[Entry]:
    own = os.path.join(os.path.abspath(output), "")
    for index, item in enumerate(items_of(source, wanted_by(settings), others)):
        if index % shard[1] != shard[0] - 1:
            continue
        facts = {name: identity(path) for name, path in item.inputs.items()}
        inside = next((path for path in item.inputs.values() if os.path.abspath(path).startswith(own)), None)
        if inside is not None:
            item = dataclasses.replace(item, problem=f"{inside}: is in the output folder, expected it elsewhere")
        text = json.dumps([facts, item.options, item.out, item.problem], sort_keys=True)
        key = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
        size = sum(max(0, bytes_) for bytes_, _ in facts.values())
        yield Entry(index, item.name, key, json.dumps(dataclasses.asdict(item)), size)


def _work(
    ledger: Ledger,
    settings: Settings,
    engine: Engine,
    jobs: int,
    on_exist: OnExist,
    progress: Callable[[Progress], None] | None,
    packer: Packer | None = None,
) -> None:
    """Computes all pending items."""
    total, work_left = ledger.counts()["pending"], ledger.bytes_left()
    done = failed = work = 0
    sizes: dict[int, int] = {}
    # The first item's time contains the start of the workers.
    start, start_work = 0.0, 0

    def ended(number: int, status: int, record: Mapping[str, Any], *, owns: bool = True) -> None:
        nonlocal done, failed, work, start, start_work, work_left
        ledger.finish(number, status, record, owns=owns)
        size = sizes.pop(number, 0)
        done, failed, work, work_left = done + 1, failed + (status == FAILED), work + size, work_left - size
        if done == 1:
            start, start_work = time.monotonic(), work
        if progress is not None:
            elapsed = time.monotonic() - start
            rate = (done - 1) / elapsed if done > 1 and elapsed else 0.0
            left = elapsed * work_left / (work - start_work) if work > start_work else math.inf
            progress(Progress(done, total, failed, rate, left if done < total else 0.0))

    def orders() -> Iterator[Order]:
        while entries := ledger.claim(_CHUNK):
            for entry in entries:
                sizes[entry.number] = entry.bytes
                item = Item(**json.loads(entry.item))
                there = [] if entry.owns else [out for out in outputs_of(settings, item.out) if os.path.lexists(out)]
                if item.problem:
                    ended(entry.number, FAILED, {"kind": "item", "message": item.problem}, owns=entry.owns)
                elif there and on_exist == "error":
                    text = f"{there[0]}: already exists; --on-exist skip or overwrite accepts it"
                    ended(entry.number, FAILED, {"kind": "exists", "message": text}, owns=False)
                elif there and on_exist == "skip":
                    ended(entry.number, SKIPPED, {"message": f"{there[0]}: already exists"}, owns=False)
                else:
                    yield Order(entry.number, item, entry.owns or on_exist == "overwrite", entry.bytes)

    for outcome in _outcomes(engine, settings, jobs, orders()):
        ended(outcome.number, FAILED if outcome.is_error else DONE, outcome.record)
        if packer is not None and done % _CHUNK == 0:
            packer.pack()


def _outcomes(engine: Engine, settings: Settings, jobs: int, orders: Iterable[Order]) -> Iterator[Outcome]:
    if engine == "ray":
        from ._ray import outcomes

        yield from outcomes(settings, jobs, orders)
        return
    with Pool(settings, jobs) as pool:
        yield from pool.outcomes(orders)
