"""Trains the network of `pyharmony/harmonization/light.py`, which estimates the light of a photograph.

    python tools/light.py DATA    # a quarter of an hour on one thread

DATA is a folder with the open data. Parts of its training photographs get another exposure and white balance, half of
them as by a camera, whose white clips, and half along curves that keep black and white. The network is told by how
much: what photographs differ by of themselves is noise to it, so that it shrinks its estimates. It also learns its own
error: what tells little weighs little. The weights, and their entry in the manifest, are written into the package.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps
from safetensors.numpy import save
from torch import nn

from pyharmony import _header, _shipped
from pyharmony.color import linear_to_srgb, srgb_to_linear
from pyharmony.harmonization import light

FOLDERS = ("photos_open", "pairs_open", "masks_open", "app_open", "highres_open")
#: The name prefix of photographs whose source is not stated.
EXCLUDED_PREFIX = "rembg_"
#: The longer side of the photographs from which parts are cut, and the number of parts of each.
PHOTO_SIDE, PARTS = 640, 12
#: The deviations of the changes of stops, blueness and greenness, and the shares of parts that have them.
DEVIATIONS, CHANGED_SHARES = (1.0, 0.4, 0.12), (0.72, 0.63, 0.63)
#: The largest changes that count, and the deviations by which they are divided: stops, red, blue.
LARGEST, UNITS = (2.5, 1.2, 1.2), (1.0, 0.45, 0.45)
WIDTH, DROPOUT, EPOCHS, BATCH, RATE, DECAY = 64, 0.15, 32, 256, 2e-3, 2e-2
#: The middle grey in sRGB, by whose change a curve is chosen, and the largest level that it may become.
GREY, BRIGHTEST_GREY = 0.46, 0.97
#: The linear light of pixels whose change is measured: above noise, and not clipped.
MEASURED = 0.02, 0.9
#: The changes of a photograph that is held back, by name: stops and blueness.
KNOWN = {"1.5 stops darker": (-1.5, 0.0), "1 stop brighter": (1.0, 0.0), "bluer": (0.0, 0.3), "warmer": (0.0, -0.3)}

Floats = npt.NDArray[np.float64]


def photographs(data: Path, split: str) -> Iterator[tuple[str, Image.Image]]:
    """Yields the names of photographs and them, reduced."""
    paths = {}
    for folder in FOLDERS:
        for one in json.loads((data / folder / "manifest.json").read_text())["entries"]:
            is_photo = one["role"] in ("photo", "src", "dst", "target") and one["split"] == split
            if is_photo and not one["pair"].startswith(EXCLUDED_PREFIX) and not one.get("monochrome"):
                paths.setdefault(one["pair"], data / folder / one["file"])
    for name, path in sorted(paths.items()):
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file).convert("RGB")
        image.thumbnail((PHOTO_SIDE, PHOTO_SIDE), Image.Resampling.BOX)
        yield name, image


def part_of(image: Image.Image, random: np.random.Generator | None) -> Floats:
    """Returns a part of a photograph in linear light, or all of it without a random generator."""
    box = (0.0, 0.0, float(image.width), float(image.height))
    if random is not None:
        share = random.uniform(0.5, 1)
        wide, high = image.width * share, image.height * share * random.uniform(0.8, 1)
        x, y = random.uniform(0, image.width - wide), random.uniform(0, image.height - high)
        box = x, y, x + wide, y + high
    small = image.resize((light.VIEW_SIDE, light.VIEW_SIDE), Image.Resampling.BOX, box=box)
    return srgb_to_linear(np.asarray(small, np.float64) / 255)


def changed(linear: Floats, stops: float, blueness: float, greenness: float, is_curve: bool) -> tuple[Floats, Floats]:
    """Returns a part [h, w, 3] in another light, in sRGB, and its change of stops, red and blue relative to green."""
    gains = 2.0 ** np.array([stops - blueness - greenness, stops + greenness, stops + blueness - greenness])
    if is_curve:
        grey = linear_to_srgb(np.minimum(srgb_to_linear(np.full(3, GREY)) * gains, srgb_to_linear(BRIGHTEST_GREY)))
        image = linear_to_srgb(linear) ** (np.log(grey) / np.log(GREY))
    else:
        image = linear_to_srgb(np.minimum(linear * gains, 1))
    image = np.rint(255 * image) / 255
    where = (linear.mean(2) > MEASURED[0]) & (linear.max(2) < MEASURED[1])
    if not where.any():
        return image, np.array([stops, -blueness - 2 * greenness, blueness - 2 * greenness])
    logs = np.log2((srgb_to_linear(image)[where] + 1e-3) / (linear[where] + 1e-3)).mean(0)
    return image, np.array([logs.mean(), logs[0] - logs[1], logs[2] - logs[1]])


def samples(data: Path, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Returns the statistics of changed parts of the training photographs, and their changes."""
    facts, shifts = [], []
    for _, image in photographs(data, "train"):
        for number in range(PARTS):
            part = part_of(image, random if number else None)
            change = random.normal(0, DEVIATIONS) * (random.random(3) < CHANGED_SHARES) * (number > 0)
            picture, shift = changed(part, *map(float, change), bool(random.random() < 0.5))
            facts.append(light.facts_of(picture))
            shifts.append(shift)
    return np.array(facts, np.float64), np.clip(shifts, -np.array(LARGEST), LARGEST)


