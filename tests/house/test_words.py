"""Tests of what interfaces say in place of the library: by the code and the argument of an error, never by its text."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyharmony
from pyharmony import errors, io
from pyharmony._calls import BLEND, FIELDS, FLAGS, HARMONIZE, Style
from pyharmony.errors import ArgumentError, DecodeError, PyHarmonyWarning, Reason, UnchangedWarning
from pyharmony.runs._jobs import failures
from pyharmony.runs._jobs.failures import Words
from pyharmony.runs._jobs.task import task_of

from ..shared import nodes_of, tree_of

PACKAGE = Path(pyharmony.__file__).parent
INTERFACES = ("cli", "runs/_jobs", "serve")
SCRIPTS = sorted((PACKAGE / "serve" / "static").glob("**/*.js"))
#: What takes a text apart, or looks into it.
PARTING = {
    "sub", "subn", "match", "fullmatch", "search", "findall", "finditer", "split", "rsplit", "partition", "rpartition",
    "startswith", "endswith", "removeprefix", "removesuffix", "replace", "find", "index", "count", "translate",
}  # fmt: skip
MESSAGE_WORDS = {"error", "failure", "warning", "exception", "reason", "message"}


def of_interfaces() -> list[Path]:
    return [path for folder in INTERFACES for path in sorted((PACKAGE / folder).glob("*.py"))]


def is_text_of_an_error(node: ast.AST) -> bool:
    """Whether a part of an expression is the sentence of an error, a warning or a reason."""
    for one in ast.walk(node):
        if isinstance(one, ast.Call) and isinstance(one.func, ast.Name) and one.func.id == "str":
            names = {inner.id for argument in one.args for inner in ast.walk(argument) if isinstance(inner, ast.Name)}
            if names & MESSAGE_WORDS:
                return True
        if isinstance(one, ast.Attribute) and one.attr in ("reason", "reasons", "hint"):
            return True
        if isinstance(one, ast.Name) and one.id in ("reason", "reasons"):
            return True
    return False


def takes_texts_apart(tree: ast.AST) -> Iterator[int]:
    """Yields the lines that take the sentence of an error, a warning or a reason apart."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in PARTING:
            if any(is_text_of_an_error(part) for part in (node.func.value, *node.args)):
                yield node.lineno
        elif isinstance(node, ast.Compare) and any(isinstance(one, ast.In | ast.NotIn | ast.Eq) for one in node.ops):
            sides = (node.left, *node.comparators)
            texts = [x for x in sides if isinstance(x, ast.Constant) and isinstance(x.value, str) and x.value]
            if texts and any(is_text_of_an_error(side) for side in sides):
                yield node.lineno


@pytest.mark.house
def test_no_interface_takes_a_sentence_of_the_library_apart() -> None:
    sentences = [
        f"{path.relative_to(PACKAGE)}:{line}" for path in of_interfaces() for line in takes_texts_apart(tree_of(path))
    ]
    assert sentences == []
    for text in ('re.sub("a", "b", str(error))', 'str(failure).partition(":")', '"x" in info.reason'):
        assert list(takes_texts_apart(ast.parse(text))) == [1], text


@pytest.mark.house
def test_the_page_takes_no_sentence_apart() -> None:
    sentence = r"\b(message|reasons?|warnings?)\b"
    parted = re.compile(sentence + r"[\w.?()\[\]]*\.(match|includes|startsWith|search|replace)\(")
    pattern = re.compile(r"\.test\([^)]*" + sentence)
    for text in ('error.message.includes("mask")', "place.reason?.match(x)", "x.test(one.reason)"):
        assert parted.search(text) or pattern.search(text), text
    sentences = [
        f"{path.name}: {line.strip()}"
        for path in SCRIPTS
        for line in path.read_text().splitlines()
        if parted.search(line) or pattern.search(line)
    ]
    assert SCRIPTS and sentences == []


