"""CMake's decisions about CUDA: whether it is compiled, and for which architectures."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .. import skips
from ..shared import ROOT

pytestmark = pytest.mark.house

CMAKE = shutil.which("cmake", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
NINJA = shutil.which("ninja", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
needs_cmake = pytest.mark.skipif(CMAKE is None, reason="cmake is not installed")

#: The output of `nvcc --list-gpu-arch`.
CUDA_13_0 = "75;80;86;87;88;89;90;100;110;103;120;121"
CUDA_12_4 = "50;52;53;60;61;62;70;72;75;80;86;87;89;90"
RELEASE = "75-real;80-real;86-real;89-real;90-real;100-real;120-real;90-virtual;120-virtual"


def run_cmake(*arguments: str, path: str | None = None, **environment: str) -> tuple[int, str]:
    """Runs CMake; returns its exit status and all that it said, with the line breaks of messages taken out."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("CUDA", "CMAKE"))}
    env |= environment | ({} if path is None else {"PATH": path})
    process = subprocess.run([str(CMAKE), *arguments], env=env, capture_output=True, text=True)
    return process.returncode, re.sub(r"\s+", " ", process.stdout + process.stderr)


def script(folder: Path, name: str, body: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def choose(folder: Path, *calls: tuple[str, str, str]) -> tuple[int, str]:
    """Chooses architectures by each call: the choice, what nvcc knows and the GPUs that are present."""
    (folder / "choose.cmake").write_text(
        "cmake_minimum_required(VERSION 3.22)\n"
        f'include("{ROOT}/cmake/cuda_architectures.cmake")\n'
        + "".join(
            f'hm_choose_architectures(chosen "{choice}" "{compiler}" "{present}")\n'
            'message("chosen ${chosen} because: ${chosen_WHY}")\n'
            for choice, compiler, present in calls
        )
    )
    return run_cmake("-P", str(folder / "choose.cmake"))


CHOICES = (
        ("auto", CUDA_13_0, "", "75-virtual;80-virtual", "no GPU here"),
        ("auto", CUDA_12_4, "", "75-virtual;80-virtual", "HM_CUDA_ARCHITECTURES=common makes machine code"),
        ("auto", CUDA_13_0, "90", "90-real", "the GPU of this machine"),
        ("auto", CUDA_13_0, "80;90", "80-real;90-real", "the GPU"),
        ("auto", CUDA_13_0, "61", "75-virtual;80-virtual", "(61) is older than what nvcc compiles for"),
        ("auto", CUDA_13_0, "61;90", "90-real", "but not 61"),
        ("native", CUDA_12_4, "90", "90-real", "the GPU"),
        # GPUs newer than nvcc get machine code of the same family, else PTX of the newest that nvcc knows.
        ("native", "75;80;90;100;120", "103", "100-real", "the GPU"),
        ("native", CUDA_12_4, "120", "90-virtual", "the GPU"),
        ("release", CUDA_13_0, "90", RELEASE, "the list of a release"),
        ("release", CUDA_12_4, "", "75-real;80-real;86-real;89-real;90-real;90-virtual",
         "without 100-real 120-real 120-virtual, which this nvcc does not know"),
        ("common", CUDA_13_0, "90", "75-real;80;90-real;100-real;120-real", "the generations in use"),
        ("common", CUDA_12_4, "", "75-real;80;90-real", "without 100-real 120-real, which this nvcc does not know"),
        ("ptx", CUDA_13_0, "90", "75-virtual;80-virtual", "at first use"),
        ("ptx", "80;90", "", "80-virtual", "at first use"),
        ("80-real;90", CUDA_12_4, "", "80-real;90", "as asked for"),
        ("90a-real", CUDA_13_0, "", "90a-real", "as asked for"),
)  # fmt: skip


@pytest.fixture(scope="module")
def choices(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Returns what one run of CMake says of each of CHOICES."""
    calls = [(choice, compiler, present) for choice, compiler, present, *_ in CHOICES]
    status, output = choose(tmp_path_factory.mktemp("choices"), *calls)
    assert status == 0, output
    return [f"chosen {one}" for one in output.split("chosen ")[1:]]


@needs_cmake
@pytest.mark.parametrize(
    ("number", "selection", "because"),
    [pytest.param(i, *one[3:], id="-".join((one[0], one[2], one[3]))) for i, one in enumerate(CHOICES)],
)
def test_architectures(choices: list[str], number: int, selection: str, because: str) -> None:
    assert choices[number].startswith(f"chosen {selection} because: "), choices[number]
    assert because in choices[number]


#: A GPU of each capability that machine code of CUDA 13 can be for: T4, A100, RTX 3090, RTX 4090, H100, B200, RTX 5090.
IN_USE = ((7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0))


@needs_cmake
@pytest.mark.parametrize(("choice", "machine_code"), [("auto", False), ("common", True)])
def test_what_is_built_without_a_gpu_runs_on_all_in_use(tmp_path: Path, choice: str, machine_code: bool) -> None:
    """The default compiles PTX, which drivers compile at first use; `common` has machine code for those in use."""
    from pyharmony.cli._facts import code_for

    _, output = choose(tmp_path, (choice, CUDA_13_0, ""))
    architectures = output.removeprefix("chosen ").partition(" because")[0].split(";")
    assert all(code_for(architectures, capability).endswith("-real") == machine_code for capability in IN_USE)
    # GPUs that are rarer, or come later, have PTX. From 8.0 on it has asynchronous copies and tensor cores.
    assert code_for(architectures, IN_USE[0]).startswith("75-")
    for capability in (*IN_USE[1:], (8, 7), (10, 3), (11, 0), (12, 1), (13, 0)):
        assert int(code_for(architectures, capability).partition("-")[0]) >= 80


@needs_cmake
@pytest.mark.parametrize(
    ("choice", "compiler", "present", "says"),
    [
        ("native", CUDA_13_0, "", "no GPU was found"),
        ("native", CUDA_13_0, "61", "older than what nvcc compiles for"),
        ("100", CUDA_12_4, "", "HM_CUDA_ARCHITECTURES: 100, expected"),
        ("hopper", CUDA_13_0, "", "HM_CUDA_ARCHITECTURES: hopper, expected"),
    ],
)
def test_architectures_that_cannot_be(tmp_path: Path, choice: str, compiler: str, present: str, says: str) -> None:
    status, output = choose(tmp_path, (choice, compiler, present))
    assert status != 0
    assert says in output


@needs_cmake
@pytest.mark.parametrize(
    ("smi", "architectures"),
    [("echo 9.0; echo 9.0; echo 8.9", "89;90"), ("echo 'No devices were found'; exit 6", ""), ("echo 12.0", "120")],
)
def test_the_gpus_are_those_that_nvidia_smi_names(tmp_path: Path, smi: str, architectures: str) -> None:
    script(tmp_path / "bin", "nvidia-smi", smi)
    (tmp_path / "find.cmake").write_text(
        f"cmake_minimum_required(VERSION 3.22)\ninclude({ROOT}/cmake/cuda_architectures.cmake)\n"
        'hm_find_gpus(found)\nmessage("found ${found}.")\n'
    )
    assert run_cmake("-P", str(tmp_path / "find.cmake"), path=f"{tmp_path / 'bin'}:/usr/bin:/bin")[1].strip() == (
        f"found {architectures}."
    )


def configure(folder: Path, *options: str, path: str | None = None, **environment: str) -> tuple[int, str]:
    """Configures a project that has nothing but cmake/cuda.cmake."""
    folder.mkdir(exist_ok=True)
    (folder / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.22)\nproject(nothing LANGUAGES CXX)\n"
        f'include("{ROOT}/cmake/cuda.cmake")\n'
        'message(STATUS "has CUDA: ${HM_HAS_CUDA} ${HM_CUDA_COMPILE_OPTIONS}")\n'
    )
    # The nvcc that may be at the usual place is not found.
    ignored = "-DCMAKE_IGNORE_PATH=/usr/local/cuda/bin"
    return run_cmake("-S", str(folder), "-B", str(folder / "b"), ignored, *options, path=path, **environment)


@pytest.mark.slow
@needs_cmake
@pytest.mark.parametrize(
    ("nvcc", "because"),
    [
        (None, "nvcc was not found on PATH, in CUDA_HOME or as CUDACXX"),
        ("exit 1", "nvcc does not run"),
        ("echo 'tools, release 11.8, V11.8.89'; echo compute_90", "is of CUDA 11.8, and 12.4 or later"),
        ('case "$1" in --version) echo "release 13.0,";; --list*) echo compute_90;; *) echo no >&2; exit 1;; esac',
         "nvcc does not compile with this C++ compiler"),
    ],
    ids=["none", "broken", "old", "refuses"],
)  # fmt: skip
def test_without_a_usable_nvcc_the_build_is_for_the_cpu(tmp_path: Path, nvcc: str | None, because: str) -> None:
    if nvcc is not None:
        script(tmp_path / "bin", "nvcc", nvcc)
    path = f"{tmp_path / 'bin'}:/usr/bin:/bin"
    status, output = configure(tmp_path / "auto", path=path)
    assert status == 0, output
    assert f"{because}" in output
    assert "building for the CPU only" in output
    assert "has CUDA: OFF" in output
    status, output = configure(tmp_path / "on", "-DHM_CUDA=ON", path=path)
    assert status != 0
    assert "HM_CUDA=ON, but" in output and because in output


@needs_cmake
def test_cuda_can_be_switched_off(tmp_path: Path) -> None:
    status, output = configure(tmp_path, "-DHM_CUDA=OFF")
    assert status == 0
    assert "CUDA kernels are switched off" in output and "has CUDA: OFF" in output
    status, output = configure(tmp_path, "-DHM_CUDA=perhaps")
    assert status != 0
    assert "HM_CUDA: perhaps, expected AUTO, GPU, ON or OFF" in output


@needs_cmake
def test_make_compiles_cuda_kernels_where_a_gpu_is(tmp_path: Path) -> None:
    # What installs the package for development must not compile it anew with other kernels.
    commands = subprocess.check_output(["make", "-nB", "setup", "demo"], cwd=ROOT, text=True).replace("\\\n", "")
    installs = [line for line in commands.splitlines() if "--no-build-isolation -e" in line]
    assert len(installs) >= 2 and all('CMAKE_ARGS="-DHM_CUDA=GPU' in line for line in installs)
    for folder in ("with", "without"):
        script(tmp_path / folder, "nvidia-smi", "echo 9.0" if folder == "with" else "exit 9")
        script(tmp_path / folder, "nvcc", "exit 1")
    # Where a GPU is nvcc is tried; the long form compiles with a real one.
    status, output = configure(tmp_path / "a", "-DHM_CUDA=GPU", path=f"{tmp_path / 'with'}:/usr/bin:/bin")
    assert status == 0 and "nvcc does not run; building for the CPU only" in output and "has CUDA: OFF" in output, (
        output
    )
    path = f"{tmp_path / 'without'}:/usr/bin:/bin"
    status, output = configure(tmp_path / "b", "-DHM_CUDA=GPU", path=path)
    assert status == 0 and "no GPU was found; building for the CPU only" in output and "has CUDA: OFF" in output, output


@pytest.mark.slow
@needs_cmake
def test_a_build_for_this_machine_has_one_copy_of_the_kernels(tmp_path: Path) -> None:
    import pybind11

    options = f"-Dpybind11_DIR={pybind11.get_cmake_dir()}", "-DHM_CUDA=OFF", f"-DPython_EXECUTABLE={sys.executable}"
    commands = {}
    for choice in ("ON", "HERE", "NATIVE", "OFF"):
        status, output = run_cmake("-S", str(ROOT), "-B", str(tmp_path), "-G", "Ninja", *options, f"-DHM_SIMD={choice}")
        assert status == 0, output
        database = subprocess.check_output([str(NINJA), "-C", str(tmp_path), "-t", "compdb"], text=True)
        entries = json.loads(database[database.index("[") :])
        commands[choice] = {each["output"]: each["command"] for each in entries if each["output"].endswith(".o")}
    levels = {
        choice: {name for output in names for name in re.findall(r"simd_(\w+)\.dir", output)}
        for choice, names in commands.items()
    }
    best = subprocess.check_output(
        [sys.executable, "-c", "import pyharmony; print(pyharmony.simd_level())"],
        cwd=ROOT, text=True, env={**os.environ, "PYHARMONY_SIMD": ""},
    ).strip()  # fmt: skip
    on_x86 = best in skips.INSTRUCTION_SETS
    sets = [*skips.INSTRUCTION_SETS]
    here = set(sets[: sets.index(best) + 1]) if on_x86 else set()
    expected = {"ON": set(sets), "HERE": here, "NATIVE": {best}, "OFF": {"baseline"}}
    assert levels == (expected if on_x86 else {choice: {"baseline"} for choice in expected})
    # What a demo has compiled serves the other copies too, but for two files that know which copies there are.
    again = {name for name, command in commands["NATIVE"].items() if commands["ON"][name] != command}
    assert {Path(name).name for name in again} <= {"simd.cpp.o", "images_simd.cpp.o"}
    status, output = run_cmake("-S", str(ROOT), "-B", str(tmp_path), "-G", "Ninja", *options, "-DHM_SIMD=some")
    assert status != 0 and "HM_SIMD: some, expected ON, HERE, NATIVE or OFF" in output


@pytest.mark.full
@needs_cmake
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
def test_with_nvcc_the_build_is_for_the_gpu_present(tmp_path: Path) -> None:
    script(tmp_path / "bin", "nvidia-smi", "echo 9.0")
    (tmp_path / "bin" / "nvcc").symlink_to(str(shutil.which("nvcc")))
    # CUDA_HOME holds the nvcc, in bin/.
    path = f"{tmp_path / 'bin'}:/usr/bin:/bin"
    status, output = configure(tmp_path / "auto", path=path, CUDA_HOME=str(tmp_path))
    assert status == 0, output
    assert re.search(r"pyharmony: CUDA kernels by nvcc [\d.]+ for 90-real \(the GPU of this machine\)", output)
    assert "has CUDA: ON" in output and "-Xfatbin=-compress-" in output
    status, output = configure(tmp_path / "c", "-DHM_CUDA=GPU", path=path)
    assert status == 0 and "for 90-real (the GPU of this machine)" in output and "has CUDA: ON" in output, output
    (tmp_path / "bin" / "nvidia-smi").unlink()
    status, output = configure(tmp_path / "b", "-DHM_CUDA=GPU", "-DHM_CUDA_ARCHITECTURES=80-real", path=path)
    assert status == 0 and "for 80-real (as asked for)" in output, output


#: Functions whose arguments differ between the headers of CUDA 12.4 and 13.0, or that one of them lacks, and fields
#: of cudaDeviceProp and vector types that CUDA 13 dropped or deprecates.
DIFFERS = (
    *("cudaGetDriverEntryPoint", "cudaMemAdvise", "cudaMemPrefetchAsync", "cudaStreamGetCaptureInfo"),
    *("cudaStreamUpdateCaptureDependencies", "cudaSignalExternalSemaphoresAsync", "cudaWaitExternalSemaphoresAsync"),
    *("cudaGraphAddDependencies", "cudaGraphRemoveDependencies", "cudaGraphAddNode", "cudaGraphGetEdges"),
    *("cudaGraphKernelNodeCopyAttributes", "cudaGraphNodeGetDependencies", "cudaGraphNodeGetDependentNodes"),
    *("cudaMemcpyBatchAsync", "cudaMemGetMemPool", "cudaMemSetMemPool", "cudaMemGetDefaultMemPool"),
    *("cudaStreamGetDevice", "cudaLaunchCooperativeKernelMultiDevice"),
    *("clockRate", "memoryClockRate", "computeMode", "deviceOverlap", "kernelExecTimeoutEnabled"),
    *("cooperativeMultiDeviceLaunch", "maxTexture1DLinear", "singleToDoublePrecisionPerfRatio"),
    *("double4", "long4", "ulong4", "longlong4", "ulonglong4"),
)


def test_the_sources_use_what_cuda_12_and_13_have_in_common() -> None:
    pattern = re.compile(rf"\b({'|'.join(DIFFERS)}|cudaLibrary\w+|cudaLogs\w+)\b")
    for path in sorted((ROOT / "csrc").rglob("*")):
        if path.suffix in (".h", ".cpp", ".cu", ".cuh") and "third_party" not in path.parts:
            match = pattern.search(path.read_text())
            assert not match, f"{path}: {match.group()} is not the same in CUDA 12.4 and 13"
