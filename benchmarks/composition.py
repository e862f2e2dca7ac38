"""Measures time and memory of composites and shadows, and whether recipes and layers reproduce the same image.

    python benchmarks/composition.py run DATA [--rounds N]   # with the photographs of DATA/app_open
    python benchmarks/composition.py large DATA [--rounds N]
    python benchmarks/composition.py shadows [--rounds N]
    python benchmarks/composition.py report                  # the table, into docs/compose.md
    python benchmarks/composition.py pairs SEED N DATA [--ground KIND] [--mixed] [--out FOLDER]   # to look at
    python benchmarks/composition.py fit                     # the weights of the verdict, by graded pairs
    python benchmarks/composition.py facts DATA              # the facts about these, into tools/annotations/grades.json

Two group photographs are enlarged to 12 megapixels, with a camera's noise, and saved as JPEG. Measured from files to
files: without prompts, so that people are detected in both; with a click on the subject; previews. The calls take
turns, each in a separate process, and the best of the rounds counts; CPU time, which other processes affect least, is
given in addition to wall time. The memory is the peak of such a process. `large` puts a cut-out of 2 megapixels with
alpha into 50 megapixels, where it is enlarged by a factor of five and covers nearly everything.

`pairs` draws subjects and backgrounds by a seed before anybody sees them (`pairs.py`), composes them with one click or
none and all other defaults, and writes sheets of images and `pairs.csv`: automatic metrics, and two empty columns for
the reviewer: `word` (good: a stranger would not ask; acceptable: one sees it when told; fault: seen at once; refused)
and `kind`, that of the first fault (cut-out, size, place, depth, light, edge, grain, shadow). With `--mixed` a third of
the subjects are things, and all are clicked.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pairs
import verdict
from PIL import Image
from records import MEASURED, Record, commands_of
from tables import rows_of

RECORD = Record("composition", "compose.md")
#: The photographs, the subject's first, and a click on the subject in shares of width and height.
PHOTOS, CLICK = ("coco_000000001296.jpg", "coco_000000001000.jpg"), (0.32, 0.4)
#: The pixels of a photograph, the noise in levels, and the longer side of a preview.
PIXELS, NOISE, PREVIEW = 12e6, 3.0, 1024
THREADS = 2
#: The measured calls, as the page names them.
NAMES = {
    "whole": "nobody is pointed at",
    "clicked": "the subject is clicked",
    "preview": f"a preview of {PREVIEW} pixels, by the recipe",
    "first": f"a preview of {PREVIEW} pixels, with all decisions",
}

Pixels = npt.NDArray[np.uint8]

#: The script of each process: it makes one image after a small one, which loads the modules.
SCRIPT = """
import json, sys, time, warnings
from records import process_memory
warnings.simplefilter("ignore")
import pyharmony
subject, background, small, out, options = *sys.argv[1:5], json.loads(sys.argv[5])
pyharmony.compose(small, small, return_info=True)
wall, cpu = time.perf_counter(), time.process_time()
result, info = pyharmony.compose(subject, background, return_info=True, **options)
result.save(out, quality=95)
print(json.dumps({
    "wall": time.perf_counter() - wall,
    "cpu": time.process_time() - cpu,
    "peak": process_memory("VmHWM"),
    "steps": dict(info.seconds),
    "recipe": info.recipe,
}))
"""


def enlarged(path: Path, pixels: float) -> Pixels:
    """Returns a photograph with about so many pixels and a camera's noise."""
    image = Image.open(path).convert("RGB")
    factor = (pixels / (image.width * image.height)) ** 0.5
    size = round(image.width * factor), round(image.height * factor)
    values = np.asarray(image.resize(size, Image.Resampling.BICUBIC)).astype(np.float32)
    values += np.random.default_rng(0).normal(0, NOISE, values.shape).astype(np.float32)
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


def called(*arguments: object) -> dict[str, Any]:
    """Returns the script's measurements of one image."""
    words = [sys.executable, "-c", SCRIPT, *(json.dumps(x) if isinstance(x, dict) else str(x) for x in arguments)]
    environment = {**MEASURED, "OMP_NUM_THREADS": str(THREADS)}
    process = subprocess.run(words, capture_output=True, text=True, env=environment, check=True)
    report: dict[str, Any] = json.loads(process.stdout)
    return report


