"""Runs the service in its container as the image says, and has it make a picture.

python check_container.py ARCHITECTURE FACTOR: the image has to be for this architecture; the factor, which is 1 unless
it is emulated, multiplies the seconds that anything may take. Beside it lies image.json, what buildah tells of the
image; the token is where the image expects it.
"""

import http.client
import json
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

from pyharmony.serve.settings import SAMPLES

IMAGE = json.loads(Path(__file__).with_name("image.json").read_text("utf-8"))["Docker"]
CONFIG = IMAGE["config"]
ARCHITECTURE, FACTOR = sys.argv[1], int(sys.argv[2])
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
TOKEN = Path("/run/secrets/token").read_text("ascii").strip()
PORT = int(next(iter(CONFIG["ExposedPorts"])).partition("/")[0])


def answer(path, data=None, token=TOKEN, status=200):
    """Returns the body of an answer, which has to have this status."""
    headers = {"X-Pyharmony": "1", "Authorization": f"Bearer {token}"}
    if isinstance(data, dict):
        data, headers["Content-Type"] = json.dumps(data).encode(), "application/json"
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=90 * FACTOR)
    connection.request("GET" if data is None else "POST", path, data, headers)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    assert response.status == status, (path, response.status, body[:500])
    return body


def uploaded(name):
    return json.loads(answer("/api/v1/pictures", (SAMPLES / name).read_bytes(), status=201))["id"]


def check():
    """Has the service that runs make a composite, and refuse who has no token."""
    person, place = uploaded("astronaut.jpg"), uploaded("coffee.jpg")
    job = json.loads(answer("/api/v1/compose", {"subjects": [{"picture": person}], "background": place}, status=202))
    end = time.monotonic() + 60 * FACTOR
    while job["status"] in ("queued", "running") and time.monotonic() < end:
        job = json.loads(answer(f"/api/v1/jobs/{job['id']}?wait=60"))
    assert job["status"] == "done", job
    made = answer(f"/{job['result']['picture']['file_url']}")
    assert made.startswith(b"\x89PNG"), made[:20]
    answer("/api/v1/service", token=TOKEN[::-1], status=401)
    return f"{len(made):,} bytes of a composite"


def main():
    assert os.getuid() != 0, "it runs as root"
    assert IMAGE["architecture"] == ARCHITECTURE, IMAGE["architecture"]
    assert platform.machine() == MACHINES[ARCHITECTURE], platform.machine()
    health = CONFIG["Healthcheck"]["Test"]
    assert health[0] == "CMD", health
    assert subprocess.run(health[1:], capture_output=True, check=False).returncode != 0, "another service runs here"
    start = time.monotonic()
    service = subprocess.Popen(CONFIG["Entrypoint"])
    try:
        while subprocess.run(health[1:], capture_output=True, check=False).returncode != 0:
            assert service.poll() is None and time.monotonic() - start < 60 * FACTOR, "it does not become healthy"
        healthy = time.monotonic() - start
        made = check()
        start = time.monotonic()
        service.send_signal(signal.Signals[CONFIG["StopSignal"]])
        assert service.wait(10 * FACTOR) == 0, service.returncode
    finally:
        service.kill()
    ended = time.monotonic() - start
    print(f"container: {ARCHITECTURE}, healthy after {healthy:.1f} s, made {made}, ended in {ended:.1f} s")


main()
