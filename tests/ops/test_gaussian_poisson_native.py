"""The native kernels of gaussian_poisson against the float64 definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pyharmony import _arrays
from pyharmony._native import native
from pyharmony.reference import gaussian_poisson as definition

from ..equations import mask_of, mask_value, native_view, photo, solution
from ..shared import assert_rounded

RANGE = _arrays.VALUE_RANGE


def residual(src: Any, dst: Any, mask: Any, base: Any, x: Any, *, weight: Any = 1.0, **options: Any) -> float:
    is_map = isinstance(weight, np.ndarray)
    arguments: dict[str, Any] = {"preserve_background": False, "gradients": "source", "out": None, **options}
    w0, w1 = definition.gaussian_taps(arguments.pop("sigma", 0.5), normalize=not arguments.pop("as_published", False))
    out = arguments.pop("out")
    return native.gaussian_poisson_residual(
        *(native_view(a) for a in (src, dst, mask, base, x)),
        weight=0.0 if is_map else weight,
        weight_map=native_view(weight) if is_map else None,
        w0=w0,
        w1=w1,
        out=native_view(out, writable=True),
        **arguments,
    )


def expected_residual(
    src: Any, dst: Any, mask: Any, base: Any, x: Any, weight: Any, w0: float, w1: float, gradients: str, preserve: bool
) -> Any:
    src, dst, base, x = (np.asarray(a, np.float64) for a in (src, dst, base, x))
    m = mask_value(mask)
    c = np.broadcast_to(np.asarray(weight, np.float64), m.shape)
    b = definition.divergence(*definition.edge_field(src, dst, m, gradients)) + c[..., None] * base
    unknown = (m > 0)[..., None] if preserve else np.True_
    r = b - definition.apply_operator(np.where(unknown, x, dst), c, w0, w1)
    return np.where(unknown, r, 0)


@pytest.mark.parametrize("gradients", ["source", "average"])
@pytest.mark.parametrize("preserve", [False, True])
@pytest.mark.parametrize("weight", [0.0, 0.7, "map"])
def test_residual_is_that_of_the_definition(simd: str, gradients: str, preserve: bool, weight: Any) -> None:
    rng = np.random.default_rng(1)
    for shape, dtypes in [
        ((37, 41, 3), ("uint8", "uint8", "bool", "float32", "float64")),
        ((1, 1, 1), ("uint16", "uint16", "uint8", "uint16", "float32")),
        ((1, 19, 2), ("float16", "float16", "uint16", "float16", "float16")),
        ((67, 1, 4), ("float32", "float32", "float32", "float64", "uint8")),
        ((33, 18, 5), ("float64", "float64", "float64", "uint8", "uint16")),
    ]:
        src, dst, base, x = (photo(rng, shape, dtypes[i]) for i in (0, 1, 3, 4))
        mask = mask_of(rng, *shape[:2], dtypes[2])
        c = rng.random(shape[:2]).astype(np.float32) if weight == "map" else weight
        w0, w1 = definition.gaussian_taps(0.5)
        want = expected_residual(src, dst, mask, base, x, c, w0, w1, gradients, preserve)
        for dtype in (np.float64, np.float32):
            out = np.full(shape, np.nan, dtype)
            largest = residual(
                src, dst, mask, base, x, weight=c, gradients=gradients, preserve_background=preserve, out=out
            )
            scale = 20 * max(np.abs(v.astype(np.float64)).max() for v in (src, dst, base, x))
            assert np.abs(out - want).max() <= scale * np.finfo(dtype).eps
            assert abs(largest - np.abs(want).max()) <= scale * np.finfo(np.float64).eps


def test_residual_of_the_solution_is_rounding() -> None:
    rng = np.random.default_rng(3)
    src, dst, base = (photo(rng, (45, 52, 3), "uint8") for _ in range(3))
    mask = mask_of(rng, 45, 52, "uint8")
    c = (0.3 + rng.random((45, 52))).astype(np.float32)
    for weight in (0.15, c):
        for preserve in (False, True):
            x = definition.gaussian_poisson(
                src, dst, mask_value(mask), base, color_weight=weight, preserve_background=preserve
            )
            # Conjugate gradients stop at 1e-14 of the right-hand side's norm.
            limit = 1e-13 * 255 * 5 * np.sqrt(x.size)
            assert residual(src, dst, mask, base, x, weight=weight, preserve_background=preserve) <= limit


def test_residual_names_what_does_not_fit() -> None:
    rng = np.random.default_rng(4)
    src = photo(rng, (8, 9, 3), "uint8")
    mask = mask_of(rng, 8, 9, "uint8")
    with pytest.raises(ValueError, match=r"base: shape \[8, 9, 1\], expected \[8, 9, 3\]"):
        residual(src, src, mask, src[..., :1], src)
    with pytest.raises(ValueError, match="gradients: 'soft'"):
        residual(src, src, mask, src, src, gradients="soft")


# ---- Chebyshev ----------------------------------------------------------------------------------


def chebyshev(
    src: Any, dst: Any, mask: Any, base: Any, out: Any = None, *, weight: Any = 1.0, **options: Any
) -> tuple[Any, dict[str, Any]]:
    is_map = isinstance(weight, np.ndarray)
    arguments: dict[str, Any] = {
        "preserve_background": False,
        "tolerance": 0.25 * RANGE[dst.dtype.name] / 255,
        "rhs": None,
        "max_steps": 200,
        **options,
    }
    w0, w1 = definition.gaussian_taps(arguments.pop("sigma", 0.5), normalize=not arguments.pop("as_published", False))
    out = np.full(dst.shape, np.nan, np.float32) if out is None else out
    info = native.gaussian_poisson_chebyshev(
        *(native_view(a) for a in (src, dst, mask, base)),
        native_view(out, writable=True),
        weight=0.0 if is_map else weight,
        weight_map=native_view(weight) if is_map else None,
        w0=w0,
        w1=w1,
        rhs=native_view(arguments.pop("rhs")),
        **arguments,
    )
    return out, info


def assert_certified(out: Any, info: dict[str, Any], want: Any, tolerance: float, noise: float = 1e-7) -> None:
    """Asserts that the error is within its bound and that within the tolerance; noise is the definition's own."""
    assert info["converged"]
    assert info["max_error"] <= tolerance
    assert np.abs(out - want).max() <= info["max_error"] + noise


