"""Colours that a file specifies by other means than an ICC profile, and equivalent profiles.

Sources: ITU-T H.273 (07/2024), tables 2 and 3, for code points of primaries and transfer functions; Portable Network
Graphics (Third Edition), W3C 2025, sections 4.3 and 11.3.2; EXIF 2.32 (CIPA DC-008), ColorSpace, and DCF 2.0,
InteroperabilityIndex, for Adobe RGB (1998); ISO/IEC 23008-12 and 14496-12 for the boxes of AVIF and HEIC;
ICC.1:2022, annex E, for the Bradford transform.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._arrays import NumpyArray
from . import _profiles
from ._picture import Refusal

_D65 = (0.3127, 0.3290)  # the chromaticity x, y of illuminant D65
_C = (0.310, 0.316)  # the chromaticity x, y of illuminant C
_DCI = (0.314, 0.351)  # the chromaticity x, y of the white of digital cinema
#: The chromaticities of red, green, blue and white, by their code points in H.273.
_PRIMARIES = {
    1: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), _D65),  # BT.709 and sRGB
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), _C),
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), _C),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),  # BT.2020
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _DCI),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),  # Display P3
    22: ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), _D65),
}
_ADOBE_PRIMARIES = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), _D65)

#: Tone curves in the form of ICC's parametricCurveType: the form, then g, a, b, c, d.
_SRGB_CURVE = (3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_SMPTE_240 = (3, 1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 1 / 4, 4 * 0.0228)
_TRANSFERS = {4: (0, 2.2), 5: (0, 2.8), 7: _SMPTE_240, 8: (0, 1.0), 13: _SRGB_CURVE}
#: The transfer functions of cameras: BT.709, BT.601, BT.2020 and relatives. They are not inverted: browsers show AVIF
#: and HEIC by sRGB's curve, and PNG by that of displays, BT.1886.
_CAMERAS = (1, 6, 11, 12, 14, 15)
_DISPLAY = (0, 2.4)
_UNSPECIFIED = 2
#: The transfer functions of high dynamic range, which cannot be converted without tone mapping.
_HIGH_RANGE = {16: "PQ", 18: "HLG", 9: "logarithmic", 10: "logarithmic"}
_NAMES = {(1, 13): "sRGB", (12, 13): "Display P3"}

Chromaticities = tuple[tuple[float, float], ...]


class UnknownColors(ValueError):
    """An error for unusable tags; the text has their contents."""


@dataclass(frozen=True)
class Colors:
    """Chromaticities of red, green, blue and white, and a tone curve in the form of ICC's parametricCurveType."""

    primaries: Chromaticities
    curve: tuple[float, ...]
    name: str


SRGB = Colors(_PRIMARIES[1], _SRGB_CURVE, "sRGB")
#: Adobe RGB (1998): its gamma is 2 + 51/256.
ADOBE_RGB = Colors(_ADOBE_PRIMARIES, (0, 563 / 256), "Compatible with Adobe RGB (1998)")


def of_code_points(primaries: int, transfer: int, has_profile: bool = False, *, in_png: bool = False) -> Colors | None:
    """Returns the colours of two code points of H.273, as browsers show them; None if both are unspecified.

    has_profile: whether there is also an ICC profile, which takes precedence.
    in_png: whether they are from a PNG, where browsers ignore both if one is unspecified.
    """
    if transfer in _HIGH_RANGE:
        raise Refusal(
            f"is an HDR image ({_HIGH_RANGE[transfer]}), which is not accepted: its range exceeds white; export it "
            "for standard range (SDR)"
        )
    if has_profile or primaries == transfer == _UNSPECIFIED:
        return None
    curve = _TRANSFERS.get(transfer)
    if in_png:
        if transfer in _CAMERAS and transfer != 12:  # browsers do not know 12
            curve = _DISPLAY
    else:
        primaries = 1 if primaries == _UNSPECIFIED else primaries
        if transfer == _UNSPECIFIED or transfer in _CAMERAS:
            transfer, curve = 13, _SRGB_CURVE
    if primaries not in _PRIMARIES or curve is None:
        raise UnknownColors(f"primaries {primaries} and transfer function {transfer} of H.273")
    name = _NAMES.get((primaries, transfer), f"H.273 primaries {primaries}, transfer function {transfer}")
    return Colors(_PRIMARIES[primaries], curve, name)


