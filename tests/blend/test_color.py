"""Colour transfers are tested against their definitions in float64, or by the property that defines them."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyharmony
from pyharmony import color
from pyharmony.color import _idt, spaces
from pyharmony.color._retouch import white_balance
from pyharmony.color.histogram import quantile_tables
from pyharmony.color.temperature import fit_tone_curve, tone_curve
from pyharmony.errors import ArgumentError, DTypeError, MaskError, ShapeError
from pyharmony.reference.luma import LUMA

DTYPES = ("uint8", "uint16", "float32", "float64")
RANGE = {"uint8": 255.0, "uint16": 65535.0}
EPS = float(np.finfo(np.float32).eps)

TRANSFERS = {
    "reinhard": color.reinhard,
    "xiao_ma": color.xiao_ma,
    "mkl": color.mkl,
    "fecker": color.fecker,
    "match_histogram": color.match_histogram,
    "idt": color.idt,
    "luminance_temperature": color.luminance_temperature,
    "luminance_temperature, temperature": lambda *a, **k: color.luminance_temperature(*a, chroma="temperature", **k),
}
LUTS = [color.random_lut(seed, 9) for seed in range(3)]
#: Transfers that need no reference.
EDITS = {
    "brightness_contrast": lambda i, m, **k: color.brightness_contrast(i, m, brightness=0.1, contrast=0.3, **k),
    "shift_temperature": lambda i, m, **k: color.shift_temperature(i, 40, m, **k),
    "lut_mix": lambda i, m, **k: color.lut_mix(i, LUTS, m, rng=3, **k),
    "retouch": lambda i, m, **k: color.retouch(i, m, rng=5, **k)[0],
}
ALL_FUNCTIONS = {**{name: lambda i, m, f=f, **k: f(i, REFERENCE, m, **k) for name, f in TRANSFERS.items()}, **EDITS}


def photograph(seed, height=48, width=60, tint=(1.0, 1.0, 1.0)):
    """Returns [height, width, 3] in (0, 1): smooth colours with grain; channels go together as in photographs."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / max(height, width)
    waves = [np.sin(rng.uniform(2, 9) * x + rng.uniform(2, 9) * y + rng.uniform(0, 6)) for _ in range(4)]
    light = 0.5 + 0.18 * waves[0]
    planes = [light + 0.09 * waves[1 + c] + 0.03 * rng.standard_normal((height, width)) for c in range(3)]
    return np.clip(np.stack(planes, -1) * tint, 0.02, 0.98)


def as_dtype(x, dtype):
    return (x * RANGE[dtype]).round().astype(dtype) if dtype in RANGE else x.astype(dtype)


def as_float(x):
    return x.astype(np.float64) / RANGE.get(x.dtype.name, 1.0)


def soft_disc(height=48, width=60):
    y, x = np.mgrid[:height, :width]
    return np.clip(20 - np.hypot(y - height / 2, x - width / 2), 0, 4) / 4


IMAGE = photograph(0, tint=(1, 0.9, 0.8)).astype(np.float32)
REFERENCE = photograph(1, 40, 70, tint=(0.7, 0.85, 1)).astype(np.float32)
MASK = soft_disc().astype(np.float32)
REFERENCE_MASK = soft_disc(40, 70).astype(np.float32)


def weighted(x, w):
    """Returns mean and covariance of [H, W, 3] with weights [H, W]."""
    flat, weights = np.asarray(x, float).reshape(-1, 3), np.asarray(w, float).ravel()
    mean = weights @ flat / weights.sum()
    return mean, (weights[:, None] * (flat - mean)).T @ (flat - mean) / weights.sum()


# The promises of all of them


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ALL_FUNCTIONS)
def test_background_dtype_and_inputs_stay(name, dtype):
    image = as_dtype(IMAGE, dtype)
    before = image.copy()
    result = ALL_FUNCTIONS[name](image, MASK)
    assert isinstance(result, np.ndarray) and result.dtype == image.dtype and result.shape == image.shape
    np.testing.assert_array_equal(result[MASK == 0], image[MASK == 0])
    np.testing.assert_array_equal(image, before)
    assert (result[MASK == 1] != image[MASK == 1]).any()
    np.testing.assert_array_equal(ALL_FUNCTIONS[name](image, MASK), result)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ALL_FUNCTIONS)
