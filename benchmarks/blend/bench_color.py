"""Recolouring of 512² composites by each transfer of pyharmony.color, compared with the same in OpenCV and NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import peers
import problems
import pytest
from measure import Ledger, Timing, interleave

import pyharmony
from pyharmony import color

GROUP = "colour transfers, 512² uint8, 25 % masks"
OURS = pyharmony.__version__
SIZE = 512
LUTS = 8
#: The sources of synthetic composites, equally frequent.
TRANSFERS = (
    "reinhard", "xiao_ma", "mkl", "fecker", "match_histogram", "idt", "luminance_temperature", "lut_mix", "retouch",
)  # fmt: skip
MEASURED: dict[str, tuple[Timing, Timing]] = {}


def calls(name: str) -> tuple[Any, Any]:
    """Returns our call and theirs."""
    import peers_color

    image, reference = (problems.photograph(photo, SIZE, SIZE) for photo in ("coffee", "astronaut"))
    mask = np.where(problems.blob(SIZE, SIZE, 0.25), np.uint8(255), np.uint8(0))
    ours, theirs = getattr(color, name), getattr(peers_color, name)
    if name == "retouch":
        return lambda: ours(image, mask, rng=1)[0], lambda: theirs(image, mask)
    if name == "lut_mix":
        luts = np.stack([color.random_lut(seed) for seed in range(LUTS)])
        return lambda: ours(image, luts, mask, rng=1), lambda: theirs(image, luts, mask)
    return lambda: ours(image, reference, mask, mask), lambda: theirs(image, reference, mask, mask)


@pytest.mark.parametrize("name", TRANSFERS)
def bench_transfer(benchmark: Any, ledger: Ledger, name: str) -> None:
    if not ledger.available(peers.OPENCV):
        pytest.skip("OpenCV is not installed")
    import cv2

    cv2.setNumThreads(2)
    ours, theirs = calls(name)
    timings = interleave(benchmark, ours, {"cv2": theirs}, rounds=5 if name == "idt" else 15)
    apart = np.abs(timings["cv2"].result.astype(int) - timings["ours"].result)
    ledger.add(GROUP, name, f"pyharmony.color.{name}", timings["ours"], version=OURS)
    ledger.add(
        GROUP, name, "OpenCV and NumPy", timings["cv2"], against=timings["ours"], version=str(peers.OPENCV.version),
        note=f"differs from ours by up to {apart.max()} levels, {apart.mean():.2g} in the mean",
    )  # fmt: skip
    MEASURED[name] = timings["ours"], timings["cv2"]
    if len(MEASURED) == len(TRANSFERS):
        cost = [sum(timing[side].summary()["cpu_ms"] for timing in MEASURED.values()) for side in (0, 1)]
        ledger.target("a 512² composite by a transfer drawn at random, CPU time", cost[1] / cost[0], 3, 8, "x")
