"""Models of other kinds with two lines changed: time and memory of a step, and the final training loss.

An inpainting U-Net whose partial convolutions are composed of torch calls, and a DCGAN whose discriminator has
torch.nn.utils.spectral_norm. Both versions start from the same weights and see the same batches.
"""

from __future__ import annotations

import functools
import math
import statistics
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from measure import Ledger, Timing, interleave, ratio

import pyharmony

torch = pytest.importorskip("torch", reason="torch is not installed")

import torch.nn.functional as F  # noqa: E402
from bench_partial_conv import Composed  # noqa: E402
from torch import nn  # noqa: E402

from pyharmony.networks.nn import PartialConv2d, SpectralNormGroup  # noqa: E402

pytestmark = pytest.mark.usefixtures("two_threads_of_torch")

OURS = pyharmony.__version__
GROUP = "two lines changed in a model of another kind"
SEEDS = (1, 2, 3)
STEPS = 30
#: The number of steps in float64 whose losses are compared one by one.
EXACT_STEPS = 4
#: Student's t of 99 % for two means of three seeds each.
STUDENT = 4.6
#: The number of last steps whose mean is a run's final loss.
LAST_STEPS = 8


def pictures(n: int, size: int) -> Any:
    """Returns smooth colours in [-1, 1] with an edge: waves of random direction and phase."""
    y, x = torch.meshgrid(*[torch.linspace(0, 2 * math.pi, size)] * 2, indexing="ij")
    a, b, phase = (torch.randn(n, 3, 1, 1) for _ in range(3))
    return torch.sin(a * x + b * y + phase) * torch.where(x + a * y > 4, 1.0, 0.6)


# ---- an inpainting U-Net --------------------------------------------------------------------------------------------


class Inpainter(nn.Module):
    """Partial convolutions down, and up over the skips and their masks; only `conv` is exchanged."""

    def __init__(self, conv: Any, width: int = 32) -> None:
        super().__init__()
        w = width
        self.down = nn.ModuleList([conv(a, b, 3, 2, 1) for a, b in ((3, w), (w, 2 * w), (2 * w, 4 * w))])
        pairs = ((6 * w, 2 * w), (3 * w, w), (w + 3, 3))
        self.up = nn.ModuleList([conv(a, b, 3, 1, 1, **self.planes(conv)) for a, b in pairs])

    @staticmethod
    def planes(conv: Any) -> dict[str, bool]:
        """Gives a decoder layer's mask a plane for each channel, since the skip has other holes."""
        return {} if conv is Composed else {"multi_channel": True}

    def forward(self, x: Any, mask: Any) -> Any:
        skips = []
        for layer in self.down:
            skips.append((x, mask))
            x, mask = layer(x, mask)
            x = F.relu(x)
        for i, layer in enumerate(self.up):
            skip, skip_mask = skips.pop()
            x = torch.cat([F.interpolate(x, scale_factor=2), skip], 1)
            mask = F.interpolate(mask, scale_factor=2)
            # The masks have as many planes as channels, of the features and of the skip.
            planes = [m.expand(-1, c if m.shape[1] == 1 else -1, -1, -1)
                      for m, c in ((mask, x.shape[1] - skip.shape[1]), (skip_mask, skip.shape[1]))]  # fmt: skip
            x, mask = layer(x, torch.cat(planes, 1))
            x = F.leaky_relu(x, 0.2) if i < 2 else x
        return x


