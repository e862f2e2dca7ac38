"""Copy-paste augmentation: labels that agree with the pixels, the same pictures everywhere, banks and adapters."""

from __future__ import annotations

import copy
import dataclasses
import json
import multiprocessing
import pickle
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

import pyharmony
from pyharmony import blend
from pyharmony.errors import (
    ArgumentError,
    DataError,
    DTypeError,
    PyHarmonyError,
    PyHarmonyWarning,
    ShapeError,
    UnusableSample,
)
from pyharmony.learn import augment, data
from pyharmony.learn.augment import _cutout

from ..shared import to_dtype

#: The colours of donors begin here, those of pictures end below it.
MIN_DONOR_LEVEL = 150


def shapes(count: int = 6, side: int = 48) -> list[np.ndarray]:
    """Returns masks: discs, a ring, a bar, two parts, a checkerboard of blocks."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    r = np.hypot(y, x)
    parts = [
        r < 0.45 * side,
        (r < 0.45 * side) & (r > 0.25 * side),
        (abs(y) < 0.06 * side) & (abs(x) < 0.45 * side),
        (abs(abs(x) - 0.3 * side) < 0.12 * side) & (abs(y) < 0.4 * side),
        (np.floor(y / 8) + np.floor(x / 8)) % 2 == 0,
        np.ones((side, side), bool),
    ]
    return parts[:count]


def donors(seed: int = 0, side: int = 48) -> list[augment.Donor]:
    rng = np.random.default_rng(seed)
    return [
        augment.Donor(
            rng.integers(MIN_DONOR_LEVEL, 256, (side, side, 3), np.uint8), mask, label=i + 1, name=f"shape {i}"
        )
        for i, mask in enumerate(shapes(side=side))
    ]


def photo(seed: int = 0, height: int = 96, width: int = 128, dtype: str = "uint8", channels: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return to_dtype(rng.integers(0, MIN_DONOR_LEVEL - 40, (height, width, channels), np.uint8) / 255, dtype)


class Scene(NamedTuple):
    """A picture with objects that may overlap, leave it, or be empty."""

    image: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    masks: np.ndarray


def tight(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def scene(rng: np.random.Generator) -> Scene:
    height, width = (int(rng.integers(20, 140)) for _ in range(2))
    image = rng.integers(0, MIN_DONOR_LEVEL - 40, (height, width, 3), np.uint8)
    masks = np.zeros((int(rng.integers(0, 6)), height, width), np.uint8)
    boxes = np.zeros((len(masks), 4))
    y, x = np.mgrid[:height, :width]
    for mask, box in zip(masks, boxes, strict=True):
        centre, size = rng.uniform(0, 1, 2) * (height, width), rng.uniform(2, 40, 2)
        inside = (abs(y - centre[0]) < size[0]) & (abs(x - centre[1]) < size[1])
        if rng.random() < 0.5:
            inside &= ((y - centre[0]) / size[0]) ** 2 + ((x - centre[1]) / size[1]) ** 2 < 1
        mask[inside] = 1
        if inside.any():
            box[:] = tight(inside) + rng.uniform(-0.4, 0.4, 4)
    return Scene(image, boxes, np.arange(len(masks)) + 100, masks)


def check_labels(before: Scene, after: dict[str, Any], occlusion: float, soft: bool) -> int:
    """Checks the objects of a picture against its pixels and each other; returns the number of pasted ones."""
    image, boxes, labels, masks = (after[key] for key in ("image", "boxes_xyxy", "labels", "masks"))
    assert len(boxes) == len(labels) == len(masks)
    is_new = labels < 100
    assert not is_new[: np.count_nonzero(~is_new)].any()  # the old ones come first
    new = masks[is_new] > 0
    assert (new.sum(0) <= 1).all()
    union = new.any(0)
    # Every label has a changed pixel, and its box is that of its mask.
    changed = (image != before.image).any(-1)
    for mask, box in zip(new, boxes[is_new], strict=True):
        assert (changed & mask).any()
        assert tuple(box) == tight(mask)
    if not soft:
        assert not (changed & ~union).any()
    # An old one is what it was without the new ones, and gone if too little of it is left.
    old_objects = dict(zip(labels[~is_new].tolist(), zip(masks[~is_new], boxes[~is_new], strict=True), strict=True))
    for label, mask, box in zip(before.labels.tolist(), before.masks, before.boxes, strict=True):
        left = (mask > 0) & ~union
        area, now = np.count_nonzero(mask), np.count_nonzero(left)
        if area == now:
            assert (old_objects[label][0] == mask).all() and (old_objects[label][1] == box).all()
        elif now == 0 or now < occlusion * area:
            assert label not in old_objects
        else:
            assert ((old_objects[label][0] > 0) == left).all()
            clipped = np.not_equal(tight(left), tight(mask > 0))
            assert (old_objects[label][1][clipped] == np.array(tight(left))[clipped]).all()
            assert (old_objects[label][1][~clipped] == box[~clipped]).all()
    assert labels[~is_new].tolist() == [label for label in before.labels.tolist() if label in old_objects]
    return len(new)


@pytest.mark.parametrize("count", [400, pytest.param(10_000, marks=pytest.mark.full)])
def test_labels_agree_with_the_pixels_of_random_pictures(count: int) -> None:
    bank = augment.Bank(donors())
    pasted = gone = 0
    for seed in range(count):
        rng = np.random.default_rng(seed)
        before = scene(rng)
        occlusion = float(rng.choice([0.0, 0.05, 0.3, 1.0]))
        own_size = rng.random() < 0.4
        paste = augment.CopyPaste(
            bank, n=(0, 6), blend=str(rng.choice(["random", "alpha", "poisson", "gaussian_poisson"])),
            occlusion=occlusion, size=(0.05, 1.0), scale=(1.0, 1.0) if own_size else None,
            inside=float(rng.choice([0.1, 0.6, 1.0])), seed=seed,
        )  # fmt: skip
        after = paste(before.image, boxes_xyxy=before.boxes, labels=before.labels, masks=before.masks, index=seed)
        soft = not own_size or min(before.image.shape[:2]) < 48  # a donor at its own size has a hard mask
        new = check_labels(before, after, occlusion, soft)
        pasted, gone = pasted + new, gone + len(before.labels) + new - len(after["labels"])
    assert pasted > count and gone > count // 10


def test_the_pixels_of_a_mask_are_those_of_the_object() -> None:
    """By alpha: inside the mask a pixel is nearer to the donor's colour, outside nearer to the picture's."""
    bank = [augment.Donor(np.full((40, 40, 3), 250, np.uint8), mask, label=1) for mask in shapes(side=40)]
    for seed in range(60):
        before = np.full((90, 110, 3), 10, np.uint8)
        paste = augment.CopyPaste(
            bank, n=4, blend="alpha", harmonize_probability=0, size=(0.05, 0.9), inside=0.3, seed=seed
        )
        after = paste(before, masks=np.zeros((0, 90, 110), bool), index=0)
        inside = after["masks"].any(0)
        below = inside & (after["image"][..., 0] < 130)
        above = ~inside & (after["image"][..., 0] > 130)
        # Two soft rims may add up where objects meet.
        assert not below.any() and np.count_nonzero(above) <= 0.02 * np.count_nonzero(inside)


def test_boxes_alone_and_masks_give_the_same_picture() -> None:
    before = scene(np.random.default_rng(5))
    paste = augment.CopyPaste(donors(), n=4, seed=3)
    full = paste(before.image, boxes_xyxy=before.boxes, labels=before.labels, masks=before.masks, index=2)
    for keys in ((), ("boxes_xyxy",), ("labels",), ("boxes_xyxy", "labels"), ("masks",), ("masks", "labels")):
        part = paste(before.image, **{key: getattr(before, key.removesuffix("_xyxy")) for key in keys}, index=2)
        assert part.keys() == {"image", *keys}
        assert (part["image"] == full["image"]).all()
    assert (before.image == scene(np.random.default_rng(5)).image).all()


def test_a_box_without_a_mask_goes_when_too_much_of_it_is_covered() -> None:
    donor = augment.Donor(np.full((40, 40, 3), 200, np.uint8), np.ones((40, 40), bool), label=1)
    image = np.zeros((40, 40, 3), np.uint8)
    boxes = [[0, 0, 40, 40], [0, 0, 40, 44.4], [10.2, 10, 20, 20]]
    paste = augment.CopyPaste([donor], n=1, blend="alpha", scale=(1, 1), inside=1.0, occlusion=0.05)
    with pytest.warns(PyHarmonyWarning, match=r"boxes_xyxy\[1\]: .* is partly outside"):
        after = paste(image, boxes_xyxy=boxes, labels=["all", "beyond", "part"], index=0)
    assert after["labels"] == [1] and after["boxes_xyxy"] == [[0, 0, 40, 40]]
    half = augment.Donor(np.full((40, 40, 3), 200, np.uint8), np.arange(40) < np.full((40, 1), 30), label=1)
    paste = augment.CopyPaste([half], n=1, blend="alpha", scale=(1, 1), inside=1.0, occlusion=0.25, flip=0)
    after = paste(np.zeros((40, 30, 3), np.uint8), boxes_xyxy=[[0.0, 0, 30, 40]], labels=["gone"], index=0)
    assert after["labels"] == [1]
    after = paste(np.zeros((40, 44, 3), np.uint8), boxes_xyxy=[[0.0, 0, 44, 40]], labels=["stays"], index=0)
    assert after["labels"] == ["stays", 1] and after["boxes_xyxy"][0] == [0, 0, 44, 40]


@pytest.mark.parametrize("occlusion", [0.0, 0.05, 0.5])
def test_an_object_under_another_is_not_pasted_when_little_of_it_shows(occlusion: float) -> None:
    """Nothing is in the picture without a label."""
    paste = augment.CopyPaste(donors(), n=8, blend="alpha", harmonize_probability=0, scale=(1, 1), occlusion=occlusion)
    for index in range(40):
        image = np.zeros((70, 70, 3), np.uint8)
        after = paste(image, masks=np.zeros((0, 70, 70), bool), labels=[], index=index)
        assert ((after["image"] > 0).any(-1) == after["masks"].any(0)).all()
        for mask, label in zip(after["masks"], after["labels"], strict=True):
            area = np.count_nonzero(shapes()[label - 1])
            assert np.count_nonzero(mask) >= max(1, occlusion * area - 1e-9)


def test_no_label_without_a_changed_pixel() -> None:
    """A donor of the picture's own colour changes nothing, so it hides nothing either."""
    image = np.full((64, 64, 3), 77, np.uint8)
    masks = np.zeros((1, 64, 64), bool)
    masks[0, 10:50, 10:50] = True
    same = augment.Donor(np.full((32, 32, 3), 77, np.uint8), np.ones((32, 32), bool), label=5)
    for method in ("alpha", "poisson", "gaussian_poisson", "laplacian"):
        paste = augment.CopyPaste([same], n=5, blend=method, harmonize_probability=1.0)
        for index in range(5):
            after = paste(image, boxes_xyxy=[[10, 10, 50, 50]], labels=[3], masks=masks, index=index)
            assert after["labels"] == [3] and (after["masks"] == masks).all() and (after["image"] == image).all()
    # One pixel of the visible ones is enough.
    speck = np.full((9, 9, 3), 77, np.uint8)
    speck[2, 2] = 78
    one = augment.CopyPaste([augment.Donor(speck, np.ones((9, 9), bool), label=5)], n=1, blend="alpha",
                            harmonize_probability=0, scale=(1, 1), inside=1.0)  # fmt: skip
    assert one(image, labels=[], index=0)["labels"] == [5]


