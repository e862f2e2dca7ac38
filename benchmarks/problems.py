"""The inputs of the benchmarks: generated, deterministic, with the statistics of photographs.

Images are the photographs of `pyharmony/cli/images` extended by mirroring, so that they have the
detail of real pixels at any size, under a slow change of light.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]

IMAGES = Path(__file__).parent.parent / "pyharmony" / "cli" / "images"
SIZES = {"1024²": (1024, 1024), "1080p": (1080, 1920), "4K": (2160, 3840), "8K": (4320, 7680)}


def photograph(name: str, height: int, width: int, *, warmth: float = 0.0) -> Pixels:
    """Returns [height, width, 3] uint8: a mirrored photograph, lit unevenly."""
    from PIL import Image

    picture = np.asarray(Image.open(IMAGES / f"{name}.jpg"), np.float32)
    h, w = picture.shape[:2]
    rows = np.abs((np.arange(height) + h // 3) % (2 * h) - h + 0.5).astype(np.intp)
    columns = np.abs((np.arange(width) + w // 3) % (2 * w) - w + 0.5).astype(np.intp)
    y, x = np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)[None]
    light = 0.85 + 0.15 * np.sin(1.7 * x + 0.9 * y + 1.1 * x * y)
    gains = np.array([1 + warmth, 1, 1 - warmth], np.float32)
    return np.clip(np.rint(picture[rows][:, columns] * light[..., None] * gains), 0, 255).astype(np.uint8)


def blob(height: int, width: int, share: float = 0.4) -> npt.NDArray[np.bool_]:
    """Returns a lobed region that covers `share` of the image and does not touch its border."""
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    angle = np.arctan2(y, x)
    radius = np.hypot(x, y) / (1 + 0.12 * np.cos(3 * angle) + 0.07 * np.sin(5 * angle + 1))
    return radius < np.quantile(radius[:: max(1, height // 512), :: max(1, width // 512)], share)


def all_but_frame(height: int, width: int) -> npt.NDArray[np.bool_]:
    """Returns everything except the outermost ring of pixels."""
    mask = np.zeros((height, width), bool)
    mask[1:-1, 1:-1] = True
    return mask


def halve(x: Float64) -> Float64:
    """Halves [H, W, ...] to [ceil(H / 2), ceil(W / 2), ...] by averages of 2 x 2, the last row and column repeated."""
    pad = [(0, x.shape[0] % 2), (0, x.shape[1] % 2)] + [(0, 0)] * (x.ndim - 2)
    p = np.pad(x, pad, mode="edge")
    return (p[::2, ::2] + p[1::2, ::2] + p[::2, 1::2] + p[1::2, 1::2]) / 4


def double(x: Float64, height: int, width: int) -> Float64:
    """Enlarges a `halve`d image bilinearly back to [height, width, C]."""

    def axis(v: Float64, n: int) -> Float64:
        at = np.clip((np.arange(n) - 0.5) / 2, 0, v.shape[0] - 1)
        low = np.minimum(at.astype(np.intp), max(v.shape[0] - 2, 0))
        f = (at - low).reshape(-1, *[1] * (v.ndim - 1))
        return v[low] * (1 - f) + v[np.minimum(low + 1, v.shape[0] - 1)] * f

    return axis(axis(x, height).swapaxes(0, 1), width).swapaxes(0, 1)


@dataclass(frozen=True)
class Blend:
    """Two photographs, a mask, and the base colours: [H, W, 3] uint8 and a mask [H, W] bool."""

    name: str
    src: Pixels
    dst: Pixels
    mask: npt.NDArray[np.bool_]

    @property
    def shape(self) -> tuple[int, int]:
        return self.mask.shape

    @property
    def pixels(self) -> int:
        return self.mask.size

    def floats(self, *names: str) -> list[npt.NDArray[np.float32]]:
        """Returns the named images as float32 in [0, 1]."""
        return [getattr(self, name).astype(np.float32) / np.float32(255) for name in names]

    @functools.cached_property
    def base(self) -> Pixels:
        """The base that a pyramid's coarser level passes to the finest: a half-size blend, enlarged."""
        from exact import gaussian_poisson_dct

        src, dst, mask = (halve(v.astype(np.float64)) for v in (self.src, self.dst, self.mask))
        m = mask[..., None]
        coarse = gaussian_poisson_dct(src, dst, mask, m * src + (1 - m) * dst, color_weight=0.01)
        return np.clip(np.rint(double(coarse, *self.shape)), 0, 255).astype(np.uint8)


@functools.lru_cache(maxsize=3)
def blend(size: str | tuple[int, int], region: str = "blob") -> Blend:
    """Returns the benchmark's problem of a size ('1080p', '4K' or (H, W)) and region ('blob' or 'rectangle')."""
    h, w = SIZES[size] if isinstance(size, str) else size
    mask = blob(h, w) if region == "blob" else all_but_frame(h, w)
    name = size if isinstance(size, str) else f"{w} x {h}"
    return Blend(name, photograph("coffee", h, w), photograph("astronaut", h, w, warmth=0.08), mask)
