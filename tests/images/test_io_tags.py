"""Colours that a file says otherwise than by an ICC profile, and metadata that tells of what is not kept."""

from __future__ import annotations

import base64
import io
import logging
import shutil
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image, ImageCms, features

import pyharmony as ph
from pyharmony import errors
from pyharmony.io import Picture, _color_tags, _metadata, convert, provenance, read

from .. import skips
from ..image_files import by_pillow, chunk, encoded, png, with_chunk
from ..shared import srgb_device

pytestmark = pytest.mark.house

needs_avif = pytest.mark.skipif(not features.check("avif"), reason="Pillow has no AVIF")

# What the tags say, by the formulae of the standards; nothing of the package is used. All these have the white of D65.

BT709 = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
ADOBE = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
BT2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
D65 = (0.3127, 0.3290)

Curve = Callable[[np.ndarray], np.ndarray]


def to_xyz(primaries: Any) -> np.ndarray:
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in primaries]).T
    white = np.array((D65[0] / D65[1], 1, (1 - D65[0] - D65[1]) / D65[1]))
    return columns * np.linalg.solve(columns, white)


def srgb_light(x: np.ndarray) -> np.ndarray:
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def bt709_device(y: np.ndarray) -> np.ndarray:
    return np.where(y < 0.018054, 4.5 * y, 1.099297 * np.maximum(y, 1e-9) ** 0.45 - 0.099297)


def bt709_light(x: np.ndarray) -> np.ndarray:
    return np.where(x < 4.5 * 0.018054, x / 4.5, ((x + 0.099297) / 1.099297) ** (1 / 0.45))


def power(gamma: float) -> tuple[Curve, Curve]:
    return lambda x: x**gamma, lambda y: np.maximum(y, 0) ** (1 / gamma)


SRGB_CURVES, BT709_CURVES = (srgb_light, srgb_device), (bt709_light, bt709_device)


def photo(height: int = 48, width: int = 64) -> np.ndarray:
    """Returns an sRGB image in [0, 1] of many colours, smooth enough for lossy kinds of file."""
    y, x = np.mgrid[0:height, 0:width] / (height, 1)[0]
    rgb = np.stack([x * height / width, y, 0.5 + 0.5 * np.sin(5 * x + 3 * y)], -1)
    return 0.04 + 0.92 * rgb


def stored(primaries: Any, curves: tuple[Curve, Curve], levels: int) -> np.ndarray:
    """Returns the values of the photo in another space, in levels."""
    light = srgb_light(photo()) @ (np.linalg.inv(to_xyz(primaries)) @ to_xyz(BT709)).T
    return np.rint(np.clip(curves[1](light), 0, 1) * levels)


def twin(device: np.ndarray, primaries: Any, curves: tuple[Curve, Curve]) -> np.ndarray:
    """Returns the sRGB levels of what is stored."""
    light = curves[0](device) @ (np.linalg.inv(to_xyz(BT709)) @ to_xyz(primaries)).T
    return srgb_device(np.clip(light, 0, 1)) * 255


# The files


def gama(gamma: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(gamma * 100_000)))


def chrm(primaries: Any) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *(round(v * 100_000) for point in (D65, *primaries) for v in point)))


def cicp(primaries: int, transfer: int, full: int = 1) -> bytes:
    return chunk(b"cICP", bytes([primaries, transfer, 0, full]))


def exif_of(space: int, index: bytes = b"R03\0", order: str = "<") -> bytes:
    """Returns EXIF of a camera with a colour space and an index of interoperability."""

    def directory(*rows: tuple[int, int, int, bytes]) -> bytes:
        fields = b"".join(struct.pack(order + "HHI", *row[:3]) + row[3].ljust(4, b"\0") for row in rows)
        return struct.pack(order + "H", len(rows)) + fields + bytes(4)

    def u32(value: int) -> bytes:
        return struct.pack(order + "I", value)

    main, exif = 8, 8 + 2 + 2 * 12 + 4
    interop = exif + 2 + 3 * 12 + 4
    body = directory((0x010F, 2, 4, b"Cam\0"), (0x8769, 4, 1, u32(exif)))
    color = (0xA001, 3, 1, struct.pack(order + "H", space))
    body += directory((0x9000, 7, 4, b"0230"), color, (0xA005, 4, 1, u32(interop)))
    body += directory((1, 2, 4, index), (2, 7, 4, b"0100"))
    return b"Exif\0\0" + (b"II*\0" if order == "<" else b"MM\0*") + u32(main) + body


def jpeg(pixels: np.ndarray, exif: bytes) -> bytes:
    return by_pillow(pixels, "JPEG", quality=100, subsampling=0, exif=exif)


