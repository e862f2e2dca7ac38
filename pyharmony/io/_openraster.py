"""OpenRaster files: an image with its layers, for Krita, GIMP, MyPaint and other programs that paint.

Such a file is a zip archive of PNG files and of `stack.xml`, which describes their stacking. Sources: the OpenRaster
specification 0.0.6, file layout and layer stack (openraster.org); Compositing and Blending Level 1, W3C: the general
formula, the operator "source over", and separable blend modes.
"""

from __future__ import annotations

import io
import numbers
import os
import re
import struct
import sys
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args
from xml.parsers import expat

import numpy as np

from .. import _checks
from .._arrays import VALUE_RANGE, NumpyArray
from ..errors import ArgumentError, DecodeError, DTypeError, ImageTooLarge, OutOfMemory, PyHarmonyError
from ..typing import FileLike, LayerMode, PathLike, WritableFile
from . import _decode, _encode, _png, _profiles
from ._picture import Picture, Refusal, check_pixels
from .modes import mixed
from .shown import png

BLENDS: tuple[LayerMode, ...] = get_args(LayerMode)
_OPERATORS = {blend: f"svg:{blend.replace('_', '-')}" for blend in BLENDS} | {"normal": "svg:src-over"}
_BLEND_OF: dict[str, LayerMode] = {_OPERATORS[blend]: blend for blend in BLENDS}

_SUFFIX = ".ora"  # the suffix of OpenRaster files
_MIME = b"image/openraster"  # the content of the part "mimetype"
_STACK = "stack.xml"  # the part that describes the layers
_MERGED = "mergedimage.png"  # the part with the composite of all layers
_THUMBNAIL = "Thumbnails/thumbnail.png"  # the part with a small copy of the composite
_VERSION = "0.0.6"
_THUMBNAIL_SIDE = 256
_MAX_OFFSET = (1 << 31) - 1

_MAX_LAYERS = 500  # the largest number of layers of a file
_MAX_PARTS = 4096  # the largest number of parts of the archive
_MAX_STACK = 1 << 22  # the largest size of stack.xml, in bytes
_MAX_ELEMENTS = 10_000  # the largest number of elements in stack.xml
_MAX_DEPTH = 64  # the largest depth of elements in stack.xml
_MAX_PROFILES = 16  # the largest number of different colour profiles of a file
_MAX_METADATA = 1 << 26  # the largest number of bytes, of all PNG files of a file together, that are not pixels
#: The pixels of all layers and of the merged image together, as a multiple of max_pixels.
_MAX_TOTAL = 4
#: The number of pixels that are merged at a time.
_STRIP = 1 << 16

