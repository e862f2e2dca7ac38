"""Masks for the boxes of COCO annotations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ... import _checks
from ...errors import DataError, PyHarmonyError
from ...segmentation import Method, Session
from ...segmentation._methods import method_of
from ...typing import PathLike
from . import _files
from ._dataset import Problem
from .coco import box_of, check_size, encode_segmentation, is_size, read_table


@_checks.kinds
def boxes_to_masks(
    annotations: PathLike,
    images: PathLike,
    *,
    method: str | Method = "auto",
    progress: Callable[[], None] | None = None,
) -> tuple[dict[str, Any], list[Problem]]:
    """Returns COCO annotations with a mask for each box, and the boxes that could not be segmented.

    Args:
        annotations: the JSON file, with `images` (`id`, `file_name`) and `annotations` (`image_id`, `bbox`).
        images: the folder of the images.
        method: see `pyharmony.segment`.
        progress: called after each image.

    Returns:
        The contents of the file, in which each annotation with a non-empty box has `segmentation` (runs as text),
        `area` in pixels and `score`; and the problems, which do not stop the others.

    Raises:
        DataError: the file contains no COCO annotations.
        FileNotFoundError: the file or the folder is missing.
        ArgumentError, WeightsError, ImportError: as `pyharmony.segment`, for the method.

    Example:
        >>> from pyharmony import data
        >>> table, problems = data.boxes_to_masks("coco/instances.json", "coco")
        >>> table["annotations"][0]["segmentation"]["size"], problems
        ([24, 32], [])
    """
    folder = _checks.folder(images, "images")
    segmenter = method_of(method)
    file = _checks.path(annotations, "annotations")
    with _files.data_errors(str(file)):
        table = read_table(file)
    for key in ("images", "annotations"):
        if not all(isinstance(entry, dict) for entry in table[key]):
            raise DataError(f"{file}: {key}: expected a list of objects, as of COCO annotations")
    of_image: dict[Any, list[dict[str, Any]]] = {}
    for one in table["annotations"]:
        of_image.setdefault(str(one.get("image_id")), []).append(one)
    problems: list[Problem] = []
    for image in table["images"]:
        name = str(image.get("file_name"))
        try:
            path = _files.inside(folder, image.get("file_name"), str(annotations))
            own = of_image.pop(str(image.get("id")), [])
            path = _files.own_file(folder, path, str(annotations))
            _cut_out(path, (image.get("width"), image.get("height")), own, segmenter)
        except (PyHarmonyError, OSError) as error:
            problems.append(Problem(name, f"{name}: {error}"))
        if progress is not None:
            progress()
    problems += [Problem(name, f"{annotations}: there is no image {name}") for name in of_image]
    return table, problems


def _cut_out(path: Path, size: tuple[Any, Any], annotations: list[dict[str, Any]], method: Method) -> None:
    """Segments the boxes of a photograph; size: the width and height that they are of, as far as annotated."""
    session: Session | None = None
    for one in annotations:
        if one.get("bbox") is None:
            raise DataError(f"annotation {one.get('id')!r} has no bbox")
        box: Any = box_of(one["bbox"])
        if session is None:
            session = Session(path, method=method)
            check_size(session.size, size if all(map(is_size, size)) else session.size, path)
        masks = session.segment(box=box)
        inside = masks.mask >= 128
        one["segmentation"], one["area"] = encode_segmentation(inside), int(inside.sum())
        one["score"] = round(masks.scores[0], 4) if len(masks) else 0.0
