"""Small networks that score single images: their training data, their discrimination, and the filter.

    python benchmarks/realism.py prepare DATA WORK
    pyharmony train realism_cnn-small --data WORK/train --set data.validation=WORK/val -o WORK/run
    python benchmarks/realism.py measure DATA realism-small -o benchmarks/results/realism.json
    python benchmarks/realism.py filter DATA realism-small WORK/pool -o benchmarks/results/realism_filter.json
    pyharmony train style_encoder-small --data WORK/train --set data.validation=WORK/val -o WORK/run
    python benchmarks/realism.py calibrate WORK/val WORK/run/best.safetensors -o WORK/calibrated.safetensors
    python benchmarks/realism.py measure DATA WORK/calibrated.safetensors -o benchmarks/results/harmony.json

DATA contains photos_open, pairs_open and triples_open and optionally research_only/triples, each with its manifest.
Composites are made from the photographs of a split: train for training, val for model selection, test for evaluation.
One thread.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from photographs import Photographs, Picture
from records import commands_of
from torch import Tensor, nn
from torch.nn import functional

from pyharmony import color
from pyharmony import io as files
from pyharmony.learn import data, metrics, scoring
from pyharmony.networks.models import Model, create, load, save

#: Sides of the shards, from which crops are taken, and of the composites before reduction, which averages away their
#: rounding to 8 bits.
SHARD_SIDE, COMPOSITE_SIDE = 112, 224
PHOTOS = ("pairs_open", "photos_open")
TRIPLES = ("triples_open", "research_only/triples")
BINS = ((20, 80), (80, 300), (300, 1000), (1000, 2600))
UNBOUNDED = (0.0, 1e9)
#: Limits of the fMSE: the filter drops composites outside before it runs the network.
LIMITS = (20.0, 2600.0)
#: The share of each recolouring method in training: more transfers than the default, which is for harmonisers.
METHODS = {name: 2 if name == "lut_mix" else 1 for name in data.METHODS}

Floats = npt.NDArray[np.float64]


def composites(
    root: Path, split: str, own: int, borrowed: int, seed: int, limits: tuple[float, float] = LIMITS
) -> data.Joined:
    """Makes a number of composites of each photograph with its own mask, and of each of the others."""
    parts = []
    for borrows, count in ((False, own), (True, borrowed)):
        if count:
            photos = data.Resized(Photographs(root, PHOTOS, (split,), borrowed=borrows), COMPOSITE_SIDE)
            parts.append(data.Synthesis(photos, METHODS, per_photo=count, seed=seed + borrows, limits=limits))
    return data.Joined(parts)


def prepare(root: Path, work: Path) -> None:
    """Writes shards for training, for model selection, and for the filter."""
    work.mkdir(parents=True, exist_ok=True)
    for name, dataset in {
        "train": composites(root, "train", 8, 3, 0),
        "val": composites(root, "val", 6, 1, 100),
        "pool": composites(root, "train", 4, 0, 50, UNBOUNDED),
    }.items():
        if not (work / name).exists():
            result = data.write_shards(dataset, work / name, SHARD_SIDE, errors="skip")
            print(f"{name}: {len(result)} composites", flush=True)


# Discrimination


def area(real: Floats, composites: Floats, of: npt.NDArray[np.int64]) -> dict[str, float]:
    """Returns the area under the ROC curve of photographs against composites, the share of composites that score less
    than their own photograph, and the intervals of both.

    The intervals of 95 % are of 1000 bootstrap samples of photographs, each with its composites.

    Args:
        real: [P] scores of photographs.
        made: [N] of composites.
        of: [N] of which photograph.
    """
    wins = (real[:, None] > composites).astype(float) + 0.5 * (real[:, None] == composites)
    # For each pair of photographs, counts how often the first is above the composites of the second.
    counts = np.bincount(of, minlength=len(real)).astype(float)
    table = np.stack([np.bincount(of, row, len(real)) for row in wins])
    own = (real[of] > composites) + 0.5 * (real[of] == composites)
    won = np.bincount(of, own, len(real))
    random = np.random.default_rng(0)
    areas, of_own = [], []
    for _ in range(1000):
        picks = np.bincount(random.integers(0, len(real), len(real)), minlength=len(real))
        total = picks.sum() * (picks @ counts)
        if total:
            areas.append(picks @ table @ picks / total)
            of_own.append(picks @ won / (picks @ counts))
    low, high = np.percentile(areas, (2.5, 97.5))
    own_low, own_high = np.percentile(of_own, (2.5, 97.5))
    return {
        "auc": float(wins.mean()),
        "low": float(low),
        "high": float(high),
        "below_own": float(own.mean()),
        "below_own_low": float(own_low),
        "below_own_high": float(own_high),
        "photographs": int((counts > 0).sum()),
        "composites": len(composites),
    }


def round_trip(image: Picture, mask: Picture, random: np.random.Generator) -> Picture:
    """Returns the object darkened or lightened and back again, rounded to 8 bits each time."""
    power = float(np.exp(random.choice([-1, 1]) * random.uniform(0.2, 0.6)))
    there = np.rint(255 * (np.arange(256) / 255) ** power).astype(np.uint8)
    back = np.rint(255 * (np.arange(256) / 255) ** (1 / power)).astype(np.uint8)
    return np.where(mask[..., None] >= 128, back[there[image]], image)


def recompressed(image: Picture, quality: int) -> Picture:
    import io

    buffer = io.BytesIO()
    files.save(image, buffer, format="jpeg", quality=quality)
    return np.asarray(files.load(buffer.getvalue()))


def faint(composite: Picture, image: Picture, fmse: float, target_fmse: float) -> Picture:
    """Returns the composite with its change reduced to about the wanted fMSE."""
    change = (composite.astype(np.float64) - image) * np.sqrt(target_fmse / fmse)
    return np.rint(image + change).clip(0, 255).astype(np.uint8)


def rimmed(image: Picture, composite: Picture, mask: Picture) -> Picture:
    """Returns the photograph with the composite's colours next to the mask's border, in a hundredth of the side."""
    radius = max(1, round(min(mask.shape) / 200))
    m = torch.from_numpy((mask >= 128).astype(np.float32))[None, None]
    size = 2 * radius + 1
    wide = functional.max_pool2d(m, size, 1, radius)
    narrow = -functional.max_pool2d(-m, size, 1, radius)
    return np.where((wide - narrow)[0, 0, ..., None].numpy() > 0, composite, image)


def calibrate(pairs: data.Shards, model: Model, path: Path) -> None:
    """Writes a style encoder's weights with the decay for which half of these photographs and composites score 0.5."""
    distances = [
        -np.log(scoring.harmony_score(pair[role], pair["mask"], network=model, device="cpu")) / model.config.decay
        for pair in pairs
        for role in ("target", "composite")
    ]
    decay = float(f"{np.log(2) / np.median(distances):.4g}")
    copy_of_model = create(model.name, **{**dataclasses.asdict(model.config), "decay": decay})
    copy_of_model.load_state_dict(model.state_dict())
    save(copy_of_model, path)
    print(f"decay {decay}")


