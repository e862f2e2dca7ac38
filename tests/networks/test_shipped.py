"""The weights that come with pyharmony: their list, their checksums, and what a damaged installation says."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from pyharmony import _shipped
from pyharmony.cli._app import app
from pyharmony.errors import ArgumentError, WeightsError
from pyharmony.learn import data

torch = pytest.importorskip("torch", reason="torch is not installed")

from pyharmony.networks import models

from ..shared import ROOT, load_script

pytestmark = [pytest.mark.networks, pytest.mark.usefixtures("one_torch_thread")]


def call(*arguments: str, code: int = 0) -> Any:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, (result.stderr, result.exception)
    return result


def narrow() -> models.Model:
    torch.manual_seed(0)
    return models.create("gp_gan", size=16, width=4, bottleneck=8, critic_width=4).eval()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns a folder of weights with one file, in place of the package's."""
    path = tmp_path / "tiny.safetensors"
    models.save(narrow(), path, dtype="float16", part="generator")
    content = path.read_bytes()
    entry = {
        "name": "tiny", "model": "gp_gan", "task": "blend", "summary": "A tiny one", "file": path.name,
        "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), "licence": "Apache-2.0",
        "trained_on": "nothing", "open_data": True, "commands": ["pyharmony train gp_gan"],
        "figures": [{"data": "squares", "images": 3, "measure": "MSE", "value": 2.5, "low": 2, "high": 3}],
    }  # fmt: skip
    (tmp_path / "manifest.json").write_text(json.dumps({"format": 1, "weights": [entry]}))
    monkeypatch.setattr(_shipped, "FOLDER", tmp_path)
    return tmp_path


def change(folder: Path, **values: Any) -> None:
    """Changes values in the entry."""
    path = folder / "manifest.json"
    table = json.loads(path.read_text())
    table["weights"][0].update(values)
    path.write_text(json.dumps(table))


def test_they_are_listed(folder: Path) -> None:
    (entry,) = models.weights()
    assert (entry.name, entry.model, entry.path) == ("tiny", "gp_gan", folder / "tiny.safetensors")
    assert entry.figures == (models.Figure("squares", 3, "MSE", 2.5, 2, 3),)
    assert models.weights("blend") == [entry] and models.weights("upscale") == []
    with pytest.raises(ArgumentError, match="task: 'enlarge', expected one of"):
        models.weights("enlarge")


def test_they_are_loaded_by_their_name(folder: Path) -> None:
    read = models.load("tiny")
    assert {t.dtype for t in read.state_dict().values() if t.is_floating_point()} == {torch.float32}
    assert {t.dtype for t in _state(folder / "tiny.safetensors").values() if t.is_floating_point()} == {torch.float16}
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    assert torch.equal(read(x), models.load(folder / "tiny.safetensors")(x))
    with pytest.raises(WeightsError, match="tiny: contains only the generator of gp_gan"):
        models.load("tiny", whole=True)


def _state(path: Path) -> dict[str, Any]:
    import safetensors.torch

    state: dict[str, Any] = safetensors.torch.load_file(path)
    return state


def test_a_damaged_file_is_named(folder: Path) -> None:
    path = folder / "tiny.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(WeightsError, match=rf"{path}: damaged, its SHA-256 is .*, expected .*; install"):
        models.load("tiny")
    assert "SHA-256" in call("models", "verify", "tiny", code=6).stderr
    assert str(path) in call("models", "verify", code=6).stderr


def test_a_truncated_file_is_named(folder: Path) -> None:
    path = folder / "tiny.safetensors"
    content = path.read_bytes()
    for length in (0, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(WeightsError, match=rf"{path}: damaged, {length:,} bytes in place of {len(content):,}"):
            models.load("tiny")


def test_a_checksum_of_another_file_is_told(folder: Path) -> None:
    change(folder, sha256="0" * 64)
    with pytest.raises(WeightsError, match=f"expected {'0' * 64}"):
        models.load("tiny")


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "tiny.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"tiny.safetensors: there is no such file, expected the weights tiny"):
        models.load("tiny")
    report = json.loads(call("doctor", "--json", code=1).stdout)
    (check,) = [check for check in report["checks"] if check["name"] == "weights"]
    assert check["state"] == "failed" and "tiny.safetensors: there is no such file" in check["found"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "manifest.json: not JSON"),
        ("[]", "expected an object of format 1"),
        ('{"format": 2, "weights": []}', "expected an object of format 1"),
        ('{"format": 1, "weights": [{"name": "x"}]}', "manifest.json: a damaged entry, TypeError"),
        ('{"format": 1, "weights": [3]}', "manifest.json: a damaged entry, TypeError"),
    ],
)
def test_a_damaged_list_is_told(folder: Path, text: str, says: str) -> None:
    (folder / "manifest.json").write_text(text)
    with pytest.raises(WeightsError, match=says):
        models.load("tiny")
    assert says in call("info", code=6).stderr


