"""Maps of colours by stages."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyharmony import ops
from pyharmony.errors import ArgumentError, DTypeError, MaskError, ShapeError
from pyharmony.reference import color_map as reference

from ..shared import DTYPES, random_image

RANGE = {"uint8": 255.0, "uint16": 65535.0}
EPS = float(np.finfo(np.float32).eps)


def soft_mask(rng, height, width):
    return (np.clip(3 * rng.random((height, width)) - 1, 0, 1) * 255).round().astype(np.uint8)


def identity_lut(n):
    axis = np.linspace(0, 1, n)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)


def random_stage(rng, kind):
    """Returns a stage and its definition, whose slopes and values are of order one."""
    if kind == "affine":
        matrix = np.float32(0.4 * rng.standard_normal((3, 4)) + np.eye(3, 4))
        return ops.Affine(matrix), functools.partial(reference.affine, matrix=matrix.astype(float))
    if kind == "log":
        return [ops.Affine(np.eye(3, 4) + 0.1), ops.Log()], lambda x: reference.log(
            reference.affine(x, np.float32(np.eye(3, 4) + 0.1).astype(float))
        )
    if kind == "exp":
        return ops.Exp(), reference.exp
    if kind == "curves":
        table = np.float32(np.linspace(0, 1, 33) + 0.02 * rng.standard_normal((3, 33)))
        low, high = np.float32([-0.1, 0.05, 0]), np.float32([1.1, 0.9, 1])
        arrays = (table.astype(float), low.astype(float), high.astype(float))
        return ops.Curves(table, low, high), lambda x: reference.curves(x, *arrays)
    if kind == "lut":
        table = np.float32(identity_lut(9) + 0.05 * rng.standard_normal((9, 9, 9, 3)))
        return ops.Lut(table), functools.partial(reference.lut, table=table.astype(float))
    stops = np.float32(0.5 * rng.standard_normal(6))
    return ops.Light(stops), functools.partial(reference.light, stops=stops.astype(float))


def as_list(stage):
    return stage if isinstance(stage, list) else [stage]


def bound(dtype):
    """Returns the error of a map with slopes up to about eight: float32 in every stage, and the result's rounding."""
    float_error = 200 * EPS
    if dtype in RANGE:
        return float_error + 0.5 / RANGE[dtype] * (1 + 1e-6)
    return float_error + (8 * float(np.finfo(np.float16).eps) if dtype == "float16" else 0)


KINDS = ("affine", "log", "exp", "curves", "lut", "light")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_stage_follows_the_reference(simd, kind, dtype):
    rng = np.random.default_rng(1)
    image = random_image(rng, 37, 601, dtype)
    stage, definition = random_stage(rng, kind)
    result = ops.color_map(image, as_list(stage))
    x = image.astype(np.float64) / RANGE.get(dtype, 1)
    expected = reference.color_map(x, [definition])
    if dtype in RANGE:
        expected = expected.clip(0, 1)
    assert result.dtype == image.dtype
    np.testing.assert_allclose(result / RANGE.get(dtype, 1), expected, rtol=0, atol=bound(dtype))


@given(
    height=st.integers(1, 40),
    width=st.sampled_from([1, 3, 16, 200, 512, 513, 1025]),
    dtype=st.sampled_from(DTYPES),
    kinds=st.lists(st.sampled_from(["affine", "curves", "lut", "light"]), max_size=3),
    strength=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 99),
)
def test_chains_inside_soft_masks_follow_the_reference(height, width, dtype, kinds, strength, seed):
    rng = np.random.default_rng(seed)
    image, mask = random_image(rng, height, width, dtype), soft_mask(rng, height, width)
    before = image.copy()
    pairs = [random_stage(rng, kind) for kind in kinds]
    result = ops.color_map(image, [stage for stage, _ in pairs], mask, strength=strength)
    x = image.astype(np.float64) / RANGE.get(dtype, 1)
    expected = reference.color_map(x, [definition for _, definition in pairs], mask / 255, strength)
    if dtype in RANGE:
        expected = expected.clip(0, 1)
    # There are three stages, each with slopes up to about eight.
    np.testing.assert_allclose(result / RANGE.get(dtype, 1), expected, rtol=0, atol=bound(dtype) + 64 * 200 * EPS)
    np.testing.assert_array_equal(result[mask == 0], image[mask == 0])
    np.testing.assert_array_equal(image, before)
    if strength == 0:
        np.testing.assert_array_equal(result, image)


