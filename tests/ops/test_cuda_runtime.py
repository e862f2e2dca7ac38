"""csrc/device/runtime_cuda.cpp on a stand-in for CUDA: devices that have no context, no code or no memory left."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ..shared import ROOT

pytestmark = pytest.mark.house

NATIVE = ROOT / "tests" / "native"
FOLDERS = (Path("/usr/local/cuda/include"), Path("/usr/include"))
HEADERS = next((folder for folder in FOLDERS if (folder / "cuda_runtime_api.h").exists()), None)
PREAMBLE = """
import ctypes, threading
from ctypes import c_size_t
cuda = ctypes.CDLL("{folder}/libcuda.so.1", ctypes.RTLD_GLOBAL)
calls = ctypes.CDLL("{folder}/libcalls.so")
cuda.stand_in_reserved.restype = c_size_t
def contexts(): return [d for d in range(3) if cuda.stand_in_has_context(d)]
def status_of(device):
    text = ctypes.create_string_buffer(400)
    calls.call_status_of(device, text, c_size_t(400))
    return text.value.decode()
calls.call_free_of.restype = ctypes.c_longlong
def free_of(device): return calls.call_free_of(device)
cuda.stand_in_calls.restype = ctypes.c_char_p
calls.call_make_memory.restype = ctypes.c_void_p
def make(*streams): return ctypes.c_void_p(calls.call_make_memory(*map(c_size_t, streams)))
def drop(memory): calls.call_drop_memory(memory)
def on(device, nbytes=100): calls.call_on(device, c_size_t(nbytes))
"""


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the runtime, and the stand-in under the name that it looks for."""
    if HEADERS is None or shutil.which("g++") is None:
        pytest.skip("CUDA's headers were not found")
    folder = tmp_path_factory.mktemp("runtime")
    shared = ["g++", "-std=c++17", "-shared", "-fPIC", "-isystem", HEADERS]
    driver = folder / "libcuda.so.1"
    subprocess.run([*shared, "-Wl,-soname,libcuda.so.1", NATIVE / "cuda_stand_in.cpp", "-o", driver], check=True)
    subprocess.run(
        [*shared, "-I", ROOT / "csrc", '-DHM_CUDA_ARCHITECTURES="75-virtual,80-real"', NATIVE / "runtime_calls.cpp",
         driver, "-o", folder / "libcalls.so"],
        check=True,
    )  # fmt: skip
    return folder


