"""The benchmarks of GPUs: their DCT is right, and they run, with the CPU in the GPU's place."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pyharmony.ops import pyramid
from pyharmony.reference.gaussian_poisson import gaussian_taps

from ..shared import ROOT

pytestmark = pytest.mark.house
torch = pytest.importorskip("torch", reason="torch is not installed")

BENCHMARKS = ROOT / "benchmarks"
FILES = set(BENCHMARKS.rglob("*.py")) - {BENCHMARKS / "conftest.py"}


@pytest.fixture
def bench() -> Iterator[Any]:
    """Imports a module of benchmarks/, none of which outlives the test."""
    folders = sorted({str(path.parent) for path in FILES})
    sys.path[:0] = folders
    yield importlib.import_module
    del sys.path[: len(folders)]
    for path in FILES:
        sys.modules.pop(path.stem, None)


@pytest.mark.parametrize("shape", [(8, 8), (7, 10), (9, 7), (1, 5), (30, 1), (64, 97)])
@pytest.mark.parametrize("weight", [1.0, 1e-3])
def test_the_dct_of_torch_is_the_exact_solve(bench: Any, shape: tuple[int, int], weight: float) -> None:
    """Both are DCTs in float64: they differ by rounding, whose growth is the condition number's 8 / weight."""
    exact, peers_cuda = bench("exact"), bench("peers_cuda")
    rng = np.random.default_rng(0)
    src, dst, base = rng.uniform(0, 1, (3, *shape, 3))
    mask = rng.uniform(0, 1, shape)
    planar = [torch.from_numpy(x).permute(2, 0, 1) for x in (src, dst, base)]
    b = peers_cuda.right_hand_side(planar[0], planar[1], torch.from_numpy(mask), planar[2], weight)
    np.testing.assert_allclose(
        b.permute(1, 2, 0).numpy(), exact.right_hand_side(src, dst, mask, base, weight), atol=1e-14
    )
    solve = peers_cuda.TorchDct(*shape, weight, *gaussian_taps(0.5), dtype="float64", device="cpu", fuse=False)
    expected = exact.gaussian_poisson_dct(src, dst, mask, base, color_weight=weight)
    assert np.abs(solve(b).permute(1, 2, 0).numpy() - expected).max() <= 8 / weight * 30 * np.finfo(float).eps


class Event:
    def __init__(self, enable_timing: bool) -> None:
        self.at = 0.0

    def record(self) -> None:
        self.at = time.perf_counter()

    def elapsed_time(self, end: Event) -> float:
        return 1000 * (end.at - self.at)


