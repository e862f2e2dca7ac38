"""`pyharmony.shadows`: shadows beside those of rendered scenes with known light."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from pyharmony import shadows
from pyharmony.errors import ArgumentError, MaskError, ShapeError, UnchangedWarning
from pyharmony.shadows import _soft

from ..rendered import Camera, behind_box, behind_card, behind_pole, lights, person, shaded

pytestmark = pytest.mark.chains
FULL_MARK = pytest.mark.full

CAMERA = Camera()
#: The whole ground in the shadow is black, and nothing is darker right under the object.
BLACK_SHADOW: dict[str, Any] = {"strength": 1.0, "tint": (1, 1, 1), "under": 0.0, "horizon": CAMERA.horizon}
Z = 5.0


def paired(*values: Sequence[Any]) -> list[Any]:
    """Returns all combinations of values; in the short form each value of the last list is with some of the others.

    Those are the combinations whose numbers in their lists add up to a multiple of the last list's length.
    """
    numbered = itertools.product(*map(enumerate, values))
    return [
        pytest.param(
            *(value for _, value in one), marks=() if sum(i for i, _ in one) % len(values[-1]) == 0 else FULL_MARK
        )
        for one in numbered
    ]


def cover(mask: np.ndarray, **options: Any) -> np.ndarray:
    """Returns how far a white picture is in the shadow."""
    white = np.ones((*mask.shape, 3), np.float32)
    result: np.ndarray = 1 - shadows.shadow(white, mask, **BLACK_SHADOW | options)[..., 0]
    return result


def iou(mask_of_shadow: np.ndarray, expected: np.ndarray, mask: np.ndarray) -> float:
    """Returns the share of the union of two shadows that both cover, where the object does not hide them."""
    a, b = (x[mask < 0.5] > 0.5 for x in (mask_of_shadow, expected))
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize(
    ("sun", "softness"),
    paired([(30, 40), (150, 35), (200, 50), (-30, 30), (120, 25), (75, 40), (-140, 30)], [0.5, 5.0]),
)
def test_a_card_throws_the_shadow_that_rays_say(sun: tuple[float, float], softness: float) -> None:
    mask = CAMERA.matte(Z, person)
    expected = shaded(CAMERA, behind_card(Z, person), lights(*sun, softness))
    shadow = cover(mask, azimuth=sun[0], elevation=sun[1], softness=softness, contact=CAMERA.row(Z))
    assert iou(shadow, expected, mask) > 0.93
    assert np.abs(shadow - expected)[(mask < 0.5) & ((expected > 0) | (shadow > 0.01))].mean() < 0.1


@pytest.mark.parametrize("sun", [(150, 35), (200, 30), (-140, 30)])
def test_a_wall_takes_the_shadow_up(sun: tuple[float, float]) -> None:
    mask, far = CAMERA.matte(Z, person), 6.0
    expected = shaded(CAMERA, behind_card(Z, person), lights(*sun, 2.0), far)
    assert expected[: int(CAMERA.row(far))].max() == 1  # some of it is on the wall
    options = {"azimuth": sun[0], "elevation": sun[1], "softness": 2.0, "contact": CAMERA.row(Z)}
    assert iou(cover(mask, wall=CAMERA.row(far), **options), expected, mask) > 0.93
    assert iou(cover(mask, **options), expected, mask) < 0.9  # and without the wall it would be elsewhere
    sloped = ((0.0, CAMERA.row(far)), (100.0, CAMERA.row(far)))
    assert np.array_equal(cover(mask, wall=sloped, **options), cover(mask, wall=CAMERA.row(far), **options))


@pytest.mark.parametrize("sun", [(20, 35), (160, 45), (-70, 50)])
def test_a_thick_thing_throws_a_thick_shadow(sun: tuple[float, float]) -> None:
    """A box: its front is the card, and its back looks smaller by `depth`."""
    low, high = (-0.3, 0.0, Z), (0.3, 1.0, Z + 0.6)
    front = CAMERA.matte(Z, lambda x, y: (abs(x) < 0.3) & (y >= 0) & (y < 1))
    expected = shaded(CAMERA, behind_box(low, high), lights(*sun, 1.0))
    shadow = {"azimuth": sun[0], "elevation": sun[1], "softness": 1.0, "contact": CAMERA.row(Z)}
    result = cover(front, depth=1 - Z / (Z + 0.6), **shadow)
    # The box itself hides the ground behind its front, which the picture has no object for.
    outside = np.maximum(front, CAMERA.matte(Z + 0.6, lambda x, y: (abs(x) < 0.3) & (y >= 0) & (y < 1)))
    assert iou(result, expected, outside) > 0.8


@pytest.mark.parametrize(
    ("sun", "softness"), paired([(30, 40), (150, 35), (-30, 45), (200, 50), (-20, 35)], [0.5, 4.0])
)
def test_a_pole_throws_the_shadow_that_rays_say(sun: tuple[float, float], softness: float) -> None:
    """A round pole of ten centimetres: its silhouette is taken for a card through its axis."""
    hides = behind_pole(-0.2, Z, 0.05, 1.5)
    mask = CAMERA.matte_of(hides)
    assert 5 <= (mask[150] > 0).sum() <= 8 and 90 < (mask.max(1) > 0.5).sum() < 100
    expected = shaded(CAMERA, hides, lights(*sun, softness), finer=2)
    shadow = cover(mask, azimuth=sun[0], elevation=sun[1], softness=softness, contact=CAMERA.row(Z))
    assert ((expected > 0.5) & (mask < 0.5)).sum() > 90
    assert iou(shadow, expected, mask) > 0.8


@pytest.mark.parametrize("sun", [(165, 35), (-165, 30)])
def test_a_pole_stands_before_a_wall(sun: tuple[float, float]) -> None:
    hides, far = behind_pole(-0.2, Z, 0.05, 1.5), 6.0
    mask = CAMERA.matte_of(hides)
    expected = shaded(CAMERA, hides, lights(*sun, 1.0), far, 2)
    assert expected[: int(CAMERA.row(far))].max() > 0.9
    options = {"azimuth": sun[0], "elevation": sun[1], "softness": 1.0, "contact": CAMERA.row(Z)}
    assert iou(cover(mask, wall=CAMERA.row(far), **options), expected, mask) > 0.8


def penumbra(plane: np.ndarray) -> float:
    """Returns how wide the last penumbra of columns is: that of the even one which has the same standard deviation.

    The shadow falls from 1 to 0 down the columns [H, W]; the squares are means over the columns, in which the edge lies
    elsewhere in a pixel each, since it is slanted.
    """
    falls = plane[:-1] - plane[1:]
    assert np.abs(falls.sum(0) - 1).max() < 0.02
    at = np.arange(len(falls))[:, None]
    middle = (falls * at).sum(0)
    return float(np.sqrt(12 * (falls * (at - middle) ** 2).sum(0).mean()))


@pytest.mark.parametrize(
    ("sun", "height", "softness"),
    paired([(5, 55), (-30, 45), (40, 50), (-50, 50)], [0.8, 1.5], [0.5, 1.0, 2.0, 6.0]),
)
def test_the_penumbra_is_as_wide_as_the_source_makes_it(
    sun: tuple[float, float], height: float, softness: float
) -> None:
    """The shadow of a wide fence ends in a penumbra, which is as wide within a fifth, however narrow it is.

    Both are means over pixels: what a pixel adds to the width is in both of them.
    """

    def fence(x: Any, y: Any) -> np.ndarray:
        return (abs(x) < 4) & (y >= 0) & (y < height + 0.05 * x)

    columns, below = slice(120, 200), int(CAMERA.row(Z)) + 2
    mask = CAMERA.matte(Z, fence)
    expected = shaded(CAMERA, behind_card(Z, fence), lights(*sun, softness, 200), finer=4, columns=columns)
    shadow = cover(mask, azimuth=sun[0], elevation=sun[1], softness=softness, contact=CAMERA.row(Z))
    assert penumbra(shadow[below:, columns]) == pytest.approx(penumbra(expected[below:]), rel=0.2)


@pytest.mark.parametrize("softness", [1.0, 4.0])
def test_a_low_sun_draws_the_penumbra_out(softness: float) -> None:
    """A pixel of the fence's edge is thrown on two thirds of a row: in a picture that is three times as fine."""
    camera, sun = Camera(960, 720, 239.5, 960.0), (20, 35)

    def fence(x: Any, y: Any) -> np.ndarray:
        return (abs(x) < 4) & (y >= 0) & (y < 0.8 + 0.05 * x)

    columns, below = slice(440, 520), int(camera.row(Z)) + 6
    expected = shaded(camera, behind_card(Z, fence), lights(*sun, softness, 200), finer=2, columns=columns)
    options = {"azimuth": sun[0], "elevation": sun[1], "softness": softness, "contact": camera.row(Z)}
    shadow = cover(camera.matte(Z, fence), **options | {"horizon": camera.horizon})
    assert penumbra(shadow[below:, columns]) == pytest.approx(penumbra(expected[below:]), rel=0.2)


