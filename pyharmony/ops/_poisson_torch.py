"""`poisson` as an operator for torch's compiler, with the gradient of `pyharmony.ops._gaussian_poisson_torch`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from .. import _cuda
from . import _poisson_cpu, _poisson_cuda
from ._gaussian_poisson_inverse_torch import Operator
from ._gaussian_poisson_torch import (
    backward,
    call_operator,
    check,
    empty_like_dst,
    image_of,
    levels_of,
    number,
    set_up,
    tensor_of,
    weights_of,
)  # fmt: skip
from ._native_torch import operator
from ._poisson import SOLVERS, PoissonCall, call_of


def _run(
    src: Tensor,
    dst: Tensor,
    mask: Tensor,
    base: Tensor | None,
    color_map: Tensor | None,
    color_weight: float,
    gradients: str,
    contour: str,
    tolerance: float | None,
    solver: int,
) -> Tensor:
    weight = color_weight if color_map is None else color_map
    call = call_of(src, dst, mask, base, weight, gradients, contour, tolerance, False)
    poisson_solver = SOLVERS.get(solver)

    def compute(info: bool) -> Any:
        with_info = replace(call, return_info=info)
        if poisson_solver is not None:
            return poisson_solver.solve(with_info, None)
        return _cuda.dispatch(with_info, None, _poisson_cpu, _poisson_cuda)

    return image_of(compute)


def _set_up(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *_, weight, gradients, contour, tolerance, solver = inputs
    numbers = Operator(weight, 0.0, False, True, levels_of(tolerance, output), solver)
    set_up(ctx, inputs, numbers, gradients, contour, False)


_operator = operator(
    "poisson",
    "(Tensor src, Tensor dst, Tensor mask, Tensor? base, Tensor? color_map, float color_weight, str gradients, "
    "str contour, float? tolerance, int solver) -> Tensor",
    _run,
    empty_like_dst,
    backward,
    _set_up,
)


def poisson(call: PoissonCall, solver: int = 0) -> Any:
    """Computes `pyharmony.ops.poisson` in a graph, or `PoissonSolver.solve` of the solver with that key."""
    src, dst, mask, base = call.src, call.dst, call.mask, call.base
    check(dst, mask, call.color_weight, src=src, base=base)
    color_map, weight = weights_of(call.color_weight, dst)
    images = [
        None if x is None else tensor_of(x, name, dst)
        for x, name in ((src, "src"), (dst, "dst"), (mask, "mask"), (base, "base"))
    ]
    levels = None if call.tolerance is None else number(call.tolerance, "tolerance")
    arguments = *images, color_map, weight, call.gradients, call.contour, levels, solver
    return call_operator(_operator, arguments, call.return_info)
