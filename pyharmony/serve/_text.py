"""Texts of clients and messages of the library, as in responses: of bounded length, and safely encoded."""

from __future__ import annotations

_REPEATED = 200  # the largest number of characters of a client's text in a response
MAX_MESSAGE = 2000  # the largest number of characters of the message of a response
#: The largest message of a worker in bytes. The longest is a live blend of noise, as a PNG in base64.
MAX_ANSWER = 12_000_000


def excerpt(text: object) -> str:
    """Returns text of a client for a response: short, and without characters that cannot be encoded."""
    start = str(text)[: _REPEATED + 1]
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in start)
    return escaped if len(escaped) <= _REPEATED else f"{escaped[:_REPEATED]}…"


def limited_message(message: str) -> str:
    """Returns a message for a response: of bounded length, whatever a client sent."""
    short = message if len(message) <= MAX_MESSAGE else f"{message[:MAX_MESSAGE]}…"
    return short.encode("utf-8", "backslashreplace").decode()
