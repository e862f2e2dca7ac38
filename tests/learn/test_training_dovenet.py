"""The step of DoveNet: it is the published one, its savings change no loss, and it trains."""

from __future__ import annotations

import copy
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyharmony.errors import ArgumentError, ShapeError

torch = pytest.importorskip("torch", reason="torch is not installed")

from torch import Tensor, nn

from pyharmony.learn.training import steps
from pyharmony.learn.training.steps import dovenet
from pyharmony.networks import models
from pyharmony.networks.losses import gradient_penalty
from pyharmony.ops import _partial_conv_torch

from ..recoloured import pairs
from ..shared import ROOT

pytestmark = [pytest.mark.large, pytest.mark.networks, pytest.mark.usefixtures("one_torch_thread")]

BENCHMARKS = ROOT / "benchmarks"
EPS = torch.finfo(torch.float64).eps
TIME_SAVERS = {"spectral_norm_updates": "step", "judge_together": True, "plan_once": True, "judge_target_again": False}


@pytest.fixture
def bench() -> Iterator[Any]:
    """Imports a module of benchmarks/, none of which outlives the test."""
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module
    sys.path.remove(str(BENCHMARKS))
    for name in ("published_dovenet", "operations"):
        sys.modules.pop(name, None)


@pytest.fixture
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def make(seed: int = 0, width: int = 2, **config: Any) -> models.Adversarial:
    torch.manual_seed(seed)
    model = models.create("dovenet", width=width, discriminator_width=width, **{"dropout": 0.0, **config})
    assert isinstance(model, models.Adversarial)
    return model


def batch_of(count: int = 2, seed: int = 1) -> dict[str, Tensor]:
    """Returns images of which an object differs, one at the border."""
    torch.manual_seed(seed)
    target = torch.nn.functional.interpolate(torch.rand(count, 3, 16, 16) * 2 - 1, (256, 256), mode="bilinear")
    mask = torch.zeros(count, 1, 256, 256)
    for i in range(count):
        mask[i, :, 60 * i : 120 + 20 * i, 40:150] = 1
    composite = target * (1 - mask) + (0.6 * target - 0.2) * mask
    return {"composite": composite, "mask": mask, "target": target}


def state(step: steps.Step) -> list[Tensor]:
    """Returns all that a step changes, copied."""
    moments = [
        value
        for optimizer in step.optimizers.values()
        for values in optimizer.state.values()
        for value in values.values()
    ]
    return [t.detach().clone() for t in (*step.model.parameters(), *step.model.buffers(), *moments)]


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b))


# The published step


def literal_of(published: Any, model: models.Adversarial, **options: Any) -> Any:
    """Returns the literal step with the weights of a model."""
    step = published.PublishedStep(model.config.width, **options)
    step.take(model)
    for module in step.generator.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return step


def paired(step: Any, literal: Any) -> list[tuple[str, nn.Parameter, nn.Parameter]]:
    """Returns the parameters of both, by the literal one's names."""
    ours = dict(step.model.discriminator.named_parameters())
    pairs = [(f"discriminator {name}", ours[name], p) for name, p in literal.discriminator.named_parameters()]
    unet, level, i = step.model.generator.unet, literal.generator, 0
    while level is not None:
        modules = [(unet.down[i], level.down), (unet.up[7 - i] if i else unet.last, level.up)]
        if level.gate is not None:
            modules.append((unet.gates[str(i - 1)], level.gate))
        for mine, theirs in modules:
            for name in ("weight", "bias"):
                pairs.append((f"generator level {i} {name}", getattr(mine, name), getattr(theirs, name)))
        level, i = level.inside, i + 1
    return pairs


