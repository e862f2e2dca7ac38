"""Layers of torch."""

from __future__ import annotations

from .partial_conv import PartialConv2d
from .spectral_norm import SpectralNormGroup, spectral_norm

__all__ = ["PartialConv2d", "SpectralNormGroup", "spectral_norm"]
