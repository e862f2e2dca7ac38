"""Arrays in the memory of the emulator's device, in the form in which other libraries hand them over."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
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
    at once, as cudaMemcpyAsync does where it is pageable. 0 and 1 are the legacy default stream.
    """

    def __init__(self, module: Any) -> None:
        super().__init__(module)
        self._queues: dict[int, list[Callable[[], Any]]] = {}
        self._kept: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._module, name)
        if not callable(value):
            return value

        def put(*arguments: Any, **named: Any) -> Any:
            if "stream" not in named:
                return value(*arguments, **named)
            return self._put(named["stream"], lambda: value(*arguments, **named))

        return value if isinstance(value, type) else put

    def _queue(self, stream: int) -> list[Callable[[], Any]]:
        return self._queues.setdefault(max(stream, 1), [])

    def _put(self, stream: int, work: Callable[[], Any]) -> None:
        self._queue(stream).append(work)

    def DeviceBuffer(self, nbytes: int, device: int, stream: int) -> Any:
        self._kept.append(self._module.DeviceBuffer(nbytes, device, stream))
        return self._kept[-1]

    def copy_in(self, to: int, host: int, nbytes: int, device: int, stream: int) -> None:
        values = ctypes.create_string_buffer(ctypes.string_at(host, nbytes), max(nbytes, 1))
        self._put(stream, lambda: self._module.copy_in(to, ctypes.addressof(values), nbytes, device, stream))

    def copy_out(self, host: int, source: int, nbytes: int, device: int, stream: int) -> None:
        self._put(stream, lambda: self._module.copy_out(host, source, nbytes, device, stream))

    def order(self, earlier: int, later: int, device: int) -> None:
        waited_for = self._queue(earlier)
        if waited_for is self._queue(later):
            return
        last = waited_for[-1] if waited_for else None

        def wait() -> None:
            while last is not None and any(work is last for work in waited_for):
                waited_for.pop(0)()

        self._put(later, wait)

    def synchronize(self, device: int, stream: int) -> None:
        queue = self._queue(stream)
        while queue:
            queue.pop(0)()
