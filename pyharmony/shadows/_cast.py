"""Casts the shadow of an object's mask on the ground and on a wall, all of them on the grid of the image."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .._images.region import bounding_box
from .._images.threads import in_threads
from ._geometry import Float64, Line, Rays, View, farther, on_ground, on_wall
from ._grid import Box
from ._ground import Outline
from ._soft import Float32, margin_of, softened

_UNDER = 2.5  # how far the shadow reaches below the object, in cells, so that no gap is left between the two
#: How far above the contact the row lies that is continued there, in cells: a half covered one would let light through.
_WHOLE = 1.5
#: The largest standard deviation of a penumbra, in longer sides of the image.
_WIDEST = 0.5
#: The number of copies of the card that stand for a thick object.
_SLICES = 9


@dataclass(frozen=True)
class Shade:
    """How far a part of the grid is in the shadow.

    Attributes:
        box: the part, inside the image.
        values: [h, w] in [0, 1], over that part.
    """

    box: Box
    values: Float32


@dataclass(frozen=True)
class Scene:
    """An object and what it stands in, with places and lengths in cells of the grid.

    Attributes:
        card: how far each cell of the box is covered by the object, [h, w] in [0, 1].
        box: the part of the grid in which it is.
        size: how many cells the image has from left to right and from top to bottom.
        outline: where the object ends.
        contact: where it meets the ground.
        view: how the camera sees the ground.
        wall: where an upright wall meets the ground; None: there is none.
        depth: how far the object reaches away from the camera, as the share by which its back looks smaller.
    """

    card: Float32
    box: Box
    size: tuple[int, int]
    outline: Outline
    contact: Line
    view: View
    wall: Line | None = None
    depth: float = 0.0

    @property
    def foot(self) -> Float64:
        """The place on the contact below the middle of the object, (x, y, 1)."""
        middle = (self.outline.left + self.outline.right) / 2
        return np.array([middle, self.contact.at(middle), 1.0])

    def lowest(self, share: float) -> Scene:
        """Returns the scene with the lowest part of the object alone, that share of its height."""
        limit = self.outline.bottom - max(share * (self.outline.bottom - self.outline.top), 2.0)
        first = max(self.box.top, math.floor(limit))
        rows = np.arange(first, self.box.bottom)
        # The row that the limit runs through counts in part.
        card = self.card[first - self.box.top :] * np.clip(rows + 0.5 - limit, 0, 1).astype(np.float32)[:, None]
        return dataclasses.replace(self, card=card, box=self.box._replace(top=first), wall=None, depth=0.0)


def cast(scene: Scene, beams: Sequence[Rays], deviation: float) -> Shade | None:
    """Returns the shadow on ground and wall, the mean over a source's beams; None where none falls into the image.

    deviation: the standard deviation of the penumbra, for each cell of height, in cells of the card.
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
    """Where a card goes: the matrix from its cells, and the rows that are not negative where it counts."""

    matrix: Float64
    sides: Sequence[Float64]


def _faces(rays: Rays, scene: Scene, wall: Line) -> bool:
    """Tells whether a wall is behind the object as the light sees it."""
    # The shadow of a foot goes along F - t V; it comes to the wall for a positive t.
    return float(wall.height @ scene.foot) * float(wall.height @ rays.ground) > 0


def _projected(scene: Scene, groups: Sequence[Sequence[_Plane]], deviation: float) -> Shade | None:
    """Returns the mean over groups of the largest of what a card is on the planes of each."""
    card, corner = _softened_card(scene, deviation)
    plane_boxes = [[_reached(scene, plane, card, corner) for plane in planes] for planes in groups]
    boxes = [box for planes in plane_boxes for box in planes if box is not None]
    if not boxes:
        return None
    whole = Box(*(min(side) for side in list(zip(*boxes, strict=True))[:2]),
                *(max(side) for side in list(zip(*boxes, strict=True))[2:]))  # fmt: skip
    foot = scene.foot

    def thrown(planes: Sequence[tuple[_Plane, Box | None]]) -> Float32:
        shadow = np.zeros((whole.bottom - whole.top, whole.right - whole.left), np.float32)
        for plane, box in planes:
            if box is None:
                continue
            # A cell that the card's foot is thrown from has this sign; the other one lies behind the camera.
            sign = math.copysign(1.0, float((plane.matrix @ foot)[2]))
            values = _seen(card, corner, plane, sign, box)
            part = shadow[box.top - whole.top : box.bottom - whole.top, box.left - whole.left : box.right - whole.left]
            np.maximum(part, values, out=part)
        return shadow

    parts = in_threads(thrown, [list(zip(*both, strict=True)) for both in zip(groups, plane_boxes, strict=True)])
    total = parts[0]
    for part in parts[1:]:
        total += part
    total /= len(parts)
    return _cropped(whole, total)