def measure(root: Path, model: Model) -> dict[str, Any]:
    """Evaluates `realism_score`, with and without the mask, or an encoder of regions by `harmony_score`."""
    masked = model.name != "realism_cnn"

    def score(picture: Picture, mask: Picture | None) -> float:
        if masked:
            return scoring.harmony_score(picture, mask, network=model, device="cpu") if mask is not None else 0.0
        return scoring.realism_score(picture, mask, network=model, device="cpu")

    record: dict[str, Any] = {"torch": torch.__version__, "parameters": sum(p.numel() for p in model.parameters())}
    for name, borrowed, times in (("photographs, test", False, 4), ("borrowed masks, test", True, 2)):
        photos = Photographs(root, PHOTOS, ("test",), borrowed=borrowed)
        synthesis = data.Synthesis(photos, per_photo=times, seed=200)
        rows: list[dict[str, Any]] = []
        real: list[dict[str, float]] = []
        for i, photo in enumerate(photos):
            image, mask = photo["image"], photo["mask"]
            random = np.random.default_rng((300, i))
            real.append({"mask": score(image, mask), "none": score(image, None)})
            real[-1]["jpeg"] = score(recompressed(image, 75), mask)
            real[-1]["round_trip"] = score(round_trip(image, mask, random), mask)
            real[-1]["retouched"] = score(color.retouch(image, None, rng=random)[0], mask)
            for k in range(times):
                sample = synthesis[times * i + k]
                composite, fmse = sample["composite"], sample["recipe"]["fmse"]
                row = {"of": i, "fmse": fmse, "mask": score(composite, mask), "none": score(composite, None)}
                row["faint"] = score(faint(composite, image, fmse, 4.0), mask)
                row["rim"] = score(rimmed(image, composite, mask), mask)
                rows.append(row)
        record[name] = summary(real, rows)
    every_real: list[dict[str, float]] = []
    every_row: list[dict[str, Any]] = []
    for folder in TRIPLES:
        if not (root / folder).is_dir():
            continue
        triples = data.Manifest(root / folder, "test", ("composite", "mask", "target"))
        real, rows = [], []
        targets: dict[str, int] = {}
        for i, sample in enumerate(triples):
            photo = triples.names[i].partition("__")[0]
            mask = sample["mask"]
            if photo not in targets:
                targets[photo] = len(real)
                real.append({"mask": score(sample["target"], mask), "none": score(sample["target"], None)})
            fmse = metrics.fmse(sample["composite"], sample["target"], mask)
            scores = {"mask": score(sample["composite"], mask), "none": score(sample["composite"], None)}
            rows.append({"of": targets[photo], "fmse": fmse, **scores})
        record[f"{folder}, test"] = summary(real, rows)
        every_row += [{**row, "of": row["of"] + len(every_real)} for row in rows]
        every_real += real
    if every_row:
        record["triples, test"] = summary(every_real, every_row)
    return record


