"""Scenes with known light: what stands on a ground before a level camera, and the shadow by rays to the source.

The world has x to the right, y up and z ahead, and the camera is at (0, its height, 0). Nothing here knows how
pyharmony finds shadows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Shape = Callable[[Any, Any], Bools]


@dataclass(frozen=True)
class Camera:
    """A camera that looks level: the size of its picture, the row of the horizon, focal length and height."""

    width: int = 320
    height: int = 240
    horizon: float = 79.5
    focal: float = 320.0
    above: float = 1.6

    @property
    def middle(self) -> float:
        return (self.width - 1) / 2

    def row(self, z: float) -> float:
        """Returns the row at which the ground is so far away."""
        return self.horizon + self.focal * self.above / z

    def sights(self, finer: int = 1, columns: slice = slice(None)) -> npt.NDArray[np.float64]:
        """Returns for each pixel of some columns, or part of one, the direction of sight with z = 1, [3, H, W]."""
        start, stop, _ = columns.indices(self.width)
        rows, columns = ((np.arange(n * finer, m * finer) + 0.5) / finer - 0.5
                         for n, m in ((0, self.height), (start, stop)))  # fmt: skip
        x, y = np.meshgrid((columns - self.middle) / self.focal, -(rows - self.horizon) / self.focal)
        return np.stack([x, y, np.ones_like(x)])

    def matte(self, z: float, shape: Shape) -> npt.NDArray[np.float32]:
        """Returns how far each pixel is covered by a card at z, whose points (x, y) are those of a shape."""
        x, y, _ = self.sights(4) * z
        return means(shape(x, y + self.above), 4).astype(np.float32)

    def matte_of(self, hides: Callable[[Any, Any], Bools]) -> npt.NDArray[np.float32]:
        """Returns how far each pixel is covered by something that hides what is in the direction of sight."""
        eye = np.array([0.0, self.above, 0.0])[:, None, None]
        return means(hides(eye, self.sights(4)), 4).astype(np.float32)

    def ground(
        self, wall: float | None = None, finer: int = 1, columns: slice = slice(None)
    ) -> tuple[npt.NDArray[np.float64], Bools]:
        """Returns the points that pixels see of the ground, or of a wall at z, [3, H, W], and which see one."""
        sights = self.sights(finer, columns)
        down = sights[1] < -1e-9
        z = np.where(down, -self.above / np.where(down, sights[1], -1), np.inf)
        z = z if wall is None else np.minimum(z, wall)
        hits = np.isfinite(z)
        points = sights * np.where(hits, z, 0)
        points[1] += self.above
        return points, hits


def means(values: Any, finer: int) -> npt.NDArray[np.float64]:
    """Returns the means over the parts of pixels, of which each has so many along each side."""
    height, width = values.shape
    averages: npt.NDArray[np.float64] = values.reshape(height // finer, finer, width // finer, finer).mean((1, 3))
    return averages


def lights(azimuth: float, elevation: float, softness: float, count: int = 61) -> npt.NDArray[np.float64]:
    """Returns directions to points spread evenly over a round source, [count, 3]; angles in degrees."""
    a, e, wide = np.radians([azimuth, elevation, softness])
    d = np.array([np.cos(e) * np.sin(a), np.sin(e), np.cos(e) * np.cos(a)])
    u = np.cross(d, [0, 1, 0])
    u /= np.linalg.norm(u)
    v = np.cross(u, d)
    k = np.arange(count) + 0.5
    radius, turn = np.sqrt(k / count) * np.tan(wide / 2), np.pi * (1 + 5**0.5) * k
    points: npt.NDArray[np.float64] = d + np.outer(radius * np.cos(turn), u) + np.outer(radius * np.sin(turn), v)
    return points


def behind_card(z: float, shape: Shape) -> Callable[[Any, Any], Bools]:
    """Returns whether a card at z hides a light from points."""

    def hides(points: Any, light: Any) -> Bools:
        t = (z - points[2]) / light[2]
        hidden: Bools = (t > 1e-6) & shape(points[0] + t * light[0], points[1] + t * light[1])
        return hidden

    return hides


def behind_box(low: tuple[float, float, float], high: tuple[float, float, float]) -> Callable[[Any, Any], Bools]:
    """Returns whether a box between two corners hides a light from points."""

    def hides(points: Any, light: Any) -> Bools:
        first, last = np.full(points.shape[1:], 1e-6), np.full(points.shape[1:], np.inf)
        for axis in range(3):
            ends = [(side[axis] - points[axis]) / light[axis] for side in (low, high)]
            first, last = np.maximum(first, np.minimum(*ends)), np.minimum(last, np.maximum(*ends))
        hidden: Bools = last > first
        return hidden

    return hides


def behind_pole(x: float, z: float, radius: float, height: float) -> Callable[[Any, Any], Bools]:
    """Returns whether a round pole that stands at (x, z) hides a light from points."""

    def hides(points: Any, light: Any) -> Bools:
        px, pz = points[0] - x, points[2] - z
        a, b = light[0] ** 2 + light[2] ** 2, px * light[0] + pz * light[2]
        root = b**2 - a * (px**2 + pz**2 - radius**2)
        half = np.sqrt(np.maximum(root, 0))
        up = np.where(np.abs(light[1]) < 1e-12, 1e-12, light[1])
        ends = -points[1] / up, (height - points[1]) / up
        first = np.maximum(np.maximum((-b - half) / a, np.minimum(*ends)), 1e-6)
        last = np.minimum((-b + half) / a, np.maximum(*ends))
        hidden: Bools = (root > 0) & (last > first)
        return hidden

    return hides


def shaded(
    camera: Camera,
    hides: Callable[[Any, Any], Bools],
    sources: Any,
    wall: float | None = None,
    finer: int = 1,
    columns: slice = slice(None),
) -> Any:
    """Returns the share of a source that is hidden from what each pixel sees, [H, W]: at its middle, or its mean."""
    points, hits = camera.ground(wall, finer, columns)
    return means(np.where(hits, np.mean([hides(points, source) for source in sources], 0), 0), finer)


def person(x: Any, y: Any) -> Bools:
    """Returns the shape of somebody who stands: head, body and two legs, 1.68 high."""
    head = np.hypot(x - 0.2, y - 1.55) < 0.13
    body = (abs(x - 0.2) < 0.22) & (y > 0.75) & (y < 1.42)
    legs = (abs(abs(x - 0.2) - 0.12) < 0.08) & (y <= 0.8)
    figure: Bools = (head | body | legs) & (y >= 0)
    return figure
