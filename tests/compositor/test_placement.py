"""`pyharmony.place`: sizes, gaps, cut edges, faces, roll; what it says where no place is good."""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pyharmony
from pyharmony import placement, segmentation
from pyharmony._images.planes import grown
from pyharmony.errors import ArgumentError, DTypeError, MaskError, PyHarmonyError, PyHarmonyWarning, Reason, ShapeError
from pyharmony.placement import _place, _score
from pyharmony.placement import subject as subjects
from pyharmony.segmentation import Masks, Posture, Session
from pyharmony.segmentation.layers import Layer
from pyharmony.segmentation.surroundings import KINDS, Surroundings, surroundings_of

from ..shared import ROOT, load_script

pytestmark = pytest.mark.chains


WIDTH, HEIGHT = 640, 420
Box = tuple[float, float, float, float]


def figure(
    x: float, top: float, head: float, width: int = WIDTH, height: int = HEIGHT, tall: float = 7.2
) -> np.ndarray:
    """Returns the mask of somebody whose head has its middle column at x, its top and height; `tall` heads tall."""
    rows, columns = np.mgrid[:height, :width] + 0.5
    u, v = (columns - x) / head, (rows - top) / head
    mask = (u / 0.38) ** 2 + ((v - 0.5) / 0.5) ** 2 <= 1
    mask |= (np.abs(u) < 0.15) & (v > 0.8) & (v < 1.3)
    mask |= (np.abs(u) < 0.9) & (v > 1.15) & (v < min(tall, 3.9))
    mask |= (np.abs(np.abs(u) - 0.45) < 0.3) & (v > 3.8) & (v < tall)
    return np.uint8(255) * mask


def rectangle(x: float, top: float, head: float) -> Box:
    return x - 0.38 * head, top, 0.76 * head, head


def scene_of(*people: tuple[float, float, float], tall: float = 7.2) -> tuple[np.ndarray, list[np.ndarray], list[Box]]:
    background = np.full((HEIGHT, WIDTH, 3), 150, np.uint8)
    masks = [figure(*one, tall=tall) for one in people]
    for i, mask in enumerate(masks):
        background[mask > 0] = 60 + 25 * (i % 7)
    return background, masks, [rectangle(*one) for one in people]


def subject_of(head: float = 70.0, tall: float = 7.2, height: int = 600) -> tuple[np.ndarray, np.ndarray, Box]:
    mask = figure(200.0, 60.0, head, 400, height, tall)
    return np.full((height, 400, 3), 90, np.uint8), mask, rectangle(200.0, 60.0, head)


def head_at(one: placement.Placement, head: Box) -> tuple[float, float, float]:
    """Returns the middle of a head where it comes to lie, and its height."""
    x, y = one.matrix @ (head[0] + head[2] / 2, head[1] + head[3] / 2, 1.0)
    return float(x), float(y), head[3] * one.scale


def hidden_of(one: placement.Placement, mask: np.ndarray, head: Box, masks: list[np.ndarray]) -> float:
    """Returns the share of what is in the picture of a head at its place that people in front of it cover."""
    x, y, wide, high = (round(v) for v in head)
    rows, columns = np.nonzero(mask[y : y + high, x : x + wide])
    lies = np.rint(one.matrix @ [columns + x, rows + y, np.ones(len(rows))]).astype(int)
    columns, rows = lies[:, (lies >= 0).all(0) & (lies[0] < WIDTH) & (lies[1] < HEIGHT)]
    return float(np.any([masks[i][rows, columns] > 0 for i in one.behind], 0).mean()) if one.behind else 0.0


def test_a_person_is_as_large_as_the_others_and_stands_in_the_gap() -> None:
    background, masks, heads = scene_of((120, 100, 40), (210, 96, 41), (430, 102, 40), (520, 99, 39))
    picture, mask, head = subject_of()
    placements = placement.place(picture, background, mask=mask, people=masks, heads=heads, head=head)
    x, y, size = head_at(placements[0], head)
    assert abs(np.log2(size / 40)) < 0.2
    assert 260 < x < 380 and 90 < y < 150
    assert len(placements) == 5 and [one.score for one in placements] == sorted(
        (one.score for one in placements), reverse=True
    )
    assert placements[0].terms and 0.5 < placements[0].score < 1
    # Others are of other sizes, too: who is left out may be taller, or nearer.
    assert max(head_at(one, head)[2] for one in placements[1:]) > 1.1 * size


def test_heads_grow_with_the_row_they_are_in() -> None:
    background, masks, heads = scene_of((100, 40, 24), (180, 60, 28), (480, 150, 52), (570, 160, 56))
    picture, mask, head = subject_of()
    sizes = {}
    for one in placement.place(picture, background, mask=mask, people=masks, heads=heads, head=head, k=8):
        _, y, size = head_at(one, head)
        sizes[y] = size
    rows = sorted(sizes)
    assert len(rows) > 2
    for y, size in sizes.items():
        expected = 24 * 2 ** ((y - 52) / (188 - 52) * np.log2(56 / 24))
        assert abs(np.log2(size / np.clip(expected, 20, 66))) < 0.45


def test_who_is_cut_at_the_bottom_stays_cut() -> None:
    background, masks, heads = scene_of((150, 130, 60), (480, 120, 62))
    picture, mask, head = subject_of(90.0, 4.0, 330)
    assert mask[-1].any()
    cut = np.flatnonzero(mask[-1]) + 0.0
    edge = np.stack([cut, np.full(len(cut), len(mask) - 0.5), np.ones(len(cut))])
    for i, one in enumerate(placement.place(picture, background, mask=mask, people=masks, heads=heads, head=head)):
        columns, rows = one.matrix @ edge
        visible = (columns > 0) & (columns < WIDTH) & (rows < HEIGHT - 1)
        assert i > 0 or not visible.any()
        # What the frame does not cut, somebody hides.
        columns, rows = (np.rint(v[visible]).astype(int) for v in (columns, rows))
        assert all(any(masks[j][y, x] for j in one.behind) for x, y in zip(columns, rows))
    for roll in (-9.0, 7.0):
        one = placement.place(picture, background, mask=mask, people=masks, heads=heads, head=head, angle=roll)[0]
        columns, rows = one.matrix @ edge
        visible = (columns > 0) & (columns < WIDTH)
        assert one.angle == roll and (rows[visible] >= HEIGHT - 1).all()


