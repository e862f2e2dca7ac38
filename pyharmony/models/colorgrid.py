"""A map of colours instead of a picture: what a small network says of object and background fits any size.

The network looks at the composite at 128 x 128 pixels and gives an affine map with curves and, if it is asked for, a
coarse bilateral grid; `pyharmony.ops.color_grid` applies them to the picture as large as it is. Sources: Gharbi et al.,
"Deep Bilateral Learning for Real-Time Image Enhancement", SIGGRAPH 2017, for the grid; Qi et al., "PointNet", CVPR
2017, for the pooled pixels; Guerreiro et al., "PCT-Net", CVPR 2023, for harmonising by maps of colours.
"""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import ArgumentError, ShapeError
from . import _blocks
from ._registry import Model, ModelInfo, register

_LUMA = (0.299, 0.587, 0.114)
_SHARPNESS = 4.0  # of the soft maximum over pixels


@dataclass(frozen=True)
class ColorGridConfig:
    """Settings of `ColorGrid`.

    Attributes:
        size: sides of the pictures that it is given as a rule; any of at least `view` will do.
        view: sides of what it sees of them.
        knots: of each curve.
        grid: rows, columns and levels of luma of the bilateral grid; empty: none.
        point_width: channels of the layers that see single pixels.
        widths: channels of the convolutions at view / 2, view / 4 and view / 8; empty: pixels alone are looked at.
        blocks: residual blocks at the last of these sizes.
        hidden: channels of the two layers that decide.
        dropout: before each of them, in training.
        points: pixels of the object and of the background that are looked at in training; without training all are.
    """

    size: int = 256
    view: int = 128
    knots: int = 8
    grid: tuple[int, ...] = ()
    point_width: int = 64
    widths: tuple[int, ...] = (24, 48, 96)
    blocks: int = 2
    hidden: int = 256
    dropout: float = 0.1
    points: tuple[int, ...] = (320, 640)

    def __post_init__(self) -> None:
        _blocks.check_whole(self.view, "view", 16)
        _blocks.check_whole(self.size, "size", self.view)
        _blocks.check_whole(self.knots, "knots", 2)
        for name, length in (("grid", (0, 3)), ("widths", (0, 3)), ("points", (2,))):
            value = getattr(self, name)
            if value:
                _blocks.check_widths(value, name)
            if len(value) not in length:
                raise ArgumentError(f"{name}: {value!r}, expected {' or '.join(map(str, length))} numbers")
        if self.grid and not self.widths:
            raise ArgumentError("grid: it comes from convolutions, and widths is empty")
        for name in ("point_width", "blocks", "hidden"):
            _blocks.check_whole(getattr(self, name), name)
        _blocks.check_share(self.dropout, "dropout")


class ColorMaps(NamedTuple):
    """What `pyharmony.ops.color_grid` takes: affine [N, 3, 4], curves [N, 3, 3, K], and grid [N, H, W, D, 3, 4], or
    None."""

    affine: Tensor
    curves: Tensor
    grid: Tensor | None

    def apply(self, pixels: Tensor, positions: Tensor | None = None) -> Tensor:
        """The colours of pixels [N, P, 3] in [0, 1], not clamped.

        positions: of the pixels, [N, P, 2], x and y in [0, 1]; only a grid needs them.
        """
        knots = self.curves.shape[-1]
        at = torch.linspace(0, 1, knots, device=pixels.device, dtype=pixels.dtype)
        inside = pixels.clamp(0, 1)
        hats = (1 - (inside[..., None] - at).abs() * (knots - 1)).clamp_min(0).flatten(2)
        result = pixels @ self.affine[..., :3].mT + self.affine[:, None, :, 3] + hats @ self.curves.flatten(2).mT
        if self.grid is None or positions is None:
            return result
        luma = inside @ pixels.new_tensor(_LUMA)
        # grid_sample has x, y, z of a volume [N, C, D, H, W] in [-1, 1], -1 the outer edge of the first cell.
        where = torch.cat([positions, luma[..., None]], -1)[:, :, None, None] * 2 - 1
        volume = self.grid.flatten(4).permute(0, 4, 3, 1, 2)
        local = functional.grid_sample(volume, where, padding_mode="border", align_corners=False)
        local = local[..., 0, 0].mT.reshape(*pixels.shape[:2], 3, 4)
        return result + (local[..., :3] @ pixels[..., None])[..., 0] + local[..., 3]


