"""The direct solver of gaussian_poisson on a device, against the definition and the CPU's DCT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy import fft

from pyharmony import _arrays
from pyharmony._native import native
from pyharmony.reference import gaussian_poisson as definition

from ..cuda_arrays import far_apart, view
from ..shared import image, soft_mask

RANGE = _arrays.VALUE_RANGE


def rounding(h: int, w: int, weight: float, value_range: float) -> float:
    """Returns float32's error: b is wrong by a few roundings of the range, a white error that A^-1 raises by the root
    mean square of 1 / eigenvalue, and so is the spectrum; storing adds its own."""
    lam = sum(np.meshgrid(*(4 * np.sin(np.pi * np.arange(n) / (2 * n)) ** 2 for n in (h, w)), indexing="ij"))
    eigenvalues = (lam + weight * 0.6 * np.ones_like(lam)).ravel()[1:]
    gain = np.sqrt(np.mean(1 / eigenvalues**2)) if eigenvalues.size else 0.0
    return float(2.0**-24 * value_range * (4 * np.log2(2 * h * w) * gain + 4 * np.sqrt(h) + 32 + 4 * weight))


class Device:
    """The emulator's kernels on NumPy arrays."""

    def __init__(self, module: Any) -> None:
        self.module = module

    def direct(
        self, src: Any, dst: Any, mask: Any, base: Any, out: Any, weight: float,
        sigma: float = 0.5, as_published: bool = False, rhs: Any = None, measures: bool = True,
        shared_per_block: int = 0,
    ) -> Any:  # fmt: skip
        """Solves a batch into out; returns the residuals of the items where out is float32 and they are measured."""
        w0, w1 = definition.gaussian_taps(sigma, normalize=not as_published)
        views = [view(self.module, a) for a in (src, dst, mask, base)] + [view(self.module, out, writable=True)]
        call = {"weight": weight, "w0": w0, "w1": w1, "device": 0, "rhs": view(self.module, rhs)}
        call["shared_per_block"] = shared_per_block
        tables, slow = self.module.gaussian_poisson_direct_tables(out.shape[2], weight, w0, w1)
        size = self.module.gaussian_poisson_direct_workspace(*views, **call)
        workspace, memory = self.module.DeviceBuffer(size, 0, 0), self.module.DeviceBuffer(tables.nbytes, 0, 0)
        self.module.copy_in(memory.pointer, tables.ctypes.data, tables.nbytes, 0, 0)
        self.module.gaussian_poisson_direct(
            *views, **call, tables=(memory.pointer, tables.nbytes), slow=slow, workspace=(workspace.pointer, size),
            stream=0,
        )  # fmt: skip
        if out.dtype != np.float32 or not measures:
            return None
        residuals = np.full(len(out), np.nan, np.float32)
        memory = self.module.DeviceBuffer(residuals.nbytes, 0, 0)
        self.module.gaussian_poisson_direct_residual(*views, **call, residuals=memory.pointer, stream=0)
        self.module.copy_out(residuals.ctypes.data, memory.pointer, residuals.nbytes, 0, 0)
        return residuals

    def solve(self, src: Any, dst: Any, mask: Any, base: Any, weight: float, **options: Any) -> tuple[Any, Any]:
        """Solves one image to float32; returns it and its residual."""
        out = np.full((1, *dst.shape), np.nan, np.float32)
        residuals = self.direct(src[None], dst[None], mask[None], base[None], out, weight, **options)
        return out[0], residuals[0]


@pytest.fixture
def device(emulator: Any) -> Device:
    return Device(emulator)


def problem(seed: int, shape: Sequence[int], dtype: str = "uint8", kind: str = "noise") -> tuple[Any, ...]:
    """Returns src, dst, mask and base; the mask is [H, W]."""
    rng = np.random.default_rng(seed)
    src, dst, base = (image(rng, tuple(shape), dtype, kind) for _ in range(3))
    return src, dst, soft_mask(rng, shape[0], shape[1]), base


