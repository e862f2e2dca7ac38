"""Partial convolution by rows on a device: products of the active windows alone, run by the emulator.

Errors are bounded, value by value, by the roundings of a product: those of its operands, one for each addition in
float32, and that of the result.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyharmony import _native, ops
from pyharmony.reference import partial_conv as reference

torch = pytest.importorskip("torch", reason="torch is not installed")

from pyharmony.networks.nn import PartialConv2d
from pyharmony.ops import _native_torch
from pyharmony.ops import _partial_conv_cuda_torch as device
from pyharmony.ops import _partial_conv_torch as backend

from ..emulator_cases import CASES as EMULATOR_CASES
from .test_partial_conv import Case, a_mask, arrays
from .test_partial_conv_cuda import HOST_LAUNCH, _known, on_emulator, penalty, random, scratch, view  # noqa: F401

#: How values are multiplied, and their dtype.
ARITHMETIC = {"bfloat16": torch.bfloat16, "float16": torch.float16, "TF32": torch.float32}

#: The error of a product as TF32, which has 10 bits: each of two operands is rounded by at most 2^-11.
TF32_ERROR = 2.0**-10 * (1 + 2.0**-10)

ROWS = (
    Case((2, 16, 13, 11), 24, stride=(2, 2)),
    Case((1, 40, 9, 12), 72, padding=(1, 1)),  # outputs of two tiles, and steps across taps
    Case((3, 8, 10, 9), 8, kernel=(1, 1), stride=(2, 2)),  # pixels without a window
    Case((2, 8, 12, 15), 16, kernel=(4, 4), stride=(2, 2), padding=(1, 1)),
    Case((1, 24, 11, 17), 8, kernel=(5, 5), stride=(1, 3), padding=(2, 2)),
    Case((1, 16, 19, 20), 80, kernel=(7, 7), stride=(2, 2), padding=(3, 3)),
    Case((2, 16, 14, 9), 16, kernel=(2, 5), stride=(3, 1), padding=(0, 4), dilation=(3, 2)),
    Case((40, 8, 3, 3), 8, padding=(1, 1)),  # more images than lanes
    Case((2, 8, 20, 19), 136, kernel=(3, 3)),  # several tiles of rows, and of outputs for the weight
    Case((1, 16, 1, 1), 16, kernel=(1, 1)),
)
MASKS = ("hard", "ones", "zeros", "one pixel", "border")


@pytest.fixture
def by_rows(on_emulator: Any, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: F811
    """Fails where the library computes a layer."""

    def fail(*_: Any) -> None:
        pytest.fail("the library's convolution")

    monkeypatch.setattr(torch.nn.functional, "conv2d", fail)
    monkeypatch.setattr(torch.ops.aten, "convolution_backward", fail)
    monkeypatch.setattr(device, "_rounds_operands", lambda dtype: True)
    return on_emulator


def error_of(dtype: Any) -> float:
    """Returns the error of a product, relative to its size."""
    return TF32_ERROR if dtype == torch.float32 else 0.0


def limit(result: Any, size: Any, terms: int, each: float, dtype: Any) -> np.ndarray:
    """Returns the bound of errors of sums of products.

    Args:
        found: the result.
        size: the sums of the absolute values.
        terms: how many products a sum has.
        each: the relative error of a product.
        dtype: of the result.
    """
    # An addition in float32 is wrong by less than 2^-23 of the sum so far: tensor cores cut off.
    sums = size * (each + (terms + 8) * 2.0**-23)
    return np.asarray(
        sums + (np.abs(result) + sums) * float(torch.finfo(dtype).eps) + 1e-7 * float(dtype == torch.float16)
    )


def assert_within(result: Any, expected: Any, bound: Any) -> None:
    values = result.detach().double().cpu().numpy()
    assert np.isfinite(values).all()
    assert (np.abs(values - expected) <= bound).all(), float((np.abs(values - expected) / bound).max())


def check_rows(case: Case, i: int, kind: str, dtype: Any, each: float, place: str = "cpu") -> None:
    """Compares a layer by rows and its gradients with the definition.

    Args:
        i: selects the layout, the mask's images, the activation, and whether the scale is on the device.
        each: the relative error of a product.
    """
    values = a_mask(kind, case, 1).astype(np.float32)
    values = values[:1] if i % 2 else values
    form = torch.channels_last if i % 4 else torch.contiguous_format
    x, weight, bias = (torch.tensor(a, dtype=dtype) for a in arrays(case))
    exact = [a.double().numpy() for a in (x, weight, bias)]
    x[torch.from_numpy(np.broadcast_to(values == 0, case.shape).copy())] = float("nan")
    x, weight = (t.contiguous(memory_format=form) for t in (x, weight))
    inputs = [t.to(place).requires_grad_() for t in (x, weight, bias)]
    layer = (case.kernel, case.stride, case.padding, case.dilation)
    plan = ops.mask_plan(torch.from_numpy(values).to(place), [layer], method="rows")
    act, scale = (0.2, torch.tensor(0.7, device=place)) if i % 2 else (1.0, 0.7)
    slope = act if act != 1 else None
    y, _ = ops.partial_conv2d(*inputs, plan=plan[0], scale=scale, negative_slope=slope, **case.window)
    assert y.is_contiguous(memory_format=form)

    where = dict(case.window)
    mask = values.astype(np.float64)
    eps = float(torch.finfo(dtype).eps)
    expected, coverage = reference.partial_conv2d(*exact, mask, scale=0.7, negative_slope=act, **where)
    terms = math.prod(case.weight[1:])
    size = 0.7 * reference.conv(np.abs(exact[0]), np.abs(exact[1]), mask, **where) + np.abs(exact[2])[:, None, None]
    assert_within(y, expected, limit(expected, size, terms, each, dtype))

    g = random(y.shape, dtype, seed=3)
    dx, dw, db = torch.autograd.grad(y, inputs, g.to(place))
    g1 = g.double().numpy() * np.where(y.detach().double().cpu().numpy() > 0, 1, act)
    taps = case.outputs * case.kernel[0] * case.kernel[1]
    rounded = each + eps  # r g has the dtype
    tiny = 0.0 if dtype != torch.float16 else 2.0**-24  # where it is no normal number
    expected = 0.7 * reference.input_grad(g1, exact[1], mask, case.shape, **where)
    size = 0.7 * reference.input_grad(np.abs(g1), np.abs(exact[1]), mask, case.shape, **where)
    more = tiny * taps * np.abs(exact[1]).max()
    assert_within(dx, expected, limit(expected, size, taps, rounded, dtype) + more)
    windows = y.shape[0] * y.shape[2] * y.shape[3]
    expected = 0.7 * reference.weight_grad(exact[0], g1, mask, case.weight, **where)
    size = 0.7 * reference.weight_grad(np.abs(exact[0]), np.abs(g1), mask, case.weight, **where)
    more = tiny * windows * np.abs(exact[0]).max()
    assert_within(dw, expected, limit(expected, size, windows, rounded + each, dtype) + more)
    expected = (g1 * coverage).sum((0, 2, 3))
    assert_within(db, expected, limit(expected, (np.abs(g1) * coverage).sum((0, 2, 3)), windows, 0, dtype))


def integers(*shape: int) -> Any:
    """Returns integers that kernels get by their address."""
    memory = _native_torch.scratch(4 * math.prod(shape), torch.empty(0))
    return memory.view(torch.int32).view(shape)


@pytest.mark.covering(1)
@pytest.mark.parametrize("name", ARITHMETIC)
@pytest.mark.parametrize("i", range(len(MASKS)), ids=MASKS.__getitem__)
@pytest.mark.parametrize("case", ROWS, ids=str)
def test_a_layer_and_its_gradients_follow_the_definition(by_rows: Any, case: Case, i: int, name: str) -> None:
    dtype = ARITHMETIC[name]
    check_rows(case, i, MASKS[i], dtype, error_of(dtype))


def test_second_derivatives_are_those_of_the_processor(emulator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case((2, 8, 9, 10), 16, stride=(2, 2), padding=(1, 1))
    expected = penalty(case, torch.float64)
    monkeypatch.setattr(_native, "device_module", lambda: emulator)
    monkeypatch.setattr(backend, "on_device", lambda x: True)
    monkeypatch.setattr(device, "_rounds_operands", lambda dtype: True)
    for a, b in zip(penalty(case, torch.float32, method="rows"), expected, strict=True):
        # Each of five passes has sums of `depth` products in float32, which add up to the largest value; sin' of a
        # sum is off by as much as the sum.
        depth = math.prod(case.weight[1:]) * case.outputs
        size = float(b.detach().abs().max())
        torch.testing.assert_close(a.double(), b, rtol=0, atol=5 * (depth * 2.0**-23 + 16 * TF32_ERROR) * size)


def test_a_mask_of_one_image_is_that_of_every_image(by_rows: Any) -> None:
    case = Case((3, 16, 9, 8), 24, padding=(1, 1))
    inputs = [torch.tensor(a, dtype=torch.float16, requires_grad=True) for a in arrays(case)]
    mask = torch.tensor(a_mask("hard", case, 1)[:1] > 0)
    results = []
    for mask_ in (mask, mask.expand(3, 1, 9, 8)):
        plan = ops.mask_plan(mask_, [(3, 1, 1)], method="rows")[0]
        y, _ = ops.partial_conv2d(*inputs, plan=plan, **case.window)
        results.append([y, *torch.autograd.grad(y.square().sum(), inputs)])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_only_active_windows_and_known_pixels_are_multiplied(by_rows: Any) -> None:
    """Counts products of matrices in DoveNet's local encoder at 256², a disc of 15 %, eight images.

    Rows are multiplied by sixteens: M rows of the batch cost 16 ceil(M / 16). Channels do not change their number.
    """
    side, images, channels = 256, 8, 64
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    disc = torch.from_numpy(y**2 + x**2 < 0.15 * side**2 / math.pi)[None, None].expand(images, 1, side, side)

    def counted(function: Any, *arguments: Any, **more: Any) -> tuple[Any, int]:
        before = by_rows.products()
        result = function(*arguments, **more)
        return result, by_rows.products() - before

    plans = ops.mask_plan(disc, [(3, 2)] * 6 + [(3, 1)], method="rows")
    multiplied = expected_work = 0
    for i, plan in enumerate(plans):
        if i == 0:
            continue  # of three channels, by the library
        stride = plan.window.stride[0]
        size = (images, channels, *plan.mask_in.shape[2:])
        value = torch.zeros(size, dtype=torch.bfloat16, requires_grad=True)
        weight = torch.zeros(channels, channels, 3, 3, dtype=torch.bfloat16, requires_grad=True)
        rows, each = len(plan.rows), channels * channels * 9

        (result, _), count = counted(ops.partial_conv2d, value, weight, plan=plan, stride=stride)
        assert count == 16 * math.ceil(rows / 16) * each
        if rows >= 107:
            assert count <= 1.15 * rows * each
        multiplied, expected_work = multiplied + count, expected_work + rows * each
        if i == 1:
            continue  # the gradients of the largest layer take the emulator long
        _, count = counted(torch.autograd.grad, result.sum(), weight, retain_graph=True)
        # The tile of 128 outputs is half empty, and empty sixteens of it are not multiplied.
        assert count == 16 * math.ceil(rows / 16) * each
        _, count = counted(torch.autograd.grad, result.sum(), value)
        # A pixel has the taps whose distance to it the stride divides; those of other remainders are other parts.
        valid, least_work, of_pixels, fewest = plan.mask_in, 0, 0, math.inf
        for a, b in itertools.product(range(stride), repeat=2):
            pixels = int(valid[..., a::stride, b::stride].sum())
            taps = len(range(a, 3, stride)) * len(range(b, 3, stride))
            least_work += 16 * math.ceil(pixels / 16) * taps
            of_pixels += pixels * taps
            fewest = min(fewest, pixels)
        assert count == least_work * channels * channels
        if fewest >= 107:
            assert least_work <= 1.15 * of_pixels
    assert multiplied <= 1.15 * expected_work


@pytest.mark.emulated
def test_fragments_are_read_without_conflicts_of_banks(emulator_check: Any, repository: Path) -> None:
    words = ("load_matrices(", "load_transposed(", "piece_of<T>(rows_of")
    places = set()
    for name in ("rows.cu", "rows.cuh", "rows_weight.cu"):
        file = f"csrc/ops/partial_conv/{name}"
        lines = enumerate((repository / file).read_text().splitlines(), 1)
        places |= {(file, n) for n, line in lines if any(word in line for word in words)}
    offsets = set()
    emulator_check.set_counting(True)
    try:
        names = [f"partial_conv_rows {name}" for name in ("bfloat16", "TF32")]
        for case in (case for case in EMULATOR_CASES if case.name in names):
            emulator_check.clear_access_sites()
            case.results(emulator_check)
            for site in emulator_check.access_sites():
                at = (site["file"], site["line"])
                if at in places and site["space"] == "shared":
                    assert site["ways_per_request"] <= 1.05 * site["ideal_ways"], site
                    offsets.add(at)
    finally:
        emulator_check.set_counting(False)
        emulator_check.clear_access_sites()
        emulator_check.clear_reports()
    assert len(offsets) >= 5, sorted(places - offsets)


def test_offsets_beyond_two_gigavalues(emulator: Any) -> None:
    # The checker keeps words for all the memory between the images.
    step, size, window = 1 << (14 if emulator.checked else 30), 4, (3, 3, 1, 1, 1, 1, 1, 1)
    memory = np.empty(2 * step + (1 << 16), np.uint16)  # only what kernels touch becomes memory

    def far(n: int, shape: tuple[int, int, int, int]) -> tuple[Any, Any]:
        """Returns the n-th view of images that lie 2^30 values apart, and the same as a tensor."""
        _, c, h, w = shape
        start, strides = n << 12, (step, 1, w * c, c)
        values = torch.from_numpy(memory.view(np.float16)).as_strided(shape, strides, start)
        return emulator.ArrayView(memory.ctypes.data + 2 * start, "float16", shape, strides, True), values

    shape = (3, 8, size, size)
    (x, xs), (h, hs), (y, ys), (dx, dxs) = (far(i, shape) for i in range(4))
    for values, seed in ((xs, 0), (hs, 1)):
        values.copy_(random(shape, torch.float16, seed=seed))
    weight = random((8, 3, 3, 8), torch.float16, seed=2)
    mask = torch.rand(3, 1, size, size, generator=torch.Generator().manual_seed(0)) < 0.4
    plan = ops.mask_plan(mask, [(3, 1, 1)])[0]
    rows, totals = integers(3, size * size), integers(3)
    for i, line in enumerate(plan.ratio.flatten(1)):
        active = line.nonzero().flatten()
        totals[i] = len(active)
        rows[i, : len(active)] = active + i * size * size
    where = (rows.data_ptr(), totals.data_ptr(), 3)
    bits, coverage = mask.contiguous(), plan.mask_out.contiguous()
    dw = torch.empty(8, 3, 3, 8, dtype=torch.float16)
    blocks = [scratch(emulator.partial_conv_rows_workspace(y))]
    emulator.partial_conv_rows(
        x, view(emulator, bits), view(emulator, weight), window, where, view(emulator, plan.ratio.contiguous()), None,
        1.0, None, 1.0, y, blocks[-1][1], **HOST_LAUNCH,
    )  # fmt: skip
    transposed = weight.permute(3, 1, 2, 0).contiguous()
    blocks.append(scratch(emulator.partial_conv_rows_input_workspace(dx, window)))
    emulator.partial_conv_rows_input_grad(
        h, view(emulator, coverage), view(emulator, transposed), window, view(emulator, bits), 1.0, None, dx,
        blocks[-1][1], **HOST_LAUNCH,
    )  # fmt: skip
    blocks.append(scratch(emulator.partial_conv_rows_weight_workspace(h, view(emulator, dw))))
    emulator.partial_conv_rows_weight_grad(
        h, x, view(emulator, bits), window, where, view(emulator, dw, True), blocks[-1][1], **HOST_LAUNCH
    )
    valid, coverage_of_mask = mask.double(), coverage.double()
    w = weight.double().permute(0, 3, 1, 2)
    near = [t.double() for t in (xs, hs)]
    expected = torch.nn.functional.conv2d(near[0] * valid, w, padding=1) * plan.ratio.double()
    torch.testing.assert_close(ys.double(), expected, rtol=2**-10, atol=1e-3)
    expected = torch.nn.grad.conv2d_input(shape, w, near[1] * coverage_of_mask, padding=1) * valid
    torch.testing.assert_close(dxs.double(), expected, rtol=2**-10, atol=1e-3)
    expected = torch.nn.grad.conv2d_weight(near[0] * valid, w.shape, near[1] * coverage_of_mask, padding=1)
    torch.testing.assert_close(dw.permute(0, 3, 1, 2).double(), expected, rtol=2**-10, atol=1e-3)


# ---- which layers are computed by rows ------------------------------------------------------------------------------


def layer_of(mask: Any, *layer: int, method: str = "rows", groups: int = 1, soft: bool = False) -> Any:
    return backend.Layer(ops.mask_plan(mask, [layer], method=method, soft=soft)[0], groups)


def test_which_layers_are_computed_by_rows(on_emulator: Any) -> None:  # noqa: F811
    few, many = torch.zeros(2, 1, 20, 20), torch.ones(2, 1, 20, 20)
    few[..., 8:12, 8:12] = 1
    many[0, ..., 0] = 0
    halves = torch.empty(0, dtype=torch.float16)

    def chosen(mask: Any, dtype: Any = torch.bfloat16, c: int = 16, o: int = 8, kernel: int = 3, **more: Any) -> bool:
        layer, like = layer_of(mask, kernel, **more), torch.empty(0, dtype=dtype)
        return device.by_rows((2, c, 20, 20), (o, c, kernel, kernel), like, layer)

    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        for mask in (few, few > 0, many):
            assert chosen(mask, dtype)
            assert not chosen(mask, dtype, method="auto") and not chosen(mask, dtype, method="dense")
    assert not chosen(few, c=12) and chosen(few, torch.float32, c=12) and not chosen(few, torch.float32, c=6)
    assert not chosen(few, o=3)
    assert not chosen(few / 2, soft=True) and not chosen(few.expand(2, 16, 20, 20))
    assert not chosen(few, kernel=9) and chosen(few, kernel=8)
    assert not device.by_rows((2, 16, 20, 20), (8, 8, 3, 3), halves, layer_of(few, 3, groups=2))
    assert not device.by_rows((1 << 22, 16, 20, 20), (8, 16, 3, 3), halves, layer_of(few[:1], 3))
    # Tensor cores round float32, which has to be allowed, and are there from sm_80 on.
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        assert not chosen(few, torch.float32) and chosen(few)
    on_emulator.set_code_version(75)
    try:
        assert not any(chosen(few, dtype) for dtype in (torch.float32, torch.float16, torch.bfloat16))
    finally:
        on_emulator.set_code_version(90)


def test_layers_of_a_chain_that_do_not_suit_rows_use_the_library(on_emulator: Any) -> None:  # noqa: F811
    torch.manual_seed(0)
    sizes = [(12, 16), (16, 24), (24, 3)]
    layers = [PartialConv2d(a, b, 3, 2, padding=1, dtype=torch.bfloat16) for a, b in sizes]
    mask = torch.rand(2, 1, 17, 18) < 0.05
    results = []
    for method in ("rows", "dense"):
        x = torch.linspace(-1, 1, 2 * 12 * 17 * 18).reshape(2, 12, 17, 18).to(torch.bfloat16).requires_grad_()
        y = x
        for layer, plan in zip(layers, ops.mask_plan(mask, layers, method=method), strict=True):
            y, _ = layer(y, plan=plan, negative_slope=0.2)
        (dx,) = torch.autograd.grad(y.square().sum(), x)
        results.append((y, dx))
    for a, b in zip(*results, strict=True):
        # Three layers, each with an error of its rounding to bfloat16 of its values, none of which is larger.
        torch.testing.assert_close(a, b, rtol=0, atol=4 * 2.0**-8 * float(b.detach().abs().max()))


def test_memory_that_is_not_aligned(by_rows: Any) -> None:
    case = Case((1, 8, 6, 7), 16)
    x, weight, _ = (torch.tensor(a, dtype=torch.float16) for a in arrays(case))
    plan = ops.mask_plan(torch.tensor(a_mask("hard", case, 1) > 0), [(3,)], method="rows")[0]
    expected, _ = ops.partial_conv2d(x, weight, plan=plan)

    def shifted(t: Any) -> Any:
        t = t.contiguous(memory_format=torch.channels_last)
        memory = torch.empty(t.numel() + 1, dtype=t.dtype)
        return memory[1:].as_strided(t.shape, t.stride()).copy_(t)

    result, _ = ops.partial_conv2d(shifted(x), shifted(weight), plan=plan)
    assert torch.equal(result, expected)


def test_inputs_of_kernels_are_checked(emulator: Any) -> None:
    form = {"memory_format": torch.channels_last}
    x, y = (torch.zeros(1, 8, 4, 4, dtype=torch.float16).contiguous(**form) for _ in range(2))
    weight, ratio = torch.zeros(8, 3, 3, 8, dtype=torch.float16), torch.ones(1, 1, 4, 4)
    known = ratio > 0
    rows, totals = integers(16), integers(1)
    rows[:], totals[:] = torch.arange(16), 16
    block = scratch(emulator.partial_conv_rows_workspace(view(emulator, y)))

    def forward(
        x: Any = x, y: Any = y, weight: Any = weight, ratio: Any = ratio, mask: Any = known, images: int = 1,
        space: Any = block[1], writable: bool = True, window: Any = (3, 3, 1, 1, 1, 1, 1, 1),
    ) -> None:  # fmt: skip
        emulator.partial_conv_rows(
            view(emulator, x), view(emulator, mask), view(emulator, weight), window,
            (rows.data_ptr(), totals.data_ptr(), images), view(emulator, ratio), None, 1.0, None, 1.0,
            view(emulator, y, writable), space, **HOST_LAUNCH,
        )  # fmt: skip

    forward()
    for message, call in (
        ("x: its channels", lambda: forward(x.contiguous())),
        ("y: expected", lambda: forward(y=y[..., 1:])),
        ("y: its channels", lambda: forward(y=y.contiguous())),
        ("y: read-only", lambda: forward(writable=False)),
        ("weight: expected", lambda: forward(weight=weight[:, 1:])),
        ("weight: not contiguous", lambda: forward(weight=weight.transpose(1, 2))),
        ("weight: expected", lambda: forward(weight=weight.bfloat16())),
        ("ratio: missing", lambda: forward(ratio=None)),
        ("ratio: not", lambda: forward(ratio=ratio[..., 1:])),
        ("x: its mask is missing", lambda: forward(mask=None)),
        ("mask: does not broadcast", lambda: forward(mask=ratio[..., 1:] > 0)),
        ("its mask is not one plane of bools", lambda: forward(mask=ratio)),
        ("rows: of 2 images", lambda: forward(images=2)),
        ("workspace: 0 bytes", lambda: forward(space=(0, 0))),
        ("81 taps", lambda: forward(window=(9, 9, 1, 1, 4, 4, 1, 1))),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            call()
