"""EXIF and XMP: removes private and outdated parts, and converts them between kinds of files."""

from __future__ import annotations

import logging
import re
import struct
from collections.abc import Callable, Iterable
from typing import TypeVar

from . import _color_tags, _tiff
from ._description import CREDENTIALS

logger = logging.getLogger("pyharmony")

T = TypeVar("T")

EXIF_PREFIX = b"Exif\0\0"
#: The largest size of EXIF in bytes, and of all its fields together in a larger file.
_MAX_METADATA = 1 << 26


def _body(exif: bytes) -> bytes:
    return exif[6:] if exif.startswith(EXIF_PREFIX) else exif


def clean_exif(exif: bytes | None, name: str, keep_gps: bool) -> tuple[bytes | None, int]:
    """Returns EXIF without orientation, thumbnail and GPS, and its orientation (1 to 8).

    Its mark of Adobe RGB is cleared, since the profile replaces it: it would be wrong for converted colours. The rest
    keeps its offsets, so that those in maker notes remain valid. EXIF that cannot be read is dropped
    with a warning.
    """
    if not exif or not _body(exif):
        return None, 1
    body = bytearray(_body(exif))
    try:
        orientation = _clean_in_place(body, keep_gps)
        order, big, first = _tiff.header(_tiff.reader(body))
        left = _tiff.directory(_tiff.reader(body), order, big, first)
        if big or (not keep_gps and _tiff.GPS_IFD in left.where) or _tiff.ORIENTATION in left.where:
            raise _tiff.TiffError("its directories overlap")
    except (_tiff.TiffError, struct.error) as error:
        logger.warning("%s: the EXIF data is damaged (%s) and was dropped", name, error)
        return None, 1
    return (EXIF_PREFIX + bytes(body) if left.where else None), orientation


def _clean_in_place(body: bytearray, keep_gps: bool) -> int:
    read = _tiff.reader(body)
    order, big, first = _tiff.header(read)
    if big:
        raise _tiff.TiffError("BigTIFF")
    main = _tiff.directory(read, order, False, first)
    orientation = orientation_of(main)
    wiped: list[tuple[int, int]] = []
    budget = _tiff.Budget(2 * len(body))  # two fields may point to one thumbnail

    def wipe(offset: int, size: int) -> None:
        size = max(min(size, len(body) - offset), 0)
        if offset >= 8 and size:
            budget.spend(size)
            body[offset : offset + size] = bytes(size)
            wiped.append((offset, offset + size))

    def wipe_directory(at: int) -> None:
        try:
            part = _tiff.directory(read, order, False, at)
        except _tiff.TiffError:
            return  # An invalid offset: nothing to wipe.
        for where, length in ((0x0201, 0x0202), (0x0111, 0x0117)):  # a JPEG thumbnail, then the strips of one
            for offset, size in zip(part.numbers(where, 4096), part.numbers(length, 4096)):
                wipe(int(offset), int(size))
        count = struct.unpack_from(order + "H", body, at)[0]
        for tag, (_, _, offset) in part.where.items():
            if part.size(tag) > 4:
                wipe(offset, part.size(tag))
        wipe(at, 2 + 12 * count + 4)

    drop = {_tiff.ORIENTATION}
    if not keep_gps:
        drop.add(_tiff.GPS_IFD)
        if _tiff.GPS_IFD in main.where:
            wipe_directory(main.number(_tiff.GPS_IFD, 0))
    if main.next:
        wipe_directory(main.next)
    if colors_of_directory(main) and (exif := _part(main, _tiff.EXIF_IFD)):
        _clear_adobe_rgb(body, main.number(_tiff.EXIF_IFD, 0), exif)
    end = _without_fields(body, order, first, drop)
    for start, stop in sorted(wiped, reverse=True):
        if stop == len(body) and start >= end:
            del body[start:]
    return orientation if 1 <= orientation <= 8 else 1


