"""The work without torch, OpenCV and other optional packages, and the messages before torch is loaded.

A package that is None in sys.modules cannot be imported, as if it were not installed.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pyharmony import _shipped

from ..shared import load_script
from .test_api_snapshot import MODULES
from .test_examples import OPTIONAL as NEEDED
from .test_examples import examples_of, failing_twice, prepare
from .test_house import run_python

pytestmark = pytest.mark.house


OPTIONAL = (
    "torch", "safetensors", "cv2", "cupy", "scipy", "onnx", "onnxscript", "lightning_fabric", "tensorboard",
    "google_crc32c", "tifffile", "skimage", "matplotlib",
)  # fmt: skip
ABSENT = "import sys\n" + "".join(f"sys.modules[{name!r}] = None\n" for name in OPTIONAL)

#: Calls that need a network, or another package that an extra brings, in the folder of the examples' data sets.
NEEDING = {
    "pyharmony.blend.gp_gan": "(src, dst, mask, network='gp-gan-small')",
    "pyharmony.learn.evaluation.harmonizer": "('colorgrid')",
    "pyharmony.learn.evaluation.judge": "('realism-small')",
    "pyharmony.harmony_score": "(src, mask)",
    "pyharmony.merge": "([src, dst])",
    "pyharmony.merging.merge": "([src, dst])",
    "pyharmony.realism_score": "(src, mask)",
    "pyharmony.learn.training.train": "(pyharmony.learn.training.config_of({'model': {'name': 'dovenet'}, "
    "'data': {'root': 'triples', 'size': 16}, 'schedule': {'steps': 1}}), 'run')",
    "pyharmony.learn.data.TFRecordPairs": "(pyharmony.learn.data.write_tfrecord([sample], 'a') or 'a')",
    "pyharmony.learn.data.write_tfrecord": "([sample], 'a.tfrecord')",
    "pyharmony.learn.data.write_tfrecord_shards": "([sample], 'a')",
}
#: The message of an ImportError, which says what is missing and how it is installed.
HELPFUL = re.compile(r"\w+ is missing.*pip install")


def without(code: str) -> str:
    return run_python(ABSENT + code)


@pytest.fixture(scope="module")
def data_sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples") / "data"
    prepare(folder)
    return folder


#: The rooms whose calls the short form makes: all that most people call is in the first.
SHORT_ROOMS = ("pyharmony", "pyharmony.io")


@pytest.mark.parametrize(
    "path",
    [pytest.param(x, marks=() if x in SHORT_ROOMS else pytest.mark.full) for x in (*MODULES, "pyharmony.io")],
)
def test_every_public_function_works_or_needs_a_package(path: str, data_sets: Path, tmp_path: Path) -> None:
    names = []
    for example in examples_of(path):
        needs_more = any(sign.search("".join(step.source for step in example.examples)) for sign in NEEDED.values())
        assert needs_more == (f"{path}.{example.name}" in NEEDING), example.name
        names += [] if needs_more else [example.name]
    assert names
    assert not (message := failing_twice(path, data_sets, tmp_path, names, ABSENT)), message


def test_what_needs_a_package_says_what_to_install(data_sets: Path) -> None:
    code = (
        "import json, os, numpy as np, pyharmony, pyharmony.learn.training\n"
        f"os.chdir({str(data_sets)!r})\n"
        "src, dst = (np.random.default_rng(i).integers(0, 256, (24, 31, 3), np.uint8) for i in range(2))\n"
        "mask = np.zeros((24, 31), np.uint8); mask[6:18, 7:25] = 255\n"
        "sample = {'name': 'a', 'composite': src, 'target': dst, 'mask': mask}\n"
        "found = {}\n"
        f"for name, call in {NEEDING!r}.items():\n"
        "    try:\n"
        "        eval(name + call)\n"
        "    except Exception as error:\n"
        "        found[name] = [type(error).__name__, str(error)]\n"
        "print(json.dumps(found))\n"
    )
    report = json.loads(without(code).splitlines()[-1])
    assert report.keys() == NEEDING.keys()
    for name, (error, message) in report.items():
        assert error == "ImportError" and HELPFUL.search(message), f"{name}: {message}"


def test_a_room_of_torch_is_not_there_and_its_import_says_what_to_install() -> None:
    code = """
