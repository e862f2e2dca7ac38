"""The names of an installation, the hints that complete or repair it, and what makes a build begin anew."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

from pyharmony import _install
from pyharmony.learn import training

from .. import skips
from ..shared import ROOT, load_script

pytestmark = pytest.mark.house

PACKAGE = ROOT / "pyharmony"

METADATA = """Metadata-Version: 2.4
Name: {name}
Version: {version}
Provides-Extra: io
Requires-Dist: numpy>=1.26
Requires-Dist: opencv-python-headless>=4.10; extra == "io"
Requires-Dist: torch<2.14,>=2.6; extra == "train"
Requires-Dist: of-old-pythons>=2; python_version < "3.10" and extra == "train"
Requires-Dist: of-these-pythons>=3; python_version >= "3.10" and extra == "train"
"""


def installed(
    folder: Path, name: str = "pyharmony-blend", version: str = "0.1.0", record: str = "", direct_url: object = None
) -> Path:
    """Writes what pip writes of a distribution; the folder goes onto the path of imports."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(METADATA.format(name=name, version=version))
    (info / "RECORD").write_text(record)
    if direct_url is not None:
        (info / "direct_url.json").write_text(json.dumps(direct_url))
    return folder


@pytest.mark.slow
def test_the_check_of_an_installed_package_calls_every_blend(tmp_path: Path) -> None:
    script = load_script(".ci/check_installed.py").BLEND
    command = [sys.executable, "-c", script, str(tmp_path / "results.npz")]
    process = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert process.returncode == 0, process.stderr


# The name


#: The endings of the files that a person or a program reads as text.
TEXT = ("", ".1", ".cff", ".cmake", ".in", ".ipynb", ".md", ".py", ".pyi", ".sh", ".toml", ".txt", ".yml")


def text_files() -> Iterator[Path]:
    """Yields the text files of the repository, without what others wrote and what programs made."""
    left_out = {"build", "dist", "artifacts", "third_party", "golden", "results"}
    for folder, folders, names in os.walk(ROOT):
        hidden = {name for name in folders if name.startswith(".") and name != ".ci"}  # of git and of tools
        folders[:] = [name for name in folders if name not in left_out | hidden and not name.endswith(".egg-info")]
        for name in names:
            path = Path(folder, name)
            if path.suffix in TEXT:
                yield path


#: Texts that install the index's package or an extra of it, look up its metadata, or depend on it.
OF_THE_INDEX = re.compile(
    r"pip3?\s+(?:install|download|wheel)\b[^\n`]*?[ '\"=]pyharmony(?![-\w./])"
    r"|(?<![-\w])pyharmony\\?\[[a-z$]"
    r"|\bmetadata\.(?:version|distribution|files|requires)\(\s*['\"]pyharmony['\"]"
    r"|^name = ['\"]pyharmony['\"]"
    r"|^dependencies\s*=.*['\"]pyharmony(?![-\w])"
    r"|^\s*['\"]pyharmony\s*[<>=~@]",
    re.MULTILINE,
)


def test_nothing_names_the_package_of_the_index() -> None:
    texts = {path: path.read_text(errors="replace") for path in text_files() if path != Path(__file__)}
    assert {PACKAGE / "_install.py", ROOT / "README.md", ROOT / ".ci" / "run", ROOT / "pyproject.toml"} <= texts.keys()
    addresses = [
        f"{path.relative_to(ROOT)}: {m.group()!r}" for path, text in texts.items() if (m := OF_THE_INDEX.search(text))
    ]
    assert not addresses


@pytest.mark.parametrize(
    ("text", "of_the_index"),
    [
        ("pip install 'pyharmony[train]'", True),
        ("CMAKE_ARGS=-DX=1 pip install --force-reinstall --no-cache-dir pyharmony", True),
        ("pip install pyharmony==0.1.0", True),
        ('"pyharmony[cupy12] @ file://x.whl"', True),
        ('importlib.metadata.version("pyharmony")', True),
        ('name = "pyharmony"', True),
        ('dependencies = ["numpy>=1.26", "pyharmony"]', True),
        ("pip install '.[train]'", False),
        ("pip install dist/pyharmony_blend-0.1.0-cp311-cp311-linux_x86_64.whl", False),
        ('name = "pyharmony-blend"', False),
        ("pip uninstall -y pyharmony", False),
        ("pip install . # then `pyharmony demo`", False),
    ],
)
def test_what_counts_as_the_package_of_the_index(text: str, of_the_index: bool) -> None:
    assert bool(OF_THE_INDEX.search(text)) == of_the_index


