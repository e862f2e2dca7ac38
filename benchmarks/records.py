"""The record of a benchmark: its figures in `results`, and the page that tells them between two marks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tables import write_json

HERE = Path(__file__).parent


class Record(NamedTuple):
    """The figures of a benchmark and where they are told.

    Attributes:
        name: of the benchmark's file, of that of its figures, and of the marks.
        page: the name of the page in `docs`.
    """

    name: str
    page: str

    @property
    def path(self) -> Path:
        return HERE / "results" / f"{self.name}.json"

    def read(self) -> dict[str, Any]:
        """Returns all figures so far; none before the first run."""
        found: dict[str, Any] = json.loads(self.path.read_text()) if self.path.exists() else {}
        return found

    def tell(self, text: str) -> None:
        """Writes a text between the marks of the page."""
        page = HERE.parent / "docs" / self.page
        start, end = f"<!-- {self.name}: written by benchmarks/{self.name}.py -->", f"<!-- end of {self.name} -->"
        before, _, rest = page.read_text().partition(start)
        _, _, after = rest.partition(end)
        page.write_text(f"{before}{start}\n{text}\n{end}{after}")

    def run(self, command: str, calls: Mapping[str, Callable[[], dict[str, Any]]], report: Callable[[], None]) -> None:
        """Runs a command: `report` writes the page, others add figures to those of before."""
        if command == "report":
            report()
            return
        # They are read after the run, which takes long: another one may have added to them.
        made = calls[command]()
        write_json(self.path, self.read() | made)
