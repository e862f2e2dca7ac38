"""`pyharmony models`: the list, descriptions, verification, conversion and export."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from pyharmony.cli import main
from pyharmony.networks import models

from ..published_networks import (
    ChainerGpGan,
    NestedUNet,
    PublishedBargainNet,
    PublishedEncoder,
    PublishedUNet3Plus,
    saved_npz,
)
from ..shared import forked, runners, status_of

pytestmark = [pytest.mark.networks, pytest.mark.usefixtures("one_torch_thread")]


call, report_of = runners("models")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    models.save(models.create("realism_cnn", size=32, widths=(4, 8)), tmp_path / "realism.safetensors")
    return tmp_path / "realism.safetensors"


def test_the_list() -> None:
    networks, weights = (part.splitlines() for part in call("list").stdout.split("\n\n"))
    assert [line.split()[0] for line in networks] == [info.name for info in models.list()]
    assert [line.split()[0] for line in weights] == [entry.name for entry in models.weights()]
    assert [m["name"] for m in report_of("list", "--task", "upscale")["models"]] == ["srgan"]
    assert "error: --task: 'enlarge', expected one of" in call("list", "--task", "enlarge", code=2).stderr
    assert "Traceback" in call("list", "--task", "enlarge", "--debug", code=2).stderr


def test_a_network_is_shown() -> None:
    text = call("show", "srgan", "--preset", "x2").stdout
    assert "5,799,948 (generator 586,379, discriminator 5,213,569)" in text
    assert "scale = 2" in text and "not supported" not in text
    assert "not supported" in call("show", "realism_cnn").stdout
    report = report_of("show", "pix2pix")
    assert (report["parameters"]["generator"], report["config"]["norm"], report["converts"]) == (
        54_413_955,
        "batch",
        True,
    )
    lines = call("show", "pix2pix", "--layers").stdout.splitlines()
    assert lines[-1].split() == ["net.last", "transposed", "convolution", "4x4,", "stride", "2", "3x256x256", "6,147"]
    layers = report_of("show", "gp_gan", "--layers")["layers"]
    assert [layer["output"] for layer in layers][4:6] == [[4000, 1, 1], [512, 4, 4]]
    assert "did you mean 'srgan'" in call("show", "srgam", code=2).stderr
    unknown = call("show", "zzz", code=2).stderr
    assert "no network or weights 'zzz'; networks are attention_unet, bargainnet" in unknown
    assert "weights clicks, clicks-imagenet, colorgrid, gp-gan-small" in unknown
    unverified = call("verify", "zzz", code=6).stderr
    assert "weights that come with pyharmony are clicks, clicks-imagenet, colorgrid" in unverified


def test_a_file_is_shown_by_another_command(weights: Path) -> None:
    says = f"{weights} is a file; `pyharmony models verify {weights}` shows its contents"
    assert says in call("show", weights, code=2).stderr


def test_figures_have_no_more_digits_than_they_are_worth() -> None:
    output = call("show", "colorgrid").stdout
    rows = [line for line in output.splitlines() if " images" in line and ":" in line]
    assert rows and not [line for line in rows if re.search(r"\d\.\d{3}|\d{3}\.\d", line.partition(":")[0])]


def test_a_file_is_verified(weights: Path) -> None:
    report = report_of("verify", weights)
    assert (report["name"], report["config"]["size"]) == ("realism_cnn", 32)
    assert report["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert report["sha256"] in call("verify", weights).stdout
    weights.write_bytes(weights.read_bytes()[:-1])
    assert "damaged" in call("verify", weights, code=6).stderr
    assert report_of("verify", weights, code=6)["error"]["kind"] == "WeightsError"


def test_published_weights_are_converted(tmp_path: Path) -> None:
    out = tmp_path / "vgg.safetensors"
    widths = {0: (3, 4), 2: (4, 4), 5: (4, 8), 7: (8, 8), 10: (8, 16), 12: (16, 16), 14: (16, 16)}
    state = {f"features.{i}.weight": torch.rand(b, a, 3, 3) for i, (a, b) in widths.items()}
    state |= {f"features.{i}.bias": torch.rand(b) for i, (_, b) in widths.items()}
    torch.save(state, tmp_path / "vgg16.pth")
    arguments = ("convert", tmp_path / "vgg16.pth", "style_encoder", "--set", "space=rgb", "-o", out)
    assert "style_encoder, 6,948 parameters" in call(*arguments).stderr
    size = out.stat().st_size
    assert "already exists; --overwrite replaces it" in call(*arguments, code=2).stderr
    assert report_of(*arguments, "--overwrite", "--half")["config"]["space"] == "rgb"
    assert out.stat().st_size < 0.7 * size
    assert models.load(out).extractor == "vgg16"
    assert "expected KEY=VALUE" in call(*arguments, "--overwrite", "--set", "space", code=2).stderr
    assert "space: 'lab'" in call(*arguments, "--overwrite", "--set", "space=lab", code=2).stderr
    elsewhere = ("convert", tmp_path / "vgg16.pth", "pix2pix", "--output", tmp_path / "none" / "a.safetensors")
    assert "any published layout of pix2pix" in call(*elsewhere, code=6).stderr


def test_networks_of_two_files_are_converted_together(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1), "model.model.0.weight": torch.zeros(1)}, tmp_path / "G.pth")
    torch.save({"conv1f.weight": torch.zeros(1)}, tmp_path / "E.pth")
    arguments = ("convert", tmp_path / "G.pth", "bargainnet", "-o", tmp_path / "a.safetensors")
    assert "encoder is not among the weights" in call(*arguments, code=6).stderr
    assert "G.pth and " in call(*arguments, "--also", tmp_path / "E.pth", code=6).stderr


def test_style_encoders_on_hcoco_are_converted(tmp_path: Path) -> None:
    torch.manual_seed(0)
    networks = {
        "UnetHSV": PublishedBargainNet(2).published(),
        "StyleDiscHSV": PublishedEncoder(4, "instance").state_dict(),
        "Unet3RGB": PublishedUNet3Plus(2).state_dict(),
        "StyleDisc3RGB": PublishedEncoder(4).state_dict(),
    }
    for name, state in networks.items():
        torch.save(state, tmp_path / f"{name}.pth")
    out, settings = tmp_path / "ours.safetensors", ("--set", "space=hsv", "--set", "dropout=0")
    both = (tmp_path / "UnetHSV.pth", "bargainnet", "--also", tmp_path / "StyleDiscHSV.pth")
    config = report_of("convert", *both, *settings, "-o", out)["config"]
    assert (config["encoder_norm"], config["space"], config["generator"]) == ("instance", "hsv", "unet")
    both = (tmp_path / "Unet3RGB.pth", "bargainnet", "--also", tmp_path / "StyleDisc3RGB.pth")
    config = report_of("convert", *both, "-o", out, "--overwrite")["config"]
    assert (config["encoder_norm"], config["norm"], config["generator"]) == ("batch", "instance", "unet3plus")
    for name, model in (("StyleDiscHSV", "style_encoder"), ("Unet3RGB", "unet3plus")):
        report_of("convert", tmp_path / f"{name}.pth", model, "-o", out, "--overwrite")
        assert models.load(out).name == model


def test_arrays_of_chainer_are_converted_and_another_network_is_named(tmp_path: Path) -> None:
    published = ChainerGpGan("noise", 2, 3, 16)
    saved_npz(tmp_path / "g.npz", published.arrays)
    out = tmp_path / "g.safetensors"
    report = report_of("convert", tmp_path / "g.npz", "gp_gan", "-o", out)
    assert (report["config"]["supervised"], report["config"]["nz"]) == (False, 3)
    z = torch.randn(2, 3).double()
    torch.testing.assert_close(models.load(out).double()(z), published(z), rtol=0, atol=2e-6)
    torch.save(NestedUNet(4, 2, 8, "batch", gates=True).state_dict(), tmp_path / "G.pth")
    message = call("convert", tmp_path / "G.pth", "dovenet", "-o", tmp_path / "d.safetensors", code=2).stderr
    assert "fits attention_unet" in " ".join(message.split())
    assert not (tmp_path / "d.safetensors").exists()


def test_what_a_pickle_would_run_is_not_run(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"a": Payload()}, tmp_path / "a.pth")
    assert "models convert" in call("verify", tmp_path / "a.pth", code=6).stderr
    out = tmp_path / "a.safetensors"
    assert (
        "contains other objects than tensors"
        in call("convert", tmp_path / "a.pth", "pix2pix", "-o", out, code=6).stderr
    )
    assert not (tmp_path / "ran").exists() and not out.exists()


@pytest.mark.full
def test_a_network_is_exported(weights: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    out = tmp_path / "realism.onnx"
    command = [sys.executable, "-m", "pyharmony", "models", "export", str(weights), "--output", str(out)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (process.returncode, process.stderr) == (0, f"{out}: realism_cnn\n")  # and nothing of the exporter's own
    assert out.stat().st_size > 0


def test_an_export_is_refused(weights: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    out = tmp_path / "realism.onnx"
    out.write_bytes(b"precious")
    assert "--overwrite" in call("export", weights, "-o", out, code=2).stderr
    assert "image: 64x64 pixels" in call("export", weights, "-o", out, "--overwrite", "--size", "64", code=3).stderr
    assert out.read_bytes() == b"precious"


def test_what_is_missing_is_named(weights: Path, tmp_path: Path) -> None:
    code = "import sys; sys.modules['torch'] = None; from pyharmony.cli import main; main()"
    command = [sys.executable, "-c", code, "models", "verify", str(weights)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=60)

    def export() -> None:
        sys.modules["onnxscript"] = None  # type: ignore[assignment]
        sys.argv = ["pyharmony", "models", "export", str(weights), "-o", str(tmp_path / "a.onnx")]
        main()

    assert (process.returncode, status_of(forked(export, tmp_path / "said"))) == (1, 1)
    for module, message in (("torch", process.stderr), ("onnxscript", (tmp_path / "said").read_text())):
        assert f"{module} is missing" in message and ": pip install '" in message
        assert len(message.splitlines()) == 1
