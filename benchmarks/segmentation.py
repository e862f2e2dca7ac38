"""Measures click segmentation by every method in one run.

    python benchmarks/segmentation.py run DATA --processes 2   # measures the test images, an hour or two
    python benchmarks/segmentation.py run DATA --split val --method clicks-imagenet --method clicks  # for selection
    python benchmarks/segmentation.py run DATA --split val --folder drawn --out val.json  # of other folders of DATA
    python benchmarks/segmentation.py corrections DATA         # how often a correcting click makes a mask worse
    python benchmarks/segmentation.py corrections DATA --split test --folder masks_drawn  # and by kinds of things
    python benchmarks/segmentation.py thin DATA --split val    # clicks on missing thin parts, and in covered gaps
    python benchmarks/segmentation.py people DATA              # the recall of people with masks
    python benchmarks/segmentation.py matting DATA             # edges, on photographs with true alpha
    python benchmarks/segmentation.py closer DATA --split val  # the gain of a magnified pass along the contour
    python benchmarks/segmentation.py colours DATA             # the colours of edges, on composites with ground truth
    python benchmarks/segmentation.py speed                    # the time of clicks, and memory
    python benchmarks/segmentation.py report                   # the tables, into docs/segment.md

Clicks are simulated as usual (Xu et al., CVPR 2016): the first is at the deepest point of the object, each further one
at the deepest point of the larger error, on the object or outside. With jitter they are anywhere at half that depth or
more. A box is slightly larger than the object. Images are reduced to 512 pixels on the longer side. A method is a name
of `segmentation.METHODS`, a file of weights (.safetensors), a file of a saliency network (NETWORK.onnx, or
NETWORK.onnx:MEAN:STD with the mean and the deviation of its input colours), or the two files of a network like Segment
Anything's: ENCODER.onnx,DECODER.onnx.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from photographs import MIN_MASK_SHARE, OPEN_FOLDERS, PHOTOS, Object, Photographs, open_objects, photograph
from PIL import Image, ImageDraw
from records import MEASURED, commands_of
from tables import bootstrap, numbered, rows_of, write_json

import pyharmony
from pyharmony import segmentation
from pyharmony._images.edge_colours import decontaminated
from pyharmony._images.planes import connected_parts
from pyharmony.learn import data
from pyharmony.ops.distance import distance_inside
from pyharmony.segmentation._edges import at_full_size
from pyharmony.segmentation._matting import soft_alpha
from pyharmony.segmentation._methods import DEFAULT
from pyharmony.segmentation.layers import Layer, sampled
from pyharmony.segmentation.masks import layers_of, refined_layer

RESULTS = Path(__file__).parent / "results" / "segmentation.json"
PAGE = Path(__file__).parent.parent / "docs" / "segment.md"
START_MARK, END_MARK = "<!-- segmentation: written by benchmarks/segmentation.py -->", "<!-- end of segmentation -->"
#: The longer side of the images, the largest number of clicks, and the IoU up to which clicks are counted.
IMAGE_SIDE, MAX_CLICKS, TARGET_IOUS = 512, 20, (0.85, 0.90)
#: The numbers of clicks to report, and the number of repetitions with jitter.
REPORTED_CLICKS, JITTER_RUNS = (1, 3, 5), 2
#: The margin of a box around the object at each side, in sides of the object.
BOX_MARGIN = 0.03
ANIMALS = ("animal", "bear", "bird", "cat", "cow", "dog", "elephant", "giraffe", "horse", "sheep", "zebra")

#: The method with which the default is compared in all requirements, and the metrics of these.
COMPARED_METHOD, COMPARED_METRICS = "grabcut", ("1 click", "best", "3 clicks", "5 clicks", "box")

#: The kinds of objects that are reported separately.
KINDS = ("people", "animals", "others")
#: The table's word for what was not measured, or cannot be.
NOT_MEASURED = "-"

#: The tolerated losses of IoU by a correcting click; larger losses are counted.
IOU_LOSSES = (0.02, 0.05)
#: A first answer is poor below this IoU; it counts as mended above the second after so many clicks.
POOR_IOU, MENDED_IOU, MENDING_CLICKS = 0.5, 0.8, 3

#: Thin parts have at most this radius, and gaps are closed by this one, in square roots of the object's area. Their
#: least area and distance from the contour of the mask that lacks them, in pixels; and the least IoU of that mask.
THIN_RADIUS, GAP_RADIUS, THIN_AREA, THIN_DISTANCE, THIN_MIN_IOU = 0.04, 0.12, 60, 4, 0.7
#: The clicks before the one that is measured, and the largest number of parts and of gaps of an object.
THIN_CLICKS, THIN_PARTS = 2, 2

#: The number of time measurements.
ROUNDS = 5

#: The bands of the trimaps for closed form matting: the margins around the uncertain pixels of a mask, in its own
#: pixels; and which values are certain.
TRIMAP_MARGINS, CERTAIN_VALUE = (1, 3, 8), 0.95
#: Edges are evaluated if the mask has at least this IoU with the object: another object has another edge.
MIN_EDGE_IOU = 0.85
#: The initial masks for edges: after one click, and after an additional magnified pass along the contour.
ONE_CLICK, CLOSER_LOOK = "one click", "one click and a closer look"

#: The backgrounds for objects with known colours: plain ones, and a number of photographs.
PLAIN_BACKGROUNDS, PHOTO_BACKGROUNDS = {"white": (255, 255, 255), "black": (0, 0, 0), "green": (20, 200, 40)}, 4
#: The settings of pymatting's colour estimation: its defaults, and more and stronger smoothing.
SETTINGS: tuple[dict[str, Any], ...] = ({}, {"n_big_iterations": 10}, {"n_big_iterations": 10, "regularization": 5e-3})

Bools = npt.NDArray[np.bool_]


def kind_of(category: str) -> str:
    return "people" if category == "person" else "animals" if category in ANIMALS else "others"


def reduced(sample: dict[str, Any]) -> tuple[npt.NDArray[np.uint8], Bools]:
    """Returns image and region of a sample at the size of the benchmark."""
    height, width = sample["mask"].shape
    factor = min(1.0, IMAGE_SIDE / max(height, width))
    size = round(width * factor), round(height * factor)
    image, mask = (
        np.array(Image.fromarray(x).resize(size, Image.Resampling.BOX)) for x in (sample["image"], sample["mask"])
    )
    return image, mask >= 128


def depth(region: Bools) -> npt.NDArray[np.float32]:
    """Returns the distance of each pixel of a region to its contour or the frame, 0 outside."""
    return distance_inside(np.pad(region, 1))[1:-1, 1:-1]


def click(region: Bools, mask: Bools, random: np.random.Generator | None) -> tuple[int, int, bool] | None:
    """Returns the next click (x, y, whether it is on the object); None if there is no error."""
    missing, beyond = depth(region & ~mask), depth(mask & ~region)
    on = missing.max() >= beyond.max()
    deep = missing if on else beyond
    if deep.max() <= 0:
        return None
    places = np.flatnonzero(deep >= 0.5 * deep.max()) if random is not None else [int(deep.argmax())]
    y, x = divmod(int(places[0] if random is None else random.choice(places)), region.shape[1])
    return x, y, bool(on)


def iou(mask: Bools, region: Bools) -> float:
    union = np.count_nonzero(mask | region)
    return np.count_nonzero(mask & region) / union if union else 1.0


def measured(image: Any, region: Bools, method: Any, most: int, seed: int | None) -> dict[str, Any]:
    """Returns the IoU after each click, the best of the masks after the first, and the milliseconds of each."""
    random = None if seed is None else np.random.default_rng(seed)
    session = segmentation.Session(image, method=method)
    mask = np.zeros_like(region)
    record: dict[str, Any] = {"iou": [], "ms": []}
    for number in range(most):
        where = click(region, mask, random)
        if where is not None:
            start = time.perf_counter()
            answer = session.click(where[0], where[1], add=where[2])
            record["ms"].append(round(1000 * (time.perf_counter() - start), 1))
            mask = answer.mask >= 128
            if number == 0:
                record["best"] = round(max([iou(answer[i] >= 128, region) for i in range(len(answer))], default=0.0), 4)
                record["score"] = round(answer.scores[0], 4) if len(answer) else 0.0
        record["iou"].append(round(iou(mask, region), 4))
        if number + 1 >= max(REPORTED_CLICKS) and record["iou"][-1] >= max(TARGET_IOUS):
            break
    record["box"] = round(iou(session.segment(box=rough_box(region)).mask >= 128, region), 4)
    return record


def rough_box(region: Bools) -> tuple[int, int, int, int]:
    """Returns the box of a region as a user would draw it, slightly too large and inside of the picture."""
    x, y, across, down = box_of(region)
    left, top = max(0, round(x - BOX_MARGIN * across)), max(0, round(y - BOX_MARGIN * down))
    right = min(region.shape[1], round(x + (1 + BOX_MARGIN) * across))
    bottom = min(region.shape[0], round(y + (1 + BOX_MARGIN) * down))
    return left, top, right - left, bottom - top


def call_of(name: str) -> tuple[str, list[str], dict[str, Any]] | None:
    """Returns the function, arguments and options that construct a method from files; None for a named method."""
    files = name.split(",")
    if name.endswith(".safetensors"):
        return "trained", files, {}
    if len(files) == 2:
        return "sam", files, {}
    match = re.fullmatch(r"(.+\.onnx)(?::([^:]+):([^:]+))?", name)
    if match is None:
        return None
    colours = {} if match[2] is None else {"mean": [float(match[2])] * 3, "std": [float(match[3])] * 3}
    return "salient", [match[1]], colours


def method_of(name: str) -> str | segmentation.Method:
    """Returns the method for a name or files."""
    call = call_of(name)
    result: str | segmentation.Method = name if call is None else getattr(segmentation, call[0])(*call[1], **call[2])
    return result


def _made(name: str) -> str:
    """Returns the code that constructs a method."""
    call = call_of(name)
    return repr(name) if call is None else f"segmentation.{call[0]}(*{call[1]!r}, **{call[2]!r})"


def called(name: str) -> str:
    """Returns the name of a method in the record: for files that of the file, without its folder."""
    return ", ".join(Path(file).name for file in name.split(","))


def run(
    root: Path,
    split: str,
    methods: Sequence[str],
    most: int,
    jittered: int,
    out: Path,
    limit: int,
    processes: int = 1,
    folders: Sequence[str] = PHOTOS,
) -> None:
    samples = Photographs(root, folders, (split,))
    every = list(range(len(samples)))[:: max(1, len(samples) // limit) if limit else 1]
    table = recorded(out).get(split, {"methods": {}})
    if table.get("names", [samples.names[i] for i in every]) != [samples.names[i] for i in every]:
        raise SystemExit(f"{out}: holds figures of other images; write elsewhere")
    table |= {
        "names": [samples.names[i] for i in every],
        "groups": [samples.groups[i] for i in every],
        "kinds": [kind_of(samples.categories[i]) for i in every],
        "open": [samples.is_open[i] for i in every],
    }
    images = [reduced(samples[i]) for i in every]
    with ExitStack() as stack:
        shared: Any = map
        if processes > 1:
            shared = stack.enter_context(ProcessPoolExecutor(processes, get_context("spawn"), _one_thread)).map
        for method_name in methods:
            _run_method(shared, table, method_name, images, most, jittered)
            # Preserves the results that other runs wrote meanwhile.
            whole, name = recorded(out), called(method_name)
            before = whole.get(split, {"methods": {}})["methods"]
            write_json(out, {**whole, split: {**table, "methods": {**before, name: table["methods"][name]}}})


def _one_thread() -> None:
    """Limits each of several processes to one core."""
    pyharmony.set_num_threads(1)
    cv2 = importlib.import_module("cv2") if importlib.util.find_spec("cv2") else None
    if cv2 is not None:
        cv2.setNumThreads(1)


def _run_method(
    shared: Any, table: dict[str, Any], method_name: str, images: Sequence[Any], most: int, jittered: int
) -> None:
    """Measures a method on images [(image, region)] by a form of `map`, into the table, and prints its results."""
    start, name = time.monotonic(), called(method_name)
    table["methods"][name] = {"most": most}
    for part, clicks, seed in (
        ("exact", most, None),
        *((f"jittered {i}", max(REPORTED_CLICKS), i) for i in range(jittered)),
    ):
        measure = partial(_measured, name=method_name, most=clicks, seed=seed)
        table["methods"][name][part] = list(shared(measure, images))
    print(f"{name}: {time.monotonic() - start:.0f} s")
    for line in told(table, name):
        print(f"  {line}", flush=True)


def _measured(example: tuple[Any, Bools], name: str, most: int, seed: int | None) -> dict[str, Any]:
    """Measures a method, by its name or files, on one image and region."""
    return measured(*example, method_of(name), most, seed)


def recorded(out: Path) -> dict[str, Any]:
    """Returns the contents of a file of results; nothing if there is none."""
    report: dict[str, Any] = json.loads(out.read_text()) if out.is_file() else {}
    return report


def parts_of(table: dict[str, Any]) -> dict[str, Bools]:
    """Returns which objects belong to each reported part."""
    opens, kinds = np.array(table["open"]), np.array(table["kinds"])
    return {"all": opens | True, "open": opens, **{kind: kinds == kind for kind in KINDS}}


def figures(report: dict[str, Any]) -> dict[str, list[float]]:
    """Returns the metrics of a method, each with one value per object, without those that were not measured."""
    rows = report["exact"]
    jittered = [its for key, its in report.items() if key.startswith("jittered")]
    least, farthest = (pick(len(row["iou"]) for row in rows) for pick in (min, max))
    columns: dict[str, list[float]] = {}
    for k in REPORTED_CLICKS:
        if least >= k:
            columns[f"{k} click{'s' * (k > 1)}"] = [row["iou"][k - 1] for row in rows]
    for key in ("best", "box"):
        if all(row.get(key) is not None for row in rows):
            columns[key] = [row[key] for row in rows]
    for k in REPORTED_CLICKS:
        if jittered and min(len(row["iou"]) for its in jittered for row in its) >= k:
            values = [[row["iou"][k - 1] for row in its] for its in jittered]
            columns[f"{k} click{'s' * (k > 1)}, jittered"] = np.mean(values, 0).tolist()
    # Clicks are counted if as many were made as the count allows.
    for enough in TARGET_IOUS if report.get("most", farthest) >= MAX_CLICKS else ():
        columns[f"NoC@{100 * enough:.0f}"] = [
            next((i + 1 for i, x in enumerate(row["iou"]) if x >= enough), MAX_CLICKS) for row in rows
        ]
    return columns


def interval(values: Sequence[float], groups: Sequence[Any], subset: Any = None, sign: str = "") -> str:
    """Returns a mean with its interval, over the chosen objects."""
    if subset is not None:
        values, groups = ([x for x, one in zip(xs, subset, strict=True) if one] for xs in (values, groups))
    if not len(values):
        return NOT_MEASURED
    x = bootstrap(values, groups)
    return f"{x.mean:{sign}.2f} [{x.low:{sign}.2f}, {x.high:{sign}.2f}]"


def told(table: dict[str, Any], method: str) -> list[str]:
    """Returns the metrics of a method, a line for each kind of object."""
    report, groups, lines = table["methods"][method], numbered(table["groups"]), []
    every = figures(report)
    for name, subset in parts_of(table).items():
        if subset.any():
            cells = [f"{key} {interval(values, groups, subset)}" for key, values in every.items()]
            lines.append(f"{name:8s} {np.count_nonzero(subset):4d}  " + "  ".join(cells))
    for other, its in table["methods"].items():
        if other != method:
            gains = np.subtract(every["1 click"], figures(its)["1 click"]).tolist()
            lines.append(f"one click, beside {other}: {interval(gains, groups, None, '+')}")
    times = [row["ms"][0] for row in report["exact"] if row["ms"]]
    later = [x for row in report["exact"] for x in row["ms"][1:]] or [0.0]
    return [*lines, f"first click {np.median(times):.0f} ms, next {np.median(later):.0f} ms"]


def corrections(
    root: Path,
    splits: Sequence[str],
    method: str,
    most: int,
    limit: int,
    out: Path,
    folders: Sequence[str] = OPEN_FOLDERS,
) -> None:
    """Measures by how much each click of a simulated user raises the IoU, on objects of the open sets.

    Clicks are at the deepest point of the larger error, and with jitter. The objects are shuffled by a seed, so that
    fewer of them are a random sample.
    """
    for split in splits:
        every = open_objects(root, split, folders)
        order = np.random.default_rng(0).permutation(len(every))
        table: dict[str, Any] = {"groups": [], "kinds": [], "exact": [], "jittered": []}
        for index in order:
            one = shown(every[index])
            if one[1].mean() < MIN_MASK_SHARE:
                continue
            if limit and len(table["groups"]) == limit:
                break
            table["groups"].append(every[index].group)
            table["kinds"].append(every[index].kind)
            for part, seed in (("exact", None), ("jittered", int(index))):
                table[part].append(measured(*one, method_of(method), most, seed)["iou"][:most])
        whole = recorded(out)
        name = split if folders == OPEN_FOLDERS else f"{split} of {', '.join(folders)}"
        whole.setdefault("corrections", {}).setdefault(name, {})[called(method)] = table
        write_json(out, whole)
        print(rows_of(_correction_lines({name: whole["corrections"][name]})))
        print(rows_of(_kind_lines(table)), flush=True)


def shown(one: Object) -> tuple[npt.NDArray[np.uint8], Bools]:
    """Returns image and region of an object at the size of the benchmark."""
    image, mask = Image.open(one.image).convert("RGB"), Image.open(one.mask).convert("L")
    return reduced({"image": np.array(image), "mask": np.array(mask.resize(image.size))})


def thin_parts(region: Bools, mask: Bools) -> list[tuple[Bools, bool]]:
    """Returns the thin parts of an object that a mask lacks (True), and the gaps that it covers (False)."""

    def apart(places: Bools) -> npt.NDArray[np.float32]:
        return distance_inside(~places)

    side = float(np.count_nonzero(region)) ** 0.5
    gaps = depth(apart(region) <= GAP_RADIUS * side) > GAP_RADIUS * side
    parts: list[tuple[Bools, bool]] = []
    for places, away, on in (
        (region & ~mask & (apart(depth(region) > THIN_RADIUS * side) > THIN_RADIUS * side), apart(mask), True),
        (gaps & ~region & mask, depth(mask), False),
    ):
        numbers = connected_parts(places)
        pieces = [numbers == number for number in range(1, int(numbers.max()) + 1)]
        distinct = [one for one in pieces if one.sum() >= THIN_AREA and away[one].max() >= THIN_DISTANCE]
        parts += [(one, on) for one in sorted(distinct, key=np.count_nonzero, reverse=True)[:THIN_PARTS]]
    return parts


def thin(root: Path, split: str, method: str, limit: int) -> None:
    """Measures one click at the deepest place of each missing thin part, and of each covered gap.

    The mask before is the best of the first ones, corrected by usual clicks.
    """
    rows: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    every = open_objects(root, split)
    for index in np.random.default_rng(0).permutation(len(every))[: limit or None]:
        image, region = shown(every[index])
        first = click(region, np.zeros_like(region), None)
        if region.mean() < MIN_MASK_SHARE or first is None:
            continue
        session = segmentation.Session(image, method=method_of(method))
        masks = session.click(*first[:2])
        likeness = [iou(masks[i] >= 128, region) for i in range(len(masks))]
        if not likeness:
            continue
        mask = session.choose(int(np.argmax(likeness))).mask >= 128
        for _ in range(THIN_CLICKS):
            where = click(region, mask, None)
            if where is not None and iou(mask, region) < MIN_EDGE_IOU:
                mask = session.click(*where[:2], add=where[2]).mask >= 128
        if iou(mask, region) < THIN_MIN_IOU:
            continue
        for part, on in thin_parts(region, mask):
            y, x = divmod(int(depth(part).argmax()), part.shape[1])
            after = session.click(x, y, add=on).mask >= 128
            session.undo()
            rows[on].append((float((after[part] == on).mean()), iou(after, region) - iou(mask, region)))
    for on, values in rows.items():
        right, gain = np.array(values).reshape(-1, 2).T
        print(
            f"{len(values)} {'thin parts' if on else 'gaps'}: {right.mean():.2f} of them right, IoU {gain.mean():+.4f};"
            f" {np.count_nonzero(gain < -0.01)} lose more than 0.01, {np.count_nonzero(gain < -0.05)} more than 0.05"
        )


def people(root: Path, split: str, out: Path, weights: str, folders: Sequence[str] = PHOTOS) -> None:
    """Measures the recall of people with masks, and the IoU; others in the image are not counted."""
    samples = Photographs(root, folders, (split,))
    method = method_of(weights)
    rows: dict[str, list[Any]] = {"groups": [], "mask": [], "box": [], "found": []}
    for i, category in enumerate(samples.categories):
        if kind_of(category) == "people":
            image, region = reduced(samples[i])
            masks = segmentation.segment(image, all_people=True, method=method)
            rows["groups"].append(samples.groups[i])
            rows["mask"].append(max((iou(masks[k] >= 128, region) for k in range(len(masks))), default=0.0))
            own = box_of(region)
            rows["box"].append(max((box_iou(own, box) for box in masks.boxes), default=0.0))
            rows["found"].append(len(masks))
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
    """Measures the times of clicks and of a cut-out by one, and the memory of a process, on 1 and 12 megapixels."""
    whole: dict[str, Any] = json.loads(out.read_text()) if out.is_file() else {}
    for number in range(ROUNDS):
        for name in methods:
            method = called(name)
            for height, width in ((866, 1155), (3000, 4000)):
                command = [sys.executable, "-c", _TIMED.format(method=_made(name), height=height, width=width)]
                process = subprocess.run(command, capture_output=True, text=True, check=True, env=MEASURED)
                report = json.loads(process.stdout)
                size, times = f"{round(height * width / 1e6)}", whole.setdefault("speed", {}).setdefault(method, {})
                print(method, size, report, flush=True)
                if number:
                    # The minimum of times, least affected by other processes, and the maximum of memory.
                    report = {
                        key: (max if key == "megabytes" else min)(report[key], times[size][key]) for key in report
                    }
                times[size] = report
    write_json(out, whole)


_TIMED = """
import json, time
from records import process_memory
from pyharmony import segmentation
from pyharmony.cli._pictures import photograph
picture = photograph("astronaut", {height}, {width})
base = process_memory("VmHWM")
session = segmentation.Session(picture, method={method})
ms = []
for x, y, add in ((0.5, 0.5, True), (0.45, 0.6, True), (0.1, 0.1, False), (0.5, 0.4, True)):
    start = time.perf_counter()
    session.click(x * {width}, y * {height}, add=add).mask
    ms.append(round(1000 * (time.perf_counter() - start), 1))
