"""The time of each kernel of some calls on a GPU, by torch's profiler, which needs no counters of the driver.

python benchmarks/kernel_times.py [--json FILE] [NAME...]

Names are those of CALLS, by default all. A call's kernels are summed over its launches; "copy" moves one image, for
what its memory takes alone.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

WARM, ROUNDS = 3, 10
#: Height and width of images, by name.
SIZES = {"8K": (4320, 7680), "4K": (2160, 3840), "1080p": (1080, 1920), "1024": (1024, 1024), "24MP": (4000, 6016)}


def images(size: str, dtype: str, planar: bool, device: str) -> tuple[Any, ...]:
    """Returns src, dst and base [H, W, 3], whose channels are interleaved or planes, and a mask [H, W] of a disc."""
    import torch

    height, width = SIZES[size]
    y, x = torch.meshgrid(
        torch.arange(height, device=device) / 400.0, torch.arange(width, device=device) / 400.0, indexing="ij"
    )
    waves = torch.stack([torch.sin(x + c) * torch.cos(y - c) * 0.35 + 0.5 for c in range(3)])
    scale = 255 if dtype == "uint8" else 1
    planes = [(scale * one).to(getattr(torch, dtype)) for one in (waves, waves.flip(1), waves.flip(2))]
    every = [one.permute(1, 2, 0) if planar else one.permute(1, 2, 0).contiguous() for one in planes]
    mask = (torch.hypot(x - width / 800, y - height / 800) < height / 1200).to(getattr(torch, dtype)) * scale
    return *every, mask


def rectangle(size: str, dtype: str = "float32", planar: bool = True, weight: float = 1.0) -> Callable[[str], Any]:
    """Returns what prepares a direct solve of the whole rectangle on a device."""

    def prepare(device: str) -> Callable[[], Any]:
        from pyharmony import ops

        src, dst, base, mask = images(size, dtype, planar, device)
        options: Any = {"color_weight": weight, "preserve_background": False, "method": "dct"}
        return lambda: ops.gaussian_poisson(src, dst, mask, base, **options)

    return prepare


def masked(size: str, dtype: str = "float32") -> Callable[[str], Any]:
    """Returns what prepares a masked Poisson solve on a device."""

    def prepare(device: str) -> Callable[[], Any]:
        from pyharmony import ops

        src, dst, _, mask = images(size, dtype, False, device)
        return lambda: ops.poisson(src, dst, mask)

    return prepare


def pyramid(size: str, dtype: str = "uint8") -> Callable[[str], Any]:
    """Returns what prepares a blend of the whole rectangle through its pyramid on a device."""

    def prepare(device: str) -> Callable[[], Any]:
        from pyharmony import blend

        src, dst, _, mask = images(size, dtype, True, device)
        src, dst = src.permute(2, 0, 1), dst.permute(2, 0, 1)
        return lambda: blend.gaussian_poisson(src, dst, mask, preserve_background=False)

    return prepare


def copy(size: str, dtype: str = "float32") -> Callable[[str], Any]:
    """Returns what prepares a copy of one image on a device."""

    def prepare(device: str) -> Callable[[], Any]:
        src = images(size, dtype, True, device)[0]
        return src.clone

    return prepare


CALLS: dict[str, Callable[[str], Callable[[], Any]]] = {
    "copy 8K": copy("8K"),
    "dct 8K": rectangle("8K"),
    "dct 8K interleaved": rectangle("8K", planar=False),
    "dct 8K uint8": rectangle("8K", "uint8"),
    "dct 8K uint8 interleaved": rectangle("8K", "uint8", planar=False),
    "dct 8K weight 1e-3": rectangle("8K", weight=1e-3),
    "dct 24MP": rectangle("24MP"),
    "dct 1024": rectangle("1024"),
    "dct 1024 uint8": rectangle("1024", "uint8"),
    "poisson 1080p": masked("1080p"),
    "poisson 8K": masked("8K"),
    "pyramid 8K": pyramid("8K"),
    "pyramid 1080p": pyramid("1080p"),
}


def short(name: str) -> str:
    """Returns the name of a kernel and its template arguments, without its namespaces and parameters."""
    match = re.match(r"(?:void )?(?:[\w() ]+::)*(\w+)(<.*>)?\(", name)
    if match is None:
        return name
    arguments = re.sub(r"(?:[A-Za-z_]\w*::)+", "", match[2] or "")
    return match[1] + arguments


def rows_of(events: Iterable[Any], rounds: int) -> list[dict[str, Any]]:
    """Returns, for each kernel of a profile, its launches and microseconds in a call, the longest first.

    events: have `name`, `device_type`, and `device_time_total` in microseconds.
    """
    sums: dict[str, list[float]] = {}
    for event in events:
        if str(event.device_type).endswith("CUDA") and event.device_time_total > 0:
            one = sums.setdefault(short(event.name), [0, 0.0])
            one[0] += 1
            one[1] += event.device_time_total
    rows = [{"kernel": k, "launches": n / rounds, "us": round(us / rounds, 2)} for k, (n, us) in sums.items()]
    return sorted(rows, key=lambda row: -row["us"])


def measured(call: Callable[[], Any]) -> list[dict[str, Any]]:
    """Returns the rows of a call."""
    import torch

    for _ in range(WARM):
        call()
    torch.cuda.synchronize()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        for _ in range(ROUNDS):
            call()
        torch.cuda.synchronize()
    return rows_of(profile.events(), ROUNDS)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(CALLS))
    parser.add_argument("--json", type=Path, help="a file for the rows of each call")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in CALLS]
    if unknown:
        parser.error(f"{unknown[0]!r}, expected some of {', '.join(CALLS)}")
    times: dict[str, list[dict[str, Any]]] = {}
    for name in options.names or CALLS:
        times[name] = measured(CALLS[name]("cuda"))
        total = sum(row["us"] for row in times[name])
        print(f"{name}: {total:.1f} us in {sum(row['launches'] for row in times[name]):g} launches", flush=True)
        for row in times[name]:
            print(f"  {row['us']:10.1f} us {row['launches']:6g} {row['kernel']}")
        # Written after each call, as the time of a machine may end.
        if options.json is not None:
            options.json.write_text(json.dumps(times))


if __name__ == "__main__":
    main()
