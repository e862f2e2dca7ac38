"""Batch norms in calls of a model: statistics of the input or running statistics."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...errors import ArgumentError, ShapeError
from ._registry import Model

__all__ = ["evaluating", "reporting_single_values", "sees_one_at_a_time", "with_batch_statistics"]


def _norms(model: nn.Module) -> list[_BatchNorm]:
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def with_batch_statistics(model: Model) -> Model:
    """Returns a copy of the model whose batch norms always use the statistics of their input.

    The published test commands of DoveNet, BargainNet and pix2pix do so: they leave their networks in training mode.
    The copy shares the tensors of model, which is unchanged; its running statistics are neither read nor updated.
    """
    if not _norms(getattr(model, "generator", model)):
        norm = getattr(model.config, "norm", None)
        has = f", its norm is {norm!r}" if isinstance(norm, str) else ""
        raise ArgumentError(f"batch_statistics: the generator of {model.name} has no batch norms{has}; leave it out")
    twin = copy.deepcopy(model, {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())})
    for norm in _norms(twin):
        norm.track_running_stats = False
        norm.running_mean = norm.running_var = norm.num_batches_tracked = None
    return twin


def sees_one_at_a_time(model: Model) -> bool:
    """Returns whether the outputs for a batch depend on each other, by batch norms without running statistics."""
    return any(norm.running_mean is None for norm in _norms(model))


@contextlib.contextmanager
def reporting_single_values(model: Model) -> Iterator[None]:
    """Turns torch's error about a batch norm with one value per channel into a ShapeError."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ShapeError(
            f"batch_statistics: at {model.size} x {model.size} pixels a batch norm of this {model.name} has one value "
            "per channel, which it maps to 0; leave it out"
        ) from error


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[Tensor]:
    """Puts a module into evaluation mode inside; yields a parameter, which has the device and dtype for inputs."""
    training = [m for m in module.modules() if m.training]
    module.eval()
    try:
        yield next(module.parameters())
    finally:
        for m in training:
            m.training = True
