"""The dtype that networks are trained in where nothing is said: the one that the device computes fast."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

__all__ = ["fast_dtype"]

#: The CPU's flags, as Linux names them, of instructions for bfloat16. x86 has them in AVX-512 or AMX, Arm as one.
_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
#: The values of ONEDNN_MAX_CPU_ISA that leave oneDNN, which runs torch's convolutions on x86, without them.
_WITHOUT = frozenset({"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI"})


def cpu_flags() -> frozenset[str]:
    """Returns what the CPU can do, by Linux's names; nothing where /proc does not tell."""
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return frozenset()
    lines = (line.partition(":") for line in text.splitlines())
    return frozenset(flag for key, _, value in lines if key.strip() in ("flags", "Features") for flag in value.split())


def cpu_has_bfloat16() -> bool:
    """Returns whether convolutions in bfloat16 run by instructions of this CPU.

    Without them oneDNN converts each operand: on one core of a CPU with AVX-512 convolutions then take 2.5 times as
    long as in float32, with AVX2 7 times.
    """
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", os.environ.get("DNNL_MAX_CPU_ISA", "")).upper()
    return limit not in _WITHOUT and not _FLAGS.isdisjoint(cpu_flags())


def fast_dtype(device: str) -> Literal["float32", "bfloat16"]:
    """Returns the dtype that networks are trained in fastest on a 'cpu' or 'cuda' device."""
    if device == "cpu":
        return "bfloat16" if cpu_has_bfloat16() else "float32"
    import torch

    if device == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return "float32"
    return "bfloat16"
