"""`pyharmony serve`: the page and the HTTP service."""

from __future__ import annotations

import errno
import logging
from pathlib import Path
from typing import Annotated

from ..errors import RunError
from ..runs._jobs.failures import Code, Words, as_failures, reading
from ._command import command, option, switch
from ._console import Console

_NAMES = {"hosts": "", "token": "--token-file"}
_TEXTS = {
    "host-needs-token": "{host!r} is reachable from other machines and needs a token: pass --token-file",
    "hosts-need-token": "--allow-host needs --token-file: other machines can reach the service by that name",
}


@command("serve", verbose=True)
def serve(
    console: Console,
    host: Annotated[str, option("ADDRESS", "The address to listen on; any but loopback needs a token.")] = "127.0.0.1",
    port: Annotated[int, option("N", "The port; 0: any free one.")] = 8787,
    token_file: Annotated[
        Path | None, option("FILE", "A file with a token, or with a line NAME TOKEN for each user.")
    ] = None,
    allow_host: Annotated[list[str] | None, option("NAME", "A host name of a proxy; repeatable.")] = None,
    max_upload: Annotated[
        str | None, option("SIZE", "The largest file.", show_default="512MB, and 32MB with a token")
    ] = None,
    max_pixels: Annotated[str, option("N", "Refuse larger images before decoding.")] = "64M",
    workers: Annotated[
        int | None, option("N", "Worker processes.", show_default="one for two cores, or for the GPU")
    ] = None,
    queue: Annotated[int, option("M", "The length of the queue of jobs.")] = 32,
    user_queue: Annotated[
        int | None,
        option("M", "The most waiting jobs of one user.", show_default="a quarter of the queue if there are several"),
    ] = None,
    user_files: Annotated[
        str | None, option("SIZE", "The most files of one user.", show_default="5 of the largest if there are several")
    ] = None,
    timeout: Annotated[
        float | None,
        option(
            "S", "The time limit of a job in seconds.", show_default="60; exports as long as a client waits for them"
        ),
    ] = None,
    no_ui: Annotated[bool, switch("--no-ui", "Serve the API only, without the page.")] = False,
) -> None:
    """Serve the web page, and an HTTP API for other programs.

    The service can be reached from this machine only, unless --host sets another address, which needs --token-file.
    Uploads are stored in a temporary folder for an hour, and deleted when the service ends. Ctrl-C ends it. See
    docs/serve.md.
    """
    from ..runs._jobs.runner import pixels_of
    from ..serve import PAGE, Settings
    from ..serve import serve as run
    from ..serve.settings import User, bytes_of, users_of

    logger = logging.getLogger("pyharmony.serve")
    before = logger.level
    # A line for each request, unless only errors are logged.
    if logging.getLogger("pyharmony").level < logging.ERROR and logger.getEffectiveLevel() > logging.INFO:
        logger.setLevel(logging.INFO)
    users: tuple[User, ...] = ()
    with as_failures(console.words(_NAMES, texts=_TEXTS)):
        if token_file is not None:
            with reading(str(token_file)):
                users = users_of(token_file)
        sizes = {}
        for name, text in (("max_upload", max_upload), ("user_files", user_files)):
            try:
                sizes[name] = None if text is None else bytes_of(text)
            except ValueError as error:
                words = f"--{name.replace('_', '-')}: {text!r}, expected {error}"
                raise RunError(words, Code.USAGE) from None
        with as_failures(Words({"max_pixels": "--max-pixels"})):
            pixels = pixels_of(max_pixels) or 0
        settings = Settings(
            host=host,
            port=port,
            token=next((user.token for user in users if not user.name), None),
            users=tuple(user for user in users if user.name),
            hosts=tuple(allow_host or ()),
            max_upload=sizes["max_upload"],
            max_pixels=pixels,
            workers=workers,
            queue=queue,
            user_queue=user_queue,
            user_files=sizes["user_files"],
            timeout=timeout,
            page=None if no_ui else PAGE,
        )

    def started(address: str) -> None:
        console.note(f"serving on {address}; Ctrl-C ends it", address=address)

    try:
        with reading(f"--host {host} --port {port}", Code.UNEXPECTED, "cannot be listened on: "):
            run(settings, started)
    except RunError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRINUSE:
            hint = "another program listens there, as a service that was started before; --port 0 takes a free one"
            raise RunError(f"{error}; {hint}", error.exit_code, error.kind) from error
        raise
    except RuntimeError as error:
        raise RunError(str(error), Code.UNEXPECTED, "not_started") from error
    finally:
        logger.setLevel(before)
    console.result(status="ok")
    console.note("stopped; its files are deleted")
