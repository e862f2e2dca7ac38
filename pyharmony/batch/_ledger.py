"""The ledger of a run: what was done with every item, in SQLite, which survives the death of any process."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import _temporary
from .._jobs.failures import Code, writing
from ..errors import RunError

PENDING, RUNNING, DONE, FAILED, SKIPPED = range(5)
STATUS_NAMES = ("pending", "running", "done", "failed", "skipped")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS run (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS items (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    key TEXT NOT NULL,
    item TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    status INTEGER NOT NULL DEFAULT 0,
    owns INTEGER NOT NULL DEFAULT 0,
    record TEXT NOT NULL DEFAULT '',
    shard INTEGER
);
CREATE TABLE IF NOT EXISTS tables (path TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS shards (number INTEGER PRIMARY KEY, sha256 TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS items_by_shard ON items (shard, status, number);
CREATE INDEX IF NOT EXISTS items_by_status ON items (status, number);
"""
#: The seconds after which results are committed. What is lost with the parent is computed again.
_PAUSE = 0.25


def remove(files: Iterable[str]) -> None:
    """Deletes files of the run, those that are there."""
    for file in files:
        with writing(file), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(file)


@dataclass(frozen=True)
class Entry:
    """An item in the ledger.

    Attributes:
        key: the digest of its inputs, options and output.
        item: the item as JSON.
        bytes: the size of its inputs.
        owns: whether a file at its output is one that the run has written, or had begun to write.
    """

    number: int
    name: str
    key: str
    item: str
    bytes: int
    owns: bool = False


