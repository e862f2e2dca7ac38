"""GP-GAN: a small blended image from a composite or from noise, to be enlarged by the Gaussian-Poisson equation.

Source: Wu et al., "GP-GAN: Towards Realistic High-Resolution Image Blending", ACM MM 2019, and the code published
with it; the critic and the generator from noise follow Radford et al., ICLR 2016, and Arjovsky et al., ICML 2017.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..._arrays import Float32
from ..._header import named
from ...errors import DTypeError, ShapeError, WeightsError
from ..nn import BatchNorm2d, Conv2d, ConvTranspose2d
from . import _blocks, _files, _published, checks
from ._published import PublishedLayer
from ._registry import Adversarial, Model, register
from .calls import evaluating

__all__ = ["BlendingGenerator", "Critic", "generator_of", "guess", "search"]


@dataclass(frozen=True)
class GPGanConfig:
    """Settings of `GPGan`.

    Attributes:
        supervised: whether it is the blending generator; False: the generator from noise.
        size: the side of the images, 4 * 2^n; 64 as published.
        width: the channels of the encoder's first layer and of the decoder's last but one (nef and ngf).
        bottleneck: the number of features between encoder and decoder.
        skips: whether the decoder uses the encoder's features of the same size.
        nz: the length of the noise.
        critic_width: the channels of the critic's first layer (ndf).
        slope: the slope of the leaky ReLUs; 0.2 as published, 0.01 in the PyTorch port.
    """

    supervised: bool = True
    size: int = 64
    width: int = 64
    bottleneck: int = 4000
    skips: bool = False
    nz: int = 100
    critic_width: int = 64
    slope: float = 0.2

    def __post_init__(self) -> None:
        checks.check_fields(self, checks.check_flag, "supervised", "skips")
        _blocks.power_of_two_sizes(self.size, "size")
        checks.check_fields(self, checks.check_whole, "width", "bottleneck", "nz", "critic_width")
        checks.check_share(self.slope, "slope")

    @property
    def halvings(self) -> int:
        """The number of halvings from size to 4."""
        return _blocks.power_of_two_sizes(self.size, "size")


def _down(width: int, halvings: int, slope: float) -> tuple[nn.ModuleList, nn.ModuleList]:
    """Creates the convolutions from an image to 4x4 features, and norms with activations after all but the first."""
    widths = [3] + [width * 2**i for i in range(halvings)]
    convs = nn.ModuleList(Conv2d(a, b, 4, 2, 1, bias=False) for a, b in itertools.pairwise(widths))
    return convs, nn.ModuleList(BatchNorm2d(c, negative_slope=slope) for c in widths[2:])


class Decoder(nn.Module):
    """A decoder from features [N, C, 1, 1] to an image: T(4,1,0) to 4x4, then T(4,2,1) with batch norms and ReLUs."""

    def __init__(self, in_channels: int, width: int, halvings: int, skips: bool = False) -> None:
        super().__init__()
        widths = [width * 2**i for i in reversed(range(halvings))]
        beside = 2 if skips else 1
        self.first = ConvTranspose2d(in_channels, widths[0], 4, 1, 0, bias=False)
        self.convs = nn.ModuleList(
            ConvTranspose2d(beside * a, b, 4, 2, 1, bias=False) for a, b in itertools.pairwise(widths)
        )
        self.norms = nn.ModuleList(BatchNorm2d(c, negative_slope=0.0) for c in widths)
        self.last = ConvTranspose2d(beside * widths[-1], 3, 4, 2, 1, bias=False)

    def forward(self, x: Tensor, skips: list[Tensor] | None = None) -> Tensor:
        """Maps features to an image; skips: the encoder's features from the largest to 4x4."""
        x = self.norms[0](self.first(x))
        for conv, norm in zip(self.convs, list(self.norms)[1:]):
            if skips is not None:
                x = torch.cat([x, skips.pop()], 1)
            x = norm(conv(x))
        if skips is not None:
            x = torch.cat([x, skips.pop()], 1)
        return torch.tanh(self.last(x))


