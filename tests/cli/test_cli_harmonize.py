"""`pyharmony harmonize`: options, files and streams, lists, folders, exit codes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import pyharmony
from pyharmony import _shipped
from pyharmony.cli._app import app
from pyharmony.errors import ConfidenceWarning
from pyharmony.harmonization import METHODS

from ..shared import GUARDED, pixels

pytestmark = [pytest.mark.house, GUARDED]

METHODS_WITHOUT_WEIGHTS = tuple(name for name in METHODS if name != "auto")
PASTE = ("paste.png", "paste_mask.png")


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Yields a folder with a composite and its mask; what the command line sets for a process is set back."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:60, :80]
    picture = np.stack([100 + x, 110 + y, 130 + 0 * x], -1) + random.normal(0, 8, (60, 80, 3))
    inside = np.hypot(y - 30, x - 40) < 18
    picture[inside] = picture[inside] * 0.5 + random.normal(0, 8, (inside.sum(), 3))
    Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(tmp_path / "paste.png")
    Image.fromarray(np.where(inside, np.uint8(255), np.uint8(0))).save(tmp_path / "paste_mask.png")
    monkeypatch.chdir(tmp_path)
    threads = pyharmony.get_num_threads()
    yield
    pyharmony.set_num_threads(threads)
    pyharmony.set_device("auto")


def call(*arguments: object, stdin: bytes | None = None, code: int = 0) -> Any:
    result = CliRunner().invoke(app, ["harmonize", *map(str, arguments)], input=stdin)
    assert result.exit_code == code, (result.stderr, result.exception)
    return result


def expected(**options: Any) -> np.ndarray:
    result: np.ndarray = pyharmony.harmonize(pixels(PASTE[0]), pixels(PASTE[1]), **options)
    return result


@pytest.fixture
def weights(one_torch_thread: None) -> Path:
    """Returns a small network's file of weights."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from pyharmony.networks import models

    torch.manual_seed(0)
    Path("run").mkdir()
    models.save(models.create("dovenet_lite", width=4), "run/best.safetensors", part="generator")
    return Path("run/best.safetensors")


# Options


def test_the_result_can_be_made_larger() -> None:
    for times in (2, 4):
        report = json.loads(call(*PASTE, "--method", "mkl", "--upscale", times, "-o", f"{times}.png", "--json").stdout)
        enlarged = pyharmony.super_resolve(expected(method="mkl"), times)
        assert np.array_equal(pixels(f"{times}.png"), enlarged) and enlarged.shape == (60 * times, 80 * times, 3)
        assert report["options"]["upscale"] == times and report["ms"]["upscale"] > 0
    Path("list.csv").write_text("image,mask,out,upscale\npaste.png,paste_mask.png,large.png,2\n")
    call("--list", "list.csv", "-o", ".")
    assert pixels("large.png").shape == (120, 160, 3)
    assert "3" in call(*PASTE, "--upscale", "3", "-o", "x.png", code=2).stderr


@pytest.mark.parametrize("method", METHODS_WITHOUT_WEIGHTS)
def test_a_method_is_that_of_its_name(method: str) -> None:
    call(*PASTE, "--method", method, "--output", "out.png")
    assert (pixels("out.png") == expected(method=method)).all()


def test_options_are_the_arguments_of_their_names() -> None:
    for words, options in (
        ("--method mkl --strength 0.5", {"method": "mkl", "strength": 0.5}),
        ("--method mkl --no-guard", {"method": "mkl", "guard": False}),
        ("--method mkl --guard --threads 1 --device cpu --strict", {"method": "mkl"}),
    ):
        call(*PASTE, *words.split(), "-o", "out.png", "--overwrite")
        assert (pixels("out.png") == expected(**options)).all(), words


