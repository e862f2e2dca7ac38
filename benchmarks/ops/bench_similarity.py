"""Metrics of one result: PSNR and SSIM, compared with scikit-image's, of the same definition."""

from __future__ import annotations

from typing import Any

import problems
import pytest
from measure import Ledger, interleave

import pyharmony
from pyharmony.learn import metrics

GROUP = "metrics, 1080p x 3"


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("metric", ["psnr", "ssim"])
def bench_similarity(benchmark: Any, ledger: Ledger, metric: str, dtype: str) -> None:
    skimage = pytest.importorskip("skimage", reason="scikit-image is not installed")
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    p = problems.blend("1080p")
    output, target = (x if dtype == "uint8" else (x / 255).astype(dtype) for x in (p.src, p.dst))
    white = 255 if dtype == "uint8" else 1.0
    if metric == "psnr":
        calls: dict[str, Any] = {"gaussian": lambda: peak_signal_noise_ratio(target, output, data_range=white)}
    else:
        gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        common = {"channel_axis": 2, "data_range": white}
        calls = {
            "gaussian": lambda: structural_similarity(target, output, **common, **gaussian),
            "box": lambda: structural_similarity(target, output, **common),
        }
    timings = interleave(benchmark, lambda: getattr(metrics, metric)(output, target), calls, rounds=5)
    problem = f"{metric}, {dtype}"
    function = "peak_signal_noise_ratio" if metric == "psnr" else "structural_similarity"
    ledger.add(GROUP, problem, f"pyharmony.metrics.{metric}", timings["ours"], version=pyharmony.__version__)
    for key in calls:
        name = f"skimage {function}" + (", its default window of 7 x 7" if key == "box" else "")
        note = "" if key == "box" else f"differs from ours by {abs(timings[key].result - timings['ours'].result):.1g}"
        ledger.add(
            GROUP, problem, name, timings[key], against=timings["ours"], version=skimage.__version__, note=note
        )  # fmt: skip
