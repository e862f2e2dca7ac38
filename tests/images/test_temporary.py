"""Unfinished files: an error leaves none, the next run removes what a kill left, a replaced folder is not lost."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from pyharmony import _temporary
from pyharmony.cli._app import app
from pyharmony.learn import data

OTHER_HOST = "0" * 8

pytestmark = pytest.mark.house


def parts(folder: Path) -> list[str]:
    """Returns everything in a folder that is unfinished, or was put aside."""
    return sorted(path.name for path in folder.glob(".*") if path.suffix in (".part", ".pyharmony-old"))


def killed(code: str, *arguments: object) -> None:
    """Runs code in a process that ends itself by SIGKILL; DIE in it is the call that does so."""
    die = "os.kill(os.getpid(), signal.SIGKILL)"
    process = subprocess.run(
        [sys.executable, "-c", "import os, signal, sys\n" + code.replace("DIE", die), *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.returncode == -signal.SIGKILL, process.stderr


def ran(code: str, *arguments: object) -> str:
    process = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


# Files


def test_a_file_takes_its_name_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with _temporary.file(target) as unfinished:
        unfinished.write_text("new")
        assert target.read_text() == "old" and len(parts(tmp_path)) == 1
    assert target.read_text() == "new" and os.listdir(tmp_path) == ["a.txt"]
    mask = os.umask(0o022)
    os.umask(mask)
    assert target.stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space"), ValueError("x")])
def test_an_error_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def fails() -> None:
        with _temporary.file(target) as unfinished:
            unfinished.write_text("new")
            raise error

    with pytest.raises(type(error)) as info:
        fails()
    assert target.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]
    if isinstance(error, OSError):
        assert info.value.filename == str(target), "the error names what was meant"


#: The functions that write, into `folder`, with their names there.
WRITERS = """
import json, os, signal, sys
from pathlib import Path
import numpy
import pyharmony
from pyharmony import data, evaluation
from pyharmony._temporary import write_text

z = numpy.zeros((8, 8, 3), "u1")
one = [{"name": "a", "composite": z, "target": z, "mask": z[..., 0] + 255}]
writers = {
    "picture": lambda folder: pyharmony.save(z, folder / "a.png"),
    "csv": lambda folder: evaluation.write_csv(evaluation.Evaluation((), None, [{"a": 1}], []), folder / "a.csv"),
    "markdown": lambda folder: write_text(folder / "a.md", "a"),
    "shards": lambda folder: data.write_shards(one, folder / "s", 8),
    "tar": lambda folder: data.write_tar_shards(one, folder / "s"),
    "triples": lambda folder: data.write_triples(one, folder / "s"),
}
"""
WITH_TORCH = """
from pyharmony import models
from pyharmony.learn.training import _checkpoint, _log

model = models.create("style_encoder", width=2, code=2)

def log(folder):
    (folder / "log.jsonl").write_text("{}")
    _log._truncate(folder / "log.jsonl", 3)

def checkpoint(folder):
    _checkpoint.write(folder, 3, _checkpoint.Checkpoint(model, None, {}, {}, {}), 2)

writers = {
    "model": lambda folder: models.save(model, folder / "a.safetensors"),
    "log": log,
    "checkpoint": checkpoint,
}
"""
#: A child of the process is killed in the last step, before the name is given; then the process itself writes.
KILLED_AND_AGAIN = """
def unfinished(folder):
    return [name for name in os.listdir(folder) if name.startswith(".pyharmony-")]

for name, write in writers.items():
    folder = Path(sys.argv[1]) / name
    folder.mkdir()
    if not (child := os.fork()):
        def die(*_): os.kill(os.getpid(), signal.SIGKILL)
        os.replace = os.rename = os.link = die
        write(folder)
        os._exit(0)
    killed = os.waitpid(child, 0)[1] == signal.SIGKILL
    left = len(unfinished(folder))
    write(folder)
    whole = [name for name in os.listdir(folder) if not name.startswith(".")]
    print(name, killed, left, len(unfinished(folder)), len(whole))
