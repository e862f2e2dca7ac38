"""JPEG files with the coefficients of their original in every block that no changed pixel touches.

A block of 8 x 8 samples is decoded from its coefficients alone: with equal ones it has equal samples, whatever happens
to its neighbours. jpeglib reads and writes the coefficients; the transform of the changed blocks is computed here.

Sources: ITU-T T.81, A.1.1 (sizes of components), A.3.3 (the transform), B.2.4.2 (Huffman tables); JFIF 1.02 (colours).
"""

from __future__ import annotations

import functools
import io
import math
import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .. import _install
from .._arrays import NumpyArray
from ..errors import ArgumentError, FileError
from ..reference.luma import LUMA
from . import _jpeg, _metadata
from ._picture import Picture

_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1), 0xC2  # the frames by Huffman codes
_RGB_IDS = (0x52, 0x47, 0x42)  # the identifiers of components that are red, green and blue
#: The largest coefficients of 8-bit samples.
_MIN_COEFFICIENT, _MAX_COEFFICIENT = -1024, 1023
#: The number of blocks that are transformed together; their arrays stay in the cache.
_BLOCKS = 1024

#: The orthonormal transform of 8 samples, and that of the 64 of a block, row by row.
_OF_ROW = np.array(
    [[math.sqrt((1 if k == 0 else 2) / 8) * math.cos((2 * x + 1) * k * math.pi / 16) for x in range(8)]
     for k in range(8)], np.float32
)  # fmt: skip
_TRANSFORM = np.kron(_OF_ROW, _OF_ROW)
#: Luminance, blue and red difference as sums of red, green and blue, and what is added to them.
_YCC = np.array([LUMA, (np.eye(3)[2] - LUMA) / 1.772, (np.eye(3)[0] - LUMA) / 1.402], np.float32)
_YCC_ZERO = (0, 128, 128)

#: jpeglib uses one version of libjpeg in all threads.
_LOCK = threading.Lock()


def check(picture: Picture, format: str) -> None:
    """Refuses a picture or a format that `quality='original'` is not for."""
    before = f"quality: {_jpeg.ORIGINAL!r}, which is for edits of JPEG files"
    if format != "JPEG":
        raise ArgumentError(f"{before}; the file to write is {format}", code="original-format")
    if picture.original is None:
        is_other = picture.format not in (None, "JPEG")
        source = f"from a file of {picture.format}" if is_other else "from no JPEG file at full size"
        raise ArgumentError(
            f"{before}; the image is {source}",
            code="original-unknown",
            hint="name the photo that was edited: pyharmony.save(image, target, like='photo.jpg', quality='original')",
        )


def codec() -> Any:
    """Returns jpeglib, or raises an ImportError with the command that installs it."""
    try:
        import jpeglib
    except ImportError as error:
        hint = _install.hint("jpeg")
        raise ImportError(f"{error.name} is missing, quality={_jpeg.ORIGINAL!r} needs it: {hint}") from error
    return jpeglib


@dataclass(frozen=True)
class _Component:
    """A component of a JPEG: its sampling factors, how many pixels a sample has, and its size in blocks."""

    factors: tuple[int, int]  # vertical, horizontal, as in all pairs here
    pixels: tuple[int, int]
    blocks: tuple[int, int]