start = time.perf_counter()
segmentation.cutout(picture, segmentation.Session(picture, method={method}).click({width} / 2, {height} / 2))
cutout = round(1000 * (time.perf_counter() - start), 1)
peak = round(process_memory("VmHWM") / 2**20)
told = dict(first=ms[0], next=sorted(ms[1:])[1], cutout=cutout, megabytes=peak, before=round(base / 2**20))
print(json.dumps(told))
"""


def matting(root: Path, out: Path, method: str, limit: int) -> None:
    """Measures the edges of masks on photographs with true alpha at their own size, from three kinds of masks.

    The first is the object's own, coarse, of 256 x 256 pixels around it; the others are predicted from a click at the
    deepest point of the object, and from a box.
    """
    segmenter = method_of(method)
    table: dict[str, Any] = {"method": called(method), "groups": [], "kinds": [], "seen": [], "starts": {}}
    for folder in PHOTOS:
        if not (root / folder).is_dir():
            continue
        photos = data.Manifest(root / folder, roles=("image", "mask"))
        soft = [i for i, entry in enumerate(photos.entries)
                if str(entry["mask"].get("mask_quality", "")).startswith("soft alpha")]  # fmt: skip
        for i in soft[: limit or None]:
            entry, sample = photos.entries[i]["image"], photos[i]
            table["groups"].append(photograph(photos, i))
            table["kinds"].append(kind_of(entry.get("object") or entry.get("category", "")))
            table["seen"].append(entry.get("split", "train") == "train")
            for start, layer in _starts(sample, segmenter).items():
                its = table["starts"].setdefault(start, {"iou": [], "errors": {}})
                errors, like = _edge_errors(sample, layer)
                # With a magnified pass the same photographs are evaluated as without.
                its["iou"].append(table["starts"][ONE_CLICK]["iou"][-1] if start == CLOSER_LOOK else like)
                for name, one in errors.items():
                    its["errors"].setdefault(name, []).append(one)
            print(photos.names[i], flush=True)
    whole: dict[str, Any] = json.loads(out.read_text()) if out.is_file() else {}
    whole["matting"] = table
    write_json(out, whole)
    print(rows_of(_matting_lines(table)))


def _starts(sample: dict[str, Any], method: Any) -> dict[str, Layer]:
    """Returns the masks from which edges are made."""
    mask = sample["mask"]
    region = mask >= 128
    height, width = mask.shape
    x, y, across, down = box_of(region)
    box = (
        max(0, int(x - 0.25 * across)), max(0, int(y - 0.25 * down)),
        min(width, int(x + 1.25 * across) + 1), min(height, int(y + 1.25 * down) + 1),
    )  # fmt: skip
    part = np.where(region, np.uint8(255), np.uint8(0))[box[1] : box[3], box[0] : box[2]]
    values = np.asarray(Image.fromarray(part).resize((256, 256), Image.Resampling.BOX), np.float32) / 255
    session = segmentation.Session(sample["image"], method=method)
    at = click(region, np.zeros_like(region), None)
    assert at is not None  # the object is not empty
    # A session stores its masks without their edges.
    masks = session.click(at[0], at[1])
    clicked = layers_of(masks)
    boxed = layers_of(session.segment(box=rough_box(region)))
    nothing = Layer((0, 0, width, height), np.zeros((2, 2), np.float32), 0.0)
    return {
        "its own mask, 256 x 256": Layer(box, values, 1.0),
        ONE_CLICK: clicked[0] if clicked else nothing,
        CLOSER_LOOK: refined_layer(masks) if clicked else nothing,
        "a box": boxed[0] if boxed else nothing,
    }


def closer(root: Path, split: str, method: str, limit: int) -> None:
    """Prints the IoU of first masks after one click at full size, and the gain of a magnified pass at the contour."""
    segmenter, every = method_of(method), open_objects(root, split)
    groups, people, before, after = [], [], [], []
    seconds = 0.0
    for index in np.random.default_rng(0).permutation(len(every))[: limit or None]:
        one = every[index]
        image, mask = Image.open(one.image).convert("RGB"), Image.open(one.mask).convert("L")
        region = np.array(mask.resize(image.size)) >= 128
        if region.mean() < MIN_MASK_SHARE:
            continue
        session = segmentation.Session(np.array(image), method=segmenter)
        at = click(region, np.zeros_like(region), None)
        assert at is not None  # the object is not empty
        masks = session.click(at[0], at[1])
        if not len(masks):
            continue
        start = time.process_time()
        layers = layers_of(masks)[0], refined_layer(masks)
        seconds += time.process_time() - start
        box = 0, 0, image.width, image.height
        likeness = [iou(sampled(layer, box, image.size) > 0.5, region) for layer in layers]
        groups.append(one.group)
        people.append(session.shows_people(region))
        before.append(likeness[0])
        after.append(likeness[1])
    gains, first, numbers = np.array(after) - before, np.array(before), numbered(groups)
    lines = [[f"{split}, one click", "objects", "IoU", "with a closer look", "by", "lost 0.02", "gained 0.02"]]
    for name, part in (
        ("all", first >= 0),
        ("people", np.array(people)),
        (f"IoU >= {MIN_EDGE_IOU}", first >= MIN_EDGE_IOU),
    ):
        x = bootstrap(gains[part].tolist(), [g for g, one in zip(numbers, part, strict=True) if one])
        shares = [f"{100 * np.mean(selection):.0f} %" for selection in (gains[part] < -0.02, gains[part] > 0.02)]
        means = [f"{values[part].mean():.4f}" for values in (first, first + gains)]
        lines.append(
            [name, str(np.count_nonzero(part)), *means, f"{x.mean:+.4f} [{x.low:+.4f}, {x.high:+.4f}]", *shares]
        )
    print(rows_of(lines))
    print(f"{seconds / len(gains):.2f} s of a core for an object, the worst loses {-gains.min():.3f}")


def _edge_errors(sample: dict[str, Any], layer: Layer) -> tuple[dict[str, list[float]], float]:
    """Returns for each edge method the mean absolute errors of alpha and of its gradient, near the edge.

    The second result is the IoU of the initial mask with the object.
    """
    image, mask = sample["image"], sample["mask"]
    height, width = mask.shape
    alpha = mask.astype(np.float32) / 255
    large = sampled(layer, (0, 0, width, height), (width, height))
    hard = (large > 0.5).astype(np.float32)
    masks = {
        "hard mask": hard,
        "feathered by 2 px": _blurred(hard, 2.0),
        "guided filter": at_full_size(image, layer).astype(np.float32) / 255,
        "matting": soft_alpha(image, layer).astype(np.float32) / 255,
    }
    like = iou(hard > 0.5, mask >= 128)
    if importlib.util.find_spec("pymatting") is not None:
        side = max(
            (layer.box[2] - layer.box[0]) / layer.values.shape[1], (layer.box[3] - layer.box[1]) / layer.values.shape[0]
        )
        for band in TRIMAP_MARGINS:
            masks[f"closed form, {band}"] = _closed_form(image, large, band * side) if like >= MIN_EDGE_IOU else hard
    soft = (alpha > 0.02) & (alpha < 0.98)
    near = distance_inside(np.pad(~soft, 1, constant_values=True))[1:-1, 1:-1] <= 8
    errors = {}
    for name, one in masks.items():
        slopes = [np.stack(np.gradient(_blurred(x, 1.4))) for x in (one, alpha)]
        gradient = np.abs(np.hypot(*slopes[0]) - np.hypot(*slopes[1]))
        errors[name] = [float(np.abs(one - alpha)[near].mean()), float(gradient[near].mean())]
    return errors, round(like, 4)


def _blurred(x: Any, sigma: float) -> Any:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(x, sigma)


def trimap_of(large: npt.NDArray[np.float32], reach: float) -> npt.NDArray[np.float64]:
    """Returns 1 inside, 0 outside, and 0.5 where a mask is uncertain, with a margin around that."""
    unsure = (large > 1 - CERTAIN_VALUE) & (large < CERTAIN_VALUE)
    for axis in (0, 1):
        # Where it changes from one to the other at once, both sides are uncertain.
        jump = np.diff(large > 0.5, axis=axis)
        unsure |= np.insert(jump, 0, False, axis) | np.insert(jump, jump.shape[axis], False, axis)
    near = distance_inside(np.pad(~unsure, 1, constant_values=True))[1:-1, 1:-1] <= reach
    trimap = np.where(near, 0.5, np.where(large > 0.5, 1.0, 0.0))
    for value, region in ((1.0, large > 0.5), (0.0, large <= 0.5)):
        if not (trimap == value).any():
            # Parts thinner than the band are known in their middle.
            deep = depth(region)
            trimap[deep >= 0.9 * deep.max()] = value
    return trimap


def _closed_form(image: Any, large: npt.NDArray[np.float32], reach: float) -> Any:
    """Returns alpha by Levin et al., "A Closed-Form Solution to Natural Image Matting", PAMI 2008, by pymatting."""
    import pymatting

    return pymatting.estimate_alpha_cf(image.astype(np.float64) / 255, trimap_of(large, reach)).astype(np.float32)


def colours(root: Path, split: str, limit: int) -> None:
    """Measures the remains of the old background in soft edges, on composites with a known object.

    Their alphas are those of photographs, and for each photograph also one of single hairs, which is drawn. The object
    is the largest opaque square of the photograph, repeated by mirroring, on plain colours and on photographs. The
    error of a composite is the mean of alpha times the absolute error of the object's colour over all pixels with alpha
    between 0 and 1: that of another composite with this object, for any background.
    """
    folders = [root / folder for folder in PHOTOS if (root / folder).is_dir()]
    backgrounds = _backgrounds(folders, split)
    rows: dict[str, list[float]] = {}
    groups, is_drawn, white = [], [], []
    for folder in folders:
        photos = data.Manifest(folder, split, ("image", "mask"))
        soft = [i for i, entry in enumerate(photos.entries)
                if str(entry["mask"].get("mask_quality", "")).startswith("soft alpha")]  # fmt: skip
        for i in soft[: limit or None]:
            image, mask = photos[i]["image"], photos[i]["mask"]
            its = mirrored(image, mask == 255)
            for alpha, (name, picture) in itertools.product((mask, hairs(mask.shape, i)), backgrounds.items()):
                behind = np.asarray(Image.fromarray(picture).resize(alpha.shape[::-1], Image.Resampling.BICUBIC))
                share = alpha[..., None] / 255
                photo = np.rint(share * its + (1 - share) * behind).astype(np.uint8)
                groups.append(photograph(photos, i))
                is_drawn.append(alpha is not mask)
                white.append(name == "white")
                for method, estimate in _cleaned(photo, alpha).items():
                    rows.setdefault(method, []).append(seen_error(estimate, its, alpha))
            print(photos.names[i], flush=True)
    parts = {
        "photographs' alphas": ~np.array(is_drawn),
        "single hairs": np.array(is_drawn),
        "both, on white": np.array(white),
    }  # fmt: skip
    lines = [["colours of soft edges, levels of 255 off", *(f"{name}: {part.sum()}" for name, part in parts.items())]]
    for method, errors in rows.items():
        cells = [
            _levels(np.array(errors)[part], numbered([g for g, one in zip(groups, part, strict=True) if one]))
            for part in parts.values()
        ]
        lines.append([method, *cells])
    print(rows_of(lines))


def _backgrounds(folders: Sequence[Path], split: str) -> dict[str, npt.NDArray[np.uint8]]:
    """Returns plain images, and photographs of a split without an object, evenly chosen."""
    images = {name: np.full((2, 2, 3), colour, np.uint8) for name, colour in PLAIN_BACKGROUNDS.items()}
    for folder in folders:
        every = data.Manifest(folder, split)
        free = [i for i, roles in enumerate(every.entries) if "mask" not in roles]
        for i in free[:: max(1, -(-len(free) // PHOTO_BACKGROUNDS))]:
            images[every.names[i]] = every[i]["image"]
    return images


def hairs(shape: tuple[int, int], seed: int) -> npt.NDArray[np.uint8]:
    """Returns an alpha [h, w] of a disc with single hairs, of a third of a pixel to two pixels."""
    random = np.random.default_rng((11, seed))
    fine, radius = 4, min(shape) // 4
    drawing = Image.new("L", (shape[1] * fine, shape[0] * fine))
    pen = ImageDraw.Draw(drawing)
    pen.circle((drawing.width / 2, drawing.height / 2), radius * fine, fill=255)
    for turn in random.uniform(0, 2 * np.pi, 300):
        at = drawing.width / 2 + radius * fine * np.cos(turn), drawing.height / 2 + radius * fine * np.sin(turn)
        turn, bend, wide = turn + random.normal(0, 0.25), random.normal(0, 0.02), int(random.integers(1, 9))
        for _ in range(int(random.integers(5, 2 + radius // 4))):
            end = at[0] + 8 * np.cos(turn), at[1] + 8 * np.sin(turn)
            pen.line([at, end], fill=255, width=wide)
            at, turn = end, turn + bend
    return np.asarray(drawing.resize(shape[::-1], Image.Resampling.BOX))


def mirrored(image: npt.NDArray[np.uint8], region: Bools) -> npt.NDArray[np.uint8]:
    """Returns an image [H, W, 3] that continues the largest square of a region by mirroring."""
    sums = np.pad(region.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))

    def corners(side: int) -> npt.NDArray[np.intp]:
        inside = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
        return np.argwhere(inside == side * side)

    low, high = 1, min(region.shape)
    while low < high:
        side = (low + high + 1) // 2
        low, high = (side, high) if len(corners(side)) else (low, side - 1)
    y, x = corners(low)[0]
    rows, columns = (np.abs((np.arange(size) + low) % (2 * low) - low + 0.5).astype(int) for size in region.shape)
    return image[y + rows[:, None], x + columns]


def _cleaned(image: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8]) -> dict[str, Any]:
    """Returns the object's colours [H, W, 3] by each method."""
    estimates: dict[str, Any] = {
        "as they are": image,
        "`cutout`": segmentation.cutout(image, alpha)[..., :3],
        "a blend, which does not know the background": decontaminated(image, alpha, (0, 0)),
    }
    if importlib.util.find_spec("pymatting") is not None:
        import pymatting

        for options in SETTINGS:
            name = ", ".join(f"{key}={value}" for key, value in options.items())
            estimate = pymatting.estimate_foreground_ml(image / 255, alpha / 255, **options)
            estimates[f"pymatting, multilevel{', ' if name else ''}{name}"] = 255 * estimate
    return estimates


