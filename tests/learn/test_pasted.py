"""`data.Pasted`: scenes to cut objects out of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pyharmony import _native
from pyharmony.errors import ArgumentError, DataError
from pyharmony.learn import data
from pyharmony.learn.data._pasted import _Objects

pytestmark = pytest.mark.chains

IMAGE_SIDE = 96
COLOURS = ((200, 40, 40), (40, 180, 40), (40, 40, 200), (90, 90, 90))


class Squares(data.Dataset):
    """Photographs of one colour each with a disc of another; the last has no mask."""

    names = ("red", "green", "blue", "grey")

    def _load(self, index: int) -> dict[str, Any]:
        y, x = np.mgrid[:IMAGE_SIDE, :IMAGE_SIDE]
        disc = (x - 48) ** 2 + (y - 40 - 4 * index) ** 2 < 22**2
        image = np.where(disc[..., None], np.uint8(250 - 60 * index), np.array(COLOURS[index], np.uint8))
        sample = {"name": self.names[index], "image": image}
        return sample | ({"mask": np.where(disc, np.uint8(255), np.uint8(0))} if index < 3 else {})


UNCHANGED_SHARES = {"pasted": 0.0, "seamless": 0.0, "nearer": 0.0, "retouched": 0.0, "worn": 0.0}


def test_a_scene_shows_its_object() -> None:
    scenes = data.Pasted(Squares(), size=64, per_photo=5, **UNCHANGED_SHARES)
    assert len(scenes) == 15 and scenes.groups[:6] == ["red"] * 5 + ["green"]
    for i, scene in enumerate(scenes):
        assert scene["image"].shape == (64, 64, 3) and set(np.unique(scene["mask"])) == {0, 255}
        # All that is plainly inside has the object's colour, and what is outside the photograph's.
        object_pixels = scene["image"][scene["mask"] > 0]
        assert (np.abs(object_pixels.astype(int) - (250 - 60 * (i // 5))).max(1) < 60).mean() > 0.9


def test_pasted_objects_are_what_is_asked_for_and_where_they_are() -> None:
    scenes = data.Pasted(Squares(), size=64, per_photo=40, **UNCHANGED_SHARES | {"pasted": 1.0})
    squares = set()
    for scene in scenes:
        inside = scene["mask"] > 0
        assert inside.sum() >= 8
        color = np.median(scene["image"][inside], 0)
        nearest = min((250, 190, 130), key=lambda value: np.abs(color - value).max())
        assert np.abs(color - nearest).max() < 40
        squares.add(nearest)
    assert squares == {250, 190, 130}


def test_without_a_seam_colours_come_nearer_to_the_place() -> None:
    def apart(seamless: float) -> float:
        scenes = data.Pasted(
            Squares(), size=64, per_photo=30, **UNCHANGED_SHARES | {"pasted": 1.0, "seamless": seamless}
        )
        steps = []
        for scene in scenes:
            image, inside = scene["image"].astype(float), scene["mask"] > 0
            edge = inside[:, 1:] != inside[:, :-1]
            steps.append(np.abs(np.diff(image, axis=1))[edge].mean() if edge.any() else 0)
        return float(np.mean(steps))

    assert apart(1.0) < 0.8 * apart(0.0)


def test_nearer_scenes_show_more_of_the_object() -> None:
    shares = []
    for nearer in (0.0, 1.0):
        scenes = data.Pasted(Squares(), size=64, per_photo=20, **UNCHANGED_SHARES | {"nearer": nearer})
        shares.append(np.mean([(scene["mask"] > 0).mean() for scene in scenes]))
    assert shares[1] > 1.3 * shares[0]


def test_scenes_are_made_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a worker of a loader a device would cost a context, and give other bits than on a machine without one."""

    def ask() -> bool:
        raise AssertionError("a scene asked for a device")

    monkeypatch.setattr(_native, "has_cuda", ask)
    scenes = data.Pasted(Squares(), size=64, per_photo=8, **UNCHANGED_SHARES | {"pasted": 1.0, "seamless": 1.0})
    assert all(scene["image"].shape == (64, 64, 3) for scene in scenes)


