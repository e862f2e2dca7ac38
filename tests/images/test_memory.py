"""The memory that infos report, against tracemalloc, which sees NumPy's own allocator, and known sizes."""

from __future__ import annotations

import contextvars
import gc
import threading
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import pyharmony
from pyharmony import blend, harmonize, ops
from pyharmony._images.threads import beside, in_threads
from pyharmony._native import native
from pyharmony.ops.distance import distance_inside

from ..blends import BLENDS
from ..shared import CLIPS, FLOODS

MEGABYTE = 1 << 20


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = pyharmony.get_num_threads()
    pyharmony.set_num_threads(1)
    yield
    pyharmony.set_num_threads(before)


def peak_of(work: Callable[[], Any]) -> int:
    with native.Memory() as memory:
        work()
    return memory.peak


# ---- a block ---------------------------------------------------------------------------------------------------------


def test_the_peak_is_that_of_the_arrays_at_once() -> None:
    with native.Memory() as memory:
        first = np.empty(3 * MEGABYTE, np.uint8)
        del first
        both = [np.empty(MEGABYTE, np.uint8), np.zeros(MEGABYTE, np.uint8)]
        assert memory.peak == 3 * MEGABYTE
        both.append(np.empty(2 * MEGABYTE, np.uint8))
    assert memory.peak == 4 * MEGABYTE
    np.empty(9 * MEGABYTE, np.uint8)
    assert memory.peak == 4 * MEGABYTE


def test_an_array_that_is_resized_counts_with_its_new_size() -> None:
    with native.Memory() as memory:
        x = np.arange(1000)
        x.resize(MEGABYTE, refcheck=False)
        assert memory.peak == x.nbytes
        assert x[:1000].tolist() == list(range(1000))
        x.resize(10, refcheck=False)
        y = np.empty(7 * MEGABYTE, np.uint8)
    assert memory.peak == 8 * MEGABYTE
    assert x.tolist() == list(range(10))
    assert y.nbytes == 7 * MEGABYTE


def test_an_outer_block_sees_the_arrays_of_an_inner_one() -> None:
    with native.Memory() as outer:
        own = np.empty(MEGABYTE, np.uint8)
        with native.Memory() as inner:
            block = np.empty(2 * MEGABYTE, np.uint8)
            del own  # which the inner block did not allocate
        assert (inner.peak, outer.peak) == (2 * MEGABYTE, 3 * MEGABYTE)
        del block
        last = np.empty(3 * MEGABYTE, np.uint8)
    assert outer.peak == last.nbytes


