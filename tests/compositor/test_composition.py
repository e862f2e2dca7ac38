"""`pyharmony.compose`: positions, layers, recipes, kinds of images, what it says where something cannot be."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import io as files
import json
import math
import re
import tracemalloc
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pyharmony
from pyharmony import blend, color, composition, io, placement, segmentation
from pyharmony._calls import ADJUST
from pyharmony.composition import Subject, _adjust, _recipe, _render, _subject
from pyharmony.errors import ArgumentError, DTypeError, MaskError, PyHarmonyWarning, Reason, ShapeError, WeightsError
from pyharmony.learn import augment
from pyharmony.segmentation import Posture
from pyharmony.segmentation.surroundings import surroundings_of

from ..shared import load_script

pytestmark = pytest.mark.chains


HEIGHT, WIDTH = 90, 130
PASTE_OPTIONS: dict[str, Any] = {"harmonize": None, "shadow": False, "grain": 0.0, "sharpness": 0.0, "people": []}


def ground(dtype: type = np.uint8) -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    levels = np.stack([60 + x, 90 + y, 200 - x], 2) + np.random.default_rng(0).normal(0, 2, (HEIGHT, WIDTH, 3))
    values = levels.clip(0, 255) / 255
    return (
        np.rint(values * np.iinfo(dtype).max).astype(dtype)
        if np.issubdtype(dtype, np.integer)
        else values.astype(dtype)
    )


def object_(dtype: type = np.uint8) -> np.ndarray:
    """Returns a disc on a foot, with soft edges, [50, 40, 4]."""
    y, x = np.mgrid[:50, :40] + 0.5
    alpha = np.clip(12 - np.hypot(x - 20, y - 20) + 0.5, 0, 1)
    alpha[30:44, 16:25] = 1
    colours = np.stack([0.8 - x / 90, 0.2 + y / 90, 0.4 + 0 * x], 2)
    whole = np.dstack([colours, alpha])
    return (
        np.rint(whole * np.iinfo(dtype).max).astype(dtype) if np.issubdtype(dtype, np.integer) else whole.astype(dtype)
    )


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PyHarmonyWarning)
        yield


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("at", [(30, 20), (-12, 60), (30.25, 20.5)])
def test_without_looks_it_is_the_plain_paste(dtype: type, at: tuple[float, float]) -> None:
    expected = blend.alpha(object_(dtype), ground(dtype), at=at)
    result = pyharmony.compose(object_(dtype), ground(dtype), at=at, **PASTE_OPTIONS)
    assert result.dtype == dtype
    if at == (30, 20):
        assert np.array_equal(result, expected)
    else:
        level = 1 / 255 if np.issubdtype(dtype, np.floating) else np.iinfo(dtype).max / 255
        assert np.abs(result.astype(np.float64) - expected.astype(np.float64)).max() <= level


def test_harmonized_by_nothing_is_the_plain_paste_too() -> None:
    expected = blend.alpha(object_(), ground(), at=(30, 20))
    result = pyharmony.compose(
        object_(), ground(), at=(30, 20), **{**PASTE_OPTIONS, "harmonize": "auto", "strength": 0.0}
    )
    assert np.array_equal(result, expected)


def test_the_light_of_a_photograph_is_told_and_that_of_a_cut_out_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies under an alpha of 0 is no scene: a cut-out that is black there is not taken for one from the dark."""
    hints: list[dict[str, Any]] = []
    as_step = _render.as_step

    def record_hints(function: Any, *arguments: Any, **options: Any) -> Any:
        if function is _render.harmonize:
            hints.append({name: options.get(name) for name in ("source", "source_mask", "reference_mask")})
        return as_step(function, *arguments, **options)

    monkeypatch.setattr(_render, "as_step", record_hints)
    options = PASTE_OPTIONS | {"harmonize": "auto", "at": (30, 20)}
    cutout = object_()
    alpha = cutout[..., 3]
    dark = np.where(alpha[..., None] > 0, cutout, np.uint8(0))
    results = [pyharmony.compose(x, ground(), **options) for x in (cutout, dark)]
    assert np.array_equal(*results)
    assert [entry["source"] is None for entry in hints] == [True, True]
    options["harmonize"] = "reinhard"  # which is told the same
    # A photograph with a mask is told whole, and so is what is seen beside a mask in one that is transparent in parts.
    photograph, mask = ground()[:50, :40], np.where(alpha > 127, np.uint8(255), np.uint8(0))
    pyharmony.compose(photograph, ground(), masks=mask, **options)
    hint = hints[-1]
    assert np.array_equal(hint["source"], photograph) and np.array_equal(hint["source_mask"] >= 128, mask >= 128)
    assert hint["reference_mask"] is None
    half = np.dstack([photograph, np.full((50, 40), 255, np.uint8)])
    half[:12, :, 3] = 0
    pyharmony.compose(half, ground(), masks=np.where(half[..., 3] > 0, mask, 0).astype(np.uint8), **options)
    assert (hints[-1]["source_mask"][:12] == 255).all() and (hints[-1]["source_mask"][12:, 0] == 0).all()
    _, info = pyharmony.compose(figure(84), wall(), people=crowd(), harmonize="reinhard", return_info=True)
    faces = info.recipe["subjects"][0]["harmonize"]["reference_heads"]
    assert faces and hints[-1]["reference_mask"][tuple(int(faces[0][i] + faces[0][i + 2] / 2) for i in (1, 0))] == 255


def test_an_object_lies_where_matrices_say() -> None:
    """Four dots of an object are found where its place takes them, mirrored, scaled and turned."""
    subject, whole = np.full((60, 80, 3), 40, np.uint8), np.full((60, 80), 255, np.uint8)
    dots = np.array([[12, 10], [66, 10], [12, 48], [66, 30]])
    for x, y in dots:
        subject[y - 2 : y + 3, x - 2 : x + 3] = 255
    background = np.full((300, 400, 3), 90, np.uint8)
    for scale, angle, flip in ((1.0, 0.0, False), (1.7, 0.0, True), (0.8, 25.0, False), (2.2, -140.0, True)):
        spot = placement.Placement(180.3, 140.7, scale, angle, flip, (), 0.0, {}, (0, 0, 0, 0), (80, 60))
        result, info = pyharmony.compose(subject, background, masks=whole, at=spot, return_info=True, **PASTE_OPTIONS)
        for x, y in dots:
            u, v = spot.matrix @ (x, y, 1)
            reach = int(4 * scale) + 2
            part = result[round(v) - reach : round(v) + reach + 1, round(u) - reach : round(u) + reach + 1, 0]
            weights = np.clip(part.astype(float) - 100, 0, None)
            rows, columns = np.mgrid[: part.shape[0], : part.shape[1]]
            centre = (
                (weights * columns).sum() / weights.sum() + round(u) - reach,
                (weights * rows).sum() / weights.sum() + round(v) - reach,
            )
            assert abs(centre[0] - u) < 0.35 and abs(centre[1] - v) < 0.35, (scale, angle, flip)
        assert np.array_equal(result[info.subjects[0].mask == 0], background[info.subjects[0].mask == 0])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("method", ["alpha", "gaussian_poisson", "poisson"])
def test_layers_merged_are_the_picture(dtype: type, method: str, tmp_path: Path) -> None:
    options = {
        "at": (30.5, 12),
        "scale": 1.3,
        "angle": 8.0,
        "blend": method,
        "shadow": {"azimuth": 120, "elevation": 30},
    }
    options["harmonize"] = "reinhard"
    result, info = pyharmony.compose(object_(dtype), ground(dtype), people=[], return_info=True, **options)
    names = [(layer.name, layer.blend) for layer in info.layers]
    assert names == [("background", "normal"), ("shadow 1", "multiply"), ("subject 1", "normal")]
    merged = io.merged_of(info.layers, (WIDTH, HEIGHT))
    assert np.array_equal(merged[..., :3], result) and (merged[..., 3] == np.iinfo(dtype).max).all()
    io.write_layers(tmp_path / "x.ora", info.layers, result)
    layers, picture = io.read_layers(tmp_path / "x.ora")
    assert np.array_equal(picture.pixels[..., :3], result) and len(layers) == 3
    one = info.subjects[0]
    assert one.shadow is not None and one.shadow.shape == (HEIGHT, WIDTH, 3) and one.shadow.min() < 250
    untouched = (one.mask == 0) & (one.shadow == 255).all(2)
    assert np.array_equal(result[untouched], ground(dtype)[untouched])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_layers_of_a_grey_composite_are_grey(dtype: type, tmp_path: Path) -> None:
    warm = {"temperature": 0.5, "exposure": 0.2}
    looks: list[dict[str, Any]] = [{"blend": "poisson"}, {"mode": "soft_light", "opacity": 0.7}, {"reflection": True}]
    looks += [{"adjust": warm}, {"adjust_background": warm}, {"adjust_result": warm}]
    shadow = {"azimuth": 120, "elevation": 30}
    for look in looks:
        options = {"at": (30.5, 12), "angle": 8.0, "shadow": shadow, "people": []} | look
        result, info = pyharmony.compose(object_(dtype), ground(dtype)[..., 1], return_info=True, **options)
        io.write_layers(tmp_path / "x.ora", info.layers, np.dstack([result] * 3))
        merged = io.merged_of(io.read_layers(tmp_path / "x.ora")[0], (WIDTH, HEIGHT))
        assert (merged[..., :3] == result[..., None]).all(), look
        assert result.dtype == dtype and (result != ground(dtype)[..., 1]).any()


def test_layers_hold_no_floats() -> None:
    _, info = pyharmony.compose(object_(np.float32), ground(np.float32), at=(5, 5), return_info=True, **PASTE_OPTIONS)
    with pytest.raises(ArgumentError, match="float32, layers hold 8 or 16 bits"):
        _ = info.layers


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_recipe_gives_the_same_bytes(dtype: type, tmp_path: Path) -> None:
    options = {"at": (30.5, 22), "scale": 1.3, "angle": -8.0, "people": [], "seed": 3, "flip": True}
    options["harmonize"] = "reinhard" if dtype == np.uint16 else "auto"
    result, info = pyharmony.compose(object_(dtype), ground(dtype), return_info=True, **options)
    path = tmp_path / "r.json"
    path.write_text(json.dumps(info.recipe))
    again, recipe_info = pyharmony.compose(object_(dtype), ground(dtype), recipe=path, return_info=True)
    assert again.tobytes() == result.tobytes() and recipe_info.recipe == json.loads(path.read_text())
    if dtype == np.uint8:
        assert pyharmony.compose(object_(dtype), ground(dtype), recipe=info.recipe).tobytes() == result.tobytes()
    small = pyharmony.compose(object_(dtype), ground(dtype), recipe=info.recipe, side=65)
    assert small.shape == (45, 65, 3)


def test_a_recipe_of_other_photographs_is_refused() -> None:
    _, info = pyharmony.compose(object_(), ground(), at=(30, 20), return_info=True, **PASTE_OPTIONS)
    recipe = json.loads(json.dumps(info.recipe))
    with pytest.raises(ArgumentError, match="background differs from the one"):
        pyharmony.compose(object_(), ground() // 2, recipe=recipe)
    with pytest.raises(ArgumentError, match=r"subjects\[0\] differs from the one"):
        pyharmony.compose(object_()[:, ::-1], ground(), recipe=recipe)
    with pytest.raises(ArgumentError, match="recipe: 1 subjects, but 2 photos were passed"):
        pyharmony.compose([object_(), object_()], ground(), recipe=recipe)


LOOK_OPTIONS: dict[str, Any] = {
    "at": (30, 20), "people": [], "scale": 2.0, "shadow": {"azimuth": 120, "tip": (80, 84)},
    "reflection": {"strength": 0.3, "contact": ((0, 80), (9, 80))}, "adjust": {"exposure": 0.5, "edge": 1},
}  # fmt: skip
MASK_OF = {"size": [40, 50], "box": [0, 0, 0, 0], "png": ""}
NUMBERS = ("1", None, True, float("nan"), float("inf"), [1])
SIZES = (None, [1], [0, 3], [2.5, 3], ["a", "b"], {"w": 1})
SHARES = (*NUMBERS, -0.1, 1.5)
SUMS = (None, 3, "x", "A" * 64, "0" * 63)


@pytest.fixture(scope="module")
def whole_recipe() -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PyHarmonyWarning)
        _, info = pyharmony.compose(object_(), ground(), return_info=True, **LOOK_OPTIONS)
    return json.dumps(info.recipe)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("schema", (None, 1, "x", "pyharmony.recipe/0")),
        ("version", (None, 1)),
        ("size", SIZES),
        ("background", SUMS),
        ("seed", (None, "1", 1.5, -1, True)),
        ("order", (None, 0, [1], [0, 0], ["0"], [-1], [])),
        ("subjects", (None, 3, {}, [], [3])),
        ("subjects[0].size", SIZES),
        ("subjects[0].digest", SUMS),
        ("subjects[0].mask", (3, "x", [], {}, {**MASK_OF, "size": [9, 9]}, {**MASK_OF, "box": [0, 0, 1]})),
        ("subjects[0].mask", ({**MASK_OF, "png": 3}, {**MASK_OF, "box": [-1, 0, 1, 1]})),
        ("subjects[0].cover", (3, {}, MASK_OF)),
        ("subjects[0].x", NUMBERS),
        ("subjects[0].y", NUMBERS),
        ("subjects[0].scale", (*NUMBERS, 0, -1, 1001)),
        ("subjects[0].angle", NUMBERS),
        ("subjects[0].flip", (None, 1, "true")),
        ("subjects[0].cropped_sides", (None, "bottom", ["below"], [3])),
        ("subjects[0].hidden", (None, 0)),
        ("subjects[0].blend", (None, "x", 3, ["alpha"])),
        ("subjects[0].harmonize", (3, "auto", [], {})),
        ("subjects[0].harmonize.method", (None, "", 3)),
        ("subjects[0].harmonize.weights", (3, {}, {"name": "x"}, {"name": "x", "sha256": "0"})),
        ("subjects[0].harmonize.strength", (*NUMBERS, -1, 2.5)),
        ("subjects[0].harmonize.source", (None, 1)),
        ("subjects[0].harmonize.reference_heads", (None, 3, [[1, 2, 3]], [[1, 2, 0, 4]], [[1, 2, 3, "x"]])),
        ("subjects[0].sharpness", SHARES),
        ("subjects[0].grain", SHARES),
        ("subjects[0].shadow", (3, True, "on", [])),
        ("subjects[0].shadow.azimuth", ("x", None, 400, [1])),
        ("subjects[0].shadow.elevation", (0, 90, "x")),
        ("subjects[0].shadow.tip", (3, [1], [1, "x"])),
        ("subjects[0].shadow.tint", (3, [1, 2], [1, 2, 0])),
        ("subjects[0].shadow.length", (3,)),
        ("subjects[0].reflection", (3, True, "on")),
        ("subjects[0].reflection.strength", (2, "x", None)),
        ("subjects[0].reflection.contact", ("x", [[1, 2], [1, 4]], [1])),
        ("subjects[0].adjust", (3, True, "auto", [])),
        ("subjects[0].adjust.exposure", (*NUMBERS, -4.5, 5, 10**400)),
        ("subjects[0].adjust.temperature", (*NUMBERS, -151, 301)),
        ("subjects[0].adjust.contrast", (*NUMBERS, -1.1, 1.1)),
        ("subjects[0].adjust.saturation", (*NUMBERS, -0.1, 4.1)),
        ("subjects[0].adjust.edge", (*NUMBERS, -51, 51)),
        ("subjects[0].adjust.feather", (*NUMBERS, -0.1, 51)),
        ("subjects[0].adjust.tint", (3,)),
        ("subjects[0].upscale", (3, "srgan", {})),
        ("subjects[0].upscale.method", (None, "x", 3)),
        ("subjects[0].upscale.scale", (None, 1, 3, 8, "2", True)),
        ("subjects[0].upscale.weights", (3, {"sha256": "0" * 64})),
        ("subjects[0].depth", (3,)),
        ("more", (3,)),
    ],
)  # fmt: skip
def test_a_damaged_recipe_is_refused(whole_recipe: str, field: str, values: tuple[Any, ...]) -> None:
    """Every field is checked for its type and range, and the error names it."""
    assert composition.read_recipe(json.loads(whole_recipe)) == json.loads(whole_recipe)
    *way, last = field.replace("[0]", ".0").split(".")

    def broken(change: Any) -> dict[str, Any]:
        recipe: Any = json.loads(whole_recipe)
        inner = recipe
        for step in way:
            inner = inner[int(step) if step.isdigit() else step]
        change(inner)
        return recipe

    for value in values:
        with pytest.raises(ArgumentError) as raised:
            composition.read_recipe(broken(lambda inner, value=value: inner.update({last: value})))
        message = str(raised.value)
        assert message.startswith(f"recipe: {field}" if field != "schema" else "recipe: "), (value, message)
    fields = json.loads(whole_recipe) if not way else None
    arguments = ("shadow.", "reflection.", "adjust.")
    if not any(step in field for step in arguments) and last not in ("depth", "more", "adjust"):
        assert fields is None or last in fields
        with pytest.raises(ArgumentError, match="recipe: "):
            composition.read_recipe(broken(lambda inner: inner.pop(last)))


