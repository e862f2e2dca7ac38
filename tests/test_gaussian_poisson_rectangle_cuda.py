"""Multigrid of gaussian_poisson on a device, against the definition and the CPU's DCT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from pyharmony import _arrays
from pyharmony._native import native
from pyharmony.reference import gaussian_poisson as definition

from .shared import image, soft_mask

RANGE = _arrays.VALUE_RANGE
NONE = np.zeros((1, 1, 1, 1), np.uint8)


def rounding(h: int, w: int, weight: float, value_range: float) -> float:
    """Returns float32's error: b is wrong by a few roundings of the range, a white error that A^-1 raises by the root
    mean square of 1 / eigenvalue, and so is the residual from which the last cycle restarts; storing adds its own."""
    lam = sum(np.meshgrid(*(4 * np.sin(np.pi * np.arange(n) / (2 * n)) ** 2 for n in (h, w)), indexing="ij"))
    eigenvalues = (lam + weight * 0.6 * np.ones_like(lam)).ravel()[1:]
    gain = np.sqrt(np.mean(1 / eigenvalues**2)) if eigenvalues.size else 0.0
    return float(2.0**-24 * value_range * (4 * np.log2(2 * h * w) * gain + 4 * np.sqrt(h) + 32 + 4 * weight))


class Device:
    """The emulator's kernels on NumPy arrays."""

    def __init__(self, module: Any) -> None:
        self.module = module

    def view(self, x: Any, writable: bool = False) -> Any:
        strides = tuple(s // x.itemsize for s in x.strides)
        return self.module.ArrayView(x.ctypes.data, x.dtype.name, x.shape, strides, writable)

    def multigrid(
        self, src: Any, dst: Any, mask: Any, base: Any, out: Any, weight: float,
        tolerance: float = 0.02, sigma: float = 0.5, reference: bool = False, **options: Any,
    ) -> list[dict[str, Any]]:  # fmt: skip
        w0, w1 = definition.gaussian_taps(sigma, normalize=not reference)
        views = [self.view(a) for a in (src, dst, mask, base)] + [self.view(out, writable=True)]
        options = {"weight": weight, "w0": w0, "w1": w1, "tolerance": tolerance, **options}
        if "rhs" in options:
            options["rhs"] = self.view(options["rhs"])
        size = self.module.gaussian_poisson_multigrid_workspace(*views, **options)
        workspace = self.module.DeviceBuffer(size, 0, 0)
        report = np.zeros(self.module.gaussian_poisson_multigrid_report_bytes(len(out)), np.uint8)
        self.module.gaussian_poisson_multigrid(
            *views, **options, workspace=workspace.pointer, workspace_bytes=size, report=report.ctypes.data,
            device=0, stream=0,
        )  # fmt: skip
        return self.module.gaussian_poisson_multigrid_report(report.tobytes(), len(out))

    def solve(self, src: Any, dst: Any, mask: Any, base: Any, weight: float, **options: Any) -> tuple[Any, Any]:
        """Solves one image to float32; returns it and its report."""
        out = np.full((1, *dst.shape), np.nan, np.float32)
        report = self.multigrid(src[None], dst[None], mask[None], base[None], out, weight, **options)
        return out[0], report[0]


@pytest.fixture
def device(emulator: Any) -> Device:
    return Device(emulator)


def problem(seed: int, shape: Sequence[int], dtype: str = "uint8", kind: str = "noise") -> tuple[Any, ...]:
    """Returns src, dst, mask and base; the mask is [H, W]."""
    rng = np.random.default_rng(seed)
    src, dst, base = (image(rng, tuple(shape), dtype, kind) for _ in range(3))
    return src, dst, soft_mask(rng, shape[0], shape[1]), base


# Sizes at most 8 x 8 are solved directly; 17 x 33 has one large grid, 97 x 131 two; each but the first few has
# several strips or segments. 65 and 129 end in a column and a row that join the pair before.
WEIGHTS = (0.0, 1e-3, 0.01, 0.1, 1.0)
SIZES = ((1, 1), (1, 9), (9, 1), (5, 5), (8, 8), (17, 33), (64, 64), (97, 131), *((2, w) for w in range(119, 126)))


@pytest.mark.parametrize("weight", WEIGHTS)
def test_it_solves_the_equation_on_every_size(device: Device, weight: float) -> None:
    for h, w in SIZES:
        src, dst, mask, base = problem(h, (h, w, 1))
        expected = definition.gaussian_poisson(src, dst, mask, base, color_weight=weight)
        slack = rounding(h, w, weight, max(255.0, np.abs(expected).max()))
        x, report = device.solve(src, dst, mask, base, weight, tolerance=0.25)
        error = np.abs(x - expected).max()
        assert report["converged"], (h, w)
        assert error <= report["estimate"] + slack and error <= 0.25, (h, w)
        if weight > 0 and report["cycles"] > 0:
            assert error <= report["max_error"], (h, w)
            assert weight < 0.02 or report["max_error"] <= 0.25, (h, w)
        else:
            assert np.isnan(report["max_error"])


@pytest.mark.parametrize("weight", [0.0, 1e-3, 0.05])
@pytest.mark.parametrize("shape", [(40, 57, 3), (131, 129, 1)], ids=lambda s: f"{s[0]}x{s[1]}")
def test_it_agrees_with_the_cpu(device: Device, shape: tuple[int, int, int], weight: float) -> None:
    """They agree to 2e-5 of the range, once it has converged."""
    src, dst, mask, base = problem(1, shape, "float32", "picture")
    w0, w1 = definition.gaussian_taps(0.5)
    expected = np.empty(shape, np.float32)
    native.gaussian_poisson_dct(
        *(_arrays.view(a, "a") for a in (src, dst, mask, base)), _arrays.view(expected, "out", writable=True),
        weight=weight, w0=w0, w1=w1, double_precision=True,
    )  # fmt: skip
    x, _ = device.solve(src, dst, mask, base, weight, tolerance=1e-5, max_cycles=8)
    assert np.abs(x - expected).max() <= 2e-5


@pytest.mark.parametrize(
    ("dtype", "mask_dtype"),
    [
        *(("uint8", mask) for mask in ("bool", "uint8", "uint16", "float16", "float32", "float64")),
        *((image, "uint8") for image in ("uint16", "float16", "float32", "float64")),
    ],
)
def test_dtypes(device: Device, dtype: str, mask_dtype: str) -> None:
    """Integers are rounded half to even and held in range, floats are not clipped; base may be of another dtype."""
    rng = np.random.default_rng(2)
    h, w, weight, tolerance = 21, 30, 0.01, 1e-4 * RANGE[dtype]
    src, dst = (image(rng, (h, w, 3), dtype) for _ in range(2))
    base = image(rng, (h, w, 3), dtype, "picture").astype("float32")
    mask = soft_mask(rng, h, w, mask_dtype)
    value = mask.astype(np.float64) / RANGE.get(mask_dtype, 1.0)
    expected = definition.gaussian_poisson(src, dst, value, base, color_weight=weight)
    out = np.empty((1, h, w, 3), dtype)
    device.multigrid(src[None], dst[None], mask[None], base[None], out, weight, tolerance=tolerance)
    slack = rounding(h, w, weight, RANGE[dtype]) + tolerance
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
    h, w = 19, 66
    items = [problem(i, (h, w, channels)) for i in range(2)]
    src, dst, mask, base = (np.stack(arrays) for arrays in zip(*items, strict=True))
    dense = np.empty_like(dst)
    device.multigrid(src, dst, mask, base, dense, 0.01)
    for i, item in enumerate(items):
        expected = np.clip(definition.gaussian_poisson(*item, color_weight=0.01), 0, 255)
        assert np.abs(dense[i] - expected).max() <= 0.5 + 0.02

    def planar(x: Any) -> Any:
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, -1, 1)), 1, -1) if x.ndim == 4 else x

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
        device.multigrid(*strided, out, 0.01)
        np.testing.assert_array_equal(out, dense)
        for a, copy in zip(strided, before, strict=True):
            np.testing.assert_array_equal(a, copy)


