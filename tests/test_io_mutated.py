"""Damaged files: whatever the bytes, reading them gives an image or one of our errors, soon and in little memory.

Seeds of every format are made here; a mutation flips bits, cuts, splices, copies, writes extreme numbers into
lengths and sizes, and puts checksums right again so that decoders see what lies behind them.
"""

from __future__ import annotations

import io
import lzma
import os
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, features

from tests import tiffs

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
tifffile = pytest.importorskip("tifffile", reason="tifffile is not installed")
imagecodecs = pytest.importorskip("imagecodecs", reason="imagecodecs is not installed")

pytestmark = pytest.mark.house

#: The bytes of address space and of resident memory that a worker may take, and the seconds of a file.
ADDRESSES, RESIDENT, SECONDS = 2 << 30, 1500 << 20, 5

EXTREME = (0, 1, 2, 7, 8, 12, 13, 127, 128, 255, 256, 4096, 32767, 32768, 40000, 65534, 65535, 65536, 1 << 20,
           (1 << 24) - 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)  # fmt: skip


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
    found: dict[str, bytes] = {}

    def pillow(name: str, picture: Any, format: str, **options: Any) -> None:
        stream = io.BytesIO()
        picture.save(stream, format, **options)
        found[name] = stream.getvalue()

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
    found["bmp rle"] = (
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
            found[f"tiff {name} {kind}"] = stream.getvalue()
    found["tiff 16 lzw"] = cv2.imencode(".tiff", deep, [cv2.IMWRITE_TIFF_COMPRESSION, 5])[1].tobytes()
    found["tiff float lzw"] = cv2.imencode(".tiff", floats, [cv2.IMWRITE_TIFF_COMPRESSION, 5])[1].tobytes()
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
        found[f"tiff {name}"] = tiffs.encode(values, bits, photometric, **more)
    found["tiff ycbcr"] = tiffs.subsampled(rgb, 2, 2, 8)[0]
    strip = found["webp"]
    found["tiff webp"] = tiffs.encode(rgb, 8, 2, compression=50001, compress=lambda _: strip)
    for name, tag in (
        ("cicp", b"cICP" + bytes((12, 13, 0, 1))),
        ("gama", b"gAMA" + struct.pack(">I", 55556)),
        ("chrm", b"cHRM" + struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)),
    ):
        part = struct.pack(">I", len(tag) - 4) + tag + struct.pack(">I", zlib.crc32(tag))
        found[f"png {name}"] = found["png la"][:33] + part + found["png la"][33:]
    for name, pixels in (("rgb", deep), ("rgba", rgba.astype(np.uint16) * 257), ("grey", deep[..., 0])):
        found[f"png 16 {name}"] = cv2.imencode(".png", pixels)[1].tobytes()
    return found


def spots(data: bytes) -> list[int]:
    """Returns where lengths, tags and sizes lie: starts of every chunk, segment, field or box, and the first bytes."""
    at, where = 0, list(range(min(len(data), 64)))
    if data[:4] == b"\x89PNG":
        at = 8
        while at + 8 <= len(data) and len(where) < 2000:
            where += range(at, min(at + 24, len(data)))
            at += 12 + struct.unpack_from(">I", data, at)[0]
    elif data[:2] == b"\xff\xd8":
        at = 2
        while at + 4 <= len(data) and data[at] == 0xFF:
            where += range(at, min(at + 24, len(data)))
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    elif data[:4] == b"RIFF":
        at = 12
        while at + 8 <= len(data) and len(where) < 2000:
            where += range(at, min(at + 24, len(data)))
            size = struct.unpack_from("<I", data, at + 4)[0]
            at += 8 + size + size % 2
    elif data[:2] in (b"II", b"MM"):
        order = "<" if data[:2] == b"II" else ">"
        big = struct.unpack_from(order + "H", data, 2)[0] == 43
        at = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0]
        if at + 8 < len(data):
            where += range(at, min(at + (600 if big else 350), len(data)))
    elif data[4:8] == b"ftyp":
        where += range(min(len(data), 600))
    return where


def checksums_put_right(data: bytearray) -> None:
    at = 8
    while at + 12 <= len(data):
        size = struct.unpack_from(">I", data, at)[0]
        if at + 12 + size > len(data):
            return
        struct.pack_into(">I", data, at + 8 + size, zlib.crc32(data[at + 4 : at + 8 + size]))
        at += 12 + size


