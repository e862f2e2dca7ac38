"""Loading samples of 256 x 256 pixels in a warm cache: raw shards compared with files that are decoded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import problems
import pytest
from measure import Ledger, interleave

import pyharmony
from pyharmony.learn import data

OURS = pyharmony.__version__
SAMPLES, BATCH = 512, 32
#: The required samples per second from raw shards on two cores.
FLOOR = 1500


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> data.Shards:
    photographs = [problems.photograph(name, 600, 800) for name in ("coffee", "astronaut")]
    random = np.random.default_rng(0)
    y, x = np.mgrid[:256, :256]
    samples = []
    for i in range(SAMPLES):
        top, left = random.integers(0, 344), random.integers(0, 544)
        target = photographs[i % 2][top : top + 256, left : left + 256]
        inside = (y - random.integers(60, 190)) ** 2 + (x - random.integers(60, 190)) ** 2 < 60**2
        composite = np.where(inside[..., None], target // 2 + 60, target).astype(np.uint8)
        mask = np.where(inside, np.uint8(255), np.uint8(0))
        samples.append(
            {"name": f"{i:04}", "composite": composite, "target": np.ascontiguousarray(target), "mask": mask}
        )
    return data.write_shards(samples, tmp_path_factory.mktemp("data") / "shards", 256, samples_per_shard=128)


def bench_samples(benchmark: Any, ledger: Ledger, shards: data.Shards, tmp_path: Path) -> None:
    few = data.Subset(shards, range(64))
    tars = {kind: data.write_tar_shards(few, tmp_path / kind, format=kind) for kind in ("png", "jpeg")}
    random = np.random.default_rng(1)

    def batches() -> None:
        shards.batch(random.permutation(SAMPLES)[:BATCH])

    def decoded(source: data.TarShards) -> Any:
        def load() -> None:
            samples = [source[i] for i in random.permutation(64)[:BATCH]]
            for field in ("composite", "target", "mask"):
                np.stack([sample[field] for sample in samples])

        return load

    others = {f"tar files of {kind.upper()}": decoded(source) for kind, source in tars.items()}
    timings = interleave(benchmark, batches, others, rounds=15)
    group = f"a batch of {BATCH} samples in random order, composite, target and mask of 256 x 256, one thread"
    for name, timing in timings.items():
        rate = BATCH / (timing.summary()["wall_ms"] / 1e3)
        own = name == "ours"
        ledger.add(
            group, "warm cache", "raw shards" if own else name, timing, version=OURS,
            against=None if own else timings["ours"], note=f"{rate:,.0f} samples/s",
        )  # fmt: skip
    cpu = timings["ours"].summary()["cpu_ms"] / 1e3
    ledger.target("raw shards, samples a second, one thread", BATCH / cpu, FLOOR, None, "samples/s")