def test_strength_mixes_with_the_image(name, dtype):
    image = as_dtype(IMAGE + (1e-12 if dtype == "float64" else 0), dtype)  # more digits than float32 has
    np.testing.assert_array_equal(ALL_FUNCTIONS[name](image, MASK, strength=0), image)
    full, half = as_float(ALL_FUNCTIONS[name](image, None)), as_float(ALL_FUNCTIONS[name](image, None, strength=0.5))
    # Both results are rounded to the dtype, the full one clamped where it is of integers.
    inside = (full > 0) & (full < 1) if dtype in RANGE else np.ones(full.shape, bool)
    atol = (0.76 / RANGE[dtype] if dtype in RANGE else 0) + 8 * EPS
    np.testing.assert_allclose(half[inside], (0.5 * (as_float(image) + full))[inside], rtol=0, atol=atol)


@pytest.mark.parametrize("name", TRANSFERS)
def test_the_same_image_as_reference_changes_nothing(name):
    image = as_dtype(IMAGE, "uint8")
    result = TRANSFERS[name](image, image, MASK, MASK)
    # The transfers use tables of 4096 steps and their inverses, for the colours of which CIELAB is steep.
    levels = 1 if "luminance" in name else 0
    assert np.abs(result.astype(int) - image.astype(int)).max() <= levels


@pytest.mark.parametrize("name", ALL_FUNCTIONS)
def test_strides_and_threads_give_the_same_bits(name):
    image = as_dtype(IMAGE, "uint8")
    expected = ALL_FUNCTIONS[name](image, MASK)
    flipped = np.ascontiguousarray(image[::-1, ::-1, ::-1])[::-1, ::-1, ::-1]
    before = pyharmony.get_num_threads()
    try:
        for threads in (1, 3):
            pyharmony.set_num_threads(threads)
            np.testing.assert_array_equal(ALL_FUNCTIONS[name](flipped, MASK), expected)
    finally:
        pyharmony.set_num_threads(before)


@pytest.mark.parametrize("name", ALL_FUNCTIONS)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_single_pixels_and_one_colour_are_finite(name, dtype):
    grey = as_dtype(np.full((20, 30, 3), 0.5), dtype)
    one = np.zeros((20, 30), np.uint8)
    one[7, 9] = 255
    for image, mask in ((grey, None), (grey, one), (grey[:1, :1], None), (as_dtype(IMAGE[:20, :30], dtype), one)):
        result = ALL_FUNCTIONS[name](image, mask)
        assert np.isfinite(result).all()
    black = np.zeros((6, 7, 3), dtype)
    assert np.isfinite(ALL_FUNCTIONS[name](black, None)).all()


@pytest.mark.parametrize("name", TRANSFERS)
def test_references_of_one_colour_are_finite(name):
    for reference in (np.zeros((1, 1, 3), np.uint8), np.full((5, 5, 3), 200, np.uint8)):
        assert np.isfinite(TRANSFERS[name](IMAGE, reference, MASK)).all()


@given(
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    dtype=st.sampled_from(DTYPES),
    name=st.sampled_from(sorted(ALL_FUNCTIONS)),
    seed=st.integers(0, 99),
)
def test_any_image_and_mask(height, width, dtype, name, seed):
    rng = np.random.default_rng(seed)
    image = as_dtype(rng.random((height, width, 3)), dtype)
    mask = np.clip(2 * rng.random((height, width)) - 0.5, 0, 1)
    mask.flat[rng.integers(mask.size)] = 1
    result = ALL_FUNCTIONS[name](image, mask)
    assert result.dtype == image.dtype and np.isfinite(result).all()
    np.testing.assert_array_equal(result[mask == 0], image[mask == 0])


@pytest.mark.parametrize("name", ALL_FUNCTIONS)
def test_nan_passes_outside_and_is_refused_inside(name):
    image = IMAGE.copy()
    image[0, 0] = np.nan
    assert MASK[0, 0] == 0
    result = ALL_FUNCTIONS[name](image, MASK)
    assert np.isnan(result[0, 0]).all() and np.isfinite(result[1:]).all()
    with pytest.raises(ArgumentError, match="image: nan at pixel"):
        ALL_FUNCTIONS[name](image, None)


