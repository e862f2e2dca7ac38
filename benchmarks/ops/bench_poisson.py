"""Op poisson: the Dirichlet problem on a mask compared with seamlessClone, fpie and sparse solvers."""

from __future__ import annotations

import functools
from typing import Any

import exact
import numpy as np
import peers
import problems
import pytest
from measure import Ledger, Timing, interleave, once, ratio

import pyharmony
from pyharmony.ops import PoissonSolver, poisson

OURS = pyharmony.__version__
TOLERANCE = 0.25
FPIE_ITERATIONS = 1000


def group(region: str) -> str:
    return "masked, blob of 40 %" if region == "blob" else "masked, all but the outermost pixels"


@functools.lru_cache(maxsize=1)
def factored() -> tuple[Any, Any, Timing]:
    """Returns the system of the blob at 1080p, its factors, and splu's only run, whose result is exact to rounding."""
    p = problems.blend("1080p")
    matrix, b = peers.sparse_system(p.src, p.dst, p.mask)
    timing = once(lambda: peers.splu(matrix, b))
    return (matrix, b), timing.result[1], timing


def answers(size: str, region: str, contour: str = "mean") -> tuple[Any, float]:
    """Returns a result [H, W, C] that is exact enough and a bound of its error, in 8-bit levels."""
    p = problems.blend(size, region)
    bound = np.inf
    if region == "rectangle":
        x = exact.poisson_rectangle(p.src, p.dst, contour=contour)
    elif size == "1080p":
        b = exact.poisson_right_hand_side(p.src, p.dst, p.mask, contour=contour)
        x = p.dst.astype(np.float64)
        x[p.mask] = factored()[1].solve(b)
    else:
        # No other tool solves 3.3 million unknowns in reasonable time, so our own float64 result is used.
        x, info = poisson(p.src.astype(np.float64) / 255, p.dst.astype(np.float64) / 255, p.mask, return_info=True)
        x, bound = x * 255, info.max_error
    return x, min(bound, exact.certified_poisson(x, p.src, p.dst, p.mask, contour=contour))


def columns(p: problems.Blend, x: Any, answer: Any, bound: float, *, clip: bool = False) -> dict[str, float]:
    """Returns errors of a result in 8-bit levels.

    There are two proven bounds: the residual times a barrier function, and the distance to a result
    whose own error is bounded by its residual. The smaller one is reported.
    """
    exact_values = np.clip(answer, 0, 255) if clip else answer
    difference = np.abs(np.asarray(x, np.float64) - exact_values)[p.mask]
    error = float(difference.max())
    by_residual = np.inf if clip else exact.certified_poisson(x, p.src, p.dst, p.mask)
    return {
        "error": error,
        "median_error": float(np.median(difference)),
        "certified": min(error + bound, by_residual),
    }


@pytest.mark.parametrize("film", ["still", "noise", "light"])
def bench_film(benchmark: Any, ledger: Ledger, film: str) -> None:
    """Times a frame of a video: from the previous frame, and from nothing, by the same solver."""
    p = problems.blend("1080p")
    rng = np.random.default_rng(0)
    frames = []
    for i in range(6):
        pair = [p.src, p.dst]
        if film == "noise":  # of a camera, one level
            pair = [np.clip(np.rint(a + rng.normal(0, 1, a.shape).astype(np.float32)), 0, 255) for a in pair]
        if film == "light":
            pair[1] = np.clip(np.rint(p.dst * (1 - 0.01 * i)), 0, 255)
        frames.append(tuple(a.astype(np.uint8) for a in pair))
    solver = PoissonSolver(p.mask)
    sequence = solver.sequence()
    sequence.solve(*frames[-1])
    count = {"ours": 0, "cold": 0}

    def frame(name: str) -> Any:
        count[name] += 1
        return frames[count[name] % len(frames)]

    others = {"cold": lambda: solver.solve(*frame("cold"), tolerance=TOLERANCE)}
    timings = interleave(
        benchmark, lambda: sequence.solve(*frame("ours"), tolerance=TOLERANCE), others, rounds=len(frames)
    )
    infos = [sequence.solve(*f, tolerance=TOLERANCE, return_info=True)[1] for f in frames]
    cold = [solver.solve(*f, tolerance=TOLERANCE, return_info=True)[1] for f in frames]
    problem = "1080p x 3, " + {"still": "still", "noise": "noise of one level", "light": "light -1 % a frame"}[film]
    for name, infos_of_way, against in (("ours", infos, None), ("cold", cold, timings["ours"])):
        what = "PoissonSequence, from the frame before" if name == "ours" else "PoissonSolver, from nothing"
        ledger.add(
            "a frame of a film", problem, f"pyharmony.ops.{what}, {max(i.iterations for i in infos_of_way)} iterations",
            timings[name], against=against, version=OURS, certified=max(i.max_error for i in infos_of_way),
            note="the mask's set-up done before; proven error of six frames",
        )  # fmt: skip


