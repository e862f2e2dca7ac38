"""The promises of every image function, a test for each row: kinds, layout, colour, range, mask, position and the rest.

The details of each are tested where they live: `test_blend.py`, `test_io*.py`, `test_cli.py`.
"""

from __future__ import annotations

import functools
import importlib.util
import io
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

import pyharmony as ph
from pyharmony import blend, errors
from pyharmony.io import Picture

#: Functions that treat every channel alike; a network knows red from blue.
CHANNELWISE = ("alpha", "laplacian", "poisson", "gaussian_poisson")
BLENDS = (*CHANNELWISE, *(("gp_gan",) if importlib.util.find_spec("torch") else ()))
AT = (9, 4)


@functools.cache
def network() -> Any:
    """Returns a small GP-GAN with random weights."""
    import torch

    from pyharmony import models

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return models.create("gp_gan", width=4, bottleneck=24, critic_width=4)


def call(name: str, *args: Any, **options: Any) -> Any:
    if name == "gp_gan":
        options["generator"] = network()
    return getattr(blend, name)(*args, **options)


@pytest.fixture
def src() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (24, 30, 3), np.uint8)


@pytest.fixture
def dst() -> np.ndarray:
    y, x = np.mgrid[:40, :56]
    return np.stack([4 * x, 5 * y, 90 + x + y], -1).astype(np.uint8)


@pytest.fixture
def mask() -> np.ndarray:
    y, x = np.mgrid[:24, :30]
    inside = np.clip(1.2 - np.hypot((y - 12) / 10, (x - 15) / 13), 0, 0.2) / 0.2
    return np.rint(255 * inside).astype(np.uint8)


