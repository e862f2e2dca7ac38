"""Gaussian-Poisson blending through a pyramid."""

from __future__ import annotations

import os
from functools import partial
from typing import Any, Literal

from .._images.call import Call, on_two_images
from .._images.frame import Infos
from ..errors import ArgumentError
from ..typing import Contour, GradientKernel, ImageLike, MaskLike, OneOrMany
from ._paste import in_one_call
from ._pyramid import equation_of, options_of, solve


@on_two_images
def gaussian_poisson(
    call: Call,
    *,
    contour: Contour = "half",
    base: OneOrMany[Literal["copy-paste"] | ImageLike | None] = None,
    color_weight: OneOrMany[float | MaskLike] = 1.0,
    sigma: float = 0.5,
    smooth_sigma: float = 1.0,
    gradient_kernel: GradientKernel = "normal",
    preserve_background: bool = True,
    as_published: bool = False,
    tolerance: float | None = None,
) -> Any:
    """Blends the gradients of src with the colours of dst, from the coarsest to the finest level of a pyramid.

    Wu, Zheng, Zhang, Huang: GP-GAN: Towards Realistic High-Resolution Image Blending, 2019. Every
    level solves for the gradients of src and dst and the upsampled colours of the next coarser level
    (`pyharmony.ops.gaussian_poisson`); levels are halved until the short side of the mask's
    surroundings is at most 64 pixels. The coarsest level starts from the colours of the base.

    Args:
        src: the source: NumPy [H, W] or [H, W, C], torch [C, H, W], of 1, 3 or 4 channels, uint8, uint16 or floats
            with 1.0 for white; or a PIL image, a file or a `pyharmony.io.Picture`. Its alpha multiplies the mask.
        dst: the destination, of any of these kinds, as an array of src's dtype. The result has its kind.
        mask: the soft mask of src, of its height and width: bool, uint8 or uint16 (their largest value is inside) or
            floats from 0 to 1; or a grey image. None: the alpha of src, or all of it.
            Strips of at most three pixels between it and dst's border count as inside.
        at: (x, y), the position in dst of src's first pixel, in pixels. None: both images are of equal size.
        scale, dst_valid, decontaminate, keep_alpha, wrap, keep_gps, device, errors, out: see `pyharmony.blend`.
        contour: the share of src's gradient at an edge, the rest being dst's: 'half', the mean of the mask at
            its two pixels; 'full', the larger of the two, so that with a hard mask no gradient of dst inside it is
            used if src continues beyond it.
        base: the colours of the coarsest level. None: the membrane, Perez' Poisson solution of that level,
            which has no seam, or src if the mask covers everything. 'copy-paste': mask * src + (1 - mask) *
            dst, whose seam is visible at high color_weight. Or an image like dst, of any kind.
        color_weight: how strongly colours are pulled to the base, 0 to 1e6; a number, or a map
            [H, W] over dst, which coarser levels average: floats, or a grey image whose white is 1.
        sigma: the width of the Gaussian of the colour term, in pixels, 0 to 0.8 (0 to 1000 with as_published).
        smooth_sigma: the width of the Gaussian that smooths before each halving, in pixels, 0 to 16.
        gradient_kernel: 'normal', 'sobel', 'scharr', 'prewitt' or 'roberts', the kernel of derivatives on
            every level; only 'normal' reproduces src exactly, see `pyharmony.ops.gaussian_poisson`.
        preserve_background: whether to solve only for the pixels with mask > 0, leaving the others bit for bit
            unchanged except strips at the border. False: for the whole image, as in the paper, background included.
        as_published: whether to reproduce GP-GAN's code: taps whose sum is below one, and values clipped to
            the range after each level. It needs preserve_background=False.
        tolerance: the largest error allowed in the finest level's solve, given its base colours, in
            8-bit levels (1/255 of the value range). None: 0.25 for uint8, 0.004 for uint16, 0.025
            for float16 and float32, 1e-6 for float64. Coarser levels are solved to it too, but not
            below 0.004, and not above 0.25.
        return_info: whether to return a SolveInfo too, or one for each item of a batch: the info of the finest
            level, with the milliseconds and peak_bytes of the whole call; method 'copy' if nothing is inside.

    The levels below the finest and the colours that they pass on are float32, for float64 images
    too: those colours are an input of the finest solve. So a float64 result is within tolerance of
    the exact solution for its own base (about 4e-9 of white by default), while that base differs from the
    defined one by up to 0.004 levels (1.6e-5 of white) for each coarser level. With a given base and an
    image of up to 64 pixels, which needs no coarser levels, the result is exact throughout.

    Returns:
        The blend, in dst's kind, layout, shape and dtype, or (blend, info).

    Raises:
        PyHarmonyError: see `pyharmony.blend`.

    Example:
        >>> from pyharmony import blend
        >>> dst, src = np.full((32, 32, 3), 60, np.uint8), np.full((16, 16, 3), 200, np.uint8)
        >>> src[8, 8] = 230
        >>> mask = np.zeros((16, 16), np.uint8)
        >>> mask[2:14, 2:14] = 255
        >>> result, info = blend.gaussian_poisson(src, dst, mask, at=(8, 8), return_info=True)
        >>> result[16, 14:19, 0].tolist()  # the colours of dst, the detail of src
        [60, 60, 92, 60, 60]
        >>> info.max_error < 0.25
        True
    """
    equation = equation_of(sigma, smooth_sigma, gradient_kernel, preserve_background, as_published, contour, call.wrap)
    if isinstance(base, str) and base != "copy-paste" and not os.path.exists(base):
        raise ArgumentError(f"base: {base!r}, expected None, 'copy-paste' or an image; there is no file of this name")

    own = {
        "contour": contour, "base": base, "color_weight": color_weight, "sigma": sigma, "smooth_sigma": smooth_sigma,
        "gradient_kernel": gradient_kernel, "preserve_background": preserve_background,
        "as_published": as_published, "tolerance": tolerance,
    }  # fmt: skip
    pasted = in_one_call(call, own)
    if pasted is not None:
        return pasted

    def work(frame: Any, base: Any, color_weight: Any) -> Infos:
        bases = None if base is None or isinstance(base, str) else frame.images_like_dst(base, "base")
        frame.keep_apart(base, "base")
        options = options_of(call, frame, equation, color_weight, tolerance, base if bases is None else None)
        return frame.each(partial(solve, options=options, bases=bases), boxes=equation.preserve_background)

    return call.run(work, base=base, color_weight=color_weight)
