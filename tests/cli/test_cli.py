"""The command line: each option and exit code, files and streams, lists, and the page that documents it."""

from __future__ import annotations

import csv
import importlib.util
import inspect
import json
import os
import pty
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image, ImageFilter
from typer.main import get_command
from typer.testing import CliRunner

import pyharmony
from pyharmony import blend, errors, harmonization
from pyharmony import typing as words
from pyharmony._calls.batches import BATCHES
from pyharmony.cli import _demo, _pictures
from pyharmony.cli._app import app
from pyharmony.errors import RunError, UnchangedWarning
from pyharmony.runs._jobs.failures import Code, as_failure
from pyharmony.runs.batch._folder import FOLDER

from ..shared import CLIPS, FLOODS, GUARDED, ROOT, load_script, pixels

pytestmark = pytest.mark.house

PATCH = ("patch.png", "coffee.jpg", "patch_mask.png", "--at", "86,180")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the demo's images; a cut-out with alpha, a map and a base in the coffee's frame."""
    folder = tmp_path_factory.mktemp("pictures")
    for path in _pictures.IMAGES.iterdir():
        shutil.copy(path, folder)
    cutout = Image.open(folder / "patch.png").convert("RGB")
    cutout.putalpha(Image.open(folder / "patch_mask.png"))
    cutout.save(folder / "cutout.png")
    ramp = np.broadcast_to(np.linspace(0, 255, 600).astype(np.uint8), (400, 600))
    Image.fromarray(ramp).save(folder / "map.png")
    Image.fromarray(np.asarray(Image.open(folder / "coffee.jpg"))[:, ::-1]).save(folder / "base.png")
    (folder / "broken.png").write_bytes((folder / "patch.png").read_bytes()[:3000])
    return folder


@pytest.fixture(autouse=True)
def _in_folder(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Yields a new folder with the images; what the command line sets for a process is set back afterwards."""
    for path in pictures.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    threads = pyharmony.get_num_threads()
    yield
    pyharmony.set_num_threads(threads)
    pyharmony.set_device("auto")


