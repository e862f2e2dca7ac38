"""Writes the table, the JSON and the plot of the last run of `pytest benchmarks/`.

python benchmarks/report.py [--results artifacts/bench/results.json] [-o benchmarks/results]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
LATEST = ROOT / "artifacts" / "bench" / "results.json"


def significant(value: float | None, digits: int = 3) -> str:
    if value is None or value != value:
        return "–"
    if value != 0 and abs(value) < 1e-3:
        return f"{value:.0e}"
    return f"{value:.{digits}g}" if abs(value) < 1000 else f"{value:,.0f}"


def milliseconds(timing: dict[str, float], clock: str) -> str:
    spread = timing[f"{clock}_spread_ms"]
    text = significant(timing[f"{clock}_ms"])
    return f"{text} ± {significant(spread, 2)}" if spread else text


def table(header: list[str], rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"

    return "\n".join([line(header), "|" + "|".join("-" * (w + 2) for w in widths) + "|", *map(line, rows)])


def gpu_tables(rows: list[dict[str, Any]]) -> list[str]:
    """Returns a heading and a table for each group of rows that were measured on a GPU."""
    header = ["problem", "contestant", "cold ms", "warm ms", "call, ms", "run as", "GB/s", "of a copy", "times ours",
              "error", "how"]  # fmt: skip
    groups: dict[str, list[list[str]]] = {}
    for r in rows:
        times = [
            f"{significant(r[f'{kind}_ms'])} ± {significant(r[f'{kind}_iqr_ms'] / 2, 2)}" for kind in ("cold", "warm")
        ]
        groups.setdefault(r["group"], []).append(
            [
                r["problem"], f"{r['name']} {'' if r['ours'] else r['version']}".strip(), *times,
                significant(r["eager_ms"]), r["mode"], significant(r["gb_per_s"]),
                "–" if r["copy_share"] is None else f"{100 * r['copy_share']:.0f} %",
                "" if r["times_ours"] is None else f"{significant(r['times_ours'])}×",
                significant(r["error"]), r["note"],
            ]
        )  # fmt: skip
    return [f"### {group[0].upper()}{group[1:]}\n\n{table(header, cells)}" for group, cells in groups.items()]


def kernel_table(times: dict[str, list[dict[str, Any]]]) -> str:
    """Returns a heading and a table of the kernels of each call, by kernel_times.py; empty without any."""
    rows = [
        [name if i == 0 else "", row["kernel"], significant(row["launches"]), significant(row["us"])]
        for name, every in times.items() for i, row in enumerate(every)
    ]  # fmt: skip
    return f"### Kernels of calls\n\n{table(['call', 'kernel', 'launches', 'us'], rows)}" if rows else ""


def verdict(target: dict[str, Any]) -> str:
    if target["value"] is None:
        return "not measured"
    if target["goal_met"]:
        return "goal met"
    if target["floor_met"]:
        return "met" if target["goal"] is None else "floor met"
    return "**missed**"


def markdown(results: dict[str, Any]) -> str:
    """Returns the tables of a run."""
    m = results["machine"]
    parts = [
        f"{m['cpu']}, {m['threads']} threads on {m['cores']} cores, {m['simd']}; {m['system']}, Python {m['python']}, "
        f"numpy {m['numpy']}, pyharmony {m['pyharmony']}.",
        "Contestants of a group ran in turn, one after the other in each round. Milliseconds are the median ± half the "
        "interquartile range. A ratio is the contestant's time over the first row's of its group and problem, the "
        "median over the rounds. Errors are in 8-bit levels (1/255): the largest difference from the exact answer of "
        "the contestant's own equation (in brackets the median, where the largest says little), and a bound that is "
        "proven from a float64 residual.",
    ]
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in results["rows"]:
        groups.setdefault(row["group"], []).append(row)
    problems = list(dict.fromkeys(row["problem"] for row in results["rows"]))
    # Comparisons first.
    for group, rows in sorted(groups.items(), key=lambda item: all(r["ours"] for r in item[1])):
        rows.sort(key=lambda r: (problems.index(r["problem"]), not r["ours"]))
        cells = []
        for r in rows:
            error = significant(r["error"])
            if r["median_error"] is not None and r["error"] > 5:
                error += f" ({significant(r['median_error'], 2)})"
            cells.append(
                [
                    r["problem"],
                    r["name"] if r["ours"] else f"{r['name']} {r['version']}",
                    milliseconds(r["timing"], "wall"),
                    milliseconds(r["timing"], "cpu"),
                    "" if r["ratio_wall"] is None else f"{significant(r['ratio_wall'])}×",
                    "" if r["ratio_cpu"] is None else f"{significant(r['ratio_cpu'])}×",
                    error,
                    significant(r["certified"]),
                    r["note"],
                ]
            )
        header = ["problem", "contestant", "wall ms", "CPU ms", "wall ratio", "CPU ratio", "error", "certified", "how"]
        parts += [f"### {group[0].upper()}{group[1:]}", table(header, cells)]
    parts += gpu_tables(results.get("gpu_rows", []))
    if results["targets"]:
        cells = [
            [
                t["name"],
                "–" if t["value"] is None else f"{significant(t['value'])} {t['unit']}",
                ("≥ " if t["higher_is_better"] else "≤ ") + significant(t["floor"]),
                "" if t["goal"] is None else ("≥ " if t["higher_is_better"] else "≤ ") + significant(t["goal"]),
                verdict(t),
                t["note"],
            ]
            for t in results["targets"]
        ]
        parts += [
            "### Floors and goals",
            "Ratios are of CPU time, with the wall ratio beside.",
            table(["what", "measured", "floor", "goal", "", "note"], cells),
        ]
    for name, reason in results["missing"].items():
        parts.append(f"Left out: {name} ({reason}).")
    return "\n\n".join(parts)


def plot(results: dict[str, Any], path: Path) -> None:
    """Plots wall time against error of every contestant, one panel per group and problem with a peer."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import NullFormatter

    panels: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in results["rows"]:
        panels.setdefault((row["group"], row["problem"]), []).append(row)
    panels = {key: rows for key, rows in panels.items() if any(not r["ours"] for r in rows)}
    columns = 2
    lines = max(1, -(-len(panels) // columns))
    figure, axes = plt.subplots(
        lines, columns, figsize=(15, 0.5 + 2.0 * lines), squeeze=False, layout="constrained"
    )  # fmt: skip
    own = results["machine"]["pyharmony"]
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    for axis, ((group, problem), rows) in zip(axes.flat, panels.items(), strict=False):
        rows = sorted(rows, key=lambda r: -r["timing"]["wall_ms"])
        times = [r["timing"]["wall_ms"] for r in rows]
        axis.barh(range(len(rows)), times, color=["#1b6ca8" if r["version"] == own else "#b8b8b8" for r in rows])
        for i, r in enumerate(rows):
            error = "" if r["error"] is None else f", error {significant(r['error'], 2)}"
            axis.text(times[i] * 1.08, i, f"{significant(times[i])} ms{error}", va="center", fontsize=7)
        axis.set_yticks(range(len(rows)), [r["name"] for r in rows], fontsize=7)
        axis.set_xscale("log")
        axis.set_xlim(min(times) / 2, max(times) * 12)
        axis.tick_params(axis="x", labelsize=7)
        axis.xaxis.set_minor_formatter(NullFormatter())  # a short axis would have labels on labels
        axis.set_title(f"{group}, {problem}", fontsize=9, loc="right")
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    figure.suptitle("Wall milliseconds (log scale) and largest error in 8-bit levels; pyharmony in blue", fontsize=10)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=LATEST, help="JSON of a run (default: %(default)s)")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "benchmarks" / "results", help="folder")
    options = parser.parse_args()
    if not options.results.exists():
        raise SystemExit(f"{options.results}: not there; run `python -m pytest benchmarks/` first")
    results = json.loads(options.results.read_text())
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    text = markdown(results)
    (options.output / "results.md").write_text(f"# One run of `make bench`\n\n{text}\n\n![times](results.png)\n")
    plot(results, options.output / "results.png")
    print(text)
    print(f"\nwritten: {options.output}/results.md, results.json, results.png")


if __name__ == "__main__":
    main()
