"""`pyharmony.learn.evaluation`: the measures of a method, means and differences, reports, networks."""

from __future__ import annotations

import csv
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyharmony
from pyharmony import _shipped, color, errors, harmonization
from pyharmony.learn import data, evaluation, metrics
from pyharmony.learn.evaluation import METHODS, PUBLISHED

from ..shared import GUARDED

pytestmark = pytest.mark.networks

IMAGE_SIDE = 24


class Samples(data.Dataset):
    """Photographs whose objects are darker by 30 levels and cover 1/32, 1/8 and 1/2; the third has no target."""

    def __init__(self, count: int = 6, bad: int | None = None, subsets: tuple[str, ...] = ()) -> None:
        self.names, self.bad, self.subsets = [f"s{i}" for i in range(count)], bad, subsets

    def _load(self, index: int) -> dict[str, Any]:
        random = np.random.default_rng(index)
        target = random.integers(60, 200, (IMAGE_SIDE, 2 * IMAGE_SIDE, 3), np.uint8)
        mask = np.zeros((IMAGE_SIDE, 2 * IMAGE_SIDE), np.uint8)
        mask[: IMAGE_SIDE // 2, : (3, 12, 48)[index % 3]] = 255
        composite = np.where(mask[..., None] > 0, target - np.uint8(30), target)
        sample = {"name": self.names[index], "composite": composite, "target": target, "mask": mask}
        if self.subsets:
            sample["subset"] = self.subsets[index % len(self.subsets)]
        if index == self.bad:
            del sample["target"]
        return sample


def lighter(composite: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Returns all of the image, lighter by 20.4 levels; the object's error is then 10."""
    return composite + np.float32(20.4)


# Measures


def test_an_output_is_rounded_and_put_into_the_composite() -> None:
    composite = np.full((1, 4, 3), 100, np.uint8)
    output = np.array([90.4, 300.0, -7.0, 200.6])[None, :, None] * np.ones(3)
    mask = np.array([[255, 255, 128, 0]], np.uint8)
    # rint(128/255 * 0 + 127/255 * 100) = 50
    assert evaluation.composed(output, composite, mask)[0, :, 0].tolist() == [90, 255, 50, 100]
    assert evaluation.composed(composite, composite, mask).dtype == np.uint8


def test_an_output_that_is_none_is_refused() -> None:
    sample = Samples()[0]
    composite, mask = sample["composite"], sample["mask"]
    with pytest.raises(errors.ShapeError, match="output: shape"):
        evaluation.composed(composite[:-1], composite, mask)
    with pytest.raises(errors.ArgumentError, match="output: NaN"):
        evaluation.composed(np.full(composite.shape, np.nan), composite, mask)


def test_a_measure_is_that_of_the_metrics() -> None:
    sample = Samples()[1]
    composite, target, mask = sample["composite"], sample["target"], sample["mask"]
    picture, figures = evaluation.measure(lighter(composite, mask), composite, target, mask)
    assert np.array_equal(picture[mask == 0], target[mask == 0])
    assert figures == metrics.evaluate(picture, target, mask)
    assert figures["fmse"] == 100  # 30 - 20


@GUARDED
@pytest.mark.parametrize("name", sorted(set(harmonization.METHODS) - {"auto"}))
def test_a_method_of_harmonize_is_what_is_measured(name: str) -> None:
    sample = data.resize_sample(Samples()[2], 64)
    composite, mask = sample["composite"], sample["mask"]
    result = METHODS[name](composite, mask)
    assert np.array_equal(result, harmonization.harmonize(composite, mask, method=name))
    assert np.array_equal(result[mask == 0], composite[mask == 0])
    assert not np.array_equal(result, composite)


def test_weights_that_are_missing_are_no_fault_of_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyharmony.networks.models", reason="torch is not installed")
    monkeypatch.setattr(_shipped, "every", list)
    with pytest.raises(errors.WeightsError, match="auto: method: 'auto' needs the weights colorgrid"):
        evaluation.evaluate(Samples(), {"auto": METHODS["auto"]}, size=32, errors="skip")


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"composite", *harmonization.METHODS}))
def test_a_transfer_takes_the_colours_of_the_background(name: str) -> None:
    sample = Samples()[2]
    composite, mask = sample["composite"], sample["mask"]
    result = METHODS[name](composite, mask)
    assert np.array_equal(result, getattr(color, name)(composite, composite, mask, 255 - mask))
    assert np.array_equal(result[mask == 0], composite[mask == 0])
    assert not np.array_equal(result, composite)


