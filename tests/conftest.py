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
from collections.abc import Callable, Iterator
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
hypothesis.settings.register_profile("default", max_examples=10, deadline=None, derandomize=True, database=None)
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


@pytest.fixture
def models(one_torch_thread: None) -> Any:
    """Returns the room of networks, with torch's random numbers at their start."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from pyharmony.networks import models

    torch.manual_seed(0)
    return models


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
    paths = list(Path(folder).glob(file)) if folder else list(ROOT.glob(f"build/*/emulator/{file}"))
    if name.endswith("_check"):  # `make test` does not build it: an older one says nothing of the sources
        sources = (path for room in ("csrc", "tests/native") for path in (ROOT / room).rglob("*") if path.is_file())
        newest = max(path.stat().st_mtime for path in sources)
        paths = [path for path in paths if path.stat().st_mtime >= newest]
    if not paths:
        checked = name.endswith("_check")
        pytest.skip("the emulator's checker is not built" if checked else "the emulator is not built")
    spec = importlib.util.spec_from_file_location(name, max(paths, key=lambda path: path.stat().st_mtime))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def each_thread_count() -> Iterator[Callable[[Callable[[], Any]], list[Any]]]:
    """Yields what makes a call with one thread, two and five, and returns the results."""
    before = pyharmony.get_num_threads()

    def results(call: Callable[[], Any]) -> list[Any]:
        results = []
        for count in (1, 2, 5):
            pyharmony.set_num_threads(count)
            results.append(call())
        return results

    yield results
    pyharmony.set_num_threads(before)


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


@pytest.fixture(
    params=["processor", "emulator1", *(pytest.param(f"emulator{seed}", marks=pytest.mark.full) for seed in (2, 3)),
            pytest.param("cuda", marks=pytest.mark.gpu)]
)  # fmt: skip
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any], Any]]:
    """Yields what moves a tensor to where the test runs; the emulator takes memory of the CPU for a device's."""
    pytest.importorskip("torch", reason="torch is not installed")
    from pyharmony.ops import _native_torch

    if request.param.startswith("emulator"):
        module = request.getfixturevalue("emulator_module")
        module.set_seed(int(request.param[-1]))
        monkeypatch.setattr(_native, "device_module", lambda: module)
        monkeypatch.setattr(_native_torch, "on_device", lambda x: True)
        yield lambda x: x
        module.set_seed(0)
        if module.checked:
            assert module.reports() == []
    elif request.param == "cuda":
        request.getfixturevalue("device_module")
        yield lambda x: x.cuda()
    else:
        yield lambda x: x


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
        self.path, self.is_reached = path, False
        make_view = native.ArrayView.__init__

        def note_view(*arguments: Any, **options: Any) -> None:
            self.is_reached = True
            make_view(*arguments, **options)

        native.ArrayView.__init__ = note_view
        sys.addaudithook(self.note_process)

    def note_process(self, event: str, _: Any) -> None:
        if event in ("subprocess.Popen", "os.fork", "os.posix_spawn", "os.system"):
            self.is_reached = True

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.is_reached = item.get_closest_marker("emulated") is not None
        yield
        if not self.is_reached:
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
    names = {Path(argument.partition("::")[0]).name for argument in config.args}
    if collection_path.suffix != ".py" or collection_path.name in names or re.search(r"\bor\b", plain):
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


def _excluded_marks(config: pytest.Config) -> set[str]:
    """Returns the marks of long tests that `-m` excludes, by "not full and ..."; none where a single test is named."""
    expression = re.sub(r"\([^()]*\)", "()", config.option.markexpr)
    if any("::" in argument for argument in config.args) or re.search(r"\bor\b", expression):
        return set()
    return {"full", "slow"} & set(re.findall(r"\bnot (\w+)", expression))


def pytest_pycollect_makeitem(collector: Any, obj: Any) -> list[Any] | None:
    """Leaves out long tests where `-m` excludes them: to collect thousands takes many seconds."""
    marks = getattr(obj, "pytestmark", None)
    names = {mark.name for mark in marks} if isinstance(marks, list) else set()
    return [] if names & _excluded_marks(collector.config) else None


@functools.cache
def is_gpu_missing() -> bool:
    return _native.device_module() is None


@pytest.hookimpl(wrapper=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> Iterator[None]:
    """Marks as `full` the cases that a covering array leaves out, and where `-m` excludes long tests drops them all.

    Of the cases that this machine cannot run, one stays, which skips with the reason. Another version of pytest may
    not have the private list of a test's cases: then there is no short form.
    """
    yield
    cases: list[Any] = getattr(metafunc, "_calls", [])
    marks = {mark.name for mark in metafunc.definition.iter_markers()}
    covering = metafunc.definition.get_closest_marker("covering")
    if "full" not in marks:
        mark_long_forms(cases, covering.args[0] if covering else 2, axes_of(metafunc))
    if excluded := _excluded_marks(metafunc.config):
        short = [case for case in cases if not excluded & {mark.name for mark in case.marks}]
        runnable = [case for case in short if not is_skipped_here(case, marks)]
        skipped = [case for case in short if is_skipped_here(case, marks)]
        # A test without cases would be one case: where all are long, one stays, which `-m` leaves out.
        cases[:] = [*runnable, *skipped[:1]] or cases[:1]


def is_skipped_here(case: Any, marks: set[str]) -> bool:
    """Returns whether a case needs a GPU or an instruction set that this machine does not have."""
    is_on_gpu = "gpu" in marks | {mark.name for mark in case.marks}
    return (is_on_gpu and is_gpu_missing()) or ("simd" in case.params and not is_available(case.params["simd"]))


def axes_of(metafunc: pytest.Metafunc) -> dict[str, str]:
    """Returns for each parameter that is set together with others the one name of them all."""
    axes: dict[str, str] = {}
    for mark in metafunc.definition.iter_markers("parametrize"):
        names = mark.args[0] if mark.args else mark.kwargs["argnames"]
        names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
        axes |= dict.fromkeys(names, names[0])
    return axes


def mark_long_forms(cases: list[Any], strength: int, axes: dict[str, str]) -> None:
    """Marks as `full` the cases of a test that its short form can do without.

    What stays is a covering array: every value of every parameter occurs in it (strength 1), every pair of values of
    two parameters (2), every triple of three (3). It is chosen greedily, in the order of the cases. Parameters that
    are set together count as one. Cases that skip because this CPU lacks their instruction set stand for none of the
    others' combinations.
    """
    groups: dict[bool, list[tuple[Any, set[Any]]]] = defaultdict(list)
    for case in cases:
        if not any(mark.name == "full" for mark in case.marks):
            values = sorted({(axes.get(name, name), index) for name, index in case.indices.items()})
            if len(values) <= strength:  # every case has a combination of its own
                return
            skips_here = "simd" in case.params and not is_available(case.params["simd"])
            groups[skips_here].append((case, set(itertools.combinations(values, strength))))
    for group in groups.values():
        missing = set[Any]().union(*(combinations for _, combinations in group))
        while missing:
            best = max(group, key=lambda case: len(case[1] & missing))
            missing -= best[1]
            group.remove(best)
        for case, _ in group:
            case.marks.append(pytest.mark.full.mark)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks the tests that run the emulator's kernels, which know neither instruction sets nor threads.

    Leaves out the tests that the file $PYHARMONY_LEAVE_OUT names.
    """
    for item in items:
        if not {"emulator", "emulator_module"}.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker("emulated")
    if path := os.environ.get("PYHARMONY_LEAVE_OUT"):
        names = set(Path(path).read_text().splitlines())
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in names])
        items[:] = [item for item in items if item.nodeid not in names]
