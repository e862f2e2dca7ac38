"""Decodes image files: determines the format by the first bytes, the size by the header, then reads the pixels.

No decoder is tried: a file is passed to the decoder of the format of its first bytes, or refused.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import logging
import math
import os
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .. import _checks, _install, _warnings
from .._arrays import NumpyArray, is_pil
from ..errors import DecodeError, DTypeError, ImageTooLarge, OutOfMemory, PyHarmonyError
from . import _color_tags, _description, _jpeg, _metadata, _png, _profiles, _tiff, _webp
from ._picture import MAX_PIXELS, Picture, Refusal, with_metadata

if TYPE_CHECKING:
    from ._tiff_pixels import Layout

logger = logging.getLogger("pyharmony")

Result = TypeVar("Result")


#: The first bytes of files that are refused, and their kinds.
_REFUSED_KINDS = (
    (b"GIF8", "a GIF file"), (b"%PDF", "a PDF file"), (b"%!PS", "an EPS or PostScript file"),
    (b"\xc5\xd0\xd3\xc6", "an EPS file"), (b"SIMPLE  =", "a FITS file"), (b"8BPS", "a Photoshop file"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 file"), (b"\xff\x4f\xff\x51", "a JPEG 2000 file"),
    (b"v/1\x01", "an OpenEXR file"), (b"#?R", "a Radiance HDR file"),
    (b"\0\0\1\0", "an icon file"), (b"<svg", "an SVG file"), (b"<?xml", "an XML file"), (b"\x1f\x8b", "a gzip file"),
    (b"PK\3\4", "a zip file"), (b"qoif", "a QOI file"), (b"\x93NUMPY", "a NumPy file"), (b"DDS ", "a DDS file"),
    (b"P1", "a PNM file"), (b"P2", "a PNM file"), (b"P3", "a PNM file"), (b"P4", "a PNM file"), (b"P5", "a PNM file"),
    (b"P6", "a PNM file"), (b"P7", "a PNM file"), (b"Pf", "a PFM file"), (b"PF", "a PFM file"),
    (b"<!DOCTYPE", "an HTML file"), (b"<html", "an HTML file"), (b"FUJIFILM", "a camera's raw file"),
)  # fmt: skip

#: The remedies for some of them.
_REMEDIES = {"a GIF file": "save the frame as PNG"}
_NO_HEIF = (
    "is a HEIF file (HEIC), as iPhones write, which pillow-heif decodes (the extra [heif]): pip install pillow-heif, "
    "or save it as JPEG or PNG"
)
_ADDRESS = re.compile(r"(https?|ftp|s3|gs|data|file):", re.IGNORECASE)

#: The errors of decoders for damaged files. Image.DecompressionBombError is not a ValueError.
_DAMAGE = (
    OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, OverflowError,
    ArithmeticError, AssertionError, NotImplementedError, RuntimeError, struct.error, zlib.error, Warning,
)  # fmt: skip


def sniff(head: bytes) -> tuple[str | None, str]:
    """Returns the accepted format of a file by its first bytes, or None and the kind of the file."""
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG", ""
    if head.startswith(_png.SIGNATURE):
        return "PNG", ""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP", ""
    if head.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")):
        return "JXL", ""
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return (None, "a camera's raw file (CR2)") if head[8:10] == b"CR" else ("TIFF", "")
    if (
        head[:2] == b"BM"
        and len(head) >= 18
        and struct.unpack_from("<I", head, 14)[0] in (12, 40, 52, 56, 64, 108, 124)
    ):
        return "BMP", ""
    if head[4:8] == b"ftyp":
        brands = {
            head[8:12],
            *(head[i : i + 4] for i in range(16, min(len(head), struct.unpack(">I", head[:4])[0]), 4)),
        }
        if brands & {b"avif", b"avis"}:
            return "AVIF", ""
        if brands & {b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1"}:
            return "HEIF", ""
        return None, "a video or another MP4 file"
    if not head:
        return None, "empty"
    for magic, what in _REFUSED_KINDS:
        if head.startswith(magic):
            return None, what
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith((b"<svg", b"<?xml", b"<!DOCTYPE", b"<html")):
        return None, "an SVG, XML or HTML file"
    start = head[:16]
    is_text = start.isascii() and "".join(start.decode().split()).isprintable()
    return None, f"not a known image file (it starts with {repr(start.decode()) if is_text else start[:8].hex(' ')})"


def _accepted() -> str:
    """Returns the names of the formats that are read on this installation."""
    optional = [name for name, package in (("JPEG XL", "imagecodecs"), ("HEIC", "pillow_heif"))
                if importlib.util.find_spec(package) is not None]  # fmt: skip
    *names, last = ("JPEG", "PNG", "WebP", "TIFF", "BMP", "AVIF", *optional)
    return f"{', '.join(names)} or {last}"


@dataclass
class Decoded:
    """The result of a decoder: pixels as Pillow's image (8 bit) or an array [H, W, C], not yet rotated upright."""

    pixels: Any
    profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: Any = None
    format: str | None = None
    orientation: int = 1
    colors: _color_tags.Colors | None = None
    """The colours of the tags of a file without a profile."""
    others: tuple[str, ...] = ()
    """The other images in the file, such as 'gain map'."""
    whole: tuple[int, int] | None = None
    """The width and height of the whole image, upright, if it was decoded at a reduced size."""
    description: _description.Description = _description.NO_DESCRIPTION
    lossy: bool | None = False
    original: str | bytes | None = None
    """The path or the bytes of a JPEG file that was decoded at full size."""