@pytest.mark.parametrize("deviation", [0.1, 0.3, 0.6, 1.0, 1.5, 4.0])
def test_a_blur_has_its_deviation_however_small(deviation: float) -> None:
    dot = np.zeros((61, 61), np.float32)
    dot[30, 30] = 1
    blurred = _soft.blurred_by_row(dot, np.full(61, deviation))
    at = np.arange(61) - 30
    for axis in (0, 1):
        along = blurred.sum(axis, dtype=np.float64)
        assert along.sum() == pytest.approx(1, abs=1e-5)
        assert np.sqrt((along * at**2).sum()) == pytest.approx(deviation, rel=1e-3)


def test_no_light_comes_between_an_object_and_its_shadow() -> None:
    mask = CAMERA.matte(Z, person)
    last = int(CAMERA.row(Z))
    feet = np.flatnonzero(mask[last - 1] > 0.9)
    for azimuth in (-20, 0, 10):
        dark = cover(mask, azimuth=azimuth, elevation=40, softness=0.5, contact=CAMERA.row(Z))
        # The row that the contact runs through is partly the object's; the rest of it is dark, and so is the next one.
        for row in (last + 1, last + 2):
            assert np.quantile(dark[row, feet] / (1 - mask[row, feet]), 0.2) > 0.8


