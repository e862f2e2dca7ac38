"""Training of the networks of `pyharmony.models`. Needs the extra `train`.

`train` is a whole run, from its configuration to the weights; `steps` has the optimisation step of each network, and
needs torch alone.
"""

from __future__ import annotations

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    from .. import _install

    raise ImportError(f"{error.name} is missing, pyharmony.training needs it: {_install.hint('train')}") from error

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
from ._train import held_back, train

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
    "steps",
    "train",
    "with_changes",
]
