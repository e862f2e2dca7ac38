"""`pyharmony.upscaling`: the generator in NumPy, tiles, kinds of images, methods; how the network is trained."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pyharmony
from pyharmony import _shipped, upscaling
from pyharmony._cuda import DeviceArray
from pyharmony._images.region import Region
from pyharmony.errors import ArgumentError, DataError, DeviceError, DTypeError, MaskError, ShapeError, WeightsError
from pyharmony.io import Picture
from pyharmony.learn import data
from pyharmony.upscaling import _generator, _methods
from pyharmony.upscaling._tiles import Pass, enlarged

from ..shared import to_dtype

pytestmark = pytest.mark.networks

#: The form of the network that ships, narrow.
LIGHT = {
    "scale": 2, "width": 6, "blocks": 2, "discriminator_width": 4, "norm": False, "direct": True, "residual": True,
}  # fmt: skip
FORMS: dict[str, dict[str, Any]] = {
    "light": LIGHT,
    "light, x4": LIGHT | {"scale": 4},
    "norms": LIGHT | {"norm": True},
    "published, x2": {"scale": 2, "width": 5, "blocks": 2, "discriminator_width": 4},
    "published, x4": {"scale": 4, "width": 4, "blocks": 1, "discriminator_width": 4},
    "published, residual": {"scale": 2, "width": 4, "blocks": 1, "discriminator_width": 4, "residual": True},
}


def light_weights(seed: int = 0, *, last: float = 0.02, **changes: Any) -> bytes:
    """Returns a file of weights of the form that ships, drawn by NumPy: torch is not needed."""
    random, width, scale = np.random.default_rng(seed), LIGHT["width"], LIGHT["scale"]
    config = LIGHT | changes
    shapes = {"first.0": (width, 3), "close.0": (width, width), "last": (3 * scale**2, width)}
    shapes |= {f"blocks.{i}.conv{k}": (width, width) for i in range(LIGHT["blocks"]) for k in (1, 2)}
    arrays = {}
    for name, (out, channels) in shapes.items():
        size = last if name == "last" else 0.3 / channels**0.5
        arrays[f"{name}.weight"] = random.normal(0, size, (out, channels, 3, 3)).astype(np.float32)
        arrays[f"{name}.bias"] = random.normal(0, size, out).astype(np.float32)
    for name in ("first.1", "close.1", *(f"blocks.{i}.act" for i in range(LIGHT["blocks"]))):
        arrays[f"{name}.weight"] = np.array([random.uniform(-0.5, 1.5)], np.float32)
    return safetensors(arrays, config)


def safetensors(arrays: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> bytes:
    entry = {"format": 1, "name": "srgan", "config": dict(config), "part": "generator"}
    table: dict[str, Any] = {"__metadata__": {"pyharmony": json.dumps(entry)}}
    values = b""
    for name, array in arrays.items():
        end = len(values) + array.nbytes
        table[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [len(values), end]}
        values += array.tobytes()
    head = json.dumps(table).encode()
    return len(head).to_bytes(8, "little") + head + values


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "light.safetensors"
    path.write_bytes(light_weights())
    return path


@pytest.fixture
def method(weights: Path) -> upscaling.Method:
    return upscaling.trained(weights)


def picture(height: int = 45, width: int = 60, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Returns noise over slow waves, [H, W, C] in [0, 1]."""
    y, x = np.mgrid[:height, :width]
    waves = 0.5 + 0.3 * np.sin(x / 5 + y / 7)
    noise = np.random.default_rng(seed).uniform(-0.2, 0.2, (height, width, channels))
    return (waves[..., None] + noise).clip(0, 1).astype(np.float32)


def by_pillow(image: np.ndarray, scale: int, kernel: Image.Resampling) -> np.ndarray:
    """Returns floats [H, W, C] enlarged by Pillow."""
    size = scale * image.shape[1], scale * image.shape[0]
    planes = np.moveaxis(image.astype(np.float32), -1, 0)
    return np.stack([np.asarray(Image.fromarray(np.ascontiguousarray(x)).resize(size, kernel)) for x in planes], -1)


