"""`spectral_norm` for tensors: gradients of any order, and operators for torch's compiler.

With G = dL/d(W / sigma) and g = dL/dsigma, u and v constants and sigma = u^T M v,

    dL/dW = G / sigma + (g - <G, W> / sigma^2) u v^T,

for all weights in one native call. This is again a function of (W, G, g). Its gradients for a cotangent V, with
p = u^T V v and q = <G, W>, are composed of torch's own operations, so that derivatives of any order follow:

    dG = V / sigma - p / sigma^2 W,   dg = p,   dW = -p / sigma^2 G + (2 p q / sigma^3 - <V, G> / sigma^2) u v^T.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter, is_
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad as _forward_ad

from .. import _arrays, _cuda
from ..errors import DeviceError, DTypeError
from ._native_torch import Calls, DeviceCalls, calls_for, on_device, operator, where_of
from ._spectral_norm import FLOATS, ORDERS, Layout, Settings, layout_of, zero_weight


class DeviceUpdate:
    """A call on a device that is described once, for weights and vectors that stay where they are.

    Attributes:
        facts: what the description depends on, see `facts_of`.
        vectors: all u, and then all v.
    """

    def __init__(self, facts: Any, count: int, vectors: Sequence[Tensor], call: Any) -> None:
        self.facts, self.count, self._native = facts, count, call
        self.vectors = list(vectors)
        self._state, self._workspace = call.state, max(call.workspace, 1)

    def run(self, weights: Sequence[Tensor], normalized: bool) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Enqueues it on the current stream; returns what `run` returns."""
        outs = [torch.empty_like(w) for w in weights] if normalized else []
        device = weights[0].device
        sigmas = torch.empty(self.count, dtype=torch.float32, device=device)
        state = torch.empty(self._state, dtype=torch.float32, device=device)
        workspace = torch.empty(self._workspace, dtype=torch.uint8, device=device)
        number, stream = where_of(weights[0])
        pointers = [out.data_ptr() for out in outs]
        with _cuda.failures("spectral_norm"):
            self._native.run(
                pointers, sigmas.data_ptr(), state.data_ptr(), workspace.data_ptr(), device=number, stream=stream
            )
        return sigmas, state, outs


_shape, _dtype = attrgetter("shape"), attrgetter("dtype")


def facts_of(weights: Sequence[Tensor], us: Sequence[Tensor], vs: Sequence[Tensor]) -> Any:
    """Returns what the description of a call depends on in its tensors, if u and v are the same tensors as before.

    It costs less than a description.
    """
    vectors = [*us, *vs]
    return (
        list(map(Tensor.data_ptr, weights)),
        list(map(Tensor.data_ptr, vectors)),
        list(map(_shape, weights)),
        list(map(Tensor.stride, weights)),
        list(map(_dtype, weights)),
        list(map(Tensor.is_neg, weights)),
        list(map(Tensor.numel, vectors)),
    )


class Updates:
    """The calls on a device of a group of norms, by settings."""

    def __init__(self) -> None:
        self._known: dict[Any, DeviceUpdate] = {}

    def find(
        self, weights: Sequence[Tensor], us: Sequence[Tensor], vs: Sequence[Tensor], dims: Sequence[int], how: Settings
    ) -> DeviceUpdate | None:
        """Returns the call if it is known and still describes these tensors, which then need no checks."""
        known = self._known.get((how, *dims))
        if known is None or not all(map(is_, known.vectors, (*us, *vs))):
            return None
        return known if known.facts == facts_of(weights, us, vs) else None

    def add(
        self, weights: Sequence[Tensor], us: Sequence[Tensor], vs: Sequence[Tensor], dims: Sequence[int], how: Settings
    ) -> DeviceUpdate | None:
        """Describes a call of checked tensors; returns None for those of which kernels need copies."""
        facts = facts_of(weights, us, vs)
        layouts = [layout_of(tuple(w.shape), tuple(w.stride()), dim) for w, dim in zip(weights, dims)]
        vectors = [*us, *vs]
        if (
            any(not at.dense or at.order is not None for at in layouts)
            or any(x.dtype != torch.float32 or not x.is_contiguous() for x in vectors)
            or any(x.ndim != 1 for x in vectors)
            or any(x.layout != torch.strided or x.is_neg() or not x.data_ptr() for x in (*weights, *vectors))
        ):
            return None
        calls = DeviceCalls(weights[0], "spectral_norm")
        native = calls.module.SpectralNormUpdate(
            [_matrix_view(calls, w, at) for w, at in zip(weights, layouts)],
            [_flat_view(calls, u) for u in us],
            [_flat_view(calls, v) for v in vs],
            iterations=how.iterations,
            eps=how.eps,
            order=how.order,
            write=how.iterations > 0,
        )
        result = self._known[(how, *dims)] = DeviceUpdate(facts, len(weights), vectors, native)
        while len(self._known) > _MAX_GROUP_UPDATES:
            del self._known[next(iter(self._known))]
        return result


