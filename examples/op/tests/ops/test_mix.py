"""The op to copy, examples/op: both halves, compiled with the tests of the emulator, against the definition."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyharmony import _native
from pyharmony._cuda import DeviceArray
from pyharmony.errors import DTypeError, ShapeError

from .cuda_arrays import Interface, fetched

EXAMPLE = Path(__file__).parents[1] / "examples" / "op"
EPS = 2.0**-23


def load(name: str) -> Any:
    """Returns a module of the example under the name that it has once it is copied."""
    path = EXAMPLE.joinpath(*name.split(".")).with_suffix(".py")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


definition = load("pyharmony.reference.mix").mix


@pytest.fixture
def mix(emulator_tests: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Returns the public function, with both halves of the native code in the emulator's module."""
    module = load("pyharmony.ops.mix")
    monkeypatch.setattr(module, "native", emulator_tests.cpu)
    monkeypatch.setattr(_native, "device_module", lambda: emulator_tests)
    return module.mix


def arrays(shape: tuple[int, ...]) -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.random(shape, np.float32) for _ in range(3)]


@pytest.mark.parametrize("shape", [(1,), (7, 11), (3, 40, 171)])
def test_both_halves_compute_the_definition(mix: Any, shape: tuple[int, ...]) -> None:
    a, b, share = arrays(shape)
    expected = definition(a, b, share)
    on_cpu, on_device = mix(a, b, share), mix(*(Interface(x) for x in (a, b, share)))
    assert isinstance(on_device, DeviceArray)
    for result in (on_cpu, fetched(on_device)):
        # Three roundings of values of at most one.
        assert result.dtype == np.float32 and np.abs(result - expected).max() <= 3 * EPS / 2


@pytest.mark.parametrize("place", [np.asarray, Interface])
def test_arguments_are_named(mix: Any, place: Any) -> None:
    a, b, share = arrays((4, 5))
    with pytest.raises(ShapeError, match=r"share: shape \[4, 4\]"):
        mix(place(a), place(b), place(share[:, :4].copy()))
    with pytest.raises(DTypeError, match="b: dtype float64"):
        mix(place(a), place(b.astype(np.float64)), place(share))


def test_the_example_is_short() -> None:
    files = [path for path in EXAMPLE.rglob("*.*") if path.suffix != ".pyc"]
    lines = [line for path in files for line in path.read_text().splitlines() if line.strip()]
    assert len(lines) < 150
