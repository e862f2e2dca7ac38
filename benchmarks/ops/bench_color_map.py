"""Op color_map: a lookup table over the colour cube and an affine map, compared with Pillow, OpenCV and NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import peers
import peers_color
import problems
from measure import Ledger, interleave
from PIL import Image, ImageFilter
from PIL import __version__ as PILLOW

import pyharmony
from pyharmony import color, ops

GROUP = "colour maps of a whole image, 1080p uint8"
OURS = pyharmony.__version__


def bench_lut(benchmark: Any, ledger: Ledger) -> None:
    image, table = problems.blend("1080p").dst, color.random_lut(1, 33)
    picture = Image.fromarray(image)
    filtered = ImageFilter.Color3DLUT(33, table.transpose(2, 1, 0, 3).reshape(-1, 3))
    others: dict[str, Any] = {
        "pillow": lambda: np.asarray(picture.filter(filtered)),
        "numpy": lambda: peers_color.lut(image, table),
    }
    timings = interleave(benchmark, lambda: ops.color_map(image, [ops.Lut(table)]), others, rounds=5)
    ledger.add(GROUP, "33³ table", "pyharmony.ops.color_map", timings["ours"], version=OURS, note="tetrahedral")
    notes = {"pillow": "trilinear, one thread", "numpy": "tetrahedral, float32"}
    for key, name, version in (("pillow", "Pillow Color3DLUT", PILLOW), ("numpy", "NumPy", np.__version__)):
        apart = np.abs(timings[key].result.astype(int) - timings["ours"].result).max()
        ledger.add(
            GROUP, "33³ table", name, timings[key], against=timings["ours"], version=version,
            note=f"{notes[key]}; differs from ours by up to {apart} levels",
        )  # fmt: skip


def bench_affine(benchmark: Any, ledger: Ledger) -> None:
    image = problems.blend("1080p").dst
    matrix = np.array([[0.9, 0.1, -0.05, 0.02], [0.05, 0.8, 0.1, 0.01], [-0.1, 0.1, 1.1, -0.02]], np.float32)
    others: dict[str, Any] = {}
    if ledger.available(peers.OPENCV):
        import cv2

        cv2.setNumThreads(2)
        scaled = matrix * np.array([1, 1, 1, 255], np.float32)
        others["cv2"] = lambda: cv2.transform(image, scaled)
    timings = interleave(benchmark, lambda: ops.color_map(image, [ops.Affine(matrix)]), others, rounds=7)
    ledger.add(GROUP, "3 x 4 matrix", "pyharmony.ops.color_map", timings["ours"], version=OURS)
    if "cv2" in timings:
        apart = np.abs(timings["cv2"].result.astype(int) - timings["ours"].result).max()
        ledger.add(
            GROUP, "3 x 4 matrix", "cv2.transform", timings["cv2"], against=timings["ours"],
            version=str(peers.OPENCV.version), note=f"differs from ours by up to {apart} levels",
        )  # fmt: skip
