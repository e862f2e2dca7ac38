"""A network of one's own, as docs/own-network.md has it: trained, measured, used and exported by the commands."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ..shared import ROOT, forked, need, runners, status_of

torch = pytest.importorskip("torch", reason="torch is not installed")
need("lightning_fabric")


FILE = ROOT / "examples" / "own_network.py"
pytestmark = pytest.mark.networks


@pytest.fixture(scope="module")
def pyharmony(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Returns a function that runs a command in a process of its own, a fork of this, and returns what it says."""
    import pyharmony.cli
    from pyharmony.learn import evaluation as evaluation  # what the forks need: each would import it anew
    from pyharmony.learn.training import _train as _train

    runners("models")[0]("list")

    text = tmp_path_factory.mktemp("said") / "said.txt"

    def run(*arguments: object, code: int = 0) -> str:
        def command() -> None:
            torch.set_num_threads(1)
            sys.argv = ["pyharmony", *map(str, arguments)]
            pyharmony.cli.main()

        assert status_of(forked(command, text)) == code, text.read_text()
        return text.read_text()

    return run


@pytest.fixture(scope="module")
def composites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns folders of composites whose object is darker than in the target."""
    root, rng = tmp_path_factory.mktemp("mine"), np.random.default_rng(0)
    for name in ("composite", "mask", "target"):
        (root / name).mkdir()
    mask = np.zeros((80, 80), np.uint8)
    mask[20:60, 16:70] = 255
    for number in range(24):
        target = Image.fromarray(rng.integers(40, 200, (6, 6, 3), np.uint8)).resize((80, 80), Image.Resampling.BICUBIC)
        composite = np.where(mask[..., None] > 0, np.asarray(target) * 0.7, np.asarray(target)).astype(np.uint8)
        for name, image in (("composite", composite), ("mask", mask), ("target", np.asarray(target))):
            Image.fromarray(image).save(root / name / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def run(pyharmony: Callable[..., str], composites: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "run"
    output = pyharmony(
        "train",
        f"{FILE}:recipe",
        "--data",
        composites,
        "-o",
        folder,
        "--set",
        "schedule.epochs=3",
        "--set",
        "run.batch=4",
        "--set",
        "run.loggers=[]",
    )
    assert "beyond the composite" in output
    return folder


def test_the_page_has_the_file() -> None:
    assert FILE.read_text() in (ROOT / "docs" / "own-network.md").read_text()
    assert len([line for line in FILE.read_text().splitlines() if line.strip()]) <= 45


def test_it_is_measured(pyharmony: Callable[..., str], run: Path) -> None:
    output = pyharmony("--module", FILE, "evaluate", "--run", run)
    before, after = (re.search(rf"\| {name} \| [\d.]+ / ([\d.]+) ", output) for name in ("composite", "run"))
    assert before and after and float(after[1]) > float(before[1]) + 3, output  # dB


def test_it_harmonizes_and_is_exported(
    pyharmony: Callable[..., str], run: Path, composites: Path, tmp_path: Path
) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    image, mask, weights = composites / "composite" / "3.png", composites / "mask" / "3.png", run / "best.safetensors"
    pyharmony("--module", FILE, "harmonize", image, mask, "--network", weights, "-o", tmp_path / "made.png")
    result, expected = (
        np.asarray(Image.open(path), np.float64) for path in (tmp_path / "made.png", composites / "target/3.png")
    )
    composite, inside = np.asarray(Image.open(image), np.float64), np.asarray(Image.open(mask)) > 0
    assert np.abs(result - expected)[inside].mean() < np.abs(composite - expected)[inside].mean()
    pyharmony("--module", FILE, "models", "export", weights, "-o", tmp_path / "tint.onnx", "--size", 80)
    session = runtime.InferenceSession(tmp_path / "tint.onnx")
    batch = {"composite": composite.transpose(2, 0, 1)[None] / 255, "mask": inside[None, None]}
    (outputs,) = session.run(None, {name: value.astype(np.float32) for name, value in batch.items()})
    assert (
        np.abs(outputs[0].transpose(1, 2, 0) * 255 - expected)[inside].mean()
        < np.abs(composite - expected)[inside].mean()
    )


def test_the_commands_know_it_by_its_file_alone(pyharmony: Callable[..., str], run: Path, tmp_path: Path) -> None:
    assert "two convolutions" in pyharmony("--module", FILE, "models", "show", "tint")
    assert "pyharmony --module FILE.py" in pyharmony("models", "verify", run / "best.safetensors", code=6)
    assert "--module: nothing.py: no such file" in pyharmony("--module", "nothing.py", "models", "list", code=3)
    broken = tmp_path / "broken.py"
    broken.write_text("import math\nrecipe = 3\nmath.sqrt(-1)\n")
    output = pyharmony("--module", broken, "models", "list", code=3)
    assert f"--module: {broken}: ValueError" in output and "(line 3)" in output


@pytest.mark.parametrize(
    ("text", "key", "says", "code"),
    [
        ("", "", "does not define 'recipe'", 2),
        ("mine = {}", "recipe", "does not define 'recipe'", 2),
        ("recipe = 3", "", "recipe of .* is a int, expected a dictionary", 2),
        ("def recipe(): return {'model': {'name': 'tint'}}", "", "name: 'tint' is no model", 2),
        ("def mine():\n    return {}['model']", "mine", r"CONFIG: mine\(\) of .*: KeyError: 'model' \(line 2\)", 3),
        ("def recipe(width): return {}", "", r"CONFIG: recipe\(\) of .*: TypeError: .* argument: 'width'", 3),
    ],
)
def test_a_file_without_a_recipe_is_refused(
    pyharmony: Callable[..., str], tmp_path: Path, text: str, key: str, says: str, code: int
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    output = pyharmony("train", f"{file}:{key}" if key else file, "--data", tmp_path, "-o", tmp_path / "run", code=code)
    assert re.search(says, output), output


def test_what_cannot_be_registered_is_refused() -> None:
    from dataclasses import dataclass

    from pyharmony.errors import ArgumentError, DTypeError
    from pyharmony.learn.training import steps
    from pyharmony.networks import models

    class Named(models.Model):
        name = "no name"

    class Taken(models.Model):
        name = "dovenet"

    class Between(models.Model):
        name, low = "between", 0.5

    class Fine(models.Model):
        name = "fine"

    @dataclass(frozen=True)
    class Config:
        width: int = 1

    @dataclass(frozen=True)
    class Without:
        width: int

    def refused(error: type[Exception], says: str, *arguments: Any, **more: Any) -> None:
        with pytest.raises(error, match=says):
            models.register(*arguments, **{"task": "harmonize", **more})

    refused(DTypeError, "make: .*expected a class derived from", object, Config)
    refused(ArgumentError, "name is 'no name', expected a name of letters", Named, Config)
    refused(ArgumentError, "name: 'dovenet' is already registered", Taken, Config)
    refused(ArgumentError, r"make: Between\.low is 0\.5, expected -1 or 0", Between, Config)
    refused(ArgumentError, "config: .*whose fields have defaults", Fine, Without)
    refused(ArgumentError, "task: 'paint'", Fine, Config, task="paint")
    with pytest.raises(DTypeError, match="expected a class derived from"):
        steps.register("fine")(object)  # type: ignore[type-var]
    assert "fine" not in {info.name for info in models.list()}
