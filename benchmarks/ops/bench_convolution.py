"""Op convolution: layers of the click network and a set of points of `colorgrid`, compared with torch's."""

from __future__ import annotations

from typing import Any

import exact
import numpy as np
from measure import Ledger, interleave

import pyharmony
from pyharmony.ops.convolution import convolution, points
from pyharmony.ops.layers import point_layers_of

GROUP = "convolution of one image, 3 x 3 windows"
POINTS = "points of sets, three layers and their pools"
#: The side of the image, its channels and those of the result, and the stride.
LAYERS = ((160, 10, 32, 2), (80, 64, 64, 1), (40, 128, 128, 1), (20, 192, 192, 1), (10, 256, 256, 1))


def bench_convolution(benchmark: Any, ledger: Ledger) -> None:
    import torch

    rng = np.random.default_rng(0)
    layers = [
        (*(rng.standard_normal(shape).astype(np.float32) for shape in ((n, n, c), (3, 3, c, o), (o,))), stride)
        for n, c, o, stride in LAYERS
    ]
    seconds = [
        (
            torch.from_numpy(image).permute(2, 0, 1)[None],
            torch.from_numpy(weight).permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last),
            torch.from_numpy(bias),
            stride,
        )
        for image, weight, bias, stride in layers
    ]

    def theirs() -> Any:
        with torch.inference_mode():
            return [torch.conv2d(*layer, padding=1) for layer in seconds]

    timings = interleave(
        benchmark,
        lambda: [convolution(image, weight, bias, stride=stride) for image, weight, bias, stride in layers],
        {"torch": theirs},
        rounds=5,
    )
    ledger.add(GROUP, "five layers", "pyharmony.ops.convolution", timings["ours"], version=pyharmony.__version__)
    apart = [
        exact.distance(their[0].permute(1, 2, 0).numpy(), ours)
        for their, ours in zip(timings["torch"].result, timings["ours"].result, strict=True)
    ]
    ledger.add(
        GROUP, "five layers", "torch.conv2d, channels last", timings["torch"], against=timings["ours"],
        version=torch.__version__, note=f"differs from ours by up to {max(apart):.2g}",
    )  # fmt: skip


def bench_points(benchmark: Any, ledger: Ledger) -> None:
    import torch

    from pyharmony.networks.models.colorgrid import Points

    torch.manual_seed(0)
    model = Points(61, 64, heads=4).eval()
    layers = point_layers_of({f"set.{name}": x.detach().numpy() for name, x in model.state_dict().items()}, "set")
    elements = np.random.default_rng(0).random((6, 768, 61), np.float32)
    tensor = torch.from_numpy(elements)

    def theirs() -> Any:
        with torch.inference_mode():
            return model(tensor)

    timings = interleave(benchmark, lambda: points(elements, layers), {"torch": theirs}, rounds=15)
    shape = "6 sets of 768 points, 61 to 64 channels, 4 heads"
    ledger.add(POINTS, shape, "pyharmony.ops.convolution", timings["ours"], version=pyharmony.__version__)
    apart = exact.distance(timings["torch"].result.numpy(), timings["ours"].result)
    ledger.add(
        POINTS, shape, "torch's layers", timings["torch"], against=timings["ours"],
        version=torch.__version__, note=f"differs from ours by up to {apart:.2g}",
    )  # fmt: skip
