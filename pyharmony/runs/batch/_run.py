"""A run: the items of a source, computed by an engine, with every step in the ledger."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import importlib.util
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from ... import _checks, _temporary
from ..._calls.batches import BATCHES
from ..._public import under_present_names
from ..._version import __version__
from ...errors import ArgumentError, DTypeError, RunError
from ...io.files import check_quality
from ...typing import Device, ImageFormat, PathLike, Quality
from .._jobs.failures import Code, reading
from .._jobs.lists import FILES
from .._jobs.runner import pixels_of
from ._folder import FOLDER, Begun, Mark, check_own_folder, checksum, is_inside, is_whole, mark_of, remove, writing
from ._ledger import DONE, FAILED, RUNNING, SKIPPED, Entry, Ledger
from ._packing import SHARD, Packer, shard_of
from ._results import write_errors, write_results
from ._sources import Item, check_source, identity, items_of, no_file
from ._worker import Order
from .operations import Settings, check, needs_of, outputs_of
from .pool import Outcome, Pool

#: The largest number of processes, and of threads of each.
_MAX_PROCESSES = 4096
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
        errors_list: the path of the list of all errors, which exists if there are any.
        changed: the items that were done in an earlier run and are computed again, as their files or options had
            changed, or an output was gone or cut.
        earlier: the number of items that an earlier run did, which stay as they are.
    """

    counts: dict[str, int]
    errors: list[dict[str, Any]]
    results: Path
    errors_list: Path
    changed: int
    earlier: int


