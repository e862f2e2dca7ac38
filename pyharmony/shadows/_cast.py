"""Casts the shadow of an object's matte on the ground and on a wall, on a grid of a fixed size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ._geometry import Float64, Line, Rays, View, farther, on_ground, on_wall
from ._soft import Float32, softened

Bools = npt.NDArray[np.bool_]

#: The longer side of the grid on which a shadow is found; it is enlarged from there, so that the answer is the same at
#: every size of the picture.
_SIDE = 640
#: How far, in pixels of that grid, the shadow reaches under the object, so that nothing is left between the two.
_UNDER = 2.0
#: The number of copies of the card that stand for a thick object.
_SLICES = 9
#: The least blur, in pixels of the grid.
_LEAST = 0.5


class Box(NamedTuple):
    """A part of a picture in pixels; right and bottom are outside."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True)
class Cover:
    """How far a part of a picture is in the shadow.

    Attributes:
        box: the part, inside the picture.
        values: [h, w] in [0, 1], over that part; coarser than its pixels where that is large.
    """

    box: Box
    values: Float32


@dataclass(frozen=True)
class Scene:
    """An object and what it stands in.

    Attributes:
        matte: how far each pixel of the box is covered by the object, [h, w] in [0, 1].
        box: the part of the picture in which it is.
        size: width and height of the picture.
        contact: where it meets the ground.
        view: how the camera sees the ground.
        wall: where an upright wall meets the ground; None: there is none.
        depth: how far the object reaches away from the camera, as the share by which its back looks smaller.
    """

    matte: Float32
    box: Box
    size: tuple[int, int]
    contact: Line
    view: View
    wall: Line | None = None
    depth: float = 0.0


def cast(scene: Scene, beams: Sequence[Rays], deviation: float) -> Cover | None:
    """Returns the shadow on ground and wall, the mean over a source's beams; None where none falls into the picture.

    deviation: the standard deviation of the penumbra, for each pixel of height, in pixels of the card.
    """
    slices = 1 - scene.depth * np.linspace(0, 1, _SLICES if scene.depth else 1)
    copies = [farther(scene.contact, scene.view, float(factor)) for factor in slices]
    horizon = Line(scene.view.horizon)
    groups = []
    for rays in beams:
        planes = []
        for contact, moved in copies:
            ground = [-horizon.height]
            if scene.wall is not None:
                ground.append(-scene.wall.height)
            planes.append(_Plane(on_ground(rays, contact) @ moved, ground))
            if scene.wall is not None and _faces(rays, scene.contact, scene.wall, scene.view):
                planes.append(_Plane(on_wall(rays, contact, scene.wall) @ moved, [scene.wall.height]))
        groups.append(planes)
    return _projected(scene, groups, deviation)


class _Plane(NamedTuple):
    """Where a card goes: the matrix from its pixels, and the rows that are not negative where it counts."""

    matrix: Float64
    sides: Sequence[Float64]


def _faces(rays: Rays, contact: Line, wall: Line, view: View) -> bool:
    """Tells whether a wall is behind the object as the light sees it."""
    foot = np.array([view.middle, contact.at(view.middle), 1.0])
    # The shadow of a foot goes along F - t V; it comes to the wall for a positive t.
    return float(wall.height @ foot) * float(wall.height @ rays.ground) > 0


def _projected(scene: Scene, groups: Sequence[Sequence[_Plane]], deviation: float) -> Cover | None:
    """Returns the mean over groups of the largest of what a card is on the planes of each."""
    box = _reached(scene, [plane for planes in groups for plane in planes])
    if box is None:
        return None
    across, down = box.right - box.left, box.bottom - box.top
    scale = min(1.0, _SIDE / max(across, down, scene.box.right - scene.box.left, scene.box.bottom - scene.box.top))
    size = max(1, round(across * scale)), max(1, round(down * scale))
    card, to_card = _card(scene, scale, deviation)
    # Grid pixels to the picture's, both with whole numbers at the middles of pixels.
    to_picture = _affine(across / size[0], down / size[1], box.left, box.top)
    columns, rows = np.arange(size[0], dtype=np.float64), np.arange(size[1], dtype=np.float64)[:, None]
    total = np.zeros(size[::-1], np.float32)
    middle = (scene.box.left + scene.box.right) / 2
    foot = np.array([middle, scene.contact.at(middle), 1])
    for planes in groups:
        found = np.zeros_like(total)
        for plane in planes:
            inverse = np.linalg.inv(plane.matrix)
            # A pixel that the card's foot is thrown from has this sign; the other one lies behind the camera.
            sign = math.copysign(1.0, float((plane.matrix @ foot)[2]))
            shown = np.ones(size[::-1], np.bool_)
            for side in (*(side @ to_picture for side in plane.sides), (inverse @ to_picture)[2] * sign):
                shown &= side[0] * columns + side[1] * rows + side[2] > 0
            np.maximum(found, np.where(shown, _sampled(card, to_card @ inverse @ to_picture, size), 0), out=found)
        total += found
    total /= len(groups)
    return Cover(box, total) if total.any() else None


