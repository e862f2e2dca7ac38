"""Calls from several threads at once, and calls in the child of a fork."""

from __future__ import annotations

import subprocess
import sys
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyharmony
from pyharmony import blend, ops

from ..shared import FLOODS


def calls() -> dict[str, Callable[[], Any]]:
    """Returns one call of every method, each with enough work for several threads."""
    rng = np.random.default_rng(5)
    src, dst, base = (rng.integers(0, 256, (230, 310, 3), np.uint8) for _ in range(3))
    y, x = np.ogrid[:230, :310]
    mask = np.clip(1.5 - np.hypot(y - 115, x - 155) / 80, 0, 1)
    weights = (0.1 + 0.5 * rng.random((230, 310))).astype(np.float32)
    solver = ops.PoissonSolver(mask)
    # Two ways of solving repeat their passes so often that a part of the images is enough for them.
    part = np.s_[50:180, 80:235]

    def gaussian_poisson(**options: Any) -> Callable[[], Any]:
        return lambda: ops.gaussian_poisson(src, dst, mask, base, **options)

    return {
        "chebyshev": gaussian_poisson(method="chebyshev", preserve_background=True),
        "dct": gaussian_poisson(method="dct"),
        "multigrid": lambda: ops.gaussian_poisson(
            src[part], dst[part], mask[part], base[part], method="multigrid", color_weight=0.01
        ),
        "map of weights": lambda: ops.gaussian_poisson(
            src[part], dst[part], mask[part], base[part], color_weight=weights[part], tolerance=2
        ),
        "poisson": lambda: ops.poisson(src, dst, mask, gradients="mixed"),
        "one solver": lambda: solver.solve(src, dst, return_info=True)[0],
        "a film": lambda: solver.sequence().solve(np.stack([src, src]), np.stack([dst, base])),
        "edits": lambda: blend.detail_boost(blend.illumination_change(blend.texture_flattening(src, mask)), mask),
        "alpha": lambda: blend.alpha(src, dst, mask),
        "laplacian": lambda: blend.laplacian(src, dst, mask),
        "blend.poisson": lambda: blend.poisson(src, dst, mask),
        "fractions resample src": lambda: blend.alpha(src, dst, mask, at=(9.5, -7.25)),
        "gradient kernel": lambda: blend.gaussian_poisson(src, dst, mask, gradient_kernel="scharr"),
        "blend.gaussian_poisson": lambda: blend.gaussian_poisson(src, dst, mask, at=(9, -7)),
    }


@pytest.fixture(scope="module")
def work_and_results() -> tuple[dict[str, Callable[[], Any]], dict[str, Any]]:
    work = calls()
    return work, {name: call() for name, call in work.items()}


@FLOODS
@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=pytest.mark.full), 5])
def test_calls_at_once_give_the_bits_of_calls_in_turn(
    threads: int, work_and_results: tuple[dict[str, Callable[[], Any]], dict[str, Any]]
) -> None:
    work, expected = work_and_results
    before = pyharmony.get_num_threads()
    pyharmony.set_num_threads(threads)
    try:
        with ThreadPoolExecutor(6) as pool:
            pending = [(name, pool.submit(call)) for _ in range(2) for name, call in work.items()]
            for name, result in pending:
                assert np.array_equal(result.result(), expected[name]), name
    finally:
        pyharmony.set_num_threads(before)


def test_another_thread_may_be_importing_pil_or_torch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The modules are there before their classes are."""
    image = np.zeros((8, 8, 3), np.uint8)
    pyharmony.save(image, tmp_path / "image.png")
    for name in ("PIL.Image", "torch"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, types.ModuleType(name))
            assert isinstance(blend.alpha(image, image), np.ndarray)
            if name == "torch":
                assert not isinstance(blend.alpha(image, tmp_path / "image.png"), np.ndarray)


def test_solvers_made_at_once() -> None:
    """Making a solver enters it in the module's table of objects, also while other threads make theirs."""
    mask = np.zeros((9, 9), bool)
    mask[2:7, 2:7] = True

    def make(_: int) -> int:
        return max(ops.PoissonSolver(mask).unknowns for _ in range(400))

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(make, range(16))) == {25}


