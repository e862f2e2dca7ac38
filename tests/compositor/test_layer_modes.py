"""`pyharmony.compose`: the opacity and the mode of subjects, and corrections of the background and of the result."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

import pyharmony
from pyharmony import color, composition, io
from pyharmony._calls import COMPOSE
from pyharmony.composition import Subject
from pyharmony.errors import ArgumentError, DTypeError, PyHarmonyWarning
from pyharmony.typing import LayerMode

from .test_composition import HEIGHT, PASTE_OPTIONS, WIDTH, ground, object_

pytestmark = pytest.mark.chains

MODES = get_args(LayerMode)
DTYPES = [np.uint8, np.uint16, np.float32]
OPTIONS: dict[str, Any] = {"at": (30, 20), **PASTE_OPTIONS}
CURVE = [(0, 0.05), (0.4, 0.3), (0.7, 0.9), (1, 1)]


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PyHarmonyWarning)
        yield


def composed(*arguments: Any, **options: Any) -> tuple[np.ndarray, Any]:
    result, info = pyharmony.compose(*arguments, return_info=True, **options)
    again = pyharmony.compose(*arguments, recipe=json.loads(json.dumps(info.recipe)))
    assert again.tobytes() == result.tobytes()
    return result, info


def white_of(dtype: Any) -> float:
    return 1.0 if np.issubdtype(dtype, np.floating) else float(np.iinfo(dtype).max)


def mixture(mode: str, b: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Returns B(b, s) of W3C's Compositing and Blending Level 1, section 10.1, as it is written there."""

    def multiply(b: np.ndarray, s: np.ndarray) -> np.ndarray:
        return b * s

    def screen(b: np.ndarray, s: np.ndarray) -> np.ndarray:
        return b + s - b * s

    def hard_light(b: np.ndarray, s: np.ndarray) -> np.ndarray:
        return np.where(s <= 0.5, multiply(b, 2 * s), screen(b, 2 * s - 1))

    def soft_light(b: np.ndarray, s: np.ndarray) -> np.ndarray:
        d = np.where(b <= 0.25, ((16 * b - 12) * b + 4) * b, np.sqrt(b))
        return np.where(s <= 0.5, b - (1 - 2 * s) * b * (1 - b), b + (2 * s - 1) * (d - b))

    functions = {
        "normal": lambda b, s: s, "multiply": multiply, "screen": screen, "overlay": lambda b, s: hard_light(s, b),
        "darken": np.minimum, "lighten": np.maximum, "soft_light": soft_light,
    }  # fmt: skip
    return functions[mode](b, s)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", MODES)
def test_a_mode_is_the_one_of_the_standard(mode: Any, dtype: type) -> None:
    """The result is the standard's formula on the drawn colours, at any opacity, rounded once."""
    white, background = white_of(dtype), ground(dtype)
    for opacity in (1.0, 0.35):
        result, info = composed(object_(dtype), background, mode=mode, opacity=opacity, **OPTIONS)
        one, expected = info.subjects[0], background.astype(np.float64) / white
        x, y, wide, high = one.box
        below = expected[y : y + high, x : x + wide]
        share = one.alpha.astype(np.float64)[..., None] / white * opacity
        colours = one.colours.astype(np.float64) / white
        below[...] = (1 - share) * below + share * mixture(mode, below, colours)
        assert np.abs(result / white - expected).max() <= (0.5 + 1e-6) / white if white > 1 else 1e-6
        entry = info.recipe["subjects"][0]
        assert (entry["mode"], entry["opacity"]) == (mode, opacity)
        if white > 1:
            layer = info.layers[-1]
            assert (layer.blend, layer.opacity) == (mode, opacity)
            assert np.array_equal(io.merged_of(info.layers, (WIDTH, HEIGHT))[..., :3], result)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("blend_by", ["alpha", "gaussian_poisson", "poisson"])
def test_what_is_not_opaque_shows_the_background(dtype: type, blend_by: Any) -> None:
    options = {**OPTIONS, "blend": blend_by}
    plain, _ = composed(object_(dtype), ground(dtype), **options)
    same, _ = composed(object_(dtype), ground(dtype), opacity=1, mode="normal", **options)
    assert same.tobytes() == plain.tobytes()
    nothing, info = composed(object_(dtype), ground(dtype), opacity=0, **options)
    assert nothing.tobytes() == ground(dtype).tobytes() and info.subjects[0].mask.any()
    half, _ = composed(object_(dtype), ground(dtype), opacity=0.5, **options)
    mean = (plain.astype(np.float64) + ground(dtype)) / 2
    assert np.abs(half - mean).max() <= (1 if white_of(dtype) > 1 else 1e-6)
    # A shadow is not of the subject, and stays.
    shaded, shaded_info = composed(object_(), ground(), opacity=0, at=(30, 20), people=[], harmonize=None, shadow=True)
    assert (shaded <= ground()).all() and (shaded < ground()).any() and shaded_info.subjects[0].shadow is not None


