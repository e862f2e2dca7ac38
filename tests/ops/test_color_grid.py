"""Affine maps, curves and bilateral grids in one pass."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyharmony import ops
from pyharmony.errors import ArgumentError, DTypeError, MaskError, ShapeError
from pyharmony.reference import color_grid as reference
from pyharmony.reference.luma import LUMA

from ..shared import DTYPES

HAS_TORCH = importlib.util.find_spec("torch") is not None
if HAS_TORCH:
    import torch

    from pyharmony.ops import _color_grid_torch as backend

needs_torch = pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")

RANGE = {"uint8": 255.0, "uint16": 65535.0}
EPS = {"float32": 2.0**-23, "float64": 2.0**-52}

#: Height, width, (Gh, Gw, D), K: tables in registers of 8 and 16 entries and in memory, pieces shorter than a vector,
#: more than one run of a row, more cells than pixels, one of everything.
SIZES = (
    (37, 601, (4, 6, 8), 8),
    (5, 7, (16, 16, 16), 16),
    (9, 1100, (3, 2, 11), 12),
    (12, 33, (2, 3, 20), 33),
    (6, 40, (1, 1, 1), 2),
    (1, 1, (2, 2, 2), 3),
)
PARTS = (("affine",), ("curves",), ("grid",), ("affine", "curves"), ("affine", "curves", "grid"))


def random_image(rng, shape, dtype="uint8"):
    if np.dtype(dtype).kind == "u":
        return rng.integers(0, np.iinfo(dtype).max, (*shape, 3), endpoint=True).astype(dtype)
    return rng.random((*shape, 3)).astype(dtype)


def soft_mask(rng, shape, dtype="float32"):
    m = np.clip(3 * rng.random(shape) - 1, 0, 1)
    if dtype == "bool":
        return m > 0.5
    return (m * RANGE[dtype]).round().astype(dtype) if dtype in RANGE else m.astype(dtype)


def random_map(rng, grid=(4, 6, 8), knots=16, parts=("affine", "curves", "grid"), count=None):
    """Returns parts in float32, so that both sides have the same numbers."""
    front = () if count is None else (count,)
    arrays = {
        "affine": np.eye(3, 4) + 0.2 * rng.standard_normal((*front, 3, 4)),
        "curves": 0.1 * rng.standard_normal((*front, 3, 3, knots)),
        "grid": 0.1 * rng.standard_normal((*front, *grid, 3, 4)),
    }
    return {name: arrays[name].astype(np.float32) for name in parts}


def as_floats(a):
    return np.float64(a) / RANGE.get(a.dtype.name, 1.0)


def float_error(image, parts):
    """Returns the error of the result before it is rounded to image's dtype.

    x is off by two roundings, which the slopes of the map make larger: the coefficients of x, twice the largest knot
    for each step, twice the largest coefficient for each cell of luma; so are the places between knots, depths and
    columns. Beside that each result is a sum of 16 products, the coefficients of which are three interpolations.
    """
    peak = {name: float(np.abs(values).max()) for name, values in parts.items()}
    colour = max(1.0, float(np.nanmax(np.abs(as_floats(image)))))
    affine, curve, cell = peak.get("affine", 1.0) + 1, peak.get("curves", 0.0), peak.get("grid", 0.0)
    slope = 4 * affine * colour
    size = 4 * affine * colour + 3 * curve + 4 * cell * colour
    if "curves" in parts:
        slope += 3 * 2 * curve * (parts["curves"].shape[-1] + 1)
    if "grid" in parts:
        cells = parts["grid"].shape[-3] + max(parts["grid"].shape[-5:-3])
        slope += 4 * colour * 2 * cell * (cells + 1)
    eps = EPS["float64" if image.dtype == np.float64 else "float32"]
    return eps * (3 * slope + 24 * size)


def bound(image, parts):
    error = float_error(image, parts)
    dtype = image.dtype.name
    if dtype in RANGE:
        return error + 0.5 / RANGE[dtype] * (1 + 1e-6)
    return error + (2.0**-11 if dtype == "float16" else 0)


def expected_of(image, mask=None, **options):
    return reference.color_grid(as_floats(image), None if mask is None else as_floats(mask), **options)


@pytest.mark.parametrize("parts", PARTS, ids="+".join)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_part_follows_the_reference(simd, dtype, parts):
    for height, width, cells, knots in SIZES:
        rng = np.random.default_rng(1)
        image, mask = random_image(rng, (height, width), dtype), soft_mask(rng, (height, width))
        maps = random_map(rng, cells, knots, parts)
        result = ops.color_grid(image, mask, **maps)
        assert result.dtype == image.dtype
        np.testing.assert_allclose(as_floats(result), expected_of(image, mask, **maps), rtol=0, atol=bound(image, maps))


@given(
    height=st.integers(1, 30),
    width=st.sampled_from([1, 3, 16, 200, 512, 513, 1025]),
    cells=st.tuples(st.integers(1, 9), st.integers(1, 40), st.integers(1, 18)),
    knots=st.integers(2, 20),
    dtype=st.sampled_from(DTYPES),
    mask_dtype=st.sampled_from(["none", "bool", *DTYPES]),
    seed=st.integers(0, 99),
)
def test_any_sizes_follow_the_reference(height, width, cells, knots, dtype, mask_dtype, seed):
    rng = np.random.default_rng(seed)
    image = random_image(rng, (height, width), dtype)
    mask = None if mask_dtype == "none" else soft_mask(rng, (height, width), mask_dtype)
    if mask_dtype in RANGE:
        mask[0, 0] = RANGE[mask_dtype]  # a mask whose largest value is 1 is refused
    before, maps = image.copy(), random_map(rng, cells, knots)
    result = ops.color_grid(image, mask, **maps)
    np.testing.assert_allclose(as_floats(result), expected_of(image, mask, **maps), rtol=0, atol=bound(image, maps))
    np.testing.assert_array_equal(image, before)
    if mask is not None:
        np.testing.assert_array_equal(result[mask == 0], image[mask == 0])


def test_the_reference_interpolates_between_centres():
    """A grid that is linear in each of its axes gives the linear function, between the outermost centres."""
    rng = np.random.default_rng(2)
    rows, columns, depth = 4, 6, 8
    height, width = 40, 60
    v, u, w = np.meshgrid(np.arange(rows), np.arange(columns), np.arange(depth), indexing="ij")
    grid = np.zeros((rows, columns, depth, 3, 4))
    grid[..., 0, 3], grid[..., 1, 3], grid[..., 2, 3] = v, u, w
    x = 0.2 + 0.6 * rng.random((height, width, 3))
    slice_of = reference.coefficients(x, grid)
    inner = slice(8, -8)
    np.testing.assert_allclose(slice_of[inner, 0, 0, 3], ((np.arange(height) + 0.5) / 10 - 0.5)[inner])
    np.testing.assert_allclose(slice_of[0, inner, 1, 3], ((np.arange(width) + 0.5) / 10 - 0.5)[inner])
    np.testing.assert_allclose(slice_of[..., 2, 3], x @ LUMA * depth - 0.5)
    assert not slice_of[..., :3].any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_maps_that_do_nothing_change_nothing(simd, dtype):
    rng = np.random.default_rng(3)
    image = random_image(rng, (40, 700), dtype)
    if dtype not in RANGE:
        image = (image * 40 - 10).astype(dtype)
    identity = {"affine": np.eye(3, 4), "curves": np.zeros((3, 3, 9)), "grid": np.zeros((3, 5, 8, 3, 4))}
    for options in ({}, {"affine": identity["affine"]}, identity):
        for mask in (None, soft_mask(rng, (40, 700))):
            np.testing.assert_array_equal(ops.color_grid(image, mask, **options), image)


def test_the_affine_map_of_a_grid_is_that_of_affine():
    rng = np.random.default_rng(4)
    image = random_image(rng, (30, 50), "float32")
    matrix = random_map(rng)["affine"]
    grid = np.broadcast_to(matrix - np.eye(3, 4, dtype=np.float32), (3, 4, 5, 3, 4))
    np.testing.assert_allclose(
        ops.color_grid(image, grid=grid), ops.color_grid(image, affine=matrix), rtol=0, atol=32 * EPS["float32"]
    )


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_colours_stay_within_what_they_were(simd, dtype):
    """Colours of [0, 1] stay inside it; brighter and darker ones come no further outside than before."""
    image = np.array([[[0.5, 0.9, 0.1], [4.0, -2.0, 0.5], [3.0, -1.0, 1.0]]], dtype)
    brighter = ops.color_grid(image, affine=np.hstack([3 * np.eye(3), [[0], [0], [-0.5]]]))
    np.testing.assert_array_equal(brighter[0, 0], np.array([1, 1, 0], dtype))
    np.testing.assert_array_equal(brighter[0, 1], np.array([4, -2, 1], dtype))
    darker = ops.color_grid(image, affine=0.5 * np.eye(3, 4))
    np.testing.assert_array_equal(darker[0], image[0] / 2)


def test_nan_stays_nan_and_where_it_is(simd):
    image = np.full((3, 90, 3), 0.5, np.float32)
    image[1, 40, 1] = np.nan
    image[2, 50:] = np.nan
    image[2, 80] = np.inf
    mask = np.ones((3, 90), np.float32)
    mask[2] = 0
    maps = random_map(np.random.default_rng(5))
    result = ops.color_grid(image, mask, **maps)
    bad = np.zeros((3, 90), bool)
    bad[1, 40] = True
    np.testing.assert_array_equal(np.isnan(result[:2]).all(-1), bad[:2])
    np.testing.assert_array_equal(result[2].view(np.uint32), image[2].view(np.uint32))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_background_keeps_its_bits(dtype):
    rng = np.random.default_rng(6)
    image = random_image(rng, (60, 1300), dtype)
    mask = np.zeros((60, 1300), np.float32)
    mask[20:40, 300:900] = rng.random((20, 600))
    mask[30, 400:420] = 0
    result = ops.color_grid(image, mask, **random_map(rng))
    assert (result != image).any()
    np.testing.assert_array_equal(result[mask == 0], image[mask == 0])


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("cells", [(5, 7, 8), (40, 90, 16), (3, 4, 20)], ids=str)
def test_tiles_have_the_bits_of_the_whole(simd, dtype, cells):
    rng = np.random.default_rng(7)
    height, width = 61, 613
    image, mask = random_image(rng, (height, width), dtype), soft_mask(rng, (height, width), "uint8")
    maps = random_map(rng, cells)
    whole = ops.color_grid(image, mask, **maps)
    for tile_height, tile_width in ((17, 100), (1, 613), (61, 3), (30, 257)):
        tiles = np.empty_like(image)
        for y in range(0, height, tile_height):
            for x in range(0, width, tile_width):
                at = np.s_[y : y + tile_height, x : x + tile_width]
                tiles[at] = ops.color_grid(image[at], mask[at], origin=(x, y), frame=(height, width), **maps)
        np.testing.assert_array_equal(tiles, whole)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_bits_do_not_depend_on_threads_and_strides(threads, dtype):
    rng = np.random.default_rng(8)
    image, mask = random_image(rng, (133, 555), dtype), soft_mask(rng, (133, 555), "uint8")
    maps = random_map(rng)
    one = np.concatenate([ops.color_grid(image[i : i + 1], mask[i : i + 1], origin=(0, i), frame=(133, 555), **maps)
                          for i in range(133)])  # fmt: skip
    planar = np.moveaxis(np.ascontiguousarray(np.moveaxis(image, -1, 0)), 0, -1)
    flipped = np.ascontiguousarray(image[::-1, ::-1, ::-1])[::-1, ::-1, ::-1]
    wide = np.repeat(mask, 2, 1)[:, ::2]
    for same in (image, planar, flipped):
        np.testing.assert_array_equal(ops.color_grid(same, wide, **maps), one)


def test_a_batch_is_its_images():
    rng = np.random.default_rng(9)
    images, masks = random_image(rng, (3, 20, 70), "uint16"), soft_mask(rng, (3, 20, 70))
    own, shared = random_map(rng, count=3), random_map(rng)
    for mask in (None, masks[0], masks):
        of = lambda i, mask=mask: mask if mask is None or mask.ndim == 2 else mask[i]  # noqa: E731
        for parts in (shared, own, {**shared, "affine": own["affine"]}):
            result = ops.color_grid(images, mask, **parts)
            for i in range(3):
                single = {name: part[i] if part is own[name] else part for name, part in parts.items()}
                np.testing.assert_array_equal(result[i], ops.color_grid(images[i], of(i), **single))


@pytest.mark.parametrize("dtype", DTYPES)
def test_results_go_where_they_are_told_to(dtype):
    rng = np.random.default_rng(10)
    image, mask = random_image(rng, (30, 600), dtype), soft_mask(rng, (30, 600))
    maps = random_map(rng)
    expected = ops.color_grid(image, mask, **maps)
    out = np.zeros((30, 600, 4), dtype)
    part = out[..., 1:]
    assert ops.color_grid(image, mask, out=part, **maps) is part
    np.testing.assert_array_equal(part, expected)
    assert not out[..., 0].any()
    assert ops.color_grid(image, mask, out=image, **maps) is image
    np.testing.assert_array_equal(image, expected)


@needs_torch
def test_tensors_give_tensors():
    rng = np.random.default_rng(11)
    image, mask, maps = random_image(rng, (20, 30)), soft_mask(rng, (20, 30)), random_map(rng)
    tensors = {name: torch.from_numpy(part) for name, part in maps.items()}
    result = ops.color_grid(torch.from_numpy(image), torch.from_numpy(mask), **tensors)
    assert isinstance(result, torch.Tensor)
    np.testing.assert_array_equal(result.numpy(), ops.color_grid(image, mask, **maps))


# ---- gradients ------------------------------------------------------------------------------------------------------

#: Shape, (Gh, Gw, D), K, and whether each image has a map of its own.
GRADIENT_CASES = (
    ((9, 13), (3, 4, 5), 6, False),
    ((2, 9, 600), (3, 4, 8), 6, True),
    ((2, 70, 40), (3, 4, 1), 2, False),
    ((3, 3), (8, 9, 3), 4, False),
)


def tensors(shape, cells, knots, own, dtype="float64", seed=0):
    """Returns image with colours outside [0, 1], mask, and the parts; all with gradients."""
    rng = np.random.default_rng(seed)
    real = "float64" if dtype == "float64" else "float32"
    image, mask = 1.4 * rng.random((*shape, 3)) - 0.2, rng.random(shape)
    mask.flat[::7] = 0
    parts = random_map(rng, cells, knots, count=shape[0] if own else None)
    arrays = [torch.from_numpy(image.astype(dtype)), torch.from_numpy(mask.astype(real))]
    arrays += [torch.from_numpy(part.astype(real)) for part in parts.values()]
    return [x.requires_grad_() for x in arrays]


def function(image, mask, affine, curves, grid):
    return ops.color_grid(image, mask, affine=affine, curves=curves, grid=grid)


@needs_torch
@pytest.mark.parametrize("case", GRADIENT_CASES, ids=lambda c: str(c[0]))
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_gradients_are_those_of_torchs_operations(simd, one_torch_thread, dtype, case):
    """Sums of a part have at most all pixels of an image as terms, in runs of at most 512 that are added in double."""
    inputs = tensors(*case, dtype=dtype)
    result = function(*inputs)
    grad = torch.from_numpy(np.random.default_rng(1).standard_normal(result.shape).astype(dtype))
    exact_inputs = [x.detach().double().requires_grad_() for x in inputs]
    height, width = result.shape[-3:-1]
    composed = backend.composed(*exact_inputs, [0, 0, height, width])
    exact = torch.autograd.grad(composed, exact_inputs, grad.double())
    eps = EPS["float64" if dtype == "float64" else "float32"]
    for gradient, expected, x in zip(torch.autograd.grad(result, inputs, grad), exact, inputs, strict=True):
        assert gradient.dtype == x.dtype and gradient.shape == x.shape
        # The slopes are a few tens, each of a few tens of roundings; the sums lose the root of what one run has.
        size = max(1.0, float(expected.abs().max()))
        rounding = 2.0**-11 * expected.abs() if gradient.dtype == torch.float16 else 0
        assert ((gradient.double() - expected).abs() <= 1024 * eps * size + rounding).all()


@needs_torch
def test_gradients_are_those_of_differences(one_torch_thread):
    inputs = tensors((2, 4, 5), (2, 3, 3), 3, True)
    inputs[1] = (0.1 + 0.8 * inputs[1].detach()).requires_grad_()  # differences stay within [0, 1]
    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs, fast_mode=True)


@needs_torch
def test_gradients_of_some_arguments_are_those_of_all(one_torch_thread):
    inputs = tensors((2, 20, 30), (3, 4, 8), 6, False)
    grad = torch.ones(2, 20, 30, 3, dtype=torch.float64)
    together = torch.autograd.grad(function(*inputs), inputs, grad)
    for i, expected in enumerate(together):
        alone = [x.detach() for x in inputs]
        alone[i].requires_grad_()
        assert torch.equal(torch.autograd.grad(function(*alone), alone[i], grad)[0], expected)
    for name, i in (("affine", 2), ("curves", 3), ("grid", 4)):
        part = inputs[i].detach().requires_grad_()
        (gradient,) = torch.autograd.grad(ops.color_grid(inputs[0].detach(), **{name: part}).sum(), part)
        assert gradient.shape == part.shape and gradient.abs().sum() > 0


@needs_torch
def test_maps_of_other_dtypes_are_converted(one_torch_thread):
    inputs = tensors((7, 9), (2, 3, 4), 5, False, "float32")
    half = [*inputs[:2], *(x.detach().bfloat16().requires_grad_() for x in inputs[2:])]
    exact = [*inputs[:2], *(x.detach().float().requires_grad_() for x in half[2:])]
    results = [function(*arguments) for arguments in (half, exact)]
    assert torch.equal(*results)
    gradients, expected = (torch.autograd.grad(y.sum(), x) for y, x in zip(results, (half, exact), strict=True))
    for a, b, x in zip(gradients, expected, half, strict=True):
        assert a.dtype == x.dtype and torch.equal(a, b.to(x.dtype))


@needs_torch
def test_gradients_of_tiles_add_up(one_torch_thread):
    image, mask, affine, curves, grid = tensors((61, 90), (4, 5, 8), 6, False)
    whole = torch.autograd.grad(function(image, mask, affine, curves, grid).sum(), (affine, curves, grid, image))
    result = 0
    for y in range(0, 61, 25):
        for x in range(0, 90, 40):
            at = np.s_[y : y + 25, x : x + 40]
            options = {"origin": (x, y), "frame": (61, 90), "affine": affine, "curves": curves, "grid": grid}
            result = result + ops.color_grid(image[at], mask[at], **options).sum()
    for gradient, expected in zip(torch.autograd.grad(result, (affine, curves, grid, image)), whole, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-11, atol=1e-11)


@needs_torch
def test_bits_of_gradients_do_not_depend_on_threads(threads, one_torch_thread):
    inputs = tensors((3, 150, 100), (5, 6, 8), 9, True, "float32")
    gradients = torch.autograd.grad(function(*inputs).square().sum(), inputs)
    for i in range(3):
        single = [x.detach()[i].requires_grad_() for x in inputs]
        for a, b in zip(gradients, torch.autograd.grad(function(*single).square().sum(), single), strict=True):
            assert torch.equal(a[i], b)


@pytest.mark.networks
@needs_torch
def test_operators_keep_to_the_rules_of_torch(one_torch_thread):
    inputs = tensors((2, 4, 5), (2, 3, 3), 3, True)
    library = torch.ops.pyharmony
    torch.library.opcheck(library.color_grid, (*inputs, [0, 0, 4, 5]))
    torch.library.opcheck(library.color_grid, (inputs[0], None, None, inputs[3], None, [0, 0, 4, 5]))
    plain = [x.detach() for x in inputs]
    torch.library.opcheck(
        library.color_grid_gradient, (*plain, [0, 0, 4, 5], torch.ones_like(plain[0]), [True] * 5)
    )  # fmt: skip


@pytest.mark.networks
@needs_torch
def test_the_compiler_sees_one_graph(one_torch_thread):
    inputs = tensors((2, 14, 15), (2, 3, 3), 5, True, "float32")
    compiled = torch.compile(function, backend="aot_eager", fullgraph=True)
    result, expected = compiled(*inputs), function(*inputs)
    assert torch.equal(result, expected)
    for a, b in zip(*(torch.autograd.grad(y.square().sum(), inputs) for y in (result, expected)), strict=True):
        assert torch.equal(a, b)
    torch.compiler.reset()


@needs_torch
def test_gradients_that_would_be_lost_are_refused():
    affine = torch.eye(3, 4, requires_grad=True)
    with pytest.raises(ArgumentError, match="image: ndarray, so the result would have no graph"):
        ops.color_grid(np.zeros((4, 5, 3), np.float32), affine=affine)
    with pytest.raises(ArgumentError, match=r"affine: requires grad, but a rounded result in torch.uint8"):
        ops.color_grid(torch.zeros(4, 5, 3, dtype=torch.uint8), affine=affine)
    with pytest.raises(ArgumentError, match="out: not accepted"):
        ops.color_grid(torch.zeros(4, 5, 3), affine=affine, out=torch.zeros(4, 5, 3))
    with pytest.raises(ShapeError, match="affine: shape"):
        ops.color_grid(torch.zeros(4, 5, 3), affine=affine[:2])


# ---- bad input ------------------------------------------------------------------------------------------------------

IMAGE = np.zeros((4, 5, 3), np.uint8)
GRID = np.zeros((2, 3, 4, 3, 4))
READ_ONLY = np.zeros((4, 5, 3), np.uint8)
READ_ONLY.flags.writeable = False
WIDE_IMAGE = np.zeros((4, 6, 3), np.uint8)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"image": IMAGE[..., :2]}, ShapeError, r"image: shape \[4, 5, 2\], expected \[H, W, 3\] or \[N, H, W, 3\]"),
        ({"image": IMAGE[0]}, ShapeError, r"image: shape \[5, 3\]"),
        ({"image": IMAGE[:0]}, ShapeError, "image: .* no pixels"),
        ({"image": IMAGE > 0}, DTypeError, "image: dtype bool"),
        ({"image": IMAGE.astype(np.int32)}, DTypeError, "image: dtype int32"),
        ({"image": "image"}, DTypeError, "image: str"),
        ({"mask": np.ones((5, 4))}, ShapeError, r"mask: shape \[5, 4\], expected \[4, 5\]"),
        ({"mask": np.ones((1, 4, 5))}, ShapeError, r"mask: shape \[1, 4, 5\]"),
        ({"mask": np.ones((4, 5), np.uint8)}, MaskError, "mask > 0"),
        ({"mask": np.full((4, 5), 1.5)}, MaskError, "mask: values from 1.5"),
        ({"mask": np.full((4, 5), np.nan)}, MaskError, "mask: values"),
        ({"mask": np.ones((4, 5), np.int32)}, DTypeError, "mask: dtype int32"),
        ({"affine": np.eye(3)}, ShapeError, r"affine: shape \[3, 3\], expected \[3, 4\]"),
        ({"affine": np.zeros((1, 3, 4))}, ShapeError, r"affine: shape \[1, 3, 4\]"),
        ({"affine": np.full((3, 4), np.nan)}, ArgumentError, "affine: contains NaN"),
        ({"affine": "abc"}, DTypeError, "affine: str"),
        ({"curves": np.zeros((3, 3, 1))}, ShapeError, r"curves: shape \[3, 3, 1\], expected \[3, 3, K\]"),
        ({"curves": np.zeros((3, 3, 257))}, ShapeError, "K from 2 to 256"),
        ({"curves": np.zeros((3, 16))}, ShapeError, "curves"),
        ({"grid": GRID[..., 0]}, ShapeError, r"grid: shape \[2, 3, 4, 3\]"),
        ({"grid": np.zeros((2, 3, 65, 3, 4))}, ShapeError, "D from 1 to 64"),
        ({"grid": np.zeros((257, 1, 1, 3, 4))}, ShapeError, "Gh and Gw from 1 to 256"),
        ({"grid": GRID + np.inf}, ArgumentError, "grid: contains NaN or an infinity"),
        ({"image": IMAGE[None], "grid": np.stack([GRID] * 2)}, ShapeError, "has 2 maps, expected 1 as image has"),
        ({"origin": (1, 0)}, ArgumentError, "frame: None with origin"),
        ({"origin": (1, 0), "frame": (4, 5)}, ArgumentError, r"frame: \(4, 5\) does not contain"),
        ({"origin": (-1, 0), "frame": (9, 9)}, ArgumentError, "frame"),
        ({"origin": 3, "frame": (9, 9)}, ArgumentError, "origin: 3"),
        ({"frame": (4.5, 5)}, ArgumentError, "frame: "),
        ({"frame": (1 << 24, 5)}, ArgumentError, "at most 16777215"),
        ({"out": WIDE_IMAGE}, ShapeError, "out: uint8 of shape"),
        ({"out": IMAGE.astype(np.float32)}, ShapeError, "out: float32"),
        ({"out": READ_ONLY}, ArgumentError, "out: read-only"),
        ({"image": WIDE_IMAGE[:, :5], "out": WIDE_IMAGE[:, 1:]}, ArgumentError, "out: overlaps image"),
    ],
)
def test_bad_input(options, error, message):
    with pytest.raises(error, match=message):
        ops.color_grid(**{"image": IMAGE, **options})