def _limit(max_pixels: Any) -> int:
    if max_pixels is None:
        return MAX_PIXELS
    return _checks.whole(max_pixels, "max_pixels", low=1, accepts="None or a number of pixels of at least 1")


@dataclass(frozen=True)
class Form:
    """The accepted forms of pixels.

    Attributes:
        least: the smallest accepted longer side in pixels; a JPEG may be decoded at a half, a quarter or an eighth of
            each side. None: full size.
        square: the side of a square to which a JPEG is resized if it is at least twice as wide and as high; its
            proportions are lost. None: full size.
        is_array: whether pixels of 8 bits may also be an array.
    """

    least: int | None = None
    square: int | None = None
    is_array: bool = False


def decode(source: Any, name: str, max_pixels: Any, keep_gps: bool, form: Form = Form()) -> Decoded:
    """Decodes the image of any source, upright, with cleaned metadata."""
    limit = _limit(max_pixels)
    if is_pil(source):
        return _guarded(lambda: _from_pil(source, limit, name, keep_gps), f"{name}: the PIL image")
    with open_source(source, name, "a path, bytes, a binary file object, a PIL image or a Picture") as (file, what):
        stream = _whole(source, name) if file is source else file
        return _from_stream(stream, what, limit, name, keep_gps, form)


@contextlib.contextmanager
def open_source(source: Any, name: str, accepts: str) -> Iterator[tuple[Any, str]]:
    """Yields the binary file of a source, and its name in messages, such as "image: cat.png"."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        yield io.BytesIO(source), f"{name}: the {len(source)} bytes given"
    elif isinstance(source, (str, os.PathLike)):
        path = os.fspath(_checks.path(source, name, "the path of a file"))
        if _ADDRESS.match(path) and not os.path.exists(path):
            raise _refused(DecodeError, f"{name}: {path[:100]}", "is a URL, expected a path; download the file first")
        with _checks.opened(path, name) as file:
            yield file, f"{name}: {path}"
    elif hasattr(source, "read"):
        label = getattr(source, "name", None)
        yield source, f"{name}: {label}" if isinstance(label, str) else f"{name}: the file object"
    else:
        raise DTypeError(f"{name}: {type(source).__name__}, expected {accepts}")


def head_of(source: Any, name: str) -> bytes:
    """Returns the first bytes of a file object."""
    head = source.read(64)
    if not isinstance(head, bytes):
        raise DTypeError(f"{name}: a file object that returns {type(head).__name__}, expected a binary one (mode 'rb')")
    return head


def _whole(source: Any, name: str) -> io.BytesIO:
    """Returns the rest of a file object; a file of a refused format is not read to its end."""
    head = head_of(source, name)
    return io.BytesIO(head if sniff(head)[0] is None else head + source.read())


def _refused(
    kind: type[PyHarmonyError], what: str, finding: str, more: str = "", code: str | None = None
) -> PyHarmonyError:
    """Returns the error about an image.

    what is the argument and its source, "image: cat.png"; finding a sentence without them; more a remedy in Python.
    """
    return kind(f"{what} {finding}{more}", code=code, file=what.partition(": ")[2], finding=finding)


def _guarded(work: Any, what: str) -> Any:
    """Runs a decoder; its errors on damaged data are converted to errors of this package."""
    try:
        return work()
    except PyHarmonyError:
        raise
    except Refusal as error:
        raise _refused(DecodeError, what, str(error)) from None
    except (_png.PngError, _tiff.TiffError) as error:
        raise _refused(DecodeError, what, f"is damaged: {error}") from None
    except MemoryError as error:
        raise _refused(OutOfMemory, what, "needs more memory to decode than is available") from error
    except ImportError:
        raise
    except _DAMAGE as error:
        raise _refused(DecodeError, what, f"is damaged or of an unusual kind: {_brief(error)}") from error
    except Exception as error:
        if type(error).__name__ == "DecompressionBombError":  # Pillow's own limit in its WebP plugin
            raise _refused(ImageTooLarge, what, f"has more pixels than Pillow decodes: {_brief(error)}") from error
        if type(error).__module__.partition(".")[0] in ("PIL", "cv2"):
            raise _refused(DecodeError, what, f"is damaged or of an unusual kind: {_brief(error)}") from error
        raise


def _brief(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text[:200] if text else type(error).__name__


def _from_stream(stream: Any, what: str, limit: int, name: str, keep_gps: bool, form: Form) -> Decoded:
    head = stream.read(64)
    format, instead = sniff(head)
    if format is None:
        remedy = f"; {_REMEDIES[instead]}" if instead in _REMEDIES else ""
        raise _refused(DecodeError, what, f"is {instead}, expected {_accepted()}{remedy}")
    if not stream.seekable():
        stream = io.BytesIO(head + stream.read())
    stream.seek(0)

    check = functools.partial(_check_size, limit=limit, what=what)
    decoder = {"PNG": _png_file, "TIFF": _tiff_file, "JXL": _jxl_file}.get(
        format, functools.partial(_pillow_file, form=form)
    )

    def work() -> Decoded:
        decoded = decoder(stream, format, check, name, keep_gps)
        return _finished(decoded, name, keep_gps)

    return _guarded(work, what)


def _check_size(width: int, height: int, *, limit: int, what: str) -> None:
    if width < 1 or height < 1:
        raise Refusal(f"has no pixels ({width} x {height})")
    if width * height > limit:
        finding = f"has {width} x {height} pixels, {width * height / 1e6:.1f} million; at most {limit / 1e6:g} million"
        raise _refused(ImageTooLarge, what, f"{finding} are allowed", f" (max_pixels={limit})", "too-many-pixels")


def _finished(decoded: Decoded, name: str, keep_gps: bool) -> Decoded:
    """Returns the pixels in an accepted mode and upright, with cleaned metadata."""
    if not decoded.profile and (
        colors := decoded.colors or _metadata.of_exif(decoded.exif, _metadata.colors_of_directory)
    ):
        mode = decoded.pixels.mode if is_pil(decoded.pixels) else "L" if decoded.pixels.shape[2] == 1 else "RGB"
        if mode not in ("CMYK", "LAB"):
            decoded.profile = _color_tags.profile(colors, mode in ("1", "L", "LA", "La"))
    if is_pil(decoded.pixels):
        decoded.pixels, decoded.profile = _in_our_mode(decoded.pixels, decoded.profile, name)
    else:
        channels = decoded.pixels.shape[2]
        decoded.profile = _profiles.usable(decoded.profile, channels, name, grey_too=channels == 4)
    if decoded.dpi is None:
        decoded.dpi = _metadata.of_exif(decoded.exif, _metadata.dpi_of)  # only cameras store it there
    decoded.exif, orientation = _metadata.clean_exif(decoded.exif, name, keep_gps)
    if decoded.orientation == 1:
        decoded.orientation = orientation
    decoded.pixels = upright(decoded.pixels, decoded.orientation)
    decoded.xmp = _metadata.clean_xmp(decoded.xmp, name, keep_gps)
    decoded.description, absent = _description.cleaned(decoded.description, keep_gps, decoded.orientation != 1)
    decoded.others += (*absent,)
    _leave_others(decoded, name)
    decoded.dpi = _dpi(decoded.dpi)
    if decoded.dpi and decoded.orientation >= 5:
        decoded.dpi = decoded.dpi[::-1]
    if decoded.whole and decoded.orientation >= 5:
        decoded.whole = decoded.whole[::-1]
    return decoded


#: Arguments of which only colours or shape are used, so that other contents of their files are not warned of.
_PARTS = ("src", "mask")


def _leave_others(decoded: Decoded, name: str) -> None:
    """Removes XMP that describes other images in the file, since only the pixels are kept; warns of it once."""
    others = list(decoded.others)
    if decoded.xmp:
        decoded.xmp, other_names = _metadata.without_promises(decoded.xmp)
        others += other_names
        if decoded.xmp is None:
            logger.warning(
                "%s: the XMP data describes images that are not kept in an unusual form and was dropped", name
            )
    if name in _PARTS:
        # The pixels of a source are in the result, and so is what its credentials say of them.
        others = [other for other in others if other == _description.CREDENTIALS and name != "mask"]
    if others:
        why = "only the pixels and their metadata are"
        why += "; `pyharmony sign` keeps it as a source's" if _description.CREDENTIALS in others else ""
        _warnings.warn(f"{name}: {_description.listed(others)} not kept: {why}")


def _dpi(dpi: Any) -> tuple[float, float] | None:
    try:
        x, y = (float(value) for value in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (x, y) if 0 < x < 1e6 and 0 < y < 1e6 else None


def upright(pixels: Any, orientation: int) -> Any:
    """Rotates and mirrors pixels according to EXIF's orientation 1 to 8."""
    if orientation == 1:
        return pixels
    if is_pil(pixels):
        from PIL.Image import Transpose

        return pixels.transpose(
            {
                2: Transpose.FLIP_LEFT_RIGHT, 3: Transpose.ROTATE_180, 4: Transpose.FLIP_TOP_BOTTOM,
                5: Transpose.TRANSPOSE, 6: Transpose.ROTATE_270, 7: Transpose.TRANSVERSE, 8: Transpose.ROTATE_90,
            }[orientation]
        )  # fmt: skip
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    flip_y, flip_x = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    return np.ascontiguousarray(pixels[:: -1 if flip_y else 1, :: -1 if flip_x else 1])


