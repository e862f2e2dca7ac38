"""BargainNet: the background's style code determines the domain to which the generator transfers the object.

Source: Cong et al., "BargainNet: Background-Guided Domain Translation for Image Harmonization", ICME 2021, and the
code published with it. A system on HCOCO uses U-Net 3+ as the generator, with the same encoder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ...errors import WeightsError
from ..losses import rgb_to_hls, rgb_to_hsv
from . import _blocks, _published, checks
from ._blocks import Norm
from ._registry import Model, register
from .style_encoder import RegionEncoder, harmony_of
from .unet3plus import ON_HCOCO, UNet3Plus, UNet3PlusConfig, read_published

__all__ = ["BargainNet"]

#: The conversions of RGB images for the encoder.
_SPACES: dict[str, Callable[[Tensor], Tensor]] = {"rgb": lambda image: image, "hsv": rgb_to_hsv, "hls": rgb_to_hls}


@dataclass(frozen=True)
class BargainNetConfig:
    """Settings of `BargainNet`.

    Attributes:
        width: the channels of the generator's first level; with U-Net 3+ also those of a node's branches.
        encoder_width: the channels of the encoder's first layer.
        code: the length of a code.
        norm: the norm of the generator, 'batch' or 'instance'.
        gates: whether there are the three sigmoid gates; not used by U-Net 3+.
        dropout: the dropout after the norm of three inner levels, in training; not used by U-Net 3+.
        masked_pool: whether codes are means over their region; False: over all, with zeros in holes, as published.
        encoder_norm: the norm of the encoder, 'batch' or 'instance'.
        generator: 'unet', or 'unet3plus' for U-Net 3+ as in a system on HCOCO: a leaky ReLU of slope 0.01 in its
            encoder, one linear head, the code unscaled, and sides that are multiples of 16.
        depth: the number of levels of 'unet', 5 or more; sides are multiples of 2^depth.
        space: the colour space of the encoder: 'rgb', 'hsv' (`losses.rgb_to_hsv`) or 'hls' (`rgb_to_hls`).
    """

    width: int = 64
    encoder_width: int = 64
    code: int = 16
    norm: Norm = "batch"
    gates: bool = True
    dropout: float = 0.5
    masked_pool: bool = False
    encoder_norm: Norm = "batch"
    generator: Literal["unet", "unet3plus"] = "unet"
    depth: int = 8
    space: Literal["rgb", "hsv", "hls"] = "rgb"

    def __post_init__(self) -> None:
        _blocks.check_gated(self)
        checks.check_fields(self, checks.check_whole, "encoder_width", "code")
        checks.check_flag(self.masked_pool, "masked_pool")
        checks.check_choice(self.encoder_norm, "encoder_norm", _blocks.NORMS[:2])
        checks.check_choice(self.generator, "generator", ("unet", "unet3plus"))
        checks.check_layers(self.depth, "depth", 5)
        checks.check_choice(self.space, "space", tuple(_SPACES))


class BargainNetGenerator(nn.Module):
    """DoveNet's U-Net with the code at every pixel as an input, scaled by a learned factor."""

    smallest_scale = 0.001

    def __init__(self, config: BargainNetConfig) -> None:
        super().__init__()
        self.code = config.code
        self.scale = nn.Parameter(torch.tensor(0.1))
        self.unet = _blocks.UNet(
            4 + config.code, 3, config.width, config.depth, config.norm, gates=config.gates, dropout_p=config.dropout
        )
        self.multiple = self.unet.multiple

    def forward(self, composite: Tensor, mask: Tensor, code: Tensor, *, stochastic: bool = False) -> Tensor:
        """Returns an image from composite [N, 3, H, W] in [-1, 1], mask [N, 1, H, W] and the target code [N, code]."""
        checks.check_image(composite, "composite", 3, self.multiple)
        checks.check_mask(mask, composite)
        checks.check_code(code, composite, self.code)
        code = code * self.scale.clamp(min=self.smallest_scale)
        return self.unet(_blocks.with_code(composite, mask, code), stochastic=stochastic)


def _full_scale(config: BargainNetConfig) -> UNet3Plus:
    """Creates a U-Net 3+ with a code input, as in a system on HCOCO."""
    return UNet3Plus(UNet3PlusConfig(config.width, config.width, False, norm=config.norm, code=config.code, **ON_HCOCO))