def call(*arguments: object, stdin: bytes | None = None, code: int = 0) -> Any:
    """Runs the command line in this process."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], input=stdin)
    assert result.exit_code == code, (result.stderr, result.exception)
    return result


def process(*arguments: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "pyharmony", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=60, **options)


def patch_arrays() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return pixels("patch.png"), pixels("coffee.jpg"), pixels("patch_mask.png")


def inputs() -> set[str]:
    return {path.name for path in _pictures.IMAGES.iterdir()} | {"cutout.png", "map.png", "base.png", "broken.png"}


def made() -> set[str]:
    """Returns the names in the folder that are not inputs."""
    return {path.name for path in Path().iterdir()} - inputs()


# Options reach the blends


OPTIONS: list[tuple[str, Callable[..., Any], dict[str, Any]]] = [
    ("", blend.gaussian_poisson, {}),
    ("--mode poisson", blend.poisson, {}),
    ("--scale 0.6", blend.gaussian_poisson, {"scale": 0.6}),
    ("--mode alpha --scale 1.5", blend.alpha, {"scale": 1.5}),
    ("--mode poisson --gradients mixed", blend.poisson, {"gradients": "mixed"}),
    ("--mode poisson --gradients average", blend.poisson, {"gradients": "average"}),
    ("--mode poisson --gradients monochrome", blend.poisson, {"gradients": "monochrome"}),
    ("--mode poisson --contour full", blend.poisson, {"contour": "full"}),
    ("--mode poisson --color-weight 0.3", blend.poisson, {"color_weight": 0.3}),
    ("--mode poisson --tolerance 0.01", blend.poisson, {"tolerance": 0.01}),
    ("--mode alpha", blend.alpha, {}),
    ("--mode alpha --feather 6.5", blend.alpha, {"feather": 6.5}),
    ("--mode alpha --no-decontaminate", blend.alpha, {"decontaminate": False}),
    ("--mode laplacian", blend.laplacian, {}),
    ("--mode laplacian --levels 2", blend.laplacian, {"levels": 2}),
    ("--mode gaussian-poisson", blend.gaussian_poisson, {}),
    ("--mode gaussian-poisson --color-weight 2 --sigma 0.7", blend.gaussian_poisson, {"color_weight": 2, "sigma": 0.7}),
    ("--mode gaussian-poisson --contour full", blend.gaussian_poisson, {"contour": "full"}),
    ("--mode gaussian-poisson --smooth-sigma 2", blend.gaussian_poisson, {"smooth_sigma": 2}),
    ("--mode gaussian-poisson --base copy-paste", blend.gaussian_poisson, {"base": "copy-paste"}),
    ("--mode gaussian-poisson --base membrane --decontaminate", blend.gaussian_poisson, {}),
    ("--mode gaussian-poisson --no-preserve-background", blend.gaussian_poisson, {"preserve_background": False}),
    ("--mode gaussian-poisson --preserve-background", blend.gaussian_poisson, {}),
    (
        "--mode gaussian-poisson --no-preserve-background --as-published",
        blend.gaussian_poisson,
        {"preserve_background": False, "as_published": True},
    ),
    ("--mode gaussian-poisson --gradient-kernel sobel", blend.gaussian_poisson, {"gradient_kernel": "sobel"}),
]


@CLIPS
@pytest.mark.parametrize(("options", "function", "arguments"), OPTIONS, ids=[o[0] or "default" for o in OPTIONS])
def test_an_option_is_the_argument_of_its_name(options: str, function: Any, arguments: dict[str, Any]) -> None:
    call("blend", *PATCH, "-o", "out.png", *options.split())
    assert np.array_equal(pixels("out.png"), function(*patch_arrays(), at=(86, 180), **arguments))


def test_unknown_pixels_of_dst_are_black_in_a_file() -> None:
    src, dst, mask = patch_arrays()
    valid = blend.placed_mask(src, dst, mask, at=(86, 180)) == 0
    Image.fromarray(valid * np.uint8(255)).save("valid.png")
    for mode in ("gaussian-poisson", "poisson", "laplacian", "alpha"):
        call("blend", *PATCH, "-o", "out.png", "--mode", mode, "--dst-valid", "valid.png", "--overwrite")
        function = getattr(blend, mode.replace("-", "_"))
        assert np.array_equal(pixels("out.png"), function(src, dst, mask, at=(86, 180), dst_valid=valid))
    assert "absent.png" in call("blend", *PATCH, "-o", "no.png", "--dst-valid", "absent.png", code=3).stderr
    message = call("blend", *PATCH, "-o", "no.png", "--dst-valid", "out.png", code=3).stderr
    assert "dst_valid (out.png): a colour image" in message


def test_nodata_of_a_geotiff_is_unknown_as_by_dst_valid() -> None:
    """`blend` and `batch blend` read the value from dst; its place stays in the result."""
    tifffile = pytest.importorskip("tifffile", reason="tifffile is not installed")
    src, dst, mask = patch_arrays()
    dst = dst.clip(1, 255)
    dst[:, 150:] = 0
    valid = np.ones(dst.shape[:2], bool)
    valid[:, 150:] = False
    tags = [(33550, 12, 3, (10.0, 10.0, 0.0), True), (33922, 12, 6, (0.0, 0.0, 0.0, 5e5, 4e6, 0.0), True)]
    tifffile.imwrite("dst.tif", dst, photometric="rgb", extratags=[*tags, (42113, 2, 0, "0", True)])
    images = ("patch.png", "dst.tif", "patch_mask.png", "--at", "86,180")
    Path("rows.csv").write_text("src,dst,mask,out\n" + ",".join([*images[:3], "batch.tif"]) + "\n")
    for mode in ("gaussian-poisson", "poisson", "laplacian", "alpha"):
        expected = getattr(blend, mode.replace("-", "_"))(src, dst, mask, at=(86, 180), dst_valid=valid)
        call("blend", *images, "-o", "out.tif", "--mode", mode, "--overwrite")
        call("batch", "blend", "rows.csv", "-o", f"many-{mode}", "--mode", mode, "--at", "86,180")
        for out in ("out.tif", f"many-{mode}/batch.tif"):
            with tifffile.TiffFile(out) as file:
                np.testing.assert_array_equal(file.asarray(), expected, err_msg=f"{mode} {out}")
                assert file.pages[0].tags[42113].value == "0" and 33550 in file.pages[0].tags
    tifffile.imwrite("dst.tif", dst * 0, photometric="rgb", extratags=[(42113, 2, 0, "0", True)])
    assert "every pixel is masked or has the nodata" in call("blend", *images, "-o", "no.tif", code=3).stderr
    assert not Path("no.tif").exists()


def test_an_erased_object_is_told_of_with_its_file_and_the_option() -> None:
    src, dst, mask = patch_arrays()
    erased = dst.copy()
    erased[blend.placed_mask(src, dst, mask, at=(86, 180)) > 0] = 0
    Image.fromarray(erased).save("erased.png")
    message = call("blend", *[name.replace("coffee.jpg", "erased.png") for name in PATCH], "-o", "out.png").stderr
    assert "erased.png: nearly one colour, (0, 0, 0), under" in message and "or black in --dst-valid" in message


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Returns the file of weights of a small GP-GAN from noise."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from pyharmony.networks import models

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "noise.safetensors"
    models.save(models.create("gp_gan", supervised=False, width=4, nz=6, critic_width=4), path)
    return str(path)


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ("", {}),
        ("--unsupervised --nz 6", {"supervised": False}),
        ("--n-iteration 2 --seed 4", {"n_iteration": 2, "seed": 4}),
        ("--color-weight 2 --sigma 0.7 --smooth-sigma 2", {"color_weight": 2, "sigma": 0.7, "smooth_sigma": 2}),
    ],
)
def test_an_option_of_gp_gan_is_the_argument_of_its_name(weights: str, options: str, arguments: dict[str, Any]) -> None:
    call("blend", *PATCH, "-o", "out.png", "--mode", "gp-gan", "--network", weights, *options.split())
    assert np.array_equal(pixels("out.png"), blend.gp_gan(*patch_arrays(), at=(86, 180), network=weights, **arguments))


def test_gp_gan_says_which_weights_it_needs(weights: str) -> None:
    for options, says in (
        (("--network", "gp_gan"), "--network: pyharmony comes without weights"),
        (("--network", "absent.safetensors"), "--network: absent.safetensors: there is no such file"),
        (("--network", weights, "--supervised"), "the generator from noise, and --supervised needs the blending"),
    ):
        assert says in call("blend", *PATCH, "-o", "out.png", "--mode", "gp-gan", *options, code=6).stderr
    assert not made()


@FLOODS
def test_the_base_may_be_a_picture() -> None:
    call("blend", *PATCH, "-o", "out.png", "--mode", "gaussian-poisson", "--base", "base.png")
    expected = blend.gaussian_poisson(*patch_arrays(), at=(86, 180), base=np.ascontiguousarray(pixels("base.png")))
    assert np.array_equal(pixels("out.png"), expected)


@pytest.mark.parametrize("position", ["-5,3", "10.5,-2.25", "550,390", "-200,-200"])
@pytest.mark.parametrize("form", ["--at={}", "--at {}"])
def test_a_position_may_be_negative_and_fractional(position: str, form: str) -> None:
    call("blend", *PATCH[:3], *form.format(position).split(), "--mode", "alpha", "-o", "out.png")
    x, y = map(float, position.split(","))
    context: Any = pytest.warns(UnchangedWarning, match="the object lies outside dst") if x < -100 else nullcontext()
    with context:
        expected = blend.alpha(*patch_arrays(), at=(x, y))
    assert np.array_equal(pixels("out.png"), expected)


@pytest.mark.parametrize("scale", [None, 0.25, 3])
def test_the_map_of_weights_is_a_grey_picture(scale: float | None) -> None:
    more = () if scale is None else ("--color-weight-scale", scale)
    call("blend", *PATCH, "-o", "out.png", "--color-weight", "map.png", *more)
    weight = pixels("map.png").astype(np.float32) / np.float32(255) * np.float32(scale or 1)
    assert np.array_equal(pixels("out.png"), blend.gaussian_poisson(*patch_arrays(), at=(86, 180), color_weight=weight))


def test_a_map_of_weights_in_colour_is_refused() -> None:
    result = call("blend", *PATCH, "-o", "out.png", "--color-weight", "coffee.jpg", code=3)
    assert "coffee.jpg" in result.stderr


def test_alpha_is_a_mask() -> None:
    call("blend", "cutout.png", "coffee.jpg", "--at", "86,180", "-o", "out.png", "--no-decontaminate")
    src, dst, mask = patch_arrays()
    expected = blend.gaussian_poisson(np.dstack([src, mask]), dst, at=(86, 180), decontaminate=False)
    assert np.array_equal(pixels("out.png"), expected)


EDITS: list[tuple[str, Callable[..., Any], dict[str, Any]]] = [
    ("--mode texture-flattening", blend.texture_flattening, {}),
    ("--mode texture-flattening --low 2 --high 9", blend.texture_flattening, {"low": 2, "high": 9}),
    ("--mode illumination-change --alpha 0.3 --beta 0.2", blend.illumination_change, {"alpha": 0.3, "beta": 0.2}),
    (
        "--mode detail-boost --gain 2 --color-weight 0.1 --tolerance 0.01",
        blend.detail_boost,
        {"gain": 2, "color_weight": 0.1, "tolerance": 0.01},
    ),
    ("--mode inpaint", blend.inpaint, {}),
]


@pytest.mark.parametrize(("options", "function", "arguments"), EDITS, ids=[o[0] for o in EDITS])
def test_an_edit_takes_one_picture(options: str, function: Any, arguments: dict[str, Any]) -> None:
    report = json.loads(call("edit", "cat.png", "cat_mask.png", "-o", "out.png", "--json", *options.split()).stdout)
    assert report["schema"] == "pyharmony.edit/1"
    assert report["image"]["path"] == "cat.png"
    assert np.array_equal(pixels("out.png"), function(pixels("cat.png"), pixels("cat_mask.png"), **arguments))


def test_edits_have_lists_streams_and_exit_codes() -> None:
    call("edit", "-", "-o", "whole.png", "--mode", "texture-flattening", stdin=Path("cat.png").read_bytes())
    assert np.array_equal(pixels("whole.png"), blend.texture_flattening(pixels("cat.png")))
    write_list([("cat.png", "cat_mask.png", "a.png", "2"), ("absent.png", "", "b.png", "")], "image,mask,out,gain")
    call("edit", "--list", "list.csv", "--mode", "detail-boost", code=5)
    assert np.array_equal(pixels("a.png"), blend.detail_boost(pixels("cat.png"), pixels("cat_mask.png"), gain=2))
    for arguments, code, says in (
        ("", 2, "IMAGE is missing"),
        # An edit nobody asked for is none: its mode is required.
        ("cat.png -o o.png", 2, "--mode is missing, expected one of texture-flattening, illumination-change"),
        ("--list list.csv -o folder", 3, "line 2: --mode is missing"),
        ("cat.png --mode inpaint -o o.png", 2, "--mode inpaint needs MASK"),
        (
            "cat.png --gain 3 --mode texture-flattening -o o.png",
            2,
            "--gain cannot be used with --mode texture-flattening; it goes with detail-boost",
        ),
        ("cat.png --mode texture-flattening --low 9 --high 2 -o o.png", 2, "--low: 9"),
        ("cat.png --mode illumination-change --alpha 0 -o o.png", 2, "--alpha: 0"),
        ("absent.png --mode detail-boost -o o.png", 3, "image (absent.png): no such file"),
    ):
        assert says in call("edit", *arguments.split(), code=code).stderr


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ("--feather 2", ("--feather", "--mode gaussian-poisson", "alpha")),
        ("--gradients mixed", ("--gradients", "--mode gaussian-poisson", "it goes with poisson")),
        ("--mode alpha --gradients mixed", ("--gradients", "--mode alpha", "poisson")),
        ("--mode laplacian --contour full", ("--contour", "--mode laplacian", "gaussian-poisson, poisson")),
        ("--mode laplacian --color-weight 1", ("--color-weight", "--mode laplacian", "gaussian-poisson")),
        ("--mode alpha --levels 3", ("--levels", "--mode alpha", "laplacian")),
        ("--mode poisson --sigma 0.5", ("--sigma", "--mode poisson", "gaussian-poisson")),
        ("--mode laplacian --tolerance 1", ("--tolerance", "--mode laplacian")),
        ("--mode gaussian-poisson --seed 1", ("--seed", "--mode gaussian-poisson", "gp-gan")),
    ],
)
def test_an_option_of_another_mode_is_refused_by_name(options: str, names: tuple[str, ...]) -> None:
    result = call("blend", *PATCH, "-o", "out.png", *options.split(), code=2)
    assert all(name in result.stderr for name in names)
    assert len(result.stderr.splitlines()) == 1
    assert not made()


#: The file that tests each of the commands that are not tested here.
OTHER_TEST_FILES = {
    "apply-edit": "test_cli_apply_edit",
    "batch": "test_batch",
    "compose": "test_cli_compose",
    "data crop": "test_synthesis",
    "data synth": "test_synthesis",
    "data": "test_cli_data",
    "evaluate": "test_cli_evaluate",
    "harmonize": "test_cli_harmonize",
    "mcp": "test_mcp",
    "merge": "test_cli_compose",
    "models": "test_cli_models",
    "place": "test_cli_place",
    "reflection": "test_cli_shadow",
    "remove": "test_cli_remove",
    "segment": "test_cli_segment",
    "serve": "test_server",
    "shadow": "test_cli_shadow",
    "sign": "test_credentials",
    "super-resolve": "test_cli_super_resolve",
    "train": "test_cli_train",
}


def commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def test_every_option_has_a_test() -> None:
    for name, command in commands(get_command(app)):
        file = next((file for start, file in OTHER_TEST_FILES.items() if name.startswith(start)), "test_cli")
        # The options of a batch that its operation has are tested with that.
        single = get_command(app).commands.get(name.removeprefix("batch ")) if name.startswith("batch ") else None
        own = {option for p in single.params for option in (*p.opts, *p.secondary_opts)} if single else set()
        files = {f"{one}.py" for one in (file, "shared", "test_hints", "test_batch")}
        text = "".join(path.read_text() for path in (ROOT / "tests").rglob("*.py") if path.name in files)
        for parameter in command.params:
            for option in (*parameter.opts, *parameter.secondary_opts):
                is_tested = option in own or re.search(rf"{option}\b", text)
                assert not option.startswith("--") or is_tested, f"{name} {option}"


# Files


def test_the_result_has_the_kind_of_its_name() -> None:
    for name, kind in (("out.jpg", "JPEG"), ("out.png", "PNG"), ("out.webp", "WEBP"), ("out.tif", "TIFF")):
        call("blend", *PATCH, "-o", name)
        assert Image.open(name).format == kind
    call("blend", *PATCH, "-o", "picture", "--format", "jpeg")
    assert Image.open("picture").format == "JPEG"


def test_borders_touch_in_a_panorama() -> None:
    call("blend", "patch.png", "coffee.jpg", "patch_mask.png", "--at", "-20,60", "--wrap", "x", "-o", "round.png")
    result, coffee = (np.asarray(Image.open(name)) for name in ("round.png", "coffee.jpg"))
    changed = (result != coffee).any((0, 2))
    assert changed[0] and changed[-1] and not changed[len(changed) // 2]
    mask = np.zeros(coffee.shape[:2], np.uint8)
    mask[100:140, -8:] = mask[100:140, :8] = 255
    Image.fromarray(mask).save("scratch.png")
    call("edit", "coffee.jpg", "scratch.png", "--mode", "inpaint", "--wrap", "x", "-o", "healed.png")
    healed = np.asarray(Image.open("healed.png")).astype(int)
    steps = [np.abs(x[100:140, 0] - x[100:140, -1]).mean() for x in (healed, coffee.astype(int))]
    assert steps[0] < 0.5 * steps[1]


def test_the_alpha_of_dst_is_that_of_both_or_is_kept() -> None:
    coffee = Image.open("coffee.jpg").convert("RGBA")
    coffee.putalpha(100)
    coffee.save("faint.png")
    call("blend", "patch.png", "faint.png", "patch_mask.png", "--at", "86,180", "-o", "over.png")
    call("blend", "patch.png", "faint.png", "patch_mask.png", "--at", "86,180", "-o", "kept.png", "--keep-alpha")
    over, alpha = (np.asarray(Image.open(name))[..., 3] for name in ("over.png", "kept.png"))
    assert over.max() == 255 and over.min() == 100 and (alpha == 100).all()


def test_quality_makes_a_file_larger() -> None:
    call("blend", *PATCH, "-o", "small.jpg", "--quality", 30)
    call("blend", *PATCH, "-o", "large.jpg", "--quality", 95)
    call("blend", *PATCH, "-o", "default.jpg")
    assert os.path.getsize("small.jpg") < os.path.getsize("large.jpg") == os.path.getsize("default.jpg")


def test_the_quality_of_the_original_keeps_what_is_unchanged() -> None:
    pytest.importorskip("jpeglib", reason="jpeglib is not installed")
    call("blend", *PATCH, "-o", "kept.jpg", "--quality", "original", "--save-mask", "kept-mask.png")
    call("blend", *PATCH, "-o", "again.jpg", "--quality", "95")
    before, original_quality, again = (pixels(name).astype(int) for name in ("coffee.jpg", "kept.jpg", "again.jpg"))
    far = np.asarray(Image.open("kept-mask.png").filter(ImageFilter.MaxFilter(65))) == 0
    assert far.mean() > 0.5 and (original_quality[far] == before[far]).all() and (again[far] != before[far]).any()
    assert not (original_quality == before).all()
    Path("list.csv").write_text("src,dst,mask,at,out,quality\n" + ",".join(
        ["patch.png", "coffee.jpg", "patch_mask.png", '"86,180"', "listed.jpg", "original"]))  # fmt: skip
    call("blend", "--list", "list.csv")
    assert ((pixels("listed.jpg") == before).all(2)).mean() > 0.5
    for arguments, text in (
        ("patch.png coffee.jpg patch_mask.png --at 86,180 -o o.png --quality original", "the file to write is PNG"),
        ("patch.png patch.png patch_mask.png -o o.jpg --quality original", "the image is from a file of PNG\n"),
        ("patch.png coffee.jpg patch_mask.png --at 86,180 -o o.jpg --quality best", "'best', expected original or a"),
        ("patch.png coffee.jpg patch_mask.png --at 86,180 -o o.jpg --quality 101", "a whole number from 1 to 100"),
    ):
        error = call("blend", *arguments.split(), code=2).stderr
        assert error.startswith("error: --quality: ") and text in error
    assert not Path("o.jpg").exists()


def test_the_place_is_kept_when_asked_for() -> None:
    picture = Image.open("coffee.jpg")
    exif = picture.getexif()
    exif[0x010F] = "a camera"
    exif.get_ifd(0x8825)[1] = "N"
    picture.save("tagged.jpg", exif=exif)
    for options, place in (((), {}), (("--keep-gps",), {1: "N"})):
        call(
            "blend",
            "patch.png",
            "tagged.jpg",
            "patch_mask.png",
            "--at",
            "86,180",
            "-o",
            "o.jpg",
            "--overwrite",
            *options,
        )
        tags = Image.open("o.jpg").getexif()
        assert tags[0x010F] == "a camera"
        assert dict(tags.get_ifd(0x8825)) == place


@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_input_may_be_stdin(place: int) -> None:
    names = list(PATCH)
    stdin = Path(names[place]).read_bytes()
    names[place] = "-"
    call("blend", *names, "-o", "out.png", stdin=stdin)
    assert np.array_equal(pixels("out.png"), blend.gaussian_poisson(*patch_arrays(), at=(86, 180)))


def test_stdout_is_png_unless_a_format_is_named() -> None:
    import io

    image = Image.open(io.BytesIO(call("blend", *PATCH, "-o", "-").stdout_bytes))
    assert image.format == "PNG"
    assert np.array_equal(np.asarray(image), blend.gaussian_poisson(*patch_arrays(), at=(86, 180)))
    assert Image.open(io.BytesIO(call("blend", *PATCH, "-o", "-", "--format", "webp").stdout_bytes)).format == "WEBP"


def test_a_named_pipe_is_no_file_to_replace() -> None:
    import threading

    os.mkfifo("pipe.png")
    chunks: list[bytes] = []
    reader = threading.Thread(target=lambda: chunks.append(Path("pipe.png").read_bytes()))
    reader.start()
    call("blend", *PATCH, "-o", "pipe.png")
    reader.join()
    Path("whole.png").write_bytes(chunks[0])
    assert np.array_equal(pixels("whole.png"), blend.gaussian_poisson(*patch_arrays(), at=(86, 180)))


TRIPLES, SCENES, SHADOWED = "sets/triples", "sets/scenes", "coffee.jpg map.png -o"
COMPOSED, BLENDED = "cutout.png coffee.jpg --at 10,10 -o", f"{' '.join(PATCH)} -o"
#: The options by which a command writes, with words that are accepted but for a file OLD or a folder DIR.
OUTPUT_OPTIONS: dict[str, dict[str, str]] = {
    "apply-edit": {
        "--output": "coffee.jpg coffee.jpg -o OLD.png", "--show": "coffee.jpg coffee.jpg -o x.png --show OLD.png"
    },
    "blend": {"--output": f"{BLENDED} OLD.png", "--save-mask": f"{BLENDED} x.png --save-mask OLD.png"},
    "compose": {
        "--output": f"{COMPOSED} OLD.png",
        "--explain": f"{COMPOSED} x.png --explain OLD.png",
        "--layers": f"{COMPOSED} x.png --layers OLD.ora",
        "--save-recipe": f"{COMPOSED} x.png --save-recipe OLD.json",
    },
    "edit": {"--output": "coffee.jpg --mode detail-boost -o OLD.png"},
    "harmonize": {"--output": f"{SHADOWED} OLD.png --method mkl"},
    "merge": {"--output": "coffee.jpg base.png -o OLD.png"},
    "place": {"--explain": "cutout.png coffee.jpg --explain OLD.png"},
    "reflection": {"--output": f"{SHADOWED} OLD.png", "--layer": f"{SHADOWED} x.png --layer OLD.png"},
    "remove": {"--output": "coffee.jpg --mask map.png -o OLD.png"},
    "shadow": {"--output": f"{SHADOWED} OLD.png", "--layer": f"{SHADOWED} x.png --layer OLD.png"},
    "segment": {"--output": "coffee.jpg --points 300,200 -o OLD.png"},
    "super-resolve": {"--output": "patch.png -o OLD.png"},
    "demo": {"--output": "-o DIR"},
    "train": {
        "--output": f"--model attention_unet --data {TRIPLES} -o DIR --set data.size=32 --set model.depth=5 "
        "--set model.width=2 --set schedule.steps=2"
    },
    "evaluate": {
        option: f"--data {TRIPLES} --judge realism-cnn {option} {path}"
        for option, path in (
            ("--csv", "OLD.csv"), ("--markdown", "OLD.md"), ("--sheet", "OLD.png"), ("--realism-maps", "DIR")
        )
    },
    "models convert": {"--output": "published.pth pix2pix -o OLD.safetensors"},
    "models export": {"--output": "dovenet-lite -o OLD.onnx"},
    "data synth": {
        "--output": "sets/photos -o DIR",
        "--sheet": "sets/photos -o x --sheet OLD.png",
        "--left-out": "sets/photos -o x --keep 0.5 --left-out OLD.png",
    },
    "data crop": {"--output": f"{SCENES} -o DIR", "--sheet": f"{SCENES} -o x --sheet OLD.png"},
    "data stats": {"--sheet": f"{TRIPLES} --sheet OLD.png"},
    "data split": {"--output": f"{TRIPLES} -o OLD.csv"},
    "data shard": {"--output": f"{TRIPLES} -o DIR --size 32"},
    **{
        f"batch {name}": {
            "--output": f"rows.csv -o DIR {'--mask-only' if name == 'segment' else ''}",
            "--results": "rows.csv -o x --results OLD.csv",
        }
        for name in BATCHES
    },
}  # fmt: skip
#: Options of files and folders that are read.
READ = (
    "--mask", "--people", "--other-people", "--with", "--dst-valid", "--network", "--source",
    "--source-mask", "--reference-mask", "--recipe", "--annotations", "--encoder", "--decoder", "--salient",
    "--token-file", "--resume", "--run", "--judge", "--also", "--boxes", "--map",
    "--include", "--exclude", "--certificate", "--key",
)  # fmt: skip


def there_is() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def test_whatever_writes_is_listed() -> None:
    """An option of a file or a folder, by its placeholder, is one that is read, or one whose files are not replaced."""
    for name, command in commands(get_command(app)):
        own = {
            option.opts[0] for option in command.params
            if option.param_type_name == "option" and re.search("FILE|OUT|DIR|PATH", option.metavar or "")
        }  # fmt: skip
        assert own - {*READ} == OUTPUT_OPTIONS.get(name, {}).keys(), name


@pytest.mark.parametrize(
    ("command", "option"), [(name, option) for name, options in OUTPUT_OPTIONS.items() for option in options]
)
def test_a_file_that_is_there_is_not_replaced_by_any_command(command: str, option: str) -> None:
    if command.split()[0] in ("train", "evaluate", "models"):
        pytest.importorskip("torch", reason="torch is not installed")
    words = OUTPUT_OPTIONS[command][option]
    photo, mask = np.asarray(Image.open("coffee.jpg"))[::8, ::8], np.zeros((50, 75), np.uint8)
    mask[10:30, 20:50] = 255
    for path, image in (
        *(
            (f"{TRIPLES}/{role}/{number}.png", photo if role != "mask" else mask)
            for role in ("composite", "mask", "target") for number in range(8)
        ),
        *((f"{SCENES}/a/{number}.png", photo) for number in range(2)),
        ("sets/photos/images/0.png", photo), ("sets/photos/masks/0.png", mask),
    ):  # fmt: skip
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    if is_batch := command.startswith("batch "):
        files = dict.fromkeys(BATCHES[command.removeprefix("batch ")].items, "coffee.jpg") | {"out": "0.png"}
        files |= {name: "sets/photos/masks/0.png" for name in files if name == "mask"}
        Path("rows.csv").write_text(f"{','.join(files)}\n{','.join(files.values())}\n")
    Path("DIR").mkdir()
    old = [word for word in words.split() if word.startswith("OLD")]
    for path in (*old, "DIR/best.safetensors", "DIR/recipes.jsonl", "DIR/log.jsonl", "DIR/cup.png",
                 *(f"DIR/{part}0.png" for part in ("", "composite/", "mask/", "target/"))):  # fmt: skip
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_text("precious")
    before = there_is()
    result = CliRunner().invoke(app, [*command.split(), *words.split()])
    code = Code.SOME_FAILED if is_batch and option == "--output" else Code.USAGE
    assert result.exit_code == code, (result.stdout, result.stderr, result.exception)
    assert re.search(rf"{old[0] if old else 'DIR'}.*(exists|is not empty|contains a run)", result.stderr), result.stderr
    now = there_is()
    assert {path: now.get(path) for path in before} == before
    own = {"train": {".lock"}, "batch": {FOLDER}}.get(command.split()[0], set())
    own |= {"results.parquet", "results.csv", "errors.jsonl"} if code is Code.SOME_FAILED else set()
    assert all(own & {*path.parts} for path in now.keys() - before)


def test_an_output_that_is_there_needs_overwrite() -> None:
    Path("out.png").write_text("precious")
    result = call("blend", *PATCH, "-o", "out.png", code=2)
    assert "--overwrite" in result.stderr
    assert Path("out.png").read_text() == "precious"
    call("blend", *PATCH, "-o", "out.png", "--overwrite")
    assert Image.open("out.png").size == (600, 400)


@FLOODS
@CLIPS
def test_the_background_may_be_replaced() -> None:
    call("blend", *PATCH, "-o", "mine.png")
    src, before, mask = pixels("patch.png"), pixels("mine.png").copy(), pixels("patch_mask.png")
    call("blend", "patch.png", "mine.png", "patch_mask.png", "--at", "300,20", "-o", "mine.png", "--overwrite")
    assert np.array_equal(pixels("mine.png"), blend.gaussian_poisson(src, before, mask, at=(300, 20)))


def test_a_dry_run_writes_nothing_and_finds_what_is_wrong() -> None:
    result = call("blend", *PATCH, "-o", "out.png", "--dry-run", "--json")
    assert json.loads(result.stdout)["output"] == {"path": "out.png", "written": False}
    assert "would write out.png" in result.stderr
    call("blend", *PATCH[:3], "-o", "out.png", "--dry-run", code=3)
    assert not made()


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("demo", "-o", ""), "-o"),
        (("demo", "--output="), "--output"),
        (("batch", "harmonize", "folder", "-o", ""), "-o"),
        (("blend", "", "coffee.jpg", "-o", "o.png"), "An argument"),
    ],
)
def test_an_empty_value_is_refused(words: tuple[str, ...], name: str) -> None:
    """An empty path would be this folder."""
    assert f"{name} is empty, expected a value" in call(*words, code=2).stderr and not made()


# Exit codes


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ("", 2, "SRC and DST"),
        ("patch.png", 2, "DST is missing"),
        ("patch.png coffee.jpg", 2, "-o OUT"),
        ("patch.png coffee.jpg --nonsense", 2, "--nonsense"),
        ("patch.png coffee.jpg -o o.png --mode nothing", 2, "nothing"),
        ("patch.png coffee.jpg -o o.png --at 5", 2, "--at: '5', expected X,Y"),
        ("patch.png coffee.jpg -o o.png --at 5,nan", 2, "--at"),
        ("patch.png coffee.jpg -o o.png --at 1,2,3", 2, "--at"),
        ("patch.png coffee.jpg -o o.png --quality 0", 2, "--quality"),
        ("patch.png coffee.jpg -o o.png --max-pixels lots", 2, "--max-pixels"),
        ("patch.png coffee.jpg -o o.png --max-pixels 0", 2, "--max-pixels"),
        ("patch.png coffee.jpg -o o.png --color-weight-scale 2", 2, "--color-weight-scale"),
        ("patch.png coffee.jpg patch_mask.png -o o.png --at 1,1 --color-weight -3", 2, "--color-weight: -3"),
        ("patch.png coffee.jpg patch_mask.png -o o.png --at 1,1 --mode gaussian-poisson --sigma 3", 2, "--sigma: 3"),
        (
            "patch.png coffee.jpg patch_mask.png -o o.png --at 1,1 --mode gaussian-poisson --as-published",
            2,
            "--no-preserve-background",
        ),
        ("patch.png coffee.jpg -o o.png -q -v", 2, "--quiet and --verbose"),
        ("- - -o o.png", 2, "stdin can be read only once"),
        ("patch.png coffee.jpg -o - --json", 2, "both write to stdout"),
        ("patch.png coffee.jpg patch_mask.png -o .", 2, "is a folder"),
        ("patch.png coffee.jpg patch_mask.png -o o.png --list x.csv", 2, "come from the list"),
        ("patch.png coffee.jpg patch_mask.png -o picture --at 1,1", 2, "picture"),
        ("patch.png coffee.jpg patch_mask.png -o o.png --at 1,1 --format gif", 2, "gif"),
        ("--list x.csv -o -", 2, "is for one image"),
        ("absent.png coffee.jpg -o o.png", 3, "src (absent.png): no such file"),
        ("patch.png coffee.jpg absent.png -o o.png", 3, "mask (absent.png): no such file"),
        (". coffee.jpg -o o.png", 3, "src (.): is a directory"),
        ("LICENSES.md coffee.jpg -o o.png", 3, "src (LICENSES.md)"),
        ("broken.png coffee.jpg -o o.png --at 1,1", 3, "src (broken.png)"),
        ("patch.png coffee.jpg -o o.png", 3, "--at X,Y"),
        ("patch.png coffee.jpg cat_mask.png -o o.png --at 1,1", 3, "mask (cat_mask.png)"),
        ("coffee.jpg coffee.jpg -o o.png --mode poisson", 3, "covers all of dst"),
        ("patch.png coffee.jpg patch_mask.png -o o.png --at 1,1 --max-pixels 0.1M", 4, "dst (coffee.jpg)"),
        ("patch.png coffee.jpg patch_mask.png -o o.png --at 1,1 --device cuda --strict", 7, "cuda"),
        ("patch.png coffee.jpg patch_mask.png -o nowhere/o.png --at 1,1", 3, "no such folder: nowhere"),
        ("patch.png coffee.jpg patch_mask.png -o patch.png/o.png --at 1,1", 3, "patch.png/o.png"),
    ],
)
def test_a_failure_is_one_line_and_a_code(arguments: str, code: int, says: str) -> None:
    result = call("blend", *arguments.split(), code=code)
    assert says in result.stderr
    if not result.stderr.startswith("Usage"):
        assert len(result.stderr.splitlines()) == 1
    assert "Traceback" not in result.stderr
    assert not made()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ShapeError("x"), Code.INPUT),
        (errors.DTypeError("x"), Code.INPUT),
        (errors.MaskError("x"), Code.INPUT),
        (errors.DecodeError("x"), Code.INPUT),
        (errors.DataError("x"), Code.INPUT),
        (errors.ArgumentError("x"), Code.USAGE),
        (errors.ImageTooLarge("x"), Code.RESOURCES),
        (errors.OutOfMemory("x"), Code.RESOURCES),
        (MemoryError(), Code.RESOURCES),
        (errors.WeightsError("x"), Code.WEIGHTS),
        (errors.DeviceError("x"), Code.DEVICE),
        (errors.NativeError("x"), Code.UNEXPECTED),
        (ZeroDivisionError("x"), Code.UNEXPECTED),
        (KeyboardInterrupt(), Code.INTERRUPTED),
        (RunError("x", Code.SOME_FAILED), Code.SOME_FAILED),
    ],
)
def test_every_error_has_its_code(error: BaseException, code: Code) -> None:
    assert as_failure(error).exit_code == code
    assert str(as_failure(error))


def test_debug_shows_the_traceback() -> None:
    result = call("blend", "absent.png", "coffee.jpg", "-o", "o.png", "--debug", code=3)
    assert "Traceback" in result.stderr
    assert "Traceback" in call("blend", "absent.png", "coffee.jpg", "-o", "o.png", "-vv", code=3).stderr


#: Colours, another direction of writing, a bell and a C1 control, which a terminal would obey.
EVIL = "a\x1b[31m\u202e\x07b\x9b"
#: Commands whose words and files have such names.
NAMED_COMMANDS = """
blend broken.png G M -o x.png
blend broken.png G M -o x.png --debug
blend G G M -o EVIL/x.png
blend --EVIL
blend G G M -o OUT --mode alpha
blend G G M -o x.png --mode EVIL
blend G G M -o x.png --at EVIL
EVIL
info EVIL
blend --list L -o out
blend --list L -o OUT
batch blend L -o OUT
batch super-resolve many -o OUT
batch blend EVIL -o o
harmonize G M --method mkl -o OUT
segment G --points EVIL -o x.png
segment broken.png --points 1,1 -o x.png
place G broken.png
compose G broken.png -o x.png
compose G G -o x.png --recipe EVIL
merge G broken.png -o x.png
apply-edit G broken.png -o x.png
apply-edit G G -o EVIL/x.png
apply-edit G G -o x.png --show EVIL/x.png
shadow broken.png M -o x.png
super-resolve broken.png -o x.png
sign EVIL --certificate EVIL --key EVIL --source EVIL
serve --token-file broken.png
data check set
data stats set
data split set -o OUT.csv
data synth set -o o
data check EVIL
models show EVIL
models verify broken.png
models convert broken.png EVIL -o o.safetensors
train EVIL
train --model EVIL
train --model pix2pix --set EVIL
evaluate --data set --method EVIL
--module EVIL.py info
"""


@pytest.mark.parametrize("words", NAMED_COMMANDS.strip().splitlines())
def test_control_characters_of_names_are_escaped(words: str) -> None:
    """Names of files, of samples and of columns, words of the command line, and messages of others about them."""
    if words.split()[0] in ("train", "evaluate", "models"):
        pytest.importorskip("torch", reason="torch is not installed")
    photo, inside = pixels("coffee.jpg")[::8, ::8], np.zeros((50, 75), np.uint8)
    inside[10:30, 20:50] = 255
    names = {
        "broken.png": f"{EVIL}.png",
        "G": f"g{EVIL}.png",
        "M": f"m{EVIL}.png",
        "L": f"l{EVIL}.csv",
        "set": f"set{EVIL}",
    }
    for role, image in {"composite": photo, "mask": inside, "target": photo}.items():
        Path(names["set"], role).mkdir(parents=True)
        for name in ("a", EVIL):
            Image.fromarray(image).save(Path(names["set"], role, f"{name}.png"))
    Path("many").mkdir()
    for path in (names["broken.png"], f"{names['set']}/target/{EVIL}.png", f"many/{EVIL}.png"):
        Path(path).write_bytes(b"no image")
    Image.fromarray(photo).save(names["G"])
    Image.fromarray(inside).save(names["M"])
    row = [names["broken.png"], names["G"], names["M"], f"{EVIL}.png"]
    Path(names["L"]).write_text(f"src,dst,mask,out,{EVIL}\n{','.join(row)},1\n")
    Path(f"{EVIL}.py").write_text(f"raise ValueError({EVIL!r})")
    every = [names.get(word, word.replace("OUT", f"o{EVIL}.png").replace("EVIL", EVIL)) for word in words.split()]
    result = CliRunner().invoke(app, every)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    for text in (result.stdout, result.stderr):
        assert not [character for character in text if not (character.isprintable() or character in "\n\t")], text
    if words != "data stats set":
        assert r"\x1b[31m\u202e\x07b\x9b" in result.stdout + result.stderr


def test_a_device_that_is_missing_is_a_warning_unless_strict() -> None:
    if pyharmony.has_cuda():
        pytest.skip("there is a CUDA device")
    # The warning comes once a process.
    completed = process("blend", *PATCH, "-o", "out.png", "--device", "cuda", "--json")
    assert completed.returncode == 0
    assert b"warning: device: 'cuda'" in completed.stderr
    report = json.loads(completed.stdout)
    assert report["solve"]["device"] == "cpu"
    assert "cuda" in report["warnings"][0]
    call("blend", *PATCH, "-o", "out2.png", "--device", "cpu", "--strict")


# Messages


@pytest.mark.parametrize(
    ("arguments", "schema", "text"),
    [
        (("blend", *PATCH, "--nonsense"), "blend", "No such option: --nonsense"),
        (("edit",), "edit", "is missing"),
        (("blend", *PATCH, "-o", "out.png", "--threads", "many"), "blend", "valid int"),
        (("data", "check", ".", "--kind", "wrong"), "data.check", "'wrong' is not one of"),
        (("data", "check", ".", "two"), "data.check", "two"),
        (("batch", "segment", ".", "-o", "out", "--wrong"), "batch.segment", "No such option: --wrong"),
        (("models", "nosuch"), "models", "No such command 'nosuch'"),
        (("nosuch",), "usage", "No such command 'nosuch'"),
        (("--wrong",), "usage", "No such option: --wrong"),
        (("compose", *PATCH[:2], "-o", "out.png", "--merge"), "compose", "Use `pyharmony merge` instead"),
    ],
)
def test_json_is_an_object_also_of_a_wrong_command_line(arguments: tuple[str, ...], schema: str, text: str) -> None:
    result = call(*arguments, "--json", code=2)
    assert len(result.stdout.splitlines()) == 1
    report = json.loads(result.stdout)
    assert report["schema"] == f"pyharmony.{schema}/1" and report["status"] == "error"
    assert (
        report["error"]["kind"] == "usage" and report["error"]["exit_code"] == 2 and text in report["error"]["message"]
    )
    assert text in result.stderr and not made()
    assert call(*arguments, code=2).stdout == ""


def test_json_is_one_object_with_what_was_done() -> None:
    result = call(
        "blend", *PATCH, "-o", "out.jpg", "--json", "--threads", 2, "--mode", "poisson", "--gradients", "mixed"
    )
    report = json.loads(result.stdout)
    assert len(result.stdout.splitlines()) == 1
    assert report["schema"] == "pyharmony.blend/1"
    assert report["pyharmony"] == pyharmony.__version__
    assert (report["status"], report["mode"], report["threads"], report["dry_run"]) == ("ok", "poisson", 2, False)
    assert report["options"] == {"gradients": "mixed", "at": [86, 180]}
    assert report["src"] == {
        "path": "patch.png", "width": 86, "height": 79, "channels": 3, "dtype": "uint8", "format": "PNG",
    }  # fmt: skip
    assert (report["dst"]["width"], report["dst"]["height"], report["dst"]["format"]) == (600, 400, "JPEG")
    assert report["mask"]["channels"] == 1
    assert report["output"] == {"path": "out.jpg", "written": True, "bytes": os.path.getsize("out.jpg")}
    info = blend.poisson(*patch_arrays(), at=(86, 180), gradients="mixed", return_info=True)[1]
    solve = report["solve"]
    assert (solve["method"], solve["iterations"], solve["device"]) == (info.method, info.iterations, "cpu")
    assert solve["max_error"] == info.max_error
    assert report["ms"].keys() == {"decode", "solve", "encode", "total"}
    assert report["ms"]["total"] >= sum(report["ms"][name] for name in ("decode", "solve", "encode")) - 0.1
    assert report["warnings"] == []


def test_json_tells_of_failures_too() -> None:
    result = call("blend", "absent.png", "coffee.jpg", "-o", "o.png", "--json", code=3)
    report = json.loads(result.stdout)
    assert report["status"] == "error"
    assert report["error"] == {
        "kind": "FileNotFoundError", "message": "src (absent.png): no such file or directory", "exit_code": 3,
    }  # fmt: skip


def test_people_read_stderr() -> None:
    normal, quiet, loud = (
        call("blend", *PATCH, "-o", f"{i}.png", *more) for i, more in enumerate(((), ("--quiet",), ("--verbose",)))
    )
    assert normal.stdout == quiet.stdout == loud.stdout == quiet.stderr == ""
    assert re.fullmatch(r"wrote 0.png: 600 x 400, gaussian-poisson, \d+\.\d\d s\n", normal.stderr)
    assert re.search(r"decode \d+ ms, solve \d+ ms, encode \d+ ms\n", loud.stderr)


def test_the_log_may_be_json() -> None:
    ok = [json.loads(line) for line in call("blend", *PATCH, "-o", "o.png", "--log-json").stderr.splitlines()]
    assert [line["level"] for line in ok] == ["info"]
    assert ok[0]["output"]["path"] == "o.png"
    bad = call("blend", *PATCH, "-o", "o.png", "--log-json", code=2).stderr
    assert json.loads(bad).items() >= {"level": "error", "code": 2}.items()


def on_a_terminal(*arguments: object, **environment: str) -> str:
    """Returns what a process writes to a terminal that is its stderr."""
    terminal, end = pty.openpty()
    env = {**os.environ, "TERM": "xterm", **environment}
    command = [sys.executable, "-m", "pyharmony", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=end, env=env):
        os.close(end)
        text = b""
        while True:
            try:
                more = os.read(terminal, 4096)
            except OSError:  # the other end is closed
                break
            if not more:
                break
            text += more
    os.close(terminal)
    return text.decode()


def test_colour_is_for_terminals_that_want_it() -> None:
    arguments = ("blend", "absent.png", "coffee.jpg", "-o", "o.png")
    assert "\x1b" not in call(*arguments, code=3).stderr
    assert "\x1b[31merror\x1b[0m: src" in on_a_terminal(*arguments)
    assert "\x1b" not in on_a_terminal(*arguments, NO_COLOR="1")


def test_progress_is_for_terminals() -> None:
    write_list([("patch.png", "coffee.jpg", "patch_mask.png", f"{i}.png", "86,180") for i in range(2)])
    assert "2/2" in on_a_terminal("blend", "--list", "list.csv")
    assert "\x1b" not in call("blend", "--list", "list.csv", "--overwrite").stderr


# Reports


def test_what_is_not_blended_is_told_with_its_reason() -> None:
    """Nothing blended is no error: the file is written, and a warning says what happened."""
    for arguments, reason in (
        ((*PATCH[:3], "--at", "9000,9000"), "the object lies outside coffee.jpg (600 x 400)"),
        (("patch.png", "coffee.jpg", "black.png", "--at", "3,3"), "black.png is zero everywhere"),
    ):
        Image.new("L", (86, 79)).save("black.png")
        for mode in ("poisson", "gaussian-poisson", "alpha", "laplacian"):
            result = call("blend", *arguments, "-o", "out.png", "--overwrite", "--mode", mode)
            warning, wrote = result.stderr.splitlines()
            assert warning == f"warning: nothing was blended: {reason}"
            assert re.fullmatch(rf"wrote out.png: 600 x 400, {mode}, \d+\.\d\d s; unchanged", wrote)
        assert np.array_equal(pixels("out.png"), pixels("coffee.jpg"))
        report = json.loads(call("blend", *arguments, "-o", "out.png", "--overwrite", "--json").stdout)
        assert report["warnings"] == [f"nothing was blended: {reason}"] and report["unchanged"]
        assert report["solve"]["method"] == "copy" and report["solve"]["reason"]
        assert call("blend", *arguments, "-o", "out.png", "--overwrite", "-q").stderr == ""
    report = json.loads(call("blend", *PATCH, "-o", "out.png", "--overwrite", "--json").stdout)
    assert not report["unchanged"] and report["solve"]["reason"] == ""


def test_each_row_of_a_list_is_told() -> None:
    write_list([(*TRIPLE, "a.png", "900,900"), (*TRIPLE, "b.png", "86,180"), (*TRIPLE, "c.png", "900,900")])
    result = call("blend", "--list", "list.csv", "--json")
    outside = "nothing was blended: the object lies outside coffee.jpg (600 x 400)"
    assert [line for line in result.stderr.splitlines() if line.startswith("warning")] == [
        f"warning: line {line}: {outside}" for line in (2, 4)
    ]
    assert [item["unchanged"] for item in json.loads(result.stdout)["items"]] == [True, False, True]


def test_an_edit_of_nothing_is_told() -> None:
    Image.new("L", (600, 400)).save("black.png")
    result = call("edit", "coffee.jpg", "black.png", "--mode", "detail-boost", "-o", "out.png")
    assert result.stderr.splitlines()[0] == "warning: nothing was edited: black.png is zero everywhere"


# Put in, and harmonised


@GUARDED
def test_an_object_is_harmonised_after_it_is_put_in() -> None:
    place = {"at": (86, 180), "scale": 0.8}
    pasted = blend.alpha(*patch_arrays(), **place)
    mask = blend.placed_mask(*patch_arrays(), **place)
    for options, arguments in (
        (("--no-guard",), {"guard": False}),
        (("--guard", "--cautious", "--strength", 0.5), {"strength": 0.5}),
    ):
        result = call("blend", *PATCH, "--scale", 0.8, "--harmonize", "mkl", *options, "-o", "out.png", "--overwrite",
                      "--save-mask", "mask.png")  # fmt: skip
        expected, info = pyharmony.harmonize(pasted, mask, method="mkl", return_info=True, **arguments)
        assert np.array_equal(pixels("out.png"), expected) and np.array_equal(pixels("mask.png"), mask)
        assert ", alpha, " in result.stderr and (info.held_back == ("reduced by the guard" in result.stderr))
    report = json.loads(call("blend", *PATCH, "--mode", "poisson", "--harmonize", "mkl", "--json",
                            "-o", "out.png", "--overwrite", "--save-mask", "mask.png").stdout)  # fmt: skip
    assert (
        report["mode"] == "poisson"
        and report["options"]["harmonize"] == "mkl"
        and report["saved_mask"]["path"] == "mask.png"
    )
    poisson = blend.poisson(*patch_arrays(), at=(86, 180))
    where = blend.placed_mask(*patch_arrays(), at=(86, 180))
    expected, info = pyharmony.harmonize(poisson, where, method="mkl", return_info=True)
    assert np.array_equal(pixels("out.png"), expected)
    harmonize_report = report["harmonize"]
    assert (harmonize_report["change"], harmonize_report["asked"], harmonize_report["held_back"]) == (
        info.change,
        info.asked,
        info.held_back,
    )
    assert {"decode", "solve", "harmonize", "encode"} <= report["ms"].keys()


def test_the_saved_mask_is_what_harmonize_takes() -> None:
    call("blend", *PATCH, "--mode", "alpha", "--save-mask", "mask.png", "-o", "pasted.png")
    call("harmonize", "pasted.png", "mask.png", "--method", "reinhard", "--no-guard", "-o", "a.png")
    call(
        "harmonize",
        "pasted.png",
        "patch_mask.png",
        "--at",
        "86,180",
        "--method",
        "reinhard",
        "--no-guard",
        "-o",
        "b.png",
    )
    call("blend", *PATCH, "--harmonize", "reinhard", "--no-guard", "-o", "c.png")
    assert np.array_equal(pixels("a.png"), pixels("b.png")) and np.array_equal(pixels("a.png"), pixels("c.png"))
    assert not np.array_equal(pixels("a.png"), pixels("pasted.png"))


def test_what_is_outside_is_not_harmonised_either() -> None:
    result = call("blend", *PATCH[:3], "--at", "9000,0", "--harmonize", "mkl", "--save-mask", "mask.png",
                  "-o", "out.png")  # fmt: skip
    assert len(result.stderr.splitlines()) == 2 and result.stderr.rstrip().endswith("; unchanged")
    assert pixels("mask.png").shape == (400, 600) and not pixels("mask.png").any()


def test_a_list_has_columns_for_it() -> None:
    write_list(
        [
            (*TRIPLE, "a.png", "86,180", "mkl", "0.5", "no", "masks/a.png", "0.8"),
            (*TRIPLE, *("b.png", "86,180"), *[""] * 5),
        ],
        "src,dst,mask,out,at,harmonize,strength,guard,save_mask,scale",
    )
    call("blend", "--list", "list.csv", "-o", "made")
    call("blend", *PATCH, "--harmonize", "mkl", "--strength", 0.5, "--no-guard", "--scale", 0.8,
         "--save-mask", "mask.png", "-o", "one.png")  # fmt: skip
    assert np.array_equal(pixels("made/a.png"), pixels("one.png"))
    assert np.array_equal(pixels("made/masks/a.png"), pixels("mask.png"))
    assert np.array_equal(pixels("made/b.png"), blend.gaussian_poisson(*patch_arrays(), at=(86, 180)))
    assert "already exists and 2 more" in call("blend", "--list", "list.csv", "-o", "made", code=2).stderr
    assert "in a list it is a column" in call("blend", "--list", "list.csv", "--save-mask", "m.png", code=2).stderr


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        ("--no-guard", 2, "--guard needs --harmonize"),
        ("--strength 0.5", 2, "--strength needs --harmonize"),
        ("--harmonize fancy", 2, "--harmonize: 'fancy', expected one of auto, reinhard"),
        ("--scale 0", 2, "--scale: 0, expected a number above 0 and at most 1e+06"),
        ("--save-mask out.png", 2, "--save-mask: out.png is also the output or an input"),
        ("--save-mask coffee.jpg", 2, "--save-mask: coffee.jpg is also the output or an input"),
        ("--save-mask mask", 2, "--save-mask: mask: the suffix '' names no format"),
        ("-o out.xyz", 2, "OUT: out.xyz: the suffix '.xyz' names no format"),
        ("--save-mask -", 2, "--save-mask: -, expected a file"),
        ("--save-mask map.png", 2, "map.png: already exists; --overwrite replaces it"),
        ("--save-mask nowhere/mask.png", 3, "no such folder: nowhere"),
    ],
)
def test_what_does_not_go_together_is_told_before_any_work(options: str, code: int, says: str) -> None:
    result = call("blend", *PATCH, "-o", "out.png", *options.split(), code=code)
    assert says in result.stderr and len(result.stderr.splitlines()) == 1
    assert not made()


def test_the_default_blend_is_one_in_every_place() -> None:
    """The command, README's examples and its words have the default that docs/blend.md names."""
    from pyharmony._calls import BLEND

    default = BLEND.modes[0].replace("-", "_")
    assert re.findall(r"^- \*\*`(\w+)`\*\*, the default blend", (ROOT / "docs" / "blend.md").read_text(), re.M) == [
        default
    ]
    readme = (ROOT / "README.md").read_text()
    assert f"The default of `--mode` is `{BLEND.modes[0]}`." in readme
    # What is harmonised there is pasted.
    assert re.findall(r"blend\.(\w+)\([^)]*\bat=\(86, 180\)", readme) == [default, "alpha"]
    shell = re.search(r"^pyharmony blend (.*) -o saucer.jpg$", readme, re.M)
    assert shell is not None and "--mode" not in shell[1]
    assert f"[default: {BLEND.modes[0]}; alpha with --harmonize]" in reference_tool().reference()


