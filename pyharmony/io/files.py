"""Files for other rooms: reading large ones at reduced size, and checking destinations before the work."""

from __future__ import annotations

from ..typing import FileLike, PathLike, Quality, WritableFile
from ._picture import Picture

__all__ = ["check_destination", "check_quality", "read_reduced", "read_square"]


def read_reduced(path: PathLike, name: str, least: int, *, keep_gps: bool) -> tuple[Picture, tuple[int, int] | None]:
    """Reads a file like `read`, a large JPEG at a half, a quarter or an eighth of each side, to `least` pixels or more.

    Returns the Picture, and the width and height of the whole image if it is reduced, else None.
    """
    from . import _decode

    decoded = _decode.decode(path, name, None, keep_gps, _decode.Form(least=least))
    return _decode.picture(decoded, name), decoded.whole


def read_square(
    source: FileLike | Picture, name: str, side: int, *, max_pixels: int | None = None, keep_gps: bool = False
) -> tuple[Picture, tuple[int, int] | None]:
    """Reads a file like `read`, but a JPEG that is at least twice as wide and as high at side x side pixels.

    It is decoded at a half, a quarter or an eighth of each side, whatever has at least twice as many rows and columns,
    and resized by Pillow's bilinear filter, in less time than the whole image.

    Returns the Picture, and the width and height of the whole image if it is resized, else None.
    """
    from . import _decode

    if isinstance(source, Picture):
        return source, None
    decoded = _decode.decode(source, name, max_pixels, keep_gps, _decode.Form(square=side, is_array=True))
    return _decode.picture(decoded, name), decoded.whole


def check_quality(quality: Quality) -> None:
    """Raises the errors of `write` for a quality that is neither a number from 1 to 100 nor 'original'."""
    from . import _encode

    _encode.check_quality(quality)


def check_destination(target: PathLike | WritableFile) -> None:
    """Raises the errors of `write` for a path whose suffix is no format or whose folder cannot be written to.

    They do not depend on the image.
    """
    from . import _encode

    _encode.format_of(target, None)
    _encode.check_folder(target)
