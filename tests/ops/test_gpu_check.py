"""`make gpu-check`, with stand-ins for the GPU and its programs, and the list of the claims about GPUs."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from subprocess import Popen
from types import SimpleNamespace
from typing import Any

import pytest

from ..shared import ROOT

pytestmark = pytest.mark.house

BENCHMARKS = sorted((ROOT / "benchmarks").rglob("bench_*_cuda.py"))
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
    """Returns the script on a machine that says it has an H200, with the package already installed."""
    script(tmp_path / "bin", "nvidia-smi", SMI)
    script(tmp_path / "bin", "nvcc", "echo 'Cuda compilation tools, release 13.0, V13.0.88'")
    script(tmp_path / "bin", "compute-sanitizer", 'shift 4; echo "========= ERROR SUMMARY: 0 errors"; exec "$@"')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    module = load(ROOT / "tools" / "gpu_check.py")
    monkeypatch.setattr(module, "install", lambda clock, log: 0.0)
    # The tests that it runs need no plugins, and Hypothesis's takes seconds to import.
    monkeypatch.setattr(module, "environment", lambda: {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})
    monkeypatch.setattr(module, "missing", lambda part, is_built: [])
    monkeypatch.setattr(module, "LOGS", tmp_path / "logs")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    return module


def run(module: Any, tmp_path: Path, part: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Runs the script; returns the exit status and the records of all parts."""
    sys.argv = ["gpu_check.py", "--part", part, "--results", str(tmp_path / "results"), "--out", str(tmp_path / "out"),
                *arguments]  # fmt: skip
    code = module.main()
    path = tmp_path / "results" / "nvidia-h200.json"
    assert (tmp_path / "out" / path.name).read_text() == path.read_text()
    assert (tmp_path / "out" / f"{part}.log").is_file()
    report = json.loads(path.read_text())
    assert report["gpu"] == H200
    for record in report["parts"].values():
        assert record["kernels"] == gpu_results.kernel_hash()
        assert record["versions"]["CUDA"] == "13.0"
    return code, report["parts"]


def run_part(module: Any, tmp_path: Path, part: str, *arguments: str) -> dict[str, Any]:
    """Returns the record of a part, without looking at those of others."""
    sys.argv = ["gpu_check.py", "--part", part, "--results", str(tmp_path / "results"), *arguments]
    module.main()
    record: dict[str, Any] = json.loads((tmp_path / "results" / "nvidia-h200.json").read_text())["parts"][part]
    return record


