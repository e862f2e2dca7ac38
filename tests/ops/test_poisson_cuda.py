"""The kernels of op poisson, run by the emulator, against the float64 definition."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import scipy.sparse.linalg as linalg

from ..cuda_arrays import far_apart, view
from ..equations import exact, masks, matrix, noise

RANGE = {"uint8": 255.0, "uint16": 65535.0, "float16": 1.0, "float32": 1.0}
GRADIENTS = ("source", "mixed", "average", "monochrome")
#: The rounding that float32 leaves in a solution, as a part of its values: scheme.h.
FLOAT = 4e-6


class Device:
    """Memory of the emulator's device: 256-byte aligned and full of NaN."""

    def __init__(self, module: Any, size: int) -> None:
        self._buffer = module.DeviceBuffer(size, 0, 0)
        self.block = (self._buffer.pointer, size)
        self._module = module

    def read(self) -> bytes:
        out = np.empty(self.block[1], np.uint8)
        self._module.copy_out(out.ctypes.data, self.block[0], out.size, 0, 0)
        return out.tobytes()


@dataclass
class Solver:
    """A plan, its hierarchy and calls of the kernels on NumPy arrays [N, H, W, C]."""

    module: Any
    mask: Any  # [items, H, W] or None
    shape: tuple[int, int]
    weight: float = 0.0
    weight_map: Any = None  # [N or 1, H, W] float32
    w0: float = 1.0
    w1: float = 0.0
    box: tuple[int, int, int, int] | None = None
    tail_cells: int = 256
    shared_tiles: int = 2048
    processors: int = -1
    cluster: int = 0
    plan: Any = field(init=False)
    memory: Device = field(init=False)

    def __post_init__(self) -> None:
        m = self.module
        self.plan = m.PoissonPlan(
            *self.shape, box=self.box, items=1 if self.mask is None else len(self.mask), pinned=self.mask is not None,
            weight=self.weight, weight_map=self.weight_map is not None, w0=self.w0, w1=self.w1,
            tail_cells=self.tail_cells, shared_tiles=self.shared_tiles, processors=self.processors,
            cluster=self.cluster,
        )  # fmt: skip
        self.memory = Device(m, self.plan.bytes)
        m.poisson_hierarchy(self.plan, view(m, self.mask), self._map(), self.memory.block, device=0, stream=0)

    def _map(self) -> Any:
        return view(self.module, self.weight_map)

    def _call(self, name: str, arrays: list[Any], out: Any, certify: bool, **settings: Any) -> list[dict[str, Any]]:
        m, n, channels = self.module, out.shape[0], out.shape[3]
        workspace = Device(m, self.plan.workspace_bytes(n, channels))
        report = Device(m, m.poisson_report_bytes(n, channels))
        proof = Device(m, self.plan.certify_bytes(n, channels)) if certify else None
        getattr(m, name)(
            self.plan, self.memory.block, *arrays, view(m, out, True), weight_map=self._map(), **settings,
            workspace=workspace.block, report=report.block, certify=proof and proof.block, device=0, stream=0,
        )  # fmt: skip
        return m.poisson_report(report.read(), n, channels)

    def solve(self, src: Any, dst: Any, mask: Any = None, base: Any = None, *, tolerance: float,
              gradients: str = "source", contour: str = "half", certify: bool = False, max_iterations: int = 12,
              warm: Any = None, out: Any = None, flags: Any = None) -> tuple[Any, list[dict[str, Any]]]:  # fmt: skip
        m, out = self.module, dst.copy() if out is None else out
        arrays = [view(m, src), view(m, dst), view(m, self.mask if mask is None else mask), view(m, base)]
        infos = self._call(
            "poisson_solve", arrays, out, certify, tolerance=tolerance, gradients=gradients,
            contour=contour, max_iterations=max_iterations, warm=warm and warm.block, done=flags,
        )  # fmt: skip
        return out, infos

    def solve_rhs(self, rhs: Any, *, tolerance: float, max_iterations: int = 12, certify: bool = False) -> Any:
        out = np.zeros(rhs.shape, np.float32)
        infos = self._call(
            "poisson_solve_rhs", [view(self.module, rhs)], out, certify, tolerance=tolerance,
            max_iterations=max_iterations,
        )  # fmt: skip
        return out, infos

    def warm(self, count: int, channels: int) -> Device:
        memory = Device(self.module, self.plan.warm_bytes(count, channels))
        self.module.poisson_clear_warm(self.plan, count, channels, memory.block, device=0, stream=0)
        return memory


