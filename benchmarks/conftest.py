"""Collects the rows of a session, writes them as JSON and prints them as a table."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import measure_cuda
import numpy as np
import pytest
import report
from measure import Ledger

import pyharmony

OURS = pyharmony.__version__
LEDGER = Ledger()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--results",
        type=Path,
        default=report.LATEST,
        help="where the measurements go, as JSON (default: %(default)s)",
    )
    parser.addoption("--add", action="store_true", help="go on from what --results holds, instead of replacing it")
    parser.addoption(
        "--first", action="store_true", help="only what a figure of gpu_goals.py needs: few rounds, sizes and peers"
    )
    parser.addoption("--full", action="store_true", help="also what is marked full: all sizes of long tables")


def pytest_configure(config: pytest.Config) -> None:
    path: Path = config.getoption("--results")
    measure_cuda.FIRST_ONLY = config.getoption("--first")
    if config.getoption("--add") and path.exists():
        LEDGER.take(json.loads(path.read_text()))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--first"):
        others = [item for item in items if not item.get_closest_marker("first")]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item.get_closest_marker("first")]
    if not config.getoption("--full"):
        for item in items:
            if item.get_closest_marker("full"):
                item.add_marker(pytest.mark.skip(reason="long; --full runs it"))


@pytest.fixture(scope="session")
def ledger() -> Ledger:
    return LEDGER


@pytest.fixture
def two_threads_of_torch() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def one_thread(two_threads_of_torch: None) -> Iterator[None]:
    """Gives torch and pyharmony one thread each."""
    import torch

    before = pyharmony.get_num_threads()
    torch.set_num_threads(1)
    pyharmony.set_num_threads(1)
    yield
    pyharmony.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def _two_threads() -> None:
    pyharmony.set_num_threads(2)


def machine() -> dict[str, Any]:
    """Describes the machine of the measurements."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = (line.partition(":") for line in cpuinfo.read_text().splitlines())
        model = next((value.strip() for key, _, value in lines if key.strip() == "model name"), model)
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": pyharmony.get_num_threads(),
        "simd": pyharmony.simd_level(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pyharmony": OURS,
    }


@pytest.fixture
def gpu() -> Iterator[Any]:
    """Yields torch, on a machine where it and our kernels can use a GPU."""
    if not pyharmony.has_cuda():
        pytest.skip("no CUDA device")
    torch = pytest.importorskip("torch", reason="torch is not installed")
    if not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device")
    torch.cuda.empty_cache()
    # With a GPU, the CPU uses all its cores.
    before = pyharmony.get_num_threads()
    pyharmony.set_num_threads(len(os.sched_getaffinity(0)))
    yield torch
    pyharmony.set_num_threads(before)


def pytest_runtest_teardown(item: pytest.Item) -> None:
    # Written after each, so that a run that is stopped leaves its measurements.
    write_results(item.session)


def pytest_sessionfinish(session: pytest.Session) -> None:
    write_results(session)


def write_results(session: pytest.Session) -> None:
    if LEDGER.rows or LEDGER.targets or LEDGER.gpu_rows:
        path: Path = session.config.getoption("--results")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"machine": machine(), **LEDGER.as_dict()}, indent=1) + "\n")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if LEDGER.rows or LEDGER.targets:
        terminalreporter.write_line("")
        terminalreporter.write_line(report.markdown({"machine": machine(), **LEDGER.as_dict()}))
