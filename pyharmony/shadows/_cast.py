"""Casts the shadow of an object's mask on the ground and on a wall, in the coordinates of the grid."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .._arrays import Float32, Float64
from .._images.region import Region, bounding_box
from .._images.threads import in_threads
from ._geometry import Line, Rays, View, farther, on_ground, on_wall
from ._ground import Outline
from ._soft import blurred_by_row, margin_of

_OBJECT_OVERLAP_CELLS = (
    2.5  # the extent of the shadow below the object, in cells, so that there is no gap between the two
)
#: The height above the contact of the row that is continued there, in cells: a half covered row would leave a gap.
_CONTACT_ROW_CELLS = 1.5
#: The largest standard deviation of a penumbra, in longer sides of the image.
_MAX_PENUMBRA_SIGMA = 0.5
#: The number of copies of the card that represent a thick object.
_SLICES = 9


@dataclass(frozen=True)
class Shade:
    """The darkness of a part of the grid."""

    box: Region  # the part, inside the image
    values: Float32  # [h, w] in [0, 1], the share of shadow over that part


@dataclass(frozen=True)
class Scene:
    """An object and its surroundings, with places and lengths in cells of the grid."""

    card: Float32  # the coverage of each cell of the box by the object, [h, w] in [0, 1]
    box: Region  # the part of the grid that contains it
    size: tuple[int, int]  # the number of cells of the image from left to right and from top to bottom
    outline: Outline  # the outline of the object
    contact: Line  # the line on which it meets the ground
    view: View  # the camera
    wall: Line | None = None  # the line on which an upright wall meets the ground; None without a wall
    depth: float = 0.0  # the thickness of the object, as the relative decrease of the size of its back in the image

    @property
    def foot(self) -> Float64:
        """The place on the contact below the middle of the object, (x, y, 1)."""
        middle = (self.outline.left + self.outline.right) / 2
        return np.array([middle, self.contact.at(middle), 1.0])

    def lowest(self, share: float) -> Scene:
        """Returns the scene with only the lowest part of the object, of that share of its height."""
        limit = self.outline.bottom - max(share * (self.outline.bottom - self.outline.top), 2.0)
        first = max(self.box.y0, math.floor(limit))
        rows = np.arange(first, self.box.y1)
        # The row at the limit counts in part.
        card = self.card[first - self.box.y0 :] * np.clip(rows + 0.5 - limit, 0, 1).astype(np.float32)[:, None]
        return dataclasses.replace(self, card=card, box=dataclasses.replace(self.box, y0=first), wall=None, depth=0.0)


def cast(scene: Scene, beams: Sequence[Rays], deviation: float) -> Shade | None:
    """Returns the shadow on ground and wall, the mean over a source's beams; None if it is outside of the image.

    deviation: the standard deviation of the penumbra, per cell of height, in cells of the card.
    """
    slices = 1 - scene.depth * np.linspace(0, 1, _SLICES if scene.depth else 1)
    copies = [farther(scene.contact, scene.view, float(factor)) for factor in slices]
    horizon = Line(scene.view.horizon)
    groups = []
    for rays in beams:
        planes = []
        for contact, transform in copies:
            ground = [-horizon.height]
            if scene.wall is not None:
                ground.append(-scene.wall.height)
            planes.append(_Plane(on_ground(rays, contact) @ transform, ground))
            if scene.wall is not None and _faces(rays, scene, scene.wall):
                planes.append(_Plane(on_wall(rays, contact, scene.wall) @ transform, [scene.wall.height]))
        groups.append(planes)
    return _projected(scene, groups, deviation)


class _Plane(NamedTuple):
    """A plane on which a card is projected: the matrix from its cells, and half planes of the image that bound it."""

    matrix: Float64
    sides: Sequence[Float64]


def _faces(rays: Rays, scene: Scene, wall: Line) -> bool:
    """Returns whether a wall is behind the object as seen from the light."""
    # The shadow of a foot moves along F - t V; it reaches the wall for a positive t.
    return float(wall.height @ scene.foot) * float(wall.height @ rays.ground) > 0


def _projected(scene: Scene, groups: Sequence[Sequence[_Plane]], deviation: float) -> Shade | None:
    """Returns the mean over groups of the maximum of the card's projections on the planes of each."""
    card, corner = _blurred_card(scene, deviation)
    plane_boxes = [[_bounds_on_plane(scene, plane, card, corner) for plane in planes] for planes in groups]
    boxes = [box for planes in plane_boxes for box in planes if box is not None]
    if not boxes:
        return None
    whole, foot = Region.around(boxes), scene.foot

    def projected(planes: Sequence[tuple[_Plane, Region | None]]) -> Float32:
        shadow = np.zeros(whole.shape, np.float32)
        for plane, box in planes:
            if box is None:
                continue
            # Cells in front of the camera have the sign of the foot; the others are behind it.
            sign = math.copysign(1.0, float((plane.matrix @ foot)[2]))
            values = _on_plane(card, corner, plane, sign, box)
            part = box.of(shadow, whole.origin)
            np.maximum(part, values, out=part)
        return shadow

    parts = in_threads(projected, [list(zip(*both, strict=True)) for both in zip(groups, plane_boxes, strict=True)])
    total = parts[0]
    for part in parts[1:]:
        total += part
    total /= len(parts)
    visible = bounding_box(total)
    return None if visible.empty else Shade(visible.moved(*whole.origin), np.ascontiguousarray(visible.of(total)))


