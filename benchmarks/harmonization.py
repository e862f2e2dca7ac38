"""Every method of pyharmony.harmonize on composites with known ground truth, by lighting, and on fitting photographs.

    python benchmarks/harmonization.py run DATA                # what is missing of results/harmonization.json
    python benchmarks/harmonization.py run DATA --method auto  # that method again
    python benchmarks/harmonization.py report                  # its tables, into docs/harmonize.md
    python benchmarks/harmonization.py calibrate DATA run/best.safetensors -o calibrated.safetensors
    python benchmarks/harmonization.py contours DATA run/best.safetensors  # val at 256 px, a line for each contour
    python benchmarks/harmonization.py unseen DATA             # photographs not used in training any weights

DATA contains triples_open, pairs_open, photos_open and optionally triples, pairs and aligned of research_only, each
with its manifest. Images are measured at their own size, methods are guarded, as by default. One thread. `run` may be
stopped at any time: each set of images is written when a method has completed it. `--method` also accepts the path of
weights; with `--out` of another file the page is not changed.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import calibration
import contour_scores
import contours
import numpy as np
import numpy.typing as npt
import unseen
from photographs import PHOTOS, Photographs, Picture, Set, fitting, triples
from records import commands_of
from skin import hue_apart
from tables import bootstrap, numbered, percentile, rows_of, signed, write_json

import pyharmony
from pyharmony import color, harmonization
from pyharmony.errors import DataError, PyHarmonyWarning
from pyharmony.learn import data, metrics

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "harmonization.json"
SPEED = ROOT / "benchmarks" / "results" / "harmonization_speed.json"
WORK = ROOT / "artifacts" / "harmonization"
CONTOURS = RESULTS.with_name("harmonization_contours.json")
PAGE = ROOT / "docs" / "harmonize.md"

#: Images of one scene at several exposures, and as developed by hand. `aligned` contains one view in two kinds of
#: weather, whose snow no change of light removes.
STACKS = "research_only/aligned"
#: Splits of the photographs from which composites are made.
EVALUATION_SPLITS = ("val", "test")
#: The number of composites per photograph.
PER_PHOTO = 4
#: A photograph is dark below this mean luminance, 1 for white; an object is backlit if its mean luminance is so many
#: stops below that of everything else.
DARK_LUMINANCE, BACKLIT_STOPS = 0.1, 2.0
#: The semi-axes of an ellipse in widths and heights of the image; their centres are on a grid of rows and columns.
ELLIPSE, GRID = (0.12, 0.18), (2, 3)
#: The smallest fMSE of a composite, below which there is nothing to harmonise.
MIN_FMSE = 20.0

BASELINE = "composite"
MEASURES = ("psnr", "fmse", "fpsnr", "ssim")
COMPOSITES = {
    "triples": "Test triples",
    "stacks": "Exposure stacks",
    "dark": "Night and darkness",
    "backlit": "Back light",
}
FITTING = "photographs"
#: Triples and photographs that fit, with realistic contours, see `contours.py`.
CONTOUR = "contours"
#: The default method in its other forms, each with its arguments.
VARIANTS = {f"auto{ending}": options for ending, options in contour_scores.OPTIONS.items() if options}

Floats = npt.NDArray[np.float64]
#: A function from a composite and its mask to an image.
Method = Callable[[Picture, Picture], Picture]


# ---- images ----


def luminance(image: Picture) -> Floats:
    """Returns the relative luminance, [H, W] in [0, 1], of sRGB."""
    linear = color.srgb_to_linear(np.arange(256) / 255)
    return linear[image] @ np.array([0.2126, 0.7152, 0.0722])


def is_dark(sample: Mapping[str, Any]) -> bool:
    return bool(luminance(sample["image"]).mean() < DARK_LUMINANCE)


def is_backlit(sample: Mapping[str, Any]) -> bool:
    light, inside = luminance(sample["image"]), sample["mask"] >= 128
    return bool(inside.any() and not inside.all() and light[inside].mean() * 2**BACKLIT_STOPS <= light[~inside].mean())


def recoloured(photos: data.Dataset, accepts: Callable[[Mapping[str, Any]], bool], seed: int) -> data.Subset:
    """Returns composites of the wanted photographs; transfers take their colours from all of them."""
    synthesis = data.Synthesis(photos, per_photo=PER_PHOTO, seed=seed)
    indices = [i for i, photo in enumerate(photos) if accepts(photo)]
    return data.Subset(synthesis, [PER_PHOTO * i + k for i in indices for k in range(PER_PHOTO)])


def ellipses(height: int, width: int) -> list[Picture]:
    """Returns binary masks of the regions that are cut from another exposure."""
    y, x = ((np.arange(n) + 0.5) / n for n in (height, width))
    rows, columns = GRID
    masks = []
    for row in range(rows):
        for column in range(columns):
            away = ((y[:, None] - (row + 0.5) / rows) / ELLIPSE[1]) ** 2
            away = away + ((x - (column + 0.5) / columns) / ELLIPSE[0]) ** 2
            masks.append(np.where(away <= 1, np.uint8(255), np.uint8(0)))
    return masks


class Exposures(data.Dataset):
    """Composites of aligned images: regions of each pasted into each of the others, which is the target.

    Args:
        scenes: the images [H, W, 3] of each scene.
    """

    def __init__(self, scenes: Mapping[str, Sequence[Picture]]) -> None:
        self._samples: list[dict[str, Any]] = []
        self._groups: list[str] = []
        for scene, pictures in scenes.items():
            for target_at, target in enumerate(pictures):
                for source_at, source in enumerate(pictures):
                    for at, mask in enumerate(ellipses(*target.shape[:2])):
                        composite = np.where(mask[..., None] > 0, source, target)
                        if source_at == target_at or metrics.fmse(composite, target, mask) < MIN_FMSE:
                            continue
                        name = f"{scene}_{source_at}_{target_at}_{at}"
                        self._samples.append({"name": name, "composite": composite, "target": target, "mask": mask})
                        self._groups.append(scene)
        self.names = [sample["name"] for sample in self._samples]

    @property
    def groups(self) -> list[str]:
        return self._groups

    def _load(self, index: int) -> dict[str, Any]:
        return dict(self._samples[index])


def stacks(root: Path) -> data.Dataset:
    """Returns regions of one exposure in another."""
    scenes: dict[str, list[Picture]] = {}
    if (root / STACKS).is_dir():
        manifest = data.Manifest(root / STACKS)
        scenes = {
            name: [manifest[i][role] for role in manifest.entries[i]]
            for i, name in enumerate(manifest.names)
            if all(entry.get("split") in EVALUATION_SPLITS for entry in manifest.entries[i].values())
        }
    return Exposures(scenes)


def dark(root: Path) -> data.Dataset:
    """Returns composites of dark photographs."""
    own, other = (Photographs(root, PHOTOS, EVALUATION_SPLITS, borrowed=borrowed) for borrowed in (False, True))
    return recoloured(data.Joined([own, other]), is_dark, 400)


def backlit(root: Path) -> data.Dataset:
    """Returns composites of photographs with the light behind the object."""
    return recoloured(Photographs(root, PHOTOS, EVALUATION_SPLITS), is_backlit, 500)


def opened(name: str, root: Path, work: Path) -> Set:
    """Returns a set by its name; composites are made once, and stored in `work`."""
    if name == "triples":
        return triples(root)
    if name == FITTING:
        return fitting(root)
    if not (work / name).exists():
        dataset = {"stacks": stacks, "dark": dark, "backlit": backlit}[name](root)
        if not len(dataset):
            raise DataError(f"{name}: there are no such photographs")
        work.mkdir(parents=True, exist_ok=True)
        data.write_triples(dataset, work / name, errors="skip")
    samples = data.Triples(work / name)
    return Set(samples, samples.groups, [False] * len(samples))


# ---- measures ----


def composite_figures(method: Method, samples: Set) -> dict[str, Any]:
    """Returns each sample's metrics of a method's result, whether it equals the composite, and the hue of skin."""
    figures: dict[str, Any] = {key: [] for key in (*MEASURES, "kept", "skin")}
    for i, sample in enumerate(samples.samples):
        composite, target, mask = (sample[role] for role in ("composite", "target", "mask"))
        result = method(composite, mask)
        row = metrics.evaluate(result, target, mask)
        for key in MEASURES:
            figures[key].append(round(row[key], 4))
        figures["kept"].append(bool((result == composite).all()))
        figures["skin"].append(hue_apart(result, target, mask) if samples.persons[i] else None)
    return figures


def fitting_figures(method: Method, samples: Set) -> dict[str, Any]:
    """Returns each photograph's mean and 99th percentile of its object's change, whether it is unchanged, hue of skin.

    The change of a pixel is the largest of its channels, in levels. `of_pixels` has the share of the pixels inside at
    each change, every photograph with the same weight.
    """
    figures: dict[str, Any] = {key: [] for key in ("mean", "p99", "kept", "skin")}
    shares = np.zeros(256)
    for i, sample in enumerate(samples.samples):
        picture, mask = sample["target"] if "target" in sample else sample["image"], sample["mask"]
        result = method(picture, mask)
        share = changes(picture, result, mask)
        shares += share
        figures["mean"].append(round(float(share @ np.arange(256)), 4))
        figures["p99"].append(quantile_of(share, 0.99))
        figures["kept"].append(bool((result == picture).all()))
        figures["skin"].append(hue_apart(result, picture, mask) if samples.persons[i] else None)
    figures["of_pixels"] = [round(float(x), 7) for x in shares / len(figures["mean"])]
    return figures


def changes(before: Picture, after: Picture, mask: Picture) -> Floats:
    """Returns the shares of the pixels at least half inside that have changed by 0, 1, .. 255 levels."""
    inside = mask >= 128
    apart = (np.maximum(before, after) - np.minimum(before, after)).max(-1)[inside]
    return np.bincount(apart, minlength=256) / max(apart.size, 1)


def quantile_of(share: Floats, q: float) -> int:
    """Returns the smallest level up to which that share of the pixels has changed."""
    return int(np.searchsorted(np.cumsum(share), q - 1e-9))


# ---- methods ----


def shipped() -> dict[str, str]:
    """Returns the SHA-256 of bundled methods' weights; those of `colorgrid` represent 'auto' and `VARIANTS`."""
    if importlib.util.find_spec("torch") is None:
        return {}
    from pyharmony.networks import models

    names = {entry.name: entry.sha256 for entry in models.weights("harmonize")}
    default = names.pop("colorgrid")
    return {"auto": default, **dict.fromkeys(VARIANTS, default)} | names


