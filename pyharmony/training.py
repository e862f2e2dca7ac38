"""The former name of `pyharmony.learn.training`."""

from typing import TYPE_CHECKING

from . import _rooms

if TYPE_CHECKING:
    from .learn.training import *  # noqa: F403
_rooms.moved(__name__)
