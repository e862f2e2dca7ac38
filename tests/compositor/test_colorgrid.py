"""`colorgrid`: training on contours that tell less, and the network in NumPy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from pyharmony._header import Calibration
from pyharmony.color.spaces import srgb_to_linear
from pyharmony.errors import ArgumentError, WeightsError
from pyharmony.harmonization import ColorMap, _colorgrid, _judged, networks
from pyharmony.harmonization._guards import Care
from pyharmony.harmonization._hints import Hints, Source
from pyharmony.harmonization._maps import images_of, mapped, weighted
from pyharmony.harmonization._scene import Scene
from pyharmony.learn.training import steps
from pyharmony.learn.training.steps._contours import Shares, changed_samples, unchanged_samples
from pyharmony.learn.training.steps._scenes import drawn_scenes
from pyharmony.networks import models
from pyharmony.networks.models.colorgrid import _first_not_below, _pure_weight, _weighted_indices, grow_mask
from pyharmony.ops.convolution import recolored

pytestmark = [pytest.mark.networks, pytest.mark.usefixtures("one_torch_thread")]

IMAGE_SIDE = 64
RED, GREEN, BLUE = (torch.tensor(x)[:, None, None] for x in ((0.9, 0.1, 0.1), (0.1, 0.8, 0.1), (0.1, 0.1, 0.9)))
WIDE_CONFIG = {"heads": 2, "recall": True, "nearness": True}
NO_CHANGES = {"moved": 0.0, "cut_out": 0.0, "feathered": 0.0, "worn": 0.0, "fits": 0.0}


def batch(count: int = 6) -> tuple[Any, Any, Any]:
    """Returns composites, targets and masks of a red square in a green image, recoloured to blue."""
    mask = torch.zeros(count, 1, IMAGE_SIDE, IMAGE_SIDE)
    mask[..., 16:48, 20:52] = 1
    composite, target = (torch.where(mask > 0, color, GREEN) for color in (BLUE, RED))
    return composite, target, mask


def drawn(seed: int = 0, pixels: int = 32, **shares: float) -> Any:
    torch.manual_seed(seed)
    return changed_samples(*batch(), Shares(**NO_CHANGES | shares), pixels)


def near(image: Any, color: Any) -> Any:
    """Returns where images [N, 3, H, W] have nearly a colour, [N, H, W]."""
    return ((image - color).abs() < 0.05).all(1)


def test_a_wider_network_starts_where_a_narrower_one_is() -> None:
    torch.manual_seed(0)
    narrow, wide = (models.create("colorgrid", "small", **extra) for extra in ({}, WIDE_CONFIG))
    torch.nn.init.normal_(narrow.experts[0].last.weight, std=0.3)
    wide.start_from(narrow)
    composite, mask = torch.rand(2, 3, IMAGE_SIDE, IMAGE_SIDE), batch(2)[2]
    with torch.no_grad():
        expected, output = (model.eval()(composite, mask) for model in (narrow, wide))
    assert (expected - composite).abs().max() > 0.01
    torch.testing.assert_close(output, expected)
    with pytest.raises(WeightsError, match=r"start: weights with .*, which the model does not have"):
        narrow.start_from(wide)
    with pytest.raises(WeightsError, match=r"start: .* \[32, .*\], expected \[64, .*\]"):
        models.create("colorgrid", "small", hidden=64).start_from(models.create("colorgrid", "small", hidden=32))


def test_a_further_expert_begins_as_the_last_one() -> None:
    torch.manual_seed(0)
    one, two = (models.create("colorgrid", "small", judge=16, experts=count).eval() for count in (1, 2))
    torch.nn.init.normal_(one.experts[0].last.weight, std=0.3)
    torch.nn.init.normal_(one.judge.decide[-1].bias, std=1.0)
    two.start_from(one)
    for expert in two.experts:
        for key, x in one.experts[0].state_dict().items():
            assert torch.equal(expert.state_dict()[key], x)
    # The copies share what the judge gave to the answers that they are copies of: it hears nothing of them.
    composite, mask = torch.rand(4, 3, IMAGE_SIDE, IMAGE_SIDE), batch(4)[2]
    for judge in (one.judge, two.judge):
        for norm in (judge.norm, *judge.rows.norms):
            torch.nn.init.zeros_(norm.weight)
    with torch.no_grad():
        before, after = (model.answers(composite, mask) for model in (one, two))
    weights = before.weights.clone()
    weights[:, :2] /= 2
    torch.testing.assert_close(after.weights, torch.cat([weights, weights[:, :2]], 1))
    torch.testing.assert_close(after.together().affine, before.together().affine)
    three = models.create("colorgrid", "small", judge=16, experts=3)
    three.start_from(two)
    with pytest.raises(WeightsError, match=r"start: judge\..*, expected"):
        models.create("colorgrid", "small", judge=8, experts=3).start_from(two)
    facts = two.judge._facts()
    assert all(three.judge._facts()[fact] >= place for fact, place in facts.items())
    assert len(facts) == two.judge.norm.normalized_shape[0]
    with pytest.raises(WeightsError, match=r"start: weights with experts\.1\..*, which the model does not have"):
        one.start_from(two)


@pytest.mark.parametrize("number", range(12))
def test_what_is_exported_searches_as_torch_does(number: int) -> None:
    torch.manual_seed(number)
    pixels, count = int(torch.randint(1, 5000, ())), int(torch.randint(1, 600, ()))
    weight = torch.rand(3, pixels)
    weight = (weight * (weight > (0.0, 0.9, 1.0)[number % 3]) + 1e-9).double()
    summed = weight.cumsum(1)
    values = (torch.arange(count, dtype=torch.float64) + 0.5) / count * summed[:, -1:]
    assert torch.equal(_first_not_below(summed, values), torch.searchsorted(summed, values))


def test_without_shares_a_batch_is_as_given() -> None:
    composite, target, mask = batch()
    for samples in (drawn(), unchanged_samples(composite, target, mask, 32)):
        assert torch.equal(samples.composite, composite) and torch.equal(samples.mask, mask)
        torch.testing.assert_close(samples.colors, BLUE.flatten().expand(6, 32, 3))
        torch.testing.assert_close(samples.target_colors, RED.flatten().expand(6, 32, 3))


def test_a_cut_out_shows_its_own_colours_nowhere_else() -> None:
    """Neither the right colour nor the rim of the recoloured object is left around a clean cut-out."""
    samples = drawn(cut_out=1.0)
    assert not near(samples.composite, RED).any()
    visible = near(samples.composite, BLUE).flatten(1).sum(1)
    assert (visible < 32 * 32).all() and (visible > 24 * 24).all()
    torch.testing.assert_close(samples.colors, BLUE.flatten().expand(6, 32, 3))
    torch.testing.assert_close(samples.target_colors, RED.flatten().expand(6, 32, 3))
    # What the network is told of the object is what is left of it.
    assert (near(samples.composite, BLUE) == (samples.mask[:, 0] > 0.5)).float().mean() > 0.95


def test_a_cut_out_that_fits_keeps_its_colours() -> None:
    samples = drawn(cut_out=1.0, fits=1.0)
    assert torch.equal(samples.colors, samples.target_colors) and not near(samples.composite, BLUE).any()


def test_a_cut_out_elsewhere_stands_before_another_part_of_the_photograph() -> None:
    """A photograph whose upper half is green and whose lower half is yellow, its object in both, as it is."""
    composite, _, mask = batch()
    yellow = torch.tensor((0.8, 0.8, 0.1))[:, None, None]
    half = (torch.arange(IMAGE_SIDE) < IMAGE_SIDE // 2)[:, None]
    target = torch.where(mask > 0, RED, torch.where(half, GREEN, yellow))
    rows = []
    for elsewhere in (0.0, 1.0):
        torch.manual_seed(0)
        shares = Shares(**NO_CHANGES | {"cut_out": 1.0, "fits": 1.0}, elsewhere=elsewhere)
        samples = changed_samples(composite, target, mask, shares, 8)
        rows.append(near(samples.composite, GREEN)[:, :, 0].sum(1))
    assert (rows[0] == IMAGE_SIDE // 2).all()
    assert (rows[1] != IMAGE_SIDE // 2).any()


def test_an_exposed_object_is_brighter_by_factors_of_linear_light() -> None:
    samples, (_, target, mask) = drawn(exposed=1.0), batch()
    outside = (mask == 0).expand_as(target)
    assert torch.equal(samples.composite[outside], target[outside]) and torch.equal(samples.mask, mask)
    torch.testing.assert_close(samples.target_colors, RED.flatten().expand(6, 32, 3))
    # Dark values hardly reach the shoulder: their factors differ by a white balance alone.
    changed, original = (
        torch.from_numpy(srgb_to_linear(x[:, 0].double().numpy())) for x in (samples.colors, samples.target_colors)
    )
    stops = torch.log2(changed / original)
    assert 0.3 < stops[:, 1].std() < 2
    assert (stops[:, 1:].std(1) < 0.4).all() and not torch.equal(samples.composite, target)


def test_a_shoulder_keeps_white_where_it_is() -> None:
    _, _, mask = batch(32)
    white = torch.ones(32, 3, IMAGE_SIDE, IMAGE_SIDE)
    torch.manual_seed(0)
    colours = changed_samples(white, white, mask, Shares(**NO_CHANGES, exposed=1.0), 4).colors[:, 0]
    white_ones = (colours > 0.999).all(1)
    assert 12 < white_ones.sum() < 31 and (colours[~white_ones] < 0.97).any(1).all()


def test_moved_masks_miss_the_region_by_some_pixels() -> None:
    samples, (composite, _, mask) = drawn(moved=1.0), batch()
    assert torch.equal(samples.composite, composite)
    apart = (samples.mask - mask).abs().flatten(1).sum(1)
    assert (apart > 0).sum() >= 5 and (apart < 0.9 * 32 * 32).all()
    # The colours that are compared are still those of the region.
    torch.testing.assert_close(samples.target_colors, RED.flatten().expand(6, 32, 3))


def test_a_feathered_change_fades_towards_the_contour() -> None:
    samples = drawn(feathered=1.0)
    middle, edge = samples.composite[:, :, 32, 36], samples.composite[:, :, 16, 36]
    torch.testing.assert_close(middle, BLUE.flatten().expand(6, 3))
    assert ((edge - RED.flatten()).abs() < (BLUE - RED).flatten().abs() + 1e-6).all()
    assert ((edge - BLUE.flatten()).abs().amax(1) > 0.02).sum() >= 4
    torch.testing.assert_close(samples.colors, BLUE.flatten().expand(6, 32, 3), atol=0.05, rtol=0)


def test_a_worn_composite_is_judged_by_its_colours_before() -> None:
    samples, (composite, _, mask) = drawn(worn=1.0), batch()
    assert not torch.equal(samples.composite, composite) and torch.equal(samples.mask, mask)
    assert (samples.composite - composite).abs().mean() < 0.05
    torch.testing.assert_close(samples.colors, BLUE.flatten().expand(6, 32, 3))


def test_what_is_drawn_goes_by_the_seed() -> None:
    shares = {"moved": 0.5, "cut_out": 0.5, "feathered": 0.5, "worn": 0.5}
    first, again, other = (drawn(seed, **shares) for seed in (1, 1, 2))
    assert all(map(torch.equal, first, again)) and not torch.equal(first.composite, other.composite)


def test_a_small_object_stays_as_it_is() -> None:
    """An object of few pixels has no rim to lose."""
    mask = torch.zeros(2, 1, IMAGE_SIDE, IMAGE_SIDE)
    mask[..., 30:35, 30:35] = 1
    composite = torch.where(mask > 0, BLUE, GREEN)
    samples = changed_samples(composite, composite, mask, Shares(1.0, 1.0, 0.0, 0.0, 0.0), 8)
    assert torch.equal(samples.composite, composite)
    # Its mask may be wider, but is never empty.
    assert (samples.mask.flatten(1).sum(1) >= 25).all()


def test_the_scale_of_the_loss() -> None:
    """With a scale c an error e counts as c log(1 + e / c)."""
    config = {"view": 32, "size": 32, "point_width": 8, "hidden": 8, "drawn": (8, 8, 8), "stages": 1}
    composite, target, mask = batch()
    losses = []
    for scale in (0.0, 0.1):
        torch.manual_seed(0)
        step = steps.create(models.create("colorgrid", **config), scale=scale, floor=1e-9)
        losses.append(float(step({"composite": composite, "target": target, "mask": mask})["rmse"]))
    assert losses[1] == pytest.approx(0.1 * np.log1p(losses[0] / 0.1), rel=1e-5)


def test_settings_of_shares_that_are_refused() -> None:
    model = models.create("colorgrid", "small")
    for name in NO_CHANGES:
        with pytest.raises(ArgumentError, match=name):
            steps.create(model, **{name: 1.5})
    with pytest.raises(ArgumentError, match="scale"):
        steps.create(model, scale=-1.0)
    with pytest.raises(ArgumentError, match="floor"):
        steps.create(model, floor=0.0)
    with pytest.raises(ArgumentError, match="on the CPU"):
        steps.create(model, cut_out=0.5).capture({})


# The network in NumPy


def scenes(count: int = 3, side: int = 256) -> list[Scene]:
    """Returns smooth scenes with a disc, one with a mask that touches the border and one with a tiny object."""
    random = np.random.default_rng(3)
    y, x = np.mgrid[:side, :side] / side
    scenes_ = []
    for i in range(count):
        picture = np.kron(random.random((8, 8, 3)), np.ones((side // 8, side // 8, 1))) * 0.7 + 0.3 * random.random(3)
        radius = (0.25, 0.6, 0.02)[i]
        mask = (x - 0.3) ** 2 + (y - 0.5) ** 2 < radius**2
        scenes_.append(Scene(picture.astype(np.float32), mask.astype(np.float32)))
    return scenes_


@pytest.mark.parametrize("config", [{}, {"heads": 4, "recall": True, "nearness": True, "reach": (1.0, 2.5, 7.0)}])
def test_the_network_in_numpy_is_the_one_in_torch(config: dict[str, Any], tmp_path: Path) -> None:
    torch.manual_seed(1)
    model: Any = models.create("colorgrid", **config).eval()
    torch.nn.init.normal_(model.experts[0].last.weight, std=0.05)
    models.save(model, tmp_path / "w.safetensors")
    network = _colorgrid.parsed((tmp_path / "w.safetensors").read_bytes(), "w")
    for scene in scenes():
        picture = torch.from_numpy(scene.image).permute(2, 0, 1)[None]
        with torch.no_grad():
            expected = model.maps(picture, torch.from_numpy(scene.mask)[None, None])
        (maps,) = network.maps([scene])
        np.testing.assert_allclose(maps.affine, expected.affine[0], rtol=0, atol=1e-4)
        np.testing.assert_allclose(maps.curves, expected.curves[0], rtol=0, atol=1e-4)


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    models.save(models.create("colorgrid", "small"), tmp_path / "w.safetensors")
    data = (tmp_path / "w.safetensors").read_bytes()
    about = {"format": 1, "name": "dovenet", "config": {}, "part": "all"}
    header = json.dumps({"__metadata__": {"pyharmony": json.dumps(about)}}).encode()
    other = len(header).to_bytes(8, "little") + header
    for wrong in (b"", data[:50], data[:-100], b"\xff" * 100, other):
        with pytest.raises(WeightsError, match=r"w\.safetensors: (not a safetensors|a damaged|weights of dovenet)"):
            _colorgrid.parsed(wrong, "w.safetensors")


# ---- the judge, and what only a caller knows ----


def judged_network(**extra: Any) -> Any:
    torch.manual_seed(0)
    model = models.create("colorgrid", "small", judge=16, hints=24, **extra).eval()
    for expert in model.experts:
        torch.nn.init.normal_(expert.last.weight, std=0.3)
    return model


@pytest.mark.parametrize("by", [-2, -1, 1, 2])
def test_a_mask_is_moved_by_nearly_round_steps(by: int) -> None:
    mask = torch.zeros(1, 1, 40, 40)
    mask[..., 10:30, 10:30] = 1
    grown = grow_mask(mask, by)
    y, x = np.mgrid[:40, :40]
    plane = mask[0, 0].numpy() > 0
    away = {value: np.sqrt(((y[..., None] - y[plane == value]) ** 2 + (x[..., None] - x[plane == value]) ** 2).min(-1))
            for value in (False, True)}  # fmt: skip
    reach = abs(by) + 0.5
    expected = away[True] < reach if by > 0 else away[False] > reach
    np.testing.assert_array_equal(grown[0, 0].numpy() > 0, expected)


def test_a_mask_that_would_vanish_stays() -> None:
    mask = torch.zeros(2, 1, 40, 40)
    mask[0, :, 10:15, 10:15] = 1
    mask[1, :, 1:, :] = 1
    assert torch.equal(grow_mask(mask, -1)[0], mask[0]) and torch.equal(grow_mask(mask, 2)[1], mask[1])


def test_all_experts_answer_and_the_first_to_moved_masks_too() -> None:
    model, (composite, mask) = judged_network(experts=2), (torch.rand(2, 3, IMAGE_SIDE, IMAGE_SIDE), batch(2)[2])
    alone = [models.create("colorgrid", "small", judge=16).eval() for _ in model.experts]
    for one, expert in zip(alone, model.experts, strict=True):
        one.experts[0].load_state_dict(expert.state_dict())
    with torch.no_grad():
        maps = model.answers(composite, mask).maps
        first, last = (one.answers(composite, mask).maps for one in alone)
        torch.testing.assert_close(maps.affine, torch.cat([first.affine, last.affine[:, :2]], 1))
        torch.testing.assert_close(maps.curves, torch.cat([first.curves, last.curves[:, :2]], 1))
        torch.testing.assert_close(model.stage_maps(composite, mask)[-1].affine, last.affine[:, 0])


def test_the_judge_weighs_the_answers_to_moved_masks() -> None:
    model, (composite, mask) = judged_network(), (torch.rand(2, 3, IMAGE_SIDE, IMAGE_SIDE), batch(2)[2])
    with torch.no_grad():
        answers = model.answers(composite, mask)
        maps, weights = answers.maps, answers.weights
        small, inside = (torch.nn.functional.adaptive_avg_pool2d(x, 32) for x in (composite, mask))
        views = [inside, *(grow_mask(inside, by) for by in (-2, -1, 1, 2))]
        for i, view in zip((0, 2, 3, 4, 5), views, strict=True):
            torch.testing.assert_close(maps.affine[:, i], model.stage_maps(small, view)[-1].affine)
        mirrored = model.stage_maps(small.flip(-1), inside.flip(-1))[-1]
        torch.testing.assert_close(maps.curves[:, 1], mirrored.curves)
        expected = torch.eye(3, 4) + sum(
            weights[:, i, None, None] * (maps.affine[:, i] - torch.eye(3, 4)) for i in range(6)
        )
        torch.testing.assert_close(model.maps(composite, mask).affine, expected)
    assert weights.shape == (2, 6) and bool((weights > 0).all()) and bool((weights.sum(1) < 1).all())
    with pytest.raises(ArgumentError, match="judge: 0 in the model's config"):
        models.create("colorgrid", "small").answers(composite, mask)


def in_numpy(model: Any, folder: Path) -> _colorgrid.Network:
    models.save(model, folder / "w.safetensors")
    return _colorgrid.parsed((folder / "w.safetensors").read_bytes(), "w")


@pytest.mark.parametrize("by", [-2, -1, 1, 2])
def test_masks_move_alike_in_numpy(by: int) -> None:
    random = np.random.default_rng(by + 2)
    for share in (0.01, 0.1, 0.5, 0.9):
        mask = (random.random((30, 40)) < share).astype(np.float32)
        expected = grow_mask(torch.from_numpy(mask)[None, None], by)[0, 0]
        np.testing.assert_array_equal(_judged.moved(mask, by), expected)


@pytest.mark.parametrize("by", [-2, -1, 1, 2])
def test_soft_masks_move_too(by: int) -> None:
    mask = np.kron(np.random.default_rng(by + 2).random((6, 8), np.float32), np.ones((5, 5), np.float32))
    assert len(np.unique(mask)) > 2
    shifted = _judged.moved(mask, by)
    padded = np.pad(mask, abs(by), "edge")
    for y, x in ((0, 0), (7, 11), (29, 39), (12, 0)):
        window = padded[y : y + 2 * abs(by) + 1, x : x + 2 * abs(by) + 1].copy()
        if abs(by) == 2:  # the square, then the rhombus: without the corners
            window[[0, 0, -1, -1], [0, -1, 0, -1]] = window[2, 2]
        # Inwards it is the background that is moved.
        expected = window.max() if by > 0 else 1 - (1 - window).max()
        assert shifted[y, x] == expected
    assert shifted.dtype == np.float32


def test_a_map_of_some_pixels_or_of_many_maps_has_the_bits_of_each() -> None:
    random = np.random.default_rng(6)
    image, where = random.random((9, 13, 3), np.float32), np.array([0, 5, 77, 116])
    parts: dict[str, Any] = {
        "affine": np.eye(3, 4) + 0.1 * random.standard_normal((3, 4)),
        "curves": 0.1 * random.standard_normal((3, 3, 8)),
        "grid": 0.1 * random.standard_normal((3, 4, 2, 3, 4)),
    }
    plain = ColorMap(affine=parts["affine"], curves=parts["curves"])
    for color_map in (plain, ColorMap(**parts), ColorMap(table=random.random((5, 5, 5, 3)))):
        whole = color_map.apply(image)
        np.testing.assert_array_equal(mapped(color_map, image, where), whole.reshape(-1, 3)[where])
        for maps in ([plain, color_map], [color_map, ColorMap()]):
            for ours, each in zip(images_of(maps, image), maps, strict=True):
                np.testing.assert_array_equal(ours, each.apply(image))


@pytest.mark.parametrize("care", list(Care))
def test_only_the_object_is_judged(care: Care) -> None:
    """The answer by the object's pixels is the one by the whole scene."""
    random = np.random.default_rng(5)
    (scene,) = scenes(1, 64)
    maps = [
        ColorMap(
            affine=np.eye(3, 4) + 0.05 * random.standard_normal((3, 4)),
            curves=0.02 * random.standard_normal((3, 3, 8)),
        )
        for _ in range(4)
    ]  # fmt: skip
    calibration, weights = Calibration(), np.array([0.4, 0.3, 0.2, 0.1])
    ours = _judged.judged_maps(scene, maps, calibration, care, weights)
    outputs = [m.apply(scene.image) for m in maps]
    theirs = _judged.judged(scene, weighted(maps, weights), outputs, 1.0, calibration, care, weights)
    np.testing.assert_allclose(ours.map.affine, theirs.map.affine, rtol=0, atol=1e-12)
    assert ours.confidence == pytest.approx(theirs.confidence, abs=1e-12) and ours.reason == theirs.reason
    # A map with a grid depends on the place, so that all of the scene is mapped.
    color_maps = [ColorMap(grid=0.2 * random.standard_normal((4, 4, 2, 3, 4))) for _ in range(2)]
    ours = _judged.judged_maps(scene, color_maps, calibration, care)
    here, weights = [color_maps[0], color_maps[1].mirrored()], np.full(2, 0.5)
    outputs = [m.apply(scene.image) for m in here]
    theirs = _judged.judged(scene, weighted(here, weights), outputs, 1.0, calibration, care, weights)
    assert ours.map.grid is not None and ours.confidence == theirs.confidence
    np.testing.assert_array_equal(ours.map.grid, theirs.map.grid)


