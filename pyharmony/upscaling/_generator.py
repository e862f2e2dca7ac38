"""The generator of `pyharmony.networks.models.srgan` in NumPy, so that upscaling does not need torch.

Every function here computes the same as its counterpart in the torch module in evaluation mode; the tests compare them.
Images have their channels last, and batch norms are folded into the convolutions before them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .._arrays import Float32
from .._header import arrays_of, damage
from .._images.threads import check_ended
from ..errors import WeightsError
from ..ops.convolution import convolution
from ..ops.layers import conv_of, folded, shipped
from ._tiles import Pass, resampled

#: The radius of bicubic interpolation, in pixels.
_BICUBIC = 2


class Conv(NamedTuple):
    """A convolution, with the activation after it."""

    weight: Float32  # [k, k, C, O]
    bias: Float32  # [O]
    slope: float = 1.0  # the slope of a PReLU after it for values below 0; 1 without one

    @property
    def reach(self) -> int:
        """The largest distance of an input pixel on which a result depends."""
        return len(self.weight) // 2

    def run(self, x: Float32, added: Float32 | None = None) -> Float32:
        """Returns the convolution of x [h, w, C], padded with zeros, plus `added`, after the activation."""
        check_ended()
        return convolution(x, self.weight, self.bias, added=added, slope=self.slope)


class Generator(NamedTuple):
    """The generator of a file, ready to run."""

    scale: int  # 2 or 4, the factor of the size
    residual: bool  # whether its result is added to a bicubic enlargement
    direct: bool  # whether its last convolution computes all pixels, followed by one pixel shuffle
    #: first, close, last: the convolutions by these names.
    first: Conv
    blocks: tuple[tuple[Conv, Conv], ...]  # the two convolutions of each residual block
    close: Conv
    doublings: tuple[Conv, ...]  # the convolutions before the pixel shuffles that double the size
    last: Conv

    @property
    def reach(self) -> int:
        """The largest distance of an image pixel on which a pixel of the result depends, in pixels of the image."""
        beside = self.first.reach + self.close.reach + sum(a.reach + b.reach for a, b in self.blocks)
        far, size = float(beside), 1
        for conv in self.doublings:
            far += conv.reach / size
            size *= 2
        return max(math.ceil(far + self.last.reach / size), _BICUBIC if self.residual else 0)

    @property
    def as_pass(self) -> Pass:
        """The enlargement by this generator."""
        return Pass(self.scale, self.reach, self.run)

    def run(self, image: Float32) -> Float32:
        """Returns an image [h, w, 3], 1.0 for white, enlarged to [scale h, scale w, 3].

        The network's input is clipped to [0, 1], the range of its training; the bicubic enlargement is not.
        """
        # Overflow is reported below.
        with np.errstate(over="ignore", invalid="ignore"):
            result = self._run(image)
        if not np.isfinite(result).all():
            raise WeightsError("the network gives NaN or infinities; its weights are damaged")
        return result

    def _run(self, image: Float32) -> Float32:
        first = self.first.run(np.clip(image, 0, 1))
        x = first
        for pair in self.blocks:
            x = pair[1].run(pair[0].run(x), x)
        x = self.close.run(x)
        x += first
        for conv in self.doublings:
            # A PReLU of one slope commutes with the shuffle.
            x = _shuffled(conv.run(x), 2)
        x = self.last.run(x)
        if self.direct:
            x = _shuffled(x, self.scale)
        if self.residual:
            x += resampled(image, self.scale, "BICUBIC")
        else:
            x = (np.tanh(x) + np.float32(1)) * np.float32(0.5)
        return x


def network(name: str) -> Generator:
    """Returns the generator of weights that come with pyharmony."""
    return shipped(name, parsed)


def parsed(data: bytes, path: str) -> Generator:
    """Returns the generator in the bytes of a safetensors file."""
    header, state = arrays_of(data, path, "srgan")
    if header.part == "all":
        state = {key.removeprefix("generator."): x for key, x in state.items() if key.startswith("generator.")}
    with damage(path):
        generator = _assembled(header.config, state)
        # Layers that do not fit one another are reported here, not at the first image.
        shape = generator.run(np.full((4, 4, 3), np.float32(0.5))).shape
        if shape != (4 * generator.scale, 4 * generator.scale, 3):
            raise ValueError(f"its result for 4 x 4 pixels has the shape {list(shape)}")
    return generator


def _assembled(config: Mapping[str, Any], state: Mapping[str, Float32]) -> Generator:
    # Older weights without these settings have the published architecture.
    direct, residual = bool(config.get("direct", False)), bool(config.get("residual", False))
    scale = config["scale"]
    if scale not in (2, 4):
        raise ValueError(f"scale: {scale!r}, expected 2 or 4")
    blocks = tuple(
        (
            _conv(state, f"blocks.{i}.conv1", f"blocks.{i}.norm1", f"blocks.{i}.act"),
            _conv(state, f"blocks.{i}.conv2", f"blocks.{i}.norm2"),
        )
        for i in range(config["blocks"])
    )
    doublings = 0 if direct else 1 if scale == 2 else 2
    return Generator(
        scale=scale,
        residual=residual,
        direct=direct,
        first=_conv(state, "first.0", act="first.1"),
        blocks=blocks,
        close=_conv(state, "close.0", act="close.1"),
        doublings=tuple(_conv(state, f"up.{i}.0", act=f"up.{i}.2") for i in range(doublings)),
        last=_conv(state, "last"),
    )


def _conv(state: Mapping[str, Float32], name: str, norm: str = "", act: str = "") -> Conv:
    """Returns a convolution with the batch norm after it folded in, if there is one, and the PReLU after both."""
    conv = conv_of(state, name)
    if norm and f"{norm}.weight" in state:
        conv = folded(conv, state, norm)
    return Conv(*conv, float(state[f"{act}.weight"][0]) if act else 1.0)


def _shuffled(x: Float32, factor: int) -> Float32:
    """Returns a pixel shuffle of x [h, w, C factor²], [factor h, factor w, C], in the order of torch's channels."""
    height, width, channels = x.shape
    parts = x.reshape(height, width, channels // factor**2, factor, factor)
    return parts.transpose(0, 3, 1, 4, 2).reshape(factor * height, factor * width, -1)
