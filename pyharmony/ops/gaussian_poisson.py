"""The Gaussian-Poisson equation on arrays; see docs/gaussian_poisson.md for the schemes."""

from __future__ import annotations

from typing import Any

from .. import _arrays, _checks, _cuda
from ..typing import Array, ArrayT, Device, GradientKernel, SolveMethod
from . import _gaussian_poisson_cpu, _gaussian_poisson_cuda
from ._gaussian_poisson import MAX_REFERENCE_SIGMA as MAX_REFERENCE_SIGMA
from ._gaussian_poisson import MAX_SIGMA as MAX_SIGMA
from ._gaussian_poisson import METHODS as METHODS
from ._gaussian_poisson import REFERENCE_SIGMAS as REFERENCE_SIGMAS
from ._gaussian_poisson import Equation as Equation
from ._gaussian_poisson import call_of
from ._gaussian_poisson import chebyshev_is_faster as chebyshev_is_faster
from ._gaussian_poisson_cpu import MAX_STEPS as MAX_STEPS
from ._gaussian_poisson_cpu import solve as solve
from ._gaussian_poisson_cpu import target_field as target_field
from ._gaussian_poisson_cuda import choose_method_on as choose_method_on
from ._gaussian_poisson_cuda import solve_on as solve_on
from ._poisson_cuda import DeviceEquation as DeviceEquation

__all__ = [
    "MAX_REFERENCE_SIGMA",
    "MAX_SIGMA",
    "MAX_STEPS",
    "REFERENCE_SIGMAS",
    "DeviceEquation",
    "Equation",
    "chebyshev_is_faster",
    "choose_method_on",
    "gaussian_poisson",
    "solve",
    "solve_on",
    "target_field",
]


def gaussian_poisson(
    src: Array,
    dst: ArrayT,
    mask: Array,
    base: Array,
    *,
    color_weight: float | Array = 1.0,
    sigma: float = 0.5,
    as_published: bool = False,
    gradient_kernel: GradientKernel = "normal",
    preserve_background: bool = False,
    method: SolveMethod = "auto",
    tolerance: float | None = None,
    device: Device | None = None,
    return_info: bool = False,
) -> Any:
    """Solves the Gaussian-Poisson equation of one image, or of each of a batch.

    The blend has the gradients of src inside the mask and of dst outside, and color_weight pulls its
    colours to base: ``(L + color_weight G) x = b + color_weight base`` with the
    5-point Laplacian L and a 3 x 3 Gaussian G (Wu et al., GP-GAN, 2019, eq. 4-6; the exact
    definition is `pyharmony.reference.gaussian_poisson`).

    Float tensors that require grad are differentiated: gradients flow to src, dst and base, exact to
    tolerance / 255 of the largest incoming one; torch.compile supports the op. Mask and color_weight
    get no gradient, nor do src and dst with another gradient_kernel than 'normal'.

    Args:
        src, dst: [H, W], [H, W, C] or [N, H, W, C] of equal shape and dtype, uint8, uint16,
            float16, float32 or float64, any strides; numpy, torch, or an array on a CUDA device (docs/cuda.md;
            no float64 there). Never changed.
        mask: [H, W], or [N, H, W] with a batch; bool, uint8 or uint16 scaled by their range, or
            floats in [0, 1]. The gradient of an edge is mixed by the mean of its two pixels.
        base: like dst; float32 and float64, in dst's unit (0..255 for uint8), are accepted too.
        color_weight: a number from 0 to 1e6, or a map [H, W] of them. With 0 the mean of the
            result is that of base.
        sigma: the width of the Gaussian in pixels, 0 to 0.8 (0 to 1000 with as_published).
        as_published: use the taps of GP-GAN's code, whose sum is below one; it brightens.
        gradient_kernel: the kernel of the derivatives of src and dst. 'normal': the difference of
            neighbours, which alone reproduces src exactly. 'sobel', 'scharr', 'prewitt': centred
            differences, smoothed across; 'roberts': smoothed across. All are located on their edges and
            give 1 for a ramp of slope 1.
        preserve_background: solve only for the pixels with mask > 0, leaving the others unchanged.
        method: 'auto', 'chebyshev', 'dct' or 'multigrid'. 'dct' needs one weight and the whole
            rectangle; 'chebyshev' a weight above 0. If a method cannot reach the tolerance, another one
            solves, and SolveInfo names it.
        tolerance: the largest error allowed, in 8-bit levels (1/255 of the value range), before
            rounding to the dtype. None: 0.25 for uint8, 0.004 for uint16, 0.025 for float16 and
            float32, 1e-6 for float64. 'multigrid' and 'dct' use an estimate of the error.
        device: 'auto', 'cpu' or 'cuda', for NumPy arrays and tensors on the CPU; None: the setting of
            `pyharmony.set_device`. Arrays on a device are solved there, see docs/cuda.md.
        return_info: also return a SolveInfo, with a proven bound of the error.

    Returns:
        The blend in dst's kind, shape and dtype, rounded half to even; floats are not clipped.
        With return_info a pair (blend, SolveInfo), or (blends, list of them) for a batch.

    Raises:
        ShapeError, DTypeError, MaskError, ArgumentError: an argument is not accepted; the message names
            it, what was given and what is accepted.

    Warns:
        RuntimeWarning: the tolerance was not reached.

    Example:
        >>> from pyharmony import ops
        >>> dst, src = np.full((16, 16, 3), 60, np.uint8), np.full((16, 16, 3), 200, np.uint8)
        >>> mask = np.zeros((16, 16), np.uint8)
        >>> mask[4:12, 4:12] = 255
        >>> ops.gaussian_poisson(src, dst, mask, base=dst)[8, 8].tolist()
        [60, 60, 60]
    """
    _checks.flags(as_published=as_published, preserve_background=preserve_background, return_info=return_info)
    if _arrays.in_graph(src, dst, mask, base, color_weight):
        from . import _gaussian_poisson_torch

        return _gaussian_poisson_torch.gaussian_poisson(
            src, dst, mask, base, color_weight, sigma, as_published, gradient_kernel, preserve_background, method,
            tolerance, return_info,
        )  # fmt: skip
    call = call_of(
        src, dst, mask, base, color_weight=color_weight, sigma=sigma, reference=as_published,
        gradient_kernel=gradient_kernel, preserve_background=preserve_background, method=method, tolerance=tolerance,
        return_info=return_info,
    )  # fmt: skip
    return _cuda.dispatch(call, device, _gaussian_poisson_cpu, _gaussian_poisson_cuda)