#: The characters that XML 1.0 does not allow, escaped or not.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_ESCAPED = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
)
_ENTRY = b"PK\1\2"


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer of an image: pixels, their position, and how they are blended with the layers below.

    Attributes:
        name: the name that programs show; any text without control characters.
        pixels: [h, w, 4] of uint8 or uint16, RGBA, not premultiplied. They may be read-only.
        at: (x, y), the position of the upper left pixel in the image; it may be outside.
        opacity: 0 to 1, a factor of the alpha.
        visible: whether the layer is shown.
        blend: 'normal' replaces the colours below, 'multiply' multiplies them, which darkens, 'screen' does so with
            those of negatives, which lightens, 'overlay' and 'soft_light' do one or the other, 'darken' and 'lighten'
            take the smaller or the larger value.

    Raises:
        DTypeError, ShapeError, ArgumentError: a field is invalid.

    Example:
        >>> from pyharmony.io import Layer
        >>> shade = np.full((2, 3, 4), (90, 90, 90, 255), np.uint8)
        >>> Layer("shadow", shade, at=(5, 4), opacity=0.6, blend="multiply")
        Layer('shadow', 3x2 at (5, 4), uint8, multiply, opacity 0.6)
    """

    name: str
    pixels: NumpyArray
    at: tuple[int, int] = (0, 0)
    opacity: float = 1.0
    visible: bool = True
    blend: LayerMode = "normal"

    def __post_init__(self) -> None:
        name: Any = self.name
        if not isinstance(name, str):
            raise DTypeError(f"name: {type(name).__name__}, expected a str")
        if bad := _NOT_XML.search(name):
            raise ArgumentError(f"name: {name[:100]!r} contains {bad.group()!r}, expected text that XML allows")
        check_pixels(self.pixels, "pixels", ("uint8", "uint16"), (4,))
        object.__setattr__(self, "at", _two_integers(self.at, "at", "(x, y)", -_MAX_OFFSET))
        opacity = _checks.number(self.opacity, "opacity", high=1.0, accepts="a number from 0 to 1")
        object.__setattr__(self, "opacity", opacity)
        object.__setattr__(self, "visible", _checks.flag(self.visible, "visible"))
        _checks.one_of(self.blend, "blend", BLENDS)

    def __repr__(self) -> str:
        height, width = self.pixels.shape[:2]
        state = "" if self.visible else ", hidden"
        return (
            f"Layer({self.name!r}, {width}x{height} at {self.at}, {self.pixels.dtype.name}, {self.blend}, "
            f"opacity {self.opacity:g}{state})"
        )

    def _repr_png_(self) -> bytes:
        """Returns the pixels as a PNG, for notebooks."""
        return png(self.pixels)


def _two_integers(x: Any, name: str, form: str, low: int) -> tuple[int, int]:
    accepts = f"expected two whole numbers {form}"
    first, second = _checks.two_numbers(x, name, accepts)
    if not (isinstance(first, numbers.Integral) and isinstance(second, numbers.Integral)):
        raise DTypeError(f"{name}: {x!r}, {accepts}")
    pair = int(first), int(second)
    if not (low <= min(pair) and max(pair) <= _MAX_OFFSET):
        raise ArgumentError(f"{name}: {x!r}, {accepts} from {low} to {_MAX_OFFSET}")
    return pair


def _check_layers(layers: Any) -> list[Layer]:
    """Returns the layers as a list, after checking them."""
    stack = _checks.several(layers, "layers", "a list of Layers, from the bottom to the top")
    for i, layer in enumerate(stack):
        if not isinstance(layer, Layer):
            raise DTypeError(f"layers[{i}]: {type(layer).__name__}, expected a Layer")
    if not 1 <= len(stack) <= _MAX_LAYERS:
        raise ArgumentError(f"layers: {len(stack)} of them, expected 1 to {_MAX_LAYERS}")
    return stack


# ---- Merging ----


def merged_of(layers: Sequence[Layer], size: tuple[int, int]) -> NumpyArray:
    """Returns the composite of layers, as programs show it.

    Each visible layer is composited over those below it by the equations of Compositing and Blending Level 1, on the
    stored values, as in Krita. It is computed in float64 and rounded once, half to even. GIMP 3 works on linear light:
    partly transparent pixels are lighter there, and an opaque layer that multiplies up to 7 levels of 255 darker.

    Args:
        layers: from the bottom to the top; they may extend beyond the image.
        size: (width, height) of the image.

    Returns:
        [height, width, 4] of RGBA, not premultiplied: uint16 if a layer is, else uint8. Colours are 0 where alpha is 0.

    Raises:
        DTypeError, ArgumentError: an argument is invalid.
        OutOfMemory: there is not enough memory.

    Example:
        >>> from pyharmony.io import Layer, merged_of
        >>> photo = np.full((4, 6, 4), (200, 100, 50, 255), np.uint8)
        >>> shade = np.full((2, 2, 4), (102, 102, 102, 255), np.uint8)
        >>> layers = [Layer("photo", photo), Layer("shadow", shade, at=(3, 1), blend="multiply")]
        >>> merged = merged_of(layers, (6, 4))
        >>> merged[0, 0].tolist(), merged[1, 3].tolist()
        ([200, 100, 50, 255], [80, 40, 20, 255])
    """
    stack = _check_layers(layers)
    width, height = _two_integers(size, "size", "(width, height)", 1)
    dtype = np.dtype(np.uint16 if any(layer.pixels.dtype.name == "uint16" for layer in stack) else np.uint8)
    visible = [layer for layer in stack if layer.visible]
    try:
        if width * height > sys.maxsize // 8:  # for which NumPy raises another error
            raise MemoryError
        out = np.empty((height, width, 4), dtype)

        def strip(rows: slice) -> None:
            _merge_rows(visible, rows, out[rows])

        step = max(1, _STRIP // width)
        _profiles.in_threads(strip, [slice(y, min(y + step, height)) for y in range(0, height, step)])
    except MemoryError as error:
        raise OutOfMemory(f"size: not enough memory for an image of {width} x {height} pixels") from error
    return out


def _merge_rows(layers: list[Layer], rows: slice, out: NumpyArray) -> None:
    """Writes rows of the merged image [h, W, 4] into out.

    Colours are premultiplied by alpha, so that there is one division, at the end; they are in units of the dtype,
    in which all products with an alpha of 1 are exact.
    """
    width, white = out.shape[1], VALUE_RANGE[out.dtype.name]
    color, alpha = np.zeros((*out.shape[:2], 3)), np.zeros((*out.shape[:2], 1))
    for layer in layers:
        x, y = layer.at
        top, bottom = max(y, rows.start), min(y + layer.pixels.shape[0], rows.stop)
        left, right = max(x, 0), min(x + layer.pixels.shape[1], width)
        if top >= bottom or left >= right:
            continue
        part = layer.pixels[top - y : bottom - y, left - x : right - x].astype(np.float64)
        part *= white / VALUE_RANGE[layer.pixels.dtype.name]
        source, share = part[..., :3], part[..., 3:] / white * layer.opacity
        window = np.s_[top - rows.start : bottom - rows.start, left:right]
        below, under = color[window], alpha[window]
        source = mixed(source, below, under, layer.blend, white)
        below *= 1 - share
        below += source * share
        under *= 1 - share
        under += share
    level = np.rint(alpha * white)
    np.divide(color, alpha, out=color, where=level > 0)
    color[level[..., 0] == 0] = 0
    out[..., :3] = np.rint(np.minimum(color, white, out=color), out=color)
    out[..., 3:] = level


# ---- Writing ----


def write_layers(
    target: PathLike | WritableFile,
    layers: Sequence[Layer],
    merged: NumpyArray,
    *,
    overwrite: bool = True,
    profile: bytes | None = None,
    dpi: tuple[float, float] | None = None,
    xmp: bytes | None = None,
) -> None:
    """Writes layers as an OpenRaster file, which Krita, GIMP and other programs open.

    The same arguments give the same bytes. A path is written atomically, as by `pyharmony.io.write`.
    GIMP 3 opens 16-bit layers at 8 bit.

    Args:
        target: a path that ends in '.ora', or a binary file object.
        layers: from the bottom to the top, at most 500; they may extend beyond the image.
        merged: the finished image [H, W, 3] or [H, W, 4] of uint8 or uint16, for viewers that do not merge layers. It
            determines the size, and is stored unchanged: as the PNG file that `pyharmony.io.write` would write.
        overwrite: whether an existing file may be replaced.
        profile: the ICC profile of the colours of merged and of every layer; None means sRGB.
        dpi: the horizontal and vertical resolution in dots per inch, stored as whole numbers.
        xmp: an XMP packet for the PNG file of merged, since the format has no other place for metadata.

    Raises:
        DTypeError, ShapeError, ArgumentError: an argument is invalid.
        OSError: the file cannot be written; FileExistsError: it exists and overwrite is False.
        OutOfMemory: there is not enough memory.

    Example:
        >>> from pyharmony.io import Layer, read_layers, write_layers
        >>> photo = np.full((4, 6, 4), 255, np.uint8)
        >>> shade = np.full((2, 2, 4), (102, 102, 102, 255), np.uint8)
        >>> merged = photo[..., :3].copy()
        >>> merged[1:3, 3:5] = 102
        >>> write_layers("scene.ora", [Layer("photo", photo), Layer("shadow", shade, at=(3, 1))], merged)
        >>> layers, picture = read_layers("scene.ora")
        >>> [layer.name for layer in layers], bool((picture.pixels == merged).all())
        (['photo', 'shadow'], True)
    """
    _checks.flags(overwrite=overwrite)
    _check_target(target)
    stack_layers = _check_layers(layers)
    check_pixels(merged, "merged", ("uint8", "uint16"), (3, 4))
    _check_profile(profile)
    dots = None if dpi is None else _check_dpi(dpi)
    if not (xmp is None or isinstance(xmp, bytes)):
        raise DTypeError(f"xmp: {type(xmp).__name__}, expected None or the bytes of an XMP packet")
    names = [f"data/layer{i:03}.png" for i in range(len(stack_layers))]
    stack = _stack_xml(stack_layers, names, merged.shape, dots)
    if len(stack) > _MAX_STACK:
        raise ArgumentError(f"layers: their names need {len(stack)} bytes of XML, expected at most {_MAX_STACK}")

    def parts() -> Iterator[tuple[str, bytes]]:
        yield "mimetype", _MIME  # programs expect it in the first bytes
        yield _STACK, stack
        for name, layer in zip(names, stack_layers):
            yield name, _png_of(Picture(layer.pixels, profile))
        yield _MERGED, _png_of(Picture(merged, profile, xmp=xmp, dpi=dots))
        yield _THUMBNAIL, _png_of(Picture(_thumbnail(merged), profile))

    try:
        data = _zipped(parts())
    except MemoryError as error:
        raise OutOfMemory(f"layers: not enough memory to encode {len(stack_layers)} of them") from error
    _encode.write_to(target, [data], overwrite)


def _check_target(target: Any) -> None:
    path = _encode.path_of(target)
    if path is not None and os.path.splitext(path)[1].lower() != _SUFFIX:
        raise ArgumentError(f"target: {path}, expected a path that ends in {_SUFFIX!r}")


def _check_profile(profile: Any) -> None:
    if profile is None:
        return
    if not isinstance(profile, bytes):
        raise DTypeError(f"profile: {type(profile).__name__}, expected None or the bytes of an ICC profile")
    try:
        kind = _profiles.space_of(profile).kind
    except _profiles.ProfileError as error:
        raise ArgumentError(f"profile: {len(profile)} bytes, expected an ICC profile: {error}") from None
    if kind != "RGB ":
        raise ArgumentError(f"profile: a profile of {kind.strip()} colours, expected RGB")


def _check_dpi(dpi: Any) -> tuple[float, float]:
    accepts = "expected None or two positive numbers (horizontal, vertical) below a million"
    x, y = _checks.two_numbers(dpi, "dpi", accepts)
    if not (0 < x < 1e6 and 0 < y < 1e6):  # NaN is refused too
        raise ArgumentError(f"dpi: {dpi!r}, {accepts}")
    return float(x), float(y)


def _stack_xml(layers: list[Layer], names: list[str], shape: tuple[int, ...], dpi: Any) -> bytes:
    resolution = "" if dpi is None else ' xres="{}" yres="{}"'.format(*(max(1, round(x)) for x in dpi))
    lines = [
        "<?xml version='1.0' encoding='UTF-8'?>",
        f'<image version="{_VERSION}" w="{shape[1]}" h="{shape[0]}"{resolution}>',
        "  <stack>",
    ]
    for layer, name in reversed(list(zip(layers, names))):  # the first element is the top layer
        x, y = layer.at
        lines.append(
            f'    <layer name="{layer.name.translate(_ESCAPED)}" src="{name}" x="{x}" y="{y}" '
            f'opacity="{np.format_float_positional(layer.opacity, trim="0")}" '
            f'visibility="{"visible" if layer.visible else "hidden"}" composite-op="{_OPERATORS[layer.blend]}"/>'
        )
    return "\n".join([*lines, "  </stack>", "</image>", ""]).encode()


def _png_of(picture: Picture) -> bytes:
    return b"".join(_encode.encode(picture, "PNG", 95))


def _thumbnail(merged: NumpyArray) -> NumpyArray:
    """Returns an image at 8 bit, reduced to fit the side of a thumbnail."""
    pixels = _profiles.to_depth(merged, np.uint8)
    height, width = pixels.shape[:2]
    longest = max(height, width)
    if longest <= _THUMBNAIL_SIDE:
        return pixels
    from PIL.Image import Resampling

    size = tuple(max(1, round(side * _THUMBNAIL_SIDE / longest)) for side in (width, height))
    image = _encode._pil_image(Picture(pixels))
    return np.asarray(image.resize(size, Resampling.LANCZOS, reducing_gap=3.0))


def _zipped(parts: Iterable[tuple[str, bytes]]) -> memoryview:
    """Returns a zip archive without information on the time, the system or the user.

    Nothing is compressed: PNG files already are, and the rest is small.
    """
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in parts:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, 0o100644 << 16
            archive.writestr(info, data)
    return stream.getbuffer()


# ---- Reading ----


def read_layers(source: FileLike, *, max_pixels: int | None = None) -> tuple[list[Layer], Picture]:
    """Reads the layers and the merged image of an OpenRaster file.

    Groups without an effect of their own are replaced by their layers. Nothing is written to the disk, and nothing
    outside the file is read.

    Args:
        source: a path, the bytes of a file, or a binary file object.
        max_pixels: the largest accepted number of pixels of the image and of each layer, checked in their headers
            before decoding; all together may have four times as many. None means 256 million.

    Returns:
        The layers from the bottom to the top, and the merged image: a Picture [H, W, 3] or [H, W, 4] of uint8 or
        uint16 with the file's colour profile and resolution. The layers have the same profile.

    Raises:
        DecodeError: the file is not an OpenRaster file, is damaged, lacks a part, or has features that a Layer lacks:
            other blends, isolated groups that blend, filters, drawings.
        ImageTooLarge: there are more pixels than max_pixels allows.
        OutOfMemory: there is not enough memory to decode it.
        OSError: the path is missing, a folder, or not readable.
        DTypeError: source is of another type.

    Example:
        >>> from pyharmony.io import Layer, read_layers, write_layers
        >>> photo = np.full((4, 6, 4), 255, np.uint8)
        >>> write_layers("photo.ora", [Layer("photo", photo)], photo[..., :3])
        >>> layers, merged = read_layers("photo.ora")
        >>> layers
        [Layer('photo', 6x4 at (0, 0), uint8, normal, opacity 1)]
        >>> merged
        Picture(6x4, 3 channels, uint8, format=PNG)
    """
    limit = _decode._limit(max_pixels)
    try:
        data, what = _bytes_of(source)
    except MemoryError as error:
        raise OutOfMemory("source: the file needs more memory than is available") from error

    def work() -> tuple[list[Layer], Picture]:
        try:
            return _read(_Archive(data, what, limit))
        except (zipfile.BadZipFile, expat.ExpatError) as error:
            raise Refusal(f"is damaged: {_decode._brief(error)}") from None

    return _decode._guarded(work, what)


def _bytes_of(source: Any) -> tuple[bytes, str]:
    """Returns the bytes of a file that begins like a zip archive, and its name for messages."""
    with _decode.open_source(source, "source", "a path, bytes or a binary file object") as (file, what):
        head = _decode.head_of(file, "source")
        if not head.startswith(b"PK\3\4"):
            format, instead = _decode.sniff(head)
            raise DecodeError(f"{what} is {f'a file of {format}' if format else instead}, expected an OpenRaster file")
        return head + file.read(), what


@dataclass
class _Element:
    """An element of XML."""

    tag: str
    attributes: dict[str, str]
    children: list[_Element] = field(default_factory=list)


def _xml(data: bytes) -> _Element:
    """Reads XML in UTF-8 without a document type, so that there are no entities to expand."""
    top = _Element("", {})
    above, count = [top], 0

    def doctype(*_: Any) -> None:
        raise Refusal(f"has a document type in {_STACK}, which is not accepted")

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if count > _MAX_ELEMENTS or len(above) > _MAX_DEPTH:
            raise Refusal(
                f"has too many elements in {_STACK}, expected at most {_MAX_ELEMENTS} elements, {_MAX_DEPTH} deep"
            )
        element = _Element(tag, attributes)
        above[-1].children.append(element)
        above.append(element)

    def end(_: str) -> None:
        above.pop()

    parser = expat.ParserCreate("utf-8")
    parser.StartDoctypeDeclHandler = doctype
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.Parse(data, True)
    return top.children[0]


class _Archive:
    """The parts of an OpenRaster file, read from memory within limits."""

    def __init__(self, data: bytes, what: str, limit: int) -> None:
        # Each entry of the directory begins with these bytes; counted first, since every entry becomes an object.
        if data.count(_ENTRY) > _MAX_PARTS:
            raise Refusal(f"has more than {_MAX_PARTS} parts, which are not accepted")
        self.what, self.limit = what, limit
        self.pixels, self.metadata = 0, _MAX_METADATA  # pixels so far, and remaining bytes
        self.zip = zipfile.ZipFile(io.BytesIO(data))
        self.profiles: dict[bytes, bytes | None] = {}
        names = self.zip.namelist()
        if len(set(names)) < len(names):
            raise Refusal("is damaged: two of its parts have the same name")

    def read(self, name: str, size: int, *, whole: bool = True) -> bytes:
        """Returns a part of at most this many bytes, or this many of its first bytes."""
        try:
            info = self.zip.getinfo(name)
        except KeyError:
            raise Refusal(f"lacks {name!r}") from None
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Refusal(f"has {name!r} encrypted or compressed by another method than Deflate")
        if whole and info.file_size > size:
            raise Refusal(f"has {info.file_size} bytes in {name!r}, expected at most {size}")
        with self.zip.open(info) as file:
            return file.read(size)

    def header(self, name: str) -> _png.Png:
        """Returns the header of a PNG file, and counts its pixels."""
        head = self.read(name, 33, whole=False)
        if not head.startswith(_png.SIGNATURE):
            format, instead = _decode.sniff(head)
            raise Refusal(f"has {name!r}, which is {f'a file of {format}' if format else instead}, not PNG")
        try:
            png = _png.header(head)
        except _png.PngError as error:
            raise Refusal(f"is damaged: {name!r}: {error}") from None
        _decode._check_size(png.width, png.height, limit=self.limit, what=f"{self.what}: {name}")
        self.pixels += png.width * png.height
        if self.pixels > _MAX_TOTAL * self.limit:
            raise ImageTooLarge(
                f"{self.what} has images of more than {_MAX_TOTAL * self.limit / 1e6:g} million pixels together; "
                f"at most {_MAX_TOTAL} times max_pixels={self.limit} are allowed"
            )
        return png

    def image(self, name: str, png: _png.Png) -> Picture:
        """Returns an image of three or four channels with its profile."""
        # 8 bytes a pixel, with room for the filters of the rows and the chunks
        pixel_bytes = 9 * png.width * png.height
        data = self.read(name, pixel_bytes + self.metadata)
        self.metadata -= max(0, len(data) - pixel_bytes)
        bare, packed = _without_metadata(data)
        profile = None if packed is None else self._profile(packed, name)

        def check(width: int, height: int) -> None:
            if (width, height) != (png.width, png.height):
                raise Refusal("is damaged: it has two headers")

        def work() -> Picture:
            decoded = _decode._png_file(io.BytesIO(bare), "PNG", check, name, False)
            pixels = _decode.picture(_decode._finished(decoded, name, False), name).pixels
            return Picture(np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels, profile, format="PNG")

        return _decode._guarded(work, f"{self.what}: {name}")

    def _profile(self, packed: bytes, name: str) -> bytes | None:
        """Returns the profile of an iCCP chunk. Most files have one in all their parts: it is inflated once."""
        if packed not in self.profiles:
            if len(self.profiles) == _MAX_PROFILES:
                raise Refusal(f"has more than {_MAX_PROFILES} colour profiles, which are not accepted")
            profile = _png._inflate(packed.partition(b"\0")[2][1:])
            self.profiles[packed] = _profiles.usable(profile, 4, name, grey_too=True)
        return self.profiles[packed]


def _without_metadata(data: bytes) -> tuple[bytes, bytes | None]:
    """Returns a PNG file with the chunks of the pixels only, and its iCCP chunk.

    Metadata would cost time in every layer, and the orientation of EXIF would rotate it.
    """
    chunks, profile, at = [data[:8]], None, 8
    while at + 12 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + size
        if not kind[0] & 0x20 or kind == b"tRNS":
            chunks.append(data[at:end])
        elif kind == b"iCCP" and profile is None:
            profile = data[at + 8 : end - 4]
        at = end
    return b"".join(chunks), profile


def _read(archive: _Archive) -> tuple[list[Layer], Picture]:
    mime = archive.read("mimetype", 256) if "mimetype" in archive.zip.namelist() else b""
    if mime.strip() != _MIME:
        mime_error = f"its mimetype is {mime.decode('latin-1')[:60]!r}" if mime else "it has no mimetype"
        raise Refusal(f"is a zip file but not an OpenRaster file: {mime_error}")
    image = _xml(archive.read(_STACK, _MAX_STACK))
    stacks = [child for child in image.children if child.tag == "stack"]
    if image.tag != "image" or len(stacks) != 1:
        raise Refusal(f"is damaged: {_STACK} is not an image of one stack")
    size = _integer(image.attributes, "w"), _integer(image.attributes, "h")
    layer_attributes = list(_layers_of(stacks[0]))[::-1]
    if len(layer_attributes) > _MAX_LAYERS:
        raise Refusal(f"has {len(layer_attributes)} layers, expected at most {_MAX_LAYERS}")

    headers = {_MERGED: archive.header(_MERGED)}
    for attributes in layer_attributes:
        headers[attributes["src"]] = archive.header(attributes["src"])
    if size != (headers[_MERGED].width, headers[_MERGED].height):
        raise Refusal(
            f"is damaged: {_MERGED} has {headers[_MERGED].width} x {headers[_MERGED].height} pixels, "
            f"{_STACK} has {size[0]} x {size[1]}"
        )
    merged = archive.image(_MERGED, headers[_MERGED])
    dpi = _decode._dpi((image.attributes.get("xres"), image.attributes.get("yres")))  # an invalid one counts as none
    merged = Picture(merged.pixels, merged.profile, dpi=dpi, format=merged.format)
    return [_layer(attributes, archive, headers, merged) for attributes in layer_attributes], merged


def _layers_of(stack: _Element) -> Iterator[dict[str, str]]:
    """Yields the attributes of the layers in a stack, including those in groups, from the top to the bottom.

    A group that is rendered by itself and then composited over the layers below has no effect if all in it is
    composited by "source over", since that operation is associative; one that is not isolated multiplies its layers'
    opacity.
    """
    for child in stack.children:
        if child.tag == "layer":
            _check_layer(child.attributes)
            yield child.attributes
        elif child.tag == "stack":
            own = child.attributes
            is_hidden, opacity = own.get("visibility") == "hidden", _opacity(own)
            inside = list(_layers_of(child))
            alone = own.get("isolation", "isolate") != "auto"
            normal = all(_operator(each) == "svg:src-over" for each in (own, *inside))
            if alone and not is_hidden and not (normal and opacity == 1):
                raise Refusal(
                    f"has a group of layers {own.get('name', '')!r} with its own blend, which is not accepted; "
                    "merge or ungroup it in the program that wrote it"
                )
            for each in inside:
                yield {
                    **each,
                    "opacity": repr(_opacity(each) * (1 if alone else opacity)),
                    "visibility": "hidden" if is_hidden else each.get("visibility", "visible"),
                }
        else:
            raise Refusal(f"has a {child.tag[:40]!r} in its stack, expected layers only")


def _operator(attributes: dict[str, str]) -> str:
    return attributes.get("composite-op", "svg:src-over")


def _check_layer(attributes: dict[str, str]) -> None:
    source = attributes.get("src", "")
    steps = source.split("/")
    if not source or {"", ".", ".."} & {*steps} or "\\" in source or ":" in source:
        raise Refusal(f"has a layer in {source[:100]!r}, expected a path inside the file such as 'data/a.png'")
    if _operator(attributes) not in _BLEND_OF:
        raise Refusal(
            f"has a layer {attributes.get('name', '')[:100]!r} blended by {_operator(attributes)[:40]!r}, "
            f"expected one of {', '.join(_BLEND_OF)}"
        )


def _layer(attributes: dict[str, str], archive: _Archive, headers: dict[str, _png.Png], merged: Picture) -> Layer:
    source, name = attributes["src"], attributes.get("name", "")
    picture = archive.image(source, headers[source])
    if picture.pixels.shape[2] == 3:
        white = np.full((*picture.pixels.shape[:2], 1), VALUE_RANGE[picture.pixels.dtype.name], picture.pixels.dtype)
        picture = Picture(np.concatenate((picture.pixels, white), axis=2), picture.profile)
    like = Picture(np.zeros((1, 1, 4), picture.pixels.dtype), merged.profile)
    pixels = _profiles.convert(picture, like, source).pixels
    at = _integer(attributes, "x", "0"), _integer(attributes, "y", "0")
    visible = attributes.get("visibility") != "hidden"
    try:
        return Layer(name, pixels, at, _opacity(attributes), visible, _BLEND_OF[_operator(attributes)])
    except PyHarmonyError as error:
        raise Refusal(f"has a layer {name[:100]!r} that is not accepted: {error}") from None


def _integer(attributes: dict[str, str], name: str, default: str = "") -> int:
    text = attributes.get(name, default)
    try:
        return int(text)
    except ValueError:
        raise Refusal(f"has {name}={text[:40]!r} in {_STACK}, expected a whole number") from None


def _opacity(attributes: dict[str, str]) -> float:
    text = attributes.get("opacity", "1")
    try:
        opacity = float(text)
    except ValueError:
        opacity = -1.0
    if not 0 <= opacity <= 1:  # NaN is refused too
        raise Refusal(f"has opacity={text[:40]!r} in {_STACK}, expected a number from 0 to 1")
    return opacity
