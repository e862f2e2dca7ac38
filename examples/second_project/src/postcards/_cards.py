"""The cards; pixels are pyharmony's."""

from __future__ import annotations

import os
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

import pyharmony
from pyharmony import blend, errors, ops

Pixels: TypeAlias = npt.NDArray[np.uint8]
Path: TypeAlias = "str | os.PathLike[str]"


class CardError(Exception):
    """A card that could not be made; says why in words of the library."""


def stamp(photo: Path, sticker: Path, out: Path, at: tuple[float, float]) -> None:
    """Puts a sticker, a file with alpha, into a photograph and writes a file; the photograph's profile is kept.

    Raises:
        CardError: a file could not be read, or is no picture.
    """
    try:
        blend.gaussian_poisson(sticker, photo, at=at, out=out)
    except (errors.PyHarmonyError, OSError) as error:
        raise CardError(f"{os.fspath(photo)}: {error}") from error


def printed(photo: Pixels, sticker: Pixels, mask: npt.NDArray[np.bool_], at: tuple[int, int]) -> tuple[Pixels, float]:
    """The shading of a sticker in the colours of a photograph, and the proven error in 8-bit levels."""
    card: Pixels
    info: ops.SolveInfo
    card, info = blend.poisson(sticker, photo, mask, at=at, gradients="monochrome", return_info=True)
    return card, info.max_error


class Series:
    """Many cards with one mask; its set-up is made once."""

    def __init__(self, mask: npt.NDArray[np.bool_]) -> None:
        self._solver = ops.PoissonSolver(mask)

    @property
    def shape(self) -> tuple[int, int]:
        return self._solver.shape

    def card(self, photo: Pixels, sticker: Pixels) -> Pixels:
        """Both [H, W, 3] of the mask's size."""
        made: Pixels = self._solver.solve(sticker, photo)
        return made


def thumbnail(photo: Path, out: Path, size: int = 96) -> tuple[int, int]:
    """Writes a small copy of an 8-bit photograph, upright; its width and height."""
    picture = pyharmony.load(photo)
    if not isinstance(picture, Image.Image):
        raise CardError(f"{os.fspath(photo)}: {picture.dtype}, expected 8 bits")
    picture.thumbnail((size, size))
    pyharmony.save(picture, out, quality=85)
    return picture.size