def test_a_network_is_given_by_its_file(weights: Path) -> None:
    call(*PASTE, "--network", weights, "--no-guard", "-o", "out.png")
    with pytest.warns(ConfidenceWarning, match="the estimate has low confidence"):
        assert (pixels("out.png") == expected(method=weights, guard=False)).all()
    report = json.loads(call(*PASTE, "--network", weights, "-o", "guarded.png", "--json").stdout)
    assert report["harmonize"]["weights"] == str(weights) and report["harmonize"]["method"] == "copy"
    assert report["harmonize"]["confidence"] < 0.25
    message = call(*PASTE, "--network", weights, "-o", "guarded.png", "--overwrite").stderr
    confidence = f"confidence {report['harmonize']['confidence']:.2g}; --no-guard applies it"
    assert message.rstrip().endswith(f"unchanged: {report['harmonize']['reason']}, {confidence}")
    assert report["unchanged"] and report["harmonize"]["change"] == 0 < report["harmonize"]["asked"]
    assert (pixels("guarded.png") == pixels("paste.png")).all()


def test_caution_is_an_option_and_a_column() -> None:
    default, careful = expected(), expected(cautious=True)
    call(*PASTE, "--cautious", "-o", "out.png")
    assert (pixels("out.png") == careful).all() and (careful != default).any()
    Path("rows.csv").write_text(
        "image,mask,out,cautious\npaste.png,paste_mask.png,a.png,yes\npaste.png,paste_mask.png,b.png,no\n"
    )
    call("--list", "rows.csv")
    assert (pixels("a.png") == careful).all() and (pixels("b.png") == default).all()
    result = call(*PASTE, "--cautious", "--no-guard", "-o", "no.png", code=2)
    assert "--cautious: True with --no-guard, which applies every change" in result.stderr


def test_batch_statistics_go_with_networks_that_have_batch_norms(weights: Path) -> None:
    from pyharmony.networks import models

    network = models.create("pix2pix", "residual", width=4, discriminator_width=2).eval()
    network.generator.net.last.weight.data.normal_(std=0.03)
    network.generator.net.up_norm[0].running_mean.normal_()
    models.save(network, "p.safetensors", part="generator")
    call(*PASTE, "--network", "p.safetensors", "--no-guard", "--batch-statistics", "-o", "out.png")
    unguarded = expected(method="p.safetensors", guard=False, batch_statistics=True)
    assert (pixels("out.png") == unguarded).all()
    assert (unguarded != expected(method="p.safetensors", guard=False)).any()
    rows = "image,mask,out,model,guard,batch_statistics\npaste.png,paste_mask.png,row.png,p.safetensors,false,true\n"
    Path("rows.csv").write_text(rows)
    call("--list", "rows.csv")
    assert (pixels("row.png") == unguarded).all()
    for words, says in (
        (("--method", "mkl"), "--batch-statistics: True, but 'mkl' runs no network"),
        (("--network", weights), "--batch-statistics: the generator of dovenet_lite has no batch norms"),
    ):
        assert says in call(*PASTE, *words, "--batch-statistics", "-o", "no.png", code=2).stderr
        assert not Path("no.png").exists()


def test_the_default_is_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_shipped, "every", list)
    result = call(*PASTE, "-o", "out.png", code=6)
    assert result.stderr.startswith("error: --method: 'auto' needs the weights colorgrid")
    assert not Path("out.png").exists()


def test_the_result_has_the_kind_of_its_name() -> None:
    call(*PASTE, "--method", "xue", "-o", "a.jpg", "--quality", "30")
    call(*PASTE, "--method", "xue", "-o", "b.jpg")
    assert Image.open("a.jpg").format == "JPEG" and os.path.getsize("a.jpg") < os.path.getsize("b.jpg")
    call(*PASTE, "--method", "xue", "-o", "c.webp", "--format", "tiff", "--keep-gps")
    assert Image.open("c.webp").format == "TIFF"


