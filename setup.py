"""Builds the native module with CMake and Ninja, and writes stubs and man page; setuptools only packages them."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, TextIO

from setuptools import Command, Extension, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent.resolve()
PACKAGE = ROOT / "pyharmony"
#: Environment variables that compilers, CMake and cmake/cuda.cmake read.
VARIABLES = ("CXX", "CXXFLAGS", "LDFLAGS", "CUDACXX", "CUDAHOSTCXX", "CUDAARCHS", "CUDA_HOME", "CUDA_PATH")


def find_program(name: str, folder: str) -> str:
    """Returns the program that the build requirement of the same name brings, else the one on PATH."""
    try:
        module = importlib.import_module(name)
        path = str(getattr(module, folder, ""))
    except ImportError:
        path = ""
    found = (path and shutil.which(name, path=path)) or shutil.which(name)
    if not found:
        raise SystemExit(f"pyharmony: {name} was not found; `pip install {name}` provides it")
    return found


def build_key(options: Iterable[str]) -> str:
    """Returns a key of all that a build is made with: a folder of CMake's serves as long as this stays the same.

    HM_SIMD and HM_CUDA are left out: CMake gets them each time, and compiles what they add. So are the programs that
    pip brings, in a folder of another name for each build: what Ninja compiles again follows from the commands. The
    interpreter counts by what a module is compiled for; `python` and `python3` are one.
    """
    interpreter = [
        f"Python {sys.version.split()[0]} of {os.path.realpath(sys.executable)}",
        f"ABI {sysconfig.get_config_var('EXT_SUFFIX')}, headers {sysconfig.get_path('include')}",
    ]
    settings = [f"{name}={os.environ.get(name, '')}" for name in VARIABLES]
    settings += [f"{name}: {shutil.which(name)}" for name in ("nvcc", "nvidia-smi")]
    options = (option for option in options if not option.startswith(("-DHM_SIMD=", "-DHM_CUDA=")))
    return "\n".join([*options, *interpreter, *settings])


def keep_pybind11(build: Path, version: str) -> Path:
    """Copies pybind11 into the build's folder; returns the folder of its CMake files.

    Sources are compiled again when a header's path or time differs, and both do in each environment that pip makes.
    """
    import pybind11

    copy = build / f"pybind11-{version}"
    if not copy.exists():
        unfinished = copy.with_name("pybind11-unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        headers, cmake = Path(pybind11.get_include()), Path(pybind11.get_cmake_dir())
        shutil.copytree(headers / "pybind11", unfinished / "include" / "pybind11")
        shutil.copytree(cmake, unfinished / "share" / "cmake" / "pybind11")
        unfinished.rename(copy)
    return copy / "share" / "cmake" / "pybind11"


def seconds_of(command: str) -> float:
    """Returns about how many seconds of one core a compiler's command takes."""
    if "-x cu" in command:
        return 2 + 2.5 * max(1, command.count("--generate-code"))
    return 3 if "_simd.cpp" in command else 10 if "Unity/" in command else 1


def forecast(commands: Iterable[Mapping[str, str]], build: Path, cores: int) -> str:
    """Returns how many files of Ninja's compilation database have no object yet, and how long they will take.

    Args:
        commands: entries with `file`, `command` and `output`.
        build: the folder that outputs are relative to.
        cores: how many of them compile at once.

    Returns:
        Such as "compiles 79 files, about 3 minutes on 2 cores", or "" where all objects are there.
    """
    sources = (".cpp", ".cxx", ".cu")
    missing = [c for c in commands if c["file"].endswith(sources) and not (build / c.get("output", "")).exists()]
    if not missing:
        return ""
    seconds = max(1, sum(seconds_of(c["command"]) for c in missing) / cores)
    time = f"{round(seconds / 60)} minutes" if seconds >= 90 else "1 minute" if seconds >= 45 else f"{seconds:.0f} s"
    files = "1 file" if len(missing) == 1 else f"{len(missing)} files"
    return f"compiles {files}, about {time} on {cores} core{'s' * (cores > 1)}"


class Progress:
    """Writes to a stream how far a build is: on a terminal a line that changes, else a line every ten per cent."""

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream
        self.last = 0

    def say(self, text: str) -> None:
        self._write(f"pyharmony: {text}\n")

    def note(self, line: str) -> None:
        """Takes a line that Ninja wrote with the status "[ 12% 34.5s] "."""
        status = re.match(r"\[\s*(\d+)% ([\d.]+)s\]", line)
        if status is None:
            return
        percent, seconds = int(status[1]), float(status[2])
        if self.stream is not None and self.stream.isatty():
            self._write(f"\rpyharmony: compiled {percent:3d} % after {seconds:.0f} s" + "\n" * (percent == 100))
        elif percent // 10 > self.last // 10:
            self._write(f"pyharmony: compiled {percent:3d} % after {seconds:.0f} s\n")
        self.last = percent

    def _write(self, text: str) -> None:
        if self.stream is not None:
            self.stream.write(text)
            self.stream.flush()


