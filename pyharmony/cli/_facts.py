"""The facts about this installation and machine."""

from __future__ import annotations

import ctypes.util
import importlib.metadata
import importlib.util
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..typing import ImageFormat

#: The distributions that contain OpenCV's module; the first that is installed counts.
_OPENCV = ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python")
#: The optional packages by module: distributions, purpose, and the extra that installs them.
OPTIONAL = {
    "cv2": (_OPENCV, "16-bit PNG", "io"),
    "imagecodecs": (("imagecodecs",), "JPEG XL, deep TIFF by Zstandard, faster JPEG", "io"),
    "jpeglib": (("jpeglib",), "--quality original, which keeps what is unchanged of a JPEG", "jpeg"),
    "c2pa": (("c2pa-python",), "`pyharmony sign`", "c2pa"),
    "torch": (("torch",), "tensors in the blends", "torch"),
    "cupy": (("cupy-cuda13x", "cupy-cuda12x", "cupy"), "CuPy arrays in the blends", "cupy13"),
}


def version_of(*distributions: str) -> str | None:
    for name in distributions:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def optional_version(module: str) -> str | None:
    """Returns the version of an optional package, or None if it cannot be imported."""
    try:
        if importlib.util.find_spec(module) is None:
            return None
    except (ImportError, ValueError):
        return None
    return version_of(*OPTIONAL[module][0]) or "unknown"


def formats() -> list[ImageFormat]:
    """Returns the formats of files that this installation reads and writes."""
    from PIL import features

    parts: dict[ImageFormat, str | None]
    parts = {"jpeg": "jpg", "png": "zlib", "webp": "webp", "tiff": "zlib", "bmp": None, "avif": "avif"}
    jxl: list[ImageFormat] = ["jxl"] if importlib.util.find_spec("imagecodecs") else []
    return [name for name, part in parts.items() if part is None or features.check(part)] + jxl


def formats_read() -> list[str]:
    """Returns the formats of files that this installation reads but does not write."""
    return ["heic"] if importlib.util.find_spec("pillow_heif") else []


def weights() -> list[dict[str, Any]]:
    """Returns the weights that come with pyharmony."""
    from .. import _shipped

    keys = ("name", "model", "task", "bytes", "sha256")
    return [{key: getattr(entry, key) for key in keys} for entry in _shipped.every()]


def processor() -> str:
    """Returns the name of the CPU's model."""
    path = Path("/proc/cpuinfo")
    if path.exists():
        lines = (line.partition(":") for line in path.read_text(errors="replace").splitlines())
        for key, _, value in lines:
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def cores() -> int:
    """Returns the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def simd_levels() -> list[str]:
    """Returns the instruction sets of this CPU for which there are compiled kernels, slowest first."""
    from .._native import native, simd_level

    before, levels = simd_level(), []
    for level in ("baseline", "avx2", "avx512"):
        try:
            native.set_simd_level(level)
        except ValueError:
            continue
        levels.append(level)
    native.set_simd_level(before)
    return levels


def gpu_driver() -> str | None:
    """Returns the version of NVIDIA's driver, 'unknown', or None without one."""
    path = Path("/proc/driver/nvidia/version")
    if path.exists():
        words = path.read_text(errors="replace").split()
        return next((word for word in words if word[0].isdigit() and "." in word), "unknown")
    return "unknown" if ctypes.util.find_library("cuda") else None


def cuda_version(number: int) -> str:
    """Returns the version '13.0' for 13000, the number of the runtime and the driver."""
    return f"{number // 1000}.{number % 1000 // 10}"


def cuda() -> Any:
    """Returns the CUDA part of the native module, or None if it was built without CUDA."""
    from .._native import native

    return getattr(native, "cuda", None)


def code_for(architectures: list[str], capability: tuple[int, int]) -> str:
    """Returns which of the kernels' architectures runs on a GPU, such as '90-real' or '80-virtual'; '' if none does.

    Machine code, which is preferred, runs on its own major version, from its minor version on; PTX on all that is
    newer, compiled by the driver at first use. 'native' and 'all' were resolved by CMake, and count as machine code.

    architectures: CMake's names: '90' for both, '90-real' for machine code, '75-virtual' for PTX.
    """
    codes = [(False, (0, 0), "")]
    for name in architectures:
        number, _, kind = name.partition("-")
        if not number[:2].isdigit():
            return f"{name}-real"
        digits = number.rstrip("af")
        own = int(digits[:-1]), int(digits[-1])
        is_of_family = own[0] == capability[0] and own[1] <= capability[1]
        is_of_kind = own == capability if number.endswith("a") else is_of_family
        if kind != "virtual" and is_of_kind:
            codes.append((True, own, f"{number}-real"))
        if kind != "real" and (own <= capability if digits == number else is_of_kind):
            codes.append((False, own, f"{number}-virtual"))
    return max(codes)[2]


def gpus() -> list[dict[str, Any]]:
    """Returns the GPUs that CUDA lists; empty if the kernels or the driver are missing."""
    part = cuda()
    if part is None or part.status():
        return []
    architectures = list(part.architectures())
    devices = []
    for index in range(part.device_count()):
        p = part.properties(index)
        capability = (int(p["capability"][0]), int(p["capability"][1]))
        devices.append(
            {
                "device": f"cuda:{index}",
                "name": p["name"],
                "capability": "{}.{}".format(*capability),
                "memory_bytes": p["memory"],
                "free_bytes": p["free"],
                "served": bool(code := code_for(architectures, capability)),
                "machine_code": code.endswith("-real"),
                "code": code,
                "driver": gpu_driver(),
            }
        )
    return devices


def devices() -> list[dict[str, Any]]:
    return [{"device": "cpu", "name": processor(), "cores": cores()}, *gpus()]
