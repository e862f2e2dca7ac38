"""The network of clicks, `pyharmony.networks.models.clicks`, in NumPy, so that segmentation does not need torch.

Every function here computes the same as its counterpart in the torch module in evaluation mode; the tests compare them.
Images have their channels last, and batch norms are folded into the convolutions before them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .._arrays import Float32
from .._header import arrays_of, damage
from .._images.region import bounding_box
from ..errors import WeightsError
from ..ops.convolution import convolution, enlarged, linear, product
from ..ops.layers import Conv, conv_of, folded, layer_norm, shipped
from ._edges import between

#: The number of masks for a prompt, as in `pyharmony.networks.models.clicks`.
MASKS = 3
#: The value inside a box that is passed as the mask of a prompt, as in `pyharmony.networks.models.clicks`.
BOXED = 0.5
#: The standard deviations of the bumps around clicks, in sides of the image, as in `pyharmony.networks.models.clicks`.
_REACHES = (0.012, 0.12)
#: The standard deviation of the weights for the colour at a click, in sides of the image, as there.
_SAMPLED = 0.008
#: The numbers of the blocks of EfficientNet-Lite0 whose outputs are the features.
_LEVELS = (0, 2, 4, 10, 11)
#: The strides of the blocks of EfficientNet-Lite0 by their numbers; those of all others are 1.
_STRIDES = {1: 2, 3: 2, 5: 2, 11: 2}
#: The number of levels by which heads are detected.
_HEAD_LEVELS = 4


class Cut(NamedTuple):
    """The masks for a prompt: logits [3, H, W], scores [3] and people [H, W], see the model's `Cut`."""

    logits: Float32
    scores: Float32
    people: Float32


class Crowd(NamedTuple):
    """The logits of the people map [H, W], and the planes [H / 4, W / 4, 9] of the head detector, or None.

    The planes are those of the model's method `heads`.
    """

    people: Float32
    heads: Float32 | None


class Inverted(NamedTuple):
    """An inverted residual block of EfficientNet-Lite0: a depthwise convolution between two of 1 x 1."""

    wide: Conv | None
    each: Conv
    stride: int
    narrow: Conv


