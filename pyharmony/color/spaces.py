"""Colour spaces: float64 functions of arrays [..., 3], 1 for white. They clip only if their docstring says so."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .. import _checks
from .._arrays import Float64, is_torch
from ..errors import ShapeError
from ..reference.luma import LUMA

__all__ = [
    "LMS_TO_LALPHABETA",
    "MIRED_RANGE",
    "RGB_TO_LMS",
    "RGB_TO_XYZ",
    "XYZ_TO_RGB",
    "lab_to_rgb",
    "lalphabeta_to_rgb",
    "linear_to_srgb",
    "rgb_to_lab",
    "rgb_to_lalphabeta",
    "rgb_to_xyz",
    "rgb_to_ycbcr",
    "shift_mired",
    "shifted_light",
    "srgb_to_linear",
    "uv_to_mired",
    "xy_to_uv",
    "xyy_to_xyz",
    "xyz_to_rgb",
    "xyz_to_xyy",
    "ycbcr_to_rgb",
]


#: The matrix from linear sRGB to XYZ (IEC 61966-2-1), where Y of white is 1.
RGB_TO_XYZ = np.array(
    [
        [0.4123907992659595, 0.357584339383878, 0.1804807884018343],
        [0.21263900587151036, 0.715168678767756, 0.07219231536073371],
        [0.01933081871559185, 0.11919477979462599, 0.9505321522496606],
    ]
)
XYZ_TO_RGB = np.linalg.inv(RGB_TO_XYZ)
#: The XYZ of sRGB's white, D65.
WHITE = RGB_TO_XYZ.sum(1)

#: The matrix from f(XYZ / white) to L*, a*, b*, without the -16 of L*.
F_TO_LAB = np.array([[0.0, 116.0, 0.0], [500.0, -500.0, 0.0], [0.0, 200.0, -200.0]])

#: The matrix from RGB to the responses of the cones (Reinhard et al. 2001, eq. 4).
RGB_TO_LMS = np.array([[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]])
#: The matrix from their logarithms to l, alpha, beta (Ruderman et al. 1998; Reinhard et al. 2001, eq. 6).
LMS_TO_LALPHABETA = np.diag([1 / np.sqrt(3), 1 / np.sqrt(6), 1 / np.sqrt(2)]) @ np.array(
    [[1.0, 1.0, 1.0], [1.0, 1.0, -2.0], [1.0, -1.0, 0.0]]
)
#: The value added to the responses before the logarithm, so that it is finite for black.
LMS_FLOOR = 1 / 255

#: The matrix from RGB to full-range YCbCr of Rec. 601 (JFIF), without the 1/2 of Cb and Cr.
RGB_TO_YCBCR = np.stack(
    [LUMA, (np.eye(3)[2] - LUMA) / (2 * (1 - LUMA[2])), (np.eye(3)[0] - LUMA) / (2 * (1 - LUMA[0]))]
)

#: The mired, 10⁶ / K, of 20,000 K and 1,500 K, to which correlated colour temperatures are clipped.
MIRED_RANGE = (50.0, 1e6 / 1500)
#: The number of colours that are compared with the isotherms at once: each needs 63 numbers.
_COLORS_PER_PART = 4096


def _colors(x: Any, name: str) -> Float64:
    """Returns colours [..., 3] as float64."""
    a = _checks.floats(x, name)
    if a.shape[-1:] != (3,):
        first = "; channels come last: x.movedim(-3, -1)" if is_torch(x) and a.ndim > 2 and a.shape[-3] == 3 else ""
        raise ShapeError(f"{name}: shape {list(a.shape)}, expected [..., 3]{first}")
    return a


def srgb_to_linear(rgb: Any) -> Float64:
    """Converts sRGB to linear light by sRGB's curve (IEC 61966-2-1), mirrored below zero.

    Example:
        >>> from pyharmony import color
        >>> color.srgb_to_linear(np.array([0.0, 0.5, 1.0])).round(3).tolist()
        [0.0, 0.214, 1.0]
    """
    x = _checks.floats(rgb, "rgb")
    size = np.abs(x)
    return np.copysign(np.where(size <= 0.04045, size / 12.92, ((size + 0.055) / 1.055) ** 2.4), x)


def linear_to_srgb(rgb: Any) -> Float64:
    """Converts linear light to sRGB, the inverse of `srgb_to_linear`.

    Example:
        >>> from pyharmony import color
        >>> color.linear_to_srgb(np.array([0.0, 0.18, 1.0])).round(3).tolist()
        [0.0, 0.461, 1.0]
    """
    x = _checks.floats(rgb, "rgb")
    size = np.abs(x)
    threshold = 0.04045 / 12.92
    return np.copysign(np.where(size <= threshold, size * 12.92, 1.055 * size ** (1 / 2.4) - 0.055), x)


def rgb_to_xyz(rgb: Any) -> Float64:
    """Converts sRGB to XYZ, where Y of white is 1.

    Example:
        >>> from pyharmony import color
        >>> color.rgb_to_xyz(np.array([1.0, 1.0, 1.0])).round(3).tolist()
        [0.95, 1.0, 1.089]
    """
    return srgb_to_linear(_colors(rgb, "rgb")) @ RGB_TO_XYZ.T


def xyz_to_rgb(xyz: Any) -> Float64:
    """Converts XYZ to sRGB.

    Example:
        >>> from pyharmony import color
        >>> color.xyz_to_rgb(color.rgb_to_xyz(np.array([0.2, 0.4, 0.6]))).round(3).tolist()
        [0.2, 0.4, 0.6]
    """
    return linear_to_srgb(_colors(xyz, "xyz") @ XYZ_TO_RGB.T)


def lab_f(t: Any) -> Float64:
    """Returns the f of CIELAB: a cube root, and a line below (6/29)³."""
    x = _checks.floats(t, "t")
    return np.where(x > (6 / 29) ** 3, np.cbrt(x), x / (3 * (6 / 29) ** 2) + 4 / 29)


def lab_f_inverse(f: Any) -> Float64:
    x = _checks.floats(f, "f")
    return np.where(x > 6 / 29, x**3, 3 * (6 / 29) ** 2 * (x - 4 / 29))


def rgb_to_lab(rgb: Any) -> Float64:
    """Converts sRGB to CIELAB under D65, with L* from 0 to 100.

    Example:
        >>> from pyharmony import color
        >>> color.rgb_to_lab(np.array([1.0, 0.0, 0.0])).round(1).tolist()
        [53.2, 80.1, 67.2]
    """
    return lab_f(rgb_to_xyz(rgb) / WHITE) @ F_TO_LAB.T - [16.0, 0.0, 0.0]


def lab_to_rgb(lab: Any) -> Float64:
    """Converts CIELAB to sRGB.

    Example:
        >>> from pyharmony import color
        >>> color.lab_to_rgb(np.array([50.0, 0.0, 0.0])).round(3).tolist()
        [0.466, 0.466, 0.466]
    """
    f = (_colors(lab, "lab") + [16.0, 0.0, 0.0]) @ np.linalg.inv(F_TO_LAB).T
    return xyz_to_rgb(lab_f_inverse(f) * WHITE)


def rgb_to_lalphabeta(rgb: Any) -> Float64:
    """Converts RGB to ℓαβ (Ruderman et al. 1998): decorrelated natural logarithms of the cones' responses plus 1/255.

    Example:
        >>> from pyharmony import color
        >>> color.rgb_to_lalphabeta(np.array([0.2, 0.4, 0.6])).round(3).tolist()
        [-1.517, -0.377, -0.088]
    """
    lms = _colors(rgb, "rgb") @ RGB_TO_LMS.T + LMS_FLOOR
    return np.log(np.maximum(lms, np.finfo(np.float32).tiny)) @ LMS_TO_LALPHABETA.T


def lalphabeta_to_rgb(lalphabeta: Any) -> Float64:
    """Converts ℓαβ to RGB.

    Example:
        >>> from pyharmony import color
        >>> rgb = np.array([0.2, 0.4, 0.6])
        >>> color.lalphabeta_to_rgb(color.rgb_to_lalphabeta(rgb)).round(3).tolist()
        [0.2, 0.4, 0.6]
    """
    lms = np.exp(_colors(lalphabeta, "lalphabeta") @ LMS_TO_LALPHABETA)  # the matrix is orthogonal
    return (lms - LMS_FLOOR) @ np.linalg.inv(RGB_TO_LMS).T


def rgb_to_ycbcr(rgb: Any) -> Float64:
    """Converts RGB to YCbCr of Rec. 601 in full range: Y from 0 to 1, Cb and Cr about 1/2.

    Example:
        >>> from pyharmony import color
        >>> color.rgb_to_ycbcr(np.array([1.0, 0.0, 0.0])).round(3).tolist()
        [0.299, 0.331, 1.0]
    """
    return _colors(rgb, "rgb") @ RGB_TO_YCBCR.T + [0.0, 0.5, 0.5]


def ycbcr_to_rgb(ycbcr: Any) -> Float64:
    """Converts YCbCr to RGB.

    Example:
        >>> from pyharmony import color
        >>> color.ycbcr_to_rgb(color.rgb_to_ycbcr(np.array([0.2, 0.4, 0.6]))).round(3).tolist()
        [0.2, 0.4, 0.6]
    """
    return (_colors(ycbcr, "ycbcr") - [0.0, 0.5, 0.5]) @ np.linalg.inv(RGB_TO_YCBCR).T


def xyz_to_xyy(xyz: Any) -> Float64:
    """Converts XYZ to x, y, Y; black gets the chromaticity of white.

    Example:
        >>> from pyharmony import color
        >>> color.xyz_to_xyy(np.array([0.95, 1.0, 1.09])).round(3).tolist()
        [0.312, 0.329, 1.0]
    """
    a = _colors(xyz, "xyz")
    total = a.sum(-1, keepdims=True)
    white = WHITE / WHITE.sum()
    xy = np.where(total > 0, a[..., :2] / np.where(total > 0, total, 1), white[:2])
    return np.concatenate([xy, a[..., 1:2]], -1)


def xyy_to_xyz(xyy: Any) -> Float64:
    """Converts x, y, Y to XYZ.

    Example:
        >>> from pyharmony import color
        >>> color.xyy_to_xyz(np.array([0.3127, 0.329, 1.0])).round(3).tolist()
        [0.95, 1.0, 1.089]
    """
    x, y, luminance = np.moveaxis(_colors(xyy, "xyy"), -1, 0)
    scale = luminance / np.where(y > 0, y, 1)
    return np.stack([x * scale, luminance, (1 - x - y) * scale], -1)


def planckian_uv(mired: Any) -> tuple[Float64, Float64]:
    """Returns the CIE 1960 u, v [..., 2] of black bodies, and the unit tangent to higher mired (Krystek 1985)."""
    t = 1e6 / _checks.floats(mired, "mired")
    u_top, u_bottom = 0.860117757 + t * (1.54118254e-4 + t * 1.28641212e-7), 1 + t * (8.42420235e-4 + t * 7.08145163e-7)
    v_top, v_bottom = (
        0.317398726 + t * (4.22806245e-5 + t * 4.20481691e-8),
        1 + t * (-2.89741816e-5 + t * 1.61456053e-7),
    )
    du = (1.54118254e-4 + 2 * t * 1.28641212e-7) * u_bottom - u_top * (8.42420235e-4 + 2 * t * 7.08145163e-7)
    dv = (4.22806245e-5 + 2 * t * 4.20481691e-8) * v_bottom - v_top * (-2.89741816e-5 + 2 * t * 1.61456053e-7)
    tangent = -np.stack([du / u_bottom**2, dv / v_bottom**2], -1)
    return np.stack([u_top / u_bottom, v_top / v_bottom], -1), tangent / np.linalg.norm(tangent, axis=-1, keepdims=True)


def xy_to_uv(xy: Any) -> Float64:
    """Converts CIE 1931 x, y to CIE 1960 u, v."""
    x, y = np.moveaxis(_checks.floats(xy, "xy"), -1, 0)
    return _divided(np.stack([4 * x, 6 * y], -1), -2 * x + 12 * y + 3)


def uv_to_xy(uv: Any) -> Float64:
    """Converts CIE 1960 u, v to CIE 1931 x, y."""
    u, v = np.moveaxis(_checks.floats(uv, "uv"), -1, 0)
    return _divided(np.stack([3 * u, 2 * v], -1), 2 * u - 8 * v + 4)


def _divided(pairs: Float64, below: Float64) -> Float64:
    """Returns pairs [..., 2] divided by numbers, near 0 by 1e-9."""
    return pairs / np.where(np.abs(below) > 1e-9, below, 1e-9)[..., None]


def uv_to_mired(uv: Any) -> Float64:
    """Returns the correlated colour temperature [...] in mired, that of the nearest point of the Planckian locus.

    It is clipped to `MIRED_RANGE`. Normals of the locus every ten mired, of which the two adjacent to a colour are
    interpolated, give a first value (Robertson 1968); one step along the tangent there gives the result.
    """
    a = _checks.floats(uv, "uv")
    if a.size > 2 * _COLORS_PER_PART:
        flat = a.reshape(-1, 2)
        parts = [uv_to_mired(flat[i : i + _COLORS_PER_PART]) for i in range(0, len(flat), _COLORS_PER_PART)]
        return np.concatenate(parts).reshape(a.shape[:-1])
    mireds, points, tangents = _isotherms()
    beyond = a @ tangents.T - (points * tangents).sum(1)  # decreases along the locus
    last = np.clip((beyond > 0).sum(-1, keepdims=True) - 1, 0, len(mireds) - 2)
    before, after = (np.take_along_axis(beyond, i, -1)[..., 0] for i in (last, last + 1))
    apart = before - after
    share = np.clip(before / np.where(apart > 0, apart, 1), 0, 1)
    spacing = mireds[1] - mireds[0]
    mired = mireds[0] + spacing * (last[..., 0] + share)
    locus, tangent = planckian_uv(mired)
    speed = np.linalg.norm(np.diff(points, axis=0), axis=1) / spacing
    step = ((a - locus) * tangent).sum(-1) / speed[last[..., 0]]
    return np.clip(mired + np.clip(step, -spacing, spacing), *MIRED_RANGE)


@functools.cache
def _isotherms() -> tuple[Float64, Float64, Float64]:
    mireds = np.linspace(*MIRED_RANGE, 63)
    return (mireds, *planckian_uv(mireds))


def shifted_light(linear: Float64, mired: Any) -> Float64:
    """Returns linear colours [N, 3] moved along the Planckian locus by `shift_mired`, at constant Y."""
    xyy = xyz_to_xyy(linear @ RGB_TO_XYZ.T)
    lit = xyy[:, 2] > 0
    xyy[lit, :2] = shift_mired(xyy[lit, :2], mired)
    return xyy_to_xyz(xyy) @ XYZ_TO_RGB.T


def shift_mired(xy: Any, shift: Any) -> Float64:
    """Returns chromaticities [..., 2] moved along the Planckian locus, at the same distance from it (tint).

    A colour's offset from its point on the locus, across it and, beyond the ends of `MIRED_RANGE`, along it, is
    preserved, so that a shift of zero changes nothing.
    """
    uv = xy_to_uv(xy)
    mired = uv_to_mired(uv)
    target = np.clip(mired + shift, *MIRED_RANGE)
    (before, tangent), (after, tangent_after) = planckian_uv(mired), planckian_uv(target)
    apart = uv - before
    along = (apart * tangent).sum(-1, keepdims=True)
    across = (apart * _normal(tangent)).sum(-1, keepdims=True)
    return uv_to_xy(after + along * tangent_after + across * _normal(tangent_after))


def _normal(tangent: Float64) -> Float64:
    return np.stack([-tangent[..., 1], tangent[..., 0]], -1)
