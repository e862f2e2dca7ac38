"""A type checker knows the types of the public functions, and the words of options come from one place."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import pydoc
import re
import subprocess
import sys
import typing
from pathlib import Path
from types import ModuleType

import pytest

import pyharmony
from pyharmony import _catalogue, _checks, _device, blend, harmonization, ops, segmentation, upscaling
from pyharmony import typing as types
from pyharmony._calls import COMPOSE
from pyharmony.learn import data
from pyharmony.reference.gaussian_poisson import GRADIENT_KERNELS

from .. import skips
from ..shared import ROOT

pytestmark = pytest.mark.house

FOLDER = Path(__file__).with_name("typing")
MISTAKES, CORRECT = FOLDER / "mistakes.py", FOLDER / "correct.py"


def errors_of_mypy(*files: Path) -> dict[Path, set[int]]:
    """Returns the lines of each file with an error."""
    process = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", *map(str, files)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert process.returncode in (0, 1), process.stdout + process.stderr
    lines: dict[Path, set[int]] = {}
    for name, line in re.findall(r"^(.+?):(\d+): error", process.stdout, re.MULTILINE):
        lines.setdefault(ROOT / name, set()).add(int(line))
    return lines


def errors_of_pyright(*files: Path) -> dict[Path, set[int]]:
    process = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, *map(str, files)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert process.returncode in (0, 1), process.stdout + process.stderr
    lines: dict[Path, set[int]] = {}
    for each in json.loads(process.stdout)["generalDiagnostics"]:
        if each["severity"] == "error":
            lines.setdefault(Path(each["file"]), set()).add(each["range"]["start"]["line"] + 1)
    return lines


@pytest.mark.full
@pytest.mark.parametrize("checker", [errors_of_mypy, errors_of_pyright], ids=["mypy", "pyright"])
def test_a_checker_finds_each_mistake_and_no_other(checker: typing.Callable[..., dict[Path, set[int]]]) -> None:
    name = checker.__name__.rpartition("_")[2]
    pytest.importorskip(name, reason=skips.not_installed(name))
    pytest.importorskip("torch", reason="torch is not installed")
    wrong_lines = {i for i, line in enumerate(MISTAKES.read_text().splitlines(), 1) if line.endswith("# wrong")}
    assert len(wrong_lines) >= 20
    errors = checker(MISTAKES, CORRECT)
    assert errors.get(MISTAKES, set()) == wrong_lines
    assert errors.get(CORRECT, set()) == set()


def test_words_are_those_that_the_functions_accept() -> None:
    method = importlib.import_module("pyharmony.ops.gaussian_poisson").METHODS
    orders = importlib.import_module("pyharmony.ops.spectral_norm").ORDERS
    assert typing.get_args(types.Gradients) == _checks.GRADIENTS
    assert typing.get_args(types.Device) == _device.DEVICES
    assert typing.get_args(types.SolveMethod) == method
    assert typing.get_args(types.SpectralNormOrder) == orders
    assert typing.get_args(types.PartialConvMethod) == importlib.import_module("pyharmony.ops.partial_conv").METHODS
    assert typing.get_args(types.HarmonizeMethod) == harmonization.METHODS
    assert typing.get_args(types.SegmentMethod) == ("auto", *segmentation.METHODS)
    assert typing.get_args(types.UpscaleMethod) == ("auto", *upscaling.METHODS)
    assert typing.get_args(types.CompositeBlend) == ("auto", *COMPOSE.by_name["blend"].identifiers)
    assert typing.get_args(types.LayerMode) == COMPOSE.by_name["mode"].identifiers
    assert typing.get_args(types.Task) == _catalogue.TASKS
    assert typing.get_args(types.DataKind) == tuple(data.KINDS)
    assert typing.get_args(types.SynthesisMethod) == data.METHODS
    assert set(typing.get_args(types.GradientKernel)) == set(GRADIENT_KERNELS)


def test_formats_are_those_that_are_written() -> None:
    encode = importlib.import_module("pyharmony.io._encode")
    for name in typing.get_args(types.ImageFormat):
        assert encode.format_of(None, name) in encode._HOLDS
    assert {encode.format_of(None, name) for name in typing.get_args(types.ImageFormat)} == set(encode._HOLDS)


def test_words_of_networks_are_those_that_they_accept() -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    updates = importlib.import_module("pyharmony.networks.nn.spectral_norm").UPDATES
    assert typing.get_args(types.SpectralNormUpdate) == updates


def test_types_load_nothing_heavy() -> None:
    code = "import sys, pyharmony.typing; print(*sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in process.stdout.split()}
    assert not loaded & {"torch", "cupy", "PIL", "cv2", "scipy"}
    assert "pyharmony._C" not in process.stdout.split()


def test_types_can_be_looked_at_while_the_program_runs() -> None:
    """Dataclasses of other libraries and web frameworks look at them so."""

    def function(image: types.ImageLike, at: types.Position, masks: types.OneOrMany[types.MaskLike]) -> types.Array: ...

    hints = typing.get_type_hints(function)
    assert str in typing.get_args(hints["image"])
    assert hints["at"] == tuple[float, float]


#: Arguments that take any value of their kind.
FREE = {("pyharmony.ops", "low"), ("pyharmony.ops", "high"), ("pyharmony.ops", "layers"), ("pyharmony.ops", "scale")}


@pytest.mark.parametrize("module", [pyharmony, blend, harmonization, ops], ids=lambda module: module.__name__)
def test_every_argument_has_a_type(module: ModuleType) -> None:
    for name in module.__all__:
        thing = getattr(module, name)
        if inspect.isfunction(thing):
            for argument in inspect.signature(thing).parameters.values():
                if "Any" in str(argument.annotation):
                    assert (module.__name__, argument.name) in FREE, f"{module.__name__}.{name}: {argument}"


def test_help_shows_the_words_types() -> None:
    text = pydoc.plain(pydoc.render_doc(blend.poisson)).replace("\n", " ")
    for line in (
        "src: 'OneOrMany[ImageLike]'",
        "at: 'OneOrMany[Position | None] | Positions'",
        "gradients: 'Gradients' = 'source'",
    ):
        assert line in re.sub(r"\s+", " ", text)


def test_tooltips_describe_what_everyone_needs() -> None:
    """An editor shows the docstring of the function alone, so src, dst, mask and at are described in each."""
    for name in blend.__all__:
        function = getattr(blend, name)
        if name in ("gaussian_poisson_tiles", "paste_many"):
            continue  # slices and items are of their own
        arguments = {"src", "dst", "image", "mask", "at"} & inspect.signature(function).parameters.keys()
        assert len(arguments) >= 2
        for argument in arguments:
            described = re.search(rf"^    {argument}: (.+)", inspect.getdoc(function) or "", re.MULTILINE)
            assert described and "see `pyharmony" not in described[1], f"{name}: {argument}"


@pytest.mark.full
@pytest.mark.parametrize(
    ("call", "says"),
    [
        ('blend.poisson(photo, photo, mask, at="86,180")', r'Argument "at" to "poisson" has incompatible type "str"'),
        ("harmonize(photo, mask, at=(1, 2, 3))", r'Argument "at" to "harmonize" has incompatible type "tuple\['),
        ('blend.poisson(photo, photo, mask, gradients="mix")', r'No overload variant of "poisson"'),
        ("blend.alpha(photo, photo, mask, at=86)", r'No overload variant of "alpha"'),
    ],
)
def test_one_mistake_is_told_shortly(tmp_path: Path, call: str, says: str) -> None:
    """A wrong place was told with 13 signatures of 3,000 characters each."""
    pytest.importorskip("mypy", reason="mypy is not installed")
    file = tmp_path / "mistake.py"
    head = "import numpy as np\nimport numpy.typing as npt\nfrom pyharmony import blend, harmonize\n\n"
    file.write_text(f"{head}def f(photo: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8]) -> None:\n    {call}\n")
    process = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", str(file)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    first, *rest = process.stdout.splitlines()
    assert re.search(says, first), process.stdout
    assert len(rest) <= 10
    assert max(map(len, rest)) < 1200
    if "Argument" in says:
        assert len(rest) == 1
