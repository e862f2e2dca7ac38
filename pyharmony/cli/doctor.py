"""`pyharmony doctor`: checks whether this installation works, and reports how to repair it."""

from __future__ import annotations

import importlib.util
import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import typer

from .. import _install
from ..runs._jobs.failures import Code
from . import _facts
from ._command import command
from ._console import Console

if TYPE_CHECKING:
    from ..typing import Device


@dataclass(frozen=True)
class Check:
    """The result of a check: 'ok', 'failed', or 'note' if something optional is missing."""

    name: str
    state: str
    found: str
    remedy: str = ""


class Missing(Exception):
    """An error that reports a missing optional part."""


@command("doctor")
def doctor(console: Console) -> None:
    """Check that everything works; each failure comes with its remedy.

    The exit code is 1 if a check failed. Missing optional parts are not failures.
    """
    checks = list(_checks())
    failed = sum(check.state == "failed" for check in checks)
    console.result(status="error" if failed else "ok", failed=failed, checks=[asdict(check) for check in checks])
    marks = {"ok": "ok", "note": "--", "failed": "FAILED"}
    for check in checks:
        remedy = f"\n        -> {check.remedy}" if check.remedy else ""
        console.report(f"{marks[check.state]:7} {check.name}: {check.found}{remedy}")
    if failed:
        raise typer.Exit(Code.UNEXPECTED)


def _checks() -> Iterator[Check]:
    def check(name: str, what: Callable[[], str], remedy: str) -> Check:
        try:
            return Check(name, "ok", what())
        except Missing as missing:
            return Check(name, "note", str(missing), remedy)
        except Exception as error:
            return Check(name, "failed", f"{type(error).__name__}: {error}", remedy)

    again, clone = _install.again(), _install.clone()
    # The build reuses existing objects, so its folder is removed to compile everything.
    anew = again if clone is None else f"rm -rf {shlex.quote(str(clone / 'build'))} && {again}"
    yield check("Python", _python, "install CPython 3.10 or later")
    yield check("installation", _distribution, f"pip uninstall -y pyharmony && {again}")
    yield check("native module", _module, anew)
    yield check("blends", _blends, f"{anew}; if it persists, please report it with `pyharmony info`")
    restore = f"restore {clone}/pyharmony/networks/models/_weights by git"
    yield check("weights", _weights, again if clone is None else restore)
    yield check("picture files", _files, "pip install --force-reinstall pillow")
    for module in _OPTIONAL_CHECKS:
        yield _optional(module)
    yield check("page", _page, _install.hint("serve"))
    yield check("temporary folder", _temporary, "set TMPDIR to a folder that is writable and has free space")
    yield check("service", _confinement, "Linux 5.13 confines workers; elsewhere run the service in a container")
    yield check("CUDA kernels", _kernels, "with a GPU: install again with nvcc of CUDA 12.4 or later on PATH")
    yield check("GPU", _driver, "nothing to do: everything runs on the CPU")
    yield from _gpus(check)


def _optional(module: str) -> Check:
    _, purpose, extra = _facts.OPTIONAL[module]
    remedy = _install.hint(extra)
    if module == "cupy":
        remedy = f"with a GPU: {remedy}; with CUDA 12: {_install.hint('cupy12')}"
    version = _facts.optional_version(module)
    if version is None:
        return Check(module, "note", f"not installed; used for {purpose}", remedy)
    try:
        more = _OPTIONAL_CHECKS[module]()
    except Exception as error:
        return Check(module, "failed", f"{version}: {type(error).__name__}: {error}", f"{remedy}, or uninstall it")
    return Check(module, "ok", f"{version}, for {purpose}" + (f"; {more}" if more else ""))


def _python() -> str:
    return f"{platform.python_implementation()} {platform.python_version()}"


def _distribution() -> str:
    """Checks the distribution, and whether the other project named `pyharmony` is installed, with the same folder."""
    from .. import __version__

    version = _facts.version_of(_install.DISTRIBUTION)
    name = f"{_install.DISTRIBUTION} {version or __version__ + ', which is not installed'}"
    strangers = _install.strangers()
    if not strangers:
        return name
    others = " and ".join(f"pyharmony {version}" for version in strangers)
    text = f"{name}, and the package {others}, another project on the package index, is installed too"
    if any(strangers.values()):
        raise RuntimeError(f"{text}; its files are mixed with those of this one")
    raise Missing(text)


