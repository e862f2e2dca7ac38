# Written by tools/type_stubs.py from the signatures of the functions: change those, and run `make type-stubs`.
# ruff: noqa
# fmt: off

from collections.abc import Sequence
from typing import Any, Literal, overload
from .._arrays import NumpyArray
from ..typing import FileLike, ImageLike, ImageT, MaskLike, OutLike, OutT, PILImage
from ._apply import EditChange as EditChange, EditInfo as EditInfo

__all__ = ["EditChange", "EditInfo", "apply_edit", "show_changes"]

@overload
def apply_edit(
    original: ImageT, edited: ImageLike | Sequence[ImageLike], mask: MaskLike | None = None, *,
    changes: Sequence[int] | None = None, align: bool = True, colors: Literal['original', 'edit'] = "original",
    frame: Literal['original', 'edit'] = "original", sharpness: bool = True, grain: bool = True,
    upscale: Literal['lanczos', 'srgan'] = "lanczos", keep_gps: bool = False, out: None = None,
    return_info: Literal[False] = False
) -> ImageT: ...
@overload
def apply_edit(
    original: ImageT, edited: ImageLike | Sequence[ImageLike], mask: MaskLike | None = None, *,
    changes: Sequence[int] | None = None, align: bool = True, colors: Literal['original', 'edit'] = "original",
    frame: Literal['original', 'edit'] = "original", sharpness: bool = True, grain: bool = True,
    upscale: Literal['lanczos', 'srgan'] = "lanczos", keep_gps: bool = False, out: None = None,
    return_info: Literal[True]
) -> tuple[ImageT, EditInfo]: ...
@overload
def apply_edit(
    original: FileLike, edited: ImageLike | Sequence[ImageLike], mask: MaskLike | None = None, *,
    changes: Sequence[int] | None = None, align: bool = True, colors: Literal['original', 'edit'] = "original",
    frame: Literal['original', 'edit'] = "original", sharpness: bool = True, grain: bool = True,
    upscale: Literal['lanczos', 'srgan'] = "lanczos", keep_gps: bool = False, out: None = None,
    return_info: Literal[False] = False
) -> PILImage | Any: ...
@overload
def apply_edit(
    original: FileLike, edited: ImageLike | Sequence[ImageLike], mask: MaskLike | None = None, *,
    changes: Sequence[int] | None = None, align: bool = True, colors: Literal['original', 'edit'] = "original",
    frame: Literal['original', 'edit'] = "original", sharpness: bool = True, grain: bool = True,
    upscale: Literal['lanczos', 'srgan'] = "lanczos", keep_gps: bool = False, out: None = None,
    return_info: Literal[True]
) -> tuple[PILImage | Any, EditInfo]: ...
@overload
def apply_edit(
    original: ImageLike, edited: ImageLike | Sequence[ImageLike], mask: MaskLike | None = None, *,
    changes: Sequence[int] | None = None, align: bool = True, colors: Literal['original', 'edit'] = "original",
    frame: Literal['original', 'edit'] = "original", sharpness: bool = True, grain: bool = True,
    upscale: Literal['lanczos', 'srgan'] = "lanczos", keep_gps: bool = False, out: OutT,
    return_info: Literal[False] = False
) -> OutT: ...
@overload
def apply_edit(
    original: ImageLike, edited: ImageLike | Sequence[ImageLike], mask: MaskLike | None = None, *,
    changes: Sequence[int] | None = None, align: bool = True, colors: Literal['original', 'edit'] = "original",
    frame: Literal['original', 'edit'] = "original", sharpness: bool = True, grain: bool = True,
    upscale: Literal['lanczos', 'srgan'] = "lanczos", keep_gps: bool = False, out: OutT, return_info: Literal[True]
) -> tuple[OutT, EditInfo]: ...
@overload
def apply_edit(
    original: ImageLike, edited: ImageLike | Sequence[ImageLike], mask: MaskLike | None = None, *,
    changes: Sequence[int] | None = None, align: bool = True, colors: Literal['original', 'edit'] = "original",
    frame: Literal['original', 'edit'] = "original", sharpness: bool = True, grain: bool = True,
    upscale: Literal['lanczos', 'srgan'] = "lanczos", keep_gps: bool = False, out: OutLike | None = None,
    return_info: bool = False
) -> Any: ...
def show_changes(result: ImageLike, info: EditInfo | Sequence[EditInfo]) -> NumpyArray: ...
