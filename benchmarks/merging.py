"""Measures the merging of photographs of one place: alignment, completeness of people, errors around them.

    python benchmarks/merging.py run DATA --scenes 60      # photographs with people pasted in, moved by known motions
    python benchmarks/merging.py run DATA --scenes 2 --save FOLDER    # also writes the results, for inspection
    python benchmarks/merging.py judge DATA --scenes 150   # harder ones, for the verdict
    python benchmarks/merging.py fit                       # the weights of the verdict, by these
    python benchmarks/merging.py speed DATA                # seconds and memory for two photographs of 12 megapixels
    python benchmarks/merging.py report                    # the tables, into docs/merging.md

DATA contains the folders `photos_open` and `pairs_open`. A scene is a photograph of a place without people; a person
from another photograph is pasted into its left part in the first image, and another into its right part in the second
one, which is shifted by up to 4 % of the width, rotated by up to 3°, resized by up to 5 %, exposed by up to half a stop
more or less, noisy, and a JPEG. So the ground truth is known: the alignment of each pixel, and the image with both. In
harder scenes each of these is up to 3.5 times as much, so that frames crop people, and people stand nearer together.
"""

from __future__ import annotations

import io
import json
import math
import resource
import statistics
import time
import warnings
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
import verdict
from PIL import Image
from records import Record, commands_of
from tables import rows_of

from pyharmony import merging
from pyharmony._verdict import Table, verdict_of
from pyharmony.errors import PyHarmonyWarning
from pyharmony.merging import _planes

RECORD = Record("merging", "merging.md")
#: The categories of places, and the longer side of a scene.
PLACES, SCENE_SIDE = ("landscape", "city", "street", "indoor"), 1000
#: The visible share from which a person counts as complete; a pixel is a ghost if its error exceeds these levels.
MIN_VISIBLE_SHARE, GHOST_LEVELS = 0.95, 32
#: The number of the first of the scenes for the verdict.
FIRST_JUDGED = 1000
#: The largest share of ghosts of a usable result, the hardest scenes, and by how much nearer to each other people may
#: stand in them for each degree of hardness, as a share of the width.
MAX_GHOST_SHARE, HARDEST, NEARER = 0.01, 3.5, 0.1

Pixels = npt.NDArray[np.uint8]
Float = npt.NDArray[np.float64]


class Scene:
    """Two photographs of one place, their ground truth, the positions of people, and the motion between both."""

    def __init__(self, places: list[Path], people: list[tuple[Path, Path]], number: int, hardness: float = 1.0) -> None:
        random, nearer = np.random.default_rng((3, number)), NEARER * (hardness - 1)
        place = Image.open(places[number % len(places)]).convert("RGB")
        factor = (1 + 0.2 * hardness) * SCENE_SIDE / max(place.size)
        whole = place.resize((round(place.width * factor), round(place.height * factor)), Image.Resampling.LANCZOS)
        #: The frame of the first photograph in the whole one.
        edge = round(0.1 * hardness * SCENE_SIDE)
        size = whole.width - 2 * edge, whole.height - 2 * edge
        pair = random.choice(len(people), 2, replace=False)
        left, self.first_mask = pasted(whole, people[pair[0]], random.uniform(0.15, 0.38 + nearer), edge, random)
        right, self.second_mask = pasted(whole, people[pair[1]], random.uniform(0.62 - nearer, 0.85), edge, random)
        both = Image.composite(right, left, Image.fromarray(self.second_mask))
        cut = (edge, edge, edge + size[0], edge + size[1])
        self.first, self.expected = (np.asarray(image.crop(cut)) for image in (left, both))
        turn, zoom = math.radians(hardness * random.uniform(-3, 3)), 1 + hardness * random.uniform(-0.05, 0.05)
        shift = hardness * random.uniform(-0.04, 0.04, 2) * size[0]
        middle = np.array([[1, 0, -size[0] / 2], [0, 1, -size[1] / 2], [0, 0, 1.0]])
        cosine, sine = zoom * math.cos(turn), zoom * math.sin(turn)
        motion = np.array([[cosine, -sine, shift[0]], [sine, cosine, shift[1]], [0, 0, 1.0]])
        #: Maps pixels of the first photograph to those of the second one.
        self.matrix: Float = np.linalg.inv(middle) @ motion @ middle
        back = np.array([[1, 0, edge], [0, 1, edge], [0, 0, 1.0]]) @ np.linalg.inv(self.matrix)
        frame = (0, 0, *size)
        view = _planes.warped(np.asarray(right), back, frame).astype(np.float64)
        lit = 255 * (view / 255) ** random.uniform(0.95, 1.05) * 2 ** (hardness * random.uniform(-0.5, 0.5))
        lit = lit * (1 + random.uniform(-0.02, 0.02, 3)) + random.normal(0, 2, view.shape)
        self.second = as_jpeg(lit.round().clip(0, 255).astype(np.uint8))
        self.seen_mask: Pixels = _planes.warped(self.second_mask, back, frame)
        self.first_mask, self.second_mask = (
            mask[edge : edge + size[1], edge : edge + size[0]] for mask in (self.first_mask, self.second_mask)
        )
        #: The visible part of the second person in the second photograph, in the frame of the first one.
        self.view: npt.NDArray[np.bool_] = _planes.coverage(size, self.matrix, frame)


