"""The promises of every image function, a test for each row: kinds, layout, colour, range, mask, position and the rest.

The details of each are tested where they live: `test_blend.py`, `test_io*.py`, `test_cli.py`.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib
import importlib.util
import inspect
import io
import itertools
import logging
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

import pyharmony as ph
from pyharmony import blend, color, composition, edits, errors, placement
from pyharmony.harmonization import ColorMap
from pyharmony.io import Picture
from pyharmony.learn import metrics

from .. import blends, skips
from ..image_files import by_pillow as encoded
from ..shared import ROOT

pytestmark = pytest.mark.chains

#: Functions that treat every channel alike; a network knows red from blue.
CHANNELWISE = blends.BLENDS
BLENDS = (*CHANNELWISE, *(blends.NETWORKS if importlib.util.find_spec("torch") else ()))
POSITION = (9, 4)


@functools.cache
def network() -> Any:
    """Returns a small GP-GAN with random weights."""
    import torch

    from pyharmony.networks import models

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return models.create("gp_gan", width=4, bottleneck=24, critic_width=4)


def call(name: str, *args: Any, **options: Any) -> Any:
    if name == "gp_gan":
        options["network"] = network()
    return getattr(blend, name)(*args, **options)


@pytest.fixture
def src() -> np.ndarray:
    return np.random.default_rng(0).integers(80, 177, (24, 30, 3), np.uint8)


@pytest.fixture
def dst() -> np.ndarray:
    y, x = np.mgrid[:40, :56]
    return np.stack([70 + 2 * x, 70 + 2 * y, 90 + x + y], -1).astype(np.uint8)


@pytest.fixture
def mask() -> np.ndarray:
    y, x = np.mgrid[:24, :30]
    inside = np.clip(1.2 - np.hypot((y - 12) / 10, (x - 15) / 13), 0, 0.2) / 0.2
    return np.rint(255 * inside).astype(np.uint8)


def same(a: Any, b: Any) -> None:
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.parametrize("name", BLENDS)
def test_kinds(name: str, src: np.ndarray, dst: np.ndarray, mask: np.ndarray, tmp_path: Path) -> None:
    """The result is of the kind of the destination, whatever the kinds of the others."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    expected = call(name, src, dst, mask, at=POSITION)
    assert type(expected) is np.ndarray
    result = call(name, Image.fromarray(src), dst, encoded(mask), at=POSITION)
    assert type(result) is np.ndarray
    same(result, expected)
    for kind in ("pil", "path", "picture"):
        mixed = call(name, src, of_kind(kind, dst, tmp_path), mask, at=POSITION)
        assert type(mixed) is (Picture if kind == "picture" else Image.Image)
        same(mixed.pixels if kind == "picture" else mixed, expected)
    tensor = call(
        name, Image.fromarray(src), of_kind("torch", dst, tmp_path), of_kind("path", mask, tmp_path), at=POSITION
    )
    assert isinstance(tensor, torch.Tensor)
    same(tensor.permute(1, 2, 0), expected)
    deep = tmp_path / "deep.png"
    ph.save(dst.astype(np.uint16) * 257, deep)
    result = call(name, of_kind("path", src, tmp_path), deep, of_kind("path", mask, tmp_path), at=POSITION)
    assert type(result) is np.ndarray
    assert result.dtype == np.uint16
    same(result, call(name, src.astype(np.uint16) * 257, dst.astype(np.uint16) * 257, mask, at=POSITION))


@pytest.mark.parametrize("name", BLENDS)
def test_layout(name: str, src: np.ndarray, dst: np.ndarray, mask: np.ndarray) -> None:
    """[H, W], [H, W, C] and [N, H, W, C] of any strides are taken, and never guessed."""
    expected = call(name, src, dst, mask, at=POSITION)
    same(call(name, src[None], dst[None], mask, at=POSITION)[0], expected)
    same(
        call(name, src[..., 0], dst[..., 0], mask, at=POSITION),
        call(name, src[..., :1], dst[..., :1], mask, at=POSITION)[..., 0],
    )
    src_, dst_ = (np.ascontiguousarray(a[..., ::-1])[..., ::-1] for a in (src, np.swapaxes(dst, 0, 1)))
    same(call(name, src_, np.swapaxes(dst_, 0, 1), mask, at=POSITION), expected)
    with pytest.raises(errors.ShapeError, match=r"numpy.moveaxis\(x, -3, -1\)"):
        call(name, np.moveaxis(src, -1, 0), np.moveaxis(dst, -1, 0), mask, at=POSITION)
    with pytest.raises(errors.ShapeError, match=r"pyharmony\.ops accepts any number of channels"):
        call(name, np.zeros((9, 9, 7), np.uint8), np.zeros((9, 9, 7), np.uint8))


def test_colour(src: np.ndarray, dst: np.ndarray, mask: np.ndarray) -> None:
    """Channels count by themselves: blue first gives the same as red first, turned."""
    for name in CHANNELWISE:
        same(
            call(name, src[..., ::-1], dst[..., ::-1], mask, at=POSITION),
            call(name, src, dst, mask, at=POSITION)[..., ::-1],
        )


@pytest.mark.parametrize("name", BLENDS)
def test_dtype_and_range(name: str, src: np.ndarray, dst: np.ndarray, mask: np.ndarray) -> None:
    for dtype, white in (("uint8", 255), ("uint16", 65535), ("float16", 1), ("float32", 1), ("float64", 1)):
        s, d = ((x / 255 * white).astype(dtype) for x in (src, dst))
        result = call(name, s, d, mask, at=POSITION)
        assert result.dtype == np.dtype(dtype)
    bright = np.full((24, 30, 3), 7.5, np.float32)
    assert call(name, bright, bright + 1, mask).max() >= 7.5 + 0.9
    with pytest.raises(errors.DTypeError, match="dtype bool"):
        call(name, src > 100, dst > 100, mask, at=POSITION)
    bright[12, 15, 2] = np.inf
    with pytest.raises(errors.ArgumentError, match=r"src: inf at pixel \(y=12, x=15\), channel 2"):
        call(name, bright, np.zeros_like(bright), mask)


@pytest.mark.parametrize("name", BLENDS)
def test_mask(name: str, src: np.ndarray, dst: np.ndarray, mask: np.ndarray) -> None:
    expected = call(name, src, dst, mask, at=POSITION)
    rgba = np.dstack([np.zeros_like(src), mask])
    for other in (mask.astype(np.uint16) * 257, Image.fromarray(mask), Image.fromarray(rgba), encoded(rgba)):
        same(call(name, src, dst, other, at=POSITION), expected)
    hard = mask > 127
    for other in (hard, Image.fromarray(hard), hard.astype(np.float64)):
        same(call(name, src, dst, other, at=POSITION), call(name, src, dst, hard * np.uint8(255), at=POSITION))
    same(
        call("alpha", np.dstack([src, mask]), dst, at=POSITION, decontaminate=False),
        call("alpha", src, dst, mask, at=POSITION),
    )
    with pytest.raises(errors.ShapeError, match="never resized"):
        call(name, src, dst, mask[1:], at=POSITION)
    with pytest.raises(errors.MaskError, match="pass `mask > 0`"):
        call(name, src, dst, hard.astype(np.uint8), at=POSITION)
    with pytest.raises(errors.MaskError, match="a colour image"):
        call(name, src, dst, Image.fromarray(src), at=POSITION)