def test_what_is_no_recipe_is_told_what_it_lacks() -> None:
    for value, message in (({}, "'schema' is missing"), ({"schema": "x"}, "schema is 'x'")):
        with pytest.raises(
            ArgumentError, match=f"^recipe: {message}, expected a recipe of compose, whose 'schema' is "
        ):
            composition.read_recipe(value)


@pytest.mark.parametrize("field", ["mask", "cover"])
def test_a_damaged_mask_in_a_recipe_is_refused(field: str) -> None:
    person = np.zeros((HEIGHT, WIDTH), np.uint8)
    person[20:80, 40:60] = 255
    options = {**PASTE_OPTIONS, "people": [person], "behind": [0], "masks": object_()[..., 3], "at": (30, 20)}
    photo = np.ascontiguousarray(object_()[..., :3])
    _, info = pyharmony.compose(photo, ground(), return_info=True, **options)
    for key, value in (("png", "?"), ("png", ""), ("png", "AAAA"), ("box", [0, 0, 2, 2]), ("box", [5, 5, 2, 2])):
        recipe = json.loads(json.dumps(info.recipe))
        recipe["subjects"][0][field][key] = value
        with pytest.raises(pyharmony.errors.PyHarmonyError, match=rf"recipe: subjects\[0\]\.{field}"):
            pyharmony.compose(photo, ground(), recipe=recipe)


def test_a_recipe_says_whose_weights_drew_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyharmony import _shipped

    options = {"at": (30, 20), "people": [], "scale": 2.0, "shadow": False}
    result, info = pyharmony.compose(object_(), ground(), return_info=True, **options)
    entry = info.recipe["subjects"][0]
    sums = {weights.name: weights.sha256 for weights in _shipped.every()}
    assert info.recipe["version"] == pyharmony.__version__
    assert entry["harmonize"]["method"] == "colorgrid"  # what 'auto' ran
    assert entry["harmonize"]["weights"] == {"name": "colorgrid", "sha256": sums["colorgrid"]}
    assert entry["upscale"]["weights"] == {"name": "srgan-light", "sha256": sums["srgan-light"]}
    again, recipe_info = pyharmony.compose(object_(), ground(), recipe=info.recipe, return_info=True)
    assert again.tobytes() == result.tobytes() and not any(
        "weights" in reason for reason in recipe_info.subjects[0].reasons
    )
    plain = pyharmony.compose(object_(), ground(), return_info=True, **{**options, "harmonize": "reinhard"})[1]
    assert plain.recipe["subjects"][0]["harmonize"]["weights"] is None
    # A recipe of other weights is drawn, and says so.
    recipe = json.loads(json.dumps(info.recipe))
    recipe["subjects"][0]["harmonize"]["weights"]["sha256"] = "0" * 64
    with warnings.catch_warnings(record=True) as records:
        warnings.simplefilter("always")
        _, recipe_info = pyharmony.compose(object_(), ground(), recipe=recipe, return_info=True)
    messages = [str(one.message) for one in records]
    assert any(
        "harmonize: the recipe was made with colorgrid of SHA-256 000000000000…, here there are" in x for x in messages
    )
    assert "harmonize: the recipe was made with" in recipe_info.subjects[0].reasons[0]
    weights = [w if w.name != "srgan-light" else dataclasses.replace(w, sha256="1" * 64) for w in _shipped.every()]
    from pyharmony.composition import _weights

    monkeypatch.setattr(_weights._shipped, "every", lambda: weights)
    assert _weights.changed(info.recipe["subjects"][0])[0].startswith("upscale: the recipe was made with srgan-light")


def test_weights_of_a_file_are_known_by_their_sum(tmp_path: Path) -> None:
    from pyharmony.composition import _weights

    file = tmp_path / "own.safetensors"
    file.write_bytes(b"weights")
    assert _weights.harmonizes(str(file)) == (
        str(file),
        {"name": "own.safetensors", "sha256": hashlib.sha256(b"weights").hexdigest()},
    )


def test_kinds_of_images(tmp_path: Path) -> None:
    expected = pyharmony.compose(object_(), ground(), at=(30, 20), **PASTE_OPTIONS)
    path, subject = tmp_path / "b.png", tmp_path / "s.png"
    Image.fromarray(ground()).save(path, dpi=(300, 300))
    Image.fromarray(object_()).save(subject)
    from_path = pyharmony.compose(subject, path, at=(30, 20), **PASTE_OPTIONS)
    assert np.array_equal(np.asarray(from_path), expected) and isinstance(from_path, Image.Image)
    picture = pyharmony.compose(subject, io.read(path), at=(30, 20), **PASTE_OPTIONS)
    assert isinstance(picture, io.Picture) and np.array_equal(picture.pixels, expected)
    composite = pyharmony.compose(subject.read_bytes(), files.BytesIO(path.read_bytes()), at=(30, 20), **PASTE_OPTIONS)
    assert np.array_equal(np.asarray(composite), expected)
    out = tmp_path / "out.png"
    assert pyharmony.compose(subject, path, at=(30, 20), out=out, **PASTE_OPTIONS) == out
    assert np.array_equal(np.asarray(Image.open(out)), expected) and Image.open(out).info["dpi"][0] == pytest.approx(
        300, 1
    )
    target = np.zeros_like(expected)
    assert pyharmony.compose(object_(), ground(), at=(30, 20), out=target, **PASTE_OPTIONS) is target
    assert np.array_equal(target, expected)
    same = ground()
    _, info = pyharmony.compose(object_(), same, at=(30, 20), out=same, return_info=True, **PASTE_OPTIONS)
    assert np.array_equal(same, expected) and np.array_equal(info.layers[0].pixels[..., :3], ground())
    grey = pyharmony.compose(object_(), ground()[..., 1], at=(30, 20), **PASTE_OPTIONS)
    assert grey.shape == (HEIGHT, WIDTH) and grey[40, 50] != ground()[40, 50, 1]
    alpha = np.dstack([ground(), np.full((HEIGHT, WIDTH), 255, np.uint8)])
    with_alpha = pyharmony.compose(object_(), alpha, at=(30, 20), **PASTE_OPTIONS)
    assert np.array_equal(with_alpha[..., :3], expected) and (with_alpha[..., 3] == 255).all()


def test_tensors() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    expected = pyharmony.compose(object_(), ground(), at=(30, 20), **PASTE_OPTIONS)
    tensor = torch.from_numpy(np.ascontiguousarray(ground().transpose(2, 0, 1)))
    result = pyharmony.compose(object_(), tensor, at=(30, 20), **PASTE_OPTIONS)
    assert np.array_equal(result.numpy().transpose(1, 2, 0), expected)


def test_people_who_are_nearer_stay_in_front() -> None:
    person = np.zeros((HEIGHT, WIDTH), np.uint8)
    person[20:80, 40:60] = 255
    options = {**PASTE_OPTIONS, "people": [person]}
    result, info = pyharmony.compose(object_(), ground(), at=(30, 20), behind=[0], return_info=True, **options)
    assert np.array_equal(result[person > 0], ground()[person > 0])
    assert info.subjects[0].mask[person > 0].max() == 0 and info.subjects[0].mask.max() == 255
    assert not np.array_equal(pyharmony.compose(object_(), ground(), at=(30, 20), **options), result)


def test_what_is_enlarged_gets_the_detail_of_super_resolve() -> None:
    def photo(size: int) -> np.ndarray:
        """Returns a disc with fine stripes, which a small photograph of it hardly shows."""
        y, x = (np.mgrid[:size, :size] + 0.5) * 60 / size
        stripes = 0.5 + 0.4 * np.sign(np.sin(1.1 * x) * np.sin(0.9 * y))
        alpha = np.clip((22 - np.hypot(x - 30, y - 30)) * size / 60 + 0.5, 0, 1)
        return np.rint(255 * np.dstack([stripes, 0.7 * stripes, 1 - stripes, alpha])).astype(np.uint8)

    small = np.asarray(Image.fromarray(photo(240)).resize((60, 60), Image.Resampling.BOX))
    background = np.full((200, 220, 3), 128, np.uint8)
    sharp = np.asarray(Image.fromarray(photo(480)).resize((120, 120), Image.Resampling.BOX))
    expected = blend.alpha(sharp, background, at=(40, 30))
    errors = {}
    for upscale in ("auto", "lanczos", None):
        options = {**PASTE_OPTIONS, "at": (40, 30), "scale": 2.0, "upscale": upscale}
        result, info = pyharmony.compose(small, background, return_info=True, **options)
        errors[upscale] = np.abs(result.astype(float) - expected)[40:140, 50:150].mean()
        entry, reasons = info.recipe["subjects"][0], info.subjects[0].reasons
        again = pyharmony.compose(small, background, recipe=json.loads(json.dumps(info.recipe)))
        assert again.tobytes() == result.tobytes()
        if upscale is None:
            assert entry["upscale"] is None and not reasons and "upscale" not in info.seconds
        else:
            method = "srgan" if upscale == "auto" else upscale
            upscale_fields = {key: entry["upscale"][key] for key in ("method", "scale")}
            assert upscale_fields == {"method": method, "scale": 2} and info.seconds["upscale"] > 0
            assert (entry["upscale"]["weights"] is None) == (method != "srgan")
            assert reasons == (f"it is 2.0 times as large as in its photo, enlarged by {method}",)
        preview = pyharmony.compose(small, background, recipe=info.recipe, side=55)
        assert preview.shape == (50, 55, 3)
    assert errors["auto"] < 0.9 * errors[None]
    for scale, times in ((1.5, None), (3.0, 2), (3.1, 4)):
        options = {**PASTE_OPTIONS, "at": (40, 30), "scale": scale, "upscale": "bicubic"}
        _, info = pyharmony.compose(small, background, return_info=True, **options)
        upscale_fields = info.recipe["subjects"][0]["upscale"]
        assert upscale_fields == (None if times is None else {"method": "bicubic", "scale": times, "weights": None})
        box = info.subjects[0].box
        assert box[2] == pytest.approx(48 * scale, abs=4)  # with two pixels around it


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_what_becomes_much_smaller_is_the_same_from_fewer_pixels(dtype: type) -> None:
    """Groups of pixels are one pixel before anything else is done with them, and nothing moves."""
    large = np.kron(object_(dtype), np.ones((6, 6, 1), dtype))
    result = pyharmony.compose(large, ground(dtype), at=(30, 20), scale=1 / 6, **PASTE_OPTIONS)
    expected = pyharmony.compose(object_(dtype), ground(dtype), at=(30, 20), **PASTE_OPTIONS)
    unit = 1 if np.issubdtype(dtype, np.floating) else np.iinfo(dtype).max
    error = np.abs(result.astype(np.float64) - expected) / unit
    assert error.mean() < 0.003 and np.quantile(error, 0.99) < 0.06


