"""A gated U-Net trained only by the distance to the target.

Source: the U-Net of Isola et al., CVPR 2017, with the gates of Cong et al., CVPR 2020 (DoveNet's generator); here
with batch norm, as trained by a harmonisation system on HCOCO.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...errors import WeightsError
from . import _blocks, _published, checks
from ._blocks import Norm
from ._registry import Model, register


@dataclass(frozen=True)
class AttentionUNetConfig:
    """Settings of `AttentionUNet`.

    Attributes:
        width: the channels of the first level.
        norm: 'batch' or 'instance'.
        gates: whether there are the three sigmoid gates.
        dropout: the dropout after the norm of three inner levels (one if depth is 6), in training.
        depth: the number of levels, 5 or more; sides are multiples of 2^depth.
        residual: whether the output is added to the composite inside the mask; it is small at first.
    """

    width: int = 64
    norm: Norm = "batch"
    gates: bool = True
    dropout: float = 0.5
    depth: int = 8
    residual: bool = False

    def __post_init__(self) -> None:
        _blocks.check_gated(self)
        checks.check_layers(self.depth, "depth", 5)
        checks.check_flag(self.residual, "residual")


class AttentionUNet(Model):
    """A gated U-Net of eight levels, or `depth`, on the composite and its mask.

    Shape:
        composite [N, 3, H, W] in [-1, 1] and mask [N, 1, H, W] in [0, 1], sides multiples of 256 (2^depth), to
        [N, 3, H, W] in [-1, 1].
    """

    name = "attention_unet"

    def __init__(self, config: AttentionUNetConfig) -> None:
        super().__init__(config)
        self.unet = _blocks.UNet(
            4, 3, config.width, config.depth, config.norm, gates=config.gates, dropout_p=config.dropout
        )
        _blocks.initialize(self)

    def forward(self, composite: Tensor, mask: Tensor, *, stochastic: bool = False) -> Tensor:
        """Returns the harmonised image, see the class; stochastic: whether evaluation mode applies dropout."""
        checks.check_image(composite, "composite", 3, self.unet.multiple)
        checks.check_mask(mask, composite)
        output = self.unet(torch.cat([composite, mask.to(composite.dtype)], 1), stochastic=stochastic)
        return _blocks.add_residual(composite, output, mask) if self.config.residual else output


def _convert(state: dict[str, Any]) -> tuple[AttentionUNetConfig, dict[str, Any]]:
    """Converts the nested U-Net with four input channels published with pix2pix and DoveNet."""
    if not any(key.startswith("model.model.") for key in state):
        raise WeightsError("the weights do not have the names of a nested U-Net such as DoveNet's generator")
    unet = _published.unet(state)
    if (unet.depth, unet.in_channels) != (8, 4):
        raise WeightsError(f"a U-Net of {unet.depth} levels with {unet.in_channels} channels, expected 8 with 4")
    config = AttentionUNetConfig(width=unet.width, norm=unet.norm, gates=unet.gated)
    return config, {f"unet.{key}": value for key, value in unet.state.items()}


register(
    AttentionUNet,
    AttentionUNetConfig,
    task="harmonize",
    summary="gated U-Net, trained by the distance to the target",
    source="Isola et al., CVPR 2017, with the gates of Cong et al., CVPR 2020",
    presets={"small": {"width": 16}},
    convert=_convert,
)
