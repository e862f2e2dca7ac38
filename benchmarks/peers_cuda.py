"""The peers of the GPU kernels: a DCT of torch.fft at its best, CuPy's, and a copy of the same bytes.

Arrays are planar, [C, H, W], as usual for a DCT; ours are [H, W, C].
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from peers import Peer, find

DEVICE = "cuda"
TORCH_DCT = find("torch.fft DCT", "one real FFT each way, fused twiddles and division, CUDA graph", "torch", "torch")
CUPY_DCT = find("cupyx.scipy.fft DCT", "dctn and idctn, solve only", "cupy", "cupy-cuda13x", "cupy-cuda12x", "cupy")
COPY = Peer("copy of the same bytes", "as many bytes read and written as arguments and result have", "")


def reordering(n: int) -> Any:
    """Returns even samples forwards, then odd ones backwards, whose real FFT gives the DCT-II (Makhoul, 1980)."""
    return np.concatenate([np.arange(0, n, 2), np.arange(1, n, 2)[::-1]])


def compiled(*functions: Any) -> Any:
    """Compiles each function by torch.compile, for the shapes of one problem.

    Earlier compiled functions are forgotten: after eight shapes of one function dynamo runs it eagerly, without an
    error, and after the first change of a size it generates code for dynamic sizes.
    """
    torch = importlib.import_module("torch")
    importlib.import_module("torch._dynamo").reset()
    functions_ = [torch.compile(function, dynamic=False) for function in functions]
    return functions_[0] if len(functions_) == 1 else functions_


class TorchDct:
    """A solver of (L + color_weight G) x = b on [C, H, W]: a two-dimensional real FFT, a pointwise step, its inverse.

    With V the FFT of the reordered b, w(k) = exp(-i pi k / 2N), A = w(k2) V(k1, k2) and B = w(k2) V(-k1, k2), the
    cosine transform X of b is, for k2 up to W / 2,

        X(k1, k2) = 2 Re u,  X(H - k1, k2) = -2 Im u,      u = w(k1) (A + conj B)
        X(k1, W - k2) = -2 Im t,  X(H - k1, W - k2) = -2 Re t,  t = w(k1) (A - conj B)

    so that the division by the eigenvalues at these four frequencies and the way back need no other entry of V:
    everything between the two FFTs is one pass over half the spectrum, which torch.compile turns into one kernel.

    Args:
        height, width: of the images.
        color_weight, w0, w1: of the operator; the taps of the Gaussian are w1, w0, w1.
        dtype: 'float32' or 'float64'.
        device: of torch.
        fuse: whether to compile the code around the FFTs, one kernel each; otherwise it runs eagerly.
    """

    def __init__(
        self, height: int, width: int, color_weight: float, w0: float, w1: float, *,
        dtype: str = "float32", device: Any = DEVICE, fuse: bool = True,
    ) -> None:  # fmt: skip
        torch = importlib.import_module("torch")
        self.torch, self.shape = torch, (height, width)
        real = getattr(torch, dtype)

        def on_device(values: Any) -> Any:
            values = np.asarray(values)
            return torch.from_numpy(values).to(device, torch.int64 if values.dtype.kind == "i" else real)

        self.rows, self.columns = on_device(reordering(height))[:, None], on_device(reordering(width))[None]
        self.rows_back = on_device(np.argsort(reordering(height)))[:, None]
        self.columns_back = on_device(np.argsort(reordering(width)))[None]
        k1, k2 = np.arange(height)[:, None], np.arange(width // 2 + 1)[None]
        angle1, angle2 = np.pi * k1 / (2 * height), np.pi * k2 / (2 * width)
        self.constants = (
            on_device(-k1[:, 0] % height),
            *(on_device(v) for v in (np.cos(angle1), -np.sin(angle1), np.cos(angle2), -np.sin(angle2))),
            *(on_device(v) for v in (np.cos(2 * angle1), np.cos(2 * angle2))),
            *(float(v) for v in (color_weight, w0, w1)),
        )
        self.take, self.divide = compiled(_take, _divide) if fuse else (_take, _divide)

    def __call__(self, b: Any) -> Any:
        torch = self.torch
        v = torch.fft.rfft2(self.take(b, self.rows, self.columns))
        divided = self.divide(torch.view_as_real(v), *self.constants)
        y = torch.fft.irfft2(torch.view_as_complex(divided), s=self.shape)
        return self.take(y, self.rows_back, self.columns_back)


def _take(x: Any, rows: Any, columns: Any) -> Any:
    return x[:, rows, columns]


def _divide(
    v: Any, mirrored: Any, w1r: Any, w1i: Any, w2r: Any, w2i: Any, c1: Any, c2: Any,
    color_weight: float, g0: float, g1: float,
) -> Any:  # fmt: skip
    """Runs the pointwise step: v [C, H, W / 2 + 1, 2], real and imaginary parts; see TorchDct."""
    import torch

    def inverse(a: Any, b: Any) -> Any:
        return 1 / ((4 - 2 * a - 2 * b) + color_weight * (g0 + 2 * g1 * a) * (g0 + 2 * g1 * b))

    vr, vi = v[..., 0], v[..., 1]
    mr, mi = vr[:, mirrored], vi[:, mirrored]
    ar, ai = w2r * vr - w2i * vi, w2r * vi + w2i * vr
    br, bi = w2r * mr - w2i * mi, w2r * mi + w2i * mr
    sr, si, dr, di = ar + br, ai - bi, ar - br, ai + bi
    ur, ui = w1r * sr - w1i * si, w1r * si + w1i * sr
    tr, ti = w1r * dr - w1i * di, w1r * di + w1i * dr
    # The cosine H - k1 is that of k1 with the other sign. Constants of the transforms cancel: 2, and 1/4 of both ways.
    p, p_far = ur * inverse(c1, c2), -ui * inverse(-c1, c2)
    q, q_far = -ti * inverse(c1, -c2), -tr * inverse(-c1, -c2)
    r, i = (p - q_far) / 2, -(p_far + q) / 2
    wr, wi = w1r * w2r - w1i * w2i, -(w1r * w2i + w1i * w2r)
    return torch.stack([wr * r - wi * i, wr * i + wi * r], -1)


class CupyDct:
    """A solve of the same equation by CuPy's cosine transforms, which it plans once."""

    def __init__(self, height: int, width: int, color_weight: float, w0: float, w1: float) -> None:
        cupy = importlib.import_module("cupy")
        self.fft = importlib.import_module("cupyx.scipy.fft")
        c1, c2 = (cupy.cos(math.pi * cupy.arange(n) / n) for n in (height, width))
        smooth = cupy.outer(w0 + 2 * w1 * c1, w0 + 2 * w1 * c2)
        self.inverse = (1 / (4 - 2 * c1[:, None] - 2 * c2[None] + color_weight * smooth)).astype(cupy.float32)

    def __call__(self, b: Any) -> Any:
        y = self.fft.dctn(b, axes=(1, 2), norm="ortho")
        y *= self.inverse
        return self.fft.idctn(y, axes=(1, 2), norm="ortho", overwrite_x=True)


def right_hand_side(src: Any, dst: Any, mask: Any, base: Any, color_weight: float) -> Any:
    """Returns b of the whole-image equation by torch: images [C, H, W] and a mask [H, W], floats, to [C, H, W]."""
    b = color_weight * base
    for axis in (1, 2):
        n = src.shape[axis] - 1
        s, d = (x.narrow(axis, 1, n) - x.narrow(axis, 0, n) for x in (src, dst))
        a = (mask.narrow(axis - 1, 0, n) + mask.narrow(axis - 1, 1, n)) / 2
        f = d + a * (s - d)
        b.narrow(axis, 0, n).sub_(f)
        b.narrow(axis, 1, n).add_(f)
    return b


def copy_of(nbytes: int) -> Callable[[], Any]:
    """Returns a copy on the GPU that reads half of the bytes and writes half of them."""
    torch = importlib.import_module("torch")
    source = torch.zeros(max(nbytes // 2, 1), dtype=torch.uint8, device=DEVICE)
    target = torch.empty_like(source)
    return lambda: target.copy_(source)
