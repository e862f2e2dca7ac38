"""The calibration of weights, which lies in the header of their file beside the tensors."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from . import checks


@dataclass(frozen=True)
class Calibration:
    """The calibration of some weights: how far `pyharmony.harmonize` with its guard makes the changes they propose.

    Attributes:
        doubtful: the mean change of an object, in levels of 255, of which a guarded call makes half. Of smaller changes
            it makes less, because an object that already fits is changed a little, too. 0: all changes are made.
        sure: the mean change, in levels of 255, from which on a guarded call makes as much of it as `doubtful` says; a
            smaller one is cut to 7.5 at most, and to 3 degrees of the hue of skin. 0: all changes are sure.
    """

    doubtful: float = 0.0
    sure: float = 0.0

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if value != 0:
                checks.check_positive(value, name)
