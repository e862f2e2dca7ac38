"""How each function on images handles arrays on a CUDA device."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Place(NamedTuple):
    """How a function handles arrays on a CUDA device, and why it has no kernels for them; docs/cuda.md lists both."""

    #: 'there': kernels run on the device; 'copied': computed on the CPU and copied back; 'refused': an error.
    way: Literal["there", "copied", "refused"]
    why: str = ""


_FIELD = "CUDA kernels support the gradients of src and dst only"
_MAP = "the map of colours is estimated from a small image, in float64 on the CPU"

#: The functions of `pyharmony.blend` and `pyharmony.harmonization` that take images.
PLACES = {
    "gaussian_poisson": Place("there"),
    "poisson": Place("there"),
    "alpha": Place("refused", "it has no kernels: with torch or CuPy it is one line, `mask * src + (1 - mask) * dst`"),
    "laplacian": Place("refused", "the number of bands depends on the values of every level of the mask"),
    "paste_many": Place("refused", "it pastes into one array on the CPU; each item is a call of its blend"),
    "placed_mask": Place("refused", "the mask is placed over dst on the CPU"),
    "gaussian_poisson_tiles": Place("refused", "it reads slices of images that do not fit in memory"),
    "gp_gan": Place("refused", "the input of its network is pasted and resampled on the CPU"),
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
    "reflection": Place("copied", "the reflection is computed and drawn on the CPU"),
    "shadow": Place("copied", "the shadow is computed and drawn on the CPU"),
}
