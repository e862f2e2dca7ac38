"""`pyharmony segment`: segments the object of a prompt, all people, or all boxes of an annotation file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from .._calls import SEGMENT
from ..errors import RunError
from ..runs._jobs.failures import Code, as_failures, reading, with_code, with_codes, writing
from ..runs._jobs.prompts import object_of, prompted
from ..runs._jobs.task import STREAM, check_output
from ._command import Overwrite, argument, option, switch
from ._console import Console
from ._images import check_stdout, note_doubts, numbered, output_name, read_image, write_image
from ._options import described_by

_NAMES = dict.fromkeys(("scribble", "line"), "--scribble or --scribble-beside")
_NAMES |= {"lasso": "--lasso or --lasso-beside"}
_HINTS = {"nothing-pointed-at": "expected --points, --scribble, --box, --lasso or --mask"}
_PROMPTS = (
    "points", "beside", "scribble", "scribble_beside", "box", "lasso", "lasso_beside", "mask", "tolerance", "include",
    "exclude",
)  # fmt: skip


@described_by(SEGMENT)
def segment(
    console: Console,
    image: Annotated[str, argument("IMAGE", "The image, or with --annotations its folder.")],
    output: Annotated[str, option("OUT", "The cut-out to write, or - for stdout; or a folder.", "--output", "-o")],
    options: dict[str, Any],
    annotations: Annotated[
        Path | None, option("FILE", "Segment the boxes of COCO's annotations; OUT is a copy with masks.")
    ] = None,
    mask_only: Annotated[
        bool, switch("--mask-only", "Write the alpha of the cut-out, a grey image, in its place.")
    ] = False,
    crop_to_mask: Annotated[bool, switch("--crop-to-mask", "Crop the image to the mask.")] = False,
    keep_background: Annotated[bool, switch("--keep-background", "Keep the colours of IMAGE under alpha 0.")] = False,
    every: Annotated[
        bool, switch("--every", "Write every candidate, or person: NAME-1.png is the best or largest.")
    ] = False,
    network: Annotated[str | None, option("FILE", "In place of --method: weights of a click network.")] = None,
    encoder: Annotated[str | None, option("FILE", "In place of --method: an encoder like SAM's, .onnx.")] = None,
    decoder: Annotated[str | None, option("FILE", "Its decoder, .onnx.")] = None,
    salient: Annotated[str | None, option("FILE", "In place of --method: a saliency network, .onnx.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Segment the object of a prompt in IMAGE, and write it with transparency.

    One click on the object is often enough; further --points and --beside correct the result, and so does each line
    after the first. OUT has IMAGE's depth, colour profile and metadata.

    A click may mean a part or the whole: --every writes up to three masks, and --json has the area of each, which ranks
    them from part to whole. If nothing is segmented, nothing is written, and the exit code is 3.
    """
    segmenter = _segmenter(options.get("method", "auto"), network, encoder, decoder, salient)
    _check_prompts(options, annotations, every)
    if annotations is not None:
        _all_boxes(console, Path(image), annotations, Path(output), segmenter, overwrite)
        return
    start = time.perf_counter()
    if output == STREAM and every:
        raise RunError("--every and -o - exclude each other; write to files", Code.USAGE)
    check_stdout(console, output)
    if output != STREAM:
        check_output(numbered(output, 1) if every else output, not overwrite)
    picture = read_image(image)
    segments = _segmented(console, picture, segmenter, options)
    if not len(segments):
        raise RunError(f"{image}: {segments.reason}; nothing was written", Code.INPUT, "nothing_found")
    if segments.reason:
        console.warn(f"{image}: {segments.reason}")
    names = [numbered(output, number + 1) for number in range(len(segments))] if every else [output]
    for name in names[1:]:
        check_output(name, not overwrite)
    form = {"mask_only": mask_only, "crop_to_mask": crop_to_mask, "keep_background": keep_background}
    for index, name in enumerate(names):
        write_image(object_of(picture, segments.alpha(index if every else None), **form), name, overwrite)
    _report(console, segments, names, options.get("all_people", False), every, time.perf_counter() - start)


