"""Every call is described once: its function, command, requests, page and recipe follow from the description."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import pyharmony
from pyharmony import blend, composition, upscaling
from pyharmony._calls import (
    APPLY_EDIT,
    BLEND,
    COMPOSE,
    EDIT,
    HARMONIZE,
    MERGE,
    PLACE,
    REFLECTION,
    REMOVE,
    SEGMENT,
    SHADOW,
    SUPER_RESOLVE,
    Call,
    Option,
)
from pyharmony.cli._console import Console
from pyharmony.cli._options import described_by
from pyharmony.composition import _arguments, _recipe
from pyharmony.upscaling import METHODS

CALLS = (
    APPLY_EDIT, BLEND, COMPOSE, EDIT, HARMONIZE, MERGE, PLACE, REFLECTION, REMOVE, SEGMENT, SHADOW, SUPER_RESOLVE,
)  # fmt: skip
#: The function of each call, and of each mode of blends and edits, with its description.
FUNCTIONS: dict[str, tuple[Callable[..., Any], Call]] = {
    "apply-edit": (pyharmony.apply_edit, APPLY_EDIT), "compose": (pyharmony.compose, COMPOSE),
    "harmonize": (pyharmony.harmonize, HARMONIZE), "merge": (pyharmony.merge, MERGE),
    "place": (pyharmony.place, PLACE), "shadow": (pyharmony.shadow, SHADOW),
    "reflection": (pyharmony.reflection, REFLECTION), "segment": (pyharmony.segment, SEGMENT),
    "remove": (pyharmony.remove, REMOVE), "super-resolve": (upscaling.super_resolve, SUPER_RESOLVE),
    **{mode: (getattr(blend, mode.replace("-", "_")), call) for call in (BLEND, EDIT) for mode in call.modes},
}  # fmt: skip
#: The public functions on images that are no calls: they read or write, measure, repeat a call, or are a step of one.
NO_CALLS = {
    "load", "save", "harmony_score", "realism_score", "match_grain", "match_sharpness", "paste_many", "placed_mask",
    "gaussian_poisson_tiles",
}  # fmt: skip
#: The arguments that are no options: images, files, and what only Python can hold.
OF_A_RUN = {"device", "errors", "out", "return_info", "keep_gps"}
IN_PYTHON = {
    "compose": {"recipe", "side", "out", "return_info"},
    "place": {"posture"},
    "segment": {"labels"},
    "shadow": {"at", *OF_A_RUN},
    "reflection": {"at", *OF_A_RUN},
    "remove": {"at", "points", "beside", "box", "lasso", *OF_A_RUN},  # what segments is of the command
}


def test_every_public_call_is_described() -> None:
    public = [getattr(room, name) for room in (pyharmony, blend) for name in room.__all__]
    functions = {x for x in public if inspect.isfunction(x) and inspect.signature(x).parameters}
    settings = {pyharmony.set_device, pyharmony.set_num_threads, pyharmony.simd_level}
    described = {function for function, _ in FUNCTIONS.values()}
    assert {function.__name__ for function in functions - settings - described} == NO_CALLS
    assert {call.command for _, call in FUNCTIONS.values()} == {call.command for call in CALLS}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_description_is_that_of_the_function(name: str) -> None:
    function, call = FUNCTIONS[name]
    parameters = dict(inspect.signature(function).parameters)
    inputs = {one: parameters.pop(one, None) for one in call.inputs}
    assert all(inputs[one] is not None for one in call.needed if call.modes), inputs
    is_mode = name in call.modes
    options = [option for option in call.options if not option.modes or name in option.modes]
    if call.modes:  # others are of the command: the mode, the file to write, steps after the call
        options = [option for option in options if option.argument or option.name in (*parameters, "model")]
    described = {option.each or option.name: option for option in options}
    beyond = IN_PYTHON.get(name, OF_A_RUN)
    of_interfaces = {"beside", "scribble_beside", "lasso_beside", "model"} - set(parameters)
    assert set(parameters) - beyond == set(described) - beyond - of_interfaces
    for argument, option in described.items():
        if argument in parameters and parameters[argument].default is not inspect.Parameter.empty:
            default = parameters[argument].default
            if is_mode or call.harmonizes:
                assert default is None or words_of(default, argument) in option.default, argument
            else:
                assert default == option.value, argument


def words_of(default: Any, argument: str) -> str:
    """Returns a default of a function as the help of a blend says it: a number, a word, or what is on."""
    if isinstance(default, bool):
        return argument.replace("_", "-") if default else ""
    return f"{default:g}" if isinstance(default, float | int) else default.replace("_", "-")


def test_words_are_those_of_the_library() -> None:
    assert set(COMPOSE.by_name["upscale"].type) <= set(METHODS)
    assert COMPOSE.by_name["blend"].identifiers == ("alpha", "gaussian_poisson", "poisson")


def test_every_option_of_recipes_has_a_neutral_value() -> None:
    options = [option for option in COMPOSE.options if option.in_recipe]
    assert all(option.accepts(option.neutral) for option in options), [option.name for option in options]


TRIAL = Option("vignette", float, "How bright the corners of the scene remain.", value=1.0, low=0, high=1, look=True,
               in_recipe=True, is_new=True, neutral=1, on_page="field")  # fmt: skip


@pytest.fixture
def trial(monkeypatch: pytest.MonkeyPatch) -> Call:
    """Adds an option to the description of compose."""
    call = dataclasses.replace(COMPOSE, options=(*COMPOSE.options, TRIAL))
    monkeypatch.setattr(_recipe, "COMPOSE", call)
    return call


def test_an_option_that_is_added_is_in_the_command_and_its_reference(trial: Call) -> None:
    values: list[dict[str, Any]] = []

    @described_by(trial)
    def compose(console: Console, options: dict[str, Any]) -> None:
        """Compose."""
        values.append(trial.arguments(options))

    app = typer.Typer(rich_markup_mode=None)
    app.command()(compose)
    result = CliRunner().invoke(app, ["--vignette", "0.5", "--json"])
    assert result.exit_code == 0, result.output
    assert values == [{"vignette": 0.5}]
    help_text = CliRunner().invoke(app, ["--help"]).output
    assert "--vignette" in help_text and "How bright the corners" in help_text
    assert CliRunner().invoke(app, ["--vignette", "2"]).exit_code == 2


def test_an_option_that_is_added_is_in_the_service_and_on_the_page(trial: Call) -> None:
    pytest.importorskip("fastapi", reason="fastapi is not installed")
    from pyharmony.serve._answers import page_fields
    from pyharmony.serve._bodies import compose_body

    schema = compose_body(trial).model_json_schema()["properties"]["vignette"]
    assert (schema["minimum"], schema["maximum"], schema["default"]) == (0, 1, 1.0)
    assert schema["description"] == TRIAL.about
    (field,) = (field for field in page_fields(trial) if field.name == "vignette")
    assert (field.type, field.low, field.high, field.default, field.look) == ("number", 0, 1, 1.0, True)


def test_an_option_that_is_added_is_in_recipes_and_older_ones_open(trial: Call) -> None:
    subject = np.zeros((30, 20, 4), np.uint8)
    subject[5:25, 5:15] = 255
    photos = subject, np.full((60, 80, 3), 128, np.uint8)
    _, info = pyharmony.compose(*photos, at=(10, 20), shadow=False, harmonize=None, return_info=True)
    assert "vignette" not in info.recipe["subjects"][0]
    older = composition.read_recipe(info.recipe)
    assert older["subjects"][0]["vignette"] == 1
    newer = {**older, "subjects": [{**older["subjects"][0], "vignette": 0.5}]}
    assert composition.read_recipe(newer)["subjects"][0]["vignette"] == 0.5
    with pytest.raises(pyharmony.errors.ArgumentError, match="vignette: 2, expected a number from 0 to 1"):
        composition.read_recipe({**older, "subjects": [{**older["subjects"][0], "vignette": 2}]})


def test_every_option_of_compose_is_on_the_page_but_one() -> None:
    # Where a photo was taken is never in what the page saves.
    assert [option.name for option in COMPOSE.options if not option.on_page] == ["keep_gps"]


def test_a_group_that_is_no_step_has_the_flags_of_its_arguments_alone() -> None:
    """Checks that an argument is passed once for all subjects, or once for each."""
    values: list[Any] = []

    @described_by(COMPOSE)
    def compose(console: Console, options: dict[str, Any]) -> None:
        """Compose."""
        values.append(COMPOSE.arguments(options, 2, True).get("adjust"))

    app = typer.Typer(rich_markup_mode=None)
    app.command()(compose)
    help_text = CliRunner().invoke(app, ["--help"]).output
    assert "--adjust-exposure F" in help_text and "--adjust " not in help_text
    assert CliRunner().invoke(app, ["--json"]).exit_code == 0
    assert CliRunner().invoke(app, ["--json", "--adjust-edge", "-2"]).exit_code == 0
    each = ["--adjust-exposure", "0.5", "--adjust-exposure", "1", "--adjust-saturation", "0"]
    assert CliRunner().invoke(app, ["--json", *each]).exit_code == 0
    assert values == [
        None, {"edge": -2.0}, [{"exposure": 0.5, "saturation": 0.0}, {"exposure": 1.0, "saturation": 0.0}],
    ]  # fmt: skip
    with pytest.raises(ValueError, match="--adjust-edge: given 3 times for 2 subjects, expected once for each, or "):
        COMPOSE.arguments({"adjust": {"edge": [1, 2, 3]}}, 2, True)


def test_strength_is_how_far_the_subject_is_matched() -> None:
    options = [option for option in COMPOSE.options if option.in_recipe and not option.each]
    own = {"blend": "poisson", "reflection": True, "grain": 0.8, "upscale": None}
    settings = {option.name: option.value for option in options} | own
    half = _arguments.settings_of("auto", 0.5, settings)
    assert (half["sharpness"], half["grain"], half["harmonize"]["strength"]) == (0.5, 0.4, 0.5)
    twice = _arguments.settings_of("auto", 2.0, settings)
    assert (twice["sharpness"], twice["grain"], twice["harmonize"]["strength"]) == (1.0, 0.8, 2.0)
    plain = _arguments.settings_of("auto", 0, settings)
    assert plain == {option.name: option.neutral for option in options} | {"harmonize": None, "upscale": None}