@pytest.mark.parametrize("extra", [{}, WIDE_CONFIG | {"experts": 3}])
def test_the_judge_in_numpy_is_the_one_in_torch(extra: dict[str, Any], tmp_path: Path) -> None:
    model = judged_network(**extra)
    torch.nn.init.normal_(model.judge.decide[-1].weight, std=0.5)
    torch.nn.init.constant_(model.judge.boost, 0.3)
    network, random = in_numpy(model, tmp_path), np.random.default_rng(0)
    for box in ((8, 24, 9, 25), (0, 12, 4, 30)):
        mask = np.zeros((32, 32), np.float32)
        mask[box[0] : box[1], box[2] : box[3]] = 1
        scene = Scene(random.random((32, 32, 3), np.float32), mask)
        with torch.no_grad():
            picture = torch.from_numpy(scene.image).permute(2, 0, 1)[None]
            expected = model.answers(picture, torch.from_numpy(mask)[None, None])
        maps, weights = network.answers(scene, Care.UNGUARDED)
        assert weights is not None and np.ptp(weights) > 0.01
        assert len(maps) == len(weights) == 4 + 2 * len(model.experts)
        np.testing.assert_allclose(weights, expected.weights[0], rtol=0, atol=1e-4)
        for i, color_map in enumerate(maps):
            np.testing.assert_allclose(color_map.affine, expected.maps.affine[0, i], rtol=0, atol=1e-4)
        for care in Care:
            ours, theirs = network.answer_of(scene, care), networks.answer_of(model, scene, care)
            np.testing.assert_allclose(ours.map.affine, theirs.map.affine, rtol=0, atol=1e-4)
            assert ours.confidence == pytest.approx(theirs.confidence, abs=1e-4)