@pytest.mark.house  # sanitizers need memory of their own
def test_no_room_for_more_threads() -> None:
    """The threads that exist do the work."""
    code = """
import resource
import numpy as np
import pyharmony
from pyharmony import ops

mask = np.zeros((300, 400), bool)
mask[50:250, 60:340] = True
src, dst = (np.random.default_rng(i).integers(0, 256, (300, 400, 3), np.uint8) for i in range(2))
pyharmony.set_num_threads(1)
expected = ops.poisson(src, dst, mask)
resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
with open("/proc/self/status") as status:
    held = next(int(line.split()[1]) for line in status if line.startswith("VmSize")) * 1024
resource.setrlimit(resource.RLIMIT_AS, (held + (24 << 20), held + (24 << 20)))
pyharmony.set_num_threads(64)
assert np.array_equal(ops.poisson(src, dst, mask), expected)
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stderr


@pytest.mark.covering(1)
@pytest.mark.house  # sanitizers need memory of their own
@pytest.mark.parametrize("stacks", [0, 1])
@pytest.mark.parametrize(
    "megabytes", [0.02, 0.1, 0.4, 4, *(pytest.param(x, marks=pytest.mark.full) for x in (0.05, 0.2, 1))]
)
def test_memory_that_ends_during_a_solve_is_an_error(megabytes: float, stacks: int) -> None:
    """Each call computes or raises MemoryError, also in a thread whose stack took nearly all that was left.

    The C library aborts a process where a thread's first exception finds no memory for its thread-local data.
    """
    code = f"""
import resource
import numpy as np
import pyharmony
from pyharmony import blend, ops

def images_of(height, width):
    mask = np.ones((height, width), bool)
    mask[0] = False
    return *(np.random.default_rng(i).integers(0, 256, (height, width, 3), np.uint8) for i in range(2)), mask
pyharmony.set_num_threads(1)
small, large = images_of(120, 160), images_of(900, 1200)
calls = [
    lambda images: ops.poisson(*images),
    lambda images: ops.gaussian_poisson(*images, images[1]),
    lambda images: ops.gaussian_poisson(*images, images[1], color_weight=0.001),
    lambda images: blend.gaussian_poisson(*images),
]
expected = [call(small) for call in calls]
pyharmony.set_num_threads(3)
stack = resource.getrlimit(resource.RLIMIT_STACK)[0]
left = int({megabytes} * 2**20) + {stacks} * (stack if 0 < stack < 2**26 else 2**23)
with open("/proc/self/status") as status:
    held = next(int(line.split()[1]) for line in status if line.startswith("VmSize")) * 1024
before = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (held + left, before[1]))
failed = 0
for images in (small, large, small, large):
    for call in calls:
        try:
            call(images)
        except MemoryError:
            failed += 1
resource.setrlimit(resource.RLIMIT_AS, before)
assert failed, "there was memory enough"
for call, result in zip(calls, expected):
    assert np.array_equal(call(small), result)
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert (process.returncode, process.stderr) == (0, "")


# AddressSanitizer's allocator may be locked when another thread is inside it as the process forks.
@pytest.mark.parametrize("busy", [False, pytest.param(True, marks=pytest.mark.house)])
def test_a_forked_child_computes(busy: bool) -> None:
    """The child has none of the parent's threads. busy: fork while another thread is inside a call."""
    code = f"""
import os, signal, sys, threading
import numpy as np
import pyharmony
from pyharmony import ops

pyharmony.set_num_threads(4)
src, dst = (np.random.default_rng(i).integers(0, 256, (300, 400, 3), np.uint8) for i in range(2))
mask = np.zeros((300, 400), bool)
mask[50:250, 60:340] = True
def call():
    return ops.gaussian_poisson(src, dst, mask, dst), ops.poisson(src, dst, mask)
expected = call()
stop = threading.Event()
def work():
    while not stop.is_set():
        call()
thread = threading.Thread(target=work)
if {busy}:
    thread.start()
for _ in range(5):
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        same = all(np.array_equal(a, b) for a, b in zip(call(), expected))
        os._exit(0 if same else 3)
    status = os.waitpid(child, 0)[1]
    if status:
        stop.set()
        sys.exit(f"the child ended with {{status}}")
    assert all(np.array_equal(a, b) for a, b in zip(call(), expected))
stop.set()
"""
    process = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stderr
