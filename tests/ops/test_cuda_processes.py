"""CUDA around the kernels: threads, forked processes, streams, other devices, and devices that fail.

The kernels run on the emulator. Where a test needs what the emulator has not, a stand-in does what the documentation of
CUDA, CuPy or DLPack says that it does, and is named there.
"""

from __future__ import annotations

import gc
import importlib.util
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import pyharmony
from pyharmony import _cuda, _device, _native, blend, ops
from pyharmony.errors import DeviceError, OutOfMemory, PyHarmonyWarning
from pyharmony.ops import _gaussian_poisson_cuda

from ..cuda_arrays import Device, Interface, LateStreams, Streams, fetched
from ..shared import ROOT

Image = np.ndarray[Any, Any]


def pair(height: int, width: int, channels: int = 3, dtype: str = "uint8") -> tuple[Image, Image, Image]:
    """Returns src, dst and a mask, smooth with some noise."""
    rng = np.random.default_rng(height * width)
    y, x = np.mgrid[:height, :width][..., None] / 20.0
    shades = np.stack([np.sin(x + np.arange(channels)), np.cos(y - np.arange(channels))]) * 45 + 128
    src, dst = (shades + rng.uniform(-9, 9, shades.shape)).clip(0, 255) / (1 if dtype == "uint8" else 255)
    mask = np.hypot(y[..., 0] * 20 - height / 2, x[..., 0] * 20 - width / 2) < 0.4 * min(height, width)
    return src.astype(dtype), dst.astype(dtype), mask.astype(np.uint8) * 255


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch, emulator_module: Any) -> Callable[[Any], Any]:
    """Returns what makes a module the one of the devices; nothing has been warned of yet."""
    monkeypatch.setattr(_device._State, "messages", set())

    def set_to(module: Any) -> Any:
        monkeypatch.setattr(_native, "device_module", lambda: module)
        return module

    return set_to


# Threads: cudaFuncSetAttribute's limit is the kernel's, for all of them


def calls_of_sizes() -> list[Callable[[], Any]]:
    """Returns calls that each ask for another amount of shared memory of the same kernels."""
    one, four = pair(24, 24, 1), pair(90, 110, 4, "float32")
    small, large = pair(40, 40), pair(150, 140)
    whole = {"color_weight": 1e-3, "method": "dct", "device": "cuda"}
    return [
        lambda: ops.gaussian_poisson(*one, one[1], **whole),
        lambda: ops.gaussian_poisson(*four, four[1], **whole),
        lambda: ops.poisson(*small, device="cuda"),
        lambda: ops.poisson(*large, device="cuda"),
    ]


def test_no_call_lowers_the_shared_memory_that_a_kernel_may_have(use: Any, emulator_module: Any) -> None:
    use(emulator_module)
    for first in calls_of_sizes():
        first()
    limits = emulator_module.shared_limits()
    assert limits
    for call in calls_of_sizes():
        call()
        assert emulator_module.shared_limits() == limits