@_checks.kinds
def run(
    operation: str,
    source: PathLike,
    output: PathLike,
    *,
    options: Mapping[str, Any] | None = None,
    other_inputs: Mapping[str, PathLike] | None = None,
    columns: Mapping[str, str] | None = None,
    format: str | None = None,
    quality: Quality = 95,
    keep_gps: bool = False,
    engine: Engine = "local",
    jobs: int = 1,
    threads: int = 1,
    device: str = "cpu",
    resume: bool = False,
    retry_failed: bool = False,
    restart: bool = False,
    verify: bool = False,
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
        operation: 'apply-edit', 'compose', 'blend', 'harmonize', 'segment', 'shadow', 'super-resolve' or 'synth'.
        source: a folder of images, with those below it; a table .csv, .jsonl or .parquet with a column for each input
            and option and, optionally, `out` and `name`; or a .tar file, or a folder of these, in the layout of
            WebDataset.
        output: the folder of outputs, which is made; it is neither in the source folder nor around it.
        options: options of the operation, by name, as its command has them; those of a row replace them.
        other_inputs: for inputs except the first a file for all items, or a folder with a file for each, by its stem.
        columns: the columns of a table for inputs, options, 'name' and 'out' that have other names there, such as
            {"image": "photo"}. Columns that are none of these are repeated in the records of the results.
        format: the format of outputs; None: that of the input, and PNG where that cannot store the result.
        quality: 1 to 100, for JPEG, WebP and AVIF; 'original': what is unchanged of a JPEG stays as it is, as in
            `pyharmony.io.write`, and an item that is no JPEG fails.
        keep_gps: whether to keep the GPS position in the metadata.
        engine: 'local', processes of this machine; or 'ray', actors of a Ray cluster.
        jobs: the number of worker processes.
        threads: the threads of each.
        device: 'cpu', 'cuda' or 'auto'.
        resume: whether to continue the run in output. Outputs that are gone, empty or cut are computed again.
        retry_failed: whether items that failed are tried again.
        restart: whether to begin again, replacing what an earlier run wrote.
        verify: whether a run that is continued compares outputs by their digests, not by their sizes alone.
        shard: (i, n): the i-th of n parts of the items, 1 to n, for n runs side by side into one folder. An item's part
            follows from its name, so that it is the same whatever other items there are.
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
        ArgumentError, DTypeError: an argument is not accepted; nothing was written.
        RunError: the source cannot be read, the disk is full or read-only, output has another run, its ledger is
            damaged, or workers do not start; its message says what to do, and `code` is "has-run", "other-run",
            "damaged-ledger", "disk-full", "busy" and the like.

    Example:
        >>> from pyharmony import batch
        >>> report = batch.run("harmonize", "composites", "harmonized")
        >>> report.counts["done"], report.counts["failed"]
        (2, 0)
    """
    _check_arguments(**{name: value for name, value in locals().items() if name not in ("source", "output")})
    part, parts = map(int, shard)
    root, target = _path(source, "source"), _path(output, "output")
    with _naming("output"):
        _check_apart(root, target)
    tag = _tag(part, parts)
    files = target if per_shard is None else files_of(target, part, parts)
    own = under_present_names(BATCHES[operation].former(), options or {})
    settings = Settings(
        operation=operation, output=str(files), options=own, format=format or "",
        quality="original" if quality == "original" else int(quality), keep_gps=keep_gps, max_pixels=max_pixels,
        threads=threads, device=device, max_memory=max_memory, time_limit=time_limit,
        begun=str(target / FOLDER / f"begun{tag}"), columns=_checked_columns(columns),
    )  # fmt: skip
    check(settings)
    with_paths = {name: _path(path, f"other_inputs[{name!r}]") for name, path in (other_inputs or {}).items()}
    suffix = ".parquet" if importlib.util.find_spec("pyarrow") else ".csv"
    table = Path(results) if results is not None else target / f"results{tag}{suffix}"
    errors_list = target / f"errors{tag}.jsonl"
    if table.suffix not in (".parquet", ".csv"):
        raise ArgumentError(f"results: {table}, expected a path that ends in .parquet or .csv")
    with _naming("source"):
        check_source(root, needs_of(settings), with_paths)
    if results is not None:
        with writing(str(table)):
            table.parent.stat()
    with _naming("output"), writing(str(target)):
        target.mkdir(parents=True, exist_ok=True)
    prefix = f"{tag[1:]}-" if tag else ""
    ledger = Ledger(target / FOLDER / f"ledger{tag}.sqlite")
    begun = Begun(settings.begun)
    ledger.committed = begun.forget
    try:
        for folder in {begun.folder, settings.output} - {str(target)}:
            check_own_folder(Path(folder))
        with ledger.all_or_nothing():
            _check_tables(ledger, root, (table, errors_list), on_exist)
            former, shards = _begin(ledger, settings, (part, parts), per_shard, resume=resume, restart=restart)
            shard_at = partial(shard_of, target, prefix)
            _own_begun(ledger, former, shard_at, begun)
            entries = _entries(root, target, settings, with_paths, (part, parts), ledger)
            outs = partial(_paths_of, former), partial(_paths_of, settings)
            changed, left = ledger.plan(entries, *outs, verify=verify)
            changed += _check_shards(ledger, shard_at, verify)
            for path, mark in left:
                remove(path, former.output, mark)
            for number, mark in shards.items():
                remove(str(shard_at(number)), str(target), mark)
        begun.forget()
        _sweep(ledger, settings)
        ledger.reopen(failed=retry_failed)
        earlier = ledger.counts()["done"]
        try:
            if per_shard is None:
                _work(ledger, settings, engine, jobs, on_exist, progress)
            else:
                with Packer(ledger, settings, target, per_shard, prefix) as packer:
                    _work(ledger, settings, engine, jobs, on_exist, progress, packer)
                    packer.pack(all=True)
        except BaseException:
            # Writes the results so far, if the disk has room for them.
            with contextlib.suppress(RunError):
                ledger.reopen(failed=False)
                write_results(ledger, table)
                write_errors(ledger, errors_list)
            raise
        write_results(ledger, table)
        errors = write_errors(ledger, errors_list)
        counts = ledger.counts()
    finally:
        ledger.close()
    del counts["running"]
    return Report(counts, errors, table, errors_list, changed, earlier)


@contextlib.contextmanager
def _naming(argument: str) -> Iterator[None]:
    """Gives errors about a file, whose messages begin with its name, the name of the argument too."""
    try:
        yield
    except RunError as error:
        if error.argument is not None:
            raise
        raise error.within("", argument) from error.__cause__


def _tag(part: int, parts: int) -> str:
    return "" if parts == 1 else f"-{part}-of-{parts}"


def files_of(output: Path, part: int, parts: int) -> Path:
    """Returns the folder of the files that wait to be packed."""
    return output / FOLDER / f"files{_tag(part, parts)}"


def _check_apart(source: Path, output: Path) -> None:
    """Refuses an output folder from which or into which outputs could become inputs."""
    inside, around = Path(os.path.realpath(output)), Path(os.path.realpath(source))
    if source.is_dir() and (inside.is_relative_to(around) or around.is_relative_to(inside)):
        raise RunError(f"{output}: is in the source folder or around it, expected a folder elsewhere", Code.USAGE)


def _check_arguments(**values: Any) -> None:
    """Refuses arguments of `run` that are not accepted, by name, before anything is written."""

    def unless_none(name: str, check: Callable[..., object], **bounds: Any) -> None:
        if values[name] is not None:
            check(values[name], name, **bounds)

    _checks.one_of(values["operation"], "operation", tuple(BATCHES))
    _checks.one_of(values["engine"], "engine", get_args(Engine))
    _checks.one_of(values["on_exist"], "on_exist", get_args(OnExist))
    _checks.one_of(values["device"], "device", get_args(Device))
    unless_none("format", _checks.one_of, names=get_args(ImageFormat))
    check_quality(values["quality"])
    for name in ("jobs", "threads"):
        _checks.whole(values[name], name, low=1, high=_MAX_PROCESSES)
    unless_none("per_shard", _checks.whole, low=1)
    unless_none("max_memory", _checks.whole, low=1 << 20, accepts="a number of bytes from 1048576")
    unless_none("time_limit", _checks.number, low=1e-3, accepts="a number of seconds from 0.001")
    unless_none("results", _path)
    pixels_of(values["max_pixels"])
    accepts = "(i, n) with 1 <= i <= n"
    part, parts = _checks.two_numbers(values["shard"], "shard", f"expected {accepts}")
    _checks.whole(parts, "shard", low=1, high=1 << 31, accepts=accepts)
    _checks.whole(part, "shard", low=1, high=int(parts), accepts=accepts)
    for name in ("options", "other_inputs"):
        entries = values[name]
        if entries is not None and not (isinstance(entries, Mapping) and all(isinstance(key, str) for key in entries)):
            raise DTypeError(f"{name}: {_checks.shortened(entries)}, expected values by name, or None")
    if values["resume"] and values["restart"]:
        raise ArgumentError("restart: True with resume=True, which it excludes")
    for name in ("retry_failed", "verify"):
        if values[name] and not values["resume"]:
            raise ArgumentError(f"{name}: True, which needs resume=True")


def _path(x: Any, name: str) -> Path:
    """Returns a path that the operating system may have."""
    path = _checks.path(x, name)
    try:
        if os.fspath(x) in ("", b"") or b"\0" in os.fsencode(path):
            raise ValueError
    except ValueError:
        raise ArgumentError(f"{name}: {_checks.shortened(x)}, expected the path of a file or folder") from None
    return path


def _check_tables(ledger: Ledger, source: Path, tables: Iterable[Path], on_exist: OnExist) -> None:
    """Refuses to replace a table that is the source, or that no run into this folder has written."""
    own = ledger.tables()
    for path in tables:
        if path.exists() and path.samefile(source):
            text = "is the source, which would be replaced"
            raise RunError(f"{path}: {text}", Code.USAGE, code="results-are-source", hint="results= names another file")
        if path.is_dir() or (on_exist == "error" and os.path.abspath(path) not in own and os.path.lexists(path)):
            hint = "results= names another file, on_exist='skip' or 'overwrite' replaces it"
            text = "already exists, and is of no run into this folder"
            raise RunError(f"{path}: {text}", Code.USAGE, code="results-exist", hint=hint)
    ledger.add_tables(map(os.path.abspath, tables))


def _paths_of(settings: Settings, out: str) -> list[str]:
    """Returns the paths of the files of an item, for its path in the output folder; none before one is chosen."""
    return [*outputs_of(settings, out).values()] if out else []


def _own_begun(ledger: Ledger, former: Settings, shard_at: Callable[[int], Path], begun: Begun) -> None:
    """Records the files that were begun, and got their names, when an earlier run was killed."""
    for number, index, name in begun.names():
        if index == SHARD:  # it is written again, by the files of its items
            if begun.has(number, index, str(shard_at(number))) and number not in ledger.files_of_shards():
                shard_at(number).unlink()
            continue
        out = ledger.out_of(number)
        paths = _paths_of(former, out)
        if index < len(paths) and begun.has(number, index, paths[index]):
            ledger.own(number, index, mark_of(paths[index], **checksum(name)))


def _check_shards(ledger: Ledger, shard_at: Callable[[int], Path], verify: bool) -> int:
    """Makes the items of shards pending whose files are gone or cut, and returns their number."""
    count = 0
    for number, mark in ledger.files_of_shards().items():
        path = str(shard_at(number))
        if not is_whole(path, mark, verify=verify):
            remove(path, os.path.dirname(path), mark)
            if os.path.lexists(path):
                text = "is no longer the shard that the run wrote"
                raise RunError(f"{path}: {text}", Code.USAGE, "exists", "exists", hint="move it elsewhere")
            count += ledger.lose_shard(number)
    return count


def _sweep(ledger: Ledger, settings: Settings) -> None:
    """Removes the unfinished files of items that were being computed when a run was killed."""
    outs = (out for _, _, _, item, _ in ledger.rows(RUNNING) for out in _paths_of(settings, item["out"]))
    for folder in {os.path.dirname(out) for out in outs if is_inside(out, settings.output)}:
        _temporary.sweep(Path(folder))


def _begin(
    ledger: Ledger, settings: Settings, shard: tuple[int, int], per_shard: int | None, *, resume: bool, restart: bool
) -> tuple[Settings, dict[int, Mark]]:  # fmt: skip
    """Describes a new run, or checks that a run to continue is this one.

    Returns the settings by which outputs that are there were written, and the shards of a run that begins again.
    """
    facts = {
        "operation": settings.operation, "options": json.loads(json.dumps(settings.options)),
        "format": settings.format, "quality": settings.quality, "keep_gps": settings.keep_gps,
        "files": _files(settings.options), "shard": list(shard), "per_shard": per_shard, "version": __version__,
    }  # fmt: skip
    before = ledger.facts()
    folder = ledger.folder
    if before and not (resume or restart):
        left = ledger.counts()
        text = f"{left['done']:,} items are done, {left['failed']:,} failed, {left['pending'] + left['running']:,} left"
        hint = "resume=True continues it, restart=True begins again"
        raise RunError(f"{folder}: has a run: {text}", Code.USAGE, code="has-run", hint=hint)
    if before and resume:
        for name, value in facts.items():
            if before.get(name) != value:
                text = f"the run has {name} {json.dumps(before.get(name))}, this one {json.dumps(value)}"
                hint = "restart=True begins again, replacing what it wrote"
                raise RunError(f"{folder}: {text}", Code.USAGE, code="other-run", hint=hint)
    former, shards = settings, {}
    if before:
        output = folder if before["per_shard"] is None else files_of(folder, *shard)
        former = dataclasses.replace(settings, operation=before["operation"], output=str(output))
    if before and restart:
        shards = ledger.files_of_shards()
        ledger.forget()
    ledger.describe(facts)
    return former, shards


def _files(options: Mapping[str, Any]) -> dict[str, str]:
    """Returns the SHA-256 of the files among options, by path; weights that come with pyharmony have its version."""
    digests = {}
    for path in _paths(options):
        with reading(path):
            if os.path.isfile(path):
                digests[path] = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return digests


def _paths(options: Mapping[str, Any]) -> list[str]:
    """Returns the paths among options, and words that may stand in place of one."""
    values = (options.get(name) for name in (*FILES, "people"))
    return [path for value in values for path in (value if isinstance(value, list) else [value])
            if isinstance(path, str)]  # fmt: skip


def _checked_columns(columns: Any) -> dict[str, str]:
    if columns is None:
        return {}
    is_mapping = isinstance(columns, Mapping)
    if not is_mapping or not all(isinstance(x, str) and x for pair in columns.items() for x in pair):
        what = repr(columns) if is_mapping else type(columns).__name__
        raise ArgumentError(f"columns: {what[:100]}, expected a mapping from inputs and options to names of columns")
    return dict(columns)


def _entries(
    source: Path, output: Path, settings: Settings, other_inputs: Mapping[str, Path], shard: tuple[int, int],
    ledger: Ledger,
) -> Iterator[Entry]:  # fmt: skip
    own = os.path.join(os.path.realpath(output), "")
    for item in items_of(source, needs_of(settings), other_inputs, ledger.outputs()):
        if shard[1] > 1:
            digest = hashlib.blake2b(item.name.encode(), digest_size=8).digest()
            if int.from_bytes(digest, "big") % shard[1] != shard[0] - 1:
                continue
        facts = {name: identity(path) for name, path in item.inputs.items()}
        files = _paths(item.options)
        own_files = {path: identity(path) for path in files}
        inputs = (*item.inputs.items(), *(("options", file) for file in files if os.path.exists(file)))
        problem = next(filter(None, (no_file(name, path) for name, path in inputs)), "")
        if problem and not item.problem:
            item = dataclasses.replace(item, problem=problem)
        real = ((path, os.path.realpath(path) if os.path.islink(path) else path) for path in item.inputs.values())
        inside = next((path for path, file in real if _real_folder(os.path.dirname(file)).startswith(own)), None)
        if inside is not None:
            item = dataclasses.replace(item, problem=f"{inside}: is in the output folder, expected it elsewhere")
        text = json.dumps([facts, own_files, item.options, item.out, item.problem], sort_keys=True)
        key = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
        size = sum(max(0, bytes_) for bytes_, _ in facts.values())
        yield Entry(0, item.name, key, json.dumps(vars(item)), size)


@functools.lru_cache(maxsize=1024)
def _real_folder(folder: str) -> str:
    return os.path.join(os.path.realpath(folder), "")


def _work(
    ledger: Ledger, settings: Settings, engine: Engine, jobs: int, on_exist: OnExist,
    progress: Callable[[Progress], None] | None, packer: Packer | None = None,
) -> None:  # fmt: skip
    """Computes all pending items."""
    total, work_left = ledger.counts()["pending"], ledger.bytes_left()
    if not total:
        return
    done = failed = work = 0
    running: dict[int, Entry] = {}
    # The first item's time contains the start of the workers.
    start, start_work = 0.0, 0
    begun = Begun(settings.begun)

    def outs_of(entry: Entry) -> list[str]:
        return _paths_of(settings, json.loads(entry.item)["out"])

    def owned(entry: Entry) -> Iterator[tuple[str, bool]]:
        """Yields the files at the outputs of an item, and whether they are the run's."""
        for index, path in enumerate(outs_of(entry)):
            if os.path.lexists(path):
                yield path, begun.owns(entry.number, index, path, settings.output, entry.files)

    def ended(number: int, status: int, record: Mapping[str, Any], files: Sequence[Mark] = ()) -> None:
        nonlocal done, failed, work, start, start_work, work_left
        entry = running.pop(number)
        if status == FAILED:  # the output of the item as it was before, or of a worker that was killed
            for path in [path for path, is_ours in owned(entry) if is_ours]:
                with writing(path), contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
        ledger.finish(number, status, record, files)
        size = entry.bytes
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
                running[entry.number] = entry
                item = Item(**json.loads(entry.item))
                other = next((path for path, is_ours in owned(entry) if not is_ours), "")
                if item.problem:
                    ended(entry.number, FAILED, {"kind": "item", "message": item.problem})
                elif other and on_exist == "error":
                    ended(entry.number, FAILED, {"kind": "exists", "message": f"{other}: already exists"})
                elif other and on_exist == "skip":
                    ended(entry.number, SKIPPED, {"message": f"{other}: already exists"})
                else:
                    yield Order(entry.number, item, on_exist == "overwrite", entry.bytes, files=entry.files)

    for outcome in _outcomes(engine, settings, min(jobs, total), orders()):
        files = [Mark(*file) for file in outcome.record.pop("marks", ())]
        ended(outcome.number, FAILED if outcome.is_error else DONE, outcome.record, files)
        if packer is not None and done % _CHUNK == 0:
            packer.pack()


def _outcomes(engine: Engine, settings: Settings, jobs: int, orders: Iterable[Order]) -> Iterator[Outcome]:
    if engine == "ray":
        from ._ray import outcomes

        yield from outcomes(settings, jobs, orders)
        return
    with Pool(settings, jobs) as pool:
        yield from pool.outcomes(orders)
