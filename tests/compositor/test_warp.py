"""`compose(warp=…)`: the corners of a photo moved, against values computed from the homography itself."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pyharmony
from pyharmony import composition
from pyharmony.composition import Subject, warping
from pyharmony.errors import ArgumentError

from ..shared import runners

pytestmark = pytest.mark.chains

call, report_of = runners("compose")
HEIGHT, WIDTH = 200, 260
OPTIONS: dict[str, Any] = {"harmonize": None, "shadow": False, "grain": 0.0, "sharpness": 0.0, "people": []}
WARP = ((0.1, 0.05), (0.05, 0.2), (-0.05, -0.15), (-0.1, 0.1))


def background(dtype: type = np.uint8, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    return np.full((height, width, 3), 0.25 if dtype == np.float32 else 64, dtype)


def photo_of(levels: np.ndarray) -> np.ndarray:
    """Returns a photo [h, w, 3] uint8 of grey levels."""
    return np.repeat(np.rint(levels).astype(np.uint8)[..., None], 3, 2)


def composed(photo: np.ndarray, target: np.ndarray, **options: Any) -> Any:
    """Returns the composite of all of a photo, without any match."""
    return pyharmony.compose(photo, target, masks=np.full(photo.shape[:2], 255, np.uint8), **options, **OPTIONS)


def corners_of(
    warp: Any, size: tuple[int, int], at: tuple[float, float], scale: float, angle: float, flip: bool
) -> np.ndarray:
    """Returns where the corners of a photo are in the background, [4, 2], without any module."""
    wide, high = size
    square = np.array([(0, 0), (wide, 0), (wide, high), (0, high)], float)
    moved = square + np.array(warp) * size - np.array(size) / 2
    moved[:, 0] *= -1 if flip else 1
    turn = np.radians(angle)
    turned = moved @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return scale * turned + np.array(at) + scale * np.array(size) / 2


def depth_of(corners: np.ndarray) -> np.ndarray:
    """Returns how far the centres of the background's pixels are inside of an outline that goes clockwise."""
    v, u = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    along = np.roll(corners, -1, 0) - corners
    sides = zip(corners, along / np.hypot(*along.T)[:, None], strict=True)
    return np.min([(v - y) * dx - (u - x) * dy for (x, y), (dx, dy) in sides], 0)


