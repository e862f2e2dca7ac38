"""The mask of a source at its position in the destination."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _arrays
from .._arrays import VALUE_RANGE, NumpyArray, is_array
from .._images.call import Call
from .._images.frame import Frame, Infos, direct_info
from .._images.kinds import as_out
from .._images.levels import in_levels
from .._images.region import as_float
from ..errors import DTypeError, ShapeError
from ..io import Picture, write
from ..typing import ImageLike, MaskLike, OneOrMany, PathLike, Position, Positions, WritableFile


def placed_mask(
    src: OneOrMany[ImageLike],
    dst: OneOrMany[ImageLike],
    mask: OneOrMany[MaskLike | None] = None,
    *,
    at: OneOrMany[Position | None] | Positions = None,
    scale: OneOrMany[float] = 1.0,
    out: PathLike | WritableFile | None = None,
) -> Any:
    """Returns the mask of a blend at dst's size: the pixels that blends with these arguments change.

    This is the mask of the blended image for `pyharmony.harmonize`.

    Args:
        src: the source: NumPy [H, W] or [H, W, C], torch [C, H, W], of 1, 3 or 4 channels, uint8, uint16 or floats
            with 1.0 for white; or a PIL image, a file or a `pyharmony.io.Picture`. Its alpha multiplies the mask.
        dst: the destination image, of any of these kinds, as an array of src's dtype. A batch gives a
            batch of masks, and a list a list.
        mask: the soft mask of src, of its height and width: bool, uint8 or uint16 (their largest value is inside) or
            floats from 0 to 1; or a grey image. None: the alpha of src, or all of it.
        at: (x, y), the position in dst of src's first pixel, in pixels. None: both images are of equal size.
        scale: the factor of src's size, above 0.
        out: a path or open binary file to write the mask to, which is then the result; None: nothing is written.

    Returns:
        For an array [H, W], for a batch [N, H, W], numpy or torch as dst is: in dst's dtype, whose white is fully
        inside, or float32 for floats. For a file or PIL image, a PIL image of 8 bits. For a list of dst, a list.

    Raises:
        PyHarmonyError: see `pyharmony.blend`.

    Example:
        >>> import numpy as np
        >>> from pyharmony import blend
        >>> dst, src = np.zeros((4, 5, 3), np.uint8), np.full((2, 2, 3), 9, np.uint8)
        >>> blend.placed_mask(src, dst, at=(3, 1))[:, 3:].tolist()
        [[0, 0], [255, 255], [255, 255], [0, 0]]
    """
    if isinstance(out, (list, tuple)) or is_array(out):
        raise DTypeError(f"out: {type(out).__name__}, expected None, a path or an open binary file")
    mask_lists: list[list[NumpyArray]] = []

    def work(frame: Frame) -> Infos:
        masks = []
        for job in frame.jobs():
            white = VALUE_RANGE[frame.dtype]
            whole = np.zeros(job.shape, np.float32)
            if not job.src_region.empty:
                job.src_region.of(whole)[...] = as_float(job.mask)
            masks.append(whole if white == 1 else np.rint(whole * np.float32(white)).astype(frame.dtype))
        mask_lists.append(masks)
        return [direct_info("mask")] * len(masks)

    images: Any = dst if isinstance(dst, (list, tuple)) else [dst]
    Call("placed_mask", src, dst, mask, at, scale, device="cpu").run(work)
    if out is not None:
        if len(mask_lists) != 1 or len(mask_lists[0]) != 1:
            raise ShapeError(f"out: one file for {sum(map(len, mask_lists))} masks")
        with as_out():
            write(Picture(in_levels(mask_lists[0][0])[..., None]), out)
        return out
    results = [_like(masks, image) for masks, image in zip(mask_lists, images, strict=True)]
    kind: Any = type(dst)
    return kind(results) if isinstance(dst, (list, tuple)) else results[0]


def _like(masks: list[NumpyArray], dst: Any) -> Any:
    """Returns the masks of one dst, in its kind."""
    if is_array(dst):
        result = _arrays.like_kind(np.stack(masks) if dst.ndim == 4 else masks[0], dst)
        return result.to(dst.dtype) if _arrays.is_torch(dst) else result
    if isinstance(dst, Picture):
        return Picture(masks[0][..., None])
    return Picture(in_levels(masks[0])[..., None]).to_pil()