def test_subjects_over_one_another_are_layers(tmp_path: Path) -> None:
    """Layers of every mode in a file merge to the composite, bit for bit, at 8 and 16 bits."""
    for dtype in (np.uint8, np.uint16):
        subjects = [
            Subject(object_(dtype), at=(4 + 15 * i, 20 + i), mode=mode, opacity=0.9 - 0.1 * i)
            for i, mode in enumerate(MODES)
        ]
        options = {**PASTE_OPTIONS, "shadow": True, "reflection": True}
        result, info = composed(subjects, ground(dtype), **options)
        assert [layer.blend for layer in info.layers if layer.name.startswith("subject")] == [
            MODES[i] for i in info.recipe["order"]
        ]
        io.write_layers(tmp_path / "x.ora", info.layers, result)
        layers, picture = io.read_layers(tmp_path / "x.ora")
        assert np.array_equal(picture.pixels[..., :3], result)
        assert [(one.blend, one.opacity) for one in layers] == [(one.blend, one.opacity) for one in info.layers]
        assert np.array_equal(io.merged_of(layers, (WIDTH, HEIGHT))[..., :3], result)


def test_opacity_is_that_of_the_alpha_of_a_transparent_background() -> None:
    background = np.dstack([ground(), np.zeros((HEIGHT, WIDTH), np.uint8)])
    result, info = composed(object_(), background, opacity=0.5, **OPTIONS)
    assert np.abs(result[..., 3].astype(float) - info.subjects[0].mask / 2).max() <= 1
    assert np.abs(io.merged_of(info.layers, (WIDTH, HEIGHT))[..., 3].astype(int) - result[..., 3]).max() <= 1
    _, adjusted = composed(object_(), background, opacity=0.5, adjust_result={"exposure": 1}, **OPTIONS)
    assert np.abs(io.merged_of(adjusted.layers, (WIDTH, HEIGHT))[..., 3].astype(int) - result[..., 3]).max() <= 1
    kept = pyharmony.compose(object_(), background, opacity=0.5, keep_alpha=True, **OPTIONS)
    assert not kept[..., 3].any()


def test_arguments_are_of_all_subjects_or_of_each() -> None:
    pair, places = [object_(), object_()], {"at": (5, 20), **PASTE_OPTIONS}
    result, info = composed(pair, ground(), opacity=0.5, mode="screen", **places)
    assert [(one["opacity"], one["mode"]) for one in info.recipe["subjects"]] == [(0.5, "screen")] * 2
    subjects = [Subject(object_(), at=(5, 20), opacity=0.5, mode="screen") for _ in pair]
    assert np.array_equal(pyharmony.compose(subjects, ground(), opacity=1, **PASTE_OPTIONS), result)
    with pytest.warns(DeprecationWarning, match="opacity: a list in step with that of the subjects"):
        pyharmony.compose(pair, ground(), opacity=[0.5, 1.0], **places)
    with pytest.raises(ArgumentError, match="opacity: passed beside a Subject, expected opacity of each Subject"):
        pyharmony.compose(subjects, ground(), opacity=0.2, **PASTE_OPTIONS)
    values = {"mode": ["soft-light"], "opacity": [0.5], "adjust_background": {"exposure": 1.0}}
    arguments = COMPOSE.arguments(values)
    assert arguments == {"mode": "soft_light", "opacity": 0.5, "adjust_background": {"exposure": 1.0}}


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_background_is_corrected_before_anything_else(dtype: type) -> None:
    """The composite is that over a background which was corrected before, and so is its light."""
    correction = {"exposure": 0.8, "temperature": 40, "contrast": 0.2, "saturation": 1.3, "curve": CURVE}
    options = {"at": (30, 20), "people": [], "harmonize": "reinhard", "shadow": True}
    before, _ = color.retouch(ground(dtype), parameters=color.Retouching(**correction))
    expected = pyharmony.compose(object_(dtype), before, **options)
    original = ground(dtype)
    result, info = composed(object_(dtype), original, adjust_background=correction, **options)
    assert result.tobytes() == expected.tobytes() and np.array_equal(original, ground(dtype))
    if dtype is not np.float32:
        assert np.array_equal(info.layers[0].pixels[..., :3], before)
        assert np.array_equal(io.merged_of(info.layers, (WIDTH, HEIGHT))[..., :3], result)
    auto = {"at": (30, 20), "people": [], "masks": np.full((50, 40), 255, np.uint8)}
    photo = np.ascontiguousarray(object_()[..., :3])
    lights = [
        info.recipe["subjects"][0]["harmonize"]["light"]
        for info in (
            composed(photo, color.retouch(ground(), parameters=color.Retouching(**correction))[0], **auto)[1],
            composed(photo, ground(), adjust_background=correction, **auto)[1],
        )
    ]
    assert lights[0] == lights[1]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("alpha", [False, True])