def codes_of_the_library() -> set[str]:
    """Returns every code that the library gives: those of classes, of errors and warnings, and of reasons."""
    codes = {one.code for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors._Coded)}
    for path in PACKAGE.glob("**/*.py"):
        for node in nodes_of(path):
            nodes = []
            if isinstance(node, ast.Call):
                nodes = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
                if getattr(node.func, "id", "") == "Reason" and node.args:
                    nodes.append(node.args[0])
                if getattr(node.func, "id", "") == "_refused":
                    nodes += node.args[4:]
            elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "code":
                nodes = [node.value]
            constants = [one for value in nodes for one in ast.walk(value) if isinstance(one, ast.Constant)]
            codes |= {one.value for one in constants if isinstance(one.value, str)}
    return codes


def words_of(style: Style) -> Words:
    kind = BLEND if style is FLAGS else HARMONIZE
    return task_of(kind, dict.fromkeys(kind.inputs, "a.png"), "b.png", {}, style).words


def tables() -> dict[str, dict[str, dict[str, str]]]:
    """Returns what each interface says and advises, by code."""
    words_of_tables = {"every": {"texts": failures._TEXTS, "hints": failures._HINTS}}
    for path in sorted((PACKAGE / "cli").glob("*.py")):
        module = importlib.import_module(f"pyharmony.cli.{path.stem}") if path.stem != "__init__" else None
        own = {key: getattr(module, f"_{key.upper()}", {}) for key in ("texts", "hints")}
        if any(own.values()):
            words_of_tables[path.stem] = own
    for name, style in (("commands of _jobs", FLAGS), ("service", FIELDS)):
        words = words_of(style)
        words_of_tables[name] = {"texts": dict(words.texts), "hints": dict(words.hints)}
    return words_of_tables


INTERFACES_WITH_WORDS = (
    "every", "merge", "compose", "evaluate", "place", "segment", "serve", "train", "commands of _jobs", "service"
)  # fmt: skip
#: What some of them say of an error `name: library; python` of a code.
EXPECTED_TEXTS = {
    ("every", "wrong-size"): "name: 3 x 4 pixels, expected 5 x 6; python",
    ("every", "original-unknown"): "name: library",
    ("merge", "left-out"): "name: photos[1] was left out: why; python",
    ("compose", "another-size"): "name: library; --scale sets another size",
    ("train", "no-checkpoint"): "name: runs is not a checkpoint folder, expected auto or another; python",
    ("commands of _jobs", "nothing-fixed"): "name: covers all of a.png, and with --color-weight 0 the colours are not "
    "determined; leave pixels at zero or pass --color-weight above 0",
    ("commands of _jobs", "outside"): "name: the object lies outside a.png (8 x 9); python",
    ("service", "mask-off-alpha"): "name: a.png is zero wherever dst is not transparent; python",
    ("service", "sizes-differ"): "name: library; pass at [x, y], the position of its first pixel",
}
DETAILS = {
    "given": "3 x 4", "expected": "5 x 6", "able": "PNG", "photo": "photos[1]", "base": "photos[0]", "why": "why",
    "host": "example.org", "start": "runs", "accepted": "another", "kinds": "coco", "image": "dst", "mask": "mask",
    "size": "8 x 9",
}  # fmt: skip


@pytest.mark.parametrize("interface", INTERFACES_WITH_WORDS)
def test_what_an_interface_says_of_each_code(interface: str) -> None:
    """Its text and its hint stand in place of the library's, with the details that they name."""
    own, every = tables()[interface], tables()["every"]
    files = words_of(FLAGS if interface == "commands of _jobs" else FIELDS).files
    words = Words(files=files, **own) if interface in ("commands of _jobs", "service") else Words(**own)
    details = {key: words.files.get(value, value) for key, value in DETAILS.items()}
    for code in {*own["texts"], *own["hints"]}:
        text, hint = (own[part].get(code, every[part].get(code)) for part in ("texts", "hints"))
        says = f"name: {'library' if text is None else text.format(**details)}"
        hint = "python" if hint is None else hint.format(**details)
        says += f"; {hint}" if hint else ""
        assert words.of(ArgumentError("name: library", code=code, hint="python", **DETAILS)) == says, code
        assert EXPECTED_TEXTS.get((interface, code), says) == says
        if text is None:
            coded = ArgumentError("name: library", code="other", hint=Reason(code, "python"), **DETAILS)
            assert words.of(coded) == says, code


