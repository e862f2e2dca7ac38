"""Measures what the light of both photographs adds to `pyharmony.compose`, and makes sheets for a blind comparison.

    python benchmarks/light.py measure DATA             # five minutes on one thread
    python benchmarks/light.py measure DATA --split val # for choosing
    python benchmarks/light.py sheets DATA OUT --seed 1 # with and without it, in random order, and the key
    python benchmarks/light.py sheets DATA OUT --listed --count 55 # the pairs of tools/annotations/light.json

DATA is a folder with the open data. A person of a photograph fits there, at another place of it, beside its other
people, and in the most alike photograph: what is changed in these is wrong, in levels of the most changed channel, as
if the network changed nothing. Of a known change of the subject's own photograph, as little as possible should remain
in the composite. The pairs of the list were chosen by eye: their light differs, and the subject could be there.
"""

from __future__ import annotations

import itertools
import json
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pairs
from PIL import Image
from records import commands_of

import pyharmony
from pyharmony.color import linear_to_srgb, srgb_to_linear
from pyharmony.errors import PyHarmonyError
from pyharmony.harmonization import light
from pyharmony.segmentation import Session

#: A change of more levels is counted, and one of fewer is not shown.
WRONG, VISIBLE = 8.0, 3.0
#: The known changes of a subject's own photograph: log2 of red, green and blue.
KNOWN = {"1.5 stops darker": (-1.5, -1.5, -1.5), "bluer": (-0.3, 0.0, 0.6), "warmer": (0.3, 0.0, -0.6)}
#: The number of pairs whose subject's photograph is changed; those drawn by one seed for sheets, and the most seeds.
CHANGED_PAIRS, AT_ONCE, MOST_DRAWS = 20, 24, 20
#: The list of pairs whose light differs.
LIST = Path(__file__).resolve().parent.parent / "tools" / "annotations" / "light.json"
#: The longer side of reduced masks, and the least share of a photograph that a person covers.
MASK_SIDE, LEAST_PERSON = 256, 0.01

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Scene:
    """A photograph with people; masks are reduced to the size of the small image."""

    origin: str
    image: Pixels
    masks: list[Pixels]
    heads: list[Any]

    def view(self, heads: list[int]) -> light.View:
        """Returns what the photograph tells of its light, with the faces of some people."""
        return light.view_of(self.image, [self.heads[i] for i in heads], self.image.shape[1])


def scenes_of(photos: list[pairs.Photo]) -> Iterator[Scene]:
    """Yields the photographs with people that `segment` detects."""
    for photo in photos:
        if not (photo.bodies or photo.people):
            continue
        pixels = pairs.pixels_of(photo.path)
        people = Session(pixels).people()
        ratio = min(1, MASK_SIDE / max(pixels.shape))
        masks = people.reduced((round(pixels.shape[1] * ratio), round(pixels.shape[0] * ratio)))
        if len(masks):
            yield Scene(photo.origin, pixels, [*masks], [*people.heads])


def levels_of(scene: Scene, number: int, own: light.View, there: light.View) -> float:
    """Returns the mean change of a person, in levels of the most changed channel."""
    if (shift := light.change(own, there)) is None:
        return 0.0
    mask = scene.masks[number] > 127
    small = np.asarray(Image.fromarray(scene.image).resize(mask.shape[::-1], Image.Resampling.BOX))
    before = small[mask] / 255
    after = light.map_of(shift, before).apply(before[None].astype(np.float32))[0]
    return float(255 * np.abs(after - before).max(1).mean())


