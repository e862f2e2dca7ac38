"""An affine colour map, curves and a bilateral grid, sliced in one pass and blended by a mask.

See `pyharmony.reference.color_grid` for the definition.
"""

from __future__ import annotations

from typing import Any

from .. import _arrays, _cuda
from ..typing import Array, ArrayT
from . import _color_grid_cpu, _color_grid_cuda


def color_grid(
    image: ArrayT,
    mask: Array | None = None,
    *,
    grid: Array | None = None,
    affine: Array | None = None,
    curves: Array | None = None,
    origin: tuple[int, int] = (0, 0),
    frame: tuple[int, int] | None = None,
    out: Array | None = None,
) -> ArrayT:
    """Computes image + mask · (f(image) - image): affine map, curves, and a map that varies with position and luma.

    f(x) = affine [x; 1] + curves(x) + grid(position, luma) [x; 1], with x in [0, 1] (integers divided by their range)
    and the grid interpolated linearly along its three axes. f(x) is clamped to be no further outside [0, 1] than x:
    colours in [0, 1] stay there, brighter floats do not exceed their value, and the identity changes nothing. Computed
    in float32 (float64 images in float64), in one pass, without memory of the size of the image. Results are
    bit-identical for any number of threads, and for tiles with an origin and a frame. Gradients of any order flow to a
    tensor image of floats, its mask and the parts of the map.

    It runs on the device of image: on a CUDA device with kernels on the current stream, which support all image dtypes
    except float64. Mask and map have to be there as well, and their values are not checked.

    Args:
        image: [H, W, 3] or [N, H, W, 3], any image dtype and strides.
        mask: [H, W] or [N, H, W], bool, uint8 or uint16 scaled by their range, or floats in [0, 1]; None: ones.
        grid: [Gh, Gw, D, 3, 4], an affine map for each cell of the frame and of luma, added to `affine`; Gh and Gw from
            1 to 256, D from 1 to 64. None: zero.
        affine: [3, 4]. None: [I | 0].
        curves: [3, 3, K], for each channel of the result (first) and of the image the values at K equal steps from 0 to
            1, linear between, K from 2 to 256; channels beyond [0, 1] get the value at the end. None: zero.
        origin: (x, y), the position of image in the frame.
        frame: (H, W) of the whole image, which the grid spans, sides at most 2^24 - 1. None: those of image.
        out: the array for the result, like image or image itself. None: new memory.

        Each part of the map may have a leading axis N, one part for each image of a batch.

    Returns:
        An array of image's kind, shape and dtype, integers rounded half to even and clamped. Where the mask is zero it
        equals image bit for bit. A pixel with NaN in image is NaN.

    Raises:
        ShapeError, DTypeError, MaskError: image, mask, a part of the map or out is not accepted.
        ArgumentError: a part of the map is not finite, image exceeds the frame, or out overlaps it.
        DeviceError: arrays are on different devices, or their device cannot be used.

    Source: Gharbi et al., "Deep Bilateral Learning for Real-Time Image Enhancement", 2017, section 3.3 (the grid).

    Example:
        >>> from pyharmony import ops
        >>> image = np.full((4, 4, 3), 100, np.uint8)
        >>> affine = np.array([[0.5, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]], np.float32)
        >>> ops.color_grid(image, affine=affine)[0, 0].tolist()
        [50, 100, 100]
    """
    arguments: Any = (image, mask, affine, curves, grid, origin, frame, out)
    if _arrays.in_graph(image, mask, grid, affine, curves):
        from . import _color_grid_torch

        return _color_grid_torch.color_grid(*arguments)
    arrays = {"image": image, "mask": mask, "affine": affine, "curves": curves, "grid": grid, "out": out}
    if place := _cuda.place_where(arrays):
        with place:
            return _color_grid_cuda.color_grid(place, *arguments)
    return _color_grid_cpu.color_grid(*arguments)