def test_the_table_of_options_is_that_of_the_functions() -> None:
    from pyharmony._calls import BLEND, EDIT, HARMONIZE

    for kind in (BLEND, EDIT):
        accepted = {mode: inspect.signature(getattr(blend, mode.replace("-", "_"))).parameters for mode in kind.modes}
        for option in kind.options:
            if option.argument:
                modes = [mode for mode in kind.modes if option.name in accepted[mode]]
                assert modes == list(option.modes or kind.modes), option.name
    parameters = inspect.signature(harmonization.harmonize).parameters
    assert all(option.name in parameters for option in HARMONIZE.options if option.argument)
    assert HARMONIZE.modes == harmonization.METHODS == get_args(words.HarmonizeMethod)
    types = {"gradients": words.Gradients, "contour": words.Contour, "gradient_kernel": words.GradientKernel}
    assert all(BLEND.by_name[name].type == get_args(of) for name, of in types.items())


#: Words that belong to Python and not to the command line: shapes, names of arguments, keyword arguments, None.
PYTHON = re.compile(
    r"\bshape \[|\[\d+, \d+|numpy|\b\w+=(True|False|None|'|\()|\bNone\b|\bat=|\bmask\[|pixels\[|max_pixels|dtype="
)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ("blend patch.png coffee.jpg -o o.png", 3, "src (patch.png): 86 x 79 pixels and dst 600 x 400"),
        (
            "blend patch.png coffee.jpg cat_mask.png -o o.png --at 1,1",
            3,
            "mask (cat_mask.png): 162 x 81 pixels, expected 86 x 79",
        ),
        (
            "blend patch.png coffee.jpg patch_mask.png -o o.png --at 1,1 --base cat.png",
            3,
            "base (cat.png): 162 x 81 pixels",
        ),
        (
            "blend patch.png coffee.jpg patch_mask.png -o o.png --at 1,1 --color-weight patch_mask.png",
            3,
            "color_weight (patch_mask.png)",
        ),
        ("blend cutout.png cutout.png -o o.jpg", 2, "JPEG has no alpha channel, the image has one; use PNG"),
        (
            "blend patch.png coffee.jpg patch_mask.png -o o.png --at 1,1 --max-pixels 1000",
            4,
            "are allowed; --max-pixels allows more",
        ),
        (
            "blend https://example.org/a.png coffee.jpg -o o.png",
            3,
            "is a URL, expected a path; download the file first",
        ),
        ("harmonize absent --network w.safetensors -o o", 3, "error: image (absent): no such file or directory"),
        ("blend -o o.png", 2, "error: SRC and DST are missing; pass them, or a list with --list"),
        ("edit -o o.png", 2, "error: IMAGE is missing; pass it, or a list with --list"),
        ("edit coffee.jpg -o o.png --mode inpaint", 2, "--mode inpaint needs MASK"),
        (
            "edit coffee.jpg patch_mask.png -o o.png --mode detail-boost",
            3,
            "mask (patch_mask.png): 86 x 79 pixels, expected 600 x 400",
        ),
    ],
)
def test_errors_speak_the_words_of_the_command_line(arguments: str, code: int, says: str) -> None:
    message = call(*arguments.split(), code=code).stderr
    assert says in message and not PYTHON.search(message), message


