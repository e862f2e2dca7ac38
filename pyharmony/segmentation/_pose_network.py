"""MediaPipe's two pose networks in NumPy: one detects people, the other estimates 33 points and a mask of each.

They are Google's (Bazarevsky et al., "BlazePose: On-device Real-time Body Pose tracking", 2020), under Apache-2.0;
`tools/pose_networks.py` converts them. The file lists a network's operations, which `PoseNetwork` runs on images
[H, W, C] with channels last; convolutions pad with zeros.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import _shipped
from .._arrays import Float32
from .._header import arrays_of, damage
from ..errors import WeightsError
from ..ops.convolution import convolution, enlarged
from ..ops.layers import shipped

#: The name of the weights.
WEIGHTS = "pose"


class Operation(NamedTuple):
    """An operation of a network."""

    #: 'convolution', 'add', 'enlarged' (bilinear, by 2), 'spread' (channels to space, by 2), or 'largest' (2 x 2 max
    #: pooling).
    kind: str
    inputs: tuple[int, ...]  # the numbers of its inputs: 0 is the image, and i the result of the i-th operation
    last: frozenset[int]  # those of the inputs that no later operation uses
    #: The arguments of a convolution by name; for 'add' `slope` and `high`, as for a convolution.
    options: Mapping[str, Any]


class PoseNetwork(NamedTuple):
    """A network, ready to run."""

    side: int  # the side of the input image, in pixels
    operations: tuple[Operation, ...]  # the operations in order
    outputs: Mapping[str, tuple[int, ...]]  # for each output the numbers of the results of which it consists

    def __call__(self, image: Float32) -> dict[str, list[Float32]]:
        """Returns the parts [h, w, C] of each output for an image [S, S, 3]."""
        results: dict[int, Float32] = {0: image}
        for number, operation in enumerate(self.operations, 1):
            results[number] = _result(operation, [results[i] for i in operation.inputs])
            for i in operation.last:
                del results[i]
        outputs = {name: [results[i] for i in parts] for name, parts in self.outputs.items()}
        if not all(np.isfinite(part).all() for parts in outputs.values() for part in parts):
            raise WeightsError("the networks of poses give NaN or infinities; their weights are damaged")
        return outputs


class Networks(NamedTuple):
    """Both networks.

    `detector` takes an image in [-1, 1] and returns `scores`, logits, and `boxes`, twelve numbers for each anchor;
    `landmarks` takes one in [0, 1] and returns `points` [1, 1, 195], five numbers for each of 39, `score`, a logit, and
    `mask` [S, S, 1], logits.
    """

    detector: PoseNetwork
    landmarks: PoseNetwork


def are_there() -> bool:
    """Returns whether this installation has the weights, a file that a minimal installation may omit."""
    return _shipped.is_there(WEIGHTS)


def networks() -> Networks:
    """Returns both networks."""
    return shipped(WEIGHTS, parsed, f"poses need the weights {WEIGHTS!r}, and this pyharmony comes without them")


def parsed(data: bytes, path: str) -> Networks:
    """Returns the networks in the bytes of a safetensors file."""
    header, arrays = arrays_of(data, path, WEIGHTS)
    with damage(path):
        detector, landmarks = (_assembled(header.config[name], arrays, name) for name in Networks._fields)
    return Networks(detector, landmarks)


def _assembled(config: Mapping[str, Any], arrays: Mapping[str, Any], name: str) -> PoseNetwork:
    outputs = {key: tuple(parts) for key, parts in config["outputs"].items()}
    entries: Sequence[Mapping[str, Any]] = config["operations"]
    later = {i for parts in outputs.values() for i in parts}
    operations = []
    for number in range(len(entries), 0, -1):
        options = dict(entries[number - 1])
        kind, inputs = options.pop("kind"), tuple(options.pop("inputs"))
        if kind not in _KINDS or not all(0 <= i < number for i in inputs):
            raise ValueError(f"operation {number}: {kind} of {inputs}")
        if kind == "convolution":
            bias = arrays[f"{name}.{number}.bias"]
            options |= {"weight": _dense(arrays, f"{name}.{number}.weight", len(bias)), "bias": bias}
        operations.append(Operation(kind, inputs, frozenset(inputs) - later, options))
        later |= set(inputs)
    return PoseNetwork(config["side"], tuple(operations[::-1]), outputs)


def _dense(arrays: Mapping[str, Any], key: str, count: int) -> Float32:
    """Returns an array, which the file may store sparsely: as its nonzero values and a bit mask of their positions.

    count: the size of the last axis.
    """
    if f"{key}.bits" not in arrays:
        return arrays[key]
    there = np.unpackbits(arrays[f"{key}.bits"], -1, count=count).astype(bool)
    array = np.zeros(there.shape, np.float32)
    array[there] = arrays[key]
    return array


def _convolved(x: Float32, *addends: Float32, weight: Float32, bias: Float32, **options: Any) -> Float32:
    return convolution(x, weight, bias, added=addends[0] if addends else None, **options)


def _added(x: Float32, y: Float32, slope: float = 1.0, high: float = np.inf) -> Float32:
    both = x + y
    return np.minimum(np.where(both < 0, np.float32(slope) * both, both), np.float32(high))


def _spread(x: Float32) -> Float32:
    """Returns x [h, w, 4 C] as [2 h, 2 w, C]: channels to space, the first C channels at the top left of each block."""
    height, width, channels = x.shape
    blocks = x.reshape(height, width, 2, 2, channels // 4).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(blocks.reshape(2 * height, 2 * width, channels // 4))


def _largest(x: Float32) -> Float32:
    """Returns the maximum of each block of 2 x 2 pixels."""
    height, width, channels = x.shape
    return x.reshape(height // 2, 2, width // 2, 2, channels).max((1, 3))


_KINDS: dict[str, Any] = {
    "convolution": _convolved, "add": _added, "enlarged": enlarged, "spread": _spread, "largest": _largest,
}  # fmt: skip


def _result(operation: Operation, inputs: Sequence[Float32]) -> Float32:
    result: Float32 = _KINDS[operation.kind](*inputs, **operation.options)
    return result
