"""A training run: its settings, its folder, going on after a kill, several processes, and its way with bad numbers."""

from __future__ import annotations

import json
import math
import os
import select
import shutil
import signal
import socket
import time
import types
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from pyharmony.errors import ArgumentError, DataError, DecodeError, PyHarmonyError, PyHarmonyWarning, WeightsError
from pyharmony.learn import data
from pyharmony.learn.scoring import harmony_score

from ..shared import forked, need, status_of

torch = pytest.importorskip("torch", reason="torch is not installed")
need("lightning_fabric", "tensorboard")

from pyharmony.learn import training
from pyharmony.learn.training import _checkpoint, _evaluate, _loop, precision, steps
from pyharmony.learn.training._batches import WINDOW, TensorSamples, batches, order, repeated, resized
from pyharmony.learn.training._samples import datasets
from pyharmony.networks import models

pytestmark = [pytest.mark.large, pytest.mark.networks, pytest.mark.usefixtures("one_torch_thread")]

SIZE = 32
#: It has batch norms, and trains four times as fast as the smallest U-Net 3+.
NARROW_MODEL = {"name": "attention_unet", "width": 2, "depth": 5}


@pytest.fixture(scope="module")
def triples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_composites(tmp_path_factory.mktemp("triples"))


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns four composites, for batches of all of them."""
    return write_composites(tmp_path_factory.mktemp("few"), 4)


@pytest.fixture(scope="module")
def whole(triples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of a run of the plain settings, which tests copy to change it."""
    folder = tmp_path_factory.mktemp("whole")
    training.train(config(triples), folder, device="cpu")
    return folder


def write_composites(root: Path, count: int = 12) -> Path:
    """Writes composites whose object is darker than it was."""
    for name in ("composite", "mask", "target"):
        (root / name).mkdir()
    random = np.random.default_rng(0)
    for i in range(count):
        coarse = random.integers(0, 256, (5, 6, 3), np.uint8)
        target = np.asarray(Image.fromarray(coarse).resize((44, 40), Image.Resampling.BICUBIC))
        mask = np.zeros((40, 44), np.uint8)
        top, left = random.integers(2, 14, 2)
        mask[top : top + 20, left : left + 20] = 255
        composite = np.where(mask[..., None] > 0, (target * 0.5 + 20).astype(np.uint8), target)
        for name, picture in (("composite", composite), ("mask", mask), ("target", target)):
            Image.fromarray(picture).save(root / name / f"{i:02}.png")
    return root


def tables(root: Path, **changes: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "model": dict(NARROW_MODEL),
        "data": {"root": str(root), "size": SIZE, "enlarge": True, "flip": True, "crop_share": 0.1, "validation": 0.25},
        "schedule": {"steps": 6},
        # The graph of a network in TensorBoard takes longer than all steps.
        "run": {"batch": 2, "log_steps": 2, "checkpoint_steps": 2, "ema": 0.9, "loggers": []},
    }
    for key, value in changes.items():
        table, _, name = key.partition("__")
        settings.setdefault(table, {})[name] = value
    return settings


def config(root: Path, **changes: Any) -> training.TrainConfig:
    return training.config_of(tables(root, **changes))


def weights(folder: Path) -> bytes:
    return (folder / "last.safetensors").read_bytes()


# ---- settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(training.recipes()))
def test_every_recipe_is_sound(name: str) -> None:
    recipe_config = training.config_of(training.recipe(name))
    options = dict(recipe_config.model)
    model = models.outline(options.pop("name"), options.pop("preset", None), **options)
    values = dict(recipe_config.step)
    step = steps._step.step_of(model)
    steps._step.settings_of(step, values, values.pop("preset", None))
    multiple = getattr(getattr(model, "generator", model), "multiple", 1)
    assert recipe_config.data.size % multiple == 0
    summary = training.recipes()[name]
    assert len(summary) > 20 and summary.endswith(".")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dat__root": "x"}, r"^tables: 'dat', no such table; did you mean 'data'\?"),
        ({"run__bach": 2}, r"^run\.bach: no such key; did you mean 'batch'\?"),
        ({"run__batch": "two"}, r"^run\.batch: str 'two', expected a whole number of"),
        ({"run__batch": True}, r"^run\.batch: bool True, expected a whole number of"),
        ({"run__batch": 0}, r"^run\.batch: 0, expected 1 or more"),
        ({"run__ema": 1.0}, r"^run\.ema: 1\.0, expected 0 <= value < 1"),
        ({"schedule__decay": 2.0}, r"^schedule\.decay: 2\.0, expected 0 to 1"),
        ({"schedule__drops": [0.9, 0.5]}, r"^schedule\.drops: \(0\.9, 0\.5\), expected increasing numbers"),
        ({"schedule__drops": [1.0]}, r"^schedule\.drops: \(1\.0,\), expected increasing numbers between 0 and 1"),
        ({"schedule__drops": ["half"]}, r"^schedule\.drops\[0\]: str 'half', expected a finite number"),
        ({"schedule__steps": 0}, r"^schedule: no limit"),
        ({"schedule__shape": "cosin"}, r"^schedule\.shape: 'cosin'; did you mean 'cosine'\?, expected one of 'linear'"),
        ({"schedule__shape": "step"}, r"^schedule\.drops: empty; schedule\.shape='step' needs values"),
        ({"schedule__shape": "plateau", "schedule__drops": [0.5]}, r"^schedule\.drops: \(0\.5,\), not used by"),
        (
            {"schedule__shape": "plateau", "data__validation": 0},
            r"^schedule\.shape='plateau': needs validation metrics",
        ),
        ({"schedule__stop_after": 2, "data__validation": 0}, r"^schedule\.stop_after=2: needs validation metrics"),
        ({"schedule__stop_after": -1}, r"^schedule\.stop_after: -1, expected 0 or more"),
        ({"schedule__drop_factor": 1.0}, r"^schedule\.drop_factor: 1\.0, expected a number between 0 and 1"),
        (
            {"run__loggers": ["tensorbord"]},
            r"^run\.loggers: 'tensorbord'; did you mean 'tensorboard'\?, expected one of",
        ),
        ({"run__loggers": "csv"}, r"^run\.loggers: str, expected a list"),
        ({"schedule__patience": 0}, r"^schedule\.patience: 0, expected 1 or more"),
        ({"data__validation": 1.5}, r"^data\.validation: 1\.5, expected a folder, or a share"),
        ({"data__validation": 1}, r"^data\.validation: 1, .* share in \[0, 1\)"),
        ({"schedule__minutes": math.inf}, r"^schedule\.minutes: inf, expected a finite number"),
        ({"run__seed": 2**63}, r"^run\.seed: 9223372036854775808, expected a whole number of at most 64 bits"),
        ({"run__seed": 2**62 + 1}, r"^run\.seed: 4611686018427387905, expected 0 to 4611686018427387904"),
        ({"model__name": None}, r"^model\.name: missing"),
        ({"model__name": 5}, r"^model\.name: 5, expected a model of"),
        (
            {"data__root": ["a", "b"], "data__boxes": "c"},
            r"^data\.boxes: accepted only with one folder; data\.root has 2",
        ),
        ({"data__root": [1]}, r"^data\.root: tuple \(1,\), expected str or tuple"),
        ({"data__retouched": 1.5}, r"^data\.retouched: 1\.5, expected 0 to 1"),
        ({"data__unchanged": 1.5}, r"^data\.unchanged: 1\.5, expected 0 to 1"),
        ({"data__severity": (30.0,)}, r"^data\.severity: \(30\.0,\), expected two positive numbers"),
        ({"data__severity": (30.0, 3.0)}, r"^data\.severity: \(30\.0, 3\.0\), expected two positive numbers"),
        ({"data__methods": "mkl"}, r"^data\.methods: str, expected a mapping"),
        ({"data__per_photo": 0}, r"^data\.per_photo: 0, expected 1 or more"),
        ({"data__repeats": 0}, r"^data\.repeats: 0, expected 1 or more"),
    ],
)
def test_settings_that_are_refused(triples: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        config(triples, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model__name": "attention"}, "did you mean 'attention_unet'"),
        ({"model__wide": 3}, "wide: attention_unet has no such setting"),
        ({"step__l2": 3}, "l2: SupervisedStep has no such setting"),
        ({"run__batch": 64}, r"^data\.root: 11 training and 1 validation samples; training needs a batch of 64"),
        ({"run__accumulate": 64}, r"11 training .* training needs run\.accumulate=64 batches of 2"),
        ({"data__size": 33}, r"^data\.size: 33, not accepted by the network: composite: 33x33 pixels"),
        ({"data__root": ""}, "data.root: missing"),
        ({"extractor__preset": "small"}, "extractor: expected extractor.weights, or extractor.name"),
        ({"run__capture": True, "run__accumulate": 2}, "run.capture: accepted only with one process"),
    ],
)
def test_runs_that_are_refused(triples: Path, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PyHarmonyError, match=message):
        training.train(config(triples, **changes), tmp_path / "run", device="cpu")
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "foto"}, r"^data\.kind: 'foto', expected one of"),
        ({"split": "train"}, r"^data\.split: 'train', but triples has no predefined splits"),
        ({"boxes": "b.txt", "kind": "triples"}, r"^data\.boxes: 'b\.txt', accepted only for the kind 'scenes'"),
        ({"features": {"mask": "m"}}, r"^data\.features: {'mask': 'm'}, accepted only for the kind 'tfrecord'"),
        ({"validation_split": "val"}, r"^data\.validation_split: 'val', but triples has no predefined splits"),
        ({"validation": ".", "validation_kind": "foto"}, r"^data\.validation_kind: 'foto', expected one of"),
        ({"methods": {"mlk": 1}}, r"^data\.methods: 'mlk', expected some of"),
        ({"methods": {"mkl": 0}}, r"^data\.methods: {'mkl': 0}, expected at least one weight above 0"),
        ({"validation": "0,1"}, r"No such file or folder: 'data\.validation=0,1'"),
    ],
)
def test_errors_about_data_name_the_setting(triples: Path, photos: Path, changes: dict[str, Any], message: str) -> None:
    root = photos if "methods" in changes else triples
    settled = config(root, **{f"data__{key}": value for key, value in changes.items()})
    with pytest.raises((ArgumentError, FileNotFoundError), match=message):
        datasets(settled)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("model.widht=8", r"^model\.widht: attention_unet has no such setting; did you mean 'width'\?"),
        ("model.width=wide", r"^model\.width: 'wide', expected a whole number"),
        ("model.preset=tiny", r"^model\.preset: 'tiny', attention_unet has "),
        ("model.name=attention", r"^model\.name: 'attention' is no model; did you mean 'attention_unet'\?"),
        ("step.lrr=1", r"^step\.lrr: SupervisedStep has no such setting; did you mean 'lr'\?"),
        ("step.lr=fast", r"^step\.lr: str 'fast', expected more than 0"),
        ("step.preset=style", r"^step\.preset: 'style', SupervisedStep has foreground, style_code, style_features"),
        ("step.style=1.0", r"^extractor: missing; style needs a style_encoder"),
        ("extractor.name=style", r"^extractor\.name: 'style' is no model"),
        ("extractor.weights=gone.safetensors", r"^extractor\.weights: gone\.safetensors: there is no such file"),
        ("run.best_by=iou", r"^run\.best_by: 'iou', expected one of 'fmse', 'mse', 'psnr'"),
        ("run.loggers=['csv ']", r"^run\.loggers: 'csv '; did you mean 'csv'\?"),
        ("schedule.shape='plateaus'", r"^schedule\.shape: 'plateaus'; did you mean 'plateau'\?"),
    ],
)
def test_a_wrong_setting_is_told_before_data_are_opened(tmp_path: Path, change: str, message: str) -> None:
    changed = training.with_changes(tables(tmp_path / "no such folder"), [change])

    def run() -> None:
        training.train(training.config_of(changed), tmp_path / "run", device="cpu")

    with pytest.raises(PyHarmonyError, match=message):
        run()
    assert not list(tmp_path.iterdir())