@pytest.mark.parametrize("penalty", [True, pytest.param(False, marks=pytest.mark.full)], ids=["penalty", "none"])
def test_the_published_preset_is_the_published_step(bench: Any, float64: None, penalty: bool) -> None:
    """They agree for two steps in float64 but for rounding: losses, Adam's gradients, weights, and vectors of norms.

    The published partial convolution adds 1e-8 to its sums over masks; with less than half an ulp of 1 it is exact.
    """
    published = bench("published_dovenet")
    published.PartialConv2d.eps = 1e-300
    model = make().double()
    more = {} if penalty else {"gradient_penalty": 0.0}
    step = steps.create(model, "published", **more)
    literal = literal_of(published, model, gradient_penalty=penalty)
    batch = {name: x.double() for name, x in batch_of().items()}
    # The result comes of some 1e5 sums, through norms that enlarge what is small.
    tolerance = 1e6 * EPS
    for number in range(2):
        torch.manual_seed(number)
        expected = literal(batch["composite"], batch["target"], batch["mask"])
        torch.manual_seed(number)
        model.train()
        losses_of_step = step.run(batch)
        discriminator_loss = losses_of_step["discriminator"] + losses_of_step.get("gradient_penalty", 0)
        assert abs(discriminator_loss - expected["discriminator"]) <= tolerance * (1 + abs(expected["discriminator"]))
        generated = losses_of_step["adversarial"] + losses_of_step["verification"] + 100 * losses_of_step["l1"]
        assert abs(generated - expected["generator"]) <= tolerance * (1 + abs(expected["generator"]))
        # Each network has its scale: a sum that cancels, as for a bias before a norm, leaves its terms' rounding.
        scales = {
            net: max(values["exp_avg"].abs().max() for values in getattr(literal, f"optimizer_{net[0]}").state.values())
            for net in ("generator", "discriminator")
        }
        for name, mine, theirs in paired(step, literal):
            mine_g, theirs_g = (
                optimizer.state[p]["exp_avg"]
                for optimizer, p in (
                    (step.optimizers[name.partition(" ")[0]], mine),
                    (getattr(literal, f"optimizer_{name[0]}"), theirs),
                )
            )
            bound = tolerance * scales[name.partition(" ")[0]]
            assert (mine_g - theirs_g).abs().max() <= bound, (number, name)
            # A step is lr m / (sqrt(v) + 1e-8): an error of the gradient is enlarged by lr 1e8 at most.
            assert (mine - theirs).abs().max() <= (number + 1) * 2e-4 * 1e8 * bound, (number, name)
        for name, value in literal.discriminator.state_dict().items():
            if name.endswith(("_u", "_v")):
                mine = model.discriminator.state_dict()[name]
                # Vectors have length 1; a weight's change tilts them by its size over a gap between singular values.
                assert (mine - value).abs().max() <= 1e4 * tolerance, (number, name)


def test_the_constant_of_the_published_partial_convolution_hardly_shows(bench: Any, float64: None) -> None:
    """Ratios are less by 1e-8 at most, in seven layers, whose norms pass it on, or enlarge it where it is flat."""
    model = make().double()
    step = steps.create(model, "published", gradient_penalty=0.0)
    literal = literal_of(bench("published_dovenet"), model, gradient_penalty=False)
    batch = {name: x.double() for name, x in batch_of().items()}
    expected = literal(batch["composite"], batch["target"], batch["mask"])
    model.train()
    losses_of_step = step.run(batch)
    assert 0.0 < abs(losses_of_step["discriminator"] - expected["discriminator"]) <= 100 * 7e-8


# Savings


def settle(model: models.Adversarial) -> None:
    """Gives every norm the vectors that another power iteration leaves as they are."""
    for layer in model.discriminator.modules():
        if "weight_orig" in layer._parameters:
            u, _, vh = torch.linalg.svd(layer.weight_orig.detach().flatten(1), full_matrices=False)
            layer.weight_u.copy_(u[:, 0])
            layer.weight_v.copy_(vh[0])


def losses_of(model: models.Adversarial, batch: dict[str, Tensor], preset: str | None = None, **settings: Any) -> Any:
    step = steps.create(model, preset, **settings)
    torch.manual_seed(5)
    model.train()
    return {name: loss.detach() for name, loss in step.run(batch).items()}


