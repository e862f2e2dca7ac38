"""Models on the meta device: shapes and parameter counts without memory for weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from . import _registry
from ._registry import Adversarial, Model

LAYERS = (nn.modules.conv._ConvNd, nn.Linear)


class Layer(NamedTuple):
    """A convolution or dense layer in the order of the forward pass.

    Attributes:
        name: the name of the module.
        kind: its class, kernel and stride.
        output: the shape of its output for one sample.
        parameters: the number of its own parameters.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int


class _SkipInit(TorchFunctionMode):
    """A mode that skips initialisation of tensors on the meta device, for which torch imports its compiler."""

    FILLS = (
        "normal_", "uniform_", "trunc_normal_", "kaiming_uniform_", "kaiming_normal_", "fill_", "zero_", "normalize",
    )  # fmt: skip

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in self.FILLS:
            x = args[0] if args else kwargs.get("tensor")
            if isinstance(x, Tensor) and x.is_meta:
                return x
        return func(*args, **kwargs)


def meta_model(info: _registry.ModelInfo, config: Any) -> Model:
    """Creates the model of a configuration on the meta device, without memory for its tensors."""
    with torch.device("meta"), _SkipInit():
        return info.make(config)


def outline(name: str, preset: str | None = None, **config: Any) -> Model:
    """Creates the model of `create` on torch's meta device, with shapes and without weights."""
    info = _registry.info_of(name)
    return meta_model(info, _registry.config_of(info, config, preset))


def parameter_counts(model: Model) -> dict[str, int]:
    """Returns the number of parameters of a model, 'all', and of both networks of an adversarial one."""
    parts = (
        {"generator": model.generator, "discriminator": model.discriminator} if isinstance(model, Adversarial) else {}
    )
    return {name: sum(p.numel() for p in part.parameters()) for name, part in {"all": model, **parts}.items()}


def kind_of(module: Any) -> str:
    if isinstance(module, nn.Linear):
        return "dense"
    transposed = isinstance(module, nn.ConvTranspose2d)
    what = "partial convolution" if "Partial" in type(module).__name__ else "convolution"
    size = "x".join(map(str, module.kernel_size))
    return f"{'transposed ' if transposed else ''}{what} {size}, stride {module.stride[0]}"


def layers(model: Model, size: int | None = None) -> list[Layer]:
    """Returns the layers of the forward pass of a model, or of a GAN's generator, in the order of calls.

    Args:
        model: a model of `outline`, or any other.
        size: the side of the images; None: the size of the published model.
    """
    net = model.generator if isinstance(model, Adversarial) else model
    entries: list[Layer] = []
    hooks = []
    for name, module in net.named_modules():
        if isinstance(module, LAYERS):

            def note(_module: nn.Module, _inputs: Any, result: Any, name: str = name) -> None:
                result = result if isinstance(result, Tensor) else result[0]
                count = sum(parameter.numel() for parameter in _module.parameters())
                entries.append(Layer(name, kind_of(_module), tuple(result.shape[1:]), count))

            hooks.append(module.register_forward_hook(note))
    device = next(model.parameters()).device
    try:
        with torch.no_grad():
            model(**{key: value.to(device) for key, value in model.example(size).items()})
    finally:
        for hook in hooks:
            hook.remove()
    return entries