# The network


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.usefixtures("one_torch_thread")
def test_the_generator_in_numpy_is_the_one_in_torch(form: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from pyharmony.networks import models

    torch.manual_seed(0)
    model = models.create("srgan", **FORMS[form])
    for name, tensor in model.generator.state_dict().items():  # type: ignore[union-attr]
        if name.endswith("running_mean"):
            tensor.normal_(0, 0.2)
        elif name.endswith("running_var"):
            tensor.uniform_(0.3, 2)
        elif name.startswith("last"):
            tensor.normal_(0, 0.05)
        elif tensor.numel() == 1 and tensor.is_floating_point():
            tensor.uniform_(-0.5, 1.5)
    image = picture()
    with torch.no_grad():
        expected = model.eval()(torch.from_numpy(image).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
    for part in ("all", "generator"):
        models.save(model, tmp_path / f"{part}.safetensors", part=part)  # type: ignore[arg-type]
        method, scale = upscaling.trained(tmp_path / f"{part}.safetensors"), model.config.scale
        enlarged = upscaling.super_resolve(image, scale, method=method)
        assert enlarged.shape == expected.shape and np.abs(enlarged - expected).max() < 1e-5
        assert np.abs(upscaling.super_resolve(image, scale, method=method, tile=16) - expected).max() < 1e-5


@pytest.mark.usefixtures("one_torch_thread")
def test_a_residual_generator_begins_with_a_bicubic_enlargement() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from pyharmony.networks import models

    model, image = models.create("srgan", "light"), picture()
    with torch.no_grad():
        output = model(torch.from_numpy(image).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
    assert np.abs(output - by_pillow(image, 2, Image.Resampling.BICUBIC)).max() < 1e-5
    assert sum(x.numel() for x in model.generator.parameters()) == 124_596  # type: ignore[union-attr]
    assert models.create("srgan", "small").config.norm and not model.config.norm
    with pytest.raises(ArgumentError, match="direct: 1, expected True or False"):
        models.create("srgan", direct=1)


def test_the_reach_of_a_network_is_all_that_it_looks_at(weights: Path) -> None:
    generator = _generator.parsed(weights.read_bytes(), "weights")
    assert generator.reach == 1 + 4 + 1 + 1
    size, at = 4 * generator.reach, 2 * generator.reach
    image = picture(size, size)
    other = image.copy()
    other[at, at] = 1 - other[at, at]
    rows, columns = np.nonzero(np.abs(generator.run(image) - generator.run(other)).max(2))
    for indices in (rows, columns):
        assert indices.min() >= 2 * (at - generator.reach) and indices.max() < 2 * (at + generator.reach + 1)
        assert indices.max() - indices.min() > 2 * generator.reach  # and not much less


def test_what_is_no_network_is_refused(tmp_path: Path) -> None:
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(light_weights()[:3000])
    with pytest.raises(WeightsError, match=r"bad\.safetensors"):
        upscaling.trained(bad)
    with pytest.raises(FileNotFoundError):
        upscaling.trained(tmp_path / "none.safetensors")
    for changes, says in (
        ({"blocks": 3}, r"blocks\.2\.conv1"),
        ({"scale": 3}, "scale: 3, expected 2 or 4"),
        ({"scale": 4}, "damaged safetensors file"),
        ({"direct": False}, r"up\.0\.0"),
    ):
        bad.write_bytes(light_weights(**changes))
        with pytest.raises(WeightsError, match=says):
            upscaling.trained(bad)
    bad.write_bytes(light_weights(last=np.inf))
    with pytest.raises(WeightsError, match="NaN or infinities"):
        upscaling.trained(bad)


# Tiles


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("name", ["trained", "lanczos", "bicubic"])
def test_tiles_leave_no_seams(name: str, scale: int, method: upscaling.Method) -> None:
    image, way = picture(75, 90), method if name == "trained" else name
    whole = upscaling.super_resolve(image, scale, method=way, tile=128)
    for tile in (16, 31, 64):
        assert np.abs(upscaling.super_resolve(image, scale, method=way, tile=tile) - whole).max() < 1e-5
    levels = to_dtype(image, "uint8")
    one, many = (upscaling.super_resolve(levels, scale, method=way, tile=tile).astype(int) for tile in (128, 16))
    assert np.abs(one - many).max() <= 1 and np.mean(one != many) < 1e-3


def test_no_more_is_read_than_a_tile_and_its_surroundings() -> None:
    parts = []

    def run(values: np.ndarray) -> Any:
        parts.append(values.shape[:2])
        return np.repeat(np.repeat(values, 2, 0), 2, 1)

    image = picture(100, 130)
    for region in Region.whole((100, 130)).tiles(32):
        result = enlarged(lambda part: part.of(image), region, (100, 130), (Pass(2, 5, run), Pass(2, 5, run)))
        expected = np.repeat(np.repeat(region.of(image), 4, 0), 4, 1)
        assert np.array_equal(result, expected)
    first, second = (max(max(shape) for shape in parts[k::2]) for k in (0, 1))
    assert first == 32 + 2 * (3 + 5) and second == 64 + 2 * 5


def test_the_number_of_threads_changes_nothing(method: upscaling.Method, threads: int) -> None:
    image = to_dtype(picture(70, 80), "uint16")
    enlarged = upscaling.super_resolve(image, 2, method=method, tile=32)
    pyharmony.set_num_threads(1)
    assert np.array_equal(enlarged, upscaling.super_resolve(image, 2, method=method, tile=32))


def test_interpolations_are_those_of_pillow() -> None:
    image = picture()
    for name, kernel in (("lanczos", Image.Resampling.LANCZOS), ("bicubic", Image.Resampling.BICUBIC)):
        for scale in (2, 4):
            enlarged = upscaling.super_resolve(image, scale, method=name)
            assert np.abs(enlarged - by_pillow(image, scale, kernel)).max() < 1e-5
    levels = to_dtype(image, "uint8")  # Pillow cuts what it has of these after each axis, too
    expected = by_pillow(levels, 2, Image.Resampling.LANCZOS).clip(0, 255)
    assert np.abs(upscaling.super_resolve(levels, method="lanczos") - expected).max() < 0.501


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 2)])
def test_the_smallest_images(shape: tuple[int, int], method: upscaling.Method) -> None:
    for scale in (2, 4):
        enlarged = upscaling.super_resolve(np.full((*shape, 3), 77, np.uint8), scale, method=method)
        assert enlarged.shape == (scale * shape[0], scale * shape[1], 3)


