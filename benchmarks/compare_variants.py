"""Two published comparisons repeated small: U-Net 3+ and losses of style; discriminators and norms for selfies.

    python benchmarks/compare_variants.py run DATA      # what is missing of benchmarks/results/compare_variants
    python benchmarks/compare_variants.py report        # its tables, into docs/comparisons.md
    python benchmarks/compare_variants.py sheet DATA    # outputs side by side, artifacts/compare_variants/*.png

A variant is a configuration of `pyharmony train`, and differs from the first of its group only by its entry in
VARIANTS. All runs of one seed use the same composites in the same order: photographs with masks of the training splits
of DATA/pairs_open and DATA/photos_open at 64 x 64 pixels, recoloured once beforehand. They are evaluated on composites
of the test photographs there, and on those of DATA/triples_open and DATA/research_only/triples, at 64 x 64 pixels too.
Runs use one thread; CPU time is that of the steps, including loading. `run` may be stopped at any time, and continues
with missing runs; `--minutes` ends it before a run that would exceed them.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from records import commands_of

from pyharmony.errors import MaskError
from pyharmony.learn import data as datasets
from pyharmony.learn import evaluation, metrics, training
from pyharmony.networks import models

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "compare_variants"
WORK = ROOT / "artifacts" / "compare_variants"
PAGE = ROOT / "docs" / "comparisons.md"

SIZE = 64
SEEDS = (0, 1, 2)
#: The number of composites per photograph.
TRAIN_TIMES, TEST_TIMES = 12, 3
TESTS = ("photographs", "triples")
MEASURES = ("psnr", "mse", "fmse", "ssim")

Tables = dict[str, dict[str, Any]]
Picture = npt.NDArray[np.uint8]

COMMON: Tables = {
    "step": {"dtype": "bfloat16"},
    "data": {"size": SIZE, "validation": 0.0, "flip": True},
    "schedule": {"steps": 400, "decay": 0.5},
    "run": {"batch": 8, "ema": 0.99, "evaluate_steps": 10**9, "log_steps": 50, "threads": 1},
}

#: The encoder of codes in RGB, trained before the network whose loss uses it.
ENCODER: Tables = {
    "model": {"name": "style_encoder", "preset": "rgb", "width": 8},
    "step": {"each_number": False},
    "schedule": {"steps": 200},
}
#: The placeholder of the encoder's weights.
TRAINED = "the encoder of this seed"

_UNET = {"name": "attention_unet", "width": 8, "depth": 6, "residual": True}
_SELFIE = {"name": "pix2pix_selfie", "width": 8, "depth": 5, "residual": True, "discriminator_width": 8}
#: The settings of the first group, and of the second.
_LOSS, _GAME = {"distance": "foreground_mse"}, {"lr": 1e-3}

#: By group and name, the settings of its variants beyond COMMON.
VARIANTS: dict[str, dict[str, Tables]] = {
    "style": {
        "U-Net": {"model": _UNET, "step": _LOSS},
        "U-Net 3+": {"model": {"name": "unet3plus", "width": 8, "branch": 8, "residual": True}, "step": _LOSS},
        "U-Net, style in RGB": {
            "model": _UNET,
            "step": {**_LOSS, "style": 0.05, "style_background": 0.05},
            "extractor": {"weights": TRAINED},
        },
        "U-Net, style in HSV": {
            "model": _UNET,
            "step": {**_LOSS, "style": 0.02},
            "extractor": {"name": "style_encoder", "preset": "hsv", "width": 8},
        },
    },
    "selfie": {
        "wide residual discriminator": {"model": _SELFIE, "step": _GAME},
        "plain PatchGAN": {"model": {**_SELFIE, "discriminator": "patches"}, "step": _GAME},
        "batch norm in the discriminator": {"model": {**_SELFIE, "discriminator_norm": "batch"}, "step": _GAME},
        "instance norm in the generator": {"model": {**_SELFIE, "norm": "instance"}, "step": _GAME},
    },
}


def label(*words: str | int) -> str:
    """Returns the name of a file for a group, a variant and a seed."""
    text = " ".join(map(str, words)).lower().replace("+", " plus")
    return "-".join("".join(c if c.isalnum() else " " for c in text).split())


def merged(*tables: Mapping[str, Mapping[str, Any]]) -> Tables:
    result: Tables = {}
    for one in tables:
        for name, table in one.items():
            result.setdefault(name, {}).update(copy.deepcopy(dict(table)))
    return result


def write_json(path: Path, value: Any) -> None:
    whole = path.with_name(f".{path.name}.{os.getpid()}")
    whole.write_text(json.dumps(value) + "\n")
    os.replace(whole, path)


# ---- data ----


class Samples(datasets.Dataset):
    """Samples in memory."""

    def __init__(self, samples: Iterable[dict[str, Any]]) -> None:
        self.samples = list(samples)
        self.names = [sample["name"] for sample in self.samples]

    def _load(self, index: int) -> dict[str, Any]:
        return dict(self.samples[index])


def small(folders: Sequence[Path], split: str | None, roles: Sequence[str]) -> Samples:
    """Returns the samples of manifests that have these roles, at SIZE; skips objects that vanish at that size."""
    samples = []
    for folder in folders:
        manifest = datasets.Manifest(folder, split, roles)
        for index, name in enumerate(manifest.names):
            with contextlib.suppress(MaskError):
                samples.append(datasets.resize_sample({**manifest[index], "name": f"{folder.name}/{name}"}, SIZE))
    return Samples(samples)


def shards(data: Path, work: Path) -> dict[str, datasets.Shards]:
    """Returns training composites, and those of each test, as shards in `work`, made at first use."""
    photographs = [data / "pairs_open", data / "photos_open"]
    composites = [data / "triples_open", data / "research_only" / "triples"]

    def synthesis(split: str, times: int, seed: int) -> datasets.Dataset:
        return datasets.Synthesis(small(photographs, split, ("image", "mask")), per_photo=times, seed=seed)

    makers: dict[str, Callable[[], datasets.Dataset]] = {
        "train": lambda: synthesis("train", TRAIN_TIMES, 1),
        "photographs": lambda: synthesis("test", TEST_TIMES, 2),
        "triples": lambda: small(composites, None, ("composite", "mask", "target")),
    }
    work.mkdir(parents=True, exist_ok=True)
    for name, make in makers.items():
        if not (work / name).is_dir():
            datasets.write_shards(make(), work / name, SIZE)
    return {name: datasets.Shards(work / name) for name in makers}


# ---- runs ----


def trained(tables: Tables, seed: int, root: Path, folder: Path) -> tuple[models.Model, dict[str, Any]]:
    """Returns the model of a configuration, and its parameters, CPU time and last losses."""
    shutil.rmtree(folder, ignore_errors=True)
    config = training.config_of(merged(COMMON, tables, {"run": {"seed": seed}, "data": {"root": str(root)}}))
    marks: list[tuple[int, float, dict[str, float]]] = []
    result = training.train(
        config, folder, device="cpu", on_progress=lambda p: marks.append((p.count, time.process_time(), p.losses))
    )
    (first, start, _), (last, end, losses) = marks[0], marks[-1]
    shutil.rmtree(folder / "checkpoints")
    count = {part: sum(p.numel() for p in getattr(result.model, part).parameters())
             for part in ("generator", "discriminator") if hasattr(result.model, part)}  # fmt: skip
    return result.model, {
        "parameters": count or {"generator": sum(p.numel() for p in result.model.parameters())},
        "images": result.steps * config.run.batch,
        "cpu_s": round((end - start) / (last - first) * last, 1),
        "losses": {name: round(value, 5) for name, value in losses.items()},
    }


def method_of(model: models.Model) -> Callable[[Picture, Picture], npt.NDArray[np.float32]]:
    """Returns a network at the size of its training."""

    def method(composite: Picture, mask: Picture) -> npt.NDArray[np.float32]:
        picture = torch.from_numpy(composite).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.no_grad():
            output = model(picture, torch.from_numpy(mask)[None, None].float() / 255)
        result: npt.NDArray[np.float32] = ((output[0].permute(1, 2, 0) + 1) * 127.5).numpy()
        return result

    return method


def figures(samples: Mapping[str, datasets.Shards], methods: Mapping[str, Any], which: int) -> dict[str, Any]:
    """Returns for each test and measure one value per image; which: 0 the composite's, 1 the first method's."""
    rows_by_test = {}
    for test in TESTS:
        rows = evaluation.evaluate(samples[test], methods, size=SIZE).rows[which :: 1 + len(methods)]
        rows_by_test[test] = {key: [round(float(row[key]), 4) for row in rows] for key in MEASURES}
    return rows_by_test


def one(group: str, name: str, seed: int, samples: Mapping[str, datasets.Shards], work: Path) -> dict[str, Any]:
    """Trains and measures a variant."""
    tables, root = copy.deepcopy(VARIANTS[group][name]), work / "train"
    result: dict[str, Any] = {"group": group, "variant": name, "seed": seed, "torch": torch.__version__}
    if tables.get("extractor", {}).get("weights") == TRAINED:
        folder = work / "runs" / label("encoder", seed)
        _, result["encoder"] = trained(ENCODER, seed, root, folder)
        tables["extractor"]["weights"] = str(folder / "last.safetensors")
    model, cost = trained(tables, seed, root, work / "runs" / label(group, name, seed))
    return {**result, **cost, "figures": figures(samples, {"variant": method_of(model)}, 1)}


def about(samples: Mapping[str, datasets.Shards]) -> dict[str, Any]:
    """Describes the composites: their number, photographs, and metrics."""
    of = {test: sorted(set(samples[test].groups)) for test in TESTS}
    return {
        "size": SIZE,
        "training": len(samples["train"]),
        "training_photographs": len(set(samples["train"].groups)),
        "groups": {test: [of[test].index(group) for group in samples[test].groups] for test in TESTS},
        "figures": figures(samples, {}, 0),
    }


def run(data: Path, work: Path, minutes: float) -> None:
    began, longest = time.monotonic(), 0.0
    torch.set_num_threads(1)
    samples = shards(data, work)
    RESULTS.mkdir(parents=True, exist_ok=True)
    if not (RESULTS / "composites.json").is_file():
        write_json(RESULTS / "composites.json", about(samples))
    for seed in SEEDS:
        for group, variants in VARIANTS.items():
            for name in variants:
                target = RESULTS / f"{label(group, name, seed)}.json"
                if target.is_file():
                    continue
                start = time.monotonic()
                if minutes and longest and start - began + longest > 60 * minutes:
                    print("out of time; run it again", flush=True)
                    return
                write_json(target, one(group, name, seed, samples, work))
                longest = max(longest, time.monotonic() - start)
                print(f"{target.name}: {time.monotonic() - start:.0f} s", flush=True)


# ---- report ----


def read() -> tuple[dict[str, Any], dict[str, dict[str, list[dict[str, Any]]]]]:
    """Reads the description of the composites, and for each group and variant its runs by seed."""
    runs: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for group, variants in VARIANTS.items():
        for name in variants:
            paths = [RESULTS / f"{label(group, name, seed)}.json" for seed in SEEDS]
            runs.setdefault(group, {})[name] = [json.loads(path.read_text()) for path in paths if path.is_file()]
    return json.loads((RESULTS / "composites.json").read_text()), runs


def by_photograph(values: Sequence[float], groups: Sequence[int]) -> npt.NDArray[np.float64]:
    """Returns the mean over each photograph's composites, which are not independent samples."""
    x, of = np.asarray(values, np.float64), np.asarray(groups)
    return np.array([x[of == group].mean() for group in range(of.max() + 1)])


