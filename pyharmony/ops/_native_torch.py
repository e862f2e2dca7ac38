"""Native calls on torch tensors: on the CPU, or on the current stream of their CUDA device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import _arrays, _cuda
from .._native import native
from ..errors import DTypeError

#: The dtypes that the kernels of layers support on a CUDA device.
DEVICE_DTYPES = (torch.float32, torch.float16, torch.bfloat16)

#: The shapes and the memory formats of x and weight of a convolution.
Shapes = tuple[tuple[int, ...], tuple[int, ...]]
Formats = tuple[torch.memory_format, torch.memory_format]


def on_device(x: Tensor) -> bool:
    """Returns whether x requires the kernels of a CUDA device."""
    return x.is_cuda


def check_device_dtype(x: Tensor, name: str) -> None:
    """Raises for a dtype that the kernels of layers do not support on a CUDA device."""
    if x.dtype not in DEVICE_DTYPES:
        raise DTypeError(f"{name}: {x.dtype} is not supported on a GPU, use float32, bfloat16 or float16")


def is_capturing(x: Tensor) -> bool:
    """Returns whether calls on x are being captured in a CUDA graph."""
    return x.is_cuda and torch.cuda.is_current_stream_capturing()


def dense(x: Tensor) -> Tensor:
    """Returns x if its memory is planar or channels-last without gaps, else a copy."""
    x = _arrays.plain(x, "x")
    if x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last):
        return x
    return x.contiguous(memory_format=torch.channels_last if x.stride(1) == 1 else torch.contiguous_format)


def where_of(x: Tensor) -> tuple[int, int]:
    """Returns the device and the current stream of a tensor for native calls."""
    if not x.is_cuda:
        return -1, 0  # the emulator's device
    index: Any = x.device.index
    return index, _raw_stream(index)


def _slow_raw_stream(index: int) -> int:
    return int(torch.cuda.current_stream(index).cuda_stream)


#: torch's compiler calls this function, since torch.cuda.current_stream makes an object.
_raw_stream: Any = getattr(torch._C, "_cuda_getCurrentRawStream", _slow_raw_stream)


def scratch(nbytes: int, like: Tensor) -> Tensor:
    """Returns at least one byte of uninitialised memory on the device of a tensor."""
    return torch.empty(max(nbytes, 1), dtype=torch.uint8, device=like.device)


class Calls:
    """Native calls on CPU tensors."""

    module: Any = native

    def view(self, x: Tensor | None, *, writable: bool = False) -> Any:
        """Returns the native view of x, which must outlive the view; None for None."""
        return None if x is None else _arrays.tensor_view(x, writable=writable, module=self.module)

    def size(self, name: str, *arguments: Any) -> int:
        """Returns the bytes of workspace of a call, by the function of that name; 0 on the CPU."""
        return 0

    def run(self, name: str, *arguments: Any, workspace: int | None = None, **options: Any) -> Any:
        """Calls a function of the module."""
        return getattr(self.module, name)(*arguments, **options)


class DeviceCalls(Calls):
    """Native calls on tensors of a CUDA device: kernels are enqueued on the current stream without synchronisation.

    Args:
        like: a tensor on the device.
        doing: the name of the op, for messages.
    """

    def __init__(self, like: Tensor, doing: str) -> None:
        self.module, self.like, self.doing = _cuda.kernels(), like, doing
        device, stream = where_of(like)
        self.place = {"device": device, "stream": stream}

    def size(self, name: str, *arguments: Any) -> int:
        return int(getattr(self.module, name)(*arguments))

    def run(self, name: str, *arguments: Any, workspace: int | None = None, **options: Any) -> Any:
        """Enqueues a call on the stream; workspace: the bytes of scratch memory that it needs, if any."""
        if workspace is not None:
            memory = scratch(workspace, self.like)
            options["workspace"] = self.view(memory, writable=True)
        with _cuda.failures(self.doing):
            return getattr(self.module, name)(*arguments, **options, **self.place)


ON_CPU = Calls()


def calls_for(x: Tensor, doing: str) -> Calls:
    """Returns the native calls of an op for tensors on the device of x."""
    return DeviceCalls(x, doing) if on_device(x) else ON_CPU


def operator(name: str, schema: str, run: Any, fake: Any, backward: Any = None, keep: Any = None) -> Any:
    """Registers an operator of torch.library, opaque to torch's compiler, and returns it.

    fake returns empty results of its shapes for the compiler; backward is its gradient, for which keep saves values.
    """
    result = torch.library.custom_op(f"pyharmony::{name}", run, mutates_args=(), schema=schema)
    result.register_fake(fake)
    if backward is not None:
        result.register_autograd(backward, setup_context=keep)
    return result
