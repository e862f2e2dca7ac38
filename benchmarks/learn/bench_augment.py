"""Copy-paste augmentation of a photo of 640 x 640: objects, boxes and labels, compared with its pastes alone."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import bench_paste
import numpy as np
import peers
import pytest
from measure import Ledger, interleave, ratio

import pyharmony
from pyharmony import blend
from pyharmony.errors import PyHarmonyWarning
from pyharmony.learn import augment

GROUP = "copy-paste augmentation of 640 x 640, uint8, one thread"
IMAGE_SIDE = bench_paste.IMAGE_SIDE
#: Its donors come with each call, and so do ours for this comparison.
COPY_AND_PASTE = peers.find(
    "albumentations.CopyAndPaste", "blend_mode hard, one thread", "albumentations", "albumentationsx"
)
#: Calls with other random numbers that are timed in turn.
CALLS = 64
#: The boxes of the objects that the photo has before.
BOXES = np.array(
    [[50, 50, 200, 220], [300, 300, 500, 420], [10, 400, 90, 600], [500, 20, 620, 200], [250, 100, 330, 180]],
    np.float64,
)


def masks() -> Any:
    result = np.zeros((len(BOXES), IMAGE_SIDE, IMAGE_SIDE), np.uint8)
    for mask, (x0, y0, x1, y1) in zip(result, BOXES.astype(int), strict=True):
        mask[y0:y1, x0:x1] = 1
    return result


def augmentation(side: int, target: int, n: int, method: str) -> augment.CopyPaste:
    """Returns one that pastes n objects of `target` pixels from a donor of `side` pixels, wholly inside."""
    donor = augment.Donor(*bench_paste.thing(side), label=1)
    factor = target / side
    return augment.CopyPaste([donor], n=n, blend=method, harmonize_probability=0.0, scale=(factor, factor), inside=1.0)


def items_of(paste: augment.CopyPaste, index: int) -> list[dict[str, Any]]:
    """Returns the items of `paste_many` that a call pastes."""
    plans = paste._plans(paste.bank, (IMAGE_SIDE, IMAGE_SIDE), paste._draws(index, None), True)
    return [
        {
            **plan.options,
            "src": np.ascontiguousarray(plan.levels[..., :3]),
            "mask": np.ascontiguousarray(plan.levels[..., 3]),
            "at": (plan.region.x0, plan.region.y0),
        }
        for plan in plans
    ]


def stamp(photo: Any, items: list[dict[str, Any]]) -> Any:
    """Copies objects into a photo, with boxes, as augmentations without a blend do."""
    result, boxes = photo.copy(), list(BOXES)
    for item in items:
        inside, (x, y) = item["mask"] >= 128, item["at"]
        part = result[y : y + len(inside), x : x + inside.shape[1]]
        part[inside] = item["src"][inside]
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        boxes.append(np.array([x + columns[0], y + rows[0], x + columns[-1] + 1, y + rows[-1] + 1]))
    return result, np.array(boxes)


def in_turn(call: Any) -> Any:
    """Returns a call without arguments that passes 0, 1, ... to another."""
    numbers = itertools.cycle(range(CALLS))
    return lambda: call(next(numbers))


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("source", [96, 140])
def bench_five(benchmark: Any, ledger: Ledger, source: int) -> None:
    photo, labels, old = bench_paste.photo(), np.arange(len(BOXES)), masks()
    paste = augmentation(source, 96, 5, "poisson")
    samples = augmentation(source, 96, 5, "random")
    items = [items_of(paste, index) for index in range(CALLS)]
    others = {
        "masks": in_turn(lambda i: paste(photo, boxes_xyxy=BOXES, labels=labels, masks=old, index=i)),
        "random": in_turn(lambda i: samples(photo, boxes_xyxy=BOXES, labels=labels, index=i)),
        "paste_many": in_turn(lambda i: blend.paste_many(photo, items[i], device="cpu")),
        "stamp": in_turn(lambda i: stamp(photo, items[i])),
    }
    ours = in_turn(lambda i: paste(photo, boxes_xyxy=BOXES, labels=labels, index=i))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PyHarmonyWarning)
        timings = interleave(benchmark, ours, others, rounds=CALLS)
    size = f"five of 96 from {source} pixels" if source != 96 else "five of 96 pixels"
    version = pyharmony.__version__
    ledger.add(GROUP, size, "augment.CopyPaste, poisson, boxes", timings["ours"], version=version)
    for name, text in (
        ("masks", "augment.CopyPaste, poisson, boxes and masks"),
        ("random", "augment.CopyPaste, random blends, boxes"),
        ("paste_many", "blend.paste_many, the same objects"),
        ("stamp", "NumPy, copied without a blend, boxes"),
    ):
        ledger.add(GROUP, size, text, timings[name], against=timings["ours"], version=version)
    milliseconds = {name: timing.summary()["cpu_ms"] for name, timing in timings.items()}
    ledger.target(f"augment.CopyPaste, {size}", milliseconds["ours"], 3, None, "ms", higher_is_better=False)
    beyond = milliseconds["ours"] - milliseconds["paste_many"]
    ledger.target(f"augment.CopyPaste beyond its pastes, {size}", beyond, 0.7, None, "ms", higher_is_better=False)


@pytest.mark.usefixtures("one_thread")
def bench_one_of_64(benchmark: Any, ledger: Ledger) -> None:
    photo = bench_paste.photo()
    paste = augmentation(64, 64, 1, "poisson")
    labels = np.arange(len(BOXES))
    others: dict[str, Any] = {}
    if ledger.available(peers.SEAMLESS_CLONE):
        src, mask = bench_paste.thing(64)
        places = [items_of(paste, index)[0]["at"] for index in range(CALLS)]
        calls = [bench_paste.cv2_clones(src, mask, [at]) for at in places]
        others["cv2"] = in_turn(lambda i: calls[i]())
    ours = in_turn(lambda i: paste(photo, boxes_xyxy=BOXES, labels=labels, index=i))
    timings = interleave(benchmark, ours, others, rounds=CALLS)
    ledger.add(
        GROUP, "one of 64 pixels", "augment.CopyPaste, poisson, boxes", timings["ours"], version=pyharmony.__version__
    )
    if "cv2" in timings:
        ledger.add(
            GROUP, "one of 64 pixels", "cv2.seamlessClone alone", timings["cv2"], against=timings["ours"],
            version=str(peers.SEAMLESS_CLONE.version), note="NORMAL_CLONE, one thread",
        )  # fmt: skip
    clone = timings.get("cv2")
    ledger.target(
        "augment.CopyPaste v. cv2.seamlessClone, an object of 64 pixels",
        None if clone is None else ratio(clone, timings["ours"], "cpu"), 2.5, None, "x",
        note="not installed" if clone is None else "",
    )  # fmt: skip


@pytest.mark.usefixtures("one_thread")
def bench_in_a_compose(benchmark: Any, ledger: Ledger) -> None:
    """Five donors that are passed to albumentations' Compose, with boxes and masks of five objects."""
    if not ledger.available(COPY_AND_PASTE):
        pytest.skip(f"{COPY_AND_PASTE.name}: {COPY_AND_PASTE.reason}")
    import albumentations as A
    import cv2

    cv2.setNumThreads(1)
    src, mask = bench_paste.thing(96)
    donors = [{"image": src, "mask": mask // 255, "bbox_labels": {"label": 2}}] * 5
    arguments = {"image": bench_paste.photo(), "masks": masks(), "bboxes": BOXES.astype(np.float32), "label": [1] * 5}

    def call(transform: Any) -> Any:
        compose = A.Compose([transform], bbox_params=A.BboxParams("pascal_voc", label_fields=["label"]), seed=1)
        return lambda: compose(**arguments, copy_paste_metadata=donors)

    def ours(method: str) -> Any:
        options = {"blend": method, "harmonize_probability": 0.0, "scale": (1.0, 1.0), "inside": 1.0}
        return call(augment.for_albumentations(augment.CopyPaste(None, **options)))

    others = {"poisson": ours("poisson"), "peer": call(A.CopyAndPaste(p=1.0))}
    timings = interleave(benchmark, ours("alpha"), others, rounds=CALLS)
    group = "copy-paste in albumentations' Compose, 640 x 640, uint8, five donors of 96 pixels, one thread"
    ledger.add(
        group, "masks and boxes", "augment.for_albumentations, alpha", timings["ours"], version=pyharmony.__version__
    )
    ledger.add(
        group, "masks and boxes", "augment.for_albumentations, poisson", timings["poisson"], against=timings["ours"],
        version=pyharmony.__version__,
    )  # fmt: skip
    ledger.add(
        group, "masks and boxes", COPY_AND_PASTE.name, timings["peer"], against=timings["ours"],
        version=str(COPY_AND_PASTE.version), note=COPY_AND_PASTE.settings,
    )  # fmt: skip
