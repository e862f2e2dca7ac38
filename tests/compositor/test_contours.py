"""benchmarks/contours.py and contour_scores.py: composites with other contours, and the figures of what methods do."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pyharmony import errors
from pyharmony.learn import data

pytestmark = pytest.mark.networks

IMAGE_SIDE = 128


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
    side = IMAGE_SIDE * scale
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
    copies = {role: image.copy() for role, image in roles.items()}
    assert contours.can_be_judged(roles["mask"])
    for name, make in contours.CONDITIONS.items():
        case, again = make(**roles), make(**roles)
        size = (90, 90) if name == "resized" else (IMAGE_SIDE, IMAGE_SIDE)
        assert case.image.shape == case.target.shape == (*size, 3), name
        assert case.mask.shape == case.core.shape == size, name
        assert {case.image.dtype, case.mask.dtype, case.target.dtype} == {np.dtype(np.uint8)}, name
        assert case.core.dtype == np.bool_ and case.core.any(), name
        assert all((a == b).all() for a, b in zip(case, again, strict=True)), name
        fitting = make(roles["target"], roles["target"], roles["mask"])
        apart = np.abs(fitting.image[case.core].astype(int) - fitting.target[case.core])
        assert apart.mean() < 3 if name == "jpeg" else not apart.any(), f"{name} changes what fits"
    assert all((roles[role] == copies[role]).all() for role in roles)


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


def test_fills_continue_what_surrounds_a_hole(contours: Any) -> None:
    ramp = np.repeat(np.linspace(0, 254, IMAGE_SIDE).astype(np.uint8)[:, None, None], IMAGE_SIDE, 1).repeat(3, 2)
    hole = np.zeros((IMAGE_SIDE, IMAGE_SIDE), bool)
    hole[50:70, 40:90] = True
    torn = np.where(hole[..., None], np.uint8(0), ramp)
    for fill, most in ((contours.nearest_fill, 24), (contours.smooth_fill, 20)):
        filled_in = fill(torn, hole)
        assert (filled_in[~hole] == ramp[~hole]).all()
        assert np.abs(filled_in[hole].astype(int) - ramp[hole]).max() <= most
    nearest = contours.nearest_fill(torn, hole)
    assert (nearest[50, 60] == ramp[49, 60]).all() and (nearest[69, 60] == ramp[70, 60]).all()
    everything = np.ones((4, 4), bool)
    assert (contours.smooth_fill(ramp[:4, :4], everything) == ramp[:4, :4]).all()  # nothing is known


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
        heights = scores.frontier(np.array([at, at], float), changes, gains)
        assert np.allclose(heights, [first, second]), at


def found_of(gains: dict[str, list[float]], changes: dict[str, list[float]], groups: list[list[int]]) -> dict[str, Any]:
    """Returns results of one condition, in the form in which they are kept."""
    methods = {name: {"triples": {"given": {"gain": gains[name]}}} for name in gains}
    for name, values in changes.items():
        methods.setdefault(name, {})["photographs"] = {"given": {"change": values}}
    sets = [
        {"groups": g, "open": [i % 2 == 0 for i in g], "fine": [None if i > 2 else i > 0 for i in g]} for g in groups
    ]
    return {"sets": {"of": dict(zip(("triples", "photographs"), sets, strict=True))}, "methods": methods}


def test_draws_are_of_photographs_with_all_that_was_made_of_them(scores: Any) -> None:
    random = np.random.default_rng(0)
    values = random.normal(0, 1, 10)
    one = found_of({"net": list(values)}, {"net": list(values)}, [list(range(10))] * 2)
    four = found_of(
        {"net": list(np.repeat(values, 4))}, {"net": list(values)}, [list(np.repeat(range(10), 4)), list(range(10))]
    )
    alone, many = (scores.Resampled(result).of("net", "given", "gain") for result in (one, four))
    assert np.allclose([alone.mean, alone.low, alone.high], [many.mean, many.low, many.high])
    assert alone.mean == pytest.approx(values.mean())
    # A photograph's triples and its own change come and go together.
    draws = scores.Resampled(four)
    assert np.allclose(draws.draws("net", "given", "gain"), draws.draws("net", "given", "change"))
    tables = importlib.import_module("tables")
    interval = tables.bootstrap(values, range(10))
    assert abs(alone.low - interval.low) < 0.1 and abs(alone.high - interval.high) < 0.1
    some = scores.Resampled(one, lambda sample: not sample["open"])
    assert some.count("triples") == 5 and some.of("net", "given", "gain").mean == pytest.approx(values[1::2].mean())
    none = scores.Resampled(one, lambda sample: False)
    assert none.of("net", "given", "gain") is None and none.count("photographs") == 0
    assert draws.of("net", "feathered", "change").mean == pytest.approx(values.mean())  # as given
    assert draws.of("net", "pasted", "gain") is None and draws.of("other", "given", "gain") is None


def test_a_network_is_told_from_the_frontier_in_pairs(scores: Any) -> None:
    random = np.random.default_rng(1)
    base = random.normal(0, 3, 30)
    controls = dict(zip(scores.CONTROLS, scores.FACTORS, strict=True))
    gains = {name: list(factor * (2 + base)) for name, factor in controls.items()}
    changes = {name: [10 * factor] * 30 for name, factor in controls.items()}
    # One tenth of a decibel more than the control for every photograph, at a change between two controls.
    gains["net"] = list(0.3 * (2 + base) + 0.1)
    changes["net"] = [3.0] * 30
    resampled = scores.Resampled(found_of(gains, changes, [list(range(30))] * 2))
    above = resampled.above("net", "given")
    assert np.allclose([above.mean, above.low, above.high], 0.1)
    own = resampled.of("net", "given", "gain")
    assert own.high - own.low > 0.3  # which is not paired
    own = resampled.above(scores.CONTROLS[-1], "given")
    assert np.allclose([own.mean, own.low, own.high], 0)
    assert resampled.above("other", "given") is None


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
        images = scene(seed=len(name))
        common = {"pair": f"{name}__moved", "split": "val", "category": "person"}
        listed(path, folder, [{**common, "role": role} for role in images], list(images.values()))
        entries = [{"pair": name, "split": "val", "role": role, "mask_quality": quality} for role in ("photo", "mask")]
        listed(path, pairs, entries, [images["target"], images["mask"]])
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
    assert isinstance(triples.samples, data.Dataset) and triples.samples[0]["composite"].shape == (
        IMAGE_SIDE,
        IMAGE_SIDE,
        3,
    )


def test_parts_of_a_change_are_those_of_strength(scores: Any) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    import pyharmony

    roles = scene()
    image, mask = roles["composite"], roles["mask"]
    answers = scores.answers(guard=False, factors=(0.5, 0.15))(image, mask)
    for answer, strength in zip(answers, (1, 0.5, 0.15), strict=True):
        assert (answer == pyharmony.harmonize(image, mask, guard=False, strength=strength)).all()


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
    results = calibration.results(every["photographs"]["given"], 1.0, 0.0, doubts)
    assert results.shape == (3, 3) and (results == results[:, :1]).all()
    assert np.allclose(results[:, 0], 4 * np.interp(shares, calibration.PARTS, rising)) and results[2, 0] == 0
    assert not calibration.results(right, 1.5, 0.0, [0.0]).any()  # a boost that is not trusted
    # The limits hold for the upper end of the interval of the mean.
    every["photographs"] = {
        name: [*answers(0.05, 3 * rising), *answers(0.05, 5 * rising)] for name in every["photographs"]
    }
    calibration_ = calibration.chosen(every)
    assert calibration_.boost == 1.4 and calibration_.caution > calibration_.doubt > 0
    for doubt, (first, second) in ((calibration_.doubt, (4, 5)), (calibration_.caution, (2.5, 3))):
        of = {
            name: calibration.results(row, 1.4, calibration_.noise, [doubt])[0]
            for name, row in every["photographs"].items()
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


def test_the_calibration_knows_of_the_closer_look(calibration: Any) -> None:
    import pyharmony

    case = importlib.import_module("contours").CONDITIONS["given"](**scene(2))
    network = calibration._colorgrid.network("colorgrid")
    settings = network.calibration
    answer = calibration.answer(network, case, "photographs")
    (change,) = calibration.results([answer], settings.boost, settings.noise, [settings.doubt])[0]
    with pytest.warns(errors.ConfidenceWarning, match="the guard reduced the change"):
        result, info = pyharmony.harmonize(case.image, case.mask, return_info=True)
    assert calibration.change(result, case) == pytest.approx(change, abs=0.3) and info.change > 5
    alone = network.answer_of(calibration.scene_of(case.image, case.mask, None, (256, 256)), calibration.Care.AGREED)
    assert abs(calibration.change(alone.map.apply(case.image, case.mask), case) - change) > 0.5


# ---- what a caller knows ----


@pytest.fixture
def scenes(contours: Any) -> Any:
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


def test_a_source_is_in_the_light_of_the_object_and_shares_nothing_with_the_scene(scenes: Any) -> None:
    for number in (1, 2):
        sample, other = lit(number), lit(9)
        case, arguments = scenes.with_source(sample, other, number)
        light = np.array([0.6, 0.5, 0.4])
        half = sample["target"][:, :128] if number % 2 else sample["target"][:, 128:]
        assert np.abs(arguments["source"] - (half * light + 8)).mean() < 2
        visible = sample["target"][:, 128:] if number % 2 else sample["target"][:, :128]
        outside = case.mask == 0
        rows = np.arange(0, 40)
        colors = {tuple(x) for x in visible[rows].reshape(-1, 3).tolist()}
        assert {tuple(x) for x in case.image[rows][outside[rows]].reshape(-1, 3).tolist()} <= colors
        assert (case.image[case.mask > 0] == sample["composite"][case.mask > 0]).all()
    case, arguments = scenes.with_source(lit(3), lit(9), 3)
    assert arguments["source"].shape == (256, 256, 3)
    assert np.abs(arguments["source"] - (lit(9)["target"] * light + 8)).mean() < 2


def test_a_reference_is_the_other_half_of_the_object(scenes: Any) -> None:
    sample = lit(4)
    case, arguments = scenes.with_reference(sample, 0)
    reference = arguments["reference_mask"] > 0
    assert (case.image[reference] == sample["target"][reference]).all()
    assert not (reference & (case.mask > 0)).any() and (sample["mask"][reference] > 0).all()
    assert (case.image[case.mask > 0] == sample["composite"][case.mask > 0]).all()
    sample["mask"][:] = 0
    sample["mask"][100:104, 100:104] = 255
    assert scenes.with_reference(sample, 0) is None
