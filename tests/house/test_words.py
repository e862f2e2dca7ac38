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
from pyharmony._jobs import failures
from pyharmony._jobs.failures import Words
from pyharmony._jobs.task import task_of
from pyharmony.errors import ArgumentError, DecodeError, PyHarmonyWarning, Reason, UnchangedWarning

from .shared import nodes_of, tree_of

PACKAGE = Path(pyharmony.__file__).parent
INTERFACES = ("cli", "_jobs", "server")
SCRIPTS = sorted((PACKAGE / "server" / "static").glob("**/*.js"))
#: What takes a text apart, or looks into it.
PARTING = {
    "sub", "subn", "match", "fullmatch", "search", "findall", "finditer", "split", "rsplit", "partition", "rpartition",
    "startswith", "endswith", "removeprefix", "removesuffix", "replace", "find", "index", "count", "translate",
}  # fmt: skip
SPOKEN = {"error", "failure", "warning", "exception", "reason", "message"}


def of_interfaces() -> list[Path]:
    return [path for folder in INTERFACES for path in sorted((PACKAGE / folder).glob("*.py"))]


def is_text_of_an_error(node: ast.AST) -> bool:
    """Whether a part of an expression is the sentence of an error, a warning or a reason."""
    for one in ast.walk(node):
        if isinstance(one, ast.Call) and isinstance(one.func, ast.Name) and one.func.id == "str":
            names = {inner.id for argument in one.args for inner in ast.walk(argument) if isinstance(inner, ast.Name)}
            if names & SPOKEN:
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
    found = [
        f"{path.relative_to(PACKAGE)}:{line}" for path in of_interfaces() for line in takes_texts_apart(tree_of(path))
    ]
    assert found == []
    for text in ('re.sub("a", "b", str(error))', 'str(failure).partition(":")', '"x" in info.reason'):
        assert list(takes_texts_apart(ast.parse(text))) == [1], text


@pytest.mark.house
def test_the_page_takes_no_sentence_apart() -> None:
    sentence = r"\b(message|reasons?|warnings?)\b"
    parted = re.compile(sentence + r"[\w.?()\[\]]*\.(match|includes|startsWith|search|replace)\(")
    tested = re.compile(r"\.test\([^)]*" + sentence)
    for text in ('error.message.includes("mask")', "place.reason?.match(x)", "x.test(one.reason)"):
        assert parted.search(text) or tested.search(text), text
    found = [
        f"{path.name}: {line.strip()}"
        for path in SCRIPTS
        for line in path.read_text().splitlines()
        if parted.search(line) or tested.search(line)
    ]
    assert SCRIPTS and found == []


def codes_of_the_library() -> set[str]:
    """Returns every code that the library gives: those of classes, of errors and warnings, and of reasons."""
    found = {one.code for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors._Coded)}
    for path in PACKAGE.glob("**/*.py"):
        for node in nodes_of(path):
            given = []
            if isinstance(node, ast.Call):
                given = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
                if getattr(node.func, "id", "") == "Reason" and node.args:
                    given.append(node.args[0])
                if getattr(node.func, "id", "") == "_refused":
                    given += node.args[4:]
            elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "code":
                given = [node.value]
            constants = [one for value in given for one in ast.walk(value) if isinstance(one, ast.Constant)]
            found |= {one.value for one in constants if isinstance(one.value, str)}
    return found


def words_of(style: Style) -> Words:
    kind = BLEND if style is FLAGS else HARMONIZE
    return task_of(kind, dict.fromkeys(kind.inputs, "a.png"), "b.png", {}, style).words


def tables() -> dict[str, dict[str, dict[str, str]]]:
    """Returns what each interface says and advises, by code."""
    found = {"every": {"texts": failures._TEXTS, "hints": failures._HINTS}}
    for path in sorted((PACKAGE / "cli").glob("*.py")):
        module = importlib.import_module(f"pyharmony.cli.{path.stem}") if path.stem != "__init__" else None
        own = {key: getattr(module, f"_{key.upper()}", {}) for key in ("texts", "hints")}
        if any(own.values()):
            found[path.stem] = own
    for name, style in (("commands of _jobs", FLAGS), ("service", FIELDS)):
        words = words_of(style)
        found[name] = {"texts": dict(words.texts), "hints": dict(words.hints)}
    return found