def mutated(data: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    out = bytearray(data)
    where = spots(data)

    def place() -> int:
        if where and rng.random() < 0.6:
            return min(int(where[rng.integers(len(where))]), max(len(out) - 1, 0))
        return int(rng.integers(max(len(out), 1)))

    for _ in range(int(rng.choice([1, 1, 1, 2, 3, 8]))):
        kind = rng.integers(10)
        at = place()
        if not out:
            break
        if kind <= 1:
            out[at] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            out[at] = int(rng.integers(256))
        elif kind in (3, 4, 5):  # a number
            size, order = int(rng.choice([1, 2, 2, 4, 4, 8])), str(rng.choice(["little", "big"]))
            value = int(rng.choice(EXTREME)) if rng.random() < 0.8 else int(rng.integers(1 << 32))
            out[at : at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, order)
        elif kind == 6:
            del out[at : at + int(rng.integers(1, 40))]
        elif kind == 7:
            if rng.random() < 0.3:
                del out[at:]
            else:
                out[at:at] = bytes(rng.integers(0, 256, int(rng.integers(1, 30)), np.uint8))
        elif kind == 8:  # a piece of its own, elsewhere
            start, length = place(), int(rng.integers(1, 200))
            piece = out[start : start + length]
            out[at : at + (length if rng.random() < 0.5 else 0)] = piece
        else:  # a piece of another file
            other = others[int(rng.integers(len(others)))]
            start = int(rng.integers(len(other)))
            out[at : at + int(rng.integers(200))] = other[start : start + int(rng.integers(400))]
    if bytes(out[:4]) == b"\x89PNG" and rng.random() < 0.8:
        checksums_put_right(out)
    return bytes(out)


WORKER = """
import os, resource, struct, sys, logging
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
logging.disable(logging.CRITICAL)
import warnings
warnings.simplefilter("ignore")
import pyharmony
from pyharmony import errors
stdin, stdout = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
while True:
    head = stdin.read(4)
    if len(head) < 4:
        break
    data = stdin.read(struct.unpack("<I", head)[0])
    try:
        picture = pyharmony.load(data)
        size = picture.size if isinstance(picture.size, tuple) else picture.shape
        result = f"ok {size}"
        del picture
    except errors.PyHarmonyError as error:
        result = type(error).__name__
    except BaseException as error:
        result = f"WRONG {type(error).__name__}: {error}"
    with open("/proc/self/status") as status:  # ru_maxrss would begin with the parent's
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024
    stdout.write(f"{peak} {' '.join(result.split())}\\n".encode())
    stdout.flush()
"""


class Worker:
    """A process that reads files; it is killed where one takes too long."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None

    def read(self, data: bytes) -> tuple[int, str]:
        """Reads a file; returns the largest resident memory so far, and the outcome."""
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen(
                [sys.executable, "-c", WORKER, str(ADDRESSES)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            )  # fmt: skip
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        started = time.monotonic()
        try:
            self.process.stdin.write(struct.pack("<I", len(data)) + data)
            self.process.stdin.flush()
        except BrokenPipeError:
            return 0, f"CRASH {self.process.wait()}"
        line = self._line(started + 4 * SECONDS)
        taken = time.monotonic() - started
        if line is None:
            self.process.kill()
            self.process.wait()
            return 0, "HANG"
        if not line:
            return 0, f"CRASH {self.process.wait()}"
        peak, _, result = line.decode().partition(" ")
        return int(peak), result.strip() if taken < SECONDS else f"SLOW {taken:.1f} s: {result}"

    def _line(self, until: float) -> bytes | None:
        import select

        assert self.process is not None
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], max(until - time.monotonic(), 0))
        return self.process.stdout.readline() if ready else None

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for stream in (self.process.stdin, self.process.stdout):
                if stream is not None:
                    stream.close()


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker()
    yield made
    made.close()


def run(worker: Worker, number: int, seed: int, folder: Path) -> dict[str, int]:
    """Counts the outcomes of so many mutated files; fails with the file where one went wrong."""
    names, files = zip(*sorted(seeds().items()))
    rng = np.random.default_rng(seed)
    counts: dict[str, int] = {}
    wrong = []
    for i in range(number):
        name = names[i % len(names)]
        data = mutated(files[i % len(files)], list(files), rng)
        peak, result = worker.read(data)
        word = result.partition(" ")[0]
        counts[word] = counts.get(word, 0) + 1
        if word in ("WRONG", "CRASH", "HANG", "SLOW") or peak > RESIDENT:
            path = folder / f"{i}.{name.replace(' ', '_')}"
            path.write_bytes(data)
            wrong.append(f"{path}: {result}, {peak >> 20} MB")
            if peak > RESIDENT:
                worker.close()
    assert not wrong, "\n".join(wrong)
    return counts


def test_the_seeds_are_read(worker: Worker) -> None:
    for name, data in seeds().items():
        _, result = worker.read(data)
        assert result.startswith("ok"), (name, result)


def test_mutated_files(worker: Worker, tmp_path: Path) -> None:
    counts = run(worker, 2_000, 1, tmp_path)
    # Both ways are taken: some mutations harm nothing, most harm the file.
    assert counts["ok"] > 200
    assert counts["DecodeError"] > 400


@pytest.mark.full
def test_many_more_mutated_files(worker: Worker, tmp_path: Path) -> None:
    run(worker, 200_000, 2, tmp_path)