def test_the_distribution_has_a_name_of_its_own() -> None:
    distribution = importlib.metadata.distribution(_install.DISTRIBUTION)
    assert distribution.metadata["Name"] == "pyharmony-blend"
    commands = [entry for entry in distribution.entry_points if entry.group == "console_scripts"]
    assert [(entry.name, entry.value) for entry in commands] == [("pyharmony", "pyharmony.cli:main")]


def test_a_clone_of_the_package_s_name_does_not_hide_the_package(tmp_path: Path) -> None:
    """From the folder above it, an import would find a folder of that name first: one without an __init__."""
    (tmp_path / "pyharmony").symlink_to(ROOT)
    code = "import pyharmony; print(pyharmony.__version__)"
    process = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert process.stdout.strip() == importlib.metadata.version(_install.DISTRIBUTION)


# Hints


def test_a_hint_names_the_packages_of_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(installed(tmp_path))
    assert _install.hint("io") == "pip install 'opencv-python-headless>=4.10'"
    assert _install.hint("train") == "pip install 'torch<2.14,>=2.6' 'of-these-pythons>=3'"


def test_every_extra_that_the_package_asks_for_has_a_hint() -> None:
    """The extras are those of the code, by the metadata of this installation."""
    extras = set()
    for path in PACKAGE.rglob("*.py"):
        extras |= set(re.findall(r"_install\.hint\(['\"](\w+)['\"]\)", path.read_text()))
    from pyharmony.cli import _facts

    extras |= {extra for _, _, extra in _facts.OPTIONAL.values()}
    assert extras >= {"io", "onnx", "tfrecord", "torch", "train"}
    for extra in extras:
        assert re.fullmatch(r"pip install '[a-z]\S+'(?: '[a-z]\S+')*", _install.hint(extra)), extra
    assert "torch" in _install.hint("torch") and "tensorboard" in _install.hint("train")


def not_installed(name: str) -> None:
    raise importlib.metadata.PackageNotFoundError(name)


def test_where_nothing_is_installed_a_hint_is_of_the_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "requires", not_installed)
    monkeypatch.setattr(importlib.metadata, "distribution", not_installed)
    clone = tmp_path / "a clone"
    clone.mkdir()
    monkeypatch.setattr(_install, "_ROOT", clone)
    assert _install.hint("io") == "in a clone of pyharmony: pip install '.[io]'"
    assert _install.again().startswith("in a clone of pyharmony: pip install ") and _install.again().endswith(" .")
    for name in ("pyproject.toml", "setup.py"):
        (clone / name).touch()
    assert _install.hint("io") == f"pip install '{clone}[io]'"
    assert _install.again().startswith("pip install ") and _install.again().endswith(f" '{clone}'")


@pytest.mark.parametrize(
    ("direct_url", "expected"),
    [
        ({"url": "file://{folder}/clone", "dir_info": {"editable": True}}, "-e {folder}/clone"),
        ({"url": "file://{folder}/a%20clone", "dir_info": {}}, "'{folder}/a clone'"),
        ({"url": "file://{folder}/pyharmony_blend.whl", "archive_info": {}}, "{folder}/pyharmony_blend.whl"),
        (
            {"url": "https://git.example/h.git", "vcs_info": {"vcs": "git", "commit_id": "a1"}},
            "git+https://git.example/h.git@a1",
        ),
        ({"url": "https://example.org/h.tar.gz", "archive_info": {}}, "https://example.org/h.tar.gz"),
    ],
)
def test_it_is_installed_again_from_where_it_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, direct_url: dict[str, object], expected: str
) -> None:
    for name in ("clone", "a clone", "pyharmony_blend.whl"):
        (tmp_path / name).mkdir()
    url = str(direct_url["url"]).format(folder=tmp_path)
    monkeypatch.syspath_prepend(installed(tmp_path / "site", direct_url={**direct_url, "url": url}))
    expected = expected.format(folder=tmp_path)
    assert _install.again() == f"pip install --force-reinstall --no-deps --no-cache-dir {expected}"
    other = _install.again("-DHM_CUDA=ON")
    if expected.endswith(".whl"):  # of which nothing is built
        assert other == f"in a clone of pyharmony: CMAKE_ARGS=-DHM_CUDA=ON {_install.again().removesuffix(expected)}."
    else:
        assert other == f"CMAKE_ARGS=-DHM_CUDA=ON {_install.again()}"


