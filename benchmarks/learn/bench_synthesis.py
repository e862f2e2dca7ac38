"""Composites of 512² by `data.Synthesis`, including reference and check of the change, and in OpenCV and NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import peers
import problems
import pytest
from measure import Ledger, Timing, interleave

import pyharmony
from pyharmony import color
from pyharmony.color.transfers import TRANSFERS
from pyharmony.learn import data
from pyharmony.learn.data._synthesis import _weights

GROUP = "composites by data.Synthesis, 512² uint8, 25 % masks"
SIZE, STEP = 512, 2
UNBOUNDED = (0.0, 1e9)
MEASURED: dict[str, tuple[Timing, Timing]] = {}


class Photographs(data.Dataset):
    """Two photographs in memory."""

    names = ("coffee", "astronaut")

    def __init__(self) -> None:
        mask = np.where(problems.blob(SIZE, SIZE, 0.25), np.uint8(255), np.uint8(0))
        self.samples = [
            {"name": name, "image": problems.photograph(name, SIZE, SIZE), "mask": mask} for name in self.names
        ]

    def _load(self, index: int) -> dict[str, Any]:
        return self.samples[index]


def theirs(method: str, photos: Photographs, recipe: dict[str, Any]) -> Callable[[], Any]:
    """Does Synthesis's work for a sample: subsampled reference, change, strength, and size of the change."""
    import cv2
    import peers_color

    image, reference = (sample["image"] for sample in photos.samples)
    mask = photos.samples[0]["mask"]

    def changed() -> Any:
        if method in TRANSFERS:
            small, inside = (np.ascontiguousarray(x[::STEP, ::STEP]) for x in (reference, mask))
            result = getattr(peers_color, method)(image, small, mask, inside)
            return cv2.addWeighted(result, recipe["strength"], image, 1 - recipe["strength"], 0)
        if method == "lut_mix":
            random = np.random.default_rng(1)
            return peers_color.lut_mix(image, [color.random_lut(random) for _ in recipe["weights"]], mask)
        if method == "retouch":
            return peers_color.retouch(image, mask)
        if method == "brightness_contrast":
            return peers_color.brightness_contrast(image, mask, recipe["brightness"], recipe["contrast"])
        return peers_color.shift_temperature(image, recipe["mired"], mask)

    def call() -> Any:
        result = changed()
        return result, cv2.norm(result, image, cv2.NORM_L2SQR, mask) / (3 * cv2.countNonZero(mask))

    return call


@pytest.mark.parametrize("method", data.METHODS)
def bench_composite(benchmark: Any, ledger: Ledger, method: str) -> None:
    if not ledger.available(peers.OPENCV):
        pytest.skip("OpenCV is not installed")
    import cv2

    cv2.setNumThreads(2)
    photos = Photographs()
    synthesis = data.Synthesis(photos, [method], limits=UNBOUNDED)
    others = {"cv2": theirs(method, photos, synthesis[0]["recipe"])}
    timings = interleave(benchmark, lambda: synthesis[0], others, rounds=5 if method == "idt" else 15)
    ledger.add(GROUP, method, "pyharmony.data.Synthesis", timings["ours"], version=pyharmony.__version__)
    ledger.add(
        GROUP, method, "OpenCV and NumPy", timings["cv2"], against=timings["ours"], version=str(peers.OPENCV.version)
    )
    MEASURED[method] = timings["ours"], timings["cv2"]
    if len(MEASURED) == len(data.METHODS):
        shares = _weights(None, len(photos))
        ours, cv = (
            sum(shares[name] * timing[side].summary()["cpu_ms"] for name, timing in MEASURED.items()) for side in (0, 1)
        )
        ledger.target(
            "a 512² composite by the methods of data.Synthesis as they are drawn, CPU time", cv / ours, 3, 8, "x"
        )
