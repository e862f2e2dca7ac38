"""The items of a run: the files of a folder, the rows of a table, or the samples of WebDataset shards."""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..._checks import shortened
from ..._warnings import quiet, warn
from ...errors import ArgumentError, DataError, PyHarmonyError, PyHarmonyWarning, RunError
from ...io.folders import IMAGE_SUFFIXES, images_in, is_image, tell_of_others
from ...learn.data.tar_members import Member, members, read_member
from .._jobs.failures import Code, reading
from .._jobs.lists import MASK_SUFFIX, SUFFIXES, check_columns, column_of, csv_rows, names_by_column, tell_of_former
from ._folder import LONGEST_NAME, problem_of

#: The fields of a sample in a shard that may hold the image, in order, if none has the name of the input.
_FIRST_FIELDS = ("image", *(suffix[1:] for suffix in IMAGE_SUFFIXES))
#: The columns of a table beside inputs and options.
_OWN_COLUMNS = ("name", "out")
_TABLES = (".csv", ".jsonl", ".parquet")
#: The end of a shard's path inside that of a file in it.
_SHARD = re.compile(r"\.tar/", re.IGNORECASE)


@dataclass(frozen=True)
class Item:
    """One unit of work.

    Attributes:
        name: its name, unique in the run: the path in a folder, the `name` or `out` of a row, the key of a sample.
        inputs: the paths of its files by the names of inputs; a file in a shard is SHARD.tar/NAME.
        options: the options of its row.
        out: the path of its output in the output folder; '' until one is chosen.
        problem: why it cannot be run; '' if it can.
        columns: the cells of other columns of its row, as values of JSON, which the results repeat.
    """

    name: str
    inputs: Mapping[str, str]
    options: Mapping[str, Any]
    out: str = ""
    problem: str = ""
    columns: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Needs:
    """The inputs and options that an operation needs of its items.

    Attributes:
        inputs: the names of its inputs; the first varies from item to item.
        needed: those that every item must have.
        options: the names of options.
        option: returns the value of an option of a row, given its name, the cell and the table's folder.
        suffix: the suffix of outputs, such as '.png'; '': that of the first input.
        many_files: whether an item has several files, whose names have the stem of the output.
        columns: the columns of tables for inputs, options, 'name' and 'out' that are not called so.
        former: the former names of options, with the present ones.
    """

    inputs: tuple[str, ...]
    needed: tuple[str, ...]
    options: tuple[str, ...]
    option: Callable[[str, Any, Path], Any]
    suffix: str = ""
    many_files: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)
    former: Mapping[str, str] = field(default_factory=dict)

    @property
    def first(self) -> str:
        return self.inputs[0]


def items_of(
    source: Path, needs: Needs, other_inputs: Mapping[str, Path], before: Iterable[tuple[str, str]] = ()
) -> Iterator[Item]:
    """Yields the items of a source, in a fixed order, with names and outputs that are unique.

    Args:
        source: a folder of images, a .csv, .jsonl or .parquet file, a .tar file, or a folder of these.
        needs: what the operation needs.
        other_inputs: for inputs other than the first, a file for all items, or a folder with the file of each.
        before: the names of items that there were, and their outputs, which they keep.

    Raises:
        RunError: the source cannot be read; a defect of one item is its `problem` instead.
    """
    _by_stem.cache_clear()  # folders may have changed since an earlier run
    outputs = _Outputs(needs, before)
    names: set[bytes] = set()
    number = -1
    for number, item in enumerate(_every(source, needs, other_inputs)):  # noqa: B007
        own = as_text(item.name)
        name = _name_once(own, names)
        file = item.inputs.get(needs.first, "")
        if item.out:
            out, problem = outputs.place(as_text(item.out), file)
        else:
            out, problem = outputs.free(own, name, file)
        yield Item(name, item.inputs, item.options, "" if problem else out, item.problem or problem, item.columns)
    if number < 0:
        raise RunError(f"{source}: no items, expected rows of a table or samples of shards", Code.INPUT)


def check_source(source: Path, needs: Needs, other_inputs: Mapping[str, Path]) -> None:
    """Refuses a source, or inputs for all items, that are not there or are neither a file nor a folder."""
    for name, path in other_inputs.items():
        if name not in needs.inputs[1:]:
            raise ArgumentError(f"other_inputs: {name!r}, expected some of {', '.join(needs.inputs[1:]) or 'none'}")
        with reading(f"other_inputs[{name!r}] ({path})"):
            _check_kind(path.stat(), f"other_inputs[{name!r}] ({path})")
    with reading(str(source)):
        _check_kind(source.stat(), str(source))
    with quiet(PyHarmonyWarning):  # they are told when all are read
        next(_every(source, needs, other_inputs), None)