def inpainting(conv: Any, seed: int, size: int = 64, batch: int = 4) -> Callable[[], list[float]]:
    """Returns a step of training, which gives the loss."""
    torch.manual_seed(seed)
    net = Inpainter(conv)
    adam = torch.optim.Adam(net.parameters(), lr=2e-3)
    batches = []
    for _ in range(8):
        mask = torch.ones(batch, 1, size, size)
        for one in mask:
            top, left = torch.randint(0, size // 2, (2,)).tolist()
            one[:, top : top + size // 2, left : left + size // 2] = 0
        batches.append((pictures(batch, size), mask))
    count = 0

    def step() -> list[float]:
        nonlocal count
        image, mask = batches[count % len(batches)]
        count += 1
        output = net(image * mask, mask)
        loss = (output - image).abs().mean() + 5 * ((output - image) * (1 - mask)).abs().mean()
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()
        return [loss.item()]

    return step


# ---- a GAN with spectral norms --------------------------------------------------------------------------------------


def generator(width: int = 32) -> Any:
    layers: list[Any] = [nn.ConvTranspose2d(64, 4 * width, 4), nn.BatchNorm2d(4 * width), nn.ReLU()]
    for a, b in ((4, 2), (2, 1)):
        layers += [nn.ConvTranspose2d(a * width, b * width, 4, 2, 1), nn.BatchNorm2d(b * width), nn.ReLU()]
    return nn.Sequential(*layers, nn.ConvTranspose2d(width, 3, 4, 2, 1), nn.Tanh())


def discriminator(wrap: Callable[[Any], Any], width: int = 48) -> Any:
    layers: list[Any] = []
    for a, b in ((3, width), (width, 2 * width), (2 * width, 4 * width), (4 * width, 8 * width)):
        layers += [wrap(nn.Conv2d(a, b, 4, 2, 1)), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, wrap(nn.Conv2d(8 * width, 1, 2)))


#: The ways to normalise: torch in each layer; ours in each forward, as torch does; ours once a step.
NORMS = {
    "torch": None,
    "each forward": {"update": "forward"},
    "each step": {},
}


def gan(norm: str, seed: int, batch: int = 8) -> Callable[[], list[float]]:
    """Returns a step of the discriminator and one of the generator, which gives both losses."""
    torch.manual_seed(seed)
    d = discriminator(torch.nn.utils.spectral_norm)
    options = NORMS[norm]
    if options is not None:
        theirs, d = d, discriminator(lambda layer: layer)
        SpectralNormGroup(d, **options)
        d.load_state_dict(theirs.state_dict())
    torch.manual_seed(100 + seed)
    g = generator()
    for_d, for_g = (torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999)) for net in (d, g))
    real = [pictures(batch, 32) for _ in range(8)]
    noise = torch.randn(STEPS, batch, 64, 1, 1)
    count = 0

    def step() -> list[float]:
        nonlocal count
        z, image = noise[count % STEPS], real[count % len(real)]
        count += 1
        fake = g(z)
        loss_d = F.relu(1 - d(image)).mean() + F.relu(1 + d(fake.detach())).mean()
        for_d.zero_grad(set_to_none=True)
        loss_d.backward()
        for_d.step()
        loss_g = -d(fake).mean()
        for_g.zero_grad(set_to_none=True)
        loss_g.backward()
        for_g.step()
        return [loss_d.item(), loss_g.item()]

    return step


# ---- measuring ------------------------------------------------------------------------------------------------------


def peak_bytes(step: Callable[[], Any]) -> int:
    """Returns the peak memory of a step: tensors by torch's profiler, arrays and objects by tracemalloc."""
    step()
    tracemalloc.start()
    try:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
            step()
        arrays = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    bytes_now = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        bytes_now += event.nbytes()
        most = max(most, bytes_now)
    return most + arrays


@functools.cache
def train(make: Callable[..., Any], kind: Any) -> list[list[float]]:
    """Returns for each seed the means of the last losses."""
    last = []
    for seed in SEEDS:
        step = make(kind, seed)
        losses = [step() for _ in range(STEPS)]
        last.append([statistics.fmean(values) for values in zip(*losses[-LAST_STEPS:], strict=True)])
    return last


