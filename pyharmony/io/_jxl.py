"""JPEG XL by libjxl: its header and colours by the library inside imagecodecs, and its pixels by imagecodecs itself.

Source: ISO/IEC 18181-2, section 9, for the boxes; jxl/decode.h, jxl/codestream_header.h and jxl/color_encoding.h of
libjxl 0.9 and later, whose ABI is fixed.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _install
from .._arrays import IMAGE_DTYPES, NumpyArray
from . import _color_tags, _tiff_pixels
from ._picture import Refusal

_CODESTREAM = b"\xff\x0a"
_MAX_METADATA = 1 << 24
_BASIC_INFO, _COLOR_ENCODING = 0x40, 0x100  # JxlDecoderStatus
_ORIGINAL, _DATA = 0, 1  # JxlColorProfileTarget: the colours of the file's image, and those of the decoded pixels
#: JxlColorEncoding: space, white point, primaries (each with its chromaticities), transfer function, gamma, intent.
_ENCODING = struct.Struct("2i2di4x6di4xdi")
_GREY, _D65, _BT709, _SRGB, _DCI, _GAMMA = 1, 1, 1, 13, 17, 65535  # values of its fields


@dataclass
class Header:
    """The header of a file.

    Attributes:
        width, height: the size, before the image is turned upright.
        bits: the number of bits of a value.
        lossy: whether the compression may have changed the pixels.
        premultiplied: whether the colours are multiplied by alpha.
        animated: whether there are several frames.
        colors, profile: the colours, or the ICC profile, of the decoded pixels; neither for sRGB.
    """

    width: int
    height: int
    bits: int
    lossy: bool
    premultiplied: bool
    animated: bool
    colors: _color_tags.Colors | None = None
    profile: bytes | None = None


def header(data: bytes) -> Header:
    """Reads the header of a file.

    Refusal: it is damaged, or an HDR image. UnknownColors: its colours are unusual.
    """
    library = _library()
    decoder = ctypes.c_void_p(library.JxlDecoderCreate(None))
    try:
        library.JxlDecoderSubscribeEvents(decoder, _BASIC_INFO | _COLOR_ENCODING)
        library.JxlDecoderSetInput(decoder, data, ctypes.c_size_t(len(data)))
        library.JxlDecoderCloseInput(decoder)
        info = (ctypes.c_uint32 * 256)()  # JxlBasicInfo, whose fields have 32 bits
        if library.JxlDecoderProcessInput(decoder) != _BASIC_INFO or library.JxlDecoderGetBasicInfo(decoder, info):
            raise Refusal("is damaged: its header cannot be read")
        _, width, height, bits, *_ = info
        if info[12] > 4:  # JxlOrientation: libjxl gives the size of the upright image
            width, height = height, width
        head = Header(width, height, bits, not info[9], bool(info[17]), bool(info[11]))
        if library.JxlDecoderProcessInput(decoder) != _COLOR_ENCODING:
            raise Refusal("is damaged: its colours cannot be read")
        _colors_of(_encoding(library, decoder, _ORIGINAL))  # refuses HDR
        if encoding := _encoding(library, decoder, _DATA):
            head.colors = _colors_of(encoding)
        else:
            head.profile = _profile(library, decoder)
        return head
    finally:
        library.JxlDecoderDestroy(decoder)


def _encoding(library: Any, decoder: Any, target: int) -> tuple[Any, ...] | None:
    """Returns the fields of colours that are no ICC profile."""
    buffer = ctypes.create_string_buffer(2 * _ENCODING.size)
    failed = library.JxlDecoderGetColorAsEncodedProfile(decoder, target, buffer)
    return None if failed else _ENCODING.unpack_from(buffer)


def _colors_of(encoding: tuple[Any, ...] | None) -> _color_tags.Colors | None:
    if encoding is None:
        return None
    space, white, *white_point, primaries, rx, ry, gx, gy, bx, by, transfer, gamma, _ = encoding
    if white == _D65 and transfer == _SRGB and (space == _GREY or primaries == _BT709):
        return None
    red_green_blue = _color_tags.SRGB.primaries[:3] if space == _GREY else ((rx, ry), (gx, gy), (bx, by))
    if transfer in (_DCI, _GAMMA):
        curve: tuple[float, ...] = (0, 2.6 if transfer == _DCI else 1 / max(gamma, 1e-3))
    elif (named := _color_tags.of_code_points(_BT709, transfer)) is None:
        return None
    else:
        curve = named.curve
    colors = _color_tags.Colors((*red_green_blue, tuple(white_point)), curve, "JPEG XL")
    _color_tags.profile(colors, space == _GREY)  # raises UnknownColors
    return colors


def _profile(library: Any, decoder: Any) -> bytes | None:
    size = ctypes.c_size_t()
    if library.JxlDecoderGetICCProfileSize(decoder, _DATA, ctypes.byref(size)) or size.value > _MAX_METADATA:
        return None
    buffer = ctypes.create_string_buffer(size.value)
    failed = library.JxlDecoderGetColorAsICCProfile(decoder, _DATA, buffer, size)
    return None if failed else buffer.raw


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields the kinds and contents of the boxes of a file; a bare codestream has none."""
    at = len(data) if data.startswith(_CODESTREAM) else 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if size == 1 and start + 8 <= len(data):
            size, start = struct.unpack_from(">Q", data, start)[0], start + 8
        end = len(data) if size == 0 else at + size
        if end < start or end > len(data):
            raise Refusal("is damaged: it ends in the middle of a box")
        yield kind, data[start:end]
        at = end


