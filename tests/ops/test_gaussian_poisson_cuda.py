"""The CUDA kernels of gaussian_poisson, run on the CPU, against the definition and the kernels of the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pyharmony import _arrays
from pyharmony._native import native
from pyharmony.reference import gaussian_poisson as definition
from pyharmony.reference import pyramid

from ..cuda_arrays import far_apart, view
from ..equations import mask_of, native_view, photo, solution
from ..shared import assert_rounded

RANGE = _arrays.VALUE_RANGE

#: The difference, relative to the range, of float32 solves that take the same steps in another order.
AGREEMENT = 2e-5


def masks_of(rng: np.random.Generator, n: int, h: int, w: int, dtype: str) -> Any:
    """Returns [N, H, W]: soft blobs that touch the border, one beside the other."""
    return np.stack([mask_of(rng, h, w, dtype, shift=k) for k in range(n)])


def solve(
    emulator: Any, src: Any, dst: Any, mask: Any, base: Any, out: Any = None, **options: Any
) -> tuple[Any, list[dict[str, Any]]]:
    """Solves a batch on the device; weight may be a map [N, H, W]. runs: first and last of each call, in turn."""
    runs = options.pop("runs", [(0, emulator.CHEBYSHEV_REPEATS)])
    rhs = options.pop("rhs", None)
    like = dst if rhs is None else rhs
    out = np.full(like.shape, np.nan, np.float32) if out is None else out
    weight = options.pop("weight", 1.0)
    is_map = isinstance(weight, np.ndarray)
    w0, w1 = definition.gaussian_taps(options.pop("sigma", 0.5), normalize=not options.pop("as_published", False))

    views = [view(emulator, a) for a in (src, dst, mask, base)] + [view(emulator, out, writable=True)]
    arguments: dict[str, Any] = {
        "weight": 1.0 if is_map else weight,
        "weight_map": view(emulator, weight) if is_map else None,
        "least_weight": float(weight.min()) if is_map else 1.0,
        "most_weight": float(weight.max()) if is_map else 1.0,
        "w0": w0,
        "w1": w1,
        "preserve_background": False,
        "tolerance": 0.25 * RANGE[like.dtype.name] / 255,
        "rhs": view(emulator, rhs),
        "max_steps": 200,
        "device": 0,
        **options,
    }
    count = like.shape[0]
    report = np.full(emulator.gaussian_poisson_chebyshev_report_bytes(count), 255, np.uint8)
    workspace, reports = None, []
    for first, last in runs:
        parts = {**arguments, "first_run": first, "last_run": last}
        schedule = emulator.gaussian_poisson_chebyshev_schedule(*views, **parts)
        workspace = workspace or emulator.DeviceBuffer(schedule.workspace_size, 0, 0)
        state = emulator.DeviceBuffer(schedule.state_size, 0, 0)
        emulator.gaussian_poisson_chebyshev(
            *views,
            **parts,
            workspace=(workspace.pointer, workspace.bytes),
            state=(state.pointer, state.bytes),
            report=report.ctypes.data,
            stream=0,
        )
        reports = emulator.gaussian_poisson_chebyshev_report(report.tobytes(), count)
    return out, reports


def solutions(src: Any, dst: Any, mask: Any, base: Any, weight: Any = 1.0, **options: Any) -> Any:
    """Returns the definition's solution of a batch."""
    weights = weight if isinstance(weight, np.ndarray) else [weight] * len(dst)
    return np.stack([solution(*item, **options) for item in zip(src, dst, mask, base, weights, strict=True)])


def on_cpu(src: Any, dst: Any, mask: Any, base: Any, **options: Any) -> tuple[Any, dict[str, Any]]:
    """Returns the CPU kernel's solve of one item, in float32."""
    weight = options.pop("weight", 1.0)
    is_map = isinstance(weight, np.ndarray)
    w0, w1 = definition.gaussian_taps(options.pop("sigma", 0.5))
    rhs = options.pop("rhs", None)
    out = np.empty((dst if rhs is None else rhs).shape, np.float32)

    info = native.gaussian_poisson_chebyshev(
        *(native_view(a) for a in (src, dst, mask, base)),
        native_view(out, writable=True),
        weight=0.0 if is_map else weight,
        weight_map=native_view(weight) if is_map else None,
        w0=w0,
        w1=w1,
        rhs=native_view(rhs),
        **{"preserve_background": False, "max_steps": 200, **options},
    )
    return out, info