@pytest.mark.parametrize("name", BLENDS)
def test_position(name: str, src: np.ndarray, dst: np.ndarray, mask: np.ndarray) -> None:
    """The first pixel of src lands at `at`, whatever the mask; negative, outside and parts of a pixel too."""
    spot = np.zeros_like(mask)
    spot[3:20, 2:21] = mask[3:20, 2:21]
    for x, y in ((9, 4), (-7, 20), (50, -9)):
        result = call(name, src, dst, spot, at=(x, y))
        inside = np.zeros((40 + 2000, 56 + 2000), bool)
        inside[1000 + y : 1024 + y, 1000 + x : 1030 + x] = spot > 0
        same(result[~inside[1000:1040, 1000:1056]], dst[~inside[1000:1040, 1000:1056]])
    with pytest.warns(errors.UnchangedWarning, match="the object lies outside dst"):
        same(call(name, src, dst, spot, at=(400, 0)), dst)
    half = blend.alpha(src, dst, mask, at=(9.5, 4))
    between = (blend.alpha(src, dst, mask, at=(9, 4)).astype(float) + blend.alpha(src, dst, mask, at=(10, 4))) / 2
    assert np.abs(half - between).mean() < 20  # noise is smoothed by the one and sharpened by the other
    with pytest.raises(errors.ShapeError, match=r"pass at=\(x, y\)"):
        call(name, src, dst, mask)


@pytest.mark.parametrize("name", BLENDS)
def test_outside_the_mask(name: str, src: np.ndarray, dst: np.ndarray, mask: np.ndarray) -> None:
    frame = np.zeros((40, 56), np.uint8)
    frame[4:28, 9:39] = mask
    for d in (dst, Image.fromarray(dst), encoded(dst)):
        result = np.asarray(call(name, src, d, mask, at=POSITION))
        same(result[frame == 0], dst[frame == 0])
        assert (result[frame > 0] != dst[frame > 0]).any()


@pytest.mark.parametrize("name", BLENDS)
def test_alpha(name: str, src: np.ndarray, dst: np.ndarray, mask: np.ndarray) -> None:
    """The alpha of src is its mask, which lies over that of dst."""
    alpha = np.random.default_rng(2).integers(0, 256, dst.shape[:2], np.uint8)
    cut = Image.fromarray(np.dstack([src, mask]))
    result = call(name, cut, Image.fromarray(np.dstack([dst, alpha])), at=POSITION)
    assert result.mode == "RGBA"
    over = np.asarray(blend.placed_mask(src, dst, mask, at=POSITION)) / 255
    same(np.asarray(result)[..., 3], np.rint(255 * over + (1 - over) * alpha).astype(np.uint8))
    same(
        np.asarray(call(name, cut, Image.fromarray(np.dstack([dst, alpha])), at=POSITION, keep_alpha=True))[..., 3],
        alpha,
    )
    same(np.asarray(result)[..., :3], call(name, cut, dst, at=POSITION))
    grey = call(name, cut, Image.fromarray(dst[..., 0]), at=POSITION)
    assert grey.mode == "L"
    assert (np.asarray(grey) != dst[..., 0]).any()


