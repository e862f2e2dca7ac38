"""Composites to train on: `Synthesis`, `PairComposites`, `write_triples` of data; `pyharmony data synth`, `crop`."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pyharmony
from pyharmony import color, errors
from pyharmony.cli._pictures import IMAGES, load
from pyharmony.learn import data
from pyharmony.learn.data import METHODS
from pyharmony.learn.data._varied import reshaped_mask

from ..shared import runners

pytestmark = pytest.mark.chains


class Photographs(data.Dataset):
    """Crops of real photographs with an ellipse as the object; the one called bad cannot be read."""

    def __init__(self, count: int = 4, bad: int | None = None, height: int = 48, width: int = 60) -> None:
        self.names = [f"p{i}" for i in range(count)]
        self.bad, self.height, self.width = bad, height, width
        self.pictures = [load(IMAGES / f"{name}.jpg")[..., :3] for name in ("coffee", "astronaut")]

    @property
    def groups(self) -> list[str]:
        return [f"group of {name}" for name in self.names]

    def _load(self, index: int) -> dict[str, Any]:
        if index == self.bad:
            raise errors.DecodeError(f"image: {self.names[index]}.jpg is damaged")
        top, left = 40 * index, 50 * index
        image = self.pictures[index % 2][top : top + self.height, left : left + self.width].copy()
        y, x = np.mgrid[: self.height, : self.width]
        inside = (2 * y / self.height - 1) ** 2 / 0.39 + (2 * x / self.width - 1) ** 2 / 0.44 < 1
        return {"name": self.names[index], "image": image, "mask": np.where(inside, np.uint8(255), np.uint8(0))}


def small(count: int = 4) -> Photographs:
    """Returns photographs of few pixels, for what is counted over many composites."""
    return Photographs(count, height=24, width=30)


UNBOUNDED = (0.0, 1e9)


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return all(np.array_equal(a[key], b[key]) for key in ("composite", "target", "mask")) and a["recipe"] == b["recipe"]


# Synthesis


@pytest.mark.parametrize("method", METHODS)
def test_a_composite_differs_from_its_photograph_in_the_object_alone(method: str) -> None:
    photos = Photographs()
    sample = data.Synthesis(photos, [method], limits=(1, 1e9))[1]
    photo = photos[1]
    inside = photo["mask"] > 0
    assert np.array_equal(sample["target"], photo["image"]) and np.array_equal(sample["mask"], photo["mask"])
    assert np.array_equal(sample["composite"][~inside], photo["image"][~inside])
    assert (sample["composite"][inside] != photo["image"][inside]).any()
    recipe = sample["recipe"]
    assert (recipe["method"], recipe["photo"]) == (method, "p1")
    difference = sample["composite"][inside].astype(float) - photo["image"][inside]
    assert recipe["fmse"] == pytest.approx(np.square(difference).mean(), rel=1e-5)  # of float32


def test_a_recipe_says_what_was_done() -> None:
    photos = Photographs()
    sample = data.Synthesis(photos, ["mkl"], limits=UNBOUNDED)[2]
    recipe = sample["recipe"]
    reference = photos[photos.names.index(recipe["reference"])]
    composite = color.mkl(
        sample["target"], reference["image"], sample["mask"], reference["mask"], strength=recipe["strength"]
    )
    assert recipe["reference"] != "p2" and 0.5 <= recipe["strength"] <= 1
    assert np.array_equal(composite, sample["composite"])
    recipe = data.Synthesis(photos, ["temperature"], limits=UNBOUNDED)[0]["recipe"]
    assert 25 <= abs(recipe["mired"]) <= 100
    recipe = data.Synthesis(photos, ["brightness_contrast"], limits=UNBOUNDED)[0]["recipe"]
    assert {"brightness", "contrast"} <= recipe.keys()


def test_of_a_large_reference_every_so_many_pixels_are_taken() -> None:
    photos = Photographs(2, height=300, width=256)  # and 600 x 512, whose every second pixel is as good
    whole = data.Synthesis(photos, ["mkl"], limits=UNBOUNDED)[0]
    twice = Photographs(2, height=300, width=256)
    large = photos[1] | {key: photos[1][key].repeat(2, 0).repeat(2, 1) for key in ("image", "mask")}
    twice._load = lambda index: large if index else photos[0]  # type: ignore[method-assign]
    assert np.array_equal(whole["composite"], data.Synthesis(twice, ["mkl"], limits=UNBOUNDED)[0]["composite"])


def test_of_a_soft_mask_the_error_is_that_of_its_inside() -> None:
    photos = Photographs(1)
    soft = photos[0]
    soft["mask"][20:28] = 100
    photos._load = lambda index: soft  # type: ignore[method-assign]
    sample = data.Synthesis(photos, ["retouch"], limits=UNBOUNDED)[0]
    inside = sample["mask"] >= 128
    difference = sample["composite"][inside].astype(float) - sample["target"][inside]
    assert sample["recipe"]["fmse"] == pytest.approx(np.square(difference).mean(), rel=1e-5)


def test_what_is_drawn_depends_on_seed_and_sample_alone() -> None:
    photos = Photographs()
    first, again = (data.Synthesis(photos, per_photo=2, seed=5) for _ in range(2))
    order = [6, 1, 3, 0]
    assert all(same(first[i], again[i]) for i in order)
    assert all(same(first[i], again[i]) for i in reversed(order))
    other = data.Synthesis(photos, per_photo=2, seed=6)
    assert not any(same(first[i], other[i]) for i in range(len(first)))
    assert not same(first[0], first[1])


def test_each_epoch_has_its_own() -> None:
    synthesis = data.Synthesis(Photographs(), seed=5)
    assert same(synthesis.at_epoch(3)[1], synthesis.at_epoch(3)[1])
    assert same(synthesis.at_epoch(0)[1], synthesis[1])
    assert not same(synthesis.at_epoch(1)[1], synthesis.at_epoch(2)[1])
    assert not same(synthesis.at_epoch(1)[1], synthesis[1])


def test_composites_of_one_photograph_are_a_group() -> None:
    synthesis = data.Synthesis(Photographs(2), ["retouch"], per_photo=3)
    assert synthesis.names == ["p0_0", "p0_1", "p0_2", "p1_0", "p1_1", "p1_2"]
    assert list(synthesis.groups) == ["group of p0"] * 3 + ["group of p1"] * 3
    assert synthesis[4]["recipe"]["photo"] == "p1" and synthesis[4]["name"] == "p1_1"
    assert data.Synthesis(Photographs(2), ["retouch"]).names == ["p0", "p1"]


def test_limits_are_kept_where_they_can_be() -> None:
    severities = {
        limits: [sample["recipe"]["fmse"] for sample in data.Synthesis(small(), per_photo=6, limits=limits)]
        for limits in (UNBOUNDED, (30, 2600))
    }
    assert not all(30 <= fmse <= 2600 for fmse in severities[UNBOUNDED])
    assert all(30 <= fmse <= 2600 for fmse in severities[30, 2600])
    # Where no method reaches the change, the nearest is taken, and says what it is.
    far = data.Synthesis(Photographs(), ["temperature"], limits=(60000, 65025))
    assert all(sample["recipe"]["fmse"] < 60000 for sample in far)


def test_methods_are_drawn_by_their_weights() -> None:
    photos = small()
    counts = Counter(
        sample["recipe"]["method"]
        for sample in data.Synthesis(photos, {"retouch": 3, "mkl": 1, "idt": 0}, per_photo=50, limits=UNBOUNDED)
    )
    assert set(counts) == {"retouch", "mkl"}
    # 200 draws of 3 in 4: six standard deviations, sqrt(200 * 3/16), about the mean
    assert abs(counts["retouch"] - 150) <= 6 * (200 * 3 / 16) ** 0.5
    alike = Counter(s["recipe"]["method"] for s in data.Synthesis(photos, METHODS, per_photo=25, limits=UNBOUNDED))
    assert set(alike) == set(METHODS)
    half = Counter(s["recipe"]["method"] for s in data.Synthesis(photos, per_photo=50, limits=UNBOUNDED))
    assert abs(half["lut_mix"] - 100) <= 6 * (200 / 4) ** 0.5


def test_photographs_are_resized_first() -> None:
    sample = data.Synthesis(Photographs(), ["retouch"], size=32)[0]
    expected = data.resize_sample(Photographs()[0], 32)
    assert np.array_equal(sample["target"], expected["image"]) and np.array_equal(sample["mask"], expected["mask"])


def test_large_files_are_decoded_at_less_than_all(tmp_path: Path) -> None:
    """Targets are those of whole photographs but for small differences, and masks are the same."""
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    large = Photographs(2, height=203, width=299)
    for name, sample in zip(large.names, large):
        Image.fromarray(sample["image"]).save(tmp_path / f"images/{name}.jpg", quality=95)
        Image.fromarray(sample["mask"]).save(tmp_path / f"masks/{name}.png")
    photos = data.Photos(tmp_path)
    for index, whole in enumerate(photos):
        expected = data.resize_sample(whole, 40)
        for same_photos in (photos, data.Cached(photos), data.Subset(photos, [0, 1]), data.Joined([photos])):
            sample = data.Synthesis(same_photos, ["retouch"], size=40, limits=UNBOUNDED)[index]
            np.testing.assert_array_equal(sample["mask"], expected["mask"])
            error = np.abs(sample["target"].astype(float) - expected["image"])
            assert 0 < error.mean() < 1.5
            assert same(sample, data.Synthesis(photos, ["retouch"], size=40, limits=UNBOUNDED)[index])

    class Mirrored(data.Photos):
        def _load(self, index: int) -> dict[str, Any]:
            sample = super()._load(index)
            return {**sample, **{role: sample[role][:, ::-1].copy() for role in ("image", "mask")}}

    mirrored = data.Synthesis(Mirrored(tmp_path), ["retouch"], size=40, limits=UNBOUNDED)[0]
    np.testing.assert_array_equal(mirrored["target"], data.resize_sample(Mirrored(tmp_path)[0], 40)["image"])
    Image.new("L", (298, 203), 255).save(tmp_path / "masks/p0.png")
    with pytest.raises(errors.ShapeError, match="298 x 203 pixels, expected 299 x 203"):
        data.Synthesis(photos, ["retouch"], size=40)[0]


def test_a_bad_reference_is_another_draw() -> None:
    synthesis = data.Synthesis(Photographs(bad=1), ["reinhard"], per_photo=8, limits=UNBOUNDED)
    assert {sample["recipe"]["reference"] for sample in (synthesis[i] for i in range(8))} == {"p2", "p3"}
    with pytest.raises(errors.DecodeError, match=r"p1\.jpg is damaged"):
        synthesis[8]
    with pytest.raises(errors.DataError, match=r"p0_0: no composite in 8 tries; the last, mkl: image: p1\.jpg"):
        data.Synthesis(Photographs(2, bad=1), ["mkl"], per_photo=2)[0]


def test_what_is_wrong_with_synthesis_is_told() -> None:
    photos = Photographs()
    for arguments, says in (
        ({"methods": ["sepia"]}, "methods: 'sepia', expected some of reinhard"),
        ({"methods": []}, r"methods: \[\], expected at least one weight"),
        ({"methods": {"mkl": 0}}, "methods: {.mkl.: 0}, expected at least one weight above 0"),
        ({"methods": {"mkl": -1}}, r"methods\['mkl'\]: -1"),
        ({"limits": (5, 5)}, "limits: "),
        ({"limits": (-1, 5)}, "limits: "),
        ({"per_photo": 0}, "per_photo: 0"),
        ({"size": 4}, "size: 4"),
        ({"seed": -1}, "seed: -1"),
    ):
        with pytest.raises(errors.ArgumentError, match=says):
            data.Synthesis(photos, **arguments)  # type: ignore[arg-type]
    with pytest.raises(errors.ArgumentError, match="photos: 1, but a colour transfer needs another"):
        data.Synthesis(Photographs(1), ["mkl"])
    assert len(data.Synthesis(Photographs(1), "retouch")) == 1
    scenes = data.PairComposites(Scenes())
    without = data.Subset(scenes, [0])
    without._load = lambda index: {"name": "a"}  # type: ignore[method-assign]
    with pytest.raises(errors.DataError, match=r"has name.*, expected an image and its mask"):
        data.Synthesis(without, ["retouch"])[0]


# PairComposites


class Scenes(data.Dataset):
    """Pairs of one scene: red images as sources, blue ones as destinations, of 40 x 50 pixels."""

    names = ("0:a/1:a/2", "1:b/1:b/2")
    groups = ("a", "b")

    def _load(self, index: int) -> dict[str, Any]:
        y, x = np.mgrid[:40, :50]
        place = np.stack([0 * x, y * 6, x * 5], -1).astype(np.uint8)
        src, dst = place.copy(), place.copy()
        src[..., 0], dst[..., 0] = 255, index + 1
        return {"name": self.names[index], "src": src, "dst": dst}


def test_a_square_of_one_picture_is_in_the_other() -> None:
    dataset = data.PairComposites(Scenes(), load_size=40, crop_size=32, ratio=0.5)
    sample = dataset[1]
    inside = sample["mask"] > 0
    assert inside.sum() == 16 * 16 and inside[8:24, 8:24].all()
    assert (sample["composite"][inside][:, 0] == 255).all()
    assert np.array_equal(sample["composite"][~inside], sample["target"][~inside])
    assert (sample["target"][..., 0] == 2).all()
    # Both are cropped at one place.
    assert np.array_equal(sample["composite"][..., 1:], sample["target"][..., 1:])
    assert (dataset.names, list(dataset.groups)) == (Scenes.names, ["a", "b"])


def test_the_old_name_of_a_class_is_told() -> None:
    with pytest.warns(DeprecationWarning, match="CopyPaste: it is called data.PairComposites now") as records:
        pairs = data.CopyPaste(Scenes(), load_size=40, crop_size=32)
    assert len(records) == 1 and records[0].filename == __file__
    assert np.array_equal(pairs[0]["mask"], data.PairComposites(Scenes(), load_size=40, crop_size=32)[0]["mask"])


def test_the_smaller_side_is_resized_to_load_size() -> None:
    sample = data.PairComposites(Scenes(), load_size=20, crop_size=20)[0]
    assert sample["target"].shape == (20, 20, 3)
    # Rows of 6 levels each are 12 apart at half the size, columns of 5 are 10.
    steps = np.diff(sample["target"].astype(int), axis=0)[1:-1, :, 1]
    assert (abs(steps - 12) <= 1).all()
    assert (abs(np.diff(sample["target"].astype(int), axis=1)[:, 1:-1, 2] - 10) <= 1).all()


def test_a_crop_is_drawn_by_seed_and_sample() -> None:
    first, again, other = (data.PairComposites(Scenes(), load_size=40, crop_size=16, seed=s) for s in (1, 1, 2))
    assert np.array_equal(first[0]["target"], again[0]["target"])
    assert not np.array_equal(first[0]["target"], other[0]["target"])


def test_a_free_shape_stays_in_its_box() -> None:
    dataset = data.PairComposites(Scenes(), load_size=40, crop_size=40, ratio=0.4, mask="free", seed=3)
    shapes = [dataset[i]["mask"] for i in range(2)]
    assert not np.array_equal(*shapes)
    for mask in shapes:
        y, x = np.nonzero(mask)
        assert 0 < np.ptp(y) < 16 and 0 < np.ptp(x) < 16
        assert set(np.unique(mask)) == {0, 255}


def test_what_is_wrong_with_pairs_is_told() -> None:
    for arguments, says in (
        ({"crop_size": 65}, "crop_size: 65, expected at most load_size, 64"),
        ({"ratio": 0.001}, "ratio: 0.001, too small for 64 pixels"),
        ({"ratio": 1.5}, "ratio: 1.5"),
        ({"mask": "round"}, "mask: 'round'"),
        ({"load_size": 4, "crop_size": 4}, "load_size: 4"),
    ):
        with pytest.raises(errors.ArgumentError, match=says):
            data.PairComposites(Scenes(), **arguments)  # type: ignore[arg-type]


# Folders of triples


def test_triples_are_written_and_read_again(tmp_path: Path) -> None:
    synthesis = data.Synthesis(Photographs(), seed=2)
    steps: list[int] = []
    result = data.write_triples(synthesis, tmp_path / "set", progress=lambda: steps.append(1))
    assert [path.name for path in tmp_path.iterdir()] == ["set"] and len(steps) == 4
    assert result.triples.check() == [] and (result.problems, result.refused, result.unlikely) == ([], [], [])
    for sample, expected in zip(result.triples, synthesis):
        assert sample["name"] == expected["name"]
        assert all(np.array_equal(sample[key], expected[key]) for key in ("composite", "target", "mask"))
    lines = (tmp_path / "set" / "recipes.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == json.loads(json.dumps(result.recipes, default=list))
    assert [recipe["fmse"] for recipe in result.recipes] == [sample["recipe"]["fmse"] for sample in synthesis]


def test_jpeg_loses_a_little(tmp_path: Path) -> None:
    synthesis = data.Synthesis(Photographs(), ["retouch"])
    for quality in (95, 30):
        data.write_triples(synthesis, tmp_path / str(quality), format="jpeg", quality=quality)
    paths = [tmp_path / str(quality) / "composite" / "p0.jpg" for quality in (95, 30)]
    assert Image.open(paths[0]).format == "JPEG" and paths[1].stat().st_size < paths[0].stat().st_size
    sample = data.Triples(tmp_path / "95")[0]
    assert np.abs(sample["target"].astype(int) - synthesis[0]["target"]).mean() < 3
    assert np.array_equal(sample["mask"], synthesis[0]["mask"])


def test_samples_are_left_out(tmp_path: Path) -> None:
    synthesis = data.Synthesis(Photographs(6, bad=2), ["retouch"], limits=UNBOUNDED)
    result = data.write_triples(
        synthesis,
        tmp_path / "set",
        accept=lambda sample: sample["name"] != "p4",
        score=lambda sample: -synthesis.names.index(sample["name"]),
        keep=0.5,
        errors="skip",
    )
    assert [problem.name for problem in result.problems] == ["p2"]
    assert (result.refused, sorted(result.unlikely)) == (["p4"], ["p3", "p5"])
    assert (result.triples.names, [recipe["score"] for recipe in result.recipes]) == (["p0", "p1"], [0, -1])
    assert result.triples.check() == []


def test_bytes_are_the_same_for_any_number_of_threads(tmp_path: Path) -> None:
    synthesis = data.Synthesis(Photographs(8, bad=2), per_photo=2, seed=5, limits=UNBOUNDED)
    steps: list[int] = []
    for threads in (1, 3):
        result = data.write_triples(
            synthesis,
            tmp_path / str(threads),
            accept=lambda sample: sample["name"] != "p4_1",
            score=lambda sample: sample["recipe"]["fmse"],
            keep=0.8,
            errors="skip",
            threads=threads,
            progress=lambda: steps.append(1),
        )
        assert [problem.name for problem in result.problems] == ["p2_0", "p2_1"] and result.refused == ["p4_1"]
    assert len(steps) == 2 * len(synthesis)
    files = [sorted(path.relative_to(tmp_path / t) for path in (tmp_path / t).rglob("*.*")) for t in "13"]
    assert files[0] == files[1] and len(files[0]) == 3 * math.ceil(0.8 * 13) + 1
    assert all((tmp_path / "1" / file).read_bytes() == (tmp_path / "3" / file).read_bytes() for file in files[0])


@pytest.mark.parametrize("threads", [1, 3])
def test_nothing_is_left_where_a_thread_fails(tmp_path: Path, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real = pyharmony.io.save

    def full(pixels: Any, path: Any, **options: Any) -> None:
        if Path(path).name == "p5.png":
            raise OSError(28, "No space left on device", str(path))
        real(pixels, path, **options)

    monkeypatch.setattr(pyharmony.io, "save", full)
    synthesis = data.Synthesis(Photographs(12), ["retouch"], limits=UNBOUNDED)
    with pytest.raises(OSError, match="no space left"):
        data.write_triples(synthesis, tmp_path / "set", threads=threads, errors="skip")
    assert list(tmp_path.iterdir()) == []

    def stopped() -> None:
        raise KeyboardInterrupt

    monkeypatch.undo()
    with pytest.raises(KeyboardInterrupt):
        data.write_triples(synthesis, tmp_path / "set", threads=threads, progress=stopped)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_what_failed(tmp_path: Path) -> None:
    synthesis = data.Synthesis(Photographs(bad=2), ["retouch"])
    with pytest.raises(errors.DecodeError, match="damaged"):
        data.write_triples(synthesis, tmp_path / "set")
    with pytest.raises(errors.DataError, match="no sample is left to write"):
        data.write_triples(synthesis, tmp_path / "set", accept=lambda sample: False, errors="skip")
    twice = data.PairComposites(Scenes())
    twice.names = ["a/b", "a:b"]
    with pytest.raises(errors.DataError, match=r"another sample has the same file, a_b\.png"):
        data.write_triples(twice, tmp_path / "set")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_replaced_where_it_is_one_of_ours(tmp_path: Path) -> None:
    synthesis = data.Synthesis(Photographs(), ["retouch"])
    data.write_triples(synthesis, tmp_path / "set")
    with pytest.raises(FileExistsError):
        data.write_triples(synthesis, tmp_path / "set")
    fewer = data.Subset(synthesis, [1])
    assert data.write_triples(fewer, tmp_path / "set", overwrite=True).triples.names == ["p1"]
    assert [path.name for path in (tmp_path / "set" / "mask").iterdir()] == ["p1.png"]
    bad = data.Synthesis(Photographs(bad=0), ["retouch"])
    with pytest.raises(errors.DecodeError):
        data.write_triples(bad, tmp_path / "set", overwrite=True)
    assert data.Triples(tmp_path / "set").names == ["p1"]  # as it was
    (tmp_path / "set" / "letters.txt").write_text("dear")
    with pytest.raises(errors.DataError, match=r"contains letters\.txt, so it is not replaced"):
        data.write_triples(synthesis, tmp_path / "set", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_what_is_wrong_with_writing_is_told(tmp_path: Path) -> None:
    synthesis = data.Synthesis(Photographs(), ["retouch"])
    for arguments, says in (
        ({"format": "webp"}, "format: 'webp'"),
        ({"errors": "ignore"}, "errors: 'ignore'"),
        ({"keep": 0}, "keep: 0"),
        ({"keep": 1.1}, "keep: 1.1"),
    ):
        with pytest.raises(errors.ArgumentError, match=says):
            data.write_triples(synthesis, tmp_path / "set", **arguments)  # type: ignore[arg-type]
    assert not (tmp_path / "set").exists()


# The commands


call, report_of = runners("data")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Returns four photographs with masks."""
    root = tmp_path / "photos"
    for role in ("images", "masks"):
        (root / role).mkdir(parents=True)
    for sample in Photographs():
        pyharmony.save(sample["image"], root / "images" / f"{sample['name']}.png")
        pyharmony.save(sample["mask"], root / "masks" / f"{sample['name']}.png")
    return root


