"""The transfers of `pyharmony.color` in OpenCV and NumPy, each as fast as these allow.

image, reference [H, W, 3] uint8 RGB; mask, theirs [H, W] uint8, 0 or 255. What is fitted to a few
numbers (the tone curve, the tables of quantiles) is the package's own NumPy.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pyharmony import color
from pyharmony.color import _gaussian, _idt, _retouch, _spaces, _temperature
from pyharmony.color._histogram import quantile_tables

Pixels = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]

_LMS = np.column_stack([_spaces.RGB_TO_LMS / 255, np.full(3, _spaces.LMS_FLOOR)]).astype(np.float32)
_FROM_LMS = np.linalg.inv(_spaces.RGB_TO_LMS) * 255


def _inside(image: Pixels, mask: Pixels) -> Float32:
    """The colours inside a mask as [N, 1, 3], 0 to 255."""
    return image[mask > 0].astype(np.float32)[:, None]


def _put(image: Pixels, mask: Pixels, colors: Float32) -> Pixels:
    """Colours [N, 1, 3], 0 to 255, into a copy."""
    out = image.copy()
    out[mask > 0] = cv2.convertScaleAbs(cv2.max(colors, 0))[:, 0]
    return out


def _moments(colors: Float32) -> tuple[Any, Any]:
    """Mean and covariance of [N, 1, 3]."""
    flat = colors[:, 0]
    mean = np.array(cv2.mean(colors)[:3])
    apart = flat - mean.astype(np.float32)
    return mean, (apart.T @ apart).astype(np.float64) / len(flat)


def _affine(image: Pixels, mask: Pixels, matrix: Any, before: Any, after: Any) -> Pixels:
    moved = cv2.transform(image, np.column_stack([matrix, after - matrix @ before]))
    return cv2.copyTo(moved, mask, image.copy())


def reinhard(image: Pixels, reference: Pixels, mask: Pixels, theirs: Pixels) -> Pixels:
    logs, wanted = (cv2.log(cv2.transform(_inside(a, m), _LMS)) for a, m in ((image, mask), (reference, theirs)))
    basis = _spaces.LMS_TO_LALPHABETA.astype(np.float32)
    (mean, spread), (goal, goal_spread) = (cv2.meanStdDev(cv2.transform(x, basis)) for x in (logs, wanted))
    matrix = basis.T @ np.diag((goal_spread / spread)[:, 0]) @ basis
    shift = basis.T @ goal[:, 0] - matrix @ (basis.T @ mean[:, 0])
    lms = cv2.exp(cv2.transform(logs, np.column_stack([matrix, shift])))
    return _put(image, mask, cv2.transform(lms, np.column_stack([_FROM_LMS, -_FROM_LMS.sum(1) * _spaces.LMS_FLOOR])))


def xiao_ma(image: Pixels, reference: Pixels, mask: Pixels, theirs: Pixels) -> Pixels:
    (mean, covariance), (goal, wanted) = (_moments(_inside(a, m)) for a, m in ((image, mask), (reference, theirs)))
    (variance, axes), (want, onto) = (_gaussian._principal(c) for c in (covariance, wanted))
    onto = onto * np.where((axes * onto).sum(0) < 0, -1.0, 1.0)
    return _affine(image, mask, onto @ np.diag(np.sqrt(want / variance)) @ axes.T, mean, goal)


def mkl(image: Pixels, reference: Pixels, mask: Pixels, theirs: Pixels) -> Pixels:
    (mean, covariance), (goal, wanted) = (_moments(_inside(a, m)) for a, m in ((image, mask), (reference, theirs)))
    return _affine(image, mask, _gaussian.transport(covariance, wanted), mean, goal)


def match_histogram(image: Pixels, reference: Pixels, mask: Pixels, theirs: Pixels) -> Pixels:
    counts = [
        np.stack([cv2.calcHist([a], [c], m, [256], [0, 256]).ravel() for c in range(3)])
        for a, m in ((image, mask), (reference, theirs))
    ]
    tables = quantile_tables(*counts, np.full(3, -0.5), np.full(3, 255.5))
    levels = np.rint((tables[:, 1:] + tables[:, :-1]) / 2).clip(0, 255).astype(np.uint8)
    return cv2.copyTo(cv2.LUT(image, np.ascontiguousarray(levels.T)[None]), mask, image.copy())


def _counts(colors: Float32, bins: int, low: Any, high: Any) -> Any:
    """Histograms [3, bins] of [N, 1, 3]; the upper bound is made to count."""
    high = np.asarray(high) + 1e-6
    return np.stack(
        [cv2.calcHist([colors], [c], None, [bins], [float(low[c]), float(high[c])]).ravel() for c in range(3)]
    )


def _through(colors: Float32, tables: Any, low: Any, high: Any) -> Float32:
    """Colours [N, 1, 3] through tables [3, n], linearly."""
    edges = [np.linspace(low[c], high[c], tables.shape[1]) for c in range(3)]
    return np.stack([np.interp(colors[:, 0, c], edges[c], tables[c]) for c in range(3)], -1).astype(np.float32)[:, None]


def fecker(image: Pixels, reference: Pixels, mask: Pixels, theirs: Pixels) -> Pixels:
    matrix = np.column_stack([_spaces.RGB_TO_YCBCR / 255, [0, 0.5, 0.5]])
    ours, goal = (cv2.transform(_inside(a, m), matrix) for a, m in ((image, mask), (reference, theirs)))
    low, high = np.zeros(3), np.ones(3)
    moved = _through(ours, quantile_tables(*(_counts(x, 256, low, high) for x in (ours, goal)), low, high), low, high)
    back = 255 * np.linalg.inv(_spaces.RGB_TO_YCBCR)
    return _put(image, mask, cv2.transform(moved, np.column_stack([back, back @ [0, -0.5, -0.5]])))


def idt(image: Pixels, reference: Pixels, mask: Pixels, theirs: Pixels) -> Pixels:
    """The regraining is the package's, which is NumPy."""
    rng = np.random.default_rng(0)
    x, y = _inside(image, mask) / np.float32(255), _inside(reference, theirs) / np.float32(255)
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
    return color.regrain(image, _put(image, mask, 255 * x), mask)


