"""Harmonisation by a colour map, predicted at low resolution and applied at any size.

From the composite at 256 x 256 pixels the network samples pixels of the object and of the background, and short rows
of pixels across the object's contour. Pooled features of these three sets predict an affine map with curves; a second
stage, given the object after the first map, corrects it. `pyharmony.ops.color_grid` applies the map at full size. Masks
are seldom exact, and a clean cut-out has no information at its contour: experts differ in how far they trust the
contour, one of them also predicts for masks shifted by a few pixels, and a judge weights all predictions. Sources: Qi
et al., "PointNet", CVPR 2017, for pooled sets; Guerreiro et al., "PCT-Net", CVPR 2023, for harmonisation by colour
maps; Jacobs et al., "Adaptive Mixtures of Local Experts", Neural Computation 1991; the rows across the contour, the
second stage and the judge's inputs are our own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import ArgumentError, WeightsError
from . import _blocks, checks
from ._registry import Model, register

__all__ = ["Answers", "ColorGrid", "ColorMaps", "Compared", "Judge"]

#: The quantiles that describe a set of values.
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
#: The number of cells per side; each pixel has the mean colour of its cell as an input.
_CELLS = 16
#: The radii, in cells, within which a background pixel's share of object is computed.
_WINDOW_RADII = (1, 3)
#: How far colours between stages may exceed [0, 1]; clipping would lose the amount.
_RANGE_MARGIN = 0.2
#: The offsets in pixels of the view of the shifted masks for the first expert.
_MOVES = (-2, -1, 1, 2)
#: The number of views for every expert: the mask as it is and the mirror image.
_SHARED = 2
#: The pixels of object and background that a shifted mask must leave; otherwise the mask is not shifted.
_MIN_REGION_PIXELS = 30
#: The channels by which colours are matched.
_KINDS = 16
#: The distances from the contour of the judge's samples, in pixels of the view: from outside to inside.
_CONTOUR_DISTANCES = tuple(float(x) for x in range(-5, 6))


@dataclass(frozen=True)
class ColorGridConfig:
    """Settings of `ColorGrid`.

    Attributes:
        size: the usual side of its images; any size of at least `view` is accepted.
        view: the side of the reduced images that the network processes.
        knots: the number of knots of each curve.
        point_width: the channels of the layers for single pixels and rows.
        hidden: the channels of the two layers that predict the map.
        dropout: the dropout before each of them, in training.
        drawn: the numbers of object pixels, background pixels and rows across the contour, sampled anew in training.
        seen: the same numbers in evaluation mode, evenly spread.
        reach: the distances from the contour, in pixels of `view`, of a row's pixels, one inside and one outside each.
        stages: the number of stages, each applied to the object after the previous map; they share all weights.
        heads: the number of weighted means over each set in addition to its mean, maximum and standard deviation; the
            weights are predicted. They have `point_width` channels together, of which `heads` is a divisor. 0: none.
        recall: whether a stage's inputs include the previous stage's hidden values, as context for each row.
        nearness: whether background pixels have their share of object nearby as an input.
        experts: the number of networks that predict maps, all with the settings above.
        hints: the channels of the layers for optional information of the caller: the scene that the object comes from,
            or a reference for its light. 0: none.
        judge: the channels of the layers of a judge, which weights the predictions of all experts for the mask and for
            its mirror image, and those of the first one for masks shifted by up to 2 pixels of `view`; 0: no judge, the
            result is the last expert's prediction for the mask.
    """

    size: int = 256
    view: int = 256
    knots: int = 8
    point_width: int = 64
    hidden: int = 256
    dropout: float = 0.1
    drawn: tuple[int, ...] = (256, 384, 384)
    seen: tuple[int, ...] = (1024, 1536, 1536)
    reach: tuple[float, ...] = (1.0, 2.0, 4.5, 10.0, 20.0)
    stages: int = 2
    heads: int = 0
    recall: bool = False
    nearness: bool = False
    experts: int = 1
    judge: int = 0
    hints: int = 0

    def __post_init__(self) -> None:
        checks.check_whole(self.view, "view", _CELLS)
        if self.view % _CELLS:
            raise ArgumentError(f"view: {self.view}, expected a multiple of {_CELLS}")
        checks.check_whole(self.size, "size", self.view)
        checks.check_whole(self.knots, "knots", 2)
        checks.check_fields(self, checks.check_widths, "drawn", "seen", length=3)
        if not isinstance(self.reach, tuple) or not 1 <= len(self.reach) <= checks.MAX_LAYERS:
            raise ArgumentError(f"reach: {str(self.reach)[:80]}, expected one or more numbers above 0")
        for distance in self.reach:
            checks.check_positive(distance, "reach")
        checks.check_fields(self, checks.check_whole, "point_width", "hidden")
        checks.check_fields(self, checks.check_layers, "stages", "experts")
        checks.check_fields(self, checks.check_whole, "heads", "judge", "hints", low=0)
        if self.heads and self.point_width % self.heads:
            raise ArgumentError(f"heads: {self.heads}, expected a divisor of point_width, {self.point_width}")
        checks.check_share(self.dropout, "dropout")


class ColorMaps(NamedTuple):
    """Maps for `pyharmony.ops.color_grid`: affine [N, 3, 4] and curves [N, 3, 3, K]."""

    affine: Tensor
    curves: Tensor

    def hats(self, pixels: Tensor) -> Tensor:
        """Returns the weights of the curves' knots for pixels [N, P, 3], [N, P, 3 K]; maps can share them."""
        knots = self.curves.shape[-1]
        at = torch.linspace(0, 1, knots, device=pixels.device, dtype=pixels.dtype)
        return (1 - (pixels.clamp(0, 1)[..., None] - at).abs() * (knots - 1)).clamp_min(0).flatten(2)

    def apply(self, pixels: Tensor, hats: Tensor | None = None) -> Tensor:
        """Returns the mapped colours of pixels [N, P, 3] in [0, 1], not clamped."""
        hats = self.hats(pixels) if hats is None else hats
        return pixels @ self.affine[..., :3].mT + self.affine[:, None, :, 3] + hats @ self.curves.flatten(2).mT


