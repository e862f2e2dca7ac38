"""Op gaussian_poisson: every method keeps its promise against the float64 definition."""

from __future__ import annotations

import functools
import warnings

import numpy as np
import pytest

import pyharmony
from pyharmony import ops
from pyharmony.errors import ArgumentError, DTypeError, MaskError, ShapeError
from pyharmony.ops.gaussian_poisson import target_field
from pyharmony.reference.gaussian_poisson import derivative, divergence, edge_field
from pyharmony.reference.gaussian_poisson import gaussian_poisson as exact

WEIGHTS = (0, 1e-3, 0.01, 0.1, 0.15, 0.25, 0.35, 0.5, 0.7, 1, 4)
VECTORS = ("a64", "b64", "c96x160", "d97x131", "e128soft", "f128s1", "g64border", "i64b0")
METHODS = ("chebyshev", "dct", "multigrid")


def scene(height, width, kind, seed=0, channels=3):
    """Returns src, dst, base [H, W, C] and mask [H, W] in [0, 1], float64."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    if kind == "constant":
        a, b = np.full((2, height, width, channels), 0.6)
        base = np.full((height, width, channels), 0.4)
    elif kind == "noise":
        a, b, base = rng.random((3, height, width, channels))
    else:  # photograph: smooth shading, edges and a little grain
        waves = [np.sin(x / (9 + 4 * c) + seed) * np.cos(y / (13 + 3 * c)) for c in range(channels)]
        shade = np.stack(waves, -1) * 0.2 + 0.5
        a = shade + 0.25 * ((x // 17 + y // 23) % 2)[..., None] - 0.12
        b = shade[::-1] + 0.2 * ((x + 2 * y) // 31 % 2)[..., None] - 0.1
        a, b = (np.clip(v + rng.normal(0, 0.01, v.shape), 0, 1) for v in (a, b))
        base = np.clip(0.5 * a + 0.5 * b.mean((0, 1)), 0, 1)
    r = np.hypot(y - height * 0.48, x - width * 0.52) / (0.36 * max(1, min(height, width)))
    return a, b, base, (r < 1).astype(np.float64)


def to_dtype(x, dtype):
    scale = {"uint8": 255, "uint16": 65535}.get(dtype, 1)
    return np.rint(x * scale).astype(dtype) if scale > 1 else x.astype(dtype)


def unrounded_error(info_tolerance, dtype):
    """Returns the error allowed in dtype's unit: tolerance and half a step of the dtype's rounding."""
    level = {"uint8": 1.0, "uint16": 257.0}.get(dtype, 1 / 255)
    step = {"uint8": 0.5, "uint16": 0.5, "float16": 2**-11, "float32": 2**-24}.get(dtype, 0)
    return info_tolerance * level + step * (1 + 1e-3)


def load_vector(data_dir, name):
    z = np.load(data_dir / "gp_reference" / "gp_reference_vectors.npz")
    images = {k: z[f"{name}__{k}"] / 255.0 for k in ("src", "dst", "mask", "xl")}
    weight, sigma = z[f"{name}__params"]
    return images, float(weight), float(sigma), z[f"{name}__out_unclipped"]


@pytest.mark.parametrize("name", VECTORS)
def test_equals_gp_gan(data_dir, name):
    v, weight, sigma, expected = load_vector(data_dir, name)
    if weight == 0:  # its mean is rounding error there
        expected = expected - expected.mean((0, 1)) + v["xl"].mean((0, 1))

    def run(dtype, method, tolerance=None):
        images = [v[k].astype(dtype) for k in ("src", "dst", "mask", "xl")]
        return ops.gaussian_poisson(
            *images, color_weight=weight, sigma=sigma, as_published=True, method=method, tolerance=tolerance
        )

    assert np.abs(run("float64", "auto") - expected).max() <= 1e-6
    for method in METHODS:
        if method == "chebyshev" and weight < 0.1:
            continue
        precise = run("float32", method, tolerance=2e-3)
        assert np.abs(precise - expected).max() <= 2e-5, method
        assert np.abs(run("float32", method, tolerance=0.25) - expected).max() <= 0.25 / 255, method


@pytest.mark.large
@pytest.mark.covering(1)
@pytest.mark.parametrize(
    "sizes",
    [
        ((61, 83), (1, 1), (2, 2), (1, 5)),
        ((64, 64), (127, 67), (3, 3), (5, 5), (2, 97)),
        pytest.param(((97, 131), (255, 67)), marks=pytest.mark.full),
    ],
)
@pytest.mark.parametrize("kind", ["photograph", "noise", "constant"])
@pytest.mark.parametrize("weight", WEIGHTS)
def test_within_tolerance_for_every_weight(weight, kind, sizes):
    for height, width in sizes:
        a, b, base, mask = scene(height, width, kind)
        both = {dtype: [to_dtype(v, dtype) for v in (a, b, base)] for dtype in ("uint8", "float32")}
        # Channels are independent: one exact solve, in levels, serves the images of both dtypes.
        levels = [np.concatenate([u, 255 * f.astype(np.float64)], -1) for u, f in zip(*both.values(), strict=True)]
        for pinned in (False, True):
            truths = exact(*levels[:2], mask, levels[2], color_weight=weight, preserve_background=pinned)
            for dtype, images in both.items():
                truth = truths[..., :3] if dtype == "uint8" else truths[..., 3:] / 255
                out, info = ops.gaussian_poisson(
                    *images[:2], mask, images[2], color_weight=weight, preserve_background=pinned, return_info=True
                )
                error = np.abs(np.clip(truth, 0, 255) - out if dtype == "uint8" else truth - out).max()
                tolerance = 0.25 if dtype == "uint8" else 0.025
                assert error <= unrounded_error(tolerance, dtype), (height, width, pinned, dtype, info)
                if weight >= 0.02:
                    assert info.max_error <= tolerance * (1 + 1e-9)


@functools.cache
def solved(kind, weight, pinned):
    """Returns images of float32 and their exact blend, one for all methods and tolerances."""
    a, b, base, mask = (v.astype("float32") for v in scene(41, 59, kind, seed=3))
    return (a, b, base, mask), exact(a, b, mask, base, color_weight=weight, preserve_background=pinned)


@pytest.mark.large
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("pinned", [False, True])
@pytest.mark.parametrize("tolerance", [0.25, 0.005])
def test_certified_bound_is_never_below_the_error(method, pinned, tolerance):
    for weight in WEIGHTS:
        if (method == "dct" and pinned) or (method == "chebyshev" and weight < 0.1):
            continue
        for kind in ("photograph", "noise"):
            (a, b, base, mask), truth = solved(kind, weight, pinned)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                out, info = ops.gaussian_poisson(
                    a, b, mask, base, color_weight=weight, method=method, preserve_background=pinned,
                    tolerance=tolerance, return_info=True,
                )  # fmt: skip
            error = np.abs(out - truth).max() * 255
            assert error <= info.max_error + 255 * 2**-24, (weight, kind, info)
            assert info.max_error < 1, (weight, kind, info)


@pytest.mark.parametrize("pinned", [False, True])
def test_no_jump_where_auto_switches(pinned):
    a, b, base, mask = (to_dtype(v, "float32") for v in scene(120, 150, "photograph"))
    other = "multigrid" if pinned else "dct"

    def method(weight):
        info = ops.gaussian_poisson(
            a, b, mask, base, color_weight=weight, preserve_background=pinned, tolerance=0.25, return_info=True
        )[1]
        return info.method

    low, high = 1e-3, 1.0
    assert method(low) == other and method(high) == "chebyshev"
    for _ in range(12):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if method(middle) == "chebyshev" else (middle, high)
    for weight in (low, high, *(w for w in WEIGHTS if w >= 0.1)):
        args = dict(color_weight=weight, preserve_background=pinned, tolerance=0.25)
        first = ops.gaussian_poisson(a, b, mask, base, method="chebyshev", **args)
        second = ops.gaussian_poisson(a, b, mask, base, method=other, **args)
        assert np.abs(first - second).max() * 255 <= 0.5


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (3, 3), (5, 1), (1, 64), (2, 97), (7, 300), (255, 383)])
@pytest.mark.parametrize("weight", [0, 1e-3, 0.1, 1])
def test_constants_and_means_stay(shape, weight):
    a, b, base, mask = scene(*shape, "constant")
    for dtype in ("float32", "float64"):
        images = [v.astype(dtype) for v in (a, b, base)]
        for sigma in (0.0, 0.5, 0.8):
            out = ops.gaussian_poisson(*images[:2], mask, images[2], color_weight=weight, sigma=sigma, tolerance=1e-4)
            assert np.abs(out - 0.4).max() <= 1e-6
    a, b, base, mask = scene(*shape, "noise")
    out = ops.gaussian_poisson(a, b, mask, base, color_weight=weight)
    assert np.abs(out.mean((0, 1)) - base.mean((0, 1))).max() <= 1e-6


@pytest.mark.large
@pytest.mark.parametrize(
    ("weight", "channels"), [(0, 1), *(pytest.param(x, 3, marks=pytest.mark.full) for x in (0, 1, 0.15, 1e-3))]
)
def test_full_hd_is_within_tolerance(weight, channels):
    *images, mask = scene(1080, 1920, "photograph", channels=channels)
    a, b, base = (to_dtype(v, "uint8") for v in images)
    truth = exact(a, b, mask, base, color_weight=weight)
    out = ops.gaussian_poisson(a, b, mask, base, color_weight=weight)
    assert np.abs(np.clip(truth, 0, 255) - out).max() <= 0.75 * (1 + 1e-6)


@pytest.mark.parametrize("weight", [0.05, 1.0])
def test_weight_maps(weight):
    a, b, base, mask = scene(47, 58, "photograph", seed=2)
    y, x = np.mgrid[:47, :58]
    varying = weight * (1.5 + np.sin(x / 7) * np.cos(y / 5))
    partly_zero = np.where(x < 20, 0.0, varying)
    for pinned in (False, True):
        for weights in (varying, partly_zero):
            truth = exact(a, b, mask, base, color_weight=weights.astype("float32"), preserve_background=pinned)
            out = ops.gaussian_poisson(
                *(v.astype("float32") for v in (a, b, mask, base)), color_weight=weights, preserve_background=pinned
            )
            assert np.abs(out - truth).max() * 255 <= 0.025 + 255 * 2**-24
        constant = ops.gaussian_poisson(
            a, b, mask, base, color_weight=np.full((47, 58), weight), preserve_background=pinned
        )
        same = ops.gaussian_poisson(a, b, mask, base, color_weight=weight, preserve_background=pinned)
        assert np.array_equal(constant, same)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "float64"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6])
def test_dtypes_channels_and_strides(dtype, channels):
    a, b, base, mask = scene(24, 37, "photograph", channels=channels)
    a, b, base = (to_dtype(v, dtype) for v in (a, b, base))
    for pinned, weight in ((False, 1.0), (True, 1.0), (False, 0.01), (True, 0.01)):
        args = dict(color_weight=weight, preserve_background=pinned)
        out = ops.gaussian_poisson(a, b, mask, base, **args)
        assert out.dtype == np.dtype(dtype) and out.shape == b.shape
        truth = exact(a, b, mask, base, **args)
        if dtype in ("uint8", "uint16"):
            truth = np.clip(truth, 0, np.iinfo(dtype).max)
        tolerance = {"uint8": 0.25, "uint16": 0.004, "float64": 1e-6}.get(dtype, 0.025)
        assert np.abs(out - truth).max() <= unrounded_error(tolerance, dtype)
        if pinned:
            assert np.array_equal(out[mask == 0], b[mask == 0])
        planar = [np.ascontiguousarray(np.moveaxis(v, -1, 0)).transpose(1, 2, 0) for v in (a, b, base)]
        assert np.array_equal(ops.gaussian_poisson(planar[0], planar[1], mask, planar[2], **args), out)
        flipped = [np.ascontiguousarray(v[::-1, ::-1, ::-1])[::-1, ::-1, ::-1] for v in (a, b, base)]
        assert np.array_equal(ops.gaussian_poisson(flipped[0], flipped[1], mask, flipped[2], **args), out)
        wide = [np.repeat(v, 2, 1)[:, ::2] for v in (a, b, base)]
        wide_mask = np.repeat(mask, 2, 1)[:, ::2]
        assert np.array_equal(ops.gaussian_poisson(*wide[:2], wide_mask, wide[2], **args), out)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "float64"])
def test_base_in_another_dtype(method, dtype):
    a, b, base, mask = scene(33, 42, "photograph")
    a, b = (to_dtype(v, dtype) for v in (a, b))
    unit = {"uint8": 255, "uint16": 65535}.get(dtype, 1)
    for base_dtype in (dtype, "float32", "float64"):
        ground = to_dtype(base, dtype) if base_dtype == dtype else (base * unit).astype(base_dtype)
        truth = exact(a, b, mask, ground)
        if dtype in ("uint8", "uint16"):
            truth = np.clip(truth, 0, unit)
        out = ops.gaussian_poisson(a, b, mask, ground, method=method, tolerance=0.01)
        assert out.dtype == b.dtype
        assert np.abs(out - truth).max() <= unrounded_error(0.01, dtype)


@pytest.mark.parametrize("method", ["dct", "multigrid"])
@pytest.mark.parametrize("weight", [0, 1e-3, 0.02, 1, 4])
def test_float64_is_solved_to_its_default_tolerance(method, weight):
    a, b, base, mask = scene(61, 83, "noise")
    out, info = ops.gaussian_poisson(a, b, mask, base, color_weight=weight, method=method, return_info=True)
    assert np.abs(out - exact(a, b, mask, base, color_weight=weight)).max() * 255 <= 1e-6
    assert info.max_error <= 1e-6


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("tolerance", [1e-2, 1e-5])
def test_the_bound_of_a_rectangle_solved_by_multigrid(dtype, tolerance):
    """An exact solve proves it; below float32 rounding the hierarchy does, with the same result."""
    a, b, base, mask = scene(61, 83, "noise")
    a, b, base = (to_dtype(v, dtype) for v in (a, b, base))
    args = dict(method="multigrid", color_weight=0.3, tolerance=tolerance)
    out, info = ops.gaussian_poisson(a, b, mask, base, return_info=True, **args)
    truth = exact(a, b, mask, base, color_weight=0.3)
    if dtype == "uint8":
        truth = np.clip(truth, 0, 255)
    assert np.abs(out - truth).max() <= unrounded_error(info.max_error, dtype)
    assert info.max_error <= tolerance
    assert np.array_equal(out, ops.gaussian_poisson(a, b, mask, base, **args))


def test_batches_and_grey():
    a, b, base, mask = scene(24, 31, "photograph")
    masks = np.stack([mask, mask[::-1]])
    batch = [np.stack([v, v[:, ::-1]]) for v in (a, b, base)]
    out, infos = ops.gaussian_poisson(batch[0], batch[1], masks, batch[2], return_info=True)
    assert len(infos) == 2
    for i in range(2):
        single = ops.gaussian_poisson(batch[0][i], batch[1][i], masks[i], batch[2][i])
        assert np.array_equal(out[i], single)
    grey = ops.gaussian_poisson(a[..., 0], b[..., 0], mask, base[..., 0])
    assert grey.shape == (24, 31)
    assert np.abs(grey - ops.gaussian_poisson(a, b, mask, base)[..., 0]).max() * 255 <= 2e-6


def test_torch_tensors():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    a, b, base, mask = scene(24, 31, "photograph")
    out = ops.gaussian_poisson(*(torch.from_numpy(v) for v in (a, b, mask, base)))
    assert isinstance(out, torch.Tensor)
    assert np.array_equal(out.numpy(), ops.gaussian_poisson(a, b, mask, base))
    with pytest.raises(DTypeError, match="bfloat16"):
        ops.gaussian_poisson(*(torch.from_numpy(v).bfloat16() for v in (a, b, mask, base)))


def test_empty_and_full_masks():
    a, b, base = (to_dtype(v, "uint8") for v in scene(30, 40, "photograph")[:3])
    nothing, everything = np.zeros((30, 40), bool), np.ones((30, 40), bool)
    assert np.array_equal(ops.gaussian_poisson(a, b, nothing, base, preserve_background=True), b)
    for weight in (0.0, 1.0):
        assert np.array_equal(
            ops.gaussian_poisson(a, b, everything, base, color_weight=weight, preserve_background=True),
            ops.gaussian_poisson(a, b, everything, base, color_weight=weight),
        )


@pytest.mark.large
def test_working_memory():
    """Fused Chebyshev takes a megabyte a thread, multigrid 32 bytes a channel and 9 a pixel, with its certificate."""
    images = [to_dtype(v, "uint8") for v in scene(540, 960, "photograph")[:3]]
    a, b, base = (np.tile(v, (2, 2, 1)) for v in images)
    _, info = ops.gaussian_poisson(a, b, np.ones(a.shape[:2], bool), base, method="chebyshev", return_info=True)
    assert info.peak_bytes <= 2**20 * pyharmony.get_num_threads()
    a, b, base = images
    mask = np.ones(a.shape[:2], bool)
    _, info = ops.gaussian_poisson(a, b, mask, base, method="multigrid", color_weight=0.01, return_info=True)
    assert info.peak_bytes <= (3 * 32 + 9) * mask.size


BAD_CALLS = [
    ("shape of src", dict(src=np.zeros((9, 8, 3), "uint8")), ShapeError, "src"),
    ("channels of base", dict(base=np.zeros((8, 8, 1), "uint8")), ShapeError, "base"),
    ("shape of mask", dict(mask=np.ones((8, 9), bool)), ShapeError, "mask"),
    ("dtype of src", dict(src=np.zeros((8, 8, 3), "float32")), DTypeError, "src"),
    ("dtype bool", dict(src=np.zeros((8, 8, 3), bool)), DTypeError, "src"),
    ("integer image", dict(dst=np.zeros((8, 8, 3), "int32")), DTypeError, "dst"),
    ("a list", dict(src=[[1]]), DTypeError, "src"),
    ("no pixels", dict(src=np.zeros((0, 8, 3), "uint8")), ShapeError, "src"),
    ("dtype of base", dict(base=np.zeros((8, 8, 3), "uint16")), ArgumentError, "base"),
    ("mask of 0 and 1", dict(mask=np.eye(8, dtype="uint8")), MaskError, "mask"),
    ("mask above 1", dict(mask=np.full((8, 8), 1.5)), MaskError, "mask"),
    ("mask with NaN", dict(mask=np.full((8, 8), np.nan)), MaskError, "mask"),
    ("negative weight", dict(color_weight=-0.5), ArgumentError, "color_weight"),
    ("NaN weight", dict(color_weight=float("nan")), ArgumentError, "color_weight"),
    ("weight as text", dict(color_weight="1"), DTypeError, "color_weight"),
    ("map of weights, shape", dict(color_weight=np.ones((4, 4))), ShapeError, "color_weight"),
    ("map of weights, negative", dict(color_weight=-np.eye(8)), ArgumentError, "color_weight"),
    ("sigma", dict(sigma=1.0), ArgumentError, "sigma"),
    ("method", dict(method="jacobi"), ArgumentError, "method"),
    ("dct with pinned pixels", dict(method="dct", preserve_background=True), ArgumentError, "method"),
    (
        "chebyshev of an indefinite equation",
        dict(method="chebyshev", color_weight=1e3, sigma=1.0, as_published=True),
        ArgumentError,
        "method",
    ),
    (
        "chebyshev of an indefinite equation with a map",
        dict(method="chebyshev", color_weight=np.full((8, 8), 1e3), sigma=1.0, as_published=True),
        ArgumentError,
        "method",
    ),
    ("chebyshev at weight 0", dict(method="chebyshev", color_weight=0), ArgumentError, "method"),
    ("tolerance", dict(tolerance=0), ArgumentError, "tolerance"),
]


@pytest.mark.parametrize(("change", "error", "name"), [b[1:] for b in BAD_CALLS], ids=[b[0] for b in BAD_CALLS])
def test_bad_input(change, error, name):
    half = np.zeros((8, 8), bool)
    half[2:5, 2:5] = True
    args = dict(src=np.ones((8, 8, 3), "uint8"), dst=np.zeros((8, 8, 3), "uint8"), mask=half)
    args["base"] = args["dst"]
    args.update(change)
    with pytest.raises(error, match=f"^{name}: "):
        ops.gaussian_poisson(**args)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_is_named_where_it_is_used(bad):
    a, b, base, mask = (v.astype("float32") for v in scene(20, 20, "photograph"))
    broken = a.copy()
    broken[3, 10, 1] = bad
    with pytest.raises(ArgumentError, match=r"^src: .*\(y=3, x=10\), channel 1"):
        ops.gaussian_poisson(broken, b, mask, base)
    far = b.copy()
    far[0, 0] = bad  # outside the mask and not next to it
    out = ops.gaussian_poisson(a, far, mask, base, preserve_background=True)
    assert np.array_equal(out[0, 0], far[0, 0], equal_nan=True) and np.isfinite(out[mask > 0]).all()


# ---- gradient kernels ----------------------------------------------------------------------------

KERNELS = ("normal", "sobel", "scharr", "prewitt", "roberts")


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_kernel_lies_along_its_edges_and_has_gain_one(kernel):
    for axis in (0, 1):
        ramp = np.moveaxis(np.arange(9.0)[:, None, None] * np.ones((7, 2)), 0, axis)
        along, across = derivative(ramp, axis, kernel), derivative(ramp, 1 - axis, kernel)
        np.testing.assert_allclose(along, 1, atol=1e-14)  # also at the border: nothing wraps around
        np.testing.assert_allclose(across, 0, atol=1e-14)


def test_kernels_are_their_formulae():
    u = np.random.default_rng(0).random((9, 8, 1))
    y, x = 4, 3  # the edge from (4, 3) to (4, 4)
    for kernel, taps in (("sobel", (1, 2, 1)), ("scharr", (3, 10, 3)), ("prewitt", (1, 1, 1))):
        taps = np.array(taps) / sum(taps)
        ends = [(taps * (u[y - 1 : y + 2, i + 1, 0] - u[y - 1 : y + 2, i - 1, 0])).sum() / 2 for i in (x, x + 1)]
        assert derivative(u, 1, kernel)[y, x, 0] == pytest.approx(np.mean(ends), abs=1e-15)
        assert derivative(np.swapaxes(u, 0, 1), 0, kernel)[x, y, 0] == pytest.approx(np.mean(ends), abs=1e-15)
    rows = u[y - 1 : y + 2, x + 1, 0] - u[y - 1 : y + 2, x, 0]
    assert derivative(u, 1, "roberts")[y, x, 0] == pytest.approx((rows * [0.25, 0.5, 0.25]).sum(), abs=1e-15)


@pytest.mark.parametrize("shape", [(37, 41, 3), (70, 33, 4), (1, 7, 1), (9, 1, 2), (2, 2, 1), (1, 1, 1)])
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_field_is_its_definition(kernel, shape, threads, simd):
    rng = np.random.default_rng(1)
    src, dst = rng.random((2, *shape))
    mask, gain = rng.random((2, *shape[:2])).astype(np.float32)
    for g in (None, gain):
        doubles = mask.astype(np.float64), None if g is None else g.astype(np.float64)
        expected = divergence(*edge_field(src, dst, doubles[0], "source", kernel, doubles[1]))
        # There are some 40 operations on values of at most 2.
        np.testing.assert_allclose(target_field(src, dst, mask, kernel, g), expected, atol=80 * 2**-52, rtol=0)


@pytest.mark.covering(1)
@pytest.mark.parametrize("kernel", KERNELS[1:])
@pytest.mark.parametrize("pinned", [False, True])
def test_every_method_agrees_on_a_kernel(kernel, pinned):
    a, b, base, mask = scene(31, 43, "photograph", seed=3)
    images = [to_dtype(v, "uint8") for v in (a, b, base)]
    for weight in (0, 0.01, 0.3, 1):
        truth = exact(*images[:2], mask, images[2], color_weight=weight, preserve_background=pinned,
                      gradient_kernel=kernel)  # fmt: skip
        for method in ("auto", *METHODS):
            if (method == "dct" and pinned) or (method == "chebyshev" and weight < 0.1):
                continue
            options = dict(color_weight=weight, preserve_background=pinned, gradient_kernel=kernel, method=method)
            out, info = ops.gaussian_poisson(*images[:2], mask, images[2], return_info=True, **options)
            assert np.abs(out - np.clip(truth, 0, 255)).max() <= unrounded_error(0.25, "uint8"), (weight, method)
            assert info.max_error <= 0.25
            out = ops.gaussian_poisson(*(v.astype(float) for v in images[:2]), mask, images[2].astype(float), **options)
            assert np.abs(out - truth).max() <= 1e-6, (weight, method)  # 1e-6 levels of 1/255


def test_a_map_of_weights_takes_a_kernel():
    a, b, base, mask = scene(50, 60, "photograph")
    weights = (0.2 + np.random.default_rng(0).random((50, 60))).astype(np.float32)
    for pinned in (False, True):
        options = dict(color_weight=weights, preserve_background=pinned, gradient_kernel="scharr")
        truth = exact(a, b, mask, base, **options)
        assert np.abs(ops.gaussian_poisson(a, b, mask, base, **options) - truth).max() <= 1e-6


def test_normal_is_what_no_kernel_is():
    a, b, base, mask = (to_dtype(v, "uint8") for v in scene(61, 83, "photograph"))
    expected = ops.gaussian_poisson(a, b, mask, base)
    assert np.array_equal(ops.gaussian_poisson(a, b, mask, base, gradient_kernel="normal"), expected)
    with pytest.raises(ArgumentError, match="gradient_kernel: 'canny', expected one of 'normal', 'sobel'"):
        ops.gaussian_poisson(a, b, mask, base, gradient_kernel="canny")
