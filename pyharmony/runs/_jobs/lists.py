"""Several tasks at once: the rows of a table, or the images of a folder; all are checked before the first one runs."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, get_args

from ..._calls import BLEND, EDIT, HARMONIZE, Call, File, Numbers
from ..._warnings import warn
from ...errors import ArgumentError, RunError
from ...io.folders import images_in, tell_of_others
from ...typing import ImageFormat
from .failures import Code, reading
from .task import STREAM, Request, Task, check_outputs, task_of


def rows_of(table: str, request: Request, stdin: BinaryIO | None = None) -> list[tuple[dict[str, Any], Task]]:
    """Reads the rows of a table as tasks, each with its line and the cells of columns that are no inputs or options.

    Paths are relative to the table's folder, or to the current one for stdin; outputs to the request's output where it
    is given. Failures name the line; outputs that already exist are refused.
    """
    name = "stdin" if table == STREAM else table
    if table == STREAM and stdin is None:
        raise RunError("-: stdin is closed", Code.USAGE)
    with reading(name):
        raw = stdin.read() if table == STREAM and stdin is not None else Path(table).read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RunError(f"{name}: expected UTF-8, invalid at byte {error.start}", Code.INPUT) from None
    folder = Path() if table == STREAM else Path(table).parent
    accepted, former = (*request.kind.inputs, "out", *request.kind.by_name), request.kind.former(request.columns)
    name_of = names_by_column(request.columns, accepted, former)

    def check(columns: list[str]) -> None:
        check_columns(columns, name, name_of, (*request.kind.needed, "out"), request.columns)
        tell_of_former(columns, name, former)
        if others := [column for column in columns if column not in name_of]:
            warn(f"{name}: columns that are no inputs or options, which the results repeat: {', '.join(others)}")

    tasks: list[tuple[dict[str, Any], Task]] = []
    for line, row in csv_rows(io.StringIO(text, newline=""), name, check):
        carried = {column: cell for column, cell in row.items() if column not in name_of}
        cells = {name_of[column]: cell for column, cell in row.items() if column in name_of}
        key = {"line": line, **({"columns": carried} if carried else {})}
        tasks.append((key, _task(cells, f"{name}, line {line}", folder, request)))
    if not tasks:
        raise RunError(f"{name}: contains no rows", Code.INPUT)
    _check_rows(tasks, name, request)
    return tasks


def column_of(cell: str) -> str:
    """Returns the name of a column from the cell of a table's header."""
    return cell.strip().lower().replace("-", "_")


def separator_of(header: Sequence[str]) -> str:
    """Returns the end of a message about the columns of a CSV table that is separated by something else; else ''."""
    mark = next((mark for mark in _SEPARATORS if len(header) == 1 and mark in header[0]), None)
    return f"; the file is separated by {mark!r}, expected ','" if mark else ""


#: The separators of CSV files in place of the comma; some spreadsheets write them, by the country that is set.
_SEPARATORS = (";", "\t", "|")


def names_by_column(
    columns: Mapping[str, str], accepted: Iterable[str], former: Mapping[str, str]
) -> dict[str, str]:  # fmt: skip
    """Returns the accepted names by the columns of a table; `columns` are the columns of names that are not called so.

    former: the former names of some of them, with the present ones.
    ArgumentError: a name is not accepted.
    """
    accepted = tuple(accepted)
    unknown = next((name for name in columns if name not in accepted), None)
    if unknown is not None:
        raise ArgumentError(f"columns: {unknown!r}, expected some of {', '.join(accepted)}")
    names = {old: name for old, name in former.items() if name in accepted}
    names |= {name: name for name in accepted if name not in columns}
    return names | {column_of(column): name for name, column in columns.items()}


def tell_of_former(columns: Iterable[str], name: str, former: Mapping[str, str]) -> None:
    """Warns of columns that have former names of options."""
    if renamed := [f"{column} is called {former[column]} now" for column in columns if column in former]:
        warn(f"{name}: columns with old names, which the next release does not take: {', '.join(renamed)}")


