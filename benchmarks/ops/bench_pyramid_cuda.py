"""The pyramid on a GPU: whole, compared with its finest level alone; its steps compared with torch's and a copy."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import peers_cuda
import problems_cuda
import pytest
from measure import Ledger
from measure_cuda import OURS, add, interleave, numpy_to_numpy, on_cpu, ratio

from pyharmony import _cuda, blend
from pyharmony.ops import gaussian_poisson

pytestmark = pytest.mark.gpu

GROUP = "pyramid on the GPU"
STEPS = "steps of the pyramid on the GPU"


def planar(t: problems_cuda.Tensors) -> tuple[Any, ...]:
    """Returns src, dst and base [3, H, W], as torch's blends take them."""
    return tuple(x.permute(2, 0, 1).contiguous() for x in (t.src, t.dst, t.base))


@pytest.mark.parametrize("size", [pytest.param("8K", marks=pytest.mark.first), "4K", "1080p"])
def bench_whole(gpu: Any, ledger: Ledger, size: str) -> None:
    """Times the blend from the images to the result, compared with its finest level for a given base."""
    t = problems_cuda.tensors(size, "uint8")
    src, dst, base = planar(t)
    images = [x.permute(1, 2, 0) for x in (src, dst, base)]
    whole: dict[str, Any] = {"base": "copy-paste", "preserve_background": False}
    calls = {
        "pyramid": functools.partial(blend.gaussian_poisson, src, dst, t.mask, **whole),
        "finest": functools.partial(gaussian_poisson, *images[:2], t.mask, images[2]),
        # Its coarsest base is solved for, and the box of the mask is read.
        "inside": functools.partial(blend.gaussian_poisson, src, dst, t.mask),
        "copy": peers_cuda.copy_of(t.nbytes),
    }
    timings = interleave(calls, rounds=20)
    row = functools.partial(add, ledger, GROUP, t.name)
    for name, words in (
        ("pyramid", "whole image"),
        ("finest", "finest level"),
        ("inside", "inside the mask, membrane"),
    ):
        row(f"pyharmony, {words}, uint8", timings[name], version=OURS, copy=timings["copy"], nbytes=t.nbytes)
    row("copy of the bytes of the finest level", timings["copy"], version="", ours=timings["pyramid"], nbytes=t.nbytes)
    s, d, mask, _ = t.numpy()
    there = on_cpu(lambda: blend.gaussian_poisson(s, d, mask, **whole))
    row("pyharmony on the CPU, whole image, uint8", there, version=OURS)
    if size == "8K":
        ledger.figure("pyramid_v_finest", ratio(timings["pyramid"], timings["finest"]))


def down(image: Any, out: Any) -> None:
    """Halves [1, H, W, C], smoothed by a Gaussian of sigma 1."""
    place = _cuda.place_of({"image": image, "out": out}, None)
    assert place is not None
    views = _cuda.describe(image, "image").view("image"), _cuda.describe(out, "out").view("out", writable=True)
    place.module.pyramid_downsample(views[0], 1.0, views[1], device=place.device, stream=place.stream)


def up(image: Any, out: Any) -> None:
    """Enlarges [1, H, W, C] to twice the size, by Keys' cubic."""
    place = _cuda.place_of({"image": image, "out": out}, None)
    assert place is not None
    views = _cuda.describe(image, "image").view("image"), _cuda.describe(out, "out").view("out", writable=True)
    place.module.pyramid_upsample(*views, device=place.device, stream=place.stream)


def bench_steps(gpu: Any, ledger: Ledger) -> None:
    """Times a level down from uint8, and a level up in float32, at 8K."""
    t = problems_cuda.tensors("8K", "uint8")
    fine = t.dst[None]
    _, height, width, _ = fine.shape
    coarse = fine.new_empty((1, height // 2, width // 2, 3), dtype=gpu.float32)
    large = fine.new_empty(fine.shape, dtype=gpu.float32)
    floats = fine.permute(0, 3, 1, 2).float().contiguous()
    small = gpu.nn.functional.avg_pool2d(floats, 2)
    # The Gaussian of sigma 1 and the mean of 2 x 2 are one strided convolution a channel.
    at = gpu.arange(-4.5, 5.5, dtype=gpu.float32, device=fine.device)
    taps = gpu.exp(-((at - 0.5) ** 2) / 2) + gpu.exp(-((at + 0.5) ** 2) / 2)
    taps = (taps / taps.sum()).expand(3, 1, 10)
    pad, conv = gpu.nn.functional.pad, gpu.nn.functional.conv2d

    def torch_down() -> Any:
        rows = conv(pad(floats, (0, 0, 4, 4), mode="reflect"), taps[..., None], stride=(2, 1), groups=3)
        return conv(pad(rows, (4, 4, 0, 0), mode="reflect"), taps[:, :, None], stride=(1, 2), groups=3)

    def size_of(*tensors: Any) -> int:
        return sum(x.numel() * x.element_size() for x in tensors)

    calls: dict[str, Callable[[], Any]] = {
        "down": functools.partial(down, fine, coarse),
        "down copy": peers_cuda.copy_of(size_of(fine, coarse)),
        "up": functools.partial(up, coarse, large),
        "up copy": peers_cuda.copy_of(size_of(coarse, large)),
        "torch down": torch_down,
        "torch up": lambda: gpu.nn.functional.interpolate(small, size=(height, width), mode="bicubic"),
    }
    timings = interleave(calls, rounds=20)
    for name, ours, theirs, nbytes in (
        ("down", "uint8 to float32", "strided conv2d, float32", size_of(fine, coarse)),
        ("up", "float32", "interpolate, bicubic, float32", size_of(coarse, large)),
    ):
        row = functools.partial(add, ledger, STEPS, f"{t.name}, {name}")
        row(f"pyharmony, {ours}", timings[name], version=OURS, copy=timings[f"{name} copy"], nbytes=nbytes)
        row(
            f"torch, {theirs}", timings[f"torch {name}"], version=str(peers_cuda.TORCH_DCT.version),
            ours=timings[name],
        )  # fmt: skip


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def bench_numpy_to_numpy(gpu: Any, ledger: Ledger, dtype: str) -> None:
    """Times calls with both transfers, to find from which size the GPU pays."""

    def problem(side: int) -> Callable[[str], Any]:
        src, dst, mask, _ = problems_cuda.tensors((side, side), dtype).numpy()
        return lambda device: blend.gaussian_poisson(src, dst, mask, device=device)

    numpy_to_numpy(ledger, f"pyramid inside the mask, {dtype}", problem)
