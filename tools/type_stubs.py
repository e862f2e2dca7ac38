"""Writes the type stubs of the packages whose functions return the kind of their arguments.

    python tools/type_stubs.py [FOLDER]    # of the packages: by default this clone

Each build does so, and `make lint`; git has none of these files.

A function such as `pyharmony.blend.poisson` has one signature, which `help` shows, but a type checker needs one for
each kind of image: an array gives an array, a path a PIL image, return_info=True a pair. These overloads differ in four
arguments out of twenty, so they are generated from the signature.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (
    "pyharmony.blend",
    "pyharmony.color",
    "pyharmony.composition",
    "pyharmony.edits",
    "pyharmony.harmonization",
    "pyharmony.matching",
    "pyharmony.merging",
    "pyharmony.ops",
    "pyharmony.shadows",
    "pyharmony.upscaling",
)
HEAD = """\
# Written by tools/type_stubs.py from the signatures of the functions.
"""
#: The modules of the names in annotations that are not types of `pyharmony.typing`.
HOMES = {
    "Float64": ".._arrays",
    "Retouching": "._retouch",
    "GrainInfo": "._grain",
    "HarmonizeInfo": "._harmonize",
    "SharpnessInfo": "._sharpness",
    "LayerPlan": ".partial_conv",
    "MaskPlan": ".partial_conv",
    "Pair": ".partial_conv",
    "ColorStats": ".color_stats",
    "ReflectionInfo": "._reflection",
    "RemoveInfo": "._remove",
    "ShadowInfo": "._shadow",
    "SolveInfo": ".._checks",
    "Stage": ".color_map",
    "Method": "._methods",
    "UpscalingInfo": "._super_resolve",
}
#: The same for names that are of another module in some package, by package and name.
HOMES_IN = {
    ("pyharmony.blend", "NumpyArray"): ".._arrays",
    ("pyharmony.composition", "Method"): "..segmentation",
    ("pyharmony.composition", "Masks"): "..segmentation",
    ("pyharmony.composition", "ComposeInfo"): "._compose",
    ("pyharmony.composition", "Front"): ".subjects",
    ("pyharmony.composition", "Number"): ".subjects",
    ("pyharmony.composition", "NumpyArray"): ".._arrays",
    ("pyharmony.composition", "Rectangle"): ".._arrays",
    ("pyharmony.composition", "Spot"): ".subjects",
    ("pyharmony.composition", "Subject"): ".subjects",
    ("pyharmony.edits", "EditInfo"): "._apply",
    ("pyharmony.edits", "NumpyArray"): ".._arrays",
    ("pyharmony.merging", "Masks"): "..segmentation",
    ("pyharmony.merging", "MergeInfo"): "._merge",
}
#: The additional result of return_info, by function; a SolveInfo by default.
INFOS = {
    "harmonize": "HarmonizeInfo",
    "match_grain": "GrainInfo",
    "match_sharpness": "SharpnessInfo",
    "reflection": "ReflectionInfo",
    "remove": "RemoveInfo",
    "shadow": "ShadowInfo",
    "super_resolve": "UpscalingInfo",
}
#: A signature: its differences from the function's own, by argument, and the result.
Signature = tuple[dict[str, str], str]

_FILE = "PILImage | Any"


def flagged(flag: str, parameters: Mapping[str, str], result: str, more: str) -> Iterator[Signature]:
    """Yields a signature for each value of a flag that makes a pair of the result; `more` is the other half."""
    yield {**parameters, flag: "Literal[False] = False"}, result
    yield {**parameters, flag: "Literal[True]"}, f"tuple[{result}, {more}]"


def of_images(first: str, info: str) -> Iterator[Signature]:
    """Yields the signatures of a function of images; a batch, an array of several, has a list of infos.

    Args:
        first: the argument whose type the result has.
        info: the class of the additional result of return_info.
    """
    one, many = {"out": "None = None"}, {"out": "None = None", "errors": 'Literal["raise"] = "raise"'}
    without = {"return_info": "Literal[False] = False"}
    for image_type, result in (("ImageT", "ImageT"), ("FileLike", _FILE)):
        yield from flagged(
            "return_info", {first: image_type, **one}, result, f"{info} | Any" if image_type == "ImageT" else info
        )
    yield {first: "ImageLike", "out": "OutT", **without}, "OutT"
    for image_type, result in (("ImageT", "list[ImageT]"), ("FileT", f"list[{_FILE}]")):
        yield {first: f"list[{image_type}]", "*": "many", **many, **without}, result
    # The rest is Any, so that a message of a type checker, which lists all signatures, stays short: a flag in a
    # variable, a tuple, errors among the results, infos of a list or beside out.
    yield {"*": "many"}, "Any"


def of_composites(first: str, info: str, several: bool) -> Iterator[Signature]:
    """Yields the signatures of a function that makes one image from several.

    Args:
        first: the argument whose type the result has.
        info: the class of the additional result of return_info.
        several: whether that argument is a list.
    """
    many, no_out = {"*": "many"}, {"out": "None = None"}
    for image_type, result in (("ImageT", "ImageT"), ("FileLike", _FILE)):
        kind = f"Sequence[{image_type}]" if several else image_type
        yield from flagged("return_info", {first: kind, **no_out, **many}, result, info)
    yield from flagged("return_info", {"out": "OutT", **many}, "OutT", info)
    yield many, "Any"


def of_masks() -> Iterator[Signature]:
    """Yields the signatures of a function that returns the mask of its dst."""
    for image_type, result in (("ImageT", "ImageT"), ("FileLike", "PILImage")):
        yield {"dst": image_type, "out": "None = None"}, result
    yield {"dst": "ImageLike", "out": "PathLike | WritableFile"}, "Any"
    for image_type, result in (("ImageT", "ImageT"), ("FileT", "PILImage")):
        yield {"dst": f"list[{image_type}]", "*": "many", "out": "None = None"}, f"list[{result}]"
    yield {"dst": "Sequence[ImageLike]", "*": "many"}, "Any"


def of_frames() -> Iterator[Signature]:
    for image_type, result in (("ImageT", "ImageT"), ("FileT", _FILE)):
        frames = {"frames": f"Iterable[{image_type}]"}
        yield {**frames, "return_info": "Literal[False] = False"}, f"Iterator[{result}]"
        yield {**frames, "return_info": "Literal[True]"}, f"Iterator[tuple[{result}, HarmonizeInfo]]"
    yield {}, "Iterator[Any]"


def of_arrays(flag: str, result: str, more: str, **changed: str) -> Iterator[Signature]:
    yield from flagged(flag, changed, result, more)
    yield dict(changed), "Any"


def overloads(name: str, function: Callable[..., Any]) -> list[Signature]:
    """Returns the signatures of a public function of the packages."""
    package, _, short = name.rpartition(".")
    arguments = inspect.signature(function).parameters
    if short == "harmonize_frames":
        return list(of_frames())
    if short == "placed_mask":
        return list(of_masks())
    if short == "spectral_norm":
        return list(of_arrays("normalized", "ArrayT", "list[ArrayT]", weights="Sequence[ArrayT]"))
    if package == "pyharmony.color" and "image" in arguments:
        annotation = str(inspect.signature(function).return_annotation)
        kinds = (("ImageT", "ImageT"), ("FileLike", _FILE))
        return [({"image": image_type}, annotation.replace("Any", result)) for image_type, result in kinds]
    if name == "pyharmony.composition.compose":
        return list(of_composites("background", "ComposeInfo", False))
    if name == "pyharmony.edits.apply_edit":
        return list(of_composites("original", "EditInfo", False))
    if name == "pyharmony.merging.merge":
        return list(of_composites("photos", "MergeInfo", True))
    if "return_info" not in arguments:
        return [({}, str(inspect.signature(function).return_annotation))]
    if short.endswith("_tiles"):
        return list(of_arrays("return_info", "SlicedT", "SolveInfo"))
    if package == "pyharmony.ops":
        return list(of_arrays("return_info", "ArrayT", "SolveInfo | Any"))
    info = INFOS.get(short, "SolveInfo")
    return list(of_images("dst" if "dst" in arguments else "image", info))


def single(annotation: str) -> str:
    """Returns the annotation for a single image of an argument that may be a list, one for each image."""
    return re.sub(r"OneOrMany\[((?:[^\[\]]|\[[^\[\]]*\])*)\]", r"\1", annotation)


def definition(name: str, function: Callable[..., Any], signature: Signature, *, overloaded: bool) -> str:
    changes, result = signature
    words, starred = [], False
    for argument in inspect.signature(function).parameters.values():
        if argument.kind is argument.KEYWORD_ONLY and not starred:
            starred = True
            words.append("*")
        default = "" if argument.default is argument.empty else f" = {argument.default!r}".replace("'", '"')
        own = str(argument.annotation) + default
        words.append(f"{argument.name}: {changes.get(argument.name, own if '*' in changes else single(own))}")
    head = "@overload\n" if overloaded else ""
    return head + wrapped(f"def {name}(", words, f") -> {result}: ...")


def stub(package: str) -> str:
    """Returns the text of a package's stub.

    Raises:
        KeyError: a signature has a name without a known import.
    """
    module = importlib.import_module(package)
    bodies = []
    for name in sorted(module.__all__):
        thing = getattr(module, name)
        if inspect.isfunction(thing):
            signatures = overloads(f"{package}.{name}", thing)
            bodies += [definition(name, thing, each, overloaded=len(signatures) > 1) for each in signatures]
    public = wrapped("__all__ = [", [f'"{name}"' for name in sorted(module.__all__)], "]")
    return "\n".join((HEAD, *imports(module, bodies), "", public, "", *bodies, ""))


def imports(module: Any, bodies: list[str]) -> Iterator[str]:
    """Yields the lines of imports: of the names in signatures, and of the other public names."""
    annotations = ast.parse("\n".join(bodies))
    names = {node.id for node in ast.walk(annotations) if isinstance(node, ast.Name)} - set(vars(builtins))
    for name, line in (("np", "import numpy as np"), ("npt", "import numpy.typing as npt")):
        if name in names:
            names.discard(name)
            yield line
    imported: dict[str, set[str]] = {}
    for name in names:
        imported.setdefault(home(name, module.__name__), set()).add(name)
    for name, place in getattr(module, "HOMES", {}).items():
        if not inspect.isfunction(getattr(module, name)):
            imported.setdefault(f".{place}", set()).discard(name)
            imported[f".{place}"].add(f"{name} as {name}")
    for node in ast.parse(Path(str(module.__file__)).read_text("utf-8")).body:
        for alias in node.names if isinstance(node, ast.ImportFrom) and node.level else ():
            if alias.name in module.__all__ and not inspect.isfunction(getattr(module, alias.name)):
                place = "." * node.level + str(node.module)
                imported.setdefault(place, set()).discard(alias.name)
                imported[place].add(f"{alias.name} as {alias.name}")
    for place in sorted(imported, key=lambda place: (place.startswith("."), place)):
        line = f"from {place} import {', '.join(sorted(imported[place]))}"
        yield line if len(line) <= 120 else wrapped(f"from {place} import (", sorted(imported[place]), ")")


def home(name: str, package: str) -> str:
    """Returns the module from which the stub of a package imports a name of an annotation."""
    if (package, name) in HOMES_IN:
        return HOMES_IN[package, name]
    if name in ("Any", "Literal", "overload"):
        return "typing"
    if name in ("Callable", "Iterable", "Iterator", "Mapping", "Sequence"):
        return "collections.abc"
    return "..typing" if hasattr(importlib.import_module("pyharmony.typing"), name) else HOMES[name]


def wrapped(start: str, words: list[str], end: str) -> str:
    """Returns words on one line, or on lines that break between them only."""
    one_line = start + ", ".join(words) + end
    if len(one_line) <= 120:
        return one_line
    text = ", ".join(word.replace(" ", "\0") for word in words)
    lines = textwrap.wrap(text, 116, break_long_words=False, break_on_hyphens=False)
    return "\n".join((start, *(f"    {line}".replace("\0", " ") for line in lines), end))


def main(folder: Path) -> None:
    for package in PACKAGES:
        path, text = folder.joinpath(*package.split("."), "__init__.pyi"), stub(package)
        # A type checker may be reading the file.
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else ROOT)
