"""Adam's update of many tensors in one pass. Not public: used by the steps of `pyharmony.learn.training`.

See `pyharmony.reference.adam` for the definition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["adam"]


def adam(
    parameters: Sequence[Any],
    gradients: Sequence[Any],
    means: Sequence[Any],
    squares: Sequence[Any],
    steps: Sequence[Any],
    *,
    lr: Any,
    betas: tuple[float, float],
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    skip: Any = None,
    clip: float | None = None,
    cache: Any = None,
) -> None:
    """Updates tensors in place, on the CPU or, without synchronisation and capturable in a graph, on a CUDA device.

    The result does not depend on the number of threads.

    Args:
        parameters: float32 tensors of one device, each without gaps in memory.
        gradients, means, squares: float32, of their shapes, the last two of their memory layouts.
        steps: the number of updates of each parameter, float32 []; incremented here.
        lr: the learning rate, a number or a float32 tensor [].
        decoupled: whether the decay is decoupled from the gradient, as in AdamW.
        skip: a float32 tensor []: if it is not 0, only the clipping is applied.
        clip: the parameters are clipped to [-clip, clip] afterwards; None: no clipping.
        cache: an initially empty dict that speeds up later calls with the same tensors; None: no cache.
    """
    from ._adam_torch import update

    update(
        parameters, gradients, means, squares, steps, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay,
        decoupled=decoupled, skip=skip, clip=clip, cache=cache,
    )  # fmt: skip
