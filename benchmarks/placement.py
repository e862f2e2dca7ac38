"""Measures the quality of places for people, compared with simple baselines.

    python benchmarks/placement.py run --scenes 600        # a person is removed from a drawn scene, and placed again
    python benchmarks/placement.py left-out DATA           # a person of a group photograph is placed again
    python benchmarks/placement.py roll DATA               # photographs turned by known angles
    python benchmarks/placement.py speed                   # milliseconds of the CPU
    python benchmarks/placement.py fit --scenes 600        # fits the weights of the terms, and prints them
    python benchmarks/placement.py report                  # the tables, into docs/place.md

Scenes are those of `scenes.py`. Weights are fitted on one half of the photographs' layouts, and evaluated on the other
half. A place is correct if the IoU of its box and that of the removed person is at least 0.5. The baselines use the
typical size of heads there, so that they differ only in position, and the same number of guesses: a baseline with fewer
positions adds neighbours of them. Faults are counted in both: covered faces, and floating edges at any side where the
frame of the portrait cut the person.
"""

from __future__ import annotations

import itertools
import json
import math
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scenes
from PIL import Image
from records import Record, commands_of
from tables import bootstrap, percent, rows_of

from pyharmony import placement, segmentation
from pyharmony.placement import _crowd, _place, _roll, _score
from pyharmony.placement.subject import subject_of

RECORD = Record("placement", "place.md")
#: The IoU from which two boxes are one place; and the number of answers that count.
SAME_PLACE_IOU, ANSWERS = 0.5, 5
#: The share from which faces count as covered; an edge floats if this number of its pixels, of the background, is
#: visible farther from the frame than the last number, and farther than the mask may end before its own frame.
COVERED_FACE_SHARE, FLOATING_PIXELS, FLOATING_DISTANCE = 0.02, 3, 2
#: The distance of neighbouring guesses, in the width of the person. With steps of two thirds every column has an IoU of
#: at least 0.5 with one of them; at this distance the baselines are best on scenes of the layouts used for fitting
#: weights.
GUESS_SPACING = 0.55
#: The largest gap between a mask in a photograph and the frame that cuts it, as a share of the longer side, and the
#: distance from the frame, in shares of each side, below which a box drawn by hand touches it.
MAX_CROP_GAP, MAX_BOX_GAP = 0.012, 0.005
#: The sides of a frame, and the names of all methods in the tables, ours first.
FRAME_SIDES = ("left", "top", "right", "bottom")
WAYS = ("pyharmony", "widest gap", "random", "bottom centre", "as in its own picture")

#: The weight of a layout in fitting, and that of the regularisation.
LAYOUT_WEIGHT, PRIOR_WEIGHT = 40.0, 10.0
#: The number of calls, of which the fastest determines the speed.
CALLS = 15

Box = tuple[float, float, float, float]
Floats = npt.NDArray[np.float64]


class Task:
    """A person to be placed: the scene without them, the others, their own photograph, and the ground truth."""

    #: The largest gap in pixels between the mask and a side that cuts it.
    before = 0.0

    def __init__(self, number: int, part: str) -> None:
        self.scene = scenes.scene(number, seed=7, part=part)
        everybody = range(len(self.scene.people))
        random = np.random.default_rng((11, number))
        height, width = self.scene.background.shape[:2]
        # A person who is hardly visible cannot be recognised as missing.
        good = [
            i
            for i in everybody
            if self.scene.visible(i).sum() > 0.35 * (self.scene.people[i].layer[..., 3] > 127).sum()
            and _inside(self.scene.people[i].head, width, height) > 0.85
        ]
        self.index = int(random.choice(good or [0]))
        self.portrait = scenes.portrait(self.scene, self.index, number)
        self.picture = self.scene.picture(without=self.index)
        others = [i for i in everybody if i != self.index]
        self.people = [np.uint8(255) * self.scene.visible(i, without=self.index) for i in others]
        self.heads = [self.scene.people[i].head for i, mask in zip(others, self.people) if mask.any()]
        self.people = [mask for mask in self.people if mask.any()]
        person = self.scene.people[self.index]
        region = person.layer[..., 3] >= 128
        rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
        self.box: Box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
        own = self.portrait.head
        self.scale = (person.head[3] - person.head[1]) / (own[3] - own[1])
        self.angle = self.scene.tilt - self.portrait.tilt
        self.size = (width, height)
        self.cut = tuple(side for side in FRAME_SIDES if len(edge_of(self.portrait.mask, side, 0.0)) >= FLOATING_PIXELS)

    def found(self, k: int = ANSWERS) -> list[placement.Placement]:
        return placement.place(
            self.portrait.picture, self.picture, mask=self.portrait.mask, people=self.people, person=True, k=k
        )