# Widths of no, one, two and three stages, of all radices, times a prime up to 73, and times a larger one, whose
# transform is a convolution; heights of one thread, several warps and all rows of a thread.
WEIGHTS = (0.0, 1e-6, 1e-3, 0.1, 1.0, 12.0)
SIZES = (
    (1, 1), (1, 9), (9, 1), (5, 5), (8, 8), (17, 33), (64, 64), (97, 131), (30, 143), (12, 210), (3, 255), (600, 7),
    (30, 1200), (5, 73), (4, 94), (30, 1168), *((2, w) for w in (17, 38, 69, 203, *range(119, 126))),
)  # fmt: skip


def exact(*items: Any, weight: float) -> Any:
    return definition.gaussian_poisson(*items, color_weight=weight)


@pytest.mark.parametrize("weight", WEIGHTS)
def test_it_solves_the_equation_on_every_size(device: Device, weight: float) -> None:
    w0, w1 = definition.gaussian_taps(0.5)
    for h, w in SIZES:
        src, dst, mask, base = problem(h, (h, w, 1))
        expected = exact(src, dst, mask, base, weight=weight)
        slack = rounding(h, w, weight, max(255.0, np.abs(expected).max()))
        x, residual = device.solve(src, dst, mask, base, weight)
        assert np.abs(x - expected).max() <= min(slack, 0.1), (h, w)
        # The kernel's residual is that of the definition, up to the rounding of float32.
        change = definition.apply_operator(x.astype(np.float64) - expected, np.full((h, w), weight), w0, w1)
        assert abs(residual - np.abs(change).max()) <= 12 * 2.0**-24 * (16 + 2 * weight) * 2 * 255, (h, w)


#: Widths whose rows have kernels of their own: `kLines` of csrc/ops/gaussian_poisson/direct_plan.h.
LINES = (
    512, 1024, 1280, 1920, 2048, 2560, 3072, 3840, 4000, 4032, 4096, 4608, 4800, 5120, 5184, 5760, 6144, 6720, 7680,
    8192, 8640,
)  # fmt: skip


def exact_wide(src: Any, dst: Any, mask: Any, base: Any, weight: float) -> Any:
    """Returns what the definition does, by SciPy's transform: the definition's is a matrix of width by width."""
    h, w, _ = dst.shape
    src, dst, mask, base = (np.asarray(a, np.float64) for a in (src, dst, mask, base))
    w0, w1 = definition.gaussian_taps(0.5)
    b = definition.divergence(*definition.edge_field(src, dst, mask)) + weight * base
    cy, cx = (np.cos(np.pi * np.arange(n) / n) for n in (h, w))
    eigenvalues = (4 - 2 * cy[:, None] - 2 * cx) + weight * np.outer(w0 + 2 * w1 * cy, w0 + 2 * w1 * cx)
    if weight == 0:
        eigenvalues[0, 0] = 1.0
    x = fft.idctn(fft.dctn(b, axes=(0, 1)) / eigenvalues[..., None], axes=(0, 1))
    return x + (base.mean((0, 1)) - x.mean((0, 1))) if weight == 0 else x