METHODS_WITHOUT_WEIGHTS = tuple(name for name in harmonization.METHODS if name != "auto")


def match_histograms(composite: Picture, mask: Picture) -> Picture:
    """Matches the object's pixels to the background's by scikit-image."""
    from skimage import exposure

    inside, matched_image = mask >= 128, composite.copy()
    if inside.any() and not inside.all():
        matched = exposure.match_histograms(composite[inside][:, None], composite[~inside][:, None], channel_axis=-1)
        matched_image[inside] = np.rint(matched[:, 0]).clip(0, 255).astype(np.uint8)
    return matched_image


#: Methods of other libraries, unchanged.
PEERS: Mapping[str, tuple[str, Method]] = {
    "scikit-image match_histograms": ("skimage", match_histograms),
}


def harmonized(source: Any) -> Method:
    """Returns `pyharmony.harmonize`, with its defaults except for `VARIANTS`."""
    method, options = ("auto", VARIANTS[source]) if source in VARIANTS else (source, {})
    return lambda composite, mask: pyharmony.harmonize(composite, mask, method=method, **options)


def methods(names: Sequence[str] | None = None) -> dict[str, Method]:
    """Returns methods by their names in tables: all of them, or those requested; a path is named by its stem."""
    every: dict[str, Method] = {BASELINE: lambda composite, mask: composite}
    every |= {name: harmonized(name) for name in (*shipped(), *METHODS_WITHOUT_WEIGHTS)}
    every |= {name: call for name, (module, call) in PEERS.items() if importlib.util.find_spec(module) is not None}
    if names is None:
        return every
    return {(name if name in every else Path(name).stem): every.get(name) or harmonized(name) for name in names}


