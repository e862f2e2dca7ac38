"""Many images: each is computed to an output or an error, whatever ends in between.

`run` is what the command line's batch calls; docs/many-pictures.md is the guide.
"""

from __future__ import annotations

from ..._public import publish
from ._run import Progress, Report, run

__all__ = ["Progress", "Report", "run"]

publish(globals())
