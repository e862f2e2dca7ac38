"""Tests of the parts of errors, warnings and reasons that programs read: codes, arguments, hints."""

import copy
import inspect
import pickle

import numpy as np
import pytest

import pyharmony
from pyharmony import blend, errors
from pyharmony.errors import ArgumentError, DataError, PyHarmonyError, PyHarmonyWarning, Reason, WeightsError

CLASSES = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, Exception)]
PUBLIC = [one for one in CLASSES if not one.__name__.startswith("_")]


@pytest.mark.parametrize(
    ("message", "argument", "text"),
    [
        ("azimuth: 400, expected 0 to 360", "azimuth", "400, expected 0 to 360"),
        ("points[1]: outside", "points[1]", "outside"),
        ("subjects[1].mask: empty", "subjects[1].mask", "empty"),
        ("subjects[1]: points[0]: outside", "subjects[1].points[0]", "outside"),
        ("subjects[1]: adjust.edge: 99, expected less", "subjects[1].adjust.edge", "99, expected less"),
        ("the alpha of src: zero everywhere", "src", "zero everywhere"),
        ("image: cat.png: damaged", "image", "cat.png: damaged"),
        ("nothing was blended: mask is zero", None, "nothing was blended: mask is zero"),
        ("Mask: zero", None, "Mask: zero"),
        ("", None, ""),
    ],
)
def test_argument_is_the_name_that_a_message_begins_with(message, argument, text):
    error = ArgumentError(message)
    assert (error.argument, error.text, str(error)) == (argument, text, message)


def test_names_of_files_are_no_arguments():
    assert WeightsError("none.safetensors: there is no such file").argument is None
    assert DataError("a: its mask is empty").argument is None
    assert DataError("path: no data set").argument == "path"


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
def test_each_class_has_a_code_and_is_pickled_whole(kind):
    assert kind("x: 1").code == kind.code and len({one.code for one in PUBLIC}) == len(PUBLIC)
    error = kind("x: 1", code="sizes-differ", hint="pass at=(x, y)", given=(3, 4))
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301
        assert type(again) is kind and vars(again) == vars(error) and again.args == error.args
        assert (again.code, again.hint, again.details) == ("sizes-differ", "pass at=(x, y)", {"given": (3, 4)})
        assert str(again) == "x: 1; pass at=(x, y)"


def test_an_error_of_one_of_several_keeps_its_parts():
    error = ArgumentError("points: none", code="no-points", hint="pass a box").within("subjects[2]: ")
    assert str(error) == "subjects[2]: points: none; pass a box"
    assert (error.argument, error.code, error.hint) == ("subjects[2].points", "no-points", "pass a box")


def test_errors_and_warnings_of_calls_carry_them():
    with pytest.raises(PyHarmonyError) as error:
        pyharmony.set_num_threads(0)
    assert (error.value.code, error.value.argument) == ("not-accepted", "n")
    image = np.zeros((4, 4, 3), np.uint8)
    with pytest.warns(PyHarmonyWarning) as records:
        blend.alpha(image, image, np.eye(4, dtype=np.uint8) * 15)
    assert isinstance(records[0].message, PyHarmonyWarning)
    assert (records[0].message.code, records[0].message.argument) == ("doubtful-mask", "mask")


def test_a_reason_is_its_sentence():
    reason = Reason("outside", "the object lies outside dst")
    assert reason == "the object lies outside dst" and f"{reason}" == str(reason) and repr(reason) == repr(str(reason))
    for again in (pickle.loads(pickle.dumps(reason)), copy.deepcopy(reason)):  # noqa: S301
        assert again == reason and again.code == "outside"
    inner = reason.within("no shadow: ")
    assert inner == "no shadow: the object lies outside dst" and inner.code == "outside"
    assert not errors.NO_REASON and not errors.NO_REASON.within("no shadow: ") and errors.NO_REASON.code == ""
