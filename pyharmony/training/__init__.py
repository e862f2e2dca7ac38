"""Training of the networks of `pyharmony.models`. Needs torch: `pip install 'pyharmony[torch]'`.

`steps` has the optimisation step of each.
"""

from __future__ import annotations

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError(
        f"{error.name} is missing, pyharmony.training needs it: pip install 'pyharmony[torch]'"
    ) from error

from . import steps

__all__ = ["steps"]
