"""Measures `apply_edit`: what was changed, and how near the result is to the truth, on simulated edits of photographs.

    python benchmarks/ai_edits.py run DATA --edits 100     # objects pasted into photographs, which then drift
    python benchmarks/ai_edits.py run DATA --edits 4 --save FOLDER    # also writes the results, for inspection
    python benchmarks/ai_edits.py speed DATA               # seconds and memory at 1 and at 12 megapixels
    python benchmarks/ai_edits.py report                   # the tables, into docs/apply-edit.md

DATA contains the folders `photos_open` and `masks_open`, of which the test splits are used. An edit is a photograph of
512 pixels with an object of another one pasted in; then the whole picture drifts as by an editing model: gamma, gain
and saturation, a slow change of light, blur and noise. It stays in place, or it is moved by up to 6 pixels and scaled
by up to 1 %. So the truth is known: the photograph with the object, without drift.
"""

from __future__ import annotations

import json
import statistics
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter
from records import Record, commands_of, process_memory
from tables import rows_of

import pyharmony
from pyharmony.edits import show_changes
from pyharmony.errors import ArgumentError, PyHarmonyWarning

RECORD = Record("ai_edits", "apply-edit.md")
CROP_SIDE = 512
#: The standard deviations of the logarithms of gammas and gains, of the saturation, and of the light at the border.
GAMMA, GAIN, SATURATION, LIGHT = 0.07, 0.035, 0.07, 0.02
#: The range of the blur's deviation in pixels, and the noise, of 1.
BLUR, NOISE = (0.3, 0.7), 0.006
SHIFT, SCALE = 6.0, 0.01

Pixels = npt.NDArray[np.uint8]
Float = npt.NDArray[np.float64]


def entries(folder: Path) -> list[dict[str, Any]]:
    every: list[dict[str, Any]] = json.loads((folder / "manifest.json").read_text())["entries"]
    return [entry for entry in every if entry["split"] == "test"]


def pictures_of(data: Path) -> tuple[list[Path], list[tuple[Path, Path]]]:
    """Returns photographs, and objects as photographs with a mask, sorted by name."""
    photos = sorted(
        data / folder / entry["file"]
        for folder in ("masks_open", "photos_open")
        for entry in entries(data / folder)
        if entry["role"] == "photo"
    )
    folder = data / "masks_open"
    photo_of = {entry["pair"]: folder / entry["file"] for entry in entries(folder) if entry["role"] == "photo"}
    first: dict[str, Path] = {}
    for entry in entries(folder):
        if entry["role"] == "mask":
            first.setdefault(entry["pair"], folder / entry["file"])
    return photos, sorted((photo_of[pair], mask) for pair, mask in first.items())


class Edit:
    """A photograph, its edit, the truth, and the share of the object at each pixel."""

    def __init__(self, photos: list[Path], objects: list[tuple[Path, Path]], number: int, moves: bool) -> None:
        random = np.random.default_rng((5, number))
        whole = Image.open(photos[number % len(photos)]).convert("RGB")
        factor = CROP_SIDE / max(whole.size)
        whole = whole.resize((round(whole.width * factor), round(whole.height * factor)), Image.Resampling.LANCZOS)
        photo, mask = objects[int(random.integers(len(objects)))]
        mask_image = Image.open(mask).convert("L").resize(Image.open(photo).size)
        box = mask_image.point(lambda value: 255 * (value > 127)).getbbox()
        assert box is not None
        figure, mask_image = Image.open(photo).convert("RGB").crop(box), mask_image.crop(box)
        factor = random.uniform(0.24, 0.6) * min(whole.width / figure.width, whole.height / figure.height)
        size = max(8, round(figure.width * factor)), max(8, round(figure.height * factor))
        figure, mask_image = (
            figure.resize(size, Image.Resampling.LANCZOS),
            mask_image.resize(size, Image.Resampling.LANCZOS),
        )
        at = tuple(int(random.integers(0, max(1, a - b + 1))) for a, b in zip(whole.size, size, strict=True))
        layer, image = Image.new("L", whole.size), whole.copy()
        layer.paste(mask_image, at)
        layer = layer.filter(ImageFilter.GaussianBlur(0.7))
        colours = Image.new("RGB", whole.size)
        colours.paste(figure, at)
        image = Image.composite(colours, image, layer)
        self.photo, self.truth = np.asarray(whole), np.asarray(image)
        self.share: Float = np.asarray(layer) / 255
        if moves:
            scale, shift = 1 + random.uniform(-SCALE, SCALE), random.uniform(-SHIFT, SHIFT, 2)
            frame = Image.fromarray(np.pad(self.truth, ((16, 16), (16, 16), (0, 0)), mode="reflect"))
            terms = (scale, 0, shift[0] + 16 * (1 - scale), 0, scale, shift[1] + 16 * (1 - scale))
            image = frame.transform(frame.size, Image.Transform.AFFINE, terms, Image.Resampling.BICUBIC)
            image = image.crop((16, 16, 16 + whole.width, 16 + whole.height))
        self.edit = drifted(image, random)


