"""Fuzzes all targets: `python -m tests.fuzz --inputs 1000000 --jobs 2`; failures are kept in artifacts/fuzz."""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import sys
import time
from pathlib import Path
from typing import Any

from tests.fuzz import engine
from tests.fuzz.targets import TARGETS

#: A long run goes through the targets several times, so that each has had its share when it is ended. Inputs and
#: seconds of a round are at least so many, since a part starts with imports and seeds.
_INPUTS, _SECONDS = 100_000, 300.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="the number of inputs of all targets together")
    parser.add_argument("--seconds", type=float, help="end after so many seconds, however many inputs there were")
    parser.add_argument("--jobs", type=int, default=1, help="processes at the same time")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the run; a run with another has other inputs")
    parser.add_argument("--targets", default=",".join(TARGETS), help="their names, with commas")
    parser.add_argument("--only", type=int, help="run this input of one target alone, in this process")
    parser.add_argument("--out", type=Path, default=Path("artifacts/fuzz"), help="the folder for what goes wrong")
    arguments = parser.parse_args()
    names = arguments.targets.split(",")
    if arguments.only is not None:
        target = TARGETS[names[0]]
        with engine.cleaned():
            print(target.call(engine.input_of(target, target.seeds(), arguments.seed, arguments.only)))
        return 0
    total = sum(TARGETS[name].weight for name in names)
    until = None if arguments.seconds is None else time.monotonic() + arguments.seconds
    counts = dict.fromkeys(names, 0)
    sums: dict[str, dict[str, Any]] = {
        name: {"accepted": 0, "refused": 0, "failures": 0, "seconds": 0.0} for name in names
    }
    tasks = []
    rounds = max(1, int(min(arguments.inputs / _INPUTS, (arguments.seconds or math.inf) / _SECONDS, 20)))
    for _ in range(rounds):
        for name in names:
            share = max(1, round(arguments.inputs * TARGETS[name].weight / total / rounds))
            tasks.append((name, share, counts[name]))
            counts[name] += share
    context = multiprocessing.get_context("forkserver")
    with context.Pool(arguments.jobs, maxtasksperchild=1) as pool:
        waiting: list[Any] = []
        every = iter(tasks)
        while True:
            while len(waiting) < arguments.jobs and (task := next(every, None)) is not None:
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    continue
                # Each target has its share of the time that is left, too.
                seconds = None if left is None else max(left * arguments.jobs / (len(tasks) - tasks.index(task)), 1.0)
                waiting.append(pool.apply_async(engine.part, (*task, arguments.seed, seconds, arguments.out)))
            if not waiting:
                break
            child = next((one for one in waiting if one.ready()), None)
            if child is None:
                time.sleep(0.05)
                continue
            waiting.remove(child)
            part = child.get()
            of = sums[part["target"]]
            for key in ("accepted", "refused", "seconds"):
                of[key] += part[key]
            of["failures"] += len(part["failures"])
            for failure in part["failures"]:
                print(json.dumps({key: failure[key] for key in failure if key != "traceback"}), flush=True)
    inputs = 0
    for name, of in sums.items():
        number = of["accepted"] + of["refused"] + of["failures"]
        inputs += number
        print(f"{name:10} {number:8} inputs, {of['accepted']:8} accepted, {of['refused']:8} refused, "
              f"{of['failures']:4} wrong, {of['seconds']:8.1f} s")  # fmt: skip
    wrong = sum(of["failures"] for of in sums.values())
    print(f"{inputs} inputs, {wrong} wrong; seed {arguments.seed}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