def test_arrays_may_outlive_their_block() -> None:
    rng = np.random.default_rng(0)
    expected = rng.random(50_000)
    arrays = []
    for _ in range(50):
        with native.Memory():
            arrays.append(expected.copy())
        gc.collect(0)
        arrays[-1].resize(60_000, refcheck=False)
    for x in arrays:
        np.testing.assert_array_equal(x[:50_000], expected)
    while arrays:
        arrays.pop(len(arrays) // 2)


def test_native_memory_may_outlive_its_block() -> None:
    mask = np.zeros((200, 300), bool)
    mask[20:-20, 20:-20] = True
    src, dst = (np.random.default_rng(i).random((200, 300, 3), np.float32) for i in range(2))
    expected = ops.poisson(src, dst, mask)
    with native.Memory() as memory:
        solver = ops.PoissonSolver(mask)
    assert solver.bytes <= memory.peak
    assert peak_of(lambda: solver.solve(src, dst)) > dst.nbytes
    np.testing.assert_array_equal(solver.solve(src, dst), expected)


def test_an_error_ends_the_block() -> None:
    def fail() -> None:
        with native.Memory():
            np.empty(MEGABYTE, np.uint8)
            raise KeyError

    with native.Memory() as outer:
        with pytest.raises(KeyError):
            fail()
        after = np.empty(MEGABYTE, np.uint8)
        assert outer.peak == after.nbytes
    with pytest.raises(RuntimeError, match="entered before"):
        outer.__enter__()


@pytest.mark.house  # AddressSanitizer ends a process that asks for so much
@pytest.mark.parametrize("create", [np.empty, np.zeros])
def test_memory_that_is_not_there_is_an_error(create: Callable[..., Any]) -> None:
    with native.Memory() as memory:
        with pytest.raises(MemoryError):
            create(1 << 60, np.uint8)
        x = np.empty(10)
        x[:] = 7
        with pytest.raises(MemoryError):
            x.resize(1 << 57, refcheck=False)
        assert x.tolist() == [7] * 10
    assert x.nbytes <= memory.peak <= 200


@pytest.mark.house  # sanitizers need memory of their own
def test_zeros_do_not_touch_their_pages() -> None:
    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    with native.Memory() as memory:
        before = resident()
        x = np.zeros(256 * MEGABYTE, np.uint8)
        assert resident() - before < 8 * MEGABYTE
    assert memory.peak == x.nbytes


@pytest.mark.house  # sanitizers need memory of their own
def test_scratch_is_kept_for_the_next_call() -> None:
    """Calls on images of two sizes in turn touch no new pages, of which their scratch has thousands."""
    import resource

    rng = np.random.default_rng(3)
    problems = []
    for height, width in ((900, 1300), (700, 1100)):
        src, dst = (rng.random((height, width, 3), np.float32) for _ in range(2))
        mask = np.zeros((height, width), np.uint8)
        mask[9:-9, 9:-9] = 255
        problems.append((src, dst, mask, np.empty_like(dst)))

    def faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for src, dst, mask, out in problems:
            blend.poisson(src, dst, mask, out=out)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    assert min(faults() for _ in range(4)) < 500


# ---- threads ---------------------------------------------------------------------------------------------------------


def test_threads_count_in_copies_of_the_context() -> None:
    def allocate() -> None:
        np.empty(MEGABYTE, np.uint8)

    def in_thread(work: Callable[..., Any], *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments)
        thread.start()
        thread.join()

    with native.Memory() as memory:
        in_thread(allocate)
        assert memory.peak == 0
        in_thread(contextvars.copy_context().run, allocate)
    assert memory.peak == MEGABYTE


def test_helping_threads_count() -> None:
    before = pyharmony.get_num_threads()
    pyharmony.set_num_threads(3)
    ready = threading.Barrier(3)

    def allocate(size: int) -> int:
        x = np.empty(size, np.uint8)
        ready.wait(60)  # so that all arrays are there at once
        return x.nbytes

    try:
        with native.Memory() as memory:
            assert in_threads(allocate, [MEGABYTE, 2 * MEGABYTE, 3 * MEGABYTE]) == [
                MEGABYTE, 2 * MEGABYTE, 3 * MEGABYTE
            ]  # fmt: skip
    finally:
        pyharmony.set_num_threads(before)
    assert 6 * MEGABYTE <= memory.peak <= 6 * MEGABYTE + 1000
    with native.Memory() as memory, beside(lambda: np.empty(MEGABYTE, np.uint8)) as result:
        result()
    assert memory.peak == MEGABYTE


def test_blocks_of_threads_do_not_mix() -> None:
    peaks = {}

    def work(number: int) -> None:
        for _ in range(50):
            with native.Memory() as memory:
                x = np.empty(number * 10_000, np.uint8)
                y = distance_inside(np.ones((50, 50), bool))
                del x, y
            peaks.setdefault(number, set()).add(memory.peak)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (own,) = peaks[1]
    assert peaks == {number: {own + 10_000 * (number - 1)} for number in range(1, 9)}


@pytest.mark.parametrize("threads", [1, 2])
def test_work_memory_of_native_calls_counts(threads: int) -> None:
    """A distance needs four bytes a pixel beside its result; other threads of a pool count their lines."""
    mask = np.zeros((1000, 1200), bool)
    mask[10:-10, 10:-10] = True
    before = pyharmony.get_num_threads()
    pyharmony.set_num_threads(threads)
    try:
        peak = peak_of(lambda: distance_inside(mask))
    finally:
        pyharmony.set_num_threads(before)
    assert 8 * mask.size <= peak <= 1.02 * 8 * mask.size


# ---- what calls report -----------------------------------------------------------------------------------------------


class Traced:
    """Measures work apart from `Memory`: arrays by tracemalloc, and each native call in a block of its own.

    A setup of masks, the one thing with memory of its own that native calls leave, counts with its `bytes`.
    """

    def __init__(self) -> None:
        self._held, self._peak = 0, 0

    def peak_of(self, work: Callable[[], Any]) -> int:
        memory = native.Memory
        with pytest.MonkeyPatch.context() as patch:
            for name in dir(native):
                attribute = getattr(native, name)
                if callable(attribute) and (not isinstance(attribute, type) or name == "PoissonHierarchy"):
                    patch.setattr(native, name, self._recorded(attribute, memory))
            patch.setattr(native, "Memory", Unmeasured)
            work()  # loads what is loaded on first use
            self._held, self._peak = 0, 0
            tracemalloc.start()
            try:
                work()
                return max(self._peak, tracemalloc.get_traced_memory()[1])
            finally:
                tracemalloc.stop()

    def _recorded(self, function: Callable[..., Any], memory: Any) -> Callable[..., Any]:
        def recorded(*arguments: Any, **options: Any) -> Any:
            size = tracemalloc.get_traced_memory()[0]
            with memory() as block:
                result = function(*arguments, **options)
            self._peak = max(self._peak, self._held + size + block.peak)
            if not hasattr(result, "solve_rhs"):
                return result
            setup = Setup(result, lambda method: self._recorded(method, memory))
            self._held += result.bytes
            weakref.finalize(setup, self._drop, result.bytes)
            return setup

        return recorded

    def _drop(self, size: int) -> None:
        self._held -= size


class Setup:
    """A native setup whose calls are recorded."""

    def __init__(self, setup: Any, recorded: Callable[[Any], Any]) -> None:
        self._setup, self._recorded = setup, recorded

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._setup, name)
        return self._recorded(attribute) if callable(attribute) else attribute


