"""Makes a folder of photographs and masks to train on: python tools/annotated.py PHOTOS OUT [ANNOTATIONS ...]

    python tools/annotated.py photos_open/images drawn
    python tools/annotated.py photos_open/images drawn --manifest pairs_open --manifest masks_open \\
        --manifest masks_open/more_masks

`tools/annotations` contains masks, in COCO's format, of objects in photographs of the open data without masks: boxes
and clicks were set by hand, contours are by GrabCut or by our own network, and each was inspected. PHOTOS is the folder
of the photographs. OUT gets a copy of each, a mask, and the manifest that `pyharmony train` reads. A file may also list
photographs without people under "nobody"; they have no mask, and the category "nobody".

A manifest of the data may list several masks of one photograph, or only masks with the path of the photograph of each,
which `learn.data.Manifest` does not support: OUT gets each mask as a separate pair, in the split that the manifest
specifies.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

#: The files of masks, and of photographs without people; heads are learned from the photographs themselves.
ANNOTATION_FILES = tuple(Path(__file__).parent / "annotations" / name for name in ("nobody.json", "photos_open.json"))

#: The name prefix of photographs in a manifest that are skipped, since their source is not stated.
EXCLUDED_PREFIX = "rembg_"


def written(annotations: Path, photos: Path, out: Path) -> list[dict[str, Any]]:
    """Writes the photographs and masks of an annotation file, and returns their manifest entries."""
    table = json.loads(annotations.read_text("utf-8"))
    if "nobody" in table:
        return [_without_mask(photos / name, out) for name in table["nobody"]]
    images = {image["id"]: image for image in table["images"]}
    categories = {category["id"]: category["name"] for category in table["categories"]}
    entries = []
    for annotation in table["annotations"]:
        image = images[annotation["image_id"]]
        photo = Path(image["file_name"])
        name = f"{photo.stem}_{annotation['id']}"
        shutil.copy(photos / photo, out / "images" / f"{name}{photo.suffix}")
        mask = Image.new("L", (image["width"], image["height"]))
        for polygon in annotation["segmentation"]:
            ImageDraw.Draw(mask).polygon(polygon, fill=255)
        mask.save(out / "masks" / f"{name}.png")
        common = {"pair": name, "split": "train", "category": categories[annotation["category_id"]]}
        entries.append({"file": f"images/{name}{photo.suffix}", "role": "photo", **common})
        entries.append({"file": f"masks/{name}.png", "role": "mask", **common})
    return entries


def _without_mask(photo: Path, out: Path) -> dict[str, Any]:
    """Copies a photograph without people, and returns its manifest entry."""
    name = f"{photo.stem}_nobody"
    shutil.copy(photo, out / "images" / f"{name}{photo.suffix}")
    return {
        "file": f"images/{name}{photo.suffix}",
        "role": "photo",
        "pair": name,
        "split": "train",
        "category": "nobody",
    }


def separated(folder: Path, out: Path) -> list[dict[str, Any]]:
    """Writes the photographs and masks of a manifest, and returns entries with one mask for each pair.

    A photograph is copied once, and all pairs of its masks refer to it; one without a mask is a pair as well. The
    category of a pair is that of its mask, and `path` specifies its photograph.

    Args:
        folder: the folder of manifest.json. A mask may specify its photograph by `photo`, a path relative to that
            folder; otherwise it is the photograph of the same pair.
        out: the folder to write to.
    """
    every = json.loads((folder / "manifest.json").read_text("utf-8"))["entries"]
    every = [entry for entry in every if not entry["pair"].startswith(EXCLUDED_PREFIX)]
    photos = {entry["pair"]: entry["file"] for entry in every if entry["role"] == "photo"}
    masks = [entry for entry in every if entry["role"] == "mask"]
    masked = {entry["pair"] for entry in masks}
    entries = []
    for entry in [*masks, *(entry for entry in every if entry["role"] == "photo" and entry["pair"] not in masked)]:
        photo = folder / (entry.get("photo") or photos[entry["pair"]])
        copy = out / "images" / photo.name
        if not copy.exists():
            shutil.copy(photo, copy)
        name = Path(entry["file"]).stem
        common = {"pair": name, "split": entry["split"], "category": entry["category"]}
        entries.append({"file": f"images/{photo.name}", "role": "photo", "path": photo.name, **common})
        if entry["role"] == "mask":
            shutil.copy(folder / entry["file"], out / "masks" / f"{name}.png")
            entries.append({"file": f"masks/{name}.png", "role": "mask", **common})
    return entries


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("annotations", type=Path, nargs="*", help="none: our own")
    parser.add_argument("--manifest", type=Path, action="append", default=[], metavar="FOLDER", help="several times")
    options = parser.parse_args()
    for folder in ("images", "masks"):
        (options.out / folder).mkdir(parents=True, exist_ok=True)
    entries = []
    for file in options.annotations or ANNOTATION_FILES:
        entries += written(file, options.photos, options.out)
    for folder in options.manifest:
        entries += separated(folder, options.out)
    (options.out / "manifest.json").write_text(json.dumps({"entries": entries}, indent=1) + "\n", "utf-8")
    objects = sum(entry["role"] == "mask" for entry in entries)
    print(f"{options.out}: {objects} objects, {len(entries) - 2 * objects} photographs without a mask")


if __name__ == "__main__":
    main()