def check_columns(
    columns: list[str], name: str, name_of: Mapping[str, str], needed: Sequence[str], own: Mapping[str, str]
) -> None:
    """Refuses a table without a column that is needed, or with one twice; own: the columns that have other names."""
    there = [name_of.get(column, "") for column in columns]
    missing = next((one for one in needed if one not in there), None)
    twice = next((one for one in columns if columns.count(one) > 1 or there.count(name_of.get(one, "-")) > 1), None)
    if missing is not None and not any(columns):
        names = ", ".join(own.get(one, one) for one in needed)
        raise RunError(f"{name}: has no columns, expected at least {names}", Code.INPUT)
    if missing is not None:
        text = f"column {own.get(missing, missing)!r} is missing; there are {', '.join(columns)}{separator_of(columns)}"
        raise RunError(f"{name}: {text}", Code.INPUT)
    if twice is not None:
        raise RunError(f"{name}: column {twice!r} occurs twice", Code.INPUT)


def csv_rows(
    file: Iterable[str], name: str, check: Callable[[list[str]], None]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields the number of the line of each row, and its cells that are not empty; check: refuses a header."""
    table = csv.reader(file, strict=True)
    try:
        header = [column_of(cell) for cell in next(table, [])]
        check(header)
        for cells in table:
            if any(cell.strip() for cell in cells):
                if len(cells) != len(header):
                    text = f"{name}, line {table.line_num}: {len(cells)} cells, expected {len(header)}"
                    raise RunError(text, Code.INPUT)
                yield table.line_num, {column: cell for column, cell in zip(header, cells, strict=True) if cell.strip()}
    except csv.Error as error:
        raise RunError(f"{name}, line {table.line_num}: {error}", Code.INPUT) from None
    except UnicodeDecodeError as error:
        raise RunError(f"{name}: expected UTF-8, invalid at byte {error.start}", Code.INPUT) from None


def _task(cells: dict[str, str], where: str, folder: Path, request: Request) -> Task:
    kind, options = request.kind, dict(request.options)
    for column in (*kind.needed, "out"):
        if column not in cells:
            raise RunError(f"{where}: {column} is empty", Code.INPUT)
    for column, text in cells.items():
        if "\0" in text:
            raise RunError(f"{where}: {column} contains a zero byte", Code.INPUT)
        if column in (*kind.inputs, "out"):
            if text == STREAM:
                raise RunError(f"{where}: {column} is -, expected a file", Code.INPUT)
            continue
        try:
            options[column] = option_of(kind, column, text, folder)
        except ValueError as error:
            raise RunError(f"{where}: {column} {text!r}, expected {error}", Code.INPUT) from None
        if column == "save_mask":
            options[column] = _output(text, where, folder, request.output, "save_mask")
    inputs = {name: str(folder / cells[name]) if name in cells else None for name in kind.inputs}
    out = _output(cells["out"], where, folder, request.output, "out")
    try:
        return task_of(kind, inputs, out, options)
    except RunError as failure:
        raise RunError(f"{where}: {failure}", Code.INPUT) from None


def option_of(kind: Call, column: str, text: str, folder: Path) -> Any:
    """Returns the value of an option for the text of a cell; the path of a file is relative to the table's folder.

    ValueError: the text is not accepted; the message says what is.
    """
    option = kind.by_name[column]
    if isinstance(option.type, Numbers):
        return text.strip()  # judged with the other options
    value = option.converted(text.strip())
    is_read = isinstance(option.type, File) and option.type.role != "output"
    return str(folder / text) if is_read and option.type.is_path(text) else value


#: The options that are files to read.
FILES = tuple(
    dict.fromkeys(
        option.name
        for kind in (BLEND, EDIT, HARMONIZE)
        for option in kind.options
        if isinstance(option.type, File) and option.type.role != "output"
    )
)


def _output(text: str, where: str, folder: Path, output: str | None, column: str) -> str:
    if output is None:
        return str(folder / text)
    inside = os.path.normpath(text)
    if os.path.isabs(inside) or inside.split(os.sep)[0] == os.pardir:
        raise RunError(f"{where}: {column} {text!r} is outside the output folder", Code.INPUT)
    return str(Path(output) / inside)


def _check_rows(tasks: list[tuple[dict[str, Any], Task]], name: str, request: Request) -> None:
    lines: dict[str, int] = {}
    for key, task in tasks:
        line = key["line"]
        for column, file in (("out", task.out), ("save_mask", task.save_mask)):
            if file is not None:
                path = os.path.realpath(file)
                if path in lines:
                    raise RunError(f"{name}, line {line}: {column} {file!r} is also in line {lines[path]}", Code.INPUT)
                lines[path] = line
    for key, task in tasks:
        for file in task.files.values():
            writer = lines.get(os.path.realpath(file), key["line"])
            if writer != key["line"]:
                raise RunError(f"{name}, line {writer}: out {file!r} is an input of line {key['line']}", Code.INPUT)
    check_outputs([task for _, task in tasks], request)


#: The names of folders for images and masks inside one folder.
_PARTS = (("composite", "mask"), ("composites", "masks"), ("images", "masks"))
#: The end of the stem of a mask next to its image.
MASK_SUFFIX = "_mask"
#: The suffixes of images.
SUFFIXES = tuple(f".{name}" for name in get_args(ImageFormat))


def folder_of(request: Request, folder: Path, masks: str | None) -> list[tuple[str, Task]]:
    """Makes a task, with its name, of each image of a folder; the mask is in a folder of masks or next to the image.

    Refuses an image without a mask, and an output that is an input or already exists.
    """
    if request.output in (None, STREAM):
        raise RunError("a folder of images is written to a folder", Code.USAGE, code="output-missing")
    out = Path(str(request.output))
    beside = False
    if masks is not None:
        others = Path(masks)
        if not others.is_dir():
            raise RunError(f"{masks}: is not a folder, expected a folder of masks for {folder}", Code.USAGE)
    else:
        parts = [(folder / a, folder / b) for a, b in _PARTS if (folder / a).is_dir() and (folder / b).is_dir()]
        beside = not parts
        folder, others = parts[0] if parts else (folder, folder)
    if beside:
        every = _images(folder)
        of_stem = {path.stem.removesuffix(MASK_SUFFIX): path for path in every if path.stem.endswith(MASK_SUFFIX)}
        images = [path for path in every if not path.stem.endswith(MASK_SUFFIX)]
    else:
        images, of_stem = _images(folder), {path.stem: path for path in _images(others)}
    if not images:
        text = f"no images; expected files such as those that end with {', '.join(SUFFIXES)}"
        raise RunError(f"{folder}: {text}", Code.INPUT)
    tasks = []
    image_of: dict[Path, Path] = {}
    for path in images:
        mask = of_stem.get(path.stem)
        if mask is None:
            expected = f"{path.stem}{MASK_SUFFIX}.png next to it" if beside else f"one called {path.stem} in {others}"
            raise RunError(f"{path}: no mask found, expected {expected}", Code.INPUT)
        own = path.suffix if path.suffix.lower() in SUFFIXES else ".png"
        suffix = f".{request.options['format']}" if request.options.get("format") else own
        target = out / (path.stem + suffix)
        if target in image_of:
            raise RunError(f"{path}: its output {target} is also that of {image_of[target]}", Code.INPUT)
        image_of[target] = path
        inputs = {"image": str(path), "mask": str(mask)}
        tasks.append((path.name, task_of(request.kind, inputs, str(target), request.options)))
    read = {os.path.realpath(file) for _, task in tasks for file in task.files.values()}
    for _, task in tasks:
        if os.path.realpath(task.out) in read:
            raise RunError(f"{task.out}: the output of {task.files['image']} is an input", Code.INPUT)
    check_outputs([task for _, task in tasks], request)
    return tasks


def _images(folder: Path) -> list[Path]:
    with reading(str(folder)):
        images, others = images_in(folder)
    tell_of_others(folder, others)
    return images