@pytest.mark.parametrize(
    ("mode", "says"),
    [
        (
            "gaussian-poisson",
            "; --base copy-paste with a --color-weight near 1 clips less, and images of floats are not",
        ),
        ("poisson", "; a larger --color-weight clips less, and images of floats are not clipped"),
    ],
)
def test_warnings_speak_the_words_of_the_command_line(mode: str, says: str) -> None:
    bars = np.broadcast_to(np.arange(60)[:, None] % 12 < 6, (60, 60, 3)) * np.uint8(255)
    Image.fromarray(bars).save("bars.png")
    Image.fromarray(np.full((60, 60, 3), 250, np.uint8)).save("bright.png")
    inside = np.zeros((60, 60), np.uint8)
    inside[5:-5, 5:-5] = 255
    Image.fromarray(inside).save("inside.png")
    message = call("blend", "bars.png", "bright.png", "inside.png", "-o", "out.png", "--mode", mode).stderr
    assert says in message and not PYTHON.search(message), message


# Lists


def write_list(rows: list[tuple[str, ...]], header: str = "src,dst,mask,out,at", name: str = "list.csv") -> None:
    with open(name, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header.split(","))
        writer.writerows(rows)


TRIPLE = ("patch.png", "coffee.jpg", "patch_mask.png")


