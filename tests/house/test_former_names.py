"""Former names of arguments and fields work for one release, and warn; both names together are refused."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from typer.testing import CliRunner

import pyharmony
from pyharmony import (
    _shipped,
    augment,
    batch,
    blend,
    composition,
    data,
    evaluation,
    harmonization,
    merging,
    ops,
    placement,
    segmentation,
    training,
    upscaling,
)
from pyharmony._public import FORMER
from pyharmony.cli._app import app as cli
from pyharmony.errors import ArgumentError, DTypeError, PyHarmonyWarning, RunError
from pyharmony.learn.training import _config
from pyharmony.reference import gaussian_poisson as definition

from ..shared import need, put

pytestmark = pytest.mark.house

IMAGE = np.random.default_rng(0).integers(60, 190, (64, 64, 3), np.uint8)
SOURCE = np.ascontiguousarray(IMAGE[::-1])
MASK = np.zeros((64, 64), np.uint8)
MASK[20:40, 16:44] = 255
LIKE = MASK[::-1] & ~MASK
DONOR = augment.Donor(SOURCE, MASK, label=1)
#: A call of each function with former names, without the arguments that have them.
CALLS: dict[str, Callable[..., Any]] = {
    "ComposeInfo.__init__": lambda **own: composition.ComposeInfo((), {}, {}, IMAGE, (), **own).alternatives,
    "CopyPaste.__init__": lambda **own: augment.CopyPaste([DONOR], n=2, **own)(
        {"image": IMAGE, "labels": [], **({"tags": ["day"]} if own.keys() & {"others", "image_keys"} else {})}, index=1
    ),
    "DataConfig.__init__": lambda **own: training.DataConfig(**own).crop_share,
    "MergedPart.__init__": lambda **own: merging.MergedPart((0, 0, 9, 9), crossing=0.0, taken=True, **own).people_share,
    "Method.__init__": lambda **own: segmentation.Method("mine", "a method", len, **own).detects_people,
    "TFRecordPairs.__init__": lambda **own: data.TFRecordPairs(**own).names,
    "TarShards.__init__": lambda **own: data.TarShards(**own).names,
    "cutout": lambda **own: segmentation.cutout(IMAGE, MASK, **own),
    "gaussian_poisson": lambda **own: (
        blend.gaussian_poisson(SOURCE, IMAGE, MASK, preserve_background=False, **own),
        ops.gaussian_poisson(SOURCE, IMAGE, MASK, IMAGE, **own),
        definition.gaussian_poisson(SOURCE, IMAGE, MASK / 255, IMAGE, **own),
    ),
    "gaussian_poisson_tiles": lambda **own: ops.gaussian_poisson_tiles(
        SOURCE, IMAGE, MASK, IMAGE, np.empty_like(IMAGE), **own
    ),
    "gp_gan": lambda **own: blend.gp_gan(SOURCE, IMAGE, MASK, preserve_background=False, **own),
    "harmonize": lambda **own: pyharmony.harmonize(IMAGE, MASK, method="mkl", **own),
    "harmonize_frames": lambda **own: [*harmonization.harmonize_frames([IMAGE], [MASK], method="mkl", **own)],
    "harmonizer": lambda **own: evaluation.harmonizer(device="cpu", **own)(IMAGE, MASK),
    "harmony_score": lambda **own: pyharmony.harmony_score(IMAGE, MASK, device="cpu", **own),
    "judge": lambda **own: evaluation.judge(device="cpu", **own)(IMAGE, IMAGE, MASK),
    "place": lambda **own: placement.place(SOURCE, IMAGE, mask=MASK, people=[], person=False, **own),
    "realism_score": lambda **own: pyharmony.realism_score(IMAGE, MASK, device="cpu", **own),
    "run": lambda **own: batch.run("harmonize", "photos", "out", options={"method": "mkl"}, restart=True, **own).counts,
    "trained": lambda **own: [
        room.trained(**{k: Path(f"{name}.safetensors") for k in own}).summary
        for room, name in ((segmentation, "clicks"), (upscaling, "srgan"))
    ],
    "segment": lambda **own: pyharmony.segment(IMAGE, **own).boxes,
}
#: A value of each argument that has a former name.
VALUES: dict[tuple[str, str], Any] = {
    ("ComposeInfo.__init__", "others"): ({},),
    ("CopyPaste.__init__", "harmonize"): 1.0,
    ("CopyPaste.__init__", "others"): ["tags"],
    ("DataConfig.__init__", "crop"): 0.2,
    ("MergedPart.__init__", "people"): 0.5,
    ("Method.__init__", "people"): True,
    ("TFRecordPairs.__init__", "source"): "one.tfrecord",
    ("TarShards.__init__", "source"): ["one.tar"],
    ("cutout", "crop"): True,
    ("gaussian_poisson", "reference"): True,
    ("gaussian_poisson_tiles", "reference"): True,
    ("gp_gan", "generator"): "gp-gan-small",
    ("gp_gan", "reference"): True,
    ("harmonize", "reference"): LIKE,
    ("harmonize_frames", "reference"): [LIKE],
    ("harmonizer", "source"): "colorgrid",
    ("harmony_score", "weights"): "colorgrid",
    ("judge", "source"): "realism-small",
    ("place", "cut"): ["bottom"],
    ("place", "most"): 1.5,
    ("place", "others"): MASK,
    ("place", "roll"): 5.0,
    ("realism_score", "model"): "realism-small",
    ("run", "others"): {"mask": "mask.png"},
    ("segment", "people"): True,
    ("trained", "weights"): "",
}
#: What functions need beside NumPy.
NEEDS = dict.fromkeys(("gp_gan", "harmonizer", "harmony_score", "judge", "realism_score"), "torch")
NEEDS["TFRecordPairs.__init__"] = "google_crc32c"

every_name = pytest.mark.parametrize(("function", "old"), VALUES, ids=lambda name: name.removesuffix(".__init__"))


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.chdir(tmp_path)
    function = getattr(request.node, "callspec", None) and request.node.callspec.params.get("function", "")
    if function in NEEDS:
        need(NEEDS[function])
    sample: Any = {"name": "a", "composite": IMAGE, "target": SOURCE, "mask": MASK}
    if function == "TFRecordPairs.__init__":
        data.write_tfrecord([sample], "one.tfrecord")
    elif function == "trained":
        for name, file in (("clicks", "clicks-imagenet"), ("srgan", "srgan-light")):
            shutil.copy(cast(Any, _shipped.named(file)).path, f"{name}.safetensors")
    elif function == "run":
        put(Path("photos/one.png"), IMAGE)
        put(Path("mask.png"), MASK)
    elif function == "TarShards.__init__":
        data.write_tar_shards([sample], "folder")
        next(Path("folder").glob("*.tar")).rename("one.tar")


def test_every_former_name_is_tried() -> None:
    assert {(function, old) for function, names in FORMER.items() for old in names} == VALUES.keys()


@pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning")
@every_name
def test_a_former_name_does_the_same_and_warns(function: str, old: str) -> None:
    new = FORMER[function][old]
    with pytest.warns(
        DeprecationWarning, match=f"^{old}: it is called {new} now; the next release does not"
    ) as records:
        former = CALLS[function](**{old: VALUES[function, old]})
    assert {Path(one.filename) for one in records if one.category is DeprecationWarning} == {Path(__file__)}
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        np.testing.assert_equal(former, CALLS[function](**{new: VALUES[function, old]}))


@every_name
def test_both_names_together_are_refused(function: str, old: str) -> None:
    new, value = FORMER[function][old], VALUES[function, old]
    with pytest.raises(
        ArgumentError, match=f"^{old}: passed beside {new}, its new name; expected one of them"
    ) as error:
        CALLS[function](**{old: value, new: value})
    assert error.value.argument == old


def test_a_value_by_position_counts() -> None:
    with pytest.raises(ArgumentError, match="source: passed beside network, its new name"):
        evaluation.judge("realism-small", source="realism-small")  # type: ignore[call-arg]
    with pytest.raises(DTypeError, match="sauce: no argument of judge"):
        evaluation.judge("realism-small", source="realism-small", sauce=3)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("record", "old", "new"),
    [
        (composition.ComposeInfo((), {}, {}, IMAGE, (), ({},)), "others", "alternatives"),
        (merging.MergedPart((0, 0, 9, 9), 0.5, 0.0, True), "people", "people_share"),
        (segmentation.METHODS["grabcut"], "people", "detects_people"),
        (training.DataConfig(crop_share=0.2), "crop", "crop_share"),
        (segmentation.Session(IMAGE), "others", "other_people"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_former_field_is_the_new_one_and_warns(record: Any, old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"^{old}: it is called {new} now"):
        assert getattr(record, old) == getattr(record, new)


def test_tables_of_a_training_run_have_former_keys() -> None:
    older: dict[str, Any] = {"model": {"name": "dovenet"}, "data": {"crop": 0.2}, "schedule": {"steps": 1}}
    with pytest.warns(DeprecationWarning, match=r"^data\.crop: it is called crop_share now"):
        config = training.config_of(older)
    newer = {**older, "data": {"crop_share": 0.2}}
    assert config == training.config_of(newer)
    with pytest.warns(DeprecationWarning, match=r"^data\.crop: "):
        assert training.with_changes(newer, ["data.crop=0.3"])["data"] == {"crop_share": 0.3}
    with pytest.warns(DeprecationWarning, match=r"^data\.crop: "):
        assert config.value("data.crop") == 0.2
    with pytest.raises(ArgumentError, match=r"^data\.crop: passed beside crop_share, its new name"):
        training.config_of({**older, "data": {"crop": 0.2, "crop_share": 0.2}})
    # A run that was begun with the old name goes on.
    digest = _config.digest(config)
    assert _config.differences(digest.replace("crop_share", "crop"), config) == ""
    assert "data.crop_share was 0.3" in _config.differences(digest.replace('crop_share": 0.2', 'crop": 0.3'), config)


def test_recipes_have_former_keys() -> None:
    subject, scene = np.dstack([SOURCE, MASK]), np.pad(IMAGE, ((8, 8), (8, 8), (0, 0)))
    expected, info = pyharmony.compose(subject, scene, at=(8, 8), people=[], harmonize="mkl", return_info=True)
    older = json.loads(
        json.dumps(info.recipe).replace('"cropped_sides"', '"cut"').replace("reference_heads", "reference")
    )
    with pytest.warns(DeprecationWarning, match="recipe: subjects") as records:
        result = pyharmony.compose(subject, scene, recipe=older)
    assert [str(one.message).partition(" now")[0] for one in records if one.category is DeprecationWarning] == [
        "recipe: subjects[0].cut: it is called cropped_sides",
        "recipe: subjects[0].harmonize.reference: it is called reference_heads",
    ]
    np.testing.assert_array_equal(result, expected)
    older["subjects"][0]["cropped_sides"] = []
    with pytest.raises(ArgumentError, match=r"^recipe: subjects\[0\]\.cut: passed beside cropped_sides, its new name"):
        pyharmony.compose(subject, scene, recipe=older)


def test_items_of_a_paste_have_former_names() -> None:
    item = {"src": SOURCE, "mask": MASK, "method": "gaussian_poisson"}
    with pytest.warns(DeprecationWarning, match=r"^items\[0\]: reference: it is called as_published now"):
        result = blend.paste_many(IMAGE.copy(), [{**item, "reference": False}])
    np.testing.assert_array_equal(result, blend.paste_many(IMAGE.copy(), [{**item, "as_published": False}]))


def write_row(table: str, row: dict[str, str]) -> None:
    text = json.dumps(row) if table.endswith("jsonl") else ",".join(row) + "\n" + ",".join(row.values())
    Path(table).write_text(text + "\n")


@pytest.mark.parametrize("table", ["rows.csv", "rows.jsonl"])
def test_tables_have_former_names(table: str) -> None:
    for name, pixels in (("image", IMAGE), ("mask", MASK), ("like", LIKE)):
        put(Path(f"{name}.png"), pixels)
    row = {"image": "image.png", "mask": "mask.png", "reference": "like.png"}
    write_row(table, row)
    with pytest.warns(
        PyHarmonyWarning, match=f"^{table}: columns with old names, .*: reference is called reference_ma"
    ):
        report = batch.run("harmonize", table, "out", options={"method": "mkl"}, jobs=1)
    assert report.counts["done"] == 1
    expected = pyharmony.harmonize(IMAGE, MASK, method="mkl", reference_mask=LIKE)
    np.testing.assert_array_equal(pyharmony.load(*Path("out").glob("*.png")), expected)
    write_row(table, {**row, "reference_mask": "like.png"})
    if table.endswith("csv"):
        with pytest.raises(RunError, match="column 'reference' occurs twice"):
            batch.run("harmonize", table, "both", jobs=1)
    else:
        with pytest.warns(PyHarmonyWarning, match="columns with old names"):
            (error,) = batch.run("harmonize", table, "both", jobs=1).errors
        assert "reference beside reference_mask, its new name" in error["message"]


#: The command lines with former options, and the same with the present ones.
COMMANDS = {
    "blend image.png scene.png mask.png -o out.png --harmonize --method mkl": "blend image.png scene.png mask.png -o "
    "out.png --harmonize mkl",
    "blend image.png scene.png mask.png -o out.png --method=mkl": "blend image.png scene.png mask.png -o out.png "
    "--harmonize mkl",
    "blend --harmonize image.png scene.png mask.png -o out.png": "blend image.png scene.png mask.png -o out.png "
    "--harmonize auto",
    "harmonize image.png mask.png -o out.png --model none.safetensors": "harmonize image.png mask.png -o out.png "
    "--network none.safetensors",
    "segment image.png -o out.png --box 9,9,30,30 --model none.safetensors --crop": "segment image.png -o out.png "
    "--box 9,9,30,30 --network none.safetensors --crop-to-mask",
    "super-resolve image.png -o out.png --model none.safetensors": "super-resolve image.png -o out.png "
    "--network none.safetensors",
    "evaluate --data . --model none.safetensors": "evaluate --data . --network none.safetensors",
    "place image.png scene.png --mask mask.png --thing --most=0.5 --top=2": "place image.png scene.png --mask mask.png "
    "--no-person --max-scale 0.5 -k 2",
    "compose image.png scene.png -o out.png --azimuth 999": "compose image.png scene.png -o out.png "
    "--shadow-azimuth 999",
}


@pytest.mark.parametrize("words", COMMANDS)
def test_commands_take_former_options_and_warn(words: str) -> None:
    for name, image in (("image", SOURCE), ("scene", IMAGE), ("mask", MASK)):
        put(Path(f"{name}.png"), image)
    results = []
    for line in (words, COMMANDS[words]):
        name, *arguments = line.split()
        if name not in ("place", "compose", "evaluate"):
            arguments.append("--overwrite")
        result = CliRunner().invoke(cli, [name, *arguments])
        out = Path("out.png").read_bytes() if Path("out.png").exists() else b""
        lines = [re.sub(r", [\d.]+ s", "", one) for one in result.stderr.splitlines()]
        results.append((result.exit_code, result.stdout, out, lines))
    (*former, lines), (*present, expected) = results
    assert former == present
    old = {"blend": 1, "segment": 2, "place": 3}.get(words.split()[0], 1)
    assert lines[old:] == expected and len(expected) <= 2
    assert all(re.search("^warning: --.* now.*; the next release does not take the old ", one) for one in lines[:old])


def test_former_options_of_commands_beside_the_present_ones_are_refused() -> None:
    for words, text in (
        ("evaluate --data . --model a --network b", "--model: passed beside --network, its new name"),
        (
            "blend a.png b.png -o c --harmonize mkl --method xue",
            "--method: passed beside --harmonize, its new name",
        ),
        ("place a.png b.png --top 3 -k 2", "--top: passed beside -k, its new name"),
    ):
        result = CliRunner().invoke(cli, words.split())
        assert result.exit_code == 2 and text in result.stderr


def test_blends_have_the_former_form_of_harmonize() -> None:
    for name, image in (("image", SOURCE), ("scene", IMAGE), ("mask", MASK)):
        put(Path(f"{name}.png"), image)
    row = {"src": "image.png", "dst": "scene.png", "mask": "mask.png", "out": "a.png"}
    write_row("rows.csv", {**row, "harmonize": "mkl"})
    batch.run("blend", "rows.csv", "new", jobs=1)
    for name, columns, options in (
        ("rows", {"harmonize": "yes", "method": "mkl"}, {}),
        ("method", {"method": "mkl"}, {}),
        ("options", {}, {"harmonize": True, "method": "mkl"}),
    ):
        write_row("rows.csv", {**row, **columns})
        with pytest.warns(DeprecationWarning, match="^harmonize: it takes the name of a method now, such as auto"):
            report = batch.run("blend", "rows.csv", name, options=options, jobs=1)
        assert report.counts["done"] == 1
        np.testing.assert_array_equal(pyharmony.load(f"{name}/a.png"), pyharmony.load("new/a.png"))


def test_requests_for_blends_have_the_former_form_of_harmonize() -> None:
    need("pydantic", "starlette")
    from pyharmony.serve._bodies import BlendBody

    images = {"src": "0" * 32, "dst": "1" * 32, "mask": "2" * 32}
    new = BlendBody(**images, harmonize="mkl", strength=0.5).task(str, "out.png", "mask.png")
    with pytest.warns(DeprecationWarning, match="^harmonize: it takes the name of a method now"):
        old = BlendBody(**images, harmonize=True, method="mkl", strength=0.5).task(str, "out.png", "mask.png")
    assert new.harmonize == old.harmonize == {"method": "mkl", "strength": 0.5} and new.mode == old.mode == "alpha"
    with pytest.warns(DeprecationWarning, match="^harmonize: it takes"):
        assert BlendBody(**images, harmonize=False).task(str, "out.png", "mask.png").harmonize is None


def test_options_of_a_run_have_former_names() -> None:
    put(Path("photos/grey.png"), IMAGE * 0)
    with pytest.warns(DeprecationWarning, match="^people: it is called all_people now"):
        report = batch.run("segment", "photos", "people", options={"people": True}, jobs=1)
    assert "no person was found" in report.errors[0]["message"]