# Kinds of images


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(40, 50), (40, 50, 1), (40, 50, 3), (40, 50, 4), (2, 40, 50, 3)])
def test_the_result_is_of_the_kind_of_the_image(dtype: str, shape: tuple[int, ...], method: upscaling.Method) -> None:
    values = picture(40, 50, 4) if len(shape) < 4 else np.stack([picture(40, 50, seed=i) for i in range(2)])
    image = to_dtype(values.reshape(40, 50, 4)[..., : shape[-1] if len(shape) == 3 else 1].reshape(shape), dtype) if (
        len(shape) < 4
    ) else to_dtype(values, dtype)  # fmt: skip
    expected_shape, info = upscaling.super_resolve(image, method=method, return_info=True)
    first = 0 if len(shape) < 4 else 1
    expected = tuple(2 * n if i in (first, first + 1) else n for i, n in enumerate(shape))
    assert expected_shape.shape == expected and expected_shape.dtype == image.dtype
    infos = info if isinstance(info, list) else [info]
    assert len(infos) == (2 if len(shape) == 4 else 1)
    assert all((i.method, i.scale, i.tiles) == ("trained", 2, 1) and i.milliseconds > 0 for i in infos)
    # One value of each 2 x 2 is near the pixel that they come from, as the network adds little.
    small = expected_shape.astype(np.float64)
    small = small.reshape(*expected[:first], shape[first], 2, shape[first + 1], 2, -1).mean((first + 1, first + 3))
    unit = {"uint8": 255, "uint16": 65535}.get(dtype, 1)
    off = np.abs(small.reshape(shape) - image.astype(np.float64)) / unit
    assert off.mean() < 0.12


def test_depth_is_used(method: upscaling.Method) -> None:
    deep = to_dtype(picture(), "uint16")
    exact = upscaling.super_resolve(deep / np.float32(65535), method=method)
    enlarged = upscaling.super_resolve(deep, method=method) / 65535
    assert np.abs(enlarged - exact.clip(0, 1)).max() < 1.1e-5
    grey = picture(channels=1)
    expected = upscaling.super_resolve(np.repeat(grey, 3, 2), method=method).mean(2)
    assert np.abs(upscaling.super_resolve(grey[..., 0], method=method) - expected).max() < 1e-5


@pytest.mark.filterwarnings("ignore:.* where 0 is black and 1 is white:pyharmony.errors.PyHarmonyWarning")
def test_floats_are_not_clipped(method: upscaling.Method) -> None:
    image = 4 * picture() - 1.5
    for way in (method, "bicubic"):
        enlarged = upscaling.super_resolve(image, method=way)
        assert enlarged.min() < -1 and enlarged.max() > 2


