"""The nodes: their inputs, options and outputs, and what each computes for one frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import blend, segmentation
from .._calls import APPLY_EDIT, BLEND, COMPOSE, HARMONIZE, NETLESS, SEGMENT, SHADOW, Option
from .._warnings import quiet, warn
from ..composition import compose
from ..edits import apply_edit
from ..errors import UnchangedWarning
from ..harmonization import harmonize
from ..matching import match_grain, match_sharpness
from ..runs._jobs.prompts import prompted
from ..shadows import shadow

#: A frame [H, W, C] of an IMAGE or [H, W] of a MASK.
Frame = npt.NDArray[Any]
Answer = tuple[Any, ...]


@dataclass(frozen=True)
class Image:
    """An input of images or masks.

    Attributes:
        about: its description.
        of: the image whose size a mask has; empty for images.
        required: whether it has to be connected.
        clear: whether the part where this RGBA image is clear is its mask, if no MASK is connected.
    """

    about: str
    of: str = ""
    required: bool = True
    clear: bool = False


@dataclass(frozen=True)
class Node:
    """A node.

    Attributes:
        id: the name of its class in workflows, which never changes.
        title: its name in the menu.
        about: its description.
        images: its images and masks, by name.
        options: its other inputs; one with modes applies if the input `mode` has one of them.
        outputs: the types of its outputs, by name.
        compute: computes the outputs for one frame: images and masks by name, None for one that is not connected,
            and the options that are set.
    """

    id: str
    title: str
    about: str
    images: Mapping[str, Image]
    options: tuple[Option, ...]
    outputs: Mapping[str, str]
    compute: Callable[..., Answer]


def _of(call: Any, *names: str, **changes: Any) -> tuple[Option, ...]:
    """Returns the options of a call with these names, the first of them with these changes."""
    first, *rest = (call.by_name[name] for name in names)
    options = replace(first, **changes), *rest
    return tuple(replace(one, modes=tuple(mode for mode in one.modes if mode in NETLESS)) for one in options)


def _as_mask(levels: Frame) -> Frame:
    """Returns a mask of 8-bit levels as floats."""
    return levels.astype(np.float32) / np.float32(255)


def _apply_edit(original: Frame, edited: Frame, mask: Frame | None, **options: Any) -> Answer:
    result, info = apply_edit(original, edited, mask, return_info=True, **options)
    changes = (f"{i}: {change.share:.2%} at {change.box}" for i, change in enumerate(info.changes))
    return result, _as_mask(info.mask), "\n".join(changes) or str(info.reason)


def _blend(
    src: Frame, dst: Frame, mask: Frame | None, mode: str = "gaussian_poisson", at: Any = None, scale: float = 1.0,
    **options: Any,
) -> Answer:  # fmt: skip
    result = getattr(blend, mode)(src, dst, mask, at=at, scale=scale, **options)
    return result, blend.placed_mask(src, dst, mask, at=at, scale=scale)


def _harmonize(image: Frame, mask: Frame, **options: Any) -> Answer:
    return (harmonize(image, mask, **options),)


def _match(
    image: Frame, mask: Frame, colors: float = 1.0, sharpness: float = 1.0, grain: float = 1.0, seed: int = 0
) -> Answer:
    with quiet(UnchangedWarning):
        result = harmonize(image, mask, strength=colors)
        result = match_sharpness(result, mask, strength=sharpness)
        result = match_grain(result, mask, strength=grain, seed=seed)
    if np.array_equal(result, image):
        warn("match: the object has the colours, sharpness and grain of its background", UnchangedWarning)
    return (result,)


def _place(subject: Frame, background: Frame, mask: Frame | None, **options: Any) -> Answer:
    result, info = compose(subject, background, masks=mask, strength=0, return_info=True, **options)
    return result, _as_mask(info.subjects[0].mask)


def _segment(
    image: Frame, mask: Frame | None, all_people: bool = False, method: str = "auto", **prompts: Any
) -> Answer:  # fmt: skip
    session = segmentation.Session(image, method=method)
    prompts |= {} if mask is None else {"mask": mask}
    masks = session.people() if all_people else prompted(session, prompts)
    if masks.reason:
        warn(f"segment: {masks.reason}")
    return segmentation.cutout(image, masks), _as_mask(masks.alpha())


def _shadow(image: Frame, mask: Frame, **options: Any) -> Answer:
    return (shadow(image, mask, **options),)


_OBJECT = {
    "image": Image("The image with the object. Without a MASK an RGBA image, clear on the object.", clear=True),
    "mask": Image("White on the object.", of="image", required=False),
}
NODES = (
    Node(
        "PyHarmonyApplyEdit", "Apply Edit",
        "Puts what an AI edit changed on purpose back into its photograph; every other pixel stays as it was.",
        {
            "original": Image("The photograph. Where an RGBA image is clear, it may change.", clear=True),
            "edited": Image("The edit, of any size."),
            "mask": Image("White where the original may change; none: everywhere.", of="original", required=False),
        },
        _of(APPLY_EDIT, "changes", "align", "colors", "frame", "sharpness", "grain", "upscale"),
        {"image": "IMAGE", "mask": "MASK", "changes": "STRING"}, _apply_edit,
    ),
    Node(
        "PyHarmonyBlend", "Blend", "Blends a source into a destination: by gradients, bands or alpha.",
        {
            "src": Image("The source; the alpha of an RGBA image multiplies the mask."),
            "dst": Image("The destination."),
            "mask": Image("White on the part of the source to blend; none: all of it.", of="src", required=False),
        },
        (
            *_of(BLEND, "mode", type=NETLESS), *_of(BLEND, "at", "scale", "gradients", "contour"),
            *_of(BLEND, "color_weight", type=float, about="how much colours are kept, 0 to 1e6."),
            *_of(BLEND, "feather", "levels", "tolerance", "decontaminate", "keep_alpha"),
        ),
        {"image": "IMAGE", "mask": "MASK"}, _blend,
    ),
    Node(
        "PyHarmonyHarmonize", "Harmonize", "Gives an object the light and colour of its background.",
        {
            **_OBJECT,
            "source": Image("The original photo of the object, if it was pasted.", required=False),
            "source_mask": Image("White on the object in that photo.", of="source", required=False),
            "reference_mask": Image(
                "White on a region whose light the object should have.", of="image", required=False
            ),
        },
        _of(HARMONIZE, "method", "strength", "guard", "cautious"), {"image": "IMAGE"}, _harmonize,
    ),
    Node(
        "PyHarmonyMatch", "Match Grain and Colours",
        "Gives an object the colours, the sharpness and the grain of its background.", _OBJECT,
        (*_of(HARMONIZE, "strength", name="colors"), *_of(COMPOSE, "sharpness", "grain", "seed")),
        {"image": "IMAGE"}, _match,
    ),
    Node(
        "PyHarmonyPlace", "Place",
        "Pastes a person or an object at its best place, or at one that is set, for the nodes that match it.",
        {
            "subject": Image("The photo with the person or object; a cut-out as RGBA."),
            "background": Image("The photo to place it in."),
            "mask": Image("White on the subject; none: its alpha, or it is segmented.", of="subject", required=False),
        },
        _of(COMPOSE, "at", "scale", "angle", "flip"), {"image": "IMAGE", "mask": "MASK"}, _place,
    ),
    Node(
        "PyHarmonySegment", "Segment", "Segments an object by clicks, lines or a box, or all people.",
        {
            "image": Image("The image."),
            "mask": Image("A coarse mask of the object, to be refined.", of="image", required=False),
        },
        _of(SEGMENT, "points", "beside", "scribble", "scribble_beside", "box", "all_people", "method"),
        {"cutout": "IMAGE", "mask": "MASK"}, _segment,
    ),
    Node(
        "PyHarmonyShadow", "Shadow", "Draws the shadow of an object on the ground under it, and on a wall behind it.",
        _OBJECT, SHADOW.options, {"image": "IMAGE"}, _shadow,
    ),
)  # fmt: skip
