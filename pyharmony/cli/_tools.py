"""The calls as tools for language models: their schemas and checks, and the commands that run them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from typer.main import get_command

from .._calls import EDIT, PLACE, REFLECTION, REMOVE, Call, File, Group, Name, Numbers, Option
from .._calls.batches import BATCHES
from .._calls.composites import MERGE_FILE
from .._calls.option import POINTS
from .._checks import shortened
from .._version import __version__
from ..errors import PyHarmonyError, RunError
from ..runs._jobs.failures import Code
from ..runs._jobs.task import names_of
from ..runs.batch.operations import texts_of
from ._app import app

#: The inputs that may be several files.
_PLURALS = ("subjects", "photos", "edited")
_PREVIEW_SIDE = 768
_END_SECONDS = 5.0  # how long a command that is cancelled may take to remove its unfinished files
#: The code that runs a command. Modules are imported from this process's paths, not from the current folder.
_CODE = """
import json, sys
sys.path[:] = json.loads(sys.argv.pop(1))
from pyharmony.cli import main
main()
"""
#: The arguments of a tool that writes a file; the others are those of its call.
_RESULT = (
    Option("out", File("output"), "The file to write; its suffix is the format. No input is ever replaced."),
    Option("overwrite", bool, "Replace the file if it already exists."),
    Option("preview", bool, f"Show the result too, at most {_PREVIEW_SIDE} pixels wide and high."),
)
_INSTRUCTIONS = """Edits photos on this machine. Paths are those of local files, {where}. Points are x, y in pixels; the
first pixel is 0, 0. What is left out is estimated. Messages name an argument such as save_mask as --save-mask."""


def _array(items: Mapping[str, Any], *counts: int) -> dict[str, Any]:
    return {"type": "array", "items": items, **({"minItems": counts[0], "maxItems": counts[0]} if counts else {})}


def _value_schema(kind: Any) -> dict[str, Any]:
    """Returns the JSON Schema of a value of the type of an option."""
    if isinstance(kind, Numbers):
        number = {"type": "integer" if kind.whole else "number"}
        points = _array(_array(number, 2))
        if not kind.pairs:
            return _array(number, *kind.counts)
        return {"anyOf": [number, points]} if 1 in kind.counts else points
    if isinstance(kind, Group | Name):
        kind = kind.words if isinstance(kind, Group) else names_of(kind)
    if isinstance(kind, tuple):
        return {"enum": list(kind)}
    if isinstance(kind, File) and kind.number:
        return {"type": ["number", "string"]}
    return {"type": {bool: "boolean", int: "integer", float: "number"}.get(kind, "string")}


def _schema(option: Option, call: Call) -> dict[str, Any]:
    """Returns the JSON Schema of an option."""
    schema, words = _value_schema(option.type), [option.word] * bool(option.word)
    words += ["auto"] * option.auto + ["none"] * option.none
    bounds = {"minimum": option.low, "maximum": option.high}
    schema |= {name: value for name, value in bounds.items() if value is not None}
    if option.many and option.type is not POINTS:
        schema = _array(schema)
    choices = [schema, {"enum": words}][: 1 + bool(words)] + [{"type": "array"}] * bool(option.each)
    about = option.help.replace("; repeatable", "").replace(f"[default: {option.flag[2:]}]", "[default: true]")
    about += " Of several subjects: a list, with one value for each." if option.each else ""
    return {**(schema if len(choices) == 1 else {"anyOf": choices}), "description": call.in_fields(about)}


def _tool(call: Call, command: Any) -> dict[str, Any]:
    """Returns the fields of the tool of a call, from the descriptions of its options and the help of its command."""
    writes = any(parameter.name == "output" for parameter in command.params)
    path = {"type": "string"}
    inputs = {name: {"anyOf": [path, _array(path)]} if name in _PLURALS else path for name in call.inputs}
    properties = {name: {**inputs[name], "description": call.in_fields(about)} for name, about in call.inputs.items()}
    properties |= {one.name: _schema(one, call) for one in _options(call) if writes or one not in _RESULT}
    required = [name for name in inputs if call.items.get(name, True)] + ["out"] * writes
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    about = call.in_fields("\n\n".join(command.help.split("\n\n")[:2]))
    hints = {"read_only_hint": not writes, "open_world_hint": False}
    return {"name": call.command, "description": about, "input_schema": schema, "annotations": hints}


def _options(call: Call) -> list[Option]:
    return [*(option for option in call.flat if not option.replaced_by), *_RESULT]


class _CommandLine:
    """The command line for the arguments of a tool, which it checks.

    Attributes:
        root: the folder of all files; None: any.
        flags: the options and arguments.
        inputs, outputs: the files that it reads, and those that it writes by the names of arguments.
        is_shown: whether the result is shown.
    """

    def __init__(self, call: Call, values: Mapping[str, Any], root: str | None) -> None:
        self.root, self.flags = root, list[str]()
        self.inputs, self.outputs = list[str](), dict[str, str]()
        for name in call.inputs:
            if name in values:
                are_paths = name in _PLURALS and isinstance(values[name], list)
                self.inputs += [self._input(name, path) for path in (values[name] if are_paths else [values[name]])]
        arguments, several = list(self.inputs), len(self.inputs) > len(call.inputs)
        for option in _options(call):
            if option.name in values:
                value = values[option.name]
                for part in value if option.each and several and isinstance(value, list) else [value]:
                    self._add(option, part)
        self._check_outputs("--overwrite" in self.flags, values.get("k", 1) != 1)
        self.is_shown = "--preview" in self.flags  # which no command has
        self.flags = [flag for flag in self.flags if flag != "--preview"] + ["--", *arguments]

    def _add(self, option: Option, value: Any) -> None:
        """Adds an option with a value of JSON, which may also be the text that its flag takes."""
        try:
            parts = value if option.many and isinstance(value, list) else [value]
            is_file = isinstance(option.type, File)
            for text in [self._file(option, part) for part in parts] if is_file else texts_of(option, value):
                accepted = option.converted(text)
                option.check(accepted)
                if isinstance(option.type, Name) and accepted not in (None, *names_of(option.type)):
                    raise ValueError(f"one of {', '.join(names_of(option.type))}")
                if option.type is bool:
                    self.flags += filter(None, [option.flag if accepted else option.off])
                else:
                    flag = "--output" if option.name == "out" else option.flag
                    self.flags.append(f"{flag}={text}" if len(option.name) > 1 else f"{flag}{text}")
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise RunError(f"{option.name}: {shortened(value)}, expected {error}", Code.USAGE) from None

    def _file(self, option: Option, value: Any) -> str:
        """Returns the real path of a file, or the number or word in place of one."""
        if option.type.number and not isinstance(value, str):
            return texts_of(option, value)[0]
        if isinstance(value, str) and not option.type.is_path(value):
            return value
        if option.type.role == "output":
            self.outputs[option.name] = self._path(option.name, value)
            return self.outputs[option.name]
        self.inputs.append(self._input(option.name, value))
        return self.inputs[-1]

    def _path(self, name: str, value: Any) -> str:
        """Returns the path of a file, after all links, which is below the root."""
        try:
            path = os.path.realpath(os.path.join(self.root or "", os.path.expanduser(value)))
        except (TypeError, ValueError):  # no text, or one that no path may have
            raise RunError(f"{name}: {shortened(value)}, expected the path of a file", Code.USAGE) from None
        if self.root is not None and not Path(path).is_relative_to(self.root):
            raise RunError(f"{name}: {shortened(value)}, expected a file in {self.root}", Code.USAGE)
        return path

    def _input(self, name: str, value: Any) -> str:
        path = self._path(name, value)
        if not os.path.isfile(path):
            raise RunError(f"{name}: {path}: no such file", Code.INPUT)
        return path

    def _check_outputs(self, overwrite: bool, has_places: bool) -> None:
        """Refuses outputs that are inputs, or that exist and may not be replaced."""
        if overwrite and has_places:
            raise RunError("overwrite: true, expected false with k, which writes files beside out", Code.USAGE)
        for name, path in self.outputs.items():
            if os.path.exists(path) and any(os.path.samefile(path, one) for one in self.inputs):
                raise RunError(f"{name}: {path} is an input too, which is never replaced", Code.USAGE)
            if os.path.lexists(path) and not (overwrite and os.path.isfile(path)):
                raise RunError(f"{name}: {path} already exists; overwrite replaces files only", Code.USAGE)


async def _run(words: Sequence[str]) -> dict[str, Any]:
    """Runs a command in a process, which ends if the call is cancelled, and returns its object of --json.

    RunError: the command failed.
    """
    import anyio

    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-c", _CODE, json.dumps(sys.path), *words,
            stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        raise RunError(f"the command cannot be started: {error}", Code.UNEXPECTED) from error
    try:
        output, log = await process.communicate()
    except BaseException:
        with anyio.CancelScope(shield=True), contextlib.suppress(ProcessLookupError):
            process.terminate()
            with anyio.move_on_after(_END_SECONDS):
                await process.wait()
            if process.returncode is None:
                process.kill()
        raise
    record = next(_objects(output), None)
    if record is None:
        end = log.decode(errors="replace").strip().rpartition("\n")[2]
        raise RunError(f"the command ended with code {process.returncode}: {end}", Code.UNEXPECTED)
    if "error" in record:
        raise RunError(record["error"]["message"], Code.UNEXPECTED)
    return record | {"warnings": [one["message"] for one in _objects(log) if one.get("level") == "warning"]}


def _objects(lines: bytes) -> Iterator[dict[str, Any]]:
    """Yields the objects of JSON among lines."""
    for line in lines.splitlines():
        with contextlib.suppress(ValueError):
            value = json.loads(line)
            if isinstance(value, dict):
                yield value


def _preview(path: str) -> tuple[str, dict[str, Any]]:
    """Returns an image as a small JPEG in base 64, on grey where it is transparent, and both sizes (width, height)."""
    from PIL import Image

    from .._images.levels import in_levels, picture_levels
    from ..io.files import read_reduced

    picture, whole = read_reduced(path, "out", _PREVIEW_SIDE, keep_gps=False)
    image = Image.fromarray(picture_levels(picture, "out"))
    sizes = {"size": whole or image.size}
    if picture.pixels.shape[2] == 4:
        alpha = Image.fromarray(in_levels(picture.pixels[..., 3]))
        image = Image.composite(image, Image.new("RGB", image.size, "grey"), alpha)
    image.thumbnail((_PREVIEW_SIDE, _PREVIEW_SIDE))
    data = io.BytesIO()
    image.save(data, "JPEG", quality=85)
    return base64.b64encode(data.getvalue()).decode(), sizes | {"preview_size": image.size}


async def serve(root: Path | None, modules: Sequence[Path]) -> None:
    """Answers the client on stdin and stdout until it closes them.

    Args:
        root: the folder with all files that may be read or written, and where relative paths begin; None: any files,
            and relative paths begin in the current folder.
        modules: the files of `pyharmony --module`.
    """
    import anyio
    import mcp_types as types
    from mcp.server.lowlevel import Server
    from mcp.server.stdio import stdio_server

    commands: Any = get_command(app)
    calls = {call.command: call for call in (*BATCHES.values(), EDIT, MERGE_FILE, PLACE, REFLECTION, REMOVE)}
    tools = {name: _tool(call, commands.commands[name]) for name, call in calls.items() if name in commands.commands}
    folder = None if root is None else os.path.realpath(root)
    turn = anyio.Lock()  # a call takes all cores

    async def answer(name: str, arguments: Mapping[str, Any]) -> list[Any]:
        if name not in tools:
            raise RunError(f"{shortened(name)}: no such tool, expected one of {', '.join(tools)}", Code.USAGE)
        values = {key: value for key, value in arguments.items() if value is not None}
        schema = tools[name]["input_schema"]
        for key in values.keys() - schema["properties"].keys():
            names = ", ".join(schema["properties"])
            raise RunError(f"{shortened(key)}: no argument of {name}, expected some of {names}", Code.USAGE)
        for key in schema["required"]:
            if key not in values:
                raise RunError(f"{key}: missing, expected {schema['properties'][key]['description']}", Code.USAGE)
        line = _CommandLine(calls[name], values, folder)
        async with turn:
            record = await _run([*(f"--module={path}" for path in modules), name, "--json", "--log-json", *line.flags])
        images = []
        if line.is_shown:
            try:
                data, sizes = await anyio.to_thread.run_sync(_preview, line.outputs["out"])
            except (PyHarmonyError, OSError) as error:  # the result is there all the same
                sizes = {"preview": str(error)}
            else:
                images.append(types.ImageContent(data=data, mime_type="image/jpeg"))
            record |= sizes
        text = json.dumps(record, ensure_ascii=False).encode(errors="backslashreplace").decode()
        return [types.TextContent(text=text), *images]

    async def call_tool(_: Any, parameters: types.CallToolRequestParams) -> types.CallToolResult:
        try:
            return types.CallToolResult(content=await answer(parameters.name, parameters.arguments or {}))
        except PyHarmonyError as error:  # the model reads it, and corrects its call
            return types.CallToolResult(content=[types.TextContent(text=str(error))], is_error=True)

    async def list_tools(_: Any, __: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[types.Tool(**fields) for fields in tools.values()])

    where = f"relative ones in {folder}, and no others are accepted" if folder else "absolute ones"
    server = Server(
        "pyharmony", version=__version__, instructions=_INSTRUCTIONS.format(where=where), on_list_tools=list_tools,
        on_call_tool=call_tool,
    )  # fmt: skip
    async with stdio_server() as (requests, answers):
        await server.run(requests, answers, server.create_initialization_options())
