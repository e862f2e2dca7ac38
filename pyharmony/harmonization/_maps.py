"""Colour maps: the results of methods, which can be applied to an image of any size."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from .. import _arrays, _checks, _reprs, ops
from .._arrays import VALUE_RANGE, Float64, NumpyArray
from .._images.kinds import checked_image, checked_mask
from .._images.region import as_float
from ..errors import ArgumentError, ShapeError
from ..ops.color_map import color_image, encode
from ..ops.color_map import run as run_stages
from ..reference.luma import LUMA
from ..typing import FileLike, ImageLike, ImageT, MaskLike, PILImage

Pair = tuple[int, int]

#: The side of tables of functions of a colour.
TABLE = 33
#: The number of rows of a strip, so small that its temporaries need far less memory than the image.
_ROWS = 64
_IDENTITY = np.eye(3, 4)


#: The number of axes of each part of a map.
_AXES = {"affine": 2, "curves": 3, "grid": 5, "table": 4}


@dataclass(frozen=True, eq=False, repr=False)
class ColorMap(_reprs.Line):
    """A map of colours, independent of the size of the image.

    It is either a table, or the sum of an affine map, curves and a bilateral grid, see `pyharmony.ops.color_grid`;
    parts that are None are the identity. 1 is white.

    Attributes:
        affine: [3, 4].
        curves: [3, 3, K]; [o, c] is added to output channel o, by the value of input channel c at K equal steps.
        grid: [Gh, Gw, D, 3, 4], over rows, columns and luma.
        table: [n, n, n, 3], over red, green and blue; interpolated tetrahedrally.

    Example:
        >>> from pyharmony.harmonization import ColorMap
        >>> darker = ColorMap(affine=np.diag([0.5, 0.5, 0.5, 1.0])[:3])
        >>> darker.apply(np.full((1, 1, 3), 100, np.uint8)).tolist()
        [[[50, 50, 50]]]
        >>> darker.scaled(0.0).is_identity
        True
    """

    affine: Float64 | None = None
    curves: Float64 | None = None
    grid: Float64 | None = None
    table: Float64 | None = None

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if getattr(self, field.name) is not None:
                numbers = _checks.floats(getattr(self, field.name), field.name)
                if numbers.ndim != _AXES[field.name] or numbers.size == 0:
                    shape = list(numbers.shape)
                    raise ShapeError(f"{field.name}: shape {shape}, expected {_AXES[field.name]} axes with numbers")
                if not np.isfinite(numbers).all():
                    raise ArgumentError(f"{field.name}: contains NaN or an infinity, expected finite numbers")

    @_checks.kinds
    def scaled(self, strength: float) -> ColorMap:
        """Returns the map interpolated from the identity to this one by strength; above 1 it extrapolates.

        The values of a table stay in [0, 1].
        """
        result = IDENTITY.mixed(self, strength)
        if strength > 1 and result.table is not None:
            result = ColorMap(table=result.table.clip(0, 1))
        return result

    @_checks.kinds
    def mixed(self, other: ColorMap, share: float) -> ColorMap:
        """Returns (1 - share) f + share g, of this map f and a map g of the same form, or one of them the identity.

        Raises:
            ShapeError: only one has a table, or arrays have different shapes.
        """
        if share == 1:
            return other
        if share == 0:
            return self
        if (self.table is None) != (other.table is None):
            table, rest = (self, other) if other.table is None else (other, self)
            if not rest.is_identity:
                raise ShapeError("other: a table and a map without one, expected maps of one method")
            assert table.table is not None  # noqa: S101
            same = ColorMap(table=lattice(table.table.shape[0]).reshape(table.table.shape))
            return same.mixed(other, share) if table is other else self.mixed(same, share)
        parts = {}
        for name, none in (("affine", _IDENTITY), ("curves", 0.0), ("grid", 0.0), ("table", 0.0)):
            a, b = getattr(self, name), getattr(other, name)
            if a is None and b is None:
                continue
            a, b = (none if x is None else x for x in (a, b))
            if np.ndim(a) and np.ndim(b) and np.shape(a) != np.shape(b):
                raise ShapeError(f"other: {name} of shape {list(np.shape(b))}, expected {list(np.shape(a))}")
            parts[name] = np.asarray((1 - share) * a + share * b, np.float64)
        return ColorMap(**parts)

    def plus(self, affine: Float64, curves: Float64) -> ColorMap:
        """Returns the map with an added change that depends on the colour alone.

        Args:
            affine: [3, 4]; affine [x; 1] is added to the result for a colour x. Zeros: nothing.
            curves: [3, 3, K], as `ColorMap.curves`; added to that.

        Returns:
            A map of the same form. The values of a table stay in [0, 1].
        """
        ColorMap(affine=affine, curves=curves)  # judges them
        if self.table is not None:
            table = self.table.copy()
            axis = np.linspace(0, 1, table.shape[0])
            knots = np.linspace(0, 1, curves.shape[2])
            for c, shape in enumerate(((-1, 1, 1, 3), (1, -1, 1, 3), (1, 1, -1, 3))):
                curve = np.stack([np.interp(axis, knots, curves[o, c]) for o in range(3)], 1)
                table += (axis[:, None] * affine[:, c] + curve).reshape(shape)
            return ColorMap(table=(table + affine[:, 3]).clip(0, 1))
        own = np.zeros_like(curves) if self.curves is None else self.curves
        # Both are linear between the knots of the coarsest steps that include all of theirs.
        steps = np.lcm(own.shape[2] - 1, curves.shape[2] - 1)
        return ColorMap(
            (_IDENTITY if self.affine is None else self.affine) + affine,
            _with_knots(own, steps + 1) + _with_knots(curves, steps + 1),
            self.grid,
        )

    def mirrored(self) -> ColorMap:
        """Returns the map for the mirror image of this map's image."""
        return self if self.grid is None else dataclasses.replace(self, grid=self.grid[:, ::-1])

    @property
    def is_identity(self) -> bool:
        """Whether the map leaves every colour unchanged."""
        if self.table is not None:
            return bool(np.array_equal(self.table, lattice(self.table.shape[0]).reshape(self.table.shape)))
        still = self.affine is None or np.array_equal(self.affine, _IDENTITY)
        return bool(still and all(x is None or not x.any() for x in (self.curves, self.grid)))

    @overload
    def apply(
        self, image: ImageT, mask: MaskLike | None = None, *, origin: Pair = (0, 0), frame: Pair | None = None
    ) -> ImageT: ...
    @overload
    def apply(
        self, image: FileLike, mask: MaskLike | None = None, *, origin: Pair = (0, 0), frame: Pair | None = None
    ) -> PILImage | Any: ...
    def apply(
        self,
        image: ImageLike,
        mask: MaskLike | None = None,
        *,
        origin: tuple[int, int] = (0, 0),
        frame: tuple[int, int] | None = None,
    ) -> Any:
        """Returns the image with its colours mapped inside the mask.

        The result of a tile has the same bits as in the whole image.

        Args:
            image: an image with three colours, in RGB, of any kind: NumPy [H, W, 3] or [H, W, 4], torch [3, H, W] or
                [4, H, W], of any dtype and strides; or a file, a PIL image or a `pyharmony.io.Picture`. Its alpha
                is kept.
            mask: soft, of any kind, [H, W] as an array; None: everywhere.
            origin: (x, y) of the image's first pixel in the frame of which it is a tile.
            frame: (H, W) of that frame; None: the image is the whole frame.

        Returns:
            An image of image's kind, layout and dtype. Where the mask is zero it equals image, bit for bit. Integers
            are rounded half to even; floats beyond [0, 1] stay beyond.

        Raises:
            ShapeError, DTypeError, MaskError: image does not have three colours, or mask is not a mask for it.
            ArgumentError: the tile is not inside the frame, or image has NaN or infinities inside the mask.
        """
        frame_image = checked_image(image, "image")
        a = color_image(frame_image.pixels[..., :3], "image")
        m = None if mask is None else checked_mask(mask, "mask", *a.shape[:2])
        _checks.finite(a, "image", m)
        whole = a.shape[:2] if frame is None else _pair(frame, "frame")
        x, y = _pair(origin, "origin")
        if x < 0 or y < 0 or x + a.shape[1] > whole[1] or y + a.shape[0] > whole[0]:
            raise ArgumentError(f"origin: {origin}, a tile of {a.shape[0]} x {a.shape[1]} pixels is not inside {whole}")
        out = np.array(a, order="C")
        apply_into(self, a, m, out, (x, y), (whole[0], whole[1]))
        return frame_image.like(np.concatenate([out, frame_image.pixels[..., 3:]], 2))