def test_somebody_near_who_is_cut_has_a_large_head_on_the_line_of_those_of_others() -> None:
    background, masks, heads = scene_of((120, 150, 14), (210, 149, 15), (430, 151, 14), (520, 150, 14))
    picture, mask, head = subject_of(90.0, 4.0, 330)
    _, y, size = head_at(placement.place(picture, background, mask=mask, people=masks, heads=heads, head=head)[0], head)
    assert abs(y - 157) < 0.5 * size and 60 < size <= 1.2 * HEIGHT / 3
    # A table in their own photograph, where nobody here has one, hides as the frame does.
    hidden, mask_of_hidden, own = subject_of(90.0, 3.4, 600)
    options = {"mask": mask_of_hidden, "people": masks, "heads": heads, "head": own}
    one = placement.place(hidden, background, **options)[0]
    _, y, size = head_at(one, own)
    assert abs(y - 157) < 0.6 * size and 60 < size <= 1.2 * HEIGHT / 3 and one.box[1] + one.box[3] >= HEIGHT - 2
    # Whoever is cut among others who are near is as large as these.
    background, masks, heads = scene_of((120, 100, 80), (500, 96, 82))
    _, _, size = head_at(placement.place(picture, background, mask=mask, people=masks, heads=heads, head=head)[0], head)
    assert abs(np.log2(size / 80)) < 0.4


def test_where_nobody_is_there_a_size_is_near_the_usual_ones() -> None:
    background = np.full((HEIGHT, WIDTH, 3), 150, np.uint8)
    # Small in their own picture, and cut at the bottom by it.
    mask, head = figure(200.0, 480.0, 40.0, 400, 600), rectangle(200.0, 480.0, 40.0)
    one = placement.place(np.full((600, 400, 3), 90, np.uint8), background, mask=mask, people=[], head=head)[0]
    assert HEIGHT / 7 < head_at(one, head)[2] < HEIGHT / 3 and not one.reason
    # Somebody whom the frame cut has the head where people have it, whether it was low or high in their own picture.
    for top in (40.0, 300.0):
        mask, head = figure(200.0, top, 90.0, 400, int(top + 250)), rectangle(200.0, top, 90.0)
        picture = np.full((*mask.shape, 3), 90, np.uint8)
        _, y, size = head_at(placement.place(picture, background, mask=mask, people=[], head=head)[0], head)
        assert 0.2 * HEIGHT < y < 0.45 * HEIGHT and 0.2 * HEIGHT < size < 0.4 * HEIGHT
    picture, mask, head = subject_of()
    one = placement.place(picture, background, mask=mask, people=[], head=head)[0]
    assert HEIGHT / 3 < one.box[3] < 0.75 * HEIGHT
    # A thing that takes all of its picture.
    patch = np.full((86, 86, 4), 255, np.uint8)
    with pytest.warns(PyHarmonyWarning, match="subject: its alpha is above 0 nearly everywhere"):
        places = placement.place(patch, background, people=[], person=False, cropped_sides=[])
    for one in places:
        assert HEIGHT / 4 < one.box[3] < 0.62 * HEIGHT


def test_what_speaks_strongly_against_a_place_is_its_reason() -> None:
    background, masks, heads = scene_of((150, 40, 30), (480, 42, 31))
    picture, mask, head = subject_of(90.0, 4.0, 330)
    options = {"mask": mask, "people": masks, "heads": heads, "head": head}
    low = placement.place(picture, background, **options, scale=0.4)[0]
    assert low.reason == "the head of the object would be far from the line of the others' heads"
    assert low.terms["head_line"] < -3
    best = placement.place(picture, background, **options)[0]
    assert not best.reason and best.score > low.score


def by_the_sea(
    *people: tuple[float, float, float], sea: tuple[int, int]
) -> tuple[np.ndarray, list[np.ndarray], list[Box]]:
    """Returns a scene whose ground is brown, and blue with waves from one column to another."""
    background, masks, heads = scene_of(*people)
    waves = np.sin(np.arange(HEIGHT) / 3)[:, None, None]
    blue = np.uint8(np.clip(np.array([30, 70, 160]) + 60 * waves, 0, 255)) * np.ones((1, WIDTH, 1), np.uint8)
    columns = np.arange(WIDTH)[None, :, None]
    ground = np.where((columns >= sea[0]) & (columns < sea[1]), blue, np.uint8([150, 120, 80]))
    free = ~np.any(masks, 0)
    background[free] = ground[free]
    return background, masks, heads


def test_who_stands_is_put_on_ground_like_that_of_others() -> None:
    people = (110, 96, 40), (320, 98, 40), (530, 96, 40)
    picture, mask, head = subject_of()
    options = {"mask": mask, "head": head, "angle": 0.0}
    for sea, first, last in (((160, 270), 320, WIDTH), ((370, 480), 0, 320)):
        background, masks, heads = by_the_sea(*people, sea=sea)
        best = placement.place(picture, background, people=masks, heads=heads, **options)[0]
        assert first < head_at(best, head)[0] < last and not best.reason
    # Who does not stand, or is among nobody who does, may have anything below.
    bust, mask_of_bust, own = subject_of(90.0, 4.0, 330)
    for one in placement.place(bust, background, mask=mask_of_bust, people=masks, heads=heads, head=own, angle=0.0):
        assert "ground" not in one.terms
    background, masks, heads = scene_of(*people, tall=3.5)
    for one in placement.place(picture, background, people=masks, heads=heads, **options):
        assert "ground" not in one.terms