def seen_error(estimate: Any, its: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8]) -> float:
    """Returns the mean of alpha times the error of an object's colours where alpha is between 0 and 1, of 255."""
    soft = (alpha > 0) & (alpha < 255)
    off = np.abs(estimate[soft].astype(np.float64) - its[soft]).mean(-1)
    return float((off * (alpha[soft] / 255)).mean())


def report(results: Path, page: Path) -> None:
    """Writes the tables into a page."""
    whole = json.loads(results.read_text())
    tables = _tables_of_clicks(whole["test"])
    if "val" in whole:
        tables.append(_chosen_lines(whole["val"]))
    if "corrections" in whole:
        tables.append(_correction_lines(whole["corrections"]))
    if "people" in whole:
        tables.append(_people_lines(whole["people"]["test"]))
    if "matting" in whole:
        tables.append(_matting_lines(whole["matting"]))
    if whole.get("speed"):
        tables.append(_speed_lines(whole["speed"]))
    text = "\n\n".join(rows_of(rows) for rows in tables)
    before, _, rest = page.read_text().partition(START_MARK)
    _, _, after_end = rest.partition(END_MARK)
    page.write_text(f"{before}{START_MARK}\n{text}\n{END_MARK}{after_end}")


def _tables_of_clicks(table: dict[str, Any]) -> list[list[list[str]]]:
    """Returns the tables of all methods: after clicks and with a box, by kind of object, and paired."""
    groups, parts = numbered(table["groups"]), parts_of(table)
    every = {name: figures(report) for name, report in table["methods"].items()}
    keys = [key for key in _ordered(every) if "jittered" not in key]
    tables = [[["IoU, clicks needed", *(_TITLES.get(key, key) for key in keys)], *_lines_of(every, keys, groups)]]
    lines = [["IoU after 1 and 5 clicks", *(f"{name}, {np.count_nonzero(subset)}" for name, subset in parts.items())]]
    for name, report in every.items():
        both = [np.array(report[key]) for key in ("1 click", "5 clicks") if key in report]
        lines.append([f"`{name}`", *(", ".join(f"{x[subset].mean():.2f}" for x in both) for subset in parts.values())])
    tables.append(lines)
    own = DEFAULT if DEFAULT in every else next(iter(every))
    if COMPARED_METHOD in every and own != COMPARED_METHOD:
        lines = [[f"IoU of `{own}` beside `{COMPARED_METHOD}`", *(_TITLES.get(key, key) for key in COMPARED_METRICS)]]
        gains_of = gains_beside(every, own)
        for part, subset in parts.items():
            cells = [
                interval(gains_of[key], groups, subset, "+") if key in gains_of else NOT_MEASURED
                for key in COMPARED_METRICS
            ]
            lines.append([part, *cells])
        tables.append(lines)
    return tables