def test_photographs_become_composites(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("synth", photos, "-o", out, "--per-photo", "2", "--size", "32", "--seed", "4")
    report = report_of(*arguments, "--limits", "1,65025", "--method", "mkl=3", "--method", "retouch")
    assert report["samples"] == 8 and report["schema"] == "pyharmony.data.synth/1" and report["problems"] == []
    dataset = data.Photos(photos)
    expected = data.Synthesis(dataset, {"mkl": 3, "retouch": 1}, per_photo=2, size=32, seed=4, limits=(1, 65025))
    for sample, expected_sample in zip(data.Triples(out), expected):
        assert np.array_equal(sample["composite"], expected_sample["composite"])
    assert f"{out}: already exists; --overwrite replaces it" in call(*arguments, code=2).stderr
    assert f"{out}: " in call(*arguments, "--overwrite", "--form", "jpeg", "--quality", "80").stderr
    assert {path.suffix for path in (out / "composite").iterdir()} == {".jpg"}


def test_what_lies_outside_the_limits_is_left_out(photos: Path, tmp_path: Path) -> None:
    report = report_of("synth", photos, "--output", tmp_path / "a", "--method", "temperature", "--limits", "0,300")
    assert report["samples"] + report["outside_limits"] == 4
    assert all(json.loads(line)["fmse"] <= 300 for line in (tmp_path / "a" / "recipes.jsonl").read_text().splitlines())
    says = call("synth", photos, "-o", tmp_path / "b", "--method", "temperature", "--limits", "60000,65025", code=3)
    assert "no sample is left to write" in says.stderr and not (tmp_path / "b").exists()


def test_people_of_coco_become_composites(photos: Path, tmp_path: Path) -> None:
    sides = Image.open(photos / "images" / "p0.png").size
    table: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "cup"}]}
    for i in range(4):
        table["images"].append({"id": i, "file_name": f"p{i}.png", "width": sides[0], "height": sides[1]})
        box = [4, 4, 20, 4, 20, 20, 4, 20]
        one = {"id": i, "image_id": i, "category_id": 1, "segmentation": [box], "area": 256 if i else 1, "iscrowd": 0}
        table["annotations"].append(one)
    (tmp_path / "cups.json").write_text(json.dumps(table))
    arguments = ("synth", photos / "images", "--annotations", tmp_path / "cups.json", "--limits", "0,65025")
    report = report_of(
        *arguments, "--category", "cup", "--min-share", "0.01", "--max-share", "0.9", "-o", tmp_path / "out"
    )
    assert (report["samples"], data.Triples(tmp_path / "out").names) == (3, ["p1_1", "p2_2", "p3_3"])
    assert "no category 'person', expected one of cup" in call(*arguments, "-o", tmp_path / "b", code=3).stderr