def test_where_all_ground_is_unlike_that_of_others_the_first_place_says_so() -> None:
    people = (60, 60, 40), (130, 56, 41)
    background, masks, heads = by_the_sea(*people, sea=(0, WIDTH))
    free = ~np.any(masks, 0)
    for x, top, head in people:
        island = slice(int(top + 6.7 * head), int(top + 8.4 * head)), slice(int(x - 1.5 * head), int(x + 1.5 * head))
        background[island][free[island]] = 150, 120, 80
    picture, mask, own = subject_of()
    options = {"mask": mask, "people": masks, "heads": heads, "head": own, "angle": 0.0, "scale": 4 / 7}
    one = placement.place(picture, background, **options)[0]
    assert one.reason == "the object would stand on other ground than the people" and one.terms["ground"] <= -0.98
    background[free] = 150, 120, 80
    assert not placement.place(picture, background, **options)[0].reason


def test_a_score_is_the_logistic_of_the_terms_and_says_how_good_a_place_is() -> None:
    background, masks, heads = scene_of((120, 100, 40), (430, 102, 40))
    picture, mask, head = subject_of()
    options = {"people": masks, "heads": heads, "head": head, "angle": 0.0}
    best, *others = placement.place(picture, background, mask=mask, **options)
    assert best.score == pytest.approx(1 / (1 + np.exp(-sum(best.terms.values()))), abs=1e-3) and best.score > 0.5
    scores = [one.score for one in others]
    assert all(score <= best.score for score in scores) and scores == sorted(scores, reverse=True)
    # What else is tried does not matter.
    assert placement.place(picture, background, mask=mask, k=1, **options)[0].score == best.score


def test_feet_are_cut_where_they_reach_the_frame_and_not_where_they_end_before_it() -> None:
    background, masks, heads = scene_of((150, 60, 30), (480, 62, 31))
    picture, mask, head = subject_of(70.0, 7.2, 60 + 500)
    assert mask[-1].any()
    placements = placement.place(picture, background, mask=mask, people=masks, heads=heads, head=head)
    assert all(one.box[1] + one.box[3] >= HEIGHT - 1 for one in placements if not one.behind and not one.reason)
    picture, mask, head = subject_of(70.0, 7.2, 60 + 508)
    assert not mask[-1].any()
    boxes = [one.box for one in placement.place(picture, background, mask=mask, people=masks, heads=heads, head=head)]
    assert min(y + high for _, y, _, high in boxes) < HEIGHT - 20
    options: dict[str, Any] = {"mask": mask, "people": masks, "heads": heads, "head": head}
    with_cut = placement.place(picture, background, **options, cropped_sides=["bottom"])
    assert all(one.box[1] + one.box[3] >= HEIGHT - 1 for one in with_cut if not one.reason)


