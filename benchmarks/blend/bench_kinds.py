"""pyharmony.blend: kinds of arrays, by the bytes of an image relative to uint8 RGB of the same call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import problems
import pytest
from measure import Ledger, interleave, ratio
from scipy import ndimage

import pyharmony
from pyharmony import blend

CALLS = {f.__name__: f for f in (blend.alpha, blend.laplacian, blend.poisson, blend.gaussian_poisson)}


def rgba(x: Any) -> Any:
    white = np.iinfo(x.dtype).max if x.dtype.kind == "u" else 1
    return np.dstack((x, np.full(x.shape[:2], white, x.dtype)))


def floats(dtype: type) -> Callable[[Any], Any]:
    return lambda x: (x / np.float32(255)).astype(dtype)


#: What makes an array of each kind of uint8 RGB.
KINDS: dict[str, Callable[[Any], Any]] = {
    "uint8 grey": lambda x: np.ascontiguousarray(x[..., 0]),
    "uint8 RGBA": rgba,
    "uint8, a view of BGR": lambda x: np.ascontiguousarray(x[..., ::-1])[..., ::-1],
    "uint8, a mirrored view": lambda x: np.ascontiguousarray(x[:, ::-1])[:, ::-1],
    "uint8, Fortran order": np.asfortranarray,
    "uint8, planes": lambda x: np.ascontiguousarray(x.transpose(2, 0, 1)).transpose(1, 2, 0),
    "uint16": lambda x: x * np.uint16(257),
    "float16": floats(np.float16),
    "float32": floats(np.float32),
    "float32 RGBA": lambda x: rgba(floats(np.float32)(x)),
    "float32, a view of BGR": lambda x: floats(np.float32)(x[..., ::-1])[..., ::-1],
    "float64": floats(np.float64),
}


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", CALLS)
def bench_kinds(benchmark: Any, ledger: Ledger, name: str) -> None:
    p, call = problems.blend("1080p"), CALLS[name]
    mask = p.mask * np.uint8(255)
    if name in ("alpha", "laplacian"):
        mask = ndimage.gaussian_filter(mask, 25)
    images = {kind: (make(p.src), make(p.dst)) for kind, make in KINDS.items()}
    others = {kind: lambda pair=pair: call(*pair, mask) for kind, pair in images.items()}
    timings = interleave(benchmark, lambda: call(p.src, p.dst, mask), others, rounds=9 if name == "alpha" else 3)
    group, problem = "kinds of arrays, 1080p, one thread", f"blend.{name}"
    ledger.add(group, problem, "uint8 RGB", timings["ours"], version=pyharmony.__version__)
    shares = {}
    for kind, (_, dst) in images.items():
        ledger.add(group, problem, kind, timings[kind], against=timings["ours"], version=pyharmony.__version__)
        shares[kind] = ratio(timings[kind], timings["ours"], "cpu") * p.dst.nbytes / dst.nbytes
    slowest = max(shares, key=shares.__getitem__)
    ledger.target(
        f"blend.{name}, the slowest of {len(KINDS)} kinds, by bytes, v. uint8 RGB", shares[slowest], 3.0, 1.5, "x",
        higher_is_better=False, note=slowest,
    )  # fmt: skip