# ---- 8 bit, by Pillow ----


def _in_our_mode(image: Any, profile: bytes | None, name: str) -> tuple[Any, bytes | None]:
    """Returns an image in mode L, RGB or RGBA, and its profile; alpha if the image has any transparency."""
    mode = image.mode
    transparent = image.has_transparency_data
    if mode in ("L", "RGB", "RGBA") and not transparent:
        return image, _profiles.usable(profile, 1 if mode == "L" else 3, name)
    if mode == "RGBA":
        return image, _profiles.usable(profile, 3, name)
    if mode in ("1", "L", "LA", "La") and not transparent:
        return image.convert("L"), _profiles.usable(profile, 1, name)
    if mode in ("1", "L", "LA", "La"):
        image = image.convert("LA") if mode == "La" else image
        return image.convert("RGBA"), _profiles.usable(profile, 4, name, grey_too=True)
    if mode in ("CMYK", "LAB"):
        return _separations(image, profile, name), None
    if mode not in ("P", "PA", "RGB", "RGBX", "RGBa", "YCbCr", "HSV"):
        raise Refusal(f"has pixels of mode {mode}, which are not accepted")
    return image.convert("RGBA" if transparent else "RGB"), _profiles.usable(profile, 3, name)


def _separations(image: Any, profile: bytes | None, name: str) -> Any:
    """Converts CMYK or Lab to sRGB."""
    from PIL import ImageCms

    target = ImageCms.createProfile("sRGB")
    try:
        if image.mode == "LAB":
            source: Any = ImageCms.createProfile("LAB")
        elif profile is None:
            return image.convert("RGB")
        elif _profiles.space_of(profile).kind != "CMYK":
            raise _profiles.ProfileError("it is not a CMYK profile")
        else:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, source, target, ImageCms.Intent.PERCEPTUAL, "RGB")
        return converted or image.convert("RGB")
    except (_profiles.ProfileError, ImageCms.PyCMSError, OSError) as error:
        logger.warning("%s: its colour profile is ignored: %s", name, _brief(error))
        if image.mode == "LAB":
            raise Refusal("has Lab pixels that cannot be converted") from None
        return image.convert("RGB")


