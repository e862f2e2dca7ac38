"""The examples in the docstrings of the public functions and classes run, and each of these has one.

They run with NumPy as `np`, each in a folder of its own with the data sets of `prepare`; `...` in what they show stands
for anything. They run in one process, and twice in a fork of a process that has imported only their module. One that
needs a package which is not installed is skipped.
"""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import inspect
import json
import pickle
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyharmony
from pyharmony.errors import PyHarmonyError
from pyharmony.learn import data

from .. import skips
from .test_api_snapshot import MODULES, TORCH_MODULES, callables, public_names

pytestmark = pytest.mark.house

#: Packages that an example may need, each with the text that shows that it does.
OPTIONAL = {
    "torch": re.compile(r"import torch|_score\(|gp_gan|models\.|for_torchvision\("),
    "albumentations": re.compile(r"for_albumentations\("),
    "google_crc32c": re.compile(r"tfrecord|TFRecord"),
    "cv2": re.compile(r"merging\.merge\("),
}


HAS_TORCH = importlib.util.find_spec("torch") is not None
CALLABLES = dict(callables(MODULES + TORCH_MODULES * HAS_TORCH))


def example_of(name: str, thing: object) -> doctest.DocTest:
    text = inspect.cleandoc(vars(thing).get("__doc__") or thing.__doc__ or "")
    return doctest.DocTestParser().get_doctest(text, {"__name__": "example", "np": np}, name, None, 0)


def missing(example: doctest.DocTest) -> list[str]:
    """Returns the packages that an example needs and that are not installed."""
    source = "".join(step.source for step in example.examples)
    return [name for name, sign in OPTIONAL.items() if sign.search(source) and not importlib.util.find_spec(name)]


def prepare(folder: Path) -> None:
    """Writes the data sets that examples read: two photographs with masks, composites of them, and others."""
    rng = np.random.default_rng(0)
    mask = np.zeros((24, 32), np.uint8)
    mask[6:18, 8:24] = 255
    pictures = [rng.integers(50, 200, (24, 32, 3), np.uint8) for _ in range(2)]
    for part in ("photos/images", "photos/masks", "scenes/park", "coco", "manifest"):
        (folder / part).mkdir(parents=True)
    for name, picture in zip("ab", pictures):
        pyharmony.save(picture, folder / "photos" / "images" / f"{name}.png")
        pyharmony.save(mask, folder / "photos" / "masks" / f"{name}.png")
        pyharmony.save(picture, folder / "scenes" / "park" / f"{name}.png")
    pyharmony.save(pictures[0], folder / "coco" / "1.jpg")
    pyharmony.save(pictures[0], folder / "manifest" / "a.png")
    data.write_triples(data.Synthesis(data.Photos(folder / "photos")), folder / "triples")
    for part, name in (("composite_images", "c1_1_1.jpg"), ("masks", "c1_1.png"), ("real_images", "c1.jpg")):
        (folder / "iHarmony4" / "HCOCO" / part).mkdir(parents=True)
        pyharmony.save(mask if part == "masks" else pictures[0], folder / "iHarmony4" / "HCOCO" / part / name)
    (folder / "iHarmony4" / "IHD_test.txt").write_text("HCOCO/composite_images/c1_1_1.jpg\n")
    square = {"id": 7, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 16, "bbox": [2, 2, 4, 4]}
    coco = {
        "images": [{"id": 1, "file_name": "1.jpg", "height": 24, "width": 32}],
        "annotations": [{**square, "segmentation": [[2, 2, 6, 2, 6, 6, 2, 6]]}],
        "categories": [{"id": 1, "name": "person"}],
    }
    (folder / "coco" / "instances.json").write_text(json.dumps(coco))
    entry = {"file": "a.png", "role": "photo", "pair": "a", "split": "test"}
    (folder / "manifest" / "manifest.json").write_text(json.dumps({"entries": [entry]}))


@pytest.fixture(scope="module")
def data_sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples") / "data"
    prepare(folder)
    return folder


@pytest.mark.parametrize("name", CALLABLES)
def test_the_example_runs(
    name: str, data_sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    example = example_of(name, CALLABLES[name])
    assert example.examples, f"{name} has no example"
    for package in missing(example):
        pytest.skip(skips.not_installed(package))
    for data_set in data_sets.iterdir():
        (tmp_path / data_set.name).symlink_to(data_set)
    monkeypatch.chdir(tmp_path)
    threads, device = pyharmony.get_num_threads(), pyharmony.get_device()
    try:
        pyharmony.set_device("auto")
        with warnings.catch_warnings(record=True) as records:
            warnings.simplefilter("always")
            failed = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example).failed
    finally:
        pyharmony.set_num_threads(threads)
        pyharmony.set_device(device)
    assert not failed, capsys.readouterr().out
    messages = [str(one.message) for one in records if issubclass(one.category, UserWarning)]  # others are not shown
    assert messages == [], "warnings that the example does not show"
    assert any(step.want for step in example.examples), f"{name}: the example shows no result"


