"""Native views of arrays of any kind, and results in the caller's kind.

A numpy array or a torch CPU tensor is described by pointer, dtype, shape and strides, so non-contiguous and negatively
strided arrays are passed without a copy. torch is never imported here: a tensor is recognised by its type, which means
that torch is loaded already.
"""

from __future__ import annotations

import functools
import sys
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from ._native import native
from .errors import ArgumentError, DTypeError
from .typing import PILImage

Array = Any
"""A numpy.ndarray or a torch.Tensor on the CPU."""

IMAGE_DTYPES = ("uint8", "uint16", "float16", "float32", "float64")
MASK_DTYPES = ("bool", *IMAGE_DTYPES)

#: The value of 1.0 in each image dtype.
VALUE_RANGE = {"uint8": 255.0, "uint16": 65535.0, "float16": 1.0, "float32": 1.0, "float64": 1.0}

NumpyArray = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
#: 8-bit levels.
Pixels = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
#: x, y, width and height in whole pixels, and in parts of them.
Box = tuple[int, int, int, int]
Rectangle = tuple[float, float, float, float]
#: x0, y0, x1, y1 in parts of pixels, the last two excluded.
Corners = tuple[float, float, float, float]


def is_torch(x: object) -> TypeGuard[Any]:
    """Returns whether x is a torch tensor."""
    # The module has no Tensor while another thread is importing torch: then x cannot be one yet.
    kind = getattr(sys.modules.get("torch"), "Tensor", None)
    return kind is not None and isinstance(x, kind)


def is_array(x: object) -> bool:
    """Returns whether x is a NumPy array or a torch tensor."""
    return isinstance(x, np.ndarray) or is_torch(x)


def in_graph(*arrays: object) -> bool:
    """Returns whether torch must trace a call, because a tensor requires grad or the call is being compiled."""
    if not any(is_torch(x) for x in arrays):
        return False
    torch = sys.modules["torch"]
    if torch.compiler.is_compiling():
        return True
    return torch.is_grad_enabled() and any(is_torch(x) and x.requires_grad for x in arrays)


def is_pil(x: object) -> TypeGuard[PILImage]:
    """Returns whether x is an image of Pillow, without importing Pillow."""
    kind = getattr(sys.modules.get("PIL.Image"), "Image", None)
    return kind is not None and isinstance(x, kind)


def masked_kind() -> Any:
    """Returns the class of masked arrays; () while nobody has imported `numpy.ma`, and there are none."""
    return getattr(sys.modules.get("numpy.ma"), "MaskedArray", ())


def dtype_of(x: Any) -> str:
    """Returns the name of the dtype of an array or a tensor."""
    return str(x.dtype).removeprefix("torch.")


def check_dtype(dtype: str, name: str, dtypes: tuple[str, ...]) -> None:
    """Refuses a dtype, by its name, that is not one of dtypes."""
    if dtype not in dtypes:
        remedy = ""
        if dtype.startswith((">", "<")) and np.dtype(dtype[1:]).name in dtypes:
            remedy = f"; {name}.astype({name}.dtype.newbyteorder('=')) has this machine's byte order"
        raise DTypeError(f"{name}: dtype {dtype} is not supported, use one of {', '.join(dtypes)}{remedy}")


def check_dense(x: Any, name: str) -> None:
    """Refuses a sparse tensor, or one in oneDNN's layout, since neither has strides."""
    if is_torch(x) and x.layout != sys.modules["torch"].strided:
        raise DTypeError(f"{name}: a tensor of layout {x.layout}, expected a dense one; use {name}.to_dense()")


def check_device(x: Any, name: str) -> None:
    """Refuses a tensor that is neither on the CPU nor on a CUDA device."""
    if x.device.type not in ("cpu", "cuda"):
        raise DTypeError(f"{name}: a tensor on {x.device}, expected one on the CPU or a CUDA device")


def plain(x: Any, name: str) -> Any:
    """Returns a tensor whose memory contains x's values: x itself, or a copy if torch has not computed them yet.

    Copied are views with the negative or the conjugate bit (`torch.complex(a, b).conj().imag`), and the zeros without
    memory of forward-mode derivatives.

    Raises:
        DTypeError: x is sparse, in oneDNN's layout, or without memory.
    """
    torch = sys.modules["torch"]
    if x.layout != torch.strided:
        check_dense(x, name)
    if x._is_zerotensor():
        return torch.zeros(x.shape, dtype=x.dtype, device=x.device)
    return x.resolve_conj().resolve_neg()


def check_memory(x: Any, name: str) -> None:
    """Refuses a tensor whose storage was resized, such as by FSDP, to less than its shape and strides need."""
    if not x.numel():
        return
    last = x.storage_offset() + sum((n - 1) * stride for n, stride in zip(x.shape, x.stride(), strict=True))
    has = x.untyped_storage().nbytes()
    if (last + 1) * x.element_size() > has:
        raise DTypeError(f"{name}: a tensor of shape {list(x.shape)} whose storage was resized to {has} bytes")


