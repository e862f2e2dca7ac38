"""Trains the part of `clicks` that detects people by their heads; all other layers are frozen.

    python tools/heads.py train DATA START.safetensors OUT.safetensors --minutes 60
    python tools/heads.py measure DATA WEIGHTS.safetensors
    python tools/heads.py measure DATA auto  # the results of `Session.heads`, with the bundled weights

DATA is a folder with the open data. `tools/annotations/heads.json` contains the positions of heads and people in its
photographs, drawn by hand, and `nobody.json` lists those without people. Measured on the photographs of val and test,
and those of `benchmarks/layouts.json`, whose heads are not used in training, though most train the other layers.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageFilter
from torch import Tensor, nn
from torch.nn import functional

from pyharmony import segmentation
from pyharmony.networks import models
from pyharmony.networks.models.clicks import HEADS, PLACE, Clicks
from pyharmony.segmentation.heads import Head, corners, heads_of
from pyharmony.segmentation.people import SURE

ROOT = Path(__file__).resolve().parent.parent
ANNOTATIONS, LAYOUTS = Path(__file__).parent / "annotations", ROOT / "benchmarks" / "layouts.json"
#: The name prefix of photographs whose heads are not used, since their source is not stated.
EXCLUDED_PREFIX = "rembg_"
#: Categories of photographs without people.
EMPTY = ("landscape", "flower", "grocery")
#: The share of samples without people, and that of samples of four photographs.
EMPTY_SHARE, MOSAIC_SHARE = 0.2, 0.3
#: The sharpness of the bump around the centre of a head, in its sides, and the smallest one, in cells.
BUMP_SIGMA, MIN_BUMP_SIGMA = 0.15, 0.6
#: The IoU at which a head counts as detected, and the visible share below which it is not a positive.
DETECTION_IOU, MIN_VISIBLE_SHARE = 0.25, 0.5
#: The lower limit of the logarithm of a distance, in sides.
MIN_DISTANCE = 1 / 128

Floats = npt.NDArray[np.float64]


class Photo(NamedTuple):
    """A photograph and its annotated people.

    Attributes:
        pixels: [H, W, 3] uint8.
        heads, bodies: boxes (left, top, right, bottom) of heads and people, [N, 4], in sides of the photograph; NaN
            for an invisible head.
        unknown: boxes of regions where people may be present, [M, 4].
    """

    pixels: npt.NDArray[np.uint8]
    heads: Floats
    bodies: Floats
    unknown: Floats


def photos_of(data: Path, part: str) -> list[Photo]:
    """Returns the photographs of a part: 'train', 'held back', 'layouts', or 'nobody', which are held back too."""
    files, splits, categories = {}, {}, {}
    for folder in ("photos_open", "pairs_open"):
        manifest = json.loads((data / folder / "manifest.json").read_text("utf-8"))
        for entry in manifest["entries"] if isinstance(manifest, dict) else manifest:
            if entry["role"] == "photo":
                files[entry["pair"]] = data / folder / entry["file"]
                splits[entry["pair"]], categories[entry["pair"]] = entry["split"], entry.get("category")
    layouts = json.loads(LAYOUTS.read_text("utf-8"))["layouts"]
    if part == "layouts":
        return [_photo(files[entry["photo"]], entry) for entry in layouts]
    entries = json.loads((ANNOTATIONS / "heads.json").read_text("utf-8"))["photographs"]
    is_train, is_empty = part == "train", part == "nobody"

    def in_part(name: str) -> bool:
        return (splits[name] == "train") == is_train and not (is_train and name.startswith(EXCLUDED_PREFIX))

    photos = [_photo(files[entry["photo"]], entry) for entry in entries if in_part(entry["photo"]) and not is_empty]
    if is_train or is_empty:
        looked_at = json.loads((ANNOTATIONS / "nobody.json").read_text("utf-8"))["nobody"]
        without = {Path(name).stem for name in looked_at}
        # Photographs of the layouts are not used in training, and none is used twice.
        annotated = {entry["photo"] for entry in (*layouts, *entries)}
        for name, path in files.items():
            if in_part(name) and name not in annotated and (name in without or categories[name] in EMPTY):
                photos.append(_photo(path, {"people": []}))
    return photos


def _photo(path: Path, entry: dict[str, Any]) -> Photo:
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    missing = [math.nan] * 4
    heads = [person["head"] or missing for person in entry["people"]]
    bodies = [person["body"] for person in entry["people"]]
    boxes = [heads, bodies, entry.get("ignore", [])]
    return Photo(pixels, *(np.array(x, np.float64).reshape(-1, 4) / 100 for x in boxes))


class Samples(torch.utils.data.IterableDataset[Any]):
    """Draws parts of photographs without end."""

    def __init__(self, photos: Sequence[Photo], size: int, seed: int) -> None:
        self.peopled = [photo for photo in photos if len(photo.bodies)]
        self.empty = [photo for photo in photos if not len(photo.bodies)]
        self.size, self.seed = size, seed

    def __iter__(self) -> Any:
        worker = torch.utils.data.get_worker_info()
        random = np.random.default_rng((self.seed, worker.id if worker else 0))
        while True:
            yield _tensors(self._sample(random), random)

    def _sample(self, random: np.random.Generator) -> Photo:
        if random.random() >= MOSAIC_SHARE:
            return self._part(random, self.size, self.size, 0.35)
        # A mosaic of four photographs shows people smaller than most photographs do.
        across, down = (round(self.size * random.uniform(0.35, 0.65)) for _ in range(2))
        rows, boxes = [], []
        for top, high in ((0, down), (down, self.size - down)):
            row = []
            for left, wide in ((0, across), (across, self.size - across)):
                part = self._part(random, wide, high, 0.6)
                row.append(part.pixels)
                corners_in_crop = [x * ([wide, high] * 2) + [left, top] * 2 for x in part[1:]]
                boxes.append([x / self.size for x in corners_in_crop])
            rows.append(np.concatenate(row, 1))
        return Photo(np.concatenate(rows), *(np.concatenate(x) for x in zip(*boxes)))

    def _part(self, random: np.random.Generator, width: int, height: int, least: float) -> Photo:
        """Returns a crop of a photograph, at least this share of its sides, at the required size."""
        among = self.empty if self.empty and random.random() < EMPTY_SHARE else self.peopled
        photo = among[int(random.integers(len(among)))]
        whole = random.random() < 0.3
        share = 1.0 if whole else random.uniform(least, 1)
        stretched = 1.0 if whole else math.exp(random.uniform(-0.2, 0.2))
        across, down = min(1.0, share * stretched), min(1.0, share / stretched)
        left, top = random.uniform(0, 1 - across), random.uniform(0, 1 - down)
        high, wide = photo.pixels.shape[:2]
        box = left * wide, top * high, (left + across) * wide, (top + down) * high
        image = Image.fromarray(photo.pixels).resize((width, height), Image.Resampling.BILINEAR, box=box)
        points = [(x - [left, top] * 2) / ([across, down] * 2) for x in photo[1:]]
        pixels = np.asarray(image)
        if random.random() < 0.5:
            pixels, points = (
                pixels[:, ::-1],
                [np.stack([1 - x[:, 2], x[:, 1], 1 - x[:, 0], x[:, 3]], 1) for x in points],
            )
        return _inside(pixels, *points)


def _inside(pixels: npt.NDArray[np.uint8], heads: Floats, bodies: Floats, unknown: Floats) -> Photo:
    """Returns a crop with boxes clipped to its border; heads that are mostly invisible become unknown regions."""
    cut = np.clip(heads, 0, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        visible = _area(cut) / _area(heads)
    little = (visible > 0) & (visible < MIN_VISIBLE_SHARE)
    there = visible >= MIN_VISIBLE_SHARE
    unknown = np.concatenate([np.clip(unknown, 0, 1), cut[little]])
    return Photo(pixels, cut[there], np.clip(bodies, 0, 1)[there], unknown[_area(unknown) > 0])


def _area(boxes: Floats) -> Floats:
    return (boxes[:, 2] - boxes[:, 0]).clip(0) * (boxes[:, 3] - boxes[:, 1]).clip(0)


def _tensors(photo: Photo, random: np.random.Generator) -> dict[str, Tensor]:
    """Returns an image in another light, [3, S, S], and the targets at its positions."""
    pixels = photo.pixels
    if random.random() < 0.25:
        image = Image.fromarray(np.ascontiguousarray(pixels))
        pixels = np.asarray(image.filter(ImageFilter.GaussianBlur(random.uniform(0.3, 1.5))))
    x = pixels.astype(np.float32) / 255
    if random.random() < 0.8:
        x = x ** np.float32(math.exp(random.uniform(-0.5, 0.5)))
        x = x * random.uniform(0.75, 1.2) + random.uniform(-0.08, 0.08)
        gray = x.mean(2, keepdims=True)
        x = gray + (x - gray) * random.choice([0.0, 1.0, random.uniform(0.4, 1.5)], p=[0.08, 0.3, 0.62])
        x = x * random.uniform(0.9, 1.1, 3)
    if random.random() < 0.3:
        x = x + random.normal(0, random.uniform(0, 0.05), x.shape)
    x = np.clip(x, 0, 1).astype(np.float32)
    heat, planes, weight = _right(photo, len(x) // PLACE)
    arrays = {"image": x.transpose(2, 0, 1), "heat": heat, "planes": planes, "weight": weight}
    return {name: torch.from_numpy(np.ascontiguousarray(x)) for name, x in arrays.items()}


def _right(photo: Photo, side: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], Any]:
    """Returns the bumps of heads [1, S, S], 1 at the centre, -1 if unknown; the other planes; their weight."""
    heat = np.zeros((side, side), np.float32)
    planes, weight = np.zeros((HEADS - 1, side, side), np.float32), np.zeros((1, side, side), np.float32)
    rows, columns = np.arange(side)[:, None] + 0.5, np.arange(side) + 0.5
    for left, top, right, bottom in photo.unknown * side:
        heat[max(0, round(top)) : round(bottom) + 1, max(0, round(left)) : round(right) + 1] = -1
    # The largest come first: cells of a smaller head in front belong to it.
    for i in np.argsort(-_area(photo.heads)):
        left, top, right, bottom = photo.heads[i] * side
        x, y, wide, high = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
        across, down = max(MIN_BUMP_SIGMA, BUMP_SIGMA * wide), max(MIN_BUMP_SIGMA, BUMP_SIGMA * high)
        bump = np.exp(-((columns - x) ** 2) / (2 * across**2) - (rows - y) ** 2 / (2 * down**2))
        row, column = min(side - 1, int(y)), min(side - 1, int(x))
        bump[row, column] = 1
        near = bump > np.maximum(heat, 0.3)
        heat = np.maximum(heat, np.where(bump > 0.1, bump, heat)).astype(np.float32)
        body = photo.bodies[i] * side
        beside = [x - body[0], y - body[1], body[2] - x, body[3] - y]
        sizes = np.log(np.maximum(np.array([wide, high, *beside]) / side, MIN_DISTANCE))
        planes[0][near], planes[1][near] = (x - columns + 0 * rows)[near], (y - rows + 0 * columns)[near]
        planes[2:, near] = sizes[:, None]
        weight[0][near] = bump[near]
    return heat[None], planes, weight


def losses_of(planes: Tensor, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns the focal loss of head positions (Zhou et al., equation 1), and the losses of the other planes."""
    logits, heat = planes[:, :1].float(), batch["heat"]
    log_there, log_not = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    middle, share = heat == 1, logits.sigmoid()
    count = middle.sum().clamp_min(1)
    there = -((1 - share) ** 2 * log_there * middle).sum()
    negative = -((1 - heat.clamp_min(0)) ** 4 * share**2 * log_not * ((heat >= 0) & ~middle)).sum()
    off = (planes[:, 1:].float() - batch["planes"]).abs() * batch["weight"]
    total = batch["weight"].sum().clamp_min(1)
    return {
        "where": (there + negative) / count,
        "middle": off[:, :2].sum() / total,
        "size": off[:, 2:4].sum() / total,
        "body": off[:, 4:].sum() / total,
    }


