"""The base of the steps of all models: settings, batches, optimizers, mixed precision, CUDA graphs."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar, get_args

import torch
from torch import Tensor, nn

from .... import _catalogue, _checks
from ....errors import ArgumentError, DeviceError, DTypeError, ShapeError
from ....networks.losses import Adversary, adversary, foreground_mse
from ....networks.models import Adversarial, Model
from ....networks.models.checks import check_choice, check_fields, check_flag, check_image, check_like
from .. import precision
from . import _adam

Losses = dict[str, Tensor]
Optimizer = Literal["adam", "adamw", "sgd", "rmsprop"]


@dataclass(frozen=True, kw_only=True)
class StepSettings:
    """The settings of every step.

    Attributes:
        dtype: 'float32', or 'bfloat16' or 'float16' for the networks' arithmetic under autocast: weights, norms, losses
            and the optimizers' moments stay in float32. In float16 losses are scaled, see `LossScale`. 'auto':
            bfloat16 if the model's device has instructions for it, else float32; `settings` has the choice.
        channels_last: whether weights and images use the channels-last memory layout.
        optimizer: 'adam', 'adamw', 'sgd' or 'rmsprop', for every network; None: that of the step's source, which is
            Adam unless its class documents another.
        momentum: the momentum of 'sgd'.
        weight_decay: the decay of tensors with two or more dimensions. With 'adamw' it is decoupled from the gradient
            (Loshchilov & Hutter, ICLR 2019), with the others it is added to the gradient.
        clip_norm: the largest norm of a network's gradient; larger gradients are scaled down; 0: no limit.
    """

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "float32"
    channels_last: bool = True
    optimizer: Optimizer | None = None
    momentum: float = 0.9
    weight_decay: float = 0.0
    clip_norm: float = 0.0

    def __post_init__(self) -> None:
        check_choice(self.dtype, "dtype", ("auto", "float32", "bfloat16", "float16"))
        self._check_flags("channels_last")
        check_choice(self.optimizer, "optimizer", (*get_args(Optimizer), None))
        check_least(self.momentum, "momentum")
        if self.momentum >= 1:
            raise ArgumentError(f"momentum: {self.momentum!r}, expected 0 <= momentum < 1")
        self._check_not_negative("weight_decay", "clip_norm")

    def _check_flags(self, *names: str) -> None:
        check_fields(self, check_flag, *names)

    def _check_positive(self, *names: str) -> None:
        check_fields(self, check_least, *names, open_end=True)

    def _check_not_negative(self, *names: str) -> None:
        check_fields(self, check_least, *names)


@dataclass(frozen=True, kw_only=True)
class AdamSettings(StepSettings):
    """The settings of a step with one optimizer per network, Adam unless `optimizer` names another.

    Attributes:
        lr: the learning rate of every network.
        betas: the betas of Adam and AdamW.
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_positive("lr")
        check_betas(self.betas)


@dataclass(frozen=True, kw_only=True)
class AdversarialSettings(AdamSettings):
    """The settings of a step with a generator and a discriminator.

    Attributes:
        adversarial: the weight of the discriminator's score in the generator's loss.
        adversary: the name of the adversarial loss, see `pyharmony.networks.losses.adversary`.
    """

    adversarial: float = 1.0
    adversary: str = "vanilla"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_not_negative("adversarial")
        adversary(self.adversary)

    @property
    def game(self) -> Adversary:
        """The losses of discriminator and generator."""
        return adversary(self.adversary)


@dataclass(frozen=True, kw_only=True)
class TranslationSettings(AdversarialSettings):
    """The settings of a step whose generator maps images to images, with an adversarial loss and a target.

    Attributes:
        l1: the weight of the mean absolute difference of output and target.
        foreground: the weight of `losses.foreground_mse` of output and target, which is independent of the
            object's size; 0: none.
        gradient_penalty: the weight of `pyharmony.networks.losses.gradient_penalty` on the discriminator; 0: none.
    """

    lr: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    l1: float = 100.0
    foreground: float = 0.0
    gradient_penalty: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_not_negative("l1", "foreground", "gradient_penalty")


