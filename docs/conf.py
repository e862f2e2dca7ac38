"""Configuration of the documentation site: `make docs` builds it into artifacts/site.

The sources of the site are the Markdown pages of the repository, so that every link leads to the same place on the
site and in the repository. Five things are added while a page is read: the pages named in the first column of the
tables of docs/README.md are the contents of the site; those of docs/api.md, docs/models.md and docs/ops.md are below
these pages; a page of docs/api is followed by the docstrings of its module; one of docs/models by the weights, settings
and layers of its network; and the page of the command line by the options of every command. Code such as
`blend.poisson` becomes a link where it names something public. A public name that has no docstring, and one that a page
misspells, fail the build.
"""

from __future__ import annotations

import importlib
import inspect
import re
import runpy
import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.errors import PycodeError
from sphinx.pycode import ModuleAnalyzer
from sphinx.util import logging
from sphinx.util.inspect import TypeAliasForwardRef
from sphinx.util.nodes import make_refnode

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import pyharmony  # noqa: E402
import pyharmony.typing  # noqa: E402
from pyharmony import _rooms  # noqa: E402

logger = logging.getLogger(__name__)

project = "pyharmony"
author = "the authors of pyharmony"
project_copyright = author
version = release = pyharmony.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
root_doc = "README"
include_patterns = [
    "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "RELEASING.md", "SECURITY.md", "CODE_OF_CONDUCT.md", "docs/**.md",
    "benchmarks/README.md", "benchmarks/results/*.md", "examples/second_project/README.md",
    "pyharmony/cli/images/LICENSES.md",
]  # fmt: skip
exclude_patterns = [
    ".*", "artifacts", "build", "csrc", "shared", "tests", "tools", "**/__pycache__", "*.egg-info",
]  # fmt: skip
# `make docs-links` asks for the pages of others; those of the reader's own machine answer only there.
linkcheck_ignore = [r"http://127\.0\.0\.1", r"http://localhost"]
linkcheck_timeout = 20
linkcheck_anchors = False
nitpicky = True
# Names of other packages, parameters and expressions are set as code; ours have to exist.
nitpick_ignore_regex = [
    (r"py:.*", r"(?!pyharmony\b).*"),
    # Type variables, and private classes that stand in a signature.
    (r"py:.*", r"pyharmony\.(.*\.)?(\w+T|_\w+|Copies|_tiff\.Entry|Layer|LayerPlan|PlacedSubject|Pass|scores\.Weights)"),
]
# A page that begins with its second level; two rooms that have a `Method` of their own.
suppress_warnings = ["myst.header", "ref.python"]

myst_heading_anchors = 4
default_role = "py:obj"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
# `Picture` is an array in `pyharmony.learn.evaluation`.
autodoc_type_aliases = {name: f"pyharmony.typing.{name}" for name in pyharmony.typing.__all__ if name != "Picture"}
# An alias inside a union is shown by its repr.
TypeAliasForwardRef.__repr__ = lambda self: self.name
autosummary_generate = False
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Attributes", "params_style")]
napoleon_use_param = False  # so that several arguments with one text stay together
napoleon_use_rtype = False
python_use_unqualified_type_names = True
maximum_signature_line_length = 90
toc_object_entries_show_parents = "hide"
add_module_names = False

html_theme = "furo"
html_title = f"pyharmony {version}"
html_copy_source = False
html_show_sphinx = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
pygments_style = "default"
pygments_dark_style = "github-dark"
html_theme_options: dict[str, Any] = {
    "light_css_variables": {"color-brand-primary": "#1a5fb4", "color-brand-content": "#1a5fb4"},
    "dark_css_variables": {"color-brand-primary": "#8ab8ff", "color-brand-content": "#8ab8ff"},
}

#: Pages that others are below, by the first column of their tables.
PARENTS = ("docs/api", "docs/models", "docs/ops")
_ROW = re.compile(r"^\| \[([^\]]+)\]\(([^)#]+)\.md\)", re.M)


def contents(text: str, folder: str, caption: str = "") -> str:
    """Return a table of contents of the pages that the tables of a text name, as the site's sidebar shows it."""
    pages = "\n".join(
        f"{title.replace('`', '')} </{_normal(f'{folder}/{page}')}>" for title, page in _ROW.findall(text)
    )
    options = ":hidden:\n" + (f":caption: {caption}\n" if caption else "")
    return f"\n\n```{{toctree}}\n{options}\n{pages}\n```\n"


def _normal(path: str) -> str:
    return (ROOT / path).resolve().relative_to(ROOT).as_posix()


