"""Measures enlargement of photographs by factors of two and four, by every method in one run.

    python benchmarks/upscaling.py run DATA                    # the photographs of the test split
    python benchmarks/upscaling.py run DATA --weights FILE --split val --limit 20 --out FILE  # for selection
    python benchmarks/upscaling.py speed                       # time and memory at 1 and 12 megapixels
    python benchmarks/upscaling.py sheet DATA -o FILE.png      # details side by side, for inspection
    python benchmarks/upscaling.py report                      # the tables, into docs/upscaling.md

A photograph is reduced and enlarged again; the result is compared with it, in RGB and over all pixels, rounded to 8
bits. It is reduced in three ways: 'bicubic', with a kernel that is four pixels of the result wide, as in papers;
'area', the mean of the pixels that become one; and 'worn', blurred slightly, by areas, with noise of one level and
saved as JPEG of quality 85. Intervals are of the bootstrap, by photograph.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from photographs import photograph
from PIL import Image
from records import MEASURED, commands_of
from tables import bootstrap, numbered, rows_of, signed, write_json

from pyharmony import upscaling
from pyharmony.learn import data, metrics

RESULTS = Path(__file__).parent / "results" / "upscaling.json"
PAGE = Path(__file__).parent.parent / "docs" / "upscaling.md"
START_MARK, END_MARK = "<!-- upscaling: written by benchmarks/upscaling.py -->", "<!-- end of upscaling -->"
#: The folders of photographs under open licences; the network was trained on other photographs of the first two.
FOLDERS = ("photos_open", "pairs_open", "highres_open")
SCALES, WAYS = (2, 4), ("bicubic", "area", "worn")
#: The method with which gains are compared, and the name of the network in results.
BASELINE, NETWORK = "bicubic", "srgan"
#: The longest side of a photograph; larger ones are cropped to their centre.
MAX_SIDE = 1536
#: Of worn photographs: the blur in pixels of the small image, the noise in levels, the quality of the file.
BLUR, NOISE, QUALITY = 0.4, 1.0, 85
#: The side of a detail on a sheet, and the number of details.
DETAIL, DETAILS = 96, 8

Pixels = npt.NDArray[np.uint8]


def photographs(root: Path, split: str, limit: int) -> list[tuple[str, str, Pixels]]:
    """Returns name, original photograph, and pixels [H, W, 3] of each."""
    items = []
    for folder in FOLDERS:
        if (root / folder).is_dir():
            samples = data.Manifest(root / folder, split, ("image",))
            items += [(samples, i) for i in range(len(samples))]
    selection = items[:: max(1, len(items) // limit) if limit else 1]
    return [(samples.names[i], photograph(samples, i), cut(samples[i]["image"])) for samples, i in selection]


def cut(image: Pixels) -> Pixels:
    """Returns the centre of an image, with sides that all scales divide."""
    height, width = (min(side, MAX_SIDE) // max(SCALES) * max(SCALES) for side in image.shape[:2])
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return np.ascontiguousarray(image[top : top + height, left : left + width])


def reduced(image: Pixels, scale: int, way: str, seed: int = 0) -> Pixels:
    """Returns an image reduced in one of `WAYS`."""
    picture = Image.fromarray(image)
    size = picture.width // scale, picture.height // scale
    if way == "bicubic":
        return np.array(picture.resize(size, Image.Resampling.BICUBIC))
    whole = blurred(image, BLUR * scale) if way == "worn" else image
    small = whole.reshape(size[1], scale, size[0], scale, 3).mean((1, 3), dtype=np.float32)
    if way == "area":
        return np.rint(small).astype(np.uint8)
    small += np.random.default_rng(seed).normal(0, NOISE, small.shape).astype(np.float32)
    buffer = io.BytesIO()
    Image.fromarray(np.rint(small).clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=QUALITY)
    return np.array(Image.open(buffer).convert("RGB"))


def blurred(image: Pixels, deviation: float) -> npt.NDArray[np.float32]:
    """Returns an image blurred by a Gaussian, with replicated borders."""
    reach = max(1, round(3 * deviation))
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * deviation**2))
    weights /= weights.sum()
    result: npt.NDArray[np.float32] = image.astype(np.float32)
    for axis in (0, 1):
        padded = np.pad(result, [(reach, reach) if i == axis else (0, 0) for i in range(3)], mode="edge")
        result = np.zeros_like(result)
        for k, weight in enumerate(weights):
            result += np.float32(weight) * padded.take(range(k, k + image.shape[axis]), axis)
    return result


def methods_of(weights: str | None) -> dict[str, Any]:
    """Returns the methods to measure; weights: those of a file instead of the bundled ones."""
    ours: Any = NETWORK if weights is None else upscaling.trained(weights)
    return {NETWORK: ours, "lanczos": "lanczos", "bicubic": "bicubic"}


def run(root: Path, split: str, weights: str | None, out: Path, limit: int) -> None:
    every, methods = photographs(root, split, limit), methods_of(weights)
    table: dict[str, Any] = {
        "names": [name for name, _, _ in every],
        "groups": [group for _, group, _ in every],
        "rows": {},
    }
    for scale in SCALES:
        for way in WAYS:
            rows: dict[str, list[list[float]]] = {name: [] for name in methods}
            start = time.monotonic()
            for number, (_, _, image) in enumerate(every):
                small = reduced(image, scale, way, number)
                for name, method in methods.items():
                    enlarged_ = upscaling.super_resolve(small, scale, method=method)
                    rows[name].append([round(f(enlarged_, image), 4) for f in (metrics.psnr, metrics.ssim)])
            table["rows"][f"{scale} {way}"] = rows
            print(f"x{scale}, {way}: {time.monotonic() - start:.0f} s")
            for line in told(rows, numbered(table["groups"])):
                print(f"  {line}", flush=True)
    whole: dict[str, Any] = json.loads(out.read_text()) if out.is_file() else {}
    whole[split] = table
    write_json(out, whole)


def told(rows: dict[str, list[list[float]]], groups: Sequence[int]) -> list[str]:
    """Returns the metrics of each method and its gains, a line each."""
    lines = []
    for name, values in rows.items():
        gains = np.array(values) - np.array(rows[BASELINE])
        decibels, similarity = (bootstrap(gains[:, k], groups) for k in (0, 1))
        means = np.mean(values, 0)
        lines.append(
            f"{name:8s} PSNR {means[0]:.2f} dB, SSIM {means[1]:.4f}; beside {BASELINE} {signed(decibels, 2)} dB, "
            f"{signed(similarity, 4)}; better {100 * np.mean(gains[:, 0] > 0):.0f} %"
        )
    return lines


def speed(weights: str | None, out: Path) -> None:
    """Measures the time and the memory of a process for each method, on 1 and 12 megapixels."""
    whole: dict[str, Any] = json.loads(out.read_text()) if out.is_file() else {}
    for name in methods_of(weights):
        for height, width in ((866, 1155), (3000, 4000)):
            method = f"upscaling.trained({weights!r})" if name == NETWORK and weights else repr(name)
            command = [sys.executable, "-c", _TIMED.format(method=method, height=height, width=width)]
            output = subprocess.run(command, capture_output=True, text=True, check=True, env=MEASURED).stdout
            whole.setdefault("speed", {}).setdefault(name, {})[f"{round(height * width / 1e6)}"] = json.loads(output)
            print(name, height * width, output, end="", flush=True)
    write_json(out, whole)


_TIMED = """
import json, time
from records import process_memory
import pyharmony
from pyharmony import upscaling
from pyharmony.cli._pictures import photograph
method = {method}
picture = photograph("astronaut", {height}, {width})
upscaling.super_resolve(picture[:32, :32], 2, method=method)
base = process_memory("VmHWM")
start, spent = time.perf_counter(), time.process_time()
made = upscaling.super_resolve(picture, 2, method=method)
seconds, spent = time.perf_counter() - start, time.process_time() - spent
peak = process_memory("VmHWM")
beside = (peak - base) / 2**20 - made.nbytes / 2**20
print(json.dumps(dict(seconds=round(seconds, 2), cpu=round(spent, 2), threads=pyharmony.get_num_threads(),
                      megabytes=round(beside), result=round(made.nbytes / 2**20))))