def _check_kind(there: os.stat_result, what: str) -> None:
    if not (stat.S_ISREG(there.st_mode) or stat.S_ISDIR(there.st_mode)):
        raise RunError(f"{what}: a pipe or a device, expected a file or a folder", Code.INPUT, "no_file", "no-file")


def no_file(name: str, path: str) -> str:
    """Returns why a path is no file that can be read to its end; '' if it is one, or there is none."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return f"{name} ({path}): {os.strerror(error.errno).lower()}" if error.errno == errno.ELOOP else ""
    except ValueError:
        return f"{name} ({path!r}): expected the path of a file"
    return "" if stat.S_ISREG(mode) else f"{name} ({path}): a folder, a pipe or a device, expected a file"


def _every(source: Path, needs: Needs, other_inputs: Mapping[str, Path]) -> Iterator[Item]:
    with reading(str(source)):
        if source.is_dir():
            shards = sorted(path for path in source.iterdir() if path.suffix.lower() == ".tar" and path.is_file())
        else:
            source.stat()
            shards = [source] if source.suffix.lower() == ".tar" else []
    if shards:
        if source.is_dir() and (image := next(_walk(source, []), None)) is not None:
            text = f"has shards, such as {shards[0].name}, and images, such as {image[0].relative_to(source)}"
            raise RunError(f"{source}: {text}; expected a folder of one of them", Code.INPUT)
        yield from _of_shards(shards, needs, other_inputs)
    elif source.is_dir():
        yield from _of_folder(source, needs, other_inputs)
    elif source.suffix.lower() in _TABLES:
        yield from _of_table(source, needs, other_inputs)
    else:
        raise RunError(f"{source}: expected a folder, a .tar file, or one of {', '.join(_TABLES)}", Code.INPUT)


# ---- folders ----

#: The names of folders for images and for the other input inside one folder.
_PARTS = (("composite", "mask"), ("composites", "masks"), ("images", "masks"))


def _of_folder(root: Path, needs: Needs, other_inputs: Mapping[str, Path]) -> Iterator[Item]:
    """Yields the images of a folder and those below it; masks are in another folder, or next to the images."""
    images, beside = root, False
    beside_name = next((name for name in needs.needed[1:] if name not in other_inputs), None)
    if beside_name is not None:
        if len(needs.needed) > 2 or beside_name != "mask":
            missing = " and ".join(name for name in needs.needed[1:] if name not in other_inputs)
            hint, text = f"other_inputs= has {missing}, or a table does", f"{root}: a folder has only {needs.first}"
            raise RunError(text, Code.USAGE, code="other-inputs-missing", hint=hint, missing=missing)
        part = next(((root / a, root / b) for a, b in _PARTS if (root / a).is_dir() and (root / b).is_dir()), None)
        if part is None:
            beside = True
        else:
            images, other_inputs = part[0], {**other_inputs, beside_name: part[1]}
    folders = {name: path for name, path in other_inputs.items() if path.is_dir()}
    same = {name: str(path) for name, path in other_inputs.items() if not path.is_dir()}
    is_empty = True
    others_than_images: list[str] = []
    for path, problem in _walk(images, others_than_images):
        relative = path.relative_to(images)
        if problem:
            yield Item(str(relative), {needs.first: str(path)}, {}, problem=problem)
            continue
        if beside and path.stem.endswith(MASK_SUFFIX):
            continue
        is_empty = False
        inputs, problem = {needs.first: str(path), **same}, ""
        for name, folder in folders.items():
            partner = _partner(folder / relative.parent, path.stem)
            inputs[name] = str(partner or "")
            problem = problem or ("" if partner else f"{name}: none called {relative.with_suffix('')} in {folder}")
        if beside and beside_name is not None:
            partner = _partner(path.parent, path.stem + MASK_SUFFIX)
            inputs[beside_name] = str(partner or "")
            problem = "" if partner else f"mask: no {path.stem}{MASK_SUFFIX}.png next to it"
        yield Item(str(relative), inputs, {}, problem=problem)
    tell_of_others(images, others_than_images)
    if is_empty:
        text = f"no images and no shards; expected files such as those that end with {', '.join(SUFFIXES)}, or .tar"
        raise RunError(f"{images}: {text}", Code.INPUT)


def _walk(folder: Path, others: list[str]) -> Iterator[tuple[Path, str]]:
    """Yields the images below a folder by their paths, and appends other files to a list; hidden ones are omitted.

    A folder below it that cannot be read is one of them, with the problem.
    """
    with reading(str(folder)), os.scandir(folder) as entries:
        every = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    for entry in every:
        path = folder / entry.name
        if entry.is_dir(follow_symlinks=False):
            try:
                yield from _walk(path, others)
            except RunError as error:
                yield path, str(error)
        elif is_image(entry):
            yield path, ""
        elif not os.path.isdir(entry):
            others.append(entry.name)


@functools.lru_cache(maxsize=64)
def _by_stem(folder: Path) -> dict[str, Path]:
    with reading(str(folder)):
        return {path.stem: path for path in images_in(folder)[0]}


def _partner(folder: Path, stem: str) -> Path | None:
    try:
        return _by_stem(folder).get(stem)
    except RunError:
        return None


# ---- tables ----


def _of_table(path: Path, needs: Needs, other_inputs: Mapping[str, Path]) -> Iterator[Item]:
    suffix = path.suffix.lower()
    accepted = (*needs.inputs, *_OWN_COLUMNS, *needs.options)
    name_of = names_by_column(needs.columns, accepted, needs.former)
    carried_columns: dict[str, None] = {}
    old_columns: set[str] = set()

    def check(columns: list[str]) -> None:
        needed = [name for name in needs.needed if name not in other_inputs]
        check_columns(columns, str(path), name_of, needed, needs.columns)

    if suffix == ".jsonl":
        rows = _json_rows(path)
    else:
        rows = (_csv_rows if suffix == ".csv" else _parquet_rows)(path, check)
    for number, row in rows:
        where = f"line {number}" if suffix != ".parquet" else f"row {number}"
        inputs = {name: str(file) for name, file in other_inputs.items()}
        options: dict[str, Any] = {}
        problem = ""
        others_in_row = {column: cell for column, cell in row.items() if column not in name_of}
        carried = json.loads(json.dumps(others_in_row, default=str)) if others_in_row else {}
        carried_columns.update(dict.fromkeys(carried))
        old_columns |= row.keys() & needs.former.keys()
        for old in row.keys() & needs.former.keys():
            if needs.former[old] in row:
                problem = f"{where}: {old} beside {needs.former[old]}, its new name"
        row = {name_of[column]: cell for column, cell in row.items() if column in name_of}
        for name, cell in row.items():
            try:
                if name in needs.inputs:
                    inputs[name] = _path_of(cell, path.parent)
                elif name not in _OWN_COLUMNS:
                    options[name] = needs.option(name, cell, path.parent)
            except (ValueError, TypeError, OverflowError, RecursionError, PyHarmonyError) as error:
                problem = problem or f"{where}: {name} {as_text(shortened(cell))}, expected {error}"
        for name in needs.needed:
            if name not in inputs:
                problem = problem or f"{where}: {name} is missing"
        out, own = row.get("out", ""), row.get("name") or row.get("out") or row.get(needs.first) or where
        if not isinstance(out, str):
            out, problem = "", problem or f"{where}: out {shortened(out)}, expected a path in the output folder"
        name = own if isinstance(own, str) else shortened(own)
        yield Item(name, inputs, options, out, problem, carried)
    tell_of_former(sorted(old_columns), str(path), needs.former)
    if carried_columns:
        names = ", ".join(carried_columns)
        warn(f"{path}: columns that are no inputs or options, which the results repeat: {names}")


def _path_of(cell: Any, folder: Path) -> str:
    if not isinstance(cell, str) or not cell.strip() or "\0" in cell or not _is_text(cell):
        raise ValueError("the path of a file")
    return str(folder / cell)


def _is_text(name: str) -> bool:
    """Returns whether a file may have a name: a surrogate of UTF-16 alone is in none."""
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return True


def _filled(row: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Returns the cells of a row that are not missing; NumPy and pandas write NaN in their place."""
    return {column_of(name): cell for name, cell in row if cell is not None and cell == cell}


