"""The options by which commands open a data set."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from .._jobs.failures import Words, as_failures, reading


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


DataRoot = Annotated[
    Path | None, typer.Option("--data", metavar="ROOT", help="A folder in a layout of `pyharmony data check`.")
]
Split = Annotated[
    str | None, typer.Option("--split", metavar="NAME", help="Only this split of iHarmony4 or a manifest.")
]


@dataclass(frozen=True)
class Coco:
    """The options of COCO's annotations."""

    annotations: Annotated[
        Path | None, typer.Option("--annotations", metavar="FILE", help="COCO's JSON; PATH has its photos.")
    ] = None
    category: Annotated[
        str, typer.Option("--category", metavar="NAME", help="COCO: the category of the instances.")
    ] = "person"
    min_share: Annotated[
        float,
        typer.Option("--min-share", metavar="F", min=0, max=1, help="COCO: the smallest share of a photo's area."),
    ] = 0.0
    max_share: Annotated[float, typer.Option("--max-share", metavar="F", min=0, max=1, help="COCO: the largest.")] = 1.0


@dataclass(frozen=True, kw_only=True)
class Source:
    """The options of a data set of any kind."""

    kind: Annotated[Kind | None, typer.Option("--kind", help="The layout.  [default: detected from its files]")] = None
    split: Split = None
    coco: Coco
    boxes: Annotated[
        Path | None,
        typer.Option(
            "--boxes", metavar="FILE", help="Scenes: lines of scene:top,left,bottom,right; others are omitted."
        ),
    ] = None

    def open(self, path: Path) -> Any:
        """Opens the data set of a path."""
        return open_data_set(path, self.kind, self.coco, split=self.split, boxes=self.boxes)


Threads = Annotated[
    int | None, typer.Option("--threads", metavar="N", min=1, help="Samples at a time.  [default: one per core]")
]


def open_data_set(path: Path, kind: Kind | None = None, coco: Coco | None = None, **options: Any) -> Any:
    """Opens the data set; failures name the file that caused them."""
    from .. import data

    try:
        with as_failures(Words({"path": ""}, hints={"unknown-kind": "pass --kind, one of {kinds}"})):
            return data.open_dataset(path, kind.value if kind else None, **(vars(coco) if coco else {}), **options)
    except OSError as error:
        with reading(str(error.filename or path)):
            raise
