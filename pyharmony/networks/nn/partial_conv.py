"""The layer of `pyharmony.ops.partial_conv2d`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ... import _checks
from ...errors import ArgumentError, ShapeError
from ...ops.partial_conv import LayerPlan, Pair, pair, partial_conv2d


class PartialConv2d(torch.nn.Conv2d):
    """A Conv2d of the known pixels only, scaled by the known share of each window.

    Weights, their names and their initial values are those of Conv2d. It has no state between calls: the new mask is
    only returned.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, device, dtype: see Conv2d;
            padding as numbers.
        multi_channel: whether the mask has a plane for each channel; if not, one plane is used for all of them.
        soft: whether to accept mask values between 0 and 1.

    Example:
        >>> import torch
        >>> from pyharmony import nn
        >>> layer = nn.PartialConv2d(3, 8, 3, padding=1)
        >>> mask = torch.ones(1, 1, 16, 16)
        >>> mask[..., 4:8, 4:8] = 0
        >>> y, new_mask = layer(torch.rand(2, 3, 16, 16), mask)
        >>> y.shape, new_mask.shape
        (torch.Size([2, 8, 16, 16]), torch.Size([1, 1, 16, 16]))
    """

    @_checks.kinds
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        dilation: int | Pair = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        multi_channel: bool = False,
        soft: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        whole = {"kernel_size": kernel_size, "stride": stride, "dilation": dilation, "groups": groups}
        for name, value in whole.items():
            pair(value, name, 1)
        pair(padding, "padding", 0)
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if _checks.whole(channels, name, low=1) % groups:
                raise ArgumentError(f"{name}: {channels}, expected a multiple of groups, {groups}")
        try:
            torch.empty(0, device=device, dtype=dtype, requires_grad=True)
        except (TypeError, RuntimeError) as error:
            text = f"device: {_checks.shortened(device)}, dtype: {_checks.shortened(dtype)}; {error}"
            raise ArgumentError(text.partition("\n")[0]) from None
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, device=device, dtype=dtype
        )
        self.multi_channel = multi_channel
        self.soft = soft

    def forward(  # type: ignore[override]
        self,
        input: Tensor,
        mask: Tensor | None = None,
        plan: LayerPlan | None = None,
        *,
        scale: Any = None,
        negative_slope: float | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Returns y and the new mask; arguments, shapes and errors are those of `pyharmony.ops.partial_conv2d`."""
        if mask is not None and mask.ndim == 4:
            if self.multi_channel and mask.shape[1] == 1:
                mask = mask.expand(-1, self.in_channels, -1, -1)
            elif not self.multi_channel and mask.shape[1] != 1:
                raise ShapeError(
                    f"mask: shape {list(mask.shape)}, expected one plane, or a layer with multi_channel=True"
                )
        return partial_conv2d(
            input, self.weight, self.bias, mask, stride=self.stride, padding=self.padding,  # type: ignore[arg-type]
            dilation=self.dilation, groups=self.groups, soft=self.soft, plan=plan, scale=scale,  # type: ignore[arg-type]
            negative_slope=negative_slope,
        )  # fmt: skip

    def extra_repr(self) -> str:
        more = "".join(f", {name}=True" for name in ("multi_channel", "soft") if getattr(self, name))
        return super().extra_repr() + more  # type: ignore[no-untyped-call]
