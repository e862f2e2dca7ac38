"""`benchmarks/scenes.py`: scenes to place somebody in, which know nothing of how a place is found."""

from __future__ import annotations

import ast
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ..shared import ROOT, load_script

pytestmark = pytest.mark.chains


@pytest.fixture(scope="module")
def scenes() -> Any:
    return load_script("benchmarks/scenes.py")


@pytest.fixture(scope="module")
def first(scenes: Any) -> Any:
    """Returns the scene of the first number, which tests do not change."""
    return scenes.scene(0)


def test_a_number_has_one_scene(scenes: Any, first: Any) -> None:
    again, other = scenes.scene(0), scenes.scene(0, seed=1)
    assert np.array_equal(first.picture(), again.picture())
    assert first.photo != other.photo or not np.array_equal(first.picture(), other.picture())


def test_who_is_left_out_leaves_no_hole(first: Any) -> None:
    one = first
    for index in range(len(one.people)):
        without = one.picture(index)
        alpha = one.people[index].layer[..., 3]
        assert np.array_equal(without[alpha == 0], one.picture()[alpha == 0])
        visible = one.visible(index)
        assert (without[visible] != one.picture()[visible]).any() or not visible.any()


def test_heads_are_where_boxes_say(scenes: Any, first: Any) -> None:
    for one in (first, scenes.scene(1)):
        height, width = one.background.shape[:2]
        for person in one.people:
            x, y = (person.head[0] + person.head[2]) / 2, (person.head[1] + person.head[3]) / 2
            if 0 <= x < width and 0 <= y < height:
                assert person.layer[int(y), int(x), 3] > 200
            assert person.head[1] <= person.body[3] and person.head[3] - person.head[1] > 4


#: All that scenes are made with. Nothing else of Python loads code by a name that is made up as it runs.
ALLOWED_MODULES = {
    "__future__",
    "argparse",
    "collections",
    "functools",
    "json",
    "math",
    "pathlib",
    "typing",
    "numpy",
    "PIL",
}
#: The names by which code is run or loaded without an import.
LOADERS = {"__import__", "__builtins__", "__loader__", "__spec__", "builtins", "compile", "eval", "exec", "globals"}


