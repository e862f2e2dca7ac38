"""PCT-Net: an affine colour map for each pixel of a reduced image, upsampled to full size.

Sources: Guerreiro et al., "PCT-Net: Full Resolution Image Harmonization Using Pixel-Wise Color Transformations", CVPR
2023; its convolutional form is the network of Sofiiuk et al., "Foreground-aware Semantic Representations for Image
Harmonization", WACV 2021, with the attention of Cun and Pun, "Improving the Harmony of the Composite Image by
Spatial-Separated Attention Module", TIP 2020; its transformer is that of Guo et al., "Image Harmonization with
Transformer", ICCV 2021.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import ArgumentError, WeightsError
from . import _blocks, _published, checks
from ._registry import Model, register

__all__ = ["MEAN", "STD", "PctNet", "normalised"]

ENCODERS = ("cnn", "vit")
#: The number of convolution blocks; the sides are halved between them.
_BLOCKS = 4
MEAN = (0.485, 0.456, 0.406)  # the mean of ImageNet's images in [0, 1], by channel
STD = (0.229, 0.224, 0.225)  # the standard deviation of ImageNet's images in [0, 1], by channel


@dataclass(frozen=True)
class PctNetConfig:
    """Settings of `PctNet`.

    Attributes:
        encoder: 'cnn', a U-Net with an attention map, or 'vit', a transformer on patches.
        size: the side of the network's input; for 'cnn' a multiple of 8, at least 16, for 'vit' a multiple of `patch`.
        width: for 'cnn', the channels of its first block; they double in each following one.
        patch: for 'vit', the side of a patch in pixels.
        token_width: for 'vit', the channels of a token; a multiple of `heads`.
        layers: for 'vit', the number of layers.
        heads: the number of attention heads of each layer.
        hidden: the channels between the two dense layers of each layer.
        dropout: for 'vit', the dropout in training of the attention weights, and of the output of each dense layer
            after the attention.
    """

    encoder: Literal["cnn", "vit"] = "cnn"
    size: int = 256
    width: int = 32
    patch: int = 4
    token_width: int = 256
    layers: int = 9
    heads: int = 2
    hidden: int = 512
    dropout: float = 0.1

    def __post_init__(self) -> None:
        checks.check_choice(self.encoder, "encoder", ENCODERS)
        checks.check_fields(self, checks.check_whole, "width", "patch", "token_width", "heads", "hidden")
        checks.check_layers(self.layers, "layers")
        multiple = 2 ** (_BLOCKS - 1) if self.encoder == "cnn" else self.patch
        checks.check_whole(self.size, "size", 2 * multiple)
        if self.size % multiple:
            raise ArgumentError(f"size: {self.size}, expected a multiple of {multiple}")
        if self.token_width % self.heads:
            raise ArgumentError(f"token_width: {self.token_width}, expected a multiple of heads, {self.heads}")
        checks.check_share(self.dropout, "dropout")


class Transforms(NamedTuple):
    """The network's output for each pixel of its input.

    Attributes:
        change: [N, 12, S, S], D of the affine map [I | 0] + D, D row by row.
        attention: [N, 1, S, S] in [0, 1], the weight of the change for each pixel; None: 1.
    """

    change: Tensor
    attention: Tensor | None

    @property
    def shared(self) -> Tensor:
        """The change, times the attention if there is one, [N, 12, S, S]."""
        return self.change if self.attention is None else self.change * self.attention


class PixelMaps(NamedTuple):
    """Maps for `pyharmony.ops.color_grid`: grid [N, S, S, 1, 3, 4], one cell per pixel of the network's input.

    There are no curves, and the additional affine map is the identity.
    """

    affine: None
    curves: None
    grid: Tensor


def normalised(image: Tensor) -> Tensor:
    """Normalises an image [N, 3, H, W] in [0, 1] by ImageNet's mean and standard deviation."""
    # Scalars, not a tensor of them: a CUDA graph cannot copy from the CPU.
    return torch.cat([(image[:, i : i + 1] - MEAN[i]) / STD[i] for i in range(3)], 1)


def _conv(in_channels: int, channels: int, norm: bool, bias: bool = True) -> nn.Sequential:
    """Creates a 3x3 convolution, optionally batch norm, and a ReLU."""
    conv = nn.Conv2d(in_channels, channels, 3, padding=1, bias=bias)
    return nn.Sequential(conv, *([nn.BatchNorm2d(channels)] if norm else []), nn.ReLU())