def error(out: Any, want: Any) -> float:
    return float(np.abs(out.astype(np.float64) - want).max())


@pytest.mark.parametrize("name", masks(16, 16))
def test_every_mask_within_its_tolerance(emulator: Any, name: str) -> None:
    """Each mask is solved to a quarter of an 8-bit level within 6 iterations, to what float32 holds within 10."""
    h, w = 97, 131
    mask = masks(h, w)[name]
    solver = Solver(emulator, mask[None], (h, w))
    assert solver.plan.tail >= 3
    src, dst = noise(1, (1, h, w, 1)), noise(2, (1, h, w, 1))
    want = exact(src[0], dst[0], mask)
    rounding = 2.0**-22 * np.abs(want).max()
    for tolerance, most in ((0.25 / 255, 6), (2e-5, 10)):
        out, (info,) = solver.solve(src, dst, tolerance=tolerance)
        assert error(out[0], want) <= tolerance + rounding
        assert info["converged"] and info["estimate"] <= tolerance
        assert info["iterations"] <= most
        assert info["unknowns"] == mask.sum()
        assert np.array_equal(out[0][~mask], dst[0][~mask])


@pytest.mark.parametrize("height", [1000, pytest.param(2000, marks=pytest.mark.full)])
def test_a_strip_with_one_known_pixel(emulator: Any, height: int) -> None:
    """A^-1 magnifies what rounding leaves of the start's residual as much as it can."""
    shape, tolerance = (height, 2), 0.005
    mask = np.ones(shape, bool)
    mask[0, 0] = False
    solver = Solver(emulator, mask[None], shape)
    dst = np.full((1, *shape, 1), 204, np.float32)
    out, (info,) = solver.solve(np.zeros_like(dst), dst, tolerance=tolerance, certify=True)
    assert info["converged"]
    assert error(out, dst) <= tolerance
    assert error(out, dst) <= info["max_error"] + 204 * 2.0**-23
    assert info["max_error"] <= tolerance


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (1, 300), (290, 1), (2, 33), (16, 16), (65, 33), (32, 128)])
def test_small_and_thin_images(emulator: Any, shape: tuple[int, int]) -> None:
    src, dst = noise(3, (1, *shape, 3)), noise(4, (1, *shape, 3))
    rng = np.random.default_rng(21)
    for mask in (rng.random(shape) < 0.7, np.arange(shape[0] * shape[1]).reshape(shape) > 0):
        mask.flat[-1] = False
        out, (info,) = Solver(emulator, mask[None], shape).solve(src, dst, tolerance=2e-5)
        want = exact(src[0], dst[0], mask)
        assert error(out[0], want) <= 2e-5 + FLOAT * np.abs(want).max()
        assert info["converged"]
    full = np.ones((1, *shape), bool)
    out, _ = Solver(emulator, None, shape, weight=0.3).solve(src, dst, full, tolerance=2e-5)
    assert error(out[0], exact(src[0], dst[0], full[0], weight=0.3)) <= 2e-5 + FLOAT


def test_more_than_a_thousand_tiles(emulator: Any) -> None:
    """A solve is right with more than a thousand tiles, few of which have unknowns."""
    h, w = 33000, 3
    mask = np.zeros((h, w), bool)
    mask[90:160] = mask[16000:16050, 1:] = mask[32970:] = True
    src, dst = noise(29, (1, h, w, 1)), noise(30, (1, h, w, 1))
    out, (info,) = Solver(emulator, mask[None], (h, w)).solve(src, dst, tolerance=1e-4)
    want = exact(src[0], dst[0], mask)
    assert error(out[0], want) <= 1e-4 + FLOAT * np.abs(want).max()
    assert info["converged"] and info["unknowns"] == mask.sum()