def run(libraries: Path, code: str) -> None:
    """Runs code in a new process, since another one may have loaded the machine's driver."""
    process = subprocess.run(
        [sys.executable, "-c", PREAMBLE.format(folder=libraries) + code], capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr


def test_work_on_one_device_makes_no_context_on_another(libraries: Path) -> None:
    """A thread that has set no device is on device 0, which nobody uses here."""
    run(libraries, """
on(2)
assert contexts() == [2], contexts()
assert calls.call_current_device() == 0  # what NumPy arrays would go to, had anybody asked for it
on(2)
on(1)
assert contexts() == [1, 2]
assert calls.call_current_device() == 0
on(0)
assert contexts() == [0, 1, 2] and calls.call_current_device() == 0
""")  # fmt: skip


def test_a_thread_goes_back_to_a_device_that_is_in_use(libraries: Path) -> None:
    run(libraries, """
calls.call_set_device(1)
on(2)
assert calls.call_current_device() == 1 and contexts() == [1, 2]
current = ctypes.c_int(-1)
cuda.cudaGetDevice(ctypes.byref(current))
assert current.value == 1
""")  # fmt: skip


def test_the_device_that_the_caller_sets_afterwards_counts(libraries: Path) -> None:
    run(libraries, """
on(2)
calls.call_set_device(1)
assert calls.call_current_device() == 1
on(2)
assert calls.call_current_device() == 1
""")  # fmt: skip


def test_each_thread_has_its_own_current_device(libraries: Path) -> None:
    run(libraries, """
calls.call_set_device(1)
seen = []
thread = threading.Thread(target=lambda: (on(2), seen.append(calls.call_current_device())))
thread.start(); thread.join()
assert seen == [0] and calls.call_current_device() == 1
""")  # fmt: skip


def test_a_device_that_the_module_has_no_code_for_says_so(libraries: Path) -> None:
    run(libraries, """
cuda.stand_in_without_code(1)
assert status_of(0) == ""
said = status_of(1)
assert said == ("no kernel image is available for execution on the device; cuda:1 has capability 6.1, and this build "
                "has 75-virtual, 80-real; see docs/platforms.md"), said
""")  # fmt: skip


def test_a_device_without_memory_left_is_no_reason_to_forget_it(libraries: Path) -> None:
    """The call reports it, and the next call may succeed."""
    run(libraries, """
cuda.stand_in_full(1)
assert status_of(1) == "" and contexts() == []
""")  # fmt: skip


def test_asking_for_a_status_makes_no_context_elsewhere(libraries: Path) -> None:
    run(libraries, """
assert status_of(2) == "" and contexts() == [2]
""")  # fmt: skip


def test_asking_for_properties_makes_no_context(libraries: Path) -> None:
    """What is free is known only where there is a context: asking for it would make one, of hundreds of megabytes."""
    run(libraries, """
assert free_of(1) == -1 and contexts() == []
on(1)
assert free_of(1) == 1 << 33 and free_of(2) == -1 and contexts() == [1]
""")  # fmt: skip


def test_memory_is_kept_for_the_next_call_up_to_a_limit(libraries: Path) -> None:
    """The default pool would give all of it back at each synchronisation; ours keeps some."""
    run(libraries, """
on(1, 300 << 20)
assert cuda.stand_in_reserved(1) == 300 << 20 and cuda.stand_in_reserved(0) == 0
on(1, 5 << 30)
assert cuda.stand_in_reserved(1) == 1 << 30
on(0, 1000)
assert cuda.stand_in_reserved(0) == 1000  # a pool of its own
calls.call_give_back(1)
assert cuda.stand_in_reserved(1) == 0 and cuda.stand_in_reserved(0) == 1000
""")  # fmt: skip


def test_a_stream_tells_whether_it_is_captured(libraries: Path) -> None:
    run(libraries, """
assert calls.call_is_capturing() == 0
cuda.stand_in_capture()
assert calls.call_is_capturing() == 1
""")  # fmt: skip


def test_memory_is_freed_on_its_stream_after_its_uses_on_others(libraries: Path) -> None:
    run(libraries, """
drop(make(7, 9))
assert cuda.stand_in_calls() == b"work of 7; before 7; work of 9; before 7; free on 7; ", cuda.stand_in_calls()
assert cuda.stand_in_reserved(0) == 100
calls.call_give_back(0)
assert cuda.stand_in_reserved(0) == 0  # nothing is in use
""")  # fmt: skip


def test_memory_of_a_stream_that_is_gone_is_freed_on_the_legacy_stream(libraries: Path) -> None:
    """A destroyed stream finishes its work first."""
    run(libraries, """
memory = make(7, 9)
cuda.stand_in_destroy_stream(c_size_t(7))
cuda.stand_in_destroy_stream(c_size_t(9))
drop(memory)
assert cuda.stand_in_calls() == b"work of 7; before 1; work of 9; before 1; free on 1; ", cuda.stand_in_calls()
calls.call_give_back(0)
assert cuda.stand_in_reserved(0) == 0
""")  # fmt: skip


def test_a_new_stream_with_the_handle_of_an_old_one_waits_for_it(libraries: Path) -> None:
    run(libraries, """
memory = make(7, 9)
calls.call_use_memory(memory, c_size_t(9))
assert cuda.stand_in_calls() == b"work of 9; before 9; ", cuda.stand_in_calls()
""")  # fmt: skip
