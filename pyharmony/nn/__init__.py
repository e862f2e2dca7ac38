"""Layers of torch."""

from __future__ import annotations

from .instance_norm import InstanceNorm2d
from .partial_conv import PartialConv2d
from .spectral_norm import SpectralNormGroup, remove_spectral_norm, spectral_norm

__all__ = ["InstanceNorm2d", "PartialConv2d", "SpectralNormGroup", "remove_spectral_norm", "spectral_norm"]
