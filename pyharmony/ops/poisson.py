"""Poisson image editing on arrays; see docs/poisson.md for the scheme."""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypedDict, overload

from .. import _arrays, _checks, _cuda
from .._checks import SolveInfo
from ..errors import ArgumentError
from ..typing import Array, ArrayT, Contour, Device, Gradients
from . import _poisson_cpu, _poisson_cuda
from ._poisson import SOLVERS, PoissonCall, call_of
from ._poisson import warn_of_errors as warn_of_errors
from ._poisson_cpu import MAX_ITERATIONS as MAX_ITERATIONS
from ._poisson_cpu import hierarchy_of as hierarchy_of
from ._poisson_cpu import solve_image as solve_image
from ._poisson_cuda import DeviceHierarchy as DeviceHierarchy
from ._poisson_cuda import solve_images as solve_images

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "MAX_ITERATIONS",
    "DeviceHierarchy",
    "PoissonSequence",
    "PoissonSolver",
    "hierarchy_of",
    "poisson",
    "solve_image",
    "solve_images",
    "warn_of_errors",
]

_keys = itertools.count(1)


class _Options(TypedDict, total=False):
    """The arguments of a solve that do not affect the type of its result."""

    gradients: Gradients
    contour: Contour
    base: Array | None
    tolerance: float | None


class _Solves:
    """The solves with one mask's setup, common to `PoissonSolver` and `PoissonSequence`."""

    def _solve(self, call: PoissonCall) -> Any:
        raise NotImplementedError

    @overload
    def solve(
        self, src: Array, dst: ArrayT, *, return_info: Literal[False] = ..., **options: Unpack[_Options]
    ) -> ArrayT: ...
    @overload
    def solve(
        self, src: Array, dst: ArrayT, *, return_info: Literal[True], **options: Unpack[_Options]
    ) -> tuple[ArrayT, SolveInfo | Any]: ...
    @overload
    def solve(self, src: Array, dst: ArrayT, *, return_info: bool = ..., **options: Unpack[_Options]) -> Any: ...
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
        """Solves like `poisson` with this mask and color_weight, gradients included.

        In a sequence the images of a batch are frames in order, and tensors that require grad are refused.
        """
        return self._solve(call_of(src, dst, None, base, None, gradients, contour, tolerance, return_info))


