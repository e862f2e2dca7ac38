"""Tests of surroundings and things, and of how placement and shadows use them."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

import pyharmony
from pyharmony import placement
from pyharmony.segmentation import surroundings
from pyharmony.segmentation.surroundings import KINDS, UNKNOWN_THING, Surroundings, surroundings_of, thing_in

from ..shared import ROOT

PHOTOS = ROOT / "pyharmony" / "cli" / "images"


def photo(name: str) -> np.ndarray:
    with Image.open(PHOTOS / name) as image:
        return np.asarray(image.convert("RGB"))


def cup() -> tuple[np.ndarray, np.ndarray]:
    """Returns a photo of a cup on a table, and a mask of the cup."""
    picture = photo("coffee.jpg")
    mask = np.zeros(picture.shape[:2], np.uint8)
    mask[80:340, 150:460] = 255
    return picture, mask


def flat(head: float, kind: str) -> Surroundings:
    """Returns surroundings with heads of one height, on one kind of surface."""
    kinds = np.zeros((16, 16, len(KINDS)), np.float32)
    kinds[..., KINDS.index(kind)] = 1
    return Surroundings(np.full((16, 16), np.log2(head), np.float32), kinds)


@pytest.mark.parametrize(
    ("name", "x", "y", "kind"),
    [
        ("coffee.jpg", 0.1, 0.9, "table"), ("colorado.jpg", 0.5, 0.1, "sky"), ("colorado.jpg", 0.5, 0.9, "ground"),
        ("pier.jpg", 0.2, 0.58, "water"), ("pier.jpg", 0.5, 0.1, "sky"), ("rocket.jpg", 0.5, 0.3, "sky"),
    ],
)  # fmt: skip
def test_the_surface_at_a_place_is_told(name: str, x: float, y: float, kind: str) -> None:
    surroundings = surroundings_of(photo(name))
    assert surroundings.kinds.shape == (16, 16, len(KINDS))
    np.testing.assert_allclose(surroundings.kinds.sum(2), 1, atol=1e-5)
    assert surroundings.share_at(np.array([x]), np.array([y]), (kind,))[0] > 0.6


def test_what_has_one_colour_or_is_smooth_down_to_the_border_is_a_backdrop() -> None:
    smooth = np.full((90, 130, 3), 128.0) + np.linspace(-30, 30, 130)[None, :, None]
    for picture in (np.full((40, 60, 3), 90, np.uint8), smooth.astype(np.uint8)):
        surroundings = surroundings_of(picture)
        assert (
            not surroundings.is_above_ground(0.5, 0.2)
            and surroundings.share_at(np.array([0.5]), np.array([0.9]), KINDS)[0] > 0.99
        )


def test_values_between_the_middles_of_cells_are_linear_and_constant_beyond() -> None:
    planes = np.arange(16, dtype=np.float32)[None, :, None].repeat(16, 0)
    x = np.array([0.0, 0.5 / 16, 1 / 16, 0.5, 1.0])
    values = surroundings.sampled(planes, x, np.full(5, 0.3))[:, 0]
    np.testing.assert_allclose(values, [0, 0, 0.5, 7.5, 15])


def test_a_thing_is_named_with_its_height() -> None:
    thing = thing_in(*cup())
    assert thing.name == "cup" and thing.heads == pytest.approx(0.1 / 0.23) and thing.surfaces == ("table",)
    cat = thing_in(photo("cat.png"), np.asarray(Image.open(PHOTOS / "cat_mask.png").convert("L")))
    assert cat.name == "cat" and set(cat.surfaces) == {"ground", "floor", "table"}
    noise = np.random.default_rng(0).integers(0, 255, (60, 60, 3), np.uint8)
    assert thing_in(noise, np.full((60, 60), 255, np.uint8)) == UNKNOWN_THING


def test_every_class_has_one_height() -> None:
    things = surroundings._things()
    numbers = [number for _, classes in things for number in classes]
    assert len(things) > 150 and len(numbers) == len(set(numbers)) and set(numbers) <= set(range(1000))
    assert all((thing.heads > 0) == bool(thing.surfaces) for thing, _ in things)


def test_every_height_names_sources_that_are_listed_or_is_called_an_estimate() -> None:
    lines = (ROOT / "pyharmony" / "segmentation" / "_heights.txt").read_text("utf-8").splitlines()
    marks = [re.search(r" \[([\d, ]+|\?)\]$", line) for line in lines if not line.startswith("#")]
    listed = [re.match(r"# \[(\d+)\] .+: https?://", line) for line in lines if line.startswith("# [")]
    assert all(marks) and all(listed) and len(marks) == len(surroundings._things())
    numbers = {number for mark in marks if mark and mark[1] != "?" for number in mark[1].split(", ")}
    assert numbers == {line[1] for line in listed if line} and len(numbers) == len(listed)
    estimates = sum(mark[1] == "?" for mark in marks if mark)
    assert f"{estimates} are our estimates" in (ROOT / "docs" / "models" / "scale.md").read_text("utf-8")


def test_a_thing_has_the_height_of_its_kind_where_it_can_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    picture, mask = cup()
    background = photo("coat.jpg")
    for head, kind in ((0.2, "table"), (0.4, "table"), (0.3, "water")):
        scene = flat(head, kind)
        monkeypatch.setattr(placement._place, "surroundings_of", lambda _, scene=scene: scene)
        one = placement.place(picture, background, mask=mask, people=[], person=False, cropped_sides=[], angle=0.0)[0]
        expected = head * 0.1 / 0.23 * len(background)
        assert abs(np.log2(one.box[3] / expected)) < 0.75
        assert bool(one.reason) == (kind == "water")


def test_no_shadow_lies_on_the_sky_or_on_water() -> None:
    picture, mask = cup()
    background = photo("pier.jpg")
    for at, is_ground in (((40, -60), False), ((-40, 100), False), ((290, 200), True)):
        options = {"masks": mask, "at": at, "scale": 0.5, "harmonize": None, "return_info": True}
        _, info = pyharmony.compose(picture, background, **options)
        one = info.subjects[0]
        assert (one.shadow is None) == (not is_ground)
        assert ("no shadow: it is in the sky or on water" in one.reasons) == (not is_ground)
        assert pyharmony.compose(picture, background, **options, shadow=True)[1].subjects[0].shadow is not None
