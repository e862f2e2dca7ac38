"""benchmarks/learning_curve.py: its training, measures and output."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ..shared import load_script

pytest.importorskip("torch", reason="torch is not installed")

pytestmark = pytest.mark.networks


@pytest.fixture
def curve(repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Returns the script as a module, which writes elsewhere."""
    monkeypatch.syspath_prepend(repository / "benchmarks")
    module = load_script("benchmarks/learning_curve.py")
    module.RESULTS = tmp_path / "curve.json"
    return module


def page(curve: Any, path: Path, between: str = "") -> Path:
    path.write_text(f"# A page\n{curve.START_MARK}\n{between}{curve.END_MARK}\nand its rest\n", "utf-8")
    return path


def test_gains_are_told_beside_those_of_fewer_photographs(curve: Any, tmp_path: Path) -> None:
    def entry(name: str, photographs: int, gain: float) -> dict[str, Any]:
        of = {"psnr": [gain, gain + 1], "fmse": [-10.0, -30.0]}
        return {"name": name, "photographs": photographs, "step": 1200, "change": {"val": of, "test": of}}

    runs = [entry("62", 62, 1.0), entry("whole", 1990, 3.25)]
    record = {"groups": {"val": [0, 1], "test": [0, 0]}, "runs": runs}
    curve.RESULTS.write_text(json.dumps(record))
    path = page(curve, tmp_path / "page.md", "what was there\n")
    curve.report(path)
    text = path.read_text("utf-8")
    assert text.startswith(f"# A page\n{curve.START_MARK}\n") and text.endswith(f"{curve.END_MARK}\nand its rest\n")
    assert "what was there" not in text and "2 triples of val and 2 of test" in text
    first, second = [line for line in text.splitlines() if line.startswith("|")][2:]
    assert first == "| 62 | | 1,200 | +1.50 [+1.00, +2.00] | +1.50 [+1.50, +1.50] | | −20 [−20, −20] |"
    assert second.startswith("| 1,990 | the whole recipe, the last weights of its run | 1,200 | +3.75 [+3.25, +4.25] |")
    assert "| +2.25 [+2.25, +2.25] |" in second
    curve.report(path)
    assert path.read_text("utf-8") == text

    record["runs"].append(entry("every", 2063, 4.0))
    curve.RUNS = (curve.Run("62"), curve.Run("whole"), curve.Run("every", note="all", beside="62"))
    last = curve.table(record).splitlines()[-1]
    assert last.startswith("| 2,063 | all | 1,200 | +4.50 [+4.00, +5.00] |")
    assert "| +3.00 [+3.00, +3.00], that of 62 and 1,200 |" in last
    path.write_text("# Another\n")
    with pytest.raises(SystemExit, match="has no"):
        curve.report(path)
    assert path.read_text() == "# Another\n"


def test_the_page_has_the_table(curve: Any, repository: Path) -> None:
    text = curve.PAGE.read_text("utf-8")
    results = repository / "benchmarks" / "results" / "colorgrid" / "learning_curve.json"
    assert f"{curve.START_MARK}\n{curve.table(json.loads(results.read_text()))}\n{curve.END_MARK}" in text