import importlib
for name in ("models", "losses", "nn", "training.steps"):
    room, _, last = f"pyharmony.{name}".rpartition(".")
    package = importlib.import_module(room)
    assert not hasattr(package, last) and last not in dir(package)
    for statement in (f"import pyharmony.{name}", f"from {room} import {last}", f"package.{last}"):
        try:
            exec(statement)
        except (ImportError, AttributeError) as error:
            print(f"{type(error).__name__}: {error}")
"""
    lines = without(code).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["ImportError", "ImportError", "AttributeError"] * 4
    assert all(HELPFUL.search(line) for line in lines), lines


def test_help_and_inspection_work() -> None:
    code = """
import inspect, pydoc, pyharmony
names = {name for name, _ in inspect.getmembers(pyharmony)}
assert {"blend", "harmonize", "ops", "training", "typing"} <= names
assert not {"models", "losses", "nn"} & names
text = pydoc.plain(pydoc.render_doc(pyharmony))
assert "harmonize(image" in text and "realism_score(image" in text, text
for name in sorted(names):
    thing = getattr(pyharmony, name)
    if inspect.ismodule(thing) or inspect.isfunction(thing):
        pydoc.render_doc(thing)
"""
    without(code)


@pytest.mark.full
def test_all_rooms_are_there_with_torch() -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    code = (
        "import inspect, pyharmony; names = dict(inspect.getmembers(pyharmony)); "
        "assert {'models', 'losses', 'nn'} <= names.keys(); assert hasattr(pyharmony.learn.training, 'steps')"
    )
    run_python(code)


def test_looking_at_the_package_loads_nothing() -> None:
    code = (
        "import sys, pyharmony; dir(pyharmony); print({'torch', 'numpy', 'PIL', 'pyharmony._C'} & sys.modules.keys())"
    )
    assert run_python(code).strip() == "set()"


def test_harmonize_without_torch_runs_the_default_and_names_what_else_runs() -> None:
    code = """
import numpy as np, pyharmony
image, mask = np.random.default_rng(0).integers(0, 99, (64, 64, 3), np.uint8), np.zeros((64, 64), np.uint8)
mask[16:48, 16:48] = 255
image[mask > 0] += 90
for method, guard in (("auto", False), ("colorgrid", False), ("reinhard", True)):
    made, info = pyharmony.harmonize(image, mask, method=method, guard=guard, return_info=True)
    assert info.method == method and (made != image).any() and (made == image)[mask == 0].all()
try:
    pyharmony.harmonize(image, mask, method="pix2pix")
except ImportError as error:
    print(error)
"""
    message = without(code)
    assert HELPFUL.search(message)
    assert "the methods 'auto', 'reinhard'" in message and "'xue'" in message


def test_wrong_arguments_are_named_without_torch() -> None:
    """The messages about a method of `harmonize` and about a training run."""
    expected = {
        "harmonize('mlk')": "ArgumentError .*expected one of 'auto'",
        "harmonize('nosuch.safetensors')": "WeightsError .*nosuch.safetensors: there is no such file",
        "harmonize(Path('nosuch'))": "WeightsError .*nosuch: there is no such file",
        "harmonize(3)": "DTypeError .*method: int",
        "training.train(config, 'run', device='gpu')": "ArgumentError device: 'gpu', expected 'cpu' or 'cuda'",
        "training.train(config, 'run')": "FileNotFoundError",
    }
    code = f"""
from pathlib import Path
import numpy as np, pyharmony
from pyharmony import training
config = training.config_of(training.recipe("dovenet") | {{"data": {{"root": "/nosuch"}}, "schedule": {{"steps": 1}}}})
def harmonize(method):
    pyharmony.harmonize(np.zeros((8, 8, 3), np.uint8), np.eye(8) > 0, method=method)
for call in {list(expected)!r}:
    try:
        eval(call)
    except (pyharmony.errors.PyHarmonyError, OSError) as error:
        print(type(error).__name__, str(error).replace(chr(10), " "))
"""
    for line, (call, message) in zip(without(code).splitlines(), expected.items(), strict=True):
        assert re.match(message, line), f"{call}: {line}"


# The command line


def command_line(*commands: str, folder: Path, absent: bool) -> list[tuple[int, bool, str]]:
    """Runs each command in turn in one process; returns exit codes, whether torch is loaded, and what each said."""
    code = f"""{ABSENT if absent else "import sys"}