@pytest.mark.parametrize("region", ["blob", "rectangle"])
@pytest.mark.parametrize("size", ["1080p", "4K"])
def bench_beside_seamless_clone(benchmark: Any, ledger: Ledger, size: str, region: str) -> None:
    p = problems.blend(size, region)
    problem = f"{size} x 3"
    src, dst = p.floats("src", "dst")
    solver = PoissonSolver(p.mask)

    def ours() -> Any:
        return poisson(p.src, p.dst, p.mask, tolerance=TOLERANCE)

    others = {"reused": lambda: solver.solve(p.src, p.dst, tolerance=TOLERANCE)}
    if ledger.available(peers.SEAMLESS_CLONE):
        others["seamlessClone"] = lambda: peers.seamless_clone(p.src, p.dst, p.mask)
    timings = interleave(benchmark, ours, others, rounds=5 if size == "1080p" else 2)

    answer, bound = answers(size, region)
    x, info = poisson(src, dst, p.mask, tolerance=TOLERANCE, return_info=True)
    mine = columns(p, x * np.float64(255), answer, bound)
    mine["certified"] = info.max_error
    ledger.add(
        group(region), problem, f"pyharmony.ops.poisson, {info.iterations} iterations", timings["ours"], version=OURS,
        note="uint8 in and out, set-up included; error before rounding", **mine,
    )  # fmt: skip
    ledger.add(
        group(region), problem, "pyharmony.ops.PoissonSolver, reused", timings["reused"], version=OURS,
        note="the mask's set-up done before", **mine,
    )  # fmt: skip
    if "seamlessClone" in timings:
        y = timings["seamlessClone"].result
        outside = exact.distance(y, p.dst, ~p.mask)
        ledger.add(
            group(region), problem, "cv2.seamlessClone", timings["seamlessClone"], against=timings["ours"],
            version=str(peers.SEAMLESS_CLONE.version),
            note=f"{peers.SEAMLESS_CLONE.settings}; changes pixels outside the mask by up to {outside:.0f}",
            **columns(p, y, answer, bound, clip=True),
        )  # fmt: skip
    if size == "1080p":
        clone = timings.get("seamlessClone")
        ledger.target(
            f"masked solve to 0.25/255 v. cv2.seamlessClone, 1080p, {region}",
            None if clone is None else ratio(clone, timings["ours"], "cpu"), 3, 6, "x",
            note="not installed" if clone is None else f"wall {ratio(clone, timings['ours'], 'wall'):.2f}x",
        )  # fmt: skip
    y0, y1 = np.flatnonzero(p.mask.any(1))[[0, -1]]
    x0, x1 = np.flatnonzero(p.mask.any(0))[[0, -1]]
    box = float((y1 - y0 + 1) * (x1 - x0 + 1))
    ledger.target(
        f"masked solve's scratch memory over the bounding box, {size}, {region}", info.peak_bytes / box, 3 * 32 + 9,
        None, "B a pixel (3 channels)", higher_is_better=False,
    )  # fmt: skip


def bench_beside_slow_solvers(benchmark: Any, ledger: Ledger) -> None:
    """Times fpie, pyamg and splu on the blob at 1080p: one separate run each."""
    p = problems.blend("1080p")
    where = group("blob")
    timings = interleave(benchmark, lambda: poisson(p.src, p.dst, p.mask, tolerance=TOLERANCE), {}, rounds=5)
    ours = timings["ours"]
    (matrix, b), _, splu_timing = factored()
    answer, bound = answers("1080p", "blob")

    ledger.add(
        where, "1080p x 3", "scipy splu", splu_timing, against=ours, version=peers.SCIPY,
        note=f"{peers.SPLU.settings}; one run, apart", **columns(p, answer, answer, bound),
    )  # fmt: skip
    ledger.target("masked solve v. scipy splu, 1080p", ratio(splu_timing, ours, "cpu"), 30, None, "x")
    if ledger.available(peers.PYAMG):
        timing = once(lambda: peers.pyamg(matrix, b))
        x = p.dst.astype(np.float64)
        x[p.mask] = timing.result
        ledger.add(
            where, "1080p x 3", "pyamg", timing, against=ours, version=str(peers.PYAMG.version),
            note=f"{peers.PYAMG.settings}; one run, apart", **columns(p, x, answer, bound),
        )  # fmt: skip
        ledger.target(
            "masked solve v. pyamg, 1080p", ratio(timing, ours, "cpu"), 20, None, "x",
            note=f"wall {ratio(timing, ours, 'wall'):.1f}x",
        )  # fmt: skip
    if ledger.available(peers.FPIE):
        backend = peers.fpie_backend()
        peers.fpie(p.src, p.dst, p.mask, 1)
        # fpie uses the source's gradients on edges that cross the contour, so its exact solution differs.
        own, own_bound = answers("1080p", "blob", contour="source")
        for iterations in (100, FPIE_ITERATIONS):
            timing = once(functools.partial(peers.fpie, p.src, p.dst, p.mask, iterations))
            ledger.add(
                where, "1080p x 3", f"fpie {backend}, {iterations} iterations", timing, against=ours,
                version=str(peers.FPIE.version), note=f"{peers.FPIE.settings}; one run, apart",
                **columns(p, timing.result, own, own_bound, clip=True),
            )  # fmt: skip


def bench_one_pixel_more(benchmark: Any, ledger: Ledger) -> None:
    problems_ = [problems.blend((1080 + i, 1920 + i)) for i in (0, 1)]

    def solve(i: int) -> Any:
        p = problems_[i]
        return poisson(p.src, p.dst, p.mask, tolerance=TOLERANCE)

    timings = interleave(benchmark, lambda: solve(0), {"more": lambda: solve(1)}, rounds=5)
    unknowns = [np.count_nonzero(p.mask) for p in problems_]
    ledger.target(
        "poisson: time an unknown, 1921 x 1081 over 1920 x 1080",
        ratio(timings["more"], timings["ours"], "cpu") * unknowns[0] / unknowns[1], 1.15, None, "x",
        higher_is_better=False, note=f"wall {ratio(timings['more'], timings['ours'], 'wall'):.2f}x",
    )  # fmt: skip
