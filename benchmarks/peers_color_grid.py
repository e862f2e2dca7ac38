"""The peers of color_grid: its map composed of torch operations, and of OpenCV's and NumPy's.

uint8 in and out. Curves are tables of 256 entries, the fastest form of either library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pyharmony.reference.color_grid import IDENTITY, hats
from pyharmony.reference.luma import LUMA

Float32 = npt.NDArray[np.float32]
GRID, KNOTS = (16, 16, 8), 16


@dataclass(frozen=True)
class Map:
    """The parts of a map like a network's: a moderate change of light and colour."""

    affine: Float32
    curves: Float32
    grid: Float32

    @property
    def parts(self) -> dict[str, Float32]:
        return {"affine": self.affine, "curves": self.curves, "grid": self.grid}

    @property
    def table(self) -> Float32:
        """The curves of each level of a channel: [3 in, 256, 3 out]."""
        weights = hats(np.arange(256) / 255 * (KNOTS - 1), KNOTS)
        return np.einsum("lk,ock->clo", weights, self.curves).astype(np.float32)


def random_map(seed: int = 0) -> Map:
    rng = np.random.default_rng(seed)
    affine = IDENTITY + 0.05 * rng.standard_normal((3, 4))
    curves, grid = 0.03 * rng.standard_normal((3, 3, KNOTS)), 0.03 * rng.standard_normal((*GRID, 3, 4))
    return Map(*(x.astype(np.float32) for x in (affine, curves, grid)))


# ---- OpenCV and NumPy ------------------------------------------------------------------------------------------------


def with_opencv(image: Any, mask: Any, color_map: Map) -> Any:
    """Enlarges the grid's cells of each depth by cv2.resize, whose borders and centres are those of the grid."""
    import cv2

    height, width = image.shape[:2]
    x = image.astype(np.float32) * np.float32(1 / 255)
    w = np.clip(GRID[2] * (x @ np.array(LUMA, np.float32)) - np.float32(0.5), 0, GRID[2] - 1)
    y = cv2.transform(x, color_map.affine)
    table = color_map.table
    for c in range(3):
        y += table[c][image[..., c]]
    for k in range(GRID[2]):
        cells = color_map.grid[:, :, k].reshape(*GRID[:2], 12)
        # Its fast form supports at most four channels.
        rows = [cv2.resize(np.ascontiguousarray(cells[..., 4 * o : 4 * o + 4]), (width, height)) for o in range(3)]
        weight = np.maximum(0, 1 - np.abs(w - np.float32(k)))
        for o, row in enumerate(rows):
            y[..., o] += weight * (
                row[..., 0] * x[..., 0] + row[..., 1] * x[..., 1] + row[..., 2] * x[..., 2] + row[..., 3]
            )
    m = (mask.astype(np.float32) * np.float32(1 / 255))[..., None]
    mixed = x + m * (y.clip(0, 1) - x)
    return np.rint(mixed * 255).astype(np.uint8)


# ---- torch -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tensors:
    """A map for `with_torch`, on a device."""

    affine: Any  # [12, 1, 1]
    table: Any  # [3 in, 256, 3 out]
    grid: Any  # [1, 12, D, Gh, Gw]
    luma: Any  # [3]


def on_torch(color_map: Map, device: str = "cpu") -> Tensors:
    import torch

    def on_device(a: Any) -> Any:
        return torch.from_numpy(np.ascontiguousarray(a, np.float32)).to(device)

    cells = color_map.grid.reshape(*GRID, 12).transpose(3, 2, 0, 1)[None]
    return Tensors(
        on_device(color_map.affine.reshape(12, 1, 1)),
        on_device(color_map.table),
        on_device(cells),
        on_device(np.array(LUMA)),
    )


def with_torch(image: Any, mask: Any, top: int, height: int, color_map: Tensors) -> Any:
    """Computes rows of an image of `height` rows from `top` on, by grid_sample of the grid's twelve channels."""
    import torch

    rows, width = image.shape[:2]
    x = image.float() * (1 / 255)
    along = {"device": image.device, "dtype": torch.float32}
    v = ((torch.arange(rows, **along) + (top + 0.5)) * (2 / height) - 1)[:, None].expand(rows, width)
    u = ((torch.arange(width, **along) + 0.5) * (2 / width) - 1).expand(rows, width)
    place = torch.stack([u, v, 2 * (x @ color_map.luma) - 1], -1)[None, None]
    sampled = torch.nn.functional.grid_sample(
        color_map.grid, place, mode="bilinear", padding_mode="border", align_corners=False
    )
    c = (sampled[0, :, 0] + color_map.affine).view(3, 4, rows, width)
    planes = x.permute(2, 0, 1)
    y = (c[:, :3] * planes).sum(1) + c[:, 3]
    y = y.permute(1, 2, 0)
    for channel in range(3):
        y = y + color_map.table[channel][image[..., channel].long()]
    m = (mask.float() * (1 / 255))[..., None]
    return ((x + m * (y.clamp(0, 1) - x)) * 255).round().to(torch.uint8)