class PoissonSolver(_Solves):
    """The setup of `poisson` for one mask, reusable for many images.

    It depends only on the mask and color_weight and is shared by channels, frames and gradient modes.
    `solve` may be called from several threads at once.

    Args:
        mask: [H, W], numpy, torch, or an array on a CUDA device; bool, uint8 or uint16 scaled by their
            range, or floats in [0, 1]. Copied.
        color_weight: a number from 0 to 1e6, or a map [H, W] of them.
        device: 'cuda' solves CPU images on the device; None: on the CPU, unless
            `pyharmony.set_device` specifies otherwise. Other images must be on the device of mask.

    Attributes:
        shape: (H, W) of the mask.
        unknowns: the number of pixels with mask > 0.
        bytes: the memory of the setup.

    Raises:
        ShapeError, DTypeError, MaskError, ArgumentError: mask or color_weight is not accepted, see `poisson`.

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
        self._key = next(_keys)
        place = _cuda.place_of({"mask": mask, "color_weight": _checks.map_or_none(color_weight)}, device)
        self._way: _poisson_cpu.Solver | _poisson_cuda.DeviceSolver
        # A device chosen only by default is not binding: images without support in its kernels need the CPU.
        if place is not None and place.required:
            with place:
                self._way = _poisson_cuda.DeviceSolver(place, mask, color_weight)
        else:
            self._way = _poisson_cpu.Solver(mask, color_weight)
            SOLVERS[self._key] = self._way

    @property
    def shape(self) -> tuple[int, int]:
        return self._way.shape

    @property
    def unknowns(self) -> int:
        return self._way.unknowns

    @property
    def bytes(self) -> int:
        return self._way.bytes

    def __repr__(self) -> str:
        height, width = self.shape
        return f"PoissonSolver({height} x {width}, {self.unknowns} unknowns)"

    def _solve(self, call: PoissonCall) -> Any:
        if not _arrays.in_graph(call.src, call.dst, call.base):
            return self._way.solve(call, None)
        if isinstance(self._way, _poisson_cuda.DeviceSolver):
            raise ArgumentError(
                "src, dst, base: tensors in a graph, which a solver on a device does not support; use ops.poisson, "
                "which has gradients there too, or pass them detached"
            )
        from . import _poisson_torch

        return _poisson_torch.poisson(replace(call, mask=self._way.mask, color_weight=self._way.weight), self._key)

    solve = _Solves.solve

    def sequence(self) -> PoissonSequence:
        """Returns a sequence for the frames of a video in order: each solve starts from the previous frame."""
        return PoissonSequence(self)


class PoissonSequence(_Solves):
    """The frames of a video, in order, under one mask.

    A solve starts from the last frame's correction, the result minus src. Independently of the content of src, the
    correction changes little from frame to frame unless the light or the contour changes. The solve reaches its
    tolerance like any other and takes fewer iterations: one for a static video. After a cut it takes as many as
    without a start. The result depends on previous frames, within the tolerance; `reset` forgets them.

    The solver is not changed and may be shared by several sequences. Calls on one sequence from several
    threads wait for each other; its frames are then in the order of the calls.

    Attributes:
        bytes: the memory of the last frame's correction, 4 for each pixel of the mask's box and channel.

    Example:
        >>> from pyharmony import ops
        >>> mask = np.zeros((16, 16), np.uint8)
        >>> mask[4:12, 4:12] = 255
        >>> film = ops.PoissonSolver(mask).sequence()
        >>> dst, src = np.full((16, 16, 3), 60, np.uint8), np.full((16, 16, 3), 200, np.uint8)
        >>> [film.solve(src, dst + light)[8, 8, 0].item() for light in range(3)]
        [60, 61, 62]
    """

    @_checks.kinds
    def __init__(self, solver: PoissonSolver) -> None:
        self._way = solver._way
        self._warm = self._way.warm_start()
        self._lock = threading.Lock()

    @property
    def bytes(self) -> int:
        return self._warm.bytes

    solve = _Solves.solve

    def reset(self) -> None:
        """Forgets the previous frames, for example at a known cut."""
        with self._lock:
            self._warm.reset()

    def _solve(self, call: PoissonCall) -> Any:
        if _arrays.in_graph(call.src, call.dst, call.base):
            raise ArgumentError(
                "src, dst, base: tensors in a graph, which a sequence of frames does not support; use "
                "PoissonSolver.solve, or pass them detached"
            )
        with self._lock:
            return self._way.solve(call, self._warm)


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
    being dst: L is the 5-point Laplacian, b the divergence of the target gradients (Perez, Gangnet,
    Blake: Poisson Image Editing, 2003, eq. 7; the exact definition is
    `pyharmony.reference.poisson`). The mask may have any shape and touch the image's border.

    Float tensors that require grad are differentiated: gradients flow to src, dst and base, exact to
    tolerance / 255 of the largest incoming one, with 'mixed' for the choice made in the forward pass;
    torch.compile supports the op. Mask and color_weight get no gradient.

    Args:
        src, dst: [H, W], [H, W, C] or [N, H, W, C] of equal shape and dtype, uint8, uint16,
            float16, float32 or float64, any strides; numpy, torch, or an array on a CUDA device (docs/cuda.md;
            no float64 there). Never changed.
        mask: [H, W], or [N, H, W] with a batch; bool, uint8 or uint16 scaled by their range, or
            floats in [0, 1].
        gradients: 'source'; 'mixed', at each edge the stronger of src and dst by their norm over
            the channels; 'average' of the two; or 'monochrome', the luma of src for every channel.
        contour: the share of these gradients at an edge, the rest being dst's: 'half', the mean of the mask over its
            two pixels, so half of each across a hard contour; 'full', the larger, so all of it, as in eq. 7 of the
            paper and in fpie.
        color_weight: a number from 0 to 1e6, or a map [H, W]: how strongly colours are pulled to base.
        base: like dst; float32 and float64, in dst's unit (0..255 for uint8), are accepted too. None:
            src. It has no effect where color_weight is 0.
        tolerance: the largest error allowed, in 8-bit levels (1/255 of the value range), before
            rounding to the dtype. None: 0.25 for uint8, 0.004 for uint16, 0.025 for float16 and
            float32, 1e-6 for float64. The solve stops on an estimate of the error.
        device: 'auto', 'cpu' or 'cuda', for NumPy arrays and tensors on the CPU; None: the setting of
            `pyharmony.set_device`. Arrays on a device are solved there, see docs/cuda.md.
        return_info: also return a SolveInfo, with a proven bound of the error; this takes one
            and a half to two times as long as the solve, in addition.

    Returns:
        dst with the pixels of mask > 0 replaced, the others bit-identical, in dst's kind, shape and
        dtype, rounded half to even; floats are not clipped. With return_info a pair
        (image, SolveInfo), or (images, list of them) for a batch.

    Raises:
        ShapeError, DTypeError, MaskError, ArgumentError: an argument is not accepted; the message names it, what was
            given and what is accepted. MaskError for a mask above 0 everywhere with color_weight 0,
            ArgumentError for NaN or infinities on the mask or within one pixel of it.

    Warns:
        RuntimeWarning: the tolerance was not reached, as far as is known, or the error could not be bounded, and
            then max_error is NaN.

    Example:
        >>> from pyharmony import ops
        >>> dst, src = np.full((16, 16, 3), 60, np.uint8), np.full((16, 16, 3), 200, np.uint8)
        >>> mask = np.zeros((16, 16), np.uint8)
        >>> mask[4:12, 4:12] = 255
        >>> ops.poisson(src, dst, mask)[8, 8].tolist()
        [60, 60, 60]
    """
    call = call_of(src, dst, mask, base, color_weight, gradients, contour, tolerance, return_info)
    if _arrays.in_graph(src, dst, mask, base, color_weight):
        from . import _poisson_torch

        return _poisson_torch.poisson(call)
    return _cuda.dispatch(call, device, _poisson_cpu, _poisson_cuda)