IDENTITY = ColorMap()


def _with_knots(curves: Float64, count: int) -> Float64:
    """Returns the same curves [3, 3, K] with this many knots, which include all of theirs."""
    if curves.shape[2] == count:
        return curves
    at, knots = np.linspace(0, 1, count), np.linspace(0, 1, curves.shape[2])
    return np.stack([np.interp(at, knots, curve) for curve in curves.reshape(9, -1)]).reshape(3, 3, count)


def weighted(maps: Sequence[ColorMap], weights: npt.NDArray[Any]) -> ColorMap:
    """Returns the map whose change is the weighted sum of the changes by maps of one form other than tables."""
    parts = {}
    for name, none in (("affine", _IDENTITY), ("curves", 0.0), ("grid", 0.0)):
        if getattr(maps[0], name) is not None:
            changes = [weight * (getattr(m, name) - none) for m, weight in zip(maps, weights, strict=True)]
            parts[name] = np.asarray(np.sum(changes, 0) + none, np.float64)
    return ColorMap(**parts)


def images_of(maps: Sequence[ColorMap], image: npt.NDArray[np.float32]) -> Sequence[npt.NDArray[np.float32]]:
    """Returns an image [h, w, 3] after each map."""
    if any(m.affine is None or m.curves is None or m.grid is not None or m.table is not None for m in maps):
        return [image_of(m, image) for m in maps]
    affine, curves = (np.stack([getattr(m, name) for m in maps]) for name in ("affine", "curves"))
    return list(ops.color_grid(np.broadcast_to(image, (len(maps), *image.shape)), affine=affine, curves=curves))


