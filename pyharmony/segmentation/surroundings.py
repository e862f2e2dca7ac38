"""Surroundings: how high a head would be at each place of a picture and what is there, and what a thing is, how high.

A small network on the features of EfficientNet-Lite0 in the weights `clicks-imagenet`, fitted by `tools/scale.py`, and
the rest of that published network, which classifies. They run in NumPy; `_heights.txt` has the heights of things.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import _shipped
from .._arrays import Float32, Float64, Pixels
from .._header import arrays_of, damage
from .._images.levels import shares_of
from .._images.region import bounding_box
from .._images.sizes import resized
from ..ops.convolution import convolution, enlarged, linear
from ..ops.layers import Conv, conv_of, shipped
from . import _clicks

__all__ = ["HEAD", "KINDS", "UNKNOWN_THING", "Surroundings", "Thing", "sampled", "surroundings_of", "thing_in"]

#: The name of the weights, and that of those whose features they use.
WEIGHTS, _FEATURED = "scale", "clicks-imagenet"
#: The kinds of surfaces.
KINDS = ("ground", "floor", "table", "water", "sky", "wall", "thing")
#: The letters of the surfaces on which a thing stands in `_heights.txt`.
_SURFACES_BY_LETTER = {"g": ("ground", "floor"), "t": ("table",), "w": ("water",), "a": ()}
#: The height of a head, in metres.
_HEAD_METRES = 0.23
#: The side of the view of a thing that is classified, in pixels, and its margin, in sides of the thing.
_THING_SIDE, _MARGIN = 224, 0.1
#: The least likelihood of the class of a thing: of 272 things of train 92 in 100 are above it; the mean error of their
#: heights, by the class that they have in the data, is 0.14 octaves (all: 0.19), the median 0.
_MIN_CLASS_LIKELIHOOD = 0.1
#: The height of a head in a picture of one colour, as a share of its height.
_PLAIN_HEAD_SHARE = 0.32
#: The mean probability of sky at the lower border above which a picture is a backdrop, and how much its blue may be
#: above its red.
_MIN_BACKDROP_SKY, _MAX_BLUE_EXCESS = 0.5, 0.1
#: The probability of sky or water above which a place is not on the ground.
_MIN_AIR_LIKELIHOOD = 0.6
#: The largest distance of a standardised feature from its mean, in deviations.
_MAX_DEVIATION = 6.0


class Surroundings(NamedTuple):
    """The surfaces, and the heights of heads, at each of 16 x 16 places of a picture."""

    heads: Float32  # log2 of the height of the head of somebody whose feet are there, in heights of the image, [16, 16]
    kinds: Float32  # the probabilities of `KINDS`, [16, 16, 7]

    def head_at(self, x: Float64, y: Float64) -> Float64:
        """Returns the heights of heads [N], in heights of the image, above feet at places in sides of the image."""
        return np.asarray(np.exp2(sampled(self.heads[..., None], x, y)[:, 0]))

    def share_at(self, x: Float64, y: Float64, kinds: tuple[str, ...]) -> Float64:
        """Returns the probabilities [N] that places, in sides of the image, show one of some kinds of surfaces."""
        return sampled(self.kinds[..., [KINDS.index(kind) for kind in kinds]], x, y).sum(1)

    def water_and_sky_at(self, x: float, y: float) -> tuple[float, float]:
        """Returns the probabilities of water and of sky at a place, in sides of the image."""
        water, sky = (float(self.share_at(np.array([x]), np.array([y]), (kind,))[0]) for kind in ("water", "sky"))
        return water, sky

    def is_above_ground(self, x: float, y: float) -> bool:
        """Returns whether a place, in sides of the image, is in the sky or on water."""
        return sum(self.water_and_sky_at(x, y)) > _MIN_AIR_LIKELIHOOD


class Thing(NamedTuple):
    """The class of a thing, its height, and where it can stand."""

    name: str
    heads: float  # its height in heights of a head; 0 if it is not known, or the thing flies at any distance
    surfaces: tuple[str, ...]  # the kinds of surfaces on which it stands; none if it flies


#: A person's head, which stands as people do, and a thing that is not known.
HEAD, UNKNOWN_THING = Thing("head", 1.0, ("ground", "floor")), Thing("", 0.0, ("ground", "floor", "table"))


class _ScaleNetworks(NamedTuple):
    """The networks of the file."""

    blocks: tuple[_clicks.Inverted, ...]  # those of EfficientNet-Lite0 beyond the features
    whole: Conv
    tensors: Mapping[str, Float32]


def surroundings_of(picture: Pixels) -> Surroundings:
    """Returns the surroundings in a picture [H, W, 3] uint8; one of one colour is a floor, seen from near.

    So is any where PYHARMONY_OPEN_DATA=1 leaves the weights out.
    """
    is_known = not (_shipped.why_left_out(WEIGHTS) or (picture == picture[0, 0]).all())
    return _surroundings_of(picture.tobytes(), picture.shape) if is_known else _floor()


def _floor() -> Surroundings:
    floor = np.eye(len(KINDS), dtype=np.float32)[KINDS.index("floor")]
    heads = np.full((16, 16), math.log2(_PLAIN_HEAD_SHARE), np.float32)
    return Surroundings(heads, np.tile(floor, (16, 16, 1)))


@functools.lru_cache(maxsize=1)  # a composite asks for those of its background for the place and for the shadow
def _surroundings_of(content: bytes, shape: tuple[int, ...]) -> Surroundings:
    picture = np.frombuffer(content, np.uint8).reshape(shape)
    network, own = _clicks.network(_FEATURED), shipped(WEIGHTS, _parsed).tensors
    view = shares_of(resized(picture, (network.size, network.size)))
    *_, fine, coarse = network.features(view)
    side = fine.shape[0]
    x, y = (v.ravel() for v in np.meshgrid(*[(np.arange(side) + 0.5) / side] * 2))
    aspect, nothing = np.full_like(x, math.log2(picture.shape[1] / picture.shape[0])), np.zeros_like(x)
    place = np.stack([y, y * y, aspect, nothing, nothing, np.abs(x - 0.5)], 1)
    pooled = np.broadcast_to(coarse.mean((0, 1)), (len(x), coarse.shape[2]))
    near = enlarged(coarse).reshape(len(x), -1), fine.reshape(len(x), -1)
    z = (np.concatenate([place, pooled, *near], 1).astype(np.float32) - own["mean"]) / own["spread"]
    place, felt = z[:, : place.shape[1]], z[:, place.shape[1] :].clip(-_MAX_DEVIATION, _MAX_DEVIATION)
    hidden = linear(felt, own["first.weight"], own["first.bias"], slope=0)
    hidden = linear(np.concatenate([hidden, place], 1), own["second.weight"], own["second.bias"], slope=0)
    out = linear(hidden, own["last.weight"], own["last.bias"]) + linear(place, own["place.weight"], own["place.bias"])
    out = out.reshape(side, side, -1)
    kinds, sky, floor = _softmax(out[..., 2:]), KINDS.index("sky"), KINDS.index("floor")
    # Sky down to the lower border that is not blue is more likely the backdrop of a studio.
    red, _, blue = view.mean((0, 1))
    if kinds[-1, :, sky].mean() > _MIN_BACKDROP_SKY and blue - red < _MAX_BLUE_EXCESS:
        kinds[..., floor], kinds[..., sky] = kinds[..., floor] + kinds[..., sky], 0
    return Surroundings(out[..., 1], kinds)  # out[..., 0] is that of a head whose middle is there


def thing_in(picture: Pixels, mask: Pixels) -> Thing:
    """Returns what the object under a mask [H, W] uint8 of a picture [H, W, 3] uint8 is, or `UNKNOWN_THING`.

    It is unknown, too, where PYHARMONY_OPEN_DATA=1 leaves the weights out.
    """
    if _shipped.why_left_out(WEIGHTS):
        return UNKNOWN_THING
    features, network = _clicks.network(_FEATURED), shipped(WEIGHTS, _parsed)
    box = bounding_box(mask >= 128)
    half = (0.5 + _MARGIN) * max(box.shape)
    middle = (box.y0 + box.y1) / 2, (box.x0 + box.x1) / 2
    # The object in its photo, and alone on grey: the mean of both is right more often than either.
    rows, columns = (np.rint(at + np.linspace(-half, half, 2 * _THING_SIDE)).astype(int) for at in middle)
    inside = (rows >= 0) & (rows < len(mask)), (columns >= 0) & (columns < mask.shape[1])
    rows, columns = rows.clip(0, len(mask) - 1), columns.clip(0, mask.shape[1] - 1)
    around = picture[np.ix_(rows, columns)]
    alone = np.where((mask[np.ix_(rows, columns)] >= 128)[..., None] & np.outer(*inside)[..., None], around, 128)
    logits = 0.0
    both = np.concatenate([around, alone.astype(np.uint8)], 1)
    for view in np.split(shares_of(resized(both, (2 * _THING_SIDE, _THING_SIDE))), 2, 1):
        x = features.features(np.ascontiguousarray(view))[-1]
        for block in network.blocks:
            x = _clicks.inverted(x, block)
        x = convolution(x, *network.whole, slope=0, high=6).mean((0, 1))[None]
        logits = logits + 0.5 * linear(x, network.tensors["classes.weight"], network.tensors["classes.bias"])[0]
    likely, things = _softmax(np.asarray(logits)), _things()
    sums = np.array([likely[numbers].sum() for _, numbers in things])
    if sums.max() < _MIN_CLASS_LIKELIHOOD:
        return UNKNOWN_THING
    thing = things[int(sums.argmax())][0]
    # The median over all classes errs less than the height of the likeliest one.
    order = np.argsort([one.heads for one, _ in things])
    middle_one = order[int(np.searchsorted(sums[order].cumsum(), 0.5 * sums.sum()))]
    return thing._replace(heads=things[middle_one][0].heads) if thing.heads else thing


@functools.cache
def _things() -> list[tuple[Thing, list[int]]]:
    """Returns the things of `_heights.txt`, without their sources, and the numbers of their classes."""
    things = []
    for line in Path(__file__).with_name("_heights.txt").read_text("utf-8").splitlines():
        if not line.startswith("#"):
            metres, letters, classes, name = line.partition(" [")[0].split(" ", 3)
            ends = [[int(end) for end in part.split("-")] for part in classes.split(",")]
            numbers = [number for first, *last in ends for number in range(first, (last or [first])[0] + 1)]
            surfaces = tuple(kind for letter in letters for kind in _SURFACES_BY_LETTER[letter])
            things.append((Thing(name, float(metres) / _HEAD_METRES if surfaces else 0.0, surfaces), numbers))
    return things


def _parsed(data: bytes, path: str) -> _ScaleNetworks:
    """Returns the networks in the bytes of a safetensors file."""
    _, state = arrays_of(data, path, WEIGHTS)
    with damage(path):
        for name in [key.removesuffix(".steps") for key in state if key.endswith(".steps")]:
            steps = state.pop(f"{name}.steps")  # of bytes around 128, for each row
            state[name] = (state[name].astype(np.float32) - 128) * steps.reshape(-1, *[1] * (state[name].ndim - 1))
        blocks: list[_clicks.Inverted] = []
        while (name := f"blocks.{len(blocks)}") + ".each.weight" in state:
            blocks.append(_clicks.inverted_of(state, name))
        upright = {key: np.ascontiguousarray(x.T) for key, x in state.items() if x.ndim <= 2}
        return _ScaleNetworks(tuple(blocks), conv_of(state, "whole"), upright)


def sampled(planes: Float32, x: Float64, y: Float64) -> Float64:
    """Returns the values [N, C] of planes [h, w, C] at places in their sides, between the middles of cells."""
    high, wide, _ = planes.shape
    column, row = np.clip(x * wide - 0.5, 0, wide - 1), np.clip(y * high - 0.5, 0, high - 1)
    left, top = np.minimum(column.astype(int), wide - 2), np.minimum(row.astype(int), high - 2)
    across, down = (column - left)[:, None], (row - top)[:, None]
    upper, lower = (planes[top + i, left] * (1 - across) + planes[top + i, left + 1] * across for i in range(2))
    return np.asarray(upper * (1 - down) + lower * down, np.float64)


def _softmax(logits: Float32) -> Float32:
    """Returns the probabilities along the last axis."""
    likely = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(likely / likely.sum(-1, keepdims=True), np.float32)