@pytest.mark.parametrize("name", ALL_FUNCTIONS)
def test_what_is_no_image_or_mask_is_refused(name):
    for image, mask, error, message in (
        (IMAGE[..., 0], None, ShapeError, "image: shape"),
        (IMAGE[..., :2], None, ShapeError, "image: shape"),
        (IMAGE > 0, None, DTypeError, "image: dtype bool"),
        ([1, 2], None, DTypeError, "image: list"),
        (IMAGE, MASK[1:], ShapeError, "mask: shape"),
        (IMAGE, MASK + 1, MaskError, "mask: values"),
        (IMAGE, np.zeros_like(MASK), MaskError, "mask: zero everywhere"),
    ):
        with pytest.raises(error, match=message):
            ALL_FUNCTIONS[name](image, mask)
    with pytest.raises(ArgumentError, match=r"strength: 1\.5"):
        ALL_FUNCTIONS[name](IMAGE, MASK, strength=1.5)


@pytest.mark.parametrize("name", TRANSFERS)
def test_what_is_no_reference_is_refused(name):
    with pytest.raises(ShapeError, match="reference: shape"):
        TRANSFERS[name](IMAGE, REFERENCE[..., 0])
    with pytest.raises(MaskError, match="reference_mask: zero everywhere"):
        TRANSFERS[name](IMAGE, REFERENCE, None, np.zeros(REFERENCE.shape[:2]))
    with pytest.raises(ShapeError, match="reference_mask: shape"):
        TRANSFERS[name](IMAGE, REFERENCE, None, MASK)
    with pytest.raises(ArgumentError, match="reference: nan at pixel"):
        TRANSFERS[name](IMAGE, REFERENCE * np.nan)


def test_arguments_have_the_same_names_everywhere():
    for function in (color.reinhard, color.xiao_ma, color.mkl, color.fecker, color.match_histogram, color.idt,
                     color.luminance_temperature):  # fmt: skip
        names = list(inspect.signature(function).parameters)
        assert names[:4] == ["image", "reference", "mask", "reference_mask"] and names[-1] == "strength"


# Each of them


def test_reinhard_matches_mean_and_deviation_in_lalphabeta():
    """Masks are binary: where a mask is soft the result is a mix."""
    inside, theirs = MASK == 1, REFERENCE_MASK == 1
    result = color.reinhard(IMAGE.astype(np.float64), REFERENCE, inside, theirs)
    mean, covariance = weighted(color.rgb_to_lalphabeta(result), inside)
    wanted_mean, target = weighted(color.rgb_to_lalphabeta(REFERENCE), theirs)
    # Logarithms of responses of at least 1/255 go in float32 through three matrices and an exponential.
    atol = 255 * 64 * EPS
    np.testing.assert_allclose(mean, wanted_mean, atol=atol)
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), np.sqrt(np.diag(target)), atol=2 * atol)


def test_reinhard_is_its_formula():
    inside = MASK > 0
    result = color.reinhard(IMAGE, REFERENCE, inside)
    x, y = color.rgb_to_lalphabeta(IMAGE), color.rgb_to_lalphabeta(REFERENCE)
    (mean, covariance), (wanted_mean, covariance_of_target) = weighted(x, inside), weighted(y, np.ones(y.shape[:2]))
    mapped = (x - mean) * np.sqrt(np.diag(covariance_of_target) / np.diag(covariance)) + wanted_mean
    expected = np.where(inside[..., None], color.lalphabeta_to_rgb(mapped), IMAGE)
    np.testing.assert_allclose(result, expected, atol=255 * 64 * EPS)


@pytest.mark.parametrize("name", ["xiao_ma", "mkl"])
def test_gaussian_transfers_match_mean_and_covariance(name):
    inside = (MASK > 0).astype(np.float32)
    result = TRANSFERS[name](IMAGE, REFERENCE, inside, REFERENCE_MASK)
    mean, covariance = weighted(result, inside)
    wanted_mean, target = weighted(REFERENCE, REFERENCE_MASK)
    np.testing.assert_allclose(mean, wanted_mean, atol=32 * EPS)
    np.testing.assert_allclose(covariance, target, atol=64 * EPS)


