"""Every method of pyharmony.harmonize from 256² to 50 megapixels: time of one call, and its additional memory.

Memory is the peak of a fresh process during one call minus its memory before, counted by the kernel (Linux). Networks
have the bundled weights; `colorgrid` and `dovenet`, if there are none of that name, have random ones, which take the
same time as trained ones. They are measured with the guard, for which they run several times, and without; the other
methods without.

    python -m pytest benchmarks/compositor/bench_harmonize.py --results benchmarks/results/harmonization_speed.json
    python benchmarks/harmonization.py report  # the table of docs/harmonize.md
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import problems
import pytest
from measure import Ledger, interleave
from records import process_memory

import pyharmony
from pyharmony import harmonization
from pyharmony.harmonization import _harmonize

GROUP = "pyharmony.harmonize, uint8, objects of 40 %"
OURS = pyharmony.__version__
SIZES = {"256²": (256, 256), "1080p": (1080, 1920), "12 MP": (3000, 4000), "50 MP": (5774, 8660)}
METHODS = tuple(name for name in harmonization.METHODS if name != "auto")
CLEAR_REFS = Path("/proc/self/clear_refs")


def networks() -> tuple[str, ...]:
    """Returns the names of weights, and of networks with random weights."""
    if importlib.util.find_spec("torch") is None:
        return ()
    from pyharmony.networks import models

    there = [entry.name for entry in models.weights("harmonize")]
    return tuple(sorted({"colorgrid", "dovenet", *there}))


NETWORKS = networks()


def method_of(name: str) -> Any:
    """Returns a method, the name of weights, or a network that changes colours slightly."""
    if name not in NETWORKS:
        return name
    import torch

    from pyharmony.networks import models

    if any(entry.name == name for entry in models.weights()):
        return name
    torch.manual_seed(0)
    model = models.create(name, **({"preset": "small"} if name == "dovenet" else {})).eval()
    if name == "colorgrid":
        with torch.no_grad():
            model.experts[-1].last.bias.normal_(std=0.01)
    return model


def scene(height: int, width: int) -> tuple[Any, Any]:
    """Returns an image and its mask."""
    image = problems.photograph("coffee", height, width)
    return image, np.where(problems.blob(height, width, 0.4), np.uint8(255), np.uint8(0))


def call_of(name: str, guard: bool) -> Callable[[Any, Any], Any]:
    """Returns the call of a method on an image and its mask."""
    method = method_of(name)
    return lambda image, mask: pyharmony.harmonize(image, mask, method=method, guard=guard, return_info=True)


@contextlib.contextmanager
def trusting() -> Iterator[None]:
    """Applies every prediction in full, though random weights and cropped photographs would be rejected."""
    before = _harmonize.TRUSTED
    _harmonize.TRUSTED = 0.0
    try:
        yield
    finally:
        _harmonize.TRUSTED = before


def extra_memory(name: str, guard: bool, height: int, width: int) -> int:
    """Returns the peak memory of this process during one call minus that before; a small call loads modules first."""
    call = call_of(name, guard)
    pyharmony.set_num_threads(2)
    image, mask = scene(height, width)
    with trusting():
        call(*scene(32, 32))
        before = process_memory("VmRSS")
        CLEAR_REFS.write_text("5")  # resets the peak
        call(image, mask)
    return max(process_memory("VmHWM") - before, 0)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("name", "guard"),
    [*((name, guard) for name in NETWORKS for guard in (True, False)), *((m, False) for m in METHODS)],
)
def bench_harmonize(benchmark: Any, ledger: Ledger, name: str, guard: bool, size: str) -> None:
    height, width = SIZES[size]
    image, mask = scene(height, width)
    call = call_of(name, guard)
    with trusting():
        assert call(image, mask)[1].method != "copy"
        timing = interleave(benchmark, lambda: call(image, mask), {}, rounds=3 if height > 2000 else 7)["ours"]
    note, extra = "", None
    if CLEAR_REFS.exists():
        command = [sys.executable, __file__, name, str(int(guard)), str(height), str(width)]
        paths = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}  # to what benchmarks share
        extra = int(subprocess.run(command, check=True, capture_output=True, text=True, env=paths).stdout)
        note = f"{extra / 1e6:.0f} MB beside image and mask; {1 + extra / image.nbytes:.2f} x the image with it"
    label = f"harmonize({name}){', guarded' if guard else ''}"
    ledger.add(GROUP, size, label, timing, version=OURS, note=note, memory=extra)
    if name == "colorgrid" and not guard and size in ("12 MP", "50 MP"):
        limit = {"12 MP": 0.5, "50 MP": 1.5}[size]
        seconds = timing.summary()["wall_ms"] / 1e3
        ledger.target(f"harmonize, colorgrid, {size}, wall time", seconds, limit, limit, "s", higher_is_better=False)


if __name__ == "__main__":
    print(extra_memory(sys.argv[1], sys.argv[2] == "1", int(sys.argv[3]), int(sys.argv[4])))