def _cropped(box: Box, values: Float32) -> Shade | None:
    """Returns the part of values over a box that are not 0; None where all of them are."""
    part = bounding_box(values)
    if part.empty:
        return None
    own = Box(box.left + part.x0, box.top + part.y0, box.left + part.x1, box.top + part.y1)
    return Shade(own, np.ascontiguousarray(part.of(values)))


def _softened_card(scene: Scene, deviation: float) -> tuple[Float32, tuple[int, int]]:
    """Returns the card, which goes on under the object, softened by height, and the place (x, y) of its first cell."""
    left, top = scene.box.left, scene.box.top
    columns = np.arange(left, scene.box.right)
    feet = scene.contact.start + scene.contact.slope * columns
    # The last row that is whole goes on below the contact, or below what of the object is lower.
    lowest = np.full(len(columns), -np.inf)
    lowest[scene.outline.columns - left] = scene.outline.lowest
    last = np.maximum(feet + 0.5, lowest) + _UNDER
    height = max(len(scene.card), math.ceil(float(last.max())) + 1 - top)
    whole = np.clip(feet - _WHOLE - top, 0, len(scene.card) - 1)
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
    # A shadow that is spread over more than the image is hardly one, and its margin would have no bound.
    deviations = np.minimum(deviation * heights, _WIDEST * max(scene.size))
    # A card is softer at the top, beyond which the blur reaches.
    margin = margin_of(deviations[:1])
    padded = np.pad(card, ((margin, 1), (margin, margin)))
    deviations = np.concatenate([np.full(margin, deviations[0]), deviations, [0.0]])
    return softened(padded, deviations), (left - margin, top - margin)


def _reached(scene: Scene, plane: _Plane, card: Float32, corner: tuple[int, int]) -> Box | None:
    """Returns the part of the image that a card is thrown on, or a larger one; None where it is beyond."""
    width, height = scene.size
    # The light of a plane that it does not reach is a matrix that has no inverse.
    if not np.isfinite(plane.matrix).all() or np.linalg.matrix_rank(plane.matrix / np.abs(plane.matrix).max()) < 3:
        return None
    # Places all over the card: what goes behind the camera is left out, and the rest is clipped to the image.
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
        # A shadow that crosses the camera's plane reaches to the edge of the image, whatever its side.
        low, high = np.minimum(low, 0), np.maximum(high, [width, height])
    left, top = (int(v) for v in np.clip(np.floor(low) - 2, 0, [width, height]))
    right, bottom = (int(v) for v in np.clip(np.ceil(high) + 3, 0, [width, height]))
    return Box(left, top, right, bottom) if right > left and bottom > top else None


def _seen(card: Float32, corner: tuple[int, int], plane: _Plane, sign: float, box: Box) -> Float32:
    """Returns a card whose first cell is at a corner (x, y) as it is thrown on a plane, over a box; 0 beyond it."""
    from PIL import Image

    size = box.right - box.left, box.bottom - box.top
    inverse = np.linalg.inv(plane.matrix)
    # Pillow puts whole numbers at the corners of pixels.
    own = _moved(0.5 - corner[0], 0.5 - corner[1]) @ inverse @ _moved(box.left - 0.5, box.top - 0.5)
    if abs(own[2, 2]) < 1e-12:
        own[2, 2] = 1e-12
    data = (own / own[2, 2]).ravel()[:8].tolist()
    values = np.array(
        Image.fromarray(card).transform(size, Image.Transform.PERSPECTIVE, data, Image.Resampling.BILINEAR)
    )
    corners = np.array([[box.left, box.right - 1] * 2, [box.top] * 2 + [box.bottom - 1] * 2, [1] * 4], np.float64)
    for side in (*plane.sides, inverse[2] * sign):
        if (side @ corners < 0).any():
            columns, rows = np.arange(box.left, box.right), np.arange(box.top, box.bottom)[:, None]
            # Where ground and wall meet, both count, and nothing is left between them.
            values[side[0] * columns + side[1] * rows + side[2] < 0] = 0
    return values


def _moved(x: float, y: float) -> Float64:
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])