@pytest.mark.parametrize(("high", "is_cut"), [(24, False), (60, True)])
def test_what_is_wider_inside_is_cut_where_it_touches_the_frame_along_much_of_it(high: int, is_cut: bool) -> None:
    picture, mask = np.full((200, 120, 3), 90, np.uint8), np.zeros((200, 120), np.uint8)
    mask[20:160, 4:70] = mask[80 - high // 2 : 80 + high // 2, :4] = 255
    background = np.full((HEIGHT, WIDTH, 3), 150, np.uint8)
    placements = placement.place(picture, background, mask=mask, people=[], person=False)
    assert not placements[0].reason
    assert all(one.box[0] <= 1 for one in placements) == is_cut


def test_a_bust_that_something_hid_is_cut_too() -> None:
    background, masks, heads = scene_of((150, 130, 60), (480, 120, 62))
    picture, mask, head = subject_of(90.0, 3.4, 600)
    assert not mask[-1].any()
    for one in placement.place(picture, background, mask=mask, people=masks, heads=heads, head=head):
        assert one.reason or one.behind or one.box[1] + one.box[3] >= HEIGHT - 2


def test_a_bust_that_something_hid_ends_where_others_do() -> None:
    background, masks, heads = scene_of((150, 60, 50), (470, 58, 50), tall=3.5)
    table = max(int(np.flatnonzero(mask.any(1))[-1]) + 1 for mask in masks)
    assert table < 0.6 * HEIGHT
    picture, mask, head = subject_of(90.0, 3.4, 600)
    placements = placement.place(picture, background, mask=mask, people=masks, heads=heads, head=head)
    _, y, _, high = placements[0].box
    assert not placements[0].reason and abs(y + high - table) < 8
    # Who is cut by the frame of a photograph is not hidden by a table.
    cut = placement.place(picture[:360], background, mask=mask[:360], people=masks, heads=heads, head=head)
    assert all(one.reason or one.behind or one.box[1] + one.box[3] >= HEIGHT - 2 for one in cut)


@pytest.mark.filterwarnings("error")
def test_who_shows_no_feet_is_cut_wherever_that_is_and_who_shows_them_is_not() -> None:
    background = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    for tall, feet_are_seen in ((5.0, False), (5.0, True), (3.4, True), (7.0, False)):
        picture, mask, head = subject_of(tall=tall)
        end = float(np.flatnonzero(mask.any(1))[-1] + 1)
        options = {"mask": mask, "people": [], "head": head}
        # Without a pose the heads that somebody is tall say it.
        one = placement.place(picture, background, **options)[0]
        assert (one.box[1] + one.box[3] >= HEIGHT - 1) == (tall < 3.8)
        posture = Posture(head, end if feet_are_seen else None, None)
        one = placement.place(picture, background, **options, posture=posture)[0]
        assert (one.box[1] + one.box[3] >= HEIGHT - 1) == (tall == 5.0 and not feet_are_seen)
    # Feet that the frame may have cut do not stand.
    picture, mask, head = subject_of(120.0, 4.5)
    posture = Posture(head, 600.0, None)
    one = placement.place(picture, background, mask=mask, people=[], head=head, posture=posture)[0]
    assert mask[-1].any() and one.box[1] + one.box[3] >= HEIGHT - 1


def test_who_sits_is_cut_from_the_hips_on() -> None:
    background, masks, heads = scene_of((120, 100, 40), (520, 99, 39))
    picture, mask, head = subject_of(tall=5.5)
    seat = 60 + 3.8 * 70
    for people in ({"people": masks, "heads": heads}, {"people": []}):
        options = {"mask": mask, "head": head, **people}
        stands = placement.place(picture, background, **options)[0]
        assert stands.matrix[1] @ (200, seat, 1) < HEIGHT - 10
        posture = Posture(head, 60 + 5.5 * 70, seat)
        for one in placement.place(picture, background, **options, posture=posture):
            rows, columns = np.nonzero(mask[round(seat) :])
            lies = np.rint(one.matrix @ [columns, rows + round(seat), np.ones(len(rows))]).astype(int)
            x, y = lies[:, ((lies >= 0) & (lies < [[WIDTH], [HEIGHT]])).all(0)]
            visible = ~np.any([np.zeros(len(x)), *(masks[i][y, x] > 0 for i in one.behind)], 0)
            # A row of pixels is what small masks round.
            assert one.reason or not visible[y < HEIGHT - 2].any()
    # Hips above the chin are no hips.
    posture = Posture(head, 60 + 5.5 * 70, 80.0)
    assert placement.place(picture, background, **options, posture=posture)[0].box == stands.box


def test_few_pixels_are_not_enlarged_beyond_what_a_screen_shows_sharp() -> None:
    background, masks, heads = scene_of((120, 100, 70), (520, 98, 72), tall=4.0)
    mask = figure(30.0, 10.0, 12.0, 60, 110)
    picture, head = np.full((110, 60, 3), 90, np.uint8), rectangle(30.0, 10.0, 12.0)
    for options in ({"people": masks, "heads": heads}, {"people": []}):
        options |= {"mask": mask, "head": head}
        placements = placement.place(picture, background, **options)
        assert all(one.scale <= 2.5 + 1e-9 for one in placements)
        among = bool(options["people"])
        assert (placements[0].reason == "the object has too few pixels for the usual size there") == among
        assert placement.place(picture, background, **options, max_scale=10.0)[0].scale > 2.6 or not among
    # A screen does not show all pixels of a large background.
    large = np.full((3 * HEIGHT, 5 * WIDTH, 3), 128, np.uint8)
    one = placement.place(picture, large, mask=mask, people=[], head=head)[0]
    assert 2.5 < one.scale <= 2.5 * 5 * WIDTH / 1600 and "too few pixels" in one.reason


def test_the_line_of_heads_of_who_is_near_is_not_that_of_one_far_beside_them() -> None:
    far = [(x, 150.0, 9.0) for x in (380, 410, 440, 470, 500, 530)]
    background, masks, heads = scene_of((100, 260, 10), *far)
    picture, mask, head = subject_of(90.0, 3.0, 330)
    _, y, size = head_at(placement.place(picture, background, mask=mask, people=masks, heads=heads, head=head)[0], head)
    assert abs(y - 155) < 0.5 * size and size > 85


def test_nobody_whole_stands_in_what_is_seen_from_near(monkeypatch: pytest.MonkeyPatch) -> None:
    background = np.linspace(90, 150, 3 * HEIGHT * WIDTH).reshape(HEIGHT, WIDTH, 3).astype(np.uint8)
    _, masks, heads = scene_of((120, 100, 40), (520, 99, 39))
    reason = "people could not stand in the scene, which is a close-up, the sky or water"
    whole, bust = subject_of(), subject_of(90.0, 3.0, 330)
    for likely in (0.1, 0.55, 0.9):
        monkeypatch.setattr(segmentation.Session, "standable", lambda _, likely=likely: likely)
        monkeypatch.setattr(_place, "surroundings_of", lambda _: surroundings_of(np.zeros((2, 2, 3), np.uint8)))
        for (picture, mask, head), options in ((whole, {}), (bust, {"cropped_sides": ["bottom"]})):
            placements = placement.place(picture, background, mask=mask, people=[], head=head, **options)
            assert {one.reason for one in placements} == {reason if likely < 0.6 and not options else ""}
            assert placements[0].score > 0.2 or placements[0].reason == reason
        picture, mask, head = whole
        # Where others are, and for things, nothing is asked.
        assert placement.place(picture, background, mask=mask, people=masks, heads=heads, head=head)[0].reason == ""
        assert placement.place(picture, background, mask=mask, people=[], person=False)[0].reason == ""


def test_nobody_stands_in_the_sky_or_on_blue_water(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmentation.Session, "standable", lambda _: 1.0)
    picture, mask, head = subject_of()
    rows = np.linspace(0, 1, HEIGHT)[:, None, None]
    sky = np.uint8([90, 140, 220] + rows * [40, 30, 10]).repeat(WIDTH, 1)
    for ground in (0.85 * HEIGHT, HEIGHT):
        background = sky.copy()
        background[int(ground) :] = 90, 120, 60
        one = placement.place(picture, background, mask=mask, people=[], head=head)[0]
        assert (one.reason == "the object would stand in the sky or on nothing") == (ground == HEIGHT)
        assert ground == HEIGHT or one.box[1] + one.box[3] > ground
    # Where somebody stands it is ground, and who is cut at the bottom does not stand.
    _, masks, heads = scene_of((120, 100, 40), (520, 99, 39))
    for options in ({"people": masks, "heads": heads}, {"people": [], "cropped_sides": ["bottom"]}):
        assert not placement.place(picture, sky, mask=mask, head=head, **options)[0].reason


def test_water_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmentation.Session, "standable", lambda _: 1.0)
    picture, mask, head = subject_of()
    kinds = np.zeros((16, 16, len(KINDS)), np.float32)
    kinds[..., KINDS.index("water")] = 1
    lake = Surroundings(np.full((16, 16), -2, np.float32), kinds)
    monkeypatch.setattr(_place, "surroundings_of", lambda _: lake)
    background = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
    one = placement.place(picture, background, mask=mask, people=[], head=head)[0]
    assert (one.reason.code, one.reason) == ("on-water", "the object would stand on water")
    assert one.usable is not None and f"{one.reason}; pass a position and a scale" in one.doubts