def test_each_row_of_a_list_is_a_picture() -> None:
    rows = [
        (*TRIPLE, "a.png", "86,180", "", "", "", ""),
        (*TRIPLE, "b.jpg", "-3,-7.5", "alpha", "4", "", ""),
        ("cutout.png", "coffee.jpg", "", "c.png", "300,20", "poisson", "", "map.png", "mixed"),
        (*TRIPLE, "d.png", "86,180", "gaussian-poisson", "", "0.5", ""),
    ]
    write_list(rows, "src,dst,mask,out,at,mode,feather,color-weight,gradients")
    result = call("blend", "--list", "list.csv", "--json")
    report = json.loads(result.stdout)
    assert (report["status"], report["count"], report["failed"]) == ("ok", 4, 0)
    assert [(item["line"], item["status"], item["mode"]) for item in report["items"]] == [
        (2, "ok", "gaussian-poisson"), (3, "ok", "alpha"), (4, "ok", "poisson"), (5, "ok", "gaussian-poisson"),
    ]  # fmt: skip
    assert np.array_equal(pixels("a.png"), blend.gaussian_poisson(*patch_arrays(), at=(86, 180)))
    assert np.array_equal(pixels("d.png"), blend.gaussian_poisson(*patch_arrays(), at=(86, 180), color_weight=0.5))
    assert Image.open("b.jpg").format == "JPEG"
    assert report["items"][2]["color_weight"]["path"] == "map.png"
    assert "wrote 4 images" in result.stderr


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_other_columns_of_a_list_are_carried_along(jobs: str) -> None:
    rows = [(*TRIPLE, "a.png", "Ann", "7"), (*TRIPLE, "b.png", "", ""), ("absent.png", *TRIPLE[1:], "c.png", "-", "é")]
    write_list(rows, "src,dst,mask,out,Shot-by,fether")
    result = call("blend", "--list", "list.csv", "--at", "5,6", "--json", "--jobs", jobs, code=5)
    says = "list.csv: columns that are no inputs or options, which the results repeat: shot_by, fether"
    assert result.stderr.count(says) == 1
    items = json.loads(result.stdout)["items"]
    columns = [{"shot_by": "Ann", "fether": "7"}, None, {"shot_by": "-", "fether": "é"}]
    assert [item.get("columns") for item in items] == columns
    assert [item["status"] for item in items] == ["ok", "ok", "error"]
    assert np.array_equal(pixels("a.png"), pixels("b.png"))