def summary(real: list[dict[str, float]], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns areas: of all composites, without their masks, by fMSE; and of the controls, expected at 0.5."""
    photographs = np.array([row["mask"] for row in real])
    of = np.array([row["of"] for row in rows])
    composites = np.array([row["mask"] for row in rows])
    fmse = np.array([row["fmse"] for row in rows])
    areas: dict[str, Any] = {"all": area(photographs, composites, of)}
    if any(row["none"] for row in real):
        areas["no mask"] = area(np.array([r["none"] for r in real]), np.array([r["none"] for r in rows]), of)
    for low, high in BINS:
        inside = (fmse >= low) & (fmse < high)
        if inside.any():
            areas[f"fMSE {low} to {high}"] = area(photographs, composites[inside], of[inside])
    for control in ("faint", "rim"):
        if control in rows[0]:
            areas[f"control, {control}"] = area(photographs, np.array([row[control] for row in rows]), of)
    for control in ("jpeg", "round_trip", "retouched"):
        if control in real[0]:
            changed = np.array([row[control] for row in real])
            areas[f"control, {control}"] = area(photographs, changed, np.arange(len(real)))
    return areas


# The effect of the filter


class Regressor(nn.Module):
    """A harmoniser that is trained in a minute: an affine map of the object's colours, and curves of each channel."""

    knots = 8

    def __init__(self) -> None:
        super().__init__()
        widths = (4, 16, 32, 48, 64)
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in itertools.pairwise(widths))
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) for b in widths[1:])
        self.hidden = nn.Linear(2 * sum(widths[1:]), 64)
        self.out = nn.Linear(64, 12 + 3 * self.knots)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, composite: Tensor, mask: Tensor) -> Tensor:
        """Returns the parameters for composites [N, 3, S, S] and masks [N, 1, S, S], in [0, 1]: [N, 12 + 3 K]."""
        x = torch.cat([composite * 2 - 1, mask], 1)
        means = []
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = torch.relu(norm(layer(x)))
            m = functional.adaptive_avg_pool2d(mask, x.shape[2:])
            for weight in (m, 1 - m):
                means.append((x * weight).sum((2, 3)) / weight.sum((2, 3)).clamp(min=1e-3))
        return self.out(torch.relu(self.hidden(torch.cat(means, 1))))

    def apply(self, parameters: Tensor, composite: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        """Returns the harmonised images."""
        change, curves = parameters[:, :12].reshape(-1, 3, 4), parameters[:, 12:].reshape(-1, 3, self.knots)
        y = composite + torch.einsum("nij,njhw->nihw", change[:, :, :3], composite) + change[:, :, 3, None, None]
        at = composite.clamp(0, 1) * (self.knots - 1)
        for k in range(self.knots):
            y = y + curves[:, :, k, None, None] * (1 - (at - k).abs()).clamp(min=0)
        return torch.lerp(composite, y.clamp(0, 1), mask)


def tensors(samples: Iterable[dict[str, Any]], size: int) -> dict[str, Tensor]:
    small = [data.resize_sample(sample, size) for sample in samples]
    batch = {}
    for name in ("composite", "target", "mask"):
        x = torch.from_numpy(np.stack([sample[name] for sample in small]))
        batch[name] = x[:, None] if x.ndim == 3 else x.permute(0, 3, 1, 2)
    return batch


def unit(x: Tensor) -> Tensor:
    return x.float() / 255


def trained(
    samples: dict[str, Tensor], indices: npt.NDArray[np.int64], seed: int, steps: int
) -> tuple[Regressor, float]:
    """Returns a regressor after a number of steps on the chosen samples, and its CPU time."""
    torch.manual_seed(seed)
    model = Regressor().train()
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, steps, pct_start=0.05)
    random = np.random.default_rng(seed)
    start = time.process_time()
    for _ in range(steps):
        batch = torch.from_numpy(random.choice(indices, 32))
        composite, target, mask = (unit(samples[name][batch]) for name in ("composite", "target", "mask"))
        if random.integers(2):
            composite, target, mask = (x.flip(3) for x in (composite, target, mask))
        output = model.apply(model(composite, mask), composite, mask)
        error = (output - target).square().sum((1, 2, 3)) / (3 * mask.sum((1, 2, 3)).clamp(min=20))
        loss = (error + 1e-4).sqrt().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval(), time.process_time() - start