def test_hints_in_numpy_are_those_in_torch(tmp_path: Path) -> None:
    model = judged_network()
    for part in (model.by_source, model.by_reference):
        torch.nn.init.normal_(part.decide[-1].weight, std=0.1)
    network, random = in_numpy(model, tmp_path), np.random.default_rng(0)
    mask = np.zeros((256, 256), np.float32)
    mask[40:160, 60:170] = 1
    small_scene = Scene(random.random((256, 256, 3), np.float32), mask)
    before = ColorMap(affine=np.diag([0.7, 0.8, 0.9, 1.0])[:3])
    source, reference = (random.random((count, 3), np.float32) for count in (300, 70))
    colors = torch.from_numpy(small_scene.image).flatten(0, 1)
    inside, outside, _ = model.config.seen
    colours, background = (
        colors[_weighted_indices(_pure_weight(torch.from_numpy(weight).flatten()[None]), count, False)]
        for weight, count in ((mask, inside), (1 - mask, outside))
    )
    mapped = torch.from_numpy(before.apply(colours.numpy()))
    with torch.no_grad():
        change = model.hint_change(colours, mapped, background, reference=torch.from_numpy(reference)[None])
    (color_map,) = network.hinted(small_scene, [before], Hints(None, reference))
    np.testing.assert_allclose(color_map.affine - before.affine, change.affine[0], rtol=0, atol=1e-4)
    np.testing.assert_allclose(color_map.curves, change.curves[0], rtol=0, atol=1e-4)
    assert change.affine.abs().max() > 0.01
    # With a source the map itself counts less, and the answer to both scenes side by side counts too.
    scene = Source(source, random.random((256, 256, 3), np.float32), np.ones((256, 256), bool))
    values = _colorgrid._scene_change(network, small_scene, scene)
    with torch.no_grad():
        layers = model.by_source(torch.from_numpy(source)[None], background, colours, mapped).numpy()
    values = _colorgrid._LAYERS_WEIGHT * layers + _colorgrid._SCENES_WEIGHT * values
    share = _colorgrid._MAP_WEIGHT
    first, second = network.hinted(small_scene, [before, ColorMap()], Hints(scene, None))
    affine, curves = (x[0] for x in _colorgrid._split(values))
    np.testing.assert_allclose(first.affine, np.eye(3, 4) + share * (before.affine - np.eye(3, 4)) + affine, atol=1e-4)
    np.testing.assert_allclose(first.curves, curves, rtol=0, atol=1e-4)
    assert np.abs(first.affine - second.affine).max() > 0.01
    # A reference is asked about the object as the source has changed it.
    colors = colours + share * (mapped - colours)
    with torch.no_grad():
        parts = _colorgrid._split(values.astype(np.float32))
        colors = colors + torch.from_numpy(recolored(colours.numpy(), *parts))
        then = model.by_reference(colors, torch.from_numpy(reference)[None], colours, colors).numpy()
    (both,) = network.hinted(small_scene, [before], Hints(scene, reference))
    np.testing.assert_allclose(both.affine - first.affine, _colorgrid._split(then)[0][0], rtol=0, atol=1e-4)