def difference(
    runs: Any, base: Any, test: str, key: str, groups: Sequence[int]
) -> tuple[metrics.Interval, list[float]]:
    """Returns a measure's difference to other runs: the mean over seeds, its interval over photographs, each seed's."""
    pairs = [(a, b) for a in runs for b in base if a["seed"] == b["seed"]]
    each = [np.subtract(a["figures"][test][key], b["figures"][test][key]) for a, b in pairs]
    photographs = by_photograph(np.mean(each, axis=0).tolist(), groups)
    return metrics.bootstrap(photographs), [float(by_photograph(x.tolist(), groups).mean()) for x in each]


def tables(group: str, test: str) -> str:
    """Returns the table of the differences to the composite and to the first variant, in PSNR and in fMSE."""
    composites, every = read()
    groups, variants = composites["groups"][test], every[group]
    untouched = [{"figures": composites["figures"], "seed": seed} for seed in SEEDS]
    base = next(iter(variants.values()))
    means = (by_photograph(composites["figures"][test][key], groups).mean() for key, _ in COLUMNS)
    values = " | | ".join(f"{mean:.{digits}f}" for mean, (_, digits) in zip(means, COLUMNS, strict=True))
    beyond = " | ".join(f"{key} beyond the composite | beyond the first" for key in ("PSNR", "fMSE"))
    lines = [f"| | {beyond} |", "|---|---|---|---|---|", f"| composite | {values} | |"]
    for name, runs in variants.items():
        cells = [name]
        for key, digits in COLUMNS:
            cells.append(_told(difference(runs, untouched, test, key, groups)[0], digits))
            interval, seeds = difference(runs, base, test, key, groups)
            agree = min(seeds) > 0 or max(seeds) < 0
            cells.append("" if runs is base else _told(interval, digits) + ("" if agree else ", seeds differ"))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _told(interval: metrics.Interval, digits: int) -> str:
    return f"{interval.mean:+.{digits}f} [{interval.low:+.{digits}f}, {interval.high:+.{digits}f}]"


