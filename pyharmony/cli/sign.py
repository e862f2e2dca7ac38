"""`pyharmony sign`: signs a composite with content credentials."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from ..runs._jobs.failures import as_failures, writing
from ._command import argument, command, option, switch
from ._console import Console


@command("sign")
def sign(
    console: Console,
    result: Annotated[Path, argument("RESULT", "The picture, a JPEG, PNG, TIFF or WebP file, which is replaced.")],
    certificate: Annotated[Path, option("FILE", "Your certificate and those that lead to its root, PEM.")],
    key: Annotated[Path, option("FILE", "Its private key without a passphrase, PEM.")],
    source: Annotated[list[Path], option("FILE", "A file RESULT was made of, the background first; repeatable.")],
    with_ai: Annotated[bool, switch("--with-ai", "An AI model made a part of it.")] = False,
) -> None:
    """Sign RESULT: content credentials (C2PA) in it say from which files pyharmony made it.

    Credentials of the sources are kept in it. Nothing is sent anywhere. It needs c2pa-python, the extra c2pa.
    """
    from .. import io

    names = {"path": "RESULT", "certificate": "--certificate", "key": "--key", "sources": "--source"}
    files = {"path": str(result), **{f"sources[{i}]": str(path) for i, path in enumerate(source)}}
    with writing(str(result)), as_failures(console.words(names, files=files)):
        io.sign(result, certificate=certificate, key=key, sources=source, with_ai=with_ai)
    console.result(status="ok", output=str(result), sources=[str(path) for path in source])
    console.note(f"signed {result}: made of {', '.join(map(str, source))}")
