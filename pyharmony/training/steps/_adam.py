"""Adam and AdamW whose update of all tensors is one native pass, with torch's state dicts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ...errors import ArgumentError
from ...ops._adam_torch import is_dense
from ...ops.adam import adam


def takes(parameters: Iterable[Tensor]) -> bool:
    """Returns whether the native update takes these parameters; torch's own optimizers take the others."""
    return all(p.dtype == torch.float32 and p.device.type in ("cpu", "cuda") and is_dense(p) for p in parameters)


class _Native(torch.optim.Optimizer):
    """The update of both."""

    decoupled: bool

    @torch.no_grad()
    def step(self, closure: Any = None, *, skip: Tensor | None = None, clip: float | None = None) -> Any:
        """Makes an update of the parameters that have gradients.

        Args:
            closure: computes the loss anew.
            skip: a tensor []: where it is not 0 nothing changes but the clip.
            clip: these parameters end in [-clip, clip]; None: they are not clipped.
        """
        loss = None
        cached = self.__dict__.setdefault("_kept", {})  # no copy of an optimizer has it
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for option in ("amsgrad", "maximize"):
                if group[option]:
                    raise ArgumentError(f"{option}: True, and the native update has no such option")
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
    """torch's Adam, its weight decay a part of the gradient."""

    decoupled = False


class AdamW(_Native, torch.optim.AdamW):
    """torch's AdamW, its weight decay apart from the gradient."""

    decoupled = True
