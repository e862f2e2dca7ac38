"""The change of light from a subject's own photograph to the one that it is put into, by evidence of both.

A small network estimates the light of a photograph from statistics of its colours: by how much it is darker, bluer or
greener than photographs usually are. What both estimates differ by is the change; faces, the subject's own and those
in the background, tell more of it where there are some. The network was trained on photographs whose exposure and
white balance were changed by a known amount (`tools/light.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .._arrays import Float32, Float64, NumpyArray, Rectangle
from .._header import arrays_of, damage
from .._images.region import as_float
from .._images.sizes import resized
from ..color import linear_to_srgb, srgb_to_linear
from ..errors import WeightsError
from ..ops.layers import shipped
from ._maps import ColorMap, table_of

__all__ = ["Light", "View", "change", "facts_of", "map_of", "remaining", "view_of"]

WEIGHTS = "light"  # the name of the weights
VIEW_SIDE = 96  # the sides, in pixels, to which photographs are reduced
_FLOOR = 0.001  # linear light below this is noise
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
_QUANTILES = np.array([0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99])
#: The layers of the network, and the most deviations from the mean of a statistic that it is given.
_LAYERS, _MOST_DEVIATIONS = 3, 5.0
#: The shares of a photograph's pixels that count as its white, its black, and its grey.
_WHITE_SHARE, _BLACK_SHARE, _GREY_SHARE = 0.05, 0.1, 0.2
#: The levels in sRGB beyond which a channel is clipped.
_CLIPPED = 0.015, 0.985

#: From stops, red and blue to stops, blueness and magenta: light differs in blueness, while red or blue alone, or
#: green and magenta, are as often the content's.
_AXES = np.array([[1.0, 0.0, 0.0], [0.0, -0.5, 0.5], [0.0, 0.5, 0.5]])
#: Along these the difference in the same light, the largest change, and how steeply it rises up to the difference: none
#: of 204 people of train and val changes by more than 8 levels in the photograph most like its own.
_SCENE_DEAD, _SCENE_MOST, _SCENE_SLOPE = np.array([0.65, 0.16, 0.25]), np.array([1.5, 0.4, 0.2]), 4.0
#: The first two for faces, of stops, red and blue as below: skin, and shade, differ by more than light does.
_FACE_DEAD, _FACE_MOST = np.array([1.0, 0.25, 0.25]), np.array([2.0, 0.5, 0.8])
#: The share of a change that faces tell, and that of the scenes' beside them.
_FACE_SHARE, _BESIDE_SHARE = np.array([0.5, 0.3, 0.4]), np.array([0.6, 0.6, 0.6])
_CONFIRMED = 2.0  # the most that faces tell, relative to what the scenes do
#: The most stops by which a subject is brightened, which shows its noise.
_BRIGHTER = 1.0
#: The least light, and the least ratio of the channels, of an object's whites, their least number, and by how much they
#: may be bluer or warmer than those around it.
_WHITE, _WHITE_RATIO, _LEAST_WHITES, _WHITE_MARGIN = 0.6, 0.6, 12, 0.05
_LEAST_CHANGE = 0.12  # changes below, in stops, are none: nobody sees them

# The ellipse of a face in the rectangle of a head: its half axes and its middle's height.
_FACE = (0.36, 0.36, 0.56)
_LEAST_HEAD = 14.0  # the smallest width of a head, in pixels, and the width at which its pixels are counted
_FACE_SIDE = 48
_LEAST_SKIN = 12  # the smallest number of pixels of skin in a face, ...
_SKIN_SHARE = 0.4  # ... and their smallest share of its pixels
#: The least ratios of red to green and of green to blue in skin, dark or light, in warm or cold light.
_SKIN_RATIOS = 1.2, 0.75


class Light(NamedTuple):
    """A change of light.

    Attributes:
        stops: of its level.
        red, blue: log2 of the change of red and blue relative to green.
        evidence: 'scenes' or 'faces and scenes'.
        white: the blueness of the whites of the new photograph, half of log2 of blue relative to red.
    """

    stops: float
    red: float
    blue: float
    evidence: str
    white: float = 0.0


class View(NamedTuple):
    """The light of a photograph, by its colours and its faces."""

    #: By how many stops it is brighter, and red and blue stronger, than usual, as a whole and in the lower
    #: half, [2, 3]; 0 if unknown.
    scene: Float64
    faces: Float64  # [N, 3], the mean stops, red and blue of each face's skin
    white: float = 0.0  # the blueness of its whites


def view_of(image: NumpyArray, heads: Sequence[Rectangle], width: float, *, is_scene: bool = True) -> View:
    """Returns what a photograph tells of its light.

    image: [H, W, 3] of any dtype of images.
    heads: the rectangles of the heads whose faces are compared, in a photograph of this width.
    is_scene: whether there is a scene; the colours beside a cut-out are arbitrary.
    """
    ratio = image.shape[1] / width
    faces = [_face(image, [v * ratio for v in head]) for head in heads]
    measured = np.array([face for face in faces if face], np.float64).reshape(-1, 3)
    if not is_scene:
        return View(np.zeros((2, 3)), measured)
    small = as_float(resized(image, (VIEW_SIDE, VIEW_SIDE))).clip(0, 1)
    estimates = np.stack([_estimated(facts_of(part)) for part in (small, small[VIEW_SIDE // 2 :])])
    pixels, luma = srgb_to_linear(small.astype(np.float64)).reshape(-1, 3), (small @ _LUMINANCE).ravel()
    return View(estimates, measured, _blueness(pixels[luma >= np.quantile(luma, 1 - _WHITE_SHARE)].mean(0)))


def facts_of(image: NumpyArray) -> Float32:
    """Returns 89 statistics of the colours of a photograph, [h, w, 3] in [0, 1], in sRGB.

    Quantiles of red, green, blue and luma, of log2 of red and blue relative to green, and of the chroma; means of log2
    of linear light; the colours of edges, white, black and grey, and of the upper, lower and middle part; and the
    shares of clipped pixels.
    """
    linear = srgb_to_linear(image.astype(np.float64))
    pixels, light = image.reshape(-1, 3).astype(np.float64), linear.reshape(-1, 3)
    luma, most, least = pixels @ _LUMINANCE, pixels.max(1), pixels.min(1)
    logs, chroma = np.log2(light + _FLOOR), most - least
    values = np.column_stack([pixels, luma, logs[:, [0, 2]] - logs[:, 1:2], chroma])
    edges = sum(np.abs(np.diff(linear, axis=axis)).mean((0, 1)) for axis in (0, 1))
    height, width = image.shape[:2]
    parts = (
        edges,
        light[luma >= np.quantile(luma, 1 - _WHITE_SHARE)].mean(0),
        light[luma <= np.quantile(luma, _BLACK_SHARE)].mean(0),
        light[chroma <= np.quantile(chroma, _GREY_SHARE)].mean(0),
        linear[: height // 3].mean((0, 1)),
        linear[2 * height // 3 :].mean((0, 1)),
        linear[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4].mean((0, 1)),
    )
    colours = [_relative(np.log2(part + _FLOOR)) for part in parts]
    clipped = (most > _CLIPPED[1]).mean(), (least < _CLIPPED[0]).mean()
    quantiles = np.quantile(values, _QUANTILES, axis=0).T.ravel()
    return np.concatenate([quantiles, logs.mean(0), *colours, clipped]).astype(np.float32)


def _relative(logs: Float64) -> Float64:
    """Returns log2 of red and blue relative to green, and of green."""
    return np.array([logs[0] - logs[1], logs[2] - logs[1], logs[1]])


def _estimated(facts: Float32) -> Float64:
    """Returns the estimated light of a photograph, see `View.scene`."""
    arrays = shipped(WEIGHTS, _parsed, f"the light of photographs needs the weights {WEIGHTS!r}")
    x = ((facts - arrays["mean"]) / arrays["deviation"]).clip(-_MOST_DEVIATIONS, _MOST_DEVIATIONS).astype(np.float64)
    for number in range(_LAYERS):
        x = arrays[f"{number}.weight"] @ (x / (1 + np.exp(-x)) if number else x) + arrays[f"{number}.bias"]
    if not np.isfinite(x).all():
        raise WeightsError("the light of a photograph is NaN or infinite; its weights are damaged")
    return x


def _parsed(data: bytes, path: str) -> Mapping[str, Any]:
    """Returns the arrays in the bytes of a safetensors file by name."""
    arrays = arrays_of(data, path, WEIGHTS)[1]
    with damage(path):
        shapes = [arrays[f"{number}.weight"].shape + arrays[f"{number}.bias"].shape for number in range(_LAYERS)]
        if any(shape[0] != shape[2] for shape in shapes) or arrays["mean"].shape != arrays["deviation"].shape:
            raise ValueError(f"layers of shapes {shapes}")
    return arrays


def _face(image: NumpyArray, head: Sequence[float]) -> list[float] | None:
    """Returns mean stops, red and blue of the skin of a face; None if too little of it is visible."""
    x, y, wide, high = head
    step = max(1, int(wide / _FACE_SIDE))
    v, u = (np.arange(max(0, int(at)), int(at + side) + 1, step) for at, side in ((y, high), (x, wide)))
    v, u = v[v < image.shape[0], None], u[u < image.shape[1]]
    across, down, middle = _FACE
    inside = ((u + 0.5 - x - wide / 2) / (across * wide)) ** 2 + (
        (v + 0.5 - y - middle * high) / (down * high)
    ) ** 2 <= 1
    face = srgb_to_linear(as_float(image[v, u]).clip(0, 1)[inside])
    skin = face[(face[:, 0] > _SKIN_RATIOS[0] * face[:, 1]) & (face[:, 1] > _SKIN_RATIOS[1] * face[:, 2])]
    return None if wide < _LEAST_HEAD or len(skin) < max(_LEAST_SKIN, _SKIN_SHARE * len(face)) else look(skin)


def look(colours: Float64) -> list[float]:
    """Returns the mean stops of linear colours [N, 3], and red and blue of their mean."""
    return [float(_stops(colours).mean()), *_ratios(colours.mean(0))]


def _stops(colours: Float64) -> Float64:
    return np.log2(np.maximum(colours @ _LUMINANCE, _FLOOR))


def _ratios(colour: Float64) -> tuple[float, float]:
    """Returns log2 of red and blue relative to green."""
    red, green, blue = np.log2(np.maximum(colour, _FLOOR))
    return float(red - green), float(blue - green)


def change(own: View, there: View) -> Light | None:
    """Returns the change of light from a subject's own photograph to its new one; None if nothing tells one."""
    whole, lower = (there.scene - own.scene if own.scene.any() else np.zeros((2, 3))) @ _AXES.T
    # The colours of the sea or of the sky are not the light where a subject stands: the lower half has to agree.
    differ = np.where(whole * lower > 0, np.sign(whole) * np.minimum(np.abs(whole), np.abs(lower)), 0.0)
    differ[0] = whole[0]
    scenes = np.linalg.inv(_AXES) @ differ
    along = _beyond(differ, _SCENE_DEAD, _SCENE_MOST, _SCENE_SLOPE)
    shift, evidence = np.linalg.inv(_AXES) @ along, "scenes"
    if len(own.faces) and len(there.faces):
        # A face fits between others; one that differs in a scene like its own has other skin, or is in the shade.
        face = own.faces.mean(0)
        faces = _beyond(np.clip(face, there.faces.min(0), there.faces.max(0)) - face, _FACE_DEAD, _FACE_MOST)
        confirmed = np.sign(faces) * np.minimum(np.abs(faces), _CONFIRMED * np.abs(scenes)) * (faces * scenes > 0)
        shift, evidence = _FACE_SHARE * confirmed + _BESIDE_SHARE * shift, "faces and scenes"
    stops, red, blue = (round(float(v), 4) for v in (min(shift[0], _BRIGHTER), *shift[1:]))
    light = Light(stops, red, blue, evidence, round(there.white, 4))
    return light if _matters(light) else None


