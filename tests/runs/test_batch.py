"""Many images: sources, names, outcomes, limits, continued runs, and the engines."""

from __future__ import annotations

import contextlib
import csv
import datetime
import functools
import importlib.util
import io
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import pyharmony as ph
from pyharmony._calls import IMAGE, Group, Numbers, Option
from pyharmony._calls.batches import BATCHES, OF_ALL
from pyharmony.cli._app import app
from pyharmony.cli._console import duration
from pyharmony.cli._options import values_of
from pyharmony.composition import _compose
from pyharmony.errors import PyHarmonyError, PyHarmonyWarning, Reason, RunError
from pyharmony.learn import data
from pyharmony.runs import batch
from pyharmony.runs._jobs.failures import Code, finite
from pyharmony.runs.batch import Progress, Report, _run
from pyharmony.runs.batch._folder import Begun, Mark, is_own
from pyharmony.runs.batch._sources import Item, items_of
from pyharmony.runs.batch._worker import Order, _Pipeline
from pyharmony.runs.batch.operations import Settings, needs_of, operation_of
from pyharmony.runs.batch.pool import Outcome, Pool

from .. import durability
from ..shared import GUARDED

pytestmark = pytest.mark.house

METHOD = {"method": "reinhard"}


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def load(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def photo(seed: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(40, 200, (size[0] // 8, size[1] // 8, 3))
    return coarse.repeat(8, 0).repeat(8, 1).astype(np.uint8)


def mask(size: tuple[int, int] = (48, 64)) -> np.ndarray:
    inside = np.zeros(size, np.uint8)
    inside[size[0] // 4 : size[0] // 2, size[1] // 4 : size[1] // 2] = 255
    return inside


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of six pictures with masks."""
    for number in range(6):
        name = f"{'ab'[number % 2]}/{number}.png"
        write(tmp_path / "in" / "images" / name, photo(number))
        write(tmp_path / "in" / "masks" / name, mask())
    return tmp_path / "in"


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Computes items in this process, by the phases of a worker; one takes longer to start than most tests to run.

    For tests about sources, names and ledgers. What workers do and what becomes of them is tested with workers.
    """

    def outcomes(engine: str, settings: Settings, jobs: int, orders: Iterable[Order]) -> Iterator[Outcome]:
        operation, messages = operation_of(settings), list[dict[str, Any]]()
        run = _Pipeline(operation, messages.append)._done
        for order in map(Order.of_json, (one.to_json() for one in orders)):
            work = run(order, "decode", operation.decode, order)
            if work and run(order, "compute", operation.compute, order, work[0]):
                record = run(order, "encode", operation.encode, order, work[0])
            else:
                record = None
            is_error = record is None
            text = json.dumps(messages[-1]["error"] if record is None else finite(record[0]))
            assert not is_error or not (messages[-1]["stops"] or messages[-1]["memory"]), text
            yield Outcome(order.number, json.loads(text), is_error)

    threads, device = ph.get_num_threads(), ph.get_device()
    monkeypatch.setattr(_run, "_outcomes", outcomes)
    yield
    ph.set_num_threads(threads)
    ph.set_device(device)


IN_PROCESS = pytest.mark.usefixtures("in_process")


def rows(report: Report) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in durability.rows_of(report.results)}


def ended(report: Report, **counts: int) -> bool:
    return report.counts == {"pending": 0, "done": 0, "failed": 0, "skipped": 0, **counts}


# Outcomes


@GUARDED
def test_outputs_are_those_of_the_function(photos: Path, tmp_path: Path) -> None:
    report = batch.run("harmonize", photos, tmp_path / "out", options=METHOD)
    assert ended(report, done=6)
    assert sorted(rows(report)) == ["a/0.png", "a/2.png", "a/4.png", "b/1.png", "b/3.png", "b/5.png"]
    for name, row in rows(report).items():
        expected = ph.harmonize(photos / "images" / name, photos / "masks" / name, method="reinhard")
        np.testing.assert_array_equal(load(tmp_path / "out" / row["output"]), expected)
        assert (int(row["width"]), int(row["height"]), row["status"]) == (64, 48, "done")
        assert int(row["bytes"]) == (tmp_path / "out" / name).stat().st_size


@IN_PROCESS
@pytest.mark.parametrize("operation", ["blend", "compose", "segment", "shadow", "super-resolve", "synth"])
def test_each_operation(operation: str, tmp_path: Path) -> None:
    size = (96, 128)
    for number in range(2):
        write(tmp_path / "in" / f"{number}.png", photo(number, size))
        write(tmp_path / "masks" / f"{number}.png", mask(size))
    write(tmp_path / "scene.png", photo(9, size))
    others = {"mask": tmp_path / "masks"} if "mask" in BATCHES[operation].items else {}
    others |= {name: tmp_path / "scene.png" for name in ("background", "dst") if name in BATCHES[operation].items}
    options = {"anyway": True} if operation == "compose" else {}
    report = batch.run(operation, tmp_path / "in", tmp_path / "out", options=options, other_inputs=others)
    assert ended(report, done=2), report.errors
    folder = tmp_path / "out" / ("composite" if operation == "synth" else "")
    factor = 2 if operation == "super-resolve" else 1
    for number in range(2):
        result = load(folder / f"{number}.png")
        assert result.shape == (size[0] * factor, size[1] * factor, 4 if operation == "segment" else 3)
    if operation == "synth":
        inside = np.asarray(Image.open(tmp_path / "out/mask/0.png")) > 0
        composite, target = (load(tmp_path / f"out/{role}/0.png") for role in ("composite", "target"))
        np.testing.assert_array_equal(target, photo(0, size))
        np.testing.assert_array_equal((composite != target).any(2), inside & (composite != target).any(2))


@IN_PROCESS
def test_a_screenshots_alpha_cuts_nothing_out_in_a_run(tmp_path: Path) -> None:
    """An opaque alpha would paste all of the photo as a rectangle."""
    y, x = np.mgrid[:120, :160]
    image = np.full((120, 160, 4), (60, 120, 60, 255), np.uint8)
    image[np.hypot(y - 60, x - 80) < 30] = 200, 40, 40, 255
    write(tmp_path / "in/0.png", image)
    write(tmp_path / "scene.png", np.full((240, 320, 3), 128, np.uint8))
    report = batch.run(
        "compose", tmp_path / "in", tmp_path / "out", other_inputs={"background": tmp_path / "scene.png"}
    )
    assert ended(report, done=1), report.errors
    record = json.loads(rows(report)["0.png"]["record"])
    assert any("cuts nothing out" in text for text in record["warnings"])
    _, _, width, height = record["box"]
    assert width / height < 1.2


@IN_PROCESS
def test_a_composite_that_is_probably_not_usable_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    doubt = Reason("vague-outline", "parts are a guess", hint="click them too")
    monkeypatch.setattr(_compose, "verdict_of", lambda *_: (0.1, (doubt,)))
    write(tmp_path / "in/0.png", photo(0, (96, 128)))
    write(tmp_path / "scene.png", photo(9, (96, 128)))
    others = {"background": tmp_path / "scene.png"}
    report = batch.run("compose", tmp_path / "in", tmp_path / "out", other_inputs=others)
    assert ended(report, failed=1) and not (tmp_path / "out/0.png").exists()
    row = rows(report)["0.png"]
    assert (row["status"], row["error"], row["output"]) == ("refused", "refused", None)
    assert row["message"].endswith("parts are a guess; try: click them too; anyway writes it")
    report = batch.run("compose", tmp_path / "in", tmp_path / "any", options={"anyway": True}, other_inputs=others)
    assert ended(report, done=1), report.errors
    assert json.loads(rows(report)["0.png"]["record"])["usable"] == 0.1


@IN_PROCESS
def test_masks_of_synth_are_png_files(photos: Path, tmp_path: Path) -> None:
    """Whatever the format of the images; two outputs that differ by their suffix alone would share a mask."""
    assert ended(batch.run("synth", photos, tmp_path / "out", format="jpeg"), done=6)
    for number in range(6):
        stem = f"{'ab'[number % 2]}/{number}"
        assert Image.open(tmp_path / f"out/composite/{stem}.jpeg").format == "JPEG"
        mask_file = Image.open(tmp_path / f"out/mask/{stem}.png")
        assert mask_file.format == "PNG" and (np.asarray(mask_file) == mask()).all()
    image, inside = (photos / name / "a/0.png" for name in ("images", "masks"))
    table = [{"image": str(image), "mask": str(inside), "out": out} for out in ("x.jpg", "x.png", "y.png")]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in table))
    report = batch.run("synth", tmp_path / "t.jsonl", tmp_path / "rows")
    assert ended(report, done=2, failed=1)
    assert "'x.png' is also the output of another item" in report.errors[0]["message"]


@IN_PROCESS
def test_an_item_of_synth_does_not_depend_on_the_others(photos: Path, tmp_path: Path) -> None:
    batch.run("synth", photos, tmp_path / "all")
    for name in ("a/0", "a/4", "b/1", "b/3", "b/5"):
        (photos / "images" / f"{name}.png").unlink()
    batch.run("synth", photos, tmp_path / "one")
    one, same = (load(tmp_path / folder / "composite/a/2.png") for folder in ("one", "all"))
    np.testing.assert_array_equal(one, same)


@IN_PROCESS
def test_synth_decodes_large_photos_at_less_than_all(tmp_path: Path) -> None:
    size = (304, 408)
    write(tmp_path / "in/images/0.jpg", photo(0, size))
    write(tmp_path / "in/masks/0.png", mask(size))
    assert ended(batch.run("synth", tmp_path / "in", tmp_path / "small", options={"size": 48}), done=1)
    sample = data.resize_sample({"image": load(tmp_path / "in/images/0.jpg"), "mask": mask(size)}, 48)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "small/mask/0.png")), sample["mask"])
    assert 0 < np.abs(load(tmp_path / "small/target/0.png").astype(float) - sample["image"]).mean() < 2
    write(tmp_path / "in/masks/0.png", mask((303, 408)))
    report = batch.run("synth", tmp_path / "in", tmp_path / "bad", options={"size": 48})
    assert ended(report, failed=1)
    assert "408 x 303 pixels, expected 408 x 304" in report.errors[0]["message"]
    with pytest.raises(PyHarmonyError, match="size 0, expected a whole number of at least 8"):
        batch.run("synth", tmp_path / "in", tmp_path / "none", options={"size": 0})


def test_every_operation_is_a_command(capfd: pytest.CaptureFixture[str]) -> None:
    for operation in BATCHES:
        with pytest.raises(SystemExit) as left:
            app(["batch", operation, "--help"], prog_name="pyharmony")
        assert left.value.code == 0
        text = capfd.readouterr().out
        for option in BATCHES[operation].options:
            flags = [one.flag for one in option.inner] if isinstance(option.type, Group) else [option.flag]
            # A former option is taken, and not shown.
            assert all(flag in text for flag in flags) or option.name in OF_ALL or option.replaced_by


# Continued runs


@IN_PROCESS
def test_a_run_again_does_nothing(photos: Path, tmp_path: Path) -> None:
    batch.run("harmonize", photos, tmp_path / "out", options=METHOD)
    before = durability.digests(tmp_path / "out")
    report = batch.run("harmonize", photos, tmp_path / "out", options=METHOD, resume=True)
    assert ended(report, done=6)
    after = durability.digests(tmp_path / "out")
    pictures = [name for name in before if name.endswith(".png")]
    assert len(pictures) == 6 and all(before[name] == after[name] for name in pictures)


