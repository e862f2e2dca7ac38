"""`benchmarks/segmentation.py`: figures of simulated clicks, tables of records new and old, edges, methods by path."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyharmony.segmentation.layers import Layer

from .. import skips
from ..shared import ROOT, load_script
from .test_segmentation import box_mask, weights

__all__ = ["weights"]
pytestmark = [pytest.mark.networks, pytest.mark.usefixtures("one_torch_thread")]


@pytest.fixture(autouse=True)
def without_pymatting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hides pymatting from all but the long tests: its first import compiles for more than a minute."""
    if request.node.get_closest_marker("full") is None:
        monkeypatch.setitem(sys.modules, "pymatting", None)


@pytest.fixture(scope="module")
def script() -> Any:
    pytest.importorskip("scipy", reason="SciPy is not installed")
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        return load_script("benchmarks/segmentation.py")
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


def row(*ious: float, **more: Any) -> dict[str, Any]:
    return {"iou": list(ious), "ms": [9.0, 5.0], **more}


def record(**methods: Any) -> dict[str, Any]:
    """Returns the record of three objects: two of one photograph, a person and an animal, and something else."""
    return {
        "names": ["a", "b", "c"], "groups": ["p", "p", "q"], "kinds": ["people", "animals", "others"],
        "open": [True, True, False], "methods": methods
    }  # fmt: skip


#: The first object takes 2 clicks to an IoU of 0.85, the second one 5, and the third one never gets there.
LONG_ROWS = [row(0.6, *[0.9] * 4, best=0.7, box=0.8), row(0.4, 0.5, 0.6, 0.7, 0.95, best=0.5, box=0.6),
        row(0.2, *[0.8] * 19, best=0.2, box=0.3)]  # fmt: skip


def test_figures_are_those_of_the_clicks(script: Any) -> None:
    jittered = {"jittered 0": [row(*[0.1] * 5)] * 3, "jittered 1": [row(*[0.3] * 5)] * 3}
    figures = script.figures({"exact": LONG_ROWS, "most": 20, **jittered})
    assert figures["1 click"] == [0.6, 0.4, 0.2] and figures["3 clicks"] == [0.9, 0.6, 0.8]
    assert figures["best"] == [0.7, 0.5, 0.2] and figures["box"] == [0.8, 0.6, 0.3]
    assert figures["1 click, jittered"] == pytest.approx([0.2] * 3) and "5 clicks, jittered" in figures
    assert figures["NoC@85"] == [2, 5, 20] and figures["NoC@90"] == [2, 5, 20]


def test_intervals_are_of_photographs(script: Any) -> None:
    assert script.interval([0.25, 0.75, 0.5], [0, 0, 1]) == "0.50 [0.50, 0.50]"
    assert script.interval([0.25, 0.75, 0.5], [0, 1, 1], [True, False, True], "+") == "+0.38 [+0.25, +0.50]"
    assert script.interval([], []) == script.interval([0.5], [0], [False]) == "-"


def test_objects_with_known_colours(script: Any) -> None:
    rng = np.random.default_rng(4)
    image = rng.integers(0, 256, (40, 60, 3), np.uint8)
    region = np.zeros((40, 60), bool)
    region[5:17, 20:40] = True
    region[3, 2] = True
    its = script.mirrored(image, region)
    part = image[5:17, 20:32]
    np.testing.assert_array_equal(its[:12, :12], part)
    np.testing.assert_array_equal(its[12:24, 12:24], part[::-1, ::-1])
    np.testing.assert_array_equal(its[24:36, 48:60], part)
    alpha = script.hairs((120, 160), 3)
    assert alpha.shape == (120, 160) and alpha[60, 80] == 255 and 0.05 < ((alpha > 0) & (alpha < 255)).mean() < 0.5
    assert np.array_equal(alpha, script.hairs((120, 160), 3)) and (alpha != script.hairs((120, 160), 4)).any()
    # What is off counts by alpha, and only where alpha is soft.
    soft = np.array([[0, 51, 204, 255]], np.uint8)
    colours = np.full((1, 4, 3), 100, np.uint8)
    off = np.array([50, 10, 20, 50])[None, :, None]
    assert script.seen_error(colours + off, colours, soft) == pytest.approx((0.2 * 10 + 0.8 * 20) / 2)


def reported(script: Any, folder: Path, whole: dict[str, Any]) -> list[str]:
    page, results = folder / "page.md", folder / "results.json"
    page.write_text(f"before\n{script.START_MARK}\nold\n{script.END_MARK}\nafter\n")
    results.write_text(json.dumps(whole))
    script.report(results, page)
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old\n" not in text
    lines = text.splitlines()
    widths = {i: line.count("|") for i, line in enumerate(lines) if line.startswith("|")}
    # All rows of a table have as many cells.
    assert all(widths[i] == widths.get(i - 1, widths[i]) for i in widths)
    return lines


