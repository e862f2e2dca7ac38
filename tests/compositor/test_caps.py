"""Caps of guarded calls: no colour in a photograph without any, calm skin, and no more than light explains."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pyharmony as ph
from pyharmony import color
from pyharmony.errors import ConfidenceWarning
from pyharmony.harmonization import ColorMap, _caps, _guards, harmonize_frames
from pyharmony.harmonization._maps import IDENTITY, followed_by, table_of
from pyharmony.harmonization._scene import Scene

from ..shared import GUARDED

LUMA = np.array([0.299, 0.587, 0.114])
FACE = (160, 132, 120)

pytestmark = pytest.mark.networks


def chroma(colors: np.ndarray) -> float:
    """Returns the mean chroma in CIELAB of colours in [0, 255]."""
    lab = color.rgb_to_lab(colors.reshape(-1, 3) / 255)
    return float(np.hypot(*lab[:, 1:].mean(0)))


def pasted(background: np.ndarray, colour: Any = (60, 90, 190)) -> tuple[np.ndarray, np.ndarray]:
    """Returns a background [96, 128] with an object of one colour and some grain, and its mask."""
    image = np.repeat(background[..., None], 3, 2).astype(np.uint8)
    mask = np.zeros(background.shape, np.uint8)
    mask[24:80, 40:90] = 255
    grain = np.random.default_rng(1).integers(-9, 10, image.shape)
    return np.where(mask[..., None] > 0, np.array(colour) + grain, image).astype(np.uint8), mask


@pytest.fixture
def old() -> np.ndarray:
    """Returns a photograph without colour."""
    return np.random.default_rng(0).integers(40, 220, (96, 128))


@GUARDED
@pytest.mark.parametrize("method", ["auto", "reinhard", "lalonde_efros"])
def test_an_object_in_a_photograph_without_colour_has_none(method: Any, old: np.ndarray) -> None:
    image, mask = pasted(old)
    image[23, 40:90] = (60, 90, 190)  # a rim of the object beside a tight mask
    result, info = ph.harmonize(image, mask, method=method, return_info=True)
    assert chroma(result[mask > 0]) < chroma(image[mask > 0]) / 5
    assert (result[mask == 0] == image[mask == 0]).all() and not info.map.is_identity and info.change > 5
    half = ph.harmonize(image, mask, method=method, strength=0.5)
    assert chroma(result[mask > 0]) < chroma(half[mask > 0]) < chroma(image[mask > 0])
    (frame,) = harmonize_frames([image], [mask], method=method)
    assert (frame == result).all()
    with pytest.warns(ConfidenceWarning, match="the estimate has low confidence: the change is larger than light"):
        as_found = ph.harmonize(image, mask, method="mkl", strength=0.01, guard=False)
    assert chroma(as_found[mask > 0]) > 0.8 * chroma(image[mask > 0])


@GUARDED
def test_plain_and_coloured_backgrounds_take_no_colour_away(old: np.ndarray) -> None:
    slope = np.broadcast_to(np.linspace(120, 240, 128), (96, 128))
    for background in (np.full((96, 128), 255), np.zeros((96, 128)), slope):
        image, mask = pasted(background)
        result = ph.harmonize(image, mask)
        assert chroma(result[mask > 0]) > chroma(image[mask > 0]) / 2
    image, mask = pasted(old)
    scene = Scene(image.astype(np.float32) / 255, mask.astype(np.float32) / 255)
    assert not _caps.without_colour(IDENTITY, scene).is_identity
    for red in (6, 60):  # sepia, and a small thing in colour
        tinted = image.copy()
        part = (slice(None), slice(None, 30)) if red == 6 else (slice(5), slice(20))
        tinted[part] = np.minimum(tinted[part].astype(int) + (red, 0, 0), 255)
        assert _caps.without_colour(IDENTITY, Scene(tinted.astype(np.float32) / 255, scene.mask)).is_identity, red
    grey = np.repeat(image[..., 1:2], 3, 2).astype(np.float32) / 255
    brighter = ColorMap(affine=np.eye(3, 4) * 1.1)
    assert _caps.without_colour(brighter, Scene(grey, scene.mask)) is brighter
    assert _caps.without_colour(brighter, Scene(scene.image, np.ones_like(scene.mask))) is brighter


@pytest.mark.parametrize("table", [False, True])
def test_skin_gets_no_neon(table: bool, old: np.ndarray) -> None:
    image, mask = pasted(old, FACE)
    scene = Scene(image.astype(np.float32) / 255, mask.astype(np.float32) / 255)
    before = scene.image[mask > 0] * 255

    def saturated(times: float, lift: float = 0.0) -> ColorMap:
        matrix = times * np.eye(3) + (1 - times) * np.tile(LUMA, (3, 1))
        color_map = ColorMap(affine=np.concatenate([matrix, np.full((3, 1), lift)], 1))
        return table_of(lambda x: x @ matrix.T + lift) if table else color_map

    def after(color_map: ColorMap) -> np.ndarray:
        return color_map.apply(scene.image)[mask > 0].clip(0, 1) * 255

    own = chroma(before)
    assert own < 25
    for times in (1.0, 1.3):
        color_map = saturated(times)
        assert _caps.with_calm_skin(color_map, scene) is color_map
    neon = saturated(3.0, 0.05)
    calm = _caps.with_calm_skin(neon, scene)
    assert chroma(after(neon)) > 2 * own
    assert chroma(after(calm)) == pytest.approx(1.5 * own, rel=0.01)
    assert np.abs(after(calm) @ LUMA - after(neon) @ LUMA).mean() < 2, "the light stays"
    # What was more than calm may stay, and gets no more.
    orange, _ = pasted(old, (220, 148, 104))
    vivid = Scene(orange.astype(np.float32) / 255, scene.mask)
    own = chroma(vivid.image[mask > 0] * 255)
    assert own > 38
    vivid_map = _caps.with_calm_skin(saturated(1.2), vivid)
    assert chroma(vivid_map.apply(vivid.image)[mask > 0].clip(0, 1) * 255) == pytest.approx(own, rel=0.01)
    blue, _ = pasted(old)
    assert _caps.with_calm_skin(neon, Scene(blue.astype(np.float32) / 255, scene.mask)) is neon


def test_as_much_is_made_as_light_explains(old: np.ndarray) -> None:
    image, mask = pasted(old, (90, 90, 90))
    scene = Scene(image.astype(np.float32) / 255, mask.astype(np.float32) / 255)

    def changed(by: float) -> np.ndarray:
        return scene.image + np.float32(by)

    part = _guards.explained_part
    assert part(1.0, scene, changed(0.1)) == 1 and part(1.3, scene, changed(0.1)) == 1.3
    for by, most in ((0.4, 0.2), (-0.3, (90 / 255 + 0.02) / 2)):
        share = part(1.0, scene, changed(by))
        assert share * abs(by) == pytest.approx(most, rel=0.02)
        assert _guards.change_confidence(scene, changed(share * by))[0] == 1
    assert part(0.2, scene, changed(0.4)) == 0.2


def test_a_network_that_asks_for_more_than_light_explains_gets_less(
    old: np.ndarray, one_torch_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    from pyharmony.networks import models

    model = models.create("dovenet_lite", width=4).eval()
    monkeypatch.setattr(type(model), "forward", lambda self, composite, mask: composite + 0.3)
    image, mask = pasted(old, (90, 90, 90))
    image[mask == 0, 0] //= 2  # a photograph in colour
    with pytest.warns(ConfidenceWarning, match="the guard reduced the change"):
        result, info = ph.harmonize(image, mask, method=model, return_info=True)
    assert info.reason == "the change is larger than light explains" and 0.25 < info.confidence < 1
    assert info.change == pytest.approx(0.2 * 255, abs=1) and info.asked == pytest.approx(0.3 * 255, abs=1)
    assert np.abs(result[mask > 0].astype(float) - image[mask > 0]).mean() == pytest.approx(0.2 * 255, abs=1)
    whole = ph.harmonize(image, mask, method=model, guard=False)
    assert np.abs(whole[mask > 0].astype(float) - image[mask > 0]).mean() == pytest.approx(0.3 * 255, abs=1)


def test_a_map_is_followed_by_a_matrix() -> None:
    random = np.random.default_rng(0)
    image = random.uniform(0.3, 0.7, (6, 8, 3)).astype(np.float32)  # so that nothing is clipped
    matrix = 0.4 * np.eye(3) + 0.6 * np.tile(LUMA, (3, 1))
    parts = ColorMap(
        np.eye(3, 4) + random.normal(0, 0.05, (3, 4)),
        random.normal(0, 0.02, (3, 3, 5)),
        random.normal(0, 0.02, (2, 2, 3, 3, 4)),
    )
    for color_map in (IDENTITY, parts, ColorMap(curves=parts.curves), table_of(lambda x: x**2)):
        expected = color_map.apply(image).astype(np.float64) @ matrix.T
        assert np.allclose(followed_by(color_map, matrix).apply(image), expected, atol=2e-6)