def check_trajectories(make: Callable[..., Any], ours: Any, theirs: Any, tolerance: float) -> None:
    """Asserts that in float64 the losses are the same, step after step."""
    torch.set_default_dtype(torch.float64)
    try:
        runs = [make(kind, SEEDS[0]) for kind in (ours, theirs)]
        for _ in range(EXACT_STEPS):
            losses, expected = (step() for step in runs)
            for a, b in zip(losses, expected, strict=True):
                assert abs(a - b) <= tolerance * max(1, abs(b)), (losses, expected)
    finally:
        torch.set_default_dtype(torch.float32)


def check_losses(ours: Any, theirs: Any) -> str:
    """Asserts that the means of final losses differ no more than between seeds; returns a note about them."""
    text = []
    for i in range(len(ours[0])):
        a, b = ([loss[i] for loss in run] for run in (ours, theirs))
        apart = abs(statistics.fmean(a) - statistics.fmean(b))
        error = math.sqrt((statistics.variance(a) + statistics.variance(b)) / len(SEEDS))
        assert apart <= STUDENT * error, (a, b)
        text.append(f"{statistics.fmean(a):.4f} v. {statistics.fmean(b):.4f} (standard error {error:.1g})")
    return "final loss " + ", ".join(text)


def report(ledger: Ledger, problem: str, name: str, timings: dict[str, Timing], memory: tuple[int, int], note: str,
           peer: str) -> None:  # fmt: skip
    ours, theirs = (f"{size / 2**20:.0f} MiB" for size in memory)
    ledger.add(GROUP, problem, name, timings["ours"], version=OURS, note=f"{ours}; {note}")
    ledger.add(GROUP, problem, peer, timings["theirs"], against=timings["ours"], version=torch.__version__, note=theirs)


def bench_inpainting(benchmark: Any, ledger: Ledger) -> None:
    """Exchanges the import of PartialConv2d, and adds the argument for masks with a plane for each channel."""
    # The authors add 1e-8 to a count, in each of six layers.
    check_trajectories(inpainting, PartialConv2d, Composed, 6e-8)
    runs = [train(inpainting, kind) for kind in (PartialConv2d, Composed)]
    note = check_losses(*runs)
    memory = [peak_bytes(inpainting(kind, 1)) for kind in (PartialConv2d, Composed)]
    timings = interleave(benchmark, inpainting(PartialConv2d, 1), {"theirs": inpainting(Composed, 1)}, rounds=11)
    report(ledger, "inpainting U-Net, 64², batch 4", "pyharmony.nn.PartialConv2d", timings, (memory[0], memory[1]),
           note, "composed of torch's calls")  # fmt: skip
    gain = ratio(timings["theirs"], timings["ours"], "cpu")
    ledger.target("swapped in: a step of an inpainting U-Net v. composed", gain, 1.0, None, "x")
    ledger.target("swapped in: memory of that step v. composed", memory[0] / memory[1], 1.0, None, "x",
                  higher_is_better=False)  # fmt: skip


@pytest.mark.parametrize("norm", ["each forward", "each step"])
def bench_gan(benchmark: Any, ledger: Ledger, norm: str) -> None:
    """Exchanges the import of SpectralNormGroup, and the lines around the layers for its one line."""
    if norm == "each forward":
        # Eight layers' sums of 16 x 192 products are off by the root of their number of roundings; ten times that in a
        # few steps.
        check_trajectories(gan, norm, "torch", 10 * 8 * math.sqrt(16 * 192) * 2.0**-53)
    runs = [train(gan, kind) for kind in (norm, "torch")]
    note = check_losses(*runs)
    memory = [peak_bytes(gan(kind, 1)) for kind in (norm, "torch")]
    timings = interleave(benchmark, gan(norm, 1), {"theirs": gan("torch", 1)}, rounds=11)
    report(ledger, f"DCGAN, 32², batch 8, norms {norm}", "pyharmony.nn.SpectralNormGroup", timings,
           (memory[0], memory[1]), note, "torch.nn.utils.spectral_norm")  # fmt: skip
    gain = ratio(timings["theirs"], timings["ours"], "cpu")
    ledger.target(f"swapped in: a step of a DCGAN, norms {norm}, v. torch", gain, 1.0, None, "x")
