"""benchmarks/contours.py and contour_scores.py: composites with other contours, and the figures of what methods do."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pyharmony import data, errors

pytestmark = pytest.mark.networks

SIDE = 128


@pytest.fixture
def contours(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    pytest.importorskip("scipy", reason="SciPy is not installed")
    monkeypatch.syspath_prepend(repository / "benchmarks")
    return importlib.import_module("contours")


@pytest.fixture
def scores(contours: Any) -> Any:
    return importlib.import_module("contour_scores")


def scene(scale: int = 1, seed: int = 0) -> dict[str, np.ndarray]:
    """Returns a triple: a blue object with a soft contour on green noise, whose composite is redder."""
    side = SIDE * scale
    random = np.random.default_rng(seed)
    target = random.integers(60, 120, (side, side, 3)).astype(np.uint8)
    y, x = np.mgrid[:side, :side] / scale
    depth = 34 - np.hypot(y - 70, x - 56)
    mask = (np.clip(depth / 2 + 0.5, 0, 1) * 255).astype(np.uint8)
    target[mask >= 128] = (40, 60, 150)
    composite = target.copy()
    composite[mask >= 128] = (140, 50, 120)
    return {"composite": composite, "target": target, "mask": mask}


def region(mask: np.ndarray) -> np.ndarray:
    return mask >= 128


def test_every_condition_makes_a_case_and_nothing_is_random(contours: Any) -> None:
    roles = scene()
    kept = {role: image.copy() for role, image in roles.items()}
    assert contours.can_be_judged(roles["mask"])
    for name, make in contours.CONDITIONS.items():
        case, again = make(**roles), make(**roles)
        size = (90, 90) if name == "resized" else (SIDE, SIDE)
        assert case.image.shape == case.target.shape == (*size, 3), name
        assert case.mask.shape == case.core.shape == size, name
        assert {case.image.dtype, case.mask.dtype, case.target.dtype} == {np.dtype(np.uint8)}, name
        assert case.core.dtype == np.bool_ and case.core.any(), name
        assert all((a == b).all() for a, b in zip(case, again, strict=True)), name
        fitting = make(roles["target"], roles["target"], roles["mask"])
        apart = np.abs(fitting.image[case.core].astype(int) - fitting.target[case.core])
        assert apart.mean() < 3 if name == "jpeg" else not apart.any(), f"{name} changes what fits"
    assert all((roles[role] == kept[role]).all() for role in roles)


def test_the_core_is_the_same_for_all_masks(contours: Any) -> None:
    roles = scene()
    core = contours.core_of(roles["mask"])
    assert core.sum() < region(roles["mask"]).sum() and (region(roles["mask"]) | ~core).all()
    for name, make in contours.CONDITIONS.items():
        case = make(**roles)
        if name != "resized":
            assert (case.core == core).all(), name
        assert (case.mask[case.core] >= 128).all(), f"{name}: the core is not in the mask"
        if name not in ("jpeg", "resized", "feathered"):
            assert (case.image[core] == roles["composite"][core]).all(), name
            assert (case.target[core] == roles["target"][core]).all(), name
    small = contours.CONDITIONS["resized"](**roles)
    assert small.core.sum() == pytest.approx(0.49 * core.sum(), rel=0.06)


def test_masks_are_moved_by_pixels_of_the_view(contours: Any) -> None:
    for scale, unit in ((1, 1), (2, 1), (3, 2), (4, 2)):
        box = np.zeros((SIDE * scale, SIDE * scale), bool)
        box[20:60, 30:90] = True
        assert contours.unit(box.shape) == unit
        for pixels in (-2, -1, 0, 1, 2):
            at = pixels * unit
            wanted = np.zeros_like(box)
            wanted[20 - at : 60 + at, 30 - at : 90 + at] = True
            assert (contours.moved(box, pixels) == wanted).all()
    # The frame of the image is no contour.
    box = np.zeros((SIDE, SIDE), bool)
    box[:40, :50] = True
    assert contours.moved(box, -3).sum() == 37 * 47


def test_coarse_polygons_keep_holes_and_have_few_corners(contours: Any) -> None:
    roles = scene()
    roles["mask"][60:80, 50:66] = 0
    mask = contours.CONDITIONS["polygon"](**roles).mask
    assert set(np.unique(mask)) == {0, 255} and not mask[64:76, 54:62].any()
    apart = (mask > 0) ^ region(roles["mask"])
    assert 0 < apart.sum() < 0.15 * region(roles["mask"]).sum()
    wide, tight = (contours.moved(region(roles["mask"]), pixels) for pixels in (4, -4))
    assert not apart[tight | ~wide].any()


def test_a_feathered_recolouring_fades_across_the_contour(contours: Any) -> None:
    roles = scene()
    case = contours.CONDITIONS["feathered"](**roles)
    change = np.abs(case.image.astype(int) - roles["target"]).max(-1)
    at = [change[70, 56 + 34 + step] for step in (-8, -2, 0, 2, 8)]
    assert at[0] >= 98 and at[0] > at[1] > at[2] > at[3] > at[4] == 0
    assert 30 < at[2] < 70


def test_clean_cuts_show_nothing_of_the_rim(contours: Any) -> None:
    roles = scene()
    inside = region(roles["mask"])
    inner = contours.moved(inside, -2)
    for name, make in contours.CUTS.items():
        case = make(**roles)
        wide = 0 if name.startswith("cut 0") else 3 if name.startswith("cut 3") else 6
        rim = contours.moved(inside, wide) & ~inner
        other = {role: image.copy() for role, image in roles.items()}
        for role in ("composite", "target"):
            other[role][rim] = (255, 0, 255)
        assert (make(**other).image == case.image).all(), f"{name} shows the rim"
        assert (region(case.mask) == inner).all(), name
        # Nor does what is filled look like the object, whose recolouring has far more red than anything around it.
        assert case.image[~inner][:, 0].max() <= 120, name
        if name != "pasted":
            beyond = ~contours.moved(inside, wide)
            assert (case.image[beyond] == roles["composite"][beyond]).all(), name


def test_a_paste_stands_before_another_place_of_its_photograph(contours: Any) -> None:
    roles = scene()
    case = contours.CONDITIONS["pasted"](**roles)
    outside = ~contours.moved(region(roles["mask"]), 6)
    moved = np.abs(case.image.astype(int) - roles["composite"]).sum(-1)[outside]
    assert (moved > 0).mean() > 0.9
    # A gradient stays one, mirrored: its own colours, and none of another photograph.
    ramp = np.repeat(np.linspace(40, 200, SIDE).astype(np.uint8)[None, :, None], SIDE, 0).repeat(3, 2)
    ramp[region(roles["mask"])] = 250
    found = contours.CONDITIONS["pasted"](ramp, ramp, roles["mask"]).image[outside]
    assert found.max() <= 205 and found.min() >= 35


def test_fills_continue_what_surrounds_a_hole(contours: Any) -> None:
    ramp = np.repeat(np.linspace(0, 254, SIDE).astype(np.uint8)[:, None, None], SIDE, 1).repeat(3, 2)
    hole = np.zeros((SIDE, SIDE), bool)
    hole[50:70, 40:90] = True
    torn = np.where(hole[..., None], np.uint8(0), ramp)
    for fill, most in ((contours.nearest_fill, 24), (contours.smooth_fill, 20)):
        found = fill(torn, hole)
        assert (found[~hole] == ramp[~hole]).all()
        assert np.abs(found[hole].astype(int) - ramp[hole]).max() <= most
    nearest = contours.nearest_fill(torn, hole)
    assert (nearest[50, 60] == ramp[49, 60]).all() and (nearest[69, 60] == ramp[70, 60]).all()
    everything = np.ones((4, 4), bool)
    assert (contours.smooth_fill(ramp[:4, :4], everything) == ramp[:4, :4]).all()  # nothing is known


def test_objects_that_are_too_small_or_leave_no_background_are_not_judged(contours: Any) -> None:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[10:30, 10:30] = 255
    assert contours.core_of(mask).sum() == 14 * 14 and not contours.can_be_judged(mask)
    mask[10:31, 10:31] = 255
    assert contours.can_be_judged(mask)
    assert not contours.can_be_judged(np.full((SIDE, SIDE), 255, np.uint8))


def test_gain_and_change_are_of_the_core(scores: Any, contours: Any) -> None:
    case = contours.CONDITIONS["given"](**scene())
    assert scores.gain(case.image, case) == 0 and scores.change(case.image, case) == 0
    half = case.image.copy()
    half[case.core] = ((case.image.astype(int) + case.target) // 2)[case.core]
    half[~case.core] = 0
    assert scores.gain(half, case) == pytest.approx(20 * np.log10(2), abs=0.1)
    assert scores.change(half, case) == pytest.approx(np.mean([50, 5, 15]), abs=0.5)


def test_the_frontier_is_linear_through_the_controls_and_never_falls(scores: Any) -> None:
    changes, gains = np.array([[2.0, 2], [4, 4], [8, 10], [20, 20]]), np.array([[1.0, -1], [1.5, 1], [0.5, -1], [3, 0]])
    for at, first, second in (
        (0, 0, 0),
        (1, 0.5, 0),
        (2, 1, 0),
        (3, 1.25, 0.5),
        (6, 1.5, 1),
        (14, 2.25, 1),
        (99, 3, 1),
    ):
        found = scores.frontier(np.array([at, at], float), changes, gains)
        assert np.allclose(found, [first, second]), at


def found_of(gains: dict[str, list[float]], changes: dict[str, list[float]], groups: list[list[int]]) -> dict[str, Any]:
    """Returns results of one condition, in the form in which they are kept."""
    methods = {name: {"triples": {"given": {"gain": gains[name]}}} for name in gains}
    for name, values in changes.items():
        methods.setdefault(name, {})["photographs"] = {"given": {"change": values}}
    known = [
        {"groups": g, "open": [i % 2 == 0 for i in g], "fine": [None if i > 2 else i > 0 for i in g]} for g in groups
    ]
    return {"sets": {"of": dict(zip(("triples", "photographs"), known, strict=True))}, "methods": methods}


def test_draws_are_of_photographs_with_all_that_was_made_of_them(scores: Any) -> None:
    random = np.random.default_rng(0)
    values = random.normal(0, 1, 10)
    one = found_of({"net": list(values)}, {"net": list(values)}, [list(range(10))] * 2)
    four = found_of(
        {"net": list(np.repeat(values, 4))}, {"net": list(values)}, [list(np.repeat(range(10), 4)), list(range(10))]
    )
    alone, many = (scores.Resampled(found).of("net", "given", "gain") for found in (one, four))
    assert np.allclose([alone.mean, alone.low, alone.high], [many.mean, many.low, many.high])
    assert alone.mean == pytest.approx(values.mean())
    # A photograph's triples and its own change come and go together.
    drawn = scores.Resampled(four)
    assert np.allclose(drawn.draws("net", "given", "gain"), drawn.draws("net", "given", "change"))
    tables = importlib.import_module("tables")
    known = tables.bootstrap(values, range(10))
    assert abs(alone.low - known.low) < 0.1 and abs(alone.high - known.high) < 0.1
    some = scores.Resampled(one, lambda sample: not sample["open"])
    assert some.count("triples") == 5 and some.of("net", "given", "gain").mean == pytest.approx(values[1::2].mean())
    none = scores.Resampled(one, lambda sample: False)
    assert none.of("net", "given", "gain") is None and none.count("photographs") == 0
    assert drawn.of("net", "feathered", "change").mean == pytest.approx(values.mean())  # as given
    assert drawn.of("net", "pasted", "gain") is None and drawn.of("other", "given", "gain") is None


def test_a_network_is_told_from_the_frontier_in_pairs(scores: Any) -> None:
    random = np.random.default_rng(1)
    base = random.normal(0, 3, 30)
    controls = dict(zip(scores.CONTROLS, scores.FACTORS, strict=True))
    gains = {name: list(factor * (2 + base)) for name, factor in controls.items()}
    changes = {name: [10 * factor] * 30 for name, factor in controls.items()}
    # One tenth of a decibel more than the control for every photograph, at a change between two controls.
    gains["net"] = list(0.3 * (2 + base) + 0.1)
    changes["net"] = [3.0] * 30
    drawn = scores.Resampled(found_of(gains, changes, [list(range(30))] * 2))
    above = drawn.above("net", "given")
    assert np.allclose([above.mean, above.low, above.high], 0.1)
    own = drawn.of("net", "given", "gain")
    assert own.high - own.low > 0.3  # which is not paired
    own = drawn.above(scores.CONTROLS[-1], "given")
    assert np.allclose([own.mean, own.low, own.high], 0)
    assert drawn.above("other", "given") is None


def listed(root: Path, folder: str, entries: list[dict[str, Any]], images: list[np.ndarray]) -> None:
    (root / folder).mkdir(parents=True)
    for i, (entry, image) in enumerate(zip(entries, images, strict=True)):
        entry["file"] = f"{i}.png"
        Image.fromarray(image).save(root / folder / entry["file"])
    (root / folder / "manifest.json").write_text(json.dumps({"entries": entries}))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Returns a folder with an open and a research triple, and their photographs, one of whose masks is a polygon."""
    path = tmp_path / "data"
    for folder, pairs, name, quality in (
        ("triples_open", "pairs_open", "one", "soft alpha"),
        ("research_only/triples", "research_only/pairs", "two", "manual polygon"),
    ):
        made = scene(seed=len(name))
        common = {"pair": f"{name}__moved", "split": "val", "category": "person"}
        listed(path, folder, [{**common, "role": role} for role in made], list(made.values()))
        entries = [{"pair": name, "split": "val", "role": role, "mask_quality": quality} for role in ("photo", "mask")]
        listed(path, pairs, entries, [made["target"], made["mask"]])
    return path


