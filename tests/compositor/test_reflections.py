"""`pyharmony.shadows.reflection`: reflections beside those of rendered scenes with a level mirror for a ground."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pyharmony import shadows
from pyharmony.errors import ArgumentError, MaskError, ShapeError, UnchangedWarning

from ..rendered import Camera, person

pytestmark = pytest.mark.chains

CAMERA = Camera()
Z = 5.0
#: The row on which somebody at `Z` stands is the one whose lower edge is the contact of the scene.
CONTACT = CAMERA.row(Z) - 0.5
MIRROR: dict[str, Any] = {"strength": 1.0, "fade": 0.0, "blur": 0.0, "contact": CONTACT}


def colours(x: Any, y: Any) -> np.ndarray:
    """Returns the colours of a card at its points."""
    return np.stack([0.5 + 0.3 * np.sin(2 * x), 0.3 + 0.2 * y, 0.6 - 0.2 * np.sin(x + y)], -1)


def scene(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Returns a picture of somebody on grey, and where they are."""
    x, y, _ = camera.sights() * Z
    alpha_of_person = camera.matte(Z, person)
    return (alpha_of_person[..., None] * colours(x, y + camera.above) + (1 - alpha_of_person[..., None]) * 0.5).astype(
        np.float32
    ), alpha_of_person


