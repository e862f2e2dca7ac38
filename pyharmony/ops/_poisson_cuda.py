"""`poisson` on a CUDA device, and the set-up of masked solves there.

As for `gaussian_poisson`, nothing waits for the device but where the caller asks for an info or hands
NumPy arrays over, and no value is looked at: NaN stays NaN.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _arrays, _checks, _cuda
from .._checks import SolveInfo
from .._cuda import DeviceArray, Place
from ..errors import ArgumentError, DeviceError, MaskError
from ._images_cuda import batch_of, image_form, mask_on, unsupported, weight_on

NOTHING_KNOWN = (
    "mask: it covers the whole image and color_weight is 0, so nothing fixes the mean of the result; leave a "
    "pixel at 0 (a known pixel), pass color_weight > 0, or use gaussian_poisson, which keeps the mean of base"
)

NOTHING_PROVEN = (
    "poisson: no bound of the error could be proven, max_error is NaN: rounding hides the barrier function A w = 1 "
    "where the way from a pixel to the nearest known one is very long; the tolerance is kept by an estimate only"
)

#: An iteration leaves at most this part of the error, see docs/poisson.md.
_FACTOR = 0.3


def most_iterations(levels: float) -> int:
    """That are enqueued for a tolerance; those that are not needed return at once."""
    return 8 + max(0, math.ceil(math.log(0.25 / levels) / math.log(1 / _FACTOR)))


class DeviceHierarchy:
    """The set-up of masked solves, or of solves with a map of weights, in the memory of a device.

    Args:
        place: where.
        mask: [N, H, W], of which one plane is set up where they are the same; None: every pixel is unknown.
        shape: (H, W).
        weight: of the colours, where there is no map.
        weight_map: [N, H, W] float32.
        w0, w1: taps of the Gaussian.
        box: (top, left, bottom, right) around all unknown pixels, where it is known.
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
        box: tuple[int, int, int, int] | None = None,
    ) -> None:
        def own(planes: DeviceArray | None) -> DeviceArray | None:
            if planes is None or planes.strides[0] != 0:
                return planes
            return planes.reshaped((1, *planes.shape[1:]), planes.strides)

        module = place.module
        mask, self.weight_map = own(mask), own(weight_map)
        items = max(1 if planes is None else planes.shape[0] for planes in (mask, self.weight_map))
        self.plan = module.PoissonPlan(
            *shape,
            box=box,
            items=items,
            pinned=mask is not None,
            weight=0.0 if weight_map is not None else weight,
            weight_map=weight_map is not None,
            w0=w0,
            w1=w1,
        )
        self.memory = place.scratch(self.plan.bytes)
        module.poisson_hierarchy(
            self.plan,
            None if mask is None else mask.view("mask"),
            self.map_view(),
            self._block(self.memory),
            device=place.device,
            stream=place.stream,
        )

    def map_view(self) -> Any:
        return None if self.weight_map is None else self.weight_map.view("color_weight")

    @staticmethod
    def _block(memory: DeviceArray) -> tuple[int, int]:
        return memory.pointer, memory.nbytes

    def solve(
        self,
        place: Place,
        src: DeviceArray,
        dst: DeviceArray,
        mask: DeviceArray,
        base: DeviceArray | None,
        out: DeviceArray,
        *,
        gradients: str,
        tolerance: float,
        iterations: int,
        certify: bool,
        read: bool,
        warm: DeviceArray | None = None,
        contour: str = "half",
    ) -> tuple[list[dict[str, Any]], int]:
        """Puts a solve into the unknown pixels of out, which holds dst.

        warm: the correction of the images before, which is read and then written.

        Returns:
            Reports of the items, if they are to be read, and the bytes of scratch.
        """
        module, (count, _, _, channels) = place.module, out.shape
        workspace = place.scratch(self.plan.workspace_bytes(count, channels))
        report = place.scratch(module.poisson_report_bytes(count, channels))
        proof = place.scratch(self.plan.certify_bytes(count, channels)) if certify else None
        with place.using(self.memory, self.weight_map, mask), place.using(warm, writing=True):
            module.poisson_solve(
                self.plan,
                self._block(self.memory),
                src.view("src"),
                dst.view("dst"),
                mask.view("mask"),
                None if base is None else base.view("base"),
                out.view("out", writable=True),
                gradients=gradients,
                contour=contour,
                tolerance=tolerance,
                max_iterations=min(iterations, module.POISSON_MAX_ITERATIONS),
                weight_map=self.map_view(),
                workspace=self._block(workspace),
                report=self._block(report),
                warm=None if warm is None else self._block(warm),
                certify=None if proof is None else self._block(proof),
                device=place.device,
                stream=place.stream,
            )
        nbytes = self.memory.nbytes + workspace.nbytes + (0 if proof is None else proof.nbytes)
        if not read:
            return [], nbytes
        return module.poisson_report(place.fetch(report).tobytes(), count, channels), nbytes

    def solve_rhs(self, place: Place, rhs: DeviceArray, out: DeviceArray, *, tolerance: float, iterations: int) -> None:
        """A x = rhs [N, H, W, C] into the unknown pixels of out."""
        module, (count, _, _, channels) = place.module, out.shape
        workspace = place.scratch(self.plan.workspace_bytes(count, channels))
        report = place.scratch(module.poisson_report_bytes(count, channels))
        module.poisson_solve_rhs(
            self.plan,
            self._block(self.memory),
            rhs.view("rhs"),
            out.view("out", writable=True),
            tolerance=tolerance,
            max_iterations=min(iterations, module.POISSON_MAX_ITERATIONS),
            weight_map=self.map_view(),
            workspace=self._block(workspace),
            report=self._block(report),
            device=place.device,
            stream=place.stream,
        )


