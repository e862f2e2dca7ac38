# Written by tools/type_stubs.py from the signatures of the functions: change those, and run `make type-stubs`.
# ruff: noqa
# fmt: off

from collections.abc import Iterable, Iterator
from typing import Any, Literal, overload
from ..typing import (
    Device, Errors, FileLike, FileT, HarmonizeMethod, ImageLike, ImageT, MaskLike, Network, OneOrMany, OutLike, OutT,
    PILImage, PathLike, Position, Positions
)
from ._harmonize import HarmonizeInfo as HarmonizeInfo
from ._maps import ColorMap as ColorMap
from .names import METHODS as METHODS

__all__ = ["ColorMap", "HarmonizeInfo", "METHODS", "harmonize", "harmonize_frames"]

@overload
def harmonize(
    image: ImageT, mask: MaskLike, *, at: Position | None | Positions = None,
    method: HarmonizeMethod | PathLike | Network = "auto", strength: float = 1.0, guard: bool = True,
    cautious: bool = False, source: ImageLike | None = None, source_mask: MaskLike | None = None,
    reference: MaskLike | None = None, batch_statistics: bool = False, keep_gps: bool = False,
    device: Device | None = None, errors: Errors = "raise", out: None = None, return_info: Literal[False] = False
) -> ImageT: ...
@overload
def harmonize(
    image: ImageT, mask: MaskLike, *, at: Position | None | Positions = None,
    method: HarmonizeMethod | PathLike | Network = "auto", strength: float = 1.0, guard: bool = True,
    cautious: bool = False, source: ImageLike | None = None, source_mask: MaskLike | None = None,
    reference: MaskLike | None = None, batch_statistics: bool = False, keep_gps: bool = False,
    device: Device | None = None, errors: Errors = "raise", out: None = None, return_info: Literal[True]
) -> tuple[ImageT, HarmonizeInfo | Any]: ...
@overload
def harmonize(
    image: FileLike, mask: MaskLike, *, at: Position | None | Positions = None,
    method: HarmonizeMethod | PathLike | Network = "auto", strength: float = 1.0, guard: bool = True,
    cautious: bool = False, source: ImageLike | None = None, source_mask: MaskLike | None = None,
    reference: MaskLike | None = None, batch_statistics: bool = False, keep_gps: bool = False,
    device: Device | None = None, errors: Errors = "raise", out: None = None, return_info: Literal[False] = False
) -> PILImage | Any: ...
@overload
def harmonize(
    image: FileLike, mask: MaskLike, *, at: Position | None | Positions = None,
    method: HarmonizeMethod | PathLike | Network = "auto", strength: float = 1.0, guard: bool = True,
    cautious: bool = False, source: ImageLike | None = None, source_mask: MaskLike | None = None,
    reference: MaskLike | None = None, batch_statistics: bool = False, keep_gps: bool = False,
    device: Device | None = None, errors: Errors = "raise", out: None = None, return_info: Literal[True]
) -> tuple[PILImage | Any, HarmonizeInfo]: ...
@overload
def harmonize(
    image: ImageLike, mask: MaskLike, *, at: Position | None | Positions = None,
    method: HarmonizeMethod | PathLike | Network = "auto", strength: float = 1.0, guard: bool = True,
    cautious: bool = False, source: ImageLike | None = None, source_mask: MaskLike | None = None,
    reference: MaskLike | None = None, batch_statistics: bool = False, keep_gps: bool = False,
    device: Device | None = None, errors: Errors = "raise", out: OutT, return_info: Literal[False] = False
) -> OutT: ...
@overload
def harmonize(
    image: list[ImageT], mask: OneOrMany[MaskLike], *, at: OneOrMany[Position | None] | Positions = None,
    method: HarmonizeMethod | PathLike | Network = "auto", strength: float = 1.0, guard: bool = True,
    cautious: bool = False, source: OneOrMany[ImageLike | None] = None, source_mask: OneOrMany[MaskLike | None] = None,
    reference: OneOrMany[MaskLike | None] = None, batch_statistics: bool = False, keep_gps: bool = False,
    device: Device | None = None, errors: Literal["raise"] = "raise", out: None = None,
    return_info: Literal[False] = False
) -> list[ImageT]: ...
@overload
def harmonize(
    image: list[FileT], mask: OneOrMany[MaskLike], *, at: OneOrMany[Position | None] | Positions = None,
    method: HarmonizeMethod | PathLike | Network = "auto", strength: float = 1.0, guard: bool = True,
    cautious: bool = False, source: OneOrMany[ImageLike | None] = None, source_mask: OneOrMany[MaskLike | None] = None,
    reference: OneOrMany[MaskLike | None] = None, batch_statistics: bool = False, keep_gps: bool = False,
    device: Device | None = None, errors: Literal["raise"] = "raise", out: None = None,
    return_info: Literal[False] = False
) -> list[PILImage | Any]: ...
@overload
def harmonize(
    image: OneOrMany[ImageLike], mask: OneOrMany[MaskLike], *, at: OneOrMany[Position | None] | Positions = None,
    method: HarmonizeMethod | PathLike | Network = "auto", strength: float = 1.0, guard: bool = True,
    cautious: bool = False, source: OneOrMany[ImageLike | None] = None, source_mask: OneOrMany[MaskLike | None] = None,
    reference: OneOrMany[MaskLike | None] = None, batch_statistics: bool = False, keep_gps: bool = False,
    device: Device | None = None, errors: Errors = "raise", out: OneOrMany[OutLike | None] = None,
    return_info: bool = False
) -> Any: ...
@overload
def harmonize_frames(
    frames: Iterable[ImageT], masks: Iterable[MaskLike], *, method: HarmonizeMethod | PathLike | Network = "auto",
    strength: float = 1.0, guard: bool = True, cautious: bool = False, source: ImageLike | None = None,
    source_mask: MaskLike | None = None, reference: Iterable[MaskLike | None] | None = None, smoothing: float = 0.8,
    batch_statistics: bool = False, keep_gps: bool = False, device: Device | None = None,
    return_info: Literal[False] = False
) -> Iterator[ImageT]: ...
@overload
def harmonize_frames(
    frames: Iterable[ImageT], masks: Iterable[MaskLike], *, method: HarmonizeMethod | PathLike | Network = "auto",
    strength: float = 1.0, guard: bool = True, cautious: bool = False, source: ImageLike | None = None,
    source_mask: MaskLike | None = None, reference: Iterable[MaskLike | None] | None = None, smoothing: float = 0.8,
    batch_statistics: bool = False, keep_gps: bool = False, device: Device | None = None, return_info: Literal[True]
) -> Iterator[tuple[ImageT, HarmonizeInfo]]: ...
@overload
def harmonize_frames(
    frames: Iterable[FileT], masks: Iterable[MaskLike], *, method: HarmonizeMethod | PathLike | Network = "auto",
    strength: float = 1.0, guard: bool = True, cautious: bool = False, source: ImageLike | None = None,
    source_mask: MaskLike | None = None, reference: Iterable[MaskLike | None] | None = None, smoothing: float = 0.8,
    batch_statistics: bool = False, keep_gps: bool = False, device: Device | None = None,
    return_info: Literal[False] = False
) -> Iterator[PILImage | Any]: ...
@overload
def harmonize_frames(
    frames: Iterable[FileT], masks: Iterable[MaskLike], *, method: HarmonizeMethod | PathLike | Network = "auto",
    strength: float = 1.0, guard: bool = True, cautious: bool = False, source: ImageLike | None = None,
    source_mask: MaskLike | None = None, reference: Iterable[MaskLike | None] | None = None, smoothing: float = 0.8,
    batch_statistics: bool = False, keep_gps: bool = False, device: Device | None = None, return_info: Literal[True]
) -> Iterator[tuple[PILImage | Any, HarmonizeInfo]]: ...
@overload
def harmonize_frames(
    frames: Iterable[ImageLike], masks: Iterable[MaskLike], *, method: HarmonizeMethod | PathLike | Network = "auto",
    strength: float = 1.0, guard: bool = True, cautious: bool = False, source: ImageLike | None = None,
    source_mask: MaskLike | None = None, reference: Iterable[MaskLike | None] | None = None, smoothing: float = 0.8,
    batch_statistics: bool = False, keep_gps: bool = False, device: Device | None = None, return_info: bool = False
) -> Iterator[Any]: ...