def test_the_tip_says_where_the_light_comes_from() -> None:
    mask = CAMERA.matte(Z, person)
    rows, columns = np.nonzero(mask >= 0.5)
    x = columns[rows == rows.min()].mean()
    by_angles = cover(mask, azimuth=40, elevation=35, softness=1.0, contact=CAMERA.row(Z))
    top = 1.6 - (rows.min() - CAMERA.horizon) * Z / CAMERA.focal
    # The highest point's shadow on the ground, in the world and then in the picture.
    run = top / np.tan(np.radians(35))
    across, ahead = (run * f(np.radians(40)) for f in (np.sin, np.cos))
    place = (x - CAMERA.middle) * Z / CAMERA.focal - across, Z - ahead
    tip = CAMERA.middle + CAMERA.focal * place[0] / place[1], CAMERA.row(place[1])
    by_tip = cover(mask, tip=tip, softness=1.0, contact=CAMERA.row(Z))
    assert np.abs(by_tip - by_angles)[mask < 0.5].max() < 0.15
    assert iou(by_tip, by_angles, mask) > 0.97


def test_every_size_has_the_same_shadow() -> None:
    small = Camera()
    large = Camera(640, 480, 2 * (small.horizon + 0.5) - 0.5, 640.0)
    options = {"azimuth": 40, "elevation": 45, "softness": 3.0}
    fine = cover(large.matte(Z, person), contact=large.row(Z), **options | {"horizon": large.horizon})
    reduced = fine.reshape(240, 2, 320, 2).mean((1, 3))
    shadow = cover(large.matte(Z, person).reshape(240, 2, 320, 2).mean((1, 3)), contact=small.row(Z), **options)
    inside = small.matte(Z, person) > 0
    assert np.abs(reduced - shadow)[~inside].mean() < 1 / 255


def block(x: Any, y: Any) -> np.ndarray:
    return (abs(x) < 0.3) & (y >= 0) & (y < 1)


def ball(x: Any, y: Any) -> np.ndarray:
    return np.hypot(x - 0.1, y - 0.5) < 0.5


#: A picture of 12 megapixels, and the same one reduced by area.
LARGE_CAMERA = Camera(3999, 3000, 999.5, 3999.0)
SMALL_CAMERA = Camera(1333, 1000, 332.833333333333, 1333.0)


def matte_of(camera: Camera, shape: Any) -> np.ndarray:
    """Returns the pixels of a large picture whose middles a card at Z covers, uint8."""
    x = (np.arange(camera.width) - camera.middle)[None] / camera.focal * Z
    y = (camera.horizon - np.arange(camera.height))[:, None] / camera.focal * Z + camera.above
    return np.where(shape(x, y), np.uint8(255), np.uint8(0))


