"""Fits the part of `clicks` that classifies whether people could stand in a photograph.

    python tools/scenes.py fit DATA START.safetensors OUT.safetensors
    python tools/scenes.py measure DATA

DATA is a folder with the open data. `tools/annotations/scenes.json` labels its training photographs without people by
whether people could stand in them: not in close-ups, the sky, and scenes under water. The part is a logistic regression
on the mean of the coarsest features, which no training changes; all other layers are unchanged. `measure` prints its
accuracy in cross-validation with eight folds.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from pyharmony.networks import models
from pyharmony.networks.models.clicks import Clicks

ANNOTATIONS = Path(__file__).parent / "annotations" / "scenes.json"
FOLDERS = ("photos_open", "pairs_open", "masks_open")
#: The ridge weight for features of deviation 1, the number of Newton steps, and of folds.
RIDGE, STEPS, FOLDS = 30.0, 10, 8

Floats = npt.NDArray[np.float64]


def photographs(data: Path) -> tuple[list[Path], Floats]:
    """Returns the files of the labelled photographs, and 1 where people could stand, [N]."""
    table = json.loads(ANNOTATIONS.read_text("utf-8"))
    labels = {name: float(word == "standable") for word in ("standable", "not_standable") for name in table[word]}
    files: dict[str, Path] = {}
    for folder in FOLDERS:
        for entry in json.loads((data / folder / "manifest.json").read_text("utf-8"))["entries"]:
            if entry["role"] == "photo" and entry["split"] == "train" and entry["pair"] in labels:
                files[entry["pair"]] = data / folder / entry["file"]
    missing = labels.keys() - files.keys()
    if missing:
        raise SystemExit(f"{data}: no photographs of train of these names: {', '.join(sorted(missing)[:5])}")
    return [files[name] for name in sorted(files)], np.array([labels[name] for name in sorted(files)])


def features_of(network: Clicks, files: list[Path]) -> Floats:
    """Returns the means of the coarsest features of photographs, [N, C]."""
    side = network.config.size
    means = []
    for file in files:
        with Image.open(file) as image:
            pixels = np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR))
        view = torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float32) / 255)[None]
        with torch.no_grad():
            means.append(network.image_features(view)[-1].mean((2, 3))[0].numpy())
    return np.array(means, np.float64)


def fitted(features: Floats, labels: Floats) -> tuple[Floats, float]:
    """Returns weights [C] and a bias by logistic regression, in which both labels have equal weight."""
    middle, spread = features.mean(0), features.std(0) + 1e-6
    x = np.concatenate([(features - middle) / spread, np.ones((len(features), 1))], 1)
    share = labels.mean()
    counts = np.where(labels == 1, 0.5 / share, 0.5 / (1 - share))
    ridge = np.diag([RIDGE] * features.shape[1] + [0.0])
    weights = np.zeros(x.shape[1])
    for _ in range(STEPS):
        likely = 1 / (1 + np.exp(-x @ weights))
        slope = x.T @ (counts * (likely - labels)) + ridge @ weights
        curve = (x * (counts * likely * (1 - likely))[:, None]).T @ x + ridge
        weights -= np.linalg.solve(curve, slope)
    own = weights[:-1] / spread
    return own, float(weights[-1] - own @ middle)


def measure(features: Floats, labels: Floats) -> None:
    """Prints the accuracy on photographs that were left out."""
    part = np.random.default_rng(0).integers(0, FOLDS, len(labels))
    logits = np.zeros(len(labels))
    for fold in range(FOLDS):
        out = part == fold
        weights, bias = fitted(features[~out], labels[~out])
        logits[out] = features[out] @ weights + bias
    order = np.argsort(np.argsort(logits))
    count = labels.sum()
    area = (order[labels == 1].sum() - count * (count - 1) / 2) / (count * (len(labels) - count))
    print(f"{len(labels)} photographs, people could stand in {count:.0f}: area under the curve {area:.3f}")
    for least in (0.2, 0.3, 0.4, 0.5, 0.6):
        likely = logits >= np.log(least / (1 - least))
        misses, false_alarms = 1 - likely[labels == 1].mean(), 1 - likely[labels == 0].mean()
        print(f"  below {least}: {misses:.3f} of those in which people could stand, {false_alarms:.3f} of the others")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("fit", "measure"):
        command = commands.add_parser(name)
        command.add_argument("data", type=Path)
        if name == "fit":
            command.add_argument("start", type=Path)
            command.add_argument("out", type=Path)
    arguments = parser.parse_args()
    before = models.load(arguments.start if arguments.command == "fit" else "clicks-imagenet").eval()
    files, labels = photographs(arguments.data)
    features = features_of(before, files)
    measure(features, labels)
    if arguments.command == "fit":
        network = models.create("clicks", **{**vars(before.config), "scene": True})
        network.load_state_dict(before.state_dict(), strict=False)
        weights, bias = fitted(features, labels)
        with torch.no_grad():
            network.scene.weight.copy_(torch.from_numpy(weights)[None])
            network.scene.bias.fill_(bias)
        models.save(network, arguments.out)


if __name__ == "__main__":
    main()