def test_a_map_of_objects_is_that_of_the_masks() -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        before = scene(rng)
        # In a map each pixel has one object.
        order = np.zeros(before.image.shape[:2], np.int32)
        for k, mask in enumerate(before.masks):
            order[mask > 0] = k + 1
        masks = np.stack([order == k + 1 for k in range(len(before.masks))]) if len(before.masks) else before.masks > 0
        paste = augment.CopyPaste(donors(), n=4, occlusion=0.3, seed=seed)
        by_masks = paste(before.image, boxes_xyxy=before.boxes, labels=before.labels, masks=masks, index=0)
        by_map = paste(before.image, boxes_xyxy=before.boxes, labels=before.labels, masks=order, index=0)
        assert by_map["masks"].dtype == np.int32 and (by_map["labels"] == by_masks["labels"]).all()
        assert (by_map["boxes_xyxy"] == by_masks["boxes_xyxy"]).all()
        for k, mask in enumerate(by_masks["masks"]):
            assert ((by_map["masks"] == k + 1) == mask).all()
        assert by_map["masks"].max(initial=0) <= len(by_map["labels"])


_LARGE_IDS = """
import resource, sys
import numpy as np
from pyharmony import augment
square = augment.Donor(np.full((32, 32, 3), 250, np.uint8), np.ones((32, 32), bool), label=1)
paste = augment.CopyPaste([square], n=1, blend="alpha", harmonize_probability=0, scale=(1, 1), inside=1.0)
image, order = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), sys.argv[1])
order[:5], order[5:9], order[60:] = 7, int(sys.argv[2]) - 5, int(sys.argv[2])
paste(image, masks=(order > 0)[None])
now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + (256 << 20), now + (256 << 20)))
result = paste({"image": image, "masks": order, "area": [320, 256, 256]}, index=3)
new = (result["image"] == 250).all(-1)
assert (result["masks"] == np.where(new, int(sys.argv[2]) + 1, order)).all() and new.sum() == 1024
assert result["masks"].dtype == order.dtype and len(result["area"]) == 4 and result["area"][3] == 1024
"""


