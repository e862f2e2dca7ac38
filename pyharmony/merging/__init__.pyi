# Written by tools/type_stubs.py from the signatures of the functions: change those, and run `make type-stubs`.
# ruff: noqa
# fmt: off

from collections.abc import Sequence
from typing import Any, Literal, overload
from ..segmentation import Masks
from ..typing import FileLike, ImageLike, ImageT, MaskLike, OutLike, OutT, PILImage
from ._base import MergeBase as MergeBase
from ._merge import MergeInfo as MergeInfo, MergedPart as MergedPart, MergedPhoto as MergedPhoto

__all__ = ["MergeBase", "MergeInfo", "MergedPart", "MergedPhoto", "merge"]

@overload
def merge(
    photos: Sequence[ImageT], *, base: int | Literal['auto'] = "auto",
    people: Sequence[Masks | MaskLike | Sequence[MaskLike] | None] | None = None, align: bool = True,
    keep_gps: bool = False, out: None = None, return_info: Literal[False] = False
) -> ImageT: ...
@overload
def merge(
    photos: Sequence[ImageT], *, base: int | Literal['auto'] = "auto",
    people: Sequence[Masks | MaskLike | Sequence[MaskLike] | None] | None = None, align: bool = True,
    keep_gps: bool = False, out: None = None, return_info: Literal[True]
) -> tuple[ImageT, MergeInfo]: ...
@overload
def merge(
    photos: Sequence[FileLike], *, base: int | Literal['auto'] = "auto",
    people: Sequence[Masks | MaskLike | Sequence[MaskLike] | None] | None = None, align: bool = True,
    keep_gps: bool = False, out: None = None, return_info: Literal[False] = False
) -> PILImage | Any: ...
@overload
def merge(
    photos: Sequence[FileLike], *, base: int | Literal['auto'] = "auto",
    people: Sequence[Masks | MaskLike | Sequence[MaskLike] | None] | None = None, align: bool = True,
    keep_gps: bool = False, out: None = None, return_info: Literal[True]
) -> tuple[PILImage | Any, MergeInfo]: ...
@overload
def merge(
    photos: Sequence[ImageLike], *, base: int | Literal['auto'] = "auto",
    people: Sequence[Masks | MaskLike | Sequence[MaskLike] | None] | None = None, align: bool = True,
    keep_gps: bool = False, out: OutT, return_info: Literal[False] = False
) -> OutT: ...
@overload
def merge(
    photos: Sequence[ImageLike], *, base: int | Literal['auto'] = "auto",
    people: Sequence[Masks | MaskLike | Sequence[MaskLike] | None] | None = None, align: bool = True,
    keep_gps: bool = False, out: OutT, return_info: Literal[True]
) -> tuple[OutT, MergeInfo]: ...
@overload
def merge(
    photos: Sequence[ImageLike], *, base: int | Literal['auto'] = "auto",
    people: Sequence[Masks | MaskLike | Sequence[MaskLike] | None] | None = None, align: bool = True,
    keep_gps: bool = False, out: OutLike | None = None, return_info: bool = False
) -> Any: ...
