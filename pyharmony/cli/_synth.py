"""`pyharmony data synth` and `crop`: training composites from photos and from scenes."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import RunError
from ..runs._jobs.failures import Code, writing
from ._command import argument, command, option, switch
from ._console import Console
from ._facts import cores
from ._sheets import SHEET_SAMPLES, check_file, fitted, spread, write_sheet
from ._sources import Coco, Kind, Threads, open_data_set

#: The default weights that score realism; they come with pyharmony.
_JUDGE = "realism-small"


class ImageForm(str, Enum):
    png = "png"
    jpeg = "jpeg"


class Shape(str, Enum):
    square = "square"
    free = "free"


Output = Annotated[Path, option("OUT", "The folder to write: composite, mask and target.", "--output", "-o")]
FormOption = Annotated[ImageForm, typer.Option("--form", help="The file format of images; masks are PNG.")]
Quality = Annotated[int, option("1..100", "The quality of JPEG.", "--quality", min=1, max=100)]
Seed = Annotated[int, option("N", "The seed of all random choices.", "--seed", min=0)]
Sheet = Annotated[Path | None, option("FILE", "Write a contact sheet of eight.", "--sheet")]
Overwrite = Annotated[bool, switch("--overwrite", "Replace OUT if an earlier run wrote it, and FILE.")]


@command("data.synth")
def synth(
    console: Console,
    path: Annotated[Path, argument("ROOT", "Photos with masks: folders images and masks; COCO's photos.")],
    output: Output,
    *,
    methods: Annotated[
        list[str] | None,
        option(
            "NAME[=WEIGHT]", "How colours change; repeatable.  [default: half lut_mix, half all others]", "--method"
        ),
    ] = None,
    per_photo: Annotated[int, option("N", "Composites of each photo.", min=1)] = 1,
    size: Annotated[int | None, option("N", "Sides in pixels.  [default: those of the photos]", min=8)] = None,
    seed: Seed = 0,
    limits: Annotated[str, option("LOW,HIGH", "Least and largest fMSE to the photo; others are omitted.")] = "20,2600",
    realism: Annotated[
        str | None, option("WEIGHTS", "The realism_cnn that scores for --keep.  [default: realism-small]")
    ] = None,
    keep: Annotated[
        float | None,
        option(
            "SHARE",
            "Keep only this share, the most realistic.  [default: 0.9 with --realism, else all]",
            min=0.01,
            max=1,
        ),
    ] = None,
    form: FormOption = ImageForm.png,
    quality: Quality = 95,
    sheet: Sheet = None,
    left_out: Annotated[Path | None, option("FILE", "Write a contact sheet of eight that --keep omitted.")] = None,
    split: Annotated[str | None, option("NAME", "Only this split of a manifest.")] = None,
    coco: Coco,
    threads: Threads = None,
    overwrite: Overwrite = False,
) -> None:
    """Make composites of photos: the colours of their objects are changed, and the photos are the targets.

    OUT is written as a whole or not at all; recipes.jsonl in it records how each was made. Photos that cannot be read
    are named and omitted, and the exit code is 5.
    """
    from ..learn import data

    low, high = _limits(limits)
    weights: Any = _weights(methods)
    share = 0.9 if keep is None else keep
    score = None if realism is None and keep is None else _score(realism or _JUDGE)
    if left_out is not None and score is None:
        raise RunError("--left-out needs --keep or --realism", Code.USAGE)
    photos = open_data_set(path, coco=coco, split=split)
    if isinstance(photos, data.Manifest):
        able = [i for i, entries in enumerate(photos.entries) if "mask" in entries]
        if len(able) < len(photos):
            console.note(f"{path}: {len(photos) - len(able):,} of {len(photos):,} have no mask and are omitted")
            photos = data.Subset(photos, able)
    dataset = data.Synthesis(photos, weights, per_photo=per_photo, size=size, seed=seed, limits=(low, high))
    _write(
        console,
        dataset,
        output,
        sheet,
        overwrite,
        format=form.value,
        quality=quality,
        accept=lambda sample: low <= sample["recipe"]["fmse"] <= high,
        score=score,
        threads=threads or cores(),
        keep=share if score is not None else 1.0,
        left_out=left_out,
    )


@command("data.crop")
def crop(
    console: Console,
    path: Annotated[Path, argument("ROOT", "Scenes: a folder of aligned images each.")],
    output: Output,
    boxes: Annotated[
        Path | None, option("FILE", "Lines of scene:top,left,bottom,right.  [default: all scenes, uncropped]")
    ] = None,
    max_images: Annotated[int, option("N", "The number of pairs.", min=1)] = 1000,
    load_size: Annotated[int, option("N", "The smaller side before the crop.", min=8)] = 64,
    crop_size: Annotated[int, option("N", "The sides of the crop.", min=8)] = 64,
    ratio: Annotated[float, option("F", "The side of the pasted part, relative to the crop's.", min=0.01, max=1)] = 0.5,
    mask: Annotated[Shape, typer.Option(help="The part: a square in the middle, or a random shape anywhere.")] = (
        Shape.square
    ),
    seed: Seed = 0,
    form: FormOption = ImageForm.png,
    quality: Quality = 95,
    sheet: Sheet = None,
    threads: Threads = None,
    overwrite: Overwrite = False,
    scenes: Annotated[
        bool, switch("--scenes", "Write the scenes instead, cropped to their boxes, as OUT/SCENE/FILE.")
    ] = False,
) -> None:
    """Make pairs like those that GP-GAN is trained on: a part of one image of a scene pasted into another.

    OUT is written as a whole or not at all. Images that cannot be read are named and omitted, and the exit code is 5.
    Scenes of FILE that have no folder are omitted with a warning.
    """
    from ..learn import data

    aligned = open_data_set(path, Kind.scenes, boxes=boxes)
    if scenes:
        if sheet is not None:
            raise RunError("--sheet and --scenes exclude each other: --scenes writes no pairs", Code.USAGE, "usage")
        _write_scenes(console, aligned, output, overwrite, quality=quality, threads=threads or cores())
        return
    pairs = aligned.pairs(max_images, seed=seed)
    dataset = data.PairComposites(
        pairs, load_size=load_size, crop_size=crop_size, ratio=ratio, mask=mask.value, seed=seed
    )
    options: dict[str, Any] = {"format": form.value, "quality": quality, "threads": threads or cores()}
    _write(console, dataset, output, sheet, overwrite, missing=aligned.missing, **options)


def _limits(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise RunError(f"--limits {text}: expected LOW,HIGH", Code.USAGE) from None
    return low, high


def _weights(texts: list[str] | None) -> dict[str, float] | None:
    weights = {}
    for text in texts or []:
        name, equals, weight = text.partition("=")
        try:
            weights[name] = float(weight) if equals else 1.0
        except ValueError:
            raise RunError(f"--method {text}: expected NAME or NAME=WEIGHT", Code.USAGE) from None
    return weights or None


def _score(weights: str) -> Callable[[Any], float]:
    from ..learn import evaluation

    judge = evaluation.judge(weights)

    def score(sample: Any) -> float:
        scores, _ = judge(sample["composite"], sample["composite"], sample["mask"])
        return scores["realism"]

    return score


def _write(
    console: Console,
    dataset: Any,
    output: Path,
    sheet: Path | None,
    overwrite: bool,
    *,
    left_out: Path | None = None,
    missing: list[str] | None = None,
    **options: Any,
) -> None:
    from ..learn import data

    check_file(output, overwrite)
    for path in (sheet, left_out):
        check_file(path, overwrite, picture=True)
    with console.progress(len(dataset), "writing") as advance, writing(str(output)):
        output_set = data.write_triples(
            dataset, output, errors="skip", overwrite=overwrite, progress=advance, **options
        )
    problems = console.problems({problem.message: problem for problem in output_set.problems}.values())
    if sheet is not None:
        rows = []
        for i in spread(len(output_set.triples)):
            sample, recipe = output_set.triples[i], output_set.recipes[i]
            caption = recipe.get("method", "composite")
            rows.append([(caption, fitted(sample["composite"])), ("target", fitted(sample["target"]))])
        write_sheet(rows, sheet)
    if left_out is not None and output_set.unlikely:
        _write_left_out(dataset, output_set.unlikely[:SHEET_SAMPLES], options["score"], left_out)
    counts = {"outside_limits": len(output_set.refused), "unrealistic": len(output_set.unlikely)}
    console.result(
        output=str(output),
        samples=len(output_set.triples),
        **counts,
        problems=problems,
        **({"missing": missing} if missing is not None else {}),
        **({"sheet": str(sheet)} if sheet is not None else {}),
        **({"left_out": str(left_out)} if left_out is not None and output_set.unlikely else {}),
    )
    counts_text = "".join(f", {count:,} {what.replace('_', ' ')}" for what, count in counts.items() if count)
    console.note(f"{output}: {len(output_set.triples):,} samples{counts_text}{_gaps(missing or [])}")


def _gaps(missing: list[str]) -> str:
    """Returns the part of a report about listed scenes without a folder."""
    return f", {len(missing):,} listed without a folder: {', '.join(missing)}" if missing else ""


def _write_scenes(console: Console, scenes: Any, output: Path, overwrite: bool, **options: Any) -> None:
    from ..learn import data

    check_file(output, overwrite)
    with console.progress(len(scenes), "writing") as advance, writing(str(output)):
        left_out = data.write_scenes(scenes, output, errors="skip", overwrite=overwrite, progress=advance, **options)
    problems = console.problems({problem.message: problem for problem in left_out}.values())
    images = len(scenes) - len(left_out)
    console.result(
        output=str(output), scenes=len(scenes.scenes), images=images, missing=scenes.missing, problems=problems
    )
    console.note(f"{output}: {images:,} images of {len(scenes.scenes):,} scenes{_gaps(scenes.missing)}")


def _write_left_out(dataset: Any, names: list[str], score: Callable[[Any], float], path: Path) -> None:
    """Writes the samples of these names, computed again, the least realistic first."""
    from ..learn.data._write_triples import file_name

    places = {file_name(name): index for index, name in enumerate(dataset.names)}
    rows = []
    for name in names:
        sample = dataset[places[name]]
        caption = f"{sample['recipe']['method']}, {score(sample):.3g}"
        rows.append([(caption, fitted(sample["composite"])), ("target", fitted(sample["target"]))])
    write_sheet(rows, path)
