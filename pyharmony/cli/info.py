"""`pyharmony info`: shows what this installation is and can do."""

from __future__ import annotations

from typing import Any

from ._command import command
from ._console import Console, table


@command("info")
def info(console: Console) -> None:
    """Show versions, devices, kernels and file formats."""
    facts = _facts()
    if console.as_json:
        console.result(status="ok", **facts)
    else:
        console.say(_shown(facts))


def _facts() -> dict[str, Any]:
    import platform
    from pathlib import Path

    import pyharmony

    from . import _facts as facts

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


def _shown(facts: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    optional = [
        f"{module} {version}" if version else f"{module} not installed" for module, version in facts["optional"].items()
    ]
    cpu, *others = facts["devices"]
    simd = facts["instruction_set"]
    rows = [
        ["versions", versions],
        ["optional", ", ".join(optional)],
        ["system", facts["system"]],
        ["processor", f"{cpu['name']}, {cpu['cores']} cores, {facts['threads']} threads"],
        ["kernels", f"{', '.join(facts['kernels']['cpu'])}; {simd['in_use']} of {', '.join(simd['available'])}"],
        [
            "GPU",
            ", ".join(f"{d['name']}, {d['memory_bytes'] / 2**30:.0f} GiB, driver {d['driver']}" for d in others)
            or "none in use; `pyharmony doctor` says why",
        ],
        ["files", ", ".join([*facts["formats"], *(f"{name} (reading)" for name in facts["formats_read"])])],
        ["weights", ", ".join(f"{w['name']} {w['bytes'] / 1e6:.1f} MB" for w in facts["weights"]) or "none"],
        ["package", facts["paths"]["package"]],
    ]
    return table(rows)