class Network(NamedTuple):
    """The network of a file, ready to run."""

    size: int  # the side of the input image
    #: For each level the first convolution, of stride 2, and the pairs of its blocks.
    levels: tuple[tuple[Conv, tuple[tuple[Conv, Conv], ...]], ...]
    attention: tuple[Mapping[str, Float32], ...]  # the tensors of each layer of attention, by name
    heads: int  # the heads of the attention
    #: For each level on the way up, finest first, the convolution from the coarser one, and a pair.
    ups: tuple[tuple[Conv, tuple[Conv, Conv]], ...]
    tensors: Mapping[str, Float32]  # all others by name
    #: stem, backbone: the first convolution and the blocks of the feature network; None and empty without one.
    stem: Conv | None = None
    backbone: tuple[Inverted, ...] = ()
    beside: tuple[Conv, ...] = ()  # for each level the convolution of its features
    #: For each level by which heads are detected, coarsest first, its convolution and a pair; empty if the network does
    #: not detect heads.
    finder: tuple[tuple[Conv, tuple[Conv, Conv]], ...] = ()
    edges: bool = False  # whether the edges of the image are another input
    scene: bool = False  # whether there is a part that estimates whether people could stand in a scene

    def feature_terms(self, image: Float32) -> list[Float32]:
        """Returns the terms that the features of an image [S, S, 3] in [0, 1] add to each level; empty without them."""
        if self.stem is None:
            return []
        return [convolution(x, *beside) for x, beside in zip(self.features(image), self.beside, strict=True)]

    def features(self, image: Float32) -> list[Float32]:
        """Returns the features of an image [S, S, 3] in [0, 1], finest first."""
        assert self.stem is not None  # noqa: S101  # the callers have checked it
        # TensorFlow adds the odd zero of an uneven padding at the end.
        x = convolution(image * 2 - 1, *self.stem, stride=2, before=0, slope=0, high=6)
        features: list[Float32] = []
        for i, block in enumerate(self.backbone):
            x = inverted(x, block)
            if i in _LEVELS:
                features.append(x)
        return features

    def standable(self, image: Float32) -> float:
        """Returns the likelihood that people could stand in the scene of an image [S, S, 3] in [0, 1], 0 to 1."""
        mean = self.features(image)[-1].mean((0, 1))
        return float(sigmoid(_linear(mean[None], self.tensors, "scene"))[0, 0])

    def cut(self, image: Float32, prompt: Float32, features: Sequence[Float32] | None = None) -> Cut:
        """Returns the masks of an image [S, S, 3] in [0, 1] for a prompt [S, S, 7].

        features: the result of `feature_terms` for the image; None: it is computed here.
        """
        _, x, felt, small = self._levels(image, prompt, self.feature_terms(image) if features is None else features)
        large = np.ascontiguousarray(np.moveaxis(enlarged(small), 2, 0))
        scores = self._scores(small[..., :MASKS], felt, x.reshape(-1, x.shape[2]).mean(0))
        _check_finite(large, scores)
        return Cut(large[:MASKS], scores, large[MASKS])

    def crowd(self, image: Float32, features: Sequence[Float32] | None = None) -> Crowd:
        """Returns the logits of people and heads in an image [S, S, 3] in [0, 1], without prompts.

        features: as in `cut`.
        """
        prompt = prompt_of(image, (), ())
        terms = self.feature_terms(image) if features is None else features
        levels, coarsest, felt, small = self._levels(image, prompt, terms)
        people = np.ascontiguousarray(enlarged(small)[..., MASKS])
        _check_finite(people)
        if not self.finder:
            return Crowd(people, None)
        every = levels[3], levels[2], np.concatenate([levels[1], felt], 2)
        beside, pair = self.finder[0]
        x = _block(convolution(coarsest, *beside, slope=0), pair)
        for (beside, pair), level in zip(self.finder[1:], every, strict=True):
            x = _block(convolution(level, *beside, added=enlarged(x), slope=0), pair)
        planes = convolution(x, self.tensors["finder.planes.weight"], self.tensors["finder.planes.bias"])
        _check_finite(planes)
        return Crowd(people, planes)

    def _levels(
        self, image: Float32, prompt: Float32, features: Sequence[Float32]
    ) -> tuple[list[Float32], Float32, Float32, Float32]:
        """Computes `Clicks._levels`, without the mean of the coarsest level, with channels last."""
        edges = [edges_of(image)] if self.edges else []
        x = np.concatenate([image * 2 - 1, prompt, *edges], 2)
        levels = []
        for i, (down, blocks) in enumerate(self.levels):
            x = convolution(x, *down, stride=2, added=features[i] if features else None, slope=0)
            for block in blocks:
                x = _block(x, block)
            levels.append(x)
        height, width, channels = x.shape
        y = x.reshape(-1, channels)
        if self.attention:
            y = y + self._places(height, width)
        for layer in self.attention:
            y = _attention_block(y, layer, self.heads)
        x = coarsest = y.reshape(height, width, channels)
        for i in range(3, -1, -1):
            up, block = self.ups[i]
            x = _block(enlarged(convolution(x, *up), levels[i]), block)
            if i == 1:
                felt = x
        return levels, coarsest, felt, convolution(x, self.tensors["masks.weight"], self.tensors["masks.bias"])

    def _places(self, height: int, width: int) -> Float32:
        """Returns the position embedding of the coarsest level, [height * width, C]."""
        side = self.size // 32
        embedding: Float32 = self.tensors["place"][0]
        if (height, width) == (side, side):
            return embedding
        planes = np.moveaxis(embedding.reshape(side, side, -1), 2, 0)
        planes = between(planes, (width, height), (0.0, 0.0, float(side), float(side)))
        return np.ascontiguousarray(np.moveaxis(planes, 0, 2).reshape(height * width, -1))

    def _scores(self, logits: Float32, felt: Float32, whole: Float32) -> Float32:
        """Computes `Clicks._scores` of masks [h, w, 3]."""
        inside = sigmoid(logits)
        height, width, _ = felt.shape
        inside = inside.reshape(height, 2, width, 2, MASKS).mean((1, 3)).reshape(-1, MASKS)
        flat = felt.reshape(len(inside), -1)
        pooled = [product(part.T, flat) / np.maximum(part.sum(0), 1e-3)[:, None] for part in (inside, 1 - inside)]
        pooled.append(np.broadcast_to(whole, (MASKS, len(whole))))
        hidden = _linear(np.concatenate(pooled, 1), self.tensors, "hidden", slope=0)
        return sigmoid(_linear(hidden, self.tensors, "score")[:, 0])


def network(name: str) -> Network:
    """Returns the network of weights that come with pyharmony."""
    return shipped(name, parsed)