def _csv_rows(path: Path, check: Callable[[list[str]], None]) -> Iterator[tuple[int, dict[str, Any]]]:
    with reading(str(path)), open(path, encoding="utf-8-sig", newline="") as file:
        yield from csv_rows(file, str(path), check)


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with reading(str(path)), open(path, encoding="utf-8-sig") as file:
        try:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise RunError(f"{path}, line {number}: {error}", Code.INPUT) from None
                if not isinstance(row, dict):
                    raise RunError(f"{path}, line {number}: {type(row).__name__}, expected an object", Code.INPUT)
                yield number, _filled(row.items())
        except UnicodeDecodeError as error:
            raise RunError(f"{path}: expected UTF-8, invalid at byte {error.start}", Code.INPUT) from None


def _parquet_rows(path: Path, check: Callable[[list[str]], None]) -> Iterator[tuple[int, dict[str, Any]]]:
    parquet = arrow(f"{path}: a Parquet table")
    try:
        number = 0
        file = parquet.ParquetFile(path)
        check([column_of(name) for name in file.schema_arrow.names])
        for batch in file.iter_batches(batch_size=4096):
            for row in batch.to_pylist():
                number += 1
                yield number, _filled(row.items())
    except (OSError, ValueError, NotImplementedError) as error:  # the errors of pyarrow are of these classes
        raise RunError(f"{path}: {error}", Code.INPUT) from None
    except MemoryError as error:  # by the sizes that the file states, which a damaged one may state too large
        message = f"{path}: damaged, or its rows need more memory than is available: {error}"
        raise RunError(message, Code.RESOURCES) from None