def progress_stream() -> TextIO | None:
    """Opens the file that PYHARMONY_PROGRESS names: pip keeps what a build prints, and make shows it this way."""
    path = os.environ.get("PYHARMONY_PROGRESS")
    try:
        return open(path, "a", encoding="utf-8") if path else None
    except OSError:  # a socket, or a system without /proc
        return None


def compile_all(cmake: str, ninja: str, build: Path, stream: TextIO | None) -> None:
    """Compiles what has changed, and says beforehand how long that takes and on the way how far it is."""
    progress = Progress(stream)
    done = subprocess.run([ninja, "-C", str(build), "-t", "compdb"], capture_output=True, text=True, check=True)
    text = forecast(json.loads(done.stdout[done.stdout.index("[") :]), build, jobs(build))
    if text:
        print(f"pyharmony: {text}", flush=True)
        progress.say(text)
    run([cmake, "--build", str(build)], progress)


def jobs(build: Path) -> int:
    """Returns how many compilers CMake lets run at once."""
    match = re.search(r"^  depth = (\d+)$", (build / "CMakeFiles" / "rules.ninja").read_text(), re.MULTILINE)
    return int(match[1]) if match else os.cpu_count() or 1


def run(command: Sequence[str], progress: Progress) -> None:
    """Runs a build with Ninja, whose output goes on to ours."""
    environment = {**os.environ, "NINJA_STATUS": "[%p %es] "}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environment
    ) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            progress.note(line)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


class CMakeBuild(build_ext):
    def build_extension(self, ext: Extension) -> None:
        import pybind11

        compiler = shlex.split(os.environ.get("CXX", "")) or ["g++"]
        if not any(shutil.which(name) for name in (compiler[0], "c++", "clang++")):
            raise SystemExit("pyharmony: no C++17 compiler was found; on Debian: apt-get install g++")
        cmake, ninja = find_program("cmake", "CMAKE_BIN_DIR"), find_program("ninja", "BIN_DIR")
        options = [
            *("-S", str(ROOT), "-G", "Ninja"),
            f"-DCMAKE_LIBRARY_OUTPUT_DIRECTORY={PACKAGE}",
            f"-DCMAKE_BUILD_TYPE={'Debug' if self.debug else 'Release'}",
            *("-DHM_SIMD=ON", "-DHM_CUDA=AUTO"),
            *shlex.split(os.environ.get("CMAKE_ARGS", "")),
        ]
        # Each Python has its folder, so that a second build compiles what changed only. CMake's cache
        # would outlive the options it was made with: those have to be the same.
        build = ROOT / "build" / f"cmake-{sys.implementation.cache_tag}"
        made_with = build / "made_with.txt"
        key = build_key(options)
        if not made_with.exists() or made_with.read_text() != key:
            shutil.rmtree(build, ignore_errors=True)
            build.mkdir(parents=True)
        # Paths that the key leaves out are said each time, so that the cache never holds one that is gone.
        paths = [
            f"-DCMAKE_MAKE_PROGRAM={ninja}",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-Dpybind11_DIR={keep_pybind11(build, pybind11.__version__)}",
        ]
        subprocess.check_call([cmake, *paths, *options, "-B", str(build)])
        made_with.write_text(key)
        compile_all(cmake, ninja, build, progress_stream())
        # CMake writes into the source package, so that an import from the repository's root
        # finds the module too; a wheel takes its copy from build_lib.
        target = Path(self.get_ext_fullpath(ext.name)).resolve()
        module = PACKAGE / target.name
        if target != module.resolve():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(module, target)


class WriteText(Command):
    """Writes what is generated from the package itself: the stubs, and the man page, which pyproject.toml installs."""

    user_options: ClassVar[list[tuple[str, str, str]]] = []
    editable_mode = False

    def initialize_options(self) -> None:
        self.build_lib = ""

    def finalize_options(self) -> None:
        self.build_lib = str(self.get_finalized_command("build_py").build_lib)

    def run(self) -> None:
        stubs = ROOT if self.editable_mode else Path(self.build_lib).resolve()
        for script, output in (("type_stubs", stubs), ("command_reference", ROOT / "build" / "pyharmony.1")):
            path = ROOT / "tools" / f"{script}.py"
            # Compiled Python would stay in the sources. PYTHONPATH is no way to them: pip's isolation drops from it the
            # folder of a package that is installed as editable.
            code = f"import runpy, sys; sys.path.insert(0, {str(ROOT)!r}); del sys.argv[0]; "
            code += "runpy.run_path(sys.argv[0], run_name='__main__')"
            if subprocess.run([sys.executable, "-B", "-c", code, str(path), str(output)]).returncode:
                raise SystemExit(
                    f"pyharmony: tools/{script}.py failed, for the reason above. It imports the package with NumPy and "
                    "typer; without build isolation, install these first: pip install numpy typer"
                )


class Build(build):
    sub_commands: ClassVar = [*build.sub_commands, ("write_text", None)]


if __name__ == "__main__":
    setup(
        ext_modules=[Extension("pyharmony._C", sources=[])],
        cmdclass={"build": Build, "build_ext": CMakeBuild, "write_text": WriteText},
    )
