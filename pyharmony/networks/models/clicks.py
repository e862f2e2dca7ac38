"""Interactive segmentation: an image and a prompt of clicks, a box or a coarse mask to masks from part to whole.

A small U-Net with global attention at its coarsest level. It predicts three masks, since one click may mean a hand, a
person or a group, and a score of each. Sources: Ronneberger et al.,
"U-Net", MICCAI 2015; Xu et al., "Deep Interactive Object Selection", CVPR 2016, for maps of clicks; Sofiiuk et al.,
"Reviving Iterative Training with Mask Guidance", ICIP 2022, for the previous mask as an input; Kirillov et al.,
"Segment Anything", ICCV 2023, for several masks with scores. The colour maps and the layers are our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import ArgumentError
from . import checks
from ._efficientnet import WIDTHS, EfficientNetLite0
from ._registry import Model, register

__all__ = ["BOXED", "MASKS", "Clicks", "Cut", "prompt_of"]

#: The number of planes of a prompt, see `Clicks`.
PROMPT = 7
#: The number of predicted masks.
MASKS = 3
#: The networks whose features can be used as an input, '' for none.
FEATURES = ("", "efficientnet-lite0")
#: The value of the previous mask inside a box prompt: below 1, since not every pixel of a box is on the object.
BOXED = 0.5
_REACHES = (0.012, 0.12)  # the radius of a click on each of its two planes, in sides of a square image
_SAMPLED = 0.008  # the radius of the neighbourhood that gives the colour of a click, in sides of a square image
#: The number of hidden values of the score of a mask, in addition to the features inside and around it.
_SCORE_FEATURES = 64
HEADS = 9  # the number of planes that describe heads, see `Clicks.heads`
#: The initial logit of a head at a position.
_INITIAL_HEAD_LOGIT = -4.0


@dataclass(frozen=True)
class ClicksConfig:
    """Settings of `Clicks`.

    Attributes:
        size: the side of its input images, a multiple of 32.
        widths: the channels of the five levels, which have 1/2, 1/4 … of the image's side.
        depths: the numbers of blocks of each level of the encoder.
        heads: the number of attention heads at the coarsest level, a divisor of its channels.
        looks: the number of attention layers.
        features: '', or 'efficientnet-lite0': features of that network, trained on ImageNet, are an input at every
            level.
        finder: the channels of the part that detects people by their heads; 0: none.
        edges: whether the image's edges are an additional input, see `edges_of`.
        scene: whether there is a part that classifies if people could stand in an image; it uses the features, so that
            `features` must not be ''.
    """

    size: int = 256
    widths: tuple[int, ...] = (24, 48, 80, 112, 144)
    depths: tuple[int, ...] = (1, 1, 2, 2, 2)
    heads: int = 4
    looks: int = 2
    features: str = ""
    finder: int = 0
    edges: bool = False
    scene: bool = False

    def __post_init__(self) -> None:
        checks.check_whole(self.size, "size", 64)
        checks.check_fields(self, checks.check_widths, "widths", "depths", length=5)
        if self.size % 32:
            raise ArgumentError(f"size: {self.size}, expected a multiple of 32")
        checks.check_whole(self.heads, "heads")
        checks.check_choice(self.features, "features", FEATURES)
        checks.check_fields(self, checks.check_whole, "looks", "finder", low=0)
        checks.check_fields(self, checks.check_flag, "edges", "scene")
        if self.scene and not self.features:
            raise ArgumentError("scene: True, but features is ''; set features='efficientnet-lite0'")
        if self.widths[-1] % self.heads:
            raise ArgumentError(f"heads: {self.heads}, expected a divisor of the last of widths, {self.widths[-1]}")


class Cut(NamedTuple):
    """The predictions for a prompt.

    Attributes:
        logits: the masks [N, 3, H, W], above 0 inside.
        scores: the predicted IoU of each mask with the object, [N, 3] in [0, 1].
        people: the mask of all people, independent of the clicks, [N, 1, H, W], above 0 inside.
    """

    logits: Tensor
    scores: Tensor
    people: Tensor


def prompt_of(image: Tensor, points: Tensor, labels: Tensor, last: Tensor | None = None) -> Tensor:
    """Returns a prompt [N, 7, H, W], see `Clicks`.

    Args:
        image: [N, 3, H, W] in [0, 1].
        points: the clicks [N, K, 2] as (x, y), in pixels; the centre of the first pixel is (0, 0).
        labels: 1 for a click on the object, 0 for one outside, -1 for none, [N, K].
        last: the previous mask [N, 1, H, W] in [0, 1]; None: there is none.
    """
    height, width = image.shape[2:]
    # Squared distances along each axis, [N, K, W] and [N, K, H]: Gaussians of their sum are separable.
    across, down = (
        (torch.arange(side, dtype=image.dtype, device=image.device) - points[..., axis, None]).square()
        / (height * width)
        for axis, side in enumerate((width, height))
    )
    columns, rows = (torch.softmax(-squares / (2 * _SAMPLED**2), 2) for squares in (across, down))
    colors = torch.einsum("nkh,nckh->nkc", rows, torch.einsum("nkw,nchw->nckh", columns, image))
    nowhere, far = image.new_zeros(len(image), height, width), image.new_ones(len(image), height, width)
    planes = [nowhere, nowhere, far, nowhere, nowhere, far]
    for k in range(points.shape[1]):
        off = (image - colors[:, k, :, None, None]).square_().mean(1)
        for first, sign in ((0, 1), (3, 0)):
            others = (labels[:, k] != sign).to(image.dtype)
            for plane, reach in enumerate(_REACHES, first):
                tall, wide = (torch.exp(-squares[:, k] / (2 * reach**2)) for squares in (down, across))
                near = (tall * (1 - others)[:, None])[:, :, None] * wide[:, None]
                planes[plane] = torch.maximum(planes[plane], near)
            planes[first + 2] = torch.minimum(planes[first + 2], off + others[:, None, None])
    for first in (0, 3):
        planes[first + 2] = planes[first + 2].sqrt()
    planes.append(torch.zeros_like(planes[0]) if last is None else last[:, 0])
    return torch.stack(planes, 1)


def edges_of(image: Tensor) -> Tensor:
    """Returns the edges [N, 1, H, W] of images [N, 3, H, W]: the largest gradient magnitude of the channels.

    Gradients are central differences along rows and columns, with replicated borders.
    """
    framed = functional.pad(image, (1, 1, 1, 1), mode="replicate")
    across = framed[..., 1:-1, 2:] - framed[..., 1:-1, :-2]
    down = framed[..., 2:, 1:-1] - framed[..., :-2, 1:-1]
    return (across.square() + down.square()).amax(1, keepdim=True).sqrt()


class _Block(nn.Module):
    """A residual block of two 3x3 convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        first, last = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        nn.init.zeros_(last.weight)
        self.norms = nn.ModuleList([first, last])

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norms[0](self.convs[0](x)))
        return torch.relu(x + self.norms[1](self.convs[1](y)))


