"""The style of a region: a code of sixteen numbers, or the features of an extractor.

Codes are those of Cong et al., "BargainNet: Background-Guided Domain Translation for Image Harmonization", ICME 2021.
Features are the layers relu1_2, relu2_2 and relu3_3 of VGG-16 (Simonyan and Zisserman, ICLR 2015), with partial
convolutions, so that pixels outside the mask have no influence. The weights of VGG-16 are not bundled:
`convert(path, 'style_encoder')` reads a file with torchvision's names. Without it the extractor is our own: the same
layers with fixed random orthogonal filters, which respond to colours, edges and textures, but are not trained;
`StyleEncoder.extractor` returns which of them is used.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import ArgumentError, WeightsError
from ..losses import feature_distance, gram_distance, hue_saturation, mask_pyramid
from . import _blocks, _published, checks
from ._blocks import Norm
from ._partial import PartialConv2d
from ._registry import Model, register
from .realism_cnn import COLOURS, colours, statistics

__all__ = ["RegionEncoder", "StyleEncoder", "reached_mask"]


@dataclass(frozen=True)
class StyleEncoderConfig:
    """Settings of `StyleEncoder`.

    Attributes:
        kind: 'code' for a trained code of the region, 'features' for feature maps of a frozen extractor.
        space: 'rgb', or 'hsv' for `pyharmony.networks.losses.hue_saturation`.
        width: the channels of the first layer.
        code: the length of the code.
        masked_pool: whether the code is a mean over the mask; False: over all, with zeros in holes, as published.
        regions: the number of hidden values of a layer that adds statistics of the region's colours to the code, only
            for RGB; 0: none, as published.
        norm: the norm of the encoder of codes: 'batch', as published, or 'instance', with which every convolution has a
            bias.
        size: the side of the images for which the weights were trained.
        decay: the decay of the score: codes at distance d score exp(-decay d). It belongs to the weights, like the
            scale of the codes.
    """

    kind: Literal["code", "features"] = "code"
    space: Literal["rgb", "hsv"] = "rgb"
    width: int = 64
    code: int = 16
    masked_pool: bool = False
    regions: int = 0
    norm: Norm = "batch"
    size: int = 256
    decay: float = 0.04212

    def __post_init__(self) -> None:
        checks.check_choice(self.kind, "kind", ("code", "features"))
        checks.check_choice(self.space, "space", ("rgb", "hsv"))
        checks.check_fields(self, checks.check_whole, "width", "code")
        checks.check_flag(self.masked_pool, "masked_pool")
        checks.check_whole(self.regions, "regions", 0)
        if self.regions and (self.kind, self.space) != ("code", "rgb"):
            raise ArgumentError(
                f"regions: {self.regions}, with kind={self.kind!r} and space={self.space!r}; expected kind='code' and "
                "space='rgb'"
            )
        checks.check_choice(self.norm, "norm", _blocks.NORMS[:2])
        if self.norm != "batch" and self.kind != "code":
            raise ArgumentError(
                f"norm: {self.norm!r}, with kind={self.kind!r}, which has no norms; expected kind='code'"
            )
        checks.check_whole(self.size, "size", RegionEncoder.smallest)
        checks.check_positive(self.decay, "decay")


class RegionEncoder(nn.Module):
    """The encoder of a region: five 3x3 partial convolutions of stride 2 without padding, the mean, and a 1x1.

    With `regions` a layer of so many hidden values adds statistics of the region's colours, those of `RealismCnn`:
    means and log deviations. With instance norms, which have neither scale nor shift, every convolution has a bias.
    """

    smallest = 63
    dropout = 0.2

    def __init__(self, width: int, code: int, masked_pool: bool, regions: int = 0, norm: Norm = "batch") -> None:
        super().__init__()
        self.masked_pool, self.regions = masked_pool, regions
        widths = (3, width, 2 * width, 4 * width, 8 * width, 8 * width)
        self.convs = nn.ModuleList(
            PartialConv2d(a, b, 3, 2, bias=i == 0 or _blocks.has_bias(norm))
            for i, (a, b) in enumerate(itertools.pairwise(widths))
        )
        self.norms = nn.ModuleList(_blocks.norm_layer(norm, c) for c in widths[2:5])
        self.last = nn.Conv2d(widths[-1], code, 1)
        if regions:
            self.region_norm = nn.BatchNorm1d(2 * COLOURS)
            self.region_hidden = nn.Linear(2 * COLOURS, regions)
            self.region_code = nn.Linear(regions, code, bias=False)

    def begin_with_colours(self) -> None:
        """Initialises the weights so that the code depends only on colours, not on untrained convolutions."""
        nn.init.zeros_(self.last.weight)
        self.region_hidden.reset_parameters()
        self.region_code.reset_parameters()

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Maps image [N, 3, H, W] in [-1, 1], at least 63 pixels, and mask [N, 1, H, W], cut at 0.5, to [N, code]."""
        checks.check_image(image, "image", 3)
        checks.check_mask(mask, image)
        checks.check_smallest(image, "image", self.smallest)
        x, valid = image, _blocks.binary(mask, image.dtype)
        region = valid
        x, valid = self.convs[0](x, valid, negative_slope=0.0)
        for i, norm in enumerate(self.norms, 1):
            x, valid = self.convs[i](x, valid)
            x = torch.relu(norm(x))
        x, valid = self.convs[-1](x, valid)
        if self.masked_pool:
            x = (x * valid).sum((2, 3), keepdim=True) / valid.sum((2, 3), keepdim=True).clamp(min=1)
        else:
            x = x.mean((2, 3), keepdim=True)
        code = self.last(x).flatten(1)
        if self.regions:
            inside, _ = statistics(colours(image), region).chunk(2, 1)
            y = _blocks.dropout(self.region_norm(inside), self.dropout, self.training)
            code = code + self.region_code(torch.relu(self.region_hidden(y)))
        return code


