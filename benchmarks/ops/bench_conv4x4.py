"""Op conv4x4: layers of pix2pix' networks of width 16 at 256 pixels, forward and backward, compared with torch's."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import exact
import pytest
from measure import Ledger, interleave

import pyharmony

torch = pytest.importorskip("torch", reason="torch is not installed")

from pyharmony.networks import nn  # noqa: E402

FORMS = {"planar": False, "channels-last": True}
GROUP = "convolutions of 4 x 4 weights in training, batch 4, forward and backward"
LAYERS = {
    "32 to 64 channels, 64² to 32²": (nn.Conv2d(32, 64, 4, 2, 1), 64),
    "64 to 128 channels, 32² to 31²": (nn.Conv2d(64, 128, 4, 1, 1), 32),
    "128 channels to one, 31² to 30²": (nn.Conv2d(128, 1, 4, 1, 1), 31),
    "transposed, 256 to 64 channels, 16² to 32²": (nn.ConvTranspose2d(256, 64, 4, 2, 1), 16),
    "transposed, 64 to 16 channels, 64² to 128²": (nn.ConvTranspose2d(64, 16, 4, 2, 1), 64),
    "transposed, 32 to 3 channels, 128² to 256²": (nn.ConvTranspose2d(32, 3, 4, 2, 1), 128),
}


def both_ways(layer: Any, x: Any, pull: Any, last: bool) -> Callable[[], Any]:
    memory = torch.channels_last if last else torch.contiguous_format
    layer = layer.to(memory_format=memory)
    x = x.contiguous(memory_format=memory).requires_grad_()
    return lambda: torch.autograd.grad(layer(x), (x, layer.weight), pull)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", LAYERS)
def bench_conv4x4(benchmark: Any, ledger: Ledger, name: str) -> None:
    ours, side = LAYERS[name]
    x = torch.rand(4, ours.in_channels, side, side)
    pull = torch.rand_like(ours(x))
    plain = copy.deepcopy(ours)
    plain.__class__ = type(ours).__bases__[0]
    timings = interleave(
        benchmark,
        both_ways(ours, x, pull, True),
        {f"torch, {form}": both_ways(copy.deepcopy(plain), x, pull, last) for form, last in FORMS.items()},
        rounds=7,
    )
    ledger.add(GROUP, name, "pyharmony.nn", timings["ours"], version=pyharmony.__version__)
    for form in FORMS:
        pairs = zip(timings[f"torch, {form}"].result, timings["ours"].result, strict=True)
        apart = max(exact.distance(a.numpy(), b.numpy()) / float(a.abs().max()) for a, b in pairs)
        ledger.add(
            GROUP, name, f"torch, {form}", timings[f"torch, {form}"], against=timings["ours"],
            version=torch.__version__, note=f"differs from ours by up to {apart:.1g} of the largest value",
        )  # fmt: skip
