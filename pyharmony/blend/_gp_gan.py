"""GP-GAN: a network guesses the colours of the coarsest level, the Gaussian-Poisson pyramid does the rest."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _arrays, _checks
from .._arrays import NumpyArray
from ..errors import ArgumentError, DTypeError
from ..ops.pyramid import downsample, meet_known
from ._frame import Frame, Job
from ._gaussian_poisson import Level, Options, equation_of, solve
from ._images import Infos, run
from ._region import Region, as_float

_CONTEXT = 2  # sides of the square that the network sees, in sides of the mask's box


def gp_gan(
    src: Any,
    dst: Any,
    mask: Any = None,
    *,
    at: Any = None,
    generator: Any = None,
    supervised: bool | None = None,
    nz: int | None = None,
    n_iteration: int = 1000,
    seed: int = 0,
    color_weight: Any = 1.0,
    sigma: float = 0.5,
    smooth_sigma: float = 1.0,
    gradient_kernel: str = "normal",
    preserve_background: bool = True,
    reference: bool = False,
    tolerance: float | None = None,
    decontaminate: bool = True,
    keep_gps: bool = False,
    device: str | None = None,
    errors: str = "raise",
    out: Any = None,
    return_info: bool = False,
) -> Any:
    """Gaussian-Poisson blending whose first colours are a network's.

    Wu, Zheng, Zhang, Huang: GP-GAN: Towards Realistic High-Resolution Image Blending, 2019. src is pasted into its
    surroundings, a square twice as wide as the mask's box as far as dst has it (all of dst with
    preserve_background=False); the network sees this at 64 x 64 pixels, or at the size that it was trained for, and
    gives a picture of that size. Its colours, enlarged by cubic convolution and met with dst along the contour, are
    the base of `gaussian_poisson`'s coarsest level. Needs torch.

    Args:
        src, dst, mask, at, decontaminate, keep_gps, errors, out: see `pyharmony.blend`. The network takes colours as
            RGB, a grey image as three equal channels, and floats beyond 0 to 1 as 0 or 1.
        generator: a `gp_gan` of `pyharmony.models`, its generator, or the path of its weights; it runs on its device.
            None, or 'gp_gan': the weights that come with pyharmony.
        supervised: True: the blending generator; False: the one from noise, whose picture nearest to the pasted one
            is searched for by L-BFGS. None: what the weights are.
        nz: length of the noise; None: that of the weights.
        n_iteration: of the search, at most; at least 1.
        seed: of the noise where the search starts, at least 0. With one seed the result is the same.
        color_weight: how far the network's colours are kept, at least 0; a number, or a map [H, W] over dst.
        sigma, smooth_sigma, gradient_kernel, preserve_background, reference, tolerance: see `gaussian_poisson`.
        device: as of every blend; the pyramid runs on the processor.
        return_info: also return a SolveInfo, as `gaussian_poisson`.

    Returns:
        The blend, in dst's kind, layout, shape and dtype, or (blend, info).

    Raises:
        WeightsError: there are no such weights, they are of another model, or supervised or nz differ from them.
        ImportError: torch is not installed.
        PyHarmonyError: see `pyharmony.blend`.
    """
    equation = equation_of(sigma, smooth_sigma, gradient_kernel, preserve_background, reference)
    if supervised is not None and not isinstance(supervised, bool):
        raise DTypeError(f"supervised: {supervised!r}, expected None, True or False")
    if nz is not None:
        nz = _whole(nz, "nz", 1)
    iterations, start = _whole(n_iteration, "n_iteration", 1), _whole(seed, "seed", 0)
    # Not above: the other blends load no torch.
    from ..models import gp_gan as model

    net = model.generator_of(generator, supervised=supervised, nz=nz)

    def picture_of(composite: NumpyArray) -> NumpyArray:
        if isinstance(net, model.BlendingGenerator):
            return model.guess(net, composite)
        return model.search(net, composite, n_iteration=iterations, seed=start).picture

    def work(frame: Frame, color_weight: Any) -> Infos:
        frame.keep_apart(color_weight, "color_weight")
        options = Options(
            base=None,
            weight=_checks.color_weight(color_weight, *frame.shape),
            equation=equation,
            tolerance=_checks.tolerance(tolerance, frame.dtype),
            certify=bool(return_info),
        )

        def base(job: Job, region: Region, level: Level, count: int) -> NumpyArray:
            view = _view(job.bbox, region, job.shape, net.size, whole=not equation.preserve_background)
            colours = _guess(job, view, net.size, equation.smooth_sigma, picture_of)
            found = _over(colours, view, region, level, count, _arrays.VALUE_RANGE[frame.dtype])
            if equation.preserve_background and (level.known == 1).any():
                meet_known(found, level.dst, level.known)
            return found

        return frame.each(lambda job: solve(job, options, base, None))

    return run(
        work,
        src,
        dst,
        mask,
        at=at,
        decontaminate=decontaminate,
        keep_gps=keep_gps,
        device=device,
        errors=errors,
        out=out,
        return_info=return_info,
        color_weight=color_weight,
    )


def _whole(x: Any, name: str, low: int) -> int:
    if isinstance(x, bool) or not isinstance(x, numbers.Integral):
        raise DTypeError(f"{name}: {x!r}, expected a whole number of at least {low}")
    value = int(x)
    if not low <= value < 1 << 63:
        raise ArgumentError(f"{name}: {value}, expected a whole number of at least {low}")
    return value


def _view(box: Region, solved: Region, shape: tuple[int, int], size: int, *, whole: bool) -> Region:
    """What the network sees: a square around the box, moved and cut to lie inside dst, with all that is solved."""
    if whole:
        return Region(0, shape[0], 0, shape[1])
    side = max(_CONTEXT * max(box.shape), size)

    def span(low: int, high: int, end: int) -> tuple[int, int]:
        first = min(max((low + high - side) // 2, 0), max(end - side, 0))
        return first, min(first + side, end)

    y0, y1 = span(box.y0, box.y1, shape[0])
    x0, x1 = span(box.x0, box.x1, shape[1])
    return Region(min(y0, solved.y0), max(y1, solved.y1), min(x0, solved.x0), max(x1, solved.x1))


def _guess(
    job: Job, view: Region, size: int, smooth_sigma: float, picture_of: Callable[[NumpyArray], NumpyArray]
) -> NumpyArray:
    """The network's picture [size, size, C] in [0, 1] of what lies under view."""
    memory = job.memory
    job.check_finite(view)
    unit = np.float32(_arrays.VALUE_RANGE[job.dst.dtype.name])
    pasted = memory.hold(np.divide(view.of(job.dst), unit, dtype=np.float32, casting="unsafe"))
    box = job.bbox
    if not box.empty:
        placed = job.placed.y0, job.placed.x0
        share = memory.hold(as_float(box.of(job.mask, placed)))[..., None]
        part = box.of(pasted, (view.y0, view.x0))
        new = memory.hold(np.divide(box.of(job.src, placed), unit, dtype=np.float32, casting="unsafe"))
        new -= part
        new *= share
        np.add(part, new, out=part, where=share > 0)
        del new, share, part
    halvings = 0
    while min(pasted.shape[:2]) >= 2 * size:
        pasted = memory.hold(downsample(pasted, smooth_sigma))
        halvings += 1
    rows, columns = (cubic(pasted.shape[i], 0.0, view.shape[i] / 2**halvings / size, size) for i in (0, 1))
    small = np.clip(_separable(rows, columns, pasted), 0, 1)
    if small.shape[2] == 1:
        return picture_of(np.repeat(small, 3, 2)).mean(2, keepdims=True)
    return picture_of(small)


