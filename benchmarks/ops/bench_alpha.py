"""Alpha compositing, the whole public call, beside what OpenCV, torch, Pillow and NumPy have for it, one thread."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import peers
import problems
import pytest
from measure import Ledger, interleave, ratio
from scipy import ndimage

import pyharmony
from pyharmony import blend

GROUP = "alpha compositing, blob of 40 %, one thread"
#: The peers by the kind of images and mask, with the floor of the ratio to each in CPU time.
FLOORS = {
    "uint8, soft mask": {"cv2.blendLinear": 1.5},
    "uint8, hard mask": {"cv2.copyTo": 0.9, "numpy.copyto": None},
    "float32, soft mask": {"cv2.blendLinear": 0.9, "torch.lerp": 1.1},
    "uint8 RGBA over RGBA": {"PIL.Image.alpha_composite": 3.0},
}


def contestants(kind: str, p: Any) -> tuple[Callable[[], Any], dict[str, Callable[[], Any]]]:
    """Returns our call, and those of the peers that are installed."""
    src, dst, mask = p.src, p.dst, p.mask * np.uint8(255)
    others: dict[str, Callable[[], Any]] = {}
    if kind == "uint8, hard mask":
        inside = p.mask[..., None]
        others["numpy.copyto"] = lambda: np.copyto(p.dst.copy(), src, where=inside)
        if peers.OPENCV.available:
            import cv2

            others["cv2.copyTo"] = lambda: cv2.copyTo(src, mask, dst.copy())
        return lambda: blend.alpha(src, dst, mask), others
    mask = ndimage.gaussian_filter(mask, 25)
    if kind.startswith("uint8 RGBA"):
        from PIL import Image

        src, dst = np.dstack((src, mask)), np.dstack((dst, np.full_like(mask, 255)))
        above, below = Image.fromarray(src), Image.fromarray(dst)
        others["PIL.Image.alpha_composite"] = lambda: Image.alpha_composite(below, above)
        return lambda: blend.alpha(src, dst, decontaminate=False), others
    weight = mask / np.float32(255)
    rest = 1 - weight
    if kind.startswith("float32"):
        import torch

        src, dst, mask = src / np.float32(255), dst / np.float32(255), weight
        tensors = torch.from_numpy(dst), torch.from_numpy(src), torch.from_numpy(weight)[..., None]
        others["torch.lerp"] = lambda: torch.lerp(*tensors)
    if peers.OPENCV.available:
        import cv2

        others["cv2.blendLinear"] = lambda: cv2.blendLinear(src, dst, weight, rest)
    return lambda: blend.alpha(src, dst, mask), others


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("kind", FLOORS)
def bench_alpha(benchmark: Any, ledger: Ledger, kind: str) -> None:
    ours, others = contestants(kind, problems.blend("1080p"))
    if ledger.available(peers.OPENCV):
        import cv2

        cv2.setNumThreads(pyharmony.get_num_threads())
    timings = interleave(benchmark, ours, others, rounds=20)
    problem = f"1080p, {kind}"
    ledger.add(GROUP, problem, "pyharmony.blend.alpha", timings["ours"], version=pyharmony.__version__)
    for name in others:
        ledger.add(
            GROUP,
            problem,
            name,
            timings[name],
            against=timings["ours"],
            version=sys.modules[name.partition(".")[0]].__version__,
        )
    for name, floor in FLOORS[kind].items():
        if floor is not None:
            ledger.target(
                f"blend.alpha v. {name}, {kind}",
                ratio(timings[name], timings["ours"], "cpu") if name in timings else None, floor, None, "x",
                note="" if name in timings else "not installed",
            )  # fmt: skip
