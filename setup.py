"""Builds the native module with CMake and Ninja; setuptools only packages it."""

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


class CMakeBuild(build_ext):
    def build_extension(self, ext: Extension) -> None:
        import ninja
        import pybind11

        cmake = shutil.which("cmake")
        if cmake is None:
            raise SystemExit("pyharmony: cmake was not found; `pip install cmake` provides it")
        if not any(shutil.which(c) for c in (os.environ.get("CXX", "g++").split()[0], "c++")):
            raise SystemExit("pyharmony: no C++17 compiler was found; on Debian: apt-get install g++")
        build = ROOT / "build" / f"cmake-{sys.implementation.cache_tag}"
        build.mkdir(parents=True, exist_ok=True)
        # Every option is given each time: the cache in the build folder outlives a virtual environment.
        options = [
            f"-DCMAKE_LIBRARY_OUTPUT_DIRECTORY={PACKAGE}",
            f"-DCMAKE_BUILD_TYPE={'Debug' if self.debug else 'Release'}",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
            "-GNinja",
            f"-DCMAKE_MAKE_PROGRAM={Path(ninja.BIN_DIR) / 'ninja'}",
            "-DHM_SANITIZE=",
            "-DHM_WERROR=OFF",
            *shlex.split(os.environ.get("CMAKE_ARGS", "")),
        ]
        subprocess.check_call([cmake, "-S", str(ROOT), "-B", str(build), *options])
        subprocess.check_call([cmake, "--build", str(build)])
        # CMake writes into the source package, so that an import from the repository's root
        # finds the module too; a wheel takes its copy from build_lib.
        module = PACKAGE / Path(self.get_ext_fullpath(ext.name)).name
        target = Path(self.get_ext_fullpath(ext.name)).resolve()
        if target != module.resolve():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(module, target)


setup(ext_modules=[Extension("pyharmony._C", sources=[])], cmdclass={"build_ext": CMakeBuild})