def _confinement() -> str:
    """Confines a process as the workers of the service are."""
    code = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from pyharmony.serve._confinement import confine; "
    code += "print(json.dumps(confine('/')))"
    arguments = [sys.executable, "-c", code, json.dumps(sys.path)]
    process = subprocess.run(arguments, capture_output=True, text=True, check=True)  # noqa: S603, this Python
    state: dict[str, str] = json.loads(process.stdout)
    text = ", ".join(f"{what} {how}" for what, how in state.items())
    if set(state.values()) != {"confined"}:
        raise Missing(f"workers are not confined: {text}")
    return f"workers: {text}"


def _weights() -> str:
    """Compares the checksums of the weights that come with pyharmony, and tells those that are left out."""
    from .. import _shipped

    every = _shipped.every()
    for entry in every:
        _shipped.read(entry)
    names, left_out = (", ".join(entry.name for entry in some) for some in (every, _shipped.left_out()))
    return (names or "none") + (f"; {_shipped.OPEN_DATA}=1 leaves out {left_out}" if left_out else "")


def _module() -> str:
    from .._native import get_num_threads, native, simd_level

    levels = ", ".join(_facts.simd_levels())
    return f"{native.__name__} is loaded; {simd_level()} of {levels}; {get_num_threads()} threads"


def _blends() -> str:
    """Compares every kind of solve, on every instruction set, with its definition in NumPy."""
    from .._native import native, simd_level

    worst, before, levels = 0.0, simd_level(), _facts.simd_levels()
    try:
        for level in levels:
            native.set_simd_level(level)
            worst = max(worst, _worst_error("cpu", f" with {level}"))
    finally:
        native.set_simd_level(before)
    return f"at most {worst:.1g}/255 from the definition ({', '.join(levels)})"


def _worst_error(device: Device, how: str = "") -> float:
    """Returns the largest error of both ops against their definitions, in 8-bit levels; raises above tolerance."""
    import numpy as np

    from .. import get_device, set_device
    from ..ops import gaussian_poisson, poisson
    from ..reference.gaussian_poisson import gaussian_poisson as gaussian_poisson_definition
    from ..reference.poisson import poisson as poisson_definition

    y, x = np.mgrid[:32, :48].astype(np.float32)
    src = np.stack([np.sin(x / 5), np.cos(y / 7), np.sin((x + y) / 9)], -1) / 3 + np.float32(0.5)
    dst = np.stack([np.cos(y / 6), np.sin(x / 8), np.cos((x - y) / 11)], -1) / 3 + np.float32(0.5)
    mask = np.hypot(x - 24, y - 16) < 12
    definitions = poisson_definition(src, dst, mask), gaussian_poisson_definition(src, dst, mask, dst)
    tolerance, worst, before = 0.025, 0.0, get_device()
    set_device(device)
    try:
        answers = (
            poisson(src, dst, mask, tolerance=tolerance),
            gaussian_poisson(src, dst, mask, dst, tolerance=tolerance),
        )
    finally:
        set_device(before)
    for answer, definition, name in zip(answers, definitions, ("poisson", "gaussian_poisson"), strict=True):
        error = 255 * float(np.abs(answer - definition).max())
        worst = max(worst, error)
        if not error <= tolerance:
            raise RuntimeError(f"{name}{how} is {error:.3g} levels from its definition")
    return worst


def _files() -> str:
    import io

    import numpy as np

    from ..io import Picture, read, write

    picture = Picture(pixels=np.arange(8 * 6 * 3, dtype=np.uint8).reshape(8, 6, 3))
    for name in _facts.formats():
        stream = io.BytesIO()
        write(picture, stream, format=name)
        again = read(stream.getvalue(), name)
        if again.pixels.shape != picture.pixels.shape:
            raise RuntimeError(f"{name}: an image was read back with shape {list(again.pixels.shape)}")
    return f"written and read back: {', '.join(_facts.formats())}"


def _cv2() -> str:
    importlib.import_module("cv2").getBuildInformation()
    return ""


def _imagecodecs() -> str:
    codecs = importlib.import_module("imagecodecs")
    if codecs.zstd_decode(codecs.zstd_encode(bytes(8))) != bytes(8):
        raise RuntimeError("bytes were not decoded as they had been encoded")
    return ""


def _jpeglib() -> None:
    importlib.import_module("jpeglib").version.get()


def _c2pa() -> None:
    importlib.import_module("c2pa").sdk_version()