def test_columns_of_a_list_may_be_called_otherwise() -> None:
    rows = [(*TRIPLE, "a.png", "86,180", "noted"), (*TRIPLE, "b.png", "5,6", "")]
    write_list(rows, "Photo of it,dst,cover,out,Where-To,src")
    names = "--column", "src=photo of it", "--column", "mask=Cover", "--column", "at=where-to"
    result = call("blend", "--list", "list.csv", "--json", *names)
    assert [item.get("columns") for item in json.loads(result.stdout)["items"]] == [{"src": "noted"}, None]
    call("blend", *PATCH, "-o", "one.png")
    assert np.array_equal(pixels("a.png"), pixels("one.png"))

    write_list([("cat.png", "cat_mask.png", "e.png")], "photo,mask,out", "edits.csv")
    call("edit", "--list", "edits.csv", "--mode", "detail-boost", "--column", "image=photo")
    assert made() >= {"a.png", "b.png", "e.png"}
    for arguments, code, says in (
        (("--list", "list.csv", *names[:-1], "at"), 2, "--column: 'at', expected NAME=COLUMN, such as image=photo"),
        (("--list", "list.csv", "--column", "sky=x"), 2, "--column: 'sky', expected some of src, dst, mask, out, "),
        (("--list", "list.csv", "--column", "src=absent"), 3, "list.csv: column 'absent' is missing"),
        ((*PATCH[:3], "-o", "o.png", *names), 2, "--column is for --list"),
    ):
        assert says in call("blend", *arguments, code=code).stderr


def test_rows_may_choose_the_contour() -> None:
    write_list([(*TRIPLE, "a.png", "86,180", "full"), (*TRIPLE, "b.png", "86,180", "")], "src,dst,mask,out,at,contour")
    call("blend", "--list", "list.csv", "--mode", "poisson")
    assert np.array_equal(pixels("a.png"), blend.poisson(*patch_arrays(), at=(86, 180), contour="full"))
    assert np.array_equal(pixels("b.png"), blend.poisson(*patch_arrays(), at=(86, 180)))


def test_options_of_the_command_line_hold_for_rows_that_have_none() -> None:
    write_list([(*TRIPLE, "a.png", ""), (*TRIPLE, "b.png", "laplacian")], "src,dst,mask,out,mode")
    call("blend", "--list", "list.csv", "--mode", "alpha", "--at", "5,6")
    assert np.array_equal(pixels("a.png"), blend.alpha(*patch_arrays(), at=(5, 6)))
    assert np.array_equal(pixels("b.png"), blend.laplacian(*patch_arrays(), at=(5, 6)))


def test_a_row_that_fails_takes_no_other_along() -> None:
    rows = [
        (*TRIPLE, "a.png", "1,1"),
        ("absent.png", *TRIPLE[1:], "b.png", "1,1"),
        ("broken.png", *TRIPLE[1:], "c.png", "1,1"),
        (*TRIPLE, "d.png", ""),
        (*TRIPLE, "e.nothing", "1,1"),
        (*TRIPLE, "f.png", "1,1"),
    ]
    write_list(rows)
    result = call("blend", "--list", "list.csv", "--json", code=5)
    assert made() == {"list.csv", "a.png", "f.png"}
    report = json.loads(result.stdout)
    assert (report["status"], report["count"], report["failed"]) == ("some failed", 6, 4)
    assert [item["status"] for item in report["items"]] == ["ok", "error", "error", "error", "error", "ok"]
    assert [item["error"]["exit_code"] for item in report["items"][1:5]] == [3, 3, 3, 2]
    assert "error: line 3: src (absent.png): no such file or directory" in result.stderr
    assert result.stderr.splitlines()[-1] == "error: 4 of 6 rows failed"


def test_the_outputs_of_a_list_may_go_to_a_folder() -> None:
    Path("lists").mkdir()
    above = tuple(f"../{name}" for name in TRIPLE)
    write_list([(*above, "sub/a.png", "1,1"), (*above, "a.png", "1,1")], name="lists/list.csv")
    call("blend", "--list", "lists/list.csv", "-o", "results/deep")
    assert {str(path) for path in Path("results").rglob("*.png")} == {"results/deep/sub/a.png", "results/deep/a.png"}
    for out in ("../a.png", "sub/../../a.png", str(Path.cwd() / "a.png")):
        write_list([(*TRIPLE, out, "1,1")])
        assert "is outside the output folder" in call("blend", "--list", "list.csv", "-o", "results", code=3).stderr


def test_a_list_may_be_stdin() -> None:
    call("blend", "--list", "-", stdin=f'src,dst,mask,out,at\n{",".join(TRIPLE)},a.png,"1,1"\n'.encode())
    assert made() == {"a.png"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "list.csv: has no columns, expected at least src, dst, out"),
        ("src;dst;out\n", "column 'src' is missing; there are src;dst;out"),
        ("src;dst;out\n", "; the file is separated by ';', expected ','"),
        ("src,dst\n", "column 'out' is missing"),
        ("src,dst,out,colour,Colour\n", "column 'colour' occurs twice"),
        ("src,dst,out,at,at\n", "column 'at' occurs twice"),
        ("src,dst,out\n", "no rows"),
        ("src,dst,out\na,b\n", "line 2: 2 cells, expected 3"),
        ("src,dst,out\na,,c.png\n", "line 2: dst is empty"),
        ("src,dst,out\n\na,b,-\n", "line 3: out is -"),
        ("src,dst,out,feather\na,b,c.png,wide\n", "line 2: feather 'wide', expected a number"),
        ("src,dst,out,mode\na,b,c.png,best\n", "line 2: mode 'best'"),
        ("src,dst,out,as_published\na,b,c.png,perhaps\n", "line 2: as_published 'perhaps', expected yes or no"),
        ("src,dst,out,feather\na,b,c.png,2\n", "line 2: --feather cannot be used with --mode gaussian-poisson"),
        ("src,dst,out,at\na,b,c.png,2\n", "line 2: --at"),
        ('src,dst,out\na,b,"c.png\n', "list.csv, line 2"),
        ("src,dst,out\na,b,c.png\na,d,./c.png\n", "line 3: out 'c.png' is also in line 2"),
        ("src,dst,out\na,b,c.png\nc.png,d,e.png\n", "line 2: out 'c.png' is an input of line 3"),
        ("src,dst,out\na\xff,b,c.png\n", "expected UTF-8"),
        ("src,dst,out,mode\na,b,c.png,inpaint\n", "line 2: mode 'inpaint', expected one of gaussian-poisson"),
    ],
)
def test_a_list_is_checked_before_any_work(text: str, says: str) -> None:
    Path("list.csv").write_bytes(text.encode("latin-1"))
    assert says in call("blend", "--list", "list.csv", code=3).stderr
    assert made() == {"list.csv"}


def test_a_list_that_is_missing_is_an_input() -> None:
    assert "absent.csv: no such file" in call("blend", "--list", "absent.csv", code=3).stderr


def test_an_output_of_a_list_that_is_there_stops_it_before_any_work() -> None:
    write_list([(*TRIPLE, f"{name}.png", "1,1") for name in "abc"])
    Path("b.png").write_text("precious")
    assert "b.png: already exists" in call("blend", "--list", "list.csv", code=2).stderr
    assert made() == {"list.csv", "b.png"}
    assert Path("b.png").read_text() == "precious"
    call("blend", "--list", "list.csv", "--dry-run")
    assert made() == {"list.csv", "b.png"}
    call("blend", "--list", "list.csv", "--overwrite")
    assert made() == {"list.csv", "a.png", "b.png", "c.png"}


def test_two_names_of_one_file_are_not_both_written() -> None:
    """Where A.png is a.png, one of the files would be lost; here a second name of the folder stands for that."""
    call("blend", *PATCH, "-o", "a.png")
    os.link("a.png", "b.png")
    from pyharmony._calls import BLEND
    from pyharmony.runs._jobs.runner import Runner
    from pyharmony.runs._jobs.task import Request

    runner = Runner(Request(BLEND))
    status = os.stat("a.png")
    runner.output_ids.add((status.st_dev, status.st_ino))
    with pytest.raises(RunError, match="another row"):
        runner.keep_apart("b.png")


@pytest.mark.parametrize(
    "name", ["猫.png", "e\u0301.png", "é.png", "a b;$(c)'.png", "x" * 251 + ".png", "CON.png", "-x.png"], ids=ascii
)
def test_names_are_taken_as_they_are(name: str) -> None:
    shutil.copy("patch.png", "in-" + name if len(name) < 200 else name)
    source = "./in-" + name if len(name) < 200 else name
    Path("out").mkdir()
    call("blend", source, "coffee.jpg", "patch_mask.png", "--at", "1,1", "-o", f"out/{name}")
    assert os.listdir("out") == [name]
    assert Image.open(f"out/{name}").size == (600, 400)