def test_files_elsewhere_are_not_meant(folder: Path) -> None:
    change(folder, file="../tiny.safetensors")
    with pytest.raises(WeightsError, match=r"'\.\./tiny\.safetensors', expected a name without a folder"):
        models.weights()


def test_a_missing_list_is_told(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    with pytest.raises(WeightsError, match=r"manifest.json: cannot be read, No such file"):
        models.weights()


def test_a_name_that_is_none_is_told(folder: Path) -> None:
    with pytest.raises(WeightsError, match="tinny: no such file or weights; did you mean 'tin"):
        models.load("tinny")
    with pytest.raises(WeightsError, match="without weights under this name, only 'tiny'"):
        models.load("gp-gan")
    with pytest.raises(WeightsError, match="comes without weights of srgan"):
        models.load("srgan")


def test_the_command_line_shows_them(folder: Path) -> None:
    assert call("models", "list").stdout.splitlines()[-1].split()[:5] == ["tiny", "blend", "weights", "of", "gp_gan,"]
    assert [w["name"] for w in json.loads(call("models", "list", "--json").stdout)["weights"]] == ["tiny"]
    output = call("models", "show", "tiny").stdout
    assert "MSE 2.50 (2.00 to 3.00): squares, 3 images" in output and "docs/models/gp_gan.md" in output
    report = json.loads(call("models", "show", "tiny", "--json").stdout)
    assert report["path"] == str(folder / "tiny.safetensors") and report["commands"] == ["pyharmony train gp_gan"]
    assert report["sha256"] in call("models", "verify").stdout
    assert json.loads(call("models", "verify", "tiny", "--json").stdout)["sha256"] == report["sha256"]
    assert [w["name"] for w in json.loads(call("info", "--json").stdout)["weights"]] == ["tiny"]
    assert "tiny 0.0 MB" in call("info").stdout


@pytest.mark.full
def test_two_fresh_processes_agree(folder: Path) -> None:
    """Each imports, loads twice, and prints the digest of an image."""
    code = (
        "import hashlib, pathlib, sys, torch; from pyharmony import _shipped\n"
        "_shipped.FOLDER = pathlib.Path(sys.argv[1])\n"
        "from pyharmony import models\n"
        "torch.set_num_threads(1); x = torch.linspace(-1, 1, 768).reshape(1, 3, 16, 16)\n"
        "pictures = [models.load('tiny')(x).detach().numpy().tobytes() for _ in range(2)]\n"
        "assert pictures[0] == pictures[1]\n"
        "print(hashlib.sha256(pictures[0]).hexdigest(), len(models.weights()))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    processes = [
        subprocess.run(
            [sys.executable, "-c", code, str(folder)], cwd=folder, env=environment, capture_output=True, text=True
        )
        for _ in range(2)
    ]
    assert [process.returncode for process in processes] == [0, 0], processes[0].stderr
    assert processes[0].stdout == processes[1].stdout and processes[0].stdout.split()[1] == "1"


# The tool that makes them


@pytest.fixture
def tool() -> Any:
    return load_script("tools/presets.py")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Returns three photographs with masks and one without, in a manifest."""
    root, random, entries = tmp_path / "photos", np.random.default_rng(0), []
    root.mkdir()
    for i in range(4):
        coarse = random.integers(0, 256, (5, 6, 3), np.uint8)
        Image.fromarray(coarse).resize((60, 50), Image.Resampling.BICUBIC).save(root / f"{i}.png")
        entries.append({"file": f"{i}.png", "role": "photo", "pair": str(i), "split": "train"})
        if i < 3:
            mask = np.zeros((50, 60), np.uint8)
            mask[10:40, 15:45] = 255
            Image.fromarray(mask).save(root / f"{i}_mask.png")
            entries.append({"file": f"{i}_mask.png", "role": "mask", "pair": str(i), "split": "train"})
    (root / "manifest.json").write_text(json.dumps({"entries": entries}))
    return root


def test_the_tool_makes_what_is_trained_on(
    tool: Any, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = (("composites", 24, 3, []), ("composites", 24, 9, ["--lights", "2"]), ("pastes", 16, 4, []))
    for command, size, count, more in cases:
        out = tmp_path / f"{command}_{count}"
        options = ["--size", str(size), "--per-photo", "2", "-o", str(out), *more]
        monkeypatch.setattr(sys, "argv", ["presets.py", command, str(photos), *options])
        tool.main()
        dataset = data.open_dataset(out)
        assert len(dataset) == 2 * count
        for sample in dataset:
            changed = (sample["composite"] != sample["target"]).any(2)
            assert sample["composite"].shape == (size, size, 3) and changed.any()
            assert not changed[sample["mask"] == 0].any()


def test_the_tool_ships_weights(tool: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It adds them beside those that are there, and once more in place of its own."""
    models.save(narrow(), tmp_path / "run.safetensors")
    about = {"summary": "s", "licence": "l", "trained_on": "t", "open_data": True, "commands": ["c"]}
    (tmp_path / "about.json").write_text(json.dumps(about))
    means = {key: {"mean": 3.0, "low": 2.0, "high": 4.0} for key in ("psnr", "fmse", "fpsnr")}
    summaries = [
        {"method": "composite", "group": "all", "count": 5, "means": means, "gains": {}},
        {"method": "run", "group": "all", "count": 5, "means": means, "gains": means},
    ]
    (tmp_path / "told.json").write_text(json.dumps({"summaries": summaries}))
    arguments = [str(tmp_path / "run.safetensors"), "other", str(tmp_path / "about.json")]
    evaluation = f"a, b={tmp_path / 'told.json'}"
    for _ in range(2):
        monkeypatch.setattr(sys, "argv", ["presets.py", "ship", *arguments, "--evaluation", evaluation])
        tool.main()
        assert [entry.name for entry in models.weights()] == ["other", "tiny"]
    figures = models.weights()[0].figures
    assert figures[0] == models.Figure("a, b", 5, "PSNR", 3.0, 2.0, 4.0, 3.0)
    assert [figure.measure for figure in figures[:2]] == ["PSNR", "PSNR, mean change"]
    x = torch.rand(1, 3, 16, 16) * 2 - 1
    torch.testing.assert_close(models.load("other")(x), models.load("tiny")(x), rtol=0, atol=0.02)
    # The other one was written by `save`, with the counters of its norms and all bits.
    shipped, arrays = (_state(folder / f"{name}.safetensors") for name in ("other", "tiny"))
    counters = {key for key in arrays if key.endswith("num_batches_tracked")}
    assert counters and shipped.keys() == arrays.keys() - counters
    whole = models.load(tmp_path / "run.safetensors").generator.state_dict()
    assert all(torch.equal(shipped[key], whole[key].bfloat16().half()) for key in shipped)
    assert all(shipped[key].dtype == arrays[key].dtype for key in shipped)
    assert 64 * len(counters) < models.weights()[1].bytes - models.weights()[0].bytes
    monkeypatch.setattr(sys, "argv", ["presets.py", "ship", *arguments, "--strength", "0.5"])
    with pytest.raises(SystemExit, match="--strength: gp_gan is not residual"):
        tool.main()


def test_two_runs_are_averaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: Any) -> None:
    every = []
    for name in ("first", "second"):
        every.append(models.create("colorgrid", "small", judge=16))
        for parameter in every[-1].parameters():
            torch.nn.init.normal_(parameter)
        models.save(every[-1], tmp_path / f"{name}.safetensors")
    paths = [str(tmp_path / f"{name}.safetensors") for name in ("first", "second", "mean")]
    arguments = ["average", *paths[:2], "--part", "judge=0.25", "-o", paths[2]]
    monkeypatch.setattr(sys, "argv", ["presets.py", *arguments])
    tool.main()
    first, second, mean = (dict(model.named_parameters()) for model in (*every, models.load(paths[2])))
    for name, parameter in mean.items():
        share = 0.25 if name.startswith("judge") else 0.5
        torch.testing.assert_close(parameter, share * first[name] + (1 - share) * second[name])
    monkeypatch.setattr(sys, "argv", ["presets.py", *arguments, "--part", "jugde=0.5"])
    with pytest.raises(SystemExit, match="--part: jugde, which begins the name of no parameter"):
        tool.main()


