"""Every method of pyharmony.harmonize from 256² to 50 megapixels: time of one call, and memory beside the image.

Memory is the peak of a fresh process during one call over what it held before, counted by the kernel (Linux). Networks
have random weights, whose time is that of trained ones.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import problems
import pytest
from measure import Ledger, interleave

import pyharmony
from pyharmony import harmonization

GROUP = "pyharmony.harmonize, uint8, objects of 40 %"
OURS = pyharmony.__version__
SIZES = {"256²": (256, 256), "1080p": (1080, 1920), "12 MP": (3000, 4000), "50 MP": (5774, 8660)}
NETWORKS = ("colorgrid", "dovenet") if importlib.util.find_spec("torch") else ()
METHODS = tuple(name for name in harmonization.METHODS if name != "auto")
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def method_of(name: str) -> Any:
    """A method, or a network that changes colours a little."""
    if name not in NETWORKS:
        return name
    import torch

    from pyharmony import models

    torch.manual_seed(0)
    model = models.create(name, **({"preset": "small"} if name == "dovenet" else {})).eval()
    if name == "colorgrid":
        with torch.no_grad():
            model.last.bias.normal_(std=0.01)
    return model


def held(key: str) -> int:
    """Bytes that the kernel counts for this process: VmRSS now, VmHWM at most."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024


def scene(height: int, width: int) -> tuple[Any, Any]:
    """An image and its mask."""
    image = problems.photograph("coffee", height, width)
    return image, np.where(problems.blob(height, width, 0.4), np.uint8(255), np.uint8(0))


def extra_memory(name: str, height: int, width: int) -> int:
    """The peak of this process during one call, over what it held before; a small call loads what is loaded once."""
    method = method_of(name)
    pyharmony.set_num_threads(2)
    pyharmony.harmonize(*scene(32, 32), method=method, guard=False)
    image, mask = scene(height, width)
    before = held("VmRSS")
    CLEAR.write_text("5")  # the peak starts anew
    pyharmony.harmonize(image, mask, method=method, guard=False)
    return max(held("VmHWM") - before, 0)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", [*NETWORKS, *METHODS])
def bench_harmonize(benchmark: Any, ledger: Ledger, name: str, size: str) -> None:
    height, width = SIZES[size]
    image, mask = scene(height, width)
    method = method_of(name)

    def call() -> Any:
        # Without the guard: random weights and photographs cut in two are not to be trusted.
        return pyharmony.harmonize(image, mask, method=method, guard=False)

    call()
    note = ""
    if CLEAR.exists():
        command = [sys.executable, __file__, name, str(height), str(width)]
        extra = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        note = f"{extra / 1e6:.0f} MB beside image and mask; {1 + extra / image.nbytes:.2f} x the image with it"
    timing = interleave(benchmark, call, {}, rounds=3 if height > 2000 else 7)["ours"]
    ledger.add(GROUP, size, f"harmonize({name})", timing, version=OURS, note=note)
    if name == "colorgrid" and size in ("12 MP", "50 MP"):
        limit = {"12 MP": 0.5, "50 MP": 1.5}[size]
        seconds = timing.summary()["wall_ms"] / 1e3
        ledger.target(f"harmonize, colorgrid, {size}, wall time", seconds, limit, limit, "s", higher_is_better=False)


if __name__ == "__main__":
    print(extra_memory(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
