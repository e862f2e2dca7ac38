"""Layers of torch."""

from __future__ import annotations

from .partial_conv import PartialConv2d

__all__ = ["PartialConv2d"]