# ---- runs ----


def run(root: Path, path: Path, work: Path, method_names: Sequence[str] | None, names: Sequence[str] | None) -> None:
    """Measures what is missing or requested, and writes it to path."""
    if importlib.util.find_spec("torch") is not None:
        import torch

        torch.set_num_threads(1)
    report: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {"sets": {}, "methods": {}}
    chosen_methods, digests = methods(method_names), shipped()
    warnings.simplefilter("ignore", PyHarmonyWarning)  # what the guard reduced or left is in the figures
    for name in names if names is not None else (*COMPOSITES, FITTING):
        missing = [m for m in chosen_methods if method_names or name not in report["methods"].get(m, {})]
        if not missing:
            continue
        try:
            samples = opened(name, root, work)
        except DataError as error:
            print(error, flush=True)
            continue
        groups = numbered(samples.groups)
        if report["sets"].setdefault(name, groups) != groups:
            raise DataError(f"{path}: its {name} are other pictures; choose another --out, or remove it")
        for method in missing:
            start = time.monotonic()
            figures = fitting_figures if name == FITTING else composite_figures
            entry = report["methods"].setdefault(method, {})
            entry["sha256"] = digests.get(method)
            entry[name] = figures(chosen_methods[method], samples)
            write_json(path, report)
            print(f"{name}, {method}: {time.monotonic() - start:.0f} s", flush=True)


