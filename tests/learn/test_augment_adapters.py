"""The augmentation as a transform of torchvision, albumentations and ultralytics.

None of them is installed where the tests usually run, so that each has a stand-in here of what its documentation says
about transforms; where a library is installed, it is tested too.
"""

from __future__ import annotations

import importlib
import importlib.util
import pickle
import random
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pyharmony.errors import ArgumentError, DTypeError, PyHarmonyWarning, ShapeError
from pyharmony.learn import augment

from .. import skips
from .test_augment import tight

HEIGHT, WIDTH = 120, 160
DISC = np.hypot(*(np.mgrid[:40, :40] - 19.5)) < 16
BOXES = np.array([[10, 10, 60, 60], [70, 60, 150, 110]], np.float32)
BOX_SCALE = np.array([WIDTH, HEIGHT, WIDTH, HEIGHT], np.float32)


def cup(label: Any) -> augment.Donor:
    """Returns a red disc."""
    return augment.Donor(np.full((40, 40, 3), (220, 10, 10), np.uint8), DISC, label=label, name="cup")


def red(label: Any, **options: Any) -> augment.CopyPaste:
    return augment.CopyPaste([cup(label)], n=4, **{"blend": "alpha", "harmonize_probability": 0, **options})


def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 100, (HEIGHT, WIDTH, 3), np.uint8)


def masks() -> np.ndarray:
    result = np.zeros((2, HEIGHT, WIDTH), np.uint8)
    for mask, (x0, y0, x1, y1) in zip(result, BOXES.astype(int), strict=True):
        mask[y0:y1, x0:x1] = 1
    return result


def check(image: np.ndarray, boxes: np.ndarray, inside: np.ndarray, is_new: np.ndarray, within: float = 0.01) -> None:
    """Checks that boxes are those of masks, and that new objects are red there."""
    assert len(boxes) == len(inside) == len(is_new) and is_new.sum() >= 2 and not is_new[:2].any()
    for box, mask, new in zip(boxes, inside, is_new, strict=True):
        assert np.abs(np.array(tight(mask > 0)) - box).max() <= within
        if new:
            assert (image[mask > 0][:, 0] > 110).mean() > 0.95


# ultralytics


class Boxes:
    def __init__(self, bboxes: np.ndarray, form: str) -> None:
        self.bboxes, self.format = bboxes, form


class Instances:
    """As ultralytics.utils.instance.Instances: boxes in a format, outlines, keypoints, in pixels or shares."""

    def __init__(
        self, bboxes: np.ndarray, segments: Any = None, keypoints: Any = None, bbox_format: str = "xywh",
        normalized: bool = True,
    ) -> None:  # fmt: skip
        self._bboxes = Boxes(bboxes, bbox_format)
        self.segments = np.zeros((0, 0, 2), np.float32) if segments is None else segments
        self.keypoints, self.normalized = keypoints, normalized

    def __len__(self) -> int:
        return len(self.bboxes)

    @property
    def bboxes(self) -> np.ndarray:
        return self._bboxes.bboxes

    def convert_bbox(self, format: str) -> None:
        x = self.bboxes
        if self._bboxes.format == "xywh":
            x = np.concatenate([x[:, :2] - x[:, 2:] / 2, x[:, :2] + x[:, 2:] / 2], 1)
        if format == "xywh":
            x = np.concatenate([(x[:, :2] + x[:, 2:]) / 2, x[:, 2:] - x[:, :2]], 1)
        self._bboxes = Boxes(x, format)

    def _scale(self, w: float, h: float) -> None:
        self._bboxes.bboxes = self.bboxes * np.array([w, h, w, h], np.float32)
        self.segments = self.segments * np.array([w, h], np.float32) if len(self.segments) else self.segments
        self.normalized = not self.normalized

    def denormalize(self, w: int, h: int) -> None:
        if self.normalized:
            self._scale(w, h)

    def normalize(self, w: int, h: int) -> None:
        if not self.normalized:
            self._scale(1 / w, 1 / h)


@pytest.fixture(params=["stand-in", "ultralytics"])
def instances(request: pytest.FixtureRequest) -> Any:
    if request.param == "stand-in":
        return Instances
    if importlib.util.find_spec("ultralytics") is None:
        pytest.skip(skips.not_installed("ultralytics"))
    return importlib.import_module("ultralytics.utils.instance").Instances


