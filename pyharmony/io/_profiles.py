"""Colour profiles: reads and compares them, and converts pixels between them.

8-bit colours are converted by Little CMS (Pillow's ImageCms). 16-bit and float colours are converted here, for profiles
of three primaries and three curves: sRGB, Display P3, Adobe RGB, ProPhoto RGB and similar ones. ICC.1:2022 (profile
version 4.4), sections 8.3, 10.6 (curveType) and 10.18 (parametricCurveType); IEC 61966-2-1 (sRGB).
"""

from __future__ import annotations

import functools
import io
import logging
import struct
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from .. import _install
from .._arrays import VALUE_RANGE, NumpyArray
from .._native import get_num_threads
from ..errors import ArgumentError
from ..reference.luma import LUMA
from ._picture import Picture

logger = logging.getLogger("pyharmony")

T = TypeVar("T")
Result = TypeVar("Result")

_MAX_PROFILE = 1 << 25
#: The values of a strip, the unit of work of a thread; and the pixels of one whose planes fit into the cache.
_STRIP = 1 << 19
_SMALL_STRIP = 1 << 15
#: The values of a strip if each creates its own transform.
_LARGE_STRIP = 1 << 22
_PERCEPTUAL = 0  # the perceptual rendering intent of ICC
_NO_SHORTCUT = 0x0100  # a flag of Little CMS; without it 16-bit colours use a coarse grid, with errors of 4 levels

#: sRGB's primaries in the profile connection space: from its chromaticities, taken from D65 to D50 by the
#: Bradford transform (ICC.1:2022, annex E). White is D50.
_SRGB_MATRIX = np.array([[0.43604125, 0.38511282, 0.14304593], [0.22248440, 0.71690514, 0.06061046],
                         [0.01392019, 0.09706724, 0.71391257]])  # fmt: skip
D50 = (0.9642, 1.0, 0.8249)


class ProfileError(ValueError):
    """An error for bytes that are not an ICC profile, or not of a supported kind."""


@dataclass(frozen=True, eq=False)
class Curve:
    """A tone curve from device values to linear light, both 0 to 1.

    It is either parametric, y = (a x + b)^g + e for x >= d and c x + f below, or a table of equal steps.
    Outside of 0 to 1 a parametric curve is mirrored at 0; a table is extrapolated along its last step.
    """

    g: float = 1.0
    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    d: float = -1.0
    e: float = 0.0
    f: float = 0.0
    table: NumpyArray | None = None
    data: bytes = b""

    @functools.cached_property
    def _inverse_table(self) -> NumpyArray:
        """The values of x at equal steps of sqrt(y): the square root concentrates the steps in the shadows."""
        y = np.maximum.accumulate(np.asarray(self.table))
        x = np.linspace(0.0, 1.0, len(y))
        rises = np.concatenate(([True], np.diff(y) > 0))
        return np.interp(np.linspace(0.0, 1.0, 1 << 16) ** 2, y[rises], x[rises])

    @functools.cached_property
    def _is_line(self) -> bool:
        return self.table is None and self.g == self.a == 1 and self.b == self.e == 0 and self.d < 0

    def linear(self, x: NumpyArray) -> NumpyArray:
        """Returns linear light for device values."""
        if self._is_line:
            return x
        if self.table is not None:
            return _interpolate(self.table, x * (len(self.table) - 1))
        kind = x.dtype.type
        z = np.abs(x)
        y = z * kind(self.a)
        y += kind(self.b)
        np.maximum(y, 0, out=y)
        np.power(y, kind(self.g), out=y)
        y += kind(self.e)
        if self.d > 0:
            np.copyto(y, z * kind(self.c) + kind(self.f), where=z < kind(self.d))
        return np.copysign(y, x)

    def device(self, y: NumpyArray) -> NumpyArray:
        """Returns device values for linear light."""
        if self._is_line:
            return y
        if self.table is not None:
            x = _interpolate(self._inverse_table, np.sqrt(np.maximum(y, 0)) * 65535)
            over = y > 1
            if over.any():
                step = float(self.table[-1] - self.table[-2]) * (len(self.table) - 1)
                x = np.where(over, 1 + (y - 1) / max(step, 1e-3), x)
            return x.astype(y.dtype, copy=False)
        kind = y.dtype.type
        z = np.abs(y)
        x = z - kind(self.e)
        np.maximum(x, 0, out=x)
        np.power(x, kind(1 / self.g), out=x)
        x -= kind(self.b)
        x *= kind(1 / self.a)
        if self.d > 0:
            line = (z - kind(self.f)) * kind(1 / self.c if self.c else 0)
            np.copyto(x, line, where=z < kind(self.c * self.d + self.f))
        return np.copysign(x, y)