def avif(pixels: np.ndarray, primaries: int, transfer: int, **options: Any) -> bytes:
    """Returns an AVIF whose container names other code points than Pillow writes."""
    data = by_pillow(pixels, "AVIF", quality=100, subsampling="4:4:4", **options)
    mark = b"colrnclx" + (struct.pack(">HH", 2, 2) if options.get("icc_profile") else struct.pack(">HH", 1, 13))
    assert data.count(mark) == 1
    return data.replace(mark, b"colrnclx" + struct.pack(">HH", primaries, transfer))


def heic(pixels: np.ndarray, primaries: int, transfer: int) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    stream = io.BytesIO()
    image = pillow_heif.from_pillow(Image.fromarray(pixels))
    # Without `save_nclx_profile` the code points are not written.
    image.save(stream, quality=-1, chroma=444, color_primaries=primaries, transfer_characteristics=transfer,
               matrix_coefficients=1, full_range_flag=1, save_nclx_profile=True)  # fmt: skip
    return stream.getvalue()


TAGGED: dict[str, tuple[Any, tuple[Curve, Curve], type[np.generic], Callable[[np.ndarray], bytes]]] = {
    "Adobe RGB by EXIF": (ADOBE, power(563 / 256), np.uint8, lambda p: jpeg(p, exif_of(65535))),
    "Adobe RGB by EXIF, big-endian": (ADOBE, power(563 / 256), np.uint8, lambda p: jpeg(p, exif_of(65535, order=">"))),
    "Adobe RGB by ColorSpace 2": (ADOBE, power(563 / 256), np.uint8, lambda p: jpeg(p, exif_of(2, b"R98\0"))),
    "Adobe RGB by EXIF in WebP": (
        ADOBE, power(563 / 256), np.uint8, lambda p: by_pillow(p, "WEBP", lossless=True, exif=exif_of(65535))
    ),
    "gAMA 1": (BT709, power(1), np.uint8, lambda p: png(p, gama(1))),
    "gAMA 1, 16 bit": (BT709, power(1), np.uint16, lambda p: png(p, gama(1))),
    "gAMA 1/1.8": (BT709, power(1.8), np.uint8, lambda p: png(p, gama(1 / 1.8))),
    "gAMA of sRGB": (BT709, SRGB_CURVES, np.uint8, lambda p: png(p, gama(0.45455))),
    "cHRM of sRGB and gAMA": (BT709, power(2.2), np.uint8, lambda p: png(p, gama(0.45455), chrm(BT709))),
    "cHRM of Adobe RGB and gAMA": (ADOBE, power(2.2), np.uint8, lambda p: png(p, gama(0.45455), chrm(ADOBE))),
    "cHRM of BT.2020 and gAMA, 16 bit": (BT2020, power(2.4), np.uint16, lambda p: png(p, gama(1 / 2.4), chrm(BT2020))),
    "cICP sRGB": (BT709, SRGB_CURVES, np.uint8, lambda p: png(p, cicp(1, 13))),
    "cICP P3": (P3, SRGB_CURVES, np.uint8, lambda p: png(p, cicp(12, 13))),
    "cICP P3, 16 bit": (P3, SRGB_CURVES, np.uint16, lambda p: png(p, cicp(12, 13))),
    "cICP BT.709": (BT709, power(2.4), np.uint8, lambda p: png(p, cicp(1, 1))),
    "cICP BT.2020": (BT2020, power(2.4), np.uint8, lambda p: png(p, cicp(9, 14))),
    "cICP linear, 16 bit": (BT709, power(1), np.uint16, lambda p: png(p, cicp(1, 8))),
    "sRGB chunk": (BT709, SRGB_CURVES, np.uint8, lambda p: png(p, chunk(b"sRGB", b"\0"))),
    "nclx sRGB of AVIF": (BT709, SRGB_CURVES, np.uint8, lambda p: avif(p, 1, 13)),
    "nclx P3 of AVIF": (P3, SRGB_CURVES, np.uint8, lambda p: avif(p, 12, 13)),
    "nclx BT.709 of AVIF": (BT709, SRGB_CURVES, np.uint8, lambda p: avif(p, 1, 1)),
    "nclx BT.2020 of AVIF": (BT2020, SRGB_CURVES, np.uint8, lambda p: avif(p, 9, 1)),
    "nclx P3 of HEIC": (P3, SRGB_CURVES, np.uint8, lambda p: heic(p, 12, 13)),
    "nclx BT.709 of HEIC": (BT709, SRGB_CURVES, np.uint8, lambda p: heic(p, 1, 1)),
    "nclx BT.2020 of HEIC": (BT2020, SRGB_CURVES, np.uint8, lambda p: heic(p, 9, 14)),
    "nclx sRGB of HEIC": (BT709, SRGB_CURVES, np.uint8, lambda p: heic(p, 1, 13)),
}  # fmt: skip
KINDS = [pytest.param(name, marks=needs_avif if "AVIF" in name else ()) for name in TAGGED]