def test_a_first_place_that_is_a_poor_one_says_so() -> None:
    background, masks, heads = scene_of(*[(x, 60, 80) for x in range(40, 640, 62)], tall=9.0)
    picture, mask, head = subject_of()
    placements = placement.place(picture, background, mask=mask, people=masks, heads=heads, head=head)
    assert placements[0].score >= 0.1 or placements[0].reason


def test_a_head_that_something_hid_does_not_end_where_others_end_at_the_hips() -> None:
    background, masks, heads = scene_of((150, 60, 50), (470, 58, 50), tall=3.5)
    picture, mask, head = subject_of(90.0, 1.7, 600)
    for one in placement.place(picture, background, mask=mask, people=masks, heads=heads, head=head):
        assert one.reason or one.behind or one.box[1] + one.box[3] >= HEIGHT - 2


def test_no_face_is_covered() -> None:
    spots = [(60 + 90 * i, 120 + 9 * (i % 3), 46) for i in range(7)]
    background, masks, heads = scene_of(*spots)
    picture, mask, head = subject_of(90.0, 4.0, 330)
    for one in placement.place(picture, background, mask=mask, people=masks, heads=heads, head=head):
        if one.reason:
            assert "face" in one.reason or "edge" in one.reason
            continue
        rows, columns = np.nonzero(mask[::3, ::3] > 127)
        x, y = np.rint(one.matrix @ np.stack([columns * 3, rows * 3, np.ones(len(rows))])).astype(int)
        inside = (x >= 0) & (x < WIDTH) & (y >= 0) & (y < HEIGHT)
        lies = np.zeros((HEIGHT, WIDTH), bool)
        lies[y[inside], x[inside]] = True
        for i, (left, top, wide, high) in enumerate(heads):
            part = lies[int(top + 0.2 * high) : int(top + high), int(left + 0.12 * wide) : int(left + 0.88 * wide)]
            share = part.mean() / max(lies[y[inside], x[inside]].mean(), 1e-9)
            assert i in one.behind or share < 0.04


def test_the_own_head_stays_in_sight() -> None:
    # Who stands near takes most of the picture: behind them there is no room for a head.
    background, masks, heads = scene_of((150, 60, 110), (330, 150, 40), (500, 70, 110))
    picture, mask, head = subject_of()
    placements = placement.place(picture, background, mask=mask, people=masks, heads=heads, head=head, k=8)
    assert any(one.behind for one in placements)
    assert all(one.reason or hidden_of(one, mask, head, masks) <= 0.35 for one in placements)


def test_faces_of_others_are_not_covered_either() -> None:
    background, masks, heads = scene_of((120, 100, 40), (430, 102, 40))
    picture, mask, head = subject_of()
    options = {"mask": mask, "people": masks, "heads": heads, "head": head}
    x, y, _ = head_at(placement.place(picture, background, **options)[0], head)
    for one in placement.place(picture, background, **options, faces=[(x - 15, y - 15, 30, 30)]):
        u, v, size = head_at(one, head)
        assert one.reason or abs(u - x) > 20 or abs(v - y) > 30


def test_others_who_are_not_told_apart_are_left_free() -> None:
    background, masks, heads = scene_of((120, 100, 40), (210, 96, 41), (430, 102, 40), (520, 99, 39))
    picture, mask, head = subject_of()
    options = {"mask": mask, "people": masks, "heads": heads, "head": head, "k": 1}
    (gap,) = placement.place(picture, background, **options)
    others = np.zeros((HEIGHT, WIDTH), np.uint8)
    others[90:, 250:390] = 255
    (free,) = placement.place(picture, background, **options, other_people=others)

    def covered(one: placement.Placement) -> float:
        x, y, wide, high = (round(v) for v in one.box)
        return float((others[max(0, y) : y + high, max(0, x) : x + wide] > 0).mean())

    assert covered(gap) > 0.5 and covered(free) < 0.1
    assert (
        gap.terms.get("others", 0) == 0
        and placement.place(picture, background, **options, other_people=others * 0)[0] == gap
    )


def test_the_answer_does_not_depend_on_size_and_repeats() -> None:
    background, masks, heads = scene_of((120, 100, 40), (430, 102, 40))
    picture, mask, head = subject_of()
    first = placement.place(picture, background, mask=mask, people=masks, heads=heads, head=head)
    assert first == placement.place(picture, background, mask=mask, people=masks, heads=heads, head=head)
    large = [np.kron(one, np.ones((3, 3), np.uint8)) for one in masks]
    wide = np.kron(background, np.ones((3, 3, 1), np.uint8))
    second = placement.place(picture, wide, mask=mask, people=large, heads=np.array(heads) * 3, head=head)
    for a, b in zip(first, second):
        assert np.allclose(np.array(b.box) / 3, a.box, atol=WIDTH / 48)


def boxes_turned(angle: float, seed: int = 3) -> np.ndarray:
    """Returns a picture of boxes that was turned clockwise."""
    from PIL import Image

    random = np.random.default_rng(seed)
    image = np.full((300, 420, 3), 140, np.uint8)
    for _ in range(14):
        x, y, w, h = (
            random.integers(20, 380),
            random.integers(20, 260),
            random.integers(10, 70),
            random.integers(10, 90),
        )
        image[y : y + h, x : x + w] = random.integers(0, 255, 3)
    rotated = Image.fromarray(image).rotate(-angle, Image.Resampling.BICUBIC)
    return np.asarray(rotated.crop((60, 50, 360, 250)))