def _torch() -> str:
    from .. import blend
    from ..learn.training.precision import fast_dtype

    torch = importlib.import_module("torch")

    image = torch.zeros(3, 8, 9)
    if not torch.equal(blend.alpha(image + 1, image), image + 1):
        raise RuntimeError("the blend of tensors is wrong")
    gpu = torch.cuda.is_available()
    trains = f"networks are trained in {fast_dtype('cuda' if gpu else 'cpu')} by dtype='auto'"
    if torch.version.cuda is None:
        return f"built without CUDA; {trains}"
    return f"built for CUDA {torch.version.cuda}, finds {'a' if gpu else 'no'} GPU; {trains}"


def _cupy() -> str:
    cupy = importlib.import_module("cupy")
    major = cupy.cuda.runtime.runtimeGetVersion() // 1000
    return f"built for CUDA {major}.x, finds {'a' if cupy.cuda.is_available() else 'no'} GPU"


_OPTIONAL_CHECKS: dict[str, Callable[[], str | None]] = {
    "cv2": _cv2, "imagecodecs": _imagecodecs, "jpeglib": _jpeglib, "c2pa": _c2pa, "torch": _torch, "cupy": _cupy,
}  # fmt: skip


#: The uses of the packages without which the page, or a part of it, does not work, by their modules.
_PAGE = {
    "fastapi": "the service", "uvicorn": "the service", "prometheus_client": "the service",
    "cv2": "merging and 16-bit PNG files", "pillow_heif": "HEIC files",
}  # fmt: skip


def _page() -> str:
    missing = {module: use for module, use in _PAGE.items() if importlib.util.find_spec(module) is None}
    if missing:
        lacks = "; ".join(f"{module}, for {use}" for module, use in missing.items())
        raise Missing(f"`pyharmony serve` lacks {lacks}")
    return "`pyharmony serve` has all that its page offers"


def _temporary() -> str:
    import tempfile

    with tempfile.TemporaryFile() as file:
        file.write(bytes(1 << 20))
        file.flush()
    return tempfile.gettempdir()


def _kernels() -> str:
    part = _facts.cuda()
    if part is None:
        raise Missing("not compiled in: there was no nvcc, `make` found no GPU, or HM_CUDA=OFF")
    names = part.architectures()
    text = (
        f"compiled for {', '.join(names)}; CUDA runtime {_facts.cuda_version(part.runtime_version())}, "
        "linked statically"
    )
    if all(name.endswith("-virtual") for name in names):
        again = _install.again("-DHM_CUDA_ARCHITECTURES=common")
        text += f". This is PTX, which a GPU's driver compiles at first use; machine code: {again}"
    return text


def _driver() -> str:
    """Returns the devices, or raises for the first cause that makes them unusable."""
    part, driver = _facts.cuda(), _facts.gpu_driver()
    reason = ""
    if part is not None:
        from .._native import driver_trouble

        reason = driver_trouble(part) or part.status()
    if driver is None and (part is None or reason):
        raise Missing("no NVIDIA driver")
    if part is None or reason:
        raise Missing(f"driver {driver}: {reason or 'no CUDA kernels in this build'}")
    count = part.device_count()
    return f"driver {driver}, for CUDA {_facts.cuda_version(part.driver_version())}; {count} device{'s' * (count > 1)}"


def _gpus(check: Callable[[str, Callable[[], str], str], Check]) -> Iterator[Check]:
    """Yields a check for each device: whether the compiled kernels run on it, with correct results."""
    again = _install.again("-DHM_CUDA_ARCHITECTURES=native")
    try:
        gpus = _facts.gpus()
    except Exception:  # the checks of the module and of the driver have reported the cause
        return
    for gpu in gpus:

        def works(gpu: dict[str, Any] = gpu) -> str:
            text = f"{gpu['name']}, capability {gpu['capability']}, "
            if gpu["free_bytes"] is not None:  # unknown as long as the process does not use the device
                text += f"{gpu['free_bytes'] / 2**30:.1f} of "
            text += f"{gpu['memory_bytes'] / 2**30:.1f} GiB" + (" free" if gpu["free_bytes"] is not None else "")
            if not gpu["served"]:
                names = ", ".join(_facts.cuda().architectures())
                raise RuntimeError(f"{text}; the kernels are compiled for {names} and do not run on it")
            text += f"; runs code of {gpu['code']}"
            if not gpu["machine_code"]:
                text += ": the driver compiles the kernels for it at their first use, which takes seconds to a minute"
                text += f" (not after {again})"
            if gpu["device"] == "cuda:0":
                text += f"; blends at most {_worst_error('cuda'):.1g}/255 from the definition"
            return text

        yield check(f"GPU {gpu['device'].partition(':')[2]}", works, again)