@functools.cache
def _plugin(format: str) -> Any:
    """Returns Pillow's class for a format, to be called directly: Image.open has its own limit, which warns."""
    if format == "JPEG":
        from PIL.JpegImagePlugin import JpegImageFile

        class Jpeg(JpegImageFile):
            def _read_dpi_from_exif(self) -> None:
                """Does nothing: EXIF is read in this module, without Pillow's warnings."""

        return Jpeg
    if format == "TIFF":
        from PIL.TiffImagePlugin import TiffImageFile

        class Tiff(TiffImageFile):
            def load_end(self) -> None:
                """Does nothing: EXIF is read in this module, and pixels are rotated later, as for all other formats."""

        return Tiff
    if format == "HEIF":
        try:
            from pillow_heif import HeifImageFile
        except ImportError:
            raise Refusal(_NO_HEIF) from None
        return HeifImageFile
    if format in ("WEBP", "AVIF"):
        from PIL import features  # takes 13 ms

        if not features.check(format.lower()):
            raise Refusal(f"is a file of {format}, which this build of Pillow does not decode")
    name = {"PNG": "Png", "BMP": "Bmp", "WEBP": "WebP", "AVIF": "Avif"}[format]
    return getattr(importlib.import_module(f"PIL.{name}ImagePlugin"), f"{name}ImageFile")


def _size(stream: Any) -> int:
    at = stream.tell()
    size = stream.seek(0, os.SEEK_END)
    stream.seek(at)
    return int(size)


