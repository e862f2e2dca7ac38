"""Spectral normalisation of all weights of a model in one call.

See `pyharmony.reference.spectral_norm` for the definition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import _arrays, _checks
from .._arrays import Array
from ..errors import ArgumentError, DTypeError
from ..typing import SpectralNormOrder
from . import _spectral_norm_cpu
from ._spectral_norm import ORDERS as ORDERS
from ._spectral_norm import Settings as Settings
from ._spectral_norm import axes_of, check_vectors
from ._spectral_norm import settings as settings
from ._spectral_norm import zero_weight as zero_weight

__all__ = ["Settings", "settings", "spectral_norm", "zero_weight"]


def spectral_norm(
    weights: Sequence[Array],
    us: Sequence[Array],
    vs: Sequence[Array],
    *,
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    order: SpectralNormOrder = "legacy",
    update: bool = True,
    dims: int | Sequence[int] | None = None,
    normalized: bool = False,
) -> Any:
    """Returns the largest singular values of weights by power iteration, and the weights divided by them.

    All weights are processed in one call. The matrix M of a weight is [rows, cols], its axis dims[i] first. An
    iteration is v = M^T u, u = M v ('legacy', as in torch.nn.utils.spectral_norm) or first u, then v
    ('parametrization', as in torch.nn.utils.parametrizations), each normalised; then sigma = u^T M v. Sums are float32
    for weights of float16, bfloat16 and float32, and bit-identical in every run and for any number of threads.

    Args:
        weights: arrays of one kind (NumPy, or torch on one device) of two or more axes; float16, float32, float64,
            bfloat16 of torch. Their memory may be channels_last; with gaps it is copied.
        us, vs: for each weight, [rows] and [cols], float, contiguous; updated in place if update is True.
        n_power_iterations: at least 1.
        eps: the smallest divisor in normalising a vector, above 0.
        order: 'legacy' or 'parametrization'.
        update: False: no iteration, as in eval mode.
        dims: the output axis, one for all or one each; 1 for transposed convolutions. None: 0.
        normalized: also return the weights divided by their sigma.

    Returns:
        sigmas [len(weights)] float32, or float64 if a weight is; with normalized also the list of W / sigma, in the
        weights' dtypes. For tensors both have gradients of any order; u and v count as constants.

    Raises:
        ShapeError: a weight has fewer than two axes, or u or v do not match it.
        DTypeError: an array is not a float array, or not of the kind of the others.
        ArgumentError: a number is out of range, or, on the CPU, a weight is zero; u and v are then unchanged.
        DeviceError: tensors are on several devices, or on one that kernels cannot use.

    Source: Miyato et al., "Spectral Normalization for Generative Adversarial Networks", 2018.

    Example:
        >>> from pyharmony import ops
        >>> weight = np.diag([3.0, 1.0]).astype(np.float32)
        >>> u, v = np.array([1.0, 0.0], np.float32), np.array([1.0, 0.0], np.float32)
        >>> ops.spectral_norm([weight], [u], [v]).tolist()
        [3.0]
    """
    _checks.flags(normalized=normalized)
    norm_settings = settings(n_power_iterations, eps, order, update)
    lists = (("weights", weights), ("us", us), ("vs", vs))
    weights, us, vs = (_checks.several(x, name, "a list of arrays") for name, x in lists)
    if not weights or len(us) != len(weights) or len(vs) != len(weights):
        raise ArgumentError(
            f"us, vs: {len(us)} and {len(vs)} for {len(weights)} weights; expected one each, at least 1"
        )
    tensors = [_arrays.is_torch(x) for x in (*weights, *us, *vs)]
    normalize: Any = _spectral_norm_cpu.normalize
    if any(tensors):
        if not all(tensors):
            raise DTypeError("weights, us, vs: tensors and other arrays; expected one kind")
        from . import _spectral_norm_torch

        normalize = _spectral_norm_torch.normalize
    else:
        _spectral_norm_cpu.check_dtypes(weights, us, vs)
    axes = axes_of(weights, dims)
    check_vectors(weights, us, vs, axes)
    sigmas, outs = normalize(weights, us, vs, axes, norm_settings, normalized=normalized)
    return (sigmas, outs) if normalized else sigmas