@IN_PROCESS
@GUARDED
def test_a_run_is_continued_only_if_it_is_asked_for_and_the_same(photos: Path, tmp_path: Path) -> None:
    batch.run("harmonize", photos, tmp_path / "out", options=METHOD)
    with pytest.raises(RunError, match="6 items are done, 0 failed, 0 left; resume=True continues it"):
        batch.run("harmonize", photos, tmp_path / "out", options=METHOD)
    with pytest.raises(RunError, match=r'the run has options \{"method": "reinhard"\}, this one \{\}'):
        batch.run("harmonize", photos, tmp_path / "out", resume=True)
    report = batch.run("harmonize", photos, tmp_path / "out", options={"method": "mkl"}, restart=True)
    assert ended(report, done=6)
    expected = ph.harmonize(photos / "images/a/0.png", photos / "masks/a/0.png", method="mkl")
    np.testing.assert_array_equal(load(tmp_path / "out/a/0.png"), expected)


@IN_PROCESS
@GUARDED
def test_what_has_changed_is_computed_again_and_what_is_new_is_added(photos: Path, tmp_path: Path) -> None:
    batch.run("harmonize", photos, tmp_path / "out", options=METHOD)
    write(photos / "images/a/0.png", photo(40))
    write(photos / "images/a/8.png", photo(8))
    write(photos / "masks/a/8.png", mask())
    report = batch.run("harmonize", photos, tmp_path / "out", options=METHOD, resume=True)
    assert ended(report, done=7) and report.changed == 1 and report.earlier == 5
    expected = ph.harmonize(photo(40), mask(), method="reinhard")
    np.testing.assert_array_equal(load(tmp_path / "out/a/0.png"), expected)


