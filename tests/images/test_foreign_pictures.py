"""Reading a stranger's image takes time and memory in proportion to its bytes and its pixels."""

from __future__ import annotations

import functools
import io
import logging
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pyharmony
from pyharmony import errors
from pyharmony import io as files
from pyharmony.io import _metadata, _tiff
from tests.foreign import confined
from tests.image_files import chunk, png

pytestmark = pytest.mark.chains

BLACK = np.zeros((8, 8, 3), np.uint8)

#: The seconds of CPU time, and the MB that memory may grow by at most.
READ = """
import sys, time
import pyharmony
from pyharmony import errors, io
from PIL import JpegImagePlugin, PngImagePlugin, TiffImagePlugin
pyharmony.load(sys.argv[1])
before, began = peak_memory(), time.process_time()
try:
    picture = io.read(sys.argv[2])
    print(type(picture).__name__, picture.exif is None)
    if len(sys.argv) > 3:
        io.write(picture, sys.argv[3])
except errors.PyHarmonyError as error:
    print(type(error).__name__, error)
print(time.process_time() - began, (peak_memory() - before) / 1024)
"""


def cost(tmp_path: Path, data: bytes, suffix: str, *more: Any) -> tuple[str, float, float]:
    """Returns the output of reading, or of reading and writing, its seconds and its megabytes."""
    path = tmp_path / f"foreign{suffix}"
    path.write_bytes(data)
    small = tmp_path / f"small{suffix}"
    Image.new("RGB", (8, 8)).save(small)
    outcome, figures = confined(READ, small, path, *more, seconds=60).splitlines()[-2:]
    seconds, megabytes = map(float, figures.split())
    return outcome, seconds, megabytes


def directory(entries: list[tuple[int, int, int, bytes]], at: int, following: int = 0) -> bytes:
    """Returns a little-endian directory; values are 4 bytes each."""
    body = b"".join(struct.pack("<HHI", tag, kind, count) + value for tag, kind, count, value in entries)
    return struct.pack("<H", len(entries)) + body + struct.pack("<I", following)


def overlapping(fields: int = 400, size: int = 1_000_000) -> bytes:
    """Returns a TIFF of one pixel whose EXIF directory has many fields, all of them on the same bytes."""
    main = 8
    exif = main + 2 + 12 * 9 + 4
    values = exif + 2 + 12 * fields + 4

    def long(tag: int, value: int) -> tuple[int, int, int, bytes]:
        return tag, 4, 1, struct.pack("<I", value)

    entries = [
        long(256, 1), long(257, 1), long(258, 8), long(259, 1), long(262, 1), long(273, values), long(278, 1),
        long(279, 1), long(34665, exif),
    ]  # fmt: skip
    many = [(1000 + i, 7, size, struct.pack("<I", values)) for i in range(fields)]
    head = b"II*\0" + struct.pack("<I", main)
    return head + directory(entries, main) + directory(many, exif) + bytes(size)


# Fields of EXIF on the same bytes


@pytest.mark.parametrize("fields", [400, 4000])
def test_fields_of_a_tiff_that_overlap_are_not_multiplied(tmp_path: Path, fields: int) -> None:
    """If they were, 1 MB of them would take 1.6 GB, and 2 MB 8.8 GB."""
    outcome, seconds, megabytes = cost(tmp_path, overlapping(fields), ".tif")
    assert outcome == "Picture True"
    assert seconds < 2 and megabytes < 100


def test_fields_of_exif_that_overlap_are_not_written(tmp_path: Path) -> None:
    """Written out, 1 MB of them would become a file of 300 MB."""
    out = tmp_path / "out.tif"
    outcome, seconds, megabytes = cost(tmp_path, png(BLACK, chunk(b"eXIf", overlapping())), ".png", out)
    assert outcome == "Picture False" and seconds < 2 and megabytes < 100
    assert out.stat().st_size < 2000


def test_a_gps_directory_of_overlapping_fields_is_not_wiped_again_and_again(tmp_path: Path) -> None:
    size = 16 << 20
    gps = 8 + 2 + 12 + 4
    fields = [(1 + i, 7, size, struct.pack("<I", gps + 2 + 12 * 4000 + 4)) for i in range(4000)]
    exif = b"II*\0" + struct.pack("<I", 8) + directory([(0x8825, 4, 1, struct.pack("<I", gps))], 8)
    exif += directory(fields, gps) + bytes(size)
    outcome, seconds, megabytes = cost(tmp_path, png(BLACK, chunk(b"eXIf", exif)), ".png")
    assert outcome == "Picture True" and seconds < 3 and megabytes < 200


