"""`pyharmony segment`: clicks, boxes, people, annotations, networks of others, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pyharmony import segmentation
from pyharmony.errors import NO_REASON
from pyharmony.segmentation.layers import Layer

from ..compositor.test_segmentation import BOX, DISC, Colours, annotations, box_mask, finding, iou, scene, weights
from ..shared import runners

pytestmark = [pytest.mark.networks, pytest.mark.usefixtures("one_torch_thread")]

call, report_of = runners("segment")
__all__ = ["finding", "weights"]
GRABCUT_OPTIONS = ("--method", "grabcut")


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    Image.fromarray(scene()).save(tmp_path / "scene.png")
    monkeypatch.chdir(tmp_path)


def alpha(path: str) -> np.ndarray:
    return np.asarray(Image.open(path))[..., 3]


def test_a_click_gives_a_cut_out() -> None:
    result = report_of("scene.png", "--output", "out.png", "--points", "40,40", "--beside", "85,45", *GRABCUT_OPTIONS)
    assert Image.open("out.png").mode == "RGBA" and iou(alpha("out.png"), box_mask()) > 0.9
    (mask,) = result["masks"]
    assert result["method"] == "grabcut" and mask["box"][2] == pytest.approx(BOX[2], abs=3)
    call("scene.png", "-o", "out.png", "--points", "40,40", *GRABCUT_OPTIONS, code=2)
    cut = np.asarray(Image.open("out.png"))
    assert not cut[cut[..., 3] == 0].any()
    call(
        "scene.png", "-o", "whole.png", "--points", "40,40", "--beside", "85,45", *GRABCUT_OPTIONS, "--keep-background"
    )
    whole = np.asarray(Image.open("whole.png"))
    assert whole[whole[..., 3] == 0][:, :3].any() and (whole[..., 3] == cut[..., 3]).all()


def test_several_clicks_are_one_list_or_several() -> None:
    for output, clicks in (
        ("list.png", ("--points", "40,40,45,38", "--beside", "85,45,5,5")),
        ("several.png", ("--points", "40,40", "--points", "45,38", "--beside", "85,45", "--beside", "5,5")),
    ):
        call("scene.png", "-o", output, *clicks, *GRABCUT_OPTIONS)
    np.testing.assert_array_equal(alpha("list.png"), alpha("several.png"))


def test_boxes_and_coarse_masks() -> None:
    box = ",".join(map(str, (BOX[0] - 4, BOX[1] - 4, BOX[2] + 8, BOX[3] + 8)))
    call("scene.png", "-o", "mask.png", "--box", box, "--mask-only", *GRABCUT_OPTIONS)
    mask = np.asarray(Image.open("mask.png"))
    assert mask.ndim == 2 and iou(mask, box_mask()) > 0.9
    call("scene.png", "-o", "out.png", "--mask", "mask.png", "--crop-to-mask", *GRABCUT_OPTIONS)
    assert Image.open("out.png").size == pytest.approx((BOX[2], BOX[3]), abs=3)
    call("scene.png", "-o", "small.png", "--mask", "mask.png", "--crop-to-mask", "--mask-only", *GRABCUT_OPTIONS)
    assert Image.open("small.png").size == Image.open("out.png").size


def test_lines_add_and_remove() -> None:
    call("scene.png", "-o", "line.png", "--scribble", "25,25,50,30,50,60", *GRABCUT_OPTIONS)
    assert iou(alpha("line.png"), box_mask()) > 0.9

    def cut(path: str, *lines: str) -> tuple[bool, bool]:
        """Returns whether the box and the disc are cut out."""
        call("scene.png", "-o", path, "--scribble", "25,25,50,30,50,60", *lines, *GRABCUT_OPTIONS)
        values = alpha(path)
        return bool(values[BOX[1] + 25, BOX[0] + 20] > 200), bool(values[DISC[1], DISC[0]] > 200)

    # The next line adds the disc, and one beside the object takes it away again.
    disc = "75,45,95,45,85,55"
    assert cut("both.png", "--scribble", disc) == (True, True)
    assert cut("one.png", "--scribble", "85,30,85,32", "--scribble-beside", disc) == (True, False)


def test_outlines_and_masks_add_and_remove() -> None:
    left, top = BOX[0] - 5, BOX[1] - 5
    right, bottom = left + BOX[2] + 10, top + BOX[3] + 10
    around = ",".join(map(str, (left, top, right, top, right, bottom, left, bottom)))
    call("scene.png", "-o", "outline.png", "--lasso", around, "--tolerance", "8", *GRABCUT_OPTIONS)
    assert iou(alpha("outline.png"), box_mask()) > 0.9
    disc, half = "62,22,108,22,108,68,62,68", "0,0,40,0,40,89,0,89"
    call("scene.png", "-o", "both.png", "--lasso", around, "--lasso", disc, "--lasso-beside", half, *GRABCUT_OPTIONS)
    both = alpha("both.png")
    assert both[DISC[1], DISC[0]] > 200 and both[40, 55] > 200 and both[40, 25] < 50
    Image.fromarray(np.uint8(255 * box_mask())).save("box.png")
    for option, other in (("--include", "outline.png"), ("--exclude", "nothing.png")):
        call("scene.png", "-o", other.replace(".", "-2."), "--points", "85,45", option, "box.png", *GRABCUT_OPTIONS)
    assert (alpha("outline-2.png")[box_mask()] == 255).all()
    assert not alpha("nothing-2.png")[box_mask()].any() and alpha("nothing-2.png")[DISC[1], DISC[0]] > 200


def test_every_answer_is_written(weights: Path) -> None:
    words = ("scene.png", "--points", "40,40", "--network", weights)
    result = report_of(*words, "-o", "cut.png", "--every")
    names = [one["output"] for one in result["masks"]]
    assert names == [f"cut-{i + 1}.png" for i in range(len(names))] and len(names) > 1
    assert result["output"] == "cut-1.png" and not Path("cut.png").exists()
    masks = segmentation.segment("scene.png", points=(40, 40), method=segmentation.trained(weights))
    for i, name in enumerate(names):
        assert np.array_equal(alpha(name), masks.alpha(i))
    # The first one is the best, and by their areas they go from part to whole.
    scores, areas = ([one[key] for one in result["masks"]] for key in ("score", "area"))
    assert scores == sorted(scores, reverse=True) and tuple(areas) == masks.areas
    areas_of_files = [int((alpha(name) >= 128).sum()) for name in names]
    assert (
        len(set(areas_of_files)) == len(areas_of_files)
        and np.argsort(areas).tolist() == np.argsort(areas_of_files).tolist()
    )
    # Nothing is written if one of the files is there already.
    for name in ("cut-1.png", "cut-2.png"):
        Path(name).rename(f"old-{name}")
    Path("cut-2.png").write_bytes(b"mine")
    assert "cut-2.png: already exists" in call(*words, "-o", "cut.png", "--every", code=2).stderr
    assert not Path("cut-1.png").exists() and Path("cut-2.png").read_bytes() == b"mine"
    assert "wrote cut-1.png to cut-" in call(*words, "-o", "cut.png", "--every", "--overwrite").stderr


def test_one_answer_has_a_number_too() -> None:
    box = ",".join(map(str, BOX))
    call("scene.png", "-o", "mask.tif", "--box", box, "--every", "--mask-only", *GRABCUT_OPTIONS)
    assert iou(np.asarray(Image.open("mask-1.tif")), box_mask()) > 0.9 and not Path("mask-2.tif").exists()


def test_everybody_gets_a_file(finding: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two people are found where the box and the disc are: each one alone, and without --every both of them."""
    y, x = np.mgrid[:90, :120]
    shapes = [box_mask(), np.hypot(x - DISC[0], y - DISC[1]) < DISC[2]]
    layers = [Layer((0, 0, 120, 90), shape.astype(np.float32), 0.9) for shape in shapes]
    heads = ((30, 15, 10, 10), (80, 23, 10, 10))
    monkeypatch.setattr(segmentation.Session, "people", lambda self: self._masks(layers, NO_REASON, heads))
    words = ("scene.png", "--all-people", "--network", finding, "--mask-only")
    result = report_of(*words, "-o", "person.png", "--every")
    assert [(one["output"], tuple(one["head"])) for one in result["masks"]] == [
        ("person-1.png", heads[0]), ("person-2.png", heads[1])
    ]  # fmt: skip
    for i, shape in enumerate(shapes):
        assert iou(np.asarray(Image.open(f"person-{i + 1}.png")), shape) > 0.9
    assert "trained, 2 people, " in call(*words, "-o", "all.png").stderr
    both = report_of(*words, "-o", "all.png", "--overwrite")
    assert both["output"] == "all.png" and "output" not in both["masks"][0]
    assert iou(np.asarray(Image.open("all.png")), shapes[0] | shapes[1]) > 0.9


