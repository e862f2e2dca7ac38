"""Batch norms of a model at the call: by what is given, or by running statistics."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..errors import ArgumentError, ShapeError
from ._registry import Model

__all__ = ["evaluating", "sees_one_at_a_time", "told_of_single_values", "with_batch_statistics"]


def _norms(model: nn.Module) -> list[_BatchNorm]:
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def with_batch_statistics(model: Model) -> Model:
    """Makes a model of the same weights whose batch norms use mean and variance of their input, in every mode.

    The published test commands of DoveNet, BargainNet and pix2pix run like this: they leave their networks in training
    mode. The tensors are those of model, which stays as it is: its running statistics are neither read nor changed.
    """
    if not _norms(getattr(model, "generator", model)):
        norm = getattr(model.config, "norm", None)
        has = f", its norm is {norm!r}" if isinstance(norm, str) else ""
        raise ArgumentError(f"batch_statistics: {model.name} makes its images without batch norms{has}; leave it out")
    twin = copy.deepcopy(model, {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())})
    for norm in _norms(twin):
        norm.track_running_stats = False
        norm.running_mean = norm.running_var = norm.num_batches_tracked = None
    return twin


def sees_one_at_a_time(model: Model) -> bool:
    """Tells whether the images of a batch would change one another, by batch norms without running statistics."""
    return any(norm.running_mean is None for norm in _norms(model))


@contextlib.contextmanager
def told_of_single_values(model: Model) -> Iterator[None]:
    """Turns torch's error about a batch norm that sees one value of each channel into a ShapeError."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ShapeError(
            f"batch_statistics: at {model.size} x {model.size} pixels a batch norm of this {model.name} sees one value "
            "of each channel, of which it leaves nothing; leave it out"
        ) from error


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[Tensor]:
    """Puts a module into evaluation mode inside; yields a parameter, whose device and dtype the inputs need."""
    training = [m for m in module.modules() if m.training]
    module.eval()
    try:
        yield next(module.parameters())
    finally:
        for m in training:
            m.training = True
