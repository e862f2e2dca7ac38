"""Every argument of every public function meets foreign and hostile values: accepted rightly, warned of, or refused.

A refusal is a `PyHarmonyError` that names the argument, and nothing is written. The arguments of a valid call come from
the example of each function; one argument at a time is replaced by a value of its kind in `hostile.py`. In the short
form an argument meets every fourth value, and the next ones those between; in the profile `full` it meets all.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import inspect
import os
import pkgutil
import re
import resource
import shutil
import signal
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.main import get_command
from typer.testing import CliRunner

import pyharmony
from pyharmony import _calls, _rooms, errors
from pyharmony.cli._app import app
from pyharmony.learn import augment

from .. import skips
from ..cli.test_cli import commands
from ..hostile import (
    METHODS,
    SENTINEL,
    SOCKET,
    UNTOUCHED,
    VALUES,
    Value,
    accepts_none,
    arguments_of,
    files_below,
    fresh,
    is_accepted,
    is_untouched,
    kind_of,
    method_of,
    remove,
    steps_of,
)
from ..hostile import prepare as prepare_paths
from .test_api_snapshot import TORCH_MODULES, callables
from .test_examples import OPTIONAL, prepare

pytestmark = pytest.mark.chains

SECONDS = 60
MEGABYTES = 3072  # beyond what the process has
#: Every how many of the values of its kind an argument meets; its neighbours meet the others.
VALUE_STEP = 1 if os.environ.get("HYPOTHESIS_PROFILE") == "full" else 4

#: Layers whose constructor is torch's own, and so are its errors; and classes to derive from.
OF_TORCH = {
    "pyharmony.networks.nn.Conv2d",
    "pyharmony.networks.nn.ConvTranspose2d",
    "pyharmony.learn.data.Dataset",
    "pyharmony.upscaling.Method",
    "pyharmony.segmentation.Method",
    "pyharmony.networks.models.Model",
    "pyharmony.networks.models.Adversarial",
    "pyharmony.learn.training.Callback",
    "pyharmony.learn.training.steps.Step",
}
#: Classes of results, which calls create and users read.
RESULTS = {
    "pyharmony.composition.ComposeInfo", "pyharmony.composition.Composed", "pyharmony.learn.data.Problem",
    "pyharmony.learn.data.Written", "pyharmony.edits.EditChange", "pyharmony.edits.EditInfo",
    "pyharmony.edits.RemoveInfo", "pyharmony.learn.evaluation.Evaluation", "pyharmony.learn.evaluation.Published",
    "pyharmony.learn.evaluation.Result", "pyharmony.learn.evaluation.Summary", "pyharmony.harmonization.HarmonizeInfo",
    "pyharmony.matching.GrainInfo", "pyharmony.matching.SharpnessInfo", "pyharmony.merging.MergeBase",
    "pyharmony.merging.MergeInfo", "pyharmony.merging.MergedPart", "pyharmony.merging.MergedPhoto",
    "pyharmony.learn.metrics.Interval", "pyharmony.ops.ColorStats", "pyharmony.ops.RegionStats",
    "pyharmony.ops.SolveInfo", "pyharmony.placement.Placement", "pyharmony.shadows.ReflectionInfo",
    "pyharmony.shadows.ShadowInfo", "pyharmony.upscaling.UpscalingInfo", "pyharmony.errors.Reason",
    "pyharmony.runs.batch.Progress", "pyharmony.runs.batch.Report", "pyharmony.io.Description",
    "pyharmony.networks.losses.Adversary", "pyharmony.networks.models.Figure", "pyharmony.networks.models.Layer",
    "pyharmony.networks.models.ModelInfo", "pyharmony.networks.models.Weights", "pyharmony.segmentation.Head",
    "pyharmony.segmentation.Masks", "pyharmony.segmentation.Posture", "pyharmony.serve.User",
    "pyharmony.learn.training.Plan", "pyharmony.learn.training.Progress", "pyharmony.learn.training.TrainResult",
}  # fmt: skip

HAS_TORCH = importlib.util.find_spec("torch") is not None


#: Modules of `pyharmony` without functions that take arguments of users: commands, nodes, definitions for tests, types.
EXCLUDED_ROOMS = {"cli", "comfyui", "reference", "typing"}


def public_modules() -> list[str]:
    """Returns the public modules of the package, those of torch only where it is installed."""
    rooms = {one.name for one in pkgutil.iter_modules(pyharmony.__path__, "pyharmony.")}
    wings = {f"pyharmony.{wing}" for wing in _rooms.WINGS}
    for wing in wings:
        rooms |= {one.name for one in pkgutil.iter_modules(importlib.import_module(wing).__path__, f"{wing}.")}
    rooms -= wings | {f"pyharmony.{room}" for room in _rooms.PLACES}  # their former names
    paths = [path for path in sorted(rooms) if "._" not in path and path.split(".")[1] not in EXCLUDED_ROOMS]
    needing = {
        "pyharmony.networks.losses",
        "pyharmony.networks.models",
        *TORCH_MODULES,
        "pyharmony.learn.training.steps",
    }
    return [
        "pyharmony",
        *(path for path in [*paths, "pyharmony.learn.training.steps"] if HAS_TORCH or path not in needing),
    ]


MODULES = public_modules()


#: Errors are no calls, and results are made by calls.
CALLABLES = {
    name: thing
    for name, thing in callables(MODULES)
    if name not in RESULTS | OF_TORCH and not (inspect.isclass(thing) and issubclass(thing, BaseException))
}


def is_long(name: str) -> bool:
    """Returns whether a case is of the long form: its options are those of another command, or it runs a network."""
    return name.startswith("batch ") and name != "batch harmonize" or name in ("compose", "pyharmony.blend.gp_gan")


def marked(names: Iterable[str]) -> list[Any]:
    return [pytest.param(name, marks=pytest.mark.full) if is_long(name) else name for name in names]


@pytest.fixture(scope="module")
def data_sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile") / "data"
    prepare(folder)
    return folder


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Limits the time and the memory of a call."""

    def stop(number: int, frame: object) -> None:
        raise TimeoutError(f"more than {SECONDS} s")

    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    handler = signal.signal(signal.SIGALRM, stop)
    resource.setrlimit(resource.RLIMIT_AS, (size + (MEGABYTES << 20), limits[1]))
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, limits)
        signal.signal(signal.SIGALRM, handler)


