"""Work of NumPy and Pillow in parts, which threads share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import TypeVar

from .._native import get_num_threads

Part = TypeVar("Part")
Found = TypeVar("Found")


#: `ended` holds the events of the calls that this thread works for; each is set when its call ends early.
_calls = threading.local()


def in_threads(work: Callable[[Part], Found], parts: Sequence[Part]) -> list[Found]:
    """Returns what a function makes of each part, in their order.

    The parts are those that the caller cuts, whatever the number of threads, so that the results are the same. Where
    the call ends early, by an error or by Ctrl-C, no further part begins, and those at work end at `check_ended`.
    """
    count = min(get_num_threads(), len(parts))
    if count <= 1:
        return [work(part) for part in parts]
    ended = threading.Event()
    events = (*getattr(_calls, "ended", ()), ended)

    def one(part: Part) -> Found:
        _calls.ended = events
        return work(part)

    with ThreadPoolExecutor(count) as pool:
        try:
            return list(pool.map(one, parts))
        except BaseException:
            ended.set()
            raise


def check_ended() -> None:
    """Raises CancelledError where the call that this thread works for has ended; long work asks now and then."""
    if any(event.is_set() for event in getattr(_calls, "ended", ())):
        raise CancelledError