def arrow(what: str) -> Any:
    """Returns pyarrow.parquet."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise RunError(f"{what} needs pyarrow: pip install 'pyharmony-blend[batch]'", Code.UNEXPECTED) from None
    return pyarrow.parquet


# ---- shards ----


def _of_shards(shards: list[Path], needs: Needs, other_inputs: Mapping[str, Path]) -> Iterator[Item]:
    """Yields the samples of WebDataset shards: consecutive files with one key, KEY.FIELD.

    A damaged shard has one item more, with the problem in place of the sample that may be incomplete.
    """
    for name, other in other_inputs.items():
        if other.is_dir():
            raise ArgumentError(f"other_inputs[{name!r}]: a folder, expected a file: samples have no names of files")
    for shard in shards:
        key = ""
        fields: dict[str, str] = {}
        with reading(str(shard)):
            readable, damage = _readable(shard)
        for member in readable:
            base, _, name = os.path.basename(member.name).partition(".")
            prefix = os.path.join(os.path.dirname(member.name), base)
            if prefix != key and fields:
                yield _of_sample(shard, key, fields, needs, other_inputs)
                fields = {}
            key = prefix
            fields[name.lower()] = f"{shard}/{member.name}"
        if damage:
            name = f"{shard.stem}/{key}" if fields else shard.stem
            yield Item(name, {}, {}, problem=f"{shard.name}: {damage}; its samples from here on cannot be read")
        elif fields:
            yield _of_sample(shard, key, fields, needs, other_inputs)


def _readable(shard: Path) -> tuple[list[Member], str]:
    """Returns the files of a shard, and how it is damaged after them; '' if it is not."""
    readable = []
    try:
        for member in members(shard):
            readable.append(member)
    except DataError as error:
        return readable, str(error)
    return readable, ""


def _of_sample(
    shard: Path, key: str, fields: Mapping[str, str], needs: Needs, other_inputs: Mapping[str, Path]
) -> Item:
    inputs = {name: str(path) for name, path in other_inputs.items()}
    for name in needs.inputs:
        file = next((fields[field] for field in fields if field.rpartition(".")[0] == name), None)
        if file is None and name == needs.first:
            file = next((fields[field] for field in _FIRST_FIELDS if field in fields), None)
        if file is not None:
            inputs[name] = file
    missing = next((name for name in needs.needed if name not in inputs), None)
    problem = "" if missing is None else f"{key}: no {missing} in {shard.name}; its files are {', '.join(fields)}"
    return Item(f"{shard.stem}/{key}", inputs, {}, problem=problem)


@functools.lru_cache(maxsize=4)
def _members_of(shard: str, modified: int) -> dict[str, Member]:
    return {member.name: member for member in _readable(Path(shard))[0]}


def _in_shard(path: str) -> tuple[str, str] | None:
    """Returns the shard and the name in it of a path SHARD.tar/NAME; None for the path of a file."""
    for mark in _SHARD.finditer(path):
        shard = path[: mark.end() - 1]
        if not os.path.isdir(shard):
            return shard, path[mark.end() :]
    return None


def open_source(path: str) -> Any:
    """Returns what `pyharmony.io.read` opens for the path of an input: the path, or the bytes of a file in a shard."""
    place = _in_shard(path)
    if place is None:
        return path
    shard, name = place
    member = _members_of(shard, os.stat(shard).st_mtime_ns).get(name)
    if member is None:
        raise FileNotFoundError(2, os.strerror(2), path)
    return read_member(Path(shard), member)


def identity(path: str) -> tuple[int, int]:
    """Returns the size of a file in bytes and the time of its last change in nanoseconds; (-1, 0) if there is none."""
    try:
        place = _in_shard(path)
        if place is None:
            stat = os.stat(path)
            return stat.st_size, stat.st_mtime_ns
        modified = os.stat(place[0]).st_mtime_ns
        return _members_of(place[0], modified)[place[1]].size, modified
    except (OSError, KeyError):
        return -1, 0


# ---- names ----


def as_text(name: str) -> str:
    """Returns a file's name as valid text: bytes that are no UTF-8 are written as \\xff."""
    if name.isascii():
        return name
    try:
        return os.fsencode(name).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a surrogate of UTF-16 alone
        return name.encode("utf-8", "backslashreplace").decode()


