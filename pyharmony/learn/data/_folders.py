"""Folders of images related by their stems, by a table or by a manifest."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ... import _checks
from ...errors import DataError
from ...typing import PathLike
from . import _files
from ._dataset import Dataset, Problem, Sample


class _Stems(Dataset):
    """Folders in which files of one stem form a sample."""

    _folders: dict[str, Path]
    _paths: dict[str, dict[str, Path]]

    def _open(self, root: Any, folders: dict[str, str]) -> None:
        self.root = _checks.folder(root, "root")
        self._folders = {role: self.root / name for role, name in folders.items()}
        for role, path in self._folders.items():
            _checks.folder(path, role)
        self._paths = {role: _files.pictures_in(path) for role, path in self._folders.items()}
        self.names = list(next(iter(self._paths.values())))

    def _stems(self, role: str, name: str) -> tuple[str, ...]:
        """Returns the possible stems of a role's file for a sample; the first existing one is used."""
        return (name,)

    def _stem(self, role: str, name: str) -> str | None:
        """Returns the stem of a role's file for a sample, or None if there is no such file."""
        return next((stem for stem in self._stems(role, name) if stem in self._paths[role]), None)

    def paths(self, index: int) -> dict[str, Path]:
        """Returns the files of a sample."""
        name = self.names[self._at(index)]
        first, result = next(iter(self._paths)), {}
        for role, files in self._paths.items():
            stem = self._stem(role, name)
            if stem is None:
                raise DataError(f"{self._folders[role] / name}.*: no {role} of {self._paths[first][name]}")
            result[role] = files[stem]
        return result

    @_files.loads_files
    def _load(self, index: int) -> Sample:
        return _files.sample(self.names[index], self.paths(index))

    @_files.loads_files
    def _load_for(self, index: int, side: int) -> Sample:
        return _files.sample(self.names[index], self.paths(index), side)

    def _strays(self) -> list[Problem]:
        first, *others = self._paths
        stems = {role: {self._stem(role, name) for name in self.names} for role in others}
        return [
            Problem(name, f"{path}: there is no {first} of this stem in {self._folders[first]}")
            for role in others
            for name, path in self._paths[role].items()
            if name not in stems[role]
        ]


#: The file that `write_triples` writes next to its folders: a line of JSON for each sample.
RECIPES = "recipes.jsonl"
#: The names of the folders of triples, ours first; public code capitalises them, too.
_FOLDERS = {
    "composite": ("composite", "composite_images"),
    "mask": ("mask", "masks"),
    "target": ("target", "real", "real_images"),
}


