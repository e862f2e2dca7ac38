"""DoveNet's training step as published, in plain torch, for comparison with ours.

Written from the description of the published code: eager, spectral norms by torch's own hook at every forward,
partial convolutions composed of torch's operations, three passes of the discriminator in its step and two in
the generator's, one of them unused. Faster settings that change no value are on: Adam over lists of tensors, no
transfer to the host within a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import spectral_norm


class PartialConv2d(nn.Conv2d):
    """Liu et al. 2018, as its authors compute it: the mask by a convolution with ones, then the ratio, then a mask."""

    #: A small number that prevents a division by zero.
    eps = 1e-8

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_buffer("ones", torch.ones(1, 1, *self.kernel_size), persistent=False)
        self.window = self.kernel_size[0] * self.kernel_size[1]
        self.last: tuple[torch.Size, Tensor, Tensor] | None = None

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        if mask is None and self.last is not None and self.last[0] == x.shape:
            _, update, ratio = self.last
        else:
            with torch.no_grad():
                valid = torch.ones_like(x[:1, :1]) if mask is None else mask
                update = functional.conv2d(valid, self.ones, None, self.stride, self.padding, self.dilation)
                ratio = self.window / (update + self.eps)
                update = torch.clamp(update, 0, 1)
                ratio = ratio * update
            self.last = x.shape, update, ratio
        raw = super().forward(x if mask is None else x * mask)
        if self.bias is None:
            return raw * ratio, update
        bias = self.bias.view(1, -1, 1, 1)
        return ((raw - bias) * ratio + bias) * update, update


class Encoder(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        widths = [3] + [width * min(2**i, 8) for i in range(7)]
        strides = (2, 2, 2, 2, 2, 2, 1)
        self.convs = nn.ModuleList(
            spectral_norm(PartialConv2d(a, b, 3, s)) for a, b, s in zip(widths, widths[1:], strides)
        )
        self.norms = nn.ModuleList(nn.InstanceNorm2d(c) for c in widths[2:7])

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        for i, conv in enumerate(self.convs):
            x, update = conv(x, mask)
            mask = update if mask is not None else None
            if 1 <= i <= 5:
                x = self.norms[i - 1](x)
            if i < 6:
                x = functional.leaky_relu(x, 0.2)
        return x


class Discriminator(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        code = 8 * width
        self.whole, self.parts = Encoder(width), Encoder(width)
        self.realism = nn.Conv2d(code, 1, 1)
        self.head = nn.Sequential(
            spectral_norm(nn.Conv2d(code, code, 1)), nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(code, code, 1)), nn.LeakyReLU(0.2),
        )  # fmt: skip
        self.verification = nn.Conv2d(code, 1, 1)

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        realism = self.realism(self.whole(image))
        foreground, background = self.parts(image, mask), self.parts(image, 1 - mask)
        return realism, self.verification(self.head(foreground * background))


class Level(nn.Module):
    """A level of the U-Net and all levels inside it."""

    def __init__(self, outer: int, inner: int, inside: Level | None, kind: str, gate: bool, dropout: bool) -> None:
        super().__init__()
        self.kind, self.inside = kind, inside
        source = 4 if kind == "outermost" else outer
        self.down = nn.Conv2d(source, inner, 4, 2, 1)
        self.up = nn.ConvTranspose2d(
            inner if kind == "innermost" else 2 * inner, 3 if kind == "outermost" else outer, 4, 2, 1
        )
        self.down_norm = nn.InstanceNorm2d(inner) if kind == "middle" else None
        self.up_norm = nn.InstanceNorm2d(outer) if kind != "outermost" else None
        self.dropout = nn.Dropout(0.5) if dropout else None
        self.gate = nn.Conv2d(2 * outer, 2 * outer, 1) if gate else None

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "outermost":
            assert self.inside is not None
            return torch.tanh(self.up(functional.relu(self.inside(self.down(x)), inplace=True)))
        # The ReLU works in place: the skip is the input of the next level.
        x = functional.leaky_relu(x, 0.2, inplace=True)
        y = self.down(x)
        if self.down_norm is not None:
            y = self.down_norm(y)
        if self.inside is not None:
            y = self.inside(y)
        y = self.up(functional.relu(y, inplace=True))
        assert self.up_norm is not None
        y = self.up_norm(y)
        if self.dropout is not None:
            y = self.dropout(y)
        z = torch.cat([x, y], 1)
        return z if self.gate is None else z * torch.sigmoid(self.gate(z))


def generator(width: int) -> Level:
    level = Level(8 * width, 8 * width, None, "innermost", False, False)
    for _ in range(3):
        level = Level(8 * width, 8 * width, level, "middle", False, True)
    for outer, inner in ((4, 8), (2, 4), (1, 2)):
        level = Level(outer * width, inner * width, level, "middle", True, False)
    return Level(0, width, level, "outermost", False, False)


@dataclass
class PublishedStep:
    """One optimisation step of both networks."""

    width: int = 64
    device: Any = "cpu"
    gradient_penalty: bool = True
    l1: float = 100.0
    lr: float = 2e-4

    def __post_init__(self) -> None:
        with torch.device(self.device):
            self.generator, self.discriminator = generator(self.width), Discriminator(self.width)
        adam = dict(lr=self.lr, betas=(0.5, 0.999), foreach=True)
        self.optimizer_g = torch.optim.Adam(self.generator.parameters(), **adam)
        self.optimizer_d = torch.optim.Adam(self.discriminator.parameters(), **adam)

    @torch.no_grad()
    def take(self, model: Any) -> None:
        """Copies the weights of our `dovenet` with instance norms."""
        ours = model.generator.unet

        def copy(mine: nn.Module, theirs: nn.Module) -> None:
            for name in ("weight", "bias"):
                getattr(theirs, name).copy_(getattr(mine, name))

        level: Level | None = self.generator
        for i in range(8):
            assert level is not None
            copy(ours.down[i], level.down)
            copy(ours.up[7 - i] if i else ours.last, level.up)
            if level.gate is not None:
                copy(ours.gates[str(i - 1)], level.gate)
            level = level.inside
        self.discriminator.load_state_dict(model.discriminator.state_dict())

    def penalty(self, real: Tensor, fake: Tensor, mask: Tensor) -> Tensor:
        alpha = torch.rand(real.shape[0], 1, device=real.device)
        alpha = alpha.expand(real.shape[0], real.nelement() // real.shape[0]).contiguous().view(*real.shape)
        mixed = alpha * real + (1 - alpha) * fake
        mixed.requires_grad_(True)
        realism, verification = self.discriminator(mixed, mask)
        score = (realism + verification) / 2
        (gradient,) = torch.autograd.grad(score, mixed, torch.ones_like(score), create_graph=True, retain_graph=True)
        gradient = gradient.reshape(real.shape[0], -1)
        return (((gradient + 1e-16).norm(2, dim=1) - 1) ** 2).mean() * 10

    def __call__(self, composite: Tensor, real: Tensor, mask: Tensor) -> dict[str, Tensor]:
        fake = self.generator(torch.cat([composite, mask], 1))

        for p in self.discriminator.parameters():
            p.requires_grad_(True)
        self.optimizer_d.zero_grad()
        fake_realism, fake_verification = self.discriminator(fake.detach(), mask)
        real_realism, real_verification = self.discriminator(real, mask)
        loss_d = (
            functional.relu(1 + fake_realism).mean() + functional.relu(1 - real_realism).mean()
            + functional.relu(1 + fake_verification).mean() + functional.relu(1 - real_verification).mean()
        )  # fmt: skip
        if self.gradient_penalty:
            loss_d = loss_d + self.penalty(real, fake.detach(), mask)
        loss_d.backward()
        self.optimizer_d.step()

        for p in self.discriminator.parameters():
            p.requires_grad_(False)
        self.optimizer_g.zero_grad()
        realism, verification = self.discriminator(fake, mask)
        self.discriminator(real, mask)
        loss_l1 = functional.l1_loss(fake, real) * self.l1
        loss_g = -realism.mean() - verification.mean() + loss_l1
        loss_g.backward()
        self.optimizer_g.step()
        return {"discriminator": loss_d.detach(), "generator": loss_g.detach(), "l1": loss_l1.detach()}
