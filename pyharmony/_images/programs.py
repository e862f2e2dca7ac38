"""Calls on a device that are repeated: planned once for the forms of their arrays, and launched again at new addresses.

A call on a device checks its arguments and plans levels, methods and memory by the forms of its arrays, never by their
values. So a call with the forms of an earlier one launches the same kernels. The earlier call is recorded by a
`Recorder`; later ones run its `Program`: they allocate the result and one block of scratch, move the native views to
the new addresses, and launch. A call is recorded only if it neither waits for the device nor warns.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import itertools
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .. import _cuda, _warnings
from .._cuda import DeviceArray, Place
from ..errors import PyHarmonyError

__all__ = ["Recorder", "repeated"]

#: What a module of kernels answers without work on a device, and objects that it makes; all else is a launch.
_QUERIES = frozenset({
    "DeviceBuffer", "PoissonPlan", "current_device", "device_of", "gaussian_poisson_chebyshev_report_bytes",
    "gaussian_poisson_chebyshev_schedule", "gaussian_poisson_direct_convolves", "gaussian_poisson_direct_fits",
    "gaussian_poisson_direct_workspace", "is_capturing", "poisson_report_bytes",
})  # fmt: skip
#: The arguments of launches that are addresses; blocks, an address and a number of bytes, are known by their form.
_ADDRESSES = frozenset({"open", "report", "residuals"})
#: The least integer that is an address in such arguments; 0 and 1 mean that there is none.
_LEAST_ADDRESS = 4096
#: The types of values that calls are told apart by, beside tuples of them.
_PLAIN = (bool, float, int, str, type(None))
_COMPARED = (*_PLAIN, tuple)
#: The widest load of a kernel, in bytes, by whose alignment of addresses it is chosen, and the alignment of scratch.
_LOAD, _ALIGNMENT = 16, 256
#: The number of forms that are kept, and how often one is recorded whose calls cannot be repeated.
_MOST_FORMS, _MOST_ATTEMPTS = 128, 3


class _Memory(NamedTuple):
    """Memory of a call: its first address, the one behind it, and the number of launches before it was allocated."""

    begin: int
    end: int
    first: int


class _Address(NamedTuple):
    """An address in the arguments of a launch.

    Attributes:
        holder, key: the arguments, and its index or name there.
        memory, offset: the number of the memory, and the bytes before it there.
        nbytes: the number of bytes of a block; None: it is an address alone.
    """

    holder: Any
    key: Any
    memory: int
    offset: int
    nbytes: int | None


class Recorder:
    """A module of kernels that records the launches of a call.

    Args:
        module: the module.
        arrays: the arrays of the call.
    """

    def __init__(self, module: Any, arrays: Sequence[DeviceArray]) -> None:
        self.module = module
        self.memories = [_Memory(*_extent(a), 0) for a in arrays]
        self.launches: list[tuple[Any, list[Any], dict[str, Any], list[_Address]]] = []
        self.views: list[tuple[Any, int, int]] = []  # native views, the index of their memory and the offset there
        self.result: tuple[DeviceArray, int] | None = None
        self.last: dict[int, int] = {}  # the number of launches before scratch was freed
        self.kept: list[Any] = []  # memory that outlives the call
        self._is_pure = True
        self._live = list(range(len(arrays)))
        self._elsewhere: set[int] = set()  # addresses in none of the call's memory
        self._references: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.module, name)
        if name == "ArrayView":
            return functools.partial(self._view, value)
        if name in _QUERIES or not callable(value) or (isinstance(value, type) and issubclass(value, Exception)):
            return value
        return functools.partial(self._launch, value)

    @property
    def is_complete(self) -> bool:
        """Whether the launches are all that the call does."""
        return self._is_pure and self._elsewhere <= {memory.pointer for memory in self.kept}

    def allocated(self, array: DeviceArray) -> None:
        """Notes new memory: scratch, until it is said to be the result."""
        index = len(self.memories)
        self.memories.append(_Memory(*_extent(array), len(self.launches)))
        self._live.append(index)

        def free(_: Any) -> None:
            if self.result is None or self.result[1] != index:
                self.last[index] = len(self.launches)
                self._live.remove(index)

        try:
            self._references.append(weakref.ref(array.owner, free))
        except TypeError:  # it counts as used until the end
            return

    def returned(self, array: DeviceArray) -> None:
        """Notes that the newest memory is the result."""
        self._is_pure &= self.result is None
        self.result = array, len(self.memories) - 1

    def _place_of(self, pointer: int) -> tuple[int, int] | None:
        """Returns the index of the memory at an address, and the offset there."""
        for index in reversed(self._live):
            begin, end, _ = self.memories[index]
            if begin <= pointer < end:
                return index, pointer - begin
        return None

    def _view(self, make: Any, pointer: int, *form: Any) -> Any:
        view, place = make(pointer, *form), self._place_of(pointer)
        if place is None:
            self._is_pure = False
        else:
            self.views.append((view, *place))
        return view

    def _launch(self, function: Any, *args: Any, **keywords: Any) -> Any:
        own = list(args)
        addresses = [*self._addresses(own, range(len(own))), *self._addresses(keywords, keywords)]
        self.launches.append((function, own, keywords, addresses))
        result = function(*args, **keywords)
        # Functions without a stream wait for the device, order streams or copy from the host.
        self._is_pure &= result is None and "stream" in keywords
        return result

    def _addresses(self, holder: Any, keys: Any) -> Iterator[_Address]:
        for key in keys:
            value = holder[key]
            is_block = isinstance(value, tuple) and len(value) == 2 and all(type(one) is int for one in value)
            pointer = value[0] if is_block else value if key in _ADDRESSES else None
            if pointer is None or pointer < _LEAST_ADDRESS:
                continue
            place = self._place_of(pointer)
            if place is None:
                self._elsewhere.add(pointer)
            else:
                yield _Address(holder, key, *place, value[1] if is_block else None)


class Program:
    """The launches of a recorded call, which `run` repeats; it runs once at a time."""

    def __init__(self, recorder: Recorder, count: int) -> None:
        self._views, self._launches, self._kept = recorder.views, recorder.launches, recorder.kept
        self._result = None if recorder.result is None else recorder.result[1]
        self._form = None if recorder.result is None else (recorder.result[0].shape, recorder.result[0].dtype)
        scratch = [i for i in range(count, len(recorder.memories)) if i != self._result]
        self._offsets, self._nbytes = _packed(recorder, scratch)

    def run(self, place: Place, arrays: Sequence[DeviceArray]) -> Any:
        """Launches the work on arrays of the recorded forms; returns the result, None if the call had `out`."""
        result, into = (None, None) if self._form is None else place.result(*self._form)
        scratch = place.scratch(self._nbytes) if self._nbytes else None
        begins = {index: array.pointer for index, array in enumerate(arrays)}
        if scratch is not None:
            begins |= {index: scratch.pointer + offset for index, offset in self._offsets.items()}
        if self._result is not None and into is not None:
            begins[self._result] = into.pointer
        for view, index, offset in self._views:
            view.move(begins[index] + offset)
        for function, args, keywords, addresses in self._launches:
            keywords["stream"] = place.stream
            for holder, key, memory, offset, nbytes in addresses:
                address = begins[memory] + offset
                holder[key] = address if nbytes is None else (address, nbytes)
            function(*args, **keywords)
        for kept in self._kept:
            kept.used_on(place.stream)
        return result


def _extent(array: DeviceArray) -> tuple[int, int]:
    """Returns the first address of an array's memory, and the one behind it."""
    reaches = [(n - 1) * s for n, s in zip(array.shape, array.strides, strict=True)]
    low, high = (sum(one for one in reaches if sign * one > 0) for sign in (-1, 1))
    size = array.dtype.itemsize
    return array.pointer + low * size, array.pointer + (high + 1) * size if array.size else array.pointer


