"""The modes in which a layer's colours mix with those below it: Compositing and Blending Level 1, W3C, section 10.1."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._arrays import NumpyArray

__all__ = ["mixed"]


def mixed(source: NumpyArray, below: NumpyArray, under: Any, mode: str, white: float) -> NumpyArray:
    """Returns the colours (1 - a) s + a B(b, s) of a layer over a backdrop, whose mode has the function B.

    source: the colours s [h, w, 3] of the layer, from 0 to white, as floats.
    below: the colours a b of the backdrop, premultiplied.
    under: the alpha a of the backdrop, [h, w, 1] from 0 to 1, or 1.
    """
    if mode == "normal":
        return source
    product = source * below / white
    alone, full = source * (1 - under), source * under
    if mode == "multiply":
        return alone + product
    if mode == "screen":
        return source + below - product
    if mode == "darken":
        return alone + np.minimum(below, full)
    if mode == "lighten":
        return alone + np.maximum(below, full)
    if mode == "overlay":
        light = 2 * below - white * under
        return alone + np.where(light <= 0, 2 * product, light + full - source * light / white)
    backdrop = np.divide(below, under * white, out=np.zeros_like(below), where=np.asarray(under) > 0)
    return alone + under * white * _soft_light(backdrop, source / white)


def _soft_light(below: NumpyArray, source: NumpyArray) -> NumpyArray:
    """Returns colours under a soft light; both from 0 to 1."""
    lifted = np.where(below <= 0.25, ((16 * below - 12) * below + 4) * below, np.sqrt(np.maximum(below, 0)))
    range_ = np.where(source <= 0.5, below * (1 - below), lifted - below)
    return below + (2 * source - 1) * range_
