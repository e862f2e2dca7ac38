"""Runs of many images: batches, and the tasks of the service."""

from .. import _rooms

__all__ = ["batch"]

__getattr__, __dir__ = _rooms.lazy(__name__, __all__)
