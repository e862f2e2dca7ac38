"""Composites with realistic contours: moved masks, soft rims, and clean cut-outs without information at the contour.

A composite made by recolouring an object in its own photograph reveals the error at the contour: a pixel inside and its
neighbour outside show the same surface in two colours. `CONDITIONS` remove that information in different ways. Every
one makes a `Case` from a composite, its target and its mask, deterministically; from a photograph that fits, which is
passed as composite and target, it makes a photograph that fits.

Distances are in pixels of a view of 256 × 256, the size of a network's input. In a larger image of H × W pixels they
are multiplied by √(H W) / 256, rounded, so that they are about constant for the network; in a smaller image they are
not scaled. Where an object touches the frame of the image there is no contour, and nothing is removed.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

Picture = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

#: The side of the view that defines the unit of distances.
VIEW = 256
#: The width of the rim excluded from an object's core, and the smallest numbers of pixels of core and background.
RIM_WIDTH, MIN_PIXELS = 3, 200
#: The distance of a clean cut inside the contour, and the distances outside within which the old rim is replaced.
CUT_DEPTH, CUT_MARGINS = 2, (0, 3, 6)
#: The largest distance of a coarse polygon from the contour, and the standard deviation of a soft paste.
POLYGON_DISTANCE, SOFT_SIGMA = 3, 1.5
#: The quality of JPEG, and the factor of a smaller image.
QUALITY, SMALLER_FACTOR = 80, 0.7
#: The share of the height by which the background of a paste is shifted, the number of steps to each side, up to half
#: the width, from which the horizontal shift is chosen, and the margin around the object to keep free of fill.
SHIFT_SHARE, SHIFT_STEPS, FILL_MARGIN = 0.04, 8, 10


class Case(NamedTuple):
    """An image to harmonise and the ground truth.

    Attributes:
        image: the input of the method, [H, W, 3].
        mask: the mask for the method, [H, W].
        target: the ground truth in the core.
        core: the region of evaluation, [H, W]: the object without its rim, independent of the mask.
    """

    image: Picture
    mask: Picture
    target: Picture
    core: Bools


#: A function of composite, target and mask.
Condition = Callable[[Picture, Picture, Picture], Case]


def unit(shape: tuple[int, ...]) -> int:
    """Returns the size of a pixel of the view in pixels of an image [H, W]."""
    return max(1, round((shape[0] * shape[1]) ** 0.5 / VIEW))


def region_of(mask: Picture) -> Bools:
    """Returns the pixels that are at least half inside."""
    inside: Bools = mask >= 128
    return inside


def moved(region: Bools, pixels: int) -> Bools:
    """Returns a region dilated by so many pixels of the view, or eroded if below 0, with a square of 3 × 3."""
    change = cv2.dilate if pixels > 0 else cv2.erode
    steps = abs(pixels) * unit(region.shape)
    return change(region.view(np.uint8), np.ones((3, 3), np.uint8), iterations=steps).view(np.bool_)


def core_of(mask: Picture) -> Bools:
    """Returns the object without its rim."""
    return moved(region_of(mask), -RIM_WIDTH)


def can_be_judged(mask: Picture) -> bool:
    """Returns whether enough is left of the object without its rim, and of the background without the widest one."""
    least = MIN_PIXELS * unit(mask.shape) ** 2
    beyond = ~moved(region_of(mask), max(CUT_MARGINS))
    return bool(core_of(mask).sum() >= least and beyond.sum() >= least)


def hard(region: Bools) -> Picture:
    """Returns a region as a mask."""
    return np.where(region, np.uint8(255), np.uint8(0))


# ---- what lies behind an object ----


def nearest_fill(image: Picture, hole: Bools) -> Picture:
    """Returns the image with each pixel of the hole replaced by the nearest pixel outside."""
    rows, columns = ndimage.distance_transform_edt(hole, return_distances=False, return_indices=True)
    picture: Picture = image[rows, columns]
    return picture


def smoothed_into(values: Floats, hole: Bools) -> Floats:
    """Returns values [H, W, C] smoothly interpolated in the hole, from coarse to fine.

    Each level has half the sides of the previous one; its pixels are means of the known pixels that they cover.
    Unknown pixels are upsampled from the coarser level, and averaged with their neighbours.
    """
    weights = (~hole).astype(np.float32)
    height, width = hole.shape
    if weights.all() or not weights.any():
        return values
    half = ((width + 1) // 2, (height + 1) // 2)
    share = cv2.resize(weights, half, interpolation=cv2.INTER_AREA)
    sums = cv2.resize(values * weights[..., None], half, interpolation=cv2.INTER_AREA)
    means = (sums / np.maximum(share, 1e-6)[..., None]).astype(np.float32)
    coarse = smoothed_into(means, share < 1e-6)
    filled_values = np.where(
        hole[..., None], cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR), values
    )
    for _ in range(4):
        near = cv2.blur(filled_values, (3, 3), borderType=cv2.BORDER_REPLICATE)
        filled_values = np.where(hole[..., None], near, values)
    return filled_values.astype(np.float32)


def smooth_fill(image: Picture, hole: Bools) -> Picture:
    """Returns the image with the hole filled by smooth interpolation."""
    return rounded(smoothed_into(image.astype(np.float32), hole))


def rounded(values: npt.NDArray[Any]) -> Picture:
    picture: Picture = np.rint(values).clip(0, 255).astype(np.uint8)
    return picture


# ---- conditions ----


def given(composite: Picture, target: Picture, mask: Picture) -> Case:
    """Returns composite and mask unchanged."""
    return Case(composite, mask, target, core_of(mask))


def with_mask_moved(pixels: int, composite: Picture, target: Picture, mask: Picture) -> Case:
    """Returns a case whose mask is wider than the object, or narrower."""
    return Case(composite, hard(moved(region_of(mask), pixels)), target, core_of(mask))


def with_polygon(composite: Picture, target: Picture, mask: Picture) -> Case:
    """Returns a case whose mask is a polygon."""
    region = hard(region_of(mask))
    outlines, _ = cv2.findContours(region, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    coarse = [cv2.approxPolyDP(outline, POLYGON_DISTANCE * unit(mask.shape), True) for outline in outlines]
    # Outlines of holes are filled too: regions inside two outlines are outside.
    polygon = cv2.fillPoly(np.zeros_like(region), [line for line in coarse if len(line) > 2], 255)
    return Case(composite, polygon, target, core_of(mask))


def feathered(composite: Picture, target: Picture, mask: Picture) -> Case:
    """Returns a case whose recolouring fades out across the contour, with the exact mask."""
    region = region_of(mask)
    change = smoothed_into(composite.astype(np.float32) - target, ~region)
    share = cv2.GaussianBlur(region.astype(np.float32), (0, 0), SOFT_SIGMA * unit(mask.shape))
    return Case(rounded(target + share[..., None] * change), hard(region), target, core_of(mask))


def as_jpeg(composite: Picture, target: Picture, mask: Picture) -> Case:
    """Returns a case whose composite was saved as JPEG, unlike the target."""
    file = io.BytesIO()
    Image.fromarray(composite).save(file, "JPEG", quality=QUALITY)
    return Case(np.array(Image.open(file)), mask, target, core_of(mask))


def resized(composite: Picture, target: Picture, mask: Picture) -> Case:
    """Returns a reduced case, evaluated at that size."""
    size = tuple(max(1, round(side * SMALLER_FACTOR)) for side in mask.shape[::-1])

    def small(image: Picture) -> Picture:
        return cv2.resize(image, size, interpolation=cv2.INTER_AREA)

    return Case(small(composite), small(mask), small(target), small(hard(core_of(mask))) == 255)


def cut(
    outside: int, fill: Callable[[Picture, Bools], Picture], composite: Picture, target: Picture, mask: Picture
) -> Case:
    """Returns a clean cut-out, whose rim is replaced by the background."""
    region = region_of(mask)
    inner, hole = moved(region, -CUT_DEPTH), moved(region, outside)
    image = np.where(inner[..., None], composite, fill(composite, hole))
    return Case(image, hard(inner), target, core_of(mask))


def pasted(composite: Picture, target: Picture, mask: Picture) -> Case:
    """Returns a cut-out on another part of its own photograph, in the same light.

    The photograph is mirrored, with a smooth fill in place of the object, and shifted by `SHIFT_SHARE` and
    horizontally by the one of `SHIFT_STEPS` that leaves the least fill around the object; it is extended by mirroring.
    """
    region, (height, width) = region_of(mask), mask.shape
    inner, hole = moved(region, -CUT_DEPTH), moved(region, max(CUT_MARGINS))
    down, margin = max(1, round(SHIFT_SHARE * height)), width // 2
    padding = ((down, 0), (margin, margin))
    behind = np.pad(smooth_fill(composite, hole)[:, ::-1], (*padding, (0, 0)), mode="symmetric")[:height]
    filled_values = np.pad(hole[:, ::-1], padding, mode="symmetric")[:height]
    around = moved(region, FILL_MARGIN) & ~inner
    places = [margin + margin * step // SHIFT_STEPS for step in sorted(range(-SHIFT_STEPS, SHIFT_STEPS + 1), key=abs)]
    left = min(places, key=lambda at: np.count_nonzero(filled_values[:, at : at + width] & around))
    image = np.where(inner[..., None], composite, behind[:, left : left + width])
    return Case(image, hard(inner), target, core_of(mask))


FILLS: Mapping[str, Callable[[Picture, Bools], Picture]] = {"nearest": nearest_fill, "smooth": smooth_fill}
#: Clean cut-outs, whose contour has no information.
CUTS: Mapping[str, Condition] = {
    **{f"cut {k}, {name}": partial(cut, k, fill) for name, fill in FILLS.items() for k in CUT_MARGINS},
    "pasted": pasted,
}
CONDITIONS: Mapping[str, Condition] = {
    "given": given,
    **{f"mask {k:+d}": partial(with_mask_moved, k) for k in (-2, -1, 1, 2)},
    "polygon": with_polygon,
    "feathered": feathered,
    "jpeg": as_jpeg,
    "resized": resized,
    **CUTS,
}
