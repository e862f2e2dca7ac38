"""Checks that pyharmony and CuPy stand beside each other, with a GPU or without: python check_cupy.py."""

import warnings
from collections.abc import Callable
from typing import Any

import cupy
import numpy as np

import pyharmony
from pyharmony import ops
from pyharmony.errors import DeviceError

src, dst = (np.random.default_rng(i).integers(0, 256, (24, 31, 3), np.uint8) for i in range(2))
mask = np.zeros((24, 31), np.uint8)
mask[6:18, 7:25] = 255


def refused(kind: type[Exception], call: Callable[..., Any], *arguments: Any, **options: Any) -> str:
    """Returns the message of the error that the call has to raise."""
    try:
        call(*arguments, **options)
    except kind as error:
        print(f"{kind.__name__}: {error}")
        return str(error)
    raise AssertionError(f"no {kind.__name__}")


def main() -> None:
    print(f"cupy {cupy.__version__}, pyharmony {pyharmony.__version__}, has_cuda {pyharmony.has_cuda()}")
    if pyharmony.has_cuda():
        found = ops.poisson(*map(cupy.asarray, (src, dst, mask)))
        assert isinstance(found, cupy.ndarray)
        assert int(np.abs(cupy.asnumpy(found).astype(int) - ops.poisson(src, dst, mask)).max()) <= 1
        return
    # Without a GPU a strict call raises an error that says why; any other runs on the CPU, with a warning.
    message = refused(DeviceError, pyharmony.set_device, "cuda", strict=True)
    assert "'cuda' cannot be used: " in message
    before = ops.poisson(src, dst, mask)
    pyharmony.set_device("cuda")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        on_cpu = pyharmony.blend.poisson(src, dst, mask, device="cuda", decontaminate=False)
    assert np.array_equal(on_cpu, before)
    messages = [str(warning.message) for warning in caught]
    print(f"warned: {messages}")
    assert len(messages) == 1 and "cannot be used" in messages[0] and "running on the CPU" in messages[0]
    refused(cupy.cuda.runtime.CUDARuntimeError, cupy.zeros, 3)


main()
