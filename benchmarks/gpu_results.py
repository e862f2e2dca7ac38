"""The results of `make gpu-check`: one JSON per kind of GPU, with a hash of the measured sources.

Imports only the standard library: the machine with the GPU runs it with any Python.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
SCHEMA = "pyharmony.gpu/1"


#: The folders of csrc/ops whose kernels each benchmark, bench_<name>_cuda.py, measures.
OPS = {
    "gaussian_poisson": ("gaussian_poisson",),
    "poisson": ("poisson",),
    "spectral_norm": ("spectral_norm",),
    "pyramid": ("pyramid", "gaussian_poisson"),
    "training_steps": ("adam", "instance_norm", "partial_conv", "spectral_norm"),
    "partial_conv": ("partial_conv",),
    "color_grid": ("color_grid",),
    "instance_norm": ("instance_norm",),
}


def kernel_sources(root: Path = ROOT, ops: Sequence[str] = ()) -> list[Path]:
    """Returns all files that affect the kernels of some ops, by default of all: CUDA sources and their includes."""
    csrc = root / "csrc"
    kinds = ("*.cu", "*.cuh", "*_cuda.*")
    pending = [path for op in ops or ("",) for kind in kinds for path in (csrc / "ops" / op).rglob(kind)]
    pending += [] if ops else (csrc / "device").glob("*")
    sources: set[Path] = set()
    while pending:
        path = pending.pop()
        if path in sources or not path.is_file() or path.is_relative_to(csrc / "emulator"):
            continue
        sources.add(path)
        pending += [csrc / name for name in re.findall(r'^\s*#\s*include\s*"([^"]+)"', path.read_text(), re.M)]
    return sorted(sources)


def kernel_hash(root: Path = ROOT, benchmark: str = "") -> str:
    """Returns the first 12 digits of SHA-256 over the names and contents of the sources of a benchmark, or of all."""
    digest = hashlib.sha256()
    for path in kernel_sources(root, OPS.get(benchmark, ())):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def gpu() -> dict[str, str] | None:
    """Returns the first GPU as the driver's nvidia-smi names it, or None."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    fields = ("name", "driver_version", "compute_cap", "memory.total")
    process = subprocess.run(
        [program, f"--query-gpu={','.join(fields)}", "--format=csv,noheader"], capture_output=True, text=True
    )
    values = [value.strip() for value in process.stdout.partition("\n")[0].split(",")]
    if process.returncode != 0 or len(values) != len(fields):
        return None
    return dict(zip(("name", "driver", "capability", "memory"), values, strict=True))


def path_for(name: str, folder: Path = RESULTS) -> Path:
    """Returns the file of a kind of GPU: results/nvidia-h200.json."""
    return folder / f"{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}.json"


def load(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {"schema": SCHEMA, "gpu": None, "parts": {}}
    record: dict[str, Any] = json.loads(path.read_text())
    if record.get("schema") != SCHEMA:
        raise ValueError(f"{path}: schema {record.get('schema')!r}, expected {SCHEMA!r}")
    return record


def store(path: Path, device: dict[str, str] | None, part: str, record: dict[str, Any]) -> None:
    """Stores the record of a part in the file, which is complete at any time."""
    results = load(path)
    results["gpu"] = device
    results["parts"][part] = record
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(results, indent=1) + "\n")
    os.replace(temporary, path)


def recorded(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """Returns the results of every kind of GPU."""
    files = sorted(folder.glob("*.json"))
    return [record for record in (json.loads(path.read_text()) for path in files) if record.get("schema") == SCHEMA]