def test_scenes_side_by_side_are_asked_as_an_object_that_fills_a_half(tmp_path: Path) -> None:
    model = judged_network()
    network, random = in_numpy(model, tmp_path), np.random.default_rng(1)
    here, there = (random.random((256, 256, 3), np.float32) for _ in range(2))
    nothing, everywhere = np.zeros((256, 256), np.float32), np.ones((256, 256), bool)
    half = nothing.copy()
    half[:, 128:] = 1
    both = [np.concatenate([x[:, ::2][:, ::step] for x in (here, there)], 1) for step in (1, -1)]
    maps = network.maps([Scene(picture, half) for picture in both])
    expected = [np.concatenate([(m.affine - np.eye(3, 4)).reshape(-1), m.curves.reshape(-1)]) for m in maps]
    change = _colorgrid._scene_change(network, Scene(here, nothing), Source(here.reshape(-1, 3), there, everywhere))
    np.testing.assert_allclose(change[0], np.mean(expected, 0), rtol=0, atol=1e-4)
    assert np.abs(change).max() > 0.01
    # What lies under the masks of the objects is not looked at.
    mask, where = nothing.copy(), everywhere.copy()
    mask[100:140, 60:170], where[:60, :80] = 1, False
    coverages = [
        _colorgrid._scene_change(
            network, Scene(np.where(mask[..., None] > 0, paint, here), mask),
            Source(there[where], np.where(where[..., None], there, paint), where),
        )
        for paint in (np.float32(0), np.float32(1))
    ]  # fmt: skip
    np.testing.assert_array_equal(*coverages)
    assert np.abs(coverages[0] - change).max() > 1e-3