def test_exif_and_icc(src: np.ndarray, dst: np.ndarray, mask: np.ndarray, tmp_path: Path) -> None:
    """Orientation is applied and reset; dst's profile, EXIF and resolution are kept, its GPS only when asked for."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Maker", 6
    exif.get_ifd(0x8825)[1] = "N"
    turned_file = encoded(np.ascontiguousarray(np.rot90(dst)), "PNG", exif=exif, icc_profile=profile, dpi=(300, 300))
    result = blend.alpha(src, turned_file, mask, at=POSITION)
    same(result, blend.alpha(src, dst, mask, at=POSITION))
    target = tmp_path / "out.png"
    assert blend.alpha(src, turned_file, mask, at=POSITION, out=target) == target
    with Image.open(target) as image:
        exif_read = image.getexif()
        assert exif_read[0x010F] == "Maker"
        assert exif_read.get(0x0112, 1) == 1
        assert not exif_read.get_ifd(0x8825)
        assert image.info["icc_profile"] == profile
        assert round(image.info["dpi"][0]) == 300
    blend.alpha(src, turned_file, mask, at=POSITION, out=target, keep_gps=True)
    with Image.open(target) as image:
        assert image.getexif().get_ifd(0x8825)[1] == "N"


@pytest.mark.parametrize("name", BLENDS)
def test_a_blend_in_a_file_says_that_it_is_a_composite(
    name: str, src: np.ndarray, dst: np.ndarray, mask: np.ndarray, tmp_path: Path
) -> None:
    paths = tmp_path / "src.png", tmp_path / "dst.png"
    for path, pixels in zip(paths, (src, dst)):
        ph.save(pixels, path)
    sums = [f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}".encode() for path in paths]

    def told(*images: Any, **options: Any) -> bytes:
        return ph.io.read(call(name, *images, at=POSITION, out=tmp_path / "out.png", **options)).xmp or b""

    xmp = told(*paths, mask)
    assert xmp.count(b"digitalsourcetype/compositeCapture") == 1
    assert all(xmp.count(one) == 1 for one in sums) and xmp.count(b"sha256:") == 2
    # Of arrays there is no sum. What keeps metadata without a file tells it too.
    xmp = told(src, dst, mask)
    assert b"compositeCapture" in xmp and b"sha256:" not in xmp
    assert b"compositeCapture" in (call(name, src, Picture(dst), mask, at=POSITION).xmp or b"")
    # A copy of dst and an edit are no composites.
    with pytest.warns(errors.UnchangedWarning):
        assert told(*paths, np.zeros_like(mask)) == b""
    hole = np.zeros(dst.shape[:2], bool)
    hole[9:20, 9:20] = True
    blend.inpaint(paths[1], hole, out=tmp_path / "out.png")
    assert ph.io.read(tmp_path / "out.png").xmp is None


@pytest.mark.parametrize(("name", "suffix"), list(zip(BLENDS, itertools.cycle(("png", "tif")))))
def test_16_bit_files_keep_their_levels_through_a_blend(name: str, suffix: str, tmp_path: Path) -> None:
    y, x = np.mgrid[:64, :96]
    deep = (20007 + 60 * x + 37 * y).astype(np.uint16)
    photo, cut, mask = np.dstack([deep, deep[:, ::-1], 65535 - deep]), deep[::-1, ::-1], np.zeros((64, 96), np.uint16)
    mask[8:56, 10:86] = 65535
    files = [tmp_path / f"{key}.{suffix}" for key in ("src", "dst", "mask", "out")]
    for image, path in zip((np.dstack([cut] * 3), photo, mask), files):
        ph.save(image, path)
    call(name, *files[:3], out=files[3])
    result = ph.load(files[3])
    assert result.dtype == np.uint16
    same(result[mask == 0], photo[mask == 0])
    same(result, call(name, np.dstack([cut] * 3), photo, mask))
    assert len(np.unique(result[mask > 0][:, 0])) > 4 * 256


@pytest.mark.parametrize("name", BLENDS)
def test_batch(name: str, src: np.ndarray, dst: np.ndarray, mask: np.ndarray) -> None:
    """A list gives a list, sizes may differ, and one failure does not lose the others."""
    cases = [(src, dst, mask, (9, 4)), (src[2:], dst[:, 3:], mask[2:], (0, -3)), (src, dst, mask, None)]
    columns = [list(column) for column in zip(*cases)]
    with pytest.raises(errors.ShapeError):
        call(name, *columns[:3], at=columns[3])
    results, infos = call(name, *columns[:3], at=columns[3], errors="return", return_info=True)
    assert type(results) is list
    for result, (s, d, m, at) in zip(results[:2], cases[:2]):
        same(result, call(name, s, d, m, at=at))
    assert isinstance(results[2], errors.ShapeError)
    assert infos[0].device == "cpu"
    assert infos[2] is None
    pair = call(name, src, (dst, Image.fromarray(dst)), mask, at=(9, 4))
    assert type(pair) is tuple
    assert isinstance(pair[1], Image.Image)
    same(pair[0], pair[1])
    assert call(name, [], []) == []


def test_a_driver_that_is_too_old_for_the_kernels_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """'auto' runs on the CPU and logs once which driver the GPU needs; 'cuda' says it too."""
    from types import SimpleNamespace

    from pyharmony import _device, _native

    versions = SimpleNamespace(runtime_version=lambda: 13000, driver_version=lambda: 12080, status=lambda: "other")
    monkeypatch.setattr(_native, "native", SimpleNamespace(cuda=versions))
    monkeypatch.setattr(_native._Driver, "reason", None)
    monkeypatch.setattr(_native._Driver, "too_old", "")
    monkeypatch.setattr(_device._State, "messages", set())
    reason = "the driver is for CUDA 12.8, and this build for CUDA 13.0, which needs driver 580 or later"
    with caplog.at_level(logging.WARNING, "pyharmony"):
        assert [_device.resolve(None) for _ in range(2)] == ["cpu", "cpu"]
    assert [record.getMessage() for record in caplog.records] == [f"{reason}; running on the CPU"]
    with pytest.raises(errors.DeviceError, match=f"device: 'cuda' cannot be used: {reason}"):
        ph.set_device("cuda", strict=True)
    # Any driver of the same major version runs the kernels; a machine without one is no news.
    for driver, expected in ((13010, "other"), (0, "other")):
        versions.driver_version = lambda driver=driver: driver
        monkeypatch.setattr(_native._Driver, "reason", None)
        monkeypatch.setattr(_native._Driver, "too_old", "")
        assert _native.unused_gpu() == "" and _native.cuda_status() == expected


def test_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ph.get_device() == "auto"
    image = np.zeros((4, 4, 3), np.uint8)
    blend.alpha(image, image, device="cpu")
    with pytest.raises(errors.ArgumentError, match="device: 'tpu', expected one of 'auto', 'cpu', 'cuda'"):
        blend.alpha(image, image, device="tpu")
    with pytest.raises(errors.DTypeError, match="device: 3"):
        ph.set_device(3)  # type: ignore[arg-type]
    if ph.has_cuda():
        return
    from pyharmony import _device

    monkeypatch.setattr(_device._State, "messages", set())
    with warnings.catch_warnings(record=True) as records:
        warnings.simplefilter("always")
        for _ in range(2):
            assert blend.alpha(image, image, device="cuda", return_info=True)[1].device == "cpu"
    assert [one.category for one in records] == [errors.PyHarmonyWarning] and records[0].filename == __file__
    try:
        with pytest.raises(errors.DeviceError, match="cannot be used"):
            ph.set_device("cuda", strict=True)
        ph.set_device("cpu", strict=True)
        with pytest.raises(errors.DeviceError, match="cannot be used"):
            blend.alpha(image, image, device="cuda")
    finally:
        ph.set_device("auto")
    code = "import pyharmony; print(pyharmony.get_device())"
    environment = {**os.environ, "PYHARMONY_DEVICE": "cpu"}
    process = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "cpu"


def test_the_other_order_of_bytes_has_a_remedy() -> None:
    image = np.zeros((4, 4, 3), ">u2")
    remedy = "src.astype(src.dtype.newbyteorder('=')) has this machine's byte order"
    with pytest.raises(errors.DTypeError, match=re.escape(f"float64; {remedy}")):
        blend.alpha(image, image)
    src = image
    blend.alpha(src.astype(src.dtype.newbyteorder("=")), np.zeros((4, 4, 3), np.uint16))


def test_out(src: np.ndarray, dst: np.ndarray, mask: np.ndarray, tmp_path: Path) -> None:
    expected = blend.poisson(src, dst, mask, at=POSITION)
    target = np.empty_like(dst)
    assert blend.poisson(src, dst, mask, at=POSITION, out=target) is target
    same(target, expected)
    path = str(tmp_path / "out.png")
    assert blend.poisson(src, dst, mask, at=POSITION, out=path) is path
    same(Image.open(path), expected)
    deep = tmp_path / "deep.png"
    ph.save(dst.astype(np.uint16) * 256 + 7, deep)
    blend.poisson(Image.fromarray(src), deep, mask, at=POSITION, out=tmp_path / "deep_out.png")
    assert ph.load(tmp_path / "deep_out.png").dtype == np.uint16
    targets = [tmp_path / "a.png", None]
    results = blend.poisson(src, [dst, dst], mask, at=POSITION, out=targets)
    assert results[0] == targets[0]
    same(results[1], expected)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.png", "deep.png", "deep_out.png", "out.png"]


@pytest.mark.parametrize("name", BLENDS)
def test_info(name: str, src: np.ndarray, dst: np.ndarray, mask: np.ndarray) -> None:
    result, info = call(name, src, Image.fromarray(dst), mask, at=POSITION, return_info=True)
    assert isinstance(result, Image.Image)
    assert info.device == "cpu"
    assert info.method
    assert 0 <= info.max_error <= 0.25
    assert info.iterations >= 0
    assert info.residual >= 0
    assert info.milliseconds > 0
    assert (info.peak_bytes > 0) == (name != "alpha")


def test_determinism(src: np.ndarray, dst: np.ndarray, mask: np.ndarray) -> None:
    before = ph.get_num_threads()
    try:
        for name in BLENDS:
            expected = call(name, src, dst, mask, at=POSITION)
            for threads in (1, 2, 8):
                ph.set_num_threads(threads)
                for _ in range(2):
                    same(call(name, src, dst, mask, at=POSITION), expected)
    finally:
        ph.set_num_threads(before)


def test_memory_that_is_not_there_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyharmony._images import frame

    def refuse(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(frame, "mask_facts", refuse)
    image = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(errors.OutOfMemory, match=r"\[4, 4, 3\] of uint8"):
        blend.alpha(image, image, feather=1)


def test_logging() -> None:
    """The library never prints, and says nothing where nobody set logging up."""
    handlers = logging.getLogger("pyharmony").handlers
    assert any(isinstance(handler, logging.NullHandler) for handler in handlers)
    code = (
        "import numpy as np, pyharmony\na = np.zeros((4, 4, 3), np.uint8); pyharmony.blend.alpha(a, a, device='auto')"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (process.stdout, process.stderr) == ("", "")


def test_what_becomes_of_arrays_on_a_device_is_told_of_every_function() -> None:
    from pyharmony import composition, edits, harmonization, matching, merging, shadows
    from pyharmony._images.places import PLACES

    rooms = (composition, edits, harmonization, matching, merging, shadows)
    functions = {*blend.__all__, *(name for room in rooms for name in room.__all__ if name.islower())}
    assert set(PLACES) == (functions | {"super_resolve"}) - {"read_recipe", "contact_sheet", "show_changes"}
    page = (ROOT / "docs/cuda.md").read_text()
    answers = {"there": "worked on where they lie", "copied": "copied to the CPU, the result back"}
    rows = {f"| `{name}` | {answers[one.way]} | {one.why} |" for name, one in PLACES.items() if one.way in answers}
    assert rows == {row for row in page.splitlines() if row.split(" | ")[1:2] in [[one] for one in answers.values()]}
    assert all(bool(place.why) == (place.way != "there") for place in PLACES.values())


#: The kinds of an image, each made of an array [H, W, C] or a mask [H, W].
KINDS = ("numpy", "torch", "pil", "str", "path", "bytes", "file", "picture")


def of_kind(kind: str, array: np.ndarray, folder: Path) -> Any:
    """Returns an image or a mask as another kind; a tensor has its channels first."""
    if kind == "numpy":
        return array
    if kind == "torch":
        torch = pytest.importorskip("torch", reason="torch is not installed")
        return torch.from_numpy(array[None] if array.ndim == 2 else np.moveaxis(array, -1, 0))
    if kind == "pil":
        return Image.fromarray(array)
    if kind == "picture":
        return Picture(array if array.ndim == 3 else array[..., None])
    if kind == "bytes":
        return encoded(array)
    if kind == "file":
        return io.BytesIO(encoded(array))
    path = folder / f"{hashlib.sha256(array.tobytes()).hexdigest()}.png"
    path.write_bytes(encoded(array))
    return str(path) if kind == "str" else path


def scene(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(seed).integers(-12, 13, (height, width, 3))
    return np.clip(np.stack([3 * x + 20, 4 * y + 9 * seed, 90 + x - y], -1) + noise, 0, 255).astype(np.uint8)


IMAGE, OTHER_IMAGE = scene(1), scene(5)
_Y, _X = np.mgrid[:48, :64]
SOFT_MASK = np.rint(255 * np.clip(1.3 - np.hypot((_Y - 24) / 16, (_X - 30) / 20), 0, 0.3) / 0.3).astype(np.uint8)

Make = Callable[[np.ndarray], Any]


def _saved(image: Any) -> np.ndarray:
    buffer = io.BytesIO()
    ph.save(image, buffer)
    return np.asarray(ph.load(buffer.getvalue()))


def _composed(k: Make) -> Any:
    return ph.compose(
        k(OTHER_IMAGE), k(IMAGE), masks=k(SOFT_MASK), at=(5.0, 3.0), scale=0.5, angle=0.0, people=[], harmonize=None,
        sharpness=0.0, grain=0.0, shadow=False, upscale=None,
    )  # fmt: skip


def _sheet(k: Make) -> np.ndarray:
    """Returns the contact sheet of a subject at the places that were found for it."""
    rgba = np.dstack([OTHER_IMAGE, SOFT_MASK])
    options: dict[str, Any] = {"people": [], "k": 2, "upscale": None, "harmonize": None, "shadow": False}
    _, info = ph.compose(rgba, IMAGE, return_info=True, **options)
    return composition.contact_sheet(k(rgba), k(IMAGE), info)


def _places(k: Make) -> list[placement.Placement]:
    masks = {"mask": k(SOFT_MASK), "other_people": k(SOFT_MASK)}
    return ph.place(k(OTHER_IMAGE), k(IMAGE), **masks, people=[], person=False, k=2)


_EDIT = np.where(SOFT_MASK[..., None] > 127, 255 - IMAGE, IMAGE)
_NEGATIVE = ColorMap(affine=np.column_stack([-np.eye(3), np.ones(3)]))
_LUTS = [color.random_lut(seed, 5) for seed in (0, 1)]

#: The functions that give an image of the kind of their first, or of dst: a call with all images made by `k`.
IMAGE_CALLS: dict[str, Callable[[Make], Any]] = {
    **{f"blend.{name}": lambda k, name=name: call(name, k(OTHER_IMAGE), k(IMAGE), k(SOFT_MASK)) for name in BLENDS},
    **{
        f"blend.{name}": lambda k, name=name: getattr(blend, name)(k(IMAGE), k(SOFT_MASK))
        for name in ("texture_flattening", "illumination_change", "inpaint")
    },
    "blend.detail_boost": lambda k: blend.detail_boost(k(IMAGE), k(SOFT_MASK), color_weight=0.1),
    **{
        f"color.{name}": lambda k, name=name: getattr(color, name)(
            k(IMAGE), k(OTHER_IMAGE), k(SOFT_MASK), k(255 - SOFT_MASK)
        )
        for name in ("reinhard", "xiao_ma", "mkl", "match_histogram", "fecker", "idt", "luminance_temperature")
    },
    "color.regrain": lambda k: color.regrain(k(IMAGE), k(OTHER_IMAGE), k(SOFT_MASK)),
    "color.brightness_contrast": lambda k: color.brightness_contrast(k(IMAGE), k(SOFT_MASK), brightness=0.2),
    "color.shift_temperature": lambda k: color.shift_temperature(k(IMAGE), 40, k(SOFT_MASK)),
    "color.lut_mix": lambda k: color.lut_mix(k(IMAGE), _LUTS, k(SOFT_MASK), weights=[0.5, 0.5]),
    "color.retouch": lambda k: color.retouch(k(IMAGE), k(SOFT_MASK), rng=3)[0],
    "harmonize": lambda k: ph.harmonize(k(IMAGE), k(SOFT_MASK), method="mkl", guard=False),
    "harmonization.harmonize_frames": lambda k: next(
        iter(ph.harmonization.harmonize_frames([k(IMAGE)], [k(SOFT_MASK)], method="mkl", guard=False))
    ),
    "harmonization.ColorMap.apply": lambda k: _NEGATIVE.apply(k(IMAGE), k(SOFT_MASK)),
    "match_grain": lambda k: ph.match_grain(k(IMAGE), k(SOFT_MASK)),
    "match_sharpness": lambda k: ph.match_sharpness(k(IMAGE), k(SOFT_MASK)),
    "reflection": lambda k: ph.reflection(k(IMAGE), k(SOFT_MASK)),
    "remove": lambda k: ph.remove(k(IMAGE), k(SOFT_MASK), grow=0),
    "shadow": lambda k: ph.shadow(k(IMAGE), k(SOFT_MASK)),
    "super_resolve": lambda k: ph.super_resolve(k(IMAGE), method="lanczos"),
    "segmentation.cutout": lambda k: ph.segmentation.cutout(k(IMAGE), k(SOFT_MASK), crop_to_mask=True),
    "compose": _composed,
    "apply_edit": lambda k: ph.apply_edit(k(IMAGE), k(_EDIT), k(SOFT_MASK)),
    "merge": lambda k: ph.merge([k(IMAGE), k(OTHER_IMAGE)], base=0, people=[[], [k(SOFT_MASK)]], align=False),
}
#: The functions whose result is no image of that kind: an array, a number or places.
VALUES: dict[str, Callable[[Make], Any]] = {
    **{
        f"metrics.{name}": lambda k, name=name: getattr(metrics, name)(k(IMAGE), k(OTHER_IMAGE))
        for name in ("mse", "psnr", "ssim")
    },
    **{
        f"metrics.{name}": lambda k, name=name: getattr(metrics, name)(k(IMAGE), k(OTHER_IMAGE), k(SOFT_MASK))
        for name in ("fmse", "fpsnr", "fssim", "evaluate")
    },
    "metrics.seam_error": lambda k: metrics.seam_error(k(IMAGE), k(OTHER_IMAGE), k(255 - IMAGE), k(SOFT_MASK)),
    "edits.show_changes": lambda k: edits.show_changes(
        k(IMAGE), ph.apply_edit(IMAGE, _EDIT, SOFT_MASK, return_info=True)[1]
    ),
    "realism_score": lambda k: ph.realism_score(k(IMAGE), k(SOFT_MASK)),
    "harmony_score": lambda k: ph.harmony_score(k(IMAGE), k(SOFT_MASK)),
    "segment": lambda k: ph.segment(k(IMAGE), mask=k(SOFT_MASK)).mask,
    "segmentation.Session.__init__": lambda k: ph.segmentation.Session(k(IMAGE)).picture,
    "segmentation.Session.segment": lambda k: ph.segmentation.Session(IMAGE).segment(mask=k(SOFT_MASK)).mask,
    "segmentation.Session.combine": lambda k: ph.segmentation.Session(IMAGE).combine(k(SOFT_MASK)).mask,
    "segmentation.Session.other_people": lambda k: ph.segmentation.Session(IMAGE).other_people(
        [k(SOFT_MASK)], (64, 48)
    ),
    "segmentation.Session.shows_people": lambda k: ph.segmentation.Session(IMAGE).shows_people(k(SOFT_MASK)),
    "segmentation.Session.posture": lambda k: ph.segmentation.Session(IMAGE).posture(k(SOFT_MASK)),
    "placement.contact_sheet": lambda k: placement.contact_sheet(
        k(OTHER_IMAGE), k(IMAGE), _places(lambda array: array), mask=k(SOFT_MASK)
    ),
    "placement.roll_of": lambda k: placement.roll_of(k(IMAGE)),
    "place": _places,
    "composition.contact_sheet": _sheet,
    "blend.placed_mask": lambda k: np.asarray(
        getattr(blend.placed_mask(k(OTHER_IMAGE), k(IMAGE), k(SOFT_MASK)), "pixels", None)
        if isinstance(k(IMAGE), Picture)
        else blend.placed_mask(k(OTHER_IMAGE), k(IMAGE), k(SOFT_MASK))
    ).reshape(48, 64),
}
#: The functions and rooms with arguments that are images and yet not of any kind, and the reason.
OF_THEIR_OWN = {
    "blend.gaussian_poisson_tiles": "it reads slices of images that do not fit in memory",
    "blend.paste_many": "it pastes into one array in place",
    "compat": "OpenCV's signature has NumPy arrays",
    "data": "data sets hold uint8 arrays [H, W, 3]",
    "evaluation": "it measures the samples of data sets",
    "io": "it opens images, as Pictures",
    "losses": "losses are functions of tensors [N, C, H, W]",
    "models": "networks take tensors [N, C, H, W]",
    "nn": "layers take tensors [N, C, H, W]",
    "ops": "ops take arrays and tensors [H, W, C] of any number of channels",
    "save": "it writes arrays, PIL images and Pictures: a file is written already",
    "metrics.bootstrap": "its values are numbers",
    "color.lut_mix": "its tables are arrays",
}
#: The functions that need a package beside NumPy and Pillow.
NEEDS = {"merge": "cv2", "realism_score": "torch", "harmony_score": "torch"}


def public_functions() -> dict[str, Any]:
    """Returns the public functions and methods with an argument that is an image or a mask, by name."""
    words = ("ImageLike", "MaskLike", "Array", "Tensor", "Picture", "Pixels", "ImageT")
    functions: dict[str, Any] = {}
    for room in ("", *ph._SUBPACKAGES):
        try:
            module = importlib.import_module(f"pyharmony.{room}".rstrip("."))
        except ImportError:  # one of torch's rooms, and torch is not installed
            continue
        for name in getattr(module, "__all__", ()):
            thing, full = getattr(module, name), f"{room}.{name}".lstrip(".")
            methods = {
                f"{full}.{key}": value
                for key, value in (vars(thing).items() if inspect.isclass(thing) else ())
                if inspect.isfunction(value)
                and (not key.startswith("_") or (key == "__init__" and not dataclasses.is_dataclass(thing)))
            }
            for key, function in {full: thing, **methods}.items():
                arguments = inspect.signature(function).parameters if inspect.isfunction(function) else {}
                if any(word in str(argument.annotation) for argument in arguments.values() for word in words):
                    functions.setdefault(key, function)
    return functions


def test_every_public_function_on_images_is_in_the_tables() -> None:
    tables = {**IMAGE_CALLS, **VALUES}
    short = {name.rpartition(".")[2] for name in tables if name in ph.__all__}
    for name in public_functions():
        room, _, function = name.partition(".")
        names = {name, room, function if function in short else name}
        assert names & (tables.keys() | OF_THEIR_OWN.keys()), f"{name}: takes an image, and is in no table"


#: What runs the networks of cut-outs on a picture, seconds under a sanitizer for each kind of image.
BY_NETWORKS = {
    "segment", "composition.contact_sheet",
    *(f"segmentation.Session.{name}" for name in ("segment", "combine", "other_people", "shows_people", "posture")),
}  # fmt: skip


def short_kinds(number: int, name: str) -> set[str]:
    """Returns the kinds of the short form: what is opened in its own way, and by turns what one function opens."""
    if name in BY_NETWORKS:
        return {"torch", ("pil", "picture", "path")[number % 3]}
    return {"torch", "pil", "picture", ("numpy", "path", "file")[number % 3]}


def cases_of_kinds() -> list[Any]:
    cases = []
    for number, name in enumerate((*IMAGE_CALLS, *VALUES)):
        marks = [pytest.mark.networks] if name in BY_NETWORKS else []
        short = short_kinds(number, name)
        cases += [
            pytest.param(name, kind, marks=marks if kind in short else [*marks, pytest.mark.full]) for kind in KINDS
        ]
    return cases


@pytest.mark.parametrize(("name", "kind"), cases_of_kinds())
def test_every_public_function_takes_an_image_of_any_kind(name: str, kind: str, tmp_path: Path) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], reason=skips.not_installed(NEEDS[name]))
    function = {**IMAGE_CALLS, **VALUES}[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.PyHarmonyWarning)
        expected = _expected(name)
        result = function(lambda array: of_kind(kind, array, tmp_path))
    if name in VALUES:
        same(result, expected) if isinstance(result, np.ndarray) else _equal(result, expected)
        return
    if kind == "torch":
        assert type(result).__name__ == "Tensor"
        result = result.permute(1, 2, 0)
    else:
        assert type(result) is {"numpy": np.ndarray, "picture": Picture}.get(kind, Image.Image)
    same(result.pixels if kind == "picture" else result, expected)


@functools.cache
def _expected(name: str) -> Any:
    return {**IMAGE_CALLS, **VALUES}[name](lambda array: array)


def _equal(result: Any, expected: Any) -> None:
    assert result == expected


@pytest.mark.parametrize("kind", KINDS)
def test_the_alpha_of_an_image_is_its_mask_in_transfers_and_is_kept(kind: str, tmp_path: Path) -> None:
    rgba = np.dstack([IMAGE, SOFT_MASK])
    rgba[SOFT_MASK == 0, :3] = 255
    for transfer in (color.reinhard, color.idt, color.match_histogram):
        result = transfer(of_kind(kind, rgba, tmp_path), OTHER_IMAGE)
        result = result.permute(1, 2, 0) if kind == "torch" else result.pixels if kind == "picture" else result
        same(np.asarray(result)[..., 3], SOFT_MASK)
        same(np.asarray(result)[..., :3], transfer(rgba[..., :3], OTHER_IMAGE, SOFT_MASK))


@pytest.mark.parametrize(
    "name", [name for name in (*IMAGE_CALLS, *VALUES) if name.partition(".")[0] in ("color", "metrics")]
)
def test_a_batch_is_refused_where_one_image_is_meant(name: str) -> None:
    with pytest.raises(errors.ShapeError, match=r"a batch, expected one image"):
        {**IMAGE_CALLS, **VALUES}[name](lambda array: array[None] if array.ndim == 3 else array)


def test_channels_on_the_wrong_side_are_named_with_the_remedy() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    planes, last = torch.from_numpy(np.moveaxis(IMAGE, -1, 0)), torch.from_numpy(IMAGE)
    for function in (
        lambda x: color.reinhard(x, x),
        lambda x: metrics.mse(x, x),
        lambda x: ph.segment(x, points=[(9, 9)]),
    ):
        with pytest.raises(errors.ShapeError, match=r"channels come first: x\.movedim\(-1, -3\)"):
            function(last)
        with pytest.raises(errors.ShapeError, match=r"channels come last: numpy\.moveaxis\(x, -3, -1\)"):
            function(planes.numpy())
    with pytest.raises(errors.ShapeError, match=r"expected the channels first: image\.movedim\(-1, 0\)"):
        ph.save(last, io.BytesIO())
    same(_saved(planes), IMAGE)
    for name in ("rgb_to_lab", "rgb_to_xyz", "ycbcr_to_rgb", "xyz_to_xyy"):
        with pytest.raises(errors.ShapeError, match=r"\w+: shape \[3, 48, 64\], .*channels come last"):
            getattr(color, name)(planes)


@pytest.mark.parametrize("name", BLENDS)
def test_bfloat16_is_blended_in_float32_and_given_back(name: str, src: np.ndarray, dst: np.ndarray) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    a, b = (torch.from_numpy(x / np.float32(255)).permute(2, 0, 1).bfloat16() for x in (src, dst))
    inside = torch.ones(24, 30, dtype=torch.bfloat16)
    result = call(name, a, b, inside, at=POSITION)
    assert result.dtype == torch.bfloat16
    assert torch.equal(result, call(name, a.float(), b.float(), inside.float(), at=POSITION).bfloat16())
    out = torch.zeros_like(b)
    assert call(name, a, b, inside, at=POSITION, out=out) is out
    assert torch.equal(out, result)
    # Only the mask is one: the images stay what they are, and so does out.
    target = np.zeros_like(dst)
    assert call(name, src, dst, inside, at=POSITION, out=target) is target
    same(target, call(name, src, dst, inside.float(), at=POSITION))
    for wrong, says in (({"src": a.float()}, "src: dtype float32"), ({"out": b.float()}, "out: dtype float32")):
        with pytest.raises(errors.DTypeError, match=f"{says}, expected that of dst, bfloat16"):
            call(name, **{"src": a, "dst": b, "mask": inside, "at": POSITION, **wrong})
    assert color.reinhard(a, b).dtype == ph.super_resolve(a, method="lanczos").dtype == torch.bfloat16
    assert blend.placed_mask(a, b, inside, at=POSITION).dtype == torch.bfloat16
    with pytest.raises(errors.DTypeError, match=r"src: dtype torch\.bfloat16 is not supported.*; use src\.float\(\)"):
        ph.ops.poisson(a, a, inside)


def test_a_batch_has_a_position_for_each_item(src: np.ndarray, dst: np.ndarray, mask: np.ndarray) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    sources, targets, at = np.stack([src, src[::-1]]), np.stack([dst, dst[::-1]]), [(9, 4), (20.5, -3)]
    expected = [blend.poisson(s, d, mask, at=where) for s, d, where in zip(sources, targets, at)]
    for where in (at, np.array(at), torch.tensor(at), tuple(at)):
        same(blend.poisson(sources, targets, mask, at=where), expected)
        same(blend.poisson(list(sources), list(targets), mask, at=where), expected)
    planes = [torch.from_numpy(np.ascontiguousarray(x)).permute(0, 3, 1, 2) for x in (sources, targets)]
    same(blend.poisson(*planes, mask, at=torch.tensor(at)).permute(0, 2, 3, 1), expected)
    same(blend.poisson(src, dst, mask, at=torch.tensor([9, 4])), expected[0])
    masks = np.stack([mask, mask[:, ::-1]])
    alone = [ph.harmonize(d, m, at=where, method="mkl", guard=False) for d, m, where in zip(targets, masks, at)]
    same(ph.harmonize(targets, masks, at=at, method="mkl", guard=False), alone)
    with pytest.raises(errors.ShapeError, match="at: 2 positions for one image; expected one"):
        blend.poisson(src, dst, mask, at=at)
    with pytest.raises(errors.ShapeError, match="at: 3 positions for a batch of 2"):
        blend.poisson(sources, targets, mask, at=[*at, (0, 0)])


def test_a_result_without_gradients_is_told_once(src: np.ndarray, dst: np.ndarray) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    a, b = (torch.from_numpy(x / np.float32(255)).permute(2, 0, 1).requires_grad_() for x in (src, dst))
    for name in CHANNELWISE:
        with warnings.catch_warnings(record=True) as records:
            warnings.simplefilter("always")
            call(name, [a, a], [b, b], at=POSITION)
        nearest = f"pyharmony.ops.{'gaussian_poisson' if name == 'gaussian_poisson' else 'poisson'}, "
        remedy = "pass dst[0].detach()" if blends.TABLE[name].relights else nearest
        texts = [str(warning.message) for warning in records if "gradients" in str(warning.message)]
        assert len(texts) == 1
        assert texts[0].startswith(f"dst[0]: a tensor that requires gradients, and the result has none; {remedy}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        blend.alpha(a.detach(), b.detach(), at=POSITION)
        with torch.no_grad():
            blend.alpha(a, b, at=POSITION)
    output, target = (re.escape(f"{name}: a tensor that requires gradients") for name in ("output", "target"))
    with pytest.warns(errors.PyHarmonyWarning, match=output), pytest.warns(errors.PyHarmonyWarning, match=target):
        metrics.mse(a, a)


@pytest.mark.parametrize("name", BLENDS)
def test_a_tensor_whose_memory_was_freed_is_refused(name: str) -> None:
    """As sharded training leaves parameters: shape and strides say more than the storage holds."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    image = torch.rand(3, 24, 30)
    for size in (0, 3 * 24 * 30 * 4 - 1):
        freed = torch.rand(3, 24, 30)
        freed.untyped_storage().resize_(size)
        for wrong in ({"src": freed}, {"dst": freed}, {"out": freed}):
            with pytest.raises(errors.DTypeError, match=rf"(src|dst|out): .*whose storage was resized to {size} bytes"):
                call(name, **{"src": image, "dst": image, **wrong})
        layer = torch.rand(1, 3, 24, 30)
        layer.untyped_storage().resize_(size)
        with pytest.raises(errors.DTypeError, match=r"whose storage was resized|without memory"):
            ph.ops.instance_norm(layer)
    for view in (image[:, ::2], image[2:], image.transpose(1, 2), image[:1].expand(3, 24, 30), image[:, -1:, -1:]):
        blend.alpha(view, view)


