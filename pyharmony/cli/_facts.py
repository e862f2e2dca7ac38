"""What this installation and machine have."""

from __future__ import annotations

import ctypes.util
import importlib.metadata
import importlib.util
import os
import platform
from pathlib import Path
from typing import Any

#: The distributions that bring a module, first found first.
_OPENCV = ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python")
#: Optional packages by module: what they are for, and how to get them.
OPTIONAL = {
    "cv2": (_OPENCV, "16-bit PNG, and 16-bit and float TIFF by LZW", "pip install 'pyharmony[io]'"),
    "torch": (("torch",), "tensors in the blends", "pip install 'pyharmony[torch]'"),
}


def version_of(*distributions: str) -> str | None:
    for name in distributions:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def optional_version(module: str) -> str | None:
    """The version of an optional package, or None where it cannot be imported from here."""
    try:
        if importlib.util.find_spec(module) is None:
            return None
    except (ImportError, ValueError):
        return None
    return version_of(*OPTIONAL[module][0]) or "unknown"


def formats() -> list[str]:
    """The kinds of files that are read and written here."""
    from PIL import features

    parts = {"jpeg": "jpg", "png": "zlib", "webp": "webp", "tiff": "zlib", "bmp": None, "avif": "avif"}
    return [name for name, part in parts.items() if part is None or features.check(part)]


def processor() -> str:
    """The model's name."""
    path = Path("/proc/cpuinfo")
    if path.exists():
        lines = (line.partition(":") for line in path.read_text(errors="replace").splitlines())
        for key, _, value in lines:
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def simd_levels() -> list[str]:
    """The instruction sets of this processor that the kernels have copies for, slowest first."""
    from .._native import native, simd_level

    before, found = simd_level(), []
    for level in ("baseline", "avx2", "avx512"):
        try:
            native.set_simd_level(level)
        except ValueError:
            continue
        found.append(level)
    native.set_simd_level(before)
    return found


def gpu_driver() -> str | None:
    """The version of NVIDIA's driver, 'unknown', or None without one."""
    path = Path("/proc/driver/nvidia/version")
    if path.exists():
        words = path.read_text(errors="replace").split()
        return next((word for word in words if word[0].isdigit() and "." in word), "unknown")
    return "unknown" if ctypes.util.find_library("cuda") else None


def devices() -> list[dict[str, Any]]:
    from .. import has_cuda

    found: list[dict[str, Any]] = [{"device": "cpu", "name": processor(), "cores": cores()}]
    if has_cuda():
        found.append({"device": "cuda", "name": "NVIDIA", "driver": gpu_driver()})
    return found