def _without_fields(body: bytearray, order: str, at: int, drop: Iterable[int]) -> int:
    """Writes a directory again without some fields, moving the others up, and returns its end."""
    count = struct.unpack_from(order + "H", body, at)[0]
    rows = [bytes(body[at + 2 + 12 * i : at + 14 + 12 * i]) for i in range(count)]
    rows = [row for row in rows if struct.unpack_from(order + "H", row)[0] not in drop]
    end = at + 2 + 12 * count + 4
    body[at:end] = (struct.pack(order + "H", len(rows)) + b"".join(rows)).ljust(end - at, b"\0")
    return end


_COLOR_SPACE = 0xA001  # the tag ColorSpace of Exif
_INTEROP_INDEX = 0x0001  # the tag InteroperabilityIndex, in its own directory
_UNCALIBRATED = 65535


def _part(main: _tiff.Directory, tag: int) -> _tiff.Directory | None:
    """Returns the directory that a field points to."""
    try:
        return _tiff.directory(main.read, main.order, False, at) if (at := main.number(tag, 0)) else None
    except _tiff.TiffError:
        return None


def colors_of_directory(main: _tiff.Directory) -> _color_tags.Colors | None:
    """Returns the colours of EXIF if they are not sRGB's: Adobe RGB, as written by cameras.

    ColorSpace is 65535 (uncalibrated), and InteroperabilityIndex "R03"; some programs write 2 as ColorSpace.
    """
    if (exif := _part(main, _tiff.EXIF_IFD)) is None:
        return None
    space = exif.number(_COLOR_SPACE, 0)
    if space == _UNCALIBRATED and (interop := _part(exif, _tiff.INTEROP_IFD)):
        index = interop.entry(_INTEROP_INDEX, 64)
        return _color_tags.ADOBE_RGB if index and index.data.rstrip(b"\0 ") == b"R03" else None
    return _color_tags.ADOBE_RGB if space == 2 else None


def orientation_of(main: _tiff.Directory) -> int:
    """Returns the orientation of a main directory, as it is stored."""
    return main.number(_tiff.ORIENTATION, 1)


def of_exif(exif: bytes | None, measure: Callable[[_tiff.Directory], T]) -> T | None:
    """Returns a function's value for the main directory of EXIF; None if there is no EXIF, or it is damaged."""
    try:
        return measure(_tiff.main_directory(_tiff.reader(_body(exif)))) if exif else None
    except _tiff.TiffError:
        return None


def _clear_adobe_rgb(body: bytearray, at: int, exif: _tiff.Directory) -> None:
    """Changes the colour space of an EXIF directory from Adobe RGB to uncalibrated."""
    kind, _, value = exif.where[_COLOR_SPACE]
    long = kind != 3
    if (interop := _part(exif, _tiff.INTEROP_IFD)) and _INTEROP_INDEX in interop.where:
        index = interop.where[_INTEROP_INDEX][2]
        body[index : index + 4] = bytes(4)[: max(len(body) - index, 0)]
    body[value : value + (4 if long else 2)] = struct.pack(exif.order + "HI"[long], _UNCALIBRATED)
    _without_fields(body, exif.order, at, (_tiff.INTEROP_IFD,))


def dpi_of(main: _tiff.Directory) -> tuple[float, float] | None:
    """Returns the resolution in a directory."""
    unit = {2: 1.0, 3: 2.54}.get(main.number(0x0128, 2))
    x, y = (main.numbers(tag, 64)[:1] for tag in (0x011A, 0x011B))
    return (x[0] * unit, y[0] * unit) if unit and x and y else None


_MAX_XMP = 1 << 24


#: Properties of XMP that are untrue of pixels that are upright and processed: orientation, thumbnail, and the crop that
#: a raw converter would apply again.
_UNTRUE_XMP = (rb"tiff:Orientation", rb"xmp:Thumbnails", rb"crs:(?:HasCrop|Crop\w*)")
_PLACE_XMP = (
    rb"exif:GPS\w*", rb"photoshop:(?:City|State|Country)", rb"Iptc4xmpCore:(?:Location|CountryCode)",
    rb"Iptc4xmpExt:Location(?:Created|Shown)",
)  # fmt: skip