def test_what_is_gone_is_not_installed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = {"url": f"file://{tmp_path}/gone.whl", "archive_info": {}}
    monkeypatch.syspath_prepend(installed(tmp_path / "site", direct_url=gone))
    monkeypatch.setattr(_install, "_ROOT", tmp_path)
    assert _install.again() == "in a clone of pyharmony: pip install --force-reinstall --no-deps --no-cache-dir ."


# The other project of the name


def test_of_its_own_accord_no_other_project_is_here() -> None:
    assert _install.strangers() == {}


@pytest.mark.parametrize("inside", [False, True])
def test_doctor_warns_of_the_other_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: bool) -> None:
    from pyharmony.cli._app import app

    file = os.path.relpath(PACKAGE / "discovery.py", tmp_path.resolve()) if inside else "pyharmony/discovery.py"
    monkeypatch.syspath_prepend(installed(tmp_path, "pyharmony", "1.0.21", record=f"{file},,\n"))
    assert _install.strangers() == {"1.0.21": inside}
    result = CliRunner().invoke(app, ["doctor", "--json"])
    row = next(check for check in json.loads(result.stdout)["checks"] if check["name"] == "installation")
    assert "pyharmony-blend 0.1.0" in row["found"] and "the package pyharmony 1.0.21" in row["found"]
    assert "another project" in row["found"]
    assert row["state"] == ("failed" if inside else "note")
    assert result.exit_code == int(inside)
    assert row["remedy"] == f"pip uninstall -y pyharmony && {_install.again()}"


def test_doctor_says_that_the_other_project_is_there_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """doctor runs as from a clone, in an environment where the name on the index was installed."""
    from pyharmony.cli import _facts, doctor

    monkeypatch.syspath_prepend(installed(tmp_path, "pyharmony", "1.0.21", record="pyharmony/discovery.py,,\n"))
    monkeypatch.setattr(_facts, "version_of", lambda *names: None)
    with pytest.raises(
        doctor.Missing, match=r"0\.1\.0, which is not installed, and .* pyharmony 1\.0\.21, another project"
    ):
        doctor._distribution()