#: Public functions without an argument that has a name, or with any keyword.
NAMELESS = ("get_device", "get_num_threads", "has_cuda", "simd_level", "create")


@pytest.mark.parametrize("name", [name for name, thing in CALLABLES.items() if inspect.isfunction(thing)])
def test_an_unknown_keyword_is_answered_with_a_known_one(name: str) -> None:
    """Each public function names the argument that was meant: another number, or a letter missing or twice."""
    function: Any = CALLABLES[name]
    parameters = inspect.signature(function).parameters.values()
    names = [one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    if name.rpartition(".")[2] in NAMELESS:
        return
    assert names
    for one in names:
        for wrong in (f"{one}s", one.removesuffix("s"), f"{one}{one[-1]}", f"{one[:-2]}{one[-1]}", one.upper()):
            if wrong in names or len(one) < 3:
                continue
            with pytest.raises(TypeError) as raised:
                function(**{wrong: 1})
            error = raised.value
            assert isinstance(error, PyHarmonyError) and error.argument == wrong, (wrong, error)
            assert error.code == "unknown-argument" and any(right in str(error) for right in names), error
            if wrong in (f"{one}s", one.removesuffix("s")) and f"{one}s" not in names:
                assert error.hint == f"did you mean {one!r}?", (wrong, error)
    with pytest.raises(TypeError, match=f"{function.__name__}; expected some of .*{names[0]}"):
        function(qqqq=1)
    # Errors of other kinds stay as they are, and the function is found again by pickle.
    assert pickle.loads(pickle.dumps(function)) is function  # noqa: S301  # its own bytes


#: Runs the examples of a module, each twice in a fork of this process: argv is the module, data sets, a folder to write
#: to, and the names. Prints a line with the name and exit status of each fork.
TWICE_IN_A_FORK = """
import doctest, importlib, inspect, os, sys
from pathlib import Path
import numpy as np

module, names = importlib.import_module(sys.argv[1]), sys.argv[4:]
data_sets, folder = map(Path, sys.argv[2:4])

def run_twice(name):
    for times in "12":
        thing = getattr(module, name)
        assert callable(thing), f"{name} is {thing}"
        text = inspect.cleandoc(vars(thing).get("__doc__") or thing.__doc__)
        example = doctest.DocTestParser().get_doctest(text, {"__name__": "example", "np": np}, name, None, 0)
        assert example.examples, f"{name} has no example"
        here = folder / f"{name}{times}"
        here.mkdir()
        for data_set in data_sets.iterdir():
            (here / data_set.name).symlink_to(data_set)
        os.chdir(here)
        assert not doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example).failed

for name in names:
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            run_twice(name)
            status = 0
        except BaseException as error:
            print(f"{name}: {error!r}")
        finally:
            sys.stdout.flush()
            os._exit(status)
    print(name, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def failing_twice(path: str, data_sets: Path, folder: Path, names: list[str], before: str = "") -> str:
    """Runs a module's examples as TWICE_IN_A_FORK says, after other code; returns all output where one fails."""
    command = [sys.executable, "-c", before + TWICE_IN_A_FORK, path, str(data_sets), str(folder), *names]
    process = subprocess.run(command, cwd="/", capture_output=True, text=True)
    lines = process.stdout.splitlines()
    passed = process.returncode == 0 and all(f"{name} 0" in lines for name in names)
    return "" if passed else process.stdout + process.stderr


def examples_of(path: str) -> list[doctest.DocTest]:
    """Returns the examples of a module's public functions and classes, by their names in it."""
    module = importlib.import_module(path)
    things = {name: getattr(module, name) for name in public_names(module)}
    examples = [example_of(name, thing) for name, thing in things.items() if callable(thing)]
    return [example for example in examples if example.examples]


#: The rooms of the short form; what the package itself holds runs twice in test_without_torch.py, too, and `blend`
#: imports its functions eagerly.
SHORT_ROOMS = ("pyharmony.compat", "pyharmony.learn.data", "pyharmony.io")


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=() if path in SHORT_ROOMS else pytest.mark.full)
        for path in (*MODULES, "pyharmony.io", *TORCH_MODULES)
    ],
)
def test_examples_run_twice_with_nothing_else_imported(path: str, data_sets: Path, tmp_path: Path) -> None:
    """A function needs no import that another one makes, and its second call finds what its first one left."""
    if path in TORCH_MODULES:
        pytest.importorskip("torch", reason="torch is not installed")
    names = [example.name for example in examples_of(path) if not missing(example)]
    assert names
    assert not (message := failing_twice(path, data_sets, tmp_path, names)), message
