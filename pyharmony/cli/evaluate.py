"""`pyharmony evaluate`: compares methods of harmonisation on a data set."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from ..errors import RunError
from ..runs._jobs.failures import Code, Words, as_failures, reading, writing
from ..runs._jobs.task import check_new
from ._command import TorchDevice, command, option, switch
from ._console import Console
from ._sheets import check_file, fitted, spread, write_sheet
from ._sources import DataRoot, Split

#: Hints in place of the library's, which name Python functions.
_HINTS = {"unknown-kind": ""}


@dataclass(frozen=True)
class _Compared:
    """The options that name what is compared: methods, networks and their means; and the judges of realism."""

    networks: Annotated[
        list[str] | None, option("[LABEL=]FILE", "Weights of a network that harmonizes, or its name.", "--network")
    ] = None
    methods: Annotated[
        list[str] | None, option("NAME", "A method of harmonize or a transfer of colours.", "--method")
    ] = None
    judges: Annotated[
        list[str] | None, option("[LABEL=]FILE", "Weights with a discriminator, which scores images.", "--judge")
    ] = None
    ensembles: Annotated[
        list[str] | None,
        option(
            "[LABEL=]NETWORK+NETWORK",
            "The mean of the results of networks of --network and --run, by label.",
            "--ensemble",
        ),
    ] = None
    network_size: Annotated[
        int | None,
        option("N", "The input sides of each --network.  [default: those that they were trained for]", min=11),
    ] = None
    batch_statistics: Annotated[
        bool,
        switch(
            "--batch-statistics",
            "For --network and --run: batch norms use the statistics of each image, as in published tests.",
        ),
    ] = False

    def check(self, evaluation: Any, has_run: bool) -> None:
        """Refuses options that lack another, and names that are misspelt, before any file is read."""
        from .. import _catalogue

        if self.batch_statistics and not (has_run or self.networks):
            raise RunError("--batch-statistics needs a --network or a --run", Code.USAGE)
        if self.network_size is not None and not self.networks:
            raise RunError("--network-size needs a --network", Code.USAGE)
        if self.ensembles and len(self.networks or []) + has_run < 2:
            raise RunError("--ensemble needs two networks of --network and --run", Code.USAGE)
        for name in self.methods or []:
            if name not in evaluation.METHODS:
                raise RunError(f"--method {name}: expected one of {', '.join(evaluation.METHODS)}", Code.USAGE)
        for flag, texts in (("--network", self.networks), ("--judge", self.judges)):
            for _, file in _labels_and_files(texts or [], flag):
                _catalogue.check_weights(file)

    def harmonizers(self, evaluation: Any, run: Path | None, side: int | None, device: str | None) -> dict[str, Any]:
        """Returns the methods by their labels; side: the sides at which the network of the run gets images."""
        own = [] if run is None else [f"{run.absolute().name}={run / 'best.safetensors'}"]
        files = _labels_and_files([*own, *(self.networks or [])], "--network")
        sizes = {label: self.network_size for label, _ in files}
        if run is not None:
            sizes[run.absolute().name] = side
        harmonizers: dict[str, Any] = {name: evaluation.METHODS[name] for name in self.methods or []}
        for label, file in files:
            if label in evaluation.METHODS or label == "target":
                raise RunError(f"--network: the label {label} is used twice; expected LABEL={file}", Code.USAGE)
            harmonizers[label] = evaluation.harmonizer(
                file, device=device, batch_statistics=self.batch_statistics, size=sizes.get(label)
            )
        return harmonizers | _ensembles(evaluation, self.ensembles or [], harmonizers, sizes)


@dataclass(frozen=True)
class _Outputs:
    """The options that name what is written."""

    csv: Annotated[Path | None, option("FILE", "Write a row for each image and method.")] = None
    markdown: Annotated[Path | None, option("FILE", "Write the tables.")] = None
    sheet: Annotated[Path | None, option("FILE", "Write a contact sheet of eight images.")] = None
    realism_maps: Annotated[
        Path | None, option("DIR", "Write an image of each sample with the judges' scores and maps, to a new folder.")
    ] = None
    published: Annotated[bool, switch("--published", "Add the published tables of iHarmony4 to the Markdown.")] = False

    def check(self, overwrite: bool) -> None:
        """Refuses files that cannot be written, before any work."""
        for path in (self.csv, self.markdown, self.sheet):
            check_file(path, overwrite, picture=path is not None and path == self.sheet)
        if self.realism_maps is not None:
            check_new(self.realism_maps, code=None)

    @property
    def paths(self) -> list[str]:
        return [str(path) for path in (self.csv, self.markdown, self.sheet, self.realism_maps) if path is not None]

    def write(self, evaluation: Any, result: Any, rows: list[list[tuple[str, Any]]]) -> str:
        """Writes the files, and returns the tables as Markdown; rows: those of the contact sheet."""
        from .. import _temporary

        text: str = evaluation.markdown(result, published=self.published)
        if self.csv is not None:
            with writing(str(self.csv)):
                evaluation.write_csv(result, self.csv)
        if self.markdown is not None:
            with writing(str(self.markdown)):
                _temporary.write_text(self.markdown, text)
        if self.sheet is not None and rows:
            write_sheet(rows, self.sheet)
        return text


@command("evaluate", verbose=True, renamed={"model": "--network"})
def evaluate(
    console: Console,
    *,
    data: DataRoot = None,
    run: Annotated[
        Path | None, option("DIR", "A folder of `pyharmony train`: its validation images and best weights.")
    ] = None,
    compared: _Compared,
    split: Split = None,
    size: Annotated[
        str | None,
        option(
            "N|full", "Sides of the images in pixels, or full: unchanged.  [default: 256; with --run those of the run]"
        ),
    ] = None,
    outputs: _Outputs,
    device: TorchDevice = None,
    overwrite: Annotated[bool, switch("--overwrite", "Replace files that already exist.")] = False,
) -> None:
    """Measure methods of harmonisation on composites whose targets are known.

    Either --data or --run is required; --network, --method, --ensemble and --judge are repeatable. Tables go to stdout
    as Markdown unless --markdown or --json is given. Samples that cannot be evaluated are named and omitted from every
    row, and the exit code is 5.
    """
    if (data is None) == (run is None):
        raise RunError("expected either --data ROOT or --run DIR", Code.USAGE)
    if run is not None and split is not None:
        raise RunError("--split: needs --data; a run has its own split", Code.USAGE)
    if outputs.realism_maps is not None and not compared.judges:
        raise RunError("--realism-maps needs a --judge", Code.USAGE)
    outputs.check(overwrite)
    from .. import _temporary
    from ..learn import evaluation

    _side(size or "256")
    compared.check(evaluation, run is not None)
    if device not in (None, "cpu", "cuda"):
        raise RunError(f"--device: {device!r}, expected cpu or cuda", Code.USAGE)
    dataset, side = _dataset(console, data, run, split, size)
    # The network of a run gets images at the size of training, so that its figures are those of training.
    harmonizers = compared.harmonizers(evaluation, run, side if size is None else None, device)
    place: Any = device
    files = _labels_and_files(compared.judges or [], "--judge")
    judges = {label: evaluation.judge(file, device=place) for label, file in files}
    folder = outputs.realism_maps
    with contextlib.ExitStack() as stack:
        with writing(str(folder)):
            maps = None if folder is None else stack.enter_context(_temporary.folder(folder))
        result, rows = _evaluated(console, dataset, harmonizers, side, judges, outputs.sheet is not None, maps)
        problems = console.problems(result.problems)
        text = outputs.write(evaluation, result, rows)
    console.result(
        **_fields(result), problems=problems, files=outputs.paths, **_published(evaluation, side, outputs.published)
    )
    if outputs.markdown is None:
        console.report(text)
    for name in outputs.paths:
        console.note(f"{name}: written")


def _evaluated(
    console: Console, dataset: Any, harmonizers: dict[str, Any], side: int | None, judges: dict[str, Any],
    has_sheet: bool, maps: Path | None,
) -> tuple[Any, list[list[tuple[str, Any]]]]:  # fmt: skip
    """Returns the figures, and the rows of the contact sheet; maps: the folder of the images of all samples."""
    from ..learn import evaluation

    shown = spread(len(dataset)) if has_sheet else []
    rows: list[list[tuple[str, Any]]] = []

    def tell(result: Any) -> None:
        if result.index in shown:
            rows.append(_cells(result))
        if maps is not None:
            _write_maps(result, maps)

    with console.progress(len(dataset), "evaluating") as advance:
        result = evaluation.evaluate(
            dataset, harmonizers, size=side, judges=judges, errors="skip", on_result=tell, progress=advance
        )
    return result, rows


def _dataset(
    console: Console, data: Path | None, run: Path | None, split: str | None, size: str | None
) -> tuple[Any, int | None]:
    """Returns the samples of a data set or the validation images of a run, and image sides; None: unchanged."""
    side = _side(size or "256")
    if run is None:
        from ..learn import data as datasets

        with reading(str(data)), as_failures(console.words({"path": "--data"}, hints=_HINTS)):
            return datasets.open_dataset(data, split=split), side  # type: ignore[arg-type]
    from ..learn import training

    with as_failures(console.words({"path": "--run: its data"}, hints=_HINTS)):
        if size is None:
            side = training.size_of(run)
        try:
            dataset = training.held_back(run, size="run" if size is None else side)
        except OSError as error:
            with reading(f"--run: its data: {error.filename or run}"):
                raise
    return dataset, side


def _side(text: str) -> int | None:
    if text == "full":
        return None
    if not text.isascii() or not text.isdigit() or int(text) < 11:
        raise RunError(f"--size {text}: expected 11 pixels or more, or full", Code.USAGE)
    return int(text)


def _labels_and_files(texts: list[str], option: str) -> list[tuple[str, str]]:
    """Splits [LABEL=]FILE; the default label is the file's stem, or the run's folder for a file of a run."""
    files: list[tuple[str, str]] = []
    for text in texts:
        label, equals, file = text.partition("=")
        if not equals or os.path.exists(text):
            path, file = Path(text), text
            label = path.parent.name if path.stem in ("best", "last", "model") and path.parent.name else path.stem
        if not label or not file:
            raise RunError(f"{option} {text}: expected FILE or LABEL=FILE", Code.USAGE)
        if label in dict(files):
            raise RunError(f"{option} {text}: the label {label} is used twice; expected LABEL=FILE", Code.USAGE)
        files.append((label, file))
    return files


def _ensembles(
    evaluation: Any, texts: list[str], harmonizers: dict[str, Any], sizes: dict[str, int | None]
) -> dict[str, Any]:
    """Returns the means of networks as methods, [LABEL=]NETWORK+NETWORK each, by the labels of the networks."""
    ensembles: dict[str, Any] = {}
    for text in texts:
        label, equals, names = text.partition("=")
        members = (names if equals else text).split("+")
        for name in members:
            if name not in sizes:
                raise RunError(f"--ensemble {text}: no network {name!r}, expected {', '.join(sizes)}", Code.USAGE)
        if not label or label in (*evaluation.METHODS, *harmonizers, *ensembles, "target"):
            raise RunError(
                f"--ensemble {text}: the label {label} is used twice, expected LABEL=NETWORK+NETWORK", Code.USAGE
            )
        if len({sizes[name] for name in members}) > 1:
            raise RunError(f"--ensemble {text}: its networks have different input sizes", Code.USAGE)
        from ..networks import models

        with as_failures(Words({"members": f"--ensemble {text}: members"})):
            both = models.Ensemble([harmonizers[name].model for name in members])
        ensembles[label] = evaluation.harmonizer(both, size=sizes[members[0]])
    return ensembles


def _fields(result: Any) -> dict[str, Any]:
    """Returns the figures for --json."""
    return {
        "size": result.size or "full",
        "samples": len(result.rows) // len(result.methods),
        "methods": list(result.methods),
        "summaries": [dataclasses.asdict(summary) for summary in result.summaries],
    }


def _published(evaluation: Any, side: int | None, included: bool) -> dict[str, Any]:
    rows = [dataclasses.asdict(row) for row in evaluation.PUBLISHED if row.size == side]
    return {"published": [{key: x for key, x in row.items() if key != "size"} for row in rows]} if included else {}


def _cells(result: Any) -> list[tuple[str, Any]]:
    """Returns the row of a sample on a contact sheet: the results, and the target."""
    return [(name, fitted(x)) for name, x in {**result.pictures, "target": result.sample["target"]}.items()]


def _write_maps(result: Any, folder: Path) -> None:
    """Writes an image of one sample: the results above, and each judge's scores below, by parts if it has them."""
    from ..learn import evaluation

    pictures = {**result.pictures, "target": result.sample["target"]}
    rows = [_cells(result)]
    for judge in result.maps["target"]:
        cells = []
        for name, picture in pictures.items():
            parts = result.maps[name][judge]
            image = picture if parts is None else evaluation.heat_map(parts, picture)
            scores = result.scores[name][judge]
            cells.append((", ".join(f"{key} {x:.3g}" for key, x in scores.items()), fitted(image)))
        rows.append(cells)
    write_sheet(rows, folder / f"{result.index:06}.png")