def parsed(data: bytes, path: str) -> Network:
    """Returns the network in the bytes of a safetensors file."""
    header, state = arrays_of(data, path, "clicks")
    with damage(path):
        return _assembled(header.config, state)


def _assembled(config: Mapping[str, Any], state: dict[str, Float32]) -> Network:
    levels = []
    for i, depth in enumerate(config["depths"]):
        blocks = tuple(_pair(state, f"blocks.{i}.{k}") for k in range(depth))
        levels.append((_folded(state, f"down.{i}.conv", f"down.{i}.norm"), blocks))
    ups = tuple((_folded(state, f"up.{i}.conv", f"up.{i}.norm"), _pair(state, f"over.{i}")) for i in range(4))
    attention = tuple(
        {key.removeprefix(f"looks.{i}."): _upright(x) for key, x in state.items() if key.startswith(f"looks.{i}.")}
        for i in range(config["looks"])
    )
    tensors = {key: _upright(state[key]) for key in ("hidden.weight", "hidden.bias", "score.weight", "score.bias")}
    tensors["place"] = state["place"]
    tensors["masks.weight"], tensors["masks.bias"] = conv_of(state, "masks")
    finder: list[tuple[Conv, tuple[Conv, Conv]]] = []
    if config.get("finder"):
        tensors["finder.planes.weight"], tensors["finder.planes.bias"] = conv_of(state, "finder.planes")
        finder += [
            (_folded(state, f"finder.beside.{i}.conv", f"finder.beside.{i}.norm"), _pair(state, f"finder.blocks.{i}"))
            for i in range(_HEAD_LEVELS)
        ]
    edges, scene = bool(config.get("edges")), bool(config.get("scene"))
    if scene:
        tensors |= {key: _upright(state[key]) for key in ("scene.weight", "scene.bias")}
    network = Network(
        config["size"], tuple(levels), attention, config["heads"], ups, tensors, finder=tuple(finder), edges=edges,
        scene=scene,
    )  # fmt: skip
    if not config.get("features"):
        return network
    backbone: list[Inverted] = []
    while (name := f"known.blocks.{len(backbone)}") + ".each.weight" in state:
        backbone.append(inverted_of(state, name, _STRIDES.get(len(backbone), 1)))
    beside = tuple(_folded(state, f"beside.{i}.conv", f"beside.{i}.norm") for i in range(len(levels)))
    return network._replace(stem=conv_of(state, "known.stem"), backbone=tuple(backbone), beside=beside)


def _check_finite(*arrays: Float32) -> None:
    """Raises WeightsError if an output of the network has NaN or infinities."""
    if not all(np.isfinite(x).all() for x in arrays):
        raise WeightsError("the network of clicks gives NaN or infinities; its weights are damaged")


def _pair(state: Mapping[str, Float32], name: str) -> tuple[Conv, Conv]:
    first, second = (_folded(state, f"{name}.convs.{k}", f"{name}.norms.{k}") for k in range(2))
    return first, second


def _folded(state: Mapping[str, Float32], conv: str, norm: str) -> Conv:
    """Returns a convolution without a bias, with the batch norm after it folded in."""
    return folded(conv_of(state, conv, bias=False), state, norm)


def _upright(tensor: Float32) -> Float32:
    """Returns a weight [O, C] of a linear layer as [C, O], and other arrays unchanged."""
    return np.ascontiguousarray(tensor.T) if tensor.ndim == 2 else tensor


def inverted_of(state: Mapping[str, Float32], name: str, stride: int = 1) -> Inverted:
    """Returns a block of EfficientNet-Lite0 by the name of its tensors."""
    wide = conv_of(state, f"{name}.wide") if f"{name}.wide.weight" in state else None
    weight = np.ascontiguousarray(state[f"{name}.each.weight"][:, 0].transpose(1, 2, 0))
    return Inverted(wide, Conv(weight, state[f"{name}.each.bias"]), stride, conv_of(state, f"{name}.narrow"))


def inverted(x: Float32, block: Inverted) -> Float32:
    """Computes a block of EfficientNet-Lite0 of [H, W, C]."""
    y = x if block.wide is None else convolution(x, *block.wide, slope=0, high=6)
    before = (len(block.each.weight) - block.stride) // 2
    y = convolution(y, *block.each, stride=block.stride, before=before, slope=0, high=6)
    same = block.stride == 1 and x.shape[2] == len(block.narrow.bias)
    return convolution(y, *block.narrow, added=x if same else None)