def test_an_input_that_one_of_two_runs_has_is_averaged_with_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: Any
) -> None:
    narrow = {"size": 64, "widths": (8, 8, 8, 8, 8), "depths": (1, 1, 1, 1, 1), "heads": 2, "looks": 1}
    first, second = (models.create("clicks", edges=edges, **narrow) for edges in (True, False))
    second.down[0].norm.running_mean.fill_(2.0)
    paths = [str(tmp_path / f"{name}.safetensors") for name in ("first", "second", "mean")]
    for model, path in zip((first, second), paths):
        models.save(model, path)
    monkeypatch.setattr(sys, "argv", ["presets.py", "average", *paths[:2], "--share", "0.75", "-o", paths[2]])
    tool.main()
    mean = models.load(paths[2])
    own, other, averaged = (model.down[0].conv.weight for model in (first, second, mean))
    torch.testing.assert_close(averaged[:, -1:], 0.75 * own[:, -1:])
    torch.testing.assert_close(averaged[:, :-1], 0.75 * own[:, :-1] + 0.25 * other)
    torch.testing.assert_close(mean.down[0].norm.running_mean, torch.full_like(first.down[0].norm.running_mean, 0.5))


def test_the_tool_weakens_what_is_added(tool: Any) -> None:
    torch.manual_seed(0)
    model = models.create("dovenet", "residual", width=2).eval()
    torch.nn.init.normal_(model.generator.unet.last.bias, 0, 0.05)  # type: ignore[union-attr]
    composite, mask = model.example().values()
    composite = composite / 2  # so that nothing is cut
    with torch.no_grad():
        whole = model(composite, mask) - composite
        tool.weaken(model, 0.25)
        torch.testing.assert_close(model(composite, mask) - composite, whole / 4, rtol=1e-4, atol=1e-6)