def reduced(values: np.ndarray) -> np.ndarray:
    """Returns the means of 3 x 3 pixels."""
    parts: np.ndarray = values.reshape(1000, 3, 1333, 3, *values.shape[2:]).mean((1, 3), dtype=np.float64)
    return parts


@pytest.mark.full
@pytest.mark.parametrize(
    ("shape", "options"),
    [
        pytest.param(person, {"azimuth": 40, "elevation": 40}, marks=FULL_MARK),
        pytest.param(person, {"azimuth": 150, "elevation": 45}, marks=FULL_MARK),
        pytest.param(person, {"azimuth": 190, "elevation": 35, "softness": 0.5}, marks=FULL_MARK),
        pytest.param(person, {"tip": True, "softness": 1}, marks=FULL_MARK),
        pytest.param(person, {"azimuth": 150, "elevation": 35, "softness": 2, "wall": True}, marks=FULL_MARK),
        pytest.param(block, {"azimuth": 20, "elevation": 35, "softness": 1, "depth": 0.1}, marks=FULL_MARK),
        pytest.param(
            block, {"azimuth": -140, "elevation": 30, "softness": 1, "depth": 0.1, "wall": True}, marks=FULL_MARK
        ),
        (ball, {"azimuth": -60, "elevation": 50}),
    ],
)
def test_12_megapixels_and_one_have_the_same_shadow(shape: Any, options: dict[str, Any]) -> None:
    """In every pixel, those that the object covers in part, too; contact, light and darkness are found in both."""
    large = matte_of(LARGE_CAMERA, shape)
    small = reduced(large).astype(np.float32) / 255
    both = [dict(options), dict(options)]
    for camera, one in zip((LARGE_CAMERA, SMALL_CAMERA), both, strict=True):
        if "wall" in one:
            one["wall"] = camera.row(6.0)
        if "tip" in one:
            one["tip"] = 0.3 * camera.width - 0.5, 0.95 * camera.height - 0.5

    # The full light, as floats.
    plain = {"strength": 1.0, "tint": (1, 1, 1), "under": 0.0}
    fine = shadows.shadow(np.ones(large.shape, np.float32), large, **plain | both[0])
    small_result = shadows.shadow(np.ones(small.shape, np.float32), small, **plain | both[1])
    apart = 255 * np.abs(reduced(fine) - small_result)
    assert (small_result < 0.5).sum() > 1500 and ((small > 0) & (small < 1)).sum() > 300
    assert apart.max() <= 1

    # A ground with a shadow of its own, and a layer that is rounded.
    rows, columns = np.arange(1000)[:, None], np.arange(1333)
    ground = (140 + 60 * np.sin(columns / 190) * np.cos(rows / 130))[..., None] * [1, 0.95, 0.9]
    ground[800:850, :800] *= 0.5
    ground = np.rint(ground).astype(np.uint8)
    fine, fine_info = shadows.shadow(np.kron(ground, np.ones((3, 3, 1), np.uint8)), large, return_info=True, **both[0])
    small_result, made_info = shadows.shadow(ground, np.rint(255 * small).astype(np.uint8), return_info=True, **both[1])
    assert fine_info.strength == pytest.approx(made_info.strength, abs=1e-3)
    assert fine_info.tint == pytest.approx(made_info.tint, abs=1e-3)
    assert (fine_info.contact[0] + 0.5) / 3 - 0.5 == pytest.approx(made_info.contact[0], abs=0.01)
    # The layer is told in levels, beneath the object, too: what it leaves of the light, and how far it covers.
    left = [255 * (1 - info.layer[..., 3:] / 255 * (1 - info.layer[..., :3] / 255)) for info in (fine_info, made_info)]
    assert np.abs(reduced(left[0]) - left[1]).max() <= 1
    assert np.abs(np.rint(reduced(fine_info.layer[..., 3])) - made_info.layer[..., 3]).max() <= 1
    # Half a level of each result is rounding.
    assert np.abs(reduced(fine) - small_result).max() <= 1 + 0.5