@pytest.mark.parametrize("weight", [0.15, 0.5, 1.0, 4.0])
@pytest.mark.parametrize(("sigma", "as_published"), [(0.0, False), (0.5, False), (0.8, False), (1.0, True)])
@pytest.mark.parametrize("preserve", [False, True])
def test_chebyshev_solves_to_the_tolerance(
    simd: str, weight: float, sigma: float, as_published: bool, preserve: bool
) -> None:
    rng = np.random.default_rng(5)
    shape = (53, 71, 3)
    mask = mask_of(rng, 53, 71, "uint8")
    constant = np.full(shape, 200, np.uint8)
    noise = [photo(rng, shape, "uint8") for _ in range(3)]
    smooth = [photo(rng, shape, "uint8", smooth=True) for _ in range(3)]
    options: dict[str, Any] = {"sigma": sigma, "as_published": as_published, "preserve_background": preserve}
    for src, dst, base in (noise, smooth, (constant, constant, constant)):
        want = solution(src, dst, mask, base, weight, **options)
        # GP-GAN's taps at weight 0.15 leave rows an excess of 0.05 only: float32 ends at 0.03.
        for tolerance in (2.0, 0.25) if as_published and weight < 0.5 else (2.0, 0.25, 0.025):
            out, info = chebyshev(src, dst, mask, base, weight=weight, tolerance=tolerance, **options)
            assert_certified(out, info, want, tolerance)


@pytest.mark.parametrize("preserve", [False, True])
@pytest.mark.parametrize("weighted", ["number", "map"])
def test_chebyshev_of_any_size_and_number_of_channels(simd: str, preserve: bool, weighted: str) -> None:
    rng = np.random.default_rng(6)
    sizes = [(1, 1, 3), (1, 2, 1), (2, 1, 4), (1, 300, 3), (300, 1, 2), (2, 2, 5), (3, 3, 7), (7, 5, 4), (13, 97, 1)]
    for shape in [*sizes, (4, 901, 3), (700, 3, 3), (31, 37, 6)]:
        src, dst, base = (photo(rng, shape, "uint8") for _ in range(3))
        mask = mask_of(rng, *shape[:2], "uint16")
        weight = (0.4 + rng.random(shape[:2])).astype(np.float32) if weighted == "map" else 0.7
        want = solution(src, dst, mask, base, weight, preserve_background=preserve)
        for tile in ({}, {"strip_floats": 16, "segment_rows": 3}):
            out, info = chebyshev(src, dst, mask, base, weight=weight, preserve_background=preserve, **tile)
            assert_certified(out, info, want, 0.25)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
def test_chebyshev_of_any_dtype(simd: str, dtype: str) -> None:
    rng = np.random.default_rng(7)
    shape = (41, 33, 3)
    src, dst = (photo(rng, shape, dtype) for _ in range(2))
    for base_dtype, mask_dtype in ((dtype, "bool"), ("float32", "float64"), (dtype, "float16"), (dtype, "uint16")):
        base = (photo(rng, shape, "float32") * RANGE[dtype]).astype(base_dtype)
        mask = mask_of(rng, 41, 33, mask_dtype)
        tolerance = 0.25 * RANGE[dtype] / 255
        for preserve in (False, True):
            want = solution(src, dst, mask, base, preserve_background=preserve)
            real, info = chebyshev(src, dst, mask, base, preserve_background=preserve)
            assert_certified(real, info, want, tolerance, 1e-9 * RANGE[dtype])
            out, same = chebyshev(src, dst, mask, base, np.empty(shape, dtype), preserve_background=preserve)
            # Floats are not clipped.
            assert same == info | {"clipped": same["clipped"]} and info["clipped"] == 0
            assert_rounded(out, real, dst, mask, preserve)


