"""The cards, whose pixels pyharmony makes."""

from __future__ import annotations

import os
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

import pyharmony
from pyharmony import blend, errors, ops
from pyharmony.typing import Gradients, PathLike, Position

Pixels: TypeAlias = npt.NDArray[np.uint8]


class CardError(Exception):
    """A card that could not be made; its message says why in words of the library."""


def stamp(photo: PathLike, sticker: PathLike, out: PathLike, at: Position) -> None:
    """Puts a sticker, a file with alpha, into a photograph and writes a file; the photograph's profile is kept.

    Raises:
        CardError: a file could not be read, or is no image.
    """
    try:
        blend.gaussian_poisson(sticker, photo, at=at, out=out)
    except (errors.PyHarmonyError, OSError) as error:
        raise CardError(f"{os.fspath(photo)}: {error}") from error


def printed(
    photo: Pixels, sticker: Pixels, mask: npt.NDArray[np.bool_], at: Position, gradients: Gradients = "monochrome"
) -> tuple[Pixels, float]:
    """Blends a sticker's shading with a photograph's colours; returns that and the proven error in 8-bit levels."""
    card, info = blend.poisson(sticker, photo, mask, at=at, gradients=gradients, return_info=True)
    return card, info.max_error


class Series:
    """Many cards with one mask; its set-up is made once."""

    def __init__(self, mask: npt.NDArray[np.bool_]) -> None:
        self._solver = ops.PoissonSolver(mask)

    @property
    def shape(self) -> tuple[int, int]:
        return self._solver.shape

    def card(self, photo: Pixels, sticker: Pixels) -> Pixels:
        """Makes a card; both are [H, W, 3] of the mask's size."""
        return self._solver.solve(sticker, photo)


def thumbnail(photo: PathLike, out: PathLike, size: int = 96) -> tuple[int, int]:
    """Writes a small copy of an 8-bit photograph, upright; returns its width and height."""
    picture = pyharmony.load(photo)
    if not isinstance(picture, Image.Image):
        raise CardError(f"{os.fspath(photo)}: {picture.dtype}, expected 8 bits")
    picture.thumbnail((size, size))
    pyharmony.save(picture, out, quality=85)
    return picture.size
