"""Foreign and hostile values by kind of argument, and a valid call of every public function, taken from its example.

`VALUES` has the values of each kind: those that a call must refuse or warn of, and those that it may accept. `kind_of`
finds the kind of a parameter by its annotation; a parameter of an unknown kind fails the test, as does a public
function without an example.
"""

from __future__ import annotations

import contextlib
import copy
import doctest
import functools
import importlib
import inspect
import io
import itertools
import math
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyharmony import _rooms


class Unconvertible:
    """An object whose conversions fail, as those of a proxy do whose connection is lost."""

    def __float__(self) -> float:
        raise RuntimeError("no conversion")

    __int__ = __index__ = __bool__ = __len__ = __iter__ = __array__ = __fspath__ = __float__  # type: ignore[assignment]


@dataclass(frozen=True)
class Value:
    """A value of an argument.

    Attributes:
        name: its name in the test's output.
        make: creates it; values are created for each call, as calls may use them up.
        accepted: whether a call may accept it without a warning.
    """

    name: str
    make: Callable[[], Any]
    accepted: bool = False


def refused(**values: Any) -> list[Value]:
    """Returns values that a call refuses or warns of, by name."""
    return [Value(name, functools.partial(copy.copy, value)) for name, value in values.items()]


def accepted(**values: Any) -> list[Value]:
    """Returns values that a call may also accept, by name."""
    return [Value(name, functools.partial(copy.copy, value), accepted=True) for name, value in values.items()]


def _image(*shape: int, dtype: str = "uint8", white: float = 255) -> np.ndarray:
    return (np.random.default_rng(0).random(shape) * white).astype(dtype)


#: Paths lead nowhere but into the folder of a test, for a call that should refuse one may write to it: a special file
#: in the working folder, and a file beside that folder. `prepare` makes them.
SOCKET, SENTINEL, UNTOUCHED = "socket", "sentinel.txt", "untouched"


def prepare(folder: Path) -> Path:
    """Makes the files that hostile paths lead to, and returns the folder to work in."""
    inner = folder / "inner"
    (inner / "a folder").mkdir(parents=True)
    (folder / SENTINEL).write_text(UNTOUCHED)
    os.mknod(inner / SOCKET, stat.S_IFSOCK | 0o600)
    return inner


def is_untouched(inner: Path) -> bool:
    """Returns whether a call left the files alone that hostile paths lead to."""
    return (
        stat.S_ISSOCK((inner / SOCKET).stat().st_mode)
        and list((inner / "a folder").iterdir()) == []
        and (inner.parent / SENTINEL).read_bytes() == UNTOUCHED.encode()
        and {path.name for path in inner.parent.iterdir()} == {SENTINEL, "inner"}
    )


HUGE = 10**400  # an integer beyond the range of floats
#: No argument of any kind accepts these.
NO_ARGUMENT = refused(
    object=object(), unconvertible=Unconvertible(), complex=1j, set={1, 2}, range_=range(3), ellipsis=...,
    type_=int, function=len, mapping={"x": 1}, undefined=NotImplemented,
)  # fmt: skip
#: A text is a path to some arguments, a name to others, and no number to any.
TEXTS = refused(
    empty="", nul="a\0b", surrogate="\ud800", long="x" * 100_000, url="https://example.org/a.png",
    special=SOCKET, folder="a folder", outside=f"../{SENTINEL}", missing="no such file.png",
)  # fmt: skip

NUMBERS = refused(
    none=None, text="3", words="nan", bytes_=b"3", nan=math.nan, infinite=math.inf, below=-math.inf, huge=HUGE,
    decimal_nan=Decimal("NaN"), lists=[1.0], array_=np.arange(3), true=True, numpy_true=np.True_,
    numpy_nan=np.float32("nan"),
)  # fmt: skip

