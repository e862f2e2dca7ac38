"""The public ops and blends on a device, which is the emulator here: several orders of its threads.

Arrays that are on the device come in by `__cuda_array_interface__`; NumPy's are copied there.
"""

from __future__ import annotations

import contextlib
import itertools
import warnings
from typing import Any

import numpy as np
import pytest

from pyharmony import _cuda, _native, blend, ops
from pyharmony._cuda import DeviceArray
from pyharmony.errors import ArgumentError, DeviceError, DTypeError, MaskError, ShapeError, UnchangedWarning
from pyharmony.ops._gaussian_poisson_cuda import inverse
from pyharmony.ops._poisson_cuda import DeviceEquation
from pyharmony.reference import gaussian_poisson as definition

from ..cuda_arrays import Interface, fetched
from ..shared import FLOODS, closed

Image = np.ndarray[Any, Any]
CASES = {"uint8": 255.0, "uint16": 65535.0, "float16": 1.0, "float32": 1.0}


@pytest.fixture(autouse=True)
def device(emulator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_native, "device_module", lambda: emulator)


def pair(shape: tuple[int, ...], dtype: str, seed: int = 0) -> tuple[Image, Image, Image]:
    """Returns src and dst of smooth colours with some noise, and a soft mask that touches a border."""
    rng = np.random.default_rng(seed)
    h, w = shape[-3:-1]
    y, x = np.mgrid[:h, :w][..., None] / max(h, w)
    waves = np.stack([np.sin(5 * x + 3 * y), np.cos(4 * y - x)])
    images = np.broadcast_to(0.5 + 0.15 * waves.reshape(2, *(1,) * (len(shape) - 3), h, w, 1), (2, *shape))
    images = (images + 0.1 * rng.standard_normal(images.shape)).clip(0, 1) * CASES[dtype]
    if dtype.startswith("uint"):
        images = images.round()
    mask = np.clip(1.6 - 4 * np.hypot(y[..., 0] - 0.3, x[..., 0] - 0.4), 0, 1)
    return images[0].astype(dtype), images[1].astype(dtype), (mask * 255).astype(np.uint8)


def levels(a: Image, b: Image) -> float:
    """Returns the largest difference in 8-bit levels."""
    return float(np.abs(a.astype(np.float64) - b).max()) * 255 / CASES[a.dtype.name]


def allowed(dtype: str) -> float:
    """Returns how far two answers within the default tolerance, and rounded, may be apart, in 8-bit levels."""
    step = {"uint8": 1.0, "uint16": 255 / 65535, "float16": 255 * 2.0**-11, "float32": 255 * 2.0**-23}[dtype]
    return 2 * {"uint8": 0.25, "uint16": 0.004, "float16": 0.025, "float32": 0.025}[dtype] + step


WAYS = ((1.0, False), (1.0, True), (0.3, True), (0.01, False), (0.01, True), (0.0, False))


@pytest.mark.parametrize(
    ("weight", "pinned", "dtype"),
    [
        pytest.param(*way, dtype, marks=() if (i + j) % 2 == 0 else pytest.mark.full)
        for i, way in enumerate(WAYS)
        for j, dtype in enumerate(CASES)
    ],
)
def test_gaussian_poisson_is_that_of_the_processor(weight: float, pinned: bool, dtype: str) -> None:
    src, dst, mask = pair((13, 18, 3), dtype)
    options: dict[str, Any] = {"color_weight": weight, "preserve_background": pinned}
    expected = ops.gaussian_poisson(src, dst, mask, dst, device="cpu", **options)
    there = [Interface(a) for a in (src, dst, mask, dst)]
    device_result = ops.gaussian_poisson(*there, **options)
    assert isinstance(device_result, DeviceArray)
    result = fetched(device_result)
    assert result.dtype == dst.dtype
    assert levels(result, expected) <= allowed(dtype)
    if pinned:
        assert np.array_equal(result[mask == 0], dst[mask == 0])
    copied, info = ops.gaussian_poisson(src, dst, mask, dst, device="cuda", return_info=True, **options)
    assert np.array_equal(copied, result)
    assert info.device == "cuda:0"
    if weight >= 0.02:
        assert 0 <= info.max_error <= allowed(dtype) / 2