def clean_xmp(xmp: bytes | None, name: str, keep_gps: bool) -> bytes | None:
    """Returns XMP without the GPS properties of EXIF and the names of places, and without what is untrue of the pixels.

    A packet that still contains GPS afterwards, is damaged, or has a document type, whose entities readers would
    expand, is dropped with a warning.
    """
    if not xmp:
        return None
    packet: bytes | None = bytes(xmp).rstrip(b"\0")
    if len(xmp) > _MAX_XMP or not packet or b"\0" in packet or b"<" not in packet:
        packet = None
    if packet and declares(packet):
        logger.warning("%s: the XMP data has a DOCTYPE, which XMP forbids, and was dropped", name)
        return None
    for each in (*(() if keep_gps else _PLACE_XMP), *_UNTRUE_XMP):
        packet = packet and _without(packet, each)
    if packet is None:
        logger.warning("%s: the XMP data is damaged or too large and was dropped", name)
    elif not keep_gps and re.search(rb"GPS(L|Alt|Pos|Dest|Area|Date|Time|Img|Map|Sat)", packet):
        logger.warning("%s: the XMP data contains GPS in a form that cannot be removed and was dropped", name)
        packet = None
    return packet


#: Properties of XMP with the width and the height in pixels.
_SIZES_XMP = tuple(
    re.compile(rb"(\b" + name + rb"(?:\s*=\s*[\"']|\s*>)\s*)\d+")
    for name in (rb"(?:tiff:ImageWidth|exif:PixelXDimension)", rb"(?:tiff:ImageLength|exif:PixelYDimension)")
)


def sized_xmp(xmp: bytes | None, width: int, height: int) -> bytes | None:
    """Returns XMP with the size of the pixels where it has a size."""
    for pattern, size in zip(_SIZES_XMP, (width, height)):
        xmp = xmp and pattern.sub(rb"\g<1>%d" % size, xmp)
    return xmp


def sized_exif(exif: bytes | None, width: int, height: int) -> bytes | None:
    """Returns EXIF with the size of the pixels where it has a size; all positions in it stay."""
    if exif is None:
        return None
    body = bytearray(_body(exif))
    try:
        main = _tiff.main_directory(_tiff.reader(body))
    except _tiff.TiffError:
        return exif  # the encoders report it
    part = _part(main, _tiff.EXIF_IFD)
    for where, tags in ((main.where, (0x0100, 0x0101)), (part.where if part else {}, (0xA002, 0xA003))):
        for tag, size in zip(tags, (width, height)):
            kind, count, at = where.get(tag, (0, 0, 0))
            if kind in (3, 4) and count == 1 and at >= 16:
                # As a LONG, which has room for every size; the type is 6 bytes before the value.
                body[at - 6 : at - 4] = struct.pack(main.order + "H", 4)
                body[at : at + 4] = struct.pack(main.order + "I", size)
    return exif[: len(exif) - len(body)] + bytes(body)


def oriented_exif(exif: bytes | None, orientation: int) -> bytes:
    """Returns EXIF with an orientation; its main directory is written again behind all else, whose positions stay."""
    body, order, rows, following = bytearray(b"II*\0\0\0\0\0"), "<", [], bytes(4)
    if exif and of_exif(exif, orientation_of) is None:
        logger.warning("the EXIF data is damaged and was not written")
    elif exif:
        body = bytearray(_body(exif))
        order, _, at = _tiff.header(_tiff.reader(body))
        end = at + 2 + 12 * struct.unpack_from(order + "H", body, at)[0]
        rows = [bytes(body[i : i + 12]) for i in range(at + 2, end, 12)]
        following = bytes(body[end : end + 4]).ljust(4, b"\0")
    rows = [row for row in rows if struct.unpack_from(order + "H", row)[0] != _tiff.ORIENTATION]
    rows.append(struct.pack(order + "HHIHH", _tiff.ORIENTATION, 3, 1, orientation, 0))
    rows.sort(key=lambda row: struct.unpack_from(order + "H", row))
    body += bytes(len(body) % 2)
    body[4:8] = struct.pack(order + "I", len(body))
    body += struct.pack(order + "H", len(rows)) + b"".join(rows) + following
    return EXIF_PREFIX + bytes(body)


