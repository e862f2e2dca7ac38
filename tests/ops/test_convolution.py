"""Layers of networks without torch: convolutions of any size, and sets of points, follow the definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyharmony.ops import layers
from pyharmony.ops.convolution import (
    PointLayers,
    contour,
    convolution,
    enlarged,
    linear,
    points,
    product,
    recolored,
    sampled,
    spread,
)
from pyharmony.reference import convolution as reference

#: The unit roundoff of float32.
UNIT = float(np.finfo(np.float32).eps) / 2


def error_of(image: np.ndarray, weight: np.ndarray, bias: np.ndarray, **options: Any) -> np.ndarray:
    """Returns how far sums of n products in any order are from the definition at most: n u times the sum of sizes."""
    sizes = {key: np.abs(value) if key == "added" else value for key, value in options.items()}
    sizes |= {"slope": 1.0, "high": np.inf}
    count = weight[..., 0].size
    return (count + 4) * UNIT * reference.convolution(np.abs(image), np.abs(weight), np.abs(bias), **sizes)


def made(seed: int, height: int, width: int, channels: int, kernel: int, outputs: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    shapes = (height, width, channels), (kernel, kernel, channels, outputs), (outputs,)
    return tuple(rng.standard_normal(shape).astype(np.float32) for shape in shapes)


@given(
    height=st.integers(1, 12), width=st.integers(1, 40), channels=st.integers(1, 9), outputs=st.integers(1, 70),
    kernel=st.integers(1, 5), stride=st.integers(1, 3), slope=st.sampled_from([0.0, 0.2, 1.0, 1.5]),
    high=st.sampled_from([np.inf, 6.0]), before=st.integers(-1, 4), adds=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_any_convolution_follows_the_definition(
    height, width, channels, outputs, kernel, stride, slope, high, before, adds, seed
):
    image, weight, bias = made(seed, height, width, channels, kernel, outputs)
    options: dict[str, Any] = {"stride": stride, "before": None if before < 0 else min(before, kernel - 1)}
    if adds:
        shape = (-(-height // stride), -(-width // stride), outputs)
        options["added"] = np.random.default_rng(seed + 1).standard_normal(shape).astype(np.float32)
    expected = reference.convolution(image, weight, bias, slope=slope, high=high, **options)
    result = convolution(image, weight, bias, slope=slope, high=high, **options)
    assert result.dtype == np.float32
    assert (np.abs(result - expected) <= max(1.0, slope) * error_of(image, weight, bias, **options)).all()


@given(
    height=st.integers(1, 12), width=st.integers(1, 12), channels=st.integers(1, 70), kernel=st.integers(1, 5),
    stride=st.integers(1, 2), before=st.integers(-1, 4), seed=st.integers(0, 99),
)  # fmt: skip
def test_each_channel_by_itself_follows_the_definition(height, width, channels, kernel, stride, before, seed):
    image, weight, bias = made(seed, height, width, channels, kernel, channels)
    weight = np.ascontiguousarray(weight[..., 0])
    options: dict[str, Any] = {"stride": stride, "before": None if before < 0 else min(before, kernel - 1)}
    expected = reference.convolution(image, weight, bias, slope=0, high=6, **options)
    result = convolution(image, weight, bias, slope=0, high=6, **options)
    assert (np.abs(result - expected) <= error_of(image, weight, bias, **options)).all()


def test_it_is_torchs():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    image, weight, bias = made(3, 33, 47, 24, 3, 40)
    expected = torch.nn.functional.conv2d(
        torch.from_numpy(image).permute(2, 0, 1)[None], torch.from_numpy(weight).permute(3, 2, 0, 1),
        torch.from_numpy(bias), 2, 1,
    )[0].permute(1, 2, 0)  # fmt: skip
    result = convolution(image, weight, bias, stride=2)
    assert (np.abs(result - expected.numpy()) <= 2 * error_of(image, weight, bias, stride=2)).all()


def test_threads_do_not_change_a_bit(each_thread_count):
    image, weight, bias = made(4, 60, 60, 32, 3, 48)
    assert len(set(each_thread_count(lambda: convolution(image, weight, bias).tobytes()))) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0])
def test_what_is_no_number_comes_through(value, slope):
    image, weight, bias = made(5, 6, 6, 3, 3, 5)
    image[2, 2, 1] = value
    assert not np.isfinite(convolution(image, weight, bias, slope=slope, high=6)[1:4, 1:4]).all()


@given(
    height=st.integers(1, 9), width=st.integers(1, 9), channels=st.integers(1, 70), adds=st.booleans(),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_an_enlargement_follows_the_definition(height, width, channels, adds, seed):
    image, *_ = made(seed, height, width, channels, 1, 1)
    addend, *_ = made(seed + 1, 2 * height, 2 * width, channels, 1, 1) if adds else (None,)
    larger = enlarged(image, addend)
    assert larger.dtype == np.float32
    np.testing.assert_allclose(larger, reference.enlarged(image, addend), rtol=0, atol=1e-6)
    # Each sum along an axis is rounded as in NumPy, down the columns first.
    expected = image
    for axis in (0, 1):
        x = expected.swapaxes(0, axis)
        pairs = np.repeat(x, 2, 0)
        pairs[2::2] = np.float32(0.75) * x[1:] + np.float32(0.25) * x[:-1]
        pairs[1:-1:2] = np.float32(0.75) * x[:-1] + np.float32(0.25) * x[1:]
        expected = pairs.swapaxes(0, axis)
    assert (larger == (expected if addend is None else np.maximum(expected + addend, 0))).all()


def test_an_enlargement_is_torchs():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    image, *_ = made(3, 33, 47, 24, 1, 1)
    planes = torch.from_numpy(image).permute(2, 0, 1)[None]
    expected = torch.nn.functional.interpolate(planes, scale_factor=2, mode="bilinear")[0].permute(1, 2, 0)
    np.testing.assert_allclose(enlarged(image), expected.numpy(), rtol=0, atol=1e-6)


def test_an_enlargement_keeps_its_bits_with_threads_and_what_is_no_number(each_thread_count):
    image, *_ = made(4, 160, 160, 48, 1, 1)
    addend, *_ = made(5, 320, 320, 48, 1, 1)
    image[2, 2, 1] = np.nan
    results = each_thread_count(lambda: enlarged(image, addend))
    assert results[0].tobytes() == results[1].tobytes() == results[2].tobytes()
    assert np.isnan(results[0][4:6, 4:6, 1]).all()


def test_an_enlargement_of_nothing_is_nothing_and_what_is_not_accepted_is_named():
    assert enlarged(np.zeros((0, 7, 3), np.float32)).shape == (0, 14, 3)
    image = np.zeros((4, 4, 3), np.float32)
    part = np.zeros((8, 8, 4), np.float32)[..., :3]
    assert not enlarged(image, part).any()
    with pytest.raises(ValueError, match="added: expected the shape of out"):
        enlarged(image, np.zeros((8, 8, 4), np.float32))
    with pytest.raises(ValueError, match="image: dtype float64, expected float32"):
        enlarged(np.zeros((4, 4, 3)))


def test_linear_is_a_product():
    x, weight, bias = made(6, 1, 50, 20, 1, 30)
    expected = reference.convolution(x, weight, bias, slope=0)[0]
    result = linear(x[0], np.ascontiguousarray(weight[0, 0]), bias, slope=0)
    assert (np.abs(result - expected) <= error_of(x, weight, bias)[0]).all()


def test_a_product_is_that_of_the_matrices():
    first, second, _ = (x[0] for x in made(8, 1, 37, 20, 1, 33))
    second = np.random.default_rng(9).standard_normal((33, 20)).astype(np.float32).T
    error = 1e-6 * np.abs(first) @ np.abs(second)
    assert (np.abs(product(first, second) - first.astype(np.float64) @ second) <= error).all()


def test_parts_of_larger_arrays_are_taken_as_they_are():
    image, weight, bias = made(6, 64, 64, 16, 3, 3)
    wide = np.random.default_rng(7).standard_normal((64, 64, 4)).astype(np.float32)
    part = wide[..., :3]
    expected = convolution(image, weight, bias, added=part.copy())
    # Those that come after take the memory that a freed copy of a part would have had.
    for _ in range(20):
        assert (convolution(image, weight, bias, added=part) == expected).all()
    weight = weight[:, :, :3].copy()
    assert (convolution(part, weight, bias) == convolution(part.copy(), weight, bias)).all()


def test_nothing_gives_nothing():
    _, weight, bias = made(7, 1, 1, 3, 3, 5)
    assert convolution(np.zeros((0, 7, 3), np.float32), weight, bias).shape == (0, 7, 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": np.zeros((4, 4, 3))}, "image: dtype float64, expected float32"),
        ({"image": np.zeros((4, 4), np.float32)}, "image: 2 dimensions, expected 3"),
        ({"image": np.zeros((4, 4, 2), np.float32)}, "weight: 3 channels, image has 2"),
        ({"weight": np.zeros((3, 2, 3, 5), np.float32)}, "weight: windows of 3 x 2"),
        ({"bias": np.zeros(4, np.float32)}, "bias: 4 values, expected 5"),
        ({"stride": 17}, "stride: 17, expected 1 to 16"),
        ({"before": 3}, "before: 3, expected 0 to 2"),
        ({"added": np.zeros((4, 4, 4), np.float32)}, "added: expected the shape of out"),
    ],
)
def test_what_is_not_accepted_is_named(change, message):
    _, weight, bias = made(8, 1, 1, 3, 3, 5)
    options: dict[str, Any] = {"image": np.zeros((4, 4, 3), np.float32), "weight": weight, "bias": bias, **change}
    with pytest.raises(ValueError, match=message):
        convolution(**options)


@pytest.mark.parametrize("bias", [True, False])
def test_a_batch_norm_is_folded_into_the_convolution_before_it(bias: bool) -> None:
    image, weight, own = made(3, 6, 7, 4, 3, 5)
    rng = np.random.default_rng(4)
    state = {f"norm.{name}": rng.standard_normal(5).astype(np.float32) for name in ("weight", "bias", "running_mean")}
    state["norm.running_var"] = rng.uniform(0.5, 2, 5).astype(np.float32)
    state |= {"conv.weight": np.ascontiguousarray(weight.transpose(3, 2, 0, 1)), "conv.bias": own}
    conv = layers.conv_of(state, "conv", bias=bias)
    assert (conv.weight == weight).all() and (conv.bias == (own if bias else 0)).all()
    x = reference.convolution(image, weight, conv.bias)
    normed = (x - state["norm.running_mean"]) / np.sqrt(state["norm.running_var"] + 1e-5)
    expected = normed * state["norm.weight"] + state["norm.bias"]
    np.testing.assert_allclose(convolution(image, *layers.folded(conv, state, "norm")), expected, rtol=0, atol=1e-4)


def test_a_layer_norm_follows_its_definition() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 9)).astype(np.float32)
    state = {f"norm.{name}": rng.standard_normal(9).astype(np.float32) for name in ("weight", "bias")}
    expected = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    expected = expected * state["norm.weight"] + state["norm.bias"]
    np.testing.assert_allclose(layers.layer_norm(x, state, "norm"), expected, rtol=0, atol=1e-5)


# ---- sets of points ----


def point_set(seed: int, channels: int, width: int, heads: int) -> tuple[PointLayers, dict[str, Any]]:
    """Returns layers with random parameters, and the same for the reference."""
    rng = np.random.default_rng(seed)
    pairs = [(channels, width), (width, width), (width, width)] + [(width, heads)] * (heads > 0)
    state = {}
    for name, (before, after) in zip(("layers.0", "layers.2", "layers.4", "scores"), pairs, strict=False):
        state[f"set.{name}.weight"] = (rng.standard_normal((after, before)) / np.sqrt(before)).astype(np.float32)
        state[f"set.{name}.bias"] = rng.standard_normal(after).astype(np.float32)
    for i in range(4 if heads else 3):
        for part in ("weight", "bias"):
            state[f"set.norms.{i}.{part}"] = rng.standard_normal(width).astype(np.float32)
    linears = [
        (state[f"set.{name}.weight"].T, state[f"set.{name}.bias"]) for name in ("layers.0", "layers.2", "layers.4")
    ]
    norms = [(state[f"set.norms.{i}.weight"], state[f"set.norms.{i}.bias"]) for i in range(4 if heads else 3)]
    scores = (state["set.scores.weight"].T, state["set.scores.bias"]) if heads else None
    return layers.point_layers_of(state, "set"), {"layers": linears, "norms": norms, "scores": scores}


@given(
    sets=st.integers(1, 3), count=st.integers(1, 230), channels=st.integers(1, 70), share=st.integers(1, 20),
    heads=st.integers(0, 4), adds=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_any_set_of_points_follows_the_definition(sets, count, channels, share, heads, adds, seed):
    width = share * max(heads, 1)
    ours, theirs = point_set(seed, channels, width, heads)
    rng = np.random.default_rng(seed)
    elements = rng.random((sets, count, channels), np.float32)
    addend = rng.standard_normal((sets, width)).astype(np.float32) if adds else None
    pools = points(elements, ours, addend)
    expected = reference.points(elements, **theirs, added=addend)
    assert pools.dtype == np.float32 and pools.shape == expected.shape
    # A norm of few channels, or of channels that are nearly the same, magnifies what is rounded before it.
    np.testing.assert_allclose(pools, expected, rtol=0, atol=2e-3 if count < 3 or width < 8 else 2e-4)


def test_sets_follow_the_definition_with_every_instruction_set(simd):
    ours, theirs = point_set(2, 61, 64, 4)
    elements = np.random.default_rng(2).random((2, 391, 61), np.float32)
    np.testing.assert_allclose(points(elements, ours), reference.points(elements, **theirs), rtol=0, atol=2e-4)
    y, x = np.mgrid[:67, :67]
    mask, blur = (np.hypot(x - 30, y - 34) < 17).astype(np.float32), band(67, 2)
    for values, expected in zip(contour(mask, blur, 4, 99), reference.contour(mask, blur, 99), strict=True):
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-5)


def test_a_layer_saturates_far_from_zero():
    """SiLU of values whose exponential overflows is 0, and that of large ones is the value."""
    ours, theirs = point_set(3, 5, 16, 0)
    elements = np.random.default_rng(3).standard_normal((1, 40, 5)).astype(np.float32) * 200
    np.testing.assert_allclose(points(elements, ours), reference.points(elements, **theirs), rtol=0, atol=1e-4)


def test_what_is_no_number_comes_through_a_set():
    ours, _ = point_set(3, 5, 16, 4)
    elements = np.zeros((2, 40, 5), np.float32)
    elements[1, 7, 2] = np.nan
    pools = points(elements, ours)
    assert np.isfinite(pools[0]).all() and np.isnan(pools[1, :16]).all()


def test_threads_and_the_number_of_sets_change_no_bit_of_a_set(each_thread_count):
    ours, _ = point_set(4, 61, 64, 4)
    elements = np.random.default_rng(4).random((6, 768, 61), np.float32)
    pools = each_thread_count(lambda: points(elements, ours))
    alone = np.concatenate([points(one[None], ours) for one in elements])
    assert pools[0].tobytes() == pools[1].tobytes() == pools[2].tobytes() == alone.tobytes()


@given(size=st.integers(1, 1500), count=st.integers(1, 400), hard=st.booleans(), seed=st.integers(0, 99))
def test_elements_are_spread_by_weight_with_the_indices_of_numpy(size, count, hard, seed):
    weight = np.random.default_rng(seed).random(size, np.float32)
    weight = (weight > 0.7).astype(np.float32) if hard else weight**8
    np.testing.assert_array_equal(spread(weight, count), reference.spread(weight, count))


def band(side: int, radius: int) -> np.ndarray:
    at = np.arange(side)
    near = (np.abs(at[:, None] - at) <= radius).astype(np.float32)
    near /= near.sum(1, keepdims=True)
    return product(near, near)


@given(side=st.integers(2, 70), radius=st.integers(1, 4), count=st.integers(1, 60), seed=st.integers(0, 99))
def test_the_contour_has_the_bits_of_whole_products(side, radius, count, seed):
    """The blur leaves products of zero out, which change no sum."""
    mask = (np.random.default_rng(seed).random((side, side)) < 0.3).astype(np.float32)
    mask[side // 3 : side // 2 + 1, side // 4 : side // 2 + 1] = 1
    blur = band(side, radius)
    place, normal, slope = contour(mask, blur, 2 * radius, count)
    padded = np.pad(product(product(blur, mask), blur.T), 1, mode="edge")
    across, down = (padded[1:-1, 2:] - padded[1:-1, :-2]) / 2, (padded[2:, 1:-1] - padded[:-2, 1:-1]) / 2
    steep = np.sqrt(across * across + down * down)
    at = reference.spread((steep * steep * steep).reshape(-1), count)
    np.testing.assert_array_equal(place, np.stack([at % side, at // side], 1))
    np.testing.assert_array_equal(slope, steep.reshape(-1)[at])
    most = np.maximum(slope, np.float32(1e-4))
    np.testing.assert_array_equal(normal[:, 0], across.reshape(-1)[at] / most)
    np.testing.assert_array_equal(normal[:, 1], down.reshape(-1)[at] / most)


def test_the_contour_of_a_disc_points_inwards():
    y, x = np.mgrid[:64, :64]
    mask = (np.hypot(x - 30, y - 34) < 17).astype(np.float32)
    place, normal, slope = contour(mask, band(64, 1), 2, 100)
    for ours, theirs in zip((place, normal, slope), reference.contour(mask, band(64, 1), 100), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    inwards = np.array([30, 34]) - place
    assert ((inwards * normal).sum(1) > 0.95 * np.hypot(*inwards.T)).all()


@given(
    side=st.integers(2, 30), channels=st.integers(1, 5), count=st.integers(0, 20), steps=st.integers(1, 5),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_samples_lie_between_pixels(side, channels, count, steps, seed):
    rng = np.random.default_rng(seed)
    planes = rng.random((side, side, channels), np.float32)
    place = rng.integers(0, side, (count, 2)).astype(np.float32)
    normal, distances = rng.standard_normal((count, 2)).astype(np.float32), rng.normal(0, side, steps)
    values = sampled(planes, place, normal, tuple(distances.astype(np.float32)))
    expected = reference.sampled(planes, place, normal, distances.astype(np.float32))
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-5 * side)


@given(sets=st.integers(1, 3), count=st.integers(0, 40), knots=st.integers(2, 20), seed=st.integers(0, 99))
def test_colours_beyond_white_are_recoloured_without_a_limit(sets, count, knots, seed):
    rng = np.random.default_rng(seed)
    colors = rng.normal(0.5, 0.5, (sets, count, 3)).astype(np.float32)
    affine = rng.standard_normal((sets, 3, 4)).astype(np.float32)
    curves = rng.standard_normal((sets, 3, 3, knots)).astype(np.float32)
    expected = reference.recolored(colors, affine, curves)
    np.testing.assert_allclose(recolored(colors, affine, curves), expected, rtol=0, atol=2e-5)


def test_what_is_not_accepted_of_a_set_is_named():
    ours, _ = point_set(1, 5, 16, 4)
    elements, square = np.zeros((2, 9, 5), np.float32), np.zeros((8, 8), np.float32)
    two = np.zeros((3, 2), np.float32)
    with pytest.raises(ValueError, match=r"parameters: .* values, expected"):
        points(elements[..., :4], ours)
    with pytest.raises(ValueError, match="elements: no points, expected at least 1"):
        points(elements[:, :0], ours)
    with pytest.raises(ValueError, match="elements: dtype float64, expected float32"):
        points(np.zeros((2, 9, 5)), ours)
    with pytest.raises(ValueError, match=r"added: expected \[2, 16\]"):
        points(elements, ours, np.zeros((1, 16), np.float32))
    with pytest.raises(ValueError, match="with channels for 3 heads"):
        points(elements, ours._replace(heads=3))
    with pytest.raises(ValueError, match="weight: empty"):
        spread(np.zeros(0, np.float32), 3)
    with pytest.raises(ValueError, match="mask and blur: expected squares of one size"):
        contour(square, np.eye(7, dtype=np.float32), 1, 3)
    with pytest.raises(ValueError, match="planes: expected a square"):
        sampled(np.zeros((8, 7, 3), np.float32), two, two, (0.0,))
    with pytest.raises(ValueError, match="place and normal: expected"):
        sampled(np.zeros((8, 8, 3), np.float32), two, two[:2], (0.0,))
    with pytest.raises(ValueError, match=r"affine: expected \[1, 3, 4\]"):
        recolored(np.zeros((1, 2, 3), np.float32), np.zeros((2, 3, 4), np.float32), np.zeros((1, 3, 3, 8), np.float32))
