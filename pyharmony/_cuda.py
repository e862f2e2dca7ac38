"""Arrays in the memory of a CUDA device, and memory for results and scratch beside them.

torch and cupy are never imported here: their arrays are recognised by what they have, and memory for
their results comes from their own allocators. Kernels are put on the caller's current stream.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from . import _device, _native
from ._arrays import IMAGE_DTYPES, MASK_DTYPES, NumpyArray, is_torch, plain
from .errors import ArgumentError, DeviceError, DTypeError, OutOfMemory

_DL_CUDA, _DL_CUDA_MANAGED = 2, 13  # DLPack's numbers
_LEGACY_STREAM = 1


class DeviceArray:
    """An array in the memory of a device: what kernels need of it, and its owner, which it keeps.

    Results for arrays of other libraries than torch and cupy are of this class; it has
    `__cuda_array_interface__` and `__dlpack__`.

    Attributes:
        pointer: of the first element.
        shape, strides: strides in elements.
        dtype: numpy's.
        device: its index.
        stream: the handle of the stream that made or makes its values.
    """

    __slots__ = ("device", "dtype", "owner", "pointer", "shape", "stream", "strides")

    def __init__(
        self,
        pointer: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        dtype: np.dtype[Any],
        device: int,
        stream: int,
        owner: Any,
    ) -> None:
        self.pointer, self.shape, self.strides, self.dtype = pointer, shape, strides, dtype
        self.device, self.stream, self.owner = device, stream, owner

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def __repr__(self) -> str:
        return f"DeviceArray(shape={list(self.shape)}, dtype={self.dtype.name}, device='cuda:{self.device}')"

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.pointer, False),
            "strides": tuple(s * self.dtype.itemsize for s in self.strides),
            "stream": self.stream or _LEGACY_STREAM,
            "version": 3,
        }

    def __dlpack_device__(self) -> tuple[int, int]:
        return _DL_CUDA, self.device

    def __dlpack__(self, *, stream: int | None = None, **_: Any) -> Any:
        module = kernels()
        if stream != -1:  # None stands for the legacy default stream: the array API's __dlpack__
            module.order(self.stream, _LEGACY_STREAM if stream is None else stream, self.device)
        return module.dlpack_capsule(
            self, self.pointer, self.dtype.name, self.shape, self.strides, _DL_CUDA, self.device
        )

    def reshaped(self, shape: tuple[int, ...], strides: tuple[int, ...]) -> DeviceArray:
        """The same memory seen otherwise."""
        return DeviceArray(self.pointer, shape, strides, self.dtype, self.device, self.stream, self.owner)

    def moved(self, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> DeviceArray:
        """The same from an element on."""
        part = self.reshaped(shape, strides)
        part.pointer += offset * self.dtype.itemsize
        return part

    def seen_as(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> DeviceArray:
        """The same bytes as a contiguous array."""
        return DeviceArray(self.pointer, shape, contiguous_strides(shape), dtype, self.device, self.stream, self.owner)

    def transpose(self, axes: tuple[int, ...]) -> DeviceArray:
        """With its axes in another order, as numpy's."""
        return self.reshaped(tuple(self.shape[i] for i in axes), tuple(self.strides[i] for i in axes))

    def with_axes(self, count: int) -> DeviceArray:
        """With so many axes: the first are of one element."""
        more = count - self.ndim
        return self.reshaped((*(1,) * more, *self.shape), (*(0,) * more, *self.strides))

    def as_bytes(self) -> DeviceArray:
        """With the bytes of each value along a last axis."""
        size = self.dtype.itemsize
        strides = (*(s * size for s in self.strides), 1)
        return DeviceArray(
            self.pointer, (*self.shape, size), strides, np.dtype(np.uint8), self.device, self.stream, self.owner
        )

    def cropped(self, items: slice, y0: int, y1: int, x0: int, x1: int) -> DeviceArray:
        """Of [N, H, W, ...] some items and a rectangle."""
        shape = (items.stop - items.start, y1 - y0, x1 - x0, *self.shape[3:])
        offset = sum(n * s for n, s in zip((items.start, y0, x0), self.strides, strict=False))
        return self.moved(offset, shape, self.strides)

    def view(self, name: str, *, writable: bool = False) -> Any:
        """The native view.

        Raises:
            DTypeError: the dtype is not supported, or the memory is not aligned to its items.
        """
        if self.dtype.name not in MASK_DTYPES:
            raise DTypeError(f"{name}: dtype {self.dtype.name} is not supported, use one of {', '.join(MASK_DTYPES)}")
        if self.pointer % self.dtype.itemsize:
            raise DTypeError(f"{name}: not aligned to its {self.dtype.itemsize}-byte items; pass a copy")
        return kernels().ArrayView(self.pointer, self.dtype.name, self.shape, self.strides, writable)


