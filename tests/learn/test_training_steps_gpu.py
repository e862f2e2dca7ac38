"""The steps as CUDA graphs, on a GPU; `make gpu-check` runs these tests."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from pyharmony.errors import ArgumentError, ShapeError

torch = pytest.importorskip("torch", reason="torch is not installed")

from pyharmony.learn.training import steps

from .test_training_steps import CASES, KINDS, OPTIMIZERS, differences, still

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def _exact(device_module: Any) -> Any:
    """Turns TF32 off, and algorithms that change from call to call."""
    if not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device")
    flags = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    with flags:
        yield


def on_device(name: str, **settings: Any) -> steps.Step:
    """Returns a step whose model is on the GPU, and draws nothing but the noise of GP-GAN."""
    step = still(name, LR, **settings)
    extractors = [] if step.extractor is None else [step.extractor.cuda()]
    return type(step)(step.model.cuda(), step.settings, *extractors)


def batches(step: steps.Step, name: str, count: int = 4) -> list[dict[str, Any]]:
    """Returns random images with an object in the middle."""
    size, scale = CASES[name].size, getattr(step.model.config, "scale", 1)
    torch.manual_seed(7)
    batches_ = []
    for _ in range(count):
        batch = {}
        for key in step.inputs:
            side = size // scale if key == "image" and scale > 1 else size
            batch[key] = torch.rand(2, 1 if key == "mask" else 3, side, side, device="cuda")
            if key == "mask":
                batch[key] = torch.zeros_like(batch[key])
                batch[key][..., side // 4 : side // 2, side // 4 :] = 1
        batches_.append(batch)
    return batches_


LR = 1e-5
#: Steps that draw random numbers: they are compared by their counts alone.
RANDOM_STEPS = ("colorgrid", "gp_gan, noise", "gp_gan, penalty", "pix2pix, wgan_gp")
CYCLE = {"critic_updates": 2, "critic_updates_more": 2}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize(
    "name",
    [
        *(kind for kind in KINDS if kind != "clicks"),
        *("pix2pix, wgan_gp", "gp_gan, penalty", "unet3plus, codes", "unet3plus, style"),
    ],
)
def test_a_graph_replays_the_step(name: str, dtype: str) -> None:
    """Losses of four batches are the same, and so are the weights that they leave.

    Sums in another order differ by rounding, after which an update of Adam differs by 2 LR at most.
    """
    settings: dict[str, Any] = {"dtype": dtype, **(CYCLE if name.startswith("gp_gan") else {})}
    eager, captured = (on_device(name, **settings) for _ in range(2))
    batches_ = batches(eager, name)
    before = copy.deepcopy(captured.model.state_dict())
    graph = captured.capture(batches_[0])
    assert differences(before, captured.model.state_dict()) == []
    for batch in batches_:
        losses, expected = graph(batch), eager(batch)
        assert losses.keys() == expected.keys()
        for loss, value in expected.items():
            assert bool(torch.isfinite(losses[loss]))
            if name not in RANDOM_STEPS:
                near = 1e-3 if dtype == "float32" else 3e-2
                torch.testing.assert_close(losses[loss], value, rtol=near, atol=near)
        assert captured.observed.keys() >= eager.observed.keys()
        for key, value in eager.observed.items():
            if name not in RANDOM_STEPS and key.startswith("score/"):
                torch.testing.assert_close(captured.observed[key], value, rtol=3e-2, atol=3e-2)
    assert differences(before, captured.model.state_dict())
    if name not in RANDOM_STEPS:
        for one, other in zip(captured.model.parameters(), eager.model.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=2.1 * LR * len(batches_))
    assert captured.count == eager.count == len(batches_)
    for progress in captured.progress:
        assert getattr(captured, progress) == getattr(eager, progress)


@pytest.mark.parametrize("settings", OPTIMIZERS, ids=lambda settings: settings["optimizer"])
def test_a_graph_holds_every_optimizer(settings: dict[str, Any]) -> None:
    """The warm-up before the capture leaves no momentum."""
    eager, captured = (on_device("unet3plus", **settings) for _ in range(2))
    batches_ = batches(eager, "unet3plus")
    graph = captured.capture(batches_[0])
    for batch in batches_:
        graph(batch)
        eager(batch)
    for one, other in zip(captured.model.parameters(), eager.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=2.1 * LR * len(batches_))
    key = "gradient_norm/model"
    torch.testing.assert_close(captured.observed[key], eager.observed[key], rtol=1e-2, atol=0)


def test_clicks_are_set_on_the_cpu_and_not_captured() -> None:
    step = on_device("clicks")
    (batch,) = batches(step, "clicks", 1)
    with pytest.raises(ArgumentError, match=r"run\.capture: clicks are drawn on the CPU"):
        step.capture(batch)
    assert all(bool(torch.isfinite(loss)) for loss in step(batch).values())


def test_a_graph_takes_the_batch_that_it_was_captured_with() -> None:
    step = on_device("realism_cnn")
    (batch,) = batches(step, "realism_cnn", 1)
    graph = step.capture(batch)
    graph(batch)
    before = copy.deepcopy(step.model.state_dict())
    with pytest.raises(ShapeError, match=r"image: shape \[1, 3, 32, 32\], captured with \[2, 3, 32, 32\]"):
        graph({name: x[:1] for name, x in batch.items()})
    with pytest.raises(ArgumentError, match="batch: has image, composite, mask, expected image, composite as captured"):
        graph({**batch, "mask": torch.zeros(2, 1, 32, 32, device="cuda")})
    assert differences(before, step.model.state_dict()) == []
