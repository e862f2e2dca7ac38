"""Scenes with people, for placing a person: layouts of real group photographs, varied, and drawn as layers.

    python benchmarks/scenes.py OUT --count 24    # draws some of them, for inspection

`layouts.json` contains the positions of heads and people in group photographs. A scene uses one of them, mirrored at
random, with jitter of every position and size, tilted as a whole, with people on stairs or seats; everybody is drawn as
a separate layer, so that a removed person leaves no hole. Nothing here depends on the search for places: the ground
truth is where a photographer had the person stand.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

LAYOUTS = Path(__file__).with_name("layouts.json")
#: The longer side of a scene, in pixels.
SCENE_SIDE = 640
#: The jitter of positions and sizes, as shares of a head's width and of the size; the largest tilt, in degrees.
POSITION_JITTER, SIZE_JITTER, MAX_TILT = 0.35, 0.07, 8.0
#: The shares of scenes with stairs and with seats, and the vertical offsets of people, in heights of a head.
STAIRS, SEATS, STEP = 0.25, 0.2, (0.3, 1.2)

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels."""


class Person(NamedTuple):
    """A person in a scene.

    Attributes:
        head, body: boxes, which may extend beyond the image.
        layer: the drawing, [H, W, 4] uint8; its alpha is the matte.
        seated: whether the legs are hidden by a seat.
    """

    head: Box
    body: Box
    layer: npt.NDArray[np.uint8]
    seated: bool


class Scene(NamedTuple):
    """A scene.

    Attributes:
        background: the image without people, [H, W, 3] uint8.
        people: from the farthest to the nearest.
        tilt: the rotation of everything, in degrees clockwise.
        photo: the photograph whose layout it has.
    """

    background: npt.NDArray[np.uint8]
    people: tuple[Person, ...]
    tilt: float
    photo: str

    def picture(self, without: int | None = None) -> npt.NDArray[np.uint8]:
        """Returns the picture with everybody, or without one of them."""
        image = Image.fromarray(self.background).convert("RGBA")
        for i, person in enumerate(self.people):
            if i != without:
                image.alpha_composite(Image.fromarray(person.layer))
        return np.asarray(image.convert("RGB"))

    def visible(self, index: int, without: int | None = None) -> npt.NDArray[np.bool_]:
        """Returns where a person is visible, [H, W]."""
        visible = self.people[index].layer[..., 3] >= 128
        for i in range(index + 1, len(self.people)):
            if i != without:
                visible = visible & (self.people[i].layer[..., 3] < 128)
        return visible


class Portrait(NamedTuple):
    """A person of a scene in another photograph: at another size, rotated otherwise, on another background.

    Attributes:
        picture: the photograph, [H, W, 3] uint8.
        mask: the mask of the person, [H, W] uint8.
        head: the box of the head.
        tilt: the rotation of the photograph, in degrees clockwise.
        is_cut: whether its lower edge cuts the person.
    """

    picture: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8]
    head: Box
    tilt: float
    is_cut: bool


@functools.cache
def layouts(part: str = "all") -> list[dict[str, Any]]:
    """Returns the layouts of the photographs: all, or those for fitting ('learn') or evaluation ('test')."""
    rows: list[dict[str, Any]] = json.loads(LAYOUTS.read_text("utf-8"))["layouts"]
    return rows if part == "all" else rows[0 if part == "learn" else 1 :: 2]


def scene(number: int, seed: int = 0, part: str = "all") -> Scene:
    """Returns the scene of a number, by one of `layouts(part)`."""
    random = np.random.default_rng((seed, number))
    layouts_ = layouts(part)
    layout = layouts_[int(random.integers(len(layouts_)))]
    factor = SCENE_SIDE / max(layout["size"])
    width, height = (round(side * factor) for side in layout["size"])
    mirrored = bool(random.integers(2))
    tilt = float(np.clip(random.normal(0, MAX_TILT / 2), -MAX_TILT, MAX_TILT))
    stairs, seats = random.random() < STAIRS, random.random() < SEATS
    boxes = []
    for one in layout["people"]:
        head, body = (
            (x0 * width / 100, y0 * height / 100, x1 * width / 100, y1 * height / 100)
            for x0, y0, x1, y1 in (one["head"], one["body"])
        )
        if mirrored:
            head, body = ((width - box[2], box[1], width - box[0], box[3]) for box in (head, body))
        boxes.append(_varied(head, body, height, random, stairs))
    # People standing lower are nearer, as in most group photographs.
    order = sorted(range(len(boxes)), key=lambda i: boxes[i][0][3] + 0.5 * (boxes[i][0][3] - boxes[i][0][1]))
    people = []
    for i in order:
        head, body = boxes[i]
        seated = bool(seats and random.random() < 0.4)
        people.append(_drawn(head, body, (width, height), tilt, seated, random))
    return Scene(_background(width, height, tilt, random), tuple(people), tilt, layout["photo"])


