"""`pyharmony evaluate`: figures, networks and errors."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import pyharmony
from pyharmony.cli._app import app
from pyharmony.learn import data, evaluation

from ..shared import runners, save_triples

pytestmark = pytest.mark.networks

call, report_of = runners("evaluate")


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def triples(tmp_path: Path) -> Path:
    """Returns four triples, whose objects cover 1/32, 1/8 and 1/2."""
    random, triples = np.random.default_rng(0), []
    for i in range(4):
        mask = np.zeros((24, 32), np.uint8)
        mask[:, : (1, 4, 16)[i % 3]] = 255
        target = random.integers(60, 200, (24, 32, 3), np.uint8)
        composite = np.where(mask[..., None] > 0, target - np.uint8(30), target)
        triples.append({"composite": composite, "target": target, "mask": mask})
    return save_triples(tmp_path / "set", triples)


@pytest.fixture
def weights(weights_of_networks: dict[str, Path], one_torch_thread: None) -> dict[str, Path]:
    return weights_of_networks


@pytest.fixture(scope="module")
def weights_of_networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Returns files of small networks: of all of it and, for dovenet_lite, of the generator alone."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from pyharmony.networks import models

    torch.manual_seed(0)
    folder, files = tmp_path_factory.mktemp("weights"), {}
    for name, settings in {
        "dovenet_lite": {"width": 4},
        "pix2pix": {"generator": "unet_64", "mask": True, "width": 4, "discriminator_width": 4},
        "realism_cnn": {"size": 32, "widths": (4, 8)},
    }.items():
        files[name] = folder / f"{name}.safetensors"
        models.save(models.create(name, **settings), files[name])
    (folder / "run").mkdir()
    files["best"] = folder / "run" / "best.safetensors"
    models.save(models.load(files["dovenet_lite"]), files["best"], part="generator")
    return files


# Figures


def test_the_figures_are_those_of_the_library(triples: Path) -> None:
    report = report_of("--data", triples, "--method", "mkl", "--method", "reinhard", "--size", "32")
    methods = {name: evaluation.METHODS[name] for name in ("mkl", "reinhard")}
    expected = evaluation.evaluate(data.Triples(triples), methods, size=32)
    assert (report["schema"], report["status"]) == ("pyharmony.evaluate/1", "ok")
    assert (report["size"], report["samples"], report["problems"]) == (32, 4, [])
    assert report["methods"] == ["composite", "mkl", "reinhard"]
    assert len(report["summaries"]) == len(expected.summaries)
    for row, summary in zip(report["summaries"], expected.summaries):
        assert (row["method"], row["group"], row["count"]) == (summary.method, summary.group, summary.count)
        for part in ("means", "gains"):
            assert row[part] == {key: vars(x) for key, x in getattr(summary, part).items()}


def test_the_composite_is_always_there(triples: Path) -> None:
    report = report_of("--data", triples)
    assert report["methods"] == ["composite"] and report["size"] == 256
    assert report_of("--data", triples, "--method", "composite")["methods"] == ["composite"]


def test_pictures_are_taken_as_they_are(triples: Path) -> None:
    report = report_of("--data", triples, "--size", "full")
    every = next(s for s in report["summaries"] if s["group"] == "all")
    assert report["size"] == "full" and every["means"]["fmse"]["mean"] == 900
    assert [s["group"] for s in report["summaries"]] == ["all", "0-5 %", "5-15 %", "15-100 %"]


def test_tables_are_printed_or_written(triples: Path) -> None:
    printed = call("--data", triples, "--size", "32", "--method", "mkl").stdout
    assert printed.startswith("# 4 images, 32 x 32 pixels")
    result = call(
        "--data", triples, "--size", "32", "--method", "mkl", "--markdown", "a.md", "--csv", "a.csv", "--sheet", "a.png"
    )
    assert result.stdout == "" and Path("a.md").read_text() == printed[:-1]
    assert result.stderr == "a.csv: written\na.md: written\na.png: written\n"
    with open("a.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["name"], row["method"]) for row in rows[:3]] == [
        ("t0", "composite"),
        ("t0", "mkl"),
        ("t1", "composite"),
    ]
    # The four rows are of composite, mkl and target.
    assert Image.open("a.png").size == (3 * 262 + 6, 4 * (256 + 22 + 6) + 6)
    assert {path.name for path in Path().iterdir()} == {"set", "a.csv", "a.md", "a.png"}


def test_published_figures_stand_beside(triples: Path) -> None:
    text = call("--data", triples, "--published").stdout
    assert "| DoveNet (published) | 52.36 | 34.75 |" in text and "| U-Net 3+ (published) |" in text
    assert "(published)" not in call("--data", triples).stdout
    rows = report_of("--data", triples, "--size", "full", "--published")["published"]
    assert {"method": "DCCF", "mse": 24.72, "psnr": 38.01}.items() <= rows[2].items()
    assert rows[2]["subsets"]["HCOCO"] == [16.9, 38.71]


def test_a_split_is_taken(triples: Path) -> None:
    entries = [
        {"file": f"{role}/t{i}.png", "role": role, "pair": f"t{i}", "split": "test" if i else "train"}
        for i in range(4)
        for role in ("composite", "mask", "target")
    ]
    (triples / "manifest.json").write_text(json.dumps({"entries": entries}))
    assert report_of("--data", triples, "--split", "test", "--size", "32")["samples"] == 3


# Networks


def test_networks_are_called_by_their_files(triples: Path, weights: dict[str, Path]) -> None:
    report = report_of(
        "--data", triples, "--network", weights["best"], "--network", f"lite={weights['dovenet_lite']}", "--network",
        weights["pix2pix"], "--device", "cpu", "--size", "64",
    )  # fmt: skip
    assert report["methods"] == ["composite", "run", "lite", "pix2pix"]
    figures = {s["method"]: s["means"] for s in report["summaries"] if s["group"] == "all"}
    assert figures["run"] == figures["lite"] != figures["pix2pix"]
    expected = evaluation.evaluate(
        data.Triples(triples), {"lite": evaluation.harmonizer(weights["best"], device="cpu")}, size=64
    )
    assert figures["lite"]["psnr"]["mean"] == expected.summaries[1].means["psnr"].mean


def test_an_ensemble_stands_beside_its_networks(triples: Path, weights: dict[str, Path]) -> None:
    from pyharmony.networks import models

    def networks() -> list[str]:
        return [text for name in ("a", "b") for text in ("--network", f"{name}={weights['dovenet_lite']}")]

    size = ("--data", triples, "--size", "64")
    report = report_of(*size, *networks(), "--ensemble", "a+b", "--ensemble", "mean=b+a", "--device", "cpu")
    assert report["methods"] == ["composite", "a", "b", "a+b", "mean"]
    assert report_of(*size, *networks(), "--ensemble", "a+b", "--network-size", "32")["methods"][-1] == "a+b"
    member = models.load(weights["dovenet_lite"])
    method = evaluation.harmonizer(models.Ensemble([member, member]), device="cpu")
    expected = evaluation.evaluate(data.Triples(triples), {"mean": method}, size=64).summaries[1].means["psnr"].mean
    figures = {s["method"]: s["means"]["psnr"]["mean"] for s in report["summaries"] if s["group"] == "all"}
    assert figures["mean"] == figures["a+b"] == pytest.approx(expected)
    for arguments, says in (
        (("--ensemble", "a+c"), "--ensemble a+c: no network 'c', expected a, b"),
        (("--ensemble", "a"), "--ensemble a: the label a is used twice, expected LABEL=NETWORK+NETWORK"),
        (("--ensemble", "mean=a"), "--ensemble mean=a: members: 1, expected two or more"),
        (("--ensemble", "mkl=a+b"), "the label mkl is used twice"),
    ):
        assert says in call("--data", triples, *networks(), *arguments, code=2).stderr
    assert "--ensemble needs two networks" in call("--data", triples, "--ensemble", "a+b", code=2).stderr
    assert "--network-size needs a --network" in call("--data", triples, "--network-size", "32", code=2).stderr


def test_the_size_that_networks_see_is_another_than_that_of_the_images(triples: Path, weights: dict[str, Path]) -> None:
    report = report_of(
        "--data",
        triples,
        "--network",
        f"a={weights['pix2pix']}",
        "--network-size",
        "128",
        "--device",
        "cpu",
        "--size",
        "32",
    )
    method = evaluation.harmonizer(weights["pix2pix"], device="cpu", size=128)
    expected = evaluation.evaluate(data.Triples(triples), {"a": method}, size=32)
    figures = [s["means"]["psnr"]["mean"] for s in report["summaries"] if s["group"] == "all"]
    assert report["size"] == 32
    assert figures[1] == pytest.approx(expected.summaries[1].means["psnr"].mean)


def test_batch_statistics_are_of_the_networks(triples: Path, weights: dict[str, Path]) -> None:
    arguments = (
        "--data",
        triples,
        "--size",
        "64",
        "--network",
        weights["pix2pix"],
        "--method",
        "mkl",
        "--device",
        "cpu",
    )
    own, running = report_of(*arguments, "--batch-statistics"), report_of(*arguments)
    figures = [
        {s["method"]: s["means"] for s in report["summaries"] if s["group"] == "all"} for report in (own, running)
    ]
    assert figures[0]["pix2pix"] != figures[1]["pix2pix"] and figures[0]["mkl"] == figures[1]["mkl"]
    expected = evaluation.evaluate(
        data.Triples(triples),
        {"p": evaluation.harmonizer(weights["pix2pix"], device="cpu", batch_statistics=True)},
        size=64,
    )
    assert figures[0]["pix2pix"]["psnr"]["mean"] == expected.summaries[1].means["psnr"].mean
    for words, says in (
        (("--method", "mkl"), "--batch-statistics needs a --network or a --run"),
        (("--network", weights["dovenet_lite"]), "the generator of dovenet_lite has no batch norms"),
    ):
        assert says in call("--data", triples, *words, "--batch-statistics", code=2).stderr


def test_judges_score_and_draw(triples: Path, weights: dict[str, Path]) -> None:
    report = report_of(
        "--data", triples, "--method", "mkl", "--judge", weights["realism_cnn"], "--judge", f"p={weights['pix2pix']}",
        "--judge", weights["dovenet_lite"], "--realism-maps", "maps", "--device", "cpu",
    )  # fmt: skip
    scores = ("realism_cnn_realism", "p_realism", "dovenet_lite_realism", "dovenet_lite_verification")
    assert tuple(report["summaries"][0]["means"])[-4:] == scores
    files = sorted(path.name for path in Path("maps").iterdir())
    assert files == [f"{i:06}.png" for i in range(4)]
    # The sheet has a row of the images, and one of each judge; composite, mkl and target.
    picture = Image.open("maps/000000.png")
    assert picture.size == (3 * 262 + 6, 4 * (256 + 22 + 6) + 6)
    rows = [np.asarray(picture)[top : top + 256, 6:262] for top in range(28, 4 * 284, 284)]
    assert np.array_equal(rows[0], rows[1])  # it judges no parts
    assert not np.array_equal(rows[0], rows[2])


def test_what_is_no_judge_or_network_is_told(triples: Path, weights: dict[str, Path]) -> None:
    for arguments, code, says in (
        (("--network", weights["realism_cnn"]), 2, "realism_cnn does not harmonize"),
        (("--judge", weights["best"]), 6, "only the generator of dovenet_lite"),
        (("--network", "gp-gan-small"), 2, "gp_gan does not harmonize; training runs log how well it blends"),
        (("--network", "none.safetensors"), 6, "there is no such file"),
        (("--network", "dovenet"), 6, "comes without weights of dovenet; `pyharmony train --model dovenet"),
        (("--network", weights["best"], "--network", f"run={weights['pix2pix']}"), 2, "the label run is used twice"),
        (("--network", f"mkl={weights['best']}"), 2, "the label mkl is used twice"),
        (("--network", "a="), 2, "expected FILE or LABEL=FILE"),
        (("--network", weights["best"], "--device", "tpu"), 2, "device: 'tpu'"),
    ):
        assert says in call("--data", triples, *arguments, code=code).stderr


# Errors


def test_a_bad_sample_is_named_and_the_rest_measured(triples: Path) -> None:
    path = triples / "target" / "t1.png"
    path.write_bytes(path.read_bytes()[:100])
    result = call("--data", triples, "--size", "32", "--csv", "a.csv", code=5)
    assert "error: target: " in result.stderr and "t1.png is damaged" in result.stderr
    assert "# 3 images, 32 x 32 pixels\n\n1 more could not be evaluated." in result.stdout
    assert len(Path("a.csv").read_text().splitlines()) == 4
    report = report_of("--data", triples, "--size", "32", code=5)
    assert report["status"] == "some failed" and [problem["name"] for problem in report["problems"]] == ["t1"]
    line = json.loads(call("--data", triples, "--size", "32", "--log-json", "--quiet", code=5).stderr)
    assert (line["level"], line["name"]) == ("error", "t1")


def test_nothing_is_written_where_nothing_is_measured(triples: Path, weights: dict[str, Path]) -> None:
    for path in (triples / "target").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    before = set(Path().rglob("*"))
    result = call(
        "--data", triples, "--csv", "a.csv", "--judge", weights["realism_cnn"], "--realism-maps", "maps", code=3
    )
    assert "damaged" in result.stderr and set(Path().rglob("*")) == before


def test_files_that_are_there_are_kept(triples: Path) -> None:
    for option, name in (("--csv", "a.csv"), ("--markdown", "a.md"), ("--sheet", "a.jpg")):
        Path(name).write_text("mine")
        says = call("--data", triples, option, name, code=2).stderr
        assert says == f"error: {name}: already exists; --overwrite replaces it\n" and Path(name).read_text() == "mine"
        call("--data", triples, "--size", "32", option, name, "--overwrite")
        assert Path(name).read_bytes() != b"mine"
    for option in ("--csv", "--markdown", "--sheet"):
        assert "none/a.png: cannot be written" in call("--data", triples, option, "none/a.png", code=3).stderr
    assert "'.doc'" in call("--data", triples, "--sheet", "a.doc", code=2).stderr


def test_a_run_is_measured_on_what_it_held_back(triples: Path, tmp_path: Path) -> None:
    changes = ("schedule.steps=2", "run.batch=1", "run.loggers=[]", "data.size=32", "data.validation=0.5")
    set_ = [text for change in changes for text in ("--set", change)]
    small = ("--set", "model.preset=small", "--model", "colorgrid")
    result = CliRunner().invoke(app, ["train", "--data", str(triples), "-o", "run", *small, *set_, "-q"])
    assert result.exit_code == 0, result.stderr
    evaluation = call("--run", "run", "--size", "32", "--sheet", "s.png")
    assert "| run |" in evaluation.stdout and Path("s.png").exists()
    count = len(pyharmony.learn.training.held_back("run"))
    assert 0 < count < 4 and f"# {count} images" in evaluation.stdout
    assert "expected either --data ROOT or --run DIR" in call("--run", "run", "--data", triples, code=2).stderr
    assert "expected either --data ROOT or --run DIR" in call(code=2).stderr
    assert "--split: needs --data" in call("--run", "run", "--split", "test", code=2).stderr
    assert "set is not the folder of a training run" in call("--run", triples, code=2).stderr
    triples.rename("moved")
    assert f"--run: its data: {triples}: no such file" in call("--run", "run", code=3).stderr


def test_what_it_cannot_do_is_told(triples: Path) -> None:
    for arguments, says in (
        (("--method", "sepia"), "--method sepia: expected one of composite, reinhard"),
        (("--size", "10"), "--size 10: expected 11 pixels or more, or full"),
        (("--size", "huge"), "--size huge"),
        (("--realism-maps", "maps"), "--realism-maps needs a --judge"),
        (("--split", "test"), "triples has no predefined splits"),
        (("--realism-maps", "set", "--judge", "a"), "set: already exists"),
    ):
        assert says in call("--data", triples, *arguments, code=2).stderr
    assert "none: no such file" in call("--data", "none", code=3).stderr
    assert "Traceback" in call("--data", "none", "--debug", code=3).stderr
    assert call("--data", triples, "--size", "32", "--csv", "a.csv", "--verbose").stderr == "a.csv: written\n"


@pytest.mark.house  # its process has an environment of its own
def test_without_torch_it_measures_what_needs_none(triples: Path) -> None:
    code = "import sys; sys.modules['torch'] = None; from pyharmony.cli import main; main()"
    command = [sys.executable, "-c", code, "evaluate", "--data", str(triples), "--size", "32", "--method", "mkl"]
    environment = {"PYTHONPATH": str(Path(pyharmony.__file__).parent.parent), "PATH": "/usr/bin:/bin"}
    process = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (process.returncode, process.stderr) == (0, "") and process.stdout.startswith("# 4 images")
    process = subprocess.run([*command, "--network", "gp-gan-small"], capture_output=True, text=True, env=environment)
    assert process.returncode == 1 and "torch is missing" in process.stderr and ": pip install 'torch" in process.stderr
