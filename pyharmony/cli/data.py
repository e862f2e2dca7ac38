"""`pyharmony data`: creates, checks, counts and splits data sets, and writes them as shards."""

from __future__ import annotations

import csv
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import RunError
from ..runs._jobs.failures import Code, reading_or_writing, writing
from ..runs._jobs.task import check_new
from . import _synth
from ._command import Overwrite, argument, command, option, switch
from ._console import Console, table
from ._facts import cores
from ._sheets import check_file, fitted, spread, write_sheet
from ._sources import Source, Threads

app = typer.Typer(
    name="data",
    help="Make, check, count and split data sets, and write them as shards.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.command("synth")(_synth.synth)
app.command("crop")(_synth.crop)


class ShardForm(str, Enum):
    raw = "raw"
    tar = "tar"
    tfrecord = "tfrecord"


Root = Annotated[Path, argument("PATH", "The folder or file of a data set.")]
Shares = Annotated[str, option("NAME=SHARE,...", "The splits and their shares of the samples.", "--shares")]
Seed = Annotated[int, option("N", "The seed of the splits.", "--seed", min=0)]
DEFAULT_SHARES = "train=0.9,val=0.05,test=0.05"


def _shares(text: str) -> dict[str, float]:
    shares = {}
    for part in text.split(","):
        name, equals, share = part.partition("=")
        try:
            shares[name.strip()] = float(share)
        except ValueError:
            equals = ""
        if not equals or not name.strip():
            raise RunError(f"--shares {text}: expected NAME=SHARE,...", Code.USAGE)
    return shares


@app.command("check")
@command("data.check")
def check(
    console: Console,
    path: Root,
    source: Source,
    size: Annotated[int | None, option("N", "Report samples whose masks are empty at N x N pixels too.", min=1)] = None,
    threads: Threads = None,
) -> None:
    """Load every sample, and report all errors.

    Nothing is changed. The exit code is 5 if there is a problem.
    """
    dataset = source.open(path)
    with console.progress(len(dataset), "checking") as advance:
        problems = dataset.check(advance, threads=threads or cores(), size=size)
    console.result(kind=type(dataset).__name__, samples=len(dataset), problems=console.problems(problems))
    console.note(f"{path}: {len(dataset):,} samples, {len(problems):,} problems")


@app.command("stats")
@command("data.stats")
def stats(
    console: Console,
    path: Root,
    source: Source,
    sheet: Annotated[Path | None, option("FILE", "Write a contact sheet of eight.", "--sheet")] = None,
    overwrite: Annotated[bool, switch("--overwrite", "Replace FILE if it already exists.")] = False,
) -> None:
    """Count samples and groups, and measure sizes and foregrounds.

    Samples that cannot be loaded are counted and omitted; `check` names them.
    """
    import numpy as np

    from ..errors import PyHarmonyError

    check_file(sheet, overwrite, picture=True)
    dataset = source.open(path)
    sides: list[tuple[int, int]] = []
    shares: list[float] = []
    fields: set[str] = set()
    bad = 0
    indices = spread(len(dataset)) if sheet is not None else []
    sheet_rows: list[list[tuple[str, Any]]] = []
    with console.progress(len(dataset), "measuring") as advance:
        for index in range(len(dataset)):
            try:
                sample = dataset[index]
                arrays = {key: value for key, value in sample.items() if isinstance(value, np.ndarray)}
                fields |= set(arrays)
                sides += [value.shape[:2] for value in list(arrays.values())[:1]]
                if "mask" in arrays:
                    shares.append(float((arrays["mask"] >= 128).mean()))
                if index in indices:
                    sheet_rows.append([(key, fitted(value)) for key, value in arrays.items()])
            except (PyHarmonyError, OSError):
                bad += 1
            advance()
    about: dict[str, Any] = {
        "kind": type(dataset).__name__,
        "samples": len(dataset),
        "groups": len(set(dataset.groups)),
        "bad": bad,
        "fields": sorted(fields),
    }
    for name, at in (("height", 0), ("width", 1)):
        values = [side[at] for side in sides]
        about[name] = {"min": min(values), "median": float(np.median(values)), "max": max(values)} if values else None
    # The ranges that tables of harmonisation use.
    about["foreground"] = {
        f"{int(100 * low)}-{int(100 * high)} %": sum(low <= share < high or share == high == 1 for share in shares)
        for low, high in ((0, 0.05), (0.05, 0.15), (0.15, 1))
    }
    if sheet is not None and sheet_rows:
        write_sheet(sheet_rows, sheet)
        console.note(f"{sheet}: written")
    console.result(status="ok", **about, **({"sheet": str(sheet)} if sheet_rows else {}))
    rows = [[key, f"{about[key]:,}" if isinstance(about[key], int) else str(about[key])] for key in about][:4]
    rows.append(["fields", ", ".join(about["fields"]) or "none"])
    for name in ("height", "width"):
        if about[name]:
            rows.append([name, "{min:,} to {max:,}, median {median:,.0f}".format(**about[name])])
    if shares:
        rows += [[f"foreground {name}", f"{count:,}"] for name, count in about["foreground"].items()]
    console.report(table(rows))


@app.command("split")
@command("data.split")
def split_command(
    console: Console,
    path: Root,
    output: Annotated[Path, option("OUT", "The table to write, .csv.", "--output", "-o")],
    *,
    shares: Shares = DEFAULT_SHARES,
    seed: Seed = 0,
    source: Source,
    overwrite: Overwrite = False,
) -> None:
    """Assign the samples to splits by the hash of their names, and write a table of name and split.

    Related samples, such as the composites of one photo, stay in one split. The split of a name does not depend on
    the other samples.
    """
    from .. import _temporary
    from ..learn import data

    check_new(output, overwrite)
    fractions = _shares(shares)
    dataset = source.open(path)
    dealt = [data.split_of(group, fractions, seed=seed) for group in dataset.groups]
    with (
        writing(str(output)),
        _temporary.file(output) as whole,
        open(whole, "w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        csv.writer(file).writerows([("name", "split"), *zip(dataset.names, dealt, strict=True)])
    counts = {name: dealt.count(name) for name in fractions}
    console.result(status="ok", output=str(output), samples=len(dataset), splits=counts)
    console.note(f"{output}: " + ", ".join(f"{name} {count:,}" for name, count in counts.items()))


@app.command("shard")
@command("data.shard")
def shard(
    console: Console,
    path: Root,
    output: Annotated[Path, option("OUT", "The folder to write, a new one.", "--output", "-o")],
    *,
    form: Annotated[
        ShardForm,
        typer.Option(
            "--form",
            help="raw: bytes for fast training; tar: files, as in WebDataset; tfrecord: composites "
            "and targets, for TensorFlow.",
        ),
    ] = ShardForm.raw,
    size: Annotated[int, option("N", "Sides of the samples in pixels.", "--size", min=1)] = 256,
    samples: Annotated[
        int | None, option("N", "Samples per file.  [default: 1024, tar and tfrecord 1000]", "--samples", min=1)
    ] = None,
    part: Annotated[str | None, option("NAME", "Only this split of --shares.  [default: all]", "--part")] = None,
    shares: Shares = DEFAULT_SHARES,
    seed: Seed = 0,
    skip_bad: Annotated[bool, switch("--skip-bad", "Omit samples that cannot be loaded, with a warning each.")] = False,
    source: Source,
    threads: Threads = None,
) -> None:
    """Write samples at one size as shards, all or nothing.

    Images are resized to a square with a bilinear filter; masks are binarised. tar and TFRecord files contain PNG
    images; the features of TFRecord are copy_paste, bg, mask if there is one, and the name.
    """
    from ..learn import data

    check_new(output, code=None)
    dataset = source.open(path)
    total = len(dataset)
    if part is not None:
        parts = data.split(dataset, _shares(shares), seed=seed)
        if part not in parts:
            raise RunError(f"--part {part}: expected one of {', '.join(parts)}", Code.USAGE)
        dataset = parts[part]
    with console.progress(len(dataset), "writing") as advance, reading_or_writing(path, output):
        options: dict[str, Any] = {"progress": advance, "errors": "skip" if skip_bad else "raise"}
        options["threads"] = threads or cores()
        if samples is not None:
            options["samples_per_shard"] = samples
        shards: data.Dataset
        if form is ShardForm.raw:
            shards = data.write_shards(dataset, output, size, **options)
        elif form is ShardForm.tar:
            shards = data.write_tar_shards(data.Resized(dataset, size), output, **options)
        else:
            shards = data.write_tfrecord_shards(data.Resized(dataset, size), output, **options)
    left_out = len(dataset) - len(shards)
    console.result(status="ok", output=str(output), samples=len(shards), left_out=left_out, of=total, size=size)
    console.note(f"{output}: {len(shards):,} samples" + (f", {left_out:,} omitted" if left_out else ""))
