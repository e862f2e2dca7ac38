"""Networks: their layers, losses and models. They need torch."""

from .. import _rooms

__all__ = ["losses", "models", "nn"]

__getattr__, __dir__ = _rooms.lazy(__name__, __all__)