def fault_of(
    name: str, thing: Any, arguments: dict[str, Any], parameter: inspect.Parameter, value: Value, before: set[str]
) -> str:
    """Returns what is wrong with a call's answer to a value of an argument; empty if nothing is.

    `before` are the files in the working folder, which are those after it too.
    """
    fresh_arguments = {key: fresh(x) for key, x in arguments.items()} | {parameter.name: value.make()}
    error: BaseException | None = None
    with warnings.catch_warnings(record=True) as records:
        warnings.simplefilter("always")
        try:
            with limited():
                result = USES.get(name, lambda x: x)(call(thing, fresh_arguments))
                if isinstance(result, Iterator):
                    for _ in zip(result, range(3)):
                        pass
        except BaseException as exception:
            error = exception
    new = files_below() - before
    remove(new)
    is_fine = is_accepted(name, parameter.name, parameter.annotation, value)
    if not is_untouched(Path.cwd()):
        if not is_fine:
            return "a file was changed that the call had no business with"
        (Path.cwd().parent / SENTINEL).write_text(UNTOUCHED)
    if error is None:
        if is_fine or any(issubclass(w.category, errors.PyHarmonyWarning) for w in records):
            return ""
        return "accepted in silence"
    text = str(error)
    text_of_error = f"{type(error).__name__}: {text[:200]!r}"
    if not isinstance(error, errors.PyHarmonyError):
        return text_of_error
    if new:
        return f"{text_of_error}, but {sorted(new)} was written"
    if len(text) > 2000:
        return f"a message of {len(text)} characters"
    # Where two arguments do not fit together, the error may name the other one.
    words = {parameter.name} if parameter.name in text else set(re.split(r"[\[\].]+", error.argument or ""))
    if not is_fine and not words & set(parameters_of(thing)):
        return f"{text_of_error} does not name the argument"
    return ""


def composed(subject: Any) -> Any:
    try:
        return pyharmony.compose([subject], np.full((60, 80, 3), 128, np.uint8), harmonize=None, shadow=False)
    except errors.PyHarmonyError as error:  # it calls the photo by its place among the subjects
        raise (error.within("", "photo") if str(error).startswith("subjects[0]: ") else error) from None


#: Descriptions that are judged by what uses them.
USES = {
    "pyharmony.composition.Subject": composed,
    "pyharmony.learn.augment.Donor": lambda donor: augment.Bank([donor])[0].mask,
    "pyharmony.learn.augment.Bank.from_arrays": lambda bank: bank[0].mask,
}


