"""`pyharmony super-resolve`: methods, weights of the user, what is kept of the file, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pyharmony import upscaling

from ..compositor.test_upscaling import light_weights, picture
from ..shared import pixels, runners, to_dtype

pytestmark = pytest.mark.chains

call, report_of = runners("super-resolve")


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(to_dtype(picture(), "uint8")).save(tmp_path / "photo.png", dpi=(300, 300))
    (tmp_path / "light.safetensors").write_bytes(light_weights())
    monkeypatch.chdir(tmp_path)


def test_it_enlarges_what_the_function_enlarges() -> None:
    result = report_of("photo.png", "--output", "out.png", "--network", "light.safetensors", "--tile", "32")
    method = upscaling.trained("light.safetensors")
    assert np.array_equal(pixels("out.png"), upscaling.super_resolve(pixels("photo.png"), method=method, tile=32))
    assert (result["method"], result["scale"], result["width"], result["height"]) == ("trained", 2, 120, 90)
    assert result["tiles"] == 4 and result["output"] == "out.png"
    assert Image.open("out.png").info["dpi"][0] == pytest.approx(300, abs=1)
    call("photo.png", "-o", "out.png", "--method", "lanczos", code=2)
    again = call("photo.png", "-o", "out.png", "--method", "lanczos", "--scale", "4", "--overwrite", "--verbose")
    assert "wrote out.png: 240 x 180 pixels by lanczos" in again.stderr
    assert np.array_equal(pixels("out.png"), upscaling.super_resolve(pixels("photo.png"), 4, method="lanczos"))


def test_it_writes_to_stdout() -> None:
    import io

    data = call("photo.png", "-o", "-", "--method", "bicubic").stdout_bytes
    assert Image.open(io.BytesIO(data)).size == (120, 90)


@pytest.mark.parametrize(
    ("options", "says", "code"),
    [
        (("--scale", "3", "--method", "bicubic"), "--scale: 3, expected 2 or 4", 2),
        (("--tile", "2", "--method", "bicubic"), "--tile: 2, expected a whole number of at least 16", 2),
        (("--method", "nearest"), "--method: 'nearest', expected one of 'auto', 'srgan'", 2),
        (("--method", "bicubic", "--network", "light.safetensors"), "exclude each other", 2),
        (("--network", "none.safetensors"), "none.safetensors: no such file", 3),
        (("--network", "photo.png"), "photo.png", 6),
        (("--method", "bicubic", "--json", "-o", "-"), "both write to stdout", 2),
    ],
)
def test_what_cannot_be_is_said_in_its_options(options: tuple[str, ...], says: str, code: int) -> None:
    result = call("photo.png", *(options if "-o" in options else ("-o", "out.png", *options)), code=code)
    assert says in result.stderr + result.stdout and not Path("out.png").exists()


def test_what_a_file_cannot_hold_is_told_before_the_work() -> None:
    Image.fromarray(np.full((20, 20, 4), 90, np.uint8)).save("clear.png")
    result = call("clear.png", "-o", "out.jpg", "--method", "bicubic", code=2)
    assert "JPEG has no alpha channel" in result.stderr and not Path("out.jpg").exists()
    call("clear.png", "-o", "out.png", "--method", "bicubic")
    assert Image.open("out.png").mode == "RGBA"


def test_what_it_tells() -> None:
    words = ("photo.png", "-o", "out.png", "--method", "bicubic", "--overwrite")
    assert call(*words, "--quiet").stderr == ""
    assert json.loads(call(*words, "--log-json").stderr.splitlines()[-1])["message"].startswith("wrote out.png")
    assert "Traceback" in call("none.png", "-o", "x.png", "--debug", code=3).stderr
