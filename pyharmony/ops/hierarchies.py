"""A cache of setups of `poisson`, for repeated solves while a mask is moved."""

from __future__ import annotations

import contextlib
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import numpy as np

from .._arrays import NumpyArray
from .poisson import hierarchy_of

__all__ = ["Hierarchies", "are_cached", "setup_of_masks"]

_ACTIVE_HIERARCHIES: ContextVar[Hierarchies | None] = ContextVar("pyharmony_hierarchies", default=None)


class Hierarchies:
    """A cache of the setups of recent masks; not thread-safe.

    A setup depends only on the mask and the weight, so a solve with a cached one is bit-identical. `most` is the
    largest number of bytes of the cache; a larger setup is not cached. `misses` counts the setups computed.
    """

    def __init__(self, most: int) -> None:
        self.misses = 0
        self._most, self._cache = most, OrderedDict[bytes, Any]()

    def of(self, mask: NumpyArray, weight: float | NumpyArray) -> Any:
        """Returns the setup for a mask [H, W] and a weight, a number or a map [H, W]."""
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
        """Makes blends on the CPU inside the context use this cache."""
        token = _ACTIVE_HIERARCHIES.set(self)
        try:
            yield
        finally:
            _ACTIVE_HIERARCHIES.reset(token)


def are_cached() -> bool:
    """Returns whether there is an active `Hierarchies`."""
    return _ACTIVE_HIERARCHIES.get() is not None


def setup_of_masks() -> Callable[[NumpyArray, float | NumpyArray], Any]:
    """Returns the function that sets up a mask with a weight: of the active `Hierarchies`, if there is one."""
    hierarchies = _ACTIVE_HIERARCHIES.get()
    return hierarchy_of if hierarchies is None else hierarchies.of


def _key(mask: NumpyArray, weight: float | NumpyArray) -> bytes:
    """Returns a digest of the inputs of a setup."""
    digest = hashlib.blake2b(digest_size=16)
    for array in (mask, np.asarray(weight)):
        digest.update(f"{array.dtype.str} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.digest()