class _ConvNorm(nn.Module):
    """A convolution with stride 1 or 2 and a norm."""

    def __init__(self, before: int, after: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


def _adapter(before: int, after: int) -> _ConvNorm:
    """Returns a layer that adds another network's features to a level; initially its output is zero."""
    layer = _ConvNorm(before, after, 1)
    nn.init.zeros_(layer.norm.weight)
    return layer


class _AttentionLayer(nn.Module):
    """A transformer layer: attention over all positions, and two linear layers."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.asked = nn.Linear(width, 3 * width)
        self.answered = nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Maps [N, P, C] to the same shape."""
        query, key, value = (
            y.unflatten(2, (self.heads, -1)).transpose(1, 2) for y in self.asked(self.norms[0](x)).chunk(3, 2)
        )
        attention = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        x = x + self.answered(attention)
        return x + self.narrow(torch.relu(self.wide(self.norms[1](x))))


class _HeadFinder(nn.Module):
    """Maps the levels of the network without a click, coarsest first, to planes that describe heads."""

    def __init__(self, before: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.beside = nn.ModuleList(_ConvNorm(channels, width, 1) for channels in before)
        self.blocks = nn.ModuleList(_Block(width) for _ in before)
        self.planes = nn.Conv2d(width, HEADS, 3, padding=1)
        bias: Any = self.planes.bias
        nn.init.constant_(bias[0], _INITIAL_HEAD_LOGIT)

    def forward(self, levels: list[Tensor]) -> Tensor:
        x: Tensor | None = None
        for beside, block, level in zip(self.beside, self.blocks, levels):
            own = beside(level)
            if x is not None:
                own = own + functional.interpolate(x, scale_factor=2, mode="bilinear")
            x = block(torch.relu(own))
        return self.planes(x)


class Clicks(Model):
    """Predicts three masks from an image and a prompt.

    Shape:
        image [N, 3, H, W] in [0, 1] and prompt [N, 7, H, W] in [0, 1], sides multiples of 32, to `Cut`. The planes of a
        prompt are, for foreground clicks: the proximity of the nearest one at two scales, some pixels and a quarter of
        the side, and the distance of each colour from those at the clicks; the same three for background clicks; and
        the previous mask, 0 if there is none, or `BOXED` inside a box around the object. `pyharmony.segmentation`
        makes them.
    """

    name = "clicks"
    low = 0.0
    picture = "image"

    def __init__(self, config: ClicksConfig) -> None:
        super().__init__(config, size=config.size, takes_mask=False)
        widths, last = config.widths, config.widths[-1]
        before = (3 + PROMPT + int(config.edges), *widths)
        self.down = nn.ModuleList(_ConvNorm(before[i], widths[i], stride=2) for i in range(5))
        self.blocks = nn.ModuleList(
            nn.Sequential(*(_Block(width) for _ in range(depth))) for width, depth in zip(widths, config.depths)
        )
        places = (config.size // 32) ** 2
        self.place = nn.Parameter(torch.randn(1, places, last).mul_(0.02))
        self.looks = nn.ModuleList(_AttentionLayer(last, config.heads) for _ in range(config.looks))
        if config.features:
            self.known = EfficientNetLite0()
            self.beside = nn.ModuleList(_adapter(before, after) for before, after in zip(WIDTHS, widths))
        self.up = nn.ModuleList(_ConvNorm(widths[i + 1], widths[i], 1) for i in range(4))
        self.over = nn.ModuleList(_Block(width) for width in widths[:4])
        self.masks = nn.Conv2d(widths[0], MASKS + 1, 3, padding=1)
        self.hidden = nn.Linear(2 * widths[1] + last, _SCORE_FEATURES)
        self.score = nn.Linear(_SCORE_FEATURES, 1)
        if config.finder:
            self.finder = _HeadFinder((last, widths[3], widths[2], 2 * widths[1]), config.finder)
        if config.scene:
            self.scene = nn.Linear(WIDTHS[-1], 1)

    def _state_from(self, other: Model) -> dict[str, Any]:
        """Returns the weights of a network with or without edges; weights for edges are 0 at first."""
        state = dict(other.state_dict())
        first = state["down.0.conv.weight"]
        if self.config.edges and first.shape[1] == 3 + PROMPT:
            state["down.0.conv.weight"] = torch.cat([first, torch.zeros_like(first[:, :1])], 1)
        return state

    def image_features(self, image: Tensor) -> tuple[Tensor, ...]:
        """Returns the extractor's features of images, reusable for several calls; () without an extractor."""
        return tuple(self.known(image * 2 - 1)) if self.config.features else ()

    def forward(self, image: Tensor, prompt: Tensor, features: tuple[Tensor, ...] | None = None) -> Cut:
        """Returns masks and scores, see the class; `features` are the result of `image_features` for the image."""
        checks.check_image(image, "image", 3, 32)
        checks.check_image(prompt, "prompt", PROMPT)
        checks.check_like(prompt[:, :1], image[:, :1], "prompt", "image")
        features = self.image_features(image) if features is None else features
        _, _, whole, fine, masks = self._levels(image, prompt, features)
        scores = self._scores(masks[:, :MASKS], fine, whole)
        large = functional.interpolate(masks, scale_factor=2, mode="bilinear")
        return Cut(large[:, :MASKS], scores, large[:, MASKS:])

    def heads(self, image: Tensor) -> Tensor:
        """Returns the positions and sizes of people's heads, [N, 9, H / 4, W / 4], for cells of 4 x 4 pixels.

        The planes are: the logit that the centre of a head is in the cell; its offset from the cell's centre, to the
        right and down, in cells; the logarithms of the head's width and height; the logarithms of the distances from
        the centre of the head to the person's left, top, right and bottom; sizes and distances in sides of the image.
        Sources: Zhou et al., "Objects as Points", 2019, and Tian et al., "FCOS", ICCV 2019, for the distances.
        """
        if not self.config.finder:
            raise ArgumentError("finder: 0, the network has no part that detects heads")
        checks.check_image(image, "image", 3, 32)
        nowhere = image.new_zeros(len(image), 1, 2), image.new_full((len(image), 1), -1.0)
        levels, x, _, fine, _ = self._levels(image, prompt_of(image, *nowhere), self.image_features(image))
        return self.finder([x, levels[3], levels[2], torch.cat([levels[1], fine], 1)])

    def scenes(self, image: Tensor) -> Tensor:
        """Returns logits [N]: above 0 if people could stand in the scene.

        They are below 0 for close-ups, the sky, and scenes under water: a linear function of the mean of the coarsest
        features.
        """
        if not self.config.scene:
            raise ArgumentError("scene: False, the network has no part that classifies scenes")
        checks.check_image(image, "image", 3, 32)
        return self.scene(self.image_features(image)[-1].mean((2, 3)).float())[:, 0]

    def _levels(
        self, image: Tensor, prompt: Tensor, features: tuple[Tensor, ...]
    ) -> tuple[list[Tensor], Tensor, Tensor, Tensor, Tensor]:
        """Returns the encoder levels, the coarsest after attention, its mean, the second finest decoder level, and the
        logits of the masks, at half the sides of the image."""
        edges = [edges_of(image)] if self.config.edges else []
        x = torch.cat([image * 2 - 1, prompt, *edges], 1)
        levels = []
        for i, (down, blocks) in enumerate(zip(self.down, self.blocks)):
            x = down(x)
            if features:
                x = x + self.beside[i](features[i])
            x = blocks(torch.relu(x))
            levels.append(x)
        n, c, h, w = x.shape
        y = x.flatten(2).mT
        if self.looks:
            y = y + self._places(h, w)
        for look in self.looks:
            y = look(y)
        x = coarsest = y.mT.reshape(n, c, h, w)
        for i in range(3, -1, -1):
            x = functional.interpolate(self.up[i](x), scale_factor=2, mode="bilinear")
            x = self.over[i](torch.relu(x + levels[i]))
            if i == 1:
                fine = x
        return levels, coarsest, y.mean(1), fine, self.masks(x)

    def predict(self, image: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns the mask with the highest score, [N, 1, H, W] in [0, 1].

        mask: a coarse mask [N, 1, H, W] in [0, 1] to refine; None: a click at the centre is the prompt.
        """
        height, width = image.shape[2:]
        middle = image.new_tensor([(width - 1) / 2, (height - 1) / 2]).expand(len(image), 1, 2)
        labels = image.new_full((len(image), 1), 1.0 if mask is None else -1.0)
        logits, scores, _ = self(image, prompt_of(image, middle, labels, mask))
        best: Tensor = logits[torch.arange(len(logits), device=logits.device), scores.argmax(1)]
        return best[:, None].sigmoid()

    def example(self, size: int | None = None) -> dict[str, Tensor]:
        """Returns two random images with prompts, see `Model.example`."""
        inputs = super().example(size)
        return {**inputs, "prompt": torch.rand(2, PROMPT, *inputs["image"].shape[2:])}

    def _places(self, height: int, width: int) -> Tensor:
        """Returns the positional encoding of the coarsest level, [1, height * width, C]."""
        side = self.config.size // 32
        if (height, width) == (side, side):
            return self.place
        planes = self.place.mT.reshape(1, -1, side, side)
        return functional.interpolate(planes, size=(height, width), mode="bilinear").flatten(2).mT

    def _scores(self, logits: Tensor, fine: Tensor, whole: Tensor) -> Tensor:
        """Returns the scores of masks [N, 3, h, w], from the features inside and outside of each."""
        inside = functional.avg_pool2d(logits.detach().float().sigmoid(), 2)
        means = [
            torch.einsum("nmhw,nchw->nmc", part, fine.float()) / part.sum((2, 3)).clamp_min(1e-3)[..., None]
            for part in (inside, 1 - inside)
        ]
        means.append(whole.float()[:, None].expand(-1, MASKS, -1))
        return self.score(torch.relu(self.hidden(torch.cat(means, 2))))[..., 0].sigmoid()


register(
    Clicks,
    ClicksConfig,
    task="segment",
    summary="interactive segmentation by clicks, with masks from part to whole",
    source="our own network, after Ronneberger et al., MICCAI 2015, and Sofiiuk et al., ICIP 2022",
    presets={"small": {"size": 64, "widths": (8, 8, 16, 16, 16), "depths": (1, 1, 1, 1, 1), "looks": 1}},
)
