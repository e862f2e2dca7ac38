"""The former name of `pyharmony.networks.losses`."""

from typing import TYPE_CHECKING

from . import _rooms

if TYPE_CHECKING:
    from .networks.losses import *  # noqa: F403
_rooms.moved(__name__)