@pytest.mark.parametrize("method", ["chebyshev", "dct", "multigrid"])
def test_the_certified_bound_is_never_below_the_error(method: str) -> None:
    src, dst, mask = pair((17, 14, 1), "float32")
    exact = definition.gaussian_poisson(src, dst, mask / 255, dst, color_weight=0.5)
    result, info = ops.gaussian_poisson(
        src, dst, mask, dst, color_weight=0.5, method=method, device="cuda", return_info=True
    )
    assert info.method == method
    assert levels(result, exact) <= info.max_error <= 0.025


@pytest.mark.covering(1)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("weight", [0.01, 1e-4, 0.0])
def test_small_weights_have_a_certified_bound_too(weight: float, dtype: str) -> None:
    src, dst, mask = pair((2, 31, 26, 3), dtype)
    src, dst = src[:, ::-1, 1:], dst[:, ::-1, 1:]  # of any strides
    mask, options = mask[::-1, 1:], {"color_weight": weight, "return_info": True}
    device_result, infos = ops.gaussian_poisson(*map(Interface, (src, dst, mask, dst)), **options)
    result = fetched(device_result)
    assert np.array_equal(
        result, fetched(ops.gaussian_poisson(*map(Interface, (src, dst, mask, dst)), color_weight=weight))
    )
    rounding = 0.5 if dtype == "uint8" else 255 * 2.0**-24
    for i, info in enumerate(infos):
        s, d = (a[i].astype(np.float64) for a in (src, dst))
        exact = definition.gaussian_poisson(s, d, mask / 255, d, color_weight=weight)
        if dtype == "uint8":
            exact = exact.clip(0, 255)
        assert levels(result[i], exact) <= info.max_error + rounding
        # The bound is of the tolerance's size, and the estimate is about twice the error.
        assert info.max_error <= allowed(dtype)
    copied, again = ops.gaussian_poisson(src, dst, mask, dst, device="cuda", **options)
    assert np.array_equal(copied, result)
    assert [info.max_error for info in again] == [info.max_error for info in infos]


@FLOODS
@pytest.mark.parametrize("weight", [1.0, 1e-3, 0.0])
def test_a_mask_without_a_known_pixel_leaves_the_rectangle(weight: float) -> None:
    src, dst, mask = pair((17, 20, 3), "uint8")
    full = np.full_like(mask, 255)
    options = {"color_weight": weight, "preserve_background": True}
    expected = ops.gaussian_poisson(src, dst, full, dst, device="cpu", **options)
    for blended in (
        ops.gaussian_poisson(src, dst, full, dst, device="cuda", **options),
        blend.gaussian_poisson(src, dst, full, base=dst, device="cuda", **options),
    ):
        assert levels(blended, expected) <= allowed("uint8")
    there = [Interface(a) for a in (src, dst, full, dst)]
    if weight > 0:
        assert levels(fetched(ops.gaussian_poisson(*there, **options)), expected) <= allowed("uint8")
    else:
        with pytest.raises(MaskError, match="mask: it covers the whole image and color_weight is 0"):
            ops.gaussian_poisson(*there, return_info=True, **options)


def test_a_map_of_weights() -> None:
    src, dst, mask = pair((16, 21, 3), "float32")
    weights = np.linspace(0.2, 2, 16 * 21, dtype=np.float32).reshape(16, 21)
    expected = ops.gaussian_poisson(src, dst, mask, dst, color_weight=weights, device="cpu")
    result = ops.gaussian_poisson(
        Interface(src), Interface(dst), Interface(mask), Interface(dst), color_weight=Interface(weights)
    )
    assert levels(fetched(result), expected) <= allowed("float32")