def to_numpy(x: Array, name: str, *, writable: bool = False) -> NumpyArray:
    """Returns a numpy array over the memory of x, with its strides; a copy of a tensor whose values are not in memory.

    writable: whether the result will be written to, in which case a copy is refused.
    """
    if isinstance(x, np.ndarray):
        if isinstance(x, masked_kind()):
            if count := int(np.ma.getmaskarray(x).sum()):
                raise ArgumentError(
                    f"{name}: a masked array with {count} masked values, expected a value everywhere; use "
                    f"{name}.filled(...), or mark the pixels of dst that are not known in dst_valid"
                )
            return x.data
        return x
    if is_torch(x):
        if x.device.type != "cpu":
            raise DTypeError(f"{name}: a tensor on {x.device}, expected one on the CPU; use {name}.cpu()")
        x = x.detach()
        if (tensor := plain(x, name)) is not x and writable:
            raise DTypeError(f"{name}: a view that torch computes when it is read, expected one with its own memory")
        x = tensor
        check_memory(x, name)
        try:
            return x.numpy()
        except TypeError as error:
            remedy = f"; use {name}.float()" if x.is_floating_point() else ""
            raise DTypeError(
                f"{name}: dtype {x.dtype} is not supported, use one of {', '.join(IMAGE_DTYPES)}{remedy}"
            ) from error
    raise DTypeError(f"{name}: {type(x).__name__}, expected a numpy.ndarray or a torch.Tensor")


def like_kind(result: NumpyArray, reference: Array) -> Array:
    """Returns result as an array of reference's kind, over the same memory."""
    if is_torch(reference):
        return sys.modules["torch"].from_numpy(result)
    return result


@functools.lru_cache(maxsize=64)
def _name_of(dtype: np.dtype[Any]) -> str:
    return dtype.name if dtype.isnative else dtype.str


def round_into(values: NumpyArray, out: NumpyArray, where: NumpyArray | bool = True) -> None:
    """Writes values into out: for integers rounded half to even and clipped to the range, for floats converted.

    `values` itself is modified.
    """
    if out.dtype.kind == "u":
        np.rint(values, out=values)
        np.clip(values, 0, np.iinfo(out.dtype).max, out=values)
    if not isinstance(where, bool) and where.all():
        where = True  # checking each takes NumPy several times as long
    np.copyto(out, values, casting="unsafe", where=where)


def count_clipped(values: NumpyArray, dtype: Any, where: NumpyArray | bool = True) -> int:
    """Returns the number of values that `round_into` clips for a dtype."""
    if dtype.kind != "u":
        return 0
    beyond = values < -0.5
    beyond |= values >= np.iinfo(dtype).max + 0.5
    beyond &= where
    return int(np.count_nonzero(beyond))


def dtype_name(x: NumpyArray) -> str:
    return _name_of(x.dtype)  # NumPy builds the name anew at each access


def view(x: NumpyArray, name: str, *, writable: bool = False, copies: bool = False) -> Any:
    """Returns the native view of a numpy array, which it keeps; with copies, of a copy if `aligned` returns one."""
    native_view = native.ArrayView.of(x, writable)
    if native_view is None and copies:
        native_view = native.ArrayView.of(x.copy(), False)
    if native_view is None:
        check_dtype(dtype_name(x), name, MASK_DTYPES)
        raise DTypeError(f"{name}: strides {x.strides} are not aligned to its {x.itemsize}-byte items; pass a copy")
    return native_view


def aligned(x: NumpyArray) -> NumpyArray:
    """Returns x, or a copy if its items do not lie at multiples of their size, which `view` refuses."""
    size = x.itemsize
    return x if size == 1 or native.ArrayView.of(x, False) is not None else x.copy()


@functools.cache
def _keeping(kind: Any) -> Any:
    """Returns a subclass of a native view that can keep a reference to the tensor that it views."""
    return type("KeepingView", (kind,), {})


def tensor_view(x: Any, *, writable: bool = False, module: Any = native) -> Any:
    """Returns the native view of a torch tensor, bfloat16 included; the tensor must outlive the view.

    If the values of the tensor are not in memory, the view is of a copy.

    module: the native module of the view, by default that of the CPU's kernels.
    """
    tensor = plain(x, "tensor")
    pointer = tensor.data_ptr()
    if not pointer and tensor.numel():
        raise DTypeError(f"tensor: on {x.device} without memory, expected one with memory")
    check_memory(tensor, "tensor")
    arguments = (pointer, dtype_of(x), tuple(tensor.shape), tuple(tensor.stride()), writable)
    if tensor is x:
        return module.ArrayView(*arguments)
    if writable:
        raise DTypeError("tensor: a view that torch computes when it is read, expected one with its own memory")
    view = _keeping(module.ArrayView)(*arguments)
    view.keeps = tensor
    return view
