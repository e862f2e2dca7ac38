"""Measures how well objects are cut out by clicks, by every method in one run.

    python benchmarks/segmentation.py run DATA                 # measures the test images, hours on one thread
    python benchmarks/segmentation.py run DATA --split val --clicks 3 --method auto --out FILE  # for choosing
    python benchmarks/segmentation.py people DATA              # of those who are masked, how many are found
    python benchmarks/segmentation.py matting DATA             # edges, on photographs with true alpha
    python benchmarks/segmentation.py speed                    # the time of clicks, and memory
    python benchmarks/segmentation.py report                   # the tables, into docs/segment.md

Clicks are simulated as usual (Xu et al., CVPR 2016): the first falls at the deepest place of the object, each further
one at the deepest place of the larger error, on the object or beside it. With jitter they fall anywhere where it is at
least half as deep. A box is a little larger than the object. Images are reduced to 512 pixels on the longer side. A
method is a name of `segmentation.METHODS`, or a file of weights.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from photographs import PHOTOS, Photographs
from PIL import Image
from tables import bootstrap, numbered, rows_of, write_json

from pyharmony import data, segmentation
from pyharmony.ops.distance import distance_inside
from pyharmony.segmentation._edges import at_full_size
from pyharmony.segmentation.layers import Layer, sampled

RESULTS = Path(__file__).parent / "results" / "segmentation.json"
PAGE = Path(__file__).parent.parent / "docs" / "segment.md"
START, END = "<!-- segmentation: written by benchmarks/segmentation.py -->", "<!-- end of segmentation -->"
#: The longer side of the images whose edges are measured.
FINE = 1024
#: The longer side of the images, the most clicks, and the IoU that clicks are counted up to.
SIDE, MOST, ENOUGH = 512, 20, (0.85, 0.90)
#: After how many clicks figures are told, and how often clicks are set with jitter.
TOLD, JITTERED = (1, 3, 5), 2
#: How far a box that is drawn lies beyond the object at each side, in sides of it.
BEYOND = 0.03
ANIMALS = ("animal", "bear", "bird", "cat", "cow", "dog", "elephant", "giraffe", "horse", "sheep", "zebra")

#: How often times are measured.
ROUNDS = 5

Bools = npt.NDArray[np.bool_]


def kind_of(category: str) -> str:
    return "people" if category == "person" else "animals" if category in ANIMALS else "others"


def reduced(sample: dict[str, Any]) -> tuple[npt.NDArray[np.uint8], Bools]:
    """Returns image and region of a sample at the size of the benchmark."""
    height, width = sample["mask"].shape
    factor = min(1.0, SIDE / max(height, width))
    size = round(width * factor), round(height * factor)
    image, mask = (
        np.array(Image.fromarray(x).resize(size, Image.Resampling.BOX)) for x in (sample["image"], sample["mask"])
    )
    return image, mask >= 128


def depth(region: Bools) -> npt.NDArray[np.float32]:
    """Returns how far each pixel of a region is from its contour or the frame, 0 outside."""
    return distance_inside(np.pad(region, 1))[1:-1, 1:-1]


def click(region: Bools, made: Bools, random: np.random.Generator | None) -> tuple[int, int, bool] | None:
    """Returns the next click (x, y, whether it is on the object); None where nothing is wrong."""
    missed, beyond = depth(region & ~made), depth(made & ~region)
    on = missed.max() >= beyond.max()
    deep = missed if on else beyond
    if deep.max() <= 0:
        return None
    places = np.flatnonzero(deep >= 0.5 * deep.max()) if random is not None else [int(deep.argmax())]
    y, x = divmod(int(places[0] if random is None else random.choice(places)), region.shape[1])
    return x, y, bool(on)


def iou(made: Bools, region: Bools) -> float:
    union = np.count_nonzero(made | region)
    return np.count_nonzero(made & region) / union if union else 1.0


def measured(image: Any, region: Bools, method: Any, most: int, seed: int | None) -> dict[str, Any]:
    """Returns the IoU after each click, the best of the masks after the first, and the milliseconds of each."""
    random = None if seed is None else np.random.default_rng(seed)
    session = segmentation.Session(image, method=method)
    made = np.zeros_like(region)
    found: dict[str, Any] = {"iou": [], "ms": []}
    for number in range(most):
        where = click(region, made, random)
        if where is not None:
            start = time.perf_counter()
            answer = session.click(where[0], where[1], add=where[2])
            found["ms"].append(round(1000 * (time.perf_counter() - start), 1))
            made = answer.mask >= 128
            if number == 0:
                found["best"] = round(max([iou(answer[i] >= 128, region) for i in range(len(answer))], default=0.0), 4)
                found["score"] = round(answer.scores[0], 4) if len(answer) else 0.0
        found["iou"].append(round(iou(made, region), 4))
        if number + 1 >= max(TOLD) and found["iou"][-1] >= max(ENOUGH):
            break
    found["box"] = round(iou(session.segment(box=rough_box(region)).mask >= 128, region), 4)
    return found


def rough_box(region: Bools) -> tuple[int, int, int, int]:
    """Returns the box of a region as a user would draw it, a little too large."""
    x, y, across, down = box_of(region)
    beyond = BEYOND * across, BEYOND * down
    return round(x - beyond[0]), round(y - beyond[1]), round(across + 2 * beyond[0]), round(down + 2 * beyond[1])


def run(root: Path, split: str, methods: Sequence[str], most: int, jittered: int, out: Path, limit: int) -> None:
    samples = Photographs(root, PHOTOS, (split,))
    every = list(range(len(samples)))[:: max(1, len(samples) // limit) if limit else 1]
    whole: dict[str, Any] = json.loads(out.read_text()) if out.is_file() else {}
    table = whole.setdefault(split, {"methods": {}})
    if table.get("names", [samples.names[i] for i in every]) != [samples.names[i] for i in every]:
        raise SystemExit(f"{out}: holds figures of other images; write elsewhere")
    table |= {
        "names": [samples.names[i] for i in every],
        "groups": [samples.groups[i] for i in every],
        "kinds": [kind_of(samples.categories[i]) for i in every],
        "open": [samples.is_open[i] for i in every],
    }
    images = [reduced(samples[i]) for i in every]
    for name in methods:
        start = time.monotonic()
        method = segmentation.trained(name) if name.endswith(".safetensors") else name
        rows = [measured(image, region, method, most, None) for image, region in images]
        table["methods"][name] = {"exact": rows}
        for seed in range(jittered):
            again = [measured(image, region, method, max(TOLD), seed) for image, region in images]
            table["methods"][name][f"jittered {seed}"] = again
        print(f"{name}: {time.monotonic() - start:.0f} s")
        for line in told(table, name):
            print(f"  {line}", flush=True)
        write_json(out, whole)


def told(table: dict[str, Any], method: str) -> list[str]:
    """Returns the figures of a method, a line for each kind of object."""
    rows, lines = table["methods"][method]["exact"], []
    opens, kinds = np.array(table["open"]), np.array(table["kinds"])
    first = [row["iou"][0] for row in rows]
    parts = {"all": opens | True, "open": opens, **{kind: kinds == kind for kind in ("people", "animals", "others")}}
    for name, chosen in parts.items():
        these = [row for row, one in zip(rows, chosen) if one]
        groups = numbered([g for g, one in zip(table["groups"], chosen) if one])
        cells = []
        for k in TOLD:
            if min(len(row["iou"]) for row in these) >= k:
                x = bootstrap([row["iou"][k - 1] for row in these], groups)
                cells.append(f"IoU@{k} {x.mean:.3f} [{x.low:.3f}, {x.high:.3f}]")
        cells.append(f"best of masks {np.mean([row['best'] for row in these]):.3f}")
        if all("box" in row for row in these):
            cells.append(f"box {np.mean([row['box'] for row in these]):.3f}")
        for enough in ENOUGH if max(len(row["iou"]) for row in rows) > max(TOLD) else ():
            needed = [next((i + 1 for i, x in enumerate(row["iou"]) if x >= enough), MOST) for row in these]
            cells.append(f"NoC@{100 * enough:.0f} {np.mean(needed):.2f}")
        lines.append(f"{name:8s} {len(these):4d}  " + "  ".join(cells))
    times = np.array([row["ms"][0] for row in rows if row["ms"]])
    later = np.array([x for row in rows for x in row["ms"][1:]] or [0.0])
    for other, its in table["methods"].items():
        if other != method:
            gains = [a - row["iou"][0] for a, row in zip(first, its["exact"], strict=True)]
            x = bootstrap(gains, numbered(table["groups"]))
            lines.append(f"one click, beside {other}: {x.mean:+.3f} [{x.low:+.3f}, {x.high:+.3f}]")
    return [*lines, f"first click {np.median(times):.0f} ms, next {np.median(later):.0f} ms"]


def people(root: Path, split: str, out: Path, weights: str) -> None:
    """Measures how many of the people who are masked are found, and how well; others in the picture are not counted."""
    samples = Photographs(root, PHOTOS, (split,))
    method = segmentation.trained(weights) if weights.endswith(".safetensors") else weights
    rows: dict[str, list[Any]] = {"groups": [], "mask": [], "box": [], "found": []}
    for i, category in enumerate(samples.categories):
        if kind_of(category) == "people":
            image, region = reduced(samples[i])
            found = segmentation.segment(image, people=True, method=method)
            rows["groups"].append(samples.groups[i])
            rows["mask"].append(max((iou(found[k] >= 128, region) for k in range(len(found))), default=0.0))
            own = box_of(region)
            rows["box"].append(max((box_iou(own, box) for box in found.boxes), default=0.0))
            rows["found"].append(len(found))
    whole: dict[str, Any] = json.loads(out.read_text()) if out.is_file() else {}
    whole.setdefault("people", {})[split] = rows
    write_json(out, whole)
    for name in ("mask", "box"):
        values = np.array(rows[name])
        x = bootstrap((values >= 0.5).astype(float), numbered(rows["groups"]))
        print(f"{name}: recall at an IoU of 0.5 {x.mean:.2f} [{x.low:.2f}, {x.high:.2f}], mean {values.mean():.3f}")
    print(f"{len(values)} people; {np.mean(rows['found']):.2f} found in a picture")


def box_of(region: Bools) -> tuple[int, int, int, int]:
    rows, columns = (np.flatnonzero(region.any(axis)) for axis in (1, 0))
    return columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]


def box_iou(a: Sequence[int], b: Sequence[int]) -> float:
    across = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    down = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    both = max(0, across) * max(0, down)
    return float(both / (a[2] * a[3] + b[2] * b[3] - both))


def speed(out: Path, methods: Sequence[str]) -> None:
    """Measures the time of clicks and the memory of a process for each method, on 1 and 12 megapixels."""
    whole: dict[str, Any] = json.loads(out.read_text()) if out.is_file() else {}
    for number in range(ROUNDS):
        for method in methods:
            for height, width in ((866, 1155), (3000, 4000)):
                command = [sys.executable, "-c", _TIMED.format(method=method, height=height, width=width)]
                made = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
                size, found = f"{round(height * width / 1e6)}", whole.setdefault("speed", {}).setdefault(method, {})
                print(method, size, made, flush=True)
                if number:
                    # Of times the least, which others disturbed least, and of memory the most.
                    made = {key: (max if key == "megabytes" else min)(made[key], found[size][key]) for key in made}
                found[size] = made
    write_json(out, whole)


_TIMED = """
import json, resource, time
from pyharmony import segmentation
from pyharmony.cli._pictures import photograph
picture = photograph("astronaut", {height}, {width})
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
session = segmentation.Session(picture, method="{method}")
ms = []
for x, y, add in ((0.5, 0.5, True), (0.45, 0.6, True), (0.1, 0.1, False), (0.5, 0.4, True)):
    start = time.perf_counter()
    session.click(x * {width}, y * {height}, add=add).mask
    ms.append(round(1000 * (time.perf_counter() - start), 1))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps(dict(first=ms[0], next=sorted(ms[1:])[1], megabytes=round(peak / 1024), before=round(base / 1024))))