class ChannelGate(nn.Module):
    """Scales each channel by a factor in [0, 1] that two dense layers compute from all means and maxima."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Linear(2 * channels, max(channels // 16, 8))
        self.outer = nn.Linear(self.inner.out_features, channels)

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)
        return x * torch.sigmoid(self.outer(torch.relu(self.inner(pooled))))[..., None, None]


class SeparatedAttention(nn.Module):
    """Separate gates for the object, the background and both; the object's features pass two more convolutions.

    The mask that mixes them is blurred by `blur`, 7x7 with zero padding: a fixed Gaussian of one pixel. In published
    weights it is noise, because their initialisation overwrote it.
    """

    blur: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.background, self.foreground, self.both = (ChannelGate(channels) for _ in range(3))
        middle = max(channels // 2, 1)
        self.learn = nn.Sequential(
            _conv(channels, middle, norm=True, bias=False), _conv(middle, channels, norm=True, bias=False)
        )
        bell = torch.exp(-0.5 * torch.arange(-3.0, 4.0).square())
        self.register_buffer("blur", (torch.outer(bell, bell) / bell.sum().square())[None, None])

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        soft = functional.conv2d(mask, self.blur.to(mask.dtype), padding=3)
        return soft * (self.learn(self.foreground(x)) + self.both(x)) + (1 - soft) * self.background(x)


class Convolutions(nn.Module):
    """The U-Net: four blocks of two convolutions, and a decoder with skips; separated attention at full size."""

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = [4, *(width * 2**i for i in range(_BLOCKS))]
        self.down = nn.ModuleList(
            nn.Sequential(_conv(a, b, norm=i >= 2), _conv(b, b, norm=i >= 2))
            for i, (a, b) in enumerate(itertools.pairwise(widths))
        )
        back = list(itertools.pairwise(widths[:0:-1]))
        self.up = nn.ModuleList(_conv(a, b, norm=False) for a, b in back)
        self.merge = nn.ModuleList(nn.Sequential(_conv(2 * b, b, norm=True), _conv(b, b, norm=True)) for _, b in back)
        self.separate = SeparatedAttention(2 * width)
        self.attention = nn.Conv2d(width, 1, 1)
        self.channels = width

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.cat([normalised(image), mask], 1)
        skips = []
        for block in self.down[:-1]:
            skips.append(block(x))
            x = functional.max_pool2d(skips[-1], 2)
        x = self.down[-1](x)
        for i, (up, merge) in enumerate(zip(self.up, self.merge)):
            x = up(functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True))
            x = torch.cat([skips[-1 - i], x], 1)
            x = merge(self.separate(x, mask) if i == len(self.up) - 1 else x)
        return x, torch.sigmoid(3 * self.attention(x))


class TransformerLayer(nn.Module):
    """Self-attention and two dense layers, each with a residual connection and a layer norm; dropout in training."""

    def __init__(self, width: int, heads: int, hidden_width: int, dropout_p: float = 0.0) -> None:
        super().__init__()
        self.heads, self.dropout_p = heads, dropout_p
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.inner, self.outer = nn.Linear(width, hidden_width), nn.Linear(hidden_width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Maps x [N, T, width] to a tensor like it."""
        query, key, value = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        share = self.dropout_p if self.training else 0.0
        attention = functional.scaled_dot_product_attention(query, key, value, dropout_p=share)
        x = self.norm1(x + self._dropped(self.project(attention.transpose(1, 2).flatten(2))))
        return self.norm2(x + self._dropped(self.outer(self._dropped(functional.gelu(self.inner(x))))))

    def _dropped(self, x: Tensor) -> Tensor:
        return _blocks.dropout(x, self.dropout_p, self.training)


class Patches(nn.Module):
    """The transformer: patches of image and mask are tokens, without positional encoding."""

    channels = 12

    def __init__(self, config: PctNetConfig) -> None:
        super().__init__()
        patch, width = config.patch, config.token_width
        self.embed = nn.Conv2d(4, width, patch, patch)
        self.layers = nn.Sequential(
            *(TransformerLayer(width, config.heads, config.hidden, config.dropout) for _ in range(config.layers))
        )
        self.up = nn.ConvTranspose2d(width, self.channels, patch, patch)

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, None]:
        x = self.embed(torch.cat([image, mask], 1))
        tokens = self.layers(x.flatten(2).mT)
        return torch.tanh(self.up(tokens.mT.unflatten(2, (x.shape[2], x.shape[3])))), None