def test_photographs_of_a_manifest_without_masks_are_left_out(photos: Path, tmp_path: Path) -> None:
    entries = [{"file": f"images/p{i}.png", "role": "photo", "pair": f"p{i}", "split": "train"} for i in range(4)]
    entries += [{"file": f"masks/p{i}.png", "role": "mask", "pair": f"p{i}", "split": "train"} for i in (0, 3)]
    (photos / "manifest.json").write_text(json.dumps({"entries": entries}))
    result = call("synth", photos, "-o", tmp_path / "out", "--split", "train", "--limits", "0,65025")
    assert "2 of 4 have no mask and are omitted" in result.stderr
    assert data.Triples(tmp_path / "out").names == ["p0", "p3"]


def test_a_bad_photograph_is_named_once(photos: Path, tmp_path: Path) -> None:
    path = photos / "images" / "p2.png"
    path.write_bytes(path.read_bytes()[:200])
    result = call("synth", photos, "-o", tmp_path / "a", "--per-photo", "3", code=5)
    assert len(re.findall(r"p2\.png", result.stderr)) == 1
    assert len(data.Triples(tmp_path / "a")) == 9
    report = report_of("synth", photos, "-o", tmp_path / "b", "--per-photo", "3", code=5)
    assert (report["status"], len(report["problems"])) == ("some failed", 1)