def test_without_layers_for_hints_there_is_an_error() -> None:
    colors = torch.rand(1, 8, 3)
    with pytest.raises(ArgumentError, match="hints: 0 in the model's config"):
        models.create("colorgrid", "small").hint_change(colors, colors, colors)


def test_hints_change_nothing_at_first_and_both_add_up() -> None:
    model = judged_network()
    colours, mapped, background, source, reference = (torch.rand(2, 50 + i, 3) for i in range(5))
    mapped = mapped[:, :50]
    with torch.no_grad():
        for hints in ({}, {"source": source}, {"source": source, "reference": reference}):
            change = model.hint_change(colours, mapped, background, **hints)
            assert not change.affine.any() and not change.curves.any()
        for part in (model.by_source, model.by_reference):
            torch.nn.init.normal_(part.decide[-1].weight, std=0.1)
        by_source = model.hint_change(colours, mapped, background, source=source)
        # The reference is asked about the object as the source has changed it.
        after = mapped + by_source.apply(colours)
        then = model.hint_change(colours, after, background, reference=reference)
        both = model.hint_change(colours, mapped, background, source=source, reference=reference)
        torch.testing.assert_close(both.affine, by_source.affine + then.affine)
    assert by_source.affine.abs().max() > 0.01 and then.curves.abs().max() > 0.01