def test_one_mask_serves_a_batch(device: Device) -> None:
    rng = np.random.default_rng(4)
    src, dst, base = (image(rng, (3, 20, 31, 2), "uint8") for _ in range(3))
    mask = soft_mask(rng, 20, 31)
    answers = []
    for masks in (np.stack([mask] * 3), np.broadcast_to(mask, (3, 20, 31))):
        out = np.empty_like(dst)
        device.multigrid(src, dst, masks, base, out, 0.01)
        answers.append(out)
    np.testing.assert_array_equal(*answers)


@pytest.mark.parametrize("weight", [0.0, 0.01])
@pytest.mark.parametrize("shape", [(6, 7), (61, 83)], ids=lambda s: f"{s[0]}x{s[1]}")
def test_a_given_right_hand_side(device: Device, shape: tuple[int, int], weight: float) -> None:
    """b replaces the images; with weight 0 the mean of x is zero."""
    rng = np.random.default_rng(6)
    w0, w1 = definition.gaussian_taps(0.5)
    x = rng.random((2, *shape, 2)) * 255
    b = np.stack([definition.apply_operator(a, np.full(shape, weight), w0, w1) for a in x]).astype("float32")
    slack = rounding(*shape, weight, 255) + 0.02
    out = np.empty(x.shape, np.float32)
    device.multigrid(NONE, NONE, NONE[..., 0], NONE, out, weight, rhs=b)
    expected = x - x.mean((1, 2), keepdims=True) if weight == 0 else x
    assert np.abs(out - expected).max() <= slack