VALUES: dict[str, list[Value]] = {
    "number": [
        *NO_ARGUMENT, *NUMBERS,
        *accepted(negative=-1e300, large=1e300, tiny=5e-324, minus=-1, fraction=Fraction(1, 3), decimal_=Decimal("0.5"),
                  half=np.float16(0.5), zero_d=np.array(0.5)),
    ],
    "whole": [
        *NO_ARGUMENT, *NUMBERS, *refused(part=1.5, half=Fraction(1, 2), huge_negative=-HUGE, beyond=1 << 64),
        *accepted(minus=-1, least=-(1 << 63), zero=0, numpy_one=np.int8(1), one=1.0, zero_d=np.array(1)),
    ],
    "flag": [
        *NO_ARGUMENT,
        *refused(none=None, one=1, zero=0, no="no", yes="True", empty="", nan=math.nan, lists=[], pair=(True, False),
                 array_=np.array([True, False]), bytes_=b"", two=2.0),
        *accepted(numpy_true=np.True_),
    ],
    "word": [
        *NO_ARGUMENT,
        *refused(none=None, empty="", capitals="AUTO", spaced=" auto", nul="auto\0", long="x" * 100_000, number=3,
                 true=True, bytes_=b"auto", lists=["auto"], surrogate="\ud800", path="../auto", nan=math.nan),
    ],
    "text": [
        *NO_ARGUMENT,
        *refused(none=None, empty="", nul="a\0b", surrogate="\ud800", number=3, true=True, bytes_=b"auto",
                 lists=["auto"],
                 nan=math.nan, control="a\x1bb", zero_d=np.array(3)),
        *accepted(capitals="AUTO", path="../auto", long="x" * 100_000),
    ],
    "path": [
        *NO_ARGUMENT,
        *refused(none=None, number=3, nan=math.nan, true=True, lists=["a"], array_=np.zeros(3), bytes_=b"\0"),
        *TEXTS,
    ],
    "out": [
        *NO_ARGUMENT,
        *refused(number=3, nan=math.nan, true=True, bytes_=b"a.png", array_=np.zeros(3), small=np.zeros((2, 2, 3),
                 np.uint8),
                 empty="", nul="a\0.png", no_format="a.xyz", no_ending="a", folder="a folder",
                 missing="no such folder/a.png",
                 special=f"{SOCKET}/a.png", long="x" * 5000 + ".png", surrogate="\ud800/a.png", closed=io.StringIO()),
    ],
    "position": [
        *NO_ARGUMENT,
        *refused(number=3, text="12", one=(1,), three=(1, 2, 3), words=("a", "b"), nan=(math.nan, 0),
                 infinite=(math.inf, 0),
                 huge=(HUGE, 0), booleans=(True, False), none_in=(None, 1), nested=((1, 2), (3,)), bytes_=b"12",
                 complex_in=(1j, 0), empty=(), zero_d=np.array(3.0)),
        *accepted(far=(1e300, -1e300), outside=(-5000, 5000)),
    ],
    "box": [
        *NO_ARGUMENT,
        *refused(number=3, text="1,2,3,4", three=(1, 2, 3), five=(1, 2, 3, 4, 5), words=("a",) * 4, nan=(0, 0,
                 math.nan, 3),
                 infinite=(0, 0, math.inf, 3), huge=(0, 0, HUGE, 3), no_area=(3, 3, 0, 5), negative=(9, 9, -4, -4),
                 outside=(1e6, 1e6, 5, 5), shares=(0.1, 0.1, 0.5, 0.5), none_in=(None, 1, 2, 3), empty=(),
                 booleans=(True,) * 4, enormous=(-1e9, 0, 1e300, 3)),
    ],
    "image": [
        *NO_ARGUMENT,
        *refused(none=None, number=3, true=True, zero_d=np.array(3), vector=np.zeros(8, np.uint8),
                 no_pixels=np.zeros((0, 5, 3), np.uint8), no_width=np.zeros((5, 0, 3), np.uint8),
                 booleans=np.zeros((24, 32, 3), bool), integers=np.zeros((24, 32, 3), np.int64),
                 complex_=np.zeros((24, 32, 3), np.complex64), objects=np.zeros((24, 32, 3), object),
                 texts=np.full((24, 32), "a"), dates=np.zeros((24, 32), "datetime64[s]"),
                 records=np.zeros((24, 32), [("r", "u1"), ("g", "u1")]),
                 six=np.zeros((2, 2, 2, 2, 2, 3), np.uint8), numbers=[[1, 2], [3, 4]],
                 infinite=np.full((24, 32, 3), np.inf, np.float32),
                 levels=_image(24, 32, 3, dtype="float32"),
                 bytes_=b"", garbage=b"\x89PNG\r\n\x1a\n" + b"x" * 40, cut=b"\xff\xd8\xff\xe0",
                 text_file=io.StringIO("a")),
        *TEXTS,
        *accepted(reversed_=_image(24, 32, 3)[::-1, ::-1], broadcast=np.broadcast_to(np.uint8(9), (24, 32, 3)),
                  big_endian=_image(24, 32, 3, dtype=">u2", white=65535)),
    ],
    "mask": [
        *NO_ARGUMENT,
        *refused(number=3, true=True, zero_d=np.array(3), vector=np.zeros(8, np.uint8), no_pixels=np.zeros((0, 5),
                 np.uint8),
                 other_size=np.full((7, 9), 255, np.uint8), one_of_255=np.eye(24, 32, dtype=np.uint8),
                 labels=(np.arange(24 * 32).reshape(24, 32) % 5).astype(np.uint8),
                 integers=np.ones((24, 32), np.int64), signed=np.ones((24, 32), np.int8),
                 above=np.full((24, 32), 1.5, np.float32), below=np.full((24, 32), -0.5, np.float32),
                 nan=np.full((24, 32), np.nan, np.float32), percent=np.full((24, 32), 100.0),
                 complex_=np.zeros((24, 32), np.complex64), objects=np.zeros((24, 32), object), texts=np.full((24,
                 32), "a"),
                 bytes_=b"", garbage=b"\x89PNG\r\n\x1a\n" + b"x" * 40, text_file=io.StringIO("a")),
        *TEXTS,
    ],
    "array": [
        *NO_ARGUMENT,
        *refused(number=3, text="array", true=True, zero_d=np.array(3), no_values=np.zeros((0, 5), np.float32),
                 objects=np.zeros((24, 32), object), texts=np.full((24, 32), "a"), complex_=np.zeros((24, 32),
                 np.complex64),
                 dates=np.zeros((24, 32), "datetime64[s]"), six=np.zeros((2,) * 6, np.float32), bytes_=b"",
                 lists=[[1], [2, 3]],
                 records=np.zeros((24, 32), [("r", "u1")])),
    ],
    "tensor": [
        *NO_ARGUMENT,
        *refused(none=None, number=3, text="tensor", true=True, lists=[[1.0]], numpy_array=np.zeros((1, 3, 8, 8)),
                 zero_d=np.array(3), bytes_=b"", nan=math.nan, tuples=(), empty="", words=["a"]),
    ],
    "sequence": [
        *[value for value in NO_ARGUMENT if value.name != "range_"],
        *refused(number=3, text="ab", bytes_=b"ab", nan=math.nan, nones=[None, None], objects=[object()], nested=[[[]]],
                 words=["no", "such"], numbers=[math.nan], huge=[HUGE], true=True, zero_d=np.array(3), mixed=[1, "a",
                 None]),
        *accepted(range_=range(3)),
    ],
    "mapping": [
        *[value for value in NO_ARGUMENT if value.name != "mapping"],
        *refused(number=3, text="ab", bytes_=b"ab", nan=math.nan, lists=[1], pairs=[("a", 1)], true=True,
                 numbers={1: 2}, unknown={"no such name": 1}, nones={None: None}, zero_d=np.array(3), tuples=()),
    ],
    "callable": [
        *[value for value in NO_ARGUMENT if value.name not in ("function", "type_")],
        *refused(number=3, text="len", bytes_=b"", nan=math.nan, lists=[len], true=True, array_=np.zeros(3), zero=0,
                 empty="",
                 tuples=(), zero_d=np.array(3)),
    ],
    "rng": [
        *NO_ARGUMENT,
        *refused(text="0", nan=math.nan, part=1.5, negative=-1, lists=[1], true=True, bytes_=b"1", infinite=math.inf,
                 old=np.random.RandomState(0), array_=np.arange(2), zero_d=np.array(0.5)),
        *accepted(numpy_one=np.int8(1), huge=1 << 100),
    ],
    "thing": [
        *NO_ARGUMENT,
        *refused(number=3, text="no such thing", bytes_=b"x", nan=math.nan, lists=[1, 2], true=True, array_=np.zeros(3),
                 empty="", nul="a\0b", long="x" * 100_000, surrogate="\ud800", zero_d=np.array(3)),
    ],
}  # fmt: skip

