"""OpenRaster files: what is in them, what is read back, how layers are merged, and which files are refused."""

from __future__ import annotations

import io
import math
import os
import stat
import struct
import subprocess
import sys
import time
import tracemalloc
import xml.etree.ElementTree as ElementTree
import zipfile
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from pyharmony import errors
from pyharmony import io as ph_io
from pyharmony.io import Layer, Picture, merged_of, read_layers, write_layers

from ..image_files import by_pillow, chunk, encoded, png_of, with_chunk

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")

pytestmark = pytest.mark.house

WHITE = {"uint8": 255, "uint16": 65535}
SIZE = (11, 7)


def noise(height: int, width: int, channels: int = 4, dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).integers(0, WHITE[dtype] + 1, (height, width, channels))
    if channels == 4:  # some of each: transparent, partly, opaque
        values[..., 3] = np.clip(values[..., 3] * 3 - WHITE[dtype], 0, WHITE[dtype])
    return values.astype(dtype)


def scene(dtype: str = "uint8") -> list[Layer]:
    """Returns a background, a shadow, an object that reaches beyond the image, and a hidden layer."""
    width, height = SIZE
    ground = noise(height, width, 4, dtype)
    ground[..., 3] = WHITE[dtype]
    return [
        Layer("background", ground),
        Layer("shadow", noise(4, 5, 4, dtype, 1), (2, 1), 0.6, blend="multiply"),
        Layer("object <1> & \"2\" 'é'\n写真", noise(5, 6, 4, dtype, 2), (-3, 4), 1 / 3),
        Layer("", noise(2, 2, 4, dtype, 3), (10, 6), visible=False),
    ]


def written(layers: list[Layer], merged: np.ndarray, **options: Any) -> bytes:
    stream = io.BytesIO()
    write_layers(stream, layers, merged, **options)
    return stream.getvalue()


