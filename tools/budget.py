"""Holds the size of the project to a budget that may only fall: tools/budget.txt.

    python tools/budget.py            # compares; exit code 1 if a figure is above its budget
    python tools/budget.py --write    # lowers budgets to the figures, and adds new ones
    python tools/budget.py --raise tests "the cases of a new file format"    # the only way up, with its reason
    python tools/budget.py --seconds 1500    # the suite's CPU seconds, measured by CI; with --write and --raise too

A figure is a number of lines of Python (of a wing, a room or a folder), of words of the pages, of public names, or of
options of commands. A change that needs more of one takes it from another, or says why in the file. The suite's seconds
are scaled by how long this machine takes for a fixed piece of work, and may still be twice the budget.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from pathlib import Path

from command_reference import manual

ROOT = Path(__file__).resolve().parent.parent
BUDGET = ROOT / "tools" / "budget.txt"
#: The figure that is measured, not counted, and the factor by which it may be above: other work slows a CPU too.
SUITE, SLOWER = "seconds suite", 2
#: The CPU seconds of `pace` on the machine whose seconds the budget has.
REFERENCE_PACE = 0.175
HEAD = "# figure, its budget, and why it was raised last: see tools/budget.py\n"


def files(folder: str, suffix: str) -> list[Path]:
    """Returns the files of a folder, at any depth, but for those that builds make."""
    return [path for path in sorted((ROOT / folder).rglob(f"*{suffix}")) if "build" not in path.parts]


def pace() -> float:
    """Returns the CPU seconds of a fixed piece of work in Python, the least of five."""
    durations = []
    for _ in range(5):
        start = time.process_time()
        counts: Counter[str] = Counter()
        for number in range(400_000):
            counts[f"{number % 1009}:{number}"[:6]] += 1
        durations.append(time.process_time() - start)
    return min(durations)


def figures(seconds: int | None = None) -> dict[str, int]:
    """Returns what is counted, by name, and the suite's seconds if they are known."""
    sizes: Counter[str] = Counter({SUITE: seconds} if seconds is not None else {})
    for top in ("pyharmony", "tests", "benchmarks", "tools", "examples"):
        for path in files(top, ".py"):
            lines, rest = path.read_text().count("\n"), path.relative_to(ROOT / top).parts
            sizes[f"lines {top}"] += lines
            if top == "pyharmony" and len(rest) > 1:
                sizes[f"lines {top}/{rest[0]}"] += lines
    pages = [*(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY")), *files("docs", ".md")]
    sizes["words pages"] = sum(len(path.read_text().split()) for path in pages)
    names = (ROOT / "tests" / "house" / "api_snapshot.txt").read_text().splitlines()
    sizes["names public"] = sum(1 for line in names if line.startswith("pyharmony."))
    sizes["options commands"] = len(re.findall(r"^\.B .*\\-\\-", manual(), re.MULTILINE))
    return dict(sorted(sizes.items()))


def budgets() -> dict[str, tuple[int, str]]:
    """Returns the budget of each figure, and the reason of its last rise or ''."""
    rows = {}
    for line in BUDGET.read_text().splitlines() if BUDGET.exists() else []:
        if line and not line.startswith("#"):
            row, _, reason = line.partition("  # ")
            name, number = row.rsplit(maxsplit=1)
            rows[name.strip()] = int(number), reason
    return rows


def write(rows: dict[str, tuple[int, str]]) -> None:
    lines = [f"{name:<32}{number:>8}" + (f"  # {why}" if why else "") for name, (number, why) in sorted(rows.items())]
    BUDGET.write_text(HEAD + "\n".join(lines) + "\n")


def above(seconds: int | None = None) -> list[str]:
    """Returns what is above its budget, or has none, in words."""
    rows = budgets()
    return [
        f"{name}: {number}, the budget is {rows[name][0] if name in rows else 'not set'}"
        for name, number in figures(seconds).items()
        if name not in rows or number > rows[name][0] * (SLOWER if name == SUITE else 1)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="lower budgets to the figures")
    parser.add_argument("--raise", dest="raised", nargs=2, metavar=("FIGURE", "WHY"), help="raise one to its figure")
    parser.add_argument("--seconds", type=int, help="the CPU seconds that the suite took")
    arguments = parser.parse_args()
    seconds = None if arguments.seconds is None else round(arguments.seconds * REFERENCE_PACE / pace())
    rows, now = budgets(), figures(seconds)
    if arguments.raised:
        name, why = arguments.raised
        if name not in now or not why.strip():
            sys.exit(f"--raise: {name!r}, expected one of {', '.join(now)}, and a reason")
        write({**rows, name: (now[name], why.strip())})
    elif arguments.write:
        lowered = {name: (min(number, rows[name][0]), rows[name][1]) if name in rows else (number, "")
                   for name, number in now.items()}  # fmt: skip
        write({**{name: row for name, row in rows.items() if name == SUITE}, **lowered})
    else:
        print(*(lines := above(seconds)), sep="\n" if lines else "")
        sys.exit(bool(lines))


if __name__ == "__main__":
    main()
