# Written by tools/type_stubs.py from the signatures of the functions: change those, and run `make type-stubs`.
# ruff: noqa
# fmt: off

from collections.abc import Mapping, Sequence
from typing import Any, Literal, overload
from .._arrays import NumpyArray, Rectangle
from ..segmentation import Masks, Method
from ..typing import (
    CompositeBlend, FileLike, HarmonizeMethod, ImageLike, ImageT, MaskLike, OneOrMany, OutLike, OutT, PILImage,
    PathLike, Position, SegmentMethod, UpscaleMethod
)
from ._compose import ComposeInfo as ComposeInfo, Composed as Composed
from .subjects import Front, Number, Spot, Subject as Subject

__all__ = ["ComposeInfo", "Composed", "Subject", "compose", "contact_sheet", "read_recipe"]

@overload
def compose(
    subjects: ImageLike | Subject | Sequence[ImageLike | Subject], background: ImageT, *,
    points: Position | Sequence[Position] | Sequence[Position | Sequence[Position] | None] | None = None,
    boxes: Rectangle | Sequence[Rectangle | None] | None = None, masks: OneOrMany[MaskLike | None] = None,
    segment: SegmentMethod | Method = "auto", people: Masks | Sequence[MaskLike] | None = None,
    at: Spot | Sequence[Spot] = "auto", scale: Number | Sequence[Number] = "auto",
    angle: Number | Sequence[Number] = "auto", flip: bool | Sequence[bool] = False,
    behind: Front | Sequence[Front] = "auto", k: int = 1, harmonize: HarmonizeMethod | PathLike | None = "auto",
    strength: float = 1.0, blend: CompositeBlend = "auto", sharpness: float = 1.0, grain: float = 1.0,
    shadow: Literal['auto'] | bool | Mapping[str, object] = "auto", reflection: bool | Mapping[str, object] = False,
    adjust: OneOrMany[Mapping[str, float] | None] = None, upscale: UpscaleMethod | None = "auto", seed: int = 0,
    recipe: Mapping[str, object] | PathLike | None = None, side: int | None = None, keep_alpha: bool = False,
    keep_gps: bool = False, out: None = None, return_info: Literal[False] = False
) -> ImageT: ...
@overload
def compose(
    subjects: ImageLike | Subject | Sequence[ImageLike | Subject], background: ImageT, *,
    points: Position | Sequence[Position] | Sequence[Position | Sequence[Position] | None] | None = None,
    boxes: Rectangle | Sequence[Rectangle | None] | None = None, masks: OneOrMany[MaskLike | None] = None,
    segment: SegmentMethod | Method = "auto", people: Masks | Sequence[MaskLike] | None = None,
    at: Spot | Sequence[Spot] = "auto", scale: Number | Sequence[Number] = "auto",
    angle: Number | Sequence[Number] = "auto", flip: bool | Sequence[bool] = False,
    behind: Front | Sequence[Front] = "auto", k: int = 1, harmonize: HarmonizeMethod | PathLike | None = "auto",
    strength: float = 1.0, blend: CompositeBlend = "auto", sharpness: float = 1.0, grain: float = 1.0,
    shadow: Literal['auto'] | bool | Mapping[str, object] = "auto", reflection: bool | Mapping[str, object] = False,
    adjust: OneOrMany[Mapping[str, float] | None] = None, upscale: UpscaleMethod | None = "auto", seed: int = 0,
    recipe: Mapping[str, object] | PathLike | None = None, side: int | None = None, keep_alpha: bool = False,
    keep_gps: bool = False, out: None = None, return_info: Literal[True]
) -> tuple[ImageT, ComposeInfo]: ...
@overload
def compose(
    subjects: ImageLike | Subject | Sequence[ImageLike | Subject], background: FileLike, *,
    points: Position | Sequence[Position] | Sequence[Position | Sequence[Position] | None] | None = None,
    boxes: Rectangle | Sequence[Rectangle | None] | None = None, masks: OneOrMany[MaskLike | None] = None,
    segment: SegmentMethod | Method = "auto", people: Masks | Sequence[MaskLike] | None = None,
    at: Spot | Sequence[Spot] = "auto", scale: Number | Sequence[Number] = "auto",
    angle: Number | Sequence[Number] = "auto", flip: bool | Sequence[bool] = False,
    behind: Front | Sequence[Front] = "auto", k: int = 1, harmonize: HarmonizeMethod | PathLike | None = "auto",
    strength: float = 1.0, blend: CompositeBlend = "auto", sharpness: float = 1.0, grain: float = 1.0,
    shadow: Literal['auto'] | bool | Mapping[str, object] = "auto", reflection: bool | Mapping[str, object] = False,
    adjust: OneOrMany[Mapping[str, float] | None] = None, upscale: UpscaleMethod | None = "auto", seed: int = 0,
    recipe: Mapping[str, object] | PathLike | None = None, side: int | None = None, keep_alpha: bool = False,
    keep_gps: bool = False, out: None = None, return_info: Literal[False] = False
) -> PILImage | Any: ...
@overload
def compose(
    subjects: ImageLike | Subject | Sequence[ImageLike | Subject], background: FileLike, *,
    points: Position | Sequence[Position] | Sequence[Position | Sequence[Position] | None] | None = None,
    boxes: Rectangle | Sequence[Rectangle | None] | None = None, masks: OneOrMany[MaskLike | None] = None,
    segment: SegmentMethod | Method = "auto", people: Masks | Sequence[MaskLike] | None = None,
    at: Spot | Sequence[Spot] = "auto", scale: Number | Sequence[Number] = "auto",
    angle: Number | Sequence[Number] = "auto", flip: bool | Sequence[bool] = False,
    behind: Front | Sequence[Front] = "auto", k: int = 1, harmonize: HarmonizeMethod | PathLike | None = "auto",
    strength: float = 1.0, blend: CompositeBlend = "auto", sharpness: float = 1.0, grain: float = 1.0,
    shadow: Literal['auto'] | bool | Mapping[str, object] = "auto", reflection: bool | Mapping[str, object] = False,
    adjust: OneOrMany[Mapping[str, float] | None] = None, upscale: UpscaleMethod | None = "auto", seed: int = 0,
    recipe: Mapping[str, object] | PathLike | None = None, side: int | None = None, keep_alpha: bool = False,
    keep_gps: bool = False, out: None = None, return_info: Literal[True]
) -> tuple[PILImage | Any, ComposeInfo]: ...
@overload
def compose(
    subjects: ImageLike | Subject | Sequence[ImageLike | Subject], background: ImageLike, *,
    points: Position | Sequence[Position] | Sequence[Position | Sequence[Position] | None] | None = None,
    boxes: Rectangle | Sequence[Rectangle | None] | None = None, masks: OneOrMany[MaskLike | None] = None,
    segment: SegmentMethod | Method = "auto", people: Masks | Sequence[MaskLike] | None = None,
    at: Spot | Sequence[Spot] = "auto", scale: Number | Sequence[Number] = "auto",
    angle: Number | Sequence[Number] = "auto", flip: bool | Sequence[bool] = False,
    behind: Front | Sequence[Front] = "auto", k: int = 1, harmonize: HarmonizeMethod | PathLike | None = "auto",
    strength: float = 1.0, blend: CompositeBlend = "auto", sharpness: float = 1.0, grain: float = 1.0,
    shadow: Literal['auto'] | bool | Mapping[str, object] = "auto", reflection: bool | Mapping[str, object] = False,
    adjust: OneOrMany[Mapping[str, float] | None] = None, upscale: UpscaleMethod | None = "auto", seed: int = 0,
    recipe: Mapping[str, object] | PathLike | None = None, side: int | None = None, keep_alpha: bool = False,
    keep_gps: bool = False, out: OutT, return_info: Literal[False] = False
) -> OutT: ...
@overload
def compose(
    subjects: ImageLike | Subject | Sequence[ImageLike | Subject], background: ImageLike, *,
    points: Position | Sequence[Position] | Sequence[Position | Sequence[Position] | None] | None = None,
    boxes: Rectangle | Sequence[Rectangle | None] | None = None, masks: OneOrMany[MaskLike | None] = None,
    segment: SegmentMethod | Method = "auto", people: Masks | Sequence[MaskLike] | None = None,
    at: Spot | Sequence[Spot] = "auto", scale: Number | Sequence[Number] = "auto",
    angle: Number | Sequence[Number] = "auto", flip: bool | Sequence[bool] = False,
    behind: Front | Sequence[Front] = "auto", k: int = 1, harmonize: HarmonizeMethod | PathLike | None = "auto",
    strength: float = 1.0, blend: CompositeBlend = "auto", sharpness: float = 1.0, grain: float = 1.0,
    shadow: Literal['auto'] | bool | Mapping[str, object] = "auto", reflection: bool | Mapping[str, object] = False,
    adjust: OneOrMany[Mapping[str, float] | None] = None, upscale: UpscaleMethod | None = "auto", seed: int = 0,
    recipe: Mapping[str, object] | PathLike | None = None, side: int | None = None, keep_alpha: bool = False,
    keep_gps: bool = False, out: OutT, return_info: Literal[True]
) -> tuple[OutT, ComposeInfo]: ...
@overload
def compose(
    subjects: ImageLike | Subject | Sequence[ImageLike | Subject], background: ImageLike, *,
    points: Position | Sequence[Position] | Sequence[Position | Sequence[Position] | None] | None = None,
    boxes: Rectangle | Sequence[Rectangle | None] | None = None, masks: OneOrMany[MaskLike | None] = None,
    segment: SegmentMethod | Method = "auto", people: Masks | Sequence[MaskLike] | None = None,
    at: Spot | Sequence[Spot] = "auto", scale: Number | Sequence[Number] = "auto",
    angle: Number | Sequence[Number] = "auto", flip: bool | Sequence[bool] = False,
    behind: Front | Sequence[Front] = "auto", k: int = 1, harmonize: HarmonizeMethod | PathLike | None = "auto",
    strength: float = 1.0, blend: CompositeBlend = "auto", sharpness: float = 1.0, grain: float = 1.0,
    shadow: Literal['auto'] | bool | Mapping[str, object] = "auto", reflection: bool | Mapping[str, object] = False,
    adjust: OneOrMany[Mapping[str, float] | None] = None, upscale: UpscaleMethod | None = "auto", seed: int = 0,
    recipe: Mapping[str, object] | PathLike | None = None, side: int | None = None, keep_alpha: bool = False,
    keep_gps: bool = False, out: OutLike | None = None, return_info: bool = False
) -> Any: ...
def contact_sheet(
    subjects: ImageLike | Subject | Sequence[ImageLike | Subject], background: ImageLike, info: ComposeInfo
) -> NumpyArray: ...
def read_recipe(recipe: Mapping[str, object] | PathLike) -> dict[str, Any]: ...
