"""The projective geometry of shadows: maps an upright object to its shadow of a distant source, on ground and wall.

A level camera on a horizontal ground sees vertical lines as vertical, and all directions of the ground end on the
horizon. The object is modelled as a card that stands on a line of the image, its contact with the ground: a pixel of it
has its foot vertically below, on that line, and its height is the distance from there, in pixels (Sheng et al.,
"Controllable Shadow Generation Using Pixel Height Maps", ECCV 2022). The shadow of the card on a plane is a projection
of one plane to another, a matrix 3 x 3 on homogeneous pixels.

With L the image of the light's direction, V that of its direction along the ground, both scaled so that L = V - (0, T,
0), a pixel P = (x, y, 1) of height h = a + b x - y is mapped to T P - h L on the ground. On a wall above the line y = c
+ d x it is mapped to (m V) P - (m F) L, with m = (d, -1, c) and F = (x, a + b x, 1), the foot of P. Both follow from
the fact that F, P and their shadows are on lines through V and L.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .._arrays import Float64

_BEAMS = 9  # the largest number of points of an extended source from which rays are traced
_MIN_ELEVATION_RADIANS = 0.02  # the least elevation of such a point, in radians


class Line(NamedTuple):
    """A line of an image, y = start + slope x, in pixels."""

    start: float
    slope: float = 0.0

    @property
    def height(self) -> Float64:
        """The row n for which n P is the height of a pixel P = (x, y, 1) above the line."""
        return np.array([self.slope, -1.0, self.start])

    def at(self, x: float) -> float:
        """Returns y at x."""
        return self.start + self.slope * x


@dataclass(frozen=True)
class View:
    """A camera above the ground."""

    horizon: float  # the row of the horizon, in pixels from the top; it may be outside of the image
    middle: float  # the column of the optical axis
    focal: float  # the focal length in pixels


@dataclass(frozen=True)
class Rays:
    """The light of a distant source in the image."""

    light: Float64  # L, the image of the direction towards the source, (x, y, w)
    ground: Float64  # V, the image of that direction along the ground, (x, y, w); L = V - (0, rise, 0)
    rise: float  # T, the focal length times the tangent of the source's elevation


def rays_of(view: View, azimuth: float, elevation: float) -> Rays:
    """Returns the rays of a source.

    azimuth: the direction of the source, in degrees to the right of the viewing direction: at 0 it is in front of the
        camera, so that shadows point towards the camera, at 90 at the right, at 180 behind the camera.
    elevation: its height over the horizon, in degrees above 0 and below 90.
    """
    across, ahead = math.sin(math.radians(azimuth)), math.cos(math.radians(azimuth))
    rise = view.focal * math.tan(math.radians(elevation))
    ground = np.array([view.middle * ahead + view.focal * across, view.horizon * ahead, ahead])
    return Rays(ground - [0.0, rise, 0.0], ground, rise)


def beams_of(view: View, azimuth: float, elevation: float, softness: float) -> list[Rays]:
    """Returns rays from several points of an extended source, for which the mean of the shadows of a blurred card has
    the source's penumbra.

    softness: the angular diameter of the source, in degrees.

    With d the direction of the source and z the viewing direction, the blur of the card by a disc of light has the
    covariance r² (1 + u uᵀ) / 4, u = (dx, dy) / dz: the first term is the blur of the card, the second comes from
    points of the source along the part of z that is perpendicular to d.
    """
    a, e = math.radians(azimuth), math.radians(elevation)
    d = np.array([math.cos(e) * math.sin(a), math.sin(e), math.cos(e) * math.cos(a)])
    slant = math.hypot(d[0], d[1]) / max(abs(d[2]), 1e-3)
    count = min(_BEAMS, math.ceil(slant * 1.5)) if softness > 0 else 1
    if count <= 1:
        return [rays_of(view, azimuth, elevation)]
    sideways = np.array([0.0, 0.0, 1.0]) - d * d[2]
    sideways /= np.linalg.norm(sideways)
    spread = math.tan(math.radians(softness / 2)) / 2 * slant / math.hypot(1.0, slant)
    beams = []
    for quantile in (np.arange(count) + 0.5) / count:
        # Quantiles of the marginal distribution of a uniform disc, which is a half circle.
        one = d + sideways * (spread * 2 * _half_circle(float(quantile)))
        height = math.atan2(one[1], math.hypot(one[0], one[2]))
        beams.append(
            rays_of(view, math.degrees(math.atan2(one[0], one[2])), math.degrees(max(height, _MIN_ELEVATION_RADIANS)))
        )
    return beams


def _half_circle(share: float) -> float:
    """Returns the coordinate in [-1, 1] below which a disc of radius 1 has this share of its area."""
    low, high = -1.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        below = 0.5 + (middle * math.sqrt(1 - middle * middle) + math.asin(middle)) / math.pi
        low, high = (middle, high) if below < share else (low, middle)
    return (low + high) / 2


def rays_through(view: View, top: tuple[float, float], foot: tuple[float, float], tip: tuple[float, float]) -> Rays:
    """Returns the rays for which the shadow of `top`, whose foot is `foot`, ends at `tip` on the ground; all (x, y).

    The line from the foot to the tip meets the horizon at V, the line from the top to the tip meets the vertical line
    through V at L. The signs determine the side of the object on which the shadow is.
    """
    f, p, s = (np.array([x, y, 1.0]) for x, y in (foot, top, tip))
    horizon = np.array([0.0, 1.0, -view.horizon])
    ground = np.cross(np.cross(f, s), horizon)
    upright = np.cross(ground, [0.0, 1.0, 0.0])
    light = np.cross(np.cross(p, s), upright)
    # Both are known up to a factor, which makes x and w of their difference 0.
    which = 2 if abs(ground[2]) * max(abs(foot[0]), 1.0) > abs(ground[0]) else 0
    light = light * (ground[which] / light[which])
    rise = float(ground[1] - light[1])
    sign = math.copysign(1.0, rise)
    size = abs(rise) / view.focal if rise else 1.0
    return Rays(light * sign / size, ground * sign / size, rise * sign / size)


def direction_of(view: View, rays: Rays) -> tuple[float, float]:
    """Returns azimuth and elevation of a source, in degrees, by its rays."""
    across = (rays.ground[0] - view.middle * rays.ground[2]) / view.focal
    ahead = float(rays.ground[2])
    far = math.hypot(across, ahead)
    return math.degrees(math.atan2(across, ahead)), math.degrees(math.atan2(rays.rise / view.focal, far))


def on_ground(rays: Rays, contact: Line) -> Float64:
    """Returns the matrix [3, 3] from a pixel of a card that stands on `contact` to its shadow on the ground."""
    return rays.rise * np.eye(3) - np.outer(rays.light, contact.height)


def on_wall(rays: Rays, contact: Line, wall: Line) -> Float64:
    """Returns the matrix [3, 3] from a pixel of a card that stands on `contact` to its shadow on a wall.

    wall: the line on which the wall meets the ground.
    """
    feet = np.array([[1.0, 0.0, 0.0], [contact.slope, 0.0, contact.start], [0.0, 0.0, 1.0]])
    return float(wall.height @ rays.ground) * np.eye(3) - np.outer(rays.light, wall.height @ feet)


def farther(contact: Line, view: View, factor: float) -> tuple[Line, Float64]:
    """Returns the contact of a copy of a card moved along the viewing direction, and the matrix [3, 3] to it.

    factor: the size of the copy in the image relative to the card; below 1 it is farther away.
    """
    away = 1 - factor
    start = view.horizon * away + contact.start * factor - contact.slope * view.middle * away
    matrix = np.array([[factor, 0.0, away * view.middle], [0.0, factor, away * view.horizon], [0.0, 0.0, 1.0]])
    return Line(start, contact.slope), matrix
