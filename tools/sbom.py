"""Writes what a release consists of, with licences, as CycloneDX 1.6: packages, code of others, and networks.

    python tools/sbom.py sbom.cdx.json

Versions of packages are those of constraints.txt, their licences those of the metadata of packages that are installed.
The time is that of SOURCE_DATE_EPOCH, or of the last commit, so that a release has one list.
"""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomllib
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pyharmony import __version__, _shipped

ROOT = Path(__file__).resolve().parent.parent
#: The extras for those who work on pyharmony.
DEVELOPMENT = {"test", "bench", "lint", "docs", "dev"}
#: The licence and the file of each piece of others' code in the repository.
VENDORED = {
    "pocketfft": ("BSD-3-Clause", "csrc/third_party/pocketfft/pocketfft_hdronly.h"),
    "konva": ("MIT", "pyharmony/serve/static/vendor/konva.min.js"),
}
Component = dict[str, Any]


def requirements(project: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields each requirement with the extra that brings it, '' for all."""
    # Its headers are compiled into the native module; the other tools of the build leave nothing behind.
    yield from ((one, "") for one in project["build-system"]["requires"] if one.startswith("pybind11"))
    yield from ((one, "") for one in project["project"]["dependencies"])
    for extra, lines in project["project"]["optional-dependencies"].items():
        yield from ((one, extra) for one in lines if extra not in DEVELOPMENT)


def packages(project: dict[str, Any]) -> Iterator[Component]:
    """Yields the packages that pyharmony needs, or with an extra."""
    lines = (line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#")
    pins = {canonicalize_name(one.name): str(one.specifier).removeprefix("==") for one in map(Requirement, lines)
            if one.marker is None or one.marker.evaluate()}  # fmt: skip
    every: dict[str, list[tuple[str, str]]] = {}
    for text, extra in requirements(project):
        every.setdefault(canonicalize_name(Requirement(text).name), []).append((text, extra))
    for name, needs in sorted(every.items()):
        version = {"version": pins[name]} if name in pins else {}
        purl, scope = "@".join((f"pkg:pypi/{name}", *version.values())), "optional" if all(e for _, e in needs) else ""
        notes = [{"name": f"pyharmony:needs{extra and f':{extra}'}", "value": text} for text, extra in needs]
        yield {"type": "library", "bom-ref": purl, "name": name, **version, "scope": scope or "required",
               **licence_of(name), "purl": purl, "properties": notes}  # fmt: skip


def licence_of(name: str) -> Component:
    """Returns the licence of an installed package by its metadata; nothing where it is not known."""
    about = next((one.metadata for one in importlib.metadata.distributions(name=name)), {})
    if expression := about.get("License-Expression"):
        return {"licenses": [{"expression": expression}]}
    terms = [value.rpartition(" :: ")[2] for key, value in about.items() if value.startswith("License ::")]
    names = terms or [line for line in about.get("License", "").splitlines()[:1] if 0 < len(line) < 80]
    return {"licenses": [{"license": {"name": one}} for one in names]} if names else {}


def vendored() -> Iterator[Component]:
    """Yields the code of others in the repository."""
    for name, (licence, file) in sorted(VENDORED.items()):
        content = (ROOT / file).read_bytes()
        version = re.search(rb"Framework v([\d.]+\d)", content[:2000])
        yield {"type": "library", "bom-ref": f"file:{file}", "name": name, "scope": "required",
               **({"version": version[1].decode()} if version else {}), "licenses": [{"license": {"id": licence}}],
               "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(content).hexdigest()}]}  # fmt: skip


def networks() -> Iterator[Component]:
    """Yields the networks, with what they were trained on."""
    for one in _shipped.manifest():
        data = {"type": "dataset", "name": f"photographs of {one.name}", "description": one.trained_on}
        notes = (("file", one.file), ("licence", one.licence), ("open_data", str(one.open_data).lower()))
        yield {"type": "machine-learning-model", "bom-ref": f"weights:{one.name}", "name": one.name,
               "version": __version__, "description": one.summary, "scope": "required",
               "hashes": [{"alg": "SHA-256", "content": one.sha256}],
               "licenses": [{"license": {"id": re.split("[,:]", one.licence)[0]}}],
               "modelCard": {"modelParameters": {"task": one.task, "modelArchitecture": one.model, "datasets": [data]}},
               "properties": [{"name": f"pyharmony:{name}", "value": value} for name, value in notes]}  # fmt: skip


def bill() -> dict[str, Any]:
    """Returns the list."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    commit = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    seconds = os.environ.get("SOURCE_DATE_EPOCH") or subprocess.run(commit, capture_output=True, check=True).stdout
    moment = datetime.datetime.fromtimestamp(int(seconds), datetime.timezone.utc)
    about, purl = project["project"], f"pkg:pypi/{project['project']['name']}@{__version__}"
    own = {"type": "library", "bom-ref": purl, "name": about["name"], "version": __version__, "purl": purl,
           "description": about["description"], "licenses": [{"license": {"id": about["license"]}}]}  # fmt: skip
    parts = [*packages(project), *vendored(), *networks()]
    content = {"metadata": {"timestamp": moment.isoformat(), "component": own}, "components": parts,
               "dependencies": [{"ref": purl, "dependsOn": [one["bom-ref"] for one in parts]}]}  # fmt: skip
    number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(content))
    head = {"bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": f"urn:uuid:{number}", "version": 1}
    return {**head, **content}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    Path(sys.argv[1]).write_text(json.dumps(bill(), indent=2, ensure_ascii=False) + "\n", "utf-8")