def outlines(points: int) -> np.ndarray:
    """Returns the outlines [2, P, 2] of the boxes, along the middles of their outer pixels."""
    share = np.linspace(0, 4, points)
    x, y = (np.interp(share, range(5), corners) for corners in ([0, 1, 1, 0, 0], [0, 0, 1, 1, 0]))
    first, extent = BOXES[:, None, :2], BOXES[:, None, 2:] - BOXES[:, None, :2] - 1
    return (first + np.stack([x, y], 1) * extent).astype(np.float32)


@pytest.mark.parametrize("form", ["xyxy", "xywh"])
@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("points", [0, 400])
def test_ultralytics_labels(instances: Any, form: str, normalized: bool, points: int) -> None:
    cv2 = pytest.importorskip("cv2", reason=skips.not_installed("cv2"))
    keypoints = np.ones((2, 5, 3), np.float32)
    own = instances(BOXES.copy(), outlines(points) if points else None, keypoints, "xyxy", False)
    own.convert_bbox(format=form)
    if normalized:
        own.normalize(WIDTH, HEIGHT)
    image = photo()
    labels = {"img": image, "cls": np.array([[1], [2]], np.float32), "instances": own, "im_file": "a.jpg"}
    random.seed(4)
    result = augment.for_ultralytics(red(5))(dict(labels))
    assert (image == photo()).all() and result["im_file"] == "a.jpg"
    new = result["instances"]
    assert (new._bboxes.format, new.normalized) == (form, normalized)
    new.convert_bbox(format="xyxy")
    new.denormalize(WIDTH, HEIGHT)
    assert result["cls"].dtype == np.float32 and result["cls"].shape == (len(new), 1) and len(new) > 3
    is_new = result["cls"][:, 0] == 5
    assert new.keypoints.shape == (len(new), 5, 3) and not new.keypoints[is_new].any()
    assert (np.abs(new.bboxes[:2] - BOXES).max(1) < 1e-3).any()
    blue_last = result["img"][..., ::-1]  # its pictures are BGR
    if points:
        assert new.segments.shape == (len(new), points, 2)
        inside = np.zeros((len(new), HEIGHT, WIDTH), np.uint8)
        for mask, outline in zip(inside, new.segments, strict=True):
            cv2.fillPoly(mask, [outline.astype(np.int32)], 1)
        check(blue_last, new.bboxes, inside, is_new, within=1.01)
    else:
        assert not len(new.segments)
        for x0, y0, x1, y1 in new.bboxes[is_new].astype(int):
            assert (blue_last[y0:y1, x0:x1, 0] > 110).mean() > 0.3
    random.seed(4)
    assert (augment.for_ultralytics(red(5))(dict(labels))["img"] == result["img"]).all()
    assert augment.for_ultralytics(red(5), p=0)(labels) is labels


def test_an_object_in_two_parts_has_one_outline() -> None:
    cv2 = pytest.importorskip("cv2", reason=skips.not_installed("cv2"))
    from pyharmony.learn.augment._for_ultralytics import _outline

    mask = np.zeros((60, 80), np.uint8)
    mask[10:30, 5:30] = mask[20:50, 45:70] = 1
    polygon_mask = np.zeros_like(mask)
    cv2.fillPoly(polygon_mask, [_outline(mask, 2000).astype(np.int32)], 1)
    assert (
        not (mask & ~polygon_mask).any() and np.count_nonzero(polygon_mask) - np.count_nonzero(mask) < 60
    )  # the line between


def test_what_the_transform_for_ultralytics_refuses() -> None:
    transform = augment.for_ultralytics(red(5))
    with pytest.raises(ArgumentError, match="labels: expected ultralytics' dictionary"):
        transform({"img": photo()})
    labels = {
        "img": photo(),
        "cls": np.zeros((0, 1)),
        "instances": Instances(np.zeros((0, 4))),
        "semantic_mask": photo(),
    }
    with pytest.raises(ArgumentError, match="semantic_mask"):
        transform(labels)
    with pytest.raises(DTypeError, match="paste: str, expected a CopyPaste"):
        augment.for_ultralytics("paste")
    with pytest.raises(ArgumentError, match="p: 2, expected"):
        augment.for_ultralytics(red(5), p=2)


# torchvision


