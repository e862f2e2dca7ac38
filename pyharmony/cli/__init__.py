"""The command line: `pyharmony`, or `python -m pyharmony`. Each command group is one file without own logic."""

from __future__ import annotations

import gc
import sys

__all__ = ["main"]


def main() -> None:
    """Runs the command line on sys.argv and exits with one of `pyharmony.runs._jobs.failures.Code`."""
    gc.disable()  # imports make no garbage to look for: `Console.session` enables it
    try:
        from ._app import run

        run()
    except KeyboardInterrupt:  # from an import; a command reports its own interruption
        if sys.stderr is not None:
            sys.stderr.write("error: interrupted; nothing was written\n")
        sys.exit(130)
    finally:
        gc.enable()