def test_sound_exif_of_any_size_is_kept(tmp_path: Path) -> None:
    """They lie behind one another, a megabyte each, in a PNG, in the TIFF that it becomes, and in the next."""
    image, exif = Image.new("RGB", (8, 8)), Image.Exif()
    exif[0x010F] = "Example"
    exif.get_ifd(0x8769)[0x9000] = bytes(range(256)) * 4000
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0" + b"a" * 1_000_000
    image.save(tmp_path / "a.png", exif=exif)
    picture = files.read(tmp_path / "a.png")
    for name in ("b.tif", "c.tif"):
        files.write(picture, tmp_path / name)
        picture = files.read(tmp_path / name)
        tags = Image.Exif()
        tags.load(picture.exif)
        assert tags[0x010F] == "Example"
        assert tags.get_ifd(0x8769)[0x9000] == bytes(range(256)) * 4000
        assert len(tags.get_ifd(0x8769)[0x9286]) == 1_000_008


def test_an_orientation_that_is_no_number_is_that_of_the_exif_alone() -> None:
    for value in (float("nan"), float("inf"), -1e30):
        body = b"II*\0" + struct.pack("<I", 8) + directory([(0x0112, 11, 1, struct.pack("<f", value))], 8)
        clean, orientation = _metadata.clean_exif(body, "x", False)
        assert clean is None and orientation == 1
        picture = files.read(png(BLACK, chunk(b"eXIf", body)))
        assert picture.pixels.shape == (8, 8, 3)


# Chunks of PNG


def test_repeated_chunks_are_inflated_once(tmp_path: Path) -> None:
    """Each inflates to 32 MB: inflated every time, 1 MB of them takes 3.7 s."""
    bomb = zlib.compress(bytes(1 << 25), 9)
    text = b"XML:com.adobe.xmp\0\1\0\0\0" + bomb
    profiles = [chunk(b"iCCP", b"x\0\0" + bomb)] * 60 + [chunk(b"iTXt", text)] * 60
    outcome, seconds, megabytes = cost(tmp_path, png(BLACK, *profiles), ".png")
    assert outcome.startswith("Picture") and seconds < 2 and megabytes < 200


def test_of_two_chunks_the_first_is_meant() -> None:
    first, second = (b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>%d</x:xmpmeta>" % i for i in (1, 2))
    head = b"XML:com.adobe.xmp\0\0\0\0\0"
    comment = chunk(b"iTXt", b"Comment\0\0\0\0\0text")
    picture = files.read(png(BLACK, comment, chunk(b"iTXt", head + first), chunk(b"iTXt", head + second)))
    assert picture.xmp == first


# XMP


def test_many_elements_of_xmp_take_time_by_their_length(tmp_path: Path) -> None:
    """100,000 names must not take 3.3 s, nor 16 MB of them 18 s."""
    names = b"".join(b"<exif:GPS%d></exif:GPS%d>" % (i, i) for i in range(500_000))
    packet = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + names[: (1 << 24) - 200]
    data = png(BLACK, chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(packet)))
    _, seconds, _ = cost(tmp_path, data, ".png")
    assert seconds < 5


@pytest.mark.parametrize(
    ("packet", "left"),
    [
        (b"<a><exif:GPSx>1</exif:GPSx>b</a>", b"<a>b</a>"),
        (b"<a><exif:GPSx>1</exif:GPSxy>2</exif:GPSx >b</a>", b"<a>b</a>"),
        (b"<a><exif:GPSx>1</exif:GPSx\n\t>b<exif:GPSy />c</a>", b"<a>bc</a>"),
        (b"<a><exif:GPSx>1</exif:GPSxy>b</a>", None),
        (b"<a><exif:GPSx>1", None),
        (b"<a exif:GPSx='1' b='2'/>", b"<a  b='2'/>"),
    ],
)
def test_elements_end_where_their_name_ends(packet: bytes, left: bytes | None) -> None:
    assert _metadata._without(packet, rb"exif:GPS\w*") == left


# Scans of JPEG


@functools.cache
def grey_jpeg(width: int, height: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (width, height), 128).save(stream, "JPEG", progressive=True, quality=50)
    return stream.getvalue()


