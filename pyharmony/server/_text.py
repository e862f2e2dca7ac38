"""Texts of clients and messages of the library, as answers hold them: of bounded length, and written safely."""

from __future__ import annotations

_REPEATED = 200  # the most characters of a client's text that an answer repeats
MAX_MESSAGE = 2000  # the most characters of the message of an answer
#: The most bytes of a message of a worker. The longest is a live blend of noise, as a PNG in base 64.
MAX_ANSWER = 12_000_000


def repeated(text: object) -> str:
    """Returns text of a client as an answer may repeat it: short, and without what cannot be written."""
    start = str(text)[: _REPEATED + 1]
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in start)
    return escaped if len(escaped) <= _REPEATED else f"{escaped[:_REPEATED]}…"


def shortened(message: str) -> str:
    """Returns a message as an answer holds it: its length does not grow with what a client wrote."""
    short = message if len(message) <= MAX_MESSAGE else f"{message[:MAX_MESSAGE]}…"
    return short.encode("utf-8", "backslashreplace").decode()