def test_changes_are_written_as_in_toml() -> None:
    changed = training.with_changes({"run": {"batch": 1}}, ["run.batch=8", "step.lr = 2e-4", "data.root=some where"])
    assert changed == {"run": {"batch": 8}, "step": {"lr": 2e-4}, "data": {"root": "some where"}}
    for change in ("batch=8", "run.batch", ".batch=8", "nothing.x=1"):
        with pytest.raises(ArgumentError):
            training.with_changes({}, [change])


def test_a_file_that_is_no_toml(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("[run\n")
    with pytest.raises(ArgumentError, match=r"x\.toml: invalid TOML"):
        training.read_toml(path)


def schedule(**settings: Any) -> training.ScheduleConfig:
    return training.ScheduleConfig(**{"decay": 0.0, **settings})


@pytest.mark.parametrize("decay", [0.0, 0.5, 1.0])
def test_rates_fall_at_the_end(decay: float) -> None:
    factors = [_loop.rate_factor(schedule(decay=decay), i / 100, i) for i in range(101)]
    assert factors[: math.floor(100 * (1 - decay)) + 1] == [1.0] * (math.floor(100 * (1 - decay)) + 1)
    assert factors == sorted(factors, reverse=True)
    assert factors[-1] == (0.0 if decay else 1.0)
    assert [_loop.rate_factor(schedule(warm_up=4), 0, i) for i in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_rates_drop_to_a_tenth() -> None:
    """PCT-Net's rates drop at 160 and 175 of 180 epochs."""
    published = training.config_of(training.recipe("pct_net")).schedule
    factors = [_loop.rate_factor(published, epoch / 180, 1000) for epoch in range(180)]
    assert factors == pytest.approx([1.0] * 160 + [0.1] * 15 + [0.01] * 5)
    both = schedule(decay=0.5, warm_up=2, drops=(0.5,))
    assert _loop.rate_factor(both, 0.75, 0) == pytest.approx(0.1 * 0.5 * 0.5)


def test_rates_fall_in_half_a_cosine_or_by_drops_alone() -> None:
    cosine = schedule(shape="cosine", decay=0.5)
    factors = [_loop.rate_factor(cosine, share, 0) for share in (0, 0.5, 0.625, 0.75, 0.875, 1)]
    assert factors == pytest.approx([1, 1, (1 + 2**-0.5) / 2, 0.5, (1 - 2**-0.5) / 2, 0])
    drops = schedule(shape="step", decay=0.5, drops=(0.4, 0.8), drop_factor=0.5)
    assert [_loop.rate_factor(drops, share, 0) for share in (0, 0.4, 0.79, 0.8, 1)] == [1, 0.5, 0.5, 0.25, 0.25]
    plateau = schedule(shape="plateau", decay=0.5, drop_factor=0.25)
    assert [_loop.rate_factor(plateau, 0.99, 0, plateaus) for plateaus in range(3)] == [1, 0.25, 0.0625]


def test_recipes_that_are_called_published_are() -> None:
    """Games and epochs are those of the published commands; recipes of weights that ship keep how those were made."""

    def settings(name: str) -> Any:
        config = training.config_of(training.recipe(name))
        options = {**config.model, "width": 2}
        step = {**config.step}
        model = models.create(options.pop("name"), options.pop("preset", None), **options)
        return steps.create(model, step.pop("preset", None), **step).settings

    for name, epochs, decay in (("bargainnet", 200, 0.0), ("pix2pix", 200, 0.5)):
        schedule = training.config_of(training.recipe(name)).schedule
        assert (schedule.epochs, schedule.decay) == (epochs, decay)
    assert settings("bargainnet").each_number is True
    for name, triplet in (("bargainnet-hcoco", 0.01), ("bargainnet-unet3plus", 1e-4)):
        config, step = training.config_of(training.recipe(name)), settings(name)
        assert (config.schedule.epochs, config.schedule.decay, config.run.batch) == (8, 0.0, 1)
        assert (step.lr, step.betas, step.l1, step.margin) == (2e-3, (0.5, 0.999), 1.0, 1.0)
        assert (step.triplet, step.background, step.style, step.each_number) == (triplet, 0.5, 0.01, True)
    assert settings("style_encoder-small").each_number is False
    games = {name: settings(name).adversary for name in ("pix2pix", "pix2pix-small", "pix2pix_selfie")}
    assert games == {"pix2pix": "vanilla", "pix2pix-small": "least_squares", "pix2pix_selfie": "least_squares"}


# ---- samples --------------------------------------------------------------------------------------------------------


def test_each_epoch_has_every_sample_once_and_its_own_order() -> None:
    first, second = (order(10, 2, 0, epoch) for epoch in (0, 1))
    assert sorted(i for some in first for i in some) == list(range(10))
    assert first != second
    assert first == order(10, 2, 0, 0)
    parts = [order(11, 2, 0, 0, rank, 2) for rank in (0, 1)]
    together = [a + b for a, b in zip(*parts)]
    assert together == order(11, 4, 0, 0)


def test_workers_change_nothing(triples: Path) -> None:
    prepared = TensorSamples(
        data.open_dataset(triples), ("composite", "mask", "target"), SIZE, -1.0, crop_share=0.3, flip=True
    )
    indices = [[3, 1], [0, 7]]
    alone, shared = (list(batches(prepared, indices, workers)) for workers in (0, 2))
    for a, b in zip(alone, shared, strict=True):
        assert {name: x.shape for name, x in a.items()} == {
            "composite": (2, 3, SIZE, SIZE),
            "mask": (2, 1, SIZE, SIZE),
            "target": (2, 3, SIZE, SIZE),
        }
        assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("workers", [0, 1])
def test_samples_are_repeated_within_some_batches_and_mixed(triples: Path, workers: int) -> None:
    class Numbers(TensorSamples):
        def __len__(self) -> int:
            return 100

        def __getitem__(self, index: int) -> dict[str, Any]:
            return {"number": torch.tensor([index])}

    prepared = Numbers(data.open_dataset(triples), (), SIZE, 0.0)
    indices = order(100, 2, 0, 0)[: 2 * WINDOW + 3]

    def numbers(repeats: int, start: int = 0) -> list[list[int]]:
        batches = repeated(prepared, indices, workers, repeats, start=start, seed=(1,))
        return [batch["number"][:, 0].tolist() for batch in batches]

    assert numbers(1) == indices
    whole, window = numbers(3), 3 * WINDOW
    assert len(whole) == 3 * len(indices)
    for start in range(0, len(whole), window):
        mixed = [number for batch in whole[start : start + window] for number in batch]
        fresh = [number for batch in indices[start // 3 :][:WINDOW] for number in batch]
        assert sorted(mixed) == sorted(3 * fresh)
        assert mixed[: len(fresh)] != mixed[len(fresh) : 2 * len(fresh)]
    for start in (1, window - 1, window, window + 5, 2 * window, len(whole) - 1):
        assert numbers(3, start) == whole[start:]


def test_a_run_that_repeats_samples_goes_on_with_the_same_bits(triples: Path, tmp_path: Path) -> None:
    """Eleven samples are five batches and one left out: fifteen steps an epoch."""
    settled = config(triples, data__repeats=3, schedule__steps=17, run__checkpoint_steps=1, run__keep=20)
    assert training.train(settled, tmp_path / "whole", device="cpu").steps == 17
    run = _loop.Run(settled, tmp_path / "asked", device="cpu")
    run.set_samples(*datasets(settled))
    assert run.steps_per_epoch() == 15
    for step in (5, 16):
        part = tmp_path / str(step)
        shutil.copytree(tmp_path / "whole", part)
        for path in (part / "checkpoints").glob("step-*"):
            if int(path.name[5:]) > step:
                shutil.rmtree(path)
        training.train(settled, part, resume="auto", device="cpu")
        assert weights(part) == weights(tmp_path / "whole")


def test_a_run_starts_from_weights(triples: Path, tmp_path: Path) -> None:
    path = tmp_path / "start.safetensors"
    first = training.train(config(triples, run__seed=7), tmp_path / "first", device="cpu")
    shutil.copy(tmp_path / "first" / "last.safetensors", path)
    still = {"run__start": str(path), "step__lr": 1e-12, "run__ema": 0.5}
    training.train(config(triples, **still), tmp_path / "second", device="cpu")
    before, after = (models.load(source).state_dict() for source in (path, tmp_path / "second" / "last.safetensors"))
    assert first.steps == 6
    assert all(torch.allclose(before[key], after[key], atol=1e-6) for key in before if "weight" in key)
    path.unlink()
    # A run that goes on has its own weights.
    training.train(config(triples, **still, schedule__steps=7), tmp_path / "second", resume="auto", device="cpu")
    with pytest.raises(WeightsError, match=r"^run\.start: .*start\.safetensors: there is no such file"):
        training.train(config(triples, **still), tmp_path / "third", device="cpu")
    with pytest.raises(WeightsError, match=r"^run\.start: weights of colorgrid, expected weights of"):
        training.train(config(triples, run__start="colorgrid"), tmp_path / "fourth", device="cpu")


def test_pictures_and_masks_are_changed_alike(triples: Path) -> None:
    prepared = TensorSamples(
        data.open_dataset(triples), ("composite", "mask", "target"), SIZE, 0.0, crop_share=0.4, flip=True
    )
    for i in range(12):
        sample = prepared[i]
        assert set(sample["mask"].unique().tolist()) <= {0.0, 1.0}
        outside = sample["mask"] == 0
        # A bilinear filter reaches a pixel across the mask's contour.
        near = torch.nn.functional.max_pool2d(sample["mask"][None], 5, 1, 2)[0] > 0
        difference = (sample["composite"] - sample["target"]).abs().amax(0, keepdim=True)
        assert float(difference[outside & ~near].sum()) == 0


def test_sizes_are_those_of_the_data_module(triples: Path) -> None:
    sample = data.open_dataset(triples)[0]
    expected = data.resize_sample(sample, SIZE)
    for name in ("composite", "mask", "target"):
        assert np.array_equal(resized(sample[name], SIZE), expected[name])


def test_a_bad_sample_is_named(triples: Path, tmp_path: Path) -> None:

    root = tmp_path / "bad"
    shutil.copytree(triples, root)
    (root / "target" / "03.png").write_bytes((root / "target" / "03.png").read_bytes()[:100])
    for workers in (0, 1):
        with pytest.raises(PyHarmonyError, match=r"03\.png"):
            training.train(config(root, data__workers=workers), tmp_path / f"run{workers}", device="cpu")


def spoiled(root: Path, *names: str) -> Path:
    """Cuts files off, so that they cannot be read."""
    for name in names:
        (root / name).write_bytes((root / name).read_bytes()[:100])
    return root


def test_samples_that_cannot_be_read_are_left_out_and_named(
    triples: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Those to train on and those held back, over a pause of the run as well."""
    root = spoiled(Path(shutil.copytree(triples, tmp_path / "set")), "target/03.png", "composite/05.png")
    held_back = spoiled(Path(shutil.copytree(triples, tmp_path / "held")), "target/07.png")
    changes: dict[str, Any] = {"data__skip_bad": True, "data__validation": str(held_back), "data__workers": 1}
    settled = config(root, **changes, schedule__steps=12, run__keep=9)
    with pytest.warns(PyHarmonyWarning, match="3 samples could not be read and were left out: 0[3-7], 0[3-7], 0[3-7]"):
        whole = training.train(settled, tmp_path / "whole", device="cpu")
    assert (whole.steps, whole.replaced, sorted(whole.bad)) == (12, 0, ["03", "05", "07"])
    entries = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    messages = {entry["name"]: entry["message"] for entry in entries if entry["kind"] == "bad"}
    assert sorted(messages) == ["03", "05", "07"] and "target/03.png" in messages["03"]
    assert "05 is left out because it cannot be read: " in caplog.text
    with pytest.warns(PyHarmonyWarning, match="3 samples could not be read"):
        part = go_on_from(8, tmp_path / "whole", tmp_path / "part", settled)
    assert part.bad == whole.bad and weights(tmp_path / "part") == weights(tmp_path / "whole")
    with pytest.raises(DataError, match=r"2 samples cannot be read, data\.largest_bad allows 1; the last: .*\.png"):
        training.train(config(root, **changes, data__largest_bad=1), tmp_path / "few", device="cpu")
    with pytest.raises(ArgumentError, match=r"data\.skip_bad was True and is False"):
        training.train(config(root, **{**changes, "data__skip_bad": False}), tmp_path / "whole", resume="auto")


def test_photographs_that_cannot_be_read_are_left_out(triples: Path, tmp_path: Path) -> None:
    """The first one, too, by which a run tells what its samples are."""
    root = as_photographs(Path(shutil.copytree(triples, tmp_path / "set")))
    spoiled(root, "images/00.png", "images/04.png")
    changes = {"data__validation": 0.0, "data__crop_share": 0.0}
    with pytest.raises(DecodeError, match=r"00\.png"):
        training.train(config(root, **changes), tmp_path / "none", device="cpu")
    with pytest.warns(PyHarmonyWarning, match="2 samples could not be read and were left out: 00, 04"):
        result = training.train(config(root, **changes, data__skip_bad=True), tmp_path / "run", device="cpu")
    assert (result.steps, result.bad) == (6, ("00", "04"))
    entries = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [entry["name"] for entry in entries if entry["kind"] == "bad"] == ["00", "04"]


def test_objects_to_cut_out_of_photographs_that_can_be_read(photos: Path, tmp_path: Path) -> None:
    spoiled(photos, "photo/00.png", "photo/04.png")
    changes = [f"data.root={photos}", "data.validation=0.0", "data.size=64", "data.scene=80", "data.workers=0"]
    changes += ["data.enlarge=true"]
    changes += ["data.skip_bad=true", "model.preset=small", "schedule.steps=2", "run.batch=2"]
    settled = training.config_of(training.with_changes(training.recipe("clicks"), changes))
    bad: dict[str, str] = {}
    scenes, _ = datasets(settled, bad)
    assert sorted(bad) == ["00", "04"] and len(scenes) == 9 * settled.data.per_photo and scenes[0]["mask"].any()
    spoiled(photos, *(f"photo/{number:02}.png" for number in range(12)))
    with pytest.raises(DecodeError, match=r"11\.png"):
        datasets(training.config_of(training.with_changes({}, [*changes[:1], "model.name=pix2pix",
                                                              "schedule.steps=1", "data.skip_bad=true"])))  # fmt: skip


def with_masks(triples: Path, root: Path, masks: dict[int, np.ndarray]) -> Path:
    """Returns a copy of the triples with other masks for some of them."""
    shutil.copytree(triples, root)
    for number, mask in masks.items():
        Image.fromarray(mask).save(root / "mask" / f"{number:02}.png")
    return root


def dot() -> np.ndarray:
    """Returns a mask of one pixel, in a row of which nothing is left at 32 x 32."""
    mask = np.zeros((40, 44), np.uint8)
    mask[2, 2] = 255
    return mask


def as_photographs(root: Path) -> Path:
    (root / "target").rename(root / "images")
    (root / "mask").rename(root / "masks")
    shutil.rmtree(root / "composite")
    return root


@pytest.mark.parametrize(("kind", "workers"), [("triples", 0), ("photographs", 1)])
def test_another_sample_stands_in_for_an_object_that_vanishes(
    triples: Path, tmp_path: Path, kind: str, workers: int
) -> None:
    root = with_masks(triples, tmp_path / "set", dict.fromkeys((3, 5), dot()))
    if kind == "photographs":
        as_photographs(root)
    assert data.open_dataset(root).check() == []
    assert [problem.name for problem in data.open_dataset(root).check(size=SIZE)] == ["03", "05"]
    changes = {"data__crop_share": 0.0, "data__validation": 0.0, "data__workers": workers, "schedule__steps": 12}
    replaced = r"4 samples whose object has no pixel at 32 x 32 were replaced by others; `pyharmony data check"
    settled = config(root, **changes, run__keep=9)
    with pytest.warns(PyHarmonyWarning, match=replaced):
        result = training.train(settled, tmp_path / "run", device="cpu")
    # Two epochs show each of the two once.
    assert (result.steps, result.replaced, result.skipped) == (12, 4, 0)
    entries = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    counts = [entry["replaced"] for entry in entries if entry["kind"] == "loss"]
    assert counts == sorted(counts) and counts[-1] == 4
    with pytest.warns(PyHarmonyWarning, match=replaced):  # a run that goes on counts on
        assert go_on_from(6, tmp_path / "run", tmp_path / "part", settled).replaced == 4


def test_objects_that_vanish_are_left_out_of_the_figures(triples: Path, tmp_path: Path) -> None:
    held_back = with_masks(triples, tmp_path / "held", {3: dot()})
    settings = config(triples, data__validation=str(held_back))
    with pytest.warns(PyHarmonyWarning, match="1 of 12 validation samples are left out"):
        result = training.train(settings, tmp_path / "run", device="cpu")
    whole = data.Subset(data.open_dataset(held_back), [i for i in range(12) if i != 3])
    model = models.load(tmp_path / "run" / "last.safetensors")
    prepared = TensorSamples(whole, ("composite", "mask", "target"), SIZE, model.low)
    assert _evaluate.evaluate(model, prepared)[0] == result.figures
    gone = with_masks(triples, tmp_path / "gone", dict.fromkeys(range(12), dot()))
    with pytest.warns(PyHarmonyWarning, match="12 of 12 validation samples"):
        result = training.train(config(triples, data__validation=str(gone)), tmp_path / "other", device="cpu")
    assert result.figures == {} and result.steps == 6


def test_a_set_of_objects_that_all_vanish_ends_the_run(triples: Path, tmp_path: Path) -> None:
    root = with_masks(triples, tmp_path / "set", dict.fromkeys(range(12), dot()))
    for workers in (0, 1):
        settings = config(root, data__workers=workers, data__crop_share=0.0)
        with pytest.raises(DataError, match=r"data\.root: 20 samples in a row are unusable; the last: .*empty at 32"):
            training.train(settings, tmp_path / f"run{workers}", device="cpu")


def test_the_first_crop_that_shows_the_object_is_taken(triples: Path, tmp_path: Path) -> None:
    mask = np.zeros((40, 44), np.uint8)
    mask[:4, :4] = 255
    samples = data.Subset(data.open_dataset(with_masks(triples, tmp_path / "set", {0: mask})), [0])
    for epoch in range(8):
        prepared = TensorSamples(samples, ("mask", "target"), SIZE, 0.0, crop_share=0.5, seed=(0, epoch))
        assert prepared[0]["mask"].any()


def test_a_mask_of_the_whole_image_trains_colorgrid(triples: Path, tmp_path: Path) -> None:
    """Of its recipe a share shows the inverse of a mask, which of such a mask is empty."""
    whole = np.full((40, 44), 255, np.uint8)
    root = as_photographs(with_masks(triples, tmp_path / "set", dict.fromkeys(range(12), whole)))
    changes = {name: value for name, value in training.recipe("colorgrid")["data"].items() if name != "size"}
    changes |= {"enlarge": True, "inverted": 1.0, "borrowed": 0.0, "reshaped": 0.5, "validation": 0.0, "per_photo": 4}
    model = {"name": "colorgrid", "heads": 1}
    settings = config(root, model=model, **{f"data__{k}": v for k, v in changes.items()})
    training_set, _ = datasets(settings)
    assert all(sample["mask"].any() for sample in training_set)


def test_photographs_to_vary_are_taken_without_those_whose_object_vanishes(
    triples: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = as_photographs(with_masks(triples, tmp_path / "set", {3: dot()}))
    varied = {"data__inverted": 0.1, "data__borrowed": 0.5, "data__crop_share": 0.0, "data__validation": 0.0}
    training_set, _ = datasets(config(root, **varied))
    assert "03" not in training_set.names and len(training_set) == 11
    assert "a sample is left out: 03: its mask is empty at 32 x 32 pixels" in caplog.text


def test_a_run_takes_the_dtype_that_the_cpu_is_fast_in_and_keeps_it(
    triples: Path, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(precision, "cpu_has_bfloat16", lambda: False)
    settings = config(triples, step__dtype="auto")
    with caplog.at_level("INFO", logger="pyharmony"):
        first = training.train(settings, tmp_path / "a", device="cpu")
    assert first.dtype == "float32" and "training in float32" in caplog.text
    assert json.loads((tmp_path / "a" / "config.json").read_text())["step"]["dtype"] == "float32"
    assert weights(tmp_path / "a") == weights(whole)
    # It goes on as it began on a machine that is fast in another.
    monkeypatch.setattr(precision, "cpu_has_bfloat16", lambda: True)
    more = config(triples, step__dtype="auto", schedule__steps=8)
    assert training.train(more, tmp_path / "a", resume="auto", device="cpu").dtype == "float32"
    assert training.train(settings, tmp_path / "b", device="cpu").dtype == "bfloat16"


def test_a_dtype_that_somebody_asks_for_is_taken_with_a_warning(
    triples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(precision, "cpu_has_bfloat16", lambda: False)
    assert training.train(config(triples, step__dtype="bfloat16"), tmp_path, device="cpu").dtype == "bfloat16"
    assert "step.dtype: bfloat16, for which the CPU has no instructions" in caplog.text


def test_a_run_in_float16_goes_on_with_its_scale(
    triples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(steps._step.LossScale, "interval", 3)
    settled = config(triples, step__dtype="float16", run__checkpoint_steps=1, run__keep=9)
    assert training.train(settled, tmp_path / "whole", device="cpu").dtype == "float16"
    assert "step.dtype: float16, in which a step takes several times as long on a CPU" in caplog.text
    go_on_from(2, tmp_path / "whole", tmp_path / "part", settled)
    assert weights(tmp_path / "part") == weights(tmp_path / "whole")
    scales = [
        _checkpoint.read(tmp_path / name / "checkpoints" / "step-00000006").optimizers["scales"]["model"]
        for name in ("part", "whole")
    ]
    assert [float(scale["value"]) for scale in scales] == [2.0**18] * 2


def test_no_recipe_sets_a_dtype_that_a_machine_may_be_slow_in() -> None:
    assert all(training.recipe(name).get("step", {}).get("dtype") != "bfloat16" for name in training.recipes())


def test_photographs_become_other_composites_in_every_epoch(triples: Path, tmp_path: Path) -> None:
    root = tmp_path / "photos"
    root.mkdir()
    (root / "images").symlink_to(triples / "target")
    (root / "masks").symlink_to(triples / "mask")
    training_set, held_back = datasets(config(root))
    assert isinstance(training_set, data.Synthesis)
    assert len(training_set) + len(held_back) == 12
    first, second = training_set.at_epoch(0)[0], training_set.at_epoch(1)[0]
    assert np.array_equal(first["target"], second["target"])
    assert not np.array_equal(first["composite"], second["composite"])


@pytest.fixture
def photos(triples: Path, tmp_path: Path) -> Path:
    """Returns a folder of photographs, of which the last has no mask, as a manifest knows them."""
    root = tmp_path / "photos"
    root.mkdir()
    entries: list[dict[str, str]] = []
    for role, folder in (("photo", "target"), ("mask", "mask")):
        shutil.copytree(triples / folder, root / role)
        files = sorted((triples / folder).iterdir())
        for path in files if role == "photo" else files[:-1]:
            entries.append({"file": f"{role}/{path.name}", "role": role, "pair": path.stem})
    (root / "manifest.json").write_text(json.dumps({"entries": entries}))
    return root


def test_photographs_are_varied_and_joined(photos: Path) -> None:
    changes: dict[str, Any] = {"retouched": 0.5, "inverted": 0.1, "borrowed": 0.2, "reshaped": 0.2, "per_photo": 3}
    changes |= {"crop_share": 0.2, "severity": [30.0, 2600.0], "unchanged": 0.2}
    options = {f"data__{key}": value for key, value in changes.items()}
    settled = config(
        photos, data__root=[str(photos), str(photos)], data__methods={"mkl": 1}, data__validation=0.5, **options
    )
    assert training.config_of(json.loads(json.dumps(settled.as_dict()))) == settled
    training_set, held_back = datasets(settled)
    assert len(training_set) % 3 == len(held_back) % 3 == 0 and len(training_set) >= 12
    many = datasets(config(photos, data__validation=0.5, **{**options, "data__per_photo": 20}))
    assert [len(part) % 20 for part in many] == [0, 8] and len(many[0]) == 20 * (len(training_set) // 6)
    sample = training_set.at_epoch(2)[1]  # type: ignore[attr-defined]
    assert sample["recipe"]["method"] == "mkl" and sample["mask"].any()
    assert all(np.array_equal(s["target"], held_back[i]["target"]) for i, s in enumerate(held_back))


@pytest.mark.parametrize(
    ("name", "narrow"), [("pct_net", {"width": 4}), ("pct_net-vit", {"token_width": 8, "layers": 1, "hidden": 8})]
)
def test_the_recipes_of_pct_net_run(triples: Path, tmp_path: Path, name: str, narrow: dict[str, int]) -> None:
    """They are narrow here, and run on images larger than those that the network sees."""
    changes = [f"data.root={triples}", "data.size=40", "data.validation=0.25", "schedule.epochs=2", "run.batch=3"]
    changes += ["run.loggers=[]", *(f"model.{key}={value}" for key, value in {"size": 32, **narrow}.items())]
    settled = training.config_of(training.with_changes(training.recipe(name), changes))
    result = training.train(settled, tmp_path, device="cpu")
    assert (result.skipped, result.interrupted) == (0, False) and result.steps >= 4
    assert all(math.isfinite(value) for value in result.figures.values()) and "gain" in result.figures
    loaded = models.load(tmp_path / "best.safetensors")
    assert loaded.name == "pct_net" and loaded.config.encoder == ("vit" if name.endswith("vit") else "cnn")


def test_a_limit_draws_photographs_by_the_seed(photos: Path) -> None:
    def names(**changes: Any) -> list[str]:
        return sorted(datasets(config(photos, data__validation=0.3, **changes))[0].names)

    every = names()
    few, more = names(data__limit=2), names(data__limit=4)
    assert len(few) == 2 and len(more) == 4 and set(few) < set(more) < set(every)
    assert names(data__limit=1000) == every
    assert any(names(data__limit=2, run__seed=seed) != few for seed in range(1, 6))
    held_back = [datasets(config(photos, data__validation=0.3, data__limit=n))[1].names for n in (0, 2)]
    assert held_back[0] == held_back[1]


def test_the_recipe_of_a_style_encoder_runs(triples: Path, tmp_path: Path) -> None:
    """Its figure is the area under the curve of the scores, by which the best weights are chosen."""
    changes = [f"data.root={triples}", "data.validation=0.5", "model.width=4", "schedule.steps=4", "run.batch=3"]
    changes += ["data.enlarge=true", "run.loggers=[]"]
    changes += ["run.evaluate_steps=1"]
    settled = training.config_of(training.with_changes(training.recipe("style_encoder-small"), changes))
    with pytest.warns(PyHarmonyWarning, match="hardly trained: 4 steps"):
        result = training.train(settled, tmp_path, device="cpu")
    assert (result.skipped, result.steps) == (0, 4) and list(result.figures) == ["auc"]
    real, pasted = [], []
    for sample in datasets(settled)[1]:
        for role, scores in (("target", real), ("composite", pasted)):
            weights = tmp_path / "best.safetensors"
            scores.append(harmony_score(sample[role], sample["mask"], network=weights, device="cpu"))
    area = _evaluate.area_under_curve(torch.tensor(real), torch.tensor(pasted))
    assert area == pytest.approx(result.best["auc"], abs=1e-6) and area >= result.figures["auc"] - 1e-6


def test_the_recipe_of_clicks_runs(photos: Path, tmp_path: Path) -> None:
    """It trains on scenes, other ones in every epoch, and is measured on photographs as they are."""
    changes = [f"data.root={photos}", "data.validation=0.5", "data.size=64", "data.scene=80", "data.per_photo=2"]
    changes += ["data.enlarge=true", "run.loggers=[]"]
    changes += ["data.workers=0", "model.preset=small", "schedule.steps=4", "run.batch=2", "run.evaluate_steps=2"]
    settled = training.config_of(training.with_changes(training.recipe("clicks"), changes))
    scenes, held_back = datasets(settled)
    assert sorted(scenes[0]) == ["image", "mask", "name", "people"] and sorted(held_back[0]) == [
        "image",
        "mask",
        "name",
    ]
    assert {sample["image"].shape for sample in (scenes[0], held_back[0])} == {(64, 64, 3)}
    with pytest.warns(PyHarmonyWarning, match="hardly trained: 4 steps"):
        result = training.train(settled, tmp_path / "run", device="cpu")
    assert (result.skipped, result.steps) == (0, 4) and list(result.figures) == ["iou", "best"]
    assert 0 <= result.figures["iou"] <= result.figures["best"] <= 1 and "iou" in result.best
    validation = training.held_back(tmp_path / "run")
    assert sorted(validation[0]) == ["image", "mask", "name"] and list(validation.names) == list(held_back.names)
    loaded = models.load(tmp_path / "run" / "best.safetensors")
    with torch.no_grad():
        prediction = loaded.predict(torch.rand(1, 3, 64, 64), torch.ones(1, 1, 64, 64))
    assert (
        loaded.task == "segment"
        and prediction.shape == (1, 1, 64, 64)
        and 0 <= float(prediction.min()) <= float(prediction.max()) <= 1
    )


def test_photographs_without_masks_are_refused(triples: Path, tmp_path: Path) -> None:
    shutil.copytree(triples / "target", tmp_path / "photos" / "images")
    with pytest.raises(
        DataError, match=r"^data\.root: the photograph .* has no mask; expected masks of the same names"
    ):
        datasets(config(tmp_path / "photos"))


def test_a_share_that_holds_nothing_back_is_told(triples: Path, tmp_path: Path) -> None:
    pattern = r"data\.validation: 1e-09 selects none of 12 samples: there are no metrics"
    with pytest.warns(PyHarmonyWarning, match=pattern):
        result = training.train(config(triples, data__validation=1e-9), tmp_path / "run", device="cpu")
    assert not result.figures and (tmp_path / "run" / "best.safetensors").is_file()


def test_what_a_run_held_back(photos: Path, tmp_path: Path) -> None:
    settled = config(photos, data__validation=0.3, data__retouched=0.5)
    training.train(settled, tmp_path / "run", device="cpu")
    dataset = training.held_back(tmp_path / "run", size=40)
    assert list(dataset.names) == list(datasets(settled)[1].names)
    assert dataset[0]["composite"].shape == (40, 40, 3) and dataset[0]["mask"].any()
    assert (
        training.held_back(tmp_path / "run")[0]["composite"].shape[:2]
        == data.open_dataset(photos)[0]["image"].shape[:2]
    )
    with pytest.raises(ArgumentError, match=r"run: .*nothing is not the folder of a training run"):
        training.held_back(tmp_path / "nothing")
    text = (tmp_path / "run" / "config.json").read_text()
    (tmp_path / "run" / "config.json").write_text(text.replace('"validation": 0.3', '"validation": 0.0'))
    with pytest.raises(ArgumentError, match=r"has no validation samples; it had data\.validation=0\.0"):
        training.held_back(tmp_path / "run")


def test_photographs_are_decoded_once(triples: Path, tmp_path: Path) -> None:
    """`data.Synthesis` makes the same samples of them, whether they fit in memory or not."""
    root = tmp_path / "photos"
    shutil.copytree(triples / "target", root / "images")
    shutil.copytree(triples / "mask", root / "masks")
    photos, size = data.open_dataset(root), 36  # of which a crop of a tenth leaves 32
    plain = data.Synthesis(data.Subset(photos, range(6)), size=size, seed=3)
    expected = [plain[i]["composite"] for i in range(6)]
    for memory in (1 << 30, 8 * size**2):
        small = data.Cached(data.Resized(data.Subset(photos, range(6)), size), memory=memory)
        synthesis = data.Synthesis(small, size=size, seed=3)
        assert all(np.array_equal(synthesis[i]["composite"], expected[i]) for i in range(6))
        assert len(small._samples) == min(6, memory // (4 * size**2))
    training_set, _ = datasets(config(root, data__validation=0.0))
    first = [sample["composite"] for sample in training_set]
    shutil.rmtree(root)
    assert all(np.array_equal(sample["composite"], x) for sample, x in zip(training_set, first, strict=True))


def with_sizes(root: Path, *sides: tuple[int, int]) -> Path:
    """Writes photographs with masks of these heights and widths."""
    for number, (height, width) in enumerate(sides):
        mask = np.zeros((height, width), np.uint8)
        mask[height // 4 : -height // 4, width // 4 : -width // 4] = 255
        for role, pixels in (("images", np.full((height, width, 3), 90, np.uint8)), ("masks", mask)):
            (root / role).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(root / role / f"{number:02}.png")
    return root


def test_images_smaller_than_what_the_network_sees_are_refused(tmp_path: Path) -> None:
    """Of a validation folder, too; some smaller ones among others are enlarged, and so is all if that is asked for."""
    small, large = with_sizes(tmp_path / "small", *[(48, 60)] * 5), with_sizes(tmp_path / "large", *[(64, 90)] * 5)
    mixed = with_sizes(tmp_path / "mixed", *[(48, 60)] * 2, *[(48, 64)] * 3)

    def opened(root: Path, **changes: Any) -> list[str]:
        options = {"data__enlarge": False, "data__size": 64, "data__validation": 0.0, **changes}
        training_set, _ = datasets(config(root, **options))
        return list(training_set.names)

    says = (
        rf"^data\.size: 64, but most images of {small} are smaller, such as 60 x 48 pixels; set "
        r"data\.enlarge=true to enlarge them, or data\.size=60 if"
    )
    for changes in (
        {"data__root": str(small)},
        {"data__validation": str(small)},
        {"data__root": [str(large), str(small)]},
    ):
        with pytest.raises(ArgumentError, match=says):
            opened(large, **changes)
    assert len(opened(small, data__size=60)) == len(opened(small, data__enlarge=True)) == len(opened(mixed)) == 5
    data.write_shards(data.Synthesis(data.open_dataset(large), size=64), tmp_path / "shards", size=64)
    with pytest.raises(
        ArgumentError, match=r"data\.size: 256, .* smaller, such as 64 x 64 pixels; set data\.enlarge=true"
    ):
        opened(tmp_path / "shards", data__size=256)
    assert len(opened(tmp_path / "shards")) == 5


# ---- runs -----------------------------------------------------------------------------------------------------------


def test_a_run_leaves_what_it_says(triples: Path, tmp_path: Path) -> None:
    progress: list[training.Progress] = []
    settled = config(triples, run__loggers=["tensorboard"])
    result = training.train(settled, tmp_path, device="cpu", on_progress=progress.append)
    assert (result.steps, result.interrupted, result.skipped) == (6, False, 0)
    names = {path.name for path in tmp_path.iterdir()} - {".lock"}
    assert names == {"best.safetensors", "last.safetensors", "checkpoints", "config.json", "log.jsonl", "tensorboard"}
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == [f"step-0000000{n}" for n in (2, 4, 6)]
    assert isinstance(models.load(tmp_path / "best.safetensors"), models.Model)
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [e["step"] for e in entries if e["kind"] == "loss"] == [1, 2, 4, 6]
    assert {"mse", "psnr", "ssim", "fmse", "fpsnr", "fssim", "gain"} <= set(result.figures)
    assert result.best["fmse"] == min(e["fmse"] for e in entries if e["kind"] == "validation")
    assert [p.count for p in progress] == [1, 2, 4, 6]
    assert progress[-1].share == 1 and progress[-1].left == 0
    record = json.loads((tmp_path / "config.json").read_text())
    assert training.config_of(record) == settled
    # The average is what is kept, and it is not the last weights.
    checkpoint = _checkpoint.read(tmp_path / "checkpoints" / "step-00000006")
    assert checkpoint.ema is not None
    last = models.load(tmp_path / "last.safetensors").state_dict()
    assert all(torch.equal(v, last[k]) for k, v in checkpoint.ema.state_dict().items())
    assert any(not torch.equal(v, last[k]) for k, v in checkpoint.model.state_dict().items())


def test_a_network_that_is_shown_no_mask_is_measured_on_whole_images(triples: Path, tmp_path: Path) -> None:
    model = {"name": "pix2pix", "generator": "unet_32", "width": 2, "discriminator_width": 2, "norm": "instance"}
    settings = config(triples, run__evaluate_steps=2)
    result = training.train(training.config_of({**settings.as_dict(), "model": model}), tmp_path, device="cpu")
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    errors = [entry["mse"] for entry in entries if entry["kind"] == "validation"]
    assert len(errors) == 3 and result.best["mse"] == min(errors) and "fmse" not in result.best


def test_statistics_of_batch_norms_are_averaged_with_the_weights() -> None:
    model, average = (torch.nn.utils.parametrizations.spectral_norm(torch.nn.Conv2d(2, 2, 1)) for _ in range(2))
    model, average = (torch.nn.Sequential(conv, torch.nn.BatchNorm2d(2)) for conv in (model, average))
    model[1].running_mean.fill_(4.0)
    model[1].running_var.fill_(3.0)
    model[1].num_batches_tracked.fill_(9)
    run = types.SimpleNamespace(
        model=model,
        step=types.SimpleNamespace(count=10_000),
        config=types.SimpleNamespace(run=types.SimpleNamespace(ema=0.75)),
    )
    _loop.Run._average(cast(_loop.Run, run), average)
    for name, value in (("running_mean", 1.0), ("running_var", 1.5)):
        assert torch.allclose(getattr(average[1], name), torch.tensor(value))
    # Everything else that is no weight is as it is now: the mean of two unit vectors is none.
    assert average[1].num_batches_tracked == 9
    own, other = (dict(one[0].named_buffers()) for one in (average, model))
    assert own and all(torch.equal(value, other[name]) for name, value in own.items())


def test_a_network_that_cannot_be_traced_prints_nothing(
    triples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The object of `--json` has stdout for itself."""

    def untraced(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("no graph")

    monkeypatch.setattr(torch.jit, "trace", untraced)
    settings = config(triples, schedule__steps=1, run__loggers=["tensorboard"])
    assert training.train(settings, tmp_path, device="cpu").steps == 1
    assert capsys.readouterr().out == ""


def test_one_seed_gives_the_same_bits(triples: Path, tmp_path: Path, whole: Path) -> None:
    for seed in (0, 1):
        training.train(config(triples, run__seed=seed), tmp_path / str(seed), device="cpu")
        assert (weights(tmp_path / str(seed)) == weights(whole)) == (seed == 0)


#: Networks with batch norms, dropout and noise; with spectral norms and two optimizers; with phases.
KINDS: dict[str, dict[str, Any]] = {
    "unet3plus": {"model": {"name": "unet3plus", "width": 2, "branch": 2}},
    "attention_unet": {"schedule__steps": 20},
    "dovenet": {
        "model": {"name": "dovenet", "width": 2, "discriminator_width": 2},
        "step__gradient_penalty": 10.0,
        "data__size": 256,
        "schedule__steps": 5,
    },
    "gp_gan": {
        "model": {"name": "gp_gan", "width": 4, "bottleneck": 8, "critic_width": 4},
        "step__critic_updates_more": 2,
        "step__critic_updates": 2,
        "data__size": 64,
    },
}


def written(root: Path, path: Path, kind: str, **changes: Any) -> Path:
    special = dict(KINDS[kind])
    settings = tables(root, **{k: v for k, v in {**special, **changes}.items() if k != "model"})
    settings["model"] = special.get("model", settings["model"])
    lines = []
    for table, values in settings.items():
        lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("kind", "times"),
    [("attention_unet", 1), *(pytest.param(kind, 3, marks=pytest.mark.full) for kind in sorted(KINDS))],
)
def test_killed_at_any_moment_and_gone_on_with_it_ends_with_the_same_bits(
    triples: Path, tmp_path: Path, kind: str, times: int
) -> None:
    file = written(triples, tmp_path / "x.toml", kind, run__checkpoint_steps=1)
    training.train(training.config_of(training.read_toml(file)), tmp_path / "whole", device="cpu")

    def gone_on_with() -> None:
        training.train(training.config_of(training.read_toml(file)), tmp_path / "killed", resume="auto", device="cpu")

    random = np.random.default_rng(0)
    kills = 0
    for _ in range(times):
        before = len(list((tmp_path / "killed" / "checkpoints").glob("step-*")))
        child = forked(gone_on_with, tmp_path / "said")
        over = select.poll()
        over.register(number := os.pidfd_open(child), select.POLLIN)
        while not over.poll(20) and len(list((tmp_path / "killed" / "checkpoints").glob("step-*"))) <= before:
            pass
        time.sleep(float(random.uniform(0, 0.2)))
        os.kill(child, signal.SIGKILL)
        os.close(number)
        kills += status_of(child) == -signal.SIGKILL
    assert kills
    assert status_of(forked(gone_on_with, tmp_path / "said")) == 0, (tmp_path / "said").read_text()
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")
    logs = [(tmp_path / name / "log.jsonl").read_text() for name in ("killed", "whole")]
    losses = [[e for e in map(json.loads, log.splitlines()) if e["kind"] == "loss"] for log in logs]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_interrupted_saves(triples: Path, tmp_path: Path, whole: Path, number: signal.Signals) -> None:
    def stop(progress: training.Progress) -> None:
        if progress.count == 2:
            os.kill(os.getpid(), number)

    settings = config(triples, run__checkpoint_steps=0)
    first = training.train(settings, tmp_path / "a", device="cpu", on_progress=stop)
    assert first.interrupted and 2 <= first.steps < 6
    second = training.train(settings, tmp_path / "a", resume="auto", device="cpu")
    assert (second.interrupted, second.steps) == (False, 6)
    assert weights(tmp_path / "a") == weights(whole)


def go_on_from(step: int, whole: Path, part: Path, settled: training.TrainConfig) -> training.TrainResult:
    """Copies a run, takes its checkpoints after a step away, and goes on."""
    shutil.copytree(whole, part)
    for path in (part / "checkpoints").glob("step-*"):
        if int(path.name[5:]) > step:
            shutil.rmtree(path)
    return training.train(settled, part, resume="auto", device="cpu")


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Returns a list; once it holds numbers, evaluations after that many steps give them as the fMSE."""
    values: list[float] = []

    def measured(*_: Any) -> Any:
        at = run[0].step.count
        return {"fmse": values[min(at, len(values)) - 1]}, np.zeros((1, 1, 3), np.uint8)

    run: list[Any] = [None]
    real = _loop.Run.__init__

    def noted(self: Any, *arguments: Any, **options: Any) -> None:
        real(self, *arguments, **options)
        run[0] = self

    monkeypatch.setattr(_loop.Run, "__init__", noted)
    monkeypatch.setattr(_loop, "evaluate", measured)
    return values


def test_rates_fall_where_figures_stay(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figures: list[float]
) -> None:
    """The run, which is evaluated at every step, goes on from any of its checkpoints."""
    figures += [5, 4, 4, 4, 3, 3, 6, 6, 3, 3]
    factors: list[float] = []
    real = steps.Step.scale_lr

    def noted(self: steps.Step, factor: float) -> None:
        factors.append(factor)
        real(self, factor)

    monkeypatch.setattr(steps.Step, "scale_lr", noted)
    changes = {"schedule__shape": "plateau", "schedule__patience": 2, "schedule__drop_factor": 0.5}
    changes |= {"schedule__steps": 10, "run__evaluate_steps": 1, "run__batch": 4}
    changes |= {"data__validation": str(few), "run__checkpoint_steps": 1, "run__keep": 20}
    settled = config(few, **changes)
    training.train(settled, tmp_path / "whole", device="cpu")
    # Steps 3 and 4 are no better than step 2, nor are steps 6 and 7, 8 and 9 than step 5.
    assert factors == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]
    for step in (3, 9):
        go_on_from(step, tmp_path / "whole", tmp_path / str(step), settled)
        assert weights(tmp_path / str(step)) == weights(tmp_path / "whole")
    other = config(few, **{**changes, "schedule__patience": 3})
    with pytest.raises(ArgumentError, match=r"schedule\.patience was 2 and is 3"):
        training.train(other, tmp_path / "whole", resume="auto", device="cpu")


def test_a_run_stops_early_where_figures_stay(few: Path, tmp_path: Path, figures: list[float]) -> None:
    """Begun again it has nothing left to do, and with more patience it goes on as if it had not stopped.

    It is evaluated after every epoch, here of one batch.
    """
    figures += [5, 4, 4, 3, 4, 4, 4, 2]
    changes = {"schedule__steps": 8, "schedule__decay": 0.0, "run__evaluate_steps": 0, "run__batch": 4}
    changes |= {"data__validation": str(few), "run__checkpoint_steps": 1, "run__keep": 20}
    settled = config(few, **changes, schedule__stop_after=3)
    result = training.train(settled, tmp_path / "early", device="cpu")
    assert (result.steps, result.stopped_early, result.interrupted, result.best["step"]) == (7, True, False, 4)
    again = go_on_from(7, tmp_path / "early", tmp_path / "again", settled)
    assert (again.steps, again.stopped_early) == (7, True)
    assert go_on_from(5, tmp_path / "early", tmp_path / "part", settled).steps == 7
    whole = training.train(config(few, **changes), tmp_path / "whole", device="cpu")
    longer = config(few, **changes, schedule__stop_after=4)
    more = go_on_from(7, tmp_path / "early", tmp_path / "longer", longer)
    assert (whole.steps, whole.stopped_early) == (more.steps, more.stopped_early) == (8, False)
    assert weights(tmp_path / "longer") == weights(tmp_path / "whole")
    assert more.best == whole.best == {"fmse": 2, "step": 8}


@pytest.mark.parametrize(
    "changes",
    [{"schedule__shape": "cosine", "schedule__decay": 1.0}, {"schedule__shape": "step", "schedule__drops": [0.3, 0.6]}],
)
def test_a_run_with_another_schedule_goes_on_with_the_same_bits(
    triples: Path, tmp_path: Path, whole: Path, changes: dict[str, Any]
) -> None:
    settled = config(triples, **changes)
    training.train(settled, tmp_path / "whole", device="cpu")
    go_on_from(2, tmp_path / "whole", tmp_path / "part", settled)
    assert weights(tmp_path / "part") == weights(tmp_path / "whole") != weights(whole)


def test_a_plateau_needs_something_to_measure(triples: Path, tmp_path: Path) -> None:
    settings = config(triples, schedule__shape="plateau", data__validation=1e-9)
    with pytest.raises(ArgumentError, match=r"^schedule\.shape='plateau': needs validation metrics"):
        training.train(settings, tmp_path, device="cpu")


def test_a_checkpoint_without_a_setting_that_is_newer_goes_on(triples: Path, tmp_path: Path, whole: Path) -> None:
    settled = config(triples)
    shutil.copytree(whole, tmp_path / "whole")
    for path in (tmp_path / "whole" / "checkpoints").glob("step-*/state.json"):
        state = json.loads(path.read_text())
        digest = json.loads(state["facts"]["digest"])
        del digest["schedule"], digest["data"]["flip"]
        state["facts"]["digest"] = json.dumps(digest)
        path.write_text(json.dumps(state))
    with pytest.raises(ArgumentError, match=r"data\.flip was False and is True$"):
        go_on_from(4, tmp_path / "whole", tmp_path / "other", settled)
    settings = config(triples, data__flip=False)
    assert go_on_from(4, tmp_path / "whole", tmp_path / "part", settings).steps == 6


def test_a_longer_schedule_may_be_given(triples: Path, tmp_path: Path) -> None:
    training.train(config(triples, schedule__decay=0.0), tmp_path / "a", device="cpu")
    more = config(triples, schedule__decay=0.0, schedule__steps=8)
    assert training.train(more, tmp_path / "a", resume="auto", device="cpu").steps == 8
    training.train(more, tmp_path / "b", device="cpu")
    assert weights(tmp_path / "a") == weights(tmp_path / "b")


def test_other_settings_are_no_way_to_go_on(triples: Path, tmp_path: Path, whole: Path) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    with pytest.raises(ArgumentError, match=r"run\.batch was 2 and is 3"):
        training.train(config(triples, run__batch=3), tmp_path, resume="auto", device="cpu")
    other = config(triples, run__batch=3, data__flip=False, data__crop_share=0.0, data__size=48, model__width=3)
    with pytest.raises(ArgumentError, match=r"with other settings: model\.width was 2 and is 3; data\.crop_share was"):
        training.train(other, tmp_path, resume="auto", device="cpu")
    with pytest.raises(ArgumentError, match=r"out: .* contains a run; use resume='auto' to continue it"):
        training.train(config(triples), tmp_path, device="cpu")
    for resume in (tmp_path, tmp_path / "checkpoints", tmp_path / "gone"):
        with pytest.raises(
            ArgumentError, match=rf"^resume: {resume} is not the folder of a checkpoint, expected 'auto', or"
        ):
            training.train(config(triples), tmp_path, resume=resume, device="cpu")


def test_a_run_and_its_data_may_be_moved(triples: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = models.create("style_encoder", kind="features", width=2)
    models.save(encoder, tmp_path / "encoder.safetensors")
    shutil.copytree(triples, tmp_path / "held_back")
    extractor = {"extractor": {"weights": str(tmp_path / "encoder.safetensors")}}
    folders = {"data__validation": str(tmp_path / "held_back")}

    def run(root: Path, out: str, steps: int, **changes: Any) -> training.TrainResult:
        settings = training.config_of(
            {**tables(root, schedule__steps=steps, schedule__decay=0.0, **changes), **extractor}
        )
        return training.train(settings, tmp_path / out, resume="auto", device="cpu")

    run(triples, "whole", 4, **folders)
    run(triples, "a", 2, **folders)
    shutil.copytree(triples, tmp_path / "moved")
    os.rename(tmp_path / "held_back", tmp_path / "held")
    os.rename(tmp_path / "a", tmp_path / "b")
    os.rename(tmp_path / "encoder.safetensors", tmp_path / "e.safetensors")
    extractor["extractor"]["weights"] = str(tmp_path / "e.safetensors")
    assert run(tmp_path / "moved", "b", 4, data__validation=str(tmp_path / "held")).steps == 4
    assert weights(tmp_path / "b") == weights(tmp_path / "whole")

    with pytest.raises(ArgumentError, match=r"data\.validation was 'a folder' and is 0\.25"):
        run(tmp_path / "moved", "b", 4)
    for path in (tmp_path / "moved").glob("*/07.png"):
        path.rename(path.with_stem("other"))
    with pytest.raises(ArgumentError, match=r"^data\.root: not the samples .* given 12 and 12, with other names"):
        run(tmp_path / "moved", "b", 4, data__validation=str(tmp_path / "held"))
    for path in (tmp_path / "moved").glob("*/other.png"):
        path.unlink()
    with pytest.raises(ArgumentError, match=r"it has 12 training and 12 validation samples, given 11 and 12$"):
        run(tmp_path / "moved", "b", 4, data__validation=str(tmp_path / "held"))
    models.save(models.create("style_encoder", kind="features", width=3), tmp_path / "e.safetensors")
    with pytest.raises(ArgumentError, match=r"^extractor\.weights: not the same as in "):
        run(triples, "b", 4, data__validation=str(tmp_path / "held"))


def test_what_is_seen_of_an_epoch_is_kept_for_other_numbers_of_processes(triples: Path, tmp_path: Path) -> None:
    """A checkpoint of three processes with two batches each has seen 12 of 18 samples: nine for one process is not."""
    training.train(config(triples, schedule__steps=2, run__batch=1), tmp_path, device="cpu")
    path = tmp_path / "checkpoints" / "step-00000002"
    run = _loop.Run(config(triples, run__batch=1), tmp_path, device="cpu")
    run.set_samples(*datasets(config(triples)))
    state = json.loads((path / "state.json").read_text())
    state["facts"]["world"] = 3
    (path / "state.json").write_text(json.dumps(state))
    run.resume(path)
    assert (run.epoch, run.position) == (0, 6)


def test_a_damaged_checkpoint_is_named_and_the_one_before_taken(
    triples: Path, tmp_path: Path, whole: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    newest = tmp_path / "checkpoints" / "step-00000006"
    path = newest / "state.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    with pytest.raises(WeightsError, match=r"state\.safetensors is damaged"):
        training.train(config(triples), tmp_path, resume=newest, device="cpu")
    result = training.train(config(triples), tmp_path, resume="auto", device="cpu")
    assert "state.safetensors is damaged; the previous one is used" in caplog.text
    assert result.steps == 6 and weights(tmp_path) == weights(whole)


def test_nothing_half_written_is_left_where_the_disk_is_full(
    triples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    training.train(config(triples, schedule__steps=2), tmp_path, device="cpu")
    monkeypatch.setattr(_checkpoint.safetensors.torch, "save_file", full)
    with pytest.raises(OSError, match="no space left"):
        training.train(config(triples), tmp_path, resume="auto", device="cpu")
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-00000002"]
    monkeypatch.undo()
    assert training.train(config(triples), tmp_path, resume="auto", device="cpu").steps == 6


def test_one_run_at_a_time_writes_to_a_folder(triples: Path, tmp_path: Path) -> None:
    with _checkpoint.locked(tmp_path), pytest.raises(ArgumentError, match="another run is writing to"):
        training.train(config(triples), tmp_path, device="cpu")


@pytest.fixture(scope="module")
def two_processes(triples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder in which two processes, started once, have trained one network, and another twice.

    They have the environment that torchrun gives them.
    """
    folder = tmp_path_factory.mktemp("two")
    narrow = {"run__batch": 1, "run__checkpoint_steps": 3, "schedule__steps": 6}
    written(triples, folder / "x.toml", "attention_unet", **narrow)
    settings = tables(triples, data__size=64, run__batch=1, schedule__decay=0.0)
    settings["model"] = {"name": "attention_unet", "width": 2, "depth": 6}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])

    def process(rank: int) -> None:
        world = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os.environ.update(world, RANK=str(rank), LOCAL_RANK=str(rank), GLOO_SOCKET_IFNAME="lo")
        torch.set_num_threads(1)
        config = training.config_of(training.read_toml(folder / "x.toml"))
        result = training.train(config, folder / "run", resume="auto", device="cpu")
        torch.save(dict(result.model.state_dict()), folder / f"rank{rank}")
        for name, last in (("whole", 4), ("parts", 2), ("parts", 4)):
            settings["schedule"]["steps"] = last
            training.train(training.config_of(settings), folder / name, resume="auto", device="cpu")

    outputs = [folder / f"said{rank}" for rank in (0, 1)]
    children = [forked(lambda rank=rank: process(rank), outputs[rank]) for rank in (0, 1)]  # type: ignore[misc]
    assert [status_of(child) for child in children] == [0, 0], [path.read_text() for path in outputs]
    return folder


def test_two_processes_end_with_equal_weights(two_processes: Path) -> None:
    first, second = (torch.load(two_processes / f"rank{rank}", weights_only=True) for rank in (0, 1))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[k], second[k]) for k in first)
    facts = _checkpoint.read(two_processes / "run" / "checkpoints" / "step-00000006").facts
    assert (facts["world"], facts["count"]) == (2, 6)


def test_two_processes_go_on_with_their_own_random_numbers(two_processes: Path) -> None:
    """Dropout of each process is drawn on as if the run had not been broken off."""
    assert weights(two_processes / "whole") == weights(two_processes / "parts")
    states = [
        _checkpoint.read(two_processes / name / "checkpoints" / "step-00000004").random for name in ("whole", "parts")
    ]
    assert states[0].keys() == states[1].keys() == {"0/cpu", "1/cpu"}
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not torch.equal(states[0]["0/cpu"], states[0]["1/cpu"])


def test_people_of_coco_and_boxes_of_scenes_are_trained_on(triples: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in (triples / "target").iterdir())
    photos = [{"id": i, "file_name": name, "width": 44, "height": 40} for i, name in enumerate(names)]
    box = [[4, 4, 30, 4, 30, 30, 4, 30]]
    people = [{"id": i, "image_id": i, "category_id": 1, "segmentation": box, "area": 676 if i else 3}
              for i in range(len(names))]  # fmt: skip
    table = {"images": photos, "annotations": people, "categories": [{"id": 1, "name": "cup"}]}
    (tmp_path / "cups.json").write_text(json.dumps(table))
    coco = {"root": str(triples / "target"), "annotations": str(tmp_path / "cups.json"), "category": "cup"}
    settings = training.config_of({**tables(triples), "data": {**coco, "min_share": 0.1, "size": SIZE}})
    training_set, held_back = datasets(settings)
    assert type(training_set) is data.Synthesis and len(training_set) + len(held_back) == len(names) - 1
    assert {"composite", "mask", "target"} <= training_set[0].keys()

    (tmp_path / "boxes.txt").write_text("composite:2,3,36,40\ntarget:2,3,36,40\n")
    scenes = {"root": str(triples), "boxes": str(tmp_path / "boxes.txt"), "pairs": 6, "size": 16, "validation": 0.5}
    pairs = [part for part in datasets(training.config_of({**tables(triples), "data": scenes})) if len(part)]
    assert sum(map(len, pairs)) == 6 and all(type(part) is data.PairComposites for part in pairs)
    (tmp_path / "one.txt").write_text("target:2,3,36,40\n")
    others = {"validation": str(triples), "validation_kind": "scenes", "validation_boxes": str(tmp_path / "one.txt")}
    _, held_back = datasets(training.config_of({**tables(triples), "data": {**scenes, **others}}))
    assert len(held_back) == 6 and set(held_back.groups) == {"target"}


def test_accumulated_batches_are_one_batch(triples: Path) -> None:
    """For a network without statistics of a batch, two halves have the gradient of the whole."""
    torch.manual_seed(0)
    batch = {name: torch.rand(4, 3, 64, 64) for name in ("composite", "target")}
    batch["mask"] = torch.ones(4, 1, 64, 64)
    gradients = []
    for parts in (1, 2):
        torch.manual_seed(1)
        model = models.create("dovenet_lite", "small")
        step = steps.create(model, adversarial=0.0, verification=0.0)
        step.accumulate = parts
        for part in range(parts):
            share = 4 // parts
            step({name: x[part * share : (part + 1) * share] for name, x in batch.items()})
        assert step.count == 1 and step.whole
        gradients.append([p.grad.clone() for p in model.generator.parameters()])
    for a, b in zip(*gradients):  # sums of some thousand float32 in another order
        assert float((a - b).abs().max()) <= 1e-4 * float(a.abs().max())


def test_too_many_updates_that_are_not_finite_end_a_run(triples: Path, tmp_path: Path) -> None:
    wild = config(triples, step__lr=1e30, run__largest_skips=2, run__log_steps=1, run__checkpoint_steps=0)
    with pytest.raises(ArgumentError, match="updates were not finite up to step"):
        training.train(wild, tmp_path, device="cpu")


def test_a_style_is_learned_through_an_extractor(triples: Path, tmp_path: Path) -> None:
    settings = config(triples, extractor__name="style_encoder", extractor__preset="small_features", step__style=1.0)
    result = training.train(settings, tmp_path, device="cpu")
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert all("style" in e for e in entries if e["kind"] == "loss")
    assert result.steps == 6


def test_area_under_the_curve() -> None:
    high, low = torch.tensor([0.9, 0.4, 0.7]), torch.tensor([0.1, 0.4])
    # Five of six pairs are in order and one is a tie.
    assert _evaluate.area_under_curve(high, low) == pytest.approx(5.5 / 6)


def test_a_network_that_blends_is_validated_by_its_seam_and_colour(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for scene in "abcdefgh":
        (tmp_path / "scenes" / scene).mkdir(parents=True)
        photograph = rng.integers(0, 200, (72, 80, 3), np.uint8)
        for i, light in enumerate((1.0, 0.5)):
            Image.fromarray((photograph * light).astype(np.uint8)).save(tmp_path / "scenes" / scene / f"{i}.png")
    changes = [
        "data.kind=scenes",
        "data.size=64",
        "data.pairs=12",
        "data.validation=0.4",
        "schedule.steps=2",
        "run.batch=2",
        "run.loggers=[]",
    ]
    tables = {"model": {"name": "gp_gan", "preset": "small", "width": 4, "critic_width": 4, "bottleneck": 8}}
    tables |= {"step": {"critic_updates": 1, "critic_updates_more": 1}, "data": {"root": str(tmp_path / "scenes")}}
    for best_by in ("", "color_error"):
        config = training.config_of(
            training.with_changes(tables, [*changes, f"run.best_by={best_by}", "run.evaluate_steps=1"])
        )
        result = training.train(config, tmp_path / f"run-{best_by}", device="cpu")
        lines = [json.loads(line) for line in (tmp_path / f"run-{best_by}" / "log.jsonl").read_text().splitlines()]
        figures = {line["step"]: line for line in lines if line["kind"] == "validation"}
        assert {"mse", "psnr", "seam_error", "color_error"} <= set(figures[1])
        assert all(0 <= line["color_error"] <= 255 and line["seam_error"] >= 0 for line in figures.values())
        name = best_by or "mse"
        assert result.best["step"] == min(figures, key=lambda step: figures[step][name])
    with pytest.raises(ArgumentError, match=r"run\.best_by: 'seam_eror'; did you mean 'seam_error'"):
        training.config_of(training.with_changes(tables, [*changes, "run.best_by=seam_eror"]))
    config = training.config_of(training.with_changes(tables, [*changes, "run.best_by=iou"]))
    with pytest.raises(ArgumentError, match=r"run\.best_by: 'iou', expected one of 'mse', 'psnr'"):
        training.train(config, tmp_path / "other", device="cpu")


def test_some_samples_of_a_network_that_blends_may_lack_a_mask() -> None:
    """The seam is measured along the masks that there are, and the sheet has a place for each."""
    random, mask = np.random.default_rng(0), np.zeros((64, 64), np.uint8)
    mask[16:48, 16:48] = 255
    image = random.integers(0, 256, (64, 64, 3), np.uint8)
    samples = [{"name": str(i), "composite": image, "target": image, **({"mask": mask} if i < 8 else {})}
               for i in range(12)]  # fmt: skip
    torch.manual_seed(0)
    model = models.create("gp_gan", width=4, critic_width=4, bottleneck=8)

    def measured(samples: list[Any], *also: str) -> Any:
        return _evaluate.evaluate(model, TensorSamples(cast(Any, samples), ("composite", "target", *also), 64, -1.0))

    figures, sheet = measured(samples, "mask")
    assert figures == measured(samples[:8], "mask")[0]
    assert sheet.shape == (8 * 64, 4 * 64, 3) and sheet[:64, 64:128].max() == 255 and sheet[-64:, 64:128].max() == 0
    assert measured(samples)[1].shape == (8 * 64, 3 * 64, 3) and list(measured(samples)[0]) == ["mse", "psnr"]