def of_gamma(gamma: float | None, chromaticities: Chromaticities | None) -> Colors | None:
    """Returns the colours of PNG's gAMA and cHRM, as browsers show them; None without gAMA.

    A missing cHRM is that of sRGB. A gamma within 5 % of 1/2.2 alone is written by encoders for sRGB, and counts as it.
    """
    if chromaticities is not None:
        _matrix(chromaticities)
    if gamma is None:
        return None
    if not 0.1 <= gamma <= 10:
        raise UnknownColors(f"a gamma of {gamma:g}")
    if chromaticities is None and abs(2.2 * gamma - 1) < 0.05:
        return SRGB
    return Colors(chromaticities or SRGB.primaries, (0, 1 / gamma), f"PNG gamma {gamma:.5f}")


def of_pil(info: Mapping[Any, Any]) -> Colors | None:
    """Returns the colours in the info of a PIL image, from a PNG or, by pillow-heif, a HEIC file.

    None if it has an ICC profile, too.
    """
    has_profile = bool(info.get("icc_profile"))
    if isinstance(nclx := info.get("nclx_profile"), Mapping):
        keys = ("color_primaries", "transfer_characteristics")
        primaries, transfer = (int(nclx.get(key, _UNSPECIFIED)) for key in keys)
        return of_code_points(primaries, transfer, has_profile)
    if has_profile:
        return None
    if "srgb" in info:
        return SRGB
    gamma, flat = info.get("gamma"), info.get("chromaticity")
    try:
        points = None if flat is None else tuple((float(flat[i]), float(flat[i + 1])) for i in (2, 4, 6, 0))
        exponent = None if gamma is None else float(gamma)
    except (TypeError, ValueError, IndexError):
        return None
    return of_gamma(exponent, points)


def _matrix(primaries: Chromaticities) -> tuple[NumpyArray, NumpyArray]:
    """Returns the matrix from linear RGB to XYZ of D50, including the Bradford transform."""
    if not all(0 <= x <= 1 and 0 < y <= 1 and x + y <= 1.01 for x, y in primaries):
        raise UnknownColors(f"chromaticities {primaries}")
    xyz = np.array([(x, y, 1 - x - y) for x, y in primaries])
    columns, white = xyz[:3].T, xyz[3] / primaries[3][1]
    bradford = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    scale = bradford @ np.array(_profiles.D50) / (bradford @ white)
    if abs(np.linalg.det(columns)) < 1e-4 or not (scale.min() > 0.1 and scale.max() < 10):
        raise UnknownColors(f"chromaticities {primaries}")
    adapted = np.linalg.inv(bradford) @ np.diag(scale) @ bradford
    matrix = adapted @ (columns * np.linalg.solve(columns, white))
    if not abs(matrix).max() < 4 or not abs(np.linalg.det(matrix)) > 1e-4:
        raise UnknownColors(f"chromaticities {primaries}")
    return matrix, adapted


@functools.lru_cache(maxsize=64)
def profile(colors: Colors, grey: bool) -> bytes:
    """Returns an ICC profile (version 4.3) of the colours, or of their tone curve alone for grey pixels."""
    matrix, adapted = _matrix(colors.primaries)
    form, *numbers = colors.curve
    curve = b"para\0\0\0\0" + struct.pack(">HH", int(form), 0)
    curve += struct.pack(f">{len(numbers)}i", *(round(number * 65536) for number in numbers))
    tags = {
        b"desc": _text(colors.name),
        b"cprt": _text("No copyright"),
        b"wtpt": _profiles.xyz_tag(*_profiles.D50),
        b"chad": b"sf32" + _profiles.xyz_tag(*adapted.ravel())[4:],
    }
    if grey:
        return _profiles.assembled({**tags, b"kTRC": curve}, b"\4\x30\0\0", b"GRAY")
    for i, channel in enumerate((b"r", b"g", b"b")):
        tags[channel + b"XYZ"] = _profiles.xyz_tag(*matrix[:, i])
        tags[channel + b"TRC"] = curve
    return _profiles.assembled(tags, b"\4\x30\0\0", b"RGB ")


