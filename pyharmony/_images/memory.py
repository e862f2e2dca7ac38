"""The scratch memory of a blend, without the caller's arrays, counted for `SolveInfo.peak_bytes`."""

from __future__ import annotations

import weakref
from typing import Any

from .._cuda import DeviceArray


class Memory:
    """The number of bytes that a blend uses, and the peak of that number.

    Arrays that persist are passed to `hold`, which counts them until they are freed; the size of memory that only one
    expression or native call uses is passed to `touch`. Bytes that do not grow with the image are not counted.
    """

    def __init__(self) -> None:
        self._now = 0
        self._ids: set[int] = set()
        self.peak = 0

    def hold(self, array: Any) -> Any:
        """Returns the array and counts it until nothing refers to it; for a view, its base array is counted.

        Arrays on a device are not counted: solves there report the memory that they use.
        """
        if isinstance(array, DeviceArray):
            return array
        owner = array
        while owner.base is not None:
            owner = owner.base
        if id(owner) not in self._ids:
            self._ids.add(id(owner))
            self._now += owner.nbytes
            self.touch(0)
            weakref.finalize(owner, self._drop, id(owner), owner.nbytes).atexit = False
        return array

    def touch(self, size: int) -> None:
        """Counts `size` temporary bytes, in addition to the held arrays, towards the peak."""
        self.peak = max(self.peak, self._now + size)

    def _drop(self, key: int, size: int) -> None:
        self._ids.discard(key)
        self._now -= size
