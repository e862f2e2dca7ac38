"""`quality="original"`: blocks of a JPEG that no changed pixel touches keep their coefficients, bit for bit."""

from __future__ import annotations

import dataclasses
import io
import os
import shutil
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

import pyharmony as ph
from pyharmony import blend
from pyharmony.errors import ArgumentError, DecodeError, DTypeError, PyHarmonyError
from pyharmony.io import Picture, check_target, read, write
from pyharmony.io._metadata import of_exif, oriented_exif
from pyharmony.io._original import original_of
from pyharmony.io.files import read_square
from pyharmony.runs import batch

from ..fuzz.mutate import mutated
from ..image_files import by_pillow

jpeglib = pytest.importorskip("jpeglib", reason="jpeglib is not installed")

#: The box that is edited, rows and columns; it is not aligned to blocks.
EDIT = np.s_[43:62, 50:71]
ORIENTATION = 0x0112


def photo(height: int = 93, width: int = 117) -> np.ndarray:
    """Returns smooth colours with some noise."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([90 + 60 * np.sin(x / 19), 110 + 70 * np.cos(y / 23), 130 + 50 * np.sin((x + y) / 31)], -1)
    return np.clip(pixels + np.random.default_rng(0).normal(0, 4, pixels.shape), 0, 255).astype(np.uint8)


def encoded(image: Any, **options: Any) -> bytes:
    return by_pillow(image, "JPEG", **options)


def with_sampling(factors: str, **options: Any) -> bytes:
    """Returns a JPEG of a sampling that Pillow does not write, by jpeglib."""
    image = jpeglib.from_spatial(photo())
    image.samp_factor = factors
    path = Path("sampled.jpg")
    image.write_spatial(str(path), qt=90, **options)
    return path.read_bytes()


#: JPEG files by kind.
KINDS: dict[str, Any] = {
    "4:2:0": lambda: encoded(photo(), subsampling="4:2:0"),
    "4:2:2": lambda: encoded(photo(), subsampling="4:2:2"),
    "4:4:4": lambda: encoded(photo(), subsampling="4:4:4", quality=92),
    "4:4:0": lambda: with_sampling("4:4:0"),
    "4:1:1": lambda: with_sampling("4:1:1"),
    "whole MCUs": lambda: encoded(photo(96, 112)),
    "grey": lambda: encoded(photo()[..., 0]),
    "RGB": lambda: encoded(photo(), keep_rgb=True),
    "progressive": lambda: encoded(photo(), progressive=True, quality=85),
    "progressive grey": lambda: encoded(photo()[..., 1], progressive=True),
    "optimized": lambda: encoded(photo(), optimize=True),
    "restart markers": lambda: encoded(photo(), restart_marker_blocks=3),
    "tables of its own": lambda: encoded(photo(), qtables=[list(range(2, 66)), list(range(3, 131, 2))]),
    "fine": lambda: encoded(photo(), quality=100),
    "coarse": lambda: encoded(photo(), quality=12),
}


def edited(picture: Picture) -> Picture:
    """Returns the picture with new content in a box."""
    pixels = picture.pixels.copy()
    pixels[EDIT] = 255 - photo()[::-1][EDIT][..., : pixels.shape[2]]
    return dataclasses.replace(picture, pixels=pixels)


def written(picture: Picture, **options: Any) -> bytes:
    stream = io.BytesIO()
    write(picture, stream, **{"format": "jpeg", "quality": "original", **options})
    return stream.getvalue()


def coefficients(data: bytes) -> list[np.ndarray]:
    """Returns the coefficients of each component by libjpeg 9f, which does not share the code that wrote them."""
    before = jpeglib.version.get()
    path = Path(f"read-{threading.get_ident()}.jpg")
    path.write_bytes(data)
    jpeglib.version.set("9f")
    try:
        file = jpeglib.read_dct(str(path))
        return [plane for plane in (file.Y, file.Cb, file.Cr) if plane is not None]
    finally:
        jpeglib.version.set(before or "6b")


def sampling(data: bytes) -> list[tuple[int, int]]:
    return [layer[1:3] for layer in Image.open(io.BytesIO(data)).layer]


def touched(data: bytes, changed: np.ndarray) -> list[np.ndarray]:
    """Returns for each component which blocks cover a changed pixel, computed sample by sample."""
    factors = sampling(data)
    across, down = (max(each[axis] for each in factors) for axis in (0, 1))
    planes = []
    for horizontal, vertical in factors:
        wide, high = 8 * across // horizontal, 8 * down // vertical
        blocks = np.zeros((-(-changed.shape[0] // high), -(-changed.shape[1] // wide)), bool)
        for y, x in np.argwhere(changed):
            blocks[y // high, x // wide] = True
        planes.append(blocks)
    return planes


def error_in(decoded: np.ndarray, target: np.ndarray) -> float:
    return float(np.sqrt(np.mean((decoded[EDIT].astype(float) - target[EDIT]) ** 2)))


def scans(data: bytes) -> int:
    """Returns the size of a file without its metadata."""
    return len(data) - data.index(b"\xff\xdb")


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# ---- what stays and what changes ----


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_without_a_changed_pixel_keep_their_coefficients(kind: str) -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    data = KINDS[kind]()
    picture = read(data)
    result = edited(picture)
    new = written(result)
    changed = (result.pixels != picture.pixels).any(2)
    for before, after, blocks in zip(coefficients(data), coefficients(new), touched(data, changed), strict=True):
        assert not ((before != after).any((2, 3)) & ~blocks).any()
        assert (before != after).any()
    assert sampling(new) == sampling(data)
    assert Image.open(io.BytesIO(new)).quantization == Image.open(io.BytesIO(data)).quantization
    assert ("progressive" in Image.open(io.BytesIO(new)).info) == ("progressive" in Image.open(io.BytesIO(data)).info)
    # Decoders that interpolate colours read one sample of the next block, of at most four pixels.
    factors = sampling(data)
    high, wide = (8 * max(each[axis] for each in factors) for axis in (1, 0))
    rows, columns = (np.flatnonzero(changed.any(axis)) for axis in (1, 0))
    far = np.ones(changed.shape, bool)
    far[
        max(rows[0] // high * high - 4, 0) : (rows[-1] // high + 1) * high + 4,
        max(columns[0] // wide * wide - 4, 0) : (columns[-1] // wide + 1) * wide + 4,
    ] = False
    assert far.sum() > far.size // 4
    np.testing.assert_array_equal(read(new).pixels[far], picture.pixels[far])
    old, now = (cv2.imdecode(np.frombuffer(each, np.uint8), cv2.IMREAD_COLOR) for each in (data, new))
    np.testing.assert_array_equal(old[far], now[far])


@pytest.mark.parametrize("kind", KINDS)
def test_changed_blocks_are_as_good_as_those_of_an_encoder(kind: str) -> None:
    """The encoder has the same tables and sampling; the picture is encoded anew, which costs every pixel."""
    data = KINDS[kind]()
    result = edited(read(data))
    image = jpeglib.from_spatial(result.pixels)
    if kind == "RGB":
        ordinary = encoded(result.pixels, keep_rgb=True)
    else:
        new_file = Image.open(io.BytesIO(data))
        tables = [new_file.quantization[key] for key in sorted(new_file.quantization)]
        if result.pixels.shape[2] == 1:
            ordinary = encoded(result.pixels[..., 0], qtables=tables)
        elif kind in ("4:4:0", "4:1:1"):
            image.samp_factor = kind
            image.write_spatial("ordinary.jpg", qt=90)
            ordinary = Path("ordinary.jpg").read_bytes()
        else:
            horizontal, vertical = sampling(data)[0]
            subsampling = {(1, 1): "4:4:4", (2, 1): "4:2:2", (2, 2): "4:2:0"}[horizontal, vertical]
            ordinary = encoded(result.pixels, qtables=tables, subsampling=subsampling)
    ours, theirs = (error_in(read(each).pixels, result.pixels) for each in (written(result), ordinary))
    assert ours < 1.06 * theirs + 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_an_unchanged_picture_keeps_every_coefficient(kind: str) -> None:
    data = KINDS[kind]()
    picture = read(data)
    new = written(picture)
    for before, after in zip(coefficients(data), coefficients(new), strict=True):
        np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(read(new).pixels, picture.pixels)
    if "progressive" not in kind and kind != "restart markers":
        assert abs(scans(new) / scans(data) - 1) < 0.02
    else:  # scans are chosen anew, and restart markers are not written
        assert scans(new) <= scans(data)
    assert written(read(new)) == new


def test_every_pixel_may_change() -> None:
    picture = read(encoded(photo(), quality=90))
    result = dataclasses.replace(picture, pixels=255 - picture.pixels)
    assert np.abs(read(written(result)).pixels.astype(int) - result.pixels).mean() < 6


@pytest.mark.parametrize("at", [(0, 0), (92, 116), (0, 116), (92, 0), (47, 16)])
@pytest.mark.parametrize("kind", ["4:2:0", "4:4:4", "grey", "progressive"])
def test_one_pixel_changes_its_own_blocks(kind: str, at: tuple[int, int]) -> None:
    data = KINDS[kind]()
    picture = read(data)
    pixels = picture.pixels.copy()
    pixels[at] ^= 128
    changed = (pixels != picture.pixels).any(2)
    new = written(dataclasses.replace(picture, pixels=pixels))
    for before, after, blocks in zip(coefficients(data), coefficients(new), touched(data, changed), strict=True):
        assert blocks.sum() == 1
        assert not ((before != after).any((2, 3)) & ~blocks).any()
    assert not np.array_equal(coefficients(data)[0], coefficients(new)[0])


def test_what_decoders_clip_is_encoded_as_it_is() -> None:
    """Near a hard edge the stored values go beyond black and white; pixels that replace them count, not the excess."""
    stripes = np.where(np.arange(64) % 8 < 4, 0, 255).astype(np.uint8)[None].repeat(64, 0)
    picture = read(encoded(stripes, quality=20))
    pixels = picture.pixels.copy()
    pixels[16:48, 16:48] = 128
    decoded = read(written(dataclasses.replace(picture, pixels=pixels))).pixels
    assert np.abs(decoded[16:48, 16:48].astype(int) - 128).max() <= 1


# ---- metadata ----


def test_metadata_are_those_of_any_file() -> None:
    exif = Image.Exif()
    exif[0x010F] = "Example"
    exif.get_ifd(0x8769)[0xA002] = 117
    exif.get_ifd(0x8825)[1] = "N"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/></x:xmpmeta>'
    iptc = b"\x1c\x02\x50\0\x04Anna"
    irb = b"Photoshop 3.0\x008BIM\4\4\0\0" + len(iptc).to_bytes(4, "big") + iptc + b"\0"
    extra = b"\xff\xed" + (len(irb) + 2).to_bytes(2, "big") + irb
    data = encoded(photo(), exif=exif, icc_profile=profile, xmp=xmp, dpi=(300, 72), comment=b"from us", extra=extra)
    picture = read(data)
    new, ordinary = read(written(edited(picture))), read(written(edited(picture), quality=95))
    for name in ("profile", "exif", "xmp", "dpi", "description", "format"):
        assert getattr(new, name) == getattr(ordinary, name)
    assert new.dpi == (300, 72) and new.profile == profile and new.description.iptc and new.description.text
    assert of_exif(new.exif, lambda main: 0x8825 in main.where) is False


def test_the_headers_that_tell_colours_stay() -> None:
    colours = encoded(photo(), keep_rgb=True)
    assert b"Adobe" in colours and b"JFIF" not in colours
    new = written(edited(read(colours)))
    assert b"Adobe" in new and b"JFIF" not in new
    plain = encoded(photo())
    assert b"Adobe" not in written(edited(read(plain))) and b"JFIF" in written(edited(read(plain)))
    head = plain[:2] + plain[20:]  # as cameras write, with neither
    new = written(edited(read(head)))
    assert b"Adobe" not in new and b"JFIF" not in new
    np.testing.assert_array_equal(read(new).pixels[:30], read(head).pixels[:30])


@pytest.mark.parametrize("order", ["II", "MM"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photo_keeps_its_blocks_and_its_orientation(orientation: int, order: str) -> None:
    exif = Image.Exif()
    exif.endian = "<" if order == "II" else ">"
    exif._info = None
    exif[ORIENTATION], exif[0x010F], exif[0x0132] = orientation, "Example", "2026:01:02 03:04:05"
    exif.get_ifd(0x8769).update({0x927C: b"maker" * 9, 0xA002: 117, 0xA003: 93})
    data = encoded(photo(), exif=exif, dpi=(300, 72))
    picture = read(data)
    result = edited(picture)
    new = written(result)
    image, again = Image.open(io.BytesIO(new)), read(new)
    assert image.size == (117, 93) and image.getexif().get(ORIENTATION, 1) == orientation
    assert image.getexif()[0x010F] == "Example" and image.getexif().get_ifd(0x8769)[0x927C] == b"maker" * 9
    assert image.getexif().get_ifd(0x8769)[0xA002] == 117 and image.getexif().get_ifd(0x8769)[0xA003] == 93
    assert again.pixels.shape == result.pixels.shape and again.dpi == picture.dpi and image.info["dpi"] == (300, 72)
    assert error_in(again.pixels, result.pixels) < 12
    same = (again.pixels == picture.pixels).all(2)
    assert same.mean() > 0.8 and not same[EDIT].all()
    changed = sum(((a != b).any((2, 3))).sum() for a, b in zip(coefficients(data), coefficients(new), strict=True))
    assert changed <= 16 + 2 * 9
    np.testing.assert_array_equal(read(written(again)).pixels, again.pixels)


def test_the_orientation_of_no_or_damaged_exif() -> None:
    for exif in (None, b"Exif\0\0nonsense"):
        assert Image.Exif().load(oriented_exif(exif, 6)) is None
        loaded = Image.Exif()
        loaded.load(oriented_exif(exif, 6))
        assert dict(loaded) == {ORIENTATION: 6}


def test_exif_that_fits_no_segment_leaves_the_orientation() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    picture = edited(read(encoded(photo(), exif=exif)))
    big = Image.Exif()
    big[0x010E] = "x" * 70_000
    new = written(dataclasses.replace(picture, exif=big.tobytes()))
    np.testing.assert_array_equal(read(new).pixels, read(written(picture)).pixels)


# ---- the original ----


def test_the_original_is_the_file_that_was_read() -> None:
    data = encoded(photo())
    Path("photo.jpg").write_bytes(data)
    assert read("photo.jpg").original == os.path.abspath("photo.jpg")
    assert read(Path("photo.jpg")).original == os.path.abspath("photo.jpg")
    with open("photo.jpg", "rb") as file:
        assert read(file).original == data
    assert read(data).original is data
    assert read(bytearray(data)).original == read(memoryview(data)).original == data
    assert read(by_pillow(photo())).original is None and read(Image.open("photo.jpg")).original is None
    assert read_square("photo.jpg", "image", 8)[0].original is None
    assert Picture(photo()).original is None


def test_calls_and_a_change_of_folder_keep_the_original(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("photo.jpg").write_bytes(encoded(photo()))
    mask = np.zeros((20, 20), np.float32)
    mask[4:16, 4:16] = 1
    result = blend.alpha(255 - photo()[:20, :20], read("photo.jpg"), mask, at=(40, 50))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    new = read(written(result))
    np.testing.assert_array_equal(new.pixels[:40], read(result.original).pixels[:40])
    assert new.xmp is not None and b"composite" in new.xmp


def test_a_file_may_be_written_over_its_original() -> None:
    Path("photo.jpg").write_bytes(encoded(photo()))
    picture = edited(read("photo.jpg"))
    expected = written(picture)
    write(picture, "photo.jpg", quality="original")
    assert Path("photo.jpg").read_bytes() == expected
    # Now it is another original, of which every pixel of the box is a changed one; the picture is still the same.
    again = read(written(picture)).pixels
    assert error_in(again, picture.pixels) < 1.1 * error_in(read(expected).pixels, picture.pixels)
    np.testing.assert_array_equal(again[:30], picture.pixels[:30])


def test_save_takes_the_original_from_like() -> None:
    Path("photo.jpg").write_bytes(encoded(photo()))
    result = edited(read("photo.jpg"))
    for image in (result.pixels, Image.fromarray(result.pixels), dataclasses.replace(result, original=None)):
        ph.save(image, "out.jpg", like="photo.jpg", quality="original")
        np.testing.assert_array_equal(read("out.jpg").pixels, read(written(result)).pixels)
    grey = encoded(photo()[..., 0])
    ph.save(edited(read(grey)).pixels[..., 0], "grey.jpg", like=grey, quality="original")
    np.testing.assert_array_equal(read("grey.jpg").pixels[:32], read(grey).pixels[:32])


# ---- refusals ----


def refusals() -> dict[str, tuple[Any, str]]:
    """Returns pictures that have no usable original, and what is said of each."""
    picture = edited(read(encoded(photo())))
    png, grey, cmyk = by_pillow(photo()), encoded(photo()[..., 0]), encoded(Image.fromarray(photo()).convert("CMYK"))
    arithmetic = encoded(photo()).replace(b"\xff\xc0", b"\xff\xc9", 1)

    def of(original: bytes) -> Picture:
        return dataclasses.replace(picture, original=original)

    def with_pixels(pixels: np.ndarray) -> Picture:
        return dataclasses.replace(picture, pixels=pixels)

    return {
        "array": (Picture(photo()), "from no JPEG file at full size"),
        "PNG": (read(png), "from a file of PNG"),
        "size": (with_pixels(picture.pixels[1:]), "has 117 x 93 pixels, the image has 117 x 92"),
        "turned": (with_pixels(np.rot90(picture.pixels)), "has 117 x 93 pixels, the image has 93 x 117"),
        "grey of colours": (of(grey), "has 1 channels, the image has 3"),
        "CMYK": (of(cmyk), "is CMYK, expected grey or RGB"),
        "arithmetic": (of(arithmetic), "encoded in an unusual way"),
        "no JPEG": (of(png), "is no JPEG file any more"),
        "empty": (of(b""), "is no JPEG file any more"),
        "fractions": (of(with_factors(encoded(photo()), 3, 2)), "samples of fractions of pixels"),
        "16 bit": (with_pixels(picture.pixels.astype(np.uint16) * 257), "stores uint8"),
        "alpha": (with_pixels(np.dstack([picture.pixels, picture.pixels[..., :1]])), "no alpha"),
    }  # fmt: skip


def with_factors(data: bytes, first: int, second: int) -> bytes:
    """Returns a file whose header has these horizontal factors of the first and the second component."""
    at = data.index(b"\xff\xc0") + 11
    out = bytearray(data)
    out[at] = first << 4 | 2
    out[at + 3] = second << 4 | 1
    return bytes(out)


@pytest.mark.parametrize("name", ["array", "PNG", "size", "turned", "grey of colours", "CMYK", "arithmetic", "no JPEG",
                                  "empty", "fractions", "16 bit", "alpha"])  # fmt: skip
def test_an_image_without_a_usable_original_is_refused(name: str) -> None:
    picture, message = refusals()[name]
    Path("out.jpg").write_bytes(b"before")
    with pytest.raises(PyHarmonyError, match=message) as raised:
        write(picture, "out.jpg", quality="original")
    assert isinstance(raised.value, (ArgumentError, DecodeError))
    assert Path("out.jpg").read_bytes() == b"before" and os.listdir() == ["out.jpg"]


def test_what_can_be_told_before_the_work_is() -> None:
    picture = read(encoded(photo()))
    check_target(picture, "out.jpg", quality="original")
    for bad, target in ((Picture(photo()), "out.jpg"), (picture, "out.png"), (picture, "out.webp")):
        with pytest.raises(ArgumentError, match="quality: 'original', which is for edits of JPEG files"):
            check_target(bad, target, quality="original")
    with pytest.raises(ArgumentError, match=r"like='photo\.jpg'"):
        ph.save(photo(), "out.jpg", quality="original")


@pytest.mark.parametrize("quality", ["best", "Original", "", "95", 0, 101, 95.5, None, True, b"original", ["original"]])
def test_other_qualities_are_refused(quality: Any) -> None:
    with pytest.raises((ArgumentError, DTypeError), match=r"quality: .*whole number.*original"):
        write(read(encoded(photo())), "out.jpg", quality=quality)
    assert not Path("out.jpg").exists()


def test_a_missing_original_is_an_error_of_the_file() -> None:
    Path("photo.jpg").write_bytes(encoded(photo()))
    picture = edited(read("photo.jpg"))
    os.remove("photo.jpg")
    with pytest.raises(FileNotFoundError, match=r"photo\.jpg"):
        write(picture, "out.jpg", quality="original")
    assert not Path("out.jpg").exists()


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jpeglib", None)
    picture = read(encoded(photo()))
    for call in (write, check_target):
        with pytest.raises(ImportError, match=r"jpeglib is missing, quality='original' needs it: .*pip install"):
            call(picture, "out.jpg", quality="original")
        with pytest.raises(ArgumentError, match="the file to write is PNG"):
            call(picture, "out.png", quality="original")
    write(picture, "out.jpg", quality=90)


def test_an_original_without_a_quantisation_table_is_refused() -> None:
    """Decoders look for the table of a component at its first scan; a file that was cut may have none of it."""
    data = encoded(photo(), progressive=True, quality=80)
    frame, scan = data.index(b"\xff\xc2"), data.index(b"\xff\xda")
    only_luminance = bytes.fromhex("ffda 0008 01 01 00 00 00 01") + data[scan + 14 : data.index(b"\xff\xc4", scan)]
    picture = read(data[: frame + 18] + b"\x08" + data[frame + 19 : scan] + only_luminance + b"\xff\xd9")
    with pytest.raises(ArgumentError, match="the original is damaged: it lacks a quantisation table"):
        written(edited(picture))


def test_a_damaged_original_is_refused(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoders smooth the blocks of a progressive file whose last scans are missing; a file of all scans shows them."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    data = encoded(photo(), progressive=True, quality=80)
    first = data.index(b"\xff\xda")
    picture = read(data[: data.index(b"\xff\xc4", data.index(b"\xff\xda", first + 2))] + b"\xff\xd9")
    with pytest.raises(ArgumentError, match="the original is damaged, or of an unusual kind"):
        written(edited(picture))
    seeds = [encoded(photo(45, 61)), encoded(photo(45, 61), progressive=True), encoded(photo(45, 61)[..., 0])]
    rng, messages, same = np.random.default_rng(0), set(), 0
    for number in range(600):
        try:
            picture = read(mutated(seeds[number % 3], seeds, rng))
        except PyHarmonyError:
            continue
        pixels = picture.pixels.copy()
        pixels[:8, :8] ^= 64
        try:
            decoded = read(written(dataclasses.replace(picture, pixels=pixels))).pixels
        except ArgumentError as error:
            messages.add(str(error).partition(": the original ")[2])
        else:
            np.testing.assert_array_equal(decoded[32:], pixels[32:])
            same += 1
    assert same > 50
    assert messages >= {
        "is damaged: its quantisation tables have a zero",
        "is damaged: it has coefficients beyond those of 8-bit samples",
        "is encoded in an unusual way, expected Huffman codes of 8-bit samples",
    }
    picture = read(seeds[1])
    coefficient = seeds[1].index(b"\xff\xda") + 11  # the first one of the first scan, behind the last
    damaged = seeds[1][:coefficient] + b"\5" + seeds[1][coefficient + 1 :]
    with pytest.raises(ArgumentError, match="the original is damaged: its coefficients cannot be read and written"):
        dataclasses.replace(original_of(picture), data=damaged).encode(picture.pixels, {})
    assert capfd.readouterr().out == ""  # jpeglib prints what it cannot read
    assert not os.listdir()


def test_threads_and_the_setting_of_others() -> None:
    """jpeglib has one version of libjpeg for all; a caller's own stays, and threads wait for each other."""
    pictures = [edited(read(KINDS[kind]())) for kind in ("4:2:0", "progressive", "grey", "optimized")]
    alone = [written(picture) for picture in pictures]
    before = jpeglib.version.get()
    jpeglib.version.set("8d")
    together: dict[int, bytes] = {}

    def work(number: int) -> None:
        together[number] = written(pictures[number % 4])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert jpeglib.version.get() == "8d"
    jpeglib.version.set(before or "6b")
    assert [together[number] for number in range(12)] == alone * 3


