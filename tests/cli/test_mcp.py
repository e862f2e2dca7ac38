"""The tools for language models: a client starts `pyharmony mcp` as a process, and asks it on stdin and stdout."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from pyharmony import blend
from pyharmony._calls.batches import BATCHES
from pyharmony._calls.composites import MERGE_FILE
from pyharmony.cli._app import app
from pyharmony.cli._pictures import IMAGES
from pyharmony.errors import RunError
from pyharmony.runs._jobs.failures import Code

from ..house.test_calls import CALLS

pytestmark = pytest.mark.house

PATCH = {"src": "patch.png", "dst": "coffee.jpg", "mask": "patch_mask.png", "at": [86, 180]}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Returns a folder with photos, and one beside it that no tool may read or write."""
    for name in ("root", "beside"):
        (tmp_path / name).mkdir()
        for photo in ("patch.png", "patch_mask.png", "cat.png", "cat_mask.png", "coffee.jpg"):
            shutil.copy(IMAGES / photo, tmp_path / name)
    before = contents(tmp_path / "beside")
    yield tmp_path / "root"
    assert contents(tmp_path / "beside") == before


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def in_session(folder: Path, work: Callable[[Any], Awaitable[Any]], *options: str) -> Any:
    """Returns what `work` returns for the session of a client of a server in a folder."""
    mcp = pytest.importorskip("mcp", reason="mcp is not installed")
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    words = ["-m", "pyharmony", "mcp", *options]
    server = mcp.StdioServerParameters(command=sys.executable, args=words, env=environment, cwd=str(folder))

    async def run() -> Any:
        async with mcp.stdio_client(server, errlog=sys.__stderr__) as streams, mcp.ClientSession(*streams) as session:
            await session.initialize()
            return await work(session)

    return asyncio.run(run())


def answers(folder: Path, *calls: tuple[str, dict[str, Any]], options: tuple[str, ...] = ()) -> list[Any]:
    """Returns the record of each call, the message of one that is refused, and before a preview its image."""

    async def work(session: Any) -> list[Any]:
        import jsonschema  # comes with mcp

        schemas = {tool.name: tool.input_schema for tool in (await session.list_tools()).tools}
        results = []
        for name, arguments in calls:
            result = await session.call_tool(name, arguments)
            text, *images = result.content
            results += [Image.open(io.BytesIO(base64.b64decode(image.data))) for image in images]
            results.append(text.text if result.is_error else json.loads(text.text))
            if not result.is_error:
                jsonschema.validate(arguments, schemas[name])
        return results

    return in_session(folder, work, *options)


def test_the_tools_are_the_calls_with_their_options(folder: Path) -> None:
    async def work(session: Any) -> Any:
        return (await session.list_tools()).tools

    tools = {tool.name: tool for tool in in_session(folder, work)}
    calls = {call.command: call for call in (*CALLS, *BATCHES.values(), MERGE_FILE) if call.command != "synth"}
    assert tools.keys() == calls.keys() == {call.command for call in CALLS}
    for name, call in calls.items():
        tool = tools[name]
        own = {*call.inputs, *(option.name for option in call.flat if not option.replaced_by)}
        writes = {"out", "overwrite", "preview"} if name != "place" else set()
        schema = tool.input_schema
        assert schema["properties"].keys() == own | writes
        assert all(one["description"] for one in schema["properties"].values())
        assert set(schema["required"]) <= {*call.inputs, "out"}
        assert ("out" in schema["required"]) == bool(writes) != tool.annotations.read_only_hint
        assert tool.description and "--" not in tool.description
    blends = tools["blend"].input_schema
    assert blends["required"] == ["src", "dst", "out"] and blends["properties"]["mode"]["enum"][0] == "gaussian-poisson"
    assert blends["properties"]["levels"] | {"description": ""} == {
        "type": "integer", "minimum": 0, "maximum": 16, "description": "",
    }  # fmt: skip


def test_a_blend_is_that_of_the_call_and_can_be_shown(folder: Path) -> None:
    preview, record = answers(folder, ("blend", {**PATCH, "out": "ünï -o.png", "preview": True}))
    photos = [np.asarray(Image.open(folder / name)) for name in ("patch.png", "coffee.jpg", "patch_mask.png")]
    written = np.asarray(Image.open(folder / "ünï -o.png"))
    assert np.array_equal(written, blend.gaussian_poisson(*photos, at=(86, 180)))
    assert record["output"]["path"] == str(folder / "ünï -o.png") and record["warnings"] == []
    assert preview.format == "JPEG" and preview.size == (600, 400) == tuple(record["preview_size"])
    assert np.abs(np.asarray(preview).astype(int) - written).mean() < 4


