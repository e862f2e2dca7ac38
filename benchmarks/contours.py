"""Composites with the contour as people leave it: moved masks, soft rims, and clean cut-outs that show nothing of it.

A composite that was made by recolouring an object in its own photograph shows at the contour how far the object is
off: a pixel inside and its neighbour outside are one thing in two colours. `CONDITIONS` take that away, each in its own
way. Every one makes a `Case` of a composite, its target and its mask, and nothing is random; of a photograph that fits,
which is given as composite and target, it makes a photograph that fits.

Distances are in pixels of a view of 256 × 256, which is what networks see. In a larger image of H × W pixels each of
them is as many pixels as √(H W) / 256 comes to, rounded, so that a distance is about the same to the network; a smaller
image has them as they are. Where an object touches the frame of the image, that is no contour: nothing is taken there.
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

#: The side of the view in whose pixels distances are.
VIEW = 256
#: What is left out of an object for its core, and the least pixels of a core and of what lies beyond a wide rim.
RIM, LEAST = 3, 200
#: How far inside of the contour a clean cut lies, and how far outside of it the old rim is taken away.
INSIDE, OUTSIDE = 2, (0, 3, 6)
#: The largest distance of a coarse polygon from the contour, and the standard deviation of a soft paste.
COARSE, SOFT = 3, 1.5
#: The quality of JPEG, and the factor of a smaller image.
QUALITY, SMALLER = 80, 0.7
#: The share of the height by which the photograph behind a paste is shifted, the steps to each side, up to half the
#: width, from which the shift sideways is chosen, and how far around the object there should be no fill.
DOWN, STEPS, AROUND = 0.04, 8, 10


class Case(NamedTuple):
    """An image to harmonise and what the result is judged by.

    Attributes:
        image: what the method is given, [H, W, 3].
        mask: the mask that it is given, [H, W].
        target: the image that is right in the core.
        core: where results are judged, [H, W]: the object without its rim, the same whatever the mask is.
    """

    image: Picture
    mask: Picture
    target: Picture
    core: Bools


#: A function of composite, target and mask.
Condition = Callable[[Picture, Picture, Picture], Case]


def unit(shape: tuple[int, ...]) -> int:
    """Returns how many pixels of an image [H, W] are one of the view."""
    return max(1, round((shape[0] * shape[1]) ** 0.5 / VIEW))


def region_of(mask: Picture) -> Bools:
    """Returns the pixels that are at least half inside."""
    inside: Bools = mask >= 128
    return inside


def moved(region: Bools, pixels: int) -> Bools:
    """Returns a region grown by so many pixels of the view, or shrunk by them, with a square of 3 × 3."""
    change = cv2.dilate if pixels > 0 else cv2.erode
    steps = abs(pixels) * unit(region.shape)
    return change(region.view(np.uint8), np.ones((3, 3), np.uint8), iterations=steps).view(np.bool_)


def core_of(mask: Picture) -> Bools:
    """Returns the object without its rim."""
    return moved(region_of(mask), -RIM)


def can_be_judged(mask: Picture) -> bool:
    """Whether enough is left of the object without its rim, and of the background without the widest one."""
    least = LEAST * unit(mask.shape) ** 2
    beyond = ~moved(region_of(mask), max(OUTSIDE))
    return bool(core_of(mask).sum() >= least and beyond.sum() >= least)


def hard(region: Bools) -> Picture:
    """Returns a region as a mask."""
    return np.where(region, np.uint8(255), np.uint8(0))


# ---- what lies behind an object ----


def nearest_fill(image: Picture, hole: Bools) -> Picture:
    """Returns the image with the nearest pixel outside of the hole in each of its pixels."""
    rows, columns = ndimage.distance_transform_edt(hole, return_distances=False, return_indices=True)
    found: Picture = image[rows, columns]
    return found


def smoothed_into(values: Floats, hole: Bools) -> Floats:
    """Returns values [H, W, C] with a smooth continuation in the hole, from coarse to fine.

    Each level has half the pixels a side of the one before; a pixel of it is the mean of the known ones that it covers.
    What is unknown takes the coarser level, enlarged, and is averaged with its neighbours.
    """
    known = (~hole).astype(np.float32)
    height, width = hole.shape
    if known.all() or not known.any():
        return values
    half = ((width + 1) // 2, (height + 1) // 2)
    share = cv2.resize(known, half, interpolation=cv2.INTER_AREA)
    sums = cv2.resize(values * known[..., None], half, interpolation=cv2.INTER_AREA)
    means = (sums / np.maximum(share, 1e-6)[..., None]).astype(np.float32)
    coarse = smoothed_into(means, share < 1e-6)
    filled = np.where(hole[..., None], cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR), values)
    for _ in range(4):
        near = cv2.blur(filled, (3, 3), borderType=cv2.BORDER_REPLICATE)
        filled = np.where(hole[..., None], near, values)
    return filled.astype(np.float32)


def smooth_fill(image: Picture, hole: Bools) -> Picture:
    """Returns the image with a smooth continuation of what surrounds the hole in it."""
    return rounded(smoothed_into(image.astype(np.float32), hole))


def rounded(values: npt.NDArray[Any]) -> Picture:
    found: Picture = np.rint(values).clip(0, 255).astype(np.uint8)
    return found


# ---- conditions ----


def given(composite: Picture, target: Picture, mask: Picture) -> Case:
    """Makes the composite and mask as they are."""
    return Case(composite, mask, target, core_of(mask))


def with_mask_moved(pixels: int, composite: Picture, target: Picture, mask: Picture) -> Case:
    """Makes a mask that is wider than the object, or narrower."""
    return Case(composite, hard(moved(region_of(mask), pixels)), target, core_of(mask))


def with_polygon(composite: Picture, target: Picture, mask: Picture) -> Case:
    """Makes a mask of straight lines."""
    region = hard(region_of(mask))
    outlines, _ = cv2.findContours(region, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    coarse = [cv2.approxPolyDP(outline, COARSE * unit(mask.shape), True) for outline in outlines]
    # Outlines of holes are filled too: what lies within two outlines is outside.
    polygon = cv2.fillPoly(np.zeros_like(region), [line for line in coarse if len(line) > 2], 255)
    return Case(composite, polygon, target, core_of(mask))


def feathered(composite: Picture, target: Picture, mask: Picture) -> Case:
    """Makes an object whose recolouring fades out across the contour, with the right mask."""
    region = region_of(mask)
    change = smoothed_into(composite.astype(np.float32) - target, ~region)
    share = cv2.GaussianBlur(region.astype(np.float32), (0, 0), SOFT * unit(mask.shape))
    return Case(rounded(target + share[..., None] * change), hard(region), target, core_of(mask))


def as_jpeg(composite: Picture, target: Picture, mask: Picture) -> Case:
    """Makes a composite that was kept as JPEG; the target was not."""
    file = io.BytesIO()
    Image.fromarray(composite).save(file, "JPEG", quality=QUALITY)
    return Case(np.array(Image.open(file)), mask, target, core_of(mask))


def resized(composite: Picture, target: Picture, mask: Picture) -> Case:
    """Makes all of it smaller, and is judged at that size."""
    size = tuple(max(1, round(side * SMALLER)) for side in mask.shape[::-1])

    def small(image: Picture) -> Picture:
        return cv2.resize(image, size, interpolation=cv2.INTER_AREA)

    return Case(small(composite), small(mask), small(target), small(hard(core_of(mask))) == 255)


def cut(
    outside: int, fill: Callable[[Picture, Bools], Picture], composite: Picture, target: Picture, mask: Picture
) -> Case:
    """Makes a clean cut-out, with what lies behind in place of its rim."""
    region = region_of(mask)
    inner, hole = moved(region, -INSIDE), moved(region, outside)
    image = np.where(inner[..., None], composite, fill(composite, hole))
    return Case(image, hard(inner), target, core_of(mask))


def pasted(composite: Picture, target: Picture, mask: Picture) -> Case:
    """Makes a cut-out before another place of its own photograph, in the same light.

    The photograph is mirrored, with a smooth fill where the object was, and shifted by `DOWN` and by as many `STEPS`
    sideways as leave the least of that fill around the object; beyond its frame it goes on mirrored.
    """
    region, (height, width) = region_of(mask), mask.shape
    inner, hole = moved(region, -INSIDE), moved(region, max(OUTSIDE))
    down, margin = max(1, round(DOWN * height)), width // 2
    padding = ((down, 0), (margin, margin))
    behind = np.pad(smooth_fill(composite, hole)[:, ::-1], (*padding, (0, 0)), mode="symmetric")[:height]
    filled = np.pad(hole[:, ::-1], padding, mode="symmetric")[:height]
    around = moved(region, AROUND) & ~inner
    places = [margin + margin * step // STEPS for step in sorted(range(-STEPS, STEPS + 1), key=abs)]
    left = min(places, key=lambda at: np.count_nonzero(filled[:, at : at + width] & around))
    image = np.where(inner[..., None], composite, behind[:, left : left + width])
    return Case(image, hard(inner), target, core_of(mask))


FILLS: Mapping[str, Callable[[Picture, Bools], Picture]] = {"nearest": nearest_fill, "smooth": smooth_fill}
#: Clean cut-outs, whose contour tells nothing.
CUTS: Mapping[str, Condition] = {
    **{f"cut {k}, {name}": partial(cut, k, fill) for name, fill in FILLS.items() for k in OUTSIDE},
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
