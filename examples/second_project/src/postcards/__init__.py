"""Stamps on photographs."""

from ._cards import CardError, Pixels, Series, printed, stamp, thumbnail

__all__ = ["CardError", "Pixels", "Series", "printed", "stamp", "thumbnail"]