def _over(picture: NumpyArray, view: Region, region: Region, level: Level, count: int, unit: float) -> NumpyArray:
    """A picture that lies over view, at the cells of a level that covers region, in dst's unit."""
    size, cell = picture.shape[0], 1 << count
    rows = cubic(size, (region.y0 - view.y0) * size / view.shape[0], cell * size / view.shape[0], level.dst.shape[0])
    columns = cubic(size, (region.x0 - view.x0) * size / view.shape[1], cell * size / view.shape[1], level.dst.shape[1])
    colours = np.clip(_separable(rows, columns, picture), 0, 1)
    colours *= np.float32(unit)
    return colours


def _separable(rows: NumpyArray, columns: NumpyArray, x: NumpyArray) -> NumpyArray:
    """rows @ x @ columns.T of each channel, float32 and contiguous."""
    down = np.einsum("ij,jkc->ikc", rows, x, optimize=True)
    return np.ascontiguousarray(np.einsum("kj,ijc->ikc", columns, down, optimize=True), np.float32)


def cubic(count: int, start: float, step: float, cells: int) -> NumpyArray:
    """The matrix [cells, count] that resamples count pixels by Keys' cubic convolution.

    Cell i covers start + i * step to start + (i + 1) * step; where that is more than a pixel, the kernel is as much
    wider. Beyond the border its taps are left out.
    """
    wide = max(step, 1.0)
    centres = np.clip(start + (np.arange(cells) + 0.5) * step - 0.5, 0, count - 1)
    t = np.abs(np.arange(count) - centres[:, None]) / wide
    near = (1.5 * t - 2.5) * t * t + 1
    far = ((2.5 - 0.5 * t) * t - 4) * t + 2
    weights = np.where(t <= 1, near, np.where(t < 2, far, 0.0))
    total: NumpyArray = weights.sum(1, keepdims=True)
    return weights / total