def edges_of(image: Float32) -> Float32:
    """Returns the edges [H, W, 1] of an image [H, W, 3], like the model's function of this name."""
    framed = np.pad(image, ((1, 1), (1, 1), (0, 0)), "edge")
    across, down = framed[1:-1, 2:] - framed[1:-1, :-2], framed[2:, 1:-1] - framed[:-2, 1:-1]
    edges: Float32 = np.sqrt((across * across + down * down).max(2, keepdims=True))
    return edges


def _block(x: Float32, pair: tuple[Conv, Conv]) -> Float32:
    return convolution(convolution(x, *pair[0], slope=0), *pair[1], added=x, slope=0)


def _attention_block(x: Float32, state: Mapping[str, Float32], heads: int) -> Float32:
    """Computes a block of self-attention of [P, C]."""
    places, width = x.shape
    projections = _linear(layer_norm(x, state, "norms.0"), state, "asked").reshape(places, 3, heads, -1)
    query, key, value = (projections[:, i].swapaxes(0, 1) for i in range(3))
    scores = np.stack([product(q, k.T) for q, k in zip(query, key, strict=True)])
    scores /= np.float32((width // heads) ** 0.5)
    weights = np.exp(scores - scores.max(2, keepdims=True))
    weights /= weights.sum(2, keepdims=True)
    answers = np.stack([product(w, v) for w, v in zip(weights, value, strict=True)], 1)
    x = x + _linear(answers.reshape(places, width), state, "answered")
    wide = _linear(layer_norm(x, state, "norms.1"), state, "wide", slope=0)
    return x + _linear(wide, state, "narrow")


def _linear(x: Float32, state: Mapping[str, Float32], name: str, slope: float = 1.0) -> Float32:
    return linear(x, state[f"{name}.weight"], state[f"{name}.bias"], slope=slope)


def sigmoid(x: Float32) -> Float32:
    """Returns 1 / (1 + exp(-x))."""
    # exp overflows to infinity if x is far below 0, and the quotient is the correct 0.
    with np.errstate(over="ignore"):
        result: Float32 = np.float32(1) / (np.float32(1) + np.exp(-x))
    return result


def prompt_of(
    image: Float32, points: Sequence[tuple[float, float]], labels: Sequence[int], last: Any = None
) -> Float32:
    """Returns a prompt [H, W, 7] for an image [H, W, 3], like the model's function of this name."""
    height, width, _ = image.shape
    x, y = (np.arange(side, dtype=np.float32) for side in (width, height))
    planes: list[Any] = []

    def bump(px: float, py: float, reach: float) -> Float32:
        """Returns exp(-d² / 2r²) for the distance d from a place and the reach r, both in sides of the image."""
        scale = np.float32(-1 / (2 * reach**2 * height * width))
        down, across = (np.exp(scale * np.square(at - np.float32(p))) for at, p in ((y, py), (x, px)))
        return down[:, None] * across

    for sign in (1, 0):
        near = [np.zeros((height, width), np.float32) for _ in _REACHES]
        apart = np.ones((height, width), np.float32)
        for (px, py), label in zip(points, labels, strict=True):
            if label == sign:
                for plane, reach in zip(near, _REACHES, strict=True):
                    np.maximum(plane, bump(px, py, reach), out=plane)
                weights = bump(px, py, _SAMPLED)
                weights /= weights.sum()
                color = _weighted_sum(weights, image)
                off = np.square(image - color) @ np.full(3, 1 / 3, np.float32)
                np.minimum(apart, np.sqrt(off, out=off), out=apart)
        planes += [*near, apart]
    planes.append(np.zeros((height, width), np.float32) if last is None else last)
    return np.stack(planes, 2).astype(np.float32, copy=False)


def _weighted_sum(weights: Float32, image: Float32) -> Float32:
    """Returns the sum over the pixels of an image [H, W, 3], weighted by weights [H, W], of which few are above zero.

    Pairs of columns are added first, then these sums in their order, as the library of NumPy's products does; its
    threads would busy-wait for the next product.
    """
    box = bounding_box(weights > 0)
    part = slice(box.y0, box.y1), slice(box.x0 // 2 * 2, (box.x1 + 1) // 2 * 2)
    weighted = weights[part][..., None] * image[part]
    pairs, odd = weighted[:, ::2], weighted[:, 1::2]
    pairs[:, : odd.shape[1]] += odd
    total: Float32 = pairs.reshape(-1, 3).cumsum(0)[-1]
    return total
