"""The prompts of a segmentation, from the options of its call, and the image that it writes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ..._calls import SEGMENT, points_of
from ...errors import PyHarmonyError

#: The options of prompts by which a segmentation begins; lines and outlines after the first correct it.
_FIRST = ("points", "beside", "scribble", "box", "mask")


def prompted(session: Any, options: Mapping[str, Any]) -> Any:
    """Returns a session's result for clicks, a box, a mask, lines, outlines, and masks to add and to remove."""
    every = {name: points_of(options.get(name, ())) for name in ("points", "beside")}
    clicks = {f"{name}[{i}]": at for name, points in every.items() for i, at in enumerate(points)}
    labels = [int(name.startswith("points")) for name in clicks] or None
    lines = options.get("scribble", [])
    outlines, tolerance = options.get("lasso", ()), options.get("tolerance")
    arguments = SEGMENT.arguments(options)
    if "mask" not in options and (outlines or options.get("lasso_beside")):
        arguments.pop("tolerance", None)
    segments = None
    if not outlines or any(options.get(name) for name in _FIRST):
        points, line = list(clicks.values()) or None, lines[0] if lines else None
        try:
            segments = session.segment(points=points, labels=labels, scribble=line, **arguments)
        except PyHarmonyError as error:
            names = {f"points[{i}]": name for i, name in enumerate(clicks)}
            names |= {"points": "beside"} if clicks and not every["points"] else {}
            raise error.within("", names.get(error.argument or "")) from error.__cause__
    for name, is_added in (("lasso", True), ("lasso_beside", False)):
        for line in options.get(name, ()):
            segments = session.lasso(line, add=is_added, tolerance=tolerance)
    for line in lines[1:]:
        segments = session.scribble(line, add=True)
    for line in options.get("scribble_beside", ()):
        segments = session.scribble(line, add=False)
    for name, is_added in (("include", True), ("exclude", False)):
        for mask in options.get(name, ()):
            try:
                segments = session.combine(mask, add=is_added)
            except PyHarmonyError as error:
                raise error.within("", name) from None
    return segments


def object_of(
    picture: Any, alpha: Any, *, mask_only: bool = False, crop_to_mask: bool = False, keep_background: bool = False
) -> Any:
    """Returns the object of a picture as it is written: a cut-out, or the alpha alone as a grey picture."""
    from ... import segmentation
    from ..._images.region import bounding_box

    if not mask_only:
        return segmentation.cutout(picture, alpha, crop_to_mask=crop_to_mask, keep_background=keep_background)
    part = bounding_box(alpha).of(alpha) if crop_to_mask else alpha
    return dataclasses.replace(picture, pixels=part[..., None], profile=None, format=None)
