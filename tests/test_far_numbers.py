"""Numbers far outside what arguments accept: an error of pyharmony's or a result, nothing else."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pyharmony import blend, color, harmonize, ops
from pyharmony.errors import ArgumentError, PyHarmonyError

_RNG = np.random.default_rng(0)
SRC, DST = (_RNG.integers(0, 256, (24, 30, 3), np.uint8) for _ in range(2))
MASK = np.zeros((24, 30), np.float32)
MASK[5:18, 8:24] = 1
OUT = np.empty_like(DST)
RETOUCH = color.Retouching()

#: The calls by the names of their functions: each takes the argument that is far out.
CALLS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "alpha": (blend.alpha, lambda **far: blend.alpha(SRC, DST, MASK, **far)),
    "laplacian": (blend.laplacian, lambda **far: blend.laplacian(SRC, DST, MASK, **far)),
    "poisson": (blend.poisson, lambda **far: blend.poisson(SRC, DST, MASK, **far)),
    "gaussian_poisson": (blend.gaussian_poisson, lambda **far: blend.gaussian_poisson(SRC, DST, MASK, **far)),
    "reference": (
        blend.gaussian_poisson,
        lambda **far: blend.gaussian_poisson(SRC, DST, MASK, reference=True, preserve_background=False, **far),
    ),
    "blend tiles": (
        blend.gaussian_poisson_tiles,
        lambda **far: blend.gaussian_poisson_tiles(SRC, DST, MASK, OUT, **far),
    ),
    "placed_mask": (blend.placed_mask, lambda **far: blend.placed_mask(SRC, DST, MASK, **far)),
    "detail_boost": (blend.detail_boost, lambda **far: blend.detail_boost(SRC, MASK, **far)),
    "illumination_change": (blend.illumination_change, lambda **far: blend.illumination_change(SRC, MASK, **far)),
    "inpaint": (blend.inpaint, lambda **far: blend.inpaint(SRC, MASK, **far)),
    "texture_flattening": (blend.texture_flattening, lambda **far: blend.texture_flattening(SRC, MASK, **far)),
    "ops.poisson": (ops.poisson, lambda **far: ops.poisson(SRC, DST, MASK, **far)),
    "PoissonSolver": (ops.PoissonSolver, lambda **far: ops.PoissonSolver(MASK, **far)),
    "ops.gaussian_poisson": (ops.gaussian_poisson, lambda **far: ops.gaussian_poisson(SRC, DST, MASK, DST, **far)),
    "ops.reference": (
        ops.gaussian_poisson,
        lambda **far: ops.gaussian_poisson(SRC, DST, MASK, DST, reference=True, **far),
    ),
    "ops.tiles": (
        ops.gaussian_poisson_tiles,
        lambda **far: ops.gaussian_poisson_tiles(SRC, DST, MASK, DST, OUT, reference=True, **far),
    ),
    "harmonize": (harmonize, lambda **far: harmonize(SRC, MASK, method="reinhard", **far)),
    "retouch": (color.retouch, lambda **far: color.retouch(SRC, parameters=RETOUCH, **far)),
    "shift_temperature": (
        color.shift_temperature,
        lambda **far: color.shift_temperature(SRC, **{"mired": 10.0, **far}),
    ),
    **{
        name: (getattr(color, name), lambda name=name, **far: getattr(color, name)(SRC, DST, **far))
        for name in ("fecker", "idt", "luminance_temperature", "match_histogram", "mkl", "reinhard", "xiao_ma")
    },
    "brightness_contrast": (color.brightness_contrast, lambda **far: color.brightness_contrast(SRC, **far)),
    "regrain": (color.regrain, lambda **far: color.regrain(SRC, DST, **far)),
}

FAR = (1e308, -1e308, 1e-320, 1e-300, np.nan, np.inf, 10**400, -(10**400), 1e9, 1e20, 2**63, -1)
#: Numbers without a default that says so.
NUMBERS = {"at", "scale", "color_weight", "mired", "tolerance"}


def arguments() -> list[Any]:
    cases = []
    for name, (function, _) in CALLS.items():
        for parameter in inspect.signature(function).parameters.values():
            default = parameter.default
            is_number = isinstance(default, (int, float)) and not isinstance(default, bool)
            if is_number or parameter.name in NUMBERS:
                cases.append(pytest.param(name, parameter.name, id=f"{name}-{parameter.name}"))
    return cases


@pytest.mark.parametrize(("name", "argument"), arguments())
def test_far_numbers_give_an_error_of_ours_or_a_result(name: str, argument: str) -> None:
    call = CALLS[name][1]
    for far in FAR:
        value: Any = (far, 3) if argument == "at" else far
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                call(**{argument: value})
            except PyHarmonyError as error:
                assert argument in str(error), (far, str(error))  # noqa: PT017 - a result is as good


@pytest.mark.parametrize("weight", [1e7, 1e9, 1e300, 10**400, np.full((24, 30), 1e9)])
def test_weights_have_a_limit_that_is_told(weight: Any) -> None:
    for name in ("poisson", "gaussian_poisson", "ops.poisson", "ops.gaussian_poisson", "detail_boost"):
        with pytest.raises(ArgumentError, match=r"color_weight: .*expected from 0 to 1e\+06"):
            CALLS[name][1](color_weight=weight)


def test_the_largest_weight_keeps_the_colours() -> None:
    """The limit is no loss: at it the result is the base to a hundredth of a level."""
    base = SRC.astype(np.float32) / 255
    src, dst = (x.astype(np.float32) / 255 for x in (DST, SRC))
    result = ops.gaussian_poisson(src, dst, MASK, base, color_weight=1e6, sigma=0.0)
    np.testing.assert_allclose(result, base, rtol=0, atol=0.01 / 255)
