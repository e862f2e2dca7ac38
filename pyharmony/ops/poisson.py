"""Poisson image editing on arrays; see docs/poisson.md for the scheme."""

from __future__ import annotations

import itertools
import math
import threading
import time
import warnings
import weakref
from typing import Any, Literal, overload

import numpy as np

from .. import _arrays, _checks, _cuda
from .._arrays import NumpyArray
from .._checks import SolveInfo
from .._native import native
from ..errors import ArgumentError, MaskError
from ..typing import Array, ArrayT, Contour, Device, Gradients
from . import _poisson_cuda

_MAX_ITERATIONS = 30

#: By a key of its own, as graphs of torch hold no Python objects.
SOLVERS: weakref.WeakValueDictionary[int, PoissonSolver] = weakref.WeakValueDictionary()
_keys = itertools.count(1)


def _hierarchy(mask: NumpyArray, weight: float | NumpyArray) -> Any:
    weight_map = None if isinstance(weight, float) else _arrays.view(weight, "color_weight")
    try:
        return native.PoissonHierarchy(
            _arrays.view(mask, "mask"),
            mask.shape,
            weight=weight if isinstance(weight, float) else 0.0,
            weight_map=weight_map,
        )
    except ValueError as error:
        if not (mask > 0).all():
            raise
        raise MaskError(_poisson_cuda.NOTHING_KNOWN) from error


def _check_pair(src: Array, dst: Array) -> tuple[NumpyArray, NumpyArray]:
    source, target = (_checks.image(x, name, dims=(2, 3, 4)) for x, name in ((src, "src"), (dst, "dst")))
    _checks.same_dtype(source, "src", target, "dst")
    _checks.same_shape(source, "src", target, "dst")
    return source, target


def _check_base(base: Array | None, target: NumpyArray) -> NumpyArray | None:
    if base is None:
        return None
    ground = _checks.image(base, "base", dims=(2, 3, 4))
    if ground.dtype not in (np.float32, np.float64):
        _checks.same_dtype(ground, "base", target, "dst")
    _checks.same_shape(ground, "base", target, "dst")
    return ground


def _solve_one(
    hierarchy: Any,
    mask: NumpyArray,
    src: NumpyArray,
    dst: NumpyArray,
    base: NumpyArray | None,
    out: NumpyArray,
    gradients: str,
    levels: float,
    certify: bool,
    edges: NumpyArray | None = None,
    warm: Any = None,
    contour: str = "half",
) -> SolveInfo:
    """Solves one image into out, which holds dst.

    edges: the mask that gradients are mixed by, where it is another. warm: a native PoissonWarmStart.
    """
    for image, name in ((src, "src"), (dst, "dst"), (base, "base")):
        if image is not None:
            _checks.finite(image, name, mask)
    unit = _arrays.VALUE_RANGE[dst.dtype.name] / 255
    start = time.perf_counter()
    stats = hierarchy.solve(
        _arrays.view(src, "src"),
        _arrays.view(dst, "dst"),
        _arrays.view(mask if edges is None else edges, "mask"),
        None if base is None else _arrays.view(base, "base"),
        _arrays.view(out, "out", writable=True),
        gradients=gradients,
        contour=contour,
        tolerance=levels * unit,
        max_iterations=_MAX_ITERATIONS,
        certify=certify,
        warm=warm,
    )
    elapsed = time.perf_counter() - start
    if not stats["converged"]:
        warnings.warn(
            f"poisson: an error of about {stats['estimate'] / unit:.3g} levels is left after {stats['iterations']} "
            f"iterations, tolerance {levels:.3g}",
            RuntimeWarning,
            stacklevel=4,
        )
    bound = stats["max_error"] / unit
    if bound == math.inf:
        warnings.warn(_poisson_cuda.NOTHING_PROVEN, RuntimeWarning, stacklevel=4)
        bound = math.nan
    return SolveInfo(
        method="multigrid" if hierarchy.unknowns else "copy",
        iterations=stats["iterations"],
        residual=stats["residual"] / unit,
        max_error=bound,
        device="cpu",
        milliseconds=elapsed * 1e3,
        peak_bytes=stats["peak_bytes"],
    )