def tagged(name: str) -> tuple[bytes, np.ndarray]:
    """Returns a file, and the sRGB levels of what is in it."""
    primaries, curves, dtype, encode = TAGGED[name]
    levels = np.iinfo(dtype).max
    data = encode(stored(primaries, curves, levels).astype(dtype))
    return data, twin(read(data).pixels / levels, primaries, curves)


@pytest.mark.parametrize("name", KINDS)
def test_colours_without_a_profile_are_those_of_the_tags(name: str) -> None:
    """As src they come within 3 levels of the sRGB twin, and of the photo where the kind of file is fine enough."""
    data, expected = tagged(name)
    picture = read(data)
    for dtype in (np.uint8, np.uint16, np.float32):
        like = Picture(np.zeros((1, 1, 3), dtype))
        result = convert(picture, like).pixels / (1 if dtype == np.float32 else np.iinfo(dtype).max) * 255
        assert np.abs(np.clip(result, 0, 255) - expected).max() < 3  # floats are not clipped
    coarse = "linear" in name or "gAMA 1" in name
    assert np.abs(expected - 255 * photo()).mean() < (8 if coarse else 3)
    untagged = np.abs(picture.pixels / np.iinfo(picture.pixels.dtype).max * 255 - expected).max()
    assert untagged > 3 or "sRGB" in name or "nclx BT.709" in name  # what reading them as sRGB is off by


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        pytest.param(name, ("png", "tiff", "jpg")[i % 3], marks=needs_avif if "AVIF" in name else ())
        for i, name in enumerate(TAGGED)
    ],
)
def test_as_dst_they_go_back_as_they_came(tmp_path: Path, name: str, suffix: str) -> None:
    """The result of a blend has the pixels of dst where nothing is put, and they mean what they meant."""
    data, expected = tagged(name)
    dst = read(data)
    if suffix == "jpg" and dst.pixels.dtype != np.uint8:
        suffix = "png"
    (tmp_path / "dst").write_bytes(data)
    mask = np.zeros((48, 64), np.uint8)
    mask[20:24, 20:24] = 255
    src = Picture(np.full((48, 64, 3), 90, np.uint8))
    result = ph.blend.alpha(src, dst, mask, out=tmp_path / f"out.{suffix}")
    del result
    back = read(tmp_path / f"out.{suffix}")
    assert back.profile == dst.profile is not None
    meaning = convert(back, Picture(np.zeros((1, 1, 3), np.float32))).pixels * 255
    away = np.s_[:16] if suffix == "jpg" else np.s_[:20]
    if suffix != "jpg":
        np.testing.assert_array_equal(back.pixels[:20], dst.pixels[:20])
    assert np.abs(meaning - expected)[away].mean() < 3
    # Where src was put, its grey of sRGB has become that of dst's colours.
    assert np.abs(meaning[22, 22] - 90).max() < 3 + 6 * (suffix == "jpg") + 5 * (dst.pixels.dtype == np.uint8)
    if back.exif is not None:
        assert b"R03" not in back.exif


def of_colors(primaries: int, curve: tuple[float, ...], grey: bool = False) -> bytes:
    return _color_tags.profile(_color_tags.Colors(_color_tags._PRIMARIES[primaries], curve, "a space"), grey)


