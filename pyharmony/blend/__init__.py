"""Blends: each combines an image, a mask and a destination, and returns an image of the destination's kind.

All blends have the same first and last arguments:

* ``src``, ``dst``: an array or an image of another kind. Arrays are numpy [H, W], [H, W, C] or [N, H, W, C], or
  torch tensors [C, H, W] or [B, C, H, W], of 1, 3 (RGB) or 4 (RGBA) channels and any strides;
  uint8 (0 to 255), uint16 (0 to 65535), float16, float32 or float64 (1.0 is white; floats are never
  clipped). Both have the same dtype. The other kinds are PIL images, paths, the bytes of a file, open
  binary files, and `pyharmony.io.Picture`: their orientation is applied, and src is converted to
  dst's colour profile, depth and channels (an array has no profile: an image of another kind pasted into it
  becomes sRGB, and an array pasted into such an image is assumed to be in its profile). The alpha of src
  multiplies the mask. The object lies over the alpha a of dst, that of the result is m + (1 - m) a for a mask m, or a
  with ``keep_alpha=True``; dst is unknown where it is zero (not everywhere), and colours are not premultiplied. A batch
  needs as many sources as destinations. If dst is a list of any of these, the result is a list; each other
  argument is then a list of the same length, or one value for all.
* ``mask``: an array of src's height and width, of bool, uint8 or uint16 (their largest value is fully
  inside) or floats from 0 to 1; for a batch, one for all items or one for each; or an image of another kind,
  which is grey or provides its alpha. None: the alpha of src, or all of src. Integer masks of 0 and 1 are refused,
  since 1 of 255 is hardly ever intended, and label maps, whose largest value is below half of white or whose values
  below white fill areas, give a `pyharmony.errors.MaskWarning`.
  In a JPEG, WebP, AVIF or HEIC, values within 8 of black or white are rounded
  to it. For `poisson`, `gaussian_poisson` and `gp_gan` a strip of at most three pixels with mask 0 between the mask
  and dst's border counts as inside if other pixels of dst are outside: its colours would bleed into the object.
  Where a mask is between 0 and fully inside, no blend changes dst by more than that share of its range, except
  `alpha` of floats beyond 0 to 1, and preserve_background=False of `gaussian_poisson` and `gp_gan`. If more than half
  of the pixels above 0 are below 4 %, there is a `MaskWarning`.
* ``dst_valid``: None, or a mask of dst's height and width, of any kind that ``mask`` may have: where it is zero dst is
  unknown, as it is where its alpha is zero. Unknown pixels are not read: their colours are replaced by those of the
  nearest known ones, and edges that touch them inside use only the gradient of src. If dst is nearly constant under
  the mask but not next to it, as if an object had been erased, a `MaskWarning` says so.
* ``at``: None if src and dst are one frame of equal size, or (x, y), the position in dst of src's first pixel;
  for a batch also [B, 2], a position for each item. If these are not whole numbers, src is resampled
  (colours by Catmull and Rom's cubic, the mask by area). The part of src outside dst is cut off.
* ``scale``: the factor of src's size, above 0; its first corner stays at ``at``. Colours are resampled
  with their alpha (premultiplied), by Catmull and Rom's cubic and by a triangle next to the contour; the
  mask by a triangle. Kernels widen when shrinking, to avoid aliasing. Values are resampled
  as they are encoded. Arrays on a device support only 1.
* ``decontaminate``: whether to remove the original background from the colours of the soft contour of an RGBA src,
  which would otherwise show as a halo: by the compositing equation (Germer et al., 2020), see
  docs/blend.md.
* ``keep_alpha``: whether the result has the alpha of dst; the object is invisible then where that is zero.
* ``wrap``: the axes of dst whose opposite borders touch: 'x' of a panorama of 360 degrees, 'xy' of a tile of a texture.
  The object may cross them, and the result is that of the periodic image, computed on the CPU, on up to four times the
  pixels; more if the mask leaves no column of a periodic axis free. The edits of one image have it too.
* ``keep_gps``: whether the result keeps the GPS position of a dst that is read from a file or PIL image.
* ``device``: 'auto', 'cpu' or 'cuda'; None: the setting of `pyharmony.set_device`. `gaussian_poisson` and
  `poisson` have CUDA kernels; arrays on a device are blended there, see docs/cuda.md. The network of `gp_gan`
  runs on its current device.
* ``errors``: 'raise', or 'return' to return the error of a list's item instead of its result.
* ``out``: an array like dst to write into, which may be dst; or a path or open binary file, which
  gets dst's depth, profile and metadata, and is the result. A call that is interrupted or fails while solving
  leaves an array with some pixels of the result; a file at a path is written completely or not at all. The metadata of
  the result, in a file or not, also mark it as a composite (IPTC's compositeCapture), with the SHA-256 of src
  and dst if these are files.

The result has dst's kind, layout and dtype; integers are rounded half to even. A dst in a file
gives a PIL image if it has 8 bits, and a numpy array if it has more. Where the mask is zero, except in those strips,
it equals dst bit for bit. Arguments are never changed. Wrong arguments raise `pyharmony.errors.ShapeError`,
`DTypeError`, `MaskError` or `ArgumentError`, which name the argument, what was given and what is
accepted; wrong files raise `DecodeError` and `ImageTooLarge`. NaN and Inf in pixels that a blend reads are
refused too. `OutOfMemory` states the size of the image.

If nothing is blended, because src is outside dst or the mask is zero everywhere, the result is a copy of
dst, the info contains the reason, and the call gives a `pyharmony.errors.UnchangedWarning`; for floats in a range
of 0 to 255, 0 to 65535 or -1 to 1, and for 8 to 14 bits in uint16, it gives a
`PyHarmonyWarning`. On a device only `gaussian_poisson` detects empty masks.
`placed_mask` returns the mask at dst's size, an argument of `pyharmony.harmonize`.
"""

from __future__ import annotations

from .._public import publish

__all__ = [
    "alpha",
    "detail_boost",
    "gaussian_poisson",
    "gaussian_poisson_tiles",
    "gp_gan",
    "illumination_change",
    "inpaint",
    "laplacian",
    "paste_many",
    "placed_mask",
    "poisson",
    "texture_flattening",
]

HOMES = (
    {name: f"_{name}" for name in __all__}
    | dict.fromkeys(("detail_boost", "illumination_change", "inpaint", "texture_flattening"), "_edits")
    | {"gaussian_poisson_tiles": "_tiles"}
)
publish(globals(), homes=HOMES)