#: The kind of a parameter, by a pattern of its annotation; the first that matches.
KINDS: tuple[tuple[str, str], ...] = (
    (r"ImageLike|PILImage|^'?(Picture|Pixels)'?$", "image"),
    (r"MaskLike|Masks", "mask"),
    (r"^Rng", "rng"),
    (r"FileLike|PathLike|^str \| os\.PathLike|^Paths|^Source|^Path\b", "path"),
    (r"^bytes|^str \| bytes|^type", "thing"),
    (r"OutLike", "out"),
    (r"^Tensor( \| None)?$", "tensor"),
    (r"SlicedArray|SlicedT|Array|Float64|Tensor|NDArray|NumpyT", "array"),
    (r"Callable|^Extractor|^Tell|^Judge|^Progress", "callable"),
    (r"Rectangle|^'?Box\b", "box"),
    (r"Position|Point|Spot|Front", "position"),
    (r"Mapping|^dict", "mapping"),
    (r"^(dataclasses\.InitVar\[)?(Sequence|Iterable|Collection|tuple|list|Pair|Number \| Seq)"
     r"|^int \| (tuple|Pair|Seq)|^Union\[(str, )?int, tuple", "sequence"),
    (r"^(OneOrMany\[)?bool", "flag"),
    (r"^(OneOrMany\[)?int|^Quality$", "whole"),
    (r"^(OneOrMany\[)?(float|Number)", "number"),
    (r"Literal|Device|Errors|Skip|Gradients|Contour|Wrap|Kernel|Method$|Method \||Order|Update|Blend|Chroma|DataKind"
     r"|Task|ImageFormat|^Posture|^Part|^Optimizer|^Engine|^OnExist", "word"),
    (r"^(str|Secret)( \| None| \| tuple\[str, \.\.\.\]| \| float)?$", "text"),
    (r"Network|Model|Module|Dataset|Sample|Scenes|Triples|ComposeInfo|EditInfo|Evaluation|Bank|CopyPaste|Layer|Any|Stage|Head"
     r"|Method|Retouching|ColorMap|PoissonSolver|Policy|Loss|Step|Settings|Config|Description", "thing"),
)  # fmt: skip


