"""The emulator of CUDA and its checker find the faults of tests/native/emulator_kernels.cu, and no others."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ..emulator_cases import CASES, Memory
from .test_gaussian_poisson_rectangle_cuda import Device

pytestmark = pytest.mark.emulated

SOURCE = "tests/native/emulator_kernels.cu"
THREADS, N = 64, 2048
CORRECT_CASES = [case for case in CASES if case.module == "_emulator_tests"]


@pytest.fixture(scope="module")
def lines(repository: Path) -> Callable[[str], list[int]]:
    """Returns the lines of the kernels' source that end with a name."""
    text = (repository / SOURCE).read_text().splitlines()

    def find(name: str) -> list[int]:
        numbers = [n for n, line in enumerate(text, 1) if re.search(rf"// (.*, )?{name}\b", line)]
        assert numbers, name
        return numbers

    return find


@pytest.fixture(params=["plain", "check"])
def either(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Yields the test kernels, without and with the checker."""
    native = request.getfixturevalue("emulator_tests" if request.param == "plain" else "emulator_tests_check")
    yield native
    native.set_seed(0)


@pytest.fixture
def check(emulator_tests_check: Any) -> Iterator[Any]:
    emulator_tests_check.clear_reports()
    yield emulator_tests_check
    emulator_tests_check.set_seed(0)
    emulator_tests_check.clear_reports()


def values(n: int = N) -> Any:
    return np.random.default_rng(5).integers(0, 16, n).astype(np.float32)


def run(native: Any, name: str, n: int = N, *, filled_source: bool = True, array: Any = None) -> tuple[Any, Any]:
    """Runs a test kernel; returns out [n] and counters [16]. Unless `written`, nobody writes its input."""
    memory = Memory(native)
    source = memory.put(values(n) if array is None else array) if filled_source else memory.empty(n)
    out, counters = memory.zeros(n), memory.zeros(16, np.uint32)
    native.run(name, source.pointer, out.pointer, counters.pointer, n)
    return out.get(), counters.get()


# Kernels that are right


def test_results_are_those_of_numpy(either: Any) -> None:
    def mean(p: Any) -> Any:
        return (p[:-2] + p[1:-1] + p[2:]) / np.float32(3)

    x = values()
    blocks = [np.pad(x, 1)[i : i + THREADS + 2] for i in range(0, N, THREADS)]
    twice = [mean(np.concatenate([b[:1], mean(b), b[-1:]])) for b in blocks]
    assert np.array_equal(run(either, "stencil")[0], np.concatenate(twice))
    sums = x.reshape(-1, THREADS).sum(axis=1)
    assert np.array_equal(run(either, "block_sum")[0][: N // THREADS], sums)
    for name in ("transpose", "transpose_padded"):
        assert np.array_equal(run(either, name)[0].reshape(32, -1), x.reshape(-1, 32).T)
    assert np.array_equal(run(either, "copy_vector")[0], x)
    assert np.array_equal(run(either, "copy_stride")[0][: N // 8], x[::8])
    assert np.array_equal(run(either, "histogram")[1], np.bincount(x.astype(int), minlength=16))
    out, counters = run(either, "last_block")
    assert out[0] == x.sum() and not counters.any()
    pieces = x.reshape(-1, THREADS)
    assert np.array_equal(run(either, "pipeline")[0][:THREADS], np.roll(pieces, -1, axis=1).sum(axis=0))
    assert np.array_equal(run(either, "bytes")[0].view(np.uint8)[:N], x.astype(np.uint8))
    blocks_of = pieces.reshape(-1, 4, THREADS)  # what a block has is its neighbour's
    assert np.array_equal(run(either, "cluster")[0].reshape(blocks_of.shape), np.roll(blocks_of, -40, axis=2))
    assert np.array_equal(run(either, "early")[0], np.concatenate([3 * x[: N // 2], 2 * x[: N // 2]]))
    rounds = (pieces[:, 1::2, None] == np.arange(4)).any(axis=1).sum(axis=1)
    assert np.array_equal(run(either, "any")[0], np.repeat(rounds, THREADS))


def test_lanes_meet_by_mask(either: Any) -> None:
    expected = []
    for warp in values().reshape(-1, 32):
        mixed = warp.copy()
        mixed[::2] = warp[::2].sum()
        mixed[1::2] = warp[31]
        expected.append(mixed + np.append(mixed[1:], mixed[31]))
    for seed in range(4):
        either.set_seed(seed)
        assert np.array_equal(run(either, "divergent_exchange")[0], np.concatenate(expected))


@pytest.mark.parametrize("name", ["half", "bfloat16", "tf32"])
def test_a_warp_multiplies_matrices(either: Any, name: str) -> None:
    """Parts of matrices lie in lanes as PTX defines for ldmatrix.m8n8 and mma.m16n8k16 and m16n8k8."""
    rng = np.random.default_rng(4)
    exact = rng.standard_normal((24, 8 if name == "tf32" else 16)).astype(np.float32)
    if name == "half":
        words = exact.astype(np.float16)
    elif name == "bfloat16":
        words = (exact.view(np.uint32) >> 16).astype(np.uint16)  # cut off, so that it is one
        exact = (words.astype(np.uint32) << 16).view(np.float32)
    else:
        words = exact
        exact = ((exact.view(np.uint32) + 0x1000) & 0xFFFFE000).view(np.float32)
    exact = words.astype(np.float64) if name == "half" else exact.astype(np.float64)
    inputs = np.ascontiguousarray(words).view(np.float32)
    assert inputs.shape == (24, 8)
    before = either.products()
    for seed in range(3):
        either.set_seed(seed)
        out, _ = run(either, f"product_{name}", array=inputs)
        assert np.array_equal(out[:128].reshape(16, 8), (1 + exact[:16] @ exact[16:].T).astype(np.float32))
    assert either.products() - before == 3 * 16 * 8 * exact.shape[1]
    # Four matrices of 8 rows and 4 words: rows 0 to 7 and 8 to 15 of the first words, then of the others.
    parts = inputs[:16].view(np.uint32).reshape(2, 8, 2, 4).transpose(2, 0, 1, 3).reshape(4, 8, 4)
    products = out[128:256].view(np.uint32).reshape(8, 4, 4)
    assert np.array_equal(products, parts.transpose(1, 2, 0))
    transposed = parts.view(np.uint16).transpose(0, 2, 1)  # [matrix, column, row]
    products = out[256:384].view(np.uint16).reshape(8, 4, 4, 2)
    assert np.array_equal(products, transposed.reshape(4, 8, 4, 2).transpose(1, 2, 0, 3))


@pytest.mark.parametrize("case", CORRECT_CASES, ids=lambda case: case.name)
def test_results_do_not_depend_on_the_order_of_threads(either: Any, case: Any) -> None:
    results = []
    for seed in range(4):
        either.set_seed(seed)
        results.append(case.results(either))
    assert results.count(results[0]) == len(results)


@pytest.mark.parametrize("name", [*(case.name for case in CORRECT_CASES), "flag"])
def test_the_checker_is_silent(check: Any, name: str) -> None:
    for seed in range(4):
        check.set_seed(seed)
        run(check, name)
        assert check.reports() == []


def test_the_seed_permutes_blocks_and_threads(emulator_tests: Any) -> None:
    """The last write stays: among the blocks, and between two threads that write to one place."""
    lasts = set()
    for seed in range(6):
        emulator_tests.set_seed(seed)
        lasts.add(run(emulator_tests, "shared_race")[0].tobytes())
    emulator_tests.set_seed(0)
    assert len(lasts) > 3


# Failures: the launch raises


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("divergent_barrier", "threads of a block at different barriers"),
        ("exited_threads", "a barrier that not all threads reach"),
        ("deadlock", "deadlock, 64 of 64 threads wait for ever"),
        ("lane_not_in_mask", "a lane that its own mask does not name"),
        ("exited_lane", "exited lane"),
        ("half_a_warp_multiplies", "matrices of a warp of fewer than 32 lanes"),
        ("lane_beyond_mask", "reads lane 20"),
        ("different_operations", "different warp operations"),
    ],
)
def test_a_failure_names_kernel_thread_and_line(
    either: Any, lines: Callable[[str], list[int]], name: str, says: str
) -> None:
    for seed in range(4):
        either.set_seed(seed)
        with pytest.raises(RuntimeError, match=says) as error:
            run(either, name)
        text = str(error.value)
        assert type(error.value).__name__ == "EmulatorFailure"
        assert f"kernel {name}_kernel, block (0, 0, 0)" in text
        numbers = {int(line) for line in re.findall(rf"{SOURCE}:(\d+)", text)}
        assert numbers and numbers <= set(lines(name))
        if name in ("divergent_barrier", "deadlock", "different_operations"):
            assert numbers == set(lines(name))


def test_a_thread_of_an_early_launch_has_to_wait(either: Any) -> None:
    with pytest.raises(RuntimeError, match=r"early_without_wait_kernel.* a thread that has not waited for the launch"):
        run(either, "early_without_wait")


def test_the_next_launch_after_a_failure_works(either: Any) -> None:
    for _ in range(3):
        with pytest.raises(RuntimeError, match="deadlock"):
            run(either, "deadlock")
        assert np.array_equal(run(either, "copy_vector")[0], values())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (dict(grid=(1, 1, 1), block=(1025, 1, 1)), r"block \(1025, 1, 1\)"),
        (dict(grid=(1, 1, 1), block=(32, 33, 1)), r"block \(32, 33, 1\)"),
        (dict(grid=(1, 1, 1), block=(1, 1, 65)), r"block \(1, 1, 65\)"),
        (dict(grid=(1, 1, 1), block=(0, 1, 1)), r"block \(0, 1, 1\)"),
        (dict(grid=(0, 1, 1), block=(32, 1, 1)), r"grid \(0, 1, 1\)"),
        (dict(grid=(1, 65536, 1), block=(32, 1, 1)), r"grid \(1, 65536, 1\)"),
        (dict(grid=(1, 1, 65536), block=(32, 1, 1)), r"grid \(1, 1, 65536\)"),
        (dict(grid=(2**31, 1, 1), block=(32, 1, 1)), r"grid \(2147483648, 1, 1\)"),
        (dict(grid=(3, 1, 1), block=(32, 1, 1), cluster=2), "cluster size: 2 blocks"),
        (dict(grid=(17, 1, 1), block=(32, 1, 1), cluster=17), "cluster size: 17 blocks"),
        (dict(grid=(1, 1, 1), block=(32, 1, 1), shared_bytes=(48 << 10) + 1), "49153 bytes of dynamic shared"),
        (dict(grid=(1, 1, 1), block=(32, 1, 1), allowed_bytes=(227 << 10) + 1), "232449 bytes of dynamic shared"),
    ],
)
def test_a_launch_that_cuda_refuses_is_refused(either: Any, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(RuntimeError, match=f"nothing_kernel: invalid .*{says}") as error:
        either.launch(**arguments)
    assert type(error.value).__name__ == "DeviceFailure"


def test_more_shared_memory_is_for_the_kernel_that_asked(either: Any) -> None:
    either.launch((3, 2, 2), (32, 2, 2), shared_bytes=60 << 10, allowed_bytes=64 << 10)
    with pytest.raises(RuntimeError, match="at most 65536 are allowed"):
        either.launch((1, 1, 1), (32, 1, 1), shared_bytes=65 << 10)


# Reports of the checker


@pytest.mark.parametrize(
    ("name", "kind", "space"),
    [
        ("shared_race", "race", "shared"),
        ("global_race", "race", "global"),
        ("missing_barrier", "race", "shared"),
        ("missing_second_barrier", "race", "shared"),
        ("half_warp", "race", "shared"),
        ("shuffle_is_no_barrier", "race", "shared"),
        ("missing_barrier_after_wait", "race", "shared"),
        ("plain_and_atomic", "race", "global"),
        ("missing_wait", "async", "shared"),
        ("uninitialised_shared", "uninitialised", "shared"),
        ("uninitialised_dynamic", "uninitialised", "shared"),
        ("shared_of_another_block", "uninitialised", "shared"),
        ("uninitialised_device", "uninitialised", "global"),
        ("local_of_another", "out of bounds", "local"),
        ("block_writes", "block race", "global"),
        ("block_reads", "block race", "global"),
        ("missing_release", "block race", "global"),
        ("missing_acquire", "block race", "global"),
        ("cluster_no_start", "cluster", "shared"),
        ("cluster_no_barrier", "race", "shared"),
        ("cluster_no_end", "cluster", "shared"),
        ("early_read", "early", "global"),
    ],
)
def test_a_fault_is_found_at_its_line(
    check: Any, lines: Callable[[str], list[int]], name: str, kind: str, space: str
) -> None:
    for seed in range(4):
        check.clear_reports()
        check.set_seed(seed)
        run(check, name, filled_source=name != "uninitialised_device")
        faults = [report for report in check.reports() if report["kind"] == kind and report["space"] == space]
        places = {(r["file"], r["line"]) for r in faults} | {(r["other_file"], r["other_line"]) for r in faults}
        assert {(SOURCE, line) for line in lines(name)} & places
        assert all(report["count"] > 0 for report in faults)


@pytest.mark.parametrize("name", ["read_beyond", "write_before", "shared_beyond"])
def test_an_access_out_of_bounds_ends_the_launch(check: Any, lines: Callable[[str], list[int]], name: str) -> None:
    (line,) = lines(name)
    with pytest.raises(RuntimeError, match=f"{name}_kernel.*4 bytes outside of the memory.* at {SOURCE}:{line}$"):
        run(check, name)
    (report,) = check.reports()
    assert (report["kind"], report["file"], report["line"]) == ("out of bounds", SOURCE, line)


def test_a_race_names_both_lines(check: Any, lines: Callable[[str], list[int]]) -> None:
    run(check, "missing_wait")
    (report,) = check.reports()
    wait = lines("missing_wait")[0]
    assert (report["line"], report["other_line"]) == (wait, wait - 3)
    assert report["kernel"] == "missing_wait_kernel"
    assert report["other_frames"].startswith("csrc/device/async_copy.h:")


def test_checking_can_be_switched_off(check: Any) -> None:
    check.set_checking(False)
    run(check, "shared_race")
    check.set_checking(True)
    assert check.reports() == []
    run(check, "shared_race")
    assert check.reports() != []


def test_memory_of_the_host_is_known_where_it_is_registered(check: Any) -> None:
    source, out, counters = values(), np.zeros(N, np.float32), np.zeros(16, np.uint32)
    arguments = (source.ctypes.data, out.ctypes.data, counters.ctypes.data, N)
    with pytest.raises(RuntimeError, match="16 bytes outside"):
        check.run("copy_vector", *arguments)
    check.register_memory(source.ctypes.data, source.nbytes)
    with pytest.raises(RuntimeError, match="a write of 16 bytes outside"):
        check.run("copy_vector", *arguments)
    check.clear_reports()
    view = check.ArrayView(out.ctypes.data, "float32", (N,), (1,), True)
    check.run("copy_vector", *arguments)
    assert check.reports() == []
    check.forget_memory(source.ctypes.data)
    del view
    with pytest.raises(RuntimeError, match="16 bytes outside"):
        check.run("copy_vector", *arguments)


# Counts of accesses


def sites_of(check: Any, name: str) -> list[dict[str, Any]]:
    check.clear_access_sites()
    check.set_counting(True)
    run(check, name)
    check.set_counting(False)
    return [site for site in check.access_sites() if site["file"] == SOURCE]


@pytest.mark.parametrize(("name", "ways"), [("transpose", 32), ("transpose_padded", 1)])
def test_banks_of_shared_memory_are_counted(
    check: Any, lines: Callable[[str], list[int]], name: str, ways: int
) -> None:
    reads = [s for s in sites_of(check, name) if s["space"] == "shared" and not s["write"]]
    assert [(s["line"], s["ways_per_request"], s["ideal_ways"]) for s in reads] == [(lines("transposed")[0], ways, 1)]


def test_sectors_of_global_memory_are_counted(check: Any, lines: Callable[[str], list[int]]) -> None:
    for site in sites_of(check, "copy_vector"):
        assert (site["lanes_per_request"], site["sectors_per_request"], site["ideal_sectors"]) == (32, 16, 16)
    read, write = sorted(sites_of(check, "copy_stride"), key=lambda site: site["write"])
    assert {read["line"], write["line"]} == set(lines("strided"))
    assert (write["sectors_per_request"], write["ideal_sectors"]) == (4, 4)
    assert (read["sectors_per_request"], read["ideal_sectors"]) == (32, 4)


def test_traffic_counts_each_sector_of_a_launch_once(emulator_check: Any) -> None:
    """The direct solver reads src, dst, base, a third of a mask and its spectrum twice, and writes that and out."""
    h, w = 64, 256
    for dtype, size, most in ((np.float32, 4, 36), (np.uint8, 1, 22)):
        src, dst, base = (np.ascontiguousarray(x[None]) for x in np.full((3, h, w, 3), 1, dtype))
        out = np.zeros_like(src)
        emulator_check.clear_access_sites()
        emulator_check.set_counting(True)
        Device(emulator_check).direct(src, dst, np.full((1, h, w), 255, np.uint8), base, out, 1.0, measures=False)
        emulator_check.set_counting(False)
        launches = emulator_check.traffic()
        assert [one["launches"] for one in launches] == [1, 1, 1]
        per_value = sum(one["read_sectors"] + one["written_sectors"] for one in launches) * 32 / out.size
        formula = 3 * size + 1 / 3 + 4 + 4 + 4 + 4 + size
        assert formula <= per_value <= formula + 0.3 <= most  # and the tables


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("channels", [1, 3])
def test_rows_of_a_known_width_take_few_wavefronts(
    emulator_check: Any, repository: Path, dtype: str, channels: int
) -> None:
    """A request takes as many wavefronts as it has ways; the general kernels take 1.01 a value in and 0.65 out. Of the
    tables, 95 KB for these, a few KB are read: launches read little beside the images or the spectrum."""
    h, w = 6, 7680
    path = "csrc/ops/gaussian_poisson/direct_lines.cuh"
    source = (repository / path).read_text().splitlines()
    images = np.ones((3, 1, h, w, channels), dtype)
    emulator_check.clear_access_sites()
    emulator_check.set_counting(True)
    Device(emulator_check).direct(
        *images[:2], np.ones((1, h, w), dtype), images[2], np.zeros_like(images[0]), 1.0, measures=False
    )
    emulator_check.set_counting(False)
    ways = dict.fromkeys(("lines_in", "lines_out"), 0.0)
    for site in emulator_check.access_sites():
        for name in ways:
            if name in site["kernel"]:
                # g++ moves four floats by four requests, each of which has the ways of the whole.
                line = source[site["line"] - 1] if site["file"] == path and dtype == "float32" else ""
                split = 4 if "float4" in line or "store_pack" in line else 1
                ways[name] += site["requests"] * site["ways_per_request"] / split / images[0].size
    print({name: round(count, 2) for name, count in ways.items()})
    assert 0 < ways["lines_in"] <= 0.70
    assert 0 < ways["lines_out"] <= 0.48
    spectrum = 4 * h * w * channels
    for name, size in (("lines_in", images.nbytes + h * w * images.itemsize), ("lines_out", spectrum)):
        (launch,) = (one for one in emulator_check.traffic() if name in one["kernel"])
        tables = 32 * launch["read_sectors"] - size
        print(f"{name}: {tables} bytes of tables")
        assert 0 < tables <= 8192


@pytest.mark.parametrize(("rows", "blocks"), [(512, 2), (1024, 2), (1440, 2), (1900, 1), (2400, 1)])
def test_columns_have_as_many_blocks_as_a_processor_has_registers_for(
    emulator_check: Any, rows: int, blocks: int
) -> None:
    """Threads of 8, 18, 36 and 52 rows, with 64, 64, 96 and 128 registers; the emulator has two processors."""
    images = np.ones((3, 1, rows, 64, 1), np.float32)
    emulator_check.clear_access_sites()
    emulator_check.set_counting(True)
    Device(emulator_check).direct(
        *images[:2], np.full((1, rows, 64), 255, np.uint8), images[2], np.zeros_like(images[0]), 1.0, measures=False
    )
    emulator_check.set_counting(False)
    (columns,) = (one for one in emulator_check.traffic() if "columns" in one["kernel"])
    assert columns["blocks"] == 2 * blocks


# Sites


def test_sites_are_numbered_by_kernel_and_line(either: Any) -> None:
    run(either, "stencil")
    run(either, "pipeline")
    sites = either.sites()
    assert [s["id"] for s in sites if s["kernel"] == "stencil_kernel"] == [
        f"stencil_kernel@{SOURCE}:{s['line']}" for s in sites if s["kernel"] == "stencil_kernel"
    ]
    assert [s["kind"] for s in sites if s["kernel"] == "stencil_kernel"] == ["block", "block"]
    assert sorted(s["kind"] for s in sites if s["kernel"] == "pipeline_kernel") == ["async", "async", "block", "block"]
    assert sites == sorted(sites, key=lambda s: (s["file"], s["line"], s["kernel"]))


def test_a_site_that_is_ignored_is_found(check: Any) -> None:
    run(check, "stencil")
    assert check.reports() == []
    for site in [s for s in check.sites() if s["kernel"] == "stencil_kernel"]:
        check.ignore_site(site["id"])
        run(check, "stencil")
        check.ignore_site(None)
        assert "race" in {report["kind"] for report in check.reports()}, site
        check.clear_reports()
    run(check, "stencil")
    assert check.reports() == []
