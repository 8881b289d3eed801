"""An S3 emulator on the loopback interface: moto's server, in an environment of its own, since it disagrees with ours.

It is looked for in `.venv/moto` (`make s3-emulator`) and on the PATH.
"""

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["BUCKET", "MOTO", "bucket", "environment"]

BUCKET = "features"
PLACED = Path(__file__).parents[1] / ".venv/moto/bin/moto_server"
MOTO = str(PLACED) if PLACED.exists() else shutil.which("moto_server")
TIMEOUT_S = 60.0


@contextmanager
def bucket() -> Iterator[str]:
    """Starts the server on a free port, with an empty bucket; yields its endpoint."""
    assert MOTO
    endpoint = f"http://127.0.0.1:{free_port()}"
    command = [MOTO, "-H", "127.0.0.1", "-p", endpoint.rpartition(":")[2]]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            _make_bucket(endpoint)
            yield endpoint
        finally:
            server.kill()


def environment(endpoint: str) -> dict[str, str]:
    """What a process needs to reach the bucket."""
    none = str(Path(os.devnull))
    files = {"AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none}
    return {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", **files}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _make_bucket(endpoint: str) -> None:
    request = urllib.request.Request(f"{endpoint}/{BUCKET}", method="PUT")
    ends = time.monotonic() + TIMEOUT_S
    while True:
        try:
            urllib.request.urlopen(request, timeout=TIMEOUT_S).close()
            return
        except urllib.error.URLError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.1)