#: Values of a kind that an argument accepts after all, by function and argument.
#: Function and argument are patterns.
ACCEPTED: tuple[tuple[str, str, set[str]], ...] = (
    (r"data\.split(_of)?", "shares", {"unknown"}),  # names of parts are the user's
    (r"data\.write_\w+|io\.save|save", "folder|path|target", {"missing", "special"}),  # where something new is written
    (r"evaluation\.write_csv", "path", {"missing", "outside"}),  # replaces a file
    (r"data\.(AlignedScenes|CocoPeople|boxes_to_masks)|blend\.\w+_tiles", "root|images|folder", {"folder"}),  # a folder
    (r"color\.\w+_to_\w+", r"\w+", {"range_", "array_", "lists", "number", "nan", "zero_d"}),  # numbers of any shape
    (
        r"augment\.CopyPaste",
        "fields|image_keys",
        {"numbers", "unknown", "nones", "words"},
    ),  # keys and values are the user's
    (r"augment\.Donor", "name", {"empty", "nul", "surrogate", "control"}),  # a label in messages
    (r"ops\.(Curves|color_stats)", "low|high", {"true"}),
    (r"ops\.partial_conv2d", "scale", {"true"}),
    (r"composition\.Subject", "behind", {"empty"}),  # nobody is in front
    (r"augment\.Donor", "mask", {"mapping"}),  # the segmentation of an annotation, by which the error calls it
    (r"augment\.Donor", "image", {"long"}),  # the error begins with the path
    (r"augment\.Donor", "label", {value.name for value in VALUES["thing"]}),  # any value
    (r"data\.Manifest", "roles", {"words"}),  # samples without them are left out
    (r"compose", "scale|angle", {"number"}),
    (
        r"metrics\.bootstrap|color\.lut_mix|ops\.(Curves|color_stats|Lut|Light|Affine)|harmonization\.ColorMap",
        r"\w+",
        {"range_", "lists", "array_", "number", "zero_d"},
    ),  # numbers of any kind
    (r"ops\.partial_conv2d", "scale", {"number", "zero_d"}),
    (r"blend\.placed_mask", "out", {"missing"}),
    (r"blend\.paste_many", "items", {"tuples"}),  # nothing to paste
    (r"place|compose", "heads|faces|people|behind", {"empty", "no_pixels"}),  # none are there
    (r"compose", "shadow|reflection", {"true"}),  # with the settings of their own
    (r"training\.\w+Config", r"\w+", {"empty", "words", "numbers", "unknown", "nones", "path", "capitals", "long"}),
    (r"training\.DataConfig", "root|validation", {"number", "lists"}),
    (r"io\.(Layer|Picture)", "name|format", {"empty", "capitals", "path", "long"}),  # a text of the user
    (r"io\.Picture", "original", {"text", "bytes_", "long"}),  # a path or bytes, read by quality="original" alone
    (r"batch\.run", "output", {"missing", "folder", "url"}),
    (r"segmentation\.Session\.\w+", "mask", {"other_size"}),
    (r"data\.Shards\.batch", "indices", {"no_values"}),  # of no samples
    (r"data\.Shards\.batches", "seed|epoch", {"huge"}),
    (r"augment\.Bank\.from_arrays", "masks", {"nested"}),  # a segmentation, by which the error calls it
    (r"augment\.Bank\.from_arrays", "images", {"text_file"}),  # its lines are paths
    (r"augment\.Bank\.from_(folder|coco)", "folder|images", {"folder"}),
    (r"augment\.Bank\.from_arrays", "labels", {"objects", "nested", "numbers", "huge"}),  # any values
    (r"models\.register", "summary|source", {"empty"}),
    (r"serve\.Settings", "page", {"folder"}),
    (r"training\.train", "out", {"missing", "folder", "url"}),
    (r"io\.(check_target|write|write_layers)", "target", {"missing", "special", "outside"}),  # where a file is written
    (r"io\.(Picture|write_layers)", "profile|exif|xmp|icc", {"bytes_"}),
    (r"segmentation\.(salient|sam)", "network|encoder|decoder", {"outside"}),  # read at its first use
    (r"losses\.(gradient_penalty|clip_parameters)", "weight", {"negative"}),
    (r"data\.resize_sample", "sample", {"mapping"}),  # without an image
)