@pytest.fixture(params=["stand-in", "torchvision"])
def tv_tensors(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Yields the module of tensors that know what they are."""
    torch = pytest.importorskip("torch", reason=skips.not_installed("torch"))
    if request.param == "torchvision":
        if importlib.util.find_spec("torchvision") is None:
            pytest.skip(skips.not_installed("torchvision"))
        return importlib.import_module("torchvision.tv_tensors")

    class TVTensor(torch.Tensor):  # type: ignore[misc]
        @classmethod
        def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            with torch._C.DisableTorchFunctionSubclass():
                result = function(*args, **(kwargs or {}))
            return wrap(result, like=args[0]) if function in (torch.Tensor.clone, torch.Tensor.detach) else result

    class BoundingBoxes(TVTensor):
        def __new__(cls, data: Any, *, format: str, canvas_size: tuple[int, int]) -> Any:
            boxes = torch.as_tensor(data).as_subclass(cls)
            boxes.format, boxes.canvas_size = types.SimpleNamespace(value=format), canvas_size
            return boxes

    def wrap(tensor: Any, *, like: Any) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            result = tensor.as_subclass(type(like))
        for name in ("format", "canvas_size"):
            if hasattr(like, name):
                setattr(result, name, getattr(like, name))
        return result

    kinds = {
        name: type(name, (TVTensor,), {"__new__": lambda cls, data: torch.as_tensor(data).as_subclass(cls)})
        for name in ("Image", "Mask")
    }
    module = types.SimpleNamespace(BoundingBoxes=BoundingBoxes, wrap=wrap, **kinds)
    package = types.ModuleType("torchvision")
    package.tv_tensors = module  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", package)
    return module


def in_form(corners: np.ndarray, form: str) -> np.ndarray:
    sizes = corners[:, 2:] - corners[:, :2]
    first = corners[:, :2] + sizes / 2 if form == "CXCYWH" else corners[:, :2]
    return corners if form == "XYXY" else np.concatenate([first, sizes], 1)


def corners_of(boxes: np.ndarray, form: str) -> np.ndarray:
    first = boxes[:, :2] - boxes[:, 2:] / 2 if form == "CXCYWH" else boxes[:, :2]
    return boxes if form == "XYXY" else np.concatenate([first, first + boxes[:, 2:]], 1)


@pytest.mark.parametrize("form", ["XYXY", "XYWH", "CXCYWH"])
@pytest.mark.parametrize("as_float", [False, True])
def test_torchvision_targets(tv_tensors: Any, form: str, as_float: bool) -> None:
    import torch

    pixels = torch.from_numpy(np.moveaxis(photo(), -1, 0).copy())
    image = tv_tensors.Image(pixels.float() / 255 if as_float else pixels)
    target = {
        "boxes": tv_tensors.BoundingBoxes(in_form(BOXES, form), format=form, canvas_size=(HEIGHT, WIDTH)),
        "labels": torch.tensor([1, 2]), "masks": tv_tensors.Mask(torch.from_numpy(masks())), "image_id": 7,
        "iscrowd": torch.tensor([0, 1]), "area": torch.tensor([2500.0, 4000.0]), "size": torch.tensor([HEIGHT, WIDTH]),
    }  # fmt: skip
    torch.manual_seed(3)
    result, after = augment.for_torchvision(red(5))(image, target)
    assert type(result) is type(image) and result.dtype == image.dtype and result.shape == image.shape
    assert list(after) == list(target) and after["image_id"] == 7 and after["size"] is target["size"]
    for key in ("boxes", "labels", "masks", "iscrowd", "area"):
        assert type(after[key]) is type(target[key]) and after[key].dtype == target[key].dtype
    assert getattr(after["boxes"].format, "value", None) == form and after["boxes"].canvas_size == (HEIGHT, WIDTH)
    levels = np.moveaxis(np.asarray(result), 0, -1) * (255 if as_float else 1)
    boxes, is_new = corners_of(np.asarray(after["boxes"]), form), np.asarray(after["labels"]) == 5
    check(levels, boxes, np.asarray(after["masks"]), is_new)
    assert after["iscrowd"].tolist() == [0, 1] + [0] * int(is_new.sum())
    assert (np.moveaxis(np.asarray(image), 0, -1) == (photo() / np.float32(255) if as_float else photo())).all()
    torch.manual_seed(3)
    again, _ = augment.for_torchvision(red(5))(image, target)
    assert torch.equal(torch.as_tensor(again), torch.as_tensor(result))
    assert torch.equal(augment.for_torchvision(red(5), p=0)(image, target)[0], image)


def test_what_torchvisions_transforms_take(tv_tensors: Any) -> None:
    import torch

    transform = augment.for_torchvision(red(5))
    pixels = torch.from_numpy(np.moveaxis(photo(), -1, 0).copy())
    assert type(transform(tv_tensors.Image(pixels))) is tv_tensors.Image
    assert transform(pixels, 3)[1] == 3 and type(transform(pixels)) is torch.Tensor
    picture, target = transform((Image.fromarray(photo()), {"labels": torch.tensor([], dtype=torch.int64)}))
    assert isinstance(picture, Image.Image) and set(target["labels"].tolist()) == {5}
    grey = transform(Image.fromarray(photo()[..., 0]))
    assert grey.mode == "L" and np.asarray(grey).max() > 60
    sample = transform({"boxes": torch.from_numpy(BOXES), "image": pixels, "labels": torch.tensor([1, 2])})
    assert list(sample) == ["boxes", "image", "labels"] and len(sample["boxes"]) == len(sample["labels"]) > 2
    assert type(sample["boxes"]) is torch.Tensor
    for arguments, error, text in (
        (("a",), DTypeError, "image: str, expected a tensor"),
        ((pixels[None],), ShapeError, r"image: shape \[1, 3, 120, 160\]"),
        (({"picture": pixels},), ArgumentError, "image: a sample of 'picture'"),
        ((pixels, {"boxes": torch.zeros(1, 4), "labels": torch.tensor([1]), "ids": torch.tensor([1])}), ArgumentError,
         "ids: a list or an array"),
    ):  # fmt: skip
        with pytest.raises(error, match=text):
            transform(*arguments)
    for wrong, text in (
        ([[0.1, 0.2, 0.5, 0.6]], r"boxes\[0\]: .*shares of the image's size"),
        ([[30.0, 20, 10, 40]], r"boxes\[0\]: .*expected x0 < x1"),
        ([[400.0, 20, 500, 40]], r"boxes\[0\]: .*is outside of an image of 160 x 120 pixels"),
    ):
        with pytest.raises(ArgumentError, match=text):
            transform(pixels, {"boxes": torch.tensor(wrong), "labels": torch.tensor([1])})
    with pytest.warns(PyHarmonyWarning, match="image: float32 with values up to .*, where 1 is white"):
        transform(pixels.float())
    rotated = tv_tensors.BoundingBoxes(torch.zeros(1, 5), format="XYWHR", canvas_size=(HEIGHT, WIDTH))
    with pytest.raises(ArgumentError, match="boxes: of the format XYWHR"):
        transform(pixels, {"boxes": rotated})


def test_a_palette_is_its_colours(tv_tensors: Any) -> None:
    """And not the numbers of its entries, as grey."""
    nothing = augment.for_torchvision(augment.CopyPaste([augment.Donor(photo(), np.ones(photo().shape[:2]))], n=0))
    indexed = Image.fromarray(photo()).quantize(64)
    result = nothing(indexed)
    assert result.mode == "RGB" and (np.asarray(result) == np.asarray(indexed.convert("RGB"))).all()
    pasted, target = augment.for_torchvision(red(5))(indexed, {"labels": []})
    assert pasted.mode == "RGB" and len(target["labels"]) > 0
    assert ((np.asarray(pasted) == np.asarray(indexed.convert("RGB"))).all(-1)).mean() > 0.3
    clear = indexed.copy()
    clear.info["transparency"] = 0
    for image, mode in ((clear, "P with transparency"), (Image.fromarray(photo()).convert("HSV"), "HSV"),
                        (indexed.convert("RGBA"), "RGBA"), (indexed.convert("CMYK"), "CMYK"),
                        (indexed.convert("YCbCr"), "YCbCr"), (indexed.convert("1"), "1")):  # fmt: skip
        with pytest.raises(DTypeError, match=f"image: a PIL image of mode {mode}, expected one of L, RGB"):
            nothing(image)
    deep = Image.fromarray(photo()[..., 0].astype(np.uint16) * 257)
    assert (np.asarray(nothing(deep)) == np.asarray(deep)).all()


# albumentations


class LabelManager:
    """As albumentations': fields as columns of numbers."""

    def __init__(self) -> None:
        self.classes: dict[str, list[Any]] = {}

    def process_field(self, name: str, field: str, values: Any) -> np.ndarray:
        classes = self.classes.setdefault(field, [])
        classes[:] = sorted(set(values), key=str)  # it fits again, so that earlier numbers do not hold
        return np.array([[classes.index(value)] for value in values], np.float32)

    def restore_field(self, name: str, field: str, column: np.ndarray) -> list[Any]:
        return [self.classes[field][int(value)] for value in column]


class Processor:
    def __init__(self, form: str, fields: list[str], new: bool) -> None:
        names = {"coord_format" if new else "format": form}
        self.params, self.label_manager = types.SimpleNamespace(label_fields=fields, **names), LabelManager()


def stand_in(new: bool) -> Any:
    """Returns modules like albumentations': of version 2, or AlbumentationsX, which samples parameters differently."""

    class DualTransform:
        def __init__(self, p: float = 0.5) -> None:
            self.p, self.py_random, self.processors = p, random.Random(1), {}  # noqa: S311

        def get_processor(self, key: str) -> Any:
            return self.processors.get(key)

        def __call__(self, **data: Any) -> dict[str, Any]:
            if new:
                context = types.SimpleNamespace(py_random=self.py_random)
                params = self.sample_parameters({}, data, None, context).params
            else:
                params = self.get_params_dependent_on_data({}, data)
            targets = {"image": self.apply, "bboxes": self.apply_to_bboxes, "masks": self.apply_to_masks,
                       "keypoints": self.apply_to_keypoints}  # fmt: skip
            return {key: targets[key](x, **params) if key in targets else x for key, x in data.items()}

    module: Any = types.ModuleType("albumentations")
    module.__path__ = []
    module.DualTransform, module.Mosaic = DualTransform, types.SimpleNamespace(_targets=("image", "masks", "bboxes"))
    core: Any = types.ModuleType("albumentations.core")
    core.__path__ = []
    core.transform_params = types.ModuleType("albumentations.core.transform_params")
    if new:
        DualTransform.sample_parameters = None  # type: ignore[attr-defined]
        core.transform_params.SampledParams = types.SimpleNamespace
    return {
        "albumentations": module,
        "albumentations.core": core,
        core.transform_params.__name__: core.transform_params,
    }


@pytest.fixture(params=[False, True], ids=["2", "X"])
def albumentations(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[bool]:
    for name, module in stand_in(request.param).items():
        monkeypatch.setitem(sys.modules, name, module)
    own = "pyharmony.learn.augment._for_albumentations"
    monkeypatch.delitem(sys.modules, own, raising=False)
    yield request.param
    sys.modules.pop(own, None)
    if hasattr(augment, "_for_albumentations"):
        delattr(augment, "_for_albumentations")


def rows_of(processor: Processor, labels: dict[str, list[Any]]) -> np.ndarray:
    columns = [processor.label_manager.process_field("bboxes", field, values) for field, values in labels.items()]
    return np.concatenate([BOXES / BOX_SCALE, *columns], 1).astype(np.float32)


@pytest.mark.parametrize("kind", ["array", "list", "deep"])
def test_albumentations_targets(albumentations: bool, kind: str) -> None:
    transform = augment.for_albumentations(red("z", size=(0.1, 0.15)))
    transform.processors["bboxes"] = processor = Processor("pascal_voc", ["name"], albumentations)
    inside = {"array": masks(), "list": list(masks()), "deep": masks()[..., None]}[kind]
    rows = rows_of(processor, {"name": ["b", "a"]})
    untouched = 0
    for _ in range(6):
        result = transform(image=photo(), masks=inside, bboxes=rows, keypoints=[1], other=3)
        names = np.array(processor.label_manager.restore_field("bboxes", "name", result["bboxes"][:, 4]))
        assert names[:2].tolist() == ["b", "a"] and set(names[2:]) == {"z"}
        assert type(result["masks"]) is type(inside) and (result["keypoints"], result["other"]) == ([1], 3)
        after = np.asarray(result["masks"])
        after = after[..., 0] if kind == "deep" else after
        check(result["image"], result["bboxes"][:, :4] * BOX_SCALE, after, names == "z")
        assert result["bboxes"].dtype == np.float32
        for k in range(2):  # an object of which nothing is covered keeps the bits of its box
            if (after[k] == masks()[k]).all():
                untouched += 1
                assert (result["bboxes"][k, :4] == rows[k, :4]).all()
        rows = rows_of(processor, {"name": ["b", "a"]})
    assert untouched
    only_image = transform(image=photo())
    assert (only_image["image"] != photo()).any()
    with pytest.raises(ArgumentError, match="mask: a semantic map, which is not updated"):
        transform(image=photo(), mask=masks()[0])


@pytest.mark.parametrize("form", ["pascal_voc", "coco", "yolo", "albumentations"])
def test_the_metadata_of_albumentations(albumentations: bool, form: str) -> None:
    paste = augment.CopyPaste(None, blend="alpha", harmonize_probability=0, inside=1.0, size=(0.2, 0.3))
    transform = augment.for_albumentations(paste)
    transform.processors["bboxes"] = processor = Processor(form, ["class_id", "hard"], albumentations)
    other = np.full((60, 80, 3), (250, 0, 0), np.uint8)
    corners = np.array([[10, 5, 70, 55]], np.float32)
    box = {
        "pascal_voc": corners, "coco": in_form(corners, "XYWH"),
        "albumentations": corners / [80, 60, 80, 60], "yolo": in_form(corners, "CXCYWH") / [80, 60, 80, 60],
    }[form][0]  # fmt: skip
    metadata = [
        {"image": cup(0).image, "mask": DISC.astype(np.uint8), "bbox_labels": {"class_id": 2, "hard": True}},
        {"image": other, "bbox": box, "bbox_labels": {"class_id": 3, "hard": False}},
    ]
    rows = rows_of(processor, {"class_id": [1, 1], "hard": [False, False]})
    result = transform(image=photo(), masks=masks(), bboxes=rows, copy_paste_metadata=metadata)
    classes = processor.label_manager.restore_field("bboxes", "class_id", result["bboxes"][:, 4])
    hard = processor.label_manager.restore_field("bboxes", "hard", result["bboxes"][:, 5])
    assert classes[:2] == [1, 1] and sorted(zip(classes[2:], hard[2:], strict=True)) == [(2, True), (3, False)]
    check(result["image"], result["bboxes"][:, :4] * BOX_SCALE, result["masks"], np.array(classes) > 1)
    x0, y0, x1, y1 = (result["bboxes"][2 + classes[2:].index(3), :4] * BOX_SCALE).round()
    assert abs((x1 - x0) / (y1 - y0) - 60 / 50) < 0.1  # a rectangle
    empty = transform(image=photo(), bboxes=np.zeros((0, 4), np.float32), copy_paste_metadata=metadata)
    assert empty["bboxes"].shape == (2, 6)
    nothing = transform(image=photo(), bboxes=rows, copy_paste_metadata=[])
    assert (nothing["image"] == photo()).all() and nothing["bboxes"] is rows
    for wrong, text in (
        ({"mask": DISC}, r"copy_paste_metadata\[0\]: expected a dictionary with 'image'"),
        ({"image": other}, r"copy_paste_metadata\[0\]: without 'mask', expected 'bbox'"),
        ({"image": other, "bbox": [1, 2]}, r"copy_paste_metadata\[0\]: bbox: 2 numbers, expected 4"),
        ({**metadata[0], "bbox_labels": {"hard": 1}}, "bbox_labels: without 'class_id'"),
    ):
        with pytest.raises((ArgumentError, DTypeError, ShapeError), match=text):
            transform(image=photo(), bboxes=rows, copy_paste_metadata=[wrong])


def test_albumentations_itself() -> None:
    if importlib.util.find_spec("albumentations") is None:
        pytest.skip(skips.not_installed("albumentations"))
    import albumentations as A

    form = "coord_format" if hasattr(A.DualTransform, "sample_parameters") else "format"
    params = A.BboxParams(**{form: "pascal_voc"}, label_fields=["name"])
    results = []
    for _ in range(2):
        transform = A.Compose([A.HorizontalFlip(p=1), augment.for_albumentations(red("z"))], bbox_params=params, seed=3)
        transform = pickle.loads(pickle.dumps(transform))  # noqa: S301
        results.append(transform(image=photo(), masks=masks(), bboxes=BOXES, name=["b", "a"]))
    result = results[0]
    assert (result["image"] == results[1]["image"]).all()
    assert result["name"][:2] == ["b", "a"] and set(result["name"][2:]) == {"z"}
    after = np.asarray(result["masks"]).reshape(-1, HEIGHT, WIDTH)
    check(result["image"], np.asarray(result["bboxes"]), after, np.array(result["name"]) == "z")
