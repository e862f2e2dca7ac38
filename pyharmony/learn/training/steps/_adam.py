"""Adam and AdamW that update all tensors in one native pass, with torch's state dicts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ....errors import ArgumentError
from ....ops._adam_torch import is_dense
from ....ops.adam import adam


def takes(parameters: Iterable[Tensor]) -> bool:
    """Returns whether the native update supports these parameters; torch's own optimizers update the others."""
    return all(p.dtype == torch.float32 and p.device.type in ("cpu", "cuda") and is_dense(p) for p in parameters)


class _Native(torch.optim.Optimizer):
    """The common update of Adam and AdamW."""

    decoupled: bool

    @torch.no_grad()
    def step(self, closure: Any = None, *, skip: Tensor | None = None, clip: float | None = None) -> Any:
        """Updates the parameters that have gradients.

        Args:
            closure: recomputes the loss.
            skip: a tensor []: if it is not 0, only the clipping is applied.
            clip: the parameters are clipped to [-clip, clip] afterwards; None: no clipping.
        """
        loss = None
        cached = self.__dict__.setdefault("_kept", {})  # not copied with the optimizer
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for option in ("amsgrad", "maximize"):
                if group[option]:
                    raise ArgumentError(f"{option}: True, but the native update does not support it")
            parameters = [p for p in group["params"] if p.grad is not None]
            states = [self._state_of(p) for p in parameters]
            adam(
                parameters, [p.grad for p in parameters],
                *([state[key] for state in states] for key in ("exp_avg", "exp_avg_sq", "step")),
                lr=group["lr"], betas=group["betas"], eps=group["eps"], weight_decay=group["weight_decay"],
                decoupled=self.decoupled, skip=skip, clip=clip, cache=cached,
            )  # fmt: skip
        return loss

    def _state_of(self, parameter: Tensor) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), device=parameter.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        return state


class Adam(_Native, torch.optim.Adam):
    """torch's Adam, with weight decay added to the gradient."""

    decoupled = False


class AdamW(_Native, torch.optim.AdamW):
    """torch's AdamW, with weight decay decoupled from the gradient."""

    decoupled = True
