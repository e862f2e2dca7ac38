"""The pages of the repository: links and anchors lead somewhere, and the commands that they show run."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path
from string import Template

import pytest
import typer
from PIL import Image

from pyharmony.cli._app import app

from ..shared import ROOT, load_script

pytestmark = pytest.mark.house

FOLDERS = (
    "",
    "docs",
    "docs/api",
    "docs/images",
    "docs/models",
    "examples",
    "examples/second_project",
    "pyharmony/cli/images",
    "benchmarks",
    "benchmarks/results",
)
PAGES = sorted(page for folder in FOLDERS for page in (ROOT / folder).glob("*.md"))
LINK = re.compile(r"\]\(([^)\s]+)\)")
#: The pages whose shell commands run, each after the Python code above it, in one folder.
SHELL_PAGES = [ROOT / "README.md", ROOT / "docs" / "recipes.md"]


def text_of(page: Path) -> str:
    """Returns a page without its blocks of code, whose brackets are no links."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)


def anchors(page: Path) -> set[str]:
    """Returns the anchors that GitHub makes of headings."""
    counts: Counter[str] = Counter()
    names = set()
    for heading in re.findall(r"^#+ +(.+?) *$", text_of(page), re.M):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        names.add(f"{slug}-{counts[slug]}" if counts[slug] else slug)
        counts[slug] += 1
    return names


def test_links_lead_somewhere() -> None:
    links = [(page, target) for page in PAGES for target in LINK.findall(text_of(page))]
    for page, target in links:
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file, where = page.parent / name if name else page, f"{page.relative_to(ROOT)}: {target}"
        assert file.exists(), f"{where}: no such file"
        assert file.resolve().is_relative_to(ROOT), f"{where}: leaves the repository"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{where}: {file.name} has {', '.join(sorted(anchors(file)))}"


def test_every_page_is_reached_from_the_readme() -> None:
    pages_seen, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page not in pages_seen:
            pages_seen.add(page)
            names = {target.partition("#")[0] for target in LINK.findall(text_of(page)) if ":" not in target}
            todo += [(page.parent / name).resolve() for name in names if name.endswith(".md")]
    assert set((ROOT / "docs").rglob("*.md")) - pages_seen == set()


#: Images that come with neither the package nor a data set that one can get.
PRIVATE = re.compile(
    r"\btriples\b(?! in|\.csv| out|`)|seven (shared )?pairs|208 composites|photographs of (val|test)|test photographs|"
    r"\bdib_1\b|\bother photographs\b"
)
#: Pages whose tables of settings and formats speak of triples as a kind of data set.
ABOUT_FORMATS = ("command-line.md", "datasets.md", "platforms.md")


def test_tables_of_pictures_that_a_reader_cannot_have_say_so() -> None:
    for page in PAGES:
        if page.name in ABOUT_FORMATS or "results" in page.parts:
            continue
        for section in re.split(r"(?m)^(?=## )", page.read_text()):
            figures = re.search(r"^\|.*\d\.\d.*\|$", section, re.M)
            if figures and PRIVATE.search(section):
                assert "not public" in " ".join(section.split()), f"{page.name}: {section.splitlines()[0]}"


#: Runs blocks of a page in one process: Python with the names of what came before it, and commands.
RUN = """
import json, subprocess, sys

names = {"__name__": "__main__"}
for kind, body in json.loads(sys.argv[1]):
    if kind == "python":
        exec(body, names)
    elif subprocess.run(["bash", "-ec", body]).returncode:
        sys.exit(f"failed: {body}")
"""


