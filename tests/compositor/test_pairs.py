"""`benchmarks/pairs.py`: pairs of photographs that are drawn before anybody looks, and the figures beside them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ..shared import load_script

pytestmark = pytest.mark.chains


@pytest.fixture(scope="module")
def pairs() -> Any:
    return load_script("benchmarks/pairs.py")


def photo(pairs: Any, name: str, **fields: Any) -> Any:
    """Returns a photograph of 100 x 100 pixels without a file."""
    defaults = {"category": "", "size": (100, 100), "heads": (), "bodies": (), "people": (), "things": ()}
    return pairs.Photo(path=Path(f"{name}.jpg"), origin=name, **{**defaults, **fields})


def pool(pairs: Any, each: int = 7) -> tuple[list[Any], dict[str, list[Any]]]:
    """Returns so many subjects and backgrounds of each kind; the first `near` one is also the first `cropped` one."""
    subjects = [
        pairs.Subject(photo(pairs, f"{kind}{i}"), kind, (1.0, 1.0, 2.0, 2.0), None)
        for kind in pairs.SUBJECTS
        for i in range(each)
    ]
    grounds = {kind: [photo(pairs, f"{kind}{i}") for i in range(each)] for kind in pairs.GROUNDS}
    grounds["near"][0] = subjects[0].photo
    return subjects, grounds


@pytest.mark.parametrize("count", [3, 12, 24, 60])
def test_kinds_take_turns_and_no_pair_comes_twice(pairs: Any, count: int) -> None:
    every = pairs.draw(4, count, *pool(pairs))
    assert Counter(pair.subject.kind for pair in every) == dict.fromkeys(pairs.SUBJECTS, count // 3)
    assert len({(pair.subject.photo.origin, pair.background.origin) for pair in every}) == count
    assert all(pair.subject.photo.origin != pair.background.origin for pair in every)
    if count % 12 == 0:
        assert Counter(pair.ground for pair in every) == dict.fromkeys(pairs.GROUNDS, count // 4)
        assert sum(pair.by_click for pair in every) == count / 2
    if count % 24 == 0:
        by_click = Counter((pair.subject.kind, pair.ground) for pair in every if pair.by_click)
        assert set(by_click.values()) == {count // 24} and len(by_click) == 12


def test_more_pairs_than_there_are_is_an_error(pairs: Any) -> None:
    subjects, grounds = pool(pairs, 1)
    assert len(pairs.draw(0, 3, subjects, grounds)) == 3
    # The only one of the cropped is the only background with people near.
    with pytest.raises(ValueError, match="no more of a subject that is 'cropped' and a background that is 'near'"):
        pairs.draw(0, 7, subjects, grounds)


def test_mixed_pairs_are_things_animals_and_people_some_at_night(pairs: Any) -> None:
    subjects, _ = pool(pairs, 12)
    kinds = ["glass"] * 5 + ["vehicle"] * 5 + [pairs.ANIMAL] * 6
    subjects += [pairs.Subject(photo(pairs, f"{kind}{i}"), kind, None, Path("m.png")) for i, kind in enumerate(kinds)]
    categories = ["food", "street", pairs.ROOM, pairs.LANDSCAPE, pairs.NIGHT]
    photos = [photo(pairs, f"{category}{i}", category=category) for category in categories for i in range(3)]
    heads = {"far": 0.05, "near": 0.3}
    for name, height in heads.items():
        boxes = ((0, 0, 5, 100 * height), (20, 0, 25, 100 * height))
        photos += [photo(pairs, f"{name}{i}", heads=boxes) for i in range(3)]
    every = pairs.draw_mixed(3, 30, subjects, photos)
    assert Counter(pair.subject.kind for pair in every[:10]).keys() == {"glass", "vehicle"}
    assert {pair.background.category for pair in every[:10] if pair.subject.kind == "glass"} <= {"food", pairs.ROOM}
    assert [pair.subject.kind for pair in every[10:20]] == [pairs.ANIMAL] * 5 + ["cropped"] * 5
    assert {pair.subject.kind for pair in every[20:]} == {"whole", "among"}
    assert [pair.background.category == pairs.NIGHT for pair in every] == [False] * 20 + [True] * 3 + [False] * 7
    assert all(pair.by_click for pair in every) and len({pair.subject.photo.origin for pair in every}) == 30
    assert every == pairs.draw_mixed(3, 30, subjects, photos) != pairs.draw_mixed(4, 30, subjects, photos)
    with pytest.raises(ValueError, match="36 pairs: 12 subjects of a kind are required, there are 10"):
        pairs.draw_mixed(3, 36, subjects, photos)


def test_boxes_and_masks_say_the_kind_of_a_subject(pairs: Any, tmp_path: Path) -> None:
    def mask(name: str, left: int, top: int, right: int, bottom: int) -> Path:
        region = np.zeros((100, 100), np.uint8)
        region[top:bottom, left:right] = 255
        Image.fromarray(region).save(tmp_path / name)
        return tmp_path / name

    def kinds(**fields: Any) -> list[str]:
        return [one.kind for one in pairs.subjects_in(photo(pairs, "one", **fields))]

    bust = {"heads": ((40.0, 20.0, 60.0, 45.0),), "bodies": ((25.0, 20.0, 75.0, 100.0),)}
    whole = {"heads": ((45.0, 20.0, 53.0, 30.0),), "bodies": ((40.0, 20.0, 60.0, 90.0),)}
    assert kinds(**bust) == ["cropped"] and kinds(**whole) == ["whole"]
    # Legs that the frame cuts make neither.
    assert kinds(heads=whole["heads"], bodies=((40.0, 20.0, 60.0, 100.0),)) == []
    two = {key: (*bust[key], *whole[key]) for key in bust}
    assert kinds(**two) == ["among", "among"]
    person = mask("person.png", 25, 20, 75, 100)
    assert kinds(**bust, people=(person,), things=(mask("far.png", 0, 0, 10, 10),)) == ["cropped"]
    assert kinds(**bust, people=(person,), things=(mask("held.png", 70, 50, 90, 80),)) == ["among"]
    # Without a drawn head the mask tells it; who is small, or an arm, is no subject.
    assert kinds(people=(person,)) == ["cropped"] and kinds(people=(mask("tall.png", 40, 10, 60, 90),)) == ["whole"]
    assert kinds(people=(mask("small.png", 40, 10, 60, 30),)) == []
    assert kinds(heads=(None,), bodies=bust["bodies"], people=(person,)) == []


def test_heads_and_categories_say_the_kind_of_a_background(pairs: Any) -> None:
    body = ((0.0, 0.0, 100.0, 100.0),)
    far, near = (10.0, 10.0, 14.0, 15.0), (10.0, 10.0, 30.0, 30.0)
    assert pairs.ground_of(photo(pairs, "a", heads=(far, None), bodies=body * 2)) == "far"
    assert pairs.ground_of(photo(pairs, "a", heads=(near, near), bodies=body * 2)) == "near"
    assert pairs.ground_of(photo(pairs, "a", heads=(near,), bodies=body)) == ""
    assert pairs.ground_of(photo(pairs, "a", category="indoor")) == "room"
    assert pairs.ground_of(photo(pairs, "a", category="landscape")) == "nobody"
    assert pairs.ground_of(photo(pairs, "a", category="landscape", people=(Path("mask.png"),))) == ""


def test_figures_need_no_eye(pairs: Any) -> None:
    mask = np.zeros((40, 30), np.uint8)
    mask[10:, 5:25] = 255
    matrix = np.array([[1.0, 0, 20], [0, 1, 30]])
    silhouette = np.zeros((100, 80), np.uint8)
    silhouette[40:70, 25:45] = 255
    assert pairs.floating(mask, silhouette, matrix) == 1
    # At the lower edge, or behind somebody, it does not float; nor does what its own frame did not cut.
    assert pairs.floating(mask, silhouette, matrix + [[0, 0, 0], [0, 0, 30]]) == 0
    assert pairs.floating(mask, 0 * silhouette, matrix) == 0
    assert pairs.floating(np.pad(mask, ((0, 1), (0, 0))), silhouette, matrix) == 0
    assert pairs.face_share(silhouette, (25.0, 40.0, 45.0, 70.0)) == 1
    assert pairs.face_share(silhouette, (60.0, 40.0, 79.0, 70.0)) == 0
    alpha = np.full((2, 2), 255, np.uint8)
    before, after = (SimpleNamespace(colours=np.full((2, 2, 3), v, np.uint8), alpha=alpha) for v in (99, 137))
    assert pairs.stops(before, after) == pytest.approx(1, abs=0.02)