@pytest.mark.parametrize("angle", [-8, -3, 0, 2, 6])
def test_roll_is_read_from_edges(angle: int) -> None:
    assert abs(placement.roll_of(boxes_turned(angle)) - angle) < 0.5


def test_noise_has_no_roll() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    assert placement.roll_of(noise) == 0.0 and placement.roll_of(np.zeros((90, 90, 3), np.uint8)) == 0.0


def sloped(angle: float, across: bool) -> np.ndarray:
    """Returns a picture whose only edges, level or upright ones, have one direction: a sea, or leaning trees."""
    y, x = np.mgrid[:300, :420] - np.array([150.0, 210.0])[:, None, None]
    slope = np.tan(np.radians(angle))
    values = 120 + 80 * np.sin((x + slope * y if across else y - slope * x) / 4 + 0.4)
    return np.repeat(values.astype(np.uint8)[..., None], 3, 2)


@pytest.mark.parametrize("roll", [-7.0, -4.0, 5.0, 8.0])
def test_an_object_is_turned_only_where_both_rolls_are_sure(roll: float) -> None:
    """Edges of one direction alone, such as walls in perspective, a slope or a leaning tree, tell no roll."""
    mask = np.zeros((200, 300), np.uint8)
    mask[60:160, 120:180] = 255

    def angle(subject: np.ndarray, background: np.ndarray) -> float:
        return placement.place(subject, background, mask=mask, people=[], person=False)[0].angle

    level, rotated = boxes_turned(0), boxes_turned(roll, seed=5)
    assert abs(angle(level, rotated) - roll) < 0.6 and abs(angle(rotated, level) + roll) < 0.6
    for unsure in (sloped(roll, True), sloped(roll, False)):
        assert abs(placement.roll_of(unsure) - roll) < 0.5
        part = unsure[50:250, 60:360]
        assert angle(level, unsure) == angle(part, level) == angle(part, rotated) == angle(rotated, unsure) == 0
    # Less than two degrees are within the errors of both.
    assert angle(level, boxes_turned(1.5, seed=5)) == 0


@pytest.mark.parametrize("roll", [-6.0, 7.0])
@pytest.mark.parametrize("count", [1, 3])
def test_nobody_is_turned_against_those_who_stand_there(roll: float, count: int) -> None:
    """People who stand upright before a slope contradict its edges; people who lean as the edges do confirm them."""
    from PIL import Image

    def placed(masks: list[np.ndarray], heads: list[Box]) -> float:
        wide, high = WIDTH, HEIGHT
        scene = np.asarray(Image.fromarray(boxes_turned(roll, seed=5)).resize((wide, high), Image.Resampling.BICUBIC))
        subject = np.asarray(Image.fromarray(boxes_turned(0)).resize((400, 600), Image.Resampling.BICUBIC))
        _, mask, head = subject_of()
        return placement.place(subject, scene, mask=mask, people=masks, heads=heads, head=head)[0].angle

    people = [(130.0, 120.0, 34.0), (330.0, 130.0, 33.0), (520.0, 125.0, 35.0)][:count]
    _, masks, heads = scene_of(*people)
    assert placed(masks, heads) == 0
    leaning, tops = [], []
    for (x, top, head), mask in zip(people, masks):
        foot = top + 7.2 * head
        rotated = Image.fromarray(mask).rotate(-roll, Image.Resampling.BILINEAR, center=(x, foot))
        leaning.append(np.asarray(rotated))
        tops.append(rectangle(x + np.tan(np.radians(roll)) * 6.7 * head, top, head))
    # The rolls of stretched pictures differ a little from those before.
    assert abs(placed(leaning, tops) - roll) < 1.5 and placed([], []) != 0


def test_a_thing_keeps_its_size_and_stands_low() -> None:
    mask = np.zeros((300, 400), np.uint8)
    mask[120:240, 100:220] = 255
    background = np.full((600, 800, 3), 120, np.uint8)
    best = placement.place(np.zeros((300, 400, 3), np.uint8), background, mask=mask, people=[], person=False)[0]
    assert 0.65 * 2 <= best.scale <= 1.2 * 2 and best.box[1] + best.box[3] > 0.7 * 600 and not best.reason


def test_somebody_larger_than_the_picture_still_gets_a_place() -> None:
    picture, mask, head = subject_of(70.0, 7.2, 600)
    tiny = np.full((40, 60, 3), 120, np.uint8)
    best = placement.place(picture, tiny, mask=mask, people=[], head=head)[0]
    assert best.box[3] < 80 and best.scale < 0.2


def test_without_a_good_place_the_best_of_the_others_says_so() -> None:
    background, masks, heads = scene_of(*[(46 + 39 * i, 250, 120) for i in range(15)])
    picture, mask, head = subject_of(90.0, 4.0, 330)
    # Behind a row of people there is room.
    placements = placement.place(picture, background, mask=mask, people=masks, heads=heads, head=head)
    assert len(placements) == 5 and not any(one.reason for one in placements)
    assert max(hidden_of(one, mask, head, masks) for one in placements) <= 0.35
    # Where there is a face everywhere, there is none.
    squares = [(x, y) for y in range(0, HEIGHT - 59, 60) for x in range(0, WIDTH, 64)]
    masks, heads = [np.zeros((HEIGHT, WIDTH), np.uint8) for _ in squares], [(x, y, 64.0, 60.0) for x, y in squares]
    for one, (x, y) in zip(masks, squares):
        one[y : y + 60, x : x + 64] = 255
    placements = placement.place(picture, background, mask=mask, people=masks, heads=heads, head=head)
    assert [one.reason for one in placements] == ["a face would be covered"]
    x, y, wide, high = placements[0].box
    assert (
        x < WIDTH
        and y < HEIGHT
        and x + wide > 0
        and y + high > 0
        and placements[0].terms
        and 0 < placements[0].score <= 1
    )


