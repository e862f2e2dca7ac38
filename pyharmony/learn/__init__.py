"""Learning and measuring: data sets, metrics, evaluation, augmentation and training."""

from .. import _rooms

__all__ = ["augment", "data", "evaluation", "metrics", "scoring", "training"]

__getattr__, __dir__ = _rooms.lazy(__name__, __all__)