def parts_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def packed(parts: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return stream.getvalue()


def png(pixels: np.ndarray, profile: bytes | None = None, **options: Any) -> bytes:
    return by_pillow(pixels, icc_profile=profile, **options)


def png_claiming(width: int, height: int) -> bytes:
    return png_of(width, height, 8, 6, zlib.compress(bytes(100)))


def stack_xml(body: str, size: tuple[int, int] = (3, 2), more: str = "") -> bytes:
    return f'<image version="0.0.3" w="{size[0]}" h="{size[1]}"{more}><stack>{body}</stack></image>'.encode()


def foreign(body: str, more: str = "", **parts: bytes) -> bytes:
    """Returns a file as another program writes it: compressed, with the merged image 3 x 2 and parts data/NAME.png."""
    files = {
        "mimetype": b"image/openraster",
        "stack.xml": stack_xml(body, more=more),
        "mergedimage.png": png(noise(2, 3, 3)),
        **{f"data/{name}.png": data for name, data in parts.items()},
    }
    return packed(files, zipfile.ZIP_DEFLATED)


@pytest.fixture(scope="module")
def wide_profile() -> bytes:
    """Returns a profile like sRGB's, with red and green exchanged: the same colours have other values in it."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"tXYZ").replace(b"gXYZ", b"rXYZ").replace(b"tXYZ", b"gXYZ")


# What is written


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_the_layout_is_that_of_the_specification(dtype: str) -> None:
    layers = scene(dtype)
    data = written(layers, merged_of(layers, SIZE))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
    assert [info.filename for info in infos] == [
        "mimetype", "stack.xml", *(f"data/layer{i:03}.png" for i in range(4)), "mergedimage.png",
        "Thumbnails/thumbnail.png",
    ]  # fmt: skip
    # Programs that tell files by their first bytes look for the type at byte 38.
    assert data[30:54] == b"mimetypeimage/openraster"
    for info in infos:
        assert info.compress_type == zipfile.ZIP_STORED
        assert info.date_time == (1980, 1, 1, 0, 0, 0)
        assert info.external_attr >> 16 == stat.S_IFREG | 0o644
        assert info.flag_bits == 0
        assert not info.extra and not info.comment


def test_the_stack_lists_the_layers_from_the_top() -> None:
    layers = scene()
    stack = parts_of(written(layers, merged_of(layers, SIZE), dpi=(300, 150.4)))["stack.xml"]
    root = ElementTree.fromstring(stack)  # noqa: S314
    assert root.tag == "image"
    assert root.attrib == {"version": "0.0.6", "w": "11", "h": "7", "xres": "300", "yres": "150"}
    (listed,) = root
    assert (listed.tag, listed.attrib) == ("stack", {})
    assert [element.tag for element in listed] == ["layer"] * 4
    assert [element.attrib for element in listed] == [
        {"name": "", "src": "data/layer003.png", "x": "10", "y": "6", "opacity": "1.0",
         "visibility": "hidden", "composite-op": "svg:src-over"},
        {"name": layers[2].name, "src": "data/layer002.png", "x": "-3", "y": "4", "opacity": repr(1 / 3),
         "visibility": "visible", "composite-op": "svg:src-over"},
        {"name": "shadow", "src": "data/layer001.png", "x": "2", "y": "1", "opacity": "0.6",
         "visibility": "visible", "composite-op": "svg:multiply"},
        {"name": "background", "src": "data/layer000.png", "x": "0", "y": "0", "opacity": "1.0",
         "visibility": "visible", "composite-op": "svg:src-over"},
    ]  # fmt: skip


def test_a_stack_without_resolution_names_none_and_an_opacity_has_no_exponent() -> None:
    layers = [Layer("a", noise(2, 3), opacity=1.25e-7)]
    stack = parts_of(written(layers, noise(2, 3)))["stack.xml"]
    assert b"res=" not in stack
    assert b'opacity="0.000000125"' in stack
    assert read_layers(written(layers, noise(2, 3)))[0][0].opacity == 1.25e-7


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_the_merged_image_is_the_file_that_write_writes(dtype: str, channels: int, wide_profile: bytes) -> None:
    merged = noise(7, 11, channels, dtype, 5)
    data = parts_of(written(scene(dtype), merged, profile=wide_profile, dpi=(300, 150.4)))["mergedimage.png"]
    assert data == encoded(Picture(merged, wide_profile, dpi=(300, 150.4)), "png")
    theirs = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert theirs.dtype == merged.dtype
    np.testing.assert_array_equal(theirs[..., [2, 1, 0, 3][:channels]], merged)


def test_the_profile_is_in_every_image(wide_profile: bytes) -> None:
    parts = parts_of(written(scene(), noise(300, 400), profile=wide_profile))
    images = [name for name in parts if name.endswith(".png")]
    assert len(images) == 6
    for name in images:
        assert Image.open(io.BytesIO(parts[name])).info["icc_profile"] == wide_profile


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((600, 300, 4), (128, 256)),
        ((300, 600, 3), (256, 128)),
        ((100, 256, 3), (256, 100)),
        ((2, 1000, 3), (256, 1)),
        ((1, 1, 4), (1, 1)),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_the_thumbnail_is_as_large_as_it_may_be(shape: tuple[int, int, int], size: tuple[int, int], dtype: str) -> None:
    merged = np.full(shape, WHITE[dtype] // 5, dtype)
    merged[..., 3:] = WHITE[dtype]
    data = parts_of(written([Layer("a", noise(2, 3))], merged))["Thumbnails/thumbnail.png"]
    depth, interlaced = data[24], data[28]
    assert (depth, interlaced) == (8, 0)
    thumbnail = np.asarray(Image.open(io.BytesIO(data)))
    assert thumbnail.shape == (size[1], size[0], shape[2])
    assert (thumbnail == np.array([51, 51, 51, 255][: shape[2]])).all()


def test_transparent_pixels_do_not_colour_the_thumbnail() -> None:
    merged = np.zeros((512, 512, 4), np.uint8)
    merged[:, ::2] = (255, 0, 0, 255)
    merged[:, 1::2, 1] = 255
    data = parts_of(written([Layer("a", noise(2, 3))], merged))["Thumbnails/thumbnail.png"]
    thumbnail = np.asarray(Image.open(io.BytesIO(data)))
    assert thumbnail[..., 1].max() == 0
    assert thumbnail[..., 0].min() == 255


def test_the_same_layers_give_the_same_bytes(threads: int, tmp_path: Path, wide_profile: bytes) -> None:
    layers = [*scene(), Layer("large", noise(700, 500, dtype="uint16"))]
    options: dict[str, Any] = {"profile": wide_profile, "dpi": (72, 72)}
    first = written(layers, noise(700, 500), **options)
    before = os.umask(0o077)
    try:
        write_layers(tmp_path / "a.ora", layers, noise(700, 500), **options)
    finally:
        os.umask(before)
    assert (tmp_path / "a.ora").read_bytes() == first
    if threads > 1:
        return
    ordered = [Layer(a.name, np.asfortranarray(a.pixels), a.at, a.opacity, a.visible, a.blend) for a in layers]
    ordered[-1] = Layer("large", layers[-1].pixels.astype(">u2"))
    assert written(ordered, noise(700, 500)[::-1].copy()[::-1], **options) == first


def test_another_process_at_another_time_writes_the_same_bytes(tmp_path: Path) -> None:
    code = (
        "import sys, time, numpy as np\n"
        "from pyharmony.io import Layer, write_layers\n"
        "time.time = time.localtime = None\n"
        "pixels = np.arange(96, dtype=np.uint8).reshape(4, 6, 4)\n"
        "write_layers(sys.argv[1], [Layer('a', pixels)], pixels)\n"
    )
    environment = {**os.environ, "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", code, tmp_path / "a.ora"], cwd="/", env=environment, check=True)
    pixels = np.arange(96, dtype=np.uint8).reshape(4, 6, 4)
    assert (tmp_path / "a.ora").read_bytes() == written([Layer("a", pixels)], pixels)


def test_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "größe.ora"
    write_layers(path, scene(), noise(7, 11), overwrite=False)
    whole = path.read_bytes()
    with pytest.raises(FileExistsError, match=r"größe\.ora"):
        write_layers(path, scene(), noise(8, 11), overwrite=False)
    assert path.read_bytes() == whole
    write_layers(str(path), scene(), noise(8, 11))
    assert read_layers(path)[1].pixels.shape == (8, 11, 4)
    assert len(list(tmp_path.iterdir())) == 1


def test_inputs_stay_as_they_are() -> None:
    layers = scene()
    merged = noise(7, 11)
    before = [layer.pixels.copy() for layer in layers], merged.copy()
    for layer in layers:
        layer.pixels.flags.writeable = False
    merged.flags.writeable = False
    merged_of(layers, SIZE)
    written(layers, merged)
    for layer, pixels in zip(layers, before[0]):
        np.testing.assert_array_equal(layer.pixels, pixels)
    np.testing.assert_array_equal(merged, before[1])


# What is read back


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("profiled", [False, True])
def test_what_is_written_is_read(
    tmp_path: Path, dtype: str, channels: int, profiled: bool, wide_profile: bytes
) -> None:
    profile = wide_profile if profiled else None
    layers, merged = scene(dtype), noise(7, 11, channels, dtype, 5)
    path = tmp_path / "a.ora"
    write_layers(path, layers, merged, profile=profile, dpi=(300, 150))
    data = path.read_bytes()
    with path.open("rb") as file:
        for source in (path, str(path), data, bytearray(data), memoryview(data), io.BytesIO(data), file):
            layers_read, picture = read_layers(source)
            assert picture.pixels.dtype == merged.dtype
            np.testing.assert_array_equal(picture.pixels, merged)
            assert (picture.profile, picture.dpi) == (profile, (300, 150))
            assert len(layers_read) == len(layers)
            for ours, theirs in zip(layers_read, layers):
                assert ours.pixels.dtype == theirs.pixels.dtype
                np.testing.assert_array_equal(ours.pixels, theirs.pixels)
                for field in ("name", "at", "opacity", "visible", "blend"):
                    assert getattr(ours, field) == getattr(theirs, field), field
    assert written(layers_read, picture.pixels, profile=profile, dpi=picture.dpi) == data


def test_metadata_lie_in_the_merged_image_alone() -> None:
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>told</x:xmpmeta>"
    data = written(scene(), noise(7, 11), xmp=xmp)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    assert [name for name, part in parts.items() if xmp in part] == ["mergedimage.png"]
    assert ph_io.read(parts["mergedimage.png"]).xmp == xmp
    np.testing.assert_array_equal(read_layers(data)[1].pixels, noise(7, 11))
    assert written(scene(), noise(7, 11), xmp=None) == written(scene(), noise(7, 11))


def test_layers_of_two_depths_stay_apart() -> None:
    layers, merged = read_layers(written([*scene("uint16"), *scene("uint8")], noise(7, 11)))
    assert [layer.pixels.dtype.name for layer in layers] == ["uint16"] * 4 + ["uint8"] * 4
    assert merged.pixels.dtype == np.uint8


def test_500_layers_are_written_and_read() -> None:
    layers = [Layer(str(i), noise(1, 1, seed=i)) for i in range(500)]
    layers_read, _ = read_layers(written(layers, noise(1, 1)))
    assert [layer.name for layer in layers_read] == [layer.name for layer in layers]


def test_files_of_other_programs() -> None:
    """Attributes are missing or more, images are grey, with palettes, or opaque, and EXIF does not turn them."""
    rgb, rgba = noise(2, 3, 3), noise(2, 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    body = (
        '<layer src="data/rgba.png" x="-1" selected="true" edit-locked="true"><annotation/></layer>'
        '<layer src="data/grey.png" name="grey" visibility="visible"/><!-- a comment -->'
        '<layer src="data/palette.png"/><layer src="data/rgb.png" composite-op="svg:multiply" opacity="0.501961"/>'
    )
    palette = Image.fromarray(rgb).quantize(4)
    images = {
        "rgba": png(rgba, exif=exif.tobytes()),
        "grey": png(rgb[..., 0]),
        "palette": by_pillow(palette),
        "rgb": png(rgb),
    }
    layers, merged = read_layers(foreign(body, ' xres="600" yres="300"', **images))
    assert [layer.name for layer in layers] == ["", "", "grey", ""]
    assert [layer.at for layer in layers] == [(0, 0), (0, 0), (0, 0), (-1, 0)]
    assert [layer.blend for layer in layers] == ["multiply", "normal", "normal", "normal"]
    assert layers[0].opacity == 0.501961
    opaque = np.full((2, 3, 1), 255, np.uint8)
    for layer, expected in zip(layers, [rgb, np.asarray(palette.convert("RGB")), np.repeat(rgb[..., :1], 3, -1)]):
        np.testing.assert_array_equal(layer.pixels, np.concatenate((expected, opaque), -1))
    np.testing.assert_array_equal(layers[3].pixels, rgba)
    assert merged.dpi == (600, 300)
    np.testing.assert_array_equal(merged.pixels, rgb)


def test_groups_that_make_no_difference_become_their_layers() -> None:
    body = (
        '<stack name="plain"><layer src="data/a.png" name="1"/>'
        '<stack><layer src="data/a.png" name="2"/></stack></stack>'
        '<stack isolation="auto" opacity="0.5">'
        '<layer src="data/a.png" name="3" opacity="0.5" composite-op="svg:multiply"/></stack>'
        '<stack visibility="hidden" opacity="0.2">'
        '<layer src="data/a.png" name="4" composite-op="svg:multiply"/></stack>'
    )
    layers, _ = read_layers(foreign(body, a=png(noise(2, 3))))
    assert [(layer.name, layer.opacity, layer.visible) for layer in layers] == [
        ("4", 1, False), ("3", 0.25, True), ("2", 1, True), ("1", 1, True),
    ]  # fmt: skip


def test_layers_come_in_the_colours_of_the_merged_image(wide_profile: bytes) -> None:
    colours = np.array([[[255, 0, 0, 255], [0, 255, 0, 200], [0, 0, 255, 0]]] * 2, np.uint8)
    parts = parts_of(foreign('<layer src="data/a.png"/><layer src="data/b.png"/>', a=png(colours), b=b""))
    parts["data/b.png"] = png(colours, wide_profile)
    parts["mergedimage.png"] = png(noise(2, 3, 3), wide_profile)
    (other, converted), merged = read_layers(packed(parts))
    assert merged.profile == wide_profile
    np.testing.assert_array_equal(other.pixels, colours)
    np.testing.assert_allclose(converted.pixels[0, :2], [[0, 255, 0, 255], [255, 0, 0, 200]], atol=1)
    assert (converted.pixels[..., 3] == colours[..., 3]).all()


# Merging


def soft_light(b: Fraction, s: Fraction) -> Fraction:
    if 2 * s <= 1:
        return b - (1 - 2 * s) * b * (1 - b)
    root = Fraction(math.isqrt(int(b * 10**60)), 10**30)
    return b + (2 * s - 1) * ((((16 * b - 12) * b + 4) * b if 4 * b <= 1 else root) - b)


#: The functions B(b, s) of the modes, of the backdrop's and the source's values: W3C, sections 10.1.1 to 10.1.10.
MIXTURES: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "normal": lambda b, s: s,
    "multiply": lambda b, s: b * s,
    "screen": lambda b, s: 1 - (1 - b) * (1 - s),
    "overlay": lambda b, s: 2 * b * s if 2 * b <= 1 else 1 - 2 * (1 - b) * (1 - s),
    "darken": min,
    "lighten": max,
    "soft_light": soft_light,
}


def exact(layers: list[Layer], size: tuple[int, int], white: int) -> np.ndarray:
    """Returns the merged image by rational numbers: the general formula of the W3C, pixel by pixel."""
    width, height = size
    out = np.zeros((height, width, 4), np.int64)
    for y, x in np.ndindex(height, width):
        color, alpha = [Fraction(0)] * 3, Fraction(0)
        for layer in layers:
            j, i = y - layer.at[1], x - layer.at[0]
            if not layer.visible or not (0 <= j < layer.pixels.shape[0] and 0 <= i < layer.pixels.shape[1]):
                continue
            *source, share = (Fraction(int(v), WHITE[layer.pixels.dtype.name]) for v in layer.pixels[j, i])
            share *= Fraction(layer.opacity)
            union = share + alpha * (1 - share)
            if union == 0:
                continue
            mixed = [MIXTURES[layer.blend](b, s) for b, s in zip(color, source)]
            blended = [(1 - alpha) * s + alpha * m for s, m in zip(source, mixed)]
            color = [(share * s + (1 - share) * alpha * b) / union for s, b in zip(blended, color)]
            alpha = union
        level = round(alpha * white)  # half to even
        out[y, x] = [*(round(c * white) for c in color), level] if level else 0
    return out


@pytest.mark.parametrize("dtypes", [("uint8", "uint8"), ("uint16", "uint16"), ("uint8", "uint16"), ("uint16", "uint8")])
@pytest.mark.parametrize("ground", [False, True], ids=["transparent", "opaque"])
def test_merging_follows_the_formula(dtypes: tuple[str, str], ground: bool) -> None:
    layers = scene(dtypes[0])[not ground :] + scene(dtypes[1])[1:]
    rng = np.random.default_rng(9)
    layers += [
        Layer("", noise(3, 4, 4, dtypes[1], 20 + i), (3 * i % 9 - 2, i % 4), rng.random(), blend=blend)  # type: ignore[arg-type]
        for i, blend in enumerate(MIXTURES)
    ]
    merged = merged_of(layers, SIZE)
    deep = "uint16" in [layer.pixels.dtype.name for layer in layers]
    assert merged.dtype == (np.uint16 if deep else np.uint8)
    np.testing.assert_array_equal(merged, exact(layers, SIZE, 65535 if deep else 255))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("blend", ["normal", "multiply"])
def test_halves_are_rounded_to_even(dtype: str, blend: Any) -> None:
    below = np.full((1, 256, 4), WHITE[dtype], dtype)
    if blend == "normal":
        below[..., :3] = np.arange(256)[:, None]
    above = np.full((1, 256, 4), WHITE[dtype], dtype)
    above[..., :3] = 1 if blend == "normal" else np.arange(256)[:, None]
    layers = [Layer("", below), Layer("", above, opacity=0.5, blend=blend)]
    other = 1 if blend == "normal" else WHITE[dtype]
    expected = [round(Fraction(v + other, 2)) for v in range(256)]
    np.testing.assert_array_equal(merged_of(layers, (256, 1))[0, :, 0], expected)


def test_an_opaque_layer_is_shown_as_it_is() -> None:
    for dtype in ("uint8", "uint16"):
        layers = scene(dtype)
        np.testing.assert_array_equal(merged_of(layers[:1], SIZE), layers[0].pixels)
        np.testing.assert_array_equal(merged_of(layers[::-1], SIZE), layers[0].pixels)


def test_a_layer_alone_keeps_its_values_where_it_is_not_transparent() -> None:
    for blend in MIXTURES:
        pixels = noise(40, 50, seed=4)
        merged = merged_of([Layer("", pixels, blend=blend)], (50, 40))  # type: ignore[arg-type]
        np.testing.assert_array_equal(merged, np.where(pixels[..., 3:] > 0, pixels, 0))


@pytest.mark.parametrize("at", [(-20, 0), (11, 0), (0, 7), (0, -20), (2**31 - 1, -(2**31) + 1)])
def test_layers_beside_the_image_do_nothing(at: tuple[int, int]) -> None:
    ground = scene()[0]
    np.testing.assert_array_equal(merged_of([ground, Layer("", noise(3, 4), at)], SIZE), ground.pixels)
    assert not merged_of([Layer("", noise(3, 4), at)], SIZE).any()


def test_hidden_and_transparent_layers_do_nothing() -> None:
    ground, pixels = scene()[0], noise(7, 11)
    hidden = [
        Layer("", pixels, visible=False),
        Layer("", pixels, opacity=0),
        Layer("", pixels * np.uint8([1, 1, 1, 0])),
    ]
    np.testing.assert_array_equal(merged_of([ground, *hidden], SIZE), ground.pixels)
    assert not merged_of(hidden, SIZE).any()


def test_strips_and_threads_change_nothing(threads: int) -> None:
    layers = [Layer("", noise(150, 900)), Layer("", noise(140, 800, seed=1), (30, 20), 0.7, blend="multiply")]
    merged = merged_of(layers, (900, 150))
    for y in (0, 72, 73, 149):
        row = [Layer("", layers[0].pixels, (0, -y)), Layer("", layers[1].pixels, (30, 20 - y), 0.7, blend="multiply")]
        np.testing.assert_array_equal(merged[y : y + 1], merged_of(row, (900, 1)))


# Arguments


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"name": 3}, errors.DTypeError, "name: int, expected a str"),
        ({"name": "a\0b"}, errors.ArgumentError, r"name: 'a\\x00b' contains '\\x00', expected text that XML allows"),
        ({"name": "\ud800"}, errors.ArgumentError, "name: "),
        ({"name": "\uffff"}, errors.ArgumentError, "name: "),
        ({"pixels": [[1]]}, errors.DTypeError, "pixels: list, expected a numpy array of uint8, uint16"),
        ({"pixels": np.zeros((2, 2, 4))}, errors.DTypeError, "pixels: float64, expected a numpy array of uint8,"),
        ({"pixels": np.zeros((2, 2, 4), bool)}, errors.DTypeError, "pixels: bool"),
        ({"pixels": noise(2, 2, 3)}, errors.ShapeError, r"pixels: shape \[2, 2, 3\], expected \[H, W, C\] .* C = 4"),
        ({"pixels": noise(2, 2)[0]}, errors.ShapeError, r"pixels: shape \[2, 4\]"),
        ({"pixels": noise(2, 2)[:0]}, errors.ShapeError, r"pixels: shape \[0, 2, 4\]"),
        ({"at": 3}, errors.ArgumentError, r"at: 3, expected two whole numbers \(x, y\)"),
        ({"at": (1, 2, 3)}, errors.ArgumentError, "at: "),
        ({"at": (0.5, 1)}, errors.DTypeError, r"at: \(0.5, 1\), expected two whole numbers \(x, y\)"),
        ({"at": (True, 1)}, errors.DTypeError, "at: "),
        ({"at": (0, 1 << 31)}, errors.ArgumentError, "at: .* from -2147483647 to 2147483647"),
        ({"opacity": 1.5}, errors.ArgumentError, "opacity: 1.5, expected a number from 0 to 1"),
        ({"opacity": -0.1}, errors.ArgumentError, "opacity: -0.1"),
        ({"opacity": float("nan")}, errors.ArgumentError, "opacity: nan"),
        ({"opacity": "1"}, errors.DTypeError, "opacity: str '1', expected a number from 0 to 1"),
        ({"visible": 1}, errors.DTypeError, "visible: 1, expected True or False"),
        ({"blend": "hue"}, errors.ArgumentError, "blend: 'hue', expected one of 'normal', 'multiply'"),
    ],
)
def test_a_layer_says_what_is_wrong(fields: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{message}"):
        Layer(**{"name": "a", "pixels": noise(2, 2), **fields})


def test_a_layer_takes_the_numbers_of_numpy_and_shows_itself() -> None:
    layer = Layer("a", noise(2, 3), (np.int64(4), np.uint8(5)), np.float32(0.5), np.True_)  # type: ignore[arg-type]
    assert (layer.at, layer.opacity, layer.visible) == ((4, 5), 0.5, True)
    assert [type(x) for x in (*layer.at, layer.opacity, layer.visible)] == [int, int, float, bool]
    assert repr(layer) == "Layer('a', 3x2 at (4, 5), uint8, normal, opacity 0.5)"
    assert repr(Layer("a", noise(1, 1), visible=False)).endswith("opacity 1, hidden)")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"target": "a.png"}, errors.ArgumentError, r"target: a\.png, expected a path that ends in '\.ora'"),
        ({"target": 3}, errors.DTypeError, "target: int, expected a path or a binary file object"),
        ({"xmp": "<x/>"}, errors.DTypeError, "xmp: str, expected None or the bytes of an XMP packet"),
        ({"layers": []}, errors.ArgumentError, "layers: 0 of them, expected 1 to 500"),
        ({"layers": scene() * 126}, errors.ArgumentError, "layers: 504 of them"),
        ({"layers": scene()[0]}, errors.DTypeError, "layers: Layer, expected a list of Layers"),
        ({"layers": None}, errors.DTypeError, "layers: NoneType"),
        ({"layers": [*scene(), noise(2, 2)]}, errors.DTypeError, r"layers\[4\]: ndarray, expected a Layer"),
        ({"layers": [Layer("&" * 900_000, noise(1, 1))]}, errors.ArgumentError, "layers: their names need 4500"),
        ({"merged": noise(7, 11, 1)}, errors.ShapeError, r"merged: shape \[7, 11, 1\], .* C = 3 or 4"),
        ({"merged": np.zeros((7, 11, 3))}, errors.DTypeError, "merged: float64, expected a numpy array of uint8,"),
        ({"merged": Picture(noise(7, 11))}, errors.DTypeError, "merged: Picture"),
        ({"profile": "sRGB"}, errors.DTypeError, "profile: str, expected None or the bytes of an ICC profile"),
        ({"profile": b"sRGB"}, errors.ArgumentError, "profile: 4 bytes, expected an ICC profile: "),
        ({"dpi": 300}, errors.ArgumentError, "dpi: 300, expected None or two positive numbers"),
        ({"dpi": (300, 0)}, errors.ArgumentError, r"dpi: \(300, 0\)"),
        ({"dpi": (float("nan"), 1)}, errors.ArgumentError, "dpi: "),
        ({"dpi": ("300", "300")}, errors.DTypeError, "dpi: "),
    ],
)
def test_wrong_arguments_are_named_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = {"target": "a.ora", "layers": scene(), "merged": noise(7, 11), **changes}
    with pytest.raises(error, match=f"^{message}"):
        write_layers(**arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_profile_of_grey_is_refused() -> None:
    grey = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes().replace(b"RGB XYZ ", b"GRAYXYZ ")
    with pytest.raises(errors.ArgumentError, match=r"^profile: "):
        written(scene(), noise(7, 11), profile=grey)
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    with pytest.raises(errors.ArgumentError, match=r"^profile: a profile of Lab colours, expected RGB"):
        written(scene(), noise(7, 11), profile=lab)


@pytest.mark.parametrize(
    ("size", "error"),
    [(3, errors.ArgumentError), ((0, 4), errors.ArgumentError), ((4.5, 4), errors.DTypeError)],
    ids=str,
)
def test_a_wrong_size_is_named(size: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^size: .*, expected two whole numbers \(width, height\)"):
        merged_of(scene(), size)


def test_an_image_beyond_any_memory_is_named() -> None:
    with pytest.raises(
        errors.OutOfMemory, match=r"^size: not enough memory for an image of 2147483647 x 2147483647 pixels"
    ):
        merged_of(scene(), (2**31 - 1, 2**31 - 1))


# Files that are refused


def test_sources_of_other_kinds(tmp_path: Path) -> None:
    for wrong in (None, 3, noise(2, 2), [b"a"], Picture(noise(2, 2))):
        with pytest.raises(errors.DTypeError, match=r"^source: .*, expected a path, bytes or a binary file object"):
            read_layers(wrong)  # type: ignore[arg-type]
    with pytest.raises(errors.DTypeError, match="expected a binary one"):
        read_layers(io.StringIO("text"))  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match=r"source: .*missing\.ora"):
        read_layers(tmp_path / "missing.ora")
    with pytest.raises(IsADirectoryError):
        read_layers(tmp_path)
    with pytest.raises(errors.DecodeError, match="is a URL"):
        read_layers("https://example.org/a.ora")
    (tmp_path / "a.ora").write_bytes(png(noise(2, 2)))
    with pytest.raises(errors.DecodeError, match=r"a\.ora is a file of PNG, expected an OpenRaster file"):
        read_layers(tmp_path / "a.ora")
    for data, what in ((b"", "empty"), (b"%PDF-1.7", "a PDF file"), (packed({}), "not a known image file")):
        with pytest.raises(errors.DecodeError, match=f"bytes given is {what}.*, expected an OpenRaster file"):
            read_layers(data)


LAYER = '<layer src="data/a.png"/>'


REFUSED_STACKS = (
    ('<layer src="data/b.png"/>', "lacks 'data/b.png'"),
    ("<layer/>", "has a layer in '', expected a path inside"),
    ('<layer src="data/a.svg"/>', "lacks 'data/a.svg'"),
    ('<layer src="mimetype"/>', "has 'mimetype', which is .*, not PNG"),
    ('<layer src="data/a.png" composite-op="svg:hue"/>', "blended by 'svg:hue', expected one of svg:src-over, svg:"),
    ('<layer src="data/a.png" composite-op="krita:greater"/>', "blended by 'krita:greater'"),
    ('<layer src="data/a.png" opacity="1.1"/>', "has opacity='1.1' in stack.xml, expected a number from 0 to 1"),
    ('<layer src="data/a.png" opacity="nan"/>', "opacity='nan'"),
    ('<layer src="data/a.png" opacity="half"/>', "opacity='half'"),
    ('<layer src="data/a.png" x="1.5"/>', "has x='1.5' in stack.xml, expected a whole number"),
    ('<layer src="data/a.png" y=""/>', "has y=''"),
    (f'<layer src="data/a.png" x="{1 << 40}"/>', "has a layer '' that is not accepted: at: "),
    (f'<layer src="data/a.png" x="{"9" * 9000}"/>', "has x='9999"),
    ('<filter type="a"/>', "has a 'filter' in its stack, expected layers only"),
    (f'<stack opacity="0.5">{LAYER}</stack>', "has a group of layers '' with its own blend"),
    (f'<stack name="g" composite-op="svg:multiply">{LAYER}</stack>', "has a group of layers 'g'"),
    ('<stack><layer src="data/a.png" composite-op="svg:multiply"/></stack>', "has a group of layers"),
    (LAYER * 501, "has 501 layers, expected at most 500"),
    ("<a/>" * 10_000, "expected at most 10000 elements, 64 deep"),
    ("<stack>" * 100 + "</stack>" * 100, "expected at most 10000 elements, 64 deep"),
    ("<stack>", "is damaged: mismatched tag"),
    ("&entity;", "is damaged: undefined entity"),
)


@pytest.mark.parametrize(("body", "message"), REFUSED_STACKS, ids=[message[:40] for _, message in REFUSED_STACKS])
def test_stacks_that_are_refused(body: str, message: str) -> None:
    with pytest.raises(errors.DecodeError, match=message):
        read_layers(foreign(body, a=png(noise(2, 3))))


@pytest.mark.parametrize(
    "name",
    ["../a.png", "data/../../a.png", "/etc/a.png", "data\\a.png", "c:a.png", "./a.png", "data//a.png", "data/..", ".."],
)
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    """Even where the archive has a part of that name."""
    parts = parts_of(foreign(f'<layer src="{name}"/>'))
    parts[name] = png(noise(2, 3))
    with pytest.raises(errors.DecodeError, match=r"has a layer in .*, expected a path inside the file"):
        read_layers(packed(parts))


def test_entities_and_document_types_are_refused() -> None:
    parts = parts_of(foreign(LAYER, a=png(noise(2, 3))))
    body = parts["stack.xml"].decode()
    laughs = "".join(f'<!ENTITY e{i + 1} "{f"&e{i};" * 10}">' for i in range(9))
    for document in (
        f'<!DOCTYPE image [<!ENTITY e0 "ha">{laughs}]>{body.replace("<stack>", "<stack>&e9;")}',
        f'<!DOCTYPE image [<!ENTITY a SYSTEM "file:///etc/passwd">]>{body.replace("<stack>", "<stack>&a;")}',
        f'<!DOCTYPE image SYSTEM "http://example.org/a.dtd">{body}',
    ):
        parts["stack.xml"] = document.encode()
        with pytest.raises(errors.DecodeError, match=r"has a document type in stack\.xml"):
            read_layers(packed(parts))
    # In another encoding it would look like something else.
    for encoding in ("utf-16", "utf-7"):
        parts["stack.xml"] = f"<?xml version='1.0' encoding='{encoding}'?>{document}".encode(encoding)
        with pytest.raises(errors.DecodeError):
            read_layers(packed(parts))
    parts["stack.xml"] = b"\xef\xbb\xbf<?xml version='1.0' encoding='UTF-8'?>" + body.encode()
    assert len(read_layers(packed(parts))[0]) == 1


@pytest.mark.parametrize("name", ["mimetype", "stack.xml", "mergedimage.png", "data/layer001.png"])
def test_every_part_is_needed_but_the_thumbnail(name: str) -> None:
    parts = parts_of(written(scene(), noise(7, 11)))
    del parts["Thumbnails/thumbnail.png"]
    assert len(read_layers(packed(parts))[0]) == 4
    del parts[name]
    with pytest.raises(errors.DecodeError, match="not an OpenRaster file" if name == "mimetype" else f"lacks '{name}'"):
        read_layers(packed(parts))


def test_archives_that_are_something_else_or_damaged() -> None:
    parts = parts_of(written(scene(), noise(7, 11)))

    def refused(message: str, data: bytes | None = None, **changes: bytes) -> None:
        changed = {**parts, **{name.replace("_", "."): part for name, part in changes.items()}}
        with pytest.raises(errors.DecodeError, match=message):
            read_layers(packed(changed) if data is None else data)

    refused("not an OpenRaster file: its mimetype is 'application/x-krita'", mimetype=b"application/x-krita")
    refused(r"stack\.xml is not an image of one stack", stack_xml=b"<svg/>")
    refused(r"stack\.xml is not an image of one stack", stack_xml=b"<image w='1' h='1'/>")
    refused("has w='' in stack.xml", stack_xml=b"<image><stack/></image>")
    refused(r"is damaged: no element found", stack_xml=b"")
    refused(r"mergedimage\.png has 3 x 2 pixels, stack\.xml has 11 x 7", mergedimage_png=png(noise(2, 3)))
    refused("'mergedimage.png', which is a file of JPEG, not PNG", mergedimage_png=b"\xff\xd8\xff\xe0" + bytes(60))
    refused("mergedimage.png is damaged", mergedimage_png=png_claiming(11, 7))
    image = parts["mergedimage.png"]
    twice = image[:33] + chunk(b"IHDR", image[16:29]) + image[33:]
    refused("mergedimage.png is damaged", mergedimage_png=twice)

    stream = io.BytesIO(packed(parts))
    with zipfile.ZipFile(stream, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("stack.xml", stack_xml(""))
    refused("two of its parts have the same name", stream.getvalue())
    refused("by another method than Deflate", packed(parts, zipfile.ZIP_BZIP2))
    whole = packed(parts)
    encrypted = bytearray(whole)
    encrypted[whole.find(b"PK\1\2") + 8] |= 1
    refused("encrypted", bytes(encrypted))
    wrong = bytearray(whole)
    wrong[whole.find(b"<layer") + 2] ^= 1
    refused("is damaged: Bad CRC-32", bytes(wrong))


def test_a_file_that_ends_too_early_is_refused() -> None:
    data = written(scene(), noise(7, 11))
    for end in [*range(0, len(data), 97), len(data) - 1]:
        with pytest.raises(errors.DecodeError):
            read_layers(data[:end])
    parts = parts_of(data)
    for name in ("stack.xml", "mergedimage.png", "data/layer000.png"):
        for end in range(0, len(parts[name]), 7):
            if name != "stack.xml" or end < len(parts[name].rstrip()):
                with pytest.raises(errors.DecodeError):
                    read_layers(packed({**parts, name: parts[name][:end]}))


# Limits


def test_max_pixels() -> None:
    layers = [Layer("a", noise(10, 20)), Layer("b", noise(10, 19))]
    data = written(layers, noise(10, 20))
    assert len(read_layers(data, max_pixels=200)[0]) == 2
    with pytest.raises(errors.ImageTooLarge, match=r"mergedimage\.png has 20 x 10 pixels.*max_pixels=199"):
        read_layers(data, max_pixels=199)
    with pytest.raises(errors.ImageTooLarge, match=r"data/layer001\.png has 20 x 10 pixels"):
        read_layers(written(layers[::-1], noise(2, 3)), max_pixels=199)
    with pytest.raises(
        errors.ImageTooLarge, match=r"more than 0\.0008 million pixels together; at most 4 times max_pix"
    ):
        read_layers(written(layers * 2, noise(10, 20)), max_pixels=200)
    for wrong, error in ((0, errors.ArgumentError), (1.5, errors.DTypeError), (True, errors.DTypeError)):
        with pytest.raises(error, match=r"^max_pixels: "):
            read_layers(data, max_pixels=wrong)  # type: ignore[arg-type]


def peak_of(data: bytes, error: type[Exception], message: str) -> tuple[int, float]:
    """Returns the megabytes and the seconds that the refusal of a file takes."""
    read_layers(written(scene(), noise(7, 11)))  # what is loaded once is not of the refusal
    start = time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(error, match=message):
            read_layers(data)
        return tracemalloc.get_traced_memory()[1] >> 20, time.monotonic() - start
    finally:
        tracemalloc.stop()


def bomb(name: str) -> dict[str, bytes]:
    """Returns the parts of a file that claims, or unpacks to, much more than it has."""
    image, zeros = png(noise(2, 3)), bytes(72 << 20)
    body, parts = LAYER, {"mimetype": b"image/openraster", "mergedimage.png": image, "data/a.png": image}
    if name in ("stack.xml", "mimetype"):
        return {**parts, "stack.xml": stack_xml(body), name: zeros}
    if name == "chunk":
        parts["data/a.png"] = with_chunk(image, b"teXt", zeros)
    elif name == "chunks":
        body, parts["data/a.png"] = LAYER * 3, with_chunk(image, b"teXt", zeros[: 24 << 20])
    elif name == "layer":
        parts["data/a.png"] = png_claiming(60_000, 60_000)
    elif name == "layer below the limit":
        parts["data/a.png"] = png_claiming(15_000, 15_000)
    elif name == "layers together":
        body, parts["data/a.png"] = LAYER * 5, png_claiming(15_000, 15_000)
    elif name == "merged":
        parts["mergedimage.png"] = png_claiming(60_000, 60_000)
    elif name == "profiles":
        packed_zeros = zlib.compress(bytes(1 << 23))[:-8]
        for i in range(20):
            parts[f"data/{i}.png"] = with_chunk(image, b"iCCP", b"%d\0\0" % i + packed_zeros)
        body = "".join(f'<layer src="data/{i}.png"/>' for i in range(20))
    elif name == "parts":
        parts |= {str(i): b"" for i in range(5000)}
    return {**parts, "stack.xml": stack_xml(body)}


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("stack.xml", errors.DecodeError, "has 75497472 bytes in 'stack.xml', expected at most"),
        ("mimetype", errors.DecodeError, "has 75497472 bytes in 'mimetype'"),
        ("chunk", errors.DecodeError, "bytes in 'data/a.png', expected at most"),
        ("chunks", errors.DecodeError, "bytes in 'data/a.png', expected at most"),
        ("layer", errors.ImageTooLarge, "60000 x 60000 pixels"),
        ("layer below the limit", errors.DecodeError, "its header claims 15000 x 15000 pixels, which"),
        ("layers together", errors.ImageTooLarge, "more than 1024 million pixels together"),
        ("merged", errors.ImageTooLarge, "60000 x 60000 pixels"),
        ("profiles", errors.DecodeError, "more than 16 colour profiles"),
        ("parts", errors.DecodeError, "more than 4096 parts"),
    ],
)
def test_bombs_are_refused_in_little_memory(name: str, error: type[Exception], message: str) -> None:
    data = packed(bomb(name), zipfile.ZIP_DEFLATED)
    assert len(data) < 1 << 20
    megabytes, seconds = peak_of(data, error, message)
    # Of the profiles 8 MB each are inflated, and metadata are read up to 64 MB.
    assert megabytes < {"profiles": 32, "chunks": 80}.get(name, 8), megabytes
    assert seconds < 30


def test_one_profile_in_every_layer_is_inflated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = written([Layer("", noise(2, 2))] * 100, noise(7, 11), profile=profile)
    calls = []
    png_module = sys.modules["pyharmony.io._png"]
    inflate = png_module._inflate
    monkeypatch.setattr(png_module, "_inflate", lambda packed: calls.append(1) or inflate(packed))
    assert read_layers(data)[1].profile == profile
    assert len(calls) == 1


def test_a_size_that_lies_is_refused() -> None:
    """The directory says fewer bytes than there are, or many more."""
    parts = parts_of(written(scene(), noise(7, 11)))
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        for size in (0, 20, 40, 0xFFFFFFFE):
            data = bytearray(packed(parts, method))
            at = data.find(b"mergedimage.png", data.find(b"PK\1\2")) - 46
            assert data[at : at + 4] == b"PK\1\2"
            struct.pack_into("<I", data, at + 24, size)
            with pytest.raises(errors.DecodeError):
                read_layers(bytes(data))