def strangers(source: str) -> list[str]:
    """Returns what a source imports beyond what scenes are made with, and the ways by which it could hide that."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{'.' * node.level}{node.module or ''}"]
        elif isinstance(node, ast.Name):
            names += [node.id] if node.id in LOADERS else []
        elif isinstance(node, ast.Attribute):
            names += [node.attr] if node.attr in LOADERS | {"modules", "import_module"} else []
    return [name for name in names if name.partition(".")[0] not in ALLOWED_MODULES]


def test_scenes_know_no_placer() -> None:
    assert strangers((ROOT / "benchmarks/scenes.py").read_text("utf-8")) == []


# What `benchmarks/placement.py` makes of them


@pytest.fixture(scope="module")
def placing() -> Any:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        return load_script("benchmarks/placement.py")
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


def cut_at(side: str) -> np.ndarray:
    """Returns the mask of somebody in a picture of 80 x 100 pixels whom one side of it cuts."""
    mask = np.zeros((100, 80), np.uint8)
    rows, columns = {"left": (30, 0), "top": (0, 25), "right": (30, 50), "bottom": (60, 25)}[side]
    mask[rows : rows + 40, columns : columns + 30] = 255
    return mask


def placed(x: float, y: float, scale: float = 1.0, behind: tuple[int, ...] = (), flip: bool = False) -> Any:
    """Returns a place of such a picture, whose first pixel, or the last one of its row, comes to lie at (x, y)."""
    across = -scale if flip else scale
    matrix = np.array([[across, 0, x + (scale - 1) / 2], [0, scale, y + (scale - 1) / 2]])
    return SimpleNamespace(matrix=matrix, scale=scale, behind=behind)


@pytest.mark.parametrize("side", ["left", "top", "right", "bottom"])
def test_edges_float_at_every_side(placing: Any, side: str) -> None:
    mask = cut_at(side)
    options = {"people": [], "heads": [], "size": (400, 300), "before": 0.0}
    task = SimpleNamespace(portrait=SimpleNamespace(mask=mask), cut=(side,), **options)
    at = {"left": (0, 90), "top": (90, 0), "right": (320, 90), "bottom": (90, 200)}[side]
    assert placing.faults(task, placed(*at)) == (False, False)
    inwards = {"left": (6, 0), "top": (0, 6), "right": (-6, 0), "bottom": (0, -6)}[side]
    assert placing.faults(task, placed(at[0] + inwards[0], at[1] + inwards[1])) == (False, True)
    # Beyond the frame it is not seen, nor behind somebody who stays in front.
    assert placing.faults(task, placed(at[0] - 2 * inwards[0], at[1] - 2 * inwards[1])) == (False, False)
    before = SimpleNamespace(**vars(task) | {"people": [np.full((300, 400), 255, np.uint8)], "heads": [(0, 0, 9, 9)]})
    assert placing.faults(before, placed(150, 120, behind=(0,))) == (False, False)
    assert placing.faults(before, placed(150, 120))[1]
    # An edge of which nothing says that the frame cut it there may lie anywhere.
    assert placing.faults(SimpleNamespace(**vars(task) | {"cut": ()}), placed(150, 120)) == (False, False)


def test_a_flipped_edge_lies_at_the_other_side(placing: Any) -> None:
    task = SimpleNamespace(
        portrait=SimpleNamespace(mask=cut_at("left")), cut=("left",), people=[], heads=[], size=(400, 300), before=0.0
    )
    assert placing.faults(task, placed(399, 90, flip=True)) == (False, False)
    assert placing.faults(task, placed(300, 90, flip=True)) == (False, True)


def test_masks_that_end_before_the_frame_have_their_edge(placing: Any) -> None:
    mask = np.zeros((200, 300), np.uint8)
    mask[60:198, 100:140] = 255
    assert len(placing.edge_of(mask, "bottom", 0.0)) == 0
    edge = placing.edge_of(mask, "bottom", 2.4)
    assert len(edge) == 40 and set(edge[:, 1]) == {197.5} and edge[0, 0] == 100.5


def test_the_frame_of_a_photograph_cuts_whom_it_cuts_there(placing: Any) -> None:
    photo, masks = np.full((300, 400, 3), 128, np.uint8), []
    bodies = [(40.0, 60.0, 100.0, 300.0), (160.0, 80.0, 220.0, 240.0), (330.0, 70.0, 400.0, 230.0)]
    heads = [(x0 + 15, y0, x0 + 45, y0 + 30) for x0, y0, _, _ in bodies]
    for x0, y0, x1, y1 in bodies:
        masks.append(np.zeros((300, 400), np.uint8))
        # As masks in photographs do, this one ends a little before the frame.
        masks[-1][int(y0) : min(int(y1), 298), int(x0) : min(int(x1), 397)] = 255
    for index, cut in enumerate((("bottom",), (), ("right",))):
        task = placing.LeftOut(photo, masks, heads, bodies, index, np.random.default_rng(index))
        assert task.cut == cut and len(task.people) == len(task.heads) == 2
        for side in cut:
            edge = placing.edge_of(task.portrait.mask, side, task.before)
            assert len(edge) * task.scale == pytest.approx(60 if side == "bottom" else 160, rel=0.1)
        # Put back with its end at the frame, nothing of it floats; put elsewhere it does, where something was cut.
        x, y = (heads[index][i] - task.portrait.head[i] * task.scale for i in (0, 1))
        x, y = x + 3 * ("right" in cut), y + 2 * ("bottom" in cut)
        assert placing.faults(task, placed(x, y, task.scale)) == (False, False)
        assert placing.faults(task, placed(x - 25, y - 25, task.scale))[1] == bool(cut)


def test_every_way_has_as_many_guesses(placing: Any) -> None:
    task = placing.Task(1, "test")
    ways = placing.simple_ways(task, np.random.default_rng(0))
    again = placing.simple_ways(task, np.random.default_rng(0))
    assert ways == again and set(ways) == set(placing.WAYS[1:])
    for boxes in ways.values():
        assert len(set(boxes)) == len(boxes) == placing.ANSWERS


def test_records_without_faults_are_told(placing: Any) -> None:
    row = {name: [0.6, 0.1] for name in placing.WAYS}
    assert placing.faults_of([row], "scenes") == "Faults were not counted."
    old = row | {"covered": False, "floating": True}
    assert "1 a cut edge floats at the bottom" in placing.faults_of([old], "scenes")
    new = placing.faults_of([old | {"cut": ["left"]}], "scenes")
    assert "floats at any side" in new and "1 at the left, 0 at the top" in new
    assert "Not all ways had 5 guesses" in placing.guesses_of([row])
    assert "Each method has 5 guesses" in placing.guesses_of([{name: [0.1] * 5 for name in placing.WAYS}])