#: The measures of tables, and digits after the point.
COLUMNS = (("psnr", 2), ("fmse", 0))


def costs(group: str) -> str:
    """Returns a table of parameters and CPU time; for adversarial variants also the discriminator's last loss."""
    every = read()[1][group]
    game = any("discriminator" in r["losses"] for runs in every.values() for r in runs)
    lines = [f"| | parameters | CPU time of a run |{' discriminator | its last loss |' if game else ''}"]
    lines.append(f"|---|---|---|{'---|---|' if game else ''}")
    for name, runs in every.items():
        spent = f"{statistics.mean(r['cpu_s'] for r in runs):.0f} s"
        if "encoder" in runs[0]:
            spent += f", and {statistics.mean(r['encoder']['cpu_s'] for r in runs):.0f} s of the encoder"
        cells = [name, f"{runs[0]['parameters']['generator']:,}", spent]
        if game:
            losses = [r["losses"]["discriminator"] for r in runs]
            cells.append(f"{runs[0]['parameters']['discriminator']:,}")
            cells.append(f"{statistics.mean(losses):.3f} ({min(losses):.3f} to {max(losses):.3f})")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def section(group: str) -> str:
    """Returns the text between the marks of a group on the page."""
    composites, _ = read()
    parts = [costs(group)]
    for test in TESTS:
        groups = composites["groups"][test]
        of = f" of {max(groups) + 1} photographs" if max(groups) + 1 < len(groups) else ""
        parts.append(f"{len(groups)} composites{of} ({test}):\n\n{tables(group, test)}")
    return "\n\n".join(parts)


