"""Convolutions with 4 x 4 weights, and transposed ones, of tensors: see `csrc/ops/conv4x4/conv4x4.h`. Not public.

A convolution is the adjoint of the transposed one with the same weights, so six transforms compute both and their
gradients. Tiles are processed in batches that fit in the CPU's caches; torch multiplies the matrices.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional
from torch.nn.grad import conv2d_input, conv2d_weight

from ._native_torch import ON_CPU

_POINTS = 25  # the number of points of a transformed tile
_GROUPS = 4  # the number of groups of 2 x 2 weights
_TILE = 4  # the side of a tile, in outer pixels
_RUN_BYTES = 2 << 20  # the bytes of the tiles of a batch
_RUN_TILES = 128  # the smallest number of tiles of a batch; products of smaller matrices are slow
#: The padding between the values of two points, in floats, so that the 25 points map to different cache sets.
_POINT_PADDING = 80

_view = ON_CPU.view


def _last(x: Tensor) -> Tensor:
    """Returns x in channels-last memory format."""
    return x.contiguous(memory_format=torch.channels_last)


def _pixels(x: Tensor) -> Tensor:
    """Returns the pixels of a channels-last [N, C, H, W], [N H W, C]."""
    return x.permute(0, 2, 3, 1).flatten(0, 2)


def _empty(*shape: int) -> Tensor:
    return torch.empty(shape, memory_format=torch.channels_last)


class _Buffers(threading.local):
    """Buffers of this thread, reused by all calls, since allocating them takes as long as using them."""

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] = {}

    def tiles(self, name: str, *shape: int) -> Tensor:
        """Returns uninitialised tiles [25, *shape], whose points are not a multiple of a page apart."""
        size = math.prod(shape)
        step = (size + 15) // 16 * 16 + _POINT_PADDING
        return self._buffer(name, _POINTS * step).view(_POINTS, step)[:, :size].view(_POINTS, *shape)

    def product(self, name: str, *shape: int) -> Tensor:
        """Returns tiles [25, *shape] for a product: torch multiplies all points at once if they are contiguous."""
        return self._buffer(name, _POINTS * math.prod(shape)).view(_POINTS, *shape)

    def _buffer(self, name: str, count: int) -> Tensor:
        if name not in self._buffers or self._buffers[name].numel() < count:
            self._buffers[name] = torch.empty(count)
        return self._buffers[name][:count]


_buffers = _Buffers()


class _Convolution:
    """A convolution with 4 x 4 weights [K, C, 4, 4] from `inner` images [N, C, H, W] to `outer` ones [N, K, h, w].

    Images are channels-last. `to_outer` convolves, `to_inner` is its adjoint, the transposed convolution.
    """

    def __init__(self, weight: Tensor, stride: int, padding: int) -> None:
        self.weight, self.stride, self.padding = _last(weight), stride, padding
        self.outputs, self.channels = weight.shape[:2]

    def outer_like(self, x: Tensor) -> Tensor:
        sides = [(side + 2 * self.padding - 4) // self.stride + 1 for side in x.shape[2:]]
        return _empty(x.shape[0], self.outputs, *sides)

    def inner_like(self, y: Tensor) -> Tensor:
        sides = [(side - 1) * self.stride + 4 - 2 * self.padding for side in y.shape[2:]]
        return _empty(y.shape[0], self.channels, *sides)

    def to_outer(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """Returns the convolution of inner images."""
        raise NotImplementedError

    def to_inner(self, y: Tensor, bias: Tensor | None) -> Tensor:
        """Returns the transposed convolution of outer images."""
        raise NotImplementedError

    def gradients(self, x: Tensor, y: Tensor, *, of_inner: bool, needs: tuple[bool, bool]) -> tuple[Any, Any]:
        """Returns the gradients of the input and of the weights.

        Args:
            x, y: inner and outer images, one of which is the input, the other the gradient of the result.
            of_inner: whether the input is the inner one.
            needs: whether the gradients of the input and of the weights are needed.
        """
        raise NotImplementedError


class Filtered(_Convolution):
    """Winograd's minimal filtering, for many channels and large images."""

    def matrices(self) -> Tensor:
        """Returns the transformed weights [25, K, 4 C]."""
        tiles = _buffers.tiles("matrices", self.outputs, _GROUPS, self.channels)
        ON_CPU.run("winograd_weight", _view(self.weight), _view(tiles, writable=True), self.stride, False)
        return tiles.flatten(2)

    def matrices_across(self) -> Tensor:
        """Returns the matrices as [25, 4 C, K], since products with a transposed matrix are slower."""
        tiles = _buffers.tiles("matrices", _GROUPS, self.channels, self.outputs)
        ON_CPU.run("winograd_weight", _view(self.weight), _view(tiles, writable=True), self.stride, True)
        return tiles.flatten(1, 2)

    def runs(self, outer: Tensor) -> Iterator[tuple[int, int]]:
        """Yields the first tile of each batch, and its number of tiles."""
        total = outer.shape[0] * (-(-outer.shape[2] // _TILE)) * (-(-outer.shape[3] // _TILE))
        of_tile = 4 * _POINTS * (_GROUPS * self.channels + self.outputs)
        count = max(_RUN_BYTES // of_tile, _RUN_TILES)
        parts = max(1, round(total / count))
        for part in range(parts):
            first, last = total * part // parts, total * (part + 1) // parts
            yield first, last - first

    def read_inner(self, x: Tensor, first: int, count: int) -> Tensor:
        tiles = _buffers.tiles("inner", count, _GROUPS, self.channels)
        ON_CPU.run("winograd_input", _view(x), _view(tiles, writable=True), first, self.stride, self.padding, 1.0)
        return tiles.flatten(2)

    def add_inner(self, tiles: Tensor, x: Tensor, first: int) -> None:
        tiles = tiles.view(_POINTS, -1, _GROUPS, self.channels)
        ON_CPU.run("winograd_input_adjoint", _view(tiles), _view(x, writable=True), first, self.stride, self.padding)

    def read_outer(self, y: Tensor, first: int, count: int) -> Tensor:
        tiles = _buffers.tiles("outer", count, self.outputs)
        ON_CPU.run("winograd_output_adjoint", _view(y), _view(tiles, writable=True), first, 1.0)
        return tiles

    def write_outer(self, tiles: Tensor, y: Tensor, bias: Tensor | None, first: int) -> None:
        ON_CPU.run("winograd_output", _view(tiles), _view(bias), _view(y, writable=True), first)

    def weights_of(self, tiles: Tensor) -> Tensor:
        """Returns the gradient of the weights from that of the matrices."""
        weight = torch.empty_like(self.weight)
        tiles = tiles.view(_POINTS, -1, _GROUPS, self.channels)
        ON_CPU.run("winograd_weight_adjoint", _view(tiles), _view(weight, writable=True), self.stride)
        return weight

    def to_outer(self, x: Tensor, bias: Tensor | None) -> Tensor:
        x, matrices = _last(x), self.matrices_across()
        y = self.outer_like(x)
        for first, count in self.runs(y):
            tiles = _buffers.product("outer", count, self.outputs)
            self.write_outer(torch.bmm(self.read_inner(x, first, count), matrices, out=tiles), y, bias, first)
        return y

    def to_inner(self, y: Tensor, bias: Tensor | None) -> Tensor:
        y, matrices = _last(y), self.matrices()
        x = self.inner_like(y)
        x.zero_() if bias is None else x.copy_(bias[:, None, None].expand_as(x))
        for first, count in self.runs(y):
            tiles = _buffers.product("inner", count, _GROUPS * self.channels)
            self.add_inner(torch.bmm(self.read_outer(y, first, count), matrices, out=tiles), x, first)
        return x

    def gradients(self, x: Tensor, y: Tensor, *, of_inner: bool, needs: tuple[bool, bool]) -> tuple[Any, Any]:
        x, y = _last(x), _last(y)
        of_input, of_weight = needs
        matrices = result = total = None
        if of_input:
            matrices = self.matrices() if of_inner else self.matrices_across()
            result = torch.zeros_like(x) if of_inner else torch.empty_like(y)
        for first, count in self.runs(y):
            inner: Any = self.read_inner(x, first, count) if of_weight or not of_inner else None
            outer: Any = self.read_outer(y, first, count) if of_weight or of_inner else None
            if matrices is not None and result is not None:
                if of_inner:
                    tiles = _buffers.product("product", count, _GROUPS * self.channels)
                    self.add_inner(torch.bmm(outer, matrices, out=tiles), result, first)
                else:
                    tiles = _buffers.product("product", count, self.outputs)
                    self.write_outer(torch.bmm(inner, matrices, out=tiles), result, None, first)
            if of_weight:
                if total is None:
                    total = _buffers.product("total", self.outputs, _GROUPS * self.channels)
                    torch.bmm(outer.transpose(1, 2), inner, out=total)
                else:
                    total.baddbmm_(outer.transpose(1, 2), inner)
        return result, None if total is None else self.weights_of(total)


class Rows(_Convolution):
    """Matrix products with windows of the inner image as rows, for small images, and transposed for few channels."""

    def _matrix(self) -> Tensor:
        return self.weight.permute(0, 2, 3, 1).flatten(1)

    def _windows(self, x: Tensor, y: Tensor) -> Tensor:
        rows = torch.empty(y.shape[0], *y.shape[2:], 16 * self.channels)
        ON_CPU.run("conv_windows", _view(x), _view(rows, writable=True), self.stride, self.padding)
        return rows.flatten(0, 2)

    def _fold(self, rows: Tensor, y: Tensor, x: Tensor) -> Tensor:
        rows = rows.view(y.shape[0], *y.shape[2:], 16 * self.channels)
        ON_CPU.run("conv_fold", _view(rows), _view(x, writable=True), self.stride, self.padding)
        return x

    def to_outer(self, x: Tensor, bias: Tensor | None) -> Tensor:
        y = self.outer_like(x)
        torch.mm(self._windows(_last(x), y), self._matrix().t(), out=_pixels(y))
        return y if bias is None else y.add_(bias[:, None, None])

    def to_inner(self, y: Tensor, bias: Tensor | None) -> Tensor:
        y = _last(y)
        x = self._fold(torch.mm(_pixels(y), self._matrix()), y, self.inner_like(y))
        return x if bias is None else x.add_(bias[:, None, None])

    def gradients(self, x: Tensor, y: Tensor, *, of_inner: bool, needs: tuple[bool, bool]) -> tuple[Any, Any]:
        x, y = _last(x), _last(y)
        result = of_weight = None
        rows: Any = self._windows(x, y) if needs[1] or not of_inner else None
        if needs[0] and of_inner:
            result = self._fold(torch.mm(_pixels(y), self._matrix()), y, torch.empty_like(x))
        elif needs[0]:
            result = torch.empty_like(y)
            torch.mm(rows, self._matrix().t(), out=_pixels(result))
        if needs[1]:
            of_weight = torch.empty_like(self.weight)
            torch.mm(_pixels(y).t(), rows, out=of_weight.permute(0, 2, 3, 1).flatten(1))
        return result, of_weight


class Spread(_Convolution):
    """Products of each pixel with the weights, folded together, for few outer channels and stride 1."""

    def __init__(self, weight: Tensor, stride: int, padding: int) -> None:
        super().__init__(weight, stride, padding)
        # The convolution is a transposed one from inner to outer images with flipped weights.
        self._rows = Rows(_turned(weight), 1, 3 - padding)

    def to_outer(self, x: Tensor, bias: Tensor | None) -> Tensor:
        return self._rows.to_inner(x, bias)

    def gradients(self, x: Tensor, y: Tensor, *, of_inner: bool, needs: tuple[bool, bool]) -> tuple[Any, Any]:
        result, of_weight = self._rows.gradients(y, x, of_inner=not of_inner, needs=needs)
        return result, None if of_weight is None else _turned(of_weight)


def _turned(weight: Tensor) -> Tensor:
    return weight.flip(2, 3).transpose(0, 1)


WAYS: dict[str, type[_Convolution]] = {"filtered": Filtered, "rows": Rows, "spread": Spread}


class ConvFunction(Function):
    """The convolution of x; transposed, it is that from outer to inner images."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, way: type[_Convolution],
        transposed: bool,
    ) -> Tensor:  # fmt: skip
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding, ctx.bias, ctx.way, ctx.transposed = stride, padding, bias is not None, way, transposed
        convolution = way(weight.detach(), stride, padding)
        convolve = convolution.to_inner if transposed else convolution.to_outer
        return convolve(x.detach(), None if bias is None else bias.detach().contiguous())

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        x, weight = ctx.saved_tensors
        need = ctx.needs_input_grad
        of_bias = grad.sum((0, 2, 3)) if ctx.bias and need[2] else None
        inner, outer = (grad, x) if ctx.transposed else (x, grad)
        if torch.is_grad_enabled():
            # torch's own operations can be differentiated further.
            options: Any = {"stride": ctx.stride, "padding": ctx.padding}
            of_x = of_weight = None
            if need[0] and ctx.transposed:
                of_x = functional.conv2d(grad, weight, **options)
            elif need[0]:
                of_x = _input_gradient(x.shape, weight, grad, **options)
            if need[1]:
                of_weight = _weight_gradient(inner, weight.shape, outer, **options)
        else:
            convolution = ctx.way(weight.detach(), ctx.stride, ctx.padding)
            of_x, of_weight = convolution.gradients(inner, outer, of_inner=not ctx.transposed, needs=need[:2])
        return of_x, of_weight, of_bias, None, None, None, None


# torch has no types for these.
_input_gradient: Any = conv2d_input
_weight_gradient: Any = conv2d_weight
apply_conv: Any = ConvFunction.apply
