"""`pyharmony info`: shows versions, devices, kernels and file formats of this installation."""

from __future__ import annotations

from typing import Any

from . import _facts as facts
from ._command import command
from ._console import Console, table


@command("info")
def info(console: Console) -> None:
    """Show versions, devices, kernels and file formats."""
    report = _report()
    console.result(status="ok", **report)
    console.report(_as_table(report))


def _report() -> dict[str, Any]:
    import platform
    from pathlib import Path

    import pyharmony

    return {
        "versions": {
            "pyharmony": pyharmony.__version__,
            "python": platform.python_version(),
            **{name: facts.version_of(name) for name in ("numpy", "pillow", "typer", "rich")},
        },
        "optional": {module: facts.optional_version(module) for module in facts.OPTIONAL},
        "system": f"{platform.system()} {platform.machine()}",
        "devices": facts.devices(),
        "gpu_driver": facts.gpu_driver(),
        "threads": pyharmony.get_num_threads(),
        "instruction_set": {"in_use": pyharmony.simd_level(), "available": facts.simd_levels()},
        "kernels": {"cpu": [name for name in pyharmony.ops.__all__ if name.islower()], "cuda": []},
        "formats": facts.formats(),
        "formats_read": facts.formats_read(),
        "weights": facts.weights(),
        "paths": {"package": str(Path(pyharmony.__file__).parent)},
    }


def _as_table(report: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    optional = [
        f"{module} {version}" if version else f"{module} not installed"
        for module, version in report["optional"].items()
    ]
    cpu, *others = report["devices"]
    simd = report["instruction_set"]
    rows = [
        ["versions", versions],
        ["optional", ", ".join(optional)],
        ["system", report["system"]],
        ["CPU", f"{cpu['name']}, {cpu['cores']} cores, {report['threads']} threads"],
        ["kernels", f"{', '.join(report['kernels']['cpu'])}; {simd['in_use']} of {', '.join(simd['available'])}"],
        [
            "GPU",
            ", ".join(f"{d['name']}, {d['memory_bytes'] / 2**30:.0f} GiB, driver {d['driver']}" for d in others)
            or "none in use; `pyharmony doctor` reports the cause",
        ],
        ["files", ", ".join([*report["formats"], *(f"{name} (reading)" for name in report["formats_read"])])],
        ["weights", ", ".join(f"{w['name']} {w['bytes'] / 1e6:.1f} MB" for w in report["weights"]) or "none"],
        ["package", report["paths"]["package"]],
    ]
    return table(rows)
