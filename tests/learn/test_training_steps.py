"""The steps of the models: the losses that they lower, and what has to hold of every one of them."""

from __future__ import annotations

import copy
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from pyharmony.errors import ArgumentError, DeviceError, DTypeError, PyHarmonyError, ShapeError

torch = pytest.importorskip("torch", reason="torch is not installed")

from torch import Tensor, nn
from torch.nn import functional

from pyharmony.learn.training import precision, steps
from pyharmony.learn.training.steps import _adam, _step
from pyharmony.networks import losses, models

from .. import recoloured
from ..published_networks import PublishedBargainNet, PublishedEncoder, PublishedUNet3Plus

pytestmark = [pytest.mark.large, pytest.mark.networks, pytest.mark.usefixtures("one_torch_thread")]


class Case(NamedTuple):
    """A narrow model and how it is trained here.

    Attributes:
        model, config: the arguments of `models.create`.
        size: the sides of the images.
        settings: those of the step, for images that are learned by heart.
        falls: the loss that is to fall.
        share: what may be left of it after 20 steps; after fewer it has fallen less, in proportion.
        repaints: whether the output is to be nearer to the target than the composite is.
        extractor: the name and configuration of one.
    """

    model: str
    config: dict[str, Any]
    size: int
    settings: dict[str, Any]
    falls: str = "l1"
    share: float = 0.7
    repaints: bool = True
    extractor: tuple[str, dict[str, Any]] | None = None


#: The settings of the critic: one update for each of the generator.
EQUAL_UPDATES = {"critic_updates": 1, "critic_updates_more": 1}
LITE = {"width": 16, "discriminator_widths": (4, 6, 8, 8, 8, 8), "head_width": 8}
CASES = {
    "attention_unet": Case("attention_unet", {"width": 4, "depth": 6}, 64, {"lr": 5e-3}),
    "bargainnet": Case("bargainnet", {"width": 4, "encoder_width": 4, "depth": 6}, 64, {"lr": 5e-3}),
    "bargainnet, unet3plus": Case(
        "bargainnet", {"preset": "unet3plus", "width": 4, "encoder_width": 4}, 64, {"lr": 5e-3}
    ),
    "clicks": Case(
        "clicks",
        {"size": 64, "widths": (8, 8, 16, 16, 16), "depths": (1, 1, 1, 1, 1), "looks": 1},
        64,
        {"lr": 3e-3},
        "mask",
        share=0.9,
        repaints=False,
    ),
    "dovenet_lite": Case("dovenet_lite", LITE, 32, {"lr": 1e-3, "l1": 1e3}, share=0.9),
    "dovenet_lite, hinge": Case("dovenet_lite", LITE, 32, {"lr": 1e-3, "l1": 1e3, "adversary": "hinge"}, share=0.9),
    "gp_gan": Case("gp_gan", {"width": 8, "bottleneck": 64, "critic_width": 4, "skips": True}, 64, EQUAL_UPDATES, "l2"),
    "gp_gan, port": Case(
        "gp_gan",
        {"width": 8, "bottleneck": 64, "critic_width": 4, "skips": True},
        64,
        {**EQUAL_UPDATES, "clip_when": "after", "lr_discriminator": 5e-4, "l2": 0.99},
        "l2",
    ),
    "gp_gan, noise": Case(
        "gp_gan", {"supervised": False, "width": 4, "critic_width": 4, "nz": 7}, 64, EQUAL_UPDATES, "", repaints=False
    ),
    "gp_gan, penalty": Case(
        "gp_gan",
        {"width": 8, "bottleneck": 64, "critic_width": 4, "skips": True},
        64,
        {**EQUAL_UPDATES, "clip": None, "gradient_penalty": 10.0},
        "l2",
    ),
    "pix2pix": Case(
        "pix2pix",
        {"generator": "unet_64", "mask": True, "width": 4, "discriminator_width": 4},
        64,
        {"lr": 2e-3},
    ),
    "pix2pix, wgan_gp": Case(
        "pix2pix",
        {"generator": "unet_64", "norm": "instance", "width": 4, "discriminator_width": 4},
        64,
        {"lr": 2e-3, "preset": "wgan_gp"},
    ),
    "pix2pix, pixels": Case(
        "pix2pix",
        {
            "generator": "unet_32",
            "mask": True,
            "norm": "none",
            "discriminator": "pixel",
            "width": 16,
            "discriminator_width": 8,
        },
        32,
        {"lr": 5e-3},
    ),
    "pix2pix, one layer": Case(
        "pix2pix",
        {
            "generator": "resnet_6blocks",
            "mask": True,
            "norm": "instance",
            "discriminator": "n_layers",
            "discriminator_layers": 1,
            "width": 8,
            "discriminator_width": 4,
        },
        32,
        {"lr": 1e-3},
    ),
    "pix2pix_selfie": Case("pix2pix_selfie", {"width": 4, "depth": 5, "discriminator_width": 4}, 32, {"lr": 2e-3}),
    "colorgrid": Case(
        "colorgrid",
        {"view": 32, "size": 32, "point_width": 16, "hidden": 32, "reach": (1.0, 2.0), "drawn": (32, 48, 48)},
        32,
        {"lr": 5e-3},
        "rmse",
        repaints=False,
    ),
    "colorgrid, contours": Case(
        "colorgrid",
        {
            "view": 32,
            "size": 32,
            "point_width": 16,
            "hidden": 32,
            "reach": (1.0, 2.0),
            "drawn": (32, 48, 48),
            "heads": 2,
            "recall": True,
            "nearness": True,
        },
        32,
        {"lr": 5e-3, "scale": 0.1, "moved": 0.5, "cut_out": 0.3, "feathered": 0.3, "worn": 0.2, "fits": 0.1},
        "rmse",
        share=0.8,
        repaints=False,
    ),
    "pct_net": Case("pct_net", {"size": 32, "width": 8}, 32, {"min_area": 16.0, "lr": 5e-3}, "foreground_mse"),
    "pct_net, vit": Case(
        "pct_net",
        {"encoder": "vit", "size": 32, "token_width": 32, "layers": 2, "hidden": 64},
        48,
        {"preset": "vit", "min_area": 16.0, "lr": 5e-3},
        "foreground_mse",
    ),
    "realism_cnn": Case("realism_cnn", {"size": 32, "widths": (8, 8, 16)}, 32, {}, "loss", repaints=False),
    "srgan": Case("srgan", {"width": 24, "blocks": 1, "discriminator_width": 4}, 32, {"lr": 5e-3}, "l2"),
    "style_encoder": Case("style_encoder", {"width": 4}, 64, {"lr": 2e-3}, "triplet", repaints=False),
    "unet3plus": Case("unet3plus", {"width": 2, "branch": 2}, 32, {}),
    "unet3plus, style": Case(
        "unet3plus",
        {"width": 8, "branch": 4, "deep_supervision": False},
        64,
        {"lr": 5e-3, "style": 0.05, "distance": "foreground_mse", "gram": True},
        "foreground_mse",
        extractor=("style_encoder", {"kind": "features", "width": 4}),
    ),
    "unet3plus, codes": Case(
        "unet3plus",
        {"width": 4, "branch": 4},
        64,
        {"style": 0.01, "style_background": 0.01},
        extractor=("style_encoder", {"width": 4}),
    ),
}
#: Their tests are in files of their own.
OF_THEIR_OWN = {"dovenet"}
#: One of every step.
KINDS = (
    "attention_unet", "bargainnet", "clicks", "colorgrid", "dovenet_lite", "gp_gan", "gp_gan, noise", "pct_net",
    "pct_net, vit", "pix2pix", "pix2pix_selfie", "realism_cnn", "srgan", "style_encoder", "unet3plus",
)  # fmt: skip
#: Those that stand in the short form for what the steps inherit: with a mask, an adversary, a critic, and neither.
FEW = ("clicks", "colorgrid", "gp_gan", "pix2pix", "srgan")
EQUAL_UPDATES = [name if name in FEW else pytest.param(name, marks=pytest.mark.full) for name in KINDS]
#: Settings of every step: an optimizer, and more that it takes.
OPTIMIZERS: list[dict[str, Any]] = [
    {"optimizer": "adam", "weight_decay": 0.1, "clip_norm": 0.02},
    {"optimizer": "adamw", "weight_decay": 0.1},
    {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.1, "clip_norm": 0.02},
    {"optimizer": "sgd", "momentum": 0.0},
    {"optimizer": "rmsprop", "weight_decay": 0.1},
]
#: Those whose 12 steps take less than two seconds.
QUICK_KINDS = [name for name in KINDS if name != "dovenet_lite"]


def is_game(step: steps.Step) -> bool:
    """Returns whether a discriminator learns beside the generator."""
    return hasattr(step.model, "discriminator")


def made(name: str, seed: int = 0, config: dict[str, Any] | None = None, **settings: Any) -> steps.Step:
    """Returns the step of a case, with a model of its own."""
    case = CASES[name]
    torch.manual_seed(seed)
    extractor = models.create(case.extractor[0], **case.extractor[1]) if case.extractor else None
    model = models.create(case.model, **{**case.config, **(config or {})})
    return steps.create(model, extractor=extractor, **{**case.settings, **settings})


def still(name: str, lr: float = 1e-9, **settings: Any) -> steps.Step:
    """Returns a step that drops nothing and whose first update changes nothing that could be seen: Adam's is the sign
    of a gradient, which rounding turns where it is near 0."""
    outline = models.outline(CASES[name].model, **CASES[name].config)
    rates = ("lr_discriminator", "lr_generator") if name.startswith("gp_gan") else ("lr",)
    config = {"dropout": 0.0} if hasattr(outline.config, "dropout") else {}
    return made(name, config=config, **dict.fromkeys(rates, lr), **settings)


