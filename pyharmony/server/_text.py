"""Texts of clients and messages of the library, as answers hold them: of bounded length, and written safely."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..errors import Reason

#: The longest text of a client that an answer repeats, and the longest message of an answer.
_REPEATED, MAX_MESSAGE = 200, 2000
#: The most bytes of a message of a worker. The longest is a live blend of noise, as a PNG in base 64.
MAX_ANSWER = 12_000_000


def repeated(text: object) -> str:
    """Returns text of a client as an answer may repeat it: short, and without what cannot be written."""
    start = str(text)[: _REPEATED + 1]
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in start)
    return shown if len(shown) <= _REPEATED else f"{shown[:_REPEATED]}…"


def shortened(message: str) -> str:
    """Returns a message as an answer holds it: its length does not grow with what a client wrote."""
    told = message if len(message) <= MAX_MESSAGE else f"{message[:MAX_MESSAGE]}…"
    return told.encode("utf-8", "backslashreplace").decode()


def with_code(reason: Reason) -> dict[str, str]:
    """Returns a reason and its code, as results hold them."""
    return {"reason": reason, "reason_code": reason.code}


def with_codes(name: str, told: Sequence[Reason]) -> dict[str, list[str]]:
    """Returns reasons or warnings and their codes, as results hold them."""
    return {f"{name}s": list(told), f"{name}_codes": [one.code for one in told]}