def back_to_photo(
    warp: Any, size: tuple[int, int], at: tuple[float, float], scale: float, angle: float, flip: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Returns where in the photo (x, y) the centres of the background's pixels are."""
    wide, high = size
    square = np.array([(0, 0), (wide, 0), (wide, high), (0, high)], float)
    corners = corners_of(warp, size, at, scale, angle, flip)
    # The null space of the direct linear transformation (Hartley and Zisserman, algorithm 4.1).
    rows = []
    for (u, v), (x, y) in zip(corners, square, strict=True):
        rows += [[u, v, 1, 0, 0, 0, -x * u, -x * v, -x], [0, 0, 0, u, v, 1, -y * u, -y * v, -y]]
    matrix = np.linalg.svd(np.array(rows))[2][-1].reshape(3, 3)
    v, u = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    x, y, weight = np.einsum("ij,jhw->ihw", matrix, np.stack([u, v, np.ones_like(u)]))
    return x / weight, y / weight


def test_no_warp_is_the_same_as_none_of_it() -> None:
    photo = photo_of(np.random.default_rng(0).integers(0, 256, (90, 70)))
    for how in ({"scale": 1.3, "angle": 20.0}, {"scale": 0.4, "flip": True}, {"scale": 1.0}):
        plain, info = composed(photo, background(), at=(40, 30), return_info=True, **how)
        for warp in (None, [(0, 0)] * 4, np.zeros((4, 2))):
            same, about = composed(photo, background(), at=(40, 30), warp=warp, return_info=True, **how)
            assert np.array_equal(plain, same) and about.recipe == info.recipe
    assert info.recipe["subjects"][0]["warp"] is None and Subject(photo, warp=[(0, 0)] * 4).warp is None


@pytest.mark.parametrize(("scale", "angle", "flip"), [(1.0, 0.0, False), (1.4, 25.0, True), (0.8, -100.0, False)])
def test_smooth_levels_are_those_of_the_homography(scale: float, angle: float, flip: bool) -> None:
    def levels_at(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return 128 + 60 * np.sin(x / 7) + 50 * np.cos(y / 9 + x / 20)

    rows, columns = np.mgrid[:120, :100] + 0.5
    photo, at = photo_of(levels_at(columns, rows)), (60, 40)
    result = composed(photo, background(), at=at, scale=scale, angle=angle, flip=flip, warp=WARP)
    x, y = back_to_photo(WARP, (100, 120), at, scale, angle, flip)
    inside = (x > 4) & (x < 96) & (y > 4) & (y < 116)
    outside = (x < -2) | (x > 102) | (y < -2) | (y > 122)
    assert inside.sum() > 5000
    assert np.abs(result[inside].astype(float) - levels_at(x, y)[inside][:, None]).max() < 3.5
    assert (result[outside] == 64).all()


def test_a_checkerboard_is_that_of_dense_samples() -> None:
    """Squares of 8 pixels, partly reduced: the mean of each pixel over 81 samples, within what a kernel differs."""
    rows, columns = np.mgrid[:120, :100]
    photo, at, scale = photo_of(255 * ((rows // 8 + columns // 8) % 2)), (60, 40), 0.7
    result = composed(photo, background(), at=at, scale=scale, warp=WARP)[..., 0].astype(float)
    steps = (np.arange(9) - 4) / 9
    total = np.zeros((HEIGHT, WIDTH))
    for dy in steps:
        for dx in steps:
            x, y = back_to_photo(WARP, (100, 120), (at[0] - dx, at[1] - dy), scale, 0, False)
            total += 255 * ((np.floor(y / 8) + np.floor(x / 8)) % 2) / 81
    x, y = back_to_photo(WARP, (100, 120), at, scale, 0, False)
    inside = (x > 4) & (x < 96) & (y > 4) & (y < 116)
    errors = np.abs(result - total)[inside]
    assert errors.mean() < 6 and np.quantile(errors, 0.99) < 40, (errors.mean(), np.quantile(errors, 0.99))
    # No second blur: the squares keep their full contrast.
    assert np.quantile(result[inside], 0.05) < 8 and np.quantile(result[inside], 0.95) > 247


@pytest.mark.parametrize("scale", [0.3, 0.12, 0.45])
def test_reduction_does_not_alias(scale: float) -> None:
    rows, columns = np.mgrid[:400, :400]
    photo = photo_of(255 * ((rows + columns) % 2))
    warp = ((0.25, 0.1), (-0.05, 0.3), (0, -0.2), (0.1, 0))
    result = composed(photo, background(), at=(20, 10), scale=scale, warp=warp)
    x, y = back_to_photo(warp, (400, 400), (20, 10), scale, 0, False)
    inside = (x > 20) & (x < 380) & (y > 20) & (y < 380)
    assert inside.sum() > 500
    # A sample of each pixel without a kernel would be 0 or 255.
    assert np.abs(result[inside].astype(float) - 127.5).max() < 26 and result[inside].std() < 8


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_mask_and_colours_go_together(dtype: type) -> None:
    """Alpha is a disc under the homography, in every dtype; where it ends, no colour of the photo's background is."""
    rows, columns = np.mgrid[:120, :120] + 0.5
    disc = np.clip(40.5 - np.hypot(columns - 60, rows - 60), 0, 1)
    top = 1.0 if dtype == np.float32 else np.iinfo(dtype).max
    photo = np.dstack([np.full((120, 120), top), np.zeros((120, 120)), np.zeros((120, 120)), disc * top]).astype(dtype)
    _, info = pyharmony.compose(photo, background(dtype), at=(60, 30), warp=WARP, return_info=True, **OPTIONS)
    x, y = back_to_photo(WARP, (120, 120), (60, 30), 1.0, 0, False)
    away = np.hypot(x - 60, y - 60)
    mask = info.subjects[0].mask
    assert (mask[away < 38] == 255).all() and (mask[away > 42.5] == 0).all()
    assert mask.sum() / 255 == pytest.approx((away < 40).sum(), rel=0.01)
    one = info.subjects[0]
    seen = one.alpha > 0.02 * top
    assert np.abs(one.colours[seen].astype(float) / top - (1, 0, 0)).max() < 0.02


def test_a_cropped_side_stays_sharp() -> None:
    photo = photo_of(np.full((60, 60), 200))
    warp = ((0, 0), (0, 0), (0, 0.5), (0, 0))
    _, info = composed(photo, background(), at=(20.5, 20), warp=warp, return_info=True)
    mask = info.subjects[0].mask
    # The left side is in the middle of a column of pixels.
    assert set(mask[30:70, 20].tolist()) <= {127, 128} and (mask[30:70, 21] == 255).all()


@pytest.mark.parametrize(
    "warp",
    [
        ((0.6, 0.6), (0, 0), (0, 0), (0, 0)),  # concave
        ((1, 0), (-1, 0), (-1, 0), (1, 0)),  # mirrored
        ((0, 0), (0, 1), (0, 0), (0, 0)),  # flat
        ((0, 0), (-1, 0), (-1, 0), (0, 0)),  # without an area
        ((0, 0), (0, 0), (0, 0)),
        ((0, 0), (0, 0), (0, 0), (0, float("nan"))),
        ((0, 0), (0, 0), (0, 0), (0, 11)),
        ((0, 0), (0, 0), (0, 0), (0, "x")),
        "corners",
        (("0.1", "0"),) * 4,
        ((True, False),) * 4,
        3,
    ],
)
def test_other_corners_are_refused(warp: Any) -> None:
    photo = photo_of(np.full((20, 20), 200))
    with pytest.raises(ArgumentError, match=r"^warp: .*expected"):
        pyharmony.compose(photo, background(), at=(0, 0), warp=warp)
    with pytest.raises(ArgumentError, match=r"^subjects\[0\]: warp: "):
        pyharmony.compose([photo, photo], background(), at=(0, 0), warp=warp)
    recipe = json.loads(json.dumps(composed(photo, background(), at=(0, 0), return_info=True)[1].recipe))
    recipe["subjects"][0]["warp"] = warp
    with pytest.raises(ArgumentError, match=r"^recipe: subjects\[0\]\.warp: "):
        composition.read_recipe(recipe)


def test_the_recipe_and_the_preview_are_of_the_same_picture(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:240, :200]
    photo = photo_of(128 + 80 * np.sin(columns / 15) * np.cos(rows / 18))
    scene = background(height=400, width=520)
    mask = np.full(photo.shape[:2], 255, np.uint8)
    pair = [Subject(photo, mask=mask, at=(90, 60), warp=WARP, angle=10)]
    pair += [Subject(photo, mask=mask, at=(260, 30), scale=0.7)]
    result, info = pyharmony.compose(pair, scene, return_info=True, **OPTIONS)
    entries = {entry["x"]: entry["warp"] for entry in info.recipe["subjects"]}
    assert sorted(map(str, entries.values())) == sorted(["None", str([list(shift) for shift in WARP])])
    recipe = json.loads(json.dumps(info.recipe))
    assert np.array_equal(pyharmony.compose([photo, photo], scene, recipe=recipe), result)
    # An older recipe has no such field.
    older = copy.deepcopy(recipe)
    for entry in older["subjects"]:
        del entry["warp"]
    assert [entry["warp"] for entry in composition.read_recipe(older)["subjects"]] == [None, None]
    small = pyharmony.compose([photo, photo], scene, recipe=recipe, side=260)
    expected = np.asarray(Image.fromarray(result).resize((260, 200), Image.Resampling.BOX))
    difference = np.abs(small.astype(float) - expected)
    assert difference.mean() < 1.5 and np.quantile(difference, 0.99) < 25


def test_the_lower_end_of_a_warped_subject_orders_the_subjects() -> None:
    photo = photo_of(np.full((80, 60), 200))
    lower = ((0, 0), (0, 0), (0, 0.9), (0, 0.9))
    mask = np.full(photo.shape[:2], 255, np.uint8)
    for warp, order in ((lower, [1, 0]), (None, [0, 1])):
        pair = [Subject(photo, mask=mask, at=(20, 20), warp=warp), Subject(photo, mask=mask, at=(100, 40))]
        _, info = pyharmony.compose(pair, background(), return_info=True, **OPTIONS)
        assert info.recipe["order"] == order


def test_growth_and_scales_are_those_of_the_derivative() -> None:
    matrix = warping.homography(WARP, (100, 80))
    assert warping.mapped(matrix, [(0, 0), (100, 80)]) == pytest.approx(np.array([(10, 4), (95, 68)]))
    step = 1e-5
    for x, y in ((0, 0), (100, 0), (50, 40)):
        here, right, below = warping.mapped(matrix, [(x, y), (x + step, y), (x, y + step)])
        slopes = np.column_stack([right - here, below - here]) / step
        assert warping.scales_at(matrix, [(x, y)])[0] == pytest.approx(np.linalg.svd(slopes)[1], rel=1e-3)
    assert warping.largest_growth(None, (10, 10)) == 1
    assert warping.largest_growth([(-1, 0), (1, 0), (0, 0), (0, 0)], (50, 50)) >= 3


def test_a_corner_far_away_is_drawn() -> None:
    """The horizon of the plane may cross the background; what is beyond it is not the subject."""
    photo = photo_of(np.full((60, 60), 200))
    warp = ((0.45, 0.4), (-0.45, 0.4), (3, 0), (-3, 0))
    _, info = composed(photo, background(), at=(100, 80), warp=warp, return_info=True)
    x, y = back_to_photo(warp, (60, 60), (100, 80), 1.0, 0, False)
    mask, inside = info.subjects[0].mask, (x > 6) & (x < 54) & (y > 30) & (y < 54)
    assert (mask[inside] == 255).all() and not mask[:100].any()
    # Turned, the rectangle around it goes beyond the horizon.
    _, info = composed(photo, background(), at=(100, 60), angle=45, warp=warp, return_info=True)
    depth, mask = depth_of(corners_of(warp, (60, 60), (100, 60), 1.0, 45, False)), info.subjects[0].mask
    assert mask.any() and not mask[depth < -1].any() and (mask[depth > 1] == 255).all()


def test_strong_perspective_neither_aliases_nor_takes_long() -> None:
    """A floor of squares to near its horizon: each part is reduced by its own factor, down to hundreds of pixels."""
    rows, columns = np.mgrid[:3000, :2000]
    photo = photo_of(255 * ((rows // 2 + columns // 2) % 2))
    warp = ((0.499, 0.45), (-0.499, 0.45), (0.5, 0), (-0.5, 0))
    result = composed(photo, background(), at=(100, 20), scale=0.05, warp=warp)
    large = composed(photo, background(height=400, width=520), at=(-600, -1000), scale=0.5, warp=warp)
    inside = depth_of(corners_of(warp, (2000, 3000), (100, 20), 0.05, 0, False)) > 3
    assert inside.sum() > 1000 and np.abs(result[inside].astype(float) - 127.5).max() < 20
    assert large.std() > 5