def fitting(scenes: list[Scene]) -> dict[str, list[float]]:
    """Returns the changes in levels of people in places where they fit."""
    levels: dict[str, list[float]] = defaultdict(list)
    persons = [
        (scene, i) for scene in scenes for i, mask in enumerate(scene.masks) if (mask > 127).mean() >= LEAST_PERSON
    ]
    facts = {id(scene): light.facts_of(small_of(scene.image)) for scene in scenes}
    table = np.array([facts[id(scene)] for scene, _ in persons])
    table /= table.std(0) + 1e-6
    for number, (scene, i) in enumerate(persons):
        others = [j for j in range(len(scene.heads)) if j != i]
        own = scene.view([i])
        levels["put back"].append(levels_of(scene, i, own, scene.view([i, *others])))
        if others:
            levels["beside own companions"].append(levels_of(scene, i, own, scene.view(others)))
        levels["other place"].append(levels_of(scene, i, own, scene.view(others[1:])))
        far = ((table - table[number]) ** 2).mean(1)
        far[[one.origin == scene.origin for one, _ in persons]] = np.inf
        if np.isfinite(far).any():
            nearest, j = persons[int(np.argmin(far))]
            rest = [k for k in range(len(nearest.heads)) if k != j]
            levels["most alike photograph"].append(levels_of(scene, i, own, nearest.view(rest)))
    return levels


def small_of(image: Pixels) -> npt.NDArray[np.float64]:
    """Returns a photograph in [0, 1], reduced as for its statistics."""
    small = Image.fromarray(image).resize((light.VIEW_SIDE, light.VIEW_SIDE), Image.Resampling.BOX)
    return np.asarray(small, np.float64) / 255