def test_every_table_is_tested_and_every_code_of_one_is_given_by_the_library() -> None:
    every_table = tables()
    assert set(every_table) == set(INTERFACES_WITH_WORDS)
    assert all(code in {**every_table[name]["texts"], **every_table[name]["hints"]} for name, code in EXPECTED_TEXTS)
    page = (PACKAGE / "serve" / "static" / "strings.js").read_text()
    reasons = re.findall(r'^  "([a-z-]+)": ', page[page.index("const REASONS = {") :], re.M)
    assert len(reasons) >= 10
    codes = {code for own in every_table.values() for table in own.values() for code in table} | set(reasons)
    assert codes <= codes_of_the_library(), codes - codes_of_the_library()


def test_arguments_go_by_options_and_files() -> None:
    words = Words(
        {"points": "--points", "scale": "--scale", "path": ""}, {"subjects[1]": "cat.png", "image": "dog.png"}
    )
    assert words.of(ArgumentError("scale: 9, expected 1")) == "--scale: 9, expected 1"
    assert words.of(ArgumentError("points[3]: outside")) == "--points: outside"
    assert words.of(ArgumentError("subjects[1]: points[0]: outside")) == "--points: outside"
    assert words.of(ArgumentError("subjects[1]: nothing is seen")) == "cat.png: nothing is seen"
    assert words.of(ArgumentError("other: 9")) == "other: 9"
    assert words.of(errors.DataError("path: /x: no data set")) == "/x: no data set"
    assert words.of(PyHarmonyWarning("just a sentence")) == "just a sentence"


def test_a_file_that_is_no_image_is_named_once() -> None:
    with pytest.raises(DecodeError) as error:
        io.read(b"no image", "image")
    finding = error.value.details["finding"]
    assert str(error.value) == f"image: the 8 bytes given {finding}"
    assert Words(files={"image": "dog.png"}).of(error.value) == f"dog.png {finding}"
    assert Words({"image": "--mask"}).of(error.value) == f"--mask: the 8 bytes given {finding}"


def test_a_reason_inside_a_message_is_said_by_its_own_code() -> None:
    reason = Reason("outside", "the object lies outside dst (8 x 9)", image="dst", size="8 x 9")
    words = Words(files={"dst": "sea.png"}, texts={"outside": "the object lies outside {image} ({size})"})
    warning = UnchangedWarning.because("nothing was blended: ", reason)
    assert str(warning) == "nothing was blended: the object lies outside dst (8 x 9)" and warning.code == "outside"
    assert words.of(warning) == "nothing was blended: the object lies outside sea.png (8 x 9)"
    assert words.reason(reason.within("no shadow: ")) == "no shadow: the object lies outside sea.png (8 x 9)"


def test_reasons_of_calls_have_codes() -> None:
    image, mask = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)
    calls: list[Any] = [
        lambda: pyharmony.blend.alpha(image, image, mask, return_info=True),
        lambda: pyharmony.harmonize(image, mask, method="mkl", return_info=True),
        lambda: pyharmony.shadow(image, mask, return_info=True),
    ]
    for call in calls:
        with pytest.warns(UnchangedWarning, match="mask is zero everywhere"):
            assert call()[1].reason.code == "mask-empty"
    answer = pyharmony.segment(image, points=(3, 3), method="grabcut")
    assert answer.reason.code == "one-colour" and str(answer.reason) == answer.reason
