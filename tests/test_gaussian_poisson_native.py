"""The native kernels of gaussian_poisson against the float64 definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pyharmony import _arrays
from pyharmony._native import native
from pyharmony.reference import gaussian_poisson as definition

RANGE = _arrays.VALUE_RANGE


def image(rng: np.random.Generator, shape: tuple[int, ...], dtype: str, smooth: bool = False) -> Any:
    """Noise, or a smooth picture, over the whole range of the dtype."""
    x = rng.random(shape)
    if smooth:
        i, j = np.ogrid[: shape[0], : shape[1]]
        x = (0.5 + 0.4 * np.sin(i / 9 + 1)[..., None] * np.cos(j / 13)[..., None]) + 0.1 * (x - 0.5)
    x = x * RANGE[dtype]
    return (np.rint(x) if dtype.startswith("u") else x).astype(dtype)


def mask_of(rng: np.random.Generator, h: int, w: int, dtype: str, kind: str = "soft") -> Any:
    """A soft blob that touches the border, with values in [0, 1], exact zeros and exact ones."""
    if kind in ("empty", "full"):
        m = np.full((h, w), float(kind == "full"))
    else:
        i, j = np.ogrid[:h, :w]
        m = np.clip(1.5 - np.hypot((i - h * 0.3) / (h * 0.4 + 1), (j - w * 0.4) / (w * 0.5 + 1)) * 1.5, 0, 1)
        m = np.where(rng.random((h, w)) < 0.05, 0, m)
    if dtype == "bool":
        return m > 0.5
    return (np.rint(m * RANGE[dtype]) if dtype.startswith("u") else m).astype(dtype)


def mask_value(mask: Any) -> Any:
    return mask.astype(np.float64) / RANGE.get(mask.dtype.name, 1.0)


def view(x: Any, writable: bool = False) -> Any:
    return None if x is None else _arrays.view(x, "x", writable=writable)


def residual(src: Any, dst: Any, mask: Any, base: Any, x: Any, *, weight: Any = 1.0, **options: Any) -> float:
    is_map = isinstance(weight, np.ndarray)
    arguments: dict[str, Any] = {"preserve_background": False, "gradients": "source", "out": None, **options}
    w0, w1 = definition.gaussian_taps(arguments.pop("sigma", 0.5), normalize=not arguments.pop("reference", False))
    out = arguments.pop("out")
    return native.gaussian_poisson_residual(
        *(view(a) for a in (src, dst, mask, base, x)),
        weight=0.0 if is_map else weight,
        weight_map=view(weight) if is_map else None,
        w0=w0,
        w1=w1,
        out=view(out, writable=True),
        **arguments,
    )


@pytest.fixture(params=["baseline", "avx2", "avx512"])
def simd(request: pytest.FixtureRequest) -> Any:
    before = native.simd_level()
    try:
        native.set_simd_level(request.param)
    except ValueError:
        pytest.skip("this processor lacks the instruction set")
    yield request.param
    native.set_simd_level(before)


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


@pytest.mark.parametrize("gradients", ["source", "mixed", "average", "monochrome"])
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
        src, dst, base, x = (image(rng, shape, dtypes[i]) for i in (0, 1, 3, 4))
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


def test_residual_of_any_strides_and_any_number_of_threads() -> None:
    rng = np.random.default_rng(2)
    shape = (83, 59, 3)
    src, dst, base = (image(rng, shape, "uint8") for _ in range(3))
    x, mask = image(rng, shape, "float32"), mask_of(rng, 83, 59, "uint8")
    want = residual(src, dst, mask, base, x)

    def other(a: Any) -> Any:
        if a.ndim == 2:
            return np.repeat(a, 2, axis=1)[:, ::2]
        return np.ascontiguousarray(a[::-1, ::-1].transpose(2, 1, 0)).transpose(2, 1, 0)[::-1, ::-1]

    threads = native.num_threads()
    try:
        for n in (1, 2, 3):
            native.set_num_threads(n)
            assert residual(*(other(a) for a in (src, dst, mask, base, x))) == want
    finally:
        native.set_num_threads(threads)


def test_residual_of_the_solution_is_rounding() -> None:
    rng = np.random.default_rng(3)
    src, dst, base = (image(rng, (45, 52, 3), "uint8") for _ in range(3))
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
    src = image(rng, (8, 9, 3), "uint8")
    mask = mask_of(rng, 8, 9, "uint8")
    with pytest.raises(ValueError, match=r"base: shape \[8, 9, 1\], expected \[8, 9, 3\]"):
        residual(src, src, mask, src[..., :1], src)
    with pytest.raises(ValueError, match="gradients: 'soft'"):
        residual(src, src, mask, src, src, gradients="soft")
