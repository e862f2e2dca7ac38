"""Exact, fast image blending and harmonisation.

The subpackages `augment`, `batch`, `blend`, `color`, `compat`, `composition`, `data`, `edits`, `evaluation`,
`harmonization`, `io`, `losses`, `matching`, `merging`, `metrics`, `models`, `nn`, `ops`, `placement`, `reference`,
`segmentation`, `shadows`, `training`, `typing`, `upscaling` and `errors` are imported at their first use, and so are
`apply_edit`, `compose`, `harmonize`, `harmony_score`, `load`, `match_grain`, `match_sharpness`, `merge`, `place`,
`realism_score`, `reflection`, `remove`, `save`, `segment`, `shadow` and `super_resolve`. Rooms of one kind are in the
wings `networks`, `learn` and `runs`. `losses`, `models`, `nn`, `training.train` and the two scores need torch.
Everything else works without torch, including the default of `harmonize` and its methods without a network,
`apply_edit`, `compose`, `place`, `reflection`, `remove`, `segment`, `shadow` and `super_resolve`; `merge` needs OpenCV.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

from . import _rooms
from ._version import __version__

if TYPE_CHECKING:
    from . import blend as blend
    from . import color as color
    from . import compat as compat
    from . import composition as composition
    from . import edits as edits
    from . import errors as errors
    from . import harmonization as harmonization
    from . import io as io
    from . import learn as learn
    from . import matching as matching
    from . import merging as merging
    from . import networks as networks
    from . import ops as ops
    from . import placement as placement
    from . import reference as reference
    from . import runs as runs
    from . import segmentation as segmentation
    from . import shadows as shadows
    from . import typing as typing
    from . import upscaling as upscaling
    from ._device import get_device, set_device, set_num_threads
    from ._native import get_num_threads, has_cuda, simd_level
    from .composition import compose
    from .edits import apply_edit, remove
    from .harmonization import harmonize
    from .io import load, save
    from .learn.scoring import harmony_score, realism_score
    from .matching import match_grain, match_sharpness
    from .merging import merge
    from .placement import place
    from .segmentation import segment
    from .shadows import reflection, shadow
    from .upscaling import super_resolve

_SUBPACKAGES = (
    "augment", "batch", "blend", "color", "compat", "composition", "data", "edits", "errors", "evaluation",
    "harmonization", "io", "losses", "matching", "merging", "metrics", "models", "nn", "ops", "placement",
    "reference", "segmentation", "shadows", "training", "typing", "upscaling",
)  # fmt: skip
#: The subpackages that need other packages to be imported, and these packages.
_OF_TORCH = {"losses": ("torch",), "models": ("torch", "safetensors"), "nn": ("torch",)}
#: The module of each function. It is imported when the function is first used, and only then loads the compiled
#: module, so that `pyharmony doctor` can report problems with that.
_LAZY = {
    **dict.fromkeys(("get_device", "set_device", "set_num_threads"), "_device"),
    **dict.fromkeys(("get_num_threads", "has_cuda", "simd_level"), "_native"),
    **dict.fromkeys(("apply_edit", "remove"), "edits"),
    "compose": "composition",
    "harmonize": "harmonization",
    **dict.fromkeys(("load", "save"), "io"),
    **dict.fromkeys(("match_grain", "match_sharpness"), "matching"),
    "merge": "merging",
    "place": "placement",
    **dict.fromkeys(("harmony_score", "realism_score"), "scoring"),
    "segment": "segmentation",
    **dict.fromkeys(("reflection", "shadow"), "shadows"),
    "super_resolve": "upscaling",
}

logging.getLogger(__name__).addHandler(logging.NullHandler())

__all__ = [
    "__version__",
    "apply_edit",
    "compose",
    "get_device",
    "get_num_threads",
    "harmonize",
    "harmony_score",
    "has_cuda",
    "load",
    "match_grain",
    "match_sharpness",
    "merge",
    "place",
    "realism_score",
    "reflection",
    "remove",
    "save",
    "segment",
    "set_device",
    "set_num_threads",
    "shadow",
    "simd_level",
    "super_resolve",
]


if not TYPE_CHECKING:  # type checkers use the imports above

    def __getattr__(name: str) -> Any:
        if name in _OF_TORCH:
            try:
                return importlib.import_module(f".{name}", __name__)
            except ImportError as error:
                # hasattr and inspect.getmembers then treat the name as absent; `import` raises ImportError anyway.
                raise AttributeError(str(error)) from error
        if name in _SUBPACKAGES or name in _rooms.WINGS:
            return importlib.import_module(f".{name}", __name__)
        if name in _LAZY:
            return getattr(importlib.import_module(f".{_LAZY[name]}", __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Returns the names without those whose packages are not installed, since `help` and editors read every name."""
    from importlib.util import find_spec

    missing = {name for name, needs in _OF_TORCH.items() if any(find_spec(package) is None for package in needs)}
    return sorted({*__all__, *_SUBPACKAGES, *_rooms.WINGS} - missing)