class Pool:
    """CPU memory that is reused after the tensors in it are freed.

    Page faults in fresh memory of this size cost more than all other work here, and torch returns the memory of a
    freed tensor to the system.
    """

    def __init__(self) -> None:
        #: The calls of the same group on a device, which has an allocator that reuses memory.
        self.updates = Updates()
        self._free: dict[int, list[Any]] = {}
        self._lent: dict[int, Any] = {}

    def empty_like(self, x: Tensor) -> Tensor:
        """Returns a tensor with the layout of x, which is dense."""
        nbytes = x.numel() * x.element_size()
        free = self._free.setdefault(nbytes, [])
        try:
            block = free.pop()
        except IndexError:
            block = np.empty(nbytes, np.uint8)
        lease = block.view()  # referenced by the tensor's storage
        key = id(lease)

        def back(_: Any, lent: Any = self._lent, block: Any = block) -> None:
            free.append(block)
            lent.pop(key, None)

        self._lent[key] = weakref.ref(lease, back)
        return torch.from_numpy(lease).view(x.dtype).as_strided(x.shape, x.stride())


#: With order='step' a group has a call for training and one for evaluation; layers may be updated in parts.
_MAX_GROUP_UPDATES = 8


def _matrix_view(calls: Calls, x: Tensor, at: Layout) -> Any:
    return at.view(calls.module, x.data_ptr(), _arrays.dtype_of(x), writable=True)


def _flat_view(calls: Calls, x: Tensor) -> Any:
    return calls.module.ArrayView(x.data_ptr(), _arrays.dtype_of(x), (x.numel(),), (1,), True)


def _run(calls: Calls, name: str, matrices: list[Any], *arguments: Any, **options: Any) -> Any:
    workspace = calls.size("spectral_norm_workspace", matrices)
    return calls.run(name, matrices, *arguments, workspace=workspace, **options)


def _real(weights: Sequence[Tensor]) -> torch.dtype:
    return torch.float64 if any(w.dtype == torch.float64 for w in weights) else torch.float32


def _empty(x: Tensor, pool: Pool | None) -> Tensor:
    return torch.empty_like(x) if pool is None or x.device.type != "cpu" else pool.empty_like(x)


def _dense(weights: Sequence[Tensor], dims: Sequence[int]) -> tuple[list[Tensor], list[Layout]]:
    """Returns the weights, with copies of those with gaps, and their layouts."""
    dense, layouts = [], []
    for w, dim in zip(weights, dims):
        w = _arrays.plain(w.detach(), "weights")
        at = layout_of(tuple(w.shape), tuple(w.stride()), dim)
        if not at.dense:
            w = torch.empty_like(w).copy_(w)
            at = layout_of(tuple(w.shape), tuple(w.stride()), dim)
        dense.append(w)
        layouts.append(at)
    return dense, layouts


def _like(x: Tensor, weight: Tensor) -> Tensor:
    """Returns x with the memory layout of weight, which is dense."""
    if x.stride() == weight.stride() and x.dtype == weight.dtype:
        return x
    return torch.empty_like(weight).copy_(x)