import contextlib, io, json
import pyharmony.cli
found = []
for command in {[command.split() for command in commands]!r}:
    sys.argv = ["pyharmony", *command]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            pyharmony.cli.main()
        except SystemExit as end:
            code = end.code or 0
    found.append((code, sys.modules.get("torch") is not None, out.getvalue() + err.getvalue()))
print(json.dumps(found))
"""
    process = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return [(code, loaded, text) for code, loaded, text in json.loads(process.stdout.splitlines()[-1])]


#: Commands, with the code that they end with and what they say.
EARLY = {
    "models list": (0, "colorgrid"),
    "models list --task realism": (0, "realism_cnn"),
    "models list --task compose": (2, "task: 'compose', expected one of"),
    "models list --json": (0, '"models"'),
    "models show colorgrid": (0, "sha256"),
    "models show pix2pix --preset small": (0, "width = "),
    "models show dovnet": (2, "did you mean 'dovenet'?"),
    "models show dovenet --preset large": (2, "preset: 'large', dovenet has residual, small"),
    "models verify nosuch": (6, "nosuch: there is no such file"),
    "models export nosuch -o x.onnx": (6, "nosuch: there is no such file"),
    "models convert weights.pth dovnet -o x.safetensors": (2, "did you mean 'dovenet'?"),
    "models convert weights.pth dovenet -o x.safetensors --set witdh=3": (2, "did you mean 'width'?"),
    "train --recipes": (0, "colorgrid-five-minutes"),
    "train nosuch": (2, "no recipe or file nosuch"),
    "train dovenet --set run.batchs=3": (2, "did you mean 'batch'?"),
    "train dovenet --set run.batch=three": (2, "run.batch: str 'three'"),
    "train --model dovnet --data x": (2, "did you mean 'dovenet'?"),
    "train --model dovenet --data x --set model.witdh=3": (2, "did you mean 'width'?"),
    "train --model dovenet --data x --device gpu": (2, "'gpu', expected 'cpu' or 'cuda'"),
    "evaluate --data . --method mlk": (2, "mlk"),
    "evaluate --data . --network nosuch.safetensors": (6, "nosuch.safetensors: there is no such file"),
    "evaluate --data . --judge nosuch.safetensors": (6, "nosuch.safetensors: there is no such file"),
    "evaluate --data . --device gpu": (2, "gpu"),
    "harmonize a.png b.png -o c.png --method mlk": (2, "--method: 'mlk', expected one of auto"),
    "harmonize a.png b.png -o c.png --network nosuch.safetensors": (6, "nosuch.safetensors: there is no such file"),
    "train --model dovenet --data nosuch": (3, "nosuch"),
}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(folder / "a.png")
    mask = np.zeros((20, 30), np.uint8)
    mask[5:15, 5:15] = 255
    Image.fromarray(mask).save(folder / "b.png")
    return folder


@pytest.mark.parametrize(
    "absent", [pytest.param(False, marks=pytest.mark.full), True], ids=["with torch", "without torch"]
)
def test_lists_and_slips_are_told_before_torch_is_loaded(pictures: Path, absent: bool) -> None:
    if not absent:
        pytest.importorskip("torch", reason="torch is not installed")
    outcomes = command_line(*EARLY, folder=pictures, absent=absent)
    for (command, (code, says)), (status, loaded, message) in zip(EARLY.items(), outcomes, strict=True):
        assert says in message and status == code, f"{command}: {status}, {message}"
        # Settings of a step, which torch has to be there for, are told before data are opened; it is the last command.
        assert not loaded or command.startswith("train --model dovenet --data"), command


def test_harmonize_on_the_command_line_names_what_runs_without_torch(pictures: Path) -> None:
    network = _shipped.FOLDER / "gp-gan-small.safetensors"
    commands = (f"harmonize a.png b.png -o d.png --network {network}", "harmonize a.png b.png -o c.png")
    (code, _, message), (status, _, _) = command_line(*commands, folder=pictures, absent=True)
    assert code == 1 and HELPFUL.search(message) and "'auto'" in message and not (pictures / "d.png").exists()
    assert status == 0 and (pictures / "c.png").is_file()


def test_the_list_of_networks_is_that_of_the_models() -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    tool = load_script("tools/model_catalogue.py")
    assert tool._catalogue.FILE.read_text("utf-8") == tool.catalogue(), "run `make model-catalogue`"
