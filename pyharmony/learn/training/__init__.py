"""Training of the networks of `pyharmony.networks.models`.

`train` runs a whole training, from a configuration to the weights, and needs the extra `train`.
`steps` contains the optimisation step of each network and needs only torch. Configurations and recipes need neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import _checks
from ..._public import publish
from ..._rooms import lazy
from ._callbacks import Callback
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
from ._results import Plan, Progress, TrainResult
from ._samples import held_back, size_of
from ._train import plan, train

__all__ = [
    "Callback",
    "DataConfig",
    "Plan",
    "Progress",
    "RunConfig",
    "ScheduleConfig",
    "TrainConfig",
    "TrainResult",
    "config_of",
    "held_back",
    "plan",
    "read_toml",
    "recipe",
    "recipes",
    "size_of",
    "steps",
    "train",
    "with_changes",
]

if TYPE_CHECKING:
    from . import steps as steps
else:
    __getattr__, _ = lazy(__name__, ["steps"])

publish(globals(), _checks.kinds)


def __dir__() -> list[str]:
    from importlib.util import find_spec

    missing = {"steps"} if find_spec("torch") is None else set[str]()
    return sorted({*__all__} - missing)