class Answers(NamedTuple):
    """The predictions of the experts for a mask, its mirror image and shifted masks, V of them.

    Attributes:
        maps: affine [N, V, 3, 4] and curves [N, V, 3, 3, K].
        weights: the weight of each prediction, [N, V]; their sum may be below 1, since the identity is an alternative,
            and above, since averaging differing predictions weakens them.
    """

    maps: ColorMaps
    weights: Tensor

    def together(self) -> ColorMaps:
        """Returns the weighted sum of the maps' changes as a map."""
        affine, curves = self.maps
        identity = torch.eye(3, 4, device=affine.device, dtype=affine.dtype)
        with _without_autocast(affine):
            change = torch.einsum("nv,nvoc->noc", self.weights, affine - identity)
            return ColorMaps(change + identity, torch.einsum("nv,nvock->nock", self.weights, curves))


class _Inputs(NamedTuple):
    """The values sampled from a composite, in [0, 1] except the slope.

    Attributes:
        inside, outside: pixels of the object and of the background [N, P, 8]: colour, mean colour of the cell around
            it, position; with `nearness` those of the background are [N, P, 10]: also the share of object within 1 and
            3 cells.
        rows: the rows across the contour: colours inside [N, P, R, 3], nearest first; colours outside; and the rest
            [N, P, 2 R + 6]: colour on the contour, mask at the other pixels, position, slope of the mask.
    """

    inside: Tensor
    outside: Tensor
    rows: tuple[Tensor, Tensor, Tensor]


class Points(nn.Module):
    """Layers applied to each element of a set, pooled by mean, maximum, deviation and weighted means.

    Args:
        in_channels: the channels of an element.
        width: the channels of the layers.
        heads: the number of weighted means, see `ColorGridConfig`.
        recalled: the channels of the context common to all elements; 0: none.
    """

    def __init__(self, in_channels: int, width: int, heads: int = 0, recalled: int = 0) -> None:
        super().__init__()
        self.width = width
        self.layers = nn.Sequential(
            nn.Linear(in_channels, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4 if heads else 3))
        self.scores = nn.Linear(width, heads) if heads else None
        self.recall = nn.Linear(recalled, width, bias=False) if recalled else None

    @property
    def size(self) -> int:
        """The channels of the pooled set."""
        return len(self.norms) * self.width

    def forward(self, elements: Tensor, recalled: Tensor | None = None) -> Tensor:
        """Maps elements [N, P, C] in [0, 1], and a context [N, R], to [N, size]."""
        elements = (elements - 0.5) * 3
        x = self.layers[0](elements)
        if recalled is not None and self.recall is not None:
            x = x + self.recall(recalled)[:, None]
        x = self.layers[1:](x).to(elements.dtype)
        with _without_autocast(x):
            mean = x.mean(1)
            # On a CPU this is many times as fast as `var`.
            pooled = [mean, x.amax(1), ((x - mean[:, None]).square().mean(1) + 1e-6).sqrt()]
            if self.scores is not None:
                weights = self.scores(x).softmax(1)
                pooled.append(torch.einsum("nph,nphc->nhc", weights, x.unflatten(2, (weights.shape[2], -1))).flatten(1))
            return torch.cat([norm(y) for norm, y in zip(self.norms, pooled, strict=True)], 1)