def test_mkl_moves_least():
    """Its matrix is symmetric and positive; of two maps with the same result, Xiao and Ma's moves more."""
    distances = {name: ((TRANSFERS[name](IMAGE, REFERENCE) - IMAGE) ** 2).mean() for name in ("mkl", "xiao_ma")}
    assert distances["mkl"] <= distances["xiao_ma"] + 64 * EPS


def test_mkl_floor_holds_noise_back():
    rng = np.random.default_rng(2)
    flat = (0.5 + 0.002 * rng.standard_normal((40, 50, 3))).astype(np.float32)
    wild, with_floor = color.mkl(flat, REFERENCE), color.mkl(flat, REFERENCE, floor=0.03**2)
    assert with_floor.std(axis=(0, 1)).max() < 0.25 * wild.std(axis=(0, 1)).min()
    np.testing.assert_allclose(with_floor.mean((0, 1)), wild.mean((0, 1)), atol=1e-4)


def cdf_distance(a, wa, b, wb):
    """Returns the largest distance of two weighted cumulative histograms (Kolmogorov and Smirnov)."""
    at = np.unique(np.concatenate([a, b]))

    def cdf(x, w):
        order = np.argsort(x)
        sums = np.concatenate([[0], np.cumsum(w[order])]) / w.sum()
        return sums[np.searchsorted(x[order], at, side="right")]

    return np.abs(cdf(a, wa) - cdf(b, wb)).max()


@pytest.mark.parametrize(
    ("name", "space"), [("match_histogram", lambda x: x), ("fecker", color.rgb_to_ycbcr)], ids=["rgb", "ycbcr"]
)
def test_cumulative_histograms_match(name, space):
    inside, theirs = MASK > 0, REFERENCE_MASK == 1
    result = TRANSFERS[name](IMAGE, REFERENCE, inside, theirs)
    a, b = space(result.astype(np.float64))[inside], space(REFERENCE.astype(np.float64))[theirs]
    bins = 1024 if name == "match_histogram" else 256
    for c in range(3):
        # They agree at the edges of bins: between them by as much as the fullest bin of either holds.
        fullest = sum(np.histogram(x[:, c], bins, (0, 1))[0].max() / len(x) for x in (a, b, space(IMAGE)[inside]))
        assert cdf_distance(a[:, c], np.ones(len(a)), b[:, c], np.ones(len(b))) <= fullest


def test_match_histogram_of_uint8_is_that_of_scikit_image():
    exposure = pytest.importorskip("skimage.exposure", reason="scikit-image is not installed")
    image, reference = as_dtype(IMAGE, "uint8"), as_dtype(REFERENCE, "uint8")
    expected = exposure.match_histograms(image, reference, channel_axis=-1)
    result = color.match_histogram(image, reference)
    # It takes the upper end of each level's step, ours the middle: the mean differs by less than a level's half.
    assert np.abs(result.astype(float) - expected).mean() < 1


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("transfer", ["reinhard", "xiao_ma", "mkl", "match_histogram", "fecker", "idt"])
def test_a_region_of_one_colour_is_shifted(transfer: str, dtype: str) -> None:
    reference = np.random.default_rng(3).integers(60, 200, (60, 70, 3)).astype(np.uint8)
    image = np.full((40, 50, 3), (120, 90, 60), np.uint8)
    images = [(x / (1 if dtype == "uint8" else 255)).astype(dtype) for x in (image, reference)]
    result = getattr(color, transfer)(*images).astype(np.float64) * (1 if dtype == "uint8" else 255)
    assert np.ptp(result, axis=(0, 1)).max() < 1e-3
    # The mean of logarithms is below that of colours.
    assert np.abs(result[0, 0] - reference.mean((0, 1))).max() < (10 if transfer == "reinhard" else 1.5)


def test_quantile_tables_are_monotonic_and_stay_within_the_reference():
    rng = np.random.default_rng(3)
    ours, theirs = rng.random((3, 64)) * (rng.random((3, 64)) < 0.3), np.zeros((3, 64))
    theirs[:, 20:30] = rng.random((3, 10)) + 0.1
    ours[:, 5] = 1
    tables = quantile_tables(ours, theirs, np.zeros(3), np.ones(3))
    assert (np.diff(tables) >= 0).all() and tables.min() >= 20 / 64 and tables.max() <= 30 / 64


