"""The tests' common parts: data, profiles of Hypothesis, instruction sets, threads, expected skips, idle tests."""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib.machinery
import importlib.util
import itertools
import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

import pyharmony
from pyharmony import _native
from pyharmony._native import native

from . import skips

ROOT = Path(__file__).resolve().parent.parent

# Cases are the same every time, but for the full profile. Times are measured in benchmarks/, not here.
hypothesis.settings.register_profile("short", max_examples=10, deadline=None, derandomize=True, database=None)
hypothesis.settings.register_profile("default", max_examples=20, deadline=None, derandomize=True, database=None)
hypothesis.settings.register_profile(
    "full", max_examples=2000, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """Returns the repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Returns the shared images and reference vectors: $PYHARMONY_DATA, or shared/data beside the repository."""
    path = Path(os.environ.get("PYHARMONY_DATA") or ROOT.parent / "shared" / "data")
    if not path.is_dir():
        pytest.skip("shared data not found")
    return path


@contextlib.contextmanager
def instruction_set(level: str) -> Iterator[bool]:
    """Sets the instruction set of the kernels for a while, and tells whether it is available."""
    before = native.simd_level()
    try:
        native.set_simd_level(level)
    except ValueError:
        yield False
    else:
        try:
            yield True
        finally:
            native.set_simd_level(before)


@functools.cache
def is_available(level: str) -> bool:
    with instruction_set(level) as available:
        return available


@pytest.fixture(params=skips.INSTRUCTION_SETS)
def simd(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs the test once with the kernels of each instruction set that is available."""
    with instruction_set(request.param) as available:
        if not available:
            pytest.skip(skips.not_available(request.param))
        yield request.param


@pytest.fixture
def one_torch_thread() -> Iterator[None]:
    """Gives torch one thread: networks as narrow as those of the tests are slower with more."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=[1, pytest.param(2, marks=pytest.mark.full), 5], ids=lambda n: f"{n}threads")
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Runs the test with one thread, with more than a small machine has, and in the long forms with two."""
    before = pyharmony.get_num_threads()
    pyharmony.set_num_threads(request.param)
    yield request.param
    pyharmony.set_num_threads(before)


def load_emulator(name: str) -> Any:
    """Returns a module of the emulator: from the folder $PYHARMONY_EMULATOR, or the newest one under build/."""
    folder = os.environ.get("PYHARMONY_EMULATOR")
    file = name + importlib.machinery.EXTENSION_SUFFIXES[0]
    found = list(Path(folder).glob(file)) if folder else list(ROOT.glob(f"build/*/emulator/{file}"))
    if name.endswith("_check"):  # `make test` does not build it: an older one says nothing of the sources
        sources = (path for room in ("csrc", "tests/native") for path in (ROOT / room).rglob("*") if path.is_file())
        newest = max(path.stat().st_mtime for path in sources)
        found = [path for path in found if path.stat().st_mtime >= newest]
    if not found:
        checked = name.endswith("_check")
        pytest.skip("the emulator's checker is not built" if checked else "the emulator is not built")
    spec = importlib.util.spec_from_file_location(name, max(found, key=lambda path: path.stat().st_mtime))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def emulator_module() -> Any:
    """Returns the CUDA kernels compiled for the CPU; with PYHARMONY_EMULATOR_CHECK=1 with the checker."""
    return load_emulator("_emulator_check" if os.environ.get("PYHARMONY_EMULATOR_CHECK") == "1" else "_emulator")


@pytest.fixture(params=[1, *(pytest.param(n, marks=pytest.mark.full) for n in (2, 3))], ids=lambda n: f"seed{n}")
def emulator(request: pytest.FixtureRequest, emulator_module: Any) -> Iterator[Any]:
    """Yields the CUDA kernels on the CPU, with one order of their threads, and with two others in the long forms.

    That the order changes no bit is tested on each kernel in test_emulator_cases.py. A built-in checker is silent.
    """
    emulator_module.set_seed(request.param)
    yield emulator_module
    emulator_module.set_seed(0)
    if emulator_module.checked:
        reports = emulator_module.reports()
        emulator_module.clear_reports()
        assert reports == []


@pytest.fixture(scope="session")
def emulator_tests() -> Any:
    """Returns the kernels of tests/native, without the checker."""
    return load_emulator("_emulator_tests")


@pytest.fixture(scope="session")
def emulator_tests_check() -> Any:
    """Returns the kernels of tests/native with the checker."""
    return load_emulator("_emulator_tests_check")


@pytest.fixture(scope="session")
def emulator_check() -> Any:
    """Returns the kernels of the package with the checker."""
    return load_emulator("_emulator_check")


@pytest.fixture(scope="session")
def device_module() -> Any:
    """Returns the native kernels of a CUDA device, on a machine that has one."""
    module = _native.device_module()
    if module is None:
        pytest.skip("no CUDA device")
    return module


class ExpectedSkips:
    """Fails the run for a skip or expected failure that tests/skips.py does not name with its reason."""

    def __init__(self) -> None:
        self.unexpected: list[tuple[str, str]] = []

    def check(self, name: str, reason: str) -> None:
        if not skips.expected(name, reason):
            self.unexpected.append((name, reason))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped:
            self.check(report.nodeid, _reason(report))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self.check(report.nodeid, _reason(report))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.unexpected and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.unexpected:
            terminalreporter.section("skips that tests/skips.py does not name", red=True)
            for name, reason in self.unexpected:
                terminalreporter.write_line(f"{name} | {reason}")


def _reason(report: Any) -> str:
    if hasattr(report, "wasxfail"):
        return f"xfail: {report.wasxfail}"
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


class IdleTests:
    """Writes the names of tests that reach no kernel: they make no view of an array for one, and start no process.

    Another run of the same sources, with other kernels or under a sanitizer, leaves these out by PYHARMONY_LEAVE_OUT.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.reached = path, False
        make_view = native.ArrayView.__init__

        def note_view(*arguments: Any, **options: Any) -> None:
            self.reached = True
            make_view(*arguments, **options)

        native.ArrayView.__init__ = note_view
        sys.addaudithook(self.note_process)

    def note_process(self, event: str, _: Any) -> None:
        if event in ("subprocess.Popen", "os.fork", "os.posix_spawn", "os.system"):
            self.reached = True

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.reached = item.get_closest_marker("emulated") is not None
        yield
        if not self.reached:
            with self.path.open("a") as file:
                file.write(f"{item.nodeid}\n")


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get("PYHARMONY_CHECK_SKIPS") == "1":
        config.pluginmanager.register(ExpectedSkips(), "expected-skips")
    if path := os.environ.get("PYHARMONY_NOTE_IDLE"):
        config.pluginmanager.register(IdleTests(Path(path)), "idle-tests")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves out files whose own mark `-m` excludes by "not MARK and ...": to import them takes longer than some tests.

    A file that is named on the command line is collected.
    """
    plain = re.sub(r"\([^()]*\)", "()", config.option.markexpr)
    named = {Path(argument.partition("::")[0]).name for argument in config.args}
    if collection_path.suffix != ".py" or collection_path.name in named or re.search(r"\bor\b", plain):
        return None
    excluded = set(re.findall(r"\bnot (\w+)", plain)) - {"full"}
    if not excluded:
        return None
    marks = re.search(r"^pytestmark = (.*)$", collection_path.read_text(), re.M)
    return True if marks and excluded & set(re.findall(r"pytest\.mark\.(\w+)(?!\w|\()", marks[1])) else None


def pytest_collection() -> None:
    """Stops Python's collector: it would look through modules and tests, which stay to the end, again and again."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Starts it again, for what is new; typer's runner makes the commands of an app for its first call only.

    To make them takes longer than most calls.
    """
    gc.freeze()
    gc.enable()
    testing: Any = sys.modules.get("typer.testing")
    if hasattr(testing, "_get_command"):  # a private name, which another version may not have
        testing._get_command = functools.cache(testing._get_command)


def mark_long_forms(items: list[pytest.Item]) -> None:
    """Marks as `full` the cases of a test with `covering(strength)` that its short form can do without.

    What stays is a covering array: every value of every parameter occurs in it (strength 1), every pair of values of
    two parameters (2), every triple of three (3). It is chosen greedily, in the order of the cases. Cases that skip
    because this CPU lacks their instruction set stand for none of the others' combinations.
    """
    tests: dict[tuple[str, bool], list[tuple[pytest.Item, set[Any]]]] = defaultdict(list)
    for item in items:
        mark = item.get_closest_marker("covering")
        if mark is not None and item.get_closest_marker("full") is None:
            # Values need not be hashable; in the product of lists each is the same object in every case.
            params = item.callspec.params  # type: ignore[attr-defined]
            values = [(name, id(value)) for name, value in params.items()]
            combinations = set(itertools.combinations(values, min(mark.args[0], len(values))))
            skips_here = "simd" in params and not is_available(params["simd"])
            tests[item.nodeid.partition("[")[0], skips_here].append((item, combinations))
    for cases in tests.values():
        missing = set[Any]().union(*(combinations for _, combinations in cases))
        while missing:
            best = max(cases, key=lambda case: len(case[1] & missing))
            missing -= best[1]
            cases.remove(best)
        for item, _ in cases:
            item.add_marker("full")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks long forms, and tests that run the emulator's kernels, which know neither instruction sets nor threads.

    Leaves out the tests that the file $PYHARMONY_LEAVE_OUT names.
    """
    mark_long_forms(items)
    for item in items:
        if not {"emulator", "emulator_module"}.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker("emulated")
    if path := os.environ.get("PYHARMONY_LEAVE_OUT"):
        names = set(Path(path).read_text().splitlines())
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in names])
        items[:] = [item for item in items if item.nodeid not in names]
