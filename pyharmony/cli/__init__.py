"""The command line: `pyharmony`, or `python -m pyharmony`. One file a command group; no logic of its own."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Runs the command line on sys.argv and exits with one of `pyharmony.cli._failures.Code`."""
    from ._app import run

    run()
