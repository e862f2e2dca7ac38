#!/usr/bin/env python3
"""Builds, tests, sanitizes and measures the CUDA kernels on this machine's GPU: what `make gpu-check` runs.

python3 tools/gpu_check.py [--part build|test|sanitize|bench|all] [--out FOLDER]

Nothing is fetched and nothing is installed into the Python that runs it: the package goes to build/gpu-check/site.
Each part ends within the limit, and its results are written before the next begins: to
benchmarks/results/<gpu>.json and STATUS.md, logs to artifacts/gpu-check. Exits with 1 where a part failed, with 2
where it could not run.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import datetime
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
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import gpu_results  # noqa: E402
import status  # noqa: E402

PARTS = ("build", "test", "sanitize", "bench")
LIMIT = 470  # seconds of a part: below the eight minutes that it may take
SITE = ROOT / "build" / "gpu-check" / "site"
LOGS = ROOT / "artifacts" / "gpu-check"
TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
#: What the parts need: modules with the oldest version that will do, and where one is missing, what is done without it.
NEEDED = {"setuptools": "77", "pybind11": "2.13", "numpy": "1.26", "PIL": "", "rich": "", "typer": ""}
NEEDED_BY = {
    "build": {},
    "test": {"pytest": "8", "hypothesis": ""},
    "sanitize": {},
    "bench": {"pytest": "8", "pytest_benchmark": "", "scipy": "", "torch": ""},
}
OPTIONAL = {"torch": "its tests skip", "cupy": "its tests skip, and the benchmarks leave it out"}
DISTRIBUTIONS = {
    "PIL": ("pillow",),
    "pytest_benchmark": ("pytest-benchmark",),
    "cupy": ("cupy-cuda13x", "cupy-cuda12x", "cupy"),
}


class CannotRun(Exception):
    """Something that a part needs is missing."""


@dataclass
class Clock:
    """What is left of a part's seconds."""

    limit: float
    start: float

    def left(self) -> float:
        return self.limit - self.spent()

    def spent(self) -> float:
        return time.monotonic() - self.start


def say(text: str) -> None:
    print(text, flush=True)


def version_of(module: str) -> str | None:
    """The version of a module's distribution; None where there is no such module."""
    if importlib.util.find_spec(module) is None:
        return None
    for name in DISTRIBUTIONS.get(module, (module,)):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "unknown"


def program(name: str, *folders: str) -> str | None:
    """A program on PATH, in the CUDA toolkit that the environment names, or at its usual place."""
    roots = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"]
    path = [*folders, os.environ.get("PATH", ""), *(str(Path(root) / "bin") for root in roots if root)]
    return shutil.which(name, path=os.pathsep.join(path))


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version)[:3])


def missing(part: str) -> list[str]:
    """What the part cannot do without, each with what brings it."""
    troubles = []
    for module, oldest in {**NEEDED, **NEEDED_BY[part]}.items():
        found = version_of(module)
        if found is None:
            troubles.append(f"the Python module {module}")
        elif oldest and found != "unknown" and numbers(found) < numbers(oldest):
            troubles.append(f"{module} {oldest} or later (there is {found})")
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
    """For what runs with the package that was built, and not with the sources around."""
    mine = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYHARMONY_DEVICE"))}
    return {
        **mine,
        "PYTHONPATH": str(SITE),
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def run(command: Sequence[str], log: Path, seconds: float, env: dict[str, str] | None = None) -> int:
    """Runs a command with its output in a log, shown as it comes; 124 where the seconds did not suffice."""
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
            file.write(f"stopped: the part's {LIMIT} s are over\n")
            return 124


def last_lines(log: Path, count: int = 15) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:])