@pytest.mark.parametrize("part", ["looks", "judge", "hints"])
def test_a_step_trains_one_part(part: str) -> None:
    starts = {"judge": ("judge.",), "hints": ("by_source.", "by_reference."), "looks": ("experts.1.",)}[part]
    model = judged_network(heads=2, recall=True, experts=2)
    before = {name: x.clone() for name, x in model.named_parameters()}
    torch.manual_seed(0)
    step = steps.create(model, None, trains=part, lr=1e-2, cut_out=0.5)
    composite, target, mask = batch(4)
    noise = torch.rand(4, 3, IMAGE_SIDE, IMAGE_SIDE) * 0.2
    errors = [
        step({"composite": composite * 0.8 + noise, "target": target * 0.8 + noise, "mask": mask}) for _ in range(3)
    ]
    assert all(bool(torch.isfinite(x)) for losses in errors for x in losses.values())
    changed = {name for name, x in model.named_parameters() if not torch.equal(x, before[name])}
    trainable = {name for name in before if name.startswith(starts)}
    assert changed <= trainable and len(changed) > 0.8 * len(trainable)
    if part == "looks":
        with pytest.raises(ArgumentError, match=r"trains: 'judge', but the network has none; set model\.judge"):
            steps.create(models.create("colorgrid", "small"), None, trains="judge")
        with pytest.raises(ArgumentError, match="trains: 'all', expected one of 'looks', 'judge', 'hints'"):
            steps.create(model, None, trains="all")


