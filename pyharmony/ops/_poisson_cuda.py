"""`poisson` on a CUDA device, and the setup of masked solves there.

As in `gaussian_poisson`, nothing synchronises with the device unless the caller requests an info or passes
NumPy arrays, and no value is checked: NaN stays NaN.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import _arrays, _checks, _cuda, _staging
from .._checks import SolveInfo
from .._cuda import DeviceArray, Place
from ..errors import ArgumentError, DeviceError, MaskError
from ._gaussian_poisson import Equation
from ._poisson import UNDETERMINED_MESSAGE, PoissonCall, check_base, warn_of_errors
from ._solve_call import Outcome
from .images_cuda import INFO, batch_of, image_form, mask_on, unsupported, weight_on


def _base_in_float64(call: PoissonCall) -> str:
    if call.base is None or call.base.dtype.name != "float64":
        return ""
    return "base: float64, which CUDA kernels do not support; pass float32"


#: The reasons why kernels on a device do not support a solve.
LIMITS: tuple[_cuda.Limit, ...] = (lambda call: unsupported(_cuda.name_of(call.dst.dtype), "dst"), _base_in_float64)

#: The largest factor by which an iteration reduces the error, see docs/poisson.md.
_FACTOR = 0.3


def _most_iterations(levels: float) -> int:
    """Returns the largest number of iterations for a tolerance; in unneeded ones kernels return at once."""
    return 8 + max(0, math.ceil(math.log(0.25 / levels) / math.log(1 / _FACTOR)))


@dataclasses.dataclass
class DeviceEquation(Equation):
    """An `Equation` of a batch in the memory of a device; with w0 1, w1 0 and pinned it is that of `poisson`.

    Attributes:
        src, dst: [N, H, W, C] DeviceArrays.
        base: the same, or with half_base [N, ceil(H / 2), ceil(W / 2), C], which the kernels upsample as they read it;
            for `poisson` it may be None, meaning src.
        mask: [N, H, W], weight_map: [N, H, W] float32 or None; their N may have stride 0.
        most: the largest weight of the map.
    """

    src: Any
    dst: Any
    mask: Any
    base: Any
    weight_map: Any
    w0: float = 1.0
    w1: float = 0.0
    pinned: bool = True
    most: float = 0.0
    half_base: bool = False

    def largest_weight(self) -> float:
        return self.weight if self.weight_map is None else self.most

    def views(self) -> tuple[Any, Any, Any, Any]:
        base = None if self.base is None else self.base.view("base")
        return self.src.view("src"), self.dst.view("dst"), self.mask.view("mask"), base

    def items(self, some: slice) -> DeviceEquation:
        """Returns the equation of some images, with the whole map."""
        base = None if self.base is None else self.base.items(some)
        return dataclasses.replace(
            self, src=self.src.items(some), dst=self.dst.items(some), mask=self.mask.items(some), base=base
        )


class DeviceHierarchy:
    """The setup of masked solves, or of solves with a map of weights, in the memory of a device.

    Args:
        place: the place of the setup.
        mask: [N, H, W]; if all planes are the same array, only one is set up. None: every pixel is unknown.
        shape: (H, W).
        weight: the colour weight, if there is no map.
        weight_map: [N, H, W] float32.
        w0, w1: the taps of the Gaussian.
        keep: whether later calls use it, possibly on other streams than that of the set-up, which may be gone by then.
    """

    def __init__(
        self,
        place: Place,
        mask: DeviceArray | None,
        shape: tuple[int, int],
        *,
        weight: float,
        weight_map: DeviceArray | None = None,
        w0: float = 1.0,
        w1: float = 0.0,
        keep: bool = False,
    ) -> None:
        def own(planes: DeviceArray | None) -> DeviceArray | None:
            if planes is None or planes.strides[0] != 0:
                return planes
            return planes.reshaped((1, *planes.shape[1:]), planes.strides)

        mask, self.weight_map = own(mask), own(weight_map)
        items = max(1 if planes is None else planes.shape[0] for planes in (mask, self.weight_map))
        self.plan = place.module.PoissonPlan(
            *shape,
            items=items,
            pinned=mask is not None,
            weight=0.0 if weight_map is not None else weight,
            weight_map=weight_map is not None,
            w0=w0,
            w1=w1,
        )
        self.memory = (place.kept if keep else place.scratch)(self.plan.bytes)
        place.module.poisson_hierarchy(
            self.plan,
            None if mask is None else mask.view("mask"),
            self._map_view(),
            self.memory.block,
            device=place.device,
            stream=place.stream,
        )
        if keep:
            place.settle(self.memory, self.weight_map)

    @classmethod
    def of(cls, place: Place, eq: DeviceEquation) -> DeviceHierarchy:
        """Returns the setup of an equation."""
        mask = eq.mask if eq.pinned else None
        numbers = {"weight": eq.weight, "weight_map": eq.weight_map, "w0": eq.w0, "w1": eq.w1}
        return cls(place, mask, eq.dst.shape[1:3], **numbers)

    def _map_view(self) -> Any:
        return None if self.weight_map is None else self.weight_map.view("color_weight")

    def solve(
        self,
        place: Place,
        eq: DeviceEquation,
        out: DeviceArray,
        *,
        gradients: str,
        levels: float,
        unit: float,
        certify: bool,
        read: bool,
        warm: DeviceArray | None = None,
        contour: str = "half",
    ) -> tuple[list[dict[str, Any]], int]:
        """Enqueues a solve on the stream; it writes the unknown pixels of out, which initially contains dst.

        Args:
            levels: the tolerance, in 8-bit levels of images whose white is unit.
            warm: the correction of the previous images; it is read and then overwritten.

        Returns:
            The reports of the items, if they are requested, and the bytes of scratch.
        """
        count, _, _, channels = out.shape
        # Who waits for the end may as well see after which iteration nothing is left to do.
        waits = read or place.kind == "host"
        proof = place.scratch(self.plan.certify_bytes(count, channels)) if certify else None
        options = {
            "gradients": gradients,
            "contour": contour,
            "warm": None if warm is None else warm.block,
            "certify": None if proof is None else proof.block,
            "done": _staging.flags(place.module, count * channels, place.device, place.stream) if waits else None,
        }
        with place.using(self.memory, self.weight_map, eq.mask), place.using(warm, writing=True):
            report, nbytes = self._run(place, "poisson_solve", eq.views(), out, levels, levels * unit / 255, **options)
        nbytes += self.memory.nbytes + (0 if proof is None else proof.nbytes)
        if not read:
            return [], nbytes
        return place.module.poisson_report(place.fetch(report, *INFO).tobytes(), count, channels), nbytes

    def solve_rhs(self, place: Place, rhs: DeviceArray, out: DeviceArray, tolerance: float) -> None:
        """Solves A x = rhs [N, H, W, C], of values up to 1, into the unknown pixels of out."""
        self._run(place, "poisson_solve_rhs", (rhs.view("rhs"),), out, tolerance * 255, tolerance)

    def _run(
        self,
        place: Place,
        name: str,
        views: tuple[Any, ...],
        out: DeviceArray,
        levels: float,
        tolerance: float,
        **options: Any,
    ) -> tuple[DeviceArray, int]:
        """Enqueues a native solve on the stream; returns its report and the bytes of its workspace."""
        module, (count, _, _, channels) = place.module, out.shape
        workspace = place.scratch(self.plan.workspace_bytes(count, channels))
        report = place.scratch(module.poisson_report_bytes(count, channels))
        getattr(module, name)(
            self.plan,
            self.memory.block,
            *views,
            out.view("out", writable=True),
            tolerance=tolerance,
            max_iterations=min(_most_iterations(levels), module.POISSON_MAX_ITERATIONS),
            weight_map=self._map_view(),
            workspace=workspace.block,
            report=report.block,
            device=place.device,
            stream=place.stream,
            **options,
        )
        return report, workspace.nbytes


class DeviceSolver:
    """The part of `PoissonSolver` that solves images at a place, where the setup and a copy of the mask are stored."""

    def __init__(self, place: Place, mask: Any, color_weight: Any) -> None:
        plane = _arrays.to_numpy(mask, "mask") if place.kind == "host" else _cuda.describe(mask, "mask")
        height, width = _checks.mask_size(plane, "mask")
        device_mask = mask_on(place, mask, 1, height, width, batch=False)
        weight, weight_map, _ = weight_on(place, color_weight, 1, height, width)
        with _cuda.failures("PoissonSolver"):
            self.place, self.weight = place, weight
            self.mask = place.kept(device_mask.nbytes).seen_as(device_mask.shape, device_mask.dtype)
            place.copy(device_mask.as_bytes(), self.mask.as_bytes())
            self.hierarchy = DeviceHierarchy(
                place, self.mask, (height, width), weight=weight, weight_map=weight_map, keep=True
            )
            place.settle(self.mask)
        self.shape = height, width

    @property
    def bytes(self) -> int:
        return self.hierarchy.memory.nbytes + self.mask.nbytes

    @property
    def unknowns(self) -> int:
        place = self.place.on_default_stream()
        with place.using(self.mask):
            return int(np.count_nonzero(place.fetch(self.mask) > 0))

    def warm_start(self) -> DeviceWarmStart:
        """Returns the empty state of a sequence of frames."""
        return DeviceWarmStart()

    def solve(self, call: PoissonCall, warm: DeviceWarmStart | None) -> Any:
        """Solves the images of a call; with a warm start the items of a batch are frames in order."""
        host = self.place.kind == "host"
        place = _cuda.place_of({"dst": call.dst, "src": call.src, "base": call.base}, "cuda" if host else None)
        if place is not None and host and place.kind == "host":
            place = self.place  # independently of the current device of this thread
        if place is None or (place.kind == "host") != host or place.device != self.place.device:
            where = "the CPU" if place is None or place.kind == "host" else place.name
            raise DeviceError(f"dst: on {where}, but the solver is on {self.place.where}; move it there")
        with place:
            return _solve_at(place, call, self._system, warm)

    def _system(
        self, count: int, height: int, width: int, batch: bool
    ) -> tuple[DeviceArray, float, Any, DeviceHierarchy]:
        _checks.mask_form(self.shape, self.mask.dtype.name, "mask", height, width)
        mask = self.mask.reshaped((count, *self.shape), (0, *self.mask.strides[1:]))
        return mask, self.weight, self.hierarchy.weight_map, self.hierarchy


class DeviceWarmStart:
    """The correction of the previous frame, on the device."""

    def __init__(self) -> None:
        self._memory: DeviceArray | None = None
        self._channels = 0

    @property
    def bytes(self) -> int:
        return 0 if self._memory is None else self._memory.nbytes

    def reset(self) -> None:
        self._memory = None

    def memory(self, place: Place, hierarchy: DeviceHierarchy, channels: int) -> DeviceArray:
        """Returns the memory of one frame, cleared before the first frame and when the number of channels changes."""
        if self._memory is None or channels != self._channels:
            self._memory, self._channels = place.kept(hierarchy.plan.warm_bytes(1, channels)), channels
            place.module.poisson_clear_warm(
                hierarchy.plan, 1, channels, self._memory.block, device=place.device, stream=place.stream
            )
            place.settle(self._memory)
        return self._memory


def run(place: Place, call: PoissonCall) -> Any:
    """Computes `pyharmony.ops.poisson` at a place; returns NotImplemented if only the CPU supports it."""

    def system(count: int, height: int, width: int, batch: bool) -> tuple[DeviceArray, float, Any, None]:
        mask = mask_on(place, call.mask, count, height, width, batch=batch)
        weight, weight_map, _ = weight_on(place, call.color_weight, count, height, width)
        return mask, weight, weight_map, None

    return _solve_at(place, call, system)


def call_form(place: Place, call: Any, limits: Sequence[_cuda.Limit]) -> Any:
    """Returns a call with validated images for kernels; None if the kernels do not support it."""
    images = {name: getattr(call, name) for name in ("src", "dst", "base")}
    forms = {name: image_form(place, x, name) for name, x in images.items() if x is not None}
    form = dataclasses.replace(call, **forms)
    if not _cuda.takes(place, limits, form):
        return None
    _checks.same_dtype(form.src, "src", form.dst, "dst")
    _checks.same_shape(form.src, "src", form.dst, "dst")
    return form


def deliver(place: Place, call: Any, out: Any, into: DeviceArray, infos: list[SolveInfo]) -> Any:
    """Returns a result in the kind of dst, with the infos of its items if they are requested."""
    image = _arrays.like_kind(place.fetch(into), call.dst) if place.kind == "host" else out
    if not call.return_info:
        return image
    return image, infos if into.ndim == 4 else infos[0]


def _solve_at(
    place: Place,
    call: PoissonCall,
    system: Callable[[int, int, int, bool], tuple[DeviceArray, float, Any, DeviceHierarchy | None]],
    warm: DeviceWarmStart | None = None,
) -> Any:
    """Solves the images of a call at a place.

    Args:
        system: maps (N, H, W, whether a batch was given) to mask, weight and map on the device, and their setup.
    """
    form = call_form(place, call, LIMITS)
    if form is None:
        return NotImplemented
    if form.base is not None:
        check_base(form.base, form.dst, "float32")
    levels = _checks.tolerance(call.tolerance, _cuda.name_of(form.dst.dtype))
    src, dst = (batch_of(place.take(x, name)) for x, name in ((form.src, "src"), (form.dst, "dst")))
    base = None if form.base is None else batch_of(place.take(form.base, "base"))
    count, height, width, channels = dst.shape
    mask, weight, weight_map, hierarchy = system(count, height, width, form.dst.ndim == 4)
    eq = DeviceEquation(src, dst, mask, base, weight, weight_map)
    out, into = place.result(tuple(form.dst.shape), form.dst.dtype)
    result = batch_of(into)
    options: dict[str, Any] = {
        "gradients": call.gradients,
        "contour": call.contour,
        "levels": levels,
        "unit": _arrays.VALUE_RANGE[_cuda.name_of(form.dst.dtype)],
        "certify": call.return_info,
        "read": call.return_info or place.kind == "host",
        "hierarchy": hierarchy,
    }
    infos: list[SolveInfo] = []
    if warm is None or hierarchy is None:
        infos = solve_images(place, eq, result, **options)
    else:
        for frame in (slice(i, i + 1) for i in range(count)):
            memory = warm.memory(place, hierarchy, channels)
            infos += solve_images(place, eq.items(frame), result.items(frame), **options, warm=memory)
    return deliver(place, call, out, into, infos)


def solve_images(
    place: Place,
    eq: DeviceEquation,
    out: DeviceArray,
    *,
    gradients: str,
    contour: str,
    levels: float,
    unit: float,
    certify: bool,
    read: bool,
    hierarchy: DeviceHierarchy | None = None,
    warm: DeviceArray | None = None,
) -> list[SolveInfo]:
    """Enqueues the solve of validated images on the stream; the result is written to out [N, H, W, C].

    Args:
        levels: the tolerance, in 8-bit levels.
        unit: the value of white.
        certify: whether to prove a bound of the error.
        read: whether to wait for the end and report on each item; if not, the returned list is empty.
        hierarchy: the setup of this mask and weights, if there is one. warm: see `DeviceHierarchy.solve`.
    """
    start = time.perf_counter()
    level = unit / 255
    with _cuda.failures("poisson"):
        place.copy(eq.dst, out)
        hierarchy = hierarchy or DeviceHierarchy.of(place, eq)
        options: dict[str, Any] = {"gradients": gradients, "contour": contour, "levels": levels, "unit": unit}
        options |= {"read": read, "warm": warm}
        reports, nbytes = hierarchy.solve(place, eq, out, certify=certify, **options)
        # Without a known pixel small weights alone determine the mean, whose error only a proof shows.
        if not certify and any(report["unknowns"] == math.prod(eq.dst.shape[1:3]) for report in reports):
            reports, nbytes = hierarchy.solve(place, eq, out, certify=True, **options)
    milliseconds = (time.perf_counter() - start) * 1e3
    for report in reports:
        if eq.weight == 0 and eq.weight_map is None and report["unknowns"] == math.prod(eq.dst.shape[1:3]):
            raise MaskError(UNDETERMINED_MESSAGE)
        if not math.isfinite(report["estimate"]):
            raise ArgumentError("src, dst, base: NaN or infinities where the solve reads them; expected finite values")
        estimate, max_error = report["estimate"] / level, report["max_error"] / level
        warn_of_errors(report["converged"], report["iterations"], estimate, levels, max_error)
        if report["max_error"] == math.inf:
            report["max_error"] = math.nan
    return [outcome_of(report, nbytes).info(level, milliseconds, place.name) for report in reports]


def outcome_of(report: dict[str, Any], nbytes: int) -> Outcome:
    """Returns the outcome in a report of `DeviceHierarchy.solve`."""
    method = "multigrid" if report["unknowns"] else "copy"
    return Outcome(
        method,
        report["iterations"],
        report["residual"],
        report["max_error"],
        estimate=report["estimate"],
        peak_bytes=nbytes,
    )
