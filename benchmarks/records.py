"""The record of a benchmark: its results in `results`, and the page that shows them between two marks."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tables import write_json

FOLDER = Path(__file__).parent
#: The environment of a process that measures itself: it imports from here.
MEASURED = {**os.environ, "PYTHONPATH": str(FOLDER)}


def process_memory(key: str) -> int:
    """Returns the bytes that Linux counts for this process: VmRSS at present, VmHWM at most.

    A child's ru_maxrss starts with that of its parent, which here has made the photographs.
    """
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024


def commands_of(about: str | None) -> tuple[argparse.ArgumentParser, Any]:
    """Returns a parser of a command line with a description, and the object to which its commands are added."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    return parser, parser.add_subparsers(dest="command", required=True)


class Record(NamedTuple):
    """The results of a benchmark and their page.

    Attributes:
        name: of the benchmark's file, of that of its results, and of the marks.
        page: the name of the page in `docs`.
    """

    name: str
    page: str

    @property
    def path(self) -> Path:
        return FOLDER / "results" / f"{self.name}.json"

    def read(self) -> dict[str, Any]:
        """Returns all results so far; none before the first run."""
        record: dict[str, Any] = json.loads(self.path.read_text()) if self.path.exists() else {}
        return record

    def tell(self, text: str) -> None:
        """Writes a text between the marks of the page."""
        page = FOLDER.parent / "docs" / self.page
        start, end = f"<!-- {self.name}: written by benchmarks/{self.name}.py -->", f"<!-- end of {self.name} -->"
        before, _, rest = page.read_text().partition(start)
        _, _, after = rest.partition(end)
        page.write_text(f"{before}{start}\n{text}\n{end}{after}")

    def run(self, command: str, calls: Mapping[str, Callable[[], dict[str, Any]]], report: Callable[[], None]) -> None:
        """Runs a command: `report` writes the page, others add results to earlier ones."""
        if command == "report":
            report()
            return
        # Read after the run, which takes long: another one may have added to them.
        record = calls[command]()
        write_json(self.path, self.read() | record)