class LossScale:
    """The loss scale of a network in float16, which prevents small gradients from becoming 0; updates divide by it.

    Follows `torch.amp.GradScaler`: an update with a non-finite gradient is skipped and halves the scale, and `interval`
    consecutive finite updates double it. It is a tensor, so that the host does not wait for it.

    Source: Micikevicius et al., "Mixed Precision Training", ICLR 2018.

    Attributes:
        value: the factor, float32 [].
        finite: the number of updates since it last changed, int32 [].
    """

    first: ClassVar[float] = 2.0**16
    interval: ClassVar[int] = 2000

    def __init__(self, device: torch.device) -> None:
        self.value = torch.full((), self.first, device=device)
        self.finite = torch.zeros((), dtype=torch.int32, device=device)

    def adapt(self, bad: Tensor) -> None:
        """Updates the scale; bad, a tensor [], is 1 if the gradient was not finite, else 0."""
        torch._amp_update_scale_(self.value, self.finite, bad, 2.0, 0.5, self.interval)


class Step:
    """One optimisation step of a model, on a batch.

    A subclass for a new model, registered with `register`, defines `settings_type`, `inputs` and `run`, which computes
    the losses within `autocast` and updates with `update`; it overrides `add_optimizers` if its networks do not share
    `lr` and `betas`.

    `step(batch)` takes a mapping of tensors, changes the model and its optimizers, and returns the losses by name:
    tensors [] without a graph, for which the host does not wait. An invalid batch raises before anything changes. With
    one seed of torch's generator, one device and one number of threads the results are bit-identical.

    Attributes:
        inputs: the names of the tensors that a batch must contain.
        optional: the names of further tensors that it may contain.
        extracts: whether a loss can use an extractor.
        progress: the names of the counters that `state_dict` contains.
        model, settings: as given, except that a dtype of 'auto' is resolved; the model is put into training mode.
        extractor: as given; it is put into evaluation mode, runs in float32, and is not trained.
        optimizers: the optimizers, by the name of the network that each trains.
        scales: for float16, the loss scale of each optimizer.
        observed: the last values of monitored quantities other than losses, tensors [] for which the host does not
            wait: 'gradient_norm/NAME' of each optimizer, before clipping, and the values passed to `observe`.
        measures: whether `run` is called by `measure`, which skips updates.
        count: the number of steps made.
        reduce: called with the gradients before every update, to share them between processes; or None.
        accumulate: the number of batches whose gradients are averaged for one update. The generator's gradients of all
            but the last of these batches are computed with the discriminator before its update.
        skipped: the number of updates skipped because the loss or a gradient was not finite, a tensor [].
    """

    inputs: tuple[str, ...] = ("composite", "mask", "target")
    optional: tuple[str, ...] = ()
    extracts: ClassVar[bool] = False
    progress: ClassVar[tuple[str, ...]] = ("count",)
    settings_type: ClassVar[type[StepSettings]] = StepSettings
    presets: ClassVar[dict[str, dict[str, Any]]] = {}

    def __init__(self, model: Model, settings: StepSettings, extractor: nn.Module | None = None) -> None:
        self.model, self.settings, self.extractor = model, settings, extractor
        self.count = 0
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.scales: dict[str, LossScale] = {}
        self.observed: dict[str, Tensor] = {}
        self.measures = False
        self.reduce: Callable[[list[Tensor]], None] | None = None
        self.accumulate = 1
        self._micro = 0
        first = next(model.parameters())
        if first.is_meta:
            raise ArgumentError("model: an outline without weights, expected one of models.create")
        self.device = first.device
        if settings.dtype == "auto":
            self.settings = dataclasses.replace(settings, dtype=precision.fast_dtype(self.device.type))
        self.skipped = torch.zeros((), device=self.device)
        if extractor is not None:
            for tensor in (*extractor.parameters(), *extractor.buffers()):
                if tensor.device != self.device:
                    raise DeviceError(f"extractor: on {tensor.device}, but the model is on {self.device}")
        if settings.channels_last:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.add_optimizers()

    def add_optimizers(self) -> None:
        """Adds, by `add_optimizer`, an optimizer for the model, or for both networks of an adversarial one."""
        settings: Any = self.settings
        for name, network in networks_of(self.model).items():
            self.add_optimizer(name, network.parameters(), settings.lr, settings.betas)

    @property
    def low(self) -> float:
        """The least value of the model's images, -1 or 0; the largest is 1."""
        return self.model.low

    @property
    def whole(self) -> bool:
        """Whether no accumulated gradients are pending."""
        return self._micro == 0

    def run(self, batch: dict[str, Tensor]) -> Losses:
        """Computes the losses of a validated batch, updates the networks, and returns the losses by name."""
        raise NotImplementedError

    def _phase(self) -> Hashable:
        """Returns the kind of the next step; a CUDA graph is captured for each kind."""
        return None

    def _check(self, batch: dict[str, Tensor]) -> None:
        """Raises if the batch does not suit the networks; images must have equal sizes."""
        images = [name for name in batch if name != "mask"]
        for name in images:
            check_image(batch[name], name, 3)
            check_like(batch[name], batch[images[0]], name, images[0])

    def _advance(self) -> None:
        """Counts a step that was made."""
        self.count += 1

    def __call__(self, batch: Mapping[str, Tensor]) -> Losses:
        """Makes one step, see the class.

        Args:
            batch: `inputs` by name: images [N, 3, H, W] and masks [N, 1, H, W] in the ranges of the model, float32,
                on its device.

        Raises:
            ArgumentError, DTypeError, ShapeError: a tensor is missing, unknown, or not accepted by the model.
            DeviceError: a tensor is on another device.
        """
        checked = self._checked(batch)
        self._prepare()
        losses = self.run(checked)
        if not isinstance(losses, dict):
            kind = type(losses).__name__
            raise DTypeError(f"{type(self).__name__}.run: returned {kind}, expected a dict of named loss tensors")
        self._micro = (self._micro + 1) % self.accumulate
        if self.whole:
            self._advance()
        return {name: loss.detach() for name, loss in losses.items()}

    def measure(self, batch: Mapping[str, Tensor]) -> Losses:
        """Computes the losses of a batch in evaluation mode; nothing changes.

        Weights, buffers and random states are restored, and every call draws the same random numbers. Batch, result and
        errors are those of a step.
        """
        checked = self._checked(batch)
        tensors = [*self.model.parameters(), *self.model.buffers()]
        before = [t.detach().clone() for t in tensors]
        modes = [(module, module.training) for module in self.model.modules()]
        observed, self.observed = self.observed, {}
        devices = [self.device] if self.device.type == "cuda" else []
        self.measures = True
        try:
            with torch.random.fork_rng(devices), torch.enable_grad():
                torch.manual_seed(0)
                self.model.eval()
                losses = self.run(checked)
            return {name: loss.detach() for name, loss in losses.items()}
        finally:
            self.measures, self.observed = False, observed
            with torch.no_grad():
                for tensor, value in zip(tensors, before):
                    tensor.copy_(value)
            for module, mode in modes:
                module.training = mode

    def observe(self, kind: str, **values: Tensor) -> None:
        """Stores the means of some values in `observed`, under 'kind/name'."""
        self.observed.update({f"{kind}/{name}": x.detach().float().mean() for name, x in values.items()})

    def _prepare(self) -> None:
        """Puts the model into training mode and the extractor into evaluation mode."""
        self.model.train()
        if self.extractor is not None:
            self.extractor.eval()

    def _checked(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        accepted = (*self.inputs, *self.optional)
        for name in batch:
            if name not in accepted:
                raise ArgumentError(f"batch: {name!r} is unknown; expected {', '.join(accepted)}")
        checked = {}
        for name in accepted:
            if name not in batch:
                if name in self.optional:
                    continue
                raise ArgumentError(f"batch: {name!r} is missing; expected {', '.join(self.inputs)}")
            x = batch[name]
            if not isinstance(x, Tensor) or x.dtype != torch.float32:
                kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
                raise DTypeError(f"{name}: {kind}, expected a tensor of float32")
            if x.device != self.device:
                raise DeviceError(f"{name}: on {x.device}, but the model is on {self.device}")
            if not x.shape or not x.numel():
                raise ShapeError(f"{name}: shape {list(x.shape)} is empty")
            if self.settings.channels_last and x.ndim == 4:
                x = x.contiguous(memory_format=torch.channels_last)
            checked[name] = x
        self._check(checked)
        return checked

    @contextlib.contextmanager
    def autocast(self, *, twice: bool = False) -> Iterator[None]:
        """Runs the networks inside in the chosen dtype; compute losses outside, in float32.

        twice: whether the operations inside are differentiated twice, as for a gradient penalty; they do not run in
            float16, in which the unscaled first gradient would underflow to 0.
        """
        dtype_name = self.settings.dtype
        dtype = torch.float16 if dtype_name == "float16" else torch.bfloat16
        with torch.autocast(
            self.device.type, dtype, enabled=dtype_name == "bfloat16" or (dtype_name == "float16" and not twice)
        ):
            yield

    def _rate(self, lr: float) -> Any:
        """Returns the learning rate, as a tensor on a CUDA device so that a graph can read it."""
        return torch.tensor(lr, device=self.device) if self.device.type == "cuda" else lr

    def add_optimizer(
        self, name: str, parameters: Iterable[nn.Parameter], lr: float, betas: tuple[float, float] = (0.9, 0.999)
    ) -> None:
        """Adds the optimizer chosen by the settings, in a form that a CUDA graph can capture.

        Args:
            name: its name in `optimizers` and for `update`, usually that of the network.
            parameters, lr, betas: the parameters it trains, their learning rate, and the betas of Adam and AdamW.
        """
        settings, cuda = self.settings, self.device.type == "cuda"
        if settings.dtype == "float16":
            self.scales[name] = LossScale(self.device)
        kind = settings.optimizer or "adam"
        every = list(parameters)
        groups: list[dict[str, Any]] = [{"params": every}]
        if settings.weight_decay:
            groups = [
                {"params": [p for p in every if p.ndim > 1], "weight_decay": settings.weight_decay},
                {"params": [p for p in every if p.ndim <= 1], "weight_decay": 0.0},
            ]
        for group in groups:
            group["lr"] = self._rate(lr)
        if kind in ("adam", "adamw"):
            module = _adam if _adam.takes(every) else torch.optim
            optimizer_type = module.Adam if kind == "adam" else module.AdamW
            self.optimizers[name] = optimizer_type(groups, lr, betas, weight_decay=0.0, fused=True, capturable=cuda)
        elif kind == "sgd":
            sgd = torch.optim.SGD(groups, lr, momentum=settings.momentum, fused=True)
            if settings.momentum:
                # The kernel leaves its first moments undefined if the first gradient is not finite.
                for parameter in every:
                    sgd.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
            self.optimizers[name] = sgd
        else:
            for group in groups:
                group["decay"] = group.pop("weight_decay", 0.0)  # `update` adds it to the gradient
            self.optimizers[name] = torch.optim.RMSprop(groups, lr, foreach=True, capturable=cuda)

    def update(self, name: str, loss: Tensor, *, clip: float | None = None) -> None:
        """Updates the parameters of an optimizer; no other tensor gets a gradient.

        Args:
            name: the name of the optimizer.
            loss: a tensor [].
            clip: the parameters are clipped to [-clip, clip], even if the update is skipped; None: no clipping.
        """
        if name not in self.optimizers:
            raise ArgumentError(f"name: {name!r} is no optimizer of this step, expected {', '.join(self.optimizers)}")
        optimizer, scale = self.optimizers[name], self.scales.get(name)
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        if self.measures:
            return _clamp(parameters, clip)
        if self._micro == 0:
            optimizer.zero_grad(set_to_none=True)
        if self.accumulate > 1:
            loss = loss / self.accumulate
        if scale is not None:
            loss = loss * scale.value
        loss.backward(inputs=parameters)  # type: ignore[no-untyped-call]
        if self._micro < self.accumulate - 1:
            return _clamp(parameters, clip)
        gradients = [p.grad for p in parameters if p.grad is not None]
        if self.reduce is not None:
            self.reduce(gradients)
        if scale is not None:
            torch._foreach_mul_(gradients, scale.value.reciprocal())
        norms = torch.stack(torch._foreach_norm(gradients))
        norm = self.observed[f"gradient_norm/{name}"] = torch.linalg.vector_norm(norms)
        bad = (~torch.isfinite(norms.sum() + loss.detach())).float()
        self.skipped += bad
        if scale is not None:
            scale.adapt(bad)
        if limit := self.settings.clip_norm:
            torch._foreach_mul_(gradients, (limit / norm.clamp_min(1e-12)).clamp_max(1))
        if isinstance(optimizer, (_adam.Adam, _adam.AdamW)):
            optimizer.step(skip=bad, clip=clip)
            return
        if isinstance(optimizer, (torch.optim.Adam, torch.optim.SGD)):
            # If this is 1 the fused kernel changes nothing, and the host need not wait for it.
            optimizer.found_inf = bad  # type: ignore[union-attr]
            optimizer.grad_scale = None  # type: ignore[union-attr]
        else:
            # Gradients of 0 leave the weights unchanged, and the host need not wait either.
            for group in optimizer.param_groups:
                for parameter in (p for p in group["params"] if p.grad is not None):
                    if decay := group.get("decay"):
                        parameter.grad.add_(parameter.detach(), alpha=decay)
                    parameter.grad.masked_fill_(bad > 0, 0)
        optimizer.step()
        _clamp(parameters, clip)

    def scale_lr(self, factor: float) -> None:
        """Sets the learning rates to factor times those of the settings; used by schedules."""
        if not factor >= 0:
            raise ArgumentError(f"factor: {factor!r}, expected 0 or more")
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                first = group.setdefault("first_lr", float(group["lr"]))
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(first * factor)
                else:
                    group["lr"] = first * factor

    def state_dict(self) -> dict[str, Any]:
        """Returns all state except the model's: that of the optimizers, and the counters in `progress`."""
        state: dict[str, Any] = {name: getattr(self, name) for name in self.progress}
        state |= {name: o.state_dict() for name, o in self.optimizers.items()}
        if self.scales:
            state["scales"] = {name: dict(vars(scale)) for name, scale in self.scales.items()}
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Loads a result of `state_dict`.

        Raises:
            ArgumentError: the state is of another step.
        """
        expected = {*self.progress, *self.optimizers, *(["scales"] if self.scales else [])}
        if set(state) != expected:
            raise ArgumentError(f"state: has {', '.join(sorted(state))}; expected {', '.join(sorted(expected))}")
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state[name])
            for parameter, values in optimizer.state.items():
                for key, value in values.items():
                    # Give each value its parameter's layout: a fused kernel traverses both in memory order.
                    if isinstance(value, Tensor) and value.shape == parameter.shape:
                        values[key] = torch.empty_like(parameter).copy_(value)
        for name, scale in self.scales.items():
            for key, value in vars(scale).items():
                value.copy_(state["scales"][name][key])
        for name in self.progress:
            setattr(self, name, int(state[name]))

    def capture(self, batch: Mapping[str, Tensor]) -> CapturedStep:
        """Returns this step as CUDA graphs for batches of this shape, each started by a single launch.

        Three warm-up steps are made and undone: afterwards the networks and optimizers are as before.

        Raises:
            DeviceError: the model is not on a CUDA device.
        """
        if self.device.type != "cuda":
            raise DeviceError(f"model: on {self.device}, expected a CUDA device for a capture")
        return CapturedStep(self, self._checked(batch))


@torch.no_grad()
def _clamp(parameters: list[Tensor], limit: float | None) -> None:
    if limit is not None:
        torch._foreach_clamp_min_(parameters, -limit)
        torch._foreach_clamp_max_(parameters, limit)


class CapturedStep:
    """A `Step` replayed as CUDA graphs; called like the step, on batches of one shape."""

    warm_up = 3

    @_checks.kinds
    def __init__(self, step: Step, batch: dict[str, Tensor]) -> None:
        self.step = step
        self._static = {name: x.clone() for name, x in step._checked(batch).items()}
        self._graphs: dict[Hashable, tuple[torch.cuda.CUDAGraph, Losses, dict[str, Tensor]]] = {}

    def __call__(self, batch: Mapping[str, Tensor]) -> Losses:
        """Makes one step, like `Step.__call__`."""
        step = self.step
        checked = step._checked(batch)
        if set(checked) != set(self._static):
            raise ArgumentError(f"batch: has {', '.join(checked)}, expected {', '.join(self._static)} as captured")
        for name, x in checked.items():
            if x.shape != self._static[name].shape:
                raise ShapeError(f"{name}: shape {list(x.shape)}, captured with {list(self._static[name].shape)}")
        for name, x in checked.items():
            self._static[name].copy_(x)
        step._prepare()
        phase = step._phase()
        if phase not in self._graphs:
            self._graphs[phase] = self._captured()
        graph, losses, observed = self._graphs[phase]
        graph.replay()
        step.observed.update(observed)  # the tensors that the graph writes
        step._advance()
        return {name: loss.clone() for name, loss in losses.items()}

    def _captured(self) -> tuple[torch.cuda.CUDAGraph, Losses, dict[str, Tensor]]:
        step = self.step
        before = step.observed
        with _undone(step):
            stream: Any = torch.cuda.Stream(step.device)  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream(step.device))
            with torch.cuda.stream(stream):
                for _ in range(self.warm_up):
                    step.run(self._static)
            torch.cuda.current_stream(step.device).wait_stream(stream)
        step.observed = {}
        graph = torch.cuda.CUDAGraph()
        # Captures this thread only: otherwise a loader's thread that pins memory would break the capture and itself.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            losses = {name: loss.detach() for name, loss in step.run(self._static).items()}
        observed, step.observed = step.observed, before
        return graph, losses, observed


@contextlib.contextmanager
def _undone(step: Step) -> Iterator[None]:
    """Restores, in place, everything changed inside: weights, buffers, moments, scales and random states."""
    tensors = [*step.model.parameters(), *step.model.buffers()]
    tensors += [value for scale in step.scales.values() for value in vars(scale).values()]
    before = [t.detach().clone() for t in tensors]
    moments = {name: copy.deepcopy(o.state_dict()["state"]) for name, o in step.optimizers.items()}
    random = torch.cuda.get_rng_state(step.device)
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value in zip(tensors, before):
                tensor.copy_(value)
            for name, optimizer in step.optimizers.items():
                for index, parameter in enumerate(p for g in optimizer.param_groups for p in g["params"]):
                    earlier = moments[name].get(index, {})
                    for key, value in optimizer.state[parameter].items():
                        if isinstance(value, Tensor):
                            # A value created by the first step was zero before it.
                            value.copy_(earlier[key]) if key in earlier else value.zero_()
        torch.cuda.set_rng_state(random, step.device)


StepT = TypeVar("StepT", bound=type[Step])
_steps: dict[str, type[Step]] = {}


def register(*models: str) -> Callable[[StepT], StepT]:
    """Registers a class derived from `Step` as the step of models, by their names; a decorator.

    Raises:
        DTypeError: the class is not derived from `Step`.

    Example:
        >>> from pyharmony.learn.training import steps
        >>> @steps.register("tint")
        ... class TintStep(steps.Step):
        ...     settings_type = steps.AdamSettings
        ...
        ...     def run(self, batch):
        ...         with self.autocast():
        ...             output = self.model(batch["composite"], batch["mask"])
        ...         loss = (output.float() - batch["target"]).abs().mean()
        ...         self.update("model", loss)
        ...         return {"l1": loss}
    """

    def add(step: StepT) -> StepT:
        if not (isinstance(step, type) and issubclass(step, Step)):
            raise DTypeError(f"{step!r}: expected a class derived from pyharmony.learn.training.steps.Step")
        for name in models:
            _steps[name] = step
        return step

    return add


def step_of(model: Model) -> type[Step]:
    if not isinstance(model, Model):
        raise DTypeError(f"model: {type(model).__name__}, expected a model of pyharmony.networks.models")
    if model.name not in _steps:
        raise ArgumentError(f"model: {model.name} has no step, expected one of {', '.join(sorted(_steps))}")
    return _steps[model.name]


def settings_of(step: type[Step], values: Mapping[str, Any], preset: str | None) -> StepSettings:
    fields = [f.name for f in dataclasses.fields(step.settings_type)]
    for key in values:
        _catalogue.check_key(key, fields, step.__name__)
    return step.settings_type(**{**_catalogue.preset_of(step.__name__, step.presets, preset), **values})


def foreground_error(output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Returns `foreground_mse` with a minimum area of 100 pixels at 256x256, in proportion at other sizes."""
    height, width = output.shape[2:]
    return foreground_mse(output, target, mask, min_area=100 * height * width / 256**2)


def networks_of(model: Model) -> dict[str, nn.Module]:
    """Returns the networks of a model by name: generator and discriminator of an adversarial one, else the model."""
    if isinstance(model, Adversarial):
        return {"generator": model.generator, "discriminator": model.discriminator}
    return {"model": model}


def check_least(value: object, name: str, *, open_end: bool = False) -> None:
    """Raises if value is not a number of at least 0, or above 0 with open_end."""
    accepts = f"{'more than' if open_end else 'at least'} 0"
    try:
        number = _checks.number(value, name, accepts=accepts)
    except DTypeError as error:  # a text, say, is a wrong setting
        raise ArgumentError(str(error)) from None
    if open_end and not number:
        raise ArgumentError(f"{name}: 0, expected {accepts}")


def check_betas(value: object) -> None:
    accepts = "two numbers in [0, 1)"
    for number in _checks.two_numbers(value, "betas", f"expected {accepts}"):
        if not 0 <= number < 1:
            raise ArgumentError(f"betas: {_checks.shortened(value)}, expected {accepts}")
