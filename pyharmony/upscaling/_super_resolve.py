"""Enlarges an image of any kind two or four times, tile by tile."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .. import _arrays, _checks
from .._arrays import VALUE_RANGE, Float32, NumpyArray
from .._cuda import Place, is_device_array
from .._images.call import Call, Item, Work, deliver, on_one_image, open_item
from .._images.fill import fill
from .._images.frame import layout
from .._images.region import Region, check_finite
from .._images.threads import in_threads
from ..errors import ArgumentError, DeviceError, DTypeError, OutOfMemory, PyHarmonyError
from ._methods import METHODS, Method, method_of
from ._tiles import Pass, enlarged

#: The least side of a tile: for smaller ones the surroundings take much more time than the tile.
_MIN_TILE = 16
#: The default side of tiles.
TILE = 256


@dataclass(frozen=True)
class UpscalingInfo:
    """A record of an enlargement.

    Attributes:
        method: the name of the method that ran.
        scale: the factor of the size.
        tiles: the number of tiles.
        milliseconds: the wall time of the item.

    Example:
        >>> from pyharmony import upscaling
        >>> image = np.zeros((40, 60, 3), np.uint8)
        >>> _, info = upscaling.super_resolve(image, 4, method="bicubic", tile=32, return_info=True)
        >>> info.method, info.scale, info.tiles
        ('bicubic', 4, 4)
    """

    method: str
    scale: int
    tiles: int
    milliseconds: float = 0.0


@on_one_image
def super_resolve(call: Call, scale: int = 2, *, method: str | Method = "auto", tile: int = TILE) -> Any:
    """Enlarges an image two or four times, with more detail than interpolation.

    The default is the generator of a small SRGAN (Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a
    Generative Adversarial Network", CVPR 2017), trained by the distance to photos only, so that it invents no detail.
    It predicts the residual of a bicubic enlargement; four times is twice two times. The image is enlarged in tiles,
    each with all surrounding pixels on which its own depend, so that there are no seams and little memory is needed in
    addition to the result.

    Args:
        image: an image [H, W] or [H, W, C] of 1, 3 or 4 channels, uint8, uint16 or floats with 1.0 for white, or a
            batch of them, see `pyharmony.blend`; or a path, the bytes of a file, an open binary file, a PIL image or a
            `pyharmony.io.Picture`. The network was trained on sRGB; other colours are not converted.
        scale: 2 or 4.
        method: 'auto', the name of another of `pyharmony.upscaling.METHODS`, or a method from your own weights, by
            `pyharmony.upscaling.trained`.
        tile: the side of the tiles, in pixels of image, 16 or more. It changes time and memory, and the result by
            rounding at most.
        keep_gps, errors: see `pyharmony.blend`.
        device: 'auto', 'cpu' or 'cuda'; the work is done on the CPU, and arrays on a CUDA device are copied.
        out: see `pyharmony.blend`; an array has `scale` times the size of image, and is on the CPU.
        return_info: whether to return an UpscalingInfo too, or one for each item.

    Returns:
        The image, in its own kind, layout and dtype, `scale` times as high and as wide, or (image, info). A file's
        depth, colour profile and metadata are kept. Integers are rounded and clipped, floats are not; alpha is
        interpolated, and colours under an alpha of 0 are replaced by those of neighbouring pixels.

    Raises:
        ArgumentError: scale, method or tile has a value that is not accepted; the image contains NaN or infinities.
        ShapeError, DTypeError: image or out has a shape or dtype that is not accepted.
        WeightsError: the weights of the method are not part of this installation, or are damaged.
        DeviceError: out is an array on a CUDA device.
        PyHarmonyError: see `pyharmony.blend`.

    Example:
        >>> from pyharmony import upscaling
        >>> image = np.full((40, 60, 3), 200, np.uint8)
        >>> upscaling.super_resolve(image, 2, method="lanczos").shape
        (80, 120, 3)
    """
    if isinstance(scale, bool) or not isinstance(scale, (int, float, np.number)) or scale not in (2, 4):
        raise ArgumentError(f"scale: {scale!r}, expected 2 or 4")
    side = _checks.whole(tile, "tile", low=_MIN_TILE)
    implementation, factor = method_of(method), int(scale)
    passes = implementation.passes(factor)
    shared = {field.name: getattr(call, field.name) for field in dataclasses.fields(call)}
    work = partial(_enlarged, method=implementation.name, factor=factor, passes=passes, side=int(side))
    return _Enlargement(**shared, factor=factor).run(work, tell=lambda info: None)


@dataclass(frozen=True)
class _Enlargement(Call):
    """A call whose result has `factor` times the size of its image, which `Frame` does not support.

    Its work is called with each image and the array of its result.
    """

    factor: int = 2

    def answer(self, item: Item, work: Work, place: Place | None) -> tuple[Any, Any]:
        if is_device_array(item.out):
            raise DeviceError("out: in the memory of a CUDA device, expected None, since the result is on the CPU")
        if is_device_array(item.dst):
            return self._through_cpu(item, work)
        inputs = open_item(item, keep_gps=bool(self.keep_gps))
        try:
            images, batch = layout(inputs.target, "image")
            result = _result_array(inputs.target, None if item.to_file else item.out, self.factor)
            infos = [work(*pair) for pair in zip(images, layout(result, "out")[0], strict=True)]
        except MemoryError as error:
            if isinstance(error, PyHarmonyError):
                raise
            size = f"{list(inputs.target.shape)} of {inputs.target.dtype}"
            raise OutOfMemory(f"image: memory ran out enlarging {size} {self.factor} times") from error
        return deliver(item, inputs, result), infos if batch else infos[0]


def _enlarged(
    image: NumpyArray, target: NumpyArray, *, method: str, factor: int, passes: Sequence[Pass], side: int
) -> Any:
    """Enlarges an image into an array, and returns its info."""
    start = time.perf_counter()
    _checks.warn_of_range(image, "image")
    tiles = enlarge(image, target, factor, passes, side)
    return UpscalingInfo(method, factor, tiles, (time.perf_counter() - start) * 1e3)


def _result_array(image: Any, out: Any, scale: int) -> Any:
    """Returns the array for the result: out, after its checks, or a new one of image's kind."""
    array = _arrays.to_numpy(image, "image")
    # The sides are the first two of [H, W, C], and the last two of torch's [C, H, W].
    first = array.ndim - 2 if _arrays.is_torch(image) or array.ndim == 2 else array.ndim - 3
    shape = tuple(scale * side if i in (first, first + 1) else side for i, side in enumerate(array.shape))
    if out is None:
        return _arrays.like_kind(np.empty(shape, array.dtype), image)
    if _arrays.is_torch(out) != _arrays.is_torch(image):
        raise DTypeError(f"out: {type(out).__name__}, expected the kind of image, {type(image).__name__}")
    a = _arrays.to_numpy(out, "out", writable=True)
    _checks.out_like(a, "out", np.broadcast_to(array.dtype.type(0), shape), f"image {scale} times as large")
    if np.may_share_memory(a, array):
        raise ArgumentError("out: shares memory with image; pass another array")
    return out


def enlarge(
    image: NumpyArray,
    out: NumpyArray,
    factor: int,
    passes: Sequence[Pass],
    side: int,
    is_visible: Callable[[Region], bool] = lambda tile: True,
) -> int:
    """Enlarges the visible tiles of an image [H, W, C] into out; returns their number."""
    shape, colors = (image.shape[0], image.shape[1]), min(image.shape[2], 3)
    alpha = image[..., 3] if image.shape[2] == 4 else None
    transparent = None
    if alpha is not None:
        if alpha.dtype.kind == "f":
            _checks.mask(alpha, "the alpha of image", *shape)
        transparent = alpha == 0 if not alpha.all() else None
    values: NumpyArray = image[..., :colors]
    check_finite(values, "image", skip=transparent)
    if transparent is not None:
        # Colours of transparent pixels are arbitrary, and would bleed across the contour.
        values = fill(values.astype(np.float32), transparent)
    unit = VALUE_RANGE[image.dtype.name]

    def read(part: Region) -> Float32:
        pixels: Float32 = np.multiply(part.of(values), np.float32(1 / unit), dtype=np.float32)
        return pixels if colors == 3 else np.repeat(pixels, 3, 2)

    def write(region: Region) -> None:
        result = enlarged(read, region, shape, passes)
        result = result * np.float32(unit) if colors == 3 else result.mean(2, keepdims=True) * np.float32(unit)
        target = out[factor * region.y0 : factor * region.y1, factor * region.x0 : factor * region.x1]
        _arrays.round_into(result, target[..., :colors])
        if alpha is not None:
            _arrays.round_into(_alpha(alpha, region, factor) * np.float32(unit), target[..., 3])

    parts = [tile for tile in Region.whole(shape).tiles(side) if is_visible(tile)]
    in_threads(write, parts)
    return len(parts)


def _alpha(alpha: NumpyArray, region: Region, scale: int) -> Float32:
    """Returns the alpha of a region enlarged by bicubic interpolation, in [0, 1]."""
    unit = np.float32(1 / VALUE_RANGE[alpha.dtype.name])

    def read(part: Region) -> Float32:
        return np.multiply(part.of(alpha)[..., None], unit, dtype=np.float32)

    result = enlarged(read, region, (alpha.shape[0], alpha.shape[1]), METHODS["bicubic"].passes(scale))
    clipped: Float32 = np.clip(result[..., 0], 0, 1)
    return clipped