@pytest.mark.parametrize("seed", [0, 1])
def test_idt_matches_marginals_in_any_direction(seed):
    inside = MASK > 0
    result = color.idt(IMAGE, REFERENCE, inside, None, iterations=25, regrain=False, seed=seed)
    before = IMAGE[inside]
    a, b = result[inside], REFERENCE.reshape(-1, 3)
    rng = np.random.default_rng(7)
    ones = np.ones(len(a)), np.ones(len(b))
    after, start = [], []
    for _ in range(20):
        direction = _idt.random_rotation(rng)[0]
        after.append(cdf_distance(a @ direction, ones[0], b @ direction, ones[1]))
        start.append(cdf_distance(before @ direction, ones[0], b @ direction, ones[1]))
    # Two samples of that many pixels from one distribution are so far apart (Kolmogorov, at one in a hundred).
    assert np.median(after) < 1.63 * np.sqrt(1 / len(a) + 1 / len(b))
    assert np.median(after) < 0.2 * np.median(start)


def test_idt_depends_on_its_seed_alone():
    first = color.idt(IMAGE, REFERENCE, MASK, seed=4, iterations=4)
    np.testing.assert_array_equal(color.idt(IMAGE, REFERENCE, MASK, seed=np.random.default_rng(4), iterations=4), first)
    assert (color.idt(IMAGE, REFERENCE, MASK, seed=5, iterations=4) != first).any()


def test_rotations_are_rotations():
    rng = np.random.default_rng(8)
    for _ in range(50):
        r = _idt.random_rotation(rng)
        np.testing.assert_allclose(r @ r.T, np.eye(3), atol=1e-14)
        assert np.linalg.det(r) == pytest.approx(1, abs=1e-14)


def test_regrain_keeps_gradients_where_the_image_is_smooth():
    """Grain that a transfer adds to a flat image goes, and a constant change stays."""
    rng = np.random.default_rng(9)
    flat = np.full((50, 64, 3), 0.4, np.float32)
    flat[:, 32:] = 0.6
    grainy = flat + 0.1 + 0.05 * rng.standard_normal(flat.shape).astype(np.float32)
    result = color.regrain(flat, grainy)
    assert (result - flat).std() < 0.3 * (grainy - flat).std()
    np.testing.assert_allclose(color.regrain(IMAGE, IMAGE + np.float32(0.1)), IMAGE + 0.1, atol=1e-3)
    np.testing.assert_allclose(color.regrain(IMAGE, IMAGE), IMAGE, atol=EPS)
    with pytest.raises(ShapeError, match="recolored: shape"):
        color.regrain(IMAGE, REFERENCE)


def test_regrain_does_not_look_outside_the_mask():
    other = IMAGE.copy()
    other[MASK == 0] = 0
    after = color.reinhard(IMAGE, REFERENCE, MASK)
    after_other = after.copy()
    after_other[MASK == 0] = 1
    inside = MASK > 0
    np.testing.assert_array_equal(
        color.regrain(IMAGE, after, MASK)[inside], color.regrain(other, after_other, MASK)[inside]
    )


def test_luminance_moves_towards_the_reference_by_at_most_max_shift():
    dark, bright = IMAGE * np.float32(0.4), np.clip(IMAGE * np.float32(1.3), 0, 1)
    before = color.rgb_to_lab(dark)[..., 0]
    goal = color.rgb_to_lab(bright)[..., 0]
    small, large = (
        color.rgb_to_lab(color.luminance_temperature(dark, bright, max_shift=t))[..., 0] for t in (0.1, 1.0)
    )
    assert abs(large.mean() - goal.mean()) < 0.2 * abs(before.mean() - goal.mean())
    assert 2 < (small - before).mean() < 13


@given(m=st.floats(0, 1), d=st.floats(-2.5, 2))
def test_the_tone_curve_is_found_again(m, d):
    x = np.linspace(0.01, 0.99, 32)
    goal = tone_curve(x, m, np.exp(d))
    np.testing.assert_allclose(tone_curve(x, *fit_tone_curve(x, goal)), goal, atol=2e-3)
    assert tone_curve(np.array([0.0, 1.0]), m, np.exp(d)) == pytest.approx([0, 1], abs=1e-12)