@pytest.mark.parametrize("gradients", ["source", "mixed", "average", "monochrome"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_poisson_is_that_of_the_processor(dtype: str, gradients: str) -> None:
    src, dst, mask = pair((21, 18, 3), dtype)
    expected = ops.poisson(src, dst, mask, gradients=gradients, device="cpu")
    result = fetched(ops.poisson(Interface(src), Interface(dst), Interface(mask), gradients=gradients))
    assert levels(result, expected) <= allowed(dtype)
    assert np.array_equal(result[mask == 0], dst[mask == 0])
    copied, info = ops.poisson(src, dst, mask, gradients=gradients, device="cuda", return_info=True)
    assert np.array_equal(copied, result)
    assert (info.method, info.device) == ("multigrid", "cuda:0")


@pytest.mark.parametrize(("weight", "pinned"), [(1.0, False), (1.0, True), (0.02, False), (0.02, True), (0.0, False)])
def test_the_inverse_is_what_gradients_take(weight: float, pinned: bool) -> None:
    shape = (18, 15, 2)
    mask = pair((*shape[:2], 3), "float32")[2]
    g = np.random.default_rng(1).standard_normal((1, *shape)).astype(np.float32)
    g /= np.abs(g).max()
    if pinned:
        g[0][mask == 0] = 0
    elif weight == 0:
        g -= g.mean((1, 2), keepdims=True)
    y = np.zeros_like(g)
    place = _cuda.place_of({"g": Interface(g)}, None)
    assert place is not None
    right, out, mask_view = (_cuda.describe(Interface(a), "x") for a in (g, y, mask[None]))
    w0, w1 = definition.gaussian_taps(0.5)
    inverse(
        place,
        DeviceEquation(right, right, mask_view, right, weight, None, w0, w1, pinned, most=weight),
        right,
        out,
        1e-4,
    )
    if weight > 0:
        black = np.zeros(shape, np.float64)
        expected = ops.gaussian_poisson(
            black, black, mask, g[0] / np.float64(weight), color_weight=weight, preserve_background=pinned, device="cpu"
        )
        assert np.abs(y[0] - expected).max() <= 1.1e-4
    else:
        assert np.abs(y.mean((1, 2))).max() <= 1e-5
        assert (
            np.abs(definition.apply_operator(y[0].astype(np.float64), np.zeros(shape[:2]), w0, w1) - g[0]).max() <= 8e-4
        )


def test_batches_with_one_mask_and_with_a_mask_each() -> None:
    src, dst, mask = pair((2, 15, 13, 3), "uint8")
    masks = np.stack([mask, mask[::-1]])
    for a_mask, op in itertools.product((mask, masks), (ops.poisson, ops.gaussian_poisson)):
        more = (dst,) if op is ops.gaussian_poisson else ()
        expected = op(src, dst, a_mask, *more, device="cpu")
        result = op(Interface(src), Interface(dst), Interface(a_mask), *(Interface(a) for a in more))
        assert levels(fetched(result), expected) <= allowed("uint8")
        _, infos = op(src, dst, a_mask, *more, device="cuda", return_info=True)
        assert len(infos) == 2


@pytest.mark.parametrize("dtype", ["bool", "uint16", "float16", "float32", "float64"])
def test_masks_of_any_dtype(dtype: str) -> None:
    src, dst, mask = pair((33, 36, 1), "uint8")
    typed = mask > 99 if dtype == "bool" else (mask / 255 * (65535 if dtype == "uint16" else 1)).astype(dtype)
    if dtype == "float64":
        typed[-1, -1] = 1e-60  # above zero: unknown
    calls: list[Any] = [
        lambda s, d, m, **k: ops.gaussian_poisson(s, d, m, d, preserve_background=True, **k),
        lambda s, d, m, **k: ops.gaussian_poisson(s, d, m, d, color_weight=0.01, preserve_background=True, **k),
        blend.gaussian_poisson,
        blend.poisson,
    ]
    for call in calls:
        expected = call(src, dst, typed, device="cpu")
        assert levels(fetched(call(*map(Interface, (src, dst, typed)))), expected) <= 2
        assert levels(call(src, dst, typed, device="cuda"), expected) <= 2


def planar(a: Image) -> Image:
    return np.moveaxis(np.moveaxis(a, -1, 0).copy(), 0, -1)


@pytest.mark.parametrize(
    "view",
    [lambda a: a[::-1], lambda a: a[:, ::-1], lambda a: a[1:, 2:], planar],
    ids=["upside_down", "mirrored", "cut", "planar"],
)
def test_views_of_any_strides(view: Any) -> None:
    src, dst, mask = (view(a) if a.ndim == 3 else view(a[..., None])[..., 0] for a in pair((16, 17, 3), "uint8"))
    expected = ops.gaussian_poisson(src, dst, mask, dst, device="cpu", preserve_background=True)
    result = ops.gaussian_poisson(*map(Interface, (src, dst, mask, dst)), preserve_background=True)
    assert levels(fetched(result), expected) <= allowed("uint8")
    result = ops.poisson(*map(Interface, (src, dst, mask)))
    assert levels(fetched(result), ops.poisson(src, dst, mask, device="cpu")) <= allowed("uint8")


@FLOODS
@pytest.mark.covering(1)
@pytest.mark.parametrize("base", [None, "copy-paste", "image"])
@pytest.mark.parametrize(("weight", "pinned"), [(1.0, True), (1.0, False), (0.05, True), (0.05, False)])
def test_the_pyramid_is_that_of_the_processor(weight: float, pinned: bool, base: str | None) -> None:
    src, dst, mask = pair((81, 70, 3), "uint8")  # two levels
    options: dict[str, Any] = {"color_weight": weight, "preserve_background": pinned}
    ground = dst if base == "image" else base
    expected = blend.gaussian_poisson(src, dst, mask, base=ground, device="cpu", **options)
    copied = blend.gaussian_poisson(src, dst, mask, base=ground, device="cuda", **options)
    assert levels(copied, expected) <= 1 + 2 * (0.25 + 0.25)
    base_ = Interface(dst) if base == "image" else base
    result = fetched(blend.gaussian_poisson(*map(Interface, (src, dst, mask)), base=base_, **options))
    assert levels(result, expected) <= 1 + 2 * (0.25 + 0.25)
    if pinned:
        outside = closed(mask) == 0
        assert np.array_equal(result[outside], dst[outside])
        assert np.array_equal(copied[outside], dst[outside])


@FLOODS
@pytest.mark.parametrize("run", [blend.poisson, blend.gaussian_poisson])
def test_strips_beside_the_border_are_closed_as_on_the_processor(run: Any) -> None:
    src, dst, _ = pair((2, 41, 36, 1), "uint8")
    for gap in (1, 3, 4):
        frames = np.zeros((2, 41, 36), np.uint8)
        frames[:, gap:-gap, gap:-gap] = 255
        frames[0, 20, 18] = 0  # the other one would leave nothing known, so its strips stay
        sides = np.zeros((2, 41, 36), np.uint8)
        sides[:, 15 : 41 - gap, :20] = 255
        sides[0, 30, gap:] = 90
        for mask in (frames, sides):
            result = fetched(run(*map(Interface, (src, dst, mask))))
            assert levels(result, run(src, dst, mask, device="cpu")) <= 2
            for item, one_mask in zip(range(2), mask, strict=True):
                outside = closed(one_mask) == 0
                assert np.array_equal(result[item][outside], dst[item][outside])
                assert (result[item] != dst[item]).any(-1)[one_mask == 0].any() == (closed(one_mask) != one_mask).any()


def test_a_mask_that_covers_everything_or_nothing() -> None:
    src, dst, mask = pair((70, 66, 3), "uint8")
    for value in (0, 255):
        flat = np.full_like(mask, value)
        context: Any = (
            contextlib.nullcontext() if value else pytest.warns(UnchangedWarning, match="mask is zero everywhere")
        )
        with context:
            result = fetched(blend.gaussian_poisson(*map(Interface, (src, dst, flat))))
            expected = blend.gaussian_poisson(src, dst, flat, device="cpu")
        assert levels(result, expected) <= 2
        if value == 0:
            assert np.array_equal(fetched(ops.poisson(*map(Interface, (src, dst, flat)))), dst)
            assert np.array_equal(
                fetched(ops.gaussian_poisson(*map(Interface, (src, dst, flat, dst)), preserve_background=True)), dst
            )


@pytest.mark.parametrize("dtype", ["bool", "uint8", "float64"])
def test_a_solver_keeps_its_mask_and_serves_many_images(dtype: str) -> None:
    src, dst, mask = pair((2, 17, 20, 3), "uint8")
    typed = mask / 255 if dtype == "float64" else mask.astype(dtype)
    expected = ops.PoissonSolver(typed, device="cpu").solve(src, dst)
    mask_copy = typed.copy()
    there, copied = ops.PoissonSolver(Interface(mask_copy)), ops.PoissonSolver(typed, device="cuda")
    mask_copy[...] = 0
    assert (there.shape, there.unknowns) == ((17, 20), np.count_nonzero(mask))
    assert there.bytes > 0
    assert levels(fetched(there.solve(Interface(src), Interface(dst))), expected) <= allowed("uint8")
    result, infos = copied.solve(src, dst, return_info=True)
    assert levels(result, expected) <= allowed("uint8")
    assert [info.device for info in infos] == ["cuda:0"] * 2
    with pytest.raises(DeviceError, match="dst: on the CPU, but the solver is on cuda:0"):
        there.solve(src, dst)
    with pytest.raises(ShapeError, match=r"mask: shape \[17, 20\], expected \[16, 20\]"):
        copied.solve(src[:, 1:], dst[:, 1:])


def test_a_solver_that_has_no_gradients_says_what_has() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    src, dst, mask = (torch.from_numpy(a) for a in pair((9, 8, 3), "float32"))
    solver = ops.PoissonSolver(mask, device="cuda")
    with pytest.raises(ArgumentError, match=r"src, dst, base: tensors in a graph, .*; use ops.poisson, which has grad"):
        solver.solve(src.requires_grad_(), dst)
    assert (
        levels(solver.solve(src.detach(), dst).numpy(), ops.poisson(src.detach(), dst, mask, device="cpu").numpy()) <= 1
    )


def test_a_film_takes_fewer_iterations_after_its_first_frame() -> None:
    src, dst, mask = pair((24, 26, 3), "uint8")
    solver = ops.PoissonSolver(mask, device="cuda")
    sequence = solver.sequence()
    _, first = sequence.solve(src, dst, return_info=True)
    result, second = sequence.solve(src, dst, return_info=True)
    assert second.iterations < first.iterations
    assert levels(result, solver.solve(src, dst)) <= allowed("uint8")
    assert sequence.bytes > 0
    sequence.reset()
    _, again = sequence.solve(src, dst, return_info=True)
    assert again.iterations == first.iterations
    _, infos = solver.sequence().solve(np.stack([src, src]), np.stack([dst, dst]), return_info=True)
    assert [info.iterations for info in infos] == [first.iterations, second.iterations]


def test_a_mask_without_a_known_pixel_is_refused_where_values_are_looked_at() -> None:
    src, dst, mask = pair((9, 8, 3), "uint8")
    full = np.full_like(mask, 255)
    with pytest.raises(MaskError, match="covers the whole image"):
        ops.poisson(src, dst, full, device="cuda")
    with pytest.raises(MaskError, match="covers the whole image"):
        ops.poisson(*map(Interface, (src, dst, full)), return_info=True)
    assert levels(ops.poisson(src, dst, full, color_weight=1, device="cuda"), src) <= 1


def laid_over(mask: Image, shape: tuple[int, int], at: tuple[int, int]) -> Image:
    """Returns mask [h, w], laid on zeros of a shape at the place that `at` says."""
    canvas = np.zeros((shape[0] + 200, shape[1] + 200), mask.dtype)
    canvas[100 + at[1] :, 100 + at[0] :][: mask.shape[0], : mask.shape[1]] = mask
    return canvas[100:-100, 100:-100]


@pytest.mark.filterwarnings("ignore:nothing was blended:pyharmony.errors.UnchangedWarning")  # beside dst
@FLOODS
@pytest.mark.covering(1)
@pytest.mark.parametrize(
    ("at", "dtype"),
    [(None, "uint8"), ((0, 0), "float16"), ((5, 7), "uint8"), ((-12, 30), "float16"), ((40, -20), "uint8"),
     ((69, 80), "uint8"), ((90, 5), "uint8")],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["poisson", "pyramid", "whole"])
def test_a_source_lies_where_at_says(kind: str, at: tuple[int, int] | None, dtype: str) -> None:
    """The source is of another size than dst, and cut off at its border, over the whole of it, or beside it."""
    dst, src, mask = pair((81, 70, 1), dtype)
    if at is not None:
        src, mask = src[:50, :40], mask[:50, :40]
    run = blend.poisson if kind == "poisson" else blend.gaussian_poisson
    options = {"preserve_background": False} if kind == "whole" else {}
    # Two levels of the pyramid add up; poisson has one.
    limit = allowed(dtype) if kind == "poisson" else 1 + 2 * (0.25 + 0.25)
    for mask_or_none in (mask, None):
        if mask_or_none is None and at is None and kind == "poisson":
            continue
        expected = run(src, dst, mask_or_none, at=at, device="cpu", **options)
        arrays = Interface(src), Interface(dst), None if mask_or_none is None else Interface(mask_or_none)
        result = fetched(run(*arrays, at=at, **options))
        assert levels(result, expected) <= limit
        if kind != "whole":
            valid = laid_over(np.ones_like(mask) if mask_or_none is None else mask, dst.shape[:2], at or (0, 0)) == 0
            valid = closed(~valid) == 0
            assert np.array_equal(result[valid], dst[valid])
        copied, info = run(src, dst, mask_or_none, at=at, device="cuda", return_info=True, **options)
        assert levels(copied, expected) <= limit
        if at is not None and at[0] == 90 and kind != "whole":
            assert info.method == "copy"
            assert np.array_equal(result, dst)


@pytest.mark.parametrize("run", [blend.poisson, blend.gaussian_poisson], ids=lambda f: f.__name__)
def test_a_batch_lies_where_at_says_and_over_the_alpha_of_dst(run: Any) -> None:
    dst, src, mask = pair((2, 40, 44, 3), "uint8")
    src, masks = src[:, :30, :20], np.stack([mask[:30, :20], mask[10:40, 20:40]])
    alpha = np.random.default_rng(3).integers(1, 256, (2, 40, 44, 1)).astype(np.uint8)
    over = np.concatenate([dst, alpha], -1)
    for some_masks in (masks, masks[0]):
        expected = run(src, over, some_masks, at=(17, -4), device="cpu")
        result = fetched(run(Interface(src), Interface(over), Interface(some_masks), at=(17, -4)))
        assert levels(result, expected) <= 2
        assert np.array_equal(result[..., 3:], expected[..., 3:]) and (result[..., 3:] >= alpha).all()
    expected = blend.gaussian_poisson(src, over, masks, at=(17, -4), base=over[..., :3], color_weight=0.5, device="cpu")
    arrays = [Interface(a) for a in (src, over, masks)]
    result = fetched(blend.gaussian_poisson(*arrays, at=(17, -4), base=Interface(over), color_weight=0.5))
    assert levels(result, expected) <= 2


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"at": (1.5, 2)}, ArgumentError, r"at: \(1.5, 2\), expected whole pixels; fractions resample src"),
        ({"at": 3}, ArgumentError, r"at: 3, expected None or \(x, y\)"),
        ({"at": ("1", 2)}, DTypeError, "at: "),
        ({"at": None}, ShapeError, r"src: 7 x 6 pixels and dst 9 x 8 \(width x height\); pass at="),
        ({"src": np.zeros((6, 7, 4), np.float32)}, ShapeError, "src: 4 channels, expected 1 or 3; alpha is"),
        ({"src": np.zeros((6, 7, 1), np.float32)}, ShapeError, "src: 1 images of 1 channels, but dst has 1 of 3"),
        (
            {"src": np.zeros((6, 7, 5), np.float32)},
            ShapeError,
            r"src: .* has 5 channels, expected .* 1, 3 or 4",
        ),
        ({"src": np.zeros((6, 7, 3), np.float16)}, DTypeError, "src: dtype float16 differs from dst float32"),
        ({"mask": np.zeros((8, 9), np.uint8)}, ShapeError, r"mask: shape \[8, 9\], expected \[6, 7\]"),
        ({"mask": None, "src": np.zeros((8, 9, 3), np.float32)}, MaskError, "mask: covers all of dst"),
    ],
    ids=range(10),
)
def test_what_a_blend_does_not_take_is_named(change: dict[str, Any], error: type[Exception], message: str) -> None:
    dst, src, mask = pair((8, 9, 3), "float32")
    options = {"src": src[:6, :7], "dst": dst, "mask": mask[:6, :7], "at": (0, 0), **change}
    there = {name: Interface(x) if isinstance(x, np.ndarray) else x for name, x in options.items()}
    with pytest.raises(error, match=message):
        blend.poisson(**there)


