"""Arrays in the memory of the emulator's device, in the form in which other libraries hand them over."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from pyharmony._cuda import DeviceArray


class Interface:
    """NumPy memory that says it is a device's; numba and others hand over such objects."""

    def __init__(self, array: np.ndarray[Any, Any], **more: Any) -> None:
        self.array = array
        compact = array.flags.c_contiguous
        self.__cuda_array_interface__ = {
            "shape": array.shape,
            "typestr": array.dtype.str,
            "data": (array.ctypes.data, False),
            "strides": None if compact else array.strides,
            "version": 3,
            **more,
        }


def far_apart(values: np.ndarray[Any, Any], axis: int, module: Any = None) -> np.ndarray[Any, Any]:
    """Returns a copy whose neighbours along an axis lie 2^31 values and a cache line apart, and whose others do not.

    Only what is touched becomes memory. The checker of `module` keeps words for all memory between, so that with it
    they lie 2^14 values apart.
    """
    step = (1 << (14 if module is not None and module.checked else 31)) + 128 // values.itemsize
    order = (axis, *(i for i in range(values.ndim) if i != axis))
    packed = np.ascontiguousarray(values.transpose(order))
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0x4000)
    memory = mmap.mmap(-1, (len(packed) - 1) * step * values.itemsize + packed.nbytes, flags=flags)
    strides = (step * values.itemsize, *packed.strides[1:])
    far: np.ndarray[Any, Any] = np.ndarray(packed.shape, values.dtype, memory, strides=strides)
    far[...] = packed
    return far.transpose(np.argsort(order))


def view(module: Any, x: np.ndarray[Any, Any] | None, writable: bool = False) -> Any:
    """Returns the ArrayView of a module of kernels for NumPy memory."""
    if x is None:
        return None
    return module.ArrayView(x.ctypes.data, x.dtype.name, x.shape, tuple(s // x.itemsize for s in x.strides), writable)


def fetched(array: DeviceArray) -> np.ndarray[Any, Any]:
    """Returns the values on the emulator's device, whose memory is the CPU's."""
    values = (ctypes.c_char * array.nbytes).from_address(array.pointer)
    return np.frombuffer(values, array.dtype).reshape(array.shape).copy()


class Device:
    """The emulator's module with some names replaced: a device that fails, or is another one."""

    def __init__(self, module: Any, **instead: Any) -> None:
        self._module = module
        for name, value in instead.items():
            setattr(self, name, value)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


class LateStreams(Device):
    """The emulator's module with streams whose work begins as late as CUDA allows.

    What is put on a stream is done in its order, and between streams in none but that of events: "operations in
    different streams may run in any order" (CUDA C++ Programming Guide, Streams). So it is left until somebody waits
    for the stream, or until a stream that waits for an event behind it comes to that event. Memory of the host is read
    at once where it is pageable, as cudaMemcpyAsync does, and as late as all else where it is pinned. 0 and 1 are the
    legacy default stream.
    """

    def __init__(self, module: Any) -> None:
        super().__init__(module)
        self._queues: dict[int, list[Callable[[], Any]]] = {}
        self._alive: list[Any] = []
        self._pinned: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._module, name)
        if not callable(value):
            return value

        def put(*arguments: Any, **options: Any) -> Any:
            if "stream" not in options:
                return value(*arguments, **options)
            return self._put(options["stream"], lambda: value(*arguments, **options))

        return value if isinstance(value, type) else put

    def _queue(self, stream: int) -> list[Callable[[], Any]]:
        return self._queues.setdefault(max(stream, 1), [])

    def _put(self, stream: int, work: Callable[[], Any]) -> None:
        self._queue(stream).append(work)

    def DeviceBuffer(self, nbytes: int, device: int, stream: int, stream_owner: Any = None) -> Any:
        self._alive.append(self._module.DeviceBuffer(nbytes, device, stream))
        return self._alive[-1]

    def Event(self, device: int, stream: int) -> LateEvent:
        return LateEvent(self, stream)

    def PinnedBuffer(self, nbytes: int, device: int) -> Any:
        self._pinned.append(self._module.PinnedBuffer(nbytes, device))
        return self._pinned[-1]

    def copy_in(self, to: int, host: int, nbytes: int, device: int, stream: int) -> None:
        if any(memory.pointer <= host < memory.pointer + memory.bytes for memory in self._pinned):
            self._put(stream, lambda: self._module.copy_in(to, host, nbytes, device, stream))
            return
        values = ctypes.create_string_buffer(ctypes.string_at(host, nbytes), max(nbytes, 1))
        self._put(stream, lambda: self._module.copy_in(to, ctypes.addressof(values), nbytes, device, stream))

    def copy_out(self, host: int, source: int, nbytes: int, device: int, stream: int) -> None:
        self._put(stream, lambda: self._module.copy_out(host, source, nbytes, device, stream))

    def order(self, earlier: int, later: int, device: int) -> None:
        LateEvent(self, earlier).hold(later)

    def synchronize(self, device: int, stream: int) -> None:
        queue = self._queue(stream)
        while queue:
            queue.pop(0)()


class LateEvent:
    """The end of the work that a late stream has when the event is recorded."""

    def __init__(self, streams: LateStreams, stream: int) -> None:
        self._streams = streams
        self.record(stream)

    def record(self, stream: int) -> None:
        self._queue = self._streams._queue(stream)
        self._last = self._queue[-1] if self._queue else None

    def hold(self, later: int) -> None:
        if self._streams._queue(later) is not self._queue:
            self._streams._put(later, self._waiting())

    def synchronize(self) -> None:
        self._waiting()()

    def _waiting(self) -> Callable[[], None]:
        queue, last = self._queue, self._last

        def wait() -> None:
            while last is not None and any(work is last for work in queue):
                queue.pop(0)()

        return wait


class Streams:
    """A module `cupy` whose arrays are on the emulator's device, and whose streams are destroyed with their objects.

    `cupy.cuda.Stream` says: "when an Stream instance is destroyed by the GC, its handle is also destroyed";
    `get_current_stream` returns the object.
    """

    def __init__(self, module: Any) -> None:
        class Stream:
            def __init__(self) -> None:
                self.ptr = module.create_stream()

            def __enter__(self) -> Stream:
                streams.append(self)
                return self

            def __exit__(self, *_: object) -> None:
                streams.pop()

            def __del__(self) -> None:
                module.destroy_stream(self.ptr)

        class ndarray:
            def __init__(self, array: np.ndarray[Any, Any]) -> None:
                self.array, self.device = array, SimpleNamespace(id=0)
                self.__cuda_array_interface__ = Interface(array).__cuda_array_interface__

            def min(self) -> Any:
                return self.array.min()

            def max(self) -> Any:
                return self.array.max()

        class Device:
            def __init__(self, index: int) -> None:
                pass

            def __enter__(self) -> None:
                pass

            def __exit__(self, *_: object) -> None:
                pass

        def empty(shape: tuple[int, ...], dtype: Any) -> ndarray:
            return ndarray(np.full(shape, 0xFF, np.uint8).astype(dtype))

        streams: list[Any] = [SimpleNamespace(ptr=0)]
        self.ndarray, self.empty = ndarray, empty
        self.cuda = SimpleNamespace(Stream=Stream, Device=Device, get_current_stream=lambda device_id=-1: streams[-1])
