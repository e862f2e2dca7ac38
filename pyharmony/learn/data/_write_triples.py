"""Writes composites as folders of files that `Triples` reads, with a record of how each was made."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ... import _checks
from ... import io as files
from ...errors import ArgumentError, DataError, PyHarmonyError
from ...typing import PathLike, Skip
from . import _files
from ._dataset import Dataset, Problem, Sample, error_text, in_order, results_in_order, sample_of
from ._folders import RECIPES, Triples

ROLES = ("composite", "mask", "target")


@dataclass(frozen=True)
class Written:
    """The result of `write_triples`.

    Attributes:
        triples: the samples that were written.
        recipes: a record for each, describing how it was made.
        problems: the samples that could not be loaded.
        refused: the names of the samples rejected by `accept`.
        unlikely: the names of the samples removed for their low scores, lowest first.

    Example:
        >>> from pyharmony import data
        >>> written = data.write_triples(data.Synthesis(data.Photos("photos")), "composites")
        >>> len(written.triples), len(written.recipes), written.refused
        (2, 2, [])
    """

    triples: Triples
    recipes: list[dict[str, Any]]
    problems: list[Problem]
    refused: list[str]
    unlikely: list[str]


@_checks.kinds
def write_triples(
    dataset: Dataset | Sequence[Sample],
    folder: PathLike,
    *,
    format: Literal["png", "jpeg"] = "png",
    quality: int = 95,
    accept: Callable[[Sample], bool] | None = None,
    score: Callable[[Sample], float] | None = None,
    keep: float = 1.0,
    errors: Skip = "raise",
    overwrite: bool = False,
    threads: int = 1,
    progress: Callable[[], None] | None = None,
) -> Written:
    """Writes composites, masks and targets as files that `Triples` reads, all or nothing.

    `recipes.jsonl` has a line for each sample: its name, its group (see `Dataset.groups`), the entries of its `recipe`
    and its score, if any. In the file name, path separators in the name are replaced by `_`.

    Args:
        dataset: a `Dataset`, such as `Synthesis` and `PairComposites`, or any sequence of samples with `composite`,
            `mask` and `target`.
        folder: the folder to write.
        format: the format of the images, 'png', or 'jpeg', which is lossy; masks are PNG.
        quality: 1 to 100, for JPEG.
        accept: a function that returns whether to write a sample; None: all are written.
        score: a function that returns higher numbers for better samples.
        keep: the share, above 0, of the samples to keep: those with the highest scores.
        errors: 'raise', or 'skip' to skip samples that cannot be loaded.
        overwrite: whether to replace a folder that this function wrote.
        threads: the number of samples to compute and write at once; does not affect the files.
            accept and score are called by one thread, in order.
        progress: called after each sample.

    Returns:
        A report of the written samples.

    Raises:
        FileExistsError: the folder exists, and overwrite is False.
        DataError: folder contains other files; two names give the same file name; no sample is left.
        ArgumentError: an argument is not accepted.
        PyHarmonyError, OSError: a sample is bad.

    Example:
        >>> from pyharmony import data
        >>> written = data.write_triples(data.Synthesis(data.Photos("photos")), "composites")
        >>> written.triples.names, written.problems
        (['a', 'b'], [])
    """
    _checks.whole(threads, "threads", low=1)
    _checks.one_of(format, "format", ("png", "jpeg"))
    _checks.one_of(errors, "errors", ("raise", "skip"))
    share = _checks.number(keep, "keep", high=1.0, accepts="a number above 0, at most 1")
    if not share:
        raise ArgumentError("keep: 0, expected a number above 0, at most 1")
    suffix = {"png": ".png", "jpeg": ".jpg"}[format]
    as_dataset = dataset if isinstance(dataset, Dataset) else None
    groups = as_dataset.groups if as_dataset is not None else None
    problems: list[Problem] = []
    refusals: list[str] = []
    recipes: dict[str, dict[str, Any]] = {}
    with _files.replaced_folder(folder, overwrite, lambda path: path.name in (*ROLES, RECIPES)) as draft:
        for role in ROLES:
            (draft / role).mkdir()

        def sample_at(index: int) -> Sample | Exception:
            try:
                return sample_of(dataset, index)
            except (PyHarmonyError, OSError) as error:
                return error

        def writer_of(sample: Sample, group: str | None) -> Callable[[], None]:
            """Records the sample's recipe and returns a function that writes its files."""
            name = file_name(sample["name"])
            if name in recipes:
                raise DataError(f"{sample['name']}: another sample has the same file, {name}{suffix}")
            if accept is not None and not accept(sample):
                refusals.append(name)
                return _nothing
            recipes[name] = {"name": name, "group": group or name, **sample.get("recipe", {})}
            if score is not None:
                recipes[name]["score"] = float(score(sample))
            return lambda: _save(sample, draft, name, suffix, quality)

        def work() -> Iterator[Callable[[], None]]:
            for index, sample in enumerate(in_order(sample_at, len(dataset), threads)):
                if not isinstance(sample, Exception):
                    yield writer_of({"name": index, **sample}, groups[index] if groups is not None else None)
                elif errors == "raise":
                    raise sample
                else:
                    name = str(index) if as_dataset is None else as_dataset.names[index]
                    problems.append(Problem(name, error_text(sample)))
                    yield _nothing

        with contextlib.closing(results_in_order(work(), threads)) as steps:  # no thread writes to a removed folder
            for _ in steps:
                if progress is not None:
                    progress()
        unlikely = _lowest(recipes, share) if score is not None else []
        for name in unlikely:
            del recipes[name]
            for role in ROLES:
                (draft / role / (name + (".png" if role == "mask" else suffix))).unlink()
        if not recipes:
            why = f"; {problems[0].message}" if problems else ""
            raise DataError(f"folder: {folder}: no sample is left to write{why}")
        with open(draft / RECIPES, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(recipe, default=_plain) + "\n" for recipe in recipes.values())
            _files.sync(file)
    triples = Triples(folder)
    return Written(triples, [recipes[name] for name in triples.names], problems, refusals, unlikely)


def _nothing() -> None:
    """Writes nothing, for a skipped sample."""


def _save(sample: Sample, folder: Path, name: str, suffix: str, quality: int) -> None:
    for role in ROLES:
        files.save(sample[role], folder / role / (name + (".png" if role == "mask" else suffix)), quality=quality)


def _lowest(recipes: dict[str, dict[str, Any]], keep: float) -> list[str]:
    """Returns the names of all samples except the share with the highest scores."""
    count = len(recipes) - max(1, math.ceil(keep * len(recipes) - 1e-9)) if recipes else 0
    return sorted(recipes, key=lambda name: recipes[name]["score"])[:count]


def file_name(name: Any) -> str:
    text = "".join("_" if c in '/\\:*?"<>|\0' else c for c in str(name)).lstrip(".")
    return text or "_"


def _plain(value: Any) -> Any:
    """Converts values that JSON does not support."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"{type(value).__name__} in a recipe")
