"""The former name of `pyharmony.serve`."""

from typing import TYPE_CHECKING

from . import _rooms

if TYPE_CHECKING:
    from .serve import *  # noqa: F403
_rooms.moved(__name__)