def encoded(array: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


def same(a: Any, b: Any) -> None:
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.parametrize("name", BLENDS)
def test_kinds(name: str, src: np.ndarray, dst: np.ndarray, mask: np.ndarray, tmp_path: Path) -> None:
    """The result is of the kind of the destination, whatever the kinds of the others."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    expected = call(name, src, dst, mask, at=AT)
    assert type(expected) is np.ndarray
    files = {}
    for key, array in (("src", src), ("dst", dst), ("mask", mask)):
        files[key] = tmp_path / f"{key}.png"
        files[key].write_bytes(encoded(array))

    def kinds(key: str, array: np.ndarray) -> dict[str, Any]:
        return {
            "pil": Image.fromarray(array),
            "path": files[key],
            "str": str(files[key]),
            "bytes": files[key].read_bytes(),
            "file": io.BytesIO(files[key].read_bytes()),
            "picture": Picture(pixels=array if array.ndim == 3 else array[..., None]),
        }

    for kind in kinds("dst", dst):
        made = call(name, *(kinds(key, a)[kind] for key, a in (("src", src), ("dst", dst), ("mask", mask))), at=AT)
        assert type(made) is (Picture if kind == "picture" else Image.Image)
        same(made.pixels if kind == "picture" else made, expected)
        same(call(name, kinds("src", src)[kind], dst, kinds("mask", mask)[kind], at=AT), expected)
        mixed = call(name, src, kinds("dst", dst)[kind], mask, at=AT)
        same(mixed.pixels if kind == "picture" else mixed, expected)
    tensor = call(name, Image.fromarray(src), torch.from_numpy(dst).permute(2, 0, 1), files["mask"], at=AT)
    assert isinstance(tensor, torch.Tensor)
    same(tensor.permute(1, 2, 0), expected)
    deep = tmp_path / "deep.png"
    ph.save(dst.astype(np.uint16) * 257, deep)
    made = call(name, files["src"], deep, files["mask"], at=AT)
    assert type(made) is np.ndarray
    assert made.dtype == np.uint16
    same(made, call(name, src.astype(np.uint16) * 257, dst.astype(np.uint16) * 257, mask, at=AT))


@pytest.mark.parametrize("name", BLENDS)
def test_layout(name: str, src: np.ndarray, dst: np.ndarray, mask: np.ndarray) -> None:
    """[H, W], [H, W, C] and [N, H, W, C] of any strides are taken, and never guessed."""
    expected = call(name, src, dst, mask, at=AT)
    same(call(name, src[None], dst[None], mask, at=AT)[0], expected)
    same(call(name, src[..., 0], dst[..., 0], mask, at=AT), call(name, src[..., :1], dst[..., :1], mask, at=AT)[..., 0])
    src_, dst_ = (np.ascontiguousarray(a[..., ::-1])[..., ::-1] for a in (src, np.swapaxes(dst, 0, 1)))
    same(call(name, src_, np.swapaxes(dst_, 0, 1), mask, at=AT), expected)
    with pytest.raises(errors.ShapeError, match=r"numpy.moveaxis\(x, -3, -1\)"):
        call(name, np.moveaxis(src, -1, 0), np.moveaxis(dst, -1, 0), mask, at=AT)
    with pytest.raises(errors.ShapeError, match=r"pyharmony\.ops takes any number of channels"):
        call(name, np.zeros((9, 9, 7), np.uint8), np.zeros((9, 9, 7), np.uint8))


def test_colour(src: np.ndarray, dst: np.ndarray, mask: np.ndarray) -> None:
    """Channels count by themselves: blue first gives the same as red first, turned."""
    for name in CHANNELWISE:
        same(call(name, src[..., ::-1], dst[..., ::-1], mask, at=AT), call(name, src, dst, mask, at=AT)[..., ::-1])


@pytest.mark.parametrize("name", BLENDS)
def test_dtype_and_range(name: str, src: np.ndarray, dst: np.ndarray, mask: np.ndarray) -> None:
    for dtype, white in (("uint8", 255), ("uint16", 65535), ("float16", 1), ("float32", 1), ("float64", 1)):
        s, d = ((x / 255 * white).astype(dtype) for x in (src, dst))
        made = call(name, s, d, mask, at=AT)
        assert made.dtype == np.dtype(dtype)
    bright = np.full((24, 30, 3), 7.5, np.float32)
    assert call(name, bright, bright + 1, mask).max() >= 7.5 + 0.9
    with pytest.raises(errors.DTypeError, match="bool image"):
        call(name, src > 100, dst > 100, mask, at=AT)
    bright[12, 15, 2] = np.inf
    with pytest.raises(errors.ArgumentError, match=r"src: inf at pixel \(y=12, x=15\), channel 2"):
        call(name, bright, np.zeros_like(bright), mask)


@pytest.mark.parametrize("name", BLENDS)
def test_mask(name: str, src: np.ndarray, dst: np.ndarray, mask: np.ndarray) -> None:
    expected = call(name, src, dst, mask, at=AT)
    rgba = np.dstack([np.zeros_like(src), mask])
    for other in (mask.astype(np.uint16) * 257, Image.fromarray(mask), Image.fromarray(rgba), encoded(rgba)):
        same(call(name, src, dst, other, at=AT), expected)
    hard = mask > 127
    for other in (hard, Image.fromarray(hard), hard.astype(np.float64)):
        same(call(name, src, dst, other, at=AT), call(name, src, dst, hard * np.uint8(255), at=AT))
    same(call("alpha", np.dstack([src, mask]), dst, at=AT, decontaminate=False), call("alpha", src, dst, mask, at=AT))
    with pytest.raises(errors.ShapeError, match="never resized"):
        call(name, src, dst, mask[1:], at=AT)
    with pytest.raises(errors.MaskError, match="pass `mask > 0`"):
        call(name, src, dst, hard.astype(np.uint8), at=AT)
    with pytest.raises(errors.MaskError, match="a colour image"):
        call(name, src, dst, Image.fromarray(src), at=AT)


def test_a_jpeg_mask_means_black_and_white(src: np.ndarray, dst: np.ndarray) -> None:
    hard = np.zeros((24, 30), np.uint8)
    hard[5:19, 7:22] = 255
    noisy = np.asarray(Image.open(io.BytesIO(encoded(hard, "JPEG", quality=90))))
    assert ((noisy > 0) & (noisy < 9)).any()
    made = blend.alpha(src, dst, encoded(hard, "JPEG", quality=90), at=AT)
    far = np.pad(noisy > 8, ((AT[1], 40 - 24 - AT[1]), (AT[0], 56 - 30 - AT[0])))
    same(made[~far], dst[~far])


@pytest.mark.parametrize("name", BLENDS)
def test_position(name: str, src: np.ndarray, dst: np.ndarray, mask: np.ndarray) -> None:
    """The first pixel of src lands at `at`, whatever the mask; negative, outside and parts of a pixel too."""
    for x, y in ((9, 4), (-7, 20), (50, -9), (400, 0)):
        spot = np.zeros_like(mask)
        spot[3:20, 2:21] = mask[3:20, 2:21]
        made = call(name, src, dst, spot, at=(x, y))
        inside = np.zeros((40 + 2000, 56 + 2000), bool)
        inside[1000 + y : 1024 + y, 1000 + x : 1030 + x] = spot > 0
        same(made[~inside[1000:1040, 1000:1056]], dst[~inside[1000:1040, 1000:1056]])
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
        made = np.asarray(call(name, src, d, mask, at=AT))
        same(made[frame == 0], dst[frame == 0])
        assert (made[frame > 0] != dst[frame > 0]).any()


@pytest.mark.parametrize("name", BLENDS)
def test_alpha(name: str, src: np.ndarray, dst: np.ndarray, mask: np.ndarray) -> None:
    """The alpha of src is its mask, that of dst is kept."""
    alpha = np.random.default_rng(2).integers(0, 256, dst.shape[:2], np.uint8)
    cut = Image.fromarray(np.dstack([src, mask]))
    made = call(name, cut, Image.fromarray(np.dstack([dst, alpha])), at=AT)
    assert made.mode == "RGBA"
    same(np.asarray(made)[..., 3], alpha)
    same(np.asarray(made)[..., :3], call(name, cut, dst, at=AT))
    grey = call(name, cut, Image.fromarray(dst[..., 0]), at=AT)
    assert grey.mode == "L"
    assert (np.asarray(grey) != dst[..., 0]).any()


def test_exif_and_icc(src: np.ndarray, dst: np.ndarray, mask: np.ndarray, tmp_path: Path) -> None:
    """Orientation is applied and reset; dst's profile, EXIF and resolution are kept, its GPS only when asked for."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Maker", 6
    exif.get_ifd(0x8825)[1] = "N"
    turned = encoded(np.ascontiguousarray(np.rot90(dst)), "PNG", exif=exif, icc_profile=profile, dpi=(300, 300))
    made = blend.alpha(src, turned, mask, at=AT)
    same(made, blend.alpha(src, dst, mask, at=AT))
    target = tmp_path / "out.png"
    assert blend.alpha(src, turned, mask, at=AT, out=target) == target
    with Image.open(target) as saved:
        kept = saved.getexif()
        assert kept[0x010F] == "Maker"
        assert kept.get(0x0112, 1) == 1
        assert not kept.get_ifd(0x8825)
        assert saved.info["icc_profile"] == profile
        assert round(saved.info["dpi"][0]) == 300
    blend.alpha(src, turned, mask, at=AT, out=target, keep_gps=True)
    with Image.open(target) as saved:
        assert saved.getexif().get_ifd(0x8825)[1] == "N"


@pytest.mark.parametrize("name", BLENDS)
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_files_keep_their_levels_through_a_blend(name: str, suffix: str, tmp_path: Path) -> None:
    y, x = np.mgrid[:64, :96]
    deep = (500 * x + 90 * y + 7).astype(np.uint16)
    photo, cut, mask = np.dstack([deep, deep[:, ::-1], 65535 - deep]), deep[::-1, ::-1], np.zeros((64, 96), np.uint16)
    mask[8:56, 10:86] = 65535
    files = [tmp_path / f"{key}.{suffix}" for key in ("src", "dst", "mask", "out")]
    for image, path in zip((np.dstack([cut] * 3), photo, mask), files):
        ph.save(image, path)
    call(name, *files[:3], out=files[3])
    made = ph.load(files[3])
    assert made.dtype == np.uint16
    same(made[mask == 0], photo[mask == 0])
    same(made, call(name, np.dstack([cut] * 3), photo, mask))
    assert len(np.unique(made[mask > 0][:, 0])) > 4 * 256


def test_formats(dst: np.ndarray) -> None:
    for kind in ("PNG", "TIFF", "BMP"):
        same(ph.load(encoded(dst, kind)), dst)
    for kind in ("JPEG", "WEBP"):
        assert np.abs(np.asarray(ph.load(encoded(dst, kind, quality=95))).astype(int) - dst).mean() < 4
    for kind in ("GIF", "PPM", "ICO"):
        with pytest.raises(errors.DecodeError, match="PNG"):
            ph.load(encoded(dst, kind))


@pytest.mark.parametrize("name", BLENDS)
def test_batch(name: str, src: np.ndarray, dst: np.ndarray, mask: np.ndarray) -> None:
    """A list gives a list, sizes may differ, and one failure does not lose the others."""
    cases = [(src, dst, mask, (9, 4)), (src[2:], dst[:, 3:], mask[2:], (0, -3)), (src, dst, mask, None)]
    columns = [list(column) for column in zip(*cases)]
    with pytest.raises(errors.ShapeError):
        call(name, *columns[:3], at=columns[3])
    made, infos = call(name, *columns[:3], at=columns[3], errors="return", return_info=True)
    assert type(made) is list
    for result, (s, d, m, at) in zip(made[:2], cases[:2]):
        same(result, call(name, s, d, m, at=at))
    assert isinstance(made[2], errors.ShapeError)
    assert infos[0].device == "cpu"
    assert infos[2] is None
    pair = call(name, src, (dst, Image.fromarray(dst)), mask, at=(9, 4))
    assert type(pair) is tuple
    assert isinstance(pair[1], Image.Image)
    same(pair[0], pair[1])
    assert call(name, [], []) == []


def test_device(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
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

    monkeypatch.setattr(_device._State, "said", set())
    with caplog.at_level(logging.WARNING, "pyharmony"):
        for _ in range(2):
            assert blend.alpha(image, image, device="cuda", return_info=True)[1].device == "cpu"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
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
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "cpu"


def test_out(src: np.ndarray, dst: np.ndarray, mask: np.ndarray, tmp_path: Path) -> None:
    expected = blend.poisson(src, dst, mask, at=AT)
    target = np.empty_like(dst)
    assert blend.poisson(src, dst, mask, at=AT, out=target) is target
    same(target, expected)
    path = str(tmp_path / "out.png")
    assert blend.poisson(src, dst, mask, at=AT, out=path) is path
    same(Image.open(path), expected)
    deep = tmp_path / "deep.png"
    ph.save(dst.astype(np.uint16) * 256 + 7, deep)
    blend.poisson(Image.fromarray(src), deep, mask, at=AT, out=tmp_path / "deep_out.png")
    assert ph.load(tmp_path / "deep_out.png").dtype == np.uint16
    targets = [tmp_path / "a.png", None]
    made = blend.poisson(src, [dst, dst], mask, at=AT, out=targets)
    assert made[0] == targets[0]
    same(made[1], expected)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.png", "deep.png", "deep_out.png", "out.png"]


@pytest.mark.parametrize("name", BLENDS)
def test_info(name: str, src: np.ndarray, dst: np.ndarray, mask: np.ndarray) -> None:
    made, info = call(name, src, Image.fromarray(dst), mask, at=AT, return_info=True)
    assert isinstance(made, Image.Image)
    assert info.device == "cpu"
    assert info.method
    assert 0 <= info.max_error <= 0.25
    assert info.iterations >= 0
    assert info.residual >= 0
    assert info.milliseconds > 0
    assert info.peak_bytes > 0


def test_determinism(src: np.ndarray, dst: np.ndarray, mask: np.ndarray) -> None:
    before = ph.get_num_threads()
    try:
        for name in BLENDS:
            expected = call(name, src, dst, mask, at=AT)
            for threads in (1, 2, 8):
                ph.set_num_threads(threads)
                for _ in range(5):
                    same(call(name, src, dst, mask, at=AT), expected)
    finally:
        ph.set_num_threads(before)


def test_errors() -> None:
    for kind in (
        errors.ShapeError, errors.DTypeError, errors.MaskError, errors.ArgumentError, errors.ImageTooLarge,
        errors.DecodeError, errors.WeightsError, errors.OutOfMemory, errors.DeviceError,
    ):  # fmt: skip
        assert issubclass(kind, errors.PyHarmonyError)
    assert issubclass(errors.ShapeError, ValueError)
    assert issubclass(errors.MaskError, ValueError)
    assert issubclass(errors.DTypeError, TypeError)
    assert issubclass(errors.OutOfMemory, MemoryError)


def test_memory_that_is_not_there_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyharmony._images import frame

    def refuse(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(frame, "bounding_box", refuse)
    image = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(errors.OutOfMemory, match=r"\[4, 4, 3\] of uint8"):
        blend.alpha(image, image)


def test_logging() -> None:
    """The library never prints, and says nothing where nobody set logging up."""
    handlers = logging.getLogger("pyharmony").handlers
    assert any(isinstance(handler, logging.NullHandler) for handler in handlers)
    code = (
        "import numpy as np, pyharmony\na = np.zeros((4, 4, 3), np.uint8); pyharmony.blend.alpha(a, a, device='cuda')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_what_becomes_of_arrays_on_a_device_is_told_of_every_function() -> None:
    from pyharmony import composition, harmonization, matching, merging, shadows
    from pyharmony._images.places import PLACES

    rooms = (composition, harmonization, matching, merging, shadows)
    functions = {*blend.__all__, *(name for room in rooms for name in room.__all__ if name.islower())}
    assert set(PLACES) == (functions | {"super_resolve"}) - {"read_recipe", "contact_sheet"}
    page = (Path(__file__).parents[1] / "docs/cuda.md").read_text()
    said = {"there": "worked on where they lie", "copied": "copied to the CPU, the result back", "refused": "refused"}
    for name, place in PLACES.items():
        assert bool(place.why) == (place.way != "there")
        assert f"| `{name}` | {said[place.way]} | {place.why} |" in page
