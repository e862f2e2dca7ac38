#!/usr/bin/env python3
"""Builds, tests, sanitizes, measures and profiles the CUDA kernels on this machine's GPU: what `make gpu-check` runs.

python3 tools/gpu_check.py [--part build|lab|test|first|sanitize|bench|profile|all] [--files poisson,pyramid]
    [--out FOLDER]

`lab` takes a quarter of a minute and says where the time of a call goes, kernel by kernel.
`first` measures every metric of gpu_goals.py once, with few rounds and few peers, for a machine that is available for
minutes; it is not part of `all`, whose `bench` measures the same and more.

Nothing is downloaded and nothing is installed into the Python that runs it: the package goes to build/gpu-check/site,
and as an archive to artifacts/gpu-check, with the logs; with that archive another machine of the kind need not build.
Each part ends within the limit, and its results are written before the next begins: to
benchmarks/results/<gpu>.json and STATUS.md. A part that is called again continues with what has changed, or where it
stopped: tests by the package and their file, sanitized runs by the kernels, figures by the kernels and the benchmark
that they are of; --again restarts it. Exits with 1 if a part failed, with 2 if it could not run.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import csv
import datetime
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import gpu_results  # noqa: E402
import status  # noqa: E402
from gpu_goals import GOALS  # noqa: E402

PARTS = ("build", "lab", "test", "sanitize", "bench", "profile")
FIRST_PART = "first"
LIMIT = 470  # the seconds of a part: below the eight minutes that it may take
SITE = ROOT / "build" / "gpu-check" / "site"
LOGS = ROOT / "artifacts" / "gpu-check"
ARCHIVE = "site.tar.gz"  # in LOGS
TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
SANITIZERS = 15  # at once, and fewer than the CPU has cores: a process is mostly waiting for its own start
#: Benchmarks in the order of their importance, bench_<name>_cuda.py; others follow by name.
ORDER = (
    "gaussian_poisson", "poisson", "spectral_norm", "pyramid", "training_steps", "partial_conv", "color_grid",
    "instance_norm",
)  # fmt: skip
#: The kernels to profile, each with the call of PROFILED that launches it.
KERNELS = {
    "gaussian_poisson_chebyshev_kernel": "chebyshev",
    "gaussian_poisson_direct_in_kernel": "dct",
    "gaussian_poisson_direct_lines_out_kernel": "dct",
    "gaussian_poisson_direct_columns_kernel": "dct",
    "poisson_up_kernel": "poisson",
    "poisson_tail_kernel": "poisson",
    "pyramid_downsample_kernel": "pyramid",
}
LAUNCHES = 60  # the number of launches of a kernel to profile; the longest counts
PROFILE_SECONDS = 10  # the minimum for a kernel; the first one includes the start of everything
#: The parts' needs: modules with the oldest supported version, and for missing ones, what is done without them.
REQUIREMENTS = {"numpy": "1.26", "PIL": "", "rich": "", "typer": ""}
PART_REQUIREMENTS = {
    "build": {},
    "lab": {"torch": ""},
    "test": {"pytest": "8", "hypothesis": ""},
    "sanitize": {},
    "bench": {"pytest": "8", "pytest_benchmark": "", "scipy": "", "torch": ""},
    FIRST_PART: {"pytest": "8", "pytest_benchmark": "", "scipy": "", "torch": ""},
    "profile": {},
}
#: The additional needs of compiling, if the package is not built already.
COMPILING = {"setuptools": "77", "pybind11": "2.13"}
OPTIONAL = {"torch": "its tests skip", "cupy": "its tests skip, and the benchmarks leave it out"}
DISTRIBUTIONS = {
    "PIL": ("pillow",),
    "pytest_benchmark": ("pytest-benchmark",),
    "cupy": ("cupy-cuda13x", "cupy-cuda12x", "cupy"),
}


Record = dict[str, Any]


class CannotRun(Exception):
    """Something that a part needs is missing."""


@dataclass
class Clock:
    """The seconds that a part has left."""

    limit: float
    start: float

    def left(self) -> float:
        return self.limit - self.spent()

    def spent(self) -> float:
        return time.monotonic() - self.start


def say(text: str) -> None:
    print(text, flush=True)


def version_of(module: str) -> str | None:
    """Returns the version of a module's distribution; None if there is no such module."""
    if importlib.util.find_spec(module) is None:
        return None
    for name in DISTRIBUTIONS.get(module, (module,)):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "unknown"