@pytest.mark.parametrize("dtype", list(RANGE))
@pytest.mark.parametrize("contour", ["half", "full"])
@pytest.mark.parametrize("gradients", GRADIENTS)
def test_gradients_and_dtypes_with_soft_masks(emulator: Any, gradients: str, contour: str, dtype: str) -> None:
    h, w = 45, 70
    i, j = np.ogrid[:h, :w]
    soft = np.clip(1.6 - np.hypot((i - 20) / 14, (j - 30) / 26) * 1.4, 0, 1)
    mask = (np.rint(soft * RANGE[dtype]) if dtype.startswith("u") else soft).astype(dtype)
    channels = {"uint8": 3, "uint16": 3, "float16": 1, "float32": 5}[dtype]
    plane = 0.5 + 0.1 * np.sin(i / 7 + np.arange(channels)[:, None, None]) * np.cos(j / 9)
    src = noise(5, (h, w, channels)) * 0.2 + 0.3
    dst = np.moveaxis(plane, 0, -1) + 0.02 * noise(6, (h, w, channels))
    src, dst = (x * RANGE[dtype] for x in (src, dst))
    src, dst = ((np.rint(x) if dtype.startswith("u") else x).astype(dtype) for x in (src, dst))
    level = RANGE[dtype] / 255
    out, (info,) = Solver(emulator, mask[None], (h, w)).solve(
        src[None], dst[None], tolerance=0.02 * level, gradients=gradients, contour=contour
    )
    want = exact(src, dst, mask.astype(np.float64) / RANGE[dtype], gradients, contour=contour)
    rounding = {"uint8": 0.5, "uint16": 0.5, "float16": 2.0**-11, "float32": 2.0**-22}[dtype]
    assert want.min() >= 0 and want.max() <= RANGE[dtype]
    assert error(out[0], want) <= 0.02 * level + rounding
    assert info["converged"]
    assert np.array_equal(out[0][mask == 0], dst[mask == 0])


def test_mixed_gradients_choose_by_the_norm_over_channels(emulator: Any) -> None:
    """Squares of 16-bit values, which float32 does not hold, are compared rightly."""
    h, w = 40, 66
    src, dst = (np.rint(noise(s, (1, h, w, 3)) * 2).astype(np.uint16) * 20001 for s in (7, 8))
    mask = masks(h, w)["blob"]
    out, _ = Solver(emulator, mask[None], (h, w)).solve(src, dst, gradients="mixed", tolerance=0.5)
    want = np.clip(exact(src[0], dst[0], mask, "mixed"), 0, 65535)
    assert error(out[0], want) <= 1.0


@pytest.mark.parametrize("weight", [1e-4, 0.01, 1.0, "map"])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("w1", [0.0, 0.1], ids=["identity", "gaussian"])
def test_weights(emulator: Any, weight: Any, full: bool, w1: float) -> None:
    """One weight or a map is right, with and without a Gaussian, with pinned pixels or the whole image."""
    h, w = 50, 67
    rng = np.random.default_rng(12)
    plane = None
    if weight == "map":
        plane = (rng.random((h, w)) ** 4).astype(np.float32) + np.float32(1e-3)
    mask = np.ones((h, w), np.float32) * np.float32(0.7) if full else masks(h, w)["corner"].astype(np.float32)
    src, dst, base = (noise(s, (1, h, w, 2)) for s in (9, 10, 11))
    solver = Solver(
        emulator, None if full else mask[None], (h, w), weight=0.0 if plane is not None else weight,
        weight_map=None if plane is None else plane[None], w0=1 - 2 * w1, w1=w1,
    )  # fmt: skip
    out, (info,) = solver.solve(src, dst, mask[None], base, tolerance=2e-4, certify=True)
    want = exact(
        src[0], dst[0], mask, weight=weight if plane is None else plane, base=base[0], w0=1 - 2 * w1, w1=w1,
        unknown=mask > 0,
    )  # fmt: skip
    rounding = 2.0**-22 * np.abs(want).max()  # of the result to float32, and of the comparison
    assert error(out[0], want) <= 2e-4 + FLOAT * np.abs(want).max()
    assert info["converged"]
    assert error(out[0], want) <= info["max_error"] + rounding
    assert info["max_error"] <= 2e-4 * 1.1 + FLOAT * np.abs(want).max()


def test_a_right_hand_side_that_is_given(emulator: Any) -> None:
    h, w = 61, 83
    for mask, weight, dtype in ((masks(h, w)["holes"], 0.0, np.float64), (None, 0.05, np.float32)):
        unknown = np.ones((h, w), bool) if mask is None else mask
        rhs = np.random.default_rng(3).standard_normal((1, h, w, 2)).astype(dtype)
        solver = Solver(emulator, None if mask is None else mask[None], (h, w), weight=weight, w0=0.8, w1=0.1)
        out, (info,) = solver.solve_rhs(rhs, tolerance=1e-4, certify=True)
        a = matrix(unknown, np.full((h, w), weight), 0.8, 0.1)
        want = linalg.splu(a).solve(rhs[0][unknown].astype(np.float64))
        assert error(out[0][unknown], want) <= min(1e-4, info["max_error"]) + 2.0**-22 * np.abs(want).max()
        assert info["max_error"] <= 1.1e-4
        assert not out[0][~unknown].any()


