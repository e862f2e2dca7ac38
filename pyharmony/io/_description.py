"""Metadata of a file beside profile, EXIF, XMP and resolution: texts, IPTC-IIM and the place of a GeoTIFF.

Sources: Portable Network Graphics (Third Edition), section 11.3.3; IPTC-NAA Information Interchange Model 4.2;
Photoshop's image resource blocks; OGC GeoTIFF 1.1; GDAL's tags 42112 and 42113.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from . import _tiff

#: The tags of a TIFF that say where on Earth its pixels are, their values, and which of them are no data.
_SCALE, _TIEPOINTS, _MATRIX, _GDAL_METADATA, _NODATA = 33550, 33922, 34264, 42112, 42113
_GEO = (_SCALE, _TIEPOINTS, _MATRIX, 34735, 34736, 34737)
_IPTC, _PHOTOSHOP, _LAYERS, _C2PA = 33723, 34377, 37724, 52545
#: The name of C2PA's signed statements about a file, which are not true of another one.
CREDENTIALS = "manifest of content credentials"
_ASCII_TYPE, _SHORT_TYPE, _DOUBLE_TYPE = 2, 3, 12  # the types of these fields
#: The largest size of the texts of a file, of its comments, and of its IPTC, in bytes.
MAX_TEXT = 1 << 22
_IRB = b"Photoshop 3.0\0"
_IPTC_RESOURCE = 1028
#: Photoshop's resources that repeat other metadata (resolution, profile, EXIF, XMP, digest of IPTC), name the program
#: that wrote the file, or are thumbnails.
_REPEATED_RESOURCES = (1005, _IPTC_RESOURCE, 1033, 1036, 1039, 1057, 1058, 1059, 1060, 1061)
_MAX_SEGMENT = 65533  # the largest size of the contents of a JPEG segment
#: The data sets of IIM's record 2 that a changed image makes untrue: its layout, orientation, length and preview.
_OUTDATED_DATA_SETS = (130, 131, 200, 201, 202)
#: Those that name a place: content location, city, sublocation, province, country.
_PLACES = (26, 27, 90, 92, 95, 100, 101)
#: Texts of PNG that repeat EXIF, profile, thumbnail or size, in the forms of ImageMagick and of thumbnail caches.
_REPEATED = ("Raw profile type ", "Thumb::", "exif:", "icc:", "png:")
COMMENT = "Comment"


@dataclass(frozen=True)
class Description:
    """Metadata of an image file beside its profile, EXIF, XMP and resolution.

    Attributes:
        text: pairs of a keyword and a text: the texts of a PNG, and the comments of a JPEG by the keyword 'Comment'.
        iptc: the data sets of IPTC-IIM, such as by-line, caption and copyright.
        geo: the fields of a TIFF file that say where on Earth its pixels are, little-endian.
        gdal: the field of GDAL's own metadata, or nothing.
        size: the width and height for which geo is true.
        nodata: the value of pixels that are not known, by GDAL's tag; None if there is none.

    Example:
        >>> import pyharmony
        >>> description = pyharmony.io.Description(text=(("Author", "A. Nonymous"),))
        >>> picture = pyharmony.io.Picture(np.zeros((2, 3, 3), np.uint8), description=description)
        >>> pyharmony.save(picture, "by.png")
        >>> pyharmony.io.read("by.png").description.text
        (('Author', 'A. Nonymous'),)
    """

    text: tuple[tuple[str, str], ...] = ()
    iptc: bytes | None = None
    geo: tuple[_tiff.Entry, ...] = ()
    gdal: tuple[_tiff.Entry, ...] = ()
    size: tuple[int, int] | None = None
    nodata: float | None = None

    def kinds(self) -> dict[str, bool]:
        """Returns which kinds of metadata there are, by their names in messages."""
        return {
            "comment": any(key == COMMENT for key, _ in self.text),
            "text": any(key != COMMENT for key, _ in self.text),
            "IPTC data": self.iptc is not None,
            "georeference": bool(self.geo),
            "GDAL metadata": bool(self.gdal),
            "nodata value": self.nodata is not None,
        }

    def scaled(self, width: int, height: int) -> Description:
        """Returns the description of the same image at another size: its pixels have another size on Earth."""
        if not self.geo or self.size is None:
            return self
        x, y = self.size[0] / width, self.size[1] / height
        # Each field has groups of numbers; those along rows and columns are scaled. A pixel's corner is its origin.
        factors = {_SCALE: (x, y, 1), _MATRIX: (x, y, 1, 1) * 4, _TIEPOINTS: (1 / x, 1 / y, 1, 1, 1, 1)}
        fields = []
        for entry in self.geo:
            if entry.tag in factors and entry.type == _DOUBLE_TYPE:
                values = np.frombuffer(entry.data, "<f8")
                data = (values * np.resize(factors[entry.tag], len(values))).astype("<f8").tobytes()
                entry = replace(entry, data=data)
            fields.append(entry)
        return replace(self, geo=tuple(fields), size=(width, height))


NO_DESCRIPTION = Description()


def listed(names: Iterable[str]) -> str:
    """Returns names as the subject of a sentence with its verb, "the gain map and the text are"."""
    *first, last = (f"the {name}" for name in dict.fromkeys(names))
    return f"{', '.join(first)} and {last} are" if first else f"{last} is"


def cleaned(description: Description, keep_gps: bool, oriented: bool) -> tuple[Description, list[str]]:
    """Returns a description without what is private or untrue, and the names of what is not kept of the rest.

    oriented: whether the pixels were rotated or mirrored, so that they are elsewhere on Earth.
    """
    text = tuple(
        (key, value)
        for key, value in description.text
        if not key.startswith(_REPEATED) and (keep_gps or "GPS" not in key.upper())
    )
    iptc = _clean_iptc(description.iptc, keep_gps) if description.iptc else None
    description = replace(description, text=text, iptc=iptc)
    if oriented and description.geo:
        return replace(description, geo=(), size=None), ["georeference"]
    return description, []


# ---- IPTC-IIM ----


def _clean_iptc(data: bytes, keep_gps: bool) -> bytes | None:
    """Returns data sets without those that are untrue of other pixels, and without places; None if none is left."""
    at, sets, has_values = 0, [], False
    while at + 5 <= len(data) and data[at] == 0x1C:
        record, number, size = struct.unpack_from(">BBH", data, at + 1)
        if size & 0x8000:  # an extended data set, of more than 32767 bytes, as previews are
            break
        end = at + 5 + size
        if end > len(data):
            break
        dropped = record == 2 and number in (_OUTDATED_DATA_SETS if keep_gps else _OUTDATED_DATA_SETS + _PLACES)
        if record in (1, 2) and not dropped:
            sets.append(data[at:end])
            has_values |= record == 2 and number != 0
        at = end
    return b"".join(sets) if has_values else None


def iptc_of_resources(data: bytes) -> tuple[bytes | None, list[str]]:
    """Returns the IPTC data in Photoshop's image resource blocks, and the names of what else is in them."""
    at, iptc = 0, None
    others: list[str] = []
    while data[at : at + 4] == b"8BIM" and at + 7 <= len(data):
        kind, length = struct.unpack_from(">HB", data, at + 4)
        at += 6 + (length + 2) // 2 * 2
        if at + 4 > len(data):
            break
        size = struct.unpack_from(">I", data, at)[0]
        body = data[at + 4 : at + 4 + size]
        if kind == _IPTC_RESOURCE and iptc is None and len(body) == size:
            iptc = body
        elif kind not in _REPEATED_RESOURCES:
            others.append("clipping path" if 2000 <= kind <= 2997 else "data of Photoshop")
        at += 4 + size + size % 2
    return iptc, others