@pytest.mark.parametrize("saving", [None, *(pytest.param(name, marks=pytest.mark.full) for name in TIME_SAVERS)])
def test_savings_change_no_loss(float64: None, saving: str | None) -> None:
    """All savings, or one of them, agree with the published step in float64, with norms that are exact.

    After the discriminator's update its norms are inexact again, by what one power iteration leaves, or two of them:
    the score of the generator's verification differs by that where the number of iterations does.
    """
    batch = {name: x.double() for name, x in batch_of().items()}
    options = TIME_SAVERS if saving is None else {saving: TIME_SAVERS[saving]}
    losses_of_runs = []
    for settings in ({}, options):
        model = make().double()
        settle(model)
        losses_of_runs.append(losses_of(model, batch, "published", **settings))
    expected, losses_of_step = losses_of_runs
    assert list(losses_of_step) == ["discriminator", "gradient_penalty", "adversarial", "verification", "l1"]
    exact = 1e6 * EPS
    for name in losses_of_step:
        iterations = name == "verification" and (saving is None or saving == "spectral_norm_updates")
        assert abs(losses_of_step[name] - expected[name]) <= (1e-4 if iterations else exact) * (
            1 + abs(expected[name])
        ), name


@pytest.mark.parametrize("name", ["plan_once", "judge_target_again"])
def test_what_is_not_computed_again_has_the_same_bits(name: str) -> None:
    states = []
    for value in (True, False):
        model = make()
        step = steps.create(model, gradient_penalty=10.0, **{name: value})
        losses = step(batch_of())
        states.append([*state(step), *losses.values()])
    assert same(*states)


def test_batch_norms_see_one_kind_of_picture() -> None:
    """Output and target are judged apart whatever is asked for: statistics are of one kind."""
    states = []
    for together in (True, False):
        model = make(norm="batch")
        step = steps.create(model, judge_together=together)
        states.append([*step(batch_of()).values(), *state(step)])
    assert same(*states)