def marks(group: str) -> tuple[str, str]:
    return f"<!-- {group}: written by benchmarks/compare_variants.py -->", f"<!-- end of {group} -->"


def written(text: str) -> str:
    """Returns the page with the tables in it."""
    for group in VARIANTS:
        start, end = marks(group)
        before, _, rest = text.partition(start)
        _, _, after = rest.partition(end)
        text = f"{before}{start}\n{section(group)}\n{end}{after}"
    return text


# ---- sheet ----


def sheet(data: Path, work: Path, seed: int) -> None:
    """Writes eight images of each test: the composite, each variant's result, the target; four times as large."""
    from pyharmony import io
    from pyharmony.cli._sheets import sheet as of_rows

    samples = shards(data, work)
    for group, variants in VARIANTS.items():
        methods = {}
        for name in variants:
            weights = work / "runs" / label(group, name, seed) / "last.safetensors"
            if weights.is_file():
                methods[name] = method_of(models.load(weights).eval())
        for test in TESTS:
            count, rows = len(samples[test]), []
            for index in (i * count // 8 for i in range(8)):
                sample = samples[test][index]
                pictures = {"composite": sample["composite"]}
                for name, method in methods.items():
                    output = method(sample["composite"], sample["mask"])
                    pictures[name] = evaluation.composed(output, sample["composite"], sample["mask"])
                pictures["target"] = sample["target"]
                rows.append([(name, picture.repeat(4, 0).repeat(4, 1)) for name, picture in pictures.items()])
            io.save(of_rows(rows), work / f"{group}-{test}.png")


def main() -> None:
    parser, commands = commands_of(__doc__)
    for name in ("run", "report", "sheet"):
        command = commands.add_parser(name)
        if name != "report":
            command.add_argument("data", type=Path)
            command.add_argument("--work", type=Path, default=WORK)
    commands.choices["run"].add_argument("--minutes", type=float, default=0.0)
    commands.choices["sheet"].add_argument("--seed", type=int, default=0)
    options = vars(parser.parse_args())
    command = options.pop("command")
    if command == "report":
        PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
    else:
        {"run": run, "sheet": sheet}[command](**options)


if __name__ == "__main__":
    main()
