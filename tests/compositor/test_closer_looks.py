"""The closer look of `harmonize`: the object with a little around it, whose answer counts as much as the image's."""

from __future__ import annotations

import numpy as np
import pytest

import pyharmony as ph
from pyharmony._images.region import Region
from pyharmony.errors import ConfidenceWarning
from pyharmony.harmonization import _colorgrid, _judged
from pyharmony.harmonization._guards import Care
from pyharmony.harmonization._maps import weighted
from pyharmony.harmonization._scene import Scene, close_to, scene_of

pytestmark = pytest.mark.networks


@pytest.fixture(scope="module")
def network() -> _colorgrid.Network:
    return _colorgrid.network("colorgrid")


def scenery(shape: tuple[int, int], box: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Returns an image [H, W, 3] with colours that vary by place, and a mask of a box (y0, y1, x0, x1)."""
    random = np.random.default_rng(3)
    y, x = np.mgrid[: shape[0], : shape[1]] / max(shape)
    image = np.stack([60 + 120 * y, 200 - 90 * x, 90 + 60 * x * y], 2) + random.normal(0, 9, (*shape, 3))
    mask = np.zeros(shape, np.uint8)
    mask[box[0] : box[1], box[2] : box[3]] = 255
    image[mask > 0] = image[mask > 0] * (0.7, 0.8, 1.1)
    return image.clip(0, 255).astype(np.uint8), mask


def seen_at(image: np.ndarray, mask: np.ndarray) -> Scene:
    return _judged.hardened(scene_of(image, mask, None, (256, 256)))


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((128, 256, 256, 512), Region(96, 288, 192, 576)),  # 128 x 256 pixels, a quarter of each more at each side
        ((0, 64, 960, 1024), Region(0, 80, 944, 1024)),  # cut off by the frame
        ((0, 512, 0, 1024), None),
        ((90, 420, 180, 850), None),  # its surroundings are nearly the whole image
    ],
)
def test_the_box_of_an_object_with_a_quarter_at_each_side(box: tuple[int, int, int, int], expected: Region) -> None:
    image, mask = scenery((512, 1024), box)
    assert close_to(seen_at(image, mask), mask.shape) == expected


def test_the_closer_look_is_the_scene_of_that_part() -> None:
    image, mask = scenery((512, 1024), (128, 256, 256, 512))
    scene = seen_at(image, mask)
    holes = np.zeros(mask.shape, bool)
    holes[:, 540:560] = True
    part = np.s_[96:288, 192:576]
    for h in (None, holes):
        close = _judged.with_close(scene, image, mask, h).close
        assert close is not None and close.close is None
        expected = scene_of(image[part], mask[part], None if h is None else h[part], (256, 256))
        assert (close.image == expected.image).all() and (close.mask == expected.mask).all()
    assert _judged.with_close(seen_at(image, mask * 0), image, mask * 0, None).close is None
    # Nothing but the object is near it: a strip across the image at its edge has all of its background on one side.
    image, mask = scenery((512, 512), (0, 500, 0, 512))
    assert _judged.with_close(seen_at(image, mask), image, mask, None).close is None
    hard = _judged.hardened(Scene(scene.image, scene.mask * 0.7, Scene(scene.image, scene.mask * 0.6)))
    assert hard.close is not None and (hard.close.mask == scene.mask).all()


def test_both_looks_count_alike(network: _colorgrid.Network) -> None:
    image, mask = scenery((512, 1024), (128, 256, 256, 512))
    whole = seen_at(image, mask)
    scene = _judged.hardened(_judged.with_close(whole, image, mask, None))
    assert scene.close is not None
    maps, weights = network.answers(scene, Care.UNGUARDED)
    parts = [network.answers(look, Care.UNGUARDED) for look in (whole, scene.close)]
    assert weights is not None and len(maps) == len(weights) == 20
    assert np.allclose(weights, np.concatenate([counts for _, counts in parts]) / 2)
    for color_map, expected in zip(maps, [*parts[0][0], *parts[1][0]], strict=True):
        assert np.allclose(color_map.affine, expected.affine) and np.allclose(color_map.curves, expected.curves)
    _, info = ph.harmonize(image, mask, guard=False, return_info=True)
    mean = weighted(maps, weights)
    assert np.allclose(info.map.affine, mean.affine) and np.allclose(info.map.curves, mean.curves)
    alone = weighted(*parts[0])
    assert not np.allclose(info.map.affine, alone.affine, atol=1e-3)
    # What is everywhere around the object is looked at once.
    image, mask = scenery((300, 300), (60, 240, 50, 250))
    _, info = ph.harmonize(image, mask, guard=False, return_info=True)
    assert np.allclose(info.map.affine, weighted(*network.answers(seen_at(image, mask), Care.UNGUARDED)).affine)


def test_two_looks_make_more_of_what_they_agree_on(network: _colorgrid.Network) -> None:
    image, mask = scenery((512, 1024), (128, 256, 256, 512))
    scene = _judged.hardened(_judged.with_close(seen_at(image, mask), image, mask, None))
    maps, weights = network.answers(scene, Care.AGREED)
    answer = network.answer_of(scene, Care.AGREED)
    full_map, boost = weighted(maps, weights), network.calibration.boost * _judged.BOOST_OF_TWO
    assert answer.full_map is not None and np.allclose(answer.full_map.affine, full_map.scaled(boost).affine)
    assert np.allclose(network.answer_of(scene, Care.UNGUARDED).map.affine, full_map.affine)


def test_the_looks_in_torch_are_those_in_numpy(network: _colorgrid.Network, one_torch_thread: None) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    from pyharmony.harmonization import networks
    from pyharmony.networks import models

    image, mask = scenery((256, 384), (80, 170, 100, 180))
    model = models.load("colorgrid").eval()
    scene = _judged.with_close(seen_at(image, mask), image, mask, None)
    for care in Care:
        ours, theirs = network.answer_of(scene, care), networks.answer_of(model, scene, care)
        assert np.allclose(ours.map.affine, theirs.map.affine, atol=1e-4)
        assert ours.confidence == pytest.approx(theirs.confidence, abs=1e-4)
    with pytest.warns(ConfidenceWarning, match="the guard reduced the change"):
        ours, theirs = (ph.harmonize(image, mask, method=method).astype(int) for method in ("auto", model))
    assert (np.abs(ours - theirs) <= 1).all()


def test_large_images_are_looked_at_closely_in_their_own_pixels() -> None:
    """A fine pattern on a small object is lost in the whole image at 256 pixels, and is there in the closer look."""
    image, mask = scenery((1024, 1024), (400, 464, 400, 464))
    image[400:464:2, 400:464] = 0
    close = _judged.with_close(seen_at(image, mask), image, mask, None).close
    assert close is not None
    rows = np.diff(close.image[..., 1], axis=0)[100:150, 100:150]
    assert np.abs(rows).max() > 0.1
    assert np.abs(np.diff(seen_at(image, mask).image[..., 1], axis=0))[103:113, 103:113].max() < 0.1