def composites(root: Path, rounds: int) -> dict[str, Any]:
    """Measures composites of two photographs, and whether recipe and layers reproduce the same image."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in PHOTOS]
        for file in files:
            Image.fromarray(enlarged(root / "app_open" / file.name, PIXELS)).save(file, quality=92)
        small = Path(folder) / "small.jpg"
        Image.open(files[1]).resize((320, 240)).save(small)
        size = Image.open(files[0]).size
        out, recipe = Path(folder) / "out.jpg", Path(folder) / "recipe.json"
        recipe.write_text(json.dumps(called(*files, small, out, {})["recipe"]))
        options_by_name = {
            "whole": {},
            "clicked": {"points": [CLICK[0] * size[0], CLICK[1] * size[1]]},
            "preview": {"recipe": str(recipe), "side": PREVIEW},
            "first": {"side": PREVIEW},
        }
        every: dict[str, list[dict[str, Any]]] = {name: [] for name in options_by_name}
        for number in range(rounds):
            for name, options in options_by_name.items():
                report = called(*files, small, out, options)
                report.pop("recipe")
                every[name].append(report)
                print(number, name, report, file=sys.stderr, flush=True)
        best = {
            name: {
                **{key: min(report[key] for report in reports) for key in ("wall", "cpu")},
                "peak": max(report["peak"] for report in reports),
            }
            for name, reports in every.items()
        }
        steps = min(every["whole"], key=lambda report: report["wall"])["steps"]
        return {"composites": best, "steps": steps, "rounds": rounds, "same": repeated(files, Path(folder))}


def large(root: Path, rounds: int) -> dict[str, Any]:
    """Measures a cut-out of 2 megapixels with alpha that fills a photograph of 50."""
    import pyharmony

    with tempfile.TemporaryDirectory() as folder:
        subject, background, small = (Path(folder) / name for name in ("cat.png", "coffee.jpg", "small.jpg"))
        photo = enlarged(root / "app_open" / "chelsea.png", 2e6)
        height, width = photo.shape[:2]
        alpha = pyharmony.segment(photo, points=(0.5 * width, 0.45 * height)).alpha(0)
        Image.fromarray(np.dstack([photo, alpha])).save(subject)
        Image.fromarray(enlarged(root / "app_open" / "coffee.png", 50e6)).save(background, quality=92)
        Image.open(root / "app_open" / "coffee.png").convert("RGB").resize((320, 240)).save(small)
        every = [called(subject, background, small, Path(folder) / "out.jpg", {}) for _ in range(rounds)]
        best = {key: min(report[key] for report in every) for key in ("wall", "cpu")}
        return {"large": {**best, "peak": max(report["peak"] for report in every), "steps": every[0]["steps"]}}


def repeated(files: list[Path], folder: Path) -> dict[str, bool]:
    """Returns whether a recipe reproduces the first image byte for byte, and whether merged layers equal the image."""
    import pyharmony
    from pyharmony import io

    subject, background = map(str, files)
    first, first_info = pyharmony.compose(subject, background, return_info=True)
    recipe = json.loads(json.dumps(first_info.recipe))
    again, info = pyharmony.compose(subject, background, recipe=recipe, return_info=True)
    pictures = [np.asarray(first), np.asarray(again)]
    io.write_layers(folder / "layers.ora", info.layers, pictures[0])
    layers, merged = io.read_layers(folder / "layers.ora")
    height, width = pictures[0].shape[:2]
    flattened = io.merged_of(layers, (width, height))
    return {
        "recipe": pictures[0].tobytes() == pictures[1].tobytes(),
        "merged": bool(np.array_equal(merged.pixels[..., :3], pictures[0])),
        "layers": bool(np.array_equal(flattened[..., :3], pictures[0])),
    }


def shadows(rounds: int) -> dict[str, Any]:
    """Measures the shadow of a round object at 12 megapixels and at a ninth of them, and the difference of the two."""
    from pyharmony import set_num_threads, shadow

    set_num_threads(THREADS)
    height, width = 3000, 3999
    y, x = np.mgrid[:height, :width].astype(np.float32)
    y, x = (y + 0.5) / height, (x + 0.5) / height
    inside = ((x - 0.6) / 0.09) ** 2 + ((y - 0.42) / 0.24) ** 2 < 1
    large = np.repeat((0.6 + 0.3 * np.sin(5 * x) * y)[..., None], 3, 2), inside.astype(np.float32)
    small = tuple(reduced(values) for values in large)
    results: dict[str, Any] = {}
    record: dict[str, Any] = {}
    for name, (image, mask) in (("1.3 MP", small), ("12 MP", large)):
        high = image.shape[0]
        options = {"azimuth": 40.0, "elevation": 40.0, "strength": 0.6, "tint": (1.0, 1.0, 1.0)}
        options |= {"contact": 0.66 * high - 0.5, "horizon": 0.3 * high - 0.5}
        levels, mask_levels = (np.rint(255 * values).astype(np.uint8) for values in (image, mask))
        walls, cpus = [], []
        for _ in range(rounds):
            wall, cpu = time.perf_counter(), time.process_time()
            shadow(levels, mask_levels, **options)
            walls.append(time.perf_counter() - wall)
            cpus.append(time.process_time() - cpu)
        record[name] = {"wall": min(walls), "cpu": min(cpus)}
        results[name] = shadow(image.astype(np.float32), mask.astype(np.float32), **options)
    apart = np.abs(reduced(results["12 MP"]) - results["1.3 MP"]).max(2)
    apart = apart[(small[1] == 0) & (results["1.3 MP"] != small[0]).any(2)]
    record["apart"] = {"mean": float(apart.mean()), "high": float(np.quantile(apart, 0.99))}
    return {"shadows": record}


def reduced(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns the means of 3 x 3 pixels."""
    height, width = values.shape[0] // 3, values.shape[1] // 3
    mean: npt.NDArray[Any] = values.reshape(height, 3, width, 3, *values.shape[2:]).mean((1, 3)).astype(values.dtype)
    return mean