def is_accepted(function: str, argument: str, annotation: object, value: Value) -> bool:
    """Returns whether an argument accepts a value, in addition to those that its kind accepts."""
    short = re.sub(rf"^pyharmony\.(({'|'.join(_rooms.WINGS)})\.)?(placement\.)?", "", function)
    if value.name in ("number", "zero_d") and re.search(r"\b(float|int)\b", str(annotation)):
        return True
    return value.accepted or any(
        re.fullmatch(functions, short) and re.fullmatch(arguments, argument) and value.name in names
        for functions, arguments, names in ACCEPTED
    )


def kind_of(parameter: inspect.Parameter) -> str:
    """Returns the kind of a parameter; raises LookupError for one that `KINDS` does not know."""
    annotation = re.sub(r"^dataclasses\.InitVar\[(.*)\]$", r"\1", str(parameter.annotation).replace("typing.", ""))
    for pattern, kind in KINDS:
        if re.search(pattern, annotation):
            return kind
    raise LookupError(f"{parameter}: no kind of tests/hostile.py matches")


def accepts_none(parameter: inspect.Parameter) -> bool:
    return "None" in str(parameter.annotation) or parameter.default is None


def _tensor(*shape: int) -> Any:
    import torch

    return torch.rand(shape)


def _model(name: str = "pix2pix") -> Any:
    from pyharmony.networks import models

    return models.create(name, "small")


def _picture(**values: Any) -> Any:
    from pyharmony import io

    return io.Picture(_image(24, 32, 3), **values)


def _config(**tables: Any) -> Any:
    from pyharmony.learn import training

    short = {
        "model": {"name": "pct_net"}, "data": {"root": "photos", "size": 32, "enlarge": True},
        "schedule": {"steps": 1}, "run": {"batch": 1, "loggers": []},
    }  # fmt: skip
    return training.config_of({**short, **tables})


def _batch() -> dict[str, Any]:
    return {"composite": _tensor(1, 3, 64, 64), "mask": _tensor(1, 1, 64, 64), "target": _tensor(1, 3, 64, 64)}


def _mask() -> np.ndarray:
    mask = np.zeros((24, 32), np.uint8)
    mask[6:18, 8:24] = 255
    return mask


def _clicked(session: Any) -> Any:
    session.click(12, 10)
    return session


HELPERS = {
    "count": itertools.count(),
    "image": lambda: _image(24, 32, 3),
    "mask": _mask,
    "clicked": _clicked,
    "batch": _batch,
    "tensor": _tensor,
    "model": _model,
    "picture": _picture,
    "config": _config,
}

