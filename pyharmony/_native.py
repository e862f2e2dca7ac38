"""Loads the compiled module, and raises a clear error if it is missing."""

from __future__ import annotations

import functools
import os
from typing import Any

from . import _install
from .errors import NativeError

try:
    import pyharmony._C as native
except ImportError as error:
    raise NativeError(
        f"pyharmony's compiled module could not be loaded ({error}); install the package again: {_install.again()}"
    ) from error

__all__ = ["cuda_status", "get_num_threads", "has_cuda", "native", "simd_level"]


_FORKED = (
    "this process was forked after CUDA was initialised, and CUDA works only in its parent; start processes by "
    "'spawn' or 'forkserver'"
)


class _Driver:
    """The status of the driver, cached because the first query initialises CUDA."""

    reason: str | None = None
    too_old = ""
    forked = False


def _after_fork() -> None:
    _Driver.forked = True
    if _Driver.reason == "":
        _Driver.reason = _FORKED


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


#: The oldest driver for a major version of CUDA, by NVIDIA's table of compatibility.
_DRIVERS = {11: 450, 12: 525, 13: 580}


def driver_trouble(cuda: Any) -> str:
    """Returns what is needed if there is a driver for an older major version of CUDA than that of this build."""
    runtime, driver = cuda.runtime_version(), cuda.driver_version()
    if driver == 0 or driver // 1000 >= runtime // 1000:
        return ""
    needed = _DRIVERS.get(runtime // 1000)
    return (
        f"the driver is for CUDA {driver // 1000}.{driver % 1000 // 10}, and this build for CUDA {runtime // 1000}."
        f"{runtime % 1000 // 10}, which needs " + (f"driver {needed} or later" if needed else "a newer driver")
    )


def unused_gpu() -> str:
    """Returns why a GPU with a driver is not used although this build has kernels; empty if there is none."""
    return _Driver.too_old if _driver_status() else ""


def _driver_status() -> str:
    """Returns why this process has no CUDA device; empty if it has one."""
    if _Driver.reason is None:
        cuda = getattr(native, "cuda", None)
        reason = "this build has no CUDA kernels" if cuda is None else str(cuda.status())
        if _Driver.forked and "initialization error" in reason:
            reason = _FORKED  # another library, such as torch, initialised CUDA before the fork
        elif cuda is not None and reason:
            _Driver.too_old = driver_trouble(cuda)
        _Driver.reason = _Driver.too_old or reason
    return _Driver.reason


@functools.cache
def _code_status(module: Any, device: int) -> str:
    return str(module.status_of(device))


def device_module() -> Any:
    """Returns the native module for arrays on CUDA devices; None if there are no devices."""
    return None if _driver_status() else native.cuda


def cuda_status() -> str:
    """Returns why kernels cannot run on the current CUDA device; empty if they can."""
    module = device_module()
    if module is None:
        return _driver_status()
    try:
        return _code_status(module, module.current_device())
    except module.DeviceFailure as failure:
        return str(failure)


def has_cuda() -> bool:
    """Returns whether this build has CUDA kernels and a device to run them on.

    Example:
        >>> import pyharmony
        >>> pyharmony.has_cuda() in (True, False)
        True
    """
    return cuda_status() == ""


def get_num_threads() -> int:
    """Returns the number of threads that one call may use.

    Example:
        >>> import pyharmony
        >>> pyharmony.get_num_threads() >= 1
        True
    """
    return native.num_threads()


def simd_level() -> str:
    """Returns the instruction set in use: 'baseline', 'avx2' or 'avx512'.

    Example:
        >>> import pyharmony
        >>> pyharmony.simd_level() in ("baseline", "avx2", "avx512", "neon")
        True
    """
    return native.simd_level()