def _check_prompts(options: dict[str, Any], annotations: Path | None, every: bool) -> None:
    has_prompt = any(name in options for name in _PROMPTS)
    if sum((options.get("all_people", False), annotations is not None, has_prompt)) > 1:
        raise RunError("--all-people, --annotations and prompts exclude each other", Code.USAGE)
    if every and annotations is not None:
        raise RunError("--every and --annotations exclude each other", Code.USAGE)


def _segmented(console: Console, picture: Any, segmenter: Any, options: dict[str, Any]) -> Any:
    from .. import segmentation

    with as_failures(console.words(_NAMES, hints=_HINTS)), reading("--mask, --include or --exclude"):
        session = segmentation.Session(picture, method=segmenter)
        return session.people() if options.get("all_people", False) else prompted(session, options)


def _report(
    console: Console, segments: Any, names: list[str], people: bool, every: bool, seconds: float
) -> None:  # fmt: skip
    from ..segmentation.masks import doubts_of

    count = len(segments.scores)
    what = f"expected quality (IoU) {segments.scores[0]:.2f}"
    if people:
        what = f"{count} {'person' if count == 1 else 'people'}"
    doubts = () if people else doubts_of(segments)
    paths_text = f"{output_name(names[0])} to {names[-1]}" if len(names) > 1 else output_name(names[0])
    console.note(f"wrote {paths_text}: {segments.method}, {what}, {seconds:.2f} s")
    note_doubts(console, doubts)
    console.result(
        status="ok", method=segments.method, masks=_records(segments, names if every else ()),
        **with_code(segments.reason), **with_codes("doubt", doubts), output=names[0], seconds=round(seconds, 3),
    )  # fmt: skip


def _segmenter(
    method: str, network: str | None, encoder: str | None, decoder: str | None, salient: str | None
) -> Any:  # fmt: skip
    """Returns the method of this name, or one with the networks of these files."""
    from .. import segmentation

    if (encoder is None) != (decoder is None):
        raise RunError("--encoder and --decoder need each other", Code.USAGE)
    if sum((method != "auto", network is not None, encoder is not None, salient is not None)) > 1:
        raise RunError("--method, --network, --encoder and --salient exclude each other", Code.USAGE)
    with reading(
        f"--network: {network}" if network else f"--salient: {salient}" if salient else f"--encoder: {encoder}"
    ):
        if network is not None:
            return segmentation.trained(network)
        if encoder is not None and decoder is not None:
            return segmentation.sam(encoder, decoder)
        return method if salient is None else segmentation.salient(salient)


def _records(segments: Any, names: Sequence[str]) -> list[dict[str, Any]]:
    """Returns the records of masks for --json; names: the files that they are written to, if there are several."""
    records: list[dict[str, Any]] = [
        {"score": round(score, 4), "box": list(rect), "area": area}
        for score, rect, area in zip(segments.scores, segments.boxes, segments.areas)
    ]
    for record, head in zip(records, segments.heads):
        record["head"] = list(head)
    for record, name in zip(records, names):
        record["output"] = name
    return records


def _all_boxes(console: Console, folder: Path, annotations: Path, output: Path, method: Any, overwrite: bool) -> None:
    """Writes a copy of the annotations with a mask for each box."""
    import json

    from .. import _temporary
    from ..learn import data

    target = output / annotations.name if output.is_dir() else output
    check_output(str(target), not overwrite)
    with console.status("segmenting", True), reading(str(annotations)), as_failures():
        table, failures = data.boxes_to_masks(annotations, folder, method=method)
    problems = console.problems(failures)
    with writing(str(target)):
        _temporary.write_text(target, json.dumps(table))
    count = sum("score" in one for one in table["annotations"])
    console.result(masks=count, problems=problems, output=str(target))
    console.note(f"wrote {target}: {count:,} masks, {len(problems):,} problems")
