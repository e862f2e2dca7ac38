"""The default dtype of training: the fastest one on the device."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

__all__ = ["fast_dtype"]

#: The CPU flags, as named by Linux, of instructions for bfloat16: AVX-512 or AMX on x86, one on Arm.
_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
#: The values of ONEDNN_MAX_CPU_ISA that disable them in oneDNN, which runs torch's convolutions on x86.
_ISAS_WITHOUT_BFLOAT16 = frozenset(
    {"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI"}
)


def cpu_flags() -> frozenset[str]:
    """Returns the CPU's flags as named by Linux; an empty set if /proc has none."""
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return frozenset()
    lines = (line.partition(":") for line in text.splitlines())
    return frozenset(flag for key, _, value in lines if key.strip() in ("flags", "Features") for flag in value.split())


def cpu_has_bfloat16() -> bool:
    """Returns whether this CPU has instructions for convolutions in bfloat16.

    Without them oneDNN converts each operand: on one core, convolutions then take 2.5 times as long as in float32 with
    AVX-512, and 7 times as long with AVX2.
    """
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", os.environ.get("DNNL_MAX_CPU_ISA", "")).upper()
    return limit not in _ISAS_WITHOUT_BFLOAT16 and not _FLAGS.isdisjoint(cpu_flags())


def fast_dtype(device: str) -> Literal["float32", "bfloat16"]:
    """Returns the fastest dtype for training on a 'cpu' or 'cuda' device."""
    if device == "cpu":
        return "bfloat16" if cpu_has_bfloat16() else "float32"
    import torch

    if device == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return "float32"
    return "bfloat16"