def kernels() -> Any:
    """Return the module of the CUDA kernels.

    Raises:
        DeviceError: they cannot be used.
    """
    module = _native.device_module()
    if module is None:
        raise DeviceError(f"CUDA cannot be used: {_native.cuda_status()}")
    return module


def is_device_array(x: Any) -> bool:
    """Whether x is an array in the memory of a CUDA device."""
    if isinstance(x, (np.ndarray, str, bytes)) or np.isscalar(x):
        return False
    if is_torch(x):
        return bool(x.is_cuda)
    if hasattr(type(x), "__cuda_array_interface__") or hasattr(x, "__cuda_array_interface__"):
        return True
    device = getattr(x, "__dlpack_device__", None)
    return device is not None and device()[0] in (_DL_CUDA, _DL_CUDA_MANAGED)


def is_cupy(x: Any) -> bool:
    kind = getattr(sys.modules.get("cupy"), "ndarray", None)
    return kind is not None and isinstance(x, kind)


def contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of an array without gaps, in elements."""
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))


def _from_interface(x: Any, name: str) -> DeviceArray:
    description = x.__cuda_array_interface__
    dtype = np.dtype(description["typestr"])
    shape = tuple(int(n) for n in description["shape"])
    pointer = int(description["data"][0])
    if description.get("mask") is not None:
        raise DTypeError(f"{name}: a masked array; pass its data")
    given = description.get("strides")
    if given is None:
        strides = contiguous_strides(shape)
    else:
        if any(s % dtype.itemsize for s in given):
            raise DTypeError(f"{name}: strides {tuple(given)} are no multiples of its {dtype.itemsize}-byte items")
        strides = tuple(int(s) // dtype.itemsize for s in given)
    if is_cupy(x):
        device = int(x.device.id)
        stream = int(sys.modules["cupy"].cuda.get_current_stream(device).ptr)  # each device has its own
    else:
        device = int(kernels().device_of(pointer)) if pointer else 0
        stream = int(description.get("stream") or 0)
    if device < 0:
        raise DTypeError(f"{name}: __cuda_array_interface__ points to memory of no CUDA device")
    return DeviceArray(pointer, shape, strides, dtype, device, stream, x)


def _from_dlpack(x: Any, name: str) -> DeviceArray:
    # What the array still waits for is then waited for by the stream of the kernels.
    taken = kernels().DLPackArray(x.__dlpack__(stream=_LEGACY_STREAM))
    try:
        dtype = np.dtype(taken.dtype)
    except TypeError:
        raise DTypeError(
            f"{name}: dtype {taken.dtype} is not supported, use one of {', '.join(IMAGE_DTYPES)}"
        ) from None
    return DeviceArray(
        taken.pointer, tuple(taken.shape), tuple(taken.strides), dtype, taken.device[1], _LEGACY_STREAM, taken
    )


def _from_torch(x: Any, name: str) -> DeviceArray:
    torch = sys.modules["torch"]
    x = x.detach()
    dtype = str(x.dtype).removeprefix("torch.")
    if dtype not in MASK_DTYPES:
        raise DTypeError(f"{name}: dtype {x.dtype} is not supported, use one of {', '.join(IMAGE_DTYPES)}")
    given = plain(x, name)
    if given is not x and name == "out":  # as results are called everywhere
        raise DTypeError("out: a view that torch computes when it is read, expected memory of its own")
    x = given
    return DeviceArray(
        x.data_ptr(),
        tuple(x.shape),
        tuple(x.stride()),
        np.dtype(dtype),
        x.device.index,
        torch.cuda.current_stream(x.device).cuda_stream,
        x,
    )


def describe(x: Any, name: str) -> DeviceArray:
    """An array on a device as kernels see it, over the same memory.

    Raises:
        DTypeError: its dtype or layout is not supported.
    """
    if isinstance(x, DeviceArray):
        return x
    if is_torch(x):
        return _from_torch(x, name)
    if hasattr(x, "__cuda_array_interface__"):
        return _from_interface(x, name)
    return _from_dlpack(x, name)


@contextmanager
def failures(doing: str) -> Any:
    """Errors of the device as ours."""
    module = kernels()
    try:
        yield
    except module.DeviceMemoryFailure as error:
        raise OutOfMemory(f"{doing}: {error}") from error
    except module.DeviceFailure as error:
        message = f"{doing}: {error}"
        if "kernel image" in str(error):  # there is no machine code and no PTX that the GPU could run
            capabilities = (module.properties(i)["capability"] for i in range(module.device_count()))
            found = " and ".join(f"{major}.{minor}" for major, minor in capabilities)
            message += (
                f"; capability {found}, and this build has {', '.join(module.architectures())}; see docs/platforms.md"
            )
        raise DeviceError(message) from error


def attempt(place: Place, doing: str, call: Callable[[], Any]) -> Any:
    """What the call at a place returns; NotImplemented where the device failed and the processor may do it.

    That is said once a process and reason. Nothing may have been written where the caller sees it.

    Raises:
        DeviceError, OutOfMemory: the place is required.
    """
    try:
        with failures(doing):
            return call()
    except (DeviceError, OutOfMemory) as error:
        if place.required:
            raise
        cause = error.__cause__ if isinstance(error, DeviceError) else None
        _device.instead_of_device(str(error), f"{type(error).__name__} {'' if cause is None else cause}")
        return NotImplemented


class Place:
    """A device and a stream, and whose memory results and scratch on it are.

    Attributes:
        kind: 'torch', 'cupy', 'other', or 'host' where arrays are NumPy's and are copied there and back.
        device, stream: the index, and the handle.
        required: arrays are there or the caller named the device, so that running elsewhere is no choice.
    """

    def __init__(self, kind: str, device: int, stream: int, required: bool) -> None:
        self.kind, self.device, self.stream, self.required = kind, device, stream, required
        self.module = kernels()

    @property
    def name(self) -> str:
        return f"cuda:{self.device}"

    @property
    def where(self) -> str:
        """For messages: where the arrays of its callers are."""
        return "the processor" if self.kind == "host" else self.name

    def take(self, x: Any, name: str) -> DeviceArray:
        """x on the device: as it is, or a copy of a NumPy array there."""
        if self.kind != "host":
            array = describe(x, name)
            if array.stream != self.stream:
                self.module.order(array.stream, self.stream, self.device)
                array = array.reshaped(array.shape, array.strides)
                array.stream = self.stream
            return array
        host = np.ascontiguousarray(x)
        array = self._buffer(host.shape, host.dtype)
        with failures(name):
            self.module.copy_in(array.pointer, host.ctypes.data, host.nbytes, self.device, self.stream)
        return array

    @contextmanager
    def using(self, *arrays: DeviceArray | None, writing: bool = False) -> Iterator[None]:
        """For memory of earlier calls, perhaps on other streams: work put on the stream inside begins after theirs.

        Nor is the memory given to others before that work is done. writing: nor does later work elsewhere, which
        waits for the stream that the memory was made on, begin before.
        """
        others = [a for a in arrays if a is not None and a.stream != self.stream]
        # A capture that begins waits for the device, and one must not wait for streams beside it.
        if not others or self.module.is_capturing(self.stream, self.device):
            yield
            return
        for stream in {a.stream for a in others}:
            self.module.order(stream, self.stream, self.device)
        try:
            yield
        finally:
            for a in others:
                if is_torch(a.owner):  # its allocator keeps the memory, and no stream waits
                    a.owner.record_stream(sys.modules["torch"].cuda.current_stream(self.device))
            for stream in {a.stream for a in others if writing or not is_torch(a.owner)}:
                self.module.order(self.stream, stream, self.device)

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[Any, DeviceArray]:
        """An uninitialised array of the caller's kind, and how kernels see it."""
        try:
            return self._empty(shape, dtype)
        except OutOfMemory:
            # Another allocator cannot have what the module keeps for its next call.
            with failures("memory"):
                self.module.give_back(self.device)
            return self._empty(shape, dtype)

    def _empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[Any, DeviceArray]:
        if self.kind == "torch":
            torch = sys.modules["torch"]
            with _memory(shape, dtype):
                made = torch.empty(shape, dtype=getattr(torch, dtype.name), device=self.name)
            return made, describe(made, "out")
        if self.kind == "cupy":
            cupy = sys.modules["cupy"]
            with _memory(shape, dtype), cupy.cuda.Device(self.device):
                made = cupy.empty(shape, dtype)
            return made, describe(made, "out")
        array = self._buffer(shape, dtype)
        return array, array

    def scratch(self, nbytes: int) -> DeviceArray:
        """Memory that kernels on this stream may use until it is let go."""
        return self.empty((max(nbytes, 1),), np.dtype(np.uint8))[1]

    def copy(self, source: DeviceArray, to: DeviceArray) -> None:
        """An image batch [N, H, W, C] into another of its shape, in the other's dtype."""
        self.module.copy(source.view("source"), to.view("to", writable=True), device=self.device, stream=self.stream)

    def _buffer(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> DeviceArray:
        nbytes = math.prod(shape) * dtype.itemsize
        with _memory(shape, dtype), failures("memory"):
            buffer = self.module.DeviceBuffer(nbytes, self.device, self.stream)
        return DeviceArray(buffer.pointer, shape, contiguous_strides(shape), dtype, self.device, self.stream, buffer)

    def fetch(self, array: DeviceArray) -> NumpyArray:
        """An array as NumPy's, of the same strides; waits for the stream."""
        lowest = sum((n - 1) * s for n, s in zip(array.shape, array.strides, strict=True) if s < 0)
        highest = sum((n - 1) * s for n, s in zip(array.shape, array.strides, strict=True) if s > 0)
        size = array.dtype.itemsize
        memory = np.empty(highest - lowest + 1 if array.size else 0, array.dtype)
        with failures("copy from the device"):
            first = array.pointer + lowest * size
            self.module.copy_out(memory.ctypes.data, first, memory.nbytes, self.device, self.stream)
            self.module.synchronize(self.device, self.stream)
        strides = [s * size for s in array.strides]
        return np.ndarray(array.shape, array.dtype, memory, -lowest * size, strides)

    def put(self, host: NumpyArray, into: Any = None) -> Any:
        """NumPy's array as one of the caller's kind on the device, or in one that is there, of its shape and dtype."""
        host = np.ascontiguousarray(host)
        if into is None:
            into, array = self.empty(host.shape, host.dtype)
        else:
            array = self.take(into, "out")
        whole = array.strides == contiguous_strides(array.shape)
        if not whole and array.dtype == np.float64:
            raise DTypeError("out: float64 with gaps between its values, expected contiguous memory, or another dtype")
        buffer = array if whole else self._buffer(host.shape, host.dtype)
        with failures("copy to the device"):
            self.module.copy_in(buffer.pointer, host.ctypes.data, host.nbytes, self.device, self.stream)
        if not whole:
            self.copy(buffer.with_axes(4), array.with_axes(4))
        return into


@contextmanager
def _memory(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """torch, cupy and we each have an error of our own for memory that ran out."""
    try:
        yield
    except Exception as error:
        if isinstance(error, MemoryError) or type(error).__name__ in ("OutOfMemoryError", "OutOfMemory"):
            nbytes = math.prod(shape) * dtype.itemsize
            raise OutOfMemory(f"memory of the device: {nbytes} bytes for {list(shape)} of {dtype.name}") from error
        raise


def place_of(arrays: Mapping[str, Any], device: str | None) -> Place | None:
    """Where a call on these arrays runs; None for the processor.

    Arrays on a device decide, and have to be on one. Others are copied to the current device of the thread, where
    `device` or `pyharmony.set_device` says so.

    Raises:
        DeviceError: arrays are in different places, or their device cannot be used.
        DTypeError, ArgumentError: device is none that there is.
    """
    given = {name: x for name, x in arrays.items() if x is not None}
    there = {name: x for name, x in given.items() if is_device_array(x)}
    if not there:
        if _device.resolve(device) == "cpu":
            return None
        required = "cuda" in (device, _device.get_device()) and device in (None, "cuda")
        return Place("host", kernels().current_device(), 0, required)
    if device is not None:
        _device.resolve(device)  # refuses other names
    first, x = next(iter(there.items()))
    if device == "cpu":
        raise DeviceError(f"device: 'cpu', but {first} is on a CUDA device; move it, or leave device None")
    if _native.device_module() is None:
        raise DeviceError(f"{first}: on a CUDA device, which cannot be used: {_native.cuda_status()}")
    at = describe(x, first)
    for name, other in given.items():
        if name not in there:
            raise DeviceError(f"{name}: in the memory of the processor, {first} on cuda:{at.device}; move one of them")
        where = describe(other, name).device
        if where != at.device:
            raise DeviceError(f"{name}: on cuda:{where}, {first} on cuda:{at.device}; move one of them")
    kind = "torch" if is_torch(x) else "cupy" if is_cupy(x) else "other"
    return Place(kind, at.device, at.stream, required=True)


def place_where(arrays: Mapping[str, Any]) -> Place | None:
    """Return where arrays lie that are never copied to another place; None for the CPU.

    Raises:
        DeviceError: they are in different places, or their device cannot be used.
    """
    return place_of(arrays, None) if any(is_device_array(x) for x in arrays.values()) else None


#: A condition on a call, and why a backend cannot do the calls that it holds for: a format of the call.
Limit = tuple[Callable[[Any], bool], str]


def takes(place: Place, limits: Sequence[Limit], call: Any) -> bool:
    """Return whether kernels at a place take a call; else the CPU does it.

    Raises:
        ArgumentError: they do not, and the place is required.
    """
    reason = next((reason for holds, reason in limits if holds(call)), None)
    if reason is not None and place.required:
        raise ArgumentError(reason.format(call))
    return reason is None


def dispatch(call: Any, device: str | None, cpu: Any, cuda: Any) -> Any:
    """Return what an op makes of a call: on the device that its arrays or `device` name, else on the CPU.

    Args:
        call: what has `arrays` by name and `op`, the name of the op.
        cpu, cuda: modules with `run(call)`, and `run(place, call)`, which may return NotImplemented.
    """
    place = place_of(call.arrays, device)
    if place is not None:
        made = attempt(place, call.op, lambda: cuda.run(place, call))
        if made is not NotImplemented:
            return made
    return cpu.run(call)