def assert_certified(out: Any, reports: list[dict[str, Any]], want: Any, tolerance: float, noise: float = 1e-7) -> None:
    """Asserts that the error is within its bound and that within the tolerance; noise is the definition's own."""
    for x, report, w in zip(out, reports, want):
        assert report["converged"]
        assert report["finite"]
        assert report["max_error"] <= tolerance
        assert np.abs(x - w).max() <= report["max_error"] + noise


@pytest.mark.covering(1)
@pytest.mark.parametrize("preserve", [False, True])
@pytest.mark.parametrize("weight", [0.25, 1.0, 4.0, "map"])
def test_it_solves_to_the_tolerance(emulator: Any, weight: Any, preserve: bool) -> None:
    rng = np.random.default_rng(1)
    shape = (1, 15, 131, 2)
    mask = masks_of(rng, *shape[:3], "uint8")
    c = (0.3 + rng.random(shape[:3])).astype(np.float32) if weight == "map" else weight
    for smooth in (False, True):
        src, dst, base = (photo(rng, shape, "uint8", smooth) for _ in range(3))
        want = solutions(src, dst, mask, base, c, preserve_background=preserve)
        for tolerance in (2.0, 0.05):
            out, reports = solve(
                emulator, src, dst, mask, base, weight=c, preserve_background=preserve, tolerance=tolerance
            )
            assert_certified(out, reports, want, tolerance)


@pytest.mark.parametrize("sigma", [0.0, 0.8, 1.0])
def test_it_solves_with_any_sigma(emulator: Any, sigma: float) -> None:
    rng = np.random.default_rng(2)
    shape = (1, 19, 29, 1)
    src, dst, base = (photo(rng, shape, "uint8") for _ in range(3))
    mask = masks_of(rng, *shape[:3], "uint8")
    # At weight 5.2 and sigma 0.8 the edges of A are near zero, at 20 positive.
    for weight in (0.5, 5.2, 20.0):
        options: dict[str, Any] = {"weight": weight, "sigma": sigma, "as_published": sigma > 0.8}
        want = solutions(src, dst, mask, base, **options)
        # Without an excess of its rows the bound is in the Euclidean norm, in which rounding weighs more.
        tolerance = 0.5 if weight == 20 and sigma > 0.8 else 0.25
        out, reports = solve(emulator, src, dst, mask, base, tolerance=tolerance, **options)
        assert_certified(out, reports, want, tolerance)


@pytest.mark.parametrize("preserve", [False, True])
def test_it_takes_any_size_and_number_of_channels(emulator: Any, preserve: bool) -> None:
    rng = np.random.default_rng(3)
    sizes = [(1, 1, 1), (1, 7, 3), (7, 1, 4), (5, 5, 5), (2, 2, 2), (13, 127, 1), (31, 211, 1), (67, 3, 2)]
    for k, size in enumerate(sizes):
        src, dst, base = (photo(rng, (1, *size), "uint8") for _ in range(3))
        mask = masks_of(rng, 1, *size[:2], "uint16")
        # A size has a number where the background is solved for and a map where it is kept, or the other way round.
        weight = (0.4 + rng.random((1, *size[:2]))).astype(np.float32) if k % 2 == preserve else 0.7
        want = solutions(src, dst, mask, base, weight, preserve_background=preserve)
        results = []
        for rows in (0, 4):
            options: dict[str, Any] = {"weight": weight, "preserve_background": preserve, "segment_rows": rows}
            out, reports = solve(emulator, src, dst, mask, base, **options)
            assert_certified(out, reports, want, 0.25)
            results.append(out)
        np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