def test_chebyshev_of_any_strides(simd: str) -> None:
    rng = np.random.default_rng(8)
    for channels in (1, 3, 4, 5):
        shape = (29, 43, channels)
        src, dst, base = (photo(rng, shape, "uint8") for _ in range(3))
        mask = mask_of(rng, 29, 43, "uint8")
        want, _ = chebyshev(src, dst, mask, base)

        def planar(a: Any) -> Any:
            return np.ascontiguousarray(a.transpose(2, 0, 1)).transpose(1, 2, 0)

        def reversed_(a: Any) -> Any:
            return np.ascontiguousarray(a[::-1, ::-1, ::-1])[::-1, ::-1, ::-1]

        def spaced(a: Any) -> Any:
            wide = np.zeros((a.shape[0], a.shape[1] * 2, a.shape[2] + 2), a.dtype)
            wide[:, ::2, 1:-1] = a
            return wide[:, ::2, 1:-1]

        for change in (planar, reversed_, spaced):
            for out in (np.empty(shape, np.float32), change(np.empty(shape, np.float32))):
                changed = [change(a) for a in (src, dst, base)]
                before = [a.copy() for a in changed]
                m = change(mask[..., None])[..., 0]
                result, _ = chebyshev(changed[0], changed[1], m, changed[2], out)
                np.testing.assert_array_equal(result, want)
                for a, b in zip(changed, before):
                    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", ["empty", "full", "soft"])
def test_chebyshev_holds_known_pixels(simd: str, kind: str) -> None:
    rng = np.random.default_rng(9)
    shape = (61, 75, 3)
    src, dst, base = (photo(rng, shape, "uint8") for _ in range(3))
    mask = mask_of(rng, 61, 75, "float64", kind)
    if kind == "soft":
        mask[5, 60] = 1e-300  # above zero, hence unknown, though not as a float32
    weight = (0.3 + 2 * rng.random((61, 75))).astype(np.float32)
    for c in (0.6, weight):
        want = solution(src, dst, mask, base, c, preserve_background=True)
        for tile in ({}, {"strip_floats": 40, "segment_rows": 7}):
            out, info = chebyshev(
                src, dst, mask, base, np.empty(shape, np.float32), weight=c, preserve_background=True, **tile
            )
            assert_certified(out, info, want, 0.25)
            np.testing.assert_array_equal(out[mask == 0], dst[mask == 0])


#: Floats of a strip and rows of a segment; zero is the kernel's own choice.
TILES = ((0, 0), (1, 50), (33, 1), (100, 13), (4000, 97))


@pytest.mark.large
def test_chebyshev_does_not_depend_on_threads_or_tiles(simd: str) -> None:
    rng = np.random.default_rng(10)
    shape = (67, 83, 3)
    src, dst, base = (photo(rng, shape, "uint16") for _ in range(3))
    mask = mask_of(rng, 67, 83, "uint8")
    weight = (0.3 + rng.random((67, 83))).astype(np.float32)
    threads = native.num_threads()
    try:
        for c, preserve in ((0.8, False), (0.8, True), (weight, False), (weight, True)):
            results = []
            for n, tiles in ((1, ((0, 0), (100, 13))), (2, ((0, 0), (33, 1))), (3, TILES)):
                native.set_num_threads(n)
                for strip, rows in tiles:
                    tile = {"strip_floats": strip, "segment_rows": rows}
                    results.append(chebyshev(src, dst, mask, base, weight=c, preserve_background=preserve, **tile))
            for out, info in results[1:]:
                np.testing.assert_array_equal(out, results[0][0])
                assert info["max_error"] == results[0][1]["max_error"]
    finally:
        native.set_num_threads(threads)


@pytest.mark.parametrize("preserve", [False, True])
def test_crops_that_overlap_by_the_steps_and_one_give_the_bits_of_the_whole(preserve: bool) -> None:
    rng = np.random.default_rng(11)
    src, dst, base = (photo(rng, (120, 150, 3), "uint8") for _ in range(3))
    mask = mask_of(rng, 120, 150, "uint8")
    steps = 9
    fixed: dict[str, Any] = {"tolerance": 1e-6, "max_steps": steps, "preserve_background": preserve}
    whole, _ = chebyshev(src, dst, mask, base, **fixed)
    halo = steps + 1
    for y, x in ((0, 0), (30, 40), (70, 100)):
        top, left = max(0, y - halo), max(0, x - halo)
        crop = (slice(top, y + 50 + halo), slice(left, x + 50 + halo))
        part, _ = chebyshev(*(np.ascontiguousarray(a[crop]) for a in (src, dst, mask, base)), **fixed)
        inner = part[y - top : y - top + 50, x - left : x - left + 50]
        np.testing.assert_array_equal(inner, whole[y : y + 50, x : x + 50])