class Ledger:
    """The ledger in a file. One process at a time has it; the file is consistent whenever that process ends.

    Raises:
        RunError: another run has it, the disk is full, or the file is no ledger.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last_commit = time.monotonic()
        with writing(str(path)):
            self._lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _temporary.lock(self._lock, wait=False):
                raise RunError(f"{path.parent.parent}: another run is writing there", Code.USAGE, "busy")
            with self.guarded():
                self._base = sqlite3.connect(path, isolation_level=None)
                self._base.execute("PRAGMA journal_mode=WAL")
                # Without it, a power cut may undo a claim whose output is on the disk.
                self._base.execute("PRAGMA synchronous=FULL")
                self._base.executescript(_SCHEMA)
                self._base.execute("BEGIN")
        except BaseException:
            os.close(self._lock)
            raise

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Turns errors of SQLite into failures of the run."""
        try:
            yield
        except sqlite3.Error as error:
            text = str(error)
            if "full" in text or "disk I/O" in text:
                raise RunError(f"{self.path}: the disk is full", Code.RESOURCES, "ledger") from error
            damaged = "; the ledger is damaged: delete its folder, and --on-exist says what becomes of outputs"
            more = damaged if "not a database" in text or "malformed" in text else ""
            raise RunError(f"{self.path}: {text}{more}", Code.UNEXPECTED, "ledger") from error

    def close(self) -> None:
        """Commits what is pending, where the disk has room, and closes the file."""
        try:
            with contextlib.suppress(sqlite3.Error):
                self._base.execute("COMMIT")
            self._base.close()
        finally:
            os.close(self._lock)

    def commit(self, *, now: bool = False) -> None:
        """Commits if the last time was long ago, or now."""
        if now or time.monotonic() - self._last_commit > _PAUSE:
            with self.guarded():
                if self._base.in_transaction:  # SQLite ends one when the disk is full
                    self._base.execute("COMMIT")
                self._base.execute("BEGIN")
            self._last_commit = time.monotonic()

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
        with self.guarded():
            return {key: json.loads(value) for key, value in self._base.execute("SELECT key, value FROM run")}

    def describe(self, facts: Mapping[str, Any]) -> None:
        """Replaces the description of the run."""
        with self.guarded():
            self._base.execute("DELETE FROM run")
            rows = [(key, json.dumps(value)) for key, value in facts.items()]
            self._base.executemany("INSERT INTO run VALUES (?, ?)", rows)

    def tables(self) -> set[str]:
        """Returns the paths of the tables that runs have written, or were about to write."""
        with self.guarded():
            return {row[0] for row in self._base.execute("SELECT path FROM tables")}

    def add_tables(self, paths: Iterable[str]) -> None:
        """Records tables that a run writes."""
        with self.guarded():
            self._base.executemany("INSERT OR IGNORE INTO tables VALUES (?)", [(path,) for path in paths])

    def forget(self) -> None:
        """Makes all items pending; the run still owns their outputs."""
        with self.guarded():
            self._base.execute("UPDATE items SET status = ?, record = '', key = '', shard = NULL", (PENDING,))
            self._base.execute("DELETE FROM shards")

    def outputs(self) -> Iterator[tuple[str, str]]:
        """Yields the names of all items, and their outputs."""
        with self.guarded():
            for name, item in self._base.execute("SELECT name, item FROM items WHERE key != ''"):
                yield name, json.loads(item)["out"]

    def plan(
        self, entries: Iterable[Entry], before: Callable[[str], list[str]], now: Callable[[str], list[str]]
    ) -> int:
        """Adds items, and returns how many have changed since they were done; those are pending again.

        before, now: return the files of an output, as the run wrote them and as it will. Those that an item no longer
        has are deleted in the end; so are items that could not be run and that the source has no longer.
        """
        changed = 0
        left: list[str] = []
        with self.guarded():
            failed = self._base.execute("SELECT name, item FROM items WHERE status = ? AND owns = 0", (FAILED,))
            never_run = {name for name, item in failed if json.loads(item)["problem"]}
        for entry in entries:
            never_run.discard(entry.name)
            with self.guarded():
                statement = "SELECT number, key, shard, item, owns FROM items WHERE name = ?"
                row = self._base.execute(statement, (entry.name,)).fetchone()
                if row is None:
                    self._base.execute(
                        "INSERT INTO items (number, name, key, item, bytes) VALUES "
                        "((SELECT COALESCE(MAX(number) + 1, 0) FROM items), ?, ?, ?, ?)",
                        (entry.name, entry.key, entry.item, entry.bytes),
                    )
                elif row[1] != entry.key:
                    if row[2] is not None:
                        text = f"{entry.name}: has changed since its shard was written; --restart begins again"
                        raise RunError(text, Code.INPUT, "changed")
                    changed += row[1] != ""
                    old, new = before(json.loads(row[3])["out"]), now(json.loads(entry.item)["out"])
                    owns = bool(row[4]) and old == new
                    left += old if row[4] and not owns else []
                    self._base.execute(
                        "UPDATE items SET key = ?, item = ?, bytes = ?, status = ?, record = '', owns = ? "
                        "WHERE number = ?",
                        (entry.key, entry.item, entry.bytes, PENDING, owns, row[0]),
                    )
        with self.guarded():  # what `forget` left and the source has no longer
            for (item,) in self._base.execute("SELECT item FROM items WHERE key = '' AND owns = 1"):
                left += before(json.loads(item)["out"])
            self._base.execute("DELETE FROM items WHERE key = ''")
            self._base.executemany("DELETE FROM items WHERE name = ?", [(name,) for name in never_run])
        remove(left)
        return changed

    def reopen(self, *, failed: bool) -> None:
        """Makes items pending that a run had begun when it ended, and, with `failed`, those that failed."""
        statuses = (RUNNING, FAILED) if failed else (RUNNING,)
        with self.guarded():
            for status in statuses:
                self._base.execute("UPDATE items SET status = ?, record = '' WHERE status = ?", (PENDING, status))
        self.commit(now=True)

    # ---- items ----

    def claim(self, count: int, is_free: Callable[[Entry], bool]) -> list[Entry]:
        """Returns the next pending items, which are running from now on.

        is_free: returns whether the run may own what will be at an output, as nothing is there that it does not own.
        """
        with self.guarded():
            rows = self._base.execute(
                "SELECT number, name, key, item, bytes, owns FROM items WHERE status = ? ORDER BY number LIMIT ?",
                (PENDING, count),
            ).fetchall()
            entries = [Entry(number, name, key, item, size, bool(owns)) for number, name, key, item, size, owns in rows]
            states = [(RUNNING, entry.owns or is_free(entry), entry.number) for entry in entries]
            self._base.executemany("UPDATE items SET status = ?, owns = ? WHERE number = ?", states)
        # Committed before any output is written, so that a later run knows whose file it is.
        self.commit(now=True)
        return entries

    def finish(self, number: int, status: int, record: Mapping[str, Any], *, owns: bool) -> None:
        """Records the end of an item."""
        with self.guarded():
            self._base.execute(
                "UPDATE items SET status = ?, record = ?, owns = ? WHERE number = ?",
                (status, json.dumps(record), owns, number),
            )
        self.commit()

    # ---- shards ----

    def assign_shard(self, least: int, most: int) -> int:
        """Gives the first finished items without a shard a new one, and returns its number; -1: there are fewer."""
        with self.guarded():
            rows = self._base.execute(
                "SELECT number FROM items WHERE shard IS NULL AND status = ? ORDER BY number LIMIT ?", (DONE, most)
            ).fetchall()
            if len(rows) < least:
                return -1
            (shard,) = self._base.execute("SELECT COALESCE(MAX(shard) + 1, 0) FROM items").fetchone()
            self._base.executemany("UPDATE items SET shard = ? WHERE number = ?", [(shard, row[0]) for row in rows])
        self.commit(now=True)
        return int(shard)

    def mark_written(self, shard: int, sha256: str) -> None:
        """Records that a shard is on the disk."""
        with self.guarded():
            self._base.execute("INSERT OR REPLACE INTO shards VALUES (?, ?)", (shard, sha256))
        self.commit(now=True)

    def shards(self, *, written: bool) -> list[int]:
        """Returns the shards that are on the disk, or those that may not be."""
        with self.guarded():
            done = {row[0] for row in self._base.execute("SELECT number FROM shards")}
            every = {row[0] for row in self._base.execute("SELECT DISTINCT shard FROM items WHERE shard IS NOT NULL")}
        return sorted(done if written else every - done)

    def in_shard(self, shard: int) -> list[tuple[int, str, str]]:
        """Returns number, name and output of the items of a shard."""
        with self.guarded():
            statement = "SELECT number, name, item FROM items WHERE shard = ? ORDER BY number"
            rows = self._base.execute(statement, (shard,)).fetchall()
        return [(number, name, json.loads(item)["out"]) for number, name, item in rows]

    def counts(self) -> dict[str, int]:
        """Returns the number of items of each status."""
        with self.guarded():
            rows = dict(self._base.execute("SELECT status, COUNT(*) FROM items GROUP BY status"))
        return {name: rows.get(status, 0) for status, name in enumerate(STATUS_NAMES)}

    def bytes_left(self) -> int:
        """Returns the size of the inputs of pending items."""
        with self.guarded():
            statement = "SELECT COALESCE(SUM(bytes), 0) FROM items WHERE status IN (?, ?)"
            return int(self._base.execute(statement, (PENDING, RUNNING)).fetchone()[0])

    def rows(self, *statuses: int) -> Iterator[tuple[int | None, str, str, dict[str, Any], dict[str, Any]]]:
        """Yields shard, name, status, item and record of every item, or of those with these statuses, in order."""
        where = f"WHERE status IN ({','.join('?' * len(statuses))}) " if statuses else ""
        statement = f"SELECT shard, name, status, item, record FROM items {where}ORDER BY number"  # noqa: S608
        with self.guarded():
            for shard, name, status, item, record in self._base.execute(statement, statuses):
                yield shard, name, STATUS_NAMES[status], json.loads(item), json.loads(record or "{}")