class LeftOut:
    """A person in a group photograph, to be placed in it again: they remain visible in it, unmarked.

    The photograph's frame cuts the person as before, and the crop used as their own photograph cuts no more of them.

    Args:
        photo: the photograph, [H, W, 3] uint8.
        masks: the masks of its people, by `segment` with their boxes.
        heads, bodies: the boxes of their heads and of their visible parts, drawn by hand.
        index: the index of the person.
        random: the generator for their own photograph: a crop of this one around them, at another size.
    """

    def __init__(
        self,
        photo: npt.NDArray[np.uint8],
        masks: Sequence[npt.NDArray[np.uint8]],
        heads: Sequence[Box],
        bodies: Sequence[Box],
        index: int,
        random: np.random.Generator,
    ) -> None:
        height, width = photo.shape[:2]
        body, sides = bodies[index], (width, height)
        near = [body[i] <= MAX_BOX_GAP * sides[i] for i in (0, 1)]
        near += [body[i] >= (1 - MAX_BOX_GAP) * sides[i - 2] for i in (2, 3)]
        self.cut = tuple(side for side, one in zip(FRAME_SIDES, near) if one)
        self.picture, self.size = photo, (width, height)
        others = [i for i in range(len(masks)) if i != index]
        self.people, self.heads = [masks[i] for i in others], [heads[i] for i in others]
        mask = masks[index]
        rows, columns = np.flatnonzero((mask >= 128).any(1)), np.flatnonzero((mask >= 128).any(0))
        self.box: Box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
        head = heads[index]
        beyond = random.uniform(0.3, 1.2, 4) * (head[3] - head[1])
        left, top, right, bottom = (
            int(v) for v in np.clip(np.add(self.box, beyond * [-1, -1, 1, 1]), 0, [width, height, width, height])
        )
        factor = float(random.uniform(0.6, 1.6))
        size = round((right - left) * factor), round((bottom - top) * factor)
        own, own_mask = (
            np.asarray(Image.fromarray(x[top:bottom, left:right]).resize(size, Image.Resampling.BICUBIC))
            for x in (photo, mask)
        )
        x0, y0, x1, y1 = ((v - start) * factor for v, start in zip(head, (left, top, left, top)))
        self.portrait = scenes.Portrait(own, own_mask, (x0, y0, x1, y1), 0.0, bool((own_mask[-1] >= 128).any()))
        self.scale = 1 / factor
        self.before = MAX_CROP_GAP * max(width, height) * factor

    def found(self) -> list[placement.Placement]:
        heads, own = ([(x0, y0, x1 - x0, y1 - y0) for x0, y0, x1, y1 in boxes]
                      for boxes in (self.heads, [self.portrait.head]))  # fmt: skip
        return placement.place(
            self.portrait.picture, self.picture, mask=self.portrait.mask, people=self.people, heads=heads, head=own[0]
        )


def _inside(box: Box, width: int, height: int) -> float:
    """Returns the share of a box inside a picture."""
    wide, high = min(box[2], width) - max(box[0], 0), min(box[3], height) - max(box[1], 0)
    return max(wide, 0) * max(high, 0) / ((box[2] - box[0]) * (box[3] - box[1]))


