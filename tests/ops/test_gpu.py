"""The checks that need a GPU: `make gpu-check PART=test` runs them. The emulator tests the kernels everywhere else."""

from __future__ import annotations

import importlib.util
import logging
import multiprocessing
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pyharmony
from pyharmony import _cuda, _native
from pyharmony.errors import DeviceError, OutOfMemory
from pyharmony.ops import gaussian_poisson, poisson

from ..shared import ROOT

pytestmark = pytest.mark.gpu


def load(name: str) -> Any:
    path = ROOT / "tests" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


cases = load("gpu_cases")

Call = Callable[..., Any]
#: The paths of the solvers on arrays src, dst, mask: Chebyshev, cosines, multigrid.
CALLS: dict[str, Call] = {
    "chebyshev": lambda src, dst, mask, **k: gaussian_poisson(src, dst, mask, dst, method="chebyshev", **k),
    "dct": lambda src, dst, mask, **k: gaussian_poisson(src, dst, mask, dst, color_weight=1e-3, **k),
    "poisson": poisson,
}


@pytest.fixture
def torch(device_module: Any) -> Any:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    if not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device")
    return torch


@pytest.fixture
def images(torch: Any) -> tuple[Any, ...]:
    src, dst = cases.pictures("float32")
    return tuple(torch.from_numpy(a).cuda() for a in (src, dst, cases.blob()))


@pytest.mark.parametrize("name", [*cases.CASES, "kernels"])
def test_a_case_agrees_with_the_processor(device_module: Any, name: str) -> None:
    cases.check(name)


@pytest.mark.parametrize("name", list(cases.CASES))
def test_the_bits_are_the_same_every_time(device_module: Any, name: str) -> None:
    first, second = (cases.on("cuda", cases.CASES[name]) for _ in range(2))
    assert np.array_equal(first, second)


def test_every_kernel_is_launched_by_a_case(torch: Any) -> None:
    assert cases.unlaunched() == []


@pytest.mark.parametrize("method", ["chebyshev", "dct"])
def test_both_kernels_solve_the_same_equation(device_module: Any, method: str) -> None:
    """They differ by rounding alone at the finest tolerance of float32: 2e-5 of the range."""
    src, dst = cases.pictures("float32")

    def solve() -> Any:
        weight = 1.0 if method == "chebyshev" else 0.02
        return gaussian_poisson(src, dst, cases.blob(), dst, method=method, color_weight=weight, tolerance=0.002)

    assert np.abs(cases.on("cuda", solve) - cases.on("cpu", solve)).max() <= 2e-5


@pytest.mark.parametrize("call", list(CALLS))
def test_a_tensor_stays_on_its_device(torch: Any, images: Any, call: str) -> None:
    before = [x.clone() for x in images]
    result = CALLS[call](*images)
    assert result.device == images[1].device and result.dtype == images[1].dtype and result.shape == images[1].shape
    assert all(torch.equal(x, y) for x, y in zip(images, before, strict=True))  # inputs are not modified
    host = cases.on("cuda", lambda: CALLS[call](*(x.cpu().numpy() for x in images)))
    assert np.array_equal(result.cpu().numpy(), host)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_harmonize_gives_a_tensor_back_where_it_was(torch: Any, dtype: str) -> None:
    _, image = cases.pictures(dtype)
    expected = pyharmony.harmonize(image, cases.blob(), method="mkl")
    planes, mask = torch.from_numpy(image).permute(2, 0, 1).cuda(), torch.from_numpy(cases.blob()).cuda()
    result = pyharmony.harmonize(planes, mask, method="mkl")
    assert result.device == planes.device and np.array_equal(result.permute(1, 2, 0).cpu().numpy(), expected)
    into = torch.empty_like(planes)
    assert pyharmony.harmonize(planes, mask, method="mkl", out=into) is into and torch.equal(into, result)


@pytest.mark.parametrize("call", list(CALLS))
def test_an_info_tells_of_the_device(torch: Any, images: Any, call: str) -> None:
    result, info = CALLS[call](*images, return_info=True)
    assert info.device == "cuda:0" and info.iterations >= 1
    assert torch.equal(result, CALLS[call](*images))