def test_ops_name_the_layout_that_they_take(src: np.ndarray) -> None:
    """They take [H, W, C] of tensors too, whatever the number of channels, and a mask of that height and width."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    planes, mask = torch.from_numpy(np.moveaxis(src, -1, 0).copy()), np.zeros((24, 30), np.uint8)
    mask[5:9, 5:9] = 255
    for function in (
        lambda x: ph.ops.poisson(x, x, mask),
        lambda x: ph.ops.gaussian_poisson(x, x, mask, x),
        lambda x: ph.ops.color_map(x, [ph.ops.Log()], mask),
        lambda x: ph.ops.color_stats(x, mask),
    ):
        function(planes.movedim(-3, -1))
        with pytest.raises(errors.ShapeError, match=r"channels come last.*x\.movedim\(-3, -1\)"):
            function(planes)


#: Boxes (x, y, width, height) that are refused of an image of 64 x 48 pixels, and what the message says.
WRONG_BOXES: dict[str, tuple[Any, str]] = {
    "shares": ((0.25, 0.25, 0.5, 0.5), "shares of the image"),
    "the whole image in shares": ((0.0, 0.0, 1.0, 1.0), "shares of the image"),
    "a negative size": ((40, 30, -10, -10), "above 0"),
    "no area": ((10, 10, 0, 5), "above 0"),
    "outside": ((100, 10, 5, 5), "outside of an image of 64 x 48"),
    "before the image": ((-20, 10, 5, 5), "outside of an image of 64 x 48"),
    "three numbers": ((1, 2, 3), "(x, y, width, height)"),
    "NaN": ((1, float("nan"), 3, 4), "finite"),
    "a number that no float holds": ((1, 2, 10**400, 4), "finite"),
    "a number that Python does not write": ((1, 2, 10**5000, 4), "finite"),
    "text": (("1", "2", "3", "4"), "(x, y, width, height)"),
    "words": ("left", "(x, y, width, height)"),
    "flags": ((True, False, True, True), "(x, y, width, height)"),
}


def by_turns(doors: Iterable[str], values: Iterable[Any]) -> list[tuple[str, Any]]:
    """Returns the first door with each value, and every other door with one: all of them have the same check."""
    first, *others = doors
    every = list(values)
    return [*((first, value) for value in every), *zip(others, itertools.cycle(every[::-1]))]


def _boxed(door: str, box: Any) -> tuple[Any, str]:
    """Returns a function that passes a box to a function for an image of 64 x 48, and the argument's name."""
    picture = np.full((48, 64, 3), 120, np.uint8)
    picture[12:36, 20:44] = 200, 30, 30
    mask = np.zeros((48, 64), np.uint8)
    mask[12:36, 20:44] = 255
    people = {"people": [mask], "heads": [(24, 12, 8, 8)]}
    still = {"people": [], "at": (0, 0), "scale": 1, "angle": 0}
    calls: dict[str, tuple[Any, str]] = {
        "segment": (lambda: ph.segment(picture, box=box, method="grabcut"), "box"),
        "Session.segment": (lambda: ph.segmentation.Session(picture, method="grabcut").segment(box=box), "box"),
        "compose": (
            lambda: ph.compose(picture, picture, boxes=box, segment="grabcut", **still),
            "boxes",
        ),
        "place head": (lambda: ph.place(picture, picture, mask=mask, head=box, **people), "head"),
        "place heads": (lambda: ph.place(picture, picture, mask=mask, **{**people, "heads": [box]}), "heads[0]"),
        "place faces": (lambda: ph.place(picture, picture, mask=mask, person=False, faces=[box], **people), "faces[0]"),
    }
    return calls[door]