def _name_once(name: str, names: set[bytes]) -> str:
    """Returns a name, with a number after it if another item has it."""
    unique, count = name, 1
    while (digest := _digest(unique)) in names:
        count += 1
        unique = f"{name}#{count}"
    names.add(digest)
    return unique


def _digest(text: str) -> bytes:
    return hashlib.blake2b(os.fsencode(text), digest_size=10).digest()


def _folded(out: str) -> bytes:
    """Returns the digest of a path, equal for paths that some file system cannot tell apart."""
    if out.isascii():
        return _digest(out.lower())
    return _digest(unicodedata.normalize("NFC", unicodedata.normalize("NFC", out).casefold()))


class _Outputs:
    """The paths of outputs, which differ on every file system: also without case, and in either form of accents."""

    def __init__(self, needs: Needs, before: Iterable[tuple[str, str]]) -> None:
        self._needs = needs
        self._taken: set[bytes] = set()
        self._before: set[bytes] = set()
        for name, out in before:
            self._before |= {self._place(out), _digest(f"{name}\0{out}")}

    def place(self, row: str, file: str) -> tuple[str, str]:
        """Returns the output of a row, and the problem if it has one; file: the path of its first input."""
        out = os.path.normpath(row)
        last = os.path.basename(row)
        if last not in ("", os.curdir, os.pardir) and os.path.splitext(out)[1].lower() not in SUFFIXES:
            out += self._suffix(file)
        problem = problem_of(out) if last not in ("", os.curdir, os.pardir) else "names no file"
        if not problem and not self._take(out):
            problem = "is also the output of another item"
        return out, problem and f"out: {shortened(row)} {problem}"

    def free(self, name: str, unique: str, file: str) -> tuple[str, str]:
        """Returns the path of a name, with the suffix of outputs, or that of the file that is read, and its problem.

        unique: a name that no other item has.
        """
        parts = [part for part in os.path.normpath(name).split(os.sep) if part not in ("", os.pardir, os.curdir)]
        folder, last = os.path.join(*parts[:-1], ""), parts[-1] if parts else "image"
        stem, own = os.path.splitext(last)
        suffix = self._suffix(file)
        stem = stem if own.lower() in IMAGE_SUFFIXES else last
        out = folder + _shortened(stem, suffix)
        if problem := problem_of(out):
            return "", f"{shortened(name)}: its output {problem}"
        length = 8
        while not self._take(out, unique):
            tag = hashlib.sha256(os.fsencode(unique)).hexdigest()[:length]
            out = folder + _shortened(f"{stem}-{tag}", suffix)
            length += 1
        return out, ""

    def _suffix(self, file: str) -> str:
        own = os.path.splitext(file)[1]
        return self._needs.suffix or (own if own.lower() in SUFFIXES else ".png")

    def _place(self, out: str) -> bytes:
        return _folded(os.path.splitext(out)[0] if self._needs.many_files else out)

    def _take(self, out: str, unique: str | None = None) -> bool:
        """Takes an output if no item has it, and, with the unique name of an item, if no other item has had it."""
        digest = self._place(out)
        if digest in self._taken:
            return False
        if unique is not None and digest in self._before and _digest(f"{unique}\0{out}") not in self._before:
            return False
        self._taken.add(digest)
        return True


def _shortened(stem: str, suffix: str) -> str:
    """Returns the name of a file, whose stem is shortened if a file system does not accept its length."""
    if len(os.fsencode(stem + suffix)) <= LONGEST_NAME:
        return stem + suffix
    tag = "-" + hashlib.sha256(os.fsencode(stem)).hexdigest()[:12] + suffix
    return os.fsencode(stem)[: LONGEST_NAME - len(tag)].decode("utf-8", "ignore") + tag
