"""The notebooks of examples/ run from end to end, as a newcomer runs them, and are committed without outputs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

nbformat: Any = pytest.importorskip("nbformat", reason="nbclient is not installed")
nbclient: Any = pytest.importorskip("nbclient", reason="nbclient is not installed")

pytestmark = pytest.mark.house

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


def test_there_is_one() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_it_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    work = tmp_path / "work"
    work.mkdir()
    client = nbclient.NotebookClient(book, timeout=60, kernel_name="python3", resources={"metadata": {"path": work}})
    client.execute()
    for cell in book.cells:
        if cell.cell_type == "code":
            assert cell.outputs, f"shows nothing: {cell.source}"
            complaints = [out.text for out in cell.outputs if out.get("name") == "stderr"]
            assert not complaints, f"{cell.source}: {complaints}"
    pictures = [out for cell in book.cells for out in cell.get("outputs", []) if "image/png" in out.get("data", {})]
    assert len(pictures) >= 8
    assert not list(work.iterdir()), "leaves files behind"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_it_is_committed_clean(path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    for cell in book.cells:
        if cell.cell_type == "code":
            assert not cell.outputs, cell.source
            assert cell.execution_count is None, cell.source
