"""Builds the native module with CMake and Ninja; setuptools only packages it."""

from __future__ import annotations

import importlib
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent.resolve()
PACKAGE = ROOT / "pyharmony"


def find_program(name: str, folder: str) -> str:
    """The program that the build requirement of the same name brings, else the one on PATH."""
    try:
        module = importlib.import_module(name)
        path = str(getattr(module, folder, ""))
    except ImportError:
        path = ""
    found = (path and shutil.which(name, path=path)) or shutil.which(name)
    if not found:
        raise SystemExit(f"pyharmony: {name} was not found; `pip install {name}` provides it")
    return found


class CMakeBuild(build_ext):
    def build_extension(self, ext: Extension) -> None:
        import pybind11

        compiler = shlex.split(os.environ.get("CXX", "")) or ["g++"]
        if not any(shutil.which(name) for name in (compiler[0], "c++", "clang++")):
            raise SystemExit("pyharmony: no C++17 compiler was found; on Debian: apt-get install g++")
        cmake = find_program("cmake", "CMAKE_BIN_DIR")
        configure = [
            *(cmake, "-S", str(ROOT), "-G", "Ninja"),
            f"-DCMAKE_MAKE_PROGRAM={find_program('ninja', 'BIN_DIR')}",
            f"-DCMAKE_LIBRARY_OUTPUT_DIRECTORY={PACKAGE}",
            f"-DCMAKE_BUILD_TYPE={'Debug' if self.debug else 'Release'}",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
            *shlex.split(os.environ.get("CMAKE_ARGS", "")),
        ]
        # One folder for each Python, so that a second build compiles what changed only. CMake's cache
        # would outlive the environment and the options it was made with: those have to be the same.
        build = ROOT / "build" / f"cmake-{sys.implementation.cache_tag}"
        made_with = build / "made_with.txt"
        names = ("CXX", "CXXFLAGS", "LDFLAGS", "CUDACXX", "CUDAHOSTCXX", "CUDAARCHS", "CUDA_HOME", "CUDA_PATH")
        settings = [f"{name}={os.environ.get(name, '')}" for name in names]
        settings += [f"{name}: {shutil.which(name)}" for name in ("nvcc", "nvidia-smi")]
        key = "\n".join([*configure, *settings])
        if not made_with.exists() or made_with.read_text() != key:
            shutil.rmtree(build, ignore_errors=True)
            build.mkdir(parents=True)
        subprocess.check_call([*configure, "-B", str(build)])
        made_with.write_text(key)
        subprocess.check_call([cmake, "--build", str(build)])
        # CMake writes into the source package, so that an import from the repository's root
        # finds the module too; a wheel takes its copy from build_lib.
        target = Path(self.get_ext_fullpath(ext.name)).resolve()
        module = PACKAGE / target.name
        if target != module.resolve():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(module, target)


setup(ext_modules=[Extension("pyharmony._C", sources=[])], cmdclass={"build_ext": CMakeBuild})