def test_no_light_comes_between_at_12_megapixels() -> None:
    """Towards the camera, the shadow begins in the pixel after a foot's lowest one."""
    mask = matte_of(LARGE_CAMERA, person)
    last = int(np.flatnonzero(mask.any(1))[-1])
    feet = np.flatnonzero(mask[last])
    inner = feet[(np.roll(mask[last], 12)[feet] > 0) & (np.roll(mask[last], -12)[feet] > 0)]
    for azimuth in (-20, 0, 10):
        dark = 1 - shadows.shadow(
            np.ones(mask.shape, np.float32), mask, strength=1, tint=(1, 1, 1), under=0, azimuth=azimuth, softness=0.5
        )
        assert len(inner) > 100
        for row in (last + 1, last + 2):
            assert np.quantile(dark[row, inner], 0.2) > 0.9


def test_the_object_and_all_beyond_stay() -> None:
    image = np.random.default_rng(0).integers(60, 255, (*CAMERA.matte(Z, person).shape, 3), np.uint8)
    mask = np.rint(255 * CAMERA.matte(Z, person)).astype(np.uint8)
    before = image.copy()
    result, info = shadows.shadow(image, mask, azimuth=30, contact=CAMERA.row(Z), return_info=True)
    assert np.array_equal(image, before) and (result <= image).all() and (result < image).any()
    assert np.array_equal(result[mask == 255], image[mask == 255]) and np.array_equal(result[:80], image[:80])
    assert info.method == "cast" and info.layer.shape == (240, 320, 4)
    # The layer multiplies what lies below it, and the object belongs above it.
    alpha = info.layer[..., 3:] / 255
    by_alpha = image * (1 - alpha * (1 - info.layer[..., :3] / 255))
    assert np.abs(by_alpha - result)[mask == 0].max() <= 2


def test_no_light_comes_between_the_layers() -> None:
    """A black object is laid over its shadow, which knows nothing of the matte's soft border."""
    mask = CAMERA.matte(Z, person)
    white = np.ones((*mask.shape, 3), np.float32)
    for azimuth in (-10, 10, 150, 190):
        options = {"azimuth": azimuth, "elevation": 40, "softness": 0.5, "contact": CAMERA.row(Z)}
        result, info = shadows.shadow(white, mask, return_info=True, **BLACK_SHADOW | options)
        ground = 1 - info.layer[..., 3] / 255 * (1 - info.layer[..., 0] / 255)
        filled_ground = ground * (1 - mask)
        last = int(CAMERA.row(Z))
        feet = np.flatnonzero(mask[last - 1] > 0.9)
        # From the last row that the object covers to the first one that is the shadow's alone, if it comes to us.
        assert np.quantile(filled_ground[last - 2 : last + 2, feet], 0.8, axis=1).max() < 0.2
        # The layer does not end at the object: what is half the object's is in the whole shadow that its ground is in.
        partly = (mask > 0.2) & (mask < 0.8) & (ground < 0.05)
        assert partly.sum() > 5 and (1 - result[..., 0])[partly].max() <= 0.81


def test_darkness_is_that_of_the_ground() -> None:
    mask = CAMERA.matte(Z, person)
    ground = np.full((240, 320, 3), (200, 190, 180), np.uint8)
    ground[150:, 200:230] = (80, 84, 90)  # a shadow of something else, bluer than the light
    _, info = shadows.shadow(ground, mask, return_info=True)
    assert info.strength == pytest.approx(0.55, abs=0.06) and info.tint[2] > 1.1 > info.tint[0]
    _, plain = shadows.shadow(np.full((240, 320, 3), 128, np.uint8), mask, return_info=True)
    assert plain.strength == 0.5 and plain.tint == (1, 1, 1)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 20, 20)])
@pytest.mark.parametrize("shaded_part", [False, True])
def test_the_object_says_nothing_of_the_ground(shaded_part: bool, colour: tuple[int, int, int], dtype: str) -> None:
    mask = CAMERA.matte(Z, person)
    ground = np.full((240, 320, 3), (200, 190, 180), np.float64)
    if shaded_part:
        ground[150:, 200:230] = 80, 84, 90
    picture_with_object = ground * (1 - mask[..., None]) + np.array(colour) * mask[..., None]
    unit = 1 if dtype == "uint8" else 255
    pictures = [(np.rint(picture) / unit).astype(dtype) for picture in (ground, picture_with_object)]
    before = pictures[1].copy()
    without, within = (shadows.shadow(picture, mask, return_info=True)[1] for picture in pictures)
    assert np.array_equal(pictures[1], before)
    assert within.strength == pytest.approx(without.strength, abs=0.01) and (within.strength != 0.5) == shaded_part
    assert within.tint == pytest.approx(without.tint, abs=0.01) and (within.tint != (1, 1, 1)) == shaded_part


