"""Layers of torch, which they need: `pip install 'pyharmony[torch]'`."""

from __future__ import annotations

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError(f"{error.name} is missing, pyharmony.nn needs it: pip install 'pyharmony[torch]'") from error

from .instance_norm import InstanceNorm2d
from .partial_conv import PartialConv2d
from .spectral_norm import SpectralNormGroup, spectral_norm

__all__ = ["InstanceNorm2d", "PartialConv2d", "SpectralNormGroup", "spectral_norm"]
