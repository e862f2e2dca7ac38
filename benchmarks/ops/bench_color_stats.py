"""Op color_stats: mean, covariance and histograms inside and outside a mask, compared with OpenCV and NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import peers
import problems
from measure import Ledger, interleave

import pyharmony
from pyharmony import ops

GROUP = "colour statistics inside and outside of a mask, 256 bins, 1080p uint8"


def bench_color_stats(benchmark: Any, ledger: Ledger) -> None:
    problem = problems.blend("1080p")
    image, mask = problem.dst, np.where(problem.mask, np.uint8(255), np.uint8(0))

    def with_numpy() -> Any:
        statistics = []
        for inside in (mask > 0, mask == 0):
            colors = image[inside].astype(np.float32) / np.float32(255)
            mean = colors.mean(0, dtype=np.float64)
            apart = colors - mean.astype(np.float32)
            covariance = apart.T @ apart / len(colors)
            histogram = [np.bincount(channel, minlength=256) for channel in image[inside].T]
            statistics.append((mean, covariance, colors.min(0), colors.max(0), histogram))
        return statistics

    others: dict[str, Any] = {"numpy": with_numpy}
    if ledger.available(peers.OPENCV):
        import cv2

        cv2.setNumThreads(2)

        def with_opencv() -> Any:
            statistics = []
            for region in (mask, cv2.bitwise_not(mask)):
                colors = image[region > 0].astype(np.float32)
                covariance, mean = cv2.calcCovarMatrix(
                    colors, None, cv2.COVAR_NORMAL | cv2.COVAR_ROWS | cv2.COVAR_SCALE, ctype=cv2.CV_64F
                )
                histogram = [cv2.calcHist([image], [c], region, [256], [0, 256]).ravel() for c in range(3)]
                statistics.append(
                    (mean[0] / 255, covariance / 255**2, colors.min(0) / 255, colors.max(0) / 255, histogram)
                )
            return statistics

        others["cv2"] = with_opencv

    timings = interleave(benchmark, lambda: ops.color_stats(image, mask, bins=256), others, rounds=7)
    ledger.add(GROUP, "40 % mask", "pyharmony.ops.color_stats", timings["ours"], version=pyharmony.__version__)
    ours = timings["ours"].result
    names = {"numpy": ("NumPy", np.__version__), "cv2": ("OpenCV and NumPy", str(peers.OPENCV.version))}
    for key in others:
        name, version = names[key]
        for region, theirs in zip((ours.foreground, ours.background), timings[key].result, strict=True):
            np.testing.assert_allclose(theirs[0], region.mean, atol=1e-4)
            np.testing.assert_array_equal(np.array(theirs[4]), region.histogram)
        apart = max(
            np.abs(theirs[1] - region.covariance).max()
            for region, theirs in zip((ours.foreground, ours.background), timings[key].result, strict=True)
        )
        ledger.add(
            GROUP, "40 % mask", name, timings[key], against=timings["ours"], version=version,
            note=f"covariances differ by up to {apart:.1g}",
        )  # fmt: skip
