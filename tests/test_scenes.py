"""`benchmarks/scenes.py`: scenes to place somebody in, which know nothing of how a place is found."""

from __future__ import annotations

import ast
from typing import Any

import numpy as np
import pytest

from .shared import ROOT, load_script


@pytest.fixture(scope="module")
def scenes() -> Any:
    pytest.importorskip("PIL", reason="Pillow is not installed")
    return load_script("benchmarks/scenes.py")


def test_a_number_has_one_scene(scenes: Any) -> None:
    one, again, other = scenes.scene(3), scenes.scene(3), scenes.scene(3, seed=1)
    assert np.array_equal(one.picture(), again.picture())
    assert one.photo != other.photo or not np.array_equal(one.picture(), other.picture())


def test_who_is_left_out_leaves_no_hole(scenes: Any) -> None:
    one = scenes.scene(0)
    for index in range(len(one.people)):
        without = one.picture(index)
        alpha = one.people[index].layer[..., 3]
        assert np.array_equal(without[alpha == 0], one.picture()[alpha == 0])
        seen = one.visible(index)
        assert (without[seen] != one.picture()[seen]).any() or not seen.any()


def test_heads_are_where_boxes_say(scenes: Any) -> None:
    for number in range(4):
        one = scenes.scene(number)
        height, width = one.background.shape[:2]
        for person in one.people:
            x, y = (person.head[0] + person.head[2]) / 2, (person.head[1] + person.head[3]) / 2
            if 0 <= x < width and 0 <= y < height:
                assert person.layer[int(y), int(x), 3] > 200
            assert person.head[1] <= person.body[3] and person.head[3] - person.head[1] > 4


def test_scenes_know_no_placer() -> None:
    tree = ast.parse((ROOT / "benchmarks/scenes.py").read_text())
    names = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert not [name for name in names if name.startswith("pyharmony")]
