"""`pyharmony apply-edit`, and `pyharmony batch apply-edit`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import pyharmony
from pyharmony import edits
from pyharmony.cli._app import app
from pyharmony.errors import UnchangedWarning
from pyharmony.runs import batch

from ..compositor.test_edits import drift, scene
from ..runs.test_batch import rows

RUNNER = CliRunner()

pytestmark = pytest.mark.chains


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Returns a folder with a photograph and two edits of it."""
    photo = scene(3)
    first, second = photo.copy(), photo.copy()
    first[40:100, 60:140], first[200:230, 300:340] = (250, 30, 30), (30, 40, 250)
    second[150:210, 200:280] = (40, 220, 60)
    for name, pixels in (("photo", photo), ("first", drift(first, 3)), ("second", drift(second, 4))):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    return tmp_path


def run(folder: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    paths = [str(folder / word) if word.endswith(".png") else word for word in arguments]
    result = RUNNER.invoke(app, ["apply-edit", *paths, "--json"])
    assert result.exit_code == code, result.output
    record: dict[str, Any] = json.loads(result.stdout.strip().splitlines()[-1])
    return record


def test_the_command_does_what_the_call_does(folder: Path) -> None:
    record = run(folder, "photo.png", "first.png", "-o", "out.png", "--show", "show.png", "--changes", "0")
    expected, info = pyharmony.apply_edit(folder / "photo.png", folder / "first.png", changes=[0], return_info=True)
    np.testing.assert_array_equal(np.asarray(Image.open(folder / "out.png")), np.asarray(expected))
    np.testing.assert_array_equal(np.asarray(Image.open(folder / "show.png")), edits.show_changes(expected, info))
    (one,) = record["edits"]
    assert [change["applied"] for change in one["changes"]] == [True, False]
    assert one["changes"][0]["box"] == list(info.changes[0].box)
    assert one["motion"] == 0
    with Image.open(folder / "out.png") as image:
        assert "compositeCapture" in str(image.info)


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (("--no-align",), {"align": False}),
        (("--align", "--sharpness", "--grain", "--keep-gps"), {"keep_gps": True}),
        (("--no-sharpness", "--no-grain"), {"sharpness": False, "grain": False}),
        (("--colors", "edit"), {"colors": "edit"}),
        (("--mask", "mask.png"), {"mask": "mask.png"}),
        (("--frame", "edit"), {"frame": "edit"}),
        (("--upscale", "srgan"), {"upscale": "srgan"}),
    ],
)
def test_options_are_those_of_the_call(folder: Path, words: tuple[str, ...], options: dict[str, Any]) -> None:
    mask = np.zeros((300, 400), np.uint8)
    mask[:150] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    if "mask" in options:
        options = {"mask": folder / "mask.png"}
    (folder / "out.png").touch()
    run(folder, "photo.png", "first.png", "-o", "out.png", "--overwrite", *words)
    expected = pyharmony.apply_edit(folder / "photo.png", folder / "first.png", **options)
    np.testing.assert_array_equal(np.asarray(Image.open(folder / "out.png")), np.asarray(expected))


def test_several_edits_are_applied_in_their_order(folder: Path) -> None:
    record = run(folder, "photo.png", "first.png", "second.png", "-o", "out.png")
    expected = pyharmony.apply_edit(folder / "photo.png", [folder / "first.png", folder / "second.png"])
    np.testing.assert_array_equal(np.asarray(Image.open(folder / "out.png")), np.asarray(expected))
    assert [len(one["changes"]) for one in record["edits"]] == [2, 1]