COLOR_TAGS: dict[str, tuple[str, Callable[[np.ndarray], bytes]]] = {
    **{f"AVIF {p}/{t}": ("avif", lambda x, p=p, t=t: avif(x, p, t))
       for p, t in ((1, 1), (1, 6), (1, 14), (1, 15), (1, 4), (1, 5), (1, 7), (1, 8), (2, 1), (2, 2), (9, 2), (9, 14),
                    (5, 6), (6, 6), (9, 1), (12, 1), (12, 13), (4, 13), (8, 13), (11, 13), (22, 13))},
    **{f"cICP {p}/{t}": ("png", lambda x, p=p, t=t: png(x, cicp(p, t)))
       for p, t in ((1, 1), (1, 6), (1, 11), (1, 12), (1, 14), (1, 15), (1, 4), (1, 5), (1, 7), (1, 8), (2, 1), (2, 8),
                    (9, 2), (9, 14), (6, 6), (12, 1), (12, 13), (4, 13), (11, 13), (22, 13))},
    **{f"gAMA {gamma}": ("png", lambda x, gamma=gamma: png(x, gama(gamma)))
       for gamma in (0.1, 0.4, 0.44, 1 / 2.2, 0.46, 0.5, 1 / 1.8, 1.0, 2.5)},
    "cHRM of P3": ("png", lambda x: png(x, chrm(P3))),
    "gAMA and cHRM of P3": ("png", lambda x: png(x, gama(1 / 2.2), chrm(P3))),
    "gAMA and cHRM of sRGB": ("png", lambda x: png(x, gama(1 / 2.2), chrm(BT709))),
    "gAMA and cHRM of Adobe RGB": ("png", lambda x: png(x, gama(1.0), chrm(ADOBE))),
    "sRGB beside gAMA": ("png", lambda x: png(x, gama(1.0), chunk(b"sRGB", b"\0"))),
    "an unknown cICP beside gAMA": ("png", lambda x: png(x, cicp(3, 13), gama(1.0))),
    "grey of gAMA": ("png", lambda x: png(x[..., :1], gama(1 / 1.8))),
    "grey of cICP": ("png", lambda x: png(x[..., :1], cicp(1, 1))),
    "no tag": ("png", png),
    **{f"{format} of the profile {name}": (
            format.lower(),
            lambda x, format=format, options=options, numbers=numbers: by_pillow(
                x, format, icc_profile=of_colors(*numbers), **options
            ))
       for name, numbers in {"P3": (12, _color_tags._SRGB_CURVE), "gamma": (9, (0, 1.8))}.items()
       for format, options in {"PNG": {}, "JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True},
                               "AVIF": {"quality": 100, "subsampling": "4:4:4"}}.items()},
    "grey of a profile": ("png", lambda x: by_pillow(x[..., 0], "PNG", icc_profile=of_colors(1, (0, 1.8), True))),
    "cICP beside a profile": (
        "png", lambda x: png(x, cicp(12, 13), chunk(b"iCCP", b"x\0\0" + zlib.compress(of_colors(1, (0, 1.8)))))
    ),
}  # fmt: skip
#: What a page has of a file: its width, height and sRGB levels, by a canvas.
ON_A_CANVAS = """async ([kind, data]) => {
  const image = new Image();
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  image.src = URL.createObjectURL(new Blob([bytes], {type: `image/${kind}`}));
  await image.decode();
  const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
  const context = canvas.getContext("2d", {colorSpace: "srgb"});
  context.drawImage(image, 0, 0);
  return [...context.getImageData(0, 0, canvas.width, canvas.height).data];
}"""


@pytest.fixture(scope="module")
def chromium_page() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip(skips.not_installed("chromium"))
    with playwright.sync_playwright() as driver:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--force-color-profile=srgb"]
        browser = driver.chromium.launch(executable_path=program, args=arguments)
        yield browser.new_page()
        browser.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(x, marks=needs_avif if "AVIF" in x else ()) for x in COLOR_TAGS])
def test_colours_look_as_in_chromium(chromium_page: Any, name: str) -> None:
    kind, encode = COLOR_TAGS[name]
    data = encode(np.rint(255 * photo()).astype(np.uint8))
    expected = chromium_page.evaluate(ON_A_CANVAS, [kind, base64.b64encode(data).decode()])
    levels = convert(read(data), Picture(np.zeros((1, 1, 3), np.uint8))).pixels
    expected = np.array(expected).reshape(*levels.shape[:2], 4)[..., :3]
    assert np.abs(levels - expected).max() <= 1


def test_little_cms_takes_the_profiles_for_what_they_are() -> None:
    for name in ("cICP P3", "cHRM of Adobe RGB and gAMA", "cICP BT.2020", "gAMA 1/1.8"):
        data, expected = tagged(name)
        picture = read(data)
        assert picture.profile is not None
        profile = ImageCms.ImageCmsProfile(io.BytesIO(picture.profile))
        theirs = ImageCms.profileToProfile(Image.fromarray(picture.pixels), profile, ImageCms.createProfile("sRGB"))
        assert np.abs(np.asarray(theirs) - expected).max() < 3


