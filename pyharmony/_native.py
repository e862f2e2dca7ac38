"""Loads the compiled module, with a clear error where it is missing."""

from __future__ import annotations

import functools
from typing import Any

from . import _install
from .errors import NativeError

try:
    import pyharmony._C as native
except ImportError as error:
    raise NativeError(
        f"pyharmony's compiled module could not be loaded ({error}); install the package again: {_install.again()}"
    ) from error

__all__ = ["cuda_status", "get_num_threads", "has_cuda", "native", "set_num_threads", "simd_level"]


@functools.cache
def cuda_status() -> str:
    """Why kernels cannot run on a CUDA device; empty where they can."""
    cuda = getattr(native, "cuda", None)
    return "this build has no CUDA kernels" if cuda is None else str(cuda.status())


def device_module() -> Any:
    """The native module whose kernels run on a device; None where there is none."""
    return None if cuda_status() else native.cuda


def has_cuda() -> bool:
    """Whether this build has CUDA kernels and a device to run them on."""
    return device_module() is not None


def get_num_threads() -> int:
    """Threads that one call may use."""
    return native.num_threads()


def set_num_threads(n: int) -> None:
    """Sets the threads that one call may use; results do not depend on it.

    Args:
        n: at least 1.

    Raises:
        ValueError: n is not a positive integer.
    """
    from .errors import ArgumentError

    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ArgumentError(f"n: {n!r}, expected an integer of at least 1")
    native.set_num_threads(n)


def simd_level() -> str:
    """The instruction set in use: 'baseline', 'avx2' or 'avx512'."""
    return native.simd_level()
