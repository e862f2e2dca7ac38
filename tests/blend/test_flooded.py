"""`FloodedWarning`: a blend by gradients whose colours at the contour show inside the object."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pyharmony import blend
from pyharmony.errors import FloodedWarning

from ..blends import GRADIENTS
from ..shared import to_dtype

CALLS = [getattr(blend, name) for name in GRADIENTS]
SIZE = 96
#: A disk, and a ring that is four pixels wide.
ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
DISK, RING = np.hypot(ROWS, COLUMNS) < 36, np.abs(np.hypot(ROWS, COLUMNS) - 36) < 2
#: A ball with a light and a dark side, a plain ground, and a ground that is dark at the left and light at the right.
BALL = np.broadcast_to(0.5 + 0.2 * ROWS[..., None] / SIZE, (SIZE, SIZE, 3))
UNIFORM_IMAGE = np.full((SIZE, SIZE, 3), 0.8)
TWO_SIDED_IMAGE = np.where(COLUMNS[..., None] < 0, np.full(3, 0.1), 0.9)
#: The scenes of the shared data that look flooded.
FLOODED = {"controlcom_000000049931", "controlcom_000001219153", "dib_2", "dib_3"}


def said(call: Any, *images: Any, **options: Any) -> list[str]:
    """Returns the messages of the warnings of flooded objects."""
    with warnings.catch_warnings(record=True) as records:
        warnings.simplefilter("always")
        call(*images, **options)
    return [str(one.message) for one in records if one.category is FloodedWarning]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_a_ground_of_two_sides_floods_and_a_plain_one_does_not(call: Any, dtype: str) -> None:
    ball, plain, sides = (to_dtype(x, dtype) for x in (BALL, UNIFORM_IMAGE, TWO_SIDED_IMAGE))
    (message,) = said(call, ball, sides, DISK)
    assert "alpha keeps its colours" in message and "harmonize" in message
    assert said(call, ball, plain, DISK) == []


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("white", [1.0, 2.0, 100.0, 255.0, 65535.0])
def test_the_amount_is_in_the_units_of_the_image(call: Any, white: float) -> None:
    """Floats may have any range, of which 255 levels are not all."""
    (message,) = said(call, *((white * x).astype(np.float32) for x in (BALL, TWO_SIDED_IMAGE)), DISK)
    amount = re.search(r"by ([\d.e+]+), where 1 is white, \(standard deviation\)", message)
    assert amount and 0.05 * white < float(amount[1]) < white and "levels" not in message
    (message,) = said(call, *(to_dtype(x, "uint16") for x in (BALL, TWO_SIDED_IMAGE)), DISK)
    assert re.search(r"by \d{2} of 255 levels \(standard deviation\)", message)


@pytest.mark.parametrize("call", CALLS)
def test_what_keeps_colours_or_is_thin_is_not_flooded(call: Any) -> None:
    ball, sides = (to_dtype(x, "uint8") for x in (BALL, TWO_SIDED_IMAGE))
    assert said(call, ball, sides, RING) == []
    assert said(blend.poisson, ball, sides, DISK, color_weight=1.0) == []
    assert said(blend.gaussian_poisson, ball, sides, DISK, base="copy-paste", color_weight=1000.0) == []
    assert said(blend.alpha, ball, sides, DISK) == said(blend.laplacian, ball, sides, DISK) == []
    # These are meant to show dst.
    for gradients in ("mixed", "average", "monochrome"):
        assert said(blend.poisson, ball, sides, DISK, gradients=gradients) == []


@pytest.mark.parametrize("call", CALLS)
def test_where_the_object_lies_does_not_matter(call: Any) -> None:
    ball, sides = (
        to_dtype(BALL, "uint8"),
        to_dtype(np.pad(TWO_SIDED_IMAGE, ((40, 9), (30, 5), (0, 0)), mode="edge"), "uint8"),
    )
    assert len(said(call, ball, sides, DISK, at=(30, 40))) == 1
    assert len(said(call, ball, sides, DISK, at=(30, -30))) == 1
    assert said(call, ball, sides, DISK, at=(400, 0)) == []
    assert len(said(call, np.concatenate([ball, 255 * DISK[..., None].astype(np.uint8)], 2), sides, at=(30, 40))) == 1


@pytest.mark.parametrize("folder", ["blending", "research_only/blending"])
@pytest.mark.parametrize("call", CALLS)
def test_scenes_that_look_flooded_warn_and_others_do_not(call: Any, folder: str, data_dir: Path) -> None:
    names = sorted(path.name for path in (data_dir / folder).iterdir() if path.is_dir())
    scenes = {
        name: [
            np.asarray(Image.open(data_dir / folder / name / f"{role}")) for role in ("src.jpg", "dst.jpg", "mask.png")
        ]
        for name in names
    }
    assert {name for name in names if said(call, *scenes[name])} == FLOODED & set(names)