def test_the_first_in_order_counts() -> None:
    """cICP, then iCCP, then sRGB, then gAMA and cHRM, wherever they stand."""
    pixels = stored(BT709, SRGB_CURVES, 255).astype(np.uint8)
    p3 = read(png(pixels, cicp(12, 13))).profile
    srgb = read(png(pixels, chunk(b"sRGB", b"\0"))).profile
    assert p3 is not None
    icc = chunk(b"iCCP", b"x\0\0" + zlib.compress(p3))
    linear = read(png(pixels, gama(1))).profile
    assert len({p3, srgb, linear}) == 3
    for chunks, expected in (
        ((gama(1), chrm(P3), chunk(b"sRGB", b"\0"), icc, cicp(1, 13)), srgb),
        ((gama(1), chunk(b"sRGB", b"\0"), icc), p3),
        ((gama(1), chrm(P3), chunk(b"sRGB", b"\0")), srgb),
        ((icc, cicp(2, 2)), p3),
        # Code points that say nothing known leave the rest to count.
        ((icc, cicp(10, 13)), p3),
        ((icc, cicp(1, 17)), p3),
        ((gama(1), cicp(10, 13)), linear),
        ((gama(1), cicp(2, 2)), linear),
        ((gama(1), gama(1 / 1.8)), linear),
        ((), None),
    ):
        assert read(png(pixels, *chunks)).profile == expected
    # What EXIF says in a PNG is less than what the file itself says; a profile is more in a JPEG.
    assert read(png(pixels, chunk(b"eXIf", exif_of(65535)[6:]), chunk(b"sRGB", b"\0"))).profile == srgb
    own = by_pillow(pixels, "JPEG", exif=exif_of(65535), icc_profile=p3)
    assert read(own).profile == p3
    assert b"R03" not in (read(own).exif or b"")


@pytest.mark.parametrize("space", [1, 65535])
def test_exif_that_says_less_is_srgb(space: int) -> None:
    pixels = stored(BT709, SRGB_CURVES, 255).astype(np.uint8)
    exif = exif_of(space, b"R98\0")
    picture = read(jpeg(pixels, exif))
    assert picture.profile is None
    assert picture.exif == exif


def test_converted_colours_are_not_said_to_be_adobes() -> None:
    data, expected = tagged("Adobe RGB by EXIF")
    picture = convert(read(data), Picture(np.zeros((1, 1, 3), np.uint8)))
    back = read(encoded(picture, "png"))
    assert back.profile is None
    assert back.exif is not None and b"Cam" in back.exif
    assert np.abs(back.pixels - expected).max() < 3


def test_tiff_says_adobe_rgb_in_its_exif_too() -> None:
    pixels = stored(ADOBE, power(563 / 256), 255).astype(np.uint8)
    body = exif_of(65535)[6:]
    # The directories of EXIF lie behind the pixels, and their offsets count from there.
    at = 8 + pixels.nbytes
    shifted = bytearray(body[8:])
    struct.pack_into("<I", shifted, 2 + 12 + 8, at + 2 + 2 * 12 + 4)
    struct.pack_into("<I", shifted, 2 + 2 * 12 + 4 + 2 + 2 * 12 + 8, at + 2 + 2 * 12 + 4 + 2 + 3 * 12 + 4)
    first = at + len(shifted)
    rows = [(256, 64), (257, 48), (258, 8), (259, 1), (262, 2), (273, 8), (277, 3), (278, 48), (279, pixels.nbytes)]
    rows.append((34665, at + 2 + 2 * 12 + 4))
    fields = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in rows)
    data = b"II*\0" + struct.pack("<I", first) + pixels.tobytes() + bytes(shifted)
    data += struct.pack("<H", len(rows)) + fields + bytes(4)
    expected = twin(pixels / 255, ADOBE, power(563 / 256))
    assert np.abs(convert(read(data), Picture(np.zeros((1, 1, 3), np.uint8))).pixels - expected).max() < 3


@pytest.mark.parametrize("chunks", [(gama(1),), (cicp(1, 8),), (chunk(b"sRGB", b"\0"),)], ids=["gAMA", "cICP", "sRGB"])
def test_grey_files_get_a_profile_of_grey(chunks: tuple[bytes, ...]) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    picture = read(png(grey, *chunks))
    assert picture.profile is not None and picture.profile[16:20] == b"GRAY"
    data = encoded(picture, "png")
    assert read(data).profile == picture.profile
    assert (b"iCCP" in data) == (chunks[0][4:8] != b"sRGB")
    light = srgb_light(grey / 255) if chunks[0][4:8] == b"sRGB" else grey / 255
    for channels in (1, 3):
        result = convert(picture, Picture(np.zeros((1, 1, channels), np.float32))).pixels
        np.testing.assert_allclose(result, np.repeat(srgb_device(light), channels, 2), atol=2e-3)