"""


def matting(root: Path, out: Path) -> None:
    """Measures the edges of masks on photographs with true alpha, from a mask of 256 x 256 around the object."""
    rows: dict[str, list[list[float]]] = {}
    for folder in PHOTOS:
        if not (root / folder).is_dir():
            continue
        photos = data.Manifest(root / folder, roles=("image", "mask"))
        for i, entry in enumerate(photos.entries):
            if str(entry["mask"].get("mask_quality", "")).startswith("soft alpha"):
                for name, errors in _edge_errors(photos[i]).items():
                    rows.setdefault(name, []).append(errors)
    whole: dict[str, Any] = json.loads(out.read_text()) if out.is_file() else {}
    whole["matting"] = rows
    write_json(out, whole)
    for name, found in rows.items():
        print(name, len(found), *(f"{x:.4f}" for x in np.mean(found, 0)))


def _edge_errors(sample: dict[str, Any]) -> dict[str, list[float]]:
    """Returns for each way to make an edge the mean absolute error of alpha and that of its gradient, near the edge."""
    height, width = sample["mask"].shape
    factor = min(1.0, FINE / max(height, width))
    size = round(width * factor), round(height * factor)
    image, mask = (
        np.array(Image.fromarray(x).resize(size, Image.Resampling.BOX)) for x in (sample["image"], sample["mask"])
    )
    alpha = mask.astype(np.float32) / 255
    rows, columns = (np.flatnonzero((mask >= 128).any(axis)) for axis in (1, 0))
    across, down = (columns[-1] - columns[0]) * 0.25, (rows[-1] - rows[0]) * 0.25
    box = (
        max(0, int(columns[0] - across)), max(0, int(rows[0] - down)),
        min(size[0], int(columns[-1] + across) + 1), min(size[1], int(rows[-1] + down) + 1),
    )  # fmt: skip
    part = np.where(mask >= 128, np.uint8(255), np.uint8(0))[box[1] : box[3], box[0] : box[2]]
    values = np.asarray(Image.fromarray(part).resize((256, 256), Image.Resampling.BOX), np.float32) / 255
    layer = Layer(box, values, 1.0)
    large = sampled(layer, (0, 0, *size), size)
    hard = (large > 0.5).astype(np.float32)
    made = {
        "hard mask": hard,
        "feathered by 2 px": _blurred(hard, 2.0),
        "guided filter": at_full_size(image, layer).astype(np.float32) / 255,
    }
    if importlib.util.find_spec("pymatting") is not None:
        made["closed form"] = _closed_form(image, hard)
    soft = (alpha > 0.02) & (alpha < 0.98)
    near = distance_inside(np.pad(~soft, 1, constant_values=True))[1:-1, 1:-1] <= 8
    found = {}
    for name, one in made.items():
        slopes = [np.stack(np.gradient(_blurred(x, 1.4))) for x in (one, alpha)]
        gradient = np.abs(np.hypot(*slopes[0]) - np.hypot(*slopes[1]))
        found[name] = [float(np.abs(one - alpha)[near].mean()), float(gradient[near].mean())]
    return found


def _blurred(x: Any, sigma: float) -> Any:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(x, sigma)


def _closed_form(image: Any, hard: Any) -> Any:
    """Returns alpha by Levin et al., "A Closed-Form Solution to Natural Image Matting", PAMI 2008, by pymatting."""
    import pymatting

    height, width = hard.shape
    reach = max(4.0, 0.02 * max(height, width))
    inside = hard > 0.5
    trimap = np.full(hard.shape, 0.5)
    trimap[depth(inside) > reach] = 1
    trimap[distance_inside(np.pad(~inside, 1, constant_values=True))[1:-1, 1:-1] > reach] = 0
    return pymatting.estimate_alpha_cf(image.astype(np.float64) / 255, trimap).astype(np.float32)


def report(results: Path, page: Path) -> None:
    """Writes the tables into a page."""
    whole = json.loads(results.read_text())
    table, times = whole["test"], whole.get("speed", {})
    methods, kinds, opens = list(table["methods"]), np.array(table["kinds"]), np.array(table["open"])
    groups = numbered(table["groups"])

    def cell(values: Sequence[float], chosen: Any, interval: bool = True) -> str:
        x = bootstrap([v for v, one in zip(values, chosen) if one], [g for g, one in zip(groups, chosen) if one])
        return f"{x.mean:.2f} [{x.low:.2f}, {x.high:.2f}]" if interval else f"{x.mean:.2f}"

    every = opens | True
    counted = [f"NoC@{100 * enough:.0f}" for enough in ENOUGH]
    lines = [["", "1 click", "best of its masks", "3 clicks", "5 clicks", "box", "1 click, jittered", *counted, "1 MP"]]
    parts = {"all": every, "open": opens, **{kind: kinds == kind for kind in ("people", "animals", "others")}}
    one_click = [["one click, IoU", *(f"{name}, {np.count_nonzero(chosen)}" for name, chosen in parts.items())]]
    for name in methods:
        rows = table["methods"][name]["exact"]
        after = {k: [row["iou"][min(k, len(row["iou"])) - 1] for row in rows] for k in TOLD}
        jittered = [its for key, its in table["methods"][name].items() if key != "exact"]
        first = [float(np.mean([its[i]["iou"][0] for its in jittered])) for i in range(len(rows))] if jittered else []
        far = max(len(row["iou"]) for row in rows) > max(TOLD)
        boxed = [row["box"] for row in rows if "box" in row]
        needed = [
            [next((i + 1 for i, x in enumerate(row["iou"]) if x >= enough), MOST) for row in rows] for enough in ENOUGH
        ]
        time_of = times.get(name, {}).get("1")
        lines.append([
            f"`{name}`", cell(after[1], every), cell([row["best"] for row in rows], every), cell(after[3], every),
            cell(after[5], every), cell(boxed, every) if len(boxed) == len(rows) else "",
            cell(first, every) if first else "",
            *(cell(x, every, False) if far else "" for x in needed),
            f"{time_of['first']:.0f}, {time_of['next']:.0f} ms" if time_of else "",
        ])  # fmt: skip
        one_click.append([f"`{name}`", *(cell(after[1], chosen) for chosen in parts.values())])
    paired = [["one click, IoU beside", *(f"`{name}`" for name in methods[1:])]]
    own = [row["iou"][0] for row in table["methods"][methods[0]]["exact"]]
    for part, chosen in parts.items():
        cells = []
        for name in methods[1:]:
            gains = [a - row["iou"][0] for a, row in zip(own, table["methods"][name]["exact"], strict=True)]
            x = bootstrap([v for v, c in zip(gains, chosen) if c], [g for g, c in zip(groups, chosen) if c])
            cells.append(f"{x.mean:+.2f} [{x.low:+.2f}, {x.high:+.2f}]")
        paired.append([part, *cells])
    tables = [lines, one_click, paired]
    if "people" in whole:
        rows = whole["people"]["test"]
        recalls = [
            bootstrap((np.array(rows[name]) >= 0.5).astype(float), numbered(rows["groups"])) for name in ("mask", "box")
        ]
        cells = [f"{100 * x.mean:.0f} % [{100 * x.low:.0f}, {100 * x.high:.0f}]" for x in recalls]
        tables.append(
            [["people who are masked", "found, mask of IoU ≥ 0.5", "found, box of IoU ≥ 0.5", "found in a picture"]]
        )
        tables[-1].append([str(len(rows["mask"])), *cells, f"{np.mean(rows['found']):.1f}"])
    if "matting" in whole:
        tables.append([["edge", "error of alpha", "error of its gradient"]])
        for name, errors in whole["matting"].items():
            cells = [f"{255 * x:.1f} of 255" for x in np.mean(errors, 0)]
            tables[-1].append([f"{name}, {len(errors)} photographs", *cells])
    if times:
        measured_so = f"time, two cores, best of {ROUNDS}"
        tables.append([[measured_so, "1 MP: first, next click", "12 MP: first, next", "memory at 12 MP"]])
        for name, found in times.items():
            cells = [f"{found[size]['first']:.0f}, {found[size]['next']:.0f} ms" for size in ("1", "12")]
            tables[-1].append([f"`{name}`", *cells, f"{found['12']['megabytes']} MB"])
    text = "\n\n".join(rows_of(rows) for rows in tables)
    before, _, rest = page.read_text().partition(START)
    _, _, after_end = rest.partition(END)
    page.write_text(f"{before}{START}\n{text}\n{END}{after_end}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    running.add_argument("data", type=Path)
    running.add_argument("--split", default="test")
    running.add_argument("--method", action="append", help="several times; none: all that can run")
    running.add_argument("--clicks", type=int, default=MOST)
    running.add_argument("--jittered", type=int, default=JITTERED)
    running.add_argument("--limit", type=int, default=0, help="so many images, evenly chosen; 0: all")
    running.add_argument("--out", type=Path, default=RESULTS)
    timing = commands.add_parser("speed")
    timing.add_argument("--method", action="append")
    timing.add_argument("--out", type=Path, default=RESULTS)
    finding = commands.add_parser("people")
    finding.add_argument("data", type=Path)
    finding.add_argument("--split", default="test")
    finding.add_argument("--method", default="auto")
    finding.add_argument("--out", type=Path, default=RESULTS)
    edging = commands.add_parser("matting")
    edging.add_argument("data", type=Path)
    edging.add_argument("--out", type=Path, default=RESULTS)
    telling = commands.add_parser("report")
    telling.add_argument("--results", type=Path, default=RESULTS)
    telling.add_argument("--page", type=Path, default=PAGE)
    given = parser.parse_args()
    if given.command == "report":
        report(given.results, given.page)
        return
    if given.command == "people":
        people(given.data, given.split, given.out, given.method)
        return
    if given.command == "matting":
        matting(given.data, given.out)
        return
    methods = given.method or [name for name, method in segmentation.METHODS.items() if not method.missing]
    if given.command == "speed":
        speed(given.out, methods)
        return
    run(given.data, given.split, methods, given.clicks, given.jittered, given.out, given.limit)


if __name__ == "__main__":
    main()
