"""Partial convolution in float64 NumPy: a convolution of the known pixels, scaled by their share in each window.

Liu et al., "Image Inpainting for Irregular Holes Using Partial Convolutions", ECCV 2018, equations 1 and 2, with the
mask of several channels and the zero padding of Liu et al., "Partial Convolution based Padding", 2018.

x [N, C, H, W]; weight [O, C/g, kh, kw]; mask [N or 1, 1, H, W], or [N or 1, C, H, W] with a plane for each channel. A
window has S values of the mask: kh kw, or C/g kh kw of a mask with a plane for each channel; u is their sum, and
pixels beyond the border count as holes:

    c = min(u, 1)                                  the new mask
    r = S / u c  where u > 0, else 0
    y = act(scale r conv(m x, W) + b c)            act(t) = t where t > 0, else negative_slope t

With m and r constant the gradients are three linear maps, each a derivative of the others:

    conv(x, W)         = r conv(m x, W)
    input_grad(g, W)   = m conv^T(r g, W)
    weight_grad(x, g)  = the sum over windows of (m x) (r g)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Pair = tuple[int, int]


def _taps(x: Float64, kernel: Pair, stride: Pair, dilation: Pair) -> Any:
    """Yields for each tap (i, j) of a window the corresponding view [..., OH, OW] of the padded x."""
    (kh, kw), (sh, sw), (dh, dw) = kernel, stride, dilation
    oh, ow = out_size(x.shape, kernel, stride, (0, 0), dilation)
    for i in range(kh):
        for j in range(kw):
            yield i, j, x[..., i * dh : i * dh + (oh - 1) * sh + 1 : sh, j * dw : j * dw + (ow - 1) * sw + 1 : sw]


def out_size(shape: tuple[int, ...], kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Pair:
    """Returns (OH, OW), the number of windows on [..., H, W]."""
    each = zip(shape[-2:], kernel, stride, padding, dilation)
    oh, ow = ((size + 2 * p - d * (k - 1) - 1) // s + 1 for size, k, s, p, d in each)
    return oh, ow


def _pad(x: Any, padding: Pair) -> Float64:
    return np.pad(np.asarray(x, np.float64), [(0, 0), (0, 0), *((p, p) for p in padding)])


def ratio(
    mask: Any, kernel: Pair, stride: Pair = (1, 1), padding: Pair = (0, 0), dilation: Pair = (1, 1), groups: int = 1
) -> tuple[Float64, Float64]:
    """Returns r and c, [N, 1, OH, OW], or [N, g, OH, OW] for a mask with planes for the channels of g groups."""
    n, c, h, w = np.shape(mask)
    groups = 1 if c == 1 else groups
    m = _pad(np.asarray(mask, np.float64).reshape(n, groups, c // groups, h, w).sum(axis=2), padding)
    u = sum(tap for _, _, tap in _taps(m, kernel, stride, dilation))
    size = kernel[0] * kernel[1] * (c // groups)
    new_mask = np.minimum(u, 1)
    return np.divide(size * new_mask, u, out=np.zeros_like(u), where=u > 0), new_mask


def _window(window: dict[str, Pair]) -> tuple[Pair, Pair, Pair]:
    """Returns stride, padding and dilation."""
    return window.get("stride", (1, 1)), window.get("padding", (0, 0)), window.get("dilation", (1, 1))


def _by_channel(x: Float64, channels: int) -> Float64:
    """Returns [N, g, OH, OW] repeated for each of the channels."""
    return np.repeat(x, channels // x.shape[1], axis=1)


def conv(x: Any, weight: Any, mask: Any, *, groups: int = 1, **window: Pair) -> Float64:
    """Returns r conv(m x, W)."""
    weight = np.asarray(weight, np.float64)
    (o, each, *_), kernel = weight.shape, weight.shape[2:]
    r, _ = ratio(mask, kernel, groups=groups, **window)
    stride, padding, dilation = _window(window)
    padded = _pad(np.asarray(x, np.float64) * mask, padding)
    y: Any = 0.0
    for i, j, tap in _taps(padded, kernel, stride, dilation):
        n, _, oh, ow = tap.shape
        parts = tap.reshape(n, groups, each, oh, ow)
        taps = weight[:, :, i, j].reshape(groups, o // groups, each)
        y = y + np.einsum("ngchw,goc->ngohw", parts, taps).reshape(n, o, oh, ow)
    return y * _by_channel(r, o)


def input_grad(g: Any, weight: Any, mask: Any, shape: tuple[int, ...], *, groups: int = 1, **window: Pair) -> Float64:
    """Returns m conv^T(r g, W), of x's shape."""
    weight = np.asarray(weight, np.float64)
    (o, each, *_), kernel = weight.shape, weight.shape[2:]
    r, _ = ratio(mask, kernel, groups=groups, **window)
    stride, (ph, pw), dilation = _window(window)
    n, c, h, w = shape
    h_rows = (np.asarray(g, np.float64) * _by_channel(r, o)).reshape(n, groups, o // groups, *r.shape[2:])
    dx = np.zeros((n, c, h + 2 * ph, w + 2 * pw))
    for i, j, tap in _taps(dx, kernel, stride, dilation):
        taps = weight[:, :, i, j].reshape(groups, o // groups, each)
        tap += np.einsum("ngohw,goc->ngchw", h_rows, taps).reshape(tap.shape)
    return dx[:, :, ph : ph + h, pw : pw + w] * mask


def weight_grad(x: Any, g: Any, mask: Any, shape: tuple[int, ...], *, groups: int = 1, **window: Pair) -> Float64:
    """Returns the sum over windows of (m x) (r g), of the weight's shape."""
    (o, each, *_), kernel = shape, (shape[2], shape[3])
    r, _ = ratio(mask, kernel, groups=groups, **window)
    stride, padding, dilation = _window(window)
    padded = _pad(np.asarray(x, np.float64) * mask, padding)
    dw = np.zeros(shape)
    h_rows = np.asarray(g, np.float64) * _by_channel(r, o)
    for i, j, tap in _taps(padded, kernel, stride, dilation):
        n, _, oh, ow = tap.shape
        parts = tap.reshape(n, groups, each, oh, ow)
        dw[:, :, i, j] = np.einsum("ngchw,ngohw->goc", parts, h_rows.reshape(n, groups, o // groups, oh, ow)).reshape(
            o, each
        )
    return dw


def partial_conv2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    mask: Any = None,
    *,
    groups: int = 1,
    scale: float = 1.0,
    negative_slope: float = 1.0,
    **window: Pair,
) -> tuple[Float64, Float64]:
    """Returns y [N, O, OH, OW] and the new mask c; window is a dict of stride, padding and dilation."""
    mask = np.ones((1, 1, *np.shape(x)[2:])) if mask is None else np.asarray(mask, np.float64)
    y = scale * conv(x, weight, mask, groups=groups, **window)
    _, new_mask = ratio(mask, np.shape(weight)[2:], groups=groups, **window)
    if bias is not None:
        y = y + np.asarray(bias, np.float64)[:, None, None] * _by_channel(new_mask, y.shape[1])
    return np.where(y > 0, y, negative_slope * y), new_mask