class Unmeasured:
    """A block that leaves NumPy's allocator alone."""

    peak = 0

    def __enter__(self) -> Unmeasured:
        return self

    def __exit__(self, *error: object) -> None:
        pass


#: Bytes of Python's objects and, for each byte of a dtype, of the samples that a call checks before its items.
OBJECTS, SAMPLES = 60_000, 20_000


def ellipse(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return ((y - height / 2) / (0.45 * height)) ** 2 + ((x - width / 2) / (0.45 * width)) ** 2 < 1


@pytest.mark.covering(1)
@CLIPS
@FLOODS
@pytest.mark.large  # memory is the same whatever the instructions and the checks; other tests make these calls
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {}) for name in BLENDS),
        *((name, {"at": (-60, 50), "cut-out": True}) for name in BLENDS),
        ("alpha", {"feather": 9}),
        ("poisson", {"gradients": "mixed", "color_weight": "map"}),
        ("poisson", {"at": (0.5, 0.25)}),
        ("gaussian_poisson", {"color_weight": 0.01, "preserve_background": False}),
        ("gaussian_poisson", {"color_weight": "map", "base": "copy-paste"}),
    ],
)
def test_a_blend_reports_what_it_held(name: str, options: dict[str, Any], dtype: str) -> None:
    rng = np.random.default_rng(14)
    white = 255 if dtype == "uint8" else 1
    src, dst = ((white * rng.random((250, 300, 3))).astype(dtype) for _ in range(2))
    mask, options = ellipse(250, 300), dict(options)
    if options.pop("cut-out", False):
        src, mask = np.dstack([src, (mask * white).astype(dtype)]), None
    if options.get("color_weight") == "map":
        options["color_weight"] = 0.2 + rng.random((250, 300)).astype(np.float32)
    out = np.empty_like(dst)

    def call() -> Any:
        return getattr(blend, name)(src, dst, mask, out=out, return_info=True, **options)[1]

    size = Traced().peak_of(call)
    assert abs(call().peak_bytes - size) <= 0.02 * size + OBJECTS + SAMPLES * dst.itemsize


@CLIPS
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("poisson", {}),
        ("gaussian_poisson", {"method": "multigrid", "color_weight": 0.01}),
        ("gaussian_poisson", {"method": "chebyshev"}),
        ("gaussian_poisson", {"method": "dct", "color_weight": 0.1}),
    ],
)
def test_each_item_of_an_op_reports_what_it_held(name: str, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(15)
    src, dst = ((255 * rng.random((2, 250, 300, 3))).astype(np.uint8) for _ in range(2))
    mask = ellipse(250, 300) if options.get("method") != "dct" else np.ones((250, 300), bool)
    base = () if name == "poisson" else (src,)

    def call() -> Any:
        return getattr(ops, name)(src, dst, mask, *base, return_info=True, **options)[1]

    size = Traced().peak_of(call)
    first, second = call()
    assert first.peak_bytes == second.peak_bytes
    assert abs(first.peak_bytes + dst.nbytes - size) <= 0.02 * size + OBJECTS


@FLOODS
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("method", ["colorgrid", "mkl", "xue"])
def test_harmonize_reports_what_it_held(method: str) -> None:
    rng = np.random.default_rng(16)
    image = rng.random((400, 500, 3), np.float32)
    image[100:200, 150:300] *= 0.7
    mask = np.zeros((400, 500), bool)
    mask[100:200, 150:300] = True
    out = np.empty_like(image)

    def call() -> Any:
        return harmonize(image, mask, method=method, guard=False, out=out, return_info=True)[1]

    size = Traced().peak_of(call)
    assert abs(call().peak_bytes - size) <= 0.05 * size + OBJECTS


def test_the_result_does_not_count() -> None:
    dst, src = np.zeros((2000, 2000, 3), np.uint8), np.ones((20, 20, 3), np.uint8)
    _, info = blend.alpha(src, dst, np.full((20, 20), 128, np.uint8), at=(7, 7), return_info=True)
    assert info.peak_bytes < 10 * src.size


def test_without_info_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(native, "Memory")
    dst, src = np.zeros((20, 20, 3), np.uint8), np.ones((20, 20, 3), np.uint8)
    mask = ellipse(20, 20)
    for name in BLENDS:
        assert getattr(blend, name)(src, dst, mask).shape == dst.shape
    assert ops.poisson(src, dst, mask).shape == dst.shape
