"""One small case for each kind of solve on a GPU, beside the same on the CPU.

python tests/gpu_cases.py --list         the names
python tests/gpu_cases.py NAME...        runs them on the first GPU, as `make gpu-check` does under compute-sanitizer
python tests/gpu_cases.py --unlaunched   runs all, and prints the kernels of csrc that none of them launches

NumPy goes in and comes out, so that neither torch nor CuPy is needed. The last case, `kernels`, is that of
tests/emulator_cases.py: each kernel by itself, with memory of the GPU.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import pyharmony
from pyharmony import _native, blend
from pyharmony._arrays import VALUE_RANGE
from pyharmony.ops import gaussian_poisson, poisson

CSRC = Path(__file__).resolve().parent.parent / "csrc"
#: The image's sides: wider and higher than any tile, of no round size, so that every loop of a kernel runs twice.
HEIGHT, WIDTH = 211, 333
SMOOTH_WIDTH = 320  # a product of small primes: the transform of such rows needs no convolution

Solve = Callable[[], Any]


def pictures(dtype: str, *, batch: int = 0) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Returns src and dst [H, W, 3], or [N, H, W, 3]: waves and a little noise, in the range of the dtype."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:HEIGHT, :WIDTH] / 40.0
    phases = rng.uniform(0, 6, (2, max(batch, 1), 3))
    waves = np.sin(x[..., None] + phases[:, :, None, None]) * np.cos(1.3 * y[..., None] + phases[:, :, None, None])
    images = 0.5 + 0.35 * waves + rng.uniform(-0.1, 0.1, waves.shape)
    images = images if batch else images[:, 0]
    scaled = images * (VALUE_RANGE[dtype] if np.dtype(dtype).kind == "u" else 1)
    src, dst = (np.rint(scaled) if np.dtype(dtype).kind == "u" else scaled).astype(dtype)
    return src, dst


def blob() -> npt.NDArray[np.float32]:
    """Returns a soft mask that touches the border."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    distance = np.hypot((x - 0.6 * WIDTH) / (0.45 * WIDTH), (y - 0.3 * HEIGHT) / (0.5 * HEIGHT))
    return np.clip(4 * (1 - distance), 0, 1).astype(np.float32)


def map_of_weights() -> npt.NDArray[np.float32]:
    return np.linspace(0.3, 2.0, WIDTH, dtype=np.float32)[None].repeat(HEIGHT, 0)


CASES: dict[str, Solve] = {}


def case(
    name: str, solve: Callable[..., Any], dtype: str, *, batch: int = 0, width: int = WIDTH, **options: Any
) -> None:
    def run() -> Any:
        src, dst = (x[..., :width, :] for x in pictures(dtype, batch=batch))
        arguments = {key: value() if callable(value) else value for key, value in options.items()}
        base = [dst] if solve is gaussian_poisson else []
        result = solve(src, dst, blob()[:, :width], *base, **arguments)
        return result[0] if arguments.get("return_info") else result

    CASES[name] = run


for kind in ("uint8", "uint16", "float16", "float32"):
    case(f"chebyshev-{kind}", gaussian_poisson, kind, method="chebyshev")
    case(f"chebyshev-pinned-{kind}", gaussian_poisson, kind, method="chebyshev", preserve_background=True)
    case(f"dct-{kind}", gaussian_poisson, kind, method="dct", color_weight=1e-3)
    case(f"dct-smooth-{kind}", gaussian_poisson, kind, method="dct", color_weight=0.5, width=SMOOTH_WIDTH)
    case(f"poisson-{kind}", poisson, kind)
case("chebyshev-map", gaussian_poisson, "float32", method="chebyshev", color_weight=map_of_weights)
case("chebyshev-batch", gaussian_poisson, "uint8", method="chebyshev", batch=2)
case("dct-batch", gaussian_poisson, "float32", method="dct", color_weight=1e-2, batch=2)
case("dct-weight-0", gaussian_poisson, "float32", method="dct", color_weight=0.0, width=SMOOTH_WIDTH)
case("galerkin-pinned", gaussian_poisson, "float32", method="multigrid", color_weight=1e-3, preserve_background=True)
case("galerkin-map", gaussian_poisson, "float32", method="multigrid", color_weight=map_of_weights)
# This includes what proves the bound of the error.
case("chebyshev-info", gaussian_poisson, "float32", method="chebyshev", return_info=True)
case("dct-info", gaussian_poisson, "float32", method="dct", color_weight=0.1, return_info=True)
case("galerkin-info", gaussian_poisson, "float32", method="multigrid", color_weight=1e-2, preserve_background=True,
     return_info=True)  # fmt: skip
