"""The edits of one image, compared with OpenCV's if it has one."""

from __future__ import annotations

from typing import Any

import numpy as np
import peers
import problems
import pytest
from measure import Ledger, interleave

import pyharmony
from pyharmony import blend

OURS = pyharmony.__version__
GROUP = "edits of one image, uint8, blob of 40 %"
#: OpenCV's calls, with thresholds equivalent to our defaults.
PEERS = {
    "texture_flattening": ("textureFlattening", {"low_threshold": 32, "high_threshold": 48, "kernel_size": 3}),
    "illumination_change": ("illuminationChange", {"alpha": 0.2, "beta": 0.4}),
    "detail_boost": None,
    "inpaint": None,
}


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("size", ["1080p", "4K"])
def bench_edit(benchmark: Any, ledger: Ledger, size: str, name: str) -> None:
    p = problems.blend(size)
    edit, peer = getattr(blend, name), PEERS[name]
    others: dict[str, Any] = {}
    if peer is not None and ledger.available(peers.SEAMLESS_CLONE):
        import cv2

        cv2.setNumThreads(2)
        mask = p.mask.astype(np.uint8) * 255
        # Each call gets a copy of the mask, since OpenCV changes it.
        others[peer[0]] = lambda: getattr(cv2, peer[0])(p.dst, mask.copy(), **peer[1])
    timings = interleave(benchmark, lambda: edit(p.dst, p.mask), others, rounds=5 if size == "1080p" else 3)
    ledger.add(
        GROUP, f"{size} x 3", name, timings["ours"], version=OURS,
        certified=edit(p.dst, p.mask, return_info=True)[1].max_error,
    )  # fmt: skip
    if peer is not None and peer[0] in timings:
        ledger.add(
            GROUP, f"{size} x 3", f"cv2.{peer[0]}", timings[peer[0]], against=timings["ours"],
            version=str(peers.SEAMLESS_CLONE.version), note="2 threads; another equation, see docs/edits.md",
        )  # fmt: skip