def test_what_becomes_much_smaller_keeps_its_last_rows() -> None:
    """Pixels are taken together in groups also where the picture has no whole number of these."""
    large = np.full((6 * 20 + 1, 6 * 10 + 2, 4), 255, np.uint8)
    large[..., :3] = (200, 40, 40)
    result, info = pyharmony.compose(large, ground(), at=(30, 20), scale=1 / 6, return_info=True, **PASTE_OPTIONS)
    mask = info.subjects[0].mask
    rows, columns = (np.flatnonzero(mask.max(axis) == 255) for axis in (1, 0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (20, 39, 30, 39)
    assert (result[20:40, 30:40] == (200, 40, 40)).all()
    assert not mask[42:].any() and not mask[:, 42:].any() and not mask[:19].any() and not mask[:, :29].any()


@pytest.mark.parametrize("scale", [1e-12, 1e-3])
def test_what_becomes_smaller_than_a_pixel_is_not_seen(scale: float) -> None:
    result, info = pyharmony.compose(object_(), ground(), at=(30, 20), scale=scale, return_info=True, **PASTE_OPTIONS)
    assert np.abs(result.astype(int) - ground()).max() <= 2
    again = pyharmony.compose(object_(), ground(), recipe=json.loads(json.dumps(info.recipe)))
    assert again.tobytes() == result.tobytes()


def peak_of(call: Any) -> int:
    """Returns the most bytes of NumPy's arrays that a call holds at once."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("angle", "upscale"), [(1.0, None), (0.0, "auto")])
def test_memory_follows_what_is_seen_of_a_subject(angle: float, upscale: str | None) -> None:
    """A subject of 8000 x 6000 pixels, of which 200 x 150 lie in the background, takes the memory of these."""
    subject = np.dstack([np.random.default_rng(0).integers(0, 255, (60, 80, 3)), np.full((60, 80), 255)])
    subject = subject.astype(np.uint8)
    options = {"at": (-4000, -3000), "scale": 100.0, "angle": angle, "upscale": upscale, **PASTE_OPTIONS}
    background = np.full((150, 200, 3), 90, np.uint8)
    pyharmony.compose(subject[::-1], background, **options)  # loads the networks that cut an opaque subject out
    assert peak_of(lambda: pyharmony.compose(subject, background, **options)) < 24 << 20
    assert (pyharmony.compose(subject, background, **options) != 90).any(2).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(("angle", "flip"), [(0.0, False), (0.0, True), (7.0, True)])
def test_parts_of_a_subject_are_those_of_the_whole(
    monkeypatch: pytest.MonkeyPatch, dtype: type, angle: float, flip: bool
) -> None:
    """Neither the tiles in which it is laid nor what lies beyond the background change what is seen of a subject."""
    subject = object_(dtype)
    options = {"at": (-21.25, -9.5), "scale": 3.4, "angle": angle, "flip": flip, **PASTE_OPTIONS}
    whole = pyharmony.compose(subject, ground(dtype), **options)
    monkeypatch.setattr(_subject, "_TILE", 17)
    monkeypatch.setattr(_subject, "_MAX_WHOLE_PIXELS", 0)
    tiled = pyharmony.compose(subject, ground(dtype), **options)
    if angle == 0:
        assert np.array_equal(whole, tiled)
    else:
        # Pillow counts places from the corner of what it turns.
        unit = 1 if dtype != np.float32 else 1e-5
        assert np.abs(whole.astype(np.float64) - tiled).max() <= unit


def test_transparent_tiles_are_not_enlarged(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyharmony._images.region import Region
    from pyharmony.upscaling import cutouts

    image = np.zeros((170, 150, 4), np.uint8)
    image[..., :3] = np.random.default_rng(0).integers(0, 255, (170, 150, 3))
    image[5:20, 125:145, 3] = 255
    expected = pyharmony.super_resolve(image, 2)
    monkeypatch.setattr(cutouts, "TILE", 64)
    enlarged = cutouts.enlarged_where(image, 2, "auto", Region(0, 170, 0, 150))
    assert np.array_equal(enlarged[..., 3], expected[..., 3])
    visible = expected[..., 3] > 0
    assert np.array_equal(enlarged[visible], expected[visible]) and not enlarged[128:].any()
    nothing = cutouts.enlarged_where(image, 2, "auto", Region(80, 170, 0, 50))
    assert not nothing.any()


def test_a_blend_of_gradients_keeps_the_colours_of_the_harmonised_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyharmony.composition import laying

    options = {**PASTE_OPTIONS, "harmonize": "reinhard", "at": (30, 20), "return_info": True}
    harmonized, info = pyharmony.compose(object_(), ground(), blend="alpha", **options)
    bases = []

    def blend_with_base(src: np.ndarray, dst: np.ndarray, mask: np.ndarray, *, base: np.ndarray) -> Any:
        bases.append(base.copy())
        return blend.gaussian_poisson(src, dst, mask, base=base)

    monkeypatch.setattr(laying, "blends", types.SimpleNamespace(alpha=blend.alpha, gaussian_poisson=blend_with_base))
    pyharmony.compose(object_(), ground(), blend="gaussian_poisson", **options)
    x, y, wide, high = info.subjects[0].box
    (base,) = bases
    part = harmonized[y - 8 : y + high + 8, x - 8 : x + wide + 8]
    assert base.shape == part.shape and np.array_equal(base, part)
    plain = pyharmony.compose(object_(), ground(), **{**options, "harmonize": None, "return_info": False})
    assert not np.array_equal(part, plain[y - 8 : y + high + 8, x - 8 : x + wide + 8])


def test_several_subjects_are_drawn_from_the_farthest_to_the_nearest() -> None:
    red, blue = object_(), object_()
    red[..., :3], blue[..., :3] = (255, 0, 0), (0, 0, 255)
    pair = [Subject(red, at=(40, 30)), Subject(blue, at=(34, 20))]
    result, info = pyharmony.compose(pair, ground(), return_info=True, **PASTE_OPTIONS)
    assert info.recipe["order"] == [1, 0] and tuple(result[50, 58]) == (255, 0, 0)
    assert pyharmony.compose([red, blue], ground(), recipe=info.recipe).tobytes() == result.tobytes()


def test_lists_in_step_with_the_photos_still_work_and_warn() -> None:
    """Each argument that was a list is one of a Subject, with the same composite and recipe."""
    photo = np.full((80, 100, 3), 220, np.uint8)
    photo[20:60, 30:50] = (30, 60, 120)
    mask = np.where(photo[..., 0] == 30, np.uint8(255), np.uint8(0))
    person = np.zeros((HEIGHT, WIDTH), np.uint8)
    person[20:80, 40:60] = 255
    options = {**PASTE_OPTIONS, "people": [person]}
    columns: dict[str, list[Any]] = {
        "points": [(40, 40), None], "box": [None, (28, 18, 24, 44)], "mask": [None, mask], "at": [(3, 4), (60, 20)],
        "scale": [0.5, 1.5], "angle": [0.0, 20.0], "flip": [True, False], "behind": [(), [0]],
        "adjust": [{"exposure": 1.0}, None],
    }  # fmt: skip
    pair = [Subject(photo, **{name: values[i] for name, values in columns.items()}) for i in (0, 1)]
    lists = {{"box": "boxes", "mask": "masks"}.get(name, name): values for name, values in columns.items()}
    expected, info = pyharmony.compose(pair, ground(), return_info=True, **options)
    with pytest.warns(DeprecationWarning, match="a list in step with that of the subjects") as records:
        result, list_info = pyharmony.compose([photo, photo], ground(), return_info=True, **options, **lists)
    assert np.array_equal(result, expected) and list_info.recipe == info.recipe
    lines = [str(one.message) for one in records if one.category is DeprecationWarning]
    assert [line.partition(":")[0] for line in lines] == [*lists]
    # One value for all of them is none of these lists.
    pyharmony.compose([object_(), object_()], ground(), at=(3, 4), scale=1.5, adjust={"exposure": 1}, **options)
    with pytest.raises(ArgumentError, match=r"^box: .*expected"):
        Subject(photo, box=(1, 2, 3))


def test_shadows_lie_below_and_only_where_a_base_is_seen() -> None:
    options = {**PASTE_OPTIONS, "shadow": "auto"}
    _, info = pyharmony.compose(object_(), ground(), at=(30, 20), return_info=True, **options)
    assert info.subjects[0].shadow is not None
    _, cut = pyharmony.compose(object_(), ground(), at=(30, 60), return_info=True, **options)
    assert cut.subjects[0].shadow is None
    person = np.zeros((HEIGHT, WIDTH), np.uint8)
    person[50:80, 30:70] = 255
    _, hidden = pyharmony.compose(
        object_(), ground(), at=(30, 20), behind=[0], return_info=True, **{**options, "people": [person]}
    )
    assert hidden.subjects[0].shadow is None


@pytest.mark.parametrize("shadow", ["auto", True, {"under": 0.5}, {"tip": None}])
def test_a_shadow_of_unknown_direction_lies_under_the_subject(shadow: Any) -> None:
    """No sun is invented: its light is high and soft, and what is told of the shadow replaces that."""
    options = {**PASTE_OPTIONS, "at": (30, 20), "return_info": True}
    subject = pyharmony.compose(object_(), ground(), **options | {"shadow": shadow})[1].subjects[0]
    shadow_options = {
        "elevation": 80.0,
        "softness": 60.0,
        "strength": 0.45,
        **(shadow if isinstance(shadow, dict) else {}),
    }
    same = pyharmony.compose(object_(), ground(), **options | {"shadow": shadow_options})[1].subjects[0]
    assert subject.shadow.tobytes() == same.shadow.tobytes()
    sun = pyharmony.compose(object_(), ground(), **options | {"shadow": {"elevation": 45}})[1].subjects[0].shadow
    left, top, wide, high = subject.box
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] - np.array([top + high, left + wide / 2])[:, None, None]
    away = []
    for layer in (subject.shadow, sun):
        dark = (255 - layer.astype(float)).sum(2)
        away.append(np.hypot(*((dark * x).sum() / dark.sum() for x in (columns, rows))) / high)
    assert away[0] < 0.15 and away[1] > 1.5 * away[0]
    # A direction of the light, and nothing else, replaces all of it.
    assert sun.tobytes() == pyharmony.compose(
        object_(), ground(), **options | {"shadow": {"azimuth": 150.0}}
    )[1].subjects[0].shadow.tobytes()  # fmt: skip


def test_the_arguments_of_a_shadow_are_known_without_annotations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.14 gives a decorated function none."""
    from pyharmony.composition._recipe import accepted

    accepted.cache_clear()
    monkeypatch.setattr(pyharmony.shadow, "__annotations__", {})
    assert {"tip", "softness", "contact"} <= {*accepted("shadow")}


def figure(height: int) -> np.ndarray:
    """Returns somebody of seven heads, [84, 40, 4], of whom so many rows are to be seen."""
    y, x = np.mgrid[:84, :40] + 0.5
    inside = np.hypot(x - 20, y - 9) < 5
    inside |= (np.abs(x - 20) < 8) & (y > 15) & (y < 45)
    inside |= (np.abs(np.abs(x - 20) - 4.5) < 3) & (y > 44) & (y < 76)
    inside &= y < height
    return np.dstack([np.full((84, 40, 3), 120, np.uint8), np.where(inside, 255, 0).astype(np.uint8)])


class StubSession:
    """A session without networks."""

    finds_people = True

    def __init__(self, picture: np.ndarray, method: str = "auto", at: tuple[int, int] | None = None) -> None:
        self.picture = picture

    def posture(self, mask: np.ndarray) -> Posture | None:
        return None


@pytest.fixture
def everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets whatever is looked at be a person, and people stand in it."""
    from pyharmony.composition import _plan

    class Session(StubSession):
        finds_people = False

        def shows_people(self, mask: np.ndarray) -> bool:
            return True

    monkeypatch.setattr(_plan, "Session", Session)
    monkeypatch.setattr(segmentation.Session, "standable", lambda _: 1.0)


@pytest.mark.usefixtures("everybody")
def test_who_shows_no_feet_in_their_own_photograph_counts_as_hidden_below(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyharmony.composition import _plan

    photo, options = figure(62), {**PASTE_OPTIONS, "shadow": "auto", "return_info": True}
    _, info = pyharmony.compose(photo, ground(), **options)
    assert info.recipe["subjects"][0]["cropped_sides"] == [] and not info.recipe["subjects"][0]["hidden"]
    _, y, _, high = info.subjects[0].placement.box
    assert y + high < HEIGHT - 1
    monkeypatch.setattr(_plan.Session, "posture", lambda self, mask: Posture((14.0, 0.0, 12.0, 12.0), None, None))
    _, info = pyharmony.compose(photo, ground(), **options)
    assert info.recipe["subjects"][0]["cropped_sides"] == ["bottom"] and info.recipe["subjects"][0]["hidden"]
    _, y, _, high = info.subjects[0].placement.box
    assert y + high >= HEIGHT - 1


@pytest.mark.usefixtures("everybody")
def test_who_was_cut_in_their_own_photograph_gets_no_shadow() -> None:
    options = {**PASTE_OPTIONS, "shadow": "auto", "at": (40, 4), "return_info": True}
    _, info = pyharmony.compose(figure(84), ground(), **options)
    assert info.subjects[0].shadow is not None and not info.subjects[0].reasons
    assert info.recipe["subjects"][0]["cropped_sides"] == [] and not info.recipe["subjects"][0]["hidden"]
    # The frame of the photograph ends at the waist, and the bust lies in the middle of the background.
    bust = np.ascontiguousarray(figure(84)[:40])
    _, info = pyharmony.compose(bust, ground(), **options)
    assert info.subjects[0].shadow is None and info.recipe["subjects"][0]["cropped_sides"] == ["bottom"]
    assert "no shadow: its photo crops it" in info.subjects[0].reasons[0]
    again, recipe_info = pyharmony.compose(bust, ground(), recipe=json.loads(json.dumps(info.recipe)), return_info=True)
    assert recipe_info.subjects[0].shadow is None and again.shape == ground().shape
    # At the frame of the background nothing is to be said, and whoever asks for a shadow gets it.
    _, low = pyharmony.compose(bust, ground(), **{**options, "at": (40, 50)})
    assert low.subjects[0].shadow is None and not low.subjects[0].reasons
    _, with_shadow = pyharmony.compose(bust, ground(), **{**options, "shadow": True})
    assert with_shadow.subjects[0].shadow is not None
    # Something in the photograph, a table, hid the lower part.
    _, info = pyharmony.compose(figure(36), ground(), **options)
    assert info.subjects[0].shadow is None and info.recipe["subjects"][0]["hidden"]
    # The same as a mask.
    photo, mask = figure(36)[..., :3], figure(36)[..., 3]
    _, info = pyharmony.compose(np.ascontiguousarray(photo), ground(), masks=mask, **options)
    assert info.subjects[0].shadow is None and info.recipe["subjects"][0]["hidden"]


def crowd(height: int = 240, width: int = 360) -> list[np.ndarray]:
    """Returns the masks of four people in a row."""
    y, x = np.mgrid[:height, :width] + 0.5
    masks = []
    for middle in (40, 130, 220, 310):
        inside = np.hypot(x - middle, y - 75) < 15
        inside |= (np.abs(x - middle) < 27) & (y > 90) & (y < 235)
        masks.append(np.where(inside, 255, 0).astype(np.uint8))
    return masks


def wall(height: int = 240, width: int = 360) -> np.ndarray:
    squares = np.random.default_rng(0).integers(80, 160, (height // 4, width // 4, 3), np.uint8)
    return np.kron(squares, np.ones((4, 4, 1), np.uint8))


@pytest.mark.usefixtures("everybody")
def test_the_recipe_of_a_place_that_was_found_gives_the_first_picture() -> None:
    result, info = pyharmony.compose(figure(84), wall(), people=crowd(), return_info=True)
    one, entry = info.subjects[0], info.recipe["subjects"][0]
    assert one.places[0].behind and entry["cover"] is not None and entry["harmonize"]["reference_heads"]
    assert (one.mask[np.max([crowd()[i] for i in one.places[0].behind], 0) == 255] == 0).all()
    again, recipe_info = pyharmony.compose(
        figure(84), wall(), recipe=json.loads(json.dumps(info.recipe)), return_info=True
    )
    assert again.tobytes() == result.tobytes()
    assert recipe_info.subjects[0].places == () and recipe_info.subjects[0].placement is None


@pytest.mark.usefixtures("everybody")
def test_places_and_scores_are_told() -> None:
    options: dict[str, Any] = {"people": crowd(), "harmonize": "reinhard", "return_info": True}
    result, info = pyharmony.compose(figure(84), wall(), k=3, **options)
    one = info.subjects[0]
    best = one.placement
    assert best is not None and (best.x, best.y, best.scale, best.angle) == (one.x, one.y, one.scale, one.angle)
    assert 0 < best.score <= 1 and best.terms and best.reason == "" and best.behind
    assert one.confidence is not None and 0 < one.confidence <= 1 and one.mask_score is None
    assert len(one.places) == 3 and len(info.alternatives) == 2
    alone, alone_info = pyharmony.compose(figure(84), wall(), **options)
    assert alone.tobytes() == result.tobytes() and alone_info.recipe == info.recipe and alone_info.alternatives == ()
    for spot, recipe in zip(one.places[1:], info.alternatives):
        composite, recipe_info = pyharmony.compose(
            figure(84), wall(), recipe=json.loads(json.dumps(recipe)), return_info=True
        )
        assert (recipe_info.subjects[0].x, recipe_info.subjects[0].y) == (spot.x, spot.y)
        assert not np.array_equal(composite, result)
    sheet = composition.contact_sheet(figure(84), wall(), info)
    assert np.array_equal(sheet, placement.contact_sheet(figure(84), wall(), one.places))
    # A mask that is in the recipe is what is shown.
    photo, mask = np.ascontiguousarray(figure(84)[..., :3]), figure(84)[..., 3]
    subject = Subject(photo, mask=mask)
    _, masked = pyharmony.compose([subject], wall(), k=3, **options)
    assert np.array_equal(composition.contact_sheet(subject, wall(), masked), sheet)
    _, info = pyharmony.compose(figure(84), wall(), at=(3, 3), return_info=True, **{**PASTE_OPTIONS, "harmonize": None})
    assert info.subjects[0].places == () and info.subjects[0].confidence is None
    with pytest.raises(ArgumentError, match="info: no placements"):
        composition.contact_sheet(figure(84), wall(), info)


@pytest.mark.usefixtures("everybody")
def test_somebody_in_a_picture_without_people(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take half to two thirds of its height, their feet are on the ground, and a bust is at the edge."""
    options = {key: value for key, value in PASTE_OPTIONS.items() if key != "shadow"} | {"return_info": True}
    result, info = pyharmony.compose(figure(84), wall(), **options)
    one = info.subjects[0]
    rows = np.flatnonzero((one.mask > 127).any(1))
    assert 0.5 < len(rows) / 240 < 0.7 and rows[-1] < 239
    assert one.shadow is not None and one.placement is not None and one.placement.reason == ""
    assert not np.array_equal(result, wall())
    _, info = pyharmony.compose(np.ascontiguousarray(figure(84)[:40]), wall(), **options)
    low = info.subjects[0]
    assert (low.mask[-1] > 127).any() and low.shadow is None
    assert low.placement is not None and low.placement.scale <= 2.5
    # A subject from a photograph of 40 pixels cannot have the usual size, which the scene does not tell.
    monkeypatch.setattr(
        "pyharmony.placement._place.surroundings_of", lambda _: surroundings_of(np.zeros((2, 2, 3), np.uint8))
    )
    low = pyharmony.compose(np.ascontiguousarray(figure(84)[:40]), wall(), **options)[1].subjects[0]
    assert low.placement is not None and low.placement.scale <= 2.5 and "too few pixels" in low.placement.reason


@pytest.mark.usefixtures("everybody")
def test_a_place_that_breaks_a_rule_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyharmony.composition import _plan

    def no_good(*arguments: Any, **options: Any) -> list[placement.Placement]:
        placements = placement.place(*arguments, **options)
        reason = Reason("face-covered", "a face would be covered")
        return [dataclasses.replace(one, reason=reason) for one in placements[:1]]

    monkeypatch.setattr(_plan, "place", no_good)
    with warnings.catch_warnings(record=True) as records:
        warnings.simplefilter("always")
        _, info = pyharmony.compose(figure(84), wall(), people=crowd(), return_info=True)
    assert "a face would be covered" in info.subjects[0].reasons
    assert any("a face would be covered" in str(one.message) for one in records)


@pytest.mark.parametrize("from_files", [True, False])
def test_files_and_pictures_say_that_they_are_composites(tmp_path: Path, from_files: bool) -> None:
    paths = tmp_path / "s.png", tmp_path / "b.png"
    for path, pixels in zip(paths, (object_(), ground())):
        Image.fromarray(pixels).save(path)
    subject, background = paths if from_files else (object_(), io.read(paths[1]))
    out = tmp_path / "out.jpg"
    pyharmony.compose(subject, background, at=(30, 20), out=out, **PASTE_OPTIONS)
    xmp = io.read(out).xmp
    assert xmp is not None and xmp.count(b"digitalsourcetype/compositeCapture") == 1
    sums = [hashlib.sha256(path.read_bytes()).hexdigest().encode() for path in paths]
    assert [one in xmp for one in sums] == [from_files, from_files]
    composite = pyharmony.compose(subject, io.read(paths[1]), at=(30, 20), **PASTE_OPTIONS)
    assert composite.xmp is not None and b"compositeCapture" in composite.xmp
    pyharmony.compose(object_(), ground(), at=(30, 20), out=out, **PASTE_OPTIONS)
    assert b"compositeCapture" in (io.read(out).xmp or b"")


def test_warnings_say_what_to_do_and_good_composites_have_none() -> None:
    textured = np.random.default_rng(0).integers(60, 200, (HEIGHT, WIDTH, 3), np.uint8)
    with warnings.catch_warnings(record=True) as records:
        warnings.simplefilter("always")
        _, info = pyharmony.compose(
            object_(), textured, at=(30, 20), scale=2.0, shadow=False, people=[], return_info=True
        )
    assert not records and info.subjects[0].warnings == ()
    assert any(reason.startswith("it is 2.0 times") for reason in info.subjects[0].reasons)
    with warnings.catch_warnings(record=True) as records:
        warnings.simplefilter("always")
        options = {**PASTE_OPTIONS, "shadow": {"azimuth": 90.0}, "reflection": {"contact": 10.0}}
        _, info = pyharmony.compose(object_(), ground(), at=(1000, 20), return_info=True, **options)
        _, low = pyharmony.compose(object_(), ground(), at=(30, 20), return_info=True, **options)
    texts = [str(one.message) for one in records]
    assert texts == [*info.subjects[0].warnings, *low.subjects[0].warnings]
    assert texts[0] == "nothing of it would be visible in the background; another place or size makes it visible"
    assert any(text.endswith("; pass a contact, the row at which the object touches the ground") for text in texts)


def test_nobody_is_corrected_by_a_click_in_their_own_face() -> None:
    from pyharmony.composition import _plan
    from pyharmony.segmentation import Head

    head = Head((40, 20, 40, 50), (20, 20, 80, 180), 0.8)
    chin, neighbour, child = (Head((x, y, 30, 30), (x, y, 30, 60), 0.5) for x, y in ((50, 60), (90, 40), (45, 85)))
    # Less than a head below, beside, and more than a head below.
    assert _plan._may_be_one(chin, head) and _plan._may_be_one(head, chin)
    assert not _plan._may_be_one(neighbour, head) and not _plan._may_be_one(child, head)


def test_a_faint_head_counts_where_no_pose_tells_of_one() -> None:
    from pyharmony.segmentation.people import SURE, least_sure

    assert least_sure(has_posture=False) == 0.15 < least_sure(has_posture=True) == SURE


def test_somebody_of_another_size_than_those_beside_is_told() -> None:
    from pyharmony.composition import _plan

    cut = _plan.CutOut(np.zeros((4, 4), np.uint8), False, "", head=(0.0, 0.0, 20.0, 30.0), person=True)
    heads = [(0.0, 0.0, 30.0, 40.0), (200.0, 0.0, 30.0, 40.0), (900.0, 0.0, 3.0, 4.0)]
    at = {"x": 100.0, "y": 20.0, "size": [20, 30], "angle": 0.0, "flip": False, "cropped_sides": []}
    for scale, says in ((1.0, ""), (0.7, ""), (0.4, "0.3 times")):
        message = _plan.unlike_others(cut, {**at, "scale": scale}, heads)
        assert message == (f"the head is {says} as high as the nearest ones" if says else "")
    assert _plan.unlike_others(cut._replace(person=False), {**at, "scale": 0.1}, heads) == ""
    assert _plan.unlike_others(cut, {**at, "scale": 0.1}, []) == ""
    # Whoever is near has a larger head on the line of the others' heads, whole or cut at the bottom.
    for sides in ([], ["bottom"]):
        near = {**at, "scale": 4.0, "cropped_sides": sides}
        assert _plan.unlike_others(cut, near, heads) == ""
        assert "3 times as high" in _plan.unlike_others(cut, {**near, "y": 200.0}, heads)


def refusals(tmp_path: Path) -> list[tuple[dict[str, Any], type[Exception], str]]:
    return [
        ({"out": tmp_path / "x.ora"}, ArgumentError, "the suffix '.ora' names no format"),
        ({"out": tmp_path / "none" / "x.png"}, FileNotFoundError, "none"),
        ({"out": tmp_path}, ArgumentError, "names no format"),
        ({"out": b"x.png"}, DTypeError, "out: bytes"),
        ({"out": 3}, DTypeError, "out: int, expected an array like background"),
        ({"harmonize": 3}, DTypeError, "harmonize: int, expected one of 'auto'"),
        ({"harmonize": "nothing"}, ArgumentError, "harmonize: 'nothing', expected one of"),
        ({"harmonize": "none.safetensors"}, WeightsError, "there is no such file"),
        ({"people": 3}, DTypeError, "people: int, expected None, a list of masks"),
        ({"people": "x.png"}, DTypeError, "people: str"),
        ({"behind": 3}, ArgumentError, "behind: 3, expected 'auto' or a list"),
        ({"points": 3}, ArgumentError, "points: 3, expected (x, y)"),
        ({"points": [(1, float("nan"))]}, ArgumentError, "points: [(1, nan)]"),
        ({"boxes": (1, 2, 3)}, ArgumentError, "boxes: (1, 2, 3), expected (x, y, width, height)"),
        ({"at": (1e308, 0)}, ArgumentError, "at: (1e+308, 0), expected 'auto', (x, y) or a Placement"),
        ({"at": np.zeros((2, 2))}, ArgumentError, "at: "),
        ({"scale": np.zeros(2)}, ArgumentError, "scale: "),
        ({"blend": np.zeros(2)}, ArgumentError, "blend: "),
        ({"segment": 3}, ArgumentError, "segment: 3"),
        ({"recipe": 3}, DTypeError, "recipe: int"),
        ({"seed": -1}, ArgumentError, "seed: -1"),
        ({"k": 10**400}, ArgumentError, "k: "),
        ({"strength": 10**400}, ArgumentError, "strength: inf, expected a number from 0 to 2"),
        ({"shadow": {"contact": 1e9}}, ArgumentError, "contact: "),
        ({"shadow": {"tip": (10**400, 1)}}, ArgumentError, "tip: "),
    ]  # fmt: skip


def test_what_can_be_refused_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    missing = tmp_path / "missing.png"
    for options, error, says in refusals(tmp_path):
        with pytest.raises(error) as raised:
            pyharmony.compose(missing, missing, **{"at": (3, 3), **options})
        assert says in str(raised.value), (options, str(raised.value))


def test_alpha_and_mask_that_do_not_meet_are_refused() -> None:
    mask = np.zeros((50, 40), np.uint8)
    mask[:4, :4] = 255
    with pytest.raises(MaskError, match="masks: empty where the alpha of the photo is above 0"):
        pyharmony.compose(object_(), ground(), masks=mask, at=(3, 3), **PASTE_OPTIONS)


def test_where_all_is_told_nobody_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyharmony.composition import _plan

    def searched(self: Any) -> Any:
        raise AssertionError("people were looked for")

    monkeypatch.setattr(_plan.People, "_detect", searched)
    options = {key: value for key, value in PASTE_OPTIONS.items() if key != "people"}
    first, second = Subject(object_(), at=(10, 10)), Subject(object_(), at=(60, 20))
    pyharmony.compose([first, second], ground(), **options)
    with pytest.raises(AssertionError, match="people were looked for"):
        pyharmony.compose([first, object_()], ground(), **options)


def test_the_people_of_a_background_are_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch composes many subjects into one background; the first of two results is that of the second."""
    from pyharmony.composition import _plan

    counts: list[int] = []
    with_others = _plan.People._with_others
    monkeypatch.setattr(_plan.People, "_with_others", lambda self, masks: counts.append(1) or with_others(self, masks))
    _plan._crowd_of.cache_clear()
    background = ground()
    options = {key: value for key, value in PASTE_OPTIONS.items() if key != "people"}
    one, two, three = (pyharmony.compose([object_(), object_()], background.copy(), **options) for _ in range(3))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one, three)
    assert len(counts) == 1
    pyharmony.compose([object_(), object_()], background[:, ::-1], **options)
    assert len(counts) == 2


@pytest.mark.full
def test_sheets_hold_every_pair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Small photographs of things, in which nobody is found, make a row each."""
    from pyharmony.composition import _plan

    monkeypatch.setattr(_plan.People, "_detect", lambda self: _plan._PeopleMasks([], [], [], None))
    monkeypatch.setattr(pyharmony.segmentation.Session, "heads", lambda self, least=0.0: ())
    sheets = load_script("examples/compose_sheets.py")
    photo = {"role": "photo", "category": "person"}
    listed = {
        "app_open": [{"file": "a.png"}],
        "research_only/app": [{"file": "b.png"}, {"file": "empty.png"}],
        "photos_open": [{"file": f"{i}.png", **photo, "split": "test" if i < 5 else "train"} for i in range(8)],
    }
    for name, entries in listed.items():
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "manifest.json").write_text(json.dumps({"entries": entries}))
        for i, entry in enumerate(entries):
            image = np.full((60, 80, 3), 220, np.uint8)
            if entry["file"] != "empty.png":
                image[15:45, 30 + i : 50] = (30, 60, 120)
            Image.fromarray(image).save(tmp_path / name / entry["file"])
    assert len(list(sheets.pairs(tmp_path))) == 6 and len(list(sheets.people(tmp_path))) == 2
    assert list(sheets.people(tmp_path)) == list(sheets.people(tmp_path))
    monkeypatch.setenv("PYHARMONY_DATA", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["compose_sheets.py", "--out", str(tmp_path / "out"), "--size", "64"])
    sheets.main()
    output = capsys.readouterr().out
    assert output.count(" in ") >= 8 and "a.png in b.png: score " in output and "empty.png in a.png: " in output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"pairs_1.jpg", "people_1.jpg"}
    assert Image.open(tmp_path / "out" / "pairs_1.jpg").size[0] == 4 * (64 + 6) + 6


