"""`pyharmony.merging`: alignment, light, contours, who is taken over, kinds of images, and what is refused.

Scenes are drawn, so that what is to come of them is known; `benchmarks/merging.py` measures photographs.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

import pyharmony
from pyharmony import merging
from pyharmony._images.planes import shrunk
from pyharmony.errors import (
    ArgumentError,
    DTypeError,
    MaskError,
    PyHarmonyWarning,
    Reason,
    ShapeError,
    UnchangedWarning,
)
from pyharmony.io import Picture
from pyharmony.merging import _light, _merge, _planes, _seam

from ..shared import RANGE, ROOT, to_dtype

pytestmark = pytest.mark.chains

SIZE = 480, 360


def place(seed: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Returns a scene [H, W, 3] uint8 with texture of several sizes: rectangles, a grid of a wall, and fine noise."""
    random = np.random.default_rng(seed)
    width, height = size
    texture = np.zeros((height, width, 3))
    for cell in (96, 32, 12, 4):
        coarse = random.random((height // cell + 2, width // cell + 2, 3)).astype(np.float32)
        planes = [np.asarray(Image.fromarray(c).resize((width, height), Image.Resampling.BICUBIC)) for c in coarse.T]
        texture += np.stack(planes, -1) * (cell**0.5)
    texture = 40 + 150 * (texture - texture.min()) / np.ptp(texture)
    for _ in range(70):
        x, y = random.integers(0, width - 20), random.integers(0, height - 20)
        w, h = random.integers(6, 50, 2)
        texture[y : y + h, x : x + w] = 0.5 * texture[y : y + h, x : x + w] + random.integers(10, 110, 3)
    return texture.round().clip(0, 255).astype(np.uint8)


def person(image: np.ndarray, x: int, foot: int, height: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns an image with a figure of a head, a body and legs, and the mask of it, soft by a pixel."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    top, wide = foot - height, height * 0.16
    head = np.hypot(columns - x, rows - top - 0.08 * height) - 0.08 * height
    body = np.maximum(np.abs(columns - x) - wide, np.abs(rows - top - 0.38 * height) - 0.23 * height)
    beside = np.abs(np.abs(columns - x) - 0.09 * height) - 0.06 * height
    legs = np.maximum(beside, np.abs(rows - foot + 0.2 * height) - 0.2 * height)
    mask = (0.5 - np.minimum(np.minimum(head, body), legs)).clip(0, 1)
    colours = np.array([(225, 180, 150), random.integers(0, 256, 3), random.integers(0, 120, 3)], float)
    which = np.where(head < 0.5, 0, np.where(body < 0.5, 1, 2))
    figure = colours[which] + random.normal(0, 6, (*image.shape[:2], 1))
    result = mask[..., None] * figure + (1 - mask[..., None]) * image
    return result.round().clip(0, 255).astype(np.uint8), np.rint(255 * mask).astype(np.uint8)


def motion(
    size: tuple[int, int], turn: float = 0, zoom: float = 1, shift: tuple[float, float] = (0, 0), lean: float = 0
) -> np.ndarray:
    """Returns the homography of a camera that turns (degrees) and zooms about the middle, shifts and leans."""
    middle = np.array([[1, 0, -size[0] / 2], [0, 1, -size[1] / 2], [0, 0, 1.0]])
    c, s = zoom * np.cos(np.deg2rad(turn)), zoom * np.sin(np.deg2rad(turn))
    matrix = np.linalg.inv(middle) @ np.array([[c, -s, shift[0]], [s, c, shift[1]], [lean, -lean, 1.0]]) @ middle
    return np.asarray(matrix / matrix[2, 2])


def moved(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
    """Returns what a camera sees after a motion that takes pixels of the image to its own; beyond it nearest pixels."""
    around = 80
    wide = np.pad(image, ((around, around), (around, around)) + ((0, 0),) * (image.ndim - 2), mode="reflect")
    back = np.array([[1, 0, around], [0, 1, around], [0, 0, 1.0]]) @ np.linalg.inv(matrix)
    width, height = size or (image.shape[1], image.shape[0])
    return _planes.warped(wide, back, (0, 0, width, height))


def exposed(image: np.ndarray, gains: Sequence[float], seed: int = 0) -> np.ndarray:
    """Returns an image of another exposure, with noise."""
    noise = np.random.default_rng(seed).normal(0, 1.5, image.shape)
    return (image * np.asarray(gains) + noise).round().clip(0, 255).astype(np.uint8)


def off_at_corners(matrix: np.ndarray, expected: np.ndarray, size: tuple[int, int]) -> float:
    width, height = size
    at = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], float)
    return float(np.linalg.norm(_planes.mapped(matrix, at) - _planes.mapped(expected, at), axis=1).max())


class Scene:
    """Two photographs of one place with other people, and what is to come of them."""

    def __init__(self, matrix: np.ndarray | None = None, gains: Sequence[float] = (1, 1, 1)) -> None:
        self.matrix = motion(SIZE) if matrix is None else matrix
        background = place()
        self.first, self.mask_first = person(background, 120, 330, 200, 1)
        second, self.mask_second = person(background, 330, 340, 220, 2)
        both, _ = person(self.first, 330, 340, 220, 2)
        self.expected = both
        self.second = exposed(moved(second, self.matrix), gains)
        self.people: list[list[np.ndarray]] = [[self.mask_first], [moved(self.mask_second, self.matrix)]]
        self.photos = [self.first, self.second]


def merge(photos: Any, **options: Any) -> Any:
    """Merges photographs, the first of which is the base, unless the options say otherwise."""
    return merging.merge(photos, **{"base": 0, **options})


# Alignment

MOTIONS = {
    "none": motion(SIZE),
    "shift": motion(SIZE, shift=(7.3, -4.6)),
    "turn": motion(SIZE, turn=3.5, shift=(-5, 3)),
    "zoom": motion(SIZE, zoom=1.08, turn=-2, shift=(4, -9)),
    "lean": motion(SIZE, turn=1, zoom=0.95, lean=3e-5),
    "far": motion(SIZE, turn=20, zoom=1.3),
}


@pytest.mark.parametrize("name", MOTIONS)
def test_photographs_are_aligned_to_half_a_pixel(name: str) -> None:
    background = place(3)
    photo = exposed(moved(background, MOTIONS[name]), (0.8, 0.85, 0.75))
    with pytest.warns(UnchangedWarning, match="no other photo"):
        result, info = merge([background, photo], people=[[], []], return_info=True)
    base, other = info.photos
    assert off_at_corners(other.matrix, MOTIONS[name], SIZE) < 0.5
    assert other.residual < 0.5 and other.inliers > 60 and base.inliers == 0
    assert np.abs(np.array(other.gains) * (0.8, 0.85, 0.75) - 1).max() < 0.02
    assert base.gains == (1, 1, 1) and (base.matrix == np.eye(3)).all()
    assert (result == background).all() and other.differs < 0.02 and not other.mask.any()


def test_a_photograph_of_another_size_is_aligned() -> None:
    background = place(4, (640, 480))
    matrix = motion((640, 480), turn=1.5, shift=(3, -2))
    small = np.asarray(Image.fromarray(moved(background, matrix)).resize((480, 360), Image.Resampling.BOX))
    with pytest.warns(UnchangedWarning):
        _, info = merge([background, small], people=[[], []], return_info=True)
    expected = _planes.rescaled(matrix, (1, 1), (0.75, 0.75))
    assert off_at_corners(info.photos[1].matrix, expected, (640, 480)) < 0.5


def test_people_who_stay_do_not_pull_the_alignment() -> None:
    """Most features are on somebody who has moved; with the mask the place alone counts."""
    background = (0.2 * place(5) + 90).astype(np.uint8)
    crowd = place(6)[:240, :200]
    first, second, mask = background.copy(), background.copy(), np.zeros(background.shape[:2], bool)
    first[100:340, 140:340] = crowd
    second[106:346, 148:348] = crowd
    mask[90:360, 130:360] = True
    with pytest.warns(UnchangedWarning):
        _, info = merge([first, second], people=[mask, mask], return_info=True)
    assert off_at_corners(info.photos[1].matrix, np.eye(3), SIZE) < 0.5


def same_person_twice() -> tuple[np.ndarray, np.ndarray]:
    """Returns two places with the same figure, which gives pairs that agree, but only there."""
    figure = place(9)[:200, :120]
    first, second = place(10), place(11)
    first[100:300, 60:180] = figure
    second[120:320, 90:210] = figure
    return first, second


@pytest.mark.parametrize("other", ["another place", "mirrored", "flat", "noise", "the same person"])
def test_a_photograph_of_another_place_is_left_out(other: str) -> None:
    first = place(7)
    second = {
        "another place": place(8),
        "mirrored": first[:, ::-1],
        "flat": np.full_like(first, 130),
        "noise": np.random.default_rng(0).integers(0, 256, first.shape, np.uint8),
    }.get(other, first)
    if other == "the same person":
        first, second = same_person_twice()
    with (
        pytest.warns(UnchangedWarning, match="no other photo shows the scene of the base"),
        pytest.warns(PyHarmonyWarning, match=r"photos\[1\] was left out: it does not show the scene of photos\[0\]"),
    ):
        result, info = merge([first, second], people=[[], []], return_info=True)
    assert (result == first).all() and info.photos[1].reason and info.reason


def test_a_photograph_of_another_place_does_not_stop_the_others() -> None:
    scene = Scene(MOTIONS["shift"])
    with pytest.warns(PyHarmonyWarning, match=r"photos\[1\] was left out"):
        result, info = merge(
            [scene.first, place(8), scene.second], people=[scene.people[0], [], scene.people[1]], return_info=True
        )
    assert [bool(photo.reason) for photo in info.photos] == [False, True, False] and not info.reason
    assert np.mean(np.abs(result.astype(int) - scene.expected).mean(-1) < 10) > 0.99


# Who is taken over


@pytest.mark.parametrize(
    "name", ["shift", *(pytest.param(x, marks=pytest.mark.full) for x in ("none", "turn", "zoom")), "lean"]
)
def test_everyone_is_kept(name: str) -> None:
    scene = Scene(MOTIONS[name], (0.85, 0.9, 0.8))
    before = [photo.copy() for photo in scene.photos]
    result, info = merge(scene.photos, people=scene.people, return_info=True)
    assert all((a == b).all() for a, b in zip(before, scene.photos))
    off = np.abs(result.astype(int) - scene.expected).mean(-1)
    for mask in (scene.mask_first, scene.mask_second):
        assert np.mean(off[mask > 250] < 10) > 0.97
    taken_mask = info.photos[1].mask
    assert (result[taken_mask == 0] == scene.first[taken_mask == 0]).all() and np.mean(
        taken_mask[scene.mask_second > 0] > 250
    ) > 0.99
    assert (taken_mask > 0).mean() < 0.3 and not info.photos[0].mask.any() and not info.reason
    (part,) = info.photos[1].parts
    x, y, width, height = part.box
    assert part.taken and part.reason == "" and part.crossing < 0.05
    assert x < 290 and y < 125 and x + width > 370 and y + height > 338
    # Beside the contour nothing shows that it is there.
    rim = (taken_mask > 0) & (scene.mask_second == 0)
    assert off[rim].mean() < 4 and np.percentile(off[rim], 99) < 25


def with_somebody(data_dir: Path, name: str, left: int, top: int = 110) -> tuple[np.ndarray, np.ndarray]:
    """Returns a drawn place with somebody of a photograph, 240 rows high, and where they are for sure."""
    person_in = Image.open(data_dir / f"pairs_open/images/{name}.jpg").convert("RGB")
    mask = Image.open(data_dir / f"pairs_open/masks/{name}.png").convert("L").resize(person_in.size)
    box = mask.point(lambda v: 255 * (v > 127)).getbbox()
    assert box is not None
    size = round((box[2] - box[0]) * 240 / (box[3] - box[1])), 240
    figure, mask = person_in.crop(box).resize(size), mask.crop(box).resize(size)
    image = Image.fromarray(place(15) // 2 + 60)
    image.paste(figure, (left, top), mask)
    inside = np.zeros(SIZE[::-1], bool)
    inside[top : top + size[1], left : left + size[0]] = np.asarray(mask) > 200
    return np.asarray(image), inside


def test_people_are_found(data_dir: Path) -> None:
    """Somebody of a photograph, whom nobody points at, before a drawn place."""
    second, inside = with_somebody(data_dir, "coco_005001_0", 200)
    photo = exposed(moved(second, MOTIONS["turn"]), (0.9, 0.9, 0.9))
    result, info = merge([place(15) // 2 + 60, photo], return_info=True)
    assert np.mean(info.photos[1].mask[inside] > 250) > 0.97
    assert np.median(np.abs(result.astype(int) - second).mean(-1)[inside]) < 8


@pytest.mark.filterwarnings("ignore:photos.1.")
def test_a_merge_tells_how_likely_it_is_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(motion(SIZE, turn=1))
    _, info = merge(scene.photos, people=scene.people, return_info=True)
    assert info.usable is not None and info.usable > 0.65 and not info.verdict
    with pytest.warns(UnchangedWarning):
        _, info = merge([scene.first, scene.first], people=[[], []], return_info=True, align=False)
    assert info.reason and info.usable is None and not info.doubts

    def unlikely(facts: Mapping[str, float], table: Any) -> tuple[float, tuple[Reason, ...]]:
        return 0.2, (Reason("person-cropped", "a photo crops a person", hint="pass another base"),)

    monkeypatch.setattr(_merge, "verdict_of", unlikely)
    with pytest.warns(PyHarmonyWarning, match="the merged photo is 20 % likely to be usable: a photo") as said:
        merge(scene.photos, people=scene.people)
    assert [one.message.code for one in said if one.message.code != "touches-base"] == ["not-usable"]


def test_everyone_of_three_photographs_is_kept() -> None:
    scene, gains = Scene(MOTIONS["shift"], (1.1, 1.0, 0.9)), (0.9, 0.9, 1.0)
    third, mask = person(place(), 225, 300, 170, 5)
    expected, _ = person(scene.expected, 225, 300, 170, 5)
    photos = [scene.second, exposed(moved(third, MOTIONS["zoom"]), gains), scene.first]
    people = [scene.people[1], moved(mask, MOTIONS["zoom"]), scene.people[0]]
    result, info = merge(photos, base=2, people=people, return_info=True)
    assert np.mean(np.abs(result.astype(int) - expected).mean(-1) < 10) > 0.99
    first, second, base = (photo.mask for photo in info.photos)
    assert info.base == 2 and first.any() and second.any() and not base.any()
    outside = (first == 0) & (second == 0)
    assert (result[outside] == scene.first[outside]).all()


# The base


def narrow(scene: Scene) -> tuple[list[np.ndarray], list[list[np.ndarray]]]:
    """Returns the photographs of a scene and their people, the second one without its lowest rows, within legs."""
    photos, rows = [scene.first, scene.second[:290]], slice(0, 290)
    return photos, [scene.people[0], [mask[rows] for mask in scene.people[1]]]


@pytest.mark.covering(1)
@pytest.mark.parametrize("is_base_given", [True, False])
@pytest.mark.parametrize("is_reversed", [False, True])
def test_the_base_is_chosen_whatever_the_order(is_reversed: bool, is_base_given: bool, data_dir: Path) -> None:
    """Whose photograph ends within them stands in the base, where that is not seen."""
    photos, people = narrow(Scene(MOTIONS["shift"], (0.9, 0.9, 0.9)))
    if not is_base_given:
        photos, people = (
            [with_somebody(data_dir, *one)[0] for one in (("coco_005001_0", 60), ("coco_000308_0", 300))],
            [],
        )
        photos[1] = photos[1][:320]
    order = [1, 0] if is_reversed else [0, 1]
    mine, whose = [photos[i] for i in order], [people[i] for i in order] if is_base_given else None
    result, info = merging.merge(mine, people=whose, return_info=True)
    base, other = info.bases[info.base], info.bases[1 - info.base]
    assert order[info.base] == 1 and base.cost < other.cost
    assert base.ended == 0 and other.ended > 0.05 and base.left_out == other.left_out == 0
    assert not any("ends within" in part.reason for part in info.photos[1 - info.base].parts)
    # The choice is all that 'auto' adds, and a base that is given costs nothing.
    again, second_info = merging.merge(mine, base=info.base, people=whose, return_info=True)
    assert (again == result).all() and second_info.bases == () and second_info.base == info.base


def test_bases_are_compared_without_aligning() -> None:
    scene = Scene()
    people = [[*scene.people[0], scene.mask_second], scene.people[1]]
    with pytest.warns(UnchangedWarning, match="no other photo has people"):
        result, info = merging.merge([scene.second, scene.expected], people=people[::-1], align=False, return_info=True)
    # Into the one that has everyone nobody has to be taken over.
    assert info.base == 1 and (result == scene.expected).all() and info.bases[1].cost == 0 < info.bases[0].cost


def test_somebody_beyond_the_frame_of_a_base_counts() -> None:
    scene = Scene()
    part, mask = scene.first[:, :260], scene.mask_first[:, :260]
    result, info = merging.merge([part, scene.second], people=[[mask], scene.people[1]], return_info=True)
    assert info.base == 1 and result.shape == scene.second.shape and info.bases[0].beyond > 0.9
    assert np.mean(np.abs(result.astype(int) - scene.expected).mean(-1) < 10) > 0.99


def test_most_photographs_go_into_the_base() -> None:
    scene = Scene(MOTIONS["shift"])
    with pytest.warns(PyHarmonyWarning, match=r"photos\[0\] was left out"):
        _, info = merging.merge([place(8), scene.first, scene.second], people=[[], *scene.people], return_info=True)
    assert [base.left_out for base in info.bases] == [2, 1, 1] and info.base in (1, 2)


def test_the_base_is_in_colour_and_of_the_size_of_out() -> None:
    scene = Scene()
    grey = Picture(np.ascontiguousarray(scene.expected[..., 1:2]))
    with pytest.warns(UnchangedWarning, match="no other photo has people"):
        result, info = merging.merge([grey, Picture(scene.second)], return_info=True, people=[[], scene.people[1]])
    assert info.base == 1 and result.pixels.shape == scene.second.shape
    photos, people = narrow(scene)
    for i, photo in enumerate(photos):
        out = np.empty_like(photo)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PyHarmonyWarning)
            _, info = merging.merge(photos, people=people, out=out, return_info=True)
        assert info.base == i and out.any()


def test_a_base_is_chosen_among_arrays_and_other_kinds() -> None:
    scene = Scene()
    first, second = scene.photos
    expected, auto_info = merge([first, second], base="auto", people=scene.people, return_info=True)
    result, info = merge([Picture(first), second], base="auto", people=scene.people, return_info=True)
    assert info.base == auto_info.base
    np.testing.assert_array_equal(result.pixels if isinstance(result, Picture) else result, expected)


def test_a_merge_is_the_same_each_time() -> None:
    scene = Scene(MOTIONS["turn"], (0.9, 0.9, 0.9))
    first, first_info = merge(scene.photos, people=scene.people, return_info=True)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    again, again_told = merge(scene.photos, people=scene.people, return_info=True)
    cv2.setNumThreads(threads)
    assert (first == again).all() and first_info.photos[1].parts == again_told.photos[1].parts
    assert (first_info.photos[1].matrix == again_told.photos[1].matrix).all()


@pytest.mark.filterwarnings("ignore:the merged photo is")
@pytest.mark.parametrize(("feet", "in_front"), [((330, 345), True), ((345, 320), False)])
def test_lower_feet_are_nearer(feet: tuple[int, int], in_front: bool) -> None:
    background = place(12)
    first, mask_first = person(background, 200, feet[0], 200, 1)
    second, mask_second = person(background, 240, feet[1], 200, 2)
    with pytest.warns(PyHarmonyWarning, match="touches or covers"):
        result, info = merge([first, second], people=[[mask_first], [mask_second]], align=False, return_info=True)
    assert info.verdict.code == "not-usable" and info.doubts[0].code == "people-overlap"
    both = (mask_first > 250) & (mask_second > 250)
    # Away from the contour, which is soft.
    both = shrunk(both, 3)
    front = second if in_front else first
    assert both.sum() > 500 and np.abs(result[both].astype(int) - front[both]).max() < 6
    (part,) = info.photos[1].parts
    assert part.crossing > 0.05 and "touches or covers" in part.reason
    for mask, photo, other in ((mask_first, first, mask_second), (mask_second, second, mask_first)):
        alone = shrunk((mask > 250) & (other == 0), 3)
        assert np.mean(np.abs(result[alone].astype(int) - photo[alone]).max(-1) < 8) > 0.97


def test_somebody_who_stays_is_not_taken_twice() -> None:
    background = place(13)
    first, mask_first = person(background, 200, 330, 200, 1)
    second, mask_second = person(background, 204, 331, 200, 1)
    with pytest.warns(UnchangedWarning, match="no other photo has people"):
        result, info = merge([first, second], people=[[mask_first], [mask_second]], return_info=True)
    assert (result == first).all() and info.reason
    (part,) = info.photos[1].parts
    assert not part.taken and part.reason == "a person of the base is in the same place"


def test_somebody_in_the_place_of_another_is_told_of() -> None:
    """Two people, one after the other, at one table; and a third beside it, who is added."""
    folders = ROOT / "pyharmony/cli/images", ROOT / "docs/images/photos"
    photos = [folders[0] / "reading.jpg", folders[0] / "leaving.jpg", folders[1] / "standing.jpg"]
    with pytest.warns(PyHarmonyWarning, match=r"photos\[0\]: not added at .*, a person of the base is in the same"):
        _, info = merging.merge(photos, base=2, return_info=True)
    (left_out,), (added,), _ = (one.parts for one in info.photos)
    assert added.taken and not left_out.taken and left_out.reason.code == "place-taken"
    x, _, width, height = left_out.box
    assert 380 < x < x + width < 530 and height > 380


def test_one_mask_may_hold_several_people() -> None:
    scene = Scene()
    second, more = person(scene.second, 60, 300, 150, 8)
    people = np.maximum(scene.people[1][0], more)
    with pytest.warns(UnchangedWarning):
        merge([second, second], people=[people, people], align=False)
    result, info = merge([place(), second], people=[[], people], align=False, return_info=True)
    assert len(info.photos[1].parts) == 2
    assert np.percentile(np.abs(result.astype(int) - second).max(-1)[more > 250], 99) < 8


def test_what_segment_found_may_be_given() -> None:
    scene = Scene()
    people = pyharmony.segment(scene.second, all_people=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PyHarmonyWarning)
        merge(scene.photos, people=[scene.people[0], people])
    with pytest.raises(ShapeError, match=r"people\[0\]: masks \[360, 480\], expected \[100, 480\]"):
        merge([scene.first[:100], scene.second], people=[people, None])


def test_a_person_whom_the_photograph_cuts_is_told() -> None:
    background = place(14)
    second, mask = person(background, 240, 345, 220, 2)
    with pytest.warns(PyHarmonyWarning, match=r"check what was added at .*, the photo crops it, another base"):
        result, _ = merge([background, second[:300]], people=[[], [mask[:300]]], return_info=True)
    assert (result[303:] == background[303:]).all()


# Kinds of images


@pytest.fixture(scope="module")
def darker() -> tuple[Scene, np.ndarray]:
    """Returns a scene whose second photograph is moved and darker, and what is made of its photographs."""
    scene = Scene(MOTIONS["shift"], (0.9, 0.9, 0.9))
    return scene, merge(scene.photos, people=scene.people)


@pytest.mark.parametrize(
    "dtype",
    ["uint16", "float16", "float32", pytest.param("float64", marks=pytest.mark.full)],
)
def test_dtypes_give_the_same_picture(dtype: str, darker: tuple[Scene, np.ndarray]) -> None:
    scene, expected = darker
    photos = [to_dtype(photo / 255, dtype) for photo in scene.photos]
    result, info = merge(photos, people=scene.people, return_info=True)
    assert result.dtype == photos[0].dtype
    outside = info.photos[1].mask == 0
    assert (result[outside] == photos[0][outside]).all()
    assert np.abs(result.astype(np.float64) / RANGE[dtype] * 255 - expected).max() < 1.6


@pytest.mark.filterwarnings("ignore:.*check what was added at:pyharmony.errors.PyHarmonyWarning")
def test_kinds_of_images(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    scene = Scene()
    photos = [np.ascontiguousarray(photo[::2, ::2]) for photo in scene.photos]
    people = [[mask[::2, ::2] for mask in masks] for masks in scene.people]
    options: dict[str, Any] = {"people": people, "align": False}
    expected = merge(photos, **options)
    assert (expected != photos[0]).any()
    tensors = [torch.from_numpy(np.ascontiguousarray(photo.transpose(2, 0, 1))) for photo in photos]
    assert (merge(tensors, **options).numpy().transpose(1, 2, 0) == expected).all()
    pictures = [Image.fromarray(photo) for photo in photos]
    result = merge(pictures, **options)
    assert isinstance(result, Image.Image) and (np.asarray(result) == expected).all()
    paths = [tmp_path / f"{i}.png" for i in range(2)]
    for picture, path in zip(pictures, paths):
        picture.save(path)
    merge(paths, people=[[Image.fromarray(masks[0])] for masks in people], align=False, out=tmp_path / "out.png")
    assert (np.asarray(Image.open(tmp_path / "out.png")) == expected).all()
    assert (merge([Picture(photo) for photo in photos], **options).pixels == expected).all()
    out = np.empty_like(expected)
    assert merge(photos, **options, out=out) is out and (out == expected).all()
    # Alpha of the base stays, grey stays grey.
    alpha = np.random.default_rng(0).integers(0, 256, (*expected.shape[:2], 1), np.uint8)
    with_alpha = merge([np.dstack([photos[0], alpha]), photos[1]], **options)
    assert (with_alpha[..., 3:] == alpha).all() and (with_alpha[..., :3] == expected).all()
    grey = [photo[..., 1] for photo in photos]
    assert merge(grey, **options).shape == expected.shape[:2]


# What is refused


def test_what_is_refused() -> None:
    photo, other = place(), place().astype(np.float32) / 255
    cases: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
        (photo, {}, DTypeError, "photos: ndarray, expected a list of two or more images"),
        ([photo], {}, ArgumentError, "photos: a list of 1, expected two or more images"),
        ([photo, photo], {"base": 2}, ArgumentError, "base: 2, expected 'auto' or the number of a photo, 0 to 1"),
        ([photo, photo], {"base": True}, ArgumentError, "base: True, expected 'auto' or the number"),
        ([photo, photo], {"base": "best"}, ArgumentError, "base: 'best', expected 'auto' or the number"),
        ([photo, other], {}, DTypeError, r"photos\[1\]: dtype float32 differs from photos\[0\] uint8"),
        ([photo, photo[..., 0]], {}, ShapeError, r"photos\[1\]: 1 channels, expected 3 like photos\[0\]"),
        ([photo, photo[None]], {}, ShapeError, r"photos\[1\]: shape .*, a batch, expected one image"),
        ([photo, photo[:100]], {"align": False}, ArgumentError, "480 x 100 pixels, expected 480 x 360"),
        ([photo, photo], {"people": [None]}, ShapeError, "people: a list of 1, expected None or a list with an entry"),
        ([photo, photo], {"people": photo}, DTypeError, "people: ndarray, expected None or a list"),
        ([photo, photo], {"people": [[photo[:9, :, 0]], []]}, ShapeError, r"people\[0\]\[0\]"),
        ([photo, photo], {"people": [photo[..., 0] * 0 + 1, []]}, MaskError, r"people\[0\]: uint8 with largest"),
    ]
    for photos, options, kind, says in cases:
        with pytest.raises(kind, match=says):
            merge(photos, **options)
    bad = other.copy()
    bad[3, 4] = np.nan
    with pytest.raises(ArgumentError, match=r"photos\[1\]: nan at pixel \(y=3, x=4\)"):
        merge([other, bad])
    with pytest.raises(ArgumentError, match=r"out: shares memory with photos\[1\]"):
        merge([photo, other_array := photo.copy()], people=[[], []], out=other_array)


def test_opencv_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match=r"cv2 is missing, pyharmony.merging needs it: .*install"):
        merge([place(), place()])


# Steps


def test_gains_are_found_beside_somebody_else() -> None:
    base = place(20).astype(np.float32)
    photo = (base * (0.7, 0.8, 0.9)).astype(np.float32)
    photo[100:300, 100:260] = 250
    valid = np.ones(base.shape[:2], bool)
    assert np.abs(_light.gains_of(base, photo, valid) * (0.7, 0.8, 0.9) - 1).max() < 0.01
    differs, exact = _light.differences(base, photo, valid, 1)
    assert differs[120:280, 120:240].mean() > 0.9 and differs[:, 300:].mean() < 0.01 and exact[:, 300:].mean() < 3


def test_a_cut_goes_where_it_costs_least() -> None:
    """The least contour that holds a square inside of a cheap ring runs in the ring."""
    rows, columns = np.mgrid[:120, :160]
    radius = np.hypot(rows - 60, columns - 80)
    crossing = np.where(np.abs(radius - 40) < 3, np.float32(0.05), np.float32(1))
    inside, outside = radius < 8, radius > 56
    inside_cut = _seam.cut(crossing, np.zeros(crossing.shape, np.float32), inside, outside)
    assert inside_cut[radius < 36].all() and not inside_cut[radius > 44].any()


def test_warped_images_are_cubic_and_exact_at_whole_steps() -> None:
    image = place(21)
    shift = np.array([[1, 0, 5], [0, 1, -3], [0, 0, 1.0]])
    assert (_planes.warped(image, shift, (20, 30, 120, 90)) == image[27:87, 25:125]).all()
    half = _planes.warped(image.astype(np.float32), np.array([[1, 0, 0.5], [0, 1, 0], [0, 0, 1.0]]), (9, 9, 99, 99))
    between = 0.5 * (image[9:99, 9:99].astype(np.float32) + image[9:99, 10:100])
    assert np.abs(half - between).mean() < 4
    size = (image.shape[1], image.shape[0])
    assert _planes.coverage(size, shift, (0, 0, *size)).sum() == (size[0] - 5) * (size[1] - 3)


def test_a_merged_file_says_that_it_is_a_composite(tmp_path: Path) -> None:
    background = place(0)
    photo, mask = person(background, 60, 200, 120, 1)
    paths = tmp_path / "a.png", tmp_path / "b.png"
    for path, pixels in zip(paths, (background, photo)):
        Image.fromarray(pixels).save(path)
    out = tmp_path / "out.png"
    assert merge(paths, base=0, people=[[], [mask]], align=False, out=out) == out
    xmp = pyharmony.io.read(out).xmp
    assert xmp is not None and b"digitalsourcetype/compositeCapture" in xmp and xmp.count(b"sha256:") == 2
    result = merge([background, photo], base=0, people=[[], [mask]], align=False)
    assert np.array_equal(np.asarray(Image.open(out)), result)
    merge([background, photo], base=0, people=[[], [mask]], align=False, out=out)
    assert b"compositeCapture" in (pyharmony.io.read(out).xmp or b"")
    # The base alone is no composite.
    with pytest.warns(UnchangedWarning):
        merge(paths, base=0, people=[[], []], align=False, out=out)
    assert b"compositeCapture" not in (pyharmony.io.read(out).xmp or b"")
    with pytest.raises(ArgumentError, match="names no format"):
        merge(paths, base=0, people=[[], []], align=False, out=tmp_path / "x.ora")
