"""Many images: each is computed to an output or an error, whatever ends in between.

`run` is what the command line's batch calls; docs/many-pictures.md is the guide.
"""

from __future__ import annotations

from ._run import Progress, Report, run

__all__ = ["Progress", "Report", "run"]


def __dir__() -> list[str]:
    """Returns the public names, for editors and notebooks."""
    return sorted(__all__)