def test_what_a_build_left_in_a_clone_is_no_other_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "pyharmony.egg-info" / "PKG-INFO"
    info.parent.mkdir()
    info.write_text("Metadata-Version: 2.1\nName: pyharmony\nVersion: 0.1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert [distribution.version for distribution in importlib.metadata.distributions(name="pyharmony")] == ["0.1.0"]
    assert _install.strangers() == {}


# Building again


@pytest.fixture(scope="module")
def recipe() -> ModuleType:
    """Imports setup.py without running it."""
    return load_script("setup.py", "setup_of_pyharmony")


def environment(folder: Path, python: str) -> Path:
    """Returns the interpreter of a virtual environment in a folder."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / python).symlink_to(sys.executable)
    return folder / "bin" / python


def test_the_key_of_a_build_holds_no_temporary_path(
    recipe: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two environments of pip's, with `python` and with `python3`, and other folders on PATH have the same key."""
    keys = []
    for name, python in (("pip-build-env-x1", "python"), ("pip-build-env-y2", "python3")):
        with monkeypatch.context() as patched:
            patched.setattr(sys, "executable", str(environment(tmp_path / name, python)))
            patched.setenv("PATH", f"{tmp_path / name / 'overlay' / 'bin'}{os.pathsep}{os.environ['PATH']}")
            keys.append(recipe.build_key(["-DX=1"]))
    assert keys[0] == keys[1]
    assert str(tmp_path) not in keys[0]


@pytest.mark.parametrize(
    "change",
    [
        lambda patched: patched.setenv("CXXFLAGS", "-Og"),
        lambda patched: patched.setenv("CUDA_HOME", "/opt/cuda"),
        lambda patched: patched.setattr(sys, "version", "3.99.0 (main)"),
        lambda patched: patched.setattr(sys, "executable", "/opt/another/bin/python3"),
        lambda patched: patched.setattr("sysconfig.get_config_var", lambda name: ".cpython-311d-x86_64-linux-gnu.so"),
        lambda patched: patched.setattr("sysconfig.get_path", lambda name: "/opt/another/include/python3.11"),
    ],
    ids=["CXXFLAGS", "CUDA_HOME", "version", "interpreter", "ABI", "headers"],
)
def test_what_a_build_depends_on_changes_its_key(
    recipe: ModuleType, monkeypatch: pytest.MonkeyPatch, change: Callable[[pytest.MonkeyPatch], None]
) -> None:
    before = recipe.build_key(["-DX=1"])
    assert recipe.build_key(["-DX=2"]) != before
    change(monkeypatch)
    assert recipe.build_key(["-DX=1"]) != before


def test_kernels_are_added_to_the_folder_of_a_build(recipe: ModuleType) -> None:
    """`pip install .` after `make demo` compiles what the demo left out."""
    assert recipe.build_key(["-DHM_SIMD=NATIVE", "-DHM_CUDA=GPU"]) == recipe.build_key(["-DHM_SIMD=ON"])


def entry(name: str, command: str = "c++ -c") -> dict[str, str]:
    return {"file": f"/src/{name}", "command": f"{command} /src/{name}", "output": f"{name}.o"}


def test_a_forecast_is_of_the_files_that_have_no_object(recipe: ModuleType, tmp_path: Path) -> None:
    files = [entry(f"{i}_simd.cpp") for i in range(35)]
    other = {"file": "all", "command": "", "output": "all"}
    assert recipe.forecast([*files, other], tmp_path, 2) == "compiles 35 files, about 1 minute on 2 cores"
    assert recipe.forecast(files, tmp_path, 1) == "compiles 35 files, about 2 minutes on 1 core"
    kernels = [entry("a.cu", "nvcc --generate-code=a --generate-code=b -x cu")] * 30
    assert recipe.seconds_of(kernels[0]["command"]) > recipe.seconds_of(
        entry("b.cu", "nvcc --generate-code=a -x cu")["command"]
    )
    assert "65 files" in recipe.forecast([*files, *kernels], tmp_path, 2)
    for each in files[1:]:
        (tmp_path / each["output"]).touch()
    assert recipe.forecast(files, tmp_path, 2).startswith("compiles 1 file, about ")
    (tmp_path / files[0]["output"]).touch()
    assert recipe.forecast(files, tmp_path, 2) == ""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_a_line_every_ten_per_cent_and_one_line_on_a_terminal(recipe: ModuleType) -> None:
    log, terminal = io.StringIO(), Terminal()
    for stream in (log, terminal):
        progress = recipe.Progress(stream)
        progress.say("compiles 50 files")
        progress.note("[0/2] Re-checking globbed directories...\n")
        for i in range(50):
            progress.note(f"[{2 * i + 2:3d}% {i / 2:.3f}s] Building CXX object {i}.o\n")
            progress.note("a.cpp:1:2: warning: what a compiler says\n")
    lines = log.getvalue().splitlines()
    assert lines[0] == "pyharmony: compiles 50 files"
    assert [int(line.split()[2]) for line in lines[1:]] == list(range(10, 101, 10))
    assert terminal.getvalue().count("\n") == 2
    assert terminal.getvalue().endswith("\rpyharmony: compiled 100 % after 24 s\n")
    recipe.Progress(None).note("[100% 1.0s] Linking\n")


SMALL_PROJECT = {
    "CMakeLists.txt": """
        cmake_minimum_required(VERSION 3.22)
        project(small LANGUAGES CXX)
        set(CMAKE_CXX_STANDARD 17)
        find_package(Python COMPONENTS Interpreter Development.Module REQUIRED)
        find_package(pybind11 CONFIG REQUIRED)
        pybind11_add_module(_C NO_EXTRAS small.cpp)
        set_target_properties(_C PROPERTIES COMPILE_OPTIONS -O0)
        set_property(GLOBAL APPEND PROPERTY JOB_POOLS few=3)
        set(CMAKE_JOB_POOL_COMPILE few)
    """,
    "small.cpp": """
        #include <pybind11/detail/common.h>  // a header of pybind11's is a second, all of them are five
        static PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_C", nullptr, -1, nullptr};
        PyMODINIT_FUNC PyInit__C() { return PyModule_Create(&definition); }
    """,
    "pyharmony/__init__.py": "",
}


def needed(module: str) -> Any:
    return pytest.importorskip(module, reason=skips.not_installed(module))


@pytest.mark.slow
def test_a_second_build_with_programs_elsewhere_compiles_nothing(tmp_path: Path) -> None:
    """The builds are `pip install .` and `pip install '.[io]'`, each with its own CMake, Ninja and pybind11."""
    modules = {name: Path(needed(name).__file__).parent for name in ("cmake", "ninja", "pybind11")}
    setuptools = Path(needed("setuptools").__file__).parent.parent
    project = tmp_path / "project"
    for name, text in SMALL_PROJECT.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    shutil.copy(ROOT / "setup.py", project)

    compiled: list[dict[Path, int]] = []
    progress = tmp_path / "progress"
    for number, python in enumerate(("python", "python3")):
        folder = tmp_path / f"pip-build-env-{number}"
        overlay = folder / "overlay"
        overlay.mkdir(parents=True)
        for name, place in modules.items():
            if name == "pybind11":  # files as new as those that pip unpacks
                shutil.copytree(place, overlay / name, copy_function=shutil.copyfile)
            else:
                (overlay / name).symlink_to(place)
        process = subprocess.run(
            [str(environment(folder, python)), "setup.py", "build_ext", "--build-lib", str(folder / "lib")],
            cwd=project, capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": f"{overlay}{os.pathsep}{setuptools}", "PYHARMONY_PROGRESS": str(progress)},
        )  # fmt: skip
        assert process.returncode == 0, process.stdout + process.stderr
        assert ("pyharmony: compiles 1 file, about 1 s on 3 cores\n" in process.stdout) == (number == 0)
        assert list((folder / "lib" / "pyharmony").glob("_C*.so"))
        files = [*project.rglob("*.o"), *(project / "pyharmony").glob("_C*.so")]
        compiled.append({file: file.stat().st_mtime_ns for file in files})
        assert len(files) == 2
        shutil.rmtree(folder)
    assert compiled[0] == compiled[1]
    first, *others = progress.read_text().splitlines()
    assert first == "pyharmony: compiles 1 file, about 1 s on 3 cores"
    assert re.fullmatch(r"pyharmony: compiled 100 % after \d+ s", others[-1])
    for name in ("build.ninja", "CMakeCache.txt"):
        (text,) = (path.read_text(errors="replace") for path in (project / "build").rglob(name))
        assert "pip-build-env-0" not in text


def requirements() -> dict[str, list[str]]:
    """Returns what each extra needs, and the package itself as ''."""
    project = training.read_toml(ROOT / "pyproject.toml")["project"]
    return {"": project["dependencies"], **project["optional-dependencies"]}


def test_no_package_has_an_upper_bound() -> None:
    """With one, an extra would replace the newer torch or NumPy that is there by an older one.

    typer has one: from 0.29 on it imports pydantic, in a sixth of the time of a short command.
    """
    needs = [need.partition(";")[0] for needs in requirements().values() for need in needs]
    assert len(needs) > 40
    bounded = [need for need in needs if re.search(r"[<~]|==", need)]
    assert bounded == ["typer>=0.16,<0.29"]


def test_what_the_page_offers_comes_with_the_extra_of_the_readme() -> None:
    """Merging needs OpenCV, and photos of iPhones pillow-heif: `pip install '.[serve]'` is all that README asks for."""
    from pyharmony.cli.doctor import _PAGE

    readme, needs = (ROOT / "README.md").read_text(), {need.partition(">=")[0] for need in requirements()["serve"]}
    assert re.findall(r"pip install [^\n]*'\.\[([a-z,]+)\]'", readme)[0] == "serve"
    packages = {"cv2": "opencv-python-headless", "pillow_heif": "pillow-heif", "prometheus_client": "prometheus-client"}
    assert {packages.get(module, module) for module in _PAGE} <= needs
    notice = (ROOT / "NOTICE").read_text()
    assert all(name in notice for name in ("opencv-python-headless", "pillow-heif", "LGPL", "GPL 2"))


def test_versions_of_the_service_with_published_vulnerabilities_are_refused() -> None:
    """h11: CVE-2025-43859, until 0.15. starlette: CVE-2025-62727, CVE-2026-48710 and CVE-2026-54283, until 1.3.0.

    Pillow: several in its decoders, until 12.1.
    """
    (pillow,) = re.findall(r'"pillow>=([\d.]+)"', (ROOT / "pyproject.toml").read_text(), re.I)
    assert tuple(map(int, pillow.split("."))) >= (12, 2)
    for extra in ("serve", "test"):
        least = {name: version for name, _, version in (x.partition(">=") for x in requirements()[extra])}
        assert tuple(map(int, least["h11"].split("."))) >= (0, 16)
        assert tuple(map(int, least["starlette"].split("."))) >= (1, 3, 1)