def test_it_takes_any_dtype_and_agrees_with_the_cpu(emulator: Any, dtype: str) -> None:
    rng = np.random.default_rng(4)
    shape = (1, 17, 139, 3)
    src, dst = (photo(rng, shape, dtype) for _ in range(2))
    tolerance = 0.25 * RANGE[dtype] / 255
    bases = [("bool", dtype, False), ("float32", "float32", True), ("uint8", dtype, True), ("uint16", dtype, False)]
    for mask_dtype, base_dtype, preserve in bases:
        base = (photo(rng, shape, "float32") * RANGE[dtype]).astype(base_dtype)
        mask = masks_of(rng, *shape[:3], mask_dtype)
        options: dict[str, Any] = {"preserve_background": preserve, "tolerance": tolerance}
        want = solutions(src, dst, mask, base, preserve_background=preserve)
        real, reports = solve(emulator, src, dst, mask, base, **options)
        assert_certified(real, reports, want, tolerance, 1e-9 * RANGE[dtype])
        # The steps are those of the CPU's kernel, which may have chosen others in a second run.
        fixed = {**options, "max_steps": 9, "tolerance": 1e-9 * RANGE[dtype]}
        nine, _ = solve(emulator, src, dst, mask, base, **fixed)
        its, info = on_cpu(src[0], dst[0], mask[0], base[0], **fixed)
        assert info["steps"] == 9
        assert np.abs(nine[0] - its).max() <= AGREEMENT * RANGE[dtype]

        out, same = solve(emulator, src, dst, mask, base, np.empty(shape, dtype), **options)
        assert same == reports
        assert_rounded(out, real, dst, mask, preserve)


def test_it_takes_any_strides(emulator: Any) -> None:
    rng = np.random.default_rng(5)

    def channels_first(a: Any) -> Any:
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(a, -1, 1)), 1, -1) if a.ndim == 4 else a

    def unaligned(a: Any) -> Any:
        if a.ndim == 3:
            wide = np.zeros((a.shape[0], a.shape[1], a.shape[2] + 1), a.dtype)
            wide[..., 1:] = a
            return wide[..., 1:]
        n, h, w, c = a.shape
        wide = np.zeros((n, c, h, w + 1), a.dtype)
        wide[..., 1:] = np.moveaxis(a, -1, 1)
        return np.moveaxis(wide[..., 1:], 1, -1)

    def reversed_(a: Any) -> Any:
        every = (slice(None, None, -1),) * a.ndim
        return np.ascontiguousarray(a[every])[every]

    def spaced(a: Any) -> Any:
        wide = np.zeros((*a.shape[:2], a.shape[2] * 2, *a.shape[3:]), a.dtype)
        wide[:, :, ::2] = a
        return wide[:, :, ::2]

    for channels, dtype, width in ((3, "uint8", 360), (4, "float32", 149), (1, "float16", 180), (3, "uint16", 180)):
        shape = (2, 9, width, channels)
        src, dst, base = (photo(rng, shape, dtype) for _ in range(3))
        mask = masks_of(rng, *shape[:3], "uint8")
        want, _ = solve(emulator, src, dst, mask, base)
        for change in (channels_first, unaligned, reversed_, spaced):
            changed = [change(a) for a in (src, dst, mask, base)]
            before = [a.copy() for a in changed]
            if dtype in ("uint8", "float32"):
                result, _ = solve(emulator, *changed, change(np.empty(shape, np.float32)))
                np.testing.assert_array_equal(result, want)
            if dtype != "float32":
                out, _ = solve(emulator, *changed, change(np.empty(shape, dtype)))
                rounded = np.clip(np.rint(want), 0, RANGE[dtype]) if dtype.startswith("u") else want
                np.testing.assert_array_equal(out, rounded.astype(dtype))
            for a, b in zip(changed, before):
                np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("axis", range(4), ids=["items", "rows", "columns", "channels"])
def test_offsets_beyond_two_gigavalues(emulator: Any, axis: int) -> None:
    """Rows and columns as far apart are refused by name: they are what a lane adds up in 32 bits."""
    rng = np.random.default_rng(15)
    for dtype, channels in (("uint8", 3), ("float32", 2)):
        shape = (2, 9, 20, channels)
        arrays = [photo(rng, shape, dtype) for _ in range(2)]
        arrays += [masks_of(rng, *shape[:3], "uint8"), photo(rng, shape, dtype)]
        want, _ = solve(emulator, *arrays)
        every = [*arrays, np.empty(shape, np.float32)]
        far = [a if axis == a.ndim else far_apart(a, axis, emulator) for a in every]
        if axis in (0, 3) or emulator.checked:
            np.testing.assert_array_equal(solve(emulator, *far)[0], want)
            continue
        for i, name in enumerate(("src", "dst", "mask", "base", "out")):
            far[i] = far_apart(every[i], axis)
            arrays = [*every[:i], far[i], *every[i + 1 :]]
            where = "rows" if axis == 1 else "columns"
            with pytest.raises(ValueError, match=rf"{name}: {where} \d+ bytes apart, expected less than 2\^31"):
                solve(emulator, *arrays)