def _reader(stream: Any) -> Callable[[int, int], bytes]:
    """Returns a function that reads bytes of a stream at an offset, up to its end."""
    size = _size(stream)

    def read(offset: int, length: int) -> bytes:
        stream.seek(min(offset, size))
        return bytes(stream.read(length))

    return read


def _pillow_file(stream: Any, format: str, check: Any, name: str, keep_gps: bool, form: Form) -> Decoded:
    read, boxes = _reader(stream), _color_tags.Heif()
    if format == "WEBP":  # the decoder allocates the canvas at once, three times over
        check(*_webp.size_of(read(0, 30)))
        _webp.check_animation(read)
    elif format in ("AVIF", "HEIF"):
        boxes = _color_tags.of_boxes(read)
    stream.seek(0)
    image = _plugin(format)(stream)
    check(*image.size)
    points, colors = boxes.code_points, None
    if points is not None:
        has_profile = bool(image.info.get("icc_profile"))
        colors = _colors_or_none(lambda: _color_tags.of_code_points(*points, has_profile), name)
    whole, pixels = image.size, None
    if format == "JPEG":
        _jpeg_fits(image, _size(stream))
        _scans_fit(image, stream)
        pixels = _reduced(image, form)
        # Pillow rotates faster than NumPy.
        is_upright = _metadata.of_exif(image.info.get("exif"), _metadata.orientation_of) in (None, 1)
        if form.is_array and is_upright and image.size == whole:
            pixels = _jpeg.decode(image, stream)
    if format == "BMP" and image.info.get("compression") in (1, 2):
        _run_lengths_fit(image, _size(stream))
    if getattr(image, "n_frames", 1) > 1:
        logger.warning("%s: an animation of %d frames; the first one is read", name, image.n_frames)
    if pixels is None:
        image.load()
    info = image.info
    if image.mode == "I;16":  # grey of 10 or 12 bits in HEIC, the only ones that pillow-heif does not return at 8
        from PIL import Image

        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    pixels = image if pixels is None else pixels
    decoded = Decoded(pixels, info.get("icc_profile"), info.get("exif"), info.get("xmp"), info.get("dpi"), format)
    decoded.colors, decoded.others = colors, boxes.others
    if format == "JPEG":
        decoded.description, absent = _description.of_segments(image.applist)
        decoded.others = (*["gain map"] * any(data.startswith(_GAIN_MAP) for _, data in image.applist), *absent)
    chunks = _webp.names_of(stream) if format == "WEBP" else []
    decoded.others += (*[_description.CREDENTIALS] * (b"C2PA" in chunks),)
    decoded.lossy = format != "BMP" and not _webp.is_lossless(chunks)
    decoded.whole = whole if image.size != whole else None
    if format == "JPEG" and decoded.whole is None:
        decoded.original = stream.getvalue() if isinstance(stream, io.BytesIO) else os.path.abspath(stream.name)
    return decoded


def jpeg_header(source: Any, name: str) -> tuple[bytes, Any]:
    """Returns the bytes of a JPEG file, and Pillow's image of it, whose pixels are not decoded."""
    with open_source(source, name, "the path or the bytes of a JPEG file") as (file, what):
        data = file.read()
    if sniff(data[:64])[0] != "JPEG":
        raise _refused(DecodeError, what, "is no JPEG file any more")
    return data, _guarded(lambda: _plugin("JPEG")(io.BytesIO(data)), what)


def jpeg_pixels(data: bytes, name: str) -> NumpyArray:
    """Returns the pixels [H, W, C] of a JPEG file of mode L or RGB as they are stored, not upright."""
    what = f"{name}: the {len(data)} bytes"
    check = functools.partial(_check_size, limit=MAX_PIXELS, what=what)
    read = functools.partial(_pillow_file, io.BytesIO(data), "JPEG", check, name, True, Form(is_array=True))
    return picture(_guarded(read, what), name).pixels


#: The times that a decoded image has the rows and columns to which it is resized. With fewer, resizing has less to
#: average, and differs more from that of the whole image.
_TIMES = 2


def _reduced(image: Any, form: Form) -> Any:
    """Sets the size at which Pillow decodes a JPEG; returns the resized square, or None if it is not resized."""
    width, height = whole = image.size
    if form.square is not None:
        draft = image.draft(None, (_TIMES * form.square, _TIMES * form.square))
        if image.size != whole:
            from PIL import Image

            # The box is that of the whole image: sizes are rounded up.
            return image.resize((form.square, form.square), Image.Resampling.BILINEAR, draft[1])
    elif form.least is not None:
        factor = form.least / max(whole)
        image.draft(None, (math.ceil(width * factor), math.ceil(height * factor)))
    return None


