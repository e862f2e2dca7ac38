"""Optimisation steps compared with others', with images in memory, all in one process.

DoveNet's step, with its gradient penalty, is compared with the published one; those of pix2pix and GP-GAN with the same
networks and losses written only with torch: its norms, Adam over lists of tensors, eager. The others run in both
memory formats, and the faster one counts. --full measures larger batches and the full width.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable
from typing import Any

import pytest
from measure import Ledger, Timing, interleave

import pyharmony

torch = pytest.importorskip("torch", reason="torch is not installed")

import operations  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from bench_partial_conv import best, disc  # noqa: E402
from published_dovenet import PublishedStep  # noqa: E402

from pyharmony.learn.training import steps  # noqa: E402
from pyharmony.networks import models, nn  # noqa: E402

pytestmark = pytest.mark.usefixtures("two_threads_of_torch")

OURS = pyharmony.__version__
GROUP = "a training step of DoveNet at 256², 15 % mask"


def batch_of(images: int, device: Any = "cpu") -> dict[str, Any]:
    torch.manual_seed(0)
    pictures = {name: torch.rand(images, 3, 256, 256) * 2 - 1 for name in ("composite", "target")}
    return {name: x.to(device) for name, x in {**pictures, "mask": disc(images, 0.15, 1, torch.float32)}.items()}


def ours(width: int, penalty: bool = True, device: Any = "cpu", **settings: Any) -> Any:
    torch.manual_seed(0)
    model = models.create("dovenet", width=width, discriminator_width=width).to(device)
    return steps.create(model, gradient_penalty=10.0 if penalty else 0.0, **settings)


def published(width: int, batch: dict[str, Any], penalty: bool = True, last: bool = False) -> Callable[[], Any]:
    torch.manual_seed(0)
    step = PublishedStep(width, batch["mask"].device, gradient_penalty=penalty)
    memory = torch.channels_last if last else torch.contiguous_format
    for net in (step.generator, step.discriminator):
        net.to(memory_format=memory)
    pictures = [batch[name].contiguous(memory_format=memory) for name in ("composite", "target", "mask")]
    return lambda: step(*pictures)


def both_orders(slow: Timing, fast: Timing) -> float:
    """Returns the median ratio of adjacent runs, in either order."""
    pairs = [*zip(slow.cpu, fast.cpu, strict=True), *zip(slow.cpu[1:], fast.cpu)]
    return statistics.median(a / b for a, b in pairs)


def compare(
    benchmark: Any, ledger: Ledger, *, images: int, width: int = 16, penalty: bool = True, dtype: str = "float32",
    rounds: int = 5,
) -> float:  # fmt: skip
    """Returns the ratio of CPU times to the faster of the published step's formats."""
    batch = batch_of(images)
    step = ours(width, penalty, dtype=dtype)
    mine = functools.partial(step, batch)
    theirs = {
        f"published, {'channels-last' if last else 'planar'}": published(width, batch, penalty, last)
        for last in (False, True)
    }
    timings = interleave(benchmark, mine, theirs, rounds=rounds)
    fastest = best(timings, list(theirs))
    problem = f"{'fp32' if dtype == 'float32' else 'bf16'}, width {width}, batch {images}"
    problem += "" if penalty else ", no penalty"
    for name, call, against in (("training.steps", mine, None), (fastest, theirs[fastest], timings["ours"])):
        by_torch, native = operations.count(call)
        note = f"{sum(by_torch.values()):,} operations of torch"
        note += f", {sum(native.values()):,} native calls" if native else ""
        timing = timings["ours"] if against is None else timings[name]
        ledger.add(
            GROUP, problem, name, timing, version=OURS if against is None else torch.__version__, against=against,
            note=note,
        )  # fmt: skip
    return both_orders(timings[fastest], timings["ours"])


def bench_dovenet(benchmark: Any, ledger: Ledger) -> None:
    gain = compare(benchmark, ledger, images=4)
    ledger.target("DoveNet's training step, width 16, batch 4, with penalty, v. published", gain, 1.3, 2.0, "x")


def bench_dovenet_without_penalty(benchmark: Any, ledger: Ledger) -> None:
    compare(benchmark, ledger, images=4, penalty=False)


@pytest.mark.parametrize("images", [1, 8, pytest.param(32, marks=pytest.mark.full)])
def bench_dovenet_batches(benchmark: Any, ledger: Ledger, images: int) -> None:
    compare(benchmark, ledger, images=images, rounds=3)


@pytest.mark.full
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def bench_dovenet_whole(benchmark: Any, ledger: Ledger, dtype: str) -> None:
    compare(benchmark, ledger, images=1, width=64, dtype=dtype, rounds=3)


class TorchBatchNorm2d(torch.nn.BatchNorm2d):
    """torch's batch norm, and in place the activation that ours has in its pass."""

    def forward(self, x: Any) -> Any:
        y = super().forward(x)
        return y if self.negative_slope is None else F.leaky_relu_(y, self.negative_slope)


class TorchInstanceNorm2d(torch.nn.InstanceNorm2d):
    """torch's instance norm, and in place the activation that ours has in its pass."""

    def forward(self, x: Any) -> Any:
        y = super().forward(x)
        return y if self.negative_slope is None else F.leaky_relu_(y, self.negative_slope)


#: Our layers, and torch's own with the same attributes.
TORCH_LAYERS = {
    nn.BatchNorm2d: TorchBatchNorm2d, nn.InstanceNorm2d: TorchInstanceNorm2d, nn.Conv2d: torch.nn.Conv2d,
    nn.ConvTranspose2d: torch.nn.ConvTranspose2d,
}  # fmt: skip


