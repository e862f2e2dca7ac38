"""pix2pix: a U-Net or a residual network with a discriminator of patches or pixels.

Source: Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017, and for the
residual generator Johnson et al., "Perceptual Losses for Real-Time Style Transfer", ECCV 2016.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ...errors import ArgumentError, WeightsError
from ..nn import Conv2d
from . import _blocks, _published, checks
from ._blocks import Norm
from ._registry import Adversarial, register

#: The U-Nets, and the side of the images that each reduces to one pixel.
UNETS = {f"unet_{size}": size for size in (32, 64, 128, 256, 512, 1024)}
#: The residual networks, and the number of blocks of each.
RESNETS = {"resnet_6blocks": 6, "resnet_9blocks": 9}
GENERATORS = (*UNETS, *RESNETS)
DISCRIMINATORS = ("basic", "n_layers", "pixel")
#: The number of layers of the published patch discriminator.
_LAYERS = 3


@dataclass(frozen=True)
class Pix2PixConfig:
    """Settings of `Pix2Pix`.

    Attributes:
        generator: 'unet_256' or 'unet_128', U-Nets of eight and seven levels, or of another depth, 'unet_32' of five to
            'unet_1024' of ten; 'resnet_9blocks' or 'resnet_6blocks'.
        mask: whether a mask is a fourth input channel.
        width: the channels of the generator's first layer (ngf).
        discriminator_width: the channels of the discriminator's first layer (ndf).
        discriminator: 'basic' scores patches of 70 pixels by three layers, 'n_layers' patches of another size,
            'pixel' single pixels.
        discriminator_layers: for 'n_layers', the number of layers: 1 scores patches of 16 pixels, 2 of 34, 4 of 142,
            5 of 286.
        norm: 'batch', 'instance' or 'none', for both networks.
        dropout: the dropout in three inner levels of the U-Net of eight, one less for each level less, and inside the
            residual blocks.
        residual: whether the output is the image plus an affine map of each pixel's colour inside the mask, clipped to
            [-1, 1]; the network predicts the map, initially zero. Its inputs then include mean and deviation of each
            channel inside and outside. The published networks generate the whole image.
    """

    generator: Literal[
        "unet_32", "unet_64", "unet_128", "unet_256", "unet_512", "unet_1024", "resnet_6blocks", "resnet_9blocks"
    ] = "unet_256"
    mask: bool = False
    width: int = 64
    discriminator_width: int = 64
    discriminator: Literal["basic", "n_layers", "pixel"] = "basic"
    discriminator_layers: int = 3
    norm: Norm = "batch"
    dropout: float = 0.5
    residual: bool = False

    def __post_init__(self) -> None:
        checks.check_choice(self.generator, "generator", GENERATORS)
        checks.check_fields(self, checks.check_flag, "mask", "residual")
        checks.check_fields(self, checks.check_whole, "width", "discriminator_width", "discriminator_layers")
        checks.check_choice(self.discriminator, "discriminator", DISCRIMINATORS)
        if self.discriminator != "n_layers" and self.discriminator_layers != _LAYERS:
            raise ArgumentError(
                f"discriminator_layers: {self.discriminator_layers!r}, not used by discriminator="
                f"{self.discriminator!r}; expected discriminator='n_layers'"
            )
        checks.check_choice(self.norm, "norm", _blocks.NORMS)
        checks.check_share(self.dropout, "dropout")

    @property
    def size(self) -> int:
        """The side of the images for which the generator was designed."""
        return UNETS.get(self.generator, 256)


class Pix2PixBlock(nn.Module):
    """x + f(x) with f two 3x3 convolutions with reflection padding and norms, and a ReLU between them."""

    def __init__(self, channels: int, norm: Norm, dropout_p: float) -> None:
        super().__init__()
        self.dropout_p = dropout_p
        bias = _blocks.has_bias_in_pix2pix(norm)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect", bias=bias)
        self.norm1 = _blocks.norm_layer(norm, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect", bias=bias)
        self.norm2 = _blocks.norm_layer(norm, channels)

    def forward(self, x: Tensor, active: bool) -> Tensor:
        """Maps x [N, channels, H, W] to the same shape; active: whether dropout is applied."""
        y = _blocks.dropout(torch.relu(self.norm1(self.conv1(x))), self.dropout_p, active)
        return x + self.norm2(self.conv2(y))


class ResNet(nn.Module):
    """A residual network: 7x7, two convolutions of stride 2, nine or six blocks at a quarter of the size, and back."""

    multiple = 4

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int,
        norm: Norm,
        dropout_p: float,
        blocks: int,
        bounded: bool = True,
    ) -> None:
        super().__init__()
        self.bounded = bounded
        bias = _blocks.has_bias_in_pix2pix(norm)
        widths = (width, 2 * width, 4 * width)
        self.first = nn.Conv2d(in_channels, width, 7, padding=3, padding_mode="reflect", bias=bias)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1, bias=bias) for a, b in itertools.pairwise(widths))
        self.down_norm = nn.ModuleList(_blocks.norm_layer(norm, c) for c in widths)
        self.blocks = nn.ModuleList(Pix2PixBlock(widths[-1], norm, dropout_p) for _ in range(blocks))
        back = widths[::-1]
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 3, 2, 1, 1, bias=bias) for a, b in itertools.pairwise(back))
        self.up_norm = nn.ModuleList(_blocks.norm_layer(norm, c) for c in back[1:])
        self.last = nn.Conv2d(width, out_channels, 7, padding=3, padding_mode="reflect")

    def forward(self, x: Tensor, *, stochastic: bool = False) -> Tensor:
        for conv, norm in zip([self.first, *self.down], self.down_norm):
            x = torch.relu(norm(conv(x)))
        for block in self.blocks:
            x = block(x, self.training or stochastic)
        for conv, norm in zip(self.up, self.up_norm):
            x = torch.relu(norm(conv(x)))
        x = self.last(x)
        return torch.tanh(x) if self.bounded else x


class Pix2PixGenerator(nn.Module):
    """The network of `Pix2PixConfig.generator` on the image and, if it is an input, the mask."""

    def __init__(self, config: Pix2PixConfig) -> None:
        super().__init__()
        self.mask, self.residual = config.mask, config.residual
        channels, bounded = (3 + config.mask, _blocks.AFFINE if config.residual else 3), not config.residual
        self.statistics = config.residual and config.mask
        if self.statistics:
            channels = (4 + _blocks.STATISTICS, _blocks.AFFINE)
        self.net: _blocks.UNet | ResNet
        if config.generator in RESNETS:
            count = RESNETS[config.generator]
            self.net = ResNet(*channels, config.width, config.norm, config.dropout, count, bounded)
        else:
            depth = UNETS[config.generator].bit_length() - 1
            self.net = _blocks.UNet(
                *channels, config.width, depth, config.norm, dropout_p=config.dropout, bounded=bounded
            )

    def forward(self, image: Tensor, mask: Tensor | None = None, *, stochastic: bool = False) -> Tensor:
        """Generates an image from an image.

        Args:
            image: [N, 3, H, W] in [-1, 1]; sides are multiples of 256, 128 and so on for the U-Nets, by their names,
                of 4 for the residual networks.
            mask: [N, 1, H, W] in [0, 1], for models created with a mask.
            stochastic: whether dropout is also applied in evaluation mode, as published: results differ in every call.

        Returns:
            [N, 3, H, W] in [-1, 1].
        """
        output = self._net(image, mask, stochastic)
        return _blocks.apply_maps(output, image, mask) if self.residual else output

    def maps(self, image: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns a residual generator's maps for `_blocks.apply_maps`, [N, 12, H, W], from `forward`'s arguments."""
        return self._net(image, mask, False)

    def _net(self, image: Tensor, mask: Tensor | None, stochastic: bool) -> Tensor:
        checks.check_image(image, "image", 3, self.net.multiple)
        x = _blocks.with_mask(image, mask, self.mask)
        if self.statistics and mask is not None:
            x = _blocks.with_statistics(image, mask.to(image.dtype))
        return self.net(x, stochastic=stochastic)


