"""Measures how well objects are cut out by clicks, by every method in one run.

    python benchmarks/segmentation.py run DATA                 # measures the test images, hours on one thread
    python benchmarks/segmentation.py run DATA --split val --clicks 3 --method auto --out FILE  # for choosing
    python benchmarks/segmentation.py report                   # the tables, into docs/segment.md

Clicks are simulated as usual (Xu et al., CVPR 2016): the first falls at the deepest place of the object, each further
one at the deepest place of the larger error, on the object or beside it. With jitter they fall anywhere where it is at
least half as deep. Images are reduced to 512 pixels on the longer side. A method is a name of `segmentation.METHODS`,
or a file of weights.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from photographs import PHOTOS, Photographs
from PIL import Image
from tables import bootstrap, numbered, write_json

from pyharmony import segmentation
from pyharmony.ops.distance import distance_inside

RESULTS = Path(__file__).parent / "results" / "segmentation.json"
#: The longer side of the images, the most clicks, and the IoU that clicks are counted up to.
SIDE, MOST, ENOUGH = 512, 20, (0.85, 0.90)
#: After how many clicks figures are told, and how often clicks are set with jitter.
TOLD, JITTERED = (1, 3, 5), 2
ANIMALS = ("animal", "bear", "bird", "cat", "cow", "dog", "elephant", "giraffe", "horse", "sheep", "zebra")

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
        found["iou"].append(round(iou(made, region), 4))
        if number + 1 >= max(TOLD) and found["iou"][-1] >= max(ENOUGH):
            break
    return found


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
    given = parser.parse_args()
    methods = given.method or [name for name, method in segmentation.METHODS.items() if not method.missing]
    run(given.data, given.split, methods, given.clicks, given.jittered, given.out, given.limit)


if __name__ == "__main__":
    main()
