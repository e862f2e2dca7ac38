"""Layers of torch."""

from __future__ import annotations

from .spectral_norm import SpectralNormGroup, spectral_norm

__all__ = ["SpectralNormGroup", "spectral_norm"]
