"""The kernels of op poisson, run by the emulator, against the float64 definition."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sparse
import scipy.sparse.linalg as sparse_linalg

from pyharmony.reference import gaussian_poisson as gp_definition

RANGE = {"uint8": 255.0, "uint16": 65535.0, "float16": 1.0, "float32": 1.0}
GRADIENTS = ("source", "mixed", "average", "monochrome")
#: What float32 leaves of a solution, as a part of its values: scheme.h.
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


def view(module: Any, x: Any, writable: bool = False) -> Any:
    strides = tuple(s // x.itemsize for s in x.strides)
    return module.ArrayView(x.ctypes.data, x.dtype.name, x.shape, strides, writable)


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
    plan: Any = field(init=False)
    memory: Device = field(init=False)

    def __post_init__(self) -> None:
        m = self.module
        self.plan = m.PoissonPlan(
            *self.shape, box=self.box, items=1 if self.mask is None else len(self.mask), pinned=self.mask is not None,
            weight=self.weight, weight_map=self.weight_map is not None, w0=self.w0, w1=self.w1,
            tail_cells=self.tail_cells,
        )  # fmt: skip
        self.memory = Device(m, self.plan.bytes)
        m.poisson_hierarchy(self.plan, self._optional(self.mask), self._map(), self.memory.block, device=0, stream=0)

    def _optional(self, x: Any) -> Any:
        return None if x is None else view(self.module, x)

    def _map(self) -> Any:
        return self._optional(self.weight_map)

    def _call(self, name: str, arrays: list[Any], out: Any, certify: bool, **settings: Any) -> list[dict[str, Any]]:
        m, n, channels = self.module, out.shape[0], out.shape[3]
        workspace = Device(m, self.plan.workspace_bytes(n, channels))
        report = Device(m, m.poisson_report_bytes(n, channels))
        proof = Device(m, self.plan.certify_bytes(n, channels)) if certify else None
        getattr(m, name)(
            self.plan, self.memory.block, *arrays, view(m, out, True), weight_map=self._map(),
            workspace=workspace.block, report=report.block, certify=proof and proof.block, device=0, stream=0, **settings,
        )  # fmt: skip
        return m.poisson_report(report.read(), n, channels)

    def solve(self, src: Any, dst: Any, mask: Any = None, base: Any = None, *, tolerance: float,
              gradients: str = "source", certify: bool = False, max_iterations: int = 12, warm: Any = None,
              ) -> tuple[Any, list[dict[str, Any]]]:  # fmt: skip
        m, out = self.module, dst.copy()
        arrays = [view(m, src), view(m, dst), view(m, self.mask if mask is None else mask), self._optional(base)]
        infos = self._call(
            "poisson_solve", arrays, out, certify, tolerance=tolerance, gradients=gradients,
            max_iterations=max_iterations, warm=warm and warm.block,
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


def noise(seed: int, shape: tuple[int, ...], dtype: str = "float32") -> Any:
    """Over the whole range: the hardest gradients."""
    x = np.random.default_rng(seed).random(shape) * RANGE[dtype]
    return (np.rint(x) if dtype.startswith("u") else x).astype(dtype)


def masks(h: int, w: int) -> dict[str, Any]:
    y, x = np.mgrid[:h, :w]
    n = min(h, w)
    angle, radius = np.arctan2(y - h / 2, x - w / 2), np.hypot(y - h / 2, x - w / 2)
    rng = np.random.default_rng(0)
    blob = radius < n * (0.34 + 0.05 * np.sin(3 * angle + 1) + 0.03 * np.cos(7 * angle))
    star = radius < n * (0.25 + 0.18 * np.sin(9 * angle))
    comb = np.zeros((h, w), bool)
    comb[h // 8 : -(h // 8), w // 8 : -(w // 8)] = True
    comb[h // 8 : h // 2, w // 8 : -(w // 8) : 6] = False
    holes = blob.copy()
    holes[rng.integers(0, h, h * w // 200), rng.integers(0, w, h * w // 200)] = False
    corner = np.zeros((h, w), bool)
    corner[: h // 2 + 3, : w // 3 + 1] = True
    opposite = np.zeros((h, w), bool)
    opposite[h // 3 :, w // 4 :] = True
    pixel = np.zeros((h, w), bool)
    pixel[h // 2 + 1, w // 3 | 1] = True
    two = np.zeros((h, w), bool)
    two[3 : h // 3, 5 : w // 2] = True
    two[h // 2 :, w // 2 + 1 :] = True
    few = np.ones((h, w), bool)
    few[rng.integers(0, h, 5), rng.integers(0, w, 5)] = False
    return {
        "blob": blob, "star": star, "comb": comb, "holes": holes, "corner": corner, "opposite corner": opposite,
        "single pixel": pixel, "two components": two, "all but five pixels": few, "columns": x % 2 == 1,
        "noise": rng.random((h, w)) > 0.3,
    }  # fmt: skip


def exact(src: Any, dst: Any, mask: Any, gradients: str = "source", weight: Any = 0.0, base: Any = None,
          w0: float = 1.0, w1: float = 0.0, unknown: Any = None) -> Any:  # fmt: skip
    """The definition's equation for one image [H, W, C], solved by sparse LU in float64."""
    src, dst = src.astype(np.float64), dst.astype(np.float64)
    mask = np.asarray(mask, np.float64)
    unknown = mask > 0 if unknown is None else unknown
    known = np.where(unknown[..., None], 0.0, dst)
    plane = np.broadcast_to(np.asarray(weight, np.float64), mask.shape)
    b = gp_definition.divergence(*gp_definition.edge_field(src, dst, mask, gradients))
    b = b + plane[..., None] * (src if base is None else base.astype(np.float64))
    rhs = (b - gp_definition.apply_operator(known, plane, w0, w1))[unknown]
    x = dst.copy()
    if unknown.any():
        x[unknown] = sparse_linalg.splu(matrix(unknown, plane, w0, w1)).solve(rhs)
    return x


