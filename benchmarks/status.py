"""Writes results/STATUS.md: every claim about GPUs, as measured or "not measured".

python benchmarks/status.py [--check]
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gpu_results
import report
from gpu_goals import GOALS, Goal

STATUS = gpu_results.RESULTS / "STATUS.md"


def shown(value: float, unit: str) -> str:
    number = f"{value:.0e}" if value and abs(value) < 1e-3 else f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{number}×" if unit == "x" else f"{number} {unit}".strip()


def verdict(goal: Goal, value: float) -> str:
    def meets(limit: float) -> bool:
        return value >= limit if goal.higher_is_better else value <= limit

    if goal.goal is not None and meets(goal.goal):
        return "goal met"
    if meets(goal.floor):
        return "met" if goal.goal is None else "floor met"
    return "**missed**"


def measured(goal: Goal, results: dict[str, Any]) -> tuple[float, dict[str, Any]] | None:
    """Returns the value in the results of a GPU, and the record with the date and the kernels of its measurement."""
    for part in results["parts"].values():
        value = part.get("figures", {}).get(goal.key)
        if value is not None:
            return float(value), part.get("measured", {}).get(goal.key, part)
    return None


def rows(goals: Sequence[Goal], recorded: list[dict[str, Any]], present: Callable[[str], str]) -> list[list[str]]:
    """Returns the rows of the table; present: the hash of the kernels of a benchmark as they are now."""
    out = []
    for goal in goals:
        sign = "≥" if goal.higher_is_better else "≤"
        goals_asked = [
            f"{sign} {shown(goal.floor, goal.unit)}",
            "" if goal.goal is None else f"{sign} {shown(goal.goal, goal.unit)}",
        ]
        lines = []
        for results in recorded:
            measurement = measured(goal, results)
            if measurement is not None:
                value, part = measurement
                stale = "" if part["kernels"] == present(goal.benchmark) else ", stale: the kernels have changed since"
                where = f"{results['gpu']['name']}, {part['date']}, kernels {part['kernels']}"
                lines.append([shown(value, goal.unit), where, verdict(goal, value) + stale])
        out += [[goal.claim, *goals_asked, *line] for line in lines or [["not measured", "", ""]]]
    return out


def markdown(recorded: list[dict[str, Any]], present: Callable[[str], str], goals: Sequence[Goal] = GOALS) -> str:
    header = ["what", "floor", "goal", "measured", "where and when", ""]
    table = [
        "| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *rows(goals, recorded, present))
    ]
    parts = []
    for results in recorded:
        gpu = results["gpu"]
        parts.append(f"\n## {gpu['name']}\nDriver {gpu['driver']}, capability {gpu['capability']}.\n")
        for name, part in results["parts"].items():
            versions = ", ".join(f"{key} {value}" for key, value in part.get("versions", {}).items())
            when = f"{part['date']}, {part['seconds']:.0f} s, kernels {part['kernels']}"
            parts.append(f"- {name}: {part['status']}, {when} ({versions})")
        for part in results["parts"].values():
            tables = [*report.gpu_tables(part.get("gpu_rows", [])), report.kernel_table(part.get("kernel_times", {}))]
            parts += [f"\n{table}" for table in tables if table]
    return "\n".join(
        [
            "# What is claimed of GPUs, and what was measured",
            "",
            "Written by `python benchmarks/status.py` from the JSON files beside it, which `make gpu-check` writes.",
            "A hash of the sources of its kernels stands beside each figure; one of other sources is stale. Eager",
            "calls wait for Python too, which no hash covers. Times are medians ± half the interquartile range of runs",
            "in turn; the second-level cache was overwritten (cold), or holds the arguments (warm). A call is from",
            "Python, until its work is done. Errors are in 8-bit levels.",
            "",
            *table,
            *parts,
            "",
        ]
    )


def current() -> str:
    """Returns the expected text of STATUS.md."""

    @functools.cache
    def present(benchmark: str) -> str:
        return gpu_results.kernel_hash(benchmark=benchmark)

    return markdown(gpu_results.recorded(), present)


def write(path: Path = STATUS) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(current())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail where STATUS.md is not up to date")
    if not parser.parse_args().check:
        write()
    elif not STATUS.exists() or STATUS.read_text() != current():
        raise SystemExit(f"{STATUS}: not up to date; run `python benchmarks/status.py`")


if __name__ == "__main__":
    main()
