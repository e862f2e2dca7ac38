"""The drift of colours of an edit: a model of tone with few parameters, fitted robustly where nothing changed.

A channel of the original is 2^(a u + b v + c u² + d u v + e v²) g (M x + o)^p of the edit's colours x: gains g,
powers p, offsets o of each channel, a matrix M of rows with sum 1, and the slow change of light over the frame, u and
v from -1 to 1. Drift of any of these is undone by the model's inverse, which is of the same form but for products of
small terms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._arrays import Bools, Float32, Float64, NumpyArray, Rectangle
from ..ops.color_map import Affine, Curves, Light, Stage, encode, run

#: The numbers of the model: gains, powers, offsets of three channels, six of the matrix, five of the light.
_COUNT = 20
#: The weight of the prior of each number, by which it stays near that of no drift.
_PRIOR = np.concatenate([np.full(3, 0.02), np.full(3, 0.05), np.full(3, 0.3), np.full(6, 2.0), np.full(5, 0.02)])
#: The largest magnitude of each number: far beyond it, what fits is another picture's colours.
_LIMITS = np.concatenate([np.full(3, 1.5), np.full(3, 1.2), np.full(9, 0.5), np.full(5, 0.6)])
_RIDGE = 2e-3
_SAMPLES = 4000
_ITERATIONS = 14
#: The least and greatest share of white that is no clipped value.
_DARK_SHARE, _BRIGHT_SHARE = 0.012, 0.985
#: The least residual, as a share of white, beyond which a sample counts less.
_MIN_RESIDUAL = 0.01
#: The entries of a curve of the map, and the largest value of its argument.
_TABLE_SIZE, _TABLE_TOP = 1024, 1.5


@dataclass(frozen=True)
class Tone:
    """A map of an edit's colours to the original's."""

    values: Float64  # the numbers of the model, all 0 for no change
    deviation: float  # the robust deviation of the samples' residuals, as a share of white

    def stages(self, box: Rectangle, frame: tuple[int, int]) -> list[Stage]:
        """Returns the map for a part of a frame as stages for `ops.color_map`.

        box: left, top, right and bottom of the part, in pixels of the frame, which is (width, height).
        """
        gain, power, offset, mix, light = _parts(self.values)
        matrix = np.empty((3, 3))
        for channel in range(3):
            matrix[channel, [(channel + 1) % 3, (channel + 2) % 3]] = mix[channel]
            matrix[channel, channel] = 1 - mix[channel].sum()
        at = np.linspace(0, _TABLE_TOP, _TABLE_SIZE)
        table = [np.exp(gain[c]) * np.maximum(at + offset[c], 1e-4) ** np.exp(power[c]) for c in range(3)]
        # The light in the coordinates of the part, in which u = p u' + q.
        (p, q), (r, s) = (((end - start) / size, (start + end) / size - 1)
                          for start, end, size in ((box[0], box[2], frame[0]), (box[1], box[3], frame[1])))  # fmt: skip
        a, b, c, d, e = light
        stops = [
            a * q + b * s + c * q * q + d * q * s + e * s * s, p * (a + 2 * c * q + d * s), r * (b + 2 * e * s + d * q),
            c * p * p, d * p * r, e * r * r,
        ]  # fmt: skip
        return [Affine(matrix), Curves(np.array(table), 0.0, _TABLE_TOP), Light(stops)]

    def apply(self, colours: NumpyArray, box: Rectangle | None = None, frame: tuple[int, int] | None = None) -> Float32:
        """Returns levels [h, w, 3] in the original's colours, as float32.

        box, frame: the part of the original's frame that they show, see `stages`; None: all of it.
        """
        height, width = colours.shape[:2]
        encoded, _memory = encode(self.stages(box or (0, 0, width, height), frame or (width, height)))
        out = colours.astype(np.float32)
        out *= np.float32(1 / 255)
        run(out, encoded, None, 1.0, out)
        out *= np.float32(255)
        return out


def _parts(values: Float64) -> tuple[Float64, Float64, Float64, Float64, Float64]:
    return values[:3], values[3:6], values[6:9], values[9:15].reshape(3, 2), values[15:20]


def _model(values: Float64, colours: Float64, light_terms: Float64) -> tuple[Float64, Float64]:
    """Returns the mapped colours [n, 3], and their derivatives by the numbers, [3, n, _COUNT]."""
    gain, power, offset, mix, light = _parts(values)
    out = np.empty(colours.shape)
    slopes = np.zeros((3, len(colours), _COUNT))
    shade = np.exp2(light_terms @ light)
    for c in range(3):
        first, second = (c + 1) % 3, (c + 2) % 3
        to_first, to_second = colours[:, first] - colours[:, c], colours[:, second] - colours[:, c]
        base = np.maximum(colours[:, c] + mix[c, 0] * to_first + mix[c, 1] * to_second + offset[c], 1e-3)
        exponent = np.exp(power[c])
        value = shade * np.exp(gain[c]) * base**exponent
        by_base = value * exponent / base
        out[:, c] = value
        slopes[c, :, c] = value
        slopes[c, :, 3 + c] = value * exponent * np.log(base)
        slopes[c, :, 6 + c] = by_base
        slopes[c, :, 9 + 2 * c], slopes[c, :, 10 + 2 * c] = by_base * to_first, by_base * to_second
        slopes[c, :, 15:] = value[:, None] * np.log(2) * light_terms
    return out, slopes


def light_terms_of(x: Float64, y: Float64, size: tuple[int, int]) -> Float64:
    """Returns the terms [n, 5] of the light at pixels of an image of a size (width, height)."""
    u, v = (2 * x + 1) / size[0] - 1, (2 * y + 1) / size[1] - 1
    return np.stack([u, v, u * u, u * v, v * v], 1)


def fit_tone(original: NumpyArray, edited: NumpyArray, fitting: Bools, start: Tone | None = None) -> Tone:
    """Returns the map of an edit's colours to those of its original.

    original, edited: [h, w, 3] levels, 0 to 255, of the same frame.
    fitting: [h, w], where they show the same.
    start: a map to begin with.
    """
    height, width = fitting.shape
    at = np.flatnonzero(fitting)
    if len(at) > _SAMPLES:
        at = at[np.random.default_rng(0).permutation(len(at))[:_SAMPLES]]
    y, x = np.divmod(at, width)
    source, target = (np.asarray(image[y, x], np.float64) / 255 for image in (edited, original))
    # Clipped values of the edit stand for many values of the original; those of the original have one value each.
    clipped = ((source > _BRIGHT_SHARE) | (source < _DARK_SHARE)).any(1)
    if np.count_nonzero(~clipped) >= 10 * _COUNT:
        source, target, x, y = source[~clipped], target[~clipped], x[~clipped], y[~clipped]
    terms = light_terms_of(x, y, (width, height))
    # A change of light over the frame is not extrapolated far beyond what was seen of it.
    across, down = 2 / np.maximum(np.ptp(np.quantile(terms[:, :2], (0.02, 0.98), axis=0), 0), 0.1)
    weights = _PRIOR.copy()
    weights[15:] *= np.array([across, down, across, max(across, down), down]) ** 4
    values = np.zeros(_COUNT) if start is None else start.values
    deviation = np.inf
    for _ in range(_ITERATIONS):
        mapped, slopes = _model(values, source, terms)
        residual = mapped - target
        largest = np.abs(residual).max(1)
        deviation = 1.48 * float(np.median(largest))
        weight = 1 / (1 + (largest / max(2 * deviation, _MIN_RESIDUAL)) ** 4)
        flat = (slopes * np.sqrt(weight)[None, :, None]).reshape(-1, _COUNT)
        goal = (residual * np.sqrt(weight)[:, None]).T.ravel()
        prior = weights * _RIDGE * weight.sum()
        step = np.linalg.solve(flat.T @ flat + np.diag(prior), flat.T @ goal + prior * values)
        values = values - step
        values = np.clip(values, -_LIMITS, _LIMITS)
        if np.abs(step).max() < 2e-4:
            break
    return Tone(values, deviation)
