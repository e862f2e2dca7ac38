"""The former name of `pyharmony.runs.batch`."""

from typing import TYPE_CHECKING

from . import _rooms

if TYPE_CHECKING:
    from .runs.batch import *  # noqa: F403
_rooms.moved(__name__)
