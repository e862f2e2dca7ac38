"""Colours of soft edges: known objects come back from known composites, and nothing else changes."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw

import pyharmony
from pyharmony import blend, segmentation
from pyharmony._images import edge_colours
from pyharmony._images.edge_colours import decontaminated
from pyharmony._images.memory import Memory
from pyharmony.errors import ArgumentError

from .shared import RANGE, to_dtype

Values = npt.NDArray[np.float64]

#: Four times as fine as the pixels, of which strands cover a part.
FINE = 4


def strands(side: int, seed: int, count: int = 120) -> Values:
    """Returns the alpha of a head [side, side] with single hairs, some of a third of a pixel."""
    rng = np.random.default_rng(seed)
    large = Image.new("L", (side * FINE, side * FINE), 0)
    draw = ImageDraw.Draw(large)
    middle, radius = side * FINE / 2, 0.2 * side * FINE
    draw.ellipse([middle - radius, middle - radius, middle + radius, middle + radius], fill=255)
    for turn in rng.uniform(0, 2 * np.pi, count):
        x, y = middle + 0.95 * radius * np.cos(turn), middle + 0.95 * radius * np.sin(turn)
        turn, bend, wide = turn + rng.normal(0, 0.2), rng.normal(0, 0.02), int(rng.integers(1, 6))
        for _ in range(int(rng.integers(8, 30))):
            end = x + 6 * np.cos(turn), y + 6 * np.sin(turn)
            draw.line([x, y, *end], fill=255, width=wide)
            (x, y), turn = end, turn + bend
    return np.asarray(large.resize((side, side), Image.Resampling.BOX), np.float64) / 255


def disc(side: int, softness: float) -> Values:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.clip((0.3 * side - np.hypot(y, x)) / softness + 0.5, 0, 1)


def fur(side: int, seed: int) -> Values:
    """Returns the alpha of a disc whose edge is jagged and soft."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    tufts = np.interp(np.arctan2(y, x), np.linspace(-np.pi, np.pi, 200), rng.uniform(-12, 12, 200))
    return np.clip((0.28 * side + tufts - np.hypot(y, x)) / 10 + 0.5, 0, 1)