class DeviceSolver:
    """`PoissonSolver` for images at a place: its set-up and its mask, copied, are there."""

    def __init__(self, place: Place, mask: Any, color_weight: Any) -> None:
        plane = _arrays.to_numpy(mask, "mask") if place.kind == "host" else _cuda.describe(mask, "mask")
        height, width = _checks.mask_size(plane, "mask")
        given = mask_on(place, mask, 1, height, width, batch=False)
        weight, weight_map, _ = weight_on(place, color_weight, 1, height, width)
        with _cuda.failures("PoissonSolver"):
            self.place, self.weight = place, weight
            self.mask = place.scratch(given.nbytes).seen_as(given.shape, given.dtype)
            place.copy(given.as_bytes(), self.mask.as_bytes())
            self.hierarchy = DeviceHierarchy(place, self.mask, (height, width), weight=weight, weight_map=weight_map)
        self.shape = height, width

    @property
    def bytes(self) -> int:
        return self.hierarchy.memory.nbytes + self.mask.nbytes

    def unknowns(self) -> int:
        return int(np.count_nonzero(self.place.fetch(self.mask) > 0))

    def solve(
        self,
        src: Any,
        dst: Any,
        base: Any,
        *,
        gradients: str,
        contour: str,
        tolerance: float | None,
        return_info: bool,
        warm: DeviceWarmStart | None,
    ) -> Any:
        """`PoissonSolver.solve`; with a warm start the items of a batch are as many frames."""
        arrays = {"dst": dst, "src": src, "base": base}
        host = self.place.kind == "host"
        place = _cuda.place_of(arrays, "cuda" if host else None)
        if place is not None and host and place.kind == "host":
            place = self.place  # whatever device is current in this thread
        if place is None or (place.kind == "host") != host or place.device != self.place.device:
            where = "the processor" if place is None or place.kind == "host" else place.name
            raise DeviceError(f"dst: on {where}, but the solver was made for {self.place.where}; move it there")
        return _solve_at(
            place,
            src,
            dst,
            base,
            lambda count, height, width, batch: self._system(count, height, width),
            gradients=gradients,
            contour=contour,
            tolerance=tolerance,
            return_info=return_info,
            warm=warm,
        )

    def _system(self, count: int, height: int, width: int) -> tuple[DeviceArray, float, Any, DeviceHierarchy]:
        _checks.mask_form(self.shape, self.mask.dtype.name, "mask", height, width)
        mask = self.mask.reshaped((count, *self.shape), (0, *self.mask.strides[1:]))
        return mask, self.weight, self.hierarchy.weight_map, self.hierarchy