def test_threads_with_images_of_different_sizes_do_not_disturb_each_other(use: Any, emulator_module: Any) -> None:
    use(emulator_module)
    expected = [call() for call in calls_of_sizes()]
    failures: list[Exception] = []

    def work(call: Callable[[], Any], expected: Image) -> None:
        try:
            for _ in range(3):
                assert np.array_equal(call(), expected)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=both) for both in zip(calls_of_sizes(), expected, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


# Processes: "if CUDA was initialised in the parent, a forked child cannot use it" (CUDA C++ Programming Guide)

FORK = """
import importlib.util, multiprocessing, os, sys
import numpy as np
import pyharmony
from pyharmony import _native, ops

class Driver:
    '''The emulator, which a child of the process that initialised it cannot use: cudaErrorInitializationError.'''
    def __init__(self, module):
        self.module, self.asked, self.owner = module, 0, None
    def status(self):
        self.asked += 1
        if self.owner not in (None, os.getpid()):
            return "initialization error"
        self.owner = os.getpid()
        return ""
    def __getattr__(self, name):
        if self.owner not in (None, os.getpid()) and not name.endswith("Failure"):
            raise self.module.DeviceFailure("initialization error")
        return getattr(self.module, name)

spec = importlib.util.spec_from_file_location("_emulator", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
driver = _native.native.cuda = Driver(module)
y, x = np.mgrid[:40, :50]
src = np.stack([x * 5, y * 6, x + y], -1).astype(np.uint8)
dst = src[::-1].copy()
mask = (np.hypot(y - 20, x - 25) < 12).astype(np.uint8) * 255
on_cpu = ops.poisson(src, dst, mask, device="cpu")

def forked(work):
    context = multiprocessing.get_context("fork")
    process = context.Process(target=work)
    process.start()
    process.join()
    assert process.exitcode == 0
"""


def run_forked(emulator_module: Any, code: str) -> None:
    process = subprocess.run(
        [sys.executable, "-c", FORK + code, emulator_module.__file__], cwd=ROOT, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr


def test_the_processor_is_used_without_a_question_to_the_driver(emulator_module: Any) -> None:
    run_forked(emulator_module, """
ops.gaussian_poisson(src, dst, mask, dst, device="cpu")
pyharmony.blend.poisson(src, dst, mask, device="cpu")
pyharmony.set_device("cpu")
ops.poisson(src, dst, mask)
pyharmony.blend.gaussian_poisson(src, dst, mask)
assert driver.asked == 0
""")  # fmt: skip


def test_a_forked_child_runs_on_the_processor_and_says_why(emulator_module: Any) -> None:
    run_forked(emulator_module, """
_, info = ops.poisson(src, dst, mask, return_info=True)
assert info.device == "cuda:0" and driver.asked == 1

def child():
    found, info = ops.poisson(src, dst, mask, return_info=True)
    assert info.device == "cpu" and np.array_equal(found, on_cpu)
    assert not pyharmony.has_cuda()
    words = "this process was forked after CUDA was initialised, and CUDA works only in its parent"
    assert words in _native.cuda_status()
    pyharmony.set_device("cuda")
    assert np.array_equal(ops.poisson(src, dst, mask), on_cpu)
    try:
        pyharmony.set_device("cuda", strict=True)
    except pyharmony.errors.DeviceError as error:
        assert words in str(error)
    else:
        raise AssertionError("no error")
    forked(lambda: (_ for _ in ()).throw(SystemExit(pyharmony.has_cuda())))

forked(child)
assert pyharmony.has_cuda() and ops.poisson(src, dst, mask, return_info=True)[1].device == "cuda:0"
""")  # fmt: skip


def test_a_child_of_a_process_where_somebody_else_initialised_cuda_says_the_same(emulator_module: Any) -> None:
    run_forked(emulator_module, """
driver.owner = os.getpid()  # torch, say; pyharmony has asked for nothing

def child():
    assert np.array_equal(ops.poisson(src, dst, mask), on_cpu)
    assert "was forked after CUDA was initialised" in _native.cuda_status()

forked(child)
""")  # fmt: skip


def test_a_child_that_is_forked_before_uses_cuda_itself(emulator_module: Any) -> None:
    run_forked(emulator_module, """
def child():
    assert ops.poisson(src, dst, mask, return_info=True)[1].device == "cuda:0"

forked(child)
assert driver.asked == 0
""")  # fmt: skip


# Devices that fail

NO_CODE = "no kernel image is available for execution on the device; cuda:0 has capability 6.1, and this build has x"
CALLS: dict[str, Callable[..., Any]] = {
    "ops.poisson": lambda a, **k: ops.poisson(*a, **k),
    "ops.gaussian_poisson": lambda a, **k: ops.gaussian_poisson(*a, a[1], **k),
    "blend.poisson": lambda a, **k: blend.poisson(*a, **k),
    "blend.gaussian_poisson": lambda a, **k: blend.gaussian_poisson(*a, **k),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_device_that_the_build_has_no_code_for_is_left_alone(
    use: Any, emulator_module: Any, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    use(Device(emulator_module, status_of=lambda device: NO_CODE, DeviceBuffer=None))
    arrays = pair(40, 50)
    expected = CALLS[name](arrays, device="cpu")
    with caplog.at_level(logging.WARNING, "pyharmony"):
        result, info = CALLS[name](arrays, return_info=True)
        assert info.device == "cpu" and np.array_equal(result, expected)
        assert not caplog.records  # it was not asked for
        assert not pyharmony.has_cuda() and _native.cuda_status() == NO_CODE
        with pytest.warns(PyHarmonyWarning) as records:
            assert np.array_equal(CALLS[name](arrays, device="cuda"), expected)
        messages = [str(one.message) for one in records if one.category is PyHarmonyWarning]
        assert messages == [f"device: 'cuda' cannot be used: {NO_CODE}; running on the CPU"]
        assert not caplog.records


class Failing:
    """The emulator's module, of which after some launches each call fails with CUDA's own message."""

    def __init__(self, module: Any, failure: Exception, launches: int) -> None:
        self.module, self.failure, self.left = module, failure, launches

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.module, name)
        if not name.startswith(("poisson_solve", "gaussian_poisson_chebyshev", "pyramid_", "DeviceBuffer", "copy")):
            return value
        if name.endswith(("_schedule", "_report", "_report_bytes")):
            return value

        def call(*arguments: Any, **options: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise self.failure
            return value(*arguments, **options)

        return call


@pytest.mark.parametrize("launches", [0, 5, 8])
@pytest.mark.parametrize("kind", ["memory", "launch"])
@pytest.mark.parametrize("name", CALLS)
def test_a_device_that_nobody_asked_for_and_that_fails_is_replaced_by_the_processor(
    use: Any, emulator_module: Any, name: str, kind: str, launches: int, caplog: pytest.LogCaptureFixture
) -> None:
    failure, error = {
        "memory": (emulator_module.DeviceMemoryFailure("out of memory on the device: out of memory"), OutOfMemory),
        "launch": (emulator_module.DeviceFailure("kernel: CUDA-capable device(s) is/are busy"), DeviceError),
    }[kind]
    arrays = pair(40, 50)
    out = np.full_like(arrays[1], 7)
    expected = CALLS[name](arrays, device="cpu")
    into = {"out": out} if name.startswith("blend") else {}
    with caplog.at_level(logging.WARNING, "pyharmony"):
        for _ in range(3):
            use(Failing(emulator_module, failure, launches))
            result, info = CALLS[name](arrays, device="auto", return_info=True, **into)
            assert info.device == "cpu" and np.array_equal(result, expected)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 1 and messages[0].endswith("; running on the CPU")
    assert {"memory": "out of memory on the device", "launch": "busy"}[kind] in messages[0]
    use(Failing(emulator_module, failure, launches))
    with pytest.raises(error):
        CALLS[name](arrays, device="cuda")


def test_a_device_that_was_set_by_name_is_not_replaced(use: Any, emulator_module: Any) -> None:
    use(Failing(emulator_module, emulator_module.DeviceMemoryFailure("out of memory"), 0))
    pyharmony.set_device("cuda")
    try:
        with pytest.raises(OutOfMemory):
            ops.poisson(*pair(40, 50))
        assert ops.poisson(*pair(40, 50), device="auto").shape == (40, 50, 3)
    finally:
        pyharmony.set_device("auto")


def test_arrays_on_a_device_that_fails_are_not_taken_to_the_processor(use: Any, emulator_module: Any) -> None:
    use(Failing(emulator_module, emulator_module.DeviceMemoryFailure("out of memory"), 2))
    with pytest.raises(OutOfMemory):
        ops.poisson(*map(Interface, pair(40, 50)))


def test_memory_that_the_module_keeps_is_given_back_before_a_call_fails(use: Any, emulator_module: Any) -> None:
    """Another allocator cannot have that memory; here one finds room only after it is given back."""
    sizes: list[int] = []
    use(Device(emulator_module, give_back=sizes.append))
    place = _cuda.place_of({"dst": Interface(np.zeros((2, 3), np.uint8))}, None)
    assert place is not None

    def empty(shape: tuple[int, ...], dtype: Any) -> tuple[Any, Any]:
        if not sizes:
            raise OutOfMemory("out of memory on the device")
        return "made", "view"

    place._empty = empty  # type: ignore[method-assign]
    assert place.empty((4, 4), np.dtype(np.float32)) == ("made", "view") and sizes == [0]


# Several devices


def test_numpy_goes_to_the_current_device(use: Any, emulator_module: Any) -> None:
    """It is cudaGetDevice's, which torch.cuda.set_device and cupy's Device.use set, as each rank of torchrun does."""
    current = [1]
    use(Device(emulator_module, current_device=lambda: current[0]))
    place = _cuda.place_of({"dst": np.zeros((2, 2))}, "cuda")
    assert place is not None and place.name == "cuda:1"
    arrays = pair(40, 50)
    assert ops.poisson(*arrays, return_info=True)[1].device == "cuda:1"
    assert blend.gaussian_poisson(*arrays, return_info=True)[1].device == "cuda:1"
    solver = ops.PoissonSolver(arrays[2], device="cuda")
    current[0] = 0  # in another thread, say
    result, info = solver.solve(*arrays[:2], return_info=True)
    assert info.device == "cuda:1" and np.array_equal(result, ops.poisson(*arrays, device="cuda"))


def test_a_cupy_array_is_used_on_the_stream_of_its_own_device(use: Any, emulator_module: Any, monkeypatch: Any) -> None:
    """cupy.cuda.get_current_stream(device_id=-1) says: "the currently active device is selected by default"."""

    class ndarray:
        def __init__(self, array: Image, device: int) -> None:
            self.device = SimpleNamespace(id=device)
            self.__cuda_array_interface__ = Interface(array).__cuda_array_interface__

    streams = {0: SimpleNamespace(ptr=0x10), 1: SimpleNamespace(ptr=0x20)}
    active = 0

    def get_current_stream(device_id: int = -1) -> Any:
        return streams[active if device_id < 0 else device_id]

    cuda = SimpleNamespace(get_current_stream=get_current_stream)
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(ndarray=ndarray, cuda=cuda))
    use(emulator_module)
    image = np.zeros((3, 4, 3), np.uint8)
    for device, stream in ((0, 0x10), (1, 0x20)):
        described = _cuda.describe(ndarray(image, device), "src")
        assert (described.device, described.stream) == (device, stream)


# Streams


def test_a_consumer_that_names_no_stream_waits_for_the_array(use: Any, emulator_module: Any) -> None:
    """The array API says of __dlpack__: for None "producer must assume the legacy default stream"; for -1 no order."""
    for stream, waits in ((None, True), (1, True), (-1, False), (13, False)):
        streams = use(LateStreams(emulator_module))
        src, dst, mask = pair(24, 30)
        result = ops.poisson(*(Interface(a, stream=9) for a in (src, dst, mask)))
        result.__dlpack__(stream=stream)
        streams.synchronize(0, 1)
        assert np.array_equal(fetched(result), ops.poisson(src, dst, mask, device="cuda")) == waits
        streams.synchronize(0, 9)
        assert np.array_equal(fetched(result), ops.poisson(src, dst, mask, device="cuda"))


def test_a_solver_is_used_on_another_stream_after_it_is_made(use: Any, emulator_module: Any) -> None:
    src, dst, mask = pair(40, 50)
    use(emulator_module)
    expected = ops.poisson(src, dst, mask, color_weight=0.1, device="cuda")
    weights = np.full(mask.shape, 0.1, np.float32)
    weights[0] = 0.2
    with_map = ops.poisson(src, dst, mask, color_weight=weights, device="cuda")
    for color_weight, expected_result in ((0.1, expected), (weights, with_map)):
        streams = use(LateStreams(emulator_module))
        there = Interface(weights, stream=7) if color_weight is weights else color_weight
        solver = ops.PoissonSolver(Interface(mask, stream=7), there)
        result = solver.solve(Interface(src, stream=9), Interface(dst, stream=9))
        streams.synchronize(0, 9)
        assert np.array_equal(fetched(result), expected_result)


def test_frames_on_different_streams_follow_each_other(use: Any, emulator_module: Any) -> None:
    src, dst, mask = pair(40, 50, dtype="float32")
    frames = [np.clip(dst + np.float32(0.02) * i, 0, 1) for i in range(4)]
    use(emulator_module)
    sequence = ops.PoissonSolver(Interface(mask)).sequence()
    expected_frames = [fetched(sequence.solve(Interface(src), Interface(frame))) for frame in frames]
    streams = use(LateStreams(emulator_module))
    sequence = ops.PoissonSolver(Interface(mask, stream=7)).sequence()
    results = [
        sequence.solve(Interface(src, stream=stream), Interface(frame, stream=stream))
        for frame, stream in zip(frames, (9, 11, 9, 13), strict=True)
    ]
    for stream in (13, 9, 11):
        streams.synchronize(0, stream)
    for result, expected in zip(results, expected_frames, strict=True):
        assert np.array_equal(fetched(result), expected)


def test_the_memory_of_a_solver_is_not_given_to_others_before_its_last_solve(use: Any, emulator_module: Any) -> None:
    """cudaFreeAsync keeps the order of its stream, which has to wait for the stream that still reads."""
    src, dst, mask = pair(40, 50)
    use(emulator_module)
    expected = ops.poisson(src, dst, mask, device="cuda")
    module = use(LateStreams(emulator_module))

    class Buffer:
        """Memory that NaNs fill, as by its next owner, when its stream comes to the place where it was freed."""

        def __init__(self, nbytes: int, device: int, stream: int, stream_owner: Any = None) -> None:
            self.memory, self.stream = LateStreams.DeviceBuffer(module, nbytes, device, stream), stream
            self.pointer, self.bytes = self.memory.pointer, nbytes
            self.uses: list[Any] = []

        def used_on(self, stream: int) -> None:
            self.uses.append(module.Event(0, stream))

        def __del__(self) -> None:
            memory, size = self.memory, self.bytes
            for use in self.uses:
                use.hold(self.stream)
            junk = np.full(size, 0xFF, np.uint8)
            module._put(self.stream, lambda: emulator_module.copy_in(memory.pointer, junk.ctypes.data, size, 0, 0))

    module.DeviceBuffer = Buffer
    solver = ops.PoissonSolver(Interface(mask, stream=7))
    result = solver.solve(Interface(src, stream=9), Interface(dst, stream=9))
    del solver
    gc.collect()
    module.synchronize(0, 7)
    module.synchronize(0, 9)
    assert np.array_equal(fetched(result), expected)


def test_in_a_capture_a_solver_waits_for_no_stream_beside_it(
    use: Any, emulator_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cudaErrorStreamCaptureIsolation ends a capture that does. torch.cuda.graph waits for the device as it begins."""
    ordered: list[tuple[int, int]] = []

    class Event:
        def __init__(self, device: int, stream: int) -> None:
            self.stream = stream

        def hold(self, later: int) -> None:
            ordered.append((self.stream, later))

    def order(earlier: int, later: int, device: int) -> None:
        ordered.append((earlier, later))

    captured: list[int] = []
    use(Device(emulator_module, Event=Event, order=order, is_capturing=lambda stream, device: stream in captured))
    cupy = Streams(emulator_module)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    src, dst, mask = map(cupy.ndarray, pair(40, 50))
    with cupy.cuda.Stream() as first:
        solver = ops.PoissonSolver(mask)
    with cupy.cuda.Stream() as second:
        captured.append(second.ptr)
        solver.solve(src, dst)
        assert ordered == []
        captured.clear()
        solver.solve(src, dst)
        assert (first.ptr, second.ptr) in ordered


class Torch:
    """A tensor's allocator in the part that concerns streams: `record_stream` keeps memory until their work is done."""

    def __init__(self) -> None:
        self.recorded: list[Any] = []

    def record_stream(self, stream: Any) -> None:
        self.recorded.append(stream)


def test_torch_is_told_of_the_stream_that_reads_its_memory(
    use: Any, emulator_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordered: list[tuple[int, ...]] = []
    use(Device(emulator_module, order=lambda *streams: ordered.append(streams)))
    tensor = Torch()
    current = SimpleNamespace(cuda_stream=9)
    cuda = SimpleNamespace(current_stream=lambda device: current)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(Tensor=Torch, cuda=cuda))
    monkeypatch.setattr(_cuda, "is_torch", lambda x: isinstance(x, Torch))
    place = _cuda.Place("torch", 0, 9, True)
    memory = _cuda.DeviceArray(64, (4,), (1,), np.dtype(np.uint8), 0, 7, tensor)
    with place.using(memory, None):
        assert ordered == [(7, 9, 0)] and not tensor.recorded
    assert tensor.recorded == [current]
    assert ordered == [(7, 9, 0)]  # what only reads holds nobody up
    with place.using(memory, writing=True):
        pass
    assert ordered[1:] == [(7, 9, 0), (9, 7, 0)]
    # The stream that reads is CuPy's: torch's own waits for it, since CuPy may destroy it before the tensor is freed.
    ordered.clear()
    current.cuda_stream = 7
    with place:
        assert place.take(memory, "dst").stream == 9
        assert ordered == [(7, 9, 0)]
    assert ordered[1:] == [(9, 7, 0)] and tensor.recorded == [current, current]


@pytest.mark.parametrize(
    "call",
    [
        lambda src, dst, mask, out: ops.poisson(src, dst, mask),
        lambda src, dst, mask, out: ops.PoissonSolver(mask).solve(src, dst),
        lambda src, dst, mask, out: ops.gaussian_poisson(src, dst, mask, src),
        lambda src, dst, mask, out: ops.color_grid(
            src, mask, affine=Interface(np.eye(3, 4, dtype=np.float32), stream=7)
        ),
        lambda src, dst, mask, out: blend.gaussian_poisson(src, dst, mask, preserve_background=False, out=out),
    ],
)
def test_memory_of_other_streams_waits_for_the_call_that_reads_it(
    use: Any, emulator_module: Any, call: Callable[..., Any]
) -> None:
    """Dropped after the call, it would be allocated again on its own stream while the kernels read it."""
    ordered: list[tuple[int, ...]] = []
    use(Device(emulator_module, order=lambda *streams: ordered.append(streams)))
    images = (*pair(40, 50), pair(40, 50)[1])
    call(*(Interface(a, stream=stream) for a, stream in zip(images, (9, 7, 5, 3), strict=True)))
    pairs = {streams[:2] for streams in ordered}
    # Each stream that another one waits for waits for it in turn, at the end.
    assert pairs and all((later, earlier) in pairs for earlier, later in pairs)


def test_a_solver_of_cupy_outlives_the_block_of_its_stream(
    use: Any, emulator_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CuPy destroys a stream with its object, so whatever still needs the stream keeps that."""
    src, dst, mask = pair(40, 50)
    use(emulator_module)
    weights = np.full(mask.shape, 0.1, np.float32)
    weights[0] = 0.2
    for color_weight in (0.1, weights):
        expected = ops.poisson(src, dst, mask, color_weight=color_weight, device="cuda")
        cupy = Streams(emulator_module)
        monkeypatch.setitem(sys.modules, "cupy", cupy)
        there = cupy.ndarray(weights) if color_weight is weights else color_weight
        with cupy.cuda.Stream() as stream:
            solver = ops.PoissonSolver(cupy.ndarray(mask), there)
        handle = stream.ptr
        del stream
        gc.collect()
        for _ in range(2):
            with cupy.cuda.Stream():
                result = solver.solve(cupy.ndarray(src), cupy.ndarray(dst))
                assert np.array_equal(result.array, expected)
                assert solver.unknowns == np.count_nonzero(mask)
        emulator_module.order(handle, 0, 0)
        del solver
        gc.collect()
        with pytest.raises(emulator_module.DeviceFailure, match="it was destroyed"):
            emulator_module.order(handle, 0, 0)


def test_what_is_made_on_a_stream_that_was_destroyed_is_used_and_freed(use: Any, emulator_module: Any) -> None:
    """No object owns an external stream. Its work is waited for by an event that was recorded before."""
    use(emulator_module)
    src, dst, mask = pair(40, 50)
    expected = ops.poisson(src, dst, mask, device="cuda")
    gone = emulator_module.create_stream()
    solver = ops.PoissonSolver(Interface(mask, stream=gone))
    sequence = solver.sequence()
    sequence.solve(Interface(src, stream=gone), Interface(dst, stream=gone))
    emulator_module.destroy_stream(gone)
    with pytest.raises(emulator_module.DeviceFailure, match="it was destroyed"):
        emulator_module.DeviceBuffer(8, 0, gone)
    for stream in (emulator_module.create_stream(), 0):
        result = solver.solve(Interface(src, stream=stream), Interface(dst, stream=stream))
        assert np.array_equal(fetched(result), expected)
        sequence.solve(Interface(src, stream=stream), Interface(dst, stream=stream))
    assert solver.unknowns == np.count_nonzero(mask)
    assert np.array_equal(ops.poisson(src, dst, mask, device="cuda"), expected)


def test_a_result_keeps_the_owner_of_its_stream(use: Any, emulator_module: Any) -> None:
    """The interface's text on a stream: its "lifetime is equal to or surpasses the lifetime of the object from
    which the interface was exported". So a result that names the stream of an input keeps that input."""
    use(emulator_module)

    class Owner(Interface):
        def __init__(self, array: Image) -> None:
            self.stream = emulator_module.create_stream()
            super().__init__(array, stream=self.stream)

        def __del__(self) -> None:
            emulator_module.destroy_stream(self.stream)

    src, dst, mask = pair(40, 50)
    expected = ops.poisson(src, dst, mask, device="cuda")
    result = ops.poisson(Owner(src), Owner(dst), Owner(mask))
    gc.collect()
    interface = result.__cuda_array_interface__
    emulator_module.order(interface["stream"], 0, 0)
    result.__dlpack__(stream=5)
    again = ops.poisson(Interface(src), result, Interface(mask))
    assert np.array_equal(fetched(result), expected) and fetched(again).shape == dst.shape
    del result, again
    gc.collect()
    with pytest.raises(emulator_module.DeviceFailure, match="it was destroyed"):
        emulator_module.order(interface["stream"], 0, 0)


# Captures


def test_tables_that_were_dropped_are_freed_after_their_readers_and_never_under_a_graph(
    use: Any, emulator_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    captured: list[int] = []
    alive: set[int] = set()
    uses: list[int] = []

    class Buffer:
        def __init__(self, nbytes: int, device: int, stream: int, stream_owner: Any = None) -> None:
            self.memory = emulator_module.DeviceBuffer(nbytes, device, stream)
            self.pointer, self.bytes = self.memory.pointer, nbytes
            alive.add(self.pointer)

        def used_on(self, stream: int) -> None:
            uses.append(stream)

        def __del__(self) -> None:
            alive.discard(self.pointer)

    use(Device(emulator_module, DeviceBuffer=Buffer, is_capturing=lambda stream, device: stream in captured))
    tables = _gaussian_poisson_cuda._Tables()
    eq: Any = SimpleNamespace(weight=0.1, w0=1.0, w1=0.0)
    place = _cuda.place_of({"dst": Interface(np.zeros((2, 2), np.uint8), stream=9)}, None)
    assert place is not None
    first, second = (tables.of(place, width, eq) for width in (16, 18))
    tables.used(place, second[2])
    captured.append(9)
    assert tables.of(place, 16, eq)[0] == first[0]
    tables.used(place, first[2])
    captured.clear()
    assert uses == [9]
    table, dropped = first[0][0], second[0][0]
    del first, second
    for width in range(20, 20 + 2 * tables.MAX_ENTRIES, 2):
        tables.of(place, width, eq)
    gc.collect()
    assert table in alive and dropped not in alive


def test_a_captured_call_has_no_result_in_memory_of_the_graph(use: Any, emulator_module: Any) -> None:
    """What cudaMallocFromPoolAsync returns in a capture is the graph's: valid from the node that allocates to the one
    that frees (CUDA C++ Programming Guide, Graph Memory Nodes). torch's and CuPy's allocators keep theirs.
    """
    use(Device(emulator_module, is_capturing=lambda stream, device: stream == 9))
    src, dst, mask = pair(40, 50)
    arrays = [Interface(a, stream=9) for a in (src, dst, mask)]
    for call in (
        lambda: ops.poisson(*arrays),
        lambda: ops.gaussian_poisson(*arrays, arrays[1]),
        lambda: blend.poisson(*arrays),
        lambda: blend.gaussian_poisson(*arrays, preserve_background=False),
        lambda: ops.PoissonSolver(arrays[2]),
    ):
        with pytest.raises(
            DeviceError, match=r"captured in a CUDA graph .* pass `out` where the call has it, or arrays"
        ):
            call()
    out = Interface(np.zeros_like(dst), stream=9)
    blend.poisson(*arrays, out=out)
    use(emulator_module)
    assert np.array_equal(out.array, fetched(blend.poisson(*map(Interface, (src, dst, mask)))))


def test_a_call_that_waits_for_the_device_says_so_in_a_capture(use: Any, emulator_module: Any) -> None:
    """Else the capture would end in an error of torch's or CUDA's, that does not say what to pass."""
    use(Device(emulator_module, is_capturing=lambda stream, device: stream == 9))
    src, dst, mask = pair(40, 50)
    arrays = [Interface(a, stream=9) for a in (src, dst, mask)]
    out, weights = (Interface(np.zeros_like(a), stream=9) for a in (dst, mask.astype(np.float32)))
    for call, says in (
        (lambda: blend.gaussian_poisson(*arrays, preserve_background=True, out=out),
         "the box of mask .* preserve_background=False"),
        (lambda: blend.gaussian_poisson(*arrays, preserve_background=False, color_weight=weights, out=out),
         "the range of color_weight .* pass a number"),
        (lambda: blend.gaussian_poisson(*arrays, preserve_background=False, out=out, return_info=True),
         "the info .* pass return_info=False"),
    ):  # fmt: skip
        with pytest.raises(DeviceError, match=f"reads {says}.* outside of the capture"):
            call()


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
def test_a_loader_may_pin_memory_while_a_step_is_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the mode "global" of cudaStreamBeginCapture a call such as cudaHostAlloc of any thread fails and ends the
    capture (cudaErrorStreamCaptureUnsupported); in "thread_local" only those of the capturing thread do."""
    import torch

    from pyharmony.learn.training.steps import _step

    captures: list[Any] = []

    class Graph:
        def __init__(
            self, graph: Any, pool: Any = None, stream: Any = None, capture_error_mode: str = "global"
        ) -> None:
            self.mode, self.thread, self.valid = capture_error_mode, threading.get_ident(), True

        def __enter__(self) -> None:
            captures.append(self)

        def __exit__(self, *failure: Any) -> None:
            captures.remove(self)
            if not self.valid:
                raise RuntimeError("operation failed due to a previous error during capture")

    def host_alloc() -> None:
        for capture in captures:
            if capture.mode == "global" or capture.thread == threading.get_ident():
                capture.valid = False
                raise RuntimeError("operation not permitted when stream is capturing")

    class Stream:
        def __init__(self, device: Any = None) -> None:
            pass

        def wait_stream(self, other: Any) -> None:
            pass

        def __enter__(self) -> None:
            pass

        def __exit__(self, *failure: Any) -> None:
            pass

    for name, value in {
        "Stream": Stream, "stream": lambda stream: stream, "current_stream": Stream, "CUDAGraph": lambda: object(),
        "graph": Graph, "get_rng_state": lambda device: None, "set_rng_state": lambda state, device: None,
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, value)

    failures: list[Exception] = []

    class Step(_step.Step):
        def __init__(self) -> None:
            self.device, self.model = torch.device("cpu"), torch.nn.Linear(2, 2)
            self.optimizers: dict[str, Any] = {}
            self.observed: dict[str, Any] = {}
            self.scales: dict[str, Any] = {}

        def _checked(self, batch: Any) -> Any:
            return batch

        def run(self, batch: Any) -> dict[str, Any]:
            def pin() -> None:
                try:
                    host_alloc()
                except RuntimeError as error:
                    failures.append(error)

            loader = threading.Thread(target=pin)
            loader.start()
            loader.join()
            return {"loss": self.model(batch["x"]).sum()}

    captured = _step.CapturedStep(Step(), {"x": torch.ones(1, 2)})
    graph, losses, _ = captured._captured()
    assert graph is not None and set(losses) == {"loss"} and not failures
