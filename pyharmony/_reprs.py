"""One-line representations of results for interpreters."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

_MAX_CHARS = 80  # the largest number of characters of a value in a line
_MAX_ENTRIES = 4  # the largest number of entries of a tuple, list or mapping in a line


class Line:
    """A base of dataclasses with `repr=False`: they are shown in a line, by `line`."""

    def __repr__(self) -> str:
        return line(self)


def line(x: Any) -> str:
    """Returns a dataclass in a line: the public fields with `repr`, arrays as their dtype and shape."""
    public = [field.name for field in dataclasses.fields(x) if field.repr and field.name[0] != "_"]
    return f"{type(x).__name__}({', '.join(f'{name}={short(getattr(x, name))}' for name in public)})"


def short(x: Any) -> str:
    """Returns a value in at most some dozens of characters."""
    if isinstance(x, np.ndarray) and x.ndim:
        return f"<{x.dtype.name} {list(x.shape)}>"
    if isinstance(x, (float, np.floating)):
        return f"{x:.4g}"
    if isinstance(x, Mapping):
        return (
            f"<{len(x)} keys>"
            if len(x) > _MAX_ENTRIES
            else f"{{{', '.join(f'{k!r}: {short(v)}' for k, v in x.items())}}}"
        )
    if isinstance(x, (tuple, list)):
        open_, close = ("[", "]") if isinstance(x, list) else ("(", ",)" if len(x) == 1 else ")")
        text = f"{open_}{', '.join(map(short, x[:_MAX_ENTRIES]))}{', …' if len(x) > _MAX_ENTRIES else ''}{close}"
        return text if len(text) <= 2 * _MAX_CHARS else f"<{len(x)} of {type(x[0]).__name__}>"
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        return f"<{type(x).__name__}>"
    text = repr(x)
    return text if len(text) <= _MAX_CHARS and "\n" not in text else f"{text[: _MAX_CHARS - 20].splitlines()[0]}…"
