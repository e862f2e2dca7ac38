"""`make gpu-check`, with stand-ins for the GPU and its programs, and the list of what is claimed of GPUs."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.house

ROOT = Path(__file__).resolve().parent.parent
SMI = 'case "$1" in --query-gpu=compute_cap) echo 9.0;; *) echo "NVIDIA H200, 580.65, 9.0, 143771 MiB";; esac'
H200 = {"name": "NVIDIA H200", "driver": "580.65", "capability": "9.0", "memory": "143771 MiB"}


def load(path: Path) -> Any:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


gpu_results = load(ROOT / "benchmarks" / "gpu_results.py")
status = load(ROOT / "benchmarks" / "status.py")


def script(folder: Path, name: str, body: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def gpu_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script on a machine that says it has an H200, with the package already installed."""
    script(tmp_path / "bin", "nvidia-smi", SMI)
    script(tmp_path / "bin", "nvcc", "echo 'Cuda compilation tools, release 13.0, V13.0.88'")
    script(tmp_path / "bin", "compute-sanitizer", 'shift 4; echo "========= ERROR SUMMARY: 0 errors"; exec "$@"')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    module = load(ROOT / "tools" / "gpu_check.py")
    monkeypatch.setattr(module, "install", lambda clock, log: 0.0)
    monkeypatch.setattr(module, "environment", lambda: dict(os.environ))
    monkeypatch.setattr(module, "missing", lambda part: [])
    monkeypatch.setattr(module, "LOGS", tmp_path / "logs")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    return module


