"""benchmarks/harmonization.py: its figures, the images that they are of, and the tables of the page."""

from __future__ import annotations

import importlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pyharmony import errors
from pyharmony.learn import metrics

from ..shared import load_script

pytestmark = pytest.mark.networks


@pytest.fixture
def table(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Returns the script as a module, which the test may change."""
    monkeypatch.syspath_prepend(repository / "benchmarks")
    return load_script("benchmarks/harmonization.py", "harmonization_table")


def picture(seed: int, low: int = 0, high: int = 256, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, (*size, 3)).astype(np.uint8)


def boxed(size: tuple[int, int] = (48, 64)) -> np.ndarray:
    mask = np.zeros(size, np.uint8)
    mask[12:36, 16:48] = 255
    return mask


def listed(root: Path, folder: str, entries: list[tuple[dict[str, Any], np.ndarray]]) -> None:
    """Writes a manifest, and its images as files."""
    (root / folder).mkdir(parents=True)
    for i, (entry, array) in enumerate(entries):
        entry["file"] = f"{i}.png"
        Image.fromarray(array).save(root / folder / entry["file"])
    (root / folder / "manifest.json").write_text(json.dumps({"entries": [entry for entry, _ in entries]}))


def photo(pair: str, image: np.ndarray, mask: np.ndarray | None, split: str = "test", **more: Any) -> list[Any]:
    common = {"pair": pair, "split": split, **more}
    entries = [({**common, "role": "photo"}, image)]
    return entries if mask is None else [*entries, ({**common, "role": "mask"}, mask)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Returns a folder of data in the form that the script expects, made of noise."""
    mask = boxed()
    skin = picture(1, 40, 90)
    skin[mask > 0] = (210, 160, 130)
    behind = picture(2, 200, 256)
    behind[mask > 0] //= 4
    path = tmp_path / "data"
    listed(
        path,
        "pairs_open",
        [
            *photo("one_0", skin, mask, category="person", path="origin/one.jpg"),
            *photo("one_1", skin, np.roll(mask, 9, 1), category="person", path="origin/one.jpg"),
            *photo("behind", behind, mask, "val", category="animal"),
            *photo("learned", picture(3), mask, "train"),
        ],
    )
    listed(
        path,
        "photos_open",
        [*photo("night", picture(4, 0, 60), None, category="night"), *photo("day", picture(5), None)],
    )
    composite = skin.copy()
    composite[mask > 0] = (190, 160, 170)
    target = picture(6, 60, 200)
    darker = np.where(mask[..., None] > 0, target // 2, target)
    entries = []
    for pair, kind, a, b in (("one_0__idt", "person", composite, skin), ("other__photo", "car", darker, target)):
        common = {"pair": pair, "split": "test", "category": kind}
        entries += [({**common, "role": "composite"}, a), ({**common, "role": "mask"}, mask)]
        entries += [({**common, "role": "target", "path": f"origin/{pair.split('_')[0]}.jpg"}, b)]
    listed(path, "triples_open", entries)
    base = picture(7, 0, 100, (60, 90))
    scene = {"pair": "bay", "split": "test"}
    listed(path, "research_only/aligned", [({**scene, "role": f"x{i}"}, base * i) for i in (1, 2)])
    return path


def test_photographs_are_drawn_with_all_their_composites(table: Any) -> None:
    random = np.random.default_rng(0)
    values = random.normal(0, 1, 40)
    alone = table.bootstrap(values, range(40))
    interval = metrics.bootstrap(values)
    assert np.allclose([alone.mean, alone.low, alone.high], [interval.mean, interval.low, interval.high])
    # Ten photographs of four like composites each are ten values, not forty.
    of = np.repeat(np.arange(10), 4)
    few = table.bootstrap(np.repeat(values[:10], 4), of)
    ten = metrics.bootstrap(values[:10])
    assert np.allclose([few.mean, few.low, few.high], [ten.mean, ten.low, ten.high])
    assert few.high - few.low > alone.high - alone.low
    one = table.bootstrap([1.0, 2.0, 6.0], ["a", "a", "a"])
    assert (one.mean, one.low, one.high) == (3, 3, 3)


def test_shares_and_percentiles(table: Any) -> None:
    values = np.array([-1.0, 3.0, 0.0, -2.0, 5.0])
    counts = np.array([[1.0, 1, 1, 1, 1], [0, 2, 1, 0, 2], [3, 0, 0, 2, 0]])
    assert np.allclose(importlib.import_module("tables").share_below(values, counts), [0.4, 0, 1])
    for q in (0.05, 0.2, 0.5, 0.99):
        result = table.percentile(q)(values, counts)
        for row, times in zip(result, counts, strict=True):
            every = np.repeat(values, times.astype(int))
            assert row == np.percentile(every, 100 * q, method="inverted_cdf")
    interval = table.bootstrap(values, range(5), table.percentile(0.05))
    assert interval.mean == -2 and interval.low == -2 and interval.high >= -1


def test_the_change_of_an_object_is_its_largest_channel(table: Any) -> None:
    before = np.full((10, 10, 3), 100, np.uint8)
    mask = np.zeros((10, 10), np.uint8)
    mask[:, :5] = 255
    mask[:, 5] = 127
    after = before.copy()
    after[:, :2, 1] += 3
    after[0, 0] = (90, 101, 100)
    after[:, 5:] += 50  # outside
    share = table.changes(before, after, mask)
    assert np.allclose(share[[0, 3, 10]], [0.6, 0.38, 0.02]) and share.sum() == pytest.approx(1)
    assert [table.quantile_of(share, q) for q in (0.6, 0.61, 0.98, 0.99, 1.0)] == [0, 3, 3, 10, 10]
    assert table.quantile_of(table.changes(before, before, mask), 0.99) == 0


def test_skin_is_a_box_of_chroma_and_its_hue_is_compared(table: Any) -> None:
    skin = importlib.import_module("skin")
    image = np.zeros((20, 40, 3), np.uint8)
    mask = np.full((20, 40), 255, np.uint8)
    mask[:, 30:] = 0
    image[:, :10], image[:, 10:20], image[:, 20:30], image[:, 30:] = (
        (224, 172, 140), (60, 90, 200), (40, 25, 18), (224, 172, 140)
    )  # fmt: skip
    where = skin.skin(image, mask)
    assert where[:, :10].all() and not where[:, 10:].any()  # neither the blue, nor the dark, nor what is outside
    assert skin.hue_apart(image, image, mask) == 0
    redder, bluer = image.copy(), image.copy()
    redder[..., 1] -= np.minimum(redder[..., 1], 20)
    bluer[:, 10:20] = 255  # no skin
    assert 5 < skin.hue_apart(redder, image, mask) < 60
    assert skin.hue_apart(bluer, image, mask) == 0
    # The hue is the angle of a* and b*: along the axes of CIELAB.
    assert skin.hue(np.full((1, 1, 3), (255, 128, 0), np.uint8), np.ones((1, 1), bool)) == pytest.approx(62, abs=3)
    few = np.zeros((100, 100, 3), np.uint8)
    few[0, :99] = (224, 172, 140)  # less than one per cent
    assert not skin.skin(few, np.full((100, 100), 255, np.uint8)).any()
    assert skin.hue_apart(few, few, np.full((100, 100), 255, np.uint8)) is None


def test_regions_of_one_exposure_are_put_into_another(table: Any) -> None:
    dark = picture(0, 10, 110, (60, 90))
    bright, same = dark * 2, dark + np.uint8(1)
    exposures = table.Exposures({"a": [dark, bright], "b": [dark, same]})
    masks = table.ellipses(60, 90)
    rows, columns = table.GRID
    assert len(masks) == rows * columns and (np.sum([m > 0 for m in masks], 0) <= 1).all()
    area = np.pi * np.prod(table.ELLIPSE)
    assert all(abs((m > 0).mean() - area) < 0.01 and set(np.unique(m)) == {0, 255} for m in masks)
    # Pairs go both ways; those that are one level apart are no composites.
    assert len(exposures) == 2 * len(masks) and set(exposures.groups) == {"a"}
    for i, sample in enumerate(exposures):
        source, target = (bright, dark) if i < len(masks) else (dark, bright)
        inside = sample["mask"] > 0
        assert (sample["target"] == target).all()
        assert (sample["composite"][inside] == source[inside]).all()
        assert (sample["composite"][~inside] == target[~inside]).all()


def test_cases_are_chosen_by_light(table: Any, root: Path) -> None:
    photos = table.Photographs(root, table.PHOTOS, table.EVALUATION_SPLITS)
    assert photos.names == ["behind", "one_0", "one_1"]  # those of val first
    assert list(photos.groups) == ["behind", "one", "one"] and photos.persons == [False, True, True]
    assert [table.is_backlit(photo) for photo in photos] == [True, False, False]
    others = table.Photographs(root, table.PHOTOS, table.EVALUATION_SPLITS, borrowed=True)
    assert others.names == ["night", "day"]
    assert [table.is_dark(photo) for photo in others] == [True, False]
    own = [photo["mask"] for photo in photos]
    borrowed = others[0]["mask"]
    assert any((borrowed == m).all() or (borrowed == m[:, ::-1]).all() for m in own)
    dataset = table.dark(root)
    dark = {name.rpartition("_")[0] for name in dataset.names}
    assert "night" in dark and "day" not in dark and len(dataset) == table.PER_PHOTO * len(dark)
    white = np.full((4, 4, 3), 255, np.uint8)
    assert np.allclose(table.luminance(white), 1)
    assert table.luminance(white // 2).mean() == pytest.approx(0.212, abs=1e-3)
    nearest = importlib.import_module("photographs").nearest
    assert (nearest(np.eye(2, dtype=np.uint8), (4, 6)) == np.kron(np.eye(2), np.ones((2, 3)))).all()
    # A photograph of the triples that is among the others is not measured twice.
    fitting = table.fitting(root)
    assert list(fitting.samples.names) == ["one_0", "one_1", "other__photo"]
    assert list(fitting.groups) == ["one", "one", "other"] and list(fitting.persons) == [True, True, False]


@pytest.mark.full
def test_runs_are_made_once_and_told(
    table: Any, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "found.json"
    monkeypatch.setattr(table, "RESULTS", path)
    monkeypatch.setattr(table, "SPEED", tmp_path / "none.json")
    monkeypatch.setattr(table, "PER_PHOTO", 2)
    monkeypatch.setattr(table, "PEERS", {})
    monkeypatch.setattr(table, "METHODS_WITHOUT_WEIGHTS", ("reinhard", "mkl"))
    monkeypatch.setattr(table, "shipped", dict)
    table.run(root, path, tmp_path / "work", None, None)
    sets = (*table.COMPOSITES, table.FITTING)
    assert capsys.readouterr().out.count(" s\n") == 3 * len(sets)
    table.run(root, path, tmp_path / "work", None, None)
    assert capsys.readouterr().out == ""
    table.run(root, path, tmp_path / "work", ["mkl"], ["triples"])
    assert capsys.readouterr().out.startswith("triples, mkl:")
    results = json.loads(path.read_text())
    assert set(results["sets"]) == set(sets) and results["sets"]["triples"] == [0, 1]
    assert list(results["methods"]) == ["composite", "reinhard", "mkl"]
    assert str(tmp_path) not in path.read_text()
    composite = results["methods"]["composite"]
    for name in table.COMPOSITES:
        assert all(len(composite[name][key]) == len(results["sets"][name]) for key in (*table.MEASURES, "kept", "skin"))
        assert all(composite[name]["kept"])
    assert composite["triples"]["skin"][0] > 10 and composite["triples"]["skin"][1] is None
    assert composite["photographs"]["mean"] == [0, 0, 0] and composite["photographs"]["of_pixels"][0] == 1
    assert max(results["methods"]["mkl"]["photographs"]["mean"]) > 0

    start, end = table.marks("quality")
    page = table.written(f"# Title\n{start}\n{end}\nEnd")
    assert page.startswith("# Title\n") and page.endswith("\nEnd") and table.written(page) == page
    lines = page.splitlines()
    assert sum(line.startswith("| `mkl` |") for line in lines) == 2
    assert "Test triples: 2 composites of 2 photographs;" in page
    gain = np.subtract(results["methods"]["mkl"]["triples"]["psnr"], composite["triples"]["psnr"]).mean()
    row = next(line for line in lines if line.startswith("| `mkl` |")).split(" | ")
    assert row[1].startswith(f"{gain:+.2f} [".replace("-", "−"))
    other = tmp_path / "other"
    other.mkdir()
    results["sets"]["triples"] = [0]
    path.write_text(json.dumps(results))
    with pytest.raises(errors.DataError, match="other pictures; choose another --out"):
        table.run(root, path, tmp_path / "work", ["mkl"], ["triples"])


def test_networks_are_told_beside_the_nearest_without_weights(table: Any) -> None:
    def of(psnr: list[float]) -> dict[str, Any]:
        return {"triples": {"psnr": psnr}}

    methods = {"composite": of([1, 1]), "net": of([4, 6]), "mkl": of([2, 4]), "xue": of([1, 1])}
    record = {"sets": {"triples": [0, 1]}, "methods": methods}
    assert table.best_table(record).splitlines()[-1] == "| `net` | +2.00 [+2.00, +2.00] `mkl` |"
    assert list(table.ordered(record, "triples")) == ["composite", "net", "mkl", "xue"]


def test_the_other_library_matches_histograms(table: Any) -> None:
    pytest.importorskip("skimage", reason="scikit-image is not installed")
    image, mask = picture(0, 0, 100), boxed()
    image[mask == 0] += 100
    result = table.match_histograms(image, mask)
    assert (result[mask == 0] == image[mask == 0]).all()
    assert abs(result[mask > 0].mean() - image[mask == 0].mean()) < 2
    for empty in (np.zeros_like(mask), np.full_like(mask, 255)):
        assert (table.match_histograms(image, empty) == image).all()


def test_speed_is_told(table: Any) -> None:
    timing = {"wall_ms": 12.4, "cpu_ms": 20.6}
    rows = [
        {"name": "harmonize(mkl)", "problem": "256²", "timing": timing, "memory": 3e6},
        {"name": "harmonize(net), guarded", "problem": "50 MP", "timing": timing, "memory": None},
    ]
    text = table.speed_section({"rows": rows, "machine": {"cpu": "A", "threads": 2, "simd": "avx2"}})
    assert "A, 2 threads, avx2:" in text.splitlines()
    assert text.splitlines()[-2:] == ["| `mkl` | 12 (21) | | 3 | |", "| `net`, guarded | | 12 (21) | | |"]


def test_the_page_has_the_tables(table: Any) -> None:
    text = table.PAGE.read_text("utf-8")
    assert all(text.count(mark) == 1 for name in ("quality", "contours", "speed") for mark in table.marks(name))
    assert table.written(text) == text


def test_the_figures_are_of_the_weights_that_are_here(table: Any) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    methods = json.loads(table.RESULTS.read_text())["methods"]
    for name, digest in table.shipped().items():
        assert name in methods, f"{name}: run benchmarks/harmonization.py"
        assert methods[name]["sha256"] == digest, f"{name}: measured with other weights"
    contours = json.loads(table.CONTOURS.read_text())["test"]["methods"]
    for name in ("auto", *table.VARIANTS):
        assert contours[name]["sha256"] == table.shipped()["auto"], f"{name}: run benchmarks/harmonization.py"


def test_what_nothing_has_learned_from_is_measured(
    table: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    pytest.importorskip("scipy", reason="SciPy is not installed")
    unseen = importlib.import_module("unseen")
    y, x = np.mgrid[:96, :128]
    masks = [np.where(np.hypot(y - 48, x - 60) < r, np.uint8(255), np.uint8(0)) for r in (5, 24, 30)]
    entries = []
    for i, (pair, more) in enumerate(
        {"a": {}, "b": {}, "grey": {"monochrome": True}, "hdr": {"note": "tone-mapped (HDR) by the source"},
         "held": {"split": "test"}, "tiny": {}}.items()
    ):  # fmt: skip
        common = {"pair": pair, "split": "train", "category": "animal"} | more
        entries.append(({**common, "role": "photo"}, picture(i, 40, 200, (96, 128))))
        for mask in masks[:1] if pair == "tiny" else masks:
            share = float((mask > 0).mean())
            entries.append(({**common, "role": "mask", "object": "cat", "mask_fraction": share}, mask))
    listed(tmp_path, "masks_open", entries)
    photographs = unseen.Photographs(tmp_path)
    assert photographs.names == ["a", "b"] and photographs.persons == [False, False]
    assert all((photo["mask"] == masks[2]).all() and photo["image"].shape == (96, 128, 3) for photo in photographs)
    work = tmp_path / "work"
    samples = unseen.triples(tmp_path, work / "unseen")
    outside = masks[2] == 0
    assert all((s["composite"][outside] == s["target"][outside]).all() for s in samples)
    assert all((s["composite"] != s["target"]).any() for s in samples)
    assert list(dict(unseen.cases(samples, 0))) == list(unseen.ALL_CONDITIONS)
    assert set(dict(unseen.cases(samples, 0))[unseen.HALF_WITH_SOURCE].arguments) == {"source", "source_mask"}

    def still(source: Any, **options: Any) -> Any:
        return lambda image, mask, **hints: np.where(mask[..., None] > 0, image ^ np.uint8(bool(hints)), image)

    monkeypatch.setattr(unseen, "harmonized", still)
    out = tmp_path / "out.json"
    table.look_unseen(tmp_path, out, work, ["auto"], "", None, None)
    lines = capsys.readouterr().out.splitlines()
    assert "| `auto`, 2 | given | +0.00 [+0.00, +0.00] | 0 % | 0.00 [0.00, 0.00] | | |" in lines
    report = json.loads(out.read_text())
    assert report["photographs"] == list(samples.names)
    assert report["methods"]["auto"][unseen.HALF_WITH_SOURCE]["change"] == [1, 1]
    table.look_unseen(tmp_path, out, work, ["auto"], "", None, out)
    assert "| `auto`, 2 | given | +0.00 [+0.00, +0.00] | 0 % | 0.00 [0.00, 0.00] | +0.00 [+0.00, +0.00] | +0.00 " in (
        capsys.readouterr().out
    )
    with pytest.raises(errors.DataError, match="other photographs"):
        table.look_unseen(tmp_path, out, work, ["auto"], "", 1, out)
    listed(tmp_path / "none", "masks_open", entries[8:9])
    with pytest.raises(errors.DataError, match="no photographs with masks"):
        unseen.Photographs(tmp_path / "none")
