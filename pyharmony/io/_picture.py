"""A decoded image with its profile and metadata."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _checks
from .._arrays import IMAGE_DTYPES, NumpyArray
from ..errors import DTypeError, ShapeError
from ._description import NO_DESCRIPTION, Description
from .shown import png

#: The largest number of pixels of an image if the caller sets no limit.
MAX_PIXELS = 256_000_000


class Refusal(ValueError):
    """The refusal of a file; the text has the cause, and begins with a verb or noun that follows the file's name."""


@_checks.kinds
@dataclass(frozen=True)
class Picture:
    """An image with its colour profile and metadata.

    Attributes:
        pixels: [H, W, C] of 1 (grey), 3 (RGB) or 4 (RGBA, not premultiplied) channels, upright; uint8,
            uint16, float16, float32 or float64 (1.0 is white). They may be read-only.
        profile: the ICC profile of the colours; None means sRGB (or grey of sRGB's tone curve).
        exif: EXIF in Pillow's form (it starts with b"Exif\\0\\0"), without orientation, thumbnail and,
            unless requested, GPS.
        xmp: the XMP packet, likewise without GPS.
        dpi: the horizontal and vertical resolution in dots per inch.
        format: the format of the file, such as 'JPEG'; None for an image that is not from a file.
        description: texts, IPTC and the place of a GeoTIFF; see docs/files.md for the formats that store them.
        lossy: whether the file's compression may have changed the pixels; None: by the format.
        original: the JPEG file that the image was read from, its path or its bytes, from which `quality="original"`
            takes what is unchanged; None: it is from no JPEG file, or not at full size.
    """

    pixels: NumpyArray
    profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    format: str | None = None
    description: Description = NO_DESCRIPTION
    lossy: bool | None = None
    original: str | bytes | None = None

    def __post_init__(self) -> None:
        check_pixels(self.pixels, "pixels", IMAGE_DTYPES, (1, 3, 4))

    def __repr__(self) -> str:
        height, width, channels = self.pixels.shape
        has = [name for name in ("profile", "exif", "xmp", "dpi") if getattr(self, name) is not None]
        has += [name for name, there in self.description.kinds().items() if there]
        return (
            f"Picture({width}x{height}, {channels} channels, {self.pixels.dtype.name}, format={self.format}"
            f"{', ' + ', '.join(has) if has else ''})"
        )

    def _repr_png_(self) -> bytes:
        """Returns the image as a PNG for notebooks: 8 bit, and at most 1024 pixels a side."""
        return png(self.pixels)

    def to_pil(self) -> Any:
        """Returns a PIL image of mode L, RGB or RGBA, with profile and metadata in its info.

        Raises:
            DTypeError: pixels are not uint8; Pillow has no image of three channels with higher depth.
        """
        from PIL import Image

        if self.pixels.dtype != np.uint8:
            raise DTypeError(f"pixels: {self.pixels.dtype.name}, expected uint8, the depth of PIL images")
        image = Image.fromarray(self.pixels[..., 0] if self.pixels.shape[2] == 1 else self.pixels)
        return with_metadata(image, self)


def check_pixels(pixels: Any, name: str, dtypes: Sequence[str], channels: Sequence[int]) -> None:
    """Refuses what is not an array [H, W, C] of these dtypes and numbers of channels."""
    if not isinstance(pixels, np.ndarray) or pixels.dtype.name not in dtypes:
        kind = pixels.dtype.name if isinstance(pixels, np.ndarray) else type(pixels).__name__
        raise DTypeError(f"{name}: {kind}, expected a numpy array of {', '.join(dtypes)}")
    if pixels.ndim != 3 or pixels.shape[2] not in channels or pixels.size == 0:
        counts = " or ".join(map(str, channels))
        raise ShapeError(f"{name}: shape {list(pixels.shape)}, expected [H, W, C] with pixels and C = {counts}")


def with_metadata(image: Any, source: Any) -> Any:
    """Returns a PIL image with the profile and the metadata of a Picture, or of a decoded file, as its info."""
    metadata = {"icc_profile": source.profile, "exif": source.exif, "xmp": source.xmp, "dpi": source.dpi}
    if source.description != NO_DESCRIPTION:
        metadata["description"] = source.description
    image.info = {key: value for key, value in metadata.items() if value is not None}
    return image
