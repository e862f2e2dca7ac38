"""The former name of `pyharmony.learn.metrics`."""

from typing import TYPE_CHECKING

from . import _rooms

if TYPE_CHECKING:
    from .learn.metrics import *  # noqa: F403
_rooms.moved(__name__)