def test_chroma_transport_matches_a_and_b():
    result = color.luminance_temperature(IMAGE, REFERENCE, floor=0)
    a, b = color.rgb_to_lab(result)[..., 1:].reshape(-1, 2), color.rgb_to_lab(REFERENCE)[..., 1:].reshape(-1, 2)
    # Some colours leave the cube and are clamped.
    np.testing.assert_allclose(a.mean(0), b.mean(0), atol=0.5)
    np.testing.assert_allclose(np.cov(a.T), np.cov(b.T), rtol=0.15, atol=1)


def test_temperature_shift_keeps_tint_and_luminance():
    colors = np.random.default_rng(10).uniform(0.35, 0.65, (30, 40, 3))
    result = color.shift_temperature(colors, 30)
    before, after = color.xyz_to_xyy(color.rgb_to_xyz(colors)), color.xyz_to_xyy(color.rgb_to_xyz(result))
    np.testing.assert_allclose(after[..., 2], before[..., 2], atol=1e-6)
    mired, warmer = (spaces.uv_to_mired(spaces.xy_to_uv(x[..., :2])) for x in (before, after))
    near = (mired > 60) & (mired < 500)
    assert near.mean() > 0.5
    np.testing.assert_allclose((warmer - mired)[near], 30, atol=0.05)
    distance = [
        np.linalg.norm(spaces.xy_to_uv(x[..., :2]) - spaces.planckian_uv(t)[0], axis=-1)[near]
        for x, t in ((before, mired), (after, warmer))
    ]
    np.testing.assert_allclose(distance[1], distance[0], atol=1e-5)
    np.testing.assert_allclose(color.shift_temperature(colors, 0), colors, atol=8 * EPS)
    np.testing.assert_allclose(color.shift_temperature(result, -30)[near], colors[near], atol=1e-4)


def test_temperatures_of_known_lights():
    """CIE's illuminants A and D65 are at 2856 K and 6504 K, the latter above the locus."""
    for xy, kelvin in (((0.44757, 0.40745), 2856), ((0.31271, 0.32902), 6504)):
        assert 1e6 / spaces.uv_to_mired(spaces.xy_to_uv(np.array(xy))) == pytest.approx(kelvin, rel=0.005)


def test_brightness_and_contrast():
    result = color.brightness_contrast(IMAGE, brightness=0.1, contrast=0.5)
    mean = (IMAGE @ LUMA).mean()
    np.testing.assert_allclose(result, 1.5 * (IMAGE - mean) + mean + 0.1, atol=16 * EPS)
    assert (np.ptp(color.brightness_contrast(IMAGE, contrast=-1), axis=(0, 1)) == 0).all()


def test_lut_mix_is_the_mix_of_what_the_tables_make():
    weights = np.array([0.2, 0.5, 0.3])
    result = color.lut_mix(IMAGE, LUTS, weights=2 * weights)
    expected = sum(w * color.lut_mix(IMAGE, [table], weights=[1]).astype(float) for w, table in zip(weights, LUTS))
    np.testing.assert_allclose(result, expected, atol=16 * EPS)
    random_mix = color.lut_mix(IMAGE, LUTS, rng=1)
    mix = np.random.default_rng(1).dirichlet(np.ones(3))
    np.testing.assert_array_equal(random_mix, color.lut_mix(IMAGE, LUTS, weights=mix))


def test_random_luts():
    table = color.random_lut(0)
    assert table.shape == (17, 17, 17, 3) and table.dtype == np.float32
    assert table.min() >= 0 and table.max() <= 1
    np.testing.assert_array_equal(color.random_lut(np.random.default_rng(0)), table)
    assert (color.random_lut(1) != table).any()
    axis = np.linspace(0, 1, 17)
    identity = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)
    np.testing.assert_allclose(color.random_lut(0, amount=0), identity, atol=4 * EPS)
    # It is a change of light, not noise: neighbours in the table stay neighbours.
    for seed in range(20):
        steps = np.abs(np.diff(color.random_lut(seed), axis=0))
        assert steps.max() < 0.35


