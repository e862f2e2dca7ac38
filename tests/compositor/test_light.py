"""Tests of the change of light by the photographs of a subject and of its background."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pyharmony
from pyharmony.color import linear_to_srgb, srgb_to_linear
from pyharmony.errors import ArgumentError
from pyharmony.harmonization import light

FOLDER = Path(pyharmony.__file__).parent / "cli" / "images"
NAMES = ("astronaut", "pier", "coffee", "rocket")
HEAD = (90.0, 20.0, 60.0, 80.0)


def photograph(name: str = "coffee", stops: float = 0.0, red: float = 0.0, blue: float = 0.0) -> Any:
    """Returns a photograph, [h, w, 3] uint8, the longer side 240, under another light."""
    (path,) = FOLDER.glob(f"{name}.*")
    with Image.open(path) as file:
        file.thumbnail((240, 240))
        linear = srgb_to_linear(np.asarray(file.convert("RGB")) / 255) * 2.0 ** (stops + np.array([red, 0.0, blue]))
    return np.rint(255 * linear_to_srgb(linear.clip(0, 1))).astype(np.uint8)


def view(name: str = "coffee", **changes: float) -> light.View:
    image = photograph(name, **changes)
    return light.view_of(image, [], image.shape[1])


def with_faces(one: light.View, *faces: Any) -> light.View:
    return one._replace(faces=np.array(faces, np.float64).reshape(-1, 3))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stops", [-2.0, -1.5])
def test_a_darker_photograph_is_seen(name: str, stops: float) -> None:
    difference = (view(name, stops=stops).scene - view(name).scene)[0]
    assert 1.3 * stops < difference[0] < 0.4 * stops


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("red", "blue"), [(-0.4, 0.4), (0.4, -0.4)])
def test_bluer_and_warmer_photographs_are_seen(name: str, red: float, blue: float) -> None:
    shares = (view(name, red=red, blue=blue).scene - view(name).scene)[0, 1:] / (red, blue)
    # A colour that may be the content's, such as that of the sea at the pier, is left, but nothing goes the other way.
    assert 0.2 < shares.mean() < 1.2 and shares.min() > -0.05


def test_a_change_beyond_the_noise_is_applied_in_full() -> None:
    def stops_of(difference: float) -> float:
        own = light.View(np.full((2, 3), 0.1), np.zeros((0, 3)))
        shift = light.change(own, own._replace(scene=own.scene + [difference, 0.0, 0.0]))
        return 0.0 if shift is None else shift.stops

    changes = [stops_of(v) for v in np.linspace(0, 1.4, 57)]
    assert stops_of(0.65) == 0 and stops_of(1.2) == stops_of(1.0) == 1  # brighter by one stop at most
    assert stops_of(-1.2) == -1.2 and -0.8 < stops_of(-0.8) < 0 and stops_of(-3.0) == -1.5
    assert (np.diff(changes) >= 0).all()


def test_a_warmer_scene_changes_both_red_and_blue() -> None:
    own = light.View(np.full((2, 3), 0.1), np.zeros((0, 3)))
    shift = light.change(own, own._replace(scene=own.scene + [0.0, 0.3, -0.1]))
    assert shift is not None and shift.stops == 0 and shift.red == -shift.blue > 0.1
    # Green and magenta are as often the content's.
    assert light.change(own, own._replace(scene=own.scene + [0.0, -0.2, -0.2])) is None


@pytest.mark.parametrize("lower", [0.05, -0.3])
def test_the_colour_of_the_upper_half_alone_is_not_the_light(lower: float) -> None:
    own = light.View(np.full((2, 3), 0.1), np.zeros((0, 3)))
    sea = own.scene + [[0.0, -0.3, 0.3], [0.0, -lower, lower]]
    assert light.change(own, own._replace(scene=sea)) is None


@pytest.mark.parametrize("sign", [1, -1])
def test_whites_become_as_blue_or_warm_as_those_around_or_neutral(sign: int) -> None:
    others, order = np.full((400, 3), (0.5, 0.3, 0.2)), slice(None, None, sign)

    def blue_of(white: tuple[float, float, float], around: float) -> float:
        colours = np.concatenate([np.full((40, 3), white[order]), others])
        shift = light.Light(0.0, -0.3 * sign, 0.3 * sign, "scenes", around * sign)
        rest = light.remaining(shift, colours, colours)
        assert rest is None or rest.red == pytest.approx(-rest.blue, abs=1e-9)
        return 0.0 if rest is None else sign * rest.blue

    assert blue_of((0.95, 0.95, 0.95), 0.0) == 0 == blue_of((0.95, 0.95, 0.95), -0.4)
    assert blue_of((0.95, 0.95, 0.95), 0.4) == pytest.approx(0.3) and 0.2 < blue_of((0.95, 0.95, 0.95), 0.2) < 0.3
    assert 0.12 < blue_of((0.95, 0.92, 0.86), 0.0) < 0.3
    # Without whites nothing is limited.
    assert blue_of((0.5, 0.3, 0.2), 0.0) == pytest.approx(0.3)


def test_photographs_in_the_same_light_change_nothing() -> None:
    assert light.change(view(), view()) is None
    # A slight difference is within the noise of the estimates.
    assert light.change(view(), view(stops=-0.15)) is None
    # A cut-out alone has no scene.
    image = photograph(stops=-2.0)
    assert light.change(light.view_of(image, [], image.shape[1], is_scene=False), view()) is None


def test_faces_count_beside_scenes() -> None:
    own, there = with_faces(view(), (-2.0, 0.4, -0.4)), with_faces(view(stops=-2.0), (-5.0, 0.3, 0.4), (-5.5, 0.4, 0.5))
    shift = light.change(own, there)
    assert shift is not None and shift.evidence == "faces and scenes" and shift.stops < -1 and shift.blue > 0.1
    scenes = light.change(own, with_faces(there))
    assert scenes is not None and scenes.evidence == "scenes" and shift.stops < scenes.stops < 0
    # In a scene like its own it is other skin, or the shade.
    assert light.change(own, there._replace(scene=own.scene)) is None
    # A face fits that is between others, or differs by no more than skin does.
    assert light.change(own, own._replace(faces=own.faces + [[[0.9, 0.2, 0.2]]][0])) is None
    between = with_faces(own, own.faces[0] - [2, 0.5, 0.5], own.faces[0] + [2, 0.5, 0.5])
    assert light.change(own, between) is None


def test_skin_is_measured_where_it_can_be_seen() -> None:
    image = np.full((120, 240, 3), (40, 90, 200), np.uint8)
    assert len(light.view_of(image, [HEAD], 240).faces) == 0  # no skin
    image[30:100, 95:145] = (200, 140, 110)
    (face,) = light.view_of(image, [HEAD, (0.0, 0.0, 9.0, 12.0)], 240).faces
    np.testing.assert_allclose(face, light.look(srgb_to_linear(np.array([[200, 140, 110]]) / 255)), atol=1e-6)
    # Rectangles are those of a photograph of another width.
    (half,) = light.view_of(image, [tuple(2 * v for v in HEAD)], 480).faces
    np.testing.assert_allclose(half, face)


def test_changes_are_limited() -> None:
    shifts = []
    for before in NAMES:
        for after in NAMES:
            for stops, blue in ((-4.0, 0.0), (0.0, 1.5), (2.0, -1.5), (-1.0, 0.5)):
                if (shift := light.change(view(before), view(after, stops=stops, blue=blue))) is not None:
                    shifts.append(shift)
                    assert -1.5 <= shift.stops <= 1 and abs(shift.red) <= 0.6 and abs(shift.blue) <= 0.6
    assert len(shifts) > 20
    greys = np.linspace(0, 1, 64, dtype=np.float32)[:, None] * np.ones(3, np.float32)
    for shift in shifts:
        result = light.map_of(shift, greys).apply(greys[None])[0]
        assert (np.diff(result.astype(np.float64), axis=0) > -1e-6).all() and result.max() <= 1


def test_only_what_another_change_leaves_is_applied() -> None:
    before = np.random.default_rng(0).uniform(0.2, 0.6, (500, 3))

    def darker(stops: float) -> Any:
        return linear_to_srgb(srgb_to_linear(before) * 2.0**stops)

    whole = light.Light(-1.0, 0.1, -0.2, "faces")
    rest = light.remaining(whole, before, darker(-0.4))
    assert rest is not None and rest.evidence == "faces"
    np.testing.assert_allclose(rest[:3], (-0.6, 0.1, -0.2), atol=1e-3)
    opposite = light.remaining(whole, before, darker(0.3))
    assert opposite is not None and opposite.stops == -1.0
    assert light.remaining(light.Light(-1.0, 0.0, 0.0, "scenes"), before, darker(-1.5)) is None


def composite(own: Any, scene: Any, **arguments: Any) -> tuple[Any, Any]:
    mask = np.zeros(own.shape[:2], np.uint8)
    mask[60:140, 60:140] = 255
    settings = {"masks": mask, "people": [], "at": (0, 0), "shadow": False, "grain": 0, "sharpness": 0}
    return pyharmony.compose(own, scene, return_info=True, **{**settings, **arguments})


@pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning")
@pytest.mark.parametrize(("own_stops", "scene_stops", "sign"), [(0.0, -2.5, -1), (-2.5, 0.0, 1)])
def test_compose_follows_a_change_of_light_and_a_recipe_repeats_it(
    own_stops: float, scene_stops: float, sign: int
) -> None:
    own, scene = photograph(stops=own_stops), photograph("rocket", stops=scene_stops)
    result, info = composite(own, scene)
    entry, added = info.recipe["subjects"][0], info.subjects[0].light
    assert entry["harmonize"]["light"]["evidence"] == "scenes" == added["evidence"] and added["stops"] * sign > 0
    by_recipe = pyharmony.compose(own, scene, recipe=json.loads(json.dumps(info.recipe)))
    assert np.array_equal(by_recipe, result)
    # A recipe of an earlier version has no light.
    earlier = {name: value for name, value in entry["harmonize"].items() if name != "light"}
    before = pyharmony.compose(own, scene, recipe={**info.recipe, "subjects": [{**entry, "harmonize": earlier}]})
    inside = info.subjects[0].mask > 0
    assert sign * (result[inside].mean() - before[inside].mean()) > 1
    assert np.array_equal(before[~inside], result[~inside])
    far = {**entry, "harmonize": {**entry["harmonize"], "light": {**entry["harmonize"]["light"], "stops": 5}}}
    with pytest.raises(ArgumentError, match=r"harmonize\.light\.stops"):
        pyharmony.compose(own, scene, recipe={**info.recipe, "subjects": [far]})


@pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning")
def test_a_subject_that_is_put_back_gets_no_other_light() -> None:
    own = photograph()
    _, info = composite(own, own)
    assert info.recipe["subjects"][0]["harmonize"]["light"] is None and info.subjects[0].light is None


@pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning")
@pytest.mark.parametrize("harmonize", ["reinhard", None])
def test_other_methods_get_no_light(harmonize: str | None) -> None:
    _, info = composite(photograph(), photograph(stops=-3.0), harmonize=harmonize)
    step = info.recipe["subjects"][0]["harmonize"]
    assert info.subjects[0].light is None and (step is None or step["light"] is None)
