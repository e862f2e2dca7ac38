"""Counts the operations of a call: those of torch's dispatcher, and calls into our native module.

Each is a kernel on a GPU, or about one. Allocations, views and reading of numbers are not counted.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pyharmony._native import native

_NO_KERNEL = ("empty", "empty_like", "new_empty_strided", "_local_scalar_dense")


class _Torch(TorchDispatchMode):
    """Counts operations by name while it is active."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name not in _NO_KERNEL and not _is_view(func):
            self.counts[name] += 1
        return func(*args, **(kwargs or {}))


def _is_view(func: Any) -> bool:
    return any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns)


def count(call: Callable[[], Any]) -> tuple[Counter[str], Counter[str]]:
    """Counts operations of torch, and native calls, by name."""
    calls: Counter[str] = Counter()

    def note(_frame: Any, event: str, function: Any) -> None:
        if event == "c_call" and getattr(function, "__module__", None) == native.__name__:
            calls[function.__name__] += 1

    # The backward pass of the CPU runs on this thread.
    with _Torch() as counter, torch.autograd.set_multithreading_enabled(False):
        sys.setprofile(note)
        try:
            call()
        finally:
            sys.setprofile(None)
    return counter.counts, calls