def _colors_or_none(work: Callable[[], Result], name: str) -> Result | None:
    """Returns the colours of a file's tags, or None, with a warning, if they cannot be used."""
    try:
        return work()
    except _color_tags.UnknownColors as error:
        logger.warning("%s: its colour tags are unusual (%s) and were ignored; sRGB is assumed", name, error)
        return None


#: The first bytes of the segment of a JPEG that announces a gain map, ISO 21496-1, annex C.
_GAIN_MAP = b"urn:iso:std:iso:ts:21496:-1\0"


def _jpeg_fits(image: Any, size: int) -> None:
    """Refuses a JPEG whose header claims more than its bytes can encode; the decoder would fill the rest with grey."""
    layers = getattr(image, "layer", None)
    if not layers or any(len(layer) < 3 or layer[1] < 1 or layer[2] < 1 for layer in layers):
        return
    width, height = image.size
    most = [max(layer[i] for layer in layers) for i in (1, 2)]
    units = math.ceil(width / (8 * most[0])) * math.ceil(height / (8 * most[1]))
    # Huffman codes have at least one bit; arithmetic ones may have less, which is not distinguished here.
    blocks = units * sum(layer[1] * layer[2] for layer in layers) if len(layers) > 1 else units
    if blocks > 64 * size:
        raise Refusal(f"is damaged: its header claims {width} x {height} pixels, which {size} bytes cannot encode")


_MAX_SCANS = 100  # the number of scans of a JPEG that are read at any size
_MAX_SCANNED_PIXELS = 4_000_000_000  # the largest product of scans and pixels, for more scans than that
_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")


def _scans_fit(image: Any, stream: Any) -> None:
    """Refuses a JPEG of many scans: each covers all pixels, and may be a few bytes long."""
    width, height = image.size
    most = max(_MAX_SCANS, _MAX_SCANNED_PIXELS // (width * height))
    at = stream.tell()
    try:
        if _to_first_scan(stream) and _scans(stream.read(), most) > most:
            raise Refusal(
                f"has more than {most} scans of {width} x {height} pixels, which take too long; save it again"
            )
    finally:
        stream.seek(at)


def _to_first_scan(stream: Any) -> bool:
    """Seeks to the first scan of a JPEG; returns False if the first scan is the whole image."""
    stream.seek(2)
    components = 0
    while (head := stream.read(4))[:1] == b"\xff" and len(head) == 4:
        kind, size = struct.unpack(">xBH", head)
        if kind == 0xFF:  # a fill byte
            stream.seek(-3, os.SEEK_CUR)
            continue
        body = stream.read(min(size - 2, 6)) if size > 2 else b""
        if kind == 0xDA:
            stream.seek(-len(body) - 4, os.SEEK_CUR)
            return not body or body[0] < components
        if kind in _jpeg.FRAMES and len(body) == 6:
            components = body[5] + (kind in _PROGRESSIVE)  # a progressive JPEG has no scan with this many
        stream.seek(size - 2 - len(body), os.SEEK_CUR)
    return False


def _scans(data: bytes, most: int) -> int:
    """Counts the scans from here on, until there are more than most."""
    count = at = 0
    while count <= most and (marker := _MARKER.search(data, at)):
        kind, at = data[marker.end() - 1], marker.end()
        if kind == 0xD9 or at + 2 > len(data):
            break
        count += kind == 0xDA
        if kind not in (0xD8, 0x01):  # the other markers have a length
            at += struct.unpack_from(">H", data, at)[0]
    return count


_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)  # the markers of frames with several passes

#: The largest run-length encoded BMP, in pixels, which Pillow decodes one by one.
_MAX_RUN_LENGTH_PIXELS = 8_000_000


def _run_lengths_fit(image: Any, size: int) -> None:
    """Refuses a run-length encoded BMP that claims more than its bytes can encode, or would take too long."""
    width, height = image.size
    if width * height > 128 * size:  # two bytes encode 255 pixels
        raise Refusal(f"is damaged: its header claims {width} x {height} pixels, which {size} bytes cannot encode")
    if width * height > _MAX_RUN_LENGTH_PIXELS:
        raise Refusal(
            f"is a run-length encoded BMP of {width} x {height} pixels, which is not accepted; save it as PNG"
        )


