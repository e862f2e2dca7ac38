"""Builds the wheels of a release, the same bytes each time, an index from which pip installs them, and the notes.

    python tools/release.py build -o dist --python python3.11 --python python3.12     # for this machine, without CUDA
    python tools/release.py build -o dist --python python3.11 --machine aarch64       # by a cross compiler
    python tools/release.py build -o dist/cu13 --python python3.11 --cuda cu13        # with the nvcc on PATH
    python tools/release.py index dist site/cpu --dependencies   # then: pip install pyharmony-blend --index-url …
    python tools/release.py notes 0.1.0                          # that version's part of CHANGELOG.md

The sources are those of the last commit, whatever the working tree has. The wheels run on any Linux with glibc 2.28
(manylinux_2_28): GCC links them with the libraries of that version, which the package ziglang brings, and has its own
C++ library inside. Needed: the extra `release`, g++, and for aarch64 Debian's g++-aarch64-linux-gnu.
Of a Python that is not here its headers are enough, `--headers 3.14t=FOLDER`: such wheels are untested.
"""

from __future__ import annotations

import argparse
import hashlib
import html
import io
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from email.parser import Parser
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "build" / "wheels"
#: nvcc names kernels by the path of their file: with CUDA the sources lie in one place, wherever the clone is.
CUDA_SOURCES = Path("/tmp/pyharmony-wheels")  # noqa: S108  # its owner is checked
#: The oldest glibc that the wheels run on, and the libraries of it that they are linked with.
GLIBC = "2.28"
LIBRARIES = ("libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libld.so.2")
#: The C++ and the C compiler for each machine.
COMPILERS = {
    "x86_64": ("g++", "gcc"),
    "aarch64": ("aarch64-linux-gnu-g++", "aarch64-linux-gnu-gcc"),
}
#: The options of CMake for each variant, whose name is the local part of the version.
CUDA = {
    "none": ["-DHM_CUDA=OFF"],
    "cu12": ["-DHM_CUDA=ON", "-DHM_CUDA_ARCHITECTURES=release"],
    "cu13": ["-DHM_CUDA=ON", "-DHM_CUDA_ARCHITECTURES=release"],
}
#: The largest size of a wheel in MB, by whether it has CUDA kernels.
MAX_MEGABYTES = {False: 40, True: 120}
BUILD_REQUIREMENTS = ("setuptools", "pybind11", "ninja", "cmake", "numpy", "typer", "wheel")


class Headers(NamedTuple):
    """A Python of which only the headers are here."""

    version: str  # such as 3.14, or 3.14t without the global lock
    folder: Path

    @property
    def abi(self) -> str:
        """The tag of its binary interface, such as cp314t."""
        return f"cp{self.version.replace('.', '')}"

    def suffix(self, machine: str) -> str:
        """Returns the end of a module's name."""
        return f".cpython-{self.abi[2:]}-{machine}-linux-gnu.so"

    @staticmethod
    def of(text: str) -> Headers:
        """Returns the headers that a text such as 3.14=FOLDER names."""
        match = re.fullmatch(r"(\d+\.\d+t?)=(.+)", text)
        if match is None or not (Path(match[2]) / "Python.h").is_file():
            raise argparse.ArgumentTypeError(f"{text}: expected VERSION=FOLDER, a folder with Python.h")
        return Headers(match[1], Path(match[2]).resolve())


