"""The published networks in plain torch, with the names that their weights were published under.

Written from their descriptions; what ours compute, and what `models.convert` reads, is compared with them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


def norm_of(norm: str, channels: int) -> nn.Module:
    """Returns the layer of the published `norm` of pix2pix's options: 'none' is a layer that does nothing."""
    return {"batch": nn.BatchNorm2d, "instance": nn.InstanceNorm2d, "none": lambda _: nn.Identity()}[norm](channels)


class NestedLevel(nn.Module):
    """A level of the published U-Net, whose leaky ReLU writes into what it gets."""

    def __init__(
        self, outer: int, inner: int, within: nn.Module | None, norm: str, *, channels: int | None = None,
        outermost: bool = False, dropout: bool = False, gate: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.outermost = outermost
        bias = norm == "instance"

        down = nn.Conv2d(channels or outer, inner, 4, 2, 1, bias=bias)
        if outermost:
            assert within is not None
            parts = [down, within, nn.ReLU(True), nn.ConvTranspose2d(2 * inner, outer, 4, 2, 1), nn.Tanh()]
        elif within is None:
            up = nn.ConvTranspose2d(inner, outer, 4, 2, 1, bias=bias)
            parts = [nn.LeakyReLU(0.2, True), down, nn.ReLU(True), up, norm_of(norm, outer)]
        else:
            up = nn.ConvTranspose2d(2 * inner, outer, 4, 2, 1, bias=bias)
            parts = [
                nn.LeakyReLU(0.2, True),
                down,
                norm_of(norm, inner),
                within,
                nn.ReLU(True),
                up,
                norm_of(norm, outer),
            ]
            parts += [nn.Dropout(0.5)] if dropout else []
        self.model = nn.Sequential(*parts)
        if gate:
            self.attention = nn.Sequential(nn.Conv2d(2 * outer, 2 * outer, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        if self.outermost:
            return self.model(x)
        both = torch.cat([x, self.model(x)], 1)
        return self.attention(both) * both if hasattr(self, "attention") else both


class NestedUNet(nn.Module):
    def __init__(self, channels: int, width: int, depth: int, norm: str, gates: bool) -> None:
        super().__init__()
        level: nn.Module = NestedLevel(8 * width, 8 * width, None, norm)
        for _ in range(depth - 5):
            level = NestedLevel(8 * width, 8 * width, level, norm, dropout=True)
        for outer in (4, 2, 1):
            level = NestedLevel(outer * width, 2 * outer * width, level, norm, gate=gates)
        self.model = NestedLevel(3, width, level, norm, channels=channels, outermost=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def nested_resnet(channels: int, width: int, norm: str, dropout: bool, blocks: int = 9) -> nn.Module:
    """Returns the published residual generator, one sequence named `model`."""
    bias = norm == "instance"

    class Block(nn.Module):
        def __init__(self, c: int) -> None:
            super().__init__()
            half = [nn.ReflectionPad2d(1), nn.Conv2d(c, c, 3, bias=bias), norm_of(norm, c), nn.ReLU(True)]
            half += [nn.Dropout(0.5)] if dropout else []
            half += [nn.ReflectionPad2d(1), nn.Conv2d(c, c, 3, bias=bias), norm_of(norm, c)]
            self.conv_block = nn.Sequential(*half)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.conv_block(x)

    parts: list[nn.Module] = [
        nn.ReflectionPad2d(3),
        nn.Conv2d(channels, width, 7, bias=bias),
        norm_of(norm, width),
        nn.ReLU(True),
    ]
    for c in (width, 2 * width):
        parts += [nn.Conv2d(c, 2 * c, 3, 2, 1, bias=bias), norm_of(norm, 2 * c), nn.ReLU(True)]
    parts += [Block(4 * width) for _ in range(blocks)]
    for c in (4 * width, 2 * width):
        parts += [
            nn.ConvTranspose2d(c, c // 2, 3, 2, 1, output_padding=1, bias=bias),
            norm_of(norm, c // 2),
            nn.ReLU(True),
        ]
    parts += [nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh()]
    return nn.Sequential(*parts)


def lived_in(module: nn.Module) -> nn.Module:
    """Gives batch norms statistics and scales that would show a wrong place."""
    torch.manual_seed(5)
    for m in module.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.normal_(0, 0.2)
            m.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(m.weight, 0.5, 1.5)
            nn.init.normal_(m.bias, 0, 0.2)
    return module.eval()


def patch_discriminator(channels: int, width: int, layers: int, norm: str) -> nn.Sequential:
    """Returns pix2pix's `NLayerDiscriminator`: 4x4 convolutions, `layers` of stride 2 and two of stride 1."""
    parts: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
    widths = [width * min(2**i, 8) for i in range(layers + 1)]
    for i in range(1, layers + 1):
        stride = 2 if i < layers else 1
        parts += [nn.Conv2d(widths[i - 1], widths[i], 4, stride, 1, bias=norm == "instance"), norm_of(norm, widths[i])]
        parts += [nn.LeakyReLU(0.2)]
    return nn.Sequential(*parts, nn.Conv2d(widths[-1], 1, 4, 1, 1))


def pixel_discriminator(channels: int, width: int, norm: str) -> nn.Sequential:
    """Returns pix2pix's `PixelDiscriminator`: three 1x1 convolutions."""
    bias = norm == "instance"
    parts = [nn.Conv2d(channels, width, 1), nn.LeakyReLU(0.2), nn.Conv2d(width, 2 * width, 1, bias=bias)]
    return nn.Sequential(*parts, norm_of(norm, 2 * width), nn.LeakyReLU(0.2), nn.Conv2d(2 * width, 1, 1, bias=bias))


class PublishedEncoder(nn.Module):
    """BargainNet's encoder, with its partial convolutions of one-channel masks written out.

    With norm='instance', as a system on HCOCO has it, every convolution has a bias and no norm has tensors.
    """

    def __init__(self, width: int, norm: str = "batch") -> None:
        super().__init__()
        widths = [3, width, 2 * width, 4 * width, 8 * width, 8 * width]
        for i in range(1, 6):
            self.add_module(f"conv{i}f", nn.Conv2d(widths[i - 1], widths[i], 3, 2, bias=i == 1 or norm == "instance"))
        for i in range(2, 5):
            self.add_module(f"norm{i}f", norm_of(norm, widths[i]))
        self.convs = nn.Conv2d(widths[5], 16, 1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        for i in range(1, 6):
            conv: Any = getattr(self, f"conv{i}f")
            coverage = functional.conv2d(mask, mask.new_ones(1, 1, 3, 3), stride=2)
            after = coverage.clamp(0, 1)
            x = functional.conv2d(x * mask, conv.weight, stride=2) * (9 / (coverage + 1e-8) * after)
            x = x if conv.bias is None else (x + conv.bias[:, None, None]) * after
            mask = after
            if 2 <= i <= 4:
                x = getattr(self, f"norm{i}f")(x)
            x = torch.relu(x) if i < 5 else x
        return self.convs(x.mean((2, 3), keepdim=True))  # type: ignore[no-any-return]


class PublishedBargainNet(nn.Module):
    """BargainNet's generator: the code in every pixel, times one learned number."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.unet = NestedUNet(20, width, 8, "batch", gates=True)
        self.weight = nn.Parameter(torch.tensor([0.1]))

    def forward(self, composite: Tensor, mask: Tensor, code: Tensor) -> Tensor:
        self.weight.data.clamp_(min=0.001)
        tiled = code.expand(-1, -1, *composite.shape[2:]) * self.weight
        return self.unet(torch.cat([composite, mask, tiled], 1))  # type: ignore[no-any-return]

    def published(self) -> dict[str, Tensor]:
        """Returns the state with the published names."""
        return {key.removeprefix("unet."): value for key, value in self.state_dict().items()}


class PublishedUNet3Plus(nn.Module):
    """U-Net 3+ as a system on HCOCO has it: plain instance norms, a bias everywhere, one linear head."""

    def __init__(self, width: int, channels: int = 20) -> None:
        super().__init__()
        widths, before = [width * 2**i for i in range(5)], channels
        for i, c in enumerate(widths, 1):
            block = nn.Module()
            block.conv_block = nn.Sequential(
                nn.Conv2d(before, c, 3, 1, 1), nn.InstanceNorm2d(c), nn.LeakyReLU(),
                nn.Conv2d(c, c, 3, 1, 1), nn.InstanceNorm2d(c), nn.LeakyReLU(),
            )  # fmt: skip
            self.add_module(f"conv{i}", block)
            before = c
        merged = 5 * width
        for node in (4, 3, 2, 1):
            for k in range(1, 6):
                inputs = widths[k - 1] if k <= node or k == 5 else merged
                self.add_module(self.branch(k, node), nn.Conv2d(inputs, width, 3, 1, 1))
            self.add_module(f"conv{node}d_1", nn.Conv2d(merged, merged, 3, 1, 1))
        self.outconv1 = nn.Conv2d(merged, 3, 3, 1, 1)

    @staticmethod
    def branch(k: int, node: int) -> str:
        kind = f"h{k}_PT" if k < node else f"h{k}_Cat" if k == node else f"hd{k}_UT"
        return f"{kind}_hd{node}_conv"

    def forward(self, x: Tensor) -> Tensor:
        def conv(name: str, x: Tensor) -> Tensor:
            return torch.relu(functional.instance_norm(self.get_submodule(name)(x)))

        maps: list[Tensor] = []
        for i in range(1, 6):
            x = functional.max_pool2d(x, 2) if maps else x
            x = self.get_submodule(f"conv{i}.conv_block")(x)
            maps.append(x)
        for node in (4, 3, 2, 1):
            scaled = []
            for k, y in enumerate(maps, 1):
                if k < node:
                    y = functional.max_pool2d(y, 2 ** (node - k), ceil_mode=True)
                elif k > node:
                    y = nn.Upsample(scale_factor=2 ** (k - node), mode="bilinear")(y)
                scaled.append(conv(self.branch(k, node), y))
            maps[node - 1] = conv(f"conv{node}d_1", torch.cat(scaled, 1))
        return self.outconv1(maps[0])  # type: ignore[no-any-return]


class ConvBlock(nn.Module):
    """A convolution 3x3, its norm and a ReLU."""

    def __init__(self, a: int, b: int, *, norm: bool, bias: bool = True) -> None:
        super().__init__()
        after = nn.BatchNorm2d(b) if norm else nn.Identity()
        self.block = nn.Sequential(nn.Conv2d(a, b, 3, 1, 1, bias=bias), after, nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)  # type: ignore[no-any-return]


class DoubleConv(nn.Module):
    def __init__(self, a: int, b: int, *, norm: bool) -> None:
        super().__init__()
        self.block = nn.Sequential(ConvBlock(a, b, norm=norm), ConvBlock(b, b, norm=norm))

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)  # type: ignore[no-any-return]


class DownBlock(nn.Module):
    def __init__(self, a: int, b: int, *, norm: bool) -> None:
        super().__init__()
        self.convs = DoubleConv(a, b, norm=norm)


class ChannelAttention(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        middle = max(channels // 16, 8)
        self.attention_transform = nn.Sequential(
            nn.Linear(2 * channels, middle), nn.ReLU(), nn.Linear(middle, channels), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)
        return self.attention_transform(pooled)[..., None, None] * x  # type: ignore[no-any-return]


class Blur(nn.Module):
    """A 7x7 filter of the mask, zeros around it."""

    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        bell = torch.exp(-0.5 * torch.arange(-3.0, 4.0).square())
        self.register_buffer("weight", (torch.outer(bell, bell) / bell.sum() ** 2)[None, None])


class SeparatedAttention(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.background_gate, self.foreground_gate = ChannelAttention(channels), ChannelAttention(channels)
        self.mix_gate = ChannelAttention(channels)
        self.learning_block = nn.Sequential(
            ConvBlock(channels, channels // 2, norm=True, bias=False),
            ConvBlock(channels // 2, channels, norm=True, bias=False),
        )
        self.mask_blurring = Blur()

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        soft = functional.conv2d(mask, self.mask_blurring.weight, padding=3)
        inside = self.learning_block(self.foreground_gate(x)) + self.mix_gate(x)
        return soft * inside + (1 - soft) * self.background_gate(x)  # type: ignore[no-any-return]


class UpBlock(nn.Module):
    def __init__(self, a: int, b: int, *, attention: bool) -> None:
        super().__init__()
        self.upconv = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), ConvBlock(a, b, norm=False)
        )
        self.convs = DoubleConv(2 * b, b, norm=True)
        self.attention = SeparatedAttention(2 * b) if attention else None

    def forward(self, x: Tensor, skip: Tensor, mask: Tensor) -> Tensor:
        x = torch.cat([skip, self.upconv(x)], 1)
        return self.convs(x if self.attention is None else self.attention(x, mask))  # type: ignore[no-any-return]


class _Encoder(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.block0 = DownBlock(4, width, norm=False)
        self.block1 = DownBlock(width, 2 * width, norm=False)
        self.blocks_connected = nn.ModuleDict(
            {f"block{i}": DownBlock(width * 2 ** (i - 1), width * 2**i, norm=True) for i in (2, 3)}
        )

    def blocks(self) -> list[Any]:
        return [self.block0, self.block1, *self.blocks_connected.values()]


class _Decoder(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.up_blocks = nn.ModuleList(UpBlock(width * 2**i, width * 2 ** (i - 1), attention=i == 1) for i in (3, 2, 1))
        self.conv_attention = nn.Conv2d(width, 1, 1)
        self.to_rgb = nn.Conv2d(width, 3, 1)  # nothing reads it


class PublishedPctCnn(nn.Module):
    """PCT-Net's convolutional form on an image normalised by ImageNet's mean and deviation, with zeros as padding.

    `maps` gives the twelve numbers M, b of each pixel (nine by rows, then three) and the attention.
    """

    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.encoder, self.decoder = _Encoder(width), _Decoder(width)
        self.get_params = nn.Conv2d(width, 12, 1)

    def begin(self) -> None:
        """Initialises as the published XavierGluon: all weights, also the blur, N(0, 2 / sqrt(in + out)); biases 0."""
        for module in self.modules():
            weight = getattr(module, "weight", None)
            if isinstance(weight, Tensor) and weight.ndim > 1:
                fans = (weight.shape[0] + weight.shape[1]) * math.prod(weight.shape[2:])
                nn.init.normal_(weight, 0, 2 / math.sqrt(fans))
            if isinstance(getattr(module, "bias", None), Tensor):
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def maps(self, picture: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        x, skips = torch.cat([(picture - self.mean.to(picture)) / self.std.to(picture), mask], 1), []
        for i, block in enumerate(self.encoder.blocks()):
            x = block.convs(functional.max_pool2d(x, 2) if i else x)
            skips.append(x)
        for up, skip in zip(self.decoder.up_blocks, skips[-2::-1]):
            x = up(x, skip, mask)
        return self.get_params(x), torch.sigmoid(3 * self.decoder.conv_attention(x))

    def forward(self, picture: Tensor, mask: Tensor) -> Tensor:
        """Returns the image that is made, in [0, 1]."""
        z = (picture - self.mean.to(picture)) / self.std.to(picture)
        params, attention = self.maps(picture, mask)
        harmonized = transformed(z, params).clamp(0, 1)
        return attention * harmonized + (1 - attention) * picture


def transformed(x: Tensor, params: Tensor) -> Tensor:
    """Returns M x + b of each pixel before clamping: x [N, 3, H, W], params [N, 12, H, W], M by rows and then b."""
    matrix = params[:, :9].reshape(-1, 3, 3, *params.shape[2:])
    return torch.einsum("noihw,nihw->nohw", matrix, x) + params[:, 9:]


class PublishedPctVit(nn.Module):
    """PCT-Net's transformer on patches of 4x4 pixels of an image in [0, 1] and its mask."""

    def __init__(self, width: int = 256, heads: int = 2, layers: int = 9, hidden: int = 512) -> None:
        super().__init__()
        self.encoder = nn.Module()
        # A layer without weights stands before the dense one: it cuts the patches.
        self.encoder.patch_to_embedding = nn.Sequential(nn.Identity(), nn.Linear(64, width))
        layer = nn.TransformerEncoderLayer(width, heads, hidden, activation="gelu")
        self.encoder.transformer_enc = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.encoder.dec = nn.Sequential(nn.ConvTranspose2d(width, 12, 4, 4), nn.Tanh())
        self.get_params = nn.Conv2d(12, 12, 1)

    def maps(self, picture: Tensor, mask: Tensor) -> tuple[Tensor, None]:
        x = torch.cat([picture, mask], 1)
        n, c, h, w = x.shape
        # b c (h p1) (w p2) -> b (h w) (p1 p2 c)
        patches = x.reshape(n, c, h // 4, 4, w // 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(n, h * w // 16, 16 * c)
        encoder: Any = self.encoder
        tokens = encoder.transformer_enc(encoder.patch_to_embedding(patches).transpose(0, 1))
        latent = encoder.dec(tokens.permute(1, 2, 0).reshape(n, -1, h // 4, w // 4))
        return self.get_params(latent), None

    def forward(self, picture: Tensor, mask: Tensor) -> Tensor:
        harmonized = transformed(picture, self.maps(picture, mask)[0]).clamp(0, 1)
        return mask * harmonized + (1 - mask) * picture


class ChainerGpGan:
    """GP-GAN in the form of its Chainer code: arrays by Chainer's names, batch norms with 2e-5.

    The names are those of `chainer.serializers.save_npz` for the encoder-decoder, the generator from noise ('noise')
    and the critic ('critic').
    """

    def __init__(self, kind: str, width: int, bottleneck: int, size: int = 64, seed: int = 0) -> None:
        self.rng, self.eps, self.slope = np.random.default_rng(seed), 2e-5, 0.2
        self.arrays: dict[str, np.ndarray[Any, Any]] = {}
        self.kind, halvings = kind, int(math.log2(size)) - 2
        self.encoder: list[tuple[str, ...]] = []
        self.decoder: list[tuple[str, ...]] = []
        widths = [width * 2**i for i in range(halvings)]
        if kind != "noise":
            start = "" if kind == "critic" else "encoder/"
            self.encoder.append(("conv", self._conv(f"{start}0", widths[0], 3)))
            at = 2
            for a, b in itertools.pairwise(widths):
                self.encoder.append(("conv", self._conv(f"{start}{at}", b, a), self._norm(f"{start}{at + 1}", b)))
                at += 3
            last = 1 if kind == "critic" else bottleneck
            self.encoder.append(("full", self._conv(f"{start}{at}", last, widths[-1])))
        if kind != "critic":
            start = "" if kind == "noise" else "decoder/"
            if kind != "noise":
                self.encoder[-1] += (self._norm("bn", bottleneck),)
            self.decoder.append(
                ("full", self._conv(f"{start}0", bottleneck, widths[-1]), self._norm(f"{start}1", widths[-1]))
            )
            at = 3
            for a, b in itertools.pairwise(widths[::-1]):
                self.decoder.append(("conv", self._conv(f"{start}{at}", a, b), self._norm(f"{start}{at + 1}", b)))
                at += 3
            self.decoder.append(("conv", self._conv(f"{start}{at}", width, 3)))

    def _conv(self, name: str, first: int, second: int) -> str:
        self.arrays[f"{name}/W"] = self.rng.normal(0, 0.1, (first, second, 4, 4)).astype(np.float32)
        return name

    def _norm(self, name: str, channels: int) -> str:
        # The variances are so small that what is added to them shows.
        for leaf, values in {
            "gamma": self.rng.uniform(0.01, 0.03, channels), "beta": self.rng.normal(0, 0.2, channels),
            "avg_mean": self.rng.normal(0, 0.2, channels), "avg_var": self.rng.uniform(2e-4, 1e-3, channels),
        }.items():  # fmt: skip
            self.arrays[f"{name}/{leaf}"] = values.astype(np.float32)
        self.arrays[f"{name}/N"] = np.asarray(7)
        return name

    def _normed(self, x: Tensor, name: str) -> Tensor:
        mean, var, scale, shift = (
            torch.from_numpy(self.arrays[f"{name}/{leaf}"]).to(x)[:, None, None]
            for leaf in ("avg_mean", "avg_var", "gamma", "beta")
        )
        return (x - mean) / (var + self.eps).sqrt() * scale + shift

    def __call__(self, x: Tensor) -> Tensor:
        """Turns an image [N, 3, size, size], or noise [N, nz], into an image, or into the critic's scores [N]."""
        weights = {name: torch.from_numpy(self.arrays[f"{name}/W"]).to(x) for name in self._convs()}
        if self.kind == "noise":
            x = x[:, :, None, None]
        for i, (how, name, *norm) in enumerate(self.encoder):
            full = how == "full"
            x = functional.conv2d(x, weights[name], stride=1 if full else 2, padding=0 if full else 1)
            x = self._normed(x, norm[0]) if norm else x
            x = x if self.kind == "critic" and i == len(self.encoder) - 1 else functional.leaky_relu(x, self.slope)
        for how, name, *norm in self.decoder:
            full = how == "full"
            x = functional.conv_transpose2d(x, weights[name], stride=1 if full else 2, padding=0 if full else 1)
            x = torch.relu(self._normed(x, norm[0])) if norm else torch.tanh(x)
        return x.flatten() if self.kind == "critic" else x

    def _convs(self) -> Iterator[str]:
        return (layer[1] for layer in (*self.encoder, *self.decoder))

    def as_torch(self, name: Any = "{}.main.{}") -> dict[str, Tensor]:
        """Returns the same weights as in a port to PyTorch: modules in order, 1e-5 in its batch norms."""
        leaves = {"gamma": "weight", "beta": "bias", "avg_mean": "running_mean", "avg_var": "running_var",
                  "N": "num_batches_tracked", "W": "weight"}  # fmt: skip
        state: dict[str, Tensor] = {}
        for key, value in self.arrays.items():
            module, _, leaf = key.rpartition("/")
            part, _, index = module.rpartition("/")
            state[f"{name.format(part, index) if part else index}.{leaves[leaf]}"] = torch.from_numpy(np.asarray(value))
        return state


def snapshot_of(**networks: ChainerGpGan) -> dict[str, Any]:
    """Returns the arrays of a snapshot of Chainer's trainer with these networks, and what lies beside them there."""
    arrays: dict[str, Any] = {
        "_snapshot_elapsed_time": np.asarray(3.5), "extensions/LogReport/_log": np.asarray("[]"),
        "updater/iteration": np.asarray(9), "updater/iterator:main/epoch": np.asarray(1),
    }  # fmt: skip
    for network, published in networks.items():
        for name, value in published.arrays.items():
            arrays[f"updater/model:{network}/{name}"] = value
            arrays |= {f"updater/optimizer:{network}/{name}/{leaf}": np.zeros_like(value) for leaf in "mv"}
        arrays[f"updater/optimizer:{network}/t"] = np.asarray(9)
    return arrays


def saved_npz(path: Any, arrays: Mapping[str, Any]) -> None:
    """Writes arrays as `chainer.serializers.save_npz` does."""
    with open(path, "wb") as file:
        np.savez_compressed(file, **dict(arrays))


def saved_bundle(prefix: Any, arrays: Mapping[str, Any], more: Mapping[str, bytes] | None = None) -> None:
    """Writes arrays as a checkpoint of TensorFlow, PREFIX.index and PREFIX.data-00000-of-00001.

    more: messages of further entries, by their names.
    """

    def varint(value: int) -> bytes:
        low, rest = value & 127, value >> 7
        return bytes([low]) if not rest else bytes([low | 128]) + varint(rest)

    def field(number: int, value: int | bytes) -> bytes:
        if isinstance(value, int):
            return varint(number << 3) + varint(value)
        return varint(number << 3 | 2) + varint(len(value)) + value

    def block(entries: Mapping[bytes, bytes]) -> bytes:
        content, before = b"", b""
        for key, value in sorted(entries.items()):
            shared = next((i for i, (a, b) in enumerate(zip(key, before)) if a != b), min(len(key), len(before)))
            content += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
            before = key
        return content + np.array([0, 1], "<u4").tobytes()

    def handle(at: int, size: int) -> bytes:
        return varint(at) + varint(size)

    data, entries = b"", {b"": field(1, 1)}
    for name, array in sorted(arrays.items()):
        values = np.asarray(array)
        dtype = {"float32": 1, "int32": 3, "int64": 9}[values.dtype.name]
        shape = b"".join(field(2, field(1, size)) for size in values.shape)
        entries[name.encode()] = (
            field(1, dtype) + field(2, shape) + field(4, len(data)) + field(5, values.nbytes) + b"\x35" + bytes(4)
        )
        data += values.astype(values.dtype.newbyteorder("<")).tobytes()
    entries |= {name.encode(): value for name, value in (more or {}).items()}
    content, first = block(entries), block({})
    table = content + bytes(5) + first + bytes(5)
    index = block({b"~": handle(0, len(content))})
    footer = handle(len(content) + 5, len(first)) + handle(len(table), len(index))
    table += index + bytes(5) + footer + bytes(40 - len(footer)) + (0xDB4775248B80FB57).to_bytes(8, "little")
    Path(f"{prefix}.index").write_bytes(table)
    Path(f"{prefix}.data-00000-of-00001").write_bytes(data)