def test_a_name_that_is_no_text_is_a_name() -> None:
    name = os.fsdecode(b"\xff\xfe.png")
    shutil.copy("patch.png", name)
    completed = process("blend", name, *PATCH[1:], "-o", f"out-{name}", "--json")
    assert completed.returncode == 0, completed.stderr
    assert json.loads(completed.stdout)["src"]["path"] == name
    assert Image.open(f"out-{name}").size == (600, 400)


def test_look_alike_names_are_different_files() -> None:
    names = ["a.png", "a.jpg", "A.png", "sub/a.png", "é.png", "e\u0301.png"]
    write_list([(*TRIPLE, name, "1,1") for name in names])
    call("blend", "--list", "list.csv", "-o", "out")
    assert len([path for path in Path("out").rglob("*") if path.is_file()]) == len(names)


# Processes


def test_pictures_go_through_pipes() -> None:
    python = [sys.executable, "-m", "pyharmony", "blend"]
    with Path("patch.png").open("rb") as source:
        first = subprocess.Popen(
            [*python, "-", *PATCH[1:], "-o", "-"], stdin=source, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    second = subprocess.run(
        [*python, "cutout.png", "-", "--at", "300,20", "-o", "-", "--mode", "alpha"],
        stdin=first.stdout,
        capture_output=True,
    )
    assert first.stdout is not None
    first.stdout.close()
    assert first.wait() == second.returncode == 0
    import io

    src, dst, mask = patch_arrays()
    expected = blend.alpha(pixels("cutout.png"), blend.gaussian_poisson(src, dst, mask, at=(86, 180)), at=(300, 20))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(second.stdout))), expected)


@pytest.mark.parametrize("arguments", [(*PATCH, "-o", "-"), (*PATCH, "-o", "out.png", "--json")])
def test_a_reader_that_goes_away_is_told_in_one_line(arguments: tuple[str, ...]) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "pyharmony", "blend", *arguments]
    process = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert process.returncode == 1
    assert process.stderr.splitlines()[-1] == "error: stdout: cannot be written: broken pipe"
    assert "Exception" not in process.stderr


@pytest.mark.parametrize(
    ("stream", "arguments", "code"),
    [
        ("0<&-", "- coffee.jpg patch_mask.png --at 1,1 -o out.png", 2),
        ("1>&-", "patch.png coffee.jpg patch_mask.png --at 1,1 -o -", 2),
        ("2>&-", "patch.png coffee.jpg patch_mask.png --at 1,1 -o out.png", 0),
        ("2>&-", "absent.png coffee.jpg patch_mask.png --at 1,1 -o out.png", 3),
    ],
)
def test_a_stream_may_be_closed(stream: str, arguments: str, code: int) -> None:
    line = f'"{sys.executable}" -m pyharmony blend {arguments} {stream}'
    process = subprocess.run(["sh", "-c", line], capture_output=True, text=True)
    assert (process.returncode, process.stdout) == (code, "")
    assert "unexpected" not in process.stderr


def test_a_full_disk_leaves_what_was_there() -> None:
    Path("out.png").write_text("precious")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))

    completed = process("blend", *PATCH, "-o", "out.png", "--overwrite", preexec_fn=limit)
    assert completed.returncode == 1
    assert completed.stderr.decode().splitlines() == ["error: out.png: cannot be written: file too large"]
    assert Path("out.png").read_text() == "precious"
    assert made() == {"out.png"}
    if Path("/dev/full").exists():
        with open("/dev/full", "wb") as full:
            command = [sys.executable, "-m", "pyharmony", "blend", *PATCH, "-o", "-"]
            full_disk = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
        assert full_disk.returncode == 1
        assert full_disk.stderr.splitlines() == ["error: stdout: cannot be written: no space left on device"]


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="/proc is not mounted")
def test_a_folder_that_takes_no_files_is_told() -> None:
    """/proc takes files from nobody; a folder without write permission would take them from root."""
    result = call("blend", *PATCH, "-o", "/proc/self/out.png", code=1)
    assert "/proc/self/out.png" in result.stderr
    if os.geteuid():
        Path("locked").mkdir(mode=0o555)
        assert "no permission to write" in call("blend", *PATCH, "-o", "locked/out.png", code=1).stderr