def gains_beside(every: dict[str, dict[str, list[float]]], own: str) -> dict[str, list[float]]:
    """Returns the difference of a method's IoU to that of `COMPARED_METHOD`, for each metric that both have."""
    both = [key for key in COMPARED_METRICS if key in every[own] and key in every[COMPARED_METHOD]]
    return {key: np.subtract(every[own][key], every[COMPARED_METHOD][key]).tolist() for key in both}


_TITLES = {"best": "1 click, best of its masks", "box": "a box"}


def _ordered(every: dict[str, dict[str, list[float]]]) -> list[str]:
    """Returns the names of all metrics that any method has, in the order of the method with most."""
    return list(dict.fromkeys(key for row in sorted(every.values(), key=len, reverse=True) for key in row))


def _lines_of(every: dict[str, dict[str, list[float]]], keys: Sequence[str], groups: Sequence[int]) -> list[list[str]]:
    return [
        [f"`{name}`", *(interval(row[key], groups) if key in row else NOT_MEASURED for key in keys)]
        for name, row in every.items()
    ]


def _chosen_lines(table: dict[str, Any]) -> list[list[str]]:
    """Returns the table of the objects used to select weights and the default, and the gain there."""
    groups = numbered(table["groups"])
    every = {name: figures(row) for name, row in table["methods"].items()}
    keys = [key for key in COMPARED_METRICS if any(key in one for one in every.values())]
    lines = [
        [f"val, {len(groups)} objects: IoU", *(_TITLES.get(key, key) for key in keys)],
        *_lines_of(every, keys, groups),
    ]
    for name, row in every.items():
        if DEFAULT in every and name != DEFAULT:
            cells = []
            for key in keys:
                both = key in row and key in every[DEFAULT]
                gains = np.subtract(every[DEFAULT][key], row[key]).tolist() if both else []
                cells.append(interval(gains, groups, None, "+") if both else NOT_MEASURED)
            lines.append([f"`{DEFAULT}` beside `{name}`", *cells])
    return lines