def test_retouch_by_hand():
    image = IMAGE * np.float32(0.5) + np.float32(0.2)

    def done(**changes):
        result, parameters = color.retouch(image, parameters=color.Retouching(**changes))
        assert parameters == color.Retouching(**changes)
        return result

    # The tables have 4096 steps.
    linear = color.srgb_to_linear(image)
    np.testing.assert_allclose(done(), image, atol=1e-5)
    np.testing.assert_allclose(done(exposure=-1), color.linear_to_srgb(linear / 2), atol=1e-5)
    np.testing.assert_allclose(done(gains=(0.9, 1, 0.8)), color.linear_to_srgb(linear * [0.9, 1, 0.8]), atol=1e-5)
    np.testing.assert_allclose(done(gamma=1.5), image**1.5, atol=1e-5)
    grey = color.linear_to_srgb(linear @ spaces.RGB_TO_XYZ[1])
    np.testing.assert_allclose(done(saturation=0), np.repeat(grey[..., None], 3, 2), atol=1e-5)
    np.testing.assert_allclose(done(haze=0.3, ambient=(1, 1, 1)), color.linear_to_srgb(0.7 * linear + 0.3), atol=1e-5)
    np.testing.assert_allclose(done(hue=120), image[..., [2, 0, 1]], atol=1e-5)
    u = (2 * (np.arange(60) + 0.5) / 60 - 1)[None, :, None]
    np.testing.assert_allclose(
        done(light=(-0.5, 0.4, 0, 0, 0, 0)), color.linear_to_srgb(linear * 2 ** (-0.5 + 0.4 * u)), atol=1e-5
    )
    assert done(contrast=0.5).std() > image.std() and done(contrast=-0.5).std() < image.std()
    assert (done(shadows=0.5) >= image - 1e-5).all() and (done(highlights=-0.5) <= image + 1e-5).all()
    warm, green = done(temperature=60), done(tint=10)
    assert warm[..., 0].mean() > image[..., 0].mean() and warm[..., 2].mean() < image[..., 2].mean()
    assert green[..., 1].mean() > image[..., 1].mean() and green[..., 0].mean() < image[..., 0].mean()


def test_white_balance_carries_white_to_the_light():
    np.testing.assert_allclose(white_balance(0, 0), np.eye(3), atol=1e-12)
    for shift in (-60, 100):
        xyz = spaces.RGB_TO_XYZ @ white_balance(shift, 0) @ np.ones(3)
        white, lit = (spaces.uv_to_mired(spaces.xy_to_uv(x[:2] / x.sum())) for x in (spaces.WHITE, xyz))
        assert lit - white == pytest.approx(shift, abs=0.05)
        assert xyz[1] == pytest.approx(1)


