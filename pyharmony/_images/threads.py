"""Work of NumPy and Pillow in parts, which threads share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from .._native import get_num_threads

Part = TypeVar("Part")
Found = TypeVar("Found")


def in_threads(work: Callable[[Part], Found], parts: Sequence[Part]) -> list[Found]:
    """Returns what a function makes of each part, in their order.

    The parts are those that the caller cuts, whatever the number of threads, so that the results are the same.
    """
    count = min(get_num_threads(), len(parts))
    if count <= 1:
        return [work(part) for part in parts]
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, parts))
