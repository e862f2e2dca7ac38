"""Adam's update of many tensors in one pass over them. Not public: the steps of `pyharmony.training` make it.

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
    """Updates tensors in place, on the CPU or on a CUDA device, where nothing waits and a CUDA graph can capture it.

    Bits do not depend on the number of threads.

    Args:
        parameters: float32 tensors of one device, each without gaps in memory.
        gradients: float32, of their shapes.
        means, squares: the moving averages of the gradients and of their squares, float32, of the shapes and memory
            layouts of the parameters.
        steps: how many updates each parameter has had, float32 []; they are counted here.
        lr: the learning rate, a number or a float32 tensor [].
        betas: the rates of the moving averages, 0 to 1, 1 not included.
        eps: what is added to the root of the mean square.
        weight_decay: the decay of the parameters.
        decoupled: whether the decay is apart from the gradient, as AdamW has it.
        skip: a float32 tensor []: where it is not 0 nothing changes but the clip.
        clip: the parameters end in [-clip, clip]; None: they are not clipped.
        cache: a dict, at first empty, that saves later calls with the same tensors time; None: nothing is kept.

    Raises:
        DTypeError, ShapeError, DeviceError: a tensor is not as above.
        ArgumentError: a number is out of range, or the lists differ in length.
    """
    from ._adam_torch import update

    update(
        parameters, gradients, means, squares, steps, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay,
        decoupled=decoupled, skip=skip, clip=clip, cache=cache,
    )  # fmt: skip
