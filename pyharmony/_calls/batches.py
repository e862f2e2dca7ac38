"""The operations of `pyharmony batch`: calls on images, and what each item of a run has."""

from __future__ import annotations

from dataclasses import replace

from .composites import APPLY_EDIT, COMPOSE_FILE, SEGMENT, SHADOW, SUPER_RESOLVE
from .images import BLEND, HARMONIZE
from .option import Call, Name, Option

__all__ = ["BATCHES", "OF_ALL", "SYNTH"]

SYNTH = Call(
    command="synth",
    inputs={"image": "A photo.", "mask": "The mask of its object."},
    items={"image": True, "mask": True},
    suffix=".png",
    roles=("composite", "mask", "target"),
    options=(
        Option("method", Name("synth"), "How colours change, of `pyharmony.learn.data.METHODS`.",
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
        COMPOSE_FILE, BLEND, HARMONIZE, replace(SEGMENT, options=(*SEGMENT.options, _MASK_ONLY, _KEEP_BACKGROUND)),
        SHADOW, SUPER_RESOLVE, SYNTH, APPLY_EDIT,
    )
}  # fmt: skip
#: The options of the calls that have one value for all items of a run.
OF_ALL = ("format", "quality", "keep_gps", "save_mask")
