"""Op warp: an image through a homography, compared with OpenCV and SciPy, with the error of each."""

from __future__ import annotations

from typing import Any

import numpy as np
import peers
import problems
from measure import Ledger, interleave
from scipy import ndimage

import pyharmony
from pyharmony.ops.warp import warp

GROUP = "an image turned by two degrees, 1024² uint8"


def bench_warp(benchmark: Any, ledger: Ledger) -> None:
    image = problems.photograph("astronaut", 1024, 1024)
    angle = np.radians(2)
    turn = np.array([[np.cos(angle), -np.sin(angle), 18.0], [np.sin(angle), np.cos(angle), -18.0], [0, 0, 1.0]])
    there = np.array([[turn[1, 1], turn[1, 0], turn[1, 2]], [turn[0, 1], turn[0, 0], turn[0, 2]], [0, 0, 1.0]])
    others: dict[str, Any] = {
        "scipy": lambda: np.stack(
            [
                ndimage.affine_transform(image[..., c].astype(np.float32), there, order=3, mode="nearest")
                for c in range(3)
            ],
            2,
        )
    }
    if ledger.available(peers.OPENCV):
        import cv2

        cv2.setNumThreads(1)
        flags = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
        others["cv2"] = lambda: cv2.warpPerspective(
            image.astype(np.float32), turn, (1024, 1024), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
    before = pyharmony.get_num_threads()
    pyharmony.set_num_threads(1)
    try:
        timings = interleave(benchmark, lambda: warp(image, turn, (1024, 1024)), others, rounds=5)
    finally:
        pyharmony.set_num_threads(before)
    ledger.add(GROUP, "3 channels", "pyharmony.ops.warp", timings["ours"], version=pyharmony.__version__,
               note=f"there and back: {_there_and_back(timings['ours'].result, turn, image):.1f} dB")  # fmt: skip
    names = {
        "scipy": ("scipy affine_transform, cubic splines", peers.SCIPY),
        "cv2": ("cv2.warpPerspective, LANCZOS4, float32", peers.OPENCV.version),
    }
    for key in others:
        name, version = names[key]
        quality = _there_and_back(timings[key].result, turn, image)
        ledger.add(
            GROUP, "3 channels", name, timings[key], against=timings["ours"], version=str(version),
            note=f"there and back: {quality:.1f} dB",
        )  # fmt: skip


def _there_and_back(warped: Any, matrix: Any, image: Any) -> float:
    """Returns the PSNR of an image that was moved and is moved back by cubic splines, away from the border."""
    inverse = np.linalg.inv(matrix)
    there = np.array([[inverse[1, 1], inverse[1, 0], inverse[1, 2]], [inverse[0, 1], inverse[0, 0], inverse[0, 2]],
                      [0, 0, 1.0]])  # fmt: skip
    inner = np.s_[100:-100, 100:-100]
    errors = [
        np.square(ndimage.affine_transform(warped[..., c], there, order=5, mode="nearest") - image[..., c])[
            inner
        ].mean()
        for c in range(3)
    ]
    return float(10 * np.log10(255**2 / np.mean(errors)))