@pytest.mark.parametrize(
    ("dtype", "largest"), [("uint32", 1 << 31), ("int64", 1 << 31), ("uint16", 65000), ("int64", 1 << 62)]
)
def test_a_map_of_ids_takes_no_memory_for_its_largest(dtype: str, largest: int) -> None:
    """The ids of panoptic maps have gaps; they are kept, and the pasted object has the next one."""
    process = subprocess.run([sys.executable, "-c", _LARGE_IDS, dtype, str(largest)], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr


def test_ids_of_objects_that_are_covered_go() -> None:
    donor = augment.Donor(np.full((20, 40, 3), 250, np.uint8), np.ones((20, 40), bool), label=1)
    paste = augment.CopyPaste(
        [donor], n=1, blend="alpha", harmonize_probability=0, scale=(1, 1), inside=1.0, occlusion=0.5
    )
    order = np.zeros((20, 80), np.uint32)
    order[:, :5], order[:, 5:40], order[:, 70:] = 9, 300, 4_000_000_000
    for index in range(20):
        after = paste(np.zeros((20, 80, 3), np.uint8), masks=order, index=index)["masks"]
        new = after == 4_000_000_001
        assert np.count_nonzero(new) == 800
        for number in (9, 300, 4_000_000_000):
            hides = np.count_nonzero(new & (order == number)) > np.count_nonzero(order == number) / 2
            assert ((after == number) == ((order == number) & ~new & (not hides))).all()
    with pytest.raises(DTypeError, match="masks: a map of uint8, which cannot hold object 256"):
        paste(np.zeros((20, 80, 3), np.uint8), masks=np.full((20, 80), 255, np.uint8), index=0)
    with pytest.raises(ArgumentError, match="masks: labels from -3 to -3, expected a map of labels"):
        paste(np.zeros((20, 80, 3), np.uint8), masks=np.full((20, 80), -3), index=0)


@pytest.mark.parametrize(
    ("dtype", "channels"), [("uint8", 0), ("uint8", 1), ("uint16", 3), ("float32", 0), ("float32", 3), ("float64", 1)]
)
def test_pictures_of_other_kinds(dtype: str, channels: int) -> None:
    paste = augment.CopyPaste(donors(), n=5, harmonize_probability=0.5)
    image = photo(1, dtype=dtype)
    image = image[..., 0] if channels == 0 else image[..., :channels]
    copy = image.copy()
    after = paste(image, labels=[], index=4)
    assert after["image"].dtype == image.dtype and after["image"].shape == image.shape
    assert (image == copy).all() and (after["image"] != image).any() and len(after["labels"]) > 1
    # Placed alike in every kind, and in place.
    assert after["labels"] == paste(photo(1), labels=[], index=4)["labels"]
    again = paste(image, labels=[], index=4, in_place=True)
    assert again["image"] is image and (image == after["image"]).all()


def test_strided_pictures_and_views() -> None:
    image = photo(3)
    expected = augment.CopyPaste(donors(), n=5)(image, index=1)["image"]
    planes = np.ascontiguousarray(np.moveaxis(image, -1, 0))
    view = np.moveaxis(planes, 0, -1)
    augment.CopyPaste(donors(), n=5)(view, index=1, in_place=True)
    assert (view == expected).all() and (planes == np.moveaxis(expected, -1, 0)).all()
    reverse = np.ascontiguousarray(image[..., ::-1])
    augment.CopyPaste(donors(), n=5)(reverse[..., ::-1], index=1, in_place=True)
    assert (reverse[..., ::-1] == expected).all()


# Random numbers


def test_the_same_seed_epoch_and_index_give_the_same_picture() -> None:
    paste = augment.CopyPaste(donors(), seed=4)
    image = photo()
    first = paste(image, labels=[], index=9)
    assert (paste(image, labels=[], index=9)["image"] == first["image"]).all()
    others = [
        paste(image, labels=[], index=10),
        paste.at_epoch(1)(image, labels=[], index=9),
        augment.CopyPaste(donors(), seed=5)(image, labels=[], index=9),
    ]
    for other in others:
        assert (other["image"] != first["image"]).any()
    assert (paste.at_epoch(0)(image, labels=[], index=9)["image"] == first["image"]).all()
    # Without an index, the calls count.
    counting = augment.CopyPaste(donors(), seed=4)
    for index in range(3):
        assert (counting(image)["image"] == paste(image, index=index)["image"]).all()


def test_draws_are_those_of_every_machine() -> None:
    """These numbers are those of Python's generator for this seed, which its documentation keeps."""
    draws = augment.CopyPaste(None, n=(1, 5), seed=3).at_epoch(2)._draws(7, None)
    expected = random.Random(3 << 128 | 2 << 64 | 7)  # noqa: S311
    assert len(draws) == 1 + int(expected.random() * 5)
    assert draws == [[expected.random() for _ in range(8)] for _ in draws]
    assert augment.CopyPaste(None, n=2)._draws(0, None)[0][:2] == [0.7579544029403025, 0.420571580830845]


def test_places_and_labels_are_those_of_every_machine(simd: str) -> None:
    """Sizes, places, order and what is visible, whatever the instruction set."""
    paste = augment.CopyPaste(donors(), n=3, seed=8)
    expected = [
        {3: (95, 58, 128, 63), 5: (6, 23, 29, 46), 1: (117, 3, 128, 17)},
        {6: (85, 78, 106, 96), 5: (84, 35, 118, 69), 1: (0, 0, 15, 14)},
    ]
    for index, objects in enumerate(expected):
        result = paste(photo(), boxes_xyxy=[], labels=[], index=index)
        assert result["labels"] == list(objects) and result["boxes_xyxy"] == [list(box) for box in objects.values()]


#: Photographs with a full alpha are cut out by it here, so that nothing is segmented, whatever it is.
IGNORE_OPAQUE_WARNING = pytest.mark.filterwarnings(
    "ignore:image. its alpha is above 0 nearly everywhere:pyharmony.errors.PyHarmonyWarning"
)


def pasted_in_a_process(pickled: bytes, index: int) -> bytes:
    paste = pickle.loads(pickled)  # noqa: S301
    return paste(photo(), index=index)["image"].tobytes()


@IGNORE_OPAQUE_WARNING
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_paste_alike(method: str, tmp_path: Path) -> None:
    for i, donor in enumerate(donors()):
        alpha = np.where(donor.mask, np.uint8(255), np.uint8(0))
        Image.fromarray(np.dstack([donor.image, alpha])).save(tmp_path / f"{i}.png")
    paste = augment.CopyPaste(augment.Bank.from_folder(tmp_path), n=4, seed=1)
    expected = [paste(photo(), index=index)["image"].tobytes() for index in range(3)]
    with multiprocessing.get_context(method).Pool(2) as pool:
        results = pool.starmap(pasted_in_a_process, [(pickle.dumps(paste), index) for index in range(3)])
    assert results == expected


def test_pasting_never_looks_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    paste = augment.CopyPaste(donors(), n=9, blend=["alpha", "poisson", "gaussian_poisson", "laplacian"])
    monkeypatch.setattr(pyharmony._native, "has_cuda", lambda: pytest.fail("asked for CUDA"))
    pyharmony.set_device("cuda")
    try:
        paste(photo(), index=0)
        with pytest.raises(pytest.fail.Exception):
            blend.paste_many(photo(), [{"src": photo()}])
    finally:
        pyharmony.set_device("auto")


# Sizes, places and colours


def test_sizes_and_places_are_in_their_ranges() -> None:
    square = augment.Donor(np.full((30, 20, 3), 200, np.uint8), np.ones((30, 20), bool), label=1)
    kinds = {"blend": "alpha", "harmonize_probability": 0, "n": 1}
    for index in range(80):
        image = np.zeros((100, 160, 3), np.uint8)

        def sides(index: int = index, image: np.ndarray = image, **options: Any) -> tuple[int, int]:
            paste = augment.CopyPaste([square], **kinds, **options)
            x0, y0, x1, y1 = paste(image, boxes_xyxy=[], index=index)["boxes_xyxy"][0]
            return x1 - x0, y1 - y0

        width, height = sides(size=(0.1, 0.4), inside=1.0)
        assert 15 <= height <= 65 and abs(width * 1.5 - height) <= 2
        assert sides(scale=(2.0, 2.0), inside=1.0) == (40, 60)
        assert sides(scale=(9.0, 9.0), inside=1.0)[1] == 100  # as large as the picture allows
        width, height = sides(scale=(1, 1), inside=0.5)
        assert width >= 10 and height >= 15
        assert sides(size=(1.0, 1.0), inside=1.0)[1] == 60  # enlarged twice
    wide = augment.CopyPaste([square], **kinds, scale=(1, 1), inside=0.5)
    starts = [wide(np.zeros((100, 160, 3), np.uint8), boxes_xyxy=[], index=i)["boxes_xyxy"][0] for i in range(300)]
    assert min(box[0] for box in starts) == 0 and max(box[2] for box in starts) == 160
    assert min(box[2] - box[0] for box in starts) == 10


def test_smaller_copies_look_like_larger_ones() -> None:
    """The halved copies: a gradient stays a gradient, at every size, and the mask's area follows the size."""
    y, x = np.mgrid[:200, :160]
    image = np.stack([y, x, 255 - y], -1).astype(np.uint8)
    cutout = _cutout.Cutout(image, np.where(np.hypot(y - 100, x - 80) < 60, np.uint8(255), np.uint8(0)))
    for factor in (2.3, 1.0, 0.9, 0.5, 0.3, 0.24, 0.11, 0.05):
        scaled = cutout.scaled(factor)
        assert scaled.levels.shape[:2] == tuple(round(side * factor) for side in cutout.image.shape[:2])
        assert abs(scaled.area / (np.pi * 60**2 * factor**2) - 1) < 0.05 + 0.02 / factor
        rows = np.arange(scaled.levels.shape[0])
        expected = (rows + 0.5) * (cutout.image.shape[0] / len(rows)) - 0.5 + cutout.image[0, 0, 0]
        inner = slice(1, -1)
        assert np.abs(scaled.levels[inner, 2, 0].astype(float) - expected[inner]).max() <= 1 + 0.26 / factor
        if factor > 0.5:  # no halved copy: Pillow's filter, of each channel
            size = scaled.levels.shape[1::-1]
            by_pillow = [Image.fromarray(plane).resize(size, Image.Resampling.BILINEAR) for plane in
                         np.moveaxis(cutout.scaled(1.0).levels, -1, 0).copy()]  # fmt: skip
            assert (scaled.levels == np.dstack([np.asarray(plane) for plane in by_pillow])).all()
        flipped = scaled.mirrored
        assert flipped.box == _cutout.box_of(flipped.hard) and (flipped.levels[:, ::-1] == scaled.levels).all()


def test_colours_of_the_surroundings() -> None:
    red = np.full((40, 40, 3), (220, 40, 40), np.uint8)
    red[::2] += np.uint8(20)
    image = photo(0, 128, 128) + np.uint8(60)
    kinds = {"n": 1, "blend": "alpha", "scale": (1, 1), "inside": 1.0}
    own = augment.CopyPaste([augment.Donor(red, np.ones((40, 40), bool))], harmonize_probability=0, **kinds)(
        image, boxes_xyxy=[], index=1
    )
    near = augment.CopyPaste([augment.Donor(red, np.ones((40, 40), bool))], harmonize_probability=1, **kinds)(
        image, boxes_xyxy=[], index=1
    )
    assert own["boxes_xyxy"] == near["boxes_xyxy"]
    x0, y0, x1, y1 = map(int, own["boxes_xyxy"][0])
    means = [each[y0:y1, x0:x1].reshape(-1, 3).mean(0) for each in (image, own["image"], near["image"])]
    assert (np.abs(means[2] - means[0]) < np.abs(means[1] - means[0])).all()
    assert np.abs(means[2] - means[1]).max() <= 52  # never further than the limit


@pytest.mark.filterwarnings("ignore::pyharmony.errors.ClippedWarning")
def test_the_margin_of_a_donor_is_enough_for_poisson() -> None:
    """A cut-out pastes like the whole picture that contains it."""
    rng = np.random.default_rng(2)
    whole = rng.integers(0, 256, (120, 120, 3), np.uint8)
    mask = np.zeros((120, 120), np.uint8)
    mask[30:70, 40:90] = 255
    donor = augment.Bank([augment.Donor(whole, mask)])[0]
    image = photo(4, 160, 160)
    rows, columns = np.flatnonzero(donor.mask.any(1)), np.flatnonzero(donor.mask.any(0))
    for method in (blend.poisson, blend.gaussian_poisson):
        far = method(whole, image, mask, at=(20, 30))
        near = method(donor.image, image, donor.mask, at=(20 + 40 - columns[0], 30 + 30 - rows[0]))
        assert (near == far).all()


@pytest.mark.parametrize(
    "choice",
    ["alpha", ["poisson", {"method": "poisson", "gradients": "mixed"}], [{"gradients": "average"}], ("laplacian",),
     [{"method": "alpha", "feather": 2.0}]],
)  # fmt: skip
def test_blends_to_draw_from(choice: Any) -> None:
    paste = augment.CopyPaste(donors(), n=3, blend=choice)
    after = paste(photo(), labels=[], index=0)
    assert len(after["labels"]) >= 1 and (after["image"] != photo()).any()


def test_an_object_as_large_as_the_picture() -> None:
    donor = augment.Donor(np.full((20, 20, 3), 200, np.uint8), np.ones((20, 20), bool), label=1)
    for method in ("alpha", "poisson", "gaussian_poisson", "laplacian"):
        paste = augment.CopyPaste([donor], n=1, blend=method, scale=(1, 1), inside=1.0)
        after = paste(np.zeros((20, 20, 3), np.uint8), boxes_xyxy=[], labels=[], index=0)
        assert after["boxes_xyxy"] == [[0, 0, 20, 20]] and after["image"].mean() > 100


# Samples


def test_a_sample_keeps_its_kinds() -> None:
    sample = {
        "image": photo(), "boxes_xyxy": np.array([[0, 0, 90, 90]], np.float32), "labels": np.array([[1.0]], np.float32),
        "masks": np.ones((1, 96, 128), np.uint8) * np.uint8(255), "iscrowd": np.zeros(1, np.int64),
        "area": np.array([96 * 128.0]), "image_id": 5, "name": "a", "orig_size": (96, 128), "ids": ["x"],
        "tags": [1, 2],
    }  # fmt: skip
    paste = augment.CopyPaste(donors(), n=3, fields={"ids": "new"}, image_keys=["tags"])
    after = paste(sample, index=1)
    count = len(after["labels"])
    assert list(after) == list(sample) and count > 1
    assert after["boxes_xyxy"].dtype == np.float32 and after["boxes_xyxy"].shape == (count, 4)
    assert after["labels"].dtype == np.float32 and after["labels"].shape == (count, 1)
    assert after["masks"].dtype == np.uint8 and set(np.unique(after["masks"])) == {0, 255}
    assert after["iscrowd"].tolist() == [0] * count and after["ids"] == ["x"] + ["new"] * (count - 1)
    assert after["area"].tolist() == [float(np.count_nonzero(mask)) for mask in after["masks"]]
    assert (after["image_id"], after["name"], after["orig_size"], after["tags"]) == (5, "a", (96, 128), [1, 2])
    with pytest.raises(ArgumentError, match="ids: a list or an array, of which it is not known"):
        augment.CopyPaste(donors())(sample, index=1)


def test_integers_text_and_tuples() -> None:
    paste = augment.CopyPaste(donors(), n=2)
    after = paste(photo(), boxes_xyxy=((1, 2, 3, 4),), labels=(9,), index=0)
    assert isinstance(after["boxes_xyxy"], tuple) and isinstance(after["labels"], tuple)
    assert after["boxes_xyxy"][0] == (1, 2, 3, 4) and all(isinstance(box, tuple) for box in after["boxes_xyxy"])
    after = paste(photo(), boxes_xyxy=[[1, 2, 3.5, 4]], index=0)
    assert after["boxes_xyxy"][0] == [1, 2, 3.5, 4] and all(isinstance(box, list) for box in after["boxes_xyxy"])
    crowd = paste({"image": photo(), "labels": [9], "iscrowd": np.array([True])}, index=0)["iscrowd"]
    assert crowd.tolist() == [True] + [False] * (len(crowd) - 1) and crowd.dtype == bool
    after = paste(photo(), boxes_xyxy=np.array([[1, 2, 3, 4]], np.int16), labels=np.array([9], np.uint8), index=0)
    assert after["boxes_xyxy"].dtype == np.int16 and after["labels"].dtype == np.uint8
    with_names = augment.CopyPaste([augment.Donor(d.image, d.mask, label="a long name") for d in donors()], n=2)
    assert with_names(photo(), labels=np.array(["b"]), index=0)["labels"].tolist()[1:] == ["a long name"] * 2


def test_no_objects_and_no_donors() -> None:
    image, boxes = photo(), np.array([[1.0, 2, 30, 40]])
    after = augment.CopyPaste(donors(), n=0)(image, boxes_xyxy=boxes, labels=["a"], index=0)
    assert (after["image"] == image).all() and (after["boxes_xyxy"] == boxes).all() and after["labels"] == ["a"]
    masks = np.ones((1, 96, 128), bool)
    after = augment.CopyPaste(donors(), n=0)(image, boxes_xyxy=boxes, labels=np.array([2]), masks=masks, index=0)
    assert (after["masks"] == masks).all() and not np.shares_memory(after["masks"], masks)
    assert not np.shares_memory(after["image"], image) and not np.shares_memory(after["boxes_xyxy"], boxes)
    result = augment.CopyPaste(None, inside=1.0)(image, labels=[], donors=donors()[:2], index=0)
    assert sorted(result["labels"]) == [1, 2]


# Refusals


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"image": "a.png"}, DTypeError, "image: str, expected an array"),
        ({"image": np.zeros((4, 4, 4), np.uint8)}, ShapeError, r"image: shape \[4, 4, 4\], expected"),
        ({"image": np.zeros((8, 8, 3), bool)}, DTypeError, "image: dtype bool"),
        ({"boxes_xyxy": np.zeros((2, 5))}, ShapeError, r"boxes_xyxy: shape \[2, 5\], expected \[N, 4\]"),
        ({"boxes_xyxy": np.zeros((2, 4)), "labels": [1]}, ShapeError, "labels: 1 objects, boxes_xyxy are of 2"),
        (
            {"boxes_xyxy": [[0, 0, np.nan, 5]], "labels": [1]},
            ArgumentError,
            r"boxes_xyxy\[0\]: .*nan.*, finite numbers",
        ),
        (
            {"boxes_xyxy": np.array([[9, 9, 9, 20]])},
            ArgumentError,
            r"boxes_xyxy\[0\]: \(9, 9, 9, 20\), expected x0 < x1",
        ),
        ({"boxes_xyxy": [[60, 60, 50, 70]]}, ArgumentError, r"boxes_xyxy\[0\]: .*, expected x0 < x1"),
        ({"boxes_xyxy": [(0.1, 0.2, 0.6, 0.7)]}, ArgumentError, r"boxes_xyxy\[0\]: .*shares of the image's size"),
        (
            {"boxes_xyxy": [[0, 0, 5, 5], [128, 0, 300, 9]]},
            ArgumentError,
            r"boxes_xyxy\[1\]: .* is outside of an image",
        ),
        ({"boxes_xyxy": [[0, 0, 5, "x"]]}, ArgumentError, r"boxes_xyxy\[0\]: .*expected \(x0, y0, x1, y1\)"),
        ({"boxes_xyxy": np.array(3.0)}, DTypeError, "boxes_xyxy: ndarray, expected an array"),
        ({"boxes_xyxy": "0 0 5 5"}, DTypeError, "boxes_xyxy: str, expected an array"),
        ({"boxes_xyxy": np.array([["0", "0", "5", "5"]])}, DTypeError, "boxes_xyxy: dtype"),
        ({"masks": np.zeros((1, 8, 8), bool)}, ShapeError, r"masks: shape \[1, 8, 8\], expected \[N, 96, 128\]"),
        ({"masks": np.zeros((1, 96, 128), np.float32)}, DTypeError, "masks: dtype float32"),
        ({"masks": np.full((96, 128), 3), "labels": [1]}, ShapeError, "masks: a map with object 3, expected 0 to 1"),
        ({"labels": "ab"}, DTypeError, "labels: str, expected a list or an array"),
        ({"labels": np.zeros((2, 2))}, ShapeError, r"labels: shape \[2, 2\]"),
        ({"labels": np.array(["a"])}, DTypeError, "labels: an array of <U1, but a donor has [1-6]; a bank"),
        (
            {"labels": np.array([], np.int8), "donors": [augment.Donor(photo(), np.ones((96, 128), bool), label=300)]},
            DTypeError,
            "labels: an array of int8, which cannot hold 300",
        ),
        ({"index": -1}, ArgumentError, "index: -1, expected a whole number of at least 0"),
        ({"index": 1.5}, DTypeError, "index: float 1.5"),
        ({"donors": [{"picture": 1}]}, ArgumentError, r"donors\[0\]: key 'picture', expected image"),
    ],
)
def test_what_a_call_refuses(arguments: dict[str, Any], error: type[Exception], text: str) -> None:
    paste = augment.CopyPaste(donors(), n=6, inside=1.0, size=(0.4, 0.5))
    image = arguments.pop("image", photo())
    with pytest.raises(error, match=text):
        paste(image, **{"index": 0, **arguments})


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"n": (3, 2)}, ArgumentError, r"n: \(3, 2\), expected"),
        ({"n": 1.5}, DTypeError, "n: float 1.5"),
        ({"blend": "multiply"}, ArgumentError, "blend: 'multiply', expected one of 'random'"),
        ({"blend": []}, ArgumentError, "blend: an empty list"),
        ({"blend": [{"method": "alpha", "gradients": "mixed"}]}, ArgumentError, r"blend\[0\]: .*key 'gradients'"),
        ({"blend": [{"src": photo()}]}, ArgumentError, r"blend\[0\]: key 'src'"),
        ({"harmonize_probability": 2}, ArgumentError, "harmonize_probability: 2, expected a number from 0 to 1"),
        ({"occlusion": -1}, ArgumentError, "occlusion: -1"),
        ({"size": (0, 0.5)}, ArgumentError, r"size: \(0, 0.5\), expected"),
        ({"size": (0.5, 2)}, ArgumentError, r"size: \(0.5, 2\), expected"),
        ({"enlarge": 0.5}, ArgumentError, "enlarge: 0.5, expected"),
        ({"scale": (2, 1)}, ArgumentError, r"scale: \(2, 1\), expected"),
        ({"inside": 0}, ArgumentError, "inside: 0, expected a number above 0"),
        ({"bank": []}, ArgumentError, "donors: none, expected at least one"),
        ({"bank": 3}, DTypeError, "bank: donors: int, expected a list of donors"),
        ({"bank": "no such folder"}, FileNotFoundError, "no such folder"),
        ({"bank": [{"image": 3}]}, DTypeError, r"bank: donors\[0\]: image: int, expected an array"),
        ({"bank": [{"image": photo(), "mask": 1.5}]}, DTypeError, r"donors\[0\]: mask: float, expected None"),
        ({"bank": [{"image": photo(), "box_xyxy": (9, 9, 5, 20)}]}, ArgumentError, r"donors\[0\]: box_xyxy: .*x0 < x1"),
        ({"bank": [{"image": photo(), "box_xyxy": (0.1, 0.1, 0.5, 1)}]}, ArgumentError, "shares of the image's size"),
        ({"bank": [{"image": photo(), "name": 3}]}, DTypeError, r"donors\[0\]: name: int, expected a text"),
        ({"fields": 3}, DTypeError, "fields: int, expected a mapping"),
        ({"fields": {3: 1}}, DTypeError, "fields: 3, expected keys of samples"),
        ({"image_keys": [["a"]]}, DTypeError, r"image_keys: \['a'\], expected keys of samples"),
        ({"bank": [3]}, DTypeError, r"donors\[0\]: int, expected a Donor"),
        (
            {"bank": [{"image": photo(), "mask": photo(), "box_xyxy": (0, 0, 1, 1)}]},
            ArgumentError,
            "both mask and box_xyxy",
        ),
    ],
)
def test_what_an_augmentation_refuses(options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        augment.CopyPaste(options.pop("bank", donors()), **options)


def test_corners_have_a_name_that_says_so() -> None:
    """The old names, which are those of other boxes, warn and give the same."""
    paste, corners, labels = augment.CopyPaste(donors(), n=3), np.array([[1.0, 2, 30, 40]]), np.array([7])
    new = paste(photo(), boxes_xyxy=corners, labels=labels, index=0)
    sample = paste({"image": photo(), "boxes_xyxy": corners, "labels": labels}, index=0)
    with pytest.warns(DeprecationWarning, match="boxes: corners x0, y0, x1, y1 are called boxes_xyxy now") as records:
        old = paste(photo(), boxes=corners, labels=labels, index=0)
    assert records[0].filename == __file__
    with pytest.warns(DeprecationWarning, match="boxes: corners x0, y0, x1, y1 are called boxes_xyxy now"):
        old_sample = paste({"image": photo(), "boxes": corners, "labels": labels}, index=0)
    for other, key in ((sample, "boxes_xyxy"), (old, "boxes"), (old_sample, "boxes")):
        assert set(other) == {"image", "labels", key} and (other[key] == new["boxes_xyxy"]).all()
        assert (other["image"] == new["image"]).all()
    for both in (
        lambda: paste(photo(), boxes=corners, boxes_xyxy=corners),
        lambda: paste({"image": photo(), "boxes": corners, "boxes_xyxy": corners}),
        lambda: augment.Donor(photo(), box=(0, 0, 9, 9), box_xyxy=(0, 0, 8, 8)),
        lambda: augment.Bank.from_arrays([photo()], boxes=[(0, 0, 9, 9)], boxes_xyxy=[(0, 0, 9, 9)]),
    ):
        with pytest.raises(ArgumentError, match=r"box(es)?: passed beside box(es)?_xyxy, its new name"):
            both()
    with pytest.warns(DeprecationWarning, match="box: corners .* are called box_xyxy now"):
        donor = augment.Donor(photo(), box=(1, 2, 30, 40), label=1)
    assert donor.box_xyxy == donor.box == (1, 2, 30, 40)
    with pytest.warns(
        PyHarmonyWarning, match=r"boxes_xyxy\[1\]: .*70.0\) is partly outside of the picture of 128 x 96"
    ):
        beyond = paste(photo(), boxes_xyxy=[[0, 0, 9, 9], [100, 50, 150, 70]], labels=[1, 2], index=0)
    assert beyond["boxes_xyxy"][1] == [100, 50, 150, 70]
    again = dataclasses.replace(donor, label=2)
    assert again.box_xyxy == (1, 2, 30, 40) and augment.Donor(photo()).box is None
    for banks in ([donor], [{"image": photo(), "box_xyxy": (1, 2, 30, 40)}]):
        assert augment.Bank(banks, rectangles=True)[0].mask.max() == 255
    with pytest.warns(DeprecationWarning, match="boxes: corners"):
        augment.Bank.from_arrays([photo()], boxes=[(1, 2, 30, 40)])
    with pytest.warns(DeprecationWarning, match="box: corners"):
        augment.Bank([{"image": photo(), "box": (1, 2, 30, 40)}])


def test_labels_that_a_donor_lacks_are_named() -> None:
    paste = augment.CopyPaste([augment.Donor(photo(), np.ones((96, 128), bool), name="cup.png")], n=1)
    assert "boxes_xyxy" in paste(photo(1), boxes_xyxy=[], index=0)
    with pytest.raises(ArgumentError, match=r"labels: passed, but cup\.png has no label"):
        paste(photo(1), labels=[], index=0)
    with pytest.raises(ArgumentError, match="boxes_xyxy: passed beside a mapping"):
        paste({"image": photo(1)}, boxes_xyxy=[], index=0)
    with pytest.raises(ArgumentError, match="donors: None without a bank"):
        augment.CopyPaste(None)(photo(1))
    read_only = photo(1)
    read_only.flags.writeable = False
    with pytest.raises(ArgumentError, match="image: the array is read-only"):
        paste(read_only, index=0, in_place=True)


# Banks


def test_a_folder_of_cut_outs_with_a_folder_for_each_label(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for i in range(2):
            pixels = rng.integers(100, 256, (30, 40, 4), np.uint8)
            pixels[..., 3] = np.where(np.hypot(*(np.mgrid[:30, :40] - np.array([[[15]], [[20]]]))) < 10, 255, 0)
            pixels[pixels[..., 3] == 0] = 0  # black where it is transparent
            Image.fromarray(pixels).save(tmp_path / label / f"{i}.png")
    bank = augment.Bank.from_folder(tmp_path)
    assert bank.labels == ["cat", "cat", "dog", "dog"] and len(bank) == 4
    assert [donor.label for donor in bank[1:3]] == ["cat", "dog"]
    # Its colours continue where it is transparent, so that no blend sees a black rim.
    assert bank[0].image.min() >= 80 and bank[0].image.shape == (23, 23, 3)
    only = augment.Bank.from_folder(tmp_path, labels={"dog": 7})
    assert only.labels == [7, 7]
    after = augment.CopyPaste(tmp_path, n=4)(photo(), labels=[], index=0)
    assert set(after["labels"]) <= {"cat", "dog"} and after["labels"]
    assert copy.deepcopy(bank).names == bank.names


def test_a_folder_of_images_and_masks(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / "cup" / folder).mkdir(parents=True)
    Image.fromarray(photo(1)).save(tmp_path / "cup" / "images" / "a.png")
    mask = np.zeros((96, 128), np.uint8)
    mask[10:50, 20:90] = 255
    Image.fromarray(mask).save(tmp_path / "cup" / "masks" / "a.png")
    bank = augment.Bank.from_folder(tmp_path)
    assert bank.labels == ["cup"] and (bank[0].image == photo(1)[8:52, 18:92]).all()
    assert augment.Bank.from_folder(tmp_path / "cup").labels == [""]
    bank = augment.Bank.from_dataset(data.Photos(tmp_path / "cup"))
    assert (bank[0].mask == mask[8:52, 18:92]).all()
    with pytest.raises(IndexError, match="index: 1, expected 0 to 0"):
        bank[1]


def coco(tmp_path: Path, annotations: list[dict[str, Any]]) -> Path:
    Image.fromarray(photo(1)).save(tmp_path / "1.png")
    table = {
        "images": [{"id": 1, "file_name": "1.png", "height": 96, "width": 128}],
        "categories": [{"id": 3, "name": "cup"}, {"id": 8, "name": "pen"}],
        "annotations": [{"id": i, "image_id": 1, "category_id": 3, **each} for i, each in enumerate(annotations)],
    }
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(table))
    return path


def test_a_bank_from_coco(tmp_path: Path) -> None:
    mask = np.zeros((96, 128), bool)
    mask[20:60, 30:80] = True
    path = coco(tmp_path, [
        {"bbox": [30, 20, 50, 40], "area": 2000, "segmentation": [[30, 20, 80, 20, 80, 60, 30, 60]]},
        {"bbox": [30, 20, 50, 40], "area": 2000, "segmentation": data.encode_segmentation(mask), "category_id": 8},
        {"bbox": [0, 0, 90, 90], "area": 8100, "segmentation": data.encode_segmentation(mask), "iscrowd": 1},
        {"bbox": [0, 0, 3, 3], "area": 9, "segmentation": [[0, 0, 3, 0, 3, 3]]},
    ])  # fmt: skip
    bank = augment.Bank.from_coco(path, tmp_path, min_area=100)
    assert bank.labels == [3, 8] and bank.names == ["1_0", "1_1"]
    for donor in bank:
        assert donor.image.shape == (44, 54, 3) and np.count_nonzero(donor.mask) == 2000
    assert augment.Bank.from_coco(path, tmp_path, labels={"pen": 0}).labels == [0]
    with pytest.raises(ArgumentError, match=r"labels: \['cat'\], no object"):
        augment.Bank.from_coco(path, tmp_path, labels={"cat": 0})
    for annotation, text in (({"bbox": [0, 0]}, "not COCO"), ({"bbox": [0, 0, 5, 5], "image_id": 4}, "not COCO")):
        with pytest.raises(DataError, match=text):
            augment.Bank.from_coco(coco(tmp_path, [annotation]), tmp_path)
    outside = json.loads(path.read_text())
    outside["images"][0]["file_name"], outside["annotations"] = "../1.png", outside["annotations"][:1]
    outside["annotations"][0] |= {"bbox": [0, 0, 9, 9], "image_id": 1}
    path.write_text(json.dumps(outside))
    with pytest.raises(DataError, match="is outside"):
        augment.Bank.from_coco(path, tmp_path)
    with pytest.raises(FileNotFoundError):
        augment.Bank.from_coco(path, tmp_path / "none")


@pytest.mark.parametrize(
    ("form", "size"), [("polygon", (64, 48)), ("runs", (128, 95)), ("box", (96, 128)), ("box", (64, 48))]
)
def test_a_photograph_of_another_size_is_no_donor(tmp_path: Path, form: str, size: tuple[int, int]) -> None:
    """Its masks and boxes would be shifted."""
    mask = np.zeros((96, 128), bool)
    mask[20:60, 30:80] = True
    polygon = [[30, 20, 80, 20, 80, 60, 30, 60]]
    parts = {"polygon": {"segmentation": polygon}, "runs": {"segmentation": data.encode_segmentation(mask)}, "box": {}}
    path = coco(tmp_path, [{"bbox": [30, 20, 50, 40], "area": 2000, **parts[form]}])
    Image.fromarray(photo(1, size[1], size[0])).save(tmp_path / "1.png")
    bank = augment.Bank.from_coco(path, tmp_path, rectangles=True)
    text = rf"1\.png: {size[0]} x {size[1]} pixels, annotations are for 128 x 96"
    with pytest.raises(ShapeError, match=text):
        bank[0]
    with pytest.raises(ShapeError, match=text):
        augment.CopyPaste(bank)(photo(), index=0)
    assert len(data.CocoPeople(path, tmp_path, "cup").check()) == 1
    table, problems = data.boxes_to_masks(path, tmp_path, method="grabcut")
    assert "annotations are for 128 x 96" in problems[0].message and "score" not in table["annotations"][0]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"bbox": [0, 0, 5, 0]}, r"annotation 0: bbox: \[0, 0, 5, 0\], expected x, y, width and height"),
        ({"bbox": [0, 0, float("nan"), 5]}, "annotation 0: bbox: .*nan"),
        ({"bbox": "0 0 5 5"}, "annotation 0: bbox: 0 0 5 5"),
        ({}, "annotation 0: expected id, image_id, segmentation and area"),
        ({"bbox": [0, 0, 5, 5], "id": []}, r"annotation 0: id: \[\]"),
        ({"segmentation": [[0, 0, 9, 0, 9, 9]], "area": "9"}, "annotation 0: area: 9"),
        ({"bbox": [0, 0, 5, 5], "image_id": {}}, "annotation 0: there is no image {}"),
    ],
)
def test_an_annotation_that_a_bank_cannot_use_is_named(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    path = coco(tmp_path, [change])
    with pytest.raises(DataError, match=text):
        augment.Bank.from_coco(path, tmp_path)
    table = json.loads(path.read_text())
    for lists in ({"annotations": 3}, {"images": {}}, {"categories": 1}):
        path.write_text(json.dumps({**table, **lists}))
        with pytest.raises(DataError, match=f"no list '{next(iter(lists))}', expected COCO annotations"):
            augment.Bank.from_coco(path, tmp_path)


def test_segmentations_of_a_bank_are_checked(tmp_path: Path) -> None:
    runs = data.encode_segmentation(np.ones((96, 127), bool))
    bad = [[[1, 2, 3, 4]], [[1, 2, 3, float("inf"), 5, 6]], runs, {"size": [96, 128], "counts": [5]},
           [[300, 0, 400, 0, 400, 50]], [[0.1, 0.2, 0.3, 0.4, 0.1, 0.4]]]  # fmt: skip
    path = coco(tmp_path, [{"segmentation": one, "area": 50} for one in bad])
    bank = augment.Bank.from_coco(path, tmp_path)
    for i in range(len(bad)):
        with pytest.raises(PyHarmonyError, match=f"1_{i}: "):
            bank[i]


def test_objects_with_boxes_are_cut_out_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.full((96, 128, 3), 60, np.uint8)
    disc = np.hypot(*(np.mgrid[:96, :128] - np.array([[[48]], [[60]]]))) < 25
    image[disc] = (220, 180, 40)
    Image.fromarray(image).save(tmp_path / "1.png")
    path = coco(tmp_path, [{"bbox": [30, 18, 60, 60]}])
    Image.fromarray(image).save(tmp_path / "1.png")
    bank = augment.Bank.from_coco(path, tmp_path)
    donor = bank[0]
    inside = donor.mask >= 128
    assert 0.9 < np.count_nonzero(inside) / np.count_nonzero(disc) < 1.1
    again, problems = bank.checked()
    assert not problems
    monkeypatch.setattr(pyharmony.segmentation, "segment", lambda *_, **__: pytest.fail("segmented again"))
    assert (copy.deepcopy(again)[0].mask == donor.mask).all()
    rectangle = augment.Bank.from_coco(path, tmp_path, rectangles=True)[0]
    assert np.count_nonzero(rectangle.mask) == 3600 and (rectangle.mask[4:-4, 4:-4] == 255).all()


def test_donors_that_cannot_be_used_are_listed(tmp_path: Path) -> None:
    empty = augment.Donor(photo(), np.zeros((96, 128), bool), name="empty")
    other = augment.Donor(photo(), np.ones((5, 5), bool), name="other size")
    opaque = augment.Donor(photo(), name="opaque")
    missing = augment.Donor(tmp_path / "none.png")
    outside = augment.Donor(photo(), box_xyxy=(200, 0, 300, 50), name="outside")
    bank = augment.Bank([*donors()[:2], empty, other, opaque, missing, outside])
    calls = []
    usable, problems = bank.checked(lambda: calls.append(1))
    assert len(usable) == 2 and len(calls) == 7
    none = str(tmp_path / "none.png")
    texts = {"empty": "mask: empty", "other size": "mask: ", "opaque": "expected a mask", none: none}
    for (name, text), problem in zip([*texts.items(), ("outside", "box_xyxy: ")], problems, strict=True):
        assert problem.name == name and text in problem.message
    with pytest.raises(UnusableSample, match="empty: mask: empty; no pixel is at least half inside"):
        bank[2]


def test_an_empty_donor_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    empty = augment.Donor(photo(), np.zeros((96, 128), bool), label=9, name="nothing")
    paste = augment.CopyPaste([empty, *donors()[:1]], n=6, inside=1.0)
    with caplog.at_level("WARNING", "pyharmony"):
        labels = [paste(photo(), labels=[], index=index)["labels"] for index in range(8)]
    assert {label for each in labels for label in each} == {1} and min(map(len, labels)) < 6
    assert [record.getMessage() for record in caplog.records] == [
        "a donor is left out: nothing: mask: empty; no pixel is at least half inside"
    ]


@IGNORE_OPAQUE_WARNING
def test_several_threads_use_one_bank(tmp_path: Path) -> None:
    for i in range(3):
        Image.fromarray(np.dstack([photo(i), np.full((96, 128), 255, np.uint8)])).save(tmp_path / f"{i}.png")
    paste = augment.CopyPaste(augment.Bank.from_folder(tmp_path, memory=75_000), n=4, size=(0.05, 0.9))
    expected = [paste(photo(), index=index)["image"].tobytes() for index in range(8)]
    fresh = augment.CopyPaste(augment.Bank.from_folder(tmp_path, memory=75_000), n=4, size=(0.05, 0.9))
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda index: fresh(photo(), index=index)["image"].tobytes(), range(8)))
    assert results == expected