def test_people_and_weights_of_the_user(weights: Path, finding: Path) -> None:
    call("scene.png", "-o", "out.png", "--points", "40,40", "--network", weights)
    assert Image.open("out.png").mode == "RGBA"
    Image.new("RGB", (40, 30), (9, 9, 9)).save("plain.png")
    result = call("plain.png", "-o", "people.png", "--all-people", "--network", finding, code=3)
    assert "no person was found; nothing was written" in result.stderr and not Path("people.png").exists()
    assert "one colour" in call("plain.png", "-o", "x.png", "--points", "3,3", "--network", weights, code=3).stderr


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_networks_of_others(tmp_path: Path) -> None:
    encoder, decoder = Colours.pair(tmp_path, planes=True)
    call("scene.png", "-o", "out.png", "--points", "40,40", "--encoder", encoder, "--decoder", decoder)
    assert iou(alpha("out.png"), box_mask()) > 0.9
    call("scene.png", "-o", "two.png", "--points", "40,40", "--encoder", encoder, code=2)
    call("scene.png", "-o", "two.png", "--points", "40,40", "--salient", "none.onnx", code=3)
    call("scene.png", "-o", "two.png", "--points", "40,40", "--salient", decoder, *GRABCUT_OPTIONS, code=2)


def test_annotations_get_masks(tmp_path: Path) -> None:
    result = report_of(".", "-o", "masks.json", "--annotations", annotations(tmp_path), *GRABCUT_OPTIONS, code=5)
    assert result["masks"] == 1 and [p["name"] for p in result["problems"]] == ["none.png", "../a.png", "5"]
    table = json.loads(Path("masks.json").read_text())
    assert table["annotations"][0]["segmentation"]["size"] == [90, 120] and table["categories"][0]["name"] == "box"
    call(".", "-o", "masks.json", "--annotations", "none.json", *GRABCUT_OPTIONS, "--overwrite", code=3)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--points", "400,4"), 2, "--points: (400, 4) is outside of the image"),
        (("--points", "a,b"), 2, "--points: 'a,b', expected X,Y"),
        (("--box", "1,2,3"), 2, "--box: '1,2,3', expected X,Y,W,H"),
        (("--box", "300,2,30,30"), 2, "--box: (300, 2, 30, 30) is outside of an image of 120 x 90 pixels"),
        ((), 2, "no prompt; expected --points, --scribble, --box, --lasso or --mask"),
        (("--beside", "4,4"), 2, "no prompt on the object; expected --points, --scribble, --box, --lasso or --mask"),
        (("--scribble-beside", "4,4,9,9"), 2, "no prompt; expected --points, --scribble, --box, --lasso or --mask"),
        (("--lasso", "4,4,9,9"), 2, "--lasso or --lasso-beside: 2 points, expected at least three"),
        (("--points", "40,40", "--include", "absent.png"), 3, "absent.png: no such file"),
        (("--points", "40,40", "--exclude", "small.png"), 3, "--exclude: 9 x 9 pixels, expected 120 x 90"),
        (("--points", "40,40", "--tolerance", "3"), 2, "--tolerance: 3.0 without a mask"),
        (("--scribble", "4,4,9"), 2, "--scribble: '4,4,9', expected X,Y,X,Y…, such as 120,80,160,90"),
        (("--scribble", "4,4,9,400"), 2, "--scribble or --scribble-beside: (9, 400) is outside of the image"),
        (("--points", "40,40", "--scribble-beside", "-4,4,9,9"), 2, "--scribble-beside: (-4, 4) is outside"),
        (("--all-people", "--scribble", "4,4,9,9"), 2, "exclude each other"),
        (("--annotations", "a.json", "--every"), 2, "--every and --annotations exclude each other"),
        (("--all-people", "--points", "4,4"), 2, "exclude each other"),
        (("--mask", "none.png"), 3, "none.png"),
        (("--all-people",), 2, "method: 'grabcut' does not detect people"),
        (("-o", "out.jpg", "--points", "4,4"), 2, "the image has one; use PNG, WEBP, TIFF, AVIF, JXL\n"),
    ],
)
def test_what_cannot_be_is_said(arguments: tuple[str, ...], code: int, says: str) -> None:
    Image.new("L", (9, 9), 255).save("small.png")
    assert says in call("scene.png", "-o", "out.png", *arguments, *GRABCUT_OPTIONS, code=code).stderr
    assert not Path("out.png").exists()