def test_images_of_pillow_say_it_too() -> None:
    for name in ("gAMA 1", "cHRM of Adobe RGB and gAMA", "gAMA of sRGB", "sRGB chunk", "Adobe RGB by EXIF"):
        data, _ = tagged(name)
        assert read(Image.open(io.BytesIO(data))).profile == read(data).profile, name
    loaded = ph.load(tagged("cICP P3")[0])
    assert loaded.info["icc_profile"] == read(tagged("cICP P3")[0]).profile


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_is_refused(transfer: int) -> None:
    pixels = stored(BT2020, BT709_CURVES, 255).astype(np.uint8)
    files = [png(pixels, cicp(9, transfer)), png(pixels.astype(np.uint16) * 257, cicp(9, transfer))]
    files += [avif(pixels, 9, transfer)] * features.check("avif")
    for data in files:
        with pytest.raises(errors.DecodeError, match=r"src: .* is an HDR image \((PQ|HLG)\).*export it"):
            read(data, "src")


@needs_avif
def test_hdr_heic_is_refused() -> None:
    pixels = stored(BT2020, BT709_CURVES, 255).astype(np.uint8)
    for transfer in (16, 18):
        with pytest.raises(errors.DecodeError, match="is an HDR image"):
            read(heic(pixels, 9, transfer))


@needs_avif
def test_beside_a_profile_code_points_say_whether_it_is_hdr() -> None:
    pixels = stored(P3, SRGB_CURVES, 255).astype(np.uint8)
    icc = read(png(pixels, cicp(12, 13))).profile
    for primaries, transfer in ((9, 16), (9, 18), (12, 16)):
        data = avif(pixels, primaries, transfer, icc_profile=icc)
        with pytest.raises(errors.DecodeError, match="is an HDR image"):
            read(data)
    for primaries, transfer in ((9, 14), (1, 13), (2, 2), (10, 17)):
        data = avif(pixels, primaries, transfer, icc_profile=icc)
        assert read(data).profile == icc


def test_pil_images_of_hdr_are_refused_beside_a_profile() -> None:
    image = Image.new("RGB", (2, 2))
    image.info.update(icc_profile=b"any", nclx_profile={"color_primaries": 9, "transfer_characteristics": 16})
    with pytest.raises(errors.DecodeError, match="is an HDR image"):
        read(image)


def test_video_levels_are_refused() -> None:
    with pytest.raises(errors.DecodeError, match="narrow range of video"):
        read(png(np.zeros((2, 2, 3), np.uint8), cicp(1, 13, full=0)))


@pytest.mark.parametrize(
    "tag",
    [
        gama(0),
        gama(50),
        chrm(((0, 0), (0, 0), (0, 0))),
        chrm(((0.3, 0.3), (0.3, 0.3), (0.3, 0.3))),
        chunk(b"cHRM", struct.pack(">8I", *[2**32 - 1] * 8)),
        cicp(3, 13),
        cicp(1, 200),
        cicp(10, 13),
    ],
)
def test_impossible_tags_are_left_out_with_a_warning(tag: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "pyharmony"):
        assert read(png(np.zeros((2, 2, 3), np.uint8), tag), "src").profile is None
    assert "src: its colour tags are unusual" in caplog.text


def test_impossible_tags_of_pil_images_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    image = Image.new("RGB", (2, 2))
    image.info["gamma"] = 1e9
    with caplog.at_level("WARNING", "pyharmony"):
        assert ph.io.read(image, "src").profile is None
    assert "src: its colour tags are unusual" in caplog.text


def test_damaged_tags_are_not_read() -> None:
    broken = bytearray(gama(1))
    broken[-1] ^= 1
    for tag in (bytes(broken), chunk(b"gAMA", b"\0"), chunk(b"cHRM", bytes(31)), chunk(b"cICP", b"\1\15\0")):
        assert read(png(np.zeros((2, 2, 3), np.uint8), tag)).profile is None


# XMP that tells of what is not kept