class BlendingGenerator(nn.Module):
    """An encoder, a bottleneck (a full 4x4 convolution), and a decoder."""

    def __init__(self, config: GPGanConfig) -> None:
        super().__init__()
        self.size, self.slope, self.skips = config.size, config.slope, config.skips
        self.down, self.down_norm = _down(config.width, config.halvings, config.slope)
        self.bottleneck = Conv2d(config.width * 2 ** (config.halvings - 1), config.bottleneck, 4, bias=False)
        self.bottleneck_norm = BatchNorm2d(config.bottleneck, negative_slope=config.slope)
        self.decoder = Decoder(config.bottleneck, config.width, config.halvings, config.skips)

    def forward(self, composite: Tensor) -> Tensor:
        """Maps composite [N, 3, size, size] in [-1, 1], the pasted image, to [N, 3, size, size] in [-1, 1].

        In training N is 2 or more: the bottleneck's batch norm has one value per sample.
        """
        checks.check_image(composite, "composite", 3, size=self.size)
        checks.check_statistics(composite, "composite", self.training, len(self.down) + 2)
        skips: list[Tensor] = []
        x = _blocks.leaky_convs(self.down, self.down_norm, composite, self.slope, skips)
        x = self.bottleneck_norm(self.bottleneck(x))
        return self.decoder(x, skips if self.skips else None)


class NoiseGenerator(nn.Module):
    """A decoder with noise as its input."""

    def __init__(self, config: GPGanConfig) -> None:
        super().__init__()
        self.nz, self.size = config.nz, config.size
        self.decoder = Decoder(config.nz, config.width, config.halvings)

    def forward(self, z: Tensor) -> Tensor:
        """Maps z [N, nz], standard normal, to [N, 3, size, size] in [-1, 1]."""
        if z.ndim != 2 or z.shape[1] != self.nz:
            raise ShapeError(f"z: shape {list(z.shape)}, expected [N, {self.nz}]")
        return self.decoder(z[:, :, None, None])


class Critic(nn.Module):
    """A critic that returns the mean score of a batch; it is trained to be low for real images."""

    def __init__(self, config: GPGanConfig) -> None:
        super().__init__()
        self.size, self.slope = config.size, config.slope
        self.down, self.down_norm = _down(config.critic_width, config.halvings, config.slope)
        self.last = Conv2d(config.critic_width * 2 ** (config.halvings - 1), 1, 4, bias=False)

    def scores(self, image: Tensor) -> Tensor:
        """Returns a score for each image of [N, 3, size, size] in [-1, 1], [N]."""
        checks.check_image(image, "image", 3, size=self.size)
        return self.last(_blocks.leaky_convs(self.down, self.down_norm, image, self.slope)).flatten()

    def forward(self, image: Tensor) -> Tensor:
        """Returns the mean score of images [N, 3, size, size] in [-1, 1], []."""
        return self.scores(image).mean()


class GPGan(Adversarial):
    """The generator of small blended images and its critic.

    Shape:
        composite [N, 3, size, size] in [-1, 1], or z [N, nz] if the configuration is not supervised, to
        [N, 3, size, size] in [-1, 1]. `discriminator(image)` returns one number for the batch.
    """

    name = "gp_gan"

    def __init__(self, config: GPGanConfig) -> None:
        super().__init__(config, size=config.size, takes_mask=False)
        self.generator = BlendingGenerator(config) if config.supervised else NoiseGenerator(config)
        self.discriminator = Critic(config)
        _blocks.initialize(self)

    def example(self, size: int | None = None) -> dict[str, Tensor]:
        if not self.config.supervised:
            checks.check_choice(size, "size", (None, self.config.size))
            return {"z": torch.randn(2, self.config.nz)}
        return super().example(size)


Generator = BlendingGenerator | NoiseGenerator


def generator_of(source: Any, *, supervised: bool | None = None, nz: int | None = None) -> Generator:
    """Returns the generator that source specifies.

    Args:
        source: a `GPGan`, its generator, the path or the bytes of its weights, or the name of bundled weights.
        supervised: True requires the blending generator, False the one from noise; None: either.
        nz: the expected length of the noise; None: any.
    """
    if isinstance(source, str | bytes | os.PathLike):
        with named("network"):
            source = _files.load(source)
    if isinstance(source, Model):
        if not isinstance(source, GPGan):
            raise WeightsError(f"network: a {source.name}, expected a gp_gan")
        source = source.generator
    if not isinstance(source, BlendingGenerator | NoiseGenerator):
        raise DTypeError(
            f"network: {type(source).__name__}, expected a gp_gan of networks.models, its generator or a path"
        )
    blends = isinstance(source, BlendingGenerator)
    if blends and supervised is False:
        raise WeightsError(
            "network: the blending generator, expected that from noise for supervised=False", code="generator-blends"
        )
    if not blends and supervised:
        raise WeightsError(
            "network: the generator from noise, expected the blending one for supervised=True",
            code="generator-from-noise",
        )
    if nz is not None and isinstance(source, NoiseGenerator) and nz != source.nz:
        raise WeightsError(f"network: its noise has {source.nz} values, expected nz={nz}")
    return source