# ---- report ----


def calibrate(root: Path, source: str, path: Path) -> None:
    """Writes weights of `colorgrid` with the calibration computed by `calibration.py`."""
    from pyharmony.networks import models

    model = models.load(source)
    model.calibration = calibration.calibration(root, source)
    models.save(model, path)


def kind(name: str, entry: Mapping[str, Any]) -> int:
    """Returns the order of tables: the composite, networks, methods without weights, other libraries."""
    return 0 if name == BASELINE else 2 if name in METHODS_WITHOUT_WEIGHTS else 3 if name in PEERS else 1


def ordered(report: Mapping[str, Any], name: str) -> dict[str, dict[str, Any]]:
    """Returns a set's results of each method that has completed it."""
    there = [(kind(m, entry), m, entry[name]) for m, entry in report["methods"].items() if name in entry]
    return {m: entry for _, m, entry in sorted(there, key=lambda item: item[:2])}


def label(name: str) -> str:
    return name if name == BASELINE or name in PEERS else f"`{name}`"


def composites_table(report: Mapping[str, Any]) -> str:
    """Returns each method's gain in PSNR on every set of composites, and the share of results that are worse."""
    sets = {name: ordered(report, name) for name in COMPOSITES if name in report["sets"]}
    lines = [["", *(COMPOSITES[name] for name in sets)]]
    for method in sorted(
        {m: None for every in sets.values() for m in every}, key=lambda m: kind(m, report["methods"][m])
    ):
        cells = [label(method)]
        for name, every in sets.items():
            base, groups = every[BASELINE], report["sets"][name]
            if method == BASELINE:
                cells.append(f"{np.mean(base['psnr']):.1f} dB, fMSE {np.mean(base['fmse']):.0f}")
            elif method in every:
                gain = np.subtract(every[method]["psnr"], base["psnr"])
                cells.append(f"{signed(bootstrap(gain, groups), 2)}, {100 * np.mean(gain < 0):.0f} %")
            else:
                cells.append("")
        lines.append(cells)
    return rows_of(lines)


def best_table(report: Mapping[str, Any]) -> str:
    """Compares networks with the methods without weights: their gain over the one that comes nearest."""
    sets = [name for name in COMPOSITES if name in report["sets"]]
    networks = dict.fromkeys(m for name in sets for m, e in ordered(report, name).items() if kind(m, e) == 1)
    lines = [["", *(COMPOSITES[name] for name in sets)]]
    for network in networks:
        cells = [label(network)]
        for name in sets:
            every, groups = ordered(report, name), report["sets"][name]
            others = [m for m in every if m in METHODS_WITHOUT_WEIGHTS or m in PEERS]
            if network not in every or not others:
                cells.append("")
                continue
            beyond = {m: bootstrap(np.subtract(every[network]["psnr"], every[m]["psnr"]), groups) for m in others}
            nearest_one = min(beyond, key=lambda m: beyond[m].mean)
            cells.append(f"{signed(beyond[nearest_one], 2)} {label(nearest_one)}")
        lines.append(cells)
    return rows_of(lines)


def fitting_table(report: Mapping[str, Any]) -> str:
    """Returns the table of the change by methods of photographs that fit, and of the hue of skin."""
    groups = np.asarray(report["sets"][FITTING])
    lines = [["", "mean change", "99 % of photographs", "left", "hue of skin", "largest"]]
    for method, figures in ordered(report, FITTING).items():
        if method == BASELINE:
            continue
        cells = [label(method), signed(bootstrap(figures["mean"], groups), 1, "")]
        cells.append(signed(bootstrap(figures["mean"], groups, percentile(0.99)), 0, "").partition(" ")[0])
        cells.append(f"{100 * np.mean(figures['kept']):.0f} %")
        lines.append([*cells, *degrees(figures["skin"], groups)])
    return rows_of(lines)


def degrees(values: Sequence[float | None], groups: npt.NDArray[Any]) -> list[str]:
    """Returns the mean of the existing values, and the largest."""
    there = [i for i, x in enumerate(values) if x is not None]
    if not there:
        return ["", ""]
    differences = [float(values[i] or 0) for i in there]
    return [f"{signed(bootstrap(differences, groups[there]), 1, '')}°", f"{max(differences):.1f}°"]


