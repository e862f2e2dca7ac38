"""The default network, `pyharmony.networks.models.colorgrid`, in NumPy, so that harmonisation does not need torch.

Every function here computes the module of the same part in evaluation mode; the tests compare them.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .._arrays import Float32
from .._header import Calibration, arrays_of, damage
from .._images.threads import in_threads
from ..errors import WeightsError
from ..ops.convolution import PointLayers, contour, linear, points, product, recolored, sampled, spread
from ..ops.layers import State, layer_norm, point_layers_of, shipped
from ._guards import Answer, Care
from ._hints import Hints, Source
from ._judged import hardened, judged_maps, looks_of, views_of
from ._maps import ColorMap, image_of, weighted
from ._scene import Scene

#: As in `pyharmony.networks.models.colorgrid`.
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_MOMENTS = 18  # the moments before the quantiles
_CELLS = 16
_WINDOW_RADII = (1, 3)
_RANGE_MARGIN = np.float32(0.2)
_CONTOUR_DISTANCES = tuple(float(x) for x in range(-5, 6))
_SHARED = 2
_FIRST_LAYER_SUFFIX = ".layers.0.weight"  # the name of a tensor that each set of points has
# Weights of the parts of a change with a source, by `benchmarks/unseen.py`: a clean cut-out itself has little evidence.
_MAP_WEIGHT = 0.22  # the weight of the map
_LAYERS_WEIGHT = 0.88  # the weight of the layers for sources
_SCENES_WEIGHT = 0.58  # the weight of the change from the source's scene to the new one


Contour = tuple[Float32, Float32, Float32]


class Settings(NamedTuple):
    """The settings in the header of the weights that inference depends on, see `ColorGridConfig`."""

    view: int
    knots: int
    seen: tuple[int, ...]
    reach: tuple[float, ...]
    stages: int
    heads: int
    recall: bool
    nearness: bool
    experts: int
    judge: int
    hints: int


class Network(NamedTuple):
    """The network of a file, ready to run."""

    settings: Settings
    state: State  # its matrices are transposed, [in, out]
    sets: Mapping[str, PointLayers]  # the layers for sets of points, by name
    calibration: Calibration

    @property
    def size(self) -> int:
        """The side of the scenes for `maps`."""
        return self.settings.view

    @property
    def closer(self) -> bool:
        """Whether it also uses a crop of the object: a judge weights those views."""
        return self.settings.judge > 0

    def maps(self, scenes: Sequence[Scene]) -> list[ColorMap]:
        """Returns the colour map of the last expert for each scene of the network's size."""
        return _maps_of(self, self.settings.experts - 1, _samples_of(self.settings, scenes))

    def answers(self, scene: Scene, care: Care) -> tuple[list[ColorMap], Float32 | None]:
        """Returns the maps of `views_of` a scene with a hard mask, and the judge's weight of each, [V].

        With a judge every expert after the first adds its maps of the scene and of its mirror image; and the
        scene's closer crop, if there is one, adds as many maps as the scene, with half the weight for each.
        """
        if scene.close is not None and self.closer:
            every = in_threads(lambda look: self.answers(look, care), looks_of(scene))
            weights = np.concatenate([np.asarray(counts) / 2 for _, counts in every])
            return [m for maps, _ in every for m in maps], weights
        views = views_of(scene, care, gives_maps=True, judge=bool(self.settings.judge))
        if not self.settings.judge:
            return self.maps(views), None
        line = _contour(scene.mask, self.settings.seen[2])
        samples = _samples_of(self.settings, views, line=line)
        shared = _Samples(*(x[:_SHARED] for x in samples))
        maps = _maps_of(self, 0, samples)
        for expert in range(1, self.settings.experts):
            maps += _maps_of(self, expert, shared)
        return maps, _weights(self, scene, maps, line)

    def answer_of(self, scene: Scene, care: Care) -> Answer:
        """Returns the answer for a scene of the network's size."""
        hard = hardened(scene)
        maps, weights = self.answers(hard, care)
        return judged_maps(hard, maps, self.calibration, care, weights)

    def hinted(self, scene: Scene, maps: Sequence[ColorMap], hints: Hints) -> list[ColorMap]:
        """Returns maps with the change from hints added.

        With a source the weights are `_MAP_WEIGHT` for a map, `_LAYERS_WEIGHT` for the layers for sources, and
        `_SCENES_WEIGHT` for the change from the source's scene to the new one, see `_scene_change`.

        Raises:
            WeightsError: the weights were trained without hints.
        """
        if not self.settings.hints:
            raise WeightsError("source and reference_mask: not supported by these weights of colorgrid")
        counts = self.settings.seen
        at = spread(_sure(scene.mask).reshape(-1), counts[0])
        original = scene.image.reshape(-1, 3)[at][None]
        background = scene.image.reshape(-1, 3)[spread(_sure(1 - scene.mask).reshape(-1), counts[1])][None]
        beside = None if hints.source is None or (scene.mask > 0).all() else _scene_change(self, scene, hints.source)
        results = []
        for color_map in maps:
            mapped = image_of(color_map, scene.image).clip(0, 1).reshape(-1, 3)[at][None]
            change = np.zeros((1, 12 + 9 * self.settings.knots), np.float32)
            colors = mapped
            if hints.source is not None:
                scenes = hints.source.colors[None], background
                layers = _compared(scenes, original, mapped, self.state, "by_source")
                change = change + np.float32(_LAYERS_WEIGHT) * layers
                if beside is not None:
                    change = change + np.float32(_SCENES_WEIGHT) * beside
                color_map = color_map.scaled(_MAP_WEIGHT)
                colors = original + np.float32(_MAP_WEIGHT) * (mapped - original) + recolored(original, *_split(change))
            if hints.reference is not None:
                alike = colors, hints.reference[None]
                change = change + _compared(alike, original, colors, self.state, "by_reference")
            affine, curves = (x[0].astype(np.float64) for x in _split(change))
            results.append(color_map.plus(affine, curves))
        return results