def _tensor(image: Float32, size: int) -> Tensor:
    """Converts [H, W, 3] in [0, 1] to [1, 3, H, W] in [-1, 1]."""
    if image.shape != (size, size, 3):
        raise ShapeError(f"composite: shape {list(image.shape)}, expected [{size}, {size}, 3]")
    return torch.from_numpy(np.ascontiguousarray(image, np.float32)).permute(2, 0, 1)[None] * 2 - 1


def _image(output: Tensor) -> Float32:
    """Converts [1, 3, H, W] in [-1, 1] to [H, W, 3], clipped to [0, 1]."""
    image = ((output.detach().float() + 1) / 2).clamp(0, 1)[0].permute(1, 2, 0).cpu().numpy()
    if not np.isfinite(image).all():
        raise WeightsError("network: its image contains NaN or Inf")
    return np.ascontiguousarray(image)


def guess(generator: BlendingGenerator, composite: Float32) -> Float32:
    """Returns the blending generator's image of a composite in evaluation mode, both [size, size, 3] in [0, 1]."""
    with evaluating(generator) as parameter, torch.no_grad():
        return _image(generator(_tensor(composite, generator.size).to(parameter)))


class SearchResult(NamedTuple):
    """The result of `search`: the image, and the mean squared errors of the first one and of it, in [-1, 1]."""

    image: Float32
    first: float
    loss: float
    iterations: int