"""


def test_what_a_kill_left_goes_with_the_next_run(tmp_path: Path) -> None:
    lines = ran(WRITERS + KILLED_AND_AGAIN, tmp_path).splitlines()
    assert lines == [f"{name} True 1 0 1" for name in ("picture", "csv", "markdown", "shards", "tar", "triples")]


def test_what_a_killed_training_left_goes_with_the_next_run(tmp_path: Path) -> None:
    """Its leftovers in the folder of checkpoints are no run that `train` would have to go on with."""
    pytest.importorskip("torch", reason="torch is not installed")
    then = """
write = writers["checkpoint"]
folder = Path(sys.argv[1]) / "run" / "checkpoints"
folder.mkdir(parents=True)
if not os.fork():
    def die(*_): os.kill(os.getpid(), signal.SIGKILL)
    os.replace = os.rename = die
    write(folder)
os.wait()
left = len(unfinished(folder))
with _checkpoint.locked(folder.parent):
    print("run", left, os.listdir(folder))
"""
    lines = ran(WRITERS + WITH_TORCH + KILLED_AND_AGAIN + then, tmp_path).splitlines()
    assert lines == [*(f"{name} True 1 0 1" for name in ("model", "log", "checkpoint")), "run 1 []"]


@contextmanager
def holding(folder: Path, kind: str) -> Iterator[None]:
    """Keeps another process alive that writes there."""
    code = (
        "import sys; from pathlib import Path; from pyharmony import _temporary as t\n"
        f"with t.{kind}(Path(sys.argv[1]) / 'x') as made:\n"
        "    print(made, flush=True); sys.stdin.readline()\n"
        "    (made / 'a' if made.is_dir() else made).write_text('whole')\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None and process.stdout is not None
    assert process.stdout.readline()
    yield
    process.stdin.write("\n")
    process.stdin.close()
    assert process.wait(60) == 0


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_living_run_writes_stays(tmp_path: Path, kind: str) -> None:
    with holding(tmp_path, kind):
        before = parts(tmp_path)
        _temporary.sweep(tmp_path)
        assert parts(tmp_path) == before and len(before) == 1
    path = tmp_path / "x"
    assert (path / "a" if kind == "folder" else path).read_text() == "whole"


def test_only_what_is_ours_is_removed(tmp_path: Path) -> None:
    keep = [".pyharmony-x.part", f".pyharmony-{OTHER_HOST}-{'1' * 16}.part", ".a.png.part", "b.part"]
    for name in keep:
        (tmp_path / name).write_text("x")
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "precious").write_text("x")
    link = f".pyharmony-{_temporary._host()}-{'2' * 16}.part"
    (tmp_path / link).symlink_to(tmp_path / "target")
    os.mkfifo(tmp_path / f".pyharmony-{_temporary._host()}-{'3' * 16}.part")
    dead = tmp_path / f".pyharmony-{_temporary._host()}-{'4' * 16}.part"
    (dead / "sub").mkdir(parents=True)
    (dead / "sub" / "link").symlink_to(tmp_path / "target")
    old = tmp_path / f".pyharmony-{OTHER_HOST}-{'5' * 16}.part"
    old.write_text("x")
    os.utime(old, (time.time() - 100_000,) * 2)
    _temporary.sweep(tmp_path)
    assert (tmp_path / "target" / "precious").read_text() == "x"
    assert not dead.exists() and not old.exists() and (tmp_path / link).is_symlink()
    assert all((tmp_path / name).exists() for name in keep)


# Folders that are replaced


def triples(value: int) -> list[dict[str, Any]]:
    picture = np.full((8, 8, 3), value, np.uint8)
    return [{"name": "a", "composite": picture, "target": picture, "mask": np.full((8, 8), 255, np.uint8)}]


def value_of(folder: Path) -> int:
    return int(data.Triples(folder)[0]["composite"][0, 0, 0])


def in_two_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes away the exchange of two names, as on systems without it."""
    monkeypatch.setattr(_temporary, "_renameat2", lambda first, second: False)