def _beyond(shift: Float64, dead: Float64, most: Float64, slope: float = 1.0) -> Float64:
    return np.sign(shift) * np.minimum(slope * (np.abs(shift) - dead), np.abs(shift)).clip(0, most)


def _matters(light: Light) -> bool:
    return max(map(abs, light[:3])) >= _LEAST_CHANGE


def remaining(light: Light, before: NumpyArray, after: NumpyArray) -> Light | None:
    """Returns what another method's change leaves to be done, never the sum; None if that is nothing.

    before, after: colours [N, 3] of an object in [0, 1], in sRGB.
    """
    first, second = (srgb_to_linear(colours.clip(0, 1)) for colours in (before, after))
    if not len(first):
        return None
    ratios = np.subtract(_ratios(second.mean(0)), _ratios(first.mean(0)))
    whole, done = _AXES @ light[:3], _AXES @ [(_stops(second) - _stops(first)).mean(), *ratios]
    # Nothing is left where it did as much or more; what it did the other way counts as nothing.
    rest = np.where(whole * done > 0, np.sign(whole) * (np.abs(whole) - np.abs(done)).clip(0), whole)
    rest[1] = _within_whites(rest[1], second, light.white)
    stops, red, blue = (float(v) for v in np.linalg.inv(_AXES) @ rest)
    result = light._replace(stops=stops, red=red, blue=blue)
    return result if _matters(result) else None