def _correction_lines(table: dict[str, Any]) -> list[list[str]]:
    """Returns the table of correcting clicks: the IoU after each, and the share of them that lower it."""
    most = max(len(values) for report in table.values() for its in report.values() for values in its["exact"])
    lines = [
        ["correcting clicks", *(f"{k + 1} click{'s' * (k > 0)}, IoU" for k in range(most)), "corrections"]
        + [f"worse by {loss:.2f}" for loss in IOU_LOSSES]
        + [f"IoU > {MENDED_IOU} after {MENDING_CLICKS} clicks, of those < {POOR_IOU} after one"]
    ]
    for split, report in table.items():
        for name, its in report.items():
            for part in ("exact", "jittered"):
                values = np.array(its[part])
                gains = np.diff(values, axis=1).ravel()
                poor = values[values[:, 0] < POOR_IOU]
                mended = poor[:, min(MENDING_CLICKS, values.shape[1]) - 1] > MENDED_IOU
                lines.append(
                    [f"`{name}`, {split}, {len(values)} objects{', jittered' * (part == 'jittered')}"]
                    + [f"{x:.3f}" for x in values.mean(0)]
                    + [NOT_MEASURED] * (most - values.shape[1])
                    + [str(gains.size), *(f"{100 * np.mean(gains < -loss):.1f} %" for loss in IOU_LOSSES)]
                    + [f"{np.count_nonzero(mended)} of {len(poor)}"]
                )
    return lines


