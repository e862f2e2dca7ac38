"""The operations of `pyharmony batch`: calls on images, and what each item of a run has."""

from __future__ import annotations

from dataclasses import replace

from .composites import COMPOSE, SEGMENT, SHADOW, SUPER_RESOLVE
from .images import BLEND, HARMONIZE, Kind
from .option import Call, Name, Option

__all__ = ["BATCHES", "OF_ALL", "SYNTH", "inputs_of"]

SYNTH = Call(
    command="synth",
    inputs={"image": "A photo.", "mask": "The mask of its object."},
    options=(
        Option("method", Name("synth"), "How colours change, of `pyharmony.data.METHODS`.",
               "one of those without a reference"),
        Option("seed", int, "The seed of all random numbers.", value=0, low=0),
        Option("size", int, "The sides in pixels.", "those of the photo", low=8),
    ),
)  # fmt: skip
_MASK_ONLY = Option("mask_only", bool, "Write the alpha of the cut-out, a grey image, in its place.", argument=False)
_KEEP_BACKGROUND = Option("keep_background", bool, "Keep the colours of the image under alpha 0.", argument=False)
#: The operations by name.
BATCHES: dict[str, Call] = {
    call.command: call
    for call in (
        COMPOSE, BLEND, HARMONIZE, replace(SEGMENT, options=(*SEGMENT.options, _MASK_ONLY, _KEEP_BACKGROUND)), SHADOW,
        SUPER_RESOLVE, SYNTH,
    )
}  # fmt: skip
#: The options of the calls that have one value for all items of a run.
OF_ALL = ("format", "quality", "keep_gps", "save_mask")
#: The inputs of the operations whose calls name them otherwise, and those that every item needs.
_INPUTS = {
    "compose": (("subject", "background", "mask"), ("subject", "background")),
    "segment": (("image", "mask"), ("image",)),
    "shadow": (("image", "mask"), ("image", "mask")),
    "super-resolve": (("image",), ("image",)),
    "synth": (("image", "mask"), ("image", "mask")),
}


def inputs_of(operation: str) -> dict[str, bool]:
    """Returns the names of the inputs of an operation, and whether every item needs it; the first one varies."""
    call = BATCHES[operation]
    names, needed = (tuple(call.inputs), call.needed) if isinstance(call, Kind) else _INPUTS[operation]
    return {name: name in needed for name in names}