def test_tensors(method: upscaling.Method) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    image = to_dtype(picture(40, 50), "uint8")
    expected = upscaling.super_resolve(image, method=method)
    tensor = torch.from_numpy(image).permute(2, 0, 1)
    enlarged = upscaling.super_resolve(tensor, method=method)
    assert isinstance(enlarged, torch.Tensor) and np.array_equal(enlarged.permute(1, 2, 0).numpy(), expected)
    batch = upscaling.super_resolve(torch.stack([tensor, tensor.flip(2)]), 4, method="bicubic")
    assert batch.shape == (2, 3, 160, 200)
    plane = upscaling.super_resolve(tensor[0].contiguous(), method=method)
    assert plane.shape == (80, 100)
    out = torch.empty(3, 80, 100, dtype=torch.uint8)
    assert upscaling.super_resolve(tensor, method=method, out=out) is out and torch.equal(out, enlarged)
    with pytest.raises(DTypeError, match="out: ndarray, expected the kind of image, Tensor"):
        upscaling.super_resolve(tensor, method=method, out=np.empty((3, 80, 100), np.uint8))


def test_alpha_is_enlarged_and_hidden_colours_are_not_seen(method: upscaling.Method) -> None:
    image = np.ones((40, 60, 4), np.float32)
    image[..., :3] = picture(40, 60) * 0.2 + 0.4
    image[:, 30:, 3] = 0
    plain = image.copy()
    image[:, 30:, :3] = np.nan
    for way in (method, "lanczos"):
        enlarged, info = upscaling.super_resolve(image, method=way, tile=16, return_info=True)
        assert info.tiles == 12 and np.isfinite(enlarged).all()
        assert (enlarged[:, :54, 3] == 1).all() and (enlarged[:, 66:, 3] == 0).all()
        assert ((enlarged[..., 3] >= 0) & (enlarged[..., 3] <= 1)).all()
        if way == "lanczos":
            visible = enlarged[enlarged[..., 3] > 0.01][:, :3]
            assert visible.min() > 0.3 and visible.max() < 0.7
        other = upscaling.super_resolve(plain, method=way, tile=16)
        assert np.array_equal(enlarged, other)
    opaque = upscaling.super_resolve(np.dstack([plain[..., :3], np.ones((40, 60), np.float32)]), method=method)
    assert np.array_equal(opaque[..., :3], upscaling.super_resolve(plain[..., :3].copy(), method=method))
    with pytest.raises(MaskError, match="the alpha of image"):
        upscaling.super_resolve(np.full((8, 8, 4), 2.0, np.float32), method=method)


def test_a_file_keeps_its_depth_profile_and_metadata(method: upscaling.Method, tmp_path: Path) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010E] = "a photograph"
    path, levels = tmp_path / "in.png", to_dtype(picture(40, 50), "uint8")
    Image.fromarray(levels).save(path, icc_profile=profile, exif=exif, dpi=(300, 300))
    enlarged = upscaling.super_resolve(path, method=method)
    assert enlarged.size == (100, 80) and enlarged.info["icc_profile"] == profile
    expected = upscaling.super_resolve(levels, method=method)
    assert np.array_equal(np.asarray(enlarged), expected)
    out = tmp_path / "out.png"
    assert upscaling.super_resolve(path, method=method, out=out) == out
    file_image = Image.open(out)
    assert file_image.getexif()[0x010E] == "a photograph" and round(file_image.info["dpi"][0]) == 300
    assert np.array_equal(np.asarray(file_image), expected)
    assert np.array_equal(np.asarray(upscaling.super_resolve(Image.open(path), method=method)), expected)
    deep = Picture(to_dtype(picture(40, 50), "uint16"), profile=profile, dpi=(72.0, 72.0))
    deep_result = upscaling.super_resolve(deep, 4, method="bicubic")
    assert (
        isinstance(deep_result, Picture)
        and deep_result.pixels.shape == (160, 200, 3)
        and deep_result.pixels.dtype == np.uint16
    )
    assert deep_result.profile == profile and deep_result.dpi == deep.dpi
    buffer = io.BytesIO()
    pyharmony.save(deep_result, buffer, format="tiff")
    assert upscaling.super_resolve(buffer.getvalue(), method="bicubic").dtype == np.uint16