def test_the_score_of_a_mask_is_told() -> None:
    photo = np.full((80, 100, 3), 220, np.uint8)
    photo[20:60, 30:50] = (30, 60, 120)
    _, info = pyharmony.compose(photo, ground(), points=(40, 40), at=(0, 0), return_info=True, **PASTE_OPTIONS)
    masks = pyharmony.segment(photo, points=(40, 40))
    assert info.subjects[0].mask_score == pytest.approx(masks.scores[0])


def test_things_end_where_they_end() -> None:
    options = {**PASTE_OPTIONS, "shadow": "auto", "at": (40, 4), "return_info": True}
    _, info = pyharmony.compose(figure(36), ground(), **options)
    assert info.subjects[0].shadow is not None and info.recipe["subjects"][0]["cropped_sides"] == []
    # On its side what its frame cut at the left or at the right lies below.
    whole = np.zeros((60, 40, 4), np.uint8)
    whole[20:40, :30] = 255
    for angle, flip, visible in ((0, False, True), (90, False, True), (-90, False, False), (90, True, False)):
        _, info = pyharmony.compose(whole, ground(), angle=angle, flip=flip, **options)
        assert (info.subjects[0].shadow is not None) == visible, (angle, flip)
        assert info.recipe["subjects"][0]["cropped_sides"] == ["left"]
    dot = np.zeros((900, 1200, 4), np.uint8)
    dot[300:302, 300:302] = 255
    _, info = pyharmony.compose(dot, ground(), **options)
    assert info.recipe["subjects"][0]["cropped_sides"] == []


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_subject_is_mirrored_in_its_ground(dtype: type, tmp_path: Path) -> None:
    options = {**PASTE_OPTIONS, "at": (30, 20), "reflection": {"strength": 0.5, "blur": 0, "fade": 0}}
    result, info = pyharmony.compose(object_(dtype), ground(dtype), return_info=True, **options)
    one = info.subjects[0]
    assert one.reflection is not None and one.reflection.shape == (HEIGHT, WIDTH, 4)
    # Its foot ends in row 63, and the rows below are the ones above it.
    unit = np.iinfo(dtype).max
    mirrored = 0.5 * ground(dtype)[64:74, 48:52].astype(float) + 0.5 * result[63:53:-1, 48:52]
    assert np.abs(result[64:74, 48:52] - mirrored).max() <= unit / 255
    untouched = (one.mask == 0) & (one.reflection[..., 3] == 0)
    assert np.array_equal(result[untouched], ground(dtype)[untouched])
    assert [layer.name for layer in info.layers] == ["background", "reflection 1", "subject 1"]
    assert np.array_equal(io.merged_of(info.layers, (WIDTH, HEIGHT))[..., :3], result)
    io.write_layers(tmp_path / "x.ora", info.layers, result)
    assert np.array_equal(io.read_layers(tmp_path / "x.ora")[1].pixels[..., :3], result)
    again = pyharmony.compose(object_(dtype), ground(dtype), recipe=json.loads(json.dumps(info.recipe)))
    assert again.tobytes() == result.tobytes()
    # Whoever stands before the subject stands before its reflection too.
    person = np.zeros((HEIGHT, WIDTH), np.uint8)
    person[60:90, 30:50] = 255
    hidden = pyharmony.compose(object_(dtype), ground(dtype), **{**options, "people": [person], "behind": [0]})
    assert np.array_equal(hidden[person > 0], ground(dtype)[person > 0])
    plain, plain_info = pyharmony.compose(object_(dtype), ground(dtype), at=(30, 20), return_info=True, **PASTE_OPTIONS)
    assert plain_info.recipe["subjects"][0]["reflection"] is None and np.array_equal(plain[:64], result[:64])
    small = pyharmony.compose(object_(dtype), ground(dtype), recipe=info.recipe, side=65)
    assert small.shape == (45, 65, 3)