@pytest.mark.parametrize("call", list(CALLS))
def test_views_of_any_strides_give_the_same(torch: Any, images: Any, call: str) -> None:
    expected = CALLS[call](*images)
    src, dst, mask = images
    planar = [x.permute(2, 0, 1).contiguous().permute(1, 2, 0) for x in (src, dst)]
    assert torch.equal(CALLS[call](*planar, mask), expected)
    # The view is a window of something wider, at an odd address.
    wide = [torch.zeros(x.shape[0] + 3, x.shape[1] + 5, 5, device=x.device) for x in (src, dst)]
    windows = [w[1:-2, 3:-2, 1:4] for w in wide]
    for window, x in zip(windows, (src, dst), strict=True):
        window.copy_(x)
    assert torch.equal(CALLS[call](*windows, mask), expected)
    odd = torch.zeros(mask.numel() + 1, device=mask.device)[1:].view(mask.shape).copy_(mask)
    assert torch.equal(CALLS[call](src, dst, odd), expected)


@pytest.mark.parametrize("call", list(CALLS))
def test_a_call_runs_on_the_callers_stream(torch: Any, images: Any, call: str) -> None:
    result = CALLS[call](*images)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(100_000_000)  # what is put on the stream after it has to wait for it
        late = [x.clone() for x in images]
        buffers = CALLS[call](*late)
        assert not stream.query()  # the call did not wait
    stream.synchronize()
    assert torch.equal(buffers, result)


@pytest.mark.parametrize("call", list(CALLS))
def test_a_call_can_be_captured_in_a_graph(torch: Any, images: Any, call: str) -> None:
    result = [torch.zeros_like(x) for x in images]
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        CALLS[call](*images)
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured_result = CALLS[call](*result)
    for images_ in (images, (images[1], images[0], images[2])):
        for x, y in zip(result, images_, strict=True):
            x.copy_(y)
        graph.replay()
        torch.cuda.synchronize()
        assert torch.equal(captured_result, CALLS[call](*images_))


def test_memory_that_runs_out_is_named_and_the_next_call_works(torch: Any, images: Any) -> None:
    expected = poisson(*images)
    large = torch.zeros(13_000, 13_000, 1, device="cuda")  # 676 MB; a solve takes several times that
    mask = torch.ones(13_000, 13_000, dtype=torch.bool, device="cuda")
    torch.cuda.empty_cache()
    ballast = []
    while torch.cuda.mem_get_info()[0] > 1 << 30:
        ballast.append(torch.empty(1 << 28, dtype=torch.uint8, device="cuda"))
    with pytest.raises(OutOfMemory, match=r"\d+ bytes"):
        gaussian_poisson(large, large, mask, large, method="dct", color_weight=1e-3)
    del large, mask, ballast
    torch.cuda.empty_cache()
    assert torch.equal(poisson(*images), expected)


def test_arrays_in_different_places_are_refused(torch: Any, images: Any) -> None:
    src, dst, mask = images
    with pytest.raises(DeviceError, match="mask: on the CPU"):
        poisson(src, dst, mask.cpu())
    if torch.cuda.device_count() > 1:
        with pytest.raises(DeviceError, match="src: on cuda:1"):
            poisson(src.to("cuda:1"), dst, mask)


@pytest.mark.parametrize("call", list(CALLS))
def test_cupy_and_dlpack_give_what_torch_gives(torch: Any, images: Any, call: str) -> None:
    cupy = pytest.importorskip("cupy", reason="cupy is not installed")
    result = CALLS[call](*images)
    arrays = [cupy.from_dlpack(x) for x in images]
    cupy_result = CALLS[call](*arrays)
    assert isinstance(cupy_result, cupy.ndarray)
    assert torch.equal(torch.from_dlpack(cupy_result), result)

    class Exporter:
        """An array of another library."""

        def __init__(self, x: Any) -> None:
            self.x = x

        def __dlpack_device__(self) -> Any:
            return self.x.__dlpack_device__()

        def __dlpack__(self, **more: Any) -> Any:
            return self.x.__dlpack__(**more)

    other = CALLS[call](*map(Exporter, images))
    assert isinstance(other, _cuda.DeviceArray)
    assert torch.equal(torch.from_dlpack(other), result)


def test_the_device_is_named_and_served(device_module: Any) -> None:
    from pyharmony.cli import _facts

    assert pyharmony.has_cuda() and _native.cuda_status() == ""
    first = _facts.gpus()[0]
    assert first["served"], f"compiled for {device_module.architectures()}, there is {first['capability']}"


def test_nothing_is_said_about_a_device_that_is_there(device_module: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "pyharmony"):
        cases.on("cuda", cases.CASES["poisson-uint8"])
    assert not caplog.records


