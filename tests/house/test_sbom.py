"""The list of what a release consists of: it is complete, has the fields that CycloneDX 1.6 requires, and is one."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import pyharmony
from pyharmony import _shipped

from ..shared import ROOT, load_script

pytestmark = pytest.mark.house

EPOCH = "1700000000"


@pytest.fixture(scope="module")
def sbom() -> Any:
    return load_script("tools/sbom.py")


def test_no_code_of_others_is_left_out(sbom: Any) -> None:
    folders = {path.name for path in (ROOT / "csrc" / "third_party").iterdir() if path.is_dir()}
    files = {path.name.split(".")[0] for path in (ROOT / "pyharmony" / "serve" / "static" / "vendor").iterdir()}
    assert folders | files == sbom.VENDORED.keys()
    notice = (ROOT / "NOTICE").read_text("utf-8").lower()
    assert all(name in notice for name in (*sbom.VENDORED, "pybind11"))


def test_the_list_of_a_release_is_complete_and_valid(
    sbom: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fields that CycloneDX 1.6 requires, and what this list is for."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", EPOCH)
    monkeypatch.setenv("PYHARMONY_OPEN_DATA", "1")  # the files are in a release all the same
    bill = json.loads(json.dumps(sbom.bill()))
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert uuid.UUID(bill["serialNumber"].removeprefix("urn:uuid:")).urn == bill["serialNumber"]
    assert datetime.fromisoformat(bill["metadata"]["timestamp"]).timestamp() == int(EPOCH)
    own, parts = bill["metadata"]["component"], bill["components"]
    assert (own["name"], own["version"]) == ("pyharmony-blend", pyharmony.__version__)
    for one in (own, *parts):
        assert one["type"] in ("library", "machine-learning-model") and one["name"] and one["bom-ref"]
        assert one.get("scope", "required") in ("required", "optional")
        for term in one.get("licenses", ()):
            assert list(term) == ["expression"] or list(term) == ["license"] and len(term["license"]) == 1
        assert not any("expression" in term for term in one.get("licenses", ())) or len(one["licenses"]) == 1
        for digest in one.get("hashes", ()):
            assert digest["alg"] == "SHA-256" and re.fullmatch("[0-9a-f]{64}", digest["content"])
        assert all(note.keys() == {"name", "value"} for note in one.get("properties", ()))
    refs = [one["bom-ref"] for one in (own, *parts)]
    assert len(set(refs)) == len(refs)
    assert bill["dependencies"] == [{"ref": refs[0], "dependsOn": refs[1:]}]
    by_name = {one["name"]: one for one in parts}
    for name in ("numpy", "pillow", "rich", "typer", "pybind11"):
        assert by_name[name]["scope"] == "required" and by_name[name]["version"] and by_name[name]["licenses"]
    assert by_name["fastapi"]["scope"] == by_name["c2pa-python"]["scope"] == "optional"
    assert "pytest" not in by_name and by_name["opencv-python-headless"]["purl"].startswith("pkg:pypi/opencv-python")
    for entry in _shipped.manifest():
        one = by_name[entry.name]
        assert one["type"] == "machine-learning-model" and one["licenses"] == [{"license": {"id": "Apache-2.0"}}]
        assert one["hashes"][0]["content"] == hashlib.sha256(entry.path.read_bytes()).hexdigest()
        (data,) = one["modelCard"]["modelParameters"]["datasets"]
        assert (data["type"], data["description"]) == ("dataset", entry.trained_on)
    assert re.fullmatch(r"[\d.]+", by_name["konva"]["version"])


def test_the_list_of_a_release_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def written(epoch: str, name: str) -> bytes:
        monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
        command = [sys.executable, str(ROOT / "tools" / "sbom.py"), str(tmp_path / name)]
        subprocess.run(command, check=True, cwd=tmp_path)
        return (tmp_path / name).read_bytes()

    first = written(EPOCH, "a.json")
    assert first == written(EPOCH, "b.json") != written("1700000001", "c.json")