def run(
    weights: Sequence[Tensor],
    us: Sequence[Tensor],
    vs: Sequence[Tensor],
    dims: Sequence[int],
    settings: Settings,
    *,
    normalized: bool,
    write: bool,
    pool: Pool | None = None,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Returns sigmas, the new u and v of all weights in one vector, and W / sigma; write: update u and v in place."""
    calls = calls_for(weights[0], "spectral_norm")
    dense, layouts = _dense(weights, dims)
    outs = [_empty(w, pool) for w in dense] if normalized else []
    real = _real(weights)
    sigmas = weights[0].new_empty(len(weights), dtype=real)
    state = weights[0].new_empty(sum(at.rows + at.cols for at in layouts), dtype=real)
    new_us = [_arrays.plain(u.detach(), "us") for u in us]
    new_vs = [at.in_memory(_arrays.plain(v.detach(), "vs")) for v, at in zip(vs, layouts)]
    if on_device(weights[0]):
        new_us, new_vs = [u.to(torch.float32) for u in new_us], [v.to(torch.float32) for v in new_vs]
    new_us, new_vs = [u.contiguous() for u in new_us], [v.contiguous() for v in new_vs]
    zero = _run(
        calls,
        "spectral_norm",
        [_matrix_view(calls, w, at) for w, at in zip(dense, layouts)],
        [_flat_view(calls, u) for u in new_us],
        [_flat_view(calls, v) for v in new_vs],
        [_matrix_view(calls, out, at) for out, at in zip(outs, layouts)],
        _flat_view(calls, sigmas),
        _flat_view(calls, state),
        iterations=settings.iterations,
        eps=settings.eps,
        order=settings.order,
        write=write,
    )
    if zero is not None and zero >= 0:
        raise zero_weight(zero)
    if write and settings.iterations:
        for u, new_u, v, new_v, at in zip(us, new_us, vs, new_vs, layouts):
            for old, new in ((u, new_u), (v, at.logical(new_v))):
                if old.data_ptr() != new.data_ptr():
                    old.detach().copy_(new)
    _reorder(state, layouts, Layout.logical)
    return sigmas, state, outs


def _reorder(state: Tensor, layouts: Sequence[Layout], how: Any) -> None:
    """Converts the vectors v in a state between memory order and logical order, in place."""
    at = 0
    for layout in layouts:
        if layout.order is not None:
            v = state[at + layout.rows : at + layout.rows + layout.cols]
            v.copy_(how(layout, v.clone()))
        at += layout.rows + layout.cols


def run_gradient(
    weights: Sequence[Tensor],
    grads: Sequence[Tensor | None],
    sigmas: Tensor,
    grad_sigmas: Tensor | None,
    state: Tensor,
    dims: Sequence[int],
    pool: Pool | None = None,
) -> list[Tensor]:
    """Returns dL/dW of all weights."""
    calls = calls_for(weights[0], "spectral_norm")
    dense, layouts = _dense(weights, dims)
    dense_grads = [None if g is None else _like(_arrays.plain(g.detach(), "grad"), w) for g, w in zip(grads, dense)]
    outs = [_empty(w, pool) for w in dense]
    if any(at.order is not None for at in layouts):
        state = state.clone()
        _reorder(state, layouts, Layout.in_memory)
    extra = None if grad_sigmas is None else _arrays.plain(grad_sigmas.detach(), "grad").to(sigmas.dtype).contiguous()
    sigmas = sigmas.detach().contiguous()
    _run(
        calls,
        "spectral_norm_gradient",
        [_matrix_view(calls, w, at) for w, at in zip(dense, layouts)],
        [None if g is None else _matrix_view(calls, g, at) for g, at in zip(dense_grads, layouts)],
        _flat_view(calls, sigmas),
        None if extra is None else _flat_view(calls, extra),
        _flat_view(calls, state),
        [_matrix_view(calls, out, at) for out, at in zip(outs, layouts)],
    )
    return outs


# ---- gradients of the gradient --------------------------------------------------------------------------------------


def _vectors(weight: Tensor, dim: int, state: Tensor, at: int) -> tuple[Tensor, Tensor, int]:
    rows = weight.shape[dim]
    cols = weight.numel() // rows
    return state[at : at + rows], state[at + rows : at + rows + cols], at + rows + cols


def _matrix(x: Tensor, dim: int) -> Tensor:
    return x.movedim(dim, 0).flatten(1)


def _between(u: Tensor, x: Tensor, v: Tensor, dim: int) -> Tensor:
    """Returns u^T X v."""
    return torch.dot(u, torch.mv(_matrix(x, dim), v))


def gradient_of_gradient(
    weights: Sequence[Tensor],
    grads: Sequence[Tensor | None],
    state: Tensor,
    dims: Sequence[int],
    cotangents: Sequence[Tensor | None],
) -> tuple[list[Tensor | None], list[Tensor | None], Tensor]:
    """Returns the cotangents of W, G and g for those of `run_gradient`'s results; they can be differentiated."""
    for_weights: list[Tensor | None] = []
    for_grads: list[Tensor | None] = []
    pulls = []
    at = 0
    for weight, grad, dim, cotangent in zip(weights, grads, dims, cotangents):
        u, v, at = _vectors(weight, dim, state, at)
        p, for_weight, for_grad = state.new_zeros(()), None, None
        if cotangent is not None:
            w, c = weight.to(state.dtype), cotangent.to(state.dtype)
            p = _between(u, c, v, dim)
            if grad is not None:
                g = grad.to(state.dtype)
                sigma = _between(u, w, v, dim)
                q = (g * w).sum()
                along = 2 * p * q / sigma**3 - (c * g).sum() / sigma**2
                outer = torch.outer(u, v).reshape(weight.movedim(dim, 0).shape).movedim(0, dim)
                for_grad = (c / sigma - p / sigma**2 * w).to(weight.dtype)
                for_weight = (along * outer - p / sigma**2 * g).to(weight.dtype)
        pulls.append(p)
        for_weights.append(for_weight)
        for_grads.append(for_grad)
    return for_weights, for_grads, torch.stack(pulls)


# ---- without a compiler ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Normalization:
    """The arguments of a call of the functions below, except tensors with gradients."""

    us: Sequence[Tensor]
    vs: Sequence[Tensor]
    dims: Sequence[int]
    settings: Settings
    normalized: bool
    pool: Pool | None
    update: DeviceUpdate | None = None


class _Normalize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, call: _Normalization, *weights: Tensor) -> tuple[Tensor, ...]:
        if call.update is not None:
            sigmas, state, outs = call.update.run(weights, call.normalized)
        else:
            sigmas, state, outs = run(
                weights, call.us, call.vs, call.dims, call.settings, normalized=call.normalized,
                write=call.settings.iterations > 0, pool=call.pool,
            )  # fmt: skip
        # save_for_backward is not used: D(real) and D(fake) of one update may go backward one after the other, each
        # through this node, and the first would free the saved tensors. backward makes the check of versions itself.
        ctx.call, ctx.weights, ctx.versions = call, weights, _versions(weights)
        ctx.state, ctx.sigmas = state, sigmas.detach().clone()
        ctx.set_materialize_grads(False)
        return (sigmas, *outs)

    @staticmethod
    def backward(ctx: Any, grad_sigmas: Tensor | None, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        if _versions(ctx.weights) != ctx.versions:
            raise RuntimeError(
                "spectral_norm: a weight was changed in place after its norm was computed; call backward before the "
                "optimizer's step, and normalise again after it"
            )
        count = len(ctx.weights)
        grads = grads or (None,) * count
        if grad_sigmas is None and all(g is None for g in grads):
            return (None,) * (count + 1)
        call = ctx.call
        dense = _apply_gradient(call.dims, ctx.sigmas, ctx.state, call.pool, grad_sigmas, *ctx.weights, *grads)
        return (
            None,
            *(None if g is None and grad_sigmas is None else d for d, g in zip(dense, grads)),
        )


class _NormGradient(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, dims: Sequence[int], sigmas: Tensor, state: Tensor, pool: Pool | None, grad_sigmas: Tensor | None,
        *weights_and_grads: Tensor | None,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        half = len(weights_and_grads) // 2
        weights: Any = weights_and_grads[:half]
        grads = weights_and_grads[half:]
        # The caller omits weights without any gradient.
        outs = run_gradient(weights, grads, sigmas, grad_sigmas, state, dims, pool)
        ctx.dims, ctx.state = dims, state
        ctx.save_for_backward(*weights_and_grads)
        ctx.with_sigmas = None if grad_sigmas is None else grad_sigmas.dtype
        ctx.set_materialize_grads(False)
        return tuple(outs)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Any, ...]:
        tensors = ctx.saved_tensors
        half = len(tensors) // 2
        for_weights, for_grads, for_sigmas = gradient_of_gradient(
            tensors[:half], tensors[half:], ctx.state, ctx.dims, cotangents
        )
        pulls = None if ctx.with_sigmas is None else for_sigmas.to(ctx.with_sigmas)
        return (None, None, None, None, pulls, *for_weights, *for_grads)


class _Inverses(torch.autograd.Function):
    """The function 1 / sigma, with one tensor for each; like `_Normalize` it may go backward more than once."""

    @staticmethod
    def forward(ctx: Any, sigmas: Tensor) -> tuple[Tensor, ...]:
        ctx.sigmas = sigmas
        return tuple(inverse.clone() for inverse in sigmas.reciprocal())

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return -torch.stack(grads) / ctx.sigmas.square()


# torch has no types for apply.
_apply_normalize: Any = _Normalize.apply
_apply_gradient: Any = _NormGradient.apply
_apply_inverses: Any = _Inverses.apply


def _versions(xs: Sequence[Tensor]) -> list[int]:
    try:
        return [x._version for x in xs]
    except RuntimeError:  # tensors of inference have none
        return [-1 if x.is_inference() else x._version for x in xs]


# ---- operators for the compiler -------------------------------------------------------------------------------------


def _run_operator(
    weights: Sequence[Tensor],
    us: Sequence[Tensor],
    vs: Sequence[Tensor],
    dims: Sequence[int],
    iterations: int,
    eps: float,
    legacy: bool,
    normalized: bool,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    settings = Settings(iterations, eps, ORDERS[0] if legacy else ORDERS[1])
    return run(weights, us, vs, dims, settings, normalized=normalized, write=False)


def _run_gradient_operator(
    weights: Sequence[Tensor],
    grads: Sequence[Tensor],
    sigmas: Tensor,
    grad_sigmas: Tensor,
    state: Tensor,
    dims: Sequence[int],
) -> list[Tensor]:
    return run_gradient(weights, list(grads) or [None] * len(weights), sigmas, grad_sigmas, state, dims)


def _fake(
    weights: Any, us: Any, vs: Any, dims: Any, iterations: int, eps: float, legacy: bool, normalized: bool
) -> tuple[Tensor, Tensor, list[Tensor]]:
    real = _real(weights)
    size = sum(w.shape[dim] + w.numel() // w.shape[dim] for w, dim in zip(weights, dims))
    outs = [torch.empty_like(w) for w in weights] if normalized else []
    return weights[0].new_empty(len(weights), dtype=real), weights[0].new_empty(size, dtype=real), outs


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
    weights, us, vs, ctx.dims, *_ = inputs
    sigmas, state, outs = output
    ctx.save_for_backward(sigmas, state, *weights)
    ctx.vectors, ctx.count = len(us), len(outs)


def _backward(ctx: Any, grad_sigmas: Any, _: Any, grads: Any) -> tuple[Any, ...]:
    sigmas, state, *weights = ctx.saved_tensors
    grad_sigmas = torch.zeros_like(sigmas) if grad_sigmas is None else grad_sigmas
    grads = [torch.zeros_like(w) if g is None else g for g, w in zip(grads or [], weights)]
    weight_grads = _gradient_operator(weights, grads, sigmas.detach(), grad_sigmas, state, ctx.dims)
    nothing = [None] * ctx.vectors
    return weight_grads, nothing, nothing, None, None, None, None, None


def _setup_gradient(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    weights, grads, _, _, state, ctx.dims = inputs
    ctx.save_for_backward(state, *weights, *grads)
    ctx.weights, ctx.grads = len(weights), len(grads)


def _backward_gradient(ctx: Any, cotangents: Any) -> tuple[Any, ...]:
    state, *rest = ctx.saved_tensors
    weights, grads = rest[: ctx.weights], rest[ctx.weights :] or [None] * ctx.weights
    for_weights, for_grads, for_sigmas = gradient_of_gradient(weights, grads, state, ctx.dims, cotangents)
    return for_weights, for_grads if ctx.grads else [], None, for_sigmas, None, None


_operator = operator(
    "spectral_norm",
    "(Tensor[] weights, Tensor[] us, Tensor[] vs, int[] dims, int iterations, float eps, bool legacy, "
    "bool normalized) -> (Tensor, Tensor, Tensor[])",
    _run_operator,
    _fake,
    _backward,
    _setup,
)
_gradient_operator = operator(
    "spectral_norm_gradient",
    "(Tensor[] weights, Tensor[] grads, Tensor sigmas, Tensor grad_sigmas, Tensor state, int[] dims) -> Tensor[]",
    _run_gradient_operator,
    lambda weights, *_: [torch.empty_like(w) for w in weights],
    _backward_gradient,
    _setup_gradient,
)


# ---- the call -------------------------------------------------------------------------------------------------------


def check(weights: Sequence[Tensor], us: Sequence[Tensor], vs: Sequence[Tensor]) -> None:
    for name, xs in (("weights", weights), ("us", us), ("vs", vs)):
        for i, x in enumerate(xs):
            if _arrays.dtype_of(x) not in FLOATS:
                raise DTypeError(f"{name}[{i}]: {x.dtype}, expected one of {', '.join(FLOATS)}")
            if x.device != weights[0].device:
                raise DeviceError(f"{name}[{i}]: on {x.device}, expected {weights[0].device} like weights[0]")
    _arrays.check_device(weights[0], "weights[0]")
    if not on_device(weights[0]):
        return
    for i, w in enumerate(weights):
        if w.dtype == torch.float64 or w.dtype != weights[0].dtype:
            raise DTypeError(f"weights[{i}]: {w.dtype} on a device; expected one of float32, float16, bfloat16 for all")


def normalize(
    weights: Sequence[Tensor],
    us: Sequence[Tensor],
    vs: Sequence[Tensor],
    dims: Sequence[int],
    settings: Settings,
    *,
    normalized: bool,
    pool: Pool | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """Returns sigmas and W / sigma, with gradients; updates u and v in place if there are iterations."""
    update = None
    compiling = torch.compiler.is_compiling()
    if pool is not None and not compiling and on_device(weights[0]):
        update = pool.updates.find(weights, us, vs, dims, settings)
    if update is None:
        check(weights, us, vs)
        if pool is not None and not compiling and on_device(weights[0]):
            update = pool.updates.add(weights, us, vs, dims, settings)
    if update is not None and not torch.is_grad_enabled() and _forward_ad._current_level < 0:
        sigmas, _, outs = update.run(weights, normalized)  # nothing is to be differentiated
        return sigmas, outs
    if not compiling:
        sigmas, *outs = _apply_normalize(_Normalization(us, vs, dims, settings, normalized, pool, update), *weights)
        return sigmas, outs
    legacy = settings.order == ORDERS[0]
    us, vs = [u.detach() for u in us], [v.detach() for v in vs]
    sigmas, state, outs = _operator(
        list(weights), us, vs, list(dims), settings.iterations, settings.eps, legacy, normalized
    )
    if settings.iterations:
        with torch.no_grad():
            at = 0
            for weight, u, v, dim in zip(weights, us, vs, dims):
                new_u, new_v, at = _vectors(weight, dim, state.detach(), at)
                u.copy_(new_u)
                v.copy_(new_v)
    return sigmas, outs


def inverses(sigmas: Tensor) -> Sequence[Tensor]:
    """Returns 1 / sigma of each weight in a separate tensor."""
    if torch.compiler.is_compiling():
        return sigmas.reciprocal().unbind()
    return _apply_inverses(sigmas)
