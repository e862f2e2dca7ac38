"""`pyharmony.matching`: grain and blur that are known."""

from __future__ import annotations

import functools
import io
import itertools
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pyharmony import matching
from pyharmony._images.planes import gaussian
from pyharmony.errors import ArgumentError, MaskError, UnchangedWarning
from pyharmony.learn import data
from pyharmony.matching import _grain, _sharpness

pytestmark = pytest.mark.chains

HEIGHT, WIDTH = 360, 480


def disc(radius: int = 90) -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return ((x - 240) ** 2 + (y - 180) ** 2 < radius**2).astype(np.uint8) * 255


def clean(seed: int = 0) -> np.ndarray:
    """Returns a picture of slow gradients and some edges, [H, W, 3] in [0, 1], without noise."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] / np.float32(WIDTH)
    image = np.stack([0.35 + 0.3 * x, 0.4 + 0.2 * y, 0.5 - 0.2 * x * y], -1).astype(np.float32)
    random = np.random.default_rng(seed)
    for _ in range(12):
        left, top = int(random.integers(WIDTH)), int(random.integers(HEIGHT))
        image[top : top + 40, left : left + 60] += random.uniform(-0.15, 0.15)
    return image


def noise(deviation: float, coarse: float, seed: int) -> np.ndarray:
    """Returns noise of which a part is blurred, as that of a camera that reduces noise; partly alike in all."""
    random = np.random.default_rng(seed)
    grey = random.standard_normal((1, HEIGHT, WIDTH, 1), np.float32)
    color = random.standard_normal((1, HEIGHT, WIDTH, 3), np.float32)
    fine = deviation * (0.8 * grey + 0.4 * color)
    soft = gaussian(random.standard_normal((1, HEIGHT, WIDTH, 3), np.float32), 1.5, (1, 2))
    return (fine + coarse * soft)[0]


def levels(image: np.ndarray, mask: np.ndarray, inside: bool) -> np.ndarray:
    """Returns the deviations of the bands under the mask, or far from it, as the definition of the bands has them."""
    axes = image[None] @ _grain._AXES.T.astype(np.float32)
    smooth = [axes, *(gaussian(axes, deviation, (1, 2)) for deviation in (1.0, 2.0, 4.0))]
    where = gaussian((mask[None, ..., None] > 0).astype(np.float32), 4.0, (1, 2))[0, ..., 0]
    where = where > 0.999 if inside else where < 0.001
    return np.array([[np.std((a - b)[0, where, k]) for a, b in itertools.pairwise(smooth)] for k in range(3)])


@pytest.mark.parametrize(("deviation", "coarse"), [(0.02, 0.0), (0.034, 0.0), (0.03, 0.05), (0.01, 0.1)])
def test_an_object_gets_the_grain_around_it_band_by_band(deviation: float, coarse: float) -> None:
    mask, picture = disc(), clean()
    grain = noise(deviation, coarse, 1)
    image = picture + grain
    image[mask > 0] = picture[mask > 0]
    result, info = matching.match_grain(image, mask, return_info=True)
    assert info.method == "grain" and np.array_equal(result[mask == 0], image[mask == 0])
    ratios = levels(result - np.where(mask[..., None] > 0, picture, result), mask, True)
    expected = levels(grain, mask, False)
    assert np.abs(ratios / expected - 1).max() < 0.1
    assert np.abs(np.array(info.surroundings) / 255 / expected - 1).max() < 0.1


def test_what_is_there_counts_and_more_is_left() -> None:
    mask, picture = disc(), clean()
    image = picture + noise(0.03, 0.0, 1)
    image[mask > 0] = (picture + noise(0.02, 0.0, 2))[mask > 0]
    result = matching.match_grain(image, mask)
    grain_levels = levels(result - np.where(mask[..., None] > 0, picture, result), mask, True)
    assert np.abs(grain_levels / levels(noise(0.03, 0.0, 1), mask, False) - 1).max() < 0.1
    image[mask > 0] = (picture + noise(0.05, 0.0, 2))[mask > 0]
    result, info = matching.match_grain(image, mask, return_info=True)
    assert info.method == "copy" and np.array_equal(result, image)


def test_the_same_seed_gives_the_same_grain() -> None:
    image = np.rint(255 * (clean() + noise(0.02, 0.0, 1)).clip(0, 1)).astype(np.uint8)
    mask = disc(60)
    image[mask > 0] = 120
    first, again, other = (matching.match_grain(image, mask, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(first, again) and not np.array_equal(first, other) and first.dtype == np.uint8
    half = matching.match_grain(image, mask, seed=3, strength=0.5)
    assert half[mask > 0].std() == pytest.approx(first[mask > 0].std() / 2, rel=0.1)
    grey = matching.match_grain(image[..., 0], mask)
    assert grey.shape == image.shape[:2] and grey[mask > 0].std() > 1


@functools.cache
def polygons(blur: float, seed: int) -> np.ndarray:
    """Returns rectangles and discs with edges of a known blur, [H, W] in [0, 1]; a pixel is the mean over its area."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[: 4 * HEIGHT, : 4 * WIDTH].astype(np.float32) / 4
    image = np.full(y.shape, 0.5, np.float32)
    for _ in range(40):
        cx, cy, r = random.uniform(0, WIDTH), random.uniform(0, HEIGHT), random.uniform(15, 50)
        turn = random.uniform(0, np.pi)
        top, bottom, left, right = (
            max(0, round(4 * at)) for at in (cy - 1.3 * r, cy + 1.3 * r, cx - 1.3 * r, cx + 1.3 * r)
        )
        part = np.s_[top:bottom, left:right]
        across, down = x[part] - cx, y[part] - cy
        u, v = across * np.cos(turn) + down * np.sin(turn), down * np.cos(turn) - across * np.sin(turn)
        shape = (np.abs(u) < r) & (np.abs(v) < 0.7 * r) if random.integers(2) else u * u + v * v < r * r
        image[part][shape] = random.uniform(0.1, 0.9)
    if blur:
        image = gaussian(image[None], 4 * blur, (1, 2))[0]
    return image.reshape(HEIGHT, 4, WIDTH, 4).mean((1, 3))


