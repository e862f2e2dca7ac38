"""Numbers far outside what arguments accept: an error of pyharmony's or a result, nothing else."""

from __future__ import annotations

import decimal
import fractions
import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pyharmony import blend, color, harmonize, ops, placement
from pyharmony.errors import ArgumentError, PyHarmonyError

_RNG = np.random.default_rng(0)
SRC, DST = (_RNG.integers(0, 256, (24, 30, 3), np.uint8) for _ in range(2))
MASK = np.zeros((24, 30), np.float32)
MASK[5:18, 8:24] = 1
RESULT = np.empty_like(DST)
RETOUCH = color.Retouching()

#: The calls by the names of their functions: each takes the argument that is far out.
CALLS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "alpha": (blend.alpha, lambda **far: blend.alpha(SRC, DST, MASK, **far)),
    "laplacian": (blend.laplacian, lambda **far: blend.laplacian(SRC, DST, MASK, **far)),
    "poisson": (blend.poisson, lambda **far: blend.poisson(SRC, DST, MASK, **far)),
    "gaussian_poisson": (blend.gaussian_poisson, lambda **far: blend.gaussian_poisson(SRC, DST, MASK, **far)),
    "reference": (
        blend.gaussian_poisson,
        lambda **far: blend.gaussian_poisson(SRC, DST, MASK, as_published=True, preserve_background=False, **far),
    ),
    "blend tiles": (
        blend.gaussian_poisson_tiles,
        lambda **far: blend.gaussian_poisson_tiles(SRC, DST, MASK, RESULT, **far),
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
        lambda **far: ops.gaussian_poisson(SRC, DST, MASK, DST, as_published=True, **far),
    ),
    "ops.tiles": (
        ops.gaussian_poisson_tiles,
        lambda **far: ops.gaussian_poisson_tiles(SRC, DST, MASK, DST, RESULT, as_published=True, **far),
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

_NUMBER = {"x": _RNG.random((1, 2, 9, 9), np.float32), "weight": _RNG.random((2, 2, 3, 3), np.float32)}
_PLACE_ARGUMENTS = {"subject": SRC, "background": np.concatenate([DST, DST]), "mask": MASK, "person": False, "k": 1}
_MATRIX = _RNG.random((4, 4), np.float32)


def _nn(name: str, *fixed: Any) -> Callable[..., Any]:
    def call(**far: Any) -> Any:
        torch = pytest.importorskip("torch", reason="torch is not installed")
        from pyharmony.networks import nn

        if name == "spectral_norm":
            return nn.spectral_norm(torch.nn.Linear(4, 3), **far)
        return getattr(nn, name)(*fixed, **far)

    return call


#: Other calls, and the arguments that are numbers; of boxes one argument stands for all.
OTHER_CALLS: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "partial_conv2d": (
        lambda **far: ops.partial_conv2d(**_NUMBER, mask=np.ones((9, 9), np.float32), **far),
        ("stride", "padding", "dilation", "groups", "negative_slope", "scale"),
    ),
    "mask_plan": (lambda layers: ops.mask_plan(MASK, [layers]), ("layers",)),
    "kernel_size": (lambda layers: ops.mask_plan(MASK, [(layers, 1, 0)]), ("layers",)),
    "groups of a layer": (lambda layers: ops.mask_plan(MASK, [(3, 1, 0, 1, layers)]), ("layers",)),
    "instance_norm": (lambda **far: ops.instance_norm(_NUMBER["x"], **far), ("negative_slope", "eps")),
    "ops.spectral_norm": (
        lambda **far: ops.spectral_norm([_MATRIX], [np.ones(4, np.float32)], [np.ones(4, np.float32)], **far),
        ("n_power_iterations", "eps", "dims"),
    ),
    "color_map": (lambda **far: ops.color_map(SRC, [], **far), ("strength",)),
    "color_grid": (
        lambda **far: ops.color_grid(SRC, affine=np.eye(3, 4, dtype=np.float32), **far), ("origin", "frame")
    ),
    "color_stats": (lambda **far: ops.color_stats(SRC, **far), ("bins", "low", "high")),
    "place": (lambda **far: placement.place(**{**_PLACE_ARGUMENTS, **far}), ("k", "scale", "max_scale", "head")),
    "BatchNorm2d": (_nn("BatchNorm2d", 3), ("eps", "momentum", "negative_slope")),
    "InstanceNorm2d": (_nn("InstanceNorm2d", 3), ("eps", "negative_slope")),
    "PartialConv2d": (_nn("PartialConv2d", 2, 2, 3), ("stride", "padding", "dilation", "groups")),
    "spectral_norm": (_nn("spectral_norm"), ("n_power_iterations", "eps", "dim")),
    "paste_many": (
        lambda at: blend.paste_many(DST, [{"src": SRC, "mask": MASK, "at": at}]), ("at",)
    ),
}  # fmt: skip


class Unreadable:
    """A number of somebody else's that cannot be converted."""

    def __float__(self) -> float:
        raise RuntimeError("no")

    __int__ = __index__ = __float__  # type: ignore[assignment]


class UnreadableReal(Unreadable, float):
    """The same, which calls itself a float."""


FAR_NUMBERS = (
    1e308, -1e308, 1e-320, np.nan, np.inf, 10**400, 1e9, 2**63, -1, 10**5000, 2**31, np.longdouble("1e4000"),
    np.uint64(2**64 - 1), np.bool_(True), True, np.array(2.0), np.array(2 + 1j), np.array("x"), np.array([]),
    decimal.Decimal("1e999999"), decimal.Decimal("sNaN"), fractions.Fraction(10**5000, 3), 1j, "2", [[1]], {}, object(),
    Unreadable(), UnreadableReal(2), np.datetime64("2020-01-01"), range(3),
)  # fmt: skip
#: Numbers without a default that says so.
NUMBERS = {"at", "scale", "color_weight", "mired", "tolerance"}
#: Boxes and pairs: each of their numbers may be far out.
BOXES = {"head": 4, "at": 2, "origin": 2, "frame": 2}


def arguments() -> list[Any]:
    cases = []
    for name, (function, _) in CALLS.items():
        for parameter in inspect.signature(function).parameters.values():
            default = parameter.default
            is_number = isinstance(default, (int, float)) and not isinstance(default, bool)
            if is_number or parameter.name in NUMBERS:
                cases.append(pytest.param(CALLS[name][1], parameter.name, id=f"{name}-{parameter.name}"))
    cases += [pytest.param(call, x, id=f"{name}-{x}") for name, (call, names) in OTHER_CALLS.items() for x in names]
    return cases


@pytest.mark.parametrize(("call", "argument"), arguments())
def test_far_numbers_give_an_error_of_ours_or_a_result(call: Callable[..., Any], argument: str) -> None:
    for far in FAR_NUMBERS:
        values: list[Any] = [far]
        if argument in BOXES:
            count = BOXES[argument]
            values += [[*(1,) * i, far, *(3,) * (count - 1 - i)] for i in (0, count - 1)]
        for value in values:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    call(**{argument: value})
                except PyHarmonyError as error:
                    assert argument in str(error), (far, str(error))  # noqa: PT017 - a result is as good
                except FileNotFoundError as error:
                    assert argument in str(error)  # noqa: PT017 - a text is a path where an image is accepted
                except Exception as error:
                    pytest.fail(f"{argument}={type(far).__name__}: {type(error).__name__}: {str(error)[:200]}")


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