def search(generator: NoiseGenerator, composite: Float32, *, n_iteration: int = 1000, seed: int = 0) -> SearchResult:
    """Searches for the noise whose image is closest to a composite: argmin over z of MSE(G(z), composite).

    Uses L-BFGS (Liu and Nocedal, 1989) with a strong Wolfe line search, from z ~ N(0, I) of a seed, for at most
    n_iteration iterations. z is float64, the network keeps its dtype and is in evaluation mode. Images are
    [size, size, 3] in [0, 1]. For one seed, device and number of torch threads the result is bit-identical.
    """
    start = torch.randn(1, generator.nz, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    with evaluating(generator) as parameter, torch.inference_mode(False), torch.enable_grad():
        target = _tensor(composite, generator.size).to(parameter)
        z = start.clone().requires_grad_()
        optimizer = torch.optim.LBFGS(
            [z],
            max_iter=n_iteration,
            max_eval=2 * n_iteration,
            tolerance_grad=1e-9,
            tolerance_change=1e-12,
            history_size=10,
            line_search_fn="strong_wolfe",
        )
        losses: list[float] = []
        best = start

        def closure() -> Tensor:
            nonlocal best
            loss = functional.mse_loss(generator(z.to(parameter)), target)
            (z.grad,) = torch.autograd.grad(loss, z)
            loss = loss.detach()
            value = float(loss)
            if not losses or value < min(losses):
                best = z.detach().clone()
            losses.append(value)
            return loss

        optimizer.step(closure)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            image = _image(generator(best.to(parameter)))
    return SearchResult(image, losses[0], min(losses), int(optimizer.state[z]["n_iter"]))


def _decoder_names(halvings: int) -> list[str]:
    """Returns the names of the layers of `Decoder`, in order."""
    names = ["first", "norms.0"]
    for i in range(halvings - 1):
        names += [f"convs.{i}", f"norms.{i + 1}"]
    return [f"decoder.{name}" for name in (*names, "last")]


def _down_names(halvings: int) -> list[str]:
    """Returns the names of the layers of an encoder or a critic, without the last."""
    return ["down.0", *(name for i in range(1, halvings) for name in (f"down.{i}", f"down_norm.{i - 1}"))]


def _renamed(layers: list[PublishedLayer], names: list[str], network: str) -> dict[str, Tensor]:
    """Returns the tensors of layers, renamed in order."""
    tensors = {}
    for layer, name in zip(layers, names, strict=False):
        norm = "norm" in name
        if layer.is_norm != norm or not norm and len(layer.shape) != 4:
            raise WeightsError(
                f"{layer.name!r} is at the position of {network}.{name}, a {'norm' if norm else 'convolution'}"
            )
        for leaf, value in layer.tensors.items():
            if not norm and leaf != "weight":
                raise WeightsError(f"{layer.name!r} has a {leaf}; GP-GAN's convolutions have only a weight")
            tensors[f"{network}.{name}.{leaf}"] = value
    if len(layers) != len(names):
        more = layers[len(names) :]
        what = f"{more[0].name!r} is unknown" if more else f"{names[len(layers)]} and the following are missing"
        raise WeightsError(f"{network}: {len(layers)} layers, expected {len(names)}: {what}")
    return tensors


#: TensorFlow's names of the tensors of a batch norm, and torch's names for them.
_NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
_TENSORFLOW_EPS = 1e-5  # the epsilon of its norms, 2e-5, minus torch's


def _of_tensorflow(state: dict[str, Any]) -> dict[str, Any]:
    """Returns the tensors of GP-GAN's TensorFlow ports in the layout of a PyTorch port, layer by layer."""
    tensors: dict[str, Any] = {}

    def convolution(name: str) -> bool:
        if name in state:
            tensors[f"{name}.weight"] = state[name].permute(3, 2, 0, 1).contiguous()
        return name in state

    def norm(name: str) -> None:
        for leaf, ours in _NORM.items():
            if f"{name}/{leaf}" in state:
                value = state[f"{name}/{leaf}"]
                tensors[f"{name}.{ours}"] = value + _TENSORFLOW_EPS if ours == "running_var" else value

    for network in ("generator/encoder", "generator/decoder", "discriminator"):
        for number in range(1, len(state)):
            part = f"dconv_{number}/dconv_{number}/kernel" if network.endswith("decoder") else f"conv_{number}/W"
            if not convolution(f"{network}/{part}"):
                break
            norm(f"{network}/bn_{number}")
        if network == "generator/encoder":
            norm("generator/bn_last")
    # Names with slashes are Chainer's.
    return {name.replace("/", "."): value for name, value in tensors.items()}


def _convert(state: dict[str, Any]) -> tuple[GPGanConfig, dict[str, Any]]:
    """Converts a published generator, perhaps with the critic, of Chainer or of a port with the same order."""
    every = _published.layers_of(_of_tensorflow(state) if "generator/encoder/conv_1/W" in state else state)
    convs = [i for i, layer in enumerate(every) if len(layer.shape) == 4]
    # The critic is the part that ends in one output channel.
    last = next((i for i in convs if every[i].shape[0] == 1), -1)
    first = max((i for i in convs if i <= last and every[i].shape[1] == 3), default=0)
    critic, generator = every[first : last + 1], every[:first] + every[last + 1 :]
    conv_layers = [layer for layer in generator if len(layer.shape) == 4]
    if not conv_layers:
        only = "only the critic is among the weights; expected a generator" if critic else "there is no convolution"
        raise WeightsError(f"not a generator of GP-GAN: {only}")
    if conv_layers[-1].shape[1] != 3:
        raise WeightsError(f"not a generator of GP-GAN: its last layer {conv_layers[-1].name!r} returns no image")
    supervised = conv_layers[0].shape[1] == 3
    halvings = (len(conv_layers) - (2 if supervised else 1)) // (2 if supervised else 1)
    if halvings < 1:
        raise WeightsError(f"not a generator of GP-GAN: it has {len(conv_layers)} convolutions")
    settings: dict[str, Any] = {"supervised": supervised, "size": 4 * 2**halvings, "width": conv_layers[-1].shape[0]}
    names = _decoder_names(halvings)
    if supervised:
        if conv_layers[0].shape[0] != settings["width"]:
            widths = f"{conv_layers[0].shape[0]} and {settings['width']}"
            raise WeightsError(f"an encoder and a decoder of widths {widths}; gp_gan has one width for both")
        names = [*_down_names(halvings), "bottleneck", "bottleneck_norm", *names]
        settings["bottleneck"] = conv_layers[halvings].shape[0]
    else:
        settings["nz"] = conv_layers[0].shape[0]
    tensors = _renamed(generator, names, "generator")
    if critic:
        settings["critic_width"] = critic[0].shape[0]
        tensors |= _renamed(critic, [*_down_names(halvings), "last"], "discriminator")
    # The PyTorch port, whose layers are in a Sequential called net, uses torch's default slope of leaky ReLUs.
    if any(name.startswith("encoder.net.") for name in state):
        settings["slope"] = 0.01
    return GPGanConfig(**settings), tensors


register(
    GPGan,
    GPGanConfig,
    task="blend",
    summary="a small blended image from a pasted one, or from noise",
    source="Wu et al., ACM MM 2019",
    presets={
        "paper": {},
        "small": {"width": 32, "bottleneck": 512, "critic_width": 32},
        "skips": {"width": 32, "bottleneck": 192, "critic_width": 16, "skips": True},
        "unsupervised": {"supervised": False},
    },
    convert=_convert,
)