@functools.lru_cache(1)
def parameters_of(thing: Any) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(thing).parameters


def call(thing: Any, arguments: dict[str, Any]) -> Any:
    positional, options = [], dict(arguments)
    for name, parameter in parameters_of(thing).items():
        if parameter.kind is parameter.VAR_POSITIONAL:
            positional += list(options.pop(name, ()))
        elif parameter.kind is parameter.POSITIONAL_ONLY:
            positional.append(options.pop(name))
        elif parameter.kind is parameter.VAR_KEYWORD:
            options |= options.pop(name, {})
    return thing(*positional, **options)


#: Methods of layers and networks, whose inputs torch checks.
OF_LAYERS = {"forward", "predict", "update", "remove"}


def function_of(method: Any) -> Any:
    return inspect.unwrap(getattr(method, "__func__", method))


def public_methods() -> dict[Any, str]:
    """Returns each public method that takes arguments, with a name of it."""
    names: dict[Any, str] = {}
    for name, thing in CALLABLES.items():
        for member in dir(thing) if inspect.isclass(thing) else ():
            method = getattr(thing, member)
            function = function_of(method)
            is_ours = inspect.isfunction(function) and function.__module__.startswith("pyharmony.")
            if not is_ours or member.startswith("_") or member in OF_LAYERS:
                continue
            if set(inspect.signature(method).parameters) - {"self"}:
                names.setdefault(function, f"{name}.{member}")
    return names


@contextlib.contextmanager
def unregistered() -> Iterator[None]:
    """Forgets the networks and steps that calls register."""
    tables = []
    if HAS_TORCH:
        for module, name in (
            ("pyharmony._catalogue", "_user_entries"),
            ("pyharmony.networks.models._registry", "_models"),
            ("pyharmony.learn.training.steps._step", "_steps"),
        ):
            table = getattr(importlib.import_module(module), name)
            tables.append((table, dict(table)))
    try:
        yield
    finally:
        for table, before in tables:
            table.clear()
            table.update(before)


def faults_of(name: str, thing: Any, arguments: dict[str, Any]) -> Iterator[str]:
    """Yields what is wrong with the answers to each value of each argument."""
    threads, device = pyharmony.get_num_threads(), pyharmony.get_device()
    before = files_below()
    try:
        for number, parameter in enumerate(parameters_of(thing).values(), len(name)):
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            for value in VALUES[kind_of(parameter)][number % VALUE_STEP :: VALUE_STEP]:
                if value.name == "none" and accepts_none(parameter):
                    continue
                with unregistered():
                    fault = fault_of(name, thing, arguments, parameter, value, before)
                if fault:
                    yield f"{parameter.name}, {value.name}: {fault}"
    finally:
        pyharmony.set_num_threads(threads)
        pyharmony.set_device(device)


@pytest.mark.skipif(not HAS_TORCH, reason=skips.not_installed("torch"))
def test_every_public_method_is_in_the_table(data_sets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data_sets)
    in_table = {function_of(method_of(name)[0]) for name in METHODS}
    assert [name for function, name in public_methods().items() if function not in in_table] == []


