"""One update of Adam, in float64 NumPy (Kingma & Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015).

The t-th update of a parameter p with the gradient g, and its moving averages m of the gradient and v of its square:

    m = beta1 m + (1 - beta1) g,   v = beta2 v + (1 - beta2) g²,
    p = p - lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps).

A weight decay w is added to the gradient, g + w p, or decoupled from it: then p is multiplied by 1 - lr w first
(Loshchilov & Hutter, "Decoupled Weight Decay Regularization", ICLR 2019). A clip c limits p to [-c, c] at the end.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def adam(
    parameter: npt.ArrayLike,
    gradient: npt.ArrayLike,
    mean: npt.ArrayLike,
    square: npt.ArrayLike,
    step: int,
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    clip: float | None = None,
) -> tuple[Array, Array, Array]:
    """Returns p, m and v after update number step, counted from 1."""
    p, g, m, v = (np.asarray(x, np.float64) for x in (parameter, gradient, mean, square))
    if decoupled:
        p = p * (1 - lr * weight_decay)
    else:
        g = g + weight_decay * p
    m = betas[0] * m + (1 - betas[0]) * g
    v = betas[1] * v + (1 - betas[1]) * g**2
    p = p - lr * m / (1 - betas[0] ** step) / (np.sqrt(v / (1 - betas[1] ** step)) + eps)
    return p if clip is None else np.clip(p, -clip, clip), m, v