def test_retouch_draws():
    result, parameters = color.retouch(IMAGE, MASK, rng=3)
    again, same = color.retouch(IMAGE, MASK, rng=np.random.default_rng(3))
    assert parameters == same == color.Retouching.draw(3)
    np.testing.assert_array_equal(result, again)
    np.testing.assert_array_equal(color.retouch(IMAGE, MASK, parameters=parameters)[0], result)
    assert color.Retouching.draw(3, amount=0) == color.Retouching(ambient=parameters.ambient)
    draws = [color.Retouching.draw(seed) for seed in range(200)]
    assert all(abs(d.exposure) <= 1 and 0.6 <= d.gamma <= 1.6 and abs(d.temperature) <= 60 for d in draws)
    assert 0.3 < np.mean([d.haze > 0 for d in draws]) < 0.7


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: color.mkl(IMAGE, REFERENCE, floor=-1), ArgumentError, "floor: -1"),
        (lambda: color.fecker(IMAGE, REFERENCE, bins=1), ArgumentError, "bins: 1"),
        (lambda: color.match_histogram(IMAGE, REFERENCE, bins=2.5), DTypeError, "bins: float"),
        (lambda: color.idt(IMAGE, REFERENCE, iterations=0), ArgumentError, "iterations: 0"),
        (lambda: color.idt(IMAGE, REFERENCE, seed="a"), DTypeError, "seed: str 'a'"),
        (lambda: color.luminance_temperature(IMAGE, REFERENCE, chroma="hue"), ArgumentError, "chroma: 'hue'"),
        (lambda: color.luminance_temperature(IMAGE, REFERENCE, max_shift=0), ArgumentError, "max_shift: 0"),
        (lambda: color.shift_temperature(IMAGE, 1e4), ArgumentError, "mired: 10000"),
        (lambda: color.brightness_contrast(IMAGE, contrast=-2), ArgumentError, "contrast: -2"),
        (lambda: color.random_lut(0, 1), ArgumentError, "size: 1"),
        (lambda: color.random_lut(-1), ArgumentError, "rng: -1"),
        (lambda: color.lut_mix(IMAGE, [], rng=1), ShapeError, "luts: none"),
        (lambda: color.lut_mix(IMAGE, [LUTS[0], color.random_lut(1, 5)], rng=1), ShapeError, "the same n for all"),
        (lambda: color.lut_mix(IMAGE, LUTS), ArgumentError, "either weights or rng"),
        (lambda: color.lut_mix(IMAGE, LUTS, weights=[1, 2]), ShapeError, "weights: shape"),
        (lambda: color.lut_mix(IMAGE, LUTS, weights=[1, -1, 1]), ArgumentError, "at least 0"),
        (lambda: color.retouch(IMAGE), ArgumentError, "either rng or parameters"),
        (lambda: color.retouch(IMAGE, parameters=3), DTypeError, "parameters: int"),
        (lambda: color.Retouching(gamma=0), ArgumentError, "gamma: 0"),
        (lambda: color.Retouching(gains=(1, 1)), ShapeError, "gains: 2 numbers"),
        (lambda: color.Retouching(light=0.5), DTypeError, "light: float"),
        (lambda: color.Retouching.draw(0, amount=2), ArgumentError, "amount: 2"),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


# Spaces

PAIRS = {
    "linear": (color.srgb_to_linear, color.linear_to_srgb),
    "xyz": (color.rgb_to_xyz, color.xyz_to_rgb),
    "lab": (color.rgb_to_lab, color.lab_to_rgb),
    "lalphabeta": (color.rgb_to_lalphabeta, color.lalphabeta_to_rgb),
    "ycbcr": (color.rgb_to_ycbcr, color.ycbcr_to_rgb),
    "xyy": (color.xyz_to_xyy, color.xyy_to_xyz),
    "uv": (spaces.xy_to_uv, spaces.uv_to_xy),
}


@pytest.mark.parametrize("name", PAIRS)
def test_spaces_go_there_and_back(name):
    colors = np.random.default_rng(11).random((500, 3))
    colors[:2] = [[0, 0, 0], [1, 1, 1]]
    if name == "uv":
        colors = 0.2 + 0.3 * colors[:, :2]
    there, back = PAIRS[name]
    np.testing.assert_allclose(back(there(colors)), colors, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "ours"),
    [("rgb2lab", color.rgb_to_lab), ("rgb2xyz", color.rgb_to_xyz), ("rgb2ycbcr", color.rgb_to_ycbcr)],
)
def test_spaces_are_those_of_scikit_image(name, ours):
    theirs = getattr(pytest.importorskip("skimage.color", reason="scikit-image is not installed"), name)
    colors = np.random.default_rng(12).random((10, 20, 3))
    result, expected = ours(colors), theirs(colors)
    if name == "rgb2ycbcr":  # of studio range
        expected = (expected - [16, 128, 128]) / [219, 224, 224] + [0, 0.5, 0.5]
    # Its matrices have six digits.
    np.testing.assert_allclose(result, expected, rtol=1e-3, atol=0.02 if name == "rgb2lab" else 1e-4)


def test_white_is_white():
    white = np.ones(3)
    np.testing.assert_allclose(color.rgb_to_lab(white), [100, 0, 0], atol=1e-10)
    np.testing.assert_allclose(color.rgb_to_ycbcr(white), [1, 0.5, 0.5], atol=1e-12)
    np.testing.assert_allclose(color.xyz_to_xyy(color.rgb_to_xyz(white)), [0.3127, 0.3290, 1], atol=1e-4)
    np.testing.assert_allclose(color.rgb_to_lalphabeta(white)[1:], 0, atol=5e-3)
