"""Network layers for torch, which must be installed."""

from __future__ import annotations

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    from ... import _install

    raise ImportError(f"{error.name} is missing, pyharmony.networks.nn needs it: {_install.hint('torch')}") from error

from ..._public import publish
from .batch_norm import BatchNorm2d
from .conv import Conv2d, ConvTranspose2d
from .instance_norm import InstanceNorm2d
from .partial_conv import PartialConv2d
from .spectral_norm import SpectralNormGroup, remove_spectral_norm, spectral_norm

__all__ = [
    "BatchNorm2d",
    "Conv2d",
    "ConvTranspose2d",
    "InstanceNorm2d",
    "PartialConv2d",
    "SpectralNormGroup",
    "remove_spectral_norm",
    "spectral_norm",
]

publish(globals())