def _from_pil(image: Any, limit: int, name: str, keep_gps: bool) -> Decoded:
    width, height = image.size
    _check_size(width, height, limit=limit, what=f"{name}: the PIL image")
    image.load()
    info = image.info
    exif = info.get("exif")
    if exif is None and (fields := image.getexif()):
        from PIL.Image import Exif

        descriptive = Exif()
        for tag in (*_tiff.DESCRIPTIVE_TAGS, _tiff.ORIENTATION):
            if tag in fields:
                descriptive[tag] = fields[tag]
        for tag in (_tiff.EXIF_IFD, _tiff.GPS_IFD):
            if part := fields.get_ifd(tag):
                descriptive.get_ifd(tag).update(part)
        exif = descriptive.tobytes()
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp")
    xmp = xmp.encode() if isinstance(xmp, str) else xmp
    dpi, profile = info.get("dpi"), info.get("icc_profile")
    pixels: Any = image
    if image.mode.startswith("I;16"):
        dtype = {"I;16": "<u2", "I;16L": "<u2", "I;16B": ">u2"}.get(image.mode, "=u2")
        pixels = np.frombuffer(image.tobytes(), dtype).astype(np.uint16).reshape(height, width, 1)
    elif image.mode == "I":
        pixels = np.asarray(image)
        if pixels.min() < 0 or pixels.max() > 65535:
            raise Refusal(f"has 32-bit integers from {pixels.min()} to {pixels.max()}, expected 0 to 65535")
        pixels = pixels.astype(np.uint16)[..., None]
    elif image.mode == "F":
        pixels = np.array(image)[..., None]
    decoded = Decoded(pixels, profile, exif, xmp, dpi, image.format)
    decoded.colors = _colors_or_none(lambda: _color_tags.of_pil(info), name)
    decoded.description, absent = _description.of_pil(image)
    decoded.others, decoded.lossy = (*absent,), None
    return _finished(decoded, name, keep_gps)


# ---- PNG ----


def _png_file(stream: Any, format: str, check: Any, name: str, keep_gps: bool) -> Decoded:
    png = _png.header(stream.read(33))
    check(png.width, png.height)
    stream.seek(0)
    png = _png.parse(stream.read())
    profile, colors = _colors_or_none(lambda: _png.colors_of(png), name) or (None, None)
    if png.animated:
        logger.warning("%s: an animated PNG; its first frame is read", name)
    if png.depth == 16:
        pixels: Any = _png16(png)
    else:
        pixels = _plugin("PNG")(io.BytesIO(png.pixels))
        png.pixels = b""
        pixels.load()
        if png.color == 0 and png.depth in (2, 4) and isinstance(key := pixels.info.get("transparency"), int):
            pixels.info["transparency"] = key * 255 // ((1 << png.depth) - 1)  # Pillow scales the pixels alone
    if png.texts_left:
        logger.warning("%s: texts of more than %d bytes; the rest is not kept", name, _description.MAX_TEXT)
    description, others = _description.of_texts(png.text)
    others += [_description.CREDENTIALS] * png.credentials
    metadata = profile, png.exif, png.xmp, png.dpi, format
    return Decoded(pixels, *metadata, colors=colors, description=description, others=(*others,))


def _cv2(what: str) -> Any:
    try:
        import cv2
    except ImportError:
        raise Refusal(f"is {what}, which is decoded by OpenCV: {_install.hint('io')}") from None
    return cv2


def _png16(png: _png.Png) -> NumpyArray:
    cv2 = _cv2("a 16-bit PNG file")
    image = cv2.imdecode(np.frombuffer(png.pixels, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or image.dtype != np.uint16 or image.shape[:2] != (png.height, png.width):
        raise Refusal("is damaged: its pixels cannot be decoded")
    if image.ndim == 2:
        image = image[..., None]
    if image.shape[2] == 3:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    if image.shape[2] == 4:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA))
    key = _png.transparent_grey(png)
    if key is None:
        return np.asarray(image)
    alpha = np.where(image == key, 0, 65535).astype(np.uint16)
    return np.concatenate((image, image, image, alpha), axis=2)


# ---- JPEG XL ----


def _jxl_file(stream: Any, format: str, check: Any, name: str, keep_gps: bool) -> Decoded:
    from . import _jxl

    _jxl.codec()
    data = stream.read()
    exif, xmp, is_packed_jpeg = _jxl.metadata(data)
    head = _colors_or_none(lambda: _jxl.header(data), name)
    if head is None:
        raise Refusal("has colours of an unusual kind")
    check(head.width, head.height)
    if is_packed_jpeg and (jpeg := _jxl.jpeg(data)):
        return replace(_pillow_file(io.BytesIO(jpeg), "JPEG", check, name, keep_gps, Form()), format=format)
    if head.animated:
        logger.warning("%s: an animation; the first frame is read", name)
    exif, _ = _metadata.clean_exif(exif, name, keep_gps)  # the decoder has turned the pixels upright
    pixels: Any = _jxl.decode(data, head)
    return Decoded(pixels, head.profile, exif, xmp, None, format, colors=head.colors, lossy=head.lossy)


