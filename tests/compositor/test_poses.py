"""The networks of poses of `pyharmony.segmentation`: beside the interpreter of TensorFlow Lite, and what masks gain."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyharmony
from pyharmony import _shipped, segmentation
from pyharmony.errors import WeightsError
from pyharmony.segmentation import _methods, _pose_network, _poses, _postures, people
from pyharmony.segmentation._clicks import sigmoid
from pyharmony.segmentation._network import Prompts
from pyharmony.segmentation._poses import Pose, Poses, Square
from pyharmony.segmentation.heads import Head
from pyharmony.segmentation.layers import Layer

from ..shared import ROOT, load_script

pytestmark = pytest.mark.networks

#: What the interpreter (ai-edge-litert 2.3.0) gives for `pattern`, by the files of the wheel of MediaPipe 0.10.21.
GOLDEN = ROOT / "tests" / "golden" / "pose.json"
PHOTO = Path(pyharmony.__file__).parent / "cli" / "images" / "astronaut.jpg"


def pattern(side: int) -> np.ndarray:
    """Returns an image [S, S, 3] in [0, 1] of waves and a disc."""
    y, x = np.mgrid[:side, :side] / side
    disc = (x - 0.5) ** 2 + (y - 0.4) ** 2 < 0.06
    planes = 0.5 + 0.5 * np.sin(9 * x + 4 * y * y), 0.5 + 0.5 * np.cos(14 * y - 5 * x), 0.1 + 0.8 * disc
    return np.stack(planes, 2).astype(np.float32)


def test_the_detector_is_that_of_the_interpreter() -> None:
    golden, detector = json.loads(GOLDEN.read_text())["detector"], _pose_network.networks().detector
    outputs = detector(pattern(detector.side) * 2 - 1)
    boxes = np.concatenate([part.reshape(-1, 12) for part in outputs["boxes"]])
    scores = np.concatenate([part.reshape(-1, 1) for part in outputs["scores"]])
    assert boxes.shape == (2254, 12) and scores.shape == (2254, 1)
    np.testing.assert_allclose(scores[golden["places"], 0], golden["scores"], atol=0.002)
    np.testing.assert_allclose(boxes[golden["places"]], golden["boxes"], atol=0.01)


def test_the_landmarks_are_those_of_the_interpreter() -> None:
    golden, landmarks = json.loads(GOLDEN.read_text())["landmarks"], _pose_network.networks().landmarks
    outputs = landmarks(pattern(landmarks.side))
    (points,), (score,), (mask,) = (outputs[name] for name in ("points", "score", "mask"))
    np.testing.assert_allclose(points.ravel()[:165], golden["points"], atol=0.02)
    assert float(sigmoid(score).reshape(())) == pytest.approx(golden["score"], abs=1e-4)
    np.testing.assert_allclose(mask[8::32, 8::32, 0], golden["mask"], atol=1.0)


def test_damaged_networks_are_named() -> None:
    entry = next(entry for entry in _shipped.every() if entry.name == "pose")
    data = bytearray(entry.path.read_bytes())
    with pytest.raises(WeightsError, match="weights of clicks, expected those of pose"):
        _pose_network.parsed(next(one for one in _shipped.every() if one.name == "clicks").path.read_bytes(), "x")
    at = data.index(b'\\"kind\\": \\"spread\\"')
    data[at : at + 20] = data[at : at + 20].replace(b"spread", b"sprawl")
    with pytest.raises(WeightsError, match=r"x: a damaged safetensors file: ValueError: operation .*sprawl"):
        _pose_network.parsed(bytes(data), "x")
    network = _pose_network.parsed(entry.path.read_bytes(), "x").detector
    bad = np.full((network.side, network.side, 3), np.nan, np.float32)
    with pytest.raises(WeightsError, match="the networks of poses give NaN"):
        network(bad)


def test_many_zeros_are_packed() -> None:
    tool, random = load_script("tools/pose_networks.py"), np.random.default_rng(0)
    for share, names in ((0.5, {"a", "a.bits"}), (1.0, {"a"})):
        array = random.normal(size=(3, 3, 5, 13)) * (random.random((3, 3, 5, 13)) < share)
        arrays = tool.packed("a", array.astype(np.float32))
        assert set(arrays) == names
        np.testing.assert_array_equal(_pose_network._dense(arrays, "a", 13), array.astype(np.float32))


class Level:
    """A table of a flatbuffer, its fields by number."""

    def __init__(self, fields: dict[int, Any]) -> None:
        self.fields = fields

    def number(self, field: int, code: str = "i") -> int:
        return self.fields.get(field, 0)

    def array(self, field: int, dtype: str) -> np.ndarray:
        return np.array(self.fields.get(field, []), dtype)

    def table(self, field: int) -> Any:
        return self.fields.get(field)

    def tables(self, field: int) -> list[Any]:
        return self.fields[field]


def test_sparse_arrays_become_dense() -> None:
    """A matrix of 2 x 6 in rows of blocks of 1 x 2, of which those at columns 1; 0 and 2 are there."""
    listed = {0: 1, 2: 3, 3: Level({0: [0, 1, 3]}), 4: 3, 5: Level({0: [1, 0, 2]})}
    sparsity = Level({0: [0, 1, 2], 1: [1], 2: [Level({1: 2}), Level(listed), Level({1: 2})]})
    array = load_script("tools/pose_networks.py").dense(np.arange(1, 7), (2, 6), sparsity)
    assert array.tolist() == [[0, 0, 1, 2, 0, 0], [3, 4, 0, 0, 5, 6]]


# Poses of a picture


def test_the_pose_of_a_person() -> None:
    picture = segmentation.Session(PHOTO).picture
    (pose,) = Poses(picture).all_poses()
    assert pose.score > 0.9 and pose.detected > 0.5
    nose, mouth, shoulders = pose.points[_poses.NOSE, :2], pose.place(_poses.MOUTH), pose.place(_poses.SHOULDERS)
    assert math.dist(nose, (214, 121)) < 12 and nose[1] < mouth[1] < shoulders[1]
    mask = pose.mask((0, 0, 512, 512), (512, 512)) > 0
    assert mask[115, 224] and mask[300, 224] and not mask[20, 20] and not mask[5, 500]
    assert pose.covers((224, 115)) and not pose.covers((20, 20))
    # A part of the mask is that part of it, at any size.
    part = pose.mask((128, 64, 384, 320), (256, 256)) > 0
    assert np.count_nonzero(part != mask[64:320, 128:384]) < 0.01 * part.size


def test_the_pose_of_a_large_picture_is_that_of_a_small_one() -> None:
    picture = segmentation.Session(PHOTO).picture
    (small,), (large,) = (Poses(x).all_poses() for x in (picture, picture.repeat(4, 0).repeat(4, 1)))
    head_and_shoulders = slice(0, 13)
    off = np.abs(large.points[head_and_shoulders, :2] / 4 - small.points[head_and_shoulders, :2])
    assert off.max() < 0.1 * small.torso


@pytest.mark.parametrize("name", ["coffee.jpg", pytest.param("rocket.jpg", marks=pytest.mark.full)])
def test_without_people_there_is_no_pose(name: str) -> None:
    session, alone = (
        segmentation.Session(PHOTO.with_name(name), method=method) for method in ("auto", "clicks-imagenet-alone")
    )
    assert len(session.people()) == 0 and session.foremost() is None
    height, width = session.picture.shape[:2]
    for at in ((0.5, 0.5), (0.3, 0.6)):
        masks, before = (one.segment(points=(at[0] * width, at[1] * height)) for one in (session, alone))
        assert masks.scores == before.scores and (masks.mask == before.mask).all()


def test_a_square_of_a_picture_may_be_turned() -> None:
    matrix = Square(50, 40, 20, math.pi / 2).matrix(10)
    np.testing.assert_allclose(matrix[:, :2] @ [5, 5] + matrix[:, 2], (50, 40))
    np.testing.assert_allclose(matrix[:, :2] @ [10, 5] + matrix[:, 2], (50, 50), atol=1e-9)
    assert _poses._inside(Square(50, 40, 20, 0.1), (55, 45)) and not _poses._inside(Square(50, 40, 20, 0.1), (70, 40))


def test_one_person_is_detected_once() -> None:
    values = np.array([10, 10, 30, 30, 20, 60, 20, 100], np.float64)
    near, far = _poses._Detection(0.5, values + 2), _poses._Detection(0.4, values + 50)
    first, second = _poses._merged([near, far, _poses._Detection(0.75, values)])
    assert (first.score, second.score) == (0.75, 0.4)
    np.testing.assert_allclose(first.values, values + 0.8)
    square = first.square
    assert square.side == pytest.approx(100) and (square.x, square.y) == pytest.approx((20.8, 60.8))
    # The end lies below the hips, so that the person is upside down.
    assert abs(square.turn) == pytest.approx(math.pi)


def test_of_two_poses_with_one_nose_the_surer_one_stays() -> None:
    poses = [posed((60, 40), score) for score in (0.7, 0.9, 0.4)]
    assert _poses._distinct([*poses, posed((60, 90), 0.8)]) == [poses[1], posed((60, 90), 0.8)]


# Masks


POINTS = {_poses.NOSE: (0, 0), **dict.fromkeys(_poses.EYES, (0, -3)), **dict.fromkeys(_poses.MOUTH, (0, 4)),
          **dict.fromkeys(_poses.SHOULDERS, (0, 20)), **dict.fromkeys(_poses.HIPS, (0, 60))}  # fmt: skip


class Equal(np.ndarray):
    """An array of which comparing poses asks whether it is the same."""

    def __eq__(self, other: Any) -> Any:
        return np.array_equal(self, other)

    __hash__ = None  # type: ignore[assignment]


def posed(nose: tuple[float, float], score: float = 1.0, detected: float = 0.5) -> Pose:
    """Returns a pose whose mask is a square of 40 pixels below the nose."""
    points = np.zeros((33, 4))
    for number, (x, y) in POINTS.items():
        points[number, :2] = nose[0] + x, nose[1] + y
    logits = np.full((32, 32), -50, np.float32)
    logits[8:24, 8:24] = 50
    square = Square(nose[0], nose[1] + 20, 80, 0.0)
    return Pose(score, points.view(Equal), square, logits.view(Equal), detected)


class Told:
    """Poses that are given, and a square around a mask in which nobody is."""

    def __init__(self, *poses: Pose) -> None:
        self.poses = poses
        self.squares: list[Square] = []

    def all_poses(self) -> list[Pose]:
        return [*self.poses]

    def at(self, points: Any) -> Pose | None:
        return next((pose for pose in self.poses if all(map(pose.covers, points))), None)

    def of(self, square: Square) -> Pose:
        self.squares.append(square)
        return posed((0, 0), 0.1)


class Cutter:
    """A cutter of a picture of 200 x 160 pixels that finds a box, where people are in the left half."""

    picture, whole = np.zeros((160, 200, 3), np.uint8), (0, 0, 200, 160)

    def __init__(self, *poses: Pose, heads: tuple[Head, ...] = (), standable: float = 1.0) -> None:
        self.poses: Any = Told(*poses)
        self.standable = lambda: standable
        self.network = type("Network", (), {"size": 64})
        self._heads = heads

    def heads(self) -> list[Head]:
        return [*self._heads]

    def people(self) -> np.ndarray:
        where = np.zeros((80, 100), np.float32)
        where[:, :50] = 0.9
        return where

    def quickly(self, prompts: Prompts) -> Layer:
        left, top, right, bottom = prompts.box or (0, 0, 1, 1)
        return box_layer(left, top, right, bottom)


def box_layer(left: int, top: int, right: int, bottom: int) -> Layer:
    values = np.zeros((160, 200), np.float32)
    values[top:bottom, left:right] = 0.9
    return Layer((0, 0, 200, 160), values, 0.6)


def region(layer: Layer) -> np.ndarray:
    from pyharmony.segmentation.layers import sampled

    return sampled(layer, (0, 0, 200, 160), (200, 160)) > 0.5


def test_a_mask_is_a_mixture_with_that_of_a_pose() -> None:
    cutter, pose = Cutter(), posed((50, 40))
    layer = people.with_poses(cutter, box_layer(10, 40, 60, 80), pose, [(50, 60)])  # type: ignore[arg-type]
    # Where both are sure and disagree, the pose wins, and the score stays that of the mask.
    square = np.zeros((160, 200), bool)
    square[40:80, 30:70] = True
    assert np.count_nonzero(region(layer) ^ square) < 0.1 * square.sum() and layer.score == 0.6
    # The square around the mask was looked at too.
    assert cutter.poses.squares == [Square(35, 60, 62.5, 0.0)]
    doubtful = pose._replace(logits=pose.logits.clip(-1, 1))
    layer = people.with_poses(cutter, box_layer(10, 40, 60, 80), doubtful, [(50, 60)])  # type: ignore[arg-type]
    assert region(layer)[60, 15] and not region(layer)[60, 68]


@pytest.mark.parametrize(
    ("pose", "points"),
    [
        (posed((50, 40), score=0.4), [(50, 60)]),  # the pose is not sure
        (posed((50, 40)), [(12, 60)]),  # the click is beside its mask
        (posed((150, 40)), [(150, 60)]),  # no people are there
    ],
)
def test_a_mask_stays_where_the_pose_does_not_count(pose: Pose, points: list[tuple[float, float]]) -> None:
    cutter, (x, _) = Cutter(), points[0]
    layer = box_layer(int(x) - 10, 40, int(x) + 30, 80)
    assert people.with_poses(cutter, layer, pose, points) is layer  # type: ignore[arg-type]
    sure = posed((150, 40), detected=0.95)
    assert people.with_poses(cutter, box_layer(140, 40, 180, 80), sure, [(150, 60)]).values.max() > 0.5  # type: ignore[arg-type]


def test_without_poses_a_mask_stays() -> None:
    cutter, layer = Cutter(), box_layer(10, 40, 60, 80)
    cutter.poses = None
    assert people.with_poses(cutter, layer, posed((50, 40)), [(50, 60)]) is layer  # type: ignore[arg-type]
    assert people.posed(cutter, [layer], Prompts([(50, 60)], [1])) == [layer]  # type: ignore[arg-type]


def test_the_mask_that_is_most_like_the_pose_is_made_better() -> None:
    # The pose is 30 to 70 by 40 to 80: of a part that comes first, and of all of somebody.
    cutter, part, whole = Cutter(posed((50, 40))), box_layer(45, 40, 55, 80), box_layer(32, 40, 70, 84)
    prompts = Prompts([(50, 60)], [1])
    first, *others = people.posed(cutter, [part, whole], prompts)  # type: ignore[arg-type]
    alone = people.with_poses(cutter, whole, posed((50, 40)), prompts.points)  # type: ignore[arg-type]
    np.testing.assert_array_equal(first.values, alone.values)
    assert others[0] is part
    # Hardly more of the union than the first has does not count.
    like, alike = box_layer(30, 40, 70, 82), box_layer(30, 40, 70, 81)
    first = people.posed(cutter, [like, alike], prompts)[0]  # type: ignore[arg-type]
    alone = people.with_poses(cutter, like, posed((50, 40)), prompts.points)  # type: ignore[arg-type]
    np.testing.assert_array_equal(first.values, alone.values)


def test_who_is_foremost_goes_as_far_as_their_pose() -> None:
    head = Head((40.0, 30.0, 20.0, 20.0), (42.0, 30.0, 10.0, 30.0), 0.8)
    for pose, wider in ((posed((50, 40)), True), (posed((50, 40), 0.4), False), (posed((150, 40)), False)):
        extended = people.as_far_as_pose(Cutter(pose, heads=(head,)), head)  # type: ignore[arg-type]
        assert extended.box == head.box and (extended != head) == wider
    left, top, wide, high = people.as_far_as_pose(Cutter(posed((50, 40))), head).body  # type: ignore[arg-type]
    assert abs(left - 30) < 4 and top == 30 and abs(left + wide - 70) < 4 and abs(top + high - 80) < 4


def test_who_has_a_pose_and_no_head_is_found() -> None:
    head = Head((40, 30, 20, 20), (30, 30, 40, 60), 0.8)
    first, second, lamp = posed((50, 40)), posed((20, 90)), posed((150, 40))
    cutter = Cutter(first, second, lamp, heads=(head, Head((80, 100, 10, 10), (80, 100, 15, 40), 0.9)))
    heads = people.heads_of_people(cutter)  # type: ignore[arg-type]
    # Those with a pose come first; where no people are, nobody is.
    assert [one.sure for one in heads] == [0.8, 1.0, 0.9] and heads[0] is head
    x, y = heads[1].middle
    assert math.dist((x, y), (19.5, 90)) < 1 and heads[1].box[3] == pytest.approx(28)
    groups = people.people_of(cutter)  # type: ignore[arg-type]
    assert len(groups) == 3 and {person.layer.score for person in groups} == {0.8, 0.9, 1.0}
    # A detection that is sure enough counts anywhere.
    cutter.poses = Told(lamp._replace(detected=0.95))
    assert len(people.heads_of_people(cutter)) == 3  # type: ignore[arg-type]
    # The map of people is 0.9 below the first pose, and 0.45 below one half of which is beside them.
    half = posed((100, 40))
    for standable, count in ((0.9, 2), (0.2, 1)):
        cutter = Cutter(first, half, standable=standable)
        assert len(people.heads_of_people(cutter)) == count  # type: ignore[arg-type]


def test_what_lies_on_the_torso_of_somebody_is_no_head() -> None:
    pose = posed((50, 40))
    points = np.array(pose.points)
    points[[*_poses.SHOULDERS, *_poses.HIPS], :2] = (70, 60), (30, 60), (65, 100), (35, 100)
    pose = pose._replace(points=points.view(Equal))
    own = Head((40, 30, 20, 20), (30, 30, 40, 60), 0.6)
    # A print, large enough that the nose is near its middle, a bag beside the hips, and a child's head with a pose.
    body, bag = Head((20, 60, 60, 40), (20, 60, 60, 40), 0.9), Head((70, 90, 20, 20), (70, 90, 20, 20), 0.5)
    child = Head((45, 70, 10, 10), (45, 70, 10, 30), 0.7)
    cutter = Cutter(pose, heads=(body, child, own, bag))
    assert people.apart_from_torsos(cutter) == [own, bag]  # type: ignore[arg-type]
    cutter.poses = Told(pose, posed((50, 75)))
    assert people.apart_from_torsos(cutter) == [child, own, bag]  # type: ignore[arg-type]
    cutter.poses = Told(pose._replace(score=0.1))
    assert people.apart_from_torsos(cutter) == [body, child, own, bag]  # type: ignore[arg-type]
    cutter.poses = None
    assert people.apart_from_torsos(cutter) == [body, child, own, bag]  # type: ignore[arg-type]


# Postures


def whole(knees: float, feet: float, visibility: tuple[float, float] = (1.0, 1.0)) -> Pose:
    """Returns a pose whose mask goes from row 20 to 60 and from column 30 to 70, with its hips in row 42."""
    pose = posed((50, 20))
    points = np.array(pose.points)
    points[list(_poses.SHOULDERS)], points[list(_poses.HIPS)] = (50, 30, 1, 1), (50, 42, 1, 1)
    points[25:27], points[27:33] = (50, knees, visibility[0], 1), (50, feet, visibility[1], 1)
    return pose._replace(points=points.view(Equal))


def box_mask(left: int, top: int, right: int, bottom: int, factor: int = 1) -> np.ndarray:
    mask = np.zeros((160, 200), np.uint8)
    mask[top:bottom, left:right] = 255
    return mask[::factor, ::factor]


@pytest.mark.parametrize(
    ("pose", "feet", "seat"),
    [
        (whole(51, 59), 60.0, None),  # stands
        (whole(51, 56), 60.0, None),  # on skis
        (whole(51, 61), 60.0, None),  # in grass
        (whole(51, 66), None, None),  # the mask lacks the feet
        (whole(51, 50), None, None),  # it goes on below them
        (whole(51, 59, (1.0, 0.3)), None, None),  # something hides them
        (whole(45, 59), 60.0, 42.0),  # sits
        (whole(45, 59, (0.3, 1.0)), 60.0, None),  # knees are guessed
    ],
)
def test_a_posture_is_where_the_points_of_a_pose_are(pose: Pose, feet: float | None, seat: float | None) -> None:
    for factor in (1, 2):
        posture = _postures.posture_of(Cutter(pose), box_mask(30, 20, 70, 60, factor))  # type: ignore[arg-type]
        assert posture is not None and (posture.feet, posture.seat) == (feet, seat)
        assert posture.head == pytest.approx((38.8, 6.5, 22.4, 28.0))


def test_nobody_has_the_posture_of_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    pose = whole(51, 59)
    for cutter, mask in ((Cutter(), box_mask(30, 20, 70, 60)), (Cutter(pose), box_mask(60, 50, 100, 90)),
                         (Cutter(pose), box_mask(0, 0, 0, 0))):  # fmt: skip
        assert _postures.posture_of(cutter, mask) is None  # type: ignore[arg-type]
    # A second look at a square around the mask finds whom the detector missed.
    cutter = Cutter()
    monkeypatch.setattr(cutter.poses, "of", lambda square: cutter.poses.squares.append(square) or pose)
    assert _postures.posture_of(cutter, box_mask(30, 20, 70, 60)) is not None  # type: ignore[arg-type]
    (square,) = cutter.poses.squares
    assert (square.x, square.y, square.side) == pytest.approx((50, 40, 50), abs=2) and square.turn == 0
    cutter.poses = None
    assert _postures.posture_of(cutter, box_mask(30, 20, 70, 60)) is None  # type: ignore[arg-type]


def test_a_pose_is_a_second_opinion_on_who_is_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cutter, "people", lambda self: np.full((80, 100), 0.3, np.float32))
    mask = box_mask(30, 20, 70, 60)
    assert _postures.shows_people(Cutter(whole(51, 59)), mask)  # type: ignore[arg-type]
    assert not _postures.shows_people(Cutter(), mask)  # type: ignore[arg-type]
    # Where hardly any people are, a pose has to be detected for sure.
    monkeypatch.setattr(Cutter, "people", lambda self: np.full((80, 100), 0.1, np.float32))
    assert not _postures.shows_people(Cutter(whole(51, 59)), mask)  # type: ignore[arg-type]
    assert _postures.shows_people(Cutter(whole(51, 59)._replace(detected=0.95)), mask)  # type: ignore[arg-type]


def test_a_session_tells_the_posture_of_whom_the_frame_cut() -> None:
    session = segmentation.Session(PHOTO)
    mask = session.segment(points=(224, 115)).mask
    posture = session.posture(mask)
    assert posture is not None and posture.feet is None and posture.seat is None
    x, y, wide, high = posture.head
    assert x < 224 < x + wide and y < 115 < y + high and session.shows_people(mask)
    small = session.posture(mask[::2, ::2])
    assert small is not None and small.feet is None
    assert segmentation.Session(PHOTO, method="clicks-imagenet-alone").posture(mask) is None


# The methods


def test_without_the_weights_all_is_as_without_poses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    alone = segmentation.Session(PHOTO, method="clicks-imagenet-alone")
    assert alone._cutter.poses is None and alone.finds_people
    entries = [entry for entry in _shipped.every() if entry.name != "pose"]
    monkeypatch.setattr(_shipped, "every", lambda: entries)
    assert not _pose_network.are_there()
    session = segmentation.Session(PHOTO)
    assert session.method == "clicks-imagenet" and session._cutter.poses is None
    for call in (lambda one: one.people(), lambda one: one.segment(points=(224, 115))):
        masks, before = call(session), call(alone)
        assert masks.scores == before.scores and (masks.mask == before.mask).all()
    with pytest.raises(WeightsError, match="poses need the weights 'pose'"):
        _pose_network.networks()


def test_where_the_file_is_left_out_nothing_asks_for_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for path in _shipped.FOLDER.iterdir():
        if not path.name.startswith("pose"):
            (tmp_path / path.name).symlink_to(path)
    monkeypatch.setattr(_shipped, "FOLDER", tmp_path)
    assert not _pose_network.are_there()
    assert len(pyharmony.segment(PHOTO, all_people=True)) == 1
    with pytest.raises(WeightsError, match="there is no such file, expected the weights pose"):
        _pose_network.networks()


def test_a_click_on_a_person_is_made_better() -> None:
    with _shipped.noted() as weights:
        session = segmentation.Session(PHOTO)
        masks = session.segment(points=(224, 300))
    assert set(weights) == {"clicks-imagenet", "pose"}
    before = segmentation.Session(PHOTO, method="clicks-imagenet-alone").segment(points=(224, 300))
    assert (masks.mask != before.mask).any() and len(masks) <= 3
    assert masks.mask[115, 224] > 200 and masks.mask[300, 224] > 200 and masks.mask[20, 20] < 50
    # In a box nothing beyond it is taken.
    boxed = session.segment(points=[(224, 115)], box=(100, 0, 250, 256)).mask
    assert boxed[115, 224] > 200 and not boxed[290:].any()


def test_the_methods_tell_which_has_poses() -> None:
    alone = _methods.METHODS["clicks-imagenet-alone"]
    assert alone.detects_people and not alone.missing
    assert segmentation.METHODS["clicks-imagenet"].opened(np.zeros((20, 30, 3), np.uint8)).poses is not None