#: What each interface says of an error `name: library; python` of each code, where it says something of its own.
SAID = {
    "every": {
        "wrong-size": "name: 3 x 4 pixels, expected 5 x 6; python",
        "format-lacks-alpha": "name: library; use PNG",
        "format-lacks-depth": "name: library; use PNG",
    },
    "merge": {
        "left-out": "name: photos[1] was left out: why; python",
        "other-place": "name: it does not show the scene of photos[0], why; python",
        "channels-differ": "name: 3 x 4 channels, expected 5 x 6 as in photos[0], not counting alpha; "
        "python",
    },
    "compose": {
        "no-place-sought": "name: every place is given by --at, so none is estimated; python",
        "one-place": "name: several places need one subject without --at, whose place is estimated; python",
        "another-place": "name: library; --at sets another place, and -k returns more of them",
        "say-who": "name: library; --points or --box selects the person",
        "say-what": "name: library; --points or --box selects the object",
        "another-size": "name: library; --scale sets another size",
        "another-light": "name: library; another --shadow-azimuth, or a --shadow-tip, moves it into the image",
    },
    "evaluate": {"unknown-kind": "name: library"},
    "place": {
        "no-mask": "name: not given, and SUBJECT has no transparency; "
        "`pyharmony segment --crop` writes a cut-out with transparency",
    },
    "segment": {"nothing-pointed-at": "name: library; expected --points, --scribble, --box or --mask"},
    "serve": {
        "host-needs-token": "name: 'example.org' is reachable from other machines and needs a token: "
        "pass --token-file; python",
        "hosts-need-token": "name: --allow-host needs --token-file: other machines can reach the service by that name; "
        "python",
    },
    "train": {
        "no-checkpoint": "name: runs is not a checkpoint folder, expected auto or another; python",
        "no-data": "name: missing, expected a folder of data; python",
        "holds-a-run": "name: library; --resume auto continues it, or pass another folder",
        "unknown-kind": "name: library; pass --set data.kind=NAME, one of coco",
        "not-finite": "name: library; a smaller step.lr, or --set step.dtype=float32, may help",
    },
    "commands of _jobs": {
        "reference-solves-all": "name: True with --reference; GP-GAN's code solves the whole image, pass "
        "--no-preserve-background; python",
        "nothing-fixed": "name: covers all of a.png, and with --color-weight 0 the colours are not determined; "
        "leave pixels at zero or pass --color-weight above 0",
        "cautious-unguarded": "name: True with --no-guard, which applies every change; python",
        "mask-empty": "name: a.png is zero everywhere; python",
        "alpha-empty": "name: the alpha of a.png is zero everywhere; python",
        "mask-off-alpha": "name: a.png is zero wherever a.png is not transparent; python",
        "generator-blends": "name: the blending generator, and --unsupervised needs the one from noise; python",
        "generator-from-noise": "name: the generator from noise, and --supervised needs the blending; python",
        "outside": "name: the object lies outside a.png (8 x 9); python",
        "sizes-differ": "name: library; pass --at X,Y, the position of its first pixel",
        "looks-erased": "name: library; mark unknown pixels: alpha 0, or black in --dst-valid",
        "hold-base": "name: library; --base copy-paste with a --color-weight near 1 clips less, and images of floats "
        "are not clipped",
        "hold-colours": "name: library; a larger --color-weight clips less, and images of floats are not clipped",
        "too-many-pixels": "name: library; --max-pixels allows more",
    },
    "service": {
        "reference-solves-all": "name: True with reference; GP-GAN's code solves the whole image, pass "
        "preserve_background false; python",
        "nothing-fixed": "name: covers all of dst, and with color_weight 0 the colours are not determined; "
        "leave pixels at zero or pass color_weight above 0",
        "cautious-unguarded": "name: True with guard false, which applies every change; python",
        "mask-empty": "name: a.png is zero everywhere; python",
        "alpha-empty": "name: the alpha of dst is zero everywhere; python",
        "mask-off-alpha": "name: a.png is zero wherever dst is not transparent; python",
        "generator-blends": "name: the blending generator, and supervised false needs the one from noise; python",
        "generator-from-noise": "name: the generator from noise, and supervised true needs the blending; python",
        "outside": "name: the object lies outside dst (8 x 9); python",
        "sizes-differ": "name: library; pass at [x, y], the position of its first pixel",
        "looks-erased": "name: library; mark unknown pixels: alpha 0, or black in dst_valid",
        "hold-base": "name: library; base copy-paste with a color_weight near 1 clips less, and images of floats are "
        "not clipped",
        "hold-colours": "name: library; a larger color_weight clips less, and images of floats are not clipped",
    },
}  # fmt: skip
DETAILS = {
    "given": "3 x 4", "expected": "5 x 6", "able": "PNG", "photo": "photos[1]", "base": "photos[0]", "why": "why",
    "host": "example.org", "start": "runs", "accepted": "another", "kinds": "coco", "image": "dst", "mask": "mask",
    "size": "8 x 9",
}  # fmt: skip


@pytest.mark.parametrize("interface", SAID)
def test_what_an_interface_says_of_each_code(interface: str) -> None:
    own = tables()[interface]
    files = words_of(FLAGS if interface == "commands of _jobs" else FIELDS).files
    words = Words(files=files, **own) if "_jobs" in interface or interface == "service" else Words(**own)
    assert {*own["texts"], *own["hints"]} == set(SAID[interface])
    for code, says in SAID[interface].items():
        assert words.of(ArgumentError("name: library", code=code, hint="python", **DETAILS)) == says, code
        if code in own["hints"] and code not in own["texts"]:
            coded = ArgumentError("name: library", code="other", hint=Reason(code, "python"), **DETAILS)
            assert words.of(coded) == says, code


def test_every_table_is_tested_and_every_code_of_one_is_given_by_the_library() -> None:
    found = tables()
    assert set(found) == set(SAID)
    page = (PACKAGE / "server" / "static" / "strings.js").read_text()
    reasons = re.findall(r'^  "([a-z-]+)": ', page[page.index("const REASONS = {") :], re.M)
    assert len(reasons) >= 10
    named = {code for own in found.values() for table in own.values() for code in table} | set(reasons)
    assert named <= codes_of_the_library(), named - codes_of_the_library()


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
    with pytest.raises(DecodeError) as caught:
        io.read(b"no image", "image")
    finding = caught.value.details["finding"]
    assert str(caught.value) == f"image: the 8 bytes given {finding}"
    assert Words(files={"image": "dog.png"}).of(caught.value) == f"dog.png {finding}"
    assert Words({"image": "--mask"}).of(caught.value) == f"--mask: the 8 bytes given {finding}"


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
    found = pyharmony.segment(image, points=(3, 3), method="grabcut")
    assert found.reason.code == "one-colour" and str(found.reason) == found.reason