# Over a data set


def test_each_sample_has_a_row_of_each_method() -> None:
    results: list[Any] = []
    steps: list[int] = []
    report = evaluation.evaluate(
        Samples(), {"lighter": lighter}, size=None, on_result=results.append, progress=lambda: steps.append(1)
    )
    assert report.methods == ("composite", "lighter") and len(steps) == 6
    assert [(row["name"], row["method"]) for row in report.rows[:3]] == [
        ("s0", "composite"),
        ("s0", "lighter"),
        ("s1", "composite"),
    ]
    assert report.rows[0]["fmse"] == 900 and report.rows[1]["fmse"] == 100
    assert (report.rows[0]["height"], report.rows[0]["width"], report.rows[0]["foreground"]) == (24, 48, 1 / 32)
    assert [result.name for result in results] == [f"s{i}" for i in range(6)]
    assert np.array_equal(results[0].pictures["composite"], Samples()[0]["composite"])


def test_samples_are_resized_first() -> None:
    report = evaluation.evaluate(Samples(1), size=32)
    small = data.resize_sample(Samples(1)[0], 32)
    expected = metrics.evaluate(small["composite"], small["target"], small["mask"])
    assert {key: report.rows[0][key] for key in expected} == expected
    assert (report.rows[0]["height"], report.rows[0]["width"], report.size) == (32, 32, 32)


def test_means_and_differences_have_intervals_of_the_same_pictures() -> None:
    report = evaluation.evaluate(Samples(), {"lighter": lighter}, size=None)
    every = {s.method: s for s in report.summaries if s.group == "all"}
    values = {m: np.array([row["psnr"] for row in report.rows if row["method"] == m]) for m in report.methods}
    assert every["lighter"].means["psnr"] == metrics.bootstrap(values["lighter"])
    assert every["lighter"].gains["psnr"] == metrics.bootstrap(values["lighter"] - values["composite"])
    assert every["composite"].gains == {} and every["composite"].count == 6
    # One gain in every image: its interval is a point, those of the means are not.
    assert every["lighter"].gains["fmse"].low == every["lighter"].gains["fmse"].high == -800
    assert every["lighter"].means["mse"].low < every["lighter"].means["mse"].high


def test_groups_are_subsets_and_shares_of_the_foreground() -> None:
    report = evaluation.evaluate(Samples(subsets=("HCOCO", "HFlickr")), size=None)
    assert report.groups == {
        "all": [0, 1, 2, 3, 4, 5],
        "HCOCO": [0, 2, 4],
        "HFlickr": [1, 3, 5],
        "0-5 %": [0, 3],
        "5-15 %": [1, 4],
        "15-100 %": [2, 5],
    }
    assert {s.group: s.count for s in report.summaries} == {k: len(v) for k, v in report.groups.items()}


def test_a_share_of_one_is_in_the_last_group() -> None:
    samples = Samples(1)
    whole = {**samples[0], "mask": np.full((IMAGE_SIDE, 2 * IMAGE_SIDE), 255, np.uint8)}
    samples._load = lambda index: whole  # type: ignore[method-assign]
    assert list(evaluation.evaluate(samples, size=None).groups) == ["all", "15-100 %"]


def test_a_bad_sample_is_named_and_left_out_of_every_method() -> None:
    with pytest.raises(errors.DataError, match="s2: no target"):
        evaluation.evaluate(Samples(bad=2), size=None)
    report = evaluation.evaluate(Samples(bad=2), {"lighter": lighter}, size=None, errors="skip")
    assert [problem.name for problem in report.problems] == ["s2"]
    assert "s2" not in {row["name"] for row in report.rows} and len(report.rows) == 10


def test_a_method_that_fails_is_named() -> None:
    def failing(composite: np.ndarray, mask: np.ndarray) -> np.ndarray:
        if mask.mean() > 100:
            raise errors.MaskError("mask: too large")
        return composite

    report = evaluation.evaluate(Samples(3), {"failing": failing}, size=None, errors="skip")
    assert [problem.message for problem in report.problems] == ["s2: failing: mask: too large"]
    assert [row["name"] for row in report.rows] == ["s0", "s0", "s1", "s1"]


