"""Spectral normalisation of one layer, or of all layers of a model at once.

A norm is registered like torch's form named by `order`, so that torch's functions recognise it:
'legacy' is a hook before the layer's forward (`weight_orig`, `weight_u`, `weight_v`), 'parametrization' a
parametrization of the weight. Both load the state dicts of either.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch._compile import _disable_dynamo
from torch.nn import functional
from torch.nn.utils import parametrize
from torch.nn.utils.spectral_norm import SpectralNorm, SpectralNormStateDictHook
from torch.optim.optimizer import register_optimizer_step_post_hook

from ... import _checks
from ...errors import ArgumentError, ShapeError
from ...ops import _spectral_norm_torch as op
from ...ops.spectral_norm import Settings, settings, zero_weight
from ...typing import SpectralNormOrder, SpectralNormUpdate

__all__ = ["UPDATES", "SpectralNormGroup", "remove_spectral_norm", "spectral_norm"]

UPDATES = ("step", "forward")
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
#: The initial iterations of torch's parametrization: 15, and one when it is registered.
_FIRST_ITERATIONS = 16

Layer = TypeVar("Layer", bound=nn.Module)


class _Part:
    """One weight of a group; torch's two forms differ in where its tensors are stored.

    Its hooks are methods, so that models can be copied and pickled.

    Attributes:
        index: the index of the part in its group.
        owner, norm: the modules that have the weight as a parameter, and u and v as buffers.
        keys: the names of weight, u and v there.
        folded: whether the weight is read in the forward of a folded layer, whose input is divided instead.
    """

    index: int
    owner: Any
    norm: Any
    keys: tuple[str, str, str]
    folded = False

    def __init__(self, group: SpectralNormGroup, module: nn.Module, path: str, name: str, dim: int | None) -> None:
        weight = getattr(module, name, None)
        if _has_norm(module, name):
            raise ArgumentError(f"{path or 'module'}: {name} has a spectral norm already; expected a layer without one")
        if not isinstance(weight, nn.Parameter) or isinstance(weight, nn.parameter.UninitializedParameter):
            raise ArgumentError(f"name: {name!r} is not an initialised parameter of {path or type(module).__name__}")
        if weight.ndim < 2 or weight.numel() == 0:
            raise ShapeError(f"{path or 'module'}.{name}: shape {list(weight.shape)}, expected at least two axes")
        if dim is None:
            dim = 1 if isinstance(module, _TRANSPOSED) else 0
        dim = _checks.whole(dim, "dim", low=-weight.ndim, high=weight.ndim - 1)
        if not weight.is_meta and not bool(weight.detach().any()):
            raise ArgumentError(f"{path or 'module'}.{name}: all zeros; its spectral norm is zero and divides it")
        self.group, self.module, self.path, self.name, self.dim = group, module, path, name, dim % weight.ndim
        self.handles: list[Any] = []

    @property
    def weight(self) -> Any:
        return self.owner._parameters[self.keys[0]]

    @property
    def vectors(self) -> tuple[Any, Any]:
        """The buffers u and v."""
        return self.norm._buffers[self.keys[1]], self.norm._buffers[self.keys[2]]

    @property
    def training(self) -> bool:
        """Whether an update iterates u and v of this part."""
        return bool(self.norm.training)

    def register(self, settings: Settings, u: Tensor, v: Tensor, first_weight: Tensor) -> None:
        """Registers the norm on the layer; first_weight is the initial value of the layer's weight."""
        raise NotImplementedError

    def lost(self) -> bool:
        """Returns whether torch has removed the norm without notifying the group."""
        raise NotImplementedError

    def check_removal(self) -> None:
        """Raises if restore_parameter cannot remove the norm."""

    def restore_parameter(self, weight: Tensor) -> None:
        """Makes the weight a parameter again, with these values."""
        raise NotImplementedError

    def show(self, value: Tensor | None) -> None:
        """Sets the layer's weight between its forwards to value; None: the layer has no weight until the next one."""

    def fold(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Divides a folded layer's input, before its forward."""
        if self.lost():
            return None
        self.group._value(self)
        self.folded = True
        first, *rest = inputs
        return (first * self.group._inverses[self.index].to(first.dtype), *rest)

    def after_forward(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        self.folded = False

    def before_load(
        self, module: nn.Module, state: dict[str, Any], prefix: str, metadata: dict[str, Any], *_: Any
    ) -> None:
        """Converts state dicts of either form of torch, and of version 0, which contain W / sigma and no v."""
        if self.lost():
            return
        names = [(prefix + legacy, prefix + parametrized) for legacy, parametrized in _names(self.name)]
        for legacy, parametrized in names:
            if parametrized in state and legacy not in state:
                state[legacy] = state.pop(parametrized)
        original, u, v = (legacy for legacy, _ in names)
        version = metadata.get("spectral_norm", {}).get(f"{self.name}.version")
        divided = prefix + self.name
        if (version is None or version < 1) and all(key in state for key in (divided, original, u)):
            state[v] = _second_vector(state[original], state.pop(divided), state[u], self.dim)
        if self.group.order == "parametrization":
            for legacy, parametrized in names:
                if legacy in state:
                    state[parametrized] = state.pop(legacy)
        self.group._values, self.group._iterated = [], False


class _LegacyPart(_Part):
    """The part for torch.nn.utils.spectral_norm."""

    def register(self, settings: Settings, u: Tensor, v: Tensor, first_weight: Tensor) -> None:
        module: Any = self.module
        self.owner = self.norm = module
        self.keys = f"{self.name}_orig", f"{self.name}_u", f"{self.name}_v"
        module.register_parameter(self.keys[0], module._parameters.pop(self.name))
        self.show(first_weight)
        for key, vector in zip(self.keys[1:], (u, v)):
            module.register_buffer(key, vector)
        hook = _Legacy(self, settings)
        self.before = module.register_forward_pre_hook(hook)
        self.handles += [
            module.register_forward_hook(self.after_forward, always_call=True),
            module._register_state_dict_hook(SpectralNormStateDictHook(hook)),
            module.register_load_state_dict_pre_hook(self.before_load),
        ]

    def lost(self) -> bool:
        return False  # torch calls the hook's remove

    def restore_parameter(self, weight: Tensor) -> None:
        original, u, v = self.keys
        parameter = nn.Parameter(weight.detach(), requires_grad=self.weight.requires_grad)
        del self.module._parameters[original], self.module._buffers[u], self.module._buffers[v]
        self.show(None)
        self.module.register_parameter(self.name, parameter)

    def show(self, value: Tensor | None) -> None:
        # Bypasses setattr, which first looks for a parameter and a buffer of that name.
        if value is None:
            self.module.__dict__.pop(self.name, None)
        else:
            self.module.__dict__[self.name] = value

    def after_forward(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        """Detaches the layer's weight, so that it can be copied."""
        setattr(module, self.name, getattr(module, self.name).detach())


class _ParametrizedPart(_Part):
    """The part for torch.nn.utils.parametrizations.spectral_norm."""

    def register(self, settings: Settings, u: Tensor, v: Tensor, first_weight: Tensor) -> None:
        module: Any = self.module
        self.norm = _Parametrization(self, u, v)
        # unsafe=True avoids a call of the norm, which would iterate.
        parametrize.register_parametrization(module, self.name, self.norm, unsafe=True)
        self.owner = module.parametrizations[self.name]
        self.keys = "original", "_u", "_v"
        _can_be_copied(module)
        self.handles.append(module.register_load_state_dict_pre_hook(self.before_load))

    def lost(self) -> bool:
        lists: Any = getattr(self.module, "parametrizations", {})
        return self.name not in lists or lists[self.name] is not self.owner

    def check_removal(self) -> None:
        if len(self.owner) > 1:
            raise ArgumentError(
                f"{self.path or 'module'}.{self.name}: has {len(self.owner)} parametrizations, expected the "
                "spectral norm alone; torch.nn.utils.parametrize.remove_parametrizations removes all of them"
            )

    def restore_parameter(self, weight: Tensor) -> None:
        parametrize.remove_parametrizations(self.module, self.name, leave_parametrized=False)
        with torch.no_grad():
            getattr(self.module, self.name).copy_(weight)


def _has_norm(module: nn.Module, name: str) -> bool:
    """Returns whether a weight has a norm of this module or of either form of torch."""
    return f"{name}_orig" in module._parameters or parametrize.is_parametrized(module, name)


class _Legacy(SpectralNorm):
    """The hook before a layer's forward. It has torch's class, since remove_spectral_norm checks for that."""

    def __init__(self, part: _LegacyPart, settings: Settings) -> None:
        super().__init__(part.name, settings.iterations, part.dim, settings.eps)
        self.group, self.part = part.group, part

    def __call__(self, module: nn.Module, inputs: Any) -> None:
        setattr(module, self.name, self.group._value(self.part))

    def remove(self, module: nn.Module) -> None:
        """Removes the norm; torch.nn.utils.remove_spectral_norm calls this and then removes the hook itself."""
        self.group._restore_parameters([self.part])


class _Parametrization(nn.Module):
    """The parametrization that computes a layer's weight whenever it is read."""

    def __init__(self, part: _ParametrizedPart, u: Tensor, v: Tensor) -> None:
        super().__init__()
        self.group, self.part = part.group, part
        self.register_buffer("_u", u)
        self.register_buffer("_v", v)

    def forward(self, weight: Tensor) -> Tensor:
        group = self.group
        if group.fold and not self.part.folded:
            _, (normalized,) = group._run([self.part], group._no_update, pool=None, normalized=True)
            return normalized
        return group._value(self.part)

    def right_inverse(self, value: Tensor) -> Tensor:
        """Returns an assigned weight unchanged: it becomes the new original."""
        return value


def _names(name: str) -> list[tuple[str, str]]:
    """Returns pairs of keys of a state dict: the legacy key, and the parametrization's."""
    room = f"parametrizations.{name}"
    return [(f"{name}_orig", f"{room}.original"), (f"{name}_u", f"{room}.0._u"), (f"{name}_v", f"{room}.0._v")]


def _second_vector(weight: Tensor, divided: Tensor, u: Tensor, dim: int) -> Tensor:
    """Returns v for a state dict of version 0, which contains W / sigma: parallel to M^+ u, with u^T M v = sigma.

    torch computes the same v, with M^+ as (M^T M)^+ M^T in the weight's dtype; here it is a pseudo-inverse in float64.
    """
    w, m_u = weight.detach().double(), u.detach().double()
    sigma = w.square().sum() / (w * divided.detach().double()).sum()
    matrix = w.movedim(dim, 0).flatten(1)
    v = torch.linalg.pinv(matrix) @ m_u
    return (v * (sigma / torch.dot(m_u, matrix @ v))).to(u.dtype)


def _can_be_copied(module: nn.Module) -> None:
    """Makes a parametrized layer picklable, and gives its copies separate classes.

    torch creates a class with the weight's property for each parametrized layer. It refuses to pickle such layers, and
    gives a copy the same class, so that removing the copy's parametrization would remove the original's property.
    """
    cls: Any = type(module)
    if "__deepcopy__" in vars(cls):
        del cls.__deepcopy__
    cls.__reduce_ex__ = _reduce


def _reduce(module: Any, protocol: Any) -> tuple[Any, ...]:
    plain: Any = parametrize.type_before_parametrizations(module)
    state = plain.__getstate__(module) if hasattr(plain, "__getstate__") else dict(module.__dict__)
    return _empty_layer, (plain, tuple(module.parametrizations)), state


def _empty_layer(plain: type[nn.Module], names: Sequence[str]) -> nn.Module:
    """Returns an empty layer whose class has the properties with these names; its state is set later."""
    module = plain.__new__(plain)
    nn.Module.__init__(module)
    for name in names:
        module.register_buffer(name, torch.empty(0))
        parametrize.register_parametrization(module, name, nn.Identity(), unsafe=True)
    _can_be_copied(module)
    return module


class SpectralNormGroup:
    """Divides all weights of a model's layers by their spectral norms, in one call for all of them.

    After `SpectralNormGroup(model)` the model is used as before. If the weights changed since the last update, a
    forward makes one power iteration of all layers (in training mode). All calls until the next change, such as
    D(real) and D(fake), use its result. `update()` makes an update at once.

    Args:
        model: the model; its Linear, Conv and ConvTranspose layers are used, and others that have a `kernel_size`.
        modules: the layers of the model to use instead.
        name: the name of the weight.
        n_power_iterations: the iterations of an update, at least 1.
        eps: the smallest divisor in normalising a vector.
        order: 'legacy': v, then u, registered like torch.nn.utils.spectral_norm (the parameter is `weight_orig`);
            'parametrization': u, then v, registered like torch.nn.utils.parametrizations.spectral_norm (the
            parameter is `parametrizations.weight.original`). Both load the state dicts of either.
        update: 'step': update when weights have changed, as by an optimizer's step; 'forward': update in each
            call of model in training mode, for all its layers.
        fold: W / sigma is never written: the layers' inputs are divided by sigma instead, which gives the same output
            for linear layers. Use `inverse_sigmas` to divide elsewhere.
        dim: the axis of the outputs. None: 1 for transposed convolutions, else 0.

    Raises:
        ArgumentError: an argument is out of range, there is no layer, or a weight is zero or has a norm already.
        DTypeError, ShapeError: a weight cannot have a norm.

    `layer.weight` is W / sigma when the norms are registered and after each update. With order='legacy' it is constant
    until the next forward or update, and with fold=True it is also W; with order='parametrization' it is recomputed
    when the weights have changed.

    Changes in place that torch does not count (of `weight.data`) are not detected; call `update()` after them. In a
    model compiled with fullgraph=True use update='forward', or call `update()` outside after each optimizer's step.

    Example:
        >>> import torch
        >>> from pyharmony import nn
        >>> model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1))
        >>> group = nn.SpectralNormGroup(model)
        >>> y = model(torch.rand(4, 8))
        >>> group.sigmas.shape
        torch.Size([2])
    """

    _pool: op.Pool
    _iterated: bool

    @_checks.kinds
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
        self.update_once, self.fold = update, fold
        self._forget()
        paths = {id(module): path for path, module in model.named_modules()}
        if modules is None:
            layers = [module for module in model.modules() if _is_layer(module, name)]
        else:
            layers = list({id(module): module for module in _checks.several(modules, "modules", "layers")}.values())
            for module in layers:
                if id(module) not in paths:
                    raise ArgumentError(f"modules: a {type(module).__name__} that is not in model")
        if not layers:
            raise ArgumentError(f"model: no layer with a parameter {name!r} in {type(model).__name__}")
        # All layers are checked before any is changed.
        form = _LegacyPart if order == "legacy" else _ParametrizedPart
        self._parts: list[_Part] = [form(self, module, paths[id(module)], name, dim) for module in layers]
        weights: list[Any] = [module._parameters[name] for module in layers]
        us, vs = zip(*(_first_vectors(w, part.dim, self._settings.eps) for w, part in zip(weights, self._parts)))
        values = [weight.detach() for weight in weights]
        if not any(weight.is_meta for weight in weights):
            first = self._no_update if order == "legacy" else self._no_update._replace(iterations=_FIRST_ITERATIONS)
            with torch.no_grad():
                plain = order == "legacy" and not fold
                tensors = weights, us, vs
                _, divided = self._run(self._parts, first, pool=self._pool, normalized=plain, tensors=tensors)
            values = divided or values
        for part, u, v, value in zip(self._parts, us, vs, values):
            part.register(self._settings, u, v, value)
            if fold:
                part.handles += [
                    part.module.register_forward_pre_hook(part.fold),
                    part.module.register_forward_hook(part.after_forward, always_call=True),
                ]
        self._number()
        _count_fused_updates()
        self._handles = self._watch(model)

    @property
    def order(self) -> str:
        return self._settings.order

    @property
    def _no_update(self) -> Settings:
        """The settings of a call without an iteration."""
        return self._settings._replace(iterations=0)

    def _number(self) -> None:
        for index, part in enumerate(self._parts):
            part.index = index

    @property
    def names(self) -> list[str]:
        """The paths of the layers in the model."""
        return [part.path for part in self._parts]

    @property
    def sigmas(self) -> Tensor:
        """The singular values [layers], with a graph to the weights."""
        self._renew_if_stale()
        if not self._scales:
            raise ArgumentError("sigmas: the norms of the group's layers have been removed")
        first, _ = self._scales[0]
        if all(source is first and place == i for i, (source, place) in enumerate(self._scales)):
            return first
        return torch.stack([source[place] for source, place in self._scales])

    @property
    def inverse_sigmas(self) -> Tensor:
        """1 / sigma [layers], with a graph to the weights, to be folded into subsequent layers."""
        return self.sigmas.reciprocal()

    @property
    def weights(self) -> list[Tensor]:
        """The weights that the layers use: W / sigma, or W if they are folded."""
        self._renew_if_stale()
        return list(self._values)

    def update(self, modules: Iterable[nn.Module] | None = None) -> None:
        """Makes the power iterations of the layers in training mode, and normalises all layers.

        Args:
            modules: the layers to update; the others keep their values. None: all.

        Raises:
            ArgumentError: one of modules is not a layer of the group.
        """
        if modules is None or not self._values:
            self._renew(iterate=True)
            return
        self._renew(iterate=True, indices=[part.index for part in self._parts_of(modules)])

    def remove(self, modules: Iterable[nn.Module] | None = None) -> None:
        """Makes each weight a parameter again, divided by sigma, and removes the norms without an iteration.

        Args:
            modules: the layers whose norms to remove. None: all.

        Raises:
            ArgumentError: one of modules is not a layer of the group, or its weight has other parametrizations as well.
        """
        self._leave_out_lost()
        parts = self._parts_of([part.module for part in self._parts] if modules is None else modules)
        self._restore_parameters(parts)
        for part in parts:
            if isinstance(part, _LegacyPart):
                part.before.remove()

    def _parts_of(self, modules: Iterable[nn.Module]) -> list[_Part]:
        places = {id(part.module): part for part in self._parts}
        parts = []
        for module in modules:
            if id(module) not in places:
                raise ArgumentError(f"modules: a {type(module).__name__} without a norm of this group")
            parts.append(places[id(module)])
        return parts

    def _restore_parameters(self, parts: Sequence[_Part]) -> None:
        """Removes the norms of these parts, except for the hook before a legacy layer's forward."""
        for part in parts:
            part.check_removal()
        if parts:
            with torch.no_grad():
                _, weights = self._run(parts, self._no_update, pool=None, normalized=True)
            for part, weight in zip(parts, weights):
                part.restore_parameter(weight)
        self._leave_out(parts)

    def _leave_out(self, parts: Sequence[_Part]) -> None:
        for part in parts:
            for handle in part.handles:
                handle.remove()
            part.handles = []
        self._parts = [part for part in self._parts if part not in parts]
        self._number()
        iterated = bool(self._values) or self._iterated
        self._forget()
        self._iterated = iterated
        if not self._parts:
            for handle in self._handles:
                handle.remove()

    def _leave_out_lost(self) -> None:
        """Removes the parts whose parametrization torch has removed, which torch does not report."""
        without_norm = [part for part in self._parts if part.lost()]
        if without_norm:
            self._leave_out(without_norm)

    # ---- results of the last update ----

    def _forget(self) -> None:
        self._values: list[Any] = []
        self._inverses: list[Any] = []
        #: For each layer the sigmas of the call that included it, and its index among them.
        self._scales: list[Any] = []
        self._keys: list[tuple[int, int]] = []
        self._wants: list[bool] = []
        self._graph = self._inference = False
        self._iterated = False
        self._pool = op.Pool()

    def __getstate__(self) -> dict[str, Any]:
        """Returns the state without the results of updates: tensors with a graph cannot be copied; recomputed."""
        iterated = bool(self._values)
        state = dict(self.__dict__)
        blank = SpectralNormGroup.__new__(SpectralNormGroup)
        blank._forget()
        state.update(blank.__dict__)
        del state["_pool"]
        state["_iterated"] = iterated
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._pool = op.Pool()

    def _watch(self, model: nn.Module) -> list[Any]:
        """Registers the hook before the model's forward, and returns its handles."""
        return [model.register_forward_pre_hook(self._before_model)]

    def _before_model(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if self.update_once == "forward" and any(part.training for part in self._parts):
            self.update()
        elif torch.compiler.is_compiling():
            self._renew_eagerly()
        else:
            self._renew_if_stale()

    def _value(self, part: _Part) -> Any:
        """Returns the value of a layer's weight."""
        if not torch.compiler.is_compiling():
            self._renew_if_stale(part)
        if not self._values:
            raise RuntimeError("spectral_norm: compiled before its first update; call the group's update() before")
        return self._values[part.index]

    # `torch.compiler.disable`, but without importing torch's compiler, 2 s, with every network.
    @_disable_dynamo
    def _renew_eagerly(self) -> None:
        self._renew_if_stale()

    def _renew_if_stale(self, only: _Part | None = None) -> None:
        """Recomputes the values of one layer, or of all, if they are stale."""
        if not self._values:
            self._renew(iterate=not self._iterated)
            return
        grad, measure = torch.is_grad_enabled(), self._inference and not torch.is_inference_mode_enabled()
        for part in self._parts if only is None else (only,):
            weight = part.weight
            if _key(weight) != self._keys[part.index]:
                self._renew(iterate=True)
                return
            if weight.requires_grad != self._wants[part.index] or (grad and not self._graph and weight.requires_grad):
                measure = True
        if measure:
            self._renew(iterate=False)

    def _renew(self, *, iterate: bool, indices: Sequence[int] | None = None) -> None:
        """Recomputes the values of the layers at indices, or of all; iterate: iterate those in training mode."""
        compiling = torch.compiler.is_compiling()
        if indices is None:
            if not compiling:
                self._leave_out_lost()
            # The old values are released before new ones are computed, so that their memory is reused.
            self._values, self._inverses, self._scales = [], [], []
            indices = range(len(self._parts))
        parts, count = self._parts, len(self._parts)
        if not compiling:
            for i in indices:
                parts[i].show(None)
        try:
            self._make(iterate, indices)
        except BaseException:
            for i in indices:
                parts[i].show(parts[i].weight.detach())
            raise
        if not compiling:
            graph, inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
            if len(indices) < count:
                graph, inference = graph and self._graph, inference or self._inference
            self._graph, self._inference = graph, inference
            values = self._values
            keys = self._keys = self._keys or [(-2, 0)] * count
            wants = self._wants = self._wants or [False] * count
            for i in indices:
                part, weight = parts[i], parts[i].weight
                part.show(values[i].detach())
                keys[i], wants[i] = _key(weight), weight.requires_grad

    def _make(self, iterate: bool, indices: Sequence[int]) -> None:
        """Computes the values of the layers at indices, and keeps those of the others."""
        parts, count = self._parts, len(self._parts)
        values, inverses, scales = ([*old] or [None] * count for old in (self._values, self._inverses, self._scales))
        iterated = [i for i in indices if parts[i].training] if iterate else []
        others = [] if len(iterated) == len(indices) else [i for i in indices if i not in iterated]
        for side, some in ((True, iterated), (False, others)):
            if not some:
                continue
            settings = self._settings if side else self._no_update
            sigmas, weights = self._run([parts[i] for i in some], settings, pool=self._pool, normalized=not self.fold)
            if self.fold:
                # Views are used, because a layer would register the parameters themselves again.
                weights = [parts[i].weight.view_as(parts[i].weight) for i in some]
                for i, inverse in zip(some, op.inverses(sigmas)):
                    inverses[i] = inverse
            for place, i in enumerate(some):
                values[i], scales[i] = weights[place], (sigmas, place)
        self._values, self._scales = values, scales
        self._inverses = inverses if self.fold else []

    def _run(
        self,
        parts: Sequence[_Part],
        settings: Settings,
        *,
        pool: op.Pool | None,
        normalized: bool,
        tensors: Sequence[Sequence[Tensor]] | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Returns sigmas and W / sigma; tensors are weights, u and v of parts that are not registered yet."""
        if tensors is None:
            weights, vectors = [part.weight for part in parts], [part.vectors for part in parts]
            us, vs = [u for u, _ in vectors], [v for _, v in vectors]
        else:
            weights, us, vs = map(list, tensors)
        dims = [part.dim for part in parts]
        try:
            return op.normalize(weights, us, vs, dims, settings, normalized=normalized, pool=pool)
        except ArgumentError as error:
            for i, part in enumerate(parts):
                if str(error) == str(zero_weight(i)):
                    raise ArgumentError(
                        f"{part.path or 'module'}.{part.name}: its spectral norm is zero; expected a weight that is "
                        "not all zeros"
                    ) from None
            raise


class _LayerOnly(SpectralNormGroup):
    """The norm of one layer, computed at each use of its weight, as torch does."""

    def _watch(self, model: nn.Module) -> list[Any]:
        return []

    def _value(self, part: _Part) -> Any:
        # Nothing is stored, since other threads may be in the layer's forward in eval mode.
        if not part.training and (divided := _normalised_weight(part)) is not None:
            return divided
        settings = self._settings if part.training else self._no_update
        return self._run([part], settings, pool=self._pool, normalized=True)[1][0]


def _normalised_weight(part: _Part) -> Tensor | None:
    """Returns W / σ without an iteration, by the same torch calls as in torch's norms.

    For one layer these calls are faster than preparing a call of the native op. Returns None if they would be less
    exact, if the op would raise an error, or on a device, where they need more launches.
    """
    weight = part.weight
    if weight.device.type != "cpu" or weight.dtype not in (torch.float32, torch.float64):
        return None
    matrix = weight if part.dim == 0 else weight.movedim(part.dim, 0)
    u, v = part.vectors
    sigma = torch.dot(u, torch.mv(matrix.flatten(1), v))
    if not torch.compiler.is_compiling() and not float(sigma.detach()):
        return None
    return weight / sigma


def _first_vectors(weight: Tensor, dim: int, eps: float) -> tuple[Tensor, Tensor]:
    """Returns random u and v, in the order in which torch draws them."""
    rows = weight.shape[dim]
    u, v = (weight.detach().new_empty(n).normal_(0, 1) for n in (rows, weight.numel() // rows))
    return functional.normalize(u, dim=0, eps=eps), functional.normalize(v, dim=0, eps=eps)


def _key(weight: Tensor) -> tuple[int, int]:
    return (-1 if weight.is_inference() else weight._version, weight.data_ptr())


@functools.cache
def _count_fused_updates() -> None:
    """Makes optimizers with fused=True increment the version of a weight as all others do; torch's kernels do not."""

    def count(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        for group in optimizer.param_groups:
            if group.get("fused"):
                torch.autograd.graph.increment_version([p for p in group["params"] if p.grad is not None])

    register_optimizer_step_post_hook(count)


def _is_layer(module: nn.Module, name: str) -> bool:
    weight = module._parameters.get(f"{name}_orig", module._parameters.get(name))
    if weight is None and not _has_norm(module, name):
        return False
    return isinstance(module, nn.Linear) or hasattr(module, "kernel_size")


@_checks.kinds
def spectral_norm(
    module: Layer,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
    *,
    order: SpectralNormOrder = "legacy",
) -> Layer:
    """Divides the weight of one layer by its spectral norm, with power iterations in each forward in training mode.

    It replaces torch.nn.utils.spectral_norm and, with order='parametrization',
    torch.nn.utils.parametrizations.spectral_norm. It has the same numbers, state dicts, places of the tensors and, from
    the same seed, initial vectors; torch's functions that remove its norms remove this one. `layer.weight` is W / sigma
    from the beginning, whereas torch's legacy form initially has W. `SpectralNormGroup` processes all layers of a model
    in one call.

    Args:
        module: the layer; changed and returned.
        n_power_iterations: the iterations of each forward, at least 1.
        name, eps, dim, order: see `SpectralNormGroup`.

    Raises:
        ArgumentError, DTypeError, ShapeError: the weight cannot have this norm, see `SpectralNormGroup`.

    Example:
        >>> import torch
        >>> from pyharmony.networks.nn import spectral_norm
        >>> _ = torch.manual_seed(0)
        >>> layer = spectral_norm(torch.nn.Linear(20, 40), order="parametrization")
        >>> round(float(torch.linalg.matrix_norm(layer.weight.detach(), 2)), 1)
        1.0
    """
    _LayerOnly(
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


@_checks.kinds
def remove_spectral_norm(module: Layer, name: str = "weight") -> Layer:
    """Makes the weight of a layer a parameter again, divided by its spectral norm, without an iteration.

    It removes norms of `spectral_norm` and of a `SpectralNormGroup`, of either order. With order='legacy'
    torch.nn.utils.remove_spectral_norm does the same. With order='parametrization'
    torch.nn.utils.parametrize.remove_parametrizations does, with an iteration first in training mode.

    Args:
        module: the layer; changed and returned. With order='parametrization' the parameter is the original one.
        name: the name of the weight.

    Raises:
        ArgumentError: the weight does not have such a norm, or has other parametrizations as well.

    Example:
        >>> import torch
        >>> from pyharmony.networks.nn import remove_spectral_norm, spectral_norm
        >>> layer = remove_spectral_norm(spectral_norm(torch.nn.Linear(20, 40)))
        >>> sorted(layer.state_dict())
        ['bias', 'weight']
    """
    norms: list[Any] = [
        hook for hook in module._forward_pre_hooks.values() if isinstance(hook, _Legacy) and hook.name == name
    ]
    if parametrize.is_parametrized(module, name):
        parametrizations: Any = module.parametrizations
        norms += [norm for norm in parametrizations[name] if isinstance(norm, _Parametrization)]
    if not norms:
        raise ArgumentError(
            f"module: {name} of the {type(module).__name__} has no spectral norm of pyharmony; expected one of "
            "spectral_norm or SpectralNormGroup"
        )
    norms[0].group.remove([module])
    return module