def mirrored(camera: Camera, finer: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Returns by rays that the ground mirrors what they meet of the card: its colours, and its share of each pixel."""
    across, down, _ = camera.sights(finer)
    hits = down < -1e-9
    # From the camera to the ground, and from there up to the card at Z.
    reach = np.where(hits, -camera.above / np.where(hits, down, -1), 0)
    rest = Z - reach
    x, y = across * (reach + rest), -down * rest
    hit = hits & (rest > 0) & person(x, y)
    parts = (camera.height, finer, camera.width, finer)
    share = hit.reshape(parts).mean((1, 3))
    painted = (colours(x, y) * hit[..., None]).reshape(*parts, 3).mean((1, 3))
    return painted / np.maximum(share, 1e-9)[..., None], share


def test_a_mirror_shows_what_rays_meet() -> None:
    picture, soft_mask = scene(CAMERA)
    expected, share = mirrored(CAMERA)
    _, info = shadows.reflection(picture, soft_mask, return_info=True, **MIRROR)
    alpha, below = info.layer[..., 3], soft_mask < 0.5
    a, b = alpha[below] > 0.5, share[below] > 0.5
    assert (a & b).sum() / (a | b).sum() > 0.97
    inside = (share > 0.99) & (alpha > 0.99)
    assert np.abs(info.layer[..., :3] - expected)[inside].max() < 0.03
    # Nothing is left between the feet and their image.
    last = round(CONTACT)
    feet = soft_mask[last - 1] > 0.9
    assert alpha[last + 2, feet].min() > 0.9


def test_the_layer_over_the_image_is_the_result() -> None:
    picture, soft_mask = scene(CAMERA)
    image = np.rint(255 * picture).astype(np.uint8)
    before = image.copy()
    mask = np.rint(255 * soft_mask).astype(np.uint8)
    result, info = shadows.reflection(image, mask, return_info=True)
    assert np.array_equal(image, before) and info.method == "mirrored" and info.layer.dtype == np.uint8
    share = info.layer[..., 3:] / 255
    assert np.abs(image * (1 - share) + info.layer[..., :3] * share - result).max() <= 1.5
    assert np.array_equal(result[mask == 255], image[mask == 255]) and np.array_equal(result[:100], image[:100])
    assert np.array_equal(result[share[..., 0] == 0], image[share[..., 0] == 0]) and (result != image).any()


def test_it_fades_and_is_as_strong_as_is_asked_for() -> None:
    mask = np.zeros((200, 100), np.uint8)
    mask[40:100, 20:80] = 255
    image = np.where(mask[..., None] > 0, np.float32(1), np.float32(0)).repeat(3, 2)
    column = shadows.reflection(image, mask, strength=0.8, fade=0.5, blur=0)[:, 50, 0]
    assert column[100] == pytest.approx(0.8, abs=0.01) and column[159] == pytest.approx(0.4, abs=0.01)
    assert np.allclose(np.diff(column[100:160]), -0.4 / 60, atol=1e-3) and not column[160:].any()


@pytest.mark.parametrize("blur", [0.03, 0.1])
def test_blur_grows_with_the_height(blur: float) -> None:
    """The edge of a tall thing is as wide as a Gaussian of so many pixels makes it, at every height."""
    mask = np.zeros((800, 300), np.uint8)
    mask[20:400, :150] = 255
    image = np.where(mask[..., None] > 0, np.float32(1), np.float32(0)).repeat(3, 2)
    result = shadows.reflection(image, mask, strength=1, fade=0, blur=blur)[..., 0]
    for height in (100, 200, 300):
        edge = result[400 + height]
        at = [float(np.interp(-level, -edge, np.arange(300.0))) for level in (0.84, 0.5, 0.16)]
        assert (at[2] - at[0]) / 2 == pytest.approx(blur * height, rel=0.15)
        assert at[1] == pytest.approx(149.5, abs=max(0.5, 0.05 * blur * height))
        # What the frame cuts goes on beyond it.
        assert edge[:60].min() > 0.97
    assert result[401, 149] > 0.95 and result[401, 150] < 0.05


def test_every_size_has_the_same_reflection() -> None:
    large = Camera(640, 480, 2 * (CAMERA.horizon + 0.5) - 0.5, 640.0)
    picture, soft_mask = scene(large)
    options = {"strength": 0.7, "blur": 0.05}
    fine = shadows.reflection(picture, soft_mask, contact=large.row(Z) - 0.5, **options)
    small, mask = (x.reshape(240, 2, 320, 2, -1).mean((1, 3)) for x in (picture, soft_mask))
    result = shadows.reflection(small, mask[..., 0], contact=CONTACT, **options)
    reduced = fine.reshape(240, 2, 320, 2, 3).mean((1, 3))
    outside = soft_mask.reshape(240, 2, 320, 2).max((1, 3)) == 0
    changed = outside & (np.abs(result - small).max(2) > 0)
    assert changed.sum() > 1500 and np.abs(reduced - result)[changed].mean() < 1 / 255


def test_a_sloping_contact_mirrors_column_by_column() -> None:
    mask = np.zeros((120, 80), np.uint8)
    image = np.random.default_rng(0).random((120, 80, 3)).astype(np.float32)
    for x in range(20, 60):
        mask[20 : 61 + (x - 20) // 2, x] = 255
    result = shadows.reflection(image, mask, contact=((20, 60), (60, 80)), strength=1, fade=0, blur=0)
    for x in range(20, 60, 2):
        foot = 60 + (x - 20) // 2
        assert np.allclose(result[foot + 1 : foot + 9, x], image[foot : foot - 8 : -1, x], atol=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "float64"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_kind_of_array_is_kept(dtype: str, channels: int) -> None:
    white = {"uint8": 255, "uint16": 65535}.get(dtype, 1)
    mask = np.zeros((60, 40), np.uint8)
    mask[10:30, 10:30] = 255
    image = np.where(mask[..., None] > 0, white, 0.5 * white).repeat(channels, 2).astype(dtype)
    if channels == 4:
        image[..., 3] = white
    result, info = shadows.reflection(image, mask, strength=0.5, fade=0, blur=0, return_info=True)
    assert result.dtype == image.dtype and result.shape == image.shape and info.layer.dtype == image.dtype
    assert float(result[30:50, 10:30, 0].min()) / white == pytest.approx(0.75, abs=0.01)
    assert np.array_equal(result[50:], image[50:]) and (channels < 4 or (result[..., 3] == white).all())


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"strength": 2}, ArgumentError, "strength: 2"),
        ({"fade": -1}, ArgumentError, "fade: -1"),
        ({"blur": 1.5}, ArgumentError, "blur: 1.5"),
        ({"contact": "low"}, ArgumentError, "contact: 'low'"),
        ({"mask": None}, MaskError, "mask: None"),
        ({"mask": np.zeros((5, 5), np.uint8)}, ShapeError, "mask"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], error: type, says: str) -> None:
    options = {"mask": CAMERA.matte(Z, person)} | changes
    with pytest.raises(error, match=says):
        shadows.reflection(np.full((240, 320, 3), 200, np.uint8), options.pop("mask"), **options)


def test_where_there_is_none_it_says_so() -> None:
    image = np.full((60, 40, 3), 200, np.uint8)
    mask = np.zeros((60, 40), np.uint8)
    with pytest.warns(UnchangedWarning, match="zero everywhere"):
        assert np.array_equal(shadows.reflection(image, mask), image)
    mask[40:] = 255
    with pytest.warns(UnchangedWarning, match="reflection is outside of the image"):
        assert np.array_equal(shadows.reflection(image, mask), image)
    with pytest.warns(UnchangedWarning, match="object is below its contact"):
        shadows.reflection(image, mask, contact=20)
    with pytest.warns(UnchangedWarning, match="strength is 0"):
        shadows.reflection(image, mask, strength=0)