def test_each_subject_has_its_value_and_a_verdict_is_told(folder: Path) -> None:
    subjects = {"subjects": ["cat.png", "patch.png"], "mask": ["cat_mask.png", "patch_mask.png"]}
    placed = {"at": [[208, 113], [86, 180]], "scale": [0.5, "auto"], "shadow": "off", "background": "coffee.jpg"}
    one = {"subjects": ["cat.png"], "mask": "cat_mask.png", "scale": 0.5, "background": "coffee.jpg"}
    several, single, refusal, cutout = answers(
        folder,
        ("compose", {**subjects, **placed, "anyway": True, "out": "two.jpg"}),
        ("compose", {**one, "shadow_azimuth": 120, "anyway": True, "out": "one.jpg"}),
        ("compose", {**subjects, **placed, "at": [208, 113], "out": "no.jpg"}),
        ("segment", {"image": "cat.png", "scribble": [[[60, 30], [90, 40]]], "mask_only": True, "out": "mask.png"}),
    )
    assert [part["scale"] for part in several["subjects"]] == [0.5, 1] and single["subjects"][0]["scale"] == 0.5
    assert 0 < single["usable"] < 1 and single["verdict"] and {"doubt_codes", "warnings"} <= several.keys()
    assert refusal.startswith("at: 208, expected auto or X,Y")
    assert cutout["masks"] and Image.open(folder / "mask.png").mode == "L"


def test_what_did_nothing_warns(folder: Path) -> None:
    Image.new("L", (86, 79)).save(folder / "black.png")
    record, places = answers(
        folder,
        ("blend", {**PATCH, "mask": "black.png", "out": "out.png"}),
        ("place", {"subject": "cat.png", "mask": "cat_mask.png", "background": "coffee.jpg", "k": 2}),
    )
    assert record["unchanged"] and any("black.png is zero everywhere" in text for text in record["warnings"])
    assert len(places["places"]) == 2


def test_no_input_is_replaced_and_another_file_only_if_asked(folder: Path) -> None:
    os.link(folder / "coffee.jpg", folder / "same.jpg")
    (folder / "old.png").write_bytes(b"precious")
    (folder / "old-2.png").symlink_to(folder / "cat.png")
    composite = {"subjects": "cat.png", "background": "coffee.jpg"}
    before = contents(folder)
    *refusals, record = answers(
        folder,
        *(("blend", {**PATCH, "out": out, "overwrite": True}) for out in ("coffee.jpg", "same.jpg", "patch_mask.png")),
        ("blend", {**PATCH, "out": "new.png", "save_mask": "patch.png", "overwrite": True}),
        ("compose", {**composite, "k": 2, "out": "old.png", "overwrite": True}),
        ("blend", {**PATCH, "out": "old.png"}),
        ("blend", {**PATCH, "out": ".", "overwrite": True}),
        ("blend", {**PATCH, "out": "old.png", "overwrite": True}),
    )
    ends = ["which is never replaced"] * 4 + ["with k, which writes files beside out"] + ["replaces files only"] * 2
    assert all(text.endswith(end) for text, end in zip(refusals, ends, strict=True)), refusals
    after = contents(folder)
    assert record["status"] == "ok" and after.pop("old.png") != before.pop("old.png") and after == before


def test_nothing_outside_the_root_is_read_or_written(folder: Path) -> None:
    beside = folder.parent / "beside"
    (folder / "link").symlink_to(beside)
    (folder / "photo.jpg").symlink_to(beside / "coffee.jpg")
    (folder / "new.png").symlink_to(beside / "new.png")
    outside = ("../beside/x.png", str(beside / "x.png"), "link/x.png", "new.png", "~/x.png", "link/../x.png")
    read = ("../beside/coffee.jpg", str(beside / "coffee.jpg"), "link/coffee.jpg", "photo.jpg")
    calls = [
        *({"out": out, "overwrite": True} for out in outside), *({"dst": path, "out": "y.png"} for path in read),
        *({"out": "y.png", name: "../beside/cat_mask.png"} for name in ("save_mask", "dst_valid", "base", "network")),
        {"out": "y.png", "color_weight": "../beside/cat_mask.png"},
    ]  # fmt: skip
    *refusals, record = answers(
        folder.parent, *(("blend", {**PATCH, **call}) for call in calls),
        ("blend", {**PATCH, "out": str(folder / "y.png")}), options=("--root", str(folder)),
    )  # fmt: skip
    assert all(text.endswith(f"expected a file in {folder}") for text in refusals), refusals
    assert record["output"]["path"] == str(folder / "y.png")


