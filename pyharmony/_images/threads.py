"""Threads that share the work of NumPy and Pillow, in parts.

Each runs in a copy of its caller's context, so that what holds there, such as the measuring of memory, holds in it.
"""

from __future__ import annotations

import _thread
import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from typing import TypeVar

import numpy as np

from .._arrays import NumpyArray
from .._native import get_num_threads

#: The number of bytes that are copied at once.
_COPIED = 1 << 23

Part = TypeVar("Part")
Result = TypeVar("Result")


class _Progress:
    """Whether a call has ended early."""

    stop = False


#: The progress of the calls that this thread works for, the innermost last.
_calls: ContextVar[tuple[_Progress, ...]] = ContextVar("calls", default=())


@contextlib.contextmanager
def beside(work: Callable[[], Result]) -> Iterator[Callable[[], Result]]:
    """Runs a function in a thread concurrently with a block, which gets a function that waits for its result.

    If the block ends early, by an error or by Ctrl-C, the function ends at `check_ended`. The caller waits with a
    plain lock: Ctrl-C within a method of `threading` or of an executor may leave one of its locks held, for which the
    other thread would wait for ever.
    """
    progress = _Progress()
    calls = (*_calls.get(), progress)
    results: list[Result] = []
    errors: list[BaseException] = []
    lock = _thread.allocate_lock()
    lock.acquire()

    def run() -> None:
        _calls.set(calls)
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)
        finally:
            lock.release()

    def wait() -> None:
        # A signal that arrives just before the lock is acquired does not interrupt the wait.
        while not results and not errors and not lock.acquire(timeout=0.1):
            pass

    def result() -> Result:
        wait()
        if errors:
            raise errors[0]
        return results[0]

    _thread.start_new_thread(copy_context().run, (run,))
    try:
        yield result
    except BaseException:
        progress.stop = True
        raise
    finally:
        wait()


def in_threads(work: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """Returns the results of a function for each part, in their order.

    The caller determines the parts, independent of the number of threads, so that the results are the same. If the
    call ends early, or one that it works for, no further part begins, and running ones end at `check_ended`.
    """

    def one(part: Part) -> Result:
        check_ended()
        return work(part)

    count = min(get_num_threads(), len(parts))
    if count <= 1:
        return [one(part) for part in parts]

    def share() -> list[Result]:
        contexts = [copy_context() for _ in parts]
        with ThreadPoolExecutor(count) as pool:
            try:
                return list(pool.map(lambda context, part: context.run(one, part), contexts, parts))
            except BaseException:
                _calls.get()[-1].stop = True
                raise

    with beside(share) as result:
        return result()


def copied(source: NumpyArray, target: NumpyArray | None = None) -> NumpyArray:
    """Copies an array [H, ...] into another or a new one, which it returns; threads share large ones.

    The first write to the pages of new memory takes longer than the copy itself.
    """
    target = np.empty(source.shape, source.dtype) if target is None else target
    rows = max(1, _COPIED * len(source) // max(1, source.nbytes))

    def copy(start: int) -> None:
        target[start : start + rows] = source[start : start + rows]

    in_threads(copy, range(0, len(source), rows))
    return target


def check_ended() -> None:
    """Raises CancelledError if the call that this thread works for has ended; to be called regularly by long work."""
    if any(call.stop for call in _calls.get()):
        raise CancelledError