@pytest.mark.slow
@pytest.mark.parametrize("page", SHELL_PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_run(page: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    for name in ("pyharmony", "examples", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    command = f'pyharmony() {{ "{sys.executable}" -m pyharmony "$@"; }}\n'
    blocks: list[tuple[str, str]] = []
    for kind, body in re.findall(r"^```(python|sh)\n(.*?)^```$", page.read_text(), re.M | re.S):
        has_python = any(kind == "python" for kind, _ in blocks)
        if kind == "python" and (has_python or "import " in body):  # what comes before is a sketch
            blocks.append((kind, body))
        elif "pyharmony blend" in body:
            blocks.append((kind, command + body))
    while blocks and blocks[-1][0] == "python":  # test_docs.py runs it
        blocks.pop()
    assert blocks
    words = [sys.executable, "-c", RUN, json.dumps(blocks)]
    process = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr


def commands_for_newcomers() -> list[tuple[str, list[str]]]:
    """Returns the commands of pyharmony in the pages that newcomers follow in a clone, as (page, words)."""
    commands = []
    for name in ("README.md", "docs/tutorial.md", "docs/gallery.md"):
        text = (ROOT / name).read_text()
        values: dict[str, str] = {}
        for block in re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S):
            for line in block.replace("\\\n", " ").splitlines():
                values |= dict(re.findall(r"(\w+)=([\w/.-]+)", line)) if re.match(r"\w+=", line) else {}
                words = shlex.split(Template(line).safe_substitute(values), comments=True)
                if words and words[0] in ("pyharmony", ".venv/bin/pyharmony"):
                    commands.append((name, words[1:]))
    return commands


def test_the_commands_for_newcomers_have_their_photographs_in_the_clone() -> None:
    """Each is accepted as it stands, opens files of the clone, and writes over none."""
    root, outputs = typer.main.get_command(app), []
    commands = commands_for_newcomers()
    assert len(commands) >= 20
    for page, words in commands:
        if "X,Y" in words:  # on photographs of one's own
            assert words[1:3] == ["me.jpg", "beach.jpg"]
            continue
        root.commands[words[0]].make_context(words[0], words[1:])  # type: ignore[attr-defined]
        files = [word for word in words if re.search(r"\.(jpg|png)$", word)]
        outputs += [words[i + 1] for i, word in enumerate(words) if word in ("-o", "--show")]
        missing = [file for file in files if file not in outputs and not (ROOT / file).is_file()]
        assert not missing, f"{page}: {' '.join(words)}: {missing}"
    assert not [name for name in outputs if (ROOT / name).exists()]


def test_commands_write_files_of_their_own() -> None:
    """Who follows several pages in one folder meets no file that is there already."""
    outputs: dict[str, str] = {}
    for page in PAGES:
        for block in re.findall(r"^```sh\n(.*?)^```$", page.read_text(), re.M | re.S):
            for line in block.replace("\\\n", " ").splitlines():
                for name in re.findall(r"pyharmony .* (?:-o|--show) ([\w./-]+\.\w+)", line):
                    assert name not in outputs or "--overwrite" in line, f"{page.name}, {outputs[name]}: {name}"
                    outputs[name] = page.name
    assert len(outputs) > 60


def test_photographs_of_the_gallery_are_used_credited_and_small() -> None:
    photos = sorted((ROOT / "docs" / "images" / "photos").iterdir())
    names_in_commands = {
        Path(word).name for _, words in commands_for_newcomers() for word in words if "docs/images/photos/" in word
    }
    assert {photo.name for photo in photos} == names_in_commands
    credited = (ROOT / "docs" / "images" / "LICENSES.md").read_text()
    assert [photo.name for photo in photos if f"`{photo.name}`" not in credited and "_mask" not in photo.name] == []
    assert sum(photo.stat().st_size for photo in photos) < 1_600_000


@pytest.mark.parametrize(("folder", "page"), [("gallery", "gallery.md"), ("which", "which-blend.md")])
def test_pictures_of_photographs_are_credited_and_small(folder: str, page: str) -> None:
    """Each row is made by examples/gallery.py, shown, and has a line that says whose photographs it holds."""
    images = ROOT / "docs" / "images"
    names = {path.name for path in (images / folder).iterdir()}
    pages = (ROOT / "README.md").read_text() + (ROOT / "docs" / page).read_text()
    names_of_pictures = set(re.findall(r"\((?:docs/)?images/([\w/.-]+\.(?:jpg|png))", pages))
    assert {name for name in names_of_pictures if name.startswith(f"{folder}/")} == {
        f"{folder}/{name}" for name in names
    }
    assert set(re.findall(rf"\({folder}/([\w.]+)\)", (images / "LICENSES.md").read_text())) == names
    script = (ROOT / "examples" / "gallery.py").read_text()
    assert set(re.findall(r'"(\w+)": ', script)) >= {name.removesuffix(".jpg") for name in names}
    assert sum((images / name).stat().st_size for name in names_of_pictures) < 700_000


def test_large_pictures_are_made_by_the_commands_beside_them() -> None:
    """Each is written by docs/make_images.py, which runs the command that the page shows, and is credited."""
    images, script = ROOT / "docs" / "images", load_script("docs/make_images.py")
    names = {path.stem for path in (images / "pairs").iterdir()}
    gallery = (ROOT / "docs" / "gallery.md").read_text()
    assert set(script.PAIRS) == set(script.commands()) == names
    assert set(re.findall(r"\(images/pairs/(\w+)\.webp\)", gallery)) == names
    credited = (images / "LICENSES.md").read_text()
    assert set(re.findall(r"\(pairs/(\w+)\.webp\)", credited)) == names
    for section in gallery.split("\n## ")[1].split("\n### ")[1:]:
        assert section.count("(images/pairs/") == section.count("```sh") == 2, section.splitlines()[0]
    for name, pair in script.PAIRS.items():
        words = {Path(word).stem for word in script.commands()[name].split()}
        assert {pair.src, pair.dst} <= words, name
        path = images / "pairs" / f"{name}.webp"
        assert Image.open(path).width >= 1100 and path.stat().st_size < 300_000, name
