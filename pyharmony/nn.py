"""The former name of `pyharmony.networks.nn`."""

from typing import TYPE_CHECKING

from . import _rooms

if TYPE_CHECKING:
    from .networks.nn import *  # noqa: F403
_rooms.moved(__name__)