def _kind_lines(table: dict[str, Any]) -> list[list[str]]:
    """Returns the table of the IoU after each click, by the kinds of objects."""
    kinds, values = np.array(table["kinds"]), np.array(table["exact"])
    lines = [["kind", "objects", *(f"{k + 1} click{'s' * (k > 0)}" for k in range(values.shape[1]))]]
    for kind in sorted(set(table["kinds"])):
        its = values[kinds == kind]
        lines.append([kind, str(len(its)), *(f"{x:.3f}" for x in its.mean(0))])
    return lines


def _people_lines(rows: dict[str, Any]) -> list[list[str]]:
    recalls = [
        bootstrap((np.array(rows[name]) >= 0.5).astype(float), numbered(rows["groups"])) for name in ("mask", "box")
    ]
    cells = [f"{100 * x.mean:.0f} % [{100 * x.low:.0f}, {100 * x.high:.0f}]" for x in recalls]
    return [
        ["people who are masked", "found, mask of IoU ≥ 0.5", "found, box of IoU ≥ 0.5", "found in a picture"],
        [str(len(rows["mask"])), *cells, f"{np.mean(rows['found']):.1f}"],
    ]


def _matting_lines(table: dict[str, Any]) -> list[list[str]]:
    """Returns the table of edges: errors of 255, and the reduction by those of a cut-out, on the same photographs.

    For closed form matting the trimap with the smallest errors of alpha counts. Photographs not used in training or
    selection are reported separately as well. In a record without matting a cut-out has the guided filter's edge.
    """
    if "starts" not in table:
        # A record of one start, whose photographs are one object each.
        count = len(next(iter(table.values())))
        table = {"groups": list(range(count)), "starts": {"its own mask": {"iou": [1.0] * count, "errors": table}}}
    ours = "matting" if all("matting" in report["errors"] for report in table["starts"].values()) else "guided filter"
    lines = [["edge, errors of 255", "alpha", "its gradient", f"alpha, {ours} less by"]]
    unseen = ~np.array(table.get("seen", [True] * len(table["groups"])), bool)
    for start, report, subset, suffix in [
        (start, report, subset, suffix)
        for subset, suffix in ((unseen | True, ""), (unseen, ", those of test and val"))
        for start, report in table["starts"].items()
    ]:
        good = (np.array(report["iou"]) >= MIN_EDGE_IOU) & subset
        if not good.any():
            continue
        groups = numbered([g for g, one in zip(table["groups"], good, strict=True) if one])
        errors = {name: 255 * np.array(values)[good] for name, values in report["errors"].items()}
        closed_form = [name for name in errors if name.startswith("closed form")]
        best = min(closed_form, key=lambda name: float(errors[name][:, 0].mean()), default=None)
        count = f"{np.count_nonzero(good)} of {np.count_nonzero(subset)} photographs"
        lines.append([f"**from {start}: {count}{suffix}**", *[""] * 3])
        for name, values in errors.items():
            if name in closed_form and name != best:
                continue
            gain = NOT_MEASURED if name == ours else _levels(values[:, 0] - errors[ours][:, 0], groups, "+")
            lines.append([name, f"{values[:, 0].mean():.1f}", f"{values[:, 1].mean():.1f}", gain])
    return lines