"""


def sheet(root: Path, weights: str | None, scale: int, way: str, target: Path) -> None:
    """Writes the details with most contrast of some photographs: each method next to the photograph itself."""
    every = photographs(root, "test", DETAILS)
    strips = []
    for number, (_, _, image) in enumerate(every[:DETAILS]):
        small = reduced(image, scale, way, number)
        top, left = detail(image)
        part = (slice(top, top + DETAIL), slice(left, left + DETAIL))
        results = [
            upscaling.super_resolve(small, scale, method=method)[part] for method in methods_of(weights).values()
        ]
        strips.append(np.concatenate([np.repeat(np.repeat(x, 3, 0), 3, 1) for x in (*results, image[part])], 1))
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(strips)).save(target)
    print(f"wrote {target}: {', '.join(methods_of(weights))}, the photograph")


def detail(image: Pixels) -> tuple[int, int]:
    """Returns the first row and column of the square with the largest differences between neighbours."""
    grey = image.mean(2)
    slopes = np.abs(np.diff(grey, axis=0))[:, :-1] + np.abs(np.diff(grey, axis=1))[:-1]
    sums = np.pad(slopes, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    side = min(DETAIL, *(n - 1 for n in sums.shape))
    inside = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    top, left = divmod(int(inside.argmax()), inside.shape[1])
    return top, left


def report(results: Path, page: Path) -> None:
    """Writes the tables into a page."""
    whole = json.loads(results.read_text())
    table = whole["test"]
    groups = numbered(table["groups"])
    tables = []
    for scale in SCALES:
        head = [f"×{scale}, {len(table['names'])} photographs", "reduced"]
        lines = [[*head, "PSNR, dB", f"beside `{BASELINE}`, dB", "SSIM", "better"]]
        for way in WAYS:
            rows = table["rows"][f"{scale} {way}"]
            for name, values in rows.items():
                gains, means = np.array(values) - np.array(rows[BASELINE]), np.mean(values, 0)
                beside = "" if name == BASELINE else signed(bootstrap(gains[:, 0], groups), 2)
                share = "" if name == BASELINE else f"{100 * np.mean(gains[:, 0] > 0):.0f} %"
                lines.append([f"`{name}`", way, f"{means[0]:.2f}", beside, f"{means[1]:.3f}", share])
        tables.append(lines)
    if times := whole.get("speed"):
        threads = next(iter(times.values()))["12"]["threads"]
        lines = [[f"×2, threads: {threads}", "1 MP", "12 MP", "CPU time at 12 MP", "memory beside the result at 12 MP"]]
        for name, values in times.items():
            one, twelve = values["1"], values["12"]
            cells = [f"{one['seconds']:.1f} s", f"{twelve['seconds']:.1f} s", f"{twelve['cpu']:.0f} s"]
            lines.append([f"`{name}`", *cells, f"{twelve['megabytes']} MB"])
        tables.append(lines)
    text = "\n\n".join(rows_of(rows) for rows in tables)
    before, _, rest = page.read_text().partition(START_MARK)
    _, _, after_end = rest.partition(END_MARK)
    page.write_text(f"{before}{START_MARK}\n{text}\n{END_MARK}{after_end}")


def main() -> None:
    parser, commands = commands_of(__doc__)
    running = commands.add_parser("run")
    running.add_argument("data", type=Path)
    running.add_argument("--split", default="test")
    running.add_argument("--limit", type=int, default=0, help="so many photographs, evenly chosen; 0: all")
    timing = commands.add_parser("speed")
    looking = commands.add_parser("sheet")
    looking.add_argument("data", type=Path)
    looking.add_argument("-o", "--out", type=Path, required=True)
    looking.add_argument("--scale", type=int, default=2)
    looking.add_argument("--way", default="area", choices=WAYS)
    telling = commands.add_parser("report")
    telling.add_argument("--results", type=Path, default=RESULTS)
    telling.add_argument("--page", type=Path, default=PAGE)
    for one in (running, timing, looking):
        one.add_argument("--weights", help="a file of weights of srgan, in place of those that are shipped")
    for one in (running, timing):
        one.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.command == "run":
        run(options.data, options.split, options.weights, options.out, options.limit)
    elif options.command == "speed":
        speed(options.weights, options.out)
    elif options.command == "sheet":
        sheet(options.data, options.weights, options.scale, options.way, options.out)
    else:
        report(options.results, options.page)


if __name__ == "__main__":
    main()