def _affine(across: float, down: float, left: float, top: float) -> Float64:
    """Returns the matrix from a grid's pixels to those of a picture in which its pixels have this size."""
    return np.array([[across, 0, left + (across - 1) / 2], [0, down, top + (down - 1) / 2], [0, 0, 1.0]])


def _card(scene: Scene, scale: float, deviation: float) -> tuple[Float32, Float64]:
    """Returns the card at a scale, softened by height, and the matrix to its pixels from those of the picture."""
    from PIL import Image

    box = scene.box
    size = max(1, round((box.right - box.left) * scale)), max(1, round((box.bottom - box.top) * scale))
    small = np.asarray(Image.fromarray(np.ascontiguousarray(scene.matte)).resize(size, Image.Resampling.BOX))
    across, down = (box.right - box.left) / size[0], (box.bottom - box.top) / size[1]
    middle = (box.left + box.right) / 2
    rows = box.top + (np.arange(size[1]) + 0.5) * down - 0.5
    # What is half covered at the contact would let light in between: the last whole row goes on below it.
    columns = box.left + (np.arange(size[0]) + 0.5) * across - 0.5
    feet = scene.contact.start + scene.contact.slope * columns
    whole = np.clip(np.floor((feet - 0.5 - box.top) / down - 1), 0, size[1] - 1).astype(np.intp)
    small = np.take_along_axis(small, np.minimum(np.arange(size[1])[:, None], whole), 0)
    heights = np.maximum(scene.contact.at(middle) - rows, 0) / down
    deviations = np.maximum(deviation * heights, _LEAST)
    margin = math.ceil(3 * float(deviations.max())) + 1
    # Below the feet the lowest row goes on, under the object.
    under = math.ceil(_UNDER)
    padded = np.pad(small, ((margin, under), (margin, margin)))
    padded[margin + size[1] :] = padded[margin + size[1] - 1]
    spread = np.concatenate([np.full(margin, deviations[0]), deviations, np.full(under, _LEAST)])
    card = softened(padded, spread.astype(np.float32))
    to_card = np.linalg.inv(_affine(across, down, box.left, box.top))
    return card, np.array([[1, 0, margin], [0, 1, margin], [0, 0, 1.0]]) @ to_card


def _reached(scene: Scene, planes: Sequence[_Plane]) -> Box | None:
    """Returns the part of the picture that the card is thrown on, or a larger one; None where it is beyond."""
    width, height = scene.size
    # The outline of the box, densely: what goes behind the camera is left out, and the rest is clipped to the picture.
    x = np.linspace(scene.box.left - 0.5, scene.box.right - 0.5, 33)
    y = np.linspace(scene.box.top - 0.5, scene.box.bottom - 0.5, 33)
    outline = np.concatenate([np.stack(np.meshgrid(x, y)).reshape(2, -1), np.ones((1, 33 * 33))])
    lows, highs = [], []
    for plane in planes:
        thrown = plane.matrix @ outline
        sign = math.copysign(1.0, float((plane.matrix @ np.array([x[16], scene.contact.at(x[16]), 1]))[2]))
        ahead = thrown[2] * sign > 1e-9
        if not ahead.any():
            continue
        at = thrown[:2, ahead] / thrown[2, ahead]
        if not ahead.all():
            # What crosses the camera's plane reaches to the edge of the picture, whatever its side.
            lows.append(np.array([0.0, 0.0]))
            highs.append(np.array([width, height], np.float64))
        lows.append(at.min(1))
        highs.append(at.max(1))
    if not lows:
        return None
    low, high = np.min(lows, 0), np.max(highs, 0)
    grown = 0.1 * (high - low) + 2
    low, high = np.floor(low - grown), np.ceil(high + grown)
    left, top = (int(v) for v in np.clip(low, 0, [width, height]))
    right, bottom = (int(v) for v in np.clip(high, 0, [width, height]))
    return Box(left, top, right, bottom) if right > left and bottom > top else None


def _sampled(card: Float32, matrix: Float64, size: tuple[int, int]) -> Float32:
    """Returns a card seen through a matrix from the pixels of a grid (width, height) to its own; 0 beyond it."""
    from PIL import Image

    # Pillow puts whole numbers at the corners of pixels.
    shift = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])
    own = shift @ matrix @ np.linalg.inv(shift)
    if abs(own[2, 2]) < 1e-12:
        own[2, 2] = 1e-12
    data = (own / own[2, 2]).ravel()[:8].tolist()
    picture = Image.fromarray(np.ascontiguousarray(card))
    found = picture.transform(size, Image.Transform.PERSPECTIVE, data, Image.Resampling.BILINEAR)
    return np.asarray(found)