def add_contents(app: Any, docname: str, source: list[str]) -> None:
    if docname == root_doc:
        source[0] += "\n\n```{toctree}\n:hidden:\n\ndocs/README\n```\n"
        app.env.note_dependency(ROOT / "docs" / "README.md")
        for part in re.split(r"(?m)^## ", (ROOT / "docs" / "README.md").read_text())[1:]:
            source[0] += contents(part, "docs", part.partition("\n")[0])
    elif docname in PARENTS:
        source[0] += contents(source[0], "docs")
    elif docname.startswith("docs/api/"):
        source[0] += api_of(docname.rpartition("/")[2])
    elif docname == "docs/command-line":
        source[0] += tool("command_reference")["reference"]()
    elif docname.startswith("docs/models/"):
        source[0] += tool("model_pages")["reference"](docname.rpartition("/")[2])


def tool(name: str) -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "tools" / f"{name}.py"))


def api_of(page: str) -> str:
    """Return the reference of a module: its docstring, a table of its names, and each of them."""
    path = page if page == "pyharmony" else _rooms.current(f"pyharmony.{page}")
    lines = [f".. automodule:: {path}", "   :no-members:", "", f".. currentmodule:: {path}", ""]
    names = public_names(path)
    if names:
        lines += [".. autosummary::", "   :nosignatures:", "", *(f"   {name}" for name in names), ""]
    for name in names:
        kind, thing = kind_of(path, name), getattr(importlib.import_module(path), name)
        lines.append(f".. auto{kind}:: {path}.{name}")
        if kind == "class":
            lines += ["   :members:", *["   :show-inheritance:"][: public_bases(thing.__bases__) != [object]]]
        elif kind == "data":
            lines.append("   :no-value:")
        lines.append("")
    if not names:  # a room of modules
        folder = ROOT.joinpath(*path.split("."))
        for module in sorted(file.stem for file in folder.glob("[a-z]*.py")):
            lines += [f".. automodule:: {path}.{module}", "   :members:", ""]
    return "\n\n```{eval-rst}\n" + "\n".join(lines) + "\n```\n"


def kind_of(path: str, name: str) -> str:
    """Return which directive describes a name; the aliases of `pyharmony.typing` are data."""
    thing = getattr(importlib.import_module(path), name)
    if path == "pyharmony.typing" and getattr(thing, "__module__", "") != path:
        return "data"
    if inspect.isclass(thing):
        return "class"
    return "function" if inspect.isroutine(thing) else "data"


def public_names(path: str) -> list[str]:
    """Return the names that a module makes public, without those of modules and those that begin with an underscore."""
    module = importlib.import_module(path)
    own = [name for name, thing in vars(module).items() if inspect.isclass(thing) and thing.__module__ == path]
    names = [name for name in getattr(module, "__all__", own) if not name.startswith("_")]
    return [name for name in names if not inspect.ismodule(getattr(module, name))]


def members(path: str, name: str) -> Iterator[str]:
    """Yield a name, and, where it is a class, its public methods and properties that its docstring does not list."""
    yield f"{path}.{name}"
    thing = getattr(importlib.import_module(path), name)
    if kind_of(path, name) == "class" and path != "pyharmony.typing":  # its protocols name what others have
        texts = "\n".join(base.__doc__ or "" for base in thing.__mro__)
        listed = set(re.findall(r"\w+", " ".join(re.findall(r"^ +([\w, ]+):", texts, re.M))))
        for member, value in vars(thing).items():
            described = isinstance(value, property | staticmethod | classmethod) or inspect.isfunction(value)
            if described and not member.startswith("_") and member not in listed:
                yield f"{path}.{name}.{member}"


def modules() -> list[str]:
    """Return the modules that have a page."""
    pages = (page.stem for page in sorted((ROOT / "docs" / "api").glob("*.md")))
    return [page if page == "pyharmony" else _rooms.current(f"pyharmony.{page}") for page in pages]


def check_documented(app: Any, env: Any) -> None:
    """Warn of each public name that the site does not describe, and of each public module without a page."""
    described = env.domains["py"].objects
    for path in modules():
        for name in public_names(path):
            for member in members(path, name):
                if member not in described or member in undescribed:
                    logger.warning("%s is public and has no docstring", member)
    for name in pyharmony._SUBPACKAGES:
        if _rooms.current(f"pyharmony.{name}") not in modules():
            logger.warning("docs/api/%s.md is missing", name)


#: Values that no comment describes.
undescribed: set[str] = set()


