"""Op pyramid: a level down and a level up, compared with OpenCV's filters and resizing."""

from __future__ import annotations

from typing import Any

import exact
import peers
import problems
from measure import Ledger, Timing, interleave

import pyharmony
from pyharmony.ops import pyramid

GROUP = "pyramid steps, 4K uint8"
OURS = pyharmony.__version__


def add(ledger: Ledger, problem: str, timings: dict[str, Timing], ours: str, theirs: str) -> None:
    """Adds the rows of a problem, with the difference of OpenCV's result from ours if there is one."""
    ledger.add(GROUP, problem, ours, timings["ours"], version=OURS)
    if "cv2" in timings:
        distance = exact.distance(timings["cv2"].result, timings["ours"].result)
        ledger.add(
            GROUP, problem, theirs, timings["cv2"], against=timings["ours"],
            version=str(peers.OPENCV.version), note=f"float32; differs from ours by up to {distance:.2g}",
        )  # fmt: skip


def bench_downsample(benchmark: Any, ledger: Ledger) -> None:
    """Times a Gaussian of sigma 1, then the mean of 2 x 2."""
    image = problems.blend("4K").dst
    h, w = image.shape[:2]
    others: dict[str, Any] = {}
    if ledger.available(peers.OPENCV):
        import cv2

        def theirs() -> Any:
            smooth = cv2.GaussianBlur(image.astype("float32"), (0, 0), 1.0, borderType=cv2.BORDER_REFLECT)
            return cv2.resize(smooth, (w // 2, h // 2), interpolation=cv2.INTER_AREA)

        cv2.setNumThreads(2)
        others["cv2"] = theirs
    timings = interleave(benchmark, lambda: pyramid.downsample(image), others, rounds=7)
    add(ledger, "down", timings, "pyharmony.ops.pyramid.downsample", "cv2 GaussianBlur, resize INTER_AREA")


def bench_upsample(benchmark: Any, ledger: Ledger) -> None:
    """Times cubic convolution to twice the size, float32."""
    image = pyramid.downsample(problems.blend("4K").dst)
    h, w = problems.SIZES["4K"]
    others: dict[str, Any] = {}
    if ledger.available(peers.OPENCV):
        import cv2

        cv2.setNumThreads(2)
        others["cv2"] = lambda: cv2.resize(image, (w, h), interpolation=cv2.INTER_CUBIC)
    timings = interleave(benchmark, lambda: pyramid.upsample(image, (h, w)), others, rounds=7)
    add(ledger, "up", timings, "pyharmony.ops.pyramid.upsample", "cv2 resize INTER_CUBIC")