def check(module: Any, tmp_path: Path, part: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    code, parts = run(module, tmp_path, part, *arguments)
    return code, parts[part]


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


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns a file that a slow test writes; the time of a part of 30 s is over as soon as it is there."""
    file = tmp_path / "began"

    class Hurried(Popen):  # type: ignore[type-arg]
        def wait(self, timeout: float | None = None) -> int:
            if timeout is not None and timeout > 1:
                assert timeout <= 25
                while self.poll() is None and not file.exists():
                    time.sleep(0.05)
                timeout = 0
            return super().wait(timeout)

    monkeypatch.setattr(subprocess, "Popen", Hurried)
    return file


@pytest.mark.full
def test_a_part_that_takes_too_long_is_stopped_and_says_so(gpu_check: Any, tmp_path: Path, slow: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text(
        "import pathlib, time, pytest\npytestmark = pytest.mark.gpu\ndef test_a(): pass\n"
        f"def test_b(): pathlib.Path({str(slow)!r}).touch(); time.sleep(600)\n"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = gpu\n")
    code, record = check(gpu_check, tmp_path, "test", "--limit", "30")
    assert (code, record["status"], record["counts"]) == (1, "incomplete", {"passed": 1})
    assert "figures" not in record and record["seconds"] < 30


CASES = """
import sys
if sys.argv[1] == "--list": print("one two")
elif sys.argv[1] == "--unlaunched": print({unlaunched!r})
elif sys.argv[1] == "two" and {bad}: print("========= ERROR SUMMARY: 3 errors"); sys.exit(99)
"""


def test_every_case_runs_under_every_sanitizer_until_that_was_silent(gpu_check: Any, tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    cases, mended = tmp_path / "tests" / "gpu_cases.py", tmp_path / "mended"
    bad = f"not __import__('os').path.exists({str(mended)!r})"
    cases.write_text(CASES.format(unlaunched="[]", bad=bad))
    code, record = check(gpu_check, tmp_path, "sanitize")
    assert (code, record["status"], record["figures"]) == (1, "failed", {"sanitizer_reports": 12})
    assert "3 errors" in (tmp_path / "logs" / "sanitize.log").read_text()
    assert len(record["runs"]) == 8 and record["runs"]["racecheck one"]["reports"] == 0
    assert [run["status"] for run in record["runs"].values()].count("failed") == 4

    mended.touch()
    script(tmp_path / "bin", "compute-sanitizer",
           f'echo "$@" >>{tmp_path}/calls; shift 4; echo "========= ERROR SUMMARY: 0 errors"; exec "$@"')  # fmt: skip
    code, record = check(gpu_check, tmp_path, "sanitize")
    assert (code, record["status"], record["figures"]) == (0, "ok", {"sanitizer_reports": 0})
    calls = (tmp_path / "calls").read_text().splitlines()
    assert len(calls) == 4 and all(line.endswith(" two") for line in calls)

    if importlib.util.find_spec("torch") is not None:
        cases.write_text(CASES.format(unlaunched='["lonely_kernel"]', bad=bad))
        code, record = check(gpu_check, tmp_path, "sanitize")
        assert (code, record["status"], record["kernels_without_a_case"]) == (1, "incomplete", ["lonely_kernel"])


@pytest.mark.full
def test_what_has_passed_is_not_run_again(gpu_check: Any, tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = gpu\n")
    body = (
        "import pathlib, pytest\npytestmark = pytest.mark.gpu\n"
        "ran = lambda name: pathlib.Path({ran!r}).open('a').write(name + ' ')\n"
        "def test_a(): ran('a')\ndef test_ab(): ran('ab'); assert pathlib.Path({mended!r}).exists()\n"
    )
    ran, mended = tmp_path / "ran.txt", tmp_path / "mended"
    path = tmp_path / "tests" / "test_it.py"
    path.write_text(body.format(ran=str(ran), mended=str(mended)))
    assert check(gpu_check, tmp_path, "test")[0] == 1
    mended.touch()
    code, record = check(gpu_check, tmp_path, "test")
    assert (code, record["counts"], record["figures"]) == (0, {"passed": 2}, {"test_failures": 0})
    assert ran.read_text() == "a ab ab "
    code, record = check(gpu_check, tmp_path, "test")  # nothing is left
    assert (code, record["status"], record["counts"]) == (0, "ok", {"passed": 2})
    assert ran.read_text() == "a ab ab "
    # Tests do not depend on a docstring of a benchmark.
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "bench_poisson_cuda.py").write_text('"""Words."""')
    check(gpu_check, tmp_path, "test")
    assert ran.read_text() == "a ab ab "
    check(gpu_check, tmp_path, "test", "--again")
    path.write_text(path.read_text() + "# other sources\n")
    check(gpu_check, tmp_path, "test")
    assert ran.read_text() == "a ab ab a ab a ab "


def test_eight_sanitizers_run_at_once(gpu_check: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "gpu_cases.py").write_text(CASES.format(unlaunched="[]", bad=False))
    # Each waits until eight have begun; with fewer none would end well.
    starts = tmp_path / "begun"
    starts.mkdir()
    script(tmp_path / "bin", "compute-sanitizer",
           f"touch {starts}/$$; for i in $(seq 600); do [ $(ls {starts} | wc -l) -ge 8 ] && break; sleep 0.1; done; "
           f'[ $(ls {starts} | wc -l) -ge 8 ] || exit 1; echo "========= ERROR SUMMARY: 0 errors"')  # fmt: skip
    code, record = check(gpu_check, tmp_path, "sanitize")
    assert (code, record["status"]) == (0, "ok")


BENCHMARK = """
import pathlib, pytest, time
pytestmark = pytest.mark.gpu
FOLDER = pathlib.Path({folder!r})
@pytest.mark.parametrize("size", [1, 2, 3])
def bench_it(found, size):
    with (FOLDER / "order").open("a") as file:
        file.write("{name}%d " % size)
    if size == 2 and "{name}" == "poisson" and (FOLDER / "slow").exists():
        (FOLDER / "began").touch()
        time.sleep(600)
    found["gpu_rows"].append(dict(group="{name}", problem=str(size), name="ours"))
    found["figures"]["{name}"] = min(size, found["figures"].get("{name}", 9))
"""


@pytest.fixture
def bench_files(tmp_path: Path) -> Path:
    """Returns two files of benchmarks that note what they measured, and write and go on as those of the repository."""
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    (folder / "conftest.py").write_text(
        "import json, pathlib, pytest\n"
        "FOUND = {'rows': [], 'gpu_rows': [], 'targets': [], 'missing': {}, 'figures': {}}\n"
        "def pytest_addoption(parser):\n"
        "    parser.addoption('--results', type=pathlib.Path)\n    parser.addoption('--add', action='store_true')\n"
        "    parser.addoption('--first', action='store_true')\n"
        "def pytest_configure(config):\n"
        "    path = config.getoption('--results')\n"
        "    if config.getoption('--add') and path.exists(): FOUND.update(json.loads(path.read_text()))\n"
        "@pytest.fixture\n"
        "def found(): return FOUND\n"
        "def pytest_runtest_teardown(item):\n"
        "    item.config.getoption('--results').write_text(json.dumps({**FOUND, 'machine': {}}))\n"
    )
    (folder / "pytest.ini").write_text(
        "[pytest]\nmarkers = gpu\npython_files = bench_*.py\npython_functions = bench_*\naddopts = -q\n"
    )
    for name in ("color_grid", "poisson"):
        (folder / f"bench_{name}_cuda.py").write_text(BENCHMARK.format(folder=str(tmp_path), name=name))
    return folder


@pytest.mark.full
def test_benchmarks_run_by_their_worth_and_each_file_is_recorded(
    gpu_check: Any, tmp_path: Path, bench_files: Path
) -> None:
    code, parts = run(gpu_check, tmp_path, "bench")
    assert code == 0 and (tmp_path / "order").read_text().split()[::3] == ["poisson1", "color_grid1"]
    for name in ("poisson", "color_grid"):
        record = parts[f"bench {name}"]
        assert (record["status"], record["figures"], len(record["gpu_rows"])) == ("ok", {name: 1}, 3)
    for record in parts.values():
        record["gpu_rows"] = []
    text = status.markdown([{"gpu": H200, "parts": parts}], lambda name: "", [])
    assert "- bench poisson: ok, " in text and "- bench color_grid: ok, " in text


def test_the_first_look_is_one_run_of_all_files(gpu_check: Any, tmp_path: Path, bench_files: Path) -> None:
    code, parts = run(gpu_check, tmp_path, "first", "--files", "poisson,color_grid")
    assert code == 0 and list(parts) == ["first"]
    assert parts["first"]["figures"] == {"poisson": 1, "color_grid": 1}
    log = (tmp_path / "out" / "first.log").read_text()
    assert log.count("$ ") == 1 and "--first" in log


@pytest.mark.full
def test_the_first_look_measures_every_figure() -> None:
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "--first", "--collect-only", "-qq"]
    files = [str(path.relative_to(ROOT / "benchmarks")) for path in BENCHMARKS]
    process = subprocess.run([*command, *files], cwd=ROOT / "benchmarks", capture_output=True, text=True)
    sources = "".join((ROOT / "benchmarks" / name).read_text() for name in files)
    assert process.returncode == 0 and all(name in process.stdout for name in files), process.stdout
    assert sources.count("pytest.mark.first") >= len(files)


@pytest.mark.full
def test_only_the_files_that_are_named_run(gpu_check: Any, tmp_path: Path, bench_files: Path) -> None:
    code, parts = run(gpu_check, tmp_path, "bench", "--files", "color_grid")
    assert code == 0 and list(parts) == ["bench color_grid"]
    sys.argv = ["gpu_check.py", "--part", "bench", "--files", "colour_grid"]
    assert gpu_check.main() == 2


def test_benchmarks_that_all_skip_have_measured_nothing(gpu_check: Any, tmp_path: Path, bench_files: Path) -> None:
    path = bench_files / "bench_poisson_cuda.py"
    path.write_text(
        path.read_text().replace("def bench_it", "@pytest.mark.skip(reason='no CUDA device')\ndef bench_it")
    )
    code, parts = run(gpu_check, tmp_path, "bench", "--files", "poisson")
    record = parts["bench poisson"]
    assert (code, record["status"], record["done"]) == (1, "failed", [])
    assert record["trouble"] == ["every benchmark was skipped: nothing was measured"]


def test_what_changed_is_measured_again_and_other_figures_keep_their_date(
    gpu_check: Any, tmp_path: Path, bench_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, key in (("poisson", "masked_v_torch_dct"), ("color_grid", "color_grid_ms")):
        path = bench_files / f"bench_{name}_cuda.py"
        path.write_text(path.read_text().replace(f'["figures"]["{name}"]', f'["figures"]["{key}"]'))
    monkeypatch.setattr(gpu_check, "today", lambda: "2026-01-31")
    first = run(gpu_check, tmp_path, "first")[1]["first"]
    hashes = {goal.key: gpu_results.kernel_hash(benchmark=goal.benchmark) for goal in status.GOALS}
    entry = {key: {"date": "2026-01-31", "kernels": hashes[key]} for key in first["figures"]}
    assert first["measured"] == entry and len(entry) == 2
    # Other kernels of one, and time for none: its figure is of the kernels before.
    real = gpu_results.kernel_hash

    def changed(root: Path = ROOT, benchmark: str = "") -> str:
        return "new" if benchmark == "poisson" else real(root, benchmark)

    monkeypatch.setattr(gpu_check.gpu_results, "kernel_hash", changed)
    monkeypatch.setattr(gpu_check, "today", lambda: "2026-02-01")
    order = (tmp_path / "order").read_text()
    record = run_part(gpu_check, tmp_path, "first", "--", "-k", "none")
    assert record["measured"] == entry and record["figures"] == first["figures"]
    record = run_part(gpu_check, tmp_path, "first")
    assert (tmp_path / "order").read_text() == order + "poisson1 poisson2 poisson3 "
    assert record["measured"] == entry | {"masked_v_torch_dct": {"date": "2026-02-01", "kernels": "new"}}


@pytest.mark.full
def test_a_benchmark_that_was_stopped_goes_on_and_adds_its_figures(
    gpu_check: Any, tmp_path: Path, bench_files: Path, slow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow").touch()
    code, parts = run(gpu_check, tmp_path, "bench", "--files", "poisson", "--limit", "30")
    monkeypatch.setattr(subprocess, "Popen", Popen)
    record = parts["bench poisson"]
    assert (code, record["status"], record["figures"]) == (1, "incomplete", {"poisson": 1})
    (tmp_path / "slow").unlink()
    code, parts = run(gpu_check, tmp_path, "bench")
    record = parts["bench poisson"]
    assert (code, record["status"], record["figures"]) == (0, "ok", {"poisson": 1})
    assert [row["problem"] for row in record["gpu_rows"]] == ["1", "2", "3"]
    order = (tmp_path / "order").read_text().split()
    assert order == ["poisson1", "poisson2", "poisson2", "poisson3", "color_grid1", "color_grid2", "color_grid3"]
    assert run(gpu_check, tmp_path, "bench")[0] == 0  # all of it is recorded
    assert (tmp_path / "order").read_text().split() == order


def test_every_benchmark_has_a_place_in_the_order() -> None:
    module = load(ROOT / "tools" / "gpu_check.py")
    names = [path.stem.removeprefix("bench_").removesuffix("_cuda") for path in module.benchmarks(None)]
    assert names == list(module.ORDER)
    compiling = [path.name for path in (ROOT / "benchmarks").glob("*_cuda.py") if ".compile(" in path.read_text()]
    assert compiling == ["peers_cuda.py"]  # for the shapes of one problem


def test_the_ledger_goes_on_from_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    measure = load(ROOT / "benchmarks" / "measure.py")
    first = measure.Ledger()
    first.add("group", "problem", "name", measure.Timing([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]), version="1", error=0.5)
    first.figure("v_torch_dct", 4.5)
    first.gpu_rows.append({"group": "a"})
    first.missing["CuPy"] = "not here"
    again = measure.Ledger()
    again.take(json.loads(json.dumps(first.as_dict())))
    assert again.as_dict() == first.as_dict()


def test_the_built_package_is_an_archive_that_saves_the_next_build(
    gpu_check: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = load(ROOT / "tools" / "gpu_check.py")
    for name, value in (("LOGS", tmp_path / "logs"), ("ROOT", tmp_path), ("SITE", tmp_path / "site")):
        monkeypatch.setattr(real, name, value)
    weights = tmp_path / "pyharmony" / "networks" / "models" / "_weights"
    weights.mkdir(parents=True)
    (weights / "w.safetensors").write_bytes(b"12")
    (tmp_path / "logs").mkdir(exist_ok=True)
    builds: list[list[str]] = []

    def pip(command: list[str], log: Path, seconds: float, env: dict[str, str] | None = None) -> int:
        builds.append(command)
        shutil.copytree(tmp_path / "pyharmony", real.SITE / "pyharmony")
        (real.SITE / "pyharmony" / "_C.so").write_bytes(b"code")
        return 0

    monkeypatch.setattr(real, "run", pip)
    clock, log = real.Clock(100, 0), tmp_path / "log"
    assert real.install(clock, log) > 0
    assert {"--no-build-isolation", "--no-deps", "--no-index"} <= set(builds[0])
    assert real.install(clock, log) == 0
    shutil.rmtree(real.SITE)
    assert real.install(clock, log) == 0 and len(builds) == 1
    assert (real.SITE / "pyharmony" / "_C.so").read_bytes() == b"code"
    assert (real.SITE / "pyharmony" / "networks" / "models" / "_weights" / "w.safetensors").read_bytes() == b"12"
    (tmp_path / "pyharmony" / "more.py").touch()  # other sources
    assert real.install(clock, log) > 0 and len(builds) == 2


def test_what_is_built_needs_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path / "bin", "nvidia-smi", SMI)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("CUDACXX", raising=False)
    module = load(ROOT / "tools" / "gpu_check.py")
    monkeypatch.setattr(module, "program", lambda name: None)
    monkeypatch.setattr(gpu_results, "gpu", lambda: H200)
    monkeypatch.setattr(module.gpu_results, "gpu", lambda: H200)
    assert module.missing("test", is_built=True) == []
    without = "; ".join(module.missing("test", is_built=False))
    assert "the compiler g++" in without and "nvcc" in without


NCU = r"""
while [ $# -gt 0 ]; do case "$1" in --log-file) out=$2;; --kernel-name) name=$2;; esac; shift; done
printf '==PROF== Connected\n' >"$out"
printf '"ID","Kernel Name","Metric Name","Metric Unit","Metric Value"\n' >>"$out"
printf '"0","%s","Registers Per Thread","register/thread","254"\n' "$name" >>"$out"
printf '"0","%s","Waves Per SM","","0.13"\n' "$name" >>"$out"
printf '"0","%s","Duration","ns","9,240"\n' "$name" >>"$out"
printf '"1","%s","Registers Per Thread","register/thread","254"\n' "$name" >>"$out"
printf '"1","%s","Waves Per SM","","0.97"\n' "$name" >>"$out"
printf '"1","%s","Duration","us","11"\n' "$name" >>"$out"
"""


LAB = """
import json, pathlib, sys
row = {"kernel": "in_kernel<float, 1>", "launches": 1, "us": 812.5}
pathlib.Path(sys.argv[2]).write_text(json.dumps({"dct 8K": [row]}))
sys.exit(int(len(sys.argv) > 3))
"""


def test_the_kernels_of_calls_are_measured_one_by_one(gpu_check: Any, tmp_path: Path) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "kernel_times.py").write_text(LAB)
    code, record = check(gpu_check, tmp_path, "lab")
    assert (code, record["status"], record["kernel_times"]["dct 8K"][0]["us"]) == (0, "ok", 812.5)
    recorded = [json.loads((tmp_path / "results" / "nvidia-h200.json").read_text())]
    assert "| dct 8K | in_kernel<float, 1> | 1        | 812 |" in status.markdown(recorded, lambda benchmark: "")
    code, record = check(gpu_check, tmp_path, "lab", "--again", "--", "none")
    assert (code, record["status"]) == (1, "failed") and "exit 1" in record["trouble"][0]


def test_kernels_are_summed_by_name() -> None:
    module = load(ROOT / "benchmarks" / "kernel_times.py")
    names = (
        "void pyharmony::gaussian_poisson::(anonymous namespace)::in_kernel<pyharmony::Half, 1>(pyharmony::RowParams)",
        "pyharmony::poisson::tail_kernel(pyharmony::poisson::Params)", "Memcpy DtoD (Device -> Device)",
    )  # fmt: skip
    assert [module.short(name) for name in names] == ["in_kernel<Half, 1>", "tail_kernel", names[2]]
    event = SimpleNamespace
    events = [event(name=names[0], device_type="DeviceType.CUDA", device_time_total=us) for us in (10, 30)]
    events += [event(name=names[1], device_type="DeviceType.CUDA", device_time_total=50.0)]
    events += [event(name="aten::copy_", device_type="DeviceType.CPU", device_time_total=99.0)]
    assert module.rows_of(events, 2) == [
        {"kernel": "tail_kernel", "launches": 0.5, "us": 25}, {"kernel": "in_kernel<Half, 1>", "launches": 1, "us": 20},
    ]  # fmt: skip


def test_the_calls_whose_kernels_are_measured_run(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    module = load(ROOT / "benchmarks" / "kernel_times.py")
    monkeypatch.setattr(module, "SIZES", dict.fromkeys(module.SIZES, (48, 64)))
    for name, prepare in module.CALLS.items():
        assert prepare("cpu")().shape in ((48, 64, 3), (3, 48, 64)), name


def test_some_kernels_are_profiled_where_there_is_ncu(gpu_check: Any, tmp_path: Path) -> None:
    sys.argv = ["gpu_check.py", "--part", "profile", "--results", str(tmp_path / "results")]
    if gpu_check.program("ncu") is None:
        assert gpu_check.main() == 0 and not (tmp_path / "results").exists()
    script(tmp_path / "bin", "ncu", NCU)
    code, record = check(gpu_check, tmp_path, "profile")
    assert (code, record["status"], list(record["kernels_profiled"])) == (0, "ok", list(gpu_check.KERNELS))
    assert len(gpu_check.KERNELS) == 7
    expected_metrics = {"Registers Per Thread": "254 register/thread", "Waves Per SM": "0.97", "Duration": "11 us"}
    assert all(metrics == expected_metrics for metrics in record["kernels_profiled"].values())
    script(tmp_path / "bin", "ncu", "echo 'no permission'; exit 1")
    code, record = check(gpu_check, tmp_path, "profile", "--again")
    assert (code, record["status"], record["kernels_profiled"]) == (1, "failed", {})


@pytest.mark.full
def test_the_calls_that_are_profiled_run() -> None:
    module = load(ROOT / "tools" / "gpu_check.py")
    budgets = (ROOT / "csrc" / "kernel_budgets.txt").read_text()
    assert all(f"\n{kernel} " in budgets for kernel in module.KERNELS)
    small = module.PROFILED.replace("2160, :3840", "54, :96").replace('"cuda", strict=True', '"cpu"')
    for call in sorted(set(module.KERNELS.values())):
        subprocess.run([sys.executable, "-c", small, call], check=True)


@pytest.mark.parametrize(
    "part", ["bench", pytest.param("test", marks=pytest.mark.full), pytest.param("sanitize", marks=pytest.mark.full)]
)
def test_without_a_gpu_a_part_says_what_is_missing(tmp_path: Path, part: str) -> None:
    script(tmp_path / "bin", "nvidia-smi", "echo 'No devices were found'; exit 6")
    process = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "gpu_check.py"), "--part", part], capture_output=True, text=True,
        env={**os.environ, "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"},
    )  # fmt: skip
    assert process.returncode == 2
    assert process.stdout.startswith(f"{part}: cannot run without") and "a CUDA device" in process.stdout


# The claims


def results(value: float, kernels: str = "abc") -> dict[str, Any]:
    part = {"status": "ok", "date": "2026-01-31", "seconds": 12.0, "kernels": kernels, "versions": {"torch": "2.11"},
            "figures": {"v_torch_dct": value}}  # fmt: skip
    return {"schema": gpu_results.SCHEMA, "gpu": H200, "parts": {"bench": part}}


@pytest.mark.parametrize(
    ("value", "kernels", "verdict"),
    [(8.5, "abc", "goal met"), (5.0, "abc", "floor met"), (3.0, "abc", "**missed**"), (5.0, "old", "floor met, stale")],
)
def test_a_measured_figure_stands_with_its_verdict(value: float, kernels: str, verdict: str) -> None:
    text = status.markdown([results(value, kernels)], {"gaussian_poisson": "abc"}.get)
    line = next(line for line in text.splitlines() if "times faster than a torch.fft DCT" in line)
    assert f"| {value:.3g}× | NVIDIA H200, 2026-01-31, kernels {kernels} | {verdict}" in line
    assert text.count("not measured") == len(status.GOALS) - 1


def test_the_status_is_up_to_date() -> None:
    process = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "status.py"), "--check"], capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr


def test_the_hash_is_of_the_kernels_and_what_they_include(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "csrc", tmp_path / "csrc", ignore=shutil.ignore_patterns("third_party"))
    before = gpu_results.kernel_hash(tmp_path)
    assert before == gpu_results.kernel_hash()
    names = [path.relative_to(tmp_path).as_posix() for path in gpu_results.kernel_sources(tmp_path)]
    assert "csrc/device/launch.h" in names and "csrc/core/dtype.h" in names
    assert not [name for name in names if "emulator" in name or name.endswith("_simd.cpp")]
    for name, changes in (("ops/poisson/multigrid_simd.cpp", False), ("device/reduce.h", True)):
        path = tmp_path / "csrc" / name
        path.write_text(path.read_text() + "// more\n")
        assert (gpu_results.kernel_hash(tmp_path) != before) == changes


def test_each_benchmark_has_a_hash_of_its_own_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "csrc", tmp_path / "csrc", ignore=shutil.ignore_patterns("third_party"))
    names = [path.stem.removeprefix("bench_").removesuffix("_cuda") for path in BENCHMARKS]
    assert sorted(gpu_results.OPS) == sorted(names) and {goal.benchmark for goal in status.GOALS} == {*names, ""}
    before = {name: gpu_results.kernel_hash(tmp_path, name) for name in names}
    assert len(set(before.values())) == len(names)
    path = tmp_path / "csrc" / "ops" / "gaussian_poisson" / "direct.cu"
    path.write_text(path.read_text() + "// more\n")
    changed = {name for name in names if gpu_results.kernel_hash(tmp_path, name) != before[name]}
    assert changed == {"gaussian_poisson", "pyramid"}


def test_results_of_other_parts_are_kept(tmp_path: Path) -> None:
    path = gpu_results.path_for("NVIDIA H200", tmp_path)
    for part in ("build", "test", "build"):
        gpu_results.store(path, H200, part, {"status": "ok"})
    assert list(json.loads(path.read_text())["parts"]) == ["build", "test"]
    assert [p.name for p in tmp_path.iterdir()] == ["nvidia-h200.json"]
