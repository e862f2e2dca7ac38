"""`pyharmony data`: checks, counts, sheets, splits, shards and TFRecord files."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import pyharmony
from pyharmony.learn import data

from ..shared import runners, save_triples

pytestmark = pytest.mark.chains

call, report_of = runners("data")


@pytest.fixture
def triples(tmp_path: Path) -> Path:
    """Returns six triples, whose objects cover 1/40, 1/8 and 1/2."""
    random, triples = np.random.default_rng(0), []
    for i in range(6):
        mask = np.zeros((32, 40), np.uint8)
        mask[:, : (1, 5, 20)[i % 3]] = 255
        composite, target = (random.integers(0, 256, (32, 40, 3), np.uint8) for _ in range(2))
        triples.append({"composite": composite, "target": target, "mask": mask})
    return save_triples(tmp_path / "set", triples)


def damage(triples: Path) -> None:
    path = triples / "target" / "t4.png"
    path.write_bytes(path.read_bytes()[:100])


def test_a_data_set_is_checked(triples: Path) -> None:
    assert call("check", triples).stderr == f"{triples}: 6 samples, 0 problems\n"
    damage(triples)
    result = call("check", triples, "--kind", "triples", "--threads", "2", code=5)
    assert "t4.png is damaged" in result.stderr and "6 samples, 1 problems" in result.stderr
    report = report_of("check", triples, code=5)
    assert (report["status"], report["kind"], report["samples"]) == ("some failed", "Triples", 6)
    assert [problem["name"] for problem in report["problems"]] == ["t4"]


def test_masks_that_are_empty_at_a_size_are_named(triples: Path) -> None:
    """Every fifth row and column is kept, the first of them the third: an object in the first column is gone."""
    result = call("check", triples, "--size", "8", code=5)
    assert "t0: its mask is empty at 8 x 8 pixels" in result.stderr
    assert [problem["name"] for problem in report_of("check", triples, "--size", "8", code=5)["problems"]] == [
        "t0",
        "t3",
    ]
    call("check", triples, "--size", "40")
    call("check", triples, "--size", "0", code=2)


def test_a_data_set_is_counted(triples: Path) -> None:
    damage(triples)
    report = report_of("stats", triples)
    assert (report["samples"], report["groups"], report["bad"]) == (6, 6, 1)
    assert report["fields"] == ["composite", "mask", "target"]
    assert (report["height"], report["width"]["median"]) == ({"min": 32, "median": 32, "max": 32}, 40)
    assert report["foreground"] == {"0-5 %": 2, "5-15 %": 1, "15-100 %": 2}
    lines = call("stats", triples).stdout.splitlines()
    assert lines[1].split() == ["samples", "6"] and lines[-1].split() == ["foreground", "15-100", "%", "2"]


def test_a_sheet_shows_samples_from_all_over(triples: Path, tmp_path: Path) -> None:
    damage(triples)
    report = report_of("stats", triples, "--sheet", tmp_path / "sheet.png")
    assert (report["sheet"], report["bad"]) == (str(tmp_path / "sheet.png"), 1)
    page = np.asarray(pyharmony.load(tmp_path / "sheet.png"))
    assert page.shape == (6 + 5 * (256 + 22 + 6), 6 + 3 * (256 + 6), 3)  # five of six are whole, three images each
    assert "already exists" in call("stats", triples, "--sheet", tmp_path / "sheet.png", code=2).stderr
    assert "written" in call("stats", triples, "--sheet", tmp_path / "sheet.png", "--overwrite").stderr
    assert "sheet.xyz" in call("stats", triples, "--sheet", tmp_path / "sheet.xyz", code=2).stderr


def test_a_data_set_is_split(triples: Path, tmp_path: Path) -> None:
    out = tmp_path / "split.csv"
    arguments = ("split", triples, "--output", out, "--shares", "a=0.5,b=0.5", "--seed", 3)
    report = report_of(*arguments)
    rows = list(csv.reader(out.open()))
    assert rows[0] == ["name", "split"]
    expected = {name: data.split_of(name, {"a": 0.5, "b": 0.5}, seed=3) for name in data.Triples(triples).names}
    assert dict(rows[1:]) == expected  # type: ignore[arg-type]
    assert report["splits"] == {key: list(expected.values()).count(key) for key in "ab"}
    assert "already exists; --overwrite replaces it" in call(*arguments, code=2).stderr
    call(*arguments, "--overwrite")
    assert {path.name for path in tmp_path.iterdir()} == {"set", "split.csv"}
    for shares in ("a", "a=x", "=1"):
        assert "expected NAME=SHARE" in call("split", triples, "-o", tmp_path / "x", "--shares", shares, code=2).stderr
    assert "they sum to 0.5" in call("split", triples, "-o", tmp_path / "x", "--shares", "a=0.5", code=2).stderr


def test_a_data_set_is_written_as_shards(triples: Path, tmp_path: Path) -> None:
    out = tmp_path / "raw"
    report = report_of("shard", triples, "-o", out, "--size", 48, "--samples", 4)
    assert (report["samples"], report["left_out"], report["of"], report["size"]) == (6, 0, 6, 48)
    shards = data.Shards(out)
    assert shards.size == 48 and len(list(out.glob("*.bin"))) == 2
    assert "already exists" in call("shard", triples, "-o", out, code=2).stderr
    call("shard", triples, "--output", tmp_path / "tar", "--form", "tar", "--size", 48, "--threads", 1)
    for a, b in zip(shards, data.TarShards(tmp_path / "tar"), strict=True):
        assert all(np.array_equal(a[key], b[key]) for key in ("composite", "target", "mask"))


def test_a_data_set_is_written_as_tfrecord_files(
    triples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("google_crc32c", reason="google-crc32c is not installed")
    arguments = ("shard", triples, "--form", "tfrecord", "--size", 48, "--samples", 4)
    assert report_of(*arguments, "-o", tmp_path / "records")["samples"] == 6
    assert len(list((tmp_path / "records").glob("*.tfrecord"))) == 2
    call("shard", triples, "-o", tmp_path / "raw", "--size", 48)
    shards, records = data.Shards(tmp_path / "raw"), data.TFRecordPairs(tmp_path / "records")
    assert list(records.names) == list(shards.names)
    for a, b in zip(shards, records, strict=True):
        assert all(np.array_equal(a[key], b[key]) for key in ("composite", "target", "mask"))
    assert report_of("check", tmp_path / "records")["problems"] == []
    assert report_of("stats", tmp_path / "records")["fields"] == ["composite", "mask", "target"]
    assert "already exists" in call(*arguments, "-o", tmp_path / "records", code=2).stderr
    monkeypatch.setitem(sys.modules, "google_crc32c", None)
    assert "google_crc32c is missing" in call(*arguments, "-o", tmp_path / "more", code=1).stderr
    assert not (tmp_path / "more").exists()


def test_bad_samples_are_left_out_when_asked_for(triples: Path, tmp_path: Path) -> None:
    damage(triples)
    arguments = ("shard", triples, "-o", tmp_path / "raw", "--size", "48")
    assert "t4.png is damaged" in call(*arguments, code=3).stderr
    assert not (tmp_path / "raw").exists()
    result = call(*arguments, "--skip-bad")
    assert "warning: t4 is left out: target: " in result.stderr and "5 samples, 1 omitted" in result.stderr


def test_a_part_of_a_data_set_is_written(triples: Path, tmp_path: Path) -> None:
    parts = data.split(data.Triples(triples), {"a": 0.5, "b": 0.5}, seed=3)
    arguments = ("--shares", "a=0.5,b=0.5", "--seed", "3", "--size", "48")
    for name, part in parts.items():
        call("shard", triples, "-o", tmp_path / name, "--part", name, *arguments)
        assert list(data.Shards(tmp_path / name).names) == list(part.names)
    assert (
        "--part c: expected one of a, b"
        in call("shard", triples, "-o", tmp_path / "c", "--part", "c", *arguments, code=2).stderr
    )


def test_what_is_no_data_set_is_told(triples: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no known kind of data set" in call("check", tmp_path / "empty", code=3).stderr
    assert "no such file" in call("stats", tmp_path / "none", code=3).stderr
    assert "triples has no predefined splits" in call("check", triples, "--split", "train", code=2).stderr
    debugged = call("check", tmp_path / "none", "--debug", code=3).stderr
    assert "Traceback" in debugged


def test_a_split_of_its_own_is_kept(tmp_path: Path) -> None:
    pyharmony.save(np.zeros((8, 8, 3), np.uint8), tmp_path / "a.png")
    entries = [{"file": "a.png", "role": "photo", "pair": name, "split": name} for name in ("train", "test")]
    (tmp_path / "manifest.json").write_text(json.dumps({"entries": entries}))
    assert (report_of("stats", tmp_path)["samples"], report_of("stats", tmp_path, "--split", "test")["samples"]) == (
        2,
        1,
    )


def test_annotations_and_boxes_are_taken(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    for name in ("images/1.png", "scenes/a/1.png", "scenes/a/2.png", "scenes/b/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        pyharmony.save(picture, tmp_path / name)
    one = {"id": 7, "image_id": 1, "category_id": 3, "segmentation": [[4, 4, 20, 4, 20, 20, 4, 20]], "area": 256}
    photo = {"id": 1, "file_name": "1.png", "height": 24, "width": 32}
    table = {"images": [photo], "annotations": [one], "categories": [{"id": 3, "name": "dog"}]}
    (tmp_path / "dogs.json").write_text(json.dumps(table))
    (tmp_path / "boxes.txt").write_text("a:2,3,20,30\n")
    dogs = (tmp_path / "images", "--annotations", tmp_path / "dogs.json", "--category", "dog")
    boxes = (tmp_path / "scenes", "--boxes", tmp_path / "boxes.txt")
    report = report_of("check", *dogs)
    assert (report["status"], report["kind"], report["samples"], report["problems"]) == ("ok", "CocoPeople", 1, [])
    assert report_of("stats", *dogs, "--min-share", "0.5")["samples"] == 0
    assert report_of("stats", *dogs, "--max-share", "0.5")["fields"] == ["image", "mask"]
    report = report_of("stats", *boxes)
    assert (report["kind"], report["samples"], report["height"]["max"], report["width"]["max"]) == (
        "AlignedScenes",
        2,
        18,
        27,
    )
    (tmp_path / "boxes.txt").write_text("a:2,3,20,30\nb:2,3,20,30\n")
    report = report_of("check", *boxes, code=5)
    assert [problem["name"] for problem in report["problems"]] == ["b"]
    assert report["problems"][0]["message"].endswith("1 images, expected two or more; pairs skips the scene")
    (tmp_path / "boxes.txt").write_text("a:2,3,20,30\n")
    call("split", *boxes, "-o", tmp_path / "split.csv")
    call("shard", *dogs, "-o", tmp_path / "shards", "--size", "16")
    assert list(data.Shards(tmp_path / "shards").names) == ["1_7"]
    missing = call("check", tmp_path / "images", "--annotations", tmp_path / "cats.json", code=3).stderr
    assert "cats.json: no such file" in missing
    assert "annotations: missing" in call("check", tmp_path / "images", "--kind", "coco", code=2).stderr