def _solve(
    systems: list[tuple[Any, NumpyArray]],
    source: NumpyArray,
    target: NumpyArray,
    base: NumpyArray | None,
    dst: Array,
    gradients: str,
    contour: str,
    tolerance: float | None,
    return_info: bool,
    warm: Any = None,
) -> Any:
    """One image [H, W, C], or a batch with one system for all or one for each; warm: carried from item to item."""
    _checks.one_of(gradients, "gradients", _checks.GRADIENTS)
    _checks.one_of(contour, "contour", _checks.CONTOURS)
    levels = _checks.tolerance(tolerance, target.dtype.name)
    result = np.array(target, order="C", copy=True)
    if target.ndim == 3:
        infos = [
            _solve_one(
                *systems[0], source, target, base, result, gradients, levels, return_info, warm=warm, contour=contour
            )
        ]
    else:
        infos = [
            _solve_one(
                *systems[i if len(systems) > 1 else 0],
                source[i],
                target[i],
                None if base is None else base[i],
                result[i],
                gradients,
                levels,
                return_info,
                warm=warm,
                contour=contour,
            )
            for i in range(target.shape[0])
        ]
    image = _arrays.like_kind(result.reshape(_arrays.to_numpy(dst, "dst").shape), dst)
    if return_info:
        return image, infos[0] if target.ndim == 3 else infos
    return image


class PoissonSolver:
    """The set-up of `poisson` for one mask, to be used for many images.

    It depends on the mask and color_weight alone and is shared by channels, frames and modes of
    gradients. `solve` may be called from several threads at once.

    Args:
        mask: [H, W], numpy, torch, or an array on a CUDA device; bool, uint8 or uint16 scaled by their
            range, or floats in [0, 1]. Copied.
        color_weight: a number of at least 0, or a map [H, W] of them.
        device: 'cuda' solves images of the processor on the device; None: `pyharmony.set_device` may have
            said so. Images have to be where mask is.

    Attributes:
        shape: (H, W) of the mask.
        unknowns: the number of pixels with mask > 0.
        bytes: memory that the set-up holds.

    Raises:
        ShapeError, DTypeError, MaskError, ArgumentError: naming the argument, what was given and
            what is accepted. MaskError for a mask above 0 everywhere with color_weight 0.

    Example:
        >>> from pyharmony import ops
        >>> mask = np.zeros((16, 16), np.uint8)
        >>> mask[4:12, 4:12] = 255
        >>> solver = ops.PoissonSolver(mask)
        >>> solver.shape, solver.unknowns
        ((16, 16), 64)
        >>> dst, src = np.full((16, 16, 3), 60, np.uint8), np.full((16, 16, 3), 200, np.uint8)
        >>> solver.solve(src, dst)[8, 8].tolist()
        [60, 60, 60]
    """

    def __init__(self, mask: Array, color_weight: float | Array = 0.0, *, device: Device | None = None) -> None:
        self._there: _poisson_cuda.DeviceSolver | None = None
        self._key = next(_keys)
        place = _cuda.place_of({"mask": mask, "color_weight": _checks.map_or_none(color_weight)}, device)
        # Images that kernels on a device do not take need the processor: what a default chooses is not binding.
        if place is not None and place.required:
            self._there = _poisson_cuda.DeviceSolver(place, mask, color_weight)
            return
        plane = _arrays.to_numpy(mask, "mask")
        height, width = _checks.mask_size(plane, "mask")
        self._mask = np.array(_checks.mask(plane, "mask", height, width), order="C", copy=True)
        self._weight = _checks.color_weight(color_weight, height, width)
        self._hierarchy = _hierarchy(self._mask, self._weight)
        SOLVERS[self._key] = self

    @property
    def shape(self) -> tuple[int, int]:
        return self._mask.shape if self._there is None else self._there.shape

    @property
    def unknowns(self) -> int:
        return self._hierarchy.unknowns if self._there is None else self._there.unknowns()

    @property
    def bytes(self) -> int:
        return self._hierarchy.bytes if self._there is None else self._there.bytes

    def __repr__(self) -> str:
        height, width = self.shape
        return f"PoissonSolver({height} x {width}, {self.unknowns} unknowns)"

    @overload
    def solve(
        self,
        src: Array,
        dst: ArrayT,
        *,
        gradients: Gradients = "source",
        base: Array | None = None,
        tolerance: float | None = None,
        return_info: Literal[False] = False,
    ) -> ArrayT: ...
    @overload
    def solve(
        self,
        src: Array,
        dst: ArrayT,
        *,
        gradients: Gradients = "source",
        base: Array | None = None,
        tolerance: float | None = None,
        return_info: Literal[True],
    ) -> tuple[ArrayT, SolveInfo | Any]: ...
    @overload
    def solve(
        self,
        src: Array,
        dst: ArrayT,
        *,
        gradients: Gradients = "source",
        base: Array | None = None,
        tolerance: float | None = None,
        return_info: bool = False,
    ) -> Any: ...
    def solve(
        self,
        src: Array,
        dst: Array,
        *,
        gradients: Gradients = "source",
        contour: Contour = "half",
        base: Array | None = None,
        tolerance: float | None = None,
        return_info: bool = False,
    ) -> Any:
        """Like `poisson` with this mask and color_weight, gradients included."""
        return self._solve(src, dst, gradients, contour, base, tolerance, return_info, None)

    def _solve(
        self,
        src: Array,
        dst: Array,
        gradients: str,
        contour: str,
        base: Array | None,
        tolerance: float | None,
        return_info: bool,
        sequence: PoissonSequence | None,
    ) -> Any:
        if _arrays.in_graph(src, dst, base):
            if self._there is not None:
                raise ArgumentError(
                    "src, dst, base: tensors in a graph, which a solver on a device does not take; use ops.poisson, "
                    "which has gradients there too, or pass them detached"
                )
            if sequence is not None:
                raise ArgumentError(
                    "src, dst, base: tensors in a graph, which a sequence of frames does not take; use "
                    "PoissonSolver.solve, or pass them detached"
                )
            from ._torch import differentiable_poisson

            return differentiable_poisson(
                src, dst, self._mask, base, self._weight, gradients, contour, tolerance, return_info, self._key
            )
        if self._there is not None:
            options: dict[str, Any] = {
                "gradients": gradients,
                "contour": contour,
                "tolerance": tolerance,
                "return_info": return_info,
            }
            if sequence is None:
                return self._there.solve(src, dst, base, warm=None, **options)
            with sequence._lock:
                return self._there.solve(src, dst, base, warm=sequence._warm, **options)
        source, target = _check_pair(src, dst)
        _checks.mask(self._mask, "mask", *target.shape[-3:-1])
        ground = _check_base(base, target)
        systems = [(self._hierarchy, self._mask)]
        if sequence is None:
            return _solve(systems, source, target, ground, dst, gradients, contour, tolerance, return_info)
        with sequence._lock:
            return _solve(
                systems, source, target, ground, dst, gradients, contour, tolerance, return_info, sequence._warm
            )

    def sequence(self) -> PoissonSequence:
        """For the frames of a film in their order: each solve starts from the frame before."""
        return PoissonSequence(self)