def trained(facts: Floats, shifts: Floats) -> dict[str, npt.NDArray[np.float16]]:
    """Returns the arrays of a network that estimates changes [N, 3] by statistics [N, F]."""
    torch.manual_seed(0)
    mean, deviation = facts.mean(0).astype(np.float16), (facts.std(0) + 1e-3).astype(np.float16)
    most = light._MOST_DEVIATIONS
    inputs = torch.from_numpy(((facts - mean) / deviation).clip(-most, most)).float()
    units = torch.tensor(UNITS)
    targets = torch.from_numpy(shifts).float() / units
    layers = [nn.Linear(inputs.shape[1], WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 6)]
    between = nn.SiLU(), nn.Dropout(DROPOUT)
    network = nn.Sequential(layers[0], *between, layers[1], *between, layers[2])
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2 * RATE, total_steps=EPOCHS * -(-len(inputs) // BATCH))
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(inputs)).split(BATCH):
            estimates, errors = network(inputs[batch]).split(3, 1)
            errors = errors.clamp(-4, 2)  # their logarithms
            loss = ((estimates - targets[batch]).abs() * torch.exp(-errors) + errors).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        layers[2].weight = nn.Parameter(layers[2].weight[:3] * units[:, None])
        layers[2].bias = nn.Parameter(layers[2].bias[:3] * units)
    arrays = {"mean": mean, "deviation": deviation}
    for number, layer in enumerate(layers):
        arrays |= {f"{number}.weight": layer.weight.detach().numpy(), f"{number}.bias": layer.bias.detach().numpy()}
    return {name: np.ascontiguousarray(array, np.float16) for name, array in arrays.items()}


def figures(data: Path, split: str) -> Iterator[dict[str, object]]:
    """Yields the shares of known changes that the network in the package estimates, for a card."""
    tables: dict[str, list[float]] = {name: [] for name in KNOWN}
    for _, image in photographs(data, split):
        part = part_of(image, None)
        before = light._estimated(light.facts_of(linear_to_srgb(part)))
        for name, (stops, blueness) in KNOWN.items():
            for is_curve in (False, True):
                picture, shift = changed(part, stops, blueness, 0.0, is_curve)
                difference = light._estimated(light.facts_of(picture)) - before
                axis = 0 if stops else slice(1, 3)
                tables[name].append(float(np.sum(difference[axis] * shift[axis]) / np.sum(shift[axis] ** 2 + 1e-6)))
    for name, shares in tables.items():
        yield {
            "data": f"photographs, {split}, {name}", "images": len(shares) // 2, "measure": "share that is estimated",
            "value": round(float(np.mean(shares)), 2), "low": None, "high": None, "before": None,
        }  # fmt: skip


def entered(content: bytes, count: int, measured: list[dict[str, object]]) -> None:
    """Writes the entry of the manifest."""
    every = {one.name: dataclasses.asdict(one) for one in _shipped.manifest()}
    every[light.WEIGHTS] = {
        "name": light.WEIGHTS, "model": "light", "task": "compose", "file": f"{light.WEIGHTS}.safetensors",
        "summary": "Estimates the exposure and white balance of a photograph, for `pyharmony.compose`",
        "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), "licence": "Apache-2.0",
        "trained_on": f"{PARTS} parts each of {count} photographs under open licences, with known changes of light",
        "open_data": True,
        "commands": ["python tools/light.py DATA"], "figures": measured,
        "notes": "It estimates what photographs of its training had changed: half of the changes clip white, which is "
        "easier to see than those along a curve. Colours of content, such as a sunset's, are partly taken for light.",
    }  # fmt: skip
    table = {"format": 1, "weights": sorted(every.values(), key=lambda one: one["name"])}
    (_shipped.FOLDER / "manifest.json").write_text(json.dumps(table, indent=2, ensure_ascii=False) + "\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    facts, shifts = samples(data, np.random.default_rng(0))
    about = {"format": _header.FORMAT, "name": light.WEIGHTS, "config": {}, "part": "all"}
    content = save(trained(facts, shifts), {"pyharmony": json.dumps(about, sort_keys=True)})
    (_shipped.FOLDER / f"{light.WEIGHTS}.safetensors").write_bytes(content)
    entered(content, len(facts) // PARTS, [])
    measured = [*figures(data, "val"), *figures(data, "test")]
    entered(content, len(facts) // PARTS, measured)
    for one in measured:
        print(one["data"], one["value"])


if __name__ == "__main__":
    main()
