"""NumPy arrays to a device and back through two pinned buffers, on the emulator and with streams that are late."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pyharmony import _cuda, _native, _staging, ops

from ..cuda_arrays import Device, Interface, LateStreams

PART = 1 << 12


class Counting(Device):
    """The emulator's module, which counts the pinned buffers there are, and the most there were."""

    def __init__(self, module: Any, **instead: Any) -> None:
        super().__init__(module, **instead)
        self.count = self.most = self.allocations = 0
        self.lock = threading.Lock()

    def PinnedBuffer(self, nbytes: int, device: int) -> Any:
        counter = self

        class Buffer:
            def __init__(self) -> None:
                self.memory = counter._module.PinnedBuffer(nbytes, device)
                self.pointer, self.bytes = self.memory.pointer, nbytes
                with counter.lock:
                    counter.count, counter.allocations = counter.count + 1, counter.allocations + 1
                    counter.most = max(counter.most, counter.count)

            def __del__(self) -> None:
                with counter.lock:
                    counter.count -= 1

        return Buffer()


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    _staging.release()
    monkeypatch.setattr(_staging, "PART", PART)
    monkeypatch.setattr(_staging, "MIN_STAGED_BYTES", PART + 1)
    yield
    _staging.release()


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Any:
    def set_to(module: Any) -> Any:
        monkeypatch.setattr(_native, "device_module", lambda: module)
        return module

    return set_to


def place_there() -> _cuda.Place:
    place = _cuda.place_of({"dst": np.zeros((2, 2))}, "cuda")
    assert place is not None
    return place


def random(nbytes: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 256, nbytes, np.uint8)


SIZES = (0, 1, PART - 1, PART, PART + 1, 2 * PART - 1, 2 * PART, 2 * PART + 1, 5 * PART, 7 * PART + 123)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("nbytes", SIZES)
def test_the_bits_are_the_same_there_and_back(use: Any, emulator_module: Any, late: bool, nbytes: int) -> None:
    """Late streams read pinned memory when the copy is done: a buffer that is overwritten before would show."""
    module = use(LateStreams(emulator_module) if late else Counting(emulator_module))
    place, values = place_there(), random(nbytes)
    expected = values.copy()
    there = place.take(values, "src")
    values[:] = 0  # the caller's memory is free after the call
    assert np.array_equal(place.fetch(there), expected)
    again = place.put(expected)
    assert np.array_equal(place.fetch(again), expected)
    if not late:
        assert module.allocations == (2 if nbytes > PART else 0)


@pytest.mark.parametrize(
    "view", [lambda a: a[::-1], lambda a: a[:, ::2], lambda a: np.moveaxis(a, -1, 0), lambda a: a[3:, 5:90:3, 1:]]
)
def test_arrays_of_any_strides(use: Any, emulator_module: Any, view: Any) -> None:
    use(LateStreams(emulator_module))
    place, image = place_there(), view(random(64 * 100 * 3).reshape(64, 100, 3))
    there = place.take(image, "src")
    assert np.array_equal(place.fetch(there), image)
    transposed = there.transpose(tuple(reversed(range(there.ndim))))
    assert np.array_equal(place.fetch(transposed), image.transpose())