def plain(model: Any) -> Any:
    """Returns the network with torch's own layers."""
    for module in model.modules():
        if type(module) in TORCH_LAYERS:
            module.__class__ = TORCH_LAYERS[type(module)]
    return model


def eager_pix2pix(model: Any, batch: dict[str, Any]) -> Callable[[], None]:
    """Returns pix2pix's own step: cross entropy, half of the discriminator's loss, 100 times the mean difference."""
    adam: Any = {"lr": 2e-4, "betas": (0.5, 0.999), "foreach": True}
    optimizers = [torch.optim.Adam(net.parameters(), **adam) for net in (model.generator, model.discriminator)]
    composite, target, mask = batch["composite"], batch["target"], batch["mask"]
    criterion = F.binary_cross_entropy_with_logits

    def step() -> None:
        output = model.generator(composite, mask)
        model.discriminator.requires_grad_(True)
        optimizers[1].zero_grad()
        fake = model.discriminator(composite, output.detach(), mask)
        real = model.discriminator(composite, target, mask)
        loss = (criterion(fake, torch.zeros_like(fake)) + criterion(real, torch.ones_like(real))) / 2
        loss.backward()
        optimizers[1].step()
        model.discriminator.requires_grad_(False)
        optimizers[0].zero_grad()
        fake = model.discriminator(composite, output, mask)
        (criterion(fake, torch.ones_like(fake)) + 100 * F.l1_loss(output, target)).backward()
        optimizers[0].step()

    return step


def eager_gp_gan(model: Any, batch: dict[str, Any], critics: int) -> Callable[[], None]:
    """Returns GP-GAN's own step: updates of the clipped critic, then one of the generator."""
    optimizers = [
        torch.optim.Adam(net.parameters(), lr=lr, betas=(0.5, 0.999), foreach=True)
        for net, lr in ((model.generator, 2e-3), (model.discriminator, 2e-4))
    ]
    composite, target = batch["composite"], batch["target"]

    def step() -> None:
        for _ in range(critics):
            for p in model.discriminator.parameters():
                p.data.clamp_(-0.01, 0.01)
            optimizers[1].zero_grad()
            with torch.no_grad():
                fake = model.generator(composite)
            (model.discriminator(target) - model.discriminator(fake)).backward()
            optimizers[1].step()
        model.discriminator.requires_grad_(False)
        optimizers[0].zero_grad()
        output = model.generator(composite)
        (0.001 * model.discriminator(output) + 0.999 * F.mse_loss(output, target)).backward()
        optimizers[0].step()
        model.discriminator.requires_grad_(True)

    return step


def beside_eager(
    benchmark: Any, ledger: Ledger, group: str, mine: Callable[[], Any], make: Callable[[bool], Callable[[], None]],
    problem: str, rounds: int = 5,
) -> float:  # fmt: skip
    theirs = {f"torch, eager, {'channels-last' if last else 'planar'}": make(last) for last in (False, True)}
    timings = interleave(benchmark, mine, theirs, rounds=rounds)
    fastest = best(timings, list(theirs))
    ledger.add(group, problem, "training.steps", timings["ours"], version=OURS)
    ledger.add(group, problem, fastest, timings[fastest], version=torch.__version__, against=timings["ours"])
    return both_orders(timings[fastest], timings["ours"])


def laid_out(model: Any, batch: dict[str, Any], last: bool) -> tuple[Any, dict[str, Any]]:
    memory = torch.channels_last if last else torch.contiguous_format
    return model.to(memory_format=memory), {k: x.contiguous(memory_format=memory) for k, x in batch.items()}


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("images", [1, 4, pytest.param(32, marks=pytest.mark.full)])
def bench_pix2pix(benchmark: Any, ledger: Ledger, images: int, norm: str) -> None:
    batch = batch_of(images)
    create: Any = functools.partial(models.create, "pix2pix", "small", norm=norm)
    step = steps.create(create())

    def make(last: bool) -> Callable[[], None]:
        model, pictures = laid_out(plain(create()), batch, last)
        return eager_pix2pix(model, pictures)

    problem = f"pix2pix, {norm} norm, width 16, 256², batch {images}, one thread"
    gain = beside_eager(benchmark, ledger, "Training steps of pix2pix and GP-GAN", lambda: step(batch), make, problem)
    if images == 4:
        ledger.target(f"pix2pix's training step, {norm} norm, width 16, batch 4, v. eager torch", gain, 1.2, 1.5, "x")


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("images", [4, 8, pytest.param(32, marks=pytest.mark.full)])
def bench_gp_gan(benchmark: Any, ledger: Ledger, images: int) -> None:
    """Times five updates of the critic and one of the generator; a batch norm of the bottleneck needs two samples."""
    critics = 5
    batch = {name: F.interpolate(x, (64, 64)) for name, x in batch_of(images).items() if name != "mask"}
    create: Any = functools.partial(models.create, "gp_gan", "small")
    step = steps.create(create(), critic_updates=critics, critic_updates_more=critics)

    def mine() -> None:
        for _ in range(critics):
            step(batch)

    def make(last: bool) -> Callable[[], None]:
        model, pictures = laid_out(plain(create()), batch, last)
        return eager_gp_gan(model, pictures, critics)

    problem = f"GP-GAN, preset small, 64², batch {images}, one thread"
    gain = beside_eager(benchmark, ledger, "Training steps of pix2pix and GP-GAN", mine, make, problem)
    if images == 4:
        ledger.target("GP-GAN's training step, small, batch 4, v. eager torch", gain, 1.2, 1.5, "x")