def reached_mask(mask: Tensor) -> Tensor:
    """Returns a mask [N, 1, H, W] in the last map of a `RegionEncoder`, perhaps without last row and column."""
    for _ in range(5):
        mask = functional.max_pool2d(mask, 3, 2)
    return mask


def harmony_of(encoder: Callable[[Tensor, Tensor], Any], image: Tensor, mask: Tensor, decay: float) -> Tensor:
    """Returns exp(-decay |z_f - z_b|) of the codes of object and background, [N] in (0, 1]."""
    distance: Tensor = torch.linalg.vector_norm(encoder(image, mask) - encoder(image, 1 - mask), dim=1)
    return torch.exp(-decay * distance)


class RegionFeatures(nn.Module):
    """The first seven convolutions of VGG-16 as partial ones; the mask is max-pooled and does not grow."""

    blocks = (2, 2, 3)
    seed = 16
    pretrained: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = [3] + [width * 2**i for i, count in enumerate(self.blocks) for _ in range(count)]
        self.convs = nn.ModuleList(PartialConv2d(a, b, 3, padding=1) for a, b in itertools.pairwise(widths))
        #: 1 if the weights were read from a file of VGG-16, else 0.
        self.register_buffer("pretrained", torch.zeros((), dtype=torch.uint8))
        generator = torch.Generator().manual_seed(self.seed)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                _orthogonal(parameter, generator)
        self.requires_grad_(False)

    def forward(self, x: Tensor, mask: Tensor) -> list[Tensor]:
        """Maps x [N, 3, H, W], sides multiples of 4, and mask [N, 1, H, W] of 0 and 1 to maps of H, H / 2 and H / 4."""
        height, width = x.shape[2:]
        masks = mask_pyramid(mask, [(height >> i, width >> i) for i in range(len(self.blocks))])
        convs = iter(self.convs)
        maps: list[Tensor] = []
        for i, count in enumerate(self.blocks):
            if i:
                x = functional.max_pool2d(x * masks[i - 1], 2)
            for _ in range(count):
                x, _ = next(convs)(x, masks[i], negative_slope=0.0)
            maps.append(x)
        return maps


@torch.no_grad()
def _orthogonal(weight: Tensor, generator: torch.Generator) -> None:
    """Fills weight with orthogonal rows, or columns if rows are more, scaled so that a ReLU keeps the variance."""
    if weight.is_meta:
        return
    rows = torch.randn(weight.shape[0], weight[0].numel(), generator=generator, dtype=torch.float64)
    tall = rows if rows.shape[0] >= rows.shape[1] else rows.T
    q, r = torch.linalg.qr(tall)
    q = q * torch.sign(torch.diagonal(r))
    q = q if rows.shape[0] >= rows.shape[1] else q.T
    # The mean square of a row's sum is 2, as with He's initialisation.
    weight.copy_((q * (2 * rows.shape[0] / q.square().sum()) ** 0.5).reshape(weight.shape))


