"""Op gaussian_poisson: the whole-image solve compared with a DCT and GP-GAN's equations."""

from __future__ import annotations

from typing import Any

import exact
import numpy as np
import peers
import problems
import pytest
from measure import Ledger, interleave, once, ratio

import pyharmony
from pyharmony.ops import gaussian_poisson

GROUP = "whole image, colour weight 1"
OURS = pyharmony.__version__
PHOTOGRAPH = 0.25


@pytest.mark.parametrize("size", ["1080p", "4K"])
def bench_chebyshev_beside_dct(benchmark: Any, ledger: Ledger, size: str) -> None:
    p = problems.blend(size)
    problem = f"{size} x 3"
    b = exact.right_hand_side(p.src, p.dst, p.mask, p.base, 1.0)
    planar = np.ascontiguousarray(b.transpose(2, 0, 1), np.float32)
    inverse = (1 / exact.eigenvalues(*p.shape, 1.0, *exact.gaussian_taps(0.5))).astype(np.float32)
    src, dst, base = p.floats("src", "dst", "base")

    def solve_bytes() -> Any:
        return gaussian_poisson(p.src, p.dst, p.mask, p.base, method="chebyshev")

    def solve_floats() -> Any:
        return gaussian_poisson(src, dst, p.mask, base, method="chebyshev", tolerance=PHOTOGRAPH)

    others = {"floats": solve_floats, "dct": lambda: peers.dct_solve(planar, inverse)}
    timings = interleave(benchmark, solve_bytes, others, rounds=9 if size == "1080p" else 5)

    answer = exact.gaussian_poisson_dct(p.src, p.dst, p.mask, p.base)
    x, info = gaussian_poisson(src, dst, p.mask, base, method="chebyshev", tolerance=PHOTOGRAPH, return_info=True)
    error = exact.distance(x * np.float64(255), answer)
    _, info_bytes = gaussian_poisson(p.src, p.dst, p.mask, p.base, method="chebyshev", return_info=True)
    ours = f"pyharmony, Chebyshev, {info_bytes.iterations} steps"
    ledger.add(
        GROUP, problem, f"{ours}, uint8 in and out", timings["ours"], version=OURS,
        error=error, certified=info_bytes.max_error, note="right-hand side included; error before rounding",
    )  # fmt: skip
    ledger.add(
        GROUP, problem, f"{ours}, float32 in and out", timings["floats"], version=OURS,
        error=error, certified=info.max_error, note="right-hand side included",
    )  # fmt: skip
    z = timings["dct"].result.transpose(1, 2, 0)
    ledger.add(
        GROUP, problem, "scipy.fft DCT", timings["dct"], against=timings["ours"], version=peers.SCIPY,
        error=exact.distance(z, answer), certified=exact.certified_gaussian_poisson(z, b, 1.0),
        note=peers.SCIPY_DCT.settings,
    )  # fmt: skip
    for kind, timing in (("uint8", timings["ours"]), ("float32", timings["floats"])):
        ledger.target(
            f"Chebyshev, photograph setting, {kind}, v. scipy.fft DCT solve only, {size}",
            ratio(timings["dct"], timing, "cpu"), 1.8, 3.0, "x",
            note=f"wall {ratio(timings['dct'], timing, 'wall'):.2f}x, error {error:.3f}/255",
        )  # fmt: skip
    ledger.target(
        f"Chebyshev's scratch memory, {size} uint8", info_bytes.peak_bytes / 2**20 / pyharmony.get_num_threads(),
        1.0, None, "MB a thread", higher_is_better=False,
    )  # fmt: skip


@pytest.mark.parametrize("weight", [0.01, 0.1])
def bench_small_weights_beside_dct(benchmark: Any, ledger: Ledger, weight: float) -> None:
    p = problems.blend("1080p")
    src, dst, base = p.floats("src", "dst", "base")
    b = exact.right_hand_side(p.src, p.dst, p.mask, p.base, weight)
    planar = np.ascontiguousarray(b.transpose(2, 0, 1), np.float32)
    inverse = (1 / exact.eigenvalues(*p.shape, weight, *exact.gaussian_taps(0.5))).astype(np.float32)

    def ours() -> Any:
        return gaussian_poisson(src, dst, p.mask, base, color_weight=weight)

    timings = interleave(benchmark, ours, {"dct": lambda: peers.dct_solve(planar, inverse)}, rounds=5)
    ledger.add(GROUP, f"1080p x 3, weight {weight}", "pyharmony, float32", timings["ours"], version=OURS)
    ledger.target(
        f"gaussian_poisson, float32, weight {weight}, v. scipy.fft DCT solve only, 1080p",
        ratio(timings["dct"], timings["ours"], "cpu"), 1.8, None, "x",
    )  # fmt: skip