def counted(report: Mapping[str, Any], name: str) -> str:
    groups = report["sets"][name]
    return f"{len(groups)} composites of {len(set(groups))} photographs"


def section(report: Mapping[str, Any]) -> str:
    """Returns the text between the marks of the page."""
    counts = (f"{COMPOSITES[name]}: {counted(report, name)}" for name in COMPOSITES if name in report["sets"])
    parts = [f"{'; '.join(counts)}.", composites_table(report)]
    parts.append(f"Gain of a network beyond that of the nearest method without weights:\n\n{best_table(report)}")
    if FITTING in report["sets"]:
        groups, every = report["sets"][FITTING], ordered(report, FITTING).values()
        people = sum(x is not None for x in next(iter(every))["skin"])
        parts.append(
            f"**Photographs that fit already**, {len(groups)} objects of {len(set(groups))} photographs, {people} with "
            f"skin:\n\n{fitting_table(report)}"
        )
    return "\n\n".join(parts)


#: The text above the table of times.
SPEED_HEAD = """uint8, an object of 40 % of the image: wall time in milliseconds, in brackets CPU time of all threads,
and memory beside image and mask, the result in it, in MB; without the guard, but for rows that say so."""


def speed_section(results: Mapping[str, Any]) -> str:
    """Returns milliseconds and memory by size, from the results of `bench_harmonize.py`."""
    problems = list(dict.fromkeys(row["problem"] for row in results["rows"]))
    names = list(dict.fromkeys(row["name"] for row in results["rows"]))
    at = {(row["name"], row["problem"]): row for row in results["rows"]}

    def cells(name: str, text: Callable[[Mapping[str, Any]], str]) -> list[str]:
        rows = [at.get((name, problem)) for problem in problems]
        return ["" if row is None else text(row) for row in rows]

    def time_of(row: Mapping[str, Any]) -> str:
        return f"{row['timing']['wall_ms']:.0f} ({row['timing']['cpu_ms']:.0f})"

    def memory_of(row: Mapping[str, Any]) -> str:
        return "" if row["memory"] is None else f"{row['memory'] / 1e6:.0f}"

    lines = [["", *(f"{p}, ms" for p in problems), *(f"{p}, MB" for p in problems)]]
    lines += [[title(name), *cells(name, time_of), *cells(name, memory_of)] for name in names]
    machine = results["machine"]
    return f"{SPEED_HEAD}\n\n{machine['cpu']}, {machine['threads']} threads, {machine['simd']}:\n\n{rows_of(lines)}"


def title(name: str) -> str:
    """Returns the title of a row of `bench_harmonize.py`: harmonize(NAME) or harmonize(NAME), guarded."""
    method, _, guarded = name.removeprefix("harmonize(").partition(")")
    return f"`{method}`{guarded}"


def marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}: written by benchmarks/harmonization.py -->", f"<!-- end of {name} -->"


def written(text: str) -> str:
    """Returns the page with updated tables; those that were not measured are unchanged."""
    for name, (path, body_of) in {
        "quality": (RESULTS, section),
        "speed": (SPEED, speed_section),
        "contours": (CONTOURS, lambda report: contour_scores.section(report["test"])),
    }.items():
        start, end = marks(name)
        before, there, rest = text.partition(start)
        results = json.loads(path.read_text()) if there and path.is_file() else None
        if results is None or (path == CONTOURS and "test" not in results):
            continue
        _, _, after = rest.partition(end)
        text = f"{before}{start}\n{body_of(results)}\n{end}{after}"
    return text


def report() -> None:
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")


def run_contours(root: Path, path: Path, method_names: Sequence[str] | None, split: str) -> None:
    """Measures the default and paths of weights in all their forms under the conditions of the contour; see `run`."""
    sources = ["auto"] if method_names is None else ["auto" if name in VARIANTS else name for name in method_names]
    each = [source for source in dict.fromkeys(sources) if source == "auto" or Path(source).is_file()]
    pairs = [(source, ending) for source in each for ending in contour_scores.OPTIONS]
    if pairs:
        contour_scores.measure(root, path, split=split, ways=pairs, again=method_names is not None)


