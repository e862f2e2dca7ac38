"""Small objects pasted into a photo of 640 x 640, the whole public call, compared with cv2.seamlessClone."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np
import peers
import problems
import pytest
from measure import Ledger, interleave, ratio

import pyharmony
from pyharmony import blend
from pyharmony.errors import PyHarmonyWarning

GROUP = "objects pasted into 640 x 640, uint8, one thread"
IMAGE_SIDE = 640
#: Floor and goal of the ratio to cv2.seamlessClone by the side of an object, in CPU time.
GOALS = {64: (2.5, 4.0), 128: (4.0, None), 256: (4.0, None), 400: (4.0, None)}
#: Where five objects of 96 pixels lie.
PLACES = [(20, 30), (300, 50), (500, 500), (100, 420), (280, 300)]


@functools.lru_cache
def photo() -> problems.Pixels:
    return problems.photograph("astronaut", IMAGE_SIDE, IMAGE_SIDE, warmth=0.08)


def thing(side: int) -> tuple[problems.Pixels, problems.Pixels]:
    """Returns an object [side, side, 3] and its mask, 0 or 255, which touches all four sides of it but one pixel."""
    mask = problems.blob(side, side, 0.7)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    mask[: rows[0] + 1], mask[:, : columns[0] + 1] = False, False
    mask[-1], mask[:, -1] = False, False
    return problems.photograph("coffee", side, side), mask * np.uint8(255)


def centre_of(mask: problems.Pixels, at: tuple[int, int]) -> tuple[int, int]:
    """Returns the position for seamlessClone that puts the first pixel of a mask's image at `at`."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(at[0] + columns[0] + (np.ptp(columns) + 1) // 2), int(at[1] + rows[0] + (np.ptp(rows) + 1) // 2)


def cv2_clones(src: Any, mask: Any, places: list[tuple[int, int]]) -> Any:
    """Returns a call of cv2.seamlessClone for each place, one after another, with one thread."""
    import cv2

    cv2.setNumThreads(1)
    centres = [centre_of(mask, at) for at in places]

    def clones() -> Any:
        result = photo()
        for centre in centres:  # OpenCV changes the mask
            result = cv2.seamlessClone(src, result, mask.copy(), centre, cv2.NORMAL_CLONE)
        return result

    return clones


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("side", GOALS)
def bench_one(benchmark: Any, ledger: Ledger, side: int) -> None:
    src, mask = thing(side)
    at = (IMAGE_SIDE - side) // 2 + 3, (IMAGE_SIDE - side) // 2 + 1
    others: dict[str, Any] = {"gaussian_poisson": lambda: blend.gaussian_poisson(src, photo(), mask, at=at)}
    if ledger.available(peers.SEAMLESS_CLONE):
        others["cv2"] = cv2_clones(src, mask, [at])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PyHarmonyWarning)
        timings = interleave(benchmark, lambda: blend.poisson(src, photo(), mask, at=at), others, rounds=40)
    problem = f"{side} x {side} x 3"
    ledger.add(GROUP, problem, "blend.poisson", timings["ours"], version=pyharmony.__version__)
    ledger.add(
        GROUP, problem, "blend.gaussian_poisson", timings["gaussian_poisson"], against=timings["ours"],
        version=pyharmony.__version__,
    )  # fmt: skip
    if "cv2" in timings:
        ledger.add(
            GROUP, problem, "cv2.seamlessClone", timings["cv2"], against=timings["ours"],
            version=str(peers.SEAMLESS_CLONE.version), note="NORMAL_CLONE, one thread",
        )  # fmt: skip
    clone = timings.get("cv2")
    floor, goal = GOALS[side]
    ledger.target(
        f"blend.poisson v. cv2.seamlessClone, an object of {side} pixels",
        None if clone is None else ratio(clone, timings["ours"], "cpu"), floor, goal, "x",
        note="not installed" if clone is None else "",
    )  # fmt: skip


@pytest.mark.usefixtures("one_thread")
def bench_many(benchmark: Any, ledger: Ledger) -> None:
    src, mask = thing(96)
    items = [{"src": src, "mask": mask, "at": at} for at in PLACES]

    def one_by_one() -> Any:
        result = photo()
        for at in PLACES:
            result = blend.poisson(src, result, mask, at=at)
        return result

    others = {"one by one": one_by_one}
    if ledger.available(peers.SEAMLESS_CLONE):
        others["cv2"] = cv2_clones(src, mask, PLACES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PyHarmonyWarning)
        timings = interleave(benchmark, lambda: blend.paste_many(photo(), items), others, rounds=40)
    problem = "five of 96 x 96 x 3"
    ledger.add(GROUP, problem, "blend.paste_many", timings["ours"], version=pyharmony.__version__)
    ledger.add(
        GROUP, problem, "blend.poisson, one by one", timings["one by one"], against=timings["ours"],
        version=pyharmony.__version__,
    )  # fmt: skip
    if "cv2" in timings:
        ledger.add(
            GROUP, problem, "cv2.seamlessClone, one by one", timings["cv2"], against=timings["ours"],
            version=str(peers.SEAMLESS_CLONE.version), note="NORMAL_CLONE, one thread",
        )  # fmt: skip
    ledger.target(
        "blend.paste_many, five objects of 96 pixels", timings["ours"].summary()["cpu_ms"], 3, None, "ms",
        higher_is_better=False,
    )  # fmt: skip