def composed(own: Pixels, scene: Pixels, **arguments: Any) -> tuple[Pixels, Any]:
    """Returns a composite and its info."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pyharmony.compose(own, scene, return_info=True, **arguments)


def without_light(own: Pixels, scene: Pixels, info: Any) -> tuple[Pixels, Any]:
    """Returns the same composite without the light of both photographs, and its info."""
    entry = info.recipe["subjects"][0]
    entry = {**entry, "harmonize": {**entry["harmonize"], "light": None}}
    return composed(own, scene, recipe={**info.recipe, "subjects": [entry]})


def remaining(drawn: list[pairs.Pair]) -> dict[str, tuple[list[float], list[float]]]:
    """Returns the shares of known changes in composites, without and with the light of both photographs."""
    shares: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in KNOWN}

    def looks(own: Pixels, scene: Pixels, **arguments: Any) -> tuple[npt.NDArray[np.float64], ...]:
        _, info = composed(own, scene, **arguments)
        results = []
        for one in (without_light(own, scene, info)[1].subjects[0], info.subjects[0]):
            inside = one.alpha > 200
            if not inside.any():
                raise PyHarmonyError("nothing of the subject is visible")
            results.append(np.array(light.look(srgb_to_linear(one.colours[inside] / 255))))
        return results[0], results[1]

    for pair in drawn:
        own, scene = pairs.pixels_of(pair.subject.photo.path), pairs.pixels_of(pair.background.path)
        try:
            _, info = composed(own, scene, points=pair.subject.click())
            masks = pairs.mask_in(info.recipe["subjects"][0], own)
            people = pyharmony.segment(scene, all_people=True)
            arguments = {"masks": masks, "at": info.subjects[0].placement, "people": people}
            plain = looks(own, scene, **arguments)
            for name, gains in KNOWN.items():
                linear = srgb_to_linear(own / 255) * 2.0 ** np.array(gains)
                changed = np.rint(255 * linear_to_srgb(linear.clip(0, 1))).astype(np.uint8)
                inside = masks > 200
                whole = np.subtract(*(light.look(srgb_to_linear(x[inside] / 255)) for x in (changed, own)))
                axes = slice(0, 1) if len(set(gains)) == 1 else slice(1, 3)
                for part, before, after in zip(shares[name], plain, looks(changed, scene, **arguments), strict=True):
                    part.append(float((after - before)[axes] @ whole[axes] / (whole[axes] @ whole[axes])))
        except PyHarmonyError as error:
            print(f"{pair.subject.photo.path.name}: {error}")
    return shares


def pairs_of(data: Path, split: str, seed: int, count: int) -> list[pairs.Pair]:
    """Returns pairs of a split, drawn by a seed."""
    photos = pairs.photos_in(data, (split,))
    grounds: dict[str, list[pairs.Photo]] = defaultdict(list)
    for photo in photos:
        grounds[pairs.ground_of(photo)].append(photo)
    kinds = [kind for kind in pairs.GROUNDS if grounds[kind]]
    return pairs.draw(seed, count, [one for photo in photos for one in pairs.subjects_in(photo)], grounds, kinds)


def measure(data: Path, split: str, seed: int) -> None:
    for name, levels in fitting([*scenes_of(pairs.photos_in(data, (split,)))]).items():
        wrong, mean = np.mean(np.array(levels) > WRONG), np.mean(levels)
        print(f"{name}: {100 * wrong:.1f} % of {len(levels)} changed by more than {WRONG:g} levels, mean {mean:.2f}")
    for name, shares in remaining(pairs_of(data, split, seed, CHANGED_PAIRS)).items():
        print(f"{name}: share that is left, without and with: {', '.join(f'{np.mean(x):.3f}' for x in shares)}")


class SheetPair(NamedTuple):
    """The files of a subject and of a background, and a click on the subject, in pixels."""

    subject: Path
    background: Path
    click: tuple[float, float]
    light: str = ""  # that of the background, in the list


def by_seeds(data: Path, split: str, seed: int) -> Iterator[SheetPair]:
    """Yields pairs of a split, drawn by a seed and those after it."""
    earlier: set[tuple[Path, Path, bool]] = set()
    for pair in itertools.chain.from_iterable(pairs_of(data, split, seed + i, AT_ONCE) for i in range(MOST_DRAWS)):
        same = pair.subject.photo.path, pair.background.path, pair.by_click
        if same not in earlier:
            earlier.add(same)
            yield SheetPair(*same[:2], pair.subject.click())


def from_list(data: Path) -> Iterator[SheetPair]:
    """Yields the pairs of the list."""
    photos = {one.path.stem: one for one in pairs.photos_in(data)}
    for one in json.loads(LIST.read_text("utf-8"))["pairs"]:
        subject = photos[one["subject"]]
        x, y = (share * side / 100 for share, side in zip(one["click"], subject.size, strict=True))
        yield SheetPair(subject.path, photos[one["background"]].path, (x, y), one["light"])


def sheets(data: Path, out: Path, split: str, seed: int, count: int, listed: bool) -> None:
    """Writes a picture for each pair in which something changes: both photographs, and the composites A and B."""
    out.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    key: list[dict[str, Any]] = []
    count_of_pairs = 0
    for pair in from_list(data) if listed else by_seeds(data, split, seed):
        if len(key) == count:
            break
        count_of_pairs += 1
        own, scene = pairs.pixels_of(pair.subject), pairs.pixels_of(pair.background)
        try:
            picture, info = composed(own, scene, points=pair.click)
        except PyHarmonyError:
            continue
        if info.subjects[0].light is None:
            continue
        both = [without_light(own, scene, info)[0], picture]
        change = np.abs(both[0].astype(int) - both[1]).max(2)[info.subjects[0].mask > 127].mean()
        if change < VISIBLE:
            continue
        order = random.permutation(2)
        cells = [pairs.cell_of(own), pairs.cell_of(scene)]
        for number in order:
            cells += [pairs.cell_of(both[number]), pairs.close_up(both[number], info.subjects[0].mask)]
        name = f"{len(key) + 1:02d}.png"
        Image.fromarray(np.hstack(cells)).save(out / name)
        names = [("old", "new")[number] for number in order]
        row = {"file": name, "A": names[0], "B": names[1], "change": round(float(change), 1), "scene": pair.light}
        row |= {"subject": pair.subject.name, "background": pair.background.name}
        key.append({**row, "light": dict(info.subjects[0].light)})
    (out / "key.json").write_text(json.dumps({"drawn": count_of_pairs, "seed": seed, "pairs": key}, indent=1))
    print(f"{len(key)} of {count_of_pairs} pairs changed")


def main() -> None:
    parser, commands = commands_of(__doc__)
    for name in ("measure", "sheets"):
        command = commands.add_parser(name)
        command.add_argument("data", type=Path)
        command.add_argument("--split", default="test")
        command.add_argument("--seed", type=int, default=1)
        if name == "sheets":
            command.add_argument("out", type=Path)
            command.add_argument("--count", type=int, default=15)
            command.add_argument("--listed", action="store_true")
    arguments = vars(parser.parse_args())
    {"measure": measure, "sheets": sheets}[arguments.pop("command")](**arguments)


if __name__ == "__main__":
    main()
