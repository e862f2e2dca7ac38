"""Checks an installed pyharmony from outside its sources: python check_installed.py FOLDER_IT_SHOULD_BE_IN."""

import importlib.metadata
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

HEAVY = {"torch", "cupy", "cv2", "scipy", "PIL", "matplotlib"}
# Libraries that any Linux with a C++ runtime has.
SYSTEM_LIBRARIES = {
    "libstdc++.so.6",
    "libgcc_s.so.1",
    "libc.so.6",
    "libm.so.6",
    # Libraries of glibc before 2.34, which the static CUDA runtime names.
    "libdl.so.2",
    "librt.so.1",
    "libpthread.so.0",
    "ld-linux-x86-64.so.2",
}

BLEND = """
import importlib.util
import inspect
import sys
import numpy as np
import pyharmony
from pyharmony import blend

rng = np.random.default_rng(0)
src, dst = (rng.integers(0, 256, (97, 131, 3), np.uint8) for _ in range(2))
mask = np.zeros((97, 131), np.uint8)
mask[20:70, 30:101] = 255
results = {}
for name in blend.__all__:
    function = getattr(blend, name)
    if name == "gp_gan" and importlib.util.find_spec("torch") is None:
        continue  # it runs a network, and says so
    if name == "placed_mask":
        assert np.array_equal(function(src, dst, mask), mask)
        continue
    parameters = inspect.signature(function).parameters
    if "image" in parameters:
        results[name] = function(dst, mask)
    elif "items" in parameters:
        results[name] = function(dst, [{"src": src, "mask": mask}])
    else:
        into = [np.empty_like(dst)] if name.endswith("_tiles") else []
        results[name] = function(src, dst, mask, *into)
    assert results[name].dtype == dst.dtype and results[name].shape == dst.shape, name
    assert np.array_equal(results[name][mask == 0], dst[mask == 0]), name
np.savez(sys.argv[1], **results)
print(pyharmony.simd_level(), *results)
"""


def main() -> None:
    start = time.perf_counter()
    import pyharmony.blend

    seconds = time.perf_counter() - start
    # The weights that come with it are there, and as they were made.
    from pyharmony import _shipped

    for weights in _shipped.every():
        _shipped.read(weights)
    loaded = {name.partition(".")[0] for name in sys.modules} & HEAVY
    assert not loaded, f"import pyharmony.blend loads {loaded}"
    place, expected = Path(pyharmony.__file__).resolve(), Path(sys.argv[1]).resolve()
    assert place.is_relative_to(expected), f"{place} is not in {expected}"
    assert not list(place.parent.rglob("_emulator*")), "the emulator of CUDA is for tests"

    from pyharmony import _C

    module = Path(_C.__file__)
    listing = subprocess.run(["readelf", "-d", str(module)], capture_output=True, text=True, check=True).stdout
    needed = {line.rpartition("[")[2].rstrip("]") for line in listing.splitlines() if "(NEEDED)" in line}
    assert needed <= SYSTEM_LIBRARIES, f"{module} needs {needed - SYSTEM_LIBRARIES}"

    # CUDA's runtime is linked statically: without a driver it loads, and says so.
    cuda = getattr(_C, "cuda", None)
    if cuda is not None:
        assert cuda.architectures()
        assert (cuda.device_count() == 0) == bool(cuda.status()) == (not pyharmony.has_cuda())
    status = "none compiled in" if cuda is None else cuda.status() or "ready"
    print(f"CUDA kernels: {status}")

    folder = place.parent
    for name in ("py.typed", "_C.pyi", "blend/__init__.pyi", "harmonization/__init__.pyi", "ops/__init__.pyi"):
        assert (folder / name).is_file(), name
    shipped = [str(path) for path in importlib.metadata.files("pyharmony-blend") or ()]
    # An editable install has no man page.
    if expected.is_relative_to(prefix := Path(sys.prefix).resolve()):
        assert (prefix / "share" / "man" / "man1" / "pyharmony.1").is_file()
    strangers = [p for p in shipped if p.startswith(("tests/", "csrc/", "benchmarks/")) or p.endswith((".cpp", ".cu"))]
    assert not strangers, strangers

    # The command is there, as a shell finds it, and so are its images.
    program = Path(sys.executable).with_name("pyharmony")
    for arguments in (["--version"], ["doctor"], ["demo", "-o", "demo", "--quiet", "--overwrite"]):
        done = subprocess.run(
            [str(program), *arguments], cwd=Path(__file__).parent, capture_output=True, text=True
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    reference, shown = None, []
    for level in ("baseline", "avx2", "avx512"):
        output = Path(__file__).with_name(f"{level}.npz")
        done = subprocess.run(
            [sys.executable, "-c", BLEND, str(output)],
            env={**os.environ, "PYHARMONY_SIMD": level}, capture_output=True, text=True,
        )  # fmt: skip
        if "is not available here" in done.stderr and level != "baseline":
            continue
        assert done.returncode == 0, done.stderr
        shown.append(done.stdout.strip())
        results = dict(np.load(output))
        reference = reference or results
        for name, image in results.items():
            assert np.abs(image.astype(int) - reference[name]).max() <= 1, f"{name}: {level} differs from baseline"
    print(f"{place}\nimport pyharmony.blend: {1000 * seconds:.0f} ms beyond NumPy; needs {', '.join(sorted(needed))}")
    print("\n".join(f"blended with {line}" for line in shown))


if __name__ == "__main__":
    main()
