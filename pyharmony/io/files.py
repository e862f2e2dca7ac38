"""Files for other rooms: large ones that are read reduced, and destinations that are checked before the work."""

from __future__ import annotations

from ..typing import PathLike, WritableFile
from ._picture import Picture

__all__ = ["check_destination", "read_reduced"]


def read_reduced(path: PathLike, name: str, least: int, *, keep_gps: bool) -> tuple[Picture, tuple[int, int] | None]:
    """Reads a file like `read`, of a large JPEG a half, a quarter or an eighth of each side.

    least: the longer side in pixels that is needed.

    Returns:
        The Picture, and the width and height of the whole image where it is smaller, else None.
    """
    from . import _decode

    decoded = _decode.decode(path, name, None, keep_gps, least)
    return _decode.picture(decoded, name), decoded.whole


def check_destination(target: PathLike | WritableFile) -> None:
    """Raises what `write` would for a path whose suffix names no format or whose folder cannot be written to.

    Nothing of the image needs to be known for that.

    Raises:
        ArgumentError, DTypeError, OSError: like `write`.
    """
    from . import _encode

    _encode.format_of(target, None)
    _encode.check_folder(target)