@pytest.mark.parametrize("size", ["1080p", "4K"])
def bench_beside_gp_gan(benchmark: Any, ledger: Ledger, size: str) -> None:
    """Times the whole blend, from images to the result."""
    p = problems.blend(size)
    problem = f"{size} x 3"
    src, dst, base = (v.astype(np.float64) / 255 for v in (p.src, p.dst, p.base))
    mask = p.mask.astype(np.float64)

    def ours() -> Any:
        return gaussian_poisson(p.src, p.dst, p.mask, p.base)

    def theirs() -> Any:
        return peers.gp_gan_level(src, dst, mask, base)

    if size == "1080p":
        timings = interleave(benchmark, ours, {"gp_gan": theirs}, rounds=3)
        note = ""
    else:
        timings = interleave(benchmark, ours, {}, rounds=5)
        timings["gp_gan"], note = once(theirs), "one run, apart"
    answer = exact.gaussian_poisson_dct(p.src, p.dst, p.mask, p.base, as_published=True)
    b = exact.right_hand_side(p.src, p.dst, p.mask, p.base, 1.0)
    x = timings["gp_gan"].result * 255
    ledger.add(
        GROUP, problem, peers.GP_GAN.name, timings["gp_gan"], against=timings["ours"],
        version=str(peers.GP_GAN.version), error=exact.distance(x, answer),
        certified=exact.certified_gaussian_poisson(x, b, 1.0, as_published=True),
        note=", ".join(filter(None, (peers.GP_GAN.settings, note))),
    )  # fmt: skip
    ledger.target(
        f"gaussian_poisson v. GP-GAN's equations end to end, {size}", ratio(timings["gp_gan"], timings["ours"], "cpu"),
        20, 60, "x", note=f"wall {ratio(timings['gp_gan'], timings['ours'], 'wall'):.1f}x",
    )  # fmt: skip


@pytest.mark.parametrize("weight", [1.0, 0.1, 0.01, 0.0])
def bench_color_weights(benchmark: Any, ledger: Ledger, weight: float) -> None:
    """Times the method that `auto` selects for other weights."""
    p = problems.blend("1080p")
    src, dst, base = p.floats("src", "dst", "base")

    def ours() -> Any:
        return gaussian_poisson(src, dst, p.mask, base, color_weight=weight, tolerance=PHOTOGRAPH)

    timings = interleave(benchmark, ours, {}, rounds=5)
    x, info = gaussian_poisson(src, dst, p.mask, base, color_weight=weight, tolerance=PHOTOGRAPH, return_info=True)
    ledger.add(
        "whole image, other colour weights", f"1080p x 3, weight {weight:g}", f"pyharmony, auto: {info.method}",
        timings["ours"], version=OURS, certified=info.max_error,
        error=exact_error(p, x, weight),
    )  # fmt: skip


def exact_error(p: problems.Blend, x: Any, weight: float) -> float:
    if weight > 0:
        answer = exact.gaussian_poisson_dct(p.src, p.dst, p.mask, p.base, color_weight=weight)
    else:  # the mean is the base's
        answer = exact.gaussian_poisson_dct(p.src, p.dst, p.mask, p.base, color_weight=1e-14)
        answer += p.base.mean((0, 1)) - answer.mean((0, 1))
    return exact.distance(x * np.float64(255), answer)


@pytest.mark.parametrize(
    ("method", "dtype"),
    [("chebyshev", "uint8"), ("chebyshev", "float32"), ("dct", "float32"), ("multigrid", "float32")],
)
def bench_one_pixel_more(benchmark: Any, ledger: Ledger, method: str, dtype: str) -> None:
    """Checks that one more pixel per side costs no more than its share of pixels."""
    weight = 1.0 if method == "chebyshev" else 0.01
    problems_ = [problems.blend((1080 + i, 1920 + i)) for i in (0, 1)]
    if dtype == "uint8":
        images = [(p.src, p.dst, p.mask, p.base) for p in problems_]
    else:
        images = [(*p.floats("src", "dst"), p.mask, *p.floats("base")) for p in problems_]

    def solve(i: int) -> Any:
        return gaussian_poisson(*images[i], method=method, color_weight=weight, tolerance=PHOTOGRAPH)

    timings = interleave(benchmark, lambda: solve(0), {"more": lambda: solve(1)}, rounds=15)
    per_pixel = ratio(timings["more"], timings["ours"], "cpu") * problems_[0].pixels / problems_[1].pixels
    ledger.target(
        f"{method}, {dtype}: time a pixel, 1921 x 1081 over 1920 x 1080",
        per_pixel,
        2.0 if method == "dct" else 1.15,
        None,
        "x",
        higher_is_better=False,
        note=f"wall {ratio(timings['more'], timings['ours'], 'wall'):.2f}x",
    )


def bench_multigrid_memory(benchmark: Any, ledger: Ledger) -> None:
    p = problems.blend("1080p")
    src, dst, base = p.floats("src", "dst", "base")
    _, info = benchmark.pedantic(
        gaussian_poisson, (src, dst, p.mask, base), {"method": "multigrid", "color_weight": 0.01, "return_info": True}
    )
    ledger.target(
        "multigrid's scratch memory, 1080p", info.peak_bytes / p.pixels, 3 * 32 + 9, None, "B a pixel",
        higher_is_better=False,
    )  # fmt: skip
