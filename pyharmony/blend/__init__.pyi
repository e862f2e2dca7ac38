# Written by tools/type_stubs.py from the signatures of the functions: change those, and run `make type-stubs`.
# ruff: noqa
# fmt: off

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, overload
from .._arrays import NumpyArray
from .._checks import SolveInfo
from ..typing import (
    Contour, Device, Errors, FileLike, FileT, GradientKernel, Gradients, ImageLike, ImageT, MaskLike, Network,
    OneOrMany, OutLike, OutT, PILImage, PathLike, Position, Positions, SlicedArray, SlicedT, WritableFile
)

__all__ = [
    "alpha", "detail_boost", "gaussian_poisson", "gaussian_poisson_tiles", "gp_gan", "illumination_change", "inpaint",
    "laplacian", "paste_many", "placed_mask", "poisson", "texture_flattening"
]

@overload
def alpha(
    src: ImageLike, dst: ImageT, mask: MaskLike | None = None, *, at: Position | None | Positions = None,
    scale: float = 1.0, dst_valid: MaskLike | None = None, feather: float = 0.0, decontaminate: bool = True,
    keep_alpha: bool = False, keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise",
    out: None = None, return_info: Literal[False] = False
) -> ImageT: ...
@overload
def alpha(
    src: ImageLike, dst: ImageT, mask: MaskLike | None = None, *, at: Position | None | Positions = None,
    scale: float = 1.0, dst_valid: MaskLike | None = None, feather: float = 0.0, decontaminate: bool = True,
    keep_alpha: bool = False, keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise",
    out: None = None, return_info: Literal[True]
) -> tuple[ImageT, SolveInfo | Any]: ...
@overload
def alpha(
    src: ImageLike, dst: FileLike, mask: MaskLike | None = None, *, at: Position | None | Positions = None,
    scale: float = 1.0, dst_valid: MaskLike | None = None, feather: float = 0.0, decontaminate: bool = True,
    keep_alpha: bool = False, keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise",
    out: None = None, return_info: Literal[False] = False
) -> PILImage | Any: ...
@overload
def alpha(
    src: ImageLike, dst: FileLike, mask: MaskLike | None = None, *, at: Position | None | Positions = None,
    scale: float = 1.0, dst_valid: MaskLike | None = None, feather: float = 0.0, decontaminate: bool = True,
    keep_alpha: bool = False, keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise",
    out: None = None, return_info: Literal[True]
) -> tuple[PILImage | Any, SolveInfo]: ...
@overload
def alpha(
    src: ImageLike, dst: ImageLike, mask: MaskLike | None = None, *, at: Position | None | Positions = None,
    scale: float = 1.0, dst_valid: MaskLike | None = None, feather: float = 0.0, decontaminate: bool = True,
    keep_alpha: bool = False, keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise", out: OutT,
    return_info: Literal[False] = False
) -> OutT: ...
@overload
def alpha(
    src: OneOrMany[ImageLike], dst: list[ImageT], mask: OneOrMany[MaskLike | None] = None, *,
    at: OneOrMany[Position | None] | Positions = None, scale: OneOrMany[float] = 1.0,
    dst_valid: OneOrMany[MaskLike | None] = None, feather: float = 0.0, decontaminate: bool = True,
    keep_alpha: bool = False, keep_gps: bool = False, device: Device | None = None, errors: Literal["raise"] = "raise",
    out: None = None, return_info: Literal[False] = False
) -> list[ImageT]: ...
@overload
def alpha(
    src: OneOrMany[ImageLike], dst: list[FileT], mask: OneOrMany[MaskLike | None] = None, *,
    at: OneOrMany[Position | None] | Positions = None, scale: OneOrMany[float] = 1.0,
    dst_valid: OneOrMany[MaskLike | None] = None, feather: float = 0.0, decontaminate: bool = True,
    keep_alpha: bool = False, keep_gps: bool = False, device: Device | None = None, errors: Literal["raise"] = "raise",
    out: None = None, return_info: Literal[False] = False
) -> list[PILImage | Any]: ...
@overload
def alpha(
    src: OneOrMany[ImageLike], dst: OneOrMany[ImageLike], mask: OneOrMany[MaskLike | None] = None, *,
    at: OneOrMany[Position | None] | Positions = None, scale: OneOrMany[float] = 1.0,
    dst_valid: OneOrMany[MaskLike | None] = None, feather: float = 0.0, decontaminate: bool = True,
    keep_alpha: bool = False, keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise",
    out: OneOrMany[OutLike | None] = None, return_info: bool = False
) -> Any: ...
@overload
def detail_boost(
    image: ImageT, mask: MaskLike | None = None, *, gain: float = 1.5, color_weight: float | MaskLike = 0.05,
    tolerance: float | None = None, keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise",
    out: None = None, return_info: Literal[False] = False
) -> ImageT: ...
@overload
def detail_boost(
    image: ImageT, mask: MaskLike | None = None, *, gain: float = 1.5, color_weight: float | MaskLike = 0.05,
    tolerance: float | None = None, keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise",
    out: None = None, return_info: Literal[True]
) -> tuple[ImageT, SolveInfo | Any]: ...
@overload
def detail_boost(
    image: FileLike, mask: MaskLike | None = None, *, gain: float = 1.5, color_weight: float | MaskLike = 0.05,
    tolerance: float | None = None, keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise",
    out: None = None, return_info: Literal[False] = False
) -> PILImage | Any: ...
@overload
def detail_boost(
    image: FileLike, mask: MaskLike | None = None, *, gain: float = 1.5, color_weight: float | MaskLike = 0.05,
    tolerance: float | None = None, keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise",
    out: None = None, return_info: Literal[True]
) -> tuple[PILImage | Any, SolveInfo]: ...
@overload
def detail_boost(
    image: ImageLike, mask: MaskLike | None = None, *, gain: float = 1.5, color_weight: float | MaskLike = 0.05,
    tolerance: float | None = None, keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise",
    out: OutT, return_info: Literal[False] = False
) -> OutT: ...
@overload
def detail_boost(
    image: list[ImageT], mask: OneOrMany[MaskLike | None] = None, *, gain: float = 1.5,
    color_weight: OneOrMany[float | MaskLike] = 0.05, tolerance: float | None = None, keep_gps: bool = False,
    device: Device | None = None, errors: Literal["raise"] = "raise", out: None = None,
    return_info: Literal[False] = False
) -> list[ImageT]: ...
@overload
def detail_boost(
    image: list[FileT], mask: OneOrMany[MaskLike | None] = None, *, gain: float = 1.5,
    color_weight: OneOrMany[float | MaskLike] = 0.05, tolerance: float | None = None, keep_gps: bool = False,
    device: Device | None = None, errors: Literal["raise"] = "raise", out: None = None,
    return_info: Literal[False] = False
) -> list[PILImage | Any]: ...
@overload
def detail_boost(
    image: OneOrMany[ImageLike], mask: OneOrMany[MaskLike | None] = None, *, gain: float = 1.5,
    color_weight: OneOrMany[float | MaskLike] = 0.05, tolerance: float | None = None, keep_gps: bool = False,
    device: Device | None = None, errors: Errors = "raise", out: OneOrMany[OutLike | None] = None,
    return_info: bool = False
) -> Any: ...
@overload
def gaussian_poisson(
    src: ImageLike, dst: ImageT, mask: MaskLike | None = None, *, at: Position | None | Positions = None,
    scale: float = 1.0, dst_valid: MaskLike | None = None, contour: Contour = "half",
    base: Literal['copy-paste'] | ImageLike | None = None, color_weight: float | MaskLike = 1.0, sigma: float = 0.5,
    smooth_sigma: float = 1.0, gradient_kernel: GradientKernel = "normal", preserve_background: bool = True,
    reference: bool = False, tolerance: float | None = None, decontaminate: bool = True, keep_alpha: bool = False,
    keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise", out: None = None,
    return_info: Literal[False] = False
) -> ImageT: ...
@overload
def gaussian_poisson(
    src: ImageLike, dst: ImageT, mask: MaskLike | None = None, *, at: Position | None | Positions = None,
    scale: float = 1.0, dst_valid: MaskLike | None = None, contour: Contour = "half",
    base: Literal['copy-paste'] | ImageLike | None = None, color_weight: float | MaskLike = 1.0, sigma: float = 0.5,
    smooth_sigma: float = 1.0, gradient_kernel: GradientKernel = "normal", preserve_background: bool = True,
    reference: bool = False, tolerance: float | None = None, decontaminate: bool = True, keep_alpha: bool = False,
    keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise", out: None = None,
    return_info: Literal[True]
) -> tuple[ImageT, SolveInfo | Any]: ...
@overload
def gaussian_poisson(
    src: ImageLike, dst: FileLike, mask: MaskLike | None = None, *, at: Position | None | Positions = None,
    scale: float = 1.0, dst_valid: MaskLike | None = None, contour: Contour = "half",
    base: Literal['copy-paste'] | ImageLike | None = None, color_weight: float | MaskLike = 1.0, sigma: float = 0.5,
    smooth_sigma: float = 1.0, gradient_kernel: GradientKernel = "normal", preserve_background: bool = True,
    reference: bool = False, tolerance: float | None = None, decontaminate: bool = True, keep_alpha: bool = False,
    keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise", out: None = None,
    return_info: Literal[False] = False
) -> PILImage | Any: ...
@overload
def gaussian_poisson(
    src: ImageLike, dst: FileLike, mask: MaskLike | None = None, *, at: Position | None | Positions = None,
    scale: float = 1.0, dst_valid: MaskLike | None = None, contour: Contour = "half",
    base: Literal['copy-paste'] | ImageLike | None = None, color_weight: float | MaskLike = 1.0, sigma: float = 0.5,
    smooth_sigma: float = 1.0, gradient_kernel: GradientKernel = "normal", preserve_background: bool = True,
    reference: bool = False, tolerance: float | None = None, decontaminate: bool = True, keep_alpha: bool = False,
    keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise", out: None = None,
    return_info: Literal[True]
) -> tuple[PILImage | Any, SolveInfo]: ...
@overload
def gaussian_poisson(
    src: ImageLike, dst: ImageLike, mask: MaskLike | None = None, *, at: Position | None | Positions = None,
    scale: float = 1.0, dst_valid: MaskLike | None = None, contour: Contour = "half",
    base: Literal['copy-paste'] | ImageLike | None = None, color_weight: float | MaskLike = 1.0, sigma: float = 0.5,
    smooth_sigma: float = 1.0, gradient_kernel: GradientKernel = "normal", preserve_background: bool = True,
    reference: bool = False, tolerance: float | None = None, decontaminate: bool = True, keep_alpha: bool = False,
    keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise", out: OutT,
    return_info: Literal[False] = False
) -> OutT: ...
@overload
def gaussian_poisson(
    src: OneOrMany[ImageLike], dst: list[ImageT], mask: OneOrMany[MaskLike | None] = None, *,
    at: OneOrMany[Position | None] | Positions = None, scale: OneOrMany[float] = 1.0,
    dst_valid: OneOrMany[MaskLike | None] = None, contour: Contour = "half",
    base: OneOrMany[Literal['copy-paste'] | ImageLike | None] = None, color_weight: OneOrMany[float | MaskLike] = 1.0,
    sigma: float = 0.5, smooth_sigma: float = 1.0, gradient_kernel: GradientKernel = "normal",
    preserve_background: bool = True, reference: bool = False, tolerance: float | None = None,
    decontaminate: bool = True, keep_alpha: bool = False, keep_gps: bool = False, device: Device | None = None,
    errors: Literal["raise"] = "raise", out: None = None, return_info: Literal[False] = False
) -> list[ImageT]: ...
@overload
def gaussian_poisson(
    src: OneOrMany[ImageLike], dst: list[FileT], mask: OneOrMany[MaskLike | None] = None, *,
    at: OneOrMany[Position | None] | Positions = None, scale: OneOrMany[float] = 1.0,
    dst_valid: OneOrMany[MaskLike | None] = None, contour: Contour = "half",
    base: OneOrMany[Literal['copy-paste'] | ImageLike | None] = None, color_weight: OneOrMany[float | MaskLike] = 1.0,
    sigma: float = 0.5, smooth_sigma: float = 1.0, gradient_kernel: GradientKernel = "normal",
    preserve_background: bool = True, reference: bool = False, tolerance: float | None = None,
    decontaminate: bool = True, keep_alpha: bool = False, keep_gps: bool = False, device: Device | None = None,
    errors: Literal["raise"] = "raise", out: None = None, return_info: Literal[False] = False
) -> list[PILImage | Any]: ...
@overload
def gaussian_poisson(
    src: OneOrMany[ImageLike], dst: OneOrMany[ImageLike], mask: OneOrMany[MaskLike | None] = None, *,
    at: OneOrMany[Position | None] | Positions = None, scale: OneOrMany[float] = 1.0,
    dst_valid: OneOrMany[MaskLike | None] = None, contour: Contour = "half",
    base: OneOrMany[Literal['copy-paste'] | ImageLike | None] = None, color_weight: OneOrMany[float | MaskLike] = 1.0,
    sigma: float = 0.5, smooth_sigma: float = 1.0, gradient_kernel: GradientKernel = "normal",
    preserve_background: bool = True, reference: bool = False, tolerance: float | None = None,
    decontaminate: bool = True, keep_alpha: bool = False, keep_gps: bool = False, device: Device | None = None,
    errors: Errors = "raise", out: OneOrMany[OutLike | None] = None, return_info: bool = False
) -> Any: ...
@overload
def gaussian_poisson_tiles(
    src: SlicedArray, dst: SlicedArray, mask: SlicedArray, out: SlicedT, *, tile: int | tuple[int, int] = 1024,
    color_weight: float = 1.0, sigma: float = 0.5, smooth_sigma: float = 1.0, preserve_background: bool = True,
    tolerance: float | None = None, folder: PathLike | None = None, return_info: Literal[False] = False
) -> SlicedT: ...
@overload
def gaussian_poisson_tiles(
    src: SlicedArray, dst: SlicedArray, mask: SlicedArray, out: SlicedT, *, tile: int | tuple[int, int] = 1024,
    color_weight: float = 1.0, sigma: float = 0.5, smooth_sigma: float = 1.0, preserve_background: bool = True,
    tolerance: float | None = None, folder: PathLike | None = None, return_info: Literal[True]
) -> tuple[SlicedT, SolveInfo]: ...
@overload
def gaussian_poisson_tiles(
    src: SlicedArray, dst: SlicedArray, mask: SlicedArray, out: SlicedT, *, tile: int | tuple[int, int] = 1024,
    color_weight: float = 1.0, sigma: float = 0.5, smooth_sigma: float = 1.0, preserve_background: bool = True,
    tolerance: float | None = None, folder: PathLike | None = None, return_info: bool = False
) -> Any: ...
@overload
def gp_gan(
    src: ImageLike, dst: ImageT, mask: MaskLike | None = None, *, at: Position | None | Positions = None,
    scale: float = 1.0, dst_valid: MaskLike | None = None, generator: Network | PathLike | None = None,
    supervised: bool | None = None, nz: int | None = None, n_iteration: int = 1000, seed: int = 0,
    color_weight: float | MaskLike = 1.0, sigma: float = 0.5, smooth_sigma: float = 1.0,
    gradient_kernel: GradientKernel = "normal", preserve_background: bool = True, reference: bool = False,
    tolerance: float | None = None, decontaminate: bool = True, keep_alpha: bool = False, keep_gps: bool = False,
    device: Device | None = None, errors: Errors = "raise", out: None = None, return_info: Literal[False] = False
) -> ImageT: ...
@overload
def gp_gan(
    src: ImageLike, dst: ImageT, mask: MaskLike | None = None, *, at: Position | None | Positions = None,
    scale: float = 1.0, dst_valid: MaskLike | None = None, generator: Network | PathLike | None = None,
    supervised: bool | None = None, nz: int | None = None, n_iteration: int = 1000, seed: int = 0,
    color_weight: float | MaskLike = 1.0, sigma: float = 0.5, smooth_sigma: float = 1.0,
    gradient_kernel: GradientKernel = "normal", preserve_background: bool = True, reference: bool = False,
    tolerance: float | None = None, decontaminate: bool = True, keep_alpha: bool = False, keep_gps: bool = False,
    device: Device | None = None, errors: Errors = "raise", out: None = None, return_info: Literal[True]
) -> tuple[ImageT, SolveInfo | Any]: ...
@overload
def gp_gan(
    src: ImageLike, dst: FileLike, mask: MaskLike | None = None, *, at: Position | None | Positions = None,
    scale: float = 1.0, dst_valid: MaskLike | None = None, generator: Network | PathLike | None = None,
    supervised: bool | None = None, nz: int | None = None, n_iteration: int = 1000, seed: int = 0,
    color_weight: float | MaskLike = 1.0, sigma: float = 0.5, smooth_sigma: float = 1.0,
    gradient_kernel: GradientKernel = "normal", preserve_background: bool = True, reference: bool = False,
    tolerance: float | None = None, decontaminate: bool = True, keep_alpha: bool = False, keep_gps: bool = False,
    device: Device | None = None, errors: Errors = "raise", out: None = None, return_info: Literal[False] = False
) -> PILImage | Any: ...
@overload
def gp_gan(
    src: ImageLike, dst: FileLike, mask: MaskLike | None = None, *, at: Position | None | Positions = None,
    scale: float = 1.0, dst_valid: MaskLike | None = None, generator: Network | PathLike | None = None,
    supervised: bool | None = None, nz: int | None = None, n_iteration: int = 1000, seed: int = 0,
    color_weight: float | MaskLike = 1.0, sigma: float = 0.5, smooth_sigma: float = 1.0,
    gradient_kernel: GradientKernel = "normal", preserve_background: bool = True, reference: bool = False,
    tolerance: float | None = None, decontaminate: bool = True, keep_alpha: bool = False, keep_gps: bool = False,
    device: Device | None = None, errors: Errors = "raise", out: None = None, return_info: Literal[True]
) -> tuple[PILImage | Any, SolveInfo]: ...
@overload
def gp_gan(
    src: ImageLike, dst: ImageLike, mask: MaskLike | None = None, *, at: Position | None | Positions = None,
    scale: float = 1.0, dst_valid: MaskLike | None = None, generator: Network | PathLike | None = None,
    supervised: bool | None = None, nz: int | None = None, n_iteration: int = 1000, seed: int = 0,
    color_weight: float | MaskLike = 1.0, sigma: float = 0.5, smooth_sigma: float = 1.0,
    gradient_kernel: GradientKernel = "normal", preserve_background: bool = True, reference: bool = False,
    tolerance: float | None = None, decontaminate: bool = True, keep_alpha: bool = False, keep_gps: bool = False,
    device: Device | None = None, errors: Errors = "raise", out: OutT, return_info: Literal[False] = False
) -> OutT: ...
@overload
def gp_gan(
    src: OneOrMany[ImageLike], dst: list[ImageT], mask: OneOrMany[MaskLike | None] = None, *,
    at: OneOrMany[Position | None] | Positions = None, scale: OneOrMany[float] = 1.0,
    dst_valid: OneOrMany[MaskLike | None] = None, generator: Network | PathLike | None = None,
    supervised: bool | None = None, nz: int | None = None, n_iteration: int = 1000, seed: int = 0,
    color_weight: OneOrMany[float | MaskLike] = 1.0, sigma: float = 0.5, smooth_sigma: float = 1.0,
    gradient_kernel: GradientKernel = "normal", preserve_background: bool = True, reference: bool = False,
    tolerance: float | None = None, decontaminate: bool = True, keep_alpha: bool = False, keep_gps: bool = False,
    device: Device | None = None, errors: Literal["raise"] = "raise", out: None = None,
    return_info: Literal[False] = False
) -> list[ImageT]: ...
@overload
def gp_gan(
    src: OneOrMany[ImageLike], dst: list[FileT], mask: OneOrMany[MaskLike | None] = None, *,
    at: OneOrMany[Position | None] | Positions = None, scale: OneOrMany[float] = 1.0,
    dst_valid: OneOrMany[MaskLike | None] = None, generator: Network | PathLike | None = None,
    supervised: bool | None = None, nz: int | None = None, n_iteration: int = 1000, seed: int = 0,
    color_weight: OneOrMany[float | MaskLike] = 1.0, sigma: float = 0.5, smooth_sigma: float = 1.0,
    gradient_kernel: GradientKernel = "normal", preserve_background: bool = True, reference: bool = False,
    tolerance: float | None = None, decontaminate: bool = True, keep_alpha: bool = False, keep_gps: bool = False,
    device: Device | None = None, errors: Literal["raise"] = "raise", out: None = None,
    return_info: Literal[False] = False
) -> list[PILImage | Any]: ...
@overload
def gp_gan(
    src: OneOrMany[ImageLike], dst: OneOrMany[ImageLike], mask: OneOrMany[MaskLike | None] = None, *,
    at: OneOrMany[Position | None] | Positions = None, scale: OneOrMany[float] = 1.0,
    dst_valid: OneOrMany[MaskLike | None] = None, generator: Network | PathLike | None = None,
    supervised: bool | None = None, nz: int | None = None, n_iteration: int = 1000, seed: int = 0,
    color_weight: OneOrMany[float | MaskLike] = 1.0, sigma: float = 0.5, smooth_sigma: float = 1.0,
    gradient_kernel: GradientKernel = "normal", preserve_background: bool = True, reference: bool = False,
    tolerance: float | None = None, decontaminate: bool = True, keep_alpha: bool = False, keep_gps: bool = False,
    device: Device | None = None, errors: Errors = "raise", out: OneOrMany[OutLike | None] = None,
    return_info: bool = False
) -> Any: ...
@overload
def illumination_change(
    image: ImageT, mask: MaskLike | None = None, *, alpha: float = 0.2, beta: float = 0.4,
    tolerance: float | None = None, keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise",
    out: None = None, return_info: Literal[False] = False
) -> ImageT: ...
@overload
def illumination_change(
    image: ImageT, mask: MaskLike | None = None, *, alpha: float = 0.2, beta: float = 0.4,
    tolerance: float | None = None, keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise",
    out: None = None, return_info: Literal[True]
) -> tuple[ImageT, SolveInfo | Any]: ...
@overload
def illumination_change(
    image: FileLike, mask: MaskLike | None = None, *, alpha: float = 0.2, beta: float = 0.4,
    tolerance: float | None = None, keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise",
    out: None = None, return_info: Literal[False] = False
) -> PILImage | Any: ...
@overload
def illumination_change(
    image: FileLike, mask: MaskLike | None = None, *, alpha: float = 0.2, beta: float = 0.4,
    tolerance: float | None = None, keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise",
    out: None = None, return_info: Literal[True]
) -> tuple[PILImage | Any, SolveInfo]: ...
@overload
def illumination_change(
    image: ImageLike, mask: MaskLike | None = None, *, alpha: float = 0.2, beta: float = 0.4,
    tolerance: float | None = None, keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise",
    out: OutT, return_info: Literal[False] = False
) -> OutT: ...
@overload
def illumination_change(
    image: list[ImageT], mask: OneOrMany[MaskLike | None] = None, *, alpha: float = 0.2, beta: float = 0.4,
    tolerance: float | None = None, keep_gps: bool = False, device: Device | None = None,
    errors: Literal["raise"] = "raise", out: None = None, return_info: Literal[False] = False
) -> list[ImageT]: ...
@overload
def illumination_change(
    image: list[FileT], mask: OneOrMany[MaskLike | None] = None, *, alpha: float = 0.2, beta: float = 0.4,
    tolerance: float | None = None, keep_gps: bool = False, device: Device | None = None,
    errors: Literal["raise"] = "raise", out: None = None, return_info: Literal[False] = False
) -> list[PILImage | Any]: ...
@overload
def illumination_change(
    image: OneOrMany[ImageLike], mask: OneOrMany[MaskLike | None] = None, *, alpha: float = 0.2, beta: float = 0.4,
    tolerance: float | None = None, keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise",
    out: OneOrMany[OutLike | None] = None, return_info: bool = False
) -> Any: ...
@overload
def inpaint(
    image: ImageT, mask: MaskLike, *, tolerance: float | None = None, keep_gps: bool = False,
    device: Device | None = None, errors: Errors = "raise", out: None = None, return_info: Literal[False] = False
) -> ImageT: ...
@overload
def inpaint(
    image: ImageT, mask: MaskLike, *, tolerance: float | None = None, keep_gps: bool = False,
    device: Device | None = None, errors: Errors = "raise", out: None = None, return_info: Literal[True]
) -> tuple[ImageT, SolveInfo | Any]: ...
@overload
def inpaint(
    image: FileLike, mask: MaskLike, *, tolerance: float | None = None, keep_gps: bool = False,
    device: Device | None = None, errors: Errors = "raise", out: None = None, return_info: Literal[False] = False
) -> PILImage | Any: ...
@overload
def inpaint(
    image: FileLike, mask: MaskLike, *, tolerance: float | None = None, keep_gps: bool = False,
    device: Device | None = None, errors: Errors = "raise", out: None = None, return_info: Literal[True]
) -> tuple[PILImage | Any, SolveInfo]: ...
@overload
def inpaint(
    image: ImageLike, mask: MaskLike, *, tolerance: float | None = None, keep_gps: bool = False,
    device: Device | None = None, errors: Errors = "raise", out: OutT, return_info: Literal[False] = False
) -> OutT: ...
@overload
def inpaint(
    image: list[ImageT], mask: OneOrMany[MaskLike], *, tolerance: float | None = None, keep_gps: bool = False,
    device: Device | None = None, errors: Literal["raise"] = "raise", out: None = None,
    return_info: Literal[False] = False
) -> list[ImageT]: ...
@overload
def inpaint(
    image: list[FileT], mask: OneOrMany[MaskLike], *, tolerance: float | None = None, keep_gps: bool = False,
    device: Device | None = None, errors: Literal["raise"] = "raise", out: None = None,
    return_info: Literal[False] = False
) -> list[PILImage | Any]: ...
@overload
def inpaint(
    image: OneOrMany[ImageLike], mask: OneOrMany[MaskLike], *, tolerance: float | None = None, keep_gps: bool = False,
    device: Device | None = None, errors: Errors = "raise", out: OneOrMany[OutLike | None] = None,
    return_info: bool = False
) -> Any: ...
@overload
def laplacian(
    src: ImageLike, dst: ImageT, mask: MaskLike | None = None, *, at: Position | None | Positions = None,
    scale: float = 1.0, dst_valid: MaskLike | None = None, levels: int | None = None, decontaminate: bool = True,
    keep_alpha: bool = False, keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise",
    out: None = None, return_info: Literal[False] = False
) -> ImageT: ...
@overload
def laplacian(
    src: ImageLike, dst: ImageT, mask: MaskLike | None = None, *, at: Position | None | Positions = None,
    scale: float = 1.0, dst_valid: MaskLike | None = None, levels: int | None = None, decontaminate: bool = True,
    keep_alpha: bool = False, keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise",
    out: None = None, return_info: Literal[True]
) -> tuple[ImageT, SolveInfo | Any]: ...
@overload
def laplacian(
    src: ImageLike, dst: FileLike, mask: MaskLike | None = None, *, at: Position | None | Positions = None,
    scale: float = 1.0, dst_valid: MaskLike | None = None, levels: int | None = None, decontaminate: bool = True,
    keep_alpha: bool = False, keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise",
    out: None = None, return_info: Literal[False] = False
) -> PILImage | Any: ...
@overload
def laplacian(
    src: ImageLike, dst: FileLike, mask: MaskLike | None = None, *, at: Position | None | Positions = None,
    scale: float = 1.0, dst_valid: MaskLike | None = None, levels: int | None = None, decontaminate: bool = True,
    keep_alpha: bool = False, keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise",
    out: None = None, return_info: Literal[True]
) -> tuple[PILImage | Any, SolveInfo]: ...
@overload
def laplacian(
    src: ImageLike, dst: ImageLike, mask: MaskLike | None = None, *, at: Position | None | Positions = None,
    scale: float = 1.0, dst_valid: MaskLike | None = None, levels: int | None = None, decontaminate: bool = True,
    keep_alpha: bool = False, keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise", out: OutT,
    return_info: Literal[False] = False
) -> OutT: ...
@overload
def laplacian(
    src: OneOrMany[ImageLike], dst: list[ImageT], mask: OneOrMany[MaskLike | None] = None, *,
    at: OneOrMany[Position | None] | Positions = None, scale: OneOrMany[float] = 1.0,
    dst_valid: OneOrMany[MaskLike | None] = None, levels: int | None = None, decontaminate: bool = True,
    keep_alpha: bool = False, keep_gps: bool = False, device: Device | None = None, errors: Literal["raise"] = "raise",
    out: None = None, return_info: Literal[False] = False
) -> list[ImageT]: ...
@overload
def laplacian(
    src: OneOrMany[ImageLike], dst: list[FileT], mask: OneOrMany[MaskLike | None] = None, *,
    at: OneOrMany[Position | None] | Positions = None, scale: OneOrMany[float] = 1.0,
    dst_valid: OneOrMany[MaskLike | None] = None, levels: int | None = None, decontaminate: bool = True,
    keep_alpha: bool = False, keep_gps: bool = False, device: Device | None = None, errors: Literal["raise"] = "raise",
    out: None = None, return_info: Literal[False] = False
) -> list[PILImage | Any]: ...
@overload
def laplacian(
    src: OneOrMany[ImageLike], dst: OneOrMany[ImageLike], mask: OneOrMany[MaskLike | None] = None, *,
    at: OneOrMany[Position | None] | Positions = None, scale: OneOrMany[float] = 1.0,
    dst_valid: OneOrMany[MaskLike | None] = None, levels: int | None = None, decontaminate: bool = True,
    keep_alpha: bool = False, keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise",
    out: OneOrMany[OutLike | None] = None, return_info: bool = False
) -> Any: ...
def paste_many(
    dst: NumpyArray, items: Iterable[Mapping[str, object]], *, device: Device | None = None,
    out: NumpyArray | None = None
) -> NumpyArray: ...
@overload
def placed_mask(
    src: ImageLike, dst: ImageT, mask: MaskLike | None = None, *, at: Position | None | Positions = None,
    scale: float = 1.0, out: None = None
) -> ImageT: ...
@overload
def placed_mask(
    src: ImageLike, dst: FileLike, mask: MaskLike | None = None, *, at: Position | None | Positions = None,
    scale: float = 1.0, out: None = None
) -> PILImage: ...
@overload
def placed_mask(
    src: ImageLike, dst: ImageLike, mask: MaskLike | None = None, *, at: Position | None | Positions = None,
    scale: float = 1.0, out: PathLike | WritableFile
) -> Any: ...
@overload
def placed_mask(
    src: OneOrMany[ImageLike], dst: list[ImageT], mask: OneOrMany[MaskLike | None] = None, *,
    at: OneOrMany[Position | None] | Positions = None, scale: OneOrMany[float] = 1.0, out: None = None
) -> list[ImageT]: ...
@overload
def placed_mask(
    src: OneOrMany[ImageLike], dst: list[FileT], mask: OneOrMany[MaskLike | None] = None, *,
    at: OneOrMany[Position | None] | Positions = None, scale: OneOrMany[float] = 1.0, out: None = None
) -> list[PILImage]: ...
@overload
def placed_mask(
    src: OneOrMany[ImageLike], dst: Sequence[ImageLike], mask: OneOrMany[MaskLike | None] = None, *,
    at: OneOrMany[Position | None] | Positions = None, scale: OneOrMany[float] = 1.0,
    out: PathLike | WritableFile | None = None
) -> Any: ...
@overload
def poisson(
    src: ImageLike, dst: ImageT, mask: MaskLike | None = None, *, at: Position | None | Positions = None,
    scale: float = 1.0, dst_valid: MaskLike | None = None, gradients: Gradients = "source", contour: Contour = "half",
    color_weight: float | MaskLike = 0.0, tolerance: float | None = None, decontaminate: bool = True,
    keep_alpha: bool = False, keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise",
    out: None = None, return_info: Literal[False] = False
) -> ImageT: ...
@overload
def poisson(
    src: ImageLike, dst: ImageT, mask: MaskLike | None = None, *, at: Position | None | Positions = None,
    scale: float = 1.0, dst_valid: MaskLike | None = None, gradients: Gradients = "source", contour: Contour = "half",
    color_weight: float | MaskLike = 0.0, tolerance: float | None = None, decontaminate: bool = True,
    keep_alpha: bool = False, keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise",
    out: None = None, return_info: Literal[True]
) -> tuple[ImageT, SolveInfo | Any]: ...
@overload
def poisson(
    src: ImageLike, dst: FileLike, mask: MaskLike | None = None, *, at: Position | None | Positions = None,
    scale: float = 1.0, dst_valid: MaskLike | None = None, gradients: Gradients = "source", contour: Contour = "half",
    color_weight: float | MaskLike = 0.0, tolerance: float | None = None, decontaminate: bool = True,
    keep_alpha: bool = False, keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise",
    out: None = None, return_info: Literal[False] = False
) -> PILImage | Any: ...
@overload
def poisson(
    src: ImageLike, dst: FileLike, mask: MaskLike | None = None, *, at: Position | None | Positions = None,
    scale: float = 1.0, dst_valid: MaskLike | None = None, gradients: Gradients = "source", contour: Contour = "half",
    color_weight: float | MaskLike = 0.0, tolerance: float | None = None, decontaminate: bool = True,
    keep_alpha: bool = False, keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise",
    out: None = None, return_info: Literal[True]
) -> tuple[PILImage | Any, SolveInfo]: ...
@overload
def poisson(
    src: ImageLike, dst: ImageLike, mask: MaskLike | None = None, *, at: Position | None | Positions = None,
    scale: float = 1.0, dst_valid: MaskLike | None = None, gradients: Gradients = "source", contour: Contour = "half",
    color_weight: float | MaskLike = 0.0, tolerance: float | None = None, decontaminate: bool = True,
    keep_alpha: bool = False, keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise", out: OutT,
    return_info: Literal[False] = False
) -> OutT: ...
@overload
def poisson(
    src: OneOrMany[ImageLike], dst: list[ImageT], mask: OneOrMany[MaskLike | None] = None, *,
    at: OneOrMany[Position | None] | Positions = None, scale: OneOrMany[float] = 1.0,
    dst_valid: OneOrMany[MaskLike | None] = None, gradients: Gradients = "source", contour: Contour = "half",
    color_weight: OneOrMany[float | MaskLike] = 0.0, tolerance: float | None = None, decontaminate: bool = True,
    keep_alpha: bool = False, keep_gps: bool = False, device: Device | None = None, errors: Literal["raise"] = "raise",
    out: None = None, return_info: Literal[False] = False
) -> list[ImageT]: ...
@overload
def poisson(
    src: OneOrMany[ImageLike], dst: list[FileT], mask: OneOrMany[MaskLike | None] = None, *,
    at: OneOrMany[Position | None] | Positions = None, scale: OneOrMany[float] = 1.0,
    dst_valid: OneOrMany[MaskLike | None] = None, gradients: Gradients = "source", contour: Contour = "half",
    color_weight: OneOrMany[float | MaskLike] = 0.0, tolerance: float | None = None, decontaminate: bool = True,
    keep_alpha: bool = False, keep_gps: bool = False, device: Device | None = None, errors: Literal["raise"] = "raise",
    out: None = None, return_info: Literal[False] = False
) -> list[PILImage | Any]: ...
@overload
def poisson(
    src: OneOrMany[ImageLike], dst: OneOrMany[ImageLike], mask: OneOrMany[MaskLike | None] = None, *,
    at: OneOrMany[Position | None] | Positions = None, scale: OneOrMany[float] = 1.0,
    dst_valid: OneOrMany[MaskLike | None] = None, gradients: Gradients = "source", contour: Contour = "half",
    color_weight: OneOrMany[float | MaskLike] = 0.0, tolerance: float | None = None, decontaminate: bool = True,
    keep_alpha: bool = False, keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise",
    out: OneOrMany[OutLike | None] = None, return_info: bool = False
) -> Any: ...
@overload
def texture_flattening(
    image: ImageT, mask: MaskLike | None = None, *, low: float = 4.0, high: float = 6.0, tolerance: float | None = None,
    keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise", out: None = None,
    return_info: Literal[False] = False
) -> ImageT: ...
@overload
def texture_flattening(
    image: ImageT, mask: MaskLike | None = None, *, low: float = 4.0, high: float = 6.0, tolerance: float | None = None,
    keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise", out: None = None,
    return_info: Literal[True]
) -> tuple[ImageT, SolveInfo | Any]: ...
@overload
def texture_flattening(
    image: FileLike, mask: MaskLike | None = None, *, low: float = 4.0, high: float = 6.0,
    tolerance: float | None = None, keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise",
    out: None = None, return_info: Literal[False] = False
) -> PILImage | Any: ...
@overload
def texture_flattening(
    image: FileLike, mask: MaskLike | None = None, *, low: float = 4.0, high: float = 6.0,
    tolerance: float | None = None, keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise",
    out: None = None, return_info: Literal[True]
) -> tuple[PILImage | Any, SolveInfo]: ...
@overload
def texture_flattening(
    image: ImageLike, mask: MaskLike | None = None, *, low: float = 4.0, high: float = 6.0,
    tolerance: float | None = None, keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise",
    out: OutT, return_info: Literal[False] = False
) -> OutT: ...
@overload
def texture_flattening(
    image: list[ImageT], mask: OneOrMany[MaskLike | None] = None, *, low: float = 4.0, high: float = 6.0,
    tolerance: float | None = None, keep_gps: bool = False, device: Device | None = None,
    errors: Literal["raise"] = "raise", out: None = None, return_info: Literal[False] = False
) -> list[ImageT]: ...
@overload
def texture_flattening(
    image: list[FileT], mask: OneOrMany[MaskLike | None] = None, *, low: float = 4.0, high: float = 6.0,
    tolerance: float | None = None, keep_gps: bool = False, device: Device | None = None,
    errors: Literal["raise"] = "raise", out: None = None, return_info: Literal[False] = False
) -> list[PILImage | Any]: ...
@overload
def texture_flattening(
    image: OneOrMany[ImageLike], mask: OneOrMany[MaskLike | None] = None, *, low: float = 4.0, high: float = 6.0,
    tolerance: float | None = None, keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise",
    out: OneOrMany[OutLike | None] = None, return_info: bool = False
) -> Any: ...