class PoissonSequence:
    """The frames of a film, one after the other, under one mask.

    A solve starts from the last frame's correction, result less src, which changes little from frame
    to frame where the light and the contour do, whatever src shows. It keeps its tolerance as any
    solve does and takes fewer iterations: one where the film stands still. After a cut it takes as many as
    without a start. The result depends on the frames before, within the tolerance; `reset` forgets them.

    The solver stays as it is and may serve several sequences at once. Calls on one sequence from several
    threads wait for each other; its frames are then in the order of the calls.

    Attributes:
        bytes: memory that the last frame's correction holds, 4 for each pixel of the mask's box and channel.

    Example:
        >>> from pyharmony import ops
        >>> mask = np.zeros((16, 16), np.uint8)
        >>> mask[4:12, 4:12] = 255
        >>> film = ops.PoissonSolver(mask).sequence()
        >>> dst, src = np.full((16, 16, 3), 60, np.uint8), np.full((16, 16, 3), 200, np.uint8)
        >>> [film.solve(src, dst + light)[8, 8, 0].item() for light in range(3)]
        [60, 61, 62]
    """

    def __init__(self, solver: PoissonSolver) -> None:
        self._solver = solver
        self._warm = native.PoissonWarmStart() if solver._there is None else _poisson_cuda.DeviceWarmStart()
        self._lock = threading.Lock()

    @property
    def bytes(self) -> int:
        return self._warm.bytes

    def reset(self) -> None:
        """Forgets the frames before, as for a cut that is known."""
        with self._lock:
            self._warm.reset()

    @overload
    def solve(
        self,
        src: Array,
        dst: ArrayT,
        *,
        gradients: Gradients = "source",
        base: Array | None = None,
        tolerance: float | None = None,
        return_info: Literal[False] = False,
    ) -> ArrayT: ...
    @overload
    def solve(
        self,
        src: Array,
        dst: ArrayT,
        *,
        gradients: Gradients = "source",
        base: Array | None = None,
        tolerance: float | None = None,
        return_info: Literal[True],
    ) -> tuple[ArrayT, SolveInfo | Any]: ...
    @overload
    def solve(
        self,
        src: Array,
        dst: ArrayT,
        *,
        gradients: Gradients = "source",
        base: Array | None = None,
        tolerance: float | None = None,
        return_info: bool = False,
    ) -> Any: ...
    def solve(
        self,
        src: Array,
        dst: Array,
        *,
        gradients: Gradients = "source",
        contour: Contour = "half",
        base: Array | None = None,
        tolerance: float | None = None,
        return_info: bool = False,
    ) -> Any:
        """Like `PoissonSolver.solve`; a batch is as many frames. Tensors that require grad are refused."""
        return self._solver._solve(src, dst, gradients, contour, base, tolerance, return_info, self)