def _resources(iptc: bytes) -> bytes:
    return b"8BIM\4\4\0\0" + struct.pack(">I", len(iptc)) + iptc + bytes(len(iptc) % 2)


# ---- JPEG ----


def of_segments(segments: Iterable[tuple[str, bytes]]) -> tuple[Description, list[str]]:
    """Returns the description in the segments of a JPEG, and what else is in them that is not kept."""
    comments, blocks, signed = [], [], False
    for name, data in segments:
        signed |= name == "APP11" and b"c2pa" in data[:256]
        if name == "COM" and data:
            comments.append((COMMENT, _decoded(data.rstrip(b"\0"))))
        elif name == "APP13" and data.startswith(_IRB):
            blocks.append(data[len(_IRB) :])
    iptc, others = iptc_of_resources(b"".join(blocks)[:MAX_TEXT])
    return Description(tuple(comments), iptc), [*others, *[CREDENTIALS] * signed]


def segments(description: Description) -> tuple[bytes, set[str]]:
    """Returns the segments of a JPEG with a description, and the names of the kinds that they contain."""
    out, names = [], set()
    for key, value in description.text:
        data = value.encode()
        if key == COMMENT and len(data) <= _MAX_SEGMENT:
            out.append(b"\xff\xfe" + struct.pack(">H", len(data) + 2) + data)
            names.add("comment")
    if description.iptc is not None:
        data = _IRB + _resources(description.iptc)
        if len(data) <= _MAX_SEGMENT:
            out.append(b"\xff\xed" + struct.pack(">H", len(data) + 2) + data)
            names.add("IPTC data")
    return b"".join(out), names


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


