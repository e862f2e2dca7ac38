"""The door for images: every kind and depth becomes the same levels, and all rooms go through it."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyharmony
from pyharmony import _checks, io
from pyharmony._images.levels import (
    colour_levels,
    image_levels,
    in_dtype,
    in_levels,
    levels_of_shares,
    mask_levels,
    rounded,
    shares_of,
)
from pyharmony.errors import ArgumentError, DTypeError, MaskError, ShapeError
from pyharmony.io import Picture
from pyharmony.placement._place import _subject_of

from ..shared import ROOT, dotted, nodes_of
from .test_io import matrix_profile

PACKAGE = ROOT / "pyharmony"


def picture(height: int = 6, width: int = 9) -> np.ndarray:
    return np.random.default_rng(4).integers(0, 256, (height, width, 3), np.uint8)


def test_every_kind_of_an_image_has_the_same_levels(tmp_path: Path) -> None:
    levels = picture()
    io.write(Picture(levels.astype(np.uint16) * np.uint16(257)), tmp_path / "deep.tif")
    pyharmony.save(levels, tmp_path / "a.png")
    kinds: list[Any] = [
        levels,
        levels.astype(np.uint16) * np.uint16(257),
        *((levels / 255).astype(dtype) for dtype in (np.float32, np.float64)),
        np.dstack([levels, levels[..., :1]]),
        str(tmp_path / "a.png"),
        (tmp_path / "a.png").read_bytes(),
        pyharmony.load(tmp_path / "a.png"),
        tmp_path / "deep.tif",
        Picture(levels),
    ]
    for image in kinds:
        levels_of_image = image_levels(image)
        assert levels_of_image.dtype == np.uint8 and levels_of_image.flags.c_contiguous
        np.testing.assert_array_equal(levels_of_image, levels)
    grey = levels[..., 1]
    for image in (grey, grey[..., None], Picture(grey[..., None])):
        np.testing.assert_array_equal(image_levels(image), np.repeat(grey[..., None], 3, 2))


def test_every_kind_of_a_mask_has_the_same_levels(tmp_path: Path) -> None:
    levels = picture()[..., 0]
    pyharmony.save(levels, tmp_path / "mask.png")
    deep = levels.astype(np.uint16) * np.uint16(257)
    coloured = Picture(np.repeat(deep[..., None], 3, 2))
    with_alpha = Picture(np.dstack([picture(), levels]))
    for mask in (levels, deep, levels / 255, str(tmp_path / "mask.png"), coloured, with_alpha):
        levels_of_mask = mask_levels(mask, 6, 9)
        assert levels_of_mask.dtype == np.uint8 and not np.may_share_memory(levels_of_mask, levels)
        np.testing.assert_array_equal(levels_of_mask, levels)
    np.testing.assert_array_equal(mask_levels(levels > 99, 6, 9), np.where(levels > 99, 255, 0))


def test_what_is_no_image_or_mask_is_refused_by_its_name() -> None:
    levels = picture()
    with pytest.raises(ArgumentError, match=r"^subject: nan at pixel"):
        image_levels(np.where(levels > 9, np.float32(np.nan), np.float32(0)), "subject")
    with pytest.raises(ShapeError, match=r"^image: .* a batch"):
        image_levels(levels[None])
    # A mask in a file is refused as one in an array is.
    for mask in (levels[..., 0] / 100, Picture((levels[..., :1] / 100).astype(np.float32))):
        with pytest.raises(MaskError, match=r"^people\[1\]: values from .* expected floats in \[0, 1\]"):
            mask_levels(mask, 6, 9, "people[1]")
    with pytest.raises(MaskError, match=r"^mask: a colour image"):
        mask_levels(Picture(levels), 6, 9)


def test_a_cut_out_has_the_colours_of_its_photograph() -> None:
    """Whether its mask is given or is its alpha, colours of another profile are brought to sRGB."""
    levels = picture()
    mask = levels[..., 0].copy()
    mask[: len(mask) // 4] = 0  # an alpha above 0 everywhere cuts nothing out
    in_profile = Picture(levels, profile=matrix_profile("Display P3"))
    cut_out = dataclasses.replace(in_profile, pixels=np.dstack([levels, mask]))
    plain, alpha = _subject_of(in_profile, mask), _subject_of(cut_out, None)
    assert (plain[0] != levels).any()
    for one, other in zip(plain, alpha, strict=True):
        np.testing.assert_array_equal(one, other)


def test_sixteen_bits_become_eight_and_come_back() -> None:
    every = np.arange(65536).astype(np.uint16).reshape(256, 256)
    np.testing.assert_array_equal(in_levels(every), (every.astype(int) + 128) // 257)
    levels = np.arange(256, dtype=np.uint8)[None]
    for dtype in (np.uint8, np.uint16, np.float16, np.float32, np.float64):
        there = in_dtype(levels, dtype)
        assert there.dtype == dtype and there.min() == 0 and there.max() == np.float64(in_dtype(levels, dtype)[0, 255])
        np.testing.assert_array_equal(in_levels(there), levels)
    np.testing.assert_array_equal(in_dtype(levels, np.uint16), levels.astype(int) * 257)
    np.testing.assert_array_equal(in_dtype(np.array([-0.5, 0.25, 1.5]), np.float64), [0, 0.25, 1])
    np.testing.assert_array_equal(levels_of_shares(shares_of(levels)), levels)
    assert shares_of(levels).dtype == np.float32


@given(st.lists(st.floats(-2, 3, width=32), min_size=1, max_size=600))
def test_floats_are_rounded_and_clipped_once(values: list[float]) -> None:
    """However many rows are converted at once, and whatever the float's width."""
    floats = np.array(values, np.float32)[:, None]
    expected = np.rint(np.clip(floats.astype(np.float64) * 255, 0, 255))
    np.testing.assert_array_equal(in_levels(floats), expected)
    np.testing.assert_array_equal(in_levels(floats.astype(np.float64)), expected)
    np.testing.assert_array_equal(colour_levels(floats[..., None]), np.repeat(expected[..., None], 3, 2))
    np.testing.assert_array_equal(rounded(floats, np.uint8), np.rint(np.clip(floats, 0, 255)))
    assert rounded(floats, np.float32) is floats


