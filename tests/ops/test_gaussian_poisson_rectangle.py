"""Method dct of gaussian_poisson, on the rectangle with one weight, against the definition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyharmony
from pyharmony import _arrays
from pyharmony._native import native
from pyharmony.reference import gaussian_poisson as definition

from ..equations import native_view
from ..shared import image, soft_mask

RANGE = _arrays.VALUE_RANGE
WEIGHTS = (0.0, 1e-3, 0.01, 0.1, 0.15, 0.25, 0.35, 0.5, 0.7, 1.0, 4.0)
SIZES = (
    (1, 1),
    (1, 9),
    (9, 1),
    (2, 3),
    (5, 5),
    (1, 211),
    (211, 1),
    (3, 150),
    (16, 32),
    (17, 64),
    (97, 131),
    (120, 181),
)
EPS = {False: 2.0**-24, True: 2.0**-53}


def run(src: Any, dst: Any, mask: Any, base: Any, weight: float, out: Any = None, **options: Any) -> Any:
    """Returns the answer (float64 without `out`), and how many values were clipped."""
    sigma, as_published = options.pop("sigma", 0.5), options.pop("as_published", False)
    w0, w1 = definition.gaussian_taps(sigma, normalize=not as_published)
    options.setdefault("double_precision", False)
    if "rhs" in options:
        options["rhs"] = native_view(options["rhs"])
    out = np.empty(dst.shape) if out is None else out
    return out, native.gaussian_poisson_dct(
        *(native_view(a) for a in (src, dst, mask, base)),
        native_view(out, writable=True),
        weight=weight,
        w0=w0,
        w1=w1,
        **options,
    )


def rounding(h: int, w: int, weight: float, eps: float, value_range: float) -> float:
    """Returns what rounding may add: b and its transform are wrong by eps log2(n) of the range, a white error that
    A^-1 raises by the root mean square of 1 / eigenvalue; elimination adds sqrt(H) of eps, storing and
    differences a few, weight times base in b its own. value_range is the largest magnitude of images and answer."""
    lam = sum(np.meshgrid(*(4 * np.sin(np.pi * np.arange(n) / (2 * n)) ** 2 for n in (h, w)), indexing="ij"))
    eigenvalues = (lam + weight * 0.6 * np.ones_like(lam)).ravel()[1:]
    gain = np.sqrt(np.mean(1 / eigenvalues**2)) if eigenvalues.size else 0.0
    return float(eps * value_range * (np.log2(2 * h * w) * gain + np.sqrt(h) + 8 + weight))


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("kind", ["noise", "picture", "constant"])
def test_it_solves_the_equation_on_every_size(weight: float, kind: str) -> None:
    rng = np.random.default_rng(0)
    for h, w in SIZES:
        src, dst, base = (image(rng, (h, w, 2), "uint8", kind) for _ in range(3))
        mask = soft_mask(rng, h, w)
        expected = definition.gaussian_poisson(src, dst, mask, base, color_weight=weight)
        size = max(255.0, np.abs(expected).max())
        single, double = (rounding(h, w, weight, EPS[d], size) for d in (False, True))

        x, _ = run(src, dst, mask, base, weight, double_precision=True)
        # The definition is float64 too, and its own transforms are dense products of n terms.
        assert np.abs(x - expected).max() <= double * 8 * np.sqrt(max(h, w)), (h, w)
        x, _ = run(src, dst, mask, base, weight)
        assert np.abs(x - expected).max() <= single, (h, w)


def test_every_instruction_set_gives_the_answer(simd: str) -> None:
    rng = np.random.default_rng(1)
    for channels in (1, 2, 3, 4, 5):
        src, dst, base = (image(rng, (45, 67, channels), "uint8", "picture") for _ in range(3))
        mask = soft_mask(rng, 45, 67)
        expected = definition.gaussian_poisson(src, dst, mask, base, color_weight=0.05)
        for double in (False, True):
            x, _ = run(src, dst, mask, base, 0.05, double_precision=double)
            bound = (
                64 * rounding(45, 67, 0.05, EPS[True], 255)
                if double
                else 1e-3 + rounding(45, 67, 0.05, EPS[False], 255)
            )
            assert np.abs(x - expected).max() <= bound


@pytest.mark.parametrize("mask_dtype", ["bool", "uint8", "uint16", "float16", "float32", "float64"])
@pytest.mark.parametrize("dtype", list(RANGE))
def test_dtypes(dtype: str, mask_dtype: str) -> None:
    """Integers are rounded half to even and held in range, floats are not clipped; base may be of another dtype."""
    rng = np.random.default_rng(2)
    h, w, weight = 33, 40, 0.2
    src, dst = (image(rng, (h, w, 3), dtype) for _ in range(2))
    base = image(rng, (h, w, 3), dtype, "picture").astype("float32")
    mask = soft_mask(rng, h, w, mask_dtype)
    value = mask.astype(np.float64) / RANGE.get(mask_dtype, 1.0)
    expected = definition.gaussian_poisson(src, dst, value, base, color_weight=weight)
    out, _ = run(src, dst, mask, base, weight, np.empty((h, w, 3), dtype))
    slack = rounding(h, w, weight, EPS[False], RANGE[dtype])
    if dtype.startswith("u"):
        assert expected.max() > RANGE[dtype] and expected.min() < 0  # the case does need holding
        expected = np.clip(expected, 0, RANGE[dtype])
        slack += 0.5
    else:
        slack += np.finfo(dtype).eps / 2 * np.abs(expected).max()
    assert np.abs(out.astype(np.float64) - expected).max() <= slack


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_a_given_right_hand_side(weight: float, dtype: str) -> None:
    """b replaces the images; with weight 0 the mean of x is the one given, or zero."""
    rng = np.random.default_rng(6)
    h, w = 61, 83
    w0, w1 = definition.gaussian_taps(0.5)
    x = rng.random((h, w, 2)) * 255
    b = definition.apply_operator(x, np.full((h, w), weight), w0, w1).astype(dtype)
    unused, mask = np.empty((1, 1, 1), np.uint8), np.zeros((h, w), bool)
    out = np.empty((h, w, 2))
    slack = rounding(h, w, weight, EPS[False], 255)
    mean = x.mean((0, 1))
    run(unused, unused, mask, unused, weight, out, rhs=b, mean=list(mean))
    assert np.abs(out - x).max() <= slack
    run(unused, unused, mask, unused, weight, out, rhs=b)
    assert np.abs(out - (x - mean if weight == 0 else x)).max() <= slack


@pytest.mark.parametrize("weight", WEIGHTS)
def test_the_mean_is_that_of_base(weight: float) -> None:
    """It is so in float32 too, however small the weight: the mean is known and set."""
    rng = np.random.default_rng(7)
    src, dst, base = (image(rng, (150, 211, 3), "float32") for _ in range(3))
    x, _ = run(src, dst, soft_mask(rng, 150, 211), base, weight)
    np.testing.assert_allclose(x.mean((0, 1)), base.mean((0, 1), dtype=np.float64), rtol=0, atol=1e-6)


CASES = ("a64", "b64", "c96x160", "d97x131", "e128soft", "f128s1", "g64border", "i64b0")


@pytest.mark.parametrize("case", CASES)
def test_gp_gan_reference_vectors(data_dir: Path, case: str) -> None:
    path = data_dir / "gp_reference" / "gp_reference_vectors.npz"
    if not path.is_file():
        pytest.skip("shared data not found")
    vectors = np.load(path)
    src, dst, base = (vectors[f"{case}__{name}"] / 255.0 for name in ("src", "dst", "xl"))
    mask = vectors[f"{case}__mask"]
    weight, sigma = vectors[f"{case}__params"]
    expected = vectors[f"{case}__out_unclipped"].astype(np.float64)

    def error(x: Any) -> float:
        difference = x - expected
        if weight == 0:  # GP-GAN's code leaves the mean to rounding
            difference = difference - difference.mean((0, 1))
        return float(np.abs(difference).max())

    options = {"sigma": float(sigma), "as_published": True}
    assert error(run(src, dst, mask, base, float(weight), double_precision=True, **options)[0]) <= 1e-6
    assert error(run(src, dst, mask, base, float(weight), **options)[0]) <= 2e-5


@pytest.mark.parametrize(("sigma", "weight"), [(1.0, 100.0), (2.0, 8.0), (0.5, 30.0)])
def test_dct_solves_indefinite_systems(sigma: float, weight: float) -> None:
    """GP-GAN's taps give G negative eigenvalues for sigma > 0.849: the columns are transformed then."""
    rng = np.random.default_rng(8)
    h, w = 23, 31
    src, dst, base = (image(rng, (h, w, 3), "float64") for _ in range(3))
    mask = soft_mask(rng, h, w)
    expected = definition.gaussian_poisson(src, dst, mask, base, color_weight=weight, sigma=sigma, as_published=True)
    x, _ = run(src, dst, mask, base, weight, sigma=sigma, as_published=True, double_precision=True)
    np.testing.assert_allclose(x, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


@pytest.mark.large
@pytest.mark.parametrize("channels", [1, 3])
def test_memory(channels: int) -> None:
    """It takes one copy of the image, and lines for each thread."""
    rng = np.random.default_rng(12)
    h, w = 700, 900
    src, dst, base = (image(rng, (h, w, channels), "uint8") for _ in range(3))
    mask = soft_mask(rng, h, w)
    before = pyharmony.get_num_threads()
    pyharmony.set_num_threads(2)
    try:
        with native.Memory() as memory:
            run(src, dst, mask, base, 0.1, np.empty_like(dst))
    finally:
        pyharmony.set_num_threads(before)
    assert 4 * h * w * channels <= memory.peak <= 4 * (h + 1) * (w + 16) * channels + 2 * (1 << 20)


def test_wrong_arguments_are_named() -> None:
    a, m, out = np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5), np.float32), np.zeros((4, 5, 3), np.uint8)
    with pytest.raises(ValueError, match=r"base: shape \[4, 4, 3\]"):
        run(a, a, m, a[:, :4], 0.1, out)
    with pytest.raises(ValueError, match=r"out: shape \[4, 5, 1\]"):
        run(a, a, m, a, 0.1, out[..., :1])
    with pytest.raises(ValueError, match="rhs: dtype uint8"):
        run(a, a, m, a, 0.1, out, rhs=a)
    with pytest.raises(ValueError, match="mean: 2 values"):
        run(a, a, m, a, 0.0, out, mean=[1.0, 2.0])