def network(name: str) -> Network:
    """Returns the network of weights that come with pyharmony."""
    missing = f"source and reference_mask: these need the weights {name}, which this pyharmony lacks"
    return shipped(name, parsed, missing)


def parsed(data: bytes, path: str) -> Network:
    """Returns the network in the bytes of a safetensors file."""
    header, state = arrays_of(data, path, "colorgrid")
    config = {"heads": 0, "recall": False, "nearness": False, "experts": 1, "judge": 0, "hints": 0} | header.config
    with damage(path):
        settings = Settings(*(config[name] for name in Settings._fields))
        names = [key.removesuffix(_FIRST_LAYER_SUFFIX) for key in state if key.endswith(_FIRST_LAYER_SUFFIX)]
        sets = {name: point_layers_of(state, name) for name in names}
    matrices = {key: np.ascontiguousarray(x.T) if x.ndim == 2 else x for key, x in state.items()}
    return Network(settings, matrices, sets, header.calibration)


class _Samples(NamedTuple):
    """The values that are sampled from scenes [V], see `_Inputs` of the model; and their moments, [V, 60]."""

    inside: Float32
    outside: Float32
    within: Float32
    beyond: Float32
    rest: Float32
    of_inside: Float32
    of_outside: Float32
    of_step: Float32  # of the step across the contour


