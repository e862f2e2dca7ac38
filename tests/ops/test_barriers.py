"""The kernels of the package under the checker, and without each of their barriers in turn: something must find that.

Runs in `make emulator-check`; the cases are those of emulator_cases.py.
"""

from __future__ import annotations

import functools
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ..emulator_cases import CASES, Case
from ..shared import ROOT

pytestmark = pytest.mark.emulated

SEEDS = range(4)
BARRIER = re.compile(r"\b(HM_SYNC|HM_SYNC_OR|HM_SYNCWARP|HM_CLUSTER_SYNC|HM_LAUNCH_WAIT)\(|\basync_wait<")
FIXTURES = {"_emulator": "emulator_check", "_emulator_tests": "emulator_tests_check"}


def barriers_of(path: Path) -> list[int]:
    """Returns the lines of a file's barriers and waits, but for those in comments and definitions."""
    lines = enumerate(path.read_text().splitlines(), 1)
    return [n for n, line in lines if BARRIER.search(re.sub(r"//.*|^\s*#.*", "", line))]


class Needless(NamedTuple):
    kernel: str
    file: str
    line: int
    reason: str


def needless() -> list[Needless]:
    entries = []
    for line in (ROOT / "tests" / "needless_barriers.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            kernel, file, number, reason = (part.strip() for part in line.split("|", 3))
            entries.append(Needless(kernel, file, barriers_of(ROOT / file)[int(number) - 1], reason))
    return entries


@pytest.fixture
def checked(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Yields a module with the checker, asked for by the name of the module without."""
    native = request.getfixturevalue(FIXTURES[request.param])
    native.clear_reports()
    yield native
    native.ignore_site(None)
    native.set_seed(0)
    native.clear_reports()


@pytest.mark.parametrize(
    ("checked", "case"), [pytest.param(case.module, case, id=case.name) for case in CASES], indirect=["checked"]
)
def test_the_checker_is_silent_and_the_order_does_not_matter(checked: Any, case: Case) -> None:
    results = []
    for seed in SEEDS:
        checked.set_seed(seed)
        results.append(case.results(checked))
        assert checked.reports() == []
    assert results.count(results[0]) == len(results)


def finds(native: Any, case: Case, expected: list[bytes]) -> bool:
    for seed in SEEDS:
        native.set_seed(seed)
        native.clear_reports()
        try:
            if case.results(native) != expected or native.report_count() > 0:
                return True
        except native.EmulatorFailure:
            return True
    return False


@functools.cache
def reach(native: Any, module: str) -> dict[str, list[tuple[Case, list[bytes]]]]:
    """Returns the cases that come to each site, with their results, those that take the least time first."""
    sites: dict[str, list[tuple[float, Case, list[bytes]]]] = defaultdict(list)
    for case in (case for case in CASES if case.module == module):
        before = {site["id"]: site["count"] for site in native.sites()}
        native.set_seed(0)
        native.clear_reports()
        start = time.process_time()
        expected = case.results(native)
        seconds = time.process_time() - start
        assert native.report_count() == 0, f"{case.name}: a report of its own would hide those of a barrier left out"
        for site in native.sites():
            if site["count"] > before.get(site["id"], 0):
                sites[site["id"]].append((seconds, case, expected))
    return {
        site: [(case, expected) for _, case, expected in sorted(cases, key=lambda one: one[0])]
        for site, cases in sites.items()
    }


@pytest.mark.parametrize(("checked", "module"), [(name, name) for name in FIXTURES], indirect=["checked"])
def test_each_barrier_is_needed(checked: Any, module: str) -> None:
    listed = {(entry.kernel, entry.file, entry.line) for entry in needless()}
    unfound, found_though_listed = [], []
    sites = reach(checked, module)
    for site in [site for site in checked.sites() if site["id"] in sites]:
        checked.ignore_site(site["id"])
        is_needed = any(finds(checked, case, expected) for case, expected in sites[site["id"]])
        checked.ignore_site(None)
        is_listed = (site["kernel"], site["file"], site["line"]) in listed
        if not is_needed and not is_listed:
            unfound.append(site["id"])
        if is_needed and is_listed:
            found_though_listed.append(site["id"])
    assert unfound == [], "their removal is not found: a needless barrier, or too small a case"
    assert found_though_listed == [], "in needless_barriers.txt, but their removal is found"


def test_each_barrier_is_reached(emulator_check: Any, emulator_tests_check: Any) -> None:
    places = set()
    for native, module in ((emulator_check, "_emulator"), (emulator_tests_check, "_emulator_tests")):
        sites = reach(native, module)
        places |= {(site["file"], site["line"]) for site in native.sites() if site["id"] in sites}
        native.clear_reports()
    files = [path for folder in ("ops", "device") for path in (ROOT / "csrc" / folder).rglob("*")]
    unreached = []
    for path in sorted(path for path in files if path.suffix in (".cu", ".cuh", ".h")):
        name = path.relative_to(ROOT).as_posix()
        unreached += [f"{name}:{line}" for line in barriers_of(path) if (name, line) not in places]
    assert unreached == [], "no case of emulator_cases.py comes to them"


def test_the_list_of_needless_barriers_gives_reasons() -> None:
    assert all(entry.reason for entry in needless())