def test_what_cannot_be_evaluated_is_an_error() -> None:
    with pytest.raises(errors.DataError, match="s0: no target"):
        evaluation.evaluate(Samples(1, bad=0), errors="skip")
    with pytest.raises(errors.DataError, match="empty"):
        evaluation.evaluate(Samples(0))
    with pytest.raises(errors.ArgumentError, match="reserved for the comparison"):
        evaluation.evaluate(Samples(1), {"target": lighter})
    with pytest.raises(errors.ArgumentError, match="reserved for the comparison"):
        evaluation.evaluate(Samples(1), {"composite": lighter})
    with pytest.raises(errors.ArgumentError, match="errors: 'ignore'"):
        evaluation.evaluate(Samples(1), errors="ignore")


def test_judges_score_every_method_and_the_target() -> None:
    def judge(composite: np.ndarray, output: np.ndarray, mask: np.ndarray) -> tuple[dict[str, float], Any]:
        return {"realism": float(output.mean())}, output.mean((1, 2), keepdims=True)[..., 0] / 255

    results: list[Any] = []
    report = evaluation.evaluate(
        Samples(2), {"lighter": lighter}, size=None, judges={"j": judge}, on_result=results.append
    )
    assert report.rows[0]["j_realism"] == Samples()[0]["composite"].mean()
    assert report.measures[-1] == "j_realism"
    assert results[1].scores["target"]["j"]["realism"] == Samples()[1]["target"].mean()
    assert results[0].maps["lighter"]["j"].shape == (IMAGE_SIDE, 1)


# Reports