class Triples(_Stems):
    """Composite, mask and target (the real image), as three folders.

    The recipes of `write_triples`, if present, define the groups: composites of the same photograph.

    Files of one stem form a sample, and also files named as in iHarmony4: the composite `f1_2_3.jpg` has the mask
    `f1_2.png` and the real image `f1.jpg`, which is its group.

    Args:
        root: the parent folder.
        composite, mask, target: the names of the folders; None: 'composite', 'mask' and 'target', or else
            'composite_images', 'masks' and 'real' or 'real_images', in upper or lower case.

    `Triples.from_table` reads a table of paths. Samples have `composite`, `target` and `mask`.

    Raises:
        FileNotFoundError: a folder is missing.
        DataError: two files of a folder have one stem, or the recipes are damaged.

    Example:
        >>> from pyharmony import data
        >>> sorted(data.Triples("triples")[0])
        ['composite', 'mask', 'name', 'target']
    """

    @_checks.kinds
    def __init__(
        self, root: PathLike, composite: str | None = None, mask: str | None = None, target: str | None = None
    ) -> None:
        place = _checks.folder(root, "root")
        names = {"composite": composite, "target": target, "mask": mask}
        self._open(root, {role: name or _folder_in(place, _FOLDERS[role]) for role, name in names.items()})
        self._groups = _groups_in(self.root / RECIPES)

    def _stems(self, role: str, name: str) -> tuple[str, ...]:
        parts = name.split("_")
        shorter = {"mask": 1, "target": 2}.get(role, 0)
        return (name, "_".join(parts[:-shorter])) if shorter and len(parts) >= 3 else (name,)

    @property
    def groups(self) -> Sequence[str]:
        return [self._groups.get(name) or self._stem("target", name) or name for name in self.names]

    @classmethod
    @_checks.kinds
    def from_table(cls, table: PathLike) -> Triples:
        """Opens the triples of a CSV file with the columns composite, mask, target and, optionally, name.

        Paths are relative to the table and may lead anywhere: a table is trusted. Check tables from other people
        before opening them.

        Raises:
            DataError: a column or a cell is missing, or a name occurs twice.
            OSError: the table cannot be read.
        """
        path = Path(table)
        triples = cls.__new__(cls)
        triples.root, triples._groups = path.parent, {}
        triples._folders = dict.fromkeys(("composite", "target", "mask"), path.parent)
        triples._paths = {role: {} for role in triples._folders}
        text = _files.read_text(path, "table").removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
        rows = csv.DictReader(io.StringIO(text, newline=""))
        with _files.data_errors(str(path)):
            lacking = [role for role in triples._folders if role not in (rows.fieldnames or ())]
            if lacking:
                raise DataError(
                    f"table: {path}: no column {lacking[0]}; expected composite, mask, target and optionally name"
                )
            for number, row in enumerate(rows, 2):
                empty = next((role for role in triples._folders if not row[role]), None)
                if empty:
                    raise DataError(f"{path}:{number}: {empty} is empty")
                name = row.get("name") or Path(row["composite"]).stem
                if name in triples._paths["composite"]:
                    raise DataError(f"{path}:{number}: the name {name!r} occurs twice")
                for role in triples._folders:
                    if not _files.is_file_name(row[role]):
                        raise DataError(f"{path}:{number}: {role}: {row[role]!r} is not a file name")
                    triples._paths[role][name] = path.parent / row[role]
        triples.names = list(triples._paths["composite"])
        return triples


def _folder_in(root: Path, names: Sequence[str]) -> str:
    """Returns the name of the first folder in root that has one of the names, in any case; else the first name."""
    there = {path.name.lower(): path.name for path in sorted(root.iterdir()) if path.is_dir()}
    return next((name if (root / name).is_dir() else there[name] for name in names if name in there), names[0])


def _groups_in(path: Path) -> dict[str, str]:
    """Returns the group of each sample from the recipes, if there are any."""
    groups: dict[str, str] = {}
    if not path.is_file():
        return groups
    for number, line in enumerate(_files.read_lines(path), 1):
        try:
            recipe = json.loads(line)
            group = _files.check_name(recipe.get("group", recipe["name"]), f"{path}:{number}")
            groups[str(recipe["name"])] = group
        except DataError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DataError(f"{path}:{number}: invalid recipe: {type(error).__name__}: {error}") from error
    return groups


class Photos(_Stems):
    """Photographs, each with the mask of an object.

    Args:
        root: the parent folder.
        image, mask: the names of the folders; files of one stem form a sample. mask None: only photographs.

    Samples have `image` and, with masks, `mask`.

    Raises:
        FileNotFoundError, DataError: like `Triples`.

    Example:
        >>> from pyharmony import data
        >>> photos = data.Photos("photos")
        >>> len(photos), sorted(photos[0])
        (2, ['image', 'mask', 'name'])
    """

    @_checks.kinds
    def __init__(self, root: PathLike, image: str = "images", mask: str | None = "masks") -> None:
        self._open(root, {"image": image} | ({} if mask is None else {"mask": mask}))


