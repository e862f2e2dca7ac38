"""Commands that complete or repair an installation, from local sources, never by the package's name on an index."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

# Modules that read the metadata of installed packages are imported when needed: few calls need a hint.

#: The name of this package for pip. `pyharmony` on the package index is another project.
DISTRIBUTION = "pyharmony-blend"
_ROOT = Path(__file__).resolve().parent.parent
#: A requirement in metadata, such as 'tomli>=2; python_version < "3.11" and extra == "train"'.
_REQUIREMENT = re.compile(r"""(?P<needs>[^;]+?)\s*;\s*(?:(?P<marker>.+?) and )?extra == ['"](?P<extra>[^'"]+)['"]""")
_PYTHON = re.compile(r"""python_version (?P<sign><|>=) ['"](?P<major>\d+)\.(?P<minor>\d+)['"]""")


def hint(extra: str) -> str:
    """Returns the command that installs the packages of an extra, such as "pip install 'opencv-python-headless>=4.10'".

    They are installed by their own names, so that pyharmony itself is neither resolved nor compiled again. If pyharmony
    runs from a clone without being installed, the command installs the clone: "pip install '/the/clone[io]'".
    """
    needs = _requirements(extra)
    if needs:
        return "pip install " + " ".join(shlex.quote(need) for need in needs)
    if (_ROOT / "pyproject.toml").is_file():
        return f"pip install {shlex.quote(f'{_ROOT}[{extra}]')}"
    return f"in a clone of pyharmony: pip install '.[{extra}]'"


def again(options: str = "") -> str:
    """Returns the command that installs this package again, from its original folder, file or address.

    Args:
        options: CMake options for a build that differs from this one; a wheel cannot be rebuilt with them.
    """
    source = _source()
    environment = f"CMAKE_ARGS={shlex.quote(options)} " if options else ""
    command = f"{environment}pip install --force-reinstall --no-deps --no-cache-dir"
    if source is None or (options and source.endswith(".whl")):
        return f"in a clone of pyharmony: {command} ."
    return f"{command} {source}"


def clone() -> Path | None:
    """Returns the folder of the sources if the package runs from them, as after an editable install, else None."""
    return _ROOT if (_ROOT / "pyproject.toml").is_file() and (_ROOT / "setup.py").is_file() else None


def strangers() -> dict[str, bool]:
    """Maps installed versions of `pyharmony`, the other project, to whether their files are mixed with these."""
    import importlib.metadata

    versions = {}
    folder = Path(__file__).resolve().parent
    for distribution in importlib.metadata.distributions(name="pyharmony"):
        # A build leaves metadata in a clone that has neither file, since it was not installed.
        if distribution.read_text("RECORD") is not None or distribution.read_text("installed-files.txt") is not None:
            files = (Path(str(distribution.locate_file(file))) for file in distribution.files or ())
            versions[distribution.version] = any(file.resolve().parent == folder for file in files)
    return versions


def _requirements(extra: str) -> tuple[str, ...]:
    """Returns the requirements of an extra on this Python, from the package's metadata; empty if not installed."""
    import importlib.metadata

    try:
        lines = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return ()
    matches = (_REQUIREMENT.fullmatch(line.strip()) for line in lines)
    return tuple(m["needs"] for m in matches if m and m["extra"] == extra and _applies(m["marker"]))


def _applies(marker: str | None) -> bool:
    """Returns whether a marker is true for this Python; the markers of pyproject.toml compare only its version."""
    match = _PYTHON.fullmatch(marker or "")
    if match is None:
        return True
    older = sys.version_info[:2] < (int(match["major"]), int(match["minor"]))
    return older == (match["sign"] == "<")


def _source() -> str | None:
    """Returns the argument of the original pip install (PEP 610), quoted; None if it is unknown or does not exist."""
    import importlib.metadata
    import json
    from urllib.parse import unquote, urlsplit

    try:
        text = importlib.metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        text = None
    direct_url: dict[str, Any] = json.loads(text) if text else {}
    url = str(direct_url.get("url", ""))
    if "vcs_info" in direct_url:
        vcs = direct_url["vcs_info"]
        return shlex.quote(f"{vcs['vcs']}+{url}@{vcs['commit_id']}")
    if url.startswith("file:"):
        path = Path(unquote(urlsplit(url).path))
        if path.exists():
            return ("-e " if direct_url.get("dir_info", {}).get("editable") else "") + shlex.quote(str(path))
    elif url:
        return shlex.quote(url)
    folder = clone()
    return None if folder is None else shlex.quote(str(folder))