_MAPS, _MASK = "tensor(1, 3, 8, 8), tensor(1, 3, 8, 8)", "tensor(1, 1, 8, 8)"
_CODES = "tensor(2, 4), tensor(2, 4)"
#: The arguments of a valid call of functions and classes whose docstring has no example.
CALLS = {
    _rooms.current(f"pyharmony.{name}"): arguments
    for name, arguments in {
        "batch.run": "'harmonize', 'triples', 'out', options={'method': 'reinhard'}, format='png'",
        "data.CopyPaste": "pyharmony.learn.data.AlignedScenes('scenes').pairs(5), load_size=32, crop_size=32",
        "io.Picture": "np.zeros((4, 4, 3), np.uint8), b'p', b'e', b'x', (72.0, 72.0), 'PNG'",
        "io.check_target": "picture(), 'a.png', format='PNG', quality=90",
        "io.convert": "picture(), picture(), 'image'",
        "io.read": "'photos/images/a.png', 'source', max_pixels=10_000, keep_gps=False",
        "io.write": "picture(), 'a.png', format='PNG', quality=90, overwrite=True",
        "losses.adversary": "'hinge'",
        "losses.clip_parameters": "model(), 0.01",
        "losses.domain_similarity": _CODES,
        "losses.domain_verification_discriminator": f"{_CODES}, {_CODES}",
        "losses.domain_verification_generator": _CODES,
        "losses.feature_distance": f"{_MAPS}, {_MASK}, weights=[1.0]",
        "losses.foreground_mse": f"{_MAPS}, {_MASK}, min_area=10.0",
        "losses.gradient_penalty": f"lambda x: x.mean((1, 2, 3)), {_MAPS}, weight=10.0, alpha=tensor(1, 1, 1, 1)",
        "losses.gram": f"tensor(1, 3, 8, 8), {_MASK}",
        "losses.gram_distance": f"{_MAPS}, {_MASK}, weights=[1.0]",
        "losses.hinge_discriminator": _MAPS,
        "losses.hinge_generator": "tensor(1, 3, 8, 8)",
        "losses.hue_saturation": "tensor(1, 3, 8, 8), eps=1e-4",
        "losses.least_squares_discriminator": _MAPS,
        "losses.least_squares_generator": "tensor(1, 3, 8, 8)",
        "losses.mask_pyramid": f"{_MASK}, [(4, 4)]",
        "losses.masked_l1": f"{_MAPS}, {_MASK}",
        "losses.masked_l2": f"{_MAPS}, {_MASK}",
        "losses.perceptual": f"lambda x: x, {_MAPS}, {_MASK}, weights=[1.0]",
        "losses.style": f"lambda x: x, {_MAPS}, {_MASK}, space='rgb', kind='gram', weights=[1.0]",
        "losses.total_variation": "tensor(1, 3, 8, 8), power=1",
        "losses.triplet": f"{_CODES}, tensor(2, 4), margin=0.1, each_number=False",
        "losses.vanilla_discriminator": _MAPS,
        "losses.vanilla_generator": "tensor(1, 3, 8, 8)",
        "losses.wasserstein_discriminator": f"{_MAPS}, low_is_real=False",
        "losses.wasserstein_generator": "tensor(1, 3, 8, 8), low_is_real=False",
        "models.convert": "'a.pth', 'pix2pix', return_networks=False",
        "models.create": "'pix2pix', 'small'",
        "models.export": "model(), 'a.onnx', size=64",
        "models.layers": "model(), 64",
        "models.list": "'harmonize'",
        "models.load": "'harmonize', model=None, whole=False",
        "models.outline": "'pix2pix', 'small'",
        "models.parameter_counts": "model()",
        "models.save": "model(), 'a.safetensors', dtype='float16', part='all'",
        "models.weights": "'harmonize'",
        "segmentation.salient": "'a.onnx', mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2), limit=300.0",
        "segmentation.sam": "'a.onnx', 'b.onnx', limit=300.0",
        "segmentation.trained": "'a.safetensors'",
        "serve.Settings": "",
        "serve.serve": "pyharmony.serve.Settings(port=0), lambda address: None",
        "training.DataConfig": "",
        "training.RunConfig": "",
        "training.ScheduleConfig": "",
        "training.TrainConfig": "model={'name': 'pix2pix'}, schedule=pyharmony.learn.training.ScheduleConfig(steps=1)",
        "training.config_of": "{'model': {'name': 'pix2pix'}}",
        "training.held_back": "'a folder', size=64",
        "training.plan": "config(), device='cpu'",
        "training.read_toml": "'a.toml'",
        "training.recipe": "'dovenet'",
        "training.recipes": "",
        "training.size_of": "'a folder'",
        "training.train": "config(), 'run', device='cpu'",
        "training.with_changes": "{'model': {'name': 'pix2pix'}}, ['data.size=64']",
        "training.steps.AdamSettings": "",
        "training.steps.CapturedStep": "pyharmony.learn.training.steps.create(model()), batch()",
        "training.steps.StepSettings": "",
        "training.steps.create": "model(), extractor=None",
    }.items()
}