BOX_DOORS = ("segment", "Session.segment", "compose", "place head", "place heads", "place faces")


@pytest.mark.parametrize(("door", "fault"), by_turns(BOX_DOORS, WRONG_BOXES))
def test_a_box_is_judged_alike_at_every_door(door: str, fault: str) -> None:
    box, says = WRONG_BOXES[fault]
    act, name = _boxed(door, box)
    with pytest.raises(errors.ArgumentError) as raised:
        act()
    assert raised.value.argument == name and says in str(raised.value)


@pytest.mark.parametrize("door", BOX_DOORS)
@pytest.mark.parametrize("box", [(15, 8, 60, 36), (-9, -5, 60, 50)])
def test_a_box_that_is_partly_outside_is_clipped_and_told(door: str, box: Any) -> None:
    act, name = _boxed(door, box)
    with warnings.catch_warnings(record=True) as records:
        warnings.simplefilter("always")
        act()
    (text,) = [str(one.message) for one in records if "partly outside" in str(one.message)]
    assert text.startswith(f"{name}: (") and "64 x 48 pixels and clipped" in text


def _range_doors() -> dict[str, Callable[[Any], Any]]:
    """Returns a call of each function on an image [48, 64, 3], with a mask where it needs one."""
    mask = np.zeros((48, 64), bool)
    mask[12:36, 20:44] = True
    like: Any = np.asarray
    still: dict[str, Any] = {"people": [], "at": (0, 0), "scale": 1, "angle": 0, "harmonize": None, "shadow": False}
    return {
        **{name: lambda x, name=name: call(name, x, like(x).copy(), mask) for name in CHANNELWISE},
        "paste_many": lambda x: blend.paste_many(
            x, [{"src": np.full((9, 9, 3), 0.1).astype(like(x).dtype), "at": (4, 4)}]
        ),
        "inpaint": lambda x: blend.inpaint(x, mask),
        "harmonize": lambda x: ph.harmonize(x, mask, method="mkl"),
        "match_grain": lambda x: ph.match_grain(x, mask),
        "remove": lambda x: ph.remove(x, mask),
        "shadow": lambda x: ph.shadow(x, mask),
        "segment": lambda x: ph.segment(x, points=(30, 20)),
        "cutout": lambda x: ph.segmentation.cutout(x, mask),
        "place": lambda x: ph.place(x, np.zeros((48, 64, 3), np.uint8), mask=mask, people=[], person=False),
        "compose": lambda x: ph.compose(x, like(x).copy(), masks=mask, **still),
        "super_resolve": lambda x: ph.super_resolve(x, method="bicubic"),
        "reinhard": lambda x: color.reinhard(x, like(x).copy()),
        "psnr": lambda x: metrics.psnr(x, like(x).copy()),
        "realism_score": lambda x: ph.realism_score(x, mask),
    }


