"""Training of the networks of `pyharmony.models`. Needs the extra: `pip install 'pyharmony[train]'`.

`train` is a whole run, from its configuration to the weights; `steps` has the optimisation step of each network, and
needs torch alone.
"""

from __future__ import annotations

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    needed = "pyharmony.training needs it: pip install 'pyharmony[train]'"
    raise ImportError(f"{error.name} is missing, {needed}") from error

from . import steps
from ._config import (
    DataConfig,
    RunConfig,
    ScheduleConfig,
    TrainConfig,
    config_of,
    read_toml,
    recipe,
    recipes,
    with_changes,
)
from ._loop import Progress, TrainResult
from ._train import held_back, size_of, train

__all__ = [
    "DataConfig",
    "Progress",
    "RunConfig",
    "ScheduleConfig",
    "TrainConfig",
    "TrainResult",
    "config_of",
    "held_back",
    "read_toml",
    "recipe",
    "recipes",
    "size_of",
    "steps",
    "train",
    "with_changes",
]