def prepare_docstring(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Find the comment `#:` of a value that is imported from another module, and escape bars, which RST reserves."""
    if what == "data" and lines == (type(thing).__doc__ or "").expandtabs().splitlines()[: len(lines)] or not lines:
        lines[:] = comment_of(*name.rpartition(".")[::2])
        if not lines:
            undescribed.add(name)
    for i, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            lines[i] = "``".join(
                part if inside % 2 else part.replace("|", r"\|") for inside, part in enumerate(line.split("``"))
            )


def comment_of(path: str, name: str) -> list[str]:
    for module in [path, *(module for module in sys.modules if module.startswith(f"{path}."))]:
        try:
            comments = ModuleAnalyzer.for_module(module).find_attr_docs()
        except PycodeError:  # compiled
            continue
        if ("", name) in comments:
            return list(comments["", name])
    return []


_NAME = re.compile(r"(?:ph\.|pyharmony\.)?(?!pyharmony\b)([A-Za-z_]\w*(?:\.\w+)*)(?:\(.*\))?", re.S)


def link_names(app: Any, doctree: nodes.document, docname: str) -> None:
    """Make links of the code that names something public; warn of what looks so and is not there."""
    objects = app.env.domains["py"].objects
    for literal in list(doctree.findall(nodes.literal)):
        match = _NAME.fullmatch(literal.astext())
        if not match or not _free(literal):
            continue
        qualified = _rooms.current(f"pyharmony.{match[1]}")
        if qualified in objects and ("." in match[1] or literal.astext().startswith(("ph.", "pyharmony."))):
            place = objects[qualified]
            link = make_refnode(app.builder, docname, place.docname, place.node_id, literal.deepcopy(), qualified)
            literal.replace_self(link)
        elif not _exists(match[1].split("."), literal.astext().startswith(("ph.", "pyharmony."))):
            logger.warning("%s: there is no such name", literal.astext(), location=literal)


def _exists(names: list[str], qualified: bool) -> bool:
    """Return False for a name of pyharmony that it does not have, such as `blend.possion`.

    A name that ends like a file is one, and `data.root` is a setting of a run.
    """
    if names[-1] in ("csv", "json", "md", "py", "safetensors", "toml"):
        return True
    if not qualified and (len(names) == 1 or names[0] == "data" or names[0] not in pyharmony._SUBPACKAGES):
        return True
    thing: Any = pyharmony
    for name in names:
        if inspect.isclass(thing) and name in thing.__annotations__:
            return True
        if inspect.ismodule(thing) and not hasattr(thing, name) and find_spec(f"{thing.__name__}.{name}"):
            importlib.import_module(f"{thing.__name__}.{name}")
        if not hasattr(thing, name):
            return False
        thing = getattr(thing, name)
    return True


def _free(node: nodes.Node) -> bool:
    """Return whether a node is neither in a link nor in a heading or signature."""
    while node.parent is not None:
        node = node.parent
        if isinstance(node, nodes.reference | nodes.title):
            return False
    return True


def write_index(app: Any, error: Exception | None) -> None:
    """Make the gallery the front page."""
    if error is None and app.builder.name == "html":
        (Path(app.outdir) / "index.html").write_text(
            '<!doctype html><meta charset="utf-8"><title>pyharmony</title>'
            '<meta http-equiv="refresh" content="0; url=docs/gallery.html"><a href="docs/gallery.html">pyharmony</a>\n'
        )


def name_types(app: Any, thing: Any, is_bound: bool) -> None:
    """Show the types of a signature that was put together by the names that its source has, such as `ImageLike`."""
    signature = getattr(thing, "__signature__", None)
    if inspect.isfunction(thing) and signature is not None:
        thing.__annotations__ = {name: p.annotation for name, p in signature.parameters.items()}
        thing.__annotations__["return"] = signature.return_annotation


def public_bases(bases: Iterable[type]) -> list[type]:
    """Returns the bases, and in place of each that its room does not show the bases of that one."""

    def is_shown(base: type) -> bool:
        room = ".".join(base.__module__.split(".")[:2])
        if not room.startswith("pyharmony."):
            return True
        return "._" not in room and hasattr(importlib.import_module(room), base.__name__)

    return [shown for base in bases for shown in ((base,) if is_shown(base) else base.__bases__)]


def show_public_bases(app: Any, name: str, thing: type, options: Any, bases: list[type]) -> None:
    bases[:] = public_bases(bases)


def setup(app: Any) -> None:
    app.connect("autodoc-before-process-signature", name_types)
    app.connect("autodoc-process-bases", show_public_bases)
    app.connect("source-read", add_contents)
    app.connect("autodoc-process-docstring", prepare_docstring)
    app.connect("env-check-consistency", check_documented)
    app.connect("doctree-resolved", link_names)
    app.connect("build-finished", write_index)
