"""The history of the images of the service, kept through operations, and written into downloads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

#: The operations whose result is a composite.
_COMPOSING = ("apply-edit", "blend", "harmonize", "compose", "merge")
#: The operation that is not recorded: it changes the format of an image and not the image.
_FORM = "export"
#: The largest number of recorded files and steps of one image.
_MAX_RECORDS = 100


class Step(NamedTuple):
    """An operation, with the name and the SHA-256 of each of the weights that it used."""

    operation: str
    weights: tuple[tuple[str, str], ...] = ()


class History(NamedTuple):
    """The history of an image: the SHA-256 of its source files, and the operations, in order."""

    sources: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()

    @classmethod
    def of(cls, value: Any) -> History:
        """Returns a history from its JSON."""
        sources, steps = value
        return cls(tuple(sources), tuple(Step(name, tuple((a, b) for a, b in weights)) for name, weights in steps))

    @property
    def composite(self) -> bool:
        return any(step.operation in _COMPOSING for step in self.steps)

    @property
    def with_ai(self) -> bool:
        return any(step.operation == "apply-edit" for step in self.steps)


def joined_history(
    histories: Iterable[History], operation: str = _FORM, weights: Mapping[str, str] | None = None
) -> History:
    """Returns the history of the result of an operation on images with these histories, in order.

    weights: the SHA-256 of the weights that it used, by name.
    """
    items = list(histories)
    sources = dict.fromkeys(one for history in items for one in history.sources)
    steps = dict.fromkeys(step for history in items for step in history.steps)
    if operation != _FORM:
        steps[Step(operation, tuple(sorted((weights or {}).items())))] = None
    return History(tuple(sources)[:_MAX_RECORDS], tuple(steps)[-_MAX_RECORDS:])