class StyleEncoder(Model):
    """The style of the region inside a mask.

    Shape:
        image [N, 3, H, W] in [-1, 1] and mask [N, 1, H, W] in [0, 1], thresholded at 0.5. Kind 'code': at least 63
        pixels, to [N, code]. Kind 'features': sides multiples of 4, to three maps [N, width, H, W],
        [N, 2 * width, H / 2, W / 2] and [N, 4 * width, H / 4, W / 4].
    """

    name = "style_encoder"
    picture = "image"
    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)

    def __init__(self, config: StyleEncoderConfig) -> None:
        super().__init__(config, size=config.size)
        self.net: RegionEncoder | RegionFeatures
        if config.kind == "code":
            self.net = RegionEncoder(config.width, config.code, config.masked_pool, config.regions, config.norm)
            _blocks.initialize(self)
            if config.regions:
                self.net.begin_with_colours()
        else:
            self.net = RegionFeatures(config.width)

    @property
    def extractor(self) -> str:
        """The origin of the weights: 'trained' for codes; for features 'vgg16' if read from a file, else 'random'."""
        if isinstance(self.net, RegionEncoder):
            return "trained"
        return "vgg16" if int(self.net.pretrained) else "random"

    def forward(self, image: Tensor, mask: Tensor) -> Tensor | list[Tensor]:
        """Returns the code or the features, see the class."""
        if isinstance(self.net, RegionEncoder):
            return self.net(hue_saturation(image) if self.config.space == "hsv" else image, mask)
        checks.check_image(image, "image", 3, 4)
        checks.check_mask(mask, image)
        if self.config.space == "hsv":
            x = hue_saturation(image)
        else:
            mean, std = (_blocks.constants(values, image)[:, None, None] for values in (self.mean, self.std))
            x = ((image + 1) / 2 - mean) / std
        return self.net(x, _blocks.binary(mask, image.dtype))

    def distance(self, output: Tensor, target: Tensor, mask: Tensor, *, gram: bool = False) -> Tensor:
        """Returns the distance between the styles of output and target inside the mask, [].

        For codes it is the mean Euclidean distance. For features it is the sum over the maps of the mean absolute
        difference inside the mask, or with `gram` that of their Gram matrices. The target gets no gradient.
        """
        if gram and self.config.kind == "code":
            raise ArgumentError("gram: a code has no Gram matrix; create the encoder with kind='features'")
        with torch.no_grad():
            target_style = self(target, mask)
        style = self(output, mask)
        if isinstance(style, Tensor):
            return torch.linalg.vector_norm(style - target_style, dim=1).mean()
        mask = _blocks.binary(mask, output.dtype)
        return gram_distance(style, target_style, mask) if gram else feature_distance(style, target_style, mask)

    def harmony(self, image: Tensor, mask: Tensor) -> Tensor:
        """Returns the harmony of object and background, [N] in (0, 1]: exp(-decay |z_f - z_b|), at config.size."""
        if self.config.kind != "code":
            raise ArgumentError("model: a style_encoder of kind='features' has no score; expected kind='code'")
        return harmony_of(self, image, mask, self.config.decay)


def _convert(state: dict[str, Any]) -> tuple[StyleEncoderConfig, dict[str, Any]]:
    """Converts VGG-16 of torchvision, without batch norm, or BargainNet's encoder."""
    if "conv1f.weight" in state:
        encoder = _published.region_encoder(state)
        config = StyleEncoderConfig(width=encoder.width, code=encoder.code, norm=encoder.norm)
        return config, {f"net.{key}": value for key, value in encoder.state.items()}
    tensors = {"net.pretrained": torch.ones((), dtype=torch.uint8)}
    for i, published in enumerate((0, 2, 5, 7, 10, 12, 14)):
        for leaf in ("weight", "bias"):
            key = f"features.{published}.{leaf}"
            if key not in state:
                raise WeightsError(f"{key!r} missing; expected BargainNet's encoder, or torchvision's VGG-16")
            tensors[f"net.convs.{i}.{leaf}"] = state[key]
    width = int(tensors["net.convs.0.weight"].shape[0])
    return StyleEncoderConfig(kind="features", space="hsv", width=width), tensors


register(
    StyleEncoder,
    StyleEncoderConfig,
    task="style",
    summary="a code or the features of a region, in RGB or by hue and saturation",
    source="Cong et al., ICME 2021; features of Simonyan and Zisserman, ICLR 2015",
    presets={
        "rgb": {},
        "hsv": {"kind": "features", "space": "hsv"},
        "small": {"width": 8},
        "small_features": {"kind": "features", "width": 8},
    },
    convert=_convert,
)