def _samples_of(
    settings: Settings, scenes: Sequence[Scene], where: Sequence[Float32] | None = None, line: Contour | None = None
) -> _Samples:
    """Samples scenes.

    where: [S, S] for each, 0 for pixels that belong to neither region, else 1; None: 1.
    line: the contour of the first; None: not computed yet.
    """
    cells: dict[int, Float32] = {}
    parts = []
    for i, (image, mask) in enumerate((scene.image, scene.mask) for scene in scenes):
        if id(image) not in cells:  # moved masks share their image
            cells[id(image)] = _block_means(image, image.shape[0] // _CELLS)
        weights = [_sure(x) if where is None else _sure(x) * where[i] for x in (mask, 1 - mask)]
        around = cells[id(image)]
        if settings.nearness:
            share = _block_means(mask[..., None], image.shape[0] // _CELLS)
            around = np.concatenate([around, *(_window_means(share, n) for n in _WINDOW_RADII)], 2)
        inside = _pixels(image, cells[id(image)], weights[0], settings.seen[0])
        outside = _pixels(image, around, weights[1], settings.seen[1])
        of_scene = _contour(mask, settings.seen[2]) if line is None or i else line
        parts.append((inside, outside, *_rows(image, mask, of_scene, settings.reach)))
    inside, outside, within, beyond, rest = map(np.stack, zip(*parts, strict=True))
    sets = inside[..., :3], outside[..., :3], beyond[:, :, 0] - within[:, :, 0]
    return _Samples(inside, outside, within, beyond, rest, *map(_moments, sets))


def _maps_of(network: Network, expert: int, samples: _Samples) -> list[ColorMap]:
    """Computes `Expert`: the colour map of each scene."""
    settings, state, name = network.settings, network.state, f"experts.{expert}"
    count = len(samples.inside)
    within, beyond = samples.within, samples.beyond
    original, places = samples.inside[..., :3], samples.inside[..., 3:]
    background = np.concatenate([samples.outside, _largest(samples.outside)], -1)
    of_outside = _statistics(samples.of_outside, state, f"{name}.statistics.1")
    identity = np.eye(3, 4, dtype=np.float32)
    values = np.zeros((count, 12 + 9 * settings.knots), np.float32)
    affine = np.broadcast_to(identity, (count, 3, 4))
    curves = np.zeros((count, 3, 3, settings.knots), np.float32)
    recalled: Float32 | None = None
    for stage in range(settings.stages):
        colors, edge = original, within
        of_colors, of_step = samples.of_inside, samples.of_step
        if stage:
            both = np.concatenate([original, within.reshape(count, -1, 3)], 1)
            mapped = recolored(both, affine, curves).clip(-_RANGE_MARGIN, 1 + _RANGE_MARGIN)
            colors, edge = mapped[:, : original.shape[1]], mapped[:, original.shape[1] :].reshape(within.shape)
            of_colors, of_step = _moments(colors), _moments(beyond[:, :, 0] - edge[:, :, 0])
        if not stage or settings.recall:
            set_of_outside = _points(background, network, f"{name}.outside", recalled)
        pixels = np.concatenate([original, colors, places, _largest(colors)], -1)
        rows = [*(x.reshape(*x.shape[:2], -1) for x in (within, edge, beyond)), samples.rest]
        features = [
            _statistics(of_colors, state, f"{name}.statistics.0"),
            _points(pixels, network, f"{name}.inside", recalled),
            of_outside,
            set_of_outside,
            _statistics(of_step, state, f"{name}.statistics.2"),
            _points(np.concatenate(rows, -1), network, f"{name}.rows", recalled),
        ]
        x = np.concatenate(features, -1)
        for layer in ("decide.1", "decide.4"):
            x = _silu(_linear(x, state, f"{name}.{layer}"))
        recalled = x if settings.recall else None
        values = values + _linear(x, state, f"{name}.last")
        affine, curves = _split(values)
        affine = affine + identity
    if not np.isfinite(values).all():
        raise WeightsError("method: colorgrid returns NaN or infinities for this image; its weights are damaged")
    return [ColorMap(affine=a, curves=c) for a, c in zip(affine.astype(float), curves.astype(float), strict=True)]


def _largest(colors: Float32) -> Float32:
    """Returns the largest channel of colours [V, P, 3 or more], [V, P, 1]; three arrays take less time than an axis."""
    largest: Float32 = np.maximum(np.maximum(colors[..., :1], colors[..., 1:2]), colors[..., 2:3])
    return largest


def _split(values: Float32) -> tuple[Float32, Float32]:
    """Splits values [V, 12 + 9 K] into affine [V, 3, 4] and curves [V, 3, 3, K]."""
    return values[:, :12].reshape(-1, 3, 4), values[:, 12:].reshape(len(values), 3, 3, -1)


def _weights(network: Network, scene: Scene, maps: Sequence[ColorMap], line: Contour) -> Float32:
    """Computes `Judge`: the weight of each result for a scene, [V]."""
    settings, state = network.settings, network.state
    image, mask = scene.image, scene.mask
    original = image.reshape(-1, 3)[spread(_sure(mask).reshape(-1), settings.seen[0])]
    parts = [np.stack([getattr(m, name) for m in maps]).astype(np.float32) for name in ("affine", "curves")]
    mapped = recolored(np.broadcast_to(original, (len(maps), *original.shape)), *parts)
    change = mapped.clip(-_RANGE_MARGIN, 1 + _RANGE_MARGIN) - original
    first, second = np.triu_indices(len(maps), 1)
    apart = np.square(change[first] - change[second]).mean((1, 2))
    sizes = [np.square(change).mean((1, 2)), change.var(1).mean(1), apart]
    facts = [change.mean(1).reshape(-1) * 10, *(np.log(x + np.float32(1e-6)) / 2 for x in sizes)]
    facts += [original.mean(0), original.std(0), np.log(mask.mean() + np.float32(1e-6)).reshape(1)]
    across = sampled(image, *line[:2], _CONTOUR_DISTANCES)
    steps = (across[:, 1:] - across[:, :-1]) * 2 + np.float32(0.5)
    rows = np.concatenate([across.reshape(len(across), -1), steps.reshape(len(steps), -1)], 1)
    x = np.concatenate([
        _points(rows[None], network, "judge.rows", None)[0],
        layer_norm(np.concatenate(facts).astype(np.float32), state, "judge.norm"),
    ])  # fmt: skip
    for layer in ("judge.decide.1", "judge.decide.4"):
        x = _silu(_linear(x, state, layer))
    scores = _linear(x, state, "judge.decide.6")
    weights: Float32 = np.exp(scores - scores.max())
    return weights[:-1] / weights.sum() * np.exp(state["judge.boost"])


def _scene_change(network: Network, scene: Scene, source: Source) -> Float32:
    """Returns the change [1, 12 + 9 K] from the scene of a source to that of a composite.

    The last expert, which estimates exposure, gets both next to each other, with the source as if it were a pasted
    object; the result is the mean for the two and for their mirror images. Objects are replaced by the mean
    colour of their scene.
    """
    sides = []
    for image, where in ((scene.image, scene.mask == 0), (source.image, source.where)):
        plain = np.where(where[..., None], image, image[where].mean(0))
        sides.append((plain[:, ::2], where[:, ::2].astype(np.float32)))
    half = np.zeros_like(scene.mask)
    half[:, half.shape[1] // 2 :] = 1
    views, wheres = [], []
    for step in (1, -1):
        image, where = (np.concatenate([side[:, ::step] for side in x], 1) for x in zip(*sides, strict=True))
        views.append(Scene(np.ascontiguousarray(image), half))
        wheres.append(np.asarray(where, np.float32))
    maps = _maps_of(network, network.settings.experts - 1, _samples_of(network.settings, views, wheres))
    mean = weighted(maps, np.full(len(maps), 1 / len(maps)))
    assert mean.affine is not None and mean.curves is not None  # noqa: S101
    change = np.concatenate([(mean.affine - np.eye(3, 4)).reshape(-1), mean.curves.reshape(-1)])
    return change[None].astype(np.float32)


def _compared(alike: tuple[Float32, Float32], original: Float32, mapped: Float32, state: State, name: str) -> Float32:
    """Computes `Compared` of colours [V, P, 3] and [V, Q, 3] that should be similar, and of the object's [V, R, 3]."""
    first, second = alike

    def kind(x: Float32) -> Float32:
        mean = x.mean(1, keepdims=True)
        spread = np.sqrt(x.var(1, keepdims=True) + np.float32(1e-4))
        bright = x.sum(-1, keepdims=True) + np.float32(0.1)
        y = np.concatenate([x * 2, (x - mean) / spread, x / bright * 3], -1)
        return _linear(_silu(_linear(y, state, f"{name}.kind.0")), state, f"{name}.kind.2")

    likeness = _softmax(_products(kind(first), kind(second).swapaxes(1, 2)), 2)
    sets = [first, second, _products(likeness, second) - first, original, mapped - original]
    x = np.concatenate([_moments(each) for each in sets], 1) * 3
    for layer in ("decide.1", "decide.4"):
        x = _silu(_linear(x, state, f"{name}.{layer}"))
    return _linear(x, state, f"{name}.decide.6")


def _linear(x: Float32, state: State, name: str) -> Float32:
    # One large product is faster than one for each view. NumPy's own threads would busy-wait for the next one.
    flat = x.reshape(-1, x.shape[-1])
    return linear(flat, state[f"{name}.weight"], state[f"{name}.bias"]).reshape(*x.shape[:-1], -1)


def _silu(x: Float32) -> Float32:
    # exp overflows to infinity if x is far below 0, and the quotient is correctly 0.
    with np.errstate(over="ignore"):
        below = np.exp(-x)
    below += 1
    out: Float32 = np.divide(x, below, out=below)
    return out


def _softmax(scores: Float32, axis: int) -> Float32:
    weights: Float32 = np.exp(scores - scores.max(axis, keepdims=True))
    weights /= weights.sum(axis, keepdims=True)
    return weights


def _points(elements: Float32, network: Network, name: str, recalled: Float32 | None) -> Float32:
    """Computes `Points` of elements [V, P, C]."""
    added = None if recalled is None else recalled @ network.state[f"{name}.recall.weight"]
    return points(elements, network.sets[name], added)


def _statistics(moments: Float32, state: State, name: str) -> Float32:
    """Computes `Statistics` of moments [V, 60]."""
    parts = moments[:, :_MOMENTS], moments[:, _MOMENTS:]
    return np.concatenate([layer_norm(part, state, f"{name}.norms.{i}") for i, part in enumerate(parts)], -1)


def _moments(colors: Float32) -> Float32:
    """Computes `statistics` of colours [V, P, 3]: moments and quantiles, [V, 60]."""
    r, g, b = np.ascontiguousarray(np.moveaxis(colors, -1, 0))
    x = np.stack([r, g, b, (r + g + b) / 3, r - b, g - (r + b) / 2], 1)
    mean = x.mean(2)
    off = x - mean[..., None]
    square = off * off
    third = (square * off).mean(2)
    moments = [mean, np.sqrt(square.mean(2) + np.float32(1e-6))]
    moments.append(np.sign(third) * (np.abs(third) + np.float32(1e-6)) ** np.float32(1 / 3))
    last = x.shape[2] - 1
    x.sort(2)
    quantiles = x[..., [round(q * last) for q in _QUANTILES]].swapaxes(1, 2)
    return np.concatenate([*moments, quantiles.reshape(len(x), -1)], 1)


def _products(first: Float32, second: Float32) -> Float32:
    """Returns the products of matrices [V, P, C] and [V, C, O], [V, P, O]."""
    return np.stack([product(a, b) for a, b in zip(first, second, strict=True)])


def _block_means(x: Float32, side: int) -> Float32:
    """Returns the means of blocks of side x side pixels of x [H, W, C]."""
    height, width, channels = x.shape
    rows: Float32 = x.reshape(height // side, side, width * channels).sum(1)
    return rows.reshape(height // side, width // side, side, channels).sum(2) / np.float32(side * side)


def _window_means(x: Float32, radius: int) -> Float32:
    """Returns the mean of the existing pixels of x [S, S, 1] at most radius away along each axis."""
    near = _near(x.shape[0], radius)
    return product(product(near, x[..., 0]), near.T)[..., None]


@functools.lru_cache(maxsize=8)
def _near(side: int, radius: int) -> Float32:
    """Returns [side, side], which averages the existing elements at most radius away."""
    at = np.arange(side)
    near = (np.abs(at[:, None] - at) <= radius).astype(np.float32)
    weights: Float32 = near / near.sum(1, keepdims=True)
    return weights


def _sure(weight: Float32) -> Float32:
    return weight * (weight >= 0.5) + np.float32(1e-4) * weight


def _pixels(image: Float32, around: Float32, weight: Float32, count: int) -> Float32:
    """Returns features of pixels [P, C] of one region: colour, surroundings, position."""
    side = image.shape[1]
    indices = spread(weight.reshape(-1), count)
    y, x = indices // side, indices % side
    place = np.stack([x, y], 1).astype(np.float32) / (side - 1)
    cells = (y * _CELLS // side) * around.shape[1] + x * _CELLS // side
    return np.concatenate([_flat(image).take(indices, 0), _flat(around).take(cells, 0), place], 1)


def _flat(image: Float32) -> Float32:
    return image.reshape(-1, image.shape[2])


def _rows(image: Float32, mask: Float32, line: Contour, reach: Sequence[float]) -> tuple[Float32, Float32, Float32]:
    """Returns the rows across the contour, see `_Inputs` of the model."""
    place, normal, slope = line
    distances, steps = (0.0, *reach, *(-r for r in reach)), len(reach)
    colors = sampled(image, place, normal, distances)
    masks = sampled(mask[..., None], place, normal, distances[1:])[..., 0]
    rest = [colors[:, 0], masks, place / (image.shape[0] - 1), slope[:, None] * 5]
    return colors[:, 1 : 1 + steps], colors[:, 1 + steps :], np.concatenate(rest, 1).clip(0, 1)


def _contour(mask: Float32, count: int) -> Contour:
    """Returns positions (x, y) [P, 2] along the contour, inward directions [P, 2] and slopes [P]."""
    side = mask.shape[0]
    return contour(mask, _blur(side), 2 * _radius(side), count)


@functools.lru_cache(maxsize=1)
def _blur(side: int) -> Float32:
    """Returns [side, side], by which a product blurs along one axis."""
    near = _near(side, _radius(side))
    return product(near, near)


def _radius(side: int) -> int:
    """Returns the radius of the two means that blur a mask."""
    return max(1, round(side * 3 / 256))