_PHOTOS = "pyharmony.learn.data.Photos('photos')"
_BANK = "pyharmony.learn.augment.Bank.from_folder('photos')"
_MAP = "pyharmony.harmonization.ColorMap(np.eye(3, 4), np.zeros((3, 3, 2)))"
_SOLVER = "pyharmony.ops.PoissonSolver(mask())"
_SHARDS = f"pyharmony.learn.data.write_shards({_PHOTOS}, f'shards-{{next(count)}}', 16)"
_PEOPLE = "pyharmony.segmentation.Session(image())"
_SESSION = "pyharmony.segmentation.Session(image(), method='grabcut')"
#: An object, or a class, and the arguments of a valid call of each public method that takes some.
METHODS = {
    _rooms.current(f"pyharmony.{name}"): call
    for name, call in {
        "augment.Bank.checked": (_BANK, ""),
        "augment.Bank.from_arrays": ("pyharmony.learn.augment.Bank", "[image()], [mask()]"),
        "augment.Bank.from_coco": ("pyharmony.learn.augment.Bank", "'coco/instances.json', 'coco'"),
        "augment.Bank.from_dataset": ("pyharmony.learn.augment.Bank", _PHOTOS),
        "augment.Bank.from_folder": ("pyharmony.learn.augment.Bank", "'photos'"),
        "augment.CopyPaste.at_epoch": (f"pyharmony.learn.augment.CopyPaste({_BANK})", "1"),
        "color.Retouching.draw": ("pyharmony.color.Retouching", "np.random.default_rng(0), 0.5"),
        "data.AlignedScenes.pairs": ("pyharmony.learn.data.AlignedScenes('scenes')", "2, seed=0"),
        "data.AlignedScenes.path_of": ("pyharmony.learn.data.AlignedScenes('scenes')", "0"),
        "data.Photos.check": (_PHOTOS, "threads=1, size=(24, 32)"),
        "data.Photos.paths": (_PHOTOS, "0"),
        "data.Crops.at_epoch": (f"pyharmony.learn.data.Crops({_PHOTOS}, size=16)", "1"),
        "data.Shards.batch": (_SHARDS, "[0, 1]"),
        "data.Shards.batches": (_SHARDS, "2, seed=0"),
        "data.Shards.check": (_SHARDS, "threads=1"),
        "data.Synthesis.at_epoch": (f"pyharmony.learn.data.Synthesis({_PHOTOS})", "1"),
        "data.Triples.from_table": ("pyharmony.learn.data.Triples", "'missing.csv'"),
        "data.Pasted.at_epoch": (f"pyharmony.learn.data.Pasted({_PHOTOS}, size=16)", "1"),
        "data.Varied.at_epoch": (f"pyharmony.learn.data.Varied({_PHOTOS})", "1"),
        "data.CocoPeople.paths": ("pyharmony.learn.data.CocoPeople('coco/instances.json', 'coco')", "0"),
        "data.IHarmony4.paths": ("pyharmony.learn.data.IHarmony4('iHarmony4', split='test')", "0"),
        "data.Manifest.paths": ("pyharmony.learn.data.Manifest('manifest')", "0"),
        "harmonization.ColorMap.apply": (_MAP, "image(), mask()"),
        "harmonization.ColorMap.mixed": (_MAP, f"{_MAP}, 0.5"),
        "harmonization.ColorMap.plus": (_MAP, "np.zeros((3, 4)), np.zeros((3, 3, 2))"),
        "harmonization.ColorMap.scaled": (_MAP, "0.5"),
        "models.Model.example": ("model()", "64"),
        "models.Model.start_from": ("model()", "model()"),
        "ops.PoissonSequence.solve": (f"{_SOLVER}.sequence()", "image(), image()"),
        "ops.PoissonSolver.solve": (_SOLVER, "image(), image()"),
        "segmentation.Masks.reduced": ("pyharmony.segment(image(), points=(12, 10))", "(16, 12)"),
        "segmentation.Session.choose": (f"clicked({_SESSION})", "0"),
        "segmentation.Session.click": (_SESSION, "12, 10, add=True"),
        "segmentation.Session.combine": (f"clicked({_SESSION})", "mask(), add=True"),
        "segmentation.Session.heads": (_PEOPLE, "0.5"),
        "segmentation.Session.lasso": (f"clicked({_SESSION})", "[(4, 4), (20, 6), (12, 22)], add=True, tolerance=2"),
        "segmentation.Session.other_people": (_PEOPLE, "[], (24, 32)"),
        "segmentation.Session.posture": (_PEOPLE, "mask()"),
        "segmentation.Session.scribble": (f"clicked({_SESSION})", "[(12, 10), (14, 11)], add=True"),
        "segmentation.Session.segment": (_SESSION, "points=[(12, 10)], labels=[1]"),
        "segmentation.Session.shows_people": (_PEOPLE, "mask()"),
        "training.TrainConfig.check_figures": ("config()", "True"),
        "training.TrainConfig.value": ("config()", "'data.size'"),
    }.items()
}