@pytest.mark.parametrize("weight", [0.0, 1e-3, 0.05])
def test_each_image_of_a_batch_stops_by_itself(device: Device, weight: float) -> None:
    """A constant image is done after one cycle, a smooth one after a few, noise after more; each as if alone."""
    kinds = ("constant", "picture", "noise")
    items = [problem(7, (60, 47, 1), "uint8", kind) for kind in kinds]
    batch = [np.stack(arrays) for arrays in zip(*items, strict=True)]
    out = np.empty(batch[0].shape, np.float32)
    reports = device.multigrid(*batch, out, weight, tolerance=0.25, max_cycles=12)
    cycles = [report["cycles"] for report in reports]
    assert cycles[0] == 1 and cycles[0] < cycles[1] <= cycles[2] < 12
    assert all(report["converged"] for report in reports)
    for i, item in enumerate(items):
        alone, report = device.solve(*item, weight, tolerance=0.25, max_cycles=12)
        np.testing.assert_array_equal(out[i], alone)
        np.testing.assert_equal(report, reports[i])
        expected = definition.gaussian_poisson(*item, color_weight=weight)
        assert np.abs(alone - expected).max() <= 0.25
    assert np.abs(out[0] - batch[3][0]).max() <= 255 * 2.0**-22


def test_cycles_are_limited(device: Device) -> None:
    """A report says what was not reached; a tolerance below what float32 holds ends before the limit."""
    item = problem(8, (50, 40, 1))
    _, report = device.solve(*item, 1e-3, tolerance=1e-3, max_cycles=2)
    assert report["cycles"] == 2 and not report["converged"] and report["estimate"] > 1e-3
    _, report = device.solve(*item, 1e-3, tolerance=1e-9, max_cycles=40)
    assert 5 < report["cycles"] < 20 and not report["converged"]
    _, report = device.solve(*item, 0.02, tolerance=1e-9, max_cycles=40)
    assert 5 < report["cycles"] < 20 and not report["converged"] and report["max_error"] > 1e-9


@pytest.mark.parametrize("weight", [0.0, 1e-3, 0.1, 1.0])
@pytest.mark.parametrize("shape", [(64, 64), (67, 95), (3, 301)], ids=lambda s: f"{s[0]}x{s[1]}")
def test_the_residual_falls_by_0_16_a_cycle(emulator_module: Any, shape: tuple[int, int], weight: float) -> None:
    """It does so in the 2-norm, from the first cycle to the fourth, for noise as right-hand side."""
    device = Device(emulator_module)
    w0, w1 = definition.gaussian_taps(0.5)
    b = np.random.default_rng(9).standard_normal((1, *shape, 1)).astype("float32")
    b -= b.mean()

    def norm(cycles: int) -> float:
        x = np.empty_like(b)
        device.multigrid(NONE, NONE, NONE[..., 0], NONE, x, weight, rhs=b, tolerance=1e-30, max_cycles=cycles)
        ax = definition.apply_operator(x[0].astype(np.float64), np.full(shape, weight), w0, w1)
        return float(np.linalg.norm(b[0] - ax))

    assert (norm(4) / norm(1)) ** (1 / 3) <= 0.16


@pytest.mark.parametrize("weight", [0.0, 1e-3, 0.05])
def test_the_order_of_threads_does_not_matter(emulator_module: Any, weight: float) -> None:
    item = problem(10, (97, 131, 1))  # two large grids
    answers = []
    for seed in (0, 1, 2):
        emulator_module.set_seed(seed)
        answers.append(Device(emulator_module).solve(*item, weight, tolerance=0.25))
    emulator_module.set_seed(0)
    for x, report in answers[1:]:
        np.testing.assert_array_equal(x, answers[0][0])
        np.testing.assert_equal(report, answers[0][1])