ADJUSTED = {"exposure": 0.7, "temperature": 60, "contrast": 0.3, "saturation": 1.4, "edge": 1.5, "feather": 3}


@pytest.mark.covering(1)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_colours_are_corrected_by_hand_after_the_match(dtype: type, strength: float) -> None:
    """Corrections are those of `color.retouch`, on the matched subject alone, whatever the strength of the match."""
    options = {"at": (30, 20), "people": [], "harmonize": "reinhard", "shadow": False, "strength": strength}
    _, matched = pyharmony.compose(object_(dtype), ground(dtype), return_info=True, **options)
    before, alpha = matched.subjects[0].colours, matched.subjects[0].alpha
    visible = alpha > 0
    names = ("exposure", "temperature", "contrast", "saturation")
    for adjust in ({"exposure": 1}, {"temperature": -80.0}, {"saturation": 0}, {n: ADJUSTED[n] for n in names}):
        result, info = pyharmony.compose(object_(dtype), ground(dtype), adjust=adjust, return_info=True, **options)
        one = info.subjects[0]
        expected, _ = color.retouch(before, parameters=color.Retouching(**adjust))
        assert np.array_equal(one.colours[visible], expected[visible]) and one.colours.dtype == dtype
        assert np.array_equal(one.colours[~visible], before[~visible]) and np.array_equal(one.alpha, alpha)
        assert np.array_equal(result[~seen_in(one)], ground(dtype)[~seen_in(one)])
        again = pyharmony.compose(object_(dtype), ground(dtype), recipe=json.loads(json.dumps(info.recipe)))
        assert again.tobytes() == result.tobytes()
        if adjust == {"saturation": 0}:
            step = 1 if np.issubdtype(dtype, np.integer) else 2e-3
            assert np.ptp(one.colours[visible].astype(float), 1).max() <= step
    # Corrections of zero change no pixel.
    same = {"exposure": 0, "temperature": 0.0, "contrast": 0, "saturation": 1, "edge": 0, "feather": 0}
    for adjust in (same, {}, None):
        composite = pyharmony.compose(object_(dtype), ground(dtype), adjust=adjust, **options)
        assert np.array_equal(composite, pyharmony.compose(object_(dtype), ground(dtype), **options))


def seen_in(one: Any) -> np.ndarray:
    return one.mask > 0


def disc(scale: float, dtype: type = np.uint8) -> np.ndarray:
    """Returns a disc of 40 pixels' radius, at a scale, in a photograph around it, [h, w, 4]."""
    size, radius = round(160 / scale), 40 / scale
    y, x = (np.mgrid[:size, :size] + 0.5) * 1.0
    alpha = np.clip(radius - np.hypot(x - size / 2, y - size / 2) + 0.5, 0, 1)
    whole = np.dstack([0.7 + 0 * x, 0.2 + 0.5 * y / size, 0.1 + 0 * x, alpha])
    return (
        np.rint(whole * np.iinfo(dtype).max).astype(dtype) if np.issubdtype(dtype, np.integer) else whole.astype(dtype)
    )


def area_of(one: Any) -> float:
    alpha = one.alpha.astype(np.float64)
    return float(alpha.sum() / (np.iinfo(one.alpha.dtype).max if one.alpha.dtype.kind == "u" else 1))


@pytest.mark.parametrize(
    ("dtype", "scale", "angle", "flip"),
    [
        (np.uint8, 1, 0, False), (np.uint16, 1, 30, True), (np.float32, 0.3, 0, False), (np.float64, 0.3, -70, False),
        (np.uint8, 0.1, 0, True), (np.uint8, 2.5, 0, False), (np.uint16, 2.5, 100, True),
    ],
)  # fmt: skip
def test_an_edge_moves_by_pixels_of_the_background(dtype: type, scale: float, angle: float, flip: bool) -> None:
    """The area of a disc grows by that of the ring, at any size, angle and depth, in a preview too."""
    background = np.zeros((220, 240, 3), dtype)
    options = {**PASTE_OPTIONS, "at": (30, 20), "scale": scale, "angle": angle, "flip": flip, "upscale": None}
    photo = disc(scale, dtype)
    _, plain = pyharmony.compose(photo, background, return_info=True, **options)
    before = area_of(plain.subjects[0])
    assert before == pytest.approx(np.pi * 40**2, rel=0.02)
    for edge in (3, -3, 10.5):
        result, info = pyharmony.compose(photo, background, adjust={"edge": edge}, return_info=True, **options)
        one = info.subjects[0]
        ring = np.pi * ((40 + edge) ** 2 - 40**2)
        assert area_of(one) - before == pytest.approx(ring, rel=0.05), edge
        assert not result[~seen_in(one)].any()
        # It is nearly as soft as before: one pixel, between two of which it is interpolated.
        soft = [np.count_nonzero((x.alpha > 0) & (x.alpha < x.alpha.max())) for x in (one, plain.subjects[0])]
        assert soft[0] <= 2 * soft[1] * (40 + edge) / 40, edge
        again = pyharmony.compose(photo, background, recipe=json.loads(json.dumps(info.recipe)))
        assert again.tobytes() == result.tobytes()
        _, small = pyharmony.compose(photo, background, recipe=info.recipe, side=120, return_info=True)
        assert 4 * area_of(small.subjects[0]) == pytest.approx(area_of(one), rel=0.03), edge


@pytest.mark.parametrize("softness", [1, 7, 20])
def test_an_edge_that_moves_stays_as_soft_as_it_is(softness: float) -> None:
    y, x = np.mgrid[:200, :200] + 0.5
    far = np.hypot(x - 100, y - 100)
    before = np.clip((50 - far) / softness + 0.5, 0, 1).astype(np.float32)
    for shift in (0.5, 3, 12, -0.5, -3, -12):
        expected = np.clip((50 + shift - far) / softness + 0.5, 0, 1)
        result = _adjust.moved(before, shift)
        # Interpolation smooths the corners of the profile, and widens an edge of one pixel.
        assert np.abs(result - expected).max() < (0.3 if softness == 1 else 0.04), shift
        assert np.abs(result - expected).mean() < 0.004 and result.min() >= 0 and result.max() <= 1


def test_narrow_gaps_and_parts_close_and_vanish() -> None:
    halves = np.zeros((40, 60), np.float32)
    halves[10:30, 5:25], halves[10:30, 28:50] = 1, 1
    assert (_adjust.moved(halves, 2)[10:30, 5:50] == 1).all() and not _adjust.moved(halves, 2)[:7].any()
    assert (_adjust.moved(1 - halves, -2)[10:30, 5:50] == 0).all()
    hair = np.zeros((40, 60), np.float32)
    hair[5:35, 30] = 0.75
    wider = _adjust.moved(hair, 3)
    assert (wider[20, 27:34] == 0.75).all() and not wider[20, :26].any() and not wider[20, 35:].any()
    assert not _adjust.moved(hair, -1)[6:34].any()
    # Without an edge there is nothing to move: all of a photo, none of it, and one row of it.
    for whole in (np.ones((9, 9), np.float32), np.zeros((9, 9), np.float32), np.ones((1, 9), np.float32)):
        assert all(np.array_equal(_adjust.moved(whole, shift), whole) for shift in (2, -2))


def test_whoever_is_cut_by_their_photograph_keeps_that_end() -> None:
    """A person who ends at the border of the photograph neither shrinks nor fades there, nor grows beyond it."""
    photo = np.full((60, 50, 3), 90, np.uint8)
    mask = np.zeros((60, 50), np.uint8)
    mask[20:, 10:40] = 255
    options = {**PASTE_OPTIONS, "at": (30, 20), "masks": mask}
    for adjust in ({"edge": -4}, {"feather": 6}, {"edge": 4, "feather": 6}):
        _, info = pyharmony.compose(photo, ground(), adjust=adjust, return_info=True, **options)
        own_mask = info.subjects[0].mask
        assert (own_mask[65:80, 50:58] == 255).all() and not own_mask[80:].any() and not own_mask[:, :30].any()


def test_a_softer_edge_keeps_the_mean_and_stays_in_the_photograph() -> None:
    alpha = disc(1)[..., 3].astype(np.float32) / 255
    for deviation in (0.7, 3, 8, 25):
        result = _adjust.feathered(alpha, deviation)
        assert result.mean() == pytest.approx(alpha.mean(), rel=2e-3) and result.min() >= 0 and result.max() <= 1
        # The variance of a profile grows by that of the Gaussian.
        variances = []
        for values in (alpha, result):
            profile, at = values.sum(0, dtype=np.float64), np.arange(160)
            middle = (profile * at).sum() / profile.sum()
            variances.append((profile * (at - middle) ** 2).sum() / profile.sum())
        if deviation < 10:  # a wider one is mirrored at the border
            assert variances[1] - variances[0] == pytest.approx(deviation**2, rel=0.03, abs=0.1)
    person = np.zeros((HEIGHT, WIDTH), np.uint8)
    person[:, 40:60] = 255
    options = {**PASTE_OPTIONS, "at": (30, 20), "people": [person], "behind": [0]}
    result, info = pyharmony.compose(object_(), ground(), adjust={"feather": 20}, return_info=True, **options)
    inside = np.zeros((HEIGHT, WIDTH), bool)
    inside[20:70, 30:70] = True
    assert np.array_equal(result[~inside], ground()[~inside])
    assert np.array_equal(result[person > 0], ground()[person > 0])
    assert 0 < info.subjects[0].mask[30, 32] < 255