def alike(first: Box, second: Box, size: tuple[int, int]) -> float:
    """Returns the IoU of two boxes, clipped to an image of a size."""
    a, b = ((max(box[0], 0), max(box[1], 0), min(box[2], size[0]), min(box[3], size[1])) for box in (first, second))
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(wide, 0) * max(high, 0)
    areas = [max(box[2] - box[0], 0) * max(box[3] - box[1], 0) for box in (a, b)]
    return shared / (sum(areas) - shared) if sum(areas) > shared else 0.0


def box_of(one: placement.Placement) -> Box:
    x, y, wide, high = one.box
    return x, y, x + wide, y + high


def simple_ways(task: Task | LeftOut, random: np.random.Generator) -> dict[str, list[Box]]:
    """Returns up to five boxes by each baseline, with the typical size of heads there."""
    width, height = task.size
    mask = task.portrait.mask >= 128
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    own = task.portrait.head
    typical = float(np.median([head[3] - head[1] for head in task.heads])) if task.heads else 0.2 * height
    scale = typical / (own[3] - own[1])
    wide, high = (columns[-1] + 1 - columns[0]) * scale, (rows[-1] + 1 - rows[0]) * scale
    head = (own[1] - rows[0]) * scale
    tops = [box[1] for box in task.heads] or [height / 3]
    is_cut = task.portrait.is_cut

    def at(x: float, y: float) -> Box:
        return x - wide / 2, y, x + wide / 2, y + high

    lowest = height - high
    line = lowest if is_cut else float(np.median(tops)) - head
    boxes: dict[str, list[Box]] = {}
    boxes["random"] = [at(random.uniform(0, width), lowest if is_cut else random.uniform(0, max(lowest, 1)))
                       for _ in range(ANSWERS)]  # fmt: skip
    place = (columns[0] + columns[-1] + 1) / 2 / mask.shape[1], rows[0] / mask.shape[0]
    middle = place[0] * width
    boxes["as in its own picture"] = [
        at(x, lowest if is_cut else place[1] * height) for x in _beside([middle], wide, width)
    ]
    boxes["bottom centre"] = [at(x, lowest) for x in _beside([width / 2], wide, width)]
    middles = sorted((box[0] + box[2]) / 2 for box in task.heads)
    edges = [0.0, *middles, float(width)]
    gaps = sorted(((b - a, (a + b) / 2) for a, b in itertools.pairwise(edges)), reverse=True)
    boxes["widest gap"] = [at(x, line) for x in _beside([x for _, x in gaps], wide, width)]
    return boxes


def _beside(places: Sequence[float], wide: float, width: int) -> list[float]:
    """Returns as many columns as there are guesses: places, and if they are fewer, neighbours of them in turn.

    Columns outside the image are replaced by those inside.
    """
    steps = [sign * number * GUESS_SPACING * wide for number in range(1, 4 * ANSWERS) for sign in (-1, 1)]
    further = [x + step for step in steps for x in places]
    inside = [x for x in further if 0 <= x <= width]
    return [*places, *inside, *further][:ANSWERS]


def edge_of(mask: npt.NDArray[np.uint8], side: str, before: float) -> Floats:
    """Returns the centres (x, y) of the outermost pixels of a mask at a side of its frame, [N, 2].

    before: the largest gap in pixels between mask and frame.
    """
    region = mask >= 128
    rotated_region = {"left": region.T, "right": region[:, ::-1].T, "top": region, "bottom": region[::-1]}[side]
    depth = 1 + round(before)
    along = np.flatnonzero(rotated_region[:depth].any(0))
    first = rotated_region[:depth, along].argmax(0)
    if side in ("right", "bottom"):
        first = len(rotated_region) - 1 - first
    pair = (along, first) if side in ("top", "bottom") else (first, along)
    return np.stack(pair, 1) + 0.5


