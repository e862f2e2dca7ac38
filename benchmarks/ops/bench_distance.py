"""Op distance: from each pixel inside a mask to the nearest one outside, compared with OpenCV and SciPy."""

from __future__ import annotations

from typing import Any

import exact
import numpy as np
import peers
import problems
from measure import Ledger, interleave
from scipy import ndimage

import pyharmony
from pyharmony.ops.distance import distance

GROUP = "distance to the contour, 4K mask"


def bench_distance(benchmark: Any, ledger: Ledger) -> None:
    mask = problems.blend("4K").mask
    others: dict[str, Any] = {"scipy": lambda: ndimage.distance_transform_edt(mask)}
    if ledger.available(peers.OPENCV):
        import cv2

        cv2.setNumThreads(2)
        plane = mask.astype(np.uint8)
        others["cv2"] = lambda: cv2.distanceTransform(plane, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    timings = interleave(benchmark, lambda: distance(mask), others, rounds=3)
    ledger.add(GROUP, "blob of 40 %", "pyharmony.ops.distance", timings["ours"], version=pyharmony.__version__)
    names = {
        "scipy": ("scipy distance_transform_edt", peers.SCIPY),
        "cv2": ("cv2.distanceTransform, MASK_PRECISE", peers.OPENCV.version),
    }
    for key in others:
        name, version = names[key]
        far = exact.distance(timings[key].result, timings["ours"].result)
        ledger.add(
            GROUP, "blob of 40 %", name, timings[key], against=timings["ours"], version=str(version),
            note=f"differs from ours by up to {far:.2g} pixels",
        )  # fmt: skip
