"""The HTTP service: uploads, operations as jobs, and the page, safe by default; `pyharmony serve` starts it.

One process answers requests and reads no pixel; worker processes, which can be killed, decode and compute. `Settings`
says what is allowed and `serve` runs until it is told to stop. It needs the packages of the extra `serve`.
"""

from __future__ import annotations

from collections.abc import Callable

from .settings import PAGE, Settings

__all__ = ["PAGE", "Settings", "serve"]


def serve(settings: Settings, started: Callable[[str], None] = lambda address: None) -> None:
    """Runs the service until SIGTERM or Ctrl-C; work that is under way then has a few seconds to end.

    Args:
        settings: what it listens on and allows.
        started: is called with the address, such as 'http://127.0.0.1:8787', once it answers.

    Raises:
        ArgumentError: the settings are not safe, or contradict each other.
        ImportError: a package of the extra `serve` is missing; the message says what to install.
        OSError: the address cannot be listened on.
        RuntimeError: the workers do not start; the message is what the first one said.
    """
    from .._install import hint

    try:
        from ._run import run
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "pyharmony":
            raise
        raise ImportError(f"{error.name} is missing, the service needs it: {hint('serve')}") from error
    run(settings, started)