def _within_whites(bluer: float, linear: Float64, white: float) -> float:
    """Returns a change of blueness until an object's whites are as blue or warm as those around it, or neutral."""
    top, least = linear.max(1), linear.min(1)
    whites = linear[(top > _WHITE) & (least > _WHITE_RATIO * top)]
    if len(whites) < _LEAST_WHITES:
        return bluer
    own = _blueness(whites.mean(0))
    least_blue, bluest = min(white, 0.0) - _WHITE_MARGIN - own, max(white, 0.0) + _WHITE_MARGIN - own
    return float(np.clip(bluer, min(least_blue, 0.0), max(bluest, 0.0)))


def _blueness(colour: Float64) -> float:
    red, blue = _ratios(colour)
    return (blue - red) / 2


def map_of(light: Light, colours: NumpyArray) -> ColorMap:
    """Returns a change of light as a map, whose tint keeps the luminance of an object's mean colour.

    colours: [N, 3] of the object in [0, 1], in sRGB.
    """
    mean = srgb_to_linear(colours.clip(0, 1)).mean(0) + _FLOOR
    gains = 2.0 ** np.array([light.red, 0.0, light.blue])
    gains *= 2.0**light.stops * (mean @ _LUMINANCE) / (mean * gains @ _LUMINANCE)

    def lit(values: Float64) -> Float64:
        linear = srgb_to_linear(values)
        top, result = linear.max(1, keepdims=True), linear * gains
        more = np.maximum(result.max(1, keepdims=True) / np.maximum(top, 1e-9), 1.0)
        # A shoulder keeps white where it is.
        return linear_to_srgb(result / (1 + (more - 1) * top))

    return table_of(lit)
