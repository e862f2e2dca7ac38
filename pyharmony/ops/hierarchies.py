"""Set-ups of `poisson` that are kept from solve to solve, for those who move one mask about."""

from __future__ import annotations

import contextlib
import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import numpy as np

from .._arrays import NumpyArray
from .poisson import hierarchy_of

__all__ = ["Hierarchies", "kept_hierarchy_of"]

_USED: ContextVar[Hierarchies | None] = ContextVar("pyharmony_hierarchies", default=None)


class Hierarchies:
    """The set-ups of the masks that were solved for last; not for several threads at once.

    A set-up follows from the mask and the weight alone, so a solve with one that is kept is the same bit for bit.

    Args:
        most: the most bytes of all of them; a larger set-up is made, used and not kept.

    Attributes:
        misses: how many set-ups were made.
    """

    def __init__(self, most: int) -> None:
        self.misses = 0
        self._most, self._cache = most, OrderedDict[bytes, Any]()

    def of(self, mask: NumpyArray, weight: float | NumpyArray) -> Any:
        """Returns the set-up of a mask [H, W] and a weight, a number or a map [H, W].

        Raises:
            MaskError: the mask is above zero everywhere, and the weight is 0.
        """
        key = _key(mask, weight)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        self.misses += 1
        hierarchy = self._cache[key] = hierarchy_of(mask, weight)
        while sum(one.bytes for one in self._cache.values()) > self._most:
            self._cache.popitem(last=False)
        return hierarchy

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Makes the blends inside on the CPU take their set-ups from here."""
        token = _USED.set(self)
        try:
            yield
        finally:
            _USED.reset(token)


def kept_hierarchy_of(mask: NumpyArray, weight: float | NumpyArray) -> Any:
    """Returns the set-up of a mask, from the `Hierarchies` in use where there are any."""
    hierarchies = _USED.get()
    return hierarchy_of(mask, weight) if hierarchies is None else hierarchies.of(mask, weight)


def _key(mask: NumpyArray, weight: float | NumpyArray) -> bytes:
    """Returns a digest of what a set-up follows from."""
    digest = hashlib.blake2b(digest_size=16)
    for array in (mask, np.asarray(weight)):
        digest.update(f"{array.dtype.str} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.digest()