@pytest.mark.parametrize(
    ("part", "name"), [("judge", "rmse"), pytest.param("hints", "by_source", marks=pytest.mark.full)]
)
def test_samples_are_learned_of_again(part: str, name: str) -> None:
    """Replays make more of the same samples; the oldest are forgotten."""
    composite, target, mask = batch(4)
    noise = torch.rand(4, 3, IMAGE_SIDE, IMAGE_SIDE) * 0.2
    samples = {"composite": composite * 0.8 + noise, "target": target * 0.8 + noise, "mask": mask}
    model = judged_network()
    weights = {name: x.clone() for name, x in model.state_dict().items()}
    errors = {}
    for replays in (0, 12):
        model.load_state_dict(weights)
        torch.manual_seed(0)
        step = steps.create(model, None, trains=part, lr=3e-3, memory=10, replays=replays, replayed=6, pixels=96)
        errors[replays] = [float(step(samples)[name]) for _ in range(6)]
        assert len(step._memory) == 10 and step.count == 6
    assert errors[12][-1] < errors[0][-1] < errors[0][0]
    step.accumulate = 2
    with pytest.raises(ArgumentError, match="accumulate: 2, expected 1 if replays is above 0"):
        step(samples)
    for wrong in ({"memory": 0}, {"trains": "looks"}):
        with pytest.raises(ArgumentError, match="replays: more than 0, expected trains='judge' or 'hints', and mem"):
            steps.create(model, None, **{"trains": part, "memory": 10, "replays": 2} | wrong)