# ---- PNG ----


def of_texts(texts: Iterable[tuple[str, str]]) -> tuple[Description, list[str]]:
    """Returns the description in the texts of a PNG, whose IPTC has ImageMagick's form, and what else is not kept."""
    pairs = tuple(texts)
    iptc: bytes | None = None
    others: list[str] = []
    for key, value in pairs:
        if key in ("Raw profile type iptc", "Raw profile type 8bim"):
            try:
                data = bytes.fromhex("".join(value.split()[2:]))
            except ValueError:
                continue
            iptc, others = iptc_of_resources(data) if data.startswith(b"8BIM") else (data, [])
    return Description(pairs, iptc), others


def texts(description: Description) -> list[tuple[str, str]]:
    """Returns the texts of a PNG with a description."""
    pairs = list(description.text)
    if description.iptc is not None:
        data = _resources(description.iptc)
        pairs.append(("Raw profile type iptc", f"\niptc\n{len(data):8}\n{data.hex()}\n"))
    return pairs


# ---- TIFF ----


def of_directory(main: _tiff.Directory, plain: bool) -> tuple[Description, list[str]]:
    """Returns the description in a TIFF file, and what else is in it that is not kept.

    plain: whether values of pixels are returned as they are stored; otherwise none of them equals nodata.
    """

    def fields(*tags: int) -> tuple[_tiff.Entry, ...]:
        entries = [main.entry(tag, MAX_TEXT) for tag in tags]
        usual = [entry for entry in entries if entry and entry.type in (_ASCII_TYPE, _SHORT_TYPE, _DOUBLE_TYPE)]
        return tuple(entry if main.order == "<" else entry.swapped() for entry in usual)

    iptc = main.entry(_IPTC, MAX_TEXT)
    resources = main.entry(_PHOTOSHOP, MAX_TEXT)
    data, others = iptc_of_resources(resources.data) if resources else (None, [])
    others += ["data of layers"] * (_LAYERS in main.where) + [CREDENTIALS] * (_C2PA in main.where)
    data = iptc.data if iptc else data
    if data and data[:1] != b"\x1c" and data[3:4] == b"\x1c":  # written as numbers of the other byte order
        data = b"".join(data[i : i + 4][::-1] for i in range(0, len(data), 4))
    value = main.entry(_NODATA, 64)
    try:
        nodata = float(value.data.rstrip(b"\0 ").decode("ascii")) if value and plain else None
    except ValueError:
        nodata = None
    geo = fields(*_GEO)
    size = (main.number(256, 0), main.number(257, 0)) if geo else None
    return Description((), data, geo, fields(_GDAL_METADATA), size, nodata), others


def entries(description: Description) -> list[_tiff.Entry]:
    """Returns the fields of a TIFF file with a description."""
    out = [*description.geo, *description.gdal]
    if description.iptc is not None:
        out.append(_tiff.raw(_IPTC, 7, description.iptc))
    if description.nodata is not None:
        out.append(_tiff.raw(_NODATA, 2, f"{description.nodata:.17g}".encode() + b"\0"))
    return out


# ---- Images of Pillow ----


def of_pil(image: Any) -> tuple[Description, list[str]]:
    """Returns the description of a PIL image, from its file or from this package, and what is not kept of it."""
    if isinstance(own := image.info.get("description"), Description):
        return own, []
    if segments := getattr(image, "applist", None):
        return of_segments(segments)
    if image.format == "PNG":
        description, others = of_texts((key, str(value)) for key, value in getattr(image, "text", {}).items())
        signed = any(name == b"caBX" for name, *_ in getattr(image, "private_chunks", ()))
        return description, [*others, *[CREDENTIALS] * signed]
    if (fields := getattr(image, "tag_v2", None)) is None:
        return NO_DESCRIPTION, []
    kinds = {"georeference": _GEO, "nodata value": (_NODATA,), "IPTC data": (_IPTC,),
             "data of Photoshop": (_PHOTOSHOP,), "data of layers": (_LAYERS,), CREDENTIALS: (_C2PA,)}  # fmt: skip
    absent = [name for name, tags in kinds.items() if any(tag in fields for tag in tags)]
    return NO_DESCRIPTION, absent