def _levels(values: npt.NDArray[np.float64], groups: Sequence[Any], sign: str = "") -> str:
    x = bootstrap(values.tolist(), groups)
    return f"{x.mean:{sign}.1f} [{x.low:{sign}.1f}, {x.high:{sign}.1f}]"


def _speed_lines(times: dict[str, Any]) -> list[list[str]]:
    sizes = ("1", "12")
    lines = [[f"time in ms, two cores, best of {ROUNDS}", *(f"{size} MP: first, next click" for size in sizes),
              *(f"{size} MP: a click and a cut-out" for size in sizes), "memory at 12 MP"]]  # fmt: skip
    for name, row in times.items():
        cells = [f"{row[size]['first']:.0f}, {row[size]['next']:.0f}" for size in sizes]
        cells += [f"{row[size]['cutout']:.0f}" if "cutout" in row[size] else NOT_MEASURED for size in sizes]
        lines.append([f"`{name}`", *cells, f"{row['12']['megabytes']} MB"])
    return lines


def main() -> None:
    parser, commands = commands_of(__doc__)
    running = commands.add_parser("run")
    running.add_argument("data", type=Path)
    running.add_argument("--split", default="test")
    running.add_argument("--method", action="append", help="a name or files, several times; none: all that can run")
    running.add_argument("--clicks", type=int, default=MAX_CLICKS)
    running.add_argument("--jittered", type=int, default=JITTER_RUNS)
    running.add_argument("--limit", type=int, default=0, help="so many images, evenly chosen; 0: all")
    running.add_argument("--processes", type=int, default=1, help="how many objects are measured at once")
    running.add_argument("--out", type=Path, default=RESULTS)
    timing = commands.add_parser("speed")
    timing.add_argument("--method", action="append")
    timing.add_argument("--out", type=Path, default=RESULTS)
    correcting = commands.add_parser("corrections")
    correcting.add_argument("data", type=Path)
    correcting.add_argument("--split", action="append", help="several times; none: val and test")
    correcting.add_argument("--method", default=DEFAULT)
    correcting.add_argument("--clicks", type=int, default=max(REPORTED_CLICKS))
    correcting.add_argument("--limit", type=int, default=0, help="so many objects, drawn by a seed; 0: all")
    correcting.add_argument("--out", type=Path, default=RESULTS)
    finding = commands.add_parser("people")
    finding.add_argument("data", type=Path)
    finding.add_argument("--split", default="test")
    finding.add_argument("--method", default="auto")
    finding.add_argument("--out", type=Path, default=RESULTS)
    for command in (running, finding, correcting):
        command.add_argument("--folder", action="append", help="of DATA, several times; none: those of the record")
    edging = commands.add_parser("matting")
    edging.add_argument("data", type=Path)
    edging.add_argument("--method", default="auto")
    edging.add_argument("--limit", type=int, default=0, help="so many photographs of each folder; 0: all")
    edging.add_argument("--out", type=Path, default=RESULTS)
    closing = commands.add_parser("closer")
    closing.add_argument("data", type=Path)
    closing.add_argument("--split", default="val")
    closing.add_argument("--method", default=DEFAULT)
    closing.add_argument("--limit", type=int, default=0, help="so many objects, drawn by a seed; 0: all")
    thinning = commands.add_parser("thin")
    thinning.add_argument("data", type=Path)
    thinning.add_argument("--split", default="val")
    thinning.add_argument("--method", default=DEFAULT)
    thinning.add_argument("--limit", type=int, default=0, help="so many objects, drawn by a seed; 0: all")
    colouring = commands.add_parser("colours")
    colouring.add_argument("data", type=Path)
    colouring.add_argument("--split", default="test")
    colouring.add_argument("--limit", type=int, default=0, help="so many photographs of each folder; 0: all")
    telling = commands.add_parser("report")
    telling.add_argument("--results", type=Path, default=RESULTS)
    telling.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    if options.command == "report":
        report(options.results, options.page)
        return
    if options.command == "corrections":
        splits = options.split or ["val", "test"]
        folders = options.folder or OPEN_FOLDERS
        corrections(options.data, splits, options.method, options.clicks, options.limit, options.out, folders)
        return
    if options.command == "people":
        people(options.data, options.split, options.out, options.method, options.folder or PHOTOS)
        return
    if options.command == "thin":
        thin(options.data, options.split, options.method, options.limit)
        return
    if options.command == "closer":
        closer(options.data, options.split, options.method, options.limit)
        return
    if options.command == "colours":
        colours(options.data, options.split, options.limit)
        return
    if options.command == "matting":
        matting(options.data, options.out, options.method, options.limit)
        return
    methods = options.method or [name for name, method in segmentation.METHODS.items() if not method.missing]
    if options.command == "speed":
        speed(options.out, methods)
        return
    run(
        options.data, options.split, methods, options.clicks, options.jittered, options.out, options.limit,
        options.processes, options.folder or PHOTOS,
    )  # fmt: skip


if __name__ == "__main__":
    main()
