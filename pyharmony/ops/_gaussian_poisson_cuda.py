"""`gaussian_poisson` on a CUDA device.

Nothing here synchronises with the device unless the caller requests an info or passes NumPy arrays: the kernels
decide on the device how many steps they need. Therefore values are not checked: NaN stays NaN.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import threading
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import _arrays, _checks, _cuda, _native
from .._checks import SolveInfo
from .._cuda import DeviceArray, Place
from ..errors import ArgumentError, MaskError
from . import _poisson_cuda
from ._gaussian_poisson import (
    DCT_NEEDS,
    BlendCall,
    Equation,
    chebyshev_is_faster,
    check_base,
    check_chebyshev,
    expected_steps,
    warn_of_bound,
)
from ._gaussian_poisson_cpu import proven_bound
from ._poisson_cuda import DeviceEquation, DeviceHierarchy, call_form, deliver, outcome_of
from ._solve_call import Outcome
from .images_cuda import INFO, batch_of, mask_on, weight_on, without_float64


def _other_gradients(call: BlendCall) -> str:
    if call.gradient_kernel == "normal":
        return ""
    return f"gradient_kernel: {call.gradient_kernel!r} is supported only on the CPU; on CUDA use 'normal'"


#: The reasons why kernels on a device do not support a call.
LIMITS: tuple[_cuda.Limit, ...] = (*_poisson_cuda.LIMITS, _other_gradients)

#: The largest number of steps of one solve; kernels of unneeded steps return at once, but cost their launch.
MAX_STEPS = 96


#: Up to this number of steps Chebyshev is as fast as 'dct' of rows whose length is no product of small primes.
CHEBYSHEV_STEPS_ODD = 11


def choose_method_on(place: Place, eq: DeviceEquation, levels: float) -> str:
    """Returns the method that 'auto' selects for a tolerance of that many 8-bit levels."""
    if _has_dct(place, eq):
        odd = place.module.gaussian_poisson_direct_convolves(eq.mask.shape[-1])
        if not (odd and expected_steps(eq, levels) <= CHEBYSHEV_STEPS_ODD and chebyshev_is_faster(eq, levels)):
            return "dct"
    return "chebyshev" if chebyshev_is_faster(eq, levels) else "multigrid"


def _has_dct(place: Place, eq: DeviceEquation) -> bool:
    """Returns whether the kernels solve an equation by cosines: one weight, all pixels, and rows that fit a block."""
    return eq.is_rectangle() and bool(place.module.gaussian_poisson_direct_fits(eq.mask.shape[-1], place.device))


def solve_on(
    place: Place,
    eq: DeviceEquation,
    out: DeviceArray,
    *,
    method: str,
    levels: float,
    unit: float,
    info: bool,
    certify: bool = False,
) -> list[SolveInfo]:
    """Enqueues the solve of a validated equation on the stream; the result is written to out [N, H, W, C].

    Args:
        place: the place of all arrays.
        eq: the equation.
        out: [N, H, W, C] of any image dtype.
        method: 'auto', 'chebyshev', 'dct' or 'multigrid'.
        levels: the tolerance, in 8-bit levels.
        unit: the value of white.
        info: whether to wait for the end and report on each item; if not, the returned list is empty.
        certify: with info, whether to compute max_error if the method does not provide it.
    """
    start = time.perf_counter()
    limit = levels * unit / 255
    if method == "auto":
        method = choose_method_on(place, eq, levels)
    elif method == "chebyshev":
        check_chebyshev(eq)
    elif method == "dct" and not eq.is_rectangle():
        raise ArgumentError(DCT_NEEDS)
    if eq.is_rectangle() and eq.weight == 0:
        method = "dct"  # the only method here that determines the mean
    if method == "dct" and not _has_dct(place, eq):
        raise ArgumentError(
            f"dst: {eq.mask.shape[-1]} columns, too many for method 'dct' in the shared memory of {place.name}; "
            "use 'chebyshev', or the CPU"
        )
    with _cuda.failures("gaussian_poisson"):
        if method == "chebyshev":
            outcomes = _chebyshev(place, eq, out, limit, unit, info)
        elif method == "dct":
            outcomes = _dct(place, eq, out, limit, unit, info, certify)
        else:
            outcomes = _galerkin(place, eq, out, levels, unit, info, certify)
    milliseconds = (time.perf_counter() - start) * 1e3
    for outcome in outcomes:
        warn_of_bound(eq, outcome, limit, unit / 255)
    return [outcome.info(unit / 255, milliseconds, place.name) for outcome in outcomes]


def _chebyshev(
    place: Place,
    eq: DeviceEquation,
    out: DeviceArray,
    tolerance: float,
    unit: float,
    info: bool,
    rhs: DeviceArray | None = None,
) -> list[Outcome]:
    """Enqueues a Chebyshev solve on the stream; rhs replaces the b of the images."""
    eq = dataclasses.replace(eq, mask=without_float64(place, eq.mask))
    options = {
        "weight": eq.weight,
        "weight_map": None if eq.weight_map is None else eq.weight_map.view("color_weight"),
        "least_weight": eq.weight,
        "most_weight": eq.largest_weight(),
        "w0": eq.w0,
        "w1": eq.w1,
        "preserve_background": eq.pinned,
        "tolerance": tolerance,
        "rhs": None if rhs is None else rhs.view("rhs"),
        "max_steps": MAX_STEPS,
        "half_base": eq.half_base,
        "range": unit,
    }
    reports, nbytes = _chebyshev_runs(place, eq, out, options, info)
    _refuse_nonfinite(r["finite"] for r in reports)
    return [Outcome("chebyshev", r["steps"], r["residual"], r["max_error"], peak_bytes=nbytes) for r in reports]


def _chebyshev_runs(
    place: Place, eq: DeviceEquation, out: DeviceArray, options: dict[str, Any], info: bool
) -> tuple[list[dict[str, Any]], int]:
    """Enqueues the runs of a solve on the stream; returns the reports, if info is set, and the bytes of scratch.

    With info each repeated run, and its memory, is added only if a report requires it. Otherwise all are enqueued.
    """
    native, count = place.module, out.shape[0]
    views = (*eq.views(), out.view("out", writable=True))
    report = place.scratch(native.gaussian_poisson_chebyshev_report_bytes(count))
    workspace: DeviceArray | None = None
    nbytes = 0
    reports: list[dict[str, Any]] = []
    last = native.CHEBYSHEV_REPEATS
    for runs in [(run, run) for run in range(last + 1)] if info else [(0, last)]:
        part = {**options, "device": place.device, "first_run": runs[0], "last_run": runs[1]}
        schedule = native.gaussian_poisson_chebyshev_schedule(*views, **part)
        workspace = workspace or place.scratch(schedule.workspace_size)
        state = place.scratch(schedule.state_size) if schedule.state_size else None
        native.gaussian_poisson_chebyshev(
            *views,
            **part,
            workspace=workspace.block,
            state=(0, 0) if state is None else state.block,
            report=report.pointer,
            stream=place.stream,
        )
        nbytes = max(nbytes, workspace.nbytes + (0 if state is None else state.nbytes))
        if info:
            reports = native.gaussian_poisson_chebyshev_report(place.fetch(report, *INFO).tobytes(), count)
            if not any(r["more"] for r in reports):
                break
    return reports, nbytes


class _Tables:
    """The tables of 'dct' in the memory of a device: a few of those that were used last.

    They are copied once and the copy has ended when they are returned, so that any stream may read them.
    """

    MAX_ENTRIES = 16

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: collections.OrderedDict[tuple[Any, ...], tuple[Any, int, int]] = collections.OrderedDict()
        #: What graphs read in each replay, which is never freed: nobody says when a graph ends.
        self._of_graphs: dict[tuple[Any, ...], Any] = {}

    def of(self, place: Place, width: int, eq: DeviceEquation) -> tuple[tuple[int, int], int, Any]:
        """Returns the memory of the tables, the number of slow columns, and what keeps the memory."""
        native = place.module
        key = (id(_native.device_module()), place.device, width, eq.weight, eq.w0, eq.w1)
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
                if native.is_capturing(place.stream, place.device):
                    self._of_graphs[key] = entry[0]
                return (entry[0].pointer, entry[2]), entry[1], entry[0]
            host, slow = native.gaussian_poisson_direct_tables(width, eq.weight, eq.w0, eq.w1)
            if native.is_capturing(place.stream, place.device):
                # A graph has its own copy, written by its own launches.
                memory = place.scratch(host.nbytes)
                native.write_captured(memory.pointer, host, place.device, place.stream)
                return memory.block, slow, memory
            buffer = native.DeviceBuffer(host.nbytes, place.device, 0)
            native.copy_in(buffer.pointer, host.ctypes.data, host.nbytes, place.device, 0)
            native.synchronize(place.device, 0)
            while len(self._entries) >= self.MAX_ENTRIES:
                self._entries.popitem(last=False)
            self._entries[key] = buffer, slow, host.nbytes
            return (buffer.pointer, host.nbytes), slow, buffer

    @staticmethod
    def used(place: Place, memory: Any) -> None:
        """Keeps memory from being freed before the work of the stream so far; another call may drop its tables."""
        if (by := _cuda.recorder()) is not None:
            by.kept.append(memory)
        if hasattr(memory, "used_on") and not place.module.is_capturing(place.stream, place.device):
            memory.used_on(place.stream)


_tables = _Tables()


def _dct(
    place: Place,
    eq: DeviceEquation,
    out: DeviceArray,
    tolerance: float,
    unit: float,
    info: bool,
    certify: bool,
    rhs: DeviceArray | None = None,
) -> list[Outcome]:
    """Enqueues a direct solve on the stream; rhs replaces the b of the images."""
    native, count = place.module, out.shape[0]
    eq = dataclasses.replace(eq, mask=without_float64(place, eq.mask))
    x = out if not certify or out.dtype == np.float32 else place.empty(out.shape, np.dtype(np.float32))[1]
    arguments = {
        "weight": eq.weight,
        "w0": eq.w0,
        "w1": eq.w1,
        "rhs": None if rhs is None else rhs.view("rhs"),
        "device": place.device,
    }
    views = (*eq.views(), x.view("out", writable=True))
    workspace = place.scratch(native.gaussian_poisson_direct_workspace(*views, **arguments))
    tables, slow, keep = _tables.of(place, out.shape[2], eq)
    native.gaussian_poisson_direct(
        *views, **arguments, tables=tables, slow=slow, workspace=workspace.block, stream=place.stream
    )
    _tables.used(place, keep)
    nbytes = workspace.nbytes + tables[1]
    if not certify:
        return [Outcome("dct", 1, math.nan, math.nan, peak_bytes=nbytes) for _ in range(count if info else 0)]
    residuals = place.empty((count,), np.dtype(np.float32))[1]
    native.gaussian_poisson_direct_residual(*views, **arguments, residuals=residuals.pointer, stream=place.stream)
    if x is not out:
        place.copy(x, out)
        nbytes += x.nbytes
    del keep
    values = place.fetch(residuals, *INFO)
    _refuse_nonfinite(np.isfinite(values))
    # The residual has about twelve roundings of float32, of sums of up to sixteen values.
    rounding = 12 * 2.0**-24 * (16 + 2 * eq.weight) * 2 * unit
    excess = eq.row_excess()
    outcomes = [
        Outcome("dct", 1, float(r), (float(r) + rounding) / excess if excess > 0 else math.inf, peak_bytes=nbytes)
        for r in values
    ]
    if any(outcome.max_error > tolerance for outcome in outcomes):
        _prove_on_cpu(place, eq, x, outcomes, tolerance)
    return outcomes


def _prove_on_cpu(place: Place, eq: DeviceEquation, x: DeviceArray, outcomes: list[Outcome], tolerance: float) -> None:
    """Replaces the residuals and bounds of float32 solutions by those of the CPU in float64."""
    batches = [place.fetch(a) for a in (eq.src, eq.dst, eq.mask, eq.base, x)]
    for outcome, src, dst, mask, base, solution in zip(outcomes, *batches, strict=True):
        there = Equation(src, dst, mask, base, eq.weight, None, eq.w0, eq.w1, pinned=False)
        outcome.residual = there.residual(solution)
        outcome.max_error = proven_bound(there, solution, outcome.residual, tolerance)


def inverse(place: Place, eq: DeviceEquation, g: DeviceArray, out: DeviceArray, tolerance: float) -> None:
    """Enqueues the computation of A^-1 g [N, H, W, C] float32 into out, initially zeros; both are zero at known pixels.

    With weight 0 and no known pixel g must have zero mean, and then the result has zero mean.

    Args:
        tolerance: the largest error, in the unit of g.
    """
    levels = tolerance * 255
    with _cuda.failures("gaussian_poisson"):
        method = choose_method_on(place, eq, levels)
        if method == "chebyshev":
            _chebyshev(place, eq, out, tolerance, 1.0, False, g)
        elif method == "dct":
            _dct(place, eq, out, tolerance, 1.0, False, False, g)
        else:
            DeviceHierarchy.of(place, eq).solve_rhs(place, g, out, tolerance)


def _galerkin(
    place: Place, eq: DeviceEquation, out: DeviceArray, levels: float, unit: float, info: bool, certify: bool
) -> list[Outcome]:
    """Solves by Galerkin multigrid with conjugate gradients, for any mask and any map of weights."""
    hierarchy = DeviceHierarchy.of(place, eq)
    if eq.pinned:
        place.copy(eq.dst, out)
    reports, nbytes = hierarchy.solve(
        place, eq, out, gradients="source", levels=levels, unit=unit, certify=certify, read=info
    )
    if eq.weight_map is None and eq.weight == 0 and any(r["unknowns"] == math.prod(out.shape[1:3]) for r in reports):
        raise MaskError(
            "mask: it covers the whole image and color_weight is 0, so nothing determines the mean of the result; pass "
            "preserve_background=False, which uses the mean of base"
        )
    _refuse_nonfinite(math.isfinite(r["estimate"]) for r in reports)
    return [outcome_of(report, nbytes) for report in reports]


def _refuse_nonfinite(finite: Iterable[bool]) -> None:
    for i, item in enumerate(finite):
        if not item:
            raise ArgumentError(f"src, dst, base: NaN or infinities in item {i}; expected finite values")


def run(place: Place, call: BlendCall) -> Any:
    """Computes `pyharmony.ops.gaussian_poisson` at a place; returns NotImplemented if only the CPU supports it."""
    form = call_form(place, call, LIMITS)
    if form is None:
        return NotImplemented
    check_base(form.base, form.dst, "float32")
    dtype = form.dst.dtype
    levels = _checks.tolerance(call.tolerance, dtype.name)
    images = {"src": form.src, "dst": form.dst, "base": form.base}
    src, dst, base = (batch_of(place.take(x, name)) for name, x in images.items())
    count, height, width, _ = dst.shape
    mask = mask_on(place, call.mask, count, height, width, batch=form.dst.ndim == 4)
    pinned = call.preserve_background
    if place.kind == "host":
        pinned = pinned and not _arrays.to_numpy(call.mask, "mask").min() > 0
        for name, x in images.items():
            _checks.finite(x.reshape(-1, *x.shape[-2:]) if x.ndim > 2 else x[..., None], name)
    weight, weight_map, most = weight_on(place, call.color_weight, count, height, width)
    out, into = place.result(tuple(form.dst.shape), dtype)
    infos = solve_on(
        place,
        DeviceEquation(src, dst, mask, base, weight, weight_map, call.w0, call.w1, pinned, most=most),
        batch_of(into),
        method=call.method,
        levels=levels,
        unit=_arrays.VALUE_RANGE[dtype.name],
        info=call.return_info or place.kind == "host",
        certify=call.return_info,
    )
    return deliver(place, call, out, into, infos)