def run(*command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Runs a command, with further variables of the environment, and returns what it prints."""
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{shlex.join(map(str, command))}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def sources(folder: Path, variant: str) -> dict[str, str]:
    """Extracts the sources of the last commit, and returns the variables by which their build has the same bytes."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    archive = folder.with_suffix(".tar")
    run("git", "-C", ROOT, "archive", "-o", archive, "HEAD")
    run("tar", "-xf", archive, "-C", folder)
    archive.unlink()
    if variant != "none":
        version = folder / "pyharmony" / "_version.py"
        version.write_text(re.sub(r'"(.+)"', rf'"\1+{variant}"', version.read_text(), count=1))
    time = run("git", "-C", ROOT, "log", "-1", "--format=%ct").strip()
    return {"SOURCE_DATE_EPOCH": time, "PYTHONHASHSEED": "0", "TZ": "UTC", "LC_ALL": "C.UTF-8"}


def libraries(machine: str) -> Path:
    """Returns a folder with the libraries of the oldest glibc, by which the linker knows what that one has."""
    folder = WORK / f"glibc-{GLIBC}-{machine}"
    if (folder / "done").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    cache = folder / "zig"
    cache.mkdir(parents=True)
    empty = folder / "empty.c"
    empty.write_text("int nothing;\n")
    target, zig = f"{machine}-linux-gnu.{GLIBC}", [sys.executable, "-m", "ziglang", "cc"]
    libs = ["-lm", "-lpthread", "-ldl", "-lrt"]
    run(*zig, "-target", target, "-shared", "-o", folder / "empty.so", empty, *libs,
        env={"ZIG_GLOBAL_CACHE_DIR": str(cache)})  # fmt: skip
    for name in LIBRARIES:
        library = next(cache.rglob(name))
        shutil.copy(library, folder / name)
        (folder / f"{name.partition('.so')[0]}.so").symlink_to(name)
    compiler = COMPILERS[machine][1]
    run(compiler, "-O2", "-fPIC", "-c", ROOT / "tools" / "glibc_2_28.c", "-o", folder / "glibc_2_28.o")
    (folder / "exports.map").write_text("{ global: PyInit_*; local: *; };\n")
    shutil.rmtree(cache)
    (folder / "done").touch()
    return folder


def cmake_options(machine: str, source: Path, variant: str, headers: Headers | None = None) -> list[str]:
    """Returns the options of CMake by which a module runs on the oldest glibc, and contains no path of this machine."""
    # They come before those of the Python that CMake runs, which are system headers.
    first = f" -I{headers.folder}" if headers else ""
    folder = libraries(machine)
    # GCC's own library of integers and halves comes before the shared one: the oldest of the latter lacks some of it.
    # The C++ library inside is nobody else's: another one that is loaded before must not answer for parts of it.
    ends = [str(folder / "glibc_2_28.o"), f"-L{folder}", "-lgcc", "-lpthread", "-ldl", "-lm", "-lld"]
    return [
        f"-DCMAKE_CXX_COMPILER={COMPILERS[machine][0]}",
        f"-DCMAKE_CXX_FLAGS=-ffile-prefix-map={source}=. -frandom-seed=pyharmony{first}",
        "-DCMAKE_MODULE_LINKER_FLAGS=-static-libstdc++ -shared-libgcc -s -Wl,--build-id=none"
        f",--version-script={folder / 'exports.map'}",
        f"-DCMAKE_CXX_STANDARD_LIBRARIES={' '.join(ends)}",
        *CUDA[variant],
    ]


def environment_of(python: str) -> Path:
    """Returns an environment of a Python with what the build requires."""
    tag = run(python, "-c", "import sys; print(sys.implementation.cache_tag)").strip()
    folder = WORK / f"environment-{tag}"
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        run(python, "-m", "venv", folder)
        run(
            folder / "bin" / "python", "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", *BUILD_REQUIREMENTS
        )
        (folder / "done").touch()
    return folder / "bin" / "python"


def source_folder(variant: str) -> Path:
    """Returns the folder in which the sources of a variant are built."""
    if variant == "none":
        return WORK / "source-none"
    CUDA_SOURCES.mkdir(mode=0o700, exist_ok=True)
    if CUDA_SOURCES.is_symlink() or CUDA_SOURCES.stat().st_uid != os.getuid():
        raise SystemExit(f"{CUDA_SOURCES}: belongs to somebody else, expected a folder that this build may replace")
    return CUDA_SOURCES / variant


def native_wheel(python: str, variant: str) -> Path:
    """Builds the wheel of a Python for this machine, as setuptools names it."""
    machine, own = os.uname().machine, environment_of(python)
    # The build's folder is kept, so that the kernels of another Python or of the next commit come from its cache.
    source, out = source_folder(variant), WORK / f"raw-{variant}"
    shutil.rmtree(out, ignore_errors=True)
    variables = sources(source, variant)
    build = WORK / f"cmake-{variant}"
    build.mkdir(exist_ok=True)
    (source / "build").symlink_to(build)
    options = cmake_options(machine, source, variant)
    extra = os.environ.get("CMAKE_ARGS", "")
    run(own, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", out, source,
        env={**variables, "CMAKE_ARGS": f"{shlex.join(options)} {extra}"})  # fmt: skip
    return next(iter(out.glob("*.whl")))


def foreign_module(python: str, machine: str, headers: Headers | None) -> Path:
    """Compiles the module of a Python for another machine, or that of another Python by its headers."""
    own, source = environment_of(python), WORK / f"source-{machine}"
    sources(source, "none")
    build = WORK / f"cmake-{machine}-{headers.abi if headers else Path(own).parent.parent.name}"
    another = [f"-DPYTHON_MODULE_EXTENSION={headers.suffix(machine)}", "-DPYTHON_IS_DEBUG=OFF"] if headers else []
    pybind11 = run(own, "-m", "pybind11", "--cmakedir").strip()
    options = [
        "-DCMAKE_SYSTEM_NAME=Linux", f"-DCMAKE_SYSTEM_PROCESSOR={machine}", "-DCMAKE_BUILD_TYPE=Release",
        f"-DPython_EXECUTABLE={own}", f"-Dpybind11_DIR={pybind11}", f"-DCMAKE_LIBRARY_OUTPUT_DIRECTORY={build / 'out'}",
        *cmake_options(machine, source, "none", headers), *another, *shlex.split(os.environ.get("CMAKE_ARGS", "")),
    ]  # fmt: skip
    cmake = own.parent / "cmake"
    ninja = {"PATH": f"{own.parent}{os.pathsep}{os.environ['PATH']}"}
    run(cmake, "-S", source, "-B", build, "-G", "Ninja", *options, env=ninja)
    run(cmake, "--build", build, "--target", "_C", env=ninja)
    return next((build / "out").glob("_C.*.so"))


def foreign_wheel(python: str, machine: str, native: Path, headers: Headers | None = None) -> Path:
    """Returns a wheel for another machine or Python: the native one with another module, since all else is the same."""
    module = foreign_module(python, machine, headers)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        run(sys.executable, "-m", "wheel", "unpack", "-d", folder, native)
        tree = next(folder.iterdir())
        old = next((tree / "pyharmony").glob("_C.*.so"))
        old.unlink()
        ending = headers.suffix(machine) if headers else old.name[2:].replace(os.uname().machine, machine)
        shutil.copy(module, old.with_name(f"_C{ending}"))
        out = WORK / f"raw-{machine}"
        out.mkdir(exist_ok=True)
        run(sys.executable, "-m", "wheel", "pack", "-d", out, tree, env=sources_time())
        packed = out / native.name
        tags = ["--platform-tag", f"linux_{machine}"]
        if headers:
            tags += ["--python-tag", headers.abi.rstrip("t"), "--abi-tag", headers.abi]
        name = run(sys.executable, "-m", "wheel", "tags", "--remove", *tags, packed, env=sources_time()).split()[-1]
    return out / name


def sources_time() -> dict[str, str]:
    """Returns the variable that dates the files of an archive."""
    return {"SOURCE_DATE_EPOCH": run("git", "-C", ROOT, "log", "-1", "--format=%ct").strip()}


def faults(wheel: Path) -> list[str]:
    """Returns the symbols of a wheel's modules that nothing provides, and those that another library may take."""
    from elftools.elf.elffile import ELFFile

    names = set()
    with zipfile.ZipFile(wheel) as archive:
        for name in (name for name in archive.namelist() if name.endswith(".so")):
            elf = ELFFile(io.BytesIO(archive.read(name)))
            versions = elf.get_section_by_name(".gnu.version")
            for i, symbol in enumerate(elf.get_section_by_name(".dynsym").iter_symbols()):
                has_version = versions.get_symbol(i)["ndx"] not in ("VER_NDX_LOCAL", "VER_NDX_GLOBAL")
                is_weak = symbol["st_info"]["bind"] == "STB_WEAK"
                if symbol.name and not (symbol["st_shndx"] == "SHN_UNDEF" and (has_version or is_weak)):
                    names.add(symbol.name)
    # Python provides the first of these, and calls the others.
    return sorted(name for name in names if not re.match("_?Py", name))


def audited(wheel: Path, machine: str, out: Path) -> Path:
    """Writes a wheel under the name of the systems that it runs on, after auditwheel has looked at what it needs."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        programs = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", **sources_time()}
        options = ["--only-plat", "--plat", "auto", "--exclude", "libcuda.so.1", "-w", temporary]
        run(sys.executable, "-m", "auditwheel", "repair", *options, wheel, env=programs)
        output = next(Path(temporary).glob("*.whl"))
        tag = re.fullmatch(rf".+-manylinux_(\d+)_(\d+)_{machine}\.whl", output.name)
        if tag is None or (int(tag[1]), int(tag[2])) > tuple(map(int, GLIBC.split("."))):
            raise SystemExit(f"{output.name}: expected a wheel for {machine} and glibc {GLIBC} or older")
        if symbols := faults(output):
            raise SystemExit(f"{output.name}: nothing provides, or others may take: {', '.join(symbols)}")
        megabytes = output.stat().st_size / 1e6
        largest = MAX_MEGABYTES["+" in output.name]
        if megabytes > largest:
            raise SystemExit(f"{output.name}: {megabytes:.1f} MB, at most {largest} are accepted")
        run(sys.executable, "-m", "twine", "check", "--strict", output)
        return Path(shutil.copy(output, out / output.name))


def build(
    pythons: Sequence[str], headers: Sequence[Headers], machines: Sequence[str], variant: str, out: Path
) -> list[Path]:
    """Builds wheels, those of headers after those of the last Python, and writes their SHA-256 sums beside them."""
    wheels = []
    for python in pythons:
        native = native_wheel(python, variant)
        others = headers if python == pythons[-1] else ()
        for other, machine in itertools.product((None, *others), machines):
            is_native = other is None and machine == os.uname().machine
            wheel = native if is_native else foreign_wheel(python, machine, native, other)
            wheels.append(audited(wheel, machine, out))
            print(f"{wheels[-1]}: {wheels[-1].stat().st_size / 1e6:.1f} MB, SHA-256 {digest(wheels[-1])}", flush=True)
    sums = [f"{digest(path)}  {path.name}" for path in sorted(out.glob("*.whl"))]
    (out / "SHA256SUMS").write_text("".join(f"{line}\n" for line in sums))
    return wheels


def digest(path: Path) -> str:
    """Returns the SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def index(wheels: Path, out: Path, dependencies: bool) -> None:
    """Writes an index of static files (PEP 503), with hashes, over the wheels of a folder.

    dependencies: whether the index has the wheels that these depend on as well, for the Pythons of the wheels.
    """
    out.mkdir(parents=True, exist_ok=True)
    files = sorted(wheels.glob("*.whl"))
    if not files:
        raise SystemExit(f"{wheels}: has no wheels")
    for path in files:
        shutil.copy(path, out)
    for path in files if dependencies else ():
        match = re.fullmatch(r".+-cp(\d+)-\w+?-\w+?_(x86_64|aarch64)\.whl", path.name)
        if match is None:
            raise SystemExit(f"{path.name}: expected a wheel of CPython for {' or '.join(COMPILERS)}")
        names = [f"manylinux_2_{minor}_{match[2]}" for minor in range(17, int(GLIBC.split(".")[1]) + 1)]
        platforms = [word for name in (*names, f"manylinux2014_{match[2]}") for word in ("--platform", name)]
        pip = [sys.executable, "-m", "pip", "download", "-q", "--only-binary", ":all:", "--python-version", match[1]]
        run(*pip, *platforms, "-d", out, path)
    projects: dict[str, list[Path]] = {}
    for path in sorted(out.glob("*.whl")):
        projects.setdefault(re.sub(r"[-_.]+", "-", path.name.split("-")[0]).lower(), []).append(path)
    page = "<!DOCTYPE html>\n<title>{}</title>\n{}"
    for name, its in projects.items():
        (out / name).mkdir(exist_ok=True)
        links = [
            f'<a href="../{path.name}#sha256={digest(path)}"{requirement(path)}>{path.name}</a><br>\n' for path in its
        ]
        (out / name / "index.html").write_text(page.format(name, "".join(links)))
    links = [f'<a href="{name}/">{name}</a><br>\n' for name in sorted(projects)]
    (out / "index.html").write_text(page.format("Simple index", "".join(links)))


def requirement(wheel: Path) -> str:
    """Returns the attribute of a link with the Pythons that a wheel is for."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        text = Parser().parsestr(archive.read(name).decode("utf-8"))["Requires-Python"]
    return f' data-requires-python="{html.escape(text)}"' if text else ""


def notes(version: str) -> str:
    """Returns the part of the changelog about a version."""
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    part = re.search(
        rf"^## \[{re.escape(version)}\].*?\n(.*?)(?=^## |^\[[^\]]+\]: |\Z)", text, re.DOTALL | re.MULTILINE
    )
    if part is None:
        raise SystemExit(f"CHANGELOG.md: has no version {version}, expected a heading '## [{version}] - DATE'")
    return part[1].strip() + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    building = commands.add_parser("build")
    building.add_argument("--python", action="append", help="an interpreter, several times; none: this one")
    building.add_argument("--headers", action="append", type=Headers.of, help="VERSION=FOLDER, several times")
    building.add_argument("--machine", action="append", choices=COMPILERS, help="several times; none: this one")
    building.add_argument("--cuda", choices=CUDA, default="none")
    building.add_argument("-o", "--out", type=Path, default=ROOT / "dist")
    indexing = commands.add_parser("index")
    indexing.add_argument("wheels", type=Path)
    indexing.add_argument("out", type=Path)
    indexing.add_argument("--dependencies", action="store_true", help="with the wheels of the dependencies")
    commands.add_parser("notes").add_argument("version")
    options = parser.parse_args()
    if options.command == "notes":
        print(notes(options.version), end="")
        return
    if options.command == "index":
        index(options.wheels, options.out, options.dependencies)
        return
    if options.headers and options.cuda != "none":
        parser.error("--headers: has no variant with CUDA")
    pythons, machines = options.python or [sys.executable], options.machine or [os.uname().machine]
    build(pythons, options.headers or [], machines, options.cuda, options.out)


if __name__ == "__main__":
    main()