def _packed(recorder: Recorder, indices: Sequence[int]) -> tuple[dict[int, int], int]:
    """Returns offsets of scratch in one block, in which memory is used again as the call did, and the block's size."""
    ends = {i: recorder.last.get(i, len(recorder.launches)) for i in indices}
    offsets: dict[int, int] = {}
    size = 0
    for i in indices:
        begin, end, first = recorder.memories[i]
        offset = 0
        for j in sorted(offsets, key=offsets.__getitem__):
            other = recorder.memories[j]
            is_over = ends[j] <= first
            if not is_over and offset < offsets[j] + other.end - other.begin and offsets[j] < offset + end - begin:
                offset = -(-(offsets[j] + other.end - other.begin) // _ALIGNMENT) * _ALIGNMENT
        offsets[i] = offset
        size = max(size, offset + end - begin)
    return offsets, size


class _Repeats:
    """The calls of one form: programs that nobody runs now, and the number of attempts to record one."""

    def __init__(self, module: Any) -> None:
        self.module = module  # of whose address the key is made
        self.idle: list[Program] = []
        self.attempts = 0

    def take(self) -> Program | None:
        """Returns a program that nobody else runs, which the caller gives back."""
        with contextlib.suppress(IndexError):
            return self.idle.pop()
        return None


_repeats: collections.OrderedDict[Any, _Repeats] = collections.OrderedDict()
_lock = threading.Lock()


def _repeats_of(module: Any, key: Any) -> _Repeats:
    with _lock:
        repeats = _repeats.setdefault((id(module), key), _Repeats(module))
        _repeats.move_to_end((id(module), key))
        while len(_repeats) > _MOST_FORMS:
            _repeats.popitem(last=False)
    return repeats


def repeated(function: str, arguments: Mapping[str, Any], call: Callable[[], Any]) -> Any:
    """Returns the result of a call: of its program, if a call of its form was recorded, else of `call`.

    Args:
        function: the name of the public function.
        arguments: its arguments by name, with 'dst', and 'out' if the result has memory.
        call: the call itself.
    """
    described = _described(arguments)
    if described is None or _cuda.recorder() is not None:
        return call()
    key, names, arrays = described
    first, dst = arrays[names.index("dst")], arguments["dst"]
    module = _cuda.kernels()
    if module.is_capturing(first.stream, first.device):
        return call()
    repeats = _repeats_of(module, (function, key))
    program = repeats.take()
    if program is None:
        return _recorded(module, repeats, arguments, arrays, call)
    place = Place(_cuda.kind_of(dst), first.device, first.stream, True, first.stream_owner)
    try:
        with _cuda.failures(function):
            result = program.run(place, arrays)
    finally:
        repeats.idle.append(program)
    return arguments["out"] if arguments.get("out") is not None else result


def _recorded(
    module: Any, repeats: _Repeats, arguments: Mapping[str, Any], arrays: Sequence[DeviceArray], call: Callable[[], Any]
) -> Any:
    """Returns the result of a call, which is recorded unless that has failed several times."""
    if repeats.attempts >= _MOST_ATTEMPTS:
        return call()
    recorder = Recorder(module, arrays)
    with _cuda.recording(recorder), _warnings.counted() as warnings:
        result = call()
    out = arguments.get("out")
    expected = recorder.result is None if out is not None else recorder.result is not None
    if recorder.is_complete and not warnings and expected and (out is None or result is out):
        repeats.idle.append(Program(recorder, len(arrays)))
    else:
        repeats.attempts += 1
    return result


def _described(arguments: Mapping[str, Any]) -> tuple[Any, list[str], list[DeviceArray]] | None:
    """Returns what calls are told apart by, and the arrays of the call by name; None: it cannot be repeated."""
    forms: list[Any] = []
    names: list[str] = []
    arrays: list[DeviceArray] = []
    for name, value in arguments.items():
        if isinstance(value, _COMPARED):
            form = _form_of(value)
            if form is None:
                return None
            forms.append((name, form))
            continue
        if not _cuda.is_device_array(value) or getattr(value, "requires_grad", False):
            return None
        try:
            array = _cuda.describe(value, name)
        except PyHarmonyError:  # the call says what is wrong
            return None
        form = array.shape, array.strides, array.dtype, array.pointer % _LOAD, array.device
        forms.append((name, type(value), form))
        names.append(name)
        arrays.append(array)
    if any(a.stream != arrays[0].stream or a.device != arrays[0].device or a.ready is not None for a in arrays):
        return None
    # The same array may be there twice, but the memory of others lies apart.
    extents = [_extent(a) for a in arrays]
    apart = sorted(set(extents))
    if any(end > begin for (_, end), (begin, _) in itertools.pairwise(apart)):
        return None
    same = tuple(extents.index(one) for one in extents)
    return (tuple(forms), same), names, arrays


def _form_of(value: Any) -> Any:
    """Returns a value with its types, as True is 1 to a dictionary; None: it is no plain value."""
    if isinstance(value, tuple):
        forms = tuple(_form_of(one) for one in value)
        return None if None in forms else forms
    return (type(value), value) if type(value) in _PLAIN else None
