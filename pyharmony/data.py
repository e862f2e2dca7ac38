"""The former name of `pyharmony.learn.data`."""

from typing import TYPE_CHECKING

from . import _rooms

if TYPE_CHECKING:
    from .learn.data import *  # noqa: F403
_rooms.moved(__name__)
