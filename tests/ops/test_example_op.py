"""The op to copy, examples/op: both halves, compiled with the emulator's tests, pass the tests that come with it."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import pytest

from ..shared import ROOT

EXAMPLE = ROOT / "examples" / "op"


def load(name: str) -> Any:
    """Imports a module of the example under the name that it has once it is copied."""
    path = EXAMPLE.joinpath(*name.split(".")).with_suffix(".py")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


NAMES = ("pyharmony.reference.mix", "pyharmony.ops.mix", "tests.ops.test_mix")
_, OP, TESTS = map(load, NAMES)
for name in NAMES:
    del sys.modules[name]

kernels = TESTS.kernels
test_both_halves_compute_the_definition = TESTS.test_both_halves_compute_the_definition
test_arguments_are_named = TESTS.test_arguments_are_named


@pytest.fixture
def emulator(emulator_tests: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Returns the module of the emulator's tests, which has both halves of the op's native code."""
    monkeypatch.setattr(OP, "native", emulator_tests.cpu)
    return emulator_tests


def test_the_example_is_short() -> None:
    files = [path for path in EXAMPLE.rglob("*.*") if path.suffix != ".pyc" and "tests" not in path.parts]
    lines = [line for path in files for line in path.read_text().splitlines() if line.strip()]
    assert len(lines) < 150
