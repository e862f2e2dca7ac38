"""The effect of DoveNet's savings and of bfloat16 on the quality: the literal published step compared with ours.

    python benchmarks/time_to_quality.py DATA -o benchmarks/results/time_to_quality.json

Each starts from the same weights, with the same seed, and sees the same composites in the same order: photographs of
DATA/pairs_open for training, their objects recoloured. The measures are the PSNR of composites of its other
photographs, with a moving average of the weights, and the CPU time of the steps, on one thread.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from published_dovenet import PublishedStep
from torch import Tensor, nn

from pyharmony.learn.training import steps
from pyharmony.networks import models

SIZE = 256
DECAY = 0.98
LR = 1e-3
Batch = dict[str, Tensor]


def recoloured(data: Path, splits: Sequence[str], times: int, seed: int) -> Batch:
    """Returns photographs with each object changed by a gamma, gains and shifts of its channels."""
    folder = data / "pairs_open"
    entries = json.loads((folder / "manifest.json").read_text())["entries"]
    photos = {entry["pair"]: entry["file"] for entry in entries if entry["role"] == "photo"}
    rng = np.random.default_rng(seed)
    rows = []
    for entry in entries:
        if entry["role"] != "mask" or entry["split"] not in splits:
            continue
        photo = Image.open(folder / photos[entry["pair"]]).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BOX)
        mask = Image.open(folder / entry["file"]).convert("L").resize((SIZE, SIZE), Image.Resampling.BOX)
        target = np.asarray(photo, np.float32) / 255
        inside = (np.asarray(mask) >= 128)[..., None].astype(np.float32)
        for _ in range(times):
            changed = target ** np.exp2(rng.uniform(-0.7, 0.7)) * rng.uniform(0.6, 1.3, 3) + rng.uniform(-0.15, 0.15, 3)
            composite = np.where(inside > 0, np.clip(changed, 0, 1), target)
            rows.append((composite * 2 - 1, inside, target * 2 - 1))
    tensors = [torch.from_numpy(np.stack(x).astype(np.float32)).permute(0, 3, 1, 2) for x in zip(*rows, strict=True)]
    return dict(zip(("composite", "mask", "target"), (x.contiguous() for x in tensors), strict=True))


def chosen(samples: Batch, index: Tensor) -> Batch:
    return {name: x[index] for name, x in samples.items()}


def psnr(generate: Callable[[Batch], Tensor], samples: Batch) -> float:
    """Returns the mean over the samples, of the output inside the mask and the composite outside."""
    ratios = []
    for start in range(0, len(samples["target"]), 8):
        batch = chosen(samples, torch.arange(start, min(start + 8, len(samples["target"]))))
        with torch.no_grad():
            output = batch["mask"] * generate(batch) + (1 - batch["mask"]) * batch["composite"]
        levels = ((output.clamp(-1, 1) + 1) * 127.5).round() - ((batch["target"] + 1) * 127.5).round()
        ratios += [20 * math.log10(255) - 10 * math.log10(max(float(x), 1e-6)) for x in levels.square().mean((1, 2, 3))]
    return statistics.mean(ratios)


def contestants(width: int, seed: int) -> dict[str, tuple[nn.Module, Callable[[Batch], Any], Callable[..., Tensor]]]:
    """Returns by name: the generator, a step, and a function that returns the generator's output for a batch."""

    def literal() -> tuple[nn.Module, Callable[[Batch], Any], Callable[..., Tensor]]:
        step = PublishedStep(width, lr=LR)
        step.take(made())
        return (
            step.generator,
            lambda batch: step(batch["composite"], batch["target"], batch["mask"]),
            lambda net, batch: net(torch.cat([batch["composite"], batch["mask"]], 1)),
        )

    def made() -> Any:
        torch.manual_seed(seed)
        return models.create("dovenet", width=width, discriminator_width=width)

    def ours(dtype: str) -> tuple[nn.Module, Callable[[Batch], Any], Callable[..., Tensor]]:
        model = made()
        step = steps.create(model, dtype=dtype, gradient_penalty=10.0, lr=LR)
        return model.generator, step, lambda net, batch: net(batch["composite"], batch["mask"])

    return {"literal": literal(), "savings": ours("float32"), "savings, bfloat16": ours("bfloat16")}


def run(data: Path, *, seeds: int, count: int, every: int, width: int, batch: int) -> dict[str, Any]:
    training, held_back = recoloured(data, ("train",), 4, 1), recoloured(data, ("val", "test"), 1, 2)
    before = psnr(lambda b: b["composite"], held_back)
    table: dict[str, Any] = {}
    for seed in range(seeds):
        order = np.random.default_rng(seed).integers(0, len(training["target"]), (count, batch))
        for name, (generator, step, generate) in contestants(width, seed).items():
            torch.manual_seed(1000 + seed)
            average = copy.deepcopy(generator).eval()
            curve, spent = [], 0.0
            for i in range(count):
                samples = chosen(training, torch.from_numpy(order[i]))
                start = time.process_time()
                generator.train()
                step(samples)
                spent += time.process_time() - start
                with torch.no_grad():
                    torch._foreach_lerp_(
                        list(average.parameters()), list(generator.parameters()), 1 - min(DECAY, (1 + i) / (10 + i))
                    )
                if (i + 1) % every == 0:
                    value = psnr(lambda b, net=average, make=generate: make(net, b), held_back)
                    curve.append({"images": (i + 1) * batch, "psnr": value, "cpu_s": spent})
                    print(f"seed {seed}, {name}: {curve[-1]}", flush=True)
            table.setdefault(name, []).append(curve)
    return {
        "torch": torch.__version__,
        "width": width,
        "batch": batch,
        "photographs": len(training["target"]) // 4,
        "held_back": len(held_back["target"]),
        "composite_psnr": before,
        "runs": table,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    for name, default in (("seeds", 3), ("count", 240), ("every", 40), ("width", 8), ("batch", 4)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = vars(parser.parse_args())
    torch.set_num_threads(1)
    output = options.pop("output")
    output.write_text(json.dumps(run(options.pop("data"), **options), indent=1) + "\n")


if __name__ == "__main__":
    main()