def test_the_contact_is_found() -> None:
    mask = np.zeros((100, 120), np.uint8)
    mask[20:80, 40:50], mask[20:70, 60:70], mask[20:60, 40:70] = 255, 255, 255
    _, info = shadows.shadow(np.full((100, 120), 200, np.uint8), mask, return_info=True)
    assert info.contact == (79.0, 0.0)  # one foot is much lower
    mask[70:78, 60:70] = 255
    _, info = shadows.shadow(np.full((100, 120), 200, np.uint8), mask, return_info=True)
    start, slope = info.contact
    assert slope == pytest.approx(-0.1, abs=0.03) and start + slope * 40 == pytest.approx(79, abs=0.5)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "float64"])
def test_every_dtype_is_kept(dtype: str) -> None:
    white = {"uint8": 255, "uint16": 65535}.get(dtype, 1)
    image = np.full((240, 320, 3), white * 0.5).astype(dtype)
    result = shadows.shadow(image, CAMERA.matte(Z, person), strength=0.5, tint=(1, 1, 1), under=0)
    assert result.dtype == image.dtype and float(result.min()) / white == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"elevation": 0}, ArgumentError, "elevation: 0, expected degrees above 0"),
        ({"elevation": 90}, ArgumentError, "elevation: 90"),
        ({"azimuth": 400}, ArgumentError, "azimuth: 400"),
        ({"softness": -1}, ArgumentError, "softness: -1"),
        ({"strength": 2}, ArgumentError, "strength: 2"),
        ({"tint": (1, 1)}, ArgumentError, "tint: .*three numbers"),
        ({"tint": (1, 0, 1)}, ArgumentError, "tint: .*above 0"),
        ({"tip": (3,)}, ArgumentError, "tip: .*expected"),
        ({"tip": (10, 20)}, ArgumentError, "tip: .*not on the ground"),
        ({"horizon": 220}, ArgumentError, "horizon: 220, and the object meets the ground at"),
        ({"wall": 230}, ArgumentError, "wall: meets the ground at 230"),
        ({"wall": ((3, 5), (3, 9))}, ArgumentError, "wall: .*vertical"),
        ({"contact": "low"}, ArgumentError, "contact: 'low'"),
        ({"depth": 0.7}, ArgumentError, "depth: 0.7"),
        ({"mask": None}, MaskError, "mask: None"),
        ({"mask": np.zeros((5, 5), np.uint8)}, ShapeError, "mask"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], error: type, says: str) -> None:
    options = {"mask": CAMERA.matte(Z, person), "horizon": CAMERA.horizon} | changes
    with pytest.raises(error, match=says):
        shadows.shadow(np.full((240, 320, 3), 200, np.uint8), options.pop("mask"), **options)


def test_where_there_is_none_it_says_so() -> None:
    image = np.full((240, 320, 3), 200, np.uint8)
    with pytest.warns(UnchangedWarning, match="zero everywhere"):
        assert np.array_equal(shadows.shadow(image, np.zeros((240, 320), np.uint8)), image)


def test_without_strength_the_contact_shadow_remains() -> None:
    image = np.full((240, 320, 3), 0.8, np.float32)
    mask = CAMERA.matte(Z, person)
    options = {"horizon": CAMERA.horizon, "azimuth": 20.0}
    contact, info = shadows.shadow(image, mask, **options, strength=0.0, return_info=True)
    assert info.method == "cast" and info.strength == 0 and contact.min() < 0.72
    cast_alone = shadows.shadow(image, mask, **options, under=0.0)
    together = np.maximum(contact * cast_alone / 0.8, 0.5 * 0.8)  # no darker than the full shadow
    assert np.allclose(together[mask == 0], shadows.shadow(image, mask, **options)[mask == 0], atol=2e-3)
    feet, head = np.flatnonzero((mask > 0.5).any(1))[[-1, 0]]
    assert np.flatnonzero((contact < 0.79).any((1, 2)))[0] > (feet + head) / 2
    with pytest.warns(UnchangedWarning, match="both strength and under are 0"):
        assert np.array_equal(shadows.shadow(image, mask, strength=0.0, under=0.0), image)