def test_what_a_network_finds_unrealistic_is_left_out(photos: Path, tmp_path: Path, one_torch_thread: None) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from pyharmony.learn import evaluation
    from pyharmony.networks import models

    torch.manual_seed(0)
    models.save(models.create("realism_cnn", "small"), tmp_path / "r.safetensors")
    arguments = ("synth", photos, "-o", tmp_path / "a", "--realism", tmp_path / "r.safetensors")
    report = report_of(*arguments, "--keep", "0.5", "--sheet", tmp_path / "sheet.png")
    assert (report["samples"], report["unrealistic"], report["sheet"]) == (2, 2, str(tmp_path / "sheet.png"))
    judge = evaluation.judge(tmp_path / "r.safetensors", device="cpu")
    samples = data.Synthesis(data.Photos(photos))
    scores = {s["name"]: judge(s["composite"], s["composite"], s["mask"])[0]["realism"] for s in samples}
    best = sorted(scores, key=lambda name: -scores[name])[:2]
    assert data.Triples(tmp_path / "a").names == sorted(best)
    assert Image.open(tmp_path / "sheet.png").width == 2 * 256 + 3 * 6
    again = ("--keep", "0.5", "--overwrite", "--left-out", tmp_path / "left.png")
    report = report_of(*arguments, *again)
    assert report["left_out"] == str(tmp_path / "left.png")
    assert Image.open(tmp_path / "left.png").height == 2 * (Image.open(tmp_path / "sheet.png").height // 2)
    models.save(models.create("dovenet_lite", width=4), tmp_path / "d.safetensors", part="generator")
    result = call("synth", photos, "-o", tmp_path / "b", "--realism", tmp_path / "d.safetensors", code=6)
    assert "contains only the generator of dovenet_lite" in result.stderr


def test_the_weights_that_come_with_it_are_asked_without_others(
    photos: Path, tmp_path: Path, one_torch_thread: None
) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    from pyharmony.learn import evaluation

    report = report_of("synth", photos, "-o", tmp_path / "a", "--keep", "0.5")
    assert (report["samples"], report["unrealistic"]) == (2, 2)
    samples = data.Triples(tmp_path / "a")
    judge = evaluation.judge("realism-small", device="cpu")
    lines = (tmp_path / "a" / "recipes.jsonl").read_text().splitlines()
    scores = {recipe["name"]: recipe["score"] for recipe in map(json.loads, lines)}
    for sample in samples:
        score = judge(sample["composite"], sample["composite"], sample["mask"])[0]["realism"]
        assert scores[sample["name"]] == pytest.approx(score, abs=1e-6)


def test_what_synth_cannot_do_is_told(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "a"
    for arguments, code, says in (
        (("--method", "sepia"), 2, "methods: 'sepia'"),
        (("--method", "mkl=much"), 2, "expected NAME or NAME=WEIGHT"),
        (("--limits", "20"), 2, "expected LOW,HIGH"),
        (("--split", "train"), 2, "photos has no predefined splits"),
        (("--left-out", tmp_path / "left.png"), 2, "--left-out needs --keep or --realism"),
        (("--realism", tmp_path / "none.safetensors"), 6, "there is no such file"),
    ):
        assert says in call("synth", photos, "-o", out, *arguments, code=code).stderr
    assert "no such" in call("synth", tmp_path / "none", "-o", out, code=3).stderr
    assert "Traceback" in call("synth", tmp_path / "none", "-o", out, "--debug", code=3).stderr
    assert "cannot be written" in call("synth", photos, "-o", tmp_path / "x" / "y", code=3).stderr
    assert not out.exists()


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Returns two scenes of three images."""
    for scene in ("a", "b"):
        (tmp_path / "scenes" / scene).mkdir(parents=True)
        for i in range(3):
            picture = np.random.default_rng(i).integers(0, 256, (40, 50, 3), np.uint8)
            pyharmony.save(picture, tmp_path / "scenes" / scene / f"{i}.png")
    (tmp_path / "boxes.txt").write_text("a:4,5,36,45\n")
    return tmp_path / "scenes"


def test_scenes_become_pairs(scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = report_of(
        "crop", scenes, "-o", out, "--boxes", tmp_path / "boxes.txt", "--max-images", "5", "--load-size", "24",
        "--crop-size", "16", "--ratio", "0.25", "--mask", "free", "--seed", "3", "--sheet", tmp_path / "sheet.png",
    )  # fmt: skip
    assert report["samples"] == 5 and report["schema"] == "pyharmony.data.crop/1"
    pairs = data.AlignedScenes(scenes, tmp_path / "boxes.txt").pairs(5, seed=3)
    expected = data.PairComposites(pairs, load_size=24, crop_size=16, ratio=0.25, mask="free", seed=3)
    triples = data.Triples(out)
    assert [name.split("_")[0] for name in triples.names] == ["0", "1", "2", "3", "4"]
    for sample, expected_sample in zip(triples, expected):
        assert all(np.array_equal(sample[key], expected_sample[key]) for key in ("composite", "target", "mask"))
    assert "--overwrite" in call("crop", scenes, "--output", out, code=2).stderr
    call("crop", scenes, "-o", out, "--overwrite", "--max-images", "2", "--form", "jpeg", "--quality", "90")
    assert len(data.Triples(out)) == 2


def test_scenes_are_cropped_to_files(scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "boxes.txt").write_text("a:4,5,36,45\nb:0,0,40,50\ngone:0,0,9,9\n")
    out = tmp_path / "out"
    report = report_of("crop", scenes, "-o", out, "--boxes", tmp_path / "boxes.txt", "--scenes")
    assert (report["scenes"], report["images"], report["missing"], report["status"]) == (2, 6, ["gone"], "ok")
    dataset = data.AlignedScenes(out)
    assert dataset.names == ["a/0", "a/1", "a/2", "b/0", "b/1", "b/2"]
    assert [sample["image"].shape for sample in dataset] == [(32, 40, 3)] * 3 + [(40, 50, 3)] * 3
    assert np.array_equal(dataset[1]["image"], data.AlignedScenes(scenes)[1]["image"][4:36, 5:45])
    plain = call("crop", scenes, "-o", out, "--boxes", tmp_path / "boxes.txt", "--scenes", "--overwrite")
    assert "1 of 3 scenes have no folder" in plain.stderr
    assert "6 images of 2 scenes, 1 listed without a folder: gone" in plain.stderr
    pairs = (
        "crop", scenes, "--boxes", tmp_path / "boxes.txt", "--max-images", "2", "--load-size", "24",
        "--crop-size", "16",
    )  # fmt: skip
    assert report_of(*pairs, "-o", tmp_path / "pairs")["missing"] == ["gone"]
    assert "2 samples, 1 listed without a folder: gone" in call(*pairs, "-o", tmp_path / "more").stderr
    assert "--overwrite" in call("crop", scenes, "-o", out, "--scenes", code=2).stderr
    assert "--sheet" in call("crop", scenes, "-o", tmp_path / "b", "--scenes", "--sheet", "s.png", code=2).stderr


def test_what_crop_cannot_do_is_told(scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "a"
    assert "crop_size: 80" in call("crop", scenes, "-o", out, "--crop-size", "80", code=2).stderr
    assert "boxes.csv" in call("crop", scenes, "-o", out, "--boxes", tmp_path / "boxes.csv", "--debug", code=3).stderr
    for path in (scenes / "b").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    report = report_of("crop", scenes, "-o", out, "--max-images", "20", code=5)
    assert report["samples"] + 6 >= 10 and 0 < len(report["problems"]) <= 3


def test_composites_of_one_photograph_stay_together(tmp_path: Path) -> None:
    synthesis = data.Synthesis(Photographs(4), ["mkl"], per_photo=5, limits=UNBOUNDED)
    data.write_triples(synthesis, tmp_path / "set")
    triples = data.Triples(tmp_path / "set")
    assert list(triples.groups) == list(synthesis.groups) and len(set(triples.groups)) == 4
    parts = data.split(triples, {"train": 0.5, "val": 0.5})
    assert not set(parts["train"].groups) & set(parts["val"].groups)
    lines = (tmp_path / "set" / "recipes.jsonl").read_text().splitlines()
    (tmp_path / "set" / "recipes.jsonl").write_text("\n".join([lines[0], "{"]))
    with pytest.raises(errors.DataError, match=r"recipes\.jsonl:2: invalid recipe"):
        data.Triples(tmp_path / "set")
    (tmp_path / "set" / "recipes.jsonl").unlink()
    assert list(data.Triples(tmp_path / "set").groups) == triples.names


# Varied, Cached, Joined


class Mixed(Photographs):
    """Photographs of which every second has no mask."""

    def _load(self, index: int) -> dict[str, Any]:
        sample = super()._load(index)
        if index % 2:
            del sample["mask"]
        return sample


def test_photographs_without_masks_borrow_one() -> None:
    photos = Mixed(4)
    plain = data.Varied(photos, retouched=0)
    assert plain.names == ["p0", "p2"] and plain.groups == ["group of p0", "group of p2"]
    assert all(np.array_equal(plain[i]["image"], photos[2 * i]["image"]) for i in (0, 1))
    assert all(np.array_equal(plain[i]["mask"], photos[2 * i]["mask"]) for i in (0, 1))
    varied = data.Varied(photos, retouched=0, borrowed=1, per_photo=8)
    without = [photos[i]["image"].tobytes() for i in (1, 3)]
    assert {sample["image"].tobytes() for sample in varied} == set(without)
    assert all((sample["mask"] >= 128).any() for sample in varied)
    synthesis = data.Synthesis(varied, ["mkl"], limits=UNBOUNDED)
    assert [sample["name"] for sample in synthesis] == varied.names


def test_what_is_varied_depends_on_seed_epoch_and_number_alone() -> None:
    varied = data.Varied(Photographs(), retouched=0.5, inverted=0.3, borrowed=0.3, per_photo=6, seed=3)
    assert len(varied) == 24 and varied.names[:2] == ["p0_0", "p0_1"]
    assert varied.groups[:2] == ["group of p0"] * 2

    def all_of(dataset: data.Dataset) -> list[bytes]:
        return [sample["image"].tobytes() + sample["mask"].tobytes() for sample in dataset]

    first = all_of(varied)
    assert all_of(varied) == first and len(set(first)) > 12
    assert all_of(varied.at_epoch(0)) == first
    assert all_of(varied.at_epoch(1)) != first
    other = data.Varied(Photographs(), retouched=0.5, inverted=0.3, borrowed=0.3, per_photo=6, seed=4)
    assert all_of(other) != first


def test_shares_of_what_is_varied() -> None:
    photos, every = Photographs(2), 100
    pictures = {name: data.Varied(photos, **{"retouched": 0.0, name: 0.25}, per_photo=every) for name in
                ("retouched", "inverted", "borrowed", "reshaped")}  # fmt: skip
    changed = sum(
        not np.array_equal(s["image"], photos[i // every]["image"]) for i, s in enumerate(pictures["retouched"])
    )
    inverted = sum(np.array_equal(s["mask"], 255 - photos[0]["mask"]) for s in pictures["inverted"])
    other = sum(not np.array_equal(s["image"], photos[i // every]["image"]) for i, s in enumerate(pictures["borrowed"]))
    # of 200 draws of 1 in 4, within five standard deviations
    assert 20 <= changed <= 80 and 20 <= inverted <= 80
    own = [photos[i]["mask"] for i in range(2)]
    reshaped = sum(not np.array_equal(s["mask"], own[i // every]) for i, s in enumerate(pictures["reshaped"]))
    assert 20 <= reshaped <= 80
    assert 8 <= other <= 45  # half of those that are borrowed happen to show the same photograph


def test_a_reshaped_mask_has_another_outline_near_its_own() -> None:
    y, x = np.mgrid[:96, :128]
    mask = np.where((y - 50) ** 2 + (x - 60) ** 2 < 30**2, np.uint8(255), np.uint8(0))
    far = np.abs(np.hypot(y - 50, x - 60) - 30) > 12
    shares = []
    for seed in range(20):
        reshaped = reshaped_mask(mask, np.random.default_rng(seed))
        assert reshaped.dtype == np.uint8 and set(np.unique(reshaped)) == {0, 255}
        assert np.array_equal(reshaped[far], mask[far])
        shares.append(np.count_nonzero(reshaped) / np.count_nonzero(mask))
    assert min(shares) < 0.95 and max(shares) > 1.05
    tiny = np.zeros((64, 64), np.uint8)
    tiny[30:33, 30:33] = 255
    assert all(reshaped_mask(tiny, np.random.default_rng(seed)).any() for seed in range(10))


def test_severities_are_even_and_composites_go_no_further() -> None:
    plain = data.Synthesis(small(), ["mkl", "retouch"], per_photo=40, limits=(1, 1e9))
    synthesis = data.Synthesis(small(), ["mkl", "retouch"], per_photo=40, limits=(1, 1e9), severity=(30, 2600))
    weaker = 0
    for before, after in zip(plain, synthesis):
        assert np.array_equal(before["target"], after["target"])
        assert after["recipe"]["fmse"] <= before["recipe"]["fmse"]
        if "share" in after["recipe"]:
            weaker += 1
            share = after["recipe"]["share"]
            change = before["composite"].astype(float) - before["target"]
            difference = after["composite"].astype(float) - before["target"]
            assert np.abs(difference - share * change).max() <= 0.5 + 1e-3
        else:
            assert np.array_equal(before["composite"], after["composite"])
    severities = np.array([sample["recipe"]["fmse"] for sample in synthesis])
    assert weaker > 40 and severities.min() < 60 and np.median(severities) < 600 < severities.max() < 2700


def test_a_share_of_composites_is_the_photograph_itself() -> None:
    synthesis = data.Synthesis(small(), ["mkl"], per_photo=50, limits=UNBOUNDED, unchanged=0.25)
    same = [np.array_equal(sample["composite"], sample["target"]) for sample in synthesis]
    assert 30 <= sum(same) <= 70
    assert all((sample["recipe"]["fmse"] == 0) == alike for sample, alike in zip(synthesis, same))


@pytest.mark.parametrize("options", [{"severity": (0, 5)}, {"severity": (9, 5)}, {"unchanged": 1.5}])
def test_severities_that_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(errors.ArgumentError, match=next(iter(options))):
        data.Synthesis(Photographs(), ["mkl"], **options)


def test_an_epoch_of_synthesis_is_one_of_what_it_varies() -> None:
    synthesis = data.Synthesis(data.Varied(Photographs(), retouched=1.0), ["mkl"], limits=UNBOUNDED)
    assert not np.array_equal(synthesis[0]["target"], synthesis.at_epoch(1)[0]["target"])
    assert np.array_equal(synthesis[0]["target"], synthesis.at_epoch(0)[0]["target"])


def test_what_varied_refuses() -> None:
    class Bare(Photographs):
        def _load(self, index: int) -> dict[str, Any]:
            return {"name": "bare", "image": super()._load(index)["image"]}

    with pytest.raises(errors.ArgumentError, match="photos: none of 4 has a mask"):
        data.Varied(Bare())
    for name in ("retouched", "inverted", "borrowed", "reshaped"):
        with pytest.raises(errors.ArgumentError, match=f"{name}: 1.5, expected 0 to 1"):
            data.Varied(Photographs(), **{name: 1.5})
    with pytest.raises(errors.ArgumentError, match="per_photo: 0"):
        data.Varied(Photographs(), per_photo=0)


def test_cached_samples_are_read_once() -> None:
    read: list[int] = []

    class Counting(Photographs):
        def _load(self, index: int) -> dict[str, Any]:
            read.append(index)
            return super()._load(index)

    beyond = data.Cached(Counting(), memory=100)
    assert np.array_equal(beyond[0]["image"], beyond[0]["image"]) and read == [0, 0]
    read.clear()
    cached = data.Cached(Counting())
    first, again = cached[1], cached[1]
    assert read == [1] and first is not again and np.array_equal(first["image"], again["image"])
    assert cached.names == ["p0", "p1", "p2", "p3"] and cached.groups[0] == "group of p0"


def test_joined_data_sets() -> None:
    parts = Photographs(2), Photographs(3, bad=1)
    joined = data.Joined(parts)
    assert len(joined) == 5 and joined.names == ["p0", "p1", "p0", "p1", "p2"]
    assert np.array_equal(joined[4]["image"], parts[1][2]["image"])
    assert [problem.name for problem in joined.check() if "damaged" in problem.message] == ["p1"]
    with pytest.raises(errors.ArgumentError, match="datasets: none"):
        data.Joined([])
