"""Pinned memory: copies of NumPy arrays to a CUDA device and back, part by part, and what a device tells the host.

A copy from or to ordinary memory goes through small pinned buffers of the driver, and the host waits for it. Here two
buffers take turns: while the device copies one part, the host copies the next one on several threads. Results have the
same bits. The page docs/cuda.md derives what this gains.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
from collections.abc import Iterator
from typing import Any

#: The bytes of a buffer: at 25 GB/s a copy of it takes 0.3 ms, beside which its launch and its event are little.
PART = 8 << 20

#: The smallest number of bytes that are copied in parts: one part has nothing to take turns with.
MIN_STAGED_BYTES = PART + 1

#: The largest number of pairs of buffers of a device. More threads wait for their turn, since they share one bus.
MAX_BUFFER_PAIRS = 2

#: The numbers of 8 bytes that a device can tell the host in a call.
FLAGS = 1024

_log = logging.getLogger("pyharmony")


class _Buffer:
    """Pinned memory, and the event after which the device has read or written it."""

    def __init__(self, module: Any, device: int) -> None:
        self._module, self._device = module, device
        self._memory = module.PinnedBuffer(PART, device)
        self._event: Any = None
        self.pointer: int = self._memory.pointer

    def used(self, stream: int) -> None:
        """Notes that the device uses the memory until the stream has done its work so far."""
        if self._event is None:
            self._event = self._module.Event(self._device, stream)
        else:
            self._event.record(stream)

    def wait(self) -> None:
        """Waits until the device has done with the memory."""
        if self._event is not None:
            self._event.synchronize()


class _Pairs:
    """The pairs of buffers of a device. One is kept for the next call; others are freed when they are given back."""

    def __init__(self, module: Any, device: int) -> None:
        self._module, self._device = module, device
        self._free: list[tuple[_Buffer, _Buffer]] = []
        self._count = 0
        self._changed = threading.Condition()
        self._refused = False

    @contextlib.contextmanager
    def lent(self) -> Iterator[tuple[_Buffer, _Buffer] | None]:
        """Lends a pair to the block, after waiting if there are `MAX_BUFFER_PAIRS`; None without memory for one."""
        pair = self._take()
        try:
            yield pair
        finally:
            if pair is not None:
                self._give_back(pair)

    def _take(self) -> tuple[_Buffer, _Buffer] | None:
        with self._changed:
            while not self._free and self._count >= MAX_BUFFER_PAIRS:
                self._changed.wait()
            if self._free:
                return self._free.pop()
            self._count += 1
        try:
            return _Buffer(self._module, self._device), _Buffer(self._module, self._device)
        except self._module.DeviceMemoryFailure as error:
            with self._changed:
                self._count -= 1
                self._changed.notify()
                if not self._refused:
                    _log.warning("NumPy arrays are copied to and from cuda:%d unpinned: %s", self._device, error)
                self._refused = True
            return None
        except BaseException:
            with self._changed:
                self._count -= 1
                self._changed.notify()
            raise

    def _give_back(self, pair: tuple[_Buffer, _Buffer]) -> None:
        with self._changed:
            if self._free:
                self._count -= 1
                surplus = pair
            else:
                self._free.append(pair)
                surplus = None
            self._changed.notify()
        if surplus is not None:
            for buffer in surplus:
                buffer.wait()  # memory that the device still reads must not be freed

    def release(self) -> None:
        with self._changed:
            pairs, self._free = self._free, []
            self._count -= len(pairs)
            self._changed.notify_all()
        for pair in pairs:
            for buffer in pair:
                with contextlib.suppress(self._module.DeviceFailure):  # a device that failed uses it no longer
                    buffer.wait()


class _Flags(threading.local):
    """The memory of a thread by which devices tell it something, each apart."""

    def __init__(self) -> None:
        self.of: dict[tuple[int, int], Any] = {}


_flags = _Flags()
_all: dict[tuple[int, int], _Pairs] = {}
_lock = threading.Lock()


def _pairs_of(module: Any, device: int) -> _Pairs:
    key = id(module), device
    with _lock:
        pairs = _all.get(key)
        if pairs is None:
            pairs = _all[key] = _Pairs(module, device)
        return pairs


@atexit.register
def release() -> None:
    """Frees the buffers that no call uses, and the flags of this thread."""
    _flags.of.clear()
    with _lock:
        all_pairs = list(_all.values())
        _all.clear()
    for pairs in all_pairs:
        pairs.release()


def _forget() -> None:
    """Drops the buffers in a forked process, which cannot use CUDA; a thread of the parent may hold their lock."""
    global _lock
    _lost.extend((dict(_all), dict(_flags.of)))
    _all.clear()
    _flags.of.clear()
    _lock = threading.Lock()


_lost: list[Any] = []
if hasattr(os, "register_at_fork"):  # Windows has no forks
    os.register_at_fork(after_in_child=_forget)


def flags(module: Any, count: int, device: int, stream: int) -> tuple[int, int] | None:
    """Returns the address and the bytes of pinned memory that a device writes while this thread waits for it.

    None where there are more than `FLAGS` numbers, without memory, and in a capture, whose work nobody waits for.
    """
    if count > FLAGS or module.is_capturing(stream, device):
        return None
    key = id(module), device
    memory = _flags.of.get(key)
    if memory is None:
        try:
            memory = _flags.of[key] = module.PinnedBuffer(8 * FLAGS, device)
        except module.DeviceMemoryFailure:
            return None
    return memory.pointer, memory.bytes


def copy_in(module: Any, to: int, host: int, nbytes: int, device: int, stream: int) -> None:
    """Copies memory of the host to a device; the host's may change afterwards."""
    if nbytes < MIN_STAGED_BYTES or module.is_capturing(stream, device):  # an event of a capture cannot be waited for
        module.copy_in(to, host, nbytes, device, stream)
        return
    with _pairs_of(module, device).lent() as pair:
        if pair is None:
            module.copy_in(to, host, nbytes, device, stream)
            return
        for i, begin in enumerate(range(0, nbytes, PART)):
            buffer, size = pair[i % 2], min(PART, nbytes - begin)
            buffer.wait()
            module.copy_host(buffer.pointer, host + begin, size)
            module.copy_in(to + begin, buffer.pointer, size, device, stream)
            buffer.used(stream)


def copy_out(module: Any, host: int, source: int, nbytes: int, device: int, stream: int) -> None:
    """Copies memory of a device to the host, and waits for the stream."""
    if nbytes >= MIN_STAGED_BYTES and not module.is_capturing(stream, device):
        with _pairs_of(module, device).lent() as pair:
            if pair is not None:
                _copy_out_in_parts(module, pair, host, source, nbytes, device, stream)
                return
    module.copy_out(host, source, nbytes, device, stream)
    module.synchronize(device, stream)


def _copy_out_in_parts(
    module: Any, pair: tuple[_Buffer, _Buffer], host: int, source: int, nbytes: int, device: int, stream: int
) -> None:
    def begin_part(begin: int) -> None:
        buffer = pair[begin // PART % 2]
        buffer.wait()
        module.copy_out(buffer.pointer, source + begin, min(PART, nbytes - begin), device, stream)
        buffer.used(stream)

    begin_part(0)
    for begin in range(0, nbytes, PART):
        if begin + PART < nbytes:
            begin_part(begin + PART)
        buffer = pair[begin // PART % 2]
        buffer.wait()
        module.copy_host(host + begin, buffer.pointer, min(PART, nbytes - begin))