def portrait(whole: Scene, index: int, seed: int = 0) -> Portrait:
    """Returns a person of a scene in a separate photograph, which cuts them where the scene does."""
    random = np.random.default_rng((seed, index, len(whole.people)))
    height, width = whole.background.shape[:2]
    person = whole.people[index]
    tilt = float(np.clip(random.normal(0, MAX_TILT / 2), -MAX_TILT, MAX_TILT))
    back = tilt - whole.tilt
    # Rotated about the centre of a frame that is large enough for all of it.
    wide, high = 2 * width, 2 * height
    canvas = Image.new("RGBA", (wide, high))
    canvas.paste(Image.fromarray(person.layer), (width // 2, height // 2))
    layer = canvas.rotate(-back, Image.Resampling.BICUBIC)
    alpha = np.asarray(layer)[..., 3]
    rows, columns = (np.flatnonzero((alpha >= 128).any(axis)) for axis in (1, 0))
    margins = random.uniform(0.05, 1.2, 3)
    across, down = columns[-1] - columns[0], rows[-1] - rows[0]
    box = [
        max(0, int(columns[0] - margins[0] * across)), max(0, int(rows[0] - margins[1] * min(across, down))),
        min(wide, int(columns[-1] + margins[2] * across)), min(high, int(rows[-1] + 0.1 * down)),
    ]  # fmt: skip
    # Where a frame cut the person its edge is slanted now: the new frame cuts again, before it.
    for side, line in enumerate((person.layer[:, 0], person.layer[0], person.layer[:, -1], person.layer[-1])):
        at = np.flatnonzero(line[:, 3] >= 128)
        if len(at) < 3:
            continue
        ends = [(0 if side == 0 else width, y) if side in (0, 2) else (x, 0 if side == 1 else height)
                for x, y in ((v, v) for v in (at[0], at[-1]))]  # fmt: skip
        for x, y in ends:
            u, v = _around((x + width // 2, y + height // 2), (wide, high), back)
            box[side] = (max if side < 2 else min)(box[side], round((u, v)[side % 2]) + (1 if side < 2 else -1))
    is_cut = bool((alpha[box[3] - 1, box[0] : box[2]] >= 128).any())
    factor = math.exp(random.uniform(math.log(0.6), math.log(1.8)))
    size = round((box[2] - box[0]) * factor), round((box[3] - box[1]) * factor)
    cut_out = layer.crop(tuple(box)).resize(size, Image.Resampling.LANCZOS)
    image = Image.fromarray(_background(*size, tilt, random)).convert("RGBA")
    image.alpha_composite(cut_out)
    middle = _around(
        ((person.head[0] + person.head[2]) / 2 + width // 2, (person.head[1] + person.head[3]) / 2 + height // 2),
        (wide, high), back,
    )  # fmt: skip
    half = (person.head[2] - person.head[0]) / 2, (person.head[3] - person.head[1]) / 2
    head = (
        (middle[0] - half[0] - box[0]) * factor, (middle[1] - half[1] - box[1]) * factor,
        (middle[0] + half[0] - box[0]) * factor, (middle[1] + half[1] - box[1]) * factor,
    )  # fmt: skip
    return Portrait(np.asarray(image.convert("RGB")), np.asarray(cut_out.getchannel("A")), head, tilt, is_cut)


def _varied(head: Box, body: Box, height: int, random: np.random.Generator, stairs: bool) -> tuple[Box, Box]:
    """Returns the boxes of a person at a slightly different position and size; a person cut by the frame stays cut."""
    wide, high = head[2] - head[0], head[3] - head[1]
    size = math.exp(random.normal(0, SIZE_JITTER))
    dx, dy = random.normal(0, POSITION_JITTER * wide / 2, 2)
    if stairs and random.random() < 0.5:
        dy -= random.uniform(*STEP) * high
    middle, top = (head[0] + head[2]) / 2, head[1]
    cut = body[3] >= 0.99 * height

    def moved(box: Box) -> Box:
        x0, x1 = ((x - middle) * size + middle + dx for x in (box[0], box[2]))
        y0, y1 = ((y - top) * size + top + dy for y in (box[1], box[3]))
        return x0, y0, x1, y1

    body_ = moved(body)
    if cut:
        body_ = (*body_[:3], max(body_[3], float(height) + 0.5 * high))
    return moved(head), body_


def _drawn(
    head: Box, body: Box, size: tuple[int, int], tilt: float, seated: bool, random: np.random.Generator
) -> Person:
    """Draws a person with a head, a body and legs, in random colours."""
    fine = 2
    picture = Image.new("RGBA", (size[0] * fine, size[1] * fine))
    draw = ImageDraw.Draw(picture)
    skin = tuple(int(x) for x in np.array([226, 178, 148]) * random.uniform(0.45, 1.05))
    cloth, trousers, hair = (tuple(int(x) for x in random.integers(20, 235, 3)) for _ in range(3))
    wide, high = head[2] - head[0], head[3] - head[1]
    middle = (head[0] + head[2]) / 2
    left, right = max(body[0], middle - 1.9 * wide), min(body[2], middle + 1.9 * wide)
    waist = min(body[3], head[1] + 4.0 * high)

    def scaled(*values: float) -> list[float]:
        return [fine * value for value in values]

    shoulder = head[3] + 0.25 * high
    draw.rectangle(scaled(middle - 0.22 * wide, head[3] - 0.15 * high, middle + 0.22 * wide, shoulder + 2), fill=skin)
    draw.rounded_rectangle(scaled(left, shoulder, right, max(waist, shoulder + 2)), fine * 0.5 * wide, fill=cloth)
    if body[3] > waist + 2 and not seated:
        for x in (middle - 0.55 * wide, middle + 0.55 * wide):
            draw.rectangle(scaled(x - 0.35 * wide, waist - 0.3 * high, x + 0.35 * wide, body[3]), fill=trousers)
    draw.ellipse(scaled(*head), fill=hair)
    draw.ellipse(scaled(head[0] + 0.08 * wide, head[1] + 0.2 * high, head[2] - 0.08 * wide, head[3]), fill=skin)
    if seated:
        top = min(waist, shoulder + 1.5 * high)
        draw.rectangle(scaled(left - 0.3 * wide, top, right + 0.3 * wide, max(body[3], top)), fill=(*trousers, 255))
    rotated = picture.rotate(-tilt, Image.Resampling.BICUBIC)
    layer = np.asarray(rotated.resize(size, Image.Resampling.BOX))
    return Person(_turned(head, size, tilt), _turned(body, size, tilt), layer, seated)


def _turned(box: Box, size: tuple[int, int], tilt: float) -> Box:
    """Returns a box of the same size, centred where its centre goes when the image is rotated about its own."""
    u, v = _around(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), size, tilt)
    across, down = (box[2] - box[0]) / 2, (box[3] - box[1]) / 2
    return u - across, v - down, u + across, v + down


def _around(point: tuple[float, float], size: tuple[int, int], tilt: float) -> tuple[float, float]:
    """Returns where a point goes when an image is rotated about its centre."""
    angle = math.radians(tilt)
    x, y = point[0] - size[0] / 2, point[1] - size[1] / 2
    return (
        x * math.cos(angle) - y * math.sin(angle) + size[0] / 2,
        x * math.sin(angle) + y * math.cos(angle) + size[1] / 2,
    )


def _background(width: int, height: int, tilt: float, random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Returns a sky and a ground with some objects, rotated like the people."""
    # Drawn larger than visible, so that the rotation leaves no empty corners.
    wide, high = round(1.4 * width), round(1.4 * height)
    side = max(wide, high)
    fine = 2
    picture = Image.new("RGB", (side * fine, side * fine))
    draw = ImageDraw.Draw(picture)
    horizon = (side / 2 + random.uniform(-0.25, 0.1) * height) * fine
    sky, ground = random.integers(120, 240, 3), random.integers(60, 200, 3)
    for y in range(side * fine):
        share = (y / fine - (side - height) / 2) / height
        color = sky * (1 - 0.4 * share) if y < horizon else ground * (0.7 + 0.4 * share)
        draw.line((0, y, side * fine, y), fill=tuple(int(min(255, max(0, x))) for x in color))
    for _ in range(int(random.integers(2, 9))):
        x, w, h = random.uniform(0, side), random.uniform(0.03, 0.2) * width, random.uniform(0.05, 0.4) * height
        box = (fine * x, horizon - fine * h, fine * (x + w), horizon + fine * 0.05 * height)
        draw.rectangle(box, fill=tuple(int(v) for v in random.integers(40, 220, 3)))
    rotated = picture.rotate(-tilt, Image.Resampling.BICUBIC).resize((side, side), Image.Resampling.BOX)
    left, top = (side - width) // 2, (side - height) // 2
    small = np.asarray(rotated.crop((left, top, left + width, top + height))).astype(np.float64)
    return np.rint((small + random.normal(0, 3, (height, width, 1))).clip(0, 255)).astype(np.uint8)


def sheet(numbers: Sequence[int]) -> Image.Image:
    """Returns scenes with the boxes of heads and people."""
    cells = []
    for number in numbers:
        one = scene(number)
        picture = Image.fromarray(one.picture())
        draw = ImageDraw.Draw(picture)
        for person in one.people:
            draw.rectangle(person.body, outline=(255, 255, 0))
            draw.rectangle(person.head, outline=(255, 0, 0))
        cells.append(picture.resize((320, round(320 * picture.height / picture.width))).crop((0, 0, 320, 320)))
    sheet_ = Image.new("RGB", (320 * 6, 320 * math.ceil(len(cells) / 6)))
    for i, cell in enumerate(cells):
        sheet_.paste(cell, (320 * (i % 6), 320 * (i // 6)))
    return sheet_


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=24)
    options = parser.parse_args()
    sheet(range(options.count)).save(options.out)


if __name__ == "__main__":
    main()
