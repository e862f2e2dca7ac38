"""The examples in the docstrings of the public functions and classes run, and each of these has one.

They run in one process, with NumPy as `np`, each in a folder of its own with the data sets of `prepare`; `...` in
what they show stands for anything. One that needs a package which is not installed is skipped.
"""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import pyharmony
from pyharmony import data

from .test_api_snapshot import MODULES, TORCH_MODULES, public_names

pytestmark = pytest.mark.house

#: Packages that an example may need, each with the text that shows that it does.
OPTIONAL = {
    "torch": re.compile(r"import torch|_score\(|gp_gan|models\."),
    "google_crc32c": re.compile(r"tfrecord|TFRecord"),
}


def callables() -> Iterator[tuple[str, object]]:
    """Yields each public function and class once, by the first name that it has."""
    seen = set()
    for path in MODULES + TORCH_MODULES * (importlib.util.find_spec("torch") is not None):
        module = importlib.import_module(path)
        for name in public_names(module):
            thing = getattr(module, name)
            if callable(thing) and id(thing) not in seen:
                seen.add(id(thing))
                yield f"{path}.{name}", thing


CALLABLES = dict(callables())


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
    square = {"id": 7, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 16}
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
    text = inspect.cleandoc(vars(CALLABLES[name]).get("__doc__") or CALLABLES[name].__doc__ or "")
    example = doctest.DocTestParser().get_doctest(text, {"__name__": "example", "np": np}, name, None, 0)
    assert example.examples, f"{name} has no example"
    for package, sign in OPTIONAL.items():
        if sign.search("".join(step.source for step in example.examples)) and not importlib.util.find_spec(package):
            pytest.skip(f"{package} is not installed")
    for data_set in data_sets.iterdir():
        (tmp_path / data_set.name).symlink_to(data_set)
    monkeypatch.chdir(tmp_path)
    threads, device = pyharmony.get_num_threads(), pyharmony.get_device()
    try:
        pyharmony.set_device("auto")
        failed = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example).failed
    finally:
        pyharmony.set_num_threads(threads)
        pyharmony.set_device(device)
    assert not failed, capsys.readouterr().out
    assert any(step.want for step in example.examples), f"{name}: the example shows no result"