@pytest.mark.parametrize("weight", [0.0, 1e-6, 0.05])
def test_the_mean_is_that_of_base(device: Device, weight: float) -> None:
    src, dst, mask, base = problem(11, (90, 61, 2), "float32")
    x, _ = device.solve(src, dst, mask, base, weight, tolerance=1e-3)
    np.testing.assert_allclose(x.mean((0, 1), dtype=np.float64), base.mean((0, 1), dtype=np.float64), rtol=0, atol=1e-6)


def test_gp_gans_taps(device: Device) -> None:
    """Their sum is below one: the mean rises."""
    src, dst, mask, base = problem(12, (40, 50, 1), "uint8", "picture")
    for shape in ((40, 50), (7, 8)):
        arrays = [a[: shape[0], : shape[1]] for a in (src, dst, mask, base)]
        expected = definition.gaussian_poisson(*arrays, color_weight=0.1, sigma=1.0, reference=True)
        x, _ = device.solve(*arrays, 0.1, sigma=1.0, reference=True, max_cycles=10)
        assert np.abs(x - expected).max() <= 0.02


def test_nan_is_not_taken_for_an_answer(device: Device) -> None:
    src, dst, mask, base = problem(13, (20, 30, 1), "float32")
    dst[3, 4] = np.nan
    x, report = device.solve(src, dst, mask, base, 0.05, max_cycles=4)
    assert np.isnan(x).any() and not report["converged"] and np.isnan(report["max_error"])


def test_scratch_is_at_most_24_bytes_a_pixel_and_channel(emulator_module: Any) -> None:
    def needed(*shape: int) -> int:
        image = emulator_module.ArrayView(256, "uint8", shape, (0, 0, 0, 0), True)
        plane = emulator_module.ArrayView(256, "uint8", shape[:3], (0, 0, 0), True)
        return emulator_module.gaussian_poisson_multigrid_workspace(
            image, image, plane, image, image, weight=0.0, w0=1.0, w1=0.0, tolerance=0.25
        )

    for shape in ((1, 4320, 7680, 3), (4, 1024, 1024, 1), (1, 301, 299, 3), (64, 64, 64, 3)):
        assert needed(*shape) <= 24 * np.prod(shape)
    assert needed(1, 1, 1, 1) < 1 << 16


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"workspace_bytes": 16}, "workspace: 16 bytes, expected at least"),
        ({"workspace": 8}, "workspace: not aligned"),
        ({"report": 0}, "report: no memory"),
        ({"tolerance": 0.0}, "tolerance: 0, expected a positive number"),
        ({"max_cycles": 65}, "max_cycles: 65, expected 0 to 64"),
        ({"weight": -1.0}, "weight: -1, expected at least 0"),
        ({"dst": np.zeros((1, 9, 9, 2), np.uint8)}, r"dst: shape \[1, 9, 9, 2\], expected \[1, 9, 9, 1\]"),
        ({"mask": np.zeros((1, 9, 8), np.uint8)}, r"mask: shape \[1, 9, 8, 1\], expected \[1, 9, 9, 1\]"),
        ({"rhs": np.zeros((1, 9, 9, 1))}, "rhs: dtype float64, expected float32"),
    ],
    ids=lambda v: next(iter(v)) if isinstance(v, dict) else "",
)
def test_what_does_not_fit_is_named(emulator_module: Any, change: dict[str, Any], message: str) -> None:
    device = Device(emulator_module)
    images = {name: np.zeros((1, 9, 9, 1), np.uint8) for name in ("src", "dst", "base", "out")}
    arrays = {**images, "mask": np.zeros((1, 9, 9), np.uint8)}
    workspace = emulator_module.DeviceBuffer(1 << 16, 0, 0)
    report = np.zeros(64, np.uint8)
    options: dict[str, Any] = {
        "weight": 0.0, "w0": 1.0, "w1": 0.0, "tolerance": 0.25, "max_cycles": 2, "workspace": workspace.pointer,
        "workspace_bytes": 1 << 16, "report": report.ctypes.data, "device": 0, "stream": 0,
    }  # fmt: skip
    for name, value in change.items():
        if name in arrays:
            arrays[name] = value
        else:
            options[name] = device.view(value) if isinstance(value, np.ndarray) else value
    views = [device.view(arrays[name], writable=True) for name in ("src", "dst", "mask", "base", "out")]
    with pytest.raises(ValueError, match=message):
        emulator_module.gaussian_poisson_multigrid(*views, **options)