def mapped(color_map: ColorMap, image: npt.NDArray[np.floating], where: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
    """Returns the mapped colours [N, 3] of some pixels of an image [h, w, 3], by their indices."""
    if color_map.grid is not None:
        return image_of(color_map, image).reshape(-1, 3)[where]
    return image_of(color_map, image.reshape(-1, 3)[where][None])[0]


def followed_by(color_map: ColorMap, matrix: Float64) -> ColorMap:
    """Returns the map whose results are multiplied by matrix [3, 3]; those of a table have to stay in [0, 1]."""
    if color_map.table is not None:
        return ColorMap(table=color_map.table @ matrix.T)
    return ColorMap(
        matrix @ (_IDENTITY if color_map.affine is None else color_map.affine),
        None if color_map.curves is None else np.einsum("po,ock->pck", matrix, color_map.curves),
        None if color_map.grid is None else matrix @ color_map.grid,
    )


def image_of(color_map: ColorMap, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns an image [h, w, 3] of finite floats with its colours mapped: `ColorMap.apply` for a checked image."""
    out = np.empty(image.shape, image.dtype)
    apply_into(color_map, image, None, out, (0, 0), (image.shape[0], image.shape[1]))
    return out


def apply_into(
    color_map: ColorMap,
    image: NumpyArray,
    mask: NumpyArray | None,
    out: NumpyArray,
    origin: Pair,
    frame: Pair,
    *,
    clipped: bool = False,
) -> None:
    """Does what `ColorMap.apply` does for checked arrays of 1 or 3 channels; out may be image.

    clipped: whether floats are in [0, 1].
    """
    if image.shape[2] == 1 or (color_map.table is not None and image.dtype.kind == "f" and not clipped):
        _add_change(color_map, image, mask, out, origin, frame)
    elif color_map.table is not None:
        encoded, _alive = encode([ops.Lut(color_map.table)])
        run_stages(image, encoded, mask, 1.0, out)
    else:
        grid, affine, curves = color_map.grid, color_map.affine, color_map.curves
        ops.color_grid(image, mask, grid=grid, affine=affine, curves=curves, out=out, origin=origin, frame=frame)


def _add_change(
    color_map: ColorMap, image: NumpyArray, mask: NumpyArray | None, out: NumpyArray, origin: Pair, frame: Pair
) -> None:
    """Adds the change by a map: of the luma to a grey image, and to floats, so that those beyond [0, 1] stay beyond."""
    real: type = np.float64 if image.dtype == np.float64 else np.float32
    unit = real(VALUE_RANGE[image.dtype.name])
    for top in range(0, image.shape[0], _ROWS):
        rows = slice(top, top + _ROWS)
        before = image[rows].astype(real) / unit
        wide = np.repeat(before, 3, 2) if image.shape[2] == 1 else before
        colors = np.ascontiguousarray(wide if color_map.table is None else wide.clip(0, 1))
        after = np.empty_like(colors)
        apply_into(color_map, colors, None, after, (origin[0], origin[1] + top), frame, clipped=True)
        after -= colors
        if image.shape[2] == 1:
            after = (after @ np.array(LUMA, real))[..., None]
        if mask is not None:
            after *= as_float(mask[rows])[..., None]
        after += before
        after *= unit
        _arrays.round_into(after, out[rows], where=True if mask is None else (mask[rows] > 0)[..., None])


def _pair(x: Any, name: str) -> tuple[int, int]:
    accepts = "two whole numbers"
    a, b = (
        _checks.whole(value, name, accepts=accepts) for value in _checks.two_numbers(x, name, f"expected {accepts}")
    )
    return a, b


def lattice(n: int = TABLE) -> Float64:
    """Returns the colours of a table's entries, [n³, 3]."""
    axis = np.linspace(0, 1, n)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)


def table_of(function: Callable[[Float64], Float64]) -> ColorMap:
    """Returns a function of colours [N, 3] as a table, clipped to [0, 1]."""
    return ColorMap(table=np.clip(function(lattice()), 0, 1).reshape(TABLE, TABLE, TABLE, 3))
