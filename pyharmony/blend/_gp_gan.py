"""GP-GAN: a network predicts the colours of the coarsest level, and the Gaussian-Poisson pyramid refines them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .. import _arrays, _checks, _shipped
from .._arrays import NumpyArray
from .._images.call import Call, on_two_images
from .._images.frame import Frame, Infos, Job
from .._images.region import Region, as_float, check_finite
from .._images.resample import resample
from ..ops.pyramid import downsample, meet_known
from ..typing import GradientKernel, MaskLike, Network, OneOrMany, PathLike
from ._pyramid import equation_of, options_of, solve
from ._solve import Level

_CONTEXT = 2  # the side of the network's field of view, in sides of the mask's box


@on_two_images
def gp_gan(
    call: Call,
    *,
    network: Network | PathLike | None = None,
    supervised: bool | None = None,
    nz: int | None = None,
    n_iteration: int = 1000,
    seed: int = 0,
    color_weight: OneOrMany[float | MaskLike] = 1.0,
    sigma: float = 0.5,
    smooth_sigma: float = 1.0,
    gradient_kernel: GradientKernel = "normal",
    preserve_background: bool = True,
    as_published: bool = False,
    tolerance: float | None = None,
) -> Any:
    """Blends like `gaussian_poisson`, with a network's colours as the base.

    Wu, Zheng, Zhang, Huang: GP-GAN: Towards Realistic High-Resolution Image Blending, 2019. src is pasted into its
    surroundings: a square twice as wide as the mask's box, cut to dst, or all of dst with preserve_background=False.
    The input of the network is this composite at 64 x 64 pixels, or at the size of its training, and its output
    has that size. Its colours, enlarged by cubic convolution and adjusted to match dst along the contour,
    are the base of `gaussian_poisson`'s coarsest level. It needs torch; `gaussian_poisson` is the same blend without a
    network.

    Args:
        src: the source: NumPy [H, W] or [H, W, C], torch [C, H, W], of 1, 3 or 4 channels, uint8, uint16 or floats
            with 1.0 for white; or a PIL image, a file or a `pyharmony.io.Picture`. Its alpha multiplies the mask.
            The network gets RGB, of a grey image three equal channels, and floats clipped to 0 to 1.
        dst: the destination, of any of these kinds, as an array of src's dtype. The result has its kind.
        mask: the soft mask of src, of its height and width: bool, uint8 or uint16 (their largest value is inside) or
            floats from 0 to 1; or a grey image. None: the alpha of src, or all of it.
        at: (x, y), the position in dst of src's first pixel, in pixels. None: both images are of equal size.
        scale, dst_valid, decontaminate, keep_alpha, wrap, keep_gps, errors, out: see `pyharmony.blend`.
        network: a `gp_gan` of `pyharmony.networks.models`, its generator, or a path of weights. It runs there.
            None: the bundled weights 'gp-gan-small'.
        supervised: True: the blending generator; False: the generator from noise, whose image closest to the
            composite is found by L-BFGS. None: the kind of generator of the weights.
        nz: the length of the noise; None: that of the weights.
        n_iteration: the largest number of iterations of the search, at least 1.
        seed: the seed of the initial noise of the search, at least 0. Equal seeds give equal results.
        color_weight: how strongly colours are pulled to the network's, 0 to 1e6; a number, or a map [H, W] over dst.
        sigma, smooth_sigma, gradient_kernel, preserve_background, as_published, tolerance: see `gaussian_poisson`.
        device: see `pyharmony.blend`; the pyramid runs on the CPU.
        return_info: whether to return a SolveInfo too, see `gaussian_poisson`.

    Returns:
        The blend, in dst's kind, layout, shape and dtype, or (blend, info).

    Raises:
        WeightsError: there are no such weights, they are of another model, or supervised or nz differ from them.
        ImportError: torch is not installed.
        PyHarmonyError: see `pyharmony.blend`.

    Example:
        >>> from pyharmony import blend
        >>> dst, src = np.full((64, 64, 3), 60, np.uint8), np.full((64, 64, 3), 200, np.uint8)
        >>> mask = np.zeros((64, 64), np.uint8)
        >>> mask[16:48, 16:48] = 255
        >>> result = blend.gp_gan(src, dst, mask)
        >>> result.shape, result[0, 0].tolist()
        ((64, 64, 3), [60, 60, 60])
    """
    equation = equation_of(sigma, smooth_sigma, gradient_kernel, preserve_background, as_published, wrap=call.wrap)
    if supervised is not None:
        supervised = _checks.flag(supervised, "supervised", "None, True or False")
    if nz is not None:
        nz = _checks.whole(nz, "nz", low=1)
    iterations = _checks.whole(n_iteration, "n_iteration", low=1)
    start = _checks.whole(seed, "seed")
    # This import is not at the top of the file, because the other blends do not load torch.
    try:
        from ..networks.models import gp_gan as model
    except ImportError as error:
        raise ImportError(f"blend.gp_gan runs a network; blend.gaussian_poisson blends without one. {error}") from error

    net = model.generator_of(_shipped.GENERATOR if network is None else network, supervised=supervised, nz=nz)

    def image_of(composite: NumpyArray) -> NumpyArray:
        if isinstance(net, model.BlendingGenerator):
            return model.guess(net, composite)
        return model.search(net, composite, n_iteration=iterations, seed=start).image

    def work(frame: Frame, color_weight: Any) -> Infos:
        options = options_of(call, frame, equation, color_weight, tolerance)

        def base(job: Job, region: Region, levels: list[Level]) -> NumpyArray:
            view = _view(job.bbox, region, job.shape, net.size, whole=not equation.preserve_background)
            unit, level = np.float32(_arrays.VALUE_RANGE[frame.dtype]), levels[-1]
            colours = _predict(image_of, _paste(job, view, region, levels, net.size, equation.smooth_sigma) / unit)
            colours = _resample_over(colours, view, region, level, 1 << (len(levels) - 1)) * unit
            if equation.preserve_background and (level.known_share == 1).any():
                meet_known(colours, level.dst, level.known_share)
            return colours

        return frame.each(partial(solve, options=options, guess=base))

    return call.run(work, color_weight=color_weight)


def _view(box: Region, solved: Region, shape: tuple[int, int], size: int, *, whole: bool) -> Region:
    """Returns the network's field of view: a square around the box, shifted and cropped to dst, and all of solved."""
    if whole:
        return Region(0, shape[0], 0, shape[1])
    side = max(_CONTEXT * max(box.shape), size)

    def span(low: int, high: int, end: int) -> tuple[int, int]:
        first = min(max((low + high - side) // 2, 0), max(end - side, 0))
        return first, min(first + side, end)

    y0, y1 = span(box.y0, box.y1, shape[0])
    x0, x1 = span(box.x0, box.x1, shape[1])
    return Region(min(y0, solved.y0), max(y1, solved.y1), min(x0, solved.x0), max(x1, solved.x1))


def _paste(job: Job, view: Region, region: Region, levels: list[Level], size: int, smooth_sigma: float) -> NumpyArray:
    """Returns src pasted into dst over view, [size, size, C] float32 in dst's unit; levels are those of region.

    dst is halved while size pixels are left, then src, whose halved images are in levels, is pasted, and the
    composite is resampled.
    """
    halvings = min(len(levels) - 1, max(min(view.shape) // size, 1).bit_length() - 1)
    cell = 1 << halvings
    aligned = Region(
        view.y0 & -cell, min((view.y1 + cell - 1) & -cell, job.shape[0]),
        view.x0 & -cell, min((view.x1 + cell - 1) & -cell, job.shape[1]),
    )  # fmt: skip
    pasted, unknown = job.ground.of(aligned)
    check_finite(aligned.of(job.dst), "dst", (aligned.y0, aligned.x0), skip=unknown)
    for _ in range(halvings):
        pasted = downsample(pasted, smooth_sigma)
    if halvings == 0:
        pasted = pasted.astype(np.float32)
    level = levels[halvings]
    y, x = (region.y0 - aligned.y0) >> halvings, (region.x0 - aligned.x0) >> halvings
    part = pasted[y : y + level.mask.shape[0], x : x + level.mask.shape[1]]
    difference = level.src.astype(np.float32)
    difference -= part
    difference *= as_float(level.mask)[..., None]
    part += difference
    for axis, low, length in ((0, view.y0 - aligned.y0, view.shape[0]), (1, view.x0 - aligned.x0, view.shape[1])):
        pasted = resample(pasted, axis, low / cell, length / cell / size, size)
    return pasted


def _predict(image_of: Callable[[NumpyArray], NumpyArray], pasted: NumpyArray) -> NumpyArray:
    """Returns the network's image in [0, 1], as its input is; for a grey input, the mean of its channels."""
    pasted = np.clip(pasted, 0, 1)
    if pasted.shape[2] == 1:
        return image_of(np.repeat(pasted, 3, 2)).mean(2, keepdims=True)
    return image_of(pasted)


def _resample_over(image: NumpyArray, view: Region, region: Region, level: Level, cell: int) -> NumpyArray:
    """Resamples an image in [0, 1] that covers view to the cells of a level that covers region."""
    size = image.shape[0]
    for axis, low, length in ((0, region.y0 - view.y0, view.shape[0]), (1, region.x0 - view.x0, view.shape[1])):
        image = resample(image, axis, low * size / length, cell * size / length, level.dst.shape[axis])
    return np.clip(image, 0, 1)