# The contents of the package


def test_all_that_is_shipped_is_whole() -> None:
    """Each file fits its entry, is no larger than 8 MB and holds 16-bit floats; and no file is left over.

    Weights of clicks are no larger than 6 MB, those of poses, two networks of others, than 8.5 MB.
    """
    every = models.weights()
    models_by_name = {info.name: info for info in models.list()}
    for entry in every:
        content = _shipped.read(entry)
        assert len(content) <= {"clicks": 6_100_000, "pose": 8_500_000}.get(entry.model, 8_000_000), entry.name
        assert all(not t.is_floating_point() or t.dtype == torch.float16 for t in _state(entry.path).values())
        if entry.model in ("light", "pose", "scale"):
            with pytest.raises(WeightsError, match="run in NumPy"):
                models.load(entry.name)
        else:
            model = models.load(entry.name)
            assert (model.name, entry.task) == (models_by_name[entry.model].name, models_by_name[entry.model].task)
            assert not model.training and all(p.dtype == torch.float32 for p in model.parameters())
        assert entry.licence and entry.trained_on and entry.commands and entry.figures, entry.name
        assert (ROOT / entry.card).is_file()
    there = {path.name for path in _shipped.FOLDER.iterdir() if path.suffix != ".json"}
    assert there == {entry.file for entry in every} | {"pose.LICENSE.txt"}


@pytest.mark.large
def test_a_gp_gan_brings_pastes_nearer_to_their_photograph(data_dir: Path) -> None:
    """Its card says a third of the error inside, of photographs that it was not trained on."""
    tool = load_script("tools/presets.py")
    photographs = tool.Memory(tool.photos([data_dir / "pairs_open"], "test", 128, masked=False))
    net, errors = models.load("gp-gan-small"), []
    for sample in tool.Pastes(photographs, 1, 64, seed=9):
        paste, target, inside = (sample[role] for role in ("composite", "target", "mask"))
        image = torch.from_numpy(np.ascontiguousarray(paste)).permute(2, 0, 1)[None] / 127.5 - 1
        with torch.no_grad():
            output = ((net(image)[0].permute(1, 2, 0) + 1) * 127.5).numpy()
        errors.append([((x - target)[inside >= 128] ** 2).mean() for x in (paste.astype(float), output)])
    before, after = np.mean(errors, 0)
    assert len(errors) >= 20 and after < 0.5 * before


def test_the_command_that_makes_the_masks_we_drew_reads_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = load_script("tools/annotated.py")
    tables = [json.loads(file.read_text("utf-8")) for file in tool.ANNOTATION_FILES]
    photos = tmp_path / "photos"
    photos.mkdir()
    names = {image["file_name"] for table in tables for image in table.get("images", [])}
    without_people = [name for table in tables for name in table.get("nobody", [])]
    for name in {*names, *without_people}:
        (photos / name).write_bytes(b"a photograph, which is only copied")
    monkeypatch.setattr(sys, "argv", ["annotated.py", str(photos), str(tmp_path / "drawn")])
    tool.main()
    entries = json.loads((tmp_path / "drawn" / "manifest.json").read_text("utf-8"))["entries"]
    masks = sum(entry["role"] == "mask" for entry in entries)
    assert masks == sum(len(table.get("annotations", [])) for table in tables) > 300
    assert sum(entry["category"] == "nobody" for entry in entries) == len(without_people) > 100