def test_an_object_that_is_not_found_in_its_box(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nothing:
        mask = np.zeros((96, 128), np.uint8)

    monkeypatch.setattr(pyharmony.segmentation, "segment", lambda *_, **__: Nothing())
    with pytest.raises(UnusableSample, match=r"cup: box_xyxy: \(1, 1, 9, 9\), no object was segmented in it"):
        augment.Bank([augment.Donor(photo(), box_xyxy=(1, 1, 9, 9), name="cup")])[0]


@IGNORE_OPAQUE_WARNING
def test_the_memory_of_a_bank_is_limited(tmp_path: Path) -> None:
    for i in range(5):
        Image.fromarray(np.dstack([photo(i), np.full((96, 128), 255, np.uint8)])).save(tmp_path / f"{i}.png")
    one = 96 * 128 * (4 * 4 + 3) // 3
    bank = augment.Bank.from_folder(tmp_path, memory=2 * one)
    for i in (0, 1, 2, 1, 3, 4):
        assert (bank[i].image == photo(i)).all()
        assert len(bank._cutouts) <= 2
    assert list(bank._cutouts) == [3, 4]
    with pytest.raises(FileNotFoundError):
        augment.Bank.from_folder(tmp_path / "none")
    (tmp_path / "bare").mkdir()
    with pytest.raises(DataError, match="no known kind of data set"):
        augment.Bank.from_folder(tmp_path / "bare")


def test_cutouts_of_a_folder_are_of_any_format_and_the_others_are_counted(tmp_path: Path) -> None:
    cutout = Image.fromarray(np.dstack([photo(), 255 * np.pad(np.ones((40, 40), np.uint8), ((9, 47), (9, 79)))]))
    (tmp_path / "cup").mkdir()
    for name, format in (("a.png", "PNG"), ("b.photo", "PNG"), ("c", "WEBP"), ("d.TIFF", "TIFF")):
        cutout.save(tmp_path / "cup" / name, format)
    for name in ("e.jpg", "f.jfif"):
        Image.fromarray(photo()).save(tmp_path / "cup" / name, "JPEG")
    (tmp_path / "cup" / "list.txt").write_text("a b c")
    (tmp_path / "licence.md").write_text("free")
    with pytest.warns(PyHarmonyWarning) as records:
        bank = augment.Bank.from_folder(tmp_path)
    assert [str(one.message).partition(f"{tmp_path}")[2] for one in records] == [
        ": 1 file is no image with an alpha channel and left out: licence.md",
        "/cup: 3 files are no image with an alpha channel and left out: e.jpg, f.jfif, list.txt",
    ]
    assert bank.labels == ["cup"] * 4 and all(np.count_nonzero(donor.mask) == 1600 for donor in bank)


def test_arrays() -> None:
    pictures = [photo(i) for i in range(2)]
    masks = np.zeros((2, 96, 128), bool)
    masks[:, 10:60, 10:60] = True
    bank = augment.Bank.from_arrays(pictures, masks, labels=["a", "b"])
    assert bank.labels == ["a", "b"] and repr(bank) == "Bank(2 donors)"
    boxes = augment.Bank.from_arrays(pictures, boxes_xyxy=[(10, 10, 60, 60)] * 2, rectangles=True)
    assert all((a.mask == b.mask).all() for a, b in zip(bank, boxes, strict=True))
    with pytest.raises(ShapeError, match="labels: 1, expected 2, as images"):
        augment.Bank.from_arrays(pictures, masks, labels=["a"])
