"""The peer of products of rows: the forward pass of a partial convolution as a user would write it in Triton.

It has the plan's lists of rows and their totals on the device, as ours does: a program multiplies rows of one image,
and one beyond the rows ends at once. The rest of y is zero by a memset. Layers with bias and gradients are not here.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl


@triton.jit
def rows_kernel(
    x, mask, weight, rows, totals, ratio, y, height, width, out_height, out_width, channels, outputs, stride, slope,
    KERNEL: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    image = tl.program_id(2)
    total = tl.load(totals + image)
    first = tl.program_id(0) * BLOCK_M
    if first < total:
        size = out_height * out_width
        at = first + tl.arange(0, BLOCK_M)
        inside = at < total
        place = tl.load(rows + image * size + at, mask=inside, other=0) - image * size
        place = tl.where(inside, place, 0)
        top = place // out_width * stride
        left = place % out_width * stride
        o = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
        sums = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
        for tap in range(KERNEL * KERNEL):
            pixel = (image * height + top + tap // KERNEL) * width + left + tap % KERNEL
            valid = inside & (tl.load(mask + pixel, mask=inside, other=0) != 0)
            for c0 in range(0, channels, BLOCK_K):
                c = c0 + tl.arange(0, BLOCK_K)
                a = tl.load(
                    x + pixel[:, None].to(tl.int64) * channels + c[None, :],
                    mask=valid[:, None] & (c < channels)[None, :], other=0.0,
                )  # fmt: skip
                b = tl.load(
                    weight + (o[None, :] * (KERNEL * KERNEL) + tap) * channels + c[:, None],
                    mask=(o < outputs)[None, :] & (c < channels)[:, None], other=0.0,
                )  # fmt: skip
                sums = tl.dot(a, b, sums)
        value = sums * tl.load(ratio + image * size + place, mask=inside, other=0.0)[:, None]
        value = tl.where(value > 0, value, value * slope)
        tl.store(
            y + (image * size + place)[:, None].to(tl.int64) * outputs + o[None, :],
            value.to(y.dtype.element_ty), mask=inside[:, None] & (o < outputs)[None, :],
        )  # fmt: skip


_BLOCKS = ((128, 128, 32, 8), (128, 64, 32, 4), (64, 64, 64, 4), (64, 128, 32, 4), (32, 64, 64, 4))
_tuned = triton.autotune(
    [
        triton.Config({"BLOCK_M": m, "BLOCK_N": n, "BLOCK_K": k}, num_warps=warps, num_stages=stages)
        for m, n, k, warps in _BLOCKS
        for stages in (3, 4)
    ],
    key=["height", "channels", "outputs"],
)(rows_kernel)


def layer(x: Any, weight: Any, plan: Any, slope: float, blocks: tuple[int, int, int] | None = None) -> Any:
    """Returns y of a layer without bias and padding, with one plane of a hard mask and square windows.

    Args:
        x: [N, C, H, W] channels-last.
        blocks: sizes of blocks instead of the fastest ones.
    """
    n, channels, height, width = x.shape
    outputs, _, kernel, _ = weight.shape
    out_height, out_width = plan.ratio.shape[2:]
    lists = plan._maps.tensor(plan._memory, "rows")
    y = torch.zeros(
        (n, outputs, out_height, out_width), dtype=x.dtype, device=x.device
    ).contiguous(memory_format=torch.channels_last)  # fmt: skip
    arguments = (
        x.detach().contiguous(memory_format=torch.channels_last), plan._mask.view(torch.uint8),
        weight.detach().permute(0, 2, 3, 1).contiguous(), lists, plan._totals, plan.ratio, y, height, width, out_height,
        out_width, channels, outputs, plan.window.stride[0], slope, kernel,
    )  # fmt: skip

    def grid(meta: Any) -> tuple[int, int, int]:
        return triton.cdiv(out_height * out_width, meta["BLOCK_M"]), triton.cdiv(outputs, meta["BLOCK_N"]), n

    if blocks is None:
        _tuned[grid](*arguments)
    else:
        rows_kernel[grid](*arguments, *blocks)
    return y


def run(net: Any, x: Any, mask: Any, slope: float) -> Any:
    """Runs an encoder, whose first layer is ours on either side: it has few channels and a bias."""
    from pyharmony import ops

    for i, (module, plan) in enumerate(zip(net, ops.mask_plan(mask, net), strict=True)):
        if i == 0:
            x, _ = module(x, plan=plan, negative_slope=slope)
        else:
            x = layer(x, module.weight, plan, slope)
    return x