class PctNet(Model):
    """Predicts an affine colour map for each pixel of a composite, and applies the maps.

    The image is reduced to `size` x `size` pixels by an antialiased bilinear filter. For each of these pixels the map
    is [I | 0] + D, the attention a, and

        y = clamp(x + up(a D) [x; 1], 0, 1),

    x in [0, 1], up the bicubic filter (align_corners=False) to the size of x. 'cnn' returns y, its attention should
    preserve the background; 'vit' has no attention (a = 1) and returns x + m (y - x), m the mask. D is initially zero:
    an untrained network changes nothing. The published map of 'cnn' is for x normalised by ImageNet's mean and
    deviation, which `convert` folds into D; its y is clamped before the attention mixes it with x, and map and
    attention are upsampled separately.

    Shape:
        composite [N, 3, H, W] in [0, 1], mask [N, 1, H, W] in [0, 1], sides of at least 8, to the harmonised image
        [N, 3, H, W] in [0, 1].
    """

    name = "pct_net"
    low = 0.0
    smallest = 8  # the side of the smallest images

    def __init__(self, config: PctNetConfig) -> None:
        super().__init__(config, size=config.size)
        self.net: Convolutions | Patches
        if config.encoder == "cnn":
            self.net = Convolutions(config.width)
            for module in self.net.modules():
                if isinstance(module, (nn.Conv2d, nn.Linear)):
                    nn.init.xavier_normal_(module.weight, gain=math.sqrt(2))  # deviation 2 / sqrt(in + out)
                    if module.bias is not None:
                        nn.init.zeros_(module.bias)
        else:
            self.net = Patches(config)
            _blocks.initialize(self.net)
        self.last = nn.Conv2d(self.net.channels, 12, 1)
        _blocks.start_as_identity(self.last)

    def transforms(self, composite: Tensor, mask: Tensor) -> Transforms:
        """Returns the network's maps; see the class for the arguments."""
        checks.check_image(composite, "composite", 3)
        checks.check_mask(mask, composite)
        checks.check_smallest(composite, "composite", self.smallest)
        size = self.config.size
        image, inside = composite, mask.to(composite.dtype)
        if tuple(composite.shape[2:]) != (size, size):
            image, inside = (
                functional.interpolate(x, (size, size), mode="bilinear", antialias=True) for x in (image, inside)
            )
        features, attention = self.net(image, inside)
        # bfloat16 is precise enough for the change, but not for the image to which it is added.
        change = self.last(features).to(composite.dtype)
        return Transforms(change, None if attention is None else attention.to(composite.dtype))

    def mapped(self, composite: Tensor, mask: Tensor, transforms: Transforms) -> Tensor:
        """Returns the full-size image after the maps, [N, 3, H, W]; see the class."""
        change = transforms.shared
        if change.shape[2:] != composite.shape[2:]:
            change = functional.interpolate(change, composite.shape[2:], mode="bicubic")
        change = change.reshape(-1, 3, 4, *composite.shape[2:])
        output = (composite + (change[:, :, :3] * composite[:, None]).sum(2) + change[:, :, 3]).clamp(0, 1)
        if transforms.attention is not None:
            return output
        return composite + mask.to(composite.dtype) * (output - composite)

    def maps(self, composite: Tensor, mask: Tensor) -> PixelMaps:
        """Returns the maps as a grid with one cell per pixel, for linear interpolation by `color_grid`; the arguments
        are those of `forward`."""
        change = self.transforms(composite, mask).shared
        grid = change.reshape(-1, 3, 4, *change.shape[2:]).permute(0, 3, 4, 1, 2)
        return PixelMaps(None, None, grid[:, :, :, None])

    def forward(self, composite: Tensor, mask: Tensor) -> Tensor:
        """Returns the harmonised image, see the class."""
        return self.mapped(composite, mask, self.transforms(composite, mask))