_DECLARATION = re.compile(rb"<!(DOCTYPE|ENTITY|ELEMENT|ATTLIST|NOTATION)", re.IGNORECASE)


def declares(packet: bytes) -> bool:
    """Returns whether XML has a document type, whose entities may grow without bound, or refer to files."""
    return _DECLARATION.search(packet) is not None


#: Namespaces of XMP, their properties that describe other contents of the file, and the names of these.
_ANY_PROPERTY = rb"[\w.-]+"
_PROMISES = (
    (rb"http://ns\.adobe\.com/hdr-gain-map/1\.0/", _ANY_PROPERTY, "gain map"),
    (rb"http://ns\.apple\.com/HDRGainMap/1\.0/", _ANY_PROPERTY, "gain map"),
    (rb"http://ns\.google\.com/photos/1\.0/camera/", rb"(?:MicroVideo|MotionPhoto)\w*", "video"),
    (rb"http://ns\.oplus\.com/photos/1\.0/camera/", rb"(?:MicroVideo|MotionPhoto|OLivePhoto|Video)\w*", "video"),
    (rb"http://ns\.xiaomi\.com/photos/1\.0/camera/", rb"(?:MicroVideo|MotionPhoto|XMPMeta)\w*", "video"),
    (rb"http://ns\.google\.com/photos/1\.0/depthmap/", _ANY_PROPERTY, "depth map"),
    (rb"http://ns\.google\.com/photos/dd/1\.0/\w+/", _ANY_PROPERTY, "depth map"),
    (rb"http://ns\.apple\.com/(?:depth\w+|pixeldatainfo|portraitEffectsMatte)/1\.0/", _ANY_PROPERTY, "depth map"),
    (rb"http://ns\.google\.com/photos/1\.0/image/", _ANY_PROPERTY, "image before the effect"),
    (rb"http://ns\.google\.com/photos/1\.0/audio/", _ANY_PROPERTY, "sound"),
    (rb"http://ns\.adobe\.com/xmp/note/", rb"HasExtendedXMP", "extended XMP"),
    (rb"http://purl\.org/dc/terms/", rb"provenance", CREDENTIALS),  # where they are
    # A list of the data after the image; the semantics of its items identify them.
    (rb"http://ns\.google\.com/photos/1\.0/container/(?:item/)?", _ANY_PROPERTY, ""),
)  # fmt: skip
_MAX_PREFIXES = 8
_SEMANTICS = {b"GainMap": "gain map", b"MotionPhoto": "video", b"Depth": "depth map"}


def without_promises(packet: bytes) -> tuple[bytes | None, list[str]]:
    """Returns XMP without descriptions of other images, videos and sound in the file, and the names of these.

    None instead of XMP if they cannot be removed.
    """
    names: list[str] = []
    left: bytes | None = packet
    for space, properties, name in _PROMISES:
        declared = re.compile(rb"\sxmlns:([\w.-]{1,64})\s*=\s*[\"']" + space + rb"[\"']")
        prefixes = {match.group(1) for match in declared.finditer(packet)}
        for prefix in sorted(prefixes)[:_MAX_PREFIXES]:
            head = re.escape(prefix) + rb":"
            promise = re.compile(rb"[\s<]" + head + properties)
            if promise.search(packet) is None:
                continue
            names += [name] if name else [what for word, what in _SEMANTICS.items() if word in packet]
            left = left and _without(left, head + properties)
            if left is None or promise.search(left):
                left = None
            elif properties is _ANY_PROPERTY:
                left = re.sub(rb"\sxmlns:" + head[:-1] + rb"\s*=\s*(?:\"[^\"<]*\"|'[^'<]*')", b"", left)
        if len(prefixes) > _MAX_PREFIXES:
            left = None
    return left, list(dict.fromkeys(names))


