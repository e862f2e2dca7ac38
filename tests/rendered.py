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

    def sights(self, finer: int = 1) -> npt.NDArray[np.float64]:
        """Returns for each pixel, or part of one, the direction of sight with z = 1, [3, H, W]."""
        rows, columns = ((np.arange(n * finer) + 0.5) / finer - 0.5 for n in (self.height, self.width))
        x, y = np.meshgrid((columns - self.middle) / self.focal, -(rows - self.horizon) / self.focal)
        return np.stack([x, y, np.ones_like(x)])

    def matte(self, z: float, shape: Shape) -> npt.NDArray[np.float32]:
        """Returns how far each pixel is covered by a card at z, whose points (x, y) are those of a shape."""
        x, y, _ = self.sights(4) * z
        inside = shape(x, y + self.above)
        parts = inside.reshape(self.height, 4, self.width, 4).mean((1, 3))
        return parts.astype(np.float32)

    def ground(self, wall: float | None = None) -> tuple[npt.NDArray[np.float64], Bools]:
        """Returns the points that pixels see of the ground, or of a wall at z, [3, H, W], and which see one."""
        sights = self.sights()
        down = sights[1] < -1e-9
        z = np.where(down, -self.above / np.where(down, sights[1], -1), np.inf)
        z = z if wall is None else np.minimum(z, wall)
        seen = np.isfinite(z)
        points = sights * np.where(seen, z, 0)
        points[1] += self.above
        return points, seen


def lights(azimuth: float, elevation: float, softness: float, count: int = 61) -> npt.NDArray[np.float64]:
    """Returns directions to points spread evenly over a round source, [count, 3]; angles in degrees."""
    a, e, wide = np.radians([azimuth, elevation, softness])
    d = np.array([np.cos(e) * np.sin(a), np.sin(e), np.cos(e) * np.cos(a)])
    u = np.cross(d, [0, 1, 0])
    u /= np.linalg.norm(u)
    v = np.cross(u, d)
    k = np.arange(count) + 0.5
    radius, turn = np.sqrt(k / count) * np.tan(wide / 2), np.pi * (1 + 5**0.5) * k
    found: npt.NDArray[np.float64] = d + np.outer(radius * np.cos(turn), u) + np.outer(radius * np.sin(turn), v)
    return found


def behind_card(z: float, shape: Shape) -> Callable[[Any, Any], Bools]:
    """Returns whether a card at z hides a light from points."""

    def hides(points: Any, light: Any) -> Bools:
        t = (z - points[2]) / light[2]
        found: Bools = (t > 1e-6) & shape(points[0] + t * light[0], points[1] + t * light[1])
        return found

    return hides


def behind_box(low: tuple[float, float, float], high: tuple[float, float, float]) -> Callable[[Any, Any], Bools]:
    """Returns whether a box between two corners hides a light from points."""

    def hides(points: Any, light: Any) -> Bools:
        first, last = np.full(points.shape[1:], 1e-6), np.full(points.shape[1:], np.inf)
        for axis in range(3):
            ends = [(side[axis] - points[axis]) / light[axis] for side in (low, high)]
            first, last = np.maximum(first, np.minimum(*ends)), np.minimum(last, np.maximum(*ends))
        found: Bools = last > first
        return found

    return hides


def shaded(camera: Camera, hides: Callable[[Any, Any], Bools], sources: Any, wall: float | None = None) -> Any:
    """Returns the share of a source that is hidden from what each pixel sees, [H, W]."""
    points, seen = camera.ground(wall)
    return np.where(seen, np.mean([hides(points, source) for source in sources], 0), 0)


def person(x: Any, y: Any) -> Bools:
    """Returns the shape of somebody who stands: head, body and two legs, 1.68 high."""
    head = np.hypot(x - 0.2, y - 1.55) < 0.13
    body = (abs(x - 0.2) < 0.22) & (y > 0.75) & (y < 1.42)
    legs = (abs(abs(x - 0.2) - 0.12) < 0.08) & (y <= 0.8)
    found: Bools = (head | body | legs) & (y >= 0)
    return found
