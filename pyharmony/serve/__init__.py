"""The HTTP service: uploads, operations as jobs, and the page, safe by default; `pyharmony serve` starts it.

One process answers requests without decoding images; worker processes, which can be killed, decode and compute.
`Settings` has the limits, and `serve` runs until it is stopped. It needs the packages of the extra `serve`.
"""

from __future__ import annotations

from collections.abc import Callable

from .. import _checks
from .settings import PAGE, Settings, User

__all__ = ["PAGE", "Settings", "User", "serve"]


@_checks.kinds
def serve(settings: Settings, started: Callable[[str], None] = lambda address: None) -> None:
    """Runs the service until SIGTERM or Ctrl-C; running work then has a few seconds to end.

    Args:
        settings: its address and limits.
        started: is called with the address, such as 'http://127.0.0.1:8787', when the service accepts requests.

    Raises:
        ArgumentError: the settings are unsafe or inconsistent.
        ImportError: a package of the extra `serve` is missing; the message names it.
        OSError: the address cannot be listened on.
        RuntimeError: the workers do not start; the message is the output of the first one.
    """
    from .._install import hint

    try:
        from ._run import run
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "pyharmony":
            raise
        raise ImportError(f"{error.name} is missing, which the service needs: {hint('serve')}") from error
    run(settings, started)