def _interpolate(table: NumpyArray, at: NumpyArray) -> NumpyArray:
    """Returns the table at fractional indices, extrapolated along its first and last step."""
    table = table.astype(at.dtype, copy=False)
    low = np.clip(np.nan_to_num(at), 0, len(table) - 2).astype(np.int32)
    part = at - low
    below = table[low]
    return below + part * (table[low + 1] - below)


#: The tone curve of sRGB, IEC 61966-2-1.
SRGB_CURVE = Curve(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


@dataclass(frozen=True, eq=False)
class Space:
    """The contents of a profile.

    Attributes:
        kind: 'RGB ', 'GRAY', 'CMYK' or another signature of ICC.
        curves: three for a matrix profile, one for a grey profile, none for one with colour tables.
        matrix: [3, 3] from linear light to XYZ (D50), for a matrix profile.
        profile: the bytes; None for sRGB, the default of images without a profile.
    """

    kind: str
    curves: tuple[Curve, ...] = ()
    matrix: NumpyArray = field(default_factory=lambda: np.eye(3))
    profile: bytes | None = None


_SRGB = Space("RGB ", (SRGB_CURVE,) * 3, _SRGB_MATRIX)
_SRGB_GREY = Space("GRAY", (SRGB_CURVE,))


def _tags(profile: bytes) -> dict[bytes, bytes]:
    if len(profile) < 132 or profile[36:40] != b"acsp":
        raise ProfileError("not an ICC profile")
    size, count = struct.unpack_from(">I", profile)[0], struct.unpack_from(">I", profile, 128)[0]
    if not 132 <= size <= len(profile) or size > _MAX_PROFILE:
        raise ProfileError(f"its header claims {size} bytes, the profile has {len(profile)}")
    if count > 256 or 132 + 12 * count > size:
        raise ProfileError(f"its header claims {count} tags")
    tags = {}
    for i in range(count):
        name, at, length = struct.unpack_from(">4sII", profile, 132 + 12 * i)
        if at + length > size:
            raise ProfileError(f"its tag {name.decode('latin-1')!r} is outside the profile")
        tags[name] = profile[at : at + length]
    return tags


def _curve(tag: bytes) -> Curve:
    kind = tag[:4]
    if kind == b"curv" and len(tag) >= 12:
        count = struct.unpack_from(">I", tag, 8)[0]
        if count > 65536 or len(tag) < 12 + 2 * count:
            raise ProfileError("a curve is cut off")
        values = np.frombuffer(tag, ">u2", count, 12)
        if count == 0:
            return Curve(data=tag)
        if count == 1:
            if not values[0]:
                raise ProfileError("a curve with gamma 0")
            return Curve(float(values[0]) / 256, data=tag)
        return Curve(table=values / 65535.0, data=tag)
    if kind == b"para" and len(tag) >= 12:
        form = struct.unpack_from(">H", tag, 8)[0]
        count = (1, 3, 4, 5, 7)[form] if form < 5 else 0
        if not count or len(tag) < 12 + 4 * count:
            raise ProfileError("a parametric curve of an unknown form")
        p = [value / 65536 for value in struct.unpack_from(f">{count}i", tag, 12)]
        if p[0] <= 0 or (form and p[1] <= 0):
            raise ProfileError("a parametric curve that is not increasing")
        if form == 0:
            return Curve(p[0], data=tag)
        g, a, b = p[:3]
        if form < 3:
            e = p[3] if form == 2 else 0.0
            return Curve(g, a, b, 0.0, -b / a, e, e, data=tag)
        c, d = p[3:5]
        e, f = p[5:] if form == 4 else (0.0, 0.0)
        return Curve(g, a, b, c, d, e, f, data=tag)
    raise ProfileError("a curve of an unknown type")


@functools.lru_cache(maxsize=16)
def space_of(profile: bytes) -> Space:
    """Reads a profile."""
    tags = _tags(profile)
    kind = profile[16:20].decode("latin-1")
    if profile[20:24] not in (b"XYZ ", b"Lab "):
        raise ProfileError("it is a device link")
    if kind == "GRAY" and b"kTRC" in tags:
        return Space(kind, (_curve(tags[b"kTRC"]),), profile=profile)
    if b"A2B0" in tags or profile[20:24] != b"XYZ " or kind not in ("GRAY", "RGB "):
        return Space(kind, profile=profile)
    if kind == "GRAY":
        raise ProfileError("it has no curve")
    columns, curves = [], []
    for channel in (b"r", b"g", b"b"):
        primary, curve = tags.get(channel + b"XYZ", b""), tags.get(channel + b"TRC", b"")
        if len(primary) < 20 or primary[:4] != b"XYZ ":
            raise ProfileError("it has no primaries")
        columns.append([value / 65536 for value in struct.unpack_from(">3i", primary, 8)])
        curves.append(_curve(curve))
    matrix = np.array(columns).T
    if not abs(np.linalg.det(matrix)) > 1e-6:
        raise ProfileError("its primaries are linearly dependent")
    return Space(kind, tuple(curves), matrix, profile)


def usable(profile: bytes | None, channels: int, name: str, *, grey_too: bool = False) -> bytes | None:
    """Returns the profile if it fits pixels with this many channels; otherwise None, with a warning.

    grey_too: whether the pixels may have been grey; a profile of grey is then converted to RGB.
    """
    if not profile:
        return None
    try:
        kind = space_of(profile).kind
    except ProfileError as error:
        logger.warning("%s: the colour profile is damaged (%s) and was ignored; sRGB is assumed", name, error)
        return None
    if kind == "RGB " or (kind == "GRAY" and channels == 1):
        return profile
    if kind == "GRAY" and grey_too:
        return rgb_of_grey(profile)
    logger.warning("%s: a %s profile does not fit its pixels and was ignored; sRGB is assumed", name, kind.strip())
    return None


def xyz_tag(*values: float) -> bytes:
    """Returns an XYZType of numbers."""
    return b"XYZ \0\0\0\0" + struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


@functools.lru_cache(maxsize=16)
def rgb_of_grey(profile: bytes) -> bytes:
    """Returns an RGB profile with sRGB's primaries and the curve of a grey one: R = G = B look like the grey value."""
    tag = space_of(profile).curves[0].data
    text = b"RGB of a grey profile"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text + bytes(1 + 78),
        b"cprt": b"text\0\0\0\0No copyright\0",
        b"wtpt": xyz_tag(*D50),
        **{name + b"XYZ": xyz_tag(*_SRGB_MATRIX[:, i]) for i, name in enumerate((b"r", b"g", b"b"))},
        **{name + b"TRC": tag for name in (b"r", b"g", b"b")},
    }
    return assembled(tags, profile[8:12], b"RGB ")


