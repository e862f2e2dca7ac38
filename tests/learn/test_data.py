"""`pyharmony.learn.data`: each layout, bad samples of each, splits, shards."""

from __future__ import annotations

import gc
import gzip
import hashlib
import io
import json
import os
import pickle
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import pyharmony
from pyharmony import errors
from pyharmony.learn import data

from ..shared import put

pytestmark = pytest.mark.chains


def picture(seed: int, height: int = 24, width: int = 32) -> np.ndarray:
    """Returns a smooth image, which a JPEG keeps nearly."""
    y, x = np.mgrid[:height, :width]
    return np.stack([(40 * seed + 3 * x) % 256, 2 * y + 60, x + y + 30], -1).astype(np.uint8) // 2


def disc(height: int = 24, width: int = 32) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.where((y - height / 2) ** 2 + (x - width / 2) ** 2 < (height / 3) ** 2, 255, 0).astype(np.uint8)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def samples(count: int, size: int = 16) -> list[dict[str, Any]]:
    random = np.random.default_rng(0)
    return [
        {
            "name": f"s{i}",
            "composite": random.integers(0, 256, (size, size, 3), np.uint8),
            "target": random.integers(0, 256, (size, size, 3), np.uint8),
            "mask": disc(size, size) if i % 2 else 255 - disc(size, size),
        }
        for i in range(count)
    ]


def same(a: dict[str, Any], b: dict[str, Any], *keys: str) -> None:
    for key in keys or ("composite", "target", "mask"):
        assert np.array_equal(a[key], b[key]), key


@pytest.fixture
def triples(tmp_path: Path) -> Path:
    """Returns five triples as three folders."""
    for i in range(5):
        put(tmp_path / "set" / "composite" / f"t{i}.png", picture(i))
        put(tmp_path / "set" / "target" / f"t{i}.png", picture(i + 1))
        put(tmp_path / "set" / "mask" / f"t{i}.png", disc())
    return tmp_path / "set"


# The common behaviour of data sets


def test_a_data_set_is_a_map(triples: Path) -> None:
    dataset = data.Triples(triples)
    assert (len(dataset), list(dataset.names), repr(dataset)) == (
        5,
        ["t0", "t1", "t2", "t3", "t4"],
        "Triples(5 samples)",
    )
    sample = dataset[1]
    assert sample["name"] == "t1" and sample["mask"].dtype == np.uint8
    same(sample, {"composite": picture(1), "target": picture(2), "mask": disc()})
    same(dataset[-1], dataset[4])
    assert [s["name"] for s in dataset] == list(dataset.names)
    with pytest.raises(IndexError, match="index: 5, expected 0 to 4"):
        dataset[5]
    with pytest.raises(errors.DTypeError, match="index: str"):
        dataset["t1"]  # type: ignore[index]
    assert dataset.check() == []


def test_a_bad_file_is_named_and_takes_no_other_along(triples: Path) -> None:
    (triples / "mask" / "t0.png").unlink()
    put(triples / "target" / "t1.png", picture(2, 20, 32))
    put(triples / "mask" / "t2.png", disc() * 0)
    truncated(triples / "composite" / "t3.png")
    put(triples / "mask" / "extra.png", disc())
    dataset = data.Triples(triples)
    calls: list[int] = []
    problems = {problem.name: problem.message for problem in dataset.check(lambda: calls.append(1))}
    assert len(calls) == 5 and problems.keys() == {"t0", "t1", "t2", "t3", "extra"}
    assert "t0.*: no mask of" in problems["t0"]
    assert "t1.png: 32 x 20 pixels, expected 32 x 24 as composite: " in problems["t1"]
    assert "t2.png: empty; no pixel is at least half inside" in problems["t2"]
    assert "t3.png is damaged" in problems["t3"]
    assert "extra.png: there is no composite of this stem" in problems["extra"]
    assert dataset[4]["name"] == "t4"
    for index, error in enumerate((errors.DataError, errors.ShapeError, errors.MaskError, errors.DecodeError)):
        with pytest.raises(error, match=f"t{index}"):
            dataset[index]


def test_threads_change_nothing(triples: Path, tmp_path: Path) -> None:
    truncated(triples / "composite" / "t3.png")
    put(triples / "mask" / "t0.png", disc() * 0)
    source = data.Triples(triples)
    assert source.check(threads=3) == source.check()
    one, many = (
        data.write_shards(source, tmp_path / str(n), 16, samples_per_shard=2, errors="skip", threads=n) for n in (1, 3)
    )
    assert many.check(threads=3) == [] and list(many.names) == ["t1", "t2", "t4"]
    for path in one.folder.iterdir():
        assert path.read_bytes() == (many.folder / path.name).read_bytes()
    with pytest.raises(errors.MaskError, match=r"t0\.png: empty"):
        data.write_shards(source, tmp_path / "none", 16, threads=3)
    for call in (lambda: source.check(threads=0), lambda: data.write_shards(source, tmp_path / "none", 16, threads=0)):
        with pytest.raises(errors.ArgumentError, match="threads: 0, expected"):
            call()


