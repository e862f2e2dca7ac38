"""Small runs of every kernel, for the checker and for the test that takes its barriers away one by one.

A case is a function of a native module of the emulator and of its memory; it runs kernels on small data, such that
every loop with a barrier goes round twice and every barrier is reached, and returns what they wrote. Names say which
kernels they are about.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Buffer:
    """Memory of the emulated device, exactly as large as an array; its unwritten parts are known as such."""

    def __init__(self, native: Any, shape: Sequence[int], dtype: npt.DTypeLike) -> None:
        self.shape, self.dtype = tuple(shape), np.dtype(dtype)
        self._native = native
        self._memory = native.DeviceBuffer(max(int(np.prod(self.shape)), 1) * self.dtype.itemsize, 0, 0)

    @property
    def pointer(self) -> int:
        return self._memory.pointer

    @property
    def bytes(self) -> int:
        return self._memory.bytes

    def view(self, *, writable: bool = True) -> Any:
        """Returns the ArrayView of all of it."""
        strides, step = [], 1
        for size in reversed(self.shape):
            strides.append(step)
            step *= size
        return self._native.ArrayView(self.pointer, self.dtype.name, self.shape, tuple(reversed(strides)), writable)

    def put(self, array: Array) -> Buffer:
        array = np.ascontiguousarray(array, self.dtype)
        self._native.copy_in(self.pointer, array.ctypes.data, array.nbytes, 0, 0)
        return self

    def get(self) -> Array:
        array = np.empty(self.shape, self.dtype)
        self._native.copy_out(array.ctypes.data, self.pointer, array.nbytes, 0, 0)
        return array


class Memory:
    """The emulated device's memory, as a case uses it; a view does not hold it, this does."""

    def __init__(self, native: Any) -> None:
        self._native = native
        self._alive: list[Buffer] = []

    def empty(self, shape: int | Sequence[int], dtype: npt.DTypeLike = np.float32) -> Buffer:
        self._alive.append(Buffer(self._native, (shape,) if isinstance(shape, int) else shape, dtype))
        return self._alive[-1]

    def put(self, array: Array) -> Buffer:
        return self.empty(array.shape, array.dtype).put(array)

    def zeros(self, shape: int | Sequence[int], dtype: npt.DTypeLike = np.float32) -> Buffer:
        return self.put(np.zeros(shape, dtype))


class Case(NamedTuple):
    name: str
    module: str
    run: Callable[[Any, Memory], Sequence[Array]]

    def results(self, native: Any) -> list[bytes]:
        return [np.ascontiguousarray(array).tobytes() for array in self.run(native, Memory(native))]


CASES: list[Case] = []


def case(
    name: str, module: str = "_emulator"
) -> Callable[[Callable[[Any, Memory], Sequence[Array]]], Callable[[Any, Memory], Sequence[Array]]]:
    """Registers a case of a module: _emulator, or _emulator_tests for the kernels of tests/native."""

    def register(run: Callable[[Any, Memory], Sequence[Array]]) -> Callable[[Any, Memory], Sequence[Array]]:
        CASES.append(Case(name, module, run))
        return run

    return register


def _test_case(name: str, sizes: tuple[int, int] = (2048, 2048)) -> None:
    """Registers a kernel of tests/native: floats in and out, 16 counters."""

    @case(name, "_emulator_tests")
    def run(native: Any, memory: Memory) -> Sequence[Array]:
        values = np.random.default_rng(5).integers(0, 16, sizes[0]).astype(np.float32)
        source, out, counters = memory.put(values), memory.zeros(sizes[1]), memory.zeros(16, np.uint32)
        native.run(name, source.pointer, out.pointer, counters.pointer, sizes[0])
        return out.get(), counters.get()


for _name in (
    *("stencil", "block_sum", "transpose", "transpose_padded", "copy_vector", "copy_stride", "histogram"),
    *("last_block", "divergent_exchange", "pipeline", "bytes", "any", "cluster", "early"),
    *("product_half", "product_bfloat16", "product_tf32"),
):
    _test_case(_name)

HOST_LAUNCH = {"device": 0, "stream": 0}


def _images(shape: Sequence[int], dtype: str = "uint8", seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 255, shape, endpoint=True).astype(dtype)


@case("copy")
def _copy(native: Any, memory: Memory) -> Sequence[Array]:
    images, out = memory.put(_images((2, 5, 300, 3))), memory.empty((2, 5, 300, 3), np.uint8)
    native.copy(images.view(), out.view(), **HOST_LAUNCH)
    planar = memory.empty((2, 3, 5, 300), np.uint8)
    view = native.ArrayView(planar.pointer, "uint8", (2, 5, 300, 3), (4500, 300, 1, 1500), True)
    native.copy(images.view(), view, **HOST_LAUNCH)
    return out.get(), planar.get()


