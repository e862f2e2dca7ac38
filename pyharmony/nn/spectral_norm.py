"""Spectral normalisation of layers: one, or all of a model at once.

Both keep the weight as `weight_orig` and the vectors as `weight_u` and `weight_v`, as torch.nn.utils.spectral_norm
does, load the state dicts of either of torch's forms, and save in that of their `order`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.optimizer import register_optimizer_step_post_hook

from ..errors import ArgumentError, DTypeError, ShapeError
from ..ops import _spectral_norm_torch as op
from ..ops.spectral_norm import Settings, settings, zero_weight
from ..typing import SpectralNormOrder, SpectralNormUpdate

UPDATES = ("step", "forward")
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
#: Of torch's parametrization: 15, and one when it is registered.
_FIRST_ITERATIONS = 16

Layer = TypeVar("Layer", bound=nn.Module)


class _Part:
    """One weight of a group."""

    def __init__(self, module: nn.Module, path: str, name: str, dim: int | None) -> None:
        weight = getattr(module, name, None)
        if _normalised(module, name):
            raise ArgumentError(f"{path or 'module'}: {name} has a spectral norm already; expected a layer without one")
        if not isinstance(weight, nn.Parameter) or isinstance(weight, nn.parameter.UninitializedParameter):
            raise ArgumentError(f"name: {name!r} is no parameter of {path or type(module).__name__} that has values")
        if weight.ndim < 2 or weight.numel() == 0:
            raise ShapeError(f"{path or 'module'}.{name}: shape {list(weight.shape)}, expected at least two axes")
        if dim is None:
            dim = 1 if isinstance(module, _TRANSPOSED) else 0
        if isinstance(dim, bool) or not isinstance(dim, int):
            raise DTypeError(f"dim: {dim!r}, expected an integer or None")
        if not -weight.ndim <= dim < weight.ndim:
            raise ArgumentError(f"dim: {dim}, expected {-weight.ndim} to {weight.ndim - 1}")
        if not weight.is_meta and not bool(weight.detach().any()):
            raise ArgumentError(f"{path or 'module'}.{name}: all zeros; its spectral norm is zero and divides it")
        self.module, self.path, self.name, self.dim = module, path, name, dim % weight.ndim

    @property
    def weight(self) -> Tensor:
        return self.module._parameters[f"{self.name}_orig"]  # type: ignore[return-value]

    @property
    def u(self) -> Tensor:
        return self.module._buffers[f"{self.name}_u"]  # type: ignore[return-value]

    @property
    def v(self) -> Tensor:
        return self.module._buffers[f"{self.name}_v"]  # type: ignore[return-value]

    def register(self, eps: float) -> None:
        module, name = self.module, self.name
        weight = module._parameters[name]
        assert weight is not None  # noqa: S101  # checked above
        rows = weight.shape[self.dim]
        # In the order in which torch draws them.
        u, v = (weight.detach().new_empty(n).normal_(0, 1) for n in (rows, weight.numel() // rows))
        del module._parameters[name]
        module.register_parameter(f"{name}_orig", weight)
        setattr(module, name, weight.detach())
        module.register_buffer(f"{name}_u", functional.normalize(u, dim=0, eps=eps))
        module.register_buffer(f"{name}_v", functional.normalize(v, dim=0, eps=eps))


def _normalised(module: nn.Module, name: str) -> bool:
    """By this module or by either form of torch."""
    parametrized = getattr(module, "parametrizations", None)
    return f"{name}_orig" in module._parameters or (parametrized is not None and name in parametrized)


class _Hook:
    """What a layer calls before and after its forward; a class, so that models can be copied and pickled."""

    def __init__(self, group: SpectralNormGroup, index: int) -> None:
        self.group, self.index = group, index


class _Before(_Hook):
    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        group = self.group
        if not torch.compiler.is_compiling():
            group._renew_if_stale(self.index)
        values = group._values
        if not values:
            raise RuntimeError("spectral_norm: compiled before its first update; call the group's update() before")
        setattr(module, group._parts[self.index].name, values[self.index])
        if not group.fold:
            return None
        first, *rest = inputs
        return (first * group._inverses[self.index].to(first.dtype), *rest)


class _After(_Hook):
    """Leaves the layer a weight without a graph, which can be copied."""

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        setattr(module, self.group._parts[self.index].name, self.group._detached[self.index])


class _BeforeModel:
    def __init__(self, group: SpectralNormGroup) -> None:
        self.group = group

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        group = self.group
        if group.update_once == "forward" and any(part.module.training for part in group._parts):
            group.update()
        elif torch.compiler.is_compiling():
            group._renew_eagerly()
        else:
            group._renew_if_stale()


class _BeforeLoad(_Hook):
    """Takes the names of either form of torch."""

    def __call__(self, module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
        name = self.group._parts[self.index].name
        for ours, theirs in _names(name):
            if prefix + theirs in state and prefix + ours not in state:
                state[prefix + ours] = state.pop(prefix + theirs)
        self.group._values = []


class _AfterSave(_Hook):
    """Gives the names of the form that the order is of."""

    def __call__(self, module: nn.Module, state: dict[str, Any], prefix: str, metadata: dict[str, Any]) -> None:
        name = self.group._parts[self.index].name
        if self.group.order == "legacy":
            metadata.setdefault("spectral_norm", {})[f"{name}.version"] = 1
            return
        for ours, theirs in _names(name):
            if prefix + ours in state:
                state[prefix + theirs] = state.pop(prefix + ours)


def _names(name: str) -> list[tuple[str, str]]:
    """Keys of a state dict: the legacy one, and the parametrization's."""
    room = f"parametrizations.{name}"
    return [(f"{name}_orig", f"{room}.original"), (f"{name}_u", f"{room}.0._u"), (f"{name}_v", f"{room}.0._v")]