def pasted(
    whole: Image.Image, person: tuple[Path, Path], x: float, edge: int, random: np.random.Generator
) -> tuple[Image.Image, Pixels]:
    """Returns a photograph with a person pasted onto the bottom of the frame, and the person's mask."""
    photo, mask = Image.open(person[0]).convert("RGB"), Image.open(person[1]).convert("L")
    mask = mask.resize(photo.size)
    box = mask.point(lambda value: 255 * (value > 127)).getbbox()
    assert box is not None
    high = random.uniform(0.5, 0.85) * (whole.height - 2 * edge)
    factor = min(high / (box[3] - box[1]), 0.4 * whole.width / (box[2] - box[0]))
    size = max(8, round((box[2] - box[0]) * factor)), max(8, round((box[3] - box[1]) * factor))
    figure, mask = photo.crop(box).resize(size, Image.Resampling.LANCZOS), mask.crop(box).resize(size)
    at = (
        round(edge + x * (whole.width - 2 * edge) - size[0] / 2),
        whole.height - edge - round(0.06 * SCENE_SIDE) - size[1],
    )
    image, layer = whole.copy(), Image.new("L", whole.size)
    image.paste(figure, at, mask)
    layer.paste(mask, at)
    return image, np.asarray(layer)


def as_jpeg(image: Pixels) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=92)
    return np.asarray(Image.open(file))


def scenes_of(data: Path) -> tuple[list[Path], list[tuple[Path, Path]]]:
    """Returns photographs of places without people, and people with their masks, not used in training any network."""
    places = [
        data / "photos_open" / entry["file"]
        for entry in entries(data / "photos_open")
        if entry["role"] == "photo" and entry["category"] in PLACES and entry["split"] != "train"
    ]
    people = []
    for folder in (data / "pairs_open", data / "photos_open"):
        photos = {e["pair"]: e["file"] for e in entries(folder) if e["role"] == "photo"}
        for entry in entries(folder):
            if entry["role"] == "mask" and entry["category"] == "person" and entry["split"] != "train":
                mask = np.asarray(Image.open(folder / entry["file"]).convert("L")) > 127
                rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
                # Upright people who are not cut by the sides of the photograph.
                if 1.2 * len(columns) < len(rows) > 200 and columns[0] > 2 and columns[-1] < mask.shape[1] - 3:
                    people.append((folder / photos[entry["pair"]], folder / entry["file"]))
    return places, people


