"""What to type to complete or repair an installation: always from what is at hand, never by a name on an index."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

# What reads the metadata of installed packages is imported where it is used: few calls need a hint.

#: The name that pip knows this package by. `pyharmony` on the package index is another project.
DISTRIBUTION = "pyharmony-blend"
_ROOT = Path(__file__).resolve().parent.parent
#: 'tomli>=2; python_version < "3.11" and extra == "train"', as metadata has it.
_REQUIREMENT = re.compile(r"""(?P<needs>[^;]+?)\s*;\s*(?:(?P<marker>.+?) and )?extra == ['"](?P<extra>[^'"]+)['"]""")
_PYTHON = re.compile(r"""python_version (?P<sign><|>=) ['"](?P<major>\d+)\.(?P<minor>\d+)['"]""")


def hint(extra: str) -> str:
    """The command that installs the packages of an extra, such as "pip install 'opencv-python-headless>=4.10'".

    They are installed by their own names, so that pyharmony is neither looked for nor compiled again. Where it was not
    installed, but runs from a clone, the command is of the clone: "pip install '/the/clone[io]'".
    """
    needs = _requirements(extra)
    if needs:
        return "pip install " + " ".join(shlex.quote(need) for need in needs)
    if (_ROOT / "pyproject.toml").is_file():
        return f"pip install {shlex.quote(f'{_ROOT}[{extra}]')}"
    return f"in a clone of pyharmony: pip install '.[{extra}]'"


def again(options: str = "") -> str:
    """The command that installs this package again, from the folder, file or address that it came from.

    Args:
        options: of CMake, for a build that differs from the one that is there; nothing is built of a wheel.
    """
    source = _source()
    environment = f"CMAKE_ARGS={shlex.quote(options)} " if options else ""
    command = f"{environment}pip install --force-reinstall --no-deps --no-cache-dir"
    if source is None or (options and source.endswith(".whl")):
        return f"in a clone of pyharmony: {command} ."
    return f"{command} {source}"


def clone() -> Path | None:
    """The folder of the sources where the package runs from them, as an editable install does; None for a copy."""
    return _ROOT if (_ROOT / "pyproject.toml").is_file() and (_ROOT / "setup.py").is_file() else None


def strangers() -> dict[str, bool]:
    """The installed versions of `pyharmony`, the other project; of each whether its files lie among this package's."""
    import importlib.metadata

    found = {}
    folder = Path(__file__).resolve().parent
    for distribution in importlib.metadata.distributions(name="pyharmony"):
        # What a build leaves in a clone has neither: nobody installed it.
        if distribution.read_text("RECORD") is not None or distribution.read_text("installed-files.txt") is not None:
            files = (Path(str(distribution.locate_file(file))) for file in distribution.files or ())
            found[distribution.version] = any(file.resolve().parent == folder for file in files)
    return found


def _requirements(extra: str) -> tuple[str, ...]:
    """What an extra needs on this Python, by the metadata of the installed package; empty where it is not installed."""
    import importlib.metadata

    try:
        lines = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return ()
    matches = (_REQUIREMENT.fullmatch(line.strip()) for line in lines)
    return tuple(m["needs"] for m in matches if m and m["extra"] == extra and _applies(m["marker"]))


def _applies(marker: str | None) -> bool:
    """Whether a marker holds for this Python; the markers of pyproject.toml compare its version and nothing else."""
    match = _PYTHON.fullmatch(marker or "")
    if match is None:
        return True
    older = sys.version_info[:2] < (int(match["major"]), int(match["minor"]))
    return older == (match["sign"] == "<")


def _source() -> str | None:
    """What pip was given (PEP 610), as it would be given again; None where that is unknown or gone."""
    import importlib.metadata
    import json
    from urllib.parse import unquote, urlsplit

    try:
        text = importlib.metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        text = None
    found: dict[str, Any] = json.loads(text) if text else {}
    url = str(found.get("url", ""))
    if "vcs_info" in found:
        vcs = found["vcs_info"]
        return shlex.quote(f"{vcs['vcs']}+{url}@{vcs['commit_id']}")
    if url.startswith("file:"):
        path = Path(unquote(urlsplit(url).path))
        if path.exists():
            return ("-e " if found.get("dir_info", {}).get("editable") else "") + shlex.quote(str(path))
    elif url:
        return shlex.quote(url)
    folder = clone()
    return None if folder is None else shlex.quote(str(folder))