def test_memory_that_runs_out_has_a_code() -> None:
    Image.new("RGB", (7000, 7000)).save("large.png", compress_level=1)
    Image.new("L", (7000, 7000), 255).save("all.png", compress_level=1)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (900_000_000, 900_000_000))

    completed = process(
        "blend", "large.png", "large.png", "all.png", "-o", "out.png", "--color-weight", "1", "--threads", 1,
        preexec_fn=limit, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert completed.returncode == 4, completed.stderr
    assert len(completed.stderr.splitlines()) == 1
    assert not Path("out.png").exists()


def hear_interrupts() -> None:
    """Lets this process hear interrupts, which the child of a process that ignores them would ignore too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_an_interrupt_leaves_whole_pictures_and_nothing_else() -> None:
    names = [f"{i}.png" for i in range(400)]
    write_list([(*TRIPLE, name, "1,1") for name in names])
    command = [sys.executable, "-m", "pyharmony", "blend", "--list", "list.csv", "--json"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, preexec_fn=hear_interrupts) as running:
        until = time.monotonic() + 30
        while not Path(names[1]).exists() and time.monotonic() < until:
            time.sleep(0.005)
        running.send_signal(signal.SIGINT)
        stdout, stderr = running.communicate()
    assert running.returncode == 130, stderr
    there = made() - {"list.csv"}
    assert there < set(names)
    for name in there:
        Image.open(name).load()
    report = json.loads(stdout)
    assert report["status"] == "interrupted"
    assert len(there) - len(report["items"]) in (0, 1)  # one may be whole and not noted yet
    assert stderr.splitlines()[-1] == f"error: interrupted; {len(report['items'])} of 400 images were written"


def until_it_waits(process: int) -> None:
    """Returns when a process has slept for half a second: it waits for stdin, whatever it loads before that."""
    asleep, end = 0, time.monotonic() + 30
    while asleep < 5 and time.monotonic() < end:
        time.sleep(0.1)
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        asleep = asleep + 1 if state == "S" else 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_while_it_waits(number: signal.Signals, code: int) -> None:
    command = [sys.executable, "-m", "pyharmony", "blend", "-", *PATCH[1:], "-o", "out.png", "-vv"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, preexec_fn=hear_interrupts) as running:
        until_it_waits(running.pid)
        running.send_signal(number)
        assert running.wait(20) == code
    assert not made()


# The other commands


def modules_of(*arguments: str) -> list[str]:
    """Returns the modules that a process has loaded when a command has ended."""
    code = "import sys\nfrom pyharmony.cli import main\ntry: main()\nfinally: print(*sys.modules)"
    process = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return process.stdout.splitlines()[-1].split()


def test_a_blend_loads_what_it_needs() -> None:
    modules = modules_of("blend", *PATCH, "-o", "out.png", "--mode", "alpha")
    loaded = {name.partition(".")[0] for name in modules}
    assert not loaded & {"pydantic", "rich", "cv2", "scipy", "torch"} and not {*modules} & {"numpy.ma", "numpy.random"}
    own = [name for name in modules if name.startswith("pyharmony")]
    assert len(own) <= 75, own  # each costs a half to two milliseconds of every command


def test_help_and_version_load_nothing_heavy() -> None:
    for option in ("--help", "--version"):
        modules = modules_of(option)
        loaded = {name.partition(".")[0] for name in modules}
        assert not loaded & {"numpy", "PIL", "rich", "torch", "cv2", "scipy", "pydantic"}
        # Only the help reads the commands.
        assert ("pyharmony.cli.blend" in modules) == (option == "--help")
    assert call("--version").stdout == f"pyharmony {pyharmony.__version__}\n"
    for command in ("blend", "demo", "info", "doctor", "bench"):
        assert command in call("--help").stdout
        assert "--help" in call(command, "-h").stdout


@pytest.mark.parametrize("group", [(), ("models",), ("data",)])
def test_help_cuts_no_summary(group: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command's first sentence is whole at 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    output = " ".join(call(*group, "--help").stdout.split())
    commands_ = get_command(app)
    for name in group:
        commands_ = commands_.commands[name]  # type: ignore[attr-defined]
    for name, command in commands_.commands.items():  # type: ignore[attr-defined]
        first = " ".join(command.help.split("\n\n")[0].split())
        assert f"{name} {first.partition('. ')[0]}" in output, name


def test_make_demo_says_which_command_it_is() -> None:
    process = subprocess.run(["make", "-n", "demo"], cwd=ROOT, capture_output=True, text=True)
    assert "the command is .venv/bin/pyharmony" in process.stdout


def test_info_tells_what_there_is() -> None:
    report = json.loads(call("info", "--json").stdout)
    assert report["schema"] == "pyharmony.info/1"
    assert report["versions"]["pyharmony"] == pyharmony.__version__
    assert report["versions"]["numpy"] == np.__version__
    assert report["instruction_set"]["in_use"] == pyharmony.simd_level()
    assert report["instruction_set"]["in_use"] in report["instruction_set"]["available"]
    assert {"gaussian_poisson", "poisson"} <= set(report["kernels"]["cpu"])
    assert report["devices"][0]["device"] == "cpu"
    assert {"jpeg", "png", "tiff"} <= set(report["formats"])
    for module, version in report["optional"].items():
        assert (version is None) == (importlib.util.find_spec(module) is None)
    text = call("info", "--debug").stdout
    assert pyharmony.__version__ in text
    assert pyharmony.simd_level() in text


def test_doctor_finds_nothing_here() -> None:
    result = call("doctor", "--json")
    report = json.loads(result.stdout)
    assert report["status"] == "ok"
    assert {check["name"] for check in report["checks"]} >= {"native module", "blends", "picture files", "torch", "GPU"}
    assert all(check["state"] in ("ok", "note") for check in report["checks"])
    assert all(check["remedy"] for check in report["checks"] if check["state"] != "ok")


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ((), "has all that its page offers"),
        (("pillow_heif",), "lacks pillow_heif, for HEIC files"),
        (("cv2",), "lacks cv2, for merging and 16-bit PNG files"),
        (("fastapi", "cv2"), "lacks fastapi, for the service; cv2, for merging"),
    ],
)
def test_doctor_tells_what_the_page_lacks(
    monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...], words: str
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *of: None if name in missing else find(name, *of))
    (row,) = (check for check in json.loads(call("doctor", "--json").stdout)["checks"] if check["name"] == "page")
    assert words in row["found"] and row["state"] == ("note" if missing else "ok")
    assert ("pip install" in row["remedy"]) == bool(missing)


@pytest.mark.parametrize("module", ["imagecodecs", "jpeglib"])
def test_doctor_has_a_row_for_each_package_of_files(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    find = importlib.util.find_spec

    def row() -> dict[str, str]:
        checks = json.loads(call("doctor", "--json").stdout)["checks"]
        return next(check for check in checks if check["name"] == module)

    assert row()["state"] == ("ok" if find(module) else "note")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *of: None if name == module else find(name, *of))
    assert row()["state"] == "note" and "pip install" in row()["remedy"]


def test_doctor_tells_the_dtype_that_networks_are_trained_in(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for limit, dtype in (("AVX2", "float32"), ("AVX512_CORE", "float32")):
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
        (row,) = (x for x in json.loads(call("doctor", "--json").stdout)["checks"] if x["name"] == "torch")
        assert row["found"].endswith(f"networks are trained in {dtype} by dtype='auto'")


def test_doctor_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyharmony.cli import doctor

    def broken() -> str:
        raise RuntimeError("poisson is 3 levels from its definition")

    monkeypatch.setattr(doctor, "_blends", broken)
    monkeypatch.setenv("TMPDIR", "/nonexistent")
    result = call("doctor", code=1)
    assert "FAILED  blends: RuntimeError: poisson is 3 levels" in result.stdout
    assert re.search(r"FAILED  blends:.*\n +-> rm -rf .* && pip install", result.stdout)
    assert json.loads(call("doctor", "--json", "--debug", code=1).stdout)["failed"] == 1


@pytest.mark.parametrize(
    ("architectures", "capability", "runs"),
    [
        (["90-real"], (9, 0), True),
        (["80-real"], (8, 6), True),
        (["86-real"], (8, 0), False),
        (["80-real", "90-real"], (10, 0), False),
        (["75-virtual"], (7, 0), False),
        (["75-virtual"], (12, 0), True),
        (["90"], (12, 0), True),
        (["90a-real"], (9, 0), True),
        (["90a-virtual"], (10, 0), False),
        (["100f-real"], (10, 3), True),
        (["120-real", "90-virtual"], (10, 3), True),
        (["native"], (9, 0), True),
        ([], (9, 0), False),
    ],
)
def test_which_gpus_compiled_kernels_run_on(architectures: list[str], capability: tuple[int, int], runs: bool) -> None:
    from pyharmony.cli import _facts

    assert bool(_facts.code_for(architectures, capability)) == runs


class Cuda:
    """A stand-in for `_C.cuda` on a machine with a GPU, or with a driver that is too old for the kernels."""

    def __init__(self, status: str = "", architectures: tuple[str, ...] = ("90-real",)) -> None:
        self.status = lambda: status
        self.architectures = lambda: list(architectures)

    device_count = staticmethod(lambda: 1)
    runtime_version = staticmethod(lambda: 12040)
    driver_version = staticmethod(lambda: 13000)

    @staticmethod
    def properties(device: int) -> dict[str, object]:
        return {"name": "NVIDIA H200", "capability": (9, 0), "memory": 140 << 30, "free": 139 << 30}


def rows_of_doctor(monkeypatch: pytest.MonkeyPatch, cuda: object, driver: str | None) -> dict[str, dict[str, str]]:
    from pyharmony.cli import _facts, doctor

    monkeypatch.setattr(_facts, "cuda", lambda: cuda)
    monkeypatch.setattr(_facts, "gpu_driver", lambda: driver)
    monkeypatch.setattr(doctor, "_worst_error", lambda *_: 0.001)
    serves = cuda is None or cuda.status() or _facts.code_for(cuda.architectures(), (9, 0))  # type: ignore[attr-defined]
    code = 0 if serves else 1
    return {check["name"]: check for check in json.loads(call("doctor", "--json", code=code).stdout)["checks"]}


def test_doctor_tells_of_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of_doctor(monkeypatch, Cuda(), "580.65")
    assert rows["CUDA kernels"]["found"] == "compiled for 90-real; CUDA runtime 12.4, linked statically"
    assert rows["GPU"]["found"] == "driver 580.65, for CUDA 13.0; 1 device"
    assert re.match(
        r"NVIDIA H200, capability 9.0, 139.0 of 140.0 GiB free; runs code of 90-real; blends", rows["GPU 0"]["found"]
    )
    assert json.loads(call("info", "--json").stdout)["devices"][1]["name"] == "NVIDIA H200"


def test_doctor_says_where_the_driver_compiles_at_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    for architectures, compiles in (
        (("75-virtual",), True), (("75-virtual", "80-virtual"), True), (("90-virtual", "100-real"), True),
        (("90-real",), False), (("75-virtual", "90"), False), (("native",), False),
    ):  # fmt: skip
        rows = rows_of_doctor(monkeypatch, Cuda(architectures=architectures), "580.65")
        assert ("the driver compiles the kernels for it at their first use" in rows["GPU 0"]["found"]) == compiles
        assert ("HM_CUDA_ARCHITECTURES=native" in rows["GPU 0"]["found"]) == compiles
        has_none = all(name.endswith("-virtual") for name in architectures)
        assert ("HM_CUDA_ARCHITECTURES=common" in rows["CUDA kernels"]["found"]) == has_none


def test_doctor_says_why_a_gpu_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of_doctor(monkeypatch, Cuda(architectures=("75-real", "80-real")), "580.65")
    assert rows["GPU 0"]["state"] == "failed"
    assert "compiled for 75-real, 80-real and do not run on it" in rows["GPU 0"]["found"]
    assert "HM_CUDA_ARCHITECTURES=native" in rows["GPU 0"]["remedy"]

    old = "CUDA driver version is insufficient for CUDA runtime version"
    rows = rows_of_doctor(monkeypatch, Cuda(old), "470.1")
    assert (rows["GPU"]["state"], rows["GPU"]["found"]) == ("note", f"driver 470.1: {old}")
    assert rows_of_doctor(monkeypatch, Cuda(old), None)["GPU"]["found"] == "no NVIDIA driver"
    newer = Cuda(old)
    newer.runtime_version = lambda: 14000  # type: ignore[method-assign]
    text = rows_of_doctor(monkeypatch, newer, "580.65")["GPU"]["found"]
    needs = "the driver is for CUDA 13.0, and this build for CUDA 14.0, which needs a newer driver"
    assert text == f"driver 580.65: {needs}"
    rows = rows_of_doctor(monkeypatch, None, "580.65")
    assert rows["GPU"]["found"] == "driver 580.65: no CUDA kernels in this build"
    assert rows["CUDA kernels"]["state"] == "note" and "nvcc" in rows["CUDA kernels"]["remedy"]
    assert not [name for name in rows if name.startswith("GPU ")]


def test_doctor_works_where_the_native_module_does_not() -> None:
    code = (
        "import sys; sys.modules['pyharmony._C'] = None; sys.argv = ['pyharmony', 'doctor']\n"
        "from pyharmony.cli import main; main()"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == 1
    assert re.search(r"FAILED  native module: NativeError: .*\n +-> rm -rf .* && pip install", process.stdout)


def test_bench_measures_in_turn() -> None:
    operations = ("--op", "poisson", "--op", "alpha", "--sizes", "64x48,80x60")
    result = call("bench", *operations, "--rounds", 2, "--threads", 1, "--json", "-v")
    report = json.loads(result.stdout)
    assert (report["rounds"], report["threads"]) == (2, 1)
    assert [(row["op"], row["size"]) for row in report["rows"]] == [
        ("poisson", "64x48"), ("alpha", "64x48"), ("poisson", "80x60"), ("alpha", "80x60"),
    ]  # fmt: skip
    assert all(row["wall_ms"] > 0 and row["ratio"] == 1 for row in report["rows"])
    # The tolerance of a quarter level, and the rounding.
    assert all(row["error_max"] <= 0.25 for row in report["rows"] if row["op"] == "poisson")
    assert "pyharmony" in call("bench", "--op", "alpha", "--sizes", "64x48", "--quiet").stdout


def test_bench_stands_beside_what_is_installed() -> None:
    result = call(
        "bench", "--op", "poisson", "--sizes", "96x64", "--rounds", 1, "--against", "cv2", "--json", "--log-json"
    )
    report = json.loads(result.stdout)
    if importlib.util.find_spec("cv2") is None:
        assert "cv2" in report["missing"]
    else:
        assert [row["name"].split()[0] for row in report["rows"]] == ["pyharmony", "cv2.seamlessClone"]
    assert "--against" in call("bench", "--against", "photoshop", code=2).stderr
    for sizes in ("huge", "0x5", "99999x99999"):
        assert "--sizes" in call("bench", "--sizes", sizes, "--debug", code=2).stderr


def test_demo_does_the_main_job() -> None:
    result = call("demo", "--output", "pictures", "--json", "--verbose")
    report = json.loads(result.stdout)
    notes = result.stderr.splitlines()
    assert f"open {report['page']}: photos, the person pasted" in result.stderr
    # Each printed command, on the photos beside the pictures, makes the same picture.
    matches = [re.fullmatch(r"(.+?): .+: (?:\S+ -m )?pyharmony (.+)", line) for line in notes]
    lines = [match for match in matches if match]
    assert [line[1] for line in lines] == [
        report["edit"], *(record["picture"] for record in report["composites"]), report["merge"],
    ]  # fmt: skip
    for line in lines:
        words = line[2].split()
        assert words[-2] == "-o" and all(Path(word).is_file() for word in words if word.startswith("pictures/"))
        call(*words)
        assert np.array_equal(_pictures.load(Path(words[-1])), _pictures.load(Path("pictures") / words[-1]))
    for scene, record in zip(_demo.SCENES, report["composites"], strict=True):
        background = _pictures.load(_pictures.IMAGES / f"{scene.background}.jpg")
        picture = np.asarray(Image.open(record["picture"]))
        changed = (picture != background).any(2)
        assert record["reasons"] is not None and picture.shape == background.shape
        assert 0.03 < changed.mean() < 0.3 and not changed[:60].any()
        assert {"cut", "laid", "harmonize", "blend", *({"shadow"} & {*scene.arguments})} <= set(record["steps"])
        assert '"colorgrid"' in Path(record["recipe"]).read_text()
        assert np.array_equal(np.asarray(pyharmony.io.read_layers(record["layers"])[1].pixels[..., :3]), picture)
    # README shows what the demo makes; where it makes something else, this file goes to docs/images.
    page, shown = (np.asarray(Image.open(path).convert("RGB"), int) for path in (
        report["page"], ROOT / "docs" / "images" / "together.jpg"))  # fmt: skip
    assert page.shape == shown.shape and np.abs(page - shown).mean() < 1
    for more in ((), ("--log-json", "--debug"), ("--quiet",)):
        assert "--overwrite" in call("demo", "-o", "pictures", *more, code=2).stderr


def test_the_demo_without_extras_says_which_picture_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    monkeypatch.setattr(_demo, "SCENES", _demo.SCENES[1:])
    result = call("demo", "--output", "pictures", "--json", "--verbose")
    assert json.loads(result.stdout)["merge"] is None and not Path("pictures/visit.png").exists()
    assert "visit.png: not written, `pyharmony merge` needs OpenCV: pip install " in result.stderr


def test_the_packaged_pictures_are_small() -> None:
    assert sum(path.stat().st_size for path in _pictures.IMAGES.iterdir()) < 1_100_000


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param("bl", "blend", marks=pytest.mark.full),
        pytest.param("blend --gradi", "--gradients", marks=pytest.mark.full),
        ("blend --mode gau", "gaussian-poisson"),
    ],
)
def test_the_shell_completes(words: str, expected: str) -> None:
    typed = {"COMP_WORDS": f"pyharmony {words}", "COMP_CWORD": str(len(words.split()))}
    completed = process(env={**os.environ, "_PYHARMONY_COMPLETE": "complete_bash", **typed})
    assert expected in completed.stdout.decode().split()
    assert "--install-completion" in call("--help").stdout
    assert "--show-completion" in call("--help").stdout


# The page


def reference_tool() -> Any:
    return load_script("tools/command_reference.py")


def test_the_manual_is_the_same_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    tool = reference_tool()
    manual = tool.manual()
    assert manual.count(".SH") == 3 + len(tool.commands())
    monkeypatch.setenv("COLUMNS", "50")
    assert tool.manual() == manual


def test_the_page_has_every_exit_code() -> None:
    text = (ROOT / "docs" / "command-line.md").read_text()
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)] == [int(code) for code in Code]


def examples() -> list[str]:
    text = (ROOT / "docs" / "command-line.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


@pytest.mark.parametrize("line", [line for line in examples() if not line.startswith("pyharmony demo ")])
def test_an_example_of_the_page_runs(line: str, tmp_path: Path) -> None:
    """The demo has a test of its own; what is more than one command runs in a shell."""
    write_list([(*TRIPLE, "a.png", "86,180")], name="triples.csv")
    program, *words = shlex.split(line)
    if program == "pyharmony" and not {"|", ">", "<", "&&", ";"}.intersection(words):
        call(*words)
        return
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "pyharmony"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pyharmony "$@"\n')
    script.chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    process = subprocess.run(["bash", "-euo", "pipefail", "-c", line], env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr


INTERRUPTED = """
import builtins, os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background is deaf to it
real, wanted = builtins.__import__, sys.argv.pop()
def imports(name, *rest, **options):
    if name.partition(".")[0] == wanted:
        os.kill(os.getpid(), signal.SIGINT)
    return real(name, *rest, **options)
builtins.__import__ = imports
from pyharmony.cli import main
main()
"""


@pytest.mark.parametrize("module", ["typer", "numpy"])
def test_an_interrupt_while_modules_are_imported_is_told_in_a_line(module: str) -> None:
    """An interrupt is told in a line before a command runs, and while it runs."""
    process = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, "info", "--json", module], capture_output=True, text=True
    )
    assert process.returncode == 130, process.stderr
    assert "Traceback" not in process.stderr and "interrupted; nothing was written" in process.stderr