def test_the_result_is_corrected_last(dtype: type, alpha: bool) -> None:
    """It is the corrected composite; its layers have it on top, and below it all as before."""
    correction = {"exposure": -0.5, "saturation": 0.4, "curve": CURVE}
    background = ground(dtype)
    if alpha:
        background = np.dstack([background, np.full((HEIGHT, WIDTH), white_of(dtype) / 2).astype(dtype)])
    options = {**OPTIONS, "shadow": True, "mode": "multiply", "opacity": 0.8}
    plain, plain_info = composed(object_(dtype), background, **options)
    result, info = composed(object_(dtype), background, adjust_result=correction, **options)
    expected, _ = color.retouch(np.ascontiguousarray(plain[..., :3]), parameters=color.Retouching(**correction))
    assert np.array_equal(result[..., :3], expected) and np.array_equal(result[..., 3:], plain[..., 3:])
    if dtype is np.float32:
        return
    *others, top = info.layers
    assert (top.name, top.blend, top.opacity) == ("adjusted", "normal", 1)
    assert [one.name for one in others] == [one.name for one in plain_info.layers]
    assert all(np.array_equal(one.pixels, two.pixels) for one, two in zip(others, plain_info.layers, strict=True))
    assert np.array_equal(io.merged_of(info.layers, (WIDTH, HEIGHT))[..., :3], result[..., :3])
    cropped = {**info.recipe, "crop": [20, 10, 60, 50]}
    part, part_info = pyharmony.compose(object_(dtype), background, recipe=cropped, return_info=True)
    assert np.array_equal(part, result[10:60, 20:80])
    assert np.array_equal(io.merged_of(part_info.layers, (60, 50))[..., :3], part[..., :3])


@pytest.mark.parametrize("dtype", DTYPES)
def test_corrections_of_nothing_change_no_bit(dtype: type) -> None:
    same = {"exposure": 0, "temperature": 0.0, "contrast": 0, "saturation": 1, "curve": [(0, 0), (0.5, 0.5), (1, 1)]}
    plain, _ = composed(object_(dtype), ground(dtype), **OPTIONS)
    for name in ("adjust", "adjust_background", "adjust_result"):
        for correction in (same, {}, {"curve": None}, None):
            result, _ = composed(object_(dtype), ground(dtype), **{name: correction}, **OPTIONS)
            assert result.tobytes() == plain.tobytes()
    grey = np.ascontiguousarray(ground(dtype)[..., 0])
    warm = {"temperature": 60}
    result, _ = composed(object_(dtype), grey, adjust_background={"exposure": 1}, adjust_result=warm, **OPTIONS)
    assert result.shape == grey.shape and (result > grey).mean() > 0.5


def test_a_curve_goes_through_its_points_and_stays_between_them() -> None:
    interpolate = pytest.importorskip("scipy.interpolate", reason="SciPy is not installed")
    levels = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, 2)
    steps = [
        ((0.1, 0.2), (0.6, 0.2), (0.61, 0.9), (0.8, 1)),
        ((0, 1), (1, 0)),
        ((0, 0), (0.3, 0.8), (0.6, 0.1), (1, 1)),
    ]
    for points in (CURVE, *steps):
        result, used = color.retouch(levels, parameters=color.Retouching(curve=points))
        x, y = np.array(points).T
        expected = interpolate.PchipInterpolator(x, y)((np.arange(256) / 255).clip(x[0], x[-1]))
        # Between two of its 4096 entries, at equal steps in linear light, a table is straight.
        assert np.abs(result[0, :, 0] - 255 * expected).max() <= (0.6 if points not in steps[:1] else 3)
        assert np.ptp(result, 2).max() == 0 and used.curve == tuple((float(a), float(b)) for a, b in points)
        if (np.diff(y) >= 0).all():
            assert (np.diff(result[0, :, 0].astype(int)) >= 0).all()
    result, _ = composed(object_(), ground(), adjust={"curve": np.array(CURVE)}, **OPTIONS)
    once, _ = composed(object_(), ground(), **OPTIONS)
    assert (result != once).any() and np.array_equal(result[:15], ground()[:15])