@IN_PROCESS
def test_failures_are_listed_and_tried_again_on_request(photos: Path, tmp_path: Path) -> None:
    bad = photos / "images/b/3.png"
    whole = bad.read_bytes()
    bad.write_bytes(whole[:100])
    report = batch.run("harmonize", photos, tmp_path / "out", options=METHOD)
    assert ended(report, done=5, failed=1)
    (error,) = [json.loads(line) for line in (tmp_path / "out/errors.jsonl").read_text().splitlines()]
    assert error["name"] == "b/3.png" and error["inputs"]["image"] == str(bad)
    assert "is damaged" in error["message"]
    report = batch.run("harmonize", photos, tmp_path / "out", options=METHOD, resume=True)
    assert ended(report, done=5, failed=1)
    stat = bad.stat()
    bad.write_bytes(whole)
    os.utime(bad, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    report = batch.run("harmonize", photos, tmp_path / "out", options=METHOD, resume=True, retry_failed=True)
    assert ended(report, done=6) and not (tmp_path / "out/errors.jsonl").exists()


@IN_PROCESS
def test_one_run_at_a_time(photos: Path, tmp_path: Path) -> None:
    from pyharmony.runs.batch._ledger import Ledger

    (tmp_path / "out/.pyharmony-batch").mkdir(parents=True)
    ledger = Ledger(tmp_path / "out/.pyharmony-batch/ledger.sqlite")
    with pytest.raises(RunError, match="another run is writing there"):
        batch.run("harmonize", photos, tmp_path / "out", options=METHOD)
    ledger.close()
    assert ended(batch.run("harmonize", photos, tmp_path / "out", options=METHOD), done=6)


@IN_PROCESS
def test_parts_of_a_run_side_by_side(photos: Path, tmp_path: Path) -> None:
    whole: list[str] = []
    for part in (1, 2, 3):
        report = batch.run("harmonize", photos, tmp_path / "out", options=METHOD, shard=(part, 3))
        assert report.counts["done"] == len(rows(report)) and report.results.stem == f"results-{part}-of-3"
        whole += rows(report)
    assert len(set(whole)) == len(whole) == 6
    # An item stays in its part, whatever the source has besides.
    (photos / "images/a/0.png").unlink()
    for part in (3, 1, 2):
        again = batch.run("harmonize", photos, tmp_path / "out", options=METHOD, shard=(part, 3), resume=True)
        assert not again.errors and not again.changed


@IN_PROCESS
@pytest.mark.parametrize("on_exist", ["error", "skip", "overwrite"])
def test_a_file_of_somebody_else(on_exist: Any, photos: Path, tmp_path: Path) -> None:
    write(tmp_path / "out/a/2.png", photo(70))
    report = batch.run("harmonize", photos, tmp_path / "out", options=METHOD, on_exist=on_exist)
    status = {"error": "failed", "skip": "skipped", "overwrite": "done"}[on_exist]
    assert rows(report)["a/2.png"]["status"] == status
    same = np.array_equal(load(tmp_path / "out/a/2.png"), photo(70))
    assert same == (on_exist != "overwrite")
    if on_exist == "error":
        assert "already exists" in report.errors[0]["message"]
        again = {"options": METHOD, "resume": True, "retry_failed": True}
        assert ended(batch.run("harmonize", photos, tmp_path / "out", **again), done=5, failed=1)


@IN_PROCESS
def test_links_lead_nowhere_else(photos: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    write(elsewhere / "0.png", photo(70))
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a").symlink_to(elsewhere)
    (tmp_path / "out/b").mkdir()
    (tmp_path / "out/b/1.png").symlink_to(photos / "images/b/1.png")
    before = durability.digests(photos), durability.digests(elsewhere)
    report = batch.run("harmonize", photos, tmp_path / "out", options=METHOD, on_exist="overwrite")
    assert ended(report, done=2, failed=4)
    assert {error["name"] for error in report.errors} == {"a/0.png", "a/2.png", "a/4.png", "b/1.png"}
    assert all("a link" in error["message"] for error in report.errors)
    assert (durability.digests(photos), durability.digests(elsewhere)) == before


def stop(now: Progress) -> None:
    raise KeyboardInterrupt


def test_a_file_of_somebody_else_outlives_a_run_that_was_interrupted(photos: Path, tmp_path: Path) -> None:
    write(tmp_path / "out/a/2.png", photo(70))
    with pytest.raises(KeyboardInterrupt):
        batch.run("harmonize", photos, tmp_path / "out", options=METHOD, progress=stop)
    for again in ({}, {"retry_failed": True}):
        report = batch.run("harmonize", photos, tmp_path / "out", options=METHOD, resume=True, **again)
        assert ended(report, done=5, failed=1) and report.errors[0]["kind"] == "exists"
    np.testing.assert_array_equal(load(tmp_path / "out/a/2.png"), photo(70))


@IN_PROCESS
def test_an_output_that_moves_replaces_nothing_and_leaves_nothing(photos: Path, tmp_path: Path) -> None:
    table = photos / "table.jsonl"
    row = {"image": "images/a/0.png", "mask": "masks/a/0.png", "name": "one"}
    table.write_text(json.dumps({**row, "out": "first.png"}))
    batch.run("harmonize", table, tmp_path / "out", options=METHOD)
    write(tmp_path / "out/second.png", photo(70))
    table.write_text(json.dumps({**row, "out": "second.png"}))
    report = batch.run("harmonize", table, tmp_path / "out", options=METHOD, resume=True)
    assert ended(report, failed=1) and report.errors[0]["kind"] == "exists"
    np.testing.assert_array_equal(load(tmp_path / "out/second.png"), photo(70))
    assert not (tmp_path / "out/first.png").exists()


@IN_PROCESS
def test_what_fails_the_second_time_has_no_output(photos: Path, tmp_path: Path) -> None:
    batch.run("harmonize", photos, tmp_path / "out", options=METHOD)
    (photos / "images/a/0.png").write_bytes(b"")
    report = batch.run("harmonize", photos, tmp_path / "out", options=METHOD, resume=True)
    assert ended(report, done=5, failed=1) and not (tmp_path / "out/a/0.png").exists()
    write(tmp_path / "out/a/0.png", photo(70))  # by hand
    report = batch.run("harmonize", photos, tmp_path / "out", options=METHOD, resume=True, retry_failed=True)
    assert report.errors[0]["kind"] == "exists" and (tmp_path / "out/a/0.png").exists()


@IN_PROCESS
@pytest.mark.parametrize("first", [{}, {"per_shard": 4}])
def test_a_run_that_begins_again_leaves_nothing_of_the_former_one(
    first: dict[str, Any], photos: Path, tmp_path: Path
) -> None:
    batch.run("harmonize", photos, tmp_path / "out", options=METHOD, **first)
    write(tmp_path / "out/mine.png", photo(70))
    (photos / "images/a/0.png").unlink()
    report = batch.run("harmonize", photos, tmp_path / "out", options=METHOD, format="webp", restart=True)
    assert ended(report, done=5)
    files = {path.name for path in (tmp_path / "out").rglob("*") if path.suffix in (".png", ".webp", ".tar")}
    assert files == {"1.webp", "2.webp", "3.webp", "4.webp", "5.webp", "mine.png"}


@IN_PROCESS
def test_a_run_whose_source_cannot_be_read_leaves_an_earlier_one_as_it_was(photos: Path, tmp_path: Path) -> None:
    table = photos / "table.csv"
    good = "image,mask\nimages/a/0.png,masks/a/0.png\n"
    table.write_text(good + '"')
    for _ in range(2):
        with pytest.raises(RunError, match=r"table.csv, line 3"):
            batch.run("harmonize", table, tmp_path / "out", options=METHOD)
    table.write_text(good)
    assert ended(batch.run("harmonize", table, tmp_path / "out", options=METHOD), done=1)
    before = durability.digests(tmp_path / "out/images")
    table.write_text(good + '"')
    with pytest.raises(RunError, match=r"table.csv, line 3"):
        batch.run("harmonize", table, tmp_path / "out", format="webp", restart=True)
    table.write_text(good)
    assert ended(batch.run("harmonize", table, tmp_path / "out", options=METHOD, resume=True), done=1)
    assert durability.digests(tmp_path / "out/images") == before


@IN_PROCESS
def test_a_new_item_does_not_take_the_output_of_another(tmp_path: Path) -> None:
    write(tmp_path / "in/b.png", photo(0))
    options = {"options": {"method": "bicubic"}, "format": "webp"}
    batch.run("super-resolve", tmp_path / "in", tmp_path / "out", **options)
    before = durability.digests(tmp_path / "out")["b.webp"]
    write(tmp_path / "in/b.jpg", photo(1))
    report = batch.run("super-resolve", tmp_path / "in", tmp_path / "out", resume=True, **options)
    assert ended(report, done=2) and report.changed == 0
    assert rows(report)["b.png"]["output"] == "b.webp" and durability.digests(tmp_path / "out")["b.webp"] == before


@IN_PROCESS
def test_a_damaged_ledger_is_named(photos: Path, tmp_path: Path) -> None:
    batch.run("harmonize", photos, tmp_path / "out", options=METHOD)
    ledger = tmp_path / "out/.pyharmony-batch/ledger.sqlite"
    ledger.write_bytes(b"damaged" * 1000)
    with pytest.raises(RunError, match="the ledger is damaged: file is not a database; delete the folder"):
        batch.run("harmonize", photos, tmp_path / "out", options=METHOD, resume=True)
    shutil.rmtree(ledger.parent)
    report = batch.run("harmonize", photos, tmp_path / "out", options=METHOD, on_exist="skip")
    assert ended(report, skipped=6)


@IN_PROCESS
@pytest.mark.parametrize("damage", ["", "cut", "gone"])
def test_outputs_that_are_gone_empty_or_cut_are_computed_again(damage: str, photos: Path, tmp_path: Path) -> None:
    batch.run("harmonize", photos, tmp_path / "out", options=METHOD)
    file = tmp_path / "out/a/2.png"
    whole = file.read_bytes()
    file.unlink() if damage == "gone" else file.write_bytes(whole[: len(whole) // 2] if damage else b"")
    report = batch.run("harmonize", photos, tmp_path / "out", options=METHOD, resume=True)
    assert ended(report, done=6) and report.changed == 1 and file.read_bytes() == whole
    file.write_bytes(bytes(len(whole)))  # of the same size: its digest tells
    report = batch.run("harmonize", photos, tmp_path / "out", options=METHOD, resume=True, verify=True)
    assert ended(report, done=6) and report.changed == 1 and file.read_bytes() == whole


@IN_PROCESS
def test_an_output_that_another_program_has_replaced_is_an_error(photos: Path, tmp_path: Path) -> None:
    batch.run("harmonize", photos, tmp_path / "out", options=METHOD)
    write(tmp_path / "out/a/2.png", photo(70, (96, 64)))
    report = batch.run("harmonize", photos, tmp_path / "out", options=METHOD, resume=True)
    assert ended(report, done=5, failed=1) and report.errors[0]["kind"] == "exists"
    np.testing.assert_array_equal(load(tmp_path / "out/a/2.png"), photo(70, (96, 64)))


@pytest.mark.parametrize(
    "sql",
    [
        "PRAGMA user_version = 99",
        "PRAGMA application_id = 1",
        "DROP TABLE shards",
        "ALTER TABLE items ADD COLUMN more TEXT",
        "CREATE TRIGGER t AFTER UPDATE ON items BEGIN DELETE FROM run; END",
        "UPDATE items SET item = 'no JSON'",
        "UPDATE items SET item = '[]'",
        "UPDATE items SET item = json_set(item, '$.out', 1)",
        "UPDATE items SET item = json_set(item, '$.out', '{victim}'), owns = 1",
        "UPDATE items SET item = json_set(item, '$.out', '../victim.png'), owns = 1",
        "UPDATE items SET item = json_set(item, '$.out', '.pyharmony-batch/ledger.sqlite')",
        "UPDATE items SET status = 77",
        "UPDATE items SET status = 'done'",
        "UPDATE items SET record = '1'",
        "UPDATE items SET record = json_set(record, '$.ms', 'much')",
        "UPDATE items SET files = '[[1, 2]]'",
        "UPDATE items SET name = x'ff'",
        "UPDATE run SET value = 'null' WHERE key = 'options'",
        "UPDATE run SET value = '\"/\"' WHERE key = 'operation'",
        "DELETE FROM run WHERE key = 'per_shard'",
        "DELETE FROM run",
        "UPDATE run SET value = json_array('/elsewhere', 1) WHERE key = 'folder'",
    ],
)
@pytest.mark.parametrize("again", [{"resume": True}, {"restart": True}])
def test_a_ledger_that_no_run_has_written_is_refused(sql: str, again: Any, one_done: Path, tmp_path: Path) -> None:
    shutil.copytree(one_done, tmp_path / "run", symlinks=True)
    victim, output = tmp_path / "run/victim.png", tmp_path / "run/out"
    write(victim, photo(70))
    with sqlite3.connect(output / ".pyharmony-batch/ledger.sqlite") as base:
        if not sql.startswith("UPDATE run SET value = json_array"):
            here = json.dumps([str(output.resolve()), 0])
            base.execute("UPDATE run SET value = ? WHERE key = 'folder'", (here,))
        base.execute(sql.format(victim=victim))
    base.close()
    before = durability.digests(tmp_path / "run")
    with pytest.raises(RunError, match="the ledger is damaged") as error:
        batch.run("super-resolve", tmp_path / "run/in", output, options={"method": "bicubic"}, **again)
    assert error.value.code == "damaged-ledger" and "delete the folder" in error.value.hint
    after = durability.digests(tmp_path / "run")
    assert {name: after[name] for name in before if "ledger" not in name} == {
        name: before[name] for name in before if "ledger" not in name
    }


@pytest.fixture(scope="module")
def one_done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one item that is done."""
    folder = tmp_path_factory.mktemp("one")
    write(folder / "in/a.png", photo(0))
    assert ended(batch.run("super-resolve", folder / "in", folder / "out", options={"method": "bicubic"}), done=1)
    return folder


@pytest.mark.parametrize("size", [50, 511, 4096, 5000, 9000])
def test_a_ledger_that_was_cut_is_refused(size: int, one_done: Path, tmp_path: Path) -> None:
    shutil.copytree(one_done, tmp_path / "run")
    ledger = tmp_path / "run/out/.pyharmony-batch/ledger.sqlite"
    ledger.write_bytes(ledger.read_bytes()[:size])
    with pytest.raises(RunError, match="the ledger is damaged"):
        batch.run(
            "super-resolve", tmp_path / "run/in", tmp_path / "run/out", options={"method": "bicubic"}, resume=True
        )


@pytest.mark.parametrize(
    "place", [".pyharmony-batch", ".pyharmony-batch/ledger.sqlite", ".pyharmony-batch/ledger.lock"]
)
def test_links_in_place_of_the_ledger_are_refused(place: str, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / place).parent.mkdir(parents=True)
    (tmp_path / "out" / place).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match=r"a link|is no file"):
        batch.run("harmonize", photos, tmp_path / "out", options=METHOD)
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("shard", (1.5, 2)), ("shard", (0, 2)), ("shard", "12"), ("shard", None), ("quality", 500), ("quality", True),
        ("quality", "95"), ("format", "gif"), ("format", 1), ("keep_gps", 1), ("engine", "dask"), ("jobs", 0),
        ("jobs", 1.5), ("threads", -1), ("device", "tpu"), ("device", None), ("resume", "yes"), ("retry_failed", True),
        ("verify", True), ("restart", None), ("per_shard", 0), ("per_shard", 2.0), ("on_exist", "keep"),
        ("time_limit", 0), ("time_limit", float("nan")), ("time_limit", "3"), ("max_memory", "4G"), ("max_memory", 0),
        ("max_pixels", 10), ("max_pixels", "9" * 400), ("results", 3), ("results", "x.txt"), ("results", ""),
        ("progress", 1), ("options", {"strength": 99}), ("options", {"strengths": 1}), ("options", []),
        ("options", {"save_mask": "x.png"}), ("other_inputs", {"colour": "x"}), ("other_inputs", {"mask": 3}),
        ("other_inputs", "mask"), ("source", 3), ("source", ""), ("output", "a\0b"), ("output", b"x"),
        ("output", "\ud800"), ("operation", "paint"), ("operation", None), ("columns", 3),
    ],
)  # fmt: skip
def test_every_argument_is_checked_before_anything_is_written(
    argument: str, value: Any, photos: Path, tmp_path: Path
) -> None:
    arguments = {"operation": "harmonize", "source": photos, "output": tmp_path / "out", argument: value}
    with pytest.raises(PyHarmonyError, match=argument):
        batch.run(**arguments)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


@IN_PROCESS
def test_entries_that_are_no_files_are_errors_of_their_own(photos: Path, tmp_path: Path) -> None:
    (photos / "images/self.png").symlink_to("self.png")
    os.mkfifo(tmp_path / "pipe.png")
    row = {"image": "images/a/0.png", "mask": "masks/a/0.png"}
    deep = "/".join("a" * 2500)
    outs = ["..", "a/..", ".", "x/", deep, "y" * 300, "\ud800", "/x.png"]
    outs += [".pyharmony-batch/x.png", ".PYHARMONY-BATCH/x"]
    table = [{**row, "image": str(tmp_path / "pipe.png")}, {**row, "name": "\ud800"}, {**row, "image": "\ud800"}]
    table += [{**row, "strength": 10**400}, {**row, "image": "images"}, {**row, "out": 7}]
    table += [{**row, "out": out} for out in outs]
    (photos / "t.jsonl").write_text("".join(json.dumps(one) + "\n" for one in table))
    report = batch.run("harmonize", photos / "t.jsonl", tmp_path / "out", options=METHOD)
    assert ended(report, done=1, failed=len(table) - 1), report.errors
    assert not [path for path in (tmp_path / "out").rglob("*.png") if path.name != "\\ud800.png"]
    write(photos / "masks/self.png", mask())
    report = batch.run("harmonize", photos, tmp_path / "folder", options=METHOD)
    assert ended(report, done=6, failed=1) and report.errors[0]["name"] == "self.png"


@IN_PROCESS
def test_a_row_with_another_name_takes_its_output_over(photos: Path, tmp_path: Path) -> None:
    row = {"image": "images/a/0.png", "mask": "masks/a/0.png", "out": "x.png"}
    for name in ("one", "two"):
        (photos / "t.jsonl").write_text(json.dumps({**row, "name": name}))
        report = batch.run("harmonize", photos / "t.jsonl", tmp_path / "out", options=METHOD, resume=name == "two")
        assert ended(report, done=1) and list(rows(report)) == [name]


@IN_PROCESS
def test_tables_of_results_replace_no_other_file(photos: Path, tmp_path: Path) -> None:
    table = photos / "table.csv"
    table.write_text("image,mask\nimages/a/0.png,masks/a/0.png\n")
    with pytest.raises(RunError, match="is the source"):
        batch.run("harmonize", table, tmp_path / "out", options=METHOD, results=table)
    (tmp_path / "mine.csv").write_text("mine")
    with pytest.raises(RunError, match="already exists, and is of no run"):
        batch.run("harmonize", table, tmp_path / "out", options=METHOD, results=tmp_path / "mine.csv")
    with pytest.raises(RunError, match="no such file"):
        batch.run("harmonize", table, tmp_path / "out", options=METHOD, results=tmp_path / "none/x.csv")
    assert (tmp_path / "mine.csv").read_text() == "mine"
    for again in (False, True):
        report = batch.run("harmonize", table, tmp_path / "out", options=METHOD, results=tmp_path / "new.csv",
                           resume=again)  # fmt: skip
        assert ended(report, done=1)


@IN_PROCESS
def test_an_input_in_the_output_folder_is_refused_also_through_a_link(photos: Path, tmp_path: Path) -> None:
    write(tmp_path / "out/0.png", photo(0))
    (photos / "link").symlink_to(tmp_path / "out")
    (photos / "0.png").symlink_to(tmp_path / "out/0.png")
    table = photos / "table.csv"
    table.write_text("image,mask,out\nlink/0.png,masks/a/0.png,0.png\n0.png,masks/a/0.png,1.png\n")
    report = batch.run("harmonize", table, tmp_path / "out", options=METHOD, on_exist="overwrite")
    assert ended(report, failed=2) and all("is in the output folder" in one["message"] for one in report.errors)
    np.testing.assert_array_equal(load(tmp_path / "out/0.png"), photo(0))


def test_folders_of_inputs_and_outputs_are_apart(photos: Path) -> None:
    for output in (photos, photos / "out", photos.parent):
        with pytest.raises(RunError, match="is in the source folder or around it"):
            batch.run("harmonize", photos, output)


# Sources


def items(source: Path, operation: str = "harmonize", **others: Path) -> list[Item]:
    return list(items_of(source, needs_of(Settings(operation, "out")), others))


def test_names_that_are_equal_for_some_file_systems(tmp_path: Path) -> None:
    accent = unicodedata.normalize("NFC", "café"), unicodedata.normalize("NFD", "café")
    long = "x" * 250
    names = ["a.jpg", "a.png", "A.jpg", "sub/a.jpg"]
    names += [f"{accent[0]}.jpg", f"{accent[1]}.jpg", f"{long}.png", f"{long[:-1]}.jpg"]
    for name in names:
        write(tmp_path / "in" / name, photo(0))
    settings = Settings("super-resolve", "out", format="webp")
    every = list(items_of(tmp_path / "in", needs_of(settings), {}))
    outs = {item.name: item.out for item in every}
    assert sorted(outs) == sorted(names)
    folded = {unicodedata.normalize("NFC", out).casefold() for out in outs.values()}
    assert len(folded) == len(names)
    assert outs["A.jpg"] == "A.webp" and outs["sub/a.jpg"] == "sub/a.webp"
    assert all(os.path.dirname(outs[name]) == os.path.dirname(name) for name in names)
    assert all(len(os.fsencode(os.path.basename(out))) <= 255 for out in outs.values())
    # Without another format, suffixes tell pictures apart.
    assert {item.name: item.out for item in items(tmp_path / "in", "super-resolve")}["a.png"] == "a.png"


@IN_PROCESS
@pytest.mark.parametrize("whole", [True, False])
def test_a_name_that_is_no_text(whole: bool, photos: Path, tmp_path: Path) -> None:
    strange = os.fsdecode(b"a/\xff.png")
    for role in ("images", "masks"):
        os.rename(photos / role / "a/0.png", photos / role / strange)
    if not whole:
        (photos / "images" / strange).write_bytes(b"")
    for suffix in ("csv", "parquet"):
        if suffix == "parquet":
            pytest.importorskip("pyarrow", reason="pyarrow is not installed")
        table = tmp_path / f"table.{suffix}"
        report = batch.run("harmonize", photos, tmp_path / suffix, options=METHOD, results=table)
        assert ended(report, done=5 + whole, failed=1 - whole)
        row = rows(report)["a/\\xff.png"]
        assert row["status"] == ("done" if whole else "failed") and ("\\xff.png" in (row["message"] or "")) != whole
        assert (tmp_path / suffix / "a/\\xff.png").exists() == whole


@IN_PROCESS
def test_a_link_that_leads_nowhere_is_an_item_that_fails(photos: Path, tmp_path: Path) -> None:
    (photos / "images/gone.png").symlink_to("nowhere")
    write(photos / "masks/gone.png", mask())
    report = batch.run("harmonize", photos, tmp_path / "out", options=METHOD)
    assert ended(report, done=6, failed=1) and "no such file" in report.errors[0]["message"]


def test_masks_next_to_their_images_and_in_other_folders(tmp_path: Path) -> None:
    for name in ("in/x.jpg", "in/y/z.png", "in/x_mask.png", "in/y/z_mask.png", "in/lonely.png", "masks/x.png"):
        write(tmp_path / name, photo(0))
    beside = {item.name: item for item in items(tmp_path / "in")}
    assert set(beside) == {"x.jpg", "y/z.png", "lonely.png"}
    assert beside["y/z.png"].inputs["mask"] == str(tmp_path / "in/y/z_mask.png")
    assert "no lonely_mask.png next to it" in beside["lonely.png"].problem
    apart = {item.name: item for item in items(tmp_path / "in", mask=tmp_path / "masks")}
    assert apart["x.jpg"].inputs["mask"] == str(tmp_path / "masks/x.png") and not apart["x.jpg"].problem
    assert "none called y/z" in apart["y/z.png"].problem
    same = items(tmp_path / "in", mask=tmp_path / "masks/x.png")
    assert {item.inputs["mask"] for item in same} == {str(tmp_path / "masks/x.png")}


def test_images_are_known_by_their_bytes_and_other_files_are_counted(tmp_path: Path) -> None:
    for name in ("in/a.png", "in/b/c.png", "in/d.png", "in/e.png"):
        write(tmp_path / name, photo(0))
    (tmp_path / "in/d.png").rename(tmp_path / "in/d.photo")
    (tmp_path / "in/e.png").rename(tmp_path / "in/e")
    Image.fromarray(photo(1)).save(tmp_path / "in/b/f.jfif", "JPEG")
    for name in ("in/notes.txt", "in/b/list", "in/.hidden"):
        (tmp_path / name).write_text("no image")
    os.mkfifo(tmp_path / "in/pipe.png")
    with pytest.warns(PyHarmonyWarning, match=r"in: 3 files are no image .* left out: list, notes\.txt, pipe\.png$"):
        every = items(tmp_path / "in", "super-resolve")
    assert [item.name for item in every] == ["a.png", "b/c.png", "b/f.jfif", "d.photo", "e"]
    assert [item.out for item in every] == ["a.png", "b/c.png", "b/f.png", "d.photo.png", "e.png"]


TABLE = [
    {"image": "images/a/0.png", "mask": "masks/a/0.png", "strength": 0.5},
    {"image": "images/b/1.png", "mask": "masks/b/1.png", "out": "one/first.png", "name": "first"},
    {"image": "images/a/0.png", "mask": "masks/a/0.png"},
    {"image": "images/a/2.png", "mask": "masks/a/2.png", "out": "ONE/FIRST.PNG"},
    {"image": "images/a/2.png", "mask": "masks/a/2.png", "out": "../outside.png"},
    {"image": "images/a/2.png"},
    {"image": "images/a/2.png", "mask": "masks/a/2.png", "strength": "much"},
]


def as_csv(path: Path) -> None:
    with open(path, "w", newline="") as file:
        table = csv.DictWriter(file, ["Image", "mask", "strength", " OUT", "name"])
        table.writeheader()
        table.writerows({{"image": "Image", "out": " OUT"}.get(name, name): row[name] for name in row} for row in TABLE)


def as_jsonl(path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in TABLE))


def as_parquet(path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    # A column has one type.
    table = [{key: str(value) for key, value in row.items()} for row in TABLE]
    columns = {name: [row.get(name) for row in table] for name in ("image", "mask", "strength", "out", "name")}
    parquet.write_table(pyarrow.table(columns), path)


@IN_PROCESS
@GUARDED
@pytest.mark.parametrize(("suffix", "write_table"), [("csv", as_csv), ("jsonl", as_jsonl), ("parquet", as_parquet)])
def test_tables(suffix: str, write_table: Callable[[Path], None], photos: Path, tmp_path: Path) -> None:
    source = photos / f"table.{suffix}"
    write_table(source)
    report = batch.run("harmonize", source, tmp_path / "out", options=METHOD)
    assert ended(report, done=3, failed=4), report.errors
    results = rows(report)
    assert [row["output"] for row in results.values() if row["status"] == "done"] == [
        "images/a/0.png", "one/first.png", results["images/a/0.png#2"]["output"]
    ]  # fmt: skip
    assert re.fullmatch(r"images/a/0-[0-9a-f]{8}\.png", results["images/a/0.png#2"]["output"])
    expected = ph.harmonize(photo(0), mask(), method="reinhard", strength=0.5)
    np.testing.assert_array_equal(load(tmp_path / "out/images/a/0.png"), expected)
    texts = " ".join(error["message"] for error in report.errors)
    for part in ("is also the output of another item", "is outside the output folder", "mask is missing",
                 "strength 'much', expected"):  # fmt: skip
        assert part in texts


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("image,mask,Image\n", "column 'image' occurs twice"),
        ("image;mask\na;b\n", "there are image;mask; the file is separated by ';', expected ','"),
        ("image,mask\na.png\n", "line 2: 1 cells, expected 2"),
        ("image,mask\n", "no items"),
        ("", "has no columns, expected at least image, mask"),
        ("image,mask\n\xff", "expected UTF-8"),
        ("{", "line 1"),
        ("[1]\n", "expected an object"),
        ('{"image": 1', "line 1"),
        ("\n", "no items"),
    ],
)
def test_a_table_that_cannot_be_read(text: str, says: str, tmp_path: Path) -> None:
    source = tmp_path / ("table.jsonl" if text[:1] in ("{", "[", "\n") else "table.csv")
    source.write_bytes(text.encode("latin-1"))
    with pytest.raises(RunError, match=f"table.*{says}"):
        items(source)


@IN_PROCESS
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_other_columns_are_carried_and_names_may_differ(suffix: str, photos: Path, tmp_path: Path) -> None:
    rows = [
        {"Photo": f"images/a/{i}.png", "cover": f"masks/a/{i}.png", "image": "not this"}
        | {"caption": f"cat {i}", "id": 7 + i}
        for i in (0, 2)
    ]
    rows.append({**rows[0], "Photo": "none.png"})
    table = photos / f"table{suffix}"
    if suffix == ".parquet":
        parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
        dated = [{**row, "day": datetime.date(2026, 1, 2)} for row in rows]
        parquet.write_table(sys.modules["pyarrow"].Table.from_pylist(dated), table)
    elif suffix == ".jsonl":
        table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        with open(table, "w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    names = {"image": "Photo", "mask": "cover"}
    with pytest.warns(PyHarmonyWarning, match="no inputs or options, which the results repeat: image, caption, id"):
        report = batch.run("harmonize", table, tmp_path / "out", options=METHOD, columns=names,
                           results=tmp_path / "results.csv")  # fmt: skip
    assert ended(report, done=2, failed=1)
    with open(tmp_path / "results.csv") as file:
        records = [json.loads(row["record"])["columns"] for row in csv.DictReader(file)]
    expected = {"image": "not this", "caption": "cat 0", "id": "7" if suffix == ".csv" else 7}
    expected |= {"day": "2026-01-02"} if suffix == ".parquet" else {}
    assert records[0] == expected and records[1]["caption"] == "cat 2"
    assert report.errors[0]["columns"] == expected
    with pytest.raises(PyHarmonyError, match="columns: 'picture', expected some of image, mask, name, out"):
        batch.run("harmonize", table, tmp_path / "other", columns={"picture": "Photo"})
    if suffix != ".jsonl":  # which has no header
        with pytest.raises(PyHarmonyError, match="column 'photograph' is missing"):
            batch.run("harmonize", table, tmp_path / "third", columns={**names, "image": "photograph"})
    for wrong in ({"image": 3}, ["image"], {"": "a"}, "image=a"):
        with pytest.raises(PyHarmonyError, match=r"columns: .*expected a mapping"):
            batch.run("harmonize", table, tmp_path / "fourth", columns=wrong)  # type: ignore[arg-type]


def cell_of(option: Option, file: Path) -> tuple[str, Any]:
    """Returns a value of an option as it is in CSV, and as it is in JSON."""
    kind = option.type
    if isinstance(kind, Numbers):
        points = [[12, 8], [30, 40]]
        return {
            "X,Y": ("12,8", points[0]), "X,Y[,X,Y…]": ("12,8,30,40", points), "X,Y,X,Y…": ("12,8,30,40", points),
            "X,Y,W,H": ("1,2,30,40", [1, 2, 30, 40]), "Y|X,Y,X,Y": ("30", 30), "R,G,B": ("0.9,1,1.1", [0.9, 1.0, 1.1]),
            "N[,N…]": ("0,2", [0, 2]),
            "DX,DY,DX,DY,DX,DY,DX,DY": ("0,0,0.1,0,0,0,0,0", [[0, 0], [0.1, 0], [0, 0], [0, 0]]),
        }[kind.metavar]  # fmt: skip
    if isinstance(kind, Group):
        return "on", True
    if kind is IMAGE:
        return str(file), [str(file)]
    if kind is bool:
        return "yes", True
    if isinstance(kind, tuple):
        return kind[0], int(kind[0]) if kind[0].isdigit() else kind[0]
    number = (option.low or 0) + (0.5 if kind is float else 2)
    special = {"at": ("3,4", [3, 4]), "color_weight": ("0.5", 0.5)}
    # pandas has floats for whole numbers in a column with a missing one.
    return (f"{number}", float(number)) if kind in (int, float) else special.get(option.name, ("xue", "xue"))


def test_a_parquet_table_beyond_memory_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged file may state sizes that no machine has."""
    as_parquet(tmp_path / "t.parquet")

    def beyond(path: Path) -> None:
        raise MemoryError("malloc of size 2121100928 failed")

    monkeypatch.setattr(sys.modules["pyarrow.parquet"], "ParquetFile", beyond)
    with pytest.raises(RunError, match=r"t\.parquet: damaged, or its rows need more memory than is") as error:
        items(tmp_path / "t.parquet", "blend")
    assert error.value.exit_code is Code.RESOURCES


@pytest.mark.parametrize("operation", BATCHES)
def test_an_option_is_the_same_in_every_table_and_for_the_command(operation: str, tmp_path: Path) -> None:
    call, needs = BATCHES[operation], needs_of(Settings(operation, "out"))
    (tmp_path / "a.png").touch()
    paths = dict.fromkeys(needs.needed, "a.png")
    for option in call.flat:
        if option.name not in needs.options or option.replaced_by:
            continue
        text, value = cell_of(option, tmp_path / "a.png")
        with open(tmp_path / "t.csv", "w", newline="") as file:
            csv.writer(file).writerows([[*paths, option.name.replace("_", "-")], [*paths.values(), text]])
        (tmp_path / "t.jsonl").write_text(
            "".join(json.dumps({**paths, option.name: one}) + "\n" for one in (value, text, float("nan")))
        )
        (first,) = items(tmp_path / "t.csv", operation)
        assert not first.problem and set(first.options) == {option.name}
        *same, missing = items(tmp_path / "t.jsonl", operation)
        assert not missing.options and not missing.problem
        if importlib.util.find_spec("pyarrow"):
            import pyarrow.parquet

            table = pyarrow.table({name: [cell] for name, cell in {**paths, option.name: value}.items()})
            pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
            same += items(tmp_path / "t.parquet", operation)
        assert all(one.options == first.options for one in same), (option.name, [one.options for one in same])
        if not call.modes:
            flag = True if option.type is bool else text
            of_command = values_of(call, {option.name: [flag] if option.many or option.each else flag})
            assert call.grouped(first.options) == of_command


@IN_PROCESS
def test_files_among_the_options_of_a_row_are_those_of_its_folder(photos: Path, tmp_path: Path) -> None:
    row = {"src": "images/a/0.png", "dst": "images/a/2.png", "mask": "masks/a/0.png", "dst_valid": "valid.png"}
    (photos / "t.jsonl").write_text(json.dumps(row))
    write(photos / "valid.png", np.full((48, 64), 255, np.uint8))
    (item,) = items(photos / "t.jsonl", "blend")
    assert item.options == {"dst_valid": str(photos / "valid.png")}
    report = batch.run("blend", photos / "t.jsonl", tmp_path / "out")
    assert ended(report, done=1), report.errors
    write(photos / "valid.png", np.where(mask() > 0, 255, 0).astype(np.uint8))
    assert batch.run("blend", photos / "t.jsonl", tmp_path / "out", resume=True).changed == 1


def test_an_output_without_the_suffix_of_an_image_gets_one(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(
        "".join(json.dumps({"image": "a.jpg", "out": out}) + "\n" for out in ("x", "y.v2", "z.PNG"))
    )
    assert [item.out for item in items(tmp_path / "t.jsonl", "super-resolve")] == ["x.jpg", "y.v2.jpg", "z.PNG"]


@IN_PROCESS
def test_shards_beside_images_and_in_folders_with_strange_names(tmp_path: Path) -> None:
    folder = tmp_path / "x.tar"
    folder.mkdir()
    with tarfile.open(folder / "y.TAR", "w") as file:
        data = io.BytesIO()
        Image.fromarray(photo(0)).save(data, "png")
        for name in ("./a.tar/0.png", "./ü b/1.PNG"):
            entry = tarfile.TarInfo(name)
            entry.size = len(data.getvalue())
            file.addfile(entry, io.BytesIO(data.getvalue()))
    report = batch.run("super-resolve", folder, tmp_path / "out", options={"method": "bicubic"}, jobs=1)
    assert ended(report, done=2), report.errors
    write(folder / "sub/a.png", photo(0))
    with pytest.raises(RunError, match=r"has shards, such as y.TAR, and images, such as sub/a.png"):
        items(folder, "super-resolve")


@IN_PROCESS
def test_a_damaged_shard_is_a_record_and_stops_no_other(tmp_path: Path) -> None:
    """Its samples before the damage are done; when it is whole again, the rest is, and the record is gone."""
    (tmp_path / "in").mkdir()
    encoded = []
    for number in range(3):
        write(tmp_path / "photo.png", photo(number))
        encoded.append((tmp_path / "photo.png").read_bytes())
    for shard in "abc":
        with tarfile.open(tmp_path / f"in/{shard}.tar", "w") as file:
            for number, data in enumerate(encoded):
                entry = tarfile.TarInfo(f"{number}.png")
                entry.size = len(data)
                file.addfile(entry, io.BytesIO(data))
    whole = (tmp_path / "in/b.tar").read_bytes()
    size = sum(512 + 512 * (-(-len(data) // 512)) for data in encoded[:2]) + 700  # within the data of the third file
    run = functools.partial(batch.run, "super-resolve", tmp_path / "in", tmp_path / "out", jobs=1)
    run = functools.partial(run, options={"method": "bicubic"})
    for damaged, count, name in ((whole[:size], 7, "b/1"), (b"no tar file" * 100, 6, "b")):
        (tmp_path / "in/b.tar").write_bytes(damaged)
        report = run(restart=(tmp_path / "out").exists())
        assert ended(report, done=count, failed=1)
        (error,) = (row for row in rows(report).values() if row["status"] == "failed")
        assert error["name"] == name and error["message"].startswith("b.tar: ")
        assert error["message"].endswith("; its samples from here on cannot be read")
    (tmp_path / "in/b.tar").write_bytes(whole)
    report = run(resume=True)
    assert ended(report, done=9), report.errors


@IN_PROCESS
def test_samples_of_shards(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for shard in range(2):
        with tarfile.open(tmp_path / f"in/{shard}.tar", "w") as file:
            for number in range(3):
                for field, pixels in (("jpg", photo(number)), ("mask.png", mask())):
                    data = io.BytesIO()
                    Image.fromarray(pixels).save(data, "png" if "png" in field else "jpeg")
                    entry = tarfile.TarInfo(f"x/{number}.{field}")
                    entry.size = len(data.getvalue())
                    file.addfile(entry, io.BytesIO(data.getvalue()))
    report = batch.run("harmonize", tmp_path / "in", tmp_path / "out", options=METHOD, format="png")
    assert ended(report, done=6), report.errors
    assert sorted(rows(report)) == [f"{shard}/x/{number}" for shard in range(2) for number in range(3)]
    assert load(tmp_path / "out/1/x/2.png").shape == (48, 64, 3)


@IN_PROCESS
@pytest.mark.parametrize("operation", ["harmonize", "synth"])
def test_outputs_in_shards(operation: str, photos: Path, tmp_path: Path) -> None:
    (photos / "images/b/3.png").write_bytes(b"")
    options = METHOD if operation == "harmonize" else {}
    report = batch.run(operation, photos, tmp_path / "out", options=options, per_shard=2)
    assert ended(report, done=5, failed=1)
    assert sorted(path.name for path in (tmp_path / "out").glob("*.tar")) == ["000000.tar", "000001.tar", "000002.tar"]
    assert not list((tmp_path / "out").rglob("*.png"))
    batch.run(operation, photos, tmp_path / "files", options=options)
    roles = ("composite", "mask", "target") if operation == "synth" else ("",)
    contents: dict[str, bytes] = {}
    for path in sorted((tmp_path / "out").glob("*.tar")):
        with tarfile.open(path) as file:
            members = {member.name: file.extractfile(member).read() for member in file}  # type: ignore[union-attr]
        assert len(members) <= 2 * (len(roles) + 1)
        for name in [name for name in members if name.endswith(".json")]:
            for role in roles:
                data = members[f"{name[:9]}.{role}{'.' if role else ''}png"]
                contents[os.path.join(role, json.loads(members[name])["name"])] = data
    assert len(contents) == 5 * len(roles)
    for name, data in contents.items():
        assert (tmp_path / "files" / name).read_bytes() == data
    assert {row["shard"] for row in rows(report).values() if row["status"] == "done"} in ({"0", "1", "2"}, {0, 1, 2})
    whole = durability.digests(tmp_path / "out")
    again = batch.run(operation, photos, tmp_path / "out", options=options, per_shard=2, resume=True)
    assert ended(again, done=5, failed=1)
    assert all(durability.digests(tmp_path / "out")[name] == whole[name] for name in whole if name.endswith(".tar"))
    write(photos / "images/a/0.png", photo(30))
    with pytest.raises(RunError, match="has changed since its shard was written"):
        batch.run(operation, photos, tmp_path / "out", options=options, per_shard=2, resume=True)
    restarted = batch.run(operation, photos, tmp_path / "out", options=options, per_shard=5, restart=True)
    assert ended(restarted, done=5, failed=1)
    assert [path.name for path in (tmp_path / "out").glob("*.tar")] == ["000000.tar"]


@IN_PROCESS
def test_a_shard_that_was_begun_is_written_again(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyharmony.runs.batch import _packing

    def full(*_: object) -> str:
        raise RunError("the disk is full", Code.RESOURCES)

    with monkeypatch.context() as patch:
        patch.setattr(_packing, "_write", full)
        with pytest.raises(RunError, match="the disk is full"):
            batch.run("harmonize", photos, tmp_path / "out", options=METHOD, per_shard=3)
    assert not list((tmp_path / "out").glob("*.tar"))
    report = batch.run("harmonize", photos, tmp_path / "out", options=METHOD, per_shard=3, resume=True)
    assert ended(report, done=6)
    assert len(list((tmp_path / "out").glob("*.tar"))) == 2 and not list((tmp_path / "out").rglob("*.png"))


# Masks


@IN_PROCESS
@pytest.mark.parametrize(("values", "text"), [((0, 7), "looks like a label map"), ((3, 255), "expected 0 outside")])
def test_what_is_no_mask_is_an_error(values: tuple[int, int], text: str, photos: Path, tmp_path: Path) -> None:
    write(photos / "masks/a/0.png", np.where(mask() > 0, *values[::-1]).astype(np.uint8))
    report = batch.run("harmonize", photos, tmp_path / "out", options=METHOD)
    assert ended(report, done=5, failed=1)
    assert text in report.errors[0]["message"] and report.errors[0]["name"] == "a/0.png"


@IN_PROCESS
def test_a_mask_of_a_run_is_read_as_by_the_library(photos: Path, tmp_path: Path) -> None:
    """Noise of JPEG around the object is black; areas of labels below white and a coloured image are refused."""
    noisy = np.random.default_rng(0).integers(1, 5, mask().shape, dtype=np.uint8)
    (photos / "masks/a/0.png").unlink()
    Image.fromarray(np.where(mask() > 0, 255, noisy).astype(np.uint8)).save(photos / "masks/a/0.jpg", quality=95)
    labels = np.repeat(np.array([0, 60, 120, 255], np.uint8), 12)[:, None].repeat(64, 1)
    write(photos / "masks/b/1.png", labels)
    write(photos / "masks/a/2.png", np.dstack([mask(), mask() * 0, mask()]))
    report = batch.run("harmonize", photos, tmp_path / "out", options=METHOD)
    assert ended(report, done=4, failed=2), report.errors
    texts = {error["name"]: error["message"] for error in report.errors}
    assert "areas of 2 values below white (60, 120): it looks like a label map" in texts["b/1.png"]
    assert "a colour image, expected a grey image" in texts["a/2.png"]


# Limits


def test_a_worker_that_is_stopped_is_replaced(photos: Path, tmp_path: Path) -> None:
    def halt(now: Progress) -> None:
        if now.done == 1:
            for child in durability.children_of(os.getpid()):
                os.kill(child, signal.SIGSTOP)

    report = batch.run("harmonize", photos, tmp_path / "out", options=METHOD, time_limit=3, progress=halt)
    assert ended(report, done=6 - len(report.errors), failed=len(report.errors)) and len(report.errors) <= 1


def test_an_item_that_hangs_is_stopped(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, time\n"
        "def hangs(event, arguments):\n"
        "    if event == 'open' and str(arguments[0]).endswith('images/a/2.png'):\n"
        "        time.sleep(100)\n"
        "if '-c' in sys.orig_argv:\n"
        "    sys.addaudithook(hangs)\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    report = batch.run("harmonize", photos, tmp_path / "out", options=METHOD, time_limit=3)
    assert ended(report, done=5, failed=1)
    assert report.errors[0]["kind"] == "timeout" and "longer than 3 s" in report.errors[0]["message"]


def test_an_item_that_needs_too_much_memory_has_failed(tmp_path: Path) -> None:
    for name, side in (("large", 6000), ("small", 64)):
        write(tmp_path / f"in/images/{name}.png", np.full((side, side, 3), 90, np.uint8))
        write(tmp_path / f"in/masks/{name}.png", mask((side, side)))
    report = batch.run("harmonize", tmp_path / "in", tmp_path / "out", options=METHOD, max_memory=256 << 20)
    assert ended(report, done=1, failed=1), report.errors
    assert report.errors[0]["name"] == "large.png" and report.errors[0]["kind"] in ("out_of_memory", "OutOfMemory")


def test_an_item_that_kills_its_worker_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of one's own that ends the process, as a fault in native code would.

    What was written beside it, and not reported, is written again: only the folder of begun files tells whose it is.
    """
    for number in range(4):
        write(tmp_path / f"{number}.png", photo(number))
        write(tmp_path / f"{number}_mask.png", mask())
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys, time\n"
        "def ends(event, arguments):\n"
        "    if event == 'open' and str(arguments[0]).endswith('/2.png'):\n"
        "        ends_at = time.monotonic() + 5\n"
        f"        while not os.path.exists({str(tmp_path / 'out/0.png')!r}) and time.monotonic() < ends_at:\n"
        "            time.sleep(0.0005)\n"
        "        os._exit(9)\n"
        "if '-c' in sys.orig_argv:\n"
        "    sys.addaudithook(ends)\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    orders = []
    for number in range(4):
        inputs = {"image": str(tmp_path / f"{number}.png"), "mask": str(tmp_path / f"{number}_mask.png")}
        orders.append(Order(number, Item(str(number), inputs, {}, f"{number}.png"), False))
    (tmp_path / "begun").mkdir()
    settings = Settings("harmonize", str(tmp_path / "out"), METHOD, begun=str(tmp_path / "begun"))
    with Pool(settings, 2) as pool:
        outcomes = {outcome.number: outcome for outcome in pool.outcomes(orders)}
    assert {number for number, outcome in outcomes.items() if outcome.is_error} == {2}
    assert outcomes[2].record["kind"] == "worker_died" and "status 9" in outcomes[2].record["message"]


def test_workers_that_do_not_start_are_named(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="the workers do not start"):
        batch.run("harmonize", photos, tmp_path / "out", max_memory=1 << 20)


# Progress


@pytest.mark.slow
def test_the_time_left_is_right_after_a_twentieth(tmp_path: Path) -> None:
    """Within a fifth, of items of one size; the worker's start is not counted."""
    for number in range(60):
        write(tmp_path / f"in/images/{number:03}.png", photo(number, (240, 320)))
        write(tmp_path / f"in/masks/{number:03}.png", mask((240, 320)))
    steps: list[tuple[float, Progress]] = []
    batch.run("harmonize", tmp_path / "in", tmp_path / "out", options=METHOD,
              progress=lambda now: steps.append((time.process_time(), now)))  # fmt: skip
    assert [step.done for _, step in steps] == list(range(1, 61))
    assert steps[-1][1].seconds_left == 0 and all(step.total == 60 for _, step in steps)
    # By the rate of the whole run, as a busy machine is not what is tested.
    final = steps[-1][1].rate
    for _, step in steps[4:40]:
        assert step.seconds_left * step.rate == pytest.approx(60 - step.done, rel=0.2)
    assert final > 0


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "5 s"), (600, "10 min"), (7500, "2 h 05 min"), (np.inf, "unknown time")]
)
def test_times_are_written_in_words(seconds: float, text: str) -> None:
    assert duration(seconds) == text


# The command


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pyharmony", "batch", *map(str, arguments), "--jobs", "1"],
        capture_output=True,
        text=True,
    )


def command_here(*arguments: object) -> Result:
    """Runs the command in this process, which takes half a second less."""
    return CliRunner().invoke(app, ["batch", *map(str, arguments)])


def test_the_command_takes_other_names_of_columns(photos: Path, tmp_path: Path) -> None:
    (photos / "table.csv").write_text("photo,cover\nimages/a/0.png,masks/a/0.png\n")
    names = "--column", "image=photo", "--column", "mask=cover"
    process = command("harmonize", photos / "table.csv", "-o", tmp_path / "out", "--method", "reinhard", *names)
    assert process.returncode == 0, process.stderr
    result = next((tmp_path / "out").rglob("0.png"))
    before = result.read_bytes()
    result.write_bytes(before[:-1] + b"?")
    verified = command("harmonize", photos / "table.csv", "-o", tmp_path / "out", "--method", "reinhard", *names,
                       "--resume", "--verify")  # fmt: skip
    assert verified.returncode == 0 and "1 of them again" in verified.stderr
    assert result.read_bytes() == before
    wrong = command_here("harmonize", photos / "table.csv", "-o", tmp_path / "other", "--column", "image")
    assert wrong.exit_code == 2 and "--column: 'image', expected NAME=COLUMN" in wrong.stderr
    assert not (tmp_path / "other").exists()


def test_the_command_says_what_failed(photos: Path, tmp_path: Path) -> None:
    (photos / "images/a/0.png").write_bytes(b"")
    process = command("harmonize", photos, "-o", tmp_path / "out", "--method", "reinhard", "--json", "--results",
                   tmp_path / "table.csv")  # fmt: skip
    assert process.returncode == 5, process.stderr
    answer = json.loads(process.stdout)
    assert answer["status"] == "some failed" and answer["counts"]["failed"] == 1
    assert answer["errors"][0]["name"] == "a/0.png" and "a/0.png: image (" in process.stderr
    assert "1 of 6 images failed" in process.stderr
    with open(tmp_path / "table.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 6
    again = command("harmonize", photos, "-o", tmp_path / "out", "--method", "reinhard", "--resume")
    assert again.returncode == 5 and "5 done, 1 failed" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--shard", "3/2"), "--shard: '3/2', expected I/N, such as 2/8"),
        (("--max-memory", "much"), "--max-memory: 'much', expected a size such as 4G"),
        (("--retry-failed",), "--retry-failed needs --resume"),
        (("--resume", "--restart"), "exclude each other"),
        (("--with", "mask"), "expected INPUT=PATH"),
        (("--with", "colour=x"), "--with: 'colour', expected some of mask"),
        (("--method", "reinhart"), "--method: 'reinhart', expected one of"),
        (("--format", "gif"), "format: 'gif', expected one of"),
        (("--max-pixels", "lots"), "--max-pixels: 'lots', expected a number"),
        (("--strength", "3"), "--strength"),
    ],
)
def test_options_that_are_refused(arguments: tuple[str, ...], says: str, photos: Path, tmp_path: Path) -> None:
    result = command_here("harmonize", photos, "-o", tmp_path / "out", *arguments)
    assert result.exit_code == 2 and says in result.stderr, result.stderr


@IN_PROCESS
def test_how_files_are_written(photos: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x8825] = {1: "N"}
    (tmp_path / "one").mkdir()
    Image.fromarray(photo(0)).save(tmp_path / "one/0.jpg", exif=exif)
    write(tmp_path / "one/0_mask.png", mask())
    options = ("--method", "reinhard", "--threads", "2", "--time-limit", "60", "--device", "cpu")
    run = ("harmonize", tmp_path / "one", *options)
    sizes, places = [], []
    for number, more in enumerate((("--quality", "30"), ("--quality", "95", "--keep-gps", "--engine", "local"))):
        result = command_here(*run, "--output", tmp_path / str(number), *more)
        assert result.exit_code == 0, result.stderr
        with Image.open(tmp_path / f"{number}/0.jpg") as picture:
            places.append(dict(picture.getexif().get_ifd(0x8825)))
        sizes.append((tmp_path / f"{number}/0.jpg").stat().st_size)
    assert places == [{}, {1: "N"}] and sizes[0] < sizes[1]
    write(tmp_path / "theirs/0.jpg", photo(5))
    result = command_here(*run, "--output", tmp_path / "theirs", "--on-exist", "skip")
    assert result.exit_code == 0 and "1 skipped" in result.stderr
    results = []
    for seed in (1, 1, 2):
        output = tmp_path / f"synth{len(results)}"
        result = command_here("synth", photos, "-o", output, "--size", "32", "--seed", seed)
        assert result.exit_code == 0, result.stderr
        results.append(load(output / "composite/a/0.png"))
    assert results[0].shape == (32, 32, 3)
    assert np.array_equal(results[0], results[1]) and not np.array_equal(results[0], results[2])


def test_messages_as_they_are_asked_for(photos: Path, tmp_path: Path) -> None:
    quiet = command("harmonize", photos, "-o", tmp_path / "quiet", "--method", "reinhard", "--quiet")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    lines = command("harmonize", photos, "-o", tmp_path / "json", "--method", "reinhard", "--log-json", "--verbose")
    assert [json.loads(line)["level"] for line in lines.stderr.splitlines()][-1] == "info"
    again = command("harmonize", photos, "-o", tmp_path / "json", "--method", "reinhard", "--debug")
    assert again.returncode == 2 and "Traceback" in again.stderr and "--resume continues it" in again.stderr


def test_a_read_only_output_is_named(photos: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        output = Path("/proc/out")  # root may write everywhere else
    else:
        (tmp_path / "closed").mkdir(mode=0o500)
        output = tmp_path / "closed/out"
    with pytest.raises(RunError, match="cannot be written"):
        batch.run("harmonize", photos, output)


def timeless(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in item.items() if key != "ms"} for item in items]


@pytest.mark.parametrize("command_", ["harmonize", pytest.param("blend", marks=pytest.mark.slow)])
def test_a_list_by_several_processes_is_the_same(command_: str, photos: Path, tmp_path: Path) -> None:
    (photos / "images/a/0.png").write_bytes(b"")
    header, dst = ("src,dst,mask", ",images/b/1.png") if command_ == "blend" else ("image,mask", "")
    rows_ = [f"images/{name}.png{dst},masks/{name}.png,{name}.png" for name in ("a/0", "a/2", "b/1", "b/3", "b/5")]
    rows_.append(f"images/a/4.png{dst},masks/b/none.png,a/4.png")
    (photos / "list.csv").write_text("\n".join([f"{header},out", *rows_]) + "\n")
    answers = []
    for jobs in (1, 3):
        output = tmp_path / f"out{jobs}"
        process = subprocess.run(
            [sys.executable, "-m", "pyharmony", command_, "--list", photos / "list.csv", "-o", output, "--json",
             "--jobs", str(jobs)], capture_output=True, text=True,
        )  # fmt: skip
        assert process.returncode == 5, process.stderr
        answers.append(json.loads(process.stdout.replace(str(output), "OUT")))
    for item in (one for answer in answers for one in answer["items"]):
        item.get("harmonize", {}).pop("peak_bytes", None)  # the first item of a process loads the network
    first, second = answers
    assert timeless(first["items"]) == timeless(second["items"])
    assert first["failed"] == second["failed"] == 2
    for name in ("a/2", "b/1", "b/3", "b/5"):
        np.testing.assert_array_equal(load(tmp_path / f"out1/{name}.png"), load(tmp_path / f"out3/{name}.png"))


# What others do meanwhile

#: The pictures of a run that is stopped after the first: enough that most of them are not written then.
_INTERRUPTED_IMAGES = 40


def many(folder: Path) -> Path:
    """Writes pictures with masks in two folders."""
    for number in range(_INTERRUPTED_IMAGES):
        name = f"{'ab'[number % 2]}/{number:02}.png"
        write(folder / "images" / name, photo(number))
        write(folder / "masks" / name, mask())
    return folder


def stopped_workers() -> list[int]:
    """Stops the workers of this process, and returns them when they stand."""
    workers = durability.children_of(os.getpid())
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    while any(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[0] != "T" for worker in workers):
        time.sleep(0.001)
    return workers


#: What another program writes at outputs: a picture, nothing, a text.
def foreign(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(photo(900 + number)).save(buffer, "png")
    return (buffer.getvalue(), b"", b"of another program")[number % 3]


#: A run in a process of its own: after its first item another program writes at each output in a folder that is not
#: there; then the run is killed, or goes on.
INTRUDED = """
import os, signal, sys
from pathlib import Path
from pyharmony import batch
from tests.runs.test_batch import METHOD, foreign, stopped_workers

operation, source, output, folder, kill = sys.argv[1:]

def intrude(now):
    if now.done > 1:
        return
    workers = stopped_workers()
    for image in sorted(Path(source, "images").rglob("*.png")):
        out = Path(folder) / image.relative_to(Path(source, "images"))
        out.parent.mkdir(parents=True, exist_ok=True)
        if not out.exists():
            out.write_bytes(foreign(int(out.stem)))
            print(out, flush=True)
    print(*workers, file=sys.stderr, flush=True)
    if kill:
        os.kill(os.getpid(), signal.SIGKILL)
    for worker in workers:
        os.kill(worker, signal.SIGCONT)

batch.run(operation, source, output, options=METHOD if operation == "harmonize" else {}, progress=intrude)
"""


@pytest.mark.parametrize("kill", ["", "kill"])
@pytest.mark.parametrize("operation", ["harmonize", pytest.param("synth", marks=pytest.mark.slow)])
def test_what_another_program_writes_after_a_claim_is_kept(operation: str, kill: str, tmp_path: Path) -> None:
    """Whether the run goes on or is killed, the file is neither replaced nor deleted, then or by later runs."""
    source, output = many(tmp_path / "in"), tmp_path / "out"
    folder = output / "target" if operation == "synth" else output  # the last file of an item
    with open(tmp_path / "written", "w+") as stdout, open(tmp_path / "log", "w+") as log:
        command = [sys.executable, "-c", INTRUDED, operation, source, output, folder, kill]
        code = subprocess.run(command, stdout=stdout, stderr=log, timeout=120).returncode
        stdout.seek(0), log.seek(0)
        files = {Path(line): b"" for line in stdout.read().splitlines()}
        text = log.read()
    assert code == (-signal.SIGKILL if kill else 0), text
    for worker in text.split() if kill else ():
        with contextlib.suppress(ProcessLookupError):  # it may hear that its parent is gone before
            os.kill(int(worker), signal.SIGCONT)
        while Path(f"/proc/{worker}/cmdline").exists() and Path(f"/proc/{worker}/cmdline").read_bytes():
            time.sleep(0.01)
    assert len(files) > _INTERRUPTED_IMAGES // 4
    before = {file: (file.stat().st_ino, file.stat().st_mtime_ns) for file in files}
    for again in ({}, {"retry_failed": True}):
        options = METHOD if operation == "harmonize" else {}
        report = batch.run(operation, source, output, options=options, resume=True, **again)
        assert ended(report, done=_INTERRUPTED_IMAGES - len(files), failed=len(files))
        failed = {name for name, row in rows(report).items() if row["status"] == "failed"}
        assert failed == {str(file.relative_to(folder)) for file in files}
        assert all("exists" in error["message"] for error in report.errors)
        for file, stat in before.items():
            assert (file.stat().st_ino, file.stat().st_mtime_ns) == stat
            assert file.read_bytes() == foreign(int(file.stem))
        roles = ("composite", "mask", "target") if operation == "synth" else ("",)
        names = {str(path.relative_to(output)) for path in output.rglob("*.p*") if ".pyharmony-batch" not in path.parts}
        whole = {os.path.join(role, name) for role in roles for name in set(rows(report)) - failed}
        assert names - {"results.parquet"} == whole | {str(file.relative_to(output)) for file in files}


@pytest.mark.parametrize("target", ["another folder", "the folder itself, elsewhere"])
@pytest.mark.parametrize("operation", ["harmonize", pytest.param("synth", marks=pytest.mark.slow)])
def test_a_folder_that_becomes_a_link_during_a_run(operation: str, target: str, tmp_path: Path) -> None:
    """Nothing is written or deleted through the link; the items are errors, which later runs compute."""
    source, output, elsewhere = many(tmp_path / "in"), tmp_path / "out", tmp_path / "elsewhere"
    folder = output / ("target/b" if operation == "synth" else "b")
    before: dict[str, Any] = {}
    if target == "another folder":
        for number in range(1, _INTERRUPTED_IMAGES, 4):
            write(elsewhere / f"{number:02}.png", photo(70))

    def swap(now: Progress) -> None:
        if before or not folder.is_dir():
            return
        workers = stopped_workers()
        folder.rename(tmp_path / "moved" if elsewhere.exists() else elsewhere)
        before.update(durability.digests(elsewhere), at=elsewhere.stat().st_mtime_ns)
        folder.symlink_to(elsewhere)
        for worker in workers:
            os.kill(worker, signal.SIGCONT)

    options = METHOD if operation == "harmonize" else {}
    report = batch.run(operation, source, output, options=options, progress=swap)
    after = {**durability.digests(elsewhere), "at": elsewhere.stat().st_mtime_ns}
    if target == "another folder":
        assert after == before
    else:  # a file whose last step it was then gets its name in the same folder
        assert {name: after.get(name) for name in before if name.endswith(".png")} == {
            name: before[name] for name in before if name.endswith(".png")
        }
    assert (
        report.counts["failed"] >= _INTERRUPTED_IMAGES // 4
        and report.counts["done"] == _INTERRUPTED_IMAGES - report.counts["failed"]
    )
    assert all(error["name"].startswith("b/") for error in report.errors)
    there = {f"b/{Path(name).name}" for name in before} if target == "another folder" else set()
    others = [
        error["message"] for error in report.errors
        if "a link" not in error["message"] and not (error["name"] in there and "exists" in error["message"])
    ]  # fmt: skip
    assert len(others) <= 1, others  # the one that was being written
    for again in ({}, {"retry_failed": True}):
        again = batch.run(operation, source, output, options=options, resume=True, **again)
        assert not again.counts["skipped"] and again.counts["failed"]
        assert {**after, **durability.digests(elsewhere)} == {**durability.digests(elsewhere), **after}
    folder.unlink()
    report = batch.run(operation, source, output, options=options, resume=True, retry_failed=True)
    assert ended(report, done=_INTERRUPTED_IMAGES) and len(list(folder.glob("*.png"))) == _INTERRUPTED_IMAGES // 2


def test_a_file_begun_behind_a_new_link_is_removed(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    for folder in (root / "b", root / "begun", elsewhere):
        folder.mkdir(parents=True)
    unfinished = Begun(str(root / "begun"))

    def write_behind() -> None:
        with unfinished.recording(1, 0, str(root / "b/1.png"), str(root)):
            (root / "b").rmdir()  # fails the second time, when it is a link
            (root / "b").symlink_to(elsewhere)
            ph.io.write(ph.io.Picture(photo(1)), root / "b/1.png")

    for _ in range(2):
        with pytest.raises(RunError, match="a link"):
            write_behind()
    assert not list(elsewhere.iterdir()) and not list((root / "begun").iterdir())


def test_a_whole_shard_with_the_inode_of_another_is_not_what_is_left_of_it(tmp_path: Path) -> None:
    write(tmp_path / "0.png", photo(0))
    shard = tmp_path / "000000.tar"
    with tarfile.open(shard, "w") as file:
        file.add(tmp_path / "0.png", "0.png")
    mark = Mark(shard.stat().st_ino, 1 << 20, "")
    assert not is_own(str(shard), str(tmp_path), mark)
    whole = shard.read_bytes()
    for size in (0, 300, 512, len(whole) // 2):
        shard.write_bytes(whole[:size].rstrip(b"\0"))
        assert is_own(str(shard), str(tmp_path), mark), size


READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" || exit 99; shift; exec "$@"'


@IN_PROCESS
@pytest.mark.parametrize(
    ("again", "place"),
    [
        ("", "b"),
        ("--resume", ".pyharmony-batch/ledger.sqlite"),
        *(
            pytest.param(again, place, marks=pytest.mark.slow)
            for again, place in (
                ("", ""),
                ("", ".pyharmony-batch"),
                ("--resume", "b"),
                ("--restart", ""),
                ("--resume", ".pyharmony-batch/ledger.lock"),
            )
        ),
    ],
)
def test_a_read_only_disk_ends_a_run_with_code_4(place: str, again: str, photos: Path, tmp_path: Path) -> None:
    """No item has failed, nothing has changed, and the run is continued when the disk takes writes again."""
    spaces = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    if not shutil.which("unshare") or subprocess.run([*spaces, "sh", "-c", READ_ONLY, "", photos, "true"]).returncode:
        pytest.skip("a process here may not have mounts of its own")
    arguments = ("harmonize", photos, "-o", tmp_path / "out", "--method", "reinhard")
    if again:
        assert ended(batch.run("harmonize", photos, tmp_path / "out", options=METHOD), done=6)
        if place == "b":  # these are computed again
            for file in (tmp_path / "out/b").iterdir():
                file.unlink()
    (tmp_path / "out" / place).mkdir(parents=True, exist_ok=True) if "ledger." not in place else None
    before = durability.digests(tmp_path / "out" / place) if "ledger." not in place else {}
    process = subprocess.run(
        [*spaces, "sh", "-c", READ_ONLY, "", tmp_path / "out" / place, sys.executable, "-m", "pyharmony", "batch",
         *arguments, *([again] if again else [])],
        capture_output=True, text=True,
    )  # fmt: skip
    assert process.returncode == 4 and "read-only" in process.stderr and "--resume continues" in process.stderr, (
        process.stderr
    )
    assert "Traceback" not in process.stderr
    if before or place == "b":
        assert durability.digests(tmp_path / "out" / place) == before
    if place == "b":
        (results,) = (tmp_path / "out").glob("results.*")
        assert {row["status"] for row in durability.rows_of(results)} <= {"done", "pending"}
    report = batch.run("harmonize", photos, tmp_path / "out", options=METHOD, resume=True)
    assert ended(report, done=6)


@IN_PROCESS
@pytest.mark.parametrize("place", ["", *(f".pyharmony-batch{name}" for name in ("", "/ledger.lock", "/ledger.sqlite"))])
def test_a_folder_that_may_not_be_written_is_named(place: str, photos: Path) -> None:
    """The superuser may write everywhere: it is another one for this test."""
    shutil.rmtree(shared := Path(tempfile.gettempdir(), f"pyharmony-test-{os.getpid()}"), ignore_errors=True)
    shutil.copytree(photos, shared / "in")
    try:
        if place:
            batch.run("harmonize", shared / "in", shared / "out", options=METHOD)
        else:
            (shared / "out").mkdir()
        for path in (shared, *shared.rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o666)
        locked = shared / "out" / place
        locked.chmod(0o555 if locked.is_dir() else 0o444)
        before = durability.digests(shared / "out")
        user = os.geteuid()
        os.seteuid(65534 if user == 0 else user)
        try:
            says = "cannot be written: permission denied|it, its folder or its disk is read-only"
            with pytest.raises(RunError, match=says) as error:
                batch.run("harmonize", shared / "in", shared / "out", options=METHOD, resume=bool(place))
        finally:
            os.seteuid(user)
        by_sqlite = place == ".pyharmony-batch"
        assert error.value.exit_code == (Code.RESOURCES if by_sqlite else Code.UNEXPECTED)
        assert str(shared / "out") in str(error.value)
        after = durability.digests(shared / "out")
        assert {name: after.get(name) for name in before} == before
    finally:
        for path in (shared, *shared.rglob("*")):
            path.chmod(0o777)
        shutil.rmtree(shared)


@IN_PROCESS
@pytest.mark.parametrize("damage", ["damaged", "cut", "empty"])
def test_the_ledger_of_a_part_is_repaired_without_the_others(damage: str, photos: Path, tmp_path: Path) -> None:
    run = functools.partial(batch.run, "harmonize", photos, tmp_path / "out", options=METHOD)
    reports = [run(shard=(part, 2)) for part in (1, 2)]
    assert sum(report.counts["done"] for report in reports) == 6 and all(report.counts["done"] for report in reports)
    ledger = tmp_path / "out/.pyharmony-batch/ledger-2-of-2.sqlite"
    whole = ledger.read_bytes()
    outputs = durability.digests(tmp_path / "out/a") | durability.digests(tmp_path / "out/b")
    ledger.write_bytes(
        {"damaged": whole[:100] + b"?" * 4000 + whole[4100:], "cut": whole[:5000], "empty": b"no"}[damage]
    )
    with pytest.raises(RunError, match=r"ledger-2-of-2\.sqlite: the ledger is damaged") as error:
        run(shard=(2, 2), resume=True)
    assert error.value.code == "damaged-ledger" and "ledger-1" not in str(error.value)
    assert f"delete {ledger}" in error.value.hint and "the folder" not in error.value.hint
    assert ended(run(shard=(1, 2), resume=True), done=reports[0].counts["done"])  # the other part goes on
    ledger.write_bytes(whole)  # from a backup
    again = run(shard=(2, 2), resume=True)
    assert again.counts == reports[1].counts and not again.changed
    ledger.unlink()  # as the hint says
    again = run(shard=(2, 2), resume=True, on_exist="skip")
    assert ended(again, skipped=reports[1].counts["done"])
    assert outputs == durability.digests(tmp_path / "out/a") | durability.digests(tmp_path / "out/b")


@IN_PROCESS
@pytest.mark.parametrize("damage", ["cut", "empty", "gone", "other"])
def test_a_shard_that_was_damaged_is_written_again(damage: str, photos: Path, tmp_path: Path) -> None:
    for image in (photos / "images").rglob("*.png"):
        write(image, np.random.default_rng(int(image.stem)).integers(40, 200, (48, 640, 3)).astype(np.uint8))
        write(photos / "masks" / image.relative_to(photos / "images"), mask((48, 640)))
    run = functools.partial(batch.run, "harmonize", photos, tmp_path / "out", options=METHOD, per_shard=2)
    assert ended(run(), done=6)
    shard, others = tmp_path / "out/000001.tar", [tmp_path / f"out/00000{number}.tar" for number in (0, 2)]
    whole, stats = shard.read_bytes(), [(path.stat().st_ino, path.stat().st_mtime_ns) for path in others]
    if damage == "other":  # a whole tar file of another program, which is moved away
        other = io.BytesIO()
        with tarfile.open(fileobj=other, mode="w") as file:
            file.add(photos / "masks/a/0.png", "0.png")
        assert len(other.getvalue()) < len(whole)
        shard.unlink()
        shard.write_bytes(other.getvalue())
        with pytest.raises(RunError, match="is no longer the shard that the run wrote") as error:
            run(resume=True)
        assert error.value.code == "exists" and error.value.hint == "move it elsewhere"
        assert shard.read_bytes() == other.getvalue()
        shard.rename(tmp_path / "moved.tar")
    else:
        shard.unlink() if damage == "gone" else shard.write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"")
    report = run(resume=True)
    assert ended(report, done=6) and report.changed == 2
    assert [(path.stat().st_ino, path.stat().st_mtime_ns) for path in others] == stats
    with tarfile.open(fileobj=io.BytesIO(whole)) as old, tarfile.open(shard) as new:
        assert {m.name: old.extractfile(m).read() for m in old} == {m.name: new.extractfile(m).read() for m in new}  # type: ignore[union-attr]
    shard.write_bytes(bytes(len(whole)))  # of the same size: its digest tells, and it is the run's by its inode
    report = run(resume=True, verify=True)
    assert ended(report, done=6) and report.changed == 2
    assert len(list((tmp_path / "out").glob("*.tar"))) == 3 and not list((tmp_path / "out").rglob("*.png"))


# Durability


@pytest.mark.slow
def test_nothing_is_lost_of_shards_whatever_is_killed(tmp_path: Path) -> None:
    wrong = durability.make(tmp_path / "in", 300, 0.05, seed=4)
    trial = durability.torture(
        tmp_path, 300, 3, full=1, seed=4, pause=(0.2, 0.9), more=("--per-shard", "20")
    )  # fmt: skip
    durability.check_shards(tmp_path, trial, 300, wrong, 20)


def test_what_a_full_disk_undoes_is_still_known_as_begun(tmp_path: Path) -> None:
    """SQLite undoes the whole transaction then; files whose record is lost would count as another program's."""
    from pyharmony.runs.batch._ledger import Ledger

    forgotten: list[int] = []
    ledger = Ledger(tmp_path / "out/.pyharmony-batch/ledger.sqlite")
    ledger.committed = forgotten.extend
    ledger.commit(now=True)
    ledger.finish(3, 1, {}, ())
    ledger.finish(4, 1, {}, ())
    assert forgotten == []
    ledger._base.execute("ROLLBACK")
    ledger.commit(now=True)
    assert forgotten == []
    ledger.finish(5, 1, {}, ())
    ledger.commit(now=True)
    assert forgotten == [5]
    ledger.close()


#: The number of writes before which the short form kills a run, evenly among all.
_KILLS = 6


@pytest.mark.slow
@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.full)], ids=["some", "each"])
def test_a_run_that_is_killed_at_a_write_is_continued(every: bool, tmp_path: Path) -> None:
    """Killed before any write of the ledger, an output or a result, a run ends as it would have."""
    wrong = durability.make(tmp_path / "in", 4, 0.25, seed=5)
    durability.preload(tmp_path)
    whole = tmp_path / "whole"
    code, writes, text = durability.run_once(tmp_path, whole, 0)
    assert code == 5 and writes > 20, text
    expected = {row["name"]: row["sha256"] for row in durability.rows_of(tmp_path / "whole.csv")}
    # The number of writes of a run varies by a few with the time that it takes.
    last = int(0.75 * writes)
    for at in range(1, last + 1) if every else np.linspace(1, last, _KILLS).astype(int):
        output = tmp_path / f"at{at}"
        code, _, text = durability.run_once(tmp_path, output, int(at))
        assert code == -9, (at, text)
        more = ["--resume"] if (output / ".pyharmony-batch/ledger.sqlite").is_file() else []
        code, _, text = durability.run_once(tmp_path, output, 0, *more)
        assert code == 5, (at, text)
        rows = {row["name"]: row for row in durability.rows_of(tmp_path / f"at{at}.csv")}
        durability.check(tmp_path, durability.Trial(2, 1, 0, 0, 0.0, 0.0, rows), 4, wrong, output)
        assert {name: row["sha256"] for name, row in rows.items()} == expected


@pytest.mark.slow
def test_nothing_is_lost_whatever_is_killed(tmp_path: Path) -> None:
    wrong = durability.make(tmp_path / "in", 300, 0.05, seed=3)
    before = durability.digests(tmp_path / "in")
    trial = durability.torture(tmp_path, 300, 4, full=1, seed=3, pause=(0.1, 0.5))
    durability.check(tmp_path, trial, 300, wrong)
    assert durability.digests(tmp_path / "in") == before
    assert trial.killed_parents == 2 and trial.killed_workers == 2 and trial.full_disks == 1
    with sqlite3.connect(tmp_path / "out/.pyharmony-batch/ledger.sqlite") as base:
        assert base.execute("PRAGMA integrity_check").fetchone() == ("ok",)
