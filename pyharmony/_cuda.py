"""Arrays in the memory of a CUDA device, and the allocation of results and scratch there.

torch and cupy are never imported here: their arrays are recognised by their attributes, and memory for their results
comes from their own allocators. Kernels are launched on the caller's current stream.
"""

from __future__ import annotations

import functools
import math
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from . import _device, _native, _staging
from ._arrays import IMAGE_DTYPES, MASK_DTYPES, NumpyArray, check_dtype, check_memory, dtype_of, is_torch, plain
from .errors import ArgumentError, DeviceError, DTypeError, OutOfMemory

_DL_CUDA = 2  # DLPack's number of CUDA memory
_DL_CUDA_MANAGED = 13  # DLPack's number of CUDA's managed memory
_LEGACY_STREAM = 1
_LASTING_STREAMS = (0, 1, 2)  # the default streams, which are never destroyed
#: The name of a dtype, which NumPy forms in Python each time.
name_of: Callable[[np.dtype[Any]], str] = functools.cache(lambda dtype: dtype.name)


class DeviceArray:
    """An array in the memory of a device, described for kernels; it keeps its owner alive.

    Results for arrays of libraries other than torch and cupy are of this class; it has
    `__cuda_array_interface__` and `__dlpack__`.

    Attributes:
        pointer: the address of the first element.
        shape, strides: sizes and strides of the axes, strides in elements.
        dtype: the dtype in NumPy.
        device: the index of the device.
        stream: the handle of the stream that computes its values.
        stream_owner: the object that keeps that stream, which could be destroyed before the array; None: it lasts.
        ready: the event after which the values are there, for memory that calls on other streams use later; None: as
            soon as the stream has done its work so far.
    """

    __slots__ = ("device", "dtype", "owner", "pointer", "ready", "shape", "stream", "stream_owner", "strides")

    def __init__(
        self,
        pointer: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        dtype: np.dtype[Any],
        device: int,
        stream: int,
        owner: Any,
        stream_owner: Any = None,
    ) -> None:
        self.pointer, self.shape, self.strides, self.dtype = pointer, shape, strides, dtype
        self.device, self.stream, self.owner, self.stream_owner = device, stream, owner, stream_owner
        self.ready: Any = None

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
        if stream != -1:  # in the array API's __dlpack__, None means the legacy default stream
            self.hold(_LEGACY_STREAM if stream is None else stream)
        return module.dlpack_capsule(
            self, self.pointer, self.dtype.name, self.shape, self.strides, _DL_CUDA, self.device
        )

    def hold(self, later: int) -> None:
        """Makes later work on a stream begin after the array is ready."""
        if self.ready is None:
            kernels().order(self.stream, later, self.device)
        else:
            self.ready.hold(later)

    def reshaped(
        self, shape: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype[Any] | None = None
    ) -> DeviceArray:
        """Returns an array over the same memory, with another shape and strides, and optionally another dtype."""
        result = DeviceArray(
            self.pointer, shape, strides, dtype or self.dtype, self.device, self.stream, self.owner, self.stream_owner
        )
        result.ready = self.ready
        return result

    def moved(self, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> DeviceArray:
        """Returns an array that begins at an element of this one."""
        part = self.reshaped(shape, strides)
        part.pointer += offset * self.dtype.itemsize
        return part

    def seen_as(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> DeviceArray:
        """Returns the same bytes as a contiguous array."""
        return self.reshaped(shape, contiguous_strides(shape), dtype)

    def reshape(self, shape: tuple[int, ...]) -> DeviceArray:
        """Returns a contiguous array in another shape, like numpy's reshape."""
        return self.seen_as(shape, self.dtype)

    def transpose(self, axes: tuple[int, ...]) -> DeviceArray:
        """Returns the array with its axes in another order, like numpy's transpose."""
        return self.reshaped(tuple(self.shape[i] for i in axes), tuple(self.strides[i] for i in axes))

    def with_axes(self, count: int) -> DeviceArray:
        """Returns the array with count axes, by adding axes of size one in front."""
        more = count - self.ndim
        return self.reshaped((*(1,) * more, *self.shape), (*(0,) * more, *self.strides))

    def as_bytes(self) -> DeviceArray:
        """Returns the array with the bytes of each value along a last axis."""
        size = self.dtype.itemsize
        strides = (*(s * size for s in self.strides), 1)
        return self.reshaped((*self.shape, size), strides, np.dtype(np.uint8))

    def cropped(self, items: slice, y0: int, y1: int, x0: int, x1: int) -> DeviceArray:
        """Returns some items of an array [N, H, W, ...], cropped to a rectangle."""
        shape = (items.stop - items.start, y1 - y0, x1 - x0, *self.shape[3:])
        offset = sum(n * s for n, s in zip((items.start, y0, x0), self.strides, strict=False))
        return self.moved(offset, shape, self.strides)

    def items(self, some: slice) -> DeviceArray:
        """Returns some items of a batch [N, ...]."""
        return self.moved(some.start * self.strides[0], (some.stop - some.start, *self.shape[1:]), self.strides)

    @property
    def block(self) -> tuple[int, int]:
        """The address and the number of bytes, the form in which kernels get scratch memory."""
        return self.pointer, self.nbytes

    def view(self, name: str, *, writable: bool = False) -> Any:
        """Returns the native view."""
        dtype = name_of(self.dtype)
        check_dtype(dtype, name, MASK_DTYPES)
        if self.pointer % self.dtype.itemsize:
            raise DTypeError(f"{name}: not aligned to its {self.dtype.itemsize}-byte items; pass a copy")
        return kernels().ArrayView(self.pointer, dtype, self.shape, self.strides, writable)


class _ThisThread(threading.local):
    """The values of a thread: the `_images.programs.Recorder` of its call, or None."""

    recorder: Any = None


_this_thread = _ThisThread()


def recorder() -> Any:
    """Returns what records the call of this thread; None: nothing does."""
    return _this_thread.recorder


@contextmanager
def recording(by: Any) -> Iterator[None]:
    """Puts what records a call in place of the module of the CUDA kernels, in this thread."""
    _this_thread.recorder = by
    try:
        yield
    finally:
        _this_thread.recorder = None


def kernels() -> Any:
    """Returns the module of the CUDA kernels."""
    module = _this_thread.recorder or _native.device_module()
    if module is None:
        raise DeviceError(f"CUDA cannot be used: {_native.cuda_status()}")
    return module


def is_device_array(x: Any) -> bool:
    """Returns whether x is an array in the memory of a CUDA device."""
    if x is None or isinstance(x, (np.ndarray, str, bytes)) or np.isscalar(x):
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


def kind_of(x: Any) -> str:
    """Returns the kind of a `Place` of an array on a device."""
    return "torch" if is_torch(x) else "cupy" if is_cupy(x) else "other"


def contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the strides, in elements, of an array without gaps."""
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
        raise DTypeError(f"{name}: a masked array, expected its data")
    byte_strides = description.get("strides")
    if byte_strides is None:
        strides = contiguous_strides(shape)
    else:
        if any(s % dtype.itemsize for s in byte_strides):
            raise DTypeError(
                f"{name}: strides {tuple(byte_strides)} are not multiples of its {dtype.itemsize}-byte items"
            )
        strides = tuple(int(s) // dtype.itemsize for s in byte_strides)
    if is_cupy(x):
        device = int(x.device.id)
        # Each device has its own current stream, which CuPy destroys with this object.
        stream_owner = sys.modules["cupy"].cuda.get_current_stream(device)
        stream = int(stream_owner.ptr)
    else:
        device = int(kernels().device_of(pointer)) if pointer else 0
        stream = int(description.get("stream") or 0)
        # The interface requires that its stream lasts as long as the object that gives it.
        stream_owner = None if stream in _LASTING_STREAMS else x
    if device < 0:
        raise DTypeError(f"{name}: __cuda_array_interface__ does not point to memory of a CUDA device")
    return DeviceArray(pointer, shape, strides, dtype, device, stream, x, stream_owner)


def _from_dlpack(x: Any, name: str) -> DeviceArray:
    # The stream of the kernels then waits for pending work on the array.
    array = kernels().DLPackArray(x.__dlpack__(stream=_LEGACY_STREAM))
    try:
        dtype = np.dtype(array.dtype)
    except TypeError:
        raise DTypeError(
            f"{name}: dtype {array.dtype} is not supported, use one of {', '.join(IMAGE_DTYPES)}"
        ) from None
    return DeviceArray(
        array.pointer, tuple(array.shape), tuple(array.strides), dtype, array.device[1], _LEGACY_STREAM, array
    )


def _from_torch(x: Any, name: str) -> DeviceArray:
    torch = sys.modules["torch"]
    x = x.detach()
    dtype = dtype_of(x)
    if dtype not in MASK_DTYPES:
        raise DTypeError(f"{name}: dtype {x.dtype} is not supported, use one of {', '.join(IMAGE_DTYPES)}")
    tensor = plain(x, name)
    if tensor is not x and name == "out":  # the name that results have everywhere
        raise DTypeError("out: a view that torch computes when it is read, expected a tensor with its own memory")
    x = tensor
    check_memory(x, name)
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
    """Returns an array on a device as a DeviceArray over the same memory."""
    if isinstance(x, DeviceArray):
        return x
    if is_torch(x):
        return _from_torch(x, name)
    if hasattr(x, "__cuda_array_interface__"):
        return _from_interface(x, name)
    return _from_dlpack(x, name)


@contextmanager
def failures(doing: str) -> Any:
    """Turns errors of the device into errors of pyharmony."""
    module = kernels()
    try:
        yield
    except module.DeviceMemoryFailure as error:
        raise OutOfMemory(f"{doing}: {error}") from error
    except module.DeviceFailure as error:
        message = f"{doing}: {error}"
        if "kernel image" in str(error):  # neither machine code nor PTX of the build runs on this GPU
            capabilities = (module.properties(i)["capability"] for i in range(module.device_count()))
            gpus = " and ".join(f"{major}.{minor}" for major, minor in capabilities)
            message += (
                f"; capability {gpus}, and this build has {', '.join(module.architectures())}; see docs/platforms.md"
            )
        raise DeviceError(message) from error


def attempt(place: Place, doing: str, call: Callable[[], Any]) -> Any:
    """Returns the result of the call at a place; NotImplemented if the device failed and the CPU may be used.

    The failure is logged once per process and reason. The call must not have written to the caller's memory.

    Raises:
        DeviceError, OutOfMemory: the device failed, and the place is required.
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
    """A device and a stream, and the library that allocates results and scratch on it.

    Attributes:
        kind: 'torch', 'cupy', 'other', or 'host' if NumPy's arrays are copied to the device and back.
        device, stream: the index of the device, and the handle of the stream.
        required: whether the arrays are on the device or the caller named it, so the call may not run elsewhere.
        stream_owner: see `DeviceArray`.
    """

    def __init__(self, kind: str, device: int, stream: int, required: bool, stream_owner: Any = None) -> None:
        self.kind, self.device, self.stream, self.required = kind, device, stream, required
        self.stream_owner = stream_owner
        self.module = kernels()
        self._taken: list[DeviceArray] = []  # arrays of other streams, which work here reads or writes
        self._described: dict[int, tuple[Any, DeviceArray]] = {}  # arrays of this call by id, and their descriptions

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_: object) -> None:
        """Ends a call: memory of other streams' arrays is not reused before the work here is done."""
        self._described.clear()
        while self._taken:
            self._free_later(self._taken.pop())

    def describe(self, x: Any, name: str) -> DeviceArray:
        """Returns an array of the caller as a DeviceArray over the same memory, described once a call."""
        if id(x) in self._described:
            return self._described[id(x)][1]
        return describe(x, name)

    @property
    def name(self) -> str:
        return f"cuda:{self.device}"

    @property
    def where(self) -> str:
        """The memory of the callers' arrays, in words for messages."""
        return "the CPU" if self.kind == "host" else self.name

    def take(self, x: Any, name: str) -> DeviceArray:
        """Returns x as a DeviceArray: over its memory, or a copy of a NumPy array.

        Calls that take arrays of the caller are inside `with place:`, which ends the use of their memory.
        """
        if self.kind != "host":
            array = self.describe(x, name)
            if array.stream != self.stream:
                array.hold(self.stream)
                if not self.module.is_capturing(self.stream, self.device):  # the graph has no use for an order of now
                    self._taken.append(array)
                array = array.reshaped(array.shape, array.strides)
                array.stream, array.stream_owner, array.ready = self.stream, self.stream_owner, None
            return array
        host = np.ascontiguousarray(x)
        array = self._buffer(host.shape, host.dtype)
        with failures(name):
            self._copy_in(array, host)
        return array

    def _copy_in(self, array: DeviceArray, host: NumpyArray) -> None:
        _staging.copy_in(self.module, array.pointer, host.ctypes.data, host.nbytes, self.device, self.stream)

    @contextmanager
    def using(self, *arrays: DeviceArray | None, writing: bool = False) -> Iterator[None]:
        """Makes work inside the block begin after earlier work on the arrays' memory, possibly on other streams.

        Until the work of the block is done, that memory is not reused. writing: later work on the
        stream that computed the array also waits for the work of the block.
        """
        # The stream of kept memory may be another one of the same handle by now: its event is always waited for.
        others = [a for a in arrays if a is not None and (a.ready is not None or a.stream != self.stream)]
        # A beginning capture waits for the device, and captured work must not wait for other streams.
        if not others or self.module.is_capturing(self.stream, self.device):
            yield
            return
        for a in others:
            a.hold(self.stream)
        try:
            yield
        finally:
            for a in others:
                self._free_later(a)
                if writing and a.ready is not None:
                    a.ready.record(self.stream)
                elif writing:
                    self.module.order(self.stream, a.stream, self.device)

    def _free_later(self, array: DeviceArray) -> None:
        """Keeps the memory of an array from being reused before the work of this stream so far is done."""
        if hasattr(array.owner, "used_on"):  # our own memory, which may outlive its stream
            array.owner.used_on(self.stream)
            return
        if is_torch(array.owner):
            current = sys.modules["torch"].cuda.current_stream(self.device)
            if current.cuda_stream == self.stream:  # torch's allocator delays the reuse, so no stream has to wait
                array.owner.record_stream(current)
                return
        # A stream of another library may be destroyed before torch would record an event on it.
        self.module.order(self.stream, array.stream, self.device)

    def settle(self, *arrays: DeviceArray | None) -> None:
        """Marks arrays that are kept for later calls as ready when the stream has done its work so far."""
        if self.module.is_capturing(self.stream, self.device):  # such an event is one of the graph
            return
        for a in arrays:
            if a is not None:
                a.ready = self.module.Event(self.device, self.stream)
                if hasattr(a.owner, "used_on"):
                    a.owner.used_on(self.stream)

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[Any, DeviceArray]:
        """Returns an uninitialised array of the caller's kind, and its DeviceArray."""
        out, array = self._with_room(lambda: self._empty(shape, dtype))
        if (by := _this_thread.recorder) is not None:
            by.allocated(array)
        return out, array

    def result(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[Any, DeviceArray]:
        """Returns what `empty` does, for the result of a call.

        Raises:
            DeviceError: the stream is being captured, and the memory would be the graph's, not the caller's.
        """
        self._refuse_captured("the result")
        out, array = self.empty(shape, dtype)
        if (by := _this_thread.recorder) is not None:
            by.returned(array)
        return out, array

    def _refuse_captured(self, what: str) -> None:
        # Memory of an allocator of CUDA's that is captured is a node of the graph: the address holds between the node
        # and that which frees it, and without the latter a graph cannot be launched twice.
        if self.kind == "other" and self.module.is_capturing(self.stream, self.device):
            raise DeviceError(
                f"{what} of a call that is captured in a CUDA graph would lie in memory of the graph, whose address is "
                "valid in its replays only; pass `out` where the call has it, or arrays of torch or CuPy, whose "
                "allocators keep memory for graphs"
            )

    def _with_room(self, allocate: Callable[[], Any]) -> Any:
        try:
            return allocate()
        except OutOfMemory:
            # Releases the memory that the module caches for its next call: other allocators cannot use it.
            with failures("memory"):
                self.module.give_back(self.device)
            return allocate()

    def _empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[Any, DeviceArray]:
        if self.kind == "torch":
            torch = sys.modules["torch"]
            with _memory(shape, dtype):
                out = torch.empty(shape, dtype=getattr(torch, dtype.name), device=self.name)
            return out, describe(out, "out")
        if self.kind == "cupy":
            cupy = sys.modules["cupy"]
            with _memory(shape, dtype), cupy.cuda.Device(self.device):
                out = cupy.empty(shape, dtype)
            return out, describe(out, "out")
        array = self._buffer(shape, dtype)
        return array, array

    def scratch(self, nbytes: int) -> DeviceArray:
        """Returns memory that kernels on this stream may use until the object is released."""
        return self.empty((max(nbytes, 1),), np.dtype(np.uint8))[1]

    def kept(self, nbytes: int) -> DeviceArray:
        """Returns memory for a set-up that later calls on other streams use; see `settle`.

        It is torch's or our own, which both may outlive the stream; in a capture CuPy's, which outlives the graph.
        """
        self._refuse_captured("the set-up")
        if self.kind == "torch" or self.kind == "cupy" and self.module.is_capturing(self.stream, self.device):
            return self.scratch(nbytes)
        array: DeviceArray = self._with_room(lambda: self._buffer((max(nbytes, 1),), np.dtype(np.uint8)))
        return array

    def on_default_stream(self) -> Place:
        """Returns this place with the legacy default stream, which is never destroyed."""
        return Place(self.kind, self.device, _LEGACY_STREAM, self.required)

    def copy(self, source: DeviceArray, to: DeviceArray) -> None:
        """Copies an image batch [N, H, W, C] into another of the same shape, and converts it to the other's dtype."""
        self.module.copy(source.view("source"), to.view("to", writable=True), device=self.device, stream=self.stream)

    def _buffer(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> DeviceArray:
        nbytes = math.prod(shape) * dtype.itemsize
        try:
            buffer = self.module.DeviceBuffer(nbytes, self.device, self.stream, self.stream_owner)
        except Exception:  # only then, as a pyramid takes dozens of buffers
            with _memory(shape, dtype), failures("memory"):
                raise
        strides = contiguous_strides(shape)
        return DeviceArray(buffer.pointer, shape, strides, dtype, self.device, self.stream, buffer, self.stream_owner)

    def wait_for(self, what: str, instead: str = "") -> None:
        """Raises DeviceError if the stream is being captured in a CUDA graph, where the host cannot wait for values.

        what: the values that the host reads; instead: a call that does without them, if there is one.
        """
        if self.module.is_capturing(self.stream, self.device):
            advice = (
                f"{instead}, or make the call outside of the capture" if instead else "make it outside of the capture"
            )
            raise DeviceError(f"a call that reads {what} on the host cannot be captured in a CUDA graph; {advice}")

    def fetch(self, array: DeviceArray, what: str = "values of the device", instead: str = "") -> NumpyArray:
        """Returns an array as NumPy's, with the same strides, after waiting for the stream; see `wait_for`."""
        self.wait_for(what, instead)
        lowest = sum((n - 1) * s for n, s in zip(array.shape, array.strides, strict=True) if s < 0)
        highest = sum((n - 1) * s for n, s in zip(array.shape, array.strides, strict=True) if s > 0)
        size = array.dtype.itemsize
        memory = np.empty(highest - lowest + 1 if array.size else 0, array.dtype)
        with failures("copy from the device"):
            first = array.pointer + lowest * size
            _staging.copy_out(self.module, memory.ctypes.data, first, memory.nbytes, self.device, self.stream)
        strides = [s * size for s in array.strides]
        return np.ndarray(array.shape, array.dtype, memory, -lowest * size, strides)

    def put(self, host: NumpyArray, into: Any = None) -> Any:
        """Copies a NumPy array into a new array of the caller's kind there, or into one of its shape and dtype."""
        host = np.ascontiguousarray(host)
        if into is None:
            into, array = self.empty(host.shape, host.dtype)
        else:
            array = self.take(into, "out")
        whole = array.strides == contiguous_strides(array.shape)
        if not whole and array.dtype == np.float64:
            raise DTypeError("out: float64 and not contiguous, expected contiguous memory or another dtype")
        buffer = array if whole else self._buffer(host.shape, host.dtype)
        with failures("copy to the device"):
            self._copy_in(buffer, host)
        if not whole:
            self.copy(buffer.with_axes(4), array.with_axes(4))
        return into


@contextmanager
def _memory(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """Raises OutOfMemory for the memory errors of torch, of cupy and of this package."""
    try:
        yield
    except Exception as error:
        if isinstance(error, MemoryError) or type(error).__name__ in ("OutOfMemoryError", "OutOfMemory"):
            nbytes = math.prod(shape) * dtype.itemsize
            raise OutOfMemory(f"out of memory on the device: {nbytes} bytes for {list(shape)} {dtype.name}") from error
        raise


def place_of(arrays: Mapping[str, Any], device: str | None) -> Place | None:
    """Returns the place of a call on these arrays; None for the CPU.

    Arrays on a device determine it, and all must be on the same one. Other arrays are copied to the current device of
    the thread if `device` or `pyharmony.set_device` requests it.

    Raises:
        DeviceError: arrays are on different devices, or their device cannot be used.
        DTypeError, ArgumentError: device is not one that is accepted.
    """
    inputs = {name: x for name, x in arrays.items() if x is not None}
    there = {name: x for name, x in inputs.items() if is_device_array(x)}
    if not there:
        if _device.resolve(device) == "cpu":
            return None
        required = "cuda" in (device, _device.get_device()) and device in (None, "cuda")
        return Place("host", kernels().current_device(), 0, required)
    if device is not None:
        _device.resolve(device)  # refuses unknown names
    first, x = next(iter(there.items()))
    if device == "cpu":
        raise DeviceError(f"device: 'cpu', but {first} is on a CUDA device; move it, or pass device=None")
    if _native.device_module() is None:
        raise DeviceError(f"{first}: on a CUDA device, which cannot be used: {_native.cuda_status()}")
    described = {name: describe(other, name) for name, other in there.items()}
    at = described[first]
    for name in inputs:
        if name not in there:
            raise DeviceError(f"{name}: on the CPU, but {first} is on cuda:{at.device}; move one of them")
        where = described[name].device
        if where != at.device:
            raise DeviceError(f"{name}: on cuda:{where}, but {first} is on cuda:{at.device}; move one of them")
    place = Place(kind_of(x), at.device, at.stream, required=True, stream_owner=at.stream_owner)
    place._described = {id(there[name]): (there[name], one) for name, one in described.items()}
    return place


def place_where(arrays: Mapping[str, Any]) -> Place | None:
    """Returns the place of arrays that are never copied elsewhere; None for the CPU."""
    return place_of(arrays, None) if any(is_device_array(x) for x in arrays.values()) else None


#: A function that returns why kernels do not support a call; empty if they do.
Limit = Callable[[Any], str]


def takes(place: Place, limits: Sequence[Limit], call: Any, error: type[Exception] = ArgumentError) -> bool:
    """Returns whether the kernels at a place support a call; otherwise the CPU computes it or, if required, raises."""
    reason = next(filter(None, (limit(call) for limit in limits)), "")
    if reason and place.required:
        raise error(reason)
    return not reason


def dispatch(call: Any, device: str | None, cpu: Any, cuda: Any) -> Any:
    """Runs a call of an op on the device of its arrays or of `device`, else on the CPU, and returns the result.

    Args:
        call: an object with `arrays` by name and `op`, the name of the op.
        cpu, cuda: modules with `run(call)`, and with `run(place, call)`, which may return NotImplemented.
    """
    place = place_of(call.arrays, device)
    if place is not None:
        with place:
            result = attempt(place, call.op, lambda: cuda.run(place, call))
        if result is not NotImplemented:
            return result
    return cpu.run(call)
