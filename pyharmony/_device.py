"""The choice of the device on which calls run, and of the number of their threads."""

from __future__ import annotations

import logging
import os
from typing import ClassVar, get_args

import numpy as np

from . import _native
from ._public import naming_keywords
from ._warnings import warn
from .errors import ArgumentError, DeviceError, DTypeError
from .typing import Device

DEVICES: tuple[Device, ...] = get_args(Device)

_logger = logging.getLogger("pyharmony")


class _State:
    device: Device | None = None
    strict = False
    messages: ClassVar[set[str]] = set()


def checked(device: object, name: str) -> Device:
    if not isinstance(device, str):
        raise DTypeError(f"{name}: {device!r}, expected one of {', '.join(map(repr, DEVICES))}")
    if device not in DEVICES:
        raise ArgumentError(f"{name}: {device!r}, expected one of {', '.join(map(repr, DEVICES))}")
    return device


@naming_keywords
def set_device(device: Device = "auto", *, strict: bool = False) -> None:
    """Sets where calls run whose ``device`` is None and whose images are not on a device.

    Args:
        device: 'auto' (CUDA if the kernels load, else the CPU), 'cpu' or 'cuda'. Before the
            first call it is $PYHARMONY_DEVICE, or 'auto'.
        strict: raise DeviceError if a requested device cannot be used. False: run on
            the CPU, with one `PyHarmonyWarning`.

    Raises:
        DTypeError, ArgumentError: device is invalid.
        DeviceError: strict is True, and the device cannot be used.

    Example:
        >>> import pyharmony
        >>> pyharmony.set_device("cpu")
        >>> pyharmony.get_device()
        'cpu'
        >>> pyharmony.set_device("auto")
    """
    if not isinstance(strict, (bool, np.bool_)):
        raise DTypeError(f"strict: {strict!r}, expected True or False")
    device_name = checked(device, "device")
    if strict and device_name == "cuda" and not _native.has_cuda():
        raise DeviceError(_missing("device"))
    _State.device, _State.strict = device_name, bool(strict)


def get_device() -> Device:
    """Returns the device that was set by `set_device` or $PYHARMONY_DEVICE: 'auto', 'cpu' or 'cuda'.

    Example:
        >>> import pyharmony
        >>> pyharmony.get_device()
        'auto'
    """
    if _State.device is None:
        _State.device = checked(os.environ.get("PYHARMONY_DEVICE") or "auto", "PYHARMONY_DEVICE")
    return _State.device


@naming_keywords
def set_num_threads(n: int) -> None:
    """Sets the number of threads that one call may use; results do not depend on it.

    Args:
        n: the number of threads, at least 1.

    Raises:
        ValueError: n is not a positive integer.

    Example:
        >>> import pyharmony
        >>> before = pyharmony.get_num_threads()
        >>> pyharmony.set_num_threads(1)
        >>> pyharmony.get_num_threads()
        1
        >>> pyharmony.set_num_threads(before)
    """
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n < 1 << 31:
        raise ArgumentError(f"n: {n!r}, expected an integer from 1 to {(1 << 31) - 1}")
    _native.native.set_num_threads(n)


def resolve(device: str | None) -> str:
    """Returns the device of a call with this argument: 'cpu' or 'cuda'.

    Raises:
        DTypeError, ArgumentError: device is not None, 'auto', 'cpu' or 'cuda'.
        DeviceError: the device cannot be used, and `set_device` was called with strict=True.
    """
    preference = get_device() if device is None else checked(device, "device")
    # A query for CUDA initialises it, which a call on the CPU must not do.
    if preference != "cpu" and _native.has_cuda():
        return "cuda"
    if preference == "auto":
        reason = _native.unused_gpu()
        if reason:
            instead_of_device(reason, reason)
    if preference == "cuda":
        if _State.strict:
            raise DeviceError(_missing("device"))
        if "missing" not in _State.messages and warn(f"{_missing('device')}; running on the CPU"):
            _State.messages.add("missing")
    return "cpu"


def instead_of_device(message: str, reason: str) -> None:
    """Logs the reason why a call runs on the CPU, once per process and reason."""
    if reason not in _State.messages:
        _State.messages.add(reason)
        _logger.warning("%s; running on the CPU", message)


def only_on_cpu(what: str) -> None:
    """Logs that a call for 'cuda' runs on the CPU because there are no kernels; raises if `set_device` was strict."""
    message = f"device: 'cuda', but {what} has kernels for the CPU only"
    if _State.strict:
        raise DeviceError(message)
    _logger.warning("%s; running there", message)


def _missing(name: str) -> str:
    return f"{name}: 'cuda' cannot be used: {_native.cuda_status()}"