def test_lists(method: upscaling.Method, tmp_path: Path) -> None:
    images = [to_dtype(picture(20 + i, 30), "uint8") for i in range(2)]
    enlarged, infos = upscaling.super_resolve(images, method=method, return_info=True)
    assert [x.shape for x in enlarged] == [(40, 60, 3), (42, 60, 3)] and len(infos) == 2
    outs = [np.empty((40, 60, 3), np.uint8), tmp_path / "b.png"]
    results = upscaling.super_resolve(images, method=method, out=outs)
    assert results[0] is outs[0] and np.array_equal(outs[0], enlarged[0])
    assert np.array_equal(np.asarray(Image.open(outs[1])), enlarged[1])  # type: ignore[arg-type]
    mixed = upscaling.super_resolve([images[0], tmp_path / "none.png"], method=method, errors="return")
    assert np.array_equal(mixed[0], enlarged[0]) and isinstance(mixed[1], OSError)


def test_an_array_for_the_result(method: upscaling.Method) -> None:
    image = to_dtype(picture(40, 50), "uint8")
    out = np.zeros((80, 100, 3), np.uint8)
    assert upscaling.super_resolve(image, method=method, out=out) is out and out.any()
    big = np.zeros((80, 100, 3), np.uint8)
    for wrong, error, says in (
        (
            np.zeros((40, 50, 3), np.uint8),
            ShapeError,
            r"out: shape \[40, 50, 3\], expected that of image 2 times as large",
        ),
        (
            np.zeros((80, 100, 3), np.uint16),
            DTypeError,
            "out: dtype uint16, expected that of image 2 times as large, uint8",
        ),
    ):
        with pytest.raises(error, match=says):
            upscaling.super_resolve(image, method=method, out=wrong)
    with pytest.raises(ArgumentError, match="out: shares memory with image"):
        upscaling.super_resolve(big[:40, :50], method=method, out=big)
    out.flags.writeable = False
    with pytest.raises(ArgumentError, match="out: the array is read-only"):
        upscaling.super_resolve(image, method=method, out=out)


def test_arrays_on_a_device_are_copied(
    method: upscaling.Method, emulator: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from pyharmony import _native

    from ..cuda_arrays import Interface, fetched

    monkeypatch.setattr(_native, "device_module", lambda: emulator)
    image = to_dtype(picture(20, 30), "uint8")
    expected = upscaling.super_resolve(image, method=method)
    enlarged, info = upscaling.super_resolve(Interface(image), method=method, return_info=True)
    assert (
        isinstance(enlarged, DeviceArray) and np.array_equal(fetched(enlarged), expected) and info.method == "trained"
    )
    upscaling.super_resolve(Interface(image), method=method, out=tmp_path / "out.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png")), expected)
    with pytest.raises(DeviceError, match="out: in the memory of a CUDA device"):
        upscaling.super_resolve(image, method=method, out=Interface(np.zeros_like(expected)))
    with pytest.raises(DeviceError, match="out: on the CPU, but image is on cuda:0"):
        upscaling.super_resolve(Interface(image), method=method, out=np.zeros_like(expected))


# Arguments and methods


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"scale": 3}, ArgumentError, "scale: 3, expected 2 or 4"),
        ({"scale": True}, ArgumentError, "scale: True, expected 2 or 4"),
        ({"tile": 8}, ArgumentError, "tile: 8, expected a whole number of at least 16"),
        ({"tile": 16.5}, DTypeError, r"tile: float 16\.5, expected a whole number"),
        ({"tile": "big"}, DTypeError, "tile: str 'big', expected a whole number"),
        ({"method": "nearest"}, ArgumentError, "method: 'nearest', expected one of 'auto', 'srgan', 'lanczos'"),
        ({"image": np.zeros((4, 4, 2), np.uint8)}, ShapeError, r"image: shape \[4, 4, 2\]"),
        ({"image": np.zeros((4, 4), np.int32)}, DTypeError, "image: dtype int32"),
        ({"image": np.full((4, 4), np.nan)}, ArgumentError, "image: nan at pixel"),
        ({"image": 7}, DTypeError, "image: int, expected"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], error: type[Exception], says: str) -> None:
    options: dict[str, Any] = {"image": np.zeros((20, 20, 3), np.uint8), "method": "bicubic"} | changes
    with pytest.raises(error, match=says):
        upscaling.super_resolve(options.pop("image"), **options)


