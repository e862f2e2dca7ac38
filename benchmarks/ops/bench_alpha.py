"""Alpha compositing, the whole public call: soft masks compared with cv2.blendLinear, hard ones with masked copies."""

from __future__ import annotations

from typing import Any

import numpy as np
import peers
import problems
import pytest
from measure import Ledger, interleave, ratio
from scipy import ndimage

import pyharmony
from pyharmony import blend

GROUP = "alpha compositing, uint8, blob of 40 %, one thread"
#: The floor of the ratio to OpenCV by the kind of mask, in CPU time.
FLOORS = {"soft": 1.5, "hard": 0.8}


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("kind", FLOORS)
def bench_alpha(benchmark: Any, ledger: Ledger, kind: str) -> None:
    p = problems.blend("1080p")
    mask = p.mask * np.uint8(255)
    others: dict[str, tuple[Any, str, str]] = {}
    if kind == "soft":
        mask = ndimage.gaussian_filter(mask, 25)
    else:
        inside = p.mask[..., None]

        def numpy_copy() -> Any:
            result = p.dst.copy()
            np.copyto(result, p.src, where=inside)
            return result

        others["numpy"] = (numpy_copy, "np.copyto of a copy", np.__version__)
    if ledger.available(peers.OPENCV):
        import cv2

        cv2.setNumThreads(pyharmony.get_num_threads())
        if kind == "soft":
            weight = mask / np.float32(255)
            rest = 1 - weight
            name = "cv2.blendLinear, weights of both images given"
            others["cv2"] = (lambda: cv2.blendLinear(p.src, p.dst, weight, rest), name, str(peers.OPENCV.version))
        else:
            name = "cv2.copyTo of a copy"
            others["cv2"] = (lambda: cv2.copyTo(p.src, mask, p.dst.copy()), name, str(peers.OPENCV.version))
    calls = {key: call for key, (call, _, _) in others.items()}
    timings = interleave(benchmark, lambda: blend.alpha(p.src, p.dst, mask), calls, rounds=20)
    problem = f"1080p x 3, {kind} mask"
    ledger.add(GROUP, problem, "pyharmony.blend.alpha", timings["ours"], version=pyharmony.__version__)
    for key, (_, name, version) in others.items():
        differs = np.abs(timings[key].result.astype(int) - timings["ours"].result).max()
        ledger.add(
            GROUP, problem, name, timings[key], against=timings["ours"], version=version,
            note=f"differs from ours by up to {differs} levels",
        )  # fmt: skip
    cv2_name = others["cv2"][1].partition(",")[0] if "cv2" in others else "OpenCV"
    ledger.target(
        f"blend.alpha v. {cv2_name}, {kind} mask",
        ratio(timings["cv2"], timings["ours"], "cpu") if "cv2" in timings else None, FLOORS[kind], None, "x",
        note="" if "cv2" in timings else "not installed",
    )  # fmt: skip
