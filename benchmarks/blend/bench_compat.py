"""pyharmony.compat: the same line of code with cv2.seamlessClone and with ours."""

from __future__ import annotations

from typing import Any

import numpy as np
import peers
import problems
import pytest
from measure import Ledger, interleave, ratio

import pyharmony
from pyharmony import blend, compat

OURS = pyharmony.__version__
GROUP = "compat.seamlessClone, uint8"


def arguments(size: str | tuple[int, int], region: str) -> tuple[Any, Any, Any, tuple[int, int]]:
    """Returns src, dst, mask, and the p that keeps src in place."""
    p = problems.blend(size, region)
    ys, xs = np.flatnonzero(p.mask.any(axis=1)), np.flatnonzero(p.mask.any(axis=0))
    centre = int(xs[0] + (np.ptp(xs) + 1) // 2), int(ys[0] + (np.ptp(ys) + 1) // 2)
    return p.src, p.dst, p.mask.astype(np.uint8) * 255, centre


CASES = [
    ("1080p", "blob", "NORMAL_CLONE"),
    ("1080p", "blob", "MIXED_CLONE"),
    ("1080p", "blob", "MONOCHROME_TRANSFER"),
    ("1080p", "rectangle", "NORMAL_CLONE"),
    ("4K", "blob", "NORMAL_CLONE"),
    ("4K", "rectangle", "NORMAL_CLONE"),
]


@pytest.mark.parametrize(("size", "region", "flag"), CASES)
def bench_beside_seamless_clone(benchmark: Any, ledger: Ledger, size: str, region: str, flag: str) -> None:
    src, dst, mask, p = arguments(size, region)
    flags = getattr(compat, flag)
    gradients = {"NORMAL_CLONE": "source", "MIXED_CLONE": "mixed", "MONOCHROME_TRANSFER": "monochrome"}[flag]
    others: dict[str, Any] = {}
    if ledger.available(peers.SEAMLESS_CLONE):
        import cv2

        cv2.setNumThreads(2)
        # Each call gets a copy of the mask, since OpenCV changes it.
        others["cv2"] = lambda: cv2.seamlessClone(src, dst, mask.copy(), p, flags)
    others["poisson"] = lambda: blend.poisson(src, dst, mask, gradients=gradients)  # the same work without the call
    timings = interleave(
        benchmark, lambda: compat.seamlessClone(src, dst, mask, p, flags), others, rounds=7 if size == "1080p" else 3
    )
    problem = f"{size} x 3, {region}, {flag}"
    ledger.add(GROUP, problem, "compat.seamlessClone", timings["ours"], version=OURS)
    ledger.add(GROUP, problem, "blend.poisson", timings["poisson"], against=timings["ours"], version=OURS)
    if "cv2" in timings:
        ledger.add(
            GROUP, problem, "cv2.seamlessClone", timings["cv2"], against=timings["ours"],
            version=str(peers.SEAMLESS_CLONE.version), note=f"{flag}, 2 threads",
        )  # fmt: skip
    clone = timings.get("cv2")
    ledger.target(
        f"compat.seamlessClone v. cv2's, {size}, {region}, {flag}",
        None if clone is None else ratio(clone, timings["ours"], "cpu"), 2.5, 5, "x",
        note="not installed" if clone is None else f"wall {ratio(clone, timings['ours'], 'wall'):.2f}x",
    )  # fmt: skip


def bench_one_pixel_more(benchmark: Any, ledger: Ledger) -> None:
    """Compares 939 x 939 with 940 x 940; older OpenCVs were slow on some sizes (opencv/opencv#19646)."""
    calls: dict[str, Any] = {}
    for side in (939, 940):
        src, dst, mask, p = arguments((side, side), "rectangle")
        calls[f"ours {side}"] = lambda a=(src, dst, mask, p): compat.seamlessClone(*a, compat.NORMAL_CLONE)
        if ledger.available(peers.SEAMLESS_CLONE):
            import cv2

            cv2.setNumThreads(2)
            calls[f"cv2 {side}"] = lambda a=(src, dst, mask, p): cv2.seamlessClone(a[0], a[1], a[2].copy(), a[3], 1)
    timings = interleave(benchmark, calls.pop("ours 939"), calls, rounds=7)
    timings["ours 939"] = timings.pop("ours")
    for side in (939, 940):
        problem = f"{side} x {side} x 3, all but the outermost pixels"
        ours = timings[f"ours {side}"]
        ledger.add(GROUP, problem, "compat.seamlessClone", ours, version=OURS)
        if f"cv2 {side}" in timings:
            ledger.add(
                GROUP, problem, "cv2.seamlessClone", timings[f"cv2 {side}"], against=ours,
                version=str(peers.SEAMLESS_CLONE.version), note="NORMAL_CLONE, 2 threads",
            )  # fmt: skip
    ledger.target(
        "compat.seamlessClone, 940 x 940 beside 939 x 939", ratio(timings["ours 940"], timings["ours 939"], "cpu"),
        1.15, None, "x", higher_is_better=False,
    )  # fmt: skip
