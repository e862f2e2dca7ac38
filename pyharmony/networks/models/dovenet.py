"""DoveNet: a gated U-Net trained against a discriminator that also verifies domains.

Source: Cong et al., "DoveNet: Deep Image Harmonization via Domain Verification", CVPR 2020, and the code published with
it where the two differ: there a learned head, of which the paper's sum is a special case, combines the products of the
two codes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...errors import ArgumentError
from ...ops import MaskPlan, mask_plan
from ..nn import SpectralNormGroup
from . import _blocks, checks
from ._blocks import Norm
from ._partial import PartialConv2d
from ._registry import Adversarial, register

__all__ = ["DoveNet", "Scores"]


class Scores(NamedTuple):
    """The scores of a domain verification discriminator: higher is more real, and more of one domain."""

    realism: Tensor
    verification: Tensor


@dataclass(frozen=True)
class DoveNetConfig:
    """Settings of `DoveNet`.

    Attributes:
        width: the channels of the generator's first level.
        discriminator_width: the channels of the discriminator's first layer.
        norm: 'instance' as in the published command, 'batch' as in the released weights.
        gates: whether there are the three sigmoid gates.
        dropout: the dropout after the norm of the inner levels, three at 256 pixels, in training.
        size: the side of the images, 32, 64, 128, 256 or another power of two: the generator has log2(size) levels, and
            the discriminator accepts only images of this size.
        residual: whether the network predicts a colour map of each pixel inside the mask, see `Pix2PixConfig`.
    """

    width: int = 64
    discriminator_width: int = 64
    norm: Norm = "instance"
    gates: bool = True
    dropout: float = 0.5
    size: int = 256
    residual: bool = False

    def __post_init__(self) -> None:
        _blocks.check_gated(self)
        checks.check_whole(self.discriminator_width, "discriminator_width")
        if _blocks.power_of_two_sizes(self.size, "size") < 3:
            raise ArgumentError(f"size: {self.size!r}, expected 32 or a larger power of two")
        checks.check_flag(self.residual, "residual")

    @property
    def levels(self) -> int:
        """The number of times that the generator halves an image of `size` pixels, down to one."""
        return _blocks.power_of_two_sizes(self.size, "size") + 2


class DoveNetGenerator(nn.Module):
    """The U-Net on the composite and its mask, with eight levels at 256 pixels."""

    def __init__(self, config: DoveNetConfig) -> None:
        super().__init__()
        self.residual = config.residual
        self.unet = _blocks.UNet(
            *((4 + _blocks.STATISTICS, _blocks.AFFINE) if config.residual else (4, 3)),
            config.width,
            config.levels,
            config.norm,
            gates=config.gates,
            dropout_p=config.dropout,
            bounded=not config.residual,
        )

    def forward(self, composite: Tensor, mask: Tensor, *, stochastic: bool = False) -> Tensor:
        """Maps composite [N, 3, H, W] in [-1, 1] and mask [N, 1, H, W] in [0, 1], sides multiples of size, to
        [N, 3, H, W]."""
        output = self._net(composite, mask, stochastic)
        return _blocks.apply_maps(output, composite, mask) if self.residual else output

    def maps(self, composite: Tensor, mask: Tensor) -> Tensor:
        """Returns a residual generator's maps for `_blocks.apply_maps`, [N, 12, H, W], from `forward`'s arguments."""
        return self._net(composite, mask)

    def _net(self, composite: Tensor, mask: Tensor, stochastic: bool = False) -> Tensor:
        x = _blocks.with_mask(composite, mask, True)
        if self.residual:
            x = _blocks.with_statistics(composite, mask.to(composite.dtype))
        return self.unet(x, stochastic=stochastic)


class Encoder(nn.Module):
    """3x3 partial convolutions without padding: seven at 256 pixels, to 127, 63, 31, 15, 7, 3 and 1."""

    def __init__(self, width: int, norm: Norm, levels: int) -> None:
        super().__init__()
        self.strides = (*(2,) * (levels - 2), 1)
        widths = [3] + [width * min(2**i, 8) for i in range(levels - 1)]
        self.convs = nn.ModuleList(
            PartialConv2d(a, b, 3, stride, bias=i == 0 or _blocks.has_bias(norm))
            for i, (a, b, stride) in enumerate(zip(widths, widths[1:], self.strides))
        )
        self.norms = nn.ModuleList(_blocks.norm_layer(norm, c, 0.2) for c in widths[2:-1])

    def forward(self, x: Tensor, plan: MaskPlan | None = None) -> Tensor:
        """Maps x [N, 3, size, size], inside the plan's mask or everywhere, to a code [N, 8 * width, 1, 1]."""
        plans = list(plan) if plan is not None else [None] * len(self.convs)
        x, _ = self.convs[0](x, plan=plans[0], negative_slope=0.2)
        for i, norm in enumerate(self.norms, 1):
            x, _ = self.convs[i](x, plan=plans[i])
            x = norm(x)
        return self.convs[-1](x, plan=plans[-1])[0]