def test_power_iterations_are_as_many_as_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted are the layers of each call: 16 before each update; published: three passes of 9 and 14, then two."""
    from pyharmony.ops import _spectral_norm_torch as op

    calls: list[int] = []
    run = op.run

    def counted(weights: Any, us: Any, vs: Any, dims: Any, plan: Any, **options: Any) -> Any:
        calls.append(len(weights) * plan.iterations)
        return run(weights, us, vs, dims, plan, **options)

    monkeypatch.setattr(op, "run", counted)
    for preset, expected in ((None, 32), ("published", 5 * 23)):
        step = steps.create(make(), preset, gradient_penalty=10.0)
        step(batch_of())
        calls.clear()
        step(batch_of())
        assert sum(calls) == expected


def test_the_operations_of_a_step(bench: Any) -> None:
    """The published step has 5,706, and 3,425 without penalty; its savings alone would leave 2,181 and 1,160.

    Ours are calls of torch's dispatcher and of our native module together, which are fewer.
    """
    published, operations = bench("published_dovenet"), bench("operations")
    batch = batch_of(1)
    for penalty, expected, most in ((True, 5706, 2181), (False, 3425, 1160)):
        literal = published.PublishedStep(2, gradient_penalty=penalty)
        step = steps.create(make(width=2), gradient_penalty=10.0 if penalty else 0.0)
        calls = (
            lambda literal=literal: literal(batch["composite"], batch["target"], batch["mask"]),
            lambda step=step: step(batch),
        )
        counts = []
        for call in calls:
            call()  # makes the moments
            torchs, natives = operations.count(call)
            counts.append(sum(torchs.values()) + sum(natives.values()))
        assert abs(counts[0] - expected) <= 0.02 * expected
        assert counts[1] <= most


# Gradients


def test_nothing_is_computed_for_weights_that_no_gradient_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """This holds for the penalty's first derivative and for the generator's half."""
    backward = _partial_conv_torch.run_backward
    requests: list[bool] = []

    def watched(grad: Any, y: Any, x: Any, *rest: Any) -> Any:
        requests.append(x is not None)
        return backward(grad, y, x, *rest)

    monkeypatch.setattr(_partial_conv_torch, "run_backward", watched)
    model = make()
    batch = batch_of()
    gradient_penalty(lambda x: sum(model.discriminator(x, batch["mask"])), batch["target"], batch["composite"])
    assert len(requests) == 14 and not any(requests)

    step: Any = steps.create(model, gradient_penalty=10.0)
    update, halves = step.update, {}

    def noted(name: str, loss: Tensor) -> None:
        requests.clear()
        discriminator = [p.detach().clone() for p in model.discriminator.parameters()]
        gradients = [p.grad for p in model.discriminator.parameters()]
        update(name, loss)
        halves[name] = list(requests)
        if name == "generator":
            assert same(discriminator, [p.detach() for p in model.discriminator.parameters()])
            assert all(a is b for a, b in zip(gradients, (p.grad for p in model.discriminator.parameters())))

    monkeypatch.setattr(step, "update", noted)
    step(batch)
    assert any(halves["discriminator"])
    assert len(halves["generator"]) == 14 and not any(halves["generator"])
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("spectral_norm_updates", ["step", "forward"])
def test_both_sides_get_gradients(spectral_norm_updates: str) -> None:
    step = steps.create(make(dropout=0.5), gradient_penalty=10.0, spectral_norm_updates=spectral_norm_updates)
    losses = step(batch_of())
    assert all(torch.isfinite(loss) and not loss.requires_grad for loss in losses.values())
    for name, p in step.model.named_parameters():
        assert p.grad is not None and torch.isfinite(p.grad).all(), name
        if name.endswith(("weight", "weight_orig")):
            assert p.grad.abs().max() > 0, name


@pytest.mark.covering(1)
@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("preset", [None, "published"])
def test_masks_of_one_value_are_finite(value: float, preset: str | None) -> None:
    step = steps.create(make(), preset, gradient_penalty=10.0)
    batch = batch_of()
    batch["mask"].fill_(value)
    for _ in range(2):
        assert all(torch.isfinite(loss) for loss in step(batch).values())
    assert all(torch.isfinite(t).all() for t in state(step))


# Precision, layout, chance


def test_bfloat16_keeps_losses_penalty_and_weights_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """The penalty is float32's but for rounding; scores are within the rounding of seven layers and a head."""
    alpha = torch.tensor([0.3, 0.8])
    fakes: list[Tensor] = []

    def penalty(score: Any, real: Tensor, fake: Tensor, **options: Any) -> Tensor:
        fakes.append(fake)
        return gradient_penalty(score, real, fake, alpha=alpha, **options)

    monkeypatch.setattr(dovenet, "gradient_penalty", penalty)
    losses_of_dtype = {}
    for dtype in ("float32", "bfloat16"):
        step = steps.create(make(width=4), gradient_penalty=10.0, dtype=dtype)
        losses_of_dtype[dtype] = step(batch_of())
        assert all(loss.dtype == torch.float32 for loss in losses_of_dtype[dtype].values())
        assert all(t.dtype == torch.float32 for t in state(step) if t.is_floating_point())
    fine, coarse = losses_of_dtype["float32"], losses_of_dtype["bfloat16"]
    for name in fine:
        if name != "gradient_penalty":
            assert abs(coarse[name] - fine[name]) <= 10 * torch.finfo(torch.bfloat16).eps * (1 + abs(fine[name])), name

    model, batch = make(width=4), batch_of()
    model.discriminator.spectral_norms.update()
    score = lambda x: sum(model.discriminator(x, batch["mask"])) / 2  # noqa: E731
    expected = gradient_penalty(score, batch["target"], fakes[1], alpha=alpha)
    assert abs(coarse["gradient_penalty"] - expected) <= 1e-4 * expected


def test_the_layout_in_memory_changes_rounding_alone() -> None:
    losses_of_layouts = []
    for channels_last in (True, False):
        step = steps.create(make(), gradient_penalty=10.0, channels_last=channels_last)
        torch.manual_seed(3)
        losses_of_layouts.append(step(batch_of()))
    for name in losses_of_layouts[0]:
        assert abs(losses_of_layouts[0][name] - losses_of_layouts[1][name]) <= 1e5 * torch.finfo(torch.float32).eps * (
            1 + abs(losses_of_layouts[1][name])
        )