class Trained(NamedTuple):
    """The state of a run: the network, the mean of its last weights, and the optimizer."""

    network: Clicks
    mean: nn.Module
    optimizer: torch.optim.Optimizer


def train(data: Path, start: Path, out: Path, minutes: float, options: argparse.Namespace) -> None:
    """Trains for some minutes, and writes the mean of the last weights."""
    torch.manual_seed(options.seed)
    before = models.load(start)
    config = {**vars(before.config), "finder": options.width}
    network = models.create("clicks", **config)
    network.load_state_dict(before.state_dict(), strict=False)
    network.eval().requires_grad_(False)
    network.finder.train().requires_grad_(True)
    network = network.to(memory_format=torch.channels_last)
    mean = torch.optim.swa_utils.AveragedModel(
        network.finder, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998), use_buffers=True
    )
    decayed = [x for x in network.finder.parameters() if x.ndim > 1]
    others = [x for x in network.finder.parameters() if x.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": options.decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=options.lr, betas=(0.9, 0.99))
    photos = photos_of(data, "train")
    samples = Samples(photos, network.config.size, options.seed)
    loader = torch.utils.data.DataLoader(
        samples, options.batch, num_workers=options.workers, prefetch_factor=4 if options.workers else None
    )
    print(f"{len(photos)} photographs, {sum(len(photo.heads) for photo in photos)} people", flush=True)
    began, seconds, sums = time.monotonic(), 60 * minutes, dict[str, float]()
    for step, batch in enumerate(loader, 1):
        passed = (time.monotonic() - began) / seconds
        if passed >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = options.lr * min(1, step / 100) * 0.5 * (1 + math.cos(math.pi * passed))
        with torch.autocast("cpu", torch.bfloat16, enabled=options.bfloat16):
            planes = network.heads(batch["image"].to(memory_format=torch.channels_last))
        losses = losses_of(planes, batch)
        loss = losses["where"] + 0.3 * losses["middle"] + losses["size"] + 0.3 * losses["body"]
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.finder.parameters(), 5.0)
        optimizer.step()
        mean.update_parameters(network.finder)
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
        if step % 100 == 0:
            text = ", ".join(f"{name} {value / 100:.3f}" for name, value in sums.items())
            print(f"{step} steps, {(time.monotonic() - began) / 60:.1f} minutes: {text}", flush=True)
            sums.clear()
        if step % 500 == 0:
            _save(network, mean, out)
    _save(network, mean, out)
    measure(data, out)


