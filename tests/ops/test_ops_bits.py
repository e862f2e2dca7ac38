"""Every op on images gives the same bits for any number of threads and any order of its arrays in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyharmony
from pyharmony import ops
from pyharmony.ops import alpha, distance, guided_filter, laplacian, matting, pyramid, regrain, similarity, warp

from ..shared import image, soft_mask

#: More rows than a task of any kernel has, and columns that are no multiple of a vector.
SHAPE = 333, 555
RNG = np.random.default_rng(4)
SRC, DST, BASE = (image(RNG, (*SHAPE, 3), "uint8") for _ in range(3))
FLOATS, OTHER_FLOATS = (image(RNG, (*SHAPE, 3), "float32") for _ in range(2))
PAIRS = (SRC, DST), (FLOATS, OTHER_FLOATS)
MASK = soft_mask(RNG, *SHAPE, "uint8")
BAND = RNG.random(SHAPE) < 0.3
WEIGHTS = (0.2 + RNG.random(SHAPE)).astype(np.float32)
STAGES = [ops.Curves(np.linspace(0, 1, 33) ** 2), ops.Affine(np.eye(3, 4) + 0.1), ops.Log(), ops.Exp()]
STAGES += [ops.Lut(RNG.random((9, 9, 9, 3))), ops.Light(np.linspace(-0.3, 0.2, 6))]
GRID = {"affine": np.eye(3, 4) * 0.9, "grid": RNG.normal(0, 0.1, (5, 7, 8, 3, 4)).astype(np.float32)}


def regions(stats: ops.ColorStats) -> list[Any]:
    return [value for region in (stats.foreground, stats.background) for value in vars(region).values()]


def into_copy(call: Callable[..., Any], src: Any, dst: Any, mask: Any) -> Any:
    """Returns what an op writes into a copy of dst."""
    out = dst.copy()
    call(src, dst, mask, out)
    return out


def solves(name: str, *images: Any, **options: Any) -> list[Any]:
    result, info = getattr(ops, name)(*images, return_info=True, **options)
    return [result, info.max_error, info.residual]


def laplacian_into(src: Any, dst: Any, mask: Any, out: Any) -> None:
    laplacian.laplacian(src, dst, mask, out, levels=4)


#: The calls by the module of `pyharmony.ops`, and the arrays that they take.
CALLS: dict[str, list[tuple[Callable[..., Any], Sequence[Any]]]] = {
    "alpha": [(lambda *images: into_copy(alpha.alpha, *images), (*pair, MASK)) for pair in PAIRS],
    "color_grid": [(lambda *images: ops.color_grid(*images, **GRID), (each, MASK)) for each in (SRC, FLOATS)],
    "color_map": [(lambda image, mask: ops.color_map(image, STAGES, mask), (SRC, MASK))],
    "color_stats": [(lambda *images: regions(ops.color_stats(*images, bins=256)), (SRC, MASK))],
    "distance": [(distance.distance, (mask,)) for mask in (BAND, RNG.random(SHAPE) > 0.002)],
    "gaussian_poisson": [
        (
            lambda *images, w=weight, p=pinned: solves(
                "gaussian_poisson", *images, color_weight=w, preserve_background=p
            ),
            (SRC, DST, MASK, BASE),
        )
        for weight in (1.0, 0.01)
        for pinned in (False, True)
    ],
    "guided_filter": [(lambda *images: guided_filter.fit(*images, 4, 2e-4), (FLOATS, WEIGHTS))],
    "laplacian": [(lambda *images: into_copy(laplacian_into, *images), (*pair, MASK)) for pair in PAIRS],
    "matting": [(lambda *images: matting.rows(*images, 2e-5), (FLOATS, BAND))],
    "poisson": [(lambda *images: solves("poisson", *images), (SRC, DST, MASK))],
    "pyramid": [
        (lambda image: [pyramid.downsample(image), pyramid.upsample(image, (665, 1109))], (image,))
        for image in (SRC, SRC[..., :1], FLOATS)
    ]
    + [(pyramid.downsample_mask, (MASK,))],
    "regrain": [(regrain.regrain, (SRC, FLOATS, BAND))],
    "similarity": [(call, pair) for call in (similarity.similarity, similarity.squared_errors) for pair in PAIRS],
    "warp": [
        (lambda image: warp.warp(image, np.array([[0.9, 0.1, 3], [-0.1, 1, 5], [0, 1e-4, 1]]), (170, 190)), (SRC,))
    ],
}
#: Modules of ops with tests of their own for it, and those without kernels.
OTHER_MODULES = {"adam", "conv4x4", "convolution", "instance_norm", "partial_conv", "spectral_norm", "tiles"}
OTHER_MODULES |= {"hierarchies", "images_cuda", "layers"}


def mirrored(x: Any) -> Any:
    every = (slice(None, None, -1),) * x.ndim
    return np.ascontiguousarray(x[every])[every]


def spaced(x: Any) -> Any:
    wide = np.zeros((2 * x.shape[0], 3 * x.shape[1], *x.shape[2:]), x.dtype)
    wide[::2, ::3] = x
    return wide[::2, ::3]


def same(result: Any, expected: Any) -> None:
    if isinstance(result, (list, tuple)):
        for one, other in zip(result, expected, strict=True):
            np.testing.assert_array_equal(one, other)
    else:
        np.testing.assert_array_equal(result, expected)


def test_no_op_is_missing() -> None:
    modules = {path.stem for path in Path(ops.__file__).parent.glob("[a-z]*.py")}
    assert modules == CALLS.keys() | OTHER_MODULES


@pytest.mark.parametrize("name", CALLS)
def test_bits_do_not_depend_on_threads_or_strides(name: str) -> None:
    before = pyharmony.get_num_threads()
    for call, arrays in CALLS[name]:
        expected = call(*arrays)
        try:
            for threads in (1, 2, 5):
                pyharmony.set_num_threads(threads)
                same(call(*arrays), expected)
        finally:
            pyharmony.set_num_threads(before)
        for change in (np.asfortranarray, mirrored, spaced):
            same(call(*map(change, arrays)), expected)
