"""The inputs of the benchmarks on a GPU: those of problems.py, with the colours of a coarser level."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import peers_cuda
import problems

from pyharmony.reference.gaussian_poisson import gaussian_taps


@dataclass(frozen=True)
class Tensors:
    """src, dst, base [H, W, 3] and mask [H, W] on the GPU, of one dtype: uint8, or float32 in [0, 1]."""

    name: str
    src: Any
    dst: Any
    mask: Any
    base: Any

    @property
    def shape(self) -> tuple[int, int]:
        return tuple(self.mask.shape)

    @property
    def nbytes(self) -> int:
        """The smallest number of bytes that a solve reads and writes: its arguments and the result."""
        return sum(x.numel() * x.element_size() for x in (self.src, self.dst, self.mask, self.base, self.dst))

    def numpy(self) -> tuple[Any, ...]:
        return tuple(x.cpu().numpy() for x in (self.src, self.dst, self.mask, self.base))


@functools.lru_cache(maxsize=2)
def tensors(size: str | tuple[int, int], dtype: str) -> Tensors:
    import torch

    p = problems.blend(size)
    src, dst = (torch.from_numpy(x).to(peers_cuda.DEVICE).float() / 255 for x in (p.src, p.dst))
    mask = torch.from_numpy(p.mask).to(peers_cuda.DEVICE).float()
    mixed = (mask[..., None] * src + (1 - mask[..., None]) * dst).permute(2, 0, 1)[None]
    small = torch.nn.functional.interpolate(mixed, scale_factor=1 / 16, mode="area")
    base = torch.nn.functional.interpolate(small, size=p.shape, mode="bilinear")[0].permute(1, 2, 0).contiguous()
    if dtype == "uint8":
        src, dst, mask, base = (torch.round(x * 255).to(torch.uint8) for x in (src, dst, mask, base))
    return Tensors(f"{p.name} x 3", src, dst, mask, base)


def planar(t: Tensors, weight: float, dtype: Any) -> Any:
    """Returns the right-hand side of a float32 problem, [3, H, W]."""
    src, dst, base = (x.permute(2, 0, 1).to(dtype) for x in (t.src, t.dst, t.base))
    return peers_cuda.right_hand_side(src, dst, t.mask.to(dtype), base, weight).contiguous()


def exact(t: Tensors, weight: float) -> Any:
    """Returns the exact blend of a float32 problem, [H, W, 3], by a float64 DCT."""
    import torch

    solve = peers_cuda.TorchDct(*t.shape, weight, *gaussian_taps(0.5), dtype="float64", device=t.src.device, fuse=False)
    return solve(planar(t, weight, torch.float64)).permute(1, 2, 0)


def levels(x: Any, y: Any) -> float:
    """Returns the largest difference of two images in [0, 1], in 8-bit levels."""
    return 255 * float((x.double() - y.double()).abs().max())


def torch_dct(t: Tensors, weight: float) -> tuple[Any, str]:
    """Returns the fastest way of torch to solve for a given right-hand side, and how it runs."""
    import torch

    b = planar(t, weight, torch.float32)
    settings = ["all but the FFTs fused by torch.compile", "not fused: torch.compile does not work here"]
    for fuse in (True, False):
        solve = peers_cuda.TorchDct(*t.shape, weight, *gaussian_taps(0.5), device=t.src.device, fuse=fuse)
        try:
            solve(b)
        except Exception:  # Triton has no compiler here
            if not fuse:
                raise
            continue
        return lambda solve=solve: solve(b), settings[not fuse]
    raise AssertionError


def cupy_dct(t: Tensors, weight: float) -> Any:
    import cupy
    import torch

    solve = peers_cuda.CupyDct(*t.shape, weight, *gaussian_taps(0.5))
    b = cupy.from_dlpack(planar(t, weight, torch.float32))

    def call() -> Any:
        with cupy.cuda.ExternalStream(torch.cuda.current_stream().cuda_stream):
            return solve(b)

    return call
