"""Multiband blending, the whole public call, compared with OpenCV's MultiBandBlender."""

from __future__ import annotations

from typing import Any

import peers
import problems
import pytest
from measure import Ledger, interleave, ratio

import pyharmony
from pyharmony import blend

GROUP = "multiband blending, uint8, blob of 40 %, one thread"
#: The floor of the ratio to the faster of OpenCV's, in CPU time.
FLOOR = 1.3
#: The bands of OpenCV's blender: few, and its default, as many as ours has here.
BANDS = (3, 5)


@pytest.mark.usefixtures("one_thread")
def bench_laplacian(benchmark: Any, ledger: Ledger) -> None:
    p = problems.blend("1080p")
    height, width = p.mask.shape
    others: dict[str, Any] = {}
    if ledger.available(peers.OPENCV):
        import cv2
        import numpy as np

        cv2.setNumThreads(pyharmony.get_num_threads())
        inside = p.mask * np.uint8(255)
        outside = 255 - inside

        def theirs(bands: int) -> Any:
            # Weights of float32 take two thirds of the time of those of int16.
            blender = cv2.detail_MultiBandBlender(0, bands, cv2.CV_32F)
            blender.prepare((0, 0, width, height))
            blender.feed(p.src, inside, (0, 0))
            blender.feed(p.dst, outside, (0, 0))
            return blender.blend(None, None)[0]

        others = {f"cv2.{bands}": lambda bands=bands: theirs(bands) for bands in BANDS}
    timings = interleave(benchmark, lambda: blend.laplacian(p.src, p.dst, p.mask), others, rounds=10)
    ledger.add(GROUP, "1080p x 3", "pyharmony.blend.laplacian", timings["ours"], version=pyharmony.__version__)
    for key in others:
        ledger.add(
            GROUP, "1080p x 3", f"cv2.detail.MultiBandBlender, {key[4:]} bands, weights of float32", timings[key],
            against=timings["ours"], version=str(peers.OPENCV.version), note="it fades on both sides of the contour",
        )  # fmt: skip
    ledger.target(
        "blend.laplacian v. cv2.detail.MultiBandBlender",
        min((ratio(timings[key], timings["ours"], "cpu") for key in others), default=None), FLOOR, None, "x",
        note="" if others else "not installed",
    )  # fmt: skip