class Points(nn.Module):
    """Layers that see single pixels, and what they find in a region: mean, soft maximum and standard deviation."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(in_channels, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))

    def forward(self, features: Tensor, weight: Tensor) -> Tensor:
        """features [N, P, C] and their weights [N, P] to [N, 3 width]."""
        x = self.layers(features)
        share = (weight / weight.sum(1, keepdim=True).clamp_min(1e-6))[..., None]
        mean = (x * share).sum(1)
        std = ((x - mean[:, None]).square() * share).sum(1).add(1e-6).sqrt()
        # Of a mean, not a sum, so that it does not depend on the number of pixels.
        top = x.amax(1, keepdim=True)
        most = ((_SHARPNESS * (x - top)).exp() * share).sum(1).clamp_min(1e-12).log() / _SHARPNESS + top[:, 0]
        return torch.cat([norm(y) for norm, y in zip(self.norms, (mean, most, std))], 1)


class Residual(nn.Module):
    """Two convolutions 3x3 beside the identity, which it is at first."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(_groups(channels), channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, 1, 1)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(functional.silu(self.conv1(self.norm(x))))


def _groups(channels: int) -> int:
    return next(n for n in (8, 4, 2, 1) if channels % n == 0)


class Picture(nn.Module):
    """Convolutions over the composite and its mask, and what they find inside, outside and anywhere."""

    def __init__(self, widths: tuple[int, ...], blocks: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(4, widths[0], 3, 1, 1)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in itertools.pairwise(widths))
        self.first = Residual(widths[1])
        self.blocks = nn.Sequential(*(Residual(widths[-1]) for _ in range(blocks)))
        self.norms = nn.ModuleList(nn.LayerNorm(c) for c in (widths[1],) * 2 + (widths[-1],) * 3)

    def forward(self, picture: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """picture and mask [N, C, H, W] to the pooled features [N, F] and those of the last size."""
        x = functional.silu(self.stem((torch.cat([picture, mask], 1) - 0.5) * 3))
        fine = self.first(functional.silu(self.down[0](x)))
        coarse = self.blocks(functional.silu(self.down[1](fine)))
        pooled = [*self._regions(fine, mask), *self._regions(coarse, mask), coarse.to(mask.dtype).amax((2, 3))]
        return torch.cat([norm(y) for norm, y in zip(self.norms, pooled)], 1), coarse

    @staticmethod
    def _regions(x: Tensor, mask: Tensor) -> list[Tensor]:
        x, inside = x.to(mask.dtype), functional.adaptive_avg_pool2d(mask, (x.shape[2], x.shape[3]))
        return [(x * w).sum((2, 3)) / w.sum((2, 3)).clamp_min(1e-3) for w in (inside, 1 - inside)]


class ColorGrid(Model):
    """From a composite to a map of colours, and to the picture that the map makes of it.

    Shape:
        composite [N, 3, H, W] in [0, 1], mask [N, 1, H, W] in [0, 1], sides of at least `view`, to the harmonised
        picture [N, 3, H, W] in [0, 1], the composite outside the mask.
    """

    name = "colorgrid"
    low = 0.0

    def __init__(self, config: ColorGridConfig) -> None:
        super().__init__(config)
        width = config.point_width
        self.foreground, self.background = Points(9, width), Points(9, width)
        found = 2 * self._STATISTICS + 6 * width
        if config.widths:
            self.picture = Picture(config.widths, config.blocks)
            found += 2 * config.widths[1] + 3 * config.widths[2]
        self.statistics = nn.ModuleList(nn.LayerNorm(self._STATISTICS) for _ in range(2))
        self.decide = nn.Sequential(
            nn.Dropout(config.dropout), nn.Linear(found, config.hidden), nn.SiLU(),
            nn.Dropout(config.dropout), nn.Linear(config.hidden, config.hidden), nn.SiLU(),
        )  # fmt: skip
        self.last = nn.Linear(config.hidden, 12 + 9 * config.knots)
        _zero(self.last)
        if config.grid:
            self.spread = nn.Linear(config.hidden, config.widths[-1])
            self.cells = nn.Conv2d(config.widths[-1], 12 * config.grid[2], 1)
            _zero(self.cells)

    _STATISTICS = 18

    def maps(self, composite: Tensor, mask: Tensor) -> ColorMaps:
        """The map of colours of each composite; see the class for the arguments."""
        _blocks.check_image(composite, "composite", 3)
        _blocks.check_mask(mask, composite)
        view = self.config.view
        if min(composite.shape[2:]) < view:
            raise ShapeError(f"composite: {composite.shape[2]}x{composite.shape[3]} pixels, expected {view} or more")
        small, inside = composite, mask.to(composite.dtype)
        if tuple(composite.shape[2:]) != (view, view):
            small, inside = (functional.adaptive_avg_pool2d(x, view) for x in (small, inside))
        coarse = None
        if self.config.widths:
            pooled, coarse = self.picture(functional.avg_pool2d(small, 2), functional.avg_pool2d(inside, 2))
        # bfloat16 would do for the convolutions, but not for colours.
        with _exactly(composite):
            found = self._found(small, inside)
            if coarse is not None:
                found.append(pooled.to(small.dtype))
            decided = self.decide(torch.cat(found, 1))
            values = self.last(decided)
            affine = values[:, :12].reshape(-1, 3, 4) + torch.eye(3, 4, device=values.device, dtype=values.dtype)
            curves = values[:, 12:].reshape(-1, 3, 3, self.config.knots)
            grid = self._grid(coarse, decided) if self.config.grid and coarse is not None else None
            return ColorMaps(affine, curves, grid)

    def _found(self, picture: Tensor, mask: Tensor) -> list[Tensor]:
        """What single pixels tell of the two regions."""
        features = self._pixels(picture)
        weights = [_sure(m).flatten(1) for m in (mask, 1 - mask)]
        # Every fourth pixel is enough for moments.
        some = picture[..., ::2, ::2].flatten(2)
        found = [
            norm(_moments(some, _sure(m[..., ::2, ::2]).flatten(1)))
            for norm, m in zip(self.statistics, (mask, 1 - mask))
        ]
        for points, w, count in zip((self.foreground, self.background), weights, self.config.points):
            if self.training:
                chosen = torch.multinomial(w + 1e-9, count, replacement=True)
                drawn = features.gather(1, chosen[..., None].expand(-1, -1, features.shape[2]))
                found.append(points(drawn, torch.ones_like(drawn[..., 0])))
            else:
                found.append(points(features, w))
        return found

    def _pixels(self, picture: Tensor) -> Tensor:
        """Of each pixel [N, P, 9]: its colour, the mean of its 8 x 8 block, where it is, and its largest channel."""
        n, _, h, w = picture.shape
        block = functional.adaptive_avg_pool2d(picture, (h // 8, w // 8))
        around = functional.interpolate(block, (h, w), mode="nearest")
        x = torch.linspace(0, 1, w, device=picture.device, dtype=picture.dtype).expand(n, 1, h, w)
        y = torch.linspace(0, 1, h, device=picture.device, dtype=picture.dtype)[:, None].expand(n, 1, h, w)
        return (torch.cat([picture, around, x, y, picture.amax(1, keepdim=True)], 1).flatten(2).mT - 0.5) * 3

    def _grid(self, coarse: Tensor, decided: Tensor) -> Tensor:
        rows, columns, levels = self.config.grid
        cells = functional.adaptive_avg_pool2d(coarse.to(decided.dtype), (rows, columns))
        cells = self.cells(functional.silu(cells + self.spread(decided)[..., None, None]))
        return cells.unflatten(1, (levels, 3, 4)).permute(0, 4, 5, 1, 2, 3)

    def forward(self, composite: Tensor, mask: Tensor) -> Tensor:
        """See the class."""
        maps = self.maps(composite, mask)
        n, _, h, w = composite.shape
        positions = None
        if maps.grid is not None:
            x = ((torch.arange(w, device=composite.device) + 0.5) / w).expand(h, w)
            y = ((torch.arange(h, device=composite.device) + 0.5) / h)[:, None].expand(h, w)
            positions = torch.stack([x, y], -1).view(1, -1, 2).expand(n, -1, -1)
        made = maps.apply(composite.flatten(2).mT, positions).clamp(0, 1).mT.reshape(n, 3, h, w)
        return composite + mask.to(composite.dtype) * (made - composite)

    def example(self, size: int | None = None) -> dict[str, Tensor]:
        return _blocks.example_pictures(size or self.config.size, "composite", mask=True, low=0.0)


def _exactly(x: Tensor) -> contextlib.AbstractContextManager[Any]:
    """Without autocast, where there is one."""
    if x.is_meta or not torch.is_autocast_enabled(x.device.type):
        return contextlib.nullcontext()
    return torch.autocast(x.device.type, enabled=False)


def _zero(layer: nn.Linear | nn.Conv2d) -> None:
    """So that the map is the identity at first."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]


def _sure(weight: Tensor) -> Tensor:
    """Without pixels that are mostly the other region's: they say nothing of this one, unless there are no others."""
    return weight * (weight >= 0.5) + 1e-4 * weight


def _moments(pixels: Tensor, weight: Tensor) -> Tensor:
    """Mean, standard deviation and cube root of the third moment of R, G, B, their mean, R - B and G - (R + B) / 2.

    pixels [N, 3, P] and their weights [N, P] to [N, 18].
    """
    r, g, b = pixels.unbind(1)
    x = torch.stack([r, g, b, (r + g + b) / 3, r - b, g - (r + b) / 2], 1)
    share = (weight / weight.sum(1, keepdim=True).clamp_min(1e-6))[..., None]
    mean = x @ share
    off = x - mean
    square = off * off
    std = (square @ share + 1e-6).sqrt()
    third = (square * off) @ share
    return torch.cat([mean, std, third.sign() * (third.abs() + 1e-9) ** (1 / 3)], 1)[..., 0]


register(
    ModelInfo(
        name="colorgrid",
        task="harmonize",
        config=ColorGridConfig,
        make=ColorGrid,
        summary="a map of colours for any size, from pixels of object and background",
        source="our own network, after Gharbi et al., SIGGRAPH 2017, and Qi et al., CVPR 2017",
        presets={"points": {"widths": ()}, "small": {"view": 32, "size": 32, "widths": (8, 8, 16), "point_width": 16}},
    )
)