def batch_of(step: steps.Step, pairs: recoloured.Pairs, count: int = 2, start: int = 0) -> dict[str, Tensor]:
    """Returns some pairs in the form that the step takes."""
    if step.model.name == "srgan":
        target = pairs.in_unit_range().batch("target", count=count, start=start)["target"]
        return {"image": reduced(target, step.model.config.scale), "target": target}
    if step.model.name == "clicks":
        batch = pairs.in_unit_range().batch("target", "mask", count=count, start=start)
        return {"image": batch["target"], "mask": batch["mask"]}
    if step.model.name == "realism_cnn":
        batch = pairs.batch(count=count, start=start)
        return {"image": batch["target"], "composite": batch["composite"], "mask": batch["mask"]}
    pairs = pairs.in_unit_range() if step.low == 0 else pairs
    return pairs.batch(*step.inputs, count=count, start=start)


def reduced(target: Tensor, scale: int) -> Tensor:
    """Returns the bicubic reduction, in [0, 1]."""
    size = [side // scale for side in target.shape[2:]]
    return functional.interpolate(target, size=size, mode="bicubic", antialias=True).clamp(0, 1)


def output_of(step: steps.Step, batch: dict[str, Tensor]) -> Tensor:
    """Returns the model's output for a batch, at inference."""
    step.model.eval()
    with torch.no_grad():
        return step.model(*[batch[name] for name in step.inputs if name != "target"])


def live(step: steps.Step) -> dict[str, Any]:
    """Returns all that a step changes."""
    return {"model": step.model.state_dict(), "step": step.state_dict(), "random": torch.get_rng_state()}


def state_of(step: steps.Step) -> dict[str, Any]:
    """Returns a copy of all that a step changes."""
    return copy.deepcopy(live(step))


def differences(one: Any, other: Any, at: str = "") -> list[str]:
    """Returns where two nested states differ in a bit."""
    if isinstance(one, Tensor):
        same = isinstance(other, Tensor) and torch.equal(one, other)
        return [] if same else [at]
    if isinstance(one, dict):
        lines = [] if one.keys() == other.keys() else [f"{at}: {set(one) ^ set(other)}"]
        return lines + [
            line for key in one if key in other for line in differences(one[key], other[key], f"{at}/{key}")
        ]
    if isinstance(one, list):
        return [
            line for i, (a, b) in enumerate(zip(one, other, strict=True)) for line in differences(a, b, f"{at}/{i}")
        ]
    return [] if one == other else [at]


def parameters_of(network: nn.Module) -> list[nn.Parameter]:
    return list(network.parameters())


def norm_of_gradients(network: nn.Module) -> float:
    """Returns the norm of the gradients that the last update has left; Inf where one is not finite."""
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert gradients
    return float(torch.stack([g.square().sum() for g in gradients]).sum().sqrt())


# Training


@pytest.mark.parametrize(
    ("name", "iterations"),
    [
        (name, 12 if name in QUICK_KINDS else 2) if name in KINDS else pytest.param(name, 12, marks=pytest.mark.full)
        for name in CASES
    ]
    + [pytest.param(name, n, marks=pytest.mark.full) for name in CASES for n in (20, 200)],
)
def test_a_step_learns(name: str, iterations: int, data_dir: Path) -> None:
    """Losses with a target fall by 30 % in 20 steps; after 200 the output is nearer to it than what went in.

    Everything stays finite, and where there is an adversary both sides have gradients. Two steps show that alone.
    """
    case, step = CASES[name], made(name)
    pairs = recoloured.pairs(data_dir, case.size)
    count = 8 if case.model == "srgan" else 4
    history: list[float] = []
    for i in range(iterations):
        if i in (iterations * 3 // 4, iterations * 9 // 10) and iterations > 20:
            step.scale_lr(0.3 if i < iterations * 9 // 10 else 0.1)
        step_losses = step(batch_of(step, pairs, count, count * i))
        for loss, value in step_losses.items():
            assert value.ndim == 0 and not value.requires_grad and bool(torch.isfinite(value)), f"{loss} of step {i}"
        history += [float(step_losses[case.falls])] if case.falls in step_losses else []
        if is_game(step) and "discriminator" in step_losses:
            for side in ("generator", "discriminator"):
                assert 0 < norm_of_gradients(getattr(step.model, side)) < float("inf"), f"{side} in step {i}"
    assert step.count == iterations
    assert {"score/real", "score/fake"} <= set(step.observed) if is_game(step) else "score/real" not in step.observed
    assert all(x.ndim == 0 and not x.requires_grad and bool(torch.isfinite(x)) for x in step.observed.values())
    for key in step.optimizers if not step.settings.clip_norm else ():
        norm = norm_of_gradients(step.model if key == "model" else getattr(step.model, key))
        assert float(step.observed[f"gradient_norm/{key}"]) == pytest.approx(norm, rel=1e-4)
    if case.falls and iterations > 2:
        # Four batches are all of the pairs, twice of SRGAN's.
        most = 0.7 if iterations == 200 else 1 - (1 - case.share) * iterations / 20
        assert sum(history[-4:]) <= most * sum(history[:4])
    if iterations < 200:
        return
    batch = batch_of(step, pairs, 16)
    image = batch.get("composite")
    if case.model == "srgan":
        size = tuple(batch["target"].shape[2:])
        image = functional.interpolate(batch["image"], size=size, mode="bicubic").clamp(0, 1)
    if case.repaints:
        assert image is not None
        error, before = (float((x - batch["target"]).square().mean()) for x in (output_of(step, batch), image))
        assert error < before


@pytest.mark.parametrize(
    ("name", "settings"), [*((name, {}) for name in KINDS), *(("style_encoder", settings) for settings in OPTIMIZERS)]
)
def test_a_state_that_is_kept_goes_on_as_it_was(name: str, settings: dict[str, Any], data_dir: Path) -> None:
    """The state goes through a file; GP-GAN's is taken in the middle of the critic's share."""
    pairs = recoloured.pairs(data_dir, CASES[name].size)
    cycle = {**settings, **({"critic_updates": 2, "critic_updates_more": 3} if name.startswith("gp_gan") else {})}
    step = made(name, **cycle)
    for i in range(2):
        step(batch_of(step, pairs, start=2 * i))
    file = io.BytesIO()
    torch.save({"model": step.model.state_dict(), "step": step.state_dict()}, file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    other = made(name, seed=1, **cycle)
    other.model.load_state_dict(state["model"])
    other.load_state_dict(state["step"])
    assert other.count == 2
    after = []
    for one in (step, other):
        torch.manual_seed(5)
        step_losses = one(batch_of(one, pairs, start=4))
        after.append({**live(one), "losses": step_losses})
    assert differences(*after) == []


class Distance(steps.Step):
    """A step of one update by the squared distance."""

    settings_type = steps.AdamSettings

    def run(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        output = self.model(batch["composite"], batch["mask"])
        error = (output - batch["target"]).square().mean()
        self.update("model", error)
        return {"error": error}


@pytest.mark.parametrize("settings", OPTIMIZERS, ids=lambda settings: settings["optimizer"])
def test_updates_are_those_of_torch(settings: dict[str, Any], data_dir: Path) -> None:
    """Gradients are clipped as a whole, and biases and norms do not decay."""
    torch.manual_seed(0)
    model = models.create("unet3plus", width=2, branch=2)
    other = copy.deepcopy(model)
    step = Distance(model, steps.AdamSettings(lr=1e-3, channels_last=False, **settings))
    options = {**settings}
    clip, decay = options.pop("clip_norm", 0.0), options.pop("weight_decay", 0.0)
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    make: Any = {**kinds, "rmsprop": torch.optim.RMSprop}[options.pop("optimizer")]
    groups = [
        {"params": [p for p in other.parameters() if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in other.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer, clipped = make(groups, lr=1e-3, foreach=False, **options), []
    pairs = recoloured.pairs(data_dir, 32)
    for i in range(3):
        batch = batch_of(step, pairs, start=2 * i)
        step(batch)
        optimizer.zero_grad()
        (other.train()(batch["composite"], batch["mask"]) - batch["target"]).square().mean().backward()
        if clip:
            clipped.append(float(nn.utils.clip_grad_norm_(other.parameters(), clip)) > clip)
        optimizer.step()
    assert all(clipped)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        # Three updates by up to lr, each of a float32 gradient that was summed in another order.
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_adam_goes_on_with_a_state_of_torch_s_and_torch_with_ours(kind: str, data_dir: Path) -> None:
    """State dicts have the same keys, and what one has done the other goes on with, the fused one or not."""
    pairs = recoloured.pairs(data_dir, 32)
    model = models.create("unet3plus", width=2, branch=2)
    step = Distance(model, steps.AdamSettings(lr=1e-3, optimizer=kind, weight_decay=0.1))  # type: ignore[arg-type]
    step(batch_of(step, pairs))
    ours = step.optimizers["model"]
    assert type(ours) is {"adam": _adam.Adam, "adamw": _adam.AdamW}[kind]
    for fused in (True, False):
        groups = [{**group, "params": list(group["params"])} for group in ours.param_groups]
        other = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[kind](groups, fused=fused)
        for group in other.param_groups:
            group["fused"] = fused
        other.load_state_dict(copy.deepcopy(ours.state_dict()))
        before = [p.detach().clone() for p in model.parameters()]
        other.step()
        by_torch = [p.detach().clone() for p in model.parameters()]
        with torch.no_grad():
            torch._foreach_copy_(list(model.parameters()), before)
        again = copy.deepcopy(ours.state_dict())
        ours.step()
        for p, q in zip(model.parameters(), by_torch, strict=True):
            torch.testing.assert_close(p, q, rtol=1e-6, atol=1e-8)  # steps of 1e-3, of some roundings each
        with torch.no_grad():
            torch._foreach_copy_(list(model.parameters()), before)
        # Our optimizer takes torch's state as it takes its own.
        expected, state = ours.state_dict(), other.state_dict()
        assert [g.keys() for g in expected["param_groups"]] == [g.keys() for g in state["param_groups"]]
        assert {k: set(v) for k, v in expected["state"].items()} == {k: set(v) for k, v in state["state"].items()}
        for key, values in expected["state"].items():
            torch.testing.assert_close(state["state"][key], values, rtol=1e-6, atol=1e-12)
        step.load_state_dict({**step.state_dict(), "model": again})


def test_the_native_adam_has_no_variants() -> None:
    weight = nn.Parameter(torch.ones(3))
    weight.grad = torch.ones(3)
    with pytest.raises(ArgumentError, match="amsgrad: True"):
        _adam.Adam([weight], amsgrad=True).step()


def test_torch_s_adam_updates_what_the_native_one_does_not_take() -> None:
    models_of = [models.create("unet3plus", width=2, branch=2).to(dtype) for dtype in (torch.float32, torch.float64)]
    kinds = [type(Distance(model, steps.AdamSettings()).optimizers["model"]) for model in models_of]
    assert kinds == [_adam.Adam, torch.optim.Adam]


@pytest.mark.parametrize("settings", OPTIMIZERS, ids=lambda settings: settings["optimizer"])
def test_a_first_gradient_that_is_not_finite_leaves_no_trace_in_the_weights(
    settings: dict[str, Any], data_dir: Path
) -> None:
    step = made("unet3plus", **settings)
    batch = batch_of(step, recoloured.pairs(data_dir, 32))
    before = copy.deepcopy([*step.model.parameters()])
    step({**batch, "target": batch["target"] * float("inf")})
    assert all(torch.equal(a, b) for a, b in zip(before, step.model.parameters()))
    assert float(step.skipped) == 1
    step(batch)
    assert float(step.skipped) == 1
    assert all(bool(torch.isfinite(p).all()) for p in step.model.parameters())
    assert any(not torch.equal(a, b) for a, b in zip(before, step.model.parameters()))


@pytest.mark.parametrize(
    "name", ["bargainnet", "clicks", "colorgrid", "gp_gan", "gp_gan, noise", "pix2pix, wgan_gp", "srgan", "unet3plus"]
)
def test_losses_are_measured_and_nothing_changes(name: str, data_dir: Path) -> None:
    """They are those of inference, of both networks, and the same each time."""
    pairs = recoloured.pairs(data_dir, CASES[name].size)
    step = made(name)
    trained = step(batch_of(step, pairs))
    step.model.generator.eval() if is_game(step) else None
    before, observed = state_of(step), dict(step.observed)
    modes = [module.training for module in step.model.modules()]
    batch = batch_of(step, pairs, start=2)
    first, second = step.measure(batch), step.measure(batch)
    assert differences(before, live(step)) == [] and differences(first, second) == []
    assert step.observed.keys() == observed.keys() and all(step.observed[k] is x for k, x in observed.items())
    assert modes == [module.training for module in step.model.modules()] and not step.measures
    assert set(first) >= set(trained) and all(bool(torch.isfinite(x)) and not x.requires_grad for x in first.values())
    if CASES[name].falls == "l1":
        error = (output_of(step, batch) - batch["target"]).abs().mean()
        torch.testing.assert_close(first["l1"], error, rtol=1e-5, atol=1e-6)


def test_a_measured_batch_is_not_remembered(data_dir: Path) -> None:
    config = {**CASES["colorgrid, contours"].config, "judge": 8}
    settings = {"trains": "judge", "memory": 64, "replays": 1, "replayed": 4}
    torch.manual_seed(0)
    step: Any = steps.create(models.create("colorgrid", **config), **settings)
    pairs = recoloured.pairs(data_dir, 32)
    step(batch_of(step, pairs))
    step.measure(batch_of(step, pairs, start=2))
    assert len(step._memory) == 2


def test_the_state_of_another_step_is_refused() -> None:
    state = made("pix2pix").state_dict()
    for name in ("gp_gan", "unet3plus"):
        step = made(name)
        before = state_of(step)
        with pytest.raises(ArgumentError, match="state: has count, discriminator, generator; expected"):
            step.load_state_dict(state)
        assert differences(before, live(step)) == []


@pytest.mark.parametrize("name", EQUAL_UPDATES)
def test_bfloat16_and_another_layout_change_rounding_alone(name: str, data_dir: Path) -> None:
    """Weights and moments stay in float32.

    A factor of bfloat16 has 8 bits, and losses are means over many: they are within 3 %, or 3 % of 1 where they are
    near 0. Sums in another order, through all layers, change a loss by 1e-4, or 1e-4 of 1.
    """
    pairs = recoloured.pairs(data_dir, CASES[name].size)
    step_losses = {}
    for kind, dtype, channels_last in (
        ("float32", "float32", True),
        ("bfloat16", "bfloat16", True),
        ("planes", "float32", False),
    ):
        step = still(name, dtype=dtype, channels_last=channels_last)
        layers = [p for p in step.model.parameters() if p.ndim == 4 and min(p.shape[:2]) > 1 and p.shape[2] > 1]
        assert all(p.is_contiguous(memory_format=torch.channels_last) == channels_last for p in layers)
        torch.manual_seed(3)
        if hasattr(step.model, "maps"):  # they are the identity at first, whatever the layers before say
            last = step.model.experts[-1].last if name.startswith("colorgrid") else step.model.last
            torch.nn.init.normal_(last.weight, std=0.01)
            torch.manual_seed(3)
        step_losses[kind] = step(batch_of(step, pairs))
        assert all(loss.dtype == torch.float32 for loss in step_losses[kind].values())
        assert all(p.dtype == torch.float32 and bool(torch.isfinite(p).all()) for p in step.model.parameters())
        moments = [x for o in step.optimizers.values() for state in o.state.values() for x in state.values()]
        assert moments and all(x.dtype == torch.float32 for x in moments if isinstance(x, Tensor))
    for loss, value in step_losses["bfloat16"].items():
        torch.testing.assert_close(value, step_losses["float32"][loss], rtol=0.03, atol=0.03)
        torch.testing.assert_close(step_losses["planes"][loss], step_losses["float32"][loss], rtol=1e-4, atol=1e-4)
    assert any(not torch.equal(value, step_losses["float32"][loss]) for loss, value in step_losses["bfloat16"].items())


@pytest.mark.parametrize(
    "name",
    ["clicks", "colorgrid", "gp_gan", "gp_gan, noise", "pix2pix", pytest.param("unet3plus", marks=pytest.mark.full)],
)
def test_float16_is_near_and_goes_on_as_it_was(name: str, data_dir: Path) -> None:
    """It is as near as bfloat16, whose factors have 3 bits less; the scales are part of the state."""
    pairs = recoloured.pairs(data_dir, CASES[name].size)
    step_losses = {}
    for dtype in ("float32", "float16"):
        step = still(name, dtype=dtype)
        torch.manual_seed(3)
        step_losses[dtype] = step(batch_of(step, pairs))
        assert set(step.scales) == (set(step.optimizers) if dtype == "float16" else set())
    for loss, value in step_losses["float16"].items():
        torch.testing.assert_close(value, step_losses["float32"][loss], rtol=0.03, atol=0.03)
    step.scales[next(iter(step.scales))].value.mul_(0.5)
    other = still(name, dtype="float16", seed=1)
    other.model.load_state_dict(step.model.state_dict())
    other.load_state_dict(copy.deepcopy(step.state_dict()))
    after = []
    for one in (step, other):
        torch.manual_seed(5)
        one(batch_of(one, pairs, start=2))
        after.append(state_of(one))
    assert differences(*after) == []
    with pytest.raises(ArgumentError, match=r"state: has .*; expected .*scales"):
        other.load_state_dict(still(name).state_dict())


def test_a_scale_is_that_of_torch(monkeypatch: pytest.MonkeyPatch, data_dir: Path) -> None:
    """It halves with each gradient that is not finite and doubles after `interval` in a row that are."""
    monkeypatch.setattr(_step.LossScale, "interval", 3)
    model = models.create("unet3plus", width=2, branch=2)
    step = Distance(model, steps.AdamSettings(dtype="float16"))
    weight = nn.Parameter(torch.ones(()))
    optimizer, scaler = torch.optim.SGD([weight], 1e-3), torch.amp.GradScaler("cpu", growth_interval=3)
    batch = batch_of(step, recoloured.pairs(data_dir, 32))
    scales = []
    for bad in (0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0):
        factor = float("inf") if bad else 1.0
        step({**batch, "target": batch["target"] * factor})
        optimizer.zero_grad()
        scaler.scale(weight * factor).backward()
        scaler.step(optimizer)
        scaler.update()
        scales.append(float(step.scales["model"].value))
        assert scales[-1] == scaler.get_scale()
    assert max(scales) == 2.0**17 and min(scales) == 2.0**14 and float(step.skipped) == 3


def test_a_scale_is_no_part_of_the_update(data_dir: Path) -> None:
    """It is a power of two: without autocast the bits are those of float32, and the limit of the norm is the same."""
    pairs, states = recoloured.pairs(data_dir, 32), []
    for dtype in ("float32", "float16"):
        torch.manual_seed(0)
        step = Distance(models.create("unet3plus", width=2, branch=2), steps.AdamSettings(dtype=dtype, clip_norm=0.02))  # type: ignore[arg-type]
        for i in range(3):
            step(batch_of(step, pairs, start=2 * i))
        states.append(step.model.state_dict())
    assert differences(*states) == []


def test_a_step_of_ones_own_is_told_what_is_wrong_with_it(data_dir: Path) -> None:
    class Misspelt(Distance):
        def run(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
            self.update("modle", self.model(batch["composite"], batch["mask"]).mean())
            return {}

    class Bare(Distance):
        def run(self, batch: dict[str, Tensor]) -> Any:
            return self.model(batch["composite"], batch["mask"]).mean()

    pairs = recoloured.pairs(data_dir, 64)
    for kind, error, says in (
        (Misspelt, ArgumentError, r"^name: 'modle' is no optimizer of this step, expected model$"),
        (Bare, DTypeError, r"^Bare\.run: returned Tensor, expected a dict of named loss tensors"),
    ):
        step = kind(models.create("unet3plus", width=2, branch=2), steps.AdamSettings())
        with pytest.raises(error, match=says):
            step(batch_of(step, pairs))


def test_gradients_too_small_for_float16_are_kept_by_the_scale(data_dir: Path) -> None:
    class Faint(Distance):
        def run(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
            with self.autocast():
                output = self.model(batch["composite"], batch["mask"])
            error = 1e-6 * (output.float() - batch["target"]).square().mean()
            self.update("model", error)
            return {"error": error}

    def largest(scale: float) -> float:
        torch.manual_seed(0)
        step = Faint(models.create("unet3plus", width=2, branch=2), steps.AdamSettings(dtype="float16"))
        step.scales["model"].value.fill_(scale)
        step(batch_of(step, recoloured.pairs(data_dir, 32)))
        return max(float(p.grad.abs().max()) for p in step.model.encoder.parameters() if p.grad is not None)

    assert largest(1.0) < 1e-3 * largest(2.0**16)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", ["pix2pix, wgan_gp", "gp_gan, penalty"])
def test_a_gradient_penalty_is_not_computed_in_float16(name: str, dtype: str, data_dir: Path) -> None:
    """The gradient by a pixel, which no scale makes larger, would be 0 in it."""
    step = made(name, dtype=dtype)
    passes: list[bool] = []
    first = next(layer for layer in step.model.discriminator.modules() if isinstance(layer, nn.Conv2d))
    first.register_forward_pre_hook(lambda *_: passes.append(torch.is_autocast_enabled("cpu")))
    step(batch_of(step, recoloured.pairs(data_dir, CASES[name].size)))
    assert passes == [True, True, dtype == "bfloat16", True]  # target, output, between them, and for the generator


@pytest.mark.parametrize(
    ("flags", "limit", "dtype"),
    [
        ("avx2 fma", "", "float32"),
        ("avx2 avx512f avx512bw avx512_vnni", "", "float32"),
        ("avx2 avx512f avx512_bf16", "", "bfloat16"),
        ("avx2 amx_tile amx_bf16", "DEFAULT", "bfloat16"),
        ("asimd bf16 i8mm", "", "bfloat16"),
        ("avx2 avx512f avx512_bf16", "avx2", "float32"),
        ("avx2 avx512f avx512_bf16", "AVX512_CORE", "float32"),
        ("avx2 avx512f avx512_bf16", "AVX512_CORE_BF16", "bfloat16"),
        ("avx2 fma", "AVX512_CORE_BF16", "float32"),
    ],
)
def test_networks_are_trained_in_the_dtype_that_the_cpu_is_fast_in(
    monkeypatch: pytest.MonkeyPatch, flags: str, limit: str, dtype: str
) -> None:
    monkeypatch.setattr(precision, "cpu_flags", lambda: frozenset(flags.split()))
    monkeypatch.delenv("DNNL_MAX_CPU_ISA", raising=False)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    model = models.create("pix2pix", generator="unet_32", width=2, discriminator_width=2)
    step = steps.create(model, dtype="auto")
    assert step.settings.dtype == dtype
    with step.autocast():
        assert torch.is_autocast_enabled("cpu") == (dtype == "bfloat16")
    for name in ("float32", "bfloat16"):  # what somebody asks for is done
        assert steps.create(model, dtype=name).settings.dtype == name


def test_the_flags_of_this_cpu_are_read() -> None:
    if not Path("/proc/cpuinfo").exists():
        pytest.skip("/proc is not mounted")
    assert precision.cpu_flags() & {"sse2", "asimd"}


@pytest.mark.full
def test_a_limit_of_the_instruction_set_holds_for_the_dtype() -> None:
    code = (
        "from pyharmony import models; from pyharmony.learn.training import steps; "
        "print(steps.create(models.create('pix2pix', 'small'), dtype='auto').settings.dtype)"
    )
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    process = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert process.stdout == "float32\n"


# Refusals


def wrong_batches(step: steps.Step, batch: dict[str, Tensor]) -> list[tuple[dict[str, Any], str]]:
    """Returns batches that a step cannot take, with what the error says."""
    first, last = step.inputs[0], step.inputs[-1]
    batches: list[tuple[dict[str, Any], str]] = [
        ({name: x for name, x in batch.items() if name != last}, f"'{last}' is missing"),
        ({**batch, "picture": batch[last]}, "'picture' is unknown"),
        ({**batch, last: batch[last].double()}, f"{last}: torch.float64"),
        ({**batch, last: batch[last].numpy()}, f"{last}: ndarray"),
        ({**batch, last: batch[last][0]}, rf"{last}: shape \[3"),
        ({**batch, last: batch[last][:, :2]}, rf"{last}: shape \[2, 2"),
        ({name: x[:0] for name, x in batch.items()}, "is empty"),
        # No network takes sides that are odd, or of seven pixels.
        ({name: x[..., :7, :7] for name, x in batch.items()}, f"({first}|target|image): 7x7 pixels|times that"),
    ]
    if len(step.inputs) > 1:
        batches.append(({**batch, last: batch[last][..., :-16]}, f"{last}: "))
        batches.append(({**batch, last: batch[last][:1]}, rf"{last}: shape \[1, 3|mask: shape \[2, 1"))
    if "mask" in batch:
        wrong = batch["mask"].clone()
        wrong[0, 0, 0, 0] = 1.5
        batches.append(({**batch, "mask": wrong}, "mask: values 0 to 1.5, expected 0 to 1"))
        batches.append(({**batch, "mask": wrong - 1}, "mask: values -1 to 0.5, expected 0 to 1"))
        batches.append(({**batch, "mask": wrong * float("nan")}, "mask: values nan"))
        batches.append(({**batch, "mask": wrong[..., :-16]}, "mask: shape"))
        batches.append(({**batch, "mask": wrong[:1].clamp(0, 1)}, "mask: shape"))
    return batches


@pytest.mark.parametrize("name", [*KINDS, "unet3plus, codes", "unet3plus, style"])
def test_a_batch_that_is_refused_changes_nothing(name: str, data_dir: Path) -> None:
    step = made(name)
    pairs = recoloured.pairs(data_dir, CASES[name].size)
    batch = batch_of(step, pairs)
    step(batch)
    before = state_of(step)
    for wrong, says in wrong_batches(step, batch):
        with pytest.raises(PyHarmonyError, match=says):
            step(wrong)
        assert differences(before, live(step)) == [], says


@pytest.mark.parametrize(
    ("name", "size", "says"),
    [
        ("attention_unet", 32, "composite: 32x32 pixels, expected multiples of 64"),
        ("bargainnet", 32, "composite: 32x32 pixels, expected multiples of 64"),
        ("bargainnet, unet3plus", 72, "composite: 72x72 pixels, expected multiples of 16"),
        ("bargainnet, unet3plus", 48, "composite: 48x48 pixels, expected 63 or more"),
        ("dovenet_lite", 40, "composite: 40x40 pixels, expected multiples of 16"),
        ("gp_gan", 32, "target: 32x32 pixels, expected 64x64"),
        ("gp_gan, noise", 32, "target: 32x32 pixels, expected 64x64"),
        ("pct_net", 4, "composite: 4x4 pixels, expected 8 or more"),
        ("pix2pix", 32, "image: 32x32 pixels, expected multiples of 64"),
        ("pix2pix_selfie", 48, "image: 48x48 pixels, expected multiples of 32"),
        ("realism_cnn", 64, "image: 64x64 pixels, expected 32x32"),
        ("srgan", 8, "target: 8x8 pixels, expected 16 or more"),
        ("style_encoder", 32, "composite: 32x32 pixels, expected 63 or more"),
        ("unet3plus", 40, "composite: 40x40 pixels, expected multiples of 16"),
        ("unet3plus, codes", 32, "composite: 32x32 pixels, expected 63 or more"),
    ],
)
def test_a_size_that_does_not_fit_changes_nothing(name: str, size: int, says: str, data_dir: Path) -> None:
    step = made(name)
    pairs = recoloured.pairs(data_dir, size)
    before = state_of(step)
    with pytest.raises(ShapeError, match=says):
        step(batch_of(step, pairs))
    assert differences(before, live(step)) == []


@pytest.mark.parametrize(
    ("name", "size"), [("dovenet_lite", 64), ("gp_gan", 64), ("pix2pix_selfie", 32), ("srgan", 16), ("unet3plus", 16)]
)
def test_one_sample_that_leaves_batch_norms_nothing_changes_nothing(name: str, size: int, data_dir: Path) -> None:
    step = made(name)
    before = state_of(step)
    with pytest.raises(ShapeError, match="batch norm"):
        step(batch_of(step, recoloured.pairs(data_dir, size), count=1))
    assert differences(before, live(step)) == []


def test_a_residual_generator_sees_no_less_than_its_discriminator(data_dir: Path) -> None:
    step = steps.create(models.create("pix2pix", generator="resnet_9blocks", width=2, discriminator_width=2))
    before = state_of(step)
    with pytest.raises(ShapeError, match="composite: 16x16 pixels, expected 32 or more"):
        step(recoloured.pairs(data_dir, 16).batch("composite", "target", count=2))
    assert differences(before, live(step)) == []


@pytest.mark.parametrize("name", [kind for kind in KINDS if kind != "clicks"])
def test_a_step_is_captured_on_a_gpu_alone(name: str) -> None:
    step = made(name)
    with pytest.raises(DeviceError, match="model: on cpu"):
        step.capture({})


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("pix2pix", {"adversry": "hinge"}, "adversry: Pix2PixStep has no such setting; did you mean 'adversary'"),
        ("pix2pix", {"preset": "fast"}, "preset: 'fast', Pix2PixStep has published, wgan_gp"),
        ("pix2pix", {"gradient_penalty": -1.0}, "gradient_penalty: -1, expected at least 0"),
        ("pix2pix", {"foreground": -1.0}, "foreground: -1, expected at least 0"),
        ("pix2pix", {"adversary": "chess"}, "'chess', expected one of 'hinge'"),
        ("pix2pix", {"dtype": "float8"}, "dtype: 'float8', expected one of 'auto', 'float32', 'bfloat16', 'float16'"),
        ("dovenet_lite", {"verification": "much"}, "verification: str 'much', expected at least 0"),
        ("dovenet_lite", {"betas": (0.9, 1.0)}, "betas: "),
        ("gp_gan", {"clip": 0.0}, "clip: 0, expected more than 0"),
        ("gp_gan", {"clip_when": "later"}, "clip_when: 'later', expected one of 'before', 'after'"),
        ("gp_gan", {"l2": 1.5}, "l2: 1.5, expected 0 to 1"),
        ("gp_gan", {"gradient_penalty": 10.0}, "gradient_penalty: conflicts with clip"),
        ("gp_gan", {"critic_updates": 0}, "critic_updates: 0, expected a whole number of at least 1"),
        ("gp_gan", {"optimizer": "lion"}, "optimizer: 'lion', expected one of 'adam', 'adamw', 'sgd', 'rmsprop'"),
        ("pix2pix", {"momentum": 1.0}, "momentum: 1.0, expected 0 <= momentum < 1"),
        ("pix2pix", {"weight_decay": -0.1}, "weight_decay: -0.1, expected at least 0"),
        ("pix2pix", {"clip_norm": "all"}, "clip_norm: str 'all', expected at least 0"),
        ("colorgrid", {"clip": 1.0}, "clip: ColorGridStep has no such setting; did you mean 'clip_norm'"),
        ("gp_gan, noise", {"l2": 0.9}, "l2: 0.9, but the generator from noise has no target"),
        ("unet3plus", {"heads": (1.0, 0.5)}, "heads: 2 weights, expected 4 for this unet3plus"),
        ("unet3plus", {"heads": 1.0}, "heads: 1.0, expected a weight for each head"),
        ("unet3plus", {"heads": (1.0, 0.5, 0.2, -1)}, r"heads\[3\]: -1, expected at least 0"),
        ("unet3plus", {"style": 1.0}, "extractor: missing; style needs a style_encoder"),
        ("unet3plus", {"preset": "style_code"}, "extractor: missing"),
        ("unet3plus, codes", {"gram": True}, "gram: a code has no Gram matrix"),
        ("unet3plus, style", {"style_background": 1.0}, "style_background: features have no code"),
        ("unet3plus", {"distance": "l3"}, "distance: 'l3', expected one of 'l1', 'foreground_mse'"),
        ("bargainnet", {"margin": 0.0}, "margin: 0, expected more than 0"),
        ("bargainnet", {"background": -1.0}, "background: -1, expected at least 0"),
        ("bargainnet", {"style": -1.0}, "style: -1, expected at least 0"),
        ("realism_cnn", {"lr": 0.0}, "lr: 0, expected more than 0"),
        ("realism_cnn", {"unmasked": 1.5}, "unmasked: 1.5, expected 0 <= unmasked < 1"),
        ("realism_cnn", {"edges": -0.1}, "edges: -0.1, expected 0 <= edges < 1"),
        ("realism_cnn", {"gain": -1.0}, "gain: -1, expected at least 0"),
        ("pct_net", {"min_area": 0.0}, "min_area: 0, expected more than 0"),
        ("pct_net", {"smooth": -0.1}, "smooth: -0.1, expected at least 0"),
        ("srgan", {"perceptual": 0.1}, "extractor: missing; a perceptual loss needs one"),
        ("srgan", {"pretraining": -1}, "pretraining: -1, expected a whole number of at least 0"),
        ("srgan", {"content": "l0"}, "content: 'l0', expected one of 'l1', 'l2'"),
        ("style_encoder", {"margin": -1.0}, "margin: -1, expected more than 0"),
        ("style_encoder", {"together": 1}, "together: 1, expected True or False"),
        ("style_encoder", {"edges": 1.5}, "edges: 1.5, expected 0 <= edges < 1"),
        ("style_encoder", {"gamma": -0.1}, "gamma: -0.1, expected at least 0"),
    ],
)
def test_settings_that_are_refused(name: str, settings: dict[str, Any], says: str) -> None:
    with pytest.raises((ArgumentError, DTypeError), match=says):
        made(name, **settings)


def test_models_and_extractors_that_are_refused() -> None:
    features = models.create("style_encoder", "small_features")
    with pytest.raises(ArgumentError, match="kind='features' has no weights to train"):
        steps.create(features)
    with pytest.raises(ArgumentError, match="model: a unet3plus with a code input is trained with its encoder"):
        steps.create(models.create("unet3plus", width=2, branch=2, code=3))
    with pytest.raises(DTypeError, match="model: Conv2d, expected a Model"):
        steps.create(nn.Conv2d(1, 1, 1))  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="model: an outline without weights"):
        steps.create(models.outline("srgan", "small"))
    with pytest.raises(ArgumentError, match="extractor: given, but BargainNetStep uses none"):
        steps.create(models.create("bargainnet", width=2, encoder_width=4), extractor=features)
    with pytest.raises(DTypeError, match="extractor: Conv2d, expected a style_encoder"):
        steps.create(models.create("unet3plus", width=2, branch=2), extractor=nn.Conv2d(3, 3, 1))
    with pytest.raises(DeviceError, match="extractor: on meta, but the model is on cpu"):
        steps.create(models.create("srgan", "small"), extractor=nn.Conv2d(3, 3, 1, device="meta"))


def test_every_model_has_a_step() -> None:
    assert [info.name for info in models.list() if info.name not in _step._steps] == []


@pytest.mark.parametrize("name", sorted(_step._steps))
def test_presets_are_settings(name: str) -> None:
    step = _step._steps[name]
    for preset in step.presets:
        assert isinstance(_step.settings_of(step, {}, preset), step.settings_type)
    assert name in {case.model for case in CASES.values()} | OF_THEIR_OWN


# Each by itself


def plain(*networks: nn.Module) -> tuple[nn.Module, ...]:
    """Returns copies in training mode."""
    return tuple(copy.deepcopy(network).train() for network in networks)


def close(model: nn.Module, expected: nn.Module) -> None:
    """Asserts that all weights and statistics are those of a step that was written out, to the bit."""
    assert differences(dict(expected.state_dict()), dict(model.state_dict())) == []


@pytest.mark.parametrize(
    ("name", "config", "criterion"),
    [
        ("pix2pix", {"generator": "resnet_9blocks", "mask": True}, "cross entropy"),
        ("pix2pix", {"generator": "resnet_9blocks", "mask": True}, "least squares"),
        ("pix2pix_selfie", {"depth": 3, "discriminator": "patches"}, "least squares"),
    ],
)
def test_pix2pix_is_what_it_says(name: str, config: dict[str, Any], criterion: str, data_dir: Path) -> None:
    """torch alone gives the same: the game, the cross entropy of pix2pix and the least squares of the selfie system,
    and the mean absolute difference."""
    model: Any = models.create(name, **config, width=2, discriminator_width=2, dropout=0.0)
    batch = recoloured.pairs(data_dir, 32).batch(count=2)
    composite, mask, target = batch["composite"], batch["mask"], batch["target"]
    generator, discriminator = plain(model.generator, model.discriminator)
    of_its_own = criterion == ("cross entropy" if name == "pix2pix" else "least squares")
    step = steps.create(model, channels_last=False, **({} if of_its_own else {"adversary": "least_squares"}))
    step(batch)
    score = copy.deepcopy(discriminator)(composite, target, mask).mean().detach()
    torch.testing.assert_close(step.observed["score/real"], score, rtol=1e-4, atol=1e-5)

    game = functional.binary_cross_entropy_with_logits if criterion == "cross entropy" else functional.mse_loss
    adams = [
        torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=True)
        for network in (generator, discriminator)
    ]
    output = generator(composite, mask)
    real, fake = discriminator(composite, target, mask), discriminator(composite, output.detach(), mask)
    (0.5 * (game(real, torch.ones_like(real)) + game(fake, torch.zeros_like(fake)))).backward()
    adams[1].step()
    scores = discriminator(composite, output, mask)
    (game(scores, torch.ones_like(scores)) + 100 * (output - target).abs().mean()).backward()
    adams[0].step()
    for part, expected in ((step.model.generator, generator), (step.model.discriminator, discriminator)):
        for (key, value), other in zip(part.state_dict().items(), expected.state_dict().values(), strict=True):
            # Another formula of the same loss rounds otherwise; Adam's first step is 2e-4 whatever the gradient.
            torch.testing.assert_close(value, other, rtol=1e-5, atol=2e-6, msg=key)


def test_pix2pix_weighs_the_foreground(data_dir: Path) -> None:
    """With that weight alone the generator follows the mean square over the object."""
    model = models.create("pix2pix", "residual", width=2, discriminator_width=2)
    batch = recoloured.pairs(data_dir, 128).batch(count=2)
    (generator,) = plain(model.generator)
    losses = steps.create(model, l1=0.0, adversarial=0.0, foreground=5.0, channels_last=False)(batch)
    output = generator(batch["composite"], batch["mask"])
    error = (output - batch["target"]).square().sum((1, 2, 3)) / (3 * batch["mask"].sum((1, 2, 3)))
    adam = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=True)
    (5 * error.mean()).backward()
    adam.step()
    torch.testing.assert_close(losses["foreground"], error.mean().detach())
    for parameter, expected in zip(model.generator.parameters(), generator.parameters(), strict=True):
        torch.testing.assert_close(parameter, expected, rtol=1e-4, atol=1e-6)
    with pytest.raises(ArgumentError, match=r"foreground: 1\.0, but the model has no mask input"):
        steps.create(models.create("pix2pix", width=2, discriminator_width=2), foreground=1.0)


@pytest.mark.parametrize("when", ["before", "after"])
def test_gp_gan_is_what_it_says(when: str, data_dir: Path) -> None:
    """torch alone gives the same: a call for the critic, and one for both; the critic is low on what is real."""
    model = models.create("gp_gan", width=4, bottleneck=16, critic_width=4)
    pairs = recoloured.pairs(data_dir, 64)
    generator, critic = plain(model.generator, model.discriminator)
    step = steps.create(model, critic_updates_more=2, clip_when=when, channels_last=False)
    adam_g = _adam.Adam(generator.parameters(), lr=2e-3, betas=(0.5, 0.999), fused=True)
    adam_d = _adam.Adam(critic.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=True)

    def clamp() -> None:
        for parameter in critic.parameters():
            parameter.data.clamp_(-0.01, 0.01)

    for call in range(2):
        batch = pairs.batch("composite", "target", count=3, start=3 * call)
        step_losses = step(batch)
        output = generator(batch["composite"])
        if when == "before":
            clamp()
        adam_d.zero_grad()
        (critic(batch["target"]) - critic(output.detach())).backward()
        adam_d.step()
        if when == "after" or call == 0:  # before the first call's update is after that of the last
            clamp()
        if call == 1:
            score = critic(output)
            adam_g.zero_grad()
            ((1 - 0.999) * score + 0.999 * (output - batch["target"]).square().mean()).backward()
            adam_g.step()
            assert float(step_losses["adversarial"]) == pytest.approx(float(score.detach()), rel=1e-5)
        assert set(step_losses) == ({"discriminator", "adversarial", "l2"} if call else {"discriminator"})
        close(step.model.discriminator, critic)
        close(step.model.generator, generator)


class ClippedApart(steps.gp_gan.GPGanStep):
    """The step as it is described: every clip is a pass of its own, before or after each update of the critic."""

    _clips_before = False

    def run(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        if self.settings.clip_when == "before":
            losses.clip_parameters(self.model.discriminator, 0.01)
        return super().run(batch)

    def update(self, name: str, loss: Tensor, *, clip: float | None = None) -> None:
        super().update(name, loss)
        if name == "discriminator" and self.settings.clip_when == "after":
            losses.clip_parameters(self.model.discriminator, 0.01)


@pytest.mark.covering(1)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("optimizer", "updates", "accumulate"),
    [("adam", 1, 1), ("adam", 1, 2), ("adam", 3, 1), ("adam", 3, 2), ("rmsprop", 3, 1)],
)
def test_a_clip_in_an_update_s_pass_is_one_apart(
    optimizer: str, when: str, updates: int, accumulate: int, data_dir: Path
) -> None:
    """To the bit: also after an update that is left out, and with states that are kept and loaded in a cycle."""
    pairs = recoloured.pairs(data_dir, CASES["gp_gan"].size)
    settings = {
        "optimizer": optimizer, "clip_when": when, "critic_updates": updates, "critic_updates_more": updates,
        "lr_discriminator": 3e-3,
    }  # fmt: skip

    def new(state: tuple[Any, Any] | None = None) -> Any:
        step = made("gp_gan", **settings)
        if state is not None:
            step.model.load_state_dict(state[0])
            step.load_state_dict(state[1])
        step.accumulate = accumulate
        return step

    apart = new()
    apart.__class__ = ClippedApart
    step = new()
    measured = batch_of(step, pairs)
    for call in range(8 * accumulate):
        if call in (2 * accumulate, 5 * accumulate):
            # The first state is of the step itself, the second of one whose critic is clipped later.
            of = step if call == 2 * accumulate else apart
            step = new((copy.deepcopy(of.model.state_dict()), copy.deepcopy(of.state_dict())))
        batch = batch_of(step, pairs, start=2 * (call % 3))
        if call == accumulate:
            batch = {**batch, "target": batch["target"] * torch.nan}
        ours, theirs = step(batch), apart(batch)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)
        torch.testing.assert_close(step.measure(measured), apart.measure(measured), rtol=0, atol=0, equal_nan=True)
        critics = [one.model.discriminator.state_dict() for one in (step, apart)]
        if when == "before" and step.critic_count:  # ours is clipped already
            critics[1] = {
                k: x.clamp(-0.01, 0.01) if k in dict(apart.model.discriminator.named_parameters()) else x
                for k, x in critics[1].items()
            }
        torch.testing.assert_close(*critics, rtol=0, atol=0, equal_nan=True)
        torch.testing.assert_close(
            step.model.generator.state_dict(), apart.model.generator.state_dict(), rtol=0, atol=0, equal_nan=True
        )
    assert float(apart.skipped) == 1 + (updates == 1)


def test_steps_of_gp_gan_that_clip_otherwise_are_other_phases() -> None:
    """A graph is captured of each: with the clip first, with it in the update's pass, and without."""
    step: Any = steps.create(
        models.create("gp_gan", width=2, bottleneck=4, critic_width=2), critic_updates_more=3, more_until=9
    )
    phases = []
    for _ in range(7):
        phases.append(step._phase())
        step._advance()
    assert phases == [(False, True), (False, False), (True, False)] * 2 + [(False, True)]
    step.load_state_dict(step.state_dict())
    assert step._phase() == (False, True)


def test_gp_gan_updates_the_critic_as_often_as_published() -> None:
    """It has 100 updates for each of the first 25 and every 500th update of the generator, else 5."""
    step: Any = steps.create(models.create("gp_gan", width=2, bottleneck=4, critic_width=2))
    shares: list[int] = []
    since = 0
    while len(shares) < 1002:
        since += 1
        if step._updates_both:
            shares.append(since)
            since = 0
        step._advance()
    assert [i for i, share in enumerate(shares) if share == 100] == [*range(25), 500, 1000]
    assert {share for share in shares if share != 100} == {5}
    assert (step.generator_count, step.critic_count, step.count) == (1002, 0, sum(shares))


def test_gp_gan_has_the_published_optimizers() -> None:
    step = steps.create(models.create("gp_gan", width=2, bottleneck=4, critic_width=2))
    assert {name: (type(o), o.defaults["lr"], o.defaults["betas"]) for name, o in step.optimizers.items()} == {
        "discriminator": (_adam.Adam, 2e-4, (0.5, 0.999)),
        "generator": (_adam.Adam, 2e-3, (0.5, 0.999)),
    }
    step = steps.create(models.create("gp_gan", "unsupervised", width=2, critic_width=2))
    assert step.inputs == ("target",)
    assert {name: (type(o), o.defaults["lr"]) for name, o in step.optimizers.items()} == {
        "discriminator": (torch.optim.RMSprop, 5e-5),
        "generator": (torch.optim.RMSprop, 5e-5),
    }
    port: Any = steps.create(models.create("gp_gan", width=2, bottleneck=4, critic_width=2), "port").settings
    assert (port.lr_discriminator, port.lr_generator, port.l2, port.clip_when) == (5e-4, 5e-4, 0.99, "after")
    assert (port.critic_updates, port.critic_updates_more, port.more_until) == (5, 50, 15)


def loss_that_was_left(step: steps.Step, batch: dict[str, Tensor], loss: Callable[[nn.Module], Tensor]) -> None:
    """Asserts that a step leaves the gradients of a loss, written out on a copy of its model before it."""
    (expected,) = plain(step.model)
    step(batch)
    loss(expected).backward()
    for (name, parameter), other in zip(step.model.named_parameters(), expected.parameters(), strict=True):
        if other.grad is not None and parameter.grad is not None:
            scale = float(other.grad.abs().max())
            torch.testing.assert_close(parameter.grad, other.grad, rtol=1e-3, atol=1e-4 * scale + 1e-9, msg=name)


def test_deep_supervision_weighs_the_heads(data_dir: Path) -> None:
    batch = recoloured.pairs(data_dir, 32).batch(count=2)
    weights = (1.0, 0.5, 0.25, 0.125)
    step = made("unet3plus", heads=weights, channels_last=False)

    def loss(model: Any) -> Tensor:
        pictures = model.deep(batch["composite"], batch["mask"])
        return sum(w * (y - batch["target"]).abs().mean() for w, y in zip(weights, pictures, strict=True))

    loss_that_was_left(step, batch, loss)
    assert made("unet3plus")._heads == (0.25,) * 4  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["pct_net", "pct_net, vit"])
def test_pct_net_weighs_the_error_by_the_area_and_the_slope_of_its_maps(name: str, data_dir: Path) -> None:
    """The image has another size than the network's, and objects are below and above the least area."""
    batch = recoloured.pairs(data_dir, 40).in_unit_range().batch(count=3)
    area = batch["mask"].sum((1, 2, 3))
    least = float(area.median()) + 1
    assert float(area.max()) > least
    settings = {"min_area": least, "smooth": 0.5, "channels_last": False}
    step = made(name, config={"dropout": 0.0}, **settings)
    torch.nn.init.normal_(step.model.last.weight, std=0.1)  # type: ignore[union-attr,arg-type]
    cnn = step.model.config.encoder == "cnn"
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
    filters = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
    terms: dict[str, Tensor] = {}

    def loss(model: Any) -> Tensor:
        y = model(batch["composite"], batch["mask"])
        error = (y - batch["target"]) / (std[:, None, None] if cnn else 1)
        terms["foreground_mse"] = (error.square().sum((1, 2, 3)) / (3 * area.clamp_min(least))).mean()
        maps = model.transforms(batch["composite"], batch["mask"]).change.reshape(-1, 3, 4, 32, 32)
        if cnn:  # of (x - mean) / std
            normal = torch.eye(4)
            normal[:3, :3], normal[:3, 3] = std.diag(), mean
            maps = torch.einsum("noiyx,ij->nojyx", maps, normal)
        wide = functional.pad(maps.reshape(-1, 1, 32, 32), (1, 1, 1, 1), mode="replicate")
        x, y = (functional.conv2d(wide, kernel[None, None]) for kernel in (filters, filters.T))
        terms["slope"] = (x.square() + y.square() + 1e-8).sqrt().mean()
        return terms["foreground_mse"] + 0.5 * terms["slope"]

    (expected,) = plain(step.model)
    step_losses = step(batch)
    loss(expected).backward()
    expected_gradients = [p.grad for p in expected.parameters() if p.grad is not None]
    # The scale is that of all gradients: a bias before a batch norm has no gradient but rounding.
    scale = max(float(gradient.abs().max()) for gradient in expected_gradients)
    for (key, parameter), gradient in zip(step.model.named_parameters(), expected_gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-5 * scale, msg=key)
    assert step_losses.keys() == terms.keys()
    for key, value in step_losses.items():
        torch.testing.assert_close(value, terms[key].detach(), rtol=1e-4, atol=1e-7)


def test_a_slope_of_one_a_pixel_is_one() -> None:
    ramp = torch.arange(6.0).expand(1, 2, 5, 6)
    inner = torch.tensor([0.5, 1, 1, 1, 1, 0.5])  # a border is continued by itself
    assert float(steps.pct_net.slope(ramp)) == pytest.approx(float(inner.mean()), abs=1e-6)
    assert float(steps.pct_net.slope(ramp.mT)) == pytest.approx(float(inner.mean()), abs=1e-6)
    flat = torch.full((1, 12, 4, 4), 0.3, requires_grad=True)
    value = steps.pct_net.slope(flat)
    value.backward()
    assert float(value.detach()) == pytest.approx(1e-4) and flat.grad is not None and not flat.grad.any()


def test_a_style_is_added_and_its_encoder_is_left_alone(data_dir: Path) -> None:
    batch = recoloured.pairs(data_dir, 64).batch(count=2)
    step = made("unet3plus, codes", style=0.3, style_background=0.2, channels_last=False)
    encoder: Any = step.extractor
    before = copy.deepcopy(encoder.state_dict())

    def loss(model: Any) -> Tensor:
        pictures = model.deep(batch["composite"], batch["mask"])
        distance = sum((y - batch["target"]).abs().mean() for y in pictures) / 4
        code = encoder(pictures[0], batch["mask"])
        style = (code - encoder(batch["target"], batch["mask"])).norm(dim=1).mean()
        background = (code - encoder(batch["target"], 1 - batch["mask"])).norm(dim=1).mean()
        return distance + 0.3 * style + 0.2 * background

    encoder.eval().requires_grad_(False)
    loss_that_was_left(step, batch, loss)
    assert differences(before, encoder.state_dict()) == []
    encoder.train().requires_grad_(True)
    step(batch)
    assert differences(before, encoder.state_dict()) == []
    assert not encoder.training and all(p.grad is None for p in encoder.parameters())


@pytest.mark.parametrize(("preset", "full_scale"), [("published", False), ("hcoco", False), ("hcoco", True)])
def test_three_steps_of_bargainnet_are_the_published_ones(
    preset: str, full_scale: bool, tmp_path: Path, data_dir: Path
) -> None:
    """Published networks, losses and optimizers in plain torch give the same, from the same weights.

    The code on HCOCO has one Adam for each network, which is the same as one for both.
    """
    torch.manual_seed(0)
    size = 64 if full_scale else 256
    generator: Any = PublishedUNet3Plus(2) if full_scale else PublishedBargainNet(2)
    encoder = PublishedEncoder(4, "batch" if full_scale else "instance")
    for module in (*generator.modules(), *encoder.modules()):
        if preset == "published" and isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0, 0.02)
        elif isinstance(module, nn.Dropout):
            module.p = 0.0

    def converted() -> Any:
        torch.save(generator.state_dict() if full_scale else generator.published(), tmp_path / "G.pth")
        torch.save(encoder.state_dict(), tmp_path / "E.pth")
        return models.convert([tmp_path / "G.pth", tmp_path / "E.pth"], "bargainnet", dropout=0.0)

    model = converted()
    is_first = preset == "published"
    weight = 1e-4 if full_scale else 0.01
    step = steps.create(model, preset, triplet=weight)
    options: dict[str, Any] = {"lr": 1e-4} if is_first else {"lr": 2e-3, "betas": (0.5, 0.999)}
    adam = torch.optim.Adam([*generator.parameters(), *encoder.parameters()], **options)
    triplet = nn.TripletMarginLoss(margin=0.1 if is_first else 1, p=2)
    generator.train()
    encoder.train()
    pairs = recoloured.pairs(data_dir, size)
    for i in range(3):
        batch = pairs.batch(count=1, start=i)
        composite, mask, target = batch["composite"], batch["mask"], batch["target"]
        background = encoder(target, 1 - mask)
        if full_scale:
            output = generator(torch.cat([composite, mask, background.expand(-1, -1, size, size)], 1))
        else:
            output = generator(composite, mask, background)
        real, output_code, before = (encoder(x, mask) for x in (target, output, composite))  # [1, 16, 1, 1]
        y, x = (mask[0, 0] > 0).nonzero(as_tuple=True)
        box = (0, slice(None), slice(int(y.min()), int(y.max())), slice(int(x.min()), int(x.max())))
        crops = [picture[box].reshape(1, 3, -1) for picture in (output, target)]
        grams = [torch.bmm(crop, crop.transpose(1, 2)) / (crop.shape[2] + 1e-6) for crop in crops]
        l1, style = (output - target).abs().mean(), functional.mse_loss(*grams)
        triplets = triplet(real, output_code, before) + (1 if is_first else 0.5) * triplet(
            output_code, background, before
        )
        adam.zero_grad()
        (l1 + (0 if is_first else 0.01) * style + weight * triplets).backward()
        adam.step()
        step_losses = step(batch)
        # Rounding turns the sign of gradients that are 0 but for it, and of such a step of Adam's: by the third step
        # biases before norms differ, and sums of what follows in their last places.
        for name, loss in (("l1", l1), ("triplet", triplets), *([] if is_first else [("style", style)])):
            rtol = 1e-5 if is_first else 1e-4
            torch.testing.assert_close(step_losses[name], loss.detach(), rtol=rtol, atol=1e-6, msg=f"{name}, {i}")
    for (name, one), other in zip(model.named_parameters(), converted().parameters(), strict=True):
        # Adam gives a weight whose gradient is rounding alone, like a bias before a batch norm, a step of any sign.
        if is_first and name != "encoder.last.bias":
            torch.testing.assert_close(one, other, rtol=0, atol=5e-6, msg=name)


def test_the_encoder_of_bargainnet_sees_its_space(data_dir: Path) -> None:
    """By HSV and HLS, too, the triplets reach the generator."""
    batch = recoloured.pairs(data_dir, 64).batch(count=1)
    composite, mask, target = batch["composite"], batch["mask"], batch["target"]
    config: dict[str, Any] = {"preset": "unet3plus", "width": 2, "encoder_width": 4}
    for space, convert in (("hsv", losses.rgb_to_hsv), ("hls", losses.rgb_to_hls)):
        torch.manual_seed(0)
        model = models.create("bargainnet", space=space, **config)
        step = steps.create(model, "hcoco", channels_last=False, l1=0.0, style=0.0, background=0.9)
        (expected,) = plain(model)
        background = expected.encoder(convert(target), 1 - mask)
        output = expected.generator(composite, mask, background)
        codes = [expected.encoder(convert(x), mask) for x in (target, output, composite)]
        real, output_code, before, background = (x[:, :, None, None] for x in (*codes, background))
        margin = nn.TripletMarginLoss(margin=1, p=2)
        expected_loss = margin(real, output_code, before) + 0.9 * margin(output_code, background, before)
        torch.testing.assert_close(step(batch)["triplet"], expected_loss.detach(), rtol=1e-5, atol=1e-6)
        head = model.generator.heads[0].weight
        assert head.grad is not None and float(head.grad.abs().max()) > 0
        inside = model.eval()(composite, mask)
        assert torch.equal(inside, model(composite, mask, model.encoder(convert(composite), 1 - mask)))


def test_triplets_of_bargainnet_may_be_of_codes(data_dir: Path) -> None:
    """This is as in the paper; three steps above have those of single numbers, as in the published code."""
    batch = recoloured.pairs(data_dir, 256).batch(count=1)
    composite, mask, target = batch["composite"], batch["mask"], batch["target"]
    torch.manual_seed(0)
    model = models.create("bargainnet", width=2, encoder_width=4, dropout=0.0)
    step = steps.create(model, channels_last=False, each_number=False)

    def loss(model: Any) -> Tensor:
        background = model.encoder(target, 1 - mask)
        output = model.generator(composite, mask, background)
        real, output_code, before = (model.encoder(x, mask) for x in (target, output, composite))
        margin = nn.TripletMarginLoss(margin=0.1, p=2)
        return (output - target).abs().mean() + 0.01 * (
            margin(real, output_code, before) + margin(output_code, background, before)
        )

    loss_that_was_left(step, batch, loss)
    adam = step.optimizers["model"]
    assert adam.defaults["lr"] == 1e-4 and adam.defaults["betas"] == (0.9, 0.999)
    assert len(adam.param_groups[0]["params"]) == len(parameters_of(model))


def test_style_encoder_is_what_it_says(data_dir: Path) -> None:
    """The losses are the published triplets, and the same of codes of one batch."""
    batch = recoloured.pairs(data_dir, 64).batch(count=4)
    composite, mask, target = batch["composite"], batch["mask"], batch["target"]
    margin = nn.TripletMarginLoss(margin=0.1, p=2)

    def triplets(*codes: Tensor) -> Tensor:
        real, background, before = (code[:, :, None, None] for code in codes)
        return margin(real, real, before) + margin(real, background, before)

    def published(model: Any) -> Tensor:
        return triplets(model(target, mask), model(target, 1 - mask), model(composite, mask))

    def together(model: Any) -> Tensor:
        pictures, regions = torch.cat([target, target, composite]), torch.cat([mask, 1 - mask, mask])
        return triplets(*model(pictures, regions).split(4))

    for loss, one_batch in ((published, False), (together, True)):
        torch.manual_seed(0)
        step = steps.create(models.create("style_encoder", width=4), channels_last=False, together=one_batch)
        (expected,) = plain(step.model)
        step_losses = step(batch)
        expected_loss = loss(expected)
        torch.testing.assert_close(step_losses["triplet"], expected_loss.detach(), rtol=1e-5, atol=1e-6)
        expected_loss.backward()
        for (name, parameter), other in zip(step.model.named_parameters(), expected.parameters(), strict=True):
            if name != "net.last.bias":  # it is the same in both codes of a difference
                scale = float(other.grad.abs().max())
                torch.testing.assert_close(parameter.grad, other.grad, rtol=1e-3, atol=1e-4 * scale, msg=name)


def test_style_encoder_has_the_variations_of_the_realism_cnn(data_dir: Path) -> None:
    """Without them the same batch gives the same loss; with either of them it does not."""
    batch = recoloured.pairs(data_dir, 64).batch(count=4)

    def loss(**settings: Any) -> float:
        torch.manual_seed(0)
        step = steps.create(models.create("style_encoder", width=4), margin=100.0, **settings)
        return float(step(batch)["triplet"])

    assert loss() == loss()
    for settings in ({"edges": 0.9}, {"gamma": 0.5}, {"gain": 0.5}):
        assert loss(**settings) != loss()


def test_the_lite_dovenet_is_what_it_says(data_dir: Path) -> None:
    """The generator's gradients are those after the discriminator's update."""
    batch = recoloured.pairs(data_dir, 64).in_unit_range().batch(count=2)
    torch.manual_seed(0)
    step = steps.create(models.create("dovenet_lite", **LITE), channels_last=False, adversarial=2.0, verification=3.0)
    model: Any = step.model
    (before,) = plain(model.generator)
    step(batch)
    output = before(batch["composite"], batch["mask"])
    (judge,) = plain(model.discriminator)
    scores = judge(output, batch["mask"])
    cross = functional.binary_cross_entropy_with_logits
    loss = 100 * (output - batch["target"]).abs().mean()
    for weight, score in zip((2.0, 3.0), scores, strict=True):
        loss = loss + weight * cross(score, torch.ones_like(score))
    loss.backward()
    for parameter, other in zip(model.generator.parameters(), before.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, other.grad, rtol=1e-3, atol=1e-4 * float(other.grad.abs().max()))


def test_a_mask_tells_the_realism_cnn_nothing_by_its_presence(data_dir: Path) -> None:
    """One image as photograph and as composite, with a mask, has the loss of a coin, and no better."""
    step = made("realism_cnn")
    batch = recoloured.pairs(data_dir, 32).batch("target", "mask", count=4)
    for _ in range(5):
        step_losses = step({"image": batch["target"], "composite": batch["target"], "mask": batch["mask"]})
        assert float(step_losses["accuracy"]) <= 0.5
    without = step({"image": batch["target"], "composite": batch["target"]})
    assert set(without) == {"loss", "accuracy"}


def varied(data_dir: Path, **settings: Any) -> tuple[dict[str, Tensor], list[Tensor]]:
    """Returns eight pairs, and the batch that the network is shown of them: photographs, composites, masks."""
    step = made("realism_cnn", **settings)
    batch = batch_of(step, recoloured.pairs(data_dir, 32), count=8)
    torch.manual_seed(1)
    return batch, list(step._varied(batch["image"], batch["composite"], batch["mask"]))  # type: ignore[attr-defined]


def test_edges_mix_next_to_the_border_alone(data_dir: Path) -> None:
    batch, (image, composite, mask) = varied(data_dir, edges=0.7)
    assert torch.equal(mask, batch["mask"])
    wide, narrow = functional.max_pool2d(mask, 3, 1, 1), -functional.max_pool2d(-mask, 3, 1, 1)
    near = (wide - narrow).expand_as(image) > 0
    for mixed, own, other in (
        (image, batch["image"], batch["composite"]),
        (composite, batch["composite"], batch["image"]),
    ):
        changed = mixed != own
        assert bool(changed.flatten(1).any(1).any()) and not bool(changed.flatten(1).any(1).all())
        assert not bool((changed & ~near).any())
        share = ((mixed - own) / (other - own))[changed & ((other - own).abs() > 0.1)]
        assert float(share.min()) > 0 and float(share.max()) <= 0.5 + 1e-4


def test_light_changes_both_of_a_pair_alike(data_dir: Path) -> None:
    step = made("realism_cnn", gamma=0.4, gain=0.2)
    image = recoloured.pairs(data_dir, 32).batch("target", count=8)["target"]
    varied, composite, _ = step._varied(image, image, None)  # type: ignore[attr-defined]
    assert torch.equal(varied, composite) and float(varied.min()) >= -1 and float(varied.max()) <= 1
    assert bool((varied != image).flatten(1).any(1).all())
    # All pixels of a channel have one curve: what was in order stays so.
    order = image[:, 0].flatten(1).argsort(1)
    assert float(varied[:, 0].flatten(1).gather(1, order).diff(dim=1).min()) >= -1e-6


def test_some_pairs_are_shown_without_their_mask(data_dir: Path) -> None:
    batch, (image, composite, mask) = varied(data_dir, unmasked=0.5)
    assert torch.equal(image, batch["image"]) and torch.equal(composite, batch["composite"])
    there = mask.flatten(1).any(1)
    assert bool(there.any()) and not bool(there.all())
    assert torch.equal(mask[there], batch["mask"][there])


def test_nothing_is_drawn_for_what_is_off(data_dir: Path) -> None:
    step = made("realism_cnn")
    batch = batch_of(step, recoloured.pairs(data_dir, 32))
    before = torch.get_rng_state()
    result = step._varied(batch["image"], batch["composite"], batch["mask"])  # type: ignore[attr-defined]
    assert torch.equal(before, torch.get_rng_state())
    assert all(a is b for a, b in zip(result, (batch["image"], batch["composite"], batch["mask"]), strict=True))


def test_srgan_begins_with_its_generator_alone(data_dir: Path) -> None:
    step = made("srgan", pretraining=2)
    pairs = recoloured.pairs(data_dir, 32)
    (before,) = plain(step.model.discriminator)
    for _ in range(2):
        assert set(step(batch_of(step, pairs))) == {"l1"}
    close(step.model.discriminator, before)
    step_losses = step(batch_of(step, pairs))
    assert set(step_losses) == {"discriminator", "l2", "adversarial", "total_variation"}
    assert differences(dict(before.state_dict()), dict(step.model.discriminator.state_dict()))


def test_srgan_looks_through_an_extractor(data_dir: Path) -> None:
    torch.manual_seed(0)
    extractor = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4), nn.ReLU())
    model = models.create("srgan", "small")
    step = steps.create(model, extractor=extractor, channels_last=False)
    before = copy.deepcopy(extractor.state_dict())
    (generator,) = plain(model.generator)
    batch = batch_of(step, recoloured.pairs(data_dir, 32))
    step_losses = step(batch)
    extractor.eval()
    output = generator(batch["image"])
    expected = losses.perceptual(extractor, output, batch["target"]).detach()
    assert float(step_losses["perceptual"]) == pytest.approx(float(expected), rel=1e-5)
    assert differences(before, extractor.state_dict()) == []
    assert all(p.grad is None for p in extractor.parameters())