class Manifest(Dataset):
    """The files listed in a `manifest.json`.

    It contains `entries`, each with `file` (relative to it), `role`, `pair` (the key of files that form a sample) and
    `split`; `check` compares the files with `bytes` and `sha256`.

    Args:
        root: the folder of manifest.json, or that file.
        split: the split to read; None: all.
        roles: the required roles of a sample, others are not read; None: all roles of a pair. A photo is `image`.

    Attributes:
        entries: for each sample its entries by role.

    Raises:
        DataError: the file is not a manifest, an entry is incomplete, or a pair has a role twice.
        FileNotFoundError: there is no manifest.

    Example:
        >>> from pyharmony import data
        >>> photos = data.Manifest("manifest", split="test")
        >>> sorted(photos[0])
        ['image', 'name']
    """

    @_checks.kinds
    def __init__(self, root: PathLike, split: str | None = None, roles: Sequence[str] | None = None) -> None:
        path = Path(root)
        path = path / "manifest.json" if path.is_dir() else path
        self.root = path.parent
        pairs: dict[str, dict[str, dict[str, Any]]] = {}
        table = _files.read_json(path, "root")
        if not isinstance(table, dict) or not isinstance(table.get("entries"), list):
            raise DataError(f"{path}: expected an object with a list 'entries'")
        for number, entry in enumerate(table["entries"]):
            where = f"{path}: entry {number}"
            texts = [entry.get(key) for key in ("file", "role", "pair")] if isinstance(entry, dict) else [None]
            if not all(isinstance(text, str) for text in texts):
                raise DataError(f"{where}: expected file, role and pair, each a text")
            _files.check_name(entry["pair"], where)
            if split is not None and entry.get("split") != split:
                continue
            role = "image" if entry["role"] == "photo" else entry["role"]
            if role in pairs.setdefault(entry["pair"], {}):
                raise DataError(f"{where}: {entry['pair']} has the role {entry['role']} twice")
            pairs[entry["pair"]][role] = {**entry, "path": _files.inside(self.root, entry["file"], where)}
        if roles is not None:
            pairs = {name: pair for name, pair in pairs.items() if set(roles) <= set(pair)}
            pairs = {name: {role: pair[role] for role in roles} for name, pair in pairs.items()}
        self.names, self.entries = list(pairs), list(pairs.values())

    @property
    def categories(self) -> Sequence[str]:
        return [next((str(x["category"]) for x in pair.values() if "category" in x), "") for pair in self.entries]

    def paths(self, index: int) -> dict[str, Path]:
        """Returns the files of a sample."""
        return {role: entry["path"] for role, entry in self.entries[self._at(index)].items()}

    def _own(self, index: int) -> dict[str, Path]:
        """Returns the files of a sample, all of which must be inside the manifest's folder."""
        paths = self.paths(index)
        return {role: _files.own_file(self.root, path, self.names[index]) for role, path in paths.items()}

    def _load(self, index: int) -> Sample:
        return self._read(index, None)

    def _load_for(self, index: int, side: int) -> Sample:
        return self._read(index, side)

    @_files.loads_files
    def _read(self, index: int, side: int | None) -> Sample:
        paths = self._own(index)
        together = {role: path for role, path in paths.items() if role == "mask" or role in _files.IMAGES}
        sample: Sample = {"name": self.names[index]}
        if together:
            sample = _files.sample(self.names[index], together, side)
        for role in paths.keys() - together.keys():
            sample[role] = _files.read_picture(paths[role], role)
        return sample

    def _check_one(self, index: int) -> list[Problem]:
        if problems := super()._check_one(index):
            return problems
        faults = []
        for role, entry in self.entries[index].items():
            data = self._own(index)[role].read_bytes()
            if entry.get("bytes", len(data)) != len(data):
                faults.append(f"{entry['path']}: {len(data)} bytes, expected {entry['bytes']}")
            elif entry.get("sha256", "") and hashlib.sha256(data).hexdigest() != entry["sha256"]:
                faults.append(f"{entry['path']}: its sha256 differs from that in the manifest")
        return [Problem(self.names[index], fault) for fault in faults]