class PatchGan(nn.Module):
    """Scores patches of 70 pixels by three layers, or of another size by another number of layers.

    With three layers 256 pixels become a map of 30x30.

    Attributes:
        smallest, multiple: the smallest accepted side of images, and the number of which sides must be multiples.
    """

    multiple = 1

    def __init__(self, channels: int, width: int, norm: Norm, layers: int = _LAYERS) -> None:
        super().__init__()
        self.smallest = 4 * 2**layers
        bias = _blocks.has_bias_in_pix2pix(norm)
        widths = (channels, *(width * min(2**i, 8) for i in range(layers + 1)))
        strides = (*(2,) * layers, 1)
        self.convs = nn.ModuleList(
            Conv2d(a, b, 4, stride, 1, bias=bias or i == 0)
            for i, (a, b, stride) in enumerate(zip(widths, widths[1:], strides))
        )
        self.norms = nn.ModuleList(_blocks.norm_layer(norm, c, 0.2) for c in widths[2:])
        self.last = Conv2d(widths[-1], 1, 4, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(_blocks.leaky_convs(self.convs, self.norms, x))


class PixelGan(nn.Module):
    """A discriminator of single pixels, with three 1x1 convolutions: the map has the size of the image."""

    smallest = multiple = 1

    def __init__(self, channels: int, width: int, norm: Norm) -> None:
        super().__init__()
        bias = _blocks.has_bias_in_pix2pix(norm)
        self.net = nn.Sequential(
            nn.Conv2d(channels, width, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 1, bias=bias),
            _blocks.norm_layer(norm, 2 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 1, bias=bias),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Pix2PixDiscriminator(nn.Module):
    """A network on the input image, its mask if any, and the image to score; see `PatchGan` for its attributes."""

    def __init__(self, net: Any, mask: bool) -> None:
        super().__init__()
        self.mask, self.net, self.smallest, self.multiple = mask, net, net.smallest, net.multiple

    def forward(self, image: Tensor, output: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns a map of logits [N, 1, h, w] for images [N, 3, H, W] in [-1, 1] and, if it is an input, the mask.

        h is floor(H / 2^n) - 2 for patches by n layers, H for pixels, H / 16 for wide residual patches.
        """
        checks.check_image(image, "image", 3, self.multiple)
        checks.check_like(output, image, "output", "image")
        checks.check_smallest(image, "image", self.smallest)
        return self.net(_blocks.concat_channels(_blocks.with_mask(image, mask, self.mask), output))


class Pix2Pix(Adversarial):
    """Image-to-image translation, trained by an adversarial loss and the distance to the target.

    Shape:
        image [N, 3, H, W] in [-1, 1], and mask [N, 1, H, W] in [0, 1] if the configuration has one, to
        [N, 3, H, W] in [-1, 1]. `discriminator(image, output[, mask])` returns a map of logits.
    """

    name = "pix2pix"
    picture = "image"

    def __init__(self, config: Pix2PixConfig) -> None:
        super().__init__(config, size=config.size, takes_mask=config.mask)
        self.generator = Pix2PixGenerator(config)
        channels, width = 6 + config.mask, config.discriminator_width
        if config.discriminator == "pixel":
            net: nn.Module = PixelGan(channels, width, config.norm)
        else:
            net = PatchGan(channels, width, config.norm, config.discriminator_layers)
        self.discriminator = Pix2PixDiscriminator(net, config.mask)
        _blocks.initialize(self)
        if config.residual:
            _blocks.start_as_identity(self.generator.net.last)


def _convert_resnet(state: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Converts the published residual generator: a sequence whose blocks are nested sequences."""
    blocks = sorted({int(m.group(1)) for key in state if (m := re.match(r"model\.(\d+)\.conv_block\.", key))})
    count = len(blocks)
    name = next((name for name, n in RESNETS.items() if n == count), None)
    if name is None or blocks != list(range(10, 10 + count)):
        counts = " or ".join(map(str, RESNETS.values()))
        raise WeightsError(f"the file has {count} residual blocks, expected {counts}")
    norm = _published.norm_by(state, "model.1", "model.2")
    # A dropout between the convolutions increments the index of the second one.
    has_dropout = "model.10.conv_block.6.weight" in state and state["model.10.conv_block.6.weight"].ndim == 4
    second = 6 if has_dropout else 5
    names = {"model.1": "first", "model.2": "down_norm.0", "model.4": "down.0", "model.5": "down_norm.1"}
    names |= {"model.7": "down.1", "model.8": "down_norm.2"}
    for i in range(count):
        inner = f"model.{10 + i}.conv_block"
        names |= {f"{inner}.1": f"blocks.{i}.conv1", f"{inner}.2": f"blocks.{i}.norm1"}
        names |= {f"{inner}.{second}": f"blocks.{i}.conv2", f"{inner}.{second + 1}": f"blocks.{i}.norm2"}
    after = 10 + count
    names |= {f"model.{after}": "up.0", f"model.{after + 1}": "up_norm.0", f"model.{after + 3}": "up.1"}
    names |= {f"model.{after + 4}": "up_norm.1", f"model.{after + 7}": "last"}
    settings: dict[str, Any] = {
        "generator": name,
        "norm": norm,
        "width": int(state["model.1.weight"].shape[0]),
        "mask": _published.has_mask(state["model.1.weight"].shape[1]),
        "dropout": 0.5 if has_dropout else 0.0,
    }
    return settings, _published.rename(state, names, norm)


def _convert_discriminator(judge: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Converts the published patch discriminator, one sequence `model`, or that of pixels, one sequence `net`."""
    if "net.0.weight" in judge:
        norm = _published.norm_by(judge, "net.2", "net.3")
        names = {f"net.{i}": f"net.{i}" for i in (0, 2, 3, 5)}
        settings: dict[str, Any] = {"discriminator": "pixel", "norm": norm}
        settings["discriminator_width"] = judge["net.0.weight"].shape[0]
        return settings, _published.rename(judge, names, norm)
    norm, width, layers, tensors = _published.patches(judge)
    settings = {"norm": norm, "discriminator_width": width}
    if layers != _LAYERS:
        settings |= {"discriminator": "n_layers", "discriminator_layers": layers}
    return settings, tensors


def _convert(state: dict[str, Tensor]) -> tuple[Pix2PixConfig, dict[str, Tensor]]:
    # The discriminator, if any, is in a separate file, because a residual generator has the same names.
    judge: dict[str, Tensor] = {}
    if any(key.startswith("model.model.") for key in state):
        judge = {key: state.pop(key) for key in list(state) if not key.startswith("model.model.")}
        unet = _published.unet(state)
        name = next((name for name, size in UNETS.items() if size == 2**unet.depth), None)
        if unet.gated or name is None:
            raise WeightsError(f"a U-Net of {unet.depth} levels{', gated,' if unet.gated else ''} is not of pix2pix")
        settings: dict[str, Any] = {
            "generator": name,
            "norm": unet.norm,
            "width": unet.width,
            "mask": _published.has_mask(unet.in_channels),
        }
        tensors = unet.state
    elif any(key.startswith("model.10.conv_block.") for key in state):
        judge = _published.take(state, "net.")
        settings, tensors = _convert_resnet(state)
    else:
        raise WeightsError("the weights do not have the names of any published layout of pix2pix")
    state = {f"generator.net.{key}": value for key, value in tensors.items()}
    if "model.0.weight" in judge or "net.0.weight" in judge:
        of_judge, tensors = _convert_discriminator(judge)
        if of_judge["norm"] != settings["norm"]:
            norms = f"a discriminator with {of_judge['norm']} norm and a generator with {settings['norm']} norm"
            raise WeightsError(norms)
        settings |= of_judge
        state |= {f"discriminator.net.{key}": value for key, value in tensors.items()}
    elif judge:
        raise WeightsError(f"{next(iter(judge))!r} is not a tensor of the model")
    return Pix2PixConfig(**settings), state


register(
    Pix2Pix,
    Pix2PixConfig,
    task="harmonize",
    summary="U-Net or residual network with a discriminator of patches or pixels",
    source="Isola et al., CVPR 2017",
    presets={
        "harmonize": {"mask": True},
        "unet_128": {"generator": "unet_128"},
        "resnet_9blocks": {"generator": "resnet_9blocks", "norm": "instance"},
        "resnet_6blocks": {"generator": "resnet_6blocks", "norm": "instance"},
        "pixel": {"discriminator": "pixel"},
        "small": {"mask": True, "width": 16, "discriminator_width": 16},
        "residual": {
            "generator": "unet_64",
            "mask": True,
            "width": 16,
            "discriminator_width": 8,
            "dropout": 0.0,
            "residual": True,
        },
    },
    convert=_convert,
)