def test_the_default_is_beside_grabcut_in_all_that_both_were_asked(script: Any, tmp_path: Path) -> None:
    default = script.DEFAULT
    weaker = [row(*(x - 0.1 for x in one["iou"]), best=one["best"] + 0.05) for one in LONG_ROWS]
    lines = reported(script, tmp_path, {"test": record(grabcut={"exact": weaker}, **{default: {"exact": LONG_ROWS}})})
    at = lines.index(
        f"| IoU of `{default}` beside `grabcut` | 1 click | 1 click, best of its masks | 3 clicks | 5 clicks | a box |"
    )
    more = "+0.10 [+0.10, +0.10]"
    parts = ("all", "open", "people", "animals", "others")
    assert lines[at + 2 : at + 7] == [
        f"| {part} | {more} | -0.05 [-0.05, -0.05] | {more} | {more} | - |" for part in parts
    ]
    assert not any("beside `grabcut` |" in line for line in reported(
        script, tmp_path, {"test": record(clicks={"exact": weaker}, **{default: {"exact": LONG_ROWS}})}
    ))  # fmt: skip


def test_figures_of_another_run_stay(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody else wrote into the file while a method was measured is in it afterwards."""
    out = tmp_path / "results.json"
    out.write_text(json.dumps({"speed": {"a": 1}, "test": record(clicks={"exact": LONG_ROWS})}))

    class Samples(list):
        names, groups, categories, is_open = ["a", "b", "c"], ["p", "p", "q"], ["person", "dog", "car"], [True] * 3

    def measure(*arguments: Any) -> dict[str, Any]:
        whole = json.loads(out.read_text())
        whole["test"]["methods"]["random_walker"] = {"exact": LONG_ROWS}
        out.write_text(json.dumps({**whole, "people": {"b": 2}}))
        return LONG_ROWS[0]

    monkeypatch.setattr(script, "Photographs", lambda *arguments: Samples([0, 1, 2]))
    monkeypatch.setattr(script, "reduced", lambda sample: (None, None))
    monkeypatch.setattr(script, "measured", measure)
    script.run(tmp_path, "test", ["grabcut"], 20, 1, out, 0)
    report = json.loads(out.read_text())
    assert report["speed"] == {"a": 1} and report["people"] == {"b": 2} and report["test"]["open"] == [True] * 3
    assert list(report["test"]["methods"]) == ["clicks", "random_walker", "grabcut"]
    assert report["test"]["methods"]["grabcut"]["jittered 0"] == [LONG_ROWS[0]] * 3
    monkeypatch.setattr(Samples, "names", ["a", "b", "d"])
    with pytest.raises(SystemExit, match="holds figures of other images"):
        script.run(tmp_path, "test", ["grabcut"], 20, 1, out, 0)


def test_val_tells_what_is_chosen(script: Any, tmp_path: Path) -> None:
    default = script.DEFAULT
    weaker = [row(*(x - 0.1 for x in one["iou"]), best=0.1, box=0.1) for one in LONG_ROWS]
    both = {default: {"exact": LONG_ROWS}, "clicks": {"exact": weaker}}
    lines = reported(script, tmp_path, {"test": record(**both), "val": record(**both)})
    at = next(i for i, line in enumerate(lines) if line.startswith("| val, 3 objects: IoU | 1 click |"))
    assert lines[at + 4].startswith(f"| `{default}` beside `clicks` | +0.10 [+0.10, +0.10] |")
    # Without the default there is nothing beside it.
    lines = reported(script, tmp_path, {"test": record(**both), "val": record(clicks={"exact": weaker})})
    assert not any("beside `clicks`" in line for line in lines)


def test_the_record_of_the_repository_makes_a_report(script: Any, tmp_path: Path) -> None:
    lines = reported(script, tmp_path, json.loads(script.RESULTS.read_text()))
    assert sum(line.startswith(f"| `{script.DEFAULT}` |") for line in lines) >= 4


def test_the_default_is_in_no_group_worse_than_grabcut(script: Any) -> None:
    """By the record of the repository, which `benchmarks/segmentation.py run` writes."""
    table = json.loads(script.RESULTS.read_text())["test"]
    every = {name: script.figures(rows) for name, rows in table["methods"].items()}
    gains = script.gains_beside(every, script.DEFAULT)
    assert set(gains) == set(script.COMPARED_METRICS)
    means = {(part, key): np.mean(np.array(gain)[subset]) for part, subset in script.parts_of(table).items()
             for key, gain in gains.items()}  # fmt: skip
    assert len(means) == 25 and min(means.values()) > -0.02, means


def test_the_default_is_what_wins_on_val(script: Any) -> None:
    table = json.loads(script.RESULTS.read_text())["val"]
    means = {name: np.mean(script.figures(rows)["1 click"]) for name, rows in table["methods"].items()}
    # Weights that were learned with others, and those without them.
    assert {script.DEFAULT, "clicks"} <= set(means) and max(means, key=lambda name: means[name]) == script.DEFAULT


def test_corrections_that_lose_and_that_mend_are_counted(script: Any) -> None:
    few = {"exact": [[0.4, 0.9, 0.87], [0.5, 0.4, 0.9]], "jittered": [[0.4, 0.6, 0.7], [0.5, 0.6, 0.7]]}
    more = {"exact": [[0.5, 0.9, 0.9, 0.9]], "jittered": [[0.4, 0.9, 0.9, 0.8]]}
    lines = script._correction_lines({"val": {"a": few}, "test": {"a": more}})
    assert lines[0][-4:-1] == ["corrections", "worse by 0.02", "worse by 0.05"] and {len(line) for line in lines} == {9}
    assert lines[0][-1] == "IoU > 0.8 after 3 clicks, of those < 0.5 after one"
    assert lines[1] == ["`a`, val, 2 objects", "0.450", "0.650", "0.885", "-", "4", "50.0 %", "25.0 %", "1 of 1"]
    assert [line[-2:] for line in lines[2:]] == [["0.0 %", "0 of 1"], ["0.0 %", "0 of 0"], ["33.3 %", "1 of 1"]]


def test_clicks_are_told_by_kinds(script: Any) -> None:
    table = {"kinds": ["glass", "bag", "glass"], "exact": [[0.5, 0.8], [0.9, 0.9], [0.7, 0.9]]}
    head, *rows = script._kind_lines(table)
    assert head == ["kind", "objects", "1 click", "2 clicks"]
    assert rows == [["bag", "1", "0.900", "0.900"], ["glass", "2", "0.600", "0.850"]]


def test_objects_of_the_open_sets_are_read(script: Any, tmp_path: Path) -> None:
    (tmp_path / "masks_open" / "more_masks").mkdir(parents=True)
    photo = {"file": "a.jpg", "role": "photo", "pair": "a", "split": "val"}
    masks = [{"file": f"{name}.png", "role": "mask", "pair": "a", "split": "val"} for name in ("m1", "m2")]
    entry = {**masks[0], "pair": "rembg_1"}
    (tmp_path / "masks_open" / "manifest.json").write_text(json.dumps({"entries": [photo, *masks, entry]}))
    other = {**masks[0], "photo": "../../pairs_open/b.jpg", "pair": "b", "kind": "glass"}
    (tmp_path / "masks_open" / "more_masks" / "manifest.json").write_text(json.dumps({"entries": [other]}))
    every = script.open_objects(tmp_path, "val")
    assert [(one.image.name, one.mask.name, one.group) for one in every] == [
        ("a.jpg", "m1.png", "a"), ("a.jpg", "m2.png", "a"), ("b.jpg", "m1.png", "b")
    ]  # fmt: skip
    assert [one.kind for one in script.open_objects(tmp_path, "val", ("masks_open/more_masks",))] == ["glass"]
    assert script.open_objects(tmp_path, "test") == []
    with pytest.raises(FileNotFoundError, match="none of pairs_open, photos_open"):
        script.open_objects(tmp_path / "none", "val")


def test_edges_of_both_kinds_of_records_are_told(script: Any) -> None:
    old = {"hard mask": [[0.2, 0.1], [0.3, 0.1]], "guided filter": [[0.1, 0.1], [0.1, 0.1]]}
    lines = script._matting_lines(old)
    assert lines[1][0] == "**from its own mask: 2 of 2 photographs**"
    assert lines[2] == ["hard mask", "63.8", "25.5", "+38.2 [+25.5, +51.0]"]
    # Where the mask is another object's its edge does not count, and the best trimap is the one that does.
    errors = {
        "hard mask": [[0.2, 0.1], [0.9, 0.9]], "guided filter": [[0.1, 0.1], [0.9, 0.9]],
        "closed form, 1": [[0.3, 0.1], [0.0, 0.0]], "closed form, 3": [[0.05, 0.1], [0.9, 0.9]]
    }  # fmt: skip
    lines = script._matting_lines(
        {"groups": ["a", "b"], "starts": {"one click": {"iou": [0.9, 0.2], "errors": errors}}}
    )
    assert lines[1][0] == "**from one click: 1 of 2 photographs**"
    assert [line[0] for line in lines[2:]] == ["hard mask", "guided filter", "closed form, 3"]
    assert lines[4][3].startswith("-12.8")
    # What nothing was learned from is told of once more, beside what cut-outs have.
    errors |= {"matting": [[0.05, 0.1], [0.05, 0.1]]}
    lines = script._matting_lines(
        {"groups": ["a", "b"], "seen": [True, False], "starts": {"a box": {"iou": [0.9, 0.9], "errors": errors}}}
    )
    assert [line[0] for line in lines if line[1] == ""] == [
        "**from a box: 2 of 2 photographs**",
        "**from a box: 1 of 1 photographs, those of test and val**",
    ]
    assert lines[0][3] == "alpha, matting less by" and lines[-1][0] == "matting" and lines[-1][3] == "-"


def test_a_trimap_is_unsure_where_the_mask_is(script: Any) -> None:
    x = np.arange(60, dtype=np.float32)
    large = np.broadcast_to(np.clip((x - 20) / 10, 0, 1), (40, 60))
    # Surely outside up to 20, surely inside from 30 on, to the frame.
    trimap = script.trimap_of(large, 5)
    assert set(trimap[0, :15]) == {0} and set(trimap[0, 18:33]) == {0.5} and set(trimap[0, 36:]) == {1}
    step = np.where(np.broadcast_to(x < 30, (40, 60)), np.float32(0), np.float32(1))
    trimap = script.trimap_of(step, 3)
    assert 4 <= (trimap[0] == 0.5).sum() <= 8 and abs(np.flatnonzero(trimap[0] == 0.5).mean() - 29.5) <= 0.5
    # What is thinner than the band is known in its middle.
    thin = np.zeros((40, 60), np.float32)
    thin[18:22, 10:50] = 1
    trimap = script.trimap_of(thin, 9)
    assert (trimap == 1).any() and (trimap == 0).any() and (trimap[thin == 0] < 1).all()


def soft_sample() -> dict[str, np.ndarray]:
    """Returns a red box whose edge is soft, before green, and its alpha."""
    scipy = pytest.importorskip("scipy.ndimage", reason="SciPy is not installed")
    alpha = scipy.gaussian_filter(box_mask().astype(np.float64), 1.5)[..., None]
    noise = np.random.default_rng(0).normal(0, 4, (90, 120, 3))
    image = alpha * (200, 40, 30) + (1 - alpha) * (60, 150, 70) + noise
    return {"image": image.clip(0, 255).astype(np.uint8), "mask": np.rint(255 * alpha[..., 0]).astype(np.uint8)}


@pytest.mark.parametrize("matting", ["ours", pytest.param("pymatting", marks=pytest.mark.full)])
def test_edges_begin_with_the_objects_mask_and_with_what_is_found(script: Any, matting: str) -> None:
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    if matting != "ours":
        pytest.importorskip(matting, reason=skips.not_installed(matting))
    sample = soft_sample()
    starts = script._starts(sample, "grabcut")
    assert list(starts) == ["its own mask, 256 x 256", "one click", "one click and a closer look", "a box"]
    for layer in starts.values():
        errors, like = script._edge_errors(sample, layer)
        assert like > 0.9 and {"hard mask", "feathered by 2 px", "guided filter", "matting"} <= set(errors)
        assert any(name.startswith("closed form") for name in errors) == (matting != "ours")
        assert errors["guided filter"][0] < errors["hard mask"][0]


def test_errors_of_alpha_are_those_near_the_edge(script: Any) -> None:
    sample = soft_sample()
    layer = Layer((0, 0, 120, 90), (sample["mask"] / 255).astype(np.float32), 1.0)
    errors, like = script._edge_errors(sample, layer)
    # A box's alpha falls from 1 to 0 as the integral of a Gaussian, whose distance from a step has the mean of both
    # tails, 2 s / sqrt(2 pi) of each line across the edge, over the lines' length: 8 pixels beyond where it is soft.
    across = 2 * 8 + 2 * 1.5 * 2.05
    assert like == 1 and errors["hard mask"][0] == pytest.approx(2 * 1.5 / np.sqrt(2 * np.pi) / across, rel=0.2)
    assert errors["hard mask"][1] > 0
    scipy = pytest.importorskip("scipy.ndimage", reason="SciPy is not installed")
    further = Layer(layer.box, scipy.shift(layer.values, (0, 3), order=1), 1.0)
    assert script._edge_errors(sample, further)[0]["hard mask"][0] > 1.5 * errors["hard mask"][0]
