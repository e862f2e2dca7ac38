"""Arguments beyond all sense end in a result or in an error of ours, in memory that the picture bounds."""

from __future__ import annotations

import inspect
import math
import tracemalloc
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyharmony
from pyharmony.errors import PyHarmonyError

pytestmark = pytest.mark.chains

HEIGHT, WIDTH = 48, 64
IMAGE = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)
MASK = np.zeros((HEIGHT, WIDTH), np.uint8)
MASK[10:30, 20:34] = 255
SUBJECT = np.dstack([IMAGE, MASK])
VALUES = (
    1e308, -1e308, 1e-308, 5e-324, -0.0, 0, math.nan, math.inf, -math.inf, 10**400, -(10**400), 2**63, 1, -1, 0.5, 90,
    None, True, "x", "auto", b"x", (), (1,), (1e308, -1e308), (math.nan, 1), (10**400, 0), ((0, 1e308), (1e-300, 0)),
    ((0, 40), (63, 41)), [None], {}, {"x": 1}, object(), 3 + 4j, np.float32("nan"), np.int64(3), np.zeros(2),
    np.zeros(3), [], [[]], {1, 2}, [1, 2, 3, 4, 5], (0, 0, 0, 0), [np.zeros((3, 3))],
    np.zeros((HEIGHT, WIDTH), np.uint8),
)  # fmt: skip


def _composed(**options: Any) -> Any:
    """Composes where the caller says all: nothing is looked for."""
    plain: dict[str, Any] = {"at": (5, 4), "people": [], "harmonize": None, "shadow": False}
    plain |= {"sharpness": 0.0, "grain": 0.0, "upscale": None}
    return pyharmony.compose(SUBJECT, IMAGE, **{**plain, **options})


def _placed(**options: Any) -> Any:
    return pyharmony.place(SUBJECT, IMAGE, **{"people": [], "person": False, "k": 1, **options})


def _segmented(**options: Any) -> Any:
    """Segments by a click, unless the caller points at something."""
    prompt = {} if options.keys() & {"points", "box", "scribble", "mask", "people"} else {"points": (25, 20)}
    return pyharmony.segment(IMAGE, **prompt, **options)


CALLS: dict[str, Callable[..., Any]] = {
    "compose": _composed,
    "harmonize": lambda **given: pyharmony.harmonize(IMAGE, MASK, **{"method": "reinhard", **given}),
    "match_grain": lambda **given: pyharmony.match_grain(IMAGE, MASK, **given),
    "match_sharpness": lambda **given: pyharmony.match_sharpness(IMAGE, MASK, **given),
    "merge": lambda **given: pyharmony.merge(
        [IMAGE, IMAGE], **{"base": 0, "people": [[], []], "align": False, **given}
    ),
    "place": _placed,
    "reflection": lambda **given: pyharmony.reflection(IMAGE, MASK, **given),
    "segment": _segmented,
    "shadow": lambda **given: pyharmony.shadow(IMAGE, MASK, **given),
    "super_resolve": lambda **given: pyharmony.super_resolve(IMAGE, **{"method": "bicubic", **given}),
}


def check(name: str, options: dict[str, Any]) -> None:
    """Calls a function, which may raise errors of ours that name an argument, and those of the system about files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tracemalloc.start()
        try:
            CALLS[name](**options)
        except (FileNotFoundError, IsADirectoryError):
            pass
        except PyHarmonyError as error:
            is_named = any(argument in str(error) for argument in options)
            # Of a file its name is told.
            if not is_named and "names no format" not in str(error):
                raise AssertionError(f"{name}({options!r}): {error}") from error
        except Exception as error:
            raise AssertionError(f"{name}({options!r}): {type(error).__name__}: {error}") from error
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    assert peak < 64 << 20, f"{name}({options!r}): {peak >> 20} MiB"


ARGUMENTS = [
    (name, argument.name)
    for name in CALLS
    for argument in inspect.signature(getattr(pyharmony, name)).parameters.values()
    if argument.default is not argument.empty
]


@pytest.mark.parametrize(
    ("name", "argument", "values"),
    [
        pytest.param(*argument, values, marks=marks, id="-".join((*argument, form)))
        for number, argument in enumerate(ARGUMENTS)
        for form, values, marks in (("some", VALUES[number % 6 :: 6], ()), ("all", VALUES, pytest.mark.full))
    ],
)
def test_an_extreme_argument_is_no_accident(name: str, argument: str, values: Sequence[Any]) -> None:
    for value in values:
        check(name, {argument: value})


numbers = st.one_of(
    st.floats(), st.integers(), st.sampled_from([v for v in VALUES if isinstance(v, (int, float))]),
    st.floats(-200, 200),
)  # fmt: skip
pairs = st.one_of(st.tuples(numbers, numbers), st.none())
lines = st.one_of(numbers, st.tuples(pairs, pairs), st.none())


@given(
    st.sampled_from([True, False]), lines, lines, st.one_of(numbers, st.none()), pairs,
    st.floats(0, 90), st.one_of(st.floats(0, 85), st.sampled_from([5e-324, 1e-9])), st.floats(-360, 360),
)  # fmt: skip
def test_geometry_of_a_shadow_is_no_accident(
    mirrored: bool, contact: Any, wall: Any, horizon: Any, tip: Any, softness: float, elevation: float, azimuth: float
) -> None:
    if mirrored:
        check("reflection", {"contact": contact, "blur": softness / 90})
        return
    lines = {"contact": contact, "wall": wall, "horizon": horizon, "tip": tip}
    check("shadow", {**lines, "softness": softness, "elevation": elevation, "azimuth": azimuth})


@given(pairs, numbers, numbers, st.booleans())
def test_a_subject_anywhere_is_no_accident(at: Any, scale: Any, angle: Any, flip: bool) -> None:
    check("compose", {"at": "auto" if at is None else at, "scale": scale, "angle": angle, "flip": flip})


@pytest.mark.parametrize(("softness", "elevation"), [(90.0, 5.0), (90.0, 0.1), (90.0, 1e-9), (0.0, 0.1)])
def test_memory_of_a_shadow_is_bounded_by_the_picture(softness: float, elevation: float) -> None:
    image, mask = np.full((400, 500, 3), 200, np.uint8), np.zeros((400, 500), np.uint8)
    mask[100:300, 200:300] = 255
    tracemalloc.start()
    try:
        pyharmony.shadow(image, mask, softness=softness, elevation=elevation)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