def test_an_edit_without_a_change_is_a_copy_and_no_composite(folder: Path) -> None:
    record = run(folder, "photo.png", "photo.png", "-o", "out.png")
    assert record["edits"][0]["reason_code"] == "nothing-changed"
    with Image.open(folder / "out.png") as image:
        np.testing.assert_array_equal(np.asarray(image), np.asarray(Image.open(folder / "photo.png")))
        assert "compositeCapture" not in str(image.info)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("photo.png", "other.png", "-o", "out.png"), "other.png: it shows another picture"),
        (
            ("photo.png", "first.png", "-o", "out.png", "--changes", "7"),
            "--changes: 7, expected a number from 0 to 1",
        ),
        (("photo.png", "first.png", "second.png", "-o", "out.png", "--changes", "0"), "--changes: numbers for 2 edits"),
        (("photo.png", "first.png", "second.png", "-o", "out.png", "--frame", "edit"), "--frame: edit for 2 edits"),
        (("photo.png", "first.png", "-o", "out.png", "--show", "out.png"), "expected a file other than OUT"),
        (("photo.png", "first.png", "-o", "out.xyz"), "-o: out.xyz: the suffix '.xyz' names no format"),
        (("photo.png", "first.png", "-o", "out.png", "--show", "s.xyz"), "--show: s.xyz: the suffix '.xyz' names"),
        (("photo.png", "none.png", "-o", "out.png"), "none.png"),
    ],
)
def test_refusals_write_nothing(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    Image.fromarray(scene(40)).save(folder / "other.png")
    paths = [str(folder / word) if word.endswith(".png") else word for word in arguments]
    result = RUNNER.invoke(app, ["apply-edit", *paths])
    assert result.exit_code in (2, 3), result.output
    assert message in " ".join(result.output.replace(str(folder) + "/", "").split())
    assert not (folder / "out.png").exists()


def test_a_photograph_from_a_jpeg_keeps_what_the_edit_left(folder: Path) -> None:
    pytest.importorskip("jpeglib", reason="jpeglib is not installed")
    Image.open(folder / "photo.png").save(folder / "photo.jpg", quality=85)
    (folder / "edits.csv").write_text("original,edited,out\nphoto.jpg,first.png,run.jpg\n")
    paths = [str(folder / name) for name in ("photo.jpg", "first.png", "out.jpg")]
    result = RUNNER.invoke(app, ["apply-edit", *paths[:2], "-o", paths[2], "--quality", "original"])
    assert result.exit_code == 0, result.output
    report = batch.run("apply-edit", folder / "edits.csv", folder / "run", quality="original")
    assert report.counts["done"] == 1
    before = np.asarray(Image.open(folder / "photo.jpg"))
    expected = np.asarray(pyharmony.apply_edit(folder / "photo.jpg", folder / "first.png")).astype(int)
    for path in (folder / "out.jpg", folder / "run/run.jpg"):
        after = np.asarray(Image.open(path))
        np.testing.assert_array_equal(after[120:180], before[120:180])
        assert np.abs(after[60:80, 80:120] - expected[60:80, 80:120]).mean() < 6
        assert (after == before).all(2).mean() > 0.8
    for target in ("none.png", "-"):
        result = RUNNER.invoke(app, ["apply-edit", *paths[:2], "-o", target, "--quality", "original"])
        assert result.exit_code == 2 and "--quality: 'original', which is for edits of JPEG files" in result.output


def test_a_batch_of_edits(folder: Path) -> None:
    table = folder / "edits.csv"
    table.write_text("original,edited,out\nphoto.png,first.png,a.png\nphoto.png,photo.png,b.png\n")
    report = batch.run("apply-edit", table, folder / "out")
    assert report.counts["done"] == 2
    assert sorted(json.loads(row["record"])["changes"] for row in rows(report).values()) == [0, 2]
    expected = pyharmony.apply_edit(folder / "photo.png", folder / "first.png")
    np.testing.assert_array_equal(np.asarray(Image.open(folder / "out/a.png")), np.asarray(expected))
    with pytest.warns(UnchangedWarning):
        copy = pyharmony.apply_edit(folder / "photo.png", folder / "photo.png")
    np.testing.assert_array_equal(np.asarray(Image.open(folder / "out/b.png")), np.asarray(copy))
