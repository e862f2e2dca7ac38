"""Reading of harmful files, in a process of their own with limits of time and memory."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

#: Both include what importing takes.
SECONDS, MEGABYTES = 20, 2048

#: A function of the code of a process: its largest resident memory until now, in KB. ru_maxrss would begin with that of
#: the parent.
PEAK_MEMORY = """
def peak_memory():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
"""


def confined(code: str, *arguments: object, seconds: int = SECONDS, megabytes: int = MEGABYTES) -> str:
    """Runs code under limits of CPU time and of memory; returns what it prints.

    The code may call `peak_memory`; arguments are its sys.argv[1:]. Exceptions, a signal and the limits fail the test
    that called.
    """

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        # AddressSanitizer reserves terabytes of addresses, which this limit counts: there time alone is limited.
        if "libasan" not in os.environ.get("LD_PRELOAD", ""):
            resource.setrlimit(resource.RLIMIT_DATA, (megabytes << 20, megabytes << 20))

    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYHARMONY_DEVICE": "cpu"}
    # It also keeps 256 MB of freed memory, which tests would count.
    environment["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=16"
    done = subprocess.run(
        [sys.executable, "-c", PEAK_MEMORY + code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60 * seconds,
        env=environment,
        preexec_fn=limit,
    )
    assert done.returncode == 0, f"ended with {done.returncode}: {done.stderr[-2000:]}"
    return done.stdout
