"""The command line: `pyharmony`, or `python -m pyharmony`. One file a command group; no logic of its own."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Runs the command line on sys.argv and exits with one of `pyharmony._jobs.failures.Code`."""
    try:
        from ._app import run

        run()
    except KeyboardInterrupt:  # of an import; what a command was doing has been told by itself
        if sys.stderr is not None:
            sys.stderr.write("error: interrupted; nothing was written\n")
        sys.exit(130)