class CalledError(BaseException):
    """Ends an example at the call that it is run for."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        super().__init__()
        self.arguments = arguments


def values_once(x: Any) -> Any:
    """Returns a list of what an iterator yields, which can be passed again; anything else unchanged."""
    return list(x) if isinstance(x, Iterator) and not hasattr(x, "read") else x


@contextlib.contextmanager
def stopped_at(owner: Any, name: str, thing: Any, modules: list[Any]) -> Iterator[None]:
    """Has the first call of a function, class or method raise CalledError with its arguments by name."""
    signature = inspect.signature(thing)
    with pytest.MonkeyPatch.context() as patch:
        if inspect.isclass(thing):
            original = thing.__init__

            def init(self: Any, *args: Any, **options: Any) -> None:
                if type(self) is thing:
                    raise CalledError(dict(signature.bind(*args, **options).arguments))
                original(self, *args, **options)

            patch.setattr(thing, "__init__", init)
        else:

            @functools.wraps(thing)
            def call(*args: Any, **options: Any) -> None:
                raise CalledError(dict(signature.bind(*args, **options).arguments))

            for module in (owner, *modules):
                if vars(module).get(name) is thing or (module is owner):
                    patch.setattr(module, name, call)
        yield


def steps_of(name: str, thing: Any) -> list[str]:
    """Returns the statements of a valid call of a public function or class: those of its example, or of `CALLS`."""
    if name in CALLS:
        return [f"import pyharmony, {name.rpartition('.')[0]}", f"{name}({CALLS[name]})"]
    text = inspect.cleandoc(vars(thing).get("__doc__") or thing.__doc__ or "")
    return [step.source for step in doctest.DocTestParser().get_doctest(text, {}, name, None, 0).examples]


def arguments_of(name: str, thing: Any, modules: list[Any]) -> dict[str, Any]:
    """Returns the arguments of the first call of a public function or class in its example, which runs until then."""
    owner = importlib.import_module(name.rpartition(".")[0])
    names: dict[str, Any] = {"__name__": "example", "np": np, **HELPERS}
    with stopped_at(owner, name.rpartition(".")[2], thing, modules):
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                for step in steps_of(name, thing):
                    exec(compile(step, name, "single", dont_inherit=True), names)  # noqa: S102  # an example of ours
        except CalledError as error:
            return {key: values_once(value) for key, value in error.arguments.items()}
    raise LookupError(f"{name}: its example does not call it")


def method_of(name: str) -> tuple[Any, dict[str, Any]]:
    """Returns a public method of an object, and the arguments of a valid call."""
    owner, arguments = METHODS[name]
    import pyharmony

    names: dict[str, Any] = {"np": np, "pyharmony": pyharmony, **HELPERS}
    method = getattr(eval(owner, names), name.rpartition(".")[2])  # noqa: S307
    names["bind"] = inspect.signature(method).bind
    return method, dict(eval(f"bind({arguments})", names).arguments)  # noqa: S307


def fresh(x: Any) -> Any:
    """Returns a copy of an argument, which the call may change or use up; the argument itself if it has none."""
    try:
        return copy.deepcopy(x)
    except Exception:  # a proxy, a module of compiled code, an open file
        return x


def files_below(folder: str = ".") -> set[str]:
    """Returns the files and folders in a folder, at any depth; rglob takes eight times as long."""
    paths = set()
    with os.scandir(folder) as entries:
        for entry in entries:
            paths.add(entry.path)
            if entry.is_dir(follow_symlinks=False):
                paths |= files_below(entry.path)
    return paths


def remove(paths: set[str]) -> None:
    """Removes files and folders, what is in a folder first."""
    for path in sorted(paths, reverse=True):
        os.rmdir(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
