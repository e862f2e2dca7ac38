"""Jobs without a command line, as a service or a batch runs them."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pyharmony
from pyharmony import blend
from pyharmony._calls import BLEND, EDIT, HARMONIZE
from pyharmony._calls.option import File, Name, Numbers
from pyharmony.errors import ClippedWarning, RunError
from pyharmony.runs._jobs.failures import Code
from pyharmony.runs._jobs.lists import rows_of
from pyharmony.runs._jobs.runner import Runner
from pyharmony.runs._jobs.task import STREAM, Request, task_of

pytestmark = pytest.mark.house


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    random = np.random.default_rng(0)
    mask = np.zeros((24, 31), np.uint8)
    mask[6:18, 7:25] = 255
    pictures = {name: random.integers(0, 256, (24, 31, 3), np.uint8) for name in ("src", "dst")} | {"mask": mask}
    for name, pixels in pictures.items():
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    return {name: str(tmp_path / f"{name}.png") for name in pictures}


def test_a_worker_takes_streams_and_makes_what_the_function_makes(files: dict[str, str]) -> None:
    inputs = {**files, "src": STREAM}
    task = task_of(BLEND, inputs, STREAM, {"mode": "poisson", "gradients": "mixed"})
    stdout, messages = io.BytesIO(), []
    runner = Runner(Request(BLEND, inputs, STREAM, {}), io.BytesIO(Path(files["src"]).read_bytes()), stdout)
    record = runner.run(task, messages.append)
    pixels = np.asarray(Image.open(io.BytesIO(stdout.getvalue())))
    with pytest.warns(ClippedWarning) as records:
        assert np.array_equal(pixels, blend.poisson(*map(pyharmony.load, files.values()), gradients="mixed"))
    assert (record["mode"], record["output"]) == ("poisson", {"path": STREAM, "written": True})
    assert messages == [str(records[0].message).replace("color_weight", "--color-weight")]
    assert record["src"]["width"] == 31 and "solve" not in record


def test_a_stream_that_is_missing_is_told(files: dict[str, str]) -> None:
    task = task_of(BLEND, {**files, "src": STREAM}, "out.png", {})
    with pytest.raises(RunError, match="-: stdin is closed") as error:
        Runner(Request(BLEND, files, "out.png", {})).run(task, print)
    assert error.value.exit_code == Code.USAGE


def test_the_solve_is_measured_where_it_is_asked_for(files: dict[str, str], tmp_path: Path) -> None:
    out = str(tmp_path / "out.png")
    request = Request(EDIT, {"image": files["dst"], "mask": None}, out, {})
    task = task_of(EDIT, request.inputs, out, {"gain": 2.0, "mode": "detail-boost"})
    record = Runner(request, figures=True).run(task, print)
    assert record["solve"]["max_error"] >= 0 and Path(out).exists()
    assert 0 <= record["solve"]["clipped"] <= 1
    with pytest.raises(RunError, match=r"out\.png"):
        Runner(request).run(task, print)


@pytest.mark.parametrize("kind", [BLEND, EDIT, HARMONIZE], ids=lambda kind: kind.command)
def test_texts_become_the_values_of_options(kind) -> None:
    for option in kind.options:
        if isinstance(option.type, tuple):
            assert option.converted(option.type[-1]) == option.type[-1]
        elif option.type is bool:
            assert option.converted("Yes") is True and option.converted("0") is False
        elif isinstance(option.type, Numbers):
            assert option.converted("3,4") == (3, 4)
        elif isinstance(option.type, (File, Name)):
            assert option.converted("3") == "3"
        else:
            assert option.converted("3") == option.type(3)
        if not isinstance(option.type, (File, Name)):
            with pytest.raises(ValueError, match=r"one of|yes or no|number|such as"):
                option.converted("neither")


def test_jobs_load_no_command_line() -> None:
    code = "import sys; from pyharmony.runs._jobs import lists, runner; print(*sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {name.partition(".")[0] for name in process.stdout.split()} & {"typer", "click", "rich", "PIL", "torch"}


def test_a_table_of_a_spreadsheet_may_begin_with_a_byte_order_mark(files: dict[str, str], tmp_path: Path) -> None:
    table = tmp_path / "list.csv"
    table.write_bytes("\ufeffsrc,dst,mask,out\r\nsrc.png,dst.png,mask.png,out.png\r\n".encode())
    ((_, task),) = rows_of(str(table), Request(BLEND, {}, None, {}))
    assert task.files == files