def test_a_scene_goes_by_seed_and_epoch() -> None:
    first, again, other = (data.Pasted(Squares(), size=32, per_photo=2, seed=seed) for seed in (3, 3, 4))
    for a, b in zip(first, again, strict=True):
        assert np.array_equal(a["image"], b["image"]) and np.array_equal(a["mask"], b["mask"])
    assert any(not np.array_equal(a["image"], b["image"]) for a, b in zip(first, other, strict=True))
    later = first.at_epoch(1)
    assert any(not np.array_equal(a["image"], b["image"]) for a, b in zip(first, later, strict=True))


def test_where_people_are_is_known_of_what_is_pasted() -> None:
    share = UNCHANGED_SHARES | {"pasted": 1.0}
    scenes = data.Pasted(Squares(), size=64, per_photo=30, persons=[0], empty=[3], **share)
    distances: dict[int, list[float]] = {0: [], 128: [], 255: []}
    for scene in scenes:
        for value in np.unique(scene["people"]):
            pixels = scene["image"][scene["people"] == value].astype(float)
            distances[int(value)].append(float(np.median(np.abs(pixels - 250).max(1))))
    # People have the colour of the first disc alone; around the discs nothing is known but of the last photograph.
    assert np.median(distances[255]) < 10 and np.median(distances[0]) > 40 and distances[128]
    without_people = data.Pasted(Squares(), size=64, **share)
    assert all((scene["people"] == 128).all() for scene in without_people)


def test_people_of_a_crowd_stand_beside_one_another() -> None:
    share = UNCHANGED_SHARES | {"pasted": 1.0, "crowded": 1.0}
    scenes = data.Pasted(Squares(), size=64, per_photo=40, persons=[0, 1], **share)
    before = behind = company = 0
    for scene in list(scenes)[:80]:
        people = scene["people"] == 255
        assert people[scene["mask"] > 0].mean() > 0.95
        company += (people & (scene["mask"] == 0)).sum() > 20
        rows, columns = (np.flatnonzero((scene["mask"] > 0).any(axis)) for axis in (1, 0))
        share_of_squares = (scene["mask"] > 0).sum() / (len(rows) * len(columns))
        # A disc fills its box by 0.79; less is seen of one that is behind another.
        behind, before = behind + (share_of_squares < 0.7), before + (share_of_squares > 0.74)
    assert before > 20 and behind > 5 and company > 60
    # Things have no company.
    alone, same = (
        data.Pasted(Squares(), size=64, persons=[0], **x)
        for x in (UNCHANGED_SHARES, UNCHANGED_SHARES | {"crowded": 1.0})
    )
    assert np.array_equal(alone[2]["image"], same[2]["image"]) and not np.array_equal(
        alone[0]["image"], same[0]["image"]
    )


def test_objects_lose_the_pixels_that_others_cover() -> None:
    """Nor is an object the target of which less than two fifths can be seen."""
    left, right = np.zeros((10, 10), bool), np.zeros((10, 10), bool)
    left[:, :5], right[:, 3:] = True, True
    objects = _Objects(left)
    objects.add(right)

    def targets() -> set[bytes]:
        return {objects.one(np.random.default_rng(seed)).tobytes() for seed in range(8)}

    assert targets() == {(left & ~right).tobytes(), right.tobytes()}
    objects.add(left)
    assert targets() == {(right & ~left).tobytes(), left.tobytes()}


def test_what_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"pasted: 1\.5, expected 0 to 1"):
        data.Pasted(Squares(), pasted=1.5)
    with pytest.raises(ArgumentError, match="photos: none of 1 has a mask"):
        data.Pasted(data.Subset(Squares(), [3]))
    with pytest.raises(ArgumentError, match="size"):
        data.Pasted(Squares(), size=4)

    class Empty(Squares):
        def _load(self, index: int) -> dict[str, Any]:
            sample = super()._load(index)
            return sample | ({"mask": np.zeros_like(sample["mask"])} if "mask" in sample else {})

    with pytest.raises(DataError, match="no scene in 8 tries"):
        data.Pasted(Empty(), size=32, **UNCHANGED_SHARES)[0]