@dataclass(frozen=True)
class Original:
    """The JPEG file that an image was read from.

    Attributes:
        data: its bytes.
        pixels: [H, W, C] as they are stored, not upright.
        orientation: EXIF's orientation, 1 to 8.
        components: its components.
        space: the colours of the components by jpeglib's names.
        progressive: whether it is progressive.
        jfif: whether it has a JFIF header.
        adobe: the segment of Adobe, which says what colours the components have; empty: it has none.
    """

    data: bytes
    pixels: NumpyArray
    orientation: int
    components: tuple[_Component, ...]
    space: str
    progressive: bool
    jfif: bool
    adobe: bytes

    def laid_out(self, picture: Picture) -> Picture:
        """Returns the picture as the file stores it: rotated and mirrored, with the orientation in its EXIF."""
        from . import _decode

        if self.orientation == 1:
            return picture
        back = {6: 8, 8: 6}.get(self.orientation, self.orientation)
        dpi = picture.dpi[::-1] if picture.dpi and self.orientation >= 5 else picture.dpi
        pixels = _decode.upright(picture.pixels, back)
        return replace(picture, pixels=pixels, dpi=dpi, exif=_metadata.oriented_exif(picture.exif, self.orientation))

    def encode(self, pixels: NumpyArray, options: dict[str, Any]) -> list[Any]:
        """Returns the bytes of a file, in pieces, with these pixels, which are stored like the original's.

        options: the arguments of Pillow's encoder, which writes the metadata.
        """
        changed = (pixels != self.pixels).any(2)
        try:
            body = self._body(pixels, changed)
        except OSError as error:
            if error.errno is not None:  # no error of jpeglib's
                raise FileError.of(
                    error.errno, "target", tempfile.gettempdir(), "a folder for temporary files"
                ) from None
            raise _refused("is damaged: its coefficients cannot be read and written") from None
        head = _jpeg.head(pixels.shape[2], options)
        if not self.jfif:  # it comes first
            head = head[:2] + head[4 + int.from_bytes(head[4:6], "big") :]
        data = b"".join((head, self.adobe, memoryview(body)[_jpeg.tables_at(body) :]))
        self._check(data, pixels, changed)
        return [data]

    def _body(self, pixels: NumpyArray, changed: NumpyArray) -> bytes:
        """Returns the bytes of jpeglib's file with the coefficients of these pixels."""
        jpeglib = codec()
        # libjpeg-turbo writes no progressive files from coefficients, mozjpeg no others.
        with _LOCK, _version(jpeglib, "mozjpeg403" if self.progressive else "turbo210"):
            file = self._opened(jpeglib)
            _load(file)
            planes = (file.Y, file.Cb, file.Cr)
            for index, component in enumerate(self.components):
                table = np.asarray(file.get_component_qt(index), np.float32)
                self._encode_changed(planes[index], table, component, index, pixels, changed)
            if any(plane is not None and not _are_valid(plane) for plane in planes):
                raise _refused("is damaged: it has coefficients beyond those of 8-bit samples")
            file.qt = 0  # a number instead of tables: they stay in their places, and components keep their identifiers
            # Cameras write the Huffman tables of T.81's annex K; others suit their image.
            is_usual = self.progressive or _usual_codes().issuperset(_jpeg.huffman_tables(self.data))
            flags = [] if is_usual else ["OPTIMIZE_CODING"]
            descriptor, name = tempfile.mkstemp(suffix=".jpg", prefix="pyharmony-")
            os.close(descriptor)
            try:
                file.write_dct(name, flags=flags)
                return Path(name).read_bytes()
            finally:
                os.unlink(name)

    def _check(self, data: bytes, pixels: NumpyArray, changed: NumpyArray) -> None:
        """Refuses an original whose unchanged pixels do not decode to the same from its coefficients, as damage does.

        Upsampling reads the next sample of a component, so that only pixels beyond the next block are compared.
        """
        from . import _decode

        step = [8 * max(one.pixels[axis] for one in self.components) for axis in (0, 1)]
        near = sliding_window_view(np.pad(_any_of(changed, step), 1), (3, 3)).any((2, 3))
        differs = _any_of((_decode.jpeg_pixels(data, _jpeg.ORIGINAL) != pixels).any(2), step)
        if (differs & ~near).any():
            raise _refused("is damaged, or of an unusual kind: its coefficients give other pixels")

    def _opened(self, jpeglib: Any) -> Any:
        """Returns jpeglib's file. `jpeglib.read_dct` would also decode the pixels of every scan, to count the scans."""
        height, width = self.pixels.shape[:2]
        nothing: dict[str, Any] = dict.fromkeys(
            ("path", "markers", "huffmans", "Y", "Cb", "Cr", "K", "qt", "quant_tbl_no", "num_scans")
        )
        return jpeglib.DCTJPEG(
            content=self.data, height=height, width=width, progressive_mode=self.progressive,
            block_dims=np.array([one.blocks for one in self.components], np.int32),
            samp_factor=np.array([one.factors for one in self.components], np.int32),
            jpeg_color_space=getattr(jpeglib.Colorspace, self.space), **nothing,
        )  # fmt: skip

    def _encode_changed(
        self, plane: NumpyArray, table: NumpyArray, component: _Component, index: int, pixels: NumpyArray,
        changed: NumpyArray,
    ) -> None:  # fmt: skip
        """Encodes the blocks of a component with a changed pixel, into its coefficients [rows, columns, 8, 8].

        A sample is the mean of its pixels; for those that are unchanged it counts as it is stored.
        """
        height, width = changed.shape
        down, right = component.pixels
        for rows, columns in _blocks_of(changed, component):
            y = np.minimum(rows[:, None] * 8 * down + np.arange(8 * down), height - 1)[:, :, None]
            x = np.minimum(columns[:, None] * 8 * right + np.arange(8 * right), width - 1)[:, None, :]
            stored = ((plane[rows, columns] * table).reshape(-1, 64) @ _TRANSFORM + 128).reshape(-1, 8, 1, 8, 1)
            values = self._values(pixels[y, x], index).reshape(-1, 8, down, 8, right)
            differs = changed[y, x].reshape(values.shape)
            samples = np.where(differs, values, stored).mean((2, 4)).reshape(-1, 64)
            levels = np.rint(((samples - 128) @ _TRANSFORM.T).reshape(-1, 8, 8) / table)
            plane[rows, columns] = levels.clip(_MIN_COEFFICIENT, _MAX_COEFFICIENT).astype(np.int16)

    def _values(self, pixels: NumpyArray, index: int) -> NumpyArray:
        """Returns the values of a component for pixels of any shape."""
        if self.space == "JCS_YCbCr":
            return pixels.astype(np.float32) @ _YCC[index] + _YCC_ZERO[index]
        return pixels[..., index].astype(np.float32)