def test_flipping_turns_the_light() -> None:
    background, masks, heads = scene_of((120, 100, 40), (430, 102, 40))
    for left, top, wide, high in heads:
        background[int(top) : int(top + high), int(left) : int(left + wide / 2)] = 30
        background[int(top) : int(top + high), int(left + wide / 2) : int(left + wide)] = 220
    picture, mask, head = subject_of()
    picture = picture.copy()
    picture[:, 200:] = 20
    picture[:, :200] = 230
    best = placement.place(picture, background, mask=mask, people=masks, heads=heads, head=head, flip=True)[0]
    assert best.flip
    assert not placement.place(picture, background, mask=mask, people=masks, heads=heads, head=head)[0].flip


@pytest.mark.filterwarnings("ignore:the composite is")
def test_a_person_is_as_large_as_by_compose() -> None:
    images = ROOT / "pyharmony/cli/images"
    subject, background = (np.asarray(Image.open(images / name)) for name in ("cowgirl.jpg", "colorado.jpg"))
    mask = pyharmony.segment(subject, points=(294, 271))[0]
    _, info = pyharmony.compose(subject, background, masks=mask, return_info=True)
    assert pyharmony.place(subject, background, mask=mask)[0].scale == pytest.approx(info.subjects[0].scale, rel=0.01)


def test_alpha_is_the_mask_and_masks_carry_heads() -> None:
    background, masks, heads = scene_of((120, 100, 40), (430, 102, 40))
    picture, mask, head = subject_of()
    expected = placement.place(picture, background, mask=mask, people=masks, heads=heads, head=head)
    assert expected == placement.place(np.dstack([picture, mask]), background, people=masks, heads=heads, head=head)
    none = Masks((), (), (), "clicks", Reason("nobody", "no person was found"), background, ())
    alone = placement.place(picture, background, mask=mask, people=none, head=head)
    assert alone[0].behind == ()


def test_surer_heads_tell_more_of_the_size() -> None:
    background, masks, boxes = scene_of((150, 100, 30), (480, 90, 54))
    picture, mask, head = subject_of()
    sizes = []
    for sure in ((0.4, 0.8), (0.8, 0.4), (0.6, 0.6)):
        heads = [segmentation.Head(box, box, share) for box, share in zip(boxes, sure)]
        one = placement.place(picture, background, mask=mask, people=masks, heads=heads, head=head)[0]
        sizes.append(head_at(one, head)[2])
    alike = placement.place(picture, background, mask=mask, people=masks, heads=boxes, head=head)[0]
    assert sizes[0] > 1.3 * sizes[2] > 1.6 * sizes[1]
    assert head_at(alike, head)[2] == sizes[2]


def test_people_are_looked_for_and_faces_of_those_without_a_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    background, masks, boxes = scene_of((120, 100, 40), (320, 98, 40), (520, 102, 40))
    picture, mask, head = subject_of()
    heads = tuple(segmentation.Head(box, box, 0.7) for box in boxes)
    answer = Session(background).segment(points=(120, 200))
    layers = [Layer((0, 0, WIDTH, HEIGHT), np.float32(masks[i]) / 255, 0.7) for i in (0, 2)]
    two = dataclasses.replace(answer, _layers=tuple(layers), scores=(0.7, 0.7), heads=(boxes[0], boxes[2]))
    monkeypatch.setattr(Session, "people", lambda self: two)
    monkeypatch.setattr(Session, "heads", lambda self, least=0.0: heads)
    monkeypatch.setattr(Session, "others", lambda self, masks, size: np.zeros(size[::-1], np.uint8))
    x, y, wide, high = boxes[1]
    for one in placement.place(picture, background, mask=mask, head=head):
        lies = one.matrix @ np.vstack([np.nonzero(mask)[::-1], np.ones(np.count_nonzero(mask))])
        within = (lies[0] > x + 4) & (lies[0] < x + wide - 4) & (lies[1] > y + 14) & (lies[1] < y + high - 4)
        assert one.reason or not within.any()
    # Masks that were found before are looked beside, too.
    expected = placement.place(picture, background, mask=mask, head=head)
    assert placement.place(picture, background, mask=mask, head=head, people=two) == expected
    with pytest.raises(ShapeError, match="people: masks of 640 x 420 pixels, expected those of background, 320 x 420"):
        placement.place(picture, np.ascontiguousarray(background[:, ::2]), mask=mask, head=head, people=two)


def test_people_are_looked_for() -> None:
    background, _, _ = scene_of((120, 100, 40), (430, 102, 40))
    picture, mask, _ = subject_of()
    assert placement.place(picture, background, mask=mask, k=1)[0].box[2] > 0
    assert pyharmony.place is placement.place


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"mask": np.zeros((600, 400), np.uint8)}, MaskError, "mask: empty"),
        ({"mask": None}, ArgumentError, "mask: not given, and subject has no alpha"),
        ({"k": 0}, ArgumentError, "k: 0, expected a whole number"),
        ({"angle": 200}, ArgumentError, "angle: 200, expected -180 to 180"),
        ({"angle": "x"}, DTypeError, "angle: str 'x', expected -180 to 180 degrees"),
        ({"cropped_sides": ["below"]}, ArgumentError, "cropped_sides: 'below', expected some of left, top"),
        ({"head": (1, 2, 0, 4)}, ArgumentError, "head: (1, 2, 0, 4), expected a width"),
        ({"head": (1, 2)}, ArgumentError, "head: (1, 2), expected (x, y, width, height)"),
        ({"faces": [(1, 2, 3)]}, ArgumentError, "faces[0]: (1, 2, 3), expected (x, y, width, height)"),
        ({"other_people": np.zeros((5, 5), np.uint8)}, ShapeError, "mask"),
        ({"scale": 0}, ArgumentError, "scale: 0, expected a number above 0"),
        ({"max_scale": -1}, ArgumentError, "max_scale: -1, expected a number above 0"),
        ({"posture": "sits"}, DTypeError, "posture: str, expected None or the result of `Session.posture`"),
        ({"heads": []}, ArgumentError, "heads: 0 heads for 1 people"),
        ({"mask": np.zeros((5, 5), np.uint8)}, ShapeError, ""),
    ],
)
def test_bad_arguments_are_named(changes: dict[str, Any], error: type[Exception], says: str) -> None:
    background, masks, heads = scene_of((120, 100, 40))
    picture, mask, head = subject_of()
    whole = {"mask": mask, "people": masks, "heads": heads, "head": head, **changes}
    with pytest.raises(error) as raised:
        placement.place(picture, background, **whole)
    assert says in str(raised.value)