@pytest.mark.parametrize("recoloured", [0.0, 1.0])
def test_scenes_of_one_photograph_in_two_lights(recoloured: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The object changes as its scene does, and black and white stay; or as it does in the composite."""
    monkeypatch.setattr("pyharmony.learn.training.steps._scenes._RECOLOURED", recoloured)
    torch.manual_seed(3)
    target = torch.rand(8, 3, IMAGE_SIDE, IMAGE_SIDE)
    target[..., :16] = 0.0
    composite, mask = target * 0.7, batch(8)[2]
    scenes = drawn_scenes(composite, target, mask, Shares(**NO_CHANGES), 200)
    source, reference = scenes.by_source, scenes.by_reference
    fits = (source.samples.colors == source.samples.target_colors).flatten(1).all(1)
    assert 0 < fits.sum() < 8
    if recoloured:
        torch.testing.assert_close(
            source.samples.colors[~fits], source.samples.target_colors[~fits] * 0.7, rtol=0, atol=0.01
        )
    # One curve without a turn and with fixed ends maps each channel of what was seen in another light.
    for i in range(0 if recoloured else 8):
        for c in range(3):
            x, y = source.samples.target_colors[i, :, c], source.samples.colors[i, :, c]
            rank = x.argsort()
            assert bool((y[rank].diff() >= -1e-6).all()) and float(y[x == 0].sum()) == 0
    assert float((source.hint - source.background).abs().mean()) > 0
    for sample, *colors in scenes:
        for x in (sample.colors, sample.target_colors, *colors):
            assert x.shape == (8, 200, 3) and float(x.min()) >= 0 and float(x.max()) <= 1
        # Outside its mask each composite is the photograph.
        assert torch.equal(sample.composite * (1 - sample.mask), target * (1 - sample.mask))
        assert bool((sample.mask <= mask).all())
    whole = target.flatten(2).mT
    inside = mask[:, 0].flatten(1) > 0
    for i in range(8):
        for colors, place in ((reference.samples.target_colors, inside[i]), (source.background, ~inside[i])):
            assert {tuple(x) for x in colors[i].tolist()} <= {tuple(x) for x in whole[i][place].tolist()}