HEAD = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
TITLE = b"<dc:title xmlns:dc='http://purl.org/dc/elements/1.1/'>Tower</dc:title>"
XMP_END = b"</rdf:Description></rdf:RDF></x:xmpmeta>"
CONTAINER = (
    b"<rdf:Description xmlns:C='http://ns.google.com/photos/1.0/container/'"
    b" xmlns:I='http://ns.google.com/photos/1.0/container/item/'%s>%s<C:Directory><rdf:Seq>"
    b"<rdf:li rdf:parseType='Resource'><C:Item I:Semantic='Primary' I:Mime='image/jpeg'/></rdf:li>"
    b"<rdf:li rdf:parseType='Resource'><C:Item I:Semantic='%s' I:Length='5'/></rdf:li></rdf:Seq></C:Directory>"
)
PROMISING = {
    "the gain map is": HEAD
    + b"<rdf:Description xmlns:hdrgm='http://ns.adobe.com/hdr-gain-map/1.0/' hdrgm:Version='1.0'>"
    + TITLE + XMP_END,
    "the gain map is, in elements": HEAD
    + b'<rdf:Description xmlns:g = "http://ns.adobe.com/hdr-gain-map/1.0/"><g:Version>1.0</g:Version>'
    b"<g:GainMapMax><rdf:Seq><rdf:li>1</rdf:li></rdf:Seq></g:GainMapMax>" + TITLE + XMP_END,
    "the gain map is, by Google": HEAD
    + CONTAINER % (b" xmlns:hdrgm='http://ns.adobe.com/hdr-gain-map/1.0/' hdrgm:Version='1.0'", TITLE, b"GainMap")
    + XMP_END,
    "the gain map is, by Apple": HEAD
    + b"<rdf:Description xmlns:H='http://ns.apple.com/HDRGainMap/1.0/' H:HDRGainMapVersion='65536'>" + TITLE + XMP_END,
    "the video is": HEAD + CONTAINER % (
        b" xmlns:GCamera='http://ns.google.com/photos/1.0/camera/' GCamera:MotionPhoto='1'"
        b" GCamera:MotionPhotoVersion='1'",
        TITLE, b"MotionPhoto",
    ) + XMP_END,
    "the video is, of older phones": HEAD
    + b"<rdf:Description xmlns:GCamera='http://ns.google.com/photos/1.0/camera/' GCamera:MicroVideo='1' "
    b"GCamera:MicroVideoOffset='12345' GCamera:BurstID='kept'>" + TITLE + XMP_END,
    "the depth map and the image before the effect are": HEAD
    + b"<rdf:Description xmlns:GDepth='http://ns.google.com/photos/1.0/depthmap/' GDepth:Format='RangeInverse'"
    b" xmlns:GImage='http://ns.google.com/photos/1.0/image/' GImage:Mime='image/jpeg'>" + TITLE + XMP_END,
    "the extended XMP is": HEAD
    + b"<rdf:Description xmlns:xmpNote='http://ns.adobe.com/xmp/note/' xmpNote:HasExtendedXMP='0123456789ABCDEF'>"
    + TITLE + XMP_END,
}  # fmt: skip
WORDS = (b"Version", b"GainMap", b"MicroVideo", b"MotionPhoto", b"Semantic", b"GDepth", b"GImage:Mime", b"Extended",
         b"hdr-gain-map")  # fmt: skip


def with_xmp(format: str, xmp: bytes) -> bytes:
    pixels = stored(BT709, SRGB_CURVES, 255).astype(np.uint8)
    if format == "png":
        return png(pixels, chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp))
    return encoded(Picture(pixels, xmp=xmp), "tiff") if format == "tiff" else by_pillow(pixels, format, xmp=xmp)


@pytest.mark.parametrize(
    ("promise", "format"),
    [
        *((promise, "jpeg") for promise in PROMISING),
        *(("the gain map is", format) for format in ("png", "webp", "tiff")),
    ],
)
def test_what_is_not_kept_is_not_promised(format: str, promise: str) -> None:
    xmp = PROMISING[promise]
    data = with_xmp(format, xmp)
    with pytest.warns(errors.PyHarmonyWarning, match=rf"^dst: {promise.split(',')[0]} not kept") as records:
        picture = read(data, "dst")
    assert len(records) == 1
    assert picture.xmp is not None
    assert b"Tower" in picture.xmp
    assert not any(word in picture.xmp for word in WORDS)
    assert (b"BurstID='kept'" in picture.xmp) == (b"BurstID" in xmp)
    ElementTree.fromstring(picture.xmp)  # noqa: S314 (the packet is made here)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(data, "src")  # of which the colours alone are taken
        assert read(encoded(picture, "jpeg" if format == "jpeg" else "png"), "dst").xmp == picture.xmp


def test_a_gain_map_that_xmp_does_not_tell_of_is_told_of() -> None:
    """ISO 21496-1 has a segment of its own in the JPEG."""
    data = jpeg(stored(BT709, SRGB_CURVES, 255).astype(np.uint8), b"")
    mark = b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0"
    data = data[:2] + b"\xff\xe2" + struct.pack(">H", len(mark) + 2) + mark + data[2:]
    with pytest.warns(errors.PyHarmonyWarning, match="the gain map is not kept"):
        picture = read(data)
    assert b"21496" not in encoded(picture, "jpeg")


