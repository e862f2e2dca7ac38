"""The ledger of a run: what was done with every item, in SQLite, which survives the death of any process.

A ledger is input like any other: it may be damaged, of another folder or another version, or changed by anybody. All of
it is checked when it is opened, and a path in it is used only if it could be that of an output.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ... import _temporary
from ..._calls.batches import BATCHES
from ...errors import RunError
from .._jobs.failures import Code
from ._folder import Mark, check_own_folder, is_whole, problem_of, writing

PENDING, RUNNING, DONE, FAILED, SKIPPED, GONE = range(6)
STATUS_NAMES = ("pending", "running", "done", "failed", "skipped", "gone")

#: The version of the schema, and the mark of a ledger among SQLite files.
_VERSION, _APPLICATION = 2, 0x50484C47
_SCHEMA = """
CREATE TABLE run (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE items (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    key TEXT NOT NULL,
    item TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    status INTEGER NOT NULL DEFAULT 0,
    owns INTEGER NOT NULL DEFAULT 0,
    files TEXT NOT NULL DEFAULT '[]',
    record TEXT NOT NULL DEFAULT '',
    shard INTEGER
);
CREATE TABLE tables (path TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE shards (number INTEGER PRIMARY KEY, file TEXT NOT NULL);
CREATE INDEX items_by_shard ON items (shard, status, number);
CREATE INDEX items_by_status ON items (status, number);
"""
_TABLES = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"
#: Returns the files of an output.
_Files = Callable[[str], list[str]]
#: The largest number of an item or a shard.
_MAX_NUMBER = 1 << 40
#: The seconds after which results are committed. What is lost with the parent is computed again.
_PAUSE = 0.25


class _Damaged(Exception):
    """The content of a ledger is not what a run writes."""


def _expect(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise _Damaged(otherwise)


def _loaded(text: Any, what: str) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        raise _Damaged(f"{what} is no JSON") from None


def _number(x: Any, most: int = _MAX_NUMBER) -> bool:
    return isinstance(x, int) and not isinstance(x, bool) and 0 <= x < most


def _words(x: Any) -> bool:
    return isinstance(x, dict) and all(isinstance(value, str) for value in x.values())


#: What each fact about a run has to be.
_FACTS: dict[str, Callable[[Any], bool]] = {
    "operation": lambda x: isinstance(x, str) and x in BATCHES,
    "options": lambda x: isinstance(x, dict),
    "format": lambda x: isinstance(x, str),
    "quality": lambda x: _number(x) or x == "original",
    "keep_gps": lambda x: isinstance(x, bool),
    "files": _words,
    "shard": lambda x: isinstance(x, list) and len(x) == 2 and all(map(_number, x)),
    "per_shard": lambda x: x is None or _number(x),
    "version": lambda x: isinstance(x, str),
    "folder": lambda x: isinstance(x, list) and len(x) == 2 and isinstance(x[0], str) and _number(x[1], 1 << 64),
}
#: What each part of an item has to be.
_ITEM: dict[str, Callable[[Any], bool]] = {
    "name": lambda x: isinstance(x, str),
    "inputs": _words,
    "options": lambda x: isinstance(x, dict),
    "out": lambda x: isinstance(x, str),
    "problem": lambda x: isinstance(x, str),
    "columns": lambda x: isinstance(x, dict),
}
#: What the parts of a record that tables of results have as columns have to be.
_RECORD: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("bytes", "width", "height"), _number),
    **dict.fromkeys(("sha256", "kind", "message"), lambda x: isinstance(x, str)),
    "ms": lambda x: isinstance(x, dict) and all(isinstance(value, (int, float)) for value in x.values()),
}


def _are(values: Any, kinds: Mapping[str, Callable[[Any], bool]], *, all: bool = True) -> bool:
    """Returns whether values are an object with these entries; all: and with no others, and all of them."""
    if not isinstance(values, dict) or (all and values.keys() != kinds.keys()):
        return False
    return not any(name in values and not is_kind(values[name]) for name, is_kind in kinds.items())


def _mark(values: Any) -> Mark:
    is_mark = isinstance(values, list) and len(values) == 3 and isinstance(values[2], str)
    _expect(is_mark and _number(values[0], 1 << 64) and _number(values[1], 1 << 62),
            "a file is not an inode, a size and a digest")  # fmt: skip
    return Mark(*values)


def marks_of(text: str) -> tuple[Mark, ...]:
    """Returns the files of an item that the run has written."""
    values = _loaded(text, "a list of files")
    _expect(isinstance(values, list), "a list of files is something else")
    return tuple(map(_mark, values))


@dataclass(frozen=True)
class Entry:
    """An item in the ledger.

    Attributes:
        key: the digest of its inputs, options and output.
        item: the item as JSON.
        bytes: the size of its inputs.
        files: the files at its output that the run has written.
    """

    number: int
    name: str
    key: str
    item: str
    bytes: int
    files: tuple[Mark, ...] = ()


class Ledger:
    """The ledger in a file. One process at a time has it; the file is consistent whenever that process ends.

    Raises:
        RunError: another run has it, the disk is full, or it is damaged, of another version, or of another folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = path.parent.parent
        self._last_commit = time.monotonic()
        self._uncommitted: list[int] = []
        #: Called with the numbers of items whose end has been committed.
        self.committed: Callable[[Sequence[int]], None] = lambda numbers: None
        check_own_folder(path.parent)
        names = (path.name, f"{path.name}-wal", f"{path.name}-shm", path.with_suffix(".lock").name)
        for place in map(path.with_name, names):
            if os.path.lexists(place) and (place.is_symlink() or not place.is_file()):
                raise self._damaged(f"{place.name} is no file")
        with writing(str(path)):
            self._lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o666)
            if path.exists():
                os.close(os.open(path, os.O_RDWR))  # SQLite tells less
        try:
            if not _temporary.lock(self._lock, wait=False):
                raise RunError(f"{self.folder}: another run is writing there", Code.USAGE, "busy", "busy")
            with self.guarded():
                self._base = sqlite3.connect(path, isolation_level=None)
                # EXCLUSIVE needs no shared mappings, which file systems of clusters lack. Without FULL, a power cut may
                # undo a claim whose output is on the disk.
                for pragma in ("trusted_schema=OFF", "locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL"):
                    self._base.execute(f"PRAGMA {pragma}")
                if self._is_new():
                    settings = f"PRAGMA user_version={_VERSION}; PRAGMA application_id={_APPLICATION};"
                    self._base.executescript(f"BEGIN; {_SCHEMA} {settings} COMMIT;")
                else:
                    self._check()
                self._base.execute("BEGIN")
        except BaseException:
            if "_base" in vars(self):
                self._base.close()
            os.close(self._lock)
            raise

    def _damaged(self, why: str) -> RunError:
        text = f"{self.path}: the ledger is damaged: {why}"
        # The folder has the ledgers of other parts too.
        what = f"the folder {self.path.parent}" if self.path.stem == "ledger" else str(self.path)
        hint = f"delete {what}, and on_exist says what becomes of outputs"
        return RunError(text, Code.UNEXPECTED, "ledger", "damaged-ledger", hint=hint, what=what)

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Turns errors of SQLite, and contents that no run writes, into errors of the run."""
        try:
            yield
        except _Damaged as error:
            raise self._damaged(str(error)) from None
        except sqlite3.Error as error:
            text = str(error)
            full = next((what for mark, what in _DISK_FULL_MESSAGES if mark in text), None)
            if full is not None:
                raise RunError(f"{self.path}: {full}", Code.RESOURCES, "ledger", "disk-full") from error
            raise self._damaged(text) from error

    def _execute(self, statement: str, *values: Any) -> list[Any]:
        """Runs a statement, and returns its rows."""
        with self.guarded():
            return self._base.execute(statement, values).fetchall()

    def _is_new(self) -> bool:
        return not self._base.execute(_TABLES).fetchone() and not self._pragma("user_version")

    def _pragma(self, name: str) -> Any:
        return self._base.execute(f"PRAGMA {name}").fetchone()[0]

    def _check(self) -> None:
        """Raises unless all of the ledger is what a run into this folder writes."""
        version = self._pragma("application_id"), self._pragma("user_version")
        _expect(version == (_APPLICATION, _VERSION), "it is of another version of pyharmony, or of another program")
        report = self._pragma("integrity_check(1)")
        _expect(report == "ok", str(report).splitlines()[-1])
        with contextlib.closing(sqlite3.connect(":memory:")) as new:
            new.executescript(_SCHEMA)
            is_same = self._base.execute(_TABLES).fetchall() == new.execute(_TABLES).fetchall()
            _expect(is_same, "its tables are not those of a run")
        facts = {key: _loaded(value, "the description of the run")
                 for key, value in self._base.execute("SELECT key, value FROM run")}  # fmt: skip
        if facts:
            _expect(_are(facts, _FACTS), "the description of the run is incomplete, or has other entries")
            path, inode = facts["folder"]
            _expect(path == self._here()[0] or inode == self._here()[1], f"it is that of another folder, {path}")
        for (path,) in self._base.execute("SELECT path FROM tables"):
            _expect(isinstance(path, str), "the path of a table is no text")
        columns = "number, name, key, item, bytes, status, owns, files, record, shard"
        for row in self._base.execute(f"SELECT {columns} FROM items"):  # noqa: S608
            _check_row(*row)
            _expect(bool(facts), "it has items, but no run")
        for number, file in self._base.execute("SELECT number, file FROM shards"):
            _mark(_loaded(file, "the file of a shard"))
            _expect(_number(number), "a shard has no number")

    def _here(self) -> tuple[str, int]:
        """Returns the path and the inode of the output folder: a folder that was moved keeps one of them."""
        return os.path.realpath(self.folder), os.stat(self.folder).st_ino

    def close(self) -> None:
        """Commits what is pending, where the disk has room, and closes the file."""
        try:
            with contextlib.suppress(RunError):
                self.commit(now=True)
            self._base.close()
        finally:
            os.close(self._lock)

    def commit(self, *, now: bool = False) -> None:
        """Commits if the last time was long ago, or now."""
        if now or time.monotonic() - self._last_commit > _PAUSE:
            with self.guarded():
                if self._base.in_transaction:
                    self._base.execute("COMMIT")
                else:  # SQLite undid it when the disk was full: the files of these items are still known as begun only
                    self._uncommitted = []
                self._base.execute("BEGIN")
            self._last_commit = time.monotonic()
            numbers, self._uncommitted = self._uncommitted, []
            self.committed(numbers)

    @contextlib.contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Commits what the block changes; after an error in it, the ledger is as before."""
        self.commit(now=True)
        try:
            yield
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._base.execute("ROLLBACK")
                self._base.execute("BEGIN")
            raise
        self.commit(now=True)

    # ---- the run ----

    def facts(self) -> dict[str, Any]:
        """Returns the description of the run; empty if the ledger is new."""
        return {
            key: json.loads(value) for key, value in self._execute("SELECT key, value FROM run WHERE key != 'folder'")
        }

    def describe(self, facts: Mapping[str, Any]) -> None:
        """Replaces the description of the run."""
        with self.guarded():
            self._base.execute("DELETE FROM run")
            rows = [(key, json.dumps(value)) for key, value in {**facts, "folder": self._here()}.items()]
            self._base.executemany("INSERT INTO run VALUES (?, ?)", rows)

    def tables(self) -> set[str]:
        """Returns the paths of the tables that runs have written, or were about to write."""
        return {path for (path,) in self._execute("SELECT path FROM tables")}

    def add_tables(self, paths: Iterable[str]) -> None:
        """Records tables that a run writes."""
        with self.guarded():
            self._base.executemany("INSERT OR IGNORE INTO tables VALUES (?)", [(path,) for path in paths])

    def forget(self) -> None:
        """Makes all items pending; their outputs are still the run's."""
        self._execute("UPDATE items SET status = ?, record = '', key = '', shard = NULL", PENDING)
        self._execute("DELETE FROM shards")

    def own(self, number: int, index: int, mark: Mark) -> None:
        """Records a file that was begun when the run was killed."""
        ((text,),) = self._execute("SELECT files FROM items WHERE number = ?", number)
        files = json.loads(text)
        files += [Mark(0, 0, "")] * (index + 1 - len(files))
        files[index] = mark
        self._execute("UPDATE items SET files = ?, owns = 1 WHERE number = ?", json.dumps(files), number)

    def out_of(self, number: int) -> str:
        """Returns the output of an item; '' if there is no such item."""
        rows = self._execute("SELECT item FROM items WHERE number = ?", number)
        return str(json.loads(rows[0][0])["out"]) if rows else ""

    def outputs(self) -> Iterator[tuple[str, str]]:
        """Yields the names of all items, and their outputs."""
        with self.guarded():
            for name, item in self._base.execute("SELECT name, item FROM items WHERE key != ''"):
                yield name, json.loads(item)["out"]

    def plan(
        self, entries: Iterable[Entry], before: _Files, now: _Files, *, verify: bool
    ) -> tuple[int, list[tuple[str, Mark]]]:  # fmt: skip
        """Adds items, and makes those pending again that have changed, or whose files are not as they were written.

        Items that the source has no longer are kept, apart from the others, with what they have written; an item that
        has the output of one of them takes it over.

        Args:
            before, now: return the files of an output, as the run wrote them and as it will.
            verify: whether files are compared by their digests, not by their sizes alone.

        Returns:
            The number of items that were done and are pending again, and the files that no item has any longer.
        """
        changed = 0
        left: list[tuple[str, Mark]] = []
        seen: set[int] = set()
        new_outputs: dict[str, int] = {}  # the new outputs of items
        on_disk = set(self.files_of_shards())
        ((following,),) = self._execute("SELECT COALESCE(MAX(number) + 1, 0) FROM items")
        is_first = following == 0
        for entry in entries:
            with self.guarded():
                statement = "SELECT number, key, shard, item, files, status FROM items WHERE name = ?"
                row = self._base.execute(statement, (entry.name,)).fetchone()
                out = json.loads(entry.item)["out"]
                if row is None:
                    self._base.execute(
                        "INSERT INTO items (number, name, key, item, bytes) VALUES (?, ?, ?, ?, ?)",
                        (following, entry.name, entry.key, entry.item, entry.bytes),
                    )
                    if not is_first:
                        seen.add(following)
                        new_outputs[out] = following
                    following += 1
                    continue
                number, key, shard, item, files, status = row
                seen.add(number)
                marks = marks_of(files)
                if key == entry.key:
                    if status == GONE:  # it is in the source again
                        status = DONE
                    if status == DONE and shard not in on_disk and not _are_whole(now(out), marks, verify):
                        status, shard, changed = PENDING, None, changed + 1
                    if item != entry.item or status != row[5]:
                        statement = "UPDATE items SET item = ?, status = ?, shard = ? WHERE number = ?"
                        self._base.execute(statement, (entry.item, status, shard, number))
                    continue
                if shard is not None:
                    text = f"{entry.name}: has changed since its shard was written"
                    raise RunError(text, Code.INPUT, "changed", "changed-in-shard", hint="restart=True begins again")
                changed += key != ""
                old = before(json.loads(item)["out"])
                if old != now(out):
                    left += zip(old, marks)
                    marks = ()
                    new_outputs[out] = number
                self._base.execute(
                    "UPDATE items SET key = ?, item = ?, bytes = ?, status = ?, record = '', files = ?, owns = ? "
                    "WHERE number = ?",
                    (entry.key, entry.item, entry.bytes, PENDING, json.dumps(marks), bool(marks), number),
                )
        if not is_first:
            with self.guarded():
                left += self._without_source(seen, new_outputs, before)
        return changed, left

    def _without_source(
        self, seen: set[int], new_outputs: Mapping[str, int], before: _Files
    ) -> list[tuple[str, Mark]]:  # fmt: skip
        """Sets the items apart that the source has no longer; returns the files of those that are forgotten."""
        left: list[tuple[str, Mark]] = []
        rows = self._base.execute("SELECT number, key, item, files, status, shard FROM items").fetchall()
        for number, key, item, files, status, shard in rows:
            if number in seen:
                continue
            out = json.loads(item)["out"]
            if key == "":  # of a run that begins again
                left += zip(before(out), marks_of(files))
            elif files != "[]" and out in new_outputs and shard is None:
                statement = "UPDATE items SET files = ?, owns = 1 WHERE number = ?"
                self._base.execute(statement, (files, new_outputs[out]))
            elif files != "[]" and status in (DONE, GONE):
                self._base.execute("UPDATE items SET status = ? WHERE number = ?", (GONE, number))
                continue
            self._base.execute("DELETE FROM items WHERE number = ?", (number,))
        return left

    def reopen(self, *, failed: bool) -> None:
        """Makes items pending that a run had begun when it ended, and, with `failed`, those that failed."""
        statuses = (RUNNING, FAILED) if failed else (RUNNING,)
        for status in statuses:
            self._execute("UPDATE items SET status = ?, record = '' WHERE status = ?", PENDING, status)
        self.commit(now=True)

    # ---- items ----

    def claim(self, count: int) -> list[Entry]:
        """Returns the next pending items, which are running from now on."""
        with self.guarded():
            rows = self._base.execute(
                "SELECT number, name, key, item, bytes, files FROM items WHERE status = ? ORDER BY number LIMIT ?",
                (PENDING, count),
            ).fetchall()
            entries = [Entry(number, name, key, item, size, marks_of(files))
                       for number, name, key, item, size, files in rows]  # fmt: skip
            states = [(RUNNING, entry.number) for entry in entries]
            self._base.executemany("UPDATE items SET status = ?, owns = 1 WHERE number = ?", states)
        self.commit(now=True)
        return entries

    def finish(self, number: int, status: int, record: Mapping[str, Any], files: Sequence[Mark]) -> None:
        """Records the end of an item, with the files that it has written."""
        statement = "UPDATE items SET status = ?, record = ?, files = ?, owns = ? WHERE number = ?"
        self._execute(statement, status, json.dumps(record), json.dumps(files), bool(files), number)
        self._uncommitted.append(number)
        self.commit()

    # ---- shards ----

    def assign_shard(self, least: int, most: int) -> int:
        """Gives the first finished items without a shard a new one, and returns its number; -1: there are fewer."""
        statement = "SELECT number FROM items WHERE shard IS NULL AND status = ? ORDER BY number LIMIT ?"
        rows = self._execute(statement, DONE, most)
        if len(rows) < least:
            return -1
        numbers = self._shards_of_items()
        shard = next(number for number in itertools.count() if number not in numbers)
        with self.guarded():
            self._base.executemany("UPDATE items SET shard = ? WHERE number = ?", [(shard, row[0]) for row in rows])
        self.commit(now=True)
        return shard

    def _shards_of_items(self) -> set[int]:
        return {number for (number,) in self._execute("SELECT DISTINCT shard FROM items WHERE shard IS NOT NULL")}

    def mark_written(self, shard: int, mark: Mark) -> None:
        """Records that a shard is on the disk."""
        self._execute("INSERT OR REPLACE INTO shards VALUES (?, ?)", shard, json.dumps(mark))
        self.commit(now=True)

    def files_of_shards(self) -> dict[int, Mark]:
        """Returns the files of the shards that are on the disk."""
        return {number: Mark(*json.loads(file)) for number, file in self._execute("SELECT number, file FROM shards")}

    def lose_shard(self, shard: int) -> int:
        """Makes the items of a shard pending, as its file is not as it was written; returns their number."""
        with self.guarded():
            self._base.execute("DELETE FROM shards WHERE number = ?", (shard,))
            statement = "UPDATE items SET status = ?, record = '', files = '[]', owns = 0, shard = NULL WHERE shard = ?"
            return self._base.execute(statement, (PENDING, shard)).rowcount

    def shards(self, *, written: bool) -> list[int]:
        """Returns the shards that are on the disk, or those that may not be."""
        done = set(self.files_of_shards())
        return sorted(done if written else self._shards_of_items() - done)

    def in_shard(self, shard: int) -> list[tuple[int, str, str]]:
        """Returns number, name and output of the items of a shard."""
        rows = self._execute("SELECT number, name, item FROM items WHERE shard = ? ORDER BY number", shard)
        return [(number, name, json.loads(item)["out"]) for number, name, item in rows]

    def counts(self) -> dict[str, int]:
        """Returns the number of items of each status."""
        rows = dict(self._execute("SELECT status, COUNT(*) FROM items GROUP BY status"))
        return {name: rows.get(status, 0) for status, name in enumerate(STATUS_NAMES) if status != GONE}

    def bytes_left(self) -> int:
        """Returns the size of the inputs of pending items."""
        statement = "SELECT COALESCE(SUM(bytes), 0) FROM items WHERE status IN (?, ?)"
        return int(self._execute(statement, PENDING, RUNNING)[0][0])

    def rows(self, *statuses: int) -> Iterator[tuple[int | None, str, str, dict[str, Any], dict[str, Any]]]:
        """Yields shard, name, status, item and record of the items of the source, or of those with these statuses."""
        chosen = statuses or tuple(range(GONE))
        statement = (
            f"SELECT shard, name, status, item, record FROM items "  # noqa: S608
            f"WHERE status IN ({','.join('?' * len(chosen))}) ORDER BY number"
        )
        with self.guarded():
            for shard, name, status, item, record in self._base.execute(statement, chosen):
                yield shard, name, STATUS_NAMES[status], json.loads(item), json.loads(record or "{}")


#: What SQLite says of a disk that takes nothing more.
_DISK_FULL_MESSAGES = (
    ("full", "the disk is full"),
    ("disk I/O", "the disk is full, or fails"),
    ("readonly", "it, its folder or its disk is read-only"),
)


def _check_row(
    number: Any, name: Any, key: Any, item: Any, size: Any, status: Any, owns: Any, files: Any, record: Any, shard: Any
) -> None:
    """Raises unless a row of the items is one that a run writes."""
    values, about = _loaded(item, "an item"), _loaded(record or "{}", "a record")
    marks_of(files)
    what = f"the item {name!r}"
    _expect(_are(values, _ITEM) and values["name"] == name, f"{what} is incomplete, or has other parts")
    problem = problem_of(values["out"]) if values["out"] or not values["problem"] else ""
    _expect(not problem, f"the output of {what}, {values['out']!r}, {problem}")
    _expect(_are(about, _RECORD, all=False), f"{what} has a record of other types")
    are_numbers = _number(number) and _number(size, 1 << 62) and _number(status, len(STATUS_NAMES)) and owns in (0, 1)
    _expect(are_numbers and isinstance(key, str) and (shard is None or _number(shard)),
            f"{what} has columns of other types")  # fmt: skip


def _are_whole(paths: list[str], marks: Sequence[Mark], verify: bool) -> bool:
    """Returns whether the files of an item are as the run wrote them."""
    return len(paths) == len(marks) and all(
        is_whole(path, mark, verify=verify) for path, mark in zip(paths, marks, strict=True)
    )
