"""docs/licences.md says of each part what the manifest and the files say."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pyharmony import _shipped

from ..shared import ROOT, load_script

pytestmark = pytest.mark.house

PAGE = (ROOT / "docs" / "licences.md").read_text("utf-8")


def table(heading: str) -> list[list[str]]:
    """Returns the cells of the first table after a heading, without its head."""
    lines = PAGE.split(heading, 1)[1].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return rows[2:]


@pytest.fixture(scope="module")
def sbom() -> Any:
    return load_script("tools/sbom.py")


def test_the_questions_are_answered_by_yes_or_no() -> None:
    questions = PAGE.split("## ")[0].split("\n|")[3:]
    assert [re.search(r"\*\*(Yes|No)\b", question.split("|")[1]) is not None for question in questions] == [True] * 3
    assert len(PAGE.split()) <= 450
    (row,) = re.findall(r"^\| licence \|.*$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    assert {"yes", "no"} <= set(re.findall(r"\w+", row)) and "(docs/licences.md)" in row


def test_the_page_says_of_each_network_what_the_manifest_says(sbom: Any) -> None:
    rows = {cells[0].strip("`"): cells[1:] for cells in table("## Parts")}
    entries = {one.name: one for one in _shipped.manifest()}
    assert rows.keys() == entries.keys() | sbom.VENDORED.keys()
    for name, one in entries.items():
        used, licence, data, _ = rows[name]
        assert used and licence.startswith(re.split("[,:]", one.licence)[0])
        assert ("Google" in licence) == ("Google" in one.licence), name
        assert ("**not open**" in data) is not one.open_data, name
        assert ("ImageNet" in data) == ("ImageNet" in one.trained_on), name
        known_numbers = set(re.findall(r"\d+", one.trained_on.replace(",", "")))
        numbers = re.findall(r"\d+", data.replace(",", ""))
        assert set(numbers) <= known_numbers and bool(numbers) == ("open photographs" in data), name
        if numbers and name != "scale":  # the number of photographs, not of masks or parts
            assert re.search(rf"\b{numbers[0]} photographs", one.trained_on.replace(",", "")), name
    for name, (licence, _) in sbom.VENDORED.items():
        assert rows[name][1] == licence
    closed = sum(not one.open_data for one in entries.values())
    words = {3: "three", 9: "nine"}
    assert f"{words[closed]} of {words[len(entries)]}" in PAGE
    kinds = {
        kind for one in entries.values() for kind in re.findall(r"CC [\w-]+|CC0|MIT|public domain", one.trained_on)
    }
    assert all(kind in PAGE for kind in kinds)
