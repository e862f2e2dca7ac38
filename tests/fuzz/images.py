"""Small files of every image format, with metadata and profile, from which inputs are mutated."""

from __future__ import annotations

import io
import lzma
import struct
import zlib
from typing import Any

import cv2
import imagecodecs
import numpy as np
import tifffile
from PIL import Image, ImageCms, features

from tests.images import tiffs


def seeds() -> dict[str, bytes]:
    """Returns small files of every format, with metadata and profile."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:40, 0:56]
    rgb = np.stack([x * 4, y * 6, (x + y) * 2], -1).astype(np.uint8)
    rgb[10:20] = rng.integers(0, 256, (10, 56, 3))
    rgba = np.dstack([rgb, rgb[..., 1]])
    deep, floats = rgb.astype(np.uint16) * 257, (rgb / 255).astype(np.float32)
    image, profile = Image.fromarray(rgb), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Example", 6
    exif.get_ifd(0x8769)[0x829A] = 0.008
    exif.get_ifd(0x8825)[2] = (48.0, 51.0, 30.0)
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><a exif:GPSLatitude='1'><exif:GPSLongitude>2</exif:GPSLongitude></a>"
    files: dict[str, bytes] = {}

    def pillow(name: str, picture: Any, format: str, **options: Any) -> None:
        stream = io.BytesIO()
        picture.save(stream, format, **options)
        files[name] = stream.getvalue()

    extra = {"icc_profile": profile, "exif": exif.tobytes()}
    pillow("jpeg", image, "JPEG", quality=90, dpi=(72, 72), xmp=xmp, **extra)
    pillow("jpeg progressive", image, "JPEG", progressive=True, **extra)
    pillow("jpeg restart", image, "JPEG", restart_marker_blocks=2)
    pillow("jpeg grey", image.convert("L"), "JPEG")
    pillow("jpeg cmyk", image.convert("CMYK"), "JPEG")
    pillow("png", image, "PNG", dpi=(72, 72), **extra)
    pillow("png palette", image.quantize(20), "PNG", transparency=3)
    pillow("png grey", image.convert("L"), "PNG", transparency=9)
    pillow("png la", image.convert("LA"), "PNG")
    pillow("png bilevel", image.convert("1"), "PNG")
    pillow("png animated", image, "PNG", save_all=True, append_images=[image.rotate(90)])
    pillow("webp", image, "WEBP", xmp=xmp, **extra)
    pillow("webp lossless", Image.fromarray(rgba), "WEBP", lossless=True)
    pillow("webp animated", image, "WEBP", save_all=True, append_images=[image.rotate(90)])
    pillow("bmp", image, "BMP")
    pillow("bmp palette", image.quantize(20), "BMP")
    rle = b"".join(bytes((28, 1, 28, 2, 0, 0)) for _ in range(40)) + b"\0\1"
    header = struct.pack("<IIIHHIIIIII", 40, 56, 40, 1, 8, 1, len(rle), 0, 0, 256, 0)
    offset = 14 + 40 + 1024
    files["bmp rle"] = (
        b"BM" + struct.pack("<IHHI", offset + len(rle), 0, 0, offset) + header + bytes(range(256)) * 4 + rle
    )
    for name, compression in (("raw", "raw"), ("lzw", "tiff_lzw"), ("deflate", "tiff_adobe_deflate"), ("jpeg", "jpeg"),
                              ("packbits", "packbits")):  # fmt: skip
        pillow(f"tiff {name}", image, "TIFF", compression=compression, icc_profile=profile)
    pillow("tiff exif", image, "TIFF", **extra)
    pillow("tiff group4", image.convert("1"), "TIFF", compression="group4")
    pillow("tiff cmyk", image.convert("CMYK"), "TIFF")
    pillow("tiff palette", image.quantize(20), "TIFF")
    pillow("tiff pages", image, "TIFF", save_all=True, append_images=[image.rotate(90)])
    kinds: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
        "": (rgb, {"lossless": True}),
        " lossy": (rgb, {"level": 80}),
        " 16 alpha": (rgba.astype(np.uint16) * 257, {"lossless": True}),
        " grey float": (floats[..., 0], {"lossless": True}),
        " 10 bits": (deep >> 6, {"lossless": True, "bitspersample": 10}),
        " animated": (np.stack([rgb, rgb[::-1]]), {"lossless": True}),
    }
    for name, (pixels, options) in kinds.items():
        files[f"jxl{name}"] = imagecodecs.jpegxl_encode(pixels, **options)
    files["jxl jpeg"] = imagecodecs.jpegxl_encode_jpeg(files["jpeg"])
    boxes = ((b"Exif", bytes(4) + exif.tobytes()[6:]), (b"brob", b"xml " + imagecodecs.brotli_encode(xmp)))
    files["jxl boxes"] = imagecodecs.jpegxl_encode(rgb, lossless=True, usecontainer=True) + b"".join(
        struct.pack(">I4s", 8 + len(data), kind) + data for kind, data in boxes
    )
    if features.check("avif"):
        pillow("avif", image, "AVIF", speed=10, **extra)
    for name, pixels in (("16", deep), ("float", floats), ("half", floats.astype(np.float16))):
        for kind, options in (
            ("raw", {"rowsperstrip": 7}),
            ("deflate", {"compression": "zlib", "tile": (16, 32)}),
            ("big", {"bigtiff": True, "byteorder": ">", "rowsperstrip": 9, "iccprofile": profile}),
        ):
            stream = io.BytesIO()
            tifffile.imwrite(stream, pixels, photometric="rgb", **options)
            files[f"tiff {name} {kind}"] = stream.getvalue()
    files["tiff 16 lzw"] = cv2.imencode(".tiff", deep, [cv2.IMWRITE_TIFF_COMPRESSION, 5])[1].tobytes()
    files["tiff float lzw"] = cv2.imencode(".tiff", floats, [cv2.IMWRITE_TIFF_COMPRESSION, 5])[1].tobytes()
    layouts: dict[str, tuple[np.ndarray, int, int, dict[str, Any]]] = {
        "12 bits": (deep >> 4, 12, 2, {"rows": 9}),
        "4 bits planar": (rgb >> 4, 4, 2, {"planar": True}),
        "32 bits": (deep.astype(np.uint32) * 65537, 32, 2, {"tile": (16, 16)}),
        "16 planar lzw": (deep, 16, 2, {"planar": True, "compression": 5, "compress": imagecodecs.lzw_encode}),
        "16 zstd": (deep, 16, 2, {"compression": 50000, "compress": imagecodecs.zstd_encode, "predictor": 2}),
        "16 packbits": (deep, 16, 2, {"compression": 32773, "compress": imagecodecs.packbits_encode}),
        "16 lzma": (deep, 16, 2, {"compression": 34925, "compress": lzma.compress, "rows": 8}),
        "16 palette": (deep[..., :1] >> 8, 16, 3, {"more": {320: (3, list(range(65536)) * 3)}}),
        "16 cmyk": (np.dstack([deep, deep[..., :1]]), 16, 5, {}),
    }
    for name, (values, bits, photometric, more) in layouts.items():
        files[f"tiff {name}"] = tiffs.encode(values, bits, photometric, **more)
    files["tiff ycbcr"] = tiffs.subsampled(rgb, 2, 2, 8)[0]
    strip = files["webp"]
    files["tiff webp"] = tiffs.encode(rgb, 8, 2, compression=50001, compress=lambda _: strip)
    for name, tag in (
        ("cicp", b"cICP" + bytes((12, 13, 0, 1))),
        ("gama", b"gAMA" + struct.pack(">I", 55556)),
        ("chrm", b"cHRM" + struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)),
    ):
        part = struct.pack(">I", len(tag) - 4) + tag + struct.pack(">I", zlib.crc32(tag))
        files[f"png {name}"] = files["png la"][:33] + part + files["png la"][33:]
    for name, pixels in (("rgb", deep), ("rgba", rgba.astype(np.uint16) * 257), ("grey", deep[..., 0])):
        files[f"png 16 {name}"] = cv2.imencode(".png", pixels)[1].tobytes()
    return files