ROOMS = (
    "composition", "edits", "harmonization", "matching", "merging", "placement", "segmentation", "shadows", "upscaling",
)  # fmt: skip
#: Functions and methods that open a file or decode an image.
OPENERS = ("open", "imread", "imdecode", "read", "read_reduced")
#: Where a room opens something by itself, and why.
OPENING_FILES = {
    "composition/_compose.py": "a photo at the size that its decisions need, and whole where it is drawn",
    "composition/_recipe.py": "masks inside a recipe, whose size is known before they are decoded",
    "composition/_weights.py": "the checksum of a file's bytes",
    "segmentation/_methods.py": "a file of weights",
    "segmentation/_onnx_file.py": "a file of weights",
    "upscaling/_methods.py": "a file of weights",
}
#: Where levels are computed outside of levels.py, and why.
CONVERTED = {
    "composition/_render.py": "a shadow's colours over white, which are levels before and after",
    "io/shown.py": "an image for a notebook, in the room below; it may hold NaN",
}
#: Where a whole number is checked outside of _checks.py, and why.
CHECKED = {
    "_device.py": "it lies below",
    "learn/data/_dataset.py": "a number beyond the last sample is an IndexError, by which loops end",
    "io/_openraster.py": "a text in a file, refused as the file's",
    "networks/models/checks.py": "settings of networks, which come from files, with one error for all",
}


def nodes(*rooms: str) -> Iterator[tuple[str, ast.AST]]:
    for room in rooms:
        for path in sorted((PACKAGE / room).rglob("*.py")):
            file = path.relative_to(PACKAGE).as_posix()
            yield from ((file, node) for node in nodes_of(path))


def is_opener(node: ast.Call) -> bool:
    """Whether a call opens or decodes a file: `open(...)`, `io.read(...)`, `Image.open(...)`, `cv2.imread(...)`."""
    if isinstance(node.func, ast.Name):
        return node.func.id in OPENERS and node.func.id != "read"  # of a file, or a function of its module
    return isinstance(node.func, ast.Attribute) and node.func.attr in OPENERS


def test_rooms_open_images_by_the_door() -> None:
    places = {
        (file, ast.unparse(node.func)) for file, node in nodes(*ROOMS) if isinstance(node, ast.Call) and is_opener(node)
    }
    assert {file for file, _ in places} == OPENING_FILES.keys(), places


def is_to_levels(node: ast.AST) -> bool:
    """Whether an expression rounds something that is multiplied by 255, or by 255 over the range of a dtype."""
    if not (isinstance(node, ast.Call) and dotted(node.func) in ("np.rint", "np.round")):
        return False
    factors = [
        factor
        for inner in ast.walk(node)
        if isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Mult)
        for factor in (inner.left, inner.right)
    ]
    return any(re.fullmatch(r"(np\.float(32|64)\()?255(\.0)?( / .*)?\)?", ast.unparse(factor)) for factor in factors)


def test_levels_are_made_in_one_place() -> None:
    places = {
        (file, ast.unparse(node)) for file, node in nodes(".") if is_to_levels(node) and file != "_images/levels.py"
    }
    assert {file for file, _ in places} == CONVERTED.keys(), places


def test_the_weights_of_luma_stand_in_one_place() -> None:
    files = {file for file, node in nodes(".") if isinstance(node, ast.Constant) and node.value == 0.587}
    assert files == {"reference/luma.py"}


def test_whole_numbers_are_checked_in_one_place() -> None:
    pattern = re.compile(r"expected (None or )?an? (integer|whole number)")
    files = {file for file, node in nodes(".") if isinstance(node, ast.JoinedStr) and pattern.search(ast.unparse(node))}
    assert files == CHECKED.keys()


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (True, DTypeError, "k: bool True, expected a whole number from 1 to 9"),
        (np.True_, DTypeError, "k: bool"),
        (2.0, DTypeError, "k: float 2.0, expected a whole number from 1 to 9"),
        ("2", DTypeError, "k: str '2'"),
        (0, ArgumentError, "k: 0, expected a whole number from 1 to 9"),
        pytest.param(10**5000, ArgumentError, "k: a number of 16610 bits", id="huge"),
    ],
)
def test_what_is_no_whole_number_is_refused(value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        _checks.whole(value, "k", low=1, high=9)


def test_whole_numbers_of_numpy_are_those_of_python() -> None:
    assert type(_checks.whole(np.uint8(9), "k", low=1, high=9)) is int
    assert _checks.whole(-3, "dim", low=-4) == -3
    with pytest.raises(ArgumentError, match=r"^seed: -1, expected a whole number of at least 0$"):
        _checks.whole(-1, "seed")
