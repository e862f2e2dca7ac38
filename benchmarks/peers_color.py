"""The transfers of `pyharmony.color` in OpenCV and NumPy, each as fast as these allow.

image, reference [H, W, 3] uint8 RGB; mask, theirs [H, W] uint8, 0 or 255. Fits of few numbers (the tone curve, the
tables of quantiles) use the package's own NumPy.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pyharmony import color
from pyharmony.color import _idt, _retouch, gaussian, spaces, temperature
from pyharmony.color.histogram import quantile_tables
from pyharmony.reference.luma import LUMA
from pyharmony.reference.regrain import SMALLEST, SWEEPS

Pixels = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]

_LMS = np.column_stack([spaces.RGB_TO_LMS / 255, np.full(3, spaces.LMS_FLOOR)]).astype(np.float32)
_FROM_LMS = np.linalg.inv(spaces.RGB_TO_LMS) * 255


def _inside(image: Pixels, mask: Pixels) -> Float32:
    """Returns the colours inside a mask as [N, 1, 3], 0 to 255."""
    return image[mask > 0].astype(np.float32)[:, None]


def _put(image: Pixels, mask: Pixels, colors: Float32) -> Pixels:
    """Puts colours [N, 1, 3], 0 to 255, into a copy."""
    out = image.copy()
    out[mask > 0] = cv2.convertScaleAbs(cv2.max(colors, 0))[:, 0]
    return out


def _moments(colors: Float32) -> tuple[Any, Any]:
    """Returns mean and covariance of [N, 1, 3]."""
    flat = colors[:, 0]
    mean = np.array(cv2.mean(colors)[:3])
    apart = flat - mean.astype(np.float32)
    return mean, (apart.T @ apart).astype(np.float64) / len(flat)


def _affine(image: Pixels, mask: Pixels, matrix: Any, before: Any, after: Any) -> Pixels:
    mapped = cv2.transform(image, np.column_stack([matrix, after - matrix @ before]))
    return cv2.copyTo(mapped, mask, image.copy())


def reinhard(image: Pixels, reference: Pixels, mask: Pixels, theirs: Pixels) -> Pixels:
    logs, theirs_too = (cv2.log(cv2.transform(_inside(a, m), _LMS)) for a, m in ((image, mask), (reference, theirs)))
    basis = spaces.LMS_TO_LALPHABETA.astype(np.float32)
    (mean, spread), (goal, goal_spread) = (cv2.meanStdDev(cv2.transform(x, basis)) for x in (logs, theirs_too))
    matrix = basis.T @ np.diag((goal_spread / spread)[:, 0]) @ basis
    shift = basis.T @ goal[:, 0] - matrix @ (basis.T @ mean[:, 0])
    lms = cv2.exp(cv2.transform(logs, np.column_stack([matrix, shift])))
    return _put(image, mask, cv2.transform(lms, np.column_stack([_FROM_LMS, -_FROM_LMS.sum(1) * spaces.LMS_FLOOR])))


def xiao_ma(image: Pixels, reference: Pixels, mask: Pixels, theirs: Pixels) -> Pixels:
    (mean, covariance), (goal, goal_covariance) = (
        _moments(_inside(a, m)) for a, m in ((image, mask), (reference, theirs))
    )
    (variance, axes), (want, onto) = (gaussian._principal(c) for c in (covariance, goal_covariance))
    onto = onto * np.where((axes * onto).sum(0) < 0, -1.0, 1.0)
    return _affine(image, mask, onto @ np.diag(np.sqrt(want / variance)) @ axes.T, mean, goal)


def mkl(image: Pixels, reference: Pixels, mask: Pixels, theirs: Pixels) -> Pixels:
    (mean, covariance), (goal, goal_covariance) = (
        _moments(_inside(a, m)) for a, m in ((image, mask), (reference, theirs))
    )
    return _affine(image, mask, gaussian.transport(covariance, goal_covariance), mean, goal)


def match_histogram(image: Pixels, reference: Pixels, mask: Pixels, theirs: Pixels) -> Pixels:
    counts = [
        np.stack([cv2.calcHist([a], [c], m, [256], [0, 256]).ravel() for c in range(3)])
        for a, m in ((image, mask), (reference, theirs))
    ]
    tables = quantile_tables(*counts, np.full(3, -0.5), np.full(3, 255.5))
    levels = np.rint((tables[:, 1:] + tables[:, :-1]) / 2).clip(0, 255).astype(np.uint8)
    return cv2.copyTo(cv2.LUT(image, np.ascontiguousarray(levels.T)[None]), mask, image.copy())


def _counts(colors: Float32, bins: int, low: Any, high: Any) -> Any:
    """Returns histograms [3, bins] of [N, 1, 3], including the upper bound."""
    high = np.asarray(high) + 1e-6
    return np.stack(
        [cv2.calcHist([colors], [c], None, [bins], [float(low[c]), float(high[c])]).ravel() for c in range(3)]
    )


def _through(colors: Float32, tables: Any, low: Any, high: Any) -> Float32:
    """Maps colours [N, 1, 3] by tables [3, n], linearly."""
    edges = [np.linspace(low[c], high[c], tables.shape[1]) for c in range(3)]
    return np.stack([np.interp(colors[:, 0, c], edges[c], tables[c]) for c in range(3)], -1).astype(np.float32)[:, None]


def fecker(image: Pixels, reference: Pixels, mask: Pixels, theirs: Pixels) -> Pixels:
    matrix = np.column_stack([spaces.RGB_TO_YCBCR / 255, [0, 0.5, 0.5]])
    ours, goal = (cv2.transform(_inside(a, m), matrix) for a, m in ((image, mask), (reference, theirs)))
    low, high = np.zeros(3), np.ones(3)
    mapped = _through(ours, quantile_tables(*(_counts(x, 256, low, high) for x in (ours, goal)), low, high), low, high)
    back = 255 * np.linalg.inv(spaces.RGB_TO_YCBCR)
    return _put(image, mask, cv2.transform(mapped, np.column_stack([back, back @ [0, -0.5, -0.5]])))


def regrain(image: Pixels, change: Float32, mask: Pixels) -> Float32:
    """Returns the change [N, 1, 3] of the pixels inside, smoothed."""
    x, y, w, h = cv2.boundingRect(mask)
    box = np.s_[y : y + h, x : x + w]
    inside = mask[box] > 0
    planes = np.zeros((2, 3, h, w), np.float32)
    planes[0][:, inside] = image[box][inside].T
    planes[1][:, inside] = change[:, 0].T
    return np.ascontiguousarray(_regrain_level(planes[0], planes[1], inside, 0)[:, inside].T)[:, None]


def _regrain_level(image: Float32, change: Float32, inside: Any, level: int) -> Float32:
    """Runs `pyharmony.reference.regrain` in float32 and planes [3, H, W], without temporary arrays in its sweeps."""
    height, width = inside.shape
    start = change
    if level + 1 < len(SWEEPS) and min(height, width) > SMALLEST:
        share_inside = _halve(inside[None].astype(np.float32))[0]
        valid = share_inside > 0
        per = np.where(valid, 1 / np.where(valid, share_inside, 1), 0).astype(np.float32)
        coarse = _regrain_level(_halve(image) * per, _halve(change) * per, valid, level + 1)
        start = np.where(inside, coarse.repeat(2, 1).repeat(2, 2)[:, :height, :width], 0)

    down, right = inside[1:] & inside[:-1], inside[:, 1:] & inside[:, :-1]
    gradient = np.zeros((height, width), np.float32)
    gradient[:-1] += np.where(down, ((image[:, 1:] - image[:, :-1]) ** 2).sum(0), 0)
    gradient[:, :-1] += np.where(right, ((image[:, :, 1:] - image[:, :, :-1]) ** 2).sum(0), 0)
    gradient = np.sqrt(gradient)
    keep = np.minimum(gradient / 5, 1)
    smooth = 30 * np.float32(0.5**level) / (1 + 10 * gradient)
    vertical = np.where(down, (smooth[1:] + smooth[:-1]) / 2, 0)
    horizontal = np.where(right, (smooth[:, 1:] + smooth[:, :-1]) / 2, 0)
    total = keep.copy()
    total[1:] += vertical
    total[:-1] += vertical
    total[:, 1:] += horizontal
    total[:, :-1] += horizontal
    alone = total == 0
    per_total = np.where(alone, 0, 1 / np.where(alone, 1, total)).astype(np.float32)
    target_change = np.where(alone, change, keep * change * per_total)
    x, y, part = np.array(start, np.float32), np.empty_like(change), np.empty_like(change)
    here, before, after = np.s_[:], np.s_[:-1], np.s_[1:]
    links = (
        (vertical * per_total[1:], (here, after, here), (here, before, here)),
        (vertical * per_total[:-1], (here, before, here), (here, after, here)),
        (horizontal * per_total[:, 1:], (here, here, after), (here, here, before)),
        (horizontal * per_total[:, :-1], (here, here, before), (here, here, after)),
    )
    for _ in range(SWEEPS[level]):
        np.subtract(target_change, x, out=y)
        for weight, at, neighbour in links:
            y[at] += np.multiply(weight, x[neighbour], out=part[at])
        y *= np.float32(0.8)  # without damping a checkerboard would remain
        x += y
    return x


def _halve(x: Float32) -> Float32:
    """Returns the means of 2 x 2 of [C, H, W], zeros beyond the border."""
    x = np.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2)))
    total: Float32 = x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]
    return total * np.float32(0.25)


def idt(image: Pixels, reference: Pixels, mask: Pixels, theirs: Pixels) -> Pixels:
    rng = np.random.default_rng(0)
    before, y = _inside(image, mask) / np.float32(255), _inside(reference, theirs) / np.float32(255)
    x = before
    for turn in range(20):
        rotation = np.eye(3) if turn == 0 else _idt.random_rotation(rng)
        low, high = np.minimum(rotation, 0).sum(1), np.maximum(rotation, 0).sum(1)
        ours, goal = (cv2.transform(colors, rotation) for colors in (x, y))
        counts = (
            _counts(np.clip(colors, low.astype(np.float32), high.astype(np.float32)), 512, low, high)
            for colors in (ours, goal)
        )
        tables = quantile_tables(*counts, low, high)
        x = cv2.transform(_through(ours, tables, low, high), rotation.T)
    return _put(image, mask, 255 * (before + regrain(image, x - before, mask)))


def luminance_temperature(image: Pixels, reference: Pixels, mask: Pixels, theirs: Pixels) -> Pixels:
    ours, goal = (
        cv2.cvtColor(_inside(a, m) / np.float32(255), cv2.COLOR_RGB2Lab)
        for a, m in ((image, mask), (reference, theirs))
    )
    counts = [cv2.calcHist([x], [0], None, [1024], [0.0, 100.0]).ravel() for x in (ours, goal)]
    before, goal_luminance = (temperature._luminances(c) for c in counts)
    shift = goal_luminance - before
    fitted = temperature.fit_tone_curve(before, before + shift * (0.4 / max(0.4, np.abs(shift).max())))
    edges = np.linspace(0, 100, 1025)
    luminance = np.interp(ours[:, 0, 0], edges, 100 * temperature.tone_curve(edges / 100, *fitted))
    (mean, covariance), (goal_mean, goal_covariance) = (_moments(x) for x in (ours, goal))
    ab = gaussian.transport(
        gaussian.floored(covariance[1:, 1:], 7.5), gaussian.floored(goal_covariance[1:, 1:], 7.5), 1e-3
    )
    chroma = (ours[:, 0, 1:] - mean[1:].astype(np.float32)) @ ab.T.astype(np.float32) + goal_mean[1:].astype(np.float32)
    lab = np.column_stack([luminance, chroma]).astype(np.float32)[:, None]
    return _put(image, mask, 255 * cv2.cvtColor(lab, cv2.COLOR_Lab2RGB))


def lut(image: Pixels, table: Float32, mask: Pixels | None = None) -> Pixels:
    """Interpolates tetrahedrally in a lookup table."""
    n = table.shape[0]
    inside = np.ones(image.shape[:2], bool) if mask is None else mask > 0
    t = image[inside].astype(np.float32) * np.float32((n - 1) / 255)
    cell = np.minimum(t.astype(np.int32), n - 2)
    fraction = t - cell
    order = np.argsort(-fraction, axis=1)
    falling = np.take_along_axis(fraction, order, 1)
    steps = np.array([n * n, n, 1], np.int32)
    flat = table.reshape(-1, 3)
    at = cell @ steps
    y = (1 - falling[:, :1]) * flat[at]
    for step in range(3):
        at = at + steps[order[:, step]]
        weight = falling[:, step] - (falling[:, step + 1] if step < 2 else 0)
        y += weight[:, None] * flat[at]
    out = image.copy()
    out[inside] = cv2.convertScaleAbs(y, alpha=255)
    return out


def lut_mix(image: Pixels, luts: Any, mask: Pixels) -> Pixels:
    weights = np.random.default_rng(1).dirichlet(np.ones(len(luts))).astype(np.float32)
    return lut(image, np.tensordot(weights, luts, 1), mask)


def retouch(image: Pixels, mask: Pixels) -> Pixels:
    p = color.Retouching.draw(1)
    height, width = mask.shape
    linear = color.srgb_to_linear(np.arange(256) / 255).astype(np.float32)
    v, u = ((2 * (np.arange(n, dtype=np.float32) + 0.5) / n - 1) for n in (height, width))
    u, v = u[None], v[:, None]
    a, b, c, d, e, f = (np.float32(x) for x in p.light)
    gain = np.exp2((a + b * u + d * u * u) + (c + e * u) * v + f * v * v)
    inside = mask > 0
    lit = (cv2.LUT(image, linear)[inside] * gain[inside][:, None])[:, None]
    y = cv2.transform(lit, _retouch._matrix(p))
    tones = _retouch._tones(p).astype(np.float32) * 255
    return _put(image, mask, np.interp(y, np.linspace(0, 1, len(tones)), tones).astype(np.float32))


def brightness_contrast(image: Pixels, mask: Pixels, brightness: float, contrast: float) -> Pixels:
    mean = float(LUMA @ np.array(cv2.mean(image, mask)[:3]))
    mapped = cv2.convertScaleAbs(
        cv2.max(image.astype(np.float32) * (1 + contrast) + (255 * brightness - contrast * mean), 0)
    )
    return cv2.copyTo(mapped, mask, image.copy())


def shift_temperature(image: Pixels, mired: float, mask: Pixels) -> Pixels:
    return _put(image, mask, 255 * temperature._shift_colors(_inside(image, mask)[:, 0] / 255, mired)[:, None])
