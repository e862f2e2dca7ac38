"""Blends: an image, a mask and a destination in, an image of the destination's kind out.

Every blend takes the same first arguments:

* ``src``, ``dst``: numpy [H, W], [H, W, C] or [N, H, W, C], or torch CPU tensors [C, H, W] or
  [B, C, H, W], of 1, 3 (RGB) or 4 (RGBA) channels and any strides; uint8 (0 to 255), uint16 (0 to
  65535), float16, float32 or float64 (1.0 is white; floats are never clipped). Both have the same
  dtype. The alpha of src multiplies the mask; the alpha of dst is kept, and its colours are not
  premultiplied. A batch needs as many sources as destinations.
* ``mask``: of src's height and width; bool, uint8 or uint16 (their largest value is fully
  inside), or floats from 0 to 1; for a batch also one for each item. None: the alpha of src, or
  all of it. Integer masks of 0 and 1 are refused, since 1 of 255 is hardly ever meant.
* ``at``: None where src and dst are one frame of equal size, or (x, y), the whole pixels where the
  first pixel of src lands in dst. What lies outside dst is cut off.
* ``out``: an array like dst to write into; it may be dst.

The result has dst's kind, layout and dtype; integers are rounded half to even. Where the mask is
zero it is dst, bit for bit. Arguments are never changed. Wrong ones raise `pyharmony.errors.ShapeError`,
`DTypeError`, `MaskError` or `ArgumentError`, which name the argument, what was given and what is
accepted; NaN and Inf in pixels that a blend reads are refused too.
"""

from __future__ import annotations

from ._alpha import alpha
from ._gaussian_poisson import gaussian_poisson
from ._laplacian import laplacian
from ._poisson import poisson

__all__ = ["alpha", "gaussian_poisson", "laplacian", "poisson"]