@pytest.mark.parametrize("name", ["pix2pix", "gp_gan, noise"])
def test_an_update_with_a_gradient_that_is_not_finite_is_left_out(name: str, data_dir: Path) -> None:
    """The weights of that network stay, whichever optimizer it has, and the next batch trains it."""
    step = made(name)
    pairs = recoloured.pairs(data_dir, CASES[name].size)
    batch = batch_of(step, pairs)
    step(batch)
    before = {k: x.clone() for k, x in step.model.named_parameters() if k.startswith("discriminator")}
    step({**batch, "target": batch["target"] * float("nan")})
    after = {k: x.detach() for k, x in step.model.named_parameters() if k.startswith("discriminator")}
    if not name.startswith("gp_gan"):  # whose weights are clipped in any case
        assert differences(before, after) == []
    assert all(bool(torch.isfinite(x).all()) for x in step.model.parameters())
    assert float(step.skipped) >= 1


def test_clicks_fall_where_a_user_would_set_them() -> None:
    """The first well inside of the object, further ones on the largest error, on it or beside it."""
    from pyharmony.learn.training.steps.clicks import click_on_errors, coarse, first_clicks

    region = np.zeros((64, 64), bool)
    region[16:48, 8:56] = True
    torch.manual_seed(0)
    for _ in range(20):
        (x, y, label), *more = first_clicks(region, more=0.5)
        assert label == 1 and 10 <= x < 54 and 18 <= y < 46
        assert all(region[int(b), int(a)] == bool(sign) for a, b, sign in more)
    mask = region.copy()
    mask[16:48, 40:] = False
    mask[50:54, 8:56] = True
    x, y, label = click_on_errors(region, mask) or pytest.fail("no click")
    assert label == 1 and 40 <= x < 56 and 16 <= y < 48
    mask[16:48, 40:56] = True
    x, y, label = click_on_errors(region, mask) or pytest.fail("no click")
    assert label == 0 and 50 <= y < 54
    assert click_on_errors(region, region) is None and first_clicks(np.zeros((8, 8), bool), 1.0) == []
    # A box says little of each place, so it is half inside.
    rough = [coarse(region) > 0.25 for _ in range(20)]
    overlaps = [(x * region).sum() / np.maximum(x, region).sum() for x in rough]
    assert min(overlaps) > 0.4 and np.mean(overlaps) > 0.7 and min(overlaps) < 1
    assert not coarse(np.zeros((8, 8), bool)).any()