class DeviceWarmStart:
    """The correction of the frame before, on the device."""

    def __init__(self) -> None:
        self._memory: DeviceArray | None = None
        self._channels = 0

    @property
    def bytes(self) -> int:
        return 0 if self._memory is None else self._memory.nbytes

    def reset(self) -> None:
        self._memory = None

    def memory(self, place: Place, hierarchy: DeviceHierarchy, channels: int) -> DeviceArray:
        """Of one frame; empty before the first one, and where the channels are others than before."""
        if self._memory is None or channels != self._channels:
            self._memory, self._channels = place.scratch(hierarchy.plan.warm_bytes(1, channels)), channels
            place.module.poisson_clear_warm(
                hierarchy.plan,
                1,
                channels,
                (self._memory.pointer, self._memory.nbytes),
                device=place.device,
                stream=place.stream,
            )
        return self._memory


def run(
    place: Place,
    src: Any,
    dst: Any,
    mask: Any,
    base: Any,
    *,
    gradients: str,
    contour: str,
    color_weight: Any,
    tolerance: float | None,
    return_info: bool,
) -> Any:
    """`pyharmony.ops.poisson` at a place; NotImplemented where the processor is to do it."""

    def system(count: int, height: int, width: int, batch: bool) -> tuple[DeviceArray, float, Any, None]:
        cover = mask_on(place, mask, count, height, width, batch=batch)
        weight, weight_map, _ = weight_on(place, color_weight, count, height, width)
        return cover, weight, weight_map, None

    options: dict[str, Any] = {"gradients": gradients, "contour": contour, "tolerance": tolerance}
    return _solve_at(place, src, dst, base, system, **options, return_info=return_info)


def _solve_at(
    place: Place,
    src: Any,
    dst: Any,
    base: Any,
    system: Callable[[int, int, int, bool], tuple[DeviceArray, float, Any, DeviceHierarchy | None]],
    *,
    gradients: str,
    contour: str,
    tolerance: float | None,
    return_info: bool,
    warm: DeviceWarmStart | None = None,
) -> Any:
    """system: for (N, H, W, whether a batch was given) the mask, weight and map on the device, and their set-up."""
    form = {name: image_form(place, x, name) for name, x in (("src", src), ("dst", dst))}
    ground = None if base is None else image_form(place, base, "base")
    reason = unsupported(form["dst"].dtype.name, "dst")
    if ground is not None and ground.dtype.name == "float64":
        reason = reason or "base: float64, which CUDA kernels do not take; pass float32"
    if reason:
        if place.required:
            raise ArgumentError(reason)
        return NotImplemented
    _checks.same_dtype(form["src"], "src", form["dst"], "dst")
    _checks.same_shape(form["src"], "src", form["dst"], "dst")
    if ground is not None:
        if ground.dtype != np.float32:
            _checks.same_dtype(ground, "base", form["dst"], "dst")
        _checks.same_shape(ground, "base", form["dst"], "dst")
    _checks.one_of(gradients, "gradients", _checks.GRADIENTS)
    _checks.one_of(contour, "contour", _checks.CONTOURS)
    levels = _checks.tolerance(tolerance, form["dst"].dtype.name)
    batch = form["dst"].ndim == 4
    source, target = (batch_of(place.take(x, name)) for name, x in form.items())
    colours = None if ground is None else batch_of(place.take(ground, "base"))
    count, height, width, channels = target.shape
    mask, weight, weight_map, hierarchy = system(count, height, width, batch)
    out, into = place.empty(tuple(form["dst"].shape), form["dst"].dtype)
    result = batch_of(into)
    items = [slice(0, count)] if warm is None else [slice(i, i + 1) for i in range(count)]
    infos: list[SolveInfo] = []
    for item in items:
        part = (item, 0, height, 0, width)
        infos += solve_images(
            place,
            source.cropped(*part),
            target.cropped(*part),
            mask.cropped(*part),
            None if colours is None else colours.cropped(*part),
            result.cropped(*part),
            gradients=gradients,
            contour=contour,
            weight=weight,
            weight_map=weight_map,
            levels=levels,
            unit=_arrays.VALUE_RANGE[form["dst"].dtype.name],
            certify=return_info,
            read=return_info or place.kind == "host",
            hierarchy=hierarchy,
            warm=None if warm is None or hierarchy is None else warm.memory(place, hierarchy, channels),
        )
    image = _arrays.like_kind(place.fetch(into), dst) if place.kind == "host" else out
    if not return_info:
        return image
    return image, infos if batch else infos[0]


