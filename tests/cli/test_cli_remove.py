"""`pyharmony remove`: a mask or prompts, its report, and its refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import pyharmony
from pyharmony import segmentation
from pyharmony.cli._app import app
from pyharmony.cli._pictures import IMAGES

pytestmark = pytest.mark.chains

PHOTO, CLICK = IMAGES / "cowgirl.jpg", "294,271"


def test_points_and_masks_name_the_same_thing(tmp_path: Path) -> None:
    by_points, by_mask = tmp_path / "points.png", tmp_path / "mask.png"
    result = CliRunner().invoke(app, ["remove", str(PHOTO), "--points", CLICK, "-o", str(by_points), "--json"])
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert record["status"] == "ok" and 0 < record["share"] < 0.5
    mask = segmentation.Session(PHOTO).segment(points=(294, 271))[0]
    Image.fromarray(mask).save(tmp_path / "thing.png")
    words = ["remove", str(PHOTO), "--mask", str(tmp_path / "thing.png"), "-o", str(by_mask)]
    assert CliRunner().invoke(app, words).exit_code == 0
    photo = np.asarray(Image.open(PHOTO))
    expected, info = pyharmony.remove(photo, mask, return_info=True)
    for path in (by_points, by_mask):
        assert np.array_equal(np.asarray(Image.open(path)), expected)
    assert "--overwrite" in CliRunner().invoke(app, [*words, "--quality", "90"]).output
    assert CliRunner().invoke(app, [*words, "--overwrite", "--quiet"]).exit_code == 0
    assert (expected == photo)[info.mask == 0].all() and (expected != photo)[mask > 0].any(1).mean() > 0.9


def test_a_doubtful_cut_out_is_noted(tmp_path: Path) -> None:
    """A click on the sky may mean the sky, a cloud or the pier: `segment` and `remove` say so, and what helps."""
    photo, mask = IMAGES / "pier.jpg", tmp_path / "mask.png"
    for words in (["segment", "-o", str(mask), "--mask-only"], ["remove", "-o", str(tmp_path / "out.png")]):
        words[1:1] = [str(photo), "--points", "100,200"]
        result = CliRunner().invoke(app, words)
        assert "\nparts of the cut-out are a guess; click the missing and the wrong parts too" in f"\n{result.stderr}"
        record = json.loads(CliRunner().invoke(app, [*words, "--overwrite", "--json"]).stdout)
        assert "vague-outline" in record["doubt_codes"] and len(record["doubts"]) == len(record["doubt_codes"])


@pytest.mark.filterwarnings("ignore:.*filled from the rest:pyharmony.errors.PyHarmonyWarning")
def test_other_prompts_say_it_too(tmp_path: Path) -> None:
    whole = np.asarray(Image.open(PHOTO))
    lasso = [(190, 140), (400, 140), (400, 620), (190, 620)]
    prompts = {
        "--box": ("195,150,200,470", pyharmony.segment(PHOTO, box=(195, 150, 200, 470)).mask),
        "--beside": ("120,60", pyharmony.segment(PHOTO, points=[(294, 271), (120, 60)], labels=[1, 0]).mask),
        "--lasso": (",".join(f"{x},{y}" for x, y in lasso), pyharmony.segment(PHOTO, lasso=lasso).mask),
    }
    for number, (option, (text, mask)) in enumerate(prompts.items()):
        words = ["remove", str(PHOTO), option, text, "-o", str(tmp_path / f"{number}.png"), "--keep-gps"]
        if option == "--beside":
            words += ["--points", CLICK]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
        assert np.array_equal(np.asarray(Image.open(tmp_path / f"{number}.png")), pyharmony.remove(whole, mask))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "expected --mask, or --points, --box or --lasso, of what to take away"),
        (["--mask", str(PHOTO), "--points", CLICK], "expected --mask, or --points"),
        (["--points", "9999,9999"], "points"),
        (["--points", CLICK, "--grow", "2000"], "--grow"),
        (["--mask", "none.png"], "--mask"),
        (["--points", CLICK, "--grow", "900"], "error: --points: 100% of the image with its growth"),
        (["--lasso", "9,9,99,9,99,99", "--box", "9,9,9,9", "--grow", "900"], "error: --box and --lasso: 100% of"),
        (["--points", CLICK, "--beside", "9999,3"], "error: --beside: (9999, 3) is outside of the image"),
        (["--beside", "9,9"], "error: --beside: no prompt on the object; expected --points, --box or --lasso"),
    ],
)
def test_what_is_wrong_is_said(words: list[str], message: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["remove", str(PHOTO), *words, "-o", str(tmp_path / "out.png")])
    assert result.exit_code in (2, 3) and message in result.output, result.output
    assert not (tmp_path / "out.png").exists()