def check(module: Any, tmp_path: Path, part: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    sys.argv = ["gpu_check.py", "--part", part, "--results", str(tmp_path / "results"), "--out", str(tmp_path / "out"),
                *arguments]  # fmt: skip
    code = module.main()
    path = tmp_path / "results" / "nvidia-h200.json"
    assert (tmp_path / "out" / path.name).read_text() == path.read_text()
    assert (tmp_path / "out" / f"{part}.log").is_file()
    found = json.loads(path.read_text())
    assert found["gpu"] == H200
    assert found["parts"][part]["kernels"] == gpu_results.kernel_hash()
    assert found["parts"][part]["versions"]["CUDA"] == "13.0"
    return code, found["parts"][part]


@pytest.fixture(autouse=True)
def _argv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", list(sys.argv))


def test_the_tests_are_counted_one_by_one(gpu_check: Any, tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text(
        "import pytest\npytestmark = pytest.mark.gpu\n"
        "def test_a(): pass\ndef test_b(): assert False\n@pytest.mark.parametrize('x', ['a b'])\n"
        "def test_c(x): pytest.skip('no reason')\n"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = gpu\n")
    code, record = check(gpu_check, tmp_path, "test")
    assert (code, record["status"]) == (1, "failed")
    assert record["counts"] == {"failed": 1, "passed": 1, "skipped": 1}
    assert record["failed"] == ["tests/test_it.py::test_b"] and record["figures"] == {"test_failures": 1}
    code, record = check(gpu_check, tmp_path, "test", "--", "-k", "test_a")
    assert (code, record["status"], record["figures"]) == (0, "ok", {"test_failures": 0})


def test_a_part_that_takes_too_long_is_stopped_and_says_so(gpu_check: Any, tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text(
        "import time, pytest\npytestmark = pytest.mark.gpu\ndef test_a(): pass\ndef test_b(): time.sleep(60)\n"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = gpu\n")
    code, record = check(gpu_check, tmp_path, "test", "--limit", "8")
    assert (code, record["status"], record["counts"]) == (1, "incomplete", {"passed": 1})
    assert "figures" not in record and record["seconds"] < 8


CASES = """
import sys
if sys.argv[1] == "--list": print("one two")
elif sys.argv[1] == "--unlaunched": print({unlaunched!r})
elif sys.argv[1] == "two" and {bad}: print("========= ERROR SUMMARY: 3 errors"); sys.exit(99)
"""


def test_every_case_runs_under_every_sanitizer(gpu_check: Any, tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    cases = tmp_path / "tests" / "gpu_cases.py"
    cases.write_text(CASES.format(unlaunched="[]", bad=False))
    code, record = check(gpu_check, tmp_path, "sanitize")
    assert (code, record["status"], record["figures"]) == (0, "ok", {"sanitizer_reports": 0})
    assert len(record["runs"]) == 8 and record["runs"]["racecheck two"]["reports"] == 0

    cases.write_text(CASES.format(unlaunched="[]", bad=True))
    code, record = check(gpu_check, tmp_path, "sanitize")
    assert (code, record["status"], record["figures"]) == (1, "failed", {"sanitizer_reports": 12})
    assert "3 errors" in (tmp_path / "logs" / "sanitize.log").read_text()

    if importlib.util.find_spec("torch") is not None:
        cases.write_text(CASES.format(unlaunched='["lonely_kernel"]', bad=False))
        code, record = check(gpu_check, tmp_path, "sanitize")
        assert (code, record["status"], record["kernels_without_a_case"]) == (1, "incomplete", ["lonely_kernel"])


def test_benchmarks_are_put_together(gpu_check: Any, tmp_path: Path) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "conftest.py").write_text(
        "import json, pathlib\n"
        "def pytest_addoption(parser): parser.addoption('--results', type=pathlib.Path)\n"
        "def pytest_sessionfinish(session):\n"
        "    name = session.config.args[0].rsplit('/')[-1]\n"
        "    session.config.getoption('--results').write_text(json.dumps({'machine': {}, 'missing': {},"
        " 'gpu_rows': [{'name': name}], 'targets': [], 'figures': {name: 1.5}}))\n"
    )
    (tmp_path / "benchmarks" / "pytest.ini").write_text(
        "[pytest]\nmarkers = gpu\npython_files = bench_*.py\npython_functions = bench_*\n"
    )
    for name in ("a", "b"):
        (tmp_path / "benchmarks" / f"bench_{name}_cuda.py").write_text(
            "import pytest\npytestmark = pytest.mark.gpu\ndef bench_it(): pass\n"
        )
    code, record = check(gpu_check, tmp_path, "bench")
    assert (code, record["status"]) == (0, "ok")
    assert record["figures"] == {"bench_a_cuda.py": 1.5, "bench_b_cuda.py": 1.5} and len(record["gpu_rows"]) == 2


@pytest.mark.parametrize("part", ["test", "sanitize", "bench"])
def test_without_a_gpu_a_part_says_what_is_missing(tmp_path: Path, part: str) -> None:
    script(tmp_path / "bin", "nvidia-smi", "echo 'No devices were found'; exit 6")
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "gpu_check.py"), "--part", part], capture_output=True, text=True,
        env={**os.environ, "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout.startswith(f"{part}: cannot run without") and "a CUDA device" in done.stdout


# What is claimed


def results(value: float, kernels: str = "abc") -> dict[str, Any]:
    part = {"status": "ok", "date": "2026-01-31", "seconds": 12.0, "kernels": kernels, "versions": {"torch": "2.11"},
            "figures": {"v_torch_dct": value}}  # fmt: skip
    return {"schema": gpu_results.SCHEMA, "gpu": H200, "parts": {"bench": part}}


@pytest.mark.parametrize(
    ("value", "kernels", "verdict"),
    [(8.5, "abc", "goal met"), (5.0, "abc", "floor met"), (3.0, "abc", "**missed**"), (5.0, "old", "floor met, stale")],
)
def test_a_measured_figure_stands_with_its_verdict(value: float, kernels: str, verdict: str) -> None:
    text = status.markdown([results(value, kernels)], "abc")
    line = next(line for line in text.splitlines() if "times faster than a torch.fft DCT" in line)
    assert f"| {value:.3g}× | NVIDIA H200, 2026-01-31, kernels {kernels} | {verdict}" in line
    assert text.count("not measured") == len(status.GOALS) - 1


def test_the_status_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "status.py"), "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_hash_is_of_the_kernels_and_what_they_include(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "csrc", tmp_path / "csrc", ignore=shutil.ignore_patterns("third_party"))
    before = gpu_results.kernel_hash(tmp_path)
    assert before == gpu_results.kernel_hash()
    names = [path.relative_to(tmp_path).as_posix() for path in gpu_results.kernel_sources(tmp_path)]
    assert "csrc/device/launch.h" in names and "csrc/core/dtype.h" in names
    assert not [name for name in names if "emulator" in name or name.endswith("_cpu.cpp")]
    for name, changes in (("ops/poisson/multigrid_cpu.cpp", False), ("device/reduce.h", True)):
        path = tmp_path / "csrc" / name
        path.write_text(path.read_text() + "// more\n")
        assert (gpu_results.kernel_hash(tmp_path) != before) == changes


def test_results_of_other_parts_are_kept(tmp_path: Path) -> None:
    path = gpu_results.path_for("NVIDIA H200", tmp_path)
    for part in ("build", "test", "build"):
        gpu_results.store(path, H200, part, {"status": "ok"})
    assert list(json.loads(path.read_text())["parts"]) == ["build", "test"]
    assert [p.name for p in tmp_path.iterdir()] == ["nvidia-h200.json"]
