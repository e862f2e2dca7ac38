"""Arrays in the memory of the emulator's device, as other libraries would hand them over."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from pyharmony._cuda import DeviceArray


class Interface:
    """NumPy memory that says it is a device's: what numba and others hand over."""

    def __init__(self, array: np.ndarray[Any, Any], **more: Any) -> None:
        self.array = array
        compact = array.flags.c_contiguous
        self.__cuda_array_interface__ = {
            "shape": array.shape,
            "typestr": array.dtype.str,
            "data": (array.ctypes.data, False),
            "strides": None if compact else array.strides,
            "version": 3,
            **more,
        }


def fetched(array: DeviceArray) -> np.ndarray[Any, Any]:
    """What the emulator's device holds, which is memory of the processor."""
    values = (ctypes.c_char * array.nbytes).from_address(array.pointer)
    return np.frombuffer(values, array.dtype).reshape(array.shape).copy()