def faults(task: Task | LeftOut, one: placement.Placement) -> tuple[bool, bool]:
    """Returns whether a face is covered, and whether an edge floats at which the portrait was cut."""
    width, height = task.size
    own = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
    matrix = np.linalg.inv(own) @ np.vstack([one.matrix, [0, 0, 1]]) @ own
    back = np.linalg.inv(matrix)[:2].ravel()
    lies = _warped(task.portrait.mask, back, task.size) >= 128
    for i in one.behind:
        lies &= task.people[i] < 128
    covers = False
    for i, (mask, head) in enumerate(zip(task.people, task.heads)):
        across, down = head[2] - head[0], head[3] - head[1]
        y, x = np.mgrid[:height, :width] + 0.5
        # The face in the drawing: an ellipse in the lower part of the head.
        face = ((x - head[0] - across / 2) / (0.42 * across)) ** 2 + (
            (y - head[1] - 0.6 * down) / (0.4 * down)
        ) ** 2 <= 1
        face &= mask >= 128
        if (
            face.any()
            and i not in one.behind
            and np.count_nonzero(lies & face) > COVERED_FACE_SHARE * np.count_nonzero(face)
        ):
            covers = True
    floats = False
    for side in task.cut:
        edge = edge_of(task.portrait.mask, side, task.before)
        x, y = matrix[:2] @ np.concatenate([edge, np.ones((len(edge), 1))], 1).T
        # If a mask may end before the frame, its edge is not known more exactly.
        near = FLOATING_DISTANCE + task.before * one.scale
        away = (x > near) & (x < width - near) & (y > near) & (y < height - near)
        columns, rows = np.floor(x[away]).astype(int), np.floor(y[away]).astype(int)
        hidden = np.zeros(len(rows), bool)
        for i in one.behind:
            hidden |= task.people[i][rows, columns] >= 128
        floats |= bool(np.count_nonzero(~hidden) * one.scale >= FLOATING_PIXELS)
    return covers, floats


