"""Reading of harmful files, in a process of their own with limits of time and memory."""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

#: Both include what importing takes; time, only what is imported beyond STARTER.
SECONDS, MEGABYTES = 20, 2048

#: A function of the code of a process: its largest resident memory until now, in KB. ru_maxrss would begin with that of
#: the parent.
PEAK_MEMORY = """
def peak_memory():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
"""

#: Forks for each line of its input, since imports take longer than most codes; tells the child and its status. A line
#: has the code and its arguments, the limits, and the files that take what it prints and its errors.
STARTER = """
import json, os, resource, sys, traceback
import numpy, PIL.Image
from PIL import JpegImagePlugin, PngImagePlugin, TiffImagePlugin
from pyharmony import data, errors, io
for line in sys.stdin:
    code, arguments, limits, *files = json.loads(line)
    if child := os.fork():
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    status = 1
    try:
        for number, path in enumerate(files, 1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
        for name, limit in limits.items():
            resource.setrlimit(getattr(resource, name), (limit, limit))
        sys.argv = ["-c", *arguments]
        exec(compile(code, "<confined>", "exec"), {"__name__": "__main__"})
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)
"""


@cache
def starter() -> subprocess.Popen[bytes]:
    """Returns the process that forks, which ends with this one."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYHARMONY_DEVICE": "cpu"}
    # It also keeps 256 MB of freed memory, which tests would count.
    environment["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=16"
    process = subprocess.Popen(
        [sys.executable, "-c", STARTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=environment
    )

    def end() -> None:
        process.communicate()

    atexit.register(end)
    return process


def confined(code: str, *arguments: object, seconds: int = SECONDS, megabytes: int = MEGABYTES) -> str:
    """Runs code under limits of CPU time and of memory; returns what it prints.

    The code may call `peak_memory`; arguments are its sys.argv[1:]. Exceptions, a signal and the limits fail the test
    that called.
    """
    limits = {"RLIMIT_CPU": seconds}
    # AddressSanitizer reserves terabytes of addresses, which this limit counts: there time alone is limited.
    if "libasan" not in os.environ.get("LD_PRELOAD", ""):
        limits["RLIMIT_DATA"] = megabytes << 20
    process = starter()
    assert process.stdin is not None and process.stdout is not None
    sys.audit("os.fork")  # tests that start a process are known by it
    with tempfile.TemporaryDirectory() as folder:
        output, errors = Path(folder, "said"), Path(folder, "errors")
        request = [PEAK_MEMORY + code, [*map(str, arguments)], limits, str(output), str(errors)]
        process.stdin.write(json.dumps(request).encode() + b"\n")
        child = int(process.stdout.readline())
        if not select.select([process.stdout], [], [], 60 * seconds)[0]:
            os.kill(child, signal.SIGKILL)
        status = int(process.stdout.readline())
        assert status == 0, f"ended with {status}: {errors.read_text()[-2000:]}"
        return output.read_text()