case("poisson-info", poisson, "float32", return_info=True)
case("poisson-mixed", poisson, "float32", gradients="mixed")
case("poisson-weight", poisson, "float32", color_weight=1e-3)
case("poisson-batch", poisson, "uint8", batch=2)
case("pyramid-uint8", blend.gaussian_poisson, "uint8", preserve_background=False)
case("pyramid-float32", blend.gaussian_poisson, "float32", preserve_background=False)
case("pyramid-pinned", blend.gaussian_poisson, "uint8")


def allowed(name: str, dtype: str) -> float:
    """Returns how far two right answers may be apart, in the unit of the dtype.

    Each is within its tolerance of the exact one (`blend.gaussian_poisson`: so is each level, whose error the next
    takes over at most whole; there are at most six here), and rounded to the dtype.
    """
    level = VALUE_RANGE[dtype] / 255
    tolerance = {"uint8": 0.25, "uint16": 0.004, "float16": 0.025, "float32": 0.025}[dtype] * level
    rounding = 1.0 if np.dtype(dtype).kind == "u" else 2 * float(np.finfo(dtype).eps)
    levels = 6 if name.startswith("pyramid") else 1
    return 2 * levels * max(tolerance, 0.25 * level if levels > 1 else 0) + rounding


def on(device: str, solve: Solve) -> Any:
    """Returns a case's result on 'cpu' or 'cuda'."""
    before = pyharmony.get_device()
    pyharmony.set_device(device, strict=True)
    try:
        return solve()
    finally:
        pyharmony.set_device(before)


@functools.cache
def expected(name: str) -> Any:
    return on("cpu", CASES[name])


class Native:
    """The kernels of the GPU as tests/emulator_cases.py calls those of the emulator."""

    def __getattr__(self, name: str) -> Any:
        module = _native.device_module()
        return getattr(module, name) if hasattr(module, name) else getattr(_native.native, name)


def kernels() -> list[Any]:
    """Runs each kernel by itself on the GPU; returns what it wrote."""
    path = Path(__file__).with_name("emulator_cases.py")
    spec = importlib.util.spec_from_file_location("emulator_cases", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["emulator_cases"] = module
    spec.loader.exec_module(module)
    return [(case.name, case.results(Native())) for case in module.CASES if case.module == "_emulator"]


def check(name: str) -> float:
    """Runs a case on the GPU; returns the largest difference from the CPU's result, which has to be small."""
    if name == "kernels":
        assert kernels() == kernels()
        return 0.0
    reference_result, result = expected(name), on("cuda", CASES[name])
    assert result.dtype == reference_result.dtype and result.shape == reference_result.shape
    difference = float(np.abs(result.astype(np.float64) - reference_result.astype(np.float64)).max())
    limit = allowed(name, reference_result.dtype.name)
    assert difference <= limit, f"{name}: {difference:g} from the CPU's result, allowed are {limit:g}"
    return difference


def kernels_of_sources() -> set[str]:
    """Returns the names of all __global__ functions."""
    text = "".join(path.read_text() for suffix in ("cu", "cuh") for path in sorted(CSRC.rglob(f"*.{suffix}")))
    declaration = re.compile(r"__global__\s+(?:__launch_bounds__\s*\([^;{]*?\)\s*)?void\s+(?:__launch_bounds__\s*"
                             r"\((?:[^()]|\([^()]*\))*\)\s*)?(\w+)\s*\(")  # fmt: skip
    return set(declaration.findall(text))


def unlaunched() -> list[str]:
    """Returns the kernels that no case launches, by torch's profiler."""
    import torch

    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        kernels()
        for name in CASES:
            on("cuda", CASES[name])
    kernels_seen = " ".join(event.key for event in profile.key_averages())
    return sorted(name for name in kernels_of_sources() if not re.search(rf"\b{name}\b", kernels_seen))


def main() -> None:
    if sys.argv[1:] == ["--list"]:
        print("\n".join([*CASES, "kernels"]))
    elif sys.argv[1:] == ["--unlaunched"]:
        print(json.dumps(unlaunched()))
    else:
        for name in sys.argv[1:]:
            print(f"{name}: {check(name):g}", flush=True)


if __name__ == "__main__":
    main()
