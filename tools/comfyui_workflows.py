"""Writes the workflows of docs/comfyui.md in ComfyUI's two formats, runs them, and saves the pictures of their results.

    python tools/comfyui_workflows.py

In `examples/comfyui`, `api/NAME.json` has the format of ComfyUI's HTTP API, and `example_workflows/NAME.json` that of
its editor, which shows `example_workflows/NAME.jpg` beside it. The photographs lie in docs/images/photos
and in the package; LICENSES.md there and in docs/images says whose they are. `desk_edit.jpg` stands for an AI edit of
the desk: a cup is added and the picture is shifted, enlarged, softened and recoloured, as models do.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

import pyharmony
from pyharmony.cli._pictures import IMAGES
from pyharmony.comfyui import NODE_CLASS_MAPPINGS

FOLDER = Path(__file__).resolve().parents[1] / "examples" / "comfyui"
#: Where a workflow's photographs may lie.
PHOTOS = (IMAGES, FOLDER.parents[1] / "docs" / "images" / "photos")
#: The width of a picture of a result.
WIDTH = 480

Workflow = dict[str, dict[str, Any]]

CUP = "490,270,540,345,450,310"
ON_DESK = {"at": "195,130", "scale": "0.68", "angle": "0"}
ON_JETTY = {"at": "-30,26", "scale": "0.78", "angle": "0"}


def _placed(photo: str, background: str, points: str, place: Mapping[str, str]) -> Workflow:
    """Returns the nodes that segment an object and paste it: the last, 4, gives the composite and the mask."""
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": photo}},
        "2": {"class_type": "LoadImage", "inputs": {"image": background}},
        "3": {"class_type": "PyHarmonySegment", "inputs": {"image": ["1", 0], "points": points}},
        "4": {"class_type": "PyHarmonyPlace", "inputs": {"subject": ["3", 0], "background": ["2", 0], **place}},
    }


def _with(workflow: Workflow, class_type: str, **inputs: Any) -> Workflow:
    """Returns a workflow with another node after the last."""
    return {**workflow, str(len(workflow) + 1): {"class_type": class_type, "inputs": inputs}}


def _two(first: str, second: str, class_type: str, **inputs: Any) -> Workflow:
    """Returns a workflow with a node on two photographs."""
    loaded = {
        str(i): {"class_type": "LoadImage", "inputs": {"image": name}} for i, name in enumerate((first, second), 1)
    }
    return _with(loaded, class_type, **inputs)


_COMPOSITE: dict[str, Any] = {"image": ["4", 0], "mask": ["4", 1]}
_ON_DESK, _ON_JETTY = (
    _placed("cup.jpg", "desk.jpg", CUP, ON_DESK),
    _placed("vase.jpg", "jetty.jpg", "320,200,320,100", ON_JETTY),
)
#: The workflows, with the inputs that are not the defaults; the last node's first output is saved.
WORKFLOWS: dict[str, Workflow] = {
    "apply_edit": _two("desk.jpg", "desk_edit.jpg", "PyHarmonyApplyEdit", original=["1", 0], edited=["2", 0]),
    "blend": _two(
        "waves.jpg", "bricks.jpg", "PyHarmonyBlend", src=["1", 0], dst=["2", 0],
        mode="poisson", at="160,115", gradients="mixed", color_weight="0.02",
    ),
    "harmonize": _with(_ON_JETTY, "PyHarmonyHarmonize", **_COMPOSITE),
    "match": _with(_ON_DESK, "PyHarmonyMatch", **_COMPOSITE),
    "place": _ON_DESK,
    "segment": _with(
        {"1": {"class_type": "LoadImage", "inputs": {"image": "cup.jpg"}}},
        "PyHarmonySegment", image=["1", 0], points=CUP,
    ),
    "shadow": _with(
        _with(_ON_DESK, "PyHarmonyMatch", **_COMPOSITE), "PyHarmonyShadow", image=["5", 0], mask=["4", 1],
        azimuth=-40.0, elevation=50.0, softness=30.0, contact="370", under=0.3,
    ),
}  # fmt: skip


def fields(class_type: str) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Returns the inputs of a node's class with their types and settings, in the order in which the editor has them."""
    if class_type == "LoadImage":
        return {"image": ([], {})}
    if class_type == "SaveImage":
        return {"images": ("IMAGE", {}), "filename_prefix": ("STRING", {"default": "ComfyUI"})}
    types = NODE_CLASS_MAPPINGS[class_type].INPUT_TYPES()
    return {**types["required"], **types["optional"]}


def is_widget(kind: Any) -> bool:
    return kind not in ("IMAGE", "MASK")


def completed(name: str) -> Workflow:
    """Returns a workflow in the format of the API, with all inputs and a node that saves the result."""
    workflow = _with(WORKFLOWS[name], "SaveImage", images=[str(len(WORKFLOWS[name])), 0], filename_prefix=name)
    every = {}
    for number, node in workflow.items():
        defaults = {
            field: more["default"]
            for field, (kind, more) in fields(node["class_type"]).items()
            if is_widget(kind) and "default" in more
        }
        every[number] = {"class_type": node["class_type"], "inputs": {**defaults, **node["inputs"]}}
    return every