def _warped(values: npt.NDArray[np.uint8], back: Floats, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    image_ = Image.fromarray(values).transform(size, Image.Transform.AFFINE, tuple(back), Image.Resampling.BILINEAR)
    return np.asarray(image_)


def run(count: int) -> dict[str, Any]:
    """Evaluates scenes of the layouts not used for fitting weights."""
    rows: list[dict[str, Any]] = []
    for number in range(count):
        task = Task(number, "test")
        row: dict[str, Any] = {"photo": task.scene.photo, "people": len(task.people)}
        places = task.found()
        likes = [alike(box_of(one), task.box, task.size) for one in places]
        row["pyharmony"] = likes
        head = task.scene.people[task.index].head
        row["scale"] = abs(math.log2(places[0].scale / task.scale))
        row["angle"], row["turned"] = abs(places[0].angle - task.angle), abs(task.angle)
        x0, y0, x1, y1 = box_of(places[0])
        apart = math.hypot((x0 + x1 - task.box[0] - task.box[2]) / 2, (y0 + y1 - task.box[1] - task.box[3]) / 2)
        row["centre"] = apart / (head[2] - head[0])
        row |= _told_faults(task, places)
        for name, boxes in simple_ways(task, np.random.default_rng((13, number))).items():
            row[name] = [alike(box, task.box, task.size) for box in boxes]
        rows.append(row)
        if number % 50 == 49:
            print(number + 1, summary(rows), file=sys.stderr, flush=True)
    return {"scenes": rows}


def _told_faults(task: Task | LeftOut, places: Sequence[placement.Placement]) -> dict[str, Any]:
    """Returns the part of a row about faults, of all answers together."""
    wrong = [faults(task, one) for one in places]
    covers, floating = (any(one[i] for one in wrong) for i in (0, 1))
    return {"cut": list(task.cut), "covered": covers, "floating": floating, "doubtful": bool(places[0].reason)}


def left_out(root: Path) -> dict[str, Any]:
    """Evaluates the photographs of the layouts not used for fitting weights, leaving out everybody in turn."""
    rows: list[dict[str, Any]] = []
    for layout in scenes.layouts("test"):
        path = next(root.glob(f"*/images/{layout['photo']}.*"), None) or next(root.glob(f"*/{layout['photo']}.*"))
        photo = np.asarray(Image.open(path).convert("RGB"))
        height, width = photo.shape[:2]
        heads, bodies = (
            [tuple(v * side / 100 for v, side in zip(one[name], (width, height) * 2)) for one in layout["people"]]
            for name in ("head", "body")
        )
        session = segmentation.Session(photo)
        masks = []
        for x0, y0, x1, y1 in bodies:
            masks.append(session.segment(box=(x0, y0, x1 - x0, y1 - y0)).mask)
        for index in range(len(masks)):
            random = np.random.default_rng((17, len(rows)))
            task = LeftOut(photo, masks, heads, bodies, index, random)
            places = task.found()
            row: dict[str, Any] = {"photo": layout["photo"], "scale": abs(math.log2(places[0].scale / task.scale))}
            row["pyharmony"] = [alike(box_of(one), task.box, task.size) for one in places]
            row |= _told_faults(task, places)
            for name, boxes in simple_ways(task, random).items():
                row[name] = [alike(box, task.box, task.size) for box in boxes]
            rows.append(row)
        print(layout["photo"], len(rows), file=sys.stderr, flush=True)
    return {"left out": rows}


def summary(rows: Sequence[dict[str, Any]]) -> str:
    words = []
    for name in WAYS:
        first = np.mean([row[name][0] >= SAME_PLACE_IOU for row in rows])
        five = np.mean([max(row[name]) >= SAME_PLACE_IOU for row in rows])
        words.append(f"{name} {first:.2f} {five:.2f}")
    words.append(f"scale {statistics.median(row['scale'] for row in rows):.2f}")
    words.append(f"angle {statistics.median(row['angle'] for row in rows):.1f}")
    words.append(f"of {statistics.median(row['turned'] for row in rows):.1f}")
    words.append(f"covered {sum(row['covered'] for row in rows)} floating {sum(row['floating'] for row in rows)}")
    words.append(f"doubtful {sum(row['doubtful'] for row in rows)}")
    return ", ".join(words)


def fit(count: int) -> dict[str, float]:
    """Fits the weights: those that maximise the likelihood of correct places, drawn with probability exp(score).

    The places are those of the grid, each of them correct or not; the likelihood is that of any correct one.
    """
    from scipy.optimize import minimize

    names = list(_score.AMONG_PEOPLE)
    every: list[tuple[str, Floats, npt.NDArray[np.bool_]]] = []
    for number in range(count):
        task = Task(number, "learn")
        subject = subject_of(task.portrait.mask, None, True, None)
        masks, heads, sure = _place._people_of(task.size, task.people, None)
        crowd = _crowd.crowd_of(masks, heads, [], task.size, placement.roll_of(task.picture), sure)
        others = _place._others_of(task.size, None)
        ground = _place._ground(task.picture, crowd, heads, others, task.portrait.picture, subject)
        places = _score.candidates(subject, ground, (False,))
        places = _score.around(places, _score.RESIZED, (0.0,), ground)
        terms, usable = _score.terms_of(subject, ground, places)
        usable &= _place._edges_hidden(subject, ground, places)
        bands, _ = _score.rectangles(subject, places)
        boxes = np.stack([bands[..., 0].min(1), bands[..., 1].min(1), bands[..., 2].max(1), bands[..., 3].max(1)], 1)
        right = np.array([alike(tuple(box), task.box, task.size) >= SAME_PLACE_IOU for box in boxes])
        if (usable & right).any():
            features = np.stack([terms[name] for name in names], 1)[usable]
            every.append((task.scene.photo, features, right[usable]))
    print(f"{len(every)} of {count} scenes have a right place that is allowed", file=sys.stderr)

    # All layouts have equal weight, and each term is scaled by its variation.
    counts = Counter(photo for photo, _, _ in every)
    spread = np.mean([features.std(0) for _, features, _ in every], 0)

    def loss(weights: Floats) -> tuple[float, Floats]:
        total, slope = PRIOR_WEIGHT * float(weights @ weights), 2 * PRIOR_WEIGHT * weights
        for photo, features, right in every:
            score = features / spread @ weights
            score = np.exp(score - score.max())
            chance, among = score / score.sum(), score * right / (score * right).sum()
            share = LAYOUT_WEIGHT / counts[photo]
            total -= share * math.log(max(float((chance * right).sum()), 1e-12))
            slope = slope + share * ((features / spread).T @ (chance - among))
        return total, slope

    bounds = [(0, None) if name in ("margin", "room") else (None, 0) for name in names]
    fit_ = minimize(loss, np.zeros(len(names)), jac=True, method="L-BFGS-B", bounds=bounds)
    return {name: round(float(value), 2) for name, value in zip(names, fit_.x / spread)}


def roll(root: Path) -> dict[str, Any]:
    """Measures the estimated roll of photographs rotated by known angles, cropped to the filled part."""
    folder = root / "photos_open"
    entries = json.loads((folder / "manifest.json").read_text())["entries"]
    photos = [entry["file"] for entry in entries if entry["role"] == "photo" and entry["split"] == "test"]
    rows = []
    for number, name in enumerate(sorted(photos)):
        image = Image.open(folder / name).convert("RGB")
        image.thumbnail((800, 800))
        angle = float(np.random.default_rng((5, number)).uniform(-8, 8))
        rolls = []
        for turn in (0.0, angle):
            width, height = image.size
            tilted = image.rotate(-turn, Image.Resampling.BICUBIC)
            inner = (int(0.2 * width), int(0.2 * height), int(0.8 * width), int(0.8 * height))
            rolls.append(_roll.roll_in(np.asarray(tilted.crop(inner))))
        upright, tilted = (one.degrees for one in rolls)
        rows.append({"upright": upright, "turned": tilted, "angle": angle, "sure": all(one.is_sure for one in rolls)})
    return {"roll": rows}


def speed() -> dict[str, Any]:
    """Measures the CPU milliseconds of a call with people and heads given, also with one of 12 megapixels.

    They are those of the fastest of many calls, since other programs only make it slower; and the median over scenes.
    """
    medians = {}
    for name, factor in (("scene", 1), ("12 MP", 6)):
        times = []
        for number in range(8):
            task = Task(number, "test")
            picture = np.kron(task.picture, np.ones((factor, factor, 1), np.uint8))
            people = [np.kron(mask, np.ones((factor, factor), np.uint8)) for mask in task.people]
            heads = [
                (x0 * factor, y0 * factor, (x1 - x0) * factor, (y1 - y0) * factor) for x0, y0, x1, y1 in task.heads
            ]
            own = task.portrait.head
            head = (own[0], own[1], own[2] - own[0], own[3] - own[1])
            options = {"mask": task.portrait.mask, "people": people, "heads": heads, "head": head}
            calls = []
            for _ in range(CALLS):
                start = time.process_time()
                placement.place(task.portrait.picture, picture, **options)
                calls.append(1000 * (time.process_time() - start))
            times.append(min(calls))
        medians[name] = statistics.median(times)
    return {"speed": medians}


def beside(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Returns the lines of a table: how often each method is correct, and ours compared with the others."""
    groups = [row["photo"] for row in rows]
    lines = [["", "first answer right", "one of five right"]]
    right = {
        name: [[float(max(row[name][:k]) >= SAME_PLACE_IOU) for row in rows] for k in (1, ANSWERS)] for name in WAYS
    }
    for name in WAYS:
        cells = [bootstrap(values, groups) for values in right[name]]
        lines.append([name, *map(percent, cells)])
    for name in WAYS[1:]:
        x = bootstrap([a - b for a, b in zip(right["pyharmony"][1], right[name][1])], groups)
        lines.append([f"beside {name}", "", f"{100 * x.mean:+.0f} points [{100 * x.low:+.0f}, {100 * x.high:+.0f}]"])
    return lines


def faults_of(rows: Sequence[dict[str, Any]], what: str) -> str:
    """Returns a sentence about the faults of all answers."""
    if any("covered" not in row for row in rows):
        return "Faults were not counted."
    if any("cut" not in row for row in rows):
        where, cut = "at the bottom", ""
    else:
        counts = Counter(side for row in rows for side in row["cut"])
        where = "at any side"
        cut = f" (the frame of the portrait cut {', '.join(f'{counts[side]} at the {side}' for side in FRAME_SIDES)})"
    covers, floating = (sum(row[key] for row in rows) for key in ("covered", "floating"))
    return (
        f"In {covers} of {len(rows)} {what} a face is covered, and in {floating} a cut edge floats {where}, by any of "
        f"the {ANSWERS} answers{cut}."
    )


def guesses_of(rows: Sequence[dict[str, Any]]) -> str:
    """Returns a sentence about the guesses of the simple ways."""
    fewer = [name for name in WAYS[1:] if min(len(row[name]) for row in rows) < ANSWERS]
    if fewer:
        return f"Not all ways had {ANSWERS} guesses in each: {', '.join(fewer)}."
    return f"Each method has {ANSWERS} guesses; if it names fewer places, the others lie evenly beside these."


def report() -> None:
    """Writes the table into the page."""
    whole = RECORD.read()
    rows = whole["scenes"]
    groups = [row["photo"] for row in rows]
    lines = beside(rows)
    scale = statistics.median(row["scale"] for row in rows)
    facts = [
        f"Scenes: {len(rows)}, of {len(set(groups))} photographs' layouts, drawn anew for the intervals. The size is "
        f"off by {scale:.2f} octaves (median). {faults_of(rows, 'scenes')} {guesses_of(rows)}"
    ]
    if "left out" in whole:
        real = whole["left out"]
        photos, size = {row["photo"] for row in real}, statistics.median(row["scale"] for row in real)
        facts += [
            "",
            f"The same of {len(real)} people in {len(photos)} photographs of these layouts: each is left out in turn "
            "while still to be seen, and placed from a part of the photograph around them. The size is off by "
            f"{size:.2f} octaves (median). {faults_of(real, 'cases')}",
            "",
        ]
        lines[0][1:] = ["scenes: first answer right", "one of five right"]
        for line, more in zip(lines, beside(real), strict=True):
            line += ["photographs: first", "one of five"] if line is lines[0] else more[1:]
    if "roll" in whole:
        errors = [abs(row["turned"] - row["angle"] - row["upright"]) for row in whole["roll"] if row["turned"]]
        sure = sum(row["sure"] for row in whole["roll"])
        facts.append(
            f"Of {len(whole['roll'])} photographs turned by up to 8°, {len(errors)} are recognised as rotated, by the "
            f"right angle within {statistics.median(errors):.1f}° (median). The others are taken for upright. An "
            f"object is only rotated by rolls that are sure, as {sure} of them are."
        )
    if "speed" in whole:
        facts.append(
            f"A call with people and heads given takes {whole['speed']['scene']:.0f} ms of one core's time, with a "
            f"background of 12 megapixels {whole['speed']['12 MP']:.0f} ms."
        )
    RECORD.tell(rows_of(lines) + "\n\n" + "\n".join(facts))


def main() -> None:
    parser, commands = commands_of(__doc__)
    for name in ("run", "fit"):
        commands.add_parser(name).add_argument("--scenes", type=int, default=600)
    for name in ("roll", "left-out"):
        commands.add_parser(name).add_argument("data", type=Path)
    commands.add_parser("speed")
    commands.add_parser("report")
    options = parser.parse_args()
    if options.command == "fit":
        print(json.dumps(fit(options.scenes), indent=4))
        return
    calls = {
        "run": lambda: run(options.scenes),
        "left-out": lambda: left_out(options.data),
        "roll": lambda: roll(options.data),
        "speed": speed,
    }
    RECORD.run(options.command, calls, report)


if __name__ == "__main__":
    main()
