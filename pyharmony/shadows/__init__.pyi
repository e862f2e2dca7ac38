# Written by tools/type_stubs.py from the signatures of the functions: change those, and run `make type-stubs`.
# ruff: noqa
# fmt: off

from typing import Any, Literal, overload
from ..typing import (
    Device, Errors, FileLike, FileT, ImageLike, ImageT, MaskLike, OneOrMany, OutLike, OutT, PILImage, Position,
    Positions
)
from ._reflection import ReflectionInfo as ReflectionInfo
from ._shadow import ShadowInfo as ShadowInfo

__all__ = ["ReflectionInfo", "ShadowInfo", "reflection", "shadow"]

@overload
def reflection(
    image: ImageT, mask: MaskLike, *, at: Position | None | Positions = None, strength: float = 0.4, fade: float = 0.6,
    blur: float = 0.03, contact: float | tuple[Position, Position] | None = None, keep_gps: bool = False,
    device: Device | None = None, errors: Errors = "raise", out: None = None, return_info: Literal[False] = False
) -> ImageT: ...
@overload
def reflection(
    image: ImageT, mask: MaskLike, *, at: Position | None | Positions = None, strength: float = 0.4, fade: float = 0.6,
    blur: float = 0.03, contact: float | tuple[Position, Position] | None = None, keep_gps: bool = False,
    device: Device | None = None, errors: Errors = "raise", out: None = None, return_info: Literal[True]
) -> tuple[ImageT, ReflectionInfo | Any]: ...
@overload
def reflection(
    image: FileLike, mask: MaskLike, *, at: Position | None | Positions = None, strength: float = 0.4,
    fade: float = 0.6, blur: float = 0.03, contact: float | tuple[Position, Position] | None = None,
    keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise", out: None = None,
    return_info: Literal[False] = False
) -> PILImage | Any: ...
@overload
def reflection(
    image: FileLike, mask: MaskLike, *, at: Position | None | Positions = None, strength: float = 0.4,
    fade: float = 0.6, blur: float = 0.03, contact: float | tuple[Position, Position] | None = None,
    keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise", out: None = None,
    return_info: Literal[True]
) -> tuple[PILImage | Any, ReflectionInfo]: ...
@overload
def reflection(
    image: ImageLike, mask: MaskLike, *, at: Position | None | Positions = None, strength: float = 0.4,
    fade: float = 0.6, blur: float = 0.03, contact: float | tuple[Position, Position] | None = None,
    keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise", out: OutT,
    return_info: Literal[False] = False
) -> OutT: ...
@overload
def reflection(
    image: list[ImageT], mask: OneOrMany[MaskLike], *, at: OneOrMany[Position | None] | Positions = None,
    strength: float = 0.4, fade: float = 0.6, blur: float = 0.03,
    contact: float | tuple[Position, Position] | None = None, keep_gps: bool = False, device: Device | None = None,
    errors: Literal["raise"] = "raise", out: None = None, return_info: Literal[False] = False
) -> list[ImageT]: ...
@overload
def reflection(
    image: list[FileT], mask: OneOrMany[MaskLike], *, at: OneOrMany[Position | None] | Positions = None,
    strength: float = 0.4, fade: float = 0.6, blur: float = 0.03,
    contact: float | tuple[Position, Position] | None = None, keep_gps: bool = False, device: Device | None = None,
    errors: Literal["raise"] = "raise", out: None = None, return_info: Literal[False] = False
) -> list[PILImage | Any]: ...
@overload
def reflection(
    image: OneOrMany[ImageLike], mask: OneOrMany[MaskLike], *, at: OneOrMany[Position | None] | Positions = None,
    strength: float = 0.4, fade: float = 0.6, blur: float = 0.03,
    contact: float | tuple[Position, Position] | None = None, keep_gps: bool = False, device: Device | None = None,
    errors: Errors = "raise", out: OneOrMany[OutLike | None] = None, return_info: bool = False
) -> Any: ...
@overload
def shadow(
    image: ImageT, mask: MaskLike, *, at: Position | None | Positions = None, azimuth: float = 150.0,
    elevation: float = 45.0, tip: Position | None = None, softness: float = 4.0, strength: float | None = None,
    tint: tuple[float, float, float] | None = None, under: float = 1.0,
    contact: float | tuple[Position, Position] | None = None, horizon: float | None = None,
    wall: float | tuple[Position, Position] | None = None, depth: float = 0.0, keep_gps: bool = False,
    device: Device | None = None, errors: Errors = "raise", out: None = None, return_info: Literal[False] = False
) -> ImageT: ...
@overload
def shadow(
    image: ImageT, mask: MaskLike, *, at: Position | None | Positions = None, azimuth: float = 150.0,
    elevation: float = 45.0, tip: Position | None = None, softness: float = 4.0, strength: float | None = None,
    tint: tuple[float, float, float] | None = None, under: float = 1.0,
    contact: float | tuple[Position, Position] | None = None, horizon: float | None = None,
    wall: float | tuple[Position, Position] | None = None, depth: float = 0.0, keep_gps: bool = False,
    device: Device | None = None, errors: Errors = "raise", out: None = None, return_info: Literal[True]
) -> tuple[ImageT, ShadowInfo | Any]: ...
@overload
def shadow(
    image: FileLike, mask: MaskLike, *, at: Position | None | Positions = None, azimuth: float = 150.0,
    elevation: float = 45.0, tip: Position | None = None, softness: float = 4.0, strength: float | None = None,
    tint: tuple[float, float, float] | None = None, under: float = 1.0,
    contact: float | tuple[Position, Position] | None = None, horizon: float | None = None,
    wall: float | tuple[Position, Position] | None = None, depth: float = 0.0, keep_gps: bool = False,
    device: Device | None = None, errors: Errors = "raise", out: None = None, return_info: Literal[False] = False
) -> PILImage | Any: ...
@overload
def shadow(
    image: FileLike, mask: MaskLike, *, at: Position | None | Positions = None, azimuth: float = 150.0,
    elevation: float = 45.0, tip: Position | None = None, softness: float = 4.0, strength: float | None = None,
    tint: tuple[float, float, float] | None = None, under: float = 1.0,
    contact: float | tuple[Position, Position] | None = None, horizon: float | None = None,
    wall: float | tuple[Position, Position] | None = None, depth: float = 0.0, keep_gps: bool = False,
    device: Device | None = None, errors: Errors = "raise", out: None = None, return_info: Literal[True]
) -> tuple[PILImage | Any, ShadowInfo]: ...
@overload
def shadow(
    image: ImageLike, mask: MaskLike, *, at: Position | None | Positions = None, azimuth: float = 150.0,
    elevation: float = 45.0, tip: Position | None = None, softness: float = 4.0, strength: float | None = None,
    tint: tuple[float, float, float] | None = None, under: float = 1.0,
    contact: float | tuple[Position, Position] | None = None, horizon: float | None = None,
    wall: float | tuple[Position, Position] | None = None, depth: float = 0.0, keep_gps: bool = False,
    device: Device | None = None, errors: Errors = "raise", out: OutT, return_info: Literal[False] = False
) -> OutT: ...
@overload
def shadow(
    image: list[ImageT], mask: OneOrMany[MaskLike], *, at: OneOrMany[Position | None] | Positions = None,
    azimuth: float = 150.0, elevation: float = 45.0, tip: Position | None = None, softness: float = 4.0,
    strength: float | None = None, tint: tuple[float, float, float] | None = None, under: float = 1.0,
    contact: float | tuple[Position, Position] | None = None, horizon: float | None = None,
    wall: float | tuple[Position, Position] | None = None, depth: float = 0.0, keep_gps: bool = False,
    device: Device | None = None, errors: Literal["raise"] = "raise", out: None = None,
    return_info: Literal[False] = False
) -> list[ImageT]: ...
@overload
def shadow(
    image: list[FileT], mask: OneOrMany[MaskLike], *, at: OneOrMany[Position | None] | Positions = None,
    azimuth: float = 150.0, elevation: float = 45.0, tip: Position | None = None, softness: float = 4.0,
    strength: float | None = None, tint: tuple[float, float, float] | None = None, under: float = 1.0,
    contact: float | tuple[Position, Position] | None = None, horizon: float | None = None,
    wall: float | tuple[Position, Position] | None = None, depth: float = 0.0, keep_gps: bool = False,
    device: Device | None = None, errors: Literal["raise"] = "raise", out: None = None,
    return_info: Literal[False] = False
) -> list[PILImage | Any]: ...
@overload
def shadow(
    image: OneOrMany[ImageLike], mask: OneOrMany[MaskLike], *, at: OneOrMany[Position | None] | Positions = None,
    azimuth: float = 150.0, elevation: float = 45.0, tip: Position | None = None, softness: float = 4.0,
    strength: float | None = None, tint: tuple[float, float, float] | None = None, under: float = 1.0,
    contact: float | tuple[Position, Position] | None = None, horizon: float | None = None,
    wall: float | tuple[Position, Position] | None = None, depth: float = 0.0, keep_gps: bool = False,
    device: Device | None = None, errors: Errors = "raise", out: OneOrMany[OutLike | None] = None,
    return_info: bool = False
) -> Any: ...