@pytest.mark.covering(1)
@pytest.mark.parametrize("run", [blend.poisson, blend.gaussian_poisson], ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", CASES)
def test_a_soft_mask_bounds_what_changes(run: Any, dtype: str) -> None:
    """Where the mask is k/255 dst changes by at most that share of its range, as on the CPU."""
    src, dst, _ = pair((26, 30, 3), dtype)
    src = src[::-1]
    rng = np.random.default_rng(1)
    share = rng.choice([0, 1, 2, 20], (26, 30)).astype(np.uint8)
    share[10:18, 8:20] = 255
    share[:4] = share[-4:] = share[:, :4] = share[:, -4:] = 0
    masks: list[Image] = [share, share * np.uint16(257), (share / 255).astype(np.float32), share / 255]
    for mask in masks if dtype == "uint8" else masks[list(CASES).index(dtype) :][:1]:
        result = fetched(run(*map(Interface, (src, dst, mask))))
        change = np.abs(result.astype(np.float64) - dst).max(2) / CASES[dtype] * 255
        assert (change <= share + (0.2 if dtype == "float16" else 1e-3))[share < 255].all()
        assert levels(result, run(src, dst, mask, device="cpu")) <= 2 * allowed(dtype)
    assert np.array_equal(fetched(run(*map(Interface, (src, dst, share == 255))))[share < 255], dst[share < 255])


@pytest.mark.parametrize("run", [blend.poisson, blend.gaussian_poisson], ids=lambda f: f.__name__)
def test_unknown_pixels_of_dst_are_left_to_the_cpu(run: Any) -> None:
    """Kernels read every pixel of dst; the result of those on the CPU goes back to where dst is."""
    src, dst, mask = pair((26, 30, 3), "uint8")
    valid = np.ones((26, 30), np.uint8) * np.uint8(255)
    valid[5:12, 6:14] = 0
    expected = run(src, dst, mask, dst_valid=valid, device="cpu")
    result = run(*map(Interface, (src, dst, mask)), dst_valid=Interface(valid))
    assert isinstance(result, DeviceArray) and np.array_equal(fetched(result), expected)
    holed = fetched(run(*map(Interface, (src, np.dstack([dst, valid]), mask))))
    assert np.array_equal(holed, run(src, np.dstack([dst, valid]), mask, device="cpu"))
    assert np.array_equal(holed[..., :3], expected) and (holed[..., 3] >= valid).all()
    # Images of the CPU that are solved on the device are prepared before.
    assert levels(run(src, dst, mask, dst_valid=valid, device="cuda"), expected) <= allowed("uint8")


def test_blends_write_where_they_are_told_to() -> None:
    src, dst, mask = pair((20, 20, 3), "uint8")
    out = np.zeros_like(dst)
    into = Interface(out)
    assert blend.poisson(*map(Interface, (src, dst, mask)), out=into) is into
    assert levels(out, blend.poisson(src, dst, mask, device="cpu")) <= allowed("uint8")
    with pytest.raises(ArgumentError, match="out: shares memory with dst"):
        blend.poisson(Interface(src), into, Interface(mask), out=into)


def test_inputs_stay_as_they_are() -> None:
    arrays = pair((18, 18, 3), "uint8")
    before = [a.copy() for a in arrays]
    src, dst, mask = map(Interface, arrays)
    ops.gaussian_poisson(src, dst, mask, dst, preserve_background=True)
    ops.poisson(src, dst, mask)
    blend.gaussian_poisson(src, dst, mask)
    assert all(np.array_equal(a, b) for a, b in zip(arrays, before, strict=True))


@pytest.mark.parametrize("op", ["gaussian_poisson", "poisson"])
def test_nan_is_refused_where_values_are_looked_at(op: str) -> None:
    src, dst, mask = pair((12, 12, 3), "float32")
    src[3, 4, 1] = np.nan
    more = (dst,) if op == "gaussian_poisson" else ()
    with pytest.raises(ArgumentError, match="src"):
        getattr(ops, op)(src, dst, mask, *more, device="cuda")
    with pytest.raises(ArgumentError, match="NaN or infinities"):
        getattr(ops, op)(*map(Interface, (src, dst, mask, *more)), return_info=True)


SMALL_PAIR = pair((8, 9, 3), "float32")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"src": SMALL_PAIR[0]}, DeviceError, "src: on the CPU, but dst is on cuda:0"),
        ({"device": "cpu"}, DeviceError, "device: 'cpu', but dst is on a CUDA device"),
        ({"device": "tpu"}, ArgumentError, "device: 'tpu'"),
        (
            {"method": "dct", "preserve_background": True},
            ArgumentError,
            "method: 'dct' solves only the whole rectangle",
        ),
        ({"gradient_kernel": "sobel"}, ArgumentError, "gradient_kernel: 'sobel' is supported only on the CPU"),
        ({"method": "chebyshev", "color_weight": 0}, ArgumentError, "method: 'chebyshev' needs color_weight above 0"),
        ({"src": Interface(SMALL_PAIR[0][1:])}, ShapeError, r"src: shape \[7, 9, 3\] differs from dst"),
        ({"mask": Interface(SMALL_PAIR[2][1:])}, ShapeError, r"mask: shape \[7, 9\], expected \[8, 9\]"),
        (
            {"src": Interface(SMALL_PAIR[0].astype(np.float16))},
            DTypeError,
            "src: dtype float16 differs from dst float32",
        ),
        ({"color_weight": Interface(np.ones((8, 9)))}, DTypeError, "color_weight: a map of dtype float64"),
    ],
    ids=lambda x: next(iter(x)) if isinstance(x, dict) else None,
)
def test_bad_input(change: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments = dict(zip(("src", "dst", "mask", "base"), map(Interface, (*SMALL_PAIR, SMALL_PAIR[1])), strict=True))
    with pytest.raises(error, match=message):
        ops.gaussian_poisson(**{**arguments, **change})


def test_what_kernels_do_not_take_runs_on_the_processor_unless_cuda_was_named() -> None:
    src, dst, mask = (a.astype(np.float64) if a.dtype == np.float32 else a for a in pair((9, 9, 3), "float32"))
    _, info = ops.gaussian_poisson(src, dst, mask, dst, return_info=True)
    assert info.device == "cpu"
    with pytest.raises(ArgumentError, match="dst: dtype float64; CUDA kernels support uint8"):
        ops.gaussian_poisson(src, dst, mask, dst, device="cuda")
    src, dst, mask = pair((9, 9, 3), "uint8")
    for options in ({"gradient_kernel": "sobel"}, {"as_published": True, "preserve_background": False}):
        expected, info = blend.gaussian_poisson(src, dst, mask, return_info=True, **options)
        assert info.device == "cpu"
        assert np.array_equal(expected, blend.gaussian_poisson(src, dst, mask, device="cpu", **options))
        for there in ((src, dst, mask), map(Interface, (src, dst, mask))):
            with pytest.raises(ArgumentError, match="is supported only on the CPU"):
                blend.gaussian_poisson(*there, device="cuda", **options)
    with pytest.raises(DeviceError, match="dst: on a CUDA device, where alpha does not run: with torch"):
        blend.alpha(*map(Interface, pair((9, 9, 3), "uint8")))


@pytest.mark.covering(1)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("weight", [1e-300, 1e-20, 1e-12, 1e-7, 1e-5, 0.1, "map"])
def test_a_mean_that_only_small_weights_fix_is_right_or_told(dtype: str, weight: float | str) -> None:
    """Also without an info, where nothing asks for the bound."""
    rng = np.random.default_rng(5)
    white = 255 if dtype == "uint8" else 1
    images = 0.3 + 0.4 * rng.random((3, 37, 29, 2))
    src, dst, base = (np.rint(255 * x).astype(np.uint8) if white == 255 else x.astype(dtype) for x in images)
    weights = (rng.random((37, 29)) * 1e-9).astype(np.float32) if weight == "map" else weight
    options = {"mask": np.ones((37, 29), np.float32), "color_weight": weights}
    exact = ops.poisson(src / white, dst / white, base=base / white, device="cpu", **options)  # type: ignore[call-overload]
    for with_info in (False, True):
        with warnings.catch_warnings(record=True) as record:
            warnings.simplefilter("always")
            result = ops.poisson(src, dst, base=base, device="cuda", return_info=with_info, **options)  # type: ignore[call-overload]
        image = result[0] if with_info else result
        error = np.abs(image / white - exact).max() * 255
        assert error <= (0.76 if white == 255 else 0.0251) or any(x.category is RuntimeWarning for x in record)
        if weight == 0.1:
            assert not record