def test_threads_with_images_of_different_sizes_do_not_disturb_each_other(device_module: Any) -> None:
    rng = np.random.default_rng(3)

    def problem(shape: tuple[int, ...], whole: bool) -> Callable[[], Any]:
        src, dst = rng.random((2, *shape), np.float32)
        mask = np.zeros(shape[:2], np.float32)
        mask[shape[0] // 4 : -shape[0] // 4, shape[1] // 4 : -shape[1] // 4] = 1
        if whole:
            return lambda: gaussian_poisson(src, dst, mask, dst, color_weight=1e-3, method="dct", device="cuda")
        return lambda: poisson(src, dst, mask, device="cuda")

    shapes = [((512, 512, 1), True), ((1080, 1920, 4), True), ((200, 200, 3), False), ((1500, 1500, 3), False)]
    calls = [problem(*shape) for shape in shapes]
    expected = [call() for call in calls]
    failures: list[str] = []

    def work(call: Callable[[], Any], expected: Any) -> None:
        for _ in range(40):
            try:
                if not np.array_equal(call(), expected):
                    failures.append("other bits")
            except Exception as error:
                failures.append(str(error))

    threads = [threading.Thread(target=work, args=both) for both in zip(calls, expected, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def _in_child(results: Any) -> None:
    src, dst = cases.pictures("uint8")
    result, info = poisson(src, dst, cases.blob(), return_info=True)
    results.put((info.device, result, _native.cuda_status()))


def test_a_forked_child_runs_on_the_processor(device_module: Any) -> None:
    src, dst = cases.pictures("uint8")
    assert poisson(src, dst, cases.blob(), return_info=True)[1].device.startswith("cuda")
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    child = context.Process(target=_in_child, args=(results,))
    child.start()
    device, result, status = results.get(timeout=120)
    child.join()
    assert device == "cpu" and "was forked after CUDA was initialised" in status
    assert np.array_equal(result, poisson(src, dst, cases.blob(), device="cpu"))


def test_a_card_that_others_have_filled_is_replaced_by_the_processor(torch: Any) -> None:
    src, dst = (np.random.default_rng(i).random((4000, 4000, 3), np.float32) for i in range(2))
    mask = np.zeros((4000, 4000), np.float32)
    mask[100:-100, 100:-100] = 1
    ballast = []
    while torch.cuda.mem_get_info()[0] > 300 << 20:
        ballast.append(torch.empty(200 << 20, dtype=torch.uint8, device="cuda"))
    result, info = gaussian_poisson(src, dst, mask, dst, return_info=True)
    assert info.device == "cpu" and np.isfinite(result).all()
    with pytest.raises(OutOfMemory):
        gaussian_poisson(src, dst, mask, dst, device="cuda")
    del ballast
    torch.cuda.empty_cache()
    assert gaussian_poisson(src, dst, mask, dst, return_info=True)[1].device == "cuda:0"


def test_a_solver_is_used_on_another_stream_after_it_is_made(torch: Any, images: Any) -> None:
    src, dst, mask = images
    expected = poisson(src, dst, mask)
    torch.cuda._sleep(200_000_000)  # the set-up is put behind it
    solver = pyharmony.ops.PoissonSolver(mask)
    with torch.cuda.stream(torch.cuda.Stream()):
        result = solver.solve(src, dst)
    del solver
    torch.cuda.synchronize()
    assert torch.equal(result, expected)


def test_an_array_that_nobody_names_a_stream_for_is_there_on_the_default_stream(torch: Any, images: Any) -> None:
    expected = poisson(*images)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(200_000_000)
        late = [x.clone() for x in images]
        arrays = [_cuda.describe(x, "x") for x in late]
    device_array = poisson(*arrays)
    assert isinstance(device_array, _cuda.DeviceArray)
    capsule = device_array.__dlpack__()
    with torch.cuda.stream(torch.cuda.default_stream()):
        result = torch.utils.dlpack.from_dlpack(capsule).clone()
    torch.cuda.synchronize()
    assert torch.equal(result, expected)


def test_numpy_goes_to_the_current_device_and_no_other(torch: Any) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("there is one CUDA device")
    src, dst = cases.pictures("uint8")
    torch.cuda.set_device(1)
    try:
        assert poisson(src, dst, cases.blob(), return_info=True)[1].device == "cuda:1"
    finally:
        torch.cuda.set_device(0)
