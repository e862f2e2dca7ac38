"""Makes a folder of photographs and masks to train on: python tools/annotated.py PHOTOS OUT [ANNOTATIONS ...]

`tools/annotations` holds masks, in COCO's format, of objects in photographs of the open data that came without: boxes
and clicks were set by hand, contours are by GrabCut or by our own network, and each was looked at. PHOTOS is the folder
of the photographs. OUT gets a copy of each, a mask, and the manifest that `pyharmony train` reads. A file may also list
photographs under "nobody", which show no people; they have no mask, and the category "nobody".
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

#: Those of masks, and of photographs of nobody; heads are learned from the photographs themselves.
OWN = tuple(Path(__file__).parent / "annotations" / name for name in ("nobody.json", "photos_open.json"))


def written(annotations: Path, photos: Path, out: Path) -> list[dict[str, Any]]:
    """Writes the photographs and masks of a file of annotations, and returns their entries of a manifest."""
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
    """Copies a photograph of nobody, and returns its entry of a manifest."""
    name = f"{photo.stem}_nobody"
    shutil.copy(photo, out / "images" / f"{name}{photo.suffix}")
    return {
        "file": f"images/{name}{photo.suffix}",
        "role": "photo",
        "pair": name,
        "split": "train",
        "category": "nobody",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("annotations", type=Path, nargs="*", help="none: our own")
    given = parser.parse_args()
    for folder in ("images", "masks"):
        (given.out / folder).mkdir(parents=True, exist_ok=True)
    entries = []
    for file in given.annotations or OWN:
        entries += written(file, given.photos, given.out)
    (given.out / "manifest.json").write_text(json.dumps({"entries": entries}, indent=1) + "\n", "utf-8")
    objects = sum(entry["role"] == "mask" for entry in entries)
    print(f"{given.out}: {objects} objects, {len(entries) - 2 * objects} photographs of nobody")


if __name__ == "__main__":
    main()