class Statistics(nn.Module):
    """The moments and quantiles of colours, see `statistics`, normalised."""

    size = 6 * (3 + len(_QUANTILES))

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(18), nn.LayerNorm(6 * len(_QUANTILES))])

    def forward(self, colors: Tensor) -> Tensor:
        """Maps colors [N, P, 3] to [N, size]."""
        moments, quantiles = statistics(colors)
        with _without_autocast(moments):
            return torch.cat([self.norms[0](moments), self.norms[1](quantiles)], 1)


def statistics(colors: Tensor) -> tuple[Tensor, Tensor]:
    """Returns moments [N, 18] and quantiles [N, 42] of colors [N, P, 3].

    They are those of R, G, B, their mean, R - B and G - (R + B) / 2.
    """
    r, g, b = colors.unbind(-1)
    x = torch.stack([r, g, b, (r + g + b) / 3, r - b, g - (r + b) / 2], -1)
    mean = x.mean(1)
    off = x - mean[:, None]
    third = (off * off * off).mean(1)
    moments = [mean, (off.square().mean(1) + 1e-6).sqrt(), third.sign() * (third.abs() + 1e-6) ** (1 / 3)]
    last = x.shape[1] - 1
    sorted_ = x.sort(1).values
    # A list of indices would be copied from the CPU, which a CUDA graph cannot capture.
    quantiles = torch.stack([sorted_[:, round(q * last)] for q in _QUANTILES], 1)
    return torch.cat(moments, 1), quantiles.flatten(1)


class Compared(nn.Module):
    """Predicts the change that makes one set of colours look like another.

    Each colour of the first set is softly matched with those of the second, by learned features that should not depend
    on the light: skin with skin, sky with sky.

    Args:
        width: the channels of the layers that predict the change.
        out: the number of values of the change.
        dropout: the dropout before each of them, in training.
    """

    def __init__(self, width: int, out: int, dropout: float) -> None:
        super().__init__()
        self.kind = nn.Sequential(nn.Linear(9, _KINDS), nn.SiLU(), nn.Linear(_KINDS, _KINDS))
        self.decide = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(5 * Statistics.size, width), nn.SiLU(),
            nn.Dropout(dropout), nn.Linear(width, width), nn.SiLU(), last := nn.Linear(width, out),
        )  # fmt: skip
        _blocks.start_as_identity(last)

    def forward(self, first: Tensor, second: Tensor, original: Tensor, mapped: Tensor) -> Tensor:
        """Returns the change [N, out].

        Args:
            first, second: colours [N, P, 3] and [N, Q, 3] that should look alike.
            original, mapped: colours [N, R, 3] of the object, before and after a map.
        """
        with _without_autocast(first):
            alike = torch.einsum("npk,nqk->npq", self._kind(first), self._kind(second)).softmax(2)
            sets = [first, second, alike @ second - first, original, mapped - original]
            features = [torch.cat(statistics(each), 1) for each in sets]
            return self.decide(torch.cat(features, 1) * 3)

    def _kind(self, colors: Tensor) -> Tensor:
        """Returns matching features [N, P, K] of each colour and its rank among the others."""
        mean = colors.mean(1, keepdim=True)
        spread = (colors.var(1, correction=0, keepdim=True) + 1e-4).sqrt()
        bright = colors.sum(-1, keepdim=True) + 0.1
        return self.kind(torch.cat([colors * 2, (colors - mean) / spread, colors / bright * 3], -1))


