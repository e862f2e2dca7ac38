"""The first steps of a shadow and a reflection: checks, the object's mask, and a copy of the image as the result."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy.typing as npt

from .._arrays import VALUE_RANGE
from .._images.frame import Job
from .._images.region import check_finite
from ._grid import Box


class MaskedObject(NamedTuple):
    """The object of a call."""

    box: Box  # the part of the image that contains it
    mask: npt.NDArray[Any]  # the mask of each pixel of the box, [h, w], from 0 to `white`
    white: float  # the value of the mask at a fully covered pixel


def begin(job: Job) -> MaskedObject | None:
    """Checks the image, copies it to the result and returns the object; None for an empty mask."""
    check_finite(job.dst, "image", skip=job.holes if job.holes is not None and job.holes.any() else None)
    job.start()
    if job.bbox.empty:
        return None
    mask = job.mask_of(job.bbox)
    box = Box(job.bbox.x0, job.bbox.y0, job.bbox.x1, job.bbox.y1)
    return MaskedObject(box, mask, VALUE_RANGE.get(mask.dtype.name, 1.0))