@pytest.mark.parametrize("blur", [0.5, 1.0, 1.5, 2.5])
def test_the_blur_of_edges_is_told(blur: float) -> None:
    image = polygons(blur, 0)
    tiles = np.stack([image[y : y + 64, x : x + 64, None] for y in range(0, 290, 64) for x in range(0, 410, 64)])
    assert _sharpness.blur_of(tiles) == pytest.approx(blur, abs=0.15)
    noisy = tiles + np.random.default_rng(0).normal(0, 0.01, tiles.shape).astype(np.float32)
    assert _sharpness.blur_of(noisy) == pytest.approx(blur, abs=0.35)


@pytest.mark.parametrize("blur", [0.8, 1.0, 1.5, 2.0, 2.5])
def test_a_sharp_object_becomes_as_soft_as_the_picture(blur: float) -> None:
    mask, soft, sharp = disc(120), polygons(blur, 0), polygons(0.4, 1)
    image = np.repeat(np.where(mask > 0, sharp, soft)[..., None], 3, 2).astype(np.float32)
    result, info = matching.match_sharpness(image, mask, return_info=True)
    assert info.method == "blur" and info.surroundings == pytest.approx(blur, abs=0.15)
    assert info.added == pytest.approx((blur**2 - 0.4**2) ** 0.5, abs=0.15)
    assert np.array_equal(result[mask == 0], image[mask == 0])
    _, after = matching.match_sharpness(result, mask, return_info=True)
    assert after.before == pytest.approx(blur, abs=0.15)
    # Also by what was drawn and added, without the measure.
    assert (0.4**2 + info.added**2) ** 0.5 == pytest.approx(blur, abs=0.15)


def test_nothing_from_outside_runs_into_the_object() -> None:
    mask = disc(120)
    image = np.repeat(np.where(mask > 0, polygons(0.4, 1) * 0.5, polygons(2.0, 0))[..., None], 3, 2).astype(np.float32)
    brighter = image.copy()
    brighter[mask == 0] += 0.4
    both = [matching.match_sharpness(x, mask) for x in (image, brighter)]
    assert np.abs(both[0] - both[1])[mask > 0].max() < 1e-4


def test_an_object_that_is_less_sharp_stays() -> None:
    mask = disc(120)
    image = np.repeat(np.where(mask > 0, polygons(2.0, 1), polygons(0.5, 0))[..., None], 3, 2).astype(np.float32)
    result, info = matching.match_sharpness(image, mask, return_info=True)
    assert info.method == "copy" and info.before > info.surroundings and np.array_equal(result, image)


@pytest.mark.parametrize("function", [matching.match_grain, matching.match_sharpness])
def test_what_cannot_be_is_refused_or_said(function: Any) -> None:
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    with pytest.raises(ArgumentError, match=r"strength: 1\.5"):
        function(image, disc(), strength=1.5)
    with pytest.raises(MaskError, match="mask: None"):
        function(image, None)
    with pytest.warns(UnchangedWarning, match="too few edges|too small"):
        same = function(
            image if function is matching.match_sharpness else image[:40, :40],
            np.full((HEIGHT, WIDTH) if function is matching.match_sharpness else (40, 40), 255, np.uint8),
        )
    assert (same == 90).all()


