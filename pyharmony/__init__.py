"""Exact, fast image blending and harmonisation."""

from __future__ import annotations

from ._native import get_num_threads, has_cuda, set_num_threads, simd_level
from ._version import __version__

__all__ = ["__version__", "get_num_threads", "has_cuda", "set_num_threads", "simd_level"]