def _blurred_card(scene: Scene, deviation: float) -> tuple[Float32, tuple[int, int]]:
    """Returns the card, extended below the object and blurred by height, and the place (x, y) of its first cell."""
    top, left = scene.box.origin
    columns = np.arange(left, scene.box.x1)
    feet = scene.contact.start + scene.contact.slope * columns
    # The last fully covered row is continued below the contact, or below lower parts of the object.
    lowest = np.full(len(columns), -np.inf)
    lowest[scene.outline.columns - left] = scene.outline.lowest
    last = np.maximum(feet + 0.5, lowest) + _OBJECT_OVERLAP_CELLS
    height = max(len(scene.card), math.ceil(float(last.max())) + 1 - top)
    whole = np.clip(feet - _CONTACT_ROW_CELLS - top, 0, len(scene.card) - 1)
    first, across = np.minimum(whole.astype(np.intp), len(scene.card) - 2), np.arange(len(columns))
    one, other = scene.card[first, across], scene.card[first + 1, across]
    longer = one + (whole - first).astype(np.float32) * (other - one)
    start = int(first.min())
    rows = np.arange(start, height)[:, None]
    card = np.zeros((height, len(columns)), np.float32)
    card[: len(scene.card)] = scene.card
    ends = np.clip(last - top - rows + 0.5, 0, 1).astype(np.float32)
    card[start:] = np.where(rows > whole, longer * ends, card[start:])
    heights = np.maximum(scene.foot[1] - np.arange(top, top + height), 0)
    # Penumbras wider than the image are limited: they are hardly visible, and their margin would not be bounded.
    deviations = np.minimum(deviation * heights, _MAX_PENUMBRA_SIGMA * max(scene.size))
    # The blur is largest at the top of the card, and extends beyond it.
    margin = margin_of(deviations[:1])
    padded = np.pad(card, ((margin, 1), (margin, margin)))
    deviations = np.concatenate([np.full(margin, deviations[0]), deviations, [0.0]])
    return blurred_by_row(padded, deviations), (left - margin, top - margin)


def _bounds_on_plane(scene: Scene, plane: _Plane, card: Float32, corner: tuple[int, int]) -> Region | None:
    """Returns a box of the image that contains the projection of a card; None if that is outside of the image."""
    width, height = scene.size
    # If the light does not reach a plane, the matrix is singular.
    if not np.isfinite(plane.matrix).all() or np.linalg.matrix_rank(plane.matrix / np.abs(plane.matrix).max()) < 3:
        return None
    # Places all over the card: those behind the camera are dropped, and the others are clipped to the image.
    x = np.linspace(corner[0] - 1, corner[0] + card.shape[1], 33)
    y = np.linspace(corner[1] - 1, corner[1] + card.shape[0], 33)
    outline = np.concatenate([np.stack(np.meshgrid(x, y)).reshape(2, -1), np.ones((1, 33 * 33))])
    points = plane.matrix @ outline
    ahead = points[2] * math.copysign(1.0, float((plane.matrix @ scene.foot)[2])) > 1e-9
    if not ahead.any():
        return None
    at = points[:2, ahead] / points[2, ahead]
    low, high = at.min(1), at.max(1)
    if not ahead.all():
        # A shadow that crosses the camera's plane extends to the border of the image, on either side.
        low, high = np.minimum(low, 0), np.maximum(high, [width, height])
    left, top = (int(v) for v in np.clip(np.floor(low) - 2, 0, [width, height]))
    right, bottom = (int(v) for v in np.clip(np.ceil(high) + 3, 0, [width, height]))
    return Region(top, bottom, left, right) if right > left and bottom > top else None


def _on_plane(card: Float32, corner: tuple[int, int], plane: _Plane, sign: float, box: Region) -> Float32:
    """Returns the projection on a plane of a card whose first cell is at a corner (x, y), over a box; 0 beyond it."""
    from PIL import Image

    size = box.shape[::-1]
    inverse = np.linalg.inv(plane.matrix)
    # Pillow's whole coordinates are at the corners of pixels.
    own = _translation(0.5 - corner[0], 0.5 - corner[1]) @ inverse @ _translation(box.x0 - 0.5, box.y0 - 0.5)
    if abs(own[2, 2]) < 1e-12:
        own[2, 2] = 1e-12
    data = (own / own[2, 2]).ravel()[:8].tolist()
    values = np.array(
        Image.fromarray(card).transform(size, Image.Transform.PERSPECTIVE, data, Image.Resampling.BILINEAR)
    )
    corners = np.array([[box.x0, box.x1 - 1] * 2, [box.y0] * 2 + [box.y1 - 1] * 2, [1] * 4], np.float64)
    for side in (*plane.sides, inverse[2] * sign):
        if (side @ corners < 0).any():
            columns, rows = np.arange(box.x0, box.x1), np.arange(box.y0, box.y1)[:, None]
            # Pixels on the line between ground and wall belong to both, so that there is no gap.
            values[side[0] * columns + side[1] * rows + side[2] < 0] = 0
    return values


def _translation(x: float, y: float) -> Float64:
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])