@needs_avif
def test_a_gain_map_of_apples_heic_is_told_of() -> None:
    data = avif(stored(P3, SRGB_CURVES, 255).astype(np.uint8), 12, 13)
    at = data.index(b"ipco") + 4
    # A property that no item has; its box and those around it grow.
    urn = b"urn:com:apple:photo:2020:aux:hdrgainmap\0"
    box = struct.pack(">I", 12 + len(urn)) + b"auxC" + bytes(4) + urn
    end = at - 8 + struct.unpack_from(">I", data, at - 8)[0]
    data_with_box = bytearray(data[:end] + box + data[end:])
    for name in (b"ipco", b"iprp", b"meta"):
        where = data.index(name) - 4
        struct.pack_into(">I", data_with_box, where, struct.unpack_from(">I", data, where)[0] + len(box))
    item = data.index(b"iloc") - 4
    size = struct.unpack_from(">I", data, item)[0]
    offset = data.index(b"mdat") + 4
    where = data.index(struct.pack(">I", offset), item, item + size)
    struct.pack_into(">I", data_with_box, where, offset + len(box))
    with pytest.warns(errors.PyHarmonyWarning, match="the gain map is not kept"):
        read(bytes(data_with_box))


def test_promises_in_an_unusual_form_take_the_packet_with_them() -> None:
    open_ended = (
        HEAD + b"<rdf:Description xmlns:g='http://ns.adobe.com/hdr-gain-map/1.0/'><g:Version>1.0" + TITLE + XMP_END
    )
    assert _metadata.without_promises(open_ended) == (None, ["gain map"])
    names = b"".join(
        b" xmlns:g%d='http://ns.adobe.com/hdr-gain-map/1.0/' g%d:Version='1'" % (i, i) for i in range(30_000)
    )
    assert _metadata.without_promises(HEAD + b"<rdf:Description" + names + b">" + XMP_END)[0] is None


# XMP with a document type

BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;&lol;&lol;&lol;&lol;">'
    b'<!ENTITY xxe SYSTEM "file:///etc/passwd">]>' + HEAD + b"<rdf:Description>&lol2;&xxe;" + TITLE + XMP_END
)


@pytest.mark.parametrize("format", ["jpeg", "png", "webp"])
def test_xmp_with_entities_is_dropped(format: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for packet in (BOMB, BOMB.replace(b"!DOCTYPE", b"!doctype"), BOMB.replace(b"DOCTYPE", b"DocType")):
        data = with_xmp(format, packet)
        with caplog.at_level(logging.WARNING, "pyharmony"):
            assert read(data).xmp is None
        assert "has a DOCTYPE" in caplog.text
        ph.save(read(data), tmp_path / f"out.{format}")
        assert b"ENTITY" not in (tmp_path / f"out.{format}").read_bytes()


@pytest.mark.parametrize("format", ["jpeg", "png", "webp", "tiff"])
def test_xmp_with_entities_is_not_written(format: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "pyharmony"):
        assert b"ENTITY" not in encoded(Picture(np.zeros((4, 4, 3), np.uint8), xmp=BOMB), format)
    assert "has a DOCTYPE" in caplog.text


def test_a_composites_xmp_is_not_added_to_entities() -> None:
    packet = provenance.add_history(BOMB, ["0" * 64])
    assert b"ENTITY" not in packet
    assert b"sha256:000" in packet


def _signed(format: str) -> bytes:
    """Returns a file with content credentials, as C2PA's specification 2.1, A.3, lays them into each format."""
    image = np.zeros((8, 9, 3), np.uint8)
    box = b"\0\0\0\x1cjumb\0\0\0\x14jumdc2pa" + bytes(12)
    if format == "TIFF":
        return by_pillow(image, "TIFF", tiffinfo={52545: box})
    data = by_pillow(image, format, **({"lossless": True} if format == "WEBP" else {}))
    if format == "JPEG":
        body = b"JP\0\1\0\0\0\1" + box
        return data[:2] + b"\xff\xeb" + (len(body) + 2).to_bytes(2, "big") + body + data[2:]
    if format == "PNG":
        return with_chunk(data, b"caBX", box)
    whole = data[8:] + b"C2PA" + len(box).to_bytes(4, "little") + box
    return b"RIFF" + len(whole).to_bytes(4, "little") + whole


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_content_credentials_are_dropped_with_a_word(format: str) -> None:
    """They are signed for the file as it was, and true of no other."""
    with pytest.warns(errors.PyHarmonyWarning, match="image: the manifest of content credentials is not kept"):
        picture = read(_signed(format), "image")
    for target in ("JPEG", "PNG", "WEBP", "TIFF"):
        assert b"c2pa" not in encoded(picture, target.lower()).lower()