def test_texture_is_no_grain() -> None:
    random = np.random.default_rng(5)
    image = np.full((HEIGHT, WIDTH, 3), 120.0)
    for _ in range(6000):  # leaves, some of them in the shade
        x, y, r = random.integers(0, WIDTH), random.integers(0, HEIGHT), random.integers(3, 9)
        light = 0.05 + 0.95 * abs(np.sin(x / 90) * np.sin(y / 70))
        image[y : y + r, x : x + r] = 120 + light * random.uniform(-80, 80)
    mask = disc()
    image[mask > 0] = 100
    _, info = matching.match_grain(np.rint(image).astype(np.uint8), mask, return_info=True)
    assert max(info.surroundings[0]) < 2


def leaves(smallest: float, largest: float) -> np.ndarray:
    """Returns a picture of discs that hide one another, small ones more often, in uint8."""
    random = np.random.default_rng(0)
    image = Image.new("RGB", (2 * WIDTH, 2 * HEIGHT))
    draw = ImageDraw.Draw(image)
    count = round(4 * HEIGHT * WIDTH / (np.pi * smallest * largest))
    for r in 2 * smallest / np.sqrt(1 - random.random(count) * (1 - (smallest / largest) ** 2)):
        x, y, light = random.uniform(0, 2 * WIDTH), random.uniform(0, 2 * HEIGHT), random.uniform(0.1, 1)
        draw.ellipse((x - r, y - r, x + r, y + r), tuple(round(light * most) for most in (150, 190, 80)))
    return np.array(image.resize((WIDTH, HEIGHT), Image.Resampling.BOX))


def blades() -> np.ndarray:
    """Returns a picture of short lines, most of them upright, as grass has them, in uint8."""
    random = np.random.default_rng(0)
    image = Image.new("RGB", (2 * WIDTH, 2 * HEIGHT))
    draw = ImageDraw.Draw(image)
    for _ in range(HEIGHT * WIDTH // 4):
        x, y, lean = random.uniform(0, 2 * WIDTH), random.uniform(0, 2 * HEIGHT), random.normal(0, 6)
        light = random.random()
        colour = tuple(round(20 + light * most) for most in (130, 180, 60))
        draw.line((x, y, x + lean, y - random.uniform(8, 24)), colour, 2)
    return np.array(image.resize((WIDTH, HEIGHT), Image.Resampling.BOX))


@pytest.mark.parametrize(
    "picture",
    [partial(leaves, 1, 10), partial(leaves, 1.5, 8), partial(leaves, 2, 16), partial(leaves, 3, 12), blades],
    ids=["1-10", "1.5-8", "2-16", "3-12", "blades"],
)
def test_leaves_and_grass_are_no_grain(picture: Any) -> None:
    mask, image = disc(), picture()
    image[mask > 0] = 100
    with pytest.warns(UnchangedWarning, match="no grain was added: .* texture"):
        result, info = matching.match_grain(image, mask, return_info=True)
    assert np.array_equal(result, image) and info.method == "copy" and not np.any(info.surroundings)


def test_stronger_noise_than_photographs_have_is_limited() -> None:
    mask, picture = disc(), clean()
    image = picture + np.random.default_rng(1).normal(0, 11 / 255, picture.shape).astype(np.float32)
    image[mask > 0] = picture[mask > 0]
    result, info = matching.match_grain(image, mask, return_info=True)
    assert "stronger than usual in photos" in info.reason and info.method == "grain"
    assert 255 * (result - image)[mask > 0].std() == pytest.approx(8, rel=0.05)


def test_noise_in_a_jpeg_is_still_matched() -> None:
    mask, picture = disc(), clean()
    noisy = np.random.default_rng(2).normal(0, 6, (*picture.shape[:2], 1)) + 255 * picture
    file = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).round().astype(np.uint8)).save(file, "JPEG", quality=92)
    image = np.array(Image.open(file))
    right = (image - 255 * picture)[mask == 0].std()
    image[mask > 0] = 120
    result = matching.match_grain(image, mask)
    assert result[mask > 0].std() == pytest.approx(right, rel=0.15)