class Judge(nn.Module):
    """Weights the predictions of the experts for a mask, its mirror image and shifted masks.

    Its inputs are the colours along rows across the contour, which show where the recoloured region ends, and how far
    the predictions change the object's pixels and differ from one another.

    Args:
        answers: the number of predictions, V.
        width: the channels of its layers.
        heads: the number of weighted means over the rows, see `ColorGridConfig`.
        dropout: the dropout before each of its last layers, in training.
    """

    def __init__(self, answers: int, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        apart = answers * (answers - 1) // 2
        self.answers, self.widths = answers, (width, heads)
        self.rows = Points(6 * len(_CONTOUR_DISTANCES) - 3, width, heads)
        self.norm = nn.LayerNorm(5 * answers + apart + 7)
        self.decide = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(self.rows.size + self.norm.normalized_shape[0], width), nn.SiLU(),
            nn.Dropout(dropout), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, answers + 1),
        )  # fmt: skip
        self.boost = nn.Parameter(torch.zeros(()))

    def forward(self, across: Tensor, original: Tensor, mapped: Tensor, share: Tensor) -> Tensor:
        """Returns the weights of the predictions, [N, V].

        Args:
            across: the colours of rows at `_CONTOUR_DISTANCES`, [N, P, 11, 3].
            original, mapped: colours of pixels of the object [N, Q, 3], and after each prediction [N, V, Q, 3].
            share: the object's share of the image, [N].
        """
        steps = (across[:, :, 1:] - across[:, :, :-1]) * 2 + 0.5
        row_features = self.rows(torch.cat([across.flatten(2), steps.flatten(2)], 2))
        with _without_autocast(original):
            change = mapped.clamp(-_RANGE_MARGIN, 1 + _RANGE_MARGIN) - original[:, None]
            first, second = torch.triu_indices(change.shape[1], change.shape[1], 1, device=change.device)
            apart = (change[:, first] - change[:, second]).square().mean((2, 3))
            sizes = [change.square().mean((2, 3)), change.var(2, correction=0).mean(2), apart]
            facts = [change.mean(2).flatten(1) * 10, *((x + 1e-6).log() / 2 for x in sizes)]
            facts += [original.mean(1), original.var(1, correction=0).sqrt(), (share + 1e-6).log()[:, None]]
            weights = self.decide(torch.cat([row_features, self.norm(torch.cat(facts, 1))], 1)).softmax(1)
            return weights[:, :-1] * self.boost.exp()

    def like(self, other: Judge, copied: int) -> dict[str, Tensor]:
        """Returns weights that approximate another judge for fewer predictions.

        The features of further predictions are ignored. These share the weights of those that they are copies of: of
        the two from `copied` on, alternately.
        """
        own, state = self.state_dict(), dict(other.state_dict())
        places, before = (judge._facts() for judge in (self, other))
        index = torch.tensor([places[fact] for fact in before])
        rows, further = self.rows.size, range(other.answers, self.answers)
        wide = torch.zeros_like(own["decide.1.weight"])
        wide[:, :rows] = state["decide.1.weight"][:, :rows]
        wide[:, rows + index] = state["decide.1.weight"][:, rows:]
        state["decide.1.weight"] = wide
        for name in ("norm.weight", "norm.bias"):
            state[name] = own[name].index_copy(0, index, state[name])
        copies = [copied + (i - other.answers) % _SHARED for i in further]
        order = [*range(other.answers), *copies, other.answers]
        shares = torch.ones(len(order))
        for first in range(copied, copied + _SHARED):
            alike = [i for i, of in enumerate(order) if of == first]
            shares[alike] = 1 / len(alike)
        state["decide.6.weight"] = state["decide.6.weight"][order]
        state["decide.6.bias"] = state["decide.6.bias"][order] + shares.log().to(state["decide.6.bias"])
        return state

    def _facts(self) -> dict[tuple[str, ...], int]:
        """Returns the index of each input feature of `forward` by its meaning."""
        answers = [str(i) for i in range(self.answers)]
        names: list[tuple[str, ...]] = [("change", i, channel) for i in answers for channel in "rgb"]
        names += [(size, i) for size in ("size", "spread") for i in answers]
        names += [("apart", i, j) for n, i in enumerate(answers) for j in answers[n + 1 :]]
        names += [("object", str(i)) for i in range(7)]
        return {name: place for place, name in enumerate(names)}


