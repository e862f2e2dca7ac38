"""The notebooks of examples/ run from end to end, as a newcomer runs them, and show what they were committed with."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ..shared import ROOT, load_script

nbformat: Any = pytest.importorskip("nbformat", reason="nbclient is not installed")
nbclient: Any = pytest.importorskip("nbclient", reason="nbclient is not installed")

pytestmark = pytest.mark.house

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


def tool() -> Any:
    return load_script("tools/notebook_outputs.py")


def lasting(text: str) -> str:
    """Returns the text without what depends on the machine: instruction set, threads, times, sizes, last digits."""
    text = re.sub(r"'(baseline|avx2|avx512)', \d+", "'…', …", text)
    text = re.sub(r"(iterations|milliseconds|peak_bytes|max_error|residual)=[\de.+-]+", r"\1=…", text)
    return re.sub(r"\d+ bytes", "… bytes", text)


def test_there_is_one() -> None:
    assert NOTEBOOKS


def test_what_is_printed_in_parts_is_one_output() -> None:
    outputs = [nbformat.v4.new_output("stream", name=name, text=text) for name, text in ("1a", "1b", "2c")]
    assert [(one.name, one.text) for one in tool().reduced(outputs)] == [("1", "ab"), ("2", "c")]


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=pytest.mark.full if path.stem.startswith("train") else (), id=path.name)
        for path in NOTEBOOKS
    ],
)
def test_it_runs_and_its_outputs_are_those_of_a_run(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    work = tmp_path / "work"
    work.mkdir()
    outputs = tool()
    before_run, book = nbformat.read(path, as_version=4), outputs.executed(path, work)
    pictures = 0
    for before, cell in zip(before_run.cells, book.cells, strict=True):
        if cell.cell_type != "code":
            continue
        assert cell.outputs, f"shows nothing: {cell.source}"
        complaints = [out.text for out in cell.outputs if out.get("name") == "stderr"]
        assert not complaints, f"{cell.source}: {complaints}"
        hint = f"{cell.source}\nrun `python tools/notebook_outputs.py`"
        new_outputs = outputs.reduced(cell.outputs)
        assert [x.output_type for x in before.outputs] == [x.output_type for x in new_outputs], hint
        for old, new in zip(before.outputs, new_outputs, strict=True):
            if new.output_type == "stream":
                assert lasting(old.text) == lasting(new.text), hint
                continue
            assert lasting(old.data["text/plain"]) == lasting(new.data["text/plain"]), hint
            old_picture, new_picture = (outputs.picture_of(x.data) for x in (old, new))
            assert (old_picture is None) == (new_picture is None), hint
            if old_picture is not None:
                pictures += 1
                assert old_picture.size == new_picture.size, hint
                assert np.abs(np.asarray(old_picture, float) - np.asarray(new_picture, float)).max() < 16, hint
    assert pictures >= 8
    assert not list(work.iterdir()), "leaves files behind"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_it_is_small_and_was_run_from_top_to_bottom(path: Path) -> None:
    assert path.stat().st_size < 400_000
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    paths = re.findall(r"[\"' ]/(?:root|home|tmp|usr)/", path.read_text())
    assert not paths, "names a folder of the machine that it was run on"
