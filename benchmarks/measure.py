"""Interleaved timing, and the rows of the tables."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from gpu_goals import GOALS
from peers import Peer


@dataclass
class Timing:
    """Seconds of each round of one contestant, and its last result."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    result: Any = None

    def run(self, call: Callable[[], Any]) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        self.result = call()
        self.cpu.append(time.process_time() - cpu)
        self.wall.append(time.perf_counter() - wall)

    def summary(self) -> dict[str, float]:
        """Returns medians and half the interquartile range, in milliseconds."""

        def half_range(values: list[float]) -> float:
            if len(values) < 3:
                return 0.0
            low, _, high = statistics.quantiles(values, n=4, method="inclusive")
            return 500 * (high - low)

        return {
            "wall_ms": 1000 * statistics.median(self.wall),
            "wall_spread_ms": half_range(self.wall),
            "cpu_ms": 1000 * statistics.median(self.cpu),
            "cpu_spread_ms": half_range(self.cpu),
            "rounds": len(self.wall),
        }


def interleave(
    benchmark: Any, ours: Callable[[], Any], others: dict[str, Callable[[], Any]], *, rounds: int
) -> dict[str, Timing]:
    """Runs others and ours in turn, one warm-up and `rounds` rounds; 'ours' is timed by pytest-benchmark."""
    timings = {name: Timing() for name in ("ours", *others)}

    def before() -> None:
        for name, call in others.items():
            timings[name].run(call)

    benchmark.pedantic(lambda: timings["ours"].run(ours), setup=before, rounds=rounds, iterations=1, warmup_rounds=1)
    for timing in timings.values():
        if len(timing.wall) > 1:
            del timing.wall[0], timing.cpu[0]
    return timings


def once(call: Callable[[], Any]) -> Timing:
    """Times a slow contestant's only run."""
    timing = Timing()
    timing.run(call)
    return timing


def ratio(slow: Timing, fast: Timing, clock: str) -> float:
    """Returns the median of the rounds' ratios if both ran in the same rounds, else the ratio of medians."""
    a, b = getattr(slow, clock), getattr(fast, clock)
    if len(a) == len(b):
        return statistics.median(x / y for x, y in zip(a, b, strict=True))
    return statistics.median(a) / statistics.median(b)


@dataclass
class Row:
    """One contestant on one problem.

    Errors are in 8-bit levels: `error` is the largest difference from the exact solution of the
    contestant's own equation, `certified` a bound proven from a float64 residual. `memory` is in bytes, without
    the arguments.
    """

    group: str
    problem: str
    name: str
    version: str
    ours: bool
    timing: dict[str, float]
    ratio_wall: float | None = None
    ratio_cpu: float | None = None
    error: float | None = None
    median_error: float | None = None
    certified: float | None = None
    memory: float | None = None
    note: str = ""


@dataclass
class Target:
    """The aim of a comparison; printed with whether it is reached, and never a failure."""

    name: str
    value: float | None
    floor: float
    goal: float | None
    unit: str
    higher_is_better: bool = True
    note: str = ""

    def meets(self, limit: float | None) -> bool | None:
        if self.value is None or limit is None:
            return None
        return bool(self.value >= limit if self.higher_is_better else self.value <= limit)


class Ledger:
    """Collects the measurements of benchmarks."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.targets: list[Target] = []
        self.missing: dict[str, str] = {}
        self.gpu_rows: list[dict[str, Any]] = []
        self.figures: dict[str, float] = {}

    def add(
        self, group: str, problem: str, name: str, timing: Timing, *, version: str, against: Timing | None = None,
        **columns: Any,
    ) -> None:  # fmt: skip
        """Adds a row. against is our timing as the base of the ratio; None makes this a row of ours."""
        self.rows.append(
            Row(
                group, problem, name, version, against is None, timing.summary(),
                None if against is None else ratio(timing, against, "wall"),
                None if against is None else ratio(timing, against, "cpu"),
                **{k: float(v) if isinstance(v, (int, float, np.floating)) else v for k, v in columns.items()},
            )
        )  # fmt: skip

    def target(self, name: str, value: float | None, floor: float, goal: float | None, unit: str, **more: Any) -> None:
        self.targets.append(Target(name, None if value is None else float(value), floor, goal, unit, **more))

    def figure(self, key: str, value: float) -> None:
        """Adds a figure of gpu_goals.py, for the status of GPUs; also a target."""
        goal = next(goal for goal in GOALS if goal.key == key)
        self.figures[key] = float(value)
        self.target(goal.claim, value, goal.floor, goal.goal, goal.unit, higher_is_better=goal.higher_is_better)

    def available(self, peer: Peer) -> bool:
        if not peer.available:
            self.missing[peer.name] = str(peer.reason)
        return peer.available

    def take(self, measured: dict[str, Any]) -> None:
        """Continues with the measurements of an earlier run, a result of `as_dict`."""
        names = {f.name for f in fields(Target)}
        self.rows += [Row(**row) for row in measured["rows"]]
        self.targets += [Target(**{k: v for k, v in t.items() if k in names}) for t in measured["targets"]]
        self.missing.update(measured["missing"])
        self.gpu_rows += measured["gpu_rows"]
        self.figures.update(measured["figures"])

    def as_dict(self) -> dict[str, Any]:
        return {
            "rows": [asdict(row) for row in self.rows],
            "targets": [
                {**asdict(t), "floor_met": t.meets(t.floor), "goal_met": t.meets(t.goal)} for t in self.targets
            ],
            "missing": self.missing,
            "gpu_rows": self.gpu_rows,
            "figures": self.figures,
        }