# ---- commands and runs ----


def test_a_run_keeps_what_it_did_not_change() -> None:
    os.mkdir("in")
    Path("in/photo.jpg").write_bytes(encoded(photo()))
    shutil.copy("in/photo.jpg", "photo.jpg")
    Image.fromarray(photo()).save("in/other.png")
    mask = np.zeros((93, 117), np.uint8)
    mask[EDIT] = 255
    Image.fromarray(mask).save("mask.png")
    report = batch.run("harmonize", "in", "out", other_inputs={"mask": "mask.png"}, quality="original",
                       options={"method": "reinhard"})  # fmt: skip
    assert report.counts["done"] == 1 and report.counts["failed"] == 1
    assert "is for edits of JPEG files" in report.errors[0]["message"]
    before, after = read("photo.jpg").pixels, read("out/photo.jpg").pixels
    np.testing.assert_array_equal(before[:30], after[:30])
    assert not np.array_equal(before[EDIT], after[EDIT])
    again = batch.run("harmonize", "in", "out", other_inputs={"mask": "mask.png"}, quality="original", resume=True,
                      options={"method": "reinhard"})  # fmt: skip
    assert again.counts["done"] == 1


# ---- photographs ----


@pytest.mark.slow
def test_twenty_photographs(data_dir: Path) -> None:
    """Every block outside is equal, decoders agree, and sizes are within 2 % of the original's."""
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    folders = [data_dir / name for name in ("photos_open", "pairs_open", "masks_open")]
    paths = sorted(path for folder in folders for path in folder.rglob("*.jpg"))
    if len(paths) < 20:
        pytest.skip("shared data not found")
    source = read(paths[0]).pixels
    for path in paths[7 :: len(paths) // 20][:20]:
        data, picture = path.read_bytes(), read(path)
        height, width = picture.pixels.shape[:2]
        if min(height, width) < 100 or picture.pixels.shape[2] != 3:
            continue
        side = min(height, width) // 12
        patch = source[40 : 40 + side, 60 : 60 + side]
        result = blend.alpha(patch, picture, np.full(patch.shape[:2], 0.7, np.float32), at=(width // 3, height // 2))
        new = written(result)
        changed = (result.pixels != picture.pixels).any(2)
        same = np.ones((height, width), bool)
        planes = zip(coefficients(data), coefficients(new), touched(data, changed), sampling(data), strict=True)
        most = [max(each[axis] for each in sampling(data)) for axis in (1, 0)]
        for before, after, blocks, (across, down) in planes:
            assert not ((before != after).any((2, 3)) & ~blocks).any(), path
            high, wide = most[0] // down, most[1] // across
            pixels = blocks.repeat(8 * high, 0).repeat(8 * wide, 1)[:height, :width].astype(np.uint8)
            same &= cv2.dilate(pixels, np.ones((2 * high - 1, 2 * wide - 1), np.uint8)) == 0
        assert same.mean() > 0.9
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(new)))[same], picture.pixels[same])
        old, now = (cv2.imdecode(np.frombuffer(each, np.uint8), cv2.IMREAD_COLOR) for each in (data, new))
        np.testing.assert_array_equal(old[same], now[same])
        # Scans of progressive files are divided anew; that takes up to a tenth off, and never adds more.
        assert (0.9 if "progressive" in Image.open(path).info else 0.98) < scans(new) / scans(data) < 1.02, path
