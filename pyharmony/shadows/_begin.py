"""The first steps of a shadow and a reflection: checks, the object's mask, and a copy of the image as the result."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy.typing as npt

from .._arrays import VALUE_RANGE
from .._images.frame import Job
from .._images.region import Region


class MaskedObject(NamedTuple):
    """The object of a call."""

    box: Region  # the part of the image that contains it
    mask: npt.NDArray[Any]  # the mask of each pixel of the box, [h, w], from 0 to `white`
    white: float  # the value of the mask at a fully covered pixel


def begin(job: Job) -> MaskedObject | None:
    """Checks the image, copies it to the result and returns the object; None for an empty mask."""
    job.begin()
    if job.bbox.empty:
        return None
    mask = job.mask_of(job.bbox)
    return MaskedObject(job.bbox, mask, VALUE_RANGE.get(mask.dtype.name, 1.0))