@pytest.mark.parametrize("name", masks(16, 16))
def test_the_certificate_is_a_bound_and_close(emulator: Any, name: str) -> None:
    h, w = 46, 55
    mask = masks(h, w)[name]
    src, dst = noise(13, (1, h, w, 1)), noise(14, (1, h, w, 1))
    solver = Solver(emulator, mask[None], (h, w))
    want = exact(src[0], dst[0], mask)
    rounding = 2.0**-22 * np.abs(want).max()
    for iterations in (1, 12):
        out, (info,) = solver.solve(src, dst, tolerance=1e-3, certify=True, max_iterations=iterations)
        assert error(out[0], want) - rounding <= info["max_error"] <= 1.05 * error(out[0], want) + 5e-6
        assert info["residual"] <= 8 * info["max_error"]


@pytest.mark.parametrize(
    ("name", "shape"),
    [*((name, (128, 128)) for name in ("blob", "star", "comb", "holes", "corner")), ("comb", (501, 631)),
     pytest.param("holes", (631, 501), marks=pytest.mark.full)],
)  # fmt: skip
def test_convergence_factor(emulator: Any, name: str, shape: tuple[int, int]) -> None:
    """The residual falls by 0.12 or better with each iteration, as on the CPU."""
    mask = masks(*shape)[name]
    solver = Solver(emulator, mask[None], shape)
    rhs = np.where(mask, np.random.default_rng(0).standard_normal(shape), 0)[None, ..., None]
    a = matrix(mask, np.zeros(shape), 1.0, 0.0)
    norms = []
    for iterations in (1, 3):
        x, _ = solver.solve_rhs(rhs, tolerance=0.0, max_iterations=iterations)
        norms.append(np.linalg.norm(rhs[0][mask][:, 0] - a @ x[0][mask][:, 0].astype(np.float64)))
    assert (norms[1] / norms[0]) ** 0.5 <= 0.12


def launches_of(tail: int, iterations: int) -> int:
    """Returns how many launches a solve has, as docs/poisson.md counts them."""
    return int((2 * tail + 4) * iterations + tail**2 + tail + 1 + 4)


@pytest.mark.parametrize(("cluster", "most"), [(0, 77), (-1, 47)])
def test_launches_of_a_video_frame(emulator: Any, cluster: int, most: int) -> None:
    """A cluster of blocks does two levels more in one launch: three are left of five."""
    h, w = 1080, 1920
    mask, image = np.ones((1, h, w), bool), np.zeros((1, h, w, 3), np.uint8)
    try:
        emulator.set_running(False)
        solver = Solver(emulator, mask, (h, w), tail_cells=2048, cluster=cluster)
        before = emulator.launch_count()
        solver.solve(image, image, tolerance=0.25, max_iterations=3)
        assert emulator.launch_count() - before == most
    finally:
        emulator.set_running(True)


@pytest.mark.parametrize(("count", "first"), [(4, 1), (5, 2)])
def test_planes_whose_clusters_do_not_run_at_once_have_none(emulator: Any, count: int, first: int) -> None:
    """The emulator runs eight clusters at once."""
    h, w = 70, 67
    mask, images = masks(h, w)["blob"][None], noise(39, (count, h, w, 2))
    solver = Solver(emulator, mask, (h, w), tail_cells=640, cluster=2)
    assert solver.plan.tail == 2
    before = emulator.launch_count()
    solver.solve(images, images[::-1].copy(), tolerance=1e-3, max_iterations=2)
    assert emulator.launch_count() - before == launches_of(first, 2)


@pytest.mark.covering(1)
@pytest.mark.parametrize("w1", [0.0, 0.1], ids=["five points", "nine points"])
@pytest.mark.parametrize("name", masks(16, 16))
def test_a_call_that_waits_enqueues_only_the_iterations_that_it_needs(emulator: Any, name: str, w1: float) -> None:
    """With the same bits and the same certificates, which take three times fewer launches."""
    h, w, most = 67, 70, 12
    mask = masks(h, w)[name][None]
    src, dst = noise(33, (1, h, w, 3), "uint8"), noise(34, (1, h, w, 3), "uint8")
    flags = emulator.PinnedBuffer(8 * 3, 0)
    for tail_cells, certify in ((2048, False), (256, True)):
        solver = Solver(emulator, mask, (h, w), weight=0.01 if w1 else 0.0, w1=w1, tail_cells=tail_cells)
        results = []
        for flags_view in (None, (flags.pointer, flags.bytes)):
            before = emulator.launch_count()
            out, (info,) = solver.solve(
                src, dst, tolerance=0.25, max_iterations=most, certify=certify, flags=flags_view
            )
            results.append((out, repr(info), emulator.launch_count() - before))
        (out, info_of_first, every), (same, repeated, launches) = results
        assert np.array_equal(out, same) and info_of_first == repeated
        if not certify:
            assert every == launches_of(solver.plan.tail, most)
            # The step that is left to do after the last estimate is part of an iteration.
            assert launches <= launches_of(solver.plan.tail, max(info["iterations"], 1) + 1)
            assert (launches - launches_of(solver.plan.tail, 0)) % (2 * solver.plan.tail + 4) == 0
        else:
            assert 3 * launches <= every