def test_chebyshev_of_a_given_right_hand_side(simd: str) -> None:
    rng = np.random.default_rng(12)
    shape = (45, 58, 3)
    rhs = rng.standard_normal(shape).astype(np.float32)
    zero = np.zeros(shape, np.uint8)
    mask = mask_of(rng, 45, 58, "float32")
    weight = (0.3 + rng.random((45, 58))).astype(np.float32)
    for c in (0.4, weight):
        for preserve in (False, True):
            unknown = (mask > 0)[..., None] if preserve else np.full((45, 58, 1), True)
            # Flat images and the base that gives this b make the same equation.
            c64 = np.broadcast_to(np.asarray(c, np.float64), (45, 58))
            want = solution(zero, zero, mask, rhs / c64[..., None], c, preserve_background=preserve)
            tolerance = 1e-5 * np.abs(rhs).max()
            out, info = chebyshev(
                zero, zero, mask, zero, weight=c, preserve_background=preserve, rhs=rhs, tolerance=tolerance
            )
            assert_certified(out, info, want, tolerance, 1e-12)
            assert not out[np.broadcast_to(~unknown, shape)].any()


@pytest.mark.large
def test_the_bound_holds_wherever_the_iteration_stops(simd: str) -> None:
    rng = np.random.default_rng(13)
    shape = (24, 37, 3)
    for dtype in ("uint8", "float32"):
        src, dst, base = (photo(rng, shape, dtype) for _ in range(3))
        mask = mask_of(rng, 24, 37, "uint8")
        for weight in (0.15, 1.0, 30.0, (0.2 + 20 * rng.random((24, 37))).astype(np.float32)):
            for sigma in (0.0, 0.5, 0.8):
                for preserve in (False, True):
                    want = solution(src, dst, mask, base, weight, sigma=sigma, preserve_background=preserve)
                    options: dict[str, Any] = {"weight": weight, "sigma": sigma, "preserve_background": preserve}
                    for steps in (1, 2, 5, 20, 60, 200):
                        stop = {"max_steps": steps, "tolerance": 1e-9 * RANGE[dtype]}
                        out, info = chebyshev(src, dst, mask, base, **options, **stop)
                        assert not info["converged"]
                        assert np.abs(out - want).max() <= info["max_error"]
                        assert residual(src, dst, mask, base, out, **options) <= info["residual"]


def test_chebyshev_reaches_the_tolerances_of_every_dtype_at_weight_one() -> None:
    rng = np.random.default_rng(14)
    for dtype, levels in (("uint8", 0.25), ("uint16", 0.004), ("float16", 0.025), ("float32", 0.025)):
        src, dst, base = (photo(rng, (64, 80, 3), dtype, smooth=True) for _ in range(3))
        tolerance = levels * RANGE[dtype] / 255
        _, info = chebyshev(src, dst, mask_of(rng, 64, 80, "uint8"), base, tolerance=tolerance)
        assert info["converged"], (dtype, info)


def test_chebyshev_says_when_float32_cannot_reach_the_tolerance() -> None:
    rng = np.random.default_rng(15)
    src, dst, base = (photo(rng, (40, 50, 3), "uint8") for _ in range(3))
    _, info = chebyshev(src, dst, mask_of(rng, 40, 50, "uint8"), base, tolerance=1e-5)
    assert not info["converged"]
    assert 1e-5 < info["max_error"] < 0.01


def test_chebyshev_names_what_does_not_fit() -> None:
    rng = np.random.default_rng(16)
    src = photo(rng, (8, 9, 3), "uint8")
    mask = mask_of(rng, 8, 9, "uint8")
    with pytest.raises(ValueError, match="weight: 0, expected more than 0"):
        chebyshev(src, src, mask, src, weight=0.0)
    with pytest.raises(ValueError, match="weight_map: values from 0 to"):
        chebyshev(src, src, mask, src, weight=np.arange(72, dtype=np.float32).reshape(8, 9))
    with pytest.raises(ValueError, match="float64"):
        chebyshev(src.astype(np.float64), src, mask, src)
    with pytest.raises(ValueError, match=r"out: shape \[8, 9, 2\]"):
        chebyshev(src, src, mask, src, np.empty((8, 9, 2), np.float32))
    with pytest.raises(ValueError, match="tolerance: 0"):
        chebyshev(src, src, mask, src, tolerance=0.0)
