"""`pyharmony serve`: the page and the HTTP service."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from .._jobs.failures import Code, Failure, reading, spoken
from ._command import command
from ._console import Console

_NAMES = {"hosts": "", "token": "--token-file"}
_TEXTS = {
    "host-needs-token": "{host!r} can be reached from elsewhere and has no token; --token-file gives it one",
    "hosts-need-token": "--allow-host needs --token-file: under other names others can reach it",
}


@command("serve", verbose=True)
def serve(
    console: Console,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen; others than loopback need a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", help="The port; 0 takes any that is free.")] = 8787,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file whose first line requests have to show.")
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A name under which a proxy is reached; several times.")
    ] = None,
    max_upload: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="The largest file.", show_default="512MB, and 32MB with a token"),
    ] = None,
    max_pixels: Annotated[str, typer.Option(metavar="N", help="Refuse larger images unread.")] = "64M",
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", help="Processes that compute.", show_default="one for two cores, or for the GPU"),
    ] = None,
    queue: Annotated[int, typer.Option(metavar="M", help="How many jobs may wait.")] = 32,
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="S",
            help="The seconds that any job may take.",
            show_default="60; exports as long as somebody waits for them",
        ),
    ] = None,
    no_ui: Annotated[bool, typer.Option("--no-ui", help="The API alone, without the page.")] = False,
) -> None:
    """Show a page in the browser that does it all, and answer other programs by HTTP.

    It can be reached from this machine only, unless --host says otherwise, which needs --token-file. What is uploaded
    lies in a folder of its own for an hour, and goes with the service. Ctrl-C ends it. See docs/serve.md.
    """
    from .._jobs.worker import pixels_of
    from ..server import PAGE, Settings
    from ..server import serve as run
    from ..server.settings import bytes_of, token_of

    logger = logging.getLogger("pyharmony.server")
    before = logger.level
    # A line for each request, unless nothing but errors is wanted.
    if logging.getLogger("pyharmony").level < logging.ERROR and logger.getEffectiveLevel() > logging.INFO:
        logger.setLevel(logging.INFO)
    token = None
    with spoken(console.words(_NAMES, texts=_TEXTS)):
        if token_file is not None:
            with reading(str(token_file)):
                token = token_of(token_file)
        try:
            limit = None if max_upload is None else bytes_of(max_upload)
        except ValueError as error:
            raise Failure(f"--max-upload: {max_upload!r}, expected {error}", Code.USAGE) from None
        settings = Settings(
            host=host,
            port=port,
            token=token,
            hosts=tuple(allow_host or ()),
            max_upload=limit,
            max_pixels=pixels_of(max_pixels) or 0,
            workers=workers,
            queue=queue,
            timeout=timeout,
            page=None if no_ui else PAGE,
        )

    def started(address: str) -> None:
        console.note(f"serving on {address}; Ctrl-C ends it", address=address)

    try:
        with reading(f"--host {host} --port {port}", Code.UNEXPECTED, "cannot be listened on: "):
            run(settings, started)
    except RuntimeError as error:
        raise Failure(str(error), Code.UNEXPECTED, "not_started") from error
    finally:
        logger.setLevel(before)
    console.result(status="ok")
    console.note("stopped; its files are gone")
