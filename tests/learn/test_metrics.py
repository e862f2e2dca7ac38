"""`pyharmony.learn.metrics`: worked cases, the definitions written out, other libraries, and the frozen numbers."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyharmony import errors
from pyharmony._arrays import VALUE_RANGE
from pyharmony.learn import metrics

from ..shared import DTYPES, ROOT

GOLDEN = ROOT / "tests" / "golden" / "metrics.json"
#: The error between two ways to sum n float64 numbers.
EPS = float(np.finfo(np.float64).eps)


def scene(height: int, width: int, seed: int) -> np.ndarray:
    """Returns an image [H, W, 3] of uint8 with slopes, edges and noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / random.uniform(4, 20) + y / random.uniform(4, 20) + seed) for _ in range(3)]
    blocks = 40.0 * ((x // 7 + y // 5) % 3)
    picture = 90 + 60 * np.stack(waves, -1) + blocks[..., None] + random.normal(0, 6, (height, width, 3))
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def disc(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return (((y - height * 0.45) / (0.3 * height)) ** 2 + ((x - width * 0.6) / (0.25 * width)) ** 2 < 1).astype(
        np.uint8
    ) * 255


def cases() -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Returns the cases of the frozen numbers: output, target and mask."""
    target, mask = scene(48, 64, 1), disc(48, 64)
    inside = (mask > 0)[..., None]
    brighter = np.where(inside, np.minimum(target.astype(int) + 24, 255), target).astype(np.uint8)
    soft = np.clip(np.rint(scene(48, 64, 1) * 0.9), 0, 255).astype(np.uint8)
    ramp = np.linspace(0, 1, 64, dtype=np.float32) * np.ones((48, 1), np.float32)
    other = scene(48, 64, 2)
    return {
        "brighter": (brighter, target, mask),
        "another": (np.where(inside, other, target), target, mask),
        "darker, soft mask": (soft, target, ramp),
        "grey": (other[..., 0], target[..., 0], mask > 0),
        "16 bit": (brighter.astype(np.uint16) * 257, target.astype(np.uint16) * 256, mask),
        "floats": (brighter.astype(np.float32) / 200, target.astype(np.float32) / 200, mask),
        "equal": (target, target, mask),
    }


def frozen() -> dict[str, dict[str, float]]:
    return {name: metrics.evaluate(*case) for name, case in cases().items()}


# Worked by hand


def test_two_by_two() -> None:
    output = np.array([[10, 20], [30, 40]], np.uint8)
    target = np.array([[12, 20], [30, 36]], np.uint8)  # squares 4, 0, 0 and 16
    mask = np.array([[255, 0], [0, 255]], np.uint8)
    assert metrics.mse(output, target) == 5
    assert metrics.fmse(output, target, mask) == 10
    assert metrics.fmse(output, target, np.array([[0.5, 0], [0, 0.25]])) == (2 + 4) / 0.75
    assert metrics.psnr(output, target) == pytest.approx(10 * math.log10(65025 / 5), rel=4 * EPS)
    assert metrics.fpsnr(output, target, mask) == pytest.approx(38.1308036, abs=5e-8)


def test_channels_count_alike() -> None:
    output, target = np.zeros((2, 1, 3), np.uint8), np.zeros((2, 1, 3), np.uint8)
    output[0, 0] = (3, 0, 0)  # 9 / 6 of all values, 9 / 3 of the pixel's
    assert metrics.mse(output, target) == 1.5
    assert metrics.fmse(output, target, np.array([[True], [False]])) == 3


def test_the_range_is_255_whatever_the_picture() -> None:
    dim = np.full((12, 12), 7, np.uint8)
    assert metrics.psnr(dim, dim + np.uint8(1)) == pytest.approx(10 * math.log10(65025), rel=4 * EPS)
    assert metrics.mse(dim.astype(np.uint16) * 257, (dim + np.uint8(1)).astype(np.uint16) * 257) == pytest.approx(1)
    assert metrics.mse(dim / 255, (dim + np.uint8(1)) / 255) == pytest.approx(1, rel=16 * 8 * EPS)


def test_equal_pictures() -> None:
    a = scene(20, 24, 0)
    scores = metrics.evaluate(a, a, disc(20, 24))
    assert (scores["mse"], scores["fmse"], scores["seam_error"]) == (0, 0, 0)
    assert scores["psnr"] == scores["fpsnr"] == pytest.approx(10 * math.log10(65025 / 1e-6))
    # variances are differences of sums of 121 products of up to 255²
    assert scores["ssim"] == pytest.approx(1, abs=121 * EPS * 65025 / 58.5)
    assert scores["fssim"] == pytest.approx(1, abs=121 * EPS * 65025 / 58.5)


def test_ssim_of_flat_pictures() -> None:
    a, b = np.full((11, 13), 100, np.uint8), np.full((11, 13), 150, np.uint8)
    expected = (2 * 100 * 150 + 6.5025) / (100**2 + 150**2 + 6.5025)
    assert metrics.ssim(a, b) == pytest.approx(expected, rel=1e-10)
    assert metrics.fssim(a, b, a > 0) == pytest.approx(expected, rel=1e-10)


def ssim_map(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns the map by the definition, window by window, of one channel; mirrored at the borders."""
    weights = np.exp(-(np.arange(-5, 6) ** 2) / 4.5)
    weights = np.outer(weights, weights) / weights.sum() ** 2
    px, py = (np.pad(v.astype(np.float64), 5, mode="symmetric") for v in (x, y))
    result = np.empty(x.shape)
    for i, j in np.ndindex(*x.shape):
        a, b = px[i : i + 11, j : j + 11], py[i : i + 11, j : j + 11]
        ma, mb = (weights * a).sum(), (weights * b).sum()
        va, vb = (weights * (a - ma) ** 2).sum(), (weights * (b - mb) ** 2).sum()
        cov = (weights * (a - ma) * (b - mb)).sum()
        result[i, j] = (2 * ma * mb + 6.5025) * (2 * cov + 58.5225)
        result[i, j] /= (ma**2 + mb**2 + 6.5025) * (va + vb + 58.5225)
    return result


def test_ssim_is_its_definition() -> None:
    a, b, mask = scene(21, 18, 3), scene(21, 18, 4), disc(21, 18) > 0
    reference_map = np.mean([ssim_map(a[..., c], b[..., c]) for c in range(3)], axis=0)
    tolerance = 121 * EPS * 65025 / 58.5  # of the variances, over the least that they are divided by
    assert metrics.ssim(a, b) == pytest.approx(reference_map[5:-5, 5:-5].mean(), abs=tolerance)
    assert metrics.fssim(a, b, mask) == pytest.approx(reference_map[mask].mean(), abs=tolerance)


# Seams


def step(height: int, width: int, at: int, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns an image that goes from low to high at a column, and the mask of its right part."""
    picture = np.full((height, width, 3), low, np.uint8)
    picture[:, at:] = high
    return picture, picture[..., 0] == high


@pytest.mark.parametrize("at", [9, 10, 11, 12])
def test_a_step_has_its_height(at: int) -> None:
    output, mask = step(24, 32, at, 100, 140)
    src, dst = np.full_like(output, 140), np.full_like(output, 100)
    assert metrics.seam_error(output, src, dst, mask) == pytest.approx(40, rel=1e-14)
    transposed = [np.ascontiguousarray(x.swapaxes(0, 1)) for x in (output, src, dst, mask)]
    assert metrics.seam_error(*transposed) == pytest.approx(40, rel=1e-14)
    assert metrics.seam_error(output, output, dst, mask) == 0  # one of the images has that edge


def test_a_line_along_the_contour_is_seen() -> None:
    _, mask = step(24, 32, 16, 0, 1)
    flat = np.full((24, 32, 3), 100, np.uint8)
    halo, straddling = flat.copy(), flat.copy()
    halo[:, 16:18] = 70  # dark, two pixels wide, inside
    straddling[:, 15:17] = 130  # bright, on both sides
    # the means of 1, 3 and 5 columns inside hold 1, 2 and 2 of the line
    assert metrics.seam_error(halo, flat, flat, mask) == pytest.approx(30 * (1 + 2 / 3 + 2 / 5) / 3, rel=1e-14)
    assert metrics.seam_error(straddling, flat, flat, mask) == pytest.approx(30 * 23 / 45, rel=1e-14)


def test_a_feather_is_less_of_a_seam_than_a_cut() -> None:
    src, dst = np.full((32, 64, 3), 180, np.uint8), np.full((32, 64, 3), 100, np.uint8)
    seams = []
    for width in (1, 4, 16):
        mask = np.clip((np.arange(64) - 32) / width + 0.5, 0, 1) * np.ones((32, 1))
        output = np.rint(mask[..., None] * src + (1 - mask[..., None]) * dst).astype(np.uint8)
        seams.append(metrics.seam_error(output, src, dst, mask))
    assert seams[0] > seams[1] > seams[2] > 0 and seams[2] < seams[0] / 2


def test_a_texture_has_no_seam_where_it_is_one_picture() -> None:
    a, b, mask = scene(40, 50, 5), scene(40, 50, 6), disc(40, 50)
    assert metrics.seam_error(a, a, a, mask) == 0
    assert metrics.seam_error(a, a, b, mask) == 0
    assert metrics.seam_error(np.where((mask > 0)[..., None], b, a), b, a, mask) > 5
    for empty in (np.zeros((40, 50), np.uint8), np.full((40, 50), 255, np.uint8)):
        assert metrics.seam_error(b, a, a, empty) == 0


def test_a_seam_is_where_the_mask_is_wherever_the_frame_ends() -> None:
    """A crop around the contour has the same error, since nothing far from it is looked at."""
    a, b, mask = scene(60, 70, 7), scene(60, 70, 8), np.zeros((60, 70), np.uint8)
    mask[25:37, 26:44] = 255
    output = np.where((mask > 0)[..., None], b, a)
    crop = np.s_[10:52, 11:59]
    whole = metrics.seam_error(output, b, a, mask)
    assert metrics.seam_error(output[crop], b[crop], a[crop], mask[crop]) == pytest.approx(whole, rel=1e-13)


# All at once


def test_evaluate_is_each_metric() -> None:
    for output, target, mask in cases().values():
        scores = metrics.evaluate(output, target, mask)
        for name in ("mse", "psnr", "ssim"):
            assert scores[name] == getattr(metrics, name)(output, target)
        for name in ("fmse", "fpsnr", "fssim"):
            assert scores[name] == getattr(metrics, name)(output, target, mask)
        assert scores["seam_error"] == metrics.seam_error(output, target, target, mask)
    assert metrics.evaluate(*cases()["another"])["foreground"] == (disc(48, 64) > 0).mean()


def test_the_numbers_are_frozen() -> None:
    """They were written once; a change of a definition is a change of every table that was made with it."""
    golden, figures = json.loads(GOLDEN.read_text()), frozen()
    assert golden.keys() == figures.keys()
    for name, expected in golden.items():
        assert figures[name] == pytest.approx(expected, rel=1e-9, abs=1e-9), name


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_dtype_is_a_scale(dtype: str) -> None:
    a, b, mask = scene(24, 30, 9), scene(24, 30, 10), disc(24, 30)
    expected = metrics.evaluate(a, b, mask)
    scale = VALUE_RANGE[dtype] / 255
    x, y = ((v * scale).astype(dtype) for v in (a, b))
    # values are rounded to the dtype: at most half a unit in the last place of 255
    error = 255 * (float(np.finfo(dtype).eps) if dtype.startswith("float") else 0.0)
    largest = 2 * 255 * 2 * error  # of (x + dx - y - dy)² - (x - y)²
    scores = metrics.evaluate(x, y, mask)
    assert scores["mse"] == pytest.approx(expected["mse"], rel=1e-12, abs=largest)
    assert scores["fmse"] == pytest.approx(expected["fmse"], rel=1e-12, abs=largest)
    assert scores["seam_error"] == pytest.approx(expected["seam_error"], rel=1e-12, abs=8 * error)
    assert scores["ssim"] == pytest.approx(expected["ssim"], abs=1e-9 + 4 * largest / 58.5)


@given(
    height=st.integers(11, 20), width=st.integers(11, 20), channels=st.sampled_from([None, 1, 3]), seed=st.integers(0)
)
def test_strides_do_not_matter(height: int, width: int, channels: int | None, seed: int) -> None:
    random = np.random.default_rng(seed)
    shape = (height, width) if channels is None else (height, width, channels)
    a, b = (random.integers(0, 256, shape, np.uint8) for _ in range(2))
    mask = random.random((height, width)).astype(np.float32)
    scores = metrics.evaluate(a[::-1, ::-1], b[::-1, ::-1], mask[::-1, ::-1])
    expected = metrics.evaluate(*(np.ascontiguousarray(x[::-1, ::-1]) for x in (a, b, mask)))
    assert scores == expected
    assert -1 <= scores["ssim"] <= 1 and scores["seam_error"] >= 0


def test_tensors_are_taken() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    a, b, mask = cases()["another"]
    x, y = (torch.from_numpy(v).permute(2, 0, 1) for v in (a, b))
    assert metrics.evaluate(x, y, torch.from_numpy(mask)) == metrics.evaluate(a, b, mask)


# Other libraries


@pytest.mark.parametrize("name", ["brighter", "another", "grey", "16 bit", "floats"])
def test_scikit_image_agrees(name: str) -> None:
    skimage = pytest.importorskip("skimage.metrics", reason="scikit-image is not installed")
    a, b, mask = cases()[name]
    scale = 255 / VALUE_RANGE[a.dtype.name]
    x, y = a.astype(np.float64) * scale, b.astype(np.float64) * scale
    assert metrics.mse(a, b) == pytest.approx(skimage.mean_squared_error(x, y), rel=1e-12)
    assert metrics.psnr(a, b) == pytest.approx(skimage.peak_signal_noise_ratio(x, y, data_range=255), rel=1e-12)
    axis = None if a.ndim == 2 else 2
    options: dict[str, Any] = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255)
    mean, full = skimage.structural_similarity(x, y, channel_axis=axis, full=True, **options)
    assert metrics.ssim(a, b) == pytest.approx(mean, abs=1e-10)
    full = full if axis is None else full.mean(axis=2)
    inside = mask > 0
    assert metrics.fssim(a, b, mask) == pytest.approx(full[inside].mean(), abs=1e-10)


@pytest.mark.parametrize("name", ["brighter", "another", "darker, soft mask"])
def test_torchmetrics_agrees(name: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    functional = pytest.importorskip("torchmetrics.functional.image", reason="torchmetrics is not installed")
    a, b, _ = cases()[name]
    x, y = (torch.from_numpy(v).permute(2, 0, 1)[None].double() for v in (a, b))
    expected = functional.peak_signal_noise_ratio(x, y, data_range=255.0).item()
    assert metrics.psnr(a, b) == pytest.approx(expected, rel=1e-6)  # its logarithm is one of float32
    options: dict[str, Any] = dict(gaussian_kernel=True, sigma=1.5, kernel_size=11, data_range=255.0)
    _, full = functional.structural_similarity_index_measure(x, y, return_full_image=True, **options)
    inside = full[0, :, 5:-5, 5:-5].mean().item()  # its own mean takes in the mirrored borders
    assert metrics.ssim(a, b) == pytest.approx(inside, abs=1e-7)  # its kernel is one of float32


# Means over images


def test_an_interval_holds_the_mean() -> None:
    values = np.random.default_rng(0).normal(30, 2, 400)
    interval = metrics.bootstrap(values)
    assert interval.mean == pytest.approx(values.mean(), rel=1e-14)
    # the percentile interval of a mean is that of the normal law: 2000 draws leave its bounds an error of 5 %
    half = 1.96 * values.std() / math.sqrt(400)
    assert interval.high - interval.mean == pytest.approx(half, rel=0.15)
    assert interval.mean - interval.low == pytest.approx(half, rel=0.15)
    wider = metrics.bootstrap(values, confidence=0.99)
    assert wider.low < interval.low < interval.high < wider.high
    assert metrics.bootstrap(values) == interval != metrics.bootstrap(values, seed=1)


def test_an_interval_covers_as_often_as_it_says() -> None:
    random, inside = np.random.default_rng(1), 0
    for _ in range(300):
        interval = metrics.bootstrap(random.exponential(1.0, 60), resamples=400)
        inside += interval.low <= 1 <= interval.high
    # 95 % but for what skewness takes: at least 90 %, less three standard deviations of 300 trials
    assert inside / 300 > 0.90 - 3 * math.sqrt(0.9 * 0.1 / 300)


def test_one_value_is_its_own_interval() -> None:
    assert metrics.bootstrap([3.5]) == metrics.Interval(3.5, 3.5, 3.5)
    assert str(metrics.bootstrap([3.5])) == "3.50 [3.50, 3.50]"


def test_rows_are_summarized_by_name() -> None:
    rows = [{"mse": float(i), "psnr": 40.0 - i} for i in range(9)]
    summaries = metrics.summarize(rows, seed=3)
    assert list(summaries) == ["mse", "psnr"]
    assert summaries["mse"] == metrics.bootstrap(range(9), seed=3)
    assert (summaries["mse"].mean, summaries["psnr"].mean) == (4, 36)


# Refusals

A = scene(16, 20, 0)
DISC_MASK = disc(16, 20)


@pytest.mark.parametrize(
    ("output", "target", "mask", "error", "says"),
    [
        (A[:10], A[:10], DISC_MASK[:10], errors.ShapeError, "20 x 10 pixels; SSIM needs sides of at least 11"),
        (A, A[:12], DISC_MASK, errors.ShapeError, "output: shape [16, 20, 3] differs from target [12, 20, 3]"),
        (A, A / 255, DISC_MASK, errors.DTypeError, "output: dtype uint8 differs from target float64"),
        (np.dstack([A, DISC_MASK]), A, DISC_MASK, errors.ShapeError, "drop alpha: output[..., :3]"),
        (A.transpose(2, 0, 1), A, DISC_MASK, errors.ShapeError, "channels come last: numpy.moveaxis(x, -3, -1)"),
        (A > 3, A, DISC_MASK, errors.DTypeError, "output: dtype bool"),
        (A * np.float32(np.nan), A * np.float32(1), DISC_MASK, errors.ArgumentError, "output: nan at pixel (y=0, x=0)"),
        (A, A, DISC_MASK[:12], errors.ShapeError, "mask: shape [12, 20], expected [16, 20]"),
        (A, A, DISC_MASK // 255, errors.MaskError, "pass `mask > 0`"),
        (A, A, DISC_MASK * 0, errors.MaskError, "mask: empty; a metric of the foreground needs a pixel inside"),
        (A, A, DISC_MASK / 100, errors.MaskError, "mask: values from 0 to 2.55"),
        (0.5, A, DISC_MASK, errors.DTypeError, "output: float, expected a numpy.ndarray"),
    ],
)
def test_what_is_no_pair_is_refused(output: Any, target: Any, mask: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error) as info:
        metrics.evaluate(output, target, mask)
    assert says in str(info.value)


def test_the_pictures_of_a_seam_are_one_frame() -> None:
    with pytest.raises(errors.ShapeError, match=r"output: shape \[16, 20, 3\] differs from dst \[12, 20, 3\]"):
        metrics.seam_error(A, A, A[:12], DISC_MASK)
    with pytest.raises(errors.DTypeError, match="output: dtype uint8 differs from src float64"):
        metrics.seam_error(A, A / 255, A, DISC_MASK)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: metrics.bootstrap([]), errors.ShapeError, "values: shape [0], expected [N]"),
        (lambda: metrics.bootstrap([[1.0]]), errors.ShapeError, "values: shape [1, 1]"),
        (lambda: metrics.bootstrap([1.0, math.inf]), errors.ArgumentError, "values: inf at 1"),
        (lambda: metrics.bootstrap([1.0], confidence=1), errors.ArgumentError, "confidence: 1, expected"),
        (lambda: metrics.bootstrap([1.0], resamples=0), errors.ArgumentError, "resamples: 0, expected"),
        (lambda: metrics.bootstrap([1.0], seed=-1), errors.ArgumentError, "seed: -1, expected"),
        (lambda: metrics.summarize([]), errors.ShapeError, "rows: empty"),
        (
            lambda: metrics.summarize([{"mse": 1.0}, {"psnr": 1.0}]),
            errors.ArgumentError,
            "rows: psnr at 1, expected mse",
        ),
    ],
)
def test_what_has_no_mean_is_refused(call: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error) as info:
        call()
    assert says in str(info.value)


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(frozen(), indent=1) + "\n")
    print(f"wrote {GOLDEN}")