def program(name: str, *folders: str) -> str | None:
    """Returns a program on PATH, in the CUDA toolkit that the environment names, or at its usual place."""
    roots = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"]
    path = [*folders, os.environ.get("PATH", ""), *(str(Path(root) / "bin") for root in roots if root)]
    return shutil.which(name, path=os.pathsep.join(path))


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version)[:3])


def missing(part: str, is_built: bool) -> list[str]:
    """Returns the part's missing needs, each with its source; is_built: whether the package need not be built."""
    troubles = []
    for module, oldest in {**REQUIREMENTS, **({} if is_built else COMPILING), **PART_REQUIREMENTS[part]}.items():
        version = version_of(module)
        if version is None:
            troubles.append(f"the Python module {module}")
        elif oldest and version != "unknown" and numbers(version) < numbers(oldest):
            troubles.append(f"{module} {oldest} or later (there is {version})")
    if not is_built:
        compiler = (os.environ.get("CXX") or "g++").split()[0]
        if shutil.which(compiler) is None:
            troubles.append(f"the compiler {compiler}")
        for name in ("cmake", "ninja"):
            if version_of(name) is None and program(name) is None:
                troubles.append(name)
        if not os.environ.get("CUDACXX") and program("nvcc") is None:
            troubles.append("nvcc (on PATH, or in CUDA_HOME)")
    if part == "sanitize" and program("compute-sanitizer") is None:
        troubles.append("compute-sanitizer, of the CUDA toolkit")
    if part != "build" and gpu_results.gpu() is None:
        troubles.append("a CUDA device (nvidia-smi names none)")
    return troubles


