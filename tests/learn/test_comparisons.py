"""benchmarks/compare_variants.py: its variants are configurations, runs are made once, the page has its tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ..shared import load_script, need

torch = pytest.importorskip("torch", reason="torch is not installed")
need("lightning_fabric", "tensorboard")

from pyharmony.learn import data, training
from pyharmony.networks import models

pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.fixture
def compare(repository: Path) -> Any:
    """Returns the script as a module, which the test may change."""
    return load_script("benchmarks/compare_variants.py")


def test_variants_are_chosen_by_configuration_alone(compare: Any) -> None:
    encoder = models.create("style_encoder", "rgb", width=8)
    networks: dict[str, dict[str, Any]] = {}
    for group, variants in compare.VARIANTS.items():
        for name, tables in variants.items():
            config = training.config_of(compare.merged(compare.COMMON, tables))
            options, settings = dict(config.model), dict(config.step)
            model = models.create(options.pop("name"), **options)
            extractor_options = dict(config.extractor)
            extractor = None
            if extractor_options:
                weights = extractor_options.pop("weights", None)
                extractor = (
                    encoder
                    if weights
                    else models.create(
                        extractor_options.pop("name"), extractor_options.pop("preset"), **extractor_options
                    )
                )
                assert weights in (None, compare.TRAINED)
            step = training.steps.create(model, extractor=extractor, **settings)
            networks.setdefault(group, {})[name] = (model, step)
    unet, unet3plus, rgb, hsv = (model for model, _ in networks["style"].values())
    assert (unet3plus.name, unet.config, unet.config) == ("unet3plus", rgb.config, hsv.config)
    assert [step.settings.style for _, step in networks["style"].values()] == [None, None, 0.05, 0.02]
    assert [step.extractor.config.space for _, step in list(networks["style"].values())[2:]] == ["rgb", "hsv"]
    kinds = [
        (m.config.discriminator, m.config.discriminator_norm, m.config.norm) for m, _ in networks["selfie"].values()
    ]
    assert kinds == [
        ("wide_residual", "instance", "batch"),
        ("patches", "instance", "batch"),
        ("wide_residual", "batch", "batch"),
        ("wide_residual", "instance", "instance"),
    ]


@pytest.mark.full
@pytest.mark.large
def test_runs_are_made_once_and_told(
    compare: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(0)
    for name, count in (("train", 16), ("photographs", 3), ("triples", 2)):
        samples = []
        for i in range(count):
            target = np.asarray(random.integers(0, 256, (64, 64, 3)), np.uint8)
            mask = np.zeros((64, 64), np.uint8)
            mask[16:48, 8:40] = 255
            composite = np.where(mask[..., None] > 0, target // 2, target)
            samples.append({"name": f"{name}{i}", "composite": composite, "target": target, "mask": mask})
        data.write_shards(samples, tmp_path / name, 64)
    variants = {name: compare.VARIANTS["style"][name] for name in ("U-Net", "U-Net, style in RGB")}
    monkeypatch.setattr(compare, "VARIANTS", {"style": variants})
    monkeypatch.setattr(compare, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(compare, "SEEDS", (3,))
    for tables in (compare.COMMON, compare.ENCODER):
        monkeypatch.setitem(tables, "schedule", {"steps": 2})
    compare.run(tmp_path, tmp_path, 0.0)
    compare.run(tmp_path, tmp_path, 0.0)
    assert capsys.readouterr().out.count("style-u-net-3.json") == 1
    record = json.loads((tmp_path / "results" / "style-u-net-style-in-rgb-3.json").read_text())
    assert (record["seed"], record["images"], len(record["figures"]["triples"]["psnr"])) == (3, 16, 2)
    assert record["encoder"]["images"] == 16 and {"foreground_mse", "style"} <= record["losses"].keys()
    assert record["parameters"] == {"generator": 464_195}

    text = "\n".join(["# Title", *compare.marks("style"), "End"])
    page = compare.written(text)
    rows = [line for line in page.splitlines() if line.startswith("| U-Net, style in RGB |")]
    assert [row.count("[") for row in rows] == [0] + len(compare.TESTS) * [2 * len(compare.COLUMNS)]
    assert page.startswith("# Title\n") and page.endswith("\nEnd")
    assert "3 composites (photographs)" in page and compare.written(page) == page
    about = json.loads((tmp_path / "results" / "composites.json").read_text())
    interval, seeds = compare.difference([record], [record], "triples", "psnr", about["groups"]["triples"])
    assert (interval.mean, interval.low, interval.high, seeds) == (0, 0, 0, [0])


def test_photographs_count_alike(compare: Any) -> None:
    assert compare.by_photograph([1.0, 3.0, 10.0], [0, 0, 1]).tolist() == [2.0, 10.0]


def test_the_page_has_the_tables(compare: Any) -> None:
    text = compare.PAGE.read_text("utf-8")
    assert compare.written(text) == text