def entries(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((folder / "manifest.json").read_text())["entries"]
    return rows


def measured(scene: Scene, with_masks: bool) -> tuple[dict[str, Any], Pixels]:
    """Returns the metrics of a merge, with people detected or given, and the image."""
    people = [[scene.first_mask], [scene.seen_mask]] if with_masks else None
    result, info = merging.merge([scene.first, scene.second], base=0, people=people, return_info=True)
    photo = info.photos[1]
    record: dict[str, Any] = {"reason": photo.reason, "inliers": photo.inliers}
    if photo.reason:
        return record, result
    height, width = scene.first.shape[:2]
    at = np.stack(np.meshgrid(np.linspace(0, width - 1, 9), np.linspace(0, height - 1, 9)), -1)
    off = np.linalg.norm(_planes.mapped(photo.matrix, at) - _planes.mapped(scene.matrix, at), axis=-1)
    newcomer = (scene.second_mask > 200) & scene.view
    theirs = float((photo.mask[newcomer] > 200).mean())
    own = float((photo.mask[scene.first_mask > 200] < 50).mean())
    # The second photograph has another exposure, and the result that of the first one: large differences are errors.
    beside = (scene.first_mask < 20) & (scene.second_mask < 20)
    wrong = np.abs(result.astype(int) - scene.expected).max(-1)[beside] > GHOST_LEVELS
    return record | {
        "off": float(np.median(off)), "farthest": float(off.max()), "newcomer": theirs, "base": own,
        "kept": bool(theirs > MIN_VISIBLE_SHARE and own > MIN_VISIBLE_SHARE), "ghost": float(wrong.mean()),
        "exact": bool((result[photo.mask == 0] == scene.first[photo.mask == 0]).all()),
    }, result  # fmt: skip


def run(data: Path, count: int, save: Path | None) -> dict[str, Any]:
    places, people = scenes_of(data)
    rows = []
    for number in range(count):
        scene = Scene(places, people, number)
        row: dict[str, Any] = {"scene": number}
        for name, with_masks in (("found", False), ("given", True)):
            row[name], result = measured(scene, with_masks)
            if save is not None:
                four = [scene.first, scene.second, result, scene.expected]
                Image.fromarray(np.concatenate(four, 1)).save(save / f"{number:03}_{name}.png")
        rows.append(row)
        print(json.dumps(row), flush=True)
    return {"places": len(places), "people": len(people), "rows": rows}


def judge(data: Path, count: int) -> dict[str, Any]:
    """Returns the facts about merges of scenes of all degrees of hardness, and whether each result is usable.

    It is usable if both people are complete, although a frame may crop them, and nothing is doubled beside them. Of
    every third scene the masks of people are given. Photographs that are left out have no facts.
    """
    places, people = scenes_of(data)
    rows = []
    for number in range(count):
        # The golden ratio spreads degrees evenly, whatever the count.
        hardness = 1 + (HARDEST - 1) * (0.618034 * number % 1)
        scene = Scene(places, people, FIRST_JUDGED + number, hardness)
        with mock.patch("pyharmony.merging._merge.verdict_of", wraps=verdict_of) as record:
            row, _ = measured(scene, number % 3 == 2)
        if record.called:
            shown = float(scene.view[scene.second_mask > 200].mean())
            is_usable = min(row["newcomer"] * shown, row["base"]) > MIN_VISIBLE_SHARE and row["ghost"] < MAX_GHOST_SHARE
            facts = {name: round(float(value), 4) for name, value in record.call_args.args[0].items()}
            rows.append({"place": (FIRST_JUDGED + number) % len(places), "usable": is_usable, "facts": facts})
            print(json.dumps(rows[-1]), flush=True)
    return {"rows": rows}


def fit() -> tuple[Table, dict[str, Any]]:
    """Returns the table of the verdict, and the figures of its cross-validation over photographs of places."""
    rows = RECORD.read()["judged"]["rows"]
    names = list(rows[0]["facts"])
    facts = np.array([[row["facts"][name] for name in names] for row in rows])
    return verdict.fit(facts, np.array([row["usable"] for row in rows]), [row["place"] for row in rows], names)


def speed(data: Path) -> dict[str, Any]:
    """Returns the seconds for two photographs of 12 megapixels, and the memory of the process."""
    scene = Scene(*scenes_of(data), 0)
    large = [np.asarray(Image.fromarray(one).resize((4000, 3000))) for one in (scene.first, scene.second)]
    wall, work = time.perf_counter(), time.process_time()
    merging.merge(large)
    return {
        "wall": time.perf_counter() - wall, "cpu": time.process_time() - work,
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }  # fmt: skip


def report() -> None:
    whole = RECORD.read()
    lines: list[list[str]] = [
        ["people", "merged", "alignment, median (px)", "95 % (px)", "everyone kept", "wrong beside people"]
    ]
    rows = whole["run"]["rows"]
    for name in ("found", "given"):
        all_of_it = [row[name] for row in rows]
        good = [one for one in all_of_it if not one["reason"]]
        off = sorted(one["off"] for one in good)
        lines.append(
            [
                name, f"{len(good)} of {len(all_of_it)}", f"{statistics.median(off):.2f}",
                f"{off[math.ceil(0.95 * len(off)) - 1]:.2f}",
                f"{sum(one['kept'] for one in good)} of {len(good)}",
                f"{100 * statistics.median(one['ghost'] for one in good):.2f} %",
            ]
        )  # fmt: skip
    text = rows_of(lines)
    if "speed" in whole:
        speed = whole["speed"]
        cost = f"{speed['cpu']:.1f} s of one core's time and {speed['megabytes']:.0f} MB, the photographs among them"
        text += f"\n\nTwo photographs of 12 megapixels take {cost}."
    RECORD.tell(text)


def main() -> None:
    parser, commands = commands_of(__doc__)
    one = commands.add_parser("run")
    one.add_argument("data", type=Path)
    one.add_argument("--scenes", type=int, default=60)
    one.add_argument("--save", type=Path)
    hard = commands.add_parser("judge")
    hard.add_argument("data", type=Path)
    hard.add_argument("--scenes", type=int, default=150)
    commands.add_parser("fit")
    commands.add_parser("speed").add_argument("data", type=Path)
    commands.add_parser("report")
    options = parser.parse_args()
    warnings.simplefilter("ignore", PyHarmonyWarning)
    calls = {
        "run": lambda: {"run": run(options.data, options.scenes, options.save)},
        "judge": lambda: {"judged": judge(options.data, options.scenes)},
        "speed": lambda: {"speed": speed(options.data)},
    }
    if options.command == "fit":
        print(*fit(), sep="\n")
        return
    RECORD.run(options.command, calls, report)


if __name__ == "__main__":
    main()