def _change(weight: Tensor, bias: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> dict[str, Tensor]:
    """Converts the last layer from M and b of y = M z + b, z = (x - mean) / std, to D of y = x + D [x; 1].

    The published channels are M in row-major order, then b; those of D are [3, 4] in row-major order.
    """
    matrix, offset = torch.zeros(12, 12, dtype=torch.float64), torch.zeros(12, dtype=torch.float64)
    for row in range(3):
        for column in range(3):
            matrix[4 * row + column, 3 * row + column] = 1 / std[column]
            matrix[4 * row + 3, 3 * row + column] = -mean[column] / std[column]
        matrix[4 * row + 3, 9 + row] = 1
        offset[4 * row + row] = -1
    change = torch.einsum("ij,jchw->ichw", matrix, weight.double()), matrix @ bias.double() + offset
    return {"last.weight": change[0].to(weight.dtype), "last.bias": change[1].to(bias.dtype)}


def _names_of_convolutions() -> dict[str, str]:
    """Returns our names for the published modules of the convolutional form."""
    down = ["encoder.block0", "encoder.block1", "encoder.blocks_connected.block2", "encoder.blocks_connected.block3"]
    names = {"decoder.conv_attention": "net.attention"}
    pairs = [(f"{block}.convs", f"net.down.{i}") for i, block in enumerate(down)]
    for i in range(_BLOCKS - 1):
        names[f"decoder.up_blocks.{i}.upconv.1.block.0"] = f"net.up.{i}.0"
        pairs.append((f"decoder.up_blocks.{i}.convs", f"net.merge.{i}"))
    for theirs, ours in pairs:
        for j, k in itertools.product(range(2), range(2)):
            names[f"{theirs}.block.{j}.block.{k}"] = f"{ours}.{j}.{k}"
    attention = f"decoder.up_blocks.{_BLOCKS - 2}.attention"
    for theirs, ours in (("background", "background"), ("foreground", "foreground"), ("mix", "both")):
        for layer, inside in ((0, "inner"), (2, "outer")):
            names[f"{attention}.{theirs}_gate.attention_transform.{layer}"] = f"net.separate.{ours}.{inside}"
    for j, k in itertools.product(range(2), range(2)):
        names[f"{attention}.learning_block.{j}.block.{k}"] = f"net.separate.learn.{j}.{k}"
    return names


def _convert(state: dict[str, Any]) -> tuple[PctNetConfig, dict[str, Any]]:
    """Converts a published network of either form."""
    cnn = "encoder.block0.convs.block.0.block.0.weight" in state
    if not cnn and "encoder.patch_to_embedding.1.weight" not in state:
        raise WeightsError("the weights have the names of neither form of PCT-Net")
    weight, bias = (state.pop(f"get_params.{kind}", None) for kind in ("weight", "bias"))
    if weight is None or bias is None or weight.ndim != 4 or weight.shape[0] != 12 or bias.shape != (12,):
        raise WeightsError("no output of twelve channels; expected get_params.weight [12, C, 1, 1] and its bias")
    if cnn:
        # These unused weights are a remnant of the network from which it was derived.
        _published.take(state, "decoder.to_rgb.")
        blur = state.pop(f"decoder.up_blocks.{_BLOCKS - 2}.attention.mask_blurring.weight", None)
        tensors = _published.rename(state, _names_of_convolutions(), "batch")
        tensors |= {} if blur is None else {"net.separate.blur": blur}
        return PctNetConfig(width=weight.shape[1]), {**tensors, **_change(weight, bias, MEAN, STD)}
    patches, layers = state.pop("encoder.patch_to_embedding.1.weight"), "encoder.transformer_enc.layers"
    patch = math.isqrt(patches.shape[-1] // 4)
    if patches.ndim != 2 or patch**2 * 4 != patches.shape[1]:
        raise WeightsError(f"tokens of {list(patches.shape)}, expected square patches of four channels")
    names = {"encoder.patch_to_embedding.1": "net.embed", "encoder.dec.0": "net.up"}
    count = len({key.split(".")[3] for key in state if key.startswith(f"{layers}.")})
    for i in range(count):
        for theirs, ours in {"self_attn.out_proj": "project", "linear1": "inner", "linear2": "outer"}.items():
            names[f"{layers}.{i}.{theirs}"] = f"net.layers.{i}.{ours}"
        names |= {f"{layers}.{i}.norm{j}": f"net.layers.{i}.norm{j}" for j in (1, 2)}
        for kind in ("weight", "bias"):
            value = state.pop(f"{layers}.{i}.self_attn.in_proj_{kind}", None)
            if value is not None:
                state[f"qkv.{i}.{kind}"] = value
        names[f"qkv.{i}"] = f"net.layers.{i}.qkv"
    tensors = _published.rename(state, names, "batch")
    inner = tensors.get("net.layers.0.inner.weight")
    if inner is None:
        raise WeightsError("no layer of the transformer is among the weights")
    # The published values of a token are ordered by rows, columns, channels; in a convolution channels are first.
    embed = patches.reshape(-1, patch, patch, 4).permute(0, 3, 1, 2).contiguous()
    config = PctNetConfig(
        encoder="vit", patch=patch, token_width=embed.shape[0], layers=count, hidden=inner.shape[0]
    )  # fmt: skip
    return config, {**tensors, "net.embed.weight": embed, **_change(weight, bias, (0.0,) * 3, (1.0,) * 3)}


register(
    PctNet,
    PctNetConfig,
    task="harmonize",
    summary="an affine colour map for each pixel, for any size",
    source="Guerreiro et al., CVPR 2023",
    presets={"vit": {"encoder": "vit"}, "small": {"width": 16}},
    convert=_convert,
)