def test_a_mask_of_three_is_enough() -> None:
    """The loss is that of the best mask, and scores are held to what each of them covers."""
    from pyharmony.networks.models.clicks import Cut

    people, has_people = torch.zeros(1, 1, 64, 64), torch.tensor([True])
    step: Any = made("clicks")
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., :32] = 1
    logits = torch.cat([20 * mask - 10, 10 - 20 * mask, torch.full_like(mask, 10.0)], 1)
    losses_ = step._losses(Cut(logits, torch.tensor([[1.0, 0.0, 0.5]]), people), mask, has_people)
    assert float(losses_["score"]) < 1e-6 and float(losses_["iou"]) == 1
    others = logits[:, 1:].repeat(1, 2, 1, 1)[:, :3]
    assert float(losses_["people"]) == 0
    where = torch.where(mask > 0, 1.0, 0.5)
    step_losses = step._losses(Cut(logits, torch.tensor([[1.0, 0.0, 0.5]]), people + 9), mask, ~has_people, where)
    assert float(step_losses["people"]) < 1e-3 and float(step_losses["mask"]) == float(step_losses["score"]) == 0
    wrong = step._losses(Cut(others, torch.tensor([[1.0, 0.0, 0.5]]), people), mask, has_people)
    assert float(losses_["mask"]) < 0.6 < float(wrong["mask"]) and float(wrong["score"]) > 0.1


def test_features_that_were_learned_elsewhere_stay() -> None:
    step: Any = made("clicks", config={"features": "efficientnet-lite0"})
    before = {name: x.clone() for name, x in step.model.state_dict().items()}
    image = torch.rand(2, 3, 64, 64)
    step({"image": image, "mask": (image[:, :1] > 0.5).float()})
    changed = {name.split(".")[0] for name, x in step.model.named_parameters() if not torch.equal(x, before[name])}
    assert changed >= {"down", "blocks", "beside", "up", "masks"} and "known" not in changed
