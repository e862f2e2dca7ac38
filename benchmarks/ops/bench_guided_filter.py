"""The guided filter of masks, at 640 x 480 for 12 megapixels, compared with OpenCV's resizing of the mask alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import peers
import problems
from measure import Ledger, interleave
from scipy import ndimage

import pyharmony
from pyharmony._images.levels import shares_of
from pyharmony._images.sizes import resized
from pyharmony.ops import guided_filter

GROUP = "guided filter of a mask, 640 x 480 to 12 megapixels"
SIZE, RADIUS, RIDGE, CONTRAST = (640, 480), 4, 2e-4, 1.4


def bench_guided_filter(benchmark: Any, ledger: Ledger) -> None:
    picture = problems.photograph("coffee", 3000, 4000)
    guide = shares_of(resized(picture, SIZE))
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    inside = np.hypot(y - 240, x - 320) < 150
    plain = (ndimage.gaussian_filter(inside.astype(np.float32), 2) * 1.4 - 0.2).clip(0, 1).astype(np.float32)

    def ours() -> Any:
        out = np.empty(picture.shape[:2], np.uint8)
        functions = guided_filter.fit(guide, plain, RADIUS, RIDGE)
        guided_filter.apply(picture, plain, functions, out, contrast=CONTRAST)
        return out

    others: dict[str, Any] = {}
    if ledger.available(peers.OPENCV):
        import cv2

        cv2.setNumThreads(pyharmony.get_num_threads())
        others["cv2"] = lambda: np.rint(cv2.resize(plain, (4000, 3000)) * 255).astype(np.uint8)
    timings = interleave(benchmark, ours, others, rounds=10)
    ledger.add(GROUP, "12 megapixels", "guided_filter.fit and apply", timings["ours"], version=pyharmony.__version__)
    if "cv2" in timings:
        ledger.add(
            GROUP, "12 megapixels", "cv2.resize of the mask, rounded by NumPy", timings["cv2"],
            against=timings["ours"], version=str(peers.OPENCV.version), note="it does not follow edges",
        )  # fmt: skip
