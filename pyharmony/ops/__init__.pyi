# Written by tools/type_stubs.py from the signatures of the functions: change those, and run `make type-stubs`.
# ruff: noqa
# fmt: off

from collections.abc import Sequence
from typing import Any, Literal, overload
from .._checks import SolveInfo as SolveInfo
from ..typing import (
    Array, ArrayT, Contour, Device, GradientKernel, Gradients, PartialConvMethod, SlicedArray, SlicedT, SolveMethod,
    SpectralNormOrder
)
from .color_map import Affine as Affine, Curves as Curves, Exp as Exp, Light as Light, Log as Log, Lut as Lut, Stage
from .color_stats import ColorStats as ColorStats, RegionStats as RegionStats
from .partial_conv import LayerPlan, MaskPlan as MaskPlan, Pair
from .poisson import PoissonSequence as PoissonSequence, PoissonSolver as PoissonSolver

__all__ = [
    "Affine", "ColorStats", "Curves", "Exp", "Light", "Log", "Lut", "MaskPlan", "PoissonSequence", "PoissonSolver",
    "RegionStats", "SolveInfo", "color_grid", "color_map", "color_stats", "gaussian_poisson", "gaussian_poisson_tiles",
    "instance_norm", "mask_plan", "partial_conv2d", "poisson", "spectral_norm"
]

def color_grid(
    image: ArrayT, mask: Array | None = None, *, grid: Array | None = None, affine: Array | None = None,
    curves: Array | None = None, origin: tuple[int, int] = (0, 0), frame: tuple[int, int] | None = None,
    out: Array | None = None
) -> ArrayT: ...
def color_map(
    image: ArrayT, stages: Sequence[Stage], mask: Array | None = None, *, strength: float = 1.0
) -> ArrayT: ...
def color_stats(
    image: Array, mask: Array | None = None, *, bins: int = 0, stages: Sequence[Stage] = (), low: Any = None,
    high: Any = None, background: bool = True
) -> ColorStats: ...
@overload
def gaussian_poisson(
    src: Array, dst: ArrayT, mask: Array, base: Array, *, color_weight: float | Array = 1.0, sigma: float = 0.5,
    reference: bool = False, gradient_kernel: GradientKernel = "normal", preserve_background: bool = False,
    method: SolveMethod = "auto", tolerance: float | None = None, device: Device | None = None,
    return_info: Literal[False] = False
) -> ArrayT: ...
@overload
def gaussian_poisson(
    src: Array, dst: ArrayT, mask: Array, base: Array, *, color_weight: float | Array = 1.0, sigma: float = 0.5,
    reference: bool = False, gradient_kernel: GradientKernel = "normal", preserve_background: bool = False,
    method: SolveMethod = "auto", tolerance: float | None = None, device: Device | None = None,
    return_info: Literal[True]
) -> tuple[ArrayT, SolveInfo | Any]: ...
@overload
def gaussian_poisson(
    src: Array, dst: ArrayT, mask: Array, base: Array, *, color_weight: float | Array = 1.0, sigma: float = 0.5,
    reference: bool = False, gradient_kernel: GradientKernel = "normal", preserve_background: bool = False,
    method: SolveMethod = "auto", tolerance: float | None = None, device: Device | None = None,
    return_info: bool = False
) -> Any: ...
@overload
def gaussian_poisson_tiles(
    src: SlicedArray, dst: SlicedArray, mask: SlicedArray, base: SlicedArray, out: SlicedT, *,
    tile: int | tuple[int, int] = 1024, color_weight: float | SlicedArray = 1.0, sigma: float = 0.5,
    reference: bool = False, preserve_background: bool = False, tolerance: float | None = None,
    return_info: Literal[False] = False
) -> SlicedT: ...
@overload
def gaussian_poisson_tiles(
    src: SlicedArray, dst: SlicedArray, mask: SlicedArray, base: SlicedArray, out: SlicedT, *,
    tile: int | tuple[int, int] = 1024, color_weight: float | SlicedArray = 1.0, sigma: float = 0.5,
    reference: bool = False, preserve_background: bool = False, tolerance: float | None = None,
    return_info: Literal[True]
) -> tuple[SlicedT, SolveInfo]: ...
@overload
def gaussian_poisson_tiles(
    src: SlicedArray, dst: SlicedArray, mask: SlicedArray, base: SlicedArray, out: SlicedT, *,
    tile: int | tuple[int, int] = 1024, color_weight: float | SlicedArray = 1.0, sigma: float = 0.5,
    reference: bool = False, preserve_background: bool = False, tolerance: float | None = None,
    return_info: bool = False
) -> Any: ...
def instance_norm(x: ArrayT, *, negative_slope: float | None = None, eps: float = 1e-05) -> ArrayT: ...
def mask_plan(
    mask: Array, layers: Sequence[Any], *, soft: bool = False, method: PartialConvMethod = "auto"
) -> MaskPlan: ...
def partial_conv2d(
    x: ArrayT, weight: Array, bias: Array | None = None, mask: Array | None = None, *, stride: int | Pair = 1,
    padding: int | Pair = 0, dilation: int | Pair = 1, groups: int = 1, soft: bool = False,
    plan: LayerPlan | None = None, scale: Any = None, negative_slope: float | None = None
) -> tuple[ArrayT, ArrayT]: ...
@overload
def poisson(
    src: Array, dst: ArrayT, mask: Array, *, gradients: Gradients = "source", contour: Contour = "half",
    color_weight: float | Array = 0.0, base: Array | None = None, tolerance: float | None = None,
    device: Device | None = None, return_info: Literal[False] = False
) -> ArrayT: ...
@overload
def poisson(
    src: Array, dst: ArrayT, mask: Array, *, gradients: Gradients = "source", contour: Contour = "half",
    color_weight: float | Array = 0.0, base: Array | None = None, tolerance: float | None = None,
    device: Device | None = None, return_info: Literal[True]
) -> tuple[ArrayT, SolveInfo | Any]: ...
@overload
def poisson(
    src: Array, dst: ArrayT, mask: Array, *, gradients: Gradients = "source", contour: Contour = "half",
    color_weight: float | Array = 0.0, base: Array | None = None, tolerance: float | None = None,
    device: Device | None = None, return_info: bool = False
) -> Any: ...
@overload
def spectral_norm(
    weights: Sequence[ArrayT], us: Sequence[Array], vs: Sequence[Array], *, n_power_iterations: int = 1,
    eps: float = 1e-12, order: SpectralNormOrder = "legacy", update: bool = True,
    dims: int | Sequence[int] | None = None, normalized: Literal[False] = False
) -> ArrayT: ...
@overload
def spectral_norm(
    weights: Sequence[ArrayT], us: Sequence[Array], vs: Sequence[Array], *, n_power_iterations: int = 1,
    eps: float = 1e-12, order: SpectralNormOrder = "legacy", update: bool = True,
    dims: int | Sequence[int] | None = None, normalized: Literal[True]
) -> tuple[ArrayT, list[ArrayT]]: ...
@overload
def spectral_norm(
    weights: Sequence[ArrayT], us: Sequence[Array], vs: Sequence[Array], *, n_power_iterations: int = 1,
    eps: float = 1e-12, order: SpectralNormOrder = "legacy", update: bool = True,
    dims: int | Sequence[int] | None = None, normalized: bool = False
) -> Any: ...
