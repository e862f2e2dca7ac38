"""Op regrain: the change of a transfer smoothed where the image is smooth, compared with the same sweeps in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import peers
import problems
import pytest
from measure import Ledger, interleave

import pyharmony
from pyharmony import color
from pyharmony.ops.regrain import regrain

GROUP = "regraining, 1024² uint8"


def bench_regrain(benchmark: Any, ledger: Ledger) -> None:
    if not ledger.available(peers.OPENCV):
        pytest.skip("OpenCV is not installed")
    import peers_color

    image, reference = (problems.photograph(photo, 1024, 1024) for photo in ("coffee", "astronaut"))
    inside = problems.blob(1024, 1024)
    # The image is cropped to the box of the mask: the levels of both then have the same cells.
    box = np.ix_(inside.any(1), inside.any(0))
    image, reference, inside = image[box], reference[box], inside[box]
    mask = np.where(inside, np.uint8(255), np.uint8(0))
    change = (color.match_histogram(image, reference, mask).astype(np.float32) - image) / np.float32(255)
    change_inside = change[inside][:, None]
    timings = interleave(
        benchmark, lambda: regrain(image, change, inside),
        {"numpy": lambda: peers_color.regrain(image, change_inside, mask)}, rounds=5,
    )  # fmt: skip
    apart = np.abs(timings["numpy"].result[:, 0] - timings["ours"].result[inside]).max()
    ledger.add(GROUP, "40 % mask", "pyharmony.ops.regrain", timings["ours"], version=pyharmony.__version__)
    ledger.add(
        GROUP, "40 % mask", "NumPy, float32", timings["numpy"], against=timings["ours"], version=np.__version__,
        note=f"differs from ours by up to {apart:.1g}",
    )  # fmt: skip
