"""The table of `--list`."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import _shipped
from ._failures import Code, Failure, reading
from ._work import BLEND, EDIT, STREAM, Kind, Request, Task, check_folder, task_of


def _yes_or_no(text: str) -> bool:
    try:
        return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.lower()]
    except KeyError:
        raise ValueError(text) from None


def _one_of(words: tuple[str, ...]) -> tuple[Callable[[str], str], str]:
    def convert(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    return convert, f"one of {', '.join(words)}"


#: How the text of a cell becomes an option's value, and what it should be; text itself for the rest.
_CONVERSIONS: dict[str, tuple[Callable[[str], Any], str]] = {
    "mode": _one_of((*BLEND.modes, *EDIT.modes)),
    "gradients": _one_of(("source", "mixed", "average", "monochrome")),
    "contour": _one_of(("half", "full")),
    "gradient_kernel": _one_of(("normal", "sobel", "scharr", "roberts", "prewitt")),
    **dict.fromkeys(
        (
            *("color_weight_scale", "sigma", "smooth_sigma", "feather", "tolerance", "scale"),
            *("low", "high", "alpha", "beta", "gain", "strength"),
        ),
        (float, "a number"),
    ),
    **dict.fromkeys(("levels", "nz", "n_iteration", "seed", "quality"), (int, "a whole number")),
    **dict.fromkeys(
        (
            *("preserve_background", "reference", "supervised", "decontaminate", "keep_gps", "guard", "harmonize"),
            "batch_statistics",
        ),
        (_yes_or_no, "yes or no"),
    ),
}


def read_triples(table: str, request: Request) -> list[tuple[int, Task]]:
    """The rows of a table as tasks, with their lines; everything is checked before the first is run.

    Paths are relative to the table's folder, or to the current one for stdin; outputs to --output
    where it is given.

    Raises:
        Failure: INPUT, with the line; USAGE for outputs that are there already.
    """
    name = "stdin" if table == STREAM else table
    if table == STREAM and sys.stdin is None:
        raise Failure("- needs a stdin, and it is closed", Code.USAGE)
    with reading(name):
        raw = sys.stdin.buffer.read() if table == STREAM else Path(table).read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Failure(f"{name}: not UTF-8 at byte {error.start}", Code.INPUT) from None
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    folder = Path() if table == STREAM else Path(table).parent
    tasks = []
    try:
        columns = _columns(next(rows, []), name, request.kind)
        for cells in rows:
            if any(cell.strip() for cell in cells):
                where = f"{name}, line {rows.line_num}"
                if len(cells) != len(columns):
                    raise Failure(f"{where}: {len(cells)} cells under {len(columns)} columns", Code.INPUT)
                filled = {column: cell for column, cell in zip(columns, cells, strict=True) if cell.strip()}
                tasks.append((rows.line_num, _task(filled, where, folder, request)))
    except csv.Error as error:
        raise Failure(f"{name}, line {rows.line_num}: {error}", Code.INPUT) from None
    if not tasks:
        raise Failure(f"{name}: no rows", Code.INPUT)
    _check_outputs(tasks, name, request)
    return tasks


def _columns(header: list[str], name: str, kind: Kind) -> list[str]:
    columns = [cell.strip().lower().replace("-", "_") for cell in header]
    accepted = (*kind.inputs, "out", *kind.all_options)
    for needed in (*kind.needed, "out"):
        if needed not in columns:
            raise Failure(f"{name}: no column {needed!r}, expected some of {', '.join(accepted)}", Code.INPUT)
    for i, column in enumerate(columns):
        if column not in accepted:
            raise Failure(f"{name}: unknown column {header[i]!r}, expected some of {', '.join(accepted)}", Code.INPUT)
        if column in columns[:i]:
            raise Failure(f"{name}: two columns {column!r}", Code.INPUT)
    return columns


def _task(cells: dict[str, str], where: str, folder: Path, request: Request) -> Task:
    kind, options = request.kind, dict(request.options)
    for needed in (*kind.needed, "out"):
        if needed not in cells:
            raise Failure(f"{where}: no {needed}", Code.INPUT)
    for column, text in cells.items():
        if "\0" in text:
            raise Failure(f"{where}: {column} holds a zero byte", Code.INPUT)
        if column in (*kind.inputs, "out"):
            if text == STREAM:
                raise Failure(f"{where}: {column} is -; a list takes files", Code.INPUT)
            continue
        convert, accepts = _CONVERSIONS.get(column, (str, ""))
        try:
            options[column] = convert(text.strip())
        except ValueError:
            raise Failure(f"{where}: {column} {text!r}, expected {accepts}", Code.INPUT) from None
        if column == "save_mask":
            options[column] = _output(text, where, folder, request.output, "save_mask")
        if column in ("base", "color_weight", "generator", "model") and not _is_word(column, text):
            options[column] = str(folder / text)
    inputs = {name: str(folder / cells[name]) if name in cells else None for name in kind.inputs}
    out = _output(cells["out"], where, folder, request.output, "out")
    try:
        return task_of(kind, inputs, out, options)
    except Failure as failure:
        raise Failure(f"{where}: {failure}", Code.INPUT) from None


def _is_word(column: str, text: str) -> bool:
    """Whether a cell that may hold a path holds something else."""
    if column == "base":
        return text in ("membrane", "copy-paste")
    if column in ("generator", "model"):
        return text in {weights.name for weights in _shipped.every()}
    try:
        float(text)
    except ValueError:
        return False
    return True


def _output(text: str, where: str, folder: Path, output: str | None, column: str) -> str:
    if output is None:
        return str(folder / text)
    inside = os.path.normpath(text)
    if os.path.isabs(inside) or inside.split(os.sep)[0] == os.pardir:
        raise Failure(f"{where}: {column} {text!r} leaves the folder of --output", Code.INPUT)
    return str(Path(output) / inside)


def _check_outputs(tasks: list[tuple[int, Task]], name: str, request: Request) -> None:
    lines: dict[str, int] = {}
    for line, task in tasks:
        for column, file in (("out", task.out), ("save_mask", task.save_mask)):
            if file is not None:
                path = os.path.realpath(file)
                if path in lines:
                    raise Failure(f"{name}, line {line}: {column} {file!r} is that of line {lines[path]}", Code.INPUT)
                lines[path] = line
    for line, task in tasks:
        for file in task.files.values():
            writer = lines.get(os.path.realpath(file), line)
            if writer != line:
                raise Failure(f"{name}, line {writer}: out {file!r} is an input of line {line}", Code.INPUT)
    check_folder([task for _, task in tasks], request)