def environment() -> dict[str, str]:
    """Returns the environment for processes that use the built package, and not the sources around."""
    mine = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYHARMONY_DEVICE"))}
    return {
        **mine,
        "PYTHONPATH": str(SITE),
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def run(command: Sequence[str], log: Path, seconds: float, env: dict[str, str] | None = None) -> int:
    """Runs a command with its output in a log and shown as it comes; returns 124 after a timeout."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        file.write(f"$ {' '.join(command)}\n")
        file.flush()
        process = subprocess.Popen(
            command, cwd=ROOT, env=env or environment(), stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            return process.wait(max(seconds, 1))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            file.write("stopped: the part's time is over\n")
            return 124


def last_lines(log: Path, count: int = 15) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:])


def digest_of(folders: Iterable[str], more: str) -> str:
    """Returns the digest over the files in folders, or files, of the repository."""
    digest = hashlib.sha256(more.encode())
    for folder in folders:
        top = ROOT / folder
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            parts = path.relative_to(ROOT).parts
            if path.is_file() and path.suffix not in (".so", ".pyc", ".pyi") and parts[:2] != ("benchmarks", "results"):
                digest.update("/".join(parts).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


PACKAGE = ("csrc", "cmake", "pyharmony", "setup.py", "CMakeLists.txt", "pyproject.toml")
#: What the results of parts depend on, beside their own files; `sources_of_file` has those of tests and benchmarks.
PART_SOURCES = {
    "build": PACKAGE,
    "test": (*PACKAGE, "tests/conftest.py", "tests/cuda_arrays.py", "tests/gpu_cases.py", "tests/shared.py"),
    "sanitize": ("csrc", "cmake", "tests/gpu_cases.py"),
    "lab": ("csrc", "cmake", "benchmarks/kernel_times.py"),
    "profile": ("csrc", "cmake"),
}


def source_stamp() -> str:
    """Returns the digest of the installed package: its sources, the Python and the GPU that it is made for."""
    return digest_of(PACKAGE, sys.version + repr(sorted((gpu_results.gpu() or {}).items())))


def sources(part: str) -> str:
    """Returns the digest of what a part depends on: while it is unchanged, its results need not be repeated.

    Benchmarks have one a file alone: kernels that changed make no figure of others old.
    """
    return digest_of(PART_SOURCES[part], sys.version)[:12] if part in PART_SOURCES else ""


def sources_of_file(name: str) -> str:
    """Returns the digest of what the results of a file of tests or benchmarks depend on beside `sources` of the part.

    Those of a benchmark are its kernels and what it measures with.
    """
    if name.startswith("tests/"):
        return digest_of([name], "")[:12]
    helpers = [path.relative_to(ROOT).as_posix() for path in (ROOT / "benchmarks").glob("*_cuda.py")]
    kernels = gpu_results.kernel_hash(benchmark=benchmark_of(name))
    return digest_of([name, *sorted(helpers)], kernels)[:12]


def benchmark_of(name: str) -> str:
    """Returns the name of a benchmark of gpu_goals.py by its file or by one of its items."""
    return Path(name.partition("::")[0]).stem.removeprefix("bench_").removesuffix("_cuda")


def unchanged(items: Iterable[str], before: Record) -> list[str]:
    """Returns the items of tests or benchmarks, such as tests/a.py::test_b, whose files are as they were before."""
    present: dict[str, bool] = {}
    for item in items:
        name = item.partition("::")[0]
        if name not in present:
            present[name] = (ROOT / name).is_file() and before.get("files", {}).get(name) == sources_of_file(name)
    return [item for item in items if present[item.partition("::")[0]]]


def files_of(items: Iterable[str]) -> dict[str, str]:
    """Returns the digest of each file of these items, for `unchanged`."""
    return {name: sources_of_file(name) for name in sorted({item.partition("::")[0] for item in items})}


def usable_archive(stamp_text: str) -> Path | None:
    """Returns the archive of the package, if it is of these sources."""
    path = LOGS / ARCHIVE
    if not path.is_file():
        return None
    with tarfile.open(path) as archive:
        stamp = archive.extractfile("stamp")
        return path if stamp is not None and stamp.read().decode() == stamp_text else None


#: Large parts of the sources that do not change, and so are not in the archive.
WEIGHTS = Path("pyharmony") / "networks" / "models" / "_weights"


def pack() -> None:
    def chosen(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        left_out = Path(entry.name) == WEIGHTS or "__pycache__" in Path(entry.name).parts
        return None if left_out else entry

    temporary = LOGS / f"{ARCHIVE}.{os.getpid()}"
    with tarfile.open(temporary, "w:gz") as archive:
        for path in sorted(SITE.iterdir()):
            archive.add(path, path.name, filter=chosen)
    os.replace(temporary, LOGS / ARCHIVE)


def unpack(path: Path) -> None:
    shutil.rmtree(SITE, ignore_errors=True)
    SITE.mkdir(parents=True)
    with tarfile.open(path) as archive:
        archive.extractall(SITE, filter="data")
    if (ROOT / WEIGHTS).is_dir():
        shutil.copytree(ROOT / WEIGHTS, SITE / WEIGHTS)


def is_installed(stamp_text: str) -> bool:
    stamp = SITE / "stamp"
    return stamp.exists() and stamp.read_text() == stamp_text


def install(clock: Clock, log: Path) -> float:
    """Installs the package with its kernels in build/gpu-check/site; returns seconds, 0 if it need not be compiled."""
    stamp = source_stamp()
    if is_installed(stamp):
        return 0.0
    archive = usable_archive(stamp)
    if archive is not None:
        unpack(archive)
        return 0.0
    start = time.monotonic()
    shutil.rmtree(SITE, ignore_errors=True)
    # A constraint or index of this machine's pip is for other installs.
    env = {**environment(), "PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    # One copy of the CPU's kernels, for this CPU.
    env["CMAKE_ARGS"] = f"-DHM_CUDA=ON -DHM_SIMD=NATIVE {os.environ.get('CMAKE_ARGS', '')}".strip()
    del env["PYTHONPATH"], env["PYTHONSAFEPATH"]
    command = [sys.executable, "-m", "pip", "install", "-v", "--no-build-isolation", "--no-deps", "--no-index"]
    code = run([*command, "--target", str(SITE), "."], log, clock.left(), env)
    if code != 0:
        raise RuntimeError(f"pip install: exit {code}\n{last_lines(log)}")
    (SITE / "stamp").write_text(stamp)
    pack()
    return time.monotonic() - start


FACTS = """
import json, pathlib
from pyharmony import _C
cuda = _C.cuda
devices = [cuda.properties(i) for i in range(cuda.device_count())]
print(json.dumps({
    "module": str(pathlib.Path(_C.__file__)), "bytes": pathlib.Path(_C.__file__).stat().st_size,
    "architectures": cuda.architectures(), "status": cuda.status(), "devices": devices,
    "runtime": cuda.runtime_version(), "driver": cuda.driver_version(),
}))
"""


def facts() -> dict[str, Any]:
    """Returns information from the installed module, in a separate process."""
    process = subprocess.run([sys.executable, "-c", FACTS], cwd="/", env=environment(), capture_output=True, text=True)
    if process.returncode != 0:
        raise RuntimeError(f"the installed module does not load:\n{process.stderr}")
    report: dict[str, Any] = json.loads(process.stdout)
    if not Path(report["module"]).is_relative_to(SITE):
        raise RuntimeError(f"{report['module']} was loaded instead of the one in {SITE}")
    report["module"] = Path(report["module"]).relative_to(SITE).as_posix()  # results hold no path of a machine
    return report


def build(clock: Clock, log: Path, options: argparse.Namespace, before: Record) -> Record:
    shutil.rmtree(SITE, ignore_errors=True)
    (LOGS / ARCHIVE).unlink(missing_ok=True)
    seconds = install(clock, log)
    facts_ = facts()
    device = gpu_results.gpu()
    code = run([sys.executable, "-m", "pyharmony", "doctor"], log, clock.left())
    trouble = []
    if code != 0:
        trouble.append(f"pyharmony doctor: exit {code}\n{last_lines(log)}")
    if device is not None and facts_["status"]:
        trouble.append(f"there is a GPU, but: {facts_['status']}")
    megabytes = facts_["bytes"] / 1e6
    say(f"  compiled for {', '.join(facts_['architectures'])} in {seconds:.0f} s; module of {megabytes:.1f} MB")
    return {"status": "failed" if trouble else "ok", "trouble": trouble, "install_seconds": round(seconds, 1),
            "installed": facts_}  # fmt: skip


def leaving_out(names: Iterable[str]) -> dict[str, str]:
    """Returns the environment of a pytest that runs with gpu_done.py and leaves out what is done."""
    path = LOGS / "done.txt"
    path.write_text("".join(f"{name}\n" for name in names))
    env = environment()
    folders = [env.get("PYTHONPATH"), str(Path(__file__).resolve().parent)]
    return {**env, "PYTHONPATH": os.pathsep.join(filter(None, folders)), "PYHARMONY_GPU_DONE": str(path)}


def outcomes(log: Path, start: int, folder: str) -> dict[str, str]:
    """Returns pytest's outcome of each of its items, line by line as they end, for a run that was stopped too."""
    with log.open(errors="replace") as file:
        file.seek(start)
        text = file.read()
    words = "PASSED|FAILED|SKIPPED|ERROR|XFAIL|XPASS"
    return {name: word.lower() for name, word in re.findall(rf"^({folder}/\S+::.+?) ({words})\b", text, re.M)}


PYTEST = ("-m", "pytest", "-m", "gpu", "-p", "gpu_done", "-p", "no:cacheprovider", "-rA", "--color=no")


def gpu_tests() -> list[str]:
    """Returns the files with tests for a GPU: collecting all others takes a minute."""
    paths = sorted((ROOT / "tests").rglob("test_*.py"))
    return [path.relative_to(ROOT).as_posix() for path in paths if "mark.gpu" in path.read_text()]


def test(clock: Clock, log: Path, options: argparse.Namespace, before: Record) -> Record:
    results: dict[str, str] = dict.fromkeys(unchanged(before.get("passed", []), before), "passed")
    if results:
        say(f"  {len(results)} have passed before")
    command = [sys.executable, *PYTEST, *gpu_tests(), "-v", *options.arguments]
    code = run(command, log, clock.left() - 5, leaving_out(results))
    now = outcomes(log, 0, "tests")
    results.update(now)
    counts = {word: list(results.values()).count(word) for word in sorted(set(results.values()))}
    failed = sorted(name for name, word in results.items() if word in ("failed", "error", "xpass"))
    say(f"  {', '.join(f'{count} {word}' for word, count in counts.items()) or 'no test ran'}")
    for name in failed:
        say(f"  FAILED {name}")
    record: Record = {"counts": counts, "failed": failed, "exit": code}
    record["passed"] = sorted(name for name, word in results.items() if word == "passed")
    record["files"] = files_of(record["passed"])
    if code == 124:
        record["status"] = "incomplete"
        return record
    nothing_left = code == 5 and not now and bool(results)
    record["status"] = "ok" if (code == 0 or nothing_left) and counts.get("passed") else "failed"
    if counts.get("passed") and (code in (0, 1) or nothing_left):
        record["figures"] = {"test_failures": len(failed)}
    return record


def sanitize(clock: Clock, log: Path, options: argparse.Namespace, before: Record) -> Record:
    script = str(ROOT / "tests" / "gpu_cases.py")
    sanitizer = str(program("compute-sanitizer"))

    def output(*arguments: str) -> str:
        process = subprocess.run(
            [sys.executable, script, *arguments], cwd=ROOT, env=environment(), capture_output=True, text=True,
            timeout=max(clock.left(), 1),
        )  # fmt: skip
        if process.returncode != 0:
            raise RuntimeError(f"{' '.join(arguments)}: exit {process.returncode}\n{process.stdout}{process.stderr}")
        return process.stdout

    # First the case that launches every kernel.
    cases = sorted(output("--list").split(), key=lambda case: case != "kernels")
    # A kernel that no case launches is not sanitized; torch's profiler finds it, if torch is installed.
    unlaunched = None
    if version_of("torch") is not None:
        unlaunched = json.loads(output("--unlaunched").splitlines()[-1])
    runs: dict[str, Record] = {
        name: result for name, result in before.get("runs", {}).items() if result["status"] == "ok"
    }
    if runs:
        say(f"  {len(runs)} were silent before")

    def one(tool: str, case: str) -> None:
        name = f"{tool} {case}"
        if clock.left() < 15:
            runs[name] = {"status": "not run: out of time"}
            return
        own = log.with_name(f"sanitize.{tool}.{case}.log")
        own.unlink(missing_ok=True)
        command = [sanitizer, "--tool", tool, "--error-exitcode", "99", sys.executable, script, case]
        start = time.monotonic()
        code = run(command, own, clock.left() - 5)
        text = own.read_text(errors="replace")
        counts = re.findall(r"(?:ERROR|RACECHECK) SUMMARY: (\d+)", text)
        reports = int(counts[-1]) if counts else None
        clean = code == 0 and reports == 0
        word = "ok" if clean else "incomplete" if code == 124 else "failed"
        runs[name] = {"status": word, "reports": reports, "exit": code, "seconds": round(time.monotonic() - start, 1)}
        if clean:
            own.unlink()
        else:
            say(f"  {word}: {name}")

    workers = max(1, min(SANITIZERS, (os.cpu_count() or 1) - 1))
    with concurrent.futures.ThreadPoolExecutor(workers) as pool, log.open("a") as file:
        left = [(tool, case) for case in cases for tool in TOOLS if f"{tool} {case}" not in runs]
        for future in [pool.submit(one, tool, case) for tool, case in left]:
            future.result()
        for name, result in runs.items():
            file.write(f"{name}: {result}\n")
        for path in sorted(log.parent.glob("sanitize.*.log")):
            file.write(f"\n== {path.name}\n{path.read_text(errors='replace')[-20000:]}")
    words = [result["status"] for result in runs.values()]
    failed, count = words.count("failed"), words.count("ok") + words.count("failed")
    say(f"  {len(cases)} cases under {len(TOOLS)} tools: {words.count('ok')} silent, {failed} with reports")
    record: Record = {"cases": cases, "runs": dict(sorted(runs.items())), "kernels_without_a_case": unlaunched}
    if unlaunched:
        say(f"  no case launches {', '.join(unlaunched)}")
    if failed:
        record["status"] = "failed"
    else:
        record["status"] = "ok" if count == len(words) and not unlaunched else "incomplete"
    if count == len(words):
        record["figures"] = {"sanitizer_reports": sum(r["reports"] or (r["status"] == "failed") for r in runs.values())}
    return record


def benchmarks(names_text: str | None) -> list[Path]:
    """Returns the files in the order of their importance, or those that are named, in the order named.

    Raises:
        CannotRun: a name is not that of a file.
    """
    files = {
        path.stem.removeprefix("bench_").removesuffix("_cuda"): path
        for path in (ROOT / "benchmarks").rglob("bench_*_cuda.py")
    }
    ranks = {name: rank for rank, name in enumerate(ORDER)}
    names = sorted(files, key=lambda name: (ranks.get(name, len(ranks)), name))
    if names_text is None:
        return [files[name] for name in names]
    names_asked = [name for name in names_text.split(",") if name]
    unknown = [name for name in names_asked if name not in files]
    if unknown or not names_asked:
        raise CannotRun(f"--files: {names_text!r}, expected some of {','.join(names)}")
    return [files[name] for name in names_asked]


MEASURED = ("rows", "gpu_rows", "targets", "missing", "figures")


def bench(
    name: str, paths: Sequence[Path], more: Sequence[str], clock: Clock, log: Path, options: argparse.Namespace,
    before: Record,
) -> Record:  # fmt: skip
    """Runs files of benchmarks; earlier results of the same kernels are kept, and not measured again.

    Earlier figures of others are kept until they are measured, each with its date and its kernels.
    """
    passed = dict.fromkeys(unchanged(before.get("done", []), before), "passed")
    valid = {benchmark_of(item) for item in passed}
    old = {goal.key for goal in GOALS if goal.benchmark not in valid}
    output = LOGS / f"{name.replace(' ', '_')}.json"
    output.unlink(missing_ok=True)
    if before:
        valid_figures = {key: value for key, value in before["figures"].items() if key not in old}
        output.write_text(json.dumps({**{key: before[key] for key in MEASURED}, "figures": valid_figures}))
    start = log.stat().st_size if log.exists() else 0
    # Each item gets a line: pytest.ini asks for one step less.
    files = [str(path.relative_to(ROOT)) for path in paths]
    command = [sys.executable, *PYTEST, *files, "-vv", "--results", str(output), "--add", *more]
    code = run([*command, *options.arguments], log, clock.left() - 5, leaving_out(passed))
    now = outcomes(log, start, "benchmarks")
    passed.update({name: word for name, word in now.items() if word == "passed"})
    record: Record = {"done": sorted(passed), "failed": sorted(n for n, w in now.items() if w in ("failed", "error"))}
    if output.exists():  # written after each benchmark, so it also exists after a run that was stopped
        record_now = json.loads(output.read_text())
        record.update({key: record_now[key] for key in (*MEASURED, "machine") if key in record_now})
        # One that failed half-way is measured again: its later rows count.
        last = {tuple(map(row.get, ("group", "problem", "name"))): row for row in record_now.get("gpu_rows", [])}
        record["gpu_rows"] = list(last.values())
    figures, earlier = record.get("figures", {}), before.get("figures", {})
    measured: Record = {}
    for goal in GOALS:
        key = goal.key
        if key in figures and (key in old or figures[key] != earlier.get(key)):
            measured[key] = {"date": today(), "kernels": gpu_results.kernel_hash(benchmark=goal.benchmark)}
        elif key in earlier:
            figures[key], measured[key] = earlier[key], before["measured"][key]
    record |= {"figures": figures, "measured": measured, "files": files_of(record["done"])}
    nothing_left = code == 5 and not now and bool(passed)
    record["status"] = "ok" if nothing_left else {0: "ok", 124: "incomplete"}.get(code, "failed")
    if record["status"] == "ok" and not passed:
        record.update(status="failed", trouble=["every benchmark was skipped: nothing was measured"])
    for target in record.get("targets", []):
        say(f"  {target['name']}: {target['value']:.3g} {target['unit']} (floor {target['floor']:g})")
    return record


PROFILED = """
import sys
import numpy as np
import pyharmony
from pyharmony import blend, ops
pyharmony.set_device("cuda", strict=True)
y, x = np.mgrid[:2160, :3840] / 400.0
dst = np.stack([np.sin(x + c) * np.cos(y - c) * 90 + 128 for c in range(3)], -1).astype(np.uint8)
src, mask = dst[::-1].copy(), (np.hypot(x - 4.8, y - 2.7) < 2).astype(np.float32)
{
    "chebyshev": lambda: ops.gaussian_poisson(src, dst, mask, dst, preserve_background=True),
    "dct": lambda: ops.gaussian_poisson(src, dst, mask, dst, color_weight=1e-3, preserve_background=False),
    "poisson": lambda: ops.poisson(src, dst, mask),
    "pyramid": lambda: blend.gaussian_poisson(src, dst, mask, preserve_background=False),
}[sys.argv[1]]()
"""


def profile(clock: Clock, log: Path, options: argparse.Namespace, before: Record) -> Record:
    """Profiles some kernels at 4K with ncu: registers, occupancy, waves and time of the longest launch of each."""
    ncu = str(program("ncu"))
    kernels: dict[str, Record] = dict(before.get("kernels_profiled", {}))
    trouble = []
    for name, call in KERNELS.items():
        if name in kernels or clock.left() < PROFILE_SECONDS:
            continue
        own = LOGS / f"profile.{name}.csv"
        own.unlink(missing_ok=True)
        # Other processes share the clocks. The first launches of nested iteration are those of its coarsest grids.
        command = [ncu, "--set", "basic", "--clock-control", "none", "--csv", "--kernel-name", name]
        command += ["--launch-count", str(LAUNCHES), "--log-file", str(own)]
        seconds = min(clock.left(), PROFILE_SECONDS * (1 if kernels else 6))
        code = run([*command, sys.executable, "-c", PROFILED, call], log, seconds)
        metrics_ = metrics(own.read_text(errors="replace")) if own.exists() else {}
        if metrics_:
            kernels[name] = metrics_
            say(f"  {name}: {', '.join(f'{key} {value}' for key, value in metrics_.items())}")
        else:
            trouble.append(f"ncu of {name}: exit {code}\n{last_lines(own if own.exists() else log, 5)}")
    absent = [name for name in KERNELS if name not in kernels]
    word = "failed" if trouble else "incomplete" if absent else "ok"
    return {"status": word, "trouble": trouble, "kernels_profiled": kernels}


def lab(clock: Clock, log: Path, options: argparse.Namespace, before: Record) -> Record:
    """Measures the kernels of some calls one by one."""
    path = LOGS / "lab.json"
    path.unlink(missing_ok=True)
    command = [sys.executable, str(ROOT / "benchmarks" / "kernel_times.py"), "--json", str(path)]
    code = run([*command, *options.arguments], log, clock.left() - 5)
    times = json.loads(path.read_text()) if path.exists() else {}
    for name, rows in times.items():
        say(f"  {name}: {sum(row['us'] for row in rows):.1f} us")
    trouble = [] if code in (0, 124) else [f"kernel_times.py: exit {code}\n{last_lines(log)}"]
    word = {0: "ok", 124: "incomplete"}.get(code, "failed")
    return {"status": word, "trouble": trouble, "kernel_times": {**before.get("kernel_times", {}), **times}}


NANOSECONDS = {"ns": 1, "nsecond": 1, "us": 1e3, "usecond": 1e3, "ms": 1e6, "msecond": 1e6, "s": 1e9, "second": 1e9}


def metrics(text: str) -> dict[str, str]:
    """Returns the metrics of the longest launch in ncu's CSV: a line a launch and metric, with its unit."""
    lines = [line for line in text.splitlines() if line.startswith('"')]
    launches: dict[str, dict[str, str]] = {}
    nanoseconds: dict[str, float] = {}
    for row in csv.DictReader(lines):
        if row.get("Metric Name"):
            launch, name, value, unit = (row[key] for key in ("ID", "Metric Name", "Metric Value", "Metric Unit"))
            launches.setdefault(launch, {})[name] = f"{value} {unit}".strip()
            if name == "Duration":
                nanoseconds[launch] = float(value.replace(",", "")) * NANOSECONDS.get(unit, 1)
    return launches[max(launches, key=lambda launch: nanoseconds.get(launch, 0.0))] if launches else {}


Work = Callable[[Clock, Path, argparse.Namespace, Record], Record]
RUN: dict[str, Work] = {"build": build, "lab": lab, "test": test, "sanitize": sanitize, "profile": profile}


def check(part: str, options: argparse.Namespace) -> str:
    """Runs a part and records it; returns its status."""
    clock = Clock(options.limit, time.monotonic())
    log = LOGS / f"{part}.log"
    LOGS.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    stamp = source_stamp()
    is_built = part != "build" and (is_installed(stamp) or usable_archive(stamp) is not None)
    troubles = missing(part, is_built)
    if troubles:
        raise CannotRun(f"{part}: cannot run without {'; '.join(troubles)}")
    if part == "profile" and program("ncu") is None:
        say("profile: not run: ncu, of the CUDA toolkit, is not here")
        return "ok"
    files = benchmarks(options.files) if part in ("bench", FIRST_PART) else []
    for module, without in OPTIONAL.items():
        if part in ("test", "bench", FIRST_PART) and version_of(module) is None:
            say(f"  {module} is not installed: {without}")
    device = gpu_results.gpu()
    say(f"{part}: {device['name'] if device else 'no GPU'}, at most {options.limit} s")
    if part == FIRST_PART:
        return recorded(part, functools.partial(bench, part, files, ["--first"]), clock, log, options)
    if part != "bench":
        return recorded(part, RUN[part], clock, log, options)
    words = []
    for path in files:
        name = f"bench {path.stem.removeprefix('bench_').removesuffix('_cuda')}"
        if clock.left() < 20:
            words.append("incomplete")
            say(f"  {name}: not run: out of time")
            continue
        words.append(recorded(name, functools.partial(bench, name, [path], []), clock, log, options))
    return next((word for word in ("failed", "incomplete") if word in words), "ok" if words else "failed")


def recorded(part: str, work: Work, clock: Clock, log: Path, options: argparse.Namespace) -> str:
    """Does the work, or the remaining part of it, and stores its record; returns its status."""
    start, device, present = clock.spent(), gpu_results.gpu(), sources(part)
    path = LOGS / "no-gpu.json" if device is None else gpu_results.path_for(device["name"], options.results)
    before: Record = gpu_results.load(path)["parts"].get(part, {})
    if options.again or before.get("sources") != present:
        before = {}
    if (
        before.get("status") == "ok"
        and part.startswith("bench ")
        and unchanged(before["done"], before) == before["done"]
    ):
        say(f"  {part}: measured before")
        return "ok"
    try:
        if part != "build":
            install(clock, log)
        record = work(clock, log, options, before)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        record = {"status": "failed", "trouble": [str(error)]}
    for trouble in record.get("trouble", []):
        say(f"  {trouble}")
    versions = {name: version_of(name) for name in ("torch", "cupy", "numpy")}
    python = ".".join(map(str, sys.version_info[:3]))
    record = {
        "status": record.pop("status"),
        "date": today(),
        "seconds": round(clock.spent() - start + before.get("seconds", 0), 1),
        "kernels": gpu_results.kernel_hash(),
        "sources": present,
        "versions": {"CUDA": toolkit(), "Python": python, **{k: v for k, v in versions.items() if v}},
        **record,
    }
    say(f"{part}: {record['status']}, {record['seconds']:.0f} s")
    gpu_results.store(path, device, part, record)
    if device is not None and options.results == gpu_results.RESULTS:
        status.write()
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        for source in (path, status.STATUS, log, LOGS / ARCHIVE):
            if source.exists():
                shutil.copy(source, options.out)
    return str(record["status"])


def today() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")


def toolkit() -> str:
    """Returns the version of nvcc."""
    nvcc = os.environ.get("CUDACXX") or program("nvcc")
    if nvcc is None:
        return "unknown"
    process = subprocess.run([str(nvcc), "--version"], capture_output=True, text=True)
    match = re.search(r"release ([\d.]+)", process.stdout)
    return match[1] if match else "unknown"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--part", choices=[*PARTS, FIRST_PART, "all"], default="all")
    parser.add_argument("--files", metavar="NAMES", help=f"of bench and first, with commas between: {','.join(ORDER)}")
    parser.add_argument("--again", action="store_true", help="also what is recorded of these sources")
    parser.add_argument("--out", type=Path, help="a folder that gets copies of results, logs and the built package")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds of each part (default: %(default)s)")
    parser.add_argument("--results", type=Path, default=gpu_results.RESULTS, help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs="*", help="after --: more arguments for pytest, such as -k NAME")
    options = parser.parse_args()
    if options.out is not None:
        options.out = options.out.resolve()
    code = 0
    for part in PARTS if options.part == "all" else (options.part,):
        try:
            if check(part, options) != "ok":
                code = max(code, 1)
        except CannotRun as error:
            say(str(error))
            code = 2
    return code


if __name__ == "__main__":
    sys.exit(main())
