"""How good the default harmoniser is by the number of photographs that it is trained on.

    python benchmarks/learning_curve.py run DATA WORK  # trains what is missing of COUNTS, an hour on two cores
    python benchmarks/learning_curve.py report         # the table, into docs/models/colorgrid.md

Each run has the recipe `colorgrid` but for the number of photographs, drawn by the seed, and fewer steps; of each those
weights are measured that were best on val. DATA holds pairs_open, photos_open and triples_open and, where they are
there, research_only/triples. A run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from harmonization import ROOT, bootstrap, rows_of, signed, triples, write_json

from pyharmony import data, evaluation, metrics, training

RESULTS = ROOT / "benchmarks" / "results" / "colorgrid" / "learning_curve.json"
PAGE = ROOT / "docs" / "models" / "colorgrid.md"
#: Photographs to train on; None: all that there are.
COUNTS = (62, 248, None)
STEPS = 1500
START, END = "<!-- learning curve: written by benchmarks/learning_curve.py -->", "<!-- end of learning curve -->"


def trained(root: Path, work: Path, count: int | None) -> tuple[Path, dict[str, float]]:
    """The weights that were best on val, and their figures there."""
    changes = [
        f"data.root={json.dumps([str(root / name) for name in ('pairs_open', 'photos_open')])}",
        "data.split=train", "data.validation_split=val", f"data.limit={count or 0}",
        f"schedule.steps={STEPS}", "run.evaluate_steps=300",
    ]  # fmt: skip
    config = training.config_of(training.with_changes(training.recipe("colorgrid"), changes))
    out = work / str(count or "all")
    result = training.train(
        config, out, resume="auto", on_progress=lambda p: print(f"{out.name}: step {p.count}", end="\r", flush=True)
    )
    return out / "best.safetensors", result.best


def run(root: Path, work: Path) -> None:
    found: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {"steps": STEPS, "runs": []}
    every = sum(len(data.open_dataset(root / name, split="train")) for name in ("pairs_open", "photos_open"))
    known = {entry["photographs"] for entry in found["runs"]}
    test = triples(root)
    for count in COUNTS:
        if (count or every) in known:
            continue
        weights, best = trained(root, work, count)
        made = evaluation.evaluate(test.samples, {"network": evaluation.harmonizer(weights)})
        changes: dict[str, list[float]] = {}
        for key in ("psnr", "fmse"):
            before, after = (
                np.array([row[key] for row in made.rows if row["method"] == name]) for name in ("composite", "network")
            )
            changes[key] = list(dataclasses.astuple(bootstrap(after - before, test.groups)))
        found["runs"].append(
            {"photographs": count or every, "step": best["step"], "validation": best["fmse"], "triples": changes}
        )
        found["runs"].sort(key=lambda entry: entry["photographs"])
        write_json(RESULTS, found)
        print(found["runs"][-1], flush=True)


def table(found: dict[str, Any]) -> str:
    lines = [["photographs", "best step", "fMSE on val", "gain on test triples, dB", "fMSE, mean change"]]
    for entry in found["runs"]:
        gain, error = (metrics.Interval(*entry["triples"][key]) for key in ("psnr", "fmse"))
        step, held = f"{entry['step']:,.0f}", f"{entry['validation']:.0f}"
        lines.append([f"{entry['photographs']:,}", step, held, signed(gain, 2), signed(error, 0)])
    head = f"{found['steps']:,} steps of 48 composites, of each number the weights that are best on val."
    return f"{head}\n\n{rows_of(lines)}"


def report() -> None:
    before, _, rest = PAGE.read_text("utf-8").partition(START)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{START}\n{table(json.loads(RESULTS.read_text()))}\n{END}{after}", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("report")
    command = commands.add_parser("run")
    command.add_argument("data", type=Path)
    command.add_argument("work", type=Path, help="where runs are kept")
    given = parser.parse_args()
    if given.command == "run":
        run(given.data, given.work)
    report()


if __name__ == "__main__":
    main()