class BargainNet(Model):
    """Transfers an object to the domain of its background.

    Attributes:
        generator: `generator(composite, mask, code)`: a `BargainNetGenerator`, or a `UNet3Plus` with a code input.
        encoder: the encoder of regions; `encode(image, mask)` returns its codes.

    Shape:
        composite [N, 3, H, W] in [-1, 1] and mask [N, 1, H, W] in [0, 1], sides multiples of 256 (2^depth; of 16 with
        U-Net 3+, and at least 63), to [N, 3, H, W] in [-1, 1], which the linear head of U-Net 3+ may exceed.
    """

    name = "bargainnet"
    #: The decay of the score, as published: codes at distance d score exp(-0.04212 d).
    decay = 0.04212

    def __init__(self, config: BargainNetConfig) -> None:
        super().__init__(config)
        self.generator = _full_scale(config) if config.generator == "unet3plus" else BargainNetGenerator(config)
        self.encoder = RegionEncoder(config.encoder_width, config.code, config.masked_pool, norm=config.encoder_norm)
        _blocks.initialize(self)

    def encode(self, image: Tensor, mask: Tensor) -> Tensor:
        """Returns the code [N, code] of the region inside a mask, of an image in RGB."""
        checks.check_image(image, "image", 3)
        return self.encoder(_SPACES[self.config.space](image), mask)

    def forward(
        self, composite: Tensor, mask: Tensor, code: Tensor | None = None, *, stochastic: bool = False
    ) -> Tensor:
        """Returns the harmonised image, see the class; code: the target domain's, [N, code]; None: background's."""
        if code is None:
            checks.check_image(composite, "composite", 3, self.generator.multiple)
            checks.check_mask(mask, composite)
            code = self.encode(composite, 1 - mask)
        if isinstance(self.generator, UNet3Plus):  # it has no dropout
            return self.generator(composite, mask, code)
        return self.generator(composite, mask, code, stochastic=stochastic)

    def harmony(self, image: Tensor, mask: Tensor) -> Tensor:
        """Returns the harmony of object and background, [N] in (0, 1]: exp(-0.04212 |z_f - z_b|), at 256 pixels."""
        return harmony_of(self.encode, image, mask, self.decay)


def _convert(state: dict[str, Any]) -> tuple[BargainNetConfig, dict[str, Any]]:
    """Converts the generator and the encoder, which were published in two files."""
    if "outconv1.weight" in state:
        return _convert_unet3plus(state)
    generator = _published.take(state, "model.")
    scale = state.pop("weight", None)
    if scale is None or "model.model.0.weight" not in generator:
        raise WeightsError("BargainNet's generator is not among the weights")
    if not state:
        raise WeightsError("BargainNet's encoder is not among the weights; it was published in a separate file")
    unet, encoder = _published.unet(generator), _published.region_encoder(state)
    channels = 4 + encoder.code
    if (unet.depth, unet.in_channels) != (8, channels):
        raise WeightsError(f"U-Net of {unet.depth} levels with {unet.in_channels} channels, expected 8 with {channels}")
    config = BargainNetConfig(
        width=unet.width, encoder_width=encoder.width, code=encoder.code, norm=unet.norm, gates=unet.gated,
        encoder_norm=encoder.norm,
    )  # fmt: skip
    tensors = {f"generator.unet.{key}": value for key, value in unet.state.items()}
    tensors |= {f"encoder.{key}": value for key, value in encoder.state.items()}
    return config, {**tensors, "generator.scale": scale.reshape(())}


def _convert_unet3plus(state: dict[str, Any]) -> tuple[BargainNetConfig, dict[str, Any]]:
    """Converts U-Net 3+ and the encoder with which it was trained."""
    tensors = _published.take(state, *_published.ENCODER)
    if not tensors:
        raise WeightsError(
            "BargainNet's encoder is not among the weights; it was published in a separate file, and U-Net 3+ alone "
            "is `unet3plus`"
        )
    (unet, generator), encoder = read_published(state), _published.region_encoder(tensors)
    if unet.code != encoder.code:
        raise WeightsError(f"a U-Net 3+ for codes of length {unet.code}, but the encoder's have {encoder.code}")
    if unet.branch != unet.width:
        raise WeightsError(f"a U-Net 3+ of width {unet.width} with branches of {unet.branch}, expected equal widths")
    config = BargainNetConfig(
        width=unet.width, encoder_width=encoder.width, code=encoder.code, norm=unet.norm, encoder_norm=encoder.norm,
        generator="unet3plus",
    )  # fmt: skip
    weights = {f"generator.{key}": value for key, value in generator.items()}
    return config, weights | {f"encoder.{key}": value for key, value in encoder.state.items()}


register(
    BargainNet,
    BargainNetConfig,
    task="harmonize",
    summary="gated U-Net with the style code of the background as an input",
    source="Cong et al., ICME 2021",
    presets={
        "small": {"width": 16, "encoder_width": 8},
        "unet3plus": {"generator": "unet3plus", "norm": "instance"},
    },
    convert=_convert,
)
