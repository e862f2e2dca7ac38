"""Roll: estimates the rotation of an image about the viewing direction from its edges."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._arrays import Float32, Pixels
from .._images.levels import image_levels
from .._images.planes import gaussian
from .._images.sizes import fitted, resized
from ..reference.luma import LUMA
from ..typing import ImageLike

#: The longer side of the image in which gradients are computed.
_GRADIENT_SIDE = 400
#: The least number of pixels that are averaged along each side for a pixel of a reduced image.
_SAMPLES = 3
#: The standard deviation of the smoothing before gradients, in pixels.
_IMAGE_SIGMA = 1.0
#: The standard deviation of the smoothing of the structure tensors, in pixels.
_TENSOR_SIGMA = 2.5
#: The largest roll that is estimated, in degrees.
_MAX_ROLL = 15.0
#: The step of the histogram, in degrees.
_STEP = 0.25
#: The standard deviation of the directions of parallel edges, in degrees.
_VARIES = 1.0
#: The weight of an almost level edge relative to an upright one: perspective rotates level edges more.
_LEVEL = 0.6
#: The contrast per pixel above which edges have no more weight.
_MAX_CONTRAST = 20.0
#: Contrast per pixel that is noise.
_NOISE = 2.0
#: The standard deviation of the prior of roll, in degrees.
_ROLL_SIGMA = 6.0
#: The least ratio of the votes for the roll to their mean over all directions; below it the roll is 0.
_MIN_VOTE_RATIO = 2.0
#: The largest difference from the roll by upright or level edges alone, or by half of the image, in degrees.
_AGREE = 1.0
#: The distance from which on another direction competes with the roll, in degrees: that of two perspectives is less.
_MIN_RIVAL_DEGREES = 4.0
#: The least ratio of the votes for the roll to those for any competing direction.
_MIN_RIVAL_RATIO = 2.0


class Roll(NamedTuple):
    """The roll of an image."""

    degrees: float  # clockwise
    #: Whether upright edges, level edges and both halves of the image agree on it, and no other direction has half as
    #: many votes. Of photos turned by up to 5 degrees 7 % are sure, of which 1 % are wrong by more than 2 degrees, for
    #: 39 % of the others.
    is_sure: bool


def roll_of(image: ImageLike) -> float:
    """Returns the estimated roll of an image, in degrees clockwise, from -15 to 15.

    Almost upright and almost level edges vote, since most edges of buildings and furniture are either. If no direction
    dominates, the roll is 0.

    Args:
        image: an image, see `pyharmony.segment`.

    Raises:
        ShapeError, DTypeError, DecodeError: see `pyharmony.segment`.

    Example:
        >>> from pyharmony import placement
        >>> image = np.zeros((90, 120, 3), np.uint8)
        >>> image[20:60, 30:80] = 200
        >>> placement.roll_of(image)
        0.0
    """
    return roll_in(image_levels(image)).degrees


def roll_in(image: Pixels) -> Roll:
    """Returns the roll of an image [H, W, 3]."""
    height, width = image.shape[:2]
    size = fitted((width, height), _GRADIENT_SIDE, least=8)
    levels = reduced(image, size).astype(np.float32)
    gray = gaussian(levels @ np.array(LUMA, np.float32), _IMAGE_SIGMA, reach=3, border="edge")
    down, across = np.gradient(gray)
    # Gradients agree only along straight edges (structure tensor, Bigun and Granlund 1987).
    products = np.stack([across * across, down * down, across * down])
    xx, yy, xy = gaussian(products, _TENSOR_SIGMA, (1, 2), reach=3, border="edge")
    angle = 0.5 * np.degrees(np.arctan2(2 * xy, xx - yy))
    straight = np.hypot(xx - yy, 2 * xy) / (xx + yy + _NOISE**2)
    # The deviation from the nearest axis, from -45 to 45 degrees, clockwise since rows go down.
    off = (angle + 45) % 90 - 45
    # Strong edges have more weight, up to a limit.
    is_level = np.abs(angle) > 45
    weight = np.minimum(np.sqrt(xx + yy), _MAX_CONTRAST) * straight**4 * np.where(is_level, _LEVEL, 1.0)
    votes = _votes(off, weight)
    mean, best = float(votes.mean()), _best(votes)
    if mean <= 1e-9 or votes[best] < _MIN_VOTE_RATIO * mean:
        return Roll(0.0, False)
    roll, worth = float(_BIN_CENTRES[best]), votes * _PRIOR
    if 0 < best < len(_BIN_CENTRES) - 1:
        left, middle, right = worth[best - 1 : best + 2]
        bend = left - 2 * middle + right
        roll += 0.5 * _STEP * float((left - right) / bend) if bend < 0 else 0.0
    is_left = np.arange(size[0]) < size[0] // 2
    parts = (_votes(off, weight * part) for part in (is_level, ~is_level, is_left, ~is_left))
    agree = all(abs(_BIN_CENTRES[_best(part)] - _BIN_CENTRES[best]) <= _AGREE for part in parts)
    rivals = votes[np.abs(_BIN_CENTRES - _BIN_CENTRES[best]) > _MIN_RIVAL_DEGREES]
    return Roll(roll if abs(roll) >= _STEP / 2 else 0.0, bool(agree and votes[best] >= _MIN_RIVAL_RATIO * rivals.max()))


#: The middles of the steps of the histogram, in degrees, and the prior of roll there.
_BIN_CENTRES = np.arange(-45 + _STEP / 2, 45, _STEP)
_PRIOR = np.exp(-0.5 * (_BIN_CENTRES / _ROLL_SIGMA) ** 2)


def _votes(off: Float32, weight: Float32) -> npt.NDArray[np.float64]:
    """Returns the votes for each step of the histogram, smoothed."""
    votes, _ = np.histogram(off, np.arange(-45, 45 + _STEP, _STEP), weights=weight)
    reach = int(4 * _VARIES / _STEP)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * _STEP / _VARIES) ** 2)
    return np.convolve(np.concatenate([votes[-reach:], votes, votes[:reach]]), kernel / kernel.sum(), "valid")


def _best(votes: npt.NDArray[np.float64]) -> int:
    """Returns the step of the likeliest roll."""
    return int(np.argmax(np.where(np.abs(_BIN_CENTRES) <= _MAX_ROLL, votes * _PRIOR, -1.0)))


def reduced(values: Pixels, size: tuple[int, int]) -> Pixels:
    """Returns an image [H, W] or [H, W, C] at a size (width, height); of a far larger one not all pixels are read."""
    step = max(1, min(values.shape[1] // size[0], values.shape[0] // size[1]) // _SAMPLES)
    return resized(np.ascontiguousarray(values[step // 2 :: step, step // 2 :: step]), size)


def rotated(x: Any, y: Any, degrees: float) -> tuple[Any, Any]:
    """Returns points rotated clockwise about the origin."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return x * cos - y * sin, x * sin + y * cos