def _blocks_of(changed: NumpyArray, component: _Component) -> Iterator[tuple[NumpyArray, NumpyArray]]:
    """Yields the rows and columns of the blocks of a component with a changed pixel, some at a time."""
    rows, columns = np.nonzero(_any_of(changed, [8 * step for step in component.pixels]))
    for start in range(0, len(rows), _BLOCKS):
        yield rows[start : start + _BLOCKS], columns[start : start + _BLOCKS]


@contextmanager
def _version(jpeglib: Any, name: str) -> Iterator[None]:
    """Makes jpeglib use a version of libjpeg for a while."""
    before = jpeglib.version.get()
    jpeglib.version.set(name)
    try:
        yield
    finally:
        if before is not None:
            jpeglib.version.set(before)


def _load(file: Any) -> None:
    """Reads the coefficients; of a file that it cannot read, jpeglib prints the name of its copy, which it leaves."""
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            file.load()
    except OSError:
        _, _, name = printed.getvalue().strip().partition(" ")
        if name.startswith(tempfile.gettempdir()) and name.endswith(".jpeg"):
            Path(name).unlink(missing_ok=True)
        raise


def _are_valid(plane: NumpyArray) -> bool:
    """Returns whether coefficients are in the range that an encoder of 8-bit samples accepts."""
    low, high = _MIN_COEFFICIENT, _MAX_COEFFICIENT
    return bool(plane.min() >= low and plane.max() <= high and plane.reshape(-1, 64)[:, 1:].min() > low)


def _any_of(changed: NumpyArray, step: Sequence[int]) -> NumpyArray:
    """Returns which rectangles of step pixels have a changed one."""
    for axis in (0, 1):
        changed = np.logical_or.reduceat(changed, range(0, changed.shape[axis], step[axis]), axis)
    return changed


def _refused(cause: str) -> ArgumentError:
    return ArgumentError(f"quality: {_jpeg.ORIGINAL!r}: the original {cause}", code="original-differs")


@functools.cache
def _usual_codes() -> frozenset[bytes]:
    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "JPEG")
    return frozenset(_jpeg.huffman_tables(stream.getvalue()))


def original_of(picture: Picture) -> Original:
    """Reads the file that a picture is from, which may have changed since, and compares their sizes."""
    from . import _decode

    height, width, channels = picture.pixels.shape
    data, image = _decode.jpeg_header(picture.original, "original")
    frame = next((kind for kind, *_ in _jpeg.segments(data) if kind in (*_SEQUENTIAL, _PROGRESSIVE)), None)
    if frame is None:
        raise _refused("is encoded in an unusual way, expected Huffman codes of 8-bit samples")
    if not all(map(all, image.quantization.values())):
        raise _refused("is damaged: its quantisation tables have a zero")
    if not {table for *_, table in image.layer} <= image.quantization.keys():
        raise _refused("is damaged: it lacks a quantisation table")
    bands = len(image.getbands())
    if image.mode not in ("L", "RGB"):
        raise _refused(f"is {image.mode}, expected grey or RGB; use a number, as quality=95")
    if bands != channels:
        raise _refused(f"has {bands} channels, the image has {channels}")
    orientation = _metadata.clean_exif(image.info.get("exif"), "original", True)[1]
    stored = image.size if orientation < 5 else image.size[::-1]
    if stored != (width, height):
        raise _refused(f"has {stored[0]} x {stored[1]} pixels, the image has {width} x {height}")
    layers = [(id, v, h) for id, h, v, _ in image.layer]
    most = [max(layer[axis] for layer in layers) for axis in (1, 2)]
    if any(most[axis - 1] % layer[axis] for layer in layers for axis in (1, 2)):
        raise _refused("has samples of fractions of pixels, expected whole ones; use a number, as quality=95")
    components = []
    for _, *factors in layers:
        pixels = [whole // part for whole, part in zip(most, factors)]
        blocks = [-(-size // (8 * step)) for size, step in zip(image.size[::-1], pixels)]
        components.append(_Component((factors[0], factors[1]), (pixels[0], pixels[1]), (blocks[0], blocks[1])))
    adobe = next((body for name, body in image.applist if name == "APP14" and body.startswith(b"Adobe")), b"")
    segment = b"\xff\xee" + (len(adobe) + 2).to_bytes(2, "big") + adobe if adobe else b""
    space = "JCS_GRAYSCALE" if bands == 1 else "JCS_RGB" if _is_rgb(image, [id for id, *_ in layers]) else "JCS_YCbCr"
    return Original(
        data, _decode.jpeg_pixels(data, "original"), orientation, tuple(components), space, frame == _PROGRESSIVE,
        "jfif" in image.info, segment,
    )  # fmt: skip


def _is_rgb(image: Any, ids: list[int]) -> bool:
    """Returns whether the components are red, green and blue, by the rules of libjpeg."""
    if "jfif" in image.info:
        return False
    if "adobe_transform" in image.info:
        return bool(image.info["adobe_transform"] == 0)
    return tuple(ids) == _RGB_IDS