def test_a_network_that_enlarges_too_much(tmp_path: Path) -> None:
    path = tmp_path / "x4.safetensors"
    arrays, table = {}, light_weights()
    length = int.from_bytes(table[:8], "little")
    for name, entry in json.loads(table[8 : 8 + length]).items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            arrays[name] = np.frombuffer(table[8 + length :][start:end], np.float32).reshape(entry["shape"])
    arrays["last.weight"], arrays["last.bias"] = (np.tile(arrays[f"last.{x}"].T, 4).T for x in ("weight", "bias"))
    path.write_bytes(safetensors(arrays, LIGHT | {"scale": 4}))
    method = upscaling.trained(path)
    assert upscaling.super_resolve(np.zeros((9, 8, 3), np.uint8), 4, method=method).shape == (36, 32, 3)
    with pytest.raises(ArgumentError, match="scale: 2, expected 4, the factor of the method"):
        upscaling.super_resolve(np.zeros((9, 8, 3), np.uint8), 2, method=method)


def test_the_default_is_what_ships(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = to_dtype(picture(20, 30), "uint8")
    monkeypatch.setattr(_shipped, "every", list)
    for name in ("auto", "srgan"):
        with pytest.raises(WeightsError, match=f"weights {_methods._WEIGHTS}, which do not come.*'lanczos'"):
            upscaling.super_resolve(image, method=name)
    assert upscaling.METHODS["srgan"].missing and not upscaling.METHODS["lanczos"].missing
    with pytest.raises(WeightsError, match="does not contain"):
        _generator.network("srgan-light")
    import hashlib

    content = weights.read_bytes()
    entry = _shipped.Weights(
        _methods._WEIGHTS,
        "srgan",
        "upscale",
        "",
        weights.name,
        len(content),
        hashlib.sha256(content).hexdigest(),
        "",
        "",
        True,
    )
    monkeypatch.setattr(_shipped, "every", lambda: [entry])
    monkeypatch.setattr(_shipped, "FOLDER", weights.parent)
    enlarged, info = upscaling.super_resolve(image, return_info=True)
    assert info.method == "srgan"
    assert np.array_equal(enlarged, upscaling.super_resolve(image, method=upscaling.trained(weights)))


def test_what_ships_is_better_than_bicubic(data_dir: Path) -> None:
    samples = data.Manifest(data_dir / "photos_open", "test", ("image",))
    gains = []
    for i in range(0, len(samples), 16):
        whole = samples[i]["image"]
        top, left = ((side - 240) // 2 for side in whole.shape[:2])
        image = whole[top : top + 240, left : left + 240]
        small = np.array(Image.fromarray(image).resize((120, 120), Image.Resampling.BICUBIC))
        ours, theirs = (
            pyharmony.learn.metrics.psnr(upscaling.super_resolve(small, method=method), image)
            for method in ("auto", "bicubic")
        )
        gains.append(ours - theirs)
    # A part that is all sky may be a little worse.
    assert np.mean(gains) > 1 and np.mean(np.array(gains) > 0) > 0.8


# Training


def photographs(folder: Path, count: int = 6, size: tuple[int, int] = (70, 90)) -> Path:
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for i in range(count):
        Image.fromarray(to_dtype(picture(*size, seed=i), "uint8")).save(folder / "images" / f"p{i}.png")
        Image.new("L", size[::-1], 255).save(folder / "masks" / f"p{i}.png")
    return folder


def test_crops_are_squares_of_photographs(tmp_path: Path) -> None:
    photos = data.Photos(photographs(tmp_path / "photos", 2))
    crops = data.Crops(photos, size=32, per_photo=3, seed=5)
    assert len(crops) == 6 and crops.names[4] == "p1_1" and crops.groups[4] == photos.groups[1]
    first = crops[4]
    assert sorted(first) == ["name", "target"] and first["target"].shape == (32, 32, 3)
    image = photos[1]["image"]
    windows = np.lib.stride_tricks.sliding_window_view(image, (32, 32, 3))[:, :, 0]
    assert (windows == first["target"]).all((2, 3, 4)).any()
    assert np.array_equal(first["target"], crops[4]["target"])
    assert not np.array_equal(first["target"], crops[3]["target"])
    assert not np.array_equal(first["target"], crops.at_epoch(1)[4]["target"])
    assert data.Crops(photos, size=80)[0]["target"].shape == (80, 80, 3)
    with pytest.raises(ArgumentError, match="size: 4, expected 8 or more"):
        data.Crops(photos, size=4)

    class Masks(data.Dataset):
        names = ("a",)

        def _load(self, index: int) -> dict[str, Any]:
            return {"name": "a", "mask": np.zeros((9, 9), np.uint8)}

    with pytest.raises(DataError, match="a: has name, mask, expected an image"):
        data.Crops(Masks(), size=8)[0]


@pytest.mark.usefixtures("one_torch_thread")
def test_worn_images_are_reduced_from_the_target() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from torch.nn import functional

    from pyharmony.learn.training.steps import _degraded

    target = torch.from_numpy(np.stack([picture(64, 64, seed=i) for i in range(24)])).permute(0, 3, 1, 2)
    image = functional.interpolate(target, size=(32, 32), mode="bicubic", antialias=True).clamp(0, 1)
    before = image.clone()
    torch.manual_seed(0)
    result = _degraded.degraded(image, target, 0.5)
    changed = (result != image).flatten(1).any(1)
    assert torch.equal(image, before) and 4 < int(changed.sum()) < 20
    assert float(result.min()) >= 0 and float(result.max()) <= 1
    off = (result - functional.avg_pool2d(target, 2)).abs().mean((1, 2, 3))
    assert float(off.max()) < 0.06
    torch.manual_seed(0)
    assert torch.equal(result, _degraded.degraded(image, target, 0.5))
    assert _degraded.degraded(image, target, 0.0) is image
    flat = torch.full((1, 2, 9, 9), 0.25)
    assert torch.allclose(_degraded.gaussian(flat, 1.3), flat)
    spot = torch.zeros(1, 1, 41, 41)
    spot[..., 20, 20] = 1
    blurred = _degraded.gaussian(spot, 2.0)[0, 0]
    at = torch.arange(41) - 20.0
    assert float(blurred.sum()) == pytest.approx(1, abs=1e-5)
    assert float((blurred.sum(0) * at.square()).sum()) == pytest.approx(4.0, rel=0.05)


@pytest.mark.full
@pytest.mark.usefixtures("one_torch_thread")
def test_the_recipe_trains_on_photographs(tmp_path: Path) -> None:
    pytest.importorskip("lightning_fabric", reason="torch is not installed")
    pytest.importorskip("tensorboard", reason="torch is not installed")
    from pyharmony.learn import training
    from pyharmony.learn.training._samples import datasets

    root = photographs(tmp_path / "photos")
    changes = [f"data.root={root}", "data.validation=0.4", "data.size=32", "data.per_photo=4", "data.workers=0"]
    changes += ["run.batch=4", "run.evaluate_steps=0", "schedule.minutes=0", "schedule.steps=40", "schedule.warm_up=1"]
    changes += ["step.lr=3e-3", "model.width=8", "model.blocks=1", "model.discriminator_width=4", "run.ema=0.5"]
    config = training.config_of(training.with_changes(training.recipe("srgan-light"), changes))
    squares, held_back = datasets(config)
    assert squares[0]["target"].shape == (64, 64, 3) and held_back[0]["target"].shape == (32, 32, 3)
    result = training.train(config, tmp_path / "run", device="cpu")
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert {"l1"} <= set(next(line for line in lines if line["kind"] == "loss"))
    figures = [line["psnr"] for line in lines if line["kind"] == "validation"]
    assert figures[-1] > figures[0] and result.steps == 40
    assert len(training.held_back(tmp_path / "run")) == len(held_back)
    method = upscaling.trained(tmp_path / "run" / "best.safetensors")
    image = to_dtype(picture(20, 30), "uint8")
    assert upscaling.super_resolve(image, 4, method=method).shape == (80, 120, 3)
    # The adversary goes on from such weights.
    changes += ["step.pretraining=0", "schedule.steps=2", f"run.start={tmp_path / 'run' / 'best.safetensors'}"]
    config = training.config_of(training.with_changes(training.recipe("srgan-light"), changes))
    training.train(config, tmp_path / "sharp", device="cpu")
    lines = [json.loads(line) for line in (tmp_path / "sharp" / "log.jsonl").read_text().splitlines()]
    assert {"discriminator", "adversarial"} <= set(next(line for line in lines if line["kind"] == "loss"))
