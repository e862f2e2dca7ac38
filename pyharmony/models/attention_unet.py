"""A gated U-Net trained by the distance to the target alone.

Source: the U-Net of Isola et al., CVPR 2017, with the gates of Cong et al., CVPR 2020 (DoveNet's generator); here
with batch norm, as a system for harmonisation on HCOCO trained it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import WeightsError
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
        dropout: the dropout after the norm of three inner levels, of one where depth is 6, in training.
        depth: the number of levels, 5 or more; sides are multiples of 2^depth.
        residual: whether the network says what to change of the composite inside the mask; it starts with little.
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
    """Eight levels, or `depth` of them, with gates on the composite and its mask.

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
        """Returns the harmonised image, see the class; stochastic: whether there is dropout at inference, too."""
        checks.check_image(composite, "composite", 3, self.unet.multiple)
        checks.check_mask(mask, composite)
        output = self.unet(torch.cat([composite, mask.to(composite.dtype)], 1), stochastic=stochastic)
        return _blocks.changed(composite, output, mask) if self.config.residual else output


def _convert(state: dict[str, Any]) -> tuple[AttentionUNetConfig, dict[str, Any]]:
    """Converts the nested U-Net of four channels that pix2pix and DoveNet were published with."""
    if "model.model.0.weight" not in state:
        raise WeightsError("the names of the weights are not those of a nested U-Net, as DoveNet's generator has them")
    unet = _published.unet(state)
    if (unet.depth, unet.in_channels) != (8, 4):
        raise WeightsError(f"a U-Net of {unet.depth} levels on {unet.in_channels} channels, expected 8 on 4")
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