def matrix(unknown: Any, weight: Any, w0: float, w1: float) -> Any:
    """A on the unknown pixels, assembled from the definition's links."""
    h, w = unknown.shape
    index = np.full((h, w), -1)
    index[unknown] = np.arange(int(unknown.sum()))
    i, j = np.nonzero(unknown)
    diagonal = (w0 + 2 * w1) ** 2 * weight[unknown]
    rows, columns, values = [], [], []
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            if dy == dx == 0:
                continue
            y, x = np.clip(i + dy, 0, h - 1), np.clip(j + dx, 0, w - 1)
            edge = float(dy == 0 or dx == 0)
            g = (w0 if dy == 0 else w1) * (w0 if dx == 0 else w1)
            link = edge - np.minimum(weight[i, j], weight[y, x]) * g
            link = np.where((y == i) & (x == j), 0.0, link)
            diagonal = diagonal + link
            near = unknown[y, x]
            rows.append(index[i, j][near])
            columns.append(index[y, x][near])
            values.append(-link[near])
    n = len(i)
    rows.append(np.arange(n))
    columns.append(np.arange(n))
    values.append(diagonal)
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return sparse.csc_matrix(entries, (n, n))


def error(out: Any, want: Any) -> float:
    return float(np.abs(out.astype(np.float64) - want).max())


@pytest.mark.parametrize("name", masks(16, 16))
def test_every_mask_within_its_tolerance(emulator: Any, name: str) -> None:
    """To a quarter of an 8-bit level within 6 iterations, to what float32 holds within 10."""
    h, w = 97, 131
    mask = masks(h, w)[name]
    solver = Solver(emulator, mask[None], (h, w))
    assert solver.plan.tail >= 3
    src, dst = noise(1, (1, h, w, 2)), noise(2, (1, h, w, 2))
    want = exact(src[0], dst[0], mask)
    rounding = 2.0**-22 * np.abs(want).max()
    for tolerance, most in ((0.25 / 255, 6), (2e-5, 10)):
        out, (info,) = solver.solve(src, dst, tolerance=tolerance)
        assert error(out[0], want) <= tolerance + rounding
        assert info["converged"] and info["estimate"] <= tolerance
        assert info["iterations"] <= most
        assert info["unknowns"] == mask.sum()
        assert np.array_equal(out[0][~mask], dst[0][~mask])