# ---- TIFF ----


def _tiff_file(stream: Any, format: str, check: Any, name: str, keep_gps: bool) -> Decoded:
    size = _size(stream)

    def read(offset: int, length: int) -> bytes:
        if offset >= size or length > size:
            return b""
        stream.seek(offset)
        return bytes(stream.read(length))

    main = _tiff.main_directory(read)
    width, height = main.number(256, 0), main.number(257, 0)
    check(width, height)
    if 50706 in main.where or (main.number(254, 0) & 1 and 330 in main.where):
        raise Refusal(f"is a camera's raw file; develop it first; expected {_accepted()}")
    if main.next:
        logger.warning("%s: a TIFF file of several pages; the first one is read", name)
    profile, xmp = main.entry(34675), main.entry(700)
    decoded = Decoded(
        None,
        profile.data if profile else None,
        _metadata.exif_of_tiff(main, keep_gps, size, name),
        xmp.data if xmp else None,
        _metadata.dpi_of(main),
        format,
        colors=_metadata.colors_of_directory(main),
    )
    decoded.orientation = main.number(_tiff.ORIENTATION, 1)
    if not 1 <= decoded.orientation <= 8:
        decoded.orientation = 1
    from . import _tiff_pixels

    layout = _tiff_pixels.layout(main, width, height)
    decoded.description, others = _description.of_directory(main, layout.is_plain)
    decoded.others = (*others,)
    decoded.lossy = layout.is_lossy
    _tiff_pixels.segments(main, width, height)  # Pillow ignores missing segments
    if _tiff_pixels.is_for_pillow(main, layout):
        decoded.pixels = _pillow_tiff(stream, main, layout)
    if decoded.pixels is not None:
        check(*decoded.pixels.size)
        return decoded
    mode, decoded.pixels, left_out = _tiff_pixels.decode(read, main, layout)
    if left_out:
        logger.warning("%s: %d more channels than colours and alpha; they are ignored", name, left_out)
    if mode is not None:
        from PIL import Image

        decoded.pixels = Image.frombuffer(
            mode, (width, height), np.ascontiguousarray(decoded.pixels), "raw", mode, 0, 1
        )
    return decoded


def _pillow_tiff(stream: Any, main: _tiff.Directory, layout: Layout) -> Any:
    """Returns the image decoded by Pillow, or None if it does not support such pixels."""
    from PIL import Image

    stream.seek(0)
    try:
        image = _plugin("TIFF")(stream)
    except SyntaxError:
        return None
    # Pillow's own limit, which warns, is checked here, before the image is allocated.
    size = getattr(image, "_tile_size", None)
    if size and size[0] * size[1] > (Image.MAX_IMAGE_PIXELS or math.inf):
        image.im = Image.new(image.mode, size).im
    try:
        image.load()
    except OSError as error:
        from ._tiff_pixels import compression_name

        form = f"{layout.kind} values, {compression_name(layout)}"
        raise Refusal(f"is damaged, or its form ({form}) is not decoded by Pillow: {_brief(error)}") from error
    return image


def picture(decoded: Decoded, name: str) -> Picture:
    """Returns a decoded image as a Picture."""
    pixels = decoded.pixels
    if is_pil(pixels):
        pixels = _guarded(functools.partial(_array_of, pixels), f"{name}: the image")
        pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    metadata = decoded.profile, decoded.exif, decoded.xmp, decoded.dpi, decoded.format, decoded.description
    return Picture(pixels, *metadata, decoded.lossy, decoded.original)


#: The size of an image in bytes from which on it is copied in strips, and that of a strip, which stays in the cache.
_MIN_STRIPPED_BYTES, _STRIP = 1 << 25, 1 << 18


def _array_of(image: Any) -> NumpyArray:
    """Returns the pixels of Pillow's image; those of a large one in strips, as Pillow copies the whole image twice."""
    width, height = image.size
    bands = len(image.getbands())
    if width * height * bands < _MIN_STRIPPED_BYTES:
        return np.asarray(image)
    pixels = np.empty((height, width, bands), np.uint8)
    rows = max(1, _STRIP // (4 * width))
    for y in range(0, height, rows):
        strip = np.asarray(image.crop((0, y, width, min(y + rows, height))))
        pixels[y : y + rows] = strip.reshape(-1, width, bands)
    return pixels


def pil_image(decoded: Decoded, name: str, same_as: Any) -> Any:
    """Returns the PIL image with its metadata in info; it is never the caller's own image."""
    image = decoded.pixels
    if image is same_as or type(image).__module__ != "PIL.Image":  # the caller's own, or one with an open file
        image = _guarded(image.copy, f"{name}: the image")
    return with_metadata(image, decoded)
