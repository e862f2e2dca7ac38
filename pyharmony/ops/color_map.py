"""A colour map inside a mask, given as a list of stages that run in one pass.

See `pyharmony.reference.color_map` for the definition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _arrays, _checks, _reprs
from .._arrays import NumpyArray
from .._native import native
from ..errors import ArgumentError, DTypeError, PyHarmonyError, ShapeError
from ..typing import Array, ArrayT

__all__ = [
    "Affine",
    "Curves",
    "Exp",
    "Light",
    "Log",
    "Lut",
    "Stage",
    "bounds",
    "color_image",
    "color_map",
    "encode",
    "run",
    "share",
]


@dataclass(frozen=True, eq=False, repr=False)
class Affine(_reprs.Line):
    """The stage A x + b.

    Attributes:
        matrix: [3, 4], the columns of A, then b; or [3, 3], without b.

    Example:
        >>> from pyharmony import ops
        >>> swap = ops.Affine([[0, 0, 1], [0, 1, 0], [1, 0, 0]])
        >>> ops.color_map(np.array([[[10, 20, 30]]], np.uint8), [swap]).tolist()
        [[[30, 20, 10]]]
    """

    matrix: Any

    def __post_init__(self) -> None:
        _check_numbers(self)


@dataclass(frozen=True, eq=False)
class Log:
    """The natural logarithm of each channel. Values not above zero get that of the smallest normal float32.

    Example:
        >>> from pyharmony import ops
        >>> ops.color_map(np.ones((1, 1, 3), np.float32), [ops.Log()]).tolist()
        [[[0.0, 0.0, 0.0]]]
    """


@dataclass(frozen=True, eq=False)
class Exp:
    """The exponential e^x of each channel x, clamped to -87 to 88.

    Example:
        >>> from pyharmony import ops
        >>> ops.color_map(np.full((1, 1, 3), 0.5, np.float32), [ops.Log(), ops.Exp()]).round(3).tolist()
        [[[0.5, 0.5, 0.5]]]
    """


@dataclass(frozen=True, eq=False, repr=False)
class Curves(_reprs.Line):
    """A table for each channel, linear between its entries and constant beyond its ends.

    Attributes:
        table: [3, n] or [n] for all channels, n at least 2: the values at equal steps.
        low, high: the positions of the first and the last entry: numbers, or one for each channel.

    Example:
        >>> from pyharmony import ops
        >>> negative = ops.Curves([1.0, 0.0])
        >>> ops.color_map(np.array([[[10, 20, 30]]], np.uint8), [negative]).tolist()
        [[[245, 235, 225]]]
    """

    table: Any
    low: Any = 0.0
    high: Any = 1.0

    def __post_init__(self) -> None:
        _check_numbers(self)


@dataclass(frozen=True, eq=False, repr=False)
class Lut(_reprs.Line):
    """A table over the colour cube, interpolated tetrahedrally; colours outside are clamped to the cube.

    Attributes:
        table: [n, n, n, 3], n from 2 to 256; [i, j, k] is the colour for red i, green j and blue k of n - 1.

    Example:
        >>> from pyharmony import ops
        >>> table = np.stack(np.meshgrid(*[np.linspace(1, 0, 2)] * 3, indexing="ij"), -1)  # a negative
        >>> ops.color_map(np.array([[[10, 20, 30]]], np.uint8), [ops.Lut(table)]).tolist()
        [[[245, 235, 225]]]
    """

    table: Any

    def __post_init__(self) -> None:
        _check_numbers(self)


@dataclass(frozen=True, eq=False, repr=False)
class Light(_reprs.Line):
    """A factor 2^(a + b u + c v + d u² + e u v + f v²), u (right) and v (down) from -1 to 1 across the image.

    Attributes:
        stops: the six coefficients a to f.

    Example:
        >>> from pyharmony import ops
        >>> one_stop = ops.Light([1, 0, 0, 0, 0, 0])
        >>> ops.color_map(np.full((1, 1, 3), 0.25, np.float32), [one_stop]).round(3).tolist()
        [[[0.5, 0.5, 0.5]]]
    """

    stops: Any

    def __post_init__(self) -> None:
        _check_numbers(self)


Stage = Affine | Log | Exp | Curves | Lut | Light


def _check_numbers(stage: Any) -> None:
    """Refuses a stage whose numbers the kernels do not accept, when it is created."""
    try:
        _values(stage, "stage")
    except PyHarmonyError as error:
        raise error.within("", (error.argument or "").removeprefix("stage.")) from None


def _floats(x: Any, name: str, shape: tuple[int, ...] | None = None) -> NumpyArray:
    """Returns x as finite, contiguous float32."""
    a = np.ascontiguousarray(_checks.floats(x, name), np.float32)
    if shape is not None and a.shape != shape:
        raise ShapeError(f"{name}: shape {list(a.shape)}, expected {list(shape)}")
    if not np.isfinite(a).all():
        raise ArgumentError(f"{name}: contains NaN or an infinity, expected finite numbers")
    return a


def bounds(low: Any, high: Any, name: str) -> tuple[NumpyArray, NumpyArray]:
    """Returns low and high as float64 [3] each, low below high."""
    both = []
    for value, which in ((low, "low"), (high, "high")):
        try:
            both.append(np.broadcast_to(np.asarray(value, np.float64), (3,)))
        except Exception as error:
            raise ShapeError(f"{name}{which}: {_checks.shortened(value)}, expected a number or three") from error
    # They are compared in float32, as in the kernels.
    if not (np.isfinite(both).all() and (both[0].astype(np.float32) < both[1].astype(np.float32)).all()):
        raise ArgumentError(f"{name}low: {low}, {name}high: {high}; expected finite numbers, low below high")
    return both[0], both[1]


def _values(stage: Any, name: str) -> tuple[str, NumpyArray]:
    """Returns the kind and the numbers of a stage, for the kernel."""
    if isinstance(stage, Affine):
        matrix = _floats(stage.matrix, f"{name}.matrix")
        if matrix.shape not in ((3, 3), (3, 4)):
            raise ShapeError(f"{name}.matrix: shape {list(matrix.shape)}, expected [3, 4] or [3, 3]")
        return "affine", np.ascontiguousarray(np.pad(matrix, ((0, 0), (0, 4 - matrix.shape[1]))))
    if isinstance(stage, Log):
        return "log", np.zeros(1, np.float32)
    if isinstance(stage, Exp):
        return "exp", np.zeros(1, np.float32)
    if isinstance(stage, Curves):
        table = _floats(stage.table, f"{name}.table")
        shared = table.ndim == 1
        if shared:
            table = table[None]
        if table.ndim != 2 or table.shape[0] != (1 if shared else 3) or not 2 <= table.shape[1] <= 1 << 20:
            raise ShapeError(f"{name}.table: shape {list(table.shape)}, expected [3, n] or [n], n at least 2")
        low, high = bounds(stage.low, stage.high, f"{name}.")
        if shared and (low == low[0]).all() and (high == high[0]).all():  # a single table stays longer in a cache
            low, high = low[:1], high[:1]
        elif shared:
            table = table.repeat(3, 0)
        return "curves", np.ascontiguousarray(np.column_stack([low, high, table]), np.float32)
    if isinstance(stage, Lut):
        table = _floats(stage.table, f"{name}.table")
        n = table.shape[0] if table.ndim == 4 else 0
        if table.shape != (n, n, n, 3) or not 2 <= n <= 256:
            raise ShapeError(f"{name}.table: shape {list(table.shape)}, expected [n, n, n, 3], n from 2 to 256")
        return "lut", np.pad(table, ((0, 0), (0, 0), (0, 0), (0, 1)))
    if isinstance(stage, Light):
        return "light", _floats(stage.stops, f"{name}.stops", (6,))
    raise DTypeError(f"{name}: {type(stage).__name__}, expected one of Affine, Log, Exp, Curves, Lut, Light")


def encode(stages: Any) -> tuple[list[tuple[str, Any]], list[NumpyArray]]:
    """Returns the stages for a native call, and the arrays that must outlive it."""
    if isinstance(stages, (str, np.ndarray)) or not isinstance(stages, Sequence):
        raise DTypeError(f"stages: {type(stages).__name__}, expected a list of stages")
    pairs = [_values(stage, f"stages[{i}]") for i, stage in enumerate(stages)]
    return [(kind, _arrays.view(values, kind)) for kind, values in pairs], [values for _, values in pairs]


def color_image(x: Any, name: str) -> NumpyArray:
    """Returns an image [H, W, 3] as numpy."""
    a = _checks.image(x, name, dims=(3,))
    if a.shape[2] != 3:
        first = "; channels come last: x.movedim(-3, -1) is a view" if a.shape[0] == 3 else ""
        raise ShapeError(f"{name}: shape {list(a.shape)}, expected [H, W, 3]{first}")
    return a


def share(x: Any, name: str) -> float:
    """Returns a validated number from 0 to 1."""
    return _checks.number(x, name, high=1.0, accepts="a number from 0 to 1")


def color_map(image: ArrayT, stages: Sequence[Stage], mask: Array | None = None, *, strength: float = 1.0) -> ArrayT:
    """Computes image + strength · mask · (f(image) - image), f being the composition of the stages.

    Args:
        image: [H, W, 3], any image dtype and strides. Stages process it divided by its range, 1 for white.
        stages: a list of `Affine`, `Log`, `Exp`, `Curves`, `Lut` and `Light`; computed in float32.
        mask: [H, W], bool, uint8 or uint16 scaled by their range, or floats in [0, 1]; None: all of the image.
        strength: 0 to 1; 0 returns a copy.

    Returns:
        An array [H, W, 3] of image's kind and dtype, contiguous; integers are rounded half to even and clamped, floats
        are not clipped. Where the mask is zero it equals image bit for bit.

    Raises:
        ShapeError, DTypeError, MaskError: image is not [H, W, 3], or mask or a stage's array has a wrong shape.
        ArgumentError: strength is outside 0 to 1, or a stage's numbers are not finite.

    Example:
        >>> from pyharmony import ops
        >>> image = np.full((1, 2, 3), 100, np.uint8)
        >>> stages = [ops.Affine([[0.5, 0, 0], [0, 1, 0], [0, 0, 1]])]
        >>> ops.color_map(image, stages, np.array([[255, 0]], np.uint8)).tolist()
        [[[50, 100, 100], [100, 100, 100]]]
    """
    a = color_image(image, "image")
    m = None if mask is None else _checks.mask(mask, "mask", *a.shape[:2])
    amount = share(strength, "strength")
    encoded, _memory = encode(stages)
    out = np.array(a, order="C")
    if amount > 0 and encoded:
        run(a, encoded, m, amount, out)
    return _arrays.like_kind(out, image)


def run(image: NumpyArray, encoded: Any, mask: NumpyArray | None, strength: float, out: NumpyArray) -> None:
    """Runs the native call on checked arguments; out may be image."""
    native.color_map(
        _arrays.view(image, "image"), encoded, None if mask is None else _arrays.view(mask, "mask"), strength,
        _arrays.view(out, "out", writable=True),
    )  # fmt: skip
