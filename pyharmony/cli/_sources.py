"""The options by which commands open a data set."""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from ._failures import Code, Failure, reading, spoken


class Kind(str, Enum):
    shards = "shards"
    iharmony4 = "iharmony4"
    manifest = "manifest"
    tar = "tar"
    tfrecord = "tfrecord"
    triples = "triples"
    photos = "photos"
    coco = "coco"
    scenes = "scenes"


KindOption = Annotated[
    Kind | None, typer.Option("--kind", help="How it is laid out.  [default: found out by its files]")
]
Split = Annotated[
    str | None, typer.Option("--split", metavar="NAME", help="Only this split of iHarmony4 or a manifest.")
]
Annotations = Annotated[
    Path | None, typer.Option("--annotations", metavar="FILE", help="COCO's JSON; PATH has its photographs.")
]
Category = Annotated[str, typer.Option("--category", metavar="NAME", help="Of COCO: what instances are of.")]
LeastShare = Annotated[
    float, typer.Option("--min-share", metavar="F", min=0, max=1, help="Of COCO: of a photograph's area, at least.")
]
LargestShare = Annotated[float, typer.Option("--max-share", metavar="F", min=0, max=1, help="The same, at most.")]
Boxes = Annotated[
    Path | None,
    typer.Option(
        "--boxes", metavar="FILE", help="Of scenes: lines of scene:top,left,bottom,right; others are left out."
    ),
]
Threads = Annotated[
    int | None, typer.Option("--threads", metavar="N", min=1, help="Samples at once.  [default: one a core]")
]


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def opened(path: Path, kind: Kind | None = None, **options: Any) -> Any:
    """The data set, with failures that name the file they are of."""
    from .. import data

    try:
        with spoken(((r"^path: ", ""), (r"\bpass kind, one of", "pass --kind, one of"))):
            return data.open_dataset(path, kind.value if kind else None, **options)
    except OSError as error:
        with reading(str(error.filename or path)):
            raise
    except ImportError as error:
        raise Failure(str(error), Code.UNEXPECTED, type(error).__name__) from error