def test_a_file_that_goes_away_is_named(triples: Path) -> None:
    dataset = data.Triples(triples)
    (triples / "target" / "t2.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"t2\.png"):
        dataset[2]
    (problem,) = dataset.check()
    assert problem.message.endswith("t2.png: target: no such file or directory")


def test_names_that_occur_twice_are_named(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", {"1.image.png": png(picture(0)), "1.json": b'{"name": "x"}'})
    write_tar(tmp_path / "b.tar", {"1.image.png": png(picture(1)), "1.json": b'{"name": "x"}'})
    assert [p.message for p in data.TarShards(tmp_path).check()] == ["x: there are several samples of this name"]


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (disc().astype(np.uint16) * 257, disc()),
        (np.dstack([disc()] * 3), disc()),
        (np.dstack([picture(0), disc()]), disc()),
        (disc() // 2 + 100, disc() // 2 + 100),  # soft
    ],
    ids=["16 bit", "three channels", "alpha", "soft"],
)
def test_masks_of_any_kind_are_read(triples: Path, mask: np.ndarray, expected: np.ndarray) -> None:
    put(triples / "mask" / "t0.png", mask)
    assert np.array_equal(data.Triples(triples)[0]["mask"], expected)


@pytest.mark.parametrize(
    ("mask", "says"),
    [(disc() // 255, "its largest value is 1"), (picture(0), "a colour image")],
    ids=["ones", "colour"],
)
def test_masks_that_say_nothing_are_refused(triples: Path, mask: np.ndarray, says: str) -> None:
    put(triples / "mask" / "t0.png", mask)
    with pytest.raises(errors.MaskError, match=says):
        data.Triples(triples)[0]


def test_the_mask_of_a_jpeg_has_no_noise(triples: Path) -> None:
    (triples / "mask" / "t0.png").unlink()
    put(triples / "mask" / "t0.jpg", disc())
    mask = data.Triples(triples)[0]["mask"]
    assert set(np.unique(mask[np.abs(disc().astype(int) - mask) <= 8])) == {0, 255}


def test_pictures_become_8_bit_rgb(triples: Path) -> None:
    put(triples / "composite" / "t0.png", picture(0)[..., 0])
    put(triples / "target" / "t0.png", picture(0).astype(np.uint16) * 257)
    put(triples / "composite" / "t1.png", np.dstack([picture(1), disc()]))
    dataset = data.Triples(triples)
    assert np.array_equal(dataset[0]["composite"], np.repeat(picture(0)[..., :1], 3, axis=2))
    assert np.array_equal(dataset[0]["target"], picture(0))
    assert np.array_equal(dataset[1]["composite"], picture(1))


# Layouts


def test_a_table_of_triples(triples: Path, tmp_path: Path) -> None:
    table = tmp_path / "list.csv"
    table.write_text("name,composite,mask,target\nfirst,set/composite/t1.png,set/mask/t0.png,set/target/t1.png\n")
    dataset = data.Triples.from_table(table)
    assert list(dataset.names) == ["first"]
    same(dataset[0], data.Triples(triples)[1])
    for text, says in (
        ("composite,mask\na,b\n", "no column target"),
        ("composite,mask,target\na,,b\n", "csv:2: mask is empty"),
        ("composite,mask,target\na,b,c\na,b,c\n", "csv:3: the name 'a' occurs twice"),
    ):
        table.write_text(text)
        with pytest.raises(errors.DataError, match=says):
            data.Triples.from_table(table)


def test_photos_with_masks_and_without(tmp_path: Path) -> None:
    for i in range(2):
        put(tmp_path / "images" / f"p{i}.jpg", picture(i))
        put(tmp_path / "masks" / f"p{i}.png", disc())
    sample = data.Photos(tmp_path)[1]
    assert set(sample) == {"name", "image", "mask"} and sample["image"].shape == (24, 32, 3)
    assert set(data.Photos(tmp_path, mask=None)[0]) == {"name", "image"}
    put(tmp_path / "images" / "p1.png", picture(1))
    with pytest.raises(errors.DataError, match=r"p1\.png: p1\.jpg in the same folder has the same stem"):
        data.Photos(tmp_path)
    with pytest.raises(FileNotFoundError, match="real"):
        data.Photos(tmp_path, image="real")


@pytest.fixture
def iharmony4(tmp_path: Path) -> Path:
    """Returns two sets of iHarmony4 with its own names."""
    root = tmp_path / "iHarmony4"
    lists: dict[str, list[str]] = {"train": [], "test": []}
    for subset, names in {"HCOCO": ["c1_1_1", "c1_1_2", "c1_2_1"], "Hday2night": ["d9-8_1_4"]}.items():
        for i, name in enumerate(names):
            real, place, _ = name.rsplit("_", 2)
            put(root / subset / "composite_images" / f"{name}.jpg", picture(i))
            put(root / subset / "masks" / f"{real}_{place}.png", disc())
            put(root / subset / "real_images" / f"{real}.jpg", picture(7))
            lists["test" if name.endswith("_2") else "train"].append(f"{subset}/composite_images/{name}.jpg")
    for split, lines in lists.items():
        (root / f"IHD_{split}.txt").write_text("\n".join(lines) + "\n")
    return root


def test_iharmony4_is_read_by_its_lists(iharmony4: Path) -> None:
    train = data.IHarmony4(iharmony4)
    assert list(train.names) == ["HCOCO/c1_1_1", "HCOCO/c1_2_1", "Hday2night/d9-8_1_4"]
    assert list(train.groups) == ["HCOCO/c1", "HCOCO/c1", "Hday2night/d9-8"]
    assert train[2]["subset"] == "Hday2night" and train[2]["mask"].shape == (24, 32)
    assert {role: path.relative_to(iharmony4).as_posix() for role, path in train.paths(1).items()} == {
        "composite": "HCOCO/composite_images/c1_2_1.jpg",
        "target": "HCOCO/real_images/c1.jpg",
        "mask": "HCOCO/masks/c1_2.png",
    }
    assert list(data.IHarmony4(iharmony4, "test").names) == ["HCOCO/c1_1_2"]
    assert len(data.IHarmony4(iharmony4, "all")) == 4
    assert list(data.IHarmony4(iharmony4, subsets=["Hday2night"]).names) == ["Hday2night/d9-8_1_4"]
    assert data.IHarmony4(iharmony4, "all").check() == []


def test_iharmony4_may_have_the_lists_of_its_sets(iharmony4: Path) -> None:
    (iharmony4 / "IHD_train.txt").unlink()
    with pytest.raises(errors.DataError, match=r"no list of train; expected IHD_train\.txt or HCOCO/HCOCO_train\.txt"):
        data.IHarmony4(iharmony4)
    (iharmony4 / "HCOCO" / "HCOCO_train.txt").write_text("c1_1_1.jpg\r\n\r\nc1_2_1.jpg")
    assert list(data.IHarmony4(iharmony4).names) == ["HCOCO/c1_1_1", "HCOCO/c1_2_1"]


def test_a_set_of_iharmony4_is_a_data_set(iharmony4: Path) -> None:
    whole = data.IHarmony4(iharmony4, "train", ["HCOCO"])
    (iharmony4 / "HCOCO" / "HCOCO_train.txt").write_text("\n".join(f"{n.split('/')[1]}.jpg" for n in whole.names))
    (iharmony4 / "HCOCO" / "HCOCO_test.txt").write_text("")
    for one in (data.IHarmony4(iharmony4 / "HCOCO"), data.open_dataset(iharmony4 / "HCOCO", split="train")):
        assert one.names == whole.names and one.groups == whole.groups and one.check() == []
        same(one[0], whole[0], "composite", "target", "mask")


def test_iharmony4_without_lists_is_its_files(iharmony4: Path) -> None:
    whole = data.IHarmony4(iharmony4, "all")
    for path in iharmony4.glob("IHD_*.txt"):
        path.unlink()
    with pytest.raises(errors.DataError, match=r"no list of test; expected .*; the split 'all' needs none"):
        data.IHarmony4(iharmony4, "test")
    with pytest.warns(errors.PyHarmonyWarning, match="no lists of iHarmony4; all 4 composites of its folders are read"):
        files = data.open_dataset(iharmony4)
    assert isinstance(files, data.IHarmony4) and files.check() == []
    assert sorted(zip(files.names, files.groups, files.subset_of, strict=True)) == sorted(
        zip(whole.names, whole.groups, whole.subset_of, strict=True)
    )
    with pytest.warns(errors.PyHarmonyWarning, match="no lists of iHarmony4; all 3 composites"):
        one = data.IHarmony4(iharmony4 / "HCOCO", "all")
    assert set(one.names) == {"HCOCO/c1_1_1", "HCOCO/c1_1_2", "HCOCO/c1_2_1"} and one.check() == []
    with pytest.warns(errors.PyHarmonyWarning, match="no lists of iHarmony4"):
        assert data.IHarmony4(iharmony4, "all", ["Hday2night"]).names == ["Hday2night/d9-8_1_4"]
    with pytest.raises(errors.DataError, match="no lists and no subsets"):
        data.IHarmony4(iharmony4 / "HCOCO" / "masks", "all")


@pytest.mark.parametrize("folders", [("Composite", "Mask", "Real"), ("composite_images", "masks", "real_images")])
def test_triples_may_be_named_as_iharmony4_names_them(
    iharmony4: Path, tmp_path: Path, folders: tuple[str, str, str]
) -> None:
    whole = data.IHarmony4(iharmony4, "all")
    for number in range(len(whole)):
        paths = whole.paths(number)
        for role, folder in zip(("composite", "mask", "target"), folders, strict=True):
            (tmp_path / "own" / folder).mkdir(parents=True, exist_ok=True)
            shutil.copy(paths[role], tmp_path / "own" / folder)
    dataset = data.open_dataset(tmp_path / "own")
    assert isinstance(dataset, data.Triples) and dataset.check() == []
    assert sorted(dataset.names) == sorted(name.split("/")[1] for name in whole.names)
    for name, group, sample in zip(whole.names, whole.groups, whole, strict=True):
        at = dataset.names.index(name.split("/")[1])
        assert dataset.groups[at] == group.split("/")[1]
        same(dataset[at], sample, "composite", "target", "mask")
    shutil.copy(whole.paths(0)["mask"], tmp_path / "own" / folders[1] / "x9_9.png")
    (tmp_path / "own" / folders[2] / whole.paths(0)["target"].name).unlink()
    says = [problem.message for problem in dataset.check()]
    assert any("no target of" in message or "no such file" in message for message in says)
    assert any(
        "x9_9.png: there is no composite of this stem" in m
        for m in [p.message for p in data.Triples(tmp_path / "own").check()]
    )


def test_what_is_wrong_with_iharmony4_is_named(iharmony4: Path) -> None:
    (iharmony4 / "HCOCO" / "real_images" / "c1.jpg").unlink()
    truncated(iharmony4 / "Hday2night" / "composite_images" / "d9-8_1_4.jpg")
    names = [problem.name for problem in data.IHarmony4(iharmony4, "all").check()]
    assert names == ["HCOCO/c1_1_1", "HCOCO/c1_2_1", "Hday2night/d9-8_1_4", "HCOCO/c1_1_2"]
    (iharmony4 / "IHD_train.txt").write_text("HCOCO/composite_images/c1_1_1.jpg\nx1_1_1.jpg\n")
    with pytest.raises(errors.DataError, match=r"IHD_train\.txt:2: 'x1_1_1\.jpg', expected a composite"):
        data.IHarmony4(iharmony4)
    with pytest.raises(errors.ArgumentError, match="split: 'val'"):
        data.IHarmony4(iharmony4, "val")
    with pytest.raises(errors.ArgumentError, match="subsets: 'HFoo'"):
        data.IHarmony4(iharmony4, subsets=["HFoo"])


def entry(root: Path, file: str, role: str, pair: str, split: str) -> dict[str, Any]:
    content = (root / file).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return {"file": file, "role": role, "pair": pair, "split": split, "bytes": len(content), "sha256": digest}


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    entries = []
    for i, split in enumerate(("train", "train", "test")):
        put(tmp_path / "images" / f"{i}.png", picture(i))
        entries.append(entry(tmp_path, f"images/{i}.png", "photo", f"p{i}", split))
        if i:
            put(tmp_path / "masks" / f"{i}.png", disc())
            entries.append(entry(tmp_path, f"masks/{i}.png", "mask", f"p{i}", split))
    (tmp_path / "manifest.json").write_text(json.dumps({"entries": entries}))
    return tmp_path


def test_a_manifest_is_read_by_pairs(manifest: Path) -> None:
    dataset = data.Manifest(manifest)
    assert list(dataset.names) == ["p0", "p1", "p2"] and set(dataset[0]) == {"name", "image"}
    same(dataset[2], {"image": picture(2), "mask": disc()}, "image", "mask")
    assert list(data.Manifest(manifest, "train", roles=("image", "mask")).names) == ["p1"]
    assert dataset.check() == []
    put(manifest / "images" / "1.png", picture(9))
    (manifest / "masks" / "2.png").write_bytes((manifest / "masks" / "2.png").read_bytes() + b"\0")
    problems = [problem.message.rpartition("/")[2] for problem in dataset.check()]
    assert [problem.split()[0] for problem in problems] == ["1.png:", "2.png:"]
    assert "sha256" in problems[0] or "bytes" in problems[0]


def test_what_a_manifest_shows_goes_through_sets_made_of_it(manifest: Path) -> None:
    table = json.loads((manifest / "manifest.json").read_text())
    for i, one in enumerate(table["entries"]):
        one["category"] = "person" if one["pair"] == "p1" else f"thing {i}"
    (manifest / "manifest.json").write_text(json.dumps(table))
    dataset = data.Manifest(manifest)
    assert list(dataset.categories) == ["thing 0", "person", "thing 3"]
    cached = data.Cached(data.Resized(data.Subset(data.Joined([dataset, dataset]), [4, 0]), 16))
    assert list(cached.categories) == ["person", "thing 0"]
    assert list(data.Photos(manifest).categories) == ["", "", ""]


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ([{"file": "../a.png", "role": "photo", "pair": "a"}], r"'\.\./a\.png' is outside"),
        ([{"file": "a.png", "role": "photo"}], "entry 0: expected file, role and pair"),
        ([{"file": f"{i}.png", "role": "photo", "pair": "a"} for i in range(2)], "a has the role photo twice"),
        ({}, "expected an object with a list 'entries'"),
    ],
)
def test_a_manifest_that_misleads_is_refused(tmp_path: Path, entries: Any, says: str) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"entries": entries}))
    with pytest.raises(errors.DataError, match=says):
        data.Manifest(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(errors.DataError, match="invalid JSON"):
        data.Manifest(tmp_path)


def test_every_image_of_a_folder_is_read_and_the_others_are_counted(tmp_path: Path) -> None:
    """A file is an image by its name or by its bytes."""
    names = ["a.jfif", "b.jpe", "c.JPG", "d", "e.photo", "f.Png", "g.heic.webp", "h.dib", "i.tmp"]
    formats = ["JPEG", "JPEG", "JPEG", "PNG", "JPEG", "PNG", "WEBP", "BMP", "TIFF"]
    (tmp_path / "images" / "folder.jpg").mkdir(parents=True)
    for name, format in zip(names, formats, strict=True):
        Image.fromarray(picture(1)).save(tmp_path / "images" / name, format)
    (tmp_path / "images" / "notes.txt").write_text("three cats")
    (tmp_path / "images" / "empty").write_bytes(b"")
    (tmp_path / "images" / "moving.gif").write_bytes(b"GIF89a")
    (tmp_path / "images" / ".hidden").write_bytes(b"x")
    (tmp_path / "images" / "damaged.png").write_bytes(b"no image")
    os.mkfifo(tmp_path / "images" / "pipe")
    os.mkfifo(tmp_path / "images" / "pipe.png")
    (tmp_path / "images" / "nowhere.jpg").symlink_to(tmp_path / "gone.jpg")
    text = r"images: 5 files are no image that is read and left out: empty, moving\.gif, notes\.txt and 2 more"
    with pytest.warns(errors.PyHarmonyWarning, match=text):
        photos = data.Photos(tmp_path, mask=None)
    stems = {"a", "b", "c", "d", "e", "f", "g.heic", "h", "i", "damaged", "nowhere"}
    assert set(photos.names) == stems
    assert {problem.name for problem in photos.check()} == {"damaged", "nowhere"}
    with pytest.warns(errors.PyHarmonyWarning, match="images: 5 files are"):
        scenes = data.AlignedScenes(tmp_path)
    assert len(scenes) == len(stems)


SOUND = {"name": "a", "image": picture(1), "mask": disc()}


@pytest.mark.parametrize(
    ("change", "texts"),
    [
        ({}, []),
        ({"mask": disc() // 255}, ["mask: its largest value is 1, expected 255 for fully inside"]),
        ({"mask": disc() > 0}, ["mask: bool, expected an array of uint8"]),
        ({"mask": disc() / 255}, ["mask: float64, expected an array of uint8; 255 is fully inside"]),
        ({"mask": disc()[..., None]}, [r"mask: shape \[24, 32, 1\], expected \[H, W\]"]),
        ({"mask": disc().T}, ["mask: 24 x 32 pixels, expected 32 x 24 as image"]),
        ({"mask": 0 * disc()}, ["mask: empty; no pixel is at least half inside, its largest value is 0"]),
        ({"mask": disc() // 255 * 7}, ["mask: empty; .*its largest value is 7"]),
        ({"image": picture(1) / np.float32(255)}, ["image: float32, expected an array of uint8; 255 is white"]),
        ({"image": picture(1).astype(np.uint16) * 16}, ["image: uint16, expected an array of uint8"]),
        ({"image": picture(1)[..., :1]}, [r"image: shape \[24, 32, 1\], expected \[H, W, 3\]"]),
        ({"image": np.dstack([picture(1), disc()])}, [r"image: shape \[24, 32, 4\]"]),
        ({"image": np.moveaxis(picture(1), -1, 0)}, [r"image: shape \[3, 24, 32\]"]),
        ({"image": (picture(1) > 60).astype(np.uint8)}, ["image: its largest value is 1, expected 255 for white"]),
        ({"image": picture(1).tolist(), "mask": disc() > 0}, ["image: list, expected an array", "mask: bool"]),
        ({"target": picture(1)[:12]}, ["target: 32 x 12 pixels, expected 32 x 24 as image"]),
        ({"box": (1, 2, 10, 9)}, []),
        ({"box": (10, 9, 30, 0)}, [r"box: \(10, 9, 30, 0\), expected a width and a height above 0"]),
        ({"box": (0.1, 0.2, 0.5, 0.5)}, ["box: .*shares of the image's size"]),
        ({"boxes": [(1, 2, 10, 9), (40, 2, 5, 5)]}, [r"boxes\[1\]: .*is outside of an image of 32 x 24"]),
        ({"box_xyxy": (1, 2, 10, 25)}, []),
        ({"boxes_xyxy": np.array([[5, 5, 4, 9]])}, [r"boxes_xyxy\[0\]: .*expected x0 < x1"]),
    ],
)  # fmt: skip
def test_samples_are_looked_at(change: dict[str, Any], texts: list[str]) -> None:
    """Whether they come from `_load`, from `__getitem__`, or through another data set."""

    class Loading(data.Dataset):
        names = ("a",)

        def _load(self, index: int) -> dict[str, Any]:
            return {**SOUND, **change}

    class Getting(data.Dataset):
        names = ("a",)

        def __getitem__(self, index: int) -> dict[str, Any]:
            return {**SOUND, **change}

    for own in (Loading(), Getting(), data.Subset(Loading(), [0]), data.Cached(Loading()), data.Joined([Getting()])):
        problems = own.check()
        assert [problem.name for problem in problems] == ["a"] * len(texts)
        for problem, text in zip(problems, texts, strict=True):
            assert re.search(f"a: {text}", problem.message), problem.message


def test_samples_that_are_none() -> None:
    class Strange(data.Dataset):
        names = ("a", "b", "c")

        def _load(self, index: int) -> Any:
            return [{"name": "a", "img": 3}, (picture(1), disc()), None][index]

    assert [problem.message for problem in Strange().check()] == [
        "a: has name, img; expected composite, target, image, src, dst or mask",
        "b: a tuple, expected a dict of its name and its arrays",
        "c: a NoneType, expected a dict of its name and its arrays",
    ]


# COCO


def runs_of(mask: np.ndarray) -> list[int]:
    """Returns the lengths of runs down the columns, outside first."""
    flat = (mask > 0).T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff([0, *edges, flat.size]).tolist()
    return [0, *lengths] if flat[0] else lengths


def text_of(lengths: list[int]) -> str:
    """Returns COCO's text of run lengths."""
    letters = []
    for i, length in enumerate(lengths):
        value = length - lengths[i - 2] if i > 2 else length
        while True:
            piece, value = value & 31, value >> 5
            more = value != (-1 if piece & 16 else 0)
            letters.append(chr(48 + piece + 32 * more))
            if not more:
                break
    return "".join(letters)


@given(height=st.integers(1, 40), width=st.integers(1, 40), level=st.floats(0.02, 0.98), seed=st.integers(0, 2**32 - 1))
def test_runs_are_decoded(height: int, width: int, level: float, seed: int) -> None:
    mask = np.where(np.random.default_rng(seed).random((height, width)) < level, 255, 0).astype(np.uint8)
    lengths = runs_of(mask)
    for counts in (lengths, text_of(lengths), text_of(lengths).encode()):
        pixels = data.decode_segmentation({"size": [height, width], "counts": counts}, height, width)
        assert np.array_equal(pixels, mask)


def test_the_text_of_runs_is_that_of_coco() -> None:
    # 6 columns of 6, an inner square of 2: runs 14, 2, 4, 2, 14
    mask = np.zeros((6, 6), np.uint8)
    mask[2:4, 2:4] = 255
    assert runs_of(mask) == [14, 2, 4, 2, 14] and text_of(runs_of(mask)) == ">240:"
    assert np.array_equal(data.decode_segmentation({"size": [6, 6], "counts": ">240:"}, 6, 6), mask)


def test_a_polygon_covers_the_pixels_whose_centres_are_in_it() -> None:
    mask = data.decode_segmentation([[1, 1, 4, 1, 4, 3, 1, 3]], 5, 6)
    expected = np.zeros((5, 6), np.uint8)
    expected[1:3, 1:4] = 255
    assert np.array_equal(mask, expected)
    # x + y < 4 at the centres; and a second part, partly outside
    mask = data.decode_segmentation([[0, 0, 4, 0, 0, 4], [5, 3, 9, 3, 9, 9, 5, 9]], 5, 6)
    y, x = np.mgrid[:5, :6]
    assert np.array_equal(mask > 0, (x + y + 1 < 4) | ((x >= 5) & (y >= 3)))


@given(
    points=st.lists(st.tuples(st.floats(-5, 25), st.floats(-5, 25)), min_size=3, max_size=8),
)
def test_a_polygon_is_its_even_odd_rule(points: list[tuple[float, float]]) -> None:
    mask = data.decode_segmentation([[value for point in points for value in point]], 20, 20) > 0
    for row, column in ((0, 0), (5, 7), (10, 10), (19, 3), (12, 19)):
        x, y = column + 0.5, row + 0.5
        crossings = []
        for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
            if (y0 <= y) != (y1 <= y):
                crossings.append(x0 + (y - y0) * (x1 - x0) / (y1 - y0))
        if all(abs(crossing - x) > 1e-9 for crossing in crossings):
            assert mask[row, column] == (sum(crossing <= x for crossing in crossings) % 2 == 1)


@pytest.mark.parametrize(
    ("segmentation", "says"),
    [
        ([], "expected polygons, or size and counts"),
        (None, "expected polygons, or size and counts"),
        ([[1, 2, 3, 4]], "fewer than three points"),
        ([[1, 2, 3, 4, 5, "x"]], "fewer than three points"),
        ([[1, 2, 3, 4, 5, float("nan")]], "fewer than three points"),
        ({"size": [4, 4], "counts": [30]}, r"size \[4, 4\], expected \[5, 6\]"),
        ({"size": [5, 6], "counts": [31]}, "its runs do not fit 6 x 5 pixels"),
        ({"size": [5, 6], "counts": [40, -10]}, "its runs do not fit 6 x 5 pixels"),
        ({"size": [5, 6], "counts": None}, "its runs do not fit 6 x 5 pixels"),
        ({"size": [5, 6], "counts": [10**30]}, "its runs do not fit 6 x 5 pixels"),
        ({"size": [5, 6], "counts": "\x01"}, "in the text of runs"),
        ({"size": [5, 6], "counts": "o"}, "ends within a number"),
        ({"size": [5, 6], "counts": "o" * 40}, "more than 60 bits"),
    ],
)
def test_a_segmentation_that_is_none_is_refused(segmentation: Any, says: str) -> None:
    with pytest.raises(errors.ArgumentError, match=says):
        data.decode_segmentation(segmentation, 5, 6)


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    put(tmp_path / "images" / "000139.jpg", picture(1))
    put(tmp_path / "images" / "000140.jpg", picture(2))
    box = [4, 4, 20, 4, 20, 20, 4, 20]
    runs = {"size": [24, 32], "counts": runs_of(disc())}
    photos = [{"id": i, "file_name": f"{i:06}.jpg", "height": 24, "width": 32} for i in (139, 140, 141)]
    people = [
        {"id": 1, "image_id": 139, "category_id": 1, "segmentation": [box], "area": 256, "iscrowd": 0},
        {"id": 2, "image_id": 139, "category_id": 1, "segmentation": runs, "area": 200, "iscrowd": 1},
        {"id": 3, "image_id": 140, "category_id": 1, "segmentation": [box], "area": 6, "iscrowd": 0},
        {"id": 4, "image_id": 140, "category_id": 2, "segmentation": [box], "area": 256, "iscrowd": 0},
    ]
    table = {
        "images": photos,
        "annotations": people,
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "cat"}],
    }
    (tmp_path / "people.json").write_text(json.dumps(table))
    return tmp_path


def test_people_of_coco(coco: Path) -> None:
    people = data.CocoPeople(coco / "people.json", coco / "images")
    assert list(people.names) == ["000139_1", "000140_3"] and list(people.groups) == ["000139.jpg", "000140.jpg"]
    assert people[0]["share"] == 256 / 768
    assert people[0]["mask"][4:20, 4:20].all() and np.count_nonzero(people[0]["mask"]) == 256
    share = data.CocoPeople(coco / "people.json", coco / "images", min_share=0.05, max_share=0.6, crowd=True)
    assert list(share.names) == ["000139_1", "000139_2"]
    assert np.array_equal(share[1]["mask"], disc())
    assert list(data.CocoPeople(coco / "people.json", coco / "images", "cat").names) == ["000140_4"]


def test_what_is_wrong_with_annotations_is_named(coco: Path) -> None:
    path = coco / "people.json"
    table = json.loads(path.read_text())
    one = table["annotations"][0]
    table["annotations"] += [
        {**one, "id": 5, "image_id": 141},
        {**one, "id": 6, "segmentation": [[1, 2]]},
        {**one, "id": 7, "image_id": 999},
        {"category_id": 1},
        {**one, "id": 8, "segmentation": [[0, 0, 0.1, 0, 0, 0.1]]},
    ]
    table["images"].append({"id": 200, "file_name": "../../x.jpg", "height": 24, "width": 32})
    table["annotations"].append({**one, "id": 9, "image_id": 200})
    path.write_text(json.dumps(table))
    people = data.CocoPeople(path, coco / "images")
    problems = {problem.name: problem.message for problem in people.check()}
    assert problems.keys() == {"000141_5", "000139_6", "annotation 6", "annotation 7", "000139_8", "x_9"}
    assert "000141.jpg: image: no such file" in problems["000141_5"]
    assert "fewer than three points" in problems["000139_6"]
    assert "there is no image 999" in problems["annotation 6"]
    assert "expected id, image_id, segmentation and area" in problems["annotation 7"]
    assert "empty" in problems["000139_8"]
    assert "is outside" in problems["x_9"]
    with pytest.raises(errors.DataError, match=r"no category 'dog', expected one of cat, person"):
        data.CocoPeople(path, coco / "images", "dog")
    table["categories"] = [{"name": "person"}, 3]
    table["images"].append({"id": []})
    table["annotations"] = [{**one, "image_id": {}}, {**one, "category_id": None, "image_id": []}, 7]
    path.write_text(json.dumps(table))
    assert [problem.name for problem in data.CocoPeople(path, coco / "images").check()] == [
        "annotation 1",
        "annotation 2",
    ]
    path.write_text("[" * 100_000)
    with pytest.raises(errors.DataError, match="invalid JSON"):
        data.CocoPeople(path, coco / "images")
    path.write_text("[]")
    with pytest.raises(errors.DataError, match="no list 'images'"):
        data.CocoPeople(path, coco / "images")


# Aligned scenes


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    for scene, count in (("00000064", 3), ("00000090", 2), ("unlisted", 2)):
        for i in range(count):
            put(tmp_path / scene / f"{i}.jpg", picture(i))
    (tmp_path / "boxes.txt").write_text("00000064:2,3,20,30\n00000090: 0, 0, 24, 32\n\n")
    return tmp_path


def test_aligned_scenes_are_cropped(scenes: Path) -> None:
    dataset = data.AlignedScenes(scenes, scenes / "boxes.txt")
    assert list(dataset.names) == ["00000064/0", "00000064/1", "00000064/2", "00000090/0", "00000090/1"]
    assert dataset.scenes == {"00000064": [0, 1, 2], "00000090": [3, 4]} and list(dataset.groups) == dataset.scene_of
    assert dataset[1]["image"].shape == (18, 27, 3) and dataset[1]["scene"] == "00000064"
    whole = data.AlignedScenes(scenes)
    assert len(whole) == 7 and np.array_equal(dataset[1]["image"], whole[1]["image"][2:20, 3:30])


def test_pairs_are_of_one_scene(scenes: Path) -> None:
    pairs = data.AlignedScenes(scenes, scenes / "boxes.txt").pairs(40, seed=1)
    assert len(pairs) == 40 and pairs.check() == []
    for name in pairs.names:
        _, src, dst = name.split(":")
        assert src != dst and src.split("/")[0] == dst.split("/")[0]
    assert set(pairs.groups) == {"00000064", "00000090"}
    again, other = (data.AlignedScenes(scenes, scenes / "boxes.txt").pairs(40, seed=seed) for seed in (1, 2))
    assert list(pairs.names) == list(again.names) != list(other.names)
    assert set(pairs[0]) == {"name", "src", "dst", "scene"}


@pytest.mark.parametrize(
    ("line", "error", "says"),
    [
        ("00000064:0,0,10", errors.DataError, "boxes.txt:1: '00000064:0,0,10', expected scene:top,left,bottom,right"),
        ("00000064:5,5,5,9", errors.DataError, "an empty box 5,5,5,9"),
        ("00000064:0,0,9,9\n00000064:0,0,9,9", errors.DataError, "listed twice"),
        ("../x:0,0,9,9", errors.DataError, "is outside"),
        ("missing:0,0,9,9", FileNotFoundError, "none of the 1 of boxes"),
    ],
)
def test_boxes_that_are_none_are_refused(scenes: Path, line: str, error: type[Exception], says: str) -> None:
    (scenes / "boxes.txt").write_text(line)
    with pytest.raises(error) as info:
        data.AlignedScenes(scenes, scenes / "boxes.txt")
    assert says in str(info.value)


def test_a_scene_of_fewer_than_two_images_is_a_problem(scenes: Path) -> None:
    (scenes / "empty").mkdir()
    put(scenes / "single" / "0.jpg", picture(0))
    with (scenes / "boxes.txt").open("a") as file:
        file.write("empty:0,0,9,9\nsingle:0,0,9,9\n")
    dataset = data.AlignedScenes(scenes, scenes / "boxes.txt")
    assert dataset.check() == [
        data.Problem(name, f"{scenes / name}: {count} images, expected two or more; pairs skips the scene")
        for name, count in (("empty", 0), ("single", 1))
    ]
    assert set(dataset.pairs(40).groups) == {"00000064", "00000090"}


def test_scenes_without_a_folder_are_left_out(scenes: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (scenes / "boxes.txt").open("a") as file:
        file.write("".join(f"gone{i}:0,0,9,9\n" for i in range(5)))
    dataset = data.AlignedScenes(scenes, scenes / "boxes.txt")
    assert dataset.missing == [f"gone{i}" for i in range(5)]
    assert "5 of 7 scenes have no folder" in caplog.text and "gone0, gone1, gone2 and 2 more" in caplog.text
    assert set(dataset.scenes) == {"00000064", "00000090"}
    assert data.Problem("gone3", f"{scenes / 'gone3'}: no such folder; the scene is skipped") in dataset.check()
    assert set(dataset.pairs(40).groups) == {"00000064", "00000090"}


def test_cropped_scenes_are_written_by_their_names(scenes: Path, tmp_path: Path) -> None:
    dataset = data.AlignedScenes(scenes, scenes / "boxes.txt")
    assert data.write_scenes(dataset, tmp_path / "cropped", quality=100, threads=2) == []
    again = data.AlignedScenes(tmp_path / "cropped")
    assert again.names == dataset.names and again.scenes == dataset.scenes
    for index, (a, b) in enumerate(zip(dataset, again, strict=True)):
        assert again.path_of(index).name == dataset.path_of(index).name
        assert a["image"].shape == b["image"].shape
        assert np.abs(a["image"].astype(int) - b["image"]).mean() < 3
    with pytest.raises(FileExistsError):
        data.write_scenes(dataset, tmp_path / "cropped")
    data.write_scenes(dataset, tmp_path / "cropped", overwrite=True)
    (tmp_path / "cropped" / "notes.txt").write_text("mine")
    with pytest.raises(errors.DataError, match=r"contains notes\.txt, so it is not replaced"):
        data.write_scenes(dataset, tmp_path / "cropped", overwrite=True)
    (tmp_path / "cropped" / "notes.txt").unlink()
    with pytest.raises(errors.DataError, match="contains the source scenes"):
        data.write_scenes(again, tmp_path / "cropped", overwrite=True)


def test_an_image_that_cannot_be_cropped_is_left_out_or_ends_it(scenes: Path, tmp_path: Path) -> None:
    first = sorted((scenes / "00000064").iterdir())[0]
    first.write_bytes(first.read_bytes()[:50])
    dataset = data.AlignedScenes(scenes, scenes / "boxes.txt")
    with pytest.raises(errors.DecodeError):
        data.write_scenes(dataset, tmp_path / "cropped")
    assert not (tmp_path / "cropped").exists()
    left_out = data.write_scenes(dataset, tmp_path / "cropped", errors="skip")
    assert [problem.name for problem in left_out] == [f"00000064/{first.stem}"]
    assert len(data.AlignedScenes(tmp_path / "cropped")) == len(dataset) - 1


def test_a_box_beyond_its_picture_is_named(scenes: Path) -> None:
    (scenes / "boxes.txt").write_text("00000064:0,0,25,32")
    assert len(data.AlignedScenes(scenes, scenes / "boxes.txt").check()) == 3
    with pytest.raises(errors.ArgumentError, match="no scene has two images"):
        data.AlignedScenes(put(scenes / "few" / "one" / "a.png", picture(0)).parent.parent).pairs(3)


# Sizes and splits


def test_a_sample_is_resized_as_published(triples: Path) -> None:
    from PIL import Image

    sample = data.Triples(triples)[0]
    resized = data.Resized(data.Triples(triples), 16)[0]
    bilinear = Image.fromarray(sample["composite"]).resize((16, 16), Image.Resampling.BILINEAR)
    nearest = Image.fromarray(sample["mask"]).resize((16, 16), Image.Resampling.NEAREST)
    same(resized, {"composite": np.asarray(bilinear), "mask": np.asarray(nearest)}, "composite", "mask")
    dot = np.zeros((24, 32), np.uint8)
    dot[0, 0] = 255
    with pytest.raises(errors.MaskError, match="t0: its mask is empty at 4 x 4 pixels"):
        data.resize_sample({**sample, "mask": dot}, 4)
    soft = data.resize_sample({**sample, "mask": np.full((24, 32), 128, np.uint8)}, 24)
    assert (soft["mask"] == 255).all()


class SmallObjects(data.Dataset):
    """Fifty photographs of 640 x 480 pixels with an object of 8 x 8 each, somewhere."""

    def __init__(self) -> None:
        self.names = [f"p{i}" for i in range(50)]
        self.places = np.random.default_rng(0).integers((0, 0), (632, 472), (50, 2))

    def _load(self, index: int) -> dict[str, Any]:
        left, top = self.places[index]
        mask = np.zeros((480, 640), np.uint8)
        mask[top : top + 8, left : left + 8] = 255
        return {"name": self.names[index], "image": np.full((480, 640, 3), 99, np.uint8), "mask": mask}


def test_objects_that_vanish_at_the_size_of_a_training_are_problems() -> None:
    """Of ten columns one is kept: an object whose eight lie between two of those is gone."""
    photos = SmallObjects()
    assert photos.check() == []
    gone = [i for i, (left, _) in enumerate(photos.places) if left % 10 in (6, 7)]
    assert gone
    problems = photos.check(size=64, threads=2)
    assert [problem.name for problem in problems] == [f"p{i}" for i in gone]
    assert problems[0].message == f"p{gone[0]}: its mask is empty at 64 x 64 pixels"
    assert photos.check(size=256) == []
    with pytest.raises(errors.UnusableSample, match="its mask is empty"):
        data.Resized(photos, 64)[gone[0]]
    with pytest.raises(errors.ArgumentError, match="size: 0"):
        photos.check(size=0)


def test_objects_of_shards_that_vanish_at_a_smaller_size_are_problems(tmp_path: Path) -> None:
    shards = data.write_shards(SmallObjects(), tmp_path / "shards", size=256)
    assert shards.check() == [] and shards.check(size=256) == []
    problems = shards.check(size=32)
    assert problems and all("its mask is empty at 32 x 32 pixels" in problem.message for problem in problems)
    with pytest.raises(errors.ArgumentError, match="size: 0"):
        shards.check(size=0)


def test_a_mask_of_the_whole_image_is_not_inverted() -> None:
    class Whole(SmallObjects):
        def _load(self, index: int) -> dict[str, Any]:
            return {**super()._load(index), "mask": np.full((480, 640), 255, np.uint8)}

    photos = Whole()
    varied = data.Varied(photos, inverted=1.0, with_masks=range(50))
    assert all(varied[i]["mask"].min() == 255 for i in range(5))
    assert data.Varied(SmallObjects(), inverted=1.0, with_masks=range(50))[0]["mask"].mean() > 250


def test_a_name_is_dealt_by_itself() -> None:
    names = [f"photo {i}" for i in range(4000)]
    splits = [data.split_of(name) for name in names]
    # of 4000 draws of probability p, within four standard deviations
    for split, share in data.SHARES.items():
        assert abs(splits.count(split) - 4000 * share) < 4 * (4000 * share * (1 - share)) ** 0.5
    assert [data.split_of(name) for name in names[:50]] == splits[:50]
    assert [data.split_of(name, seed=1) for name in names] != splits
    assert data.split_of("HCOCO/c1") == "train" and data.split_of("photo 40") == splits[40]
    assert {data.split_of(name, {"a": 0.0, "b": 1.0}) for name in names} == {"b"}
    with pytest.raises(errors.ArgumentError, match="shares: they sum to"):
        data.split_of("a", {"a": 0.5})


def test_what_shows_the_same_stays_together(iharmony4: Path) -> None:
    parts = data.split(data.IHarmony4(iharmony4, "all"), {"one": 0.5, "two": 0.5}, seed=3)
    assert sum(map(len, parts.values())) == 4
    groups = [set(part.groups) for part in parts.values()]
    assert not groups[0] & groups[1]
    for part in parts.values():
        for i, name in enumerate(part.names):
            assert part[i]["name"] == name
    assert all(part.check() == [] for part in parts.values())


def test_a_subset_is_of_what_there_is(triples: Path) -> None:
    subset = data.Subset(data.Triples(triples), [3, 1])
    assert list(subset.names) == ["t3", "t1"] and subset[1]["name"] == "t1"
    with pytest.raises(errors.ArgumentError, match="indices: 5, expected 0 to 4"):
        data.Subset(data.Triples(triples), [5])


# Raw shards


def test_shards_hold_what_was_written(tmp_path: Path) -> None:
    originals = samples(7)
    shards = data.write_shards(originals, tmp_path / "out", 16, samples_per_shard=3)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "index.json", "shard-00000.bin", "shard-00001.bin", "shard-00002.bin",
    ]  # fmt: skip
    assert (len(shards), shards.size, shards.fields) == (7, 16, ("composite", "target", "mask"))
    for i, sample in enumerate(originals):
        same(shards[i], sample)
        assert shards[i]["name"] == sample["name"]
    batch = shards.batch([6, 0, 3])
    assert batch["name"] == ["s6", "s0", "s3"]
    for key in ("composite", "target", "mask"):
        assert batch[key].flags.c_contiguous and batch[key].dtype == np.uint8
        assert np.array_equal(batch[key], np.stack([originals[i][key] for i in (6, 0, 3)]))
    same(shards[[6, 0]], {key: batch[key][:2] for key in ("composite", "target", "mask")})
    assert shards.check() == [] and list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_the_layout_of_a_shard_is_fixed(tmp_path: Path) -> None:
    """Files that were written stay readable."""
    (sample,) = samples(1)
    data.write_shards([sample], tmp_path / "out", 16)
    content = (tmp_path / "out" / "shard-00000.bin").read_bytes()
    record = sample["composite"].tobytes() + sample["target"].tobytes() + np.packbits(sample["mask"] > 0).tobytes()
    assert content[4096:] == record and content[:18] == b"pyharmony shard 1\n"
    digest = hashlib.sha256(record).hexdigest()
    head = {"size": 16, "samples": 1, "fields": ["composite", "target", "mask"], "sha256": digest}
    assert json.loads(content[18:4096].rstrip(b"\0")) == head
    index = json.loads((tmp_path / "out" / "index.json").read_text())
    assert (index["format"], index["version"], index["samples"]) == ("pyharmony shards", 1, 1)
    assert index["shards"] == [
        {"file": "shard-00000.bin", "samples": 1, "names": ["s0"], "groups": ["s0"], "sha256": digest}
    ]


@given(size=st.integers(1, 20), count=st.integers(1, 5), most=st.integers(1, 4), seed=st.integers(0, 99))
def test_any_size_comes_back(
    tmp_path_factory: pytest.TempPathFactory, size: int, count: int, most: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    originals = []
    for i in range(count):
        mask = np.where(random.random((size, size)) < 0.5, 255, 0).astype(np.uint8)
        mask[0, 0] = 255
        originals.append({"name": str(i), "image": random.integers(0, 256, (size, size, 3), np.uint8), "mask": mask})
    folder = tmp_path_factory.mktemp("shards") / "out"
    shards = data.write_shards(originals, folder, size, samples_per_shard=most)
    for i in range(count):
        same(shards[i], originals[i], "image", "mask")


def test_shards_of_a_data_set_are_resized_and_keep_groups(iharmony4: Path, tmp_path: Path) -> None:
    source = data.IHarmony4(iharmony4, "all")
    shards = data.write_shards(source, tmp_path / "out", 16)
    assert list(shards.names) == list(source.names) and list(shards.groups) == list(source.groups)
    same(shards[2], data.Resized(source, 16)[2])


def test_an_epoch_has_every_sample_once(tmp_path: Path) -> None:
    shards = data.write_shards(samples(11, 4), tmp_path / "out", 4, samples_per_shard=4)

    def names(**options: Any) -> list[list[str]]:
        return [batch["name"] for batch in shards.batches(3, **options)]

    def order(**options: Any) -> list[str]:
        return [name for batch in names(**options) for name in batch]

    assert names() == [["s0", "s1", "s2"], ["s3", "s4", "s5"], ["s6", "s7", "s8"], ["s9", "s10"]]
    assert [len(batch) for batch in names(seed=0, drop_last=True)] == [3, 3, 3]
    first = order(seed=5)
    assert sorted(first) == sorted(shards.names) and first != list(shards.names)
    assert first == order(seed=5) != order(seed=5, epoch=1)
    halves = [order(seed=5, rank=rank, ranks=2) for rank in range(2)]
    assert len(halves[0]) == len(halves[1]) == 5 and not set(halves[0]) & set(halves[1])
    with pytest.raises(errors.ArgumentError, match="rank: 2, expected 0 to 1"):
        names(rank=2, ranks=2)


def test_a_damaged_shard_takes_no_other_along(tmp_path: Path) -> None:
    originals = samples(8)
    data.write_shards(originals, tmp_path / "out", 16, samples_per_shard=2)
    paths = sorted((tmp_path / "out").glob("*.bin"))
    truncated(paths[0])
    paths[1].unlink()
    content = bytearray(paths[2].read_bytes())
    content[5000] ^= 1
    paths[2].write_bytes(content)
    shards = data.Shards(tmp_path / "out")
    problems = shards.check()
    assert [problem.name for problem in problems] == ["shard-00000.bin", "shard-00001.bin", "shard-00002.bin"]
    assert "bytes, expected" in problems[0].message and "no such file" in problems[1].message
    assert "its sha256 differs from the index" in problems[2].message
    same(shards[7], originals[7])
    with pytest.raises(errors.DataError, match=r"shard-00000\.bin: \d+ bytes, expected 7232"):
        shards[0]
    with pytest.raises(FileNotFoundError, match=r"shard-00001\.bin"):
        shards[2]
    os.replace(paths[3], paths[0])  # one of another place
    with pytest.raises(errors.DataError, match="its header differs from the index"):
        data.Shards(tmp_path / "out")[0]


def test_shards_are_written_at_once_or_not_at_all(tmp_path: Path) -> None:
    originals = samples(4)
    originals[2]["mask"] = originals[2]["mask"] * 0
    with pytest.raises(errors.MaskError, match="s2: its mask is empty"):
        data.write_shards(originals, tmp_path / "out", 16, samples_per_shard=1)
    assert list(tmp_path.iterdir()) == []
    shards = data.write_shards(originals, tmp_path / "out", 16, errors="skip")
    assert list(shards.names) == ["s0", "s1", "s3"]
    with pytest.raises(FileExistsError, match="out"):
        data.write_shards(originals, tmp_path / "out", 16)
    assert shards.check() == []
    for bad, says in (
        ([], "no sample to write"),
        (
            [originals[0], {"name": "x", "image": originals[0]["target"]}],
            "x: has image, expected composite, target, mask",
        ),
        ([{"name": "y"}], "y: has no image"),
        ([{"name": "z", "image": np.zeros((16, 16), np.uint8)}], r"z: image: shape \[16, 16\], expected \[H, W, 3\]"),
    ):
        with pytest.raises(errors.ShapeError, match=says):
            data.write_shards(bad, tmp_path / "other", 16)
    with pytest.raises(errors.DTypeError, match="f: image: int8, expected an array of uint8"):
        data.write_shards([{"name": "f", "image": np.zeros((16, 16, 3), np.int8)}], tmp_path / "other", 16)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_is_killed_leaves_no_shards(tmp_path: Path) -> None:
    code = f"""
import numpy as np, os, signal
from pyharmony import data
class Samples:
    def __len__(self): return 5
    def __getitem__(self, i):
        if i == 3: os.kill(os.getpid(), signal.SIGKILL)
        return {{"name": str(i), "image": np.zeros((8, 8, 3), np.uint8)}}
data.write_shards(Samples(), {str(tmp_path / "out")!r}, 8, samples_per_shard=1)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(pyharmony.__file__).parent.parent)}
    process = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert process.returncode == -9, process.stderr
    assert not (tmp_path / "out").exists()


def test_shards_go_to_other_processes(tmp_path: Path) -> None:
    shards = data.write_shards(samples(5), tmp_path / "out", 16)
    expected = shards[4]  # its file is open
    assert len(pickle.dumps(shards)) < 2000
    same(pickle.loads(pickle.dumps(shards))[4], expected)  # noqa: S301


def test_torch_loads_them(tmp_path: Path, triples: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

    originals = samples(5)
    shards: Any = data.write_shards(originals, tmp_path / "out", 16, samples_per_shard=2)
    for workers in (0, 2):
        sampler: Any = BatchSampler(SequentialSampler(shards), 2, drop_last=False)
        batches = list(DataLoader(shards, sampler=sampler, batch_size=None, num_workers=workers))
        assert [len(batch["name"]) for batch in batches] == [2, 2, 1]
        together = torch.cat([batch["composite"] for batch in batches])
        assert np.array_equal(together, np.stack([sample["composite"] for sample in originals]))
    collated = next(iter(DataLoader(data.Triples(triples), batch_size=5)))  # type: ignore[arg-type]
    assert collated["target"].shape == (5, 24, 32, 3) and collated["name"] == ["t0", "t1", "t2", "t3", "t4"]


# tar files


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    pyharmony.save(pixels, buffer)
    return buffer.getvalue()


def write_tar(path: Path, members: dict[str, bytes], mode: Any = "w") -> None:
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))


def test_tar_files_hold_what_was_written(tmp_path: Path) -> None:
    originals = samples(5)
    dataset = data.write_tar_shards(originals, tmp_path / "out", samples_per_shard=2)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["000000.tar", "000001.tar", "000002.tar"]
    with tarfile.open(tmp_path / "out" / "000001.tar") as archive:
        parts = ("composite.png", "target.png", "mask.png", "json")
        assert archive.getnames() == [f"{key:08}.{part}" for key in (2, 3) for part in parts]
    assert list(dataset.names) == [sample["name"] for sample in originals] and dataset.check() == []
    for i, sample in enumerate(originals):
        same(dataset[i], sample)
    small = data.write_tar_shards(originals, tmp_path / "jpeg", format="jpeg", quality=80)
    assert small[0]["composite"].shape == (16, 16, 3) and np.array_equal(small[0]["mask"], originals[0]["mask"])
    with pytest.raises(FileExistsError, match="out"):
        data.write_tar_shards(originals, tmp_path / "out")


def test_bad_samples_may_be_left_out(triples: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    truncated(triples / "composite" / "t0.png")
    truncated(triples / "mask" / "t3.png")
    source = data.Triples(triples)
    for write in (data.write_tar_shards, data.write_shards):
        with pytest.raises(errors.DecodeError, match=r"t0\.png is damaged"):
            write(source, tmp_path / "out")
        caplog.clear()
        calls: list[None] = []
        dataset = write(source, tmp_path / write.__name__, errors="skip", progress=partial(calls.append, None))
        assert list(dataset.names) == ["t1", "t2", "t4"] and dataset.check() == [] and len(calls) == 5
        assert [record.getMessage().split(":")[0] for record in caplog.records] == ["t0 is left out", "t3 is left out"]
        with pytest.raises(errors.ArgumentError, match="errors: 'return'"):
            write(source, tmp_path / "out", errors="return")
    assert not (tmp_path / "out").exists()


def test_tar_files_of_others_are_read(tmp_path: Path) -> None:
    write_tar(
        tmp_path / "a.tar",
        {
            "./folder/a.b.c": b"something else",
            "x/001.jpg": png(picture(1)),
            "x/001.mask.png": png(disc()),
            "x/001.json": b'{"label": 3}',
            "x/002.composite.png": png(picture(2)),
            "x/002.real.png": png(picture(3)),
        },
    )
    dataset = data.TarShards(tmp_path / "a.tar")
    assert list(dataset.names) == ["x/001", "x/002"]
    same(dataset[0], {"image": picture(1), "mask": disc()}, "image", "mask")
    assert dataset[0]["json"] == {"label": 3}
    same(dataset[1], {"composite": picture(2), "target": picture(3)}, "composite", "target")


def test_damaged_tar_files_are_named(tmp_path: Path) -> None:
    data.write_tar_shards(samples(4), tmp_path / "out", samples_per_shard=2)
    first, second = sorted((tmp_path / "out").glob("*.tar"))
    with tarfile.open(second) as archive:
        end = archive.getmember("00000003.target.png").offset_data
    second.write_bytes(second.read_bytes()[: end + 10])
    write_tar(tmp_path / "out" / "b.tar", {"1.image.png": b"no picture", "2.image.png": png(picture(1))})
    (tmp_path / "out" / "c.tar").write_bytes(b"no tar")
    write_tar(tmp_path / "out" / "d.tar", {"1.image.png": png(picture(1))}, "w:gz")
    dataset = data.TarShards(tmp_path / "out")
    problems = {problem.name: problem.message for problem in dataset.check()}
    assert problems.keys() == {"000001.tar", "c.tar", "d.tar", "1"}
    assert "000001.tar: damaged" in problems["000001.tar"]
    assert "not an uncompressed tar file" in problems["d.tar"]
    assert "b.tar:1.image.png is not a known image file" in problems["1"]
    same(dataset[0], samples(1)[0])
    with pytest.raises(errors.DataError, match="not an uncompressed tar file"):
        data.TarShards(tmp_path / "out" / "c.tar")


# TFRecord files


def test_tfrecord_files_give_back_what_was_written(tmp_path: Path) -> None:
    """Names and masks are included, bit for bit, in one file and in several, by the class and by the path."""
    pytest.importorskip("google_crc32c", reason="google-crc32c is not installed")
    originals = samples(5)
    originals[1]["name"] = "scènes/été 1"
    data.write_tfrecord(originals, tmp_path / "one.tfrecord", threads=2)
    calls: list[None] = []
    several = data.write_tfrecord_shards(
        originals, tmp_path / "several", samples_per_shard=2, progress=lambda: calls.append(None)
    )
    assert [path.name for path in sorted((tmp_path / "several").iterdir())] == [f"{i:06}.tfrecord" for i in range(3)]
    assert len(calls) == 5
    for dataset in (several, data.TFRecordPairs(tmp_path / "one.tfrecord"), data.open_dataset(tmp_path / "several")):
        assert list(dataset.names) == [sample["name"] for sample in originals] and dataset.check() == []
        for i, sample in enumerate(originals):
            assert dataset[i].keys() == sample.keys() and dataset[i]["name"] == sample["name"]
            same(dataset[i], sample)
            assert all(dataset[i][role].dtype == np.uint8 for role in ("composite", "target", "mask"))
    again = data.write_tfrecord_shards(several, tmp_path / "again", "c", "t", "m", samples_per_shard=5)
    assert list(again.names) == list(several.names)
    same(again[4], originals[4])
    with pytest.raises(errors.DataError, match="no feature 'copy_paste', only c, m, name, t"):
        data.TFRecordPairs(tmp_path / "again")[0]


def test_tfrecord_files_without_masks(tmp_path: Path) -> None:
    pytest.importorskip("google_crc32c", reason="google-crc32c is not installed")
    bare = [{key: value for key, value in sample.items() if key != "mask"} for sample in samples(2)]
    dataset = data.write_tfrecord_shards(bare, tmp_path / "bare")
    assert dataset[1].keys() == bare[1].keys()
    for number, (items, options, says) in enumerate(
        [
            ([bare[0], samples(2)[1]], {}, "sample 1 has a mask, but the first has none"),
            ([samples(2)[0], bare[1]], {}, "sample 1 has no mask"),
            (bare, {"mask": "m"}, "sample 0 has no mask"),
            (bare, {"target": "copy_paste"}, "'copy_paste' is the name of two features"),
            (bare, {"composite": "name"}, "'name' is the name of two features"),
            (bare, {"composite": "mask"}, "'mask' is the name of two features"),
            ([{"composite": picture(0)}], {}, "sample 0 has no target"),
        ]
    ):
        for write, path in ((data.write_tfrecord, f"{number}.tfrecord"), (data.write_tfrecord_shards, f"{number}")):
            with pytest.raises(errors.ArgumentError, match=says):
                write(items, tmp_path / path, **options)
            assert not (tmp_path / path).exists()
    for write in (data.write_tfrecord, data.write_tfrecord_shards):
        with pytest.raises(errors.ShapeError, match="no sample to write"):
            write([], tmp_path / "empty.tfrecord")
        assert not (tmp_path / "empty.tfrecord").exists()
        with pytest.raises(FileExistsError):
            write(bare, tmp_path / "bare")


def test_the_bytes_of_a_record_are_those_of_tensorflow(tmp_path: Path) -> None:
    """An example is written out by the formats' definitions: features of bytes, floats and numbers; raw images."""
    crc = pytest.importorskip("google_crc32c", reason="google-crc32c is not installed").value

    def masked(content: bytes) -> bytes:
        value = crc(content)
        return struct.pack("<I", ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    def framed(content: bytes) -> bytes:
        return (head := struct.pack("<Q", len(content))) + masked(head) + content + masked(content)

    def tagged(number: int, content: bytes) -> bytes:
        head, length = [number * 8 + 2], len(content)
        while length >= 128:
            head.append(length % 128 + 128)
            length //= 128
        return bytes([*head, length]) + content

    raw = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    features = {
        "copy_paste": tagged(1, tagged(1, raw.tobytes())),
        "bg": tagged(1, tagged(1, raw[::-1].tobytes())),
        "weights": tagged(2, tagged(1, struct.pack("<2f", 0.5, 2))),
        "height": tagged(3, tagged(1, bytes([0x80 | 300 % 128, 300 // 128]))),
    }
    entries = b"".join(tagged(1, tagged(1, key.encode()) + tagged(2, value)) for key, value in features.items())
    record = tagged(1, entries)
    path = tmp_path / "a.tfrecord"
    # The length of the second begins with the bytes that begin a file of GZIP.
    for content in (record, record + tagged(15, bytes(0x8B1F - len(record) - 4))):
        path.write_bytes(framed(content))
        same(data.TFRecordPairs(path, shape=(4, 4))[0], {"composite": raw, "target": raw[::-1]}, "composite", "target")
    with pytest.raises(errors.DataError, match="weights contains no bytes"):
        data.TFRecordPairs(path, "weights", shape=(4, 4))[0]
    with pytest.raises(errors.ShapeError, match=r"composite: 48 bytes, expected \[4, 5, 3\]"):
        data.TFRecordPairs(path, shape=(4, 5))[0]
    with pytest.raises(errors.DecodeError, match="record 0: composite is not a known image file"):
        data.TFRecordPairs(path)[0]
    # Ports of GP-GAN to TensorFlow name them otherwise, and say how large the raw pixels are.
    sizes = {name: tagged(3, tagged(1, bytes([4]))) for name in ("image/height", "image/width")}
    theirs = {"image/encoded_bg": features["bg"], "image/encoded_cp": features["copy_paste"], **sizes}
    entries = b"".join(tagged(1, tagged(1, key.encode()) + tagged(2, value)) for key, value in theirs.items())
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "val.tfrecords").write_bytes(framed(tagged(1, entries)))
    for pairs in (data.TFRecordPairs(tmp_path / "theirs"), data.open_dataset(tmp_path / "theirs")):
        same(pairs[0], {"composite": raw, "target": raw[::-1]}, "composite", "target")
    swapped = {"composite": "image/encoded_bg", "target": "image/encoded_cp"}
    swapped_pairs = data.open_dataset(tmp_path / "theirs", features=swapped)
    same(swapped_pairs[0], {"composite": raw[::-1], "target": raw}, "composite", "target")
    with pytest.raises(errors.DataError, match="no feature 'a', only image/encoded_bg, image/encoded_cp"):
        data.open_dataset(tmp_path / "theirs", features={"composite": "a"})[0]
    with pytest.raises(errors.ArgumentError, match="features: 'picture': 'a', expected names for some of composite"):
        data.open_dataset(tmp_path / "theirs", features={"picture": "a"})
    with pytest.raises(errors.ArgumentError, match=r"features: .*accepted only for the kind 'tfrecord'"):
        data.open_dataset(tmp_path, "photos", features={"composite": "a"})
    from pyharmony.learn.data._tfrecord import example

    assert example(record)["weights"] == [] and example(record)["height"] == [300]


@pytest.mark.parametrize(
    ("name", "compressed"),
    [
        ("a.tfrecord", ""),
        ("a.tfrecords.gz", "gzip"),
        ("a.tfrecord-00000-of-00002", "zlib"),
        ("a.tfrecord.gz", "two"),
        ("a.tfrecord", "gzip"),
    ],
)
def test_compressed_records_are_read(name: str, compressed: str, tmp_path: Path) -> None:
    pytest.importorskip("google_crc32c", reason="google-crc32c is not installed")
    samples = [{"name": f"s{i}", "composite": picture(i), "target": picture(i + 9), "mask": disc()} for i in range(4)]
    data.write_tfrecord(samples, tmp_path / "plain")
    plain, target = (tmp_path / "plain").read_bytes(), tmp_path / "records" / name
    target.parent.mkdir()
    packed = {"": plain, "gzip": gzip.compress(plain), "zlib": zlib.compress(plain)}
    packed["two"] = gzip.compress(plain[:700]) + gzip.compress(plain[700:])
    target.write_bytes(packed[compressed])
    for source in (target, target.parent):
        pairs = data.open_dataset(source)
        assert isinstance(pairs, data.TFRecordPairs) and pairs.names == ["s0", "s1", "s2", "s3"] and pairs.check() == []
        for i in (3, 0, 2):
            again = pickle.loads(pickle.dumps(pairs))  # noqa: S301
            same(again[i], samples[i], "composite", "target", "mask")
    unpacked = list(pairs._unpacked.values())
    assert len(unpacked) == (compressed != "") and all(path.is_file() for path in unpacked)
    del pairs, again
    gc.collect()
    assert not any(path.exists() for path in unpacked)


def test_damaged_compressed_records(tmp_path: Path) -> None:
    pytest.importorskip("google_crc32c", reason="google-crc32c is not installed")
    samples = [{"name": f"s{i}", "composite": picture(i), "target": picture(i + 9)} for i in range(4)]
    data.write_tfrecord(samples, tmp_path / "plain")
    packed = gzip.compress((tmp_path / "plain").read_bytes())
    path = tmp_path / "a.tfrecord.gz"
    path.write_bytes(packed[: len(packed) * 2 // 3])
    pairs = data.TFRecordPairs(path)
    assert 0 < len(pairs) < 4 and pairs[0]["name"] == "s0"
    assert [problem.name for problem in pairs.check()] == ["a.tfrecord.gz"]
    bomb = gzip.compress(bytes(200 << 20))
    for content, text in ((packed[:20], "damaged"), (gzip.compress(b""), "no record"),
                          (b"\x1f\x8b" + bytes(40), "damaged"), (bomb, "would unpack to more than")):  # fmt: skip
        path.write_bytes(content)
        with pytest.raises(errors.DataError, match=text):
            data.TFRecordPairs(path)


def test_damaged_records_are_named(tmp_path: Path) -> None:
    pytest.importorskip("google_crc32c", reason="google-crc32c is not installed")
    path = tmp_path / "a.tfrecord"
    data.write_tfrecord(samples(3), path)
    content = bytearray(path.read_bytes())
    (first,) = struct.unpack("<Q", content[:8])
    content[100] ^= 1  # in the data of the first
    path.write_bytes(content[:-40])  # the last one ends early
    dataset = data.TFRecordPairs(path)
    problems = {problem.name: problem.message for problem in dataset.check()}
    assert problems.keys() == {"a.tfrecord", "s0"}
    assert "ends within the record at byte" in problems["a.tfrecord"]
    assert "record 0: damaged: wrong checksum" in problems["s0"] and len(dataset.check()) == 2
    same(dataset[1], samples(2)[1], "composite", "target")
    content[first + 16] ^= 1  # the length of the second
    path.write_bytes(content)
    assert f"damaged at byte {first + 16}" in data.TFRecordPairs(path).check()[0].message


def test_what_reads_records_is_named_where_it_is_missing(tmp_path: Path) -> None:
    (tmp_path / "a.tfrecord").write_bytes(bytes(20))
    code = f"""
import sys; sys.modules["google_crc32c"] = None
from pyharmony import data
try: data.TFRecordPairs({str(tmp_path)!r})
except ImportError as error: print(error)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(pyharmony.__file__).parent.parent)}
    process = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert "google_crc32c is missing" in process.stdout and ": pip install 'google-crc32c" in process.stdout


# By path


def test_a_data_set_is_known_by_its_files(
    triples: Path, iharmony4: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data.write_shards(samples(2), tmp_path / "raw", 16)
    data.write_tar_shards(samples(2), tmp_path / "tars")
    put(tmp_path / "photos" / "images" / "a.png", picture(0))
    table = tmp_path / "t.csv"
    table.write_text("composite,mask,target\nset/composite/t1.png,set/mask/t0.png,set/target/t1.png\n")
    for path, kind in (
        (triples, data.Triples), (iharmony4, data.IHarmony4), (tmp_path / "raw", data.Shards), (table, data.Triples),
        (tmp_path / "tars", data.TarShards), (tmp_path / "tars" / "000000.tar", data.TarShards),
        (tmp_path / "photos", data.Photos),
    ):  # fmt: skip
        assert type(data.open_dataset(path)) is kind
    assert len(data.open_dataset(iharmony4, split="test")) == 1
    assert type(data.open_dataset(tmp_path / "photos", "scenes")) is data.AlignedScenes
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(errors.DataError, match="no known kind of data set"):
        data.open_dataset(empty)
    with pytest.raises(errors.DataError, match="unknown suffix"):
        data.open_dataset(put(empty / "a.png", picture(0)))
    with pytest.raises(errors.ArgumentError, match="kind: 'x'"):
        data.open_dataset(empty, "x")
    with pytest.raises(errors.ArgumentError, match="triples has no predefined splits"):
        data.open_dataset(triples, split="train")
    for choice in ({"category": "dog"}, {"min_share": 0.1}, {"max_share": 0.9}):
        with pytest.raises(
            errors.ArgumentError, match=rf"{next(iter(choice))}: .*, accepted only for .*'coco', not for triples"
        ):
            data.open_dataset(triples, **choice)
    with pytest.raises(FileNotFoundError):
        data.open_dataset(empty / "none")


def test_annotations_and_boxes_say_what_a_folder_is(coco: Path, scenes: Path) -> None:
    people = data.open_dataset(coco / "images", annotations=coco / "people.json", min_share=0.05, max_share=0.6)
    assert type(people) is data.CocoPeople and list(people.names) == ["000139_1"]
    cats = data.open_dataset(coco / "images", "coco", annotations=coco / "people.json", category="cat")
    assert list(cats.names) == ["000140_4"]
    dataset = data.open_dataset(scenes, boxes=scenes / "boxes.txt")
    assert type(dataset) is data.AlignedScenes and dataset.boxes_xyxy["00000064"] == (3, 2, 30, 20)
    with pytest.warns(DeprecationWarning, match="boxes: .* are called boxes_xyxy now"):
        assert dataset.boxes == {"00000064": (2, 3, 20, 30), "00000090": (0, 0, 24, 32)}
    with pytest.raises(errors.ArgumentError, match="annotations: missing"):
        data.open_dataset(coco / "images", "coco")
    with pytest.raises(
        errors.ArgumentError, match=r"annotations: .*people\.json', accepted only for the kind 'coco', not for scenes"
    ):
        data.open_dataset(scenes, boxes=scenes / "boxes.txt", kind="scenes", annotations=coco / "people.json")
    with pytest.raises(errors.ArgumentError, match=r"boxes: .*boxes\.txt', accepted only for the kind 'scenes'"):
        data.open_dataset(coco, "photos", boxes=scenes / "boxes.txt")


# Real images


@pytest.mark.parametrize("name", ["triples_open", "aligned", "blending", "gpgan_masks"])
def test_the_shared_data_is_read(data_dir: Path, name: str) -> None:
    dataset = data.Manifest(data_dir / name)
    assert len(dataset) > 0 and set(dataset[0]) > {"name"}
    for index in range(0, len(dataset), max(1, len(dataset) // 3)):
        for key, value in dataset[index].items():
            assert key == "name" or value.dtype == np.uint8


def test_shared_photos_become_shards(data_dir: Path, tmp_path: Path) -> None:
    dataset = data.Manifest(data_dir / "pairs_open", "val", roles=("image", "mask"))
    assert len(dataset) == 9
    shards = data.write_shards(dataset, tmp_path / "out", 64)
    assert shards.fields == ("image", "mask") and len(shards) == 9 and shards.check() == []