@pytest.mark.parametrize("kind", ["photograph", "cut-out"])
def test_what_an_edge_uncovers_has_colours(kind: str) -> None:
    """It shows the photograph; what has no colours there, and what is only softened, gets those of the subject."""
    whole = disc(1)
    own = np.array([20, 90, 200])
    share = whole[..., 3:] / 255
    photo = np.rint(share * whole[..., :3] + (1 - share) * own).astype(np.uint8)
    arguments = {"subjects": photo, "masks": whole[..., 3]}
    if kind == "cut-out":
        cut = whole.copy()
        cut[whole[..., 3] == 0] = 0
        arguments = {"subjects": cut}
    options = {**PASTE_OPTIONS, "at": (0, 0), "background": np.zeros((160, 160, 3), np.uint8)}
    _, plain = pyharmony.compose(return_info=True, **arguments, **options)
    _, wide_info = pyharmony.compose(return_info=True, adjust={"edge": 5}, **arguments, **options)
    rim = (wide_info.subjects[0].mask == 255) & (plain.subjects[0].mask == 0)

    def colours(info: Any, where: np.ndarray) -> np.ndarray:
        x, y, wide, high = info.subjects[0].box
        return info.subjects[0].colours[where[y : y + high, x : x + wide]].astype(float)

    expected = own if kind == "photograph" else whole[rim][:, :3]
    assert np.abs(colours(wide_info, rim) - expected).max() <= 12
    for adjust in ({"feather": 8}, {"feather": 8, "edge": -4}):
        _, soft = pyharmony.compose(return_info=True, adjust=adjust, **arguments, **options)
        visible = soft.subjects[0].mask > 12
        assert np.count_nonzero(visible & (plain.subjects[0].mask == 0)) > (300 if len(adjust) == 1 else -1)
        assert np.abs(colours(soft, visible) - whole[visible][:, :3]).max() <= 12


def test_shadows_and_reflections_follow_what_is_corrected() -> None:
    options = {**PASTE_OPTIONS, "at": (30, 20), "shadow": {"azimuth": 120, "elevation": 40}, "reflection": {"blur": 0}}
    _, plain = pyharmony.compose(object_(), ground(), return_info=True, **options)
    adjust = {"edge": 3, "saturation": 0}
    result, info = pyharmony.compose(object_(), ground(), adjust=adjust, return_info=True, **options)
    before, after = plain.subjects[0], info.subjects[0]
    assert np.count_nonzero(after.shadow < 250) > 1.1 * np.count_nonzero(before.shadow < 250)
    assert np.count_nonzero(after.reflection[..., 3]) > 1.1 * np.count_nonzero(before.reflection[..., 3])
    hues = [np.ptp(x.reflection[x.reflection[..., 3] > 20][:, :3].astype(int), 1) for x in (before, after)]
    assert np.median(hues[1]) <= 1 and np.median(hues[0]) > 30
    untouched = (after.mask == 0) & (after.shadow == 255).all(2) & (after.reflection[..., 3] == 0)
    assert np.array_equal(result[untouched], ground()[untouched])
    assert np.array_equal(io.merged_of(info.layers, (WIDTH, HEIGHT))[..., :3], result)
    # An edge that removes the whole subject is reported.
    _, gone = pyharmony.compose(object_(), ground(), adjust={"edge": -30}, return_info=True, **options)
    assert [reason.code for reason in gone.subjects[0].reasons] == ["unseen"]


@pytest.mark.parametrize("blend_by", ["alpha", "gaussian_poisson", "poisson"])
def test_each_subject_has_corrections_of_its_own(blend_by: str) -> None:
    options = {**PASTE_OPTIONS, "blend": blend_by}

    def two(first: Any, second: Any) -> list[Subject]:
        return [Subject(object_(), at=(5, 20), adjust=first), Subject(object_(), at=(80, 22), adjust=second)]

    result, info = pyharmony.compose(two(ADJUSTED, None), ground(), return_info=True, **options)
    entries = {one["x"]: one["adjust"] for one in info.recipe["subjects"]}
    assert [entries[x] for x in sorted(entries)] == [ADJUSTED, None]
    plain = pyharmony.compose(two(None, None), ground(), **options)
    both = pyharmony.compose(two(ADJUSTED, ADJUSTED), ground(), **options)
    again = pyharmony.compose([object_()] * 2, ground(), recipe=json.loads(json.dumps(info.recipe)))
    assert np.array_equal(again, result)
    assert np.array_equal(result[:, 70:], plain[:, 70:]) and np.array_equal(result[:, :65], both[:, :65])
    assert (result[:, :65] != plain[:, :65]).any() and (both[:, 70:] != plain[:, 70:]).any()
    swapped = pyharmony.compose(two(None, {"exposure": np.float32(0.5)}), ground(), **options)
    assert np.array_equal(swapped[:, :65], plain[:, :65]) and (swapped[:, 70:] != plain[:, 70:]).any()


def test_a_recipe_from_before_corrections_has_none() -> None:
    result, info = pyharmony.compose(object_(), ground(), at=(30, 20), return_info=True, **PASTE_OPTIONS)
    older = json.loads(json.dumps(info.recipe))
    assert older["subjects"][0].pop("adjust") is None
    assert composition.read_recipe(older)["subjects"][0]["adjust"] is None
    assert pyharmony.compose(object_(), ground(), recipe=older).tobytes() == result.tobytes()
    older["subjects"][0]["adjust"] = {"exposure": 1}
    assert (pyharmony.compose(object_(), ground(), recipe=older) != result).any()


def test_previews_show_what_was_corrected() -> None:
    large = np.kron(ground(), np.ones((4, 4, 1), np.uint8))
    subject = np.asarray(Image.fromarray(object_()).resize((160, 200), Image.Resampling.BICUBIC))
    adjust = {**ADJUSTED, "edge": 6, "feather": 12}
    whole, info = pyharmony.compose(subject, large, at=(120, 80), adjust=adjust, return_info=True, **PASTE_OPTIONS)
    small, small_info = pyharmony.compose(subject, large, recipe=info.recipe, side=WIDTH, return_info=True)
    reduced, mask = (
        np.asarray(Image.fromarray(x).resize((WIDTH, HEIGHT), Image.Resampling.BOX))
        for x in (whole, info.subjects[0].mask)
    )
    assert np.abs(small.astype(float) - reduced).mean() < 1
    assert np.abs(small_info.subjects[0].mask.astype(int) - mask).max() <= 12
    plain = pyharmony.compose(subject, large, at=(120, 80), side=WIDTH, **PASTE_OPTIONS)
    assert np.abs(plain.astype(float) - reduced).max() > 60


def test_corrections_are_those_of_retouching() -> None:
    from pyharmony.color._retouch import _ACCEPTED

    for name in ("exposure", "temperature", "contrast", "saturation"):
        option = ADJUST.by_name[name]
        assert (option.low, option.high) == _ACCEPTED[name]
        assert option.value == getattr(color.Retouching(), name)


def test_previews_look_like_the_picture() -> None:
    large = np.kron(ground(), np.ones((4, 4, 1), np.uint8))
    subject = np.kron(object_(), np.ones((4, 4, 1), np.uint8))
    options = {**PASTE_OPTIONS, "shadow": True}
    whole, info = pyharmony.compose(subject, large, at=(120, 80), return_info=True, **options)
    small = pyharmony.compose(subject, large, recipe=info.recipe, side=WIDTH)
    assert small.shape == (HEIGHT, WIDTH, 3)
    reduced = np.asarray(Image.fromarray(whole).resize((WIDTH, HEIGHT), Image.Resampling.BOX))
    assert np.abs(small.astype(float) - reduced).mean() < 2


@pytest.mark.parametrize("times", [3, 4])
def test_in_a_preview_a_subject_lies_where_it_lies_at_full_size(times: int) -> None:
    """The subject, and the shadow and the reflection whose places are told in pixels of the picture."""
    large, subject = (np.kron(image, np.ones((times, times, 1), np.uint8)) for image in (ground(), object_()))
    row = 64 * times - 1
    shadow = {"contact": row, "horizon": 20 * times, "tip": (80 * times, 80 * times), "strength": 1.0, "softness": 1}
    options = {**PASTE_OPTIONS, "shadow": shadow, "reflection": {"contact": ((0, row), (9, row)), "blur": 0, "fade": 0}}
    _, info = pyharmony.compose(subject, large, at=(30 * times, 20 * times), return_info=True, **options)
    _, small = pyharmony.compose(subject, large, recipe=info.recipe, side=WIDTH, return_info=True)

    def middle(values: np.ndarray) -> np.ndarray:
        rows, columns = np.indices(values.shape)
        return np.array([(values * at).sum() / values.sum() for at in (columns, rows)])

    for full, reduced in (
        (info.subjects[0].mask, small.subjects[0].mask),
        (255 - info.subjects[0].shadow[..., 0].astype(int), 255 - small.subjects[0].shadow[..., 0].astype(int)),
        (info.subjects[0].reflection[..., 3], small.subjects[0].reflection[..., 3]),
    ):
        assert np.abs((middle(full) + 0.5) / times - 0.5 - middle(reduced)).max() < 0.15


IMAGES = Path(pyharmony.__file__).parent / "cli" / "images"


def enlarged(name: str, folder: Path, *, side: int = 2600, rotated: bool = False) -> Path:
    """Returns the JPEG file of a bundled photograph at 2600 pixels, of which previews read half along each side.

    turned: whether it lies on its side, and EXIF tells so.
    """
    image = Image.open(IMAGES / f"{name}.jpg").convert("RGB")
    factor = side / max(image.size)
    image = image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    if rotated:
        image = image.transpose(Image.Transpose.ROTATE_90)
        exif[0x0112] = 6
    path = folder / f"{name}{'_turned' if rotated else ''}.jpg"
    image.save(path, quality=92, exif=exif)
    return path


@pytest.mark.parametrize(
    ("background", "scale"), [pytest.param("rocket", 1.0, marks=pytest.mark.full), ("coffee", "auto")]
)
def test_a_preview_decides_nearly_what_the_picture_does(background: str, scale: Any, tmp_path: Path) -> None:
    """From reduced pixels the mask, the place and the size come out as from all of them."""
    subject, scene = enlarged("astronaut", tmp_path), enlarged(background, tmp_path)
    options = {"harmonize": None, "grain": 0.0, "sharpness": 0.0, "side": 320, "scale": scale, "return_info": True}
    small, preview = pyharmony.compose(subject, scene, **options)
    # Arrays are looked at in all of their pixels.
    _, whole = pyharmony.compose(np.asarray(Image.open(subject)), np.asarray(Image.open(scene)), **options, k=2)
    # Beside the rocket both sides are nearly as good, and either may come first.
    first, every = preview.recipe["subjects"][0], [one["subjects"][0] for one in (whole.recipe, *whole.alternatives)]
    second = min(every, key=lambda one: abs(one["x"] - first["x"]))
    assert second is every[0] or np.isclose(*(one.score for one in whole.subjects[0].places), rtol=0.1)
    assert small.size == (320, round(320 * Image.open(scene).height / 2600))
    assert preview.recipe["size"] == whole.recipe["size"] == list(Image.open(scene).size)
    assert first["size"] == second["size"] == [2600, 2600]
    for name in ("cropped_sides", "hidden", "flip"):
        assert first[name] == second[name], name
    # Of two columns of the grid, which has 48, either may be the better one by a hair.
    assert np.hypot(first["x"] - second["x"], first["y"] - second["y"]) < 1.05 * 2600 / 48
    assert abs(np.log2(first["scale"] / second["scale"])) < 0.02 and abs(first["angle"] - second["angle"]) < 0.25
    from pyharmony.composition._recipe import mask_over

    pixels = np.asarray(Image.open(IMAGES / "astronaut.jpg"))
    masks = [mask_over(entry["mask"], "mask", (2600, 2600), pixels) > 127 for entry in (first, second)]
    assert (masks[0] & masks[1]).sum() > 0.98 * (masks[0] | masks[1]).sum() > 0.1 * masks[0].size


def test_the_recipe_of_a_preview_makes_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject, scene = enlarged("astronaut", tmp_path, rotated=True), enlarged("rocket", tmp_path, rotated=True)
    options = {"harmonize": None, "shadow": False, "at": (400.0, 600.0), "scale": 0.25, "grain": 0.0, "sharpness": 0.0}
    options |= {"points": (1120, 700)}
    small, preview = pyharmony.compose(subject, scene, side=325, return_info=True, **options)
    recipe = json.loads(json.dumps(preview.recipe))
    # Both stand upright, and what was pointed at is in pixels of the whole photograph.
    assert recipe["size"] == [2600, 1735] and small.size == (325, 217)
    assert (recipe["subjects"][0]["x"], recipe["subjects"][0]["y"]) == (400 + 324.5, 600 + 324.5)
    assert recipe["background"] is None and recipe["subjects"][0]["digest"] is None
    whole, recipe_info = pyharmony.compose(subject, scene, recipe=recipe, return_info=True)
    assert whole.size == (2600, 1735) and recipe_info.recipe == recipe
    # Without the preview's recipe the picture of the files is the same: all is decided by the same pixels.
    alone, info = pyharmony.compose(subject, scene, return_info=True, **options)
    assert np.array_equal(np.asarray(alone), np.asarray(whole))
    bare_recipe = json.loads(json.dumps(info.recipe))
    bare_recipe["background"] = bare_recipe["subjects"][0]["digest"] = None
    assert bare_recipe == recipe
    reduced = np.asarray(whole.resize((325, 217), Image.Resampling.BOX)).astype(float)
    assert np.abs(np.asarray(small) - reduced).mean() < 2
    mask = np.asarray(Image.fromarray(recipe_info.subjects[0].mask).resize((325, 217), Image.Resampling.BOX)) > 127
    visible = preview.subjects[0].mask > 127
    assert (mask & visible).sum() > 0.95 * (mask | visible).sum() > 0.01 * mask.size
    # The preview is repeated too, from reduced pixels.
    read = io.read

    def of_no_file(source: Any, *arguments: Any, **options: Any) -> Any:
        assert not isinstance(source, (str, Path)), "all pixels were read"
        return read(source, *arguments, **options)

    with monkeypatch.context() as only:
        only.setattr(io, "read", of_no_file)
        repeated = pyharmony.compose(str(subject), str(scene), recipe=recipe, side=325)
    assert np.array_equal(np.asarray(repeated), np.asarray(small))
    # Other pixels are refused, and so is what does not tell of its file.
    with pytest.raises(
        ArgumentError, match=r"background differs from the one.*a preview of a file, expected that file"
    ):
        pyharmony.compose(subject, np.asarray(whole), recipe=recipe)
    Image.open(subject).save(tmp_path / "other.jpg", quality=50, exif=Image.open(subject).getexif())
    with pytest.raises(ArgumentError, match=r"subjects\[0\] differs from the one"):
        pyharmony.compose(tmp_path / "other.jpg", scene, recipe=recipe, side=325)