def solve_images(
    place: Place,
    src: DeviceArray,
    dst: DeviceArray,
    mask: DeviceArray,
    base: DeviceArray | None,
    out: DeviceArray,
    *,
    gradients: str,
    contour: str,
    weight: float,
    weight_map: DeviceArray | None,
    levels: float,
    unit: float,
    certify: bool,
    read: bool,
    hierarchy: DeviceHierarchy | None = None,
    warm: DeviceArray | None = None,
) -> list[SolveInfo]:
    """Puts the solve of checked images [N, H, W, C] and a mask [N, H, W] into out on the stream.

    Args:
        levels: the tolerance, in 8-bit levels.
        unit: the value that stands for white.
        certify: prove the error.
        read: wait for the end and say for each item how it went; else the list is empty.
        hierarchy: of this mask and weights, where there is one. warm: see `DeviceHierarchy.solve`.
    """
    start = time.perf_counter()
    _, height, width, _ = dst.shape
    with _cuda.failures("poisson"):
        place.copy(dst, out)
        if hierarchy is None:
            hierarchy = DeviceHierarchy(place, mask, (height, width), weight=weight, weight_map=weight_map)
        reports, nbytes = hierarchy.solve(
            place,
            src,
            dst,
            mask,
            base,
            out,
            gradients=gradients,
            contour=contour,
            tolerance=levels * unit / 255,
            iterations=most_iterations(levels),
            certify=certify,
            read=read,
            warm=warm,
        )
    milliseconds = (time.perf_counter() - start) * 1e3
    for report in reports:
        if weight == 0 and weight_map is None and report["unknowns"] == height * width:
            raise MaskError(NOTHING_KNOWN)
        if not math.isfinite(report["estimate"]):
            raise ArgumentError("src, dst, base: NaN or infinities where the solve reads them; expected finite values")
        if not report["converged"]:
            warnings.warn(
                f"poisson: an error of about {report['estimate'] / unit * 255:.3g} levels is left after "
                f"{report['iterations']} iterations, tolerance {levels:.3g}",
                RuntimeWarning,
                stacklevel=4,
            )
        elif report["max_error"] == math.inf:
            warnings.warn(NOTHING_PROVEN, RuntimeWarning, stacklevel=4)
        elif report["max_error"] > levels * unit / 255:
            warnings.warn(
                f"poisson: the error is only known to be below {report['max_error'] / unit * 255:.3g} levels, "
                f"tolerance {levels:.3g}",
                RuntimeWarning,
                stacklevel=4,
            )
        if report["max_error"] == math.inf:
            report["max_error"] = math.nan
    return [
        SolveInfo(
            method="multigrid" if report["unknowns"] else "copy",
            iterations=report["iterations"],
            residual=report["residual"] / unit * 255,
            max_error=report["max_error"] / unit * 255,
            device=place.name,
            milliseconds=milliseconds,
            peak_bytes=nbytes,
        )
        for report in reports
    ]
