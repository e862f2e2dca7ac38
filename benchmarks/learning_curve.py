"""The quality of the default harmoniser by the number of photographs that it is trained on.

    python benchmarks/learning_curve.py run DATA WORK  # trains and measures RUNS, three hours on two cores
    python benchmarks/learning_curve.py report         # the table, into docs/models/colorgrid.md

Each run uses the recipe `colorgrid-in-place` except for its photographs and steps; the weights that are best on
composites of the photographs of val are measured. DATA contains the folders of RUNS and of the triples. A run that was
stopped continues.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from harmonization import BASELINE, ROOT
from photographs import triples
from records import commands_of
from tables import bootstrap, numbered, rows_of, signed, write_json

from pyharmony.learn import data, evaluation, training

RESULTS = ROOT / "benchmarks" / "results" / "colorgrid" / "learning_curve.json"
PAGE = ROOT / "docs" / "models" / "colorgrid.md"
START_MARK, END_MARK = (
    "<!-- learning curve: written by benchmarks/learning_curve.py -->",
    "<!-- end of learning curve -->",
)
OPEN_FOLDERS = ("pairs_open", "photos_open")


class Run(NamedTuple):
    """The training data of a run.

    Attributes:
        name: the name of the run and its folder.
        folders: the folders of photographs.
        limit: the number of photographs, drawn by the seed; 0: all.
        steps: the steps of training; 0: as in the recipe.
        last: whether its last weights are measured, instead of the best on val.
        note: the note of the table in addition to the number of photographs.
        beside: the run with which its gain is compared; empty: the previous one.
    """

    name: str
    folders: Sequence[str] = OPEN_FOLDERS
    limit: int = 0
    steps: int = 0
    last: bool = False
    note: str = ""
    beside: str = ""


RUNS = (
    Run("62", limit=62, steps=1500),
    Run("248", limit=248, steps=1500),
    Run("open", steps=1500),
    Run("longer", steps=7200),
    Run("whole", last=True, note="the whole recipe, the last weights of its run"),
    Run(
        "every",
        (*OPEN_FOLDERS, "research_only/pairs"),
        steps=7200,
        note="with those whose licences bar shipping",
        beside="longer",
    ),
)


def trained(root: Path, work: Path, run: Run) -> tuple[Path, int]:
    """Returns the weights to measure, and the number of steps after which they were saved."""
    changes = [
        f"data.root={json.dumps([str(root / folder) for folder in run.folders])}",
        "data.split=train", "data.validation_split=val", f"data.limit={run.limit}",
    ]  # fmt: skip
    if run.steps:
        changes += [f"schedule.steps={run.steps}", f"run.evaluate_steps={run.steps // 5 or 1}"]
    config = training.config_of(training.with_changes(training.recipe("colorgrid-in-place"), changes))
    out = work / run.name
    result = training.train(
        config, out, resume="auto", on_progress=lambda p: print(f"{out.name}: step {p.count}", end="\r", flush=True)
    )
    if run.last:
        return out / "last.safetensors", result.steps
    return out / "best.safetensors", int(result.best["step"])


def run_all(root: Path, work: Path) -> None:
    """Trains what is missing, and writes RESULTS."""
    sets = {split: triples(root, split) for split in ("val", "test")}
    report: dict[str, Any] = {
        "groups": {split: numbered(measured.groups) for split, measured in sets.items()},
        "runs": [],
    }
    for run in RUNS:
        there = sum(len(data.open_dataset(root / folder, split="train")) for folder in run.folders)
        weights, step = trained(root, work, run)
        entry: dict[str, Any] = {"name": run.name, "photographs": run.limit or there, "step": step, "change": {}}
        for split, measured in sets.items():
            rows = evaluation.evaluate(measured.samples, {"network": evaluation.harmonizer(weights)}).rows
            entry["change"][split] = {
                key: [
                    round(after[key] - before[key], 4)
                    for before, after in zip(of(rows, BASELINE), of(rows, "network"), strict=True)
                ]
                for key in ("psnr", "fmse")
            }
        report["runs"].append(entry)
        write_json(RESULTS, report)


def of(rows: Sequence[Mapping[str, Any]], method: str) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["method"] == method]


def table(report: Mapping[str, Any]) -> str:
    """Returns the table of gains over the composites, and of their differences to another run."""
    runs, entries = {run.name: run for run in RUNS}, {entry["name"]: entry for entry in report["runs"]}
    head = ["photographs", "", "steps", "gain on val, dB", "gain on test, dB", "beyond the last", "fMSE on test"]
    lines, last = [head], None
    for entry in report["runs"]:
        run, change, groups = runs[entry["name"]], entry["change"], report["groups"]
        other, more = entries.get(run.beside, last), ""
        if other:
            gains = np.subtract(change["test"]["psnr"], other["change"]["test"]["psnr"])
            more = signed(bootstrap(gains, groups["test"]), 2)
            if other is not last:
                more += f", that of {other['photographs']:,} and {other['step']:,}"
        last = entry
        lines.append([
            f"{entry['photographs']:,}", run.note, f"{entry['step']:,}",
            signed(bootstrap(change["val"]["psnr"], groups["val"]), 2),
            signed(bootstrap(change["test"]["psnr"], groups["test"]), 2),
            more, signed(bootstrap(change["test"]["fmse"], groups["test"]), 0),
        ])  # fmt: skip
    about = (
        "The network alone, after as many steps of 48 composites as it was best on photographs of val; "
        f"{len(report['groups']['val'])} triples of val and {len(report['groups']['test'])} of test, mean changes with "
        "intervals of 95 % over photographs."
    )
    return f"{about}\n\n{rows_of(lines)}"


def report(page: Path = PAGE) -> None:
    """Writes the table between its marks."""
    before, start, rest = page.read_text("utf-8").partition(START_MARK)
    _, end, after = rest.partition(END_MARK)
    if not (start and end):
        raise SystemExit(f"{page}: has no {START_MARK} and {END_MARK}")
    page.write_text(f"{before}{START_MARK}\n{table(json.loads(RESULTS.read_text()))}\n{END_MARK}{after}", "utf-8")


def main() -> None:
    parser, commands = commands_of(__doc__)
    commands.add_parser("report")
    command = commands.add_parser("run")
    command.add_argument("data", type=Path)
    command.add_argument("work", type=Path, help="where runs are kept")
    options = parser.parse_args()
    if options.command == "run":
        run_all(options.data, options.work)
    report()


if __name__ == "__main__":
    main()