#: Images in another range than their dtype's, as a factor of values from 0 to 1, and a word of the remedy.
RANGES: dict[str, tuple[str, float, float, str]] = {
    "floats of 0 to 255": ("float32", 255, 0, "divide levels of 0 to 255"),
    "doubles of 0 to 65535": ("float64", 65535, 0, "divide levels of 0 to 65535"),
    "floats of -1 to 1": ("float32", 2, -1, "(x + 1) / 2"),
    "10 bits": ("uint16", 1023, 0, "levels of 10 bits"),
    "12 bits": ("uint16", 4095, 0, "levels of 12 bits"),
    "8 bits": ("uint16", 255, 0, "levels of 8 bits"),
}


@pytest.mark.parametrize(("door", "kind"), by_turns(_range_doors(), RANGES))
def test_values_in_another_range_are_told_at_every_door(door: str, kind: str) -> None:
    dtype, factor, begin, says = RANGES[kind]
    values = np.random.default_rng(1).random((48, 64, 3)) * factor + begin
    with warnings.catch_warnings(record=True) as records:
        warnings.simplefilter("always")
        _range_doors()[door](values.astype(dtype))
    assert [str(one.message) for one in records if says in str(one.message)]


@pytest.mark.parametrize(
    ("kind", "is_file"), [*((kind, False) for kind in RANGES), *((kind, True) for kind in ("12 bits", "8 bits"))]
)
def test_compose_tells_the_range_of_each_photo_once(is_file: bool, kind: str, tmp_path: Path) -> None:
    dtype, factor, begin, says = RANGES[kind]
    random = np.random.default_rng(1)
    subject, scene = ((random.random((*size, 3)) * factor + begin).astype(dtype) for size in ((24, 20), (48, 64)))
    images: Any = (subject, scene)
    if is_file:
        images = (tmp_path / "subject.tiff", tmp_path / "scene.tiff")
        for path, pixels in zip(images, (subject, scene), strict=True):
            ph.io.write(Picture(pixels), path)
    mask = np.zeros((24, 20), bool)
    mask[4:20, 4:16] = True
    options: dict[str, Any] = {"masks": mask, "people": [], "at": (20, 10), "scale": 1, "angle": 0, "shadow": True}
    for more in ({}, {"harmonize": None, "blend": "poisson"}):
        with warnings.catch_warnings(record=True) as records:
            warnings.simplefilter("always")
            ph.compose(*images, **options, **more)
        texts = [str(one.message) for one in records if says in str(one.message)]
        assert sorted(text.partition(":")[0] for text in texts) == ["background", "subjects"]


