"""Networks as methods: they run at their own size, and their change is converted to a colour map.

Other rooms that run networks of harmonisation import `answer_of`, `Care`, `scene` and `mean_change` from here.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import _checks, _device, _shipped
from .._arrays import Float32
from .._header import named
from ..errors import ArgumentError, WeightsError
from ..networks import models
from ..networks.models import Model
from ..networks.models.calls import reporting_single_values, sees_one_at_a_time, with_batch_statistics
from ._fit import fit
from ._guards import Answer
from ._guards import Care as Care
from ._guards import mean_change as mean_change
from ._judged import hardened, judged, judged_maps, looks_of, views_of
from ._maps import ColorMap
from ._scene import Scene
from ._scene import scene_of as scene_of

__all__ = ["Care", "answer_of", "mean_change", "scene_of"]


def network(source: Any, device: str | None, batch_statistics: bool = False) -> Model:
    """Returns a model that harmonises.

    source: a model, which is not moved; or anything that `pyharmony.networks.models.load` accepts.
    device: 'auto', 'cpu' or 'cuda', where a loaded model runs; None: the setting of `pyharmony.set_device`.

    Raises:
        WeightsError: see `pyharmony.networks.models.load`.
        ArgumentError: the model has another task, or has no batch norms and batch_statistics is set.
        DeviceError: device cannot be used, and `pyharmony.set_device` was called with strict=True.
    """
    if isinstance(source, Model):
        model = source
    else:
        device_name = _device.get_device() if device is None else device
        where = "cuda" if device_name != "cpu" and torch.cuda.is_available() else "cpu"
        if where == "cpu" and device_name == "cuda" and _device.resolve(device_name) == "cuda":
            _device.only_on_cpu("this build of torch")
        shipped = next((entry for entry in models.weights() if entry.name == source), None)
        if shipped is not None:
            _shipped.note(shipped)
        path = _checks.path(source if shipped is None else shipped.path, "method", "a method or the path of weights")
        version = None
        if path.is_file():
            state = path.stat()
            version = str(path), state.st_mtime_ns, state.st_size
        with named("method"):
            model = _loaded(os.fspath(source), version, where)
    if model.task != "harmonize":
        able = ", ".join(info.name for info in models.list("harmonize"))
        raise ArgumentError(f"method: {model.name} does not harmonize, expected a model of {able}")
    return with_batch_statistics(model) if batch_statistics else model


@functools.lru_cache(maxsize=2)
def _loaded(source: str, version: Any, device: str) -> Model:
    """Returns the model of a file, which is cached; version identifies the state of the file."""
    return models.load(source).eval().to(device)


def answer_of(model: Model, scene: Scene, care: Care) -> Answer:
    """Returns the result of a network for a scene at the network's own size."""
    hard = hardened(scene)
    if getattr(model, "judge", None) is not None:
        judged_model: Any = model
        every, counts = [], []
        with _evaluating(model), torch.no_grad():
            for look in looks_of(hard):
                answers = judged_model.answers(*_tensors(model, [look]))
                counts.append(_finite(model, answers.weights)[0])
                every += _as_maps(model, type(answers.maps)(*(x[0] for x in answers.maps)))
        weights = np.concatenate(counts) / np.float32(len(counts))
        return judged_maps(hard, every, model.calibration, care, weights)
    maps = _maps_by(model)
    views = views_of(hard, care, gives_maps=maps is not None)
    with _evaluating(model), torch.no_grad(), reporting_single_values(model):
        batches = [[view] for view in views] if sees_one_at_a_time(model) else [views]
        if maps is not None:
            found_maps = [m for batch in batches for m in maps(model, batch)]
            return judged_maps(hard, found_maps, model.calibration, care)
        outputs = [output for batch in batches for output in _outputs(model, batch)]
    here = [output[:, ::-1] if i else output for i, output in enumerate(outputs)]
    color_map, explained = fit(hard, np.mean(here, 0))
    alike = np.full(len(here), 1 / len(here))
    return judged(hard, color_map, here, explained, model.calibration, care, alike)


def _tensors(model: Model, views: list[Scene]) -> tuple[Tensor, Tensor]:
    """Returns the images [N, 3, S, S] in the model's range and the masks [N, 1, S, S]."""
    parameter = next(model.parameters())
    images = torch.from_numpy(np.stack([view.image for view in views])).permute(0, 3, 1, 2)
    masks = torch.from_numpy(np.stack([view.mask for view in views]))[:, None]
    images, masks = (x.contiguous().to(parameter.device, parameter.dtype) for x in (images, masks))
    return images * (1 - model.low) + model.low, masks


def _finite(model: Model, x: Tensor) -> Any:
    if not bool(torch.isfinite(x).all()):
        raise WeightsError(f"method: {model.name} returns NaN or infinities for this image; its weights are damaged")
    return x.float().cpu().numpy()


@contextlib.contextmanager
def _evaluating(model: Model) -> Iterator[None]:
    """Puts the model into evaluation mode; afterwards each part is reset to its own mode."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def _outputs(model: Model, views: list[Scene]) -> list[Float32]:
    """Returns the network's images [S, S, 3], clipped to [0, 1]."""
    images, masks = _tensors(model, views)
    outputs = (model.predict(images, masks) - model.low) / (1 - model.low)
    return list(_finite(model, outputs).clip(0, 1).transpose(0, 2, 3, 1))


def _maps_by(model: Any) -> Callable[[Any, list[Scene]], list[ColorMap]] | None:
    """Returns the function that returns a network's colour maps of views; None for a network that returns images."""
    if hasattr(model, "maps"):
        return _maps
    generator: Any = getattr(model, "generator", None)
    return _cells if getattr(model.config, "residual", False) and hasattr(generator, "maps") else None


def _maps(model: Any, views: list[Scene]) -> list[ColorMap]:
    """Returns the colour maps of a network that returns maps."""
    return _as_maps(model, model.maps(*_tensors(model, views)))


def _as_maps(model: Any, maps: Any) -> list[ColorMap]:
    """Returns the parts of a network's maps of several views as maps."""
    parts = {name: _finite(model, x).astype(np.float64) for name, x in maps._asdict().items() if x is not None}
    count = len(next(iter(parts.values())))
    return [ColorMap(**{name: x[i] for name, x in parts.items()}) for i in range(count)]


def _cells(model: Any, views: list[Scene]) -> list[ColorMap]:
    """Returns the affine map of each pixel by a residual generator, as grids of one level with one cell per pixel."""
    images, masks = _tensors(model, views)
    maps = model.generator.maps
    cells = _finite(model, maps(images, masks) if model.takes_mask else maps(images))
    grids = cells.reshape(len(views), 3, 4, *cells.shape[2:]).transpose(0, 3, 4, 1, 2)[:, :, :, None].astype(np.float64)
    # Converts the unit to [0, 1].
    grids[..., 3] = (grids[..., 3] + model.low * grids[..., :3].sum(-1)) / (1 - model.low)
    return [ColorMap(grid=np.ascontiguousarray(grid)) for grid in grids]