def test_a_sheet_shows_every_place() -> None:
    background, masks, heads = scene_of((120, 100, 40), (430, 102, 40))
    picture, mask, head = subject_of()
    placements = placement.place(picture, background, mask=mask, people=masks, heads=heads, head=head, k=3)
    sheet = placement.contact_sheet(picture, background, placements, mask=mask)
    cell = sheet.shape[1] // 3
    for i, one in enumerate(placements):
        factor = cell / WIDTH
        x, y, wide, high = (v * factor for v in one.box)
        pasted = sheet[int(y + high / 4), int(i * cell + x + wide / 2)]
        assert abs(int(pasted[0]) - 90) < 30
    with pytest.raises(ArgumentError, match="placements: empty"):
        placement.contact_sheet(picture, background, [], mask=mask)


@pytest.mark.parametrize("numbers", [(0, 312), pytest.param((*range(6), 312, 596), marks=pytest.mark.full)], ids=len)
def test_scenes_are_placed_without_faults(monkeypatch: pytest.MonkeyPatch, numbers: tuple[int, ...]) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    script = load_script("benchmarks/placement.py")
    right = 0
    # In 312 and 596 the frame cut an arm.
    for number in numbers:
        task = script.Task(number, "test")
        placements = task.found()
        for one in placements:
            hides_face, floats = script.faults(task, one)
            assert one.reason or not (hides_face or floats)
        right += (
            max(script.alike(script.box_of(one), task.box, task.size) for one in placements) >= script.SAME_PLACE_IOU
        )
    assert right >= 3 / 8 * len(numbers)


@pytest.mark.parametrize(
    ("posture", "message"),
    [
        (Posture((70, 60, 40, 50), "x", None), r"posture.feet: str 'x', expected a finite number"),  # type: ignore[arg-type]
        (Posture((70, 60, 40, 50), None, math.nan), r"posture.seat: nan, expected a finite number"),
        (Posture((70, 60, 0, 50), None, None), r"posture.head: .* expected a width and a height above 0"),
    ],
)
def test_a_posture_has_finite_numbers(posture: Posture, message: str) -> None:
    subject = np.zeros((60, 40, 4), np.uint8)
    subject[10:, 10:30] = 255
    with pytest.raises(PyHarmonyError, match=message):
        pyharmony.place(subject, np.zeros((120, 160, 3), np.uint8), people=[], person=True, posture=posture)


def test_a_posture_may_continue_beyond_the_image() -> None:
    subject = np.zeros((60, 40, 4), np.uint8)
    subject[10:, 10:30] = 255
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        posture = Posture((-6.0, 4.0, 30.0, 30.0), None, None)
        pyharmony.place(subject, np.zeros((120, 160, 3), np.uint8), people=[], person=True, posture=posture)


@pytest.mark.parametrize("angle", [0.0, 90.0, -17.5])
@pytest.mark.parametrize("at", [(40.0, 25.0), (-60.0, 70.0), (500.0, -400.0)])
@pytest.mark.parametrize("flip", [False, True])
def test_a_silhouette_is_in_its_part_of_the_background(angle: float, at: tuple[float, float], flip: bool) -> None:
    mask = np.zeros((60, 40), np.uint8)
    mask[10:, 5:30] = 255
    subject, size, shape = subjects.subject_of(mask, None, False, ()), (160, 120), (90, 120)
    matrix = subjects.matrix_of(subject.size, *at, 1.3, angle, flip)
    part, silhouette = _place._silhouette_at(subject, matrix, size, shape)
    # Each pixel of the background by itself: whether the object is at its centre.
    y, x = (np.indices(shape) + 0.5) * np.array([size[1] / shape[0], size[0] / shape[1]])[:, None, None] - 0.5
    back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2] @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    scale = subject.mask.shape[1] / subject.size[0], subject.mask.shape[0] / subject.size[1]
    column, row = (np.floor((v + 0.5) * s).astype(int) for v, s in zip(back, scale, strict=True))
    inside = (column >= 0) & (column < subject.mask.shape[1]) & (row >= 0) & (row < subject.mask.shape[0])
    expected = np.zeros(x.size, bool)
    expected[inside] = subject.mask[row[inside], column[inside]]
    whole, spread = np.zeros((2, *shape), bool)
    whole[part], spread[part] = silhouette, grown(silhouette)
    assert np.count_nonzero(whole != expected.reshape(shape)) <= (4 if angle else 0)
    assert (spread == grown(whole)).all()


def test_sums_are_over_rectangles_to_the_nearest_pixel() -> None:
    table = _score.table_of(np.arange(48.0).reshape(1, 6, 8))
    near, whole = np.array([[1.6, 0.4, 5.6, 3.6]]), np.array([[2.0, 0.0, 6.0, 4.0]])
    assert (_score.sums(table, near, (8, 6)) == _score.sums(table, whole, (8, 6))).all()
