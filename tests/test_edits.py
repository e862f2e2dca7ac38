"""Edits of one image: each solves its equation, to the tolerance, and changes nothing outside the mask."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyharmony import blend
from pyharmony._native import native
from pyharmony.errors import ArgumentError, DTypeError, MaskError, PyHarmonyWarning, ShapeError, UnchangedWarning
from pyharmony.reference import edits as exact

EDITS = ("texture_flattening", "illumination_change", "detail_boost", "inpaint")
RANGE = {"uint8": 255, "uint16": 65535, "float16": 1, "float32": 1, "float64": 1}
TOLERANCE = {"uint8": 0.25, "uint16": 0.004, "float16": 0.025, "float32": 0.025, "float64": 1e-6}
H, W = 43, 53


def photo(height: int = H, width: int = W, channels: int = 3) -> np.ndarray:
    """Returns a photograph's stand-in in [0, 1]: shading, edges and grain."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    planes = [
        0.5 + 0.15 * np.sin(x / 17 + c) * np.cos(y / 19) + 0.2 * ((x // 13 + y // 11) % 2) for c in range(channels)
    ]
    return np.clip(np.stack(planes, -1) - 0.1 + 0.008 * rng.standard_normal((height, width, channels)), 0, 1)


def disc(height: int = H, width: int = W) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.clip(1.5 - np.hypot(y - height / 2, x - width / 2) / 11, 0, 1)


MASKS = {
    "hard": disc() > 0.5,
    "soft": disc(),
    "at the border": np.arange(W)[None] < 21 + np.zeros((H, 1)),
    "everything": np.ones((H, W), bool),
    "everything, soft": 0.3 + 0.7 * disc(),
}


def cast(image: np.ndarray, dtype: str) -> np.ndarray:
    return np.rint(image * RANGE[dtype]).astype(dtype) if RANGE[dtype] > 1 else image.astype(dtype)


def call(name: str, image: Any, mask: Any, **options: Any) -> Any:
    return getattr(blend, name)(image, mask, **options)


def definition(name: str, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Returns the edit by its definition, with the default options."""
    white = RANGE[image.dtype.name]
    if name == "texture_flattening":
        return exact.texture_flattening(image, mask, 4 * white / 255, 6 * white / 255)
    if name == "illumination_change":
        return exact.illumination_change(image, mask, 0.2, 0.4, white)
    return exact.detail_boost(image, mask, 1.5, 0.05) if name == "detail_boost" else exact.inpaint(image, mask)


#: Masks and dtypes: in the short form each mask with two dtypes, and each dtype with two masks.
PAIRED = [
    pytest.param(mask, dtype, marks=() if (i + j) % 5 in (0, 2) else pytest.mark.full, id=f"{name}-{dtype}")
    for i, (name, mask) in enumerate(MASKS.items())
    for j, dtype in enumerate(RANGE)
]


@pytest.mark.covering(2)
@pytest.mark.parametrize("name", EDITS)
@pytest.mark.parametrize(("mask", "dtype"), PAIRED)
def test_it_follows_the_definition(name: str, mask: np.ndarray, dtype: str) -> None:
    if name == "inpaint" and (mask > 0).all():
        return
    image = cast(photo(), dtype)
    before = image.copy()
    result, info = call(name, image, mask, return_info=True)
    expected = definition(name, image, mask)
    if image.dtype.kind == "u":
        expected = expected.clip(0, RANGE[dtype])
    level = RANGE[dtype] / 255
    rounding = {"uint8": 0.5, "uint16": 0.5, "float16": 2**-11, "float32": 2**-23, "float64": 2**-52}[dtype]
    assert np.abs(result - expected).max() <= TOLERANCE[dtype] * level + rounding * (1 + 1e-3)
    assert info.max_error <= TOLERANCE[dtype] * (1 + 1e-9)
    assert result.dtype == image.dtype
    np.testing.assert_array_equal(result[mask == 0], image[mask == 0])
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(call(name, image, mask), result)


def laplacian(shape: tuple[int, int]) -> Any:
    """Returns the 5-point Laplacian of a grid and the list of its edges, as scipy sparse matrices."""
    sparse = pytest.importorskip("scipy.sparse", reason="SciPy is not installed")
    index = np.arange(shape[0] * shape[1]).reshape(shape)
    pairs = np.concatenate([np.stack([a.ravel(), b.ravel()], 1) for a, b in
                            ((index[:, :-1], index[:, 1:]), (index[:-1], index[1:]))])  # fmt: skip
    rows = np.repeat(np.arange(len(pairs)), 2)
    d = sparse.csr_matrix((np.tile([-1.0, 1.0], len(pairs)), (rows, pairs.ravel())))
    return (d.T @ d).tocsc(), d, pairs


def sparse_solve(matrix: Any, rhs: np.ndarray, inside: np.ndarray, image: np.ndarray) -> np.ndarray:
    linalg = pytest.importorskip("scipy.sparse.linalg", reason="SciPy is not installed")
    x = image.reshape(-1, image.shape[2]).copy()
    u, k = np.flatnonzero(inside.ravel()), np.flatnonzero(~inside.ravel())
    x[u] = linalg.splu(matrix[u][:, u].tocsc()).solve(rhs[u] - matrix[u][:, k] @ x[k])
    return x.reshape(image.shape)


def test_the_equations_are_those_of_the_paper() -> None:
    """A sparse direct solve, with the wanted differences written down edge by edge, gives the same."""
    image, inside = photo(), MASKS["hard"]
    matrix, d, pairs = laplacian((H, W))
    f = image.reshape(-1, 3)
    a = inside.ravel()[pairs].mean(1)[:, None]

    def solve(v: np.ndarray, f: np.ndarray, weight: float = 0.0) -> np.ndarray:
        rhs = d.T @ (a * v + (1 - a) * (d @ f)) + weight * f
        identity = pytest.importorskip("scipy.sparse", reason="SciPy is not installed").eye(len(f))
        return sparse_solve((matrix + weight * identity).tocsc(), rhs, inside, f.reshape(H, W, 3))

    norm = exact.sobel_norm(image)
    edges = exact.edge_map(norm, 4 / 255, 6 / 255)
    assert 0.05 < edges[inside].mean() < 0.95
    flat = solve(edges.ravel()[pairs].mean(1)[:, None] * (d @ f), f)
    np.testing.assert_allclose(blend.texture_flattening(image, inside), flat, atol=1e-8)

    y = np.log(image + 1 / 255)
    size = exact.edge_norm(y)
    gain = (0.3 * size[inside].mean() / np.maximum(size, 0.01 * size[inside].mean())) ** 0.5
    light = solve(gain.ravel()[pairs].mean(1)[:, None] * (d @ y.reshape(-1, 3)), y.reshape(-1, 3))
    expected = np.where(inside[..., None], np.exp(light) - 1 / 255, image)
    np.testing.assert_allclose(blend.illumination_change(image, inside, alpha=0.3, beta=0.5), expected, atol=1e-8)

    boosted = solve(2.5 * (d @ f), f, weight=0.1)
    np.testing.assert_allclose(blend.detail_boost(image, inside, gain=2.5, color_weight=0.1), boosted, atol=1e-8)

    filled = sparse_solve(matrix, np.zeros_like(f), inside, image)
    np.testing.assert_allclose(blend.inpaint(image, inside), filled, atol=1e-8)


@pytest.mark.parametrize("smooth", [False, True])
def test_norms_and_edges(smooth: bool, simd: str) -> None:
    from pyharmony import _arrays

    image = cast(photo(), "uint8")
    expected = (exact.sobel_norm if smooth else exact.edge_norm)(image.astype(np.float64))
    for dtype in (np.float32, np.float64):
        norm = np.empty((H, W), dtype)
        native.gradient_norm(_arrays.view(image, "image"), smooth=smooth, out=_arrays.view(norm, "n", writable=True))
        np.testing.assert_allclose(norm, expected, rtol=4 * np.finfo(dtype).eps)
    norm, edges = norm.astype(np.float32), np.empty((H, W), np.float32)
    native.edge_map(_arrays.view(norm, "norm"), 3.1, 9.1, _arrays.view(edges, "edges", writable=True))
    np.testing.assert_array_equal(edges, exact.edge_map(norm, np.float32(3.1), np.float32(9.1)))


# ---- the purpose of each --------------------------------------------------------------------------


def test_flattening_keeps_a_step_and_removes_grain() -> None:
    rng = np.random.default_rng(0)
    clean = np.full((80, 90, 3), 80.0)
    clean[:, 45:] = 160
    image = np.rint(clean + rng.uniform(-3, 3, clean.shape)).astype(np.uint8)
    inside = np.zeros((80, 90), bool)
    inside[10:70, 10:80] = True
    result = blend.texture_flattening(image, inside).astype(float)
    core = np.zeros_like(inside)
    core[25:55, 25:65] = True
    core[:, 41:49] = False
    assert np.abs(result - clean)[core].max() < 2.5
    assert result[30:50, 25:41].std() < 0.5 * image[30:50, 25:41].std()
    step = result[40, 49] - result[40, 40]
    np.testing.assert_allclose(step, 80, atol=4)


def test_the_thresholds_mean_the_same_in_every_dtype() -> None:
    expected = blend.texture_flattening(cast(photo(), "uint8"), low=3.1, high=7.3)
    image = cast(photo(), "uint8")
    for dtype, scale in (("uint16", 257), ("float32", 1 / 255), ("float64", 1 / 255)):
        result = blend.texture_flattening((image * np.float64(scale)).astype(dtype), low=3.1, high=7.3)
        np.testing.assert_allclose(result / scale, expected, atol=0.75 + 0.01)
    nothing = blend.texture_flattening(image, low=200, high=255)  # no edges: the mean is all that is left
    np.testing.assert_allclose(nothing, np.rint(image.mean((0, 1))) * np.ones_like(image), atol=1)


def test_light_is_evened_out_and_hues_stay() -> None:
    y, x = np.mgrid[:90, :110]
    texture = 1 + 0.1 * np.sin(x * 1.3) * np.sin(y * 1.7)
    flash = 1 + 3 * np.exp(-((y - 45) ** 2 + (x - 55) ** 2) / 80)  # a reflection
    image = 0.15 * (flash * texture)[..., None] * [1.0, 0.8, 0.6]
    inside = np.hypot(y - 45, x - 55) < 40
    result = blend.illumination_change(image, inside, alpha=0.2, beta=0.4)
    assert result[45, 55, 0] < 0.6 * image[45, 55, 0]
    ratio = (result + 1 / 255) / (image + 1 / 255)
    np.testing.assert_allclose(ratio[inside][:, 0], ratio[inside][:, 2], rtol=0.1)
    np.testing.assert_allclose(blend.illumination_change(image, inside, beta=0), image, atol=1e-9)


def test_black_is_an_ordinary_value_of_the_light() -> None:
    image = cast(photo(), "uint8")
    image[20:40, 20:50] = 0
    for mask in (MASKS["hard"], None):
        result = blend.illumination_change(image, mask)
        assert result.max() > 0
    assert (blend.illumination_change(np.zeros((20, 30), np.uint8)) == 0).all()
    below = photo() - 0.3  # scene-linear floats may be negative; as light they are black
    result = blend.illumination_change(below, MASKS["hard"])
    assert np.isfinite(result).all()
    bright = photo() * 40
    with pytest.warns(PyHarmonyWarning, match="where 1 is white; divide levels"):
        assert blend.illumination_change(bright, MASKS["hard"]).max() > 2


@pytest.mark.parametrize("weight", [0.0, 0.05, np.linspace(0.01, 0.3, H * W).reshape(H, W)])
def test_a_boost_of_one_changes_nothing(weight: Any) -> None:
    image = cast(photo(), "uint8")
    for mask in (MASKS["soft"], None):
        np.testing.assert_array_equal(blend.detail_boost(image, mask, gain=1, color_weight=weight), image)


def test_a_boost_multiplies_details_and_holds_colours() -> None:
    x = np.arange(256) + 0.5
    fine, coarse = 0.02 * np.cos(np.pi * 64 * x / 256), 0.2 * np.cos(np.pi * 2 * x / 256)
    image = np.broadcast_to((0.5 + fine + coarse)[None, :, None], (32, 256, 1)).copy()
    result = blend.detail_boost(image, gain=3, color_weight=0.05) - image.mean()

    def response(k: int) -> float:
        wave = np.cos(np.pi * k * x / 256)
        return float((result[5, :, 0] * wave).mean() / ((image[5, :, 0] - image.mean()) * wave).mean())

    for k in (64, 2):  # cosines are eigenvectors
        size = 2 - 2 * np.cos(np.pi * k / 256)
        assert response(k) == pytest.approx((3 * size + 0.05) / (size + 0.05), rel=1e-6)


def test_a_membrane_continues_a_plane_and_ignores_what_it_covers() -> None:
    y, x = np.mgrid[:50, :60]
    plane = np.stack([0.2 + 0.005 * x, 0.3 + 0.004 * y, 0.1 + 0.003 * (x + y)], -1)
    hole = np.zeros((50, 60), bool)
    hole[10:30, 15:40] = True
    hole[40:43, 5:50] = True
    spoilt = np.where(hole[..., None], np.nan, plane)
    np.testing.assert_allclose(blend.inpaint(spoilt, hole), plane, atol=1e-8)
    bad = plane.astype(np.float32)
    bad[5, 5] = np.inf  # neither read nor changed
    result = blend.inpaint(bad, hole)
    np.testing.assert_array_equal(result[~hole], bad[~hole])
    bad[9, 20, 1] = np.nan
    with pytest.raises(ArgumentError, match=r"image: nan at pixel \(y=9, x=20\), channel 1"):
        blend.inpaint(bad, hole)
    soft = np.where(hole, 0.25, 0).astype(np.float32)
    with pytest.raises(ArgumentError, match=r"image: nan at pixel \(y=10, x=15\)"):  # mixed with the image
        blend.inpaint(spoilt, soft)


# ---- the promises of every blend -----------------------------------------------------------------


@pytest.mark.parametrize("name", EDITS)
def test_layouts_batches_and_strides(name: str) -> None:
    image, mask = cast(photo(), "uint8"), MASKS["soft"]
    expected = call(name, image, mask)
    grey = call(name, image[..., 0], mask)
    assert grey.shape == (H, W)
    np.testing.assert_array_equal(call(name, image[..., :1], mask)[..., 0], grey)
    both = call(name, np.stack([image, image[::-1]]), np.stack([mask, mask[::-1]]))
    np.testing.assert_array_equal(both, [expected, call(name, image[::-1], mask[::-1])])
    planar = np.moveaxis(np.ascontiguousarray(np.moveaxis(image, -1, 0)), 0, -1)
    np.testing.assert_array_equal(call(name, planar, np.asfortranarray(mask)), expected)
    flipped = np.ascontiguousarray(image[::-1, ::-1])[::-1, ::-1]
    np.testing.assert_array_equal(call(name, flipped, mask), expected)
    images, infos = call(name, image[None], mask, return_info=True)
    assert len(infos) == 1 and images.shape == (1, H, W, 3)


@pytest.mark.parametrize("name", EDITS)
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_out_may_be_the_image(name: str, dtype: str) -> None:
    image = cast(photo(), dtype)
    for mask in (MASKS["soft"], MASKS["everything, soft"]):
        if name == "inpaint" and mask.min() > 0:
            continue
        expected = call(name, image, mask)
        apart = np.zeros_like(image)
        assert call(name, image, mask, out=apart) is apart
        np.testing.assert_array_equal(apart, expected)
        own = image.copy()
        result, info = call(name, own, mask, out=own, return_info=True)
        assert result is own
        np.testing.assert_array_equal(own, expected)
        assert info.max_error == call(name, image, mask, return_info=True)[1].max_error
    grey = np.full((9, 9), 0.5)
    grey[0] = 0
    with pytest.raises(ArgumentError, match="out: shares memory with mask"):
        call(name, grey.copy(), grey, out=grey)


@pytest.mark.parametrize("name", EDITS)
def test_nothing_inside_is_a_copy(name: str) -> None:
    image = cast(photo(), "uint8")
    with pytest.warns(UnchangedWarning, match="nothing was edited: mask is zero everywhere"):
        result, info = call(name, image, np.zeros((H, W), bool), return_info=True)
    np.testing.assert_array_equal(result, image)
    assert result is not image
    assert info.method == "copy"


@pytest.mark.parametrize("name", EDITS)
def test_alpha_is_kept_and_what_it_hides_does_not_come_through(name: str) -> None:
    rgba = np.dstack([cast(photo(), "uint8"), np.full((H, W), 255, np.uint8)])
    rgba[10:25, 20:60, 3] = 0
    rgba[25:28, 20:60, 3] = 128
    mask = MASKS["hard"] if name == "inpaint" else None
    result = call(name, rgba, mask)
    np.testing.assert_array_equal(result[..., 3], rgba[..., 3])
    hidden = rgba[..., 3] == 0
    np.testing.assert_array_equal(result[hidden], rgba[hidden])
    other = rgba.copy()
    other[hidden, :3] = (255, 0, 255)
    np.testing.assert_array_equal(call(name, other, mask)[~hidden], result[~hidden])
    opaque = np.dstack([rgba[..., :3], np.full((H, W), 255, np.uint8)])
    np.testing.assert_array_equal(call(name, opaque, mask)[..., :3], call(name, rgba[..., :3], mask))


@pytest.mark.parametrize("name", EDITS)
def test_nan_outside_is_kept_and_inside_named(name: str) -> None:
    image = photo().astype(np.float32)
    mask = np.zeros((H, W), bool)
    mask[20:40, 25:60] = True
    expected = call(name, image, mask)
    for at in ((10, 10), (18, 30), (41, 27)):  # beside the box, and two pixels from the mask
        bad = image.copy()
        bad[at] = np.nan
        result = call(name, bad, mask)
        np.testing.assert_array_equal(result[~mask], bad[~mask])
        assert np.isfinite(result[mask]).all()
        if at == (10, 10):
            np.testing.assert_array_equal(result[mask], expected[mask])
    bad = image.copy()
    bad[19, 30, 2] = np.inf  # one pixel from the mask
    with pytest.raises(ArgumentError, match=r"image: inf at pixel \(y=19, x=30\), channel 2"):
        call(name, bad, mask)


@pytest.mark.parametrize("name", EDITS)
def test_files_and_lists(name: str, tmp_path: Path) -> None:
    from PIL import Image

    image, mask = cast(photo(), "uint8"), cast(disc(), "uint8")
    expected = call(name, image, mask)
    Image.fromarray(image).save(tmp_path / "image.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    result = call(name, tmp_path / "image.png", tmp_path / "mask.png")
    assert isinstance(result, Image.Image)
    np.testing.assert_array_equal(result, expected)
    with open(tmp_path / "image.png", "rb") as file:  # read once
        np.testing.assert_array_equal(call(name, file, mask), expected)
    assert call(name, image, mask, out=tmp_path / "out.png") == tmp_path / "out.png"
    np.testing.assert_array_equal(Image.open(tmp_path / "out.png"), expected)
    results = call(name, [image, tmp_path / "none.png", image], mask, errors="return")
    np.testing.assert_array_equal(results[2], expected)
    assert isinstance(results[1], OSError)
    with pytest.raises(DTypeError, match="image: int"):
        call(name, 3, mask)


@pytest.mark.parametrize("name", EDITS)
def test_torch_stays_torch(name: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    image, mask = cast(photo(), "uint8"), MASKS["soft"]
    tensor = torch.from_numpy(image).movedim(-1, 0)
    result = call(name, tensor, torch.from_numpy(mask))
    assert isinstance(result, torch.Tensor)
    np.testing.assert_array_equal(result.movedim(0, -1).numpy(), call(name, image, mask))


@pytest.mark.parametrize("name", EDITS)
def test_calls_at_once_and_any_number_of_threads(name: str, threads: int) -> None:
    image = cast(photo(150, 170), "uint8")
    mask = disc(150, 170)
    expected = native_one_thread(lambda: call(name, image, mask))
    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(lambda _: call(name, image, mask), range(4)):
            np.testing.assert_array_equal(result, expected)


def native_one_thread(work: Any) -> Any:
    before = native.num_threads()
    native.set_num_threads(1)
    try:
        return work()
    finally:
        native.set_num_threads(before)


@pytest.mark.parametrize("name", EDITS)
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1), (2, 2), (3, 3)])
def test_tiny_images(name: str, size: tuple[int, int]) -> None:
    image = cast(photo(*size), "uint8")
    mask = np.zeros(size, bool)
    mask[0, 0] = True
    if mask.all() and name == "inpaint":
        return
    assert call(name, image, mask).shape == image.shape
    if name != "inpaint":
        assert call(name, image, None).shape == image.shape


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("texture_flattening", {"low": 9, "high": 3}, ArgumentError, "low: 9 with high 3"),
        ("texture_flattening", {"low": -1}, ArgumentError, "low: -1, expected"),
        ("texture_flattening", {"high": "3"}, DTypeError, "high: str '3', expected"),
        ("illumination_change", {"alpha": 0}, ArgumentError, "alpha: 0, expected a number above 0"),
        ("illumination_change", {"beta": 3}, ArgumentError, "beta: 3, expected a number from 0 to 2"),
        ("detail_boost", {"gain": -2}, ArgumentError, "gain: -2, expected"),
        ("detail_boost", {"color_weight": -1}, ArgumentError, "color_weight: -1"),
        ("detail_boost", {"color_weight": np.ones((2, 2))}, ShapeError, r"color_weight: a map of shape \[2, 2\]"),
        ("inpaint", {"tolerance": 0}, ArgumentError, "tolerance: 0, expected"),
    ],
)
def test_bad_options(name: str, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(name, cast(photo(), "uint8"), MASKS["hard"], **options)


@pytest.mark.parametrize("name", EDITS)
def test_bad_images_and_masks(name: str) -> None:
    image = cast(photo(), "uint8")
    with pytest.raises(DTypeError, match="image: dtype bool"):
        call(name, image > 9, MASKS["hard"])
    with pytest.raises(ShapeError, match="image: shape"):
        call(name, np.zeros((5, 5, 2), np.uint8), np.eye(5))
    with pytest.raises(ShapeError, match=r"mask: shape \[5, 5\], expected \[43, 53\]"):
        call(name, image, np.eye(5))
    with pytest.raises(DTypeError, match="out: dtype float32, expected that of image, uint8"):
        call(name, image, MASKS["hard"], out=np.zeros((H, W, 3), np.float32))


def test_a_membrane_needs_something_known() -> None:
    image = cast(photo(), "uint8")
    for mask in (None, np.ones((H, W), bool)):
        with pytest.raises(MaskError, match="mask:"):
            blend.inpaint(image, mask)
