"""The former name of `pyharmony.learn.scoring`."""

from typing import TYPE_CHECKING

from . import _rooms

if TYPE_CHECKING:
    from .learn.scoring import *  # noqa: F403
_rooms.moved(__name__)