def test_a_call_has_the_bits_of_one_without_parts(
    use: Any, emulator_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(emulator_module)
    src, dst = random(60 * 50 * 3).reshape(60, 50, 3), random(60 * 50 * 3, 1).reshape(60, 50, 3)
    mask = np.zeros((60, 50), np.uint8)
    mask[10:50, 10:40] = 255
    result = ops.poisson(src, dst, mask, device="cuda", tolerance=2)
    monkeypatch.setattr(_staging, "MIN_STAGED_BYTES", 1 << 40)
    assert np.array_equal(result, ops.poisson(src, dst, mask, device="cuda", tolerance=2))


def test_buffers_are_used_again_bounded_and_freed(use: Any, emulator_module: Any) -> None:
    module = use(Counting(emulator_module))
    place = place_there()
    for i in range(5):
        values = random(3 * PART + i, i)
        assert np.array_equal(place.fetch(place.take(values, "src")), values)
    assert module.allocations == module.count == 2  # one pair, kept for the next call
    _staging.release()
    gc.collect()
    assert module.count == 0


def test_threads_share_a_few_buffers(use: Any, emulator_module: Any) -> None:
    module = use(Counting(emulator_module))
    failures: list[Exception] = []

    def work(seed: int) -> None:
        try:
            place = place_there()
            for i in range(20):
                values = random((2 + (seed + i) % 5) * PART + seed, seed)
                assert np.array_equal(place.fetch(place.take(values, "src")), values)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gc.collect()
    assert not failures and module.most <= 2 * _staging.MAX_BUFFER_PAIRS + 2 and module.count <= 2


def test_a_copy_that_fails_gives_its_buffers_back(use: Any, emulator_module: Any) -> None:
    module = use(Counting(emulator_module))
    place, values = place_there(), random(4 * PART)
    there = place.take(values, "src")
    for name in ("copy_in", "copy_out", "copy_host"):

        def fail(*_: Any) -> None:
            raise emulator_module.DeviceFailure("an illegal address")

        setattr(module, name, fail)
        for _ in range(_staging.MAX_BUFFER_PAIRS + 1):  # nobody waits for buffers that were lost
            with pytest.raises(_cuda.DeviceError, match="an illegal address"):
                place.fetch(there) if name == "copy_out" else place.take(values, "src")
        delattr(module, name)
    assert np.array_equal(place.fetch(there), values)


def test_without_pinned_memory_arrays_are_copied_as_before(
    use: Any, emulator_module: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(nbytes: int, device: int) -> Any:
        raise emulator_module.DeviceMemoryFailure("pinned memory: out of memory")

    use(Device(emulator_module, PinnedBuffer=refuse))
    place, values = place_there(), random(4 * PART)
    with caplog.at_level(logging.WARNING, "pyharmony"):
        for _ in range(3):
            assert np.array_equal(place.fetch(place.take(values, "src")), values)
    assert [record.message for record in caplog.records] == [
        "NumPy arrays are copied to and from cuda:0 unpinned: pinned memory: out of memory"
    ]


def test_in_a_capture_nothing_is_waited_for(use: Any, emulator_module: Any) -> None:
    module = use(Counting(emulator_module, is_capturing=lambda stream, device: True))
    place, values = place_there(), random(4 * PART)
    there = place.take(values, "src")
    assert module.allocations == 0
    module.is_capturing = lambda stream, device: False
    assert np.array_equal(place.fetch(there), values)


def test_solves_that_are_read_follow_the_device(
    use: Any, emulator_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that waits anyway enqueues fewer iterations, through memory that a thread has once for a device."""
    monkeypatch.setattr(_staging, "MIN_STAGED_BYTES", 1 << 30)
    module = use(Counting(emulator_module))
    rng = np.random.default_rng(2)
    src, dst = (rng.integers(0, 256, (70, 60, 3), np.uint8) for _ in range(2))
    mask = np.zeros((70, 60), np.uint8)
    mask[10:60, 8:50] = 255
    there = [Interface(a) for a in (src, dst, mask)]

    def launches(call: Any) -> int:
        before = emulator_module.launch_count()
        call()
        return int(emulator_module.launch_count() - before)

    enqueued = launches(lambda: ops.poisson(*there))  # nobody waits, so that every iteration is there
    assert module.allocations == 0
    launches_of_solve = launches(lambda: ops.poisson(src, dst, mask, device="cuda"))
    assert launches_of_solve <= enqueued - 3 * 6 and module.allocations == 1
    _, info = ops.poisson(*there, return_info=True)
    assert info.iterations <= 5 and module.allocations == 1
    thread = threading.Thread(target=lambda: ops.poisson(src, dst, mask, device="cuda"))
    thread.start()
    thread.join()
    gc.collect()
    assert module.allocations == 2 and module.count == 1

    most = _staging.FLAGS
    assert _staging.flags(module, most, 0, 0) and _staging.flags(module, most + 1, 0, 0) is None
    module.is_capturing = lambda stream, device: True
    assert _staging.flags(module, 1, 0, 0) is None
    _staging.release()
    assert module.count == 0


def test_without_pinned_memory_every_iteration_is_enqueued(use: Any, emulator_module: Any) -> None:
    def refuse(nbytes: int, device: int) -> Any:
        raise emulator_module.DeviceMemoryFailure("pinned memory: out of memory")

    src, mask = np.zeros((20, 20, 3), np.uint8), np.zeros((20, 20), np.uint8)
    mask[4:15, 4:15], dst = 255, np.full_like(src, 99)
    use(emulator_module)
    expected = ops.poisson(src, dst, mask, device="cuda")
    use(Device(emulator_module, PinnedBuffer=refuse))
    assert np.array_equal(ops.poisson(src, dst, mask, device="cuda"), expected)