def poisson(
    src: Array,
    dst: ArrayT,
    mask: Array,
    *,
    gradients: Gradients = "source",
    contour: Contour = "half",
    color_weight: float | Array = 0.0,
    base: Array | None = None,
    tolerance: float | None = None,
    device: Device | None = None,
    return_info: bool = False,
) -> Any:
    """Pastes src into dst with its gradients and dst's colours at the contour of the mask.

    Solves ``(L + color_weight) x = b + color_weight base`` for the pixels with mask > 0, the others
    being dst: L is the 5-point Laplacian, b the divergence of the wanted gradients (Perez, Gangnet,
    Blake: Poisson Image Editing, 2003, eq. 7; the exact definition is
    `pyharmony.reference.poisson`). The mask may have any shape and touch the image's border.

    Float tensors that require grad are differentiated: gradients go to src, dst and base, exact to
    tolerance / 255 of the largest incoming one, with 'mixed' for the choice that was made;
    torch.compile takes the op whole. Mask and color_weight have none.

    Args:
        src, dst: [H, W], [H, W, C] or [N, H, W, C] of equal shape and dtype, uint8, uint16,
            float16, float32 or float64, any strides; numpy, torch, or an array on a CUDA device (docs/cuda.md;
            no float64 there). Never changed.
        mask: [H, W], or [N, H, W] with a batch; bool, uint8 or uint16 scaled by their range, or
            floats in [0, 1].
        gradients: 'source'; 'mixed', at each edge the stronger of src and dst by their norm over
            the channels; 'average' of the two; or 'monochrome', the luma of src for every channel.
        contour: how much of them an edge takes, the rest being dst's: 'half', the mean of the mask of its two
            pixels, so half of each across a hard contour; 'full', the larger, so all of it, as in eq. 7 of the
            paper and in fpie.
        color_weight: a number of at least 0, or a map [H, W]: how much the colours of base hold.
        base: like dst; float32 and float64, in dst's unit (0..255 for uint8), are taken too. None:
            src. Without effect where color_weight is 0.
        tolerance: the largest error allowed, in 8-bit levels (1/255 of the value range), before
            rounding to the dtype. None: 0.25 for uint8, 0.004 for uint16, 0.025 for float16 and
            float32, 1e-6 for float64. The solve stops on an estimate of the error.
        device: 'auto', 'cpu' or 'cuda', for NumPy arrays and tensors on the processor; None: what
            `pyharmony.set_device` says. Arrays on a device are solved there, see docs/cuda.md.
        return_info: also return a SolveInfo, with a certified bound of the error; this costs one
            and a half to two solves more.

    Returns:
        dst with the pixels of mask > 0 replaced, the others bit-identical, in dst's kind, shape and
        dtype, rounded half to even; floats are not clipped. With return_info a pair
        (image, SolveInfo), or (images, list of them) for a batch.

    Raises:
        ShapeError, DTypeError, MaskError, ArgumentError: naming the argument, what was given and
            what is accepted. MaskError for a mask above 0 everywhere with color_weight 0,
            ArgumentError for NaN or infinities on the mask or within one pixel of it.

    Warns:
        RuntimeWarning: the tolerance was not reached, or the error could not be bounded: max_error is NaN then.

    Example:
        >>> from pyharmony import ops
        >>> dst, src = np.full((16, 16, 3), 60, np.uint8), np.full((16, 16, 3), 200, np.uint8)
        >>> mask = np.zeros((16, 16), np.uint8)
        >>> mask[4:12, 4:12] = 255
        >>> ops.poisson(src, dst, mask)[8, 8].tolist()
        [60, 60, 60]
    """
    if _arrays.in_graph(src, dst, mask, base, color_weight):
        from ._torch import differentiable_poisson

        return differentiable_poisson(src, dst, mask, base, color_weight, gradients, contour, tolerance, return_info)
    arrays = {"dst": dst, "src": src, "mask": mask, "base": base, "color_weight": _checks.map_or_none(color_weight)}
    place = _cuda.place_of(arrays, device)
    if place is not None:
        made = _cuda.attempt(
            place,
            "poisson",
            lambda: _poisson_cuda.run(
                place,
                src,
                dst,
                mask,
                base,
                gradients=gradients,
                contour=contour,
                color_weight=color_weight,
                tolerance=tolerance,
                return_info=return_info,
            ),
        )
        if made is not NotImplemented:
            return made
    source, target = _check_pair(src, dst)
    ground = _check_base(base, target)
    height, width = target.shape[-3:-1]
    weight = _checks.color_weight(color_weight, height, width)
    masks = _arrays.to_numpy(mask, "mask")
    if (
        target.ndim == 4
        and masks.ndim == 3
        and masks.shape[0] == target.shape[0]
        and masks.shape[1:] == (height, width)
    ):
        planes = [_checks.mask(m, "mask", height, width) for m in masks]
    else:
        planes = [_checks.mask(masks, "mask", height, width)]
    systems = [(_hierarchy(m, weight), m) for m in planes]
    return _solve(systems, source, target, ground, dst, gradients, contour, tolerance, return_info)
