"""The CPU time of calls on a GPU around their kernels: `python benchmarks/host_time.py`, without a GPU.

The emulator's module counts the kernels' launches and does not run them, so what is left is our Python, the native code
that checks arguments and prepares launches, and torch's calls, on tensors of the CPU that are taken for a device's. A
GPU adds what CUDA takes for a launch, and torch's allocator and cuDNN differ from those of the CPU. Tensors are small:
the CPU's allocator maps large ones anew, which that of CUDA does not.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from pyharmony import _native, blend, ops
from pyharmony.networks import nn
from pyharmony.ops import _native_torch, _partial_conv_torch, _spectral_norm_torch
from pyharmony.ops.partial_conv import mask_plan

ROOT = Path(__file__).resolve().parent.parent
#: The shapes of the weights of DoveNet's discriminator with a sixteenth of its channels.
CHANNELS = (3, 4, 8, 16, 32, 32, 32, 32)


def emulator() -> Any:
    """Returns the newest module of the emulator."""
    files = sorted(ROOT.glob("build/*/emulator/_emulator.*.so"), key=lambda path: path.stat().st_mtime)
    if not files:
        raise SystemExit("the emulator is not built; run `make emulator`")
    spec: Any = importlib.util.spec_from_file_location("_emulator", files[-1])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def without_kernels(module: Any) -> Iterator[None]:
    """Makes layers on the CPU take the path of a device, whose kernels do not run."""
    places: list[tuple[Any, str, Any]] = [(_native, "device_module", lambda: module)]
    places += [
        (room, "on_device", lambda x: True) for room in (_native_torch, _partial_conv_torch, _spectral_norm_torch)
    ]
    before = [(room, name, getattr(room, name)) for room, name, _ in places]
    for room, name, value in places:
        setattr(room, name, value)
    module.set_running(False)
    try:
        yield
    finally:
        module.set_running(True)
        for room, name, value in before:
            setattr(room, name, value)


def least(call: Callable[[], Any], *, calls: int = 3, rounds: int = 3000) -> float:
    """Returns the microseconds of CPU time of a call in the fastest of many short rounds."""
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(calls):
            call()
        best = min(best, (time.process_time() - start) / calls)
    return best * 1e6


def weights() -> list[torch.nn.Parameter]:
    encoder = [(b, a, 3, 3) for a, b in itertools.pairwise(CHANNELS)]
    head = [(CHANNELS[-1], CHANNELS[-1], 1, 1)] * 2
    return [torch.nn.Parameter(torch.randn(shape)) for shape in (*encoder, *encoder, *head)]


def norms() -> tuple[Any, list[Any]]:
    """Returns the group of sixteen norms, and their layers."""
    layers = []
    for weight in weights():
        layer = torch.nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2], bias=False)
        layer.weight = weight
        layers.append(layer)
    return nn.SpectralNormGroup(torch.nn.Sequential(*layers)), layers


def rows() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yields what is measured."""
    group, _ = norms()
    with torch.no_grad():
        yield "update of sixteen spectral norms, no_grad", group.update
    yield "update of sixteen spectral norms", group.update
    plain = weights()
    yield "- torch: sixteen empty_like", lambda: [torch.empty_like(w) for w in plain]
    yield "- torch: sixteen detach", lambda: [w.detach() for w in plain]

    x, mask = torch.randn(1, 8, 6, 6), torch.rand(1, 1, 6, 6) > 0.5
    weight, bias = torch.randn(16, 8, 3, 3), torch.randn(16)
    plan = mask_plan(mask, [nn.PartialConv2d(8, 16, 3, padding=1)])[0]

    def layer(bias: Any = bias) -> Callable[[], Any]:
        return lambda: ops.partial_conv2d(x, weight, bias, plan=plan, padding=1, negative_slope=0.2)

    with torch.no_grad():
        yield "partial convolution, no_grad", layer()
    inputs, grad = [value.requires_grad_() for value in (x, weight, bias)], torch.ones(1, 16, 6, 6)
    backward: Any = functools.partial(torch.autograd.backward, grad_tensors=grad, retain_graph=True)
    for name, offset in (("partial convolution", bias), ("the same without bias, composed", None)):
        yield f"{name}, forward", layer(offset)
        yield f"{name}, backward to all inputs", functools.partial(backward, layer(offset)()[0])
    convolved = F.conv2d(x, weight, bias, [1, 1], [1, 1])
    yield "- torch: the backward of its convolution", functools.partial(backward, convolved)
    for value in inputs:
        value.requires_grad_(False)
    yield "- torch: its convolution and a result of premask", lambda: (
        torch.empty_like(x), F.conv2d(x, weight, None, [1, 1], [1, 1]),
    )  # fmt: skip


def on_device(array: Any) -> Any:
    """Returns NumPy memory as an array that says it is a device's."""
    about = {"shape": array.shape, "typestr": array.dtype.str, "data": (array.ctypes.data, False), "version": 3}
    return SimpleNamespace(array=array, __cuda_array_interface__=about)


def blends() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yields calls of blends on arrays of a device, whose masks are not read by the host."""
    rng = np.random.default_rng(0)
    src, dst, base = (on_device(rng.random((64, 64, 3), np.float32)) for _ in range(3))
    whole = on_device(np.ones((64, 64), np.float32))
    free = {"preserve_background": False}
    yield "ops.gaussian_poisson, rectangle", lambda: ops.gaussian_poisson(src, dst, whole, base, **free)
    part = on_device(np.pad(np.ones((40, 40), np.float32), 12))
    yield "ops.poisson", lambda: ops.poisson(src, dst, part)
    affine = on_device(np.eye(3, 4, dtype=np.float32))
    yield "ops.color_grid", lambda: ops.color_grid(src, part, affine=affine)
    large, ground = (on_device(rng.integers(0, 256, (128, 128, 3), np.uint8)) for _ in range(2))
    mask = on_device(np.pad(np.full((100, 100), 255, np.uint8), 14))
    yield "blend.gaussian_poisson, 128 x 128", lambda: blend.gaussian_poisson(large, ground, mask, **free)
    yield "blend.poisson, 128 x 128", lambda: blend.poisson(large, ground, mask)


def main() -> None:
    torch.set_num_threads(1)
    module = emulator()
    with without_kernels(module):
        for name, call in itertools.chain(rows(), blends()):
            print(f"{name:55s} {least(call):8.1f} us")


if __name__ == "__main__":
    main()