def source_stamp() -> str:
    """Over all that the installed package is made of."""
    digest = hashlib.sha256(sys.version.encode())
    for folder in ("csrc", "cmake", "pyharmony"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".so":
                digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    for name in ("setup.py", "CMakeLists.txt", "pyproject.toml"):
        digest.update((ROOT / name).read_bytes())
    digest.update(repr(sorted((gpu_results.gpu() or {}).items())).encode())
    return digest.hexdigest()


def install(clock: Clock, log: Path) -> float:
    """The package with its kernels in build/gpu-check/site; seconds, or 0 where it is there already."""
    stamp = SITE / "stamp"
    wanted = source_stamp()
    if stamp.exists() and stamp.read_text() == wanted:
        return 0.0
    start = time.monotonic()
    shutil.rmtree(SITE, ignore_errors=True)
    # Any constraint or index of this machine's pip is for other installs.
    env = {**environment(), "PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    env["CMAKE_ARGS"] = " ".join([os.environ.get("CMAKE_ARGS", ""), "-DHM_CUDA=ON"]).strip()
    del env["PYTHONPATH"], env["PYTHONSAFEPATH"]
    command = [sys.executable, "-m", "pip", "install", "-v", "--no-build-isolation", "--no-deps", "--no-index"]
    code = run([*command, "--target", str(SITE), "."], log, clock.left(), env)
    if code != 0:
        raise RuntimeError(f"pip install: exit {code}\n{last_lines(log)}")
    stamp.write_text(wanted)
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
    """What the installed module says of itself, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", FACTS], cwd="/", env=environment(), capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"the installed module does not load:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    if not Path(found["module"]).is_relative_to(SITE):
        raise RuntimeError(f"{found['module']} was loaded instead of the one in {SITE}")
    return found


Record = dict[str, Any]


def build(clock: Clock, log: Path, options: argparse.Namespace) -> Record:
    shutil.rmtree(SITE, ignore_errors=True)
    seconds = install(clock, log)
    found = facts()
    device = gpu_results.gpu()
    code = run([sys.executable, "-m", "pyharmony", "doctor"], log, clock.left())
    trouble = []
    if code != 0:
        trouble.append(f"pyharmony doctor: exit {code}\n{last_lines(log)}")
    if device is not None and found["status"]:
        trouble.append(f"there is a GPU, but: {found['status']}")
    megabytes = found["bytes"] / 1e6
    say(f"  compiled for {', '.join(found['architectures'])} in {seconds:.0f} s; module of {megabytes:.1f} MB")
    return {"status": "failed" if trouble else "ok", "trouble": trouble, "install_seconds": round(seconds, 1),
            "installed": found}  # fmt: skip


def test(clock: Clock, log: Path, options: argparse.Namespace) -> Record:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "tests",
        "-m",
        "gpu",
        "-v",
        "-rA",
        "--color=no",
        "-p",
        "no:cacheprovider",
    ]
    code = run([*command, *options.arguments], log, clock.left() - 5)
    # Line by line as they end, so that what a run that was stopped has done is there too.
    results: dict[str, str] = {}
    for name, word in re.findall(
        r"^(tests/\S+::.+?) (PASSED|FAILED|SKIPPED|ERROR|XFAIL|XPASS)\b", log.read_text(), re.M
    ):
        results[name] = word.lower()
    counts = {word: list(results.values()).count(word) for word in sorted(set(results.values()))}
    failed = sorted(name for name, word in results.items() if word in ("failed", "error", "xpass"))
    say(f"  {', '.join(f'{count} {word}' for word, count in counts.items()) or 'no test ran'}")
    for name in failed:
        say(f"  FAILED {name}")
    record: Record = {"counts": counts, "failed": failed, "exit": code}
    if code == 124:
        record["status"] = "incomplete"
    else:
        record["status"] = "ok" if code == 0 and counts.get("passed") else "failed"
        if counts.get("passed") and code in (0, 1):
            record["figures"] = {"test_failures": len(failed)}
    return record


def sanitize(clock: Clock, log: Path, options: argparse.Namespace) -> Record:
    script = str(ROOT / "tests" / "gpu_cases.py")
    sanitizer = str(program("compute-sanitizer"))

    def output(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, script, *arguments], cwd=ROOT, env=environment(), capture_output=True, text=True,
            timeout=max(clock.left(), 1),
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(arguments)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    cases = output("--list").split()
    # What no case launches is not sanitized; torch's profiler tells, where there is torch.
    unlaunched = None
    if version_of("torch") is not None:
        unlaunched = json.loads(output("--unlaunched").splitlines()[-1])
    runs: dict[str, Record] = {}

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
        found = re.findall(r"(?:ERROR|RACECHECK) SUMMARY: (\d+)", text)
        reports = int(found[-1]) if found else None
        clean = code == 0 and reports == 0
        word = "ok" if clean else "incomplete" if code == 124 else "failed"
        runs[name] = {"status": word, "reports": reports, "exit": code, "seconds": round(time.monotonic() - start, 1)}
        if clean:
            own.unlink()
        else:
            say(f"  {word}: {name}")

    # A process is mostly waiting for its own start.
    workers = max(1, min(4, (os.cpu_count() or 1) // 2))
    with concurrent.futures.ThreadPoolExecutor(workers) as pool, log.open("a") as file:
        for future in [pool.submit(one, tool, case) for case in cases for tool in TOOLS]:
            future.result()
        for name, result in runs.items():
            file.write(f"{name}: {result}\n")
        for path in sorted(log.parent.glob("sanitize.*.log")):
            file.write(f"\n== {path.name}\n{path.read_text(errors='replace')[-20000:]}")
    words = [result["status"] for result in runs.values()]
    failed, done = words.count("failed"), words.count("ok") + words.count("failed")
    say(f"  {len(cases)} cases under {len(TOOLS)} tools: {words.count('ok')} silent, {failed} with reports")
    record: Record = {"cases": cases, "runs": dict(sorted(runs.items())), "kernels_without_a_case": unlaunched}
    if unlaunched:
        say(f"  no case launches {', '.join(unlaunched)}")
    if failed:
        record["status"] = "failed"
    else:
        record["status"] = "ok" if done == len(words) and not unlaunched else "incomplete"
    if done == len(words):
        record["figures"] = {"sanitizer_reports": sum(r["reports"] or (r["status"] == "failed") for r in runs.values())}
    return record


def bench(clock: Clock, log: Path, options: argparse.Namespace) -> Record:
    merged: Record = {"gpu_rows": [], "targets": [], "missing": {}, "figures": {}}
    words = []
    files = sorted(path for path in (ROOT / "benchmarks").glob("bench_*_cuda.py"))
    for path in files:
        if clock.left() < 20:
            words.append("incomplete")
            say(f"  {path.name}: not run: out of time")
            continue
        output = LOGS / f"{path.stem}.json"
        output.unlink(missing_ok=True)
        command = [sys.executable, "-m", "pytest", str(path.relative_to(ROOT)), "-m", "gpu", "--results", str(output)]
        code = run([*command, "-rA", "-p", "no:cacheprovider", *options.arguments], log, clock.left() - 5)
        words.append({0: "ok", 124: "incomplete"}.get(code, "failed"))
        say(f"  {path.name}: {words[-1]}")
        if output.exists():  # written after each benchmark, so there too after a run that was stopped
            found = json.loads(output.read_text())
            for key in ("gpu_rows", "targets"):
                merged[key] += found[key]
            merged["missing"].update(found["missing"])
            merged["figures"].update(found.get("figures", {}))
            merged["machine"] = found["machine"]
    merged["status"] = next((word for word in ("failed", "incomplete") if word in words), "ok" if words else "failed")
    for target in merged["targets"]:
        say(f"  {target['name']}: {target['value']:.3g} {target['unit']} (floor {target['floor']:g})")
    return merged


RUN: dict[str, Callable[[Clock, Path, argparse.Namespace], Record]] = {
    "build": build, "test": test, "sanitize": sanitize, "bench": bench,
}  # fmt: skip


def check(part: str, options: argparse.Namespace) -> str:
    """Runs a part and records it; returns its status."""
    clock = Clock(options.limit, time.monotonic())
    log = LOGS / f"{part}.log"
    LOGS.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    troubles = missing(part)
    if troubles:
        raise CannotRun(f"{part}: cannot run without {'; '.join(troubles)}")
    for module, without in OPTIONAL.items():
        if part in ("test", "bench") and version_of(module) is None:
            say(f"  {module} is not installed: {without}")
    device = gpu_results.gpu()
    say(f"{part}: {device['name'] if device else 'no GPU'}, at most {options.limit} s")
    try:
        if part != "build":
            install(clock, log)
        record = RUN[part](clock, log, options)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        record = {"status": "failed", "trouble": [str(error)]}
    for trouble in record.get("trouble", []):
        say(f"  {trouble}")
    versions = {name: version_of(name) for name in ("torch", "cupy", "numpy")}
    python = ".".join(map(str, sys.version_info[:3]))
    record = {
        "status": record.pop("status"),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "seconds": round(clock.spent(), 1),
        "kernels": gpu_results.kernel_hash(),
        "versions": {"CUDA": toolkit(), "Python": python, **{k: v for k, v in versions.items() if v}},
        **record,
    }
    say(f"{part}: {record['status']}, {record['seconds']:.0f} s")
    if device is not None:
        path = gpu_results.path_for(device["name"], options.results)
        gpu_results.store(path, device, part, record)
        if options.results == gpu_results.RESULTS:
            status.write()
    else:
        path = LOGS / "no-gpu.json"
        gpu_results.store(path, None, part, record)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        for source in (path, status.STATUS, log):
            if source.exists():
                shutil.copy(source, options.out)
    return str(record["status"])


def toolkit() -> str:
    """The version of nvcc."""
    nvcc = os.environ.get("CUDACXX") or program("nvcc")
    done = subprocess.run([str(nvcc), "--version"], capture_output=True, text=True)
    found = re.search(r"release ([\d.]+)", done.stdout)
    return found[1] if found else "unknown"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--part", choices=[*PARTS, "all"], default="all")
    parser.add_argument("--out", type=Path, help="a folder that gets copies of the results and logs")
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