def test_streams() -> None:
    result = call("-", "paste_mask.png", "--method", "mkl", "-o", "-", stdin=Path("paste.png").read_bytes())
    Path("out.png").write_bytes(result.stdout_bytes)
    assert (pixels("out.png") == expected(method="mkl")).all()


def test_json_says_what_was_done() -> None:
    report = json.loads(
        call(*PASTE, "--method", "mkl", "--strength", "0.5", "-o", "out.png", "--json", "--quiet").stdout
    )
    assert report["schema"] == "pyharmony.harmonize/1" and report["status"] == "ok"
    assert report["method"] == "mkl" and report["options"] == {"strength": 0.5, "method": "mkl"}
    assert report["image"] == {
        "path": "paste.png",
        "width": 80,
        "height": 60,
        "channels": 3,
        "dtype": "uint8",
        "format": "PNG",
    }
    assert report["harmonize"]["method"] == "mkl" and report["harmonize"]["weights"] is None
    assert 0.25 <= report["harmonize"]["confidence"] <= 1 and "reason" in report["harmonize"]
    assert set(report["ms"]) == {"decode", "harmonize", "encode", "total"}
    assert report["output"]["written"] and report["output"]["bytes"] == os.path.getsize("out.png")


def test_a_dry_run_writes_nothing() -> None:
    result = call(*PASTE, "--method", "mkl", "-o", "out.png", "--dry-run", "--verbose")
    assert "would write out.png" in result.stderr and "harmonize" in result.stderr
    assert not Path("out.png").exists()
    lines = call(*PASTE, "--method", "mkl", "-o", "out.png", "--dry-run", "--log-json").stderr.splitlines()
    assert all(json.loads(line) for line in lines)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ("paste.png -o out.png", 2, "MASK is missing; pass it, or a list with --list"),
        ("paste.png paste_mask.png", 2, "-o OUT is missing"),
        ("paste.png paste_mask.png -o out.png --method fancy", 2, "--method: 'fancy', expected one of auto, reinhard"),
        ("paste.png paste_mask.png -o out.png --method mkl --network a.safetensors", 2, "exclude each other"),
        (
            "paste.png paste_mask.png -o paste.png --method mkl",
            2,
            "paste.png: already exists; --overwrite replaces it",
        ),
        ("none.png paste_mask.png -o out.png --method mkl", 3, "image (none.png): no such file"),
        ("paste.png small.png -o out.png --method mkl", 3, "mask (small.png): 9 x 9 pixels, expected 80 x 60; masks"),
        (
            "paste.png paste_mask.png -o out.png --network none.safetensors",
            6,
            "none.safetensors: there is no such file",
        ),
        (
            "paste.png paste_mask.png -o out.png --method mkl --max-pixels 100",
            4,
            "image (paste.png) has 80 x 60 pixels",
        ),
        ("folder -o out", 3, "folder: no images"),
        ("folder paste_mask.png -o out", 2, "paste_mask.png: is not a folder, expected a folder of masks for folder"),
        ("folder", 2, "a folder of images is written to a folder; -o OUT is missing"),
        ("lonely -o out --method mkl", 3, "no mask found, expected a_mask.png next to it"),
        ("lonely folder -o out --method mkl", 3, "no mask found, expected one called a in folder"),
    ],
)
def test_a_failure_is_one_line_and_a_code(words: str, code: int, says: str) -> None:
    Path("folder").mkdir()
    Path("lonely").mkdir()
    Path("lonely/a.png").write_bytes(Path("paste.png").read_bytes())
    Image.fromarray(np.full((9, 9), 255, np.uint8)).save("small.png")
    if ".safetensors" in words:
        pytest.importorskip("torch", reason="torch is not installed")
    result = call(*words.split(), code=code)
    assert len(result.stderr.splitlines()) == 1 and says in result.stderr
    assert not Path("out.png").exists() and not Path("out").exists()
    if code == 2 and "mkl --network" in words:
        with pytest.raises(SystemExit):
            app(["harmonize", *words.split(), "--debug"], prog_name="pyharmony")