def test_a_batch_is_its_items(emulator: Any) -> None:
    rng = np.random.default_rng(6)
    shape = (3, 21, 40, 3)
    src, dst, base = (photo(rng, shape, "uint8", smooth=True) for _ in range(3))
    dst[1] = photo(rng, shape, "uint8")[1]  # needs more steps than the others
    base[1] = 255 - dst[1]
    mask = np.broadcast_to(masks_of(rng, 1, 21, 40, "float32"), shape[:3])
    c = np.broadcast_to((0.4 + rng.random((1, 21, 40))).astype(np.float32), shape[:3])
    assert mask.strides[0] == c.strides[0] == 0
    for weight, preserve in ((1.0, False), (c, True)):
        options: dict[str, Any] = {"preserve_background": preserve, "tolerance": 0.1}
        out, reports = solve(emulator, src, dst, mask, base, weight=weight, **options)
        assert reports[0]["total_steps"] < reports[1]["total_steps"]
        for k in range(3):
            one = slice(k, k + 1)
            its = weight[one] if isinstance(weight, np.ndarray) else weight
            alone, report = solve(emulator, src[one], dst[one], mask[one], base[one], weight=its, **options)
            np.testing.assert_array_equal(alone[0], out[k])
            if not isinstance(weight, np.ndarray):
                assert report == [reports[k]]


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_a_base_of_half_the_size(emulator: Any, dtype: str) -> None:
    rng = np.random.default_rng(7)
    for size in ((1, 1, 1), (2, 3, 1), (5, 131, 3), (22, 37, 1)):
        shape = (2, *size)
        src, dst = (photo(rng, shape, "uint8") for _ in range(2))
        mask = masks_of(rng, *shape[:3], "uint8")
        half = photo(rng, (2, (size[0] + 1) // 2, (size[1] + 1) // 2, size[2]), dtype)
        if dtype != "uint8":
            half *= 255
        base = np.stack([pyramid.upsample(h, size[:2]) for h in half]).astype(np.float32)
        for preserve in (False, True) if dtype == "float32" else (dtype == "uint8",):
            # It takes more than one pass, and a strip ends within the image.
            for steps in (9, 30):
                options: dict[str, Any] = {"preserve_background": preserve, "max_steps": steps, "tolerance": 1e-6}
                want, _ = solve(emulator, src, dst, mask, base, **options)
                result, reports = solve(emulator, src, dst, mask, half, half_base=True, **options)
                # Sixteen weights of float32 are rounded, and what base then acts with: at most its own size.
                assert np.abs(result - want).max() <= 20 * 2.0**-24 * 2 * 255
                assert all(np.isfinite(r["max_error"]) for r in reports)


@pytest.mark.parametrize("preserve", [False, True])
def test_a_given_right_hand_side(emulator: Any, preserve: bool) -> None:
    rng = np.random.default_rng(8)
    shape = (2, 25, 38, 2)
    rhs = rng.standard_normal(shape).astype(np.float32)
    zero = np.zeros(shape, np.uint8)
    mask = masks_of(rng, *shape[:3], "float32")
    weight = (0.3 + rng.random(shape[:3])).astype(np.float32)
    for c in (0.4, weight):
        # Flat images and the base that gives this b make the same equation.
        c64 = np.broadcast_to(np.asarray(c, np.float64), shape[:3])
        want = solutions(zero, zero, mask, rhs / c64[..., None], c, preserve_background=preserve)
        largest = float(np.abs(rhs).max())
        options: dict[str, Any] = {"weight": c, "preserve_background": preserve, "rhs": rhs, "range": largest}
        out, reports = solve(emulator, None, None, mask, None, tolerance=1e-5 * largest, **options)
        assert_certified(out, reports, want, 1e-5 * largest, 1e-12)
        if preserve:
            assert not out[mask == 0].any()


@pytest.mark.parametrize("preserve", [False, True])
@pytest.mark.parametrize("weighted", ["number", "map"])
def test_the_bound_holds_wherever_the_iteration_stops(emulator: Any, weighted: str, preserve: bool) -> None:
    rng = np.random.default_rng(9)
    shape = (1, 14, 17, 1)
    for dtype in ("uint8", "float32"):
        src, dst, base = (photo(rng, shape, dtype) for _ in range(3))
        mask = masks_of(rng, *shape[:3], "uint8")
        for weight in (0.25, 30.0):
            c = (weight * (0.5 + rng.random(shape[:3]))).astype(np.float32) if weighted == "map" else weight
            for sigma in (0.0, 0.8) if dtype == "uint8" else (0.5,):
                want = solutions(src, dst, mask, base, c, sigma=sigma, preserve_background=preserve)
                # The runs have one step, one pass, and more passes than one.
                for steps in (1, 9, 13, 27):
                    out, (report,) = solve(
                        emulator,
                        src,
                        dst,
                        mask,
                        base,
                        weight=c,
                        sigma=sigma,
                        preserve_background=preserve,
                        max_steps=steps,
                        tolerance=1e-9 * RANGE[dtype],
                    )
                    assert not report["converged"]
                    assert report["steps"] <= steps
                    assert np.abs(out - want).max() <= report["max_error"]


@pytest.mark.parametrize("weighted", ["number", "map"])
def test_hard_images_run_again(emulator: Any, weighted: str) -> None:
    rng = np.random.default_rng(10)
    shape = (1, 40, 50, 1)
    src, dst = (photo(rng, shape, "uint8") for _ in range(2))
    base = np.where(dst > 127, dst - 127, dst + 128).astype(np.uint8)
    mask = masks_of(rng, *shape[:3], "uint8")
    for weight in (0.25, 1.0):
        c = np.full(shape[:3], weight, np.float32) if weighted == "map" else weight
        for preserve in (False, True):
            want = solutions(src, dst, mask, base, c, preserve_background=preserve)
            tolerance = 0.06 if weighted == "map" else 0.25
            options: dict[str, Any] = {"preserve_background": preserve, "tolerance": tolerance}
            out, reports = solve(emulator, src, dst, mask, base, weight=c, **options)
            assert_certified(out, reports, want, tolerance)
            assert reports[0]["total_steps"] > reports[0]["steps"]


def test_what_is_not_finite_is_reported(emulator: Any) -> None:
    rng = np.random.default_rng(11)
    shape = (2, 15, 33, 3)
    mask = np.clip(masks_of(rng, *shape[:3], "float32"), 0.25, 1)
    for name in ("src", "dst", "base"):
        for value in (np.nan, np.inf):
            images = {k: photo(rng, shape, "float32") for k in ("src", "dst", "base")}
            images[name][1, 4, 12, 2] = value
            for preserve in (False, True):
                _, reports = solve(
                    emulator, images["src"], images["dst"], mask, images["base"], preserve_background=preserve
                )
                assert [r["finite"] for r in reports] == [True, False]
                assert [r["converged"] for r in reports] == [True, False]


def test_items_and_channels_take_turns_where_the_state_has_no_room_for_all(emulator: Any) -> None:
    rng = np.random.default_rng(15)
    shape = (2, 21, 33, 2)
    src, dst, base = (photo(rng, shape, "uint8") for _ in range(3))
    mask = masks_of(rng, *shape[:3], "uint8")
    weights = (0.2 + rng.random(shape[:3])).astype(np.float32)
    plane = 16 * shape[1] * 36  # two levels, read and written, of rows that are a multiple of four floats
    for weight in (0.15, weights):
        # There are more passes than one in the first run, or a second run.
        options: dict[str, Any] = {"weight": weight, "preserve_background": True, "tolerance": 0.1}
        want, its = solve(emulator, src, dst, mask, base, **options)
        assert max(r["total_steps"] for r in its) > 11
        for room in (1, 3 * plane):
            result, reports = solve(emulator, src, dst, mask, base, state_bytes=room, **options)
            np.testing.assert_array_equal(result, want)
            assert reports == its


# The plans of launches need no GPU: H100 SXM, A100, RTX 3090, RTX 4090 and T4 have, by the tables of CUDA's programming
# guide, these multiprocessors and shared memory. A multiprocessor holds 65,536 registers: 8 warps of 255 a thread.
GPUS = {
    "H100": (132, 228 << 10), "A100": (108, 164 << 10), "RTX 3090": (82, 100 << 10), "RTX 4090": (128, 100 << 10),
    "T4": (40, 64 << 10),
}  # fmt: skip


def schedule(emulator: Any, shape: tuple[int, int, int, int], gpu: str = "H100", **options: Any) -> Any:
    """Returns the launches for photographs of uint8, with nothing in their memory."""
    n, h, w, c = shape
    view = emulator.ArrayView(64, "uint8", (n, h, w, c), (h * w * c, w * c, c, 1), True)
    mask = emulator.ArrayView(64, "uint8", (n, h, w), (h * w, w, 1), False)
    processors, shared = GPUS[gpu]
    return emulator.gaussian_poisson_chebyshev_schedule(
        view, view, mask, view, view, device=0, processors=processors, shared_per_processor=shared,
        **{"weight": 1.0, "w0": 0.8, "w1": 0.1, "preserve_background": False, "tolerance": 0.25, "max_steps": 96,
           **options},
    )  # fmt: skip


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_blocks_are_those_of_which_most_warps_fit(emulator_module: Any, gpu: str, channels: int) -> None:
    """A block holds its shared memory and 1 KB of the system's; its warps hold their registers."""
    _, shared = GPUS[gpu]
    for run in ("first", "repeat"):
        launch = getattr(schedule(emulator_module, (1, 2160, 3840, channels), gpu), run)
        warp_bytes = launch.block_bytes // launch.warps

        def at_once(warps: int, warp_bytes: int = warp_bytes) -> int:
            if warps > 1 and warps * warp_bytes > 64 << 10:
                return 0
            return warps * max(1, min(8 // warps, shared // (warps * warp_bytes + 1024)))

        assert launch.places * launch.warps == GPUS[gpu][0] * at_once(launch.warps)
        assert at_once(launch.warps) == max(map(at_once, range(1, 5)))
        assert launch.block_bytes <= 64 << 10


@pytest.mark.parametrize(("height", "width"), [(1080, 1920), (1024, 1024), (512, 512), (720, 1280)])
def test_photographs_are_one_wave_of_blocks(emulator_module: Any, height: int, width: int) -> None:
    launch = schedule(emulator_module, (1, height, width, 3)).first
    assert launch.warps == 4 and launch.places == 264
    assert launch.blocks <= launch.places
    if height >= 1024:
        assert launch.blocks >= 0.95 * launch.places


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("shape", [(1, 4320, 7680, 3), (1, 2160, 3840, 3), (8, 1080, 1920, 3)])
def test_waves_of_large_images_are_full(emulator_module: Any, gpu: str, shape: tuple[int, int, int, int]) -> None:
    launch = schedule(emulator_module, shape, gpu).first
    waves = launch.blocks / launch.places
    assert waves / np.ceil(waves) >= 0.9


def test_repeated_runs_enqueue_no_more_blocks_than_run_at_once(emulator_module: Any) -> None:
    """Most of them return at once, and every block more is time for nothing."""
    for shape in ((1, 4320, 7680, 3), (1, 1080, 1920, 3), (1, 64, 64, 3)):
        launch = schedule(emulator_module, shape).repeat
        assert 0 < launch.blocks <= launch.places
    assert schedule(emulator_module, (1, 1080, 1920, 3)).launches == 8
    assert schedule(emulator_module, (1, 1080, 1920, 3), last_run=0).launches == 2
    assert schedule(emulator_module, (1, 1080, 1920, 3), first_run=1, last_run=1).launches == 3


def test_the_first_run_takes_no_state(emulator_module: Any) -> None:
    for shape in ((1, 4320, 7680, 3), (1, 1080, 1920, 3), (64, 1024, 1024, 3)):
        first = schedule(emulator_module, shape, last_run=0)
        assert first.state_size == 0
        assert first.workspace_size <= 4 << 20  # tables, and what tiles report
        assert first.workspace_size == schedule(emulator_module, shape).workspace_size


def test_the_state_takes_eight_bytes_a_pixel_and_channel_of_what_is_solved_at_once(emulator_module: Any) -> None:
    """They are two levels in float32, which the first of two passes leaves to the second."""
    assert schedule(emulator_module, (1, 4320, 7680, 3)).state_size == 8 * 4320 * 7680
    assert schedule(emulator_module, (1, 1080, 1920, 3)).state_size == 3 * 8 * 1080 * 1920
    assert schedule(emulator_module, (1, 1024, 1024, 3)).state_size == 3 * 8 * 1024 * 1024
    assert schedule(emulator_module, (64, 1024, 1024, 3)).state_size <= 256 << 20
    # A pass in the middle reads two and writes two.
    many = schedule(emulator_module, (1, 1080, 1920, 3), weight=0.05, tolerance=0.004)
    assert many.state_size == 3 * 16 * 1080 * 1920


def test_runs_that_are_enqueued_one_by_one_give_the_same(emulator: Any) -> None:
    rng = np.random.default_rng(5)
    shape = (2, 21, 33, 2)
    src, dst, base = (photo(rng, shape, "uint8") for _ in range(3))
    mask = masks_of(rng, *shape[:3], "uint8")
    for weight in (0.15, 1.0, (0.2 + rng.random(shape[:3])).astype(np.float32)):
        options: dict[str, Any] = {"weight": weight, "preserve_background": True, "tolerance": 0.1}
        want, its = solve(emulator, src, dst, mask, base, **options)
        result, reports = solve(emulator, src, dst, mask, base, runs=[(0, 0), (1, 1), (2, 2)], **options)
        np.testing.assert_array_equal(result, want)
        assert reports == its and not any(r["more"] for r in reports)
        _, first = solve(emulator, src, dst, mask, base, runs=[(0, 0)], **options)
        assert [r["more"] for r in first] == [a["total_steps"] > b["steps"] for a, b in zip(its, first, strict=True)]


def test_it_says_when_float32_cannot_reach_the_tolerance(emulator: Any) -> None:
    rng = np.random.default_rng(12)
    shape = (1, 20, 25, 3)
    src, dst, base = (photo(rng, shape, "uint8") for _ in range(3))
    _, (report,) = solve(emulator, src, dst, masks_of(rng, 1, 20, 25, "uint8"), base, tolerance=1e-5)
    assert not report["converged"]
    assert 1e-5 < report["max_error"] < 0.02


def test_the_bits_do_not_depend_on_the_order_of_threads(emulator: Any) -> None:
    rng = np.random.default_rng(13)
    shape = (1, 37, 140, 3)
    src, dst, base = (photo(rng, shape, "uint8") for _ in range(3))
    mask = masks_of(rng, *shape[:3], "uint8")
    for options in ({"weight": 0.25}, {"preserve_background": True, "segment_rows": 7}):
        result = solve(emulator, src, dst, mask, base, **options)
        emulator.set_seed(0)
        want = solve(emulator, src, dst, mask, base, **options)
        np.testing.assert_array_equal(result[0], want[0])
        assert result[1] == want[1]


def test_it_names_what_does_not_fit(emulator_module: Any) -> None:
    rng = np.random.default_rng(14)
    src = photo(rng, (1, 8, 9, 3), "uint8")
    mask = masks_of(rng, 1, 8, 9, "uint8")

    def fails(message: str, *images: Any, **options: Any) -> None:
        with pytest.raises(ValueError, match=message):
            solve(emulator_module, *images, **options)

    fails(r"base: shape \[1, 8, 9, 1\], expected \[1, 8, 9, 3\]", src, src, mask, src[..., :1])
    fails(r"base: shape \[1, 8, 9, 3\], expected \[1, 4, 5, 3\]", src, src, mask, src, half_base=True)
    fails(r"mask: shape \[1, 8, 8\]", src, src, mask[..., :8], src)
    fails("src: dtype float64", src.astype(np.float64), src, mask, src)
    fails("mask: dtype float64", src, src, mask.astype(np.float64), src)
    fails("weight: 0, expected more than 0", src, src, mask, src, weight=0.0)
    fails("weight_map: values from 0 to", src, src, mask, src, weight=np.zeros((1, 8, 9), np.float32))
    fails("tolerance: 0", src, src, mask, src, tolerance=0.0)
    fails("max_steps: 0", src, src, mask, src, max_steps=0)