def _text(text: str) -> bytes:
    """Returns a multiLocalizedUnicodeType of one text in English."""
    data = text.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(data), 28) + data


# ---- The boxes of AVIF and HEIC ----

_MAX_META = 1 << 22  # the largest size, in bytes, of the box that describes the images of a file
_MAX_BOXES = 1 << 14  # the largest number of boxes in a box
_AUXILIARY = {b"urn:com:apple:photo:2020:aux:hdrgainmap": "gain map", b":auxiliary:depth": "depth map",
              b"urn:mpeg:hevc:2015:auxid:2": "depth map"}  # fmt: skip


@dataclass
class Heif:
    """The metadata in the boxes of a HEIF or AVIF file: code points, or None, and the other images in it."""

    code_points: tuple[int, int] | None = None
    others: tuple[str, ...] = ()


def of_boxes(read: Callable[[int, int], bytes]) -> Heif:
    """Reads the `meta` box of a file: the nclx property of its primary image, and auxiliary images of known kinds."""
    at = 0
    for _ in range(64):
        head = read(at, 16).ljust(16, b"\0")
        size, kind = struct.unpack(">I4s", head[:8])
        start = 8
        if size == 1:
            size, start = struct.unpack(">Q", head[8:])[0], 16
        if size == 0:  # it extends to the end of the file
            size = start + _MAX_META
        if kind == b"meta" and size <= start + _MAX_META:
            return _of_meta(read(at + start, size - start)[4:])
        if size < start:
            break
        at += size
    return Heif()


def _boxes(data: bytes, at: int = 0) -> Iterator[tuple[bytes, bytes]]:
    for _ in range(_MAX_BOXES):
        if at + 8 > len(data):
            return
        size, kind = struct.unpack_from(">I4s", data, at)
        if size < 8 or at + size > len(data):
            return
        yield kind, data[at + 8 : at + size]
        at += size


def _of_meta(meta: bytes) -> Heif:
    parts = dict(_boxes(meta))
    others = [what for mark, what in _AUXILIARY.items() if mark in parts.get(b"iprp", b"")]
    if b"tmap" in parts.get(b"iinf", b""):
        others.append("gain map")
    heif = Heif(others=tuple(dict.fromkeys(others)))
    try:
        pitm = parts[b"pitm"]
        primary = struct.unpack_from(">I" if pitm[0] else ">H", pitm, 4)[0]
        properties = list(_boxes(next(data for kind, data in _boxes(parts[b"iprp"]) if kind == b"ipco")))
        for kind, data in _boxes(parts[b"iprp"]):
            if kind == b"ipma" and (indices := _associated(data, primary)):
                mine = (properties[i - 1] for i in indices if 0 < i <= len(properties))
                heif.code_points = next(
                    (struct.unpack_from(">HH", body, 4) for name, body in mine
                     if name == b"colr" and body[:4] == b"nclx" and len(body) >= 8), None,
                )  # fmt: skip
                break
    except (KeyError, StopIteration, struct.error, IndexError):
        pass  # A damaged box is ignored; the decoder reports a missing image.
    return heif


def _associated(ipma: bytes, item: int) -> list[int]:
    """Returns the numbers of an item's properties, counted from 1."""
    wide, long_id = ipma[3] & 1, ipma[0] >= 1
    count, at = struct.unpack_from(">I", ipma, 4)[0], 8
    for _ in range(count):
        number = struct.unpack_from(">I" if long_id else ">H", ipma, at)[0]
        at += 4 if long_id else 2
        links = ipma[at]
        at += 1
        if number == item:
            indices = struct.unpack_from(f">{links}{'H' if wide else 'B'}", ipma, at)
            return [index & (0x7FFF if wide else 0x7F) for index in indices]
        at += links * (2 if wide else 1)
    return []