class Expert(nn.Module):
    """Predicts the maps of composites, in several stages with shared weights."""

    def __init__(self, config: ColorGridConfig) -> None:
        super().__init__()
        self.config = config
        width, steps, out = config.point_width, len(config.reach), 12 + 9 * config.knots
        sets = (12, 11 if config.nearness else 9, 11 * steps + 6)
        recalled = config.hidden if config.recall else 0
        self.inside, self.outside, self.rows = (Points(n, width, config.heads, recalled) for n in sets)
        self.statistics = nn.ModuleList(Statistics() for _ in range(3))
        in_features = 3 * (Statistics.size + self.rows.size)
        self.decide = nn.Sequential(
            nn.Dropout(config.dropout), nn.Linear(in_features, config.hidden), nn.SiLU(),
            nn.Dropout(config.dropout), nn.Linear(config.hidden, config.hidden), nn.SiLU(),
        )  # fmt: skip
        self.last = nn.Linear(config.hidden, out)
        _blocks.start_as_identity(self.last)

    def forward(self, inputs: _Inputs) -> list[ColorMaps]:
        """Returns the map after each stage."""
        original = inputs.inside[..., :3]
        within, beyond, rest = inputs.rows
        around = torch.cat([inputs.outside, inputs.outside[..., :3].amax(-1, keepdim=True)], -1)
        outside = [self.statistics[1](inputs.outside[..., :3]), self.outside(around)]
        identity = torch.eye(3, 4, device=original.device, dtype=original.dtype)
        values: Tensor | None = None
        recalled: Tensor | None = None
        maps: list[ColorMaps] = []
        for _ in range(self.config.stages):
            colors, edge = original, within
            if maps:
                with _without_autocast(original):
                    colors = maps[-1].apply(original).clamp(-_RANGE_MARGIN, 1 + _RANGE_MARGIN)
                    edge = maps[-1].apply(within.flatten(1, 2)).clamp(-_RANGE_MARGIN, 1 + _RANGE_MARGIN).view_as(within)
            if recalled is not None:
                outside[1] = self.outside(around, recalled)
            largest = colors.amax(-1, keepdim=True)
            features = [
                self.statistics[0](colors),
                self.inside(torch.cat([original, colors, inputs.inside[..., 3:], largest], -1), recalled),
                *outside,
                self.statistics[2](beyond[:, :, 0] - edge[:, :, 0]),
                self.rows(torch.cat([within.flatten(2), edge.flatten(2), beyond.flatten(2), rest], -1), recalled),
            ]
            with _without_autocast(original):
                code = self.decide(torch.cat(features, 1))
                recalled = code if self.config.recall else None
                change = self.last(code)
                values = change if values is None else values + change
                affine, curves = _split_maps(values)
                maps.append(ColorMaps(affine + identity, curves))
        return maps

    def like(self, other: Expert) -> dict[str, Tensor]:
        """Returns weights that reproduce another expert, with or without `heads`, `recall` and `nearness`.

        Added inputs have no influence at first: their weights are zeros.
        """
        state, before, now = dict(other.state_dict()), other.config, self.config
        if now.nearness and not before.nearness:
            first = state["outside.layers.0.weight"]
            # Between the colours of pixel and cell, and the position.
            state["outside.layers.0.weight"] = torch.cat(
                [first[:, :6], first.new_zeros(len(first), len(_WINDOW_RADII)), first[:, 6:]], 1
            )
        if now.heads and not before.heads:
            width = self.rows.size - before.point_width
            columns = state["decide.1.weight"].split([Statistics.size, width] * 3, 1)
            pooled = [functional.pad(block, (0, self.rows.size - width)) for block in columns[1::2]]
            state["decide.1.weight"] = torch.cat([x for pair in zip(columns[::2], pooled) for x in pair], 1)
        for key, value in self.state_dict().items():
            if key not in state:
                state[key] = torch.zeros_like(value) if "recall" in key else value
        return state