def _pyramid_downsample(shape: Sequence[int], dtype: str, sigma: float) -> None:
    size = "x".join(map(str, shape))

    @case(f"pyramid_downsample {size} {dtype} {sigma:g}")
    def run(native: Any, memory: Memory) -> Sequence[Array]:
        half = (shape[0], (shape[1] + 1) // 2, (shape[2] + 1) // 2, shape[3])
        image, out = memory.put(_images(shape, dtype)), memory.empty(half)
        native.pyramid_downsample(image.view(), sigma, out.view(), **HOST_LAUNCH)
        return [out.get()]


_pyramid_downsample((1, 61, 150, 3), "uint8", 1.0)
_pyramid_downsample((2, 37, 53, 1), "float32", 2.0)
_pyramid_downsample((1, 31, 70, 5), "uint16", 5.3)
_pyramid_downsample((1, 40, 66, 3), "float16", 0.0)


@case("pyramid_downsample_mask")
def _pyramid_downsample_mask(native: Any, memory: Memory) -> Sequence[Array]:
    mask = memory.put(np.where(_images((2, 19, 272)) < 90, 0, _images((2, 19, 272), seed=1)).astype(np.uint8))
    outs = [memory.empty((2, 10, 136)) for _ in range(2)] + [memory.empty((2, 5, 68)) for _ in range(2)]
    first, valid, second, coarser = outs
    native.pyramid_downsample_mask(mask.view(), None, first.view(), valid.view(), **HOST_LAUNCH)
    native.pyramid_downsample_mask(first.view(), valid.view(), second.view(), coarser.view(), **HOST_LAUNCH)
    return [out.get() for out in outs]


@case("pyramid_upsample")
def _pyramid_upsample(native: Any, memory: Memory) -> Sequence[Array]:
    coarse = memory.put(_images((1, 20, 35, 3), "float32"))
    plain, shifted = (memory.empty((1, 40, 70, 3)) for _ in range(2))
    dst, valid = memory.put(_images((1, 40, 70, 3))), memory.put(_images((1, 40, 70), seed=2) < 128)
    native.pyramid_upsample(coarse.view(), plain.view(), **HOST_LAUNCH)
    native.pyramid_upsample_meet(coarse.view(), dst.view(), valid.view(), shifted.view(), **HOST_LAUNCH)
    return plain.get(), shifted.get()


@case("pyramid_copy_paste, pyramid_hold")
def _pyramid_pointwise(native: Any, memory: Memory) -> Sequence[Array]:
    src, dst = (memory.put(_images((2, 9, 140, 3), seed=seed)) for seed in range(2))
    mask, base = memory.put(_images((2, 9, 140))), memory.empty((2, 9, 140, 3))
    native.pyramid_copy_paste(src.view(), dst.view(), mask.view(), base.view(), **HOST_LAUNCH)
    valid, weights = memory.put(_images((2, 9, 140), "float32") / 255), memory.empty((2, 9, 140))
    native.pyramid_hold(valid.view(), weights.view(), **HOST_LAUNCH)
    return base.get(), weights.get()


@case("pyramid_limit")
def _pyramid_limit(native: Any, memory: Memory) -> Sequence[Array]:
    src, dst, out = (memory.put(_images((2, 9, 140, 3), seed=seed)) for seed in range(3))
    mask = memory.put(_images((2, 9, 140), seed=3))
    native.pyramid_limit(src.view(), dst.view(), mask.view(), out.view(), **HOST_LAUNCH)
    return (out.get(),)


@case("pyramid_lay, pyramid_lay_mask")
def _pyramid_lay(native: Any, memory: Memory) -> Sequence[Array]:
    src, dst = memory.put(_images((2, 9, 40, 3))), memory.put(_images((2, 15, 61, 3), seed=1))
    canvas, mask = memory.empty((2, 15, 61, 3)), memory.put(_images((2, 9, 40), seed=2))
    native.pyramid_lay(src.view(), dst.view(), 2, 21, canvas.view(), **HOST_LAUNCH)
    share, whole = memory.empty((2, 15, 61)), memory.empty((2, 15, 61))
    native.pyramid_lay_mask(mask.view(), 2, 21, 9, 40, share.view(), **HOST_LAUNCH)
    native.pyramid_lay_mask(None, 0, 3, 15, 4, whole.view(), **HOST_LAUNCH)
    # One zero, which the first thread of its block does not see.
    one = np.full((2, 15, 61), 255, np.uint8)
    one[0, 2, 5] = 0
    nearly, there = memory.empty((2, 15, 61)), memory.put(one)
    zero_there = memory.empty(2, np.int32)
    native.pyramid_lay_mask(there.view(), 0, 0, 15, 61, nearly.view(), open=zero_there.pointer, **HOST_LAUNCH)
    interior, full, has_zero = memory.empty((2, 15, 61)), memory.empty((2, 15, 61)), memory.empty(2, np.int32)
    native.pyramid_lay_mask(mask.view(), 4, 19, 9, 40, interior.view(), sides=15, open=has_zero.pointer, **HOST_LAUNCH)
    native.pyramid_lay_mask(None, 1, 2, 13, 58, full.view(), sides=15, open=has_zero.pointer, **HOST_LAUNCH)
    return canvas.get(), share.get(), whole.get(), nearly.get(), zero_there.get(), interior.get(), full.get()


def _rectangle(memory: Memory, shape: Sequence[int]) -> list[Buffer]:
    """Returns src, dst, mask and base."""
    return [memory.put(_images(shape[:3] if seed == 2 else shape, seed=seed)) for seed in range(4)]


@case("write_captured")
def _write_captured(native: Any, memory: Memory) -> Sequence[Array]:
    values, out = np.arange(2000, dtype=np.uint32), memory.empty(2000, np.uint32)  # more than a launch brings along
    native.write_captured(out.pointer, values, 0, 0)
    return [out.get()]


def _gaussian_poisson_direct(
    shape: Sequence[int], weight: float, *, rhs: bool = False, shared_per_block: int = 0
) -> None:
    @case(f"gaussian_poisson_direct {'x'.join(map(str, shape))} {weight:g}{' rhs' if rhs else ''}")
    def run(native: Any, memory: Memory) -> Sequence[Array]:
        images, out = _rectangle(memory, shape), memory.empty(shape)
        b = memory.put(_images(shape, seed=5).astype(np.float32)) if rhs else None
        views = [*(None if rhs else buffer.view() for buffer in images), out.view()]
        options = {"weight": weight, "w0": 0.7, "w1": 0.15, "rhs": None if b is None else b.view(), "device": 0}
        options["shared_per_block"] = shared_per_block
        tables, slow = native.gaussian_poisson_direct_tables(shape[2], weight, 0.7, 0.15)
        workspace = memory.empty(native.gaussian_poisson_direct_workspace(*views, **options), np.uint8)
        there = memory.put(tables)
        residuals = memory.empty(shape[0])
        native.gaussian_poisson_direct(
            *views, **options, tables=(there.pointer, there.bytes), slow=slow,
            workspace=(workspace.pointer, workspace.bytes), stream=0,
        )  # fmt: skip
        native.gaussian_poisson_direct_residual(*views, **options, residuals=residuals.pointer, stream=0)
        return out.get(), residuals.get()


_gaussian_poisson_direct((1, 41, 75, 2), 0.0)  # two stages, and the mean
_gaussian_poisson_direct((2, 300, 60, 3), 1e-3)  # interleaved, several warps, slow columns
_gaussian_poisson_direct((1, 20, 79, 3), 0.5)  # a convolution
_gaussian_poisson_direct((1, 5, 370, 1), 1e-3)  # a prime radix, whose butterflies several threads share, in two rounds
_gaussian_poisson_direct((1, 5, 1024, 1), 0.5)  # rows of a known width
_gaussian_poisson_direct((1, 5, 1024, 3), 0.5)  # and three interleaved channels of them
_gaussian_poisson_direct((1, 6, 440, 1), 1.0, rhs=True)
_gaussian_poisson_direct((1, 4353, 4, 1), 0.1)  # segments
_gaussian_poisson_direct((1, 1510, 40, 1), 0.1, shared_per_block=48 << 10)  # tiles that no block has room to copy


def _chebyshev_scratch(native: Any, memory: Memory, views: Sequence[Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the workspace and the state of all runs."""
    schedule = native.gaussian_poisson_chebyshev_schedule(*views, **options)
    sizes = {"workspace": schedule.workspace_size, "state": schedule.state_size}
    buffers = {name: memory.empty(size, np.uint8) for name, size in sizes.items()}
    return {name: (buffer.pointer, buffer.bytes) for name, buffer in buffers.items()}


def _gaussian_poisson_chebyshev(
    shape: Sequence[int], dtype: str = "uint8", *, pinned: bool = False, weights: bool = False, half_base: bool = False,
    rhs: bool = False, planar: bool = False,
) -> None:  # fmt: skip
    kinds = {"pinned": pinned, "map": weights, "half base": half_base, "rhs": rhs, "planar": planar}
    words = ["x".join(map(str, shape)), dtype, *(kind for kind, on in kinds.items() if on)]

    @case(f"gaussian_poisson_chebyshev {' '.join(words)}")
    def run(native: Any, memory: Memory) -> Sequence[Array]:
        n, h, w, c = shape
        half = (n, (h + 1) // 2, (w + 1) // 2, c)
        sizes = (shape, shape, shape[:3], half if half_base else shape)
        images = [memory.put(_images(size, dtype, seed)) for seed, size in enumerate(sizes)]
        images[2] = memory.put(
            np.where(_images(shape[:3], seed=7) < 90, 0, _images(shape[:3], seed=2)).astype(np.uint8)
        )
        views: list[Any] = [buffer.view() for buffer in images]
        out = memory.empty(shape, np.float32 if rhs else dtype)
        last = out.view()
        if planar:
            strides = (c * h * w, w, 1, h * w)
            last = native.ArrayView(out.pointer, out.dtype.name, tuple(shape), strides, True)
        if rhs:
            views = [None, None, views[2], None]
        right = memory.put(_images(shape, "float32", 8)).view() if rhs else None
        field = memory.put(_images(shape[:3], "float32", 9) / 255 + 0.5).view() if weights else None
        options = {
            "weight": 1.0, "weight_map": field, "least_weight": 0.5, "most_weight": 1.5, "w0": 0.7, "w1": 0.15,
            "preserve_background": pinned, "half_base": half_base, "tolerance": 0.25, "rhs": right, "max_steps": 40,
            "device": 0,
        }  # fmt: skip
        scratch = _chebyshev_scratch(native, memory, [*views, last], options)
        report = memory.empty(native.gaussian_poisson_chebyshev_report_bytes(n), np.uint8)
        native.gaussian_poisson_chebyshev(*views, last, **options, **scratch, report=report.pointer, stream=0)
        return out.get(), report.get()


_gaussian_poisson_chebyshev((1, 23, 41, 3))
_gaussian_poisson_chebyshev((1, 19, 70, 3), pinned=True, planar=True)
_gaussian_poisson_chebyshev((1, 21, 37, 1), "float32", pinned=True, weights=True)
_gaussian_poisson_chebyshev((1, 22, 45, 3), "float16", half_base=True)
_gaussian_poisson_chebyshev((2, 18, 33, 2), "float32", rhs=True, pinned=True)


def _gaussian_poisson_chebyshev(name: str, shape: Sequence[int], *, half_base: bool = False, **options: Any) -> None:
    """Registers a solve; weight None stands for a map."""

    @case(f"gaussian_poisson_chebyshev {name}")
    def run(native: Any, memory: Memory) -> Sequence[Array]:
        half = (shape[0], (shape[1] + 1) // 2, (shape[2] + 1) // 2, shape[3])
        images, out = _rectangle(memory, shape), memory.empty(shape, np.uint8)
        if half_base:
            images[3] = memory.put(_images(half, "float16"))
        views = [buffer.view() for buffer in (*images, out)]
        map_ = memory.put(_images(shape[:3], "float32") / 255 + np.float32(0.25)) if options["weight"] is None else None
        arguments = {
            "w0": 0.7, "w1": 0.15, "tolerance": 0.25, "max_steps": 40, "preserve_background": False, **options,
            "weight": options["weight"] or 1.0, "weight_map": None if map_ is None else map_.view(),
            "least_weight": 0.25, "most_weight": 1.25, "half_base": half_base, "device": 0,
        }  # fmt: skip
        scratch = _chebyshev_scratch(native, memory, views, arguments)
        report = memory.empty(native.gaussian_poisson_chebyshev_report_bytes(shape[0]), np.uint8)
        native.gaussian_poisson_chebyshev(*views, **arguments, **scratch, report=report.pointer, stream=0)
        return out.get(), report.get()


_gaussian_poisson_chebyshev("few", (1, 9, 37, 3), weight=1.0, max_steps=9)
_gaussian_poisson_chebyshev("few, half base", (1, 9, 37, 1), weight=1.0, max_steps=9, half_base=True)
_gaussian_poisson_chebyshev("few, known", (1, 9, 37, 3), weight=1.0, max_steps=9, preserve_background=True)
_gaussian_poisson_chebyshev("more", (1, 8, 20, 2), weight=0.25)
_gaussian_poisson_chebyshev("more, known", (2, 8, 20, 1), weight=0.25, preserve_background=True)
_gaussian_poisson_chebyshev("eleven", (1, 8, 20, 1), weight=0.8, max_steps=11)
_gaussian_poisson_chebyshev("eleven, known", (1, 8, 20, 1), weight=0.8, max_steps=11, preserve_background=True)
_gaussian_poisson_chebyshev("map", (1, 8, 19, 1), weight=None, preserve_background=True)
_gaussian_poisson_chebyshev("in turns", (2, 8, 20, 2), weight=0.25, state_bytes=1)


def _poisson(
    name: str, size: tuple[int, int], dtype: str, *, tail_cells: int, rhs: bool = False, film: bool = False,
    weight: float | None = 0.0, w1: float = 0.0, gradients: str = "source", certify: bool = False, items: int = 1,
    together: bool = False, processors: int = -1, cluster: int = 0,
) -> None:  # fmt: skip
    """Registers a solve; weight None stands for a map. together: a block does both channels of an item."""

    @case(f"poisson {name}")
    def run(native: Any, memory: Memory) -> Sequence[Array]:
        y, x = np.mgrid[: size[0], : size[1]]
        shape = (items, *size, 2)
        unknown = ((y - size[0] * 0.4) ** 2 + (x - size[1] * 0.5) ** 2 < (0.45 * size[0]) ** 2) & (x % 11 > 0)
        masks = memory.put(np.stack([unknown, unknown[::-1, ::-1]][:items]))
        plan = native.PoissonPlan(
            *size, items=items, weight=weight or 0.0, weight_map=weight is None, w0=1 - 2 * w1, w1=w1,
            tail_cells=tail_cells, processors=processors, cluster=cluster,
            **({"shared_tiles": 1} if together else {}),
        )  # fmt: skip
        weights = memory.put(_images((1, *size), "float32") / 255) if weight is None else None
        map_view = None if weights is None else weights.view()

        def block(size: int) -> tuple[int, int]:
            blocks.append(memory.empty(size, np.uint8))
            return blocks[-1].pointer, size

        blocks: list[Buffer] = []
        hierarchy = block(plan.bytes)
        native.poisson_hierarchy(plan, masks.view(), map_view, hierarchy, **HOST_LAUNCH)
        out, report = memory.zeros(shape, "float32" if rhs else dtype), block(native.poisson_report_bytes(items, 2))
        settings: dict[str, Any] = {
            "tolerance": 1e-3, "max_iterations": 3, "weight_map": map_view, "report": report,
            "workspace": block(plan.workspace_bytes(items, 2)),
            "certify": block(plan.certify_bytes(items, 2)) if certify else None,
        }  # fmt: skip
        if rhs:
            field = memory.put(_images(shape, "float32") / 255)
            native.poisson_solve_rhs(plan, hierarchy, field.view(), out.view(), **settings, **HOST_LAUNCH)
        else:
            src, dst = (memory.put(_images(shape, dtype, seed)) for seed in range(2))
            warm = block(plan.warm_bytes(items, 2)) if film else None
            if warm is not None:
                native.poisson_clear_warm(plan, items, 2, warm, **HOST_LAUNCH)
            for _ in range(2 if film else 1):
                native.poisson_solve(
                    plan, hierarchy, src.view(), dst.view(), masks.view(), None, out.view(), gradients=gradients,
                    warm=warm, **settings, **HOST_LAUNCH,
                )  # fmt: skip
        return out.get(), blocks[1].get()


_poisson("five points", (40, 70), "uint8", tail_cells=1024, gradients="mixed", items=2, together=True)
_poisson("five points, two fine levels", (70, 67), "float16", tail_cells=640, gradients="monochrome")
_poisson("film", (33, 66), "uint16", tail_cells=256, gradients="average", film=True)
_poisson("many blocks", (70, 67), "float32", tail_cells=640, processors=0)
_poisson("cluster", (70, 67), "uint8", tail_cells=640, cluster=2)
_poisson("cluster, three levels in strips", (70, 67), "uint8", tail_cells=64, cluster=4)
_poisson("nine points", (60, 100), "float32", tail_cells=640, weight=0.01, w1=0.1, rhs=True, together=True)
_poisson("certificate", (35, 70), "float32", tail_cells=640, weight=None, w1=0.1, certify=True)


@case("poisson_box")
def _poisson_box(native: Any, memory: Memory) -> Sequence[Array]:
    mask, boxes = memory.put(_images((2, 70, 90)) > 253), memory.empty((2, 4), np.int32)
    native.poisson_box(mask.view(), (boxes.pointer, boxes.bytes), **HOST_LAUNCH)
    return [boxes.get()]


# ---- partial convolution --------------------------------------------------------------------------------------------


def _partial_conv_plan(name: str, shape: Sequence[int], groups: int, soft: bool, layers: Sequence[Any]) -> None:
    @case(f"partial_conv_plan {name}")
    def run(native: Any, memory: Memory) -> Sequence[Array]:
        values = _images(shape, "float32") / 255
        mask = memory.put((values * (values < 0.3) if soft else values < 0.3).astype(np.float32))
        size, maps, windows = list(shape[2:]), [], []
        for kernel, stride, padding in layers:
            windows.append((kernel, kernel, stride, stride, padding, padding, 1, 1))
            size = [(n + 2 * padding - kernel) // stride + 1 for n in size]
            full = (shape[0], groups, *size)
            maps.append(
                (memory.empty(full), memory.empty(full), memory.empty(full, np.float32 if soft else np.bool_),
                 memory.zeros((shape[0], size[0] * size[1]), np.int32))
            )  # fmt: skip
        totals, flags = memory.empty((len(layers), shape[0]), np.int32), memory.empty(shape[0], np.int32)
        scratch = memory.empty(native.partial_conv_plan_workspace(mask.view(), groups, soft, windows), np.uint8)
        native.partial_conv_plan(
            mask.view(), groups, soft,
            [(window, *(a.view() for a in each[:3]), each[3].pointer) for window, each in zip(windows, maps)],
            totals.pointer, flags.pointer, (scratch.pointer, scratch.bytes), **HOST_LAUNCH,
        )  # fmt: skip
        return [totals.get(), flags.get(), *(a.get() for each in maps for a in each)]


_partial_conv_plan("bits", (2, 1, 70, 90), 1, False, [(3, 2, 0), (3, 1, 1), (5, 2, 2)])
_partial_conv_plan("bits of groups", (2, 6, 40, 70), 2, False, [(3, 2, 1), (3, 2, 1)])
_partial_conv_plan("planes", (1, 40, 70, 200), 1, False, [(3, 2, 1), (3, 2, 1)])
_partial_conv_plan("soft", (2, 2, 40, 70), 2, True, [(3, 2, 1), (3, 2, 1)])


def _partial_conv_passes(name: str, dtype: str, shape: Sequence[int], last: bool) -> None:
    """Registers the passes before and after a convolution, and the gradient of the second."""

    @case(f"partial_conv_passes {name}")
    def run(native: Any, memory: Memory) -> Sequence[Array]:
        n, c, h, w = shape
        kind = np.uint16 if dtype == "bfloat16" else np.dtype(dtype)
        values = (_images(shape, "float32") / 128 - 1).astype(np.float32)
        bits = (values.view(np.uint32) >> 16).astype(np.uint16) if dtype == "bfloat16" else values.astype(kind)
        strides = (h * w * c, 1, w * c, c) if last else (h * w * c, h * w, w, 1)

        def tensor(source: Array | None = None) -> tuple[Buffer, Any]:
            buffer = memory.empty(shape, kind) if source is None else memory.put(source)
            return buffer, native.ArrayView(buffer.pointer, dtype, shape, strides, True)

        valid = _images((n, 1, h, w), seed=1) < 120
        mask, ratio = memory.put(valid), memory.put((valid * 1.5).astype(np.float32))
        bias, scale = memory.put(values[0, :, 0, 0].copy()), memory.put(np.array([0.7], np.float32))
        (x, x_view), (out, out_view), (h_, _) = tensor(bits), tensor(), tensor()
        offset = memory.empty(c)
        calls = native.PartialConvCalls(x_view, out_view, bias.view(), scale.view(), x_view, scale.view())
        calls.premask(mask.view(), x.pointer, out.pointer, *HOST_LAUNCH.values())
        calls.mask_gradient(mask.view(), x.pointer, 1.0, scale.pointer, *HOST_LAUNCH.values())
        calls.epilogue(
            ratio.view(), mask.view(), out.pointer, bias.pointer, 1.0, scale.pointer, 0.2, *HOST_LAUNCH.values()
        )
        scratch = memory.empty(calls.workspace, np.uint8)
        calls.epilogue_grad(
            ratio.view(), None, x.pointer, out.pointer, 1.0, scale.pointer, 0.2, h_.pointer, offset.pointer,
            scratch.pointer, *HOST_LAUNCH.values(),
        )  # fmt: skip
        return [a.get() for a in (x, out, h_, offset)]


_partial_conv_passes("channels-last float32", "float32", (2, 40, 9, 30), True)
_partial_conv_passes("channels-last float16", "float16", (1, 24, 13, 30), True)
_partial_conv_passes("channels-last bfloat16, of no packs", "bfloat16", (2, 3, 17, 30), True)
_partial_conv_passes("planar float32", "float32", (1, 3, 60, 80), False)
_partial_conv_passes("planar bfloat16", "bfloat16", (1, 2, 90, 120), False)
_partial_conv_passes("planar float16, of no packs", "float16", (1, 2, 41, 53), False)


def _partial_conv_rows(
    name: str, dtype: str, shape: Sequence[int], outputs: int, kernel: int, stride: int, images: int
) -> None:
    """Registers it forward, with the last quarter of the images known, and backward.

    Args:
        images: of the mask.
    """

    @case(f"partial_conv_rows {name}")
    def run(native: Any, memory: Memory) -> Sequence[Array]:
        n, c, h, w = shape
        kind = np.uint16 if dtype == "bfloat16" else np.dtype(dtype)
        window = (kernel, kernel, stride, stride, kernel // 2, kernel // 2, 1, 1)
        oh, ow = ((v + kernel // 2 * 2 - kernel) // stride + 1 for v in (h, w))

        def bits(array: Array) -> Buffer:
            values = (array.astype(np.float32) / 128 - 1).astype(np.float32)
            return memory.put(
                (values.view(np.uint32) >> 16).astype(np.uint16) if kind == np.uint16 else values.astype(kind)
            )

        def last(size: Sequence[int], buffer: Buffer | None = None) -> tuple[Buffer, Any]:
            """Returns memory [N, H, W, C] and its view as [N, C, H, W]."""
            a, b, d, e = size
            buffer = buffer or memory.empty((a, d, e, b), kind)
            strides = (b * d * e, 1, e * b, b)
            return buffer, native.ArrayView(buffer.pointer, dtype, (a, b, d, e), strides, True)

        def plain(size: Sequence[int], buffer: Buffer | None = None) -> tuple[Buffer, Any]:
            buffer = buffer or memory.empty(size, kind)
            strides = [int(np.prod(size[i + 1 :])) for i in range(4)]
            return buffer, native.ArrayView(buffer.pointer, dtype, tuple(size), tuple(strides), True)

        valid = np.zeros((images, 1, h, w), bool)
        valid[..., w - w // 4 :] = True
        valid[..., h // 2, :] = True
        padded = np.pad(valid[:, 0], [(0, 0), *[(kernel // 2,) * 2] * 2])
        coverage = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), (1, 2))
        coverage = coverage[:, ::stride, ::stride].any((3, 4)).reshape(images, -1)
        rows = np.zeros((images, oh * ow), np.int32)
        for i, plane in enumerate(coverage):
            rows[i, : plane.sum()] = np.flatnonzero(plane) + i * oh * ow
        mask, ratio = memory.put(valid), memory.put((1.5 * coverage).reshape(images, 1, oh, ow).astype(np.float32))
        coverage_buffer = memory.put(coverage.reshape(images, 1, oh, ow))
        row_buffers = memory.put(rows), memory.put(coverage.sum(1).astype(np.int32))
        where = (row_buffers[0].pointer, row_buffers[1].pointer, images)
        _, x = last(shape, bits(_images((n, h, w, c))))
        _, h_ = last((n, outputs, oh, ow), bits(_images((n, oh, ow, outputs), seed=1)))
        _, weight = plain((outputs, kernel, kernel, c), bits(_images((outputs, kernel, kernel, c), seed=2)))
        _, transposed = plain((c, kernel, kernel, outputs), bits(_images((c, kernel, kernel, outputs), seed=3)))
        y, y_view = last((n, outputs, oh, ow))
        dx, dx_view = last(shape)
        dw, dw_view = plain((outputs, kernel, kernel, c))

        def space(nbytes: int) -> tuple[int, int]:
            return memory.empty(max(nbytes, 1), np.uint8).pointer, nbytes

        native.partial_conv_rows(
            x, mask.view(), weight, window, where, ratio.view(), None, 0.7, None, 0.2, y_view,
            space(native.partial_conv_rows_workspace(y_view)), **HOST_LAUNCH,
        )  # fmt: skip
        native.partial_conv_rows_input_grad(
            h_, coverage_buffer.view(), transposed, window, mask.view(), 0.7, None, dx_view,
            space(native.partial_conv_rows_input_workspace(dx_view, window)), **HOST_LAUNCH,
        )  # fmt: skip
        native.partial_conv_rows_weight_grad(
            h_, x, mask.view(), window, where, dw_view, space(native.partial_conv_rows_weight_workspace(h_, dw_view)),
            **HOST_LAUNCH,
        )  # fmt: skip
        return y.get(), dx.get(), dw.get()


_partial_conv_rows("bfloat16", "bfloat16", (2, 24, 13, 17), 40, 3, 2, 2)
_partial_conv_rows("float16, one mask, few taps", "float16", (3, 8, 9, 16), 72, 1, 1, 1)
_partial_conv_rows("TF32", "float32", (2, 12, 9, 20), 20, 3, 1, 2)


def _spectral_norm(name: str, shapes: Sequence[Sequence[int]], dtype: str, iterations: int, order: str) -> None:
    """Registers norms of weights [outer, rows, inner], with their gradients."""

    @case(f"spectral_norm {name}")
    def run(native: Any, memory: Memory) -> Sequence[Array]:
        rng = np.random.default_rng(2)
        weights = [memory.put(rng.standard_normal(shape).astype(dtype)) for shape in shapes]
        grads = [memory.put(rng.standard_normal(shape).astype(dtype)) for shape in shapes]
        outs, other_outs = ([memory.empty(shape, dtype) for shape in shapes] for _ in range(2))
        sizes = [(rows, outer * inner) for outer, rows, inner in shapes]
        us = [memory.put(rng.standard_normal(rows).astype(np.float32)) for rows, _ in sizes]
        vs = [memory.put(rng.standard_normal(cols).astype(np.float32)) for _, cols in sizes]
        sigmas, state = memory.empty(len(shapes)), memory.empty(sum(map(sum, sizes)))
        views = [[array.view() for array in arrays] for arrays in (weights, grads, outs, other_outs, us, vs)]
        workspace = memory.empty(native.spectral_norm_workspace(views[0]), np.uint8)
        native.spectral_norm(
            views[0], views[4], views[5], views[2], sigmas.view(), state.view(), iterations=iterations, eps=1e-12,
            order=order, write=True, workspace=workspace.view(), **HOST_LAUNCH,
        )  # fmt: skip
        pulls = memory.put(np.linspace(-1, 1, len(shapes), dtype=np.float32))
        native.spectral_norm_gradient(
            views[0], [*views[1][:-1], None], sigmas.view(), pulls.view(), state.view(), views[3],
            workspace=workspace.view(), **HOST_LAUNCH,
        )  # fmt: skip
        return [array.get() for array in (*outs, *other_outs, *us, *vs, sigmas, state)]


# There are several blocks of rows, chunks of columns and tiles; rows in fours and one by one; layers in one launch.
for _order in ("legacy", "parametrization"):
    _spectral_norm(_order, [(1, 140, 2052), (1, 5, 27), (12, 33, 16), (5, 20, 9)], "float32", 2, _order)
_spectral_norm("float16", [(1, 24, 100), (3, 20, 5)], "float16", 1, "legacy")
_spectral_norm("eval", [(1, 24, 100), (3, 20, 5)], "float32", 0, "legacy")


def _adam(name: str, sizes: Sequence[int], *, rate: bool, skip: float | None, clip: float, offset: int = 0) -> None:
    """Registers an update of tensors of these sizes, which begin at an offset in their memory."""

    @case(f"adam {name}")
    def run(native: Any, memory: Memory) -> Sequence[Array]:
        rng = np.random.default_rng(4)
        kinds = [[memory.put(rng.random(offset + n).astype(np.float32)) for n in sizes] for _ in range(4)]
        steps = [memory.put(np.float32([i])) for i in range(len(sizes))]
        views = [
            [native.ArrayView(x.pointer + 4 * offset, "float32", (n,), (1,), True) for x, n in zip(kind, sizes)]
            for kind in kinds
        ]
        lr = memory.put(np.float32([1e-2])).view(writable=False) if rate else None
        bad = None if skip is None else memory.put(np.float32([skip])).view(writable=False)
        native.adam(
            *views, [x.view() for x in steps], 1e-3, lr, 0.5, 0.999, 1e-8, 0.1, rate, bad, clip,
            workspace=memory.empty(native.adam_workspace(len(sizes)), np.uint8).view(), **HOST_LAUNCH,
        )  # fmt: skip
        return [x.get() for kind in (*kinds, steps) for x in kind]


# There are several tiles and none, packs and rests, and more tensors than a launch holds.
_adam("in packs", (9000, 0, 3, 4096), rate=True, skip=0, clip=0.5)
_adam("of no packs, many", (5, 0, 300) * 25, rate=False, skip=None, clip=np.inf, offset=1)
_adam("skipped", (4099, 2), rate=False, skip=1, clip=0.5)


def _instance_norm(name: str, dtype: str, shape: Sequence[int], last: bool) -> None:
    """Registers the norm and its gradients of both orders."""

    @case(f"instance_norm {name}")
    def run(native: Any, memory: Memory) -> Sequence[Array]:
        n, c, h, w = shape
        strides = (h * w * c, 1, w * c, c) if last else (h * w * c, h * w, w, 1)

        def tensor(seed: int | None = None) -> tuple[Buffer, Any]:
            values = _images(shape, "float32", seed or 0) / 64 - 1
            bits = (values.view(np.uint32) >> 16).astype(np.uint16) if dtype == "bfloat16" else values.astype(dtype)
            buffer = memory.empty(shape, bits.dtype) if seed is None else memory.put(bits)
            return buffer, native.ArrayView(buffer.pointer, dtype, shape, strides, True)

        (_, x), (_, grad), (_, pull) = (tensor(seed) for seed in (1, 2, 3))
        outs = [tensor() for _ in range(4)]
        (_, y), (_, dx), (_, dgrad), (_, second) = outs
        stats = memory.empty((n, c, 3))
        workspace = memory.empty(native.instance_norm_workspace(x), np.uint8)
        more = {"workspace": workspace.view(), **HOST_LAUNCH}
        native.instance_norm(x, 1e-5, 0.2, y, stats.view(), **more)
        native.instance_norm_gradient(x, stats.view(), grad, 0.2, dx, **more)
        native.instance_norm_second_gradient(x, stats.view(), grad, pull, 0.2, dgrad, second, **more)
        return [stats.get(), *(buffer.get() for buffer, _ in outs)]


def _batch_norm(name: str, dtype: str, shape: Sequence[int]) -> None:
    """Registers a batch norm with a dropout, and its gradient."""

    @case(f"batch_norm {name}")
    def run(native: Any, memory: Memory) -> Sequence[Array]:
        n, c, h, w = shape
        strides = (h * w * c, 1, w * c, c)

        def tensor(seed: int | None = None) -> tuple[Buffer, Any]:
            values = (_images(shape, "float32", seed or 0) / 64 - 1).astype(dtype)
            buffer = memory.empty(shape, values.dtype) if seed is None else memory.put(values)
            return buffer, native.ArrayView(buffer.pointer, dtype, shape, strides, True)

        (_, x), (_, grad), (y_buffer, y), (dx_buffer, dx) = (tensor(seed) for seed in (1, 2, None, None))
        scale, shift = (memory.put(np.linspace(low, 1, c, dtype=np.float32)) for low in (-0.5, 0.1))
        keep_mask = memory.put((_images(shape, "float32", 3) % 2).astype(np.uint8))
        keep = native.ArrayView(keep_mask.pointer, "uint8", shape, strides, False)
        stats, dscale, dshift = memory.empty((1, c, 3)), memory.empty((c,)), memory.empty((c,))
        workspace = memory.empty(native.batch_norm_workspace(x), np.uint8)
        more = {"keep": keep, "gain": 2.0, "workspace": workspace.view(), **HOST_LAUNCH}
        parameters = (scale.view(), shift.view())
        native.batch_norm(x, *parameters, 1e-5, 0.2, y, stats.view(), **more)
        native.batch_norm_gradient(
            x, stats.view(), *parameters, grad, 0.2, dx, dscale.view(), dshift.view(), **more
        )  # fmt: skip
        return [buffer.get() for buffer in (stats, y_buffer, dx_buffer, dscale, dshift)]


_batch_norm("float32", "float32", (2, 40, 20, 30))
_batch_norm("float16, of no packs", "float16", (2, 3, 17, 30))

# There are planes of warps, of blocks, one that shared memory does not hold whole; several strips; packs and none.
_instance_norm("planar float32, of warps", "float32", (1, 9, 5, 12), False)
_instance_norm("planar bfloat16", "bfloat16", (1, 2, 36, 72), False)
_instance_norm("planar float16, of no packs", "float16", (1, 2, 41, 53), False)
_instance_norm("planar float32, large", "float32", (1, 1, 130, 140), False)
_instance_norm("channels-last float32", "float32", (2, 40, 20, 30), True)
_instance_norm("channels-last float16", "float16", (1, 72, 17, 19), True)
_instance_norm("channels-last bfloat16, of no packs", "bfloat16", (2, 3, 17, 30), True)


def _color_grid(name: str, dtype: str, shape: Sequence[int], cells: Sequence[int], knots: int, masked: bool) -> None:
    """Registers the map, and for floats the gradients of all that it is given."""

    @case(f"color_grid {name}")
    def run(native: Any, memory: Memory) -> Sequence[Array]:
        rng = np.random.default_rng(6)
        n, height, width = shape
        image = memory.put(
            _images((*shape, 3), dtype, 1) if dtype == "uint8" else rng.random((*shape, 3)).astype(dtype)
        )
        mask = memory.put(_images(shape, seed=2)).view(writable=False) if masked else None
        affine, curves = (
            memory.put(np.float32(rng.random((1, 3, 4)))),
            memory.put(np.float32(rng.random((1, 9, knots)))),
        )
        grid = memory.put(np.float32(0.1 * rng.random((n * cells[0], *cells[1:], 12))))
        frame = (1, 2, height + 3, width + 2)
        out = memory.empty((*shape, 3), dtype)
        arguments = (image.view(), mask, affine.view(), curves.view(), grid.view(), cells[0], frame)
        native.color_grid(*arguments, out.view(), **HOST_LAUNCH)
        if dtype == "uint8":
            return [out.get()]
        dense = (memory.empty((*shape, 3), dtype), *(memory.empty(size) for size in (
            shape, n * 12, n * 9 * knots, n * cells[0] * cells[1] * cells[2] * 12)))  # fmt: skip
        nbytes = native.color_grid_gradient_workspace(arguments[0], arguments[3], arguments[4], cells[0], frame)
        native.color_grid_gradient(
            *arguments,
            out.view(),
            *(a.view() for a in dense),
            workspace=memory.empty(nbytes, np.uint8).view(),
            **HOST_LAUNCH,
        )
        return [out.get(), *(a.get() for a in dense)]


# There are bytes in words and not; several rows of a block, runs of a warp's pixels, groups of nodes and of knots.
_color_grid("uint8, in words", "uint8", (1, 5, 32), (2, 3, 4), 5, True)
_color_grid("uint8", "uint8", (2, 4, 9), (2, 2, 3), 4, False)
_color_grid("float32, deep", "float32", (1, 30, 70), (1, 1, 18), 24, True)
_color_grid("float16", "float16", (2, 7, 30), (3, 4, 8), 6, False)