@pytest.mark.parametrize("dtype", DTYPES)
def test_maps_that_do_nothing_change_nothing(dtype):
    image = random_image(np.random.default_rng(2), 40, 700, dtype)
    np.testing.assert_array_equal(ops.color_map(image, []), image)
    if dtype in RANGE:
        for stage in (ops.Affine(np.eye(3)), ops.Curves([0, 1]), ops.Lut(identity_lut(17)), ops.Light(np.zeros(6))):
            np.testing.assert_array_equal(ops.color_map(image, [stage]), image)
        if dtype == "uint8":
            np.testing.assert_array_equal(ops.color_map(image, [ops.Log(), ops.Exp()]), image)


def test_lut_is_exact_where_it_is_linear_and_at_its_entries():
    rng = np.random.default_rng(3)
    table = rng.random((5, 5, 5, 3)).astype(np.float32)
    entries = identity_lut(5).reshape(1, -1, 3).astype(np.float32)
    result = ops.color_map(entries, [ops.Lut(table)])
    np.testing.assert_array_equal(result, table.reshape(1, -1, 3))
    matrix = np.float32(rng.random((3, 3)))
    linear = ops.Lut(identity_lut(5) @ matrix.T.astype(float))
    colors = rng.random((20, 30, 3)).astype(np.float32)
    np.testing.assert_allclose(ops.color_map(colors, [linear]), colors @ matrix.T, atol=32 * EPS)


def test_one_table_serves_all_channels():
    image, table = random_image(np.random.default_rng(6), 20, 600), np.linspace(0, 1, 50) ** 2
    expected = ops.color_map(image, [ops.Curves([table] * 3, 0.1, 0.9)])
    np.testing.assert_array_equal(ops.color_map(image, [ops.Curves(table, 0.1, 0.9)]), expected)
    mixed = ops.color_map(image, [ops.Curves(table, [0.1, 0, 0.1], 0.9)])
    np.testing.assert_array_equal(mixed[..., [0, 2]], expected[..., [0, 2]])
    assert (mixed[..., 1] != expected[..., 1]).any()


def test_floats_are_not_clipped_and_nan_passes_outside():
    image = np.array([[[2, -1, 0.5], [np.nan, np.inf, 0]]], np.float32)
    result = ops.color_map(image, [ops.Affine(2 * np.eye(3))], np.array([[1.0, 0.0]]))
    np.testing.assert_array_equal(result[0, 0], [4, -2, 1])
    np.testing.assert_array_equal(result[0, 1], image[0, 1])


@pytest.mark.parametrize("kind", KINDS)
def test_nan_stays_nan(simd, kind):
    image = np.full((3, 40, 3), np.nan, np.float32)
    assert np.isnan(ops.color_map(image, as_list(random_stage(np.random.default_rng(5), kind)[0]))).all()


IMAGE = np.zeros((4, 5, 3), np.uint8)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ops.color_map(IMAGE[..., :2], []), ShapeError, r"expected \[H, W, 3\]"),
        (lambda: ops.color_map(IMAGE, ops.Log()), DTypeError, "stages: Log"),
        (lambda: ops.color_map(IMAGE, ["log"]), DTypeError, r"stages\[0\]: str"),
        (lambda: ops.color_map(IMAGE, [], np.ones((4, 5), np.uint8)), MaskError, "mask > 0"),
        (lambda: ops.color_map(IMAGE, [], strength=2), ArgumentError, "strength: 2"),
        (lambda: ops.color_map(IMAGE, [ops.Affine(np.eye(4))]), ShapeError, r"^matrix"),
        (lambda: ops.color_map(IMAGE, [ops.Affine(np.full((3, 3), np.nan))]), ArgumentError, "NaN"),
        (lambda: ops.color_map(IMAGE, [ops.Curves([1])]), ShapeError, r"^table"),
        (lambda: ops.color_map(IMAGE, [ops.Curves([0, 1], 1, 1)]), ArgumentError, r"^low"),
        (lambda: ops.color_map(IMAGE, [ops.Curves([0, 1], [0, 1], 2)]), ShapeError, r"^low"),
        (lambda: ops.color_map(IMAGE, [ops.Lut(np.zeros((2, 2, 3, 3)))]), ShapeError, r"^table"),
        (lambda: ops.color_map(IMAGE, [ops.Light([0])]), ShapeError, r"^stops"),
        (lambda: ops.color_map(IMAGE, [ops.Light("abc")]), DTypeError, r"^stops"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
