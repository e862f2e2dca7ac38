# Written by tools/type_stubs.py from the signatures of the functions: change those, and run `make type-stubs`.
# ruff: noqa
# fmt: off

from typing import Any, Literal, overload
from ..typing import (
    Device, Errors, FileLike, FileT, ImageLike, ImageT, MaskLike, OneOrMany, OutLike, OutT, PILImage, Position,
    Positions
)
from ._grain import GrainInfo as GrainInfo
from ._sharpness import SharpnessInfo as SharpnessInfo

__all__ = ["GrainInfo", "SharpnessInfo", "match_grain", "match_sharpness"]

@overload
def match_grain(
    image: ImageT, mask: MaskLike, *, at: Position | None | Positions = None, strength: float = 1.0, seed: int = 0,
    keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise", out: None = None,
    return_info: Literal[False] = False
) -> ImageT: ...
@overload
def match_grain(
    image: ImageT, mask: MaskLike, *, at: Position | None | Positions = None, strength: float = 1.0, seed: int = 0,
    keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise", out: None = None,
    return_info: Literal[True]
) -> tuple[ImageT, GrainInfo | Any]: ...
@overload
def match_grain(
    image: FileLike, mask: MaskLike, *, at: Position | None | Positions = None, strength: float = 1.0, seed: int = 0,
    keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise", out: None = None,
    return_info: Literal[False] = False
) -> PILImage | Any: ...
@overload
def match_grain(
    image: FileLike, mask: MaskLike, *, at: Position | None | Positions = None, strength: float = 1.0, seed: int = 0,
    keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise", out: None = None,
    return_info: Literal[True]
) -> tuple[PILImage | Any, GrainInfo]: ...
@overload
def match_grain(
    image: ImageLike, mask: MaskLike, *, at: Position | None | Positions = None, strength: float = 1.0, seed: int = 0,
    keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise", out: OutT,
    return_info: Literal[False] = False
) -> OutT: ...
@overload
def match_grain(
    image: list[ImageT], mask: OneOrMany[MaskLike], *, at: OneOrMany[Position | None] | Positions = None,
    strength: float = 1.0, seed: int = 0, keep_gps: bool = False, device: Device | None = None,
    errors: Literal["raise"] = "raise", out: None = None, return_info: Literal[False] = False
) -> list[ImageT]: ...
@overload
def match_grain(
    image: list[FileT], mask: OneOrMany[MaskLike], *, at: OneOrMany[Position | None] | Positions = None,
    strength: float = 1.0, seed: int = 0, keep_gps: bool = False, device: Device | None = None,
    errors: Literal["raise"] = "raise", out: None = None, return_info: Literal[False] = False
) -> list[PILImage | Any]: ...
@overload
def match_grain(
    image: OneOrMany[ImageLike], mask: OneOrMany[MaskLike], *, at: OneOrMany[Position | None] | Positions = None,
    strength: float = 1.0, seed: int = 0, keep_gps: bool = False, device: Device | None = None,
    errors: Errors = "raise", out: OneOrMany[OutLike | None] = None, return_info: bool = False
) -> Any: ...
@overload
def match_sharpness(
    image: ImageT, mask: MaskLike, *, at: Position | None | Positions = None, strength: float = 1.0,
    keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise", out: None = None,
    return_info: Literal[False] = False
) -> ImageT: ...
@overload
def match_sharpness(
    image: ImageT, mask: MaskLike, *, at: Position | None | Positions = None, strength: float = 1.0,
    keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise", out: None = None,
    return_info: Literal[True]
) -> tuple[ImageT, SharpnessInfo | Any]: ...
@overload
def match_sharpness(
    image: FileLike, mask: MaskLike, *, at: Position | None | Positions = None, strength: float = 1.0,
    keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise", out: None = None,
    return_info: Literal[False] = False
) -> PILImage | Any: ...
@overload
def match_sharpness(
    image: FileLike, mask: MaskLike, *, at: Position | None | Positions = None, strength: float = 1.0,
    keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise", out: None = None,
    return_info: Literal[True]
) -> tuple[PILImage | Any, SharpnessInfo]: ...
@overload
def match_sharpness(
    image: ImageLike, mask: MaskLike, *, at: Position | None | Positions = None, strength: float = 1.0,
    keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise", out: OutT,
    return_info: Literal[False] = False
) -> OutT: ...
@overload
def match_sharpness(
    image: list[ImageT], mask: OneOrMany[MaskLike], *, at: OneOrMany[Position | None] | Positions = None,
    strength: float = 1.0, keep_gps: bool = False, device: Device | None = None, errors: Literal["raise"] = "raise",
    out: None = None, return_info: Literal[False] = False
) -> list[ImageT]: ...
@overload
def match_sharpness(
    image: list[FileT], mask: OneOrMany[MaskLike], *, at: OneOrMany[Position | None] | Positions = None,
    strength: float = 1.0, keep_gps: bool = False, device: Device | None = None, errors: Literal["raise"] = "raise",
    out: None = None, return_info: Literal[False] = False
) -> list[PILImage | Any]: ...
@overload
def match_sharpness(
    image: OneOrMany[ImageLike], mask: OneOrMany[MaskLike], *, at: OneOrMany[Position | None] | Positions = None,
    strength: float = 1.0, keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise",
    out: OneOrMany[OutLike | None] = None, return_info: bool = False
) -> Any: ...
