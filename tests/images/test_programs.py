"""Calls on a device that are repeated: each gives what a call gives that is not, at whatever addresses."""

from __future__ import annotations

import collections
import concurrent.futures
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from pyharmony import _cuda, _native, blend
from pyharmony._images import programs
from pyharmony.errors import ArgumentError, DTypeError, OutOfMemory, UnchangedWarning

from ..cuda_arrays import Device, Interface, fetched


@pytest.fixture(autouse=True)
def entries(emulator_module: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(_native, "device_module", lambda: emulator_module)
    empty: Any = collections.OrderedDict()
    monkeypatch.setattr(programs, "_repeats", empty)
    yield empty
    # Views of memory that is gone are not left to the checker.
    empty.clear()


#: Functions of arrays of the emulator, which their signatures do not name.
poisson: Any = blend.poisson
gaussian_poisson: Any = blend.gaussian_poisson
WHOLE = {"preserve_background": False}
SIZE = 61


def arrays(seed: int, dtype: str = "uint8", size: int = SIZE, soft: bool = False) -> tuple[np.ndarray[Any, Any], ...]:
    rng = np.random.default_rng(seed)
    src, dst = (rng.integers(0, 256, (size, size + 9, 3)).astype(dtype) for _ in range(2))
    if dtype == "float32":
        src, dst = src / np.float32(255), dst / np.float32(255)
    mask = np.zeros((size, size + 9), np.uint8)
    mask[5 + seed : -7, 4 : -9 - seed] = 255
    if soft:
        mask[5 + seed] = 90
    return src, dst, mask


def unrepeated(monkeypatch: pytest.MonkeyPatch, call: Callable[[], Any]) -> np.ndarray[Any, Any]:
    """Returns the result of a call that is neither recorded nor repeated."""
    with monkeypatch.context() as patch:
        patch.setattr(programs, "_described", lambda arguments: None)
        return fetched(call())


def ways(entries: Any) -> list[tuple[int, int]]:
    """Returns, of each form, the number of its programs and that of attempts to record one."""
    return [(len(entry.idle), entry.attempts) for entry in entries.values()]


CALLS: dict[str, Callable[..., Any]] = {
    "poisson": poisson,
    "poisson, a weight": lambda *a: poisson(*a, color_weight=0.1, gradients="mixed", contour="full"),
    "gaussian_poisson": lambda *a: gaussian_poisson(*a, **WHOLE),
    "gaussian_poisson, a small weight": lambda *a: gaussian_poisson(*a, **WHOLE, color_weight=0.001),
    "gaussian_poisson, copy-paste": lambda *a: gaussian_poisson(*a, **WHOLE, base="copy-paste", sigma=0.5),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_repeated_call_gives_what_the_call_gives(
    name: str, dtype: str, entries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = CALLS[name]
    inputs = []  # They stay alive, so that addresses differ.
    for seed in range(5):
        there = [Interface(a) for a in arrays(seed, dtype, soft=bool(seed % 2))]
        inputs.append(there)
        result = fetched(call(*there))
        assert np.array_equal(result, unrepeated(monkeypatch, functools.partial(call, *there)))
    # The tables of a width are copied by the first call, which is another one.
    ((programs, attempts),) = ways(entries)
    assert programs == 1 and attempts <= 1


def test_a_repeated_call_launches_as_much_and_asks_for_less(
    emulator_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = [Interface(a) for a in arrays(1)]
    launches = []
    for _ in range(4):
        before = emulator_module.launch_count()
        gaussian_poisson(*there, **WHOLE)
        launches.append(emulator_module.launch_count() - before)
    assert len(set(launches)) == 1
    called = []

    class Noted(Device):
        def __getattr__(self, name: str) -> Any:
            called.append(name)
            return getattr(self._module, name)

    noted = Noted(emulator_module)
    monkeypatch.setattr(_native, "device_module", lambda: noted)
    for _ in range(3):
        called.clear()
        gaussian_poisson(*there, **WHOLE)
    # The launches are called as they were recorded.
    assert set(called) == {"is_capturing", "device_of", "DeviceBuffer"} and called.count("DeviceBuffer") == 2


def test_other_forms_are_other_programs(entries: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    src, dst, mask = arrays(0)
    far = np.empty((SIZE, SIZE + 9, 4), np.uint8)[..., :3]
    far[...] = dst
    shifted = np.frombuffer(bytearray(mask.nbytes + 1), np.uint8)[1:].reshape(mask.shape)
    shifted[...] = mask
    cases: list[tuple[Any, dict[str, Any]]] = [
        ((src, dst, mask), {}), ((src, far, mask), {}), ((src, dst, shifted), {}), ((src, dst, mask > 0), {}),
        ((src, dst, mask), {"color_weight": 0.5}), ((src, dst, mask), {"gradients": "mixed"}),
        ((src[:40, :50], dst, mask[:40, :50]), {"at": (7, 3)}), ((src[:40, :50], dst, mask[:40, :50]), {"at": (8, 3)}),
        ((src[..., :1], dst[..., :1], mask), {}), ((np.stack([src] * 2), np.stack([dst] * 2), mask), {}),
    ]  # fmt: skip
    for number, (images, options) in enumerate(cases, 1):
        for _ in range(2):
            there = [Interface(a) for a in images]
            result = fetched(poisson(*there, **options))
            expected = unrepeated(monkeypatch, functools.partial(poisson, *there, **options))
            assert np.array_equal(result, expected), (number, options)
        assert len(entries) == number


def test_out_is_written_and_returned(entries: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(3):
        there = [Interface(a) for a in arrays(seed)]
        memory = np.zeros((SIZE, SIZE + 9, 3), np.uint8)
        out = Interface(memory)
        assert poisson(*there, out=out) is out
        assert np.array_equal(memory, unrepeated(monkeypatch, functools.partial(poisson, *there)))
        with pytest.raises(ArgumentError, match="shares memory with dst"):
            poisson(*there, out=there[1])
    assert (1, 0) in ways(entries)


def test_what_is_refused_is_refused_after_a_call_that_was_not(entries: Any) -> None:
    there = [Interface(a) for a in arrays(0)]
    for _ in range(3):
        gaussian_poisson(*there, **WHOLE)
        for wrong in ({"preserve_background": 0}, {"tolerance": -1}, {"base": "none"}, {"color_weight": True}):
            with pytest.raises((ArgumentError, DTypeError)):
                gaussian_poisson(*there, **{**WHOLE, **wrong})
        with pytest.raises(DTypeError, match="src: dtype uint8 differs"):
            gaussian_poisson(there[0], Interface(arrays(0, "float32")[1]), there[2], **WHOLE)


def test_a_warning_comes_each_time() -> None:
    src, dst, mask = (Interface(a) for a in arrays(0))
    for _ in range(4):
        with pytest.warns(UnchangedWarning, match="outside"):
            poisson(src, dst, mask, at=(500, 500))


def test_a_call_that_waits_is_not_repeated(entries: Any) -> None:
    there = [Interface(a) for a in arrays(0)]
    for _ in range(programs._MOST_ATTEMPTS + 2):
        _, info = poisson(*there, return_info=True)
        assert info.method == "multigrid"
        gaussian_poisson(*there)  # the host reads the box of the mask
    assert ways(entries) == [(0, programs._MOST_ATTEMPTS)]


def test_memory_that_is_out_is_told_and_the_next_call_runs(
    emulator_module: Any, entries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = [Interface(a) for a in arrays(0)]
    poisson(*there)
    expected = fetched(poisson(*there))

    def full(nbytes: int, *_: Any) -> Any:
        raise emulator_module.DeviceMemoryFailure(f"{nbytes} bytes")

    failing = Device(emulator_module, DeviceBuffer=full)
    with monkeypatch.context() as patch:
        patch.setattr(_native, "device_module", lambda: failing)
        with pytest.raises(OutOfMemory):
            poisson(*there)
    assert np.array_equal(fetched(poisson(*there)), expected)


def test_threads_repeat_one_form_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [arrays(seed) for seed in range(6)]
    expected = [unrepeated(monkeypatch, functools.partial(poisson, *map(Interface, a))) for a in images]

    def work(number: int) -> bool:
        index = number % len(images)
        return np.array_equal(fetched(poisson(*map(Interface, images[index]))), expected[index])

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(48)))


def test_few_forms_are_kept(entries: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_MOST_FORMS", 3)
    for size in range(20, 26):
        poisson(*(Interface(a) for a in arrays(0, size=size)))
    assert len(entries) == 3


def test_scratch_is_used_again_as_the_call_did(emulator_module: Any) -> None:
    """Memory that is freed before other memory is taken has its place; what is used together lies apart."""
    recorder: Any = programs.Recorder(emulator_module, [])
    for number, (first, last, nbytes) in enumerate(((0, 2, 1000), (1, 4, 500), (2, 5, 900), (4, 9, 300), (0, 9, 10))):
        recorder.memories.append(programs._Memory(0, nbytes, first))
        recorder.last[number] = last
    recorder.launches = [None] * 9
    offsets, size = programs._packed(recorder, range(5))
    assert offsets == {0: 0, 1: 1024, 2: 0, 3: 1024, 4: 1536} and size == 1546


def test_nothing_is_recorded_beside_a_recorded_call(emulator_module: Any) -> None:
    recorder = programs.Recorder(emulator_module, [])
    with _cuda.recording(recorder):
        assert _cuda.recorder() is recorder and _cuda.kernels() is recorder
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            assert pool.submit(_cuda.recorder).result() is None
    assert _cuda.recorder() is None and _cuda.kernels() is emulator_module