def look(root: Path, path: Path, split: str, sources: Sequence[str], ending: str, controls: str = "auto") -> None:
    """Prints the results of weights under each condition of the contour, at the size of a network's input.

    Results are stored: those of the controls, which the frontier needs, are measured once.
    """
    ways = [(source, ending) for source in sources]
    if contour_scores.digest(controls) == contour_scores.FRONTIER_OF:
        ways.insert(0, (controls, ", guard=False"))
    report = contour_scores.measure(root, path, split=split, side=contours.VIEW, ways=ways)
    for source in sources:
        name = source if source == contour_scores.GUARDED else Path(source).stem
        print("\n".join(contour_scores.lines(report, name + ending)), flush=True)


def look_unseen(
    root: Path, path: Path, work: Path, sources: Sequence[str], ending: str, most: int | None, before: Path | None
) -> None:
    """Prints the results of weights on photographs not used in training any weights, and writes them to path.

    before: the results of an earlier run to compare with; None: there are none.
    """
    earlier = None if before is None else json.loads(before.read_text())
    calls = {
        (source if source == contour_scores.GUARDED else Path(source).stem) + ending: unseen.harmonized(
            source, **contour_scores.OPTIONS[ending]
        )
        for source in sources
    }
    figures = unseen.measure(root, work / "unseen", calls, most)
    print(unseen.table(figures if earlier is None else unseen.beside(earlier, figures)), flush=True)
    write_json(path, figures)


def main() -> None:
    parser, commands = commands_of(__doc__)
    commands.add_parser("report")
    command = commands.add_parser("run")
    command.add_argument("data", type=Path)
    command.add_argument("--method", action="append", help="is measured again; default: what is missing of all")
    command.add_argument("--set", action="append", choices=[*COMPOSITES, FITTING, CONTOUR], help="default: all")
    command.add_argument("--split", default="test", help="of the set contours; default: test")
    command.add_argument("--out", type=Path, default=RESULTS, help="the results; of another file no tables are written")
    command.add_argument("--work", type=Path, default=WORK, help="where composites are kept")
    command.add_argument("--fresh", action="store_true", help="composites are made again")
    command = commands.add_parser("calibrate")
    command.add_argument("data", type=Path)
    command.add_argument("weights", help="of colorgrid")
    command.add_argument("-o", "--out", type=Path, required=True)
    command = commands.add_parser("contours")
    command.add_argument("data", type=Path)
    command.add_argument("weights", nargs="*", default=["auto"], help="files; default: those of 'auto'")
    command.add_argument("--split", default="val", help="default: val, by which weights may be chosen")
    command.add_argument("--guard", action="store_true", help="guarded, as by default; without: the network alone")
    command.add_argument("--cautious", action="store_true", help="guarded, and cautious")
    command.add_argument("--controls", default="auto", help="the weights of the frontier, if not those of 'auto'")
    command.add_argument("--out", type=Path, default=WORK / "contours.json", help="where figures are kept")
    command = commands.add_parser("unseen")
    command.add_argument("data", type=Path)
    command.add_argument("weights", nargs="*", default=["auto"], help="files; default: those of 'auto'")
    command.add_argument("--no-guard", action="store_true", help="the network alone; without: guarded, as by default")
    command.add_argument("--most", type=int, help="so many photographs, evenly spread; default: all")
    command.add_argument("--beside", type=Path, help="the figures of an earlier run, which are compared")
    command.add_argument("--out", type=Path, default=WORK / "unseen.json", help="where figures are kept")
    command.add_argument("--work", type=Path, default=WORK, help="where composites are kept")
    options = parser.parse_args()
    if options.command == "unseen":
        ending = ", guard=False" if options.no_guard else ""
        look_unseen(options.data, options.out, options.work, options.weights, ending, options.most, options.beside)
        return
    if options.command == "calibrate":
        calibrate(options.data, options.weights, options.out)
        return
    if options.command == "contours":
        ending = ", cautious=True" if options.cautious else "" if options.guard else ", guard=False"
        look(options.data, options.out, options.split, options.weights, ending, options.controls)
        return
    if options.command == "run":
        if options.fresh:
            for name in COMPOSITES:
                shutil.rmtree(options.work / name, ignore_errors=True)
        names = options.set or (*COMPOSITES, FITTING, CONTOUR)
        run(options.data, options.out, options.work, options.method, [name for name in names if name != CONTOUR])
        if CONTOUR in names:
            run_contours(
                options.data, options.out.with_name(f"{options.out.stem}_contours.json"), options.method, options.split
            )
        if options.out != RESULTS:
            return
    report()


if __name__ == "__main__":
    main()