# Refusals


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_a_refused_batch_changes_nothing(norm: str) -> None:
    step = steps.create(make(norm=norm, dropout=0.5), gradient_penalty=10.0)
    good = batch_of()
    step(good)
    before, random = state(step), torch.get_rng_state()
    bad: list[tuple[type[Exception], str, dict[str, Tensor]]] = [
        (ShapeError, "composite: 128x128 pixels, expected 256x256", {k: x[:, :, :128, :128] for k, x in good.items()}),
        (ShapeError, "target: shape", {**good, "target": good["target"][:1]}),
        (ShapeError, "mask: shape", {**good, "mask": good["mask"][:, :, :128]}),
        (ArgumentError, "mask: values 0 to 2", {**good, "mask": 2 * good["mask"]}),
        (ArgumentError, "batch: 'target' is missing", {k: x for k, x in good.items() if k != "target"}),
    ]
    for error, message, batch in bad:
        with pytest.raises(error, match=message):
            step(batch)
        assert same(before, state(step)) and torch.equal(random, torch.get_rng_state()) and step.count == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"lr": 0.0}, {"betas": (0.5, 1.0)}, {"l1": -1.0}, {"adversarial": -1.0}, {"verification": "1"},
        {"gradient_penalty": -10.0}, {"foreground": -1.0}, {"adversary": "wgangp"}, {"spectral_norm_updates": "never"},
        {"judge_together": 1}, {"plan_once": None}, {"judge_target_again": "yes"}, {"dtype": "float64"},
    ],
    ids=lambda settings: next(iter(settings)),
)  # fmt: skip
def test_settings_that_are_none(settings: dict[str, Any]) -> None:
    name = "kind" if "adversary" in settings else next(iter(settings))
    with pytest.raises(ArgumentError, match=f"^{name}: "):
        steps.create(make(), **settings)


# It trains


@pytest.mark.parametrize(
    ("iterations", "width", "side"), [(12, 4, 64), pytest.param(200, 12, 256, marks=pytest.mark.full)]
)
def test_it_trains(data_dir: Path, iterations: int, width: int, side: int) -> None:
    """The mean square of what is missing falls by 30 %; after 200 steps it is less than that of the composites."""
    images = pairs(data_dir, side)
    step = steps.create(make(width=width, size=side), lr=5e-3, gradient_penalty=10.0)

    def difference() -> float:
        step.model.eval()
        with torch.no_grad():
            outputs = [step.model(c, m) for c, m in zip(images.composite.split(4), images.mask.split(4))]
        return float((torch.cat(outputs) - images.target).square().mean())

    before = difference()
    for i in range(iterations):
        if i in (iterations * 3 // 4, iterations * 9 // 10) and iterations > 20:
            step.scale_lr(0.3 if i < iterations * 9 // 10 else 0.1)
        losses = step(images.batch(count=2, start=2 * i))
        assert all(torch.isfinite(loss) for loss in losses.values()), i
        for network in (step.model.generator, step.model.discriminator):
            norm = torch.stack([p.grad.norm() for p in network.parameters()]).norm()
            assert 0 < norm < float("inf"), i
    after = difference()
    assert after <= 0.7 * before
    if iterations == 200:
        assert after < float((images.composite - images.target).square().mean())


def test_the_weight_of_the_foreground() -> None:
    """With it alone the generator's gradient is that of the mean square over the object, whatever its size."""
    batch = batch_of()
    model = make(norm="batch")
    other = copy.deepcopy(model)
    step = steps.create(model, l1=0.0, adversarial=0.0, verification=0.0, foreground=3.0, channels_last=False)
    losses = step(batch)
    output = other.train().generator(batch["composite"], batch["mask"])
    error = (output - batch["target"]).square().sum((1, 2, 3)) / (3 * batch["mask"].sum((1, 2, 3)))
    (3 * error.mean()).backward()
    torch.testing.assert_close(losses["foreground"], error.mean().detach())
    expected = [p.grad for p in other.generator.parameters()]
    gradients = [p.grad for p in model.generator.parameters()]
    assert gradients and all(
        torch.allclose(a, b, rtol=1e-3, atol=1e-5) for a, b in zip(gradients, expected, strict=True)
    )
    assert "foreground" not in steps.create(make())(batch)


@pytest.mark.full
def test_a_residual_one_is_soon_better_than_the_composite(data_dir: Path) -> None:
    """It begins at the composite, and the error falls by a fifth in 60 small steps."""
    images = pairs(data_dir, 64)
    model = make(width=6, size=64, residual=True, norm="batch")
    step = steps.create(model, lr=3e-3, foreground=100.0, adversarial=0.1, verification=0.1)

    def error() -> float:
        model.eval()
        with torch.no_grad():
            return float((model(images.composite, images.mask) - images.target).square().mean())

    before = float((images.composite - images.target).square().mean())
    assert error() == pytest.approx(before, rel=1e-6)
    for i in range(60):
        step(images.batch(count=4, start=4 * i))
    assert error() < 0.8 * before
