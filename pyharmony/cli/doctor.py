"""`pyharmony doctor`: whether this installation works, and what to do where it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import typer

from ._console import Console, Debug, Json
from ._failures import Code


@dataclass(frozen=True)
class Check:
    """What was checked: 'ok', 'failed', or 'note' for something optional that is not there."""

    name: str
    state: str
    found: str
    remedy: str = ""


class Missing(Exception):
    """Something optional is not there."""


def doctor(as_json: Json = False, debug: Debug = False) -> None:
    """Check that everything works; each trouble comes with its remedy.

    Exits with 1 where a check failed. Optional parts that are not there are no failure.
    """
    console = Console("doctor", as_json=as_json, debug=debug)
    with console.session():
        checks = list(_checks())
        failed = sum(check.state == "failed" for check in checks)
        if as_json:
            status = "error" if failed else "ok"
            console.result(status=status, failed=failed, checks=[asdict(check) for check in checks])
        else:
            marks = {"ok": "ok", "note": "--", "failed": "FAILED"}
            for check in checks:
                remedy = f"\n        -> {check.remedy}" if check.remedy else ""
                console.say(f"{marks[check.state]:7} {check.name}: {check.found}{remedy}")
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

    again = "pip install --force-reinstall --no-cache-dir pyharmony"
    yield check("Python", _python, "install CPython 3.10 or later")
    yield check("native module", _module, again)
    yield check("blends", _blends, f"{again}; if it persists, please report it with `pyharmony info`")
    yield check("picture files", _files, "pip install --force-reinstall pillow")
    for module in _OPTIONAL_CHECKS:
        yield _optional(module)
    yield check("temporary folder", _temporary, "set TMPDIR to a folder that may be written to and has space")
    yield check("GPU", _gpu, "nothing to do: everything runs on the CPU")


def _optional(module: str) -> Check:
    from . import _facts

    _, purpose, remedy = _facts.OPTIONAL[module]
    version = _facts.optional_version(module)
    if version is None:
        return Check(module, "note", f"not installed; it is for {purpose}", remedy)
    try:
        _OPTIONAL_CHECKS[module]()
    except Exception as error:
        return Check(module, "failed", f"{version}: {type(error).__name__}: {error}", f"{remedy}, or uninstall it")
    return Check(module, "ok", f"{version}, for {purpose}")


def _python() -> str:
    import platform

    return f"{platform.python_implementation()} {platform.python_version()}"


def _module() -> str:
    from .._native import get_num_threads, native, simd_level
    from . import _facts

    levels = ", ".join(_facts.simd_levels())
    return f"{native.__name__} loads; {simd_level()} of {levels}; {get_num_threads()} threads"


def _blends() -> str:
    """Every kind of solve, on every instruction set, beside its definition in NumPy."""
    import numpy as np

    from .._native import native, simd_level
    from ..ops import gaussian_poisson, poisson
    from ..reference.gaussian_poisson import gaussian_poisson as gaussian_poisson_definition
    from ..reference.poisson import poisson as poisson_definition
    from . import _facts

    y, x = np.mgrid[:32, :48].astype(np.float32)
    src = np.stack([np.sin(x / 5), np.cos(y / 7), np.sin((x + y) / 9)], -1) / 3 + np.float32(0.5)
    dst = np.stack([np.cos(y / 6), np.sin(x / 8), np.cos((x - y) / 11)], -1) / 3 + np.float32(0.5)
    mask = np.hypot(x - 24, y - 16) < 12
    wanted = poisson_definition(src, dst, mask), gaussian_poisson_definition(src, dst, mask, dst)
    tolerance, worst, before, levels = 0.025, 0.0, simd_level(), _facts.simd_levels()
    try:
        for level in levels:
            native.set_simd_level(level)
            found = (
                poisson(src, dst, mask, tolerance=tolerance),
                gaussian_poisson(src, dst, mask, dst, tolerance=tolerance),
            )
            for answer, definition, name in zip(found, wanted, ("poisson", "gaussian_poisson"), strict=True):
                error = 255 * float(np.abs(answer - definition).max())
                worst = max(worst, error)
                if not error <= tolerance:
                    raise RuntimeError(f"{name} with {level} is {error:.3g} levels from its definition")
    finally:
        native.set_simd_level(before)
    return f"at most {worst:.1g}/255 from the definition ({', '.join(levels)})"


def _files() -> str:
    import io

    import numpy as np

    from ..io import Picture, read, write
    from . import _facts

    picture = Picture(pixels=np.arange(8 * 6 * 3, dtype=np.uint8).reshape(8, 6, 3))
    for name in _facts.formats():
        stream = io.BytesIO()
        write(picture, stream, format=name)
        again = read(stream.getvalue(), name)
        if again.pixels.shape != picture.pixels.shape:
            raise RuntimeError(f"{name}: a picture comes back as {list(again.pixels.shape)}")
    return f"written and read back: {', '.join(_facts.formats())}"


def _cv2() -> None:
    import importlib

    importlib.import_module("cv2").getBuildInformation()


def _torch() -> None:
    import importlib

    from .. import blend

    torch = importlib.import_module("torch")

    image = torch.zeros(3, 8, 9)
    if not torch.equal(blend.alpha(image + 1, image), image + 1):
        raise RuntimeError("a blend of tensors is wrong")


_OPTIONAL_CHECKS = {"cv2": _cv2, "torch": _torch}


def _temporary() -> str:
    import tempfile

    with tempfile.TemporaryFile() as file:
        file.write(bytes(1 << 20))
        file.flush()
    return tempfile.gettempdir()


def _gpu() -> str:
    from .. import has_cuda
    from . import _facts

    driver = _facts.gpu_driver()
    if has_cuda():
        return f"CUDA kernels load, driver {driver}"
    raise Missing(f"driver {driver}, but this build has no CUDA kernels" if driver else "no NVIDIA driver")