def test_a_table_of_all_rows_is_written_at_once(tmp_path: Path) -> None:
    report = evaluation.evaluate(Samples(2), {"lighter": lighter}, size=None)
    evaluation.write_csv(report, tmp_path / "a.csv")
    with open(tmp_path / "a.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert {key: float(rows[3][key]) for key in report.measures} == {
        key: report.rows[3][key] for key in report.measures
    }
    with pytest.raises(OSError, match="none"):
        evaluation.write_csv(report, tmp_path / "none" / "a.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_a_report_has_all_its_tables() -> None:
    report = evaluation.evaluate(Samples(bad=2), {"lighter": lighter}, size=256, errors="skip")
    lines = evaluation.markdown(report).splitlines()
    assert lines[0] == "# 5 images, 256 x 256 pixels"
    assert "1 more could not be evaluated." in lines
    assert "|  | MSE | PSNR | fMSE | fPSNR | SSIM | fSSIM | seam error |" in lines
    assert "|  | all (5) | 0-5 % (2) | 5-15 % (2) | 15-100 % (1) |" in lines
    every = next(s for s in report.summaries if (s.method, s.group) == ("lighter", "all"))
    fmse, gain = every.means["fmse"], every.gains["fmse"]
    assert any(f"{fmse.mean:.2f} [{fmse.low:.2f}, {fmse.high:.2f}]" in line for line in lines)
    assert any(f"{gain.mean:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}]" in line for line in lines)
    assert "Published" not in evaluation.markdown(report)


def test_what_was_published_stands_apart() -> None:
    at = {size: evaluation.evaluate(Samples(1), size=size) for size in (256, None, 32)}
    text = evaluation.markdown(at[256], published=True)
    before, _, after = text.partition("## Published")
    assert "(published)" not in before and "not measured here" in after
    assert "| DoveNet (published) | 52.36 | 34.75 | 549.96 | 36.72 / 35.83 |" in after
    assert "| U-Net and style, HSV (published) | – | – | – | 48 / 34 |" in after
    assert "| Ensemble, in its slides (published) | – | – | – | 37 / 37 |" in after
    assert "PCT-Net" not in after
    assert "| PCT-Net, ViT (published) | 18.84 | 39.29 |" in evaluation.markdown(at[None], published=True)
    assert "Nothing was published at this size" in evaluation.markdown(at[32], published=True)


def test_published_means_are_those_of_their_subsets() -> None:
    """They are so up to rounding, so that a slip of the hand would show; two tables contradict themselves."""
    counts = {"HCOCO": 4283, "HAdobe5k": 2160, "HFlickr": 828, "Hday2night": 133}
    checked = 0
    for row in PUBLISHED:
        for place, figure in enumerate((row.mse, row.psnr)):
            of = {name: pair[place] for name, pair in row.subsets.items() if pair[place] is not None}
            if figure is not None and len(of) == 4 and not (place == 0 and row.method in ("SSH", "Guo (Intrinsic)")):
                mean = sum(of[name] * n for name, n in counts.items()) / sum(counts.values())
                assert abs(mean - figure) <= Decimal("0.003") * figure, row
                checked += 1
    assert checked == 43  # both means of 22 tables but for those two, and RainNet's PSNR


def test_a_map_is_red_where_it_looks_pasted() -> None:
    grey = np.full((20, 40, 3), 128, np.uint8)
    heat_map = evaluation.heat_map(np.array([[0.0, 1.0]]), grey)
    assert heat_map.shape == grey.shape and heat_map.dtype == np.uint8
    assert heat_map[10, 0, 0] > heat_map[10, 0, 2] and heat_map[10, -1, 2] > heat_map[10, -1, 0]


# Networks


SMALL_MODELS: dict[str, dict[str, Any]] = {
    "attention_unet": {"width": 4},
    "bargainnet": {"width": 4, "encoder_width": 4},
    "dovenet": {"width": 4, "discriminator_width": 4},
    "dovenet_lite": {"width": 4},
    "pct_net": {"width": 4},
    "pix2pix": {"mask": True, "width": 4, "discriminator_width": 4},
    "pix2pix_selfie": {"preset": "small"},
    "unet3plus": {"width": 4, "branch": 4},
}


@pytest.mark.parametrize("name", sorted(SMALL_MODELS))
def test_a_network_is_run_in_its_range(models: Any, name: str) -> None:
    import torch

    model = models.create(name, **SMALL_MODELS[name]).eval()
    sample = data.resize_sample(Samples()[2], 256)
    composite, mask = sample["composite"], sample["mask"]
    result = evaluation.harmonizer(model, device="cpu")(composite, mask)
    x = torch.from_numpy(composite).permute(2, 0, 1)[None] / 255 * (1 - model.low) + model.low
    with torch.no_grad():
        y = model(x, torch.from_numpy(mask)[None, None] / 255)
    expected = ((y - model.low) / (1 - model.low) * 255)[0].permute(1, 2, 0).numpy()
    # Inputs are equal to a rounding of float32; the layers multiply it by less than a thousand.
    assert np.abs(result - expected).max() <= 1e-4 * max(1, np.abs(expected).max())
    assert model.low == float(min(x.min() for x in model.example(32 * 8).values() if x.shape[1] == 3).round())


@pytest.mark.parametrize("batch_statistics", [False, True])
def test_an_ensemble_is_a_method(models: Any, batch_statistics: bool) -> None:
    """Its image is the mean of its members', and `harmonize` takes it too."""
    members = [
        models.create("attention_unet", width=4, depth=6),
        models.create("unet3plus", **SMALL_MODELS["unet3plus"]),
    ]
    for member in members:
        member.eval()
    sample = data.resize_sample(Samples()[2], 64)
    composite, mask = sample["composite"], sample["mask"]
    options: dict[str, Any] = {"device": "cpu", "batch_statistics": batch_statistics}
    output = evaluation.harmonizer(models.Ensemble(members), **options)(composite, mask)
    expected = [evaluation.harmonizer(member, **options)(composite, mask) for member in members]
    assert np.abs(output - np.mean(expected, 0)).max() < 1e-3
    result, info = pyharmony.harmonize(
        composite, mask, method=models.Ensemble(members), guard=False, return_info=True,
        batch_statistics=batch_statistics,
    )  # fmt: skip
    assert info.weights == "ensemble" and result.shape == composite.shape
    assert not np.array_equal(result, composite)


def test_batch_norms_take_the_statistics_of_each_picture(models: Any, tmp_path: Path) -> None:
    """The result is that of a published network in training mode, without dropout; the model stays as it is."""
    import torch

    from ..published_networks import NestedUNet, lived_in

    published = lived_in(NestedUNet(4, 4, 8, "batch", gates=True))
    torch.save(published.state_dict(), tmp_path / "latest_net_G.pth")
    model = models.convert(tmp_path / "latest_net_G.pth", "attention_unet")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    method = evaluation.harmonizer(model, device="cpu", batch_statistics=True)
    published.train()
    for module in published.modules():
        if isinstance(module, torch.nn.Dropout):
            module.eval()
    for i in (2, 1, 2):  # each by itself, whatever came before
        sample = data.resize_sample(Samples()[i], 256)
        composite, mask = sample["composite"], sample["mask"]
        x = torch.from_numpy(composite).permute(2, 0, 1)[None] / 127.5 - 1
        with torch.no_grad():
            y = published(torch.cat([x, torch.from_numpy(mask)[None, None] / 255], 1))
        expected = ((y[0] + 1) * 127.5).permute(1, 2, 0).numpy()
        # Sums of 65,536 values and less are taken in another order, through eight levels.
        assert np.abs(method(composite, mask) - expected).max() < 0.01
        running = evaluation.harmonizer(model, device="cpu")(composite, mask)
        assert np.abs(running - expected).mean() > 1
    assert not model.training and all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_model_without_batch_norms_has_no_statistics_of_them(models: Any) -> None:
    for name, config, says in (
        ("dovenet", {"width": 2, "discriminator_width": 2}, "has no batch norms, its norm is 'instance'"),
        ("colorgrid", {}, "the generator of colorgrid has no batch norms; leave it out"),
        ("dovenet_lite", {"width": 4}, "the generator of dovenet_lite has no batch norms; leave it out"),
    ):
        with pytest.raises(errors.ArgumentError, match=f"batch_statistics: .*{says}"):
            evaluation.harmonizer(models.create(name, **config), batch_statistics=True)
    deep = models.create("pix2pix_selfie", depth=8, width=2, discriminator_width=2)
    method = evaluation.harmonizer(deep, device="cpu", batch_statistics=True)
    sample = data.resize_sample(Samples()[2], 256)
    with pytest.raises(errors.ShapeError, match=r"batch_statistics: at 256 x 256 pixels a batch norm .* has one value"):
        method(sample["composite"], sample["mask"])


@pytest.mark.parametrize(
    ("name", "config"), [("dovenet", {"size": 32}), ("pix2pix", {"generator": "unet_64", "mask": True})]
)
def test_maps_of_a_network_are_enlarged(models: Any, name: str, config: dict[str, Any]) -> None:
    """A residual generator sees its own size; its maps act on the composite as it is, inside the mask."""
    import torch

    model = models.create(name, width=2, discriminator_width=2, residual=True, **config).eval()
    net = model.generator.unet if name == "dovenet" else model.generator.net
    sides: list[int] = []
    net.register_forward_pre_hook(lambda _, inputs: sides.append(inputs[0].shape[-1]))
    sample = data.resize_sample(Samples()[2], 96)
    composite, mask = sample["composite"], sample["mask"]
    method = evaluation.harmonizer(model, device="cpu")
    assert np.abs(method(composite, mask) - composite).max() < 1e-3  # as it begins it adds nothing
    assert sides == [model.config.size]
    with torch.no_grad():
        net.last.bias[0], net.last.bias[7] = -0.25, 0.1  # of red a share, to green a number
    result = method(composite, mask)
    signed = composite / 127.5 - 1.0
    signed[..., 0] *= 0.75
    signed[..., 1] += 0.1
    expected = np.where(mask[..., None] > 0, (signed.clip(-1, 1) + 1) * 127.5, composite)
    np.testing.assert_allclose(result, expected, atol=1e-3)


def test_at_another_size_the_change_is_a_colour_map(models: Any) -> None:
    model = models.create("dovenet_lite", width=4)
    with_offset = 20.0 / 255

    class Offset(type(model)):  # type: ignore[misc]
        def forward(self, composite: Any, mask: Any) -> Any:
            return composite + with_offset

    model.__class__ = Offset
    method = evaluation.harmonizer(model, device="cpu")
    sample = Samples()[2]
    assert sample["composite"].max() <= 235  # nothing is clipped here, so the change is one number
    change = method(sample["composite"], sample["mask"])[sample["mask"] > 0] - sample["composite"][sample["mask"] > 0]
    # The ridges hold the map back by less than a level.
    assert np.abs(change - 20.0).max() <= 1


def test_what_a_network_does_not_do_is_refused(models: Any, tmp_path: Path) -> None:
    with pytest.raises(errors.ArgumentError, match="realism_cnn does not harmonize; expected one of attention_unet"):
        evaluation.harmonizer(models.create("realism_cnn", "small"))
    with pytest.raises(errors.ArgumentError, match="attention_unet does not score images"):
        evaluation.judge(models.create("attention_unet", width=4))
    with pytest.raises(errors.ArgumentError, match="device: 'tpu'"):
        evaluation.harmonizer(models.create("dovenet_lite", width=4), device="tpu")
    models.save(models.create("dovenet", **SMALL_MODELS["dovenet"]), tmp_path / "a.safetensors", part="generator")
    with pytest.raises(errors.WeightsError, match="only the generator of dovenet"):
        evaluation.judge(tmp_path / "a.safetensors")
    evaluation.harmonizer(tmp_path / "a.safetensors", device="cpu")


@pytest.mark.parametrize(
    ("name", "scores", "parts"),
    [
        ("bargainnet", ["verification"], None),
        ("dovenet", ["realism", "verification"], None),
        ("dovenet_lite", ["realism", "verification"], 2),
        ("pix2pix", ["realism"], 2),
        ("pix2pix_selfie", ["realism"], 2),
        ("realism_cnn", ["realism"], None),
        ("style_encoder", ["verification"], None),
    ],
)
def test_a_judge_gives_scores_and_maps(models: Any, name: str, scores: list[str], parts: int | None) -> None:
    model = models.create(name, **SMALL_MODELS.get(name, {"preset": "small"}))
    if name in ("bargainnet", "style_encoder"):  # the codes of fresh weights are all but equal
        (model.encoder if name == "bargainnet" else model.net).last.weight.data *= 1e4
    judge = evaluation.judge(model, device="cpu")
    sample = Samples()[2]
    scores_of_judge, maps = judge(sample["composite"], sample["target"], sample["mask"])
    assert list(scores_of_judge) == scores and all(np.isfinite(value) for value in scores_of_judge.values())
    assert (maps is None) == (parts is None)
    if maps is not None:
        assert maps.ndim == parts and 0 <= maps.min() <= maps.max() <= 1
    assert judge(sample["composite"], sample["composite"], sample["mask"])[0] != scores_of_judge
    assert not model.training


def test_patches_are_judged_beside_what_was_given(models: Any) -> None:
    import torch

    model = models.create("pix2pix", **SMALL_MODELS["pix2pix"]).eval()
    sample = data.resize_sample(Samples()[2], 256)
    scores, maps = evaluation.judge(model, device="cpu")(sample["composite"], sample["target"], sample["mask"])
    x, y = (torch.from_numpy(sample[k]).permute(2, 0, 1)[None] / 255 * 2 - 1 for k in ("composite", "target"))
    with torch.no_grad():
        patches = model.discriminator(x, y, torch.from_numpy(sample["mask"])[None, None] / 255)
    assert scores["realism"] == pytest.approx(float(patches.mean()), abs=1e-5)
    assert maps is not None and np.allclose(maps, torch.sigmoid(patches)[0, 0].numpy(), atol=1e-5)


def test_training_measures_by_the_same_definition(models: Any) -> None:
    from pyharmony.learn.training import _batches, _evaluate

    samples = data.Resized(Samples(3), 256)
    model = models.create("dovenet_lite", width=4).eval()
    prepared = _batches.TensorSamples(samples, ("composite", "mask", "target"), 256, 0.0)
    figures, _ = _evaluate.evaluate(model, prepared)
    report = evaluation.evaluate(samples, {"net": evaluation.harmonizer(model, device="cpu")}, size=256)
    every = {s.method: s for s in report.summaries if s.group == "all"}
    for key in ("mse", "psnr", "fmse", "ssim"):
        # An output near the middle of two levels may round to either in another batch: one level of some pixels.
        assert figures[key] == pytest.approx(every["net"].means[key].mean, rel=1e-3)
    assert figures["gain"] == pytest.approx(every["net"].gains["psnr"].mean, abs=1e-2)
