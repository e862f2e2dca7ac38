"""`tools/release.py`: the index that pip installs from, the notes, and what the wheels are linked with."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from ..shared import ROOT, load_script

pytestmark = pytest.mark.house


@pytest.fixture(scope="module")
def release() -> Any:
    return load_script("tools/release.py")


def wheel(folder: Path, name: str, requires: str = "Requires-Python: >=3.10\n") -> Path:
    """Writes a wheel of a module without contents."""
    project, version = name.split("-")[:2]
    info, path = f"{project}-{version}.dist-info", folder / name
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{project}.py", "")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n{requires}")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


def test_sources_with_kernels_lie_in_one_place(release: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """nvcc's names of kernels contain a hash of it."""
    monkeypatch.setattr(release, "CUDA_SOURCES", tmp_path / "wheels")
    assert release.source_folder("cu13") == tmp_path / "wheels" / "cu13"
    assert release.source_folder("none") == release.WORK / "source-none"
    monkeypatch.setattr(release.os, "getuid", lambda: os.stat(tmp_path).st_uid + 1)
    with pytest.raises(SystemExit, match="wheels: belongs to somebody else, expected a folder that this build may"):
        release.source_folder("cu13")


def test_pip_installs_from_the_index(release: Any, tmp_path: Path) -> None:
    dist, site = tmp_path / "dist", tmp_path / "site"
    dist.mkdir()
    path = wheel(dist, "some_Project-1.0-py3-none-any.whl")
    release.index(dist, site, dependencies=False)
    page = (site / "some-project" / "index.html").read_text()
    assert hashlib.sha256(path.read_bytes()).hexdigest() in page and 'data-requires-python="&gt;=3.10"' in page
    assert '<a href="some-project/">' in (site / "index.html").read_text()
    target = tmp_path / "target"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(target), "--isolated"]
    subprocess.run([*pip, "--index-url", site.as_uri(), "some.project"], check=True)
    assert (target / "some_Project.py").is_file()
    with pytest.raises(SystemExit, match="has no wheels"):
        release.index(tmp_path / "site" / "some-project", site, dependencies=False)


def test_the_notes_are_the_part_of_the_changelog(release: Any) -> None:
    text = release.notes("Unreleased")
    assert text.startswith("The first release will be") and "### Added" in text and "\n## " not in text
    with pytest.raises(SystemExit, match=r"CHANGELOG.md: has no version 9.9.9"):
        release.notes("9.9.9")


def test_a_variant_has_its_version_and_the_last_commit_alone(
    release: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = tmp_path / "clone"
    (clone / "pyharmony").mkdir(parents=True)
    shutil.copy(ROOT / "pyharmony" / "_version.py", clone / "pyharmony")
    git = ["git", "-C", str(clone), "-c", "user.name=A", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "One"]):
        subprocess.run([*git, *command], check=True)
    (clone / "untracked.py").touch()
    monkeypatch.setattr(release, "ROOT", clone)
    variables = release.sources(tmp_path / "source", "cu13")
    own = (ROOT / "pyharmony" / "_version.py").read_text().split('"')[1]
    assert f'"{own}+cu13"' in (tmp_path / "source" / "pyharmony" / "_version.py").read_text()
    assert int(variables["SOURCE_DATE_EPOCH"]) > 1_700_000_000 and not (tmp_path / "source" / "untracked.py").exists()


def test_what_the_oldest_glibc_lacks_is_in_the_module(tmp_path: Path) -> None:
    """The definitions wait as long as they are asked to, and draw numbers."""
    source = tmp_path / "test.c"
    source.write_text(
        f'#include "{ROOT / "tools" / "glibc_2_28.c"}"\n'
        """#include <errno.h>
        int main(void) {
          pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
          pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
          struct timespec start, until, end;
          clock_gettime(CLOCK_MONOTONIC, &start);
          until = start;
          until.tv_nsec += 60000000;
          if (until.tv_nsec >= 1000000000) { until.tv_sec += 1; until.tv_nsec -= 1000000000; }
          pthread_mutex_lock(&mutex);
          if (pthread_cond_clockwait(&condition, &mutex, CLOCK_MONOTONIC, &until) != ETIMEDOUT) return 1;
          clock_gettime(CLOCK_MONOTONIC, &end);
          const double passed = end.tv_sec - start.tv_sec + 1e-9 * (end.tv_nsec - start.tv_nsec);
          return passed < 0.055 || (arc4random() == arc4random() && arc4random() == arc4random());
        }"""
    )
    subprocess.run(["gcc", "-pthread", "-w", str(source), "-o", str(tmp_path / "test")], check=True)
    subprocess.run([str(tmp_path / "test")], check=True)
