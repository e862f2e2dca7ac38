"""Options that `blend`, `edit` and `harmonize` share."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any

import typer


class Device(str, Enum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="OUT",
        help="The file to write, or - for stdout; of a list or folder, a folder for all.",
    ),
]
ColorWeightScale = Annotated[
    float | None, typer.Option(metavar="F", min=0, help="What white is in the map of --color-weight.  [default: 1]")
]
Format = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The format of OUT: jpeg, png, webp, tiff, bmp, avif.  [default: by its name]"),
]
Quality = Annotated[
    int | None, typer.Option(metavar="1..100", min=1, max=100, help="Of JPEG, WebP and AVIF.  [default: 95]")
]
KeepGps = Annotated[bool | None, typer.Option("--keep-gps", help="Keep where the picture was taken in the metadata.")]
MaxPixels = Annotated[
    str | None, typer.Option(metavar="N", help="Refuse larger pictures unread; 64M is 64 million.  [default: 256M]")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace OUT where it is there already.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Do everything but write.")]
Threads = Annotated[int | None, typer.Option(metavar="N", min=1, help="Threads of a blend.  [default: one a core]")]
Where = Annotated[Device | None, typer.Option("--device", help="Where to compute.  [default: auto]")]
Strict = Annotated[bool, typer.Option("--strict", help="Fail where the device cannot be had.")]


def values(options: dict[str, Any]) -> dict[str, Any]:
    """Options with the words of their choices."""
    return {name: value.value if isinstance(value, Enum) else value for name, value in options.items()}


def method_names() -> list[str]:
    """The methods of harmonisation that the shell completes."""
    from ._work import methods

    return methods()