NO_CURVE = "expected 2 to 16 points"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"opacity": 1.5}, ArgumentError, "opacity: 1.5, expected a number from 0 to 1"),
        ({"opacity": "1"}, DTypeError, "opacity: str '1', expected a number from 0 to 1"),
        ({"mode": "hue"}, ArgumentError, "mode: 'hue', expected one of 'normal', 'multiply'"),
        ({"mode": "screen", "blend": "poisson"}, ArgumentError, "mode: 'screen' with blend 'poisson', expected 'norm"),
        ({"adjust_background": 3}, ArgumentError, "adjust_background: 3, expected None or numbers by name: exposure"),
        ({"adjust_background": {"exposure": 5}}, ArgumentError, "adjust_background.exposure: 5, expected a number"),
        ({"adjust_background": {"edge": 1}}, ArgumentError, "adjust_background.edge: not an argument of adjust-backg"),
        ({"adjust_result": {"feather": 1}}, ArgumentError, "adjust_result.feather: not an argument of adjust-result"),
        ({"adjust": {"curve": 3}}, ArgumentError, f"adjust.curve: 3, {NO_CURVE}"),
        ({"adjust": {"curve": [(0, 0)]}}, ArgumentError, f"adjust.curve: [(0, 0)], {NO_CURVE}"),
        ({"adjust": {"curve": [(0, 0), (0, 1)]}}, ArgumentError, f"adjust.curve: [(0, 0), (0, 1)], {NO_CURVE}"),
        ({"adjust": {"curve": [(0, 0), (1, 1.1)]}}, ArgumentError, f"adjust.curve: [(0, 0), (1, 1.1)], {NO_CURVE}"),
        ({"adjust": {"curve": [(0, 0), (1, np.nan)]}}, ArgumentError, NO_CURVE),
        ({"adjust_result": {"curve": [0, 1]}}, ArgumentError, f"adjust_result.curve: [0, 1], {NO_CURVE}"),
        ({"adjust_result": {"curve": [(i / 20, 0) for i in range(17)]}}, ArgumentError, NO_CURVE),
    ],
)
def test_what_is_not_accepted_is_told(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as raised:
        pyharmony.compose(object_(), ground(), **{**OPTIONS, **arguments})
    assert message in str(raised.value)


def test_a_tone_curve_is_checked() -> None:
    for curve in (((0, 0), (0, 1)), ((0, 0),), ((0, 0), (1, True)), ((0, 0, 0), (1, 1, 1)), np.zeros((3, 2))):
        with pytest.raises(ArgumentError, match=f"^curve: .*{NO_CURVE}"):
            color.Retouching(curve=curve)  # type: ignore[arg-type]
    with pytest.raises(DTypeError, match="curve: str, expected 2 to 16 points"):
        color.Retouching(curve="x")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=f"^curve: .*{NO_CURVE}"):
        color.Retouching(curve=((0, 0), (1e-9, 1), (1, 1)))
    assert color.Retouching(curve=((0, 0), (1, 1))) == color.Retouching()


def test_recipes_from_before_have_none_of_it_and_new_ones_are_checked() -> None:
    result, info = composed(object_(), ground(), **OPTIONS)
    assert "adjust_result" not in info.recipe
    older = json.loads(json.dumps(info.recipe))
    for name in ("opacity", "mode"):
        del older["subjects"][0][name]
    assert np.array_equal(pyharmony.compose(object_(), ground(), recipe=older), result)
    for change, message in (
        ({"adjust_result": 3}, "adjust_result: 3, expected null, or corrections"),
        ({"adjust_background": {"edge": 2}}, "adjust_background.edge: not an argument"),
        ({"adjust_background": {"curve": [[0, 0], [1, 2]]}}, f"adjust_background.curve: .*{NO_CURVE}"),
    ):
        with pytest.raises(ArgumentError, match=f"^recipe: {message}"):
            composition.read_recipe({**info.recipe, **change})
    for change, message in (
        ({"opacity": -1}, "opacity: -1, expected a number from 0 to 1"),
        ({"mode": "soft-light"}, "mode: 'soft-light', expected one of normal"),
        ({"mode": "screen", "blend": "poisson"}, "mode: 'screen' with blend 'poisson', expected 'normal'"),
    ):
        entry = {**info.recipe["subjects"][0], **change}
        with pytest.raises(ArgumentError, match=rf"^recipe: subjects\[0\].{message}"):
            composition.read_recipe({**info.recipe, "subjects": [entry]})


def test_previews_show_opacity_modes_and_corrections() -> None:
    large, subject = (np.kron(x, np.ones((4, 4, 1), np.uint8)) for x in (ground(), object_()))
    options = {**OPTIONS, "at": (120, 80), "mode": "multiply", "opacity": 0.7}
    options |= {"adjust_background": {"exposure": 0.6}, "adjust_result": {"curve": CURVE}}
    whole, info = composed(subject, large, **options)
    small = pyharmony.compose(subject, large, recipe=info.recipe, side=WIDTH)
    reduced = whole.reshape(HEIGHT, 4, WIDTH, 4, 3).mean((1, 3))
    assert small.shape == (HEIGHT, WIDTH, 3) and np.abs(small - reduced).mean() < 1.5