class ColorGrid(Model):
    """Predicts a colour map from a composite, and applies it.

    Shape:
        composite [N, 3, H, W] in [0, 1], mask [N, 1, H, W] in [0, 1], sides of at least `view`, to the harmonised
        image [N, 3, H, W] in [0, 1], the composite outside the mask.
    """

    name = "colorgrid"
    low = 0.0

    def __init__(self, config: ColorGridConfig) -> None:
        super().__init__(config, size=config.size)
        out, answers = 12 + 9 * config.knots, _SHARED * config.experts + len(_MOVES)
        self.experts = nn.ModuleList(Expert(config) for _ in range(config.experts))
        self.judge = Judge(answers, config.judge, config.heads, config.dropout) if config.judge else None
        hints = [Compared(config.hints, out, config.dropout) if config.hints else None for _ in range(2)]
        self.by_source, self.by_reference = hints

    def _state_from(self, other: Model) -> dict[str, Any]:
        """Returns the weights of a network with as many experts or fewer; the last one's prediction is unchanged.

        Further experts are initialised as copies of the last one and share its weights in the judge, see `Judge.like`.
        """
        state, own = dict(other.state_dict()), self.state_dict()
        theirs = list(cast(ColorGrid, other).experts)
        for i, expert in enumerate(self.experts):
            like = cast(Expert, expert).like(cast(Expert, theirs[min(i, len(theirs) - 1)]))
            state |= {f"experts.{i}.{key}": value for key, value in like.items()}
        judge, before = self.judge, cast(ColorGrid, other).judge
        further = len(theirs) < len(self.experts)
        if further and judge is not None and before is not None and judge.widths == before.widths:
            first = 0 if len(theirs) == 1 else before.answers - _SHARED
            state |= {f"judge.{key}": value for key, value in judge.like(before, first).items()}
        for key in state.keys() - own.keys():
            raise WeightsError(f"start: weights with {key}, which the model does not have")
        state = own | state
        for key, value in state.items():
            if value.shape != own[key].shape:
                raise WeightsError(f"start: {key} {list(value.shape)}, expected {list(own[key].shape)}")
        return state

    def stage_maps(self, composite: Tensor, mask: Tensor) -> list[ColorMaps]:
        """Returns the last expert's maps after each stage, for the mask; see the class for the arguments."""
        return self.experts[-1](self._inputs(*self._view(composite, mask)))

    def judge_inputs(self, composite: Tensor, mask: Tensor) -> tuple[ColorMaps, Tensor, Tensor, Tensor, Tensor]:
        """Returns the maps of all predictions, see `Answers`, and the arguments of `Judge.forward`."""
        small, inside = self._view(composite, mask)
        views = [(small, inside), (small.flip(-1), inside.flip(-1)), *((small, grow_mask(inside, by)) for by in _MOVES)]
        inputs = [self._inputs(*view) for view in views]
        expert_inputs = [inputs] + [inputs[:_SHARED]] * (len(self.experts) - 1)
        # One after another: all at once would exceed the caches of a CPU.
        maps = [expert(view)[-1] for expert, every in zip(self.experts, expert_inputs, strict=True) for view in every]
        counts = self.config.seen
        place = _weighted_indices(_pure_weight(inside).flatten(1), counts[0], False)
        original = _gather(small, place)
        with _without_autocast(original):
            hats = maps[0].hats(original)
            mapped = torch.stack([each.apply(original, hats) for each in maps], 1)
        across = _sample_across(small, *_contour(inside, counts[2], False)[:2], _CONTOUR_DISTANCES)
        all_maps = ColorMaps(*(torch.stack(parts, 1) for parts in zip(*maps)))
        return all_maps, across, original, mapped, inside.mean((1, 2, 3))

    def answers(self, composite: Tensor, mask: Tensor) -> Answers:
        """Returns the experts' predictions and the judge's weights; see the class for the arguments."""
        if self.judge is None:
            raise ArgumentError("judge: 0 in the model's config, expected a model with a judge")
        maps, *facts = self.judge_inputs(composite, mask)
        return Answers(maps, self.judge(*facts))

    def maps(self, composite: Tensor, mask: Tensor) -> ColorMaps:
        """Returns the colour map of each composite; see the class for the arguments."""
        if self.judge is None:
            return self.stage_maps(composite, mask)[-1]
        return self.answers(composite, mask).together()

    def hint_change(
        self,
        original: Tensor,
        mapped: Tensor,
        background: Tensor,
        source: Tensor | None = None,
        reference: Tensor | None = None,
    ) -> ColorMaps:
        """Returns the correction by hints, to be added to a map, as affine [N, 3, 4] and curves [N, 3, 3, K].

        Args:
            original, mapped: colours [N, P, 3] of the object, before and after the map.
            background: colours [N, Q, 3] around the object.
            source: colours [N, R, 3] of the scene that the object comes from, without the object; None: unknown.
            reference: colours [N, S, 3] of a reference for the object's light; None: unknown.
        """
        if self.by_source is None or self.by_reference is None:
            raise ArgumentError("hints: 0 in the model's config, expected a model with layers for hints")
        values, colors = original.new_zeros(len(original), 12 + 9 * self.config.knots), mapped
        if source is not None:
            values = values + self.by_source(source, background, original, mapped)
            colors = mapped + _split_maps(values).apply(original)
        if reference is not None:
            values = values + self.by_reference(colors, reference, original, colors)
        return _split_maps(values)

    def _view(self, composite: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Returns image and mask reduced to the size that the network processes."""
        checks.check_image(composite, "composite", 3)
        checks.check_mask(mask, composite)
        view = self.config.view
        checks.check_smallest(composite, "composite", view)
        inside = mask.to(composite.dtype)
        if tuple(composite.shape[2:]) == (view, view):
            return composite, inside
        return functional.adaptive_avg_pool2d(composite, view), functional.adaptive_avg_pool2d(inside, view)

    def _inputs(self, image: Tensor, mask: Tensor) -> _Inputs:
        counts = self.config.drawn if self.training else self.config.seen
        cells, objects = (functional.avg_pool2d(x, x.shape[2] // _CELLS) for x in (image, mask))
        surroundings = cells
        if self.config.nearness:
            near = [functional.avg_pool2d(objects, 2 * n + 1, 1, n, count_include_pad=False) for n in _WINDOW_RADII]
            surroundings = torch.cat([cells, *near], 1)
        inside, outside = (
            self._pixels(image, around, _pure_weight(weight).flatten(1), count)
            for around, weight, count in zip((cells, surroundings), (mask, 1 - mask), counts)
        )
        return _Inputs(inside, outside, self._rows(image, mask, counts[2]))

    def _pixels(self, image: Tensor, cells: Tensor, weight: Tensor, count: int) -> Tensor:
        """Returns pixels of a region with their surrounding cells, see `_Inputs`."""
        side = image.shape[2]
        places = _weighted_indices(weight, count, self.training)
        y, x = places // side, places % side
        cell = (y * _CELLS // side) * _CELLS + x * _CELLS // side
        colors, around = (_gather(values, index) for values, index in ((image, places), (cells, cell)))
        return torch.cat([colors, around, torch.stack([x, y], -1).to(image.dtype) / (side - 1)], -1)

    def _rows(self, image: Tensor, mask: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the rows of `_Inputs`."""
        place, normal, slope = _contour(mask, count, self.training)
        reach, steps = self.config.reach, len(self.config.reach)
        values = _sample_across(torch.cat([image, mask], 1), place, normal, (0.0, *reach, *(-r for r in reach)))
        colors, masks = values[..., :3], values[..., 3]
        # The slope of a straight, blurred border is at most about 0.2.
        rest = [colors[:, :, 0], masks[:, :, 1:], place / (image.shape[2] - 1), (slope * 5)[..., None]]
        return colors[:, :, 1 : 1 + steps], colors[:, :, 1 + steps :], torch.cat(rest, -1).clamp(0, 1)

    def forward(self, composite: Tensor, mask: Tensor) -> Tensor:
        """Returns the harmonised image, see the class."""
        maps = self.maps(composite, mask)
        n, _, h, w = composite.shape
        with _without_autocast(composite):
            output = maps.apply(composite.flatten(2).mT).clamp(0, 1).mT.reshape(n, 3, h, w)
        return composite + mask.to(composite.dtype) * (output - composite)


def _without_autocast(x: Tensor) -> contextlib.AbstractContextManager[Any]:
    """Disables autocast, if it is on: bfloat16 is precise enough for `Points`, but not for colours."""
    if x.is_meta or not torch.is_autocast_enabled(x.device.type):
        return contextlib.nullcontext()
    return torch.autocast(x.device.type, enabled=False)


def _split_maps(values: Tensor) -> ColorMaps:
    """Splits values [N, 12 + 9 K] into affine and curves."""
    return ColorMaps(values[:, :12].reshape(-1, 3, 4), values[:, 12:].reshape(len(values), 3, 3, -1))


def grow_mask(mask: Tensor, by: int) -> Tensor:
    """Returns masks [N, 1, H, W] dilated by so many pixels, or eroded if below 0, with nearly round steps.

    A mask that would leave too few pixels inside or outside is returned unchanged.
    """
    wider = mask if by > 0 else 1 - mask
    for step in range(abs(by)):
        padded = functional.pad(wider, (1, 1, 1, 1), mode="replicate")
        rows, columns = (_largest(padded, axis) for axis in (2, 3))
        wider = _largest(rows, 3) if step % 2 == 0 else torch.maximum(rows[..., 1:-1], columns[:, :, 1:-1])
    result = wider if by > 0 else 1 - wider
    area = torch.minimum(result.sum((1, 2, 3)), (1 - result).sum((1, 2, 3)))
    return torch.where((area < _MIN_REGION_PIXELS)[:, None, None, None], mask, result)


def _largest(x: Tensor, axis: int) -> Tensor:
    """Returns the maximum of each three neighbours along an axis of x, which gets shorter by two."""
    count = x.shape[axis] - 2
    return torch.maximum(torch.maximum(x.narrow(axis, 0, count), x.narrow(axis, 1, count)), x.narrow(axis, 2, count))


def _contour(mask: Tensor, count: int, at_random: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Samples pixels along the contour of the blurred mask, more where it is steeper.

    Returns positions [N, P, 2] as (x, y), directions towards the inside [N, P, 2] and slopes [N, P].
    """
    side = mask.shape[2]
    with _without_autocast(mask):
        blur = _box_blur(side, max(1, round(side * 3 / 256)), mask.device).to(mask.dtype)
        blurred = blur @ mask @ blur.mT
    padded = functional.pad(blurred, (1, 1, 1, 1), mode="replicate")
    across = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    steep = (across.square() + down.square()).sqrt()
    index = _weighted_indices((steep * steep * steep).flatten(1), count, at_random)
    slope, normal_x, normal_y = (x.flatten(1).gather(1, index) for x in (steep, across, down))
    normal = torch.stack([normal_x, normal_y], -1) / slope.clamp_min(1e-4)[..., None]
    return torch.stack([index % side, index // side], -1).to(mask.dtype), normal, slope


def _sample_across(planes: Tensor, place: Tensor, normal: Tensor, reach: Sequence[float]) -> Tensor:
    """Samples planes [N, C, H, W] at distances from positions along normals, [N, P, R, C]."""
    distances = _blocks.constants(reach, place)
    points = place[:, :, None] + distances[:, None] * normal[:, :, None]
    values = functional.grid_sample(
        planes, (points + 0.5) / planes.shape[2] * 2 - 1, padding_mode="border", align_corners=False
    )
    return values.permute(0, 2, 3, 1)


def _box_blur(side: int, radius: int, device: torch.device) -> Tensor:
    """Returns [side, side]: two successive means over the existing pixels at most radius away."""
    at = torch.arange(side, device=device)
    near = ((at[:, None] - at).abs() <= radius).float()
    mean = near / near.sum(1, keepdim=True)
    return mean @ mean


def _pure_weight(weight: Tensor) -> Tensor:
    """Lowers the weights of pixels that are mostly of the other region, so that they count only without others."""
    return weight * (weight >= 0.5) + 1e-4 * weight


def _weighted_indices(weight: Tensor, count: int, at_random: bool) -> Tensor:
    """Samples indices [N, count] by weight [N, P], randomly or evenly spread; arbitrary ones if all weights are 0."""
    weight = weight + 1e-9
    if at_random:
        return torch.multinomial(weight, count, replacement=True)
    summed = weight.cumsum(1, dtype=torch.float64)
    steps = (torch.arange(count, device=weight.device, dtype=summed.dtype) + 0.5) / count
    # ONNX has no operator for torch's search, which is twenty times as fast.
    search = _first_not_below if torch.compiler.is_compiling() else torch.searchsorted
    return search(summed, steps * summed[:, -1:]).clamp_max(weight.shape[1] - 1)


def _first_not_below(x: Tensor, values: Tensor) -> Tensor:
    """Returns the index of the first element of x [N, P] not below each of evenly spaced values [N, K].

    Both are ascending, and the last element of x is half a step above the last value. Equals `torch.searchsorted`.
    """
    count = values.shape[1]
    # The number of values up to each element, by division, made exact by comparing two neighbours.
    below = (x / x[:, -1:] * count + 0.5).long().clamp(0, count)
    below = below - ((below > 0) & (values.gather(1, (below - 1).clamp_min(0)) > x)).long()
    below = below + ((below < count) & (values.gather(1, below.clamp_max(count - 1)) <= x)).long()
    having = torch.zeros_like(values[:, :1]).long().expand(-1, count + 1).scatter_add(1, below, torch.ones_like(below))
    return having.cumsum(1)[:, :-1]


def _gather(planes: Tensor, index: Tensor) -> Tensor:
    """Gathers the values of planes [N, C, H, W] at index [N, P], as [N, P, C]."""
    return planes.flatten(2).gather(2, index[:, None].expand(-1, planes.shape[1], -1)).mT


register(
    ColorGrid,
    ColorGridConfig,
    task="harmonize",
    summary="a map of colours for any size, from pixels of object, background and contour",
    source="our own network, after Qi et al., CVPR 2017, and Guerreiro et al., CVPR 2023",
    presets={
        "small": {
            "view": 32, "size": 32, "point_width": 16, "hidden": 64, "reach": (1.0, 2.0, 4.0),
            "seen": (256, 384, 256),
        }
    },
)  # fmt: skip
