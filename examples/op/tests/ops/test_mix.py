"""Op mix: both halves of the native code compute the definition, and name the arguments that they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pyharmony.ops.mix import mix
from pyharmony.reference.mix import mix as definition

from pyharmony import _native
from pyharmony._cuda import DeviceArray
from pyharmony.errors import DTypeError, ShapeError

from ..cuda_arrays import Interface, fetched

EPS = 2.0**-23


@pytest.fixture(autouse=True)
def kernels(emulator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the op find the kernels of devices in the emulator, which runs them on the CPU."""
    monkeypatch.setattr(_native, "device_module", lambda: emulator)


def arrays(shape: tuple[int, ...]) -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.random(shape, np.float32) for _ in range(3)]


@pytest.mark.parametrize("shape", [(1,), (7, 11), (3, 40, 171)])
def test_both_halves_compute_the_definition(shape: tuple[int, ...]) -> None:
    a, b, share = arrays(shape)
    expected = definition(a, b, share)
    on_cpu, on_device = mix(a, b, share), mix(*(Interface(x) for x in (a, b, share)))
    assert isinstance(on_device, DeviceArray)
    for result in (on_cpu, fetched(on_device)):
        # Three roundings of values of at most one.
        assert result.dtype == np.float32 and np.abs(result - expected).max() <= 3 * EPS / 2


@pytest.mark.parametrize("place", [np.asarray, Interface])
def test_arguments_are_named(place: Any) -> None:
    a, b, share = arrays((4, 5))
    with pytest.raises(ShapeError, match=r"share: shape \[4, 4\]"):
        mix(place(a), place(b), place(share[:, :4].copy()))
    with pytest.raises(DTypeError, match="b: dtype float64"):
        mix(place(a), place(b.astype(np.float64)), place(share))