def test_the_recipe_of_files_is_one_of_their_pixels_too(tmp_path: Path) -> None:
    subject, scene = enlarged("astronaut", tmp_path, side=300), enlarged("rocket", tmp_path, side=650)
    options = {"harmonize": None, "shadow": False, "at": (100.0, 150.0), "grain": 0.0, "sharpness": 0.0}
    options |= {"points": (130, 80), "people": []}
    composite, info = pyharmony.compose(subject, scene, return_info=True, **options)
    recipe = json.loads(json.dumps(info.recipe))
    assert recipe["background_file"] == hashlib.sha256(scene.read_bytes()).hexdigest()
    assert recipe["subjects"][0]["file"] == hashlib.sha256(subject.read_bytes()).hexdigest()
    arrays = np.asarray(Image.open(subject)), np.asarray(Image.open(scene))
    assert np.array_equal(pyharmony.compose(*arrays, recipe=recipe), np.asarray(composite))
    # The recipe of arrays knows files by their pixels, of which a preview then needs all.
    _, info = pyharmony.compose(*arrays, return_info=True, **options)
    assert info.recipe["background_file"] is None and info.recipe["background"] == recipe["background"]
    assert pyharmony.compose(subject, scene, recipe=info.recipe, side=65).size == (65, 43)
    for field in ("background", "background_file"):
        damaged = {**recipe, field: None}
        assert pyharmony.compose(subject, scene, recipe=damaged, side=65).size == (65, 43)
    with pytest.raises(ArgumentError, match="recipe: background: null, as is background_file"):
        composition.read_recipe({**recipe, "background": None, "background_file": None})


@pytest.fixture(scope="module")
def layered() -> tuple[np.ndarray, str]:
    """Returns a photograph of a box, and the recipe of a composite whose mask a click drew in layers."""
    photo = np.full((80, 100, 3), 220, np.uint8)
    photo[20:60, 30:50] = (30, 60, 120)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PyHarmonyWarning)
        _, info = pyharmony.compose(photo, ground(), points=(40, 40), at=(0, 0), return_info=True, **PASTE_OPTIONS)
    return photo, json.dumps(info.recipe)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ({"layers": 3}, "subjects[0].mask.layers: 3, expected a list"),
        ({"layers": [3]}, "subjects[0].mask.layers: [3], expected a list"),
        ({"layers": [{"box": [0, 0, 9, 9]}]}, "subjects[0].mask.layers[0].values: missing"),
        ({"box": [0, 0, 9]}, "subjects[0].mask.layers[0].box: [0, 0, 9], expected left, top, right and bottom"),
        ({"box": [0, 0, 101, 9]}, "subjects[0].mask.layers[0]: a box that exceeds its image"),
        ({"box": [9, 0, 9, 9]}, "subjects[0].mask.layers[0]: a box that exceeds its image"),
        ({"values": 3}, "subjects[0].mask.layers[0].values: 3, expected a mask"),
        ({"values": {**MASK_OF, "size": [5000, 2]}}, "subjects[0].mask.layers[0].values.size: [5000, 2], expected at"),
        ({"values": {**MASK_OF, "size": [4096, 4096]}}, "subjects[0].mask.layers[0].values.size: 4096 x 4096"),
        ({"layers": [{}] * 65}, "subjects[0].mask.layers: 65 layers, expected at most 64"),
        ({"values": {**MASK_OF, "box": [0, 0, 9, 9], "png": "?"}}, "subjects[0].mask.layers[0].values: not a mask"),
    ],
)  # fmt: skip
def test_what_a_mask_is_drawn_from_is_checked(
    layered: tuple[np.ndarray, str], damage: dict[str, Any], says: str
) -> None:
    photo, recipe = layered[0], json.loads(layered[1])
    mask = recipe["subjects"][0]["mask"]
    assert len(mask["layers"]) == 1 and mask["png"] == ""
    if "layers" in damage:
        mask.update(damage)
    else:
        mask["layers"][0].update(damage)
    with pytest.raises(ArgumentError) as raised:
        pyharmony.compose(photo, ground(), recipe=recipe)
    assert says in str(raised.value)


def test_memory_of_a_recipe_follows_its_picture_and_not_its_layers(layered: tuple[np.ndarray, str]) -> None:
    photo, recipe = layered[0], json.loads(layered[1])
    mask = recipe["subjects"][0]["mask"]
    large = {"box": [0, 0, 1, 1], "values": {"size": [1024, 1024], "box": [0, 0, 0, 0], "png": ""}}
    mask["layers"] = [*mask["layers"], *[large] * 63]
    assert peak_of(lambda: pyharmony.compose(photo, ground(), recipe=recipe)) < 64 << 20


def test_a_click_beside_says_what_does_not_belong_to_it() -> None:
    photo = np.asarray(Image.open(IMAGES / "hat.jpg"))
    options = {"at": (0, 0), "return_info": True, **PASTE_OPTIONS}
    below = np.full(photo.shape, 128, np.uint8)
    for beside in ((188, 285), [(188, 285), (40, 40)], np.array([(188, 285)])):
        _, info = pyharmony.compose(photo, below, points=(260, 420), beside=beside, **options)
        clicks = [(260, 420), *np.reshape(beside, (-1, 2)).tolist()]
        masks = pyharmony.segment(photo, points=clicks, labels=[1] + [0] * (len(clicks) - 1))
        assert info.subjects[0].mask_score == pytest.approx(masks.scores[0])
        assert info.subjects[0].mask[285, 188] < 30
    _, info = pyharmony.compose(photo, below, points=(260, 420), **options)
    assert info.subjects[0].mask[285, 188] > 100
    rough = np.zeros(photo.shape[:2], np.uint8)
    rough[300:, 200:] = 255
    _, info = pyharmony.compose(photo, below, masks=rough, beside=(188, 285), **options)
    assert info.subjects[0].mask_score is not None
    for wrong, message in (
        ({"beside": (188, 285)}, "beside: without points, a box or a mask, expected one of them"),
        ({"points": (260, 420), "beside": []}, "beside: empty, expected (x, y) in pixels, or a list of them"),
        ({"points": (260, 420), "beside": (9999, 1)}, "beside[0]: (9999, 1) is outside of the image"),
    ):
        with pytest.raises(ArgumentError, match=re.escape(message)):
            pyharmony.compose(photo, below, **wrong, **options)


def test_a_click_or_a_box_says_who_is_meant() -> None:
    photo = np.full((80, 100, 3), 220, np.uint8)
    photo[20:60, 30:50] = (30, 60, 120)
    by_box, info = pyharmony.compose(
        photo, ground(), boxes=(28, 18, 24, 44), at=(0, 0), return_info=True, **PASTE_OPTIONS
    )
    assert info.subjects[0].mask[40, 40] == 255 and info.subjects[0].mask[5, 5] == 0
    by_click = pyharmony.compose([Subject(photo, points=(40, 40), at=(0, 0))], ground(), **PASTE_OPTIONS)
    assert tuple(by_box[40, 40]) == tuple(by_click[40, 40]) == (30, 60, 120)


def test_another_method_cuts_out() -> None:
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    photo = np.full((80, 100, 3), 220, np.uint8)
    photo[20:60, 30:50] = (30, 60, 120)
    options: dict[str, Any] = {"points": (40, 40), "at": (0, 0), "return_info": True, **PASTE_OPTIONS}
    _, info = pyharmony.compose(photo, ground(), segment="grabcut", **options)
    expected = pyharmony.segment(photo, points=(40, 40), method="grabcut").alpha()
    assert np.abs(info.subjects[0].mask[:80, :100].astype(int) - expected).max() <= 3
    with pytest.raises(ArgumentError, match="segment: 'lasso', expected one of 'auto', 'clicks-imagenet', 'clicks'"):
        pyharmony.compose(photo, ground(), segment="lasso", **options)


def found_masks(photo: np.ndarray, *masks: np.ndarray) -> pyharmony.segmentation.Masks:
    """Returns masks as a session finds them, with scores that fall."""
    from pyharmony.segmentation.layers import Layer

    box = (0, 0, photo.shape[1], photo.shape[0])
    layers = tuple(Layer(box, (mask / 255).astype(np.float32), 0.6 - 0.05 * i) for i, mask in enumerate(masks))
    scores = tuple(layer.score for layer in layers)
    return pyharmony.segmentation.Masks(scores, tuple(box for _ in masks), (), "clicks", "", photo, layers)


def test_whoever_is_foremost_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyharmony.composition import _plan
    from pyharmony.segmentation.heads import Head

    expected = np.zeros((60, 80), np.uint8)
    expected[20:50, 5:20] = 255

    class Session(StubSession):
        def heads(self, least: float) -> list[Head]:
            return [Head((50, 10, 6, 6), (46, 10, 14, 30), 0.9), self.foremost()]

        def foremost(self) -> Head:
            return Head((8, 20, 8, 8), (5, 20, 15, 30), 0.8)

        def segment(self, points: list[tuple[float, float]], box: tuple[int, int, int, int]) -> Any:
            assert points == [(11.5, 23.5), (11.5, pytest.approx(34.7))]
            # They may go farther than is expected by a quarter to each side.
            assert box == (1, 12, 23, 46)
            return found_masks(self.picture, expected, expected[:, ::-1])

    monkeypatch.setattr(_plan, "Session", Session)
    photo = np.full((60, 80, 3), 90, np.uint8)
    _, info = pyharmony.compose(photo, ground(), at=(0, 0), return_info=True, **PASTE_OPTIONS)
    assert info.subjects[0].mask[30, 10] == 255 and info.subjects[0].mask[30, 60] == 0
    assert info.subjects[0].reasons == ("2 people were found, a large one apart from others was selected",)


def test_whoever_stands_beside_the_largest_head_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyharmony.composition import _plan
    from pyharmony.segmentation import Head, Masks
    from pyharmony.segmentation.layers import Layer

    photo = np.full((60, 80, 3), 90, np.uint8)
    both, one = np.zeros((60, 80), np.float32), np.zeros((60, 80), np.float32)
    both[20:50, 5:35], one[20:50, 5:20] = 1, 1
    box = (0, 0, 80, 60)

    class Session(StubSession):
        def heads(self, least: float) -> list[Head]:
            # Of the second and the third, one is covered by the first answer.
            return [
                Head((8, 20, 9, 9), (5, 20, 30, 30), 0.9), Head((24, 21, 7, 7), (20, 20, 15, 30), 0.8),
                Head((60, 10, 7, 7), (50, 10, 20, 30), 0.8),
            ]  # fmt: skip

        def foremost(self) -> Head:
            return self.heads(0.4)[0]

        def found(self, mask: np.ndarray) -> Masks:
            return Masks((0.9,), (box,), (), "clicks", "", self.picture, (Layer(box, mask, 0.9),))

        def segment(self, **options: Any) -> Masks:
            return self.found(both)

        def click(self, x: float, y: float, *, add: bool = True) -> Masks:
            assert (x, y, add) == (27.0, 24.0, False)
            return self.found(one)

    monkeypatch.setattr(_plan, "Session", Session)
    _, info = pyharmony.compose(photo, ground(), at=(0, 0), return_info=True, **PASTE_OPTIONS)
    assert info.subjects[0].mask[35, 12] > 127 and info.subjects[0].mask[35, 28] == 0


