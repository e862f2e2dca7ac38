# Written by tools/type_stubs.py from the signatures of the functions: change those, and run `make type-stubs`.
# ruff: noqa
# fmt: off

import numpy as np
import numpy.typing as npt
from collections.abc import Sequence
from typing import Any, overload
from .._arrays import Float64
from ..typing import Array, Chroma, FileLike, ImageLike, ImageT, MaskLike, PILImage, Rng
from ._retouch import Retouching as Retouching

__all__ = [
    "Retouching", "brightness_contrast", "fecker", "idt", "lab_to_rgb", "lalphabeta_to_rgb", "linear_to_srgb",
    "luminance_temperature", "lut_mix", "match_histogram", "mkl", "random_lut", "regrain", "reinhard", "retouch",
    "rgb_to_lab", "rgb_to_lalphabeta", "rgb_to_xyz", "rgb_to_ycbcr", "shift_temperature", "srgb_to_linear", "xiao_ma",
    "xyy_to_xyz", "xyz_to_rgb", "xyz_to_xyy", "ycbcr_to_rgb"
]

@overload
def brightness_contrast(
    image: ImageT, mask: MaskLike | None = None, *, brightness: float = 0.0, contrast: float = 0.0,
    strength: float = 1.0
) -> ImageT: ...
@overload
def brightness_contrast(
    image: FileLike, mask: MaskLike | None = None, *, brightness: float = 0.0, contrast: float = 0.0,
    strength: float = 1.0
) -> PILImage | Any: ...
@overload
def fecker(
    image: ImageT, reference: ImageLike, mask: MaskLike | None = None, reference_mask: MaskLike | None = None, *,
    bins: int = 256, strength: float = 1.0
) -> ImageT: ...
@overload
def fecker(
    image: FileLike, reference: ImageLike, mask: MaskLike | None = None, reference_mask: MaskLike | None = None, *,
    bins: int = 256, strength: float = 1.0
) -> PILImage | Any: ...
@overload
def idt(
    image: ImageT, reference: ImageLike, mask: MaskLike | None = None, reference_mask: MaskLike | None = None, *,
    iterations: int = 20, bins: int = 512, seed: Rng = 0, regrain: bool = True, strength: float = 1.0
) -> ImageT: ...
@overload
def idt(
    image: FileLike, reference: ImageLike, mask: MaskLike | None = None, reference_mask: MaskLike | None = None, *,
    iterations: int = 20, bins: int = 512, seed: Rng = 0, regrain: bool = True, strength: float = 1.0
) -> PILImage | Any: ...
def lab_to_rgb(lab: Any) -> Float64: ...
def lalphabeta_to_rgb(lalphabeta: Any) -> Float64: ...
def linear_to_srgb(rgb: Any) -> Float64: ...
@overload
def luminance_temperature(
    image: ImageT, reference: ImageLike, mask: MaskLike | None = None, reference_mask: MaskLike | None = None, *,
    chroma: Chroma = "transport", max_shift: float = 0.4, floor: float = 7.5, strength: float = 1.0
) -> ImageT: ...
@overload
def luminance_temperature(
    image: FileLike, reference: ImageLike, mask: MaskLike | None = None, reference_mask: MaskLike | None = None, *,
    chroma: Chroma = "transport", max_shift: float = 0.4, floor: float = 7.5, strength: float = 1.0
) -> PILImage | Any: ...
@overload
def lut_mix(
    image: ImageT, luts: Sequence[Array] | Array, mask: MaskLike | None = None, *,
    weights: Sequence[float] | Array | None = None, rng: Rng | None = None, strength: float = 1.0
) -> ImageT: ...
@overload
def lut_mix(
    image: FileLike, luts: Sequence[Array] | Array, mask: MaskLike | None = None, *,
    weights: Sequence[float] | Array | None = None, rng: Rng | None = None, strength: float = 1.0
) -> PILImage | Any: ...
@overload
def match_histogram(
    image: ImageT, reference: ImageLike, mask: MaskLike | None = None, reference_mask: MaskLike | None = None, *,
    bins: int | None = None, strength: float = 1.0
) -> ImageT: ...
@overload
def match_histogram(
    image: FileLike, reference: ImageLike, mask: MaskLike | None = None, reference_mask: MaskLike | None = None, *,
    bins: int | None = None, strength: float = 1.0
) -> PILImage | Any: ...
@overload
def mkl(
    image: ImageT, reference: ImageLike, mask: MaskLike | None = None, reference_mask: MaskLike | None = None, *,
    floor: float = 0.0, strength: float = 1.0
) -> ImageT: ...
@overload
def mkl(
    image: FileLike, reference: ImageLike, mask: MaskLike | None = None, reference_mask: MaskLike | None = None, *,
    floor: float = 0.0, strength: float = 1.0
) -> PILImage | Any: ...
def random_lut(rng: Rng, size: int = 17, *, amount: float = 1.0) -> npt.NDArray[np.float32]: ...
@overload
def regrain(image: ImageT, recolored: ImageLike, mask: MaskLike | None = None, *, strength: float = 1.0) -> ImageT: ...
@overload
def regrain(
    image: FileLike, recolored: ImageLike, mask: MaskLike | None = None, *, strength: float = 1.0
) -> PILImage | Any: ...
@overload
def reinhard(
    image: ImageT, reference: ImageLike, mask: MaskLike | None = None, reference_mask: MaskLike | None = None, *,
    strength: float = 1.0
) -> ImageT: ...
@overload
def reinhard(
    image: FileLike, reference: ImageLike, mask: MaskLike | None = None, reference_mask: MaskLike | None = None, *,
    strength: float = 1.0
) -> PILImage | Any: ...
@overload
def retouch(
    image: ImageT, mask: MaskLike | None = None, *, rng: Rng | None = None, parameters: Retouching | None = None,
    strength: float = 1.0
) -> tuple[ImageT, Retouching]: ...
@overload
def retouch(
    image: FileLike, mask: MaskLike | None = None, *, rng: Rng | None = None, parameters: Retouching | None = None,
    strength: float = 1.0
) -> tuple[PILImage | Any, Retouching]: ...
def rgb_to_lab(rgb: Any) -> Float64: ...
def rgb_to_lalphabeta(rgb: Any) -> Float64: ...
def rgb_to_xyz(rgb: Any) -> Float64: ...
def rgb_to_ycbcr(rgb: Any) -> Float64: ...
@overload
def shift_temperature(
    image: ImageT, mired: float, mask: MaskLike | None = None, *, strength: float = 1.0
) -> ImageT: ...
@overload
def shift_temperature(
    image: FileLike, mired: float, mask: MaskLike | None = None, *, strength: float = 1.0
) -> PILImage | Any: ...
def srgb_to_linear(rgb: Any) -> Float64: ...
@overload
def xiao_ma(
    image: ImageT, reference: ImageLike, mask: MaskLike | None = None, reference_mask: MaskLike | None = None, *,
    strength: float = 1.0
) -> ImageT: ...
@overload
def xiao_ma(
    image: FileLike, reference: ImageLike, mask: MaskLike | None = None, reference_mask: MaskLike | None = None, *,
    strength: float = 1.0
) -> PILImage | Any: ...
def xyy_to_xyz(xyy: Any) -> Float64: ...
def xyz_to_rgb(xyz: Any) -> Float64: ...
def xyz_to_xyy(xyz: Any) -> Float64: ...
def ycbcr_to_rgb(ycbcr: Any) -> Float64: ...