def _save(network: Clicks, mean: Any, out: Path) -> None:
    whole = models.create("clicks", **vars(network.config))
    whole.load_state_dict(network.state_dict())
    whole.finder.load_state_dict(mean.module.state_dict())
    models.save(whole, out)


def shared(first: Floats, second: Floats) -> float:
    """Returns the IoU of two boxes."""
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    both = float(np.prod((high - low).clip(0)))
    return both / (sum(float(np.prod(x[2:] - x[:2])) for x in (first, second)) - both)


def _one_look(network: Clicks, photo: Photo) -> list[Head]:
    """Returns the heads detected by one pass of a network over a photograph, in pixels of the photograph."""
    image = Image.fromarray(photo.pixels).resize((network.config.size,) * 2, Image.Resampling.BILINEAR)
    x = torch.from_numpy(np.asarray(image).transpose(2, 0, 1).astype(np.float32) / 255)[None]
    with torch.no_grad():
        planes = network.heads(x)[0].numpy()
    height, width = photo.pixels.shape[:2]
    return heads_of(np.moveaxis(planes, 0, 2), width, height, least=0.05)


def measure(data: Path, weights: str) -> None:
    """Prints recall and precision of head detection, by confidence.

    weights: a file, which is evaluated in one pass per photograph, or a method's name, for all passes of a session.
    """
    network = None if weights in ("auto", *segmentation.METHODS) else models.load(weights).eval()

    def heads_in(photo: Photo) -> list[Head]:
        return _one_look(network, photo) if network else segmentation.Session(photo.pixels, method=weights).heads()

    for part in ("held back", "layouts"):
        photos = photos_of(data, part)
        rows, count, sizes, bodies = [], 0, [], []
        for photo in photos:
            every = heads_in(photo)
            there = ~np.isnan(photo.heads[:, 0])
            heads, whole = photo.heads[there], photo.bodies[there]
            count, free = count + len(heads), set(range(len(heads)))
            height, width = photo.pixels.shape[:2]
            for head_found in every:
                head, body = (
                    np.array(corners(x)) / (width, height, width, height) for x in (head_found.box, head_found.body)
                )
                sure = head_found.sure
                best = max(free, key=lambda i: shared(head, heads[i]), default=None)
                if best is not None and shared(head, heads[best]) > DETECTION_IOU:
                    free.remove(best)
                    rows.append((sure, True))
                    sizes.append(abs(math.log2((head[3] - head[1]) / (heads[best][3] - heads[best][1]))))
                    bodies.append(shared(body, whole[best]))
                elif not any(_covers(box, head) for box in photo.unknown):
                    rows.append((sure, False))
        rows.sort(reverse=True)
        right = np.cumsum([good for _, good in rows])
        precision = right / np.arange(1, len(rows) + 1)
        mean = sum(p for p, (_, good) in zip(precision, rows) if good) / max(count, 1)
        print(
            f"{part}: {len(photos)} photographs, {count} heads, average precision {mean:.3f}; heights off by "
            f"{np.median(sizes):.3f} octaves, boxes of people share {np.mean(bodies):.2f}"
        )
        for least in (0.1, 0.2, 0.3, 0.4, SURE, 0.5, 0.6):
            length = sum(sure >= least for sure, _ in rows)
            good = right[length - 1] if length else 0
            print(f"  from {least}: {good / max(count, 1):.2f} found, {good / max(length, 1):.2f} of these are heads")
    photos = photos_of(data, "nobody")
    wrong = sum(any(head.sure >= SURE for head in heads_in(photo)) for photo in photos)
    print(f"nobody: {wrong} of {len(photos)} photographs without people get a head")


def _covers(box: Floats, head: Floats) -> bool:
    x, y = (head[0] + head[2]) / 2, (head[1] + head[3]) / 2
    return bool(box[0] <= x <= box[2] and box[1] <= y <= box[3])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train")
    training.add_argument("data", type=Path)
    training.add_argument("start", type=Path)
    training.add_argument("out", type=Path)
    training.add_argument("--minutes", type=float, default=60.0)
    training.add_argument("--width", type=int, default=48, help="the channels of the part")
    training.add_argument("--batch", type=int, default=16)
    training.add_argument("--lr", type=float, default=2e-3)
    training.add_argument("--decay", type=float, default=0.02)
    training.add_argument("--seed", type=int, default=0)
    training.add_argument("--workers", type=int, default=1)
    training.add_argument("--bfloat16", action="store_true")
    measuring = commands.add_parser("measure")
    measuring.add_argument("data", type=Path)
    measuring.add_argument("weights")
    options = parser.parse_args()
    if options.command == "train":
        train(options.data, options.start, options.out, options.minutes, options)
    else:
        measure(options.data, options.weights)


if __name__ == "__main__":
    main()
