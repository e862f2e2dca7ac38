"""Weights and layers of networks that run without torch, with channels-last images. Not public."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np

from .. import _shipped
from .._arrays import Float32
from ..errors import WeightsError
from .convolution import PointLayers

__all__ = ["Conv", "Float32", "State", "conv_of", "folded", "layer_norm", "point_layers_of", "shipped"]

State = Mapping[str, Float32]
"""The tensors of a file by name, in torch's layout."""
Network = TypeVar("Network")

#: The epsilon of torch's norms.
_EPSILON = np.float32(1e-5)
#: The number of networks in the cache; pyharmony bundles fewer.
_CACHED_NETWORKS = 8


class Conv(NamedTuple):
    """A convolution: weight [k, k, C, O], or [k, k, C] if depthwise, and bias [O]."""

    weight: Float32
    bias: Float32


def shipped(name: str, parse: Callable[[bytes, str], Network], missing: str = "") -> Network:
    """Returns the network of bundled weights, and records its use.

    parse: the function from the bytes of the file and its path to the network; its result is cached. missing: the
    message if these weights are not bundled; '': one about a method of that name.
    """
    entry = _shipped.named(name)
    if entry is None:
        if why := _shipped.why_left_out(name):
            raise WeightsError(f"this needs the weights {name}: {why}")
        message = f"method: {name!r} needs weights of that name, which this pyharmony does not contain"
        raise WeightsError(missing or message)
    _shipped.note(entry)
    state = entry.path.stat() if entry.path.is_file() else None
    return _read(parse, entry, None if state is None else (state.st_mtime_ns, state.st_size))


@functools.lru_cache(maxsize=_CACHED_NETWORKS)
def _read(parse: Callable[[bytes, str], Any], entry: _shipped.Weights, version: object) -> Any:
    """Returns the cached network of a file; version identifies a state of the file."""
    return parse(_shipped.read(entry), str(entry.path))


def conv_of(state: State, name: str, *, bias: bool = True) -> Conv:
    """Returns a convolution by the name of its tensors; its bias is 0 if it has none."""
    weight = np.ascontiguousarray(state[f"{name}.weight"].transpose(2, 3, 1, 0))
    return Conv(weight, state[f"{name}.bias"] if bias else np.zeros(weight.shape[3], np.float32))


def folded(conv: Conv, state: State, norm: str) -> Conv:
    """Returns a convolution with the batch norm that follows it folded in."""
    scale = state[f"{norm}.weight"] / np.sqrt(state[f"{norm}.running_var"] + _EPSILON)
    return Conv(conv.weight * scale, (conv.bias - state[f"{norm}.running_mean"]) * scale + state[f"{norm}.bias"])


def point_layers_of(state: State, name: str) -> PointLayers:
    """Returns the layers of `convolution.points` by the names of their tensors, as `colorgrid.Points` has them."""
    linear = [f"{name}.layers.{i}" for i in (0, 2, 4)]
    heads = len(state[f"{name}.scores.bias"]) if f"{name}.scores.bias" in state else 0
    if heads:
        linear.append(f"{name}.scores")
    parts = [x for key in linear for x in (state[f"{key}.weight"].T, state[f"{key}.bias"])]
    norms = [f"{name}.norms.{i}" for i in range(4 if heads else 3)]
    parts += [state[f"{norm}.{part}"] for part in ("weight", "bias") for norm in norms]
    width = len(state[f"{linear[0]}.bias"])
    return PointLayers(np.concatenate([part.reshape(-1) for part in parts]), width, heads)


def layer_norm(x: Float32, state: State, name: str) -> Float32:
    """Returns the layer norm of x [..., C] over its last axis."""
    # Sums take half the time of means.
    count = np.float32(x.shape[-1])
    off: Float32 = x - np.divide(np.add.reduce(x, -1, keepdims=True), count, dtype=np.float32)
    squares: Float32 = np.divide(np.add.reduce(off * off, -1, keepdims=True), count, dtype=np.float32)
    normed: Float32 = off / np.sqrt(squares + _EPSILON)
    return normed * state[f"{name}.weight"] + state[f"{name}.bias"]