class DoveNetPlans:
    """The plans of partial convolutions for a mask [N, 1, size, size], shared by all images with it.

    Plans for batches that repeat such images are made at first use.
    """

    def __init__(self, mask: Tensor, encoder: Encoder) -> None:
        # Bools are in [0, 1] by their type, so that no values need to be checked on a device.
        self._mask, self._layers = mask >= 0.5, list(encoder.convs)
        self._plans: dict[tuple[int, bool], MaskPlan] = {}

    def parts(self, images: int) -> MaskPlan:
        """Returns the plan of the objects of all images, then of their backgrounds."""
        return self._plan(images, True)

    def foreground(self, images: int) -> MaskPlan:
        """Returns the plan of the objects of all images; its complement is that of their backgrounds."""
        return self._plan(images, False)

    def _plan(self, images: int, both: bool) -> MaskPlan:
        if (images, both) not in self._plans:
            times, rest = divmod(images, self._mask.shape[0])
            if rest or not times:
                raise ArgumentError(f"plans: of {self._mask.shape[0]} masks, but image has {images} samples")
            mask = self._mask.repeat(times, 1, 1, 1)
            self._plans[images, both] = mask_plan(torch.cat([mask, ~mask]) if both else mask, self._layers)
        return self._plans[images, both]


class DoveNetDiscriminator(nn.Module):
    """An encoder of the whole image, and one of object and background, whose codes are compared.

    Every layer except the two score layers has a spectral norm.

    Attributes:
        spectral_norms: the group of these layers' norms: one power iteration per change of the weights. With
            update_once = 'forward' there is one per pass through a layer in training, as published.
    """

    def __init__(self, config: DoveNetConfig) -> None:
        super().__init__()
        self.size, code = config.size, 8 * config.discriminator_width
        self.whole = Encoder(config.discriminator_width, config.norm, config.levels)
        self.parts = Encoder(config.discriminator_width, config.norm, config.levels)
        self.head = nn.Sequential(
            nn.Conv2d(code, code, 1), nn.LeakyReLU(0.2), nn.Conv2d(code, code, 1), nn.LeakyReLU(0.2)
        )
        self.realism = nn.Conv2d(code, 1, 1)
        self.verification = nn.Conv2d(code, 1, 1)
        # Batch norm statistics must be of one kind of images; instance norms have none.
        self._at_once = config.norm == "instance"

    def normalize(self) -> None:
        """Adds the spectral norms to the layers; call it after their initialisation."""
        layers = [*self.whole.convs, *self.parts.convs, self.head[0], self.head[2]]
        self.spectral_norms = SpectralNormGroup(self, modules=layers)

    def plans(self, mask: Tensor) -> DoveNetPlans:
        """Returns the plans of mask [N, 1, size, size], thresholded at 0.5; they suit every image with this mask."""
        return DoveNetPlans(mask, self.parts)

    def forward(self, image: Tensor, mask: Tensor | DoveNetPlans) -> Scores:
        """Scores an image, and whether its object matches its background.

        Args:
            image: [N, 3, size, size] in [-1, 1].
            mask: [N, 1, size, size] in [0, 1], thresholded at 0.5, or its `plans`; with plans, image may contain
                several concatenated batches with that mask.

        Returns:
            Two scores of each image, [N].
        """
        checks.check_image(image, "image", 3, size=self.size)
        if isinstance(mask, Tensor):
            checks.check_mask(mask, image)
            mask = self.plans(mask)
        count = image.shape[0]
        whole = self.whole(image)
        each = self.training and self.spectral_norms.update_once == "forward"
        if self._at_once and not each:
            foreground, background = self.parts(torch.cat([image, image]), mask.parts(count)).chunk(2)
        else:
            plan = mask.foreground(count)
            foreground = self.parts(image, plan)
            if each:
                self.spectral_norms.update(self.parts.convs)
            background = self.parts(image, plan.complement())
        verification = self.verification(self.head(foreground * background))
        return Scores(self.realism(whole).flatten(), verification.flatten())


class DoveNet(Adversarial):
    """A gated U-Net with a discriminator that also verifies domains.

    Shape:
        composite [N, 3, H, W] in [-1, 1] and mask [N, 1, H, W] in [0, 1], sides multiples of `size`, 256 as published,
        to [N, 3, H, W] in [-1, 1]. `discriminator(image, mask)` returns two scores per image of `size` pixels.
    """

    name = "dovenet"
    config: DoveNetConfig
    generator: DoveNetGenerator
    discriminator: DoveNetDiscriminator

    def __init__(self, config: DoveNetConfig) -> None:
        super().__init__(config, size=config.size)
        self.generator = DoveNetGenerator(config)
        self.discriminator = DoveNetDiscriminator(config)
        _blocks.initialize(self)
        if config.residual:
            _blocks.start_as_identity(self.generator.unet.last)
        self.discriminator.normalize()


register(
    DoveNet,
    DoveNetConfig,
    task="harmonize",
    summary="gated U-Net with a domain verification discriminator",
    source="Cong et al., CVPR 2020",
    presets={
        "small": {"width": 16, "discriminator_width": 16},
        "residual": {
            "width": 16,
            "discriminator_width": 4,
            "norm": "batch",
            "dropout": 0.0,
            "size": 64,
            "residual": True,
        },
    },
)
