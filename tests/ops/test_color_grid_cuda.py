"""color_grid on a device: its kernels run by the emulator in several orders, and on a GPU where there is one."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

from pyharmony import _native, ops
from pyharmony._cuda import DeviceArray
from pyharmony.errors import ArgumentError, DeviceError, DTypeError, ShapeError

from ..cuda_arrays import Interface, far_apart, fetched
from ..shared import captured
from .test_color_grid import (
    EPS,
    GRADIENT_CASES,
    PARTS,
    RANGE,
    as_floats,
    bound,
    expected_of,
    function,
    random_image,
    random_map,
    soft_mask,
    tensors,
)

HAS_TORCH = importlib.util.find_spec("torch") is not None
if HAS_TORCH:
    import torch

    from pyharmony.ops import _native_torch

needs_torch = pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")

DTYPES = ("uint8", "uint16", "float16", "float32")
#: Height, width, (Gh, Gw, D), K: bytes in words and not, several strips and bands, more cells than pixels, a strip that
#: is cut for the columns of its grid, one of everything.
SIZES = (
    (9, 136, (4, 6, 8), 8),
    (5, 37, (16, 16, 4), 16),
    (3, 1100, (2, 3, 11), 5),
    (4, 8, (2, 90, 9), 3),
    (11, 4, (1, 1, 1), 2),
    (1, 1, (2, 2, 2), 3),
)


@pytest.fixture
def on_emulator(emulator: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(_native, "device_module", lambda: emulator)
    return emulator


def there(options: dict[str, Any]) -> dict[str, Any]:
    return {name: Interface(x) if isinstance(x, np.ndarray) else x for name, x in options.items()}


def run(image: Any, mask: Any = None, **options: Any) -> np.ndarray[Any, Any]:
    result = ops.color_grid(Interface(image), None if mask is None else Interface(mask), **there(options))
    assert isinstance(result, DeviceArray)
    return fetched(result)


# ---- the emulator ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", PARTS, ids="+".join)
@pytest.mark.parametrize("dtype", DTYPES)
def test_kernels_follow_the_reference(on_emulator: Any, dtype: str, parts: tuple[str, ...]) -> None:
    for height, width, cells, knots in SIZES:
        rng = np.random.default_rng(1)
        image, mask = random_image(rng, (height, width), dtype), soft_mask(rng, (height, width))
        maps = random_map(rng, cells, knots, parts)
        result = run(image, mask, **maps)
        assert result.dtype == image.dtype
        expected = expected_of(image, mask, **maps)
        np.testing.assert_allclose(as_floats(result), expected, rtol=0, atol=bound(image, maps))
        np.testing.assert_array_equal(result[mask == 0], image[mask == 0])


@pytest.mark.parametrize("mask_dtype", ["bool", "uint8", "uint16", "float16", "float64"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_masks_of_any_dtype(on_emulator: Any, dtype: str, mask_dtype: str) -> None:
    rng = np.random.default_rng(2)
    image, mask = random_image(rng, (6, 64), dtype), soft_mask(rng, (6, 64), mask_dtype)
    maps = random_map(rng)
    result = run(image, mask, **maps)
    np.testing.assert_allclose(as_floats(result), expected_of(image, mask, **maps), rtol=0, atol=bound(image, maps))
    np.testing.assert_array_equal(result[mask == 0], image[mask == 0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_maps_that_do_nothing_change_nothing(on_emulator: Any, dtype: str) -> None:
    rng = np.random.default_rng(3)
    image = random_image(rng, (5, 72), dtype)
    if dtype not in RANGE:
        image = (image * 40 - 10).astype(dtype)
    identity = {"affine": np.eye(3, 4), "curves": np.zeros((3, 3, 9)), "grid": np.zeros((3, 5, 8, 3, 4))}
    identity = {name: part.astype(np.float32) for name, part in identity.items()}
    for options in ({}, {"affine": identity["affine"]}, identity):
        for mask in (None, soft_mask(rng, (5, 72))):
            np.testing.assert_array_equal(run(image, mask, **options), image)


def test_the_background_keeps_its_bits_whatever_the_map_is(on_emulator: Any) -> None:
    """Values on a device are not read, so NaN in a map is not refused."""
    rng = np.random.default_rng(4)
    for dtype in DTYPES:
        image, mask = random_image(rng, (6, 64), dtype), soft_mask(rng, (6, 64), "uint8")
        if dtype not in RANGE:
            image[0, 0], mask[0, 0] = np.nan, 0
        maps = random_map(rng)
        maps["affine"][0, 0] = np.nan
        result = run(image, mask, **maps)
        assert (result[mask == 0].tobytes()) == image[mask == 0].tobytes()


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("cells", [(5, 7, 8), (40, 90, 4)], ids=str)
def test_tiles_have_the_bits_of_the_whole(on_emulator: Any, dtype: str, cells: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(5)
    height, width = 21, 132
    image, mask = random_image(rng, (height, width), dtype), soft_mask(rng, (height, width), "uint8")
    maps = random_map(rng, cells)
    whole = run(image, mask, **maps)
    for tile_height, tile_width in ((7, 100), (21, 33), (4, 44)):
        tiles = np.empty_like(image)
        for y in range(0, height, tile_height):
            for x in range(0, width, tile_width):
                at = np.s_[y : y + tile_height, x : x + tile_width]
                tiles[at] = run(image[at].copy(), mask[at].copy(), origin=(x, y), frame=(height, width), **maps)
        np.testing.assert_array_equal(tiles, whole)


def test_strides_batches_and_targets(on_emulator: Any) -> None:
    rng = np.random.default_rng(6)
    images, masks = random_image(rng, (3, 7, 40)), soft_mask(rng, (3, 7, 40))
    own, shared = random_map(rng, count=3), random_map(rng)
    expected = np.stack([run(images[i], masks[i], **{k: v[i] for k, v in own.items()}) for i in range(3)])
    np.testing.assert_array_equal(run(images, masks, **own), expected)
    np.testing.assert_array_equal(run(images, masks[0], **shared)[2], run(images[2], masks[0], **shared))
    planar = np.moveaxis(np.ascontiguousarray(np.moveaxis(images, -1, 1)), 1, -1)
    flipped = np.ascontiguousarray(images[:, ::-1, ::-1, ::-1])[:, ::-1, ::-1, ::-1]
    wide = np.repeat(masks, 2, 2)[..., ::2]
    for same in (planar, flipped):
        np.testing.assert_array_equal(run(same, wide, **own), expected)
    out, part = np.zeros((3, 7, 40, 4), np.uint8), np.zeros(0)
    part = out[..., 1:]
    ops.color_grid(Interface(images), Interface(masks), **there({**own, "out": part}))
    np.testing.assert_array_equal(part, expected)
    assert not out[..., 0].any()
    inside = images.copy()
    ops.color_grid(Interface(inside), Interface(masks), **there({**own, "out": inside}))
    np.testing.assert_array_equal(inside, expected)


@pytest.mark.parametrize("axis", range(4), ids=["items", "rows", "columns", "channels"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_offsets_beyond_two_gigavalues(on_emulator: Any, dtype: str, axis: int) -> None:
    rng = np.random.default_rng(7)
    images, masks, maps = random_image(rng, (2, 5, 12), dtype), soft_mask(rng, (2, 5, 12)), random_map(rng, count=2)
    expected = run(images, masks, **maps)
    far, out = (far_apart(a, axis, on_emulator) for a in (images, images * 0))
    far_masks = masks if axis == 3 else far_apart(masks, axis, on_emulator)
    ops.color_grid(Interface(far), Interface(far_masks), **there({**maps, "out": out}))
    np.testing.assert_array_equal(out, expected)


def test_bad_arrays_on_a_device(on_emulator: Any) -> None:
    image, affine = np.zeros((4, 5, 3), np.uint8), np.eye(3, 4, dtype=np.float32)
    wide = np.zeros((4, 6, 3), np.uint8)
    for options, error, message in (
        ({"image": Interface(image.astype(np.float64))}, DTypeError, "image: dtype float64; CUDA kernels support"),
        ({"image": Interface(image[..., :2])}, ShapeError, "image: shape"),
        ({"mask": Interface(np.ones((5, 4)))}, ShapeError, "mask: shape"),
        ({"mask": np.ones((4, 5))}, DeviceError, "mask: on the CPU"),
        (
            {"affine": Interface(affine.astype(np.float64))},
            DTypeError,
            "affine: float64 .* expected contiguous float32",
        ),
        ({"affine": Interface(affine[:, ::-1])}, DTypeError, "affine: float32 with strides"),
        ({"affine": Interface(affine[:2])}, ShapeError, "affine: shape"),
        ({"out": Interface(wide)}, ShapeError, "out: uint8"),
        ({"image": Interface(wide[:, :5]), "out": Interface(wide[:, 1:])}, ArgumentError, "out: overlaps image"),
    ):
        with pytest.raises(error, match=message):
            ops.color_grid(**{"image": Interface(image), "affine": Interface(affine), **options})


def close_to_the_processors(inputs: Any, gradients: Any, expected: Any) -> None:
    """Asserts nearness: a piece has float32 sums of at most 512 in a lane, pieces add up in double, as on the CPU."""
    for a, b, x in zip(gradients, expected, inputs, strict=True):
        assert a.dtype == x.dtype and a.shape == x.shape
        size = max(1.0, float(b.abs().max()))
        rounding = 2.0**-11 * b.abs() if a.dtype == torch.float16 else 0
        assert ((a.double() - b.double()).abs() <= 1024 * EPS["float32"] * size + 2 * rounding).all()


@needs_torch
@pytest.mark.parametrize("case", [*GRADIENT_CASES, ((5, 70), (1, 1, 70 // 2), 30, False)], ids=lambda c: str(c[0]))
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_gradients_are_those_of_the_processor(
    on_emulator: Any, monkeypatch: pytest.MonkeyPatch, one_torch_thread: None, dtype: str, case: Any
) -> None:
    inputs = tensors(*case, dtype=dtype)
    result = function(*inputs)
    grad = torch.from_numpy(np.random.default_rng(1).standard_normal(result.shape).astype(dtype))
    expected = torch.autograd.grad(result, inputs, grad, retain_graph=True)
    monkeypatch.setattr(_native_torch, "on_device", lambda x: True)
    close_to_the_processors(inputs, torch.autograd.grad(result, inputs, grad), expected)
    for i in range(5):
        alone = [x.detach() for x in inputs]
        alone[i].requires_grad_()
        (gradient,) = torch.autograd.grad(function(*alone), alone[i], grad)
        close_to_the_processors([inputs[i]], [gradient], [expected[i]])


@needs_torch
def test_the_background_is_in_no_sum(on_emulator: Any, monkeypatch: pytest.MonkeyPatch, one_torch_thread: None) -> None:
    image, mask, *parts = (x.detach() for x in tensors((12, 40), (2, 3, 8), 5, False, "float32"))
    affine, curves, grid = (part.requires_grad_() for part in parts)
    clean = torch.where(mask[..., None] > 0, image, 0.5)
    expected = torch.autograd.grad(function(clean, mask, affine, curves, grid).sum(), (affine, curves, grid))
    dirty = torch.where(mask[..., None] > 0, image, torch.nan)
    monkeypatch.setattr(_native_torch, "on_device", lambda x: True)
    gradients = torch.autograd.grad(function(dirty, mask, affine, curves, grid).nansum(), (affine, curves, grid))
    close_to_the_processors(parts, gradients, expected)


@needs_torch
def test_the_bits_are_the_same_in_any_order_of_the_threads(
    on_emulator: Any, monkeypatch: pytest.MonkeyPatch, one_torch_thread: None
) -> None:
    inputs = tensors((2, 30, 70), (3, 4, 8), 9, True, "float32")
    result = function(*inputs)
    monkeypatch.setattr(_native_torch, "on_device", lambda x: True)
    gradients = []
    for seed in (0, 17, 99):
        on_emulator.set_seed(seed)
        gradients.append(torch.autograd.grad(result.sum(), inputs, retain_graph=True))
    assert all(torch.equal(a, b) for other in gradients[1:] for a, b in zip(gradients[0], other, strict=True))


def test_what_kernels_are_given_is_checked(emulator: Any) -> None:
    def view(a: Any, writable: bool = False) -> Any:
        strides = tuple(s // a.itemsize for s in a.strides)
        return emulator.ArrayView(a.ctypes.data, a.dtype.name, a.shape, strides, writable)

    image, affine = np.zeros((1, 4, 5, 3), np.float32), np.zeros((1, 3, 4), np.float32)
    on = {"device": -1, "stream": 0}

    def forward(image: Any = image, affine: Any = affine, frame: Any = (0, 0, 4, 5), out: Any = image) -> None:
        arguments = (view(image), None, view(affine), None, None, 1, frame, view(out, True))
        emulator.color_grid(*arguments, **on)

    def backward(space: int, grad: Any = image) -> None:
        memory = np.zeros(space, np.uint8)
        emulator.color_grid_gradient(
            view(image), None, view(affine), None, None, 1, (0, 0, 4, 5), view(grad), None, None,
            view(np.zeros(12, np.float32), True), None, None, workspace=view(memory), **on,
        )  # fmt: skip

    for message, call in (
        ("affine: expected 3 axes of float32", lambda: forward(affine=affine.astype(np.float64))),
        ("affine: 2 maps for 1 images", lambda: forward(affine=np.zeros((2, 3, 4), np.float32))),
        ("image: float64 is not for a device", lambda: forward(
            image.astype(np.float64), affine.astype(np.float64), out=image.astype(np.float64))),
        ("frame: the image does not lie in it", lambda: forward(frame=(1, 0, 4, 5))),
        ("out: expected a writable array like image", lambda: forward(out=image.astype(np.float16))),
        ("out: another shape", lambda: forward(out=image[:, :3].copy())),
        ("workspace: 1 bytes", lambda: backward(1)),
        ("grad: float16", lambda: backward(4096, image.astype(np.float16))),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            call()


# ---- a GPU ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def gpu(device_module: Any) -> Any:
    cuda = pytest.importorskip("torch", reason="torch is not installed").cuda
    if not cuda.is_available():
        pytest.skip("torch finds no CUDA device")
    return device_module


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", DTYPES)
def test_on_a_gpu(gpu: Any, dtype: str) -> None:
    for height, width, cells, knots in (*SIZES, (301, 1024, (16, 16, 8), 16)):
        rng = np.random.default_rng(1)
        image, mask = random_image(rng, (height, width), dtype), soft_mask(rng, (height, width))
        maps = random_map(rng, cells, knots)
        parts = {name: torch.from_numpy(part).cuda() for name, part in maps.items()}
        result = ops.color_grid(torch.from_numpy(image).cuda(), torch.from_numpy(mask).cuda(), **parts).cpu().numpy()
        expected = expected_of(image, mask, **maps)
        np.testing.assert_allclose(as_floats(result), expected, rtol=0, atol=bound(image, maps))
        np.testing.assert_array_equal(result[mask == 0], image[mask == 0])


@pytest.mark.gpu
@pytest.mark.parametrize("case", [*GRADIENT_CASES, ((2, 301, 400), (16, 16, 8), 16, True)], ids=lambda c: str(c[0]))
def test_gradients_on_a_gpu(gpu: Any, case: Any) -> None:
    inputs = tensors(*case, dtype="float32")
    expected = torch.autograd.grad(function(*inputs).square().sum(), inputs)
    device = [x.detach().cuda().requires_grad_() for x in inputs]
    gradients = torch.autograd.grad(function(*device).square().sum(), device)
    close_to_the_processors(inputs, [x.cpu() for x in gradients], expected)
    again = torch.autograd.grad(function(*device).square().sum(), device)
    assert all(torch.equal(a, b) for a, b in zip(gradients, again, strict=True))


@pytest.mark.gpu
def test_a_step_can_be_captured_in_a_graph(gpu: Any) -> None:
    inputs = [x.detach().cuda().requires_grad_() for x in tensors((2, 61, 67), (3, 4, 8), 9, True, "float32")]

    def step() -> list[Any]:
        result = function(*inputs)
        return [result, *torch.autograd.grad(result.square().sum(), inputs)]

    graph, result = captured(step)
    for seed in (1, 2):
        with torch.no_grad():
            for x, other in zip(inputs, tensors((2, 61, 67), (3, 4, 8), 9, True, "float32", seed), strict=True):
                x.copy_(other)
        graph.replay()
        torch.cuda.synchronize()
        assert all(torch.equal(a, b) for a, b in zip(result, step(), strict=True))
