"""Colours of soft edges: known objects come back from known composites, and nothing else changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw

import pyharmony
from pyharmony import blend, segmentation
from pyharmony._images import edge_colours
from pyharmony._images.edge_colours import decontaminated
from pyharmony._native import native
from pyharmony.errors import ArgumentError
from pyharmony.ops import matting
from pyharmony.reference import matting as reference

from ..shared import DTYPES, RANGE, to_dtype

Values = npt.NDArray[np.float64]

#: Four times as fine as the pixels, of which strands cover a part.
OVERSAMPLING = 4


def strands(side: int, seed: int, count: int = 120) -> Values:
    """Returns the alpha of a head [side, side] with single hairs, some of a third of a pixel."""
    rng = np.random.default_rng(seed)
    large = Image.new("L", (side * OVERSAMPLING, side * OVERSAMPLING), 0)
    draw = ImageDraw.Draw(large)
    middle, radius = side * OVERSAMPLING / 2, 0.2 * side * OVERSAMPLING
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


IMAGE_SIDE = 192
ALPHAS = {
    "strands": strands(IMAGE_SIDE, 1), "few strands": strands(IMAGE_SIDE, 2, 30), "fur": fur(IMAGE_SIDE, 3),
    "disc": disc(IMAGE_SIDE, 3), "veil": disc(IMAGE_SIDE, 40),
}  # fmt: skip
BACKGROUNDS = {
    "white": np.full((IMAGE_SIDE, IMAGE_SIDE, 3), 255.0), "black": np.zeros((IMAGE_SIDE, IMAGE_SIDE, 3)),
    "green": np.full((IMAGE_SIDE, IMAGE_SIDE, 3), (20.0, 200, 40)), "sky": texture(IMAGE_SIDE, (120, 160, 220), 4, 10),
    "leaves": texture(IMAGE_SIDE, (70, 120, 40), 5, 60), "wall": texture(IMAGE_SIDE, (150, 140, 130), 6),
    "night": texture(IMAGE_SIDE, (30, 30, 60), 7, 20),
}  # fmt: skip
OBJECT = texture(IMAGE_SIDE, (150, 100, 60), 8, 30)


def composite(colours: Values, alpha: Values, background: Values) -> npt.NDArray[np.uint8]:
    share = np.rint(255 * alpha)[..., None] / 255
    return np.rint(share * colours + (1 - share) * background).astype(np.uint8)


def levels_of(alpha: Values) -> npt.NDArray[np.uint8]:
    return np.rint(255 * alpha).astype(np.uint8)


def seen_error(estimate: Any, colours: Values, alpha: Values) -> float:
    """Returns the mean error where alpha is between 0 and 1 times alpha: that of a composite on any background."""
    soft = (alpha > 0) & (alpha < 1)
    return float((np.abs(estimate[..., :3].astype(np.float64) - colours).mean(-1) * alpha)[soft].mean())


@pytest.fixture(scope="module")
def errors() -> dict[str, dict[tuple[str, str], float]]:
    """Returns the errors of each composite: as it is, cut out, and where only what alpha shows is known."""
    errors_by_way: dict[str, dict[tuple[str, str], float]] = {"uncleaned": {}, "cut-out": {}, "unknown background": {}}
    for name, alpha in ALPHAS.items():
        mask = levels_of(alpha)
        for behind, background in BACKGROUNDS.items():
            image = composite(OBJECT, alpha, background)
            estimates = {
                "uncleaned": image, "cut-out": segmentation.cutout(image, mask),
                "unknown background": decontaminated(image, mask, (0, 0)),
            }  # fmt: skip
            for way, colours in estimates.items():
                errors_by_way[way][name, behind] = seen_error(colours, OBJECT, mask / 255)
    return errors_by_way


@pytest.mark.chains
def test_the_objects_own_colours_come_back(errors: dict[str, dict[tuple[str, str], float]]) -> None:
    means = {way: np.mean(list(errors_of_way.values())) for way, errors_of_way in errors.items()}
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
    cutout = segmentation.cutout(image, to_dtype(alpha, dtype))
    visible = share[..., 0] > 0
    off = np.abs(cutout[..., :3].astype(np.float64) / RANGE[dtype] - colours)[visible] * share[visible]
    # The last 1 % of alpha count as the object's own, and 8 bits round the composite.
    assert off.max() < 0.01 * 0.7 + 1 / 255
    assert off[share[visible][:, 0] < 0.95].max() < 1.5 / 255


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_only_soft_pixels_change(dtype: str, background: bool) -> None:
    alpha = to_dtype(ALPHAS["strands"], dtype)
    image = to_dtype(composite(OBJECT, ALPHAS["strands"], BACKGROUNDS["leaves"]) / 255, dtype)
    before = image.copy(), alpha.copy()
    result = decontaminated(image, alpha, (0, 0), background=background)
    sure = (alpha == 0) | (alpha >= 0.99 * RANGE[dtype])
    np.testing.assert_array_equal(result[sure], image[sure])
    assert result.dtype == image.dtype and (result[~sure] != image[~sure]).any(-1).mean() > 0.8
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
    dst = np.full((IMAGE_SIDE, IMAGE_SIDE, 3), 200, np.uint8)
    single = [blend.alpha(one, dst) for one in cut]
    assert np.abs(single[0].astype(int) - blend.alpha(cut[0], dst, decontaminate=False)).max() > 20
    np.testing.assert_array_equal(blend.alpha(np.stack(cut), np.stack([dst, dst])), np.stack(single))
    planes = torch.from_numpy(np.stack(cut)).permute(0, 3, 1, 2)
    result = blend.alpha(planes, torch.from_numpy(dst).permute(2, 0, 1).expand(2, -1, -1, -1).contiguous())
    np.testing.assert_array_equal(result.permute(0, 2, 3, 1).numpy(), np.stack(single))
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
        cutout = segmentation.cutout(image, mask)[61, 50:150, :3]
        assert np.abs(cutout.astype(np.float64) - hair[61, 50:150]).max() < 12
        assert np.abs(image[61, 50:150] - hair[61, 50:150]).min() > 15


def test_faint_alpha_does_not_amplify_noise() -> None:
    rng = np.random.default_rng(9)
    alpha = disc(IMAGE_SIDE, 60)
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
        again = decontaminated(once[..., :3], once[..., 3], (0, 0))
        # What alpha hides is still the white background: it is not read.
        assert seen_error(again, once[..., :3].astype(np.float64), once[..., 3] / 255) < 2


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("tile", [32, 64])
def test_tiles_and_threads_do_not_show(monkeypatch: pytest.MonkeyPatch, tile: int, background: bool) -> None:
    alpha = levels_of(strands(400, 5))
    rng = np.random.default_rng(6)
    image = rng.integers(0, 256, (400, 400, 3), np.uint8)
    whole = decontaminated(image, alpha, (0, 0), background=background)
    monkeypatch.setattr(edge_colours, "_TILE", tile)
    before = pyharmony.get_num_threads()
    try:
        for threads in (1, 3):
            pyharmony.set_num_threads(threads)
            tiled = decontaminated(image, alpha, (0, 0), background=background)
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
    result = decontaminated(hidden, mask, (0, 0))
    visible = mask > 0
    np.testing.assert_array_equal(result[visible], decontaminated(image, mask, (0, 0))[visible])
    # A background that is not all known does without what is not.
    assert np.isfinite(decontaminated(hidden, mask, (0, 0), background=True)[visible]).all()
    y, x = np.argwhere((mask > 0) & (mask < 0.9))[0]
    hidden[y, x, 2] = np.inf
    with pytest.raises(ArgumentError, match=rf"src: inf at pixel \(y={y + 5}, x={x + 7}\), channel 2"):
        decontaminated(hidden, mask, (5, 7))


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 3), (9, 17)])
def test_tiny_images_and_edges_at_the_frame(shape: tuple[int, int], background: bool) -> None:
    rng = np.random.default_rng(7)
    image = rng.integers(0, 256, (*shape, 3), np.uint8)
    for mask in (np.full(shape, 90, np.uint8), rng.integers(0, 256, shape, np.uint8), np.full(shape, 255, np.uint8)):
        result = decontaminated(image, mask, (0, 0), background=background)
        assert result.shape == image.shape and result.dtype == np.uint8
        np.testing.assert_array_equal(result[mask == 255], image[mask == 255])


def test_flat_glass_without_a_background_stays() -> None:
    rng = np.random.default_rng(8)
    image = rng.integers(0, 256, (160, 160, 3), np.uint8)
    alpha = np.full((160, 160), 120, np.uint8)
    alpha[:20] = 255
    result = decontaminated(image, alpha, (0, 0))
    np.testing.assert_array_equal(result[64:], image[64:])
    np.testing.assert_array_equal(decontaminated(image, np.full_like(alpha, 120), (0, 0)), image)


@pytest.mark.large
def test_four_megapixels_take_little_memory() -> None:
    alpha = levels_of(np.kron(ALPHAS["strands"], np.ones((11, 11))))
    image = np.kron(composite(OBJECT, ALPHAS["strands"], BACKGROUNDS["leaves"]), np.ones((11, 11, 1), np.uint8))
    before = pyharmony.get_num_threads()
    pyharmony.set_num_threads(1)
    try:
        with native.Memory() as memory:
            decontaminated(image, alpha, (0, 0), background=True)
    finally:
        pyharmony.set_num_threads(before)
    # The result, three bytes a pixel, where soft pixels are, and a part of that for levels and tiles.
    assert memory.peak < 7 * alpha.size


def test_cleaned_colours_do_not_depend_on_where_a_source_is_cut_off() -> None:
    cut = np.dstack([composite(OBJECT, ALPHAS["fur"], BACKGROUNDS["green"]), levels_of(ALPHAS["fur"])])
    dst = np.full((IMAGE_SIDE, IMAGE_SIDE, 3), 200, np.uint8)
    whole = blend.alpha(cut, dst)
    for x, y in ((-50, 20), (90, -70), (60, 80)):
        result = blend.alpha(cut, dst, at=(x, y))
        rows, columns = ((max(shift, 0), min(IMAGE_SIDE + shift, IMAGE_SIDE)) for shift in (y, x))
        expected = whole[rows[0] - y : rows[1] - y, columns[0] - x : columns[1] - x]
        np.testing.assert_array_equal(result[slice(*rows), slice(*columns)], expected)


# The parts in native code

#: A pixel's float32 values have this much in relation to their sum.
EPS = float(np.finfo(np.float32).eps)


def edges_of(shape: tuple[int, int], dtype: str, *, background: bool = True) -> matting.Edges:
    """Returns random colours in planes of their own order, and alpha of which a third is soft."""
    rng = np.random.default_rng(11)
    alpha = np.clip(rng.uniform(-1, 2, shape), 0, 1)
    colours = to_dtype(rng.random((3, *shape)), dtype).transpose(1, 2, 0)
    soft = (alpha > 0) & (alpha < 0.99)
    return matting.Edges(colours, np.asfortranarray(to_dtype(alpha, dtype)), soft, 0.99, background)


def exact_equations(edges: matting.Edges, origin: tuple[int, int], shape: tuple[int, int]) -> tuple[Values, Any]:
    """Returns the equations and the soft pixels of a region [h, w], zero beyond the image."""
    dtype = edges.alpha.dtype.name
    alpha = edges.alpha.astype(np.float64) / RANGE[dtype]
    alpha[alpha >= np.float32(0.99)] = 1
    there = np.isfinite(edges.colours).all(-1) & ((alpha > 0) | edges.background)
    equations = reference.equations(edges.colours.astype(np.float64) / RANGE[dtype], alpha, there)
    large = [(s + 200, s + 200) for s in (100, 100)]
    framed = np.pad(equations, [*large, (0, 0)]), np.pad(edges.soft, large)
    y, x = large[0][0] + origin[0], large[1][0] + origin[1]
    whole, soft = (plane[y : y + shape[0], x : x + shape[1]] for plane in framed)
    return whole, soft


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (41, 37)])
def test_cells_are_means_of_their_pixels(shape: tuple[int, int], dtype: str, background: bool, simd: str) -> None:
    edges = edges_of(shape, dtype, background=background)
    for halvings, origin, size in (
        (0, (0, 0), shape),
        (1, (-2, -8), (26, 25)),
        (3, (-8, 0), (7, 6)),
        (3, (40, 99), (2, 1)),
    ):
        means, soft = np.full((*size, 9), np.nan, np.float32), np.ones(size, bool)
        limits = edges.cells(origin, halvings, means, soft)
        equations, where = exact_equations(edges, origin, (size[0] << halvings, size[1] << halvings))
        np.testing.assert_allclose(means, reference.cells(equations, halvings), rtol=0, atol=(3 + 2 * halvings) * EPS)
        side = 1 << halvings
        np.testing.assert_array_equal(soft, where.reshape(size[0], side, size[1], side).any((1, 3)))
        assert limits == (0, 1)


def test_cells_are_written_into_parts_of_larger_arrays() -> None:
    edges = edges_of((41, 37), "float32")
    means, soft = np.empty((6, 5, 9), np.float32), np.empty((6, 5), bool)
    edges.cells((0, 0), 3, means, soft)
    large, large_soft = np.full((9, 11, 9), 7, np.float32), np.zeros((9, 11), bool)
    edges.cells((0, 0), 3, large[2:8, 4:9], large_soft[2:8, 4:9])
    np.testing.assert_array_equal(large[2:8, 4:9], means)
    np.testing.assert_array_equal(large_soft[2:8, 4:9], soft)
    large[2:8, 4:9] = 7
    assert (large == 7).all()


def test_the_limits_are_those_of_what_is_read(simd: str) -> None:
    edges = edges_of((30, 45), "float32", background=False)
    colours = np.ascontiguousarray(edges.colours)
    colours[edges.alpha == 0] = np.nan, 50, -50
    means, soft = np.empty((30, 45, 9), np.float32), np.empty((30, 45), bool)
    assert edges._replace(colours=colours).cells((0, 0), 0, means, soft) == (0, 1)
    y, x = np.argwhere(edges.alpha == 1)[-1]
    colours[y, x] = -2, 3.5, 0
    assert edges._replace(colours=colours).cells((0, 0), 0, means, soft) == (-2, 3.5)
    # The last columns of a row are no whole register.
    assert edges._replace(colours=colours).cells((0, x - 44), 0, means, soft) == (-2, 3.5)
    colours[edges.alpha == 0] = 0, 50, -50
    colours[y, x] = 0.5, np.inf, 0.5
    assert edges._replace(colours=colours, background=True).cells((0, 0), 0, means, soft) == (-50, 50)
    assert np.isfinite(means).all() and not means[y, x, [0, *range(3, 9)]].any()


@pytest.mark.parametrize("with_coarser", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (7, 1), (8, 9), (23, 18)])
def test_sweeps_solve_for_one_cell_after_another(shape: tuple[int, int], with_coarser: bool, threads: int) -> None:
    rng = np.random.default_rng(12)
    edges = edges_of((2 * shape[0], 2 * shape[1]), "float32")
    means, soft = np.empty((*shape, 9), np.float32), np.empty(shape, bool)
    edges.cells((0, 0), 1, means, soft)
    soft &= rng.random(shape) < 0.7
    coarser = None
    if with_coarser:
        large = rng.random(((shape[0] + 1) // 2, (shape[1] + 1) // 2 + 3, 2, 3)).astype(np.float32)
        coarser = large[:, 1:-2]
    for sweeps in (0, 1, 6):
        result = matting.relaxed(means, soft, coarser, (0.0, 1.0), sweeps)
        expected = reference.relaxed(means, soft, coarser, (0.0, 1.0), sweeps)
        assert not result[~soft].any()
        np.testing.assert_allclose(result, expected, rtol=0, atol=2000 * EPS)
    narrow = matting.relaxed(means, soft, coarser, (0.4, 0.6), 2)[soft]
    assert ((narrow >= np.float32(0.4)) & (narrow <= np.float32(0.6))).all()
    assert not matting.relaxed(means, np.zeros(shape, bool), coarser, (0.0, 1.0), 3).any()


def test_sweeps_of_many_cells_do_not_depend_on_threads() -> None:
    rng = np.random.default_rng(13)
    means, soft = rng.random((210, 260, 9)).astype(np.float32), np.ones((210, 260), bool)
    means[..., 0], means[..., 2] = 1, means[..., 1] ** 2
    before, results = pyharmony.get_num_threads(), []
    try:
        for threads in (1, 3):
            pyharmony.set_num_threads(threads)
            results.append(matting.relaxed(means, soft, None, (0.0, 1.0), 3))
    finally:
        pyharmony.set_num_threads(before)
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (5, 8), (20, 31)])
def test_pixels_have_the_colour_closest_to_their_cells(shape: tuple[int, int], dtype: str, shared: bool) -> None:
    rng = np.random.default_rng(14)
    edges = edges_of(shape, dtype)
    cells = rng.random((13, 18, 2, 3)).astype(np.float32)[:, 1:]
    share = rng.uniform(-0.5, 1.5, (shape[0], shape[1] + 2)).astype(np.float32)[:, 1:-1] if shared else None
    out = to_dtype(np.full((*shape, 3), 0.5), dtype)
    edges.write_own(cells, (5, 2), (0.0, 1.0), out, share)
    y, x = np.mgrid[: shape[0], : shape[1]]
    alpha, colours = (plane.astype(np.float64) / RANGE[dtype] for plane in (edges.alpha, edges.colours))
    expected = reference.own_colours(colours, alpha, cells[(y + 5) // 2, (x + 2) // 2]).clip(0, 1)
    if share is not None:
        expected = colours + share.astype(np.float64)[..., None].clip(0, 1) * (expected - colours)
    off = np.abs(out.astype(np.float64) / RANGE[dtype] - expected)[edges.soft]
    levels = {"uint8": 0.5 / 255, "uint16": 0.5 / 65535, "float16": float(np.finfo(np.float16).eps)}
    assert off.max(initial=0) <= levels.get(dtype, 0) + 40 * EPS
    np.testing.assert_array_equal(out[~edges.soft], to_dtype(np.full((*shape, 3), 0.5), dtype)[~edges.soft])


def test_arrays_of_other_sizes_are_refused() -> None:
    edges = edges_of((6, 8), "uint8")
    means, soft = np.zeros((3, 4, 9), np.float32), np.zeros((3, 4), bool)
    with pytest.raises(ValueError, match="halvings: 9, expected 0 to 8"):
        edges.cells((0, 0), 9, means, soft)
    with pytest.raises(ValueError, match="alpha: dtype float32, colours: uint8, expected the same of an image"):
        edges._replace(alpha=np.zeros((6, 8), np.float32)).cells((0, 0), 1, means, soft)
    with pytest.raises(ValueError, match=r"soft: expected \[6, 8\] of bool"):
        edges._replace(soft=soft).cells((0, 0), 1, means, soft)
    with pytest.raises(ValueError, match=r"means: shape \[3, 4, 8\], expected \[3, 4, 9\]"):
        edges.cells((0, 0), 1, means[..., :8], soft)
    with pytest.raises(ValueError, match="means, soft_cells: expected writable arrays with contiguous rows"):
        edges.cells((0, 0), 1, np.asfortranarray(means), soft)
    with pytest.raises(ValueError, match="coarser: 1 x 2 cells, expected 2 x 2"):
        matting.relaxed(means, soft, np.zeros((1, 2, 2, 3), np.float32), (0.0, 1.0), 1)
    with pytest.raises(ValueError, match=r"coarser: expected \[h, w, 2, 3\]"):
        matting.relaxed(means, soft, np.zeros((2, 2, 6), np.float32), (0.0, 1.0), 1)
    with pytest.raises(ValueError, match=r"cells: 3 x 4, too few from \(1, 0\) on"):
        edges.write_own(np.zeros((3, 4, 2, 3), np.float32), (1, 0), (0.0, 1.0), np.zeros((6, 8, 3), np.uint8))
    with pytest.raises(ValueError, match="out: expected a writable array of uint8"):
        edges.write_own(np.zeros((3, 4, 2, 3), np.float32), (0, 0), (0.0, 1.0), np.zeros((6, 8, 3), np.float32))