@pytest.mark.parametrize("exchange", [True, False])
def test_a_set_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool) -> None:
    if not exchange:
        in_two_steps(monkeypatch)
    data.write_triples(triples(1), tmp_path / "s")
    data.write_triples(triples(2), tmp_path / "s", overwrite=True)
    assert value_of(tmp_path / "s") == 2 and os.listdir(tmp_path) == ["s"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", [None, 0, 1], ids=["exchange", "first of two", "second of two"])
def test_the_old_set_survives_any_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int | None, error: BaseException
) -> None:
    data.write_triples(triples(1), tmp_path / "s")
    rename, calls = os.rename, []

    def fails(*names: Any) -> None:
        calls.append(names)
        if len(calls) == (step or 0) + 1:
            raise error
        rename(*names)

    if step is None:
        monkeypatch.setattr(_temporary, "_renameat2", fails)
    else:
        in_two_steps(monkeypatch)
        monkeypatch.setattr(os, "rename", fails)
    with pytest.raises(type(error)):
        data.write_triples(triples(2), tmp_path / "s", overwrite=True)
    assert value_of(tmp_path / "s") == 1 and os.listdir(tmp_path) == ["s"]


KILLED_BETWEEN = """
import numpy
from pyharmony import _temporary, data
if sys.argv[2] == "two steps":
    _temporary._renameat2 = lambda *_: False
rename, remove, calls = os.rename, _temporary._remove, []
def counted(*names):
    if len(calls) == int(sys.argv[3]):
        DIE
    calls.append(names)
    rename(*names)
os.rename = counted
if sys.argv[3] == "removal":
    os.rename = rename
    def dies(*_): DIE
    _temporary._remove = dies
z = numpy.full((8, 8, 3), 2, "u1")
sample = {"name": "a", "composite": z, "target": z, "mask": z[..., 0] + 253}
data.write_triples([sample], sys.argv[1], overwrite=True)
"""


@pytest.mark.parametrize(
    ("by", "step"), [("two steps", "0"), ("two steps", "1"), ("two steps", "2"), ("exchange", "removal")]
)
def test_the_old_set_survives_a_kill(tmp_path: Path, by: str, step: str) -> None:
    """Wherever the kill falls, the next writer finds one of the two sets whole under the name, and leaves no litter."""
    data.write_triples(triples(1), tmp_path / "s")
    code = KILLED_BETWEEN if step == "removal" else KILLED_BETWEEN.replace('if sys.argv[3] == "removal"', "if False")
    killed(code, tmp_path / "s", by, step)
    _temporary.restore(tmp_path / "s")
    assert value_of(tmp_path / "s") == (1 if step in "01" else 2)
    data.write_triples(triples(3), tmp_path / "s", overwrite=True)
    assert value_of(tmp_path / "s") == 3 and os.listdir(tmp_path) == ["s"]


def test_a_checkpoint_of_the_same_step_is_replaced(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    from pyharmony.learn.training import _checkpoint
    from pyharmony.networks import models

    model = models.create("style_encoder", width=2, code=2)
    for count in (1, 2):
        _checkpoint.write(tmp_path, 7, _checkpoint.Checkpoint(model, None, {}, {}, {"count": count}), 3)
    assert os.listdir(tmp_path) == ["step-00000007"]
    assert _checkpoint.read(tmp_path / "step-00000007").facts == {"count": 2}


# Who is told


def test_a_full_disk_is_the_outputs_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data.write_triples(triples(1), tmp_path / "in")

    def full(file: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(data._files, "sync", full)
    for form in ("raw", "tar"):
        arguments = ["data", "shard", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--form", form, "--size", "8"]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 1
        assert f"{tmp_path / 'out'}: cannot be written: no space left on device" in result.output
        assert os.listdir(tmp_path) == ["in"]


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    from pyharmony import errors
    from pyharmony.learn.training._checkpoint import locked

    precious = tmp_path / "precious"
    precious.write_text("x")
    run = tmp_path / "run"
    run.mkdir()
    (run / ".lock").symlink_to(precious)
    with pytest.raises(errors.ArgumentError, match=r"\.lock is a link"), locked(run):
        pass
    (run / ".lock").unlink()
    os.link(precious, run / ".lock")
    with locked(run):
        assert precious.read_text() == "x"
