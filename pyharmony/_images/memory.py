"""The scratch that a blend holds beside the caller's arrays, counted for `SolveInfo.peak_bytes`."""

from __future__ import annotations

import weakref
from typing import Any

from .._cuda import DeviceArray


class Memory:
    """Bytes held now, and at most.

    Arrays that live on are given to `hold`, which follows them until they are freed; what one
    expression or native call needs for itself is given to `touch`. Bytes that do not grow with the
    image are left out.
    """

    def __init__(self) -> None:
        self._now = 0
        self._known: set[int] = set()
        self.peak = 0

    def hold(self, array: Any) -> Any:
        """Returns array, counted until nothing refers to it any more; a view counts as what it views.

        What lies on a device is not counted: solves there tell what they take.
        """
        if isinstance(array, DeviceArray):
            return array
        owner = array
        while owner.base is not None:
            owner = owner.base
        if id(owner) not in self._known:
            self._known.add(id(owner))
            self._now += owner.nbytes
            self.touch(0)
            weakref.finalize(owner, self._drop, id(owner), owner.nbytes).atexit = False
        return array

    def touch(self, size: int) -> None:
        """Counts so many bytes beside what is held, for a moment."""
        self.peak = max(self.peak, self._now + size)

    def _drop(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._now -= size