def outputs(class_type: str) -> dict[str, str]:
    """Returns the types of the outputs of a node's class, by name."""
    if class_type == "LoadImage":
        return {"IMAGE": "IMAGE", "MASK": "MASK"}
    if class_type == "SaveImage":
        return {}
    cls: Any = NODE_CLASS_MAPPINGS[class_type]
    return dict(zip(cls.RETURN_NAMES, cls.RETURN_TYPES))


def for_editor(workflow: Workflow) -> dict[str, Any]:
    """Returns a workflow in the format of ComfyUI's editor."""
    links: list[list[Any]] = []
    nodes = []
    for order, (number, node) in enumerate(workflow.items()):
        types, values, slots = fields(node["class_type"]), [], []
        for field, (kind, _) in types.items():
            value = node["inputs"].get(field)
            if is_widget(kind):
                values.append(value)
                continue
            slots.append({"name": field, "type": kind, "link": None})
            if value is not None:
                links.append([len(links) + 1, int(value[0]), value[1], int(number), len(slots) - 1, kind])
                slots[-1]["link"] = len(links)
        if node["class_type"] == "LoadImage":
            values.append("image")  # the button for another file
        nodes.append({
            "id": int(number), "type": node["class_type"], "pos": [order * 360, 0], "size": [320, 320], "flags": {},
            "order": order, "mode": 0, "inputs": slots, "properties": {"Node name for S&R": node["class_type"]},
            "widgets_values": values,
        })  # fmt: skip
    for node, (_, described) in zip(nodes, workflow.items()):
        node["outputs"] = [
            {"name": name, "type": kind, "slot_index": slot,
             "links": [link[0] for link in links if (link[1], link[2]) == (node["id"], slot)]}
            for slot, (name, kind) in enumerate(outputs(described["class_type"]).items())
        ]  # fmt: skip
    return {
        "last_node_id": len(nodes), "last_link_id": len(links), "nodes": nodes, "links": links, "groups": [],
        "config": {}, "extra": {}, "version": 0.4,
    }  # fmt: skip


def written(name: str) -> dict[str, str]:
    """Returns the text of a workflow's files, by their folders."""
    workflow = completed(name)
    formats = {"api": workflow, "example_workflows": for_editor(workflow)}
    return {folder: json.dumps(value, indent=1) + "\n" for folder, value in formats.items()}


def run(workflow: Workflow, execute: Callable[..., Any]) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Runs a workflow in the API's format, whose nodes are in order: yields the class, inputs and outputs of each."""
    results: dict[str, Any] = {}
    for number, node in workflow.items():
        inputs = {
            name: results[value[0]][value[1]] if isinstance(value, list) else value
            for name, value in node["inputs"].items()
        }
        results[number] = execute(node["class_type"], **inputs)
        yield node["class_type"], inputs, results[number]


def photo(name: str) -> Path:
    return next(folder / name for folder in PHOTOS if (folder / name).exists())


def make_edit(path: Path) -> None:
    """Writes the picture that stands for an AI edit of the desk."""
    desk = Image.open(photo("desk.jpg")).convert("RGB")
    cup = Image.open(photo("cup.jpg")).convert("RGB")
    at, points = (195, 130), [(490, 270), (540, 345), (450, 310)]
    edit: Image.Image = pyharmony.compose(
        cup, desk, points=points, at=at, scale=0.68, angle=0,
        shadow={"azimuth": -40, "elevation": 50, "softness": 30, "contact": 370, "under": 0.3},
    )  # fmt: skip
    scale = 1 / 1.012
    edit = edit.transform(edit.size, Image.Transform.AFFINE, (scale, 0, 3.4, 0, scale, 1.7), Image.Resampling.BICUBIC)
    edit = edit.filter(ImageFilter.GaussianBlur(0.7))
    levels = np.asarray(edit, np.float64) / 255
    drifted = levels ** (0.94, 0.96, 1.0) * (1.0, 0.985, 0.96) + 0.01
    Image.fromarray(np.rint(np.clip(drifted, 0, 1) * 255).astype(np.uint8)).save(path, quality=90)


def execute(class_type: str, **inputs: Any) -> Any:
    """Returns the outputs of a node, without ComfyUI."""
    if class_type == "LoadImage":
        import torch

        pixels = np.asarray(Image.open(photo(inputs["image"])).convert("RGB"), np.float32) / np.float32(255)
        return (torch.from_numpy(pixels)[None],)
    return () if class_type == "SaveImage" else NODE_CLASS_MAPPINGS[class_type]().run(**inputs)


def main() -> None:
    make_edit(PHOTOS[0] / "desk_edit.jpg")
    for name in WORKFLOWS:
        for folder, text in written(name).items():
            (FOLDER / folder / f"{name}.json").write_text(text)
        *_, (_, inputs, _) = run(completed(name), execute)
        pixels = np.rint(inputs["images"][0].numpy().clip(0, 1) * 255).astype(np.uint8)
        picture = Image.fromarray(pixels)
        if picture.mode == "RGBA":
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
        picture.thumbnail((WIDTH, WIDTH), Image.Resampling.LANCZOS)
        picture.save(FOLDER / "example_workflows" / f"{name}.jpg", quality=88)
        print(f"wrote {name}")


if __name__ == "__main__":
    main()