def luminance_temperature(image: Pixels, reference: Pixels, mask: Pixels, theirs: Pixels) -> Pixels:
    ours, goal = (
        cv2.cvtColor(_inside(a, m) / np.float32(255), cv2.COLOR_RGB2Lab)
        for a, m in ((image, mask), (reference, theirs))
    )
    counts = [cv2.calcHist([x], [0], None, [1024], [0.0, 100.0]).ravel() for x in (ours, goal)]
    before, wanted = (_temperature._luminances(c) for c in counts)
    shift = wanted - before
    fitted = _temperature.fit_tone_curve(before, before + shift * (0.4 / max(0.4, np.abs(shift).max())))
    edges = np.linspace(0, 100, 1025)
    luminance = np.interp(ours[:, 0, 0], edges, 100 * _temperature.tone_curve(edges / 100, *fitted))
    (mean, covariance), (goal_mean, goal_covariance) = (_moments(x) for x in (ours, goal))
    ab = _gaussian.transport(
        _gaussian.floored(covariance[1:, 1:], 7.5), _gaussian.floored(goal_covariance[1:, 1:], 7.5), 1e-3
    )
    chroma = (ours[:, 0, 1:] - mean[1:].astype(np.float32)) @ ab.T.astype(np.float32) + goal_mean[1:].astype(np.float32)
    lab = np.column_stack([luminance, chroma]).astype(np.float32)[:, None]
    return _put(image, mask, 255 * cv2.cvtColor(lab, cv2.COLOR_Lab2RGB))


def lut(image: Pixels, table: Float32, mask: Pixels | None = None) -> Pixels:
    """Tetrahedral interpolation."""
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
