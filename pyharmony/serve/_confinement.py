"""The confinement of a worker: the files that it may open, and no network and no other programs.

Linux enforces it, by Landlock and by a filter of system calls, and no later step of the process can undo it. A process
that decodes untrusted files has no other way to a file, even if a decoder is subverted. `pyharmony.serve._tree` opens
files by a door of its own besides, on every system.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import struct
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

#: Rights of Landlock by version, from `linux/landlock.h`: all of files and folders, and those that reading needs.
_LANDLOCK_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE, _DEVICE_CALL = 1, 2, 4, 8, 1 << 14, 1 << 15
#: Those of the folder of a run: to read, write, make, rename and remove files; no links, pipes or devices.
_REMOVE_FILE, _MAKE_FILE = 1 << 5, 1 << 8
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _DEVICE_CALL
_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446  # the same on every processor
_BIND_AND_CONNECT, _SCOPED = 3, 3  # of TCP; abstract sockets and signals
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2
#: What a worker may read beside Python: libraries, and what they ask of the system, of this process and of GPUs.
_SYSTEM = (
    "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec", "/usr/local/lib", "/usr/local/cuda", "/usr/share", "/lib",
    "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/proc/self", "/proc/cpuinfo", "/proc/meminfo",
    "/proc/stat", "/proc/devices", "/proc/modules", "/proc/driver", "/proc/sys/vm", "/sys/devices", "/sys/bus",
    "/sys/fs/cgroup", "/sys/module",
)  # fmt: skip
_DEVICES = ("null", "urandom", "random")
_DEVICE_FOLDER = Path("/dev")
#: System calls that are refused, by processor: sockets, other programs, and ways around the rules.
_REFUSED_SYSTEM_CALLS = {
    "x86_64": (
        0xC000003E,
        (41, 42, 49, 50, 53, 59, 101, 165, 166, 246, 248, 249, 250, 272, 298, 303, 304, 308, 310, 311, 320, 321, 322,
         323, 425, 426, 427, 428, 429, 430),
    ),
    "aarch64": (
        0xC00000B7,
        (39, 40, 97, 104, 117, 198, 199, 200, 201, 203, 217, 218, 219, 221, 241, 264, 265, 268, 270, 271, 280, 281, 282,
         294, 425, 426, 427, 428, 429, 430),
    ),
}  # fmt: skip


def confine(folder: str, readable: Sequence[str] = ()) -> dict[str, str]:
    """Confines this process, which has no other threads yet, to a folder; returns what holds, or why it does not.

    readable: what it may read beside Python, its packages and the libraries of the system.

    The keys are 'files' and 'system calls'; a value is 'confined', or the reason why it is not.
    """
    _prefer_oom_kill()
    os.environ["TMPDIR"] = folder  # libraries want some folder for temporary files, though few write any
    libc = ctypes.CDLL(None, use_errno=True)
    state = {}
    # A thread is confined with those that it starts: there are no others yet.
    for name, step in (("files", _restrict_files), ("system calls", _filter_calls)):
        try:
            if sys.platform != "linux":
                raise OSError(errno.ENOSYS, f"{sys.platform} has no Landlock and no seccomp")
            _checked(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
            step(libc, folder, readable)
            state[name] = "confined"
        except (OSError, AttributeError) as error:
            state[name] = str(getattr(error, "strerror", None) or error)
    return state


def _prefer_oom_kill() -> None:
    """Makes the operating system end this process before the service when it runs out of memory."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _call(libc: ctypes.CDLL, *arguments: Any) -> int:
    """Makes a system call whose whole numbers are as long as a register."""
    return int(libc.syscall(*(ctypes.c_long(one) if isinstance(one, int) else one for one in arguments)))


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _readable() -> Iterable[str]:
    """Returns the folders of Python, its packages, this package and the system's libraries."""
    yield from (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix)
    yield from sysconfig.get_paths().values()
    yield str(Path(__file__).resolve().parent.parent)
    yield from filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    # Packages that are installed elsewhere, such as those of a user.
    yield from (path for path in sys.path if os.path.basename(path) in ("site-packages", "dist-packages"))
    yield from filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep))
    yield from _SYSTEM


def gpu_files() -> list[Path]:
    """Returns the device files of NVIDIA's driver, under Windows' Linux too, and folders of them."""
    return [path for pattern in ("nvidia*", "dxg") for path in sorted(_DEVICE_FOLDER.glob(pattern))]


def _restrict_files(libc: ctypes.CDLL, folder: str, readable: Sequence[str]) -> None:
    version = _checked(_call(libc, _CREATE, None, 0, 1))
    rights = _LANDLOCK_RIGHTS[max(one for one in _LANDLOCK_RIGHTS if one <= version)]
    attributes = struct.pack("=3Q", rights, _BIND_AND_CONNECT, _SCOPED)[: 8 * (1 + (version >= 4) + (version >= 6))]
    rules = _checked(_call(libc, _CREATE, attributes, len(attributes), 0))
    try:
        reading = _READ_FILE | _READ_DIR | _EXECUTE
        for path in dict.fromkeys(map(os.path.realpath, (*readable, *_readable()))):
            if path != "/":
                _allow(libc, rules, path, reading & rights)
        for device in (*(_DEVICE_FOLDER / name for name in _DEVICES), *gpu_files()):
            _allow(libc, rules, str(device), (_READ_FILE | _WRITE_FILE | _READ_DIR | _DEVICE_CALL) & rights)
        writing = _READ_FILE | _READ_DIR | _WRITE_FILE | _REMOVE_FILE | _MAKE_FILE | _TRUNCATE
        _allow(libc, rules, folder, writing & rights)
        _checked(_call(libc, _RESTRICT, rules, 0))
    finally:
        os.close(rules)


def _allow(libc: ctypes.CDLL, rules: int, path: str, rights: int) -> None:
    """Allows rights below a path; one that does not exist needs none."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rights &= -1 if os.path.isdir(path) else _OF_FILES
        _checked(_call(libc, _ADD_RULE, rules, 1, struct.pack("=Qi", rights, descriptor), 0))
    finally:
        os.close(descriptor)


def _filter_calls(libc: ctypes.CDLL, *_: object) -> None:
    """Refuses system calls with EPERM, by a program of classic BPF for `struct seccomp_data`."""
    try:
        processor, calls = _REFUSED_SYSTEM_CALLS[platform.machine()]
    except KeyError:
        raise OSError(errno.ENOSYS, f"no list of system calls for {platform.machine()}") from None
    load, equal, above, answer = 0x20, 0x15, 0x35, 0x06
    refuse, accept = 0x00050000 | errno.EPERM, 0x7FFF0000
    body = [(equal, len(calls) - i, 0, call) for i, call in enumerate(calls)]
    program = [
        (load, 0, 0, 4), (equal, 1, 0, processor), (answer, 0, 0, refuse),
        (load, 0, 0, 0), (above, len(calls) + 1, 0, 0x40000000),  # the calls of x32
        *body, (answer, 0, 0, accept), (answer, 0, 0, refuse),
    ]  # fmt: skip
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in program))
    filter = struct.pack("@HP", len(program), ctypes.addressof(code))
    _checked(libc.prctl(_SECCOMP, _FILTER, filter, 0, 0))