def test_faces_of_people_without_a_mask_are_not_covered(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyharmony.composition import _plan
    from pyharmony.segmentation import Head, Masks, Session
    from pyharmony.segmentation.heads import head_around
    from pyharmony.segmentation.layers import Layer

    face_box, more = (25, 60, 30, 30), (205.2, 60.4, 30.0, 30.5)
    body = (13.0, 60.0, 54.0, 175.0)
    heads = (Head((25.4, 60.3, 29.2, 29.4), body, 0.9), Head(more, (193, 60, 54, 175), 0.6))

    def people(self: Session) -> Masks:
        layer = Layer((0, 0, 360, 240), (crowd()[0] / 255).astype(np.float32), 0.9)
        return self._masks([layer], "", (face_box,))

    calls: list[dict[str, Any]] = []

    def place(*images: np.ndarray, **options: Any) -> list[placement.Placement]:
        calls.append(options)
        return placement.place(*images, **options)

    monkeypatch.setattr(Session, "people", people)
    monkeypatch.setattr(Session, "others", lambda self, masks, size: np.zeros(size[::-1], np.uint8))
    monkeypatch.setattr(Session, "heads", lambda self, least=0.0: heads)
    monkeypatch.setattr(Session, "shows_people", lambda self, mask: True)
    monkeypatch.setattr(_plan, "place", place)
    options = {name: value for name, value in PASTE_OPTIONS.items() if name != "people"}
    _, info = pyharmony.compose(figure(84), wall(), return_info=True, **options)
    (face,) = calls[0]["faces"]
    left, top, right, bottom = head_around((face[0], face[1], face[0] + face[2], face[1] + face[3]))
    assert np.allclose((left, top, right - left, bottom - top), more)
    x, y, wide, high = (round(v) for v in face)
    assert not info.subjects[0].mask[y : y + high, x : x + wide].any() and not info.subjects[0].placement.reason
    # What `segment` tells of the people gives the same place as looking for them.
    _, other_info = pyharmony.compose(
        figure(84), wall(), people=pyharmony.segment(wall(), all_people=True), return_info=True, **options
    )
    assert other_info.recipe == info.recipe and calls[1]["faces"] == calls[0]["faces"]
    assert np.array_equal(calls[1]["other_people"], calls[0]["other_people"])


@pytest.mark.full
@pytest.mark.parametrize(
    ("subject", "background"),
    [("000000000308", "000000008690"), ("000000001296", "000000001000"), ("000000000459", "000000001000")],
)
def test_people_who_were_found_before_give_the_same_place(data_dir: Path, subject: str, background: str) -> None:
    photo, scene = (io.read(data_dir / "app_open" / f"coco_{name}.jpg").pixels for name in (subject, background))
    options = {name: value for name, value in PASTE_OPTIONS.items() if name != "people"}
    people = pyharmony.segment(scene, all_people=True)
    _, info = pyharmony.compose(photo, scene, return_info=True, **options)
    _, people_info = pyharmony.compose(photo, scene, people=people, return_info=True, **options)
    assert people_info.recipe == info.recipe
    mask = pyharmony.segment(photo, all_people=True)[0]
    assert placement.place(photo, scene, mask=mask) == placement.place(photo, scene, mask=mask, people=people)


def test_what_is_found_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    photo = np.full((80, 100, 3), 220, np.uint8)
    photo[20:60, 40:60] = (30, 60, 120)
    with monkeypatch.context() as patch:
        patch.setattr(pyharmony.segmentation.Session, "heads", lambda self, least=0.0: ())
        _, info = pyharmony.compose(photo, ground(), return_info=True, **PASTE_OPTIONS)
    assert any("no person was found" in reason for reason in info.subjects[0].reasons)
    outside, outside_info = pyharmony.compose(object_(), ground(), at=(500, 500), return_info=True, **PASTE_OPTIONS)
    assert np.array_equal(outside, ground()) and "nothing of it would be visible" in outside_info.subjects[0].reasons[0]
    with warnings.catch_warnings(record=True) as records:
        warnings.simplefilter("always")
        pyharmony.compose(object_(), ground(), at=(500, 500), **PASTE_OPTIONS)
    assert "nothing of it would be visible" in str(records[-1].message)


def test_larger_than_the_picture() -> None:
    subject = np.kron(object_(), np.ones((8, 8, 1), np.uint8))
    result, info = pyharmony.compose(subject, ground(), people=[], return_info=True)
    assert info.subjects[0].scale < 1 and not np.array_equal(result, ground())


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"subjects": []}, ArgumentError, "subjects: empty"),
        ({"blend": "x"}, ArgumentError, "blend: 'x', expected one of 'auto', 'alpha'"),
        ({"side": 3}, ArgumentError, "side: 3, expected a whole number"),
        ({"grain": 2}, ArgumentError, "grain: 2, expected a number from 0 to 1"),
        ({"strength": -1}, ArgumentError, "strength: -1, expected a number from 0 to 2"),
        ({"seed": -1}, ArgumentError, "seed: -1, expected a whole number"),
        ({"k": 0}, ArgumentError, "k: 0, expected a whole number of at least 1"),
        ({"k": 2}, ArgumentError, "k: 2, expected 1 for several subjects, and if `at` is a position or a Placement"),
        ({"at": "x"}, ArgumentError, "at: 'x', expected 'auto', (x, y) or a Placement"),
        ({"at": (1, float("nan"))}, ArgumentError, "of finite numbers below"),
        ({"scale": 0}, ArgumentError, "scale: 0, expected 'auto' or a number above 0"),
        ({"angle": 200}, ArgumentError, "angle: 200, expected 'auto' or -180"),
        ({"flip": 1}, DTypeError, "flip: 1, expected True or False"),
        ({"behind": [2]}, ArgumentError, "behind: [2], expected numbers of the 0 people"),
        (
            {"upscale": "x"},
            ArgumentError,
            "upscale: 'x', expected one of 'auto', 'srgan', 'lanczos', 'bicubic' or None",
        ),
        ({"shadow": "x"}, ArgumentError, "shadow: 'x', expected 'auto', True, False"),
        ({"reflection": "x"}, ArgumentError, "reflection: 'x', expected True, False"),
        ({"reflection": {"x": 1}}, ArgumentError, "reflection: 'x', expected some of strength"),
        ({"shadow": {"x": 1}}, ArgumentError, "shadow: 'x', expected some of azimuth"),
        ({"adjust": 3}, ArgumentError, "adjust: 3, expected None or numbers by name: exposure, temperature, contrast"),
        ({"adjust": [{}]}, ArgumentError, "adjust: [{}], expected None or numbers by name"),
        ({"adjust": {"tint": 1}}, ArgumentError, "adjust.tint: not an argument of adjust, expected some of exposure"),
        ({"adjust": {"exposure": 5}}, ArgumentError, "adjust.exposure: 5, expected a number from -4 to 4"),
        ({"adjust": {"exposure": 10**400}}, ArgumentError, "expected a number from -4 to 4"),
        ({"adjust": {"exposure": True}}, ArgumentError, "adjust.exposure: True, expected a number from -4 to 4"),
        ({"adjust": {"saturation": "1"}}, ArgumentError, "adjust.saturation: '1', expected a number from 0 to 4"),
        ({"adjust": {"contrast": np.nan}}, ArgumentError, "adjust.contrast: nan, expected a number from -1 to 1"),
        ({"adjust": {"temperature": -151}}, ArgumentError, "adjust.temperature: -151, expected a number from -150 to"),
        ({"adjust": {"edge": 50.5}}, ArgumentError, "adjust.edge: 50.5, expected a number from -50 to 50"),
        ({"adjust": {"feather": -1}}, ArgumentError, "adjust.feather: -1, expected a number from 0 to 50"),
        ({"subjects": [object_()], "adjust": [None, None]}, ArgumentError, "adjust: a list of 2 for 1 subjects"),
        ({"subjects": [object_()], "adjust": {"edge": 99}}, ArgumentError, "subjects[0]: adjust.edge: 99, expected"),
        (
            {"subjects": [Subject(object_())], "at": (3, 3)},
            ArgumentError,
            "at: passed beside a Subject, expected at of",
        ),
        ({"subjects": Subject(object_()), "at": "auto", "boxes": (1, 2, 3, 4)}, ArgumentError, "boxes: passed beside"),
        ({"masks": np.zeros((50, 40), np.uint8)}, MaskError, "masks: empty"),
        ({"subjects": [object_()], "masks": [None, None]}, ArgumentError, "masks: a list of 2 for 1 subjects"),
        ({"background": np.zeros((2, 9, 9, 3), np.uint8)}, ShapeError, "background: a batch"),
    ],
)
def test_bad_arguments_are_named(changes: dict[str, Any], error: type[Exception], says: str) -> None:
    whole = {"subjects": object_(), "background": ground(), "at": (3, 3), **PASTE_OPTIONS, **changes}
    before = ground()
    with pytest.raises(error) as raised:
        pyharmony.compose(whole.pop("subjects"), whole.pop("background"), **whole)
    assert says in str(raised.value) and np.array_equal(before, ground())


# ---- an alpha that cuts nothing out --------------------------------------------------------------------


def opaque_alphas(height: int, width: int) -> dict[str, np.ndarray]:
    """Returns alphas of photos that cut nothing out."""
    plain, corners, edge, pale, holed = (np.full((height, width), 255, np.uint8) for _ in range(5))
    corners[:3, :3] = corners[:3, -3:] = corners[-3:, :3] = corners[-3:, -3:] = 0
    edge[-1] = 0
    pale[...] = 128
    holed[5, 7] = 0
    return {"opaque": plain, "round corners": corners, "a clear row": edge, "half": pale, "a clear pixel": holed}


def photographed() -> tuple[np.ndarray, np.ndarray]:
    """Returns a photo [H, W, 3] of a red disc before green, and where the disc is."""
    y, x = np.mgrid[:120, :160]
    inside = np.hypot(y - 60, x - 80) < 30
    image = np.full((120, 160, 3), (60, 120, 60), np.uint8) + ((x + y) % 7).astype(np.uint8)[..., None]
    image[inside] = 200, 40, 40
    return image, inside


@pytest.mark.covering(1)
@pytest.mark.parametrize("kind", opaque_alphas(9, 9))
@pytest.mark.parametrize("door", ["compose", "place", "bank"])
def test_an_alpha_above_0_nearly_everywhere_cuts_nothing_out(door: str, kind: str, tmp_path: Path) -> None:
    image, inside = photographed()
    rgba = np.dstack([image, opaque_alphas(120, 160)[kind]])
    Image.fromarray(rgba).save(tmp_path / "screenshot.png")
    ground = np.full((240, 320, 3), 128, np.uint8)
    with warnings.catch_warnings(record=True) as records:
        warnings.simplefilter("always")
        if door == "compose":
            _, info = pyharmony.compose(tmp_path / "screenshot.png", ground, return_info=True, **PASTE_OPTIONS)
            mask = _recipe.mask_over(info.recipe["subjects"][0]["mask"], "", (160, 120), image) >= 128
        elif door == "place":
            place = pyharmony.place(rgba, ground, people=[], person=False)[0]
            mask = None if place.box[2] / place.box[3] > 1.2 else inside
        else:
            mask = augment.Bank.from_folder(tmp_path)[0].mask >= 128
    assert [str(one.message) for one in records if "cuts nothing out" in str(one.message)]
    assert mask is not None and 0.9 * inside.sum() < mask.sum() < 1.1 * inside.sum()


def test_a_recipe_of_a_screenshot_has_its_mask() -> None:
    image, _ = photographed()
    rgba, ground = np.dstack([image, np.full((120, 160), 255, np.uint8)]), np.full((240, 320, 3), 128, np.uint8)
    with pytest.warns(pyharmony.errors.PyHarmonyWarning, match="cuts nothing out"):
        first, info = pyharmony.compose(rgba, ground, return_info=True, **PASTE_OPTIONS)
    again = pyharmony.compose(rgba, ground, recipe=json.loads(json.dumps(info.recipe)))
    assert again.tobytes() == first.tobytes()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_what_is_faint_around_a_cut_out_is_no_part_of_it(dtype: str) -> None:
    """Networks leave values of 1 to 9 of 255 around what they cut out."""
    white = {"uint8": 255, "uint16": 65535}.get(dtype, 1)
    image, inside = photographed()
    clean = np.where(inside, 255, 0)
    for faint in (1, 2, 9):
        alphas = [np.where(inside, 255, around) for around in (0, faint)]
        photos = [np.dstack([image / 255, alpha / 255]) * white for alpha in alphas]
        photos = [(np.rint(one) if white > 1 else one).astype(dtype) for one in photos]
        ground = (np.full((240, 320, 3), 0.5) * white).astype(dtype)
        options = {"at": (40, 50), "scale": 1, "angle": 0, **PASTE_OPTIONS}
        expected = pyharmony.compose(photos[0], ground, **options)
        with pytest.warns(pyharmony.errors.MaskWarning, match="below 4 %"):
            result = pyharmony.compose(photos[1], ground, **options)
        np.testing.assert_array_equal(result, expected)
        with pytest.warns(pyharmony.errors.MaskWarning, match="below 4 %"):
            place = pyharmony.place(photos[1], ground, people=[], person=False)[0]
        assert place.box == pyharmony.place(photos[0], ground, people=[], person=False)[0].box
    with pytest.warns(pyharmony.errors.MaskWarning, match="masks: .* below 4 %"):
        pyharmony.compose(image, np.full((240, 320, 3), 128, np.uint8), masks=np.maximum(clean, 2).astype(np.uint8),
                          at=(40, 50), scale=1, angle=0, **PASTE_OPTIONS)  # fmt: skip


def test_numbers_beyond_all_images_in_a_recipe_are_refused() -> None:
    subject = np.zeros((30, 20, 4), np.uint8)
    subject[5:25, 5:15] = 255
    dst = np.full((60, 80, 3), 128, np.uint8)
    look = {"shadow": {"strength": 0.5}, "reflection": {"strength": 0.2}, "adjust": {"exposure": 0.5}}
    recipe = composition.compose(subject, dst, at=(10, 20), return_info=True, **look)[1].recipe

    def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        if isinstance(value, (dict, list)):
            for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
                yield from places(inner, (*path, key))
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield path

    count = 0
    for path in places(recipe):
        for value in (10**400, -(10**400), 1e300, -1e300, math.inf, math.nan):
            damaged = copy.deepcopy(recipe)
            part = damaged
            for key in path[:-1]:
                part = part[key]
            part[path[-1]] = value
            if path == ("seed",) and value == 10**400:
                continue  # a seed has no end
            with pytest.raises(ArgumentError):
                composition.compose(subject, dst, recipe=damaged)
            count += 1
    assert count > 90


def test_a_recipe_crops_the_composite(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    subject = rng.integers(0, 255, (40, 30, 4), np.uint8)
    subject[..., 3] = np.hypot(*np.mgrid[-20:20, -15:15]) < 12
    subject[..., 3] *= 255
    background = rng.integers(0, 255, (90, 140, 3), np.uint8)
    whole, info = pyharmony.compose(subject, background, at=(50, 20), people=[], return_info=True)
    paths = [tmp_path / name for name in ("subject.png", "background.png", "recipe.json", "out.png")]
    io.write(io.Picture(subject), paths[0])
    io.write(io.Picture(background), paths[1])
    for x, y, wide, high in ((45, 10, 60, 50), (0, 0, 140, 90), (139, 89, 1, 1), (70, 30, 2, 7)):
        recipe = {**info.recipe, "crop": [x, y, wide, high], "page": {"way": "compose"}}
        part = whole[y : y + high, x : x + wide]
        result, about = pyharmony.compose(subject, background, recipe=recipe, return_info=True)
        assert np.array_equal(result, part)
        io.write_layers(tmp_path / "layers.ora", about.layers, result, overwrite=True)
        assert np.array_equal(io.read_layers(tmp_path / "layers.ora")[1].pixels, part)
        # From files, to a file, which is written once.
        paths[2].write_text(json.dumps(recipe))
        pyharmony.compose(str(paths[0]), str(paths[1]), recipe=paths[2], out=str(paths[3]))
        assert np.array_equal(io.read(paths[3]).pixels, part)
        preview = pyharmony.compose(subject, background, recipe=recipe, side=70)
        assert np.abs(np.subtract(preview.shape[:2], (high / 2, wide / 2))).max() <= 1
    for crop in (
        [0, 0, 141, 90],
        [100, 0, 41, 5],
        [0, 0, 0, 5],
        [-1, 0, 5, 5],
        [0, 0, 5.0, 5],
        [0, 0, 5],
        "all",
        {},
        10**30,
    ):
        with pytest.raises(ArgumentError, match=r"recipe: crop: .*expected"):
            pyharmony.compose(subject, background, recipe={**info.recipe, "crop": crop})
    with pytest.raises(ArgumentError, match=r"recipe: page: 3, expected null, or an object"):
        pyharmony.compose(subject, background, recipe={**info.recipe, "page": 3})
    with pytest.raises(ArgumentError, match="out: an array, and the recipe has a crop"):
        pyharmony.compose(
            subject, background, recipe={**info.recipe, "crop": [0, 0, 9, 9]}, out=np.empty_like(background)
        )
