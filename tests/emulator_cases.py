"""Small runs of every kernel, for the checker and for the test that takes its barriers away one by one.

A case is a function of a native module of the emulator and of its memory; it runs kernels on small data, such that
every loop with a barrier goes round twice and every barrier is reached, and returns what they wrote. Names say which
kernels they are about.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Buffer:
    """Memory of the emulated device, of the very size of an array; what nobody has written is known as such."""

    def __init__(self, native: Any, shape: Sequence[int], dtype: npt.DTypeLike) -> None:
        self.shape, self.dtype = tuple(shape), np.dtype(dtype)
        self._native = native
        self._memory = native.DeviceBuffer(max(int(np.prod(self.shape)), 1) * self.dtype.itemsize, 0, 0)

    @property
    def pointer(self) -> int:
        return self._memory.pointer

    @property
    def bytes(self) -> int:
        return self._memory.bytes

    def view(self, *, writable: bool = True) -> Any:
        """The ArrayView of all of it."""
        strides, step = [], 1
        for size in reversed(self.shape):
            strides.append(step)
            step *= size
        return self._native.ArrayView(self.pointer, self.dtype.name, self.shape, tuple(reversed(strides)), writable)

    def put(self, array: Array) -> Buffer:
        array = np.ascontiguousarray(array, self.dtype)
        self._native.copy_in(self.pointer, array.ctypes.data, array.nbytes, 0, 0)
        return self

    def get(self) -> Array:
        array = np.empty(self.shape, self.dtype)
        self._native.copy_out(array.ctypes.data, self.pointer, array.nbytes, 0, 0)
        return array


class Memory:
    """The emulated device's memory, as a case uses it."""

    def __init__(self, native: Any) -> None:
        self._native = native

    def empty(self, shape: int | Sequence[int], dtype: npt.DTypeLike = np.float32) -> Buffer:
        return Buffer(self._native, (shape,) if isinstance(shape, int) else shape, dtype)

    def put(self, array: Array) -> Buffer:
        return self.empty(array.shape, array.dtype).put(array)

    def zeros(self, shape: int | Sequence[int], dtype: npt.DTypeLike = np.float32) -> Buffer:
        return self.put(np.zeros(shape, dtype))


class Case(NamedTuple):
    name: str
    module: str
    run: Callable[[Any, Memory], Sequence[Array]]

    def results(self, native: Any) -> list[bytes]:
        return [np.ascontiguousarray(array).tobytes() for array in self.run(native, Memory(native))]


CASES: list[Case] = []


def case(
    name: str, module: str = "_emulator"
) -> Callable[[Callable[[Any, Memory], Sequence[Array]]], Callable[[Any, Memory], Sequence[Array]]]:
    """Registers a case of a module: _emulator, or _emulator_tests for the kernels of tests/native."""

    def register(run: Callable[[Any, Memory], Sequence[Array]]) -> Callable[[Any, Memory], Sequence[Array]]:
        CASES.append(Case(name, module, run))
        return run

    return register


def _test_case(name: str, sizes: tuple[int, int] = (2048, 2048)) -> None:
    """A kernel of tests/native: floats in and out, 16 counters."""

    @case(name, "_emulator_tests")
    def run(native: Any, memory: Memory) -> Sequence[Array]:
        values = np.random.default_rng(5).integers(0, 16, sizes[0]).astype(np.float32)
        source, out, counters = memory.put(values), memory.zeros(sizes[1]), memory.zeros(16, np.uint32)
        native.run(name, source.pointer, out.pointer, counters.pointer, sizes[0])
        return out.get(), counters.get()


for _name in (
    *("stencil", "block_sum", "transpose", "transpose_padded", "copy_vector", "copy_stride", "histogram"),
    *("last_block", "divergent_exchange", "pipeline", "bytes", "any"),
):
    _test_case(_name)
