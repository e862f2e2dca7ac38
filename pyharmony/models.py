"""The former name of `pyharmony.networks.models`."""

from typing import TYPE_CHECKING

from . import _rooms

if TYPE_CHECKING:
    from .networks.models import *  # noqa: F403
_rooms.moved(__name__)