def planar(x: Any) -> Any:
    """Returns a copy of a batch [N, H, W, C] whose channels lie one behind another; other arrays as they are."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, -1, 1)), 1, -1) if x.ndim == 4 else x


@pytest.mark.parametrize("layout", ["interleaved", "planar"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("width", LINES)
def test_rows_of_a_known_width(device: Device, width: int, dtype: str, layout: str) -> None:
    """Odd and even heights with each weight; an answer may have another dtype than the images."""
    scale = RANGE[dtype]
    for h, weight in zip((5, 4, 1, 2, 5, 3), WEIGHTS, strict=True):
        rng = np.random.default_rng(h)
        images = [image(rng, (h, width, 3), dtype, kind) for kind in ("picture", "noise", "picture")]
        mask = soft_mask(rng, h, width, dtype)
        arrays = [a[None] if layout == "interleaved" else planar(a[None]) for a in (*images, mask)]
        expected = exact_wide(*images[:2], mask / scale, images[2], weight)
        slack = rounding(h, width, weight, max(scale, np.abs(expected).max()))
        if weight >= 1e-3:  # below, b tells the longest waves of few rows badly
            slack = min(slack, 0.02 / 255 * scale)
        out = arrays[0].copy(order="K").astype("float32")
        device.direct(*arrays[:2], arrays[3], arrays[2], out, weight, measures=False)
        assert np.abs(out[0] - expected).max() <= slack, (h, weight)
        if dtype == "uint8":
            out = np.zeros_like(arrays[0])
            device.direct(*arrays[:2], arrays[3], arrays[2], out, weight)
            assert np.abs(out[0] - np.clip(expected, 0, 255)).max() <= 0.5 + slack, (h, weight)


@pytest.mark.parametrize(("code", "kilobytes"), [(80, 163), (86, 99), (120, 99)])
def test_rows_of_a_known_width_with_less_shared_memory(device: Device, code: int, kilobytes: int) -> None:
    """Kernels have the memory of the device that they were compiled for, which may be older than that which runs them:
    the bits are those of a device with as much."""
    for width in (3840, 4000, 7680):
        item = problem(17, (3, width, 3), "float32", "picture")
        x, _ = device.solve(*item, 0.1, shared_per_block=kilobytes << 10)
        assert np.abs(x - exact_wide(*item, 0.1)).max() <= min(0.02 / 255, rounding(3, width, 0.1, 1.0))
        device.module.set_code_version(code)
        try:
            np.testing.assert_array_equal(device.solve(*item, 0.1)[0], x)
        finally:
            device.module.set_code_version(90)
        assert (device.solve(*item, 0.1)[0] != x).any() == (width == 7680 or (kilobytes == 99 and width == 4000))


def test_the_wide_definition_is_the_definition() -> None:
    for weight in (0.0, 0.1):
        item = problem(5, (4, 96, 2))
        np.testing.assert_allclose(exact_wide(*item, weight), exact(*item, weight=weight), rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("width", [6016, 7008, 8256])
def test_rows_of_a_camera_with_a_prime(device: Device, width: int, dtype: str) -> None:
    """Widths that 47, 73 and 43 divide are no convolutions."""
    assert not device.module.gaussian_poisson_direct_convolves(width)
    for h, weight in ((3, 1e-3), (4, 1.0)):
        item = problem(h, (h, width, 1), dtype, "picture")
        x, _ = device.solve(*item, weight)
        expected = exact_wide(*item, weight)
        assert np.abs(x - expected).max() <= min(0.02 / 255, rounding(h, width, weight, 1.0)) * RANGE[dtype]


@pytest.mark.parametrize("mask_dtype", ["bool", "uint8", "uint16", "float16", "float32"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_masks_of_a_known_width(device: Device, dtype: str, mask_dtype: str) -> None:
    """Masks that these kernels take, and those that they leave to the general ones, planar and interleaved."""
    rng = np.random.default_rng(21)
    for h, c in ((3, 1), (4, 3)):
        src, dst, base = (image(rng, (h, 1024, c), dtype) for _ in range(3))
        mask = soft_mask(rng, h, 1024, mask_dtype)
        value = mask / RANGE.get(mask_dtype, 1.0)
        if mask_dtype == "bool":  # any bits but zeros are True
            mask = (mask * np.uint8(0x82)).view(bool)
        expected = exact_wide(src, dst, value, base, 0.1)
        x, _ = device.solve(src, dst, mask, base, 0.1)
        assert np.abs(x - expected).max() <= min(0.02 / 255, rounding(h, 1024, 0.1, 1.0)) * RANGE[dtype]


@pytest.mark.parametrize("channels", [1, 3])
def test_rows_of_a_known_width_in_any_place(device: Device, channels: int) -> None:
    """A batch, one mask for it, memory that is not aligned or has gaps: the answers of the general kernels."""
    rng = np.random.default_rng(8)
    src, dst, base = (image(rng, (2, 6, 1024, channels), "float32") for _ in range(3))
    mask = soft_mask(rng, 6, 1024)
    masks = np.broadcast_to(mask, (2, 6, 1024))
    want = np.zeros_like(dst)
    device.direct(src, dst, masks, base, want, 0.01)
    for i in range(2):
        alone, _ = device.solve(src[i], dst[i], mask, base[i], 0.01)
        np.testing.assert_array_equal(want[i], alone)

    def shifted(x: Any) -> Any:
        memory = np.zeros(x.size + 1, x.dtype)
        memory[1:] = x.ravel()
        return memory[1:].reshape(x.shape)

    def spaced(x: Any) -> Any:
        memory = np.zeros((x.shape[0], x.shape[1], x.shape[2] + 4, *x.shape[3:]), x.dtype)
        memory[:, :, :1024] = x
        return memory[:, :, :1024]

    for layout in (shifted, spaced, planar):
        out = layout(np.zeros_like(dst))
        device.direct(*(layout(a) for a in (src, dst, masks, base)), out, 0.01)
        assert np.abs(out - want).max() <= 2 * rounding(6, 1024, 0.01, 1.0)


@pytest.mark.covering(1)
@pytest.mark.parametrize("weight", [0.0, 1e-5, 1.0])
@pytest.mark.parametrize("height", [4352, 4353, pytest.param(7001, marks=pytest.mark.full)])
def test_columns_of_any_height(device: Device, height: int, weight: float) -> None:
    """Up to 4352 rows are solved at once; higher columns by segments."""
    item = problem(3, (height, 11, 1), "float32", "picture")
    x, _ = device.solve(*item, weight)
    assert np.abs(x - exact(*item, weight=weight)).max() <= 0.01 / 255 + rounding(height, 11, weight, 1.0)


@pytest.mark.parametrize("weight", [0.0, 1e-3, 0.05])
@pytest.mark.parametrize("shape", [(40, 57, 3), (131, 129, 1), (20, 127, 3)], ids=lambda s: f"{s[0]}x{s[1]}")
def test_it_agrees_with_the_cpu(device: Device, shape: tuple[int, int, int], weight: float) -> None:
    """They agree to 2e-5 of the range."""
    src, dst, mask, base = problem(1, shape, "float32", "picture")
    w0, w1 = definition.gaussian_taps(0.5)
    expected = np.empty(shape, np.float32)
    native.gaussian_poisson_dct(
        *(_arrays.view(a, "a") for a in (src, dst, mask, base)), _arrays.view(expected, "out", writable=True),
        weight=weight, w0=w0, w1=w1, double_precision=True,
    )  # fmt: skip
    x, _ = device.solve(src, dst, mask, base, weight)
    assert np.abs(x - expected).max() <= 2e-5


@pytest.mark.parametrize(
    ("dtype", "mask_dtype"),
    [
        *(("uint8", mask) for mask in ("bool", "uint8", "uint16", "float16", "float32")),
        *((image, "uint8") for image in ("uint16", "float16", "float32")),
    ],
)
def test_dtypes(device: Device, dtype: str, mask_dtype: str) -> None:
    """Integers are rounded half to even and held in range, floats are not clipped; images may differ in dtype."""
    rng = np.random.default_rng(2)
    h, w, weight = 21, 32, 0.01
    src, dst = (image(rng, (h, w, 3), dtype) for _ in range(2))
    mask = soft_mask(rng, h, w, mask_dtype)
    if mask_dtype == "bool":  # any bits but zeros are True
        mask = (mask * np.uint8(3)).view(bool)
    value = (mask.view(np.uint8) != 0).astype(float) if mask_dtype == "bool" else mask / RANGE.get(mask_dtype, 1.0)
    other = image(rng, (h, w, 3), dtype)
    for its, base in ((src, other.astype("float32")), (src, other), (src.astype("float32"), other)):
        expected = exact(its, dst, value, base, weight=weight)
        out = np.empty((1, h, w, 3), dtype)
        device.direct(its[None], dst[None], mask[None], base[None], out, weight)
        slack = rounding(h, w, weight, RANGE[dtype])
        if dtype.startswith("u"):
            assert expected.max() > RANGE[dtype] and expected.min() < 0  # the case does need holding
            expected = np.clip(expected, 0, RANGE[dtype])
            slack += 0.5
        else:
            slack += np.finfo(dtype).eps / 2 * np.abs(expected).max()
        assert np.abs(out[0].astype(np.float64) - expected).max() <= slack


@pytest.mark.parametrize("channels", [1, 3, 4, 5])
def test_channels_and_strides(device: Device, channels: int) -> None:
    """A batch with planar, mirrored, sparse and misaligned arrays has the bits of dense ones."""
    h, w = 19, 68
    items = [problem(i, (h, w, channels)) for i in range(2)]
    src, dst, mask, base = (np.stack(arrays) for arrays in zip(*items, strict=True))
    dense = np.empty_like(dst)
    device.direct(src, dst, mask, base, dense, 0.01)
    for i, item in enumerate(items):
        expected = np.clip(exact(*item, weight=0.01), 0, 255)
        assert np.abs(dense[i] - expected).max() <= 0.5 + 0.02

    def mirrored(x: Any) -> Any:
        return x[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1]

    def sparse(x: Any) -> Any:
        larger = np.zeros((x.shape[0], 2 * h, 3 * w + 1, *x.shape[3:]), x.dtype)
        larger[:, ::2, 1::3] = x
        return larger[:, ::2, 1::3]

    for layout in (planar, mirrored, sparse):
        strided = [layout(a) for a in (src, dst, mask, base)]
        before = [a.copy() for a in strided]
        out = layout(np.zeros_like(dst))
        device.direct(*strided, out, 0.01)
        np.testing.assert_array_equal(out, dense)
        for a, copy in zip(strided, before, strict=True):
            np.testing.assert_array_equal(a, copy)
    # One array in another order than the rest.
    out = np.zeros_like(dst)
    device.direct(src, planar(dst), sparse(mask), planar(base), out, 0.01)
    np.testing.assert_array_equal(out, dense)


@pytest.mark.parametrize("axis", range(4), ids=["items", "rows", "columns", "channels"])
@pytest.mark.parametrize("channels", [2, 3])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_offsets_beyond_two_gigavalues(device: Device, dtype: str, channels: int, axis: int) -> None:
    """Tests far strides of all arrays at once, and of each alone, for any layout and for three interleaved channels."""
    items = [problem(i, (7, 12, channels), dtype) for i in range(2)]
    arrays = [np.stack(arrays) for arrays in zip(*items, strict=True)]
    rhs = image(np.random.default_rng(3), arrays[1].shape, "float32", "noise")
    far = [a if axis == a.ndim else far_apart(a, axis, device.module) for a in arrays]
    far_out, far_rhs, far_floats = (far_apart(a, axis, device.module) for a in (arrays[1], rhs, rhs))
    for weight in (0.0, 0.01):
        want, out = np.zeros_like(arrays[1]), np.zeros_like(arrays[1])
        residuals = device.direct(*arrays, want, weight)
        np.testing.assert_equal(device.direct(*far, far_out, weight), residuals)
        np.testing.assert_array_equal(far_out, want)
        if weight > 0:
            for i in range(len(arrays)):
                device.direct(*arrays[:i], far[i], *arrays[i + 1 :], out, weight)
                np.testing.assert_array_equal(out, want)
        want = np.zeros_like(rhs)
        residuals = device.direct(*(None,) * 4, want, weight, rhs=rhs)
        np.testing.assert_array_equal(device.direct(*(None,) * 4, far_floats, weight, rhs=far_rhs), residuals)
        np.testing.assert_array_equal(far_floats, want)


def test_one_mask_serves_a_batch(device: Device) -> None:
    rng = np.random.default_rng(4)
    src, dst, base = (image(rng, (3, 20, 31, 2), "uint8") for _ in range(3))
    mask = soft_mask(rng, 20, 31)
    answers = []
    for masks in (np.stack([mask] * 3), np.broadcast_to(mask, (3, 20, 31))):
        out = np.empty_like(dst)
        device.direct(src, dst, masks, base, out, 0.01)
        answers.append(out)
    np.testing.assert_array_equal(*answers)


@pytest.mark.parametrize("weight", [0.0, 0.01])
@pytest.mark.parametrize("shape", [(6, 7), (61, 83), (40, 64)], ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.parametrize("channels", [2, 3])
def test_a_given_right_hand_side(device: Device, shape: tuple[int, int], weight: float, channels: int) -> None:
    """b replaces the images; with weight 0 the mean of x is zero."""
    rng = np.random.default_rng(6)
    w0, w1 = definition.gaussian_taps(0.5)
    x = rng.random((2, *shape, channels)) * 255
    b = np.stack([definition.apply_operator(a, np.full(shape, weight), w0, w1) for a in x]).astype("float32")
    out = np.empty(x.shape, np.float32)
    device.direct(None, None, None, None, out, weight, rhs=b)
    expected = x - x.mean((1, 2), keepdims=True) if weight == 0 else x
    assert np.abs(out - expected).max() <= rounding(*shape, weight, 255)


def test_each_image_of_a_batch_is_solved_as_if_alone(device: Device) -> None:
    items = [problem(7, (61, 47, 3), "uint8", kind) for kind in ("constant", "picture", "noise")]
    batch = [np.stack(arrays) for arrays in zip(*items, strict=True)]
    out = np.empty(batch[0].shape, np.float32)
    residuals = device.direct(*batch, out, 1e-3)
    for i, item in enumerate(items):
        alone, residual = device.solve(*item, 1e-3)
        np.testing.assert_array_equal(out[i], alone)
        assert residual == residuals[i]


@pytest.mark.parametrize("weight", [0.0, 1e-3])
@pytest.mark.parametrize("shape", [(301, 131, 1), (5, 1024, 1), (5, 7680, 3), (3, 8192, 3)], ids=str)
def test_the_order_of_threads_does_not_matter(emulator_module: Any, shape: tuple[int, int, int], weight: float) -> None:
    item = problem(10, shape, "float32")
    answers = []
    for seed in (0, 1, 2):
        emulator_module.set_seed(seed)
        answers.append(Device(emulator_module).solve(*item, weight))
    emulator_module.set_seed(0)
    for x, residual in answers[1:]:
        np.testing.assert_array_equal(x, answers[0][0])
        assert residual == answers[0][1]


@pytest.mark.parametrize("weight", [0.0, 1e-6, 0.05])
@pytest.mark.parametrize("shape", [(90, 61, 2), (91, 94, 1), (91, 512, 1), (90, 512, 3)], ids=str)
def test_the_mean_is_that_of_base(device: Device, shape: tuple[int, int, int], weight: float) -> None:
    """Kernels along rows sum base in passing: each image of a batch, each channel, and no row twice."""
    items = [problem(seed, shape, "float32") for seed in (11, 12)]
    src, dst, mask, base = (np.stack(arrays) for arrays in zip(*items, strict=True))
    x = np.empty_like(base)
    device.direct(src, dst, mask, base, x, weight)
    np.testing.assert_allclose(x.mean((1, 2), dtype=np.float64), base.mean((1, 2), dtype=np.float64), rtol=0, atol=1e-6)


def test_gp_gans_taps(device: Device) -> None:
    """Their sum is below one: the mean rises."""
    src, dst, mask, base = problem(12, (40, 50, 1), "uint8", "picture")
    for weight in (0.0, 0.1):
        for shape in ((40, 50), (7, 8)):
            arrays = [a[: shape[0], : shape[1]] for a in (src, dst, mask, base)]
            expected = definition.gaussian_poisson(*arrays, color_weight=weight, sigma=1.0, as_published=True)
            x, _ = device.solve(*arrays, weight, sigma=1.0, as_published=True)
            assert np.abs(x - expected).max() <= 0.02


def test_nan_is_not_taken_for_an_answer(device: Device) -> None:
    src, dst, mask, base = problem(13, (20, 30, 1), "float32")
    dst[3, 4] = np.nan
    x, residual = device.solve(src, dst, mask, base, 0.05)
    assert np.isnan(x).any() and np.isnan(residual)


def test_tables_can_come_with_the_launches(device: Device) -> None:
    """As in a graph, which has nothing else of the host."""
    tables, _ = device.module.gaussian_poisson_direct_tables(1001, 0.3, 1.0, 0.0)
    memory = np.zeros_like(tables)
    device.module.write_captured(memory.ctypes.data, tables, 0, 0)
    np.testing.assert_array_equal(memory, tables)


def needed(module: Any, *shape: int, weight: float = 1.0) -> int:
    image = module.ArrayView(256, "uint8", shape, (0, 0, 0, 0), True)
    plane = module.ArrayView(256, "uint8", shape[:3], (0, 0, 0), True)
    return int(
        module.gaussian_poisson_direct_workspace(
            image, image, plane, image, image, weight=weight, w0=1.0, w1=0.0, device=0
        )
    )


def test_scratch_is_the_spectrum(emulator_module: Any) -> None:
    """4 bytes a value of rows rounded up to eight; beyond 4352 rows 32 more for each segment of a column, and with
    a small weight eight for two rows."""
    for n, h, w, c in ((1, 4320, 7680, 3), (4, 1024, 1024, 1), (1, 301, 299, 3), (2, 9000, 100, 3)):
        spectrum, segments = 4 * n * c * -(-w // 8) * 8, 0 if h <= 4352 else -(-h // 3328)
        assert 0 <= needed(emulator_module, n, h, w, c) - spectrum * (h + 8 * segments) < 512
        more = needed(emulator_module, n, h, w, c, weight=0.0) - needed(emulator_module, n, h, w, c)
        assert 0 <= more - 8 * n * c * -(-h // 2) < 256


def test_what_kernels_do_not_count_is_refused(emulator_module: Any) -> None:
    for shape, message in (
        ((1, 1 << 30, 1, 1), "out: 1 planes of 1073741824 rows, expected fewer than 2\\^30 of each"),
        ((1 << 16, 1, 1, 1 << 16), "out: 4294967296 planes of 1 rows"),
        ((1 << 27, 1, 64, 1), "out: 1073741824 tiles of columns, expected fewer than 2\\^30"),
    ):
        with pytest.raises(ValueError, match=message):
            needed(emulator_module, *shape)


def test_widths_that_fit(emulator_module: Any) -> None:
    """Rows lie in the shared memory of a block; others are convolutions of about twice their length."""
    fits = emulator_module.gaussian_poisson_direct_fits
    convolves = emulator_module.gaussian_poisson_direct_convolves
    assert fits(7680, 0) and fits(16384, 0) and not fits(40000, 0)
    assert not convolves(7680) and not convolves(47 * 128) and not convolves(73 * 16)
    assert convolves(79 * 16) and convolves(17 * 17) and fits(79 * 64, 0) and not fits(16411, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"workspace": (256, 16)}, "workspace: 16 bytes, expected"),
        ({"tables": (256, 16)}, "tables: 16 bytes, expected"),
        ({"weight": -1.0}, "weight: -1, expected 0 to 1e6"),
        ({"dst": np.zeros((1, 9, 9, 2), np.uint8)}, r"dst: shape \[1, 9, 9, 2\], expected \[1, 9, 9, 1\]"),
        ({"mask": np.zeros((1, 9, 8), np.uint8)}, r"mask: shape \[1, 9, 8, 1\], expected \[1, 9, 9, 1\]"),
        ({"mask": np.zeros((1, 9, 9))}, "mask: dtype float64, expected bool"),
        ({"src": np.zeros((1, 9, 9, 1))}, "src: dtype float64, expected uint8, uint16, float16 or float32"),
        ({"rhs": np.zeros((1, 9, 9, 1))}, "rhs: dtype float64, expected"),
        ({"base": None}, "base: missing"),
    ],
    ids=lambda v: next(iter(v)) if isinstance(v, dict) else "",
)
def test_what_does_not_fit_is_named(emulator_module: Any, change: dict[str, Any], message: str) -> None:
    device = Device(emulator_module)
    images = {name: np.zeros((1, 9, 9, 1), np.uint8) for name in ("src", "dst", "base", "out")}
    arrays = {**images, "mask": np.zeros((1, 9, 9), np.uint8), "rhs": None}
    tables, slow = emulator_module.gaussian_poisson_direct_tables(9, 0.0, 1.0, 0.0)
    workspace = emulator_module.DeviceBuffer(1 << 16, 0, 0)
    options: dict[str, Any] = {
        "weight": 0.0, "w0": 1.0, "w1": 0.0, "tables": (tables.ctypes.data, tables.nbytes), "slow": slow,
        "workspace": (workspace.pointer, 1 << 16), "device": 0, "stream": 0,
    }  # fmt: skip
    for name, value in change.items():
        (arrays if name in arrays else options)[name] = value
    views = {name: view(device.module, value, writable=name == "out") for name, value in arrays.items()}
    with pytest.raises(ValueError, match=message):
        emulator_module.gaussian_poisson_direct(
            *(views[name] for name in ("src", "dst", "mask", "base", "out")), rhs=views["rhs"], **options
        )
