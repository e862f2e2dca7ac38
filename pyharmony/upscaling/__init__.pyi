# Written by tools/type_stubs.py from the signatures of the functions: change those, and run `make type-stubs`.
# ruff: noqa
# fmt: off

from typing import Any, Literal, overload
from ..typing import Device, Errors, FileLike, FileT, ImageLike, ImageT, OneOrMany, OutLike, OutT, PILImage, PathLike
from ._methods import METHODS as METHODS, Method as Method
from ._super_resolve import UpscalingInfo as UpscalingInfo

__all__ = ["METHODS", "Method", "UpscalingInfo", "super_resolve", "trained"]

@overload
def super_resolve(
    image: ImageT, scale: int = 2, *, method: str | Method = "auto", tile: int = 256, keep_gps: bool = False,
    device: Device | None = None, errors: Errors = "raise", out: None = None, return_info: Literal[False] = False
) -> ImageT: ...
@overload
def super_resolve(
    image: ImageT, scale: int = 2, *, method: str | Method = "auto", tile: int = 256, keep_gps: bool = False,
    device: Device | None = None, errors: Errors = "raise", out: None = None, return_info: Literal[True]
) -> tuple[ImageT, UpscalingInfo | Any]: ...
@overload
def super_resolve(
    image: FileLike, scale: int = 2, *, method: str | Method = "auto", tile: int = 256, keep_gps: bool = False,
    device: Device | None = None, errors: Errors = "raise", out: None = None, return_info: Literal[False] = False
) -> PILImage | Any: ...
@overload
def super_resolve(
    image: FileLike, scale: int = 2, *, method: str | Method = "auto", tile: int = 256, keep_gps: bool = False,
    device: Device | None = None, errors: Errors = "raise", out: None = None, return_info: Literal[True]
) -> tuple[PILImage | Any, UpscalingInfo]: ...
@overload
def super_resolve(
    image: ImageLike, scale: int = 2, *, method: str | Method = "auto", tile: int = 256, keep_gps: bool = False,
    device: Device | None = None, errors: Errors = "raise", out: OutT, return_info: Literal[False] = False
) -> OutT: ...
@overload
def super_resolve(
    image: list[ImageT], scale: int = 2, *, method: str | Method = "auto", tile: int = 256, keep_gps: bool = False,
    device: Device | None = None, errors: Literal["raise"] = "raise", out: None = None,
    return_info: Literal[False] = False
) -> list[ImageT]: ...
@overload
def super_resolve(
    image: list[FileT], scale: int = 2, *, method: str | Method = "auto", tile: int = 256, keep_gps: bool = False,
    device: Device | None = None, errors: Literal["raise"] = "raise", out: None = None,
    return_info: Literal[False] = False
) -> list[PILImage | Any]: ...
@overload
def super_resolve(
    image: OneOrMany[ImageLike], scale: int = 2, *, method: str | Method = "auto", tile: int = 256,
    keep_gps: bool = False, device: Device | None = None, errors: Errors = "raise",
    out: OneOrMany[OutLike | None] = None, return_info: bool = False
) -> Any: ...
def trained(weights: PathLike) -> Method: ...