@pytest.mark.full
def test_photographs_have_little_grain(data_dir: Path) -> None:
    splits = [data.Manifest(data_dir / "photos_open", split, ("image",)) for split in ("test", "val")]
    strengths = {}
    for photographs in splits:
        for i, name in enumerate(photographs.names):
            image = photographs[i]["image"].copy()
            height, width = image.shape[:2]
            y, x = np.mgrid[:height, :width]
            mask = np.hypot(x - width / 2, y - height / 2) < min(height, width) / 5
            image[mask] = 128
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UnchangedWarning)
                strengths[name] = matching.match_grain(image, mask)[mask].std()
    # That one is a print on rough paper: it has grain.
    assert strengths.pop("budgie_ocean_waves") < 8
    assert len(strengths) > 121 and max(strengths.values()) < 6
    # Weak noise, which JPEG has nearly always, is still matched.
    assert np.mean(np.array(list(strengths.values())) > 0.3) > 0.5


def test_where_little_is_around_the_whole_image_tells_of_noise() -> None:
    random = np.random.default_rng(2)
    image = 128 + random.normal(0, 4, (HEIGHT, WIDTH))
    # All that is near the object is foliage.
    image[110:, 230:] += np.kron(random.normal(0, 30, (125, 125)), np.ones((2, 2)))
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[280:, 400:] = 255
    image[mask > 0] = 128
    _, info = matching.match_grain(image.round().clip(0, 255).astype(np.uint8), mask, return_info=True)
    right = np.sqrt(np.square(_grain.bands(random.normal(0, 4, (1, 256, 256, 1)).astype(np.float32))[0]).mean())
    assert info.surroundings[0][0] == pytest.approx(right, rel=0.1)


def test_the_smoothest_blocks_of_white_noise() -> None:
    plane = np.random.default_rng(1).standard_normal((300, 64, 64, 1)).astype(np.float32)
    for number, band in enumerate(_grain.bands(plane)):
        energies = np.sort(_grain._of_blocks(np.square(band), _grain._BLOCKS[number])[:, 0])
        for share, least in zip(_grain._SHARES, _grain._QUANTILE_BIASES[number], strict=True):
            share_of_energy = energies[: max(1, round(share * len(energies)))].mean() / energies.mean()
            assert abs(share_of_energy - least) < 0.04


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("size", [(301, 213), (150, 70)])
def test_parts_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch, dtype: type, size: tuple[int, int]) -> None:
    """A large object is worked on in bands of rows, and looks as if all of it had been worked on at once."""
    from pyharmony.matching import _tiles

    rng = np.random.default_rng(3)
    levels = np.clip(rng.normal(128, 9, (520, 400, 3)), 0, 255)
    y, x = np.mgrid[:520, :400]
    levels[..., 0] += 60 * np.tanh(4 * np.sin(x / 9)) * (y > 40)
    mask = np.zeros((520, 400), np.uint8)
    mask[100 : 100 + size[0], 90 : 90 + size[1]] = 255
    hard = 128 + 100 * np.sign(np.sin(x / 5))
    levels = np.where(mask[..., None] > 0, hard[..., None], levels).clip(0, 255) / 255
    image = levels.astype(dtype) if dtype == np.float32 else np.rint(levels * np.iinfo(dtype).max).astype(dtype)
    for match in (matching.match_sharpness, matching.match_grain):
        whole, info = match(image, mask, return_info=True)
        assert info.method != "copy"
        with monkeypatch.context() as changed:
            changed.setattr(_tiles, "_PIXELS_PER_BLOCK", 1)
            parts, same = image.copy(), image.copy()
            parts = match(image, mask)
            match(same, mask, out=same)
        assert parts.tobytes() == whole.tobytes() == same.tobytes()


def test_the_noise_of_a_very_large_object_is_as_strong_and_the_same_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyharmony.matching import _tiles

    image = np.clip(np.random.default_rng(5).normal(128, 8, (700, 500, 3)), 0, 255).round().astype(np.uint8)
    mask = np.zeros((700, 500), np.uint8)
    mask[100:600, 100:400] = 255
    image[mask > 0] = 128
    usual = matching.match_grain(image, mask, seed=4)
    monkeypatch.setattr(_grain, "_MAX_SINGLE_STREAM_PIXELS", 0)
    monkeypatch.setattr(_tiles, "_PIXELS_PER_BLOCK", 1)
    large = matching.match_grain(image, mask, seed=4)
    assert np.array_equal(large, matching.match_grain(image, mask, seed=4))
    assert not np.array_equal(large, matching.match_grain(image, mask, seed=5))
    assert abs(large[mask > 0].std() / usual[mask > 0].std() - 1) < 0.02
    # Neighbouring rows differ where parts meet as they do elsewhere.
    steps = np.abs(np.diff(large[100:600, 100:400].astype(float), axis=0)).mean((1, 2))
    assert steps.max() < 1.15 * steps.mean()
