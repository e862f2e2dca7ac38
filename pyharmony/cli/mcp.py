"""`pyharmony mcp`: serves the calls as tools for language models."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated

import typer

from .. import _install
from ..errors import RunError
from ..runs._jobs.failures import Code
from ._command import command, option
from ._console import Console


@command("mcp")
def mcp(
    console: Console,
    context: typer.Context,
    root: Annotated[
        Path | None, option("FOLDER", "Read and write files in this folder only, where relative paths begin.")
    ] = None,
) -> None:
    """Serve the commands on images as tools for language models, by the Model Context Protocol on stdin and stdout.

    A client, such as an assistant on this machine, starts it, and ends it by closing stdin. The tools have the options
    of the commands, and read and write files; no file that is there is replaced unless a call says so, and no input
    ever. Nothing is sent anywhere but to the client: the text of results, and a small JPEG if a call asks for it.
    """
    if root is not None and not root.is_dir():
        raise RunError(f"--root: {root}: no such folder", Code.INPUT)
    for module in ("anyio", "mcp_types", "mcp.server.stdio"):
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ImportError(f"{error.name} is missing, `pyharmony mcp` needs it: {_install.hint('mcp')}") from error
    import anyio

    from ._tools import serve

    anyio.run(serve, root, context.find_root().params.get("modules") or ())