def progressive(width: int, height: int, scans: int, filler: bytes = b"") -> bytes:
    """Returns a grey progressive JPEG whose further scans say in a few bytes that nothing is in them."""
    data = grey_jpeg(width, height)
    assert data[-2:] == b"\xff\xd9"
    # AC coefficients of the highest frequency, and a run over all blocks that is empty of them.
    table = b"\xff\xc4" + struct.pack(">H", 2 + 17 + 1) + b"\x10" + b"\1" + bytes(15) + b"\xe0"
    scan = b"\xff\xda\0\x08\1\1\0\x3f\x3f\0"
    blocks = -(-width // 8) * -(-height // 8)
    runs = -(-blocks // ((1 << 15) - 1))
    bits = ("0" + "1" * 14) * runs
    bits += "1" * (-len(bits) % 8)
    packed = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    return data[:-2] + (filler + table + scan + packed) * scans + data[-2:]


def test_many_scans_of_a_large_picture_are_refused(tmp_path: Path) -> None:
    """Reading 2,000 of them on 41 million pixels would take 8 s."""
    data = progressive(6400, 6400, 2000)
    assert len(data) < 1_500_000
    outcome, seconds, _ = cost(tmp_path, data, ".jpg")
    assert outcome.startswith("DecodeError") and "more than 100 scans" in outcome and seconds < 2


def test_scans_behind_a_comment_are_counted(tmp_path: Path) -> None:
    """A mark of the image's end inside a comment does not end it."""
    data = progressive(6400, 6400, 130, filler=b"\xff\xfe\0\4\xff\xd9")
    with pytest.raises(errors.DecodeError, match="more than 100 scans"):
        files.read(data)


def test_many_scans_of_a_small_picture_are_read() -> None:
    for scans in (0, 5, 130):
        picture = files.read(progressive(64, 48, scans))
        assert picture.pixels.shape == (48, 64, 1) and abs(int(picture.pixels.mean()) - 128) <= 2
    assert files.read(progressive(6400, 6400, 60)).pixels.shape == (6400, 6400, 1)


def test_what_lies_behind_a_picture_is_not_of_it() -> None:
    picture = files.read(progressive(6400, 6400, 1) + b"\xff\xda\0\2" * 5000)
    assert picture.pixels.shape == (6400, 6400, 1)


# Strips and tiles of TIFF


@pytest.mark.parametrize("bits", [8, 16])
def test_tiles_of_a_pixel_are_not_read_one_by_one(tmp_path: Path, bits: int) -> None:
    """Read one by one, 6.3 MB of them take 79 s; no such tile is allowed, their sides are multiples of 16."""
    side = 700
    lists = side * side * 4
    at = 8 + 2 + 12 * 10 + 4

    def long(tag: int, value: int, count: int = 1) -> tuple[int, int, int, bytes]:
        return tag, 4, count, struct.pack("<I", value)

    entries = [
        long(256, side), long(257, side), long(258, bits), long(259, 1), long(262, 1), long(277, 1), long(322, 1),
        long(323, 1), long(324, at, side * side), long(325, at + lists, side * side),
    ]  # fmt: skip
    head = b"II*\0" + struct.pack("<I", 8) + directory(entries, 8)
    data = head + np.full(side * side, 8, "<u4").tobytes() + np.full(side * side, bits // 8, "<u4").tobytes()
    outcome, seconds, _ = cost(tmp_path, data, ".tif")
    assert outcome.startswith("DecodeError") and "490000 strips or tiles of 1 x 1 pixels" in outcome and seconds < 2


def test_small_tiles_and_strips_of_sound_files_are_read(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile", reason="tifffile is not installed")
    pixels = np.arange(300 * 40, dtype=np.uint16).reshape(300, 40)
    for options in ({"tile": (16, 16)}, {"rowsperstrip": 1}, {"rowsperstrip": 300}):
        tifffile.imwrite(tmp_path / "a.tif", pixels, **options)
        assert np.array_equal(pyharmony.load(tmp_path / "a.tif"), pixels)


def test_a_budget_is_of_all_fields_together() -> None:
    budget = _tiff.Budget(10)
    budget.spend(6)
    with pytest.raises(_tiff.TiffError, match="overlap"):
        budget.spend(5)


def test_exif_that_is_dropped_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "pyharmony"):
        files.read(overlapping(10))
    assert "the EXIF data is damaged (its fields overlap) and was dropped" in caplog.text


# Boxes of AVIF and HEIC


BOXES = """
import sys, time
from pyharmony.io import _color_tags
data = open(sys.argv[1], "rb").read()
began = time.process_time()
found = _color_tags.of_boxes(lambda at, size: data[at:at + size])
print(found.code_points, time.process_time() - began)
"""


@pytest.mark.parametrize("kind", ["boxes in meta", "properties", "items", "boxes beside"])
def test_many_boxes_take_time_by_their_length(tmp_path: Path, kind: str) -> None:
    """500,000 boxes of 8 bytes, or a list of as many items, are not worth a second."""

    def box(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", 8 + len(data)) + name + data

    many = box(b"free", b"") * 500_000
    pitm = box(b"pitm", bytes(4) + b"\0\1")
    ipma = box(b"ipma", bytes(4) + struct.pack(">I", 2**32 - 1) + b"\0\7\0" * 1_300_000)
    meta = {
        "boxes in meta": bytes(4) + many + pitm,
        "properties": bytes(4) + pitm + box(b"iprp", box(b"ipco", many) + ipma[:1000]),
        "items": bytes(4) + pitm + box(b"iprp", box(b"ipco", b"") + ipma),
        "boxes beside": bytes(4) + pitm,
    }[kind]
    path = tmp_path / "many.avif"
    path.write_bytes(box(b"ftyp", b"avif" + bytes(4)) + many * (kind == "boxes beside") + box(b"meta", meta))
    points, seconds = confined(BOXES, path).split()
    assert points == "None"
    assert float(seconds) < 2