def report() -> None:
    """Writes the table into the page."""
    whole = RECORD.read()
    lines = [["two photographs of 12 megapixels", "seconds", "seconds of the CPU", "memory, MB"]]
    for name, label in NAMES.items():
        one = whole["composites"][name]
        lines.append([label, f"{one['wall']:.1f}", f"{one['cpu']:.1f}", f"{one['peak'] / 1e6:.0f}"])
    one = whole["large"]
    large_label = "a cut-out of 2 megapixels with alpha that fills 50"
    lines.append([large_label, f"{one['wall']:.1f}", f"{one['cpu']:.1f}", f"{one['peak'] / 1e6:.0f}"])
    for name in ("1.3 MP", "12 MP"):
        one = whole["shadows"][name]
        lines.append([f"a shadow, {name.replace('MP', 'megapixels')}", f"{one['wall']:.2f}", f"{one['cpu']:.2f}", ""])
    same = whole["same"]
    apart = whole["shadows"]["apart"]
    facts = (
        f"The best of {whole['rounds']} rounds with {THREADS} threads on two cores of a shared machine. The recipe "
        f"gives the same bytes: {'yes' if same['recipe'] else 'no'}; merged layers are the picture bit for bit: "
        f"{'yes' if same['merged'] and same['layers'] else 'no'}. After reduction the shadows at 1.3 and 12 megapixels "
        f"are {255 * apart['mean']:.2f} levels of 255 apart, at most {255 * apart['high']:.2f} at 99 % of the pixels."
    )
    RECORD.tell(rows_of(lines) + "\n\n" + facts)


def main() -> None:
    parser, commands = commands_of(__doc__)
    run = commands.add_parser("run")
    run.add_argument("data", type=Path)
    run.add_argument("--rounds", type=int, default=5)
    fills = commands.add_parser("large")
    fills.add_argument("data", type=Path)
    fills.add_argument("--rounds", type=int, default=3)
    commands.add_parser("shadows").add_argument("--rounds", type=int, default=15)
    commands.add_parser("report")
    commands.add_parser("fit")
    commands.add_parser("facts").add_argument("data", type=Path)
    by_eye = commands.add_parser("pairs")
    by_eye.add_argument("seed", type=int)
    by_eye.add_argument("count", type=int)
    by_eye.add_argument("data", type=Path)
    by_eye.add_argument(
        "--ground",
        action="append",
        choices=pairs.GROUNDS,
        default=[],
        help="a kind of background; default: all",
    )
    by_eye.add_argument(
        "--mixed", action="store_true", help="things, animals, cropped people, and others; some by night"
    )
    by_eye.add_argument("--out", type=Path, default=Path("artifacts/pairs"), help="default: %(default)s")
    options = parser.parse_args()
    if options.command == "pairs":
        for path in pairs.run(
            options.seed, options.count, options.data, options.out, options.ground, mixed=options.mixed
        ):
            print(path, flush=True)
        return
    if options.command == "facts":
        verdict.measure(options.data)
        return
    if options.command == "fit":
        for name, value in verdict.report().items():
            print(f"{name}: {value}")
        return
    calls = {"run": lambda: composites(options.data, options.rounds), "shadows": lambda: shadows(options.rounds)}
    calls["large"] = lambda: large(options.data, options.rounds)
    RECORD.run(options.command, calls, report)


if __name__ == "__main__":
    main()