def test_samples_say_where_they_are_from_and_how_their_masks_were_made(scores: Any, root: Path) -> None:
    triples = scores.opened(root, "triples", "val", None)
    assert triples.is_open == [True, False] and triples.fine == [True, False]
    photos = scores.opened(root, "photographs", "val", 64)
    assert photos.is_open == [True, False] and photos.fine == [True, False]
    sample = photos.samples[0]
    assert sample["mask"].shape == (64, 64) and (sample["composite"] == sample["target"]).all()
    # A view of 64 pixels leaves a core of more than 200, one of 16 does not.
    assert not scores.opened(root, "photographs", "val", 16).groups
    assert isinstance(triples.samples, data.Dataset) and triples.samples[0]["composite"].shape == (SIDE, SIDE, 3)


@pytest.mark.full
def test_runs_go_on_and_are_told(scores: Any, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    calls = []

    def answers(source: str, *, factors: Any, **options: bool) -> Any:
        def call(image: np.ndarray, mask: np.ndarray) -> list[np.ndarray]:
            calls.append(source)
            share = 1 if "guard" in options else 0.1 if "cautious" in options else 0.2
            change = np.where(mask[..., None] >= 128, np.array([-100, 10, 30]), 0) * share
            return [(image + f * change).clip(0, 255).astype(np.uint8) for f in (1, *factors)]

        return call

    monkeypatch.setattr(scores, "answers", answers)
    monkeypatch.setattr(scores, "digest", lambda source: scores.FRONTIER_OF if source == "auto" else source)
    path = tmp_path / "found.json"
    found = scores.measure(root, path, split="val", side=64)
    count = 2 * (len(scores.CONDITIONS) + len(scores.CONDITIONS) - len(scores.AS_GIVEN))
    assert len(calls) == 3 * count
    assert scores.measure(root, path, split="val", side=64) == found == json.loads(path.read_text())["val, 64 px"]
    assert len(calls) == 3 * count and str(tmp_path) not in path.read_text()
    assert set(found["methods"]) == {"auto", "auto, cautious=True", "auto, guard=False", *scores.CONTROLS}
    scores.measure(root, path, split="val", side=64, wanted=[("a/net.safetensors", ", guard=False")])
    assert len(calls) == 4 * count
    # Another default is measured, and the controls stay those of the weights that the frontier is of.
    kept = json.loads(path.read_text())["val, 64 px"]["methods"]
    monkeypatch.setattr(scores, "digest", lambda source: "another")
    other = scores.measure(root, path, split="val", side=64, wanted=[("auto", ", guard=False")])["methods"]
    assert len(calls) == 5 * count and other["auto, guard=False"]["sha256"] == "another"
    assert all(other[name] == kept[name] for name in scores.CONTROLS)
    (root / "triples_open" / "manifest.json").write_text('{"entries": []}')
    with pytest.raises(errors.DataError, match="other pictures"):
        scores.measure(root, path, split="val", side=64, wanted=[("other", "")])

    results = json.loads(path.read_text())["val, 64 px"]
    method = results["methods"]["auto, guard=False"]
    assert min(method["triples"]["given"]["gain"]) > 20 and min(method["photographs"]["pasted"]["change"]) > 20
    text = scores.section(results)
    rows = text.splitlines()
    assert scores.measured(results) == ["auto", "auto, cautious=True", "auto, guard=False", "net, guard=False"]
    assert sum(row.startswith("| pasted |") for row in rows) == 2  # gains and changes of the default
    assert "| | all, 2 | worse | research, 1 | open, 1 | fine masks, 1 | polygons, 1 |" in text
    assert sum(row.startswith("| clean cuts |") for row in scores.card(results).splitlines()) == 1
    told = list(scores.lines(results, "auto"))
    assert len(told) == 1 + len(scores.CONDITIONS) + len(scores.TOGETHER)


def test_parts_of_a_change_are_those_of_strength(scores: Any) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    import pyharmony

    roles = scene()
    image, mask = roles["composite"], roles["mask"]
    made = scores.answers(guard=False, factors=(0.5, 0.15))(image, mask)
    for found, strength in zip(made, (1, 0.5, 0.15), strict=True):
        assert (found == pyharmony.harmonize(image, mask, guard=False, strength=strength)).all()


@pytest.fixture
def calibration(contours: Any) -> Any:
    return importlib.import_module("calibration")


def test_a_calibration_gains_most_within_its_limits(calibration: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where views differ by half the change an answer is wrong, and where by a quarter it is right."""
    monkeypatch.setattr(calibration, "NOISES", (0.0, 2.0))
    rising = 2 * calibration.PARTS

    def answers(apart: float, results: Any, count: int = 3) -> list[Any]:
        trusted = tuple(boost < 1.5 for boost in calibration.BOOSTS)
        return [calibration.Answer(0.1, apart, trusted, np.asarray(results))] * count

    right, wrong = answers(0.025, rising), answers(0.05, -rising)
    every = {
        "triples": {"given": [*right, wrong[0]], "pasted": right},
        "photographs": {"given": wrong, **dict.fromkeys(importlib.import_module("contours").CUTS, wrong)},
    }
    every["photographs"] = {name: answers(0.05, 4 * rising) for name in every["photographs"]}
    doubts = np.array([0.0, 4.0, 12.0])
    agreed = 1 / (1 + doubts / 4)
    shares = np.maximum(agreed - 0.25, 0) / 0.75
    found = calibration.results(every["photographs"]["given"], 1.0, 0.0, doubts)
    assert found.shape == (3, 3) and (found == found[:, :1]).all()
    assert np.allclose(found[:, 0], 4 * np.interp(shares, calibration.PARTS, rising)) and found[2, 0] == 0
    assert not calibration.results(right, 1.5, 0.0, [0.0]).any()  # a boost that is not trusted
    # The limits hold for the upper end of the interval of the mean.
    every["photographs"] = {
        name: [*answers(0.05, 3 * rising), *answers(0.05, 5 * rising)] for name in every["photographs"]
    }
    known = calibration.chosen(every)
    assert known.boost == 1.4 and known.caution > known.doubt > 0
    for doubt, (first, second) in ((known.doubt, (4, 5)), (known.caution, (2.5, 3))):
        of = {
            name: calibration.results(row, 1.4, known.noise, [doubt])[0] for name, row in every["photographs"].items()
        }
        high = {name: row.mean() + 1.96 * row.std() / 6**0.5 for name, row in of.items()}
        assert high["given"] <= first and max(high.values()) <= second
    # The least doubt that holds is not the best: it would go along with what is wrong.
    gains = [calibration.best(every, boost, 0.0, (4, 5)).gain for boost in (1.0, 1.4)]
    assert gains[1] > gains[0]
    # No more than a quarter may come out worse.
    every["triples"]["given"] = [*right, *wrong]
    assert calibration.chosen(every).doubt >= 12
    every["photographs"]["pasted"] = [
        row._replace(trusted=(True,) * len(calibration.BOOSTS)) for row in answers(0.0, 9 * rising)
    ]
    with pytest.raises(errors.DataError, match="no setting holds the limits"):
        calibration.chosen(every)


@pytest.mark.full
def test_weights_are_calibrated_by_val(
    calibration: Any, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    import pyharmony
    from pyharmony import models

    conditions = importlib.import_module("contours").CONDITIONS
    few = {name: conditions[name] for name in ("given", "mask +1", "resized", *calibration.CUTS)}
    monkeypatch.setattr(importlib.import_module("contour_scores"), "CONDITIONS", few)
    torch.manual_seed(0)
    model = models.create("colorgrid", "small")
    torch.nn.init.normal_(model.experts[0].last.weight, std=0.02)
    models.save(model, tmp_path / "given.safetensors")
    known = calibration.calibration(root, str(tmp_path / "given.safetensors"))
    assert known.caution >= known.doubt > 0
    out = capsys.readouterr().out
    settings = f"doubt {known.doubt:g}, caution {known.caution:g}, boost {known.boost:g}, noise {known.noise:g}"
    assert settings in out
    # A call changes images by as much as the calibration foretells.
    model.calibration = known
    network = calibration._colorgrid.parsed((tmp_path / "given.safetensors").read_bytes(), "given")
    sample = calibration.opened(root, "photographs", "val", 256).samples[0]
    for cautious, doubt in ((False, known.doubt), (True, known.caution)):
        for name in ("given", "cut 3, smooth"):
            case = few[name](sample["composite"], sample["target"], sample["mask"])
            answer = calibration.answer(network, case, "photographs")
            (told,) = calibration.results([answer], known.boost, known.noise, [doubt])[0]
            made = pyharmony.harmonize(case.image, case.mask, method=model.eval(), cautious=cautious)
            assert calibration.change(made, case) == pytest.approx(told, abs=0.3)


def test_the_calibration_knows_of_the_closer_look(calibration: Any) -> None:
    import pyharmony

    case = importlib.import_module("contours").CONDITIONS["given"](**scene(2))
    network = calibration._colorgrid.network("colorgrid")
    known = network.calibration
    answer = calibration.answer(network, case, "photographs")
    (told,) = calibration.results([answer], known.boost, known.noise, [known.doubt])[0]
    with pytest.warns(errors.ConfidenceWarning, match="the guard reduced the change"):
        made, info = pyharmony.harmonize(case.image, case.mask, return_info=True)
    assert calibration.change(made, case) == pytest.approx(told, abs=0.3) and info.change > 5
    alone = network.answer_of(calibration.scene_of(case.image, case.mask, None, (256, 256)), calibration.Care.AGREED)
    assert abs(calibration.change(alone.map.apply(case.image, case.mask), case) - told) > 0.5


# ---- what a caller knows ----


@pytest.fixture
def known(contours: Any) -> Any:
    return importlib.import_module("hints")


def lit(number: int) -> dict[str, Any]:
    """Returns a triple whose object is half as bright and warmer than in the photograph."""
    random = np.random.default_rng(number)
    coarse = random.integers(30, 220, (12, 12, 3), np.uint8)
    target = np.asarray(Image.fromarray(coarse).resize((256, 256), Image.Resampling.BICUBIC))
    mask = np.zeros((256, 256), np.uint8)
    mask[60:200, 70:190] = 255
    composite = np.where(mask[..., None] > 0, (target * np.array([0.6, 0.5, 0.4]) + 8).astype(np.uint8), target)
    return {"composite": composite, "target": target, "mask": mask}


def test_a_source_is_in_the_light_of_the_object_and_shares_nothing_with_the_scene(known: Any) -> None:
    for number in (1, 2):
        sample, other = lit(number), lit(9)
        case, arguments = known.with_source(sample, other, number)
        light = np.array([0.6, 0.5, 0.4])
        half = sample["target"][:, :128] if number % 2 else sample["target"][:, 128:]
        assert np.abs(arguments["source"] - (half * light + 8)).mean() < 2
        shown = sample["target"][:, 128:] if number % 2 else sample["target"][:, :128]
        outside = case.mask == 0
        rows = np.arange(0, 40)
        colors = {tuple(x) for x in shown[rows].reshape(-1, 3).tolist()}
        assert {tuple(x) for x in case.image[rows][outside[rows]].reshape(-1, 3).tolist()} <= colors
        assert (case.image[case.mask > 0] == sample["composite"][case.mask > 0]).all()
    case, arguments = known.with_source(lit(3), lit(9), 3)
    assert arguments["source"].shape == (256, 256, 3)
    assert np.abs(arguments["source"] - (lit(9)["target"] * light + 8)).mean() < 2


def test_a_reference_is_the_other_half_of_the_object(known: Any) -> None:
    sample = lit(4)
    case, arguments = known.with_reference(sample, 0)
    reference = arguments["reference"] > 0
    assert (case.image[reference] == sample["target"][reference]).all()
    assert not (reference & (case.mask > 0)).any() and (sample["mask"][reference] > 0).all()
    assert (case.image[case.mask > 0] == sample["composite"][case.mask > 0]).all()
    sample["mask"][:] = 0
    sample["mask"][100:104, 100:104] = 255
    assert known.with_reference(sample, 0) is None
