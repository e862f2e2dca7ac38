"""Poisson image editing on a mask: `ops.poisson` and `ops.PoissonSolver` against the float64 definition."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sparse
import scipy.sparse.linalg as sparse_linalg

from pyharmony import _arrays, _checks, errors
from pyharmony._native import native
from pyharmony.ops import PoissonSolver, poisson
from pyharmony.reference import gaussian_poisson as gp_definition
from pyharmony.reference import poisson as definition

from ..equations import exact, masks, native_view, noise
from ..shared import DTYPES

RANGE = _arrays.VALUE_RANGE
GRADIENTS = ("source", "mixed", "average", "monochrome")
CONTOURS = ("half", "full")
SMOOTH_MASKS = ("blob", "star", "comb", "holes", "corner")


def smooth(seed: int, shape: tuple[int, ...]) -> Any:
    """Returns an image whose blend stays within [0, 1], for integers that must not clip."""
    i, j = np.ogrid[: shape[0], : shape[1]]
    a, b = np.random.default_rng(seed).random(2) * 3
    plane = 0.5 + 0.1 * np.sin(i / 7 + a) * np.cos(j / 9 + b)
    return np.repeat(plane[..., None], shape[2], 2)


def every_mask(n: int) -> dict[str, Any]:
    y, x = np.mgrid[:n, :n]
    return {
        **masks(n, n),
        "stripes": x % 8 < 7,
        "lines and pixels": (y % 7 == 3) | (x % 11 == 5) & (y % 2 == 1),
        "all but an edge": x > 0,
    }


def levels(error: Any, dtype: str) -> float:
    return float(np.abs(error).max()) * 255 / RANGE[dtype]


# ---- the answer -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [47, 64, 129])
@pytest.mark.parametrize("name", every_mask(16))
def test_every_mask_within_tolerance_and_bound(name: str, n: int) -> None:
    mask = every_mask(n)[name]
    src, dst = noise(1, (n, n, 2)), noise(2, (n, n, 2))
    want = exact(src, dst, mask)
    for tolerance, most in ((0.25, 6), (0.005, 10)):
        out, info = poisson(src, dst, mask, tolerance=tolerance, return_info=True)
        error = levels(out - want, "float32")
        rounding = 255 * 2.0**-22 * np.abs(want).max()  # of the result to float32, and of the comparison
        assert error <= tolerance + rounding
        assert error - rounding <= info.max_error
        assert info.max_error <= 1.05 * error + 2e-3
        assert info.iterations <= most
        assert np.array_equal(out[~mask], dst[~mask])


@pytest.mark.parametrize("n", [256, 255])
@pytest.mark.parametrize("name", SMOOTH_MASKS)
def test_larger_masks(name: str, n: int) -> None:
    mask = masks(n, n)[name]
    src, dst = noise(3, (n, n, 1)), noise(4, (n, n, 1))
    want = exact(src, dst, mask)
    quick, quick_info = poisson(src, dst, mask, tolerance=0.25, return_info=True)
    precise, precise_info = poisson(src, dst, mask, tolerance=2e-5 * 255, return_info=True)
    assert levels(quick - want, "float32") <= 0.25
    assert quick_info.iterations <= 6
    assert np.abs(precise - want).max() <= 2e-5
    assert precise_info.iterations <= 10


@pytest.mark.large
@pytest.mark.parametrize("n", [256, 1024])
@pytest.mark.parametrize("name", SMOOTH_MASKS)
def test_convergence_factor(name: str, n: int) -> None:
    """The residual falls by 0.12 or better with each conjugate gradient iteration."""
    mask = masks(n, n)[name]
    hierarchy = native.PoissonHierarchy(native_view(mask), mask.shape)
    rhs = np.where(mask, np.random.default_rng(0).standard_normal((n, n)), 0)
    norms = []
    for iterations in (1, 3):
        x = np.zeros((n, n))
        hierarchy.solve_rhs(native_view(rhs), native_view(x, True), tolerance=0.0, max_iterations=iterations)
        p = np.pad(np.where(mask, x, 0), 1, mode="edge")
        ax = 4 * p[1:-1, 1:-1] - p[:-2, 1:-1] - p[2:, 1:-1] - p[1:-1, :-2] - p[1:-1, 2:]
        norms.append(np.linalg.norm((rhs - ax)[mask]))
    assert (norms[1] / norms[0]) ** 0.5 <= 0.12


@pytest.mark.parametrize("kind", ["hard", "soft"])
@pytest.mark.parametrize("contour", CONTOURS)
@pytest.mark.parametrize("gradients", GRADIENTS)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_gradients_and_soft_masks(gradients: str, contour: str, kind: str, channels: int) -> None:
    h, w = 25, 34
    src, dst = noise(5, (h, w, channels), "float64"), noise(6, (h, w, channels), "float64")
    i, j = np.ogrid[:h, :w]
    mask = np.clip(1.6 - np.hypot((i - 10) / 9, (j - 14) / 15) * 1.4, 0, 1)
    if kind == "hard":
        mask = (mask > 0.3).astype(np.float64)
    out = poisson(src, dst, mask, gradients=gradients, contour=contour)
    assert levels(out - definition.poisson(src, dst, mask, gradients=gradients, contour=contour), "float64") <= 1e-6
    assert np.array_equal(out[mask == 0], dst[mask == 0])


def test_mixed_gradients_choose_by_the_norm_over_channels() -> None:
    """Ties and single channels that are stronger must not separate the channels."""
    src, dst = (noise(s, (30, 31, 3), "uint16") for s in (7, 8))
    mask = masks(31, 31)["blob"][:30]
    info = poisson(src, dst, mask, gradients="mixed", tolerance=1e-3, return_info=True)[1]
    f = [a.astype(np.float64) / 65535 for a in (src, dst)]
    want = exact(*f, mask, gradients="mixed")
    assert levels(poisson(*f, mask, gradients="mixed") - want, "float64") <= 1e-6
    assert info.max_error <= 1e-3


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(dtype: str) -> None:
    h, w = 60, 75
    src, dst = ((smooth(s, (h, w, 3)) * RANGE[dtype]) for s in (1, 2))
    src, dst = ((np.rint(a) if dtype.startswith("u") else a).astype(dtype) for a in (src, dst))
    mask = masks(75, 75)["star"][:60]
    out, info = poisson(src, dst, mask, return_info=True)
    want = exact(src, dst, mask)
    rounding = {"uint8": 0.5, "uint16": 0.5, "float16": 2.0**-11, "float32": 2.0**-24, "float64": 1e-13}[dtype]
    limit = _checks.DEFAULT_TOLERANCE[dtype] + rounding * 255 / RANGE[dtype]
    assert out.dtype == dst.dtype
    assert levels(out - want, dtype) <= limit
    assert info.max_error <= _checks.DEFAULT_TOLERANCE[dtype]


def test_integers_round_to_even_and_saturate() -> None:
    flat, mask = np.zeros((1, 3), np.uint8), np.array([[0, 255, 0]], np.uint8)
    # Half of the gradients are dst's: the middle becomes ((10 + 10) / 2 + middle) / 2.
    for middle, rounded in ((13, 12), (11, 10)):
        assert poisson(flat, np.array([[10, middle, 10]], np.uint8), mask).tolist() == [[10, rounded, 10]]
    peak, high = np.array([[0, 255, 0]], np.uint8), np.full((1, 3), 250, np.uint8)
    assert poisson(peak, high, mask).tolist() == [[250, 255, 250]]
    assert poisson(peak.astype(np.float32), high.astype(np.float32), mask)[0, 1] == 377.5


# ---- the contour ----------------------------------------------------------------------------------------------------


def papers_equation(src: Any, dst: Any, mask: Any) -> Any:
    """Solves eq. 7 of Perez et al. with the guidance of eq. 9, as fpie does, link by link; the mask meets no border."""
    src, dst = src.astype(np.float64), dst.astype(np.float64)
    number = {tuple(p): k for k, p in enumerate(np.argwhere(mask))}
    matrix = sparse.lil_matrix((len(number), len(number)))
    b = np.zeros((len(number), src.shape[2]))
    for (i, j), k in number.items():
        matrix[k, k] = 4
        for q in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
            b[k] += src[i, j] - src[q]
            if q in number:
                matrix[k, number[q]] = -1
            else:
                b[k] += dst[q]
    x = dst.copy()
    x[mask] = sparse_linalg.splu(matrix.tocsc()).solve(b)
    return x


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["blob", "star", "comb", "holes"])
def test_the_full_contour_is_the_papers_equation(name: str, dtype: str) -> None:
    n = 30
    mask = masks(n, n)[name]
    mask[[0, -1]] = mask[:, [0, -1]] = False
    src, dst = (smooth(s, (n, n, 3)) * RANGE[dtype] for s in (1, 2))
    src = src + 0.05 * (noise(3, src.shape, dtype).astype(np.float64) - RANGE[dtype] / 2)
    src, dst = ((np.rint(a) if dtype.startswith("u") else a).astype(dtype) for a in (src, dst))
    want = papers_equation(src, dst, mask)
    assert want.min() > 0 and want.max() < RANGE[dtype]
    assert np.abs(definition.poisson(src, dst, mask, contour="full") - want).max() <= 1e-9 * RANGE[dtype]
    solver = PoissonSolver(mask)
    rounding = {"uint8": 0.5, "uint16": 0.5, "float16": 2.0**-11, "float32": 2.0**-24, "float64": 1e-13}[dtype]
    limit = _checks.DEFAULT_TOLERANCE[dtype] + rounding * 255 / RANGE[dtype]
    out, info = solver.solve(src, dst, contour="full", return_info=True)
    assert levels(out - want, dtype) <= limit
    assert levels(out - want, dtype) <= info.max_error + rounding * 255 / RANGE[dtype]
    assert info.max_error <= _checks.DEFAULT_TOLERANCE[dtype]
    assert np.array_equal(poisson(src, dst, mask, contour="full"), out)
    # The other contour is another equation, and a solver serves both.
    half = poisson(src, dst, mask)
    assert levels(half.astype(np.float64) - out, dtype) > 1
    assert np.array_equal(solver.solve(src, dst), half)


@pytest.mark.house  # importing fpie loads taichi by a mode of dlopen that AddressSanitizer refuses
@pytest.mark.parametrize(
    ("gradients", "theirs"), [("source", "src"), pytest.param("average", "avg", marks=pytest.mark.full)]
)
def test_the_full_contour_is_that_of_fpie(gradients: str, theirs: str) -> None:
    """They agree to a level on noise, after steps enough for fpie's iteration to stand still, since fpie truncates."""
    process = pytest.importorskip("fpie.process", reason="fpie is not installed")
    n = 24
    mask = masks(n, n)["blob"]
    src, dst = (noise(s, (n, n, 3), "uint8") // 4 + 90 for s in (21, 22))
    solver = process.EquProcessor(theirs, "numpy")
    solver.reset(src, mask.astype(np.uint8) * 255, dst, (0, 0), (0, 0))
    solver.sync()
    result, _ = solver.step(1000)
    out = poisson(src, dst, mask, gradients=gradients, contour="full")
    assert np.abs(out.astype(int) - result).max() <= 1
    assert np.abs(poisson(src, dst, mask, gradients=gradients).astype(int) - result).max() > 3


def test_the_full_contour_of_one_pixel() -> None:
    src, dst = np.array([[3.0, 10.0, 5.0]]), np.array([[1.0, 99.0, 2.0]])
    mask = np.array([[False, True, False]])
    # 2 x = 1 + 2 + (10 - 3) + (10 - 5); with halves the differences are (7 + 98) / 2 and (5 + 97) / 2.
    assert poisson(src, dst, mask, contour="full")[0, 1] == pytest.approx(7.5, abs=1e-9)
    assert poisson(src, dst, mask)[0, 1] == pytest.approx((3 + 52.5 + 51) / 2, abs=1e-9)
    # With a soft mask src's difference counts by the larger mask of the two pixels, 0.5; here all are halves.
    assert poisson(src, dst, mask / 2, contour="full")[0, 1] == pytest.approx((3 + 52.5 + 51) / 2, abs=1e-9)


@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_the_full_contour_of_a_film(dtype: str) -> None:
    """Frames of a sequence keep their tolerance, and the contour may change between them."""
    n = 64
    mask = masks(n, n)["star"]
    sequence = PoissonSolver(mask).sequence()
    for i, contour in enumerate(("full", "full", "half", "full")):
        src, dst = ((0.2 + 0.6 * smooth(s + i // 2, (n, n, 2))) * RANGE[dtype] for s in (1, 5))
        src, dst = ((np.rint(a) if dtype == "uint8" else a).astype(dtype) for a in (src, dst))
        out, info = sequence.solve(src, dst, contour=contour, return_info=True)
        rounding = 0.5 if dtype == "uint8" else 1e-9
        assert levels(out - exact(src, dst, mask, contour=contour), dtype) <= info.max_error + rounding
        assert info.max_error <= _checks.DEFAULT_TOLERANCE[dtype]


# ---- weights --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [1e-4, 1e-3, 0.01, 0.1, 1.0, 50.0])
@pytest.mark.parametrize("full", [False, True])
def test_weights(weight: float, full: bool) -> None:
    n = 90
    mask = np.ones((n, n), bool) if full else masks(n, n)["corner"]
    src, dst, base = (noise(s, (n, n, 2)) for s in (9, 10, 11))
    out, info = poisson(src, dst, mask, color_weight=weight, base=base, tolerance=0.1, return_info=True)
    error = levels(out - exact(src, dst, mask, weight=weight, base=base), "float32")
    assert error <= 0.1
    assert error <= info.max_error + 1e-4
    assert info.max_error <= 0.11


@pytest.mark.parametrize("full", [False, True])
def test_maps_of_weights(full: bool) -> None:
    n = 70
    rng = np.random.default_rng(12)
    weight = (rng.random((n, n)) ** 4).astype(np.float32)
    weight[10:40, 20:60] = 0
    mask = np.ones((n, n), bool) if full else masks(n, n)["blob"]
    src, dst = noise(13, (n, n, 3), "float64"), noise(14, (n, n, 3), "float64")
    out, info = poisson(src, dst, mask, color_weight=weight, return_info=True)
    error = levels(out - exact(src, dst, mask, weight=weight), "float64")
    assert error <= 1e-6
    assert error <= info.max_error + 1e-9
    assert info.max_error <= 2e-6


def test_base_in_another_dtype() -> None:
    src, dst = noise(1, (20, 22, 3), "uint8"), noise(2, (20, 22, 3), "uint8")
    mask = np.ones((20, 22), bool)
    base = noise(3, (20, 22, 3), "uint8")
    want = poisson(src, dst, mask, color_weight=0.5, base=base)
    assert np.array_equal(poisson(src, dst, mask, color_weight=0.5, base=base.astype(np.float64)), want)
    assert np.array_equal(
        poisson(src, dst, mask, color_weight=0.5, base=src), poisson(src, dst, mask, color_weight=0.5)
    )


@pytest.mark.parametrize("weight", [0.002, 0.1, "map"])
@pytest.mark.parametrize("pinned", [False, True])
def test_gaussian_operator(weight: float | str, pinned: bool) -> None:
    """The native engine takes a Gaussian of non-zero width, pinned or whole, with one weight or a map."""
    h, w = 41, 52
    rng = np.random.default_rng(15)
    plane = (rng.random((h, w)) * 0.2 + 0.01).astype(np.float32) if weight == "map" else None
    src, dst, base = (noise(s, (h, w, 2), "float64") for s in (16, 17, 18))
    mask = masks(52, 52)["corner"][:h].astype(np.float32) * np.float32(0.7)
    w0, w1 = gp_definition.gaussian_taps(0.5)
    hierarchy = native.PoissonHierarchy(
        native_view(mask) if pinned else None,
        mask.shape,
        weight=0.0 if plane is not None else weight,
        weight_map=None if plane is None else native_view(plane),
        w0=w0,
        w1=w1,
    )
    out = dst.copy()
    stats = hierarchy.solve(
        native_view(src), native_view(dst), native_view(mask), native_view(base), native_view(out, True),
        gradients="source", tolerance=1e-7, max_iterations=40, certify=True,
    )  # fmt: skip
    want = gp_definition.gaussian_poisson(
        src, dst, mask, base, color_weight=weight if plane is None else plane, preserve_background=pinned
    )
    error = np.abs(out - want).max()
    assert error <= 1e-7
    assert stats["converged"]
    assert error <= stats["max_error"] + 1e-9
    assert stats["max_error"] <= 2e-7


# ---- arrays ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 2), (2, 1), (1, 37), (41, 1), (2, 2), (2, 33), (3, 17), (16, 16), (17, 31)]
)
def test_small_and_thin_images(shape: tuple[int, int]) -> None:
    src, dst = noise(19, (*shape, 3), "float64"), noise(20, (*shape, 3), "float64")
    rng = np.random.default_rng(21)
    for mask in (rng.random(shape) < 0.7, np.arange(shape[0] * shape[1]).reshape(shape) > 0):
        if mask.all():
            mask.flat[-1] = False
        assert levels(poisson(src, dst, mask) - exact(src, dst, mask), "float64") <= 1e-6
    full = np.ones(shape, bool)
    out = poisson(src, dst, full, color_weight=0.3)
    assert levels(out - exact(src, dst, full, weight=0.3), "float64") <= 1e-6


def test_grey_images_and_batches() -> None:
    src, dst = noise(24, (2, 30, 40, 3), "uint8"), noise(25, (2, 30, 40, 3), "uint8")
    mask = masks(40, 40)["blob"][:30]
    other = masks(40, 40)["corner"][:30]
    batch, infos = poisson(src, dst, mask, return_info=True)
    assert len(infos) == 2
    for i in range(2):
        assert np.array_equal(batch[i], poisson(src[i], dst[i], mask))
    each = poisson(src, dst, np.stack([mask, other]))
    assert np.array_equal(each[1], poisson(src[1], dst[1], other))
    grey = poisson(src[0, ..., 0], dst[0, ..., 0], mask)
    assert grey.shape == (30, 40)
    assert np.array_equal(grey, poisson(src[0, ..., :1], dst[0, ..., :1], mask)[..., 0])


def test_empty_mask_is_a_copy() -> None:
    src, dst = noise(30, (9, 8, 3), "uint8"), noise(31, (9, 8, 3), "uint8")
    out, info = poisson(src, dst, np.zeros((9, 8), bool), return_info=True)
    assert np.array_equal(out, dst)
    assert not np.shares_memory(out, dst)
    assert (info.method, info.iterations, info.max_error) == ("copy", 0, 0.0)


def test_torch_tensors() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    src, dst = noise(32, (30, 40, 3), "uint8"), noise(33, (30, 40, 3), "uint8")
    mask = masks(40, 40)["blob"][:30]
    out = poisson(torch.from_numpy(src), torch.from_numpy(dst), torch.from_numpy(mask))
    assert isinstance(out, torch.Tensor)
    assert np.array_equal(out.numpy(), poisson(src, dst, mask))


def test_large_values() -> None:
    """Nothing is clipped, and float32 squares do not overflow."""
    mask = masks(40, 40)["blob"][:30]
    src, dst = noise(34, (30, 40, 1), "float64"), noise(35, (30, 40, 1), "float64")
    want = exact(src, dst, mask)
    for scale in (1e6, 1e25):
        out = poisson((src * scale).astype(np.float32), (dst * scale).astype(np.float32), mask, tolerance=1e-3 * scale)
        assert np.abs(out / scale - want).max() <= 2e-5


# ---- reuse, threads, instruction sets -------------------------------------------------------------------------------


def test_solver_is_reused_by_frames_and_threads() -> None:
    mask = masks(120, 120)["holes"]
    solver = PoissonSolver(mask, color_weight=0.01)
    mask_then = mask.copy()
    frames = [(noise(40 + i, (120, 120, 3), "uint8"), noise(50 + i, (120, 120, 3), "uint8")) for i in range(4)]
    want = [poisson(s, d, mask, color_weight=0.01) for s, d in frames]
    mask[:] = False  # the solver has its own
    results: list[Any] = [None] * 4

    def work(i: int) -> None:
        results[i] = solver.solve(*frames[i], return_info=True)[0]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert all(np.array_equal(a, b) for a, b in zip(results, want, strict=True))
    assert solver.shape == (120, 120)
    assert solver.unknowns == mask_then.sum()
    assert repr(solver) == f"PoissonSolver(120 x 120, {mask_then.sum()} unknowns)"


@pytest.mark.parametrize("name", ["corner", "holes"])
def test_instruction_sets(simd: str, name: str) -> None:
    mask = masks(130, 130)[name]
    weight = np.linspace(0, 0.1, 130 * 130, dtype=np.float32).reshape(130, 130)
    src, dst = noise(38, (130, 130, 3)), noise(39, (130, 130, 3))
    for options in ({}, {"color_weight": weight}, {"color_weight": 0.05}):
        out = poisson(src, dst, mask, tolerance=0.01, **options)
        want = exact(src, dst, mask, weight=options.get("color_weight", 0.0))
        assert levels(out - want, "float32") <= 0.01


# ---- cost -----------------------------------------------------------------------------------------------------------


def test_cost_follows_the_box_of_the_mask() -> None:
    small = np.zeros((1500, 2000), bool)
    small[700:800, 900:1030] = True
    solver = PoissonSolver(small)
    src, dst = noise(41, (1500, 2000, 1), "uint8"), noise(42, (1500, 2000, 1), "uint8")
    info = solver.solve(src, dst, return_info=True)[1]
    assert solver.bytes < 100 * 130 * 30
    assert info.peak_bytes < 1 << 21


@pytest.mark.large
def test_memory_of_a_solve() -> None:
    """It is at most 32 bytes a pixel and channel, with a set-up of about 9 a pixel, over the box."""
    n = 1000
    mask = np.ones((n, n), bool)
    mask[0] = False
    solver = PoissonSolver(mask)
    src, dst = noise(43, (n, n, 3), "uint8"), noise(44, (n, n, 3), "uint8")
    info = solver.solve(src, dst, return_info=True)[1]
    box = (n - 1) * n
    assert solver.bytes <= 9.9 * box
    assert info.peak_bytes <= (32 * 3 + 9) * box


# ---- errors ---------------------------------------------------------------------------------------------------------


def arguments(**changes: Any) -> dict[str, Any]:
    a: dict[str, Any] = {"src": noise(1, (8, 9, 3)), "dst": noise(2, (8, 9, 3)), "mask": np.zeros((8, 9), bool)}
    a["mask"][2:5, 2:6] = True
    return {**a, **changes}


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"src": noise(1, (8, 8, 3))}, errors.ShapeError, ["src", "[8, 8, 3]", "dst", "[8, 9, 3]"]),
        ({"src": noise(1, (8, 9, 3), "uint8")}, errors.DTypeError, ["src", "uint8", "dst", "float32"]),
        ({"src": [1, 2]}, errors.DTypeError, ["src", "list"]),
        ({"src": np.zeros((8, 9, 3), bool)}, errors.DTypeError, ["src", "bool"]),
        ({"src": np.zeros((0, 9, 3), np.float32)}, errors.ShapeError, ["src", "[0, 9, 3]"]),
        ({"mask": np.zeros((9, 8), bool)}, errors.ShapeError, ["mask", "[9, 8]", "[8, 9]"]),
        ({"mask": np.ones((8, 9), np.uint8)}, errors.MaskError, ["mask", "255", "mask > 0"]),
        ({"mask": np.full((8, 9), 2.0)}, errors.MaskError, ["mask", "2", "[0, 1]"]),
        ({"mask": np.full((8, 9), np.nan)}, errors.MaskError, ["mask", "nan"]),
        (
            {"mask": np.ones((8, 9), bool)},
            errors.MaskError,
            ["mask", "whole image", "color_weight > 0", "gaussian_poisson"],
        ),
        ({"color_weight": -1.0}, errors.ArgumentError, ["color_weight", "-1"]),
        ({"color_weight": np.full((8, 9), -1.0)}, errors.ArgumentError, ["color_weight", "-1"]),
        ({"color_weight": np.ones((9, 8))}, errors.ShapeError, ["color_weight", "[9, 8]"]),
        ({"color_weight": "high"}, errors.DTypeError, ["color_weight", "str"]),
        ({"gradients": "dest"}, errors.ArgumentError, ["gradients", "'dest'", "'mixed'"]),
        ({"contour": "whole"}, errors.ArgumentError, ["contour", "'whole'", "'half'", "'full'"]),
        ({"tolerance": 0.0}, errors.ArgumentError, ["tolerance", "0"]),
        ({"tolerance": float("nan")}, errors.ArgumentError, ["tolerance", "nan"]),
        ({"base": noise(1, (8, 8, 3))}, errors.ShapeError, ["base", "[8, 8, 3]"]),
        ({"base": noise(1, (8, 9, 3), "uint8")}, errors.DTypeError, ["base", "uint8"]),
    ],
)
def test_bad_arguments(changes: dict[str, Any], kind: type[Exception], words: list[str]) -> None:
    with pytest.raises(kind) as error:
        poisson(**arguments(**changes))
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("name", ["src", "dst"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(name: str, dtype: str, value: float) -> None:
    a = arguments(src=noise(1, (8, 9, 3), dtype), dst=noise(2, (8, 9, 3), dtype))
    want = poisson(**a)
    a[name][0, 0, 0] = value  # two pixels from the mask: never read
    out = poisson(**a)
    assert np.array_equal(out[a["mask"]], want[a["mask"]])
    assert out[0, 0, 0] == value or name == "src" or np.isnan(value)
    a[name][5, 3, 1] = a[name][6, 8, 2] = value  # beside it
    with pytest.raises(
        errors.ArgumentError, match=rf"{name}: {str(value).replace('.', '[.]')} at pixel \(y=5, x=3\), channel 1"
    ):
        poisson(**a)


def test_solver_refuses_other_sizes() -> None:
    solver = PoissonSolver(arguments()["mask"])
    with pytest.raises(errors.ShapeError, match=r"mask.*\[8, 9\].*\[8, 8\]"):
        solver.solve(noise(1, (8, 8, 3)), noise(2, (8, 8, 3)))
    with pytest.raises(errors.ShapeError, match="mask"):
        PoissonSolver(np.zeros((3, 4, 5), bool))


def test_a_tolerance_out_of_reach_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    monkeypatch.setattr(importlib.import_module("pyharmony.ops._poisson_cpu"), "MAX_ITERATIONS", 1)
    n = 64
    with pytest.warns(RuntimeWarning, match="poisson: an error of about .* levels is left after 1 iterations"):
        poisson(noise(1, (n, n, 1)), noise(2, (n, n, 1)), masks(n, n)["star"], tolerance=1e-3)


def test_the_native_solver_reports_what_it_did() -> None:
    mask = masks(64, 64)["blob"]
    hierarchy = native.PoissonHierarchy(native_view(mask), mask.shape)
    rhs = noise(1, (64, 64))
    x = np.zeros((64, 64), np.float32)
    stats = hierarchy.solve_rhs(native_view(rhs), native_view(x, True), tolerance=1e-4, max_iterations=20)
    assert stats["converged"]
    assert stats["estimate"] <= 1e-4
    assert 0 < stats["iterations"] <= 20
    assert not x[~mask].any()


# ---- films ---------------------------------------------------------------------------------------


def film(kind: str, frames: int, n: int = 96) -> list[tuple[Any, Any]]:
    """Returns pairs of uint8 frames: a scene that stands still, the camera's noise, or light that changes."""
    rng = np.random.default_rng(0)
    src, dst = smooth(1, (n, n, 3)), smooth(2, (n, n, 3))
    src, dst = (255 * (a - a.min()) / (a.max() - a.min()) for a in (src, dst))
    pairs = []
    for i in range(frames):
        pair = [src, dst * (1 - 0.01 * i) if kind == "light" else dst]
        if kind == "noise":
            pair = [a + rng.normal(0, 1, a.shape) for a in pair]
        pairs.append(tuple(np.clip(np.rint(a), 0, 255).astype(np.uint8) for a in pair))
    return pairs


@pytest.mark.parametrize("kind", ["still", "noise", "light"])
@pytest.mark.parametrize("name", ["blob", "star", "holes"])
def test_a_film_takes_one_iteration_a_frame_and_keeps_its_tolerance(name: str, kind: str) -> None:
    mask = masks(96, 96)[name]
    solver = PoissonSolver(mask)
    sequence = solver.sequence()
    for i, (src, dst) in enumerate(film(kind, 12)):
        result, info = sequence.solve(src, dst, return_info=True)
        assert info.max_error <= 0.25, (i, info)
        cold, first = solver.solve(src, dst, return_info=True)
        assert info.iterations <= first.iterations
        if i > 0 and (kind, name) in {("still", "blob"), ("still", "star"), ("noise", "blob"), ("light", "blob")}:
            assert info.iterations == 1, i
        # Both are within their bounds of the same answer, and each is rounded.
        assert np.abs(result.astype(int) - cold).max() <= 1 + info.max_error + first.max_error
        np.testing.assert_array_equal(result[mask == 0], dst[mask == 0])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_a_film_keeps_its_tolerance_over_cuts_and_in_every_dtype(dtype: str) -> None:
    mask = masks(64, 64)["holes"]
    solver = PoissonSolver(mask, color_weight=0.01)
    sequence = solver.sequence()
    tolerance = {"uint8": 0.25, "uint16": 0.004, "float32": 0.025, "float64": 1e-6}[dtype]
    for seed in (1, 2, 2, 3, 1):
        src, dst = noise(seed, (64, 64, 3), dtype), noise(seed + 9, (64, 64, 3), dtype)
        for gradients in ("source", "mixed"):
            result, info = sequence.solve(src, dst, gradients=gradients, return_info=True)
            assert info.max_error <= tolerance
            want = exact(src, dst, mask, gradients=gradients, weight=0.01)
            if dtype.startswith("u"):
                want = np.clip(want, 0, RANGE[dtype])
            rounding = 0.5 / RANGE[dtype] * 255 if dtype.startswith("u") else 1e-4
            assert levels(result - want, dtype) <= tolerance + rounding


def test_a_sequence_forgets_and_takes_any_frame() -> None:
    mask = masks(64, 64)["blob"]
    solver = PoissonSolver(mask)
    src, dst = noise(1, (64, 64, 3), "uint8"), noise(2, (64, 64, 3), "uint8")
    cold = solver.solve(src, dst)
    sequence = solver.sequence()
    assert sequence.bytes == 0
    assert np.array_equal(sequence.solve(src, dst), cold)
    assert sequence.bytes >= 3 * 4 * mask.sum()
    sequence.solve(dst, src)
    assert sequence.solve(src[..., 0], dst[..., 0]).shape == (64, 64)  # other channels: from the start
    sequence.reset()
    assert sequence.bytes == 0
    # A batch is as many frames.
    one = solver.sequence()
    in_turn = [one.solve(src, dst), one.solve(src, dst[::-1].copy())]
    batch = solver.sequence().solve(np.stack([src, src]), np.stack([dst, dst[::-1]]))
    assert np.array_equal(batch, in_turn)
    with pytest.raises(errors.ShapeError):
        sequence.solve(src[:-1], dst[:-1])
    nothing = PoissonSolver(np.zeros((64, 64), bool)).sequence()
    assert np.array_equal(nothing.solve(src, dst), dst)


def test_sequences_of_one_solver_on_several_threads() -> None:
    mask = masks(96, 96)["star"]
    solver = PoissonSolver(mask)
    frames = film("noise", 5)

    def run(_: int) -> list[Any]:
        sequence = solver.sequence()
        return [sequence.solve(*frame, return_info=True)[0] for frame in frames]

    one = solver.sequence()
    want = [one.solve(*frame) for frame in frames]  # the proof changes nothing
    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(run, range(4)):
            assert np.array_equal(result, want)
    # On one sequence calls wait for each other; each frame keeps its tolerance.
    still = [frames[0]] * 8
    cold = solver.solve(*frames[0])
    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(lambda frame: one.solve(*frame), still):
            assert np.abs(result.astype(int) - cold).max() <= 1


@pytest.mark.parametrize("weight", [0.0, 0.1])
def test_the_proof_of_a_given_right_hand_side(weight: float) -> None:
    mask = masks(40, 40)["blob"]
    solver = native.PoissonHierarchy(native_view(mask), mask.shape, weight=weight, w0=0.8, w1=0.1)
    r = noise(3, (40, 40, 3), "float64") * (mask > 0)[..., None]
    x = np.zeros_like(r)
    info = solver.solve_rhs(native_view(r), native_view(x, True), tolerance=1e-3, max_iterations=30, certify=True)
    left = r - np.where(
        (mask > 0)[..., None], gp_definition.apply_operator(x, np.full(mask.shape, weight), 0.8, 0.1), 0
    )
    assert np.abs(left).max() <= info["residual"] * 1.01 + 1e-9
    assert 0 < info["max_error"] < 1e-2
