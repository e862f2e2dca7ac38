"""Compiles the CUDA kernels for several GPUs and compares their resources with csrc/kernel_budgets.txt.

The output of nvcc for a file is cached in build/kernels until the file, a header of it or nvcc changes. `--update`
writes the budgets that the kernels need now, registers rounded up to a multiple of eight. `$NVCC` names another nvcc.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
CSRC = ROOT / "csrc"
BUDGETS = CSRC / "kernel_budgets.txt"
CACHE = ROOT / "build" / "kernels"
ARCHITECTURES = ("sm_75", "sm_80", "sm_90", "sm_100", "sm_120")
OPTIONS = (
    *("-std=c++17", "-O3", "--expt-relaxed-constexpr", "-Xptxas", "-v", "-cubin"),
    *("--Werror", "all-warnings", f"-I{CSRC}"),
)
HEADER = """\
# What a kernel may use, the most of its instantiations on any GPU of tools/check_kernels.py:
# kernel, registers a thread, static shared memory in bytes a block, stack in bytes a thread. Spills are never allowed.
"""


class Use(NamedTuple):
    """The resources used by an instantiation of a kernel."""

    kernel: str
    registers: int
    shared: int
    stack: int
    spills: int


class Budget(NamedTuple):
    registers: int
    shared: int
    stack: int


def find_nvcc() -> str | None:
    return shutil.which(os.environ.get("NVCC", "nvcc")) or shutil.which("/usr/local/cuda/bin/nvcc")


def cuda_sources() -> list[Path]:
    """Returns the files of kernels, as CMakeLists.txt finds them."""
    return sorted([*CSRC.glob("device/*.cu"), *CSRC.glob("ops/*/*.cu")])


def with_headers(path: Path, visited: set[Path]) -> set[Path]:
    """Returns a source and the headers of csrc that it includes."""
    if path not in visited:
        visited.add(path)
        for name in re.findall(r'^\s*#\s*include\s*"([^"]+)"', path.read_text(), re.M):
            for header in (CSRC / name, path.parent / name):
                if header.exists():
                    with_headers(header.resolve(), visited)
                    break
    return visited


def parse(text: str) -> Iterable[tuple[str, Use]]:
    """Yields the kernels in the output of `ptxas -v`, by their mangled names."""
    for part in text.split("Compiling entry function '")[1:]:
        mangled = part.partition("'")[0]
        frame = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", part)
        registers = re.search(r"Used (\d+) registers", part)
        shared = re.search(r"(\d+) bytes smem", part)
        assert frame and registers, part
        yield (
            mangled,
            Use("", int(registers[1]), int(shared[1]) if shared else 0, int(frame[1]), int(frame[2]) + int(frame[3])),
        )


def demangle(names: list[str]) -> list[str]:
    """Returns smooth_kernel for each instantiation of pyharmony::(anonymous namespace)::smooth_kernel."""
    process = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True)
    plain_names = []
    for name in process.stdout.splitlines():
        plain = re.sub(r"\(anonymous namespace\)|^(void|int) ", "", name)
        plain_names.append(re.split(r"[<(]", plain)[0].rpartition("::")[2])
    return plain_names


def uses_of(nvcc: str, version: str, source: Path, architecture: str) -> list[Use]:
    options = (*OPTIONS, f"-arch={architecture}")
    digest = hashlib.sha256("\0".join((version, *options)).encode())
    for path in sorted(with_headers(source, set())):
        digest.update(path.read_bytes())
    cached = CACHE / f"{source.stem}-{architecture}-{digest.hexdigest()[:16]}.json"
    if not cached.exists():
        process = subprocess.run([nvcc, *options, "-o", os.devnull, str(source)], capture_output=True, text=True)
        if process.returncode != 0:
            raise SystemExit(f"{source.relative_to(ROOT)} for {architecture}:\n{process.stdout}{process.stderr}")
        parsed = list(parse(process.stdout + process.stderr))
        names = demangle([mangled for mangled, _ in parsed]) if parsed else []
        uses = [use._replace(kernel=name) for name, (_, use) in zip(names, parsed)]
        CACHE.mkdir(parents=True, exist_ok=True)
        cached.write_text(json.dumps(uses))
    return [Use(*entry) for entry in json.loads(cached.read_text())]


def read_budgets() -> dict[str, Budget]:
    lines = (line.split() for line in BUDGETS.read_text().splitlines() if line and not line.startswith("#"))
    return {name: Budget(*map(int, numbers)) for name, *numbers in lines}


def write_budgets(most: dict[str, Use]) -> None:
    width = max(map(len, most), default=0)
    rows = (f"{name:{width}}  {-(-u.registers // 8) * 8:3}  {u.shared:5}  {u.stack:4}\n" for name, u in most.items())
    BUDGETS.write_text(HEADER + "".join(rows))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--update", action="store_true", help="write csrc/kernel_budgets.txt")
    update = parser.parse_args().update
    nvcc = find_nvcc()
    if nvcc is None:
        print("pyharmony: nvcc was not found; the kernels were not compiled for GPUs, their budgets not checked")
        return 0
    version = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True).stdout
    jobs = [(source, architecture) for source in cuda_sources() for architecture in ARCHITECTURES]
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda job: uses_of(nvcc, version, *job), jobs))

    most: dict[str, Use] = {}
    wrong = []
    rows = []
    for (source, architecture), uses in zip(jobs, results):
        if not uses:
            wrong.append(f"{source.relative_to(ROOT)} has no kernel for {architecture}")
        for use in uses:
            now = most.get(use.kernel, Use(use.kernel, 0, 0, 0, 0))
            most[use.kernel] = Use(use.kernel, *(max(a, b) for a, b in zip(now[1:], use[1:])))
            if use.spills:
                wrong.append(f"{use.kernel} spills {use.spills} bytes on {architecture}")
        for name in sorted({use.kernel for use in uses}):
            mine = [use for use in uses if use.kernel == name]
            rows.append((source.name, name, architecture, len(mine), *(max(c) for c in list(zip(*mine))[1:])))
    most = dict(sorted(most.items()))
    if update:
        write_budgets(most)
    budgets = read_budgets()
    for name, use in most.items():
        if name not in budgets:
            wrong.append(f"{name} has no line in {BUDGETS.relative_to(ROOT)}")
            continue
        for what in Budget._fields:
            if getattr(use, what) > getattr(budgets[name], what):
                wrong.append(f"{name}: {what} {getattr(use, what)}, budget {getattr(budgets[name], what)}")
    wrong += [f"{name} of {BUDGETS.relative_to(ROOT)} is no kernel" for name in budgets.keys() - most.keys()]

    titles = ("file", "kernel", "GPU", "copies", "registers", "shared", "stack", "spills")
    widths = [max(len(str(row[i])) for row in [titles, *rows]) for i in range(len(titles))]
    for row in [titles, *rows]:
        print("  ".join(f"{cell!s:{'<' if i < 3 else '>'}{widths[i]}}" for i, cell in enumerate(row)))
    for line in wrong:
        print(f"pyharmony: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