def assembled(tags: dict[bytes, bytes], version: bytes, kind: bytes) -> bytes:
    """Returns the profile of a display with these tags; equal ones are stored once."""
    table, body, at, offsets = b"", b"", 132 + 12 * len(tags), {}
    for name, data in tags.items():
        if data not in offsets:
            offsets[data] = at + len(body)
            body += data + bytes(-len(data) % 4)
        table += struct.pack(">4sII", name, offsets[data], len(data))
    head = struct.pack(">I4s4s4s4s4s", at + len(body), b"", version, b"mntr", kind, b"XYZ ")
    head += struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + xyz_tag(*D50)[8:]
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


# ---- Pixels ----


def in_threads(work: Callable[[T], Result], parts: Sequence[T]) -> list[Result]:
    """Returns the results of work on each part, with the number of threads of `get_num_threads`."""
    threads = min(get_num_threads(), len(parts))
    if threads < 2:
        return [work(part) for part in parts]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, parts))


def _strips(height: int, width: int, work: Callable[[slice], None], size: int = _STRIP) -> None:
    rows = max(1, size // max(width, 1))
    slices = [slice(y, min(y + rows, height)) for y in range(0, height, rows)]
    in_threads(work, slices)


def _work_dtype(*dtypes: Any) -> Any:
    return np.float64 if any(dtype == np.float64 for dtype in dtypes) else np.float32


def _quantised(x: NumpyArray, out: NumpyArray) -> None:
    """Writes 0 to 1 into out: integers clipped and rounded half to even, floats unchanged."""
    if out.dtype.kind == "f":
        out[...] = x
        return
    x = np.clip(x, 0, 1)
    x *= x.dtype.type(VALUE_RANGE[out.dtype.name])
    out[...] = np.rint(x)


def to_depth(pixels: NumpyArray, dtype: Any) -> NumpyArray:
    """Returns pixels [H, W, C] in another dtype, scaled by the ranges; the same array if it has that dtype."""
    dtype = np.dtype(dtype)
    if pixels.dtype == dtype:
        return pixels
    out = np.empty(pixels.shape, dtype)
    kinds = (pixels.dtype.name, dtype.name)
    work = _work_dtype(pixels.dtype, dtype)

    def strip(rows: slice) -> None:
        if kinds == ("uint8", "uint16"):
            np.multiply(pixels[rows], np.uint16(257), out=out[rows], dtype=np.uint16)
        elif kinds == ("uint16", "uint8"):
            out[rows] = (pixels[rows].astype(np.uint32) + 128) // 257  # 257 is odd, so no value is half-way
        elif pixels.dtype.kind == dtype.kind:
            out[rows] = pixels[rows]
        else:
            x = pixels[rows].astype(work)
            x /= x.dtype.type(VALUE_RANGE[kinds[0]])
            _quantised(x, out[rows])

    _strips(pixels.shape[0], pixels.shape[1] * pixels.shape[2], strip)
    return out


#: The steps of the square root of linear light in the tables for integers; rounding to a step moves a
#: 16-bit value by a fifth of a level at most.
_ROOT_STEPS = 1 << 18


def _device_table(curve: Curve, dtype: Any) -> NumpyArray:
    """Returns device values of dtype at equal steps of the square root of linear light."""
    values = np.empty(_ROOT_STEPS + 1, dtype)
    _quantised(curve.device(np.linspace(0.0, 1.0, _ROOT_STEPS + 1) ** 2), values)
    return values


def _once(curves: tuple[Curve, ...], make: Callable[[Curve], NumpyArray]) -> list[NumpyArray]:
    """Returns make of each curve; it is called once for equal curves."""
    results: dict[Any, NumpyArray] = {}
    return [results[key] if (key := curve.data or id(curve)) in results else results.setdefault(key, make(curve))
            for curve in curves]  # fmt: skip


def _through_curves(pixels: NumpyArray, source: Space, target: Space, dtype: Any) -> NumpyArray:
    """Converts device values [H, W, C] from source to target, in dtype. Both are matrix or grey spaces."""
    channels = range(pixels.shape[2])
    out = np.empty(pixels.shape, dtype)
    work = _work_dtype(pixels.dtype, dtype)
    matrix = (np.linalg.inv(target.matrix) @ source.matrix).astype(work)
    levels = {"uint8": 256, "uint16": 65536}.get(pixels.dtype.name)
    tables: list[NumpyArray] = []
    if levels:
        ramp = np.linspace(0.0, 1.0, levels)
        tables = _once(source.curves, lambda curve: curve.linear(ramp).astype(work))
    codes = _once(target.curves, lambda curve: _device_table(curve, dtype)) if out.dtype.kind == "u" else []

    def strip(rows: slice) -> None:
        x, y = pixels[rows], out[rows]
        if levels:
            light = [np.take(tables[c], x[..., c], mode="clip") for c in channels]
        else:
            light = [source.curves[c].linear(x[..., c].astype(work)) for c in channels]
        if len(light) == 3:
            light = [_mixed(light, matrix[c]) for c in channels]
        for c in channels:
            if not codes:
                y[..., c] = target.curves[c].device(light[c])
                continue
            root = np.clip(light[c], 0, 1)
            np.sqrt(root, out=root)
            root *= root.dtype.type(_ROOT_STEPS)
            root += root.dtype.type(0.5)
            y[..., c] = np.take(codes[c], root.astype(np.int32), mode="clip")

    _strips(pixels.shape[0], pixels.shape[1], strip, _SMALL_STRIP)
    return out


def _mixed(planes: list[NumpyArray], weights: NumpyArray) -> NumpyArray:
    """Returns the weighted sum of three planes."""
    mixed = planes[0] * weights[0]
    mixed += planes[1] * weights[1]
    mixed += planes[2] * weights[2]
    return mixed


@functools.lru_cache(maxsize=16)
def _grid_difference(source: Space, target: Space) -> float:
    """Returns the largest change of a device value by the conversion from source to target, on a grid."""
    steps = np.linspace(0.0, 1.0, 9 if len(source.curves) == 3 else 65)
    if len(source.curves) == 1:
        grid = steps[None, :, None]
    else:
        cube = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(1, -1, 3)
        ramp = np.repeat(np.linspace(0.0, 1.0, 65)[None, :, None], 3, -1)
        grid = np.concatenate((cube, ramp), 1)
    converted = np.clip(_through_curves(grid, source, target, np.float64), 0, 1)
    return float(np.abs(converted - grid).max())


def _same(source: Space, target: Space, dtype: Any) -> bool:
    """Returns whether two profiles are equivalent: equal bytes, or a difference below a rounding at 8 bit.

    At 16 bit and in floats the limit is a quarter of an 8-bit level, by which the usual profiles of sRGB differ.
    """
    if source.profile == target.profile:
        return True
    if not source.curves or len(source.curves) != len(target.curves):
        return False
    return _grid_difference(source, target) < (0.4 / 255 if np.dtype(dtype) == np.uint8 else 1e-3)


@functools.lru_cache(maxsize=16)
def _transform(source: bytes | None, target: bytes | None, mode: str, out: str) -> Any:
    from PIL import ImageCms

    def opened(profile: bytes | None) -> Any:
        return ImageCms.createProfile("sRGB") if profile is None else ImageCms.ImageCmsProfile(io.BytesIO(profile))

    return ImageCms.buildTransform(opened(source), opened(target), mode, out, ImageCms.Intent.PERCEPTUAL)


def through_lcms(pixels: NumpyArray, source: bytes | None, target: bytes | None) -> NumpyArray:
    """Converts 8-bit RGB [H, W, 3] from one profile to another, by Little CMS."""
    from PIL import Image, ImageCms

    out = np.empty(pixels.shape, np.uint8)
    try:
        transform = _transform(source, target, "RGB", "RGB")

        def strip(rows: slice) -> None:
            part = np.ascontiguousarray(pixels[rows])
            image = Image.frombuffer("RGB", (part.shape[1], part.shape[0]), part, "raw", "RGB", 0, 1)
            out[rows] = np.asarray(transform.apply(image))

        _strips(pixels.shape[0], pixels.shape[1] * 3, strip)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        raise ProfileError(str(error)) from error
    return out


def _luma(rgb: NumpyArray) -> NumpyArray:
    """Returns grey [H, W, 1] for RGB [H, W, 3], in the same dtype."""
    out = np.empty((*rgb.shape[:2], 1), rgb.dtype)
    weights = np.array(LUMA, _work_dtype(rgb.dtype))

    def strip(rows: slice) -> None:
        grey = _mixed([rgb[rows][..., c] for c in range(3)], weights)[..., None]
        out[rows] = np.rint(grey) if rgb.dtype.kind == "u" else grey

    _strips(rgb.shape[0], rgb.shape[1], strip, _SMALL_STRIP)
    return out


def rgb_profile(profile: bytes) -> bytes:
    """Returns the profile of pixels after their grey was converted to R = G = B."""
    return profile if space_of(profile).kind == "RGB " else rgb_of_grey(profile)


def _space(picture: Picture, colors: int) -> Space:
    if picture.profile is None:
        return _SRGB_GREY if colors == 1 else _SRGB
    try:
        space = space_of(picture.profile)
    except ProfileError:
        return _SRGB_GREY if colors == 1 else _SRGB
    if colors == 1 and space.kind == "RGB ":  # R = G = B: the tone curve of green is used for all
        return Space("GRAY", space.curves[1:2], profile=space.profile)
    if colors == 3 and space.kind == "GRAY":
        return Space("RGB ", space.curves * 3, _SRGB_MATRIX, rgb_of_grey(picture.profile))
    return space


def convert(picture: Picture, like: Picture, name: str = "image") -> Picture:
    """Converts picture to the colours, channels and dtype of like: see `pyharmony.io.convert`."""
    pixels, dtype = picture.pixels, like.pixels.dtype
    channels, target_colors = pixels.shape[2], min(like.pixels.shape[2], 3)
    colors = min(channels, 3)
    source, target = _space(picture, colors), _space(like, colors)
    if colors == 1 and target_colors == 3 and source.curves and not target.curves:
        profile = None if source.profile is None else rgb_profile(source.profile)
        expanded = replace(picture, pixels=np.repeat(pixels, 3, axis=2), profile=profile)
        return convert(expanded, like, name)
    profile = like.profile
    if colors == target_colors and pixels.dtype == dtype and _same(source, target, dtype):
        return picture if picture.profile == profile else replace(picture, profile=profile)
    if pixels.dtype.kind == "f" and dtype.kind != "f" and np.isnan(pixels).any():
        y, x, c = (int(i) for i in np.argwhere(np.isnan(pixels))[0])
        raise ArgumentError(f"{name}: nan at pixel (y={y}, x={x}), channel {c}, which {dtype.name} cannot represent")
    color = _color(pixels[..., :3] if channels == 4 else pixels, source, target, dtype, name)
    if colors == 1 and target_colors == 3:
        color = np.repeat(color, 3, axis=2)
    elif colors == 3 and target_colors == 1:
        color = _luma(color)
    if channels == 4:
        with_alpha = np.empty((*color.shape[:2], 4), dtype)  # grey becomes three equal channels
        with_alpha[..., :-1] = color
        with_alpha[..., -1:] = to_depth(pixels[..., 3:], dtype)
        color = with_alpha
    # No converted value is certain to mean that there is no data.
    return replace(picture, pixels=color, profile=profile, description=replace(picture.description, nodata=None))


def _color(color: NumpyArray, source: Space, target: Space, dtype: Any, name: str) -> NumpyArray:
    if _same(source, target, dtype):
        return to_depth(color, dtype)
    curved = bool(source.curves) and len(source.curves) == len(target.curves) == color.shape[2]
    eight = color.dtype == np.uint8 or dtype == np.uint8
    if curved and not (color.shape[2] == 3 and color.dtype == dtype == np.uint8):
        return _through_curves(color, source, target, dtype)
    try:
        if not source.kind == target.kind == "RGB ":
            raise ProfileError("its profile has colour tables, and grey is converted by curves only")
        if eight:
            color = through_lcms(to_depth(color, np.uint8), source.profile, target.profile)
        else:
            color = _through_tables(color, source.profile, target.profile)
    except ProfileError as error:
        logger.warning("%s: its colours were not converted: %s", name, error)
    return to_depth(color, dtype)


def _through_tables(color: NumpyArray, source: bytes | None, target: bytes | None) -> NumpyArray:
    """Converts uint16 or float RGB [H, W, 3] by profiles with colour tables, by Little CMS in imagecodecs.

    Floats are float32, clipped to 0 to 1, the domain of the tables.
    """
    try:
        import imagecodecs
    except ImportError:
        raise ProfileError(
            f"a profile with colour tables is applied beyond 8 bit by imagecodecs only: {_install.hint('io')}"
        ) from None
    from PIL import ImageCms

    def data(profile: bytes | None) -> bytes:
        return profile or bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())

    out = np.empty(color.shape, np.uint16 if color.dtype.kind == "u" else np.float32)
    profiles = data(source), data(target)

    def strip(rows: slice) -> None:
        part = np.ascontiguousarray(color[rows], dtype=out.dtype)
        if out.dtype.kind == "f":
            part = np.clip(part, 0, 1)
        converted = imagecodecs.cms_transform(
            part, *profiles, colorspace="rgb", outcolorspace="rgb", intent=_PERCEPTUAL, flags=_NO_SHORTCUT
        )
        out[rows] = converted

    try:
        _strips(color.shape[0], color.shape[1] * 3, strip, _LARGE_STRIP)
    except (RuntimeError, ValueError, TypeError) as error:
        raise ProfileError(str(error)) from error
    return out