@pytest.fixture
def stand_in(bench: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts the CPU in the GPU's place, with small images and few rounds."""
    for name, value in (("Event", Event), ("synchronize", lambda: None), ("_sleep", lambda cycles: None)):
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(torch, "compile", lambda f, **_: f)
    monkeypatch.setattr(bench("peers_cuda"), "DEVICE", "cpu")
    monkeypatch.setattr(bench("measure_cuda"), "captured", lambda call: (call, "graph"))
    monkeypatch.setattr(bench("measure_cuda"), "_FLUSH_BYTES", 1 << 10)
    monkeypatch.setattr(bench("problems"), "SIZES", dict.fromkeys(("1024²", "1080p", "4K", "8K"), (48, 72)))
    # cupy needs a GPU for as much as a zero.
    monkeypatch.setattr(bench("peers_cuda"), "CUPY_DCT", bench("peers").Peer("CuPy", "", None, "not here"))
    for name in ("bench_gaussian_poisson_cuda", "bench_poisson_cuda", "bench_pyramid_cuda"):
        module = bench(name)
        interleave = module.interleave
        monkeypatch.setattr(module, "interleave", lambda calls, f=interleave, **k: f(calls, **{**k, "rounds": 1}))
    monkeypatch.setattr(bench("measure_cuda"), "SIDES", (32, 64))
    # The stand-in's calls for the GPU run on the CPU.
    for module, names in (
        (bench("bench_gaussian_poisson_cuda"), ("gaussian_poisson",)),
        (bench("bench_poisson_cuda"), ("poisson",)),
        (bench("bench_pyramid_cuda").blend, ("gaussian_poisson",)),
    ):
        for name in names:
            call = getattr(module, name)
            monkeypatch.setattr(module, name, lambda *a, f=call, **k: f(*a, **{**k, "device": None}))
    steps = bench("bench_pyramid_cuda")
    monkeypatch.setattr(steps, "down", lambda image, out: out[0].copy_(pyramid.downsample(image[0])))
    monkeypatch.setattr(steps, "up", lambda image, out: out[0].copy_(pyramid.upsample(image[0], out.shape[1:3])))
    norms = bench("bench_spectral_norm_cuda")
    monkeypatch.setattr(norms, "ENCODER", (3, 4, 4, 8, 8, 8, 8, 8))
    monkeypatch.setattr(norms, "BATCH", 1)
    some = norms.interleave
    monkeypatch.setattr(norms, "interleave", lambda calls: some(calls, rounds=1))
    layers = bench("bench_partial_conv_cuda")
    monkeypatch.setattr(layers, "interleave", lambda calls: some(calls, rounds=1))
    monkeypatch.setattr(layers.cpu, "CHANNELS", (3, 4, 4, 8, 8, 8, 8, 8))
    planes = bench("bench_instance_norm_cuda")
    monkeypatch.setattr(planes, "interleave", lambda calls: some(calls, rounds=1))
    maps = bench("bench_color_grid_cuda")
    monkeypatch.setattr(maps, "interleave", lambda calls, **_: some(calls, rounds=1))
    monkeypatch.setattr(maps, "STEP", (2, 16, 16))
    training = bench("bench_training_steps_cuda")
    timing = bench("measure_cuda").GpuTiming

    def once(calls: dict[str, Any], **_: Any) -> dict[str, Any]:
        for call in calls.values():
            call()
        return {name: timing([1.0], [1.0], [1.0], "eager") for name in calls}

    batch_of = training.cpu.batch_of
    monkeypatch.setattr(training, "interleave", once)
    monkeypatch.setattr(training, "captured", lambda step, batch: step)
    monkeypatch.setattr(training, "WIDTH", 2)
    monkeypatch.setattr(training.cpu, "batch_of", lambda images, device: batch_of(1, device))
    return bench


@pytest.mark.full
def test_the_benchmarks_run(stand_in: Any) -> None:
    whole, masked, levels = (stand_in(f"bench_{name}_cuda") for name in ("gaussian_poisson", "poisson", "pyramid"))
    ledger = stand_in("measure").Ledger()
    whole.bench_photograph(torch, ledger, "8K")
    whole.bench_small_weight(torch, ledger)
    whole.bench_small_image(torch, ledger)
    whole.bench_agreement(torch, ledger)
    masked.bench_masked(torch, ledger, "8K")
    norms = stand_in("bench_spectral_norm_cuda")
    norms.bench_update(torch, ledger)
    norms.bench_share(torch, ledger)
    layers = stand_in("bench_partial_conv_cuda")
    layers.bench_masks(torch, ledger, 1, 0.15)
    layers.bench_multi_channel_masks(torch, ledger)
    for what in ("forward", "step", "penalty"):
        stand_in("bench_instance_norm_cuda").bench_norms(torch, ledger, (1, 4, 8, 8), what)
    maps = stand_in("bench_color_grid_cuda")
    maps.bench_map(torch, ledger, "8K")
    maps.bench_step(torch, ledger)
    training = stand_in("bench_training_steps_cuda")
    for images in training.FEW:
        training.bench_dovenet(torch, ledger, images)
    levels.bench_whole(torch, ledger, "8K")
    levels.bench_steps(torch, ledger)
    for module in (whole, masked, levels):
        for dtype in ("uint8", "float32"):
            module.bench_numpy_to_numpy(torch, ledger, dtype)
    measured = {"test_failures", "sanitizer_reports"} | set(ledger.figures)
    assert measured == {goal.key for goal in stand_in("gpu_goals").GOALS}
    assert all(value >= 0 for value in ledger.figures.values())
    tables = stand_in("report").gpu_tables(ledger.gpu_rows)
    assert len(tables) == 10 and "torch.fft DCT, float32, solve only" in "".join(tables)
    for row in ledger.gpu_rows:
        assert row["cold_ms"] > 0 and row["warm_ms"] > 0
        if row["error"] is not None:
            # The tolerance is a quarter of a level, or what float32 leaves of a DCT.
            assert row["error"] <= 0.25, row
    assert {target["name"] for target in ledger.as_dict()["targets"]} >= {
        "8K uint8 over 8K float32, photograph setting"
    }