@pytest.mark.parametrize("name", METHODS)
def test_hostile_values_of_methods_are_refused(
    name: str, data_sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name.split(".")[1] in ("models", "training") and not HAS_TORCH:
        pytest.skip(skips.not_installed("torch"))
    shutil.copytree(data_sets, prepare_paths(tmp_path), dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path / "inner")
    faults = list(faults_of(name, *method_of(name)))
    assert not faults, f"{len(faults)} faults\n" + "\n".join(faults)


@pytest.mark.parametrize("name", marked(CALLABLES))
def test_hostile_values_are_refused(
    name: str, data_sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    thing = CALLABLES[name]
    source = "".join(steps_of(name, thing))
    for package, sign in OPTIONAL.items():
        if sign.search(source) and not importlib.util.find_spec(package):
            pytest.skip(skips.not_installed(package))
    shutil.copytree(data_sets, prepare_paths(tmp_path), dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path / "inner")
    modules = [importlib.import_module(path) for path in MODULES]
    faults = list(faults_of(name, thing, arguments_of(name, thing, modules)))
    assert not faults, f"{len(faults)} faults\n" + "\n".join(faults)


# The options of the commands

#: A command line of each command that runs in the folder of `examples`, or ends at an input that is missing.
LINES = {
    "batch": "none -o out",
    "blend": "photos/images/a.png photos/images/b.png photos/masks/a.png -o out.png",
    "apply-edit": "photos/images/a.png photos/images/a.png -o out.png",
    "edit": "photos/images/a.png photos/masks/a.png --mode inpaint -o out.png",
    "harmonize": "photos/images/a.png photos/masks/a.png --method reinhard -o out.png",
    "compose": "photos/images/a.png photos/images/b.png --mask photos/masks/a.png --at 1,1 -o out.png",
    "place": "photos/images/a.png photos/images/b.png --mask photos/masks/a.png -o out.json",
    "segment": "photos/images/a.png --box 8,6,16,12 --method grabcut -o out.png",
    "merge": "none.png photos/images/b.png -o out.png",
    "shadow": "photos/images/a.png photos/masks/a.png -o out.png",
    "reflection": "photos/images/a.png photos/masks/a.png -o out.png",
    "remove": "photos/images/a.png --mask photos/masks/a.png -o out.png",
    "super-resolve": "photos/images/a.png --method bicubic -o out.png",
    "sign": "photos/images/a.png --certificate none --key none --source none",
    "demo": "-o out", "info": "none.png", "doctor": "", "bench": "--sizes none", "serve": "", "mcp": "",
    "train": "none.toml", "evaluate": "none -o out", "models": "none", "models list": "",
    "models convert": "none none -o out", "models export": "none -o out", "data": "none -o out",
}  # fmt: skip
#: Hostile texts of an option; those of numbers are no numbers, though Python reads some of them.
TEXTS = (
    "", " ", "nan", "inf", "-1e400", "1_0", "٣", "0x10", "1,2,3,4,5,6,7", "no such word", "x" * 2000,
    f"../{SENTINEL}", SOCKET, "https://example.org/a.png", "-", "\x1b[2J",
)  # fmt: skip
#: The exit codes of a refusal, see docs/command-line.md.
REFUSALS = {1, 2, 3, 4, 6, 7}


def options_of() -> list[tuple[str, str]]:
    """Returns the command and the flag of each option that takes a value."""
    pairs = []
    for name, command in commands(get_command(app)):
        for parameter in command.params:
            if parameter.param_type_name == "option" and not (
                getattr(parameter, "is_flag", False) or getattr(parameter, "count", False)
            ):
                pairs.append((name, max(parameter.opts, key=len)))
    return pairs


#: Options that were flags, which take no value for a release.
FORMER_FLAGS = {option.flag for option in _calls.BLEND.flat if option.was_flag}


@pytest.mark.parametrize("name", marked(dict.fromkeys(name for name, _ in options_of())))
def test_hostile_texts_of_options_are_refused(
    name: str, data_sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(data_sets, prepare_paths(tmp_path), dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path / "inner")
    # The demo would take long for options that it accepts, and the service would never end.
    monkeypatch.setattr("pyharmony.cli._demo.run", lambda *arguments: None)
    monkeypatch.setattr("pyharmony.serve.serve", lambda *arguments: None)
    line = [*name.split(), *LINES.get(name, LINES[name.split()[0]]).split()]
    before, faults = files_below(), []
    threads, device = pyharmony.get_num_threads(), pyharmony.get_device()
    for number, flag in enumerate(flag for command, flag in options_of() if command == name):
        for text in TEXTS[number % VALUE_STEP :: VALUE_STEP]:
            if flag in FORMER_FLAGS and (text == "-" or os.path.isfile(text)):
                continue  # an argument after the flag, as it was
            with limited(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = CliRunner().invoke(app, [*line, flag, text])
            new = files_below() - before
            remove(new)
            message = result.stderr if result.exit_code else ""
            if result.exception is not None and not isinstance(result.exception, SystemExit):
                faults.append(f"{flag} {text[:30]!r}: {result.exception!r}")
            elif result.exit_code and (result.exit_code not in REFUSALS or not message or "unexpected" in message):
                faults.append(f"{flag} {text[:30]!r}: exit code {result.exit_code}, {message[:200]!r}")
            elif result.exit_code and (new or len(message) > 3000):
                faults.append(f"{flag} {text[:30]!r}: {len(message)} characters, and {new} was written")
            elif not is_untouched(Path.cwd()):
                faults.append(f"{flag} {text[:30]!r}: a file was changed that the command had no business with")
    pyharmony.set_num_threads(threads)
    pyharmony.set_device(device)
    assert not faults, f"{len(faults)} faults\n" + "\n".join(faults)
