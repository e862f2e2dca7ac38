"""The Python code of README.md and docs/ runs, and the citation and references are right.

The blocks of a page run in order, in one process with fresh names, in a folder with src.png, dst.png and mask.png
(photographs of pyharmony/cli/images) and with the names of PREAMBLE, which stand for the reader's own images.
A block after an HTML comment `<!-- not run: reason -->` is left out, and so is one that imports a package
which is not installed: the code of a peer runs where the peer is.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pyharmony

from ..shared import ROOT

pytestmark = pytest.mark.house

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

PREAMBLE = """
import numpy as np
import pyharmony

_rng = np.random.default_rng(0)
H, W, x, y = 60, 80, 0, 0
_rows = np.arange(H)[:, None]
src, dst, base = (
    (_level + 20 * np.sin(_rows / 9 + _level) + _rng.integers(0, 12, (3, H, W))).transpose(1, 2, 0).astype(np.uint8)
    for _level in (110, 120, 130)
)
mask = np.zeros((H, W), np.uint8)
mask[9:51, 12:70] = 255
image, pairs = src, [(src, dst)]
"""

_BLOCK = re.compile(r"(?:<!--\s*not run: (?P<reason>[^>]+?)\s*-->\s*\n)?^```python\n(?P<code>.*?)^```$", re.M | re.S)


def blocks(page: Path) -> list[str]:
    """Returns the code that is to run, each block at its own line of the page."""
    text = page.read_text()
    sources = []
    for match in _BLOCK.finditer(text):
        if not match["reason"] and importable(match["code"]):
            sources.append("\n" * text.count("\n", 0, match.start("code")) + match["code"])
    return sources


def importable(code: str) -> bool:
    names = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(str(node.module).partition(".")[0])
    return all(importlib.util.find_spec(name) for name in names)


def prepare(folder: Path) -> None:
    from PIL import Image

    examples = ROOT / "pyharmony" / "cli" / "images"
    for part in ("pyharmony/cli/images", "docs/images", "examples"):
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        (folder / part).symlink_to(ROOT / part)

    def mild(name: str) -> Image.Image:
        """Returns a photo of low contrast, in which no blend is doubtful."""
        return Image.open(examples / name).convert("RGB").point(lambda level: 110 + level // 8)

    mild("patch.png").save(folder / "src.png")
    shutil.copy(examples / "patch_mask.png", folder / "mask.png")
    mild("coffee.jpg").save(folder / "dst.png")
    cutout = mild("patch.png")
    cutout.putalpha(Image.open(examples / "patch_mask.png").convert("L"))
    cutout.save(folder / "cutout.png")


#: Forks for each line of its input, which is the JSON of a folder, a page and its blocks; answers with a status. What
#: several pages load is loaded before: torch's part for optimizers and functions with a gradient, and networks.
STARTER = """
import importlib.util, json, os, sys, traceback, warnings
import numpy, PIL.Image, pyharmony
if importlib.util.find_spec("torch"):
    import torch._dynamo
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    names = {}
    exec(PREAMBLE, names)
    pyharmony.segment(names["src"], points=(30, 30))
    pyharmony.harmonize(names["dst"], names["mask"])
for line in sys.stdin:
    folder, page, blocks = json.loads(line)
    if child := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    os.chdir(folder)
    with open("told.txt", "w") as told:
        os.dup2(told.fileno(), 1)
        os.dup2(told.fileno(), 2)
    status, namespace = 0, {"__name__": "__main__"}
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for name, code in [("preamble", PREAMBLE)] + [(page, code) for code in blocks]:
                exec(compile(code, name, "exec"), namespace)
        # A warning is shown by its name, and one that is not is a surprise for the reader.
        text = open(page).read()
        for one in caught:
            # Python shows no others unless it is asked to.
            if one.category.__name__ in text or not issubclass(one.category, UserWarning):
                continue
            print(f"{one.filename}:{one.lineno}: {one.category.__name__}: {one.message}")
            status = 1
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
"""


@pytest.fixture(scope="module")
def starter() -> Iterator[subprocess.Popen[str]]:
    """Yields a process that forks for each page: imports take longer than what most pages do."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    command = [sys.executable, "-c", f"PREAMBLE = {PREAMBLE!r}\n{STARTER}"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        yield process


#: Pages whose code takes longer than that of all others together: they enlarge, train and segment.
LONG = {"training.md": pytest.mark.full, "upscaling.md": pytest.mark.full, "compose.md": pytest.mark.slow}


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=LONG.get(page.name, ()), id=page.name) for page in PAGES if blocks(page)],
)
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path, starter: subprocess.Popen[str]) -> None:
    prepare(tmp_path)
    assert starter.stdin and starter.stdout
    starter.stdin.write(json.dumps([str(tmp_path), str(page), blocks(page)]) + "\n")
    starter.stdin.flush()
    assert starter.stdout.readline() == "0\n", (tmp_path / "told.txt").read_text()


def test_what_is_left_out_is_named(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```python\na = 1\n```\n<!-- not run: a sketch -->\n```python\nb = ...\n```\n\n```sh\nls\n```\n"
        "```python\nimport no_such_package\n```\n```python\nc = a\n```\n"
    )
    assert [block.strip() for block in blocks(page)] == ["a = 1", "c = a"]
    assert blocks(page)[1].count("\n") == page.read_text().count("\n", 0, page.read_text().index("c = a")) + 1


def test_the_citation_is_of_this_version() -> None:
    text = (ROOT / "CITATION.cff").read_text()
    fields = dict(re.findall(r"^([a-z-]+): *(.*)$", text, re.M))
    assert fields["cff-version"] == "1.2.0"
    assert fields["version"].strip('"') == pyharmony.__version__
    assert fields["license"] == "Apache-2.0"
    assert {"message", "title", "authors", "type"} <= set(fields)


def test_references_are_cited() -> None:
    """Every paper of docs/references.md is named, with its year, where it is used."""
    references = (ROOT / "docs" / "references.md").read_text()
    listed = re.findall(r"^- \*\*(\w+)\b.*?(\d{4})\*\*", references, re.M)
    assert len(listed) == len(re.findall(r"^- ", references, re.M)) >= 8
    sources = [
        *(ROOT / "pyharmony").rglob("*.py"), *(ROOT / "csrc" / "core").rglob("*.h"),
        *(path for path in (ROOT / "csrc" / "ops").rglob("*") if path.suffix in (".h", ".cpp", ".cu", ".cuh")),
        *(page for page in PAGES if page.name != "references.md"),
    ]  # fmt: skip
    texts = [in_one_line(path.read_text()).replace("é", "e") for path in sources]
    for name, year in listed:
        pattern = re.compile(rf"\b{name}\b.{{0,160}}?\b{year}\b")
        assert any(pattern.search(text) for text in texts if name in text), f"{name} {year} is cited nowhere"


def in_one_line(text: str) -> str:
    """Returns a text without ends of lines, spaces beside them, and signs of a comment where a line begins."""
    lines = (line.strip() for line in text.splitlines())
    return " ".join(line.removeprefix("//").removeprefix("#").lstrip() for line in lines if line)
