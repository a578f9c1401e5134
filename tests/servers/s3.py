"""An S3 server for the tests: SeaweedFS from its package, a scratch folder, free ports."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

KEY, SECRET = "test-key", "test/secret+of=its own"


@dataclass(frozen=True)
class S3:
    """A running server with an empty bucket ``lake``."""

    port: int

    def connection(self, port: int | None = None) -> str:
        """What a connection's variable holds; through another port, if given."""
        return f"s3://{KEY}:test%2Fsecret%2Bof%3Dits%20own@127.0.0.1:{port or self.port}?tls=false"

    def system(self) -> Any:
        """An independent client."""
        import s3fs

        where = f"http://127.0.0.1:{self.port}"
        return s3fs.S3FileSystem(key=KEY, secret=SECRET, endpoint_url=where, use_listings_cache=False)


def binary() -> str | None:
    """The server's program; None where there is none."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


def free_ports(count: int) -> list[int]:
    """Ports that are free now, as are those 10,000 above, which SeaweedFS takes too."""
    found: list[int] = []
    with ExitStack() as held:
        while len(found) < count:
            probe = held.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
            other = port + 10_000 if port < 55_000 else port - 10_000
            second = held.enter_context(socket.socket())
            try:
                second.bind(("127.0.0.1", other))
            except OSError:
                continue
            found.append(min(port, other))
    return found


@contextmanager
def running() -> Iterator[S3]:
    """A server for as long as the block runs; nothing is left of it."""
    program = binary()
    assert program is not None, "no SeaweedFS here"
    folder = Path(tempfile.mkdtemp(prefix="orrery-s3-"))
    (folder / "weed").mkdir()
    user = {"name": "test", "credentials": [{"accessKey": KEY, "secretKey": SECRET}]}
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    (folder / "s3.json").write_text(json.dumps({"identities": [{**user, "actions": actions}]}))
    master, volume, filer, port = free_ports(4)
    command = [
        *(program, "-logtostderr", "server", f"-dir={folder}/weed", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
        *(f"-master.port={master}", f"-volume.port={volume}", "-volume.preStopSeconds=0", "-volume.max=20"),
        *("-master.volumeSizeLimitMB=64", "-filer=true", f"-filer.port={filer}", "-s3=true"),
        *(f"-s3.port={port}", "-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.config={folder}/s3.json"),
    ]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait(S3(port), server, folder / "log")
        yield S3(port)
    finally:
        os.killpg(server.pid, signal.SIGKILL)  # its data is thrown away, and SIGTERM takes 20 s
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait(server: S3, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until a bucket can be made."""
    deadline = time.monotonic() + 60
    while True:
        try:
            server.system().mkdir("lake")
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("SeaweedFS did not start:\n" + log.read_text()[-2000:]) from None
            time.sleep(0.1)


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """One server for all tests of a session. Without SeaweedFS they are skipped, by name."""
    if binary() is None:
        if os.environ.get("ORRERY_REQUIRE_SERVERS") == "1":
            pytest.fail("SeaweedFS is required here, and is not installed")
        pytest.skip("SeaweedFS is not installed")
    with running() as server:
        yield server