BAD_ARGUMENTS: list[tuple[str, dict[str, Any], str]] = [
    ("blur", {}, "'blur': no such tool, expected one of "),
    ("blend", {"src": "patch.png", "out": "x.png"}, "dst: missing"),
    ("blend", {**PATCH, "out": None}, "out: missing"),
    ("blend", {**PATCH, "out": "x.png", "list": "rows.csv"}, "'list': no argument of blend"),
    ("blend", {**PATCH, "out": "x.png", "--overwrite": True}, "'--overwrite': no argument of blend"),
    ("blend", {**PATCH, "out": "x.png", "src": "none.png"}, "src: "),
    ("blend", {**PATCH, "out": "x.png", "src": "."}, "src: "),
    ("blend", {**PATCH, "out": "x.png", "src": "-"}, "src: "),
    ("blend", {**PATCH, "out": "x.png", "dst_valid": 5}, "dst_valid: 5, expected the path of a file"),
    ("blend", {**PATCH, "out": "a\0.png"}, "out: 'a\\x00.png', expected the path"),
    ("blend", {**PATCH, "out": ["x.png"]}, "out: ['x.png'], expected the path"),
    ("blend", {**PATCH, "out": f"{'x' * 5000}.png"}, ""),
    ("blend", {**PATCH, "out": "x.exe"}, "OUT: "),
    ("blend", {**PATCH, "out": "x.png", "at": [1]}, "at: [1], expected X,Y"),
    ("blend", {**PATCH, "out": "x.png", "at": {"x": 1}}, "at: {'x': 1}, expected X,Y"),
    ("blend", {**PATCH, "out": "x.png", "scale": -1}, "scale: -1, expected a number of at least 0"),
    ("blend", {**PATCH, "out": "x.png", "scale": 10**400}, "scale: 1000"),
    ("blend", {**PATCH, "out": "x.png", "at": [1e300, 0]}, "--at: "),
    ("blend", {**PATCH, "out": "x.png", "mode": "blur"}, "mode: 'blur', expected one of gaussian-poisson"),
    ("blend", {**PATCH, "out": "x.png", "levels": 3}, "--levels cannot be used with --mode gaussian-poisson"),
    ("blend", {**PATCH, "out": "x.png", "overwrite": "sure"}, "overwrite: 'sure', expected yes or no"),
    ("blend", {**PATCH, "out": "x.png", "harmonize": "a.safetensors"}, "harmonize: 'a.safetensors', expected one of"),
    ("segment", {"image": "cat.png", "points": [[1e9, 1e9]], "out": "x.png"}, "--points: "),
    ("segment", {"image": "cat.png", "scribble": [[0, 0]] * 10**5, "out": "x.png"}, "the command cannot be started"),
]


def test_bad_arguments_are_refused_by_name(folder: Path) -> None:
    before = contents(folder)
    messages = answers(folder, *((name, arguments) for name, arguments, _ in BAD_ARGUMENTS))
    assert all(isinstance(text, str) and len(text) < 3000 for text in messages)
    for text, (name, _, start) in zip(messages, BAD_ARGUMENTS, strict=True):
        assert text.startswith(start), (name, text)
    assert contents(folder) == before


def test_long_work_leaves_the_server_awake_and_ends_when_it_is_cancelled(folder: Path) -> None:
    anyio = pytest.importorskip("anyio", reason="mcp is not installed")
    Image.open(folder / "coffee.jpg").resize((1200, 800)).save(folder / "large.png")
    before = contents(folder)

    async def work(session: Any) -> Any:
        async with anyio.create_task_group() as group:
            group.start_soon(session.call_tool, "super-resolve", {"image": "large.png", "scale": 4, "out": "slow.png"})
            await anyio.sleep(2)
            with anyio.fail_after(10):
                await session.send_ping()
            group.cancel_scope.cancel()
        # Calls take turns, so this one waits for the end of the other.
        with anyio.fail_after(30):
            return await session.call_tool("blend", {**PATCH, "out": "out.png"})

    assert not in_session(folder, work).is_error
    after = contents(folder)
    assert after.pop("out.png") and after == before


def test_a_command_that_dies_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its modules come from the paths of this process, not from the folder with the photos."""
    pytest.importorskip("mcp", reason="mcp is not installed")
    from pyharmony.cli import _tools

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    Path("json.py").write_text("raise SystemExit('a stranger')")
    Path("crash.py").write_text("import os, sys\nprint('last words', file=sys.stderr, flush=True)\nos._exit(9)")
    with pytest.raises(RunError, match=r"^the command ended with code 9: last words$"):
        asyncio.run(_tools._run(["--module=crash.py", "info", "--json"]))
    assert asyncio.run(_tools._run(["info", "--json"]))["pyharmony"]


def test_the_command_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp_types", None)
    result = CliRunner().invoke(app, ["mcp"])
    assert result.exit_code == Code.UNEXPECTED
    assert "is missing, `pyharmony mcp` needs it: " in result.stderr and "pip install" in result.stderr
    result = CliRunner().invoke(app, ["mcp", "--root", "none"])
    assert result.exit_code == Code.INPUT and "--root: none: no such folder" in result.stderr