def test_what_earlier_solves_have_told_stops_no_later_one(emulator: Any) -> None:
    """Flags stay as they are between calls, and may be written by the last iteration of an earlier one."""
    h, w = 60, 64
    mask, src, dst = masks(h, w)["holes"][None], noise(35, (1, h, w, 2)), noise(36, (1, h, w, 2))
    solver, flags = Solver(emulator, mask, (h, w)), emulator.PinnedBuffer(16, 0)
    want, (info,) = solver.solve(src, dst, tolerance=1e-5)
    assert info["iterations"] >= 3
    values_of_flags = (ctypes.c_int64 * 2).from_address(flags.pointer)
    for value in (0, -1, 1 << 62, None, None):
        if value is not None:
            values_of_flags[:] = [value, value]
        out, (same,) = solver.solve(src, dst, tolerance=1e-5, flags=(flags.pointer, flags.bytes))
        assert np.array_equal(out, want) and repr(same) == repr(info)
        assert values_of_flags[0] == values_of_flags[1] > 0
    with pytest.raises(ValueError, match="done: 8 bytes, expected at least 16"):
        solver.solve(src, dst, tolerance=1e-5, flags=(flags.pointer, 8))


def test_what_does_not_converge_says_so(emulator: Any) -> None:
    h, w = 60, 90
    mask = masks(h, w)["blob"]
    solver = Solver(emulator, mask[None], (h, w))
    src, dst = noise(15, (1, h, w, 1)), noise(16, (1, h, w, 1))
    _, (info,) = solver.solve(src, dst, tolerance=1e-4, max_iterations=1)
    assert not info["converged"] and info["estimate"] > 1e-4 and info["iterations"] == 1
    _, (info,) = solver.solve(src, dst, tolerance=1e-9, max_iterations=20)  # float32 does not hold it
    assert not info["converged"] and 1e-9 < info["estimate"] < 1e-4 and info["iterations"] < 12
    src[0, h // 2, w // 2] = np.nan
    assert not solver.solve(src, dst, tolerance=1e-3)[1][0]["converged"]


def test_without_unknowns_and_without_a_known_pixel(emulator: Any) -> None:
    h, w = 40, 70
    src, dst = noise(17, (2, h, w, 2)), noise(18, (2, h, w, 2))
    mask = np.zeros((2, h, w), np.uint8)
    mask[1] = 1
    solver = Solver(emulator, mask, (h, w))
    out, (none, every) = solver.solve(src, dst, tolerance=1e-3, certify=True)
    assert np.array_equal(out, dst)  # nothing fixes the second one's mean: it is left
    assert none["converged"] and none["unknowns"] == none["iterations"] == none["max_error"] == 0
    assert not every["converged"] and every["unknowns"] == h * w and every["max_error"] == np.inf


def test_batches_boxes_and_layouts_agree(emulator: Any) -> None:
    """A batch is its items; strides do not matter; a box changes no more than the estimate allows."""
    h, w, n = 50, 93, 3
    every = [masks(h, w)[k] for k in ("star", "opposite corner", "holes")]
    src, dst = noise(19, (n, h, w, 3), "uint8"), noise(20, (n, h, w, 3), "uint8")
    own = Solver(emulator, np.stack(every), (h, w)).solve(src, dst, tolerance=0.25)[0]
    shared = Solver(emulator, every[0][None], (h, w)).solve(src, dst, every[0][None], tolerance=0.25)[0]
    for k, mask in enumerate(every):
        one = Solver(emulator, mask[None], (h, w))
        result = one.solve(src[k : k + 1], dst[k : k + 1], tolerance=0.25)[0]
        assert np.array_equal(result[0], own[k])
    assert np.array_equal(shared[0], own[0])

    solver = Solver(emulator, every[0][None], (h, w))
    planar = np.ascontiguousarray(src.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    odd = np.zeros((n, h, w + 3, 5), np.uint8)[:, :, 2:-1, 1:4]
    odd[...] = dst
    flipped = np.ascontiguousarray(every[0][::-1, ::-1])[::-1, ::-1][None]
    out = np.zeros((n, h + 1, 3, w), np.uint8)[:, 1:].transpose(0, 1, 3, 2)
    out[...] = dst
    m = emulator
    workspace, report = Device(m, solver.plan.workspace_bytes(n, 3)), Device(m, m.poisson_report_bytes(n, 3))
    m.poisson_solve(
        solver.plan, solver.memory.block, view(m, planar), view(m, odd), view(m, flipped), None, view(m, out, True),
        gradients="source", tolerance=0.25, max_iterations=12, workspace=workspace.block, report=report.block,
        device=0, stream=0,
    )  # fmt: skip
    assert np.array_equal(out, shared)

    boxes = Device(m, 16 * n)
    stack = np.stack(every).astype(np.float32) * np.float32(1e-40)
    m.poisson_box(view(m, stack), boxes.block, device=0, stream=0)
    boxes_read = np.frombuffer(boxes.read(), np.int32).reshape(n, 4)
    for k, mask in enumerate(every):
        y, x = np.nonzero(mask)
        assert boxes_read[k].tolist() == [y.min(), x.min(), y.max() + 1, x.max() + 1]
        box = tuple(int(v) for v in boxes_read[k])
        solver = Solver(emulator, mask[None], (h, w), box=box)
        result, (info,) = solver.solve(src[k : k + 1], dst[k : k + 1], tolerance=0.05)
        want = np.clip(exact(src[k], dst[k], mask), 0, 255)
        assert info["converged"] and error(result[0], want) <= 0.55
    empty = np.zeros((1, h, w), bool)
    m.poisson_box(view(m, empty), boxes.block, device=0, stream=0)
    assert np.frombuffer(boxes.read(), np.int32)[:4].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("axis", range(4), ids=["items", "rows", "columns", "channels"])
@pytest.mark.parametrize("gradients", ["mixed", "monochrome"])
@pytest.mark.parametrize("weighted", [False, True], ids=["five points", "nine points"])
def test_offsets_beyond_two_gigavalues(emulator: Any, weighted: bool, gradients: str, axis: int) -> None:
    """Tests far strides of images, masks, bases and maps of weights, in kernels, boxes and certificates."""
    h, w, n, channels = 15, 13, 2, 2
    dtype = "uint8" if weighted else "float32"
    src, dst, base = (noise(seed, (n, h, w, channels), dtype) for seed in (1, 2, 3))
    mask = np.stack([masks(h, w)[name] for name in ("star", "holes")])
    weights = noise(4, (n, h, w)) + np.float32(0.1) if weighted else None
    options = {"w1": 0.1} if weighted else {}
    settings: dict[str, Any] = {"tolerance": 1e-3, "gradients": gradients, "certify": True}

    def far(x: Any) -> Any:
        return x if x is None or axis >= x.ndim else far_apart(x, axis, emulator)

    want, proof = Solver(emulator, mask, (h, w), weight_map=weights, **options).solve(src, dst, base=base, **settings)
    solver = Solver(emulator, far(mask), (h, w), weight_map=far(weights), **options)
    out, same = solver.solve(far(src), far(dst), base=far(base), out=far(dst), **settings)
    np.testing.assert_array_equal(out, want)
    assert same == proof
    # src and dst of one type, and of two, have kernels of their own.
    want = Solver(emulator, mask, (h, w)).solve(src, dst.astype(np.float16), mask, tolerance=1e-3)[0]
    half = far(dst.astype(np.float16))
    out, _ = Solver(emulator, mask, (h, w)).solve(far(src), half, far(mask), tolerance=1e-3, out=half)
    np.testing.assert_array_equal(out, want)

    rhs = noise(5, (n, h, w, channels))
    boxes, far_boxes = (Device(emulator, 16 * n) for _ in range(2))
    for block, each in ((boxes, mask), (far_boxes, far(mask))):
        emulator.poisson_box(view(emulator, each), block.block, device=0, stream=0)
    assert boxes.read() == far_boxes.read()
    want, proof = Solver(emulator, mask, (h, w)).solve_rhs(rhs, tolerance=1e-3)
    out, same = Solver(emulator, mask, (h, w)).solve_rhs(far(rhs), tolerance=1e-3)
    np.testing.assert_array_equal(out, want)
    assert repr(same) == repr(proof)


_bits: dict[str, list[Any]] = {}


@pytest.mark.parametrize("tail_cells", [64, 256, 2048])
def test_the_same_bits_in_any_order_of_threads(emulator: Any, tail_cells: int) -> None:
    """The answer is the same too wherever the one-launch part begins."""
    h, w = 65, 99
    mask = masks(h, w)["noise"]
    solver = Solver(emulator, mask[None], (h, w), tail_cells=tail_cells)
    src, dst = noise(23, (1, h, w, 2), "uint16"), noise(24, (1, h, w, 2), "uint16")
    out, info = solver.solve(src, dst, tolerance=1.0, gradients="mixed", certify=True)
    again, _ = solver.solve(src, dst, tolerance=1.0, gradients="mixed")
    assert np.array_equal(out, again)
    assert error(out[0], np.clip(exact(src[0], dst[0], mask, "mixed"), 0, 65535)) <= 1.5
    _bits.setdefault(str(tail_cells), []).append((out, info))
    for before, facts in _bits[str(tail_cells)]:
        assert np.array_equal(out, before) and info == facts


@pytest.mark.covering(1)
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("w1", [0.0, 0.1], ids=["five points", "nine points"])
def test_a_block_does_one_channel_or_all_with_the_same_bits(emulator: Any, w1: float, channels: int) -> None:
    """Also where a channel is done before the others, and with coefficients in shared memory."""
    n, h, w = 2, 61, 150
    mask = np.stack([masks(h, w)["comb"], masks(h, w)["opposite corner"]])
    src, dst = noise(33, (n, h, w, channels)), noise(34, (n, h, w, channels))
    src[..., 0] *= 1e-3
    dst[..., 0] *= 1e-3
    results = []
    for shared_tiles, processors in ((1, 0), (2048, 0), (1, 1000), (2048, 1000)):
        weights = {"weight": 0.01, "w0": 1 - 2 * w1, "w1": w1} if w1 else {}
        solver = Solver(emulator, mask, (h, w), shared_tiles=shared_tiles, processors=processors, **weights)
        results.append(solver.solve(src, dst, tolerance=1e-4, certify=True))
    together, infos = results[0]
    for other, others in results[1:]:
        assert np.array_equal(together, other) and infos == others
    assert all(info["converged"] for info in infos)


@pytest.mark.parametrize(("shape", "cluster"), [((97, 131), 2), ((131, 97), 5), ((300, 40), 16), ((23, 400), 3)])
@pytest.mark.parametrize("name", ["blob", "comb", "noise", "opposite corner"])
def test_a_cluster_gives_the_bits_of_one_launch_a_level(
    emulator: Any, name: str, shape: tuple[int, int], cluster: int
) -> None:
    """Strips of any height, of levels that end in the middle of one, and blocks without a row."""
    h, w = shape
    mask = np.stack([masks(h, w)[name], masks(h, w)["star"]])
    src, dst = noise(37, (2, h, w, 2)), noise(38, (2, h, w, 2))
    results, launches = [], []
    for blocks in (0, cluster):
        solver = Solver(emulator, mask, (h, w), tail_cells=64, cluster=blocks)
        before = emulator.launch_count()
        results.append(solver.solve(src, dst, tolerance=1e-4, max_iterations=6))
        launches.append(emulator.launch_count() - before)
    (out, infos), (same, others) = results
    assert np.array_equal(out, same) and repr(infos) == repr(others)
    assert launches[1] == launches_of(1, 6) < launches[0]


def test_tiles_with_room_read_their_coefficients_once(emulator_check: Any) -> None:
    """A launch of few blocks copies them to shared memory; the others read them in each stage."""
    h, w = 61, 150
    src, dst, mask = noise(35, (1, h, w, 1)), noise(36, (1, h, w, 1)), masks(h, w)["comb"][None]
    reads, results = [], []
    for processors in (0, 1000):
        solver = Solver(emulator_check, mask, (h, w), processors=processors)
        emulator_check.clear_access_sites()
        emulator_check.set_counting(True)
        results.append(solver.solve(src, dst, tolerance=1e-3, certify=True))
        emulator_check.set_counting(False)
        sites = [site for site in emulator_check.access_sites() if "poisson_down" in site["kernel"]]
        reads.append(sum(site["requests"] for site in sites if site["space"] == "global" and not site["write"]))
    (plain, infos), (staged, others) = results
    assert np.array_equal(plain, staged) and infos == others
    assert reads[1] < 0.8 * reads[0], reads
    assert emulator_check.reports() == []


def test_a_film_starts_from_the_frame_before(emulator: Any) -> None:
    h, w, n = 66, 90, 2
    mask = masks(h, w)["blob"]
    solver = Solver(emulator, mask[None], (h, w))
    warm = solver.warm(n, 2)
    src, dst = noise(25, (n, h, w, 2)), noise(26, (n, h, w, 2))
    iterations = []
    for frame in range(4):
        out, infos = solver.solve(src, dst, mask[None], tolerance=1e-3, warm=warm, certify=frame == 3)
        for k in range(n):
            assert error(out[k], exact(src[k], dst[k], mask)) <= 1e-3
            assert infos[k]["converged"]
        iterations.append(max(info["iterations"] for info in infos))
    assert iterations[0] > iterations[2] == iterations[3] == 1
    assert max(info["max_error"] for info in infos) <= 1e-3
    src[0, 5:] = src[0, :-5]
    out, infos = solver.solve(src, dst, mask[None], tolerance=1e-3, warm=warm)  # it moved
    assert error(out[0], exact(src[0], dst[0], mask)) <= 1e-3
    bad = src.copy()
    bad[0, h // 2, w // 2] = np.nan
    solver.solve(bad, dst, mask[None], tolerance=1e-3, warm=warm)
    out, infos = solver.solve(src, dst, mask[None], tolerance=1e-3, warm=warm)  # NaN is forgotten
    assert infos[0]["converged"] and error(out[0], exact(src[0], dst[0], mask)) <= 1e-3


@pytest.mark.parametrize("contour", ["half", "full"])
def test_agrees_with_the_cpu(emulator: Any, contour: str) -> None:
    """A hard mask with many contours gives the CPU's answer, and the bound holds too."""
    from pyharmony.ops import poisson

    h, w = 90, 120
    mask = masks(h, w)["comb"]
    src, dst = noise(27, (1, h, w, 3)), noise(28, (1, h, w, 3))
    options = {"gradients": "average", "contour": contour}
    want = poisson(src[0], dst[0], mask, **options, tolerance=2e-5 * 255)
    out, (info,) = Solver(emulator, mask[None], (h, w)).solve(src, dst, **options, tolerance=1e-5, certify=True)
    assert error(out[0], want) <= 2e-5
    rounding = 2.0**-22 * np.abs(want).max()
    assert error(out[0], exact(src[0], dst[0], mask, "average", contour=contour)) <= info["max_error"] + rounding


def test_memory_is_as_documented(emulator_module: Any) -> None:
    """A box takes 9 bytes a pixel for a mask, 27 for a plane being solved, 8 for a plane and for a mask in a proof."""
    plan = emulator_module.PoissonPlan(2160, 3840)
    pixels = 2160 * 3840
    assert plan.bytes <= 9.1 * pixels
    assert plan.workspace_bytes(2, 3) <= 27 * 6 * pixels
    assert plan.certify_bytes(2, 3) <= 8.1 * 7 * pixels


def test_refuses_what_does_not_fit(emulator_module: Any) -> None:
    m = emulator_module
    mask = masks(30, 40)["blob"]
    solver = Solver(m, mask[None], (30, 40))
    src, dst = noise(1, (1, 30, 40, 2)), noise(2, (1, 30, 40, 2))
    for bad, message in (
        (lambda: solver.solve(src[:, 1:], dst, tolerance=1.0), r"src: shape \[1, 29, 40, 2\], expected \[1, 30, 40"),
        (lambda: solver.solve(src.astype(bool), dst, tolerance=1.0), "src: dtype bool, expected uint8, uint16"),
        (lambda: solver.solve(src, dst, tolerance=-1.0), "tolerance: -1"),
        (lambda: solver.solve(src, dst, tolerance=1.0, max_iterations=0), "max_iterations: 0, expected 1 to 32"),
        (lambda: solver.solve(src, dst, tolerance=1.0, gradients="none"), "gradients: 'none'"),
        (lambda: m.PoissonPlan(30, 40, box=(0, 0, 31, 40)), "box"),
        (lambda: m.PoissonPlan(0, 40), "mask: shape"),
        (lambda: m.PoissonPlan(30, 40, weight=-1.0), "weight: -1"),
        (lambda: m.poisson_hierarchy(solver.plan, view(m, mask[None]), None, (solver.memory.block[0], 8), device=0,
                                     stream=0), "memory: 8 bytes, expected at least"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            bad()
