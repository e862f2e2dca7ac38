"""What an interpreter and a notebook show: a line of every result, pictures of what is one, and public names alone."""

from __future__ import annotations

import functools
import importlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pyharmony as ph
from pyharmony import _rooms, color, merging, ops, segmentation
from pyharmony import io as files
from pyharmony.harmonization import ColorMap

from ..shared import ROOT, load_script

IMAGE = np.zeros((60, 80, 3), np.uint8)
IMAGE[20:40, 30:50] = 200
MASK = np.zeros((60, 80), np.uint8)
MASK[20:40, 30:50] = 255
SUBJECT = np.zeros((30, 20, 4), np.uint8)
SUBJECT[5:25, 5:15] = 255
BACKGROUND = np.full((60, 80, 3), 128, np.uint8)

pytestmark = pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning")


@functools.cache
def composite() -> Any:
    return ph.compose(SUBJECT, BACKGROUND, people=[], k=3, upscale=None, return_info=True)


def results() -> Iterator[Any]:
    """Yields one of each result and record that holds arrays."""
    _, info = composite()
    yield from (info, *info.subjects, *info.subjects[0].places, *info.layers)
    masks = ph.segment(IMAGE, points=(40, 30))
    yield from (masks, segmentation.Session(IMAGE), ph.segment(IMAGE, all_people=True))
    for function in (ph.match_grain, ph.match_sharpness, ph.shadow, ph.reflection):
        yield function(IMAGE, MASK, return_info=True)[1]
    info = ph.harmonize(IMAGE, MASK, method="mkl", guard=False, return_info=True)[1]
    yield from (info, info.map, ColorMap(grid=np.zeros((9, 9, 8, 3, 4)), curves=np.zeros((3, 3, 33))))
    yield ph.blend.poisson(IMAGE, IMAGE, MASK, return_info=True)[1]
    yield ops.color_stats(IMAGE, MASK, bins=256)
    yield ops.color_stats(IMAGE, MASK, bins=256).foreground
    yield from (ops.Affine(np.eye(3)), ops.Curves(np.linspace(0, 1, 999)), ops.Lut(color.random_lut(0)))
    yield from (files.Picture(IMAGE, b"profile" * 99), files.Layer("a layer", np.dstack([IMAGE, MASK])))
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    info = ph.merge([IMAGE, IMAGE], base=0, people=[[], [MASK]], align=False, return_info=True)[1]
    assert isinstance(info, merging.MergeInfo)
    yield from (info, *info.photos)


@pytest.mark.networks
def test_every_result_is_told_in_a_line() -> None:
    for result in results():
        text = repr(result)
        assert "\n" not in text and len(text) < 330, text
        assert text.startswith(type(result).__name__), text


@pytest.mark.networks
def test_pictures_of_results() -> None:
    """They are PNGs of 8 bit, not larger than a screen."""
    deep = np.full((1500, 3000, 4), 65535, np.uint16)
    for picture, size, mode in (
        (files.Picture(deep), (1024, 512), "RGBA"),
        (files.Picture(np.full((5, 7, 1), np.nan, np.float16)), (7, 5), "L"),
        (files.Picture(np.full((5, 7, 3), 2.5)), (7, 5), "RGB"),
        (files.Layer("a layer", np.dstack([IMAGE, MASK])), (80, 60), "RGBA"),
        (composite()[1].subjects[0], (14, 24), "RGBA"),
    ):
        with Image.open(io.BytesIO(picture._repr_png_())) as image:
            assert (image.format, image.size, image.mode) == ("PNG", size, mode) or picture is not deep
            assert image.format == "PNG" and image.mode == mode
            assert max(image.size) <= 1024
    masks = ph.segment(IMAGE, points=(40, 30))
    assert masks._repr_html_().count("<img ") == len(masks) > 0
    assert ph.segment(BACKGROUND, points=(4, 4))._repr_html_().count("<img ") == 0


@pytest.mark.networks
@pytest.mark.parametrize("background", [BACKGROUND, Image.fromarray(BACKGROUND), files.Picture(BACKGROUND)])
def test_a_result_with_its_info_is_shown_as_both(background: Any) -> None:
    pair = ph.compose(SUBJECT, background, at=(10, 20), people=[], harmonize=None, return_info=True)
    result, info = pair
    assert isinstance(pair, tuple) and pair == (result, info)
    assert pair._repr_html_().count("<img ") == 1 and "ComposeInfo(" in pair._repr_html_()
    assert len(repr(pair[1])) < 330
    batch = ph.blend.alpha(IMAGE[None], IMAGE[None], MASK, return_info=True)
    assert batch._repr_html_() is None


#: The rooms that are a single file, whose names are not chosen by `dir`, or of definitions.
FILES = ("compat", "errors", "typing", "reference")


@pytest.mark.parametrize("room", [name for name in ph._SUBPACKAGES if name not in FILES])
def test_names_of_a_room_are_its_public_ones(room: str) -> None:
    try:
        module = importlib.import_module(f"pyharmony.{room}")
    except ImportError:
        pytest.skip("torch is not installed")
    assert set(module.__all__) - set(dir(module)) <= {"steps"}  # which needs torch
    assert set(dir(module)) <= set(module.__all__)
    for name in dir(module):
        assert getattr(module, name) is not None


def test_names_of_the_package_are_functions_and_rooms() -> None:
    assert set(ph.__all__) <= set(dir(ph)) <= {*ph.__all__, *ph._SUBPACKAGES, *_rooms.WINGS}


@pytest.mark.networks
def test_a_notebook_shows_the_picture_and_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last line of a cell was some 20,000 characters, and no picture."""
    nbformat: Any = pytest.importorskip("nbformat", reason="nbclient is not installed")
    pytest.importorskip("nbclient", reason="nbclient is not installed")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    cells = (
        "import warnings\nimport numpy as np\nimport pyharmony\nfrom pyharmony import blend, io\n"
        "warnings.simplefilter('ignore')\n"
        "subject = np.zeros((30, 20, 4), np.uint8)\nsubject[5:25, 5:15] = 255\n"
        "photo = np.full((60, 80, 3), 128, np.uint8)\nphoto[20:40, 30:50] = 200",
        "pyharmony.compose(subject, photo, at=(5, 9), people=[], harmonize=None, return_info=True)",
        "pyharmony.segment(photo, points=(40, 30))",
        "io.Picture(photo)",
        "sorted(name for name in dir(blend) if not name.startswith('__'))[:3]",
    )
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(book, tmp_path / "book.ipynb")
    work = tmp_path / "work"
    work.mkdir()
    ran = load_script("tools/notebook_outputs.py").executed(tmp_path / "book.ipynb", work)
    outputs = [cell.outputs[0].data for cell in ran.cells[1:]]
    for data in outputs[:3]:
        assert len(data["text/plain"]) < 500
    assert "<img " in outputs[0]["text/html"] and "<img " in outputs[1]["text/html"]
    assert outputs[2]["image/png"]
    assert outputs[3]["text/plain"] == "['alpha', 'detail_boost', 'gaussian_poisson']"
