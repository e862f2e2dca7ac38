"""The tools with which pyharmony is compared, each with its best settings.

A peer that is not installed has a reason instead of a version; benchmarks name it and continue.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.fftpack

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Peer:
    """A tool, and whether it can be run here.

    Attributes:
        name: the printed name.
        settings: the settings, in a few words.
        version: None if the tool is missing.
        reason: why it is missing.
    """

    name: str
    settings: str
    version: str | None
    reason: str | None = None

    @property
    def available(self) -> bool:
        return self.version is not None


def find(name: str, settings: str, module: str, *distributions: str) -> Peer:
    if importlib.util.find_spec(module) is None:
        return Peer(name, settings, None, f"{module} is not installed")
    for distribution in distributions:
        try:
            return Peer(name, settings, importlib.metadata.version(distribution))
        except importlib.metadata.PackageNotFoundError:
            continue
    return Peer(name, settings, "unknown")


SCIPY = importlib.metadata.version("scipy")
_CV2 = ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python")
OPENCV = find("OpenCV", "2 threads", "cv2", *_CV2)
SEAMLESS_CLONE = find("cv2.seamlessClone", "NORMAL_CLONE, 2 threads", "cv2", *_CV2)
FPIE = find("fpie", "equation solver, 2 threads", "fpie", "fpie")
PYAMG = find("pyamg", "Ruge-Stuben set-up once, CG to 1e-4 a channel", "pyamg", "pyamg")
SCIPY_DCT = Peer("scipy.fft DCT", "fp32, planar, 2 workers, solve only", SCIPY)
GP_GAN = Peer("GP-GAN's equations", "as written: float64, eigenvalues by FFT of 2H x 2W", f"scipy {SCIPY}")
SPLU = Peer("scipy splu", "factor once, solve 3 channels", SCIPY)


# --- scipy.fft ---


def dct_solve(b: npt.NDArray[np.float32], inverse: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Returns x = DCT^-1(DCT(b) / eigenvalues); b [C, H, W] and 1 / eigenvalues [H, W] are given."""
    y = scipy.fft.dctn(b, axes=(1, 2), norm="ortho", workers=2)
    y *= inverse
    return scipy.fft.idctn(y, axes=(1, 2), norm="ortho", workers=2, overwrite_x=True)


# --- GP-GAN's equations, computed as by its program ---


def gp_gan_features(image: Float64, color: Float64) -> Float64:
    """Returns [H, W, C, 5]: colours, forward differences right and down, and both rolled to the next pixel."""
    features = np.zeros((*image.shape, 5))
    right, down = np.zeros_like(image), np.zeros_like(image)
    right[:, :-1] = image[:, 1:] - image[:, :-1]
    down[:-1] = image[1:] - image[:-1]
    features[..., 0] = color
    features[..., 1] = right
    features[..., 2] = down
    features[..., 3] = np.roll(right, 1, axis=1)
    features[..., 4] = np.roll(down, 1, axis=0)
    return features


def gp_gan_eigenvalues(height: int, width: int, kernel: Float64) -> Float64:
    """Returns the kernel's eigenvalues with mirrored borders: its complex FFT in an array of twice the size."""
    padded = np.zeros((2 * height, 2 * width))
    k = kernel.shape[0]
    padded[:k, :k] = kernel
    padded = np.roll(padded, (-(k // 2), -(k // 2)), axis=(0, 1))
    return np.real(np.fft.fft2(padded))[:height, :width]


def gp_gan_level(
    src: Float64, dst: Float64, mask: Float64, color: Float64, color_weight: float = 1.0, sigma: float = 0.5
) -> Float64:
    """Returns one level of GP-GAN's pyramid, before its clip: [H, W, C] in [0, 1]."""
    h, w, channels = dst.shape
    m = mask[:, :, None, None]
    features = gp_gan_features(src, color) * m + gp_gan_features(dst, color) * (1 - m)
    laplace = np.array([[0.0, -1, 0], [-1, 4, -1], [0, -1, 0]])
    radius = int(4 * sigma + 0.5)
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    taps /= taps.sum()
    taps = taps[radius - 1 : radius + 2]  # a window of 3 x 3, not normalised again
    p = gp_gan_eigenvalues(h, w, laplace) + color_weight * gp_gan_eigenvalues(h, w, np.outer(taps, taps))
    p[(p >= 0) & (p < 1e-12)] = 1e-12
    p[(p < 0) & (p > -1e-12)] = -1e-12
    right = (features[..., 1] + np.roll(features[..., 3], -1, axis=1)) / 2
    down = (features[..., 2] + np.roll(features[..., 4], -1, axis=0)) / 2
    divergence = np.roll(right, 1, axis=1) + np.roll(down, 1, axis=0) - right - down
    result = np.zeros((h, w, channels))
    for c in range(channels):
        b = divergence[..., c] + color_weight * color[..., c]
        y = scipy.fftpack.dct(scipy.fftpack.dct(b, norm="ortho", axis=0), norm="ortho", axis=1) / p
        result[..., c] = scipy.fftpack.idct(scipy.fftpack.idct(y, norm="ortho", axis=1), norm="ortho", axis=0)
    return result


# --- OpenCV ---


def seamless_clone(src: Any, dst: Any, mask: Any) -> Any:
    """Calls cv2.seamlessClone with the centre that keeps the source in place; uint8 in and out."""
    import cv2

    cv2.setNumThreads(2)
    m = mask.astype(np.uint8) * 255
    x, y, w, h = cv2.boundingRect(m)
    return cv2.seamlessClone(src, dst, m, (x + w // 2, y + h // 2), cv2.NORMAL_CLONE)


# --- fpie ---


def fpie_backend() -> str:
    """Returns the fastest backend that this installation has (measured in this order, fastest first)."""
    from fpie import process

    return next(name for name in ("openmp", "taichi-cpu", "numba", "gcc", "numpy") if name in process.ALL_BACKEND)


def fpie(src: Any, dst: Any, mask: Any, iterations: int) -> Any:
    """Runs fpie's equation solver on two threads; uint8 in, uint8 out."""
    from fpie.process import EquProcessor

    solver = EquProcessor(gradient="src", backend=fpie_backend(), n_cpu=2)
    solver.reset(src, mask.astype(np.uint8) * 255, dst, (0, 0), (0, 0))
    solver.sync()
    result = solver.step(iterations)
    assert result is not None
    return result[0]


# --- sparse solvers ---


def sparse_system(src: Any, dst: Any, mask: Any) -> tuple[Any, Float64]:
    """Returns the matrix and right-hand sides; assembling them is not timed."""
    from exact import poisson_matrix, poisson_right_hand_side

    return poisson_matrix(mask), poisson_right_hand_side(src, dst, mask)


def splu(matrix: Any, b: Float64) -> tuple[Float64, Any]:
    """Returns [n, C] to rounding error, and the factors."""
    from scipy.sparse.linalg import splu as factor

    factors = factor(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    return factors.solve(b), factors


def pyamg(matrix: Any, b: Float64, tolerance: float = 1e-4) -> Float64:
    """Returns [n, C] to a relative residual."""
    import pyamg as package

    hierarchy = package.ruge_stuben_solver(matrix.tocsr())
    return np.stack([hierarchy.solve(b[:, c], tol=tolerance, accel="cg") for c in range(b.shape[1])], 1)
