"""The guided filter: the bits of the same sums in NumPy, for every size and instruction set."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyharmony.ops import guided_filter
from pyharmony.reference import guided_filter as reference

FLOAT32 = np.float32


def mean(x, radius):
    """Returns the mean over windows, each sum rounded to float32, down the columns first."""
    height, width = x.shape
    framed = np.pad(x, radius)
    rows = framed[:height].copy()
    for step in range(1, 2 * radius + 1):
        rows += framed[step : step + height]
    sums = rows[:, :width].copy()
    for step in range(1, 2 * radius + 1):
        sums += rows[:, step : step + width]
    counts = [np.minimum(at + radius, n - 1) - np.maximum(at - radius, 0) + 1 for n in x.shape for at in [np.arange(n)]]
    return sums / np.outer(*(c.astype(FLOAT32) for c in counts))


def fit(guide, target, radius, ridge):
    channels = [guide[..., c] for c in range(3)]
    means, middle = [mean(c, radius) for c in channels], mean(target, radius)
    pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    rr, rg, rb, gg, gb, bb = (mean(channels[a] * channels[b], radius) - means[a] * means[b] for a, b in pairs)
    rr, gg, bb = rr + FLOAT32(ridge), gg + FLOAT32(ridge), bb + FLOAT32(ridge)
    with_r, with_g, with_b = (mean(channels[c] * target, radius) - means[c] * middle for c in range(3))
    a, b, c = gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb
    d, e, f = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    whole = rr * a + rg * b + rb * c
    slopes = [
        (a * with_r + b * with_g + c * with_b) / whole,
        (b * with_r + d * with_g + e * with_b) / whole,
        (c * with_r + e * with_g + f * with_b) / whole,
    ]
    level = middle - sum(slope * m for slope, m in zip(slopes, means, strict=True))
    return np.stack([mean(plane, radius) for plane in (level, *slopes)])


def scene(rng, height, width, high, wide):
    guide, plain = rng.random((height, width, 3), FLOAT32), rng.random((height, width), FLOAT32)
    plain[plain < 0.3], plain[plain > 0.7] = 0, 1
    plain[:, : width // 3] = 0
    return guide, plain, rng.integers(0, 256, (high, wide, 3), np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (40, 33), (70, 130)])
@pytest.mark.parametrize("radius", [0, 1, 4])
def test_bits_of_the_sums(size, radius, simd, threads):
    rng = np.random.default_rng(1)
    guide, plain, _ = scene(rng, *size, 1, 1)
    np.testing.assert_array_equal(guided_filter.mean(plain, radius), mean(plain, radius))
    np.testing.assert_array_equal(guided_filter.mean(guide[..., 1], radius), mean(guide[..., 1], radius))
    expected = fit(guide, plain, radius, 2e-4)
    np.testing.assert_array_equal(guided_filter.fit(guide, plain, radius, 2e-4), expected)
    np.testing.assert_array_equal(guided_filter.fit(guide[:, ::-1].copy()[:, ::-1], plain, radius, 2e-4), expected)


@given(height=st.integers(1, 20), width=st.integers(1, 20), radius=st.integers(0, 4), seed=st.integers(0, 99))
def test_the_fit_follows_its_definition(height, width, radius, seed):
    guide, plain, _ = scene(np.random.default_rng(seed), height, width, 1, 1)
    expected = reference.fit(guide, plain, radius, 1e-2)
    # Cofactors cancel, the more the smaller the ridge is: measured, up to 3e-4.
    np.testing.assert_allclose(guided_filter.fit(guide, plain, radius, 1e-2), expected, rtol=0, atol=2e-3)


@given(
    height=st.integers(1, 30), width=st.integers(1, 30), high=st.integers(1, 300), wide=st.integers(1, 300),
    shared=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_the_mask_follows_its_definition(height, width, high, wide, shared, seed):
    rng = np.random.default_rng(seed)
    guide, plain, picture = scene(rng, height, width, max(high, height), max(wide, width))
    share = rng.random((height, width), FLOAT32) if shared else None
    if shared:
        share[:, : width // 2] = 0
        plain = np.where(share == 0, np.rint(plain), plain)
    functions = guided_filter.fit(guide, plain, 1, 1e-2)
    out = np.empty(picture.shape[:2], np.uint8)
    guided_filter.apply(picture, plain, functions, out, contrast=1.4, share=share)
    exact = reference.apply(picture, plain, functions, 1.4, share) * 255
    # Rounding to whole levels, and some ten products of up to 30 in float32.
    assert np.abs(out - exact).max() <= 0.5 + 10 * 30 * 255 * np.finfo(FLOAT32).eps


def test_all_instruction_sets_and_layouts_give_the_same_mask(simd, threads):
    rng = np.random.default_rng(3)
    guide, plain, picture = scene(rng, 60, 80, 300, 410)
    functions = guided_filter.fit(guide, plain, 2, 2e-4)
    out = np.zeros((300, 410), np.uint8)
    guided_filter.apply(picture, plain, functions, out, contrast=1.4)
    assert 50 < out.mean() < 200
    for same in (picture[::-1].copy()[::-1], np.asfortranarray(picture), np.dstack([picture, picture])[..., :3]):
        part = np.zeros((310, 500), np.uint8)
        guided_filter.apply(same, plain, functions, part[5:305, 7:417], contrast=1.4)
        np.testing.assert_array_equal(part[5:305, 7:417], out)
        assert part.sum() == out.sum()


def test_other_shapes_are_refused():
    plane, picture = np.zeros((4, 5), FLOAT32), np.zeros((9, 9, 3), np.uint8)
    with pytest.raises(ValueError, match=r"target: shape \[4, 5, 1\], expected \[5, 4, 1\]"):
        guided_filter.fit(np.zeros((5, 4, 3), FLOAT32), plane, 1, 0.1)
    with pytest.raises(ValueError, match=r"fit: expected a contiguous array \[4, 4, 5\]"):
        guided_filter.apply(picture, plane, np.zeros((4, 5, 4), FLOAT32), np.zeros((9, 9), np.uint8), contrast=1)