def test_it_is_told_how_far_the_object_was_changed() -> None:
    for words, options, ends in (
        ("--method mkl --no-guard", {"guard": False}, r", confidence [\d.]+"),
        ("--method mkl", {}, r", reduced by the guard from [\d.e+]+; --no-guard applies all of it"),
        ("--method mkl --strength 0", {"strength": 0}, None),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _, info = pyharmony.harmonize(pixels(PASTE[0]), pixels(PASTE[1]), method="mkl", return_info=True, **options)
        result = call(*PASTE, *words.split(), "-o", "out.png", "--overwrite")
        (message,) = result.stderr.splitlines()
        if ends is None:
            assert message.endswith("; unchanged")
            continue
        figures = f"; changed by {info.change:.2g} of 255"
        assert figures in message and re.fullmatch(ends, message.partition(figures)[2].partition(": the")[0]), message
        report = json.loads(call(*PASTE, *words.split(), "-o", "out.png", "--overwrite", "--json").stdout)
        assert {k: report["harmonize"][k] for k in ("change", "asked", "held_back")} == {
            "change": info.change, "asked": info.asked, "held_back": info.held_back and not options,
        }  # fmt: skip
        assert report["warnings"] == [] and not report["unchanged"]


def test_a_mask_of_its_own_size_lies_where_it_was_put() -> None:
    small = pixels("paste_mask.png")[10:52, 20:62]
    Image.fromarray(small).save("small.png")
    refused = call("paste.png", "small.png", "-o", "out.png", code=3)
    assert refused.stderr.endswith("for a part of the image pass --at X,Y, its first pixel there\n")
    with pytest.raises(pyharmony.errors.ShapeError, match=r"expected .*for a part of the image pass at=\(x, y\)"):
        pyharmony.harmonize(pixels("paste.png"), small)
    call("paste.png", "small.png", "--at", "20,10", "--method", "mkl", "-o", "out.png")
    assert (pixels("out.png") == expected(method="mkl")).all()
    result = call("paste.png", "small.png", "--at", "900,10", "--method", "mkl", "-o", "far.png")
    assert result.stderr.rstrip().endswith("; unchanged: the object lies outside paste.png (80 x 60)")
    assert (pixels("far.png") == pixels("paste.png")).all()


# Many


def test_a_picture_of_many_that_is_left_as_it_is_is_told() -> None:
    folder_of_pairs(Path("in"), Path("in"), "_mask")
    Image.new("L", (80, 60)).save("in/b_mask.png")
    result = call("in", "-o", "out", "--method", "mkl", "--json")
    assert "warning: b.png: unchanged: in/b_mask.png is zero everywhere" in result.stderr.splitlines()
    assert [item["unchanged"] for item in json.loads(result.stdout)["items"]] == [False, True]


def test_each_row_of_a_list_is_a_picture() -> None:
    Path("rows.csv").write_text(
        "image,mask,out,method,strength,guard\n"
        "paste.png,paste_mask.png,a.png,mkl,,\n"
        "paste.png,paste_mask.png,b.png,xue,0.5,no\n"
        "none.png,paste_mask.png,c.png,,,\n"
    )
    result = call("--list", "rows.csv", "-o", "made", "--method", "reinhard", "--json", code=5)
    report = json.loads(result.stdout)
    assert [item["status"] for item in report["items"]] == ["ok", "ok", "error"] and report["failed"] == 1
    assert (pixels("made/a.png") == expected(method="mkl")).all()
    assert (pixels("made/b.png") == expected(method="xue", strength=0.5, guard=False)).all()
    assert "error: 1 of 3 rows failed" in result.stderr


def folder_of_pairs(images: Path, masks: Path, suffix: str = "") -> None:
    for folder in (images, masks):
        folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate("ab"):
        Image.fromarray((pixels("paste.png") // (i + 1)).astype(np.uint8)).save(images / f"{name}.png")
        Image.fromarray(pixels("paste_mask.png")).save(masks / f"{name}{suffix}.png")


def test_images_of_a_folder_are_known_by_their_bytes(tmp_path: Path) -> None:
    folder_of_pairs(Path("in"), Path("covers"))
    Path("in/b.png").rename("in/b.photo")
    Path("covers/b.png").rename("covers/b")
    Path("in/notes.txt").write_text("no image")
    result = call("in", "covers", "-o", "out", "--method", "mkl", "--verbose")
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.png", "b.png"]
    assert "in: 1 file is no image that is read and left out: notes.txt" in result.stderr


@pytest.mark.parametrize("form", ["two folders", "parts", "beside"])
def test_a_folder_is_harmonised_into_a_folder(form: str) -> None:
    images, masks, suffix, words = {
        "two folders": (Path("in"), Path("covers"), "", ("in", "covers")),
        "parts": (Path("in/composite"), Path("in/mask"), "", ("in",)),
        "beside": (Path("in"), Path("in"), "_mask", ("in",)),
    }[form]
    folder_of_pairs(images, masks, suffix)
    result = call(*words, "-o", "out", "--method", "mkl", "--verbose")
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.png", "b.png"]
    for name in "ab":
        expected_image = pyharmony.harmonize(
            pixels(images / f"{name}.png"), pixels(masks / f"{name}{suffix}.png"), method="mkl"
        )
        assert (pixels(f"out/{name}.png") == expected_image).all()
    assert "wrote 2 images" in result.stderr
    assert "already exists and 1 more" in call(*words, "-o", "out", "--method", "mkl", code=2).stderr
    call(*words, "-o", "out", "--method", "mkl", "--overwrite")
    call(*words, "-o", "jpegs", "--method", "mkl", "--format", "jpeg")
    assert sorted(path.name for path in Path("jpegs").iterdir()) == ["a.jpeg", "b.jpeg"]


def test_a_network_over_a_folder(weights: Path) -> None:
    folder_of_pairs(Path("in/composite"), Path("in/mask"))
    report = json.loads(call("--network", weights, "in", "-o", "out", "--no-guard", "--json").stdout)
    assert report["count"] == 2 and [item["name"] for item in report["items"]] == ["a.png", "b.png"]
    assert all(item["harmonize"]["method"] == "dovenet_lite" for item in report["items"])


def test_a_picture_that_fails_takes_no_other_along() -> None:
    folder_of_pairs(Path("in"), Path("in"), "_mask")
    Path("in/a.png").write_bytes(b"no picture")
    result = call("in", "-o", "out", "--method", "mkl", code=5)
    assert [path.name for path in Path("out").iterdir()] == ["b.png"]
    assert (
        "error: image (in/a.png) is not a known image file" in result.stderr
        and "error: 1 of 2 images failed" in result.stderr
    )


def test_an_output_may_be_no_input() -> None:
    folder_of_pairs(Path("in"), Path("in"), "_mask")
    before = pixels("in/a.png")
    result = call("in", "-o", "in", "--method", "mkl", "--overwrite", code=3)
    assert "is an input" in result.stderr
    assert (pixels("in/a.png") == before).all()


def test_the_shell_completes() -> None:
    for words, expected in (
        ("harm", "harmonize"),
        ("harmonize --stre", "--strength"),
        ("harmonize --method luminance_t", "luminance_temperature"),
    ):
        typed = {"COMP_WORDS": f"pyharmony {words}", "COMP_CWORD": str(len(words.split()))}
        process = subprocess.run(
            [sys.executable, "-m", "pyharmony"],
            env={**os.environ, "_PYHARMONY_COMPLETE": "complete_bash", **typed},
            capture_output=True,
            text=True,
        )
        assert expected in process.stdout.split()
    assert "--help" in call("--help").stdout
