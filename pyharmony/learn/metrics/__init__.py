"""Metrics of the error of a result and the visibility of its seam; docs/metrics.md defines each.

Images are of any kind, as in `pyharmony.blend`: grey or with three colours, uint8, uint16 or floats with 1.0 for white;
both of a pair have one shape and dtype. For every dtype, errors are in 8-bit levels: the range is always 255. A mask
is bool, uint8 or uint16 scaled by its range, or floats in [0, 1]; a pixel that is partly inside counts in part.
"""

from __future__ import annotations

from ..._public import publish
from ._bootstrap import Interval, bootstrap, summarize
from ._pictures import evaluate, fmse, fpsnr, fssim, mse, psnr, ssim
from ._seam import seam_error

__all__ = [
    "Interval",
    "bootstrap",
    "evaluate",
    "fmse",
    "fpsnr",
    "fssim",
    "mse",
    "psnr",
    "seam_error",
    "ssim",
    "summarize",
]

publish(globals())