def texture(side: int, colour: tuple[int, int, int], seed: int, strength: float = 25) -> Values:
    """Returns a colour [side, side, 3] of 0 to 255 with streaks and blotches."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    waves = sum(
        np.sin(x * rng.normal(0, 0.15) + y * rng.normal(0, 0.15) + rng.uniform(0, 6)) for _ in range(6)
    )  # fmt: skip
    return np.clip(np.array(colour) + strength * (waves / 3)[..., None] * rng.uniform(0.5, 1, 3), 0, 255)


SIDE = 192
ALPHAS = {
    "strands": strands(SIDE, 1), "few strands": strands(SIDE, 2, 30), "fur": fur(SIDE, 3), "disc": disc(SIDE, 3),
    "veil": disc(SIDE, 40),
}  # fmt: skip
BACKGROUNDS = {
    "white": np.full((SIDE, SIDE, 3), 255.0), "black": np.zeros((SIDE, SIDE, 3)),
    "green": np.full((SIDE, SIDE, 3), (20.0, 200, 40)), "sky": texture(SIDE, (120, 160, 220), 4, 10),
    "leaves": texture(SIDE, (70, 120, 40), 5, 60), "wall": texture(SIDE, (150, 140, 130), 6),
    "night": texture(SIDE, (30, 30, 60), 7, 20),
}  # fmt: skip
OBJECT = texture(SIDE, (150, 100, 60), 8, 30)


def composite(colours: Values, alpha: Values, background: Values) -> npt.NDArray[np.uint8]:
    share = np.rint(255 * alpha)[..., None] / 255
    return np.rint(share * colours + (1 - share) * background).astype(np.uint8)


def levels_of(alpha: Values) -> npt.NDArray[np.uint8]:
    return np.rint(255 * alpha).astype(np.uint8)


def seen_error(made: Any, colours: Values, alpha: Values) -> float:
    """Returns the mean error where alpha is between 0 and 1 times alpha: that of a composite on any background."""
    soft = (alpha > 0) & (alpha < 1)
    return float((np.abs(made[..., :3].astype(np.float64) - colours).mean(-1) * alpha)[soft].mean())


@pytest.fixture(scope="module")
def errors() -> dict[str, dict[tuple[str, str], float]]:
    """Returns the errors of each composite: as it is, cut out, and where only what alpha shows is known."""
    found: dict[str, dict[tuple[str, str], float]] = {"uncleaned": {}, "cut-out": {}, "unknown background": {}}
    for name, alpha in ALPHAS.items():
        mask = levels_of(alpha)
        for behind, background in BACKGROUNDS.items():
            image = composite(OBJECT, alpha, background)
            made = {
                "uncleaned": image, "cut-out": segmentation.cutout(image, mask),
                "unknown background": decontaminated(image, mask, (0, 0), Memory()),
            }  # fmt: skip
            for way, colours in made.items():
                found[way][name, behind] = seen_error(colours, OBJECT, mask / 255)
    return found


@pytest.mark.chains
def test_the_objects_own_colours_come_back(errors: dict[str, dict[tuple[str, str], float]]) -> None:
    means = {way: np.mean(list(found.values())) for way, found in errors.items()}
    assert means["uncleaned"] > 13
    assert means["cut-out"] < 2 and means["unknown background"] < 2


@pytest.mark.chains
@pytest.mark.parametrize("way", ["cut-out", "unknown background"])
def test_no_composite_is_worse_than_uncleaned(errors: dict[str, dict[tuple[str, str], float]], way: str) -> None:
    worse = {key for key, error in errors[way].items() if error >= errors["uncleaned"][key]}
    assert not worse


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "float64"])
@pytest.mark.parametrize("alpha", ALPHAS.values(), ids=ALPHAS)
def test_flat_colours_come_back_to_a_level(alpha: Values, dtype: str) -> None:
    colours, background = np.array([0.7, 0.35, 0.2]), np.array([0.1, 0.5, 0.9])
    share = to_dtype(alpha, dtype).astype(np.float64)[..., None] / RANGE[dtype]
    image = to_dtype(share * colours + (1 - share) * background, dtype)
    found = segmentation.cutout(image, to_dtype(alpha, dtype))
    shown = share[..., 0] > 0
    off = np.abs(found[..., :3].astype(np.float64) / RANGE[dtype] - colours)[shown] * share[shown]
    # The last 1 % of alpha count as the object's own, and 8 bits round the composite.
    assert off.max() < 0.01 * 0.7 + 1 / 255
    assert off[share[shown][:, 0] < 0.95].max() < 1.5 / 255


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_only_soft_pixels_change(dtype: str, background: bool) -> None:
    alpha = to_dtype(ALPHAS["strands"], dtype)
    image = to_dtype(composite(OBJECT, ALPHAS["strands"], BACKGROUNDS["leaves"]) / 255, dtype)
    before = image.copy(), alpha.copy()
    made = decontaminated(image, alpha, (0, 0), Memory(), background=background)
    sure = (alpha == 0) | (alpha >= 0.99 * RANGE[dtype])
    np.testing.assert_array_equal(made[sure], image[sure])
    assert made.dtype == image.dtype and (made[~sure] != image[~sure]).any(-1).mean() > 0.8
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(alpha, before[1])


def test_alpha_stays() -> None:
    mask = levels_of(ALPHAS["fur"])
    image = composite(OBJECT, ALPHAS["fur"], BACKGROUNDS["white"])
    np.testing.assert_array_equal(segmentation.cutout(image, mask)[..., 3], mask)


def test_tensors_and_batches_are_cleaned_alike() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    alphas = [ALPHAS["strands"], ALPHAS["disc"]]
    cut = [
        np.dstack([composite(OBJECT, alpha, BACKGROUNDS["green"]), levels_of(alpha)]) for alpha in alphas
    ]  # fmt: skip
    dst = np.full((SIDE, SIDE, 3), 200, np.uint8)
    single = [blend.alpha(one, dst) for one in cut]
    assert np.abs(single[0].astype(int) - blend.alpha(cut[0], dst, decontaminate=False)).max() > 20
    np.testing.assert_array_equal(blend.alpha(np.stack(cut), np.stack([dst, dst])), np.stack(single))
    planes = torch.from_numpy(np.stack(cut)).permute(0, 3, 1, 2)
    made = blend.alpha(planes, torch.from_numpy(dst).permute(2, 0, 1).expand(2, -1, -1, -1).contiguous())
    np.testing.assert_array_equal(made.permute(0, 2, 3, 1).numpy(), np.stack(single))
    mask = levels_of(alphas[0])
    chw = segmentation.cutout(torch.from_numpy(np.ascontiguousarray(cut[0][..., :3].transpose(2, 0, 1))), mask)
    np.testing.assert_array_equal(chw.permute(1, 2, 0).numpy(), segmentation.cutout(cut[0][..., :3], mask))


def test_single_hairs_have_the_colour_of_hair() -> None:
    """A blond hair before a dark wall is blond on white too, far from anything opaque, and leaves no grey line."""
    alpha = np.zeros((120, 160))
    alpha[20:100, 10:50] = 1
    alpha[np.arange(60, 63), 50:150] = np.array([0.2, 0.7, 0.3])[:, None]
    hair = np.broadcast_to(np.array([225.0, 195, 130]), (120, 160, 3))
    mask = levels_of(alpha)
    for dark in ((60.0, 50, 55), (5.0, 5, 5)):
        image = composite(hair, alpha, np.broadcast_to(np.array(dark), hair.shape))
        made = segmentation.cutout(image, mask)[61, 50:150, :3]
        assert np.abs(made.astype(np.float64) - hair[61, 50:150]).max() < 12
        assert np.abs(image[61, 50:150] - hair[61, 50:150]).min() > 15


def test_faint_alpha_does_not_amplify_noise() -> None:
    rng = np.random.default_rng(9)
    alpha = disc(SIDE, 60)
    image = composite(OBJECT, alpha, BACKGROUNDS["wall"])
    noisy = np.clip(np.rint(image + rng.normal(0, 4, image.shape)), 0, 255).astype(np.uint8)
    mask = levels_of(alpha)
    soft = (mask > 0) & (mask < 250)
    off = segmentation.cutout(noisy, mask)[soft].astype(int) - segmentation.cutout(image, mask)[soft]
    assert off.std() < 4
    faint = soft & (mask < 50)
    assert (segmentation.cutout(noisy, mask)[faint].astype(int) - segmentation.cutout(image, mask)[faint]).std() < 4


def test_a_cut_out_that_is_clean_already_is_hardly_changed() -> None:
    for alpha in ALPHAS.values():
        image = composite(OBJECT, alpha, BACKGROUNDS["white"])
        once = segmentation.cutout(image, levels_of(alpha))
        again = decontaminated(once[..., :3], once[..., 3], (0, 0), Memory())
        # What alpha hides is still the white background: it is not read.
        assert seen_error(again, once[..., :3].astype(np.float64), once[..., 3] / 255) < 2


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("tile", [32, 64])
def test_tiles_and_threads_do_not_show(monkeypatch: pytest.MonkeyPatch, tile: int, background: bool) -> None:
    alpha = levels_of(strands(400, 5))
    rng = np.random.default_rng(6)
    image = rng.integers(0, 256, (400, 400, 3), np.uint8)
    whole = decontaminated(image, alpha, (0, 0), Memory(), background=background)
    monkeypatch.setattr(edge_colours, "_TILE", tile)
    before = pyharmony.get_num_threads()
    try:
        for threads in (1, 3):
            pyharmony.set_num_threads(threads)
            tiled = decontaminated(image, alpha, (0, 0), Memory(), background=background)
            np.testing.assert_array_equal(tiled, whole)
    finally:
        pyharmony.set_num_threads(before)


def test_cleaned_colours_stay_within_black_and_white() -> None:
    y, x = np.mgrid[:80, :100]
    share = np.clip(30 - np.hypot(x - 50, y - 40), 0, 8) / 8
    squares = np.where((x // 6 + y // 6) % 2, 255, 0)
    image = np.rint(share * squares + (1 - share) * 128).astype(np.uint8)
    mask = np.rint(share * 255).astype(np.uint8)
    levels = segmentation.cutout(image, mask)[..., :3]
    exact = 255 * segmentation.cutout(image / 255, mask)[..., :3]
    assert exact.min() >= 0 and exact.max() <= 255 and np.abs(levels - exact).max() < 0.51
    # Floats may be brighter than white, and colours as bright as what there is.
    brighter = segmentation.cutout(3.0 * image / 255, mask)[..., :3]
    assert 2 < brighter.max() <= 3.0 + 1e-6


def test_what_alpha_hides_is_not_read() -> None:
    mask = ALPHAS["fur"].astype(np.float32)
    image = (composite(OBJECT, ALPHAS["fur"], BACKGROUNDS["sky"]) / 255).astype(np.float32)
    hidden = np.where(mask[..., None] == 0, np.float32(np.nan), image)
    made = decontaminated(hidden, mask, (0, 0), Memory())
    shown = mask > 0
    np.testing.assert_array_equal(made[shown], decontaminated(image, mask, (0, 0), Memory())[shown])
    # A background that is not all known does without what is not.
    assert np.isfinite(decontaminated(hidden, mask, (0, 0), Memory(), background=True)[shown]).all()
    y, x = np.argwhere((mask > 0) & (mask < 0.9))[0]
    hidden[y, x, 2] = np.inf
    with pytest.raises(ArgumentError, match=rf"src: inf at pixel \(y={y + 5}, x={x + 7}\), channel 2"):
        decontaminated(hidden, mask, (5, 7), Memory())


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 3), (9, 17)])
def test_tiny_images_and_edges_at_the_frame(shape: tuple[int, int], background: bool) -> None:
    rng = np.random.default_rng(7)
    image = rng.integers(0, 256, (*shape, 3), np.uint8)
    for mask in (np.full(shape, 90, np.uint8), rng.integers(0, 256, shape, np.uint8), np.full(shape, 255, np.uint8)):
        made = decontaminated(image, mask, (0, 0), Memory(), background=background)
        assert made.shape == image.shape and made.dtype == np.uint8
        np.testing.assert_array_equal(made[mask == 255], image[mask == 255])


def test_flat_glass_without_a_background_stays() -> None:
    rng = np.random.default_rng(8)
    image = rng.integers(0, 256, (160, 160, 3), np.uint8)
    alpha = np.full((160, 160), 120, np.uint8)
    alpha[:20] = 255
    made = decontaminated(image, alpha, (0, 0), Memory())
    np.testing.assert_array_equal(made[64:], image[64:])
    np.testing.assert_array_equal(decontaminated(image, np.full_like(alpha, 120), (0, 0), Memory()), image)


@pytest.mark.large
def test_four_megapixels_take_little_memory() -> None:
    alpha = levels_of(np.kron(ALPHAS["strands"], np.ones((11, 11))))
    image = np.kron(composite(OBJECT, ALPHAS["strands"], BACKGROUNDS["leaves"]), np.ones((11, 11, 1), np.uint8))
    memory = Memory()
    before = pyharmony.get_num_threads()
    pyharmony.set_num_threads(1)
    tracemalloc.start()
    try:
        decontaminated(image, alpha, (0, 0), memory, background=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        pyharmony.set_num_threads(before)
    # The result, three bytes a pixel, where soft pixels are, and a part of that for levels and tiles.
    assert peak < 7 * alpha.size
    assert 0.7 * peak < memory.peak < 1.3 * peak


def test_cleaned_colours_do_not_depend_on_where_a_source_is_cut_off() -> None:
    cut = np.dstack([composite(OBJECT, ALPHAS["fur"], BACKGROUNDS["green"]), levels_of(ALPHAS["fur"])])
    dst = np.full((SIDE, SIDE, 3), 200, np.uint8)
    whole = blend.alpha(cut, dst)
    for x, y in ((-50, 20), (90, -70), (60, 80)):
        moved = blend.alpha(cut, dst, at=(x, y))
        rows, columns = ((max(shift, 0), min(SIDE + shift, SIDE)) for shift in (y, x))
        wanted = whole[rows[0] - y : rows[1] - y, columns[0] - x : columns[1] - x]
        np.testing.assert_array_equal(moved[slice(*rows), slice(*columns)], wanted)
