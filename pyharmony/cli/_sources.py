"""The options by which commands open a data set."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from ..runs._jobs.failures import Words, as_failures, reading
from ._command import option


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


DataRoot = Annotated[Path | None, option("ROOT", "A folder in a layout of `pyharmony data check`.", "--data")]
Split = Annotated[str | None, option("NAME", "Only this split of iHarmony4 or a manifest.", "--split")]


@dataclass(frozen=True)
class Coco:
    """The options of COCO's annotations."""

    annotations: Annotated[Path | None, option("FILE", "COCO's JSON; PATH has its photos.", "--annotations")] = None
    category: Annotated[str, option("NAME", "COCO: the category of the instances.", "--category")] = "person"
    min_share: Annotated[
        float, option("F", "COCO: the smallest share of a photo's area.", "--min-share", min=0, max=1)
    ] = 0.0
    max_share: Annotated[float, option("F", "COCO: the largest.", "--max-share", min=0, max=1)] = 1.0


@dataclass(frozen=True, kw_only=True)
class Source:
    """The options of a data set of any kind."""

    kind: Annotated[Kind | None, typer.Option("--kind", help="The layout.  [default: detected from its files]")] = None
    split: Split = None
    coco: Coco
    boxes: Annotated[
        Path | None, option("FILE", "Scenes: lines of scene:top,left,bottom,right; others are omitted.", "--boxes")
    ] = None

    def open(self, path: Path) -> Any:
        """Opens the data set of a path."""
        return open_data_set(path, self.kind, self.coco, split=self.split, boxes=self.boxes)


Threads = Annotated[int | None, option("N", "Samples at a time.  [default: one per core]", "--threads", min=1)]


def open_data_set(path: Path, kind: Kind | None = None, coco: Coco | None = None, **options: Any) -> Any:
    """Opens the data set; failures name the file that caused them."""
    from ..learn import data

    try:
        with as_failures(Words({"path": ""}, hints={"unknown-kind": "pass --kind, one of {kinds}"})):
            return data.open_dataset(path, kind.value if kind else None, **(vars(coco) if coco else {}), **options)
    except OSError as error:
        with reading(str(error.filename or path)):
            raise
