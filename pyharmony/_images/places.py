"""How each function on images handles arrays on a CUDA device."""

from __future__ import annotations

from typing import Literal, NamedTuple

from .._calls import BLENDS


class Place(NamedTuple):
    """How a function handles arrays on a CUDA device, and why it has no kernels for them."""

    #: 'there': kernels run on the device; 'copied': computed on the CPU and copied back, see docs/cuda.md; 'refused':
    #: an error that says why.
    way: Literal["there", "copied", "refused"]
    why: str = ""


_FIELD = "CUDA kernels support the gradients of src and dst only"
_MAP = "the map of colours is estimated from a small image, in float64 on the CPU"

#: The functions of `pyharmony.blend` and `pyharmony.harmonization` that take images.
PLACES = {
    **{mode.replace("-", "_"): Place("refused" if why else "there", why) for mode, why in BLENDS.items()},
    "paste_many": Place("refused", "it pastes into one array on the CPU; each item is a call of its blend"),
    "placed_mask": Place("refused", "the mask is placed over dst on the CPU"),
    "gaussian_poisson_tiles": Place("refused", "it reads slices of images that do not fit in memory"),
    "texture_flattening": Place("refused", _FIELD),
    "illumination_change": Place("refused", _FIELD),
    "detail_boost": Place("refused", "no kernel multiplies gradients by `gain`"),
    "inpaint": Place("refused", "no kernel solves for a membrane without a source"),
    "harmonize": Place("copied", _MAP),
    "harmonize_frames": Place("copied", _MAP),
    "match_grain": Place("copied", "noise is estimated from tiles and generated on the CPU"),
    "match_sharpness": Place("copied", "blur is estimated from tiles and applied on the CPU"),
    "apply_edit": Place("refused", "an edit is compared with its original, and drawn into it, on the CPU"),
    "compose": Place("copied", "people are detected, segmented and placed on the CPU"),
    "merge": Place("refused", "photos are aligned and people detected on the CPU"),
    "super_resolve": Place("copied", "its network runs on the CPU, in NumPy"),
    "remove": Place("copied", "pieces of the image are found and joined on the CPU"),
    "reflection": Place("copied", "the reflection is computed and drawn on the CPU"),
    "shadow": Place("copied", "the shadow is computed and drawn on the CPU"),
}