@torch.no_grad()
def errors(model: Regressor | None, small: dict[str, Tensor], whole: dict[str, Tensor]) -> dict[str, Floats]:
    """Returns each sample's PSNR and fMSE at the size of whole; None: of the composites."""
    output = unit(whole["composite"])
    if model is not None:
        output = model.apply(model(unit(small["composite"]), unit(small["mask"])), output, unit(whole["mask"]))
    square = ((output * 255).round() - whole["target"].float()).square().double()
    inside = unit(whole["mask"]).double()
    mse = square.mean((1, 2, 3)).clamp(min=1e-6)
    fmse = (square * inside).sum((1, 2, 3)) / (3 * inside.sum((1, 2, 3)))
    return {"psnr": (10 * torch.log10(255**2 / mse)).numpy(), "fmse": fmse.numpy()}


def compare(root: Path, model: Model, pool: data.Shards, path: Path, *, seeds: int, steps: int, keep: float) -> None:
    """Trains the same regressor on as many composites without the filter, with its limits, and with its network.

    The file at path is written after each seed; seeds that are in it are not trained again.
    """
    size = 64
    scores = [scoring.realism_score(s["composite"], s["mask"], network=model, device="cpu") for s in pool]
    fmse = np.array([metrics.fmse(s["composite"], s["target"], s["mask"]) for s in pool])
    training_tensors = tensors(pool, size)
    within = np.flatnonzero((fmse >= LIMITS[0]) & (fmse <= LIMITS[1]))
    count = int(keep * len(within))
    random = np.random.default_rng(0)
    arms = {
        "all": np.sort(random.permutation(len(pool))[:count]),
        "limits": np.sort(random.permutation(within)[:count]),
        "limits, realism": within[np.argsort(-np.array(scores)[within])[:count]],
    }
    test_samples: list[dict[str, Any]] = []
    for folder in TRIPLES:
        for split in ("val", "test"):
            if (root / folder).is_dir():
                triples = data.Manifest(root / folder, split, ("composite", "mask", "target"))
                test_samples += [data.resize_sample(sample) for sample in triples]
    small, whole = tensors(test_samples, size), tensors(test_samples, 256)
    record: dict[str, Any] = {
        "pool": len(pool),
        "within_limits": len(within),
        "each": count,
        "triples": len(test_samples),
        "steps": steps,
        "composite": {name: float(x.mean()) for name, x in errors(None, small, whole).items()},
        "median_fmse": {arm: float(np.median(fmse[indices])) for arm, indices in arms.items()},
    }
    runs: list[dict[str, Any]] = json.loads(path.read_text())["runs"] if path.exists() else []
    for seed in range(len(runs), seeds):
        runs.append({})
        for arm, indices in arms.items():
            regressor, spent = trained(training_tensors, indices, seed, steps)
            table = {name: x.round(3).tolist() for name, x in errors(regressor, small, whole).items()}
            runs[-1][arm] = {"cpu_s": round(spent, 1), **table}
        path.write_text(json.dumps({**record, "means": means(runs), "runs": runs}) + "\n")
        print(f"seed {seed}: {means(runs[-1:])}", flush=True)


def means(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns each arm's metrics over all triples and seeds, and their differences to those of `limits`."""
    table: dict[str, Any] = {}
    for arm in runs[0]:
        table[arm] = {}
        for name in ("psnr", "fmse"):
            own, other = (np.mean([run[which][name] for run in runs], 0) for which in (arm, "limits"))
            table[arm][name] = str(metrics.bootstrap(own))
            table[arm][f"{name}_of_seeds"] = [round(float(np.mean(run[arm][name])), 3) for run in runs]
            if arm != "limits":
                table[arm][f"{name}_beyond_limits"] = str(metrics.bootstrap(own - other))
    return table


def main() -> None:
    parser, commands = commands_of(__doc__)
    for name in ("prepare", "calibrate", "measure", "filter"):
        one = commands.add_parser(name)
        one.add_argument("data", type=Path)
        if name == "prepare":
            one.add_argument("work", type=Path)
            continue
        one.add_argument("weights")
        one.add_argument("-o", "--output", type=Path, required=True)
        if name == "filter":
            one.add_argument("pool", type=Path)
            for setting, default in (("seeds", 3), ("steps", 400), ("keep", 0.8)):
                one.add_argument(f"--{setting}", type=type(default), default=default)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.command == "prepare":
        prepare(options.data, options.work)
    elif options.command == "calibrate":
        calibrate(data.Shards(options.data), load(options.weights), options.output)
    elif options.command == "measure":
        options.output.write_text(json.dumps(measure(options.data, load(options.weights)), indent=1) + "\n")
    else:
        settings = {"seeds": options.seeds, "steps": options.steps, "keep": options.keep}
        compare(options.data, load(options.weights), data.Shards(options.pool), options.output, **settings)


if __name__ == "__main__":
    main()