def drifted(image: Image.Image, random: np.random.Generator) -> Pixels:
    values = (np.asarray(image) / 255) ** np.exp(random.normal(0, GAMMA, 3)) * np.exp(random.normal(0, GAIN, 3))
    grey = values.mean(2, keepdims=True)
    values = grey + (values - grey) * (1 + random.normal(0, SATURATION))
    y, x = np.mgrid[-1 : 1 : values.shape[0] * 1j, -1 : 1 : values.shape[1] * 1j]
    values *= (1 + random.normal(0, LIGHT) * x + random.normal(0, LIGHT) * y)[..., None]
    deviation = random.uniform(*BLUR)
    reach = np.arange(-4, 5)
    weights = np.exp(-0.5 * (reach / deviation) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        pads = [(4, 4) if axis == one else (0, 0) for one in range(3)]
        padded, count = np.pad(values, pads, mode="edge"), values.shape[axis]
        values = sum(w * np.take(padded, np.arange(i, i + count), axis) for i, w in enumerate(weights))
    values += random.normal(0, NOISE, values.shape)
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


def psnr(first: npt.NDArray[Any], second: npt.NDArray[Any], where: npt.NDArray[np.bool_]) -> float:
    error = float(np.square(first.astype(float) - second)[where].mean())
    return 10 * float(np.log10(255**2 / max(error, 1e-9)))


def measured(edit: Edit) -> tuple[dict[str, Any], Pixels, Any]:
    """Returns the figures of an edit that is applied, the result and its info."""
    start = time.process_time()
    try:
        result, info = pyharmony.apply_edit(edit.photo, edit.edit, return_info=True)
    except ArgumentError as error:
        return {"refused": error.code}, edit.photo, None
    seconds = time.process_time() - start
    inside, core, everywhere = edit.share > 0.5, edit.share > 0.9, edit.share > -1
    mask = info.mask > 127
    soft = np.asarray(Image.fromarray(inside.astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(2))) / 255
    feathered = edit.photo + soft[..., None] * (edit.edit.astype(float) - edit.photo)
    # A photograph of 16 bits, over the same decisions, stays as it was outside of the mask as well.
    deep = edit.photo.astype(np.uint16) * 257
    deep_result, deep_info = pyharmony.apply_edit(deep, edit.edit, return_info=True)
    exact = (result == edit.photo)[info.mask == 0].all() and (deep_result == deep)[deep_info.mask == 0].all()
    return {
        "iou": float((mask & inside).sum() / max((mask | inside).sum(), 1)),
        "recall": float((edit.share * info.mask).sum() / 255 / edit.share.sum()),
        "before": psnr(edit.edit, edit.truth, core), "object": psnr(result, edit.truth, core),
        "whole": psnr(result, edit.truth, everywhere), "feathered": psnr(feathered, edit.truth, everywhere),
        "changes": len(info.changes), "motion": info.motion, "exact": bool(exact), "cpu": seconds,
    }, result, info  # fmt: skip


def run(data: Path, count: int, save: Path | None) -> dict[str, Any]:
    photos, objects = pictures_of(data)
    rows = []
    for number in range(count):
        row: dict[str, Any] = {"edit": number}
        for name, moves in (("still", False), ("moved", True)):
            edit = Edit(photos, objects, number, moves)
            row[name], result, info = measured(edit)
            if save is not None and info is not None:
                images = [edit.photo, edit.edit, result, edit.truth, show_changes(result, info)]
                Image.fromarray(np.concatenate(images, 1)).save(save / f"{number:03}_{name}.png")
        rows.append(row)
        print(json.dumps(row), flush=True)
    return {"photos": len(photos), "objects": len(objects), "rows": rows}


def speed(data: Path) -> dict[str, Any]:
    """Returns the seconds of one core, and the bytes for each pixel of the photograph, at 1 and 12 megapixels."""
    photos, objects = pictures_of(data)
    edit = Edit(photos, objects, 0, True)
    pyharmony.set_num_threads(1)
    record: dict[str, Any] = {}
    small = np.asarray(Image.fromarray(edit.edit).resize((1152, 864), Image.Resampling.LANCZOS))
    for name, size in (("1 megapixel", (1152, 864)), ("12 megapixels", (4000, 3000))):
        photo = np.asarray(Image.fromarray(edit.photo).resize(size, Image.Resampling.LANCZOS))
        times = []
        for _ in range(3):
            start, before = time.process_time(), process_memory("VmRSS")
            pyharmony.apply_edit(photo, small)
            times.append(time.process_time() - start)
        memory = (process_memory("VmHWM") - before) / (size[0] * size[1])
        record[name] = {"cpu": min(times), "bytes": memory}
    return record


def report() -> None:
    whole = RECORD.read()
    head = ["100 edits", "IoU of the change", "recall", "object before, dB", "object after, dB", "worse than feathered"]
    lines = [head]
    for name, label in (("still", "in place"), ("moved", "moved")):
        every = [row[name] for row in whole["run"]["rows"]]
        rows = [one for one in every if "refused" not in one]
        worse = sum(one["whole"] < one["feathered"] - 0.2 for one in rows)
        means = {key: statistics.mean(one[key] for one in rows) for key in ("iou", "recall", "before", "object")}
        lines.append(
            [
                label, f"{means['iou']:.3f}", f"{means['recall']:.4f}", f"{means['before']:.1f}",
                f"{means['object']:.1f}", f"{worse + len(every) - len(rows)} of {len(every)}",
            ]
        )  # fmt: skip
    lines[0][0] = f"{len(whole['run']['rows'])} edits"
    text = rows_of(lines)
    if "speed" in whole:
        costs = [
            f"{one['cpu']:.2f} s and {one['bytes']:.0f} bytes a pixel for {name}"
            for name, one in whole["speed"].items()
        ]
        text += f"\n\nWith an edit of 1 megapixel: {', '.join(costs)},\non one core of a shared machine"
        text += " (`python benchmarks/ai_edits.py speed DATA`)."
    RECORD.tell(text)


def main() -> None:
    parser, commands = commands_of(__doc__)
    one = commands.add_parser("run")
    one.add_argument("data", type=Path)
    one.add_argument("--edits", type=int, default=100)
    one.add_argument("--save", type=Path)
    commands.add_parser("speed").add_argument("data", type=Path)
    commands.add_parser("report")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", PyHarmonyWarning)
    calls = {
        "run": lambda: {"run": run(arguments.data, arguments.edits, arguments.save)},
        "speed": lambda: {"speed": speed(arguments.data)},
    }
    RECORD.run(arguments.command, calls, report)


if __name__ == "__main__":
    main()
