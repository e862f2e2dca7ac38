"""What is known of weights beside their tensors; it lies in the header of their file."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from . import checks


@dataclass(frozen=True)
class Calibration:
    """What is known of the changes that some weights make, by the guard of `pyharmony.harmonize`.

    Attributes:
        doubtful: the mean change of an object, in levels of 255, of which a guarded call makes half, of smaller ones
            less: what fits is changed a little, too. 0: all are made.
        sure: the mean change, in levels of 255, from which on a guarded call makes as much of it as `doubtful` says;
            what is less comes to 7.5 at most, and turns the hue of skin by 3 degrees at most. 0: all changes are sure.
    """

    doubtful: float = 0.0
    sure: float = 0.0

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if value != 0:
                checks.check_positive(value, name)