@pytest.mark.parametrize(
    ("door", "image"),
    by_turns(
        _range_doors(), [np.zeros(8, np.uint8), np.array(np.float32(0.5)), np.zeros((48, 64, 3), bool), np.array(3)]
    ),
)
def test_what_is_no_image_is_refused_at_every_door(door: str, image: np.ndarray) -> None:
    with pytest.raises(errors.PyHarmonyError) as raised:
        _range_doors()[door](image)
    assert isinstance(raised.value, (errors.ShapeError, errors.DTypeError))


def _label_maps() -> dict[str, np.ndarray]:
    """Returns maps of labels [48, 64] whose largest value is more than half of white."""
    y, x = np.mgrid[:48, :64]
    voided = np.select([x < 20, x < 23, x < 40, y < 24], [1, 255, 15, 20], 0)
    many = np.where(x < 4, 0, 60 + x // 8 * 20 + y // 12 * 7)
    return {
        "with a void of 255": voided.astype(np.uint8), "many": many.astype(np.uint8),
        "instances": np.where(x < 4, 0, 20000 + many * 120).astype(np.uint16),
        "two": np.select([x < 20, x < 40], [150, 200], 0).astype(np.uint8),
    }  # fmt: skip


LABEL_DOORS = (*CHANNELWISE, "harmonize", "cutout", "place", "psnr", "compose", "segment", "ops")


@pytest.mark.parametrize(("door", "labels"), by_turns(LABEL_DOORS, _label_maps()))
def test_a_map_of_labels_is_told_by_its_values_at_every_door(door: str, labels: str) -> None:
    mask, image = _label_maps()[labels], np.random.default_rng(2).integers(0, 256, (48, 64, 3), np.uint8)
    still: dict[str, Any] = {"people": [], "at": (0, 0), "scale": 1, "angle": 0, "harmonize": None, "shadow": False}
    calls: dict[str, Callable[[], Any]] = {
        **{name: lambda name=name: call(name, image, image[::-1].copy(), mask) for name in CHANNELWISE},
        "harmonize": lambda: ph.harmonize(image, mask, method="mkl"),
        "cutout": lambda: ph.segmentation.cutout(image, mask),
        "place": lambda: ph.place(image, image, mask=mask, people=[], person=False),
        "psnr": lambda: metrics.fmse(image, image, mask),
        "compose": lambda: ph.compose(image, image, masks=mask, **still),
        "segment": lambda: ph.segment(image, mask=mask),
        "ops": lambda: ph.ops.poisson(image, image[::-1].copy(), mask, color_weight=1.0),
    }
    with warnings.catch_warnings(record=True) as records:
        warnings.simplefilter("always")
        calls[door]()
    assert [str(one.message) for one in records if "for a map of labels" in str(one.message)]


#: Doors that read all of an image, or a part of it that has the pixel (y=15, x=35).
FINITE_DOORS: dict[str, Callable[[np.ndarray, np.ndarray], Any]] = {
    "alpha": lambda image, mask: call("alpha", image, OTHER_IMAGE.astype(image.dtype) / 255, mask),
    "harmonize": lambda image, mask: ph.harmonize(image, mask, method="mkl"),
    "segment": lambda image, mask: ph.segment(image, mask=mask),
    "cutout": ph.segmentation.cutout,
    "cutout with crop": lambda image, mask: ph.segmentation.cutout(image, mask, crop_to_mask=True),
    "cutout with background": lambda image, mask: ph.segmentation.cutout(image, mask, keep_background=True),
    "ColorMap.apply": ColorMap(affine=np.eye(3, 4) / 2).apply,
    "ColorMap.apply of a table": ColorMap(table=np.zeros((2, 2, 2, 3))).apply,
    "reinhard": lambda image, mask: color.reinhard(image, OTHER_IMAGE.astype(image.dtype) / 255, mask),
}


@pytest.mark.parametrize(("value", "dtype"), [(np.nan, "float32"), (np.inf, "float64"), (-np.inf, "float16")], ids=str)
@pytest.mark.parametrize("door", FINITE_DOORS)
def test_nan_and_infinities_are_refused_at_every_door(door: str, value: float, dtype: str) -> None:
    mask = np.zeros((48, 64), np.uint8)
    mask[10:20, 30:50] = 255
    image = (IMAGE / 255).astype(dtype)
    image[15, 35, 1] = value
    with pytest.raises(errors.ArgumentError, match=rf"^(image|src): {value:g}.* \(y=15, x=35\), channel 1.*finite"):
        FINITE_DOORS[door](image, mask)
    soft = (mask / 255).astype(dtype)
    soft[0, 0] = value
    with pytest.raises(errors.MaskError, match=r"^mask: values from .*, expected floats in \[0, 1\]"):
        FINITE_DOORS[door]((IMAGE / 255).astype(dtype), soft)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
def test_a_map_of_colours_has_finite_numbers(value: float) -> None:
    shapes = {"affine": (3, 4), "curves": (3, 3, 2), "grid": (1, 1, 2, 3, 4), "table": (2, 2, 2, 3)}
    for part, shape in shapes.items():
        numbers = np.zeros(shape)
        numbers.flat[-1] = value
        with pytest.raises(errors.ArgumentError, match=f"^{part}: contains NaN or an infinity, expected finite"):
            ColorMap(**{part: numbers})
    half = ColorMap(affine=np.eye(3, 4) / 2)
    with pytest.raises(errors.ArgumentError, match=r"^strength: .*, expected a finite number"):
        half.scaled(value)
    with pytest.raises(errors.ArgumentError, match=r"^share: .*, expected a finite number"):
        half.mixed(ColorMap(affine=np.zeros((3, 4))), value)