def test_a_file_that_cannot_be_read_is_named_once() -> None:
    Path("cut.png").write_bytes(Path("scene.png").read_bytes()[:60])
    for name in ("cut.png", "none.png"):
        message = call(name, "-o", "out.png", "--points", "4,4", *GRABCUT_OPTIONS, code=3).stderr
        assert message.count(name) == 1, message
    piped = call("-", "-o", "out.png", "--points", "4,4", *GRABCUT_OPTIONS, code=3).stderr
    assert piped.startswith("error: stdin is empty"), piped


def test_streams() -> None:
    import subprocess
    import sys

    process = subprocess.run(
        [sys.executable, "-m", "pyharmony", "segment", "-", "-o", "-", "--points", "40,40", *GRABCUT_OPTIONS],
        input=Path("scene.png").read_bytes(), capture_output=True, check=True,
    )  # fmt: skip
    Path("out.png").write_bytes(process.stdout)
    assert iou(alpha("out.png"), box_mask()) > 0.9
    call("scene.png", "-o", "-", "--points", "40,40", "--json", *GRABCUT_OPTIONS, code=2)
    assert (
        "write to files"
        in call("scene.png", "-o", "-", "--points", "40,40", "--every", *GRABCUT_OPTIONS, code=2).stderr
    )


def test_what_it_says() -> None:
    words = ("scene.png", "-o", "out.png", "--points", "40,40", "--overwrite", *GRABCUT_OPTIONS)
    assert "wrote out.png: grabcut" in call(*words).stderr and "wrote" in call(*words, "--verbose").stderr
    assert call(*words, "--quiet").stderr == ""
    assert json.loads(call(*words, "--log-json").stderr.splitlines()[-1])["message"].startswith("wrote out.png")
    assert (
        "Traceback"
        in call("scene.png", "-o", "out.png", "--points", "400,4", "--debug", *GRABCUT_OPTIONS, code=2).stderr
    )