def codec() -> Any:
    """Returns imagecodecs.

    Refusal: it is not installed, or was built without JPEG XL.
    """
    try:
        import imagecodecs

        if imagecodecs.JPEGXL.available:
            return imagecodecs
    except ImportError:
        pass
    raise Refusal(f"is a JPEG XL file, which is decoded by imagecodecs: {_install.hint('io')}")


def _library() -> Any:
    """Returns libjxl: the functions that imagecodecs' own module is linked to."""
    codec()
    from imagecodecs import _jpegxl

    library = ctypes.CDLL(_jpegxl.__file__)
    try:
        library.JxlDecoderCreate.restype = ctypes.c_void_p
    except AttributeError:
        raise Refusal("is a JPEG XL file, whose header this build of imagecodecs does not give") from None
    return library


def metadata(data: bytes) -> tuple[bytes | None, bytes | None, bool]:
    """Returns EXIF, XMP, and whether the file is a JPEG that was packed without loss."""
    packed = False
    texts: dict[bytes, bytes] = {}
    for kind, body in boxes(data):
        if kind == b"brob" and body[:4] in (b"Exif", b"xml "):
            kind, body = body[:4], _unpacked(body[4:])
        if kind in (b"Exif", b"xml ") and body:
            texts.setdefault(kind, body)
        packed |= kind == b"jbrd"
    exif = texts.get(b"Exif")
    if exif is not None:  # an offset to the header of TIFF is first
        exif = exif[4 + int.from_bytes(exif[:4], "big") :]
    return exif, texts.get(b"xml "), packed


def _unpacked(data: bytes) -> bytes:
    imagecodecs = codec()
    try:
        return bytes(imagecodecs.brotli_decode(data, out=_MAX_METADATA))
    except (imagecodecs.BrotliError, imagecodecs.DelayedImportError, ValueError):
        return b""


def jpeg(data: bytes) -> bytes | None:
    """Returns the JPEG file that was packed without loss; None if it cannot be restored."""
    imagecodecs = codec()
    try:
        return bytes(imagecodecs.jpegxl_decode_jpeg(data))
    except (imagecodecs.JpegxlError, ValueError):
        return None


def decode(data: bytes, head: Header) -> NumpyArray:
    """Returns the pixels [H, W, C] of the first frame, upright, with alpha that is not premultiplied."""
    imagecodecs = codec()
    try:
        pixels: NumpyArray = imagecodecs.jpegxl_decode(data, index=0 if head.animated else None)
    except imagecodecs.JpegxlError as error:
        raise Refusal(f"is damaged: {error}") from None
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or {*pixels.shape[:2]} != {head.width, head.height} or pixels.shape[2] > 4:
        raise Refusal(f"has pixels of an unusual shape, {list(pixels.shape)}")
    if pixels.dtype.name not in IMAGE_DTYPES:
        raise Refusal(f"has {pixels.dtype.name} pixels, expected {', '.join(IMAGE_DTYPES)}")
    if pixels.shape[2] == 2:
        pixels = np.concatenate((*[pixels[..., :1]] * 3, pixels[..., 1:]), axis=2)
    if pixels.dtype.kind == "u" and head.bits != 8 * pixels.itemsize:  # the ends of the range are black and white
        white = np.iinfo(pixels.dtype).max
        pixels = np.rint(pixels * (white / ((1 << head.bits) - 1))).clip(0, white).astype(pixels.dtype)
    if head.premultiplied and pixels.shape[2] == 4:
        _tiff_pixels.unpremultiply(pixels)
    return pixels


def encode(pixels: NumpyArray, quality: int, exif: bytes | None, xmp: bytes | None) -> list[bytes]:
    """Returns the pieces of a file of sRGB pixels [H, W, C], uint8; without loss at quality 100."""
    # The distance of cjxl for a quality: 1 is hardly visible.
    distance = 0.1 + 0.09 * (100 - quality) if quality >= 30 else 53 / 3000 * quality**2 - 23 / 20 * quality + 25
    options: dict[str, Any] = {"lossless": True} if quality == 100 else {"distance": distance}
    values = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    data = bytes(codec().jpegxl_encode(np.ascontiguousarray(values), usecontainer=True, **options))
    # The first four bytes of EXIF are the offset of its header.
    boxes = [(kind, body) for kind, body in ((b"Exif", exif and bytes(4) + exif), (b"xml ", xmp)) if body]
    return [data, *(struct.pack(">I4s", 8 + len(body), kind) + body for kind, body in boxes)]