def _without(packet: bytes, name: bytes) -> bytes | None:
    """Returns the packet without attributes and elements of a name; None if an element does not end.

    Every step moves forward, so the time is proportional to the length.
    """
    packet = re.sub(rb"(?<=\s)" + name + rb"\s*=\s*(?:\"[^\"<]*\"|'[^'<]*')", b"", packet)
    start = re.compile(rb"<(" + name + rb")(?:\s[^<>]*)?>")
    parts, at = [], 0
    while tag := start.search(packet, at):
        end = tag.end()
        if not tag.group().endswith(b"/>"):
            end = _end_of(packet, tag.group(1), end)
            if end < 0:
                return None
        parts.append(packet[at : tag.start()])
        at = end
    return b"".join((*parts, packet[at:]))


_CLOSING_BRACKET = re.compile(rb"\s*>")


def _end_of(packet: bytes, name: bytes, at: int) -> int:
    """Returns the end of the element of a name that began before at; -1 if it does not end."""
    tag = b"</" + name
    while (at := packet.find(tag, at)) >= 0:
        if bracket := _CLOSING_BRACKET.match(packet, at + len(tag)):
            return bracket.end()
        at += len(tag)
    return -1


def exif_of_tiff(main: _tiff.Directory, keep_gps: bool, size: int, name: str) -> bytes | None:
    """Returns the EXIF of a TIFF file of size bytes: its descriptive fields, its EXIF directory and possibly GPS."""
    tags = (_tiff.EXIF_IFD, *([_tiff.GPS_IFD] if keep_gps else []))
    try:
        entries, parts = _fields_of(main, tags, size)
    except _tiff.TiffError as error:
        logger.warning("%s: the EXIF data is damaged (%s) and was dropped", name, error)
        return None
    if not entries and not parts:
        return None
    head = (b"II*\0" if main.order == "<" else b"MM\0*") + struct.pack(main.order + "I", 8)
    return EXIF_PREFIX + head + _tiff.build(entries, parts, 8, main.order)


def _fields_of(
    main: _tiff.Directory, tags: Iterable[int], size: int
) -> tuple[list[_tiff.Entry], dict[int, list[_tiff.Entry]]]:
    """Returns the descriptive fields of a directory, and the directories that these tags point to.

    TiffError: together they have more bytes than the file, so that several overlap.
    """
    budget = _tiff.Budget(min(size, _MAX_METADATA))
    entries = main.entries(_tiff.DESCRIPTIVE_TAGS & main.where.keys(), budget)
    parts = {}
    for tag in tags:
        if part := _part(main, tag):
            parts[tag] = part.entries(part.where.keys() - {_tiff.INTEROP_IFD}, budget)
    return entries, {tag: fields for tag, fields in parts.items() if fields}


def tiff_of_exif(exif: bytes | None) -> tuple[list[_tiff.Entry], dict[int, list[_tiff.Entry]]]:
    """Returns the descriptive fields and the directories of EXIF for a little-endian TIFF file."""
    if exif is None:
        return [], {}
    try:
        body = _body(exif)
        main = _tiff.main_directory(_tiff.reader(body))
        entries, parts = _fields_of(main, (_tiff.EXIF_IFD, _tiff.GPS_IFD), len(body))
    except _tiff.TiffError as error:
        logger.warning("the EXIF data is damaged (%s) and was not written", error)
        return [], {}

    def little(entries: list[_tiff.Entry]) -> list[_tiff.Entry]:
        return entries if main.order == "<" else [entry.swapped() for entry in entries]

    return little(entries), {tag: little(part) for tag, part in parts.items()}
