"""The table of results, and the list of errors, from the ledger."""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ... import _temporary
from ._folder import writing
from ._ledger import FAILED, Ledger
from ._sources import as_text

#: The columns of the table of results.
COLUMNS = (
    "name", "status", "output", "shard", "bytes", "sha256", "width", "height", "ms", "error", "message", "record",
)  # fmt: skip
_ROWS = 10_000  # the rows that are written at a time


def write_results(ledger: Ledger, path: Path) -> None:
    """Writes a row for every item: .parquet, with pyarrow, or .csv; the rest of a record is JSON in the last column."""
    with writing(str(path)), _temporary.file(path) as unfinished:
        (_write_parquet if path.suffix == ".parquet" else _write_csv)(_rows(ledger), unfinished)
        _temporary.sync(unfinished)


def write_errors(ledger: Ledger, path: Path) -> list[dict[str, Any]]:
    """Writes a line of JSON for every item that failed, and returns the first hundred; none: an old list is removed."""
    first: list[dict[str, Any]] = []
    count = 0
    with writing(str(path)):
        with _temporary.file(path) as unfinished, open(unfinished, "w", encoding="utf-8") as file:
            for _, name, _, item, record in ledger.rows(FAILED):
                count += 1
                error = {"name": name, **record, "inputs": item["inputs"], **_carried(item)}
                if len(first) < 100:
                    first.append(error)
                file.write(json.dumps(error) + "\n")
        if not count:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
    return first


def _carried(item: dict[str, Any]) -> dict[str, Any]:
    """Returns the cells of other columns of an item's row, for its record."""
    return {"columns": item["columns"]} if item.get("columns") else {}


def _rows(ledger: Ledger) -> Iterator[dict[str, Any]]:
    for shard, name, status, item, record in ledger.rows():
        status = "refused" if record.get("kind") == "refused" else status
        row = {
            "name": name, "status": status, "output": item["out"] if status == "done" else None, "shard": shard,
            "ms": record.pop("ms", {}).get("total"), "error": record.pop("kind", None),
        }  # fmt: skip
        row |= {column: record.pop(column, None) for column in COLUMNS if column not in (*row, "record")}
        if row["message"]:
            row["message"] = as_text(row["message"])
        record |= _carried(item)
        yield {**row, "record": json.dumps(record) if record else None}


def _write_csv(rows: Iterator[dict[str, Any]], path: Path) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def _write_parquet(rows: Iterator[dict[str, Any]], path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    types = {"shard": pyarrow.int32(), "bytes": pyarrow.int64()}
    types |= {"width": pyarrow.int32(), "height": pyarrow.int32(), "ms": pyarrow.float64()}
    schema = pyarrow.schema([(column, types.get(column, pyarrow.string())) for column in COLUMNS])
    # pyarrow takes a path with a colon for a URL.
    with open(path, "wb") as whole, pyarrow.parquet.ParquetWriter(whole, schema, compression="zstd") as file:
        part: list[dict[str, Any]] = []
        for row in rows:
            part.append(row)
            if len(part) == _ROWS:
                file.write_table(pyarrow.Table.from_pylist(part, schema))
                part = []
        file.write_table(pyarrow.Table.from_pylist(part, schema))