class SpectralNormGroup:
    """Divides all weights of a model's layers by their spectral norms, in one call for all of them.

    After `SpectralNormGroup(model)` the model is used as before: a forward that finds the weights changed since the
    last update makes one power iteration of all layers (in training mode), and all calls until the next change, of
    D(real) and of D(fake), use its result. `update()` does so at once.

    Args:
        model: its Linear, Conv and ConvTranspose layers, and what else has a `kernel_size`, are taken.
        modules: these layers of it instead.
        name: of the weight.
        n_power_iterations: in an update, at least 1.
        eps: the least length that a vector is divided by.
        order: 'legacy': v, then u, and the state dict of torch.nn.utils.spectral_norm; 'parametrization': u, then v,
            and that of torch.nn.utils.parametrizations.spectral_norm. Either loads both.
        update: 'step': an update when weights have changed, which an optimizer's step does; 'forward': in each call
            of model in training mode, whose layers all use that one.
        fold: W / sigma is never written: layers get their input divided by sigma, which gives the same output as they
            are linear. `inverse_sigmas` is for those that would do it elsewhere.
        dim: the axis of the outputs. None: 1 for transposed convolutions, else 0.

    Raises:
        ArgumentError: an argument is out of range, there is no layer, a weight is zero or has a norm already.
        DTypeError, ShapeError: a weight cannot have one.

    Updates in place that torch does not count (of `weight.data`) are not seen; call `update()` after them. In a model
    compiled with fullgraph=True use update='forward', or call `update()` outside after each optimizer's step.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        modules: Iterable[nn.Module] | None = None,
        name: str = "weight",
        n_power_iterations: int = 1,
        eps: float = 1e-12,
        order: SpectralNormOrder = "legacy",
        update: SpectralNormUpdate = "step",
        fold: bool = False,
        dim: int | None = None,
    ) -> None:
        self._settings: Settings = settings(n_power_iterations, eps, order)
        if update not in UPDATES:
            raise ArgumentError(f"update: {update!r}, expected one of {', '.join(map(repr, UPDATES))}")
        if not isinstance(fold, bool):
            raise DTypeError(f"fold: {fold!r}, expected True or False")
        self.update_once, self.fold = update, fold
        self._forget()
        paths = {id(module): path for path, module in model.named_modules()}
        if modules is None:
            chosen = [module for module in model.modules() if _is_layer(module, name)]
        else:
            chosen = list(dict.fromkeys(modules))
            for module in chosen:
                if id(module) not in paths:
                    raise ArgumentError(f"modules: a {type(module).__name__} that is not in model")
        if not chosen:
            raise ArgumentError(f"model: no layer with a parameter {name!r} in {type(model).__name__}")
        # All are checked before any is changed.
        self._parts = [_Part(module, paths[id(module)], name, dim) for module in chosen]
        for part in self._parts:
            part.register(eps)
        if order == "parametrization" and not any(part.weight.is_meta for part in self._parts):
            with torch.no_grad():
                self._run(self._parts, Settings(_FIRST_ITERATIONS, float(eps), order), pool=None, normalized=False)
        _count_fused_updates()
        self._handles = [model.register_forward_pre_hook(_BeforeModel(self))]
        for index, part in enumerate(self._parts):
            layer: Any = part.module
            self._handles += [
                layer.register_forward_pre_hook(_Before(self, index)),
                layer.register_forward_hook(_After(self, index), always_call=True),
                layer._register_state_dict_hook(_AfterSave(self, index)),
                layer.register_load_state_dict_pre_hook(_BeforeLoad(self, index)),
            ]

    @property
    def order(self) -> str:
        return self._settings.order

    @property
    def names(self) -> list[str]:
        """Where the layers are in the model."""
        return [part.path for part in self._parts]

    @property
    def sigmas(self) -> Tensor:
        """[layers], with a graph to the weights."""
        self._renew_if_stale()
        first, _ = self._scales[0]
        if all(source is first and place == i for i, (source, place) in enumerate(self._scales)):
            return first
        return torch.stack([source[place] for source, place in self._scales])

    @property
    def inverse_sigmas(self) -> Tensor:
        """1 / sigma [layers], with a graph to the weights: to fold into what comes after a layer."""
        return self.sigmas.reciprocal()

    @property
    def weights(self) -> list[Tensor]:
        """What the layers use: W / sigma, or W where it is folded."""
        self._renew_if_stale()
        return list(self._values)

    def update(self, modules: Iterable[nn.Module] | None = None) -> None:
        """Makes the power iterations of the layers in training mode, and normalises all.

        Args:
            modules: these layers alone; the others keep what they have. None: all.

        Raises:
            ArgumentError: one of modules is no layer of the group.
        """
        if modules is None or not self._values:
            self._renew(iterate=True)
            return
        places = {id(part.module): i for i, part in enumerate(self._parts)}
        chosen = []
        for module in modules:
            if id(module) not in places:
                raise ArgumentError(f"modules: a {type(module).__name__} without a norm of this group")
            chosen.append(places[id(module)])
        self._renew(iterate=True, chosen=chosen)

    def remove(self) -> None:
        """Makes each weight a parameter again, divided by sigma, and takes the norms away; no iteration is made."""
        with torch.no_grad():
            settled = Settings(0, self._settings.eps, self.order)
            _, made = self._run(self._parts, settled, pool=None, normalized=True)
        for part, weight in zip(self._parts, made):
            module, name = part.module, part.name
            original = module._parameters.pop(f"{name}_orig")
            assert original is not None  # noqa: S101  # registered with the norm
            del module._buffers[f"{name}_u"], module._buffers[f"{name}_v"]
            module.__dict__.pop(name, None)
            module.register_parameter(name, nn.Parameter(weight.detach(), requires_grad=original.requires_grad))
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._parts = []
        self._forget()

    # ---- what is known of the last update ----

    def _forget(self) -> None:
        self._values: list[Any] = []
        self._detached: list[Tensor] = []
        self._inverses: list[Any] = []
        #: Of each layer the sigmas of the call that it was in, and its place among them.
        self._scales: list[Any] = []
        self._keys: list[tuple[int, int]] = []
        self._wants: list[bool] = []
        self._graph = self._inference = False
        self._iterated = False
        self._pool = op.Pool()

    def __getstate__(self) -> dict[str, Any]:
        """Without tensors: those with a graph cannot be copied, and are made again."""
        iterated = bool(self._values)
        kept = dict(self.__dict__)
        blank = SpectralNormGroup.__new__(SpectralNormGroup)
        blank._forget()
        kept.update(blank.__dict__)
        del kept["_pool"]
        kept["_iterated"] = iterated
        return kept

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._pool = op.Pool()

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _renew_eagerly(self) -> None:
        self._renew_if_stale()

    def _renew_if_stale(self, index: int | None = None) -> None:
        """Of one layer, or all."""
        if not self._values:
            self._renew(iterate=not self._iterated)
            return
        grad, measure = torch.is_grad_enabled(), self._inference and not torch.is_inference_mode_enabled()
        for i in range(len(self._parts)) if index is None else (index,):
            weight = self._parts[i].weight
            if _key(weight) != self._keys[i]:
                self._renew(iterate=True)
                return
            if weight.requires_grad != self._wants[i] or (grad and not self._graph and weight.requires_grad):
                measure = True
        if measure:
            self._renew(iterate=False)

    def _renew(self, *, iterate: bool, chosen: Sequence[int] | None = None) -> None:
        """Of the chosen layers, or all; those in training mode are iterated where it is asked for."""
        parts, count = self._parts, len(self._parts)
        if chosen is None:
            # Let go before new ones are made, so that their memory is used again.
            self._values, self._detached, self._inverses, self._scales = [], [], [], []
            chosen = range(count)
        values, inverses, scales = ([*kept] or [None] * count for kept in (self._values, self._inverses, self._scales))
        for side in (True, False):
            some = [i for i in chosen if (iterate and parts[i].module.training) is side]
            if not some:
                continue
            settings = self._settings if side else Settings(0, self._settings.eps, self.order)
            sigmas, made = self._run([parts[i] for i in some], settings, pool=self._pool, normalized=not self.fold)
            if self.fold:
                # Not the parameters: a layer would register them again.
                made = [parts[i].weight.view_as(parts[i].weight) for i in some]
                for i, inverse in zip(some, op.inverses(sigmas)):
                    inverses[i] = inverse
            for place, (i, value) in enumerate(zip(some, made)):
                values[i], scales[i] = value, (sigmas, place)
        self._values, self._scales, self._detached = values, scales, [w.detach() for w in values]
        self._inverses = inverses if self.fold else []
        if not torch.compiler.is_compiling():
            graph, inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
            if len(chosen) < count:
                graph, inference = graph and self._graph, inference or self._inference
            self._graph, self._inference = graph, inference
            self._keys, self._wants = self._keys or [(-2, 0)] * count, self._wants or [False] * count
            for i in chosen:
                self._keys[i], self._wants[i] = _key(parts[i].weight), parts[i].weight.requires_grad

    def _run(
        self, parts: Sequence[_Part], chosen: Settings, *, pool: op.Pool | None, normalized: bool
    ) -> tuple[Tensor, list[Tensor]]:
        dims = [part.dim for part in parts]
        weights, us, vs = ([getattr(part, which) for part in parts] for which in ("weight", "u", "v"))
        try:
            return op.normalize(weights, us, vs, dims, chosen, normalized=normalized, pool=pool)
        except ArgumentError as error:
            for i, part in enumerate(parts):
                if str(error) == str(zero_weight(i)):
                    raise ArgumentError(
                        f"{part.path or 'module'}.{part.name}: its spectral norm is zero; expected a weight that is "
                        "not all zeros"
                    ) from None
            raise


def _key(weight: Tensor) -> tuple[int, int]:
    return (-1 if weight.is_inference() else weight._version, weight.data_ptr())


@functools.cache
def _count_fused_updates() -> None:
    """Makes optimizers with fused=True count their updates of a weight as all others do: torch's kernels do not."""

    def count(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        for group in optimizer.param_groups:
            if group.get("fused"):
                torch.autograd.graph.increment_version([p for p in group["params"] if p.grad is not None])

    register_optimizer_step_post_hook(count)


def _is_layer(module: nn.Module, name: str) -> bool:
    weight = module._parameters.get(f"{name}_orig", module._parameters.get(name))
    if weight is None and not _normalised(module, name):
        return False
    return isinstance(module, nn.Linear) or hasattr(module, "kernel_size")


def spectral_norm(
    module: Layer,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
    *,
    order: SpectralNormOrder = "legacy",
) -> Layer:
    """Divides the weight of one layer by its spectral norm, which each forward in training mode iterates.

    A replacement of torch.nn.utils.spectral_norm and, with order='parametrization', of
    torch.nn.utils.parametrizations.spectral_norm: the same numbers, state dicts and, from the same seed, the same
    first vectors. `SpectralNormGroup` does all layers of a model in one call.

    Args:
        module: the layer; changed and returned.
        name: of the weight.
        n_power_iterations: of each forward, at least 1.
        eps: the least length that a vector is divided by.
        dim: the axis of the outputs. None: 1 for transposed convolutions, else 0.
        order: 'legacy' or 'parametrization'.

    Raises:
        ArgumentError, DTypeError, ShapeError: as `SpectralNormGroup`.
    """
    SpectralNormGroup(
        module,
        modules=[module],
        name=name,
        n_power_iterations=n_power_iterations,
        eps=eps,
        order=order,
        update="forward",
        dim=dim,
    )
    return module
